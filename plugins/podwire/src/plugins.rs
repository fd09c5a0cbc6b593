//! The one list of plugins, for the executable and for whoever must know all of them.

use cni::Plugin;

/// Every plugin of the executable.
pub static PLUGINS: &[&dyn Plugin] = &[
    &bandwidth::BANDWIDTH,
    &bridge::BRIDGE,
    &dhcp::DHCP,
    &dummy::DUMMY,
    &flannel::FLANNEL,
    &host_device::HOST_DEVICE,
    &firewall::FIREWALL,
    &host_gw::HOST_GW,
    &ipam::HOST_LOCAL,
    &ipam::STATIC,
    &loopback::LOOPBACK,
    &ptp::PTP,
    &macvlan::MACVLAN,
    &portmap::PORTMAP,
    &tuning::TUNING,
    &sbr::SBR,
    &ipvlan::IPVLAN,
    &vlan::VLAN,
    &tap::TAP,
    &vrf::VRF,
    &vxlan::VXLAN,
];

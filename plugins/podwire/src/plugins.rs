//! The one list of plugins, for the executable and for whoever must know all of them.

use cni::Plugin;

/// Every plugin of the executable, by name: so they are listed wherever people read of them.
pub static PLUGINS: &[&dyn Plugin] = &[
    &bandwidth::BANDWIDTH,
    &bridge::BRIDGE,
    &dhcp::DHCP,
    &dummy::DUMMY,
    &firewall::FIREWALL,
    &flannel::FLANNEL,
    &host_device::HOST_DEVICE,
    &host_gw::HOST_GW,
    &ipam::HOST_LOCAL,
    &ipvlan::IPVLAN,
    &loopback::LOOPBACK,
    &macvlan::MACVLAN,
    &portmap::PORTMAP,
    &ptp::PTP,
    &sbr::SBR,
    &ipam::STATIC,
    &tap::TAP,
    &tuning::TUNING,
    &vlan::VLAN,
    &vrf::VRF,
    &vxlan::VXLAN,
];

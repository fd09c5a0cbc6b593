//! The cases, a file per subject. Each registers itself where it stands.

mod arguments;
mod attach;
mod bandwidth;
mod bandwidth_check;
mod bandwidth_packets;
mod beside;
mod bridge;
mod bridge_check;
mod bridge_del;
mod bridge_gateway;
mod bridge_mac;
mod bridge_vlan;
mod bridge_vlan_ports;
mod chained;
mod chained_prev;
mod check;
mod collection;
mod delegation;
mod delegation_commands;
mod delegation_error;
mod delegation_result;
mod dhcp;
mod dhcp_attached;
mod dhcp_daemon;
mod dhcp_lan;
mod dhcp_messages;
mod dhcp_options;
mod dhcp_routes;
mod dummy;
mod environment;
mod firewall;
mod firewall_policy;
mod format;
mod front;
mod garbage;
mod host_device;
mod host_device_bus;
mod host_device_check;
mod host_device_del;
mod host_local;
mod host_local_config;
mod host_local_disk;
mod ipam;
mod ipvlan;
mod keys;
mod links;
mod loopback;
mod macvlan;
mod macvlan_check;
mod macvlan_del;
mod macvlan_ipam;
mod masquerade;
mod newest_keys;
mod packets;
mod portmap;
mod portmap_config;
mod portmap_nftables;
mod portmap_packets;
mod portmap_rules;
mod portmap_udp;
mod ports;
mod prev_result;
mod ptp;
mod ptp_check;
mod ptp_del;
mod ptp_ipam;
mod results;
mod route_fields;
mod runtime;
mod sbr;
mod sbr_del;
mod sbr_tables;
mod sbr_two;
mod sight;
mod static_;
mod static_requested;
mod takeover;
mod tap;
mod tap_life;
mod tuning;
mod tuning_args;
mod tuning_check;
mod tuning_state;
mod tuning_sysctl;
mod untracked;
mod versions;
mod vlan;
mod vrf;

/// What the case files share.
mod prelude {
    pub(super) use cni::SpecVersion;
    pub(super) use inventory::submit;
    pub(super) use serde_json::{Value, json};

    pub(super) use crate::{
        bench::{Bench, Reply, expect, expect_that},
        case::{CASE, Case, Failure, Judges, Level, Set},
        stub::Fault,
    };

    /// Plugins that make an interface in the pod and take its addresses from an IPAM plugin.
    pub(super) const INTERFACE: Judges = Judges::Only(&["bridge", "ptp"]);
    /// Every version there is.
    pub(super) const EVERY: [SpecVersion; 2] = [SpecVersion::V0_1_0, SpecVersion::V1_1_0];
    /// The versions that have CHECK and prevResult on DEL.
    pub(super) const CHECKED: [SpecVersion; 2] = [SpecVersion::V0_4_0, SpecVersion::V1_1_0];
    /// The version that has GC and STATUS.
    pub(super) const NEWEST: [SpecVersion; 2] = [SpecVersion::V1_1_0, SpecVersion::V1_1_0];
    /// The key under which GC finds the attachments that are still valid.
    pub(super) const VALID: &str = "cni.dev/valid-attachments";

    /// STATUS as a runtime calls it: of no attachment.
    pub(super) fn status(bench: &mut Bench, config: &Value) -> Result<Reply, Failure> {
        of_no_attachment(bench, "STATUS", config)
    }

    /// GC as a runtime calls it: of no attachment.
    pub(super) fn gc(bench: &mut Bench, config: &Value) -> Result<Reply, Failure> {
        of_no_attachment(bench, "GC", config)
    }

    fn of_no_attachment(
        bench: &mut Bench,
        command: &str,
        config: &Value,
    ) -> Result<Reply, Failure> {
        let call = bench.call(command, config).unset("CNI_CONTAINERID");
        Ok(call.unset("CNI_NETNS").unset("CNI_IFNAME").reply()?)
    }
}

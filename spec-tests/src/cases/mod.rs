//! The cases, a folder per subject. Each registers itself where it stands.

mod bandwidth;
mod bridge;
mod chained;
mod delegation;
mod dhcp;
mod dummy;
mod firewall;
mod host_device;
mod host_local;
mod interface;
mod ipvlan;
mod kit;
mod loopback;
mod macvlan;
mod portmap;
mod protocol;
mod ptp;
mod runtime;
mod sbr;
mod static_;
mod tap;
mod tuning;
mod vlan;
mod vrf;

use kit::{alike, announce, http, links, packets, route_fields, sight};

/// What the case files share.
mod prelude {
    pub(in crate::cases) use cni::SpecVersion;
    pub(in crate::cases) use inventory::submit;
    pub(in crate::cases) use serde_json::{Value, json};

    pub(in crate::cases) use crate::{
        bench::{Bench, Call, Reply, expect, expect_that},
        case::{CASE, Case, Failure, Judges, Level, Set},
        stub::Fault,
    };

    /// Plugins that make an interface in the pod and take its addresses from an IPAM plugin.
    pub(in crate::cases) const INTERFACE: Judges = Judges::Only(&["bridge", "ptp"]);
    /// Every version there is.
    pub(in crate::cases) const EVERY: [SpecVersion; 2] = [SpecVersion::V0_1_0, SpecVersion::V1_1_0];
    /// The versions that have CHECK and prevResult on DEL.
    pub(in crate::cases) const CHECKED: [SpecVersion; 2] =
        [SpecVersion::V0_4_0, SpecVersion::V1_1_0];
    /// The version that has GC and STATUS.
    pub(in crate::cases) const NEWEST: [SpecVersion; 2] =
        [SpecVersion::V1_1_0, SpecVersion::V1_1_0];
    /// The key under which GC finds the attachments that are still valid.
    pub(in crate::cases) const VALID: &str = "cni.dev/valid-attachments";

    /// STATUS as a runtime calls it: of no attachment.
    pub(in crate::cases) fn status(bench: &mut Bench, config: &Value) -> Result<Reply, Failure> {
        Ok(of_no_attachment(bench, "STATUS", config).reply()?)
    }

    /// GC as a runtime calls it: of no attachment.
    pub(in crate::cases) fn gc(bench: &mut Bench, config: &Value) -> Result<Reply, Failure> {
        Ok(of_no_attachment(bench, "GC", config).reply()?)
    }

    /// A call that concerns no attachment.
    pub(in crate::cases) fn of_no_attachment(bench: &Bench, command: &str, config: &Value) -> Call {
        let call = bench.call(command, config).unset("CNI_CONTAINERID");
        call.unset("CNI_NETNS").unset("CNI_IFNAME")
    }
}

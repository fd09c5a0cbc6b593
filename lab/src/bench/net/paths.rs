//! The ways from a client to a server that are compared, and what each needs.

use std::fmt;

use clap::ValueEnum;
use kernel::NewKind;
use serde::{Deserialize, Serialize};

use super::family::Family;
use crate::bench::netd::Backend;

/// One way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Path {
    /// Within one namespace: the ceiling
    Loopback,
    /// Two namespaces with a bare veth pair between them: what pods on one node are seen against
    Veth,
    /// Between two nodes, without pods
    Node,
    /// Pods on one node, by the plugin bridge
    Bridge,
    /// Pods on one node, by the plugin ptp
    Ptp,
    /// Pods on one node, by the plugin macvlan
    Macvlan,
    /// Pods on one node, by the plugin ipvlan
    Ipvlan,
    /// From a pod to another node, by the plugin bridge with ipMasq
    Masquerade,
    /// From another node to a pod, by the plugin portmap
    Portmap,
    /// From a pod to itself, by the port that portmap maps on its node
    Hairpin,
    /// Pods on two nodes, by netd's backend host-gw
    HostGw,
    /// Pods on two nodes, by the backend vxlan
    Vxlan,
    /// Pods on two nodes, by a device, routes, neighbours and FDB entries of ip and bridge: what netd's is seen against
    VxlanByHand,
    /// Pods on two nodes, by the backend ipip
    Ipip,
    /// Pods on two nodes, by the backend wireguard
    Wireguard,
    /// Pods on two nodes, by the backend udp
    Udp,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::name_of(self, f)
    }
}

impl Path {
    /// What attaches its pods; none where it has no pods.
    pub(super) fn plugins(self) -> &'static [&'static str] {
        match self {
            Self::Loopback | Self::Veth | Self::Node => &[],
            Self::Bridge | Self::Masquerade => &["bridge", "host-local"],
            Self::Ptp => &["ptp", "host-local"],
            Self::Macvlan => &["macvlan", "host-local"],
            Self::Ipvlan => &["ipvlan", "host-local"],
            Self::Portmap | Self::Hairpin => &["bridge", "portmap", "host-local"],
            Self::HostGw
            | Self::Vxlan
            | Self::VxlanByHand
            | Self::Ipip
            | Self::Wireguard
            | Self::Udp => &["bridge", "host-local"],
        }
    }

    pub(super) fn has_pods(self) -> bool {
        !self.plugins().is_empty()
    }

    /// netd's, as the network config names it.
    pub(super) fn backend(self) -> Option<&'static str> {
        match self {
            Self::HostGw => Some("host-gw"),
            Self::Vxlan => Some("vxlan"),
            Self::Ipip => Some("ipip"),
            Self::Wireguard => Some("wireguard"),
            Self::Udp => Some("udp"),
            _ => None,
        }
    }

    /// Whether it has IPv6, where the kernel and the plugins have.
    pub(super) fn has(self, family: Family) -> bool {
        family == Family::Ipv4 || !matches!(self, Self::Ipip | Self::Udp)
    }

    /// The kind of its links, where kernels are found without it.
    pub(super) fn kind(self) -> Option<NewKind<'static>> {
        match self {
            Self::Macvlan => Some(NewKind::Macvlan(kernel::Macvlan {
                mode: kernel::MacvlanMode::Bridge,
                broadcast_queue: None,
            })),
            Self::Ipvlan => Some(NewKind::Ipvlan(kernel::Ipvlan {
                mode: kernel::IpvlanMode::L2,
                flag: kernel::IpvlanFlag::Bridge,
            })),
            Self::Ipip => Backend::Ipip.kind(),
            Self::Wireguard => Backend::Wireguard.kind(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_on_the_command_line_and_in_the_file() {
        for path in Path::value_variants() {
            assert_eq!(serde_json::to_value(path).unwrap(), path.to_string());
            if let Some(backend) = path.backend() {
                assert_eq!(backend, path.to_string());
            }
        }
    }
}

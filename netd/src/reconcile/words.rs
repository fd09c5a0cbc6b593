//! Changes and routes in words: devices by name, one line each.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use backend::{Reason, Unserved};
use kernel::{Change, IfName, LinkIndex, PublicKey, Route};

use crate::health::{Finding, Severity};

/// Names of the links that netd has to do with.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeMap<LinkIndex, IfName>);

impl FromIterator<(LinkIndex, IfName)> for Names {
    fn from_iter<I: IntoIterator<Item = (LinkIndex, IfName)>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

impl Names {
    /// What a change is about: `route 10.1.0.0/24 via 10.1.0.0 dev flannel.1`.
    pub fn object(&self, change: &Change) -> String {
        match change {
            Change::AddAddress(link, address)
            | Change::AddAddressNoDad(link, address)
            | Change::DeleteAddress(link, address) => {
                format!("address {address} dev {}", self.link(*link))
            }
            Change::SetUp(link) => format!("link {} up", self.link(*link)),
            Change::AddRoute(route) | Change::ReplaceRoute(route) | Change::DeleteRoute(route) => {
                format!("route {}", self.route(route))
            }
            Change::ReplaceNeighbour(entry)
            | Change::ReplaceNeighbourBy(entry, _)
            | Change::DeleteNeighbour(entry) => {
                let link = self.link(entry.link);
                format!("neighbour {} {} dev {link}", entry.address, entry.mac)
            }
            Change::ReplaceFdb(entry) | Change::DeleteFdb(entry) => {
                let link = self.link(entry.link);
                format!("FDB entry {} dev {link} dst {}", entry.mac, entry.dst)
            }
            Change::ReplaceBridgeFdb(entry) => {
                format!("FDB entry {} dev {}", entry.mac, self.link(entry.port))
            }
            Change::SetWireguardPeer(link, peer) => self.peer(*link, peer.public_key),
            Change::RemoveWireguardPeer(link, key) => self.peer(*link, *key),
        }
    }

    /// A change with its verb: `replace route 10.1.0.0/24 via 10.1.0.0 dev flannel.1`.
    pub fn change(&self, change: &Change) -> String {
        format!("{} {}", verb(change), self.object(change))
    }

    /// What the kernel refused, and why.
    pub fn refusal(&self, change: &Change, error: &kernel::Error) -> Finding {
        let object = self.object(change);
        let verb = verb(change);
        let words = error.message.as_deref().map(|words| format!(" ({words})"));
        let words = words.unwrap_or_default();
        let what = format!(
            "{object}: the kernel refuses to {verb} it{words}: {}",
            error.source
        );
        Finding::new(Severity::Degraded, object, what)
    }

    /// A route of somebody else's where one of ours belongs.
    pub fn conflict(&self, route: &Route) -> Finding {
        let what = format!(
            "another route holds {}: {} (protocol {}); it is left alone",
            route.dst,
            self.route(route),
            route.protocol
        );
        Finding::new(Severity::Degraded, format!("route {}", route.dst), what)
            .remedy("delete it to let netd set its own")
            .command(self.deletion(route))
    }

    /// The command that takes a route away.
    fn deletion(&self, route: &Route) -> String {
        let family = if route.dst.is_ipv4() { "-4" } else { "-6" };
        let protocol = route.protocol;
        let route = self.route(route);
        format!("ip {family} route del {route} proto {protocol}")
    }

    fn peer(&self, link: LinkIndex, key: PublicKey) -> String {
        format!("WireGuard peer {key} dev {}", self.link(link))
    }

    fn route(&self, route: &Route) -> String {
        let mut text = route.dst.to_string();
        // Writing to a String cannot fail.
        if let Some(gateway) = route.gateway {
            let _ = write!(text, " via {gateway}");
        }
        if let Some(link) = route.link {
            let _ = write!(text, " dev {}", self.link(link));
        }
        if let Some(metric) = route.priority {
            let _ = write!(text, " metric {metric}");
        }
        text
    }

    fn link(&self, link: LinkIndex) -> String {
        match self.0.get(&link) {
            Some(name) => name.to_string(),
            None => format!("number {link}"),
        }
    }
}

/// Something of ours that somebody else changes again and again.
pub fn fought(object: String) -> Finding {
    let what = format!(
        "{object}: another program changes it again and again; netd puts it back once a second at \
         most"
    );
    Finding::new(Severity::Degraded, object, what).remedy(
        "find that program: `ip -timestamp monitor all` shows when it does so; flanneld, \
         NetworkManager and systemd-networkd are usual",
    )
}

/// A peer's subnet that is not served, and why.
pub fn unserved(unserved: &Unserved) -> Finding {
    let Unserved { subnet, reason } = unserved;
    let what = format!("{subnet} is not served: {reason}");
    Finding::new(Severity::Degraded, subnet.to_string(), what).remedy(mend(reason))
}

/// What somebody can do about a lease that is not served.
fn mend(reason: &Reason) -> &'static str {
    match reason {
        Reason::OtherBackend(_) => {
            "restart the daemon on that node, so that it reads the network config of today; if \
             this node is the one behind, restart netd here"
        }
        Reason::NotOnLink(_) => {
            "join the nodes by one link, or use the backend vxlan (DirectRouting makes it as fast \
             where there is one)"
        }
        Reason::OwnAddress(_) => {
            "another node claims this node's address: give it one of its own; if the lease is one \
             of this node's earlier ones, it ends by itself within a day, or delete its key"
        }
        Reason::OwnMac(_) | Reason::Collision(_) => {
            "delete the flannel device of one of the two nodes (`ip link del flannel.1`) and \
             restart its daemon: it gets a new MAC"
        }
        Reason::OwnKey(_) | Reason::KeyTaken(_) => {
            "was a machine cloned? Stop the daemon of one of the two nodes, delete its key file \
             (/run/flannel/wgkey) and its device (`ip link del flannel-wg`), and start it: it gets \
             a new key. A lease of the same node's earlier address ends by itself within a day"
        }
        Reason::NoPublicAddress => {
            "that node's daemon runs without this address family: start it with the network config \
             of today, or give it -public-ip or -public-ipv6"
        }
        Reason::BadPublicAddress(..) => "start the daemon of that node with a right -public-ip",
        Reason::BadBackendData(_) | Reason::BadMac(..) => {
            "restart the daemon of that node: it publishes its lease anew"
        }
        Reason::HostBits
        | Reason::OutsideNetwork(_)
        | Reason::TooWide(_)
        | Reason::OverlapsOwn(_)
        | Reason::Overlaps(_)
        | Reason::Covers(_) => {
            "delete its key under subnets/ in the store, if no node uses it: it is left from \
             another network config, or somebody wrote it by hand"
        }
    }
}

fn verb(change: &Change) -> &'static str {
    match change {
        Change::AddAddress(..) | Change::AddAddressNoDad(..) | Change::AddRoute(_) => "add",
        Change::SetUp(_)
        | Change::ReplaceRoute(_)
        | Change::ReplaceNeighbour(_)
        | Change::ReplaceNeighbourBy(..)
        | Change::ReplaceBridgeFdb(_)
        | Change::ReplaceFdb(_)
        | Change::SetWireguardPeer(..) => "set",
        Change::DeleteAddress(..)
        | Change::DeleteRoute(_)
        | Change::DeleteNeighbour(_)
        | Change::DeleteFdb(_)
        | Change::RemoveWireguardPeer(..) => "delete",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{FdbEntry, MacAddr, Neighbour};

    fn names() -> Names {
        let name = |text: &str| text.parse().expect("name");
        [
            (LinkIndex(2), name("eth0")),
            (LinkIndex(3), name("flannel.1")),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn objects_are_named_as_people_call_them() {
        let device = LinkIndex(3);
        let address = "10.5.9.0".parse().expect("address");
        let mac = MacAddr([2, 0, 0, 0, 0, 9]);
        let route = Route {
            gateway: Some(address),
            link: Some(device),
            ..Route::to("10.5.9.0/24".parse().expect("dst"))
        };
        let neighbour = Neighbour {
            link: device,
            address,
            mac,
        };
        let entry = FdbEntry {
            link: LinkIndex(77),
            mac,
            dst: "192.0.2.9".parse().expect("address"),
        };
        for (change, text) in [
            (
                Change::ReplaceRoute(route),
                "set route 10.5.9.0/24 via 10.5.9.0 dev flannel.1",
            ),
            (
                Change::DeleteNeighbour(neighbour),
                "delete neighbour 10.5.9.0 02:00:00:00:00:09 dev flannel.1",
            ),
            (
                Change::ReplaceFdb(entry),
                "set FDB entry 02:00:00:00:00:09 dev number 77 dst 192.0.2.9",
            ),
            (
                Change::RemoveWireguardPeer(device, PublicKey([0; 32])),
                "delete WireGuard peer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= dev flannel.1",
            ),
            (
                Change::AddAddress(LinkIndex(2), "10.5.1.0/32".parse().expect("address")),
                "add address 10.5.1.0/32 dev eth0",
            ),
        ] {
            assert_eq!(names().change(&change), text);
        }
    }

    #[test]
    fn a_refusal_is_one_line_with_the_kernels_reason() {
        let change = Change::AddAddress(LinkIndex(3), "10.5.1.0/32".parse().expect("address"));
        let error = kernel::Error::new(
            "add address",
            "10.5.1.0/32 to 3",
            std::io::Error::from_raw_os_error(13),
        );
        let finding = names().refusal(&change, &error);
        assert_eq!(finding.object, "address 10.5.1.0/32 dev flannel.1");
        assert_eq!(
            finding.what,
            "address 10.5.1.0/32 dev flannel.1: the kernel refuses to add it: Permission denied \
             (os error 13)"
        );
    }
}

//! Whose masquerading it is in iptables: the names that the reference plugins gave it, which are ours
//! too, so that either side finds and removes what the other made.

use ipnetwork::IpNetwork;

use super::Error;
use crate::{Identity, identity::hash};

impl Identity<'_> {
    /// The iptables chain. It does not depend on the interface: several interfaces of a container
    /// on one network share it.
    pub(super) fn chain(&self) -> String {
        hash(
            "CNI-",
            &format!("{}{}", self.network, self.container_id),
            28,
        )
    }

    /// The comment of every iptables rule.
    pub(super) fn iptables_comment(&self) -> String {
        format!("name: {:?} id: {:?}", self.network, self.container_id)
    }

    /// The error of CHECK for `address`.
    pub(super) fn missing(&self, address: IpNetwork) -> Error {
        Error::Missing {
            address,
            network: self.network.to_owned(),
            container_id: self.container_id.to_owned(),
            ifname: self.ifname.to_owned(),
        }
    }
}

/// The container of an iptables comment of `network`.
pub(super) fn container_of<'a>(comment: &'a str, network: &str) -> Option<&'a str> {
    comment
        .strip_prefix(&format!("name: {network:?} id: \""))?
        .strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner<'a>(network: &'a str, ifname: &'a str, container_id: &'a str) -> Identity<'a> {
        Identity {
            network,
            container_id,
            ifname,
        }
    }

    /// Known answers of the reference plugins.
    #[test]
    fn names_are_the_references() {
        for (network, container_id, chain) in [
            ("test", "1234", "CNI-2bbe0c48b91a7d1b8a6753a8"),
            (
                "testalongnamethatdoesnotmakesense",
                "1234",
                "CNI-374f33fe84ab0ed84dcdebe3",
            ),
            ("dbnet", "container99", "CNI-4c6a6a42dce02c826f726d2d"),
            ("dbnet", "ctr1", "CNI-a4fa0b217749fd390b69a8a5"),
        ] {
            assert_eq!(owner(network, "eth0", container_id).chain(), chain);
        }
        for (network, ifname, container_id, pair) in [
            ("dbnet", "eth0", "ctr1", "77fa157b4f32b23b-7883a6f9ce71eedb"),
            (
                "unit-test",
                "eth0",
                "one",
                "6fd94d501e58f0aa-287fc69eff0574a2",
            ),
            (
                "unit-test",
                "eth0",
                "two",
                "6fd94d501e58f0aa-d750b2c8f0f25d5f",
            ),
            (
                "alternate",
                "net1",
                "three",
                "82783ef24bdc7036-acb19d111858e348",
            ),
        ] {
            assert_eq!(owner(network, ifname, container_id).hash_pair(), pair);
        }
    }

    #[test]
    fn comments_are_the_references() {
        let owner = owner("dbnet", "eth0", "ctr1");
        assert_eq!(owner.iptables_comment(), r#"name: "dbnet" id: "ctr1""#);
        assert_eq!(
            container_of(&owner.iptables_comment(), "dbnet"),
            Some("ctr1")
        );
        assert_eq!(container_of(&owner.iptables_comment(), "db"), None);
    }
}

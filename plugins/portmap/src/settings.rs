//! What the mappings of one attachment shall be: checked, and as it is remembered of a living pod.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use kernel::Family;
use serde::{Deserialize, Serialize};

use crate::{error::ConfigError, mapping::Mapping};

/// What keeps the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Backend {
    Nftables,
    Iptables,
}

impl Backend {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }

    /// An empty one is as good as none.
    pub(crate) fn parse(text: Option<&str>) -> Result<Option<Self>, ConfigError> {
        match text {
            None | Some("") => Ok(None),
            Some("nftables") => Ok(Some(Self::Nftables)),
            Some("iptables") => Ok(Some(Self::Iptables)),
            Some(other) => Err(ConfigError::Backend(other.to_owned())),
        }
    }
}

/// What the rules of an attachment say besides its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// The best there is if none.
    pub(crate) backend: Option<Backend>,
    pub(crate) snat: bool,
    pub(crate) masq_all: bool,
    /// Of iptables: which bit of the mark asks for masquerading.
    pub(crate) mark_bit: u8,
    /// Of iptables: the chain that takes the place of our own marking and masquerading.
    pub(crate) set_mark_chain: Option<String>,
    /// Words, in the syntax of the backend.
    #[serde(rename = "conditionsV4")]
    pub(crate) conditions_v4: Vec<String>,
    /// The same for IPv6.
    #[serde(rename = "conditionsV6")]
    pub(crate) conditions_v6: Vec<String>,
    pub(crate) mappings: Vec<Mapping>,
}

impl Settings {
    /// The words of a family's conditions.
    pub(crate) fn conditions(&self, family: Family) -> &[String] {
        match family {
            Family::V4 => &self.conditions_v4,
            Family::V6 => &self.conditions_v6,
        }
    }

    /// The mappings of the target's family.
    pub(crate) fn mappings_of(&self, target: &IpNetwork) -> impl Iterator<Item = &Mapping> {
        let family = Family::from(target);
        self.mappings
            .iter()
            .filter(move |mapping| mapping.is_of(family))
    }

    /// What of the mappings comes to nothing for a pod of these addresses, in words.
    pub(crate) fn useless(&self, targets: &[IpNetwork]) -> Vec<String> {
        let has_address = |mapping: &&Mapping| {
            let mut families = targets.iter().map(Family::from);
            families.any(|family| mapping.is_of(family))
        };
        let nowhere = self.mappings.iter().filter(|mapping| !has_address(mapping));
        let nowhere = nowhere.map(|mapping| {
            let family = Family::ALL
                .into_iter()
                .filter(|family| mapping.is_of(*family));
            let families: Vec<String> = family.map(|family| family.to_string()).collect();
            let families = families.join(" or ");
            format!("host port {mapping} is not mapped: the pod has no {families} address")
        });
        let mut twice: Vec<&Mapping> = Vec::new();
        for target in targets {
            let mut known = BTreeMap::new();
            for mapping in self.mappings_of(target) {
                let place = (mapping.protocol, mapping.host_port, mapping.on.address());
                let first = *known.entry(place).or_insert(mapping.container_port);
                if first != mapping.container_port && !twice.contains(&mapping) {
                    twice.push(mapping);
                }
            }
        }
        let twice = twice.into_iter().map(|mapping| {
            format!("host port {mapping} is mapped twice; it leads to the first of the container's ports")
        });
        nowhere.chain(twice).collect()
    }

    /// The targets that something is mapped to.
    pub(crate) fn mapped<'a>(
        &'a self,
        targets: &'a [IpNetwork],
    ) -> impl Iterator<Item = &'a IpNetwork> {
        targets
            .iter()
            .filter(|target| self.mappings_of(target).next().is_some())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::NetConf;

    fn useless(mappings: Value, targets: &[&str]) -> Vec<String> {
        let config = json!({ "runtimeConfig": { "portMappings": mappings } });
        let conf: NetConf = cni::json::from_slice(config.to_string().as_bytes()).unwrap();
        let targets: Vec<IpNetwork> = targets.iter().map(|one| one.parse().unwrap()).collect();
        conf.check().unwrap().useless(&targets)
    }

    #[test]
    fn mappings_without_an_address_or_behind_another_are_told_once() {
        let mapping = |container: u16, host_ip: &str| json!({ "hostPort": 8080, "containerPort": container, "protocol": "tcp", "hostIP": host_ip });
        let v4 = ["10.9.0.5/24"];
        let both = ["10.9.0.5/24", "fd09::5/64"];
        let twice =
            "host port tcp 8080 is mapped twice; it leads to the first of the container's ports";
        let no_v6 = "host port tcp [fd00::5]:8080 is not mapped: the pod has no IPv6 address";
        for (mappings, targets, told) in [
            (json!([mapping(80, "")]), &v4[..], vec![]),
            (json!([mapping(80, "fd00::5")]), &v4[..], vec![no_v6]),
            (json!([mapping(80, "fd00::5")]), &both[..], vec![]),
            (
                json!([mapping(80, "")]),
                &[][..],
                vec!["host port tcp 8080 is not mapped: the pod has no IPv4 or IPv6 address"],
            ),
            (
                json!([mapping(80, ""), mapping(81, "")]),
                &both[..],
                vec![twice],
            ),
            (
                json!([mapping(80, ""), mapping(80, "0.0.0.0")]),
                &both[..],
                vec![],
            ),
            (
                json!([mapping(80, ""), mapping(81, "::")]),
                &both[..],
                vec![twice],
            ),
            (
                json!([mapping(80, "0.0.0.0"), mapping(81, "::")]),
                &both[..],
                vec![],
            ),
            (
                json!([mapping(80, ""), mapping(81, "192.0.2.1")]),
                &both[..],
                vec![],
            ),
        ] {
            assert_eq!(useless(mappings.clone(), targets), told, "{mappings}");
        }
    }
}

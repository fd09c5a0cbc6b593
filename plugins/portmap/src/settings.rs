//! What the mappings of one attachment shall be: checked, and as it is remembered of a living pod.

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

//! What ADD returns. In memory always the newest shape; versions matter only when it is printed
//! or parsed (CNI specification 1.1.0, section "Success", and the older specifications).

mod parse;
mod print;

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SpecVersion;
use crate::json::{self, cidr, ip};

/// An interface that ADD made or changed, on the host or in the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Hardware address, lower case with colons.
    pub mac: Option<String>,
    /// MTU in bytes; printed from 1.0.0 on.
    pub mtu: Option<u32>,
    /// Path of the network namespace; `None` for the host's.
    pub sandbox: Option<String>,
    /// Path of a socket that stands for the interface; printed from 1.0.0 on.
    pub socket_path: Option<String>,
    /// PCI address; printed from 1.0.0 on.
    pub pci_id: Option<String>,
}

/// An address that ADD assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpConfig {
    /// The address with the prefix length of its subnet.
    pub address: IpNetwork,
    /// The subnet's gateway.
    pub gateway: Option<IpAddr>,
    /// Index into [`AddResult::interfaces`].
    pub interface: Option<usize>,
}

/// A route of the pod. Also read from configuration (`ipam.routes`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Route {
    /// Destination; host bits are kept as they were written.
    #[serde(with = "destination")]
    #[schemars(with = "json::Cidr", extend("examples" = ["0.0.0.0/0"]))]
    pub dst: IpNetwork,
    /// Next hop.
    #[serde(default, with = "ip", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<IpAddr>", extend("examples" = ["10.1.0.1"]))]
    pub gw: Option<IpAddr>,
    /// MTU of the path in bytes; 0 is unset.
    #[serde(
        default,
        deserialize_with = "nonzero",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(extend("x-unit" = "bytes", "x-since" = "1.6.0", "examples" = [1400]))]
    pub mtu: Option<u32>,
    /// Maximum segment size to advertise in bytes; 0 is unset.
    #[serde(
        default,
        deserialize_with = "nonzero",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(extend("x-unit" = "bytes", "x-since" = "1.6.0", "examples" = [1360]))]
    pub advmss: Option<u32>,
    /// The kernel's metric, lower wins; 0 is unset.
    #[serde(
        default,
        deserialize_with = "nonzero",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(extend("x-since" = "1.6.0", "examples" = [100]))]
    pub priority: Option<u32>,
    /// Routing table; 0 is a value.
    #[schemars(extend("x-since" = "1.6.0", "examples" = [100]))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// The kernel's scope (`rtnetlink(7)`): 0 global, 253 link, 254 host.
    #[schemars(extend("x-since" = "1.6.0", "examples" = [253]))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
}

impl Route {
    /// A route to `dst` by `gw` with nothing else set.
    pub fn new(dst: IpNetwork, gw: Option<IpAddr>) -> Self {
        Self {
            dst,
            gw,
            mtu: None,
            advmss: None,
            priority: None,
            table: None,
            scope: None,
        }
    }
}

/// Name resolution for the pod. Also read from configuration (`dns`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Dns {
    /// Addresses of name servers, most wanted first.
    #[schemars(extend("examples" = [["10.96.0.10"]]))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// Local domain.
    #[schemars(extend("examples" = ["cluster.local"]))]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Search domains, most wanted first.
    #[schemars(extend("examples" = [["svc.cluster.local"]]))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Resolver options.
    #[schemars(extend("examples" = [["ndots:5"]]))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Dns {
    /// Nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The result of ADD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddResult {
    /// Interfaces; IPAM plugins leave them empty.
    pub interfaces: Vec<Interface>,
    /// Addresses.
    pub ips: Vec<IpConfig>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Name resolution.
    pub dns: Dns,
}

/// The versions that share one shape of the result document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// 0.1.0, 0.2.0: `ip4`, `ip6`.
    Legacy,
    /// 0.3.0, 0.3.1, 0.4.0: `ips` with `version`.
    Listed,
    /// 1.0.0, 1.1.0.
    Current,
}

impl Shape {
    fn of(version: SpecVersion) -> Self {
        match version {
            SpecVersion::V0_1_0 | SpecVersion::V0_2_0 => Self::Legacy,
            SpecVersion::V0_3_0 | SpecVersion::V0_3_1 | SpecVersion::V0_4_0 => Self::Listed,
            SpecVersion::V1_0_0 | SpecVersion::V1_1_0 => Self::Current,
        }
    }

    /// The versions of the shape as the reference lists them; a missing version belongs to the
    /// oldest.
    fn versions(self) -> &'static str {
        match self {
            Self::Legacy => "[ 0.1.0 0.2.0]",
            Self::Listed => "[0.3.0 0.3.1 0.4.0]",
            Self::Current => "[1.0.0 1.1.0]",
        }
    }
}

/// A CIDR that must be there.
mod destination {
    use ipnetwork::IpNetwork;
    use serde::{Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(dst: &IpNetwork, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(dst)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<IpNetwork, D::Error> {
        super::cidr::deserialize(from)?.ok_or_else(|| D::Error::custom("invalid CIDR address: "))
    }
}

fn nonzero<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    Ok(Option::<u32>::deserialize(from)?.filter(|number| *number != 0))
}

#[cfg(test)]
mod tests;

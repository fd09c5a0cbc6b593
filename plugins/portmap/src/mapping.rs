//! Port mappings: as the runtime gives them, and as they are checked.

use std::{fmt, net::IpAddr};

use ipnetwork::IpNetwork;
use kernel::Family;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// One entry of `runtimeConfig.portMappings`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PortMapping {
    /// The port of the host.
    #[schemars(range(min = 1, max = 65535), extend("examples" = [8080]))]
    pub host_port: i64,
    /// The port of the container.
    #[schemars(range(min = 1, max = 65535), extend("examples" = [80]))]
    pub container_port: i64,
    /// The protocol, in whatever case.
    #[schemars(extend("enum" = ["tcp", "udp", "sctp"]))]
    pub protocol: String,
    /// The host's address that the port is mapped on. Empty: on all; `0.0.0.0` and `::`: on all of
    /// a family. A loopback address is reached from the host alone; `::1` cannot be mapped.
    #[serde(rename = "hostIP")]
    #[schemars(extend("examples" = ["192.0.2.1"]))]
    pub host_ip: String,
}

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Sctp,
    Tcp,
    Udp,
}

impl Protocol {
    /// All, sorted by name, as the reference plugin sorts its rules.
    pub(crate) const SORTED: [Self; 3] = [Self::Sctp, Self::Tcp, Self::Udp];

    /// The number in an IP header (IANA's protocol numbers).
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_it = |protocol: &Self| protocol.name().eq_ignore_ascii_case(text);
        Self::SORTED.into_iter().find(is_it)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where on the host a port is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum On {
    /// On every address.
    All,
    /// On every address of IPv4.
    V4,
    /// On every address of IPv6.
    V6,
    /// On this one.
    #[serde(untagged)]
    One(IpAddr),
}

impl On {
    /// An IPv4 address in the clothes of IPv6 is an IPv4 address, as for the reference plugin.
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::All);
        }
        let address = text.parse::<IpAddr>().ok()?.to_canonical();
        Some(match (address.is_unspecified(), address) {
            (true, IpAddr::V4(_)) => Self::V4,
            (true, IpAddr::V6(_)) => Self::V6,
            (false, address) => Self::One(address),
        })
    }

    /// Whether connections of the family can be meant.
    fn includes(self, family: Family) -> bool {
        match self {
            Self::All => true,
            Self::V4 => family == Family::V4,
            Self::V6 => family == Family::V6,
            Self::One(address) => Family::from(address) == family,
        }
    }

    /// The one address, if it is one.
    pub(crate) fn address(self) -> Option<IpAddr> {
        match self {
            Self::One(address) => Some(address),
            _ => None,
        }
    }
}

/// A checked mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mapping {
    pub protocol: Protocol,
    pub host_port: u16,
    pub container_port: u16,
    pub on: On,
}

/// `tcp 8080`, `tcp 192.0.2.1:8080`
impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            protocol,
            host_port: port,
            on,
            ..
        } = self;
        match on {
            On::All | On::V4 | On::V6 => write!(f, "{protocol} {port}"),
            On::One(IpAddr::V4(address)) => write!(f, "{protocol} {address}:{port}"),
            On::One(IpAddr::V6(address)) => write!(f, "{protocol} [{address}]:{port}"),
        }
    }
}

impl PortMapping {
    /// Checks one mapping, which works only with `snat` when it is of a loopback address.
    pub(crate) fn check(&self, snat: bool) -> Result<Mapping, ConfigError> {
        let container_port =
            port(self.container_port).ok_or(ConfigError::ContainerPort(self.container_port))?;
        let host_port = port(self.host_port).ok_or(ConfigError::HostPort(self.host_port))?;
        let protocol = Protocol::parse(&self.protocol).ok_or_else(|| ConfigError::Protocol {
            host_port,
            protocol: self.protocol.clone(),
        })?;
        let on = On::parse(&self.host_ip).ok_or_else(|| ConfigError::HostIp {
            host_port,
            host_ip: self.host_ip.clone(),
        })?;
        match on.address().filter(IpAddr::is_loopback) {
            Some(IpAddr::V6(_)) => return Err(ConfigError::Ipv6Loopback { host_port }),
            Some(address) if !snat => return Err(ConfigError::LoopbackKept { host_port, address }),
            _ => {}
        }
        Ok(Mapping {
            protocol,
            host_port,
            container_port,
            on,
        })
    }
}

fn port(number: i64) -> Option<u16> {
    u16::try_from(number).ok().filter(|port| *port != 0)
}

impl Mapping {
    /// Whether connections of the family can be meant.
    pub(crate) fn is_of(&self, family: Family) -> bool {
        self.on.includes(family)
    }
}

/// The pod's addresses that ports are mapped to: the first of each family among those that name no
/// interface, or one that is not listed, or the pod's own.
pub(crate) fn targets(ifname: &str, added: &cni::AddResult) -> Vec<IpNetwork> {
    let is_own = |ip: &&cni::IpConfig| {
        let listed = ip.interface.and_then(|index| added.interfaces.get(index));
        listed.is_none_or(|interface| interface.name == ifname && interface.sandbox.is_some())
    };
    let own: Vec<IpNetwork> = added
        .ips
        .iter()
        .filter(is_own)
        .map(|ip| ip.address)
        .collect();
    let first = |family| own.iter().find(|address| Family::from(*address) == family);
    Family::ALL.into_iter().filter_map(first).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(host_port: i64, container_port: i64, protocol: &str, host_ip: &str) -> PortMapping {
        PortMapping {
            host_port,
            container_port,
            protocol: protocol.to_owned(),
            host_ip: host_ip.to_owned(),
        }
    }

    #[test]
    fn impossible_mappings_are_refused_and_named() {
        for (mapping, text) in [
            (
                written(8080, 0, "tcp", ""),
                "Invalid container port number: 0 (1 to 65535)",
            ),
            (
                written(8080, 70000, "tcp", ""),
                "Invalid container port number: 70000 (1 to 65535)",
            ),
            (
                written(-1, 80, "tcp", ""),
                "Invalid host port number: -1 (1 to 65535)",
            ),
            (
                written(0, 80, "tcp", ""),
                "Invalid host port number: 0 (1 to 65535)",
            ),
            (
                written(8080, 80, "foo", ""),
                "unknown protocol \"foo\" of host port 8080 (tcp, udp or sctp)",
            ),
            (
                written(8080, 80, "", ""),
                "unknown protocol \"\" of host port 8080 (tcp, udp or sctp)",
            ),
            (
                written(8080, 80, "tcp", "10.0.0"),
                "invalid hostIP \"10.0.0\" of host port 8080: not an IP address",
            ),
            (
                written(8080, 80, "tcp", "::1"),
                "hostIP ::1 of host port 8080 cannot be mapped: the kernel lets nothing from ::1 leave \
                 the host (it has no route_localnet for IPv6); name 127.0.0.1 or another address",
            ),
        ] {
            assert_eq!(mapping.check(true).unwrap_err().to_string(), text);
        }
        let loopback = written(8080, 80, "tcp", "127.0.0.1");
        assert!(loopback.check(true).is_ok());
        let error = loopback.check(false).unwrap_err().to_string();
        assert!(
            error.contains("127.0.0.1") && error.contains("snat"),
            "{error}"
        );
    }

    #[test]
    fn addresses_choose_families() {
        for (host_ip, families, text) in [
            ("", [true, true], "tcp 8080"),
            ("0.0.0.0", [true, false], "tcp 8080"),
            ("::", [false, true], "tcp 8080"),
            ("192.0.2.1", [true, false], "tcp 192.0.2.1:8080"),
            ("::ffff:192.0.2.1", [true, false], "tcp 192.0.2.1:8080"),
            ("::ffff:0.0.0.0", [true, false], "tcp 8080"),
            ("2001:db8::1", [false, true], "tcp [2001:db8::1]:8080"),
        ] {
            let mapping = written(8080, 80, "TCP", host_ip).check(true).unwrap();
            assert_eq!(
                Family::ALL.map(|family| mapping.is_of(family)),
                families,
                "{host_ip}"
            );
            assert_eq!(mapping.to_string(), text);
            let json = serde_json::to_string(&mapping).unwrap();
            assert_eq!(
                serde_json::from_str::<Mapping>(&json).unwrap(),
                mapping,
                "{json}"
            );
        }
    }
}

//! `subnet.env`: what netd tells the CNI plugins (and scripts that source it) about this node.

use std::fmt;

use ipnetwork::{Ipv4Network, Ipv6Network};

use crate::config::NetworkConfig;
use crate::subnets::Subnets;

/// The content of `subnet.env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetEnv {
    /// `FLANNEL_NETWORK`: one network, in files of old daemons several; empty without IPv4.
    pub networks: Vec<Ipv4Network>,
    /// `FLANNEL_SUBNET`: the node's first address and the length of its subnet.
    pub subnet: Option<Ipv4Network>,
    /// `FLANNEL_IPV6_NETWORK`.
    pub ipv6_networks: Vec<Ipv6Network>,
    /// `FLANNEL_IPV6_SUBNET`.
    pub ipv6_subnet: Option<Ipv6Network>,
    /// `FLANNEL_MTU` in bytes.
    pub mtu: u32,
    /// `FLANNEL_IPMASQ`: the daemon masquerades, so the plugins must not.
    pub ip_masq: bool,
}

/// A `subnet.env` that a CNI plugin cannot use.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SubnetEnvError {
    /// Required lines are not there.
    #[error("{}", missing(.0))]
    Missing(Vec<&'static str>),
    /// A line has a value that its key cannot have.
    #[error("{key} is {value:?}, which is not {wanted}")]
    Value {
        /// The key.
        key: &'static str,
        /// What follows the `=`.
        value: String,
        /// What would be right.
        wanted: &'static str,
    },
}

const NETWORK: &str = "FLANNEL_NETWORK";
const SUBNET: &str = "FLANNEL_SUBNET";
const IPV6_NETWORK: &str = "FLANNEL_IPV6_NETWORK";
const IPV6_SUBNET: &str = "FLANNEL_IPV6_SUBNET";
const MTU: &str = "FLANNEL_MTU";
const IPMASQ: &str = "FLANNEL_IPMASQ";

impl SubnetEnv {
    /// The content for a node that leases `subnets`; `mtu` is the one of its pods.
    pub fn new(config: &NetworkConfig, subnets: &Subnets, mtu: u32, ip_masq: bool) -> Self {
        Self {
            networks: config.network_v4().into_iter().collect(),
            subnet: subnets.v4.and_then(|net| {
                let first = net.network().to_bits().checked_add(1)?;
                Ipv4Network::new(first.into(), net.prefix()).ok()
            }),
            ipv6_networks: config.network_v6().into_iter().collect(),
            ipv6_subnet: subnets.v6.and_then(|net| {
                let first = net.network().to_bits().checked_add(1)?;
                Ipv6Network::new(first.into(), net.prefix()).ok()
            }),
            mtu,
            ip_masq,
        }
    }

    /// Reads the file as the flannel CNI plugin does: one `KEY=VALUE` a line, other lines ignored,
    /// no quotes, networks as comma lists without their duplicates, `true` the only true.
    ///
    /// # Errors
    /// A required key is missing (one network, one subnet, MTU, masquerade) or cannot be read.
    pub fn parse(text: &str) -> Result<Self, SubnetEnvError> {
        let value = |key| value(text, key);
        let list = |key| value(key).unwrap_or_default();
        let (networks, ipv6_networks) = (list(NETWORK), list(IPV6_NETWORK));
        let networks = cidrs(NETWORK, networks, "a list of IPv4 networks")?;
        let ipv6_networks = cidrs(IPV6_NETWORK, ipv6_networks, "a list of IPv6 networks")?;
        let subnet = value(SUBNET)
            .map(|text| cidr(SUBNET, text, "an IPv4 subnet"))
            .transpose()?;
        let ipv6_subnet = value(IPV6_SUBNET)
            .map(|text| cidr(IPV6_SUBNET, text, "an IPv6 subnet"))
            .transpose()?;
        let mtu = value(MTU).map(mtu).transpose()?;
        let ip_masq = value(IPMASQ).map(|text| text == "true");

        let missing: Vec<_> = [
            (NETWORK, networks.is_empty() && ipv6_networks.is_empty()),
            (SUBNET, subnet.is_none() && ipv6_subnet.is_none()),
            (MTU, mtu.is_none()),
            (IPMASQ, ip_masq.is_none()),
        ]
        .into_iter()
        .filter_map(|(key, missing)| missing.then_some(key))
        .collect();
        match (mtu, ip_masq) {
            (Some(mtu), Some(ip_masq)) if missing.is_empty() => Ok(Self {
                networks,
                subnet,
                ipv6_networks,
                ipv6_subnet,
                mtu,
                ip_masq,
            }),
            _ => Err(SubnetEnvError::Missing(missing)),
        }
    }

    /// The subnets that a daemon had before, read as flanneld does: quotes, `export`, blanks and
    /// comments are tolerated; a value with several networks, or one that cannot be read, counts as
    /// none. Host bits are masked off. `None` when nothing is left.
    pub fn previous(text: &str) -> Option<Subnets> {
        let mut found = Subnets { v4: None, v6: None };
        for (key, value) in text.lines().filter_map(dotenv) {
            match key {
                SUBNET => found.v4 = subnet(value).and_then(masked_v4),
                IPV6_SUBNET => found.v6 = subnet(value).and_then(masked_v6),
                _ => {}
            }
        }
        (found.v4.is_some() || found.v6.is_some()).then_some(found)
    }

    /// The node's subnets, host bits masked off.
    pub fn subnets(&self) -> Subnets {
        Subnets {
            v4: self.subnet.and_then(masked_v4),
            v6: self.ipv6_subnet.and_then(masked_v6),
        }
    }
}

/// Byte for byte what flannel writes; a shell can source it.
impl fmt::Display for SubnetEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks = |key, list: &[String]| match list {
            [] => String::new(),
            list => format!("{key}={}\n", list.join(",")),
        };
        let text = |nets: &[Ipv4Network]| nets.iter().map(ToString::to_string).collect::<Vec<_>>();
        f.write_str(&networks(NETWORK, &text(&self.networks)))?;
        if let Some(subnet) = self.subnet {
            writeln!(f, "{SUBNET}={subnet}")?;
        }
        let text = |nets: &[Ipv6Network]| nets.iter().map(ToString::to_string).collect::<Vec<_>>();
        f.write_str(&networks(IPV6_NETWORK, &text(&self.ipv6_networks)))?;
        if let Some(subnet) = self.ipv6_subnet {
            writeln!(f, "{IPV6_SUBNET}={subnet}")?;
        }
        writeln!(f, "{MTU}={}", self.mtu)?;
        writeln!(f, "{IPMASQ}={}", self.ip_masq)
    }
}

/// The value of the last line that sets `key`, white space at its end removed.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(key)?.strip_prefix('=').map(str::trim_end);
    text.lines().filter_map(value).next_back()
}

fn cidr<T: std::str::FromStr>(
    key: &'static str,
    text: &str,
    wanted: &'static str,
) -> Result<T, SubnetEnvError> {
    subnet(text).ok_or_else(|| SubnetEnvError::Value {
        key,
        value: text.to_owned(),
        wanted,
    })
}

/// A network with its length: an address alone is none.
fn subnet<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.contains('/').then(|| text.parse().ok()).flatten()
}

fn mtu(text: &str) -> Result<u32, SubnetEnvError> {
    let wanted = "a number of bytes";
    text.parse().map_err(|_| SubnetEnvError::Value {
        key: MTU,
        value: text.to_owned(),
        wanted,
    })
}

fn cidrs<T: std::str::FromStr + PartialEq>(
    key: &'static str,
    text: &str,
    wanted: &'static str,
) -> Result<Vec<T>, SubnetEnvError> {
    let mut list = Vec::new();
    for item in text.split(',').filter(|item| !item.is_empty()) {
        let network = cidr(key, item, wanted)?;
        if !list.contains(&network) {
            list.push(network);
        }
    }
    Ok(list)
}

/// One line as a dotenv reader takes it.
fn dotenv(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (key, value) = line.split_once('=')?;
    let value = value.trim();
    let unquoted = ['"', '\''].into_iter().find_map(|quote| {
        let inner = value.strip_prefix(quote)?;
        inner.split(quote).next()
    });
    Some((
        key.trim(),
        unquoted.unwrap_or_else(|| value.split(" #").next().unwrap_or(value).trim()),
    ))
}

fn masked_v4(net: Ipv4Network) -> Option<Ipv4Network> {
    Ipv4Network::new(net.network(), net.prefix()).ok()
}

fn masked_v6(net: Ipv6Network) -> Option<Ipv6Network> {
    Ipv6Network::new(net.network(), net.prefix()).ok()
}

fn missing(keys: &[&str]) -> String {
    format!("is missing {}", keys.join(", "))
}

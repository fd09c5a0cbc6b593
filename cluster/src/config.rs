//! The network configuration: what all nodes of a cluster share.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use serde_json::Value;

use crate::backend::Backend;
use crate::object::{JsonError, Object};
use crate::pool::{Pool, address, bits, number};
use crate::subnets::Subnets;

/// The network configuration with all defaults filled in, checked as flannel does with etcd.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    /// Where IPv4 subnets come from; `None` when IPv4 is off.
    pub v4: Option<Pool>,
    /// Where IPv6 subnets come from; `None` when IPv6 is off.
    pub v6: Option<Pool>,
    /// Firewall rules by nftables rather than iptables.
    pub nftables: bool,
    /// How the nodes are joined.
    pub backend: Backend,
}

/// A network configuration that cannot be used. Messages that flannel has are flannel's.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, or a key of the wrong type.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// `Backend` is not an object with a `Type`.
    #[error("error decoding Backend property of config")]
    Backend(#[source] JsonError),
    /// Both families are off. No change of a running daemon helps here: flanneld exits.
    #[error("none defined stack")]
    NoStack,
    /// A network is missing or 0.0.0.0/0.
    #[error("please define a correct {0} parameter in the flannel config")]
    NoNetwork(&'static str),
    /// Not a network in CIDR notation.
    #[error("invalid CIDR address: {0}")]
    Cidr(String),
    /// IPv6 where IPv4 belongs.
    #[error("invalid IPv4 CIDR format")]
    NotV4,
    /// Not an address.
    #[error("invalid IP address format")]
    Address,
    /// Subnets too small to be of use.
    #[error("SubnetLen must be less than /{0}")]
    SubnetLen(u8),
    /// Fewer than four subnets.
    #[error("network must be able to accommodate at least four subnets")]
    FewSubnets,
    /// A network too small to derive a subnet length from.
    #[error("{network} is too small. Minimum useful network prefix is /{prefix}")]
    SmallNetwork {
        /// Which one.
        network: &'static str,
        /// The longest prefix that would do.
        prefix: u8,
    },
    /// A bound outside the network.
    #[error("{bound} is not in the range of the {network}")]
    Range {
        /// The key of the bound.
        bound: &'static str,
        /// The key of the network.
        network: &'static str,
    },
    /// The last subnet before the first.
    #[error("{min} {first} is after {max} {last}: there is no subnet between them")]
    Order {
        /// The key of the first subnet.
        min: &'static str,
        /// Its value.
        first: IpAddr,
        /// The key of the last subnet.
        max: &'static str,
        /// Its value.
        last: IpAddr,
    },
    /// A network that no pod can have.
    #[error("{key} {network} holds {kind} addresses: give one that pods can have")]
    Kind {
        /// The key of the network.
        key: &'static str,
        /// Its value.
        network: IpNetwork,
        /// Which.
        kind: &'static str,
    },
    /// A bound inside a subnet.
    #[error("{bound} is not on a SubnetLen boundary: {address}")]
    Boundary {
        /// The key of the bound.
        bound: &'static str,
        /// Its value.
        address: IpAddr,
    },
}

/// The keys and limits of one family.
struct Family {
    network: &'static str,
    /// How flannel calls the network when it is too small.
    spoken: &'static str,
    len: &'static str,
    min: &'static str,
    max: &'static str,
    /// The length that subnets get in a network that has room for four of them.
    usual_len: u8,
    /// The longest subnet length.
    max_len: u8,
}

const V4: Family = Family {
    network: "Network",
    spoken: "network",
    len: "SubnetLen",
    min: "SubnetMin",
    max: "SubnetMax",
    usual_len: 24,
    max_len: 30,
};
const V6: Family = Family {
    network: "IPv6Network",
    spoken: "IPv6Network",
    len: "IPv6SubnetLen",
    min: "IPv6SubnetMin",
    max: "IPv6SubnetMax",
    usual_len: 64,
    max_len: 126,
};

/// One family's keys as they stand in the document.
#[derive(Default)]
struct Range {
    network: Option<IpNetwork>,
    len: u8,
    min: Option<IpAddr>,
    max: Option<IpAddr>,
}

impl NetworkConfig {
    /// Reads and checks the value of `<prefix>/config`.
    ///
    /// # Errors
    /// See [`ConfigError`]. As in flannel, every key is read, also those of a family that is off.
    pub fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        let object = Object::parse("the network configuration", text)?;
        let enable_v4 = object.bool("EnableIPv4")?.unwrap_or(true);
        let enable_v6 = object.bool("EnableIPv6")?.unwrap_or(false);
        let v4 = Range::parse(&object, &V4, cidr_v4, ip_v4)?;
        let v6 = Range::parse(&object, &V6, cidr_v6, ip_v6)?;
        let nftables = object.bool("EnableNFTables")?.unwrap_or(false);
        let backend = Backend::parse(object.get("Backend")).map_err(ConfigError::Backend)?;
        if !enable_v4 && !enable_v6 {
            return Err(ConfigError::NoStack);
        }
        let v4 = enable_v4.then(|| v4.pool(&V4)).transpose()?;
        let v6 = enable_v6.then(|| v6.pool(&V6)).transpose()?;
        Ok(Self {
            v4,
            v6,
            nftables,
            backend,
        })
    }

    /// The IPv4 network of the cluster.
    pub fn network_v4(&self) -> Option<Ipv4Network> {
        self.v4.and_then(|pool| match pool.network() {
            IpNetwork::V4(net) => Some(net),
            IpNetwork::V6(_) => None,
        })
    }

    /// The IPv6 network of the cluster.
    pub fn network_v6(&self) -> Option<Ipv6Network> {
        self.v6.and_then(|pool| match pool.network() {
            IpNetwork::V6(net) => Some(net),
            IpNetwork::V4(_) => None,
        })
    }

    /// Whether both families are on.
    pub fn is_dual(&self) -> bool {
        self.v4.is_some() && self.v6.is_some()
    }

    /// Whether a node of this cluster may hold `subnets`: exactly the families that are on, each
    /// one of its pool.
    pub fn accepts(&self, subnets: &Subnets) -> bool {
        let fits = |pool: Option<Pool>, subnet: Option<IpNetwork>| match (pool, subnet) {
            (None, None) => true,
            (Some(pool), Some(subnet)) => pool.contains(subnet),
            _ => false,
        };
        fits(self.v4, subnets.v4.map(IpNetwork::V4)) && fits(self.v6, subnets.v6.map(IpNetwork::V6))
    }
}

impl Range {
    fn parse(
        object: &Object,
        family: &Family,
        cidr: impl Fn(&Value) -> Result<IpNetwork, ConfigError>,
        ip: impl Fn(&Value) -> Result<Option<IpAddr>, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let bound = |key| object.get(key).map_or(Ok(None), &ip);
        Ok(Self {
            network: object.get(family.network).map(cidr).transpose()?,
            len: length(object, family.len)?,
            min: bound(family.min)?,
            max: bound(family.max)?,
        })
    }

    fn pool(self, family: &Family) -> Result<Pool, ConfigError> {
        let network = self
            .network
            .filter(|net| net.prefix() != 0)
            .ok_or(ConfigError::NoNetwork(family.network))?;
        let subnet_len = subnet_len(self.len, network.prefix(), family)?;
        let step = 1u128 << (bits(&network) - subnet_len);
        let first = number(network.ip());
        let past = 1u128 << (bits(&network) - network.prefix());
        let min = self.min.map_or(first.wrapping_add(step), number);
        let max = self
            .max
            .map_or(first.wrapping_add(past).wrapping_sub(step), number);
        for (given, bound) in [(self.min, family.min), (self.max, family.max)] {
            if given.is_some_and(|ip| !network.contains(ip)) {
                return Err(ConfigError::Range {
                    bound,
                    network: family.network,
                });
            }
        }
        for (bound, value) in [(family.min, min), (family.max, max)] {
            if value % step != 0 {
                let address = address(value, network.is_ipv4());
                return Err(ConfigError::Boundary { bound, address });
            }
        }
        if let Some(kind) = unfit_kind(&network) {
            let key = family.network;
            return Err(ConfigError::Kind { key, network, kind });
        }
        if min > max {
            let address = |number| address(number, network.is_ipv4());
            return Err(ConfigError::Order {
                min: family.min,
                first: address(min),
                max: family.max,
                last: address(max),
            });
        }
        Ok(Pool {
            network,
            subnet_len,
            min,
            max,
        })
    }
}

/// Addresses that the kernel never forwards.
fn unfit_kind(network: &IpNetwork) -> Option<&'static str> {
    let first = network.network();
    let overlaps = |text: &str| {
        let other: Option<IpNetwork> = text.parse().ok();
        other.is_some_and(|other| {
            other.is_ipv4() == network.is_ipv4()
                && (other.contains(first) || network.contains(other.network()))
        })
    };
    let kinds = [
        ("127.0.0.0/8", "loopback"),
        ("224.0.0.0/4", "multicast"),
        ("::1/128", "loopback"),
        ("ff00::/8", "multicast"),
        ("fe80::/10", "link-local"),
    ];
    kinds
        .into_iter()
        .find(|(text, _)| overlaps(text))
        .map(|(_, kind)| kind)
}

fn length(object: &Object, key: &'static str) -> Result<u8, ConfigError> {
    Ok(u8::try_from(object.unsigned(key)?.unwrap_or(0)).unwrap_or(u8::MAX))
}

/// The subnet length: as given (0 is not given), or the usual one, or four subnets of a small network.
fn subnet_len(given: u8, prefix: u8, family: &Family) -> Result<u8, ConfigError> {
    if given > family.max_len {
        return Err(ConfigError::SubnetLen(family.max_len + 1));
    }
    if given > 0 {
        return if given < prefix + 2 {
            Err(ConfigError::FewSubnets)
        } else {
            Ok(given)
        };
    }
    if prefix > family.max_len - 2 {
        let prefix = family.max_len - 2;
        return Err(ConfigError::SmallNetwork {
            network: family.spoken,
            prefix,
        });
    }
    Ok((prefix + 2).max(family.usual_len))
}

/// The text of a value as it appears in flannel's messages: strings without quotes.
fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn split_cidr(value: &Value) -> Result<(IpAddr, u8), ConfigError> {
    let text = text(value);
    let parsed = text.split_once('/').and_then(|(ip, len)| {
        let ip: IpAddr = ip.parse().ok()?;
        let decimal = !len.is_empty() && len.bytes().all(|b| b.is_ascii_digit());
        let len: u8 = decimal.then(|| len.parse().ok())??;
        (len <= if ip.is_ipv4() { 32 } else { 128 }).then_some((ip, len))
    });
    parsed.ok_or(ConfigError::Cidr(text))
}

fn masked(ip: IpAddr, len: u8) -> Result<IpNetwork, ConfigError> {
    let cidr = |_| ConfigError::Cidr(format!("{ip}/{len}"));
    let network = IpNetwork::new(ip, len).map_err(cidr)?;
    IpNetwork::new(network.network(), len).map_err(cidr)
}

fn cidr_v4(value: &Value) -> Result<IpNetwork, ConfigError> {
    match split_cidr(value)? {
        (ip @ IpAddr::V4(_), len) => masked(ip, len),
        (IpAddr::V6(_), _) => Err(ConfigError::NotV4),
    }
}

/// IPv4 text is read as the mapped IPv6 address with the same length, as flannel does; the check of
/// the bounds then refuses it.
fn cidr_v6(value: &Value) -> Result<IpNetwork, ConfigError> {
    match split_cidr(value)? {
        (ip @ IpAddr::V6(_), len) => masked(ip, len),
        (ip @ IpAddr::V4(_), len) => match masked(ip, len)?.ip() {
            IpAddr::V4(ip) => IpNetwork::new(IpAddr::V6(ip.to_ipv6_mapped()), len)
                .map_err(|_| ConfigError::Cidr(text(value))),
            IpAddr::V6(_) => Err(ConfigError::Cidr(text(value))),
        },
    }
}

/// `null` is an error, 0.0.0.0 is the same as absent.
fn ip_v4(value: &Value) -> Result<Option<IpAddr>, ConfigError> {
    let ip: Ipv4Addr = value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or(ConfigError::Address)?;
    Ok(Some(IpAddr::V4(ip)).filter(|ip| !ip.is_unspecified()))
}

/// `null` is the same as absent; IPv4 text is read as the mapped address.
fn ip_v6(value: &Value) -> Result<Option<IpAddr>, ConfigError> {
    if value.is_null() {
        return Ok(None);
    }
    let ip: Ipv6Addr = match value.as_str().and_then(|text| text.parse().ok()) {
        Some(IpAddr::V6(ip)) => ip,
        Some(IpAddr::V4(ip)) => ip.to_ipv6_mapped(),
        None => return Err(ConfigError::Address),
    };
    Ok(Some(IpAddr::V6(ip)).filter(|ip| !ip.is_unspecified()))
}

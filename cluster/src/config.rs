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

/// How a node comes to its subnets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allocation {
    /// Each draws its own from what the configuration allows.
    #[default]
    Drawn,
    /// The cluster gives them (Kubernetes' pod CIDRs): lengths and bounds mean nothing.
    Given,
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

/// One thing that is wrong with a configuration.
#[derive(Debug)]
pub struct Complaint {
    /// Which key; empty for the whole document. Those of the backend are `Backend.VNI`.
    pub key: String,
    /// The value as it stands there, if the key does.
    pub value: Option<Value>,
    /// What is wrong.
    pub error: ConfigError,
    /// What would be right, where the error does not say so itself.
    pub right: String,
}

/// All that is wrong with a configuration.
#[derive(Debug)]
pub struct Complaints {
    /// What is read first; a daemon says this alone.
    pub first: Box<Complaint>,
    /// The others.
    pub rest: Vec<Complaint>,
}

impl Complaints {
    /// All of them.
    pub fn into_all(self) -> Vec<Complaint> {
        let mut all = vec![*self.first];
        all.extend(self.rest);
        all
    }
}

/// A document that cannot be read at all.
impl From<JsonError> for Complaints {
    fn from(error: JsonError) -> Self {
        let first = Complaint {
            key: String::new(),
            value: None,
            error: error.into(),
            right: String::new(),
        };
        Self {
            first: Box::new(first),
            rest: Vec::new(),
        }
    }
}

/// What is found wrong while a document is read.
struct Found<'a> {
    object: &'a Object,
    complaints: Vec<Complaint>,
}

impl<'a> Found<'a> {
    fn new(object: &'a Object) -> Self {
        Self {
            object,
            complaints: Vec::new(),
        }
    }

    fn add(&mut self, key: &str, error: ConfigError, right: &str) {
        self.complaints.push(Complaint {
            key: key.to_owned(),
            value: self.object.get(key).cloned(),
            error,
            right: right.to_owned(),
        });
    }

    fn has(&self, key: &str) -> bool {
        self.complaints.iter().any(|complaint| complaint.key == key)
    }

    /// The value, or a complaint.
    fn keep<T>(&mut self, key: &str, read: Result<T, ConfigError>, right: &str) -> Option<T> {
        read.map_err(|error| self.add(key, error, right)).ok()
    }

    fn switch(&mut self, key: &'static str) -> Option<bool> {
        let read = self.object.bool(key).map_err(Into::into);
        self.keep(key, read, "").flatten()
    }

    fn read<T>(
        &mut self,
        key: &str,
        read: impl Fn(&Value) -> Result<T, ConfigError>,
        right: &str,
    ) -> Option<T> {
        let read = self.object.get(key).map(read)?;
        self.keep(key, read, right)
    }

    /// One without a name stands for one that cannot be read.
    fn backend(&mut self) -> Backend {
        let read = Backend::parse(self.object.get("Backend")).map_err(ConfigError::Backend);
        let right = "give an object with a Type, {\"Type\": \"vxlan\"}";
        self.keep("Backend", read, right).unwrap_or(Backend {
            kind: String::new(),
            options: Value::Null,
        })
    }

    fn end<T>(self, whole: T) -> Result<T, Complaints> {
        let mut complaints = self.complaints.into_iter();
        match complaints.next() {
            None => Ok(whole),
            Some(first) => Err(Complaints {
                first: Box::new(first),
                rest: complaints.collect(),
            }),
        }
    }
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
    /// A network as people have it.
    example: &'static str,
}

const V4: Family = Family {
    network: "Network",
    spoken: "network",
    len: "SubnetLen",
    min: "SubnetMin",
    max: "SubnetMax",
    usual_len: 24,
    max_len: 30,
    example: "10.244.0.0/16",
};
const V6: Family = Family {
    network: "IPv6Network",
    spoken: "IPv6Network",
    len: "IPv6SubnetLen",
    min: "IPv6SubnetMin",
    max: "IPv6SubnetMax",
    usual_len: 64,
    max_len: 126,
    example: "fd00:10:244::/48",
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
        Self::parse_for(text, Allocation::Drawn)
    }

    /// The same for nodes that come to their subnets in another way.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn parse_for(text: &[u8], allocation: Allocation) -> Result<Self, ConfigError> {
        Self::examine(text, allocation).map_err(|complaints| complaints.first.error)
    }

    /// The same with everything that is wrong, in the order in which it is read.
    ///
    /// # Errors
    /// Something is wrong.
    pub fn examine(text: &[u8], allocation: Allocation) -> Result<Self, Complaints> {
        let object = Object::parse("the network configuration", text)?;
        let mut found = Found::new(&object);
        let enable_v4 = found.switch("EnableIPv4").unwrap_or(true);
        let enable_v6 = found.switch("EnableIPv6").unwrap_or(false);
        let v4 = Range::read(&V4, &mut found, cidr_v4, ip_v4);
        let v6 = Range::read(&V6, &mut found, cidr_v6, ip_v6);
        let nftables = found.switch("EnableNFTables").unwrap_or(false);
        let backend = found.backend();
        if !enable_v4 && !enable_v6 {
            let right = "leave EnableIPv4 out, or turn EnableIPv6 on";
            found.add("EnableIPv4", ConfigError::NoStack, right);
        }
        let mut pool = |range: Range, family| match allocation {
            Allocation::Drawn => range.pool(family, &mut found),
            Allocation::Given => range.whole(family, &mut found),
        };
        let v4 = enable_v4.then(|| pool(v4, &V4)).flatten();
        let v6 = enable_v6.then(|| pool(v6, &V6)).flatten();
        found.end(Self {
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
    fn read(
        family: &Family,
        found: &mut Found<'_>,
        cidr: impl Fn(&Value) -> Result<IpNetwork, ConfigError>,
        ip: impl Fn(&Value) -> Result<Option<IpAddr>, ConfigError>,
    ) -> Self {
        let (network, bound) = (
            format!("give an address and a length, {:?}", family.example),
            format!("give an address of {}, or leave it out", family.network),
        );
        let len = found.object.unsigned(family.len).map_err(Into::into);
        Self {
            network: found.read(family.network, &cidr, &network),
            len: found
                .keep(family.len, len, "give a length, or leave it out")
                .map_or(0, |len| u8::try_from(len.unwrap_or(0)).unwrap_or(u8::MAX)),
            min: found.read(family.min, &ip, &bound).flatten(),
            max: found.read(family.max, &ip, &bound).flatten(),
        }
    }

    /// The network.
    fn network(&self, family: &Family, found: &mut Found<'_>) -> Option<IpNetwork> {
        let network = self.network.filter(|net| net.prefix() != 0);
        if network.is_none() && !found.has(family.network) {
            let right = format!("give an address and a length, {:?}", family.example);
            let error = ConfigError::NoNetwork(family.network);
            found.add(family.network, error, &right);
        }
        network
    }

    /// The network as a pool of which nobody draws.
    fn whole(self, family: &Family, found: &mut Found<'_>) -> Option<Pool> {
        let network = self.network(family, found)?;
        refuse_unfit(&network, family, found);
        Some(Pool::whole(network))
    }

    /// The pool that these keys ask for. What is wrong with one of them is no reason to say nothing
    /// of the others.
    fn pool(self, family: &Family, found: &mut Found<'_>) -> Option<Pool> {
        let network = self.network(family, found)?;
        let subnet_len = subnet_len(self.len, &network, family, found);
        let subnet_len = subnet_len.filter(|_| !found.has(family.len));
        for (given, bound) in [(self.min, family.min), (self.max, family.max)] {
            if given.is_some_and(|ip| !network.contains(ip)) {
                let error = ConfigError::Range {
                    bound,
                    network: family.network,
                };
                found.add(bound, error, &format!("give an address in {network}"));
            }
        }
        let ends = subnet_len.map(|subnet_len| self.ends(&network, subnet_len, family, found));
        refuse_unfit(&network, family, found);
        let (subnet_len, (min, max)) = subnet_len.zip(ends)?;
        if min > max && !found.has(family.min) && !found.has(family.max) {
            let address = |number| address(number, network.is_ipv4());
            let error = ConfigError::Order {
                min: family.min,
                first: address(min),
                max: family.max,
                last: address(max),
            };
            found.add(family.min, error, "give the lower address as the first");
        }
        Some(Pool {
            network,
            subnet_len,
            min,
            max,
        })
    }

    /// The first and the last subnet.
    fn ends(
        &self,
        network: &IpNetwork,
        subnet_len: u8,
        family: &Family,
        found: &mut Found<'_>,
    ) -> (u128, u128) {
        let step = 1u128 << (bits(network) - subnet_len);
        let first = number(network.ip());
        let past = 1u128 << (bits(network) - network.prefix());
        let min = self.min.map_or(first.wrapping_add(step), number);
        let max = self
            .max
            .map_or(first.wrapping_add(past).wrapping_sub(step), number);
        for (bound, value) in [(family.min, min), (family.max, max)] {
            if value % step != 0 && !found.has(bound) {
                let address = |value| address(value, network.is_ipv4());
                let right = format!(
                    "give the first address of a /{subnet_len}, {} for example",
                    address(value - value % step)
                );
                let address = address(value);
                found.add(bound, ConfigError::Boundary { bound, address }, &right);
            }
        }
        (min, max)
    }
}

/// A network that no pod can have.
fn refuse_unfit(network: &IpNetwork, family: &Family, found: &mut Found<'_>) {
    if let Some(kind) = unfit_kind(network) {
        let (key, network) = (family.network, *network);
        found.add(key, ConfigError::Kind { key, network, kind }, "");
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

/// The subnet length: as given (0 is not given), or the usual one, or four subnets of a small network.
fn subnet_len(
    given: u8,
    network: &IpNetwork,
    family: &Family,
    found: &mut Found<'_>,
) -> Option<u8> {
    let (prefix, longest) = (network.prefix(), family.max_len);
    let wide_enough = longest - 2;
    let lengths = || format!("give {} to {longest}, or leave it out", prefix + 2);
    let narrower = format!("give a network of /{wide_enough} or wider");
    let (key, error, right) = match given {
        given if given > longest && prefix <= wide_enough => {
            (family.len, ConfigError::SubnetLen(longest + 1), lengths())
        }
        given if given > longest => (family.len, ConfigError::SubnetLen(longest + 1), narrower),
        0 if prefix > wide_enough => {
            let error = ConfigError::SmallNetwork {
                network: family.spoken,
                prefix: wide_enough,
            };
            (family.network, error, narrower)
        }
        0 => return Some((prefix + 2).max(family.usual_len)),
        given if given >= prefix + 2 => return Some(given),
        _ if prefix > wide_enough => (family.len, ConfigError::FewSubnets, narrower),
        _ => (family.len, ConfigError::FewSubnets, lengths()),
    };
    found.add(key, error, &right);
    None
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

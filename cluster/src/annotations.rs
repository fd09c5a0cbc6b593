//! What a node of a Kubernetes cluster publishes: a lease as annotations of the node object.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use serde_json::Value;

use crate::attrs::{LeaseAttrs, RawJson, interned};
use crate::subnets::Subnets;

/// The keys of the annotations: a prefix that an operator may choose, and flannel's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationKeys {
    prefix: String,
}

/// A prefix that annotations cannot have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is no prefix of annotations: give a domain with a dot, in lower case, and behind a slash \
     a word if need be, as in flannel.alpha.coreos.com or example.com/net"
)]
pub struct PrefixError(String);

/// A node that says something that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NodeError {
    /// A pod CIDR is none.
    #[error("its pod CIDR {0:?} is no network")]
    Cidr(String),
    /// More pod CIDRs than there are families.
    #[error("it has {0} pod CIDRs, and there are two families")]
    TooMany(usize),
    /// A family that is on has no pod CIDR.
    #[error("it has no {0} pod CIDR")]
    NoCidr(&'static str),
    /// An annotation is missing.
    #[error("it has no annotation {0}")]
    Missing(String),
    /// An annotation says nothing that could be used.
    #[error("its annotation {key} is {value:?}: {wanted}")]
    Annotation {
        /// The annotation.
        key: String,
        /// What it says.
        value: String,
        /// What would be right.
        wanted: &'static str,
    },
}

/// The families that the cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// IPv4 is on.
    pub v4: bool,
    /// IPv6 is on.
    pub v6: bool,
}

/// Public addresses that an operator gives a node; the text of each is what others read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublicAddresses {
    /// IPv4.
    pub v4: Option<Ipv4Addr>,
    /// IPv6.
    pub v6: Option<Ipv6Addr>,
}

const MANAGED: &str = "kube-subnet-manager";
const TYPE: &str = "backend-type";
const DATA: &str = "backend-data";
const V6_DATA: &str = "backend-v6-data";
const PUBLIC: &str = "public-ip";
const V6_PUBLIC: &str = "public-ipv6";

/// What a daemon writes; all else is an operator's.
const WRITTEN: [&str; 6] = [MANAGED, TYPE, DATA, V6_DATA, PUBLIC, V6_PUBLIC];

/// A backend without data has this text.
const NO_DATA: &str = "null";

impl AnnotationKeys {
    /// Of a prefix as an operator gives it; normalised as flannel does.
    ///
    /// # Errors
    /// No annotation could have it.
    pub fn new(prefix: &str) -> Result<Self, PrefixError> {
        let normal = match prefix.split_once('/') {
            None => format!("{prefix}/"),
            Some((_, "")) => prefix.to_owned(),
            Some((_, word)) if word.ends_with('-') => prefix.to_owned(),
            Some(_) => format!("{prefix}-"),
        };
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        let is_right = normal.split_once('/').is_some_and(|(domain, word)| {
            domain.chars().all(good)
                && domain.split('.').count() > 1
                && domain.split('.').all(|label| !label.is_empty())
                && word.chars().all(|c| good(c) || c == '_')
        });
        match is_right {
            true => Ok(Self { prefix: normal }),
            false => Err(PrefixError(prefix.to_owned())),
        }
    }

    /// The annotation that `word` stands for: `flannel.alpha.coreos.com/public-ip`.
    pub fn key(&self, word: &str) -> String {
        format!("{}{word}", self.prefix)
    }

    /// All that begin so are flannel's.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// All keys that a daemon writes.
    pub fn written(&self) -> impl Iterator<Item = String> {
        WRITTEN.iter().map(|word| self.key(word))
    }

    /// Reads a node's lease; nothing when no daemon has written one.
    ///
    /// # Errors
    /// An annotation of a family that is on is missing, or one cannot be read.
    pub fn read<'a>(
        &self,
        families: Families,
        get: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Option<LeaseAttrs>, NodeError> {
        let get = |word: &str| get(&self.key(word));
        if get(MANAGED) != Some("true") {
            return Ok(None);
        }
        let public_ip = match families.v4 {
            true => self.address(PUBLIC, get(PUBLIC))?,
            false => Ipv4Addr::UNSPECIFIED,
        };
        let public_ipv6 = match families.v6 {
            true => Some(self.address(V6_PUBLIC, get(V6_PUBLIC))?),
            false => None,
        };
        let mut attrs = LeaseAttrs::new(public_ip, public_ipv6);
        attrs.backend_type = interned(get(TYPE).unwrap_or_default());
        attrs.backend_data = self.data(DATA, get(DATA).filter(|_| families.v4))?;
        attrs.backend_v6_data = self.data(V6_DATA, get(V6_DATA).filter(|_| families.v6))?;
        Ok(Some(attrs))
    }

    /// The public addresses that an operator wants the node to be known by, whatever its interface has:
    /// those of nodes behind NAT.
    ///
    /// # Errors
    /// One is no address.
    pub fn overwritten<'a>(
        &self,
        get: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<PublicAddresses, NodeError> {
        self.given(["public-ip-overwrite", "public-ipv6-overwrite"], get)
    }

    /// The public addresses that an operator gives the daemon, as by its flags.
    ///
    /// # Errors
    /// One is no address.
    pub fn of_node<'a>(
        &self,
        get: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<PublicAddresses, NodeError> {
        self.given(["node-public-ip", "node-public-ipv6"], get)
    }

    fn given<'a>(
        &self,
        [v4, v6]: [&str; 2],
        get: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<PublicAddresses, NodeError> {
        let get = |word: &str| get(&self.key(word)).filter(|text| !text.is_empty());
        Ok(PublicAddresses {
            v4: get(v4)
                .map(|text| self.address(v4, Some(text)))
                .transpose()?,
            v6: get(v6)
                .map(|text| self.address(v6, Some(text)))
                .transpose()?,
        })
    }

    /// What a node with `attrs` writes, keys and values as flannel's. A VXLAN node without IPv4 leaves the
    /// annotations of IPv4 as they are.
    pub fn write(&self, attrs: &LeaseAttrs, overwritten: PublicAddresses) -> Vec<(String, String)> {
        let data = |data: &Option<RawJson>| {
            data.as_ref()
                .map_or_else(|| NO_DATA.to_owned(), ToString::to_string)
        };
        let mut written = vec![
            (MANAGED, "true".to_owned()),
            (TYPE, attrs.backend_type.to_string()),
        ];
        let vxlan = attrs.backend_type == "vxlan";
        if !vxlan || attrs.backend_data.is_some() {
            let public = overwritten.v4.unwrap_or(attrs.public_ip);
            written.push((DATA, data(&attrs.backend_data)));
            written.push((PUBLIC, public.to_string()));
        }
        let has_device = vxlan || attrs.backend_type == "wireguard";
        if let Some(own) = attrs.public_ipv6
            && (!has_device || attrs.backend_v6_data.is_some())
        {
            let public = overwritten.v6.unwrap_or(own);
            written.push((V6_DATA, data(&attrs.backend_v6_data)));
            written.push((V6_PUBLIC, public.to_string()));
        }
        let whole = |(word, value)| (self.key(word), value);
        written.into_iter().map(whole).collect()
    }

    fn address<T: Address>(&self, word: &str, text: Option<&str>) -> Result<T, NodeError> {
        let key = self.key(word);
        let Some(text) = text else {
            return Err(NodeError::Missing(key));
        };
        let address: Option<IpAddr> = text.parse().ok();
        address
            .and_then(T::of)
            .ok_or_else(|| NodeError::Annotation {
                key,
                value: text.to_owned(),
                wanted: T::WANTED,
            })
    }

    fn data(&self, word: &str, text: Option<&str>) -> Result<Option<RawJson>, NodeError> {
        let text = text.map(str::trim).unwrap_or_default();
        if text.is_empty() || text == NO_DATA {
            return Ok(None);
        }
        let value: Value = serde_json::from_str(text).map_err(|_| NodeError::Annotation {
            key: self.key(word),
            value: shortened(text),
            wanted: "give JSON",
        })?;
        Ok(Some(RawJson::new(&value)))
    }
}

/// Flannel's own.
impl Default for AnnotationKeys {
    fn default() -> Self {
        Self {
            prefix: "flannel.alpha.coreos.com/".to_owned(),
        }
    }
}

impl fmt::Display for AnnotationKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)
    }
}

/// Reads the pod CIDRs of a node: the first of each family that is on.
///
/// # Errors
/// One is no network, or a family that is on has none.
pub fn pod_cidrs(texts: &[String], families: Families) -> Result<Subnets, NodeError> {
    if texts.len() > 2 {
        return Err(NodeError::TooMany(texts.len()));
    }
    let mut networks = Vec::new();
    for text in texts {
        let network: IpNetwork = match text.contains('/').then(|| text.parse()) {
            Some(Ok(network)) => network,
            _ => return Err(NodeError::Cidr(shortened(text))),
        };
        networks.push(network);
    }
    let first = |is_ipv4: bool, name: &'static str| {
        let mut of_family = networks.iter().filter(|net| net.is_ipv4() == is_ipv4);
        of_family.next().copied().ok_or(NodeError::NoCidr(name))
    };
    let v4 = families.v4.then(|| first(true, "IPv4")).transpose()?;
    let v6 = families.v6.then(|| first(false, "IPv6")).transpose()?;
    Ok(v4.into_iter().chain(v6).collect())
}

/// An address of one family.
trait Address: Sized {
    const WANTED: &'static str;
    fn of(address: IpAddr) -> Option<Self>;
}

impl Address for Ipv4Addr {
    const WANTED: &'static str = "give an IPv4 address";
    fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(ip) => ip.to_ipv4_mapped(),
        }
    }
}

impl Address for Ipv6Addr {
    const WANTED: &'static str = "give an IPv6 address";
    fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Some(ip),
        }
    }
}

/// Other people's text, as far as anybody wants to read it.
fn shortened(text: &str) -> String {
    const LONG: usize = 60;
    match text.chars().count() > LONG {
        true => text.chars().take(LONG).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

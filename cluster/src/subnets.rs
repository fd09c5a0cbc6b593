//! The subnets of one lease, which are also its name in a store.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

/// The subnets that one node holds: one of either family, or one of both. The identity of a lease.
///
/// Host bits are kept as they were read: flannel does not mask them, so neither do we.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnets {
    /// The IPv4 subnet.
    pub v4: Option<Ipv4Network>,
    /// The IPv6 subnet.
    pub v6: Option<Ipv6Network>,
}

/// A name under `subnets/` that is no lease's.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not the name of a subnet (A.B.C.D-LEN or A.B.C.D-LEN&V6-LEN)")]
pub struct KeyError(pub String);

impl Subnets {
    /// An IPv4 subnet alone.
    pub fn only_v4(v4: Ipv4Network) -> Self {
        Self {
            v4: Some(v4),
            v6: None,
        }
    }

    /// The last segment of the lease's key: `10.5.7.0-24` or `10.5.7.0-24&fd00:10:5:7::-64`; without
    /// IPv4 `0.0.0.0-0&fd00:10:5:7::-64`.
    pub fn key(&self) -> String {
        let (ip, len) = self
            .v4
            .map_or((Ipv4Addr::UNSPECIFIED, 0), |net| (net.ip(), net.prefix()));
        match self.v6 {
            None => format!("{ip}-{len}"),
            Some(v6) => format!("{ip}-{len}&{}-{}", v6.ip(), v6.prefix()),
        }
    }

    /// Reads a key as flannel does: anchored at its end only, IPv4 lengths to 31, IPv6 lengths to
    /// 127. A family of length 0 is absent; a key without any family is refused.
    ///
    /// # Errors
    /// The key is not a lease's.
    pub fn parse_key(key: &str) -> Result<Self, KeyError> {
        let subnets = match key.rsplit_once('&') {
            Some((head, tail)) => parse_v4(head).zip(parse_v6(tail)),
            None => parse_v4(key).zip(Some(None)),
        };
        match subnets {
            Some((v4, v6)) if v4.is_some() || v6.is_some() => Ok(Self { v4, v6 }),
            _ => Err(KeyError(key.to_owned())),
        }
    }

    /// Whether any address belongs to both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (v4, v6) = (self.v4.zip(other.v4), self.v6.zip(other.v6));
        v4.is_some_and(|(a, b)| a.overlaps(b)) || v6.is_some_and(|(a, b)| a.overlaps(b))
    }

    /// The subnets as one list, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpNetwork> + use<> {
        self.v4
            .map(IpNetwork::V4)
            .into_iter()
            .chain(self.v6.map(IpNetwork::V6))
    }
}

/// Whether any address belongs to both networks.
pub fn overlap(a: IpNetwork, b: IpNetwork) -> bool {
    match (a, b) {
        (IpNetwork::V4(a), IpNetwork::V4(b)) => a.overlaps(b),
        (IpNetwork::V6(a), IpNetwork::V6(b)) => a.overlaps(b),
        _ => false,
    }
}

/// The last network of each family counts.
impl FromIterator<IpNetwork> for Subnets {
    fn from_iter<I: IntoIterator<Item = IpNetwork>>(networks: I) -> Self {
        let mut subnets = Self { v4: None, v6: None };
        for network in networks {
            match network {
                IpNetwork::V4(net) => subnets.v4 = Some(net),
                IpNetwork::V6(net) => subnets.v6 = Some(net),
            }
        }
        subnets
    }
}

/// For people: `10.5.7.0/24` or `10.5.7.0/24 fd00:10:5:7::/64`.
impl fmt::Display for Subnets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.v4, self.v6) {
            (Some(v4), Some(v6)) => write!(f, "{v4} {v6}"),
            (Some(v4), None) => write!(f, "{v4}"),
            (None, Some(v6)) => write!(f, "{v6}"),
            (None, None) => f.write_str("no subnet"),
        }
    }
}

impl FromStr for Subnets {
    type Err = KeyError;

    fn from_str(key: &str) -> Result<Self, KeyError> {
        Self::parse_key(key)
    }
}

/// `…A.B.C.D-LEN`; the inner `None` stands for 0.0.0.0-0.
fn parse_v4(text: &str) -> Option<Option<Ipv4Network>> {
    let (head, len) = text.rsplit_once('-')?;
    let len = length(len, 31)?;
    let start = head
        .rfind(|c: char| !c.is_ascii_digit() && c != '.')
        .map_or(0, |at| at + 1);
    // A match may start inside a longer run of numbers and dots; only its last four count.
    let digits = head.get(start..)?;
    let from = digits
        .rmatch_indices('.')
        .nth(3)
        .map_or(0, |(at, _)| at + 1);
    let ip: Ipv4Addr = digits.get(from..)?.parse().ok()?;
    if len == 0 && ip.is_unspecified() {
        return Some(None);
    }
    Ipv4Network::new(ip, len).ok().map(Some)
}

/// `V6-LEN`; the inner `None` stands for ::-0.
fn parse_v6(text: &str) -> Option<Option<Ipv6Network>> {
    let (ip, len) = text.rsplit_once('-')?;
    let len = length(len, 127)?;
    if !ip
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b':'))
    {
        return None;
    }
    let ip: Ipv6Addr = ip.parse().ok()?;
    if len == 0 && ip.is_unspecified() {
        return Some(None);
    }
    Ipv6Network::new(ip, len).ok().map(Some)
}

fn length(text: &str, max: u8) -> Option<u8> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|len| *len <= max)
}

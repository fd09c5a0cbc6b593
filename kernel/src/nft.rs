//! nftables over netlink: no program is run, every change is one transaction.
//!
//! A [`Transaction`] is built from typed steps and handed to [`Nft::commit`]; the kernel applies
//! all of it or nothing. [`Nft`] also reads tables, chains, rules and set elements back. Comments
//! and byte orders are stored where nft(8) keeps them, so `nft list ruleset` prints what was meant.
//!
//! Blocking on purpose: the kernel answers within the `sendmsg` call, so there is nothing to wait
//! for. Sources: `linux/netfilter/nf_tables.h`, `linux/netfilter/nfnetlink.h`, libnftnl's `udata.h`.

mod attribute;
mod decode;
mod encode;
mod objects;
mod read;
mod rule;
mod socket;
mod transaction;
mod userdata;

use std::fmt;

use ipnetwork::IpNetwork;
use netlink_packet_netfilter::NetfilterProtoFamily;

pub use objects::{Existing, Hook, NewChain, NewElement, NewSet};
pub use read::{Chain, Element, Rule, Set};
pub use rule::{Action, Match, NewRule};
pub use socket::Nft;
pub(crate) use socket::set_aside;
pub use transaction::Transaction;

/// The address family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4 and IPv6 together.
    Inet,
    /// IPv4; also the tables of iptables-nft.
    Ip,
    /// IPv6; also the tables of ip6tables-nft.
    Ip6,
    /// Frames on bridges.
    Bridge,
}

impl Family {
    fn protocol(self) -> NetfilterProtoFamily {
        match self {
            Self::Inet => NetfilterProtoFamily::Inet,
            Self::Ip => NetfilterProtoFamily::IPv4,
            Self::Ip6 => NetfilterProtoFamily::IPv6,
            Self::Bridge => NetfilterProtoFamily::Bridge,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Bridge => "bridge",
        })
    }
}

/// A table's identity, printed as nft(8) writes it: `inet NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Table<'a> {
    /// The address family.
    pub family: Family,
    /// The name, unique within the family.
    pub name: &'a str,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.name)
    }
}

/// What the keys of a set are. The numbers are nft(8)'s data types; the kernel only stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// `ipv4_addr`
    Ipv4Address,
    /// `ipv6_addr`
    Ipv6Address,
}

impl KeyType {
    /// The type of keys that hold addresses of `network`'s family.
    pub fn of(network: &IpNetwork) -> Self {
        match network {
            IpNetwork::V4(_) => Self::Ipv4Address,
            IpNetwork::V6(_) => Self::Ipv6Address,
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Ipv4Address => 7,
            Self::Ipv6Address => 8,
        }
    }

    fn length(self) -> u32 {
        match self {
            Self::Ipv4Address => 4,
            Self::Ipv6Address => 16,
        }
    }
}

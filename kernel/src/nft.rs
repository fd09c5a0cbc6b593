//! nftables over netlink: no program is run, every change is one transaction.
//!
//! A [`Transaction`] is built from typed steps and handed to [`Nft::commit`]; the kernel applies
//! all of it or nothing. [`Nft`] also reads tables, chains, rules and set elements back. Comments
//! and byte orders are stored where nft(8) keeps them, so `nft list ruleset` prints what was meant.
//!
//! Blocking on purpose: the kernel answers within the `sendmsg` call, so there is nothing to wait
//! for. Sources: `linux/netfilter/nf_tables.h`, `linux/netfilter/nfnetlink.h`, libnftnl's `udata.h`.

mod attribute;
mod closing;
mod decode;
mod element;
mod encode;
mod extension;
mod field;
mod flowtable;
mod hook;
mod key;
mod kind;
mod objects;
mod read;
mod rule;
pub mod ruleset;
mod socket;
mod transaction;
mod userdata;
mod watch;

use std::fmt;

use netlink_packet_netfilter::NetfilterProtoFamily;

pub use closing::leave_closing_to_child;
pub(crate) use closing::{child_has_what_was_put_aside, descriptors_put_aside};
pub use element::Element;
pub use field::Field;
pub use flowtable::Flowtable;
pub use hook::{ChainKind, Hook, Point, Policy, Priority};
pub use key::{Data, DataType, Datum, Key, KeyType, SetType};
pub use objects::{Existing, NewChain, NewElement, NewSet};
pub use read::{Chain, Rule, Set, TableContent};
pub use rule::{
    Action, Extension, Masked, Match, NatFlags, NewMark, NewRule, Position, Statement, States,
    Test, Translation, Verdict,
};
pub use socket::Nft;
pub use transaction::Transaction;
pub use watch::Watch;

/// The address family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableFamily {
    /// IPv4 and IPv6 together.
    Inet,
    /// IPv4; also the tables of iptables-nft.
    Ip,
    /// IPv6; also the tables of ip6tables-nft.
    Ip6,
    /// Frames on bridges.
    Bridge,
}

impl From<crate::Family> for TableFamily {
    fn from(family: crate::Family) -> Self {
        match family {
            crate::Family::V4 => Self::Ip,
            crate::Family::V6 => Self::Ip6,
        }
    }
}

impl TableFamily {
    const fn is_bridge(self) -> bool {
        matches!(self, Self::Bridge)
    }

    fn protocol(self) -> NetfilterProtoFamily {
        match self {
            Self::Inet => NetfilterProtoFamily::Inet,
            Self::Ip => NetfilterProtoFamily::IPv4,
            Self::Ip6 => NetfilterProtoFamily::IPv6,
            Self::Bridge => NetfilterProtoFamily::Bridge,
        }
    }
}

impl fmt::Display for TableFamily {
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
    pub family: TableFamily,
    /// The name, unique within the family.
    pub name: &'a str,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.name)
    }
}

//! What a transaction adds.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};

use super::KeyType;

/// What to do with an object that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leave it as it is and go on.
    Keep,
    /// Fail the whole transaction with EEXIST.
    Refuse,
}

impl Existing {
    pub(super) fn flags(self) -> u16 {
        match self {
            Self::Keep => NLM_F_CREATE,
            Self::Refuse => NLM_F_CREATE | NLM_F_EXCL,
        }
    }
}

/// Where a base chain sees packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook<'a> {
    /// `filter`, `nat` or `route`.
    pub kind: &'a str,
    /// The netfilter hook: NF_INET_PRE_ROUTING (0) to NF_INET_POST_ROUTING (4).
    pub number: u32,
    /// Lower runs earlier; `srcnat` is 100, the bridge family's `dstnat` is -300.
    pub priority: i32,
}

/// A chain to add.
#[derive(Clone, Copy, Debug)]
pub struct NewChain<'a> {
    /// The name, unique in the table.
    pub name: &'a str,
    /// Makes it a base chain with policy accept; `None` is a chain that rules jump to.
    pub hook: Option<Hook<'a>>,
    /// Shown by `nft list`.
    pub comment: Option<&'a str>,
}

/// A set of single keys to add.
#[derive(Clone, Copy, Debug)]
pub struct NewSet<'a> {
    /// The name, unique in the table.
    pub name: &'a str,
    /// What the keys are.
    pub key: KeyType,
    /// Shown by `nft list`.
    pub comment: Option<&'a str>,
}

/// An element to add to a set.
#[derive(Clone, Copy, Debug)]
pub struct NewElement<'a> {
    /// The key, in network byte order.
    pub key: IpAddr,
    /// Shown by `nft list`, and how an element tells its owner.
    pub comment: Option<&'a str>,
}

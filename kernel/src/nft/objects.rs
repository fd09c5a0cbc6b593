//! What a transaction adds.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};

use super::{Data, Hook, Key, SetType};

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

/// A chain to add.
#[derive(Clone, Copy, Debug)]
pub struct NewChain<'a> {
    /// The name, unique in the table.
    pub name: &'a str,
    /// Makes it a base chain; `None` is a chain that rules jump to.
    pub hook: Option<Hook>,
    /// Shown by `nft list`.
    pub comment: Option<&'a str>,
}

/// A set or map to add.
#[derive(Clone, Debug)]
pub struct NewSet<'a> {
    /// The name, unique in the table.
    pub name: &'a str,
    /// What it holds.
    pub kind: SetType,
    /// Shown by `nft list`.
    pub comment: Option<&'a str>,
}

/// An element to add to a set or map.
#[derive(Clone, Debug)]
pub struct NewElement<'a> {
    /// The key.
    pub key: Key,
    /// What a map says of the key; none in a set.
    pub data: Option<Data>,
    /// Shown by `nft list`, and how an element tells its owner.
    pub comment: Option<&'a str>,
}

impl From<Key> for NewElement<'_> {
    /// Of a set, without a comment.
    fn from(key: Key) -> Self {
        Self {
            key,
            data: None,
            comment: None,
        }
    }
}

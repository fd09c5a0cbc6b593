//! What a rule says, in one vocabulary for writing and for reading.

use ipnetwork::IpNetwork;

use super::KeyType;
use crate::MacAddr;

/// A condition of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// `ip saddr NETWORK`
    Source(IpNetwork),
    /// `ip daddr NETWORK`
    Destination(IpNetwork),
    /// `ip daddr != NETWORK`
    NotDestination(IpNetwork),
    /// `ip saddr @SET`
    SourceIn(KeyType, String),
    /// `iifname "NAME"`
    InputInterface(String),
    /// `ether saddr MAC`
    EtherSource(MacAddr),
    /// Found in the kernel and not in this vocabulary: the expression's name. Not written.
    Other(String),
}

/// What a rule does when all its conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Lets the packet pass this hook.
    Accept,
    /// Discards the packet.
    Drop,
    /// Goes back to the calling chain; in a base chain, to its policy.
    Return,
    /// Continues in another chain and comes back.
    Jump(String),
    /// Continues in another chain and does not come back.
    Goto(String),
    /// Rewrites the source to the address of the outgoing interface.
    Masquerade,
}

/// A rule to append to a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRule<'a> {
    /// The conditions, in order of evaluation.
    pub matches: Vec<Match>,
    /// What to do.
    pub action: Action,
    /// Shown by `nft list`, and how the rule is found again; at most 128 bytes are stored.
    pub comment: Option<&'a str>,
}

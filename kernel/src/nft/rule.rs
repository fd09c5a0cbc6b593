//! What a rule says, in one vocabulary for writing and for reading.

use std::ops::RangeInclusive;

use ipnetwork::IpNetwork;

use super::{Data, Field};
use crate::{Family, MacAddr};

/// A condition of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// `FIELD VALUE`
    Is(Test),
    /// `FIELD != VALUE`
    Not(Test),
    /// `FIELD . FIELD @SET`
    In(Vec<Field>, String),
    /// `FIELD . FIELD != @SET`
    NotIn(Vec<Field>, String),
    /// Any of several ports, as `-m multiport --dports` of iptables has it. Not written.
    DestinationPorts(Vec<RangeInclusive<u16>>),
    /// One of iptables, for chains that iptables-nft must be able to read.
    Extension(Extension),
    /// Found in the kernel and not in this vocabulary, condition or not: the expression's name. Not
    /// written.
    Other(String),
}

/// A field of a packet, or what the kernel knows of it, with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// `meta nfproto ipv4`. Whatever looks at addresses of a family brings it along.
    Family(Family),
    /// `ip saddr NETWORK`
    Source(IpNetwork),
    /// `ip daddr NETWORK`
    Destination(IpNetwork),
    /// `th sport FIRST-LAST`, and one port of a range of one.
    SourcePort(RangeInclusive<u16>),
    /// `th dport FIRST-LAST`, and one port of a range of one.
    DestinationPort(RangeInclusive<u16>),
    /// `meta l4proto NUMBER`: 6 is TCP.
    Protocol(u8),
    /// `meta mark & MASK == VALUE`
    Mark(Masked),
    /// `ct mark & MASK == VALUE`
    ConntrackMark(Masked),
    /// `ct state STATE,STATE`: any of them.
    ConntrackState(States),
    /// `ct status dnat`: the connection's destination was translated.
    Dnatted,
    /// `iifname "NAME"`; a last `*` stands for any end.
    InputInterface(String),
    /// `oifname "NAME"`; a last `*` stands for any end.
    OutputInterface(String),
    /// `ether saddr MAC`
    EtherSource(MacAddr),
    /// `ether daddr MAC`
    EtherDestination(MacAddr),
    /// `fib daddr type local`: addressed to this host.
    DestinationIsLocal,
    /// `meta length > BYTES`: with all headers from the network's on, of segments that go as one also those.
    LongerThan(u32),
}

impl Match {
    /// `ip saddr NETWORK`
    pub fn source(network: IpNetwork) -> Self {
        Self::Is(Test::Source(network))
    }

    /// `ip daddr NETWORK`
    pub fn destination(network: IpNetwork) -> Self {
        Self::Is(Test::Destination(network))
    }

    /// `ip daddr != NETWORK`
    pub fn not_destination(network: IpNetwork) -> Self {
        Self::Not(Test::Destination(network))
    }

    /// `ip saddr @SET`
    pub fn source_in(family: Family, set: impl Into<String>) -> Self {
        Self::In(vec![Field::Source(family)], set.into())
    }

    /// `meta l4proto NUMBER th dport PORT`, which nft(8) prints as `tcp dport PORT`.
    pub fn destination_port(protocol: u8, port: u16) -> [Self; 2] {
        [
            Self::Is(Test::Protocol(protocol)),
            Self::Is(Test::DestinationPort(port..=port)),
        ]
    }
}

/// A condition in the words of iptables (`-m NAME`), which iptables-nft reads and nft(8) prints as its
/// own. Read back it is what it means: a comment is the rule's, states are a [`Test`]. Needs nft_compat
/// in the kernel; ENOENT without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extension {
    /// `-m comment --comment TEXT`: always holds. At most 255 bytes are stored.
    Comment(String),
    /// `-m conntrack --ctstate STATE,STATE`: any of them.
    ConntrackState(States),
}

/// The bits of a mark that matter, and what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Masked {
    /// The value.
    pub value: u32,
    /// The bits that are compared or set; the others of `value` are zero.
    pub mask: u32,
}

impl Masked {
    /// All bits.
    pub fn exactly(value: u32) -> Self {
        Self {
            value,
            mask: u32::MAX,
        }
    }

    /// One bit or several, all set.
    pub fn bits(bits: u32) -> Self {
        Self {
            value: bits,
            mask: bits,
        }
    }
}

/// States of a connection, as one set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct States(pub(super) u32);

impl States {
    /// `invalid`
    pub const INVALID: Self = Self(1);
    /// `established`
    pub const ESTABLISHED: Self = Self(2);
    /// `related`
    pub const RELATED: Self = Self(4);
    /// `new`
    pub const NEW: Self = Self(8);
    /// `untracked`
    pub const UNTRACKED: Self = Self(64);

    /// Either.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a rule does besides its verdict, in order, after its conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// `counter`: written at zero; what it has counted is not read.
    Counter,
    /// `log prefix "TEXT"`
    Log(String),
    /// `meta mark set`
    SetMark(NewMark),
    /// `ct mark set`
    SetConntrackMark(NewMark),
    /// `flow add @FLOWTABLE`: further packets of the connection bypass the rules.
    AddFlow(String),
}

/// What a mark becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewMark {
    /// These bits of it become the value, the others stay.
    Value(Masked),
    /// The packet's mark.
    Packet,
    /// The connection's mark.
    Conntrack,
}

/// Where a packet goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Passes this hook.
    Accept,
    /// Is discarded.
    Drop,
    /// With the next rule.
    Continue,
    /// In the calling chain; in a base chain, with its policy.
    Return,
    /// In another chain, and comes back.
    Jump(String),
    /// In another chain, and does not come back.
    Goto(String),
}

/// What a rule does when all its conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends the packet on.
    Verdict(Verdict),
    /// `FIELD . FIELD vmap @MAP`: as the map says; a packet that it does not know goes on.
    VerdictOf(Vec<Field>, String),
    /// `masquerade`: the source becomes the address of the outgoing interface.
    Masquerade(NatFlags),
    /// `redirect to :PORT`: the destination becomes this host.
    Redirect(Option<u16>, NatFlags),
    /// `dnat to`: the destination becomes another.
    Dnat(Translation, NatFlags),
    /// `snat to`: the source becomes another.
    Snat(Translation, NatFlags),
}

impl From<Verdict> for Action {
    fn from(verdict: Verdict) -> Self {
        Self::Verdict(verdict)
    }
}

/// What an address, and a port if wanted, becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Translation {
    /// The same for all packets.
    To(std::net::IpAddr, Option<u16>),
    /// `FIELD . FIELD map @MAP`: what a map says of the packet.
    Of {
        /// What is looked up.
        key: Vec<Field>,
        /// In which map.
        map: String,
        /// The family of the addresses in the map.
        family: Family,
        /// Whether the map's data is `address . port`.
        with_port: bool,
    },
}

/// How a translation chooses ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatFlags {
    /// `random`
    pub random: bool,
    /// `fully-random`
    pub fully_random: bool,
    /// `persistent`: a client keeps its address.
    pub persistent: bool,
}

impl NatFlags {
    /// NF_NAT_RANGE_PROTO_RANDOM, _PROTO_RANDOM_FULLY and _PERSISTENT
    const BITS: [u32; 3] = [4, 16, 8];

    pub(super) fn number(self) -> u32 {
        let set = [self.random, self.fully_random, self.persistent];
        let bits = Self::BITS.into_iter().zip(set);
        bits.filter_map(|(bit, is_set)| is_set.then_some(bit)).sum()
    }

    pub(super) fn read(number: u32) -> Self {
        let [random, fully_random, persistent] = Self::BITS.map(|bit| number & bit != 0);
        Self {
            random,
            fully_random,
            persistent,
        }
    }
}

/// A rule to add to a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRule<'a> {
    /// The conditions, in order of evaluation.
    pub matches: Vec<Match>,
    /// What is done before the verdict.
    pub statements: Vec<Statement>,
    /// What to do at the end; nothing sends the packet to the next rule.
    pub action: Option<Action>,
    /// Shown by `nft list`, and how the rule is found again; at most 128 bytes are stored.
    pub comment: Option<&'a str>,
}

/// Where a rule is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Behind all others.
    Last,
    /// Before all others.
    First,
    /// Before the rule with this handle.
    Before(u64),
    /// Behind the rule with this handle.
    After(u64),
}

impl From<Verdict> for Data {
    fn from(verdict: Verdict) -> Self {
        Self::Verdict(verdict)
    }
}

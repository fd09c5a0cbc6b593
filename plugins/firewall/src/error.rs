//! Errors of the plugin, in the words of the reference plugin where it has some.

use std::net::IpAddr;

use attach::{chained, record};
use cni::code;

use crate::firewalld;

/// A configuration that cannot work, a step that failed, or what CHECK found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("missing prevResult from earlier plugin; {}", chained::REMEDY)]
    NoPreviousResult,
    #[error("unknown ingress policy: {0:?}")]
    UnknownPolicy(String),
    #[error(
        "interface needs to be set for ingress policy {0:?}, make sure to chain \"firewall\" plugin \
         with \"bridge\""
    )]
    NoInterface(&'static str),
    #[error(
        "iptablesAdminChainName {0:?} cannot be the administrator's chain: 1 to 28 letters, digits and signs, \
         not - or ! at first, and no chain of iptables' or podwire's own"
    )]
    AdminChain(String),
    #[error("got empty bridge name")]
    NoBridgeName,
    #[error("could not initialize iptables protocol {protocol}")]
    NoIptables {
        /// 0 is IPv4, 1 is IPv6, as the reference plugin numbers them.
        protocol: u8,
        #[source]
        source: kernel::iptables::Error,
    },
    #[error(transparent)]
    Iptables(#[from] kernel::iptables::Error),
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    #[error(transparent)]
    Firewalld(#[from] firewalld::Error),
    /// CHECK.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    #[error(transparent)]
    Record(#[from] record::RecordError),
    #[error(transparent)]
    Cni(#[from] cni::Error),
}

/// A difference from what ADD made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("expected FORWARD rule [{0}] not found")]
    Forward(String),
    #[error("expected CNI-FORWARD rule [{0}] not found")]
    CniForward(String),
    #[error("expected rule [{0}] not found")]
    Rule(String),
    #[error("in chain {chain} rule [{later}] stands behind [{earlier}], it must come before it")]
    Order {
        chain: String,
        earlier: String,
        later: String,
    },
    #[error("no packet comes to rule [{rule}] of chain {chain}: one before it drops all packets")]
    Unreached { chain: String, rule: String },
    #[error(
        "{address} is not in set {set} of nftables, so packets of network {network:?}, container \
         {container_id:?}, interface {ifname:?} may be dropped"
    )]
    Element {
        address: IpAddr,
        set: String,
        network: String,
        container_id: String,
        ifname: String,
    },
    #[error("chain {0} of nftables does not let the packets of pods through as it should")]
    Chain(String),
    #[error("nothing leads from chain {from} to chain {to} of nftables")]
    NoJump { from: String, to: String },
    #[error("chain {0} of nftables sees no forwarded packets")]
    NoHook(String),
    #[error("bridge {bridge} is not kept apart as {policy:?} asks for: {what}")]
    Bridge {
        bridge: String,
        policy: &'static str,
        what: String,
    },
    #[error("failed to find the address {address} in {zone} zone")]
    Zone { address: IpAddr, zone: String },
}

impl From<Error> for cni::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Cni(error) => error,
            Error::Firewalld(error) if error.is_silence() => Self {
                code: code::TRY_AGAIN_LATER,
                ..Self::internal(error)
            },
            other => Self::internal(other),
        }
    }
}

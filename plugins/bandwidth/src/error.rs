//! Errors of the plugin, in the words of the reference plugin where it has some.

use attach::{Refusal, chained};
use kernel::qdisc::Qdisc;

/// A configuration that cannot work, a step that failed, or what CHECK found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("if rate is set, burst must also be set")]
    NoBurst,
    #[error("if burst is set, rate must also be set")]
    NoRate,
    #[error("burst cannot be more than 4GB")]
    Burst,
    #[error(
        "{direction}Rate {rate} and {direction}Burst {burst}: each must be at least 8, which is one byte"
    )]
    LessThanAByte {
        direction: &'static str,
        rate: u64,
        burst: u64,
    },
    #[error("invalid latency {0}: it must be from 1 to 10000 ms")]
    Latency(u64),
    #[error(
        "must be called as a chained plugin: prevResult is missing; {}",
        chained::REMEDY
    )]
    NotChained,
    #[error("no interfaces provided")]
    NoInterfaces,
    #[error("container interface {0} has no veth peer: could not look up {0:?}: Link not found")]
    NoPodLink(String),
    #[error(
        "container interface {name} has no veth peer: interface {name:?} was not a veth interface \
         but {kind}; bandwidth limits what comes from bridge and ptp"
    )]
    NotVeth { name: String, kind: String },
    #[error("no veth peer of container interface found in host ns")]
    NoHostEnd,
    #[error("{link} has another root qdisc already: {qdisc}")]
    OtherRoot { link: String, qdisc: Qdisc },
    #[error("create ingress qdisc: {link} has another already: {qdisc}")]
    OtherIngress { link: String, qdisc: Qdisc },
    #[error("create filter: {link} leads what arrives to another link already")]
    OtherRedirect { link: String },
    #[error(
        "adding link: file exists: {ifb} limits another interface of this container ({owner}); \
         one network can limit what one interface of a container sends"
    )]
    IfbOfAnother { ifb: String, owner: String },
    #[error("adding link: file exists: {ifb} is {kind}, not an ifb")]
    NotIfb { ifb: String, kind: String },
    #[error("create {what} on {link}")]
    Create {
        what: &'static str,
        link: String,
        #[source]
        source: Refusal,
    },
    #[error("delete {what} of {link}")]
    Delete {
        what: &'static str,
        link: String,
        #[source]
        source: Refusal,
    },
    #[error("the kernel has no qdisc {0}")]
    NoSuchQdisc(String),
    #[error("Failed to find qdisc: {link} has {found} at its root, not tbf")]
    NoBucket { link: String, found: String },
    #[error("{what} doesn't match: {link} has {seen}, configured is {wanted}")]
    Differs {
        what: &'static str,
        link: String,
        wanted: u64,
        seen: u64,
    },
    #[error("Failed to find qdisc: below the token bucket of {0} is no fq_codel")]
    NoFqCodel(String),
    #[error("get ifb device: Link not found")]
    NoIfb,
    #[error("ifb device {0} is down")]
    IfbDown(String),
    #[error("{link} does not lead what the pod sends to {ifb}")]
    NoRedirect { link: String, ifb: String },
    #[error(transparent)]
    Attach(#[from] attach::Error),
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
}

impl From<Error> for cni::Error {
    fn from(error: Error) -> Self {
        Self::internal(error)
    }
}

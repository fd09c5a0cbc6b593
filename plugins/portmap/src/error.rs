//! Errors of the plugin, in the words of the reference plugin where it has some.

use std::{fmt, net::IpAddr};

use attach::{chained, record};
use kernel::{Family, iptables};

use crate::mapping::Mapping;

/// What a step returns.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A configuration that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("Invalid container port number: {0} (1 to 65535)")]
    ContainerPort(i64),
    #[error("Invalid host port number: {0} (1 to 65535)")]
    HostPort(i64),
    #[error("unknown protocol {protocol:?} of host port {host_port} (tcp, udp or sctp)")]
    Protocol { host_port: u16, protocol: String },
    #[error("invalid hostIP {host_ip:?} of host port {host_port}: not an IP address")]
    HostIp { host_port: u16, host_ip: String },
    #[error(
        "hostIP ::1 of host port {host_port} cannot be mapped: the kernel lets nothing from ::1 \
         leave the host (it has no route_localnet for IPv6); name 127.0.0.1 or another address"
    )]
    Ipv6Loopback { host_port: u16 },
    #[error(
        "hostIP {address} of host port {host_port} cannot be mapped without snat: nothing from \
         127.0.0.1 may leave the host with that source"
    )]
    LoopbackKept { host_port: u16, address: IpAddr },
    #[error("MasqMarkBit must be between 0 and 31 (is {0})")]
    MarkBit(i64),
    #[error("Cannot specify externalSetMarkChain and markMasqBit")]
    TwoMarks,
    #[error(
        "externalSetMarkChain {0:?} is no chain: 1 to 28 letters, digits and signs, not - or ! at first"
    )]
    MarkChain(String),
    #[error("unrecognized backend {0:?} (nftables or iptables)")]
    Backend(String),
    #[error(
        "{backend} backend was requested but configuration contains {other}-specific options \
         [{}]", options.join(" ")
    )]
    Options {
        backend: &'static str,
        other: &'static str,
        options: Vec<&'static str>,
    },
    #[error("{key}: {words:?} is not understood at {at:?}: {why}")]
    Condition {
        key: &'static str,
        words: String,
        at: String,
        why: &'static str,
    },
}

/// Who has a host port already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claimant {
    pub network: Option<String>,
    pub container_id: String,
    pub ifname: Option<String>,
}

/// `network "podnet", container "ctr1", interface "eth0"`, as far as it is known.
impl fmt::Display for Claimant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(network) = &self.network {
            write!(f, "network {network:?}, ")?;
        }
        match self.container_id.as_str() {
            "" => f.write_str("somebody who is not named")?,
            id => write!(f, "container {id:?}")?,
        }
        match &self.ifname {
            Some(ifname) => write!(f, ", interface {ifname:?}"),
            None => Ok(()),
        }
    }
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "must be called as chained plugin: prevResult is missing; {}",
        chained::REMEDY
    )]
    NotChained,
    #[error("host port {mapping} ({family}) is taken already, by {claimant}")]
    Taken {
        mapping: Mapping,
        family: Family,
        claimant: Claimant,
    },
    #[error("unable to set up nftables rules for port mappings")]
    SetUpNftables {
        #[source]
        source: kernel::Error,
    },
    #[error("unable to setup DNAT")]
    SetUpIptables {
        #[source]
        source: iptables::Error,
    },
    #[error("failed to make 127.0.0.1 reach the pod by {interface}")]
    Localnet {
        interface: String,
        #[source]
        source: kernel::Error,
    },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Deviation(#[from] Deviation),
    #[error(transparent)]
    Iptables(#[from] iptables::Error),
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    #[error(transparent)]
    Record(#[from] record::RecordError),
    #[error(transparent)]
    Cni(#[from] cni::Error),
}

/// CHECK: what is not as ADD left it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Deviation {
    #[error("missing port mappings: {0} is not there (was the ruleset flushed?)")]
    NoTable(String),
    #[error("port mappings do nothing: {0}")]
    Inactive(String),
    #[error("port mappings are incomplete: {0}")]
    Incomplete(String),
    #[error("host port {mapping} ({family}) is not mapped: {why}")]
    Mapping {
        mapping: Mapping,
        family: Family,
        why: String,
    },
    #[error("could not check {family} dnat: {what}")]
    Iptables { family: &'static str, what: String },
    #[error("missing hostport rules in {0:?} chain")]
    Reference(&'static str),
    #[error("net/ipv4/conf/{0}/route_localnet is not 1: 127.0.0.1 does not reach the pod")]
    Localnet(String),
}

impl From<Error> for cni::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Cni(error) => error,
            other => Self::internal(other),
        }
    }
}

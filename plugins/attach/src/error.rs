//! Errors of the shared steps; their texts are those that operators know from the reference
//! plugins.

use std::{error::Error as StdError, fmt, net::IpAddr};

use ipnetwork::IpNetwork;
use kernel::NetNsError;

/// Result of a step on an attachment.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A step on an attachment that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to open netns {path:?}")]
    OpenNetNs {
        path: String,
        #[source]
        source: NetNsError,
    },
    /// See [`Life::Unseen`](crate::record::Life::Unseen).
    #[error(
        "cannot tell whether the pod at {path} lives: in this mount namespace the path does not lead to its \
         namespace; call podwire where the runtime calls its plugins"
    )]
    PodUnseen { path: String },
    /// A namespace of another kind. The reference plugins only fail to enter it.
    #[error("CNI_NETNS {path} is {what}, not a network namespace")]
    NotANetNs { path: String, what: &'static str },
    /// Entering the namespace or opening a socket in it.
    #[error("failed to enter netns {path:?}")]
    EnterNetNs {
        path: String,
        #[source]
        source: kernel::Error,
    },
    #[error("invalid interface name {name:?}")]
    InterfaceName {
        name: String,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    #[error("container veth name ({container:?}) peer provided ({host:?}) already exists")]
    ContainerVethExists { container: String, host: String },
    #[error(
        "failed to make veth pair: host veth {host:?} of this attachment already exists, \
         but its container end is not in this netns: DEL must come first"
    )]
    HostVethExists { host: String },
    #[error(
        "gsoMaxSize needs Linux 6.3: the links of this kernel have no gso_ipv4_max_size; leave the key out"
    )]
    NoLargeSegments,
    #[error("failed to make veth pair: all names for the host end are taken: {names}")]
    NoHostVethName { names: String },
    #[error("failed to make veth pair: address {address}: invalid MAC address")]
    InvalidMac { address: String },
    #[error("invalid args {0} for MAC addr: address {0}: invalid MAC address")]
    MacArgument(String),
    #[error("failed to make veth pair")]
    MakeVeth {
        #[source]
        source: Refusal,
    },
    #[error("failed to create {kind}")]
    MakeLink {
        kind: &'static str,
        #[source]
        source: Refusal,
    },
    #[error("failed to create {kind}: file exists: the container has an interface {name:?}")]
    NameTaken { kind: &'static str, name: String },
    #[error("failed to create {kind}: all names to make it under are taken")]
    NoUnusedName { kind: &'static str },
    #[error("failed to rename {kind} to {name:?}")]
    RenameLink {
        kind: &'static str,
        name: String,
        #[source]
        source: Refusal,
    },
    #[error("failed to create {kind}: this kernel has no such kind of link")]
    NoSuchKind { kind: &'static str },
    #[error("{capability} is missing: without it no link of a pod can be changed")]
    NotPermitted { capability: &'static str },
    #[error("no default route interface found")]
    NoDefaultRoute,
    #[error("master {name:?} is busy: it is a port of a bridge")]
    MasterIsPort { name: String },
    #[error("failed to lookup master {name:?}: Link not found")]
    NoMaster { name: String },
    #[error("failed to lookup master {name:?}")]
    Master {
        name: String,
        #[source]
        source: Refusal,
    },
    #[error("invalid MTU {configured}, must be [0, master MTU({most})]")]
    MtuRange { configured: i64, most: u32 },
    #[error("failed to lookup {name:?}: Link not found")]
    LinkMissing { name: String },
    #[error("failed to lookup {name:?}")]
    LookUp {
        name: String,
        #[source]
        source: Refusal,
    },
    #[error("no interfaces to configure")]
    NoInterfaces,
    #[error("failed to add IP addr {address} to {interface:?}: invalid interface index")]
    InvalidInterfaceIndex {
        address: IpNetwork,
        interface: String,
    },
    #[error("failed to add IP addr {address} to {interface:?}")]
    AddAddress {
        address: IpNetwork,
        interface: String,
        #[source]
        source: Refusal,
    },
    #[error("failed to set {interface:?} UP")]
    SetUp {
        interface: String,
        #[source]
        source: Refusal,
    },
    #[error("failed to announce the addresses of {interface:?}")]
    Announce {
        interface: String,
        #[source]
        source: Refusal,
    },
    #[error(
        "failed to enable IPv6 for interface {interface:?} (net/ipv6/conf/{interface}/{key}={value})"
    )]
    EnableIpv6 {
        interface: String,
        key: &'static str,
        value: &'static str,
        #[source]
        source: Refusal,
    },
    #[error(
        "{interface:?} has an MTU of {mtu} and is to have an IPv6 address: IPv6 needs an MTU of 1280 at least"
    )]
    MtuTooSmallForIpv6 { interface: String, mtu: u32 },
    #[error("failed to add route '{route}'")]
    AddRoute {
        route: String,
        #[source]
        source: Refusal,
    },
    #[error("link {interface} has address {address} in DADFAILED state")]
    DadFailed { interface: String, address: IpAddr },
    #[error("link {interface} still has tentative addresses after {seconds} seconds")]
    StillTentative { interface: String, seconds: u64 },
    #[error("failed to read addresses of {interface:?}")]
    ReadAddresses {
        interface: String,
        #[source]
        source: Refusal,
    },
    #[error("failed to enable forwarding")]
    Forwarding {
        #[source]
        source: kernel::Error,
    },
    #[error("failed to delete link {name:?}")]
    DeleteLink {
        name: String,
        #[source]
        source: Refusal,
    },
    #[error("invalid mtu {0} (must be below 4294967296)")]
    Mtu(i64),
    #[error("invalid mtu {0} (a veth pair takes from 68 to 65535 bytes)")]
    VethMtu(u32),
    #[error("failed to delete the route to the subnet {subnet} of {interface:?}")]
    DeleteSubnetRoute {
        subnet: IpNetwork,
        interface: String,
        #[source]
        source: Refusal,
    },
    #[error("failed to add route {route} of {interface:?}")]
    GatewayRoute {
        route: String,
        interface: String,
        #[source]
        source: Refusal,
    },
    #[error("address {address} has no gateway, which is the pod's only way out")]
    NoGateway { address: IpNetwork },
    #[error(transparent)]
    Masquerade(#[from] crate::masquerade::Error),
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
}

/// The errno of a refused kernel operation, as the reference plugins print it (`file exists`), and
/// the kernel's own words where it has some (`invalid argument (mtu less than device minimum)`):
/// for messages that already name operation and object.
#[derive(Debug)]
pub struct Refusal(pub Box<kernel::Error>);

impl From<kernel::Error> for Refusal {
    fn from(error: kernel::Error) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.source.to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        let mut letters = text.chars();
        if let Some(first) = letters.next() {
            write!(f, "{}{}", first.to_lowercase(), letters.as_str())?;
        }
        match &self.0.message {
            Some(words) => write!(f, " ({words})"),
            None => Ok(()),
        }
    }
}

impl StdError for Refusal {}

/// The failures of steps that do not depend on each other (DEL, GC): each one ran, all that
/// failed are reported.
#[derive(Debug, Default)]
pub struct Errors(Vec<cni::Error>);

impl Errors {
    /// Keeps the error, if there is one; says whether the step succeeded.
    pub fn note(&mut self, outcome: Result<(), cni::Error>) -> bool {
        match outcome {
            Ok(()) => true,
            Err(error) => {
                self.0.push(error);
                false
            }
        }
    }

    /// One error as it is; several as one with the first's code and all messages.
    pub fn into_result(self) -> Result<(), cni::Error> {
        let mut errors = self.0.into_iter();
        let Some(mut first) = errors.next() else {
            return Ok(());
        };
        for error in errors {
            first.msg.push_str("; ");
            first.msg.push_str(&error.msg);
        }
        Err(first)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_refusal_reads_as_errno_text_in_lower_case() {
        for (errno, text) in [
            (17, "file exists"),
            (22, "invalid argument"),
            (101, "network is unreachable"),
            (13, "permission denied"),
            (34, "numerical result out of range"),
        ] {
            let source = io::Error::from_raw_os_error(errno);
            let refusal = Refusal::from(kernel::Error::new("add route", "10.0.0.0/8", source));
            assert_eq!(refusal.to_string(), text);
        }
    }

    #[test]
    fn a_refusal_keeps_the_words_of_the_kernel() {
        let source = io::Error::from_raw_os_error(22);
        let mut error = kernel::Error::new("add link", "veth0", source);
        error.message = Some("mtu less than device minimum".to_owned());
        assert_eq!(
            Refusal::from(error).to_string(),
            "invalid argument (mtu less than device minimum)"
        );
    }

    #[test]
    fn all_errors_are_reported_under_the_first_code() {
        let mut errors = Errors::default();
        assert!(errors.note(Ok(())));
        assert!(!errors.note(Err(cni::Error::new(7, "one"))));
        assert!(!errors.note(Err(cni::Error::new(999, "two"))));
        let error = errors.into_result().unwrap_err();
        assert_eq!((error.code, error.msg.as_str()), (7, "one; two"));
        assert!(Errors::default().into_result().is_ok());
    }
}

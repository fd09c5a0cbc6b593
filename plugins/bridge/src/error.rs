//! Errors of the plugin, in the words of the reference plugins where those have some.

use attach::Refusal;
use ipnetwork::IpNetwork;

/// Result of a step of this plugin.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A configuration that cannot work or a step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("invalid VLAN ID {0} (must be between 0 and 4094)")]
    VlanId(i64),
    #[error("incorrect trunk minID parameter")]
    TrunkMinId,
    #[error("incorrect trunk maxID parameter")]
    TrunkMaxId,
    #[error("minID is greater than maxID in trunk parameter")]
    TrunkOrder,
    #[error("minID and maxID should be configured simultaneously, minID is missing")]
    TrunkMinIdMissing,
    #[error("minID and maxID should be configured simultaneously, maxID is missing")]
    TrunkMaxIdMissing,
    #[error("incorrect trunk id parameter")]
    TrunkId,
    #[error("cannot use IPAM when DisableContainerInterface flag is set")]
    IpamOnDisabledInterface,
    #[error("cannot set hairpin mode and promiscuous mode at the same time")]
    HairpinAndPromisc,
    #[error("suppressFlooding {0}")]
    SuppressFlooding(&'static str),
    #[error(
        "flowtableUplinks needs isGateway and ipam: packets of pods are forwarded by their gateway"
    )]
    FlowtableWithoutGateway,
    #[error("cannot suppress flooding: could not {what}")]
    MakeKnown {
        what: String,
        #[source]
        source: Refusal,
    },
    #[error(
        "cannot suppress flooding: port {0:?} floods, or the bridge does not answer for it, although it was told so: \
         Linux 4.15 has all that is needed"
    )]
    Floods(String),
    #[error(
        "cannot suppress flooding: this kernel does not keep what is said of a pod's FDB entry and neighbours \
         (sticky, protocol): Linux 5.2 does"
    )]
    ForgetsKnown,
    #[error("failed to create bridge {name:?}: could not add {name:?}: {reason}")]
    BridgeName { name: String, reason: &'static str },
    #[error("failed to create bridge {name:?}: {name:?} already exists but is not a bridge")]
    NotABridge { name: String },
    #[error("failed to create bridge {name:?}: could not {step} {name:?}")]
    Bridge {
        name: String,
        step: &'static str,
        #[source]
        source: Refusal,
    },
    #[error(
        "failed to create bridge {name:?}: could not add {name:?}: operation not supported: \
         the bridges of this kernel filter no VLANs"
    )]
    NoVlanFiltering { name: String },
    #[error("failed to set the VLANs of port {port:?}")]
    PortVlans {
        port: String,
        #[source]
        source: Refusal,
    },
    #[error(
        "failed to create vlan interface: faild to create vlan gateway {0:?}: \
         failed to make veth pair: numerical result out of range"
    )]
    VlanGatewayName(String),
    #[error("failed to create vlan interface: faild to create vlan gateway {name:?}")]
    VlanGateway {
        name: String,
        #[source]
        source: Refusal,
    },
    #[error(
        "failed to create vlan interface: faild to create vlan gateway {0:?}: \
         all names for its port are taken"
    )]
    NoVlanGatewayPort(String),
    #[error("bridge {bridge} has no free port ({in_use} in use)")]
    NoFreePort { bridge: String, in_use: usize },
    #[error("failed to create bridge {name:?}: it is removed as fast as it is made")]
    BridgeVanishes { name: String },
    #[error("{task}: {link:?} already has an IP address different from {wanted}")]
    OtherAddress {
        task: &'static str,
        link: String,
        wanted: IpNetwork,
    },
    #[error("{task}: could not {step} IP address {address} {towards} {link:?}")]
    GatewayAddress {
        task: &'static str,
        step: &'static str,
        address: IpNetwork,
        towards: &'static str,
        link: String,
        #[source]
        source: Refusal,
    },
    #[error("{task}: could not read addresses of {link:?}")]
    ReadAddresses {
        task: &'static str,
        link: String,
        #[source]
        source: Refusal,
    },
    #[error("failed to set bridge addr: could not set bridge's mac")]
    PinMac {
        #[source]
        source: Refusal,
    },
    #[error("cannot lock the host's network namespace {}", crate::lock::NAMESPACE)]
    Lock(#[source] files::LockError),
    #[error("bridge port in error state: {0}")]
    PortState(String),
    #[error("link {0:?} vanished while it was attached")]
    Vanished(String),
    #[error(transparent)]
    Attach(#[from] attach::Error),
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    #[error(transparent)]
    Masquerade(#[from] attach::masquerade::Error),
    #[error(transparent)]
    SpoofCheck(#[from] crate::spoof_check::Error),
    /// Of an IPAM plugin: passed on unchanged.
    #[error(transparent)]
    Cni(#[from] cni::Error),
}

impl From<Error> for cni::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Cni(error) => error,
            Error::SuppressFlooding(_) | Error::FlowtableWithoutGateway => {
                Self::new(cni::code::INVALID_CONFIG, error.to_string())
            }
            Error::Lock(files::LockError::Held(_)) => Self {
                code: cni::code::TRY_AGAIN_LATER,
                ..Self::internal(error)
            },
            // All else has the suite's catch-all code, which tools in the field match.
            other => Self::internal(other),
        }
    }
}

//! Errors of the plugin, in the words of the reference plugin where it has some.

use attach::Refusal;
use ipnetwork::IpNetwork;

/// A configuration that cannot work or a step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no plugin name provided: ptp needs ipam.type, the pod has no address otherwise")]
    NoIpam,
    #[error("failed to add IP addr ({address}) to veth {host:?}")]
    HostAddress {
        address: IpNetwork,
        host: String,
        #[source]
        source: Refusal,
    },
    #[error("failed to add route on host: {address} by veth {host:?}")]
    HostRoute {
        address: IpNetwork,
        host: String,
        #[source]
        source: Refusal,
    },
    #[error(transparent)]
    Attach(#[from] attach::Error),
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// Of an IPAM plugin: passed on unchanged.
    #[error(transparent)]
    Cni(#[from] cni::Error),
}

impl From<Error> for cni::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Cni(error) => error,
            other => Self::internal(other),
        }
    }
}

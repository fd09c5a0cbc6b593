//! What can go wrong, and the text of it at the plugin's edge.
use std::net::IpAddr;

use kernel::NetNsError;

/// Why the loopback interface could not be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The container's namespace cannot be opened.
    #[error(transparent)]
    NetNs(NetNsError),
    /// The path leads to a namespace of another kind.
    #[error("CNI_NETNS {0}")]
    NotANetNs(NetNsError),
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// `lo` is no name of a link.
    #[error(transparent)]
    Name(#[from] kernel::IfNameError),
    /// A namespace without `lo`.
    #[error("failed to find \"lo\": Link not found")]
    NoLoopback,
    /// `lo` carries an address that others could be reached by.
    #[error("loopback interface found with non-loopback address \"{0}\"")]
    ForeignAddress(IpAddr),
    /// CHECK: `lo` is down.
    #[error("loopback interface is down")]
    Down,
}

impl From<NetNsError> for Error {
    fn from(error: NetNsError) -> Self {
        match error {
            NetNsError::OtherKind { .. } => Self::NotANetNs(error),
            _ => Self::NetNs(error),
        }
    }
}

impl From<Error> for cni::Error {
    /// Every failure of ADD and CHECK is the suite's catch-all code 999, as users of the reference
    /// match it.
    fn from(error: Error) -> Self {
        Self::internal(error)
    }
}

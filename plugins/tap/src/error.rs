//! Errors of the plugin, in the words of the reference plugin where it has some.

use attach::Refusal;

/// A configuration that cannot work, a step that failed, or a difference that CHECK found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to get bridge {0}: Link not found")]
    NoBridge(String),
    #[error("failed to set tap {tap} as a port of bridge {bridge}")]
    Enslave {
        tap: String,
        bridge: String,
        #[source]
        source: Refusal,
    },
    #[error("Interface {name} has {what} {seen}, not {wanted} as configured")]
    Device {
        name: String,
        what: &'static str,
        seen: String,
        wanted: String,
    },
    #[error("Interface {name} is not a port of bridge {bridge}")]
    NoPort { name: String, bridge: String },
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

//! Errors of the plugin, in the words of the reference plugin.

/// A configuration that cannot work or a step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("dummy interface requires an IPAM configuration")]
    NoIpam,
    #[error(transparent)]
    Attach(#[from] attach::Error),
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

//! Errors of the plugin, in the words of the reference plugin where it has some.

/// A configuration that cannot work, a step that failed, or a difference that CHECK found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("unknown ipvlan mode: {0:?}")]
    UnknownMode(String),
    #[error("chained master failure. PrevResult lacks a single named interface")]
    NoSingleInterface,
    #[error(
        "no plugin name provided: ipvlan needs ipam.type, or the addresses of a plugin before it"
    )]
    NoAddresses,
    #[error("Container IPVlan mode {seen} does not match expected value: {wanted}")]
    OtherMode {
        seen: &'static str,
        wanted: &'static str,
    },
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

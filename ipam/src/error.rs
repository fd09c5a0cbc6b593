//! What can go wrong, and the text of it at the plugin's edge.
use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use crate::range::RangeError;

/// Why an allocation, a release or a check failed. The texts are the reference plugin's, because
/// operators search their logs for them; the cause is not part of the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be decoded.
    #[error(transparent)]
    Json(#[from] cni::json::JsonError),
    /// `CNI_ARGS` cannot be decoded.
    #[error(transparent)]
    Args(cni::Error),
    /// A route of the configuration can be made nowhere.
    #[error(transparent)]
    Route(#[from] crate::RouteError),
    /// There is no `ipam` object.
    #[error("IPAM config missing 'ipam' key")]
    NoIpam,
    /// Neither `ipRanges` nor `subnet` nor `ranges` names a subnet.
    #[error("no IP ranges specified")]
    NoRanges,
    /// A range set cannot be used.
    #[error("invalid range set {set}")]
    RangeSet {
        /// Position in the combined list.
        set: usize,
        /// What is wrong with it.
        source: RangeError,
    },
    /// Two range sets share addresses.
    #[error("range set {first} overlaps with {second}")]
    SetsOverlap {
        /// Position in the combined list.
        first: usize,
        /// Position in the combined list.
        second: usize,
    },
    /// Results before 0.3.0 hold one address per family.
    #[error("CNI version {0} does not support more than 1 address per family")]
    TwoPerFamily(cni::SpecVersion),
    /// An empty text among the requested addresses.
    #[error("cannot understand ip: IP <nil> not v4 nor v6")]
    EmptyRequest,
    /// One of the range sets could not serve.
    #[error("failed to allocate for range {set}")]
    Allocate {
        /// Position in the combined list.
        set: usize,
        /// Why not.
        source: Box<Error>,
    },
    /// Every address of the set is taken.
    #[error("no IP addresses available in range set: {0}")]
    Exhausted(String),
    /// The requested address has another owner.
    #[error(
        "requested IP address {address} is not available in range set {set}: it is taken by {holder}"
    )]
    Taken {
        /// The requested address.
        address: IpAddr,
        /// The set's ranges.
        set: String,
        /// Who has it.
        holder: String,
    },
    /// The requested address is the gateway.
    #[error("requested ip {0} is subnet's gateway")]
    Gateway(IpAddr),
    /// The attachment already holds an address in this set.
    #[error("{address} has been allocated to {container}, duplicate allocation is not allowed")]
    Duplicate {
        /// The address it holds.
        address: IpAddr,
        /// Container ID.
        container: String,
    },
    /// Requested addresses that lie in no set.
    #[error("failed to allocate all requested IPs:{0}")]
    Unserved(String),
    /// CHECK: the attachment holds nothing.
    #[error("host-local: Failed to find address added by container {0}")]
    NotFound(String),
    /// Somebody else keeps the network's lock.
    #[error("lock {path}")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Who does not give it.
        source: files::LockError,
    },
    /// A file operation failed.
    #[error("{operation} {path}")]
    File {
        /// The operation, as the reference plugin names it.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn file(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File {
            operation,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn lock(path: &Path, source: files::LockError) -> Self {
        Self::Lock {
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the file system is read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem)
    }

    /// The code to print: another try may succeed where somebody else has the lock.
    pub(crate) fn code(&self) -> u32 {
        match self {
            Self::Lock {
                source: files::LockError::Held(_),
                ..
            } => cni::code::TRY_AGAIN_LATER,
            _ => cni::code::INTERNAL,
        }
    }

    /// Message and causes in one line, as the reference plugin prints them.
    pub fn text(&self) -> String {
        match self {
            Self::RangeSet { source, .. } => format!("{self}: {source}"),
            Self::Allocate { source, .. } => format!("{self}: {}", source.text()),
            Self::File { source, .. } => format!("{self}: {}", reason(source)),
            Self::Lock { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }
}

/// The system's message in the form the reference plugins print: lower case, without the number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}

impl From<Error> for cni::Error {
    /// The suite's catch-all code 999, as users of the reference match it; 11 for a lock.
    fn from(error: Error) -> Self {
        match error {
            Error::Args(error) => error,
            error => {
                let printed = Self::new(error.code(), error.text());
                Self {
                    source: Some(Box::new(error)),
                    ..printed
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_error_reads_like_the_reference_s() {
        let error = Error::file(
            "mkdir",
            Path::new("/opt/work/f"),
            io::Error::from_raw_os_error(20),
        );
        assert_eq!(error.text(), "mkdir /opt/work/f: not a directory");
        let printed = cni::Error::from(error);
        assert_eq!(
            (printed.code, printed.msg.as_str()),
            (999, "mkdir /opt/work/f: not a directory")
        );
        assert!(printed.source.is_some());
    }
}

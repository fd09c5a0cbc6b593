//! Errors of the plugin, in the words of the reference plugin where it has some.

use std::{io, path::PathBuf};

use attach::Refusal;
use kernel::MacAddrError;

/// A configuration that cannot work, a step that failed, or what CHECK found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("invalid args {text} for MAC addr")]
    Mac {
        text: String,
        #[source]
        source: MacAddrError,
    },
    #[error("invalid mtu {0}: it must be from 0 to 4294967295")]
    Mtu(i64),
    #[error(
        "MTU {mtu} of {interface}: IPv6 needs 1280 at least, and the interface would lose {}",
        addresses.join(" and ")
    )]
    MtuTooSmallForIpv6 {
        mtu: u32,
        interface: String,
        addresses: Vec<String>,
    },
    #[error("invalid txQLen {0}: it must be from 0 to 4294967295")]
    TxQueueLen(i64),
    #[error("duplicated sysctl keys are not allowed: {0}")]
    DuplicateSysctl(String),
    #[error("invalid net sysctl key: {0:?}")]
    InvalidSysctl(String),
    #[error(
        "Sysctl {key} is not allowed. Only the following sysctls are allowed: [{}]",
        allowed.join(" ")
    )]
    NotAllowed { key: String, allowed: Vec<String> },
    #[error("cannot read the list of allowed sysctls {path}")]
    AllowList {
        path: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("error parsing regexp {line:?} of {path}")]
    Regexp {
        path: &'static str,
        line: String,
        #[source]
        source: regex_lite::Error,
    },
    #[error("failed to set sysctl {path} to {value:?}")]
    Sysctl {
        path: String,
        value: String,
        #[source]
        source: Refusal,
    },
    #[error("failed to read sysctl {path}")]
    ReadSysctl {
        path: String,
        #[source]
        source: Refusal,
    },
    #[error("failed to get {0:?}: Link not found")]
    NoLink(String),
    #[error("failed to get {name:?}")]
    LookUp {
        name: String,
        #[source]
        source: Refusal,
    },
    #[error("failed to set {what} of {interface}")]
    Set {
        what: String,
        interface: String,
        #[source]
        source: Refusal,
    },
    #[error("cannot keep in {} what was there before", path.display())]
    Keep {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot list {}", path.display())]
    List {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot remove {}", path.display())]
    Remove {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    #[error("Cannot find container link {0}")]
    LinkGone(String),
    #[error("Error: Tuning configured value of {path} is {wanted}, current value is {seen}")]
    OtherValue {
        path: String,
        wanted: String,
        seen: String,
    },
    #[error("Error: Tuning configured {what} of {interface} is {wanted}, current value is {seen}")]
    Differs {
        what: &'static str,
        interface: String,
        wanted: String,
        seen: String,
    },
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

//! What can go wrong on the plugin's side. The texts are the reference plugin's, because operators
//! search their logs for them.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::{gob::GobError, protocol::ask::OptionError};

/// Why the daemon could not be asked, or what it answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be decoded.
    #[error("error obtaining socketPath: error parsing socket path conf: {0}")]
    Config(cni::json::JsonError),
    /// An option cannot be sent or asked for.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// There is no `ipam` object.
    #[error("IPAM config missing 'ipam' key")]
    NoIpam,
    /// Nobody listens.
    #[error(
        "error dialing DHCP daemon: dial unix {}: connect: {}{}",
        socket.display(), reason(source), remedy(source)
    )]
    Dial {
        /// Where.
        socket: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Somebody listens, and says nothing.
    #[error("error dialing DHCP daemon: {} gives no answer in {} s", socket.display(), .limit.as_secs())]
    Hangs {
        /// Where.
        socket: PathBuf,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Whoever listens is no DHCP daemon.
    #[error("error dialing DHCP daemon: {} answers {answer:?} instead of \"200 Connected to Go RPC\"", socket.display())]
    NotADaemon {
        /// Where.
        socket: PathBuf,
        /// What was said.
        answer: String,
    },
    /// The connection broke.
    #[error("error calling {method}: {}", reason(source))]
    Connection {
        /// What was asked.
        method: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The daemon does not answer.
    #[error("error calling {method}: no answer in {} s", .limit.as_secs())]
    Silent {
        /// What was asked.
        method: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// What was answered cannot be understood.
    #[error("error calling {method}: {source}")]
    Encoding {
        /// What was asked.
        method: &'static str,
        /// What is wrong.
        source: EncodingError,
    },
    /// The daemon refused.
    #[error("error calling {method}: {answer}")]
    Refused {
        /// What was asked.
        method: &'static str,
        /// Its words.
        answer: String,
    },
    /// CHECK: the lease is not what ADD gave.
    #[error("dhcp: the lease is {leased}, which prevResult does not hold")]
    OtherLease {
        /// The leased address.
        leased: String,
    },
    /// `prevResult` cannot be decoded.
    #[error(transparent)]
    Protocol(cni::Error),
}

/// An answer that is none.
#[derive(Debug, thiserror::Error)]
pub enum EncodingError {
    /// No gob.
    #[error(transparent)]
    Gob(#[from] GobError),
    /// An address in the result is none.
    #[error("the lease holds an address that is none")]
    Address,
}

impl Error {
    /// Whether no daemon can be reached at all.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Dial { .. })
    }

    fn code(&self) -> u32 {
        match self {
            Self::Hangs { .. } | Self::Silent { .. } => cni::code::TRY_AGAIN_LATER,
            _ => cni::code::INTERNAL,
        }
    }
}

/// The system's message as Go prints it: lower case, without the number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    text.to_lowercase()
}

/// What to do where nobody listens.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "; no daemon listens there: `systemctl enable --now cni-dhcp.socket cni-dhcp.service` \
             starts it, or by hand `dhcp daemon`"
        }
        _ => "",
    }
}

impl From<Error> for cni::Error {
    /// The suite's catch-all code 999, as users of the reference match it; 11 for a daemon that
    /// hangs.
    fn from(error: Error) -> Self {
        match error {
            Error::Protocol(error) => error,
            error => {
                let printed = Self::new(error.code(), error.to_string());
                Self {
                    source: Some(Box::new(error)),
                    ..printed
                }
            }
        }
    }
}

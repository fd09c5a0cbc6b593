//! One error for the whole crate: operation, object, errno. Pure.

use std::fmt;
use std::io;

use nix::libc;

/// What every operation of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// A refused kernel operation.
///
/// The message names operation and object, and what the kernel said about it when it said more
/// than a number (its extended acknowledgement); the errno is the [`source`](Self::source), so
/// that a caller who prints both gets `add route 10.1.0.0/24 via 10.0.0.1 (Nexthop has invalid
/// gateway): Network is unreachable`.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    /// What was tried: `add route`.
    pub operation: &'static str,
    /// On what: `10.1.0.0/24 via 10.0.0.1`.
    pub object: String,
    /// The kernel's own words, where it has some.
    pub message: Option<String>,
    /// The errno, or why no answer could be had.
    #[source]
    pub source: io::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation, self.object)?;
        match &self.message {
            Some(message) => write!(f, " ({message})"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// An error without the kernel's words.
    pub fn new(operation: &'static str, object: impl fmt::Display, source: io::Error) -> Self {
        Self {
            operation,
            object: object.to_string(),
            message: None,
            source,
        }
    }

    /// The object is already there (EEXIST).
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(libc::EEXIST)
    }

    /// The object is not, or no longer, there: ENOENT (files, neighbours, FDB entries), ENODEV,
    /// ENXIO (links), ESRCH (routes), EADDRNOTAVAIL (addresses).
    pub fn is_gone(&self) -> bool {
        matches!(
            self.errno(),
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO | libc::ESRCH | libc::EADDRNOTAVAIL)
        )
    }

    /// The object is in use and cannot be changed now (EBUSY).
    pub fn is_busy(&self) -> bool {
        self.errno() == Some(libc::EBUSY)
    }

    /// A port is another's (EADDRINUSE).
    pub fn is_address_in_use(&self) -> bool {
        self.errno() == Some(libc::EADDRINUSE)
    }

    /// The kernel has no such thing (EOPNOTSUPP): a kind of link, say, whose module it lacks.
    pub fn is_unsupported(&self) -> bool {
        self.errno() == Some(libc::EOPNOTSUPP)
    }

    /// There was nothing left to ask with, which says nothing about the object: descriptors (EMFILE,
    /// ENFILE) or memory (ENOMEM).
    pub fn is_shortage(&self) -> bool {
        matches!(
            self.errno(),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)
        )
    }

    /// The errno, unless the failure is not the kernel's.
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

/// What an operation on an object gave, or `None` where the object is [gone](Error::is_gone): for whoever
/// takes it away, since between two requests others may, and the kernel with the link that had it.
///
/// # Errors
/// All others, unchanged.
pub fn if_there<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Err(error) if error.is_gone() => Ok(None),
        outcome => outcome.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    fn errno(number: i32) -> Error {
        Error::new(
            "add route",
            "10.1.0.0/24",
            io::Error::from_raw_os_error(number),
        )
    }

    #[test]
    fn message_leaves_the_cause_to_source() {
        let mut error = errno(libc::ENETUNREACH);
        assert_eq!(error.to_string(), "add route 10.1.0.0/24");
        error.message = Some("Nexthop has invalid gateway".to_owned());
        assert_eq!(
            error.to_string(),
            "add route 10.1.0.0/24 (Nexthop has invalid gateway)"
        );
        let cause = error.source().map(ToString::to_string).unwrap();
        assert!(cause.starts_with("Network is unreachable"), "{cause}");
    }

    #[test]
    fn what_is_gone_is_no_failure_where_it_need_not_be_there() {
        assert_eq!(if_there(Ok(7)).unwrap(), Some(7));
        assert_eq!(if_there::<()>(Err(errno(libc::ENODEV))).unwrap(), None);
        let refused = if_there::<()>(Err(errno(libc::EPERM))).unwrap_err();
        assert_eq!(refused.errno(), Some(libc::EPERM));
    }

    #[test]
    fn classes() {
        assert!(errno(libc::EEXIST).is_exists());
        assert!(!errno(libc::ENOENT).is_exists());
        for number in [libc::ENOENT, libc::ENODEV, libc::ESRCH, libc::EADDRNOTAVAIL] {
            assert!(errno(number).is_gone(), "{number}");
        }
        assert!(!errno(libc::EPERM).is_gone());
        assert_eq!(Error::new("read", "x", io::Error::other("y")).errno(), None);
    }
}

//! Connections to Unix sockets (unix(7)). No capabilities needed.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::sockopt::SendTimeout;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket};
use nix::sys::time::TimeVal;

/// Connects to who listens at this path, and waits no longer than `limit` (a microsecond at least) while nobody is
/// accepted there: a listener that hangs has a queue that fills. What is written later waits no longer either.
///
/// # Errors
/// `WouldBlock` at the limit; else as connect(2).
pub fn connect_within(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    let stream = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let micros = i64::try_from(limit.as_micros()).unwrap_or(i64::MAX);
    // 0 would be no limit.
    let limit = TimeVal::new(micros / 1_000_000, micros.max(1) % 1_000_000);
    setsockopt(&stream, SendTimeout, &limit)?;
    connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(stream))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::net::UnixListener;

    use nix::sys::socket::{Backlog, listen};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn who_hangs_is_not_waited_for_without_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let refused = connect_within(&path, SHORT).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotFound);
        let listener = UnixListener::bind(&path).unwrap();
        listen(&listener, Backlog::new(1).unwrap()).unwrap();
        let mut connected = Vec::new();
        let error = loop {
            match connect_within(&path, SHORT) {
                Ok(stream) => connected.push(stream),
                Err(error) => break error,
            }
            assert!(connected.len() < 9, "the queue has no end");
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(!connected.is_empty());
        // Once somebody is accepted, there is room.
        listener.accept().unwrap();
        connect_within(&path, Duration::from_secs(60)).unwrap();
    }
}

//! Tells the service manager that start-up is complete (systemd's `Type=notify` protocol).

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends `READY=1` to the socket that `NOTIFY_SOCKET` names; without one there is nobody to tell.
///
/// # Errors
/// The socket cannot be reached.
pub fn ready(socket: Option<&str>) -> io::Result<()> {
    let Some(name) = socket.filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    let address = match name.strip_prefix('@') {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_is_told_once() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("bind");
        ready(path.to_str()).expect("send");
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).expect("receive");
        assert_eq!(&buffer[..length], b"READY=1");
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        ready(None).expect("no socket");
        ready(Some("")).expect("empty");
        assert!(ready(Some("/nonexistent/notify")).is_err());
    }
}

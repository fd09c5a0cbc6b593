//! What the service manager is told (systemd's `sd_notify` protocol): that the start is complete,
//! and again and again that netd works.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::Instant;

/// Sends `READY=1` to the socket that `NOTIFY_SOCKET` names; without one there is nobody to tell.
///
/// # Errors
/// The socket cannot be reached.
pub fn ready(socket: Option<&str>) -> io::Result<()> {
    let Some(name) = socket.filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    tell(&address(name)?, b"READY=1")
}

/// A service manager that starts netd again when it no longer hears that it works.
///
/// Whoever does the work holds this and beats between two pieces of work, so that work that hangs
/// ends the beats. A task of its own that only waits and beats would tell nothing.
#[derive(Debug)]
pub struct Watchdog {
    manager: SocketAddr,
    interval: Duration,
    next: Instant,
}

/// A watchdog that is asked for and cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum WatchdogError {
    /// `WATCHDOG_USEC`.
    #[error("WATCHDOG_USEC={0:?} is no number of microseconds above 1")]
    Interval(String),
    /// `NOTIFY_SOCKET`.
    #[error("NOTIFY_SOCKET={name:?} is no address of a socket")]
    Socket {
        /// Its value.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Watchdog {
    /// As the environment asks for it: `NOTIFY_SOCKET`, `WATCHDOG_USEC` (microseconds after which
    /// a silent process is killed), `WATCHDOG_PID` (whom it means, when it is given).
    ///
    /// # Errors
    /// A variable cannot be understood.
    pub fn asked_for(
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, WatchdogError> {
        let given = |name: &str| environment(name).filter(|value| !value.is_empty());
        let (Some(name), Some(limit)) = (given("NOTIFY_SOCKET"), given("WATCHDOG_USEC")) else {
            return Ok(None);
        };
        if given("WATCHDOG_PID").is_some_and(|pid| pid != std::process::id().to_string()) {
            return Ok(None);
        }
        // Twice as often as must be, as sd_watchdog_enabled(3) advises.
        let interval = match limit.parse() {
            Ok(limit @ 2..) => Duration::from_micros(limit) / 2,
            _ => return Err(WatchdogError::Interval(limit)),
        };
        match address(&name) {
            Ok(manager) => Ok(Some(Self {
                manager,
                interval,
                next: Instant::now(),
            })),
            Err(source) => Err(WatchdogError::Socket { name, source }),
        }
    }

    /// When to beat.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Sends `WATCHDOG=1`, unless the work that was due at `due` has not been begun for so long
    /// that it never will.
    pub fn beat(&mut self, due: Instant) {
        let now = Instant::now();
        self.next = now + self.interval;
        if !self.works(due, now) {
            tracing::error!("work that is due is not begun; the service manager is not told");
            return;
        }
        match beat(&self.manager) {
            Ok(()) => {}
            // It has beats that it has not read: waiting until it does would stop all else.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tracing::debug!("the service manager does not read");
            }
            Err(error) => tracing::warn!(%error, "the service manager cannot be told"),
        }
    }

    fn works(&self, due: Instant, now: Instant) -> bool {
        now <= due + self.interval
    }
}

fn address(name: &str) -> io::Result<SocketAddr> {
    match name.strip_prefix('@') {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
        None => SocketAddr::from_pathname(name),
    }
}

fn tell(manager: &SocketAddr, what: &[u8]) -> io::Result<()> {
    UnixDatagram::unbound()?.send_to_addr(what, manager)?;
    Ok(())
}

fn beat(manager: &SocketAddr) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(b"WATCHDOG=1", manager)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(manager: &UnixDatagram) -> String {
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).expect("receive");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// What an environment of these variables asks for.
    fn asked(variables: &[(&str, &str)]) -> Result<Option<Watchdog>, WatchdogError> {
        Watchdog::asked_for(&|name| {
            let found = variables.iter().find(|(given, _)| *given == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_manager_is_told_once() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("bind");
        ready(path.to_str()).expect("send");
        assert_eq!(heard(&manager), "READY=1");
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        ready(None).expect("no socket");
        ready(Some("")).expect("empty");
        assert!(ready(Some("/nonexistent/notify")).is_err());
    }

    #[test]
    fn a_watchdog_is_what_the_environment_asks_for() {
        let socket = ("NOTIFY_SOCKET", "/run/notify");
        let minute = ("WATCHDOG_USEC", "60000000");
        let own = std::process::id().to_string();
        let watchdog = asked(&[socket, minute, ("WATCHDOG_PID", &own)]);
        let watchdog = watchdog.expect("understood").expect("asked for");
        assert_eq!(watchdog.interval, Duration::from_secs(30));
        for none in [
            &[][..],
            &[socket],
            &[minute],
            &[socket, ("WATCHDOG_USEC", "")],
            &[socket, minute, ("WATCHDOG_PID", "1")],
        ] {
            assert!(asked(none).expect("understood").is_none(), "{none:?}");
        }
        for value in ["soon", "-1", "0", "1", "60s"] {
            let error = asked(&[socket, ("WATCHDOG_USEC", value)]).expect_err(value);
            let said = error.to_string();
            assert!(
                said.contains(value) && said.contains("microseconds"),
                "{said}"
            );
        }
        let long = "x".repeat(200);
        assert!(asked(&[("NOTIFY_SOCKET", &long), minute]).is_err());
    }

    #[test]
    fn it_beats_while_work_is_begun_when_it_is_due() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("bind");
        manager.set_nonblocking(true).expect("nonblocking");
        let name = path.to_str().expect("path");
        let watchdog = asked(&[("NOTIFY_SOCKET", name), ("WATCHDOG_USEC", "2000000")]);
        let mut watchdog = watchdog.expect("understood").expect("asked for");
        let begun = watchdog.next();
        watchdog.beat(begun + Duration::from_secs(30));
        assert_eq!(heard(&manager), "WATCHDOG=1");
        assert!(watchdog.next() >= begun + Duration::from_secs(1));
        let now = Instant::now() + Duration::from_secs(60);
        let second = Duration::from_secs(1);
        assert!(watchdog.works(now - second, now));
        assert!(!watchdog.works(now - second - Duration::from_nanos(1), now));
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nobody_up() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("notify");
        let _manager = UnixDatagram::bind(&path).expect("bind");
        let manager = SocketAddr::from_pathname(&path).expect("address");
        let full = std::iter::repeat_with(|| beat(&manager)).find_map(Result::err);
        let kind = full.map(|error| error.kind());
        assert_eq!(kind, Some(io::ErrorKind::WouldBlock));
    }
}

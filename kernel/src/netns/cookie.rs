//! What tells a namespace from all others.

use std::io;
use std::os::fd::AsRawFd;

use nix::libc;

use crate::netlink::open_socket;
use crate::{Error, NetNs, Result};

impl NetNs {
    /// A number that no other namespace has as long as the machine is up, unlike that of its file,
    /// which the next namespace may get: `SO_NETNS_COOKIE`. `None` before Linux 5.14.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn cookie(&self) -> Result<Option<u64>> {
        let cookie = self.step_in(|| cookie_of(&open_socket()?))?;
        match cookie {
            Ok(cookie) => Ok(Some(cookie)),
            Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(None),
            Err(source) => {
                let path = self.path().display();
                Err(Error::new("identify network namespace", path, source))
            }
        }
    }
}

/// The cookie of a socket's namespace.
fn cookie_of(socket: &impl AsRawFd) -> io::Result<u64> {
    let mut cookie = 0u64;
    let mut length = size_of_val(&cookie) as libc::socklen_t;
    // SAFETY: the descriptor is open while `socket` is borrowed; the kernel writes at most `length`
    // bytes, which is the size of `cookie`, and both live until the call returns.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    match outcome {
        0 => Ok(cookie),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[test]
    fn a_namespace_keeps_its_cookie_and_gives_it_to_no_other() {
        let Some(world) = World::new() else { return };
        let first = world.pod("first");
        let cookie = first.cookie().unwrap();
        assert_eq!(first.cookie().unwrap(), cookie);
        assert_ne!(cookie, NetNs::current().unwrap().cookie().unwrap());
        drop(first);
        NetNs::remove("/run/netns/first").unwrap();
        let again = NetNs::create("/run/netns/first").unwrap();
        assert_ne!(again.cookie().unwrap(), cookie);
        NetNs::remove("/run/netns/first").unwrap();
    }
}

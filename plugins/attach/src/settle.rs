//! Waiting for the kernel: IPv6 duplicate address detection, and a link's operational state.

use std::time::{Duration, Instant};

use kernel::{Address, IfName, Link, LinkIndex, Netlink};

use crate::{Error, Result};

/// How long the kernel may take to do what it defers when an address comes, where nobody looks for
/// duplicates: some microseconds are usual.
pub const DEFERRED: Duration = Duration::from_millis(10);
/// How long duplicate address detection may take (the reference plugins' limit).
const DAD_LIMIT: Duration = Duration::from_secs(5);
/// The first pause between two looks, which is what the kernel's deferred work needs when nothing
/// is wrong; doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// Waits until no IPv6 address of the link is tentative.
///
/// # Errors
/// An address is a duplicate; detection takes more than 5 s although the link is operationally up
/// (while it is not, detection cannot even start: that is no error).
pub fn settle(netlink: &Netlink, name: &IfName, link: LinkIndex) -> Result<()> {
    if within(netlink, name, link, DAD_LIMIT)? {
        return Ok(());
    }
    match netlink.link_by_index(link)? {
        Some(link) if link.oper_up => Err(Error::StillTentative {
            interface: name.to_string(),
            seconds: DAD_LIMIT.as_secs(),
        }),
        _ => Ok(()),
    }
}

/// Whether no IPv6 address of the link is tentative by the end of `limit`, which is waited for only
/// as long as one is.
///
/// # Errors
/// An address is a duplicate; the addresses cannot be read.
pub fn within(netlink: &Netlink, name: &IfName, link: LinkIndex, limit: Duration) -> Result<bool> {
    let mut pauses = Pauses::new(limit);
    loop {
        let addresses = netlink
            .addresses(Some(link))
            .map_err(|source| Error::ReadAddresses {
                interface: name.to_string(),
                source: source.into(),
            })?;
        if settled(name, &addresses)? {
            return Ok(true);
        }
        if !pauses.next() {
            return Ok(false);
        }
    }
}

fn settled(name: &IfName, addresses: &[Address]) -> Result<bool> {
    let ipv6 = || addresses.iter().filter(|address| address.address.is_ipv6());
    match ipv6().find(|address| address.dad_failed) {
        Some(failed) => Err(Error::DadFailed {
            interface: name.to_string(),
            address: failed.address.ip(),
        }),
        None => Ok(ipv6().all(|address| !address.tentative)),
    }
}

/// Waits until a link is operationally up and returns it as it is then, or as it was when `limit`
/// had passed; `None` if it vanished.
///
/// # Errors
/// The link cannot be read.
pub fn until_up(netlink: &Netlink, link: LinkIndex, limit: Duration) -> Result<Option<Link>> {
    let mut pauses = Pauses::new(limit);
    loop {
        let seen = netlink.link_by_index(link)?;
        let done = seen.as_ref().is_none_or(|link| link.oper_up);
        if done || !pauses.next() {
            return Ok(seen);
        }
    }
}

/// Pauses that grow, until a limit.
struct Pauses {
    next: Duration,
    deadline: Instant,
}

impl Pauses {
    fn new(limit: Duration) -> Self {
        Self {
            next: FIRST_PAUSE,
            deadline: Instant::now() + limit,
        }
    }

    /// Pauses; `false` if the limit has passed.
    fn next(&mut self) -> bool {
        if Instant::now() >= self.deadline {
            return false;
        }
        std::thread::sleep(self.next);
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        true
    }
}

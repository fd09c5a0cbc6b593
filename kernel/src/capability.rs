//! What this thread may do: capabilities(7). None needed to ask.

use std::fs;
use std::io;

use caps::CapSet;

use crate::{Error, Result};

/// In which numbers the kernel counts them (`linux/capability.h`).
const NEEDED: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN")];

/// The first capability of those that changing links of other namespaces takes, and entering them,
/// which this thread has not. `None` also where the kernel does not tell, because there is no
/// `/proc`.
pub fn missing_for_networks() -> Option<&'static str> {
    missing_in(&fs::read_to_string("/proc/thread-self/status").ok()?)
}

/// Takes every capability from this thread, those that it starts, and every program that they run
/// (no_new_privs), for good. To be called before others are started.
///
/// # Errors
/// The kernel refuses, or a filter of system calls does.
pub fn drop_all() -> Result<()> {
    let failed = |source| Error::new("drop", "capabilities", source);
    nix::sys::prctl::set_no_new_privs().map_err(|errno| failed(errno.into()))?;
    // This one takes a capability that may be gone already, and nothing comes from it any more.
    let _ = caps::clear(None, CapSet::Bounding);
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Permitted] {
        caps::clear(None, set).map_err(|error| failed(io::Error::other(error)))?;
    }
    match caps::read(None, CapSet::Effective) {
        Ok(left) if left.is_empty() => Ok(()),
        Ok(left) => Err(failed(io::Error::other(format!("{left:?} stay")))),
        Err(error) => Err(failed(io::Error::other(error))),
    }
}

fn missing_in(status: &str) -> Option<&'static str> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(effective.trim(), 16).ok()?;
    let lacks = |(number, _): &(u32, &str)| effective & (1 << number) == 0;
    let (_, name) = NEEDED.into_iter().find(lacks)?;
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_bits() {
        for (status, expected) in [
            ("Name:\tx\nCapEff:\t000001ffffffffff\n", None),
            ("CapEff:\t0000000000201000\n", None),
            ("CapEff:\t0000000000200000\n", Some("CAP_NET_ADMIN")),
            (
                "CapPrm:\t000001ffffffffff\nCapEff:\t0000000000001000\n",
                Some("CAP_SYS_ADMIN"),
            ),
            ("CapEff:\t0000000000000000\n", Some("CAP_NET_ADMIN")),
            ("CapEff:\tx\n", None),
            ("", None),
        ] {
            assert_eq!(missing_in(status), expected, "{status}");
        }
    }
}

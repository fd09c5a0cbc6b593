//! The capabilities that a container has by default.

use std::io;

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};
use kernel::{Error, Result};

/// What Docker and containerd leave a container: enough to be root over its own files, users,
/// processes, ports and pings.
const DEFAULT: [Capability; 14] = [
    Capability::CAP_AUDIT_WRITE,
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_KILL,
    Capability::CAP_MKNOD,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_NET_RAW,
    Capability::CAP_SETFCAP,
    Capability::CAP_SETGID,
    Capability::CAP_SETPCAP,
    Capability::CAP_SETUID,
    Capability::CAP_SYS_CHROOT,
];

/// Leaves the calling thread the default capabilities, as far as it has them, and no others.
///
/// # Errors
/// The kernel refused (EPERM without CAP_SETPCAP).
pub(super) fn drop_all_but_default() -> Result<()> {
    let default = CapsHashSet::from(DEFAULT);
    // The bounding set first: that takes CAP_SETPCAP, which a caller may have and not keep.
    for capability in caps::runtime::thread_all_supported().difference(&default) {
        caps::drop(None, CapSet::Bounding, *capability)
            .map_err(|error| failed("bounding", error))?;
    }
    caps::clear(None, CapSet::Ambient).map_err(|error| failed("ambient", error))?;
    caps::clear(None, CapSet::Inheritable).map_err(|error| failed("inheritable", error))?;
    let held = caps::read(None, CapSet::Permitted).map_err(|error| failed("permitted", error))?;
    let kept: CapsHashSet = held.intersection(&default).copied().collect();
    // Effective ones must be permitted, so they go first.
    for (name, set) in [
        ("effective", CapSet::Effective),
        ("permitted", CapSet::Permitted),
    ] {
        caps::set(None, set, &kept).map_err(|error| failed(name, error))?;
    }
    Ok(())
}

fn failed(set: &'static str, error: CapsError) -> Error {
    Error::new("drop capabilities of set", set, io::Error::other(error))
}

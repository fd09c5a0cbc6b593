//! Opening the container's network namespace.

use kernel::{
    NetNs,
    NetNsError::{self, Missing, NotANamespace, OtherKind},
    Netlink,
};

use crate::{Error, Result};

/// The namespace at `path`, for ADD and CHECK: whatever is wrong with it is an error.
///
/// # Errors
/// Path missing, not a network namespace, or not to be opened.
pub fn open(path: &str) -> Result<NetNs> {
    NetNs::open(path).map_err(|source| refused(path, source))
}

/// The namespace at `path`, for DEL: a path that is unset, missing or no network namespace (a
/// plain file remains after a reboot or a lost unmount) means that the namespace is gone.
///
/// # Errors
/// Only if the path cannot be looked at.
pub fn open_if_there(path: Option<&str>) -> Result<Option<NetNs>> {
    let Some(path) = path else { return Ok(None) };
    match NetNs::open(path) {
        Ok(ns) => Ok(Some(ns)),
        Err(Missing { .. } | NotANamespace { .. } | OtherKind { .. }) => Ok(None),
        Err(source) => Err(refused(path, source)),
    }
}

fn refused(path: &str, source: NetNsError) -> Error {
    let path = path.to_owned();
    match source {
        OtherKind { what, .. } => Error::NotANetNs { path, what },
        source => Error::OpenNetNs { path, source },
    }
}

/// A netlink socket in the container's namespace.
///
/// # Errors
/// The namespace cannot be entered or the socket not opened.
pub fn socket(ns: &NetNs) -> Result<Netlink> {
    Netlink::open_in(ns).map_err(|source| entering(ns, source))
}

/// Runs `f` in the container's namespace, on the calling thread: for sysctls and sockets.
///
/// # Errors
/// The namespace cannot be entered; those of `f`.
pub fn in_container<T: Send>(ns: &NetNs, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    ns.step_in(f).map_err(|source| entering(ns, source))?
}

fn entering(ns: &NetNs, source: kernel::Error) -> Error {
    Error::EnterNetNs {
        path: ns.path().display().to_string(),
        source,
    }
}

/// The container's interface name as the kernel's.
///
/// # Errors
/// A name that the CNI rules allow and the kernel does not.
pub fn interface_name(name: &str) -> Result<kernel::IfName> {
    name.parse().map_err(|source| Error::InterfaceName {
        name: name.to_owned(),
        source: Box::new(source),
    })
}

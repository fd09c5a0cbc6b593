//! The capabilities of a container.

use std::io;

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};
use kernel::{Error, Result};
use serde::{Deserialize, Serialize};

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

/// Every one, in lists of names.
const ALL: &str = "ALL";

/// A set of capabilities (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities(u64);

/// A name that no capability has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCapability {
    /// As it was given.
    pub name: String,
    /// The capability whose name is nearest.
    pub nearest: String,
}

impl std::fmt::Display for UnknownCapability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, nearest } = self;
        write!(
            f,
            "there is no capability {name:?}: the nearest is {nearest}, and {ALL} is every one"
        )
    }
}

impl std::error::Error for UnknownCapability {}

impl Capabilities {
    /// Those that container runtimes leave by default.
    pub fn container() -> Self {
        Self::of(DEFAULT)
    }

    /// Every one that the process has.
    pub fn all() -> Self {
        Self(u64::MAX)
    }

    /// A container's, with those of `add` and without those of `drop`, as Kubernetes' runtimes do it: `ALL` in `add`
    /// first, `ALL` in `drop` next, then the others of `add`, and last those of `drop`. So what is dropped by its name
    /// is never there. Names are in any case, with or without `CAP_`.
    ///
    /// # Errors
    /// A name is unknown.
    pub fn adjusted<S: AsRef<str>>(
        add: &[S],
        drop: &[S],
    ) -> std::result::Result<Self, UnknownCapability> {
        let [add, drop] = [Names::read(add)?, Names::read(drop)?];
        let start = match (add.all, drop.all) {
            (_, true) => 0,
            (true, false) => u64::MAX,
            (false, false) => Self::container().0,
        };
        Ok(Self((start | add.named.0) & !drop.named.0))
    }

    pub(super) fn contains(self, capability: Capability) -> bool {
        self.0 & capability.bitmask() != 0
    }

    fn of(capabilities: impl IntoIterator<Item = Capability>) -> Self {
        let bits = capabilities.into_iter().map(|each| each.bitmask());
        Self(bits.fold(0, |all, bit| all | bit))
    }
}

struct Names {
    all: bool,
    named: Capabilities,
}

impl Names {
    fn read<S: AsRef<str>>(names: &[S]) -> std::result::Result<Self, UnknownCapability> {
        let is_all = |name: &&S| name.as_ref().eq_ignore_ascii_case(ALL);
        let named = names.iter().filter(|name| !is_all(name));
        let named: Vec<Capability> = named
            .map(|name| capability(name.as_ref()))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Self {
            all: names.iter().any(|name| is_all(&name)),
            named: Capabilities::of(named),
        })
    }
}

fn capability(name: &str) -> std::result::Result<Capability, UnknownCapability> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let full = format!("CAP_{short}");
    full.parse().map_err(|_| UnknownCapability {
        name: name.to_owned(),
        nearest: nearest(short),
    })
}

fn nearest(name: &str) -> String {
    let known = caps::all().into_iter().map(|each| {
        let known = each.to_string();
        let known = known.trim_start_matches("CAP_").to_owned();
        (strsim::osa_distance(name, &known), known)
    });
    known.min().map(|(_, known)| known).unwrap_or_default()
}

/// What the calling thread and all that it starts can ever get is within `allowed`.
///
/// # Errors
/// The kernel refused (EPERM without CAP_SETPCAP).
pub(super) fn bound(allowed: Capabilities) -> Result<()> {
    for capability in caps::runtime::thread_all_supported() {
        if !allowed.contains(capability) {
            caps::drop(None, CapSet::Bounding, capability)
                .map_err(|error| failed("bounding", error))?;
        }
    }
    caps::clear(None, CapSet::Ambient).map_err(|error| failed("ambient", error))?;
    caps::clear(None, CapSet::Inheritable).map_err(|error| failed("inheritable", error))
}

/// Leaves the calling thread those of `allowed` that it has.
///
/// # Errors
/// The kernel refused.
pub(super) fn keep(allowed: Capabilities) -> Result<()> {
    let held = caps::read(None, CapSet::Permitted).map_err(|error| failed("permitted", error))?;
    let kept: CapsHashSet = held
        .into_iter()
        .filter(|each| allowed.contains(*each))
        .collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_and_dropped() {
        use Capability::{CAP_CHOWN, CAP_KILL, CAP_NET_ADMIN, CAP_SYS_ADMIN};
        let default = Capabilities::container().0;
        let of = |list: &[Capability]| Capabilities::of(list.iter().copied()).0;
        for (add, drop, expected) in [
            (&[][..], &[][..], default),
            (&["NET_ADMIN"], &[], default | of(&[CAP_NET_ADMIN])),
            (
                &["cap_net_admin"],
                &["Kill"],
                (default | of(&[CAP_NET_ADMIN])) & !of(&[CAP_KILL]),
            ),
            (&[], &["ALL"], 0),
            (
                &["CHOWN", "SYS_ADMIN"],
                &["all"],
                of(&[CAP_CHOWN, CAP_SYS_ADMIN]),
            ),
            (&["ALL"], &[], u64::MAX),
            (&["ALL"], &["SYS_ADMIN"], !of(&[CAP_SYS_ADMIN])),
            (&["ALL"], &["ALL"], 0),
            (&["SYS_ADMIN"], &["CAP_SYS_ADMIN"], default),
        ] {
            let found = Capabilities::adjusted(add, drop).unwrap().0;
            assert_eq!(found, expected, "add {add:?}, drop {drop:?}");
        }
    }

    #[test]
    fn an_unknown_name_is_told_with_the_nearest() {
        for (name, nearest) in [
            ("NET_ADMN", "NET_ADMIN"),
            ("CAP_SYS_PTRAC", "SYS_PTRACE"),
            ("", "BPF"),
        ] {
            let refused = Capabilities::adjusted(&[name], &[]).unwrap_err();
            assert_eq!((&*refused.name, &*refused.nearest), (name, nearest));
        }
        assert!(Capabilities::adjusted(&["KILL"], &["KILLS"]).is_err());
    }
}

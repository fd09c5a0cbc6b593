//! Being root without being the machine's: a process of any user gets a user namespace, in which it has every
//! capability over the namespaces that it makes from then on (user_namespaces(7)), and over nothing else.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{getegid, geteuid};

use kernel::{Error, Result};

use crate::Process;

/// The users of the machine, all of them by their own numbers.
const EVERYBODY: [&str; 3] = ["0", "0", "4294967295"];

/// What the kernel tells of this process's user namespace. It is asked once: a thread that has entered a container sees
/// another `/proc`.
#[derive(Debug)]
struct Situation {
    users_are_the_machines: bool,
    groups_are_fixed: bool,
    users: String,
    groups: String,
}

fn situation() -> &'static Situation {
    static FOUND: OnceLock<Situation> = OnceLock::new();
    FOUND.get_or_init(|| {
        let read = |name: &str| fs::read_to_string(Path::new("/proc/self").join(name));
        // A kernel without user namespaces has none of these files.
        let users = read("uid_map").unwrap_or_else(|_| EVERYBODY.join(" "));
        let groups = read("gid_map").unwrap_or_else(|_| EVERYBODY.join(" "));
        Situation {
            users_are_the_machines: users.split_whitespace().eq(EVERYBODY),
            groups_are_fixed: read("setgroups").is_ok_and(|found| found.trim() == "deny"),
            users,
            groups,
        }
    })
}

/// Whether this process is in the user namespace that the machine started with, where root is the machine's.
pub fn is_among_the_machines_users() -> bool {
    situation().users_are_the_machines
}

/// Whether no process of this user namespace can change its supplementary groups (setgroups(2)): it was made without a
/// range of groups.
pub fn groups_are_fixed() -> bool {
    situation().groups_are_fixed
}

/// Whether this process's user namespace has a user of this number.
pub fn has_user(number: u32) -> bool {
    outside(&situation().users, number).is_some()
}

/// Whether it has a group of this number.
pub fn has_group(number: u32) -> bool {
    outside(&situation().groups, number).is_some()
}

/// Why a user or group cannot be had, where it has no number outside of this user namespace (EINVAL).
pub fn unmapped(cause: io::Error) -> io::Error {
    if cause.raw_os_error() != Some(nix::libc::EINVAL) || is_among_the_machines_users() {
        return cause;
    }
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "without root there are the users and groups alone that /etc/subuid and /etc/subgid give the user, and without \
         these there is root: /proc/self/uid_map and gid_map say which",
    )
}

/// Moves this process, which has one thread, into the user namespace of another one; when it is there already, that is
/// fine.
///
/// # Errors
/// The process has ended; its namespace is not below this process's and its user's own (EPERM).
pub fn join(process: &Process) -> Result<()> {
    let path = format!("/proc/{}/ns/user", process.pid);
    let failed = |cause: io::Error| Error::new("enter namespace", &path, cause);
    let namespace = fs::File::open(&path).map_err(failed)?;
    if !process.is_alive() {
        return Err(failed(nix::errno::Errno::ESRCH.into()));
    }
    let identity = |found: fs::Metadata| {
        use std::os::unix::fs::MetadataExt;
        (found.dev(), found.ino())
    };
    let own = fs::metadata("/proc/self/ns/user").map_err(failed)?;
    if identity(own) == identity(namespace.metadata().map_err(failed)?) {
        return Ok(());
    }
    setns(namespace, CloneFlags::CLONE_NEWUSER).map_err(|errno| failed(errno.into()))
}

/// Gives this process, which has one thread, a new user namespace, in which it is nobody yet.
///
/// # Errors
/// The kernel refused: [`why_refused`] may know why.
pub fn unshare_users() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)
        .map_err(|errno| Error::new("unshare", "namespaces user", errno.into()))
}

/// Who this process was before it went into a new user namespace: its effective user and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User.
    pub user: u32,
    /// Group.
    pub group: u32,
}

impl Caller {
    /// Who this process is.
    pub fn this() -> Self {
        Self {
            user: geteuid().as_raw(),
            group: getegid().as_raw(),
        }
    }

    /// The user's number one user namespace further out.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn outside(self) -> Result<u32> {
        let path = "/proc/self/uid_map";
        let text = fs::read_to_string(path).map_err(|cause| Error::new("read", path, cause))?;
        outside(&text, self.user).ok_or_else(|| {
            let cause = io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it has no user {}", self.user),
            );
            Error::new("read", path, cause)
        })
    }

    /// Makes this user root of the new user namespace of this process, and nobody else anybody: what every user may. No
    /// process can change its supplementary groups there.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn become_the_only_root(self) -> Result<()> {
        for (file, text) in [
            ("uid_map", format!("0 {} 1", self.user)),
            ("setgroups", "deny".to_owned()),
            ("gid_map", format!("0 {} 1", self.group)),
        ] {
            let path = Path::new("/proc/self").join(file);
            fs::write(&path, text).map_err(|cause| Error::new("write", path.display(), cause))?;
        }
        Ok(())
    }
}

/// In a map of users or groups (user_namespaces(7)).
fn outside(map: &str, inside: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().map(|word| word.parse::<u32>().ok());
        let (first, other, length) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let distance = inside
            .checked_sub(first)
            .filter(|distance| *distance < length)?;
        other.checked_add(distance)
    })
}

/// What the machine calls a user, if it has a name.
///
/// # Errors
/// The machine's users cannot be asked for.
pub fn user_name(user: u32) -> Result<Option<String>> {
    let found = nix::unistd::User::from_uid(user.into());
    let found = found.map_err(|errno| Error::new("find user", user, errno.into()))?;
    Ok(found.map(|account| account.name))
}

/// What forbids users other than root to have user namespaces, and what would mend it; nothing where nothing known does.
pub fn why_refused() -> Option<String> {
    let setting =
        |name: &str| fs::read_to_string(Path::new("/proc/sys").join(name.replace('.', "/"))).ok();
    refusal(Path::new("/proc/self/ns/user").exists(), setting)
}

fn refusal(is_known: bool, setting: impl Fn(&str) -> Option<String>) -> Option<String> {
    if !is_known {
        return Some("this kernel has no user namespaces (CONFIG_USER_NS)".to_owned());
    }
    let is = |name: &str, value: &str| setting(name).is_some_and(|found| found.trim() == value);
    if is("user.max_user_namespaces", "0") {
        return Some(
            "user.max_user_namespaces is 0: `sysctl -w user.max_user_namespaces=10000` as root allows them".to_owned(),
        );
    }
    // Of Debian's kernels.
    if is("kernel.unprivileged_userns_clone", "0") {
        return Some(
            "kernel.unprivileged_userns_clone is 0: `sysctl -w kernel.unprivileged_userns_clone=1` as root allows them"
                .to_owned(),
        );
    }
    // Of Ubuntu's.
    if is("kernel.apparmor_restrict_unprivileged_userns", "1") {
        return Some(
            "AppArmor keeps capabilities from them (kernel.apparmor_restrict_unprivileged_userns is 1): a profile with \
             `userns,` for this program, or `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, as root allows them"
                .to_owned(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_user_has_the_number_of_its_line() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        for (inside, expected) in [
            (0, Some(1000)),
            (1, Some(100_000)),
            (65_536, Some(165_535)),
            (65_537, None),
        ] {
            assert_eq!(outside(map, inside), expected, "{inside}");
        }
        assert_eq!(outside("0 0 4294967295", 7), Some(7));
    }

    #[test]
    fn what_forbids_user_namespaces_is_named_with_what_mends_it() {
        for (settings, expected) in [
            (
                &[("user.max_user_namespaces", "0\n")][..],
                "user.max_user_namespaces is 0",
            ),
            (
                &[
                    ("user.max_user_namespaces", "5000\n"),
                    ("kernel.unprivileged_userns_clone", "0\n"),
                ],
                "kernel.unprivileged_userns_clone=1",
            ),
            (
                &[("kernel.apparmor_restrict_unprivileged_userns", "1\n")],
                "apparmor_restrict_unprivileged_userns=0",
            ),
        ] {
            let setting = |name: &str| {
                let found = settings.iter().find(|(other, _)| *other == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let said = refusal(true, setting).unwrap();
            assert!(said.contains(expected), "{settings:?}: {said}");
        }
        assert!(refusal(false, |_| None).unwrap().contains("CONFIG_USER_NS"));
        let allowed = |name: &str| {
            Some(
                if name.ends_with("userns_clone") {
                    "1"
                } else {
                    "5000"
                }
                .to_owned(),
            )
        };
        assert_eq!(refusal(true, allowed), None);
    }
}

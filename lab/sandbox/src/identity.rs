//! Who a container's program runs as: numbers, and the names that the container's own `/etc/passwd` and
//! `/etc/group` have for them.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use serde::{Deserialize, Serialize};

use kernel::{Error, Result};

use crate::rootless;

/// Users and groups of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Real, effective and saved user.
    pub user: u32,
    /// Real, effective and saved group.
    pub group: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl Identity {
    /// Makes the calling thread, and it alone, this. Unless it stays root, the kernel takes the capabilities that
    /// it has then (capabilities(7)). Where [groups are fixed](rootless::groups_are_fixed) it keeps those that it has.
    ///
    /// # Errors
    /// A number is 4294967295, which is none, or the kernel refused (EPERM without CAP_SETUID and CAP_SETGID).
    pub(crate) fn take(&self) -> Result<()> {
        let failed =
            |errno: rustix::io::Errno| Error::new("become", self, rootless::unmapped(errno.into()));
        let numbers = self.groups.iter().chain([&self.user, &self.group]);
        if numbers.into_iter().any(|number| *number == u32::MAX) {
            return Err(failed(rustix::io::Errno::INVAL));
        }
        let groups: Vec<Gid> = self
            .groups
            .iter()
            .map(|&group| Gid::from_raw(group))
            .collect();
        match set_thread_groups(&groups) {
            // Those that the container's files give are not to be had; who asked for some was refused before.
            Err(rustix::io::Errno::PERM) if rootless::groups_are_fixed() => {}
            taken => taken.map_err(failed)?,
        }
        set_thread_gid(Gid::from_raw(self.group)).map_err(failed)?;
        set_thread_uid(Uid::from_raw(self.user)).map_err(failed)
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "user {} of group {}", self.user, self.group)
    }
}

/// A user with what `/etc/passwd` knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its numbers.
    pub identity: Identity,
    /// `/` where nothing is known.
    pub home: PathBuf,
}

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";
/// Of these files, at most; they are an image's.
const MOST_BYTES: u64 = 1 << 20;

impl Account {
    /// Finds a user in the calling thread's root, as images and manifests give it: `USER`, `USER:GROUP` or nothing,
    /// which is root; either may be a name or a number. A number need not be in the files: its group is
    /// 0 then. The supplementary groups are the user's own, those that list it in `/etc/group`, and `further`.
    ///
    /// # Errors
    /// A name is not in the files, a number is none of a user, or a file cannot be read; a missing one is empty.
    pub fn find(user: &str, further: &[u32]) -> Result<Self> {
        find_among(&read(USERS)?, &read(GROUPS)?, user, further)
            .map_err(|cause| Error::new("find user", format_args!("{user:?}"), cause))
    }
}

/// A regular file, so that reading it ends, and by no magic link of `/proc`, so that it is the container's.
fn read(path: &'static str) -> Result<String> {
    let failed = |cause| Error::new("read", path, cause);
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
        .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = match nix::fcntl::openat2(nix::fcntl::AT_FDCWD, path, how) {
        Ok(file) => File::from(file),
        Err(nix::errno::Errno::ENOENT) => return Ok(String::new()),
        Err(errno) => return Err(failed(errno.into())),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        let cause = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
        return Err(failed(cause));
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    // Names in another encoding are names that nobody asks for.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

struct User<'t> {
    name: &'t str,
    user: u32,
    group: u32,
    home: &'t str,
}

struct Group<'t> {
    name: &'t str,
    group: u32,
    members: &'t str,
}

/// passwd(5); a line in another form is no user.
fn users(text: &str) -> impl Iterator<Item = User<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let user = fields.nth(1)?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let home = fields.nth(1)?;
        Some(User {
            name,
            user,
            group,
            home,
        })
    })
}

/// group(5); a line in another form is no group.
fn groups(text: &str) -> impl Iterator<Item = Group<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let group = fields.nth(1)?.parse().ok()?;
        let members = fields.next().unwrap_or_default();
        Some(Group {
            name,
            group,
            members,
        })
    })
}

fn find_among(passwd: &str, group: &str, wanted: &str, further: &[u32]) -> io::Result<Account> {
    let (user, own_group) = wanted.split_once(':').unwrap_or((wanted, ""));
    let user = if user.is_empty() { "0" } else { user };
    let number = number(user)?;
    let known = users(passwd).find(|known| known.name == user || Some(known.user) == number);
    let uid = known.as_ref().map(|known| known.user).or(number);
    let uid = uid.ok_or_else(|| not_there(user, USERS))?;
    let gid = match (own_group, &known) {
        ("", Some(known)) => known.group,
        ("", None) => 0,
        (own_group, _) => group_number(group, own_group)?,
    };
    let name = known.as_ref().map(|known| known.name);
    let lists = |group: &Group<'_>| group.members.split(',').any(|member| Some(member) == name);
    let mut all = vec![gid];
    all.extend(groups(group).filter(lists).map(|group| group.group));
    all.extend(further);
    all.sort_unstable();
    all.dedup();
    let home = known
        .map(|known| known.home)
        .filter(|home| home.starts_with('/'));
    Ok(Account {
        identity: Identity {
            user: uid,
            group: gid,
            groups: all,
        },
        home: home.unwrap_or("/").into(),
    })
}

fn group_number(text: &str, wanted: &str) -> io::Result<u32> {
    let number = number(wanted)?;
    let known = groups(text).find(|known| known.name == wanted);
    let found = known.map(|known| known.group).or(number);
    found.ok_or_else(|| not_there(wanted, GROUPS))
}

/// `None` for a name.
fn number(text: &str) -> io::Result<Option<u32>> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse() {
        Ok(u32::MAX) | Err(_) => {
            let text = format!(
                "{text} is no number of a user or group: give one below {}",
                u32::MAX
            );
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
        Ok(number) => Ok(Some(number)),
    }
}

fn not_there(name: &str, file: &str) -> io::Error {
    let text =
        format!("{name:?} is not in the container's {file}: give a name from there, or a number");
    io::Error::new(io::ErrorKind::NotFound, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533::/nonexistent:\n\
                          broken\nwww:x:33:44:web:/var/www:/bin/sh\nbare:x:7:8::relative:\n";
    const GROUP: &str =
        "root:x:0:\nadm:x:4:www,root\nwww-data:x:44:\nlog:x:9:nobody,www\nbroken:x\n";

    #[test]
    fn users_by_name_and_number() {
        for (wanted, user, group, groups, home) in [
            ("", 0, 0, &[0, 4, 70][..], "/root"),
            ("root", 0, 0, &[0, 4, 70], "/root"),
            ("www", 33, 44, &[4, 9, 44, 70], "/var/www"),
            ("33", 33, 44, &[4, 9, 44, 70], "/var/www"),
            ("www:log", 33, 9, &[4, 9, 70], "/var/www"),
            ("33:1234", 33, 1234, &[4, 9, 70, 1234], "/var/www"),
            ("5000", 5000, 0, &[0, 70], "/"),
            ("5000:44", 5000, 44, &[44, 70], "/"),
            (":log", 0, 9, &[4, 9, 70], "/root"),
            ("bare", 7, 8, &[8, 70], "/"),
        ] {
            let found = find_among(PASSWD, GROUP, wanted, &[70]).unwrap();
            let expected = Account {
                identity: Identity {
                    user,
                    group,
                    groups: groups.to_owned(),
                },
                home: home.into(),
            };
            assert_eq!(found, expected, "{wanted:?}");
        }
    }

    #[test]
    fn who_is_not_there_is_refused() {
        // Minus one means "as it is" to the kernel: root would stay root.
        for wanted in [
            "nemo",
            "www:nemo",
            "4294967295",
            "0:4294967295",
            "99999999999",
            "-1",
            "broken",
        ] {
            assert!(
                find_among(PASSWD, GROUP, wanted, &[]).is_err(),
                "{wanted:?}"
            );
        }
        let refused = find_among("", "", "www", &[]).unwrap_err().to_string();
        assert!(
            refused.contains("\"www\" is not in the container's /etc/passwd"),
            "{refused}"
        );
        assert_eq!(find_among("", "", "", &[]).unwrap().identity.user, 0);
    }
}

//! The users and groups that a user may give away: `/etc/subuid` and `/etc/subgid` (subuid(5)).

use std::fs;

use anyhow::{Context, Result};
use sandbox::rootless::{Caller, user_name};

use crate::program;

/// Numbers in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub first: u32,
    pub length: u32,
}

/// What a user has beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ranges {
    pub users: Range,
    pub groups: Range,
}

impl Ranges {
    /// Those of a user; or what is missing for them.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn of(caller: Caller) -> Result<Result<Self, String>> {
        for tool in ["newuidmap", "newgidmap"] {
            if program::in_path(tool).is_none() {
                return Ok(Err(format!("{tool} is not installed")));
            }
        }
        let name = user_name(caller.user)?;
        let find = |path: &str| -> Result<Result<Range, String>> {
            let text = match fs::read_to_string(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
                text => text.with_context(|| format!("read {path}"))?,
            };
            let found = range(&text, name.as_deref(), caller.user);
            Ok(found.ok_or_else(|| format!("{path} has no range of user {}", caller.user)))
        };
        let (users, groups) = (find("/etc/subuid")?, find("/etc/subgid")?);
        Ok(users.and_then(|users| groups.map(|groups| Self { users, groups })))
    }
}

/// The first range of a user, whom the file knows by name or number.
fn range(text: &str, name: Option<&str>, user: u32) -> Option<Range> {
    let number = user.to_string();
    text.lines().find_map(|line| {
        let mut words = line.split(':');
        let whose = words.next()?;
        let range = Range {
            first: words.next()?.parse().ok()?,
            length: words.next()?.trim().parse().ok()?,
        };
        let is_own = whose == number || Some(whose) == name;
        (is_own && range.length > 0).then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_found_by_name_or_number() {
        let text = "alice:100000:65536\n1001:200000:10\nalice:1:1\nbob:x:y\nbob:5\nbob:300000:0\n";
        let of = |first, length| Some(Range { first, length });
        for (name, user, expected) in [
            (Some("alice"), 1000, of(100_000, 65_536)),
            (Some("carol"), 1001, of(200_000, 10)),
            (None, 1001, of(200_000, 10)),
            (Some("bob"), 1002, None),
            (None, 1000, None),
        ] {
            assert_eq!(range(text, name, user), expected, "{name:?} {user}");
        }
    }
}

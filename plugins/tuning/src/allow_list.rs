//! The node's list of sysctls that pods may set: a regular expression a line, matched against any
//! part of the key as it is written. Without a list every one below `net` may be set.

use std::{io, path::Path};

use files::Links;
use regex_lite::Regex;

use crate::{error::Error, sysctl::Setting};

/// The administrator's file.
const PATH: &str = "/etc/cni/tuning/allowlist.conf";

/// Looks whether all of them are allowed; the list is read only if there are any.
///
/// # Errors
/// The first that is not; the list cannot be read, or a line of it is no regular expression.
pub(crate) fn check(settings: &[Setting]) -> Result<(), Error> {
    if settings.is_empty() {
        return Ok(());
    }
    match files::read_to_string(Path::new(PATH), Links::Follow) {
        Ok(text) => allows(&text, settings),
        // A link whose target is away for a moment is a list nevertheless.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !Path::new(PATH).is_symlink() => {
            Ok(())
        }
        Err(source) => Err(Error::AllowList { path: PATH, source }),
    }
}

fn allows(text: &str, settings: &[Setting]) -> Result<(), Error> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let expressions: Result<Vec<Regex>, Error> = lines.iter().map(|line| compile(line)).collect();
    let expressions = expressions?;
    let is_allowed = |key: &str| expressions.iter().any(|each| each.is_match(key));
    match settings.iter().find(|setting| !is_allowed(&setting.key)) {
        None => Ok(()),
        Some(setting) => Err(Error::NotAllowed {
            key: setting.key.clone(),
            allowed: lines.into_iter().map(str::to_owned).collect(),
        }),
    }
}

fn compile(line: &str) -> Result<Regex, Error> {
    Regex::new(line).map_err(|source| Error::Regexp {
        path: PATH,
        line: line.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(text: &str, key: &str) -> Result<(), String> {
        let setting = Setting {
            key: key.to_owned(),
            file: String::new(),
            value: String::new(),
        };
        allows(text, &[setting]).map_err(|error| cni::Error::from(error).msg)
    }

    #[test]
    fn a_line_matches_any_part_of_the_key_as_written() {
        let text = "^net.ipv4.conf.IFNAME.arp_filter$\n\n  net/core \r\n(?i)^net\\.ipv6\\.conf\\.(all|IFNAME)\\.\\w+$\n[[:alpha:]]{3}\\.x\\d";
        for key in [
            "net.ipv4.conf.IFNAME.arp_filter",
            "net/core/somaxconn",
            "NET.ipv6.conf.all.accept_ra",
            "net.x1",
        ] {
            assert_eq!(allowed(text, key), Ok(()), "{key}");
        }
        for key in [
            "net.ipv4.conf.eth0.arp_filter",
            "net.core.somaxconn",
            "net.ipv6.conf.all.a.b",
            "x1",
        ] {
            assert!(allowed(text, key).is_err(), "{key}");
        }
    }

    #[test]
    fn what_is_not_allowed_is_named_with_the_list() {
        assert_eq!(
            allowed("a\n\nb c\n", "net.x").unwrap_err(),
            "Sysctl net.x is not allowed. Only the following sysctls are allowed: [a b c]"
        );
        assert_eq!(
            allowed("", "net.x").unwrap_err(),
            "Sysctl net.x is not allowed. Only the following sysctls are allowed: []"
        );
    }

    #[test]
    fn a_line_that_is_no_expression_is_named() {
        let error = allowed("net\n(", "net.x").unwrap_err();
        let start = "error parsing regexp \"(\" of /etc/cni/tuning/allowlist.conf: ";
        assert!(error.starts_with(start), "{error}");
    }
}

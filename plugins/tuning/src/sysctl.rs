//! Sysctls of the pod: their keys, and reading and writing them there.

use std::{
    fmt,
    path::{Component, Path},
};

use attach::netns;
use kernel::{NetNs, sysctl};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use crate::error::Error;

/// Where all of them are.
const ROOT: &str = "/proc/sys";

/// `sysctl` of the configuration: keys and values in their order, duplicates included.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written(Vec<(String, String)>);

/// A sysctl of the pod and the value that it shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The key as it is written, which is what the list of allowed ones is about.
    pub key: String,
    /// The file, below `/proc/sys`: `net/ipv4/conf/eth0/arp_filter`.
    pub file: String,
    /// What is written into it.
    pub value: String,
}

/// The sysctls of a configuration, with `hints` (`args.cni.sysctl`) in place of those of the same
/// key and after all others. Of several spellings of one file the last counts.
///
/// # Errors
/// A key twice in one object; one that is not below `net`.
pub(crate) fn settings(
    configured: Written,
    hints: Written,
    ifname: &str,
) -> Result<Vec<Setting>, Error> {
    let mut all: Vec<Setting> = Vec::new();
    for written in [configured, hints] {
        refuse_duplicates(&written)?;
        for (key, value) in written.0 {
            let file = file(&key, ifname)?;
            all.retain(|earlier| earlier.file != file);
            all.push(Setting { key, file, value });
        }
    }
    Ok(all)
}

fn refuse_duplicates(written: &Written) -> Result<(), Error> {
    let mut rest = written.0.as_slice();
    while let [(key, _), after @ ..] = rest {
        if after.iter().any(|(later, _)| later == key) {
            return Err(Error::DuplicateSysctl(key.clone()));
        }
        rest = after;
    }
    Ok(())
}

/// The file of a key. Every `.` is a `/`, and only the name that stands for `IFNAME` keeps its own.
fn file(key: &str, ifname: &str) -> Result<String, Error> {
    let key = key.replace('.', "/").replacen("IFNAME", ifname, 1);
    match below_net(&key) {
        Some(file) => Ok(file),
        None => Err(Error::InvalidSysctl(key)),
    }
}

/// The path without needless separators, if it names something below `net`.
fn below_net(key: &str) -> Option<String> {
    let parts: Option<Vec<&str>> = Path::new(key)
        .components()
        .filter(|part| *part != Component::RootDir)
        .map(|part| match part {
            Component::Normal(part) => part.to_str(),
            _ => None,
        })
        .collect();
    let parts = parts?;
    (parts.len() > 1 && parts[0] == "net").then(|| parts.join("/"))
}

/// The value of a sysctl of the pod; `None` where the kernel does not let it be read: some can only
/// be written, some have no value yet.
///
/// # Errors
/// There is no such sysctl, or no descriptor to read it by; the namespace cannot be entered.
pub(crate) fn read(pod: &NetNs, file: &str) -> Result<Option<String>, Error> {
    let failed = |source: kernel::Error| Error::ReadSysctl {
        path: path(file),
        source: source.into(),
    };
    match netns::in_container(pod, || Ok(sysctl::get(file)))? {
        Ok(value) => Ok(Some(value)),
        Err(source) if source.is_gone() || source.is_shortage() => Err(failed(source)),
        Err(_) => Ok(None),
    }
}

/// Sets a sysctl of the pod.
///
/// # Errors
/// The kernel refuses; the namespace cannot be entered.
pub(crate) fn write(pod: &NetNs, file: &str, value: &str) -> Result<(), Error> {
    let written = netns::in_container(pod, || Ok(sysctl::write(file, value)))?;
    written.map_err(|source| Error::Sysctl {
        path: path(file),
        value: value.to_owned(),
        source: source.into(),
    })
}

/// Whether two values of a file mean the same: the kernel puts tabs between numbers where people put blanks, and lists of
/// ports in order.
pub(crate) fn is_same(file: &str, one: &str, other: &str) -> bool {
    let is_same_list = || ranges(one).is_some_and(|one| Some(one) == ranges(other));
    one.split_whitespace().eq(other.split_whitespace())
        || file.ends_with("/ip_local_reserved_ports") && is_same_list()
}

/// A list of numbers and ranges (`8080,30000-32767`), in order, each with the neighbours that it runs into.
fn ranges(list: &str) -> Option<Vec<(u32, u32)>> {
    if !list.contains([',', '-']) {
        return None;
    }
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    let mut all: Vec<(u32, u32)> = list.trim().split(',').map(range).collect::<Option<_>>()?;
    all.sort_unstable();
    all.dedup_by(|next, range| {
        let is_near = next.0 <= range.1.saturating_add(1);
        if is_near {
            range.1 = range.1.max(next.1);
        }
        is_near
    });
    Some(all)
}

/// Whether the kernel gives it the link's MTU whenever that changes, and takes no larger value.
pub(crate) fn is_reset_by_mtu(file: &str) -> bool {
    let parts: Vec<&str> = file.split('/').collect();
    matches!(parts[..], ["net", "ipv6", "conf", _, "mtu"])
}

/// The file's path as people know it.
pub(crate) fn path(file: &str) -> String {
    format!("{ROOT}/{file}")
}

/// All entries: a map would keep the last of a duplicate key.
impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Written(entries))
            }
        }
        from.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &str) -> Written {
        cni::json::from_slice(json.as_bytes()).unwrap()
    }

    #[test]
    fn keys_lead_to_files_below_net() {
        for (key, expected) in [
            ("net.core.somaxconn", "net/core/somaxconn"),
            ("net/core/somaxconn", "net/core/somaxconn"),
            (
                "net.ipv4.conf.IFNAME.arp_filter",
                "net/ipv4/conf/a.b/arp_filter",
            ),
            // Dots are separators, so nothing leads upwards.
            ("net/../kernel/hostname", "net/kernel/hostname"),
            ("..net.core.x", "net/core/x"),
            ("net.IFNAME.IFNAME", "net/a.b/IFNAME"),
        ] {
            assert_eq!(file(key, "a.b").unwrap(), expected, "{key}");
        }
        for (key, text) in [
            ("kernel.hostname", "kernel/hostname"),
            ("net", "net"),
            ("net/", "net/"),
            ("", ""),
            ("network.core.x", "network/core/x"),
        ] {
            let error = file(key, "eth0").unwrap_err();
            let expected = format!("invalid net sysctl key: {text:?}");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn hints_come_last_and_replace() {
        let configured = written(r#"{"net.a.b": "1", "net.c.d": "2", "net/a/b": "3"}"#);
        let hints = written(r#"{"net.c.d": "4"}"#);
        let seen = settings(configured, hints, "eth0").unwrap();
        let seen: Vec<(&str, &str)> = seen
            .iter()
            .map(|setting| (setting.file.as_str(), setting.value.as_str()))
            .collect();
        assert_eq!(seen, [("net/a/b", "3"), ("net/c/d", "4")]);
    }

    #[test]
    fn a_key_stands_once_in_an_object() {
        let twice = written(r#"{"net.a.b": "1", "net.c.d": "2", "net.a.b": "1"}"#);
        let error = settings(twice, Written::default(), "eth0").unwrap_err();
        assert_eq!(
            error.to_string(),
            "duplicated sysctl keys are not allowed: net.a.b"
        );
    }

    #[test]
    fn lists_of_ports_mean_the_same_in_any_order() {
        let is_same =
            |one: &str, other: &str| is_same("net/ipv4/ip_local_reserved_ports", one, other);
        let kernels = "8080-8082,30000-32767";
        for list in [
            kernels,
            "30000-32767,8082,8080,8081",
            "8080-8081,8081-8082,31000-32767,30000-31500\n",
        ] {
            assert!(is_same(list, kernels), "{list}");
        }
        for list in [
            "8080-8082,30000-32766",
            "8080-8082",
            "8080",
            "",
            "-1",
            "8080-8082,x",
        ] {
            assert!(!is_same(list, kernels), "{list}");
        }
        assert!(is_same("-1", "-1") && !is_same("-1", "1"));
        // Octal.
        assert!(!is_same("0100", "100"));
        // Masks of processors are something else.
        let (mask, masks) = (
            "net/core/rps_default_mask",
            ["00000001,00000000", "00000000,00000001"],
        );
        assert!(!super::is_same(mask, masks[0], masks[1]));
    }

    #[test]
    fn blanks_and_tabs_mean_the_same() {
        let is_same = |one: &str, other: &str| is_same("net/ipv4/ip_local_port_range", one, other);
        assert!(is_same("20000 30000", "20000\t30000"));
        assert!(is_same("1", "1\n"));
        assert!(!is_same("1 2", "12"));
        assert!(!is_same("1", ""));
    }
}

//! All network namespaces of the machine, as far as this process sees them: those of processes, and
//! those that are bound to files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::IpAddr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use kernel::{
    NetNs,
    NetNsError::{Missing, NotANamespace},
    NetNsId, Netlink,
};

use super::NodeError;

/// The addresses of all links in all network namespaces but the own one.
pub(super) fn addresses_in_use() -> Result<BTreeSet<IpAddr>, NodeError> {
    let mut addresses = BTreeSet::new();
    for path in paths()?.into_values() {
        let what = || format!("look into the network namespace {}", path.display());
        let namespace = match NetNs::open(&path) {
            // Its last process has ended.
            Err(Missing { .. } | NotANamespace { .. }) => continue,
            namespace => namespace.map_err(NodeError::new(what()))?,
        };
        let netlink = Netlink::open_in(&namespace).map_err(NodeError::new(what()))?;
        let there = netlink.addresses(None).map_err(NodeError::new(what()))?;
        addresses.extend(there.iter().map(|address| address.address.ip()));
    }
    Ok(addresses)
}

/// Whether the path leads to a namespace that a pod may have: not the own one, which a path of
/// procfs leads to when its number was given to a process of the host.
pub(super) fn is_there(path: &str) -> Result<bool, NodeError> {
    let what = || format!("look at the network namespace {path}");
    let namespace = match NetNs::open(path) {
        Ok(namespace) => namespace,
        Err(error @ (kernel::NetNsError::Io { .. } | kernel::NetNsError::Statfs { .. })) => {
            return Err(NodeError::new(what())(error));
        }
        Err(_) => return Ok(false),
    };
    let is_current = namespace.is_current().map_err(NodeError::new(what()))?;
    Ok(!is_current)
}

/// A path for each namespace, by its number.
fn paths() -> Result<BTreeMap<u64, PathBuf>, NodeError> {
    let mut paths = BTreeMap::new();
    let mounts = "/proc/self/mountinfo";
    let text = fs::read(mounts).map_err(NodeError::new(format!("read {mounts}")))?;
    paths.extend(text.split(|&byte| byte == b'\n').filter_map(bound));
    for process in fs::read_dir("/proc").map_err(NodeError::new("read /proc"))? {
        let process = process.map_err(NodeError::new("read /proc"))?;
        let path = process.path().join("ns/net");
        let is_process = process
            .file_name()
            .as_bytes()
            .iter()
            .all(u8::is_ascii_digit);
        if !is_process {
            continue;
        }
        match fs::read_link(&path) {
            Ok(link) => paths.extend(number(link.as_os_str().as_bytes()).map(|one| (one, path))),
            // It has ended, or is about to.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // In a container init may have more rights than root. It is no pod's.
            Err(_) if process.file_name() == "1" => {}
            Err(error) => return Err(NodeError::new(format!("read {}", path.display()))(error)),
        }
    }
    let own = NetNsId::current().map_err(NodeError::new("look at the own network namespace"))?;
    paths.remove(&own.inode);
    Ok(paths)
}

/// The number and path of a bound namespace: `36 35 0:4 net:[4026532] /run/netns/pod rw - nsfs nsfs rw`.
fn bound(line: &[u8]) -> Option<(u64, PathBuf)> {
    let mut fields = line.split(|&byte| byte == b' ');
    let root = fields.nth(3)?;
    Some((number(root)?, unescaped(fields.next()?)))
}

/// `net:[4026532]`
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"net:[")?.strip_suffix(b"]")?;
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Blanks and backslashes in paths of mountinfo are octal: `\040`.
fn unescaped(path: &[u8]) -> PathBuf {
    let mut plain = Vec::new();
    let mut rest = path;
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'\\').then(|| tail.get(..3)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(str::from_utf8(code).ok()?, 8).ok());
        plain.push(code.unwrap_or(first));
        rest = match code {
            Some(_) => &tail[3..],
            None => tail,
        };
    }
    Path::new(std::ffi::OsStr::from_bytes(&plain)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_namespaces_are_read_from_mountinfo() {
        for (line, found) in [
            (
                "36 35 0:4 net:[4026532] /run/netns/pod rw shared:5 - nsfs nsfs rw",
                Some((4_026_532, "/run/netns/pod")),
            ),
            (
                r"36 35 0:4 net:[7] /run/netns/a\040b\134c rw - nsfs nsfs rw",
                Some((7, r"/run/netns/a b\c")),
            ),
            ("36 35 0:4 mnt:[7] /run/mnt rw - nsfs nsfs rw", None),
            ("36 35 0:4 / / rw - ext4 /dev/sda rw", None),
            ("", None),
        ] {
            let expected = found.map(|(number, path)| (number, PathBuf::from(path)));
            assert_eq!(bound(line.as_bytes()), expected, "{line}");
        }
    }
}

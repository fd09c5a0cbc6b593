//! Who has a port.

use std::fmt;
use std::fs;
use std::path::Path;

/// A process that has a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Holder {
    /// What it is called.
    pub(crate) name: String,
    /// Its number.
    pub(crate) pid: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// Those that have this UDP port in the calling thread's network namespace, as far as this process may see
/// others: none when it does not.
pub(crate) fn udp_holders(port: u16) -> Vec<Holder> {
    let mut found = Vec::new();
    for file in ["udp", "udp6"] {
        let path = format!("/proc/thread-self/net/{file}");
        let text = fs::read_to_string(path).unwrap_or_default();
        for inode in text.lines().skip(1).filter_map(|line| inode_at(line, port)) {
            found.extend(process_with(inode));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The socket's inode, of a line whose local port is `port`.
fn inode_at(line: &str, port: u16) -> Option<u64> {
    let mut words = line.split_whitespace();
    let local = words.nth(1)?;
    let (_, hex) = local.rsplit_once(':')?;
    let same = u16::from_str_radix(hex, 16).ok()? == port;
    words.nth(7)?.parse().ok().filter(|_| same)
}

/// The first that has it.
fn process_with(inode: u64) -> Option<Holder> {
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    for process in processes {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(open) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let has = |link: &Path| link.as_os_str() == socket.as_str();
        let mut links = open
            .flatten()
            .filter_map(|file| fs::read_link(file.path()).ok());
        if links.any(|link| has(&link)) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(Holder {
                name: name.trim_end().to_owned(),
                pid,
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_found_by_their_port() {
        let line = "  316: 00000000:2118 00000000:0000 07 00000000:00000000 00:00000000 00000000 \
                    0        0 24586 2 0000000000000000 0";
        assert_eq!(inode_at(line, 8472), Some(24_586));
        assert_eq!(inode_at(line, 8473), None);
        assert_eq!(inode_at("", 8472), None);
    }
}

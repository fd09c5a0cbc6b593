//! Who has a port.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// A process that has a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Holder {
    /// What it is called.
    pub(crate) name: String,
    /// Its number.
    pub(crate) pid: u32,
    /// Who started it.
    pub(crate) parent: Option<u32>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// Those that are in the way of a UDP socket at this port of one of the addresses, in the calling thread's
/// network namespace, as far as this process may see others: none when it does not. One whose parent has
/// the port as well is not named beside it. Reads the descriptors of all processes.
pub(crate) fn udp_holders(port: u16, addresses: &[IpAddr]) -> Vec<Holder> {
    let read = |file| fs::read_to_string(format!("/proc/thread-self/net/{file}"));
    let text = ["udp", "udp6"].map(|file| read(file).unwrap_or_default());
    let sockets = text.iter().flat_map(|text| text.lines().skip(1));
    let in_the_way = |socket: &Socket| {
        let mut wanted = addresses.iter();
        socket.port == port && wanted.any(|wanted| socket.conflicts(*wanted))
    };
    let inodes = sockets.filter_map(Socket::parse).filter(in_the_way);
    let mut found = processes_with(&inodes.map(|socket| socket.inode).collect());
    let pids: BTreeSet<u32> = found.iter().map(|holder| holder.pid).collect();
    found.retain(|holder| !holder.parent.is_some_and(|parent| pids.contains(&parent)));
    found.sort();
    found
}

/// A UDP socket of the namespace.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    address: IpAddr,
    port: u16,
    inode: u64,
}

impl Socket {
    /// proc_net_tcp.rst: the address and the inode of a line.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (address, port) = words.nth(1)?.rsplit_once(':')?;
        Some(Self {
            address: address_of(address)?,
            port: u16::from_str_radix(port, 16).ok()?,
            inode: words.nth(7)?.parse().ok()?,
        })
    }

    /// Whether a socket at its port of the address `wanted` would meet it. One at `::` has IPv4's port,
    /// too, unless it is for IPv6 only, which nothing says.
    fn conflicts(&self, wanted: IpAddr) -> bool {
        let same_family = self.address.is_ipv4() == wanted.is_ipv4();
        self.address == wanted
            || self.address == Ipv6Addr::UNSPECIFIED
            || same_family && (self.address.is_unspecified() || wanted.is_unspecified())
    }
}

/// Of words of 32 bits, each as a number in this machine's order of bytes. IPv4 in IPv6 is IPv4.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(at * 8..(at + 1) * 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    if hex.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let words = [word(0)?, word(1)?, word(2)?, word(3)?];
    let bytes: [u8; 16] = words.concat().try_into().ok()?;
    Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
}

/// Those that have one of the sockets.
fn processes_with(inodes: &BTreeSet<u64>) -> Vec<Holder> {
    if inodes.is_empty() {
        return Vec::new();
    }
    let has_one = |process: &Path| {
        let open = fs::read_dir(process.join("fd")).into_iter().flatten();
        let mut links = open
            .flatten()
            .filter_map(|file| fs::read_link(file.path()).ok());
        links.any(|link| inode_of(&link).is_some_and(|inode| inodes.contains(&inode)))
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            has_one(&process.path()).then(|| holder(pid, &process.path()))
        })
        .collect()
}

/// `socket:[24586]`
fn inode_of(link: &Path) -> Option<u64> {
    let number = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    number.parse().ok()
}

fn holder(pid: u32, process: &Path) -> Holder {
    let read = |file| fs::read_to_string(process.join(file)).unwrap_or_default();
    let status = read("status");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    Holder {
        name: read("comm").trim_end().to_owned(),
        pid,
        parent: parent.and_then(|parent| parent.trim().parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_are_read() {
        let line = |local: &str| {
            format!(
                "  316: {local} 00000000:0000 07 00000000:00000000 00:00000000 00000000 \
                 0        0 24586 2 0000000000000000 0"
            )
        };
        for (local, address) in [
            ("00000000:2118", "0.0.0.0"),
            ("0132A8C0:2118", "192.168.50.1"),
            ("00000000000000000000000000000000:2118", "::"),
            ("0000000000000000FFFF00000132A8C0:2118", "192.168.50.1"),
            ("B80D0120000000000000000001000000:2118", "2001:db8::1"),
        ] {
            let (address, port, inode) = (ip(address), 8472, 24_586);
            let expected = Socket {
                address,
                port,
                inode,
            };
            assert_eq!(Socket::parse(&line(local)), Some(expected));
        }
        for local in ["-", "00000000", "0000:2118", "00000000:x"] {
            assert_eq!(Socket::parse(&line(local)), None, "{local}");
        }
    }

    #[test]
    fn a_socket_at_another_address_is_in_nobodys_way() {
        for (address, wanted, expected) in [
            ("192.168.50.1", "192.168.50.1", true),
            ("0.0.0.0", "192.168.50.1", true),
            ("::", "192.168.50.1", true),
            ("192.168.50.1", "0.0.0.0", true),
            ("127.0.0.1", "192.168.50.1", false),
            ("127.0.0.1", "0.0.0.0", true),
            ("::1", "192.168.50.1", false),
            ("::1", "0.0.0.0", false),
            ("::1", "::", true),
            ("127.0.0.1", "::", false),
        ] {
            let address = ip(address);
            let socket = Socket {
                address,
                port: 1,
                inode: 1,
            };
            assert_eq!(socket.conflicts(ip(wanted)), expected, "{address} {wanted}");
        }
    }

    #[test]
    fn who_is_in_the_way_is_found_by_its_socket() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let port = socket.local_addr().expect("address").port();
        let is_found = |port, address| {
            let found = udp_holders(port, &[ip(address)]);
            found.iter().any(|holder| holder.pid == std::process::id())
        };
        assert!(is_found(port, "127.0.0.1"));
        assert!(is_found(port, "0.0.0.0"));
        assert!(!is_found(port, "127.0.0.2"));
    }
}

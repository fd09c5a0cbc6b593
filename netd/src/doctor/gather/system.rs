//! What /proc, /etc and the packet filter say.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use backend::Family;
use cluster::{NetworkConfig, UdpOptions, WireguardOptions};
use ipnetwork::IpNetwork;
use kernel::sysctl;

use super::super::facts::{BadChecksums, CniConfig, Facts, PortHolder};
use crate::commands::FORWARDER;
use crate::ports::{self, Holder};

/// The kernel's default for VXLAN.
const VXLAN_PORT: u16 = 8472;
/// Where runtimes look for configurations.
const CNI_DIR: &str = "/etc/cni/net.d";
/// What netd's process is called.
const NETD: &str = "netd";

/// What is known of the netd that runs.
pub(super) struct Running<'a> {
    /// Its process, where one answers that can be seen from here.
    pub(super) process: Option<u32>,
    /// Where it was asked.
    pub(super) socket: &'a Path,
    /// Its own addresses; none where it does not say them.
    pub(super) addresses: Vec<IpAddr>,
}

pub(super) fn read(config: Option<&NetworkConfig>, netd: &Running<'_>, facts: &mut Facts) {
    let on = |family: &Family| {
        let key = match family {
            Family::V4 => "net/ipv4/ip_forward",
            Family::V6 => "net/ipv6/conf/all/forwarding",
        };
        number(key) == Some(1)
    };
    facts.forwarding = Family::ALL.into_iter().filter(on).collect();
    facts.bridge_netfilter = number("net/bridge/bridge-nf-call-iptables").map(|value| value == 1);
    let tracked = number("net/netfilter/nf_conntrack_count");
    facts.conntrack = tracked.zip(number("net/netfilter/nf_conntrack_max"));
    facts.port = port(config);
    if let (Some(config), Some(port)) = (config, facts.port) {
        let addresses = addresses(config, netd, facts);
        facts.port_holders = holders(port, &addresses, netd);
    }
    facts.cni_configs = cni_configs(Path::new(CNI_DIR));
}

fn number(key: &str) -> Option<u64> {
    sysctl::get(key).ok()?.trim().parse().ok()
}

/// The larger of the value for all links and the link's own is in effect.
pub(super) fn rp_filter(link: &str) -> u8 {
    let value = |link: &str| number(&format!("net/ipv4/conf/{link}/rp_filter")).unwrap_or(0);
    u8::try_from(value("all").max(value(link))).unwrap_or(0)
}

/// So long is waited for more packets with a wrong checksum, where some have come: TCP sends again
/// what was dropped after less than that.
const MORE: Duration = Duration::from_secs(3);

/// Since the network namespace was made.
pub(in crate::doctor) fn bad_checksums() -> BadChecksums {
    BadChecksums {
        udp: counter("Udp:", "InCsumErrors"),
        tcp: counter("Tcp:", "InCsumErrors"),
    }
}

/// Since `before`.
pub(in crate::doctor) fn bad_checksums_since(before: BadChecksums) -> BadChecksums {
    let mut now = bad_checksums();
    if now == before && now != BadChecksums::default() {
        std::thread::sleep(MORE);
        now = bad_checksums();
    }
    BadChecksums {
        udp: now.udp.saturating_sub(before.udp),
        tcp: now.tcp.saturating_sub(before.tcp),
    }
}

/// A counter of /proc/net/snmp: a line of names, then one of values.
fn counter(protocol: &str, name: &str) -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/snmp").unwrap_or_default();
    let mut lines = text.lines().filter(|line| line.starts_with(protocol));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return 0;
    };
    let at = names.split(' ').position(|found| found == name);
    let value = at.and_then(|at| values.split(' ').nth(at));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn port(config: Option<&NetworkConfig>) -> Option<u16> {
    let config = config?;
    match config.backend.kind.as_str() {
        "vxlan" => vxlan_port(config),
        "wireguard" => {
            let options = WireguardOptions::parse(config).ok()?;
            Some(options.port(config.v4.is_none()))
        }
        "udp" => Some(UdpOptions::parse(config).ok()?.port),
        _ => None,
    }
}

fn vxlan_port(config: &NetworkConfig) -> Option<u16> {
    let given = config.backend.object().integer("Port").ok().flatten();
    let given = given
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port != 0);
    Some(given.unwrap_or(VXLAN_PORT))
}

/// Where the tunnel's sockets are: the kernel's at every address, the backend udp's at the node's own, which
/// may be any where no netd says which.
fn addresses(config: &NetworkConfig, netd: &Running<'_>, facts: &Facts) -> Vec<IpAddr> {
    if config.backend.kind != "udp" {
        let of = |family: &Family| match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        return facts.families.iter().map(of).collect();
    }
    let all = facts.links.iter().flat_map(|link| &link.addresses);
    let all = all.map(IpNetwork::ip);
    match netd.addresses.as_slice() {
        [] => all.filter(|ip| ip.is_ipv4() && !ip.is_loopback()).collect(),
        said => said.to_vec(),
    }
}

/// Processes that hold a UDP port, and are not netd's. The tunnel's own socket is the kernel's: no process has it.
fn holders(port: u16, addresses: &[IpAddr], netd: &Running<'_>) -> Vec<PortHolder> {
    let found = ports::udp_holders(port, addresses).into_iter();
    let strange = found.filter(|holder| !is_ours(holder, netd.process));
    strange.map(|holder| named(&holder, netd)).collect()
}

/// With the backend udp netd has the port, and the process that it has started to carry packets. That one goes on
/// without its netd, until the next takes over from it.
fn is_ours(holder: &Holder, netd: Option<u32>) -> bool {
    match netd {
        Some(netd) => holder.pid == netd || holder.parent == Some(netd),
        None => holder.name == FORWARDER,
    }
}

/// Where no netd answers, one that has the port may be as it should be, and have another status socket.
fn named(holder: &Holder, netd: &Running<'_>) -> PortHolder {
    let is_silent_netd = netd.process.is_none() && holder.name == NETD;
    let who = match is_silent_netd {
        true => format!(
            "{holder}, which does not answer on {}",
            netd.socket.display()
        ),
        false => holder.to_string(),
    };
    PortHolder {
        who,
        is_silent_netd,
    }
}

/// In the order in which containerd and CRI-O look.
fn cni_configs(dir: &Path) -> Vec<CniConfig> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            let endings = [".conf", ".conflist", ".json"];
            endings.iter().any(|ending| name.ends_with(ending))
        })
        .collect();
    names.sort();
    let read = |file: String| {
        let text = fs::read_to_string(dir.join(&file)).ok()?;
        let value: serde_json::Value = serde_json::from_str(&text).ok()?;
        let first = value["plugins"].get(0).unwrap_or(&value);
        let plugin = first["type"].as_str()?.to_owned();
        Some(CniConfig { file, plugin })
    };
    names.into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_netd_with_another_status_socket_is_no_stranger() {
        let holder = |name: &str| Holder {
            name: name.to_owned(),
            pid: 7,
            parent: None,
        };
        let running = |process| Running {
            process,
            socket: Path::new("/run/netd.sock"),
            addresses: Vec::new(),
        };
        let silent = "netd (process 7), which does not answer on /run/netd.sock";
        for (name, netd, who) in [
            ("netd", None, silent),
            ("netd", Some(8), "netd (process 7)"),
            ("dnsmasq", None, "dnsmasq (process 7)"),
        ] {
            let named = named(&holder(name), &running(netd));
            assert_eq!(
                (named.who.as_str(), named.is_silent_netd),
                (who, who == silent)
            );
        }
    }

    #[test]
    fn a_tunnel_has_the_port_of_its_backend() {
        for (backend, expected) in [
            (r#"{"Type":"vxlan"}"#, Some(8472)),
            (r#"{"Type":"vxlan","Port":4789}"#, Some(4789)),
            (r#"{"Type":"wireguard"}"#, Some(51_820)),
            (r#"{"Type":"wireguard","ListenPort":7}"#, Some(7)),
            (r#"{"Type":"udp"}"#, Some(8285)),
            (r#"{"Type":"udp","Port":9000}"#, Some(9000)),
            (r#"{"Type":"host-gw"}"#, None),
        ] {
            let text = format!(r#"{{"Network":"10.5.0.0/16","Backend":{backend}}}"#);
            let config = NetworkConfig::parse(text.as_bytes()).expect("config");
            assert_eq!(port(Some(&config)), expected, "{backend}");
        }
    }
}

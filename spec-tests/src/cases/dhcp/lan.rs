//! What a DHCP case stands on: a LAN, a server on it, and the daemon.

use std::{os::unix::net::UnixStream, path::Path};

use anyhow::{Result, ensure};

use crate::cases::{prelude::*, sight::*};

/// What a case of the dhcp plugin is unless it says otherwise.
pub(in crate::cases) const DHCP: Case = Case {
    judges: Judges::Only(&["dhcp"]),
    needs: &["busybox"],
    ..COMPAT
};

/// Where the plugin looks for its daemon unless told otherwise.
pub(in crate::cases) const SOCKET: &str = "/run/cni/dhcp.sock";

/// What the server of most cases says: one address, its mask and one router.
pub(in crate::cases) const USUAL: &str =
    "opt subnet 255.255.255.0\nopt router 10.88.0.1\nopt lease 3600";

/// The only lease that the server gives unless its options say otherwise.
pub(in crate::cases) const LEASED: &str = "10.88.0.50";

/// Pod `pod` whose `eth0` is on the host's bridge `lan0`, a server there with these options, and
/// the daemon at its usual socket.
pub(in crate::cases) fn lan(bench: &mut Bench, options: &str) -> Result<(), Failure> {
    cable(bench, "pod")?;
    server(bench, options)?;
    daemon(bench, SOCKET, &[])
}

/// Pod `name`, and a pair whose ends are its `eth0` and a port of the bridge `lan0`.
pub(in crate::cases) fn cable(bench: &mut Bench, name: &str) -> Result<(), Failure> {
    if !Path::new("/sys/class/net/lan0").exists() {
        bridge(bench)?;
    }
    bench.pod(name)?;
    let port = format!("p-{name}");
    let peer = ["type", "veth", "peer", "name", "eth0", "netns", name];
    bench.run("ip", &[&["link", "add", &port], peer.as_slice()].concat())?;
    bench.run("ip", &["link", "set", &port, "master", "lan0", "up"])?;
    bench.run("ip", &["-n", name, "link", "set", "eth0", "up"])?;
    Ok(())
}

/// The bridge `lan0` with 10.88.0.1/24.
pub(in crate::cases) fn bridge(bench: &mut Bench) -> Result<(), Failure> {
    bench.run("ip", &["link", "add", "lan0", "type", "bridge"])?;
    bench.run("ip", &["address", "add", "10.88.0.1/24", "dev", "lan0"])?;
    bench.run("ip", &["link", "set", "lan0", "up"])?;
    Ok(())
}

/// A DHCP server on `lan0`; a later option counts before an earlier one.
pub(in crate::cases) fn server(bench: &mut Bench, options: &str) -> Result<(), Failure> {
    let config = format!(
        "interface lan0\nstart {LEASED}\nend {LEASED}\nmin_lease 2\n\
         lease_file /run/udhcpd.leases\npidfile /run/udhcpd.pid\n{options}\n"
    );
    bench.write("/run/udhcpd.conf", &config)?;
    bench.write("/run/udhcpd.leases", "")?;
    behind(bench, "busybox udhcpd -f -a 1 /run/udhcpd.conf", "udhcpd")?;
    // 67 in hexadecimal, as the kernel lists bound sockets.
    let listens = bench.in_time(|_| text("/proc/net/udp").contains(":0043 "));
    ready(listens, "udhcpd")
}

/// The daemon, its socket at this path.
pub(in crate::cases) fn daemon(
    bench: &mut Bench,
    socket: &str,
    flags: &[&str],
) -> Result<(), Failure> {
    let program = bench.plugin_dir.join("dhcp").display().to_string();
    let line = format!("{program} daemon {}", flags.join(" "));
    behind(bench, line.trim_end(), "daemon")?;
    let is_there = |bench: &mut Bench| bench.watch("test", &["-S", socket]).is_ok();
    let listens = bench.in_time(|bench| is_there(bench) && UnixStream::connect(socket).is_ok());
    ready(listens, "dhcp daemon")
}

/// Starts a program that stays until the world ends.
fn behind(bench: &mut Bench, line: &str, log: &str) -> Result<()> {
    let line = format!("{line} >>/run/{log}.log 2>&1 &");
    bench.run("sh", &["-c", &line]).map(drop)
}

/// A program of the case's own that does not start is no failure of the plugin's.
pub(in crate::cases) fn ready(is_ready: bool, what: &str) -> Result<(), Failure> {
    Ok(started(is_ready, what)?)
}

fn started(is_ready: bool, what: &str) -> Result<()> {
    let log = format!("/run/{}.log", what.rsplit(' ').next().unwrap_or(what));
    ensure!(is_ready, "{what} is not ready in time: {}", text(&log));
    Ok(())
}

/// Flags with which the daemon gives up soon when no server answers.
pub(in crate::cases) fn hasty(bench: &mut Bench) -> Result<Vec<&'static str>, Failure> {
    let program = bench.plugin_dir.join("dhcp").display().to_string();
    let help = bench.run("sh", &["-c", &format!("{program} daemon -h 2>&1; true")])?;
    let mut flags = vec!["-timeout", "200ms", "-resendmax", "300ms"];
    // Later releases try for minutes unless told otherwise; earlier ones do not know the flag.
    if help.contains("-resendtimeout") {
        flags.extend(["-resendtimeout", "1s"]);
    }
    Ok(flags)
}

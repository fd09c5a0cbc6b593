//! A case's own world: network, mount and process namespaces that end with it.
//!
//! The suite executes itself again under `unshare`; that child is process 1 of a process
//! namespace, so a case that hangs is ended with everything it started.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{bench::command, machine};

/// Environment variable that marks a process already inside.
const INSIDE: &str = "SPEC_TESTS_WORLD";

/// Starts `spec-tests case ARGS…` inside a new world; its stdin and stdout are pipes.
///
/// The world ends with this process however that ends: the kernel kills `unshare` with its
/// parent thread, and `--kill-child` the world's process 1, and with it everything in it.
pub(crate) fn spawn(args: &[String]) -> Result<Child> {
    let mut setpriv: Command = command(Path::new("setpriv"));
    setpriv
        .args(["--pdeathsig", "KILL", "unshare"])
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .args(["--propagation", "private", "--"])
        .arg(std::env::current_exe()?)
        .arg("case")
        .args(args)
        .env(INSIDE, "1")
        .env("PATH", machine::search_path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    setpriv
        .spawn()
        .context("run setpriv and unshare (package util-linux)")
}

/// Gives the world private state directories and a loopback that is up.
///
/// # Errors
/// When called outside a world, or a mount fails.
pub(crate) fn furnish() -> Result<()> {
    if std::env::var_os(INSIDE).is_none() {
        bail!("'case' is started by 'run', inside namespaces of its own");
    }
    for (kind, path) in [("tmpfs", "/run"), ("tmpfs", "/var/lib"), ("sysfs", "/sys")] {
        run("mount", &["-t", kind, kind, path])?;
    }
    fs::create_dir_all("/run/netns")?;
    run("ip", &["link", "set", "lo", "up"])
}

fn run(program: &str, args: &[&str]) -> Result<()> {
    let output = command(Path::new(program))
        .args(args)
        .output()
        .with_context(|| format!("run {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", args.join(" "), said.trim());
    }
    Ok(())
}

/// Whether a bridge's port can be told to flood nothing, and to answer for who is behind it: what a kernel does not
/// know it leaves out without a word. Only for use inside a world.
fn has_quiet_ports() -> bool {
    const TRY: &str = "ip link add probe2 type bridge
        ip link add probe0 master probe2 type veth peer name probe1
        bridge link set dev probe0 flood off mcast_flood off bcast_flood off neigh_suppress on
        ip -d link show probe0 | grep -q ' flood off .*mcast_flood off bcast_flood off .*neigh_suppress on'";
    let has = run("sh", &["-ec", TRY]).is_ok();
    for name in ["probe2", "probe0"] {
        let _ = run("ip", &["link", "delete", name]);
    }
    has
}

/// The first of these needs that the kernel does not meet: `link:KIND` is a kind of link.
///
/// Asks by making such a link, which is taken away again; only for use inside a world.
#[must_use]
pub(crate) fn lacking(needs: &[&'static str]) -> Option<String> {
    let kinds = needs.iter().filter_map(|need| need.strip_prefix("link:"));
    let mut kinds = kinds.filter(|kind| !makes(kind));
    kinds.next().map(|kind| match kind {
        "tap" => "a kernel with tap links, and /dev/net/tun".to_owned(),
        "quiet-port" => "a kernel whose bridges have ports without flooding".to_owned(),
        kind => format!("a kernel with {kind} links"),
    })
}

fn makes(kind: &str) -> bool {
    if kind == "quiet-port" {
        return has_quiet_ports();
    }
    let link = ["link", "add", "probe2"];
    let on_top = ["link", "add", "link", "probe0", "name", "probe2"];
    let words: Vec<&str> = match kind {
        "vlan" => [&on_top[..], &["type", "vlan", "id", "5"]].concat(),
        "macvlan" | "ipvlan" => [&on_top[..], &["type", kind]].concat(),
        "vrf" => [&link[..], &["type", "vrf", "table", "5"]].concat(),
        "bridge-vlan" => [&link[..], &["type", "bridge", "vlan_filtering", "1"]].concat(),
        "tap" => ["tuntap", "add", "probe2", "mode", "tap"].to_vec(),
        other => [&link[..], &["type", other]].concat(),
    };
    let made = run(
        "ip",
        &[
            "link", "add", "probe0", "type", "veth", "peer", "name", "probe1",
        ],
    )
    .is_ok()
        && run("ip", &words).is_ok();
    for name in ["probe2", "probe0"] {
        let _ = run("ip", &["link", "delete", name]);
    }
    made
}

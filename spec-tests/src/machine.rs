//! What the machine and the command line's directories must have before anything is judged.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{bench::command, plugins};

/// What every world is furnished with, tried once in the same namespaces.
const FURNISH: &str = "mount -t tmpfs tmpfs /run && mount -t sysfs sysfs /sys && ip link set lo up";

/// The machine can make worlds.
///
/// # Errors
/// Names what is missing and how to get it.
pub(crate) fn makes_worlds() -> Result<()> {
    if let Some(program) = missing(&["ip", "unshare", "setpriv", "nsenter"]) {
        bail!("{program} not found: install the packages iproute2 and util-linux");
    }
    let suite = std::env::current_exe()?;
    if let Some(hidden) = hidden(&suite) {
        bail!(
            "{}: every case has a {hidden} of its own: copy spec-tests elsewhere",
            suite.display()
        );
    }
    let entered = command(Path::new("unshare"))
        .args(["--net", "--mount", "--pid", "--fork", "--mount-proc"])
        .args(["--propagation", "private", "--", "sh", "-c", FURNISH])
        .env("PATH", search_path())
        .output()
        .context("run unshare")?;
    ensure!(
        entered.status.success(),
        "cannot make a world of namespaces ({}): run as root, in a container with the \
         capabilities SYS_ADMIN and NET_ADMIN",
        String::from_utf8_lossy(&entered.stderr).trim()
    );
    Ok(())
}

/// The directory's absolute path, when it has plugins that can be judged.
///
/// # Errors
/// Says what is wrong with the argument of `option`.
pub(crate) fn plugins_in(dir: &Path, option: &str) -> Result<PathBuf> {
    let what = format!("{option} {}", dir.display());
    ensure!(
        dir.is_dir(),
        "{what}: no such directory; give the one with the plugins' executables"
    );
    let dir = dir.canonicalize().with_context(|| what.clone())?;
    if let Some(hidden) = hidden(&dir) {
        bail!("{what}: every case has a {hidden} of its own: copy the plugins elsewhere");
    }
    ensure!(
        !dir.to_string_lossy().contains(':'),
        "{what}: CNI_PATH, which names the directory, splits at the colon: copy the plugins elsewhere"
    );
    let names = || plugins::all().map(|known| known.name);
    if let Some(name) = names().find(|name| dir.join(name).is_file() && !has(&dir, name)) {
        bail!(
            "{what}: {name} is not executable: chmod 755 {}",
            dir.join(name).display()
        );
    }
    ensure!(
        names().any(|name| has(&dir, name)),
        "{what}: holds none of the plugins that the suite knows: {}; for another one give \
         --config NAME=FILE",
        plugins::names()
    );
    Ok(dir)
}

/// The directory that each world has of its own and that this path lies in.
fn hidden(path: &Path) -> Option<&'static str> {
    let own = ["/run", "/var/lib"];
    own.into_iter().find(|hidden| path.starts_with(hidden))
}

/// Whether the directory has this plugin.
#[must_use]
pub(crate) fn has(dir: &Path, name: &str) -> bool {
    let file = dir.join(name).metadata();
    file.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// The first of these programs that is not there.
#[must_use]
pub(crate) fn missing(needs: &[&'static str]) -> Option<&'static str> {
    let path = search_path();
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    needs
        .iter()
        .copied()
        .filter(|need| !need.contains(':'))
        .find(|program| !dirs.iter().any(|dir| dir.join(program).is_file()))
}

/// `PATH`, with the directories of administrators' programs in any case.
#[must_use]
pub(crate) fn search_path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin")
}

/// Where a program comes from.
#[must_use]
pub(crate) fn package(program: &str) -> &'static str {
    match program {
        "nft" => " (package nftables)",
        "iptables" | "ip6tables" | "iptables-save" | "ip6tables-save" => " (package iptables)",
        "bridge" | "tc" => " (package iproute2)",
        "ping" => " (package iputils-ping)",
        "busybox" => " (package busybox)",
        "tcpdump" => " (package tcpdump)",
        _ => "",
    }
}

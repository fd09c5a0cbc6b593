//! The benchmark's own network and mount namespace.

use std::{
    fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail};

/// Set for the second execution, which is inside, to the machine's own network namespace.
const MACHINE: &str = "PODWIRE_BENCH_MACHINE";

/// Executes this program again in new namespaces; returns only when it already is inside.
///
/// # Errors
/// Without the privilege to make namespaces (root), or when a mount fails.
pub(super) fn enter() -> Result<()> {
    let here = fs::metadata("/proc/self/ns/net")
        .context("read /proc/self/ns/net")?
        .ino();
    let Some(machine) = std::env::var_os(MACHINE) else {
        let error = command("unshare")
            .args(["--net", "--mount", "--propagation", "private", "--"])
            .arg(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .env(MACHINE, here.to_string())
            .exec();
        return Err(error).context("run unshare to enter a network namespace of its own");
    };
    if *machine == *here.to_string() {
        bail!("{MACHINE} is set, yet this is the machine's own network namespace");
    }
    for (kind, path) in [("tmpfs", "/run"), ("tmpfs", "/var/lib"), ("sysfs", "/sys")] {
        run("mount", &["-t", kind, kind, path])?;
    }
    fs::create_dir_all("/run/bench")?;
    run("ip", &["link", "set", "lo", "up"])
}

/// Runs a program to its end.
///
/// # Errors
/// When it cannot be started or exits other than 0; what it said is in the text.
pub(super) fn run(program: &str, args: &[&str]) -> Result<()> {
    let output = command(program)
        .args(args)
        .output()
        .with_context(|| format!("run {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{program} {}: {}: {}",
            args.join(" "),
            output.status,
            said.trim()
        );
    }
    Ok(())
}

/// A namespace at `/run/netns/NAME`, gone with the benchmark's mount namespace.
pub(super) fn add_pod(name: &str) -> Result<String> {
    run("ip", &["netns", "add", name])?;
    run("ip", &["-n", name, "link", "set", "lo", "up"])?;
    Ok(format!("/run/netns/{name}"))
}

/// A program in the network namespace `host`, if one is named.
pub(super) fn command_in(host: Option<&str>, program: impl AsRef<Path>) -> Command {
    let Some(host) = host else {
        return command(program);
    };
    let mut command = command("/usr/bin/nsenter");
    command
        .arg(format!("--net=/run/netns/{host}"))
        .arg(program.as_ref());
    command
}

#[allow(
    clippy::disallowed_methods,
    reason = "benchmarks start the programs they measure"
)]
pub(super) fn command(program: impl AsRef<Path>) -> Command {
    Command::new(program.as_ref())
}

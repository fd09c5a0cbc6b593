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

use crate::bench::command;

/// Environment variable that marks a process already inside.
const INSIDE: &str = "SPEC_TESTS_WORLD";

/// Starts `spec-tests case ARGS…` inside a new world; its stdout is piped.
pub fn spawn(args: &[String]) -> Result<Child> {
    let mut unshare: Command = command(Path::new("unshare"));
    unshare
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
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    unshare.spawn().context("run unshare (package util-linux)")
}

/// Gives the world private state directories and a loopback that is up.
///
/// # Errors
/// When called outside a world, or a mount fails.
pub fn furnish() -> Result<()> {
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

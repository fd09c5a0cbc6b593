//! The benchmark's own namespaces: network, mounts, processes.

use std::{
    fs, io,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use sandbox::{Interrupt, Namespace};

use crate::interrupt::pause;

/// Set for the second execution, which is inside, to the machine's own network namespace.
const MACHINE: &str = "PODWIRE_BENCH_MACHINE";

/// Between two looks at whether the benchmark has ended, or shall.
const LOOK: Duration = Duration::from_millis(20);

/// What is the benchmark's own: kinds of file systems, and where they are.
const MOUNTS: [(&str, &str); 4] = [
    ("tmpfs", "/run"),
    ("tmpfs", "/var/lib"),
    ("sysfs", "/sys"),
    ("proc", "/proc"),
];

/// Whether what is written there is gone with the benchmark, whatever links lead there.
///
/// # Errors
/// The path is empty.
pub(super) fn is_own(path: &Path) -> io::Result<bool> {
    let real = real(path)?;
    Ok(MOUNTS.iter().any(|(_, own)| {
        let own = fs::canonicalize(own).unwrap_or_else(|_| PathBuf::from(own));
        real.starts_with(own)
    }))
}

/// Without links and `..`; of a file that is to be made, its directory.
fn real(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let directory = absolute.parent().unwrap_or(&absolute);
    let real = fs::canonicalize(&absolute).or_else(|_| fs::canonicalize(directory));
    Ok(real.unwrap_or(absolute))
}

/// Where this process is.
pub(super) enum Side {
    /// In the benchmark's own namespaces.
    Inside,
    /// Outside: the benchmark has ended.
    Ended(ExitCode),
}

/// Executes this program again in new namespaces and waits for its end; there, makes them ready.
///
/// # Errors
/// Without the privilege to make namespaces (root), when a mount fails, or when a signal came.
pub(super) fn enter() -> Result<Side> {
    let here = fs::metadata("/proc/self/ns/net")
        .context("read /proc/self/ns/net")?
        .ino();
    let Some(machine) = std::env::var_os(MACHINE) else {
        return run_inside(here).map(Side::Ended);
    };
    if *machine == *here.to_string() {
        bail!("{MACHINE} is set, yet this is the machine's own network namespace");
    }
    for (kind, path) in MOUNTS {
        run("mount", &["-t", kind, kind, path])?;
    }
    fs::create_dir_all("/run/bench")?;
    run("ip", &["link", "set", "lo", "up"])?;
    Ok(Side::Inside)
}

/// The first process of a PID namespace ends all others in it with itself, also those that outlive who
/// started them; it ends with this process.
fn run_inside(here: u64) -> Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    sandbox::unshare(&[Namespace::Pid]).context("the benchmark needs root")?;
    let mut inside = command("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .args(["unshare", "--net", "--mount", "--propagation", "private"])
        .arg("--")
        .arg(crate::program::own_executable()?)
        .args(std::env::args_os().skip(1))
        .env(MACHINE, here.to_string())
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .context("run setpriv and unshare (package util-linux)")?;
    loop {
        if let Some(status) = inside.try_wait()? {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
        }
        if let Err(interrupted) = pause(interrupt, LOOK) {
            inside.kill()?;
            inside.wait()?;
            return Err(interrupted);
        }
    }
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

/// A program in the network namespace `host`.
pub(super) fn command_in(host: &str, program: impl AsRef<Path>) -> Command {
    let mut command = command("/usr/bin/nsenter");
    command
        .arg(format!("--net=/run/netns/{host}"))
        .arg(program.as_ref());
    command
}

/// The same, of a program that runs on: it ends when this process does, however that ends.
pub(super) fn server_in(host: &str, program: impl AsRef<Path>) -> Command {
    let inside = command_in(host, program);
    let mut command = command("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(inside.get_program())
        .args(inside.get_args());
    command
}

#[allow(
    clippy::disallowed_methods,
    reason = "benchmarks start the programs they measure"
)]
pub(super) fn command(program: impl AsRef<Path>) -> Command {
    Command::new(program.as_ref())
}

//! The programs a lab is made of: podwire's own, and those of the system.

mod read_only;

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use kernel::process::close_at_exec;

pub use read_only::run_from_read_only_mount;

/// podwire's own executables.
#[derive(Clone, Debug)]
pub struct Programs {
    /// This program, which also is the first process of nodes and pods.
    pub lab: PathBuf,
    /// The daemon.
    pub netd: PathBuf,
    /// The plugins.
    pub podwire: PathBuf,
}

impl Programs {
    /// Those beside this executable, or those in `bin_dir`.
    ///
    /// # Errors
    /// One is missing.
    pub fn find(bin_dir: Option<&Path>) -> Result<Self> {
        let lab = own_executable()?;
        let directory = bin_dir
            .or(lab.parent())
            .unwrap_or(Path::new("/"))
            .to_owned();
        let find = |name: &str| {
            let path = directory.join(name);
            if is_executable(&path) {
                return Ok(path);
            }
            bail!(
                "there is no executable {name:?} in {}: build it with `make build`, or say where it \
                 is with --bin-dir",
                directory.display()
            )
        };
        Ok(Self {
            netd: find("netd")?,
            podwire: find("podwire")?,
            lab,
        })
    }
}

/// The path of this executable.
///
/// # Errors
/// `/proc` is not mounted.
pub fn own_executable() -> Result<PathBuf> {
    std::env::current_exe().context("find this executable")
}

/// A program of the system, and the Debian package it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// As in PATH.
    pub program: &'static str,
    /// The package's name.
    pub package: &'static str,
}

/// Round trips.
pub const PING: Tool = Tool {
    program: "ping",
    package: "iputils-ping",
};
/// Throughput.
pub const IPERF3: Tool = Tool {
    program: "iperf3",
    package: "iperf3",
};
/// HTTP.
pub const CURL: Tool = Tool {
    program: "curl",
    package: "curl",
};
/// The pods' HTTP server.
pub const BUSYBOX: Tool = Tool {
    program: "busybox",
    package: "busybox-static",
};
/// A look at the kernel that is not ours.
pub const IP: Tool = Tool {
    program: "ip",
    package: "iproute2",
};
/// The real store.
pub const ETCD: Tool = Tool {
    program: "etcd",
    package: "etcd-server",
};

/// # Errors
/// Some of `tools` are not installed: names them all, and the command that installs them.
pub fn require(tools: &[Tool]) -> Result<()> {
    let missing: Vec<&Tool> = tools
        .iter()
        .filter(|tool| in_path(tool.program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = |of: fn(&Tool) -> &'static str, separator: &str| {
        missing
            .iter()
            .map(|tool| of(tool))
            .collect::<Vec<_>>()
            .join(separator)
    };
    bail!(
        "not installed: {}; install with: apt-get install --no-install-recommends {}",
        names(|tool| tool.program, ", "),
        names(|tool| tool.package, " ")
    )
}

/// Where PATH leads for a program.
pub fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|each| each.join(program))
        .find(|each| is_executable(each))
}

/// Whether it is a file, or leads to one, that somebody may execute.
pub fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// What the caller left open, for files that this command reads by names such as `/dev/fd/63`.
static LEFT_OPEN: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());

/// Closes these when the first program is started: between fork and exec that one would have them, too, in sight of
/// containers. Files that the user names have been read by then.
///
/// # Errors
/// The kernel refused.
pub fn close_at_first_start(left_open: Vec<OwnedFd>) -> Result<()> {
    left_open.iter().try_for_each(close_at_exec)?;
    *left_open_until_now() = left_open;
    Ok(())
}

fn left_open_until_now() -> MutexGuard<'static, Vec<OwnedFd>> {
    LEFT_OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command of the lab: its standard input is empty, and Ctrl-C does not reach it, so that the lab
/// decides when it ends.
#[allow(
    clippy::disallowed_methods,
    reason = "the lab starts programs; this is where"
)]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    use std::os::unix::process::CommandExt;
    left_open_until_now().clear();
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).process_group(0);
    command
}

/// Runs a program to its end and gives what it printed.
///
/// # Errors
/// It cannot be started, or ends with a status other than 0: what it said is part of the error.
pub fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("start {name}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = if said.trim().is_empty() {
            String::from_utf8_lossy(&output.stdout)
        } else {
            said
        };
        bail!("{name} ended with {}: {}", output.status, said.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("read the output of {name}"))
}

/// How a program ended, as shells have it: 128 and the number for a signal.
pub fn exit_status(status: ExitStatus) -> u8 {
    let code = std::os::unix::process::ExitStatusExt::signal(&status)
        .map_or(status.code().unwrap_or(1), |signal| 128 + signal);
    u8::try_from(code).unwrap_or(1)
}

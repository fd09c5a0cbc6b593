//! What the files of samples of every benchmark have in common.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use files::{Modes, write_atomically};
use serde::{Deserialize, Serialize};

use super::net::cores::Cores;
use super::world;
use crate::program::own_executable;

/// Everybody may read figures.
const MODES: Modes = Modes {
    file: 0o644,
    directory: 0o755,
};

/// What it was measured on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// As the processor calls itself.
    pub(crate) processor: Option<String>,
    pub(crate) processors: usize,
    pub(crate) kernel: String,
    /// Where a path's loads were pinned to; not, if none.
    pub(crate) cores: Option<Cores>,
}

/// What programs say of themselves; none where there is no such program.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Versions {
    pub(crate) lab: String,
    pub(crate) netd: Option<String>,
    pub(crate) podwire: Option<String>,
    pub(crate) iperf3: Option<String>,
}

/// The time (RFC 3339).
pub(super) fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// The words of a command as others read them: this program by its name, wherever it lies here.
///
/// # Errors
/// `/proc` is not mounted.
pub(super) fn legible<'w>(words: impl IntoIterator<Item = &'w OsStr>) -> Result<Vec<String>> {
    let own = own_executable()?;
    let is_own = |word: &OsStr| fs::canonicalize(word).is_ok_and(|path| path == own);
    let words = words.into_iter().map(|word| match own.file_name() {
        Some(name) if is_own(word) => name,
        _ => word,
    });
    Ok(words
        .map(|word| word.to_string_lossy().into_owned())
        .collect())
}

/// The command that this process is, as others read it.
///
/// # Errors
/// As [`legible`].
pub(super) fn own_command() -> Result<Vec<String>> {
    let words: Vec<_> = std::env::args_os().collect();
    legible(words.iter().map(OsString::as_os_str))
}

/// No benchmark writes as much.
const MOST_BYTES: u64 = 256 << 20;

/// The content of a file that somebody names, which may be a pipe.
///
/// # Errors
/// It cannot be read, or has no end.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    let read = || -> Result<_> {
        let mut bytes = Vec::new();
        let file = fs::File::open(file)?;
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        ensure!(
            bytes.len() as u64 <= MOST_BYTES,
            "it has more than {} MiB, which no benchmark writes",
            MOST_BYTES >> 20
        );
        Ok(bytes)
    };
    read().with_context(|| format!("read {}", file.display()))
}

/// Writes samples to a file, in one line; who reads that sees the old one or this.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write(samples: &impl Serialize, file: &Path) -> Result<()> {
    let text = serde_json::to_string(samples)? + "\n";
    if is_special(file) {
        return fs::write(file, text).with_context(|| format!("write {}", file.display()));
    }
    // What a symbolic link leads to, not the link; a new file has one name.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    Ok(write_atomically(&file, text.as_bytes(), MODES)?)
}

/// Whether there is something that is no file, as /dev/stdout may be.
pub(super) fn is_special(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|found| !found.is_file())
}

impl Machine {
    pub(super) fn this(cores: Option<Cores>) -> Result<Self> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease");
        let kernel = kernel.context("read the kernel's version")?;
        let processors = fs::read_to_string("/proc/cpuinfo").context("read /proc/cpuinfo")?;
        Ok(Self {
            processor: processor(&processors),
            processors: std::thread::available_parallelism()?.get(),
            kernel: kernel.trim().to_owned(),
            cores,
        })
    }
}

impl Versions {
    /// Of the programs in this directory, and those that are found in PATH.
    pub(super) fn of(bin_dir: &Path) -> Self {
        Self {
            lab: env!("CARGO_PKG_VERSION").to_owned(),
            netd: version(&bin_dir.join("netd")),
            podwire: version(&bin_dir.join("podwire")),
            iperf3: version(Path::new("iperf3")),
        }
    }
}

fn processor(cpuinfo: &str) -> Option<String> {
    let mut lines = cpuinfo.lines();
    let line = lines.find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The first line of what a program says of itself; none where there is no such program.
fn version(program: &Path) -> Option<String> {
    let mut program = world::command(program);
    said(program.arg("--version"))
}

/// What a plugin of another suite says when nobody asks anything (`CNI bridge plugin v1.1.1`).
pub(super) fn about_plugin(plugin: &Path) -> Option<String> {
    let mut plugin = world::command(plugin);
    said(plugin.env_remove("CNI_COMMAND"))
}

/// The first line on standard output, or else on standard error.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    said.lines().next().map(str::to_owned)
}

/// A benchmark has some directories for itself.
///
/// # Errors
/// The path is in one of them.
pub(super) fn require_seen(path: &Path) -> Result<()> {
    ensure!(
        !world::is_own(path)?,
        "{} is in a directory that the benchmark has for itself and that ends with it: choose another",
        path.display()
    );
    Ok(())
}

/// Before an hour of measuring rather than after it.
///
/// # Errors
/// The file of samples could not be written, or would be lost.
pub(super) fn check(file: Option<&Path>) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    require_seen(file)?;
    let absolute = std::path::absolute(file)?;
    let directory = absolute.parent().unwrap_or(Path::new("/"));
    ensure!(
        directory.is_dir(),
        "there is no directory {} for the file of samples",
        directory.display()
    );
    ensure!(
        !file.is_dir(),
        "{} is a directory: name a file for the samples",
        file.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_processor_is_the_first_that_has_a_name() {
        let cpuinfo = "processor\t: 0\nmodel name\t: A B\n\nprocessor\t: 1\nmodel name\t: C\n";
        assert_eq!(processor(cpuinfo).as_deref(), Some("A B"));
        assert_eq!(processor("processor: 0\n"), None);
    }

    #[test]
    fn nobody_reads_where_this_program_lies() {
        let own = std::env::current_exe().unwrap();
        let name = own.file_name().unwrap().to_str().unwrap();
        let words = ["taskset", own.to_str().unwrap(), "/usr/bin/env", "--json"];
        let read = legible(words.iter().map(OsStr::new)).unwrap();
        assert_eq!(read, ["taskset", name, "/usr/bin/env", "--json"]);
    }

    #[test]
    fn a_file_that_would_be_lost_is_refused() {
        for file in [
            "/run/x.json",
            "/proc/x.json",
            "/var/lib/x.json",
            "/nowhere/x.json",
            "/var/run/x.json",
            "/tmp/../run/x.json",
            "/tmp",
        ] {
            assert!(check(Some(Path::new(file))).is_err(), "{file}");
        }
        assert!(check(Some(Path::new("x.json"))).is_ok());
        assert!(check(None).is_ok());
    }
}

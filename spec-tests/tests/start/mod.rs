//! How the tests start the suite.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// Debian's plugins.
pub(crate) const REFERENCE: &str = "/usr/lib/cni";
/// In what they deviate.
pub(crate) const DEVIATIONS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/reference-deviations.toml");
/// The suite's executable.
pub(crate) const SUITE: &str = env!("CARGO_BIN_EXE_spec-tests");

/// The suite with these arguments, to be started.
pub(crate) fn program(args: &[&str]) -> Command {
    let mut suite = interruptible(SUITE);
    suite.args(args);
    suite
}

/// A program that SIGINT ends: a shell starts what it leaves in the background with the signal ignored, these
/// tests perhaps, and whoever they start inherits that. The process is the program's own.
pub(crate) fn interruptible(program: &str) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", program]);
    command
}

/// What the suite with these arguments does.
pub(crate) fn suite(args: &[&str]) -> Output {
    program(args).output().unwrap()
}

/// Judges the plugins in `dir`: exit status, JSON report, and what was said on stderr.
pub(crate) fn judge(dir: &Path, more: &[&str]) -> (i32, Vec<Value>, String) {
    let dir = dir.to_str().unwrap();
    let run = ["run", "--plugin-dir", dir, "--output", "json"];
    let output = suite(&[&run, more].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (output.status.code().unwrap(), report, said)
}

//! How runs and cases end: stopped from outside, by a hanging plugin, kept for a look inside.
//!
//! Needs root: the cases make namespaces.

#![allow(clippy::disallowed_methods, reason = "the test runs the suite")]
#![allow(clippy::unwrap_used, reason = "what is missing fails the test")]

mod start;

use std::{
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use start::program;

/// Judges the plugins in `dir` under one version; exit status and report.
fn judge(dir: &Path, more: &[&str]) -> (i32, Vec<Value>) {
    let (status, report, _) = start::judge(dir, &[&["--version", "1.0.0"], more].concat());
    (status, report)
}

/// A mark for the environment of a run and everything it starts.
fn mark(name: &str) -> (String, String) {
    let value = format!("{}-{name}", std::process::id());
    ("SPEC_TESTS_MARK".to_owned(), value)
}

/// The command lines of processes that carry this mark in their environment.
fn command_lines((key, value): &(String, String)) -> Vec<String> {
    let mark = format!("{key}={value}\0");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let line = |process: std::fs::DirEntry| {
        let environment = std::fs::read(process.path().join("environ")).ok()?;
        let mut parts = environment.windows(mark.len());
        parts.find(|part| *part == mark.as_bytes())?;
        std::fs::read_to_string(process.path().join("cmdline")).ok()
    };
    processes.filter_map(line).collect()
}

fn marked(mark: &(String, String)) -> usize {
    command_lines(mark).len()
}

fn in_time(mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > Duration::from_secs(60) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// A plugin that never answers.
fn hangs(dir: &TempDir, name: &str) {
    let script = dir.path().join(name);
    std::fs::write(&script, "#!/bin/sh\nsleep 1000\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn hanging() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    hangs(&dir, "bridge");
    dir
}

#[test]
fn a_run_that_is_stopped_leaves_no_process() {
    let dir = hanging();
    for signal in ["INT", "TERM", "KILL"] {
        let mark = mark(signal);
        let args = ["run", "--jobs", "2", "--case", "spec/*", "--plugin-dir"];
        let mut run = program(&args);
        run.arg(dir.path()).env(&mark.0, &mark.1);
        let mut run = run.spawn().unwrap();
        // The suite, and of each of two worlds unshare and the case itself.
        assert!(in_time(|| marked(&mark) >= 5), "{:?}", command_lines(&mark));
        let id = run.id().to_string();
        let killed = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(killed.unwrap().success());
        run.wait().unwrap();
        assert!(
            in_time(|| marked(&mark) == 0),
            "{signal}: {:?}",
            command_lines(&mark)
        );
    }
}

/// Ctrl-C of a terminal reaches the whole group of processes, and here also finds worlds that are
/// kept and named by no report yet.
#[test]
fn ctrl_c_in_a_terminal_leaves_no_process() {
    let dir = tempfile::tempdir().unwrap();
    symlink("/bin/false", dir.path().join("bridge")).unwrap();
    hangs(&dir, "ptp");
    let mark = mark("terminal");
    let line = format!(
        "exec {} run --keep --jobs 2 --version 1.0.0 --case 'spec/add/*' --plugin-dir {}",
        start::SUITE,
        dir.path().display()
    );
    let mut terminal = start::interruptible("script");
    terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    terminal
        .env(&mark.0, &mark.1)
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped());
    let mut terminal = terminal.stdout(Stdio::null()).spawn().unwrap();
    let kept = || {
        command_lines(&mark)
            .iter()
            .any(|line| line.contains("infinity"))
    };
    assert!(in_time(kept), "{:?}", command_lines(&mark));
    terminal.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    let ended = in_time(|| marked(&mark) <= 1);
    drop(terminal.stdin.take());
    let status = terminal.wait().unwrap();
    assert!(ended && !status.success(), "{status:?}");
    assert!(in_time(|| marked(&mark) == 0), "{:?}", command_lines(&mark));
}

#[test]
fn a_plugin_that_hangs_fails_its_case_alone_and_ends() {
    let dir = hanging();
    let args = ["--time-limit", "1", "--case", "spec/env/command/*"];
    let (status, report) = judge(dir.path(), &args);
    assert_eq!(status, 1);
    assert_eq!(report.len(), 2);
    assert!(
        report
            .iter()
            .all(|row| row["seen"].to_string().contains("ended after 1s")),
        "{report:?}"
    );
}

#[test]
fn a_kept_world_can_be_entered_until_its_keeper_ends() {
    let dir = tempfile::tempdir().unwrap();
    symlink("/bin/false", dir.path().join("bridge")).unwrap();
    let (status, report) = judge(dir.path(), &["--keep", "--case", "spec/add/interface/01"]);
    assert_eq!(status, 1);
    let keeper = report[0]["kept"].as_u64().unwrap().to_string();
    let inside = Command::new("nsenter")
        .args([
            "--target", &keeper, "--net", "--mount", "ip", "netns", "list",
        ])
        .output()
        .unwrap();
    let ended = Command::new("kill").arg(&keeper).status();
    assert!(ended.unwrap().success());
    assert!(
        String::from_utf8_lossy(&inside.stdout).starts_with("pod"),
        "{inside:?}"
    );
}

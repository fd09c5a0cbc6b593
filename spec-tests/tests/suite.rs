//! The suite judged: the reference plugins pass, podwire passes, and each case is proven.
//!
//! Needs root (the cases make namespaces) and Debian's containernetworking-plugins.

#![allow(clippy::disallowed_methods, reason = "the test runs the suite")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

const REFERENCE: &str = "/usr/lib/cni";

fn suite(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_spec-tests"))
        .args(args)
        .output()
        .unwrap()
}

/// Runs the suite on `dir`; returns its exit status and the JSON report.
fn judge(dir: &Path, more: &[&str]) -> (i32, Vec<Value>) {
    let dir = dir.to_str().unwrap();
    let output = suite(&[&["run", "--plugin-dir", dir, "--output", "json"], more].concat());
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), report)
}

fn failed(report: &[Value]) -> Vec<&str> {
    let failed = report.iter().filter(|row| row["outcome"] == "fail");
    failed.filter_map(|row| row["id"].as_str()).collect()
}

/// The debug build's directory: `make test` builds every executable before the tests.
fn podwire() -> PathBuf {
    let podwire = Path::new(env!("CARGO_BIN_EXE_spec-tests")).with_file_name("podwire");
    assert!(
        podwire.is_file(),
        "{} is missing: cargo build -p podwire",
        podwire.display()
    );
    podwire
}

#[test]
fn the_reference_plugins_pass() {
    let (status, report) = judge(Path::new(REFERENCE), &[]);
    assert_eq!((status, failed(&report)), (0, vec![]));
    assert!(report.iter().filter(|row| row["outcome"] == "pass").count() > 300);
}

#[test]
fn podwire_passes() {
    let dir = tempfile::tempdir().unwrap();
    let installed = Command::new(podwire())
        .args(["install", "--bin-dir"])
        .arg(dir.path())
        .output();
    let installed = installed.unwrap();
    assert!(
        installed.status.success(),
        "{}",
        String::from_utf8_lossy(&installed.stderr)
    );
    let (status, report) = judge(dir.path(), &[]);
    assert_eq!((status, failed(&report)), (0, vec![]));
    assert!(report.iter().filter(|row| row["outcome"] == "pass").count() > 300);
}

#[test]
fn every_case_passes_on_the_reference_and_fails_on_each_of_its_stubs() {
    let output = suite(&["prove", "--plugin-dir", REFERENCE]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{table}");
    assert!(
        !table.contains("NOT PROVEN") && table.lines().count() > 60,
        "{table}"
    );
}

#[test]
fn the_outcome_does_not_depend_on_how_many_run_at_once() {
    let outcomes = |jobs| {
        let (_, report) = judge(
            Path::new(REFERENCE),
            &["--jobs", jobs, "--case", "spec/*/0*"],
        );
        report
            .into_iter()
            .map(|row| (row["id"].clone(), row["outcome"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(outcomes("1"), outcomes("8"));
}

#[test]
fn errors_of_use_say_what_to_do_and_exit_2() {
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_str().unwrap();
    for (args, text) in [
        (
            vec!["run", "--plugin-dir", "/nonexistent"],
            "no such directory",
        ),
        (vec!["run", "--plugin-dir", empty], "none of the plugins"),
        (
            vec!["run", "--plugin-dir", REFERENCE, "--case", "no/such"],
            "spec-tests list",
        ),
        (
            vec!["run", "--plugin-dir", REFERENCE, "--version", "7"],
            "--version 7",
        ),
        (vec!["show", "no/such"], "spec-tests list"),
    ] {
        let output = suite(&args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(text), "{args:?}: {said}");
    }
}

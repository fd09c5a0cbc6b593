//! The suite judged: the reference plugins pass, podwire passes, and each case is proven.
//!
//! Needs root (the cases make namespaces) and Debian's containernetworking-plugins.

#![allow(clippy::disallowed_methods, reason = "the test runs the suite")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what is missing fails the test"
)]

mod start;

use std::{
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
};

use serde_json::Value;
use tempfile::TempDir;

use start::{DEVIATIONS, REFERENCE, SUITE, suite};

/// Models of plugins that Debian's release does not have.
const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models");
/// Where the test leaves the table `case -> stubs that fail it`.
const TABLE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/cases-and-stubs.txt");
const OWN_DEVIATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/podwire-deviations.toml");

/// Cases mostly wait: for the kernel to end a world, for packets that shall not come.
const JOBS: [&str; 2] = ["--jobs", "8"];

/// Held by a test while it runs many cases: side by side they would only slow each other down.
static MACHINE: Mutex<()> = Mutex::new(());

/// Runs the suite on `dir`; returns its exit status and the JSON report.
fn judge(dir: &Path, more: &[&str]) -> (i32, Vec<Value>) {
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let jobs: &[&str] = if more.contains(&"--jobs") { &[] } else { &JOBS };
    let (status, report, said) = start::judge(dir, &[jobs, more].concat());
    assert!(!said.contains("take it off the list"), "{said}");
    (status, report)
}

/// The ids and both sides of what failed and binds.
fn failed(report: &[Value]) -> Vec<String> {
    let failed = report
        .iter()
        .filter(|row| row["outcome"] == "fail" && row["level"] != "SHOULD");
    failed
        .map(|row| {
            format!(
                "{}: {} expected {} seen {}",
                row["id"], row["what"], row["expected"], row["seen"]
            )
        })
        .collect()
}

fn passed(report: &[Value]) -> usize {
    report.iter().filter(|row| row["outcome"] == "pass").count()
}

fn outcomes(report: Vec<Value>) -> Vec<(Value, Value)> {
    report
        .into_iter()
        .map(|row| (row["id"].clone(), row["outcome"].clone()))
        .collect()
}

/// podwire's plugins, installed from the build of this test's profile: `make test` builds every
/// executable before the tests.
fn podwire() -> TempDir {
    let podwire = Path::new(SUITE).with_file_name("podwire");
    assert!(
        podwire.is_file(),
        "{} is missing: cargo build -p podwire",
        podwire.display()
    );
    let dir = tempfile::tempdir().unwrap();
    let installed = Command::new(podwire)
        .args(["install", "--bin-dir"])
        .arg(dir.path())
        .output();
    let installed = installed.unwrap();
    assert!(
        installed.status.success(),
        "{}",
        String::from_utf8_lossy(&installed.stderr)
    );
    dir
}

/// Under the oldest shape of results and the newest that Debian's release knows; under every version it takes minutes
/// more, and is `make conformance-ref`.
#[test]
fn the_reference_plugins_pass_or_deviate_as_listed() {
    const VERSIONS: [&str; 2] = ["--version=0.2.0", "--version=1.0.0"];
    let known = ["--deviations", DEVIATIONS, "--runtime-cases"];
    let (status, report) = judge(Path::new(REFERENCE), &[&known[..], &VERSIONS].concat());
    assert_eq!((failed(&report), status), (vec![], 0));
    assert!(passed(&report) > 700, "{}", passed(&report));
    let unlisted = report.iter().find(|row| row["outcome"] == "fail");
    assert!(unlisted.is_none(), "{unlisted:?}");
}

/// Under the newest version `make test` judges the static executable, which is the one that nodes get.
#[test]
fn podwire_passes() {
    const VERSIONS: [&str; 6] = [
        "--version=0.1.0",
        "--version=0.2.0",
        "--version=0.3.0",
        "--version=0.3.1",
        "--version=0.4.0",
        "--version=1.0.0",
    ];
    let dir = podwire();
    let known = ["--runtime-cases", "--deviations", OWN_DEVIATIONS];
    let (status, report) = judge(dir.path(), &[&known[..], &VERSIONS].concat());
    assert_eq!((failed(&report), status), (vec![], 0));
    assert!(passed(&report) > 700, "{}", passed(&report));
}

#[test]
fn podwire_and_the_reference_take_over_from_each_other() {
    let dir = podwire();
    let (status, report) = judge(dir.path(), &["--takeover", REFERENCE]);
    assert_eq!((failed(&report), status), (vec![], 0));
    assert!(passed(&report) > 40, "{}", passed(&report));
}

/// Prints the table `case -> stubs that fail it`, and writes it to the build's directory `tmp`.
#[test]
fn every_case_passes_somewhere_and_fails_on_each_of_its_stubs() {
    let dir = podwire();
    let dir = dir.path().to_str().unwrap();
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let output = suite(&[
        "prove",
        "--plugin-dir",
        REFERENCE,
        "--plugin-dir",
        dir,
        "--plugin-dir",
        MODELS,
        "--deviations",
        DEVIATIONS,
        JOBS[0],
        JOBS[1],
    ]);
    let table = String::from_utf8_lossy(&output.stdout);
    println!("{table}");
    std::fs::write(TABLE, table.as_bytes()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{table}");
    assert!(table.lines().count() > 400, "{table}");
}

/// A sample of every subject, with those cases that wait for packets and daemons.
#[test]
fn the_outcome_does_not_depend_on_how_many_run_at_once_nor_on_the_run() {
    const SAMPLE: [&str; 4] = [
        "--case=*/packets/*",
        "--case=*/check/01",
        "--case=*/del/01",
        "--case=*/fail/01",
    ];
    let of = |jobs| {
        let run = ["--jobs", jobs, "--version", "1.0.0", "--runtime-cases"];
        outcomes(judge(Path::new(REFERENCE), &[&run[..], &SAMPLE].concat()).1)
    };
    let one = of("1");
    assert!(one.len() > 90, "{}", one.len());
    assert_eq!(one, of("8"));
    assert_eq!(one, of("8"));
}

#[test]
fn lists_shows_and_compares() {
    let listed = suite(&["list", "--output", "json"]);
    let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
    assert!(listed.len() >= 400, "{}", listed.len());
    for (format, start) in [
        ("text", ""),
        ("junit", "<?xml"),
        ("tap", "TAP version 13\n"),
    ] {
        let text = String::from_utf8(suite(&["list", "--output", format]).stdout).unwrap();
        assert!(
            text.starts_with(start) && text.contains("spec/env/command/01"),
            "{format}"
        );
    }
    let shown = suite(&["show", "spec/env/command/01", "--plugin-dir", REFERENCE]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for part in [
        "rule:",
        "source:",
        "# prepare:",
        "# call the plugin:",
        "CNI_COMMAND=FROBNICATE",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let dir = tempfile::tempdir().unwrap();
    let [before, after] =
        ["before", "after"].map(|name| dir.path().join(name).display().to_string());
    std::fs::write(&before, r#"[{"id": "a", "outcome": "pass"}]"#).unwrap();
    std::fs::write(&after, r#"[{"id": "a", "outcome": "fail"}]"#).unwrap();
    assert_eq!(suite(&["compare", &before, &before]).status.code(), Some(0));
    let compared = suite(&["compare", &before, &after]);
    assert_eq!(compared.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&compared.stdout).contains("pass -> fail: 1"));
}

//! A plugin that the suite does not know is judged with a configuration that the user gives.
//!
//! Needs root and Debian's containernetworking-plugins.

#![allow(clippy::disallowed_methods, reason = "the test runs the suite")]
#![allow(clippy::unwrap_used, reason = "what is missing fails the test")]

mod start;

use std::{fs, path::Path};

use start::{REFERENCE, suite};

/// A directory with the reference's bridge under a name that nobody knows.
fn stranger(dir: &Path) {
    for (from, to) in [("bridge", "acme"), ("host-local", "host-local")] {
        fs::copy(Path::new(REFERENCE).join(from), dir.join(to)).unwrap();
    }
    let config = r#"{ "cniVersion": "0.3.1", "bridge": "acme0",
        "ipam": { "type": "host-local", "subnet": "10.9.0.0/24" } }"#;
    fs::write(dir.join("acme.json"), config).unwrap();
}

#[test]
fn a_plugin_with_an_unknown_name_is_judged_from_its_first_version_on() {
    let dir = tempfile::tempdir().unwrap();
    stranger(dir.path());
    let path = dir.path().to_str().unwrap();
    let option = format!("acme={path}/acme.json");
    let run = [
        "run",
        "--plugin-dir",
        path,
        "--plugin",
        "acme",
        "--config",
        &option,
    ];
    let output = suite(
        &[
            &run[..],
            &["--case", "spec/output/result/*", "--output", "json"],
        ]
        .concat(),
    );
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let report = report.to_string();
    assert!(report.contains("[acme@1.0.0]"), "{report}");
    assert!(report.contains("[acme@0.3.1]"), "{report}");
    assert!(!report.contains("[acme@0.2.0]"), "{report}");
    assert_eq!(output.status.code(), Some(0), "{report}");
}

#[test]
fn a_configuration_that_nobody_can_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    stranger(dir.path());
    let path = dir.path().to_str().unwrap();
    fs::write(dir.path().join("list.json"), "[]").unwrap();
    for (option, text) in [
        ("acme".to_owned(), "give NAME=FILE"),
        (format!("acme={path}/none"), "cannot read the file"),
        (format!("acme={path}/list.json"), "a JSON object"),
        (format!("acme={path}/acme"), "not JSON"),
        (format!("nobody={path}/acme.json"), "has none"),
        (format!("a/b={path}/acme.json"), "no name of an executable"),
    ] {
        let output = suite(&["run", "--plugin-dir", path, "--config", &option]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{option}: {said}");
        assert!(said.contains(text), "{option}: {text:?} is not in: {said}");
    }
}

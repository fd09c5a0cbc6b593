//! `netd check-config` as it is called.
#![allow(clippy::expect_used, reason = "a test may panic")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

#[allow(clippy::disallowed_methods, reason = "the test calls the command")]
fn check(text: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_netd"))
        .args(["check-config", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("netd");
    let mut stdin = child.stdin.take().expect("stdin");
    stdin.write_all(text.as_bytes()).expect("write");
    drop(stdin);
    child.wait_with_output().expect("netd")
}

#[test]
fn the_exit_status_says_whether_nodes_can_use_it() {
    for (text, code, line) in [
        (
            r#"{"Network":"10.244.0.0/16","Backend":{"Type":"host-gw","Prot":1}}"#,
            0,
            "warning  Backend.Prot: the backend host-gw has no such key",
        ),
        (
            r#"{"Network":"10.244.0.0/16","SubnetLen":31,"Backend":{"Type":"host-gw"}}"#,
            1,
            "error    SubnetLen: 31: ",
        ),
        ("", 1, "error    unexpected end of JSON input"),
    ] {
        let output = check(text);
        assert_eq!(output.status.code(), Some(code), "{text}: {output:?}");
        let told = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(told.contains(line), "{text}: {told}");
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the test calls the command")]
fn what_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("none.json");
    for (arguments, code, words) in [
        (
            vec!["check-config".into(), file.clone().into_os_string()],
            1,
            "none.json",
        ),
        (vec!["check-config".into()], 2, "check-config needs a file"),
        (
            vec!["check-config".into(), "a".into(), "b".into()],
            2,
            "unexpected argument",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_netd"))
            .args(&arguments)
            .output()
            .expect("netd");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
}

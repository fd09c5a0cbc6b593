//! Descriptors that come when this process may not have as many. The test is alone in its file: the limit is
//! that of the whole process.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and starts other programs"
)]

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::Command;

use kernel::handover::{self, ReceiveError};

fn open() -> std::io::Result<File> {
    File::open("/dev/null")
}

#[test]
fn what_came_of_descriptors_that_are_too_many_is_closed() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let sent = open().unwrap();
    let pid = std::process::id().to_string();
    let limited = Command::new("prlimit")
        .args(["--nofile=64:", "--pid", &pid])
        .status();
    assert!(limited.unwrap().success());
    let mut held: Vec<File> = std::iter::from_fn(|| open().ok()).collect();
    for free in [0, 1, 2] {
        held.truncate(held.len() - free);
        handover::send(&ours, &[sent.as_fd(); 3]).unwrap();
        match handover::receive(&theirs).unwrap_err() {
            ReceiveError::Incomplete { came } => assert_eq!(came, free),
            error => panic!("{error}"),
        }
        let again: Vec<File> = std::iter::from_fn(|| open().ok()).collect();
        assert_eq!(again.len(), free, "what came is closed");
        held.extend(again);
    }
    held.truncate(held.len() - 3);
    handover::send(&ours, &[sent.as_fd(); 3]).unwrap();
    assert_eq!(handover::receive(&theirs).unwrap().len(), 3);
}

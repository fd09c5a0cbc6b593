//! Loading a system call filter.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use kernel::seccomp::filter;
use kernel::testing::World;
use nix::errno::Errno;
use nix::libc::{self, sock_filter};

#[test]
fn a_filter_is_of_the_thread_and_leaves_new_privileges() {
    let Some(_world) = World::new() else { return };
    let status = || {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let lines = status
            .lines()
            .filter(|line| line.starts_with("NoNewPrivs:") || line.starts_with("Seccomp:"));
        lines
            .map(|line| line.split_whitespace().next_back().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let all = sock_filter {
        code: 0x06,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    };
    let filtered = std::thread::spawn(move || {
        filter(&[all]).unwrap();
        status()
    });
    assert_eq!(filtered.join().unwrap(), ["0", "2"]);
    assert_eq!(status(), ["0", "0"]);
}

#[test]
fn no_program_is_refused() {
    let refused = filter(&[]).unwrap_err();
    assert_eq!(refused.errno(), Some(Errno::EINVAL as i32));
    assert_eq!(
        refused.to_string(),
        "filter system calls of the calling thread"
    );
}

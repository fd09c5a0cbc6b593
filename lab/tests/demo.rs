//! The demo, as a program that reads its output sees it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{TestLab, signal};

#[test]
fn the_demo_succeeds_in_plain_text_and_leaves_nothing() {
    succeeds(&["demo"], "36 of 36 pairs reach each other");
}

/// Where the kernel has no route of each node's.
#[test]
fn the_demo_succeeds_with_packets_that_a_process_carries() {
    let demo = ["demo", "--backend", "udp", "--nodes", "2"];
    succeeds(&demo, "16 of 16 pairs reach each other");
}

fn succeeds(demo: &[&str], all: &str) {
    let Some(lab) = TestLab::new() else { return };
    let text = lab.ok(demo);
    assert!(!text.contains('\u{1b}'), "colours in a pipe: {text:?}");
    for said in [all, "withdrew", "back after", "GBIT/S", "done in"] {
        assert!(text.contains(said), "{said:?} is missing in:\n{text}");
    }
    for what in ["links", "routes and rules", "mounts"] {
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with(what))
            .unwrap();
        assert!(line.ends_with("as before"), "{line}");
    }
    lab.assert_nothing_left();
}

#[test]
fn ctrl_c_takes_the_demo_down() {
    let Some(lab) = TestLab::new() else { return };
    let mut demo = lab.start(&["demo"]);
    while !lab.dir().join("pods/web-2/pod.json").exists() {
        assert!(demo.try_wait().unwrap().is_none(), "the demo ended early");
        std::thread::sleep(Duration::from_millis(2));
    }
    signal(&demo, "INT");
    assert_eq!(demo.wait().unwrap().code(), Some(130));
    lab.assert_nothing_left();
}

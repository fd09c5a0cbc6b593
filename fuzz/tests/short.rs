//! A short run of every target: what is usual, and changed copies of it. `FUZZ_RUNS` sets how many
//! copies of each, `FUZZ_SEED` which, `FUZZ_TARGET` the only target.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use fuzz::{
    Node, TARGETS, Target,
    mutate::{Random, changed},
};

const RUNS: usize = 300;

fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn nothing_that_strangers_hand_over_makes_a_plugin_panic() {
    let Some(node) = Node::new() else { return };
    let runs = setting("FUZZ_RUNS", RUNS);
    let seed = setting("FUZZ_SEED", 1);
    println!("FUZZ_SEED={seed}");
    let mut random = Random::new(seed as u64);
    let only = std::env::var("FUZZ_TARGET").ok();
    let is_wanted = |target: &&Target| only.as_ref().is_none_or(|only| target.name == only);
    for target in TARGETS.iter().filter(is_wanted) {
        let seeds = (target.seeds)();
        let copies = (0..runs).map(|_| changed(&seeds, &mut random));
        for input in seeds.iter().cloned().chain(copies.collect::<Vec<_>>()) {
            let fed = catch_unwind(AssertUnwindSafe(|| (target.feed)(&node, &input)));
            if let Err(panic) = fed {
                eprintln!("{}: {}", target.name, input.escape_ascii());
                resume_unwind(panic);
            }
        }
    }
}

/// cargo-fuzz knows every target.
#[test]
fn every_target_has_a_program() {
    let manifest = include_str!("../libfuzzer/Cargo.toml");
    for target in TARGETS {
        let line = format!("name = {:?}", target.name);
        assert!(manifest.contains(&line), "{line}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}

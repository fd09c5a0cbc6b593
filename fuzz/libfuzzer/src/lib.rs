//! Feeds one target of the crate `fuzz`, in a node of the process's own.

use std::{cell::OnceCell, fs, path::Path};

use fuzz::{
    Node, TARGETS, Target,
    mutate::{Random, changed},
};

thread_local! {
    static NODE: OnceCell<Option<Node>> = const { OnceCell::new() };
}

/// The program of the target of this name.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        libfuzzer_sys::fuzz_target!(init: $crate::plant($name), |data: &[u8]| $crate::feed($name, data));
        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            $crate::mutate(data, size, max_size, seed)
        });
    };
}

/// Puts what is usual into the corpus, so that the fuzzer need not find JSON by chance.
///
/// # Panics
/// There is no such target; the corpus cannot be written.
pub fn plant(name: &str) {
    let Ok(kept) = std::env::var("FUZZ_DIR") else {
        return;
    };
    let corpus = Path::new(&kept).join("corpus").join(name);
    fs::create_dir_all(&corpus).unwrap();
    for (number, seed) in (target(name).seeds)().iter().enumerate() {
        fs::write(corpus.join(format!("usual-{number}")), seed).unwrap();
    }
}

/// Feeds the target of this name.
///
/// # Panics
/// There is no such target, no privilege to make a node, or the target found something.
pub fn feed(name: &str, data: &[u8]) {
    NODE.with(|node| match node.get_or_init(Node::new) {
        Some(node) => (target(name).feed)(node, data),
        None => panic!("needs root, to make namespaces"),
    });
}

/// libFuzzer's own changes, and by turns those that know JSON; the new size.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    if seed.is_multiple_of(2) {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let copy = changed(&[data[..size].to_vec()], &mut Random::new(seed.into()));
    let size = copy.len().min(max_size);
    data[..size].copy_from_slice(&copy[..size]);
    size
}

fn target(name: &str) -> &'static Target {
    let target = TARGETS.iter().find(|target| target.name == name);
    target.unwrap_or_else(|| panic!("no target {name}"))
}

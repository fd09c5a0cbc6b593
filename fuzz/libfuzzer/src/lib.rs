//! Feeds one target of the crate `fuzz`, in a node of the process's own.

use std::cell::OnceCell;

use fuzz::{Node, TARGETS};

thread_local! {
    static NODE: OnceCell<Option<Node>> = const { OnceCell::new() };
}

/// Feeds the target of this name.
///
/// # Panics
/// There is no such target, no privilege to make a node, or the target found something.
pub fn feed(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("no target {name}"));
    NODE.with(|node| match node.get_or_init(Node::new) {
        Some(node) => (target.feed)(node, data),
        None => panic!("needs root, to make namespaces"),
    });
}

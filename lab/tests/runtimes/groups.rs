//! The control groups that a runtime puts its containers below: the machine's, so each test has
//! a group of its own, and removes it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A name that nobody has.
pub(crate) fn name() -> String {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("podwire-test-{}-{number}", std::process::id())
}

/// The groups of this name in all hierarchies.
pub(crate) fn of(name: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let mut groups = vec![root.join(name)];
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        groups.push(entry.path().join(name));
    }
    groups.retain(|group| group.is_dir());
    groups
}

/// Removes them, with all below.
pub(crate) fn remove(name: &str) {
    for group in of(name) {
        remove_tree(&group);
    }
}

fn remove_tree(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

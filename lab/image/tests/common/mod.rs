//! A directory in memory for images, and programs that make some.

#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod saved;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use image::{Image, Limits, Store};
use kernel::testing::{World, is_installed};
use rustix::fs::{lgetxattr, llistxattr};

/// A world of the test's own, with a store and room for files.
pub(crate) struct Place {
    pub(crate) store: Store,
    world: World,
}

impl Place {
    /// `None` where rights or programs are missing.
    pub(crate) fn new(programs: &[&str]) -> Option<Self> {
        let world = World::new()?;
        if !programs
            .iter()
            .all(|program| is_installed(program, "see TEST_PACKAGES"))
        {
            return None;
        }
        let store = Store::open(&world.dir().join("store")).unwrap();
        Some(Self { store, world })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.world.dir().join(name)
    }

    pub(crate) fn load(&self, source: &str) -> image::Result<Image> {
        self.store
            .load(&self.path(source), None, &Limits::default())
    }

    /// Runs a script in the directory; it must succeed.
    #[allow(clippy::disallowed_methods, reason = "programs that make images")]
    pub(crate) fn run(&self, script: &str) {
        let output = Command::new("sh")
            .args(["-euxc", script])
            .current_dir(self.world.dir())
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }

    /// Everything below the store, by name.
    pub(crate) fn stored(&self) -> BTreeMap<PathBuf, String> {
        let mut all = tree(&self.path("store"));
        all.retain(|path, _| path != Path::new(""));
        all
    }

    /// What an image looks like when overlayfs stacks its layers.
    pub(crate) fn merged(&self, image: &Image) -> BTreeMap<PathBuf, String> {
        if let [only] = image.layers.as_slice() {
            return tree(only);
        }
        let layers = image.layers.iter().rev();
        let layers: Vec<&str> = layers.map(|layer| layer.to_str().unwrap()).collect();
        let lower = layers.join(":");
        self.run(&format!(
            "mkdir -p merged && mount -t overlay -o ro,lowerdir={lower} overlay merged"
        ));
        let all = tree(&self.path("merged"));
        self.run("umount merged");
        all
    }
}

/// Every file of a tree, with all that one can see of it.
pub(crate) fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    walk(root, root, &mut inodes, &mut found);
    found
}

fn walk(
    root: &Path,
    path: &Path,
    inodes: &mut BTreeMap<u64, PathBuf>,
    found: &mut BTreeMap<PathBuf, String>,
) {
    let metadata = path.symlink_metadata().unwrap();
    let name = path.strip_prefix(root).unwrap().to_owned();
    found.insert(name.clone(), describe(path, &metadata, &name, inodes));
    if metadata.is_dir() {
        let mut names: Vec<PathBuf> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        for each in names {
            walk(root, &each, inodes, found);
        }
    }
}

fn describe(
    path: &Path,
    metadata: &fs::Metadata,
    name: &Path,
    inodes: &mut BTreeMap<u64, PathBuf>,
) -> String {
    let kind = metadata.file_type();
    let content = match () {
        () if kind.is_dir() => "directory".to_owned(),
        () if kind.is_symlink() => format!("-> {}", fs::read_link(path).unwrap().display()),
        () if kind.is_file() => {
            let content = fs::read(path).unwrap();
            let first = inodes
                .entry(metadata.ino())
                .or_insert_with(|| name.to_owned());
            let sum = content.iter().fold(0_u64, |sum, &byte| {
                sum.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte)
            });
            format!("{} bytes {sum:x}, as {}", content.len(), first.display())
        }
        () if kind.is_fifo() => "fifo".to_owned(),
        () => format!("{kind:?} {:x}", metadata.rdev()),
    };
    let device = kind.is_block_device() || kind.is_char_device();
    format!(
        "{content} {}{:o} {}:{} {}.{:09} {:?}",
        if device { "device " } else { "" },
        metadata.mode() & 0o7777,
        metadata.uid(),
        metadata.gid(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        attributes(path)
    )
}

/// All but what overlayfs and the kernel of the machine add.
fn attributes(path: &Path) -> Vec<(String, String)> {
    let mut names = vec![0; 4096];
    let length = llistxattr(path, names.as_mut_slice()).unwrap();
    let mut all: Vec<(String, String)> = names[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty() && *name != b"security.selinux")
        .map(|name| {
            let mut value = vec![0; 4096];
            let length = lgetxattr(path, OsStr::from_bytes(name), value.as_mut_slice()).unwrap();
            (
                name.escape_ascii().to_string(),
                value[..length].escape_ascii().to_string(),
            )
        })
        .collect();
    all.sort();
    all
}

/// Fails with the files that differ.
#[track_caller]
pub(crate) fn assert_same(ours: &BTreeMap<PathBuf, String>, theirs: &BTreeMap<PathBuf, String>) {
    let mut differences = Vec::new();
    for path in ours
        .keys()
        .chain(theirs.keys().filter(|path| !ours.contains_key(*path)))
    {
        let (one, other) = (ours.get(path), theirs.get(path));
        if one != other {
            differences.push(format!("{}:\n  {one:?}\n  {other:?}", path.display()));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

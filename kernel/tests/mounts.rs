//! Attributes of mounts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};

use kernel::mount::{MountAttributes, Reach, set_attributes};
use kernel::testing::World;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

#[test]
fn attributes_reach_one_mount_or_those_below_it_too() {
    let Some(world) = World::new() else { return };
    let upper = world.dir().join("mount");
    let below = upper.join("below");
    for directory in [&upper, &below] {
        fs::create_dir(directory).unwrap();
        let kind = Some("tmpfs");
        mount(kind, directory, kind, MsFlags::empty(), None::<&str>).unwrap();
    }
    let read_only = MountAttributes {
        read_only: true,
        ..MountAttributes::default()
    };
    let writes = || [&upper, &below].map(|path| fs::write(path.join("file"), "").is_ok());
    assert_eq!(writes(), [true, true]);
    set_attributes(File::open(&upper).unwrap(), read_only, Reach::Alone).unwrap();
    assert_eq!(writes(), [false, true]);
    set_attributes(File::open(&upper).unwrap(), read_only, Reach::Below).unwrap();
    assert_eq!(writes(), [false, false]);

    let directory = world.dir().join("no-mount");
    fs::create_dir(&directory).unwrap();
    let directory = File::open(&directory).unwrap();
    let refused = set_attributes(directory, read_only, Reach::Alone).unwrap_err();
    assert_eq!(refused.errno(), Some(Errno::EINVAL as i32));
}

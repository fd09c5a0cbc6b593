//! Mounts, in a mount namespace of the test's own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use kernel::testing::World;
use sandbox::mount::{self, Overlay, mount_points, parse_mountinfo};

#[test]
fn mountinfo_with_escapes_and_optional_fields() {
    let text = "36 35 98:0 /a\\040b /mnt\\040x\\134y rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n\
                no mount\n\
                41 31 0:38 / /unified rw - cgroup2 cgroup2 rw\n";
    let mounts = parse_mountinfo(text);
    assert_eq!(mounts.len(), 2);
    assert_eq!(mounts[0].root, Path::new("/a b"));
    assert_eq!(mounts[0].path, Path::new("/mnt x\\y"));
    assert_eq!(mounts[0].file_system, "ext3");
    assert_eq!(mounts[0].super_options, ["rw", "errors=continue"]);
    assert_eq!(mounts[1].path, Path::new("/unified"));
}

#[test]
fn an_overlay_takes_changes_and_leaves_the_lower_as_it_was() {
    let Some(world) = World::new() else { return };
    // Every character that has a meaning in mount options.
    let lower = world.dir().join("lower,a:b\\c");
    let target = world.dir().join("target");
    for directory in [&lower, &target] {
        fs::create_dir(directory).unwrap();
    }
    fs::write(lower.join("file"), "old").unwrap();

    let scratch = world.dir().join("scratch,a:b\\c");
    Overlay::over(&[&lower], &scratch)
        .unwrap()
        .mount(&target)
        .unwrap();
    assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "old");
    fs::write(target.join("file"), "new").unwrap();
    fs::write(target.join("more"), "").unwrap();
    assert_eq!(fs::read_to_string(lower.join("file")).unwrap(), "old");
    assert!(!lower.join("more").exists());
    assert_eq!(
        fs::read_to_string(scratch.join("upper/file")).unwrap(),
        "new"
    );

    let found = mount_points().unwrap();
    assert!(
        found
            .iter()
            .any(|mount| mount.path == target && mount.file_system == "overlay")
    );
    mount::unmount_lazily(&target).unwrap();
    assert!(!target.join("file").exists());
}

#[test]
fn a_refused_mount_names_its_target() {
    let Some(world) = World::new() else { return };
    let missing = world.dir().join("missing");
    let error = mount::tmpfs(&missing, "mode=0755").unwrap_err();
    assert_eq!(error.to_string(), format!("mount {}", missing.display()));
    assert!(error.is_gone());
    let error = mount::pivot_root(&missing).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("pivot root to {}", missing.display())
    );
}

//! Roots of containers, each in a world of the test's own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use common::world_of_root;
use kernel::testing::World;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use sandbox::{ContainerRoot, Mount, Namespace, mount, run_in_new};

fn over<P: AsRef<Path>>(lower: &[P], scratch: &Path) -> ContainerRoot {
    ContainerRoot {
        lower: lower.iter().map(|layer| layer.as_ref().into()).collect(),
        scratch: scratch.to_owned(),
        read_only: false,
        own_runtime_directories: false,
        privileged: false,
        users: None,
        mounts: Vec::new(),
    }
}

#[test]
fn a_pod_root_is_copy_on_write_with_devices_and_nothing_of_the_old_root() {
    let Some(world) = world_of_root() else { return };
    let (lower, scratch) = (world.dir().join("image"), world.dir().join("scratch"));
    fs::create_dir_all(lower.join("etc")).unwrap();
    fs::create_dir(&scratch).unwrap();
    fs::write(lower.join("etc/motd"), "image").unwrap();
    std::os::unix::fs::symlink("/run/elsewhere", lower.join("etc/resolv.conf")).unwrap();
    let root = over(&[&lower], &scratch);

    run_in_new(&[Namespace::Mount, Namespace::Network], || {
        // The thread's root is the thread's own after this; pivot_root moves no other.
        root.enter().unwrap();
        assert_eq!(fs::read_to_string("/etc/motd").unwrap(), "image");
        assert!(!Path::new("/usr").exists(), "the old root is out of reach");
        fs::write("/etc/motd", "pod").unwrap();
        fs::write("/dev/null", "gone").unwrap();
        assert_eq!(fs::read("/dev/null").unwrap(), b"");
        assert!(
            fs::write("/sys/kernel/profiling", "1").is_err(),
            "/sys is read-only"
        );
        assert!(Path::new("/dev/pts/ptmx").exists() && Path::new("/dev/shm").is_dir());
        // In a network namespace of its own there is one link.
        let links = fs::read_dir("/sys/class/net").unwrap().flatten();
        assert!(links.map(|link| link.file_name()).all(|name| name == "lo"));
    })
    .unwrap();
    assert_eq!(fs::read_to_string(lower.join("etc/motd")).unwrap(), "image");
    assert_eq!(
        fs::read_dir(&scratch).unwrap().count(),
        0,
        "the changes went with the namespace"
    );
}

/// An image with nothing in it, and a scratch directory.
fn empty_image(world: &World) -> (PathBuf, PathBuf) {
    let (lower, scratch) = (world.dir().join("image"), world.dir().join("scratch"));
    for directory in [&lower, &scratch] {
        fs::create_dir(directory).unwrap();
    }
    (lower, scratch)
}

fn inside<T: Send>(root: &ContainerRoot, look: impl FnOnce() -> T + Send) -> T {
    run_in_new(&[Namespace::Mount], || {
        root.enter()
            .unwrap_or_else(|error| panic!("{error}: {}", error.source));
        look()
    })
    .unwrap()
}

#[test]
fn a_hundred_layers_with_whiteouts_and_opaque_directories() {
    let Some(world) = world_of_root() else { return };
    let (_, scratch) = empty_image(&world);
    // As long as the digests by which layers are stored: the kernel takes a page of options.
    let layers: Vec<PathBuf> = (0..100)
        .map(|number| world.dir().join(format!("{number:064}")))
        .collect();
    for (number, layer) in layers.iter().enumerate() {
        fs::create_dir_all(layer.join("directory")).unwrap();
        fs::write(layer.join("top"), number.to_string()).unwrap();
        fs::write(layer.join(format!("of-{number}")), "").unwrap();
        fs::write(layer.join(format!("directory/of-{number}")), "").unwrap();
    }
    let whiteout = layers[50].join("of-10");
    mknod(&whiteout, SFlag::S_IFCHR, Mode::empty(), makedev(0, 0)).unwrap();
    let opaque = layers[60].join("directory");
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&opaque, "trusted.overlay.opaque", b"y", flags).unwrap();

    inside(&over(&layers, &scratch), || {
        assert_eq!(fs::read_to_string("/top").unwrap(), "99");
        for number in 0..100 {
            let of = |path: &str| Path::new(&format!("{path}of-{number}")).exists();
            assert_eq!(of("/"), number != 10, "{number}");
            assert_eq!(of("/directory/"), number >= 60, "{number}");
        }
    });
}

fn volume(source: &Path, target: &str) -> Mount {
    Mount {
        source: source.to_owned(),
        target: target.into(),
        read_only: false,
        sub_path: None,
        of_machine: true,
    }
}

fn errno<T: std::fmt::Debug>(refused: io::Result<T>) -> i32 {
    refused.unwrap_err().raw_os_error().unwrap()
}

const EROFS: i32 = 30;
const EACCES: i32 = 13;
const EXDEV: i32 = 18;

#[test]
fn a_read_only_root_is_so_everywhere_but_in_volumes() {
    let Some(world) = world_of_root() else { return };
    let (lower, scratch) = empty_image(&world);
    let data = world.dir().join("data");
    fs::create_dir(&data).unwrap();
    fs::create_dir(lower.join("etc")).unwrap();
    symlink("/run", lower.join("elsewhere")).unwrap();
    let mut root = over(&[&lower], &scratch);
    root.read_only = true;
    root.own_runtime_directories = true;
    root.mounts = vec![
        volume(&data, "/data"),
        volume(&data, "/tmp/made/data"),
        volume(&data, "/elsewhere"),
    ];
    inside(&root, || {
        for path in ["/file", "/etc/file", "/tmp/file", "/tmp/made/file"] {
            assert_eq!(errno(fs::write(path, "")), EROFS, "{path}");
        }
        for directory in ["/data", "/tmp/made/data", "/run"] {
            fs::write(Path::new(directory).join("file"), directory).unwrap();
        }
        fs::write("/dev/shm/file", "").unwrap();
        fs::write("/dev/null", "").unwrap();
    });
    assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "/run");
}

#[test]
fn a_read_only_volume_is_so_with_all_that_is_mounted_below_it() {
    let Some(world) = world_of_root() else { return };
    let (lower, scratch) = empty_image(&world);
    let data = world.dir().join("data");
    fs::create_dir_all(data.join("below")).unwrap();
    mount::tmpfs_with_devices(&data.join("below"), "mode=0755").unwrap();
    let null = data.join("below/null");
    mknod(
        &null,
        SFlag::S_IFCHR,
        Mode::from_bits_truncate(0o666),
        makedev(1, 3),
    )
    .unwrap();
    let mut root = over(&[&lower], &scratch);
    root.mounts = vec![volume(&data, "/written"), volume(&data, "/read")];
    root.mounts[1].read_only = true;
    inside(&root, || {
        for path in ["/read/file", "/read/below/file"] {
            assert_eq!(errno(fs::write(path, "")), EROFS, "{path}");
        }
        fs::write("/written/below/file", "").unwrap();
        assert!(Path::new("/read/below/file").exists(), "they are one");
        // Device nodes of a volume open nothing.
        assert_eq!(errno(fs::File::open("/written/below/null")), EACCES);
    });
    root.privileged = true;
    fs::remove_dir_all(&scratch).unwrap();
    fs::create_dir(&scratch).unwrap();
    inside(&root, || {
        fs::File::open("/written/below/null").unwrap();
    });
    fs::write(data.join("file"), "").unwrap();
}

#[test]
fn places_of_volumes_are_made_and_never_outside_of_the_root() {
    let Some(world) = world_of_root() else { return };
    let (lower, scratch) = empty_image(&world);
    let data = world.dir().join("data");
    let outside = world.dir().join("outside");
    for directory in [&data, &outside] {
        fs::create_dir(directory).unwrap();
    }
    fs::write(data.join("hosts"), "::1 localhost").unwrap();
    let far = "/../../../../../../..";
    symlink(format!("{far}{}", outside.display()), lower.join("out")).unwrap();
    symlink("/run/resolver/stub", lower.join("resolv.conf")).unwrap();
    let hosts = data.join("hosts");
    let mut root = over(&[&lower], &scratch);
    root.mounts = vec![
        volume(&data, "/a/b/c"),
        volume(&hosts, "/etc/hosts"),
        volume(&hosts, "/resolv.conf"),
        volume(&data, "/out/d"),
        volume(&data, "/../up"),
        volume(&data, "/dev/shm"),
    ];
    let shown = format!("{}/d/hosts", outside.display());
    inside(&root, || {
        for path in [
            "/a/b/c/hosts",
            "/etc/hosts",
            "/run/resolver/stub",
            "/up/hosts",
            "/dev/shm/hosts",
            &shown,
        ] {
            assert_eq!(fs::read_to_string(path).unwrap(), "::1 localhost", "{path}");
        }
    });
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);

    for (target, source) in [
        ("/", &data),
        ("/a/..", &data),
        ("/etc/hosts/x", &data),
        ("/etc", &hosts),
    ] {
        let (lower, scratch) = (world.dir().join("second"), world.dir().join("scratch-2"));
        fs::create_dir_all(lower.join("etc")).unwrap();
        fs::write(lower.join("etc/hosts"), "").unwrap();
        fs::create_dir_all(&scratch).unwrap();
        let mut root = over(&[&lower], &scratch);
        root.mounts = vec![volume(source, target)];
        let refused = run_in_new(&[Namespace::Mount], || root.enter()).unwrap();
        assert_eq!(
            refused.unwrap_err().to_string(),
            format!("mount volume on {target}")
        );
    }
}

#[test]
fn sub_paths_are_made_and_stay_within_their_volume() {
    let Some(world) = world_of_root() else { return };
    let (lower, scratch) = empty_image(&world);
    let data = world.dir().join("data");
    fs::create_dir_all(data.join("inner")).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
    symlink("inner", data.join("link")).unwrap();
    symlink("/etc", data.join("absolute")).unwrap();
    symlink("../..", data.join("up")).unwrap();
    let with = |sub_path: &str| {
        let mut root = over(&[&lower], &scratch);
        root.mounts = vec![volume(&data, "/data")];
        root.mounts[0].sub_path = Some(sub_path.into());
        root
    };
    inside(&with("link/new"), || fs::write("/data/file", "").unwrap());
    assert!(data.join("inner/new/file").exists());
    assert_eq!(
        fs::metadata(data.join("inner/new")).unwrap().mode() & 0o777,
        0o777
    );
    for out in ["absolute", "up", "up/image", "..", "inner/../../image"] {
        let refused = run_in_new(&[Namespace::Mount], || with(out).enter()).unwrap();
        let refused = refused.unwrap_err();
        assert_eq!(refused.errno(), Some(EXDEV), "{out}: {refused}");
        assert!(refused.to_string().starts_with("open volume "), "{refused}");
    }
}

#[test]
fn a_root_whose_proc_leads_elsewhere_is_refused() {
    let Some(world) = world_of_root() else { return };
    for (number, name) in ["proc", "sys", "dev"].into_iter().enumerate() {
        let (lower, scratch) = (
            world.dir().join(format!("image{number}")),
            world.dir().join(format!("scratch{number}")),
        );
        for directory in [&lower, &lower.join("etc"), &scratch] {
            fs::create_dir(directory).unwrap();
        }
        // What is masked in /proc would be masked in /etc, and /proc stay open.
        std::os::unix::fs::symlink("/etc", lower.join(name)).unwrap();
        let root = over(&[&lower], &scratch);
        let refused = run_in_new(&[Namespace::Mount], || root.enter()).unwrap();
        assert_eq!(
            refused.unwrap_err().to_string(),
            format!("mount on /{name}")
        );
    }
}

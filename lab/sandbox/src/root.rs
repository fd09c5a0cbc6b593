//! A pod's root: copy-on-write over a directory, entered by `pivot_root`, with its own `/proc`,
//! `/sys`, and a minimal `/dev`. Unless it is privileged, `/proc` and `/sys` show nothing that
//! matters to the machine and can change nothing, and no device opens but those of `/dev`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev, mknod, umask};

use kernel::{Error, Result};

use crate::{masks, mount};

/// How a pod's root is made. Consumed in the pod's first process, in new mount and PID namespaces.
#[derive(Clone, Debug)]
pub struct PodRoot {
    /// Read, never written: the machine's root, or an unpacked image.
    pub lower: PathBuf,
    /// An empty directory. A tmpfs is mounted there in this mount namespace and takes the changes,
    /// since the upper layer of an overlay cannot lie on an overlay.
    pub scratch: PathBuf,
    /// Empty `/run` and `/tmp`: sockets and lock files of the lower's own system are not the pod's.
    pub own_runtime_directories: bool,
    /// `/proc` and `/sys` can be written, and device nodes work wherever they are made.
    pub privileged: bool,
}

/// Device nodes of a minimal `/dev` (OCI runtime specification, "Default Devices").
const DEVICES: [(&str, u64, u64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Links of a minimal `/dev` (OCI runtime specification, "Default symbolic links").
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
];

impl PodRoot {
    /// Mounts the root and enters it. Afterwards `/` is the pod's and the old root is out of reach.
    ///
    /// # Errors
    /// `lower` or `scratch` is not a directory; the lower's `/proc`, `/sys` or `/dev` is a symbolic
    /// link or a file; the kernel refused a mount.
    pub fn enter(&self) -> Result<()> {
        mount::tmpfs_with_devices(&self.scratch, "mode=0755")?;
        let root = self.scratch.join("root");
        mount::make_directory(&root)?;
        mount::Overlay::over(&self.lower, &self.scratch)?.mount(&root)?;
        mount::pivot_root(&root)?;
        // Only now: inside, a symbolic link of the lower leads nowhere else.
        self.mount_kernel_file_systems()?;
        if self.own_runtime_directories {
            mount_at("/run", |path| mount::tmpfs(path, "mode=0755"))?;
            mount_at("/tmp", |path| mount::tmpfs(path, "mode=1777"))?;
        }
        if self.privileged {
            return Ok(());
        }
        own_devices_only()?;
        masks::cover()
    }

    fn mount_kernel_file_systems(&self) -> Result<()> {
        mount_at("/proc", mount::proc)?;
        mount_at(
            "/sys",
            if self.privileged {
                mount::sysfs
            } else {
                mount::sysfs_read_only
            },
        )?;
        mount_at("/dev", |path| mount::tmpfs_with_devices(path, "mode=0755"))?;
        mount_at("/dev/pts", mount::devpts)?;
        mount_at("/dev/shm", |path| mount::tmpfs(path, "mode=1777"))?;
        make_devices()
    }
}

fn mount_at(path: &str, mount: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let path = Path::new(path);
    mount::make_directory(path)?;
    // Through a link the mount would be somewhere else, and what is done to its files too.
    let found = fs::symlink_metadata(path);
    if found.is_ok_and(|found| found.is_dir()) {
        return mount(path);
    }
    let cause = io::Error::new(io::ErrorKind::NotADirectory, "expected a directory");
    Err(Error::new("mount on", path.display(), cause))
}

/// Every device gets a mount of its own, in which it works; nothing else does.
fn own_devices_only() -> Result<()> {
    for (name, ..) in DEVICES {
        let path = Path::new("/dev").join(name);
        mount::bind(&path, &path)?;
    }
    ["/", "/dev"]
        .map(Path::new)
        .into_iter()
        .try_for_each(mount::forbid_devices)
}

fn make_devices() -> Result<()> {
    let everybody = Mode::from_bits_truncate(0o666);
    let saved = umask(Mode::empty());
    let made = DEVICES.iter().try_for_each(|&(name, major, minor)| {
        let path = Path::new("/dev").join(name);
        mknod(&path, SFlag::S_IFCHR, everybody, makedev(major, minor))
            .map_err(|errno| Error::new("create device", path.display(), errno.into()))
    });
    umask(saved);
    made?;
    LINKS.iter().try_for_each(|(target, path)| {
        symlink(target, path).map_err(|source| Error::new("create link", path, source))
    })
}

/// Puts `content` at `path` (mode 0644), in place of whatever is there: a symbolic link is replaced,
/// not followed.
///
/// # Errors
/// The directory cannot be made or written.
pub fn replace_file(path: &Path, content: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        mount::make_directory(directory)?;
    }
    let failed = |source| Error::new("write", path.display(), source);
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .map_err(failed)?;
    file.write_all(content.as_bytes()).map_err(failed)
}

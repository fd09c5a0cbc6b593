//! Mounts of the calling thread's mount namespace: `mount`, `umount`, `pivot_root`, and the table of
//! what is mounted. Needs CAP_SYS_ADMIN in the user namespace that owns the mount namespace.

mod detached;
mod overlay;
mod pieces;

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags};

pub use detached::Detached;
pub use overlay::Overlay;
pub use pieces::{
    has_to_be_in_pieces, overlay_in_pieces, replace_with_pieces, show_root_in_pieces,
};

use kernel::{Error, Result};

/// `mount -t tmpfs -o nosuid,nodev,OPTIONS tmpfs TARGET`
///
/// # Errors
/// The kernel refused; the target does not exist.
pub fn tmpfs(target: &Path, options: &str) -> Result<()> {
    mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some(options),
    )
}

/// A root for other mounts to stand in: a tmpfs where device nodes work, as a layer or a `/dev`.
///
/// # Errors
/// The kernel refused; the target does not exist.
pub fn tmpfs_with_devices(target: &Path, options: &str) -> Result<()> {
    mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        MsFlags::empty(),
        Some(options),
    )
}

/// `mount --bind SOURCE TARGET`; the source must belong to this mount namespace.
///
/// # Errors
/// The kernel refused; one of the two does not exist.
pub fn bind(source: &Path, target: &Path) -> Result<()> {
    mount(Some(source), target, None, MsFlags::MS_BIND, None)
}

/// `mount --rbind SOURCE TARGET`: with what is mounted below it.
///
/// # Errors
/// The kernel refused; one of the two does not exist.
pub fn bind_with_all_below(source: &Path, target: &Path) -> Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(source), target, None, flags, None)
}

/// `mount -t proc proc TARGET`: the processes of the caller's PID namespace.
///
/// # Errors
/// The kernel refused.
pub fn proc(target: &Path) -> Result<()> {
    mount(Some("proc"), target, Some("proc"), no_programs(), None)
}

/// `mount -t sysfs sysfs TARGET`: the links of the caller's network namespace.
///
/// # Errors
/// The kernel refused.
pub fn sysfs(target: &Path) -> Result<()> {
    mount(Some("sysfs"), target, Some("sysfs"), no_programs(), None)
}

/// `mount -t sysfs -o ro sysfs TARGET`: the links of the caller's network namespace.
///
/// # Errors
/// The kernel refused.
pub fn sysfs_read_only(target: &Path) -> Result<()> {
    mount(
        Some("sysfs"),
        target,
        Some("sysfs"),
        no_programs() | MsFlags::MS_RDONLY,
        None,
    )
}

/// `mount -t devpts -o newinstance devpts TARGET`: terminals of its own.
///
/// # Errors
/// The kernel refused.
pub fn devpts(target: &Path) -> Result<()> {
    mount(
        Some("devpts"),
        target,
        Some("devpts"),
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        Some("newinstance,ptmxmode=0666,mode=0620"),
    )
}

/// An empty directory over `target`, for good: `mount -t tmpfs -o ro tmpfs TARGET`.
///
/// # Errors
/// The kernel refused; the target is not a directory.
pub fn nothing(target: &Path) -> Result<()> {
    let flags = no_programs() | MsFlags::MS_RDONLY;
    mount(Some("tmpfs"), target, Some("tmpfs"), flags, None)
}

/// Makes a part of a kernel file system read-only: `mount --bind PATH PATH` and
/// `mount -o remount,bind,ro PATH`.
///
/// # Errors
/// The kernel refused; there is nothing at `path`.
pub fn read_only(path: &Path) -> Result<()> {
    bind(path, path)?;
    remount(path, no_programs() | MsFlags::MS_RDONLY)
}

/// Whether the mount that `path` is on, or its file system, is read only.
///
/// # Errors
/// There is nothing at `path`.
pub fn is_read_only(path: &Path) -> Result<bool> {
    let about = rustix::fs::statvfs(path)
        .map_err(|errno| Error::new("look at the mount of", path.display(), errno.into()))?;
    Ok(about.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// Device nodes in this mount open no device from now on, whoever makes them:
/// `mount -o remount,bind,nodev TARGET`. Mounts below it are not concerned.
///
/// # Errors
/// `target` is not a mount point.
pub fn forbid_devices(target: &Path) -> Result<()> {
    remount(target, MsFlags::MS_NODEV)
}

/// Changes the flags of one mount, not of its file system.
fn remount(target: &Path, flags: MsFlags) -> Result<()> {
    let change = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    mount(None::<&Path>, target, None, change | flags, None)
}

/// `mount --make-rprivate PATH`: no mount made here reaches another mount namespace.
///
/// # Errors
/// `path` is not a mount point.
pub fn make_private(path: &Path) -> Result<()> {
    mount(
        None::<&Path>,
        path,
        None,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None,
    )
}

/// `mount --make-shared PATH`: mounts made here reach the mount namespaces that are made of this one.
///
/// # Errors
/// `path` is not a mount point.
pub fn make_shared(path: &Path) -> Result<()> {
    mount(None::<&Path>, path, None, MsFlags::MS_SHARED, None)
}

/// `umount -l TARGET`: gone from the tree now, from the kernel when nobody uses it any more.
///
/// # Errors
/// `target` is not a mount point.
pub fn unmount_lazily(target: &Path) -> Result<()> {
    nix::mount::umount2(target, MntFlags::MNT_DETACH)
        .map_err(|errno| Error::new("unmount", target.display(), errno.into()))
}

/// Makes `new_root` (a mount point) the root and leaves nothing of the old one reachable.
///
/// Both ends of `pivot_root` are `.`: the old root is stacked on the new one and then unmounted, so
/// the new root needs no directory for it (pivot_root(2), "pivot_root(\".\", \".\")").
///
/// # Errors
/// `new_root` is not a mount point, or the kernel refused.
pub fn pivot_root(new_root: &Path) -> Result<()> {
    let failed = |errno: nix::Error| Error::new("pivot root to", new_root.display(), errno.into());
    nix::unistd::chdir(new_root).map_err(failed)?;
    nix::unistd::pivot_root(".", ".").map_err(failed)?;
    nix::mount::umount2(".", MntFlags::MNT_DETACH).map_err(failed)?;
    nix::unistd::chdir("/").map_err(failed)
}

/// `mkdir -p`
///
/// # Errors
/// Something that is not a directory is in the way, or the file system refused.
pub fn make_directory(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path)
        .map_err(|source| Error::new("create directory", path.display(), source))
}

fn no_programs() -> MsFlags {
    MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC
}

fn mount<S: nix::NixPath + ?Sized>(
    source: Option<&S>,
    target: &Path,
    file_system: Option<&str>,
    flags: MsFlags,
    options: Option<&str>,
) -> Result<()> {
    nix::mount::mount(source, target, file_system, flags, options)
        .map_err(|errno| Error::new("mount", target.display(), errno.into()))
}

/// One line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPoint {
    /// Where it is mounted, as this process sees it.
    pub path: PathBuf,
    /// The directory of the file system that is mounted there.
    pub root: PathBuf,
    /// `ext4`, `cgroup2`, `nsfs`, ...
    pub file_system: String,
    /// What was mounted: a device, or a name without meaning.
    pub source: String,
    /// Options of the file system: a cgroup hierarchy's controllers are among them.
    pub super_options: Vec<String>,
}

/// What is mounted in the calling thread's mount namespace, in the kernel's order.
///
/// # Errors
/// `/proc` is not mounted.
pub fn mount_points() -> Result<Vec<MountPoint>> {
    // The thread's own file: another thread may live in another mount namespace.
    let path = "/proc/thread-self/mountinfo";
    let text = std::fs::read_to_string(path).map_err(|source| Error::new("read", path, source))?;
    Ok(parse_mountinfo(&text))
}

/// Reads the text of a mountinfo file; a line in another form is not a mount and is left out.
pub fn parse_mountinfo(text: &str) -> Vec<MountPoint> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<MountPoint> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let mut file_system = file_system.split(' ');
    Some(MountPoint {
        root: unescaped(mount.next()?).into(),
        path: unescaped(mount.next()?).into(),
        file_system: file_system.next()?.to_owned(),
        source: unescaped(file_system.next()?),
        super_options: file_system.next()?.split(',').map(str::to_owned).collect(),
    })
}

/// Space, tab, newline and backslash stand there as `\` and three octal digits.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, octal(tail)) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn octal(text: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(text.get(..3)?).ok()?;
    u8::from_str_radix(digits, 8).ok()
}

//! An instance of procfs that is this process's alone.
//!
//! All network namespaces' entries `ipv4` below `/proc/sys/net`, and all `ipv6`, share one chain of the kernel's cache
//! of names, and whoever looks first below them in a namespace goes through those of all that anybody looked at: 0.8 to
//! 1.3 ms for each with 900 pods here. The cache is one of each instance of procfs, and making one takes 0.03 ms, as
//! its end does (Linux 5.8 and later; before, all of one PID namespace are the same). But the end waits for a grace
//! period of RCU, which is long on a busy node. So there is one only behind a look that was slow; what is looked at
//! there does not lengthen the chain that everybody goes through.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use nix::sys::statvfs::FsFlags;
use nix::time::{ClockId, clock_gettime};
use rustix::io::Result;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// What a look by `/proc` may take of the processor. Three others follow in an ADD.
const QUICK: Duration = Duration::from_micros(200);
static IS_SLOW: AtomicBool = AtomicBool::new(false);

/// A look by `/proc`.
pub(crate) fn usual<T>(look: impl FnOnce() -> T) -> T {
    let begun = processor_time();
    let found = look();
    if processor_time() > begun + QUICK {
        IS_SLOW.store(true, Relaxed);
    }
    found
}

/// Of this thread. Where that cannot be told every look is quick.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Its root, for openat(2). It is attached nowhere, and goes with the process.
///
/// `None` as long as looks by `/proc` are quick, and where `/proc` has to do: without CAP_SYS_ADMIN, before Linux 5.2, and where `/proc/sys` or the network's
/// part of it is read-only or something else is mounted there. Who did that wants it to be so for us as well.
pub(crate) fn own() -> Option<&'static File> {
    static OWN: OnceLock<Option<File>> = OnceLock::new();
    match IS_SLOW.load(Relaxed) {
        true => OWN.get_or_init(make).as_ref(),
        false => None,
    }
}

fn make() -> Option<File> {
    usual_is_writable().then(mount)?.ok().map(File::from)
}

fn usual_is_writable() -> bool {
    ["/proc/sys", "/proc/sys/net"].into_iter().all(|path| {
        statfs(path).is_ok_and(|found| {
            found.filesystem_type() == PROC_SUPER_MAGIC
                && !found.flags().contains(FsFlags::ST_RDONLY)
        })
    })
}

fn mount() -> Result<OwnedFd> {
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let protected = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, protected)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use caps::CapSet;
    use nix::fcntl::{OFlag, openat};
    use nix::mount::{MsFlags, mount};
    use nix::sys::stat::Mode;

    use super::{QUICK, make, own, processor_time, usual};
    use crate::testing::World;

    #[test]
    fn there_is_one_behind_a_look_that_took_the_processor_long() {
        let Some(_world) = World::new() else { return };
        usual(|| {
            let begun = processor_time();
            while processor_time() <= begun + QUICK {}
        });
        assert!(own().is_some());
    }

    #[test]
    fn it_shows_the_namespace_of_the_thread_and_is_attached_nowhere() {
        let Some(world) = World::new() else { return };
        let mounts = || fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let before = mounts();
        let own = make().expect("an instance of procfs");
        assert_eq!(mounts(), before);
        let inode = || {
            let path = "sys/net/ipv4/conf/lo/forwarding";
            let file = openat(&own, path, OFlag::O_RDONLY, Mode::empty()).unwrap();
            nix::sys::stat::fstat(file).unwrap().st_ino
        };
        let pod = world.pod("pod");
        assert_ne!(inode(), pod.step_in(inode).unwrap());
        assert_eq!(inode(), inode());
    }

    #[test]
    fn what_was_made_read_only_is_not_gone_around() {
        let Some(_world) = World::new() else { return };
        // The second covers what is mounted on the first.
        for place in ["/proc/sys/net", "/proc/sys"] {
            let over = |source: &str, kind, flags| {
                mount(Some(source), place, kind, flags, None::<&str>).unwrap();
            };
            over(place, None::<&str>, MsFlags::MS_BIND);
            assert!(make().is_some(), "{place}");
            let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
            over(place, None, read_only);
            assert!(make().is_none(), "{place}");
            over("none", Some("tmpfs"), MsFlags::empty());
            assert!(make().is_none(), "{place}");
        }
    }

    #[test]
    fn without_the_right_to_mount_there_is_none() {
        let Some(_world) = World::new() else { return };
        caps::clear(None, CapSet::Effective).unwrap();
        assert!(make().is_none());
    }
}

//! A world of its own for each test: network and mount namespaces that vanish with its thread.
//!
//! Needs root, or `unshare -Urnm` around the test program. Nothing on the machine is touched:
//! [`World::new`] moves the *calling thread* (and what it starts from then on: threads, programs)
//! into new namespaces, where `/run`, the state in `/var/lib` and `/etc/cni` are empty and in memory.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Error, Link, LinkChange, NetNs, Netlink, NewKind, NewLink, Result};

/// State directories that get a file system in memory, by their parents.
const STATE: [(&str, &[&str]); 2] = [("/var/lib", &["cni", "podwire-lab"]), ("/etc", &["cni"])];

/// The calling thread's private world: the host's side of a test.
pub struct World {
    directory: PathBuf,
    pods: Mutex<Vec<PathBuf>>,
}

impl World {
    /// Moves the calling thread into a new world, in which `lo` is up.
    ///
    /// Returns `None`, and says so on standard error, when privileges are missing; with
    /// `REQUIRE_NETNS=1` in the environment that is a failure.
    ///
    /// # Panics
    /// When the world cannot be made for another reason.
    pub fn new() -> Option<Self> {
        match unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS) {
            Ok(()) => {}
            Err(Errno::EPERM) => return Self::skipped(),
            Err(errno) => panic!("cannot unshare network and mount namespaces: {errno}"),
        }
        let directory = prepare_mounts().unwrap_or_else(|(step, error)| {
            panic!("cannot make a world for the test: {step}: {error}")
        });
        if let Err(error) = loopback_up() {
            panic!(
                "cannot make a world for the test: {error}: {}",
                error.source
            );
        }
        Some(Self {
            directory,
            pods: Mutex::default(),
        })
    }

    fn skipped() -> Option<Self> {
        skipped("needs root (CAP_SYS_ADMIN): run as root or under `unshare -Urnm`");
        None
    }

    /// A new pod's network namespace, bound to `/run/netns/NAME`: `ip netns add NAME`.
    ///
    /// # Panics
    /// When it cannot be made, for instance because the name is taken.
    pub fn pod(&self, name: &str) -> NetNs {
        let path = Path::new("/run/netns").join(name);
        let pod = NetNs::create(&path)
            .unwrap_or_else(|error| panic!("cannot make pod: {error}: {}", error.source));
        self.pods
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .push(path);
        pod
    }

    /// An empty directory in the world's own memory.
    pub fn dir(&self) -> &Path {
        &self.directory
    }
}

/// Whether a program is there that `make test` installs: a path, or a name that is looked for in `PATH`. A test
/// that it is missing for is skipped, and says so on standard error.
///
/// # Panics
/// When it is missing, with `REQUIRE_NETNS=1` in the environment.
pub fn is_installed(program: impl AsRef<Path>, package: &str) -> bool {
    let program = program.as_ref();
    // A path stays as it is where it is joined to another, if it is absolute.
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&path).any(|directory| directory.join(program).exists());
    if !is_there {
        skipped(&format!("needs {} ({package})", program.display()));
    }
    is_there
}

/// Says on standard error that the test does not go on, or does not all that it could, because it `needs`
/// a right or a program.
///
/// # Panics
/// With `REQUIRE_NETNS=1` in the environment.
pub fn skipped(needs: &str) {
    if env::var_os("REQUIRE_NETNS").is_some_and(|value| value == "1") {
        panic!("REQUIRE_NETNS=1, but the test {needs}");
    }
    eprintln!("skipped: {needs}");
}

/// A link as it was seen before it went: what is between two requests of whoever removes it.
///
/// # Panics
/// When it cannot be made.
pub fn link_that_went(netlink: &Netlink) -> Link {
    let name = "went0".parse().unwrap_or_else(|error| panic!("{error}"));
    let bridge = NewKind::Bridge {
        vlan_filtering: false,
    };
    let made = netlink.add_link(&NewLink::new(&name, bridge));
    let link = made.unwrap_or_else(|error| panic!("{error}: {}", error.source));
    if let Err(error) = netlink.delete_link(link.index) {
        panic!("{error}: {}", error.source);
    }
    link
}

/// The rest goes with the thread; pods would stay as long as another thread holds the mounts.
impl Drop for World {
    fn drop(&mut self) {
        let pods = self
            .pods
            .get_mut()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        for pod in pods.drain(..) {
            if let Err(error) = NetNs::remove(&pod) {
                eprintln!("{error}: {}", error.source);
            }
        }
    }
}

/// A failed step and why.
type Mounting<T> = std::result::Result<T, (String, io::Error)>;

fn prepare_mounts() -> Mounting<PathBuf> {
    mount_on("/", None, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None)?;
    mount_on("/run", Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))?;
    for (parent, names) in STATE {
        private_state(Path::new(parent), names)?;
    }
    own_sysfs()?;
    let directory = PathBuf::from("/run/world");
    make_directory(&directory)?;
    Ok(directory)
}

/// Memory over `parent/name`, for each name. Where one is missing on this machine it must stay missing, so its
/// parent gets an overlay whose changes are in memory.
fn private_state(parent: &Path, names: &[&str]) -> Mounting<()> {
    let paths: Vec<PathBuf> = names.iter().map(|name| parent.join(name)).collect();
    if !paths.iter().all(|path| path.is_dir()) {
        let scratch = Path::new("/run/.world").join(parent.strip_prefix("/").unwrap_or(parent));
        let (upper, work) = (scratch.join("upper"), scratch.join("work"));
        make_directory(&upper)?;
        make_directory(&work)?;
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            parent.display(),
            upper.display(),
            work.display()
        );
        mount_on(parent, Some("overlay"), MsFlags::empty(), Some(&options))?;
    }
    for path in &paths {
        make_directory(path)?;
        mount_on(path, Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))?;
    }
    Ok(())
}

/// `/sys/class/net` shows the namespace in which it was mounted, so it is mounted again; the
/// cgroups below it are kept.
fn own_sysfs() -> Mounting<()> {
    let cgroups = Path::new("/run/.world/cgroup");
    make_directory(cgroups)?;
    let bind = |from: &Path, to: &Path| {
        mount(
            Some(from),
            to,
            None::<&str>,
            MsFlags::MS_BIND | MsFlags::MS_REC,
            None::<&str>,
        )
        .map_err(|errno| {
            (
                format!("bind {} to {}", from.display(), to.display()),
                errno.into(),
            )
        })
    };
    bind(Path::new("/sys/fs/cgroup"), cgroups)?;
    mount_on("/sys", Some("sysfs"), MsFlags::empty(), None)?;
    bind(cgroups, Path::new("/sys/fs/cgroup"))
}

fn mount_on(
    target: impl AsRef<Path>,
    kind: Option<&str>,
    flags: MsFlags,
    options: Option<&str>,
) -> Mounting<()> {
    let target = target.as_ref();
    mount(kind, target, kind, flags, options).map_err(|errno| {
        let kind = kind.unwrap_or("private");
        (
            format!("mount {kind} on {}", target.display()),
            errno.into(),
        )
    })
}

fn make_directory(path: &Path) -> Mounting<()> {
    fs::create_dir_all(path).map_err(|error| (format!("make {}", path.display()), error))
}

fn loopback_up() -> Result<()> {
    let netlink = Netlink::open()?;
    let up = LinkChange {
        up: Some(true),
        ..LinkChange::default()
    };
    netlink.set_link(crate::LinkIndex(1), &up)
}

/// Steps done by this process.
static STEPS: AtomicU32 = AtomicU32::new(0);

/// Fails, panics or dies after the step that the environment names, see [`Undo::push`](crate::Undo::push).
pub(crate) fn after_step(what: &'static str) -> Result<()> {
    let step = STEPS.fetch_add(1, Ordering::Relaxed) + 1;
    if number("PODWIRE_ABORT_AFTER_STEP") == Some(step) {
        // Not a panic or an abort: nothing may run any more.
        let _ = kill(Pid::this(), Signal::SIGKILL);
    }
    if number("PODWIRE_PANIC_AFTER_STEP") == Some(step) {
        panic!("PODWIRE_PANIC_AFTER_STEP asks for it after step {step} ({what})");
    }
    if number("PODWIRE_FAIL_AFTER_STEP") == Some(step) {
        let asked = io::Error::other("PODWIRE_FAIL_AFTER_STEP asks for it");
        return Err(Error::new(
            "fail after step",
            format_args!("{step} ({what})"),
            asked,
        ));
    }
    Ok(())
}

/// # Panics
/// When the variable is not a number: a test that fails nothing would prove nothing.
fn number(variable: &str) -> Option<u32> {
    let value = env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={value:?} is not a number")),
    )
}

//! Network namespaces: step in, open the socket, step out; or run a closure on a thread of its own.
//!
//! Opening needs the right to open the file; entering needs CAP_SYS_ADMIN in the caller's user
//! namespace and in the one that owns the namespace; making one needs CAP_SYS_ADMIN.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{FsType, NSFS_MAGIC, PROC_SUPER_MAGIC, statfs};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

mod cookie;
mod kind;
mod socket;

/// The calling thread's own namespace.
const CURRENT: &str = "/proc/thread-self/ns/net";

/// How often a thread tries to come back before it counts as lost.
const RETURN_ATTEMPTS: u32 = 3;

/// Why a path does not lead to a network namespace. The texts of [`Missing`](Self::Missing),
/// [`NotANamespace`](Self::NotANamespace) and [`Statfs`](Self::Statfs) are the reference plugins'.
#[derive(Debug, thiserror::Error)]
pub enum NetNsError {
    /// Nothing is there, or the path is empty.
    #[error("failed to Statfs {path:?}: no such file or directory")]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// Something is there that is no namespace: typically the file that a lost mount leaves.
    #[error("unknown FS magic on {path:?}: {magic:x}")]
    NotANamespace {
        /// The path as given.
        path: PathBuf,
        /// The file system's type, as statfs(2) lists them.
        magic: i64,
    },
    /// A namespace of another kind, or another entry of procfs.
    #[error("{} is {what}, not a network namespace", path.display())]
    OtherKind {
        /// The path as given.
        path: PathBuf,
        /// What it is: `an ipc namespace`.
        what: &'static str,
    },
    /// The file system could not be asked.
    #[error("failed to Statfs {path:?}")]
    Statfs {
        /// The path as given.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The namespace is there and cannot be opened.
    #[error("open {path:?}")]
    Io {
        /// The path as given.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What tells living namespaces apart: device and inode of their file. A new namespace may get the
/// number of one that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NetNsId {
    /// The file system of namespaces.
    pub device: u64,
    /// The namespace's number, which `lsns` and `readlink /proc/PID/ns/net` show.
    pub inode: u64,
}

impl NetNsId {
    /// The calling thread's.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn current() -> Result<Self> {
        Self::at(CURRENT)
    }

    /// Of the file at `path`, which is not looked at any closer: one request instead of those that
    /// [`NetNs::open`] makes.
    ///
    /// # Errors
    /// There is no file.
    pub fn at(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = fs::metadata(path)
            .map_err(|source| Error::new("identify network namespace", path.display(), source))?;
        Ok(Self {
            device: file.dev(),
            inode: file.ino(),
        })
    }
}

/// An open network namespace. It lives at least as long as this value.
#[derive(Debug)]
pub struct NetNs {
    file: OwnedFd,
    path: PathBuf,
}

impl NetNs {
    /// Opens the namespace that `path` names, such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// The path is missing or empty, leads to something else, or cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> std::result::Result<Self, NetNsError> {
        let path = path.as_ref();
        check_file_system(path)?;
        let file = open_file(path)?;
        kind::check(&file, path)?;
        Ok(Self {
            file: file.into(),
            path: path.to_owned(),
        })
    }

    /// The calling thread's namespace.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn current() -> std::result::Result<Self, NetNsError> {
        Self::open(CURRENT)
    }

    /// Makes a namespace and binds it to `path`, whose directory is made when missing: `ip netns
    /// add NAME` for `/run/netns/NAME`. As there, `lo` is down.
    ///
    /// # Errors
    /// [`Error::is_exists`] when there is a file of that name; nothing is left behind then.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Self::bind(path.as_ref(), bind_new)
    }

    /// Binds a namespace that there is, such as `/proc/PID/ns/net`, to `path`: `ip netns attach NAME PID`.
    ///
    /// # Errors
    /// As [`create`](Self::create); there is nothing at `namespace`.
    pub fn attach(path: impl AsRef<Path>, namespace: &Path) -> Result<Self> {
        Self::bind(path.as_ref(), |path| Ok(bind_file(namespace, path)?))
    }

    fn bind(path: &Path, bind: impl FnOnce(&Path) -> io::Result<()>) -> Result<Self> {
        let failed = |source| Error::new("create network namespace", path.display(), source);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o444)
            .open(path)
            .map_err(failed)?;
        bind(path)
            .and_then(|()| Self::open(path).map_err(io::Error::other))
            .map_err(|source| {
                // The first failure is the one to report; a second would say nothing new.
                let _ = Self::remove(path);
                failed(source)
            })
    }

    /// Unmounts and removes a bound namespace: `ip netns delete`. It vanishes when nothing else
    /// holds it. What is missing already is fine.
    ///
    /// # Errors
    /// The file is held by something else, or may not be removed.
    pub fn remove(path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let failed = |source| Error::new("remove network namespace", path.display(), source);
        match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // EINVAL: not a mount point, only the file is left.
            Ok(()) | Err(Errno::EINVAL) => {}
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(failed(errno.into())),
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// Which namespace it is.
    ///
    /// # Errors
    /// The open file cannot be asked, which does not happen.
    pub fn id(&self) -> Result<NetNsId> {
        let stat = nix::sys::stat::fstat(&self.file).map_err(|errno| {
            Error::new(
                "identify network namespace",
                self.path.display(),
                errno.into(),
            )
        })?;
        Ok(NetNsId {
            device: stat.st_dev,
            inode: stat.st_ino,
        })
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this is the calling thread's namespace.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn is_current(&self) -> Result<bool> {
        Ok(NetNsId::current()? == self.id()?)
    }

    /// Runs `f` inside, on a fresh thread that never switches back: for work that takes long,
    /// starts programs or may panic half-way.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    ///
    /// # Panics
    /// With `f`'s panic.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T> {
        let inside = thread::scope(|scope| scope.spawn(|| self.enter().map(|()| f())).join());
        match inside {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Runs `f` inside on the calling thread and steps back: for opening sockets and writing
    /// sysctls, a tenth of the cost of [`run`](Self::run). A socket belongs for ever to the
    /// namespace in which it was opened.
    ///
    /// `f` is not async, so that no other task can run while the thread is elsewhere. Where the
    /// thread may enter but could not return (the own namespace is another user namespace's),
    /// `f` runs on a thread that need not.
    ///
    /// # Errors
    /// The namespace cannot be entered. The thread could not return, although it was allowed to:
    /// from then on this thread opens no socket and no namespace, see [`require_home`].
    pub fn step_in<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T> {
        require_home()?;
        let home = File::open(CURRENT)
            .map_err(|source| Error::new("open network namespace", CURRENT, source))?;
        if !may_return(&home) {
            return self.run(f);
        }
        self.enter()?;
        let back = StepBack { home: home.into() };
        let outcome = f();
        drop(back);
        require_home().map(|()| outcome)
    }

    fn enter(&self) -> Result<()> {
        setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|errno| {
            Error::new("enter network namespace", self.path.display(), errno.into())
        })
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

thread_local! {
    /// Whether this thread was left in another namespace.
    static IS_LOST: Cell<bool> = const { Cell::new(false) };
    /// Whether this thread may enter the namespace it is in, once it was asked.
    static MAY_RETURN: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Whether the thread could come back to `home`, where it is: the kernel asks the same on the way
/// back. Asked once, because the answer costs as much as the way.
fn may_return(home: &File) -> bool {
    MAY_RETURN.get().unwrap_or_else(|| {
        let may = setns(home, CloneFlags::CLONE_NEWNET).is_ok();
        MAY_RETURN.set(Some(may));
        may
    })
}

/// That the calling thread is in the process's network namespace, as what opens a socket there
/// must know: a thread that could not return from [`NetNs::step_in`] would work on a container.
///
/// # Errors
/// It could not return.
pub(crate) fn require_home() -> Result<()> {
    match IS_LOST.get() {
        false => Ok(()),
        true => Err(Error::new(
            "return to network namespace",
            "of the host",
            io::ErrorKind::PermissionDenied.into(),
        )),
    }
}

/// Steps back when dropped, so that a panic inside cannot leave the thread in the wrong namespace.
struct StepBack {
    home: OwnedFd,
}

impl Drop for StepBack {
    fn drop(&mut self) {
        // Allowed as it is, it can only be short of memory, and nothing could be undone from here.
        for _ in 0..RETURN_ATTEMPTS {
            match setns(&self.home, CloneFlags::CLONE_NEWNET) {
                Ok(()) => return,
                Err(errno) => tracing::error!(%errno, "cannot return to the own network namespace"),
            }
        }
        IS_LOST.set(true);
    }
}

fn open_file(path: &Path) -> std::result::Result<File, NetNsError> {
    let path = path.to_owned();
    File::open(&path).map_err(|source| match source.kind() {
        // Removed since it was looked at.
        io::ErrorKind::NotFound => NetNsError::Missing { path },
        _ => NetNsError::Io { path, source },
    })
}

/// Refuses what can be no namespace before it is opened, which may do something.
fn check_file_system(path: &Path) -> std::result::Result<(), NetNsError> {
    match statfs(path).map(|stat| stat.filesystem_type()) {
        Ok(NSFS_MAGIC | PROC_SUPER_MAGIC) => Ok(()),
        #[allow(
            clippy::unnecessary_cast,
            reason = "the kernel's type differs by architecture"
        )]
        Ok(FsType(magic)) => Err(NetNsError::NotANamespace {
            path: path.to_owned(),
            magic: magic as i64,
        }),
        Err(Errno::ENOENT) => Err(NetNsError::Missing {
            path: path.to_owned(),
        }),
        Err(errno) => Err(NetNsError::Statfs {
            path: path.to_owned(),
            source: errno.into(),
        }),
    }
}

/// Runs `f` in a new namespace that nobody else knows, by a thread that lives in it for that long: to try what the
/// kernel has. Needs CAP_SYS_ADMIN.
///
/// # Errors
/// No namespace is to be had.
pub fn in_new_namespace<T: Send>(f: impl FnOnce() -> T + Send) -> Result<T> {
    let ran = thread::scope(|scope| {
        let inside = || unshare(CloneFlags::CLONE_NEWNET).map(|()| f());
        scope.spawn(inside).join()
    });
    match ran {
        Ok(outcome) => {
            outcome.map_err(|errno| Error::new("make", "network namespace", io::Error::from(errno)))
        }
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Binds a new namespace to the file `path`, by a thread that lives in it for that long.
fn bind_new(path: &Path) -> io::Result<()> {
    let bound = thread::scope(|scope| {
        scope
            .spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET)?;
                bind_file(Path::new(CURRENT), path)
            })
            .join()
    });
    match bound {
        Ok(outcome) => outcome.map_err(io::Error::from),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn bind_file(namespace: &Path, path: &Path) -> nix::Result<()> {
    mount(
        Some(namespace),
        path,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
}

//! The namespaces of a process: make new ones, or run something in those of another.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;

use super::{Identity, Process};
use kernel::{Error, Result};

/// A kind of namespace (namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// Links, addresses, routes, rules, sockets.
    Network,
    /// What is mounted.
    Mount,
    /// System V and POSIX message queues, semaphores, shared memory.
    Ipc,
    /// The host name.
    Uts,
    /// Process numbers. Entered by the children only, never by the caller.
    Pid,
    /// The root of the control groups that a process sees.
    Cgroup,
    /// Users, groups and capabilities. A process with one thread alone makes or enters one (user_namespaces(7)).
    User,
    /// The clocks since the machine's start. Made for the children; a process with one thread alone enters one
    /// (time_namespaces(7)).
    Time,
}

impl Namespace {
    /// Its name in `/proc/PID/ns`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "net",
            Self::Mount => "mnt",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Pid => "pid",
            Self::Cgroup => "cgroup",
            Self::User => "user",
            Self::Time => "time",
        }
    }

    /// Whether this kernel has such namespaces.
    pub fn is_known(self) -> bool {
        Path::new("/proc/self/ns").join(self.as_str()).exists()
    }

    fn flag(self) -> CloneFlags {
        match self {
            Self::Network => CloneFlags::CLONE_NEWNET,
            Self::Mount => CloneFlags::CLONE_NEWNS,
            Self::Ipc => CloneFlags::CLONE_NEWIPC,
            Self::Uts => CloneFlags::CLONE_NEWUTS,
            Self::Pid => CloneFlags::CLONE_NEWPID,
            Self::Cgroup => CloneFlags::CLONE_NEWCGROUP,
            Self::User => CloneFlags::CLONE_NEWUSER,
            Self::Time => CloneFlags::from_bits_retain(nix::libc::CLONE_NEWTIME),
        }
    }
}

/// Namespaces, held open: they outlive the process they were taken from.
#[derive(Debug)]
pub struct Namespaces(Vec<(Namespace, PathBuf, File)>);

impl Namespaces {
    /// These namespaces of a process.
    ///
    /// # Errors
    /// The process has ended (ESRCH).
    pub fn of(process: &Process, kinds: &[Namespace]) -> Result<Self> {
        let opened = kinds
            .iter()
            .map(|&kind| {
                open(
                    kind,
                    format!("/proc/{}/ns/{}", process.pid, kind.as_str()).into(),
                )
            })
            .collect::<Result<_>>()?;
        // Opened first and checked then: a process that lives now was this one all along.
        if process.is_alive() {
            return Ok(Self(opened));
        }
        let cause = std::io::Error::from_raw_os_error(nix::libc::ESRCH);
        Err(Error::new("open namespaces of process", process.pid, cause))
    }

    /// The one namespace that is bound to a file, seen from this thread.
    ///
    /// # Errors
    /// The file does not exist.
    pub fn at(kind: Namespace, path: impl Into<PathBuf>) -> Result<Self> {
        Self(Vec::new()).with(kind, path)
    }

    /// Adds a namespace that is bound to a file (`/run/netns/NAME`), seen from this thread.
    ///
    /// # Errors
    /// The file does not exist.
    pub fn with(mut self, kind: Namespace, path: impl Into<PathBuf>) -> Result<Self> {
        self.0.retain(|(other, ..)| *other != kind);
        self.0.push(open(kind, path.into())?);
        Ok(self)
    }

    /// Runs `f` inside, on a fresh thread that never switches back. With [`Namespace::Pid`] among
    /// them, processes that `f` starts live there, and `f` can start no thread (clone(2), EINVAL).
    ///
    /// # Errors
    /// A namespace could not be entered; `f` was not run then.
    ///
    /// # Panics
    /// When `f` does.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| self.enter().map(|()| f())).join();
            inside.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread into them, in their order, for good. With [`Namespace::User`] among them, it becomes
    /// that one's root, and its process has to have no other thread, as with [`Namespace::Time`]. The process is opaque
    /// until its next exec then: before it is that root it is a user of the machine, to whom the root could attach.
    ///
    /// # Errors
    /// A namespace could not be entered: the thread is in those before it.
    pub fn join(&self) -> Result<()> {
        if !self.0.iter().any(|(kind, ..)| *kind == Namespace::User) {
            return self.enter();
        }
        nix::sys::prctl::set_dumpable(false)
            .map_err(|errno| Error::new("hide", "the calling process", errno.into()))?;
        self.enter()?;
        Identity::default().take()
    }

    /// A path that leads to one of them for as long as this value lives, also in other processes.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn lasting_path(&self, kind: Namespace) -> Result<Option<PathBuf>> {
        let found = self.0.iter().find(|(other, ..)| *other == kind);
        let pid = Process::current()?.pid;
        Ok(found.map(|(.., file)| format!("/proc/{pid}/fd/{}", file.as_raw_fd()).into()))
    }

    fn enter(&self) -> Result<()> {
        // A thread that shares root and working directory with others may not change its mount
        // namespace (setns(2), EINVAL).
        unshare_flags(CloneFlags::CLONE_FS, "file system attributes")?;
        for (kind, path, file) in &self.0 {
            nix::sched::setns(file, kind.flag())
                .map_err(|errno| Error::new("enter namespace", path.display(), errno.into()))?;
        }
        Ok(())
    }
}

/// Runs `f` on a fresh thread in new namespaces of these kinds; what it starts stays there. With
/// [`Namespace::Pid`] among them, the first process that `f` starts is the namespace's PID 1.
///
/// # Errors
/// As [`unshare`]; `f` was not run then.
///
/// # Panics
/// When `f` does.
pub fn run_in_new<T: Send>(kinds: &[Namespace], f: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| unshare(kinds).map(|()| f())).join();
        inside.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn open(kind: Namespace, path: PathBuf) -> Result<(Namespace, PathBuf, File)> {
    match File::open(&path) {
        Ok(file) => Ok((kind, path, file)),
        Err(source) => Err(Error::new("open namespace", path.display(), source)),
    }
}

/// Gives the calling thread new namespaces of these kinds: `unshare`. Mounts made in a new mount
/// namespace stay there.
///
/// # Errors
/// The kernel refused (EPERM without CAP_SYS_ADMIN; ENOSPC at the limit in `/proc/sys/user`).
pub fn unshare(kinds: &[Namespace]) -> Result<()> {
    let flags = kinds
        .iter()
        .fold(CloneFlags::empty(), |flags, kind| flags | kind.flag());
    let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    unshare_flags(flags, &format!("namespaces {}", names.join(", ")))?;
    if kinds.contains(&Namespace::Mount) {
        crate::mount::make_private(Path::new("/"))?;
    }
    Ok(())
}

fn unshare_flags(flags: CloneFlags, what: &str) -> Result<()> {
    nix::sched::unshare(flags).map_err(|errno| Error::new("unshare", what, errno.into()))
}

/// Sets the host name of the calling thread's UTS namespace: `hostname NAME`.
///
/// # Errors
/// Longer than 64 bytes (EINVAL), or not permitted.
pub fn set_hostname(name: &str) -> Result<()> {
    nix::unistd::sethostname(name).map_err(|errno| Error::new("set host name", name, errno.into()))
}

#[cfg(test)]
mod tests {
    use nix::sys::prctl;

    use super::*;

    #[test]
    fn a_process_is_opaque_before_it_enters_a_user_namespace() {
        let own = Namespaces::of(&Process::current().unwrap(), &[Namespace::User]).unwrap();
        // Where a process is it cannot enter (setns(2), EINVAL): this is how it is at that moment.
        let refused = own.join();
        let is_transparent = prctl::get_dumpable().unwrap();
        prctl::set_dumpable(true).unwrap();
        assert!(refused.is_err() && !is_transparent, "{refused:?}");
    }
}

//! Processes: the few steps that have no safe interface elsewhere.
//!
//! What a child does between fork and exec, a signal to a process that a descriptor holds, and a
//! signal as a value. Each is one system call; what to make of them is the caller's.

use std::env;
use std::fs::{self, File};
use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::libc;
use nix::sys::prctl::{set_dumpable, set_pdeathsig};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, getpid, getppid, gettid, read, setpgid, setsid};

use crate::{Error, Result};

/// The process that `command` starts writes `bytes` to each of `files`, in one write(2) each,
/// before its program runs. They are closed by exec.
#[allow(unsafe_code, reason = "pre_exec runs code in a forked child")]
pub fn write_at_start(command: &mut Command, files: Vec<File>, bytes: &'static [u8]) {
    // SAFETY: the closure runs between fork and exec and only calls write(2), which is
    // async-signal-safe; it allocates nothing and takes no lock. The files are open already.
    unsafe {
        command.pre_exec(move || files.iter().try_for_each(|mut file| file.write_all(bytes)));
    }
}

/// The process that `command` starts blocks no signals, whatever its parent blocks.
#[allow(unsafe_code, reason = "pre_exec runs code in a forked child")]
pub fn unblock_signals_at_start(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec and only calls sigprocmask, which is
    // async-signal-safe; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| Ok(SigSet::empty().thread_set_mask()?));
    }
}

/// The process that `command` starts leads a session and a process group of its own, which have no terminal.
#[allow(unsafe_code, reason = "pre_exec runs code in a forked child")]
pub fn leave_session_at_start(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec and only calls setsid(2), which is async-signal-safe; it allocates
    // nothing and takes no lock.
    unsafe {
        command.pre_exec(|| {
            setsid()?;
            Ok(())
        });
    }
}

/// The process that `command` starts leads a session of its own, and its standard input is the session's terminal.
/// Starting fails when that is no terminal, or another session's.
#[allow(unsafe_code, reason = "pre_exec runs code in a forked child")]
pub fn lead_session_at_start(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec and only calls setsid(2) and ioctl(2), which are
    // async-signal-safe; it allocates nothing and takes no lock. TIOCSCTTY takes a number.
    unsafe {
        command.pre_exec(|| {
            setsid()?;
            Errno::result(libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0)).map(drop)?;
            Ok(())
        });
    }
}

/// The process that `command` starts is killed when this one ends, however that happens. Neither its own
/// children are, nor a program that gets rights by its file (set-user-ID, capabilities; prctl(2)).
///
/// The kernel does so at the end of the thread that starts the process: it has to be the one that calls this, or
/// another one that lasts as long as this process.
///
/// # Errors
/// The calling thread is not the process's first, and may end before it. Starting fails when this process has
/// ended meanwhile (ESRCH).
#[allow(unsafe_code, reason = "pre_exec runs code in a forked child")]
pub fn end_with_this_process(command: &mut Command) -> io::Result<()> {
    /// A parent in another PID namespace (getppid(2)); the first process of the child's own takes its place.
    const OUTSIDE: Pid = Pid::from_raw(0);
    let this = getpid();
    if gettid() != this {
        return Err(io::Error::other(
            "a thread that may end before its process starts one that ends with it",
        ));
    }
    // SAFETY: the closure runs between fork and exec and only calls prctl(2) and getppid(2), which are
    // async-signal-safe; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(Signal::SIGKILL)?;
            // Who ended before that sends no signal any more.
            match getppid() {
                parent if parent == this || parent == OUTSIDE => Ok(()),
                _ => Err(Errno::ESRCH.into()),
            }
        });
    }
    Ok(())
}

/// Starts `command` as the child of a process that has ended, which was a child of this one: it is reaped by who
/// inherits orphans in its PID namespace (pid_namespaces(7)), whoever starts it and however that one ends. It leads a
/// process group of its own. What is returned is its parent, with the streams of both, and the process as
/// `/proc/self/stat` has it.
///
/// # Errors
/// It could not be started; `/proc` does not show it.
#[allow(unsafe_code, reason = "pre_exec runs code in a forked child")]
pub fn start_orphan(mut command: Command) -> io::Result<(Child, String)> {
    let (mut from, to) = io::pipe()?;
    // SAFETY: the closure runs between fork and exec and only calls fork(2), _exit(2), setpgid(2), open(2), read(2) and
    // write(2); it allocates nothing and takes no lock. Of the two that come out of fork(2) one ends at once, and the
    // other has its memory, its descriptors and one thread, as it had itself.
    unsafe {
        command.pre_exec(move || {
            if Errno::result(libc::fork())? != 0 {
                libc::_exit(0);
            }
            setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
            tell_stat(&to)
        });
    }
    let mut parent = command.spawn()?;
    // Waiting would close it.
    let stdin = parent.stdin.take();
    parent.wait()?;
    parent.stdin = stdin;
    // It has the other end of the pipe.
    drop(command);
    let mut stat = String::new();
    from.read_to_string(&mut stat)?;
    Ok((parent, stat))
}

/// Writes `/proc/self/stat`, in a child between fork and exec.
fn tell_stat(mut to: &PipeWriter) -> io::Result<()> {
    let file = open(c"/proc/self/stat", OFlag::O_RDONLY, Mode::empty())?;
    let mut stat = [0; 1024];
    let length = read(&file, &mut stat)?;
    to.write_all(&stat[..length])
}

/// Ends this process by a signal, without a core: who waits for it sees what ended one that it waited for. Returns
/// where the signal ends no process, and in the first process of a PID namespace.
#[allow(
    unsafe_code,
    reason = "the default action of any signal, and its number"
)]
pub fn end_by(signal: i32) {
    // What is in this process's memory says nothing of the other one's end.
    let _ = set_dumpable(false);
    // SAFETY: signal(2) and raise(3) take numbers; with SIG_DFL no code of this process runs. An unknown number is
    // refused.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
    let _ = SigSet::empty().thread_set_mask();
}

/// Closes every descriptor but 0, 1 and 2: what a caller left open. The first thing that a program does, since what it
/// has opened itself would be closed under its owner.
///
/// Close-on-exec is not enough: between fork and exec a child has all of them, under names of `/proc` that paths lead
/// to.
///
/// # Errors
/// Linux is older than 5.9 (ENOSYS).
#[allow(unsafe_code, reason = "no safe wrapper of close_range exists")]
pub fn close_inherited_descriptors() -> Result<()> {
    // SAFETY: close_range(2) takes three numbers and touches no memory; that nothing is open yet that has an owner is
    // said to be the caller's matter.
    let outcome = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    done(outcome, "close", "descriptors from 3")
}

/// The same descriptors, to be closed when they are dropped: for a program that reads files by names of theirs, as a
/// shell gives them (`/dev/fd/63`). Neither is anything opened before.
///
/// # Errors
/// `/proc` is not mounted.
#[allow(unsafe_code, reason = "they have no owner, and get one")]
pub fn inherited_descriptors() -> Result<Vec<OwnedFd>> {
    const OPEN: &str = "/proc/self/fd";
    let entries = fs::read_dir(OPEN).map_err(|cause| Error::new("read", OPEN, cause))?;
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
    let numbers: Vec<i32> = entries.flatten().filter_map(number).collect();
    // The last one of them was that of this directory.
    let is_open = |number: &i32| Path::new(OPEN).join(number.to_string()).is_symlink();
    let left = numbers.into_iter().filter(|number| *number > 2);
    // SAFETY: they are open; that nothing is open yet that has an owner is said to be the caller's matter.
    let owned = left
        .filter(is_open)
        .map(|number| unsafe { OwnedFd::from_raw_fd(number) });
    Ok(owned.collect())
}

/// Programs that this process executes do not have it.
///
/// # Errors
/// The kernel refused.
pub fn close_at_exec(descriptor: &OwnedFd) -> Result<()> {
    let set = fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    set.map(drop)
        .map_err(|errno| Error::new("change", "a descriptor", errno.into()))
}

/// Gives the calling thread, and what it starts, a session keyring of its own, an empty one: the keys of who started
/// this process are out of reach. Where there are no keys (ENOSYS), or a filter lets nobody come at them (EPERM),
/// nothing is to be done.
///
/// # Errors
/// The user has as many keys as are allowed (EDQUOT, `/proc/sys/kernel/keys`).
#[allow(unsafe_code, reason = "no safe wrapper of keyctl exists")]
pub fn join_new_session_keyring() -> Result<()> {
    /// `KEYCTL_JOIN_SESSION_KEYRING` (include/uapi/linux/keyctl.h).
    const JOIN: libc::c_long = 1;
    /// One without a name.
    const NEW: libc::c_long = 0;
    // SAFETY: keyctl(2) reads no memory where the name is a null pointer, and changes the calling thread's credentials.
    let outcome = unsafe { libc::syscall(libc::SYS_keyctl, JOIN, NEW) };
    match done(outcome, "make", "a session keyring") {
        Err(error)
            if [Errno::ENOSYS, Errno::EPERM]
                .map(|each| Some(each as i32))
                .contains(&error.errno()) =>
        {
            Ok(())
        }
        made => made,
    }
}

fn done(outcome: libc::c_long, operation: &'static str, object: &str) -> Result<()> {
    match outcome {
        ..0 => Err(Error::new(operation, object, io::Error::last_os_error())),
        0.. => Ok(()),
    }
}

/// Sends a signal to the process whose `/proc/PID` directory is held open: to no later one of the
/// same number.
///
/// # Errors
/// It has ended (ESRCH), or the kernel refused (EPERM).
#[allow(unsafe_code, reason = "no safe wrapper of pidfd_send_signal exists")]
pub fn send_signal(directory: impl AsFd, signal: i32) -> io::Result<()> {
    // SAFETY: pidfd_send_signal(2) takes a descriptor of /proc/PID, a signal number, no siginfo
    // and no flags; the descriptor stays open during the call, and no memory is handed over.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            directory.as_fd().as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether the descriptors of the service manager have an owner already.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The sockets that a service manager opened for this process (sd_listen_fds(3)), closed by exec
/// from now on; none where it was started otherwise, and at a second call.
///
/// # Errors
/// `LISTEN_FDS` is no number, or counts a descriptor that is not open.
#[allow(unsafe_code, reason = "descriptors come as numbers")]
pub fn activated_sockets() -> io::Result<Vec<OwnedFd>> {
    const FIRST: i32 = 3;
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u16>());
    let own = env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    let (true, Some(count)) = (own, number("LISTEN_FDS")) else {
        return Ok(Vec::new());
    };
    let count = count.map_err(io::Error::other)?;
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    let descriptors = FIRST..FIRST + i32::from(count);
    descriptors
        .map(|number| {
            // SAFETY: fcntl(2) with F_SETFD takes numbers; one that is not open fails with EBADF.
            let closed = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
            Errno::result(closed)?;
            // SAFETY: the descriptor is open, and the manager handed it to this process, whose
            // own code has not taken it: `TAKEN` lets only the first call come here.
            Ok(unsafe { OwnedFd::from_raw_fd(number) })
        })
        .collect()
}

/// The last signal that was noted; 0 is none.
static NOTED: AtomicI32 = AtomicI32::new(0);
/// Those of processes that nobody has taken yet: a bit for each number.
static OF_PROCESSES: AtomicU64 = AtomicU64::new(0);
/// The same of the kernel.
static OF_KERNEL: AtomicU64 = AtomicU64::new(0);

/// A signal that [`note_interrupts`] noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Its number.
    pub signal: i32,
    /// No process sent it, but the kernel, as for Ctrl-C at a terminal: to the whole process group.
    pub of_kernel: bool,
}

/// Notes SIGINT, SIGTERM and SIGHUP from now on, for the whole process, instead of ending by them. A
/// wait ends with EINTR, so that the caller can look. Programs that it starts get the default
/// actions back (execve(2)).
///
/// # Errors
/// The kernel refused.
#[allow(unsafe_code, reason = "a signal handler runs at any point")]
pub fn note_interrupts() -> Result<()> {
    // Without SA_RESTART, so that a wait ends.
    let action = SigAction::new(
        SigHandler::SigAction(note),
        SaFlags::SA_SIGINFO,
        SigSet::empty(),
    );
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler reads what the kernel gives it and stores into atomics, which is async-signal-safe.
        unsafe { sigaction(signal, &action) }
            .map_err(|errno| Error::new("handle signal", signal, errno.into()))?;
    }
    Ok(())
}

/// The number of the last signal that [`note_interrupts`] noted.
pub fn noted_interrupt() -> Option<i32> {
    match NOTED.load(Ordering::SeqCst) {
        0 => None,
        signal => Some(signal),
    }
}

/// A signal that [`note_interrupts`] noted since this was asked last, one at a time. One that came several times from
/// one side meanwhile came once.
pub fn take_interrupt() -> Option<Noted> {
    let take = |of_kernel: bool| {
        let mut signals = 1..i32::try_from(u64::BITS).unwrap_or(0);
        let taken = signals.find(|signal| {
            let bit = 1 << signal;
            untaken(of_kernel).fetch_and(!bit, Ordering::SeqCst) & bit != 0
        });
        taken.map(|signal| Noted { signal, of_kernel })
    };
    take(true).or_else(|| take(false))
}

fn untaken(of_kernel: bool) -> &'static AtomicU64 {
    match of_kernel {
        true => &OF_KERNEL,
        false => &OF_PROCESSES,
    }
}

#[allow(unsafe_code, reason = "the kernel gives a pointer")]
extern "C" fn note(signal: libc::c_int, information: *mut libc::siginfo_t, _: *mut libc::c_void) {
    NOTED.store(signal, Ordering::SeqCst);
    // SAFETY: with SA_SIGINFO it points at what the kernel has written, for as long as this runs.
    let code = unsafe { (*information).si_code };
    // Those of kill(2) and the like are not positive (sigaction(2)).
    untaken(code > 0).fetch_or(1 << signal, Ordering::SeqCst);
}

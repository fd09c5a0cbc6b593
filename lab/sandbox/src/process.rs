//! Processes, told apart from later ones with the same number.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::process::{ChildStdin, ChildStdout, Command};
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::libc;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use kernel::{Error, Result};

/// A process by its number and the time it started, as `/proc` counts: the number alone may come to
/// mean another process. Written into state files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Process {
    /// In the PID namespace that `/proc` shows.
    pub pid: u32,
    /// Clock ticks since the machine started (`/proc/PID/stat`, field 22).
    pub start_time: u64,
}

/// Standard input and output of a process, where they are pipes.
pub type ChildStreams = (Option<ChildStdin>, Option<ChildStdout>);

/// How long the kernel may take to end what was killed, and to let go of what that had: a machine that works for many
/// may have no time for it for a while.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait until the next look at a process that did not end within `waited`: a hundred who wait for a
/// hundred processes, looking each millisecond, would take from those the time to end. No descriptor serves in its
/// place: pidfd_open(2) counts processes as the caller's PID namespace does, which `/proc` may not.
pub fn pause_after(waited: Duration) -> Duration {
    (waited / 8).clamp(Duration::from_millis(1), Duration::from_millis(20))
}

/// The signals that are sent to sandboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Asks a process to end: SIGTERM.
    Terminate,
    /// Ends it: SIGKILL.
    Kill,
    /// Stops it: SIGSTOP.
    Stop,
    /// Lets it go on: SIGCONT.
    Continue,
    /// Another one, by its number: what an image or a manifest asks for.
    Number(i32),
}

impl Signal {
    /// As the kernel numbers it.
    pub fn number(self) -> i32 {
        match self {
            Self::Terminate => libc::SIGTERM,
            Self::Kill => libc::SIGKILL,
            Self::Stop => libc::SIGSTOP,
            Self::Continue => libc::SIGCONT,
            Self::Number(number) => number,
        }
    }
}

/// No signal has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSignal(pub String);

impl std::fmt::Display for UnknownSignal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let last = libc::SIGRTMAX();
        write!(
            f,
            "{:?} is no signal: give a name as SIGTERM, QUIT or SIGRTMIN+3, or a number from 1 to {last}",
            self.0
        )
    }
}

impl std::error::Error for UnknownSignal {}

impl FromStr for Signal {
    type Err = UnknownSignal;

    /// As images name the signal that ends them (OCI image specification, `StopSignal`), in any case, with or
    /// without `SIG`.
    fn from_str(text: &str) -> std::result::Result<Self, UnknownSignal> {
        let name = text.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        signal_number(name)
            .filter(|number| (1..=libc::SIGRTMAX()).contains(number))
            .map(Self::Number)
            .ok_or_else(|| UnknownSignal(text.to_owned()))
    }
}

fn signal_number(name: &str) -> Option<i32> {
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return offset(rest.strip_prefix('+'), rest).map(|offset| libc::SIGRTMIN() + offset);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return offset(rest.strip_prefix('-'), rest).map(|offset| libc::SIGRTMAX() - offset);
    }
    let named = format!("SIG{name}").parse::<nix::sys::signal::Signal>();
    named.map(|signal| signal as i32).ok().or(name.parse().ok())
}

/// Of `+3` and its like, or nothing.
fn offset(signed: Option<&str>, text: &str) -> Option<i32> {
    /// Between the first and the last real-time signal (signal(7)).
    const MOST: u16 = 30;
    if text.is_empty() {
        return Some(0);
    }
    let offset = signed?.parse().ok().filter(|offset: &u16| *offset <= MOST);
    offset.map(i32::from)
}

/// Sends a signal to the processes of the group that a child of this process leads, which has not been waited for: the
/// number, as this process's PID namespace counts, is no other one's until then. Whether there are any: it may lead none.
///
/// # Errors
/// The kernel refused.
pub fn signal_group(leader: u32, signal: Signal) -> Result<bool> {
    let group = nix::unistd::Pid::from_raw(leader.cast_signed());
    let sent = signal
        .number()
        .try_into()
        .and_then(|signal: nix::sys::signal::Signal| nix::sys::signal::killpg(group, signal));
    match sent {
        Ok(()) => Ok(true),
        Err(nix::errno::Errno::ESRCH) => Ok(false),
        Err(errno) => Err(Error::new("signal process group", leader, errno.into())),
    }
}

impl Process {
    /// The running process with this number.
    ///
    /// # Errors
    /// There is none (ESRCH), or `/proc` is not mounted.
    pub fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}");
        let stat = File::open(&path).and_then(|directory| stat_in(&directory));
        match stat {
            Ok(stat) => Ok(Self {
                pid,
                start_time: stat.start_time,
            }),
            Err(source) => Err(Error::new("find process", pid, source)),
        }
    }

    /// The running process with this number in the calling process's own PID namespace; `/proc` may be another one's.
    /// `None` when there is none.
    ///
    /// # Errors
    /// `/proc` does not show it.
    pub(crate) fn of_own_namespace(number: Pid) -> io::Result<Option<Self>> {
        let held = match pidfd_open(number, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(None),
            held => held?,
        };
        let shown = fs::read_to_string(format!("/proc/self/fdinfo/{}", held.as_raw_fd()))?;
        // In the PID namespace of `/proc`; -1 when it has ended, 0 when it has no number there (pidfd_open(2)).
        let pid = shown.lines().find_map(|line| line.strip_prefix("Pid:"));
        match pid.and_then(|pid| pid.trim().parse::<i32>().ok()) {
            Some(-1) => Ok(None),
            Some(pid @ 1..) => Ok(Self::of(pid.cast_unsigned()).ok()),
            _ => Err(io::Error::other(format!(
                "/proc does not show process {number}, or not as this process numbers it: {shown:?}"
            ))),
        }
    }

    /// Starts `command` as a process that nobody here has to wait for, as [`kernel::process::start_orphan`] does, with
    /// its standard streams.
    ///
    /// # Errors
    /// It could not be started; `/proc` is not mounted.
    pub fn start_orphan(command: Command) -> io::Result<(Self, ChildStreams)> {
        let (parent, stat) = kernel::process::start_orphan(command)?;
        let found = stat.split_once(' ').and_then(|(pid, _)| {
            Some(Self {
                pid: pid.parse().ok()?,
                start_time: parse_stat(&stat)?.start_time,
            })
        });
        let streams = (parent.stdin, parent.stdout);
        let process = found.ok_or_else(|| unexpected(&stat))?;
        Ok((process, streams))
    }

    /// This process, numbered as `/proc` shows it, which may be another number than `getpid` gives:
    /// `/proc` belongs to a PID namespace too.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn current() -> Result<Self> {
        let link = fs::read_link("/proc/self")
            .map_err(|source| Error::new("read link", "/proc/self", source))?;
        let pid = link
            .to_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| {
                let cause = io::Error::new(io::ErrorKind::InvalidData, "not a number");
                Error::new("read link", "/proc/self", cause)
            })?;
        Self::of(pid)
    }

    /// Whether it runs still. One that is ending does not: it has no files and namespaces any more,
    /// but the first process of a PID namespace waits there for the last of the others, as long as
    /// their parents let it.
    pub fn is_alive(&self) -> bool {
        matches!(self.open(), Ok(Some((_, State::Running))))
    }

    /// Whether it has ended altogether; one that was not waited for yet has.
    pub fn is_gone(&self) -> bool {
        !matches!(self.open(), Ok(Some(_)))
    }

    /// Sends a signal; to a process that has ended, none is sent, and that is fine.
    ///
    /// # Errors
    /// The kernel refused (EPERM).
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let failed = |source| Error::new("signal process", self.pid, source);
        let Some((directory, _)) = self.open().map_err(failed)? else {
            return Ok(());
        };
        match kernel::process::send_signal(&directory, signal.number()) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            sent => sent.map_err(failed),
        }
    }

    /// Waits until it [has ended altogether](Self::is_gone), at most `patience`; whether it has.
    pub fn wait_gone(&self, patience: Duration) -> bool {
        let begin = Instant::now();
        while !self.is_gone() {
            let waited = begin.elapsed();
            if waited >= patience {
                return false;
            }
            std::thread::sleep(pause_after(waited).min(patience - waited));
        }
        true
    }

    /// `/proc/PID`, held open: it means this process and no later one. `None` when it has ended.
    fn open(&self) -> io::Result<Option<(File, State)>> {
        let directory = match File::open(format!("/proc/{}", self.pid)) {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match stat_in(&directory) {
            Ok(stat) if stat.start_time == self.start_time && stat.state != State::Ended => {
                Ok(Some((directory, stat.state)))
            }
            Ok(_) => Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Ending,
    Ended,
}

struct Stat {
    start_time: u64,
    state: State,
}

fn stat_in(directory: &File) -> io::Result<Stat> {
    let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_CLOEXEC;
    let stat = nix::fcntl::openat(directory, "stat", flags, nix::sys::stat::Mode::empty())?;
    let mut text = String::new();
    File::from(stat).read_to_string(&mut text)?;
    parse_stat(&text).ok_or_else(|| unexpected(&text))
}

fn unexpected(stat: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("stat: {stat:?}"))
}

/// The program's name stands in parentheses and may hold any character, a parenthesis too
/// (proc_pid_stat(5)): what follows the last one counts.
fn parse_stat(text: &str) -> Option<Stat> {
    /// PF_EXITING (include/linux/sched.h).
    const EXITING: u64 = 0x4;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    // State is field 3, the flags field 9, the start time field 22.
    let flags: u64 = fields.nth(9 - 4)?.parse().ok()?;
    let start_time = fields.nth(22 - 10)?.parse().ok()?;
    let state = match state {
        "Z" | "X" => State::Ended,
        _ if flags & EXITING != 0 => State::Ending,
        _ => State::Running,
    };
    Some(Stat { start_time, state })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        let first = libc::SIGRTMIN();
        for (text, number) in [
            ("SIGTERM", 15),
            ("quit", 3),
            ("9", 9),
            ("SIGRTMIN+3", first + 3),
            ("RTMIN", first),
            ("SIGRTMAX-1", libc::SIGRTMAX() - 1),
        ] {
            assert_eq!(text.parse(), Ok(Signal::Number(number)), "{text}");
        }
        for text in [
            "", "SIG", "0", "65", "-1", "TERMS", "RTMIN+31", "RTMIN-1", "RTMAX+1",
        ] {
            assert!(text.parse::<Signal>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn reads_a_stat_line_whose_name_holds_parentheses() {
        let line = "42 (a) R (b) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9182 1 1";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.start_time, stat.state), (9182, State::Running));
        let state = |line| parse_stat(line).unwrap().state;
        let zombie = "42 (cat) Z 1 42 42 0 -1 4228108 1 2 3 4 5 6 7 8 20 0 1 0 7 1";
        assert_eq!(state(zombie), State::Ended);
        // The first process of a PID namespace, killed, waiting for the others.
        let waiting = "42 (lab) S 1 42 14101 0 -1 4195340 329 0 0 0 0 0 0 0 20 0 1 0 529706 0 0";
        assert_eq!(state(waiting), State::Ending);
        assert!(parse_stat("42 (cat) Z 1").is_none());
    }
}

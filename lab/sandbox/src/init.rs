//! What PID 1 of a PID namespace has to do, and who starts a program for another: pass signals on, reap what ends.

use std::io;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use rustix::process::{WaitOptions, WaitStatus, wait};

use kernel::{Error, Result};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

impl Ended {
    /// The exit status a shell would report: 128 and the signal's number for a killed process.
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => 128 + signal,
        }
    }
}

/// The first process of a PID namespace: the kernel gives it every orphan to reap, and gives it no
/// signal it does not ask for (pid_namespaces(7)).
#[derive(Debug)]
pub struct Init {
    signals: SigSet,
}

/// Passed on to the main process.
const FORWARDED: [Signal; 5] = [
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];
/// Keys of a terminal, which the main process gets from it, too.
const KEYS: [Signal; 2] = [Signal::SIGINT, Signal::SIGQUIT];

impl Init {
    /// Takes over the signals of the calling thread, which must be the process's only one.
    ///
    /// # Errors
    /// The kernel refused the signal mask.
    pub fn new() -> Result<Self> {
        let mut signals = SigSet::empty();
        for signal in FORWARDED.into_iter().chain(KEYS) {
            signals.add(signal);
        }
        signals.add(Signal::SIGCHLD);
        signals
            .thread_block()
            .map_err(failed("block signals of", "init"))?;
        Ok(Self { signals })
    }

    /// Starts `command` as the main process.
    ///
    /// # Errors
    /// It could not be started.
    pub fn start(&self, command: &mut Command) -> io::Result<u32> {
        kernel::process::unblock_signals_at_start(command);
        command.spawn().map(|child| child.id())
    }

    /// Reaps whatever ends, for ever; other signals are dropped. For a first process that has no
    /// main process: the others are started into its namespace from outside.
    ///
    /// # Errors
    /// The kernel refused to wait.
    pub fn reap(&self) -> Result<std::convert::Infallible> {
        loop {
            reap(Pid::this())?;
            self.signals
                .wait()
                .map_err(failed("wait for signals of", "init"))?;
        }
    }

    /// Waits until the main process ends; passes signals on and reaps every other child meanwhile.
    ///
    /// # Errors
    /// The kernel refused to wait.
    pub fn wait(&self, main: u32) -> Result<Ended> {
        let main = Pid::from_raw(main.cast_signed());
        loop {
            match self
                .signals
                .wait()
                .map_err(failed("wait for signals of", "init"))?
            {
                Signal::SIGCHLD => {
                    if let Some(ended) = reap(main)? {
                        return Ok(ended);
                    }
                }
                Signal::SIGINT | Signal::SIGQUIT => {}
                // It may have ended this instant: then SIGCHLD is next.
                signal => drop(kill(main, signal)),
            }
        }
    }
}

/// Reaps every child that has ended; how `main` ended, if it did. One SIGCHLD may stand for many.
fn reap(main: Pid) -> Result<Option<Ended>> {
    let mut main_ended = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid.as_raw_pid() == main.as_raw() => {
                main_ended = ended(status).or(main_ended);
            }
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(main_ended),
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => {
                return Err(Error::new("wait for children of", "init", errno.into()));
            }
        }
    }
}

/// Any signal can end a process, also one that has no name.
fn ended(status: WaitStatus) -> Option<Ended> {
    let exited = status.exit_status().map(Ended::Exited);
    exited.or_else(|| status.terminating_signal().map(Ended::Killed))
}

fn failed(operation: &'static str, object: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::new(operation, object, errno.into())
}

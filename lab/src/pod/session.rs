//! A program in a container at a terminal of its own, operated from the user's.
//!
//! The stage that starts the program opens the terminal in the container and hands the end of who operates it over to
//! this process, by the socket that it has as standard input.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kernel::handover;
use kernel::process::lead_session_at_start;
use sandbox::{
    Interrupt, RawTerminal, WindowChanges, copy_size, open_terminal, take_terminal, unbuffered,
};

use super::Guest;
use super::exec::TERMINAL;
use crate::interrupt;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// Ctrl-D: the end of what is typed (termios(3), VEOF).
const END_OF_INPUT: u8 = 4;

/// Runs a program with a terminal of its own in its container until it ends, with the user's terminal passing on all
/// keys. A signal to this process hangs up.
///
/// # Errors
/// The program cannot be started; standard input is no terminal; [`interrupt::Interrupted`].
pub fn at_terminal(mut guest: Guest, interrupt: Interrupt) -> Result<ExitStatus> {
    let (own, other) = UnixStream::pair().context("make a socket")?;
    guest.command.stdin(OwnedFd::from(other));
    if let Some(kind) = std::env::var_os(TERMINAL) {
        guest.command.env(TERMINAL, kind);
    }
    let mut child = guest.start()?;
    let master = match receive(&own) {
        Some(master) => master,
        // It has said why.
        None => return child.wait().context("wait for the program"),
    };
    let _raw = RawTerminal::begin()?;
    follow_size(&master)?;
    type_into(&master)?;
    let shown = Shown::of(&master)?;
    let status = wait(&mut child, interrupt)?;
    shown.rest();
    Ok(status)
}

/// For the stage: opens a terminal in the container that the calling thread is in, gives its other end to who started this
/// process, and makes it that of the session which `command` will lead.
///
/// # Errors
/// The kernel refused; who started this process has ended.
pub(super) fn take_on(command: &mut Command) -> Result<()> {
    let master = open_terminal()?;
    // Standard error is the user's terminal still, or nobody sees the size.
    copy_size(io::stderr(), &master);
    let socket = io::stdin().as_fd().try_clone_to_owned();
    let socket = UnixStream::from(socket.context("keep standard input")?);
    handover::send(&socket, &[master.as_fd()]).context("hand over the terminal")?;
    // Of this process, too: nothing of the user's is there when the command is started.
    take_terminal(&master)?;
    lead_session_at_start(command);
    Ok(())
}

fn receive(socket: &UnixStream) -> Option<File> {
    let received = handover::receive(socket).ok()?;
    received.into_iter().next().map(File::from)
}

/// The program's terminal has the size that the user's has, now and later.
fn follow_size(master: &File) -> Result<()> {
    let changes = WindowChanges::watch()?;
    let master = master.try_clone().context("keep the terminal")?;
    std::thread::spawn(move || {
        loop {
            copy_size(io::stdin(), &master);
            if changes.wait().is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// What the user types goes to the program. The thread ends with this process.
fn type_into(master: &File) -> Result<()> {
    let mut master = master.try_clone().context("keep the terminal")?;
    let mut keyboard = unbuffered(io::stdin())?;
    std::thread::spawn(move || {
        let mut keys = [0; 4096];
        loop {
            let typed = match read(&mut keyboard, &mut keys) {
                Ok(0) => break,
                Ok(length) => &keys[..length],
                // The terminal has gone, which is a signal, too.
                Err(_) => return,
            };
            if master.write_all(typed).is_err() {
                return;
            }
        }
        let _ = master.write_all(&[END_OF_INPUT]);
    });
    Ok(())
}

/// What the program shows, on the user's terminal.
struct Shown {
    thread: JoinHandle<()>,
    bytes: Arc<AtomicU64>,
}

impl Shown {
    fn of(master: &File) -> Result<Self> {
        let mut master = master.try_clone().context("keep the terminal")?;
        let mut screen = unbuffered(io::stdout())?;
        let bytes = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&bytes);
        let thread = std::thread::spawn(move || {
            let mut some = [0; 4096];
            // EIO: nobody has the program's end any more.
            while let Ok(length @ 1..) = read(&mut master, &mut some) {
                // Who looks no longer stops no program.
                let _ = screen.write_all(&some[..length]);
                count.fetch_add(length as u64, Ordering::Relaxed);
            }
        });
        Ok(Self { thread, bytes })
    }

    /// Waits for what the program showed last. What it left running may have the terminal still: then this is when
    /// nothing comes for a while.
    fn rest(&self) {
        const QUIET: Duration = Duration::from_millis(100);
        const LONGEST: Duration = Duration::from_secs(1);
        let begin = Instant::now();
        let mut seen = (self.bytes.load(Ordering::Relaxed), begin);
        while !self.thread.is_finished() && begin.elapsed() < LONGEST && seen.1.elapsed() < QUIET {
            std::thread::sleep(Duration::from_millis(1));
            let bytes = self.bytes.load(Ordering::Relaxed);
            if bytes != seen.0 {
                seen = (bytes, Instant::now());
            }
        }
    }
}

fn read(from: &mut File, some: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(some) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn wait(child: &mut Child, interrupt: Interrupt) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait().context("wait for the program")? {
            return Ok(status);
        }
        interrupt::pause(interrupt, PAUSE)?;
    }
}

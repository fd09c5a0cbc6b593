//! A program in a container at a terminal of its own, operated from the user's.
//!
//! The stage that starts the program opens the terminal in the container and hands the end of who operates it over to
//! this process, by the socket that it has as standard input.

use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kernel::handover::{self, ReceiveError};
use kernel::process::lead_session_at_start;
use sandbox::{
    Interrupt, Printed, RawTerminal, WindowChanges, control_by_terminal, copy_size, open_terminal,
    read, take_terminal, unbuffered, write_all,
};

use super::Guest;
use super::exec::TERMINAL;
use super::talk::Attach;
use crate::interrupt;
use crate::output::ReaderGone;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// Ctrl-D: the end of what is typed (termios(3), VEOF).
const END_OF_INPUT: u8 = 4;

/// Runs a program with a terminal of its own in its container until it ends, with the user's terminal passing on all
/// keys. A signal to this process hangs up, as does who reads standard output no longer.
///
/// # Errors
/// The program cannot be started; standard input is no terminal; standard output takes no more; [`ReaderGone`];
/// [`interrupt::Interrupted`].
pub fn at_terminal(mut guest: Guest, interrupt: Interrupt) -> Result<ExitStatus> {
    let (own, other) = UnixStream::pair().context("make a socket")?;
    guest.command.stdin(OwnedFd::from(other));
    if let Some(kind) = std::env::var_os(TERMINAL) {
        guest.command.env(TERMINAL, kind);
    }
    let mut child = guest.start()?;
    let mut given = receive(&own, || interrupt::check(interrupt))?.map(File::from);
    let master = match given.next() {
        Some(master) => master,
        // It has said why.
        None => return child.wait().context("wait for the program"),
    };
    let _raw = RawTerminal::begin()?;
    follow_size(&master)?;
    type_into(
        master.try_clone().context("keep the terminal")?,
        &[END_OF_INPUT],
    )?;
    let (runs, running) = io::pipe().context("make a pipe")?;
    let mut printed = Printed::new(master, runs);
    let shown = Shown::of(move |some| printed.read(some), io::stdout())?;
    let status = wait(&mut child, &shown, interrupt)?;
    drop(running);
    shown.wait(interrupt)?;
    match shown.require_taken() {
        // It has missed the last words alone.
        Err(error) if error.is::<ReaderGone>() => Ok(status),
        taken => taken.map(|()| status),
    }
}

/// Looks at a container from its start until all is printed: that goes to standard output and standard error, and with
/// input what is typed to the container, at a terminal of its own with all keys. The socket is that of
/// [`run_attached`](super::run_attached). A signal to this process ends the looking alone, as does who reads standard
/// output no longer.
///
/// # Errors
/// Standard input is no terminal and has to be one; standard output takes no more; [`ReaderGone`];
/// [`interrupt::Interrupted`].
pub fn attached(socket: UnixStream, attach: Attach, interrupt: Interrupt) -> Result<()> {
    let mut given = receive(&socket, || interrupt::check(interrupt))?.map(File::from);
    let errors = match attach.terminal {
        true => None,
        false => given.next(),
    };
    let _raw = attach.terminal.then(RawTerminal::begin).transpose()?;
    match given.next() {
        Some(master) if attach.terminal => {
            follow_size(&master)?;
            type_into(master, &[END_OF_INPUT])?;
        }
        Some(pipe) => type_into(pipe, &[])?,
        None => {}
    }
    let mut output = File::from(OwnedFd::from(socket));
    let mut shown = vec![Shown::of(
        move |some| read(&mut output, some),
        io::stdout(),
    )?];
    if let Some(mut errors) = errors {
        shown.push(Shown::of(
            move |some| read(&mut errors, some),
            io::stderr(),
        )?);
    }
    loop {
        let is_over = shown.iter().all(|each| each.thread.is_finished());
        shown.iter().try_for_each(Shown::require_taken)?;
        if is_over {
            return Ok(());
        }
        interrupt::pause(interrupt, PAUSE)?;
    }
}

/// For the stage: opens a terminal in the container that the calling thread is in, gives its other end to who started
/// this process, and makes it that of the session which `command` will lead.
///
/// # Errors
/// The kernel refused; who started this process has ended.
pub(super) fn take_on(command: &mut Command) -> Result<()> {
    hand_over_terminal()?;
    lead_session_at_start(command);
    Ok(())
}

/// The same for a stage that leads a session already and becomes the program itself.
///
/// # Errors
/// As [`take_on`].
pub(super) fn take_terminal_on() -> Result<()> {
    hand_over_terminal()?;
    Ok(control_by_terminal()?)
}

/// For such a stage: what is typed where there is no terminal, whose other end is handed over the same way.
///
/// # Errors
/// As [`take_on`].
pub(super) fn take_input() -> Result<PipeReader> {
    let (typed, keyboard) = io::pipe().context("make a pipe")?;
    handover::send(&standard_input()?, &[keyboard.as_fd()]).context("hand over standard input")?;
    Ok(typed)
}

/// For the same: where its program prints to, which is handed over before anything is said.
///
/// # Errors
/// Who started this process has ended.
pub(super) fn take_output() -> Result<OwnedFd> {
    let given = handover::receive(&standard_input()?).context("receive standard output")?;
    given
        .into_iter()
        .next()
        .context("no standard output was given")
}

fn standard_input() -> Result<UnixStream> {
    let socket = io::stdin().as_fd().try_clone_to_owned();
    Ok(UnixStream::from(socket.context("keep standard input")?))
}

fn hand_over_terminal() -> Result<()> {
    let master = open_terminal()?;
    // Standard error is the user's terminal still, or nobody sees the size.
    copy_size(io::stderr(), &master);
    handover::send(&standard_input()?, &[master.as_fd()]).context("hand over the terminal")?;
    // Of this process, too: nothing of the user's is there when the command is started.
    Ok(take_terminal(&master)?)
}

/// None where who hands them over has ended. Meanwhile `check` is asked, so that no signal waits for them.
fn receive(
    socket: &UnixStream,
    mut check: impl FnMut() -> Result<()>,
) -> Result<std::vec::IntoIter<OwnedFd>> {
    let wait = |time| {
        let set = socket.set_read_timeout(time);
        set.context("say how long the socket is waited for")
    };
    wait(Some(PAUSE))?;
    let received = loop {
        check()?;
        match handover::receive(socket) {
            Err(ReceiveError::Socket(cause)) if is_to_go_on(&cause) => {}
            received => break received.unwrap_or_default(),
        }
    };
    wait(None)?;
    Ok(received.into_iter())
}

/// Nothing has come in time, or a signal has.
fn is_to_go_on(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
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

/// What the user types goes to the program, and `last` behind it. The thread ends with this process.
fn type_into(mut to: File, last: &'static [u8]) -> Result<()> {
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
            if write_all(&mut to, typed).is_err() {
                return;
            }
        }
        let _ = write_all(&mut to, last);
    });
    Ok(())
}

/// What the program shows, on the user's terminal or where else that goes.
struct Shown {
    thread: JoinHandle<()>,
    /// Why that took no more, which ends the thread.
    refused: Receiver<io::Error>,
}

impl Shown {
    fn of(
        mut more: impl FnMut(&mut [u8]) -> io::Result<usize> + Send + 'static,
        screen: impl AsFd,
    ) -> Result<Self> {
        let mut screen = unbuffered(screen)?;
        let (refusal, refused) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut some = [0; 4096];
            // EIO: nobody has the program's end any more.
            while let Ok(length @ 1..) = more(&mut some) {
                if let Err(error) = write_all(&mut screen, &some[..length]) {
                    let _ = refusal.send(error);
                    return;
                }
            }
        });
        Ok(Self { thread, refused })
    }

    /// # Errors
    /// It was not taken any more: [`ReaderGone`], or why.
    fn require_taken(&self) -> Result<()> {
        match self.refused.try_recv() {
            Err(_) => Ok(()),
            Ok(error) if error.kind() == io::ErrorKind::BrokenPipe => bail!(ReaderGone),
            Ok(error) => Err(error).context("pass on what the program shows"),
        }
    }

    /// Waits until the last is on the screen.
    ///
    /// # Errors
    /// [`interrupt::Interrupted`].
    fn wait(&self, interrupt: Interrupt) -> Result<()> {
        const PAUSE: Duration = Duration::from_millis(1);
        while !self.thread.is_finished() {
            interrupt::pause(interrupt, PAUSE)?;
        }
        Ok(())
    }
}

fn wait(child: &mut Child, shown: &Shown, interrupt: Interrupt) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait().context("wait for the program")? {
            return Ok(status);
        }
        shown.require_taken()?;
        interrupt::pause(interrupt, PAUSE)?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_signal_does_not_wait_for_what_is_handed_over() {
        let (own, other) = UnixStream::pair().unwrap();
        let mut looks = 0;
        let refused = receive(&own, || {
            looks += 1;
            match looks {
                3 => bail!("a signal"),
                _ => Ok(()),
            }
        });
        assert_eq!(refused.unwrap_err().to_string(), "a signal");
        handover::send(&other, &[io::stdin().as_fd()]).unwrap();
        assert_eq!(receive(&own, || Ok(())).unwrap().count(), 1);
        // What comes behind is waited for.
        assert_eq!(own.read_timeout().unwrap(), None);
        drop(other);
        assert_eq!(receive(&own, || Ok(())).unwrap().count(), 0);
    }
}

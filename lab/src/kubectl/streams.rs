//! The standard streams of a program in a container: pipes of its own, between which and the caller's streams bytes are
//! passed on. A file or a terminal of the caller's a process there could open anew by `/proc/PID/fd`: to write what it
//! was to read, and the other way round; and a directory would be a way out.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kernel::wait::has_room;
use sandbox::{Interrupt, Printed, pass_on, unbuffered};

use crate::interrupt;
use crate::output::complain;
use crate::pod::Guest;

/// What is passed on while a program runs.
#[derive(Debug)]
pub(super) struct Streams {
    /// Closed when it has ended.
    running: PipeWriter,
    /// Where what comes from it goes to.
    takers: [File; 2],
    /// Of each that comes from it, when all is passed on.
    passed: Receiver<io::Result<()>>,
}

impl Streams {
    /// Gives a program its streams, standard input only if `input`.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(super) fn begin(guest: &mut Guest, input: bool) -> Result<Self> {
        Self::of(guest, input).context("make the program's standard streams")
    }

    fn of(guest: &mut Guest, input: bool) -> Result<Self> {
        let (stop, running) = io::pipe()?;
        let (done, passed) = mpsc::channel();
        let (own_output, own_error) = (own(io::stdout())?, own(io::stderr())?);
        let takers = [own_output.try_clone()?, own_error.try_clone()?];
        let reads = match input {
            true => Stdio::from(give(guest, own(io::stdin())?, stop.try_clone()?)?),
            false => Stdio::null(),
        };
        // Else the order of what is said would be another one.
        let is_one = is_same(&own_output, &own_error)?;
        let says = take(guest, own_output, stop.try_clone()?, done.clone())?;
        let complains = match is_one {
            true => says.try_clone()?,
            false => take(guest, own_error, stop, done)?,
        };
        guest.command.stdin(reads).stdout(says).stderr(complains);
        Ok(Self {
            running,
            takers,
            passed,
        })
    }

    /// Once the program has ended: passes on what it said last. Who takes none of it for a while is waited for unless a
    /// signal asks this process to end.
    ///
    /// # Errors
    /// It could not be passed on: says why; [`interrupt::Interrupted`].
    pub(super) fn end(self, interrupt: Interrupt) -> Result<()> {
        drop(self.running);
        wait_for_all(&self.passed, &self.takers, || interrupt::check(interrupt))
    }
}

/// Until all is passed on. While there is no room for it, `check` is asked after a while; else it is this process that
/// has no time.
fn wait_for_all(
    passed: &Receiver<io::Result<()>>,
    takers: &[File],
    check: impl Fn() -> Result<()>,
) -> Result<()> {
    const PAUSE: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);
    let mut had_room = Instant::now();
    loop {
        match passed.recv_timeout(PAUSE) {
            Ok(passed) => passed.context("pass on what the program said")?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) if have_room(takers)? => had_room = Instant::now(),
            Err(RecvTimeoutError::Timeout) if had_room.elapsed() > LONGEST => check()?,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn have_room(takers: &[File]) -> io::Result<bool> {
    for taker in takers {
        if !has_room(taker)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A standard stream, without a buffer.
fn own(stream: impl AsFd) -> Result<File> {
    Ok(unbuffered(stream)?)
}

fn is_same(one: &File, other: &File) -> io::Result<bool> {
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// What the program reads, from now on.
fn give(guest: &mut Guest, mut from: File, stop: PipeReader) -> io::Result<PipeReader> {
    let (reader, writer) = io::pipe()?;
    guest.pipes.push(reader.try_clone()?.into());
    let mut to = File::from(OwnedFd::from(writer));
    thread::spawn(move || {
        if let Err(error) = pass_on(&mut from, &mut to, &stop) {
            complain(format_args!("pass on standard input: {error}"));
        }
    });
    Ok(reader)
}

/// Where the program writes to, from now on.
fn take(
    guest: &mut Guest,
    mut to: File,
    stop: PipeReader,
    done: Sender<io::Result<()>>,
) -> io::Result<PipeWriter> {
    let (reader, writer) = io::pipe()?;
    guest.pipes.push(writer.try_clone()?.into());
    thread::spawn(move || {
        // Nobody waits for it after a signal.
        let _ = done.send(Printed::new(reader, stop).pass_on(&mut to));
    });
    Ok(writer)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Write;

    use anyhow::bail;

    use super::*;

    #[test]
    fn a_signal_ends_the_waiting_for_who_takes_nothing_and_not_for_a_machine_without_time() {
        let signal = || bail!("a signal");
        let (done, passed) = mpsc::channel();
        let passes_on = thread::spawn(move || {
            thread::sleep(Duration::from_millis(1500));
            done.send(Ok(()))
        });
        let (_reader, writer) = io::pipe().unwrap();
        let mut taker = File::from(OwnedFd::from(writer));
        let takers = [taker.try_clone().unwrap()];
        wait_for_all(&passed, &takers, signal).unwrap();
        passes_on.join().unwrap().unwrap();

        let (_done, passed) = mpsc::channel();
        taker.write_all(&[0; 1 << 16]).unwrap();
        let error = wait_for_all(&passed, &takers, signal).unwrap_err();
        assert_eq!(error.to_string(), "a signal");
    }
}

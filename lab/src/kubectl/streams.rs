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
use sandbox::{Interrupt, Printed, pass_on, unbuffered};

use crate::interrupt;
use crate::output::complain;
use crate::pod::Guest;

/// What is passed on while a program runs.
#[derive(Debug)]
pub(super) struct Streams {
    /// Closed when it has ended.
    running: PipeWriter,
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
        Ok(Self { running, passed })
    }

    /// Once the program has ended: passes on what it said last. Who does not take that is waited for unless a signal
    /// asks this process to end.
    ///
    /// # Errors
    /// It could not be passed on: says why; [`interrupt::Interrupted`].
    pub(super) fn end(self, interrupt: Interrupt) -> Result<()> {
        const PAUSE: Duration = Duration::from_millis(50);
        const LONGEST: Duration = Duration::from_secs(1);
        drop(self.running);
        let begin = Instant::now();
        loop {
            match self.passed.recv_timeout(PAUSE) {
                Ok(passed) => passed.context("pass on what the program said")?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) if begin.elapsed() > LONGEST => {
                    interrupt::check(interrupt)?;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
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

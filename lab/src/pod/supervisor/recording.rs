//! What a container prints, from a pipe for each of its streams to its log.
//!
//! Pipes, as with container runtimes: `/dev/stderr` can be opened anew without cutting off what was printed, and
//! nobody but the supervisor writes the log. Who prints to both at one time finds the lines of each in their order.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::fchown;
use std::rc::Rc;
use std::thread;
use std::time::SystemTime;

use anyhow::{Context, Result};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local, yield_now};

use super::attachment::Detour;
use crate::output::complain;
use crate::pod::logs::{LogWriter, Stream};

/// Bytes that are passed on at once; as many as a pipe has.
const CHUNK: usize = 64 * 1024;
/// After the container's end so many chunks are passed on at most: a pipe may be made as large, and another
/// process may still have it.
const LAST_CHUNKS: usize = 16;

/// What there is for each stream that a container prints to.
#[derive(Debug)]
pub(super) struct Streams<T> {
    /// Of standard output.
    pub output: T,
    /// Of standard error.
    pub error: T,
}

impl Streams<PipeWriter> {
    /// Pipes, which are the `owner`'s: who hands them on to the program's user then.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(super) fn pipes(owner: Option<u32>) -> Result<(Streams<PipeReader>, Self)> {
        let pipe = || -> io::Result<(PipeReader, PipeWriter)> {
            let (reader, writer) = io::pipe()?;
            fchown(&writer, owner, owner)?;
            Ok((reader, writer))
        };
        let (output, error) = pipe()
            .and_then(|output| Ok((output, pipe()?)))
            .context("make pipes for what a container prints")?;
        let readers = Streams {
            output: output.0,
            error: error.0,
        };
        let writers = Self {
            output: output.1,
            error: error.1,
        };
        Ok((readers, writers))
    }

    /// # Errors
    /// No descriptor is left.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            output: self.output.try_clone()?,
            error: self.error.try_clone()?,
        })
    }
}

/// One start of a container, recorded by tasks of its own until this is dropped.
#[derive(Debug)]
pub(super) struct Recording {
    tasks: [Task; 2],
    /// Of what is printed by way of who looks at it.
    detour: Option<Detour>,
}

/// What records a stream, until its pipe or this has ended.
#[derive(Debug)]
struct Task {
    task: JoinHandle<()>,
    end: oneshot::Sender<()>,
}

impl Recording {
    /// Begins it.
    ///
    /// # Errors
    /// The kernel refused to tell when there is something to read.
    pub(super) fn begin(pipes: Streams<PipeReader>, log: LogWriter) -> Result<Self> {
        let paper = Rc::new(RefCell::new(Paper {
            log,
            chunk: vec![0; CHUNK],
        }));
        let task = |stream, pipe| -> Result<Task> {
            let pipe = Receiver::from_owned_fd(OwnedFd::from(pipe));
            let pipe = pipe.context("listen to a container")?;
            let (end, ended) = oneshot::channel();
            let task = spawn_local(record(pipe, stream, Rc::clone(&paper), ended));
            Ok(Task { task, end })
        };
        Ok(Self {
            tasks: [
                task(Stream::Output, pipes.output)?,
                task(Stream::Error, pipes.error)?,
            ],
            detour: None,
        })
    }

    /// What is printed passes by somebody.
    pub(super) fn passes_by(&mut self, detour: Detour) {
        self.detour = Some(detour);
    }

    /// Waits until all that was printed is in the log. Returns who passes it on to the one who looks and may take it
    /// slowly, which keeps no container from its end.
    pub(super) async fn finish(self) -> Option<thread::JoinHandle<()>> {
        let looker = match self.detour {
            Some(detour) => Some(detour.finish().await),
            None => None,
        };
        for Task { task, end } in self.tasks {
            drop(end);
            // A task that panicked has said so.
            let _ = task.await;
        }
        looker
    }
}

/// What both tasks write on, never at one time.
struct Paper {
    log: LogWriter,
    chunk: Vec<u8>,
}

async fn record(
    pipe: Receiver,
    stream: Stream,
    paper: Rc<RefCell<Paper>>,
    mut ended: oneshot::Receiver<()>,
) {
    loop {
        tokio::select! {
            biased;
            _ = &mut ended => break,
            Ok(()) = pipe.readable() => {}
            else => return,
        }
        let written = paper
            .borrow_mut()
            .write(stream, |chunk| pipe.try_read(chunk));
        match written {
            Ok(0) => return,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
            // The others have their turn, however much is printed.
            _ => yield_now().await,
        }
    }
    // The event loop may not have been told of the last yet.
    let Ok(rest) = pipe.into_nonblocking_fd() else {
        return;
    };
    let mut rest = File::from(rest);
    for _ in 0..LAST_CHUNKS {
        let written = paper.borrow_mut().write(stream, |chunk| rest.read(chunk));
        if !matches!(written, Ok(1..)) {
            return;
        }
    }
}

impl Paper {
    /// Writes what is there, a chunk at most. What the log cannot take is lost: the container does not wait for room.
    fn write(
        &mut self,
        stream: Stream,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let length = read(&mut self.chunk)?;
        let some = &self.chunk[..length];
        if let Err(error) = self.log.write(stream, some, SystemTime::now()) {
            complain(format_args!("write the log of a container: {error}"));
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Write;

    use super::*;

    #[test]
    fn what_the_event_loop_was_not_told_of_yet_is_in_the_log_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let (printed, mut printers) = Streams::pipes(None).unwrap();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_io().build().unwrap();
        let tasks = tokio::task::LocalSet::new();
        tasks.block_on(&runtime, async {
            let log = LogWriter::at(directory.path()).unwrap();
            let recording = Recording::begin(printed, log).unwrap();
            printers.output.write_all(b"last words\n").unwrap();
            recording.finish().await;
        });
        let log = std::fs::read_to_string(directory.path().join("0.0.log")).unwrap();
        assert!(log.ends_with(" stdout F last words\n"), "{log:?}");
    }
}

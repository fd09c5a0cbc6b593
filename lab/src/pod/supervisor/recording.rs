//! What a container prints, from a pipe to its log.
//!
//! A pipe, as with container runtimes: `/dev/stderr` can be opened anew without cutting off what was printed, and
//! nobody but the supervisor writes the log.

use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::SystemTime;

use anyhow::{Context, Result};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local, yield_now};

use super::attachment::Detour;
use crate::output::warn;
use crate::pod::logs::LogWriter;

/// Bytes that are passed on at once; as many as a pipe has.
const CHUNK: usize = 64 * 1024;
/// After the container's end so many chunks are passed on at most: a pipe may be made as large, and another
/// process may still have it.
const LAST_CHUNKS: usize = 16;

/// One start of a container, recorded by a task of its own until this is dropped.
#[derive(Debug)]
pub(super) struct Recording {
    task: JoinHandle<()>,
    end: oneshot::Sender<()>,
    /// Of what is printed by way of who looks at it.
    detour: Option<Detour>,
}

impl Recording {
    /// Begins it.
    ///
    /// # Errors
    /// The kernel refused to tell when there is something to read.
    pub(super) fn begin(pipe: PipeReader, log: LogWriter) -> Result<Self> {
        let pipe = Receiver::from_owned_fd(OwnedFd::from(pipe)).context("listen to a container")?;
        let (end, ended) = oneshot::channel();
        let task = spawn_local(record(pipe, log, ended));
        Ok(Self {
            task,
            end,
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
        drop(self.end);
        // A task that panicked has said so.
        let _ = self.task.await;
        looker
    }
}

async fn record(pipe: Receiver, mut log: LogWriter, mut ended: oneshot::Receiver<()>) {
    let mut chunk = vec![0; CHUNK];
    loop {
        tokio::select! {
            biased;
            _ = &mut ended => break,
            Ok(()) = pipe.readable() => {}
            else => return,
        }
        match pass_on(&pipe, &mut log, &mut chunk) {
            Ok(0) => return,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
            // The others have their turn, however much is printed.
            _ => yield_now().await,
        }
    }
    for _ in 0..LAST_CHUNKS {
        if !matches!(pass_on(&pipe, &mut log, &mut chunk), Ok(1..)) {
            return;
        }
    }
}

/// Passes on what is there, a chunk at most. What the log cannot take is lost: the container does not wait for room.
fn pass_on(pipe: &Receiver, log: &mut LogWriter, chunk: &mut [u8]) -> io::Result<usize> {
    let length = pipe.try_read(chunk)?;
    if let Err(error) = log.write(&chunk[..length], SystemTime::now()) {
        warn(format_args!("lab: write the log of a container: {error}"));
    }
    Ok(length)
}

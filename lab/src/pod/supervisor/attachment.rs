//! Who started the pod at its container: what that prints goes to them as well as to its log, and what they type to it.
//!
//! Their socket is what the supervisor has as standard input. First it carries, where the container has no terminal, a
//! pipe with what that prints to standard error, and what they type into, the terminal or a pipe; then the rest of what
//! is printed, until nobody prints any more.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use kernel::handover;
use sandbox::{Printed, unbuffered};
use tokio::sync::oneshot;

use super::backlog::Backlog;
use super::recording::Streams;
use crate::pod::talk::Attach;

/// Who looks, before the container is started.
#[derive(Debug)]
pub(super) struct Attachment {
    kind: Attach,
    client: UnixStream,
}

/// The same while the stage makes the container.
#[derive(Debug)]
pub(super) struct Attaching {
    attachment: Attachment,
    /// Its log.
    log: Streams<PipeWriter>,
    /// What the container prints where it has no terminal.
    printed: Option<Streams<PipeReader>>,
}

impl Attachment {
    /// # Errors
    /// No descriptor is left.
    pub(super) fn of_standard_input(kind: Attach) -> Result<Self> {
        let client = io::stdin().as_fd().try_clone_to_owned();
        let client = UnixStream::from(client.context("keep standard input")?);
        Ok(Self { kind, client })
    }

    /// What the stage prints to in the place of `log`; pipes are the `owner`'s.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) fn prepare(
        self,
        log: Streams<PipeWriter>,
        owner: Option<u32>,
    ) -> Result<(Attaching, Streams<PipeWriter>)> {
        let (printed, printers) = match self.kind.terminal {
            // It says there why it cannot be made.
            true => (None, log.try_clone().context("keep the log")?),
            false => {
                let (printed, printers) = Streams::pipes(owner)?;
                (Some(printed), printers)
            }
        };
        let attaching = Attaching {
            attachment: self,
            log,
            printed,
        };
        Ok((attaching, printers))
    }
}

impl Attaching {
    pub(super) fn kind(&self) -> Attach {
        self.attachment.kind
    }

    /// Once the program runs, whose stage has the other end of `socket`. What it prints is passed on by a thread for
    /// each stream to its log and into a backlog, and from there by another to who looks, who may take it slowly.
    ///
    /// # Errors
    /// The stage gave nothing to type into; no descriptor is left.
    pub(super) fn begin(self, socket: &UnixStream) -> Result<Detour> {
        let Attachment { kind, client } = self.attachment;
        let input = match kind.input {
            true => handover::receive(socket)?.pop().map(File::from),
            false => None,
        };
        let typed = input.as_ref().map(File::as_fd);
        let (runs, running) = io::pipe().context("make a pipe")?;
        // Whoever has gone is given nothing.
        let (output, errors) = match self.printed {
            Some(printed) => {
                let (errors, to_looker) = io::pipe().context("make a pipe")?;
                let given: Vec<_> = [errors.as_fd()].into_iter().chain(typed).collect();
                let _ = handover::send(&client, &given);
                let errors = Way::new(printed.error, self.log.error, &runs)?;
                (printed.output.into(), Some((errors, to_looker)))
            }
            None => {
                let terminal = input.as_ref().context("the stage has given no terminal")?;
                let _ = handover::send(&client, &[terminal.as_fd()]);
                (OwnedFd::from(unbuffered(terminal)?), None)
            }
        };
        let output = Way::new(output, self.log.output, &runs)?;
        Ok(Detour::begin(output, client, errors, running))
    }
}

/// Of what is printed to a stream.
struct Way {
    source: Printed<File>,
    log: PipeWriter,
    backlog: Arc<Backlog>,
}

impl Way {
    fn new(source: impl Into<OwnedFd>, log: PipeWriter, runs: &PipeReader) -> Result<Self> {
        let runs = runs.try_clone().context("keep a pipe")?;
        Ok(Self {
            source: Printed::new(File::from(source.into()), runs),
            log,
            backlog: Arc::default(),
        })
    }
}

/// The way of what is printed by who looks.
#[derive(Debug)]
pub(super) struct Detour {
    backlogs: Vec<Arc<Backlog>>,
    /// Closed when the container has ended.
    running: PipeWriter,
    /// Of what goes to the log.
    end: oneshot::Receiver<()>,
    looker: JoinHandle<()>,
}

impl Detour {
    fn begin(
        output: Way,
        client: UnixStream,
        errors: Option<(Way, PipeWriter)>,
        running: PipeWriter,
    ) -> Self {
        let (errors, to_looker) = errors.unzip();
        let shown = Arc::clone(&output.backlog);
        let shown_errors = errors.as_ref().map(|way| Arc::clone(&way.backlog));
        let looker = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                if let (Some(shown), Some(to)) = (&shown_errors, to_looker) {
                    scope.spawn(|| show(shown, to));
                }
                show(&shown, &client);
                // This process has it as standard input, too.
                let _ = client.shutdown(Shutdown::Both);
            });
        });
        let ways: Vec<Way> = [output].into_iter().chain(errors).collect();
        let backlogs = ways.iter().map(|way| Arc::clone(&way.backlog)).collect();
        let (passed, end) = oneshot::channel();
        std::thread::spawn(move || {
            std::thread::scope(|scope| {
                for way in ways {
                    scope.spawn(|| pass_on(way));
                }
            });
            let _ = passed.send(());
        });
        Self {
            backlogs,
            running,
            end,
            looker,
        }
    }

    /// Once the container has ended: waits until the log has all that it printed. Returns who passes on what is not taken
    /// yet.
    pub(super) async fn finish(self) -> JoinHandle<()> {
        self.backlogs.iter().for_each(|each| each.unbind());
        drop(self.running);
        // Those who pass on have no other end.
        let _ = self.end.await;
        self.looker
    }
}

/// Until the end of what the container prints, or until nobody has the terminal any more (EIO).
fn pass_on(
    Way {
        mut source,
        mut log,
        backlog,
    }: Way,
) {
    let mut some = vec![0; 64 << 10];
    while let Ok(length @ 1..) = source.read(&mut some) {
        // What the log cannot take is lost, as ever.
        let _ = log.write_all(&some[..length]);
        backlog.add(&some[..length]);
    }
    backlog.end();
}

/// Until there is no more, or who looks has gone, which stops no program.
fn show(backlog: &Backlog, mut looker: impl Write) {
    loop {
        let some = backlog.take();
        if some.is_empty() || looker.write_all(&some).is_err() {
            break;
        }
    }
    backlog.end();
}

//! Who started the pod at its container: what that prints goes to them as well as to its log, and what they type to it.
//!
//! Their socket is what the supervisor has as standard input. First it carries what they type into, a terminal of the
//! container's or a pipe, and then what is printed, until nobody prints any more.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::fchown;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use kernel::handover;
use sandbox::{read, unbuffered};
use tokio::sync::oneshot;

use super::backlog::Backlog;
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
    /// The stage's standard input, which brings back what is typed into.
    pub stage: UnixStream,
    log: PipeWriter,
    /// What the container prints where it has no terminal.
    printed: Option<PipeReader>,
}

impl Attachment {
    /// # Errors
    /// No descriptor is left.
    pub(super) fn of_standard_input(kind: Attach) -> Result<Self> {
        let client = io::stdin().as_fd().try_clone_to_owned();
        let client = UnixStream::from(client.context("keep standard input")?);
        Ok(Self { kind, client })
    }

    /// Gives the stage its streams; what is printed goes to `log`. Pipes are the `owner`'s.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) fn prepare(
        self,
        stage: &mut Command,
        log: PipeWriter,
        owner: Option<u32>,
    ) -> Result<Attaching> {
        let (own, other) = UnixStream::pair().context("make a socket")?;
        stage.stdin(OwnedFd::from(other));
        let printed = match self.kind.terminal {
            // It says there why it cannot be made.
            true => {
                stage.stderr(log.try_clone().context("keep the log")?);
                None
            }
            false => {
                let (printed, printer) = io::pipe().context("make a pipe")?;
                fchown(&printer, owner, owner).context("hand over a pipe")?;
                stage.stderr(printer);
                Some(printed)
            }
        };
        Ok(Attaching {
            attachment: self,
            stage: own,
            log,
            printed,
        })
    }
}

impl Attaching {
    pub(super) fn kind(&self) -> Attach {
        self.attachment.kind
    }

    /// Once the program runs. What it prints is passed on by one thread to its log and into a backlog, and from there
    /// by another to who looks, who may take it slowly.
    ///
    /// # Errors
    /// The stage gave nothing to type into; no descriptor is left.
    pub(super) fn begin(self) -> Result<Detour> {
        let Attachment { kind, client } = self.attachment;
        let input = match kind.input {
            true => handover::receive(&self.stage)?.pop().map(File::from),
            false => None,
        };
        if let Some(input) = &input {
            // Whoever has gone types nothing.
            let _ = handover::send(&client, &[input.as_fd()]);
        }
        let source = match self.printed {
            Some(printed) => File::from(OwnedFd::from(printed)),
            None => unbuffered(input.context("the stage has given no terminal")?)?,
        };
        let backlog = Arc::new(Backlog::default());
        let (passed, end) = oneshot::channel();
        let (log, to_looker) = (self.log, Arc::clone(&backlog));
        std::thread::spawn(move || {
            pass_on(source, log, &to_looker);
            let _ = passed.send(());
        });
        let shown = Arc::clone(&backlog);
        let looker = std::thread::spawn(move || show(&shown, client));
        Ok(Detour {
            backlog,
            end,
            looker,
        })
    }
}

/// The way of what is printed by who looks.
#[derive(Debug)]
pub(super) struct Detour {
    backlog: Arc<Backlog>,
    /// Of what goes to the log.
    end: oneshot::Receiver<()>,
    looker: JoinHandle<()>,
}

impl Detour {
    /// Once the container has ended: waits until the log has all. Another process may still have what it printed to:
    /// that is waited for no longer than a while. Returns who passes on what is not taken yet.
    pub(super) async fn finish(self) -> JoinHandle<()> {
        const PATIENCE: Duration = Duration::from_secs(1);
        self.backlog.unbind();
        let _ = tokio::time::timeout(PATIENCE, self.end).await;
        self.backlog.end();
        self.looker
    }
}

/// Until the end of a pipe, or until nobody has the terminal any more (EIO).
fn pass_on(mut source: File, mut log: PipeWriter, backlog: &Backlog) {
    let mut some = vec![0; 64 << 10];
    while let Ok(length @ 1..) = read(&mut source, &mut some) {
        // What the log cannot take is lost, as ever.
        let _ = log.write_all(&some[..length]);
        backlog.add(&some[..length]);
    }
    backlog.end();
}

/// Until there is no more, or who looks has gone, which stops no program.
fn show(backlog: &Backlog, mut client: UnixStream) {
    loop {
        let some = backlog.take();
        if some.is_empty() || client.write_all(&some).is_err() {
            break;
        }
    }
    backlog.end();
    // This process has it as standard input, too.
    let _ = client.shutdown(Shutdown::Both);
}

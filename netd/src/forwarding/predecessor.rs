//! The processes that former netds have started, and that go on.

use std::convert::Infallible;
use std::future::pending;
use std::io::{self, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forwarder::{Answer, Kit, KitError, Order, line, receive};
use tokio::task::spawn_blocking;

use super::Failures;
use crate::commands::FORWARDER;
use crate::health::{Finding, Part, Severity};
use crate::status::Status;

/// It answers, and ends, within this time, or something is wrong with it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of those that wait at the listening socket the kernel wakes the one that has waited longest: when the
/// own process answers so often in a row, no other waits there.
const IN_A_ROW: u32 = 3;

/// Why a former netd's process goes on.
#[derive(Debug, thiserror::Error)]
pub(super) enum PredecessorError {
    /// Nothing is known of it.
    #[error("what carried packets for a former netd, and listens on {path}, does not answer")]
    Silent {
        /// Where it listens.
        path: String,
        /// What became of the question.
        #[source]
        source: io::Error,
    },
    /// It is there, and cannot be taken over.
    #[error("what carried packets for a former netd, and listens on {path}, cannot be taken over")]
    Kit {
        /// Where it listens.
        path: String,
        /// What became of its descriptors.
        #[source]
        source: KitError,
    },
    /// It was told to end.
    #[error("what carried packets for a former netd does not end")]
    Lasting(#[source] io::Error),
}

/// Those that may still carry packets: one as a rule, more when a netd failed while it took over. All
/// listen on one socket, and so does the process that this netd starts with their descriptors.
pub(super) struct Predecessors {
    path: PathBuf,
    status: Arc<Status>,
    /// One that was met, until it has ended.
    met: Option<Predecessor>,
    are_gone: bool,
}

/// It carries packets until it is told to end.
struct Predecessor {
    stream: UnixStream,
    is_told_to_end: bool,
}

/// The process that this netd has started with their descriptors.
#[derive(Clone, Copy)]
pub(super) struct Own {
    /// For people.
    pub(super) pid: u32,
    /// What it says of itself.
    pub(super) token: u64,
}

impl Predecessors {
    /// Those that listen at `path`.
    pub(super) fn new(path: PathBuf, status: Arc<Status>) -> Self {
        Self {
            path,
            status,
            met: None,
            are_gone: false,
        }
    }

    /// The descriptors of one of them, if there is one. It goes on.
    ///
    /// # Errors
    /// There is one, and it does not answer, or its descriptors cannot be had.
    pub(super) async fn kit(&mut self) -> Result<Option<Kit>, PredecessorError> {
        self.met = None;
        if self.are_gone {
            return Ok(None);
        }
        let Some((found, kit)) = self.find().await? else {
            self.are_gone = true;
            return Ok(None);
        };
        if kit.as_ref().err().is_none_or(KitError::is_incomplete) {
            self.met = Some(found);
        }
        kit.map(Some).map_err(|error| self.kept(error))
    }

    /// Whether one that was met still carries packets, as it was told formerly.
    pub(super) fn carry(&self) -> bool {
        let carries = |met: &Predecessor| !met.is_told_to_end && met.is_there();
        self.met.as_ref().is_some_and(carries)
    }

    /// Has all end but the process with the token `own`, if that listens with them: what they have read is
    /// sent.
    ///
    /// # Errors
    /// One does not; the next call goes on with it.
    pub(super) async fn end(&mut self, own: Option<u64>) -> Result<(), PredecessorError> {
        let mut in_a_row = 0;
        while !self.are_gone {
            if let Some(met) = &mut self.met {
                met.end().await.map_err(PredecessorError::Lasting)?;
                self.met = None;
            }
            let Some((next, kit)) = self.find().await? else {
                self.are_gone = true;
                break;
            };
            // Its descriptors are not needed, all the less when there is no room for them.
            if let Err(error) = kit
                && !error.is_incomplete()
            {
                return Err(self.kept(error));
            }
            let token = next.token().await.map_err(|error| self.silent(error))?;
            if Some(token) == own {
                in_a_row += 1;
                self.are_gone = in_a_row == IN_A_ROW;
            } else {
                in_a_row = 0;
                self.met = Some(next);
            }
        }
        Ok(())
    }

    /// The same again and again until all have ended, and then nothing. What is in the way is told.
    pub(super) async fn retire(&mut self, own: Own) -> Infallible {
        let mut failures = Failures::default();
        while let Err(error) = self.end(Some(own.token)).await {
            self.report(vec![finding(&error, own.pid)]);
            tokio::time::sleep(failures.next(Duration::ZERO)).await;
        }
        self.report(Vec::new());
        pending().await
    }

    async fn find(&self) -> Result<Option<Found>, PredecessorError> {
        find(&self.path).await.map_err(|error| self.silent(error))
    }

    fn kept(&self, source: KitError) -> PredecessorError {
        PredecessorError::Kit {
            path: self.path.display().to_string(),
            source,
        }
    }

    fn silent(&self, source: io::Error) -> PredecessorError {
        PredecessorError::Silent {
            path: self.path.display().to_string(),
            source,
        }
    }

    fn report(&self, findings: Vec<Finding>) {
        self.status.report(Part::Takeover, findings);
    }
}

impl Predecessor {
    fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            is_told_to_end: false,
        }
    }

    /// What tells it from other processes.
    async fn token(&self) -> io::Result<u64> {
        self.ask(|stream| {
            (&*stream).write_all(&line(&Order::Who)?)?;
            match receive(&mut BufReader::new(stream))? {
                Some(Answer::Process(token)) => Ok(token),
                _ => Err(ErrorKind::UnexpectedEof.into()),
            }
        })
        .await
    }

    /// Whether it has not ended; it says nothing of itself that is not asked.
    fn is_there(&self) -> bool {
        let read = self
            .stream
            .set_nonblocking(true)
            .and_then(|()| (&self.stream).read(&mut [0]));
        let is_blocking = self.stream.set_nonblocking(false).is_ok();
        is_blocking && read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Has it send what it has read, and end.
    async fn end(&mut self) -> io::Result<()> {
        self.is_told_to_end = true;
        self.ask(|mut stream| {
            match stream.write_all(&line(&Order::End)?) {
                // It has ended already.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                outcome => outcome?,
            }
            // Until it closes its side.
            loop {
                match stream.read(&mut [0; 64]) {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        })
        .await
    }

    /// Waits in another thread.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&UnixStream) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let stream = self.stream.try_clone()?;
        spawn_blocking(move || question(&stream)).await?
    }
}

/// One that listens, and what came of its descriptors.
type Found = (Predecessor, Result<Kit, KitError>);

/// One that listens at `path`; `None` when nobody does.
async fn find(path: &Path) -> io::Result<Option<Found>> {
    // One that hangs lets its queue fill up: connecting does not wait for that.
    let stream = match tokio::net::UnixStream::connect(path).await {
        Err(error) if is_nobody(&error) => return Ok(None),
        stream => stream?.into_std()?,
    };
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let predecessor = Predecessor::new(stream);
    let kit = predecessor.ask(|stream| Ok(Kit::receive(stream))).await?;
    Ok(Some((predecessor, kit)))
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused
    )
}

fn finding(error: &PredecessorError, own: u32) -> Finding {
    let what = format!(
        "two processes carry the pods' packets, one of them by what it was told formerly: {}",
        crate::chain(error)
    );
    Finding::new(Severity::Degraded, "predecessor", what).remedy(format!(
        "netd tries again; to help, end (kill) each process {FORWARDER} of this node but {own}"
    ))
}

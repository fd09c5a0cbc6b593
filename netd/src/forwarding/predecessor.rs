//! The processes that former netds have started, and that go on.

use std::convert::Infallible;
use std::future::pending;
use std::io::{self, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forwarder::{Answer, Kit, Order, line, receive};
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
struct Predecessor(UnixStream);

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
    /// There is one, and it does not answer.
    pub(super) async fn kit(&mut self) -> Result<Option<Kit>, PredecessorError> {
        if self.are_gone {
            return Ok(None);
        }
        let found = self.find().await?;
        self.are_gone = found.is_none();
        let (met, kit) = found.unzip();
        self.met = met;
        Ok(kit)
    }

    /// Has all end but `own`, if that listens with them: what they have read is sent.
    ///
    /// # Errors
    /// One does not; the next call goes on with it.
    pub(super) async fn end(&mut self, own: Option<u32>) -> Result<(), PredecessorError> {
        let mut in_a_row = 0;
        while !self.are_gone {
            if let Some(met) = &self.met {
                met.end().await.map_err(PredecessorError::Lasting)?;
                self.met = None;
            }
            let Some((next, _)) = self.find().await? else {
                self.are_gone = true;
                break;
            };
            let id = next.id().await.map_err(|error| self.silent(error))?;
            if Some(id) == own {
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
    pub(super) async fn retire(&mut self, own: u32) -> Infallible {
        let mut failures = Failures::default();
        while let Err(error) = self.end(Some(own)).await {
            self.report(vec![finding(&error, own)]);
            tokio::time::sleep(failures.next(Duration::ZERO)).await;
        }
        self.report(Vec::new());
        pending().await
    }

    async fn find(&self) -> Result<Option<(Predecessor, Kit)>, PredecessorError> {
        find(&self.path).await.map_err(|error| self.silent(error))
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
    /// Its process.
    async fn id(&self) -> io::Result<u32> {
        self.ask(|stream| {
            (&*stream).write_all(&line(&Order::Who)?)?;
            match receive(&mut BufReader::new(stream))? {
                Some(Answer::Process(id)) => Ok(id),
                _ => Err(ErrorKind::UnexpectedEof.into()),
            }
        })
        .await
    }

    /// Has it send what it has read, and end.
    async fn end(&self) -> io::Result<()> {
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
        let stream = self.0.try_clone()?;
        spawn_blocking(move || question(&stream)).await?
    }
}

/// One that listens at `path`, and its descriptors; `None` when nobody does.
async fn find(path: &Path) -> io::Result<Option<(Predecessor, Kit)>> {
    // One that hangs lets its queue fill up: connecting does not wait for that.
    let stream = match tokio::net::UnixStream::connect(path).await {
        Err(error) if is_nobody(&error) => return Ok(None),
        stream => stream?.into_std()?,
    };
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let predecessor = Predecessor(stream);
    let kit = predecessor.ask(Kit::receive).await?;
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

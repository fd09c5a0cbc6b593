//! The process that this netd has started.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use forwarder::{Answer, Counts, Kit, Order, Routes, line};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{self, Command};

use crate::commands::FORWARD;

/// It begins, answers, and ends within this time, or something is wrong with it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no process that works.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    /// It cannot be started or talked to.
    #[error("it cannot be {0}")]
    Talk(&'static str, #[source] io::Error),
    /// It said why it ends.
    #[error("it ended: {0}")]
    Failed(String),
    /// It said nothing.
    #[error("it ended: {0}")]
    Ended(ExitStatus),
    /// It does not begin, or does not go on.
    #[error("it does not answer for {} s", PATIENCE.as_secs())]
    Late,
}

/// What it says: that it goes by so many routes, what it did, or which one it is.
pub(super) enum Heard {
    Ready(usize),
    Counts(Counts),
    Process(u64),
}

/// A process with its descriptors.
pub(super) struct Child {
    process: process::Child,
    id: u32,
    orders: OwnedWriteHalf,
    answers: Lines<BufReader<OwnedReadHalf>>,
    /// What it said last.
    last_words: Option<String>,
}

impl Child {
    /// It runs the same program as this one, and gets nothing but the descriptors: no environment, in which
    /// a password may be, and no signals that the terminal sends to this process.
    pub(super) async fn start(kit: &Kit) -> Result<Self, ChildError> {
        let started = try_start(kit).await;
        started.map_err(|error| ChildError::Talk("started", error))
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) async fn tell(&mut self, routes: &Routes) -> Result<(), ChildError> {
        self.order(&Order::Routes(routes.clone())).await
    }

    pub(super) async fn ask(&mut self) -> Result<(), ChildError> {
        self.order(&Order::Count).await
    }

    /// What it does not take because it has ended is told by [`hear`](Self::hear).
    async fn order(&mut self, order: &Order) -> Result<(), ChildError> {
        let line = line(order).map_err(|error| ChildError::Talk("told", error))?;
        let told = tokio::time::timeout(PATIENCE, self.orders.write_all(&line)).await;
        told.map(drop).map_err(|_| ChildError::Late)
    }

    /// Returns how many routes it has.
    pub(super) async fn until_ready(&mut self) -> Result<usize, ChildError> {
        let peers = |heard| match heard {
            Heard::Ready(peers) => Some(peers),
            _ => None,
        };
        self.until(peers).await
    }

    /// What tells it from other processes, in whichever namespaces they are.
    pub(super) async fn token(&mut self) -> Result<u64, ChildError> {
        self.order(&Order::Who).await?;
        let token = |heard| match heard {
            Heard::Process(token) => Some(token),
            _ => None,
        };
        self.until(token).await
    }

    /// Until it says what is waited for.
    async fn until<T>(&mut self, wanted: impl Fn(Heard) -> Option<T>) -> Result<T, ChildError> {
        let said = async {
            loop {
                if let Some(said) = wanted(self.hear().await?) {
                    return Ok(said);
                }
            }
        };
        let said = tokio::time::timeout(PATIENCE, said).await;
        said.unwrap_or(Err(ChildError::Late))
    }

    /// What it says next. Nothing is lost when this is dropped.
    ///
    /// # Errors
    /// It has ended.
    pub(super) async fn hear(&mut self) -> Result<Heard, ChildError> {
        loop {
            let line = self.answers.next_line().await;
            let line = line.map_err(|error| ChildError::Talk("heard", error))?;
            let Some(line) = line else { break };
            match serde_json::from_str(&line) {
                Ok(Answer::Ready(peers)) => return Ok(Heard::Ready(peers)),
                Ok(Answer::Counts(counts)) => return Ok(Heard::Counts(counts)),
                Ok(Answer::Failed(why)) => self.last_words = Some(why),
                Ok(Answer::Process(token)) => return Ok(Heard::Process(token)),
                Err(error) => return Err(ChildError::Talk("understood", error.into())),
            }
        }
        let ended = self.process.wait().await;
        let ended = ended.map_err(|error| ChildError::Talk("waited for", error))?;
        Err(match self.last_words.take() {
            Some(words) => ChildError::Failed(words),
            None => ChildError::Ended(ended),
        })
    }

    /// Has it send what it has read, and end.
    pub(super) async fn end(mut self) {
        let ended = async {
            if self.order(&Order::End).await.is_err() {
                pending::<()>().await;
            }
            let _ = self.process.wait().await;
        };
        if tokio::time::timeout(PATIENCE, ended).await.is_err() {
            tracing::warn!("the process that carried packets did not end, and was killed");
            self.kill().await;
        }
    }

    /// What it has read is lost, if it has not ended already.
    pub(super) async fn kill(mut self) {
        // Only one that has ended cannot be killed.
        let _ = self.process.kill().await;
    }
}

async fn try_start(kit: &Kit) -> io::Result<Child> {
    let (ours, theirs) = StdStream::pair()?;
    let mut process = Command::new("/proc/self/exe")
        .arg0("netd")
        .arg(FORWARD)
        .env_clear()
        .process_group(0)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .spawn()?;
    match (process.id(), equipped(ours, kit)) {
        (Some(id), Ok(stream)) => {
            let (answers, orders) = stream.into_split();
            Ok(Child {
                process,
                id,
                orders,
                answers: BufReader::new(answers).lines(),
                last_words: None,
            })
        }
        (_, outcome) => {
            let _ = process.kill().await;
            Err(outcome.err().unwrap_or(io::ErrorKind::NotFound.into()))
        }
    }
}

/// The connection over which the other side has got its descriptors.
fn equipped(ours: StdStream, kit: &Kit) -> io::Result<UnixStream> {
    kit.send(&ours)?;
    ours.set_nonblocking(true)?;
    UnixStream::from_std(ours)
}

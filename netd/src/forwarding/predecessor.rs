//! The process that a former netd has started, and that goes on.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forwarder::{Kit, Order, line};
use tokio::task::spawn_blocking;

/// It answers, and ends, within this time, or something is wrong with it.
const PATIENCE: Duration = Duration::from_secs(5);

/// It carries packets until it is told to end.
pub(super) struct Predecessor(UnixStream);

impl Predecessor {
    /// The one that listens at `path`, and its descriptors.
    pub(super) async fn find(path: &Path) -> Option<(Self, Kit)> {
        let path = path.to_owned();
        match spawn_blocking(move || find(&path)).await {
            Ok(Ok(found)) => Some(found),
            // None is the usual case.
            Ok(Err(error)) => {
                tracing::debug!(%error, "nothing carries packets for a former netd");
                None
            }
            Err(_) => None,
        }
    }

    /// Has it send what it has read, and end.
    pub(super) async fn end(self) {
        let ended = spawn_blocking(move || end(&self.0)).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "what carried packets for the former netd does not end");
        }
    }
}

fn find(path: &PathBuf) -> io::Result<(Predecessor, Kit)> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let kit = Kit::receive(&stream)?;
    Ok((Predecessor(stream), kit))
}

fn end(mut stream: &UnixStream) -> io::Result<()> {
    stream.write_all(&line(&Order::End)?)?;
    // Until it closes its side.
    while stream.read(&mut [0; 64])? > 0 {}
    Ok(())
}

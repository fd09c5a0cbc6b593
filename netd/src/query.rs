//! `netd status`: asks a running netd over its socket.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::pages::{self, Look};
use crate::status::State;

/// Time for the whole question.
const DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read at most.
const LIMIT: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Nobody listens.
    #[error("no netd answers on {} (is it running, and with this -status-socket?)", path.display())]
    Connect {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The conversation broke.
    #[error("netd on {} does not answer", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Something else listens there.
    #[error("{} is not netd's status socket: it answered {answer:?}", path.display())]
    Answer { path: PathBuf, answer: String },
}

/// The text that `netd status` prints.
///
/// # Errors
/// netd does not run, or does not answer.
pub fn status(path: &Path, json: bool, look: Look) -> Result<String, QueryError> {
    match json {
        true => fetch(path),
        false => Ok(pages::text(&ask(path)?, look)),
    }
}

/// What a running netd says of itself.
///
/// # Errors
/// netd does not run, or does not answer.
pub fn ask(path: &Path) -> Result<State, QueryError> {
    let body = fetch(path)?;
    serde_json::from_str(&body).map_err(|_| QueryError::Answer {
        path: path.to_owned(),
        answer: first_line(&body),
    })
}

/// The process of the netd that serves the socket; `None` where nobody does, or one that cannot be seen from
/// this PID namespace (the kernel says 0 then).
pub fn process(path: &Path) -> Option<u32> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .ok()?;
    let stream = runtime.block_on(tokio::net::UnixStream::connect(path));
    let peer = stream.ok()?.peer_cred().ok()?;
    u32::try_from(peer.pid()?).ok().filter(|pid| *pid != 0)
}

fn fetch(path: &Path) -> Result<String, QueryError> {
    let mut stream = UnixStream::connect(path).map_err(|source| QueryError::Connect {
        path: path.to_owned(),
        source,
    })?;
    let answer = converse(&mut stream).map_err(|source| QueryError::Io {
        path: path.to_owned(),
        source,
    })?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body))
            if head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200") =>
        {
            Ok(body.to_owned())
        }
        _ => Err(QueryError::Answer {
            path: path.to_owned(),
            answer: first_line(&answer),
        }),
    }
}

/// HTTP/1.0: the answer ends with the connection, and comes in one piece.
fn converse(stream: &mut UnixStream) -> io::Result<String> {
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    stream.write_all(b"GET /status HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(LIMIT).read_to_string(&mut answer)?;
    Ok(answer)
}

fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(80)
        .collect()
}

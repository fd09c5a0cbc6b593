//! The pages `/healthz`, `/readyz`, `/metrics` and `/status`, over a unix socket and, when
//! asked for, TCP. GET and HEAD only; a connection serves one request.

mod page;
mod places;
mod socket;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::AbortHandle;

use crate::status::Status;
use page::Audience;
use places::{Admission, Places, Ticket};

pub use socket::Socket;

/// Time for sending a request's head.
const HEAD_TIME: Duration = Duration::from_secs(1);
/// Time for a whole connection.
const DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of a request's head.
const HEAD: usize = 8 * 1024;

/// A listener that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A TCP port.
    #[error("cannot listen on {address}")]
    Tcp {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// A unix socket.
    #[error("cannot listen on {}", path.display())]
    Unix {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Another process answers there.
    #[error("another netd answers on {}: stop it, or give another -status-socket", .0.display())]
    InUse(PathBuf),
    /// Something else has the socket's name.
    #[error(
        "cannot listen on {}: it is {kind}, not a socket; remove it, or give another \
         -status-socket",
        path.display()
    )]
    NotASocket { path: PathBuf, kind: &'static str },
}

/// Serves the pages on a TCP port from now on: `/healthz` and `/readyz` to everybody, the others
/// to clients on this machine's loopback, or with `open` to everybody as well.
///
/// # Errors
/// The port cannot be had.
pub async fn serve_tcp(
    address: SocketAddr,
    open: bool,
    status: Arc<Status>,
) -> Result<(), HttpError> {
    let failed = |source| HttpError::Tcp { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    tracing::info!(%address, "serving health pages");
    let server = Server::new(status);
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    let peer = from.ip().to_canonical();
                    let audience = match open || peer.is_loopback() {
                        true => Audience::Trusted,
                        false => Audience::Anybody,
                    };
                    server.serve(stream, Some(peer), audience);
                }
                Err(error) => pause(&error).await,
            }
        }
    });
    Ok(())
}

/// Serves all pages on a unix socket from now on. The file goes with the returned value.
///
/// # Errors
/// The socket cannot be had, something else has its name, or another process answers on it.
pub fn serve_unix(path: &Path, status: Arc<Status>) -> Result<Socket, HttpError> {
    let (listener, socket) = socket::bind(path)?;
    let listener = UnixListener::from_std(listener).map_err(|source| HttpError::Unix {
        path: path.to_owned(),
        source,
    })?;
    tracing::debug!(path = %path.display(), "serving status");
    let server = Server::new(status);
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => server.serve(stream, None, Audience::Trusted),
                Err(error) => pause(&error).await,
            }
        }
    });
    Ok(socket)
}

/// Accepting fails while descriptors are short; trying at once again would spin.
async fn pause(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// The connections of one listener.
#[derive(Clone)]
struct Server {
    status: Arc<Status>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    places: Places,
    running: HashMap<Ticket, AbortHandle>,
}

impl Server {
    fn new(status: Arc<Status>) -> Self {
        Self {
            status,
            inner: Arc::default(),
        }
    }

    /// Serves a connection in a task of its own; without a place for it, closes it.
    fn serve<S>(&self, stream: S, peer: Option<IpAddr>, audience: Audience)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut inner = self.lock();
        let ticket = match inner.places.admit(peer) {
            Admission::Free(ticket) => ticket,
            Admission::InsteadOf(ticket, leaving) => {
                if let Some(leaving) = inner.running.remove(&leaving) {
                    leaving.abort();
                }
                ticket
            }
            Admission::Refused => return,
        };
        let server = self.clone();
        let task = tokio::spawn(async move {
            server.converse(stream, ticket, audience).await;
            let mut inner = server.lock();
            inner.places.leave(ticket);
            inner.running.remove(&ticket);
        });
        inner.running.insert(ticket, task.abort_handle());
    }

    async fn converse<S>(&self, stream: S, ticket: Ticket, audience: Audience)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request: Request<Incoming>| {
            self.lock().places.complete(ticket);
            let path = request.uri().path();
            let response = page::answer(request.method(), path, audience, &self.status);
            async move { Ok::<_, Infallible>(response) }
        });
        let mut server = http1::Builder::new();
        server
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD)
            .keep_alive(false);
        let connection = server.serve_connection(TokioIo::new(stream), service);
        // A client that is too slow or breaks off is its own problem.
        let _ = tokio::time::timeout(DEADLINE, connection).await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpStream, UnixStream};

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime")
    }

    async fn ask(path: &Path, request: &str) -> String {
        let mut stream = UnixStream::connect(path).await.expect("connect");
        stream.write_all(request.as_bytes()).await.expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        answer
    }

    #[test]
    fn a_unix_socket_serves_every_page_and_refuses_long_heads() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("run/netd.sock");
        runtime().block_on(async {
            let _socket = serve_unix(&path, Arc::new(Status::new())).expect("serve");
            let health = ask(&path, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
            assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
            assert!(health.ends_with("flanneld is running"), "{health}");
            let status = ask(&path, "GET /status HTTP/1.1\r\nHost: x\r\n\r\n").await;
            assert!(status.contains("\"ready\": false"), "{status}");
            let metrics = ask(&path, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
            assert!(metrics.contains("netd_ready 0\n"), "{metrics}");
            let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(2 * HEAD));
            let mut stream = UnixStream::connect(&path).await.expect("connect");
            let _ = stream.write_all(long.as_bytes()).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            assert!(
                !answer.starts_with(b"HTTP/1.1 200"),
                "{}",
                String::from_utf8_lossy(&answer)
            );
        });
    }

    /// Port 0 would not tell its number, so one is tried after the other.
    async fn serve_somewhere() -> SocketAddr {
        for port in 20_000..21_000 {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            if serve_tcp(address, false, Arc::new(Status::new()))
                .await
                .is_ok()
            {
                return address;
            }
        }
        panic!("no port is free");
    }

    async fn half_open(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("connect");
        stream.write_all(b"GET /h").await.expect("write");
        stream
    }

    #[test]
    fn half_open_connections_keep_nobody_out_and_end_soon() {
        runtime().block_on(async {
            let address = serve_somewhere().await;
            let mut held = Vec::new();
            for _ in 0..200 {
                held.push(half_open(address).await);
            }
            let mut asking = half_open(address).await;
            asking
                .write_all(b"ealthz HTTP/1.0\r\n\r\n")
                .await
                .expect("write");
            let mut answer = String::new();
            asking.read_to_string(&mut answer).await.expect("read");
            assert!(answer.ends_with("flanneld is running"), "{answer}");
            // Nobody is left open: a read ends, with nothing or with an error.
            for stream in &mut held {
                let mut rest = Vec::new();
                let ended = tokio::time::timeout(DEADLINE * 6, stream.read_to_end(&mut rest));
                let _ = ended.await.expect("the connection is still open");
            }
        });
    }
}

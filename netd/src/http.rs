//! The pages `/healthz`, `/readyz`, `/metrics` and `/status`, over a unix socket and, when
//! asked for, TCP. GET and HEAD only; a connection serves one request within five seconds.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use crate::pages;
use crate::status::Status;

/// Connections served at once; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 32;
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
        source: std::io::Error,
    },
    /// A unix socket.
    #[error("cannot listen on {}", path.display())]
    Unix {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Another process answers there.
    #[error("another netd answers on {}: stop it, or give another -status-socket", .0.display())]
    InUse(PathBuf),
}

/// Serves the pages on a TCP port from now on.
///
/// # Errors
/// The port cannot be had.
pub async fn serve_tcp(address: SocketAddr, status: Arc<Status>) -> Result<(), HttpError> {
    let failed = |source| HttpError::Tcp { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    tracing::info!(%address, "serving health pages");
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    tokio::spawn(async move {
        while let Ok(permit) = Arc::clone(&connections).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => spawn(stream, Arc::clone(&status), permit),
                Err(error) => pause(&error).await,
            }
        }
    });
    Ok(())
}

/// Serves the pages on a unix socket from now on. A socket that a killed process left is
/// replaced.
///
/// # Errors
/// The socket cannot be had, or another process answers on it.
pub async fn serve_unix(path: &Path, status: Arc<Status>) -> Result<(), HttpError> {
    let failed = |source| HttpError::Unix {
        path: path.to_owned(),
        source,
    };
    if tokio::net::UnixStream::connect(path).await.is_ok() {
        return Err(HttpError::InUse(path.to_owned()));
    }
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    tracing::debug!(path = %path.display(), "serving status");
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    tokio::spawn(async move {
        while let Ok(permit) = Arc::clone(&connections).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => spawn(stream, Arc::clone(&status), permit),
                Err(error) => pause(&error).await,
            }
        }
    });
    Ok(())
}

/// Accepting fails while descriptors are short; trying at once again would spin.
async fn pause(error: &std::io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn spawn<S>(stream: S, status: Arc<Status>, permit: tokio::sync::OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        let service = service_fn(move |request| {
            let response = answer(&request, &status);
            async move { Ok::<_, Infallible>(response) }
        });
        let mut server = http1::Builder::new();
        server.max_buf_size(HEAD).keep_alive(false);
        let connection = server.serve_connection(TokioIo::new(stream), service);
        // A client that is too slow or breaks off is its own problem.
        let _ = tokio::time::timeout(DEADLINE, connection).await;
        drop(permit);
    });
}

fn answer(request: &Request<Incoming>, status: &Status) -> Response<Full<Bytes>> {
    page(request.method(), request.uri().path(), status)
}

/// The answer to one request; paths, status codes and texts of flannel's pages are flannel's.
fn page(method: &Method, path: &str, status: &Status) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let (code, kind, body) = match path {
        "/healthz" => (StatusCode::OK, TEXT, "flanneld is running".to_owned()),
        "/readyz" if status.is_ready() => (StatusCode::OK, TEXT, "flanneld is ready".to_owned()),
        "/readyz" => (
            StatusCode::SERVICE_UNAVAILABLE,
            TEXT,
            "flanneld is not ready yet".to_owned(),
        ),
        "/metrics" => {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            (
                StatusCode::OK,
                kind,
                pages::metrics(&status.snapshot(), status.uptime()),
            )
        }
        "/status" => (
            StatusCode::OK,
            "application/json",
            pages::json(&status.snapshot()),
        ),
        _ => (
            StatusCode::NOT_FOUND,
            TEXT,
            "404 page not found\n".to_owned(),
        ),
    };
    let allowed = method == Method::GET || method == Method::HEAD;
    let (code, body) = match allowed {
        true => (code, body),
        false => (StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(if allowed { kind } else { TEXT }),
    );
    if !allowed {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime")
    }

    async fn ask(path: &Path, request: &str) -> String {
        let mut stream = tokio::net::UnixStream::connect(path)
            .await
            .expect("connect");
        stream.write_all(request.as_bytes()).await.expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        answer
    }

    #[test]
    fn pages_have_flannels_codes_and_texts() {
        let status = Status::new();
        let code = |method, path| page(&method, path, &status).status().as_u16();
        assert_eq!(code(Method::GET, "/healthz"), 200);
        assert_eq!(code(Method::GET, "/readyz"), 503);
        status.started();
        assert_eq!(code(Method::GET, "/readyz"), 200);
        assert_eq!(code(Method::GET, "/"), 404);
        assert_eq!(code(Method::POST, "/status"), 405);
    }

    #[test]
    fn a_unix_socket_serves_every_page_and_refuses_long_heads() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("run/netd.sock");
        runtime().block_on(async {
            serve_unix(&path, Arc::new(Status::new()))
                .await
                .expect("serve");
            let health = ask(&path, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
            assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
            assert!(health.ends_with("flanneld is running"), "{health}");
            let status = ask(&path, "GET /status HTTP/1.1\r\nHost: x\r\n\r\n").await;
            assert!(status.contains("\"ready\": false"), "{status}");
            let metrics = ask(&path, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
            assert!(metrics.contains("netd_ready 0\n"), "{metrics}");
            let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(2 * HEAD));
            let mut stream = tokio::net::UnixStream::connect(&path)
                .await
                .expect("connect");
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

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("netd.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("stale socket"));
        runtime().block_on(async {
            serve_unix(&path, Arc::new(Status::new()))
                .await
                .expect("replaced");
            let second = serve_unix(&path, Arc::new(Status::new())).await;
            assert!(matches!(second, Err(HttpError::InUse(_))), "{second:?}");
        });
    }
}

//! `lab metrics`: the page on standard output, or the pages by HTTP on this machine's loopback.
//!
//! | path | what |
//! |---|---|
//! | `/metrics`, `/metrics/NODE` | what containers, pods and links of all nodes use, or of one |
//! | `/metrics/NODE/netd` | the page of the node's netd |
//! | `/pods/POD:PORT/PATH` | a page of a pod's own |
//!
//! Pods and nodes are in networks that nothing on the machine reaches: this is the way in. A connection serves
//! one GET.
//!
//! A browser on the machine is a way in as well, for whoever has it show a page: requests are answered by the
//! names of loopback alone, and what pods say is shown without rights.

mod host;
mod onward;
mod route;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use super::{Snapshot, page};
use crate::node::Node;
use crate::state::{LabDir, Name};
use route::Route;

/// `lab metrics`
#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// Serve the pages there until Ctrl-C (127.0.0.1:9180): /metrics, /metrics/NODE, /metrics/NODE/netd,
    /// /pods/POD:PORT/PATH; loopback only, and port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_loopback)]
    pub listen: Option<SocketAddr>,
}

fn parse_loopback(text: &str) -> Result<SocketAddr> {
    let address: SocketAddr = text
        .parse()
        .with_context(|| format!("{text:?} is not an address and a port: give 127.0.0.1:9180"))?;
    if !address.ip().is_loopback() {
        bail!(
            "{text} can be reached from other machines, which have no business in pods: give 127.0.0.1:PORT or [::1]:PORT"
        );
    }
    Ok(address)
}

/// The page of all nodes.
///
/// # Errors
/// There is no such lab; what there is cannot be read.
pub fn page_of_all(dir: &LabDir) -> Result<String> {
    Ok(page(&Snapshot::take(dir)?, None))
}

/// Time for sending a request's head.
const HEAD_TIME: Duration = Duration::from_secs(1);
/// Time for a whole connection: what Prometheus waits for a page, unless told otherwise.
const DEADLINE: Duration = Duration::from_secs(10);
/// Time for making a page, less than that: who asks hears of a pod that does not answer.
const PATIENCE: Duration = Duration::from_secs(8);
/// Connections at a time; others wait. A page may be large.
const MOST_CONNECTIONS: usize = 32;

/// Serves the pages until SIGINT or SIGTERM; `ready` is told where.
///
/// # Errors
/// There is no such lab; the port cannot be had.
pub fn serve(
    dir: &LabDir,
    address: SocketAddr,
    ready: impl FnOnce(SocketAddr) -> Result<()>,
) -> Result<()> {
    dir.lab()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the event loop")?;
    let served = runtime.block_on(async {
        let end = asked_to_end()?;
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("listen on {address}"))?;
        ready(listener.local_addr().context("find the own address")?)?;
        tokio::select! {
            never = accept(dir, &listener) => never,
            () = end => Ok(()),
        }
    });
    // A pod that does not answer is not waited for.
    runtime.shutdown_background();
    served
}

fn asked_to_end() -> Result<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).context("listen to signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

async fn accept(dir: &LabDir, listener: &TcpListener) -> Result<()> {
    let free = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let place = Arc::clone(&free).acquire_owned().await;
        let place = place.context("wait for a connection to end")?;
        match listener.accept().await {
            Ok((stream, _)) => {
                let dir = dir.clone();
                tokio::spawn(async move {
                    converse(dir, stream).await;
                    drop(place);
                });
            }
            // Descriptors are short; trying at once again would spin.
            Err(error) => {
                eprintln!("lab: cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(dir: LabDir, stream: TcpStream) {
    let service = service_fn(|request| {
        let answer = answer(&dir, request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .keep_alive(false);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    // A client that is too slow or breaks off is its own problem.
    let _ = tokio::time::timeout(DEADLINE, connection).await;
}

/// A page: its status, its kind, its content.
struct Page {
    status: StatusCode,
    kind: HeaderValue,
    body: Bytes,
}

const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

impl Page {
    fn metrics(text: String) -> Self {
        Self {
            status: StatusCode::OK,
            kind: METRICS,
            body: text.into(),
        }
    }

    fn refusal(status: StatusCode, text: &str) -> Self {
        Self {
            status,
            kind: TEXT,
            body: format!("{text}\n").into(),
        }
    }
}

async fn answer(dir: &LabDir, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let page = match (request.method(), Route::of(request.uri())) {
        _ if !host::is_loopback(&request) => Page::refusal(
            StatusCode::MISDIRECTED_REQUEST,
            "ask by an address of loopback or by localhost",
        ),
        (&Method::GET, Some(route)) => within(PATIENCE, follow(dir, route)).await,
        (&Method::GET, None) => Page::refusal(
            StatusCode::NOT_FOUND,
            "there are /metrics, /metrics/NODE, /metrics/NODE/netd and /pods/POD:PORT/PATH",
        ),
        _ => Page::refusal(StatusCode::METHOD_NOT_ALLOWED, "use GET"),
    };
    let mut response = Response::new(Full::new(page.body));
    *response.status_mut() = page.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, page.kind);
    // What a pod says is nothing that a browser may run, and of no origin that others are of.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A page that cannot be had, or not in time, is one that says so.
async fn within(patience: Duration, page: impl Future<Output = Result<Page>>) -> Page {
    let late = |_| Err(anyhow!("no answer within {patience:?}"));
    let page = tokio::time::timeout(patience, page).await;
    page.unwrap_or_else(late)
        .unwrap_or_else(|error| Page::refusal(StatusCode::BAD_GATEWAY, &format!("{error:#}")))
}

async fn follow(dir: &LabDir, route: Route) -> Result<Page> {
    match route {
        Route::All => figures(dir, page_of_all).await,
        Route::Node(name) => figures(dir, move |dir| of_node(dir, &name)).await,
        Route::Netd(name) => onward::netd(&Node::find(dir, &name)?).await,
        Route::Pod { name, port, path } => onward::pod(dir, &name, port, &path).await,
    }
}

/// Reads them on another thread: there are many files, and other connections to serve.
async fn figures(
    dir: &LabDir,
    read: impl FnOnce(&LabDir) -> Result<String> + Send + 'static,
) -> Result<Page> {
    let dir = dir.clone();
    let text = tokio::task::spawn_blocking(move || read(&dir));
    Ok(Page::metrics(text.await.context("read figures")??))
}

fn of_node(dir: &LabDir, name: &Name) -> Result<String> {
    Node::find(dir, name)?;
    Ok(page(&Snapshot::take(dir)?, Some(name)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_page_that_does_not_come_is_one_that_says_so() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let never = std::future::pending::<Result<Page>>();
        let page = runtime.block_on(within(Duration::from_millis(1), never));
        assert_eq!(page.status, StatusCode::BAD_GATEWAY);
        assert_eq!(page.body, "no answer within 1ms\n");
    }

    #[test]
    fn only_loopback_is_listened_on() {
        for good in ["127.0.0.1:9180", "[::1]:0", "127.9.9.9:1"] {
            assert!(parse_loopback(good).is_ok(), "{good}");
        }
        for bad in [
            "0.0.0.0:9180",
            "[::]:9180",
            "192.0.2.1:1",
            "9180",
            "localhost:1",
        ] {
            assert!(parse_loopback(bad).is_err(), "{bad}");
        }
    }
}

//! Pages by HTTP on this machine's loopback, for those who may look at a lab: `lab metrics --listen` and `lab ui`.
//!
//! A browser on the machine is a way in as well, for whoever has it show a page: requests are answered by the
//! names of loopback alone, and no page has rights that it does not ask for.

mod host;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::extract::Request;
use axum::http::header::{CONTENT_SECURITY_POLICY, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use crate::output::complain;

/// Time for sending a request's head, which a machine that works for many may need.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Connections at a time; others wait. A page may be large.
pub(crate) const MOST_CONNECTIONS: usize = 32;

/// What a page may do unless it says so itself: run nothing, and be of no origin that others are of.
const NOTHING: HeaderValue = HeaderValue::from_static("sandbox");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// Where pages are served.
///
/// # Errors
/// It is no address with a port, or one that other machines reach.
pub(crate) fn parse_loopback(text: &str) -> Result<SocketAddr> {
    let address: SocketAddr = text.parse().with_context(|| {
        format!("{text:?} is not an address and a port: give 127.0.0.1:PORT or [::1]:PORT")
    })?;
    if !address.ip().is_loopback() {
        bail!(
            "{text} can be reached from other machines, which have no business in pods: give 127.0.0.1:PORT or [::1]:PORT"
        );
    }
    Ok(address)
}

/// Serves pages until SIGINT or SIGTERM, each connection one request and for `deadline` at most; `ready` is told
/// where. `work` goes on beside them.
///
/// # Errors
/// The port cannot be had; `work` failed.
pub(crate) fn serve(
    pages: Router,
    address: SocketAddr,
    deadline: Duration,
    work: impl Future<Output = Result<()>>,
    ready: impl FnOnce(SocketAddr) -> Result<()>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the event loop")?;
    let pages = pages.layer(from_fn(guard));
    let served = runtime.block_on(async {
        let end = asked_to_end()?;
        let listener = TcpListener::bind(address).await;
        let listener = listener
            .with_context(|| format!("listen on {address} (port 0 takes any that is free)"))?;
        ready(listener.local_addr().context("find the own address")?)?;
        tokio::select! {
            never = accept(&listener, MOST_CONNECTIONS, |stream| converse(pages.clone(), stream, deadline)) => never,
            failed = work => failed,
            () = end => Ok(()),
        }
    });
    // A pod that does not answer is not waited for.
    runtime.shutdown_background();
    served
}

/// Ends with SIGINT or SIGTERM.
///
/// # Errors
/// Nobody can listen to signals.
pub(crate) fn asked_to_end() -> Result<impl Future<Output = ()>> {
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

/// Has connections served, so many at a time; others wait.
///
/// # Errors
/// It ends with one alone.
pub(crate) async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: &TcpListener,
    most: usize,
    serve: impl Fn(TcpStream) -> F,
) -> Result<()> {
    let free = Arc::new(Semaphore::new(most));
    loop {
        let place = Arc::clone(&free).acquire_owned().await;
        let place = place.context("wait for a connection to end")?;
        match listener.accept().await {
            Ok((stream, _)) => {
                let serving = serve(stream);
                tokio::spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            // Descriptors are short; trying at once again would spin.
            Err(error) => {
                complain(format_args!("cannot accept a connection: {error}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(pages: Router, stream: TcpStream, deadline: Duration) {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .keep_alive(false);
    let pages = TowerToHyperService::new(pages);
    let connection = server.serve_connection(TokioIo::new(stream), pages);
    // A client that is too slow or breaks off is its own problem.
    let _ = tokio::time::timeout(deadline, connection).await;
}

/// What holds for every page.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = match (host::is_loopback(&request), is_anothers(request.headers())) {
        (true, false) => next.run(request).await,
        (false, _) => refusal(
            StatusCode::MISDIRECTED_REQUEST,
            "ask by an address of loopback or by localhost",
        ),
        (true, true) => refusal(
            StatusCode::FORBIDDEN,
            "another page asked for this: open the address itself",
        ),
    };
    let headers = response.headers_mut();
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(NOTHING);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        CROSS_ORIGIN_RESOURCE_POLICY,
        HeaderValue::from_static("same-origin"),
    );
    response
}

/// Whether a browser says that the page of somebody else has it ask (Fetch Metadata, "Sec-Fetch-Site"): it could not
/// read the answer, but what a pod does when it is asked is done.
fn is_anothers(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| !["same-origin", "none"].iter().any(|own| site == own))
}

/// A page that says why there is no other.
pub(crate) fn refusal(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}

/// Of a request that changes something: nothing here does.
pub(crate) async fn only_get() -> Response {
    refusal(StatusCode::METHOD_NOT_ALLOWED, "use GET")
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn pages_of_others_have_nothing_asked() {
        for (site, refused) in [
            (None, false),
            (Some("none"), false),
            (Some("same-origin"), false),
            (Some("same-site"), true),
            (Some("cross-site"), true),
            (Some(""), true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(site) = site {
                headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            }
            assert_eq!(is_anothers(&headers), refused, "{site:?}");
        }
    }
}

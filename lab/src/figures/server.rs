//! `lab metrics`: the page on standard output, or the pages by HTTP on this machine's loopback.
//!
//! | path | what |
//! |---|---|
//! | `/` | links to the others |
//! | `/metrics`, `/metrics/NODE` | what containers, pods and links of all nodes use, or of one |
//! | `/metrics/NODE/netd` | the page of the node's netd |
//! | `/pods/POD:PORT/PATH` | a page of a pod's own |
//!
//! Pods and nodes are in networks that nothing on the machine reaches: this is the way in.

mod index;
mod onward;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Args;

use super::{Snapshot, page};
use crate::keeper;
use crate::node::Node;
use crate::pod::Pod;
use crate::state::{LabDir, Name};
use crate::web;
use onward::Target;

/// `lab metrics`
#[derive(Debug, Args)]
#[command(after_help = "Example: lab metrics --listen 127.0.0.1:9180")]
pub struct MetricsArgs {
    /// Serve the pages there until Ctrl-C (127.0.0.1:9180): / lists them, /metrics, /metrics/NODE, /metrics/NODE/netd,
    /// /pods/POD:PORT/PATH; loopback only, and port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = web::parse_loopback)]
    pub listen: Option<SocketAddr>,
}

/// The page of all nodes.
///
/// # Errors
/// There is no such lab; what there is cannot be read.
pub fn page_of_all(dir: &LabDir) -> Result<String> {
    Ok(page(&Snapshot::take(dir)?, None))
}

/// Time for a whole connection: pages of pods may be large, and who asks slow.
const DEADLINE: Duration = Duration::from_secs(60);
/// Time for making a page, less than the 10 s that Prometheus waits for one: who asks hears of a pod that does not
/// answer.
const PATIENCE: Duration = Duration::from_secs(8);

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
    let nothing_else = std::future::pending();
    web::serve(pages(dir), address, DEADLINE, nothing_else, ready)
}

fn pages(dir: &LabDir) -> Router {
    Router::new()
        .route("/", get(of_what_there_is))
        .route("/metrics", get(of_all))
        .route("/metrics/{node}", get(of_node))
        .route("/metrics/{node}/netd", get(of_netd))
        .route("/pods/{*target}", get(of_pod))
        .fallback(nowhere)
        .method_not_allowed_fallback(web::only_get)
        .with_state(dir.clone())
}

async fn nowhere() -> Response {
    web::refusal(
        StatusCode::NOT_FOUND,
        "/ lists what there is: /metrics, /metrics/NODE, /metrics/NODE/netd and /pods/POD:PORT/PATH",
    )
}

/// A page: its status, its kind, its content.
struct Page {
    status: StatusCode,
    kind: HeaderValue,
    body: Bytes,
}

const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

impl Page {
    fn metrics(text: String) -> Self {
        Self {
            status: StatusCode::OK,
            kind: METRICS,
            body: text.into(),
        }
    }

    fn html(text: String) -> Self {
        Self {
            kind: HTML,
            ..Self::metrics(text)
        }
    }
}

/// A path names what the lab has not.
#[derive(Debug, thiserror::Error)]
#[error("there is no {kind} {name}: / lists what there is")]
struct Missing {
    kind: &'static str,
    name: Name,
}

/// What does not run has no pages.
fn require_running(dir: &LabDir) -> Result<()> {
    dir.lab()?;
    keeper::require(dir).map(drop)
}

fn require_node(dir: &LabDir, name: &Name) -> Result<Node> {
    if !dir.node(name).exists() {
        let name = name.clone();
        bail!(Missing { kind: "node", name });
    }
    Node::find(dir, name)
}

fn require_pod(dir: &LabDir, name: &Name) -> Result<Pod> {
    if !dir.pod(name).exists() {
        let name = name.clone();
        bail!(Missing { kind: "pod", name });
    }
    Pod::find(dir, name)
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        (self.status, [(CONTENT_TYPE, self.kind)], self.body).into_response()
    }
}

/// A page that cannot be had, or not in time, is one that says so.
async fn within(patience: Duration, page: impl Future<Output = Result<Page>>) -> Response {
    let late = |_| Err(anyhow!("no answer within {patience:?}"));
    let page = tokio::time::timeout(patience, page).await;
    match page.unwrap_or_else(late) {
        Ok(page) => page.into_response(),
        Err(error) if error.is::<Missing>() => {
            web::refusal(StatusCode::NOT_FOUND, &error.to_string())
        }
        Err(error) => web::refusal(StatusCode::BAD_GATEWAY, &format!("{error:#}")),
    }
}

async fn of_what_there_is(State(dir): State<LabDir>) -> Response {
    let page = async { Ok(Page::html(read(dir, index::page).await?)) };
    within(PATIENCE, page).await
}

async fn of_all(State(dir): State<LabDir>) -> Response {
    within(PATIENCE, figures(dir, page_of_all)).await
}

async fn of_node(State(dir): State<LabDir>, Path(node): Path<String>) -> Response {
    let Ok(name) = node.parse::<Name>() else {
        return nowhere().await;
    };
    let page = figures(dir, move |dir| {
        require_node(dir, &name)?;
        Ok(page(&Snapshot::take(dir)?, Some(&name)))
    });
    within(PATIENCE, page).await
}

async fn of_netd(State(dir): State<LabDir>, Path(node): Path<String>) -> Response {
    let Ok(name) = node.parse() else {
        return nowhere().await;
    };
    let page = async {
        let node = read(dir, move |dir| require_node(dir, &name)).await?;
        onward::netd(&node).await
    };
    within(PATIENCE, page).await
}

async fn of_pod(State(dir): State<LabDir>, uri: Uri) -> Response {
    match Target::of(&uri) {
        Some(target) => within(PATIENCE, onward::pod(dir, target)).await,
        None => nowhere().await,
    }
}

async fn figures(
    dir: LabDir,
    text: impl FnOnce(&LabDir) -> Result<String> + Send + 'static,
) -> Result<Page> {
    Ok(Page::metrics(read(dir, text).await?))
}

/// Reads of a lab that runs, on another thread: there are many files, other connections to serve, and an end to patience.
async fn read<T: Send + 'static>(
    dir: LabDir,
    what: impl FnOnce(&LabDir) -> Result<T> + Send + 'static,
) -> Result<T> {
    let read = tokio::task::spawn_blocking(move || {
        require_running(&dir)?;
        what(&dir)
    });
    read.await.context("read what there is")?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().build().unwrap().block_on(work)
    }

    #[test]
    fn a_page_that_does_not_come_is_one_that_says_so() {
        let never = std::future::pending::<Result<Page>>();
        let (status, body) = run(async {
            let page = within(Duration::from_millis(1), never).await;
            (
                page.status(),
                to_bytes(page.into_body(), 100).await.unwrap(),
            )
        });
        assert_eq!(status, StatusCode::BAD_GATEWAY);
        assert_eq!(body, "no answer within 1ms\n");
    }

    /// In a lab that is not there: who looks for it says so.
    #[test]
    fn paths_lead_to_pages_or_nowhere() {
        let pages = pages(&LabDir::of(&"not-there".parse().unwrap()));
        let status = |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path);
            let request = request.body(Body::empty()).unwrap();
            run(pages.clone().oneshot(request)).unwrap().status()
        };
        for path in [
            "/",
            "/metrics",
            "/metrics/n1",
            "/metrics/n1/netd",
            "/pods/web:80",
            "/pods/web:80/a/b?c=d",
        ] {
            assert_eq!(status("GET", path), StatusCode::BAD_GATEWAY, "{path}");
            assert_eq!(
                status("POST", path),
                StatusCode::METHOD_NOT_ALLOWED,
                "{path}"
            );
        }
        for path in [
            "/metrics/",
            "/metrics/n1/x",
            "/metrics/..",
            "/pods",
            "/pods/web",
            "/pods/web:80000/",
            "/pods/web:x/",
            "/other",
        ] {
            assert_eq!(status("GET", path), StatusCode::NOT_FOUND, "{path}");
        }
    }
}

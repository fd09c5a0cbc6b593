//! `lab ui`: a page on this machine's loopback that draws the lab and follows it. It changes nothing.
//!
//! | path | what |
//! |---|---|
//! | `/`, `/style.css`, `/script.js`, `/icon.svg` | the page |
//! | `/api/v1/snapshot` | what there is to see now ([`crate::watch`]) |
//! | `/api/v1/stream` | the same again and again, as server-sent events |
//! | `/api/v1/pods/POD/events` | what happened to a pod |
//!
//! Everything is in the executable, and the page asks nobody else.

mod watcher;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, RETRY_AFTER,
};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Args;
use futures::stream;
use tokio::sync::Semaphore;

use crate::keeper;
use crate::pod::Pod;
use crate::program::Programs;
use crate::state::{LabDir, Name};
use crate::web;
use watcher::{Seen, Watcher};

/// `lab ui`
#[derive(Debug, Args)]
pub struct UiArgs {
    /// Serve the page there until Ctrl-C; loopback only, and port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9190",
          value_parser = web::parse_loopback)]
    pub listen: SocketAddr,
    /// Look anew every so many seconds while somebody looks at the page
    #[arg(long, value_name = "SECONDS", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=60))]
    pub interval: u32,
    /// Directory with the netd and podwire executables [default: where lab lies]
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,
}

/// How long one stream goes on; a browser asks for the next one itself. A reader that has stopped holds a
/// connection no longer than that.
const STREAM_TIME: Duration = Duration::from_secs(60);
/// Time for a whole connection, a look at a lab that answers slowly included.
const DEADLINE: Duration = STREAM_TIME.saturating_add(Duration::from_secs(10));
/// How long a stream says nothing at most.
const ALIVE: Duration = Duration::from_secs(2);
/// How soon a browser asks again.
const AGAIN: Duration = Duration::from_secs(1);

/// Streams at a time, so that connections are left for all else.
const MOST_STREAMS: usize = 24;
const _: () = assert!(MOST_STREAMS < web::MOST_CONNECTIONS);

/// The page runs its own script, has its own style, and asks its own server; text never becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Serves the page until SIGINT or SIGTERM; `ready` is told where.
///
/// # Errors
/// There is no such lab, or it has stopped; the port cannot be had.
pub fn serve(
    dir: &LabDir,
    args: &UiArgs,
    ready: impl FnOnce(SocketAddr) -> Result<()>,
) -> Result<()> {
    dir.lab()?;
    keeper::require(dir)?;
    let programs = Programs::find(args.bin_dir.as_deref())?;
    let interval = Duration::from_secs(args.interval.into());
    let watcher = Watcher::default();
    let work = watcher.clone().watch(dir.clone(), programs, interval);
    let dir = dir.clone();
    let pages = pages(Ui::new(dir, watcher));
    web::serve(pages, args.listen, DEADLINE, work, ready)
}

#[derive(Clone)]
struct Ui {
    dir: LabDir,
    watcher: Watcher,
    /// Places of streams.
    streams: Arc<Semaphore>,
}

impl Ui {
    fn new(dir: LabDir, watcher: Watcher) -> Self {
        let streams = Arc::new(Semaphore::new(MOST_STREAMS));
        Self {
            dir,
            watcher,
            streams,
        }
    }
}

fn pages(ui: Ui) -> Router {
    Router::new()
        .route("/", file("text/html", include_str!("ui/page.html")))
        .route("/style.css", file("text/css", include_str!("ui/style.css")))
        .route(
            "/script.js",
            file("text/javascript", include_str!("ui/script.js")),
        )
        .route(
            "/icon.svg",
            file("image/svg+xml", include_str!("ui/icon.svg")),
        )
        .route("/api/v1/snapshot", get(snapshot))
        .route("/api/v1/stream", get(follow))
        .route("/api/v1/pods/{pod}/events", get(events))
        .fallback(nowhere)
        .method_not_allowed_fallback(web::only_get)
        .with_state(ui)
}

async fn nowhere() -> Response {
    web::refusal(
        StatusCode::NOT_FOUND,
        "there are /, /api/v1/snapshot, /api/v1/stream and /api/v1/pods/POD/events",
    )
}

/// A part of the page, as it is in the executable. The next executable may have another.
fn file(kind: &'static str, content: &'static str) -> axum::routing::MethodRouter<Ui> {
    get(move || async move {
        let headers: [(HeaderName, String); 4] = [
            (CONTENT_TYPE, format!("{kind}; charset=utf-8")),
            (CONTENT_SECURITY_POLICY, POLICY.to_owned()),
            (REFERRER_POLICY, "no-referrer".to_owned()),
            (CACHE_CONTROL, "no-store".to_owned()),
        ];
        (headers, content)
    })
}

fn json(text: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, text).into_response()
}

/// The first look that has rates: it takes an interval when nobody else looks.
async fn snapshot(State(ui): State<Ui>) -> Response {
    let mut seen = ui.watcher.look();
    loop {
        match seen.next().await {
            Some(Seen::Lab {
                json: text,
                has_rates: true,
            }) => return json(text.to_string()),
            Some(Seen::Lab { .. }) => {}
            Some(Seen::Nothing(why)) => return web::refusal(StatusCode::BAD_GATEWAY, &why),
            None => return web::refusal(StatusCode::BAD_GATEWAY, "nobody looks at the lab"),
        }
    }
}

async fn follow(State(ui): State<Ui>) -> Response {
    let Ok(place) = Arc::clone(&ui.streams).try_acquire_owned() else {
        return no_place();
    };
    let end = tokio::time::Instant::now() + STREAM_TIME;
    let events = stream::unfold(
        (ui.watcher.look(), place),
        move |(mut seen, place)| async move {
            if tokio::time::Instant::now() > end {
                return None;
            }
            let event = match tokio::time::timeout(ALIVE, seen.next()).await {
                Ok(seen) => event(seen?),
                Err(_) => Event::default().event("alive").data("{}"),
            };
            Some((Ok::<_, Infallible>(event.retry(AGAIN)), (seen, place)))
        },
    );
    Sse::new(events).into_response()
}

fn no_place() -> Response {
    let text = format!("{MOST_STREAMS} streams are read already: end one");
    let mut response = web::refusal(StatusCode::SERVICE_UNAVAILABLE, &text);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, AGAIN.as_secs().into());
    response
}

fn event(seen: Seen) -> Event {
    match seen {
        Seen::Lab { json, .. } => Event::default().event("snapshot").data(json),
        Seen::Nothing(why) => {
            let why = serde_json::json!({ "reason": &*why });
            Event::default().event("nothing").data(why.to_string())
        }
    }
}

/// As `lab events -o json` has them.
async fn events(State(ui): State<Ui>, Path(pod): Path<String>) -> Response {
    let Ok(name) = pod.parse::<Name>() else {
        return nowhere().await;
    };
    let read = tokio::task::spawn_blocking(move || -> Result<String> {
        let events = Pod::find(&ui.dir, &name)?.status(&ui.dir)?.events;
        Ok(serde_json::to_string(&events)?)
    });
    match read.await.context("read events").flatten() {
        Ok(text) => json(text),
        Err(error) => web::refusal(StatusCode::NOT_FOUND, &format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn streams_leave_room_for_others() {
        let dir = LabDir::of(&"not-there".parse().unwrap());
        let pages = pages(Ui::new(dir, Watcher::default()));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.unwrap();
        let get = |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            runtime.block_on(pages.clone().oneshot(request)).unwrap()
        };
        let stream = || get("/api/v1/stream");
        let mut streams: Vec<_> = (0..MOST_STREAMS).map(|_| stream()).collect();
        assert!(streams.iter().all(|each| each.status() == StatusCode::OK));
        let refused = stream();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[RETRY_AFTER], "1");
        assert_eq!(get("/").status(), StatusCode::OK);
        streams.pop();
        assert_eq!(stream().status(), StatusCode::OK);
    }
}

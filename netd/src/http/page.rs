//! What the pages answer.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};

use crate::pages;
use crate::status::Status;

/// Which pages a client may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// All of them.
    Trusted,
    /// `/healthz` and `/readyz`, as flanneld's.
    Anybody,
}

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";

type Answer = (StatusCode, &'static str, String);

/// The answer to one request; paths, status codes and texts of flannel's pages are flannel's.
pub(super) fn answer(
    method: &Method,
    path: &str,
    audience: Audience,
    status: &Status,
) -> Response<Full<Bytes>> {
    let allowed = method == Method::GET || method == Method::HEAD;
    let (code, kind, body) = match allowed {
        true => page(path, audience, status),
        false => text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if !allowed {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

fn page(path: &str, audience: Audience, status: &Status) -> Answer {
    match (path, audience) {
        ("/healthz", _) => text(StatusCode::OK, "flanneld is running"),
        ("/readyz", _) if status.is_ready() => text(StatusCode::OK, "flanneld is ready"),
        ("/readyz", _) => text(StatusCode::SERVICE_UNAVAILABLE, "flanneld is not ready yet"),
        ("/metrics" | "/status", Audience::Anybody) => text(
            StatusCode::FORBIDDEN,
            "this page is for this machine alone: ask on loopback or on the unix socket, or \
             start netd with -status-tcp\n",
        ),
        ("/metrics", Audience::Trusted) => {
            let (state, durations) = (status.snapshot(), status.durations());
            let metrics = pages::metrics(&state, status.uptime(), &durations, &status.reach());
            (StatusCode::OK, METRICS, metrics)
        }
        ("/status", Audience::Trusted) => (StatusCode::OK, JSON, pages::json(&status.whole())),
        _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

fn text(code: StatusCode, text: &str) -> Answer {
    (code, TEXT, text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_flannels_codes_and_texts() {
        let status = Status::new();
        let code = |method, path| {
            let response = answer(&method, path, Audience::Trusted, &status);
            response.status().as_u16()
        };
        assert_eq!(code(Method::GET, "/healthz"), 200);
        assert_eq!(code(Method::GET, "/readyz"), 503);
        status.started();
        assert_eq!(code(Method::GET, "/readyz"), 200);
        assert_eq!(code(Method::GET, "/status"), 200);
        assert_eq!(code(Method::GET, "/metrics"), 200);
        assert_eq!(code(Method::GET, "/"), 404);
        assert_eq!(code(Method::POST, "/status"), 405);
    }

    #[test]
    fn strangers_see_what_flanneld_shows_and_nothing_else() {
        let status = Status::new();
        status.started();
        for (path, code) in [
            ("/healthz", 200),
            ("/readyz", 200),
            ("/status", 403),
            ("/metrics", 403),
            ("/", 404),
        ] {
            let response = answer(&Method::GET, path, Audience::Anybody, &status);
            assert_eq!(response.status().as_u16(), code, "{path}");
        }
    }
}

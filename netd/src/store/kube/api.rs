//! Requests to the API server, and what its answers mean.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use kube_client::client::{Body, Client};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use super::access::{Access, unusable};
use super::lock;
use super::node::{List, Node};
use crate::store::{Cursor, StoreError};

/// Nodes of a page: what is in memory at once.
const PAGE: usize = 250;
/// Bytes of a page: etcd gives a node 1.5 MB at most, and nodes have some 20 kB.
const PAGE_BYTES: usize = 256 << 20;
/// Bytes of an answer that says what is wrong.
const WORDS: usize = 64 << 10;
/// Nobody is left alone longer than this, whatever it asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// So many answers are remembered for who asks how long they took, if anybody does.
const KEPT: usize = 256;
const PATCH_TYPE: &str = "application/strategic-merge-patch+json";
/// What the service account of flannel's manifest may do, and netd needs.
const RIGHTS: &str =
    "netd needs get of pods, get, list and watch of nodes, and patch of nodes/status";

/// The API server.
pub(super) struct Api {
    access: Access,
    url: String,
    /// How long the server may take for an answer.
    patience: Duration,
    client: Mutex<Option<Client>>,
    /// The server asked to be left alone until then.
    not_before: Mutex<Option<Instant>>,
    /// How long it took to answer.
    answers: Mutex<Vec<Duration>>,
}

/// An answer that is none.
#[derive(Debug)]
pub(super) struct Refusal {
    code: StatusCode,
    words: String,
}

/// `Status` of the API.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Words {
    message: String,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    retry_after_seconds: Option<u64>,
}

impl Api {
    pub(super) fn new(access: Access, patience: Duration) -> Result<Self, StoreError> {
        let config = access.read().map_err(|error| unusable(&error))?;
        let url = config.cluster_url.to_string();
        Ok(Self {
            access,
            url: url.trim_end_matches('/').to_owned(),
            patience,
            client: Mutex::new(None),
            not_before: Mutex::new(None),
            answers: Mutex::default(),
        })
    }

    pub(super) fn describe(&self) -> String {
        format!("Kubernetes {}", self.url)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Reads an object; nothing where there is none.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
    ) -> Result<Option<T>, StoreError> {
        let request = self.request(Method::GET, path, Body::empty())?;
        match self.exchange(operation, request).await {
            Ok(bytes) => self.decode(operation, &bytes).map(Some),
            Err(Failure::Answer(refusal)) if refusal.code == StatusCode::NOT_FOUND => Ok(None),
            Err(failure) => Err(self.explain(operation, failure)),
        }
    }

    /// Changes what `patch` names, and nothing else.
    pub(super) async fn patch<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        patch: &Value,
    ) -> Result<T, StoreError> {
        let body = Body::from(patch.to_string().into_bytes());
        let mut request = self.request(Method::PATCH, path, body)?;
        let kind = hyper::header::HeaderValue::from_static(PATCH_TYPE);
        request.headers_mut().insert(CONTENT_TYPE, kind);
        let bytes = self.exchange(operation, request).await;
        let bytes = bytes.map_err(|failure| self.explain(operation, failure))?;
        self.decode(operation, &bytes)
    }

    /// All nodes at one moment.
    pub(super) async fn list_nodes(&self) -> Result<(Vec<Node>, Cursor), StoreError> {
        const OPERATION: &str = "list the nodes";
        let mut nodes = Vec::new();
        let mut from = String::new();
        loop {
            let path = format!("/api/v1/nodes?limit={PAGE}{from}");
            let request = self.request(Method::GET, &path, Body::empty())?;
            let bytes = self.exchange(OPERATION, request).await;
            let bytes = bytes.map_err(|failure| self.explain(OPERATION, failure))?;
            let List { metadata, items } = self.decode(OPERATION, &bytes)?;
            nodes.extend(items);
            match metadata.r#continue.filter(|token| !token.is_empty()) {
                Some(token) => from = format!("&continue={}", encoded(&token)),
                None => {
                    let cursor = position(&metadata.resource_version);
                    let cursor = cursor.ok_or_else(|| StoreError::Busy {
                        store: self.describe(),
                        operation: OPERATION,
                        source: "the list has no resourceVersion, which a watch starts from".into(),
                    });
                    return Ok((nodes, cursor?));
                }
            }
        }
    }

    /// Opens a watch on all nodes from after `cursor`, which the server ends after `seconds`.
    pub(super) async fn watch_nodes(
        &self,
        cursor: &Cursor,
        seconds: u64,
    ) -> Result<Body, StoreError> {
        let Cursor::Name(version) = cursor else {
            // Nothing that this store ever gave: its own history starts with a list.
            let store = self.describe();
            return Err(StoreError::Compacted { store });
        };
        let path = format!(
            "/api/v1/nodes?watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={seconds}",
            encoded(version)
        );
        let request = self.request(Method::GET, &path, Body::empty())?;
        let opened = self.open(request).await;
        let opened = opened.map_err(|failure| self.explain("watch the nodes", failure))?;
        Ok(opened.into_body())
    }

    fn request(&self, method: Method, path: &str, body: Body) -> Result<Request<Body>, StoreError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(USER_AGENT, concat!("netd/", env!("CARGO_PKG_VERSION")))
            .body(body);
        request.map_err(|source| StoreError::Options {
            store: self.describe(),
            problem: format!("{path:?} cannot be asked for"),
            source: Some(source.into()),
        })
    }

    /// Sends a request and reads the whole answer.
    async fn exchange(
        &self,
        operation: &'static str,
        request: Request<Body>,
    ) -> Result<Vec<u8>, Failure> {
        let answer = async {
            let response = self.open(request).await?;
            let body = Limited::new(response.into_body(), PAGE_BYTES);
            match body.collect().await {
                Ok(bytes) => Ok(bytes.to_bytes().to_vec()),
                Err(source) => Err(Failure::Way(source)),
            }
        };
        match tokio::time::timeout(self.patience, answer).await {
            Ok(answer) => answer,
            Err(late) => {
                tracing::debug!(operation, "no answer in time");
                Err(Failure::Way(late.into()))
            }
        }
    }

    /// Sends a request; the answer's head says that it went well.
    async fn open(&self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        self.pause().await;
        let client = self.client()?;
        let asked = Instant::now();
        let response = match tokio::time::timeout(self.patience, client.send(request)).await {
            Ok(Ok(response)) => {
                self.answered(asked.elapsed());
                response
            }
            Ok(Err(error)) => {
                self.forget();
                return Err(Failure::Way(error.into()));
            }
            Err(late) => {
                self.forget();
                return Err(Failure::Way(late.into()));
            }
        };
        match response.status() {
            code if code.is_success() => Ok(response),
            code => Err(self.refusal(code, response).await),
        }
    }

    async fn refusal(&self, code: StatusCode, response: Response<Body>) -> Failure {
        let asked = retry_after(response.headers());
        let body = Limited::new(response.into_body(), WORDS).collect();
        let bytes = match tokio::time::timeout(self.patience, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            _ => Default::default(),
        };
        let words: Words = serde_json::from_slice(&bytes).unwrap_or_else(|_| Words {
            message: String::from_utf8_lossy(&bytes).trim().to_owned(),
            details: None,
        });
        let asked = asked.or_else(|| words.details?.retry_after_seconds.map(Duration::from_secs));
        if let Some(pause) = asked {
            *lock(&self.not_before) = Some(Instant::now() + pause.min(LONGEST_PAUSE));
        }
        if code == StatusCode::UNAUTHORIZED {
            // A token that has ended: the next client reads what there is now.
            self.forget();
        }
        let words = words.message;
        Failure::Answer(Refusal { code, words })
    }

    /// The server has begun to answer, so long after it was asked.
    fn answered(&self, after: Duration) {
        let mut answers = lock(&self.answers);
        if answers.len() < KEPT {
            answers.push(after);
        }
    }

    /// How long the server took to answer since this was asked last.
    pub(super) fn take_answers(&self) -> Vec<Duration> {
        std::mem::take(&mut lock(&self.answers))
    }

    /// Leaves the server alone as long as it asked for.
    async fn pause(&self) {
        let until = *lock(&self.not_before);
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    fn client(&self) -> Result<Client, Failure> {
        let mut client = lock(&self.client);
        if let Some(client) = client.as_ref() {
            return Ok(client.clone());
        }
        let made = self.access.client();
        let made = made.map_err(|error| Failure::Way(Box::new(error)))?;
        Ok(client.insert(made).clone())
    }

    /// The next request reads the credentials again and connects anew.
    pub(super) fn forget(&self) {
        *lock(&self.client) = None;
    }

    fn decode<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        bytes: &[u8],
    ) -> Result<T, StoreError> {
        serde_json::from_slice(bytes).map_err(|source| StoreError::Busy {
            store: self.describe(),
            operation,
            source: source.into(),
        })
    }

    fn explain(&self, operation: &'static str, failure: Failure) -> StoreError {
        match failure {
            Failure::Answer(refusal) => self.meaning(operation, refusal),
            Failure::Way(source) => self.unreachable(source),
        }
    }

    /// What an answer means, also one that came as an event of a watch.
    pub(super) fn meaning(&self, operation: &'static str, refusal: Refusal) -> StoreError {
        let store = self.describe();
        match refusal.code {
            StatusCode::GONE => StoreError::Compacted { store },
            StatusCode::UNAUTHORIZED
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::CONFLICT
            | StatusCode::TOO_MANY_REQUESTS => StoreError::Busy {
                store,
                operation,
                source: Box::new(refusal),
            },
            code if code.is_server_error() => StoreError::Busy {
                store,
                operation,
                source: Box::new(refusal),
            },
            _ => StoreError::Refused {
                store,
                operation,
                source: Box::new(refusal),
            },
        }
    }

    pub(super) fn unreachable(
        &self,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> StoreError {
        StoreError::Unreachable {
            store: self.describe(),
            source,
        }
    }
}

/// Why a request has no result.
#[derive(Debug)]
enum Failure {
    /// The server says so.
    Answer(Refusal),
    /// It did not come so far.
    Way(Box<dyn std::error::Error + Send + Sync>),
}

impl Refusal {
    /// Of an event of a watch: a `Status`.
    pub(super) fn of_event(code: u16, words: String) -> Self {
        Self {
            code: StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            words,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.words.is_empty() {
            write!(f, ": {}", self.words.escape_debug())?;
        }
        match self.code {
            StatusCode::FORBIDDEN => write!(f, "; {RIGHTS}"),
            StatusCode::UNAUTHORIZED => {
                f.write_str("; see whether its token or certificate has ended")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

/// A place in the history. It means something to the server alone, which would take none at all for any.
pub(super) fn position(version: &str) -> Option<Cursor> {
    (!version.is_empty()).then(|| Cursor::Name(version.into()))
}

/// Seconds; a date, which API servers do not give, counts as none.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// A value of a query.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

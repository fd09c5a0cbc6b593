//! One connection to one of the endpoints, and the next endpoint when it fails.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error, TlsOptions};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;

use super::keys::Keys;
use super::tls::{Files, Said};
use super::{EtcdOptions, renewal};
use crate::health::Finding;
use crate::store::StoreError;

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(5);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// A silent peer is asked for a sign of life this often…
const PING: Duration = Duration::from_secs(10);
/// …and has this long to give one.
const PONG: Duration = Duration::from_secs(5);

/// gRPC status codes that etcd answers with when the request itself is at fault; all others mean
/// that this endpoint is of no use now. (gRPC core documentation, "Status codes".)
const REFUSALS: [i32; 8] = [
    3,  // INVALID_ARGUMENT
    5,  // NOT_FOUND
    6,  // ALREADY_EXISTS
    7,  // PERMISSION_DENIED
    8,  // RESOURCE_EXHAUSTED
    9,  // FAILED_PRECONDITION
    11, // OUT_OF_RANGE
    16, // UNAUTHENTICATED
];

/// Whether a keep-alive failed because the lease has ended.
pub(super) fn is_lease_gone(error: &Error) -> bool {
    matches!(error, Error::LeaseKeepAliveError(text) if text == "lease not found")
}

/// The endpoints and the client of the one in use.
pub(super) struct Connection {
    line: Arc<Line>,
    /// Who tries TLS files that have changed, one at most; it ends with the connection.
    renewals: std::sync::Mutex<JoinSet<()>>,
}

/// What requests share with who tries TLS files that have changed.
pub(super) struct Line {
    /// URLs.
    endpoints: Vec<String>,
    user: Option<(String, String)>,
    /// What every netd has to read.
    config: String,
    pub(super) files: Files,
    pub(super) current: Mutex<Current>,
    /// Whether etcd ever did what it was asked for, on a connection of this one.
    has_answered: AtomicBool,
    /// A connection was lost.
    pub(super) lost: Notify,
    /// What is wrong with the TLS files.
    pub(super) trouble: std::sync::Mutex<Option<Finding>>,
    /// Whether it was said that etcd wants no user.
    told: AtomicBool,
}

pub(super) struct Current {
    pub(super) endpoint: usize,
    /// What the TLS files said that connections are made with.
    pub(super) tls: Said,
    pub(super) client: Option<Client>,
}

/// An answer of etcd, or of the way there, printed without the protocol's decoration.
#[derive(Debug)]
struct Answer(Error);

impl Connection {
    pub(super) fn new(options: &EtcdOptions) -> Result<Self, StoreError> {
        let problem = |problem: &str| StoreError::Options {
            store: "etcd".to_owned(),
            problem: problem.to_owned(),
            source: None,
        };
        let files = Files::new(options)?;
        let tls = files.read()?;
        let urls = options.endpoints.iter().map(|url| url.trim().to_owned());
        let endpoints: Vec<_> = urls.filter(|url| !url.is_empty()).collect();
        if endpoints.is_empty() {
            return Err(problem("no endpoint is given"));
        }
        let current = Current {
            endpoint: 0,
            tls,
            client: None,
        };
        let line = Line {
            endpoints,
            user: options.user.clone(),
            config: Keys::under(&options.prefix).config,
            files,
            current: Mutex::new(current),
            has_answered: AtomicBool::new(false),
            lost: Notify::new(),
            trouble: std::sync::Mutex::default(),
            told: AtomicBool::new(false),
        };
        Ok(Self {
            line: Arc::new(line),
            renewals: std::sync::Mutex::default(),
        })
    }

    /// URLs.
    pub(super) fn endpoints(&self) -> &[String] {
        &self.line.endpoints
    }

    /// What is wrong with the TLS files, while requests are answered as before.
    pub(super) fn trouble(&self) -> Option<Finding> {
        lock(&self.line.trouble).clone()
    }

    /// For people: all endpoints.
    pub(super) fn describe(&self) -> String {
        self.line.describe()
    }

    /// Sends a request to the endpoint in use, and to each of the others when that one fails.
    pub(super) async fn call<T, F, R>(
        &self,
        operation: &'static str,
        request: F,
    ) -> Result<T, StoreError>
    where
        F: Fn(Client) -> R,
        R: Future<Output = Result<T, Error>>,
    {
        let mut failure: Option<Box<dyn StdError + Send + Sync>> = None;
        for _ in &self.line.endpoints {
            let (at, answer) = self.attempt(&request).await;
            match answer {
                Ok(Ok(answer)) => {
                    self.line.has_answered.store(true, Ordering::Relaxed);
                    return Ok(answer);
                }
                // Authentication was switched on: the next connection names the user.
                Ok(Err(error)) if says(&error, NAME_IS_EMPTY) && self.line.user.is_some() => {
                    failure = Some(Box::new(Answer(error)));
                }
                Ok(Err(error)) if is_refusal(&error) => {
                    return Err(self.refused(operation, error));
                }
                Ok(Err(error)) => failure = Some(Box::new(Answer(error))),
                Err(late) => failure = Some(Box::new(late)),
            }
            self.line.leave(at).await;
        }
        let source = failure.unwrap_or_else(|| "there is no endpoint".into());
        Err(StoreError::Unreachable {
            store: self.describe(),
            source,
        })
    }

    async fn attempt<T, F, R>(
        &self,
        request: &F,
    ) -> (usize, Result<Result<T, Error>, tokio::time::error::Elapsed>)
    where
        F: Fn(Client) -> R,
        R: Future<Output = Result<T, Error>>,
    {
        let mut current = self.line.current.lock().await;
        if self.line.files.have_changed_since(&current.tls) {
            self.renew(&mut current);
        }
        let at = current.endpoint;
        let client = match current.client.clone() {
            Some(client) => Ok(Ok(client)),
            None => {
                let made = self.line.connect(at, current.tls.options());
                tokio::time::timeout(REQUEST, made).await
            }
        };
        if let Ok(Ok(client)) = &client {
            current.client = Some(client.clone());
        }
        drop(current);
        match client {
            Ok(Ok(client)) => (at, tokio::time::timeout(REQUEST, request(client)).await),
            Ok(Err(error)) => (at, Ok(Err(error))),
            Err(late) => (at, Err(late)),
        }
    }

    /// The TLS files have changed. What etcd has worked on is not given up for less; before that there
    /// is nothing to lose.
    fn renew(&self, current: &mut Current) {
        if self.line.has_answered.load(Ordering::Relaxed) {
            let mut renewals = lock(&self.renewals);
            while renewals.try_join_next().is_some() {}
            if renewals.is_empty() {
                renewals.spawn(renewal::renew(Arc::clone(&self.line)));
            }
        } else {
            match self.line.files.read() {
                Ok(said) => {
                    current.tls = said;
                    current.client = None;
                    *lock(&self.line.trouble) = None;
                }
                Err(error) => {
                    let finding = renewal::finding(&crate::chain(&error));
                    let before = lock(&self.line.trouble).replace(finding.clone());
                    if before.as_ref() != Some(&finding) {
                        tracing::warn!("{}", finding.what);
                    }
                }
            }
        }
    }

    fn refused(&self, operation: &'static str, error: Error) -> StoreError {
        StoreError::Refused {
            store: self.describe(),
            operation,
            source: Box::new(Answer(error)),
        }
    }
}

impl Line {
    /// For people: all endpoints.
    fn describe(&self) -> String {
        format!("etcd {}", self.endpoints.join(","))
    }

    /// A connection on which etcd lets the network configuration be read. A server that takes no certificate of
    /// this kind says so with its first answer, not while the connection is made; one that takes it may allow
    /// whom it names nothing.
    pub(super) async fn prove(
        &self,
        at: usize,
        tls: Option<&TlsOptions>,
    ) -> Result<Client, Box<dyn StdError + Send + Sync>> {
        let answered = async {
            let mut client = self.connect(at, tls).await?;
            client.get(self.config.as_str(), None).await?;
            Ok(client)
        };
        match tokio::time::timeout(REQUEST, answered).await {
            Ok(proved) => proved.map_err(|error| Answer(error).into()),
            Err(late) => Err(late.into()),
        }
    }

    async fn connect(&self, at: usize, tls: Option<&TlsOptions>) -> Result<Client, Error> {
        let Some(url) = self.endpoints.get(at) else {
            return Err(Error::InvalidArgs("no such endpoint".to_owned()));
        };
        let nameless = connect_options(url, tls);
        let Some((user, password)) = &self.user else {
            return Client::connect([url], Some(nameless)).await;
        };
        let named = nameless.clone().with_user(user, password);
        match Client::connect([url], Some(named)).await {
            Err(error) if says(&error, AUTHENTICATION_IS_OFF) => {
                self.tell();
                Client::connect([url], Some(nameless)).await
            }
            client => client,
        }
    }

    /// Says once that the user and the password are of no use, and goes on, as flanneld does.
    fn tell(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "{} has authentication switched off: going on without the user and password that \
                 are given",
                self.describe()
            );
        }
    }

    /// Turns to the next endpoint, unless another request has done so already.
    async fn leave(&self, at: usize) {
        let mut current = self.current.lock().await;
        if current.endpoint == at {
            current.endpoint = (at + 1) % self.endpoints.len();
            current.client = None;
            self.lost.notify_one();
        }
    }
}

pub(super) fn lock<T>(mutex: &std::sync::Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Error::GRpcStatus(status) => f.write_str(status.message()),
            Error::TransportError(error) => error.fmt(f),
            error => error.fmt(f),
        }
    }
}

impl StdError for Answer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Error::GRpcStatus(status) => status.source(),
            Error::TransportError(error) => error.source(),
            _ => None,
        }
    }
}

/// `store` does not answer; trying again may help.
pub(super) fn unreachable(store: &str, error: Error) -> StoreError {
    StoreError::Unreachable {
        store: store.to_owned(),
        source: Box::new(Answer(error)),
    }
}

/// Whether the history that a request asked for is compacted away.
pub(super) fn is_compacted(error: &StoreError) -> bool {
    let StoreError::Refused { source, .. } = error else {
        return false;
    };
    source
        .to_string()
        .contains("required revision has been compacted")
}

fn is_refusal(error: &Error) -> bool {
    match error {
        Error::GRpcStatus(status) => REFUSALS.contains(&i32::from(status.code())),
        Error::InvalidArgs(_) | Error::InvalidUri(_) | Error::InvalidMetadataValue(_) => true,
        _ => false,
    }
}

/// etcd's answer to a user while authentication is off.
const AUTHENTICATION_IS_OFF: &str = "authentication is not enabled";
/// etcd's answer to a request without a user while it is on.
const NAME_IS_EMPTY: &str = "user name is empty";

fn says(error: &Error, words: &str) -> bool {
    matches!(error, Error::GRpcStatus(status) if status.message().contains(words))
}

fn connect_options(url: &str, tls: Option<&TlsOptions>) -> ConnectOptions {
    let options = ConnectOptions::new()
        .with_connect_timeout(CONNECT)
        .with_keep_alive(PING, PONG)
        .with_keep_alive_while_idle(true)
        .with_require_leader(true)
        .with_auto_token_refresh(true);
    match tls {
        Some(tls) if !url.starts_with("http://") => options.with_tls(tls.clone()),
        _ => options,
    }
}

//! Looking into a container: probes and lifecycle handlers.

use serde::{Deserialize, Serialize};

/// What a probe or a lifecycle hook does: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "WrittenHandler")]
pub enum Handler {
    /// A program in the container; exit status 0 is success.
    Exec(Exec),
    /// A request from the node to the pod; a status of 200 to 399 is success.
    HttpGet(HttpGet),
    /// A connection from the node to the pod.
    TcpSocket(TcpSocket),
    /// Nothing for so long; of lifecycle hooks alone.
    Sleep(Sleep),
}

/// A lifecycle hook as it is written: an enum would not say which fields there are.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", rename = "Handler", deny_unknown_fields)]
struct WrittenHandler {
    exec: Option<Exec>,
    http_get: Option<HttpGet>,
    tcp_socket: Option<TcpSocket>,
    sleep: Option<Sleep>,
}

impl TryFrom<WrittenHandler> for Handler {
    type Error = NotOne;

    fn try_from(written: WrittenHandler) -> Result<Self, NotOne> {
        let handlers = [
            written.exec.map(Self::Exec),
            written.http_get.map(Self::HttpGet),
            written.tcp_socket.map(Self::TcpSocket),
            written.sleep.map(Self::Sleep),
        ];
        exactly_one(handlers).ok_or(NotOne("exec, httpGet, tcpSocket and sleep"))
    }
}

/// None of some fields of which exactly one is needed, or several.
#[derive(Debug, thiserror::Error)]
#[error("exactly one of {0} is needed")]
pub(crate) struct NotOne(pub(crate) &'static str);

/// The one that is there.
pub(crate) fn exactly_one<T>(all: impl IntoIterator<Item = Option<T>>) -> Option<T> {
    let mut there = all.into_iter().flatten();
    there.next().filter(|_| there.next().is_none())
}

/// A program in the container, without a shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exec {
    /// Program and arguments.
    pub command: Vec<String>,
}

/// A request by HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpGet {
    /// The pod's address when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// A number, or the name of one of the container's ports.
    pub port: Port,
    /// `/` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// HTTP, the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// Further lines of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http_headers: Vec<HttpHeader>,
}

/// Of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Scheme {
    /// Without TLS.
    Http,
}

/// One line of a request's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpHeader {
    /// Before the colon.
    pub name: String,
    /// After it.
    pub value: String,
}

/// A connection by TCP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpSocket {
    /// The pod's address when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// A number, or the name of one of the container's ports.
    pub port: Port,
}

/// Waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sleep {
    /// How long.
    pub seconds: u32,
}

/// A port by its number or by its name in the container's `ports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a port is a number from 1 to 65535, or the name of one of the container's ports"
)]
pub enum Port {
    /// The number.
    Number(u16),
    /// The name.
    Name(String),
}

/// A look at a container, again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "WrittenProbe")]
pub struct Probe {
    /// What it does; never [`Handler::Sleep`].
    #[serde(flatten)]
    pub handler: Handler,
    /// Seconds before the first one.
    pub initial_delay_seconds: u32,
    /// Seconds from one to the next; 10 when absent.
    pub period_seconds: u32,
    /// Seconds that one may take; 1 when absent.
    pub timeout_seconds: u32,
    /// So many in a row make it good again; 1 when absent, and for all but readiness.
    pub success_threshold: u32,
    /// So many in a row make it bad; 3 when absent.
    pub failure_threshold: u32,
    /// Of liveness and startup: the grace period of the end that this probe makes, instead of the pod's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<u32>,
}

/// A probe as it is written: what is flattened cannot refuse fields that do not exist.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", rename = "Probe", deny_unknown_fields)]
struct WrittenProbe {
    exec: Option<Exec>,
    http_get: Option<HttpGet>,
    tcp_socket: Option<TcpSocket>,
    initial_delay_seconds: Option<u32>,
    period_seconds: Option<u32>,
    timeout_seconds: Option<u32>,
    success_threshold: Option<u32>,
    failure_threshold: Option<u32>,
    termination_grace_period_seconds: Option<u32>,
}

impl TryFrom<WrittenProbe> for Probe {
    type Error = NotOne;

    fn try_from(written: WrittenProbe) -> Result<Self, NotOne> {
        let handlers = [
            written.exec.map(Handler::Exec),
            written.http_get.map(Handler::HttpGet),
            written.tcp_socket.map(Handler::TcpSocket),
        ];
        Ok(Self {
            handler: exactly_one(handlers).ok_or(NotOne("exec, httpGet and tcpSocket"))?,
            initial_delay_seconds: written.initial_delay_seconds.unwrap_or(0),
            period_seconds: written.period_seconds.unwrap_or(10),
            timeout_seconds: written.timeout_seconds.unwrap_or(1),
            success_threshold: written.success_threshold.unwrap_or(1),
            failure_threshold: written.failure_threshold.unwrap_or(3),
            termination_grace_period_seconds: written.termination_grace_period_seconds,
        })
    }
}

//! Looking into a container: probes and lifecycle handlers.

use serde::{Deserialize, Serialize};

/// What a probe or a lifecycle hook does: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
#[serde(untagged)]
pub enum Port {
    /// The number.
    Number(u16),
    /// The name.
    Name(String),
}

/// A look at a container, again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// What it does; never [`Handler::Sleep`].
    #[serde(flatten)]
    pub handler: Handler,
    /// Seconds before the first one.
    #[serde(default)]
    pub initial_delay_seconds: u32,
    /// Seconds from one to the next.
    #[serde(default = "ten")]
    pub period_seconds: u32,
    /// Seconds that one may take.
    #[serde(default = "one")]
    pub timeout_seconds: u32,
    /// So many in a row make it good again; 1 for all but readiness.
    #[serde(default = "one")]
    pub success_threshold: u32,
    /// So many in a row make it bad.
    #[serde(default = "three")]
    pub failure_threshold: u32,
    /// Of liveness and startup: the grace period of the end that this probe makes, instead of the pod's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<u32>,
}

fn one() -> u32 {
    1
}

fn three() -> u32 {
    3
}

fn ten() -> u32 {
    10
}

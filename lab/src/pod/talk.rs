//! The words between the processes of a pod: one JSON document a line.

use std::io::{BufRead, Write};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use sandbox::Process;

use crate::network::Attached;

/// What `lab` tells the supervisor once the network is attached.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    /// What the network gave the pod; absent with `hostNetwork`.
    pub network: Option<Attached>,
    /// Who says this looks at the first start of the pod's first container, by the socket that it is said by.
    pub attach: Option<Attach>,
}

/// What who starts a pod has of its container, beside what that prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// They type.
    pub input: bool,
    /// At a terminal of the container's; with input.
    pub terminal: bool,
}

/// What a process of a pod tells who started it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// It lives, in its namespaces.
    Born(Process),
    /// It has done what it was started for.
    Started,
    /// It gives up.
    Failed(Failure),
}

/// Why something was not started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub(super) struct Failure {
    /// As shells have it: 127 when there is no such program, 126 when it cannot be executed, 128 otherwise.
    pub code: i32,
    /// For people.
    pub message: String,
}

impl Failure {
    /// Before there was a program to execute.
    pub(super) fn before(error: &anyhow::Error) -> Self {
        Self {
            code: 128,
            message: format!("{error:#}"),
        }
    }
}

/// Sends one document.
///
/// # Errors
/// The other side has ended.
pub(super) fn tell<T: Serialize>(to: &mut impl Write, what: &T) -> Result<()> {
    to.write_all(&line(what)?)
        .and_then(|()| to.flush())
        .context("the other side has ended")
}

/// One document, as it is sent.
///
/// # Errors
/// It has no form in JSON.
pub(super) fn line<T: Serialize>(what: &T) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    Ok(line)
}

/// Receives one document; `None` when the other side has closed.
///
/// # Errors
/// It is not what was expected.
pub(super) fn hear<T: DeserializeOwned>(from: &mut impl BufRead) -> Result<Option<T>> {
    let mut line = String::new();
    from.read_line(&mut line)
        .context("listen to the other side")?;
    understand(&line)
}

/// What a line says; `None` when it is empty, since the other side has closed.
///
/// # Errors
/// It is not what was expected.
pub(super) fn understand<T: DeserializeOwned>(line: &str) -> Result<Option<T>> {
    if line.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(line)
        .map(Some)
        .with_context(|| format!("understand {line:?}"))
}

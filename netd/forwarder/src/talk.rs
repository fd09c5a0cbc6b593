//! What netd and a forwarder say to each other: JSON, a line each.

use std::io::{self, BufRead, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Counts, Routes};

/// What netd says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// From now on packets go these ways. The first one begins the work.
    Routes(Routes),
    /// Say what was done.
    Count,
    /// Say which process this is.
    Who,
    /// End, when what was read is sent.
    End,
}

/// What a forwarder says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// From now on it goes by the routes that it was last given; how many there are.
    Ready(usize),
    /// What was done.
    Counts(Counts),
    /// This process: what it drew when it began. Its number may be another's in another namespace.
    Process(u64),
    /// Why it ends.
    Failed(String),
}

/// A message as it goes over the socket.
///
/// # Errors
/// It is no JSON, which does not happen.
pub fn line(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

pub(crate) fn send(mut to: impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&line(message)?)
}

/// The next message; nothing when the other side has ended.
///
/// # Errors
/// The other side says nothing, or what is no such message.
pub fn receive<M: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<M>> {
    let mut line = Vec::new();
    match from.read_until(b'\n', &mut line)? {
        0 => Ok(None),
        _ => Ok(Some(serde_json::from_slice(&line)?)),
    }
}

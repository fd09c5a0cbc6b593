//! State files: the configuration that an attachment's delegate got, `<dataDir>/<containerID>`.
//!
//! The file does not name the interface. A container may have several attachments whose states
//! share the directory, to one network or to several: the first has `<containerID>`, as flannel's
//! have, a further one `<containerID>-<ifname>`.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cni::{Attachment, Call, Error, NetworkName, ValidAttachment};
use serde_json::{Map, Value};

use super::{io_failure, netconf};
use files::{Links, Modes, write_atomically};

/// State files may hold what a user wrote into the configuration: nobody else's business.
const MODES: Modes = Modes {
    file: 0o600,
    directory: 0o700,
};

/// Where an attachment's state may be.
#[derive(Debug)]
pub(super) struct State {
    network: NetworkName,
    plain: PathBuf,
    qualified: PathBuf,
}

/// A state file that was found.
#[derive(Debug)]
pub(super) struct Found {
    path: PathBuf,
    text: Vec<u8>,
    netconf: Map<String, Value>,
}

/// A state file that tells nothing: cut off by a crash, or no file at all.
#[derive(Debug)]
pub(super) struct Broken {
    path: PathBuf,
    problem: Problem,
}

/// What is wrong with a state file.
#[derive(Debug, thiserror::Error)]
enum Problem {
    /// It cannot be read.
    #[error(transparent)]
    Io(io::Error),
    /// It is no JSON object.
    #[error("{0}")]
    Text(serde_json::Error),
    /// It does not say which network it is of.
    #[error("it has no name")]
    Nameless,
}

/// What lies at the path of a state file.
#[derive(Debug)]
pub(super) enum Sought {
    /// Nothing of this network.
    Nothing,
    /// The attachment's state.
    State(Found),
    /// A file that may have been it.
    Broken(Broken),
}

/// Where an ADD's state goes, and what an earlier ADD left there.
#[derive(Debug)]
pub(super) struct Slot {
    path: PathBuf,
    earlier: Option<Found>,
}

/// The state of an ADD at work; dropped before the ADD has succeeded, by an error or a panic, it
/// puts back what was there before.
#[derive(Debug)]
#[must_use = "dropped, it puts back what was there before"]
pub(super) struct Saved(Option<Slot>);

impl State {
    pub(super) fn new<N>(data_dir: &Path, call: &Call<'_>, attachment: &Attachment<N>) -> Self {
        let Attachment {
            container_id,
            ifname,
            ..
        } = attachment;
        Self {
            network: call.network.clone(),
            plain: data_dir.join(container_id.as_str()),
            qualified: data_dir.join(format!("{container_id}-{ifname}")),
        }
    }

    /// Where the state of an ADD goes: the first of the container's files, or, where that is
    /// another attachment's, one that names the interface. `repeated` says whether the container
    /// has the interface already, so that the first file of this network is this attachment's.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn slot(&self, repeated: impl FnOnce() -> bool) -> Result<Slot, Error> {
        let earlier = read_or_overwrite(&self.qualified)?;
        let plain = read_or_overwrite(&self.plain)?;
        let is_ours = |found: &Found| found.is_of(&self.network) && repeated();
        Ok(match (earlier, plain) {
            (None, None) => Slot::new(&self.plain, None),
            (None, Some(plain)) if is_ours(&plain) => Slot::new(&self.plain, Some(plain)),
            (earlier, _) => Slot::new(&self.qualified, earlier),
        })
    }

    /// The state as this plugin or flannel's wrote it; else a file in its place that cannot be
    /// understood.
    pub(super) fn find(&self) -> Sought {
        let mut sought = Sought::Nothing;
        for path in [&self.qualified, &self.plain] {
            match read(path) {
                Ok(Some(found)) if found.is_of(&self.network) => return Sought::State(found),
                Ok(_) => {}
                Err(broken) => sought = Sought::Broken(broken),
            }
        }
        sought
    }
}

impl Slot {
    fn new(path: &Path, earlier: Option<Found>) -> Self {
        Self {
            path: path.to_owned(),
            earlier,
        }
    }

    /// Writes the state, before anything else is done: what fails later can be undone by DEL.
    pub(super) fn save(self, netconf: &[u8]) -> Result<Saved, Error> {
        write(&self.path, netconf)?;
        Ok(Saved(Some(self)))
    }
}

impl Saved {
    /// ADD has succeeded.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Saved {
    /// An earlier ADD's attachment may be alive, and DEL needs what that one got. Without one the
    /// state stays, for DEL.
    fn drop(&mut self) {
        let Some(slot) = &self.0 else { return };
        let earlier = slot.earlier.as_ref();
        let put_back = earlier.map_or(Ok(()), |earlier| write(&slot.path, earlier.text()));
        if let Err(error) = put_back {
            tracing::warn!(%error, "the earlier state cannot be put back");
        }
    }
}

fn write(path: &Path, netconf: &[u8]) -> Result<(), Error> {
    write_atomically(path, netconf, MODES).map_err(Error::internal)
}

impl Found {
    fn is_of(&self, network: &NetworkName) -> bool {
        self.netconf.get("name").and_then(Value::as_str) == Some(network.as_str())
    }

    pub(super) fn delegate_type(&self) -> &str {
        netconf::delegate_type(&self.netconf)
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(super) fn into_netconf(self) -> Map<String, Value> {
        self.netconf
    }

    pub(super) fn remove(self) -> Result<(), Error> {
        remove(&self.path)
    }
}

impl Broken {
    pub(super) fn remove(self) -> Result<(), Error> {
        remove(&self.path)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, problem) = (self.path.display(), &self.problem);
        write!(f, "state file {path} cannot be understood: {problem}")
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_failure("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// The state in a file; `None` where there is no file.
fn read(path: &Path) -> Result<Option<Found>, Broken> {
    let broken = |problem| Broken {
        path: path.to_owned(),
        problem,
    };
    let text = match files::read(path, Links::Refuse) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(broken(Problem::Io(error))),
    };
    let netconf: Map<String, Value> =
        serde_json::from_slice(&text).map_err(|error| broken(Problem::Text(error)))?;
    if !netconf.get("name").is_some_and(Value::is_string) {
        return Err(broken(Problem::Nameless));
    }
    Ok(Some(Found {
        path: path.to_owned(),
        text,
        netconf,
    }))
}

/// The same for ADD, which may write over a file that tells nothing.
fn read_or_overwrite(path: &Path) -> Result<Option<Found>, Error> {
    read(path).or_else(|broken| match broken.problem {
        Problem::Io(error) => Err(io_failure("read", path, error)),
        Problem::Text(_) | Problem::Nameless => {
            tracing::warn!("{broken}");
            Ok(None)
        }
    })
}

/// The regular files of a state directory: those of this network, and those that may be.
fn list(data_dir: &Path, network: &NetworkName) -> Result<(Vec<Found>, Vec<Broken>), Error> {
    let entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
        Err(error) => return Err(io_failure("list", data_dir, error)),
    };
    let (mut states, mut broken) = (Vec::new(), Vec::new());
    for entry in entries {
        let entry = entry.map_err(|error| io_failure("list", data_dir, error))?;
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !is_file || hidden {
            continue;
        }
        match read(&entry.path()) {
            Ok(found) => states.extend(found.filter(|found| found.is_of(network))),
            Err(other) => broken.push(other),
        }
    }
    Ok((states, broken))
}

/// What the state directory knows of the network.
pub(super) enum Trace {
    /// Nothing.
    None,
    /// A file that may be of this network.
    Broken,
    /// The configuration of one of its attachments.
    Netconf(Map<String, Value>),
}

/// Whether anything was attached to the network.
pub(super) fn trace(data_dir: &Path, network: &NetworkName) -> Result<Trace, Error> {
    let (mut states, broken) = list(data_dir, network)?;
    Ok(match states.pop() {
        Some(found) => Trace::Netconf(found.netconf),
        None if broken.is_empty() => Trace::None,
        None => Trace::Broken,
    })
}

/// Removes the state of attachments that are not valid any more. A file that cannot be understood
/// may be another network's; it goes as well, because it tells nothing.
pub(super) fn collect(
    data_dir: &Path,
    network: &NetworkName,
    valid: &[ValidAttachment],
) -> Result<(), Error> {
    let (states, broken) = list(data_dir, network)?;
    let states = states.into_iter().map(|found| found.path);
    let paths = states.chain(broken.into_iter().map(|broken| broken.path));
    for path in paths.filter(|path| !is_of_any(path, valid)) {
        remove(&path)?;
    }
    Ok(())
}

fn is_of_any(path: &Path, valid: &[ValidAttachment]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    valid.iter().any(|attachment| {
        let ValidAttachment {
            container_id,
            ifname,
        } = attachment;
        name == *container_id || name == format!("{container_id}-{ifname}")
    })
}

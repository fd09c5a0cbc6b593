//! State files: the configuration that an attachment's delegate got, `<dataDir>/<containerID>`.
//!
//! The file does not name the interface. A container may have several attachments whose states
//! share the directory, to one network or to several: the first has `<containerID>`, as flannel's
//! have, a further one `<containerID>-<ifname>`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cni::{Attachment, Call, Error, NetworkName, ValidAttachment};
use serde_json::{Map, Value};

use super::{io_failure, netconf};
use kernel::file::{Modes, write_atomically};

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
        let earlier = read(&self.qualified)?;
        let plain = read(&self.plain)?;
        let is_ours = |found: &Found| found.is_of(&self.network) && repeated();
        Ok(match (earlier, plain) {
            (None, None) => Slot::new(&self.plain, None),
            (None, Some(plain)) if is_ours(&plain) => Slot::new(&self.plain, Some(plain)),
            (earlier, _) => Slot::new(&self.qualified, earlier),
        })
    }

    /// The state as this plugin or flannel's wrote it. A file that cannot be understood is
    /// nobody's; it stays.
    pub(super) fn find(&self) -> Result<Option<Found>, Error> {
        for path in [&self.qualified, &self.plain] {
            if let Some(found) = read(path)?.filter(|found| found.is_of(&self.network)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
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
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_failure("remove", &self.path, error))
            }
            _ => Ok(()),
        }
    }
}

fn read(path: &Path) -> Result<Option<Found>, Error> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_failure("read", path, error)),
    };
    match serde_json::from_slice(&text) {
        Ok(netconf) => Ok(Some(Found {
            path: path.to_owned(),
            text,
            netconf,
        })),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "state file cannot be understood");
            Ok(None)
        }
    }
}

/// All state files of a network.
fn list(data_dir: &Path, network: &NetworkName) -> Result<Vec<Found>, Error> {
    let entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_failure("list", data_dir, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| io_failure("list", data_dir, error))?;
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if is_file && !hidden {
            found.extend(read(&entry.path())?.filter(|found| found.is_of(network)));
        }
    }
    Ok(found)
}

/// The configuration of any attachment to the network.
pub(super) fn any_netconf(
    data_dir: &Path,
    network: &NetworkName,
) -> Result<Option<Map<String, Value>>, Error> {
    Ok(list(data_dir, network)?.pop().map(Found::into_netconf))
}

/// Removes the state of attachments that are not valid any more.
pub(super) fn collect(
    data_dir: &Path,
    network: &NetworkName,
    valid: &[ValidAttachment],
) -> Result<(), Error> {
    for found in list(data_dir, network)? {
        let name = found
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let is_valid = valid.iter().any(|attachment| {
            let ValidAttachment {
                container_id,
                ifname,
            } = attachment;
            name == *container_id || name == format!("{container_id}-{ifname}")
        });
        if !is_valid {
            found.remove()?;
        }
    }
    Ok(())
}

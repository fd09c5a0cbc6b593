//! What was there before ADD, in a file until DEL: `<dataDir>/<containerID>_<ifname>.json`.
//!
//! The interface's attributes stand there as the reference plugin writes and reads them. What only
//! podwire gives back stands under a key that the reference does not know, and leaves alone.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use cni::Attachment;
use files::{Links, Modes};
use kernel::NetNs;
use serde::{Deserialize, Serialize};
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::{attributes::Attributes, error::Error};

/// The reference plugin's, less that its directory cannot be entered.
const MODES: Modes = Modes {
    file: 0o600,
    directory: 0o700,
};

/// What was there before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Kept {
    /// Of the pod's interface.
    #[serde(flatten)]
    pub link: Attributes,
    /// The reference plugin writes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub podwire: Option<Own>,
}

/// What the reference plugin does not keep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Own {
    /// Whose attachment it is: GC of one network leaves the others'.
    pub network: String,
    /// The pod's namespace, so that a path that leads to another pod by now changes nothing there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<u64>,
    /// The host's end of the pod's pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_end: Option<HostEnd>,
    /// Values of sysctls by file below `/proc/sys`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, String>,
}

/// The host's end of a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct HostEnd {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub mtu: u32,
}

impl Kept {
    /// Whether these may have been found in that namespace. The reference plugin does not say.
    pub(crate) fn is_of(&self, ns: &NetNs) -> kernel::Result<bool> {
        match self.podwire.as_ref().and_then(|own| own.netns) {
            Some(netns) => Ok(ns.cookie()? == Some(netns)),
            None => Ok(true),
        }
    }

    /// These, and of `later` what is missing: what was there before the first ADD counts.
    pub(crate) fn or(self, later: Self) -> Self {
        Self {
            link: self.link.or(&later.link),
            podwire: match (self.podwire, later.podwire) {
                (Some(first), Some(later)) => Some(first.or(later)),
                (first, later) => first.or(later),
            },
        }
    }
}

impl Own {
    fn or(mut self, later: Self) -> Self {
        let first = std::mem::take(&mut self.sysctl);
        self.sysctl = later.sysctl.into_iter().chain(first).collect();
        self.host_end = self.host_end.or(later.host_end);
        self
    }
}

/// The file of one attachment.
#[derive(Clone, Debug)]
pub(crate) struct KeptFile(PathBuf);

impl KeptFile {
    /// Where it is.
    pub(crate) fn of<N>(directory: &Path, attachment: &Attachment<N>) -> Self {
        let Attachment {
            container_id,
            ifname,
            ..
        } = attachment;
        Self(directory.join(name(container_id.as_str(), ifname.as_str())))
    }

    /// Its content, `None` without one. One that says nothing, because it was cut off or is no
    /// file, is told of and counts as none.
    ///
    /// # Errors
    /// There is no descriptor or memory to read it by.
    pub(crate) fn read(&self) -> Result<Option<Kept>, Error> {
        match read(&self.0).map_err(|error| kernel::Error::new("read", self.0.display(), error)) {
            Ok(kept) => Ok(kept),
            Err(error) if error.is_shortage() => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "nothing of it is given back");
                Ok(None)
            }
        }
    }

    /// Writes it, whole or not at all.
    pub(crate) fn write(&self, kept: &Kept) -> Result<(), Error> {
        let failed = |source| Error::Keep {
            path: self.0.clone(),
            source,
        };
        let mut text = Vec::new();
        let mut indented =
            Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b" "));
        kept.serialize(&mut indented)
            .map_err(|error| failed(error.into()))?;
        files::write_atomically_by(&self.0, &self.half_written(), &text, MODES)
            .map_err(|error| failed(error.into_source()))
    }

    /// Removes it, and what a killed ADD left of it; gone is fine.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        remove(&self.half_written()).and_then(|()| remove(&self.0))
    }

    /// A runtime makes one call for an attachment at a time (CNI specification, section 2), so that the
    /// name need not tell processes apart and DEL knows it.
    fn half_written(&self) -> PathBuf {
        files::half_written(&self.0)
    }
}

/// Removes the files of a network's attachments that are not among `valid` (container and
/// interface). Those of other networks stay, and so do the reference plugin's, which do not say
/// whose they are.
///
/// Gives what could not be removed.
pub(crate) fn collect<'v>(
    directory: &Path,
    network: &str,
    valid: impl Iterator<Item = (&'v str, &'v str)>,
) -> Vec<Error> {
    let keep: Vec<String> = valid.map(|(id, ifname)| name(id, ifname)).collect();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(source) => {
            let path = directory.to_owned();
            return vec![Error::List { path, source }];
        }
    };
    let stale = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        let is_valid = keep.iter().any(|valid| name == valid.as_str());
        !is_valid && is_of(&entry.path(), network)
    });
    stale
        .filter_map(|entry| remove(&entry.path()).err())
        .collect()
}

fn is_of(path: &Path, network: &str) -> bool {
    let kept = read(path).ok().flatten();
    kept.and_then(|kept| kept.podwire)
        .is_some_and(|own| own.network == network)
}

fn name(container_id: &str, ifname: &str) -> String {
    format!("{container_id}_{ifname}.json")
}

fn read(path: &Path) -> io::Result<Option<Kept>> {
    match files::read(path, Links::Refuse) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    // A read-only file system refuses to remove even what is not there.
    let there = path.symlink_metadata().map(drop);
    match there.and_then(|()| fs::remove_file(path)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Remove {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(json: &str) -> Kept {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_was_there_before_the_first_add_counts() {
        let first = kept(
            r#"{"mtu": 1500, "podwire": {"network": "a", "netns": 7, "sysctl": {"net/x": "0"}}}"#,
        );
        let later = kept(
            r#"{"mtu": 1400, "promisc": false, "podwire": {"network": "a", "netns": 7,
            "hostEnd": {"name": "veth0", "mtu": 1400}, "sysctl": {"net/x": "1", "net/y": "2"}}}"#,
        );
        let both = kept(
            r#"{"mtu": 1500, "promisc": false, "podwire": {"network": "a", "netns": 7,
            "hostEnd": {"name": "veth0", "mtu": 1400}, "sysctl": {"net/x": "0", "net/y": "2"}}}"#,
        );
        assert_eq!(first.or(later.clone()), both);
        let of_reference = kept(r#"{"mtu": 1450}"#).or(later.clone());
        assert_eq!(of_reference.link.mtu, Some(1450));
        assert_eq!(of_reference.podwire, later.podwire);
    }

    #[test]
    fn what_a_killed_add_left_goes_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = KeptFile(directory.path().join("ctr1_eth0.json"));
        fs::write(directory.path().join(".ctr1_eth0.json"), "{\"mt").unwrap();
        file.remove().unwrap();
        file.write(&Kept::default()).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        file.remove().unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn written_as_the_reference_plugin_writes() {
        let mut text = Vec::new();
        let mut indented =
            Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b" "));
        let kept = kept(r#"{"mac": "c2:11:22:00:00:01", "promisc": false, "mtu": 1500}"#);
        kept.serialize(&mut indented).unwrap();
        let expected =
            "{\n \"mac\": \"c2:11:22:00:00:01\",\n \"promisc\": false,\n \"mtu\": 1500\n}";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}

//! Results of ADD on disk, in libcni's layout: `<cacheDir>/results/<network>-<container>-<ifname>`.
//! Owned by the runtime; DEL, CHECK and GC need them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use files::{Links, Modes};
use serde::Deserialize;
use serde_json::Value;

use super::{Error, NetworkConfig, RuntimeConf};
use crate::json::{self, Node, print};
use crate::{AddResult, SpecVersion};

/// libcni's.
const MODES: Modes = Modes {
    file: 0o600,
    directory: 0o700,
};

/// `kind` of a cache file; files without it hold a bare result (libcni before 0.8).
const KIND: &str = "cniCacheV1";

/// An attachment that a cache file tells of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CachedAttachment {
    /// The network's name.
    pub network: String,
    /// The container's ID.
    pub container_id: String,
    /// The interface in the container.
    pub ifname: String,
    /// Path of the container's namespace at the time of ADD.
    pub netns: String,
    /// `CNI_ARGS` at the time of ADD.
    pub args: Vec<(String, String)>,
    /// Capability arguments at the time of ADD.
    pub capability_args: BTreeMap<String, Value>,
    /// The configuration list at the time of ADD.
    pub config: Vec<u8>,
    /// The result document.
    pub result: Value,
    /// The file that tells of it.
    pub path: PathBuf,
}

impl CachedAttachment {
    /// The result, of whatever version it is.
    ///
    /// # Errors
    /// It is none.
    pub fn added(&self) -> Result<AddResult, crate::Error> {
        AddResult::parse_any(&Node::from(self.result.clone()), SpecVersion::V0_1_0)
    }
}

/// The file as it is on disk.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct File {
    kind: String,
    container_id: String,
    config: String,
    if_name: String,
    network_name: String,
    netns: String,
    cni_args: Vec<(String, String)>,
    capability_args: BTreeMap<String, Value>,
    result: Value,
}

fn results_dir(cache_dir: &Path) -> PathBuf {
    cache_dir.join("results")
}

fn file_name(network: &str, conf: &RuntimeConf) -> String {
    format!("{network}-{}-{}", conf.container_id, conf.ifname)
}

fn path_of(network: &NetworkConfig, conf: &RuntimeConf) -> PathBuf {
    results_dir(&conf.cache_dir).join(file_name(&network.name, conf))
}

/// Keeps the result of ADD. The file appears whole or not at all.
pub(super) fn write(
    network: &NetworkConfig,
    conf: &RuntimeConf,
    result: Node,
) -> Result<(), Error> {
    let path = path_of(network, conf);
    let content = document(network, conf, result);
    let temporary = temporary_of(network, conf);
    files::write_atomically_by(&path, &temporary, content.as_bytes(), MODES).map_err(|refused| {
        Error::Cache {
            operation: "write",
            path,
            source: refused.into_source(),
        }
    })
}

/// The file while it is being written. Not beside the final one: libcni takes every file there
/// for an attachment. One name per attachment, so that what a crash leaves is used again.
fn temporary_of(network: &NetworkConfig, conf: &RuntimeConf) -> PathBuf {
    let name = file_name(&network.name, conf);
    conf.cache_dir.join(format!(".{name}.new"))
}

/// The file's text: libcni's order of keys, what it calls maps sorted.
fn document(network: &NetworkConfig, conf: &RuntimeConf, mut result: Node) -> String {
    result.sort_keys();
    let text = |text: &str| Node::from(text);
    let mut entries = vec![
        ("kind", text(KIND)),
        ("containerId", text(&conf.container_id)),
        ("config", Node::String(STANDARD.encode(&network.bytes))),
        ("ifName", text(&conf.ifname)),
        ("networkName", text(&network.name)),
    ];
    if !conf.netns.is_empty() {
        entries.push(("netns", text(&conf.netns)));
    }
    if !conf.args.is_empty() {
        let pair = |(key, value): &(String, String)| Node::Array(vec![text(key), text(value)]);
        entries.push(("cniArgs", Node::Array(conf.args.iter().map(pair).collect())));
    }
    if !conf.capability_args.is_empty() {
        let args = conf.capability_args.clone();
        let mut node = Node::from(Value::Object(args.into_iter().collect()));
        node.sort_keys();
        entries.push(("capabilityArgs", node));
    }
    entries.push(("result", result));
    let entries = entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    print::compact(&Node::Object(entries.collect()))
}

/// The cached result of an attachment, `None` when there is no file.
pub(super) fn read(
    network: &NetworkConfig,
    conf: &RuntimeConf,
) -> Result<Option<AddResult>, Error> {
    let path = path_of(network, conf);
    let bytes = match files::read(&path, Links::Refuse) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Error::Cache {
                operation: "read",
                path,
                source,
            });
        }
    };
    let result = json::from_slice::<File>(&bytes)
        .ok()
        .filter(|file| file.kind == KIND);
    let node = match result {
        Some(file) => Ok(Node::from(file.result)),
        None => Node::parse(&bytes).map_err(crate::Error::from),
    };
    node.and_then(|node| AddResult::parse_any(&node, SpecVersion::V0_1_0))
        .map(Some)
        .map_err(|source| Error::Damaged { path, source })
}

/// Forgets an attachment; nothing to forget is fine.
pub(super) fn remove(network: &NetworkConfig, conf: &RuntimeConf) -> Result<(), Error> {
    for path in [path_of(network, conf), temporary_of(network, conf)] {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Cache {
                    operation: "remove",
                    path,
                    source,
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The attachments in the cache, by file name. Files that are none are passed over, as is a
/// missing directory.
///
/// # Errors
/// The directory cannot be read.
pub fn cached_attachments(cache_dir: &Path) -> Result<Vec<CachedAttachment>, Error> {
    let dir = results_dir(cache_dir);
    let failed = |source| Error::Cache {
        operation: "list",
        path: dir.clone(),
        source,
    };
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(failed)?;
    paths.sort();
    Ok(paths
        .iter()
        .filter_map(|path| attachment_in(path))
        .collect())
}

fn attachment_in(path: &Path) -> Option<CachedAttachment> {
    let file: File = json::from_slice(&files::read(path, Links::Refuse).ok()?).ok()?;
    if file.kind != KIND || file.if_name.is_empty() || file.network_name.is_empty() {
        return None;
    }
    Some(CachedAttachment {
        network: file.network_name,
        container_id: file.container_id,
        ifname: file.if_name,
        netns: file.netns,
        args: file.cni_args,
        capability_args: file.capability_args,
        config: STANDARD.decode(file.config).ok()?,
        result: file.result,
        path: path.to_owned(),
    })
}

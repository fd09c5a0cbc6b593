//! Documents into configurations. Errors are texts; the caller knows the file.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{NetworkConfig, PluginConfig};
use crate::SpecVersion;
use crate::json::{self, Node, from_node, print};
use crate::runtime::PluginName;
use crate::version::Dotted;

/// A configuration list as it stands in its document.
pub(super) struct List {
    pub(super) network: NetworkConfig,
    /// Plugins beside the document are not looked for.
    pub(super) only_inlined: bool,
}

pub(super) fn list(bytes: &[u8]) -> Result<List, String> {
    let document = Node::parse(bytes).map_err(|e| e.0)?;
    if !matches!(document, Node::Object(_)) {
        return Err(format!("an object is wanted, not {}", document.kind()));
    }
    let only_inlined = flag(&document, "loadOnlyInlinedPlugins")?;
    let network = NetworkConfig {
        name: list_name(&document)?,
        version: selected_version(&document)?,
        disable_check: flag(&document, "disableCheck")?,
        disable_gc: flag(&document, "disableGC")?,
        plugins: inlined_plugins(&document, only_inlined)?,
        bytes: bytes.to_owned(),
    };
    Ok(List {
        network,
        only_inlined,
    })
}

fn list_name(document: &Node) -> Result<String, String> {
    match document.exact("name") {
        Some(Node::String(name)) if !name.is_empty() => Ok(name.clone()),
        Some(Node::String(_)) | None => Err("no name".to_owned()),
        Some(other) => Err(format!("name must be a string, not {}", other.kind())),
    }
}

fn inlined_plugins(document: &Node, needed: bool) -> Result<Vec<PluginConfig>, String> {
    match document.exact("plugins") {
        None if needed => Err("no 'plugins' key, and loadOnlyInlinedPlugins is set".to_owned()),
        None => Ok(Vec::new()),
        Some(Node::Array(items)) if items.is_empty() => Err("no plugins in list".to_owned()),
        Some(Node::Array(items)) => items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                PluginConfig::from_object(item.clone())
                    .map_err(|what| format!("plugins[{index}]: {what}"))
            })
            .collect(),
        Some(other) => Err(format!("plugins must be a list, not {}", other.kind())),
    }
}

fn flag(document: &Node, key: &str) -> Result<bool, String> {
    json::flag(document.exact(key), key)
}

/// The highest of `cniVersion` and those of `cniVersions` that are not newer than this library.
fn selected_version(document: &Node) -> Result<String, String> {
    let text = |node: &Node, key: &str| match node {
        Node::String(version) => Ok(version.clone()),
        other => Err(format!("{key} must hold strings, not {}", other.kind())),
    };
    let stated = document
        .exact("cniVersion")
        .map(|node| text(node, "cniVersion"))
        .transpose()?;
    let offered = match document.exact("cniVersions") {
        None => return Ok(stated.unwrap_or_default()),
        Some(Node::Array(items)) => items,
        Some(other) => return Err(format!("cniVersions must be a list, not {}", other.kind())),
    };
    let mut best: Option<(Dotted, String)> = None;
    for version in offered
        .iter()
        .map(|node| text(node, "cniVersions"))
        .chain(stated.clone().map(Ok))
    {
        let version = version?;
        let dotted: Dotted = version.parse().map_err(|e: crate::Error| e.msg)?;
        let known = dotted <= SpecVersion::LATEST.into() || stated.as_ref() == Some(&version);
        if known && best.as_ref().is_none_or(|(highest, _)| dotted > *highest) {
            best = Some((dotted, version));
        }
    }
    Ok(best.map(|(_, version)| version).unwrap_or_default())
}

/// A file with a single plugin: a list of one, with the plugin's name and version.
pub(super) fn single(bytes: &[u8]) -> Result<NetworkConfig, String> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Shared {
        name: String,
        #[serde(rename = "cniVersion")]
        version: String,
    }
    let object = Node::parse(bytes).map_err(|e| e.0)?;
    let Shared { name, version } = from_node(&object).map_err(|e| e.0)?;
    let plugin = PluginConfig::from_object(object.clone())?;
    let mut document = Node::Object(vec![
        ("name".to_owned(), Node::from(name.as_str())),
        ("cniVersion".to_owned(), Node::from(version.as_str())),
        ("plugins".to_owned(), Node::Array(vec![object])),
    ]);
    document.sort_keys();
    Ok(NetworkConfig {
        name,
        version,
        disable_check: false,
        disable_gc: false,
        plugins: vec![plugin],
        bytes: print::compact(&document).into_bytes(),
    })
}

impl PluginConfig {
    pub(super) fn from_object(object: Node) -> Result<Self, String> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Known {
            #[serde(rename = "type")]
            plugin_type: String,
            name: String,
            capabilities: BTreeMap<String, bool>,
        }
        if !matches!(object, Node::Object(_)) {
            return Err(format!("a plugin must be an object, not {}", object.kind()));
        }
        let known: Known = from_node(&object).map_err(|e| e.0)?;
        if known.plugin_type.is_empty() {
            return Err("missing 'type'".to_owned());
        }
        let plugin = PluginName {
            plugin_type: known.plugin_type,
            name: Some(known.name).filter(|name| !name.is_empty()),
        };
        Ok(Self {
            plugin,
            capabilities: known.capabilities,
            object,
        })
    }
}

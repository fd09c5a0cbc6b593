//! Network configurations as they lie in a directory (CNI specification 1.1.0, section
//! "Network configuration format").

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::PluginName;
use crate::SpecVersion;
use crate::json::{Node, from_node, print};
use crate::version::Dotted;

/// A network: an ordered list of plugins and what they share.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    /// The network's name; checked when it is used.
    pub name: String,
    /// `cniVersion`, or the highest of `cniVersions` that this library knows. Not checked: what
    /// plugins do not know they refuse.
    pub version: String,
    /// CHECK succeeds without running anything.
    pub disable_check: bool,
    /// GC succeeds without running anything.
    pub disable_gc: bool,
    /// In the order of ADD.
    pub plugins: Vec<PluginConfig>,
    /// The document that this was read from.
    pub bytes: Vec<u8>,
}

/// One plugin of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginConfig {
    /// Type, and its own name if it has one.
    pub plugin: PluginName,
    /// Which capability arguments it takes.
    pub capabilities: BTreeMap<String, bool>,
    /// The plugin object with all of its keys.
    pub(super) object: Node,
}

/// Why there is no usable network configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The directory has configurations, but none of this name.
    #[error("no net configuration with name \"{name}\" in {}", dir.display())]
    NotFound {
        /// The wanted name.
        name: String,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// The directory has no configurations at all, or does not exist.
    #[error("no net configurations found in {}", dir.display())]
    NoneFound {
        /// Where they were looked for.
        dir: PathBuf,
    },
    /// A file or directory could not be read.
    #[error("read {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A document is no network configuration.
    #[error("{}error parsing configuration list: {what}", place(file))]
    Invalid {
        /// The file, unless the document came from memory.
        file: Option<PathBuf>,
        /// What is wrong.
        what: String,
    },
}

fn place(file: &Option<PathBuf>) -> String {
    file.as_ref()
        .map(|file| format!("{}: ", file.display()))
        .unwrap_or_default()
}

impl NetworkConfig {
    /// Loads the network `name` from a directory: the first `*.conflist` of that name in the order
    /// of file names, else the first `*.conf` or `*.json`, which holds a single plugin. Any file
    /// that cannot be parsed before the name is found is an error; a missing directory is an empty
    /// one.
    ///
    /// # Errors
    /// No such network, an unreadable file, an invalid file.
    pub fn load(dir: &Path, name: &str) -> Result<Self, ConfigError> {
        let lists = files(dir, &["conflist"])?;
        for file in &lists {
            let network = Self::read_list(file)?;
            if network.name == name {
                return Ok(network);
            }
        }
        let singles = files(dir, &["conf", "json"])?;
        if lists.is_empty() && singles.is_empty() {
            return Err(ConfigError::NoneFound {
                dir: dir.to_owned(),
            });
        }
        for file in &singles {
            let network = single(&read(file)?).map_err(invalid(Some(file)))?;
            if network.name == name {
                return Ok(network);
            }
        }
        Err(ConfigError::NotFound {
            name: name.to_owned(),
            dir: dir.to_owned(),
        })
    }

    /// Parses a configuration list from memory: all plugins must be in it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        list(bytes, |_| Ok(Vec::new()))
            .map_err(invalid(None))?
            .finish(None)
    }

    /// Reads a `*.conflist` and, unless it says `loadOnlyInlinedPlugins`, the plugins in the
    /// directory of the network's name beside it.
    fn read_list(file: &Path) -> Result<Self, ConfigError> {
        let beside = file.parent().unwrap_or(Path::new("."));
        let mut failure = None;
        let parsed = list(&read(file)?, |name| {
            match side_plugins(&beside.join(name)) {
                Ok(plugins) => Ok(plugins),
                Err(error) => {
                    failure = Some(error);
                    Ok(Vec::new())
                }
            }
        });
        match failure {
            Some(error) => Err(error),
            None => parsed.map_err(invalid(Some(file)))?.finish(Some(file)),
        }
    }

    fn finish(self, file: Option<&Path>) -> Result<Self, ConfigError> {
        if self.plugins.is_empty() {
            return Err(invalid(file)("no plugin configs found".to_owned()));
        }
        Ok(self)
    }
}

fn invalid(file: Option<&Path>) -> impl Fn(String) -> ConfigError + use<> {
    let file = file.map(Path::to_owned);
    move |what| ConfigError::Invalid {
        file: file.clone(),
        what,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The directory's files with one of these extensions, sorted by name.
fn files(dir: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: dir.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let extension = path.extension().and_then(OsStr::to_str);
        if extension.is_some_and(|extension| extensions.contains(&extension)) && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The plugins of the directory that belongs to a network.
fn side_plugins(dir: &Path) -> Result<Vec<PluginConfig>, ConfigError> {
    let plugin = |file: &PathBuf| {
        let node = Node::parse(&read(file)?).map_err(|e| invalid(Some(file))(e.0))?;
        PluginConfig::from_object(node).map_err(invalid(Some(file)))
    };
    files(dir, &["conf"])?.iter().map(plugin).collect()
}

/// A configuration list; `side` gives the plugins that are not in the document.
fn list(
    bytes: &[u8],
    side: impl FnOnce(&str) -> Result<Vec<PluginConfig>, String>,
) -> Result<NetworkConfig, String> {
    let document = Node::parse(bytes).map_err(|e| e.0)?;
    if !matches!(document, Node::Object(_)) {
        return Err(format!("an object is wanted, not {}", document.kind()));
    }
    let name = match document.exact("name") {
        Some(Node::String(name)) if !name.is_empty() => name.clone(),
        Some(Node::String(_)) | None => return Err("no name".to_owned()),
        Some(other) => return Err(format!("name must be a string, not {}", other.kind())),
    };
    let only_inlined = flag(&document, "loadOnlyInlinedPlugins")?;
    let mut plugins = inlined_plugins(&document, only_inlined)?;
    if !only_inlined {
        plugins.extend(side(&name)?);
    }
    Ok(NetworkConfig {
        version: selected_version(&document)?,
        disable_check: flag(&document, "disableCheck")?,
        disable_gc: flag(&document, "disableGC")?,
        name,
        plugins,
        bytes: bytes.to_owned(),
    })
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

/// A boolean, or the word for one in any letter case.
fn flag(document: &Node, key: &str) -> Result<bool, String> {
    match document.exact(key) {
        None => Ok(false),
        Some(Node::Bool(value)) => Ok(*value),
        Some(Node::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(Node::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(Node::String(text)) => Err(format!("{key} must be true or false, not \"{text}\"")),
        Some(other) => Err(format!("{key} must be true or false, not {}", other.kind())),
    }
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
fn single(bytes: &[u8]) -> Result<NetworkConfig, String> {
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
    fn from_object(object: Node) -> Result<Self, String> {
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

#[cfg(test)]
mod tests;

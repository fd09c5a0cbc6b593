//! Network configurations as they lie in a directory (CNI specification 1.1.0, section
//! "Network configuration format").

mod parse;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use self::parse::{List, list, single};
use super::PluginName;
use crate::json::Node;

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

impl PluginConfig {
    /// The plugin object with all of its keys.
    pub fn to_value(&self) -> serde_json::Value {
        self.object.clone().into()
    }
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

    /// Every network of a directory, each as [`load`](Self::load) finds it by its name, and what
    /// cannot be read of the files there.
    ///
    /// # Errors
    /// The directory cannot be read; a missing one is an empty one.
    pub fn all(dir: &Path) -> Result<(Vec<Self>, Vec<ConfigError>), ConfigError> {
        let (mut networks, mut errors) = (Vec::<Self>::new(), Vec::new());
        let lists = files(dir, &["conflist"])?.into_iter();
        let singles = files(dir, &["conf", "json"])?.into_iter();
        let lists = lists.map(|file| Self::read_list(&file));
        let singles = singles.map(|file| single(&read(&file)?).map_err(invalid(Some(&file))));
        for network in lists.chain(singles) {
            match network {
                Ok(network) if networks.iter().any(|known| known.name == network.name) => {}
                Ok(network) => networks.push(network),
                Err(error) => errors.push(error),
            }
        }
        Ok((networks, errors))
    }

    /// Parses a configuration list from memory: all plugins must be in it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        list(bytes)
            .map_err(invalid(None))?
            .network
            .with_plugins(None)
    }

    /// Reads a `*.conflist` and, unless it says `loadOnlyInlinedPlugins`, the plugins in the
    /// directory of the network's name beside it.
    fn read_list(file: &Path) -> Result<Self, ConfigError> {
        let List {
            mut network,
            only_inlined,
        } = list(&read(file)?).map_err(invalid(Some(file)))?;
        if !only_inlined {
            let beside = file.parent().unwrap_or(Path::new("."));
            network
                .plugins
                .extend(side_plugins(&beside.join(&network.name))?);
        }
        network.with_plugins(Some(file))
    }

    /// Refuses a network without plugins.
    fn with_plugins(self, file: Option<&Path>) -> Result<Self, ConfigError> {
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
    files::read(path, files::Links::Follow).map_err(|source| ConfigError::Read {
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

#[cfg(test)]
mod tests;

//! Which network attaches a lab's pods: podwire's own, or one that the user brings, with or without
//! plugins of others.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cni::NetworkName;
use cni::runtime::NetworkConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::LOOPBACK;
use crate::program::{self, Programs, command};
use crate::state::LabDir;

/// The name of podwire's own network, which flannel's manifest gives it.
const OWN: &str = "cbr0";

/// What podwire's own network is asked for by, too.
pub(super) const OVERLAY: &str = "overlay";

/// What `--network` takes that is no network of its own.
const RESERVED: [&str; 3] = ["host", manifest::NO_NETWORK, OVERLAY];

/// Where a node sees the directories of plugins that the user named, by their number. The links
/// that lead there are relative to [`CNI_BIN`](crate::node::CNI_BIN).
pub const PLUGIN_DIRS: &str = "/opt/cni/plugin-dirs";

/// A network, and where its plugins are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The text of the configuration list; podwire's own when absent.
    pub list: Option<String>,
    /// Directories whose plugins are taken before podwire's of the same name; the first one counts.
    pub plugin_dirs: Vec<PathBuf>,
}

impl Default for Network {
    /// podwire's own, with podwire's plugins.
    fn default() -> Self {
        Self {
            name: OWN.to_owned(),
            list: None,
            plugin_dirs: Vec::new(),
        }
    }
}

impl Network {
    /// The network of a configuration list (`--conflist`, or `conflist` of a cluster file), with plugins
    /// of these directories (`--plugin-dir`, `pluginDirs`) and podwire's.
    ///
    /// # Errors
    /// A path cannot be read; the list is none; a plugin that it names is nowhere. The text says
    /// which file and field.
    pub fn choose(
        conflist: Option<&Path>,
        plugin_dirs: &[PathBuf],
        programs: &Programs,
    ) -> Result<Self> {
        let mut network = Self::default();
        for directory in plugin_dirs {
            network.plugin_dirs.push(plugin_dir(directory)?);
        }
        let Some(file) = conflist else {
            return Ok(network);
        };
        let own = || own_plugins(&programs.podwire);
        let (name, text) = network
            .bring(file, own)
            .with_context(|| format!("conflist {}", file.display()))?;
        network.name = name;
        network.list = Some(text);
        Ok(network)
    }

    /// The name and the text of a list whose plugins are all there, `own` are podwire's.
    ///
    /// # Errors
    /// As [`read_list`]; a plugin that it names is nowhere.
    pub(super) fn bring(
        &self,
        file: &Path,
        own: impl FnOnce() -> Result<Vec<String>>,
    ) -> Result<(String, String)> {
        let list = read_list(file)?;
        self.require_plugins(&list, &own()?)?;
        let text = String::from_utf8(list.bytes).context("read the list")?;
        Ok((list.name, text))
    }

    /// The name of a network that is asked for: `overlay` is podwire's own, where that attaches the pods.
    pub fn named(&self, asked: &str) -> String {
        match (asked, &self.list) {
            (OVERLAY, None) => self.name.clone(),
            _ => asked.to_owned(),
        }
    }

    /// Refuses a list that names a plugin which is nowhere; `own` are podwire's.
    ///
    /// # Errors
    /// Says which, and where it was looked for.
    fn require_plugins(&self, list: &NetworkConfig, own: &[String]) -> Result<()> {
        for (index, plugin) in list.plugins.iter().enumerate() {
            for (field, name) in types(&plugin.to_value(), &format!("plugins[{index}]")) {
                let known = own.contains(&name)
                    || self.plugin_dirs.iter().any(|directory| {
                        !name.contains('/') && program::is_executable(&directory.join(&name))
                    });
                if !known {
                    bail!("{field}: there is no plugin {name:?} {}", self.places(own));
                }
            }
        }
        Ok(())
    }

    /// Where plugins were looked for.
    fn places(&self, own: &[String]) -> String {
        let own = format!("among podwire's ({})", own.join(", "));
        if self.plugin_dirs.is_empty() {
            return format!(
                "{own}; name a directory that has it with --plugin-dir, in a cluster file pluginDirs"
            );
        }
        let directories: Vec<String> = self
            .plugin_dirs
            .iter()
            .map(|directory| directory.display().to_string())
            .collect();
        format!("in {} or {own}", directories.join(", "))
    }

    /// Puts the plugins of the user's directories among the lab's, as links that a node can follow;
    /// so a plugin that is built anew is the nodes' from then on.
    ///
    /// # Errors
    /// A directory cannot be read, or a link cannot be made.
    pub fn link_plugins(&self, dir: &LabDir) -> Result<()> {
        let mut taken = BTreeSet::new();
        for (number, directory) in self.plugin_dirs.iter().enumerate() {
            for name in executables(directory)? {
                if !taken.insert(name.clone()) {
                    continue;
                }
                let link = dir.path("bin").join(&name);
                let target = Path::new("..")
                    .join("plugin-dirs")
                    .join(number.to_string())
                    .join(&name);
                // podwire's, in whose place it comes.
                let _ = fs::remove_file(&link);
                symlink(&target, &link).with_context(|| format!("create {}", link.display()))?;
            }
        }
        Ok(())
    }
}

fn plugin_dir(directory: &Path) -> Result<PathBuf> {
    let option = || format!("plugin directory {}", directory.display());
    let path = fs::canonicalize(directory).with_context(option)?;
    if executables(&path).with_context(option)?.is_empty() {
        bail!("{}: there is no executable file in it", option());
    }
    Ok(path)
}

/// The names of the executable files in a directory.
fn executables(directory: &Path) -> Result<Vec<OsString>> {
    let read = || format!("read {}", directory.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).with_context(read)? {
        let entry = entry.with_context(read)?;
        if program::is_executable(&entry.path()) {
            names.push(entry.file_name());
        }
    }
    Ok(names)
}

/// The configuration list in a file, with all its plugins in it.
///
/// # Errors
/// The file cannot be read or is none; its network's name cannot be one of pods.
pub fn read_list(file: &Path) -> Result<NetworkConfig> {
    let list = NetworkConfig::parse(&fs::read(file)?)?;
    pod_network(&list.name).context("name")?;
    Ok(list)
}

/// The name of a network of pods.
///
/// # Errors
/// It is none, or stands for something else.
pub fn pod_network(name: &str) -> Result<String> {
    let name: NetworkName = name.parse()?;
    if name.as_str() == LOOPBACK {
        bail!("{LOOPBACK:?} is the network that gives pods their lo: choose another");
    }
    if RESERVED.contains(&name.as_str()) {
        bail!("\"{name}\" is a network mode, not a network: choose another");
    }
    Ok(name.to_string())
}

/// The plugins of podwire's executable.
///
/// # Errors
/// It does not say.
pub(super) fn own_plugins(podwire: &Path) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Plugin {
        name: String,
    }
    let mut list = command(podwire);
    let text = program::output(list.args(["list", "--output", "json"]))?;
    let plugins: Vec<Plugin> =
        serde_json::from_str(&text).context("understand what `podwire list` says")?;
    Ok(plugins.into_iter().map(|plugin| plugin.name).collect())
}

/// The plugins that a lab has; links to those of the user's directories lead nowhere outside of nodes.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn own_plugins_in(directory: &Path) -> Result<Vec<String>> {
    let names = executables(directory)?.into_iter();
    Ok(names.filter_map(|name| name.into_string().ok()).collect())
}

/// The plugins that a plugin's configuration names, itself first, each with its field.
fn types(plugin: &Value, field: &str) -> Vec<(String, String)> {
    if !plugin.is_object() {
        return Vec::new();
    }
    let own = plugin["type"].as_str().filter(|name| !name.is_empty());
    let own = own.map(|name| (format!("{field}.type"), name.to_owned()));
    let called = ["ipam", "delegate"];
    let called = called.map(|key| types(&plugin[key], &format!("{field}.{key}")));
    own.into_iter()
        .chain(called.into_iter().flatten())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_plugin_names_those_that_it_calls() {
        let pair = |field: &str, name: &str| (field.to_owned(), name.to_owned());
        let flannel = json!({
            "type": "flannel",
            "ipam": { "type": "" },
            "delegate": { "type": "bridge", "ipam": { "type": "dhcp" } },
        });
        let expected = [
            pair("p.type", "flannel"),
            pair("p.delegate.type", "bridge"),
            pair("p.delegate.ipam.type", "dhcp"),
        ];
        assert_eq!(types(&flannel, "p"), expected);
        assert_eq!(
            types(&json!({ "type": "tuning" }), "p"),
            [pair("p.type", "tuning")]
        );
    }
}

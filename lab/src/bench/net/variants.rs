//! What is compared on the same paths: podwire as it comes, another suite of plugins, another
//! configuration.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::paths::Path;

/// The name of what the others are compared with.
pub(super) const BASE: &str = "podwire";

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Variant {
    /// As samples name it.
    pub(crate) name: String,
    /// What its programs say they are.
    pub(crate) about: Option<String>,
    /// Where its plugins are; podwire's, if none.
    pub(crate) plugin_dir: Option<PathBuf>,
    /// How it is configured otherwise.
    pub(crate) changes: Option<Changes>,
}

/// What a configuration has that podwire's as it comes has not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Changes {
    /// Members of the configuration of plugins, by the plugin's name.
    pub(crate) plugins: BTreeMap<String, Map<String, Value>>,
    /// Members of netd's `Backend`, by its `Type`.
    pub(crate) backends: BTreeMap<String, Map<String, Value>>,
    /// Further arguments of netd.
    pub(crate) netd: Vec<String>,
}

impl Variant {
    /// Podwire as it comes.
    pub(super) fn base() -> Self {
        Self {
            name: BASE.to_owned(),
            about: None,
            plugin_dir: None,
            changes: None,
        }
    }

    /// Another suite of plugins.
    pub(super) fn suite(dir: &FilePath) -> Self {
        Self {
            name: name(dir),
            plugin_dir: Some(dir.to_owned()),
            ..Self::base()
        }
    }

    /// Another configuration, from a file of [`Changes`].
    ///
    /// # Errors
    /// The file cannot be read, is no JSON of that form, or names what no path has.
    pub(super) fn configuration(file: &FilePath) -> Result<Self> {
        let changes = crate::bench::file::read(file)?;
        let changes = parse(&changes).with_context(|| {
            format!(
                "{}: give {{\"plugins\": {{\"bridge\": {{…}}}}, \"backends\": {{\"vxlan\": {{…}}}}, \
                 \"netd\": [\"-flag\"]}}",
                file.display()
            )
        })?;
        Ok(Self {
            name: name(file),
            changes: Some(changes),
            ..Self::base()
        })
    }

    /// Whether this path is another with it than with podwire as it comes.
    pub(super) fn concerns(&self, path: Path) -> bool {
        match (&self.plugin_dir, &self.changes) {
            (None, None) => true,
            (Some(_), _) => path.has_pods(),
            (None, Some(changes)) => changes.concern(path),
        }
    }

    /// A plugin's configuration, with what it changes.
    pub(super) fn plugin(&self, mut config: Value) -> Value {
        let name = config["type"].as_str().unwrap_or_default();
        let changes = self.changes.as_ref();
        let members = changes.and_then(|changes| changes.plugins.get(name));
        merge(&mut config, members.cloned());
        config
    }

    /// netd's `Backend`, with what it changes.
    pub(super) fn backend(&self, name: &str) -> Value {
        let mut config = serde_json::json!({ "Type": name });
        let changes = self.changes.as_ref();
        let members = changes.and_then(|changes| changes.backends.get(name));
        merge(&mut config, members.cloned());
        config
    }

    /// Further arguments of netd.
    pub(super) fn netd(&self) -> &[String] {
        self.changes.as_ref().map_or(&[], |changes| &changes.netd)
    }
}

impl Changes {
    fn concern(&self, path: Path) -> bool {
        let mut plugins = path.plugins().iter();
        let backend = path.backend();
        plugins.any(|plugin| self.plugins.contains_key(*plugin))
            || backend.is_some_and(|name| self.backends.contains_key(name) || !self.netd.is_empty())
    }
}

/// Of what a path configures.
pub(super) fn name(path: &FilePath) -> String {
    path.display().to_string()
}

fn merge(config: &mut Value, members: Option<Map<String, Value>>) {
    for (key, value) in members.into_iter().flatten() {
        config[key] = value;
    }
}

fn parse(text: &[u8]) -> Result<Changes> {
    let changes: Changes = serde_json::from_slice(text)?;
    let paths = Path::value_variants().iter();
    let plugins: Vec<&str> = paths
        .clone()
        .flat_map(|path| path.plugins())
        .copied()
        .collect();
    let plugins: Vec<&str> = plugins
        .into_iter()
        .filter(|plugin| *plugin != "host-local")
        .collect();
    let backends: Vec<&str> = paths.filter_map(|path| path.backend()).collect();
    for (what, known, named) in [
        ("plugin", plugins, changes.plugins.keys()),
        ("backend", backends, changes.backends.keys()),
    ] {
        for name in named {
            ensure!(
                known.contains(&name.as_str()),
                "no path has the {what} {name:?}, but these: {}",
                distinct(&known).join(", ")
            );
        }
    }
    ensure!(changes != Changes::default(), "nothing is changed");
    Ok(changes)
}

fn distinct<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(changes: &str) -> Variant {
        Variant {
            changes: Some(parse(changes.as_bytes()).unwrap()),
            ..Variant::base()
        }
    }

    #[test]
    fn a_variant_concerns_the_paths_that_it_changes() {
        let bridge = r#"{"plugins": {"bridge": {"mtu": 1400}}}"#;
        let netd = r#"{"netd": ["-x"]}"#;
        let vxlan = r#"{"backends": {"vxlan": {"DirectRouting": true}}}"#;
        let suite = Variant::suite(FilePath::new("/x"));
        for (variant, concerned, not) in [
            (Variant::base(), vec![Path::Node, Path::Udp], vec![]),
            (
                suite,
                vec![Path::Bridge, Path::Vxlan],
                vec![Path::Loopback, Path::Node],
            ),
            (
                with(bridge),
                vec![Path::Hairpin, Path::HostGw],
                vec![Path::Ptp, Path::Node],
            ),
            (with(netd), vec![Path::Vxlan, Path::Udp], vec![Path::Bridge]),
            (
                with(vxlan),
                vec![Path::Vxlan],
                vec![Path::HostGw, Path::Bridge],
            ),
        ] {
            assert!(
                concerned.iter().all(|path| variant.concerns(*path)),
                "{variant:?}"
            );
            assert!(
                !not.iter().any(|path| variant.concerns(*path)),
                "{variant:?}"
            );
        }
    }

    #[test]
    fn changes_are_in_the_configuration() {
        let variant = with(
            r#"{"plugins": {"bridge": {"mtu": 1400}}, "backends": {"vxlan": {"VNI": 7}}, "netd": ["-x"]}"#,
        );
        let config = variant.plugin(json!({ "type": "bridge", "mtu": 1 }));
        assert_eq!(config, json!({ "type": "bridge", "mtu": 1400 }));
        assert_eq!(
            variant.plugin(json!({ "type": "ptp" })),
            json!({ "type": "ptp" })
        );
        assert_eq!(
            variant.backend("vxlan"),
            json!({ "Type": "vxlan", "VNI": 7 })
        );
        assert_eq!(variant.backend("udp"), json!({ "Type": "udp" }));
        assert_eq!(variant.netd(), ["-x"]);
        assert_eq!(Variant::base().netd(), [] as [String; 0]);
    }

    #[test]
    fn what_no_path_has_is_refused() {
        for (text, words) in [
            (
                r#"{"plugins": {"vlan": {}}}"#,
                "bridge, ipvlan, macvlan, portmap, ptp",
            ),
            (
                r#"{"backends": {"alloc": {}}}"#,
                "host-gw, ipip, udp, vxlan, wireguard",
            ),
            (r#"{"plugin": {}}"#, "unknown field `plugin`"),
            ("{}", "nothing is changed"),
            ("", "EOF"),
        ] {
            let error = format!("{:#}", parse(text.as_bytes()).unwrap_err());
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}

//! The smallest configuration with which each known plugin can be asked to do its work: the suite's
//! own, or one that the user gives, for a plugin the suite does not know or in place of its own.

use std::{fs, path::Path, sync::OnceLock};

use anyhow::{Context, Result, bail, ensure};
use cni::SpecVersion;
use serde_json::{Value, json};

/// What the suite must know of a plugin to call it at all.
pub(crate) struct Known {
    /// The executable's name.
    pub name: &'static str,
    /// The first version of the specification it must accept.
    pub since: SpecVersion,
    /// It can be called with nothing prepared: no link of the host's, no plugin before it.
    pub on_its_own: bool,
    config: Config,
}

enum Config {
    Own(fn() -> Value),
    Given(Value),
}

/// The network that all cases use.
pub(crate) const NETWORK: &str = "suite";

const fn known(name: &'static str, config: fn() -> Value) -> Known {
    Known {
        name,
        since: SpecVersion::V0_1_0,
        on_its_own: true,
        config: Config::Own(config),
    }
}

/// A plugin that works on what others made; only cases that prepare that judge it.
const fn dependent(name: &'static str, since: SpecVersion, config: fn() -> Value) -> Known {
    Known {
        name,
        since,
        on_its_own: false,
        config: Config::Own(config),
    }
}

/// Plugins the suite can call with a configuration of its own.
static KNOWN: &[Known] = &[
    known("bridge", || {
        json!({ "bridge": "suite0", "isGateway": true,
                "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } })
    }),
    known(
        "ptp",
        || json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } }),
    ),
    known("loopback", || json!({})),
    known(
        "host-local",
        || json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } }),
    ),
    known(
        "static",
        || json!({ "ipam": { "type": "static", "addresses": [{ "address": "10.88.0.7/24" }] } }),
    ),
    dependent(
        "macvlan",
        SpecVersion::V0_1_0,
        || json!({ "master": "m0", "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } }),
    ),
    dependent("vlan", SpecVersion::V0_1_0, || {
        json!({ "master": "m0", "vlanId": 5,
                "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } })
    }),
    dependent(
        "ipvlan",
        SpecVersion::V0_1_0,
        || json!({ "master": "m0", "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } }),
    ),
    dependent(
        "dummy",
        SpecVersion::V0_1_0,
        || json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } }),
    ),
    dependent("vrf", SpecVersion::V0_3_1, || json!({ "vrfname": "blue" })),
    dependent(
        "host-device",
        SpecVersion::V0_1_0,
        || json!({ "device": "dev0" }),
    ),
    dependent(
        "dhcp",
        SpecVersion::V0_1_0,
        || json!({ "ipam": { "type": "dhcp" } }),
    ),
    dependent(
        "tap",
        SpecVersion::V0_1_0,
        || json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } }),
    ),
    dependent("portmap", SpecVersion::V0_1_0, || json!({})),
    dependent("tuning", SpecVersion::V0_1_0, || json!({})),
    dependent("sbr", SpecVersion::V0_1_0, || json!({})),
    dependent("bandwidth", SpecVersion::V0_3_0, || json!({})),
    dependent("firewall", SpecVersion::V0_4_0, || json!({})),
];

/// What the user gave, for the life of the process.
static GIVEN: OnceLock<Vec<Known>> = OnceLock::new();

/// Every plugin that can be called: those with a given configuration first.
pub(crate) fn all() -> impl Iterator<Item = &'static Known> {
    let given = GIVEN.get().map_or(&[][..], Vec::as_slice);
    let is_given = |name: &str| given.iter().any(|known| known.name == name);
    let own = KNOWN.iter().filter(move |known| !is_given(known.name));
    given.iter().chain(own)
}

/// The names of [`all`], for people.
pub(crate) fn names() -> String {
    all().map(|known| known.name).collect::<Vec<_>>().join(", ")
}

/// The names of those with a given configuration.
pub(crate) fn given_names() -> impl Iterator<Item = &'static str> {
    all()
        .filter(|known| known.given().is_some())
        .map(|known| known.name)
}

/// The entry of `name`.
#[must_use]
pub(crate) fn find(name: &str) -> Option<&'static Known> {
    all().find(|known| known.name == name)
}

/// Takes the configurations of `--config NAME=FILE`. Once in a process, before anything is asked.
///
/// # Errors
/// No such form, no such file, no JSON object, one name twice.
pub(crate) fn give(options: &[String]) -> Result<()> {
    let mut given: Vec<Known> = Vec::new();
    for option in options {
        let known = parse(option).with_context(|| format!("--config {option}"))?;
        ensure!(
            !given.iter().any(|other| other.name == known.name),
            "--config {option}: {} has a configuration already",
            known.name
        );
        given.push(known);
    }
    give_known(given);
    Ok(())
}

/// What [`Known::given`] of another process said.
pub(crate) fn give_again(name: &str, config: Value) -> Result<()> {
    give_known(vec![from_config(name, config)?]);
    Ok(())
}

fn give_known(given: Vec<Known>) {
    // Set twice it would stay as it was; nothing does that.
    let _ = GIVEN.set(given);
}

fn parse(option: &str) -> Result<Known> {
    let Some((name, file)) = option.split_once('=') else {
        bail!("give NAME=FILE: the plugin's executable, and a file with its configuration");
    };
    ensure!(
        !name.is_empty() && !name.contains('/'),
        "{name:?} is no name of an executable"
    );
    let text = fs::read(Path::new(file)).context("cannot read the file")?;
    let config = serde_json::from_slice(&text).context("not JSON")?;
    from_config(name, config)
}

/// A plugin of which the suite knows only this. It is judged by the rules for every plugin, from the
/// configuration's `cniVersion` on.
fn from_config(name: &str, config: Value) -> Result<Known> {
    ensure!(config.is_object(), "a configuration is a JSON object");
    let since = match &config["cniVersion"] {
        Value::Null => SpecVersion::V0_1_0,
        Value::String(version) => version.parse().map_err(anyhow::Error::msg)?,
        other => bail!("cniVersion {other}: not a string"),
    };
    Ok(Known {
        // As long as the process, like the names the suite knows.
        name: String::from(name).leak(),
        since,
        on_its_own: true,
        config: Config::Given(config),
    })
}

impl Known {
    /// A complete configuration for `version`.
    #[must_use]
    pub(crate) fn config(&self, version: SpecVersion) -> Value {
        let mut config = match &self.config {
            Config::Own(config) => config(),
            Config::Given(config) => config.clone(),
        };
        config["cniVersion"] = version.as_str().into();
        config["name"] = NETWORK.into();
        config["type"] = self.name.into();
        config
    }

    /// The configuration that the user gave, if one was given.
    pub(crate) fn given(&self) -> Option<&Value> {
        match &self.config {
            Config::Own(_) => None,
            Config::Given(config) => Some(config),
        }
    }
}

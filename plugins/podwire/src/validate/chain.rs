//! The plugins of a network, each in its place.
use std::collections::BTreeMap;

use cni::{Plugin, Role, SpecVersion, schema::NEEDED};
use jsonc_parser::ast::{Object, Value};
use serde_json::{Map, Value as Schema};

use super::{
    addresses::{self, Given},
    ask,
    document::{find, key_place, string},
    effect,
    finding::Findings,
    keys::{self, Case},
    node::Node,
    subnets::{self, Subnet},
};

/// What the plugins of a network have in common.
pub(super) struct Chain<'c> {
    pub(super) name: &'c str,
    pub(super) version: Option<SpecVersion>,
    /// Whether they stand in a list.
    pub(super) is_list: bool,
    pub(super) node: Option<&'c Node>,
}

/// Keys of a plugin's configuration that the runtime writes over.
pub(super) const OF_RUNTIME: [&str; 3] =
    ["runtimeConfig", "prevResult", "cni.dev/valid-attachments"];

/// Judges every plugin, and tells which subnets they give addresses of.
pub(super) fn judge(
    chain: &Chain<'_>,
    plugins: &[&Object<'_>],
    findings: &mut Findings<'_>,
) -> Vec<Subnet> {
    let (mut subnets, mut has_ipv6) = (Vec::new(), false);
    for (index, object) in plugins.iter().enumerate() {
        let Some(entry) = Entry::of(object, findings) else {
            continue;
        };
        entry.judge_installed(chain, findings);
        entry.judge_place(index, findings);
        entry.judge_version(chain, findings);
        let schema = entry.schema();
        keys::judge(entry.name, object, &schema, Case::Ignored, findings);
        entry.judge_delegate(findings);
        entry.judge_capabilities(&schema, findings);
        entry.judge_what_the_runtime_writes(chain, findings);
        entry.ask_plugins(chain, findings);
        effect::judge(entry.name, object, findings);
        if entry.name == "bandwidth"
            && let Some(maker) = plugins[..index].iter().rev().find(|one| makes_link(one))
        {
            effect::judge_pair(maker, entry.name_place, findings);
        }
        addresses::judge(&entry.of_addresses(), chain, &mut has_ipv6, findings);
        subnets.extend(subnets::of(entry.name, object));
    }
    subnets
}

/// One plugin of the network.
struct Entry<'o, 't> {
    object: &'o Object<'t>,
    /// Its `type`.
    name: &'o str,
    name_place: usize,
    plugin: Option<&'static dyn Plugin>,
    /// Its `ipam.type`, and where that stands.
    ipam: Option<(usize, &'o str)>,
    ipam_plugin: Option<&'static dyn Plugin>,
}

impl<'o, 't> Entry<'o, 't> {
    fn of(object: &'o Object<'t>, findings: &mut Findings<'_>) -> Option<Self> {
        let Some((name_place, name)) = string(object, "type").filter(|(_, name)| !name.is_empty())
        else {
            if find(object, "type").is_none_or(|property| property.value.as_string_lit().is_some())
            {
                findings.error(object.range.start, "the plugin has no \"type\"");
            }
            return None;
        };
        let ipam = find(object, "ipam").and_then(|property| property.value.as_object());
        let ipam = ipam
            .and_then(|ipam| string(ipam, "type"))
            .filter(|(_, name)| !name.is_empty());
        Some(Self {
            object,
            name,
            name_place,
            plugin: plugin(name),
            ipam,
            ipam_plugin: ipam.and_then(|(_, name)| plugin(name)),
        })
    }

    fn of_addresses(&self) -> Given<'o, 't> {
        Given {
            plugin: self.name,
            object: self.object,
            ipam: self.ipam.map(|(_, name)| name),
        }
    }

    /// What the plugin and its IPAM plugin read. What one of them reads that is not ours is open.
    fn schema(&self) -> Schema {
        let mut schema = match self.plugin {
            Some(plugin) => plugin.schema().document(plugin.name()),
            None => cni::schema::common(),
        }
        .to_value();
        match (self.ipam, self.ipam_plugin) {
            (_, Some(ipam)) => {
                let ipam = ipam.schema().document(ipam.name()).to_value();
                for key in ["ipam", "args", "runtimeConfig"] {
                    merge(&mut schema["properties"][key], &ipam["properties"][key]);
                }
            }
            (Some(_), None) => schema["properties"]["ipam"]["additionalProperties"] = true.into(),
            (None, None) => {}
        }
        schema
    }

    fn judge_installed(&self, chain: &Chain<'_>, findings: &mut Findings<'_>) {
        let Some(node) = chain.node else { return };
        let names = [Some((self.name_place, self.name)), self.ipam];
        for (place, name) in names.into_iter().flatten() {
            if let Some(directories) = node.lacks_plugin(name) {
                let text = format!("there is no plugin {name:?} in {directories}");
                findings.warning(place, text);
            }
        }
    }

    /// A chained plugin works on what earlier ones made; an IPAM plugin is called by others.
    fn judge_place(&self, index: usize, findings: &mut Findings<'_>) {
        let (name, at) = (self.name, self.name_place);
        match self.plugin.map(Plugin::role) {
            Some(Role::Chained) if index == 0 => {
                let text = format!(
                    "{name} works on what an earlier plugin made, and there is none: it cannot be \
                     the first"
                );
                findings.error(at, text);
            }
            Some(Role::Interface | Role::Meta) if index > 0 && name != "loopback" => {
                let text = format!(
                    "{name} makes an interface of its own; the result of the plugins before it is \
                     lost"
                );
                findings.warning(at, text);
            }
            Some(Role::Ipam) => {
                let text = format!(
                    "{name} hands out addresses; it belongs into the \"ipam\" of another plugin"
                );
                findings.warning(at, text);
            }
            _ => {}
        }
        if let (Some(plugin), Some((place, name))) = (self.ipam_plugin, self.ipam)
            && plugin.role() != Role::Ipam
        {
            findings.error(place, format!("{name} is no IPAM plugin"));
        }
    }

    fn judge_version(&self, chain: &Chain<'_>, findings: &mut Findings<'_>) {
        let (Some(plugin), Some(version)) = (self.plugin, chain.version) else {
            return;
        };
        if !plugin.versions().contains(&version) {
            let known: Vec<&str> = plugin.versions().iter().map(|one| one.as_str()).collect();
            let text = format!(
                "{} knows CNI {}, not {version}",
                self.name,
                known.join(", ")
            );
            findings.error(self.name_place, text);
        }
    }

    /// The configuration that a meta plugin hands on is judged as its reader does.
    fn judge_delegate(&self, findings: &mut Findings<'_>) {
        let Some(Role::Meta) = self.plugin.map(Plugin::role) else {
            return;
        };
        let delegate = find(self.object, "delegate").and_then(|found| found.value.as_object());
        let Some(delegate) = delegate else { return };
        let name = string(delegate, "type").map_or("bridge", |(_, name)| name);
        if let Some(plugin) = plugin(name) {
            let schema = plugin.schema().document(name).to_value();
            keys::judge(name, delegate, &schema, Case::Ignored, findings);
        }
    }

    /// Capabilities that nobody uses, and the one that the plugin cannot do without.
    fn judge_capabilities(&self, schema: &Schema, findings: &mut Findings<'_>) {
        let Some(plugin) = self.plugin else { return };
        let declared = declared(self.object);
        let used = schema["properties"]["runtimeConfig"]["properties"].as_object();
        let is_used = |key: &str| used.is_some_and(|used| used.contains_key(key));
        for (key, at) in &declared {
            if !is_used(key) && (self.ipam.is_none() || self.ipam_plugin.is_some()) {
                let name = self.name;
                let text = match self.ipam {
                    Some((_, ipam)) => {
                        format!("neither {name} nor {ipam} uses the capability {key:?}")
                    }
                    None => format!("{name} does not use the capability {key:?}"),
                };
                findings.warning(*at, text);
            }
        }
        if plugin.role() != Role::Chained {
            return;
        }
        for (key, told) in used.into_iter().flatten() {
            if !declared.contains_key(key.as_str()) && !self.has_instead(told) {
                let text = format!(
                    "{0} is given no {key:?} by the runtime: \"capabilities\": {{\"{key}\": true}} \
                     is missing",
                    self.name
                );
                findings.warning(self.name_place, text);
            }
        }
    }

    /// Whether the configuration itself holds what the capability would bring, or keys that give
    /// the plugin something else to do.
    fn has_instead(&self, told: &Schema) -> bool {
        let is_needed = told[NEEDED] == true;
        let inner = told["properties"]
            .as_object()
            .or(told["items"]["properties"].as_object());
        let is_written = |key: &String| find(self.object, key).is_some();
        !is_needed || inner.is_some_and(|inner| inner.keys().any(is_written))
    }

    fn judge_what_the_runtime_writes(&self, chain: &Chain<'_>, findings: &mut Findings<'_>) {
        for key in OF_RUNTIME {
            if let Some(property) = find(self.object, key) {
                let text = format!("{key:?} is the runtime's to write");
                findings.warning(key_place(property), text);
            }
        }
        if let Some(property) = find(self.object, "cniVersion").filter(|_| chain.is_list) {
            let text = "the runtime writes the list's \"cniVersion\" in place of this one";
            findings.warning(key_place(property), text);
        }
    }

    /// Both plugins read the configuration as they would for ADD.
    fn ask_plugins(&self, chain: &Chain<'_>, findings: &mut Findings<'_>) {
        for plugin in [self.plugin, self.ipam_plugin].into_iter().flatten() {
            ask::ask(plugin, self.object, self.name_place, chain, findings);
        }
    }
}

/// Whether the plugin may make the pod's interface.
fn makes_link(object: &Object<'_>) -> bool {
    let name = string(object, "type").map(|(_, name)| name);
    let plugin = name.and_then(plugin);
    plugin.is_none_or(|plugin| matches!(plugin.role(), Role::Interface | Role::Meta))
}

fn plugin(name: &str) -> Option<&'static dyn Plugin> {
    crate::plugin(name.as_ref())
}

/// The capabilities that are declared, and where.
fn declared<'o>(object: &'o Object<'_>) -> BTreeMap<&'o str, usize> {
    let capabilities = find(object, "capabilities").and_then(|found| found.value.as_object());
    let properties = capabilities.map(|found| found.properties.iter());
    let is_on = |value: &Value<'_>| value.as_boolean_lit().is_some_and(|flag| flag.value);
    properties
        .into_iter()
        .flatten()
        .filter(|property| is_on(&property.value))
        .map(|property| (property.name.as_str(), key_place(property)))
        .collect()
}

/// Adds the properties of another plugin's object.
fn merge(into: &mut Schema, from: &Schema) {
    let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) else {
        return;
    };
    let Some(properties) = from.get("properties").and_then(Schema::as_object) else {
        return;
    };
    let own = into
        .entry("properties")
        .or_insert_with(|| Schema::Object(Map::new()));
    for (key, told) in properties {
        match own.get_mut(key) {
            Some(own) => merge(own, told),
            None => own[key.as_str()] = told.clone(),
        }
    }
}

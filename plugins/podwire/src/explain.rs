//! What a plugin's configuration may hold, told to people.
use std::fmt::Write as _;

use cni::{
    Plugin,
    schema::{COMMON, SINCE, UNIT},
};
use serde_json::Value;

use crate::describe::wrapped;

/// What `podwire help PLUGIN` prints.
pub(crate) fn plugin(plugin: &dyn Plugin) -> String {
    let schema = plugin.schema();
    let versions: Vec<&str> = plugin.versions().iter().map(|one| one.as_str()).collect();
    let (own, common): (Vec<Key>, Vec<Key>) =
        keys(plugin).into_iter().partition(|key| !key.is_common);
    format!(
        "{} (CNI plugin): {}\n\nCNI versions: {}\n{}{}\nExample, a file in /etc/cni/net.d that ends in .conflist:\n\n{}",
        plugin.name(),
        schema.about(),
        versions.join(" "),
        section("Keys", &own),
        section("Keys of every plugin", &common),
        schema.example(),
    )
}

/// A key of a configuration.
pub(crate) struct Key {
    /// `ipam.ranges[][].subnet`.
    pub(crate) path: String,
    /// Type, default, unit, and so on.
    pub(crate) facts: String,
    pub(crate) about: String,
    /// Every plugin's configuration may hold it.
    pub(crate) is_common: bool,
}

/// The keys of a plugin's configuration, those inside a key behind it.
pub(crate) fn keys(plugin: &dyn Plugin) -> Vec<Key> {
    let document = plugin.schema().document(plugin.name());
    keys_in("", document.as_value())
}

fn keys_in(prefix: &str, schema: &Value) -> Vec<Key> {
    let mut found = Vec::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        let (brackets, inner) = innermost(property);
        let inside = keys_in(&format!("{path}{brackets}."), inner);
        found.push(Key {
            facts: facts(property),
            about: property["description"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            is_common: property[COMMON] == true,
            path,
        });
        found.extend(inside);
    }
    found
}

/// What a list's items are, with a `[]` for every list around them.
fn innermost(mut schema: &Value) -> (String, &Value) {
    let mut brackets = String::new();
    while schema["items"].is_object() {
        brackets.push_str("[]");
        schema = &schema["items"];
    }
    (brackets, schema)
}

fn section(heading: &str, keys: &[Key]) -> String {
    let mut text = String::new();
    if !keys.is_empty() {
        text = format!("\n{heading}:\n");
    }
    for key in keys {
        // Writing into a text cannot fail.
        let _ = writeln!(text, "  {}: {}", key.path, key.facts);
        if !key.about.is_empty() {
            let _ = writeln!(text, "      {}", wrapped(&key.about, 6));
        }
    }
    text
}

/// `integer (0 to 4094), default 0, bytes, since 1.6.0, for example 100`.
fn facts(property: &Value) -> String {
    let mut facts = vec![kind(property)];
    if let Some(values) = property["enum"].as_array() {
        let values: Vec<String> = values.iter().map(Value::to_string).collect();
        facts.push(values.join(" or "));
    }
    if let Some(unit) = property[UNIT].as_str() {
        facts.push(format!("in {unit}"));
    }
    if let Some(default) = property.get("default") {
        facts.push(format!("default {default}"));
    }
    if let Some(release) = property[SINCE].as_str() {
        facts.push(format!("since {release}"));
    }
    if let Some(example) = property["examples"].get(0) {
        facts.push(format!("for example {example}"));
    }
    facts.join(", ")
}

/// The type, with the bounds of a number: `list of integers`, `integer from 0 to 4094`.
fn kind(property: &Value) -> String {
    let (brackets, inner) = innermost(property);
    let lists = "list of ".repeat(brackets.len() / 2);
    let bounds = match (&inner["minimum"], &inner["maximum"]) {
        (Value::Null, Value::Null) => String::new(),
        (low, Value::Null) => format!(" from {low}"),
        (Value::Null, high) => format!(" up to {high}"),
        (low, high) => format!(" from {low} to {high}"),
    };
    format!("{lists}{}{bounds}", name(inner))
}

/// What people call the type.
fn name(schema: &Value) -> &str {
    match (schema["format"].as_str(), schema["type"].as_str()) {
        (Some("ip"), _) => "IP address",
        (Some("cidr"), _) => "network (address/prefix)",
        (_, Some(kind)) => kind,
        (_, None) => "anything",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str) -> String {
        plugin(crate::plugin(name.as_ref()).unwrap())
    }

    #[test]
    fn every_key_has_a_type_and_a_value_that_it_can_have() {
        for plugin in crate::PLUGINS {
            for key in keys(*plugin) {
                let name = plugin.name();
                let facts = &key.facts;
                assert!(!facts.contains("anything"), "{name} {}: {facts}", key.path);
                let tells = ["example", "default", "\"", "boolean", "object"];
                let shows_a_value = tells.iter().any(|word| facts.contains(word));
                assert!(
                    shows_a_value || key.path.ends_with("type"),
                    "{name} {}: {facts}",
                    key.path
                );
                let is_outside = facts.contains("from 1 to") && facts.contains("default 0");
                assert!(!is_outside, "{name} {}: {facts}", key.path);
            }
        }
        let line = "  queue: string, \"fifo\" or \"fq_codel\", default \"fifo\", since podwire\n";
        assert!(told("bandwidth").contains(line), "{}", told("bandwidth"));
    }

    #[test]
    fn a_key_is_told_with_all_that_is_known() {
        let text = told("bridge");
        for line in [
            "bridge (CNI plugin): a veth pair between the pod and a bridge on the host\n",
            "  bridge: string, default \"cni0\"\n      Name of the bridge",
            "  mtu: integer, in bytes, default 0, for example 1450\n",
            "  vlan: integer from 0 to 4094, default 0, for example 100\n",
            "  ipMasqBackend: string, \"nftables\" or \"iptables\", since 1.6.0\n",
            "  vlanTrunk[].minID: integer from 1 to 4094, for example 100\n",
            "\nKeys of every plugin:\n",
            "\"type\": \"bridge\"",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        let text = told("host-local");
        for line in [
            "  ipam.ranges: list of list of object, ",
            "  ipam.ranges[][].subnet: network (address/prefix), for example \"10.1.0.0/24\"\n",
            "  runtimeConfig.ips: list of string, for example [\"10.1.0.15\"]\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}

//! What a plugin's configuration may hold, as JSON Schema (draft 2020-12), made from the very
//! types that configurations are read into.
//!
//! A type derives [`JsonSchema`] beside `Deserialize`. The comment of a field says what the key
//! means; what else people want to know stands in an attribute:
//!
//! ```
//! #[derive(Default, serde::Deserialize, schemars::JsonSchema)]
//! #[serde(default)]
//! struct Config {
//!     /// MTU of both ends.
//!     #[schemars(extend("x-unit" = "bytes", "x-since" = "1.1.0", "examples" = [1400]))]
//!     mtu: u32,
//!     /// Name of the bridge; it is made when missing.
//!     #[schemars(extend("default" = "cni0"))]
//!     bridge: Option<String>,
//!     /// The next hop.
//!     #[serde(with = "cni::json::ip")]
//!     #[schemars(with = "Option<std::net::IpAddr>")]
//!     gateway: Option<std::net::IpAddr>,
//! }
//! let schema = cni::PluginSchema::of::<Config>("a bridge", "{}");
//! assert_eq!(schema.document("x").pointer("/properties/bridge/default").unwrap(), "cni0");
//! ```
//!
//! `x-unit` is the unit of a number. `x-since` is the release of the reference plugins that the
//! key came with, `CNI 1.1.0` for one of that specification, or `podwire` for one that others do
//! not have; without it the key was always there. `x-needed` stands at a key of `runtimeConfig`
//! without which a chained plugin has nothing to do, unless the keys inside it stand in the
//! configuration itself. A default that is empty, zero or false is the type's own and need not be written.
//!
//! The common keys are told once, here: a plugin's `dns`, `ipam`, `args` and so on need a comment
//! only for what stands inside.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::json::{self, JsonError, Node};
use crate::{Dns, ValidAttachment};

/// A plugin's configuration as people and their editors want it told.
#[derive(Clone, Debug)]
pub struct PluginSchema {
    about: &'static str,
    example: &'static str,
    keys: Schema,
    read: fn(&[u8]) -> Result<(), JsonError>,
}

impl PluginSchema {
    /// `T`: what the plugin's configuration is read into. `about`: what the plugin does, in a
    /// few words without a full stop. `example`: a network configuration list that works as it
    /// stands, the plugin in it.
    pub fn of<T: JsonSchema + DeserializeOwned>(
        about: &'static str,
        example: &'static str,
    ) -> Self {
        Self {
            about,
            example,
            keys: generate::<T>(),
            read: |bytes| json::from_slice::<T>(bytes).map(drop),
        }
    }

    /// Reads a configuration as the plugin does, and says nothing of what it holds.
    ///
    /// # Errors
    /// It is no JSON, or a value is of the wrong type.
    pub fn read(&self, configuration: &[u8]) -> Result<(), JsonError> {
        (self.read)(configuration)
    }

    /// What the plugin does.
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// A network configuration list with the plugin in it.
    pub fn example(&self) -> &'static str {
        self.example
    }

    /// The JSON Schema of a configuration whose `type`, or `ipam.type`, is `plugin`: the
    /// plugin's keys and the common ones.
    pub fn document(&self, plugin: &str) -> Schema {
        let mut document = self.keys.clone();
        add_common(&mut document);
        let head = [
            ("title", format!("Configuration of the CNI plugin {plugin}")),
            ("description", format!("{}.", capitalized(self.about))),
        ];
        for (key, text) in head {
            document.insert(key.to_owned(), text.into());
        }
        document.insert("required".to_owned(), json!(["type"]));
        document.insert("examples".to_owned(), self.entries(plugin).into());
        document
    }

    /// The example's plugins that are of this type, or whose IPAM plugin is.
    fn entries(&self, plugin: &str) -> Vec<Value> {
        let Ok(list) = Node::parse(self.example.as_bytes()) else {
            return Vec::new();
        };
        let is_it = |node: &Node| {
            let ipam = node.exact("ipam").and_then(|ipam| ipam.exact("type"));
            [node.exact("type"), ipam].contains(&Some(&Node::from(plugin)))
        };
        match list.exact("plugins") {
            Some(Node::Array(plugins)) => plugins
                .iter()
                .filter(|node| is_it(node))
                .cloned()
                .map(Value::from)
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// The JSON Schema of what every plugin's configuration may hold; other keys are the plugin's.
pub fn common() -> Schema {
    let mut document = generate::<CommonKeys>();
    mark_common(&mut document);
    document.insert("additionalProperties".to_owned(), true.into());
    document
}

/// The JSON Schema of a network configuration list, the plugins in it left open.
pub fn list() -> Schema {
    generate::<ListKeys>()
}

/// A network configuration list (CNI specification 1.1.0, section "Configuration format"). Its
/// keys are matched with regard to case.
#[allow(dead_code, reason = "told, not read: each is read where it is used")]
#[derive(Default, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct ListKeys {
    /// Version of the CNI specification that the plugins are spoken to in.
    #[schemars(extend("default" = "0.1.0", "examples" = ["1.0.0"]))]
    cni_version: String,
    /// Versions of the CNI specification, of which the runtime takes the highest it knows.
    #[schemars(extend("x-since" = "CNI 1.1.0", "examples" = [["1.0.0", "1.1.0"]]))]
    cni_versions: Vec<String>,
    /// Name of the network, one for all attachments of a node to it: letters, digits, `_`, `.`
    /// and `-`, the first a letter or a digit.
    #[schemars(extend("examples" = ["pods"]))]
    name: String,
    /// CHECK succeeds without asking a plugin.
    #[schemars(extend("type" = ["boolean", "string"], "x-since" = "CNI 0.4.0"))]
    disable_check: bool,
    /// GC succeeds without asking a plugin.
    #[serde(rename = "disableGC")]
    #[schemars(extend("type" = ["boolean", "string"], "x-since" = "CNI 1.1.0"))]
    disable_gc: bool,
    /// Plugins in the directory of the network's name beside the list are not added to it.
    #[schemars(extend("type" = ["boolean", "string"], "x-since" = "CNI 1.1.0"))]
    load_only_inlined_plugins: bool,
    /// The plugins' configurations, in the order of ADD; DEL goes the other way.
    plugins: Vec<Map<String, Value>>,
}

/// The keys that every plugin's configuration may hold (CNI specification 1.1.0, sections
/// "Plugin configuration objects" and "Deriving request configuration").
#[allow(dead_code, reason = "told, not read: each is read where it is used")]
#[derive(Default, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct CommonKeys {
    /// Version of the CNI specification that the plugin is spoken to in. The runtime writes the
    /// list's into each plugin's configuration.
    #[schemars(extend("default" = "0.1.0", "examples" = ["1.0.0"]))]
    cni_version: String,
    /// Name of the network, one for all attachments of a node to it: letters, digits, `_`, `.`
    /// and `-`, the first a letter or a digit. The runtime writes the list's into each plugin's
    /// configuration.
    #[schemars(extend("examples" = ["pods"]))]
    name: String,
    /// Name of the plugin's executable in the runtime's plugin directories.
    r#type: String,
    /// What the plugin may be given by the runtime, each of them in `runtimeConfig` and only
    /// where it is `true` here.
    capabilities: BTreeMap<String, bool>,
    /// Who hands out addresses: `type` names the IPAM plugin, and the other keys are its own.
    ipam: IpamKeys,
    /// Name resolution of the pod, for the result; the runtime applies it or not.
    dns: Dns,
    /// Filled in by the runtime, for the capabilities that the configuration declares; not to be
    /// written by hand.
    runtime_config: BTreeMap<String, Value>,
    /// Hints to plugins, which they may ignore; podwire's look at those under `cni`.
    #[schemars(extend("additionalProperties" = true))]
    args: ArgsKeys,
    /// Filled in by the runtime: the result of the plugin before this one, or for CHECK and DEL
    /// that of the whole list.
    prev_result: BTreeMap<String, Value>,
    /// GC removes nothing.
    #[serde(rename = "disableGC")]
    #[schemars(extend("x-since" = "CNI 1.1.0"))]
    disable_gc: bool,
    /// Filled in by the runtime for GC: the attachments that stay.
    #[serde(rename = "cni.dev/valid-attachments")]
    #[schemars(extend("x-since" = "CNI 1.1.0"))]
    valid_attachments: Vec<ValidAttachment>,
}

#[allow(dead_code, reason = "told, not read")]
#[derive(Default, Serialize, JsonSchema)]
#[serde(default)]
struct IpamKeys {
    /// Name of the IPAM plugin; without it the attachment gets no addresses.
    #[schemars(extend("examples" = ["host-local"]))]
    r#type: String,
}

#[allow(dead_code, reason = "told, not read")]
#[derive(Default, Serialize, JsonSchema)]
#[serde(default)]
struct ArgsKeys {
    /// Hints in the form that the conventions of CNI give them.
    cni: BTreeMap<String, Value>,
}

/// Marks a key that every plugin's configuration may hold.
pub const COMMON: &str = "x-common";
/// Marks what a plugin must be given by the runtime.
pub const NEEDED: &str = "x-needed";
/// The unit of a number.
pub const UNIT: &str = "x-unit";
/// The release of the reference plugins that the key came with.
pub const SINCE: &str = "x-since";

/// Adds the common keys. Theirs is the text about each; inside, a plugin's keys come first.
fn add_common(document: &mut Schema) {
    let common = common();
    let Some(Value::Object(common)) = common.get("properties") else {
        return;
    };
    let document = document.ensure_object();
    let properties = document.entry("properties").or_insert_with(|| json!({}));
    let Value::Object(properties) = properties else {
        return;
    };
    for (key, told) in common {
        match (properties.get_mut(key), told) {
            (Some(Value::Object(own)), Value::Object(told)) => tell(own, told),
            _ => _ = properties.insert(key.clone(), told.clone()),
        }
    }
}

/// Marks every key of `schema`, and those inside.
fn mark_common(schema: &mut Schema) {
    if let Some(items) = schema.get_mut("items").and_then(as_schema) {
        mark_common(items);
    }
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        return;
    };
    for property in properties.values_mut() {
        if let Some(property) = as_schema(property) {
            property.insert(COMMON.to_owned(), true.into());
            mark_common(property);
        }
    }
}

fn as_schema(value: &mut Value) -> Option<&mut Schema> {
    value.try_into().ok()
}

/// Tells of a common key in which a plugin has keys of its own.
fn tell(own: &mut Map<String, Value>, told: &Map<String, Value>) {
    for (word, value) in told {
        match (word.as_str(), own.get_mut("properties")) {
            ("properties", Some(Value::Object(inner))) => share(inner, value),
            ("additionalProperties", Some(_)) if is_map(told) => {}
            _ => _ = own.insert(word.clone(), value.clone()),
        }
    }
}

/// Whether nothing but other keys is told of an object.
fn is_map(told: &Map<String, Value>) -> bool {
    !told.contains_key("properties")
}

/// Puts what is missing of the keys inside a common one, and marks those that are common too.
fn share(inner: &mut Map<String, Value>, common: &Value) {
    fill(inner, common);
    for key in common.as_object().into_iter().flatten().map(|(key, _)| key) {
        if let Some(Value::Object(property)) = inner.get_mut(key) {
            property.insert(COMMON.to_owned(), true.into());
        }
    }
}

/// Puts what is missing.
fn fill(into: &mut Map<String, Value>, from: &Value) {
    for (key, value) in from.as_object().into_iter().flatten() {
        into.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

fn generate<T: JsonSchema>() -> Schema {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings
        .with_transform(RecursiveTransform(Plain))
        .into_generator()
        .into_root_schema_for::<T>()
}

/// Leaves out what is so for every key: that `null` is the default and an empty default none,
/// and what Rust's types have that JSON's have not.
#[derive(Clone, Debug)]
struct Plain;

impl Transform for Plain {
    fn transform(&mut self, schema: &mut Schema) {
        let Some(object) = schema.as_object_mut() else {
            return;
        };
        unwrap_option(object);
        if object.get("default").is_some_and(is_nothing) || is_default_refused(object) {
            object.remove("default");
        }
        if let Some(Value::String(format)) = object.get("format")
            && (format.contains("int") || matches!(format.as_str(), "float" | "double"))
        {
            object.remove("format");
        }
        if let Some(Value::String(text)) = object.get_mut("description") {
            *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        }
    }
}

/// Whether a key that is not written has a value that it must not have: it must be written then.
fn is_default_refused(object: &Map<String, Value>) -> bool {
    let number = |key: &str| object.get(key).and_then(Value::as_i64);
    let default = number("default");
    default.is_some_and(|default| number("minimum").is_some_and(|least| default < least))
}

/// `["string", "null"]` is `"string"`, and `anyOf` something or null is that.
fn unwrap_option(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            object.insert("type".to_owned(), one);
        }
    }
    let Some(Value::Array(mut choices)) = object.remove("anyOf") else {
        return;
    };
    choices.retain(|one| one.get("type").is_none_or(|kind| kind != "null"));
    match <[Value; 1]>::try_from(choices) {
        Ok([only]) => fill(object, &only),
        Err(choices) => _ = object.insert("anyOf".to_owned(), choices.into()),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.values().all(is_nothing),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    rest.next()
        .map(|first| first.to_uppercase().chain(rest).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[allow(dead_code, reason = "its schema is looked at")]
    #[derive(Default, Deserialize, JsonSchema)]
    #[serde(default, rename_all = "camelCase")]
    struct Config {
        /// Pairs of
        /// ends.
        #[schemars(extend("x-unit" = "bytes", "examples" = [1400]))]
        mtu_size: i64,
        /// Its name.
        #[schemars(extend("default" = "cni0"))]
        bridge: Option<String>,
        is_gateway: bool,
        inner: Option<Inner>,
        ipam: Inner,
    }

    /// What the type is.
    #[allow(dead_code, reason = "its schema is looked at")]
    #[derive(Default, Deserialize, JsonSchema)]
    #[serde(default)]
    struct Inner {
        /// An address.
        #[serde(with = "crate::json::ip")]
        #[schemars(with = "Option<std::net::IpAddr>")]
        gateway: Option<std::net::IpAddr>,
    }

    const EXAMPLE: &str = r#"{"name":"x","plugins":[{"type":"a"},{"type":"b","inner":{}}]}"#;

    fn property(pointer: &str) -> Value {
        let document = PluginSchema::of::<Config>("makes it", EXAMPLE).document("b");
        let property = document.pointer(&format!("/properties/{pointer}"));
        property.cloned().unwrap_or_default()
    }

    #[test]
    fn keys_have_what_their_fields_say() {
        assert_eq!(
            property("mtuSize"),
            json!({"type": "integer", "description": "Pairs of ends.", "default": 0,
                "x-unit": "bytes", "examples": [1400]})
        );
        assert_eq!(
            property("bridge"),
            json!({"type": "string", "description": "Its name.", "default": "cni0"})
        );
        assert_eq!(
            property("isGateway"),
            json!({"type": "boolean", "default": false})
        );
        let address = json!({"type": "string", "format": "ip", "description": "An address."});
        assert_eq!(
            property("inner"),
            json!({"type": "object", "description": "What the type is.",
                "properties": {"gateway": address}})
        );
    }

    #[test]
    fn common_keys_have_one_text_and_the_plugins_keys_inside() {
        let ipam = property("ipam");
        let text = ipam.pointer("/description").and_then(Value::as_str);
        assert!(text.is_some_and(|text| text.starts_with("Who hands out addresses")));
        for key in ["type", "gateway"] {
            assert!(
                ipam.pointer(&format!("/properties/{key}")).is_some(),
                "{key}"
            );
        }
        assert_eq!(
            ipam.pointer("/properties/type/x-common"),
            Some(&json!(true))
        );
        assert_eq!(ipam.pointer("/properties/gateway/x-common"), None);
        assert_eq!(property("dns/properties/search/x-common"), json!(true));
        assert_eq!(property("mtuSize/x-common"), Value::Null);
        assert_eq!(property("disableGC/default"), json!(false));
        assert_eq!(property("runtimeConfig/type"), json!("object"));
    }

    #[test]
    fn the_example_is_the_plugins_own_entry() {
        let schema = PluginSchema::of::<Config>("makes it", EXAMPLE).document("b");
        assert_eq!(
            schema.get("examples"),
            Some(&json!([{"type": "b", "inner": {}}]))
        );
        assert_eq!(schema.get("description"), Some(&json!("Makes it.")));
    }
}

//! What the server holds.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Objects, Seen};

/// What a request meets in place of an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status, with `Retry-After` where seconds are given.
    Status(u16, Option<u64>),
    /// Nothing, for so long; then the connection ends.
    Silence(Duration),
    /// The connection ends at once.
    Cut,
    /// The answer, so much later.
    Slow(Duration),
}

#[derive(Default)]
pub struct State {
    pub version: u64,
    /// Versions up to this one are gone.
    pub compacted: u64,
    pub nodes: BTreeMap<String, Value>,
    pub pods: BTreeMap<String, Value>,
    /// Lines of watches, each with its version.
    pub history: Vec<(u64, String)>,
    pub faults: Vec<(String, Fault)>,
    pub seen: Vec<Seen>,
    /// What an administrator finds; without, nobody is one.
    pub objects: Option<Objects>,
    pub token: Option<String>,
    pub away: bool,
    /// Watches that were opened before this changed end.
    pub ended: u64,
    /// The same, without an end of their body.
    pub cut: u64,
    pub watching: usize,
    /// Watches that were opened, ever.
    pub opened: usize,
}

/// A version as clients see it, who are to make nothing of it.
pub fn opaque(version: u64) -> String {
    format!("rv.{version}")
}

/// What a client was given.
pub fn version(opaque: &str) -> u64 {
    let number = opaque.strip_prefix("rv.").expect("a version");
    number.parse().expect("a version")
}

impl State {
    /// Puts a node, with the next version, into the history too.
    pub fn put(&mut self, kind: &str, mut node: Value) {
        self.version += 1;
        node["metadata"]["resourceVersion"] = json!(opaque(self.version));
        let name = node["metadata"]["name"].as_str().unwrap().to_owned();
        self.tell(kind, &node);
        self.nodes.insert(name, node);
    }

    pub fn remove(&mut self, name: &str) {
        self.version += 1;
        let mut node = self.nodes.remove(name).expect("the node");
        node["metadata"]["resourceVersion"] = json!(opaque(self.version));
        self.tell("DELETED", &node);
    }

    pub fn bookmark(&mut self) {
        let version = opaque(self.version);
        let object = json!({
            "kind": "Node", "apiVersion": "v1",
            "metadata": { "resourceVersion": version, "creationTimestamp": null },
            "spec": {}, "status": {}
        });
        self.tell("BOOKMARK", &object);
    }

    pub fn say(&mut self, line: &str) {
        self.history.push((self.version, format!("{line}\n")));
    }

    fn tell(&mut self, kind: &str, object: &Value) {
        let line = json!({ "type": kind, "object": object }).to_string();
        self.history.push((self.version, format!("{line}\n")));
    }

    /// Changes annotations and conditions of a node, and nothing else; `None` when there is none.
    pub fn patch_status(&mut self, name: &str, patch: &Value) -> Option<Value> {
        let mut node = self.nodes.get(name)?.clone();
        for part in patch.as_object().expect("an object").keys() {
            assert!(["metadata", "status"].contains(&part.as_str()), "{patch}");
        }
        if let Some(annotations) = patch["metadata"]["annotations"].as_object() {
            for (key, value) in annotations {
                if value.is_null() {
                    if let Some(all) = node["metadata"]["annotations"].as_object_mut() {
                        all.remove(key);
                    }
                } else {
                    assert!(value.is_string(), "{patch}");
                    node["metadata"]["annotations"][key] = value.clone();
                }
            }
        }
        if let Some(conditions) = patch["status"]["conditions"].as_array() {
            let known = node["status"]["conditions"]
                .as_array_mut()
                .expect("conditions");
            for condition in conditions {
                known.retain(|known| known["type"] != condition["type"]);
                known.push(condition.clone());
            }
        }
        self.put("MODIFIED", node);
        self.nodes.get(name).cloned()
    }
}

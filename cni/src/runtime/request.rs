//! What one plugin of a chain is given: its configuration and the protocol's variables.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{NetworkConfig, PluginConfig, RuntimeConf};
use crate::ValidAttachment;
use crate::call::VALID_ATTACHMENTS;
use crate::invocation::Env;
use crate::json::{Node, print};

/// The plugin object with the network's name and version, and what belongs to the command; keys
/// sorted.
pub(super) struct Request(Node);

impl Request {
    pub(super) fn new(network: &NetworkConfig, plugin: &PluginConfig) -> Self {
        let mut object = plugin.object.clone();
        object.set("name", Node::from(network.name.as_str()));
        object.set("cniVersion", Node::from(network.version.as_str()));
        Self(object)
    }

    /// The result of the plugin before (ADD) or of the whole chain (CHECK, DEL).
    pub(super) fn with_prev_result(mut self, result: Option<&Node>) -> Self {
        if let Some(result) = result {
            self.0.set("prevResult", result.clone());
        }
        self
    }

    /// The capability arguments that the plugin takes.
    pub(super) fn with_capabilities(
        mut self,
        plugin: &PluginConfig,
        args: &BTreeMap<String, Value>,
    ) -> Self {
        let taken = plugin.capabilities.iter().filter(|(_, taken)| **taken);
        let given: Vec<(String, Node)> = taken
            .filter_map(|(name, _)| Some((name.clone(), Node::from(args.get(name)?.clone()))))
            .collect();
        if !given.is_empty() {
            self.0.set("runtimeConfig", Node::Object(given));
        }
        self
    }

    /// The attachments that GC must keep, under the key of the specification and under that of
    /// its drafts, as libcni writes them.
    pub(super) fn with_valid_attachments(mut self, valid: Option<&[ValidAttachment]>) -> Self {
        if let Some(valid) = valid {
            let list = Node::Array(valid.iter().map(attachment_node).collect());
            for key in VALID_ATTACHMENTS {
                self.0.set(key, list.clone());
            }
        }
        self
    }

    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.0.sort_keys();
        print::compact(&self.0).into_bytes()
    }
}

fn attachment_node(attachment: &ValidAttachment) -> Node {
    Node::Object(vec![
        (
            "containerID".to_owned(),
            Node::from(attachment.container_id.as_str()),
        ),
        ("ifname".to_owned(), Node::from(attachment.ifname.as_str())),
    ])
}

/// The variables of a command on an attachment.
pub(super) fn attachment_env(command: &str, conf: &RuntimeConf) -> Env {
    let args: Vec<String> = conf
        .args
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    env(
        command,
        [
            &conf.container_id,
            &conf.netns,
            &conf.ifname,
            &args.join(";"),
        ],
        &path(conf),
    )
}

/// The variables of GC and STATUS: those of an attachment are there, and empty.
pub(super) fn network_env(command: &str, conf: &RuntimeConf) -> Env {
    env(command, [""; 4], &path(conf))
}

/// The variables of VERSION, some of which old plugins want to see.
pub(super) fn version_env() -> Env {
    env("VERSION", ["", "dummy", "dummy", ""], "dummy")
}

fn env(command: &str, [container_id, netns, ifname, args]: [&str; 4], path: &str) -> Env {
    [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", container_id),
        ("CNI_NETNS", netns),
        ("CNI_ARGS", args),
        ("CNI_IFNAME", ifname),
        ("CNI_PATH", path),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn path(conf: &RuntimeConf) -> String {
    let directories: Vec<String> = conf
        .cni_path
        .iter()
        .map(|directory| directory.to_string_lossy().into_owned())
        .collect();
    directories.join(":")
}

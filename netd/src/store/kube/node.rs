//! Nodes and pods as the API gives them: what netd needs of them, so that a large cluster costs little.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::NodeCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use crate::store::NodeNetwork;

/// The condition that keeps pods away from a node without a network.
const NETWORK_UNAVAILABLE: &str = "NetworkUnavailable";
/// What flanneld writes there when the network works.
const UP: &str = "FlannelIsUp";
const UP_MESSAGE: &str = "Flannel is running on this node";
/// What netd writes there when it does not; flanneld never does.
const DOWN: &str = "NetdIsNotReady";

/// A node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Node {
    pub(super) metadata: Metadata,
    spec: Spec,
    status: Status,
}

/// Its name and annotations.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    name: String,
    uid: String,
    pub(super) resource_version: String,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(rename = "podCIDR")]
    pod_cidr: String,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Option<Vec<Condition>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
    reason: Option<String>,
}

/// A page of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct List {
    pub(super) metadata: ListMetadata,
    pub(super) items: Vec<Node>,
}

/// Where a list stands in the history, and how it goes on.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ListMetadata {
    pub(super) resource_version: String,
    pub(super) r#continue: Option<String>,
}

/// A pod.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) spec: PodSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub(super) node_name: Option<String>,
}

impl Node {
    pub(super) fn name(&self) -> &str {
        &self.metadata.name
    }

    pub(super) fn uid(&self) -> &str {
        &self.metadata.uid
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata
            .annotations
            .as_ref()?
            .get(key)
            .map(String::as_str)
    }

    pub(super) fn annotations(&self) -> impl Iterator<Item = (&String, &String)> {
        self.metadata.annotations.iter().flatten()
    }

    /// `spec.podCIDRs`, or what stood there before it did.
    pub(super) fn pod_cidrs(&self) -> &[String] {
        let spec = &self.spec;
        match spec.pod_cidrs.is_empty() && !spec.pod_cidr.is_empty() {
            true => std::slice::from_ref(&spec.pod_cidr),
            false => &spec.pod_cidrs,
        }
    }

    /// Whether it has this condition, for that reason, whatever its words.
    pub(super) fn says(&self, wanted: &NodeCondition) -> bool {
        let mut conditions = self.status.conditions.iter().flatten();
        conditions.any(|condition| {
            condition.r#type == wanted.type_
                && condition.status == wanted.status
                && condition.reason == wanted.reason
        })
    }
}

/// The condition of a node with such a network, from now on.
pub(super) fn network_unavailable(network: &NodeNetwork) -> NodeCondition {
    let now = Some(Time(Timestamp::now()));
    let (status, reason, message) = match network {
        NodeNetwork::Works => ("False", UP, UP_MESSAGE),
        NodeNetwork::Fails(why) => ("True", DOWN, why.as_str()),
    };
    NodeCondition {
        type_: NETWORK_UNAVAILABLE.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: now.clone(),
        last_transition_time: now,
    }
}

//! Nodes and pods as the API gives them: what netd needs of them, so that a large cluster costs little.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::NodeCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

/// The condition that keeps pods away from a node without a network.
const NETWORK_UNAVAILABLE: &str = "NetworkUnavailable";
/// What flanneld writes there.
const REASON: &str = "FlannelIsUp";
const MESSAGE: &str = "Flannel is running on this node";

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

    /// Whether the condition says already what it should.
    pub(super) fn has_network(&self) -> bool {
        let mut conditions = self.status.conditions.iter().flatten();
        conditions.any(|condition| {
            condition.r#type == NETWORK_UNAVAILABLE
                && condition.status == "False"
                && condition.reason.as_deref() == Some(REASON)
        })
    }
}

/// The condition of a node whose network works.
pub(super) fn network_available() -> NodeCondition {
    let now = Some(Time(Timestamp::now()));
    NodeCondition {
        type_: NETWORK_UNAVAILABLE.to_owned(),
        status: "False".to_owned(),
        reason: Some(REASON.to_owned()),
        message: Some(MESSAGE.to_owned()),
        last_heartbeat_time: now.clone(),
        last_transition_time: now,
    }
}

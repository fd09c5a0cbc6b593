//! Pods and nodes as objects of Kubernetes' API, for `-o json` and `-o yaml`.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use super::readiness::Readiness;
use crate::netd;
use crate::node::Node;
use crate::pod::{Ephemeral, Pod};
use crate::state::LabDir;

/// A pod: what was asked for, where it is, and how it is doing.
///
/// # Errors
/// A state file cannot be read.
pub(super) fn pod(dir: &LabDir, pod: &Pod) -> Result<Value> {
    let mut object = serde_json::to_value(&pod.workload.pod)?;
    object["spec"]["nodeName"] = json!(pod.node);
    let ephemeral = pod.ephemeral(dir)?;
    if !ephemeral.is_empty() {
        let all: Result<Vec<Value>> = ephemeral.iter().map(ephemeral_container).collect();
        object["spec"]["ephemeralContainers"] = all?.into();
    }
    let metadata = &mut object["metadata"];
    for (name, text) in annotations(pod) {
        metadata["annotations"][name] = text.into();
    }
    metadata["namespace"] = json!("default");
    metadata["uid"] = json!(pod.uid);
    metadata["creationTimestamp"] = json!(pod.created);
    if let (Some(deletion), Some(metadata)) = (pod.deletion(dir)?, metadata.as_object_mut())
        && let Value::Object(deletion) = serde_json::to_value(deletion)?
    {
        metadata.extend(deletion);
    }
    let mut status = serde_json::to_value(pod.status(dir)?)?;
    // They are objects of their own in Kubernetes; `lab describe` lists them.
    status.as_object_mut().map(|status| status.remove("events"));
    object["status"] = status;
    Ok(object)
}

/// As core/v1 has a container that `kubectl debug` made ("EphemeralContainer").
fn ephemeral_container(ephemeral: &Ephemeral) -> Result<Value> {
    let mut object = serde_json::to_value(&ephemeral.container)?;
    if let Some(target) = &ephemeral.target {
        object["targetContainerName"] = json!(target);
    }
    Ok(object)
}

/// A pod's annotations, with what its networks gave it.
pub(super) fn annotations(pod: &Pod) -> BTreeMap<String, String> {
    let mut annotations = pod.workload.pod.metadata.annotations.clone();
    if let Some(network) = &pod.network {
        annotations.insert(manifest::NETWORK_STATUS.to_owned(), network.annotation());
    }
    annotations
}

/// A node.
pub(super) fn node(node: &Node, readiness: &Readiness) -> Value {
    let subnets = netd::subnets(node);
    let mut addresses: Vec<Value> = node
        .addresses
        .iter()
        .map(|address| json!({ "type": "InternalIP", "address": address }))
        .collect();
    addresses.push(json!({ "type": "Hostname", "address": node.name }));
    let mut ready =
        json!({ "type": "Ready", "status": if readiness.is_ready() { "True" } else { "False" } });
    if let (Some(reason), Some(message)) = (readiness.reason(), readiness.message()) {
        ready["reason"] = json!(reason);
        ready["message"] = json!(message);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": node.name, "labels": node.labels },
        "spec": { "podCIDR": subnets.first(), "podCIDRs": subnets },
        "status": { "addresses": addresses, "conditions": [ready] },
    })
}

/// Several objects as one.
pub(super) fn list(items: Vec<Value>) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

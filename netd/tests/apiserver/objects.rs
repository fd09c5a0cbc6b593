//! Objects of any kind for an administrator's kubectl: discovery, and get, create, patch and delete by path.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::http::{Seen, answer, found};
use super::{ApiServer, Shared};

/// Version of the API, plural, kind, and whether it is in a namespace.
const KINDS: [(&str, &str, &str, bool); 7] = [
    ("v1", "configmaps", "ConfigMap", true),
    ("v1", "namespaces", "Namespace", false),
    ("v1", "pods", "Pod", true),
    ("v1", "serviceaccounts", "ServiceAccount", true),
    ("apps/v1", "daemonsets", "DaemonSet", true),
    (RBAC, "clusterroles", "ClusterRole", false),
    (RBAC, "clusterrolebindings", "ClusterRoleBinding", false),
];
const RBAC: &str = "rbac.authorization.k8s.io/v1";
/// Lists whose elements have a name of their own, and where that is (`patchMergeKey` of Kubernetes' types).
/// All others are replaced.
const NAMED: [(&str, &str); 6] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("volumes", "name"),
    ("env", "name"),
    ("ports", "containerPort"),
    ("volumeMounts", "mountPath"),
];

/// By path: `/api/v1/namespaces/kube-flannel`.
pub type Objects = BTreeMap<String, Value>;

impl ApiServer {
    /// From now on everybody is an administrator, who finds these.
    pub fn administrate(&self, objects: Objects) {
        self.change(|state| state.objects = Some(objects));
    }

    pub fn object(&self, path: &str) -> Option<Value> {
        self.shared.lock().objects.as_ref()?.get(path).cloned()
    }

    /// Where the double keeps an object.
    pub fn path_of(object: &Value) -> String {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = text(&object["kind"]);
        let (version, plural, _, namespaced) = KINDS
            .iter()
            .find(|(_, _, known, _)| *known == kind)
            .expect("a kind");
        let namespace = match namespaced {
            true => format!("namespaces/{}/", text(&object["metadata"]["namespace"])),
            false => String::new(),
        };
        let name = text(&object["metadata"]["name"]);
        format!("{}/{namespace}{plural}/{name}", root(version))
    }
}

fn root(version: &str) -> String {
    let group = if version == "v1" { "api" } else { "apis" };
    format!("/{group}/{version}")
}

/// `None` where there is no administrator.
pub fn one(shared: &Shared, stream: &mut impl Write, request: &Seen) -> Option<io::Result<()>> {
    let mut state = shared.lock();
    let objects = state.objects.as_mut()?;
    let (method, path) = request.line.split_once(' ').expect("a method");
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if path == "/openapi/v2" {
        // An empty document in protobuf: kubectl knows the kinds itself.
        return Some(answer(stream, 200, "", ""));
    }
    if let Some(found) = discovery(path) {
        return Some(answer(stream, 200, "", &found.to_string()));
    }
    let body = || serde_json::from_str(&request.body).expect("JSON");
    Some(found(
        stream,
        match method {
            "GET" => objects.get(path).cloned(),
            "POST" => {
                let object: Value = body();
                let name = object["metadata"]["name"].as_str().expect("a name");
                objects.insert(format!("{path}/{name}"), object.clone());
                Some(object)
            }
            "PATCH" => objects.get_mut(path).map(|object| {
                let is_strategic = match request.content_type.as_str() {
                    "application/strategic-merge-patch+json" => true,
                    "application/merge-patch+json" => false,
                    other => panic!("{other}"),
                };
                merge(object, &body(), is_strategic);
                object.clone()
            }),
            "DELETE" => objects.remove(path),
            _ => None,
        },
    ))
}

fn discovery(path: &str) -> Option<Value> {
    let groups = ["apps/v1", RBAC];
    let group = |version: &&str| {
        let version = json!({ "groupVersion": version, "version": "v1" });
        let name = version["groupVersion"]
            .as_str()?
            .split('/')
            .next()?
            .to_owned();
        Some(json!({ "name": name, "versions": [version], "preferredVersion": version }))
    };
    let resources = |version: &str| {
        let of_version = KINDS.iter().filter(|(of, ..)| *of == version);
        let resources: Vec<Value> = of_version
            .map(|(_, plural, kind, namespaced)| {
                json!({ "name": plural, "singularName": "", "kind": kind, "namespaced": namespaced,
                    "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"] })
            })
            .collect();
        json!({ "kind": "APIResourceList", "groupVersion": version, "resources": resources })
    };
    match path {
        "/api" => Some(json!({ "kind": "APIVersions", "versions": ["v1"] })),
        "/apis" => {
            let groups: Vec<Value> = groups.iter().filter_map(group).collect();
            Some(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
        }
        path => {
            let mut versions = ["v1"].into_iter().chain(groups);
            let version = versions.find(|version| root(version) == path);
            version.map(resources)
        }
    }
}

/// A merge patch (RFC 7396), or Kubernetes' strategic one, as far as these kinds have it.
fn merge(target: &mut Value, patch: &Value, is_strategic: bool) {
    let Some(changes) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() || changes.get("$patch").is_some_and(|how| how == "replace") {
        *target = json!({});
    }
    let object = target.as_object_mut().expect("an object");
    if let Some(kept) = changes.get("$retainKeys").and_then(Value::as_array) {
        object.retain(|key, _| kept.iter().any(|kept| kept == key));
    }
    for (key, change) in changes.iter().filter(|(key, _)| !key.starts_with('$')) {
        let named = NAMED.iter().find(|(list, _)| is_strategic && list == key);
        let found = object.entry(key).or_insert(Value::Null);
        match (named, change.as_array()) {
            (Some((_, by)), Some(elements)) => merge_list(found, elements, by),
            _ => merge(found, change, is_strategic),
        }
    }
    object.retain(|_, value| !value.is_null());
    for (key, order) in changes {
        if let Some(list) = key.strip_prefix("$setElementOrder/")
            && let Some((_, by)) = NAMED.iter().find(|(named, _)| *named == list)
            && let Some(elements) = object.get_mut(list).and_then(Value::as_array_mut)
        {
            let order = order.as_array().expect("a list");
            elements.sort_by_key(|element| order.iter().position(|one| one[*by] == element[*by]));
        }
    }
}

fn merge_list(list: &mut Value, changes: &[Value], by: &str) {
    if !list.is_array() {
        *list = json!([]);
    }
    let list = list.as_array_mut().expect("a list");
    for change in changes {
        let at = list.iter().position(|element| element[by] == change[by]);
        match (at, change["$patch"] == "delete") {
            (Some(at), true) => drop(list.remove(at)),
            (Some(at), false) => merge(&mut list[at], change, true),
            (None, true) => {}
            (None, false) => list.push(change.clone()),
        }
    }
}

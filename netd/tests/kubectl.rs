//! docs/migrate-from-flannel.md's commands for Kubernetes, run by kubectl as they stand there: against a double
//! of the API server, with kube-flannel's objects in it as the stock manifest makes them (flannel-compat 9).
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

mod apiserver;
mod nodes;

use std::path::Path;

use apiserver::{ApiServer, Objects};
use kernel::testing::{World, is_installed};
use nodes::program;
use serde_json::{Value, json};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const POD: &str = "/api/v1/namespaces/kube-flannel/pods/kube-flannel-ds-abcde";
const DAEMON_SET: &str = "/apis/apps/v1/namespaces/kube-flannel/daemonsets/kube-flannel-ds";

/// The lines that begin with `kubectl`, in their order.
fn commands() -> [String; 3] {
    let page = std::fs::read_to_string(format!("{ROOT}/docs/migrate-from-flannel.md")).unwrap();
    let lines = page.lines().filter(|line| line.starts_with("kubectl "));
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.try_into().expect("three commands of kubectl's")
}

fn kubectl(dir: &Path, command: &str) {
    let run = program("sh")
        .args(["-ec", command])
        .current_dir(ROOT)
        .env("HOME", dir)
        .env("KUBECONFIG", dir.join("config"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{command}: {said}");
}

fn ours() -> Vec<Value> {
    let path = format!("{ROOT}/deploy/kubernetes/podwire.yaml");
    serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// kube-flannel's objects: they have the same names, and the daemon's is another one.
fn flannels() -> Vec<Value> {
    let mut objects = ours();
    let set = objects
        .iter_mut()
        .find(|object| object["kind"] == "DaemonSet");
    let pod = &mut set.expect("the DaemonSet")["spec"]["template"]["spec"];
    let (plugin, flannel) = ("flannel-cni-plugin:v1.8.0", "flannel:v0.28.5");
    let image = |name: &str| format!("ghcr.io/flannel-io/{name}");
    pod["initContainers"] = json!([
        { "name": "install-cni-plugin", "image": image(plugin), "command": ["cp"],
          "args": ["-f", "/flannel", "/opt/cni/bin/flannel"],
          "volumeMounts": [{ "name": "cni-plugin", "mountPath": "/opt/cni/bin" }] },
        { "name": "install-cni", "image": image(flannel), "command": ["cp"],
          "args": ["-f", "/etc/kube-flannel/cni-conf.json", "/etc/cni/net.d/10-flannel.conflist"],
          "volumeMounts": [{ "name": "cni", "mountPath": "/etc/cni/net.d" },
                           { "name": "flannel-cfg", "mountPath": "/etc/kube-flannel/" }] },
    ]);
    let daemon = &mut pod["containers"][0];
    daemon["image"] = image(flannel).into();
    daemon["command"] = json!(["/opt/bin/flanneld"]);
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    daemon["env"] = json!([
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
        { "name": "EVENT_QUEUE_DEPTH", "value": "5000" },
        { "name": "CONT_WHEN_CACHE_NOT_READY", "value": "false" },
    ]);
    daemon["securityContext"] =
        json!({ "privileged": false, "capabilities": { "add": ["NET_ADMIN", "NET_RAW"] } });
    for list in ["/containers/0/volumeMounts", "/volumes"] {
        let list = pod.pointer_mut(list).and_then(Value::as_array_mut);
        let list = list.expect("a list");
        list.retain(|one| one["name"] != "run-podwire");
    }
    objects
}

/// Everything is in the double as the documents say it.
fn assert_applied(api: &ApiServer, documents: &[Value]) {
    for document in documents {
        let mut object = api.object(&ApiServer::path_of(document)).expect("applied");
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        metadata.remove("annotations");
        if document["kind"] == "DaemonSet" {
            let strategy = object["spec"]
                .as_object_mut()
                .expect("spec")
                .remove("updateStrategy");
            assert_eq!(
                strategy,
                Some(json!({ "type": "OnDelete" })),
                "a node at a time"
            );
        }
        assert_eq!(&object, document);
    }
}

/// Gives the double objects, and kubectl its address.
fn administrate(dir: &Path, api: &ApiServer, objects: Objects) {
    api.administrate(objects);
    let config = json!({ "apiVersion": "v1", "kind": "Config", "current-context": "double",
        "contexts": [{ "name": "double", "context": { "cluster": "double", "user": "" } }],
        "clusters": [{ "name": "double", "cluster": { "server": api.url() } }] });
    std::fs::write(dir.join("config"), config.to_string()).unwrap();
}

#[test]
fn the_labs_examples_are_manifests_for_kubectl_too() {
    if !is_installed("kubectl", "kubernetes-client") {
        return;
    }
    let Some(world) = World::new() else { return };
    let api = ApiServer::start();
    administrate(world.dir(), &api, Objects::new());
    let apply =
        "kubectl apply --dry-run=client -f examples/pods >said && test $(wc -l <said) -ge 7";
    let said = world.dir().join("said").display().to_string();
    kubectl(world.dir(), &apply.replace("said", &said));
}

#[test]
fn kube_flannel_becomes_podwire_a_node_at_a_time_and_back() {
    if !is_installed("kubectl", "kubernetes-client") {
        return;
    }
    let Some(world) = World::new() else { return };
    let dir = world.dir();
    let api = ApiServer::start();
    let pod = json!({ "kind": "Pod", "apiVersion": "v1",
        "metadata": { "name": "kube-flannel-ds-abcde", "namespace": "kube-flannel" } });
    administrate(dir, &api, Objects::from([(POD.to_owned(), pod)]));
    let stock = dir.join("kube-flannel.json");
    let list = json!({ "kind": "List", "apiVersion": "v1", "items": flannels() });
    std::fs::write(&stock, list.to_string()).unwrap();
    let apply_stock = format!("kubectl apply -f {}", stock.display());
    kubectl(dir, &apply_stock);

    let [patch, apply, delete] = commands();
    kubectl(dir, &patch);
    assert_applied(&api, &flannels());
    kubectl(dir, &apply);
    assert_applied(&api, &ours());
    assert!(api.object(POD).is_some(), "nothing happens yet");
    kubectl(dir, &delete);
    assert!(api.object(POD).is_none());
    assert!(api.object(DAEMON_SET).is_some());
    // The way back.
    kubectl(dir, &apply_stock);
    assert_applied(&api, &flannels());
}

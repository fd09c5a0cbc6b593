//! What `deploy/` gives Kubernetes: each document is what the API takes, with no key that it would pass over;
//! the manifest and the chart stand where kube-flannel's stand, and say the same.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test may panic and tell what it measured"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use cluster::{Allocation, NetworkConfig};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");

fn text_of(path: &str) -> String {
    fs::read_to_string(format!("{DEPLOY}/{path}")).unwrap()
}

fn documents(path: &str) -> Vec<Value> {
    parsed(path, &text_of(path))
}

fn parsed(path: &str, text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The one document of a kind.
fn the<T: DeserializeOwned>(documents: &[Value], kind: &str) -> T {
    let mut found = documents.iter().filter(|document| document["kind"] == kind);
    let first = found.next().unwrap_or_else(|| panic!("there is no {kind}"));
    assert!(found.next().is_none(), "several of kind {kind}");
    serde_json::from_value(first.clone()).unwrap()
}

/// Keys that Kubernetes' type does not know vanish when it is written again, and so do misplaced ones.
fn assert_is<T: DeserializeOwned + Serialize>(document: &Value) {
    let typed: T = serde_json::from_value(document.clone())
        .unwrap_or_else(|error| panic!("{error}: {document}"));
    let again = serde_json::to_value(typed).unwrap();
    assert_eq!(*document, again);
}

fn check(document: &Value) {
    match document["kind"].as_str().unwrap() {
        "Namespace" => assert_is::<Namespace>(document),
        "ServiceAccount" => assert_is::<ServiceAccount>(document),
        "ClusterRole" => assert_is::<ClusterRole>(document),
        "ClusterRoleBinding" => assert_is::<ClusterRoleBinding>(document),
        "ConfigMap" => assert_is::<ConfigMap>(document),
        "DaemonSet" => assert_is::<DaemonSet>(document),
        kind => panic!("kind {kind} is not known here"),
    }
}

const MANIFEST: &str = "kubernetes/podwire.yaml";

/// The names of the chart's rendered files.
fn rendered() -> Vec<String> {
    let entries = fs::read_dir(format!("{DEPLOY}/helm/rendered")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| !name.ends_with(".values.yaml"));
    let names: Vec<String> = names.map(|name| format!("helm/rendered/{name}")).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    names
}

#[test]
fn every_document_is_what_kubernetes_takes() {
    for path in rendered().iter().map(String::as_str).chain([MANIFEST]) {
        let documents = documents(path);
        assert!(documents.len() >= 5, "{path}");
        for document in &documents {
            check(document);
        }
        refers_to_what_is_there(&documents);
    }
    let mut wrong = documents(MANIFEST);
    wrong[0]["metadata"]["label"] = json!({});
    assert!(
        std::panic::catch_unwind(|| check(&wrong[0])).is_err(),
        "a key too many is found"
    );
}

/// Volumes, ports and names.
fn refers_to_what_is_there(documents: &[Value]) {
    let set: DaemonSet = the(documents, "DaemonSet");
    let spec = set.spec;
    let labels = spec.template.metadata.unwrap().labels.unwrap();
    for selected in spec.selector.match_labels.unwrap() {
        assert_eq!(labels.get(&selected.0), Some(&selected.1));
    }
    let pod = spec.template.spec.unwrap();
    let volumes: Vec<String> = pod
        .volumes
        .unwrap()
        .into_iter()
        .map(|volume| volume.name)
        .collect();
    let containers: Vec<Container> = pod
        .init_containers
        .unwrap()
        .into_iter()
        .chain(pod.containers)
        .collect();
    for container in &containers {
        for mount in container.volume_mounts.iter().flatten() {
            assert!(volumes.contains(&mount.name), "{}", mount.name);
        }
        let security = container.security_context.as_ref().unwrap();
        assert_eq!(security.read_only_root_filesystem, Some(true));
        let capabilities = security.capabilities.as_ref().unwrap();
        assert_eq!(capabilities.drop.as_deref(), Some(&["ALL".to_owned()][..]));
    }
    let account: ServiceAccount = the(documents, "ServiceAccount");
    assert_eq!(pod.service_account_name, account.metadata.name);
    let binding: ClusterRoleBinding = the(documents, "ClusterRoleBinding");
    let subject = binding.subjects.unwrap().remove(0);
    assert_eq!(Some(subject.name), account.metadata.name);
    assert_eq!(subject.namespace, account.metadata.namespace);
    let role: ClusterRole = the(documents, "ClusterRole");
    assert_eq!(Some(binding.role_ref.name), role.metadata.name);
}

/// flannel-compat 9 and 3.4: who has kube-flannel installed finds the same objects.
#[test]
fn the_manifest_stands_where_kube_flannels_stands() {
    let documents = documents(MANIFEST);
    let names: Vec<(&str, &str)> = documents
        .iter()
        .map(|document| {
            let kind = document["kind"].as_str().unwrap();
            (kind, document["metadata"]["name"].as_str().unwrap())
        })
        .collect();
    let expected = [
        ("Namespace", "kube-flannel"),
        ("ServiceAccount", "flannel"),
        ("ClusterRole", "flannel"),
        ("ClusterRoleBinding", "flannel"),
        ("ConfigMap", "kube-flannel-cfg"),
        ("DaemonSet", "kube-flannel-ds"),
    ];
    assert_eq!(names, expected);
    let role: Value = the(&documents, "ClusterRole");
    let rule = |resource: &str, verbs: &[&str]| json!({ "apiGroups": [""], "resources": [resource], "verbs": verbs });
    let rules = [
        rule("pods", &["get"]),
        rule("nodes", &["get", "list", "watch"]),
        rule("nodes/status", &["patch"]),
    ];
    assert_eq!(role["rules"], json!(rules));
    let set: Value = the(&documents, "DaemonSet");
    assert_eq!(
        set["spec"]["selector"],
        json!({ "matchLabels": { "app": "flannel" } })
    );
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    let grace = pod["terminationGracePeriodSeconds"].as_u64();
    assert!(
        grace > Some(60),
        "a command of the backend extension may take 60 s"
    );
    assert_eq!(
        pod["tolerations"],
        json!([{ "operator": "Exists", "effect": "NoSchedule" }])
    );
    let netd = &pod["containers"][0];
    assert_eq!(
        netd["args"],
        json!(["--ip-masq", "--kube-subnet-mgr", "--healthz-port=8081"])
    );
    let mut env = netd["env"].as_array().unwrap().iter();
    let node = env
        .find(|variable| variable["name"] == "NODE_NAME")
        .unwrap();
    assert_eq!(
        node["valueFrom"],
        json!({ "fieldRef": { "fieldPath": "spec.nodeName" } })
    );
    assert_eq!(
        netd["securityContext"]["capabilities"]["add"],
        json!(["NET_ADMIN", "NET_RAW"])
    );
    for (probe, path, delay, period) in [
        ("livenessProbe", "/healthz", 10, 30),
        ("readinessProbe", "/readyz", 5, 10),
    ] {
        let expected = json!({
            "httpGet": { "path": path, "port": "healthz" },
            "initialDelaySeconds": delay, "periodSeconds": period,
        });
        assert_eq!(netd[probe], expected);
    }
}

/// Whatever is chosen, netd can read it.
#[test]
fn network_configurations_are_netds() {
    let configuration = |path: &str| -> Value {
        let map: ConfigMap = the(&documents(path), "ConfigMap");
        let data = map.data.unwrap();
        let cni: Value = serde_json::from_str(&data["cni-conf.json"]).unwrap();
        assert_eq!(
            (&cni["name"], &cni["cniVersion"]),
            (&json!("cbr0"), &json!("0.3.1"))
        );
        NetworkConfig::parse_for(data["net-conf.json"].as_bytes(), Allocation::Given).expect(path);
        serde_json::from_str(&data["net-conf.json"]).unwrap()
    };
    let plain = json!({ "Network": "10.244.0.0/16", "EnableNFTables": false, "Backend": { "Type": "vxlan" } });
    assert_eq!(configuration(MANIFEST), plain);
    assert_eq!(configuration("helm/rendered/default.yaml"), plain);
    let vxlan = json!({
        "Type": "vxlan", "Port": 4789, "MTU": 9000, "VNI": 4096, "GBP": true, "DirectRouting": true,
        "MacPrefix": "0E-2A",
    });
    let found = configuration("helm/rendered/vxlan.yaml");
    assert_eq!(
        (&found["Backend"], &found["EnableIPv6"]),
        (&vxlan, &json!(true))
    );
    let wireguard = json!({
        "Type": "wireguard", "ListenPort": 51820, "ListenPortV6": 51821, "MTU": 1400, "Mode": "auto",
        "PSK": "4Tb0wLQ8y8vm4wLEVtI5jqvqkMXuVsq8gz2UyZUpHfU=", "PersistentKeepaliveInterval": 25,
    });
    let found = configuration("helm/rendered/wireguard.yaml");
    assert_eq!(
        (&found["Backend"], &found["EnableIPv4"]),
        (&wireguard, &json!(false))
    );
    let udp = json!({ "Type": "udp", "Port": 8286 });
    assert_eq!(configuration("helm/rendered/udp.yaml")["Backend"], udp);
}

/// But for the toleration that its values have, the namespace, which Helm makes, and the order.
#[test]
fn the_chart_says_what_the_manifest_says() {
    let manifest = documents(MANIFEST);
    let chart = documents("helm/rendered/default.yaml");
    for kind in ["ServiceAccount", "ClusterRole", "ClusterRoleBinding"] {
        assert_eq!(the::<Value>(&chart, kind), the::<Value>(&manifest, kind));
    }
    same_daemon_sets(&chart, &manifest);
}

fn same_daemon_sets(chart: &[Value], manifest: &[Value]) {
    let [mut chart, manifest] =
        [chart, manifest].map(|documents| the::<Value>(documents, "DaemonSet"));
    let tolerations = &mut chart["spec"]["template"]["spec"]["tolerations"];
    let evicted = json!({ "effect": "NoExecute", "operator": "Exists" });
    let list = tolerations.as_array_mut().unwrap();
    assert_eq!(list.remove(0), evicted);
    assert_eq!(chart, manifest);
}

/// Nobody else gets the device. A node without it would not run the pod at all.
#[test]
fn with_the_backend_udp_netd_has_the_device_of_tunnels() {
    let tun = |documents: &[Value]| {
        let set: Value = the(documents, "DaemonSet");
        let pod = &set["spec"]["template"]["spec"];
        let is_tun = |found: &&Value| found["name"] == "tun";
        let of = |list: &Value| list.as_array().unwrap().iter().find(is_tun).cloned();
        (
            of(&pod["volumes"]),
            of(&pod["containers"][0]["volumeMounts"]),
        )
    };
    let chart = documents("helm/rendered/udp.yaml");
    let path = "/dev/net/tun";
    let volume = json!({ "name": "tun", "hostPath": { "path": path, "type": "CharDevice" } });
    let mount = json!({ "name": "tun", "mountPath": path });
    assert_eq!(tun(&chart), (Some(volume), Some(mount)));
    assert_eq!(tun(&documents("helm/rendered/default.yaml")), (None, None));
    let manifest = text_of(MANIFEST).replace("#udp ", "");
    same_daemon_sets(&chart, &parsed(MANIFEST, &manifest));
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let nested = entries.map(|path| match path.is_dir() {
        true => files_below(&path),
        false => vec![path],
    });
    nested.collect::<Vec<_>>().concat()
}

/// The rendered files are Helm's work, which need not be here: they say of what chart and values.
#[test]
fn the_chart_was_rendered_after_its_last_change() {
    let chart = PathBuf::from(format!("{DEPLOY}/helm/podwire"));
    let mut files = files_below(&chart);
    files.sort();
    for path in rendered() {
        let mut whole = Sha256::new();
        for file in &files {
            let name = file.strip_prefix(&chart).unwrap();
            whole.update(format!("{}\n", name.display()));
            whole.update(fs::read(file).unwrap());
        }
        let values = path.replace(".yaml", ".values.yaml");
        whole.update(fs::read(format!("{DEPLOY}/{values}")).unwrap());
        let digest = whole
            .finalize()
            .iter()
            .fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
        let text = fs::read_to_string(format!("{DEPLOY}/{path}")).unwrap();
        let first = text.lines().next().unwrap();
        assert_eq!(
            first,
            format!("# Made by tools/render-chart of {digest}"),
            "{path} is stale: run tools/render-chart"
        );
    }
}

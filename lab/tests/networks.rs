//! Networks that the user brings, and `lab cni`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::TestLab;
use serde_json::{Value, json};

/// Package containernetworking-plugins.
const REFERENCE: &str = "/usr/lib/cni";

fn conflist(name: &str, plugins: &Value) -> String {
    json!({ "cniVersion": "1.0.0", "name": name, "plugins": plugins }).to_string()
}

#[test]
fn plugins_and_a_configuration_of_others_attach_the_pods() {
    let Some(lab) = TestLab::new() else { return };
    assert!(
        Path::new(REFERENCE).join("bridge").exists(),
        "package containernetworking-plugins is missing"
    );
    // What the tests see of its calls; it comes before the reference's of the same name.
    let own = tempfile::tempdir().unwrap();
    let (bridge, calls) = (own.path().join("bridge"), own.path().join("calls"));
    let script = format!(
        "#!/bin/sh\necho $CNI_COMMAND >>{}\nexec {REFERENCE}/bridge\n",
        calls.display()
    );
    fs::write(&bridge, script).unwrap();
    fs::set_permissions(&bridge, fs::Permissions::from_mode(0o755)).unwrap();
    let file = own.path().join("mine.conflist");
    let list = conflist(
        "mine",
        &json!([
            { "type": "bridge", "bridge": "mine0", "isGateway": true,
              "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } },
            { "type": "tuning" },
        ]),
    );
    fs::write(&file, &list).unwrap();
    let (own, file) = (own.path().to_str().unwrap(), file.to_str().unwrap());
    lab.ok(&[
        "up",
        "--nodes",
        "1",
        "--conflist",
        file,
        "--plugin-dir",
        own,
        "--plugin-dir",
        REFERENCE,
    ]);
    for name in ["here", "there"] {
        lab.ok(&["run", name, "--", "sleep", "1000"]);
    }
    let there = lab.address("there");
    assert!(there.starts_with("10.88.0."), "{there}");
    lab.ok(&["exec", "here", "--", "ping", "-c", "1", "-W", "5", &there]);
    assert_eq!(fs::read_to_string(&calls).unwrap(), "ADD\nADD\n");
    let root = PathBuf::from(format!("/proc/{}/root", lab.holder("n1")));
    let on_node = |path: &str| root.join(path);
    assert_eq!(
        fs::read(on_node("opt/cni/bin/host-local")).unwrap(),
        fs::read(Path::new(REFERENCE).join("host-local")).unwrap()
    );
    assert!(on_node("opt/cni/bin/vxlan").is_file());
    let installed = on_node("etc/cni/net.d/10-mine.conflist");
    assert_eq!(fs::read_to_string(installed).unwrap(), list);
    // What netd writes is there all the same.
    assert!(on_node("run/flannel/subnet.env").is_file());
    lab.ok(&["delete", "pod", "here", "there"]);
    assert_eq!(fs::read_to_string(&calls).unwrap(), "ADD\nADD\nDEL\nDEL\n");
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

/// Its delegates are the reference's then.
#[test]
fn flannels_type_takes_the_subnet_that_netd_leases() {
    let Some(lab) = TestLab::new() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("flannel.conflist");
    let plugins = json!([{ "type": "flannel", "delegate": { "isDefaultGateway": true } }]);
    fs::write(&file, conflist("cbr0", &plugins)).unwrap();
    let file = file.to_str().unwrap();
    let up = [
        "up",
        "--nodes",
        "2",
        "--conflist",
        file,
        "--plugin-dir",
        REFERENCE,
    ];
    lab.ok(&up);
    for (node, name) in [("n1", "here"), ("n2", "there")] {
        let run = ["run", name, "--node", node];
        lab.ok(&[&run[..], &["--", "sleep", "1000"]].concat());
    }
    let there = lab.address("there");
    lab.ok(&["exec", "here", "--", "ping", "-c", "1", "-W", "5", &there]);
    lab.ok(&["down"]);
    // The lab's own network, too.
    lab.ok(&["up", "--nodes", "1", "--plugin-dir", REFERENCE]);
    lab.ok(&["run", "here", "--", "sleep", "1000"]);
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn a_network_that_cannot_be_is_refused_before_anything_is_built() {
    let Some(lab) = TestLab::new() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.conflist");
    let path = file.to_str().unwrap();
    let up = ["up", "--conflist", path];
    let plugin = |plugin: Value| conflist("mine", &json!([plugin]));
    for (text, words) in [
        ("{".to_owned(), "error parsing configuration list"),
        (plugin(json!({})), "plugins[0]: missing 'type'"),
        (
            plugin(json!({ "type": "weave-net" })),
            "plugins[0].type: there is no plugin \"weave-net\" among podwire's (bandwidth, bridge",
        ),
        (
            plugin(json!({ "type": "bridge", "ipam": { "type": "whereabouts" } })),
            "plugins[0].ipam.type: there is no plugin \"whereabouts\"",
        ),
        (
            plugin(json!({ "type": "flannel", "delegate": { "type": "cilium" } })),
            "plugins[0].delegate.type: there is no plugin \"cilium\"",
        ),
        (conflist("a b", &json!([{ "type": "bridge" }])), "name: "),
        (
            conflist("loopback", &json!([{ "type": "bridge" }])),
            "name: \"loopback\" is the network that gives pods their lo",
        ),
    ] {
        fs::write(&file, &text).unwrap();
        let error = lab.fails(1, &up);
        assert!(error.contains(words), "{text}: {error}");
        assert!(error.contains(path), "{text}: {error}");
    }
    fs::write(&file, plugin(json!({ "type": "weave-net" }))).unwrap();
    let elsewhere = [&up[..], &["--plugin-dir", REFERENCE]].concat();
    let error = lab.fails(1, &elsewhere);
    assert!(error.contains("in /usr/lib/cni or among"), "{error}");
    for (directory, words) in [
        ("/nowhere", "No such file"),
        (
            directory.path().to_str().unwrap(),
            "there is no executable file in it",
        ),
    ] {
        let error = lab.fails(1, &["up", "--plugin-dir", directory]);
        assert!(
            error.contains("plugin directory") && error.contains(words),
            "{error}"
        );
    }
    let error = lab.fails(1, &["up", "--conflist", "/nowhere"]);
    assert!(error.contains("conflist /nowhere: "), "{error}");
    lab.assert_nothing_left();
}

/// A lab with a node, a pod `web`, and a namespace `testing` and a network `other` on the node.
fn with_another_network(lab: &TestLab) {
    lab.ok(&["up", "--nodes", "1"]);
    lab.on_node("n1", &["ip", "netns", "add", "testing"]);
    lab.ok(&["run", "web", "--", "sleep", "1000"]);
    let other = json!({
        "cniVersion": "1.1.0", "name": "other",
        "plugins": [{
            "type": "ptp", "capabilities": { "ips": true },
            "ipam": { "type": "host-local", "subnet": "10.99.0.0/24" },
        }],
    });
    let path = lab.dir().join("net.d/20-other.conflist");
    fs::write(path, other.to_string()).unwrap();
}

fn cni(lab: &TestLab, variables: &[(&str, &str)], arguments: &[&str]) -> Result<Value, Value> {
    let mut command = lab.command(&[&["cni"], arguments].concat());
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let document = match &output.stdout[..] {
        b"" => Value::Null,
        text => serde_json::from_slice(text).unwrap_or_else(|_| panic!("{output:?}")),
    };
    let said = String::from_utf8(output.stderr).unwrap();
    match output.status.code() {
        Some(0) => Ok(document),
        Some(1) => {
            assert!(said.starts_with("lab: "), "{said}");
            Err(document)
        }
        code => panic!("{arguments:?} ended with {code:?}: {said}"),
    }
}

#[test]
fn cni_does_on_a_node_what_cnitool_does() {
    let Some(lab) = TestLab::new() else { return };
    with_another_network(&lab);
    let testing = "/run/netns/testing";
    let asked = [
        ("CNI_IFNAME", "net1"),
        ("CAP_ARGS", r#"{"ips":["10.99.0.77/24"]}"#),
    ];
    let result = cni(&lab, &asked, &["add", "other", testing]).unwrap();
    assert_eq!(result["cniVersion"], "1.1.0");
    assert_eq!(result["ips"][0]["address"], "10.99.0.77/24");
    let names = result["interfaces"].as_array().unwrap();
    assert!(names.iter().any(|each| each["name"] == "net1"), "{result}");
    cni(&lab, &asked, &["check", "other", testing]).unwrap();
    let links = lab.on_node("n1", &["ip", "-n", "testing", "-br", "link"]);
    assert!(links.contains("net1@"), "{links}");
    let address = |variables: &[(&str, &str)], ifname: &str| {
        let added = cni(
            &lab,
            variables,
            &["add", "other", "web", "--ifname", ifname],
        );
        added.unwrap()["ips"][0]["address"].clone()
    };
    assert_eq!(
        address(&[("CNI_ARGS", "IP=10.99.0.88")], "net1"),
        "10.99.0.88/24"
    );
    address(&[], "net2");
    // The pod's own attachment is known, too.
    cni(&lab, &[], &["check", "cbr0", "web"]).unwrap();
    cni(&lab, &[], &["del", "other", "web", "--ifname", "net2"]).unwrap();
    let links = || lab.ok(&["exec", "web", "--", "ip", "-br", "link"]);
    assert!(links().contains("net1@") && !links().contains("net2@"));

    // What no pod has goes, what a pod has stays; then everything goes.
    cni(&lab, &[], &["gc", "other"]).unwrap();
    let left = lab.on_node("n1", &["ip", "-n", "testing", "-br", "link"]);
    assert!(!left.contains("net1@"), "{left}");
    cni(&lab, &[], &["check", "other", "web", "-i", "net1"]).unwrap();
    cni(&lab, &[], &["gc", "other", "--all"]).unwrap();
    assert!(!links().contains("net1@"));

    cni(&lab, &[], &["status", "other", "--node", "n1"]).unwrap();
    let versions = cni(&lab, &[], &["version", "other"]).unwrap();
    assert_eq!(versions[0]["type"], "ptp");
    let supported = versions[0]["supportedVersions"].as_array().unwrap();
    assert!(supported.contains(&json!("1.1.0")), "{versions}");
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn what_cni_cannot_do_is_an_error_object_with_its_code() {
    let Some(lab) = TestLab::new() else { return };
    with_another_network(&lab);
    let testing = "/run/netns/testing";
    let code = |variables: &[(&str, &str)], arguments: &[&str]| {
        let error = cni(&lab, variables, arguments).unwrap_err();
        assert!(error["msg"].is_string(), "{error}");
        error["code"].as_u64().unwrap()
    };
    assert_eq!(code(&[], &["add", "nobodys", testing]), 7);
    let nowhere = ["status", "other", "--conf-dir", "/nowhere"];
    assert_eq!(code(&[], &nowhere), 7);
    assert_eq!(code(&[("CNI_ARGS", "IP")], &["add", "other", testing]), 4);
    assert_eq!(code(&[("CAP_ARGS", "{")], &["add", "other", testing]), 4);
    // The plugin's own.
    let path = lab.dir().join("net.d/30-tomorrows.conflist");
    let tomorrows = json!({
        "cniVersion": "1.9.0", "name": "tomorrows", "plugins": [{ "type": "ptp" }],
    });
    fs::write(path, tomorrows.to_string()).unwrap();
    assert_eq!(code(&[], &["add", "tomorrows", testing]), 1);
    for (arguments, words) in [
        (
            &["add", "other", "nobody"][..],
            "there is no pod \"nobody\"",
        ),
        (
            &["add", "other", "web", "--node", "n9"],
            "pod web is on node n1",
        ),
        (&["add", "other", "run/netns/x"], "give a path of the node"),
        (
            &["status", "other", "--node", "n9"],
            "there is no node \"n9\"",
        ),
    ] {
        let error = lab.fails(1, &[&["cni"], arguments].concat());
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

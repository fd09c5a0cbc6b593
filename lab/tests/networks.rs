//! Networks that the user brings, and `lab cni`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::TestLab;
use kernel::{Ipvlan, Netlink, NewKind};
use sandbox::Process;
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

/// Starts a pod on a node that sleeps, with these annotations of its manifest.
fn sleeper(lab: &TestLab, name: &str, node: &str, annotations: &[&str]) {
    let annotations = annotations.join(", ");
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  annotations: {{{annotations}}}\nspec:\n  \
         nodeName: {node}\n  containers:\n  - {{name: main, command: [sleep, infinity]}}\n"
    );
    let file = lab.dir().join("pod.yaml");
    fs::write(&file, text).unwrap();
    lab.ok(&["apply", "-f", file.to_str().unwrap()]);
}

/// The annotation that names a pod's first network, or the one that names the others.
fn first(network: &str) -> String {
    format!("v1.multus-cni.io/default-network: {network}")
}

fn further(networks: &str) -> String {
    format!("k8s.v1.cni.cncf.io/networks: '{networks}'")
}

/// What a pod's networks gave it.
fn status(lab: &TestLab, pod: &str) -> Value {
    let pod: Value = serde_json::from_str(&lab.ok(&["get", "pod", pod, "-o", "json"])).unwrap();
    let text = &pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"];
    serde_json::from_str(text.as_str().unwrap()).unwrap()
}

fn reaches(lab: &TestLab, pod: &str, address: &str) -> bool {
    let ping = ["exec", pod, "--", "ping", "-c", "1", "-W", "2", address];
    lab.run(&ping).status.success()
}

/// What a pod's `ip` prints.
fn ip(lab: &TestLab, pod: &str, arguments: &[&str]) -> String {
    lab.ok(&[&["exec", pod, "--", "ip"], arguments].concat())
}

fn row_of(table: &str, name: &str) -> Vec<String> {
    let line = table.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {table}"));
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn pods_have_the_networks_that_they_ask_for() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "2"]);
    let run = |name: &str, node: &str, networks: &[&str]| {
        let networks = networks.iter().flat_map(|network| ["--network", network]);
        let run = ["run", name, "--node", node].into_iter().chain(networks);
        lab.ok(&run.chain(["--", "sleep", "1000"]).collect::<Vec<_>>())
    };
    let said = run("alone", "n1", &["none"]);
    assert_eq!(said, "pod/alone created on n1, without a network\n");
    run("guest", "n2", &["host"]);
    run("docker", "n1", &["bridge"]);
    sleeper(&lab, "far", "n2", &[&first("overlay")]);
    let said = run("both", "n1", &["overlay", "bridge"]);
    assert!(said.contains("; 172.17.0.3 (attached in"), "{said}");

    assert_eq!(ip(&lab, "alone", &["-br", "link"]).lines().count(), 1);
    assert!(ip(&lab, "guest", &["-br", "addr"]).contains("192.168.50.2/24"));
    // By the bridge: the pods of the node, and the other node, which sees its neighbour's address.
    let docker = lab.address("docker");
    assert!(docker.starts_with("172.17."), "{docker}");
    assert!(reaches(&lab, "docker", "192.168.50.2"));
    // Both peers, each over its own network; the first one's default route is the only one.
    assert!(reaches(&lab, "both", &docker));
    assert!(reaches(&lab, "both", &lab.address("far")));
    let routes = ip(&lab, "both", &["route"]);
    let default: Vec<&str> = routes
        .lines()
        .filter(|line| line.starts_with("default"))
        .collect();
    assert!(
        default.len() == 1 && default[0].contains("eth0"),
        "{routes}"
    );
    let given = status(&lab, "both");
    let names = |key: &str| [given[0][key].clone(), given[1][key].clone()];
    assert_eq!(names("name"), ["cbr0", "bridge"]);
    assert_eq!(names("interface"), ["eth0", "net1"]);
    assert_eq!(names("default"), [json!(true), Value::Null]);
    let second = given[1]["ips"][0].as_str().unwrap();
    assert!(reaches(&lab, "docker", second));
    let links = ip(&lab, "both", &["-br", "link", "show", "net1"]);
    assert!(links.contains(given[1]["mac"].as_str().unwrap()), "{links}");
    let described = lab.ok(&["describe", "pod", "both"]);
    assert!(described.contains(second), "{described}");
    let metrics = lab.ok(&["metrics"]);
    let counted = |interface: &str| {
        metrics.lines().any(|line| {
            line.starts_with("container_network_receive_bytes_total{")
                && line.contains("pod=\"both\"")
                && line.contains(&format!("interface=\"{interface}\""))
        })
    };
    assert!(counted("eth0") && counted("net1") && !counted("lo"));

    a_pod_whose_making_is_killed_is_made_anew(&lab);

    // `lab cni` knows all of them; by hand one more.
    cni(&lab, &[], &["check", "bridge", "both"]).unwrap();
    cni(&lab, &[], &["gc", "bridge"]).unwrap();
    cni(&lab, &[], &["check", "bridge", "docker"]).unwrap();
    cni(&lab, &[], &["add", "bridge", "alone", "--ifname", "mine"]).unwrap();
    let table = lab.ok(&["network", "ls"]);
    assert_eq!(
        row_of(&table, "bridge "),
        ["bridge", "bridge", "172.17.0.0/16", "2"]
    );
    assert_eq!(
        row_of(&table, "cbr0 "),
        ["cbr0", "overlay", "10.244.0.0/16", "2"]
    );
    assert_eq!(row_of(&table, "none "), ["none", "null", "-", "1"]);
    assert_eq!(row_of(&table, "host "), ["host", "host", "-", "1"]);

    // Killed and deleted alike, nothing of it stays on the node.
    let pid = lab.pod("both")["pid"].as_u64().unwrap();
    common::signal_pid(pid.try_into().unwrap(), "KILL");
    lab.ok(&["delete", "pod", "both", "docker", "alone", "--now"]);
    let left = lab.on_node(
        "n1",
        &["ls", "-R", "/var/lib/cni/results", "/var/lib/cni/networks"],
    );
    let is_address = |line: &&str| line.starts_with("172.") || line.starts_with("10.244.");
    let left: Vec<&str> = left
        .lines()
        .filter(|line| line.contains(&lab.name) || is_address(line))
        .collect();
    assert_eq!(left, [""; 0]);
    let links = lab.on_node("n1", &["ip", "-br", "link", "show", "type", "veth"]);
    assert_eq!(links.lines().count(), 1, "its cable alone: {links}");
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

/// The command is killed while the pod's second network waits for an address, and the supervisor lives on for a while:
/// another process stands for it.
#[allow(clippy::disallowed_methods, reason = "it stands for a supervisor")]
fn a_pod_whose_making_is_killed_is_made_anew(lab: &TestLab) {
    let run = "run cut --node n1 --network overlay --network bridge -- sleep 1000";
    let run: Vec<&str> = run.split(' ').collect();
    let root = PathBuf::from(format!("/proc/{}/root", lab.holder("n1")));
    let addresses = fs::File::open(root.join("var/lib/cni/networks/bridge/lock")).unwrap();
    addresses.lock().unwrap();
    let mut killed = lab.command(&run).spawn().unwrap();
    let container = format!("CNI_CONTAINERID={}-cut", lab.name);
    let adds_second = || runs_with(&[&container, "CNI_IFNAME=net1"]);
    common::wait_until("the ADD of the second network", adds_second);
    killed.kill().unwrap();
    killed.wait().unwrap();
    drop(addresses);
    common::wait_until("the end of the plugin", || !adds_second());
    let file = lab.dir().join("pods/cut/pod.json");
    let mut noted: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let mut supervisor = Command::new("sleep").arg("60").spawn().unwrap();
    noted["supervisor"] = json!(Process::of(supervisor.id()).unwrap());
    fs::write(&file, noted.to_string()).unwrap();
    lab.ok(&run);
    assert_eq!(supervisor.wait().unwrap().signal(), Some(15));
    assert_eq!(status(lab, "cut")[1]["name"], "bridge");
    lab.ok(&["delete", "pod", "cut", "--now"]);
}

/// Whether there is a process with all of these in its environment.
fn runs_with(variables: &[&str]) -> bool {
    let has_all = |process: fs::DirEntry| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        let all: Vec<&[u8]> = environment.split(|&byte| byte == 0).collect();
        variables.iter().all(|each| all.contains(&each.as_bytes()))
    };
    fs::read_dir("/proc").unwrap().flatten().any(has_all)
}

#[test]
fn networks_are_made_shown_and_removed() {
    let Some(lab) = TestLab::new() else { return };
    // back, wire and spare.
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/clusters/networks.yaml"
    );
    lab.ok(&["up", "-f", example]);
    let create = |arguments: &[&str]| lab.ok(&[&["network", "create"], arguments].concat());
    // Whose list cannot be read is in nobody's way.
    let said = create(&["broken"]);
    assert_eq!(said, "network/broken created\n");
    fs::write(lab.dir().join("net.d/50-broken.conflist"), "{").unwrap();
    create(&["third", "--subnet", "10.80.0.0/24", "--subnet", "fd80::/64"]);
    let brought = lab.dir().join("brought.conflist");
    let plugins = json!([{
        "type": "ptp", "ipam": { "type": "host-local", "subnet": "10.79.0.0/24" },
    }]);
    fs::write(&brought, conflist("brought", &plugins)).unwrap();
    lab.ok(&["network", "add", brought.to_str().unwrap()]);
    let listed = lab.run(&["network", "ls"]);
    let said = String::from_utf8(listed.stderr).unwrap();
    assert_eq!(listed.status.code(), Some(1), "{said}");
    assert!(
        said.contains("net.d/50-broken.conflist: error parsing"),
        "{said}"
    );
    let table = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(row_of(&table, "spare")[2], "172.18.0.0/16");
    assert_eq!(row_of(&table, "wire")[1..3], ["macvlan", "10.78.0.0/24"]);
    assert_eq!(row_of(&table, "third")[2], "10.80.0.0/24,fd80::/64");
    assert_eq!(
        row_of(&table, "brought"),
        ["brought", "ptp", "10.79.0.0/24", "0"]
    );

    let manifest = lab.dir().join("pods.yaml");
    let pod = |name: &str, node: &str, networks: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  annotations:\n    \
             k8s.v1.cni.cncf.io/networks: '{networks}'\nspec:\n  nodeName: {node}\n  containers:\n  \
             - {{name: main, command: [sleep, infinity]}}\n---\n"
        )
    };
    let asked = r#"[{"name": "back", "interface": "data", "ips": ["10.77.0.77/24"],
      "mac": "c2:11:22:33:44:55"}, {"name": "wire"}, {"name": "brought"}]"#;
    let pods = pod("web", "n1", asked) + &pod("far", "n2", "wire@wire0");
    fs::write(&manifest, pods).unwrap();
    lab.ok(&["apply", "-f", manifest.to_str().unwrap()]);
    let given = status(&lab, "web");
    assert_eq!(given[1]["interface"], "data");
    assert_eq!(given[1]["ips"][0], "10.77.0.77");
    assert_eq!(given[1]["mac"], "c2:11:22:33:44:55");
    assert_eq!(
        [&given[2]["interface"], &given[3]["interface"]],
        ["net2", "net3"]
    );
    // One network on two nodes: no address twice, and each reaches the other.
    let far = status(&lab, "far")[1]["ips"][0].clone();
    assert_ne!(far, given[2]["ips"][0]);
    assert!(reaches(&lab, "web", far.as_str().unwrap()));
    // The addresses of the other node's pods stay.
    cni(&lab, &[], &["gc", "wire", "--node", "n1"]).unwrap();
    cni(&lab, &[], &["gc", "wire", "--node", "n1", "--all"]).unwrap();
    let noted = lab.dir().join("ipam/wire").join(far.as_str().unwrap());
    assert!(noted.exists(), "{}", noted.display());

    for arguments in [
        &["run", "none", "--network", "broken", "--", "true"][..],
        &["network", "inspect", "broken"],
    ] {
        let error = lab.fails(1, arguments);
        assert!(error.contains("`lab network rm broken`: "), "{error}");
    }
    let error = lab.fails(1, &["network", "create", "broken"]);
    assert!(error.contains("network broken is there already"), "{error}");
    let said = lab.ok(&["network", "rm", "broken"]);
    assert_eq!(said, "network/broken removed\n");
    let error = lab.fails(1, &["network", "rm", "back"]);
    assert!(error.contains("network back is used by pod web"), "{error}");
    // A pod is detached by what it was attached with, whatever became of the list.
    fs::remove_file(lab.dir().join("net.d/50-brought.conflist")).unwrap();
    lab.ok(&["delete", "pod", "web", "far", "--now"]);
    let has_bridge = || {
        lab.on_node("n1", &["ip", "-br", "link"])
            .contains("br-back")
    };
    assert!(has_bridge());
    let rm = ["network", "rm", "back", "wire", "third"];
    lab.ok(&rm);
    assert!(!has_bridge());
    assert!(!lab.ok(&["network", "ls"]).contains("back"));
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn what_a_network_cannot_do_is_refused() {
    let Some(lab) = TestLab::new() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cluster.yaml");
    let cluster = "nodes: [{name: n1, underlay: a}]\nrouters: [{name: r, underlays: [a, b]}]\nunderlays:\n\
                   - {name: a, ipv4: 192.168.50.0/24}\n- {name: b, ipv4: 192.168.51.0/24}\n";
    fs::write(&file, cluster).unwrap();
    lab.ok(&["up", "-f", file.to_str().unwrap()]);
    let create = |arguments: &[&str]| lab.fails(1, &[&["network", "create"], arguments].concat());
    for (arguments, words) in [
        (
            &["bridge"][..],
            "network bridge is there already: choose another name, since it stays",
        ),
        (&["overlay"], "\"overlay\" is a network mode"),
        (&["longer-than-that"], "give 12 letters at most"),
        (&["a", "--driver", "macvlan"], "needs a subnet of its own"),
        (
            &["a", "--subnet", "192.168.50.0/25"],
            "overlaps with 192.168.50.0/24 of the lab's nodes",
        ),
        (
            &["a", "--subnet", "172.17.5.0/24"],
            "overlaps with 172.17.0.0/16 of network bridge",
        ),
        (&["a", "--subnet", "10.0.0.1/24"], "give 10.0.0.0/24"),
    ] {
        let error = create(arguments);
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
    let ipvlan = NewKind::Ipvlan(Ipvlan::default());
    if !Netlink::open().unwrap().has_link_kind(&ipvlan).unwrap() {
        let error = create(&["a", "--driver", "ipvlan", "--subnet", "10.81.0.0/24"]);
        let words = "this kernel has no links of kind ipvlan (CONFIG_IPVLAN";
        assert!(error.contains(words), "{error}");
    }
    let both = [
        "run",
        "web",
        "--network",
        "host",
        "--network",
        "bridge",
        "--",
        "true",
    ];
    let error = lab.fails(1, &both);
    assert!(error.contains("--network host stands alone"), "{error}");
    for (name, words) in [
        ("bridge", "network bridge is the lab's own"),
        ("overlay", "network cbr0 is the lab's own"),
        ("nobodys", "there is no network \"nobodys\""),
    ] {
        let error = lab.fails(1, &["network", "rm", name]);
        assert!(error.contains(words), "{error}");
    }
    let manifest = lab.dir().join("pod.yaml");
    let apply = |annotation: &str| {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  annotations:\n    {annotation}\nspec:\n  containers:\n  \
             - {{name: main, command: [sleep, infinity]}}\n"
        );
        fs::write(&manifest, text).unwrap();
        lab.fails(1, &["apply", "-f", manifest.to_str().unwrap()])
    };
    for (annotation, words) in [
        (
            further(r#"[{"name": "overlay", "mac": "c2:11:22:33:44:55"}]"#),
            "network cbr0 takes no `mac`",
        ),
        (
            further(r#"[{"name": "bridge", "default-route": ["172.17.0.1"]}]"#),
            "unknown field `default-route`",
        ),
        (further("bridge@eth0"), "is there already"),
        (first("nobodys"), "there is no network \"nobodys\" in lab"),
        (first("macvlan"), "the lab has several underlays"),
        (first("host"), "give hostNetwork: true"),
    ] {
        let error = apply(&annotation);
        assert!(
            error.contains("pod.yaml:6:") && error.contains(words),
            "{error}"
        );
    }
    // An address that is taken: the attachments before it are undone.
    apply(&further(
        r#"[{"name": "bridge"}, {"name": "bridge", "ips": ["172.17.0.1"]}]"#,
    ));
    let links = lab.on_node("n1", &["ip", "-br", "link", "show", "type", "veth"]);
    assert_eq!(links.lines().count(), 1, "its cable alone: {links}");
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn macvlan_puts_pods_on_the_underlay() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "2"]);
    let sleeper = |name: &str, node: &str, network: &str| {
        sleeper(&lab, name, node, &[&first(network)]);
    };
    sleeper("here", "n1", "macvlan");
    sleeper("there", "n2", "macvlan");
    assert_eq!(lab.address("here"), "192.168.50.3");
    assert_eq!(lab.address("there"), "192.168.50.4");
    assert!(reaches(&lab, "here", "192.168.50.4"));
    // The other node, but not its own.
    assert!(reaches(&lab, "here", "192.168.50.2"));
    // Which forwards nothing here, and has no need to for itself.
    sleeper("docker", "n1", "bridge");
    lab.ok(&["explain", "docker", "192.168.50.2"]);
    lab.ok(&["delete", "pod", "here", "--now"]);
    sleeper("again", "n1", "macvlan");
    assert_ne!(lab.address("again"), "192.168.50.4");
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

//! Cluster files: `lab up -f`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{TestLab, inside};
use kernel::Netlink;
use kernel::qdisc::{Netem, QdiscKind};
use serde_json::{Value, json};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/clusters");

const DOCUMENTATION: &str = include_str!("../../docs/lab.md");

fn example(name: &str) -> String {
    fs::read_to_string(Path::new(EXAMPLES).join(name)).unwrap()
}

/// A file with that text.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cluster.yaml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

/// A lab of that example, with a pod `one` on one node and a pod `two` on another.
fn up(lab: &TestLab, name: &str, pods_on: [&str; 2]) {
    up_with(lab, &example(name), pods_on);
}

/// The same for a file with that text, but for its name.
fn up_with(lab: &TestLab, text: &str, [one, other]: [&str; 2]) {
    let text = text.lines().filter(|line| !line.starts_with("name:"));
    let (_directory, path) = file(&text.collect::<Vec<_>>().join("\n"));
    lab.ok(&["up", "-f", &path]);
    for (node, pod) in [(one, "one"), (other, "two")] {
        let run = ["run", pod, "--node", node];
        lab.ok(&[&run[..], &["--", "sleep", "1000"]].concat());
    }
}

/// Pod `two` answers pod `one` at all its addresses, of so many families.
fn ping(lab: &TestLab, families: usize) -> Vec<String> {
    let addresses = lab.pod("two")["addresses"].as_array().unwrap().clone();
    assert_eq!(addresses.len(), families);
    let addresses = addresses.iter().map(|address| address.as_str().unwrap());
    let addresses: Vec<String> = addresses.map(str::to_owned).collect();
    for address in &addresses {
        let ping = ["exec", "one", "--", "ping", "-c", "1", "-W", "10"];
        lab.ok(&[&ping[..], &[address]].concat());
    }
    addresses
}

fn processes(lab: &TestLab, kind: &str) -> Vec<Value> {
    let view = lab.json(&["ps"]);
    let all = view["processes"].as_array().unwrap().iter();
    all.filter(|each| each["kind"] == kind).cloned().collect()
}

fn down(lab: &TestLab) {
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn a_router_joins_two_racks() {
    let Some(lab) = TestLab::new() else { return };
    let text = replaced(
        &example("two-racks.yaml"),
        "20.0/24}",
        "20.0/24, rate: 50M, mtu: 9000}",
    );
    let text = replaced(&text, "rack-b, labels", "rack-b, rate: 20M, labels");
    up_with(&lab, &text, ["a1", "b1"]);
    cables_have_the_rates_of_the_file_also_after_a_fault(&lab);
    let addresses = ping(&lab, 1);
    let way = lab.ok(&["explain", "one", &addresses[0]]);
    assert!(way.contains("via 192.168.10.252 on eth0"), "{way}");
    assert!(way.contains("router core"), "{way}");
    let routers = processes(&lab, "router");
    assert_eq!(routers.len(), 1, "{routers:?}");
    assert_eq!(routers[0]["addresses"][1], "192.168.20.252");
    assert_eq!(routers[0]["state"], "running");
    assert_eq!(processes(&lab, "node")[0]["labels"]["rack"], "a");

    // Nodes of one rack need no tunnel.
    let run = ["run", "beside", "--node", "a2"];
    lab.ok(&[&run[..], &["--", "sleep", "1000"]].concat());
    let pid = processes(&lab, "node")[0]["pid"].to_string();
    let way = |to: &str| {
        let route = ["-t", &pid, "-n", "ip", "route", "get", to];
        command("nsenter", &route, "")
    };
    let beside = way(&lab.address("beside"));
    assert!(beside.contains("via 192.168.10.2 dev eth0"), "{beside}");
    assert!(way(&addresses[0]).contains("dev flannel.1"));

    lab.ok(&["node", "stop", "b1"]);
    let alone = ["exec", "one", "--", "ping", "-c", "1", "-W", "1"];
    assert!(
        !lab.run(&[&alone[..], &[&addresses[0]]].concat())
            .status
            .success()
    );
    lab.ok(&["node", "start", "b1"]);
    ping(&lab, 1);
    down(&lab);
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

/// Underlay rack-b has 50 Mbit/s, node b1 there 20.
fn cables_have_the_rates_of_the_file_also_after_a_fault(lab: &TestLab) {
    let keeper = processes(lab, "keeper")[0]["pid"].as_u64().unwrap();
    let router = processes(lab, "router")[0]["pid"].as_u64().unwrap();
    let shaped = |pid: u64, link: &str, rate: &str| {
        let shown = inside(
            pid.try_into().unwrap(),
            &["tc", "qdisc", "show", "dev", link],
        );
        let is_shaped = shown.contains("tbf 1: root") && shown.contains(&format!("rate {rate} "));
        assert!(is_shaped, "{link}: {shown}");
    };
    let of_node = |rate: &str| {
        shaped(lab.holder("b1").into(), "eth0", rate);
        shaped(keeper, "b1", rate);
    };
    of_node("20Mbit");
    shaped(router, "rack-b", "50Mbit");
    shaped(keeper, "core.1", "50Mbit");
    let unshaped = lab.on_node("a1", &["tc", "qdisc", "show", "dev", "eth0"]);
    assert!(!unshaped.contains("tbf"), "{unshaped}");
    lab.ok(&["fault", "rate", "b1", "1M"]);
    of_node("1Mbit");
    // A full frame of the link fits into the bucket, at both ends of the cable.
    let full = ["ping", "-c", "1", "-W", "5", "-M", "do", "-s", "8972"];
    lab.on_node("b1", &[&full[..], &["192.168.20.252"]].concat());
    lab.ok(&["fault", "heal", "b1"]);
    of_node("20Mbit");
}

/// Nothing is built before it is known that the kernel can do it.
#[test]
fn cables_that_the_kernel_cannot_make_are_refused_first() {
    let Some(lab) = TestLab::new() else { return };
    let (_directory, path) = file(
        "nodes: [{name: a, delay: 20ms}, {name: b, loss: 0.1}]\nbackend: host-gw\n\
         underlays: [{name: wire, ipv4: 10.1.0.0/24, delay: 5, rate: 10M}]\n",
    );
    let emulator = QdiscKind::Netem(Netem::new(Duration::ZERO, 0.0));
    if !Netlink::open().unwrap().has_qdisc_kind(&emulator).unwrap() {
        let error = lab.fails(1, &["up", "-f", &path]);
        assert!(
            error.contains("underlay wire: this kernel has no qdisc netem (CONFIG_NET_SCH_NETEM"),
            "{error}"
        );
        lab.assert_nothing_left();
        return;
    }
    lab.ok(&["up", "-f", &path]);
    for (node, words) in [("a", "delay 20ms"), ("b", "delay 5ms loss 0.1%")] {
        let shown = lab.on_node(node, &["tc", "qdisc", "show", "dev", "eth0"]);
        assert!(shown.contains(words), "{node}: {shown}");
        assert!(shown.contains("tbf 2: parent 1:1 rate 10Mbit"), "{shown}");
    }
    down(&lab);
}

#[test]
fn pods_have_addresses_of_both_families() {
    let Some(lab) = TestLab::new() else { return };
    up(&lab, "dual-stack.yaml", ["n1", "n2"]);
    // The first packet to a node's first pod does not wait for an address of its bridge.
    let tentative = [
        "ip",
        "-6",
        "-o",
        "address",
        "show",
        "dev",
        "cni0",
        "tentative",
    ];
    assert_eq!(lab.on_node("n2", &tentative), "");
    ping(&lab, 2);
    let netd = &processes(&lab, "netd")[0];
    assert_eq!(netd["subnets"].as_array().unwrap().len(), 2, "{netd}");
    down(&lab);
}

#[test]
fn ipv6_alone_crosses_two_routers_and_leases_are_in_etcd() {
    let Some(lab) = TestLab::new() else { return };
    up(&lab, "ipv6-only.yaml", ["left", "right"]);
    let address = ping(&lab, 1).remove(0);
    let way = lab.ok(&["explain", "one", &address]);
    assert!(
        way.contains("router r1") && way.contains("router r2"),
        "{way}"
    );
    down(&lab);
}

/// A field that is not there is told where the thing is that lacks it.
#[test]
fn a_file_that_cannot_be_is_refused_with_its_places() {
    let Some(lab) = TestLab::new() else { return };
    let racks = example("two-racks.yaml").replace("name: racks\n", "");
    let with = |from: &str, to: &str| replaced(&racks, from, to);
    let two = "underlays: [{name: a, ipv4: 10.0.1.0/24}, {name: b, ipv4: 10.0.2.0/24}]\n";
    for (text, words) in [
        ("nodes: [".to_owned(), "this cannot be read as YAML"),
        (String::new(), ":1:1: there is nothing in this file"),
        (
            "nodes: 1\n---\nnodes: 2\n".to_owned(),
            ":3:1: this file is one document",
        ),
        (
            "nodes: 1\nnode: 2\n".to_owned(),
            ":2:1: node: unknown field; the lab carries out: name, nodes, underlays",
        ),
        (
            "nodes: 65\n".to_owned(),
            ":1:1: nodes: the number 65 instead of a number of nodes from 1 to 64, or a list of them",
        ),
        (
            with("name: a2, underlay: rack-a", "name: a2, underlay: rack-c"),
            "nodes[1].underlay: there is no underlay rack-c: there are rack-a, rack-b",
        ),
        (
            with("name: a2, underlay: rack-a", "name: a2"),
            "nodes[1].underlay: say which underlay",
        ),
        (
            with("name: a2", "name: core"),
            "nodes[1].name: \"core\" is taken",
        ),
        (
            with("name: a2", "name: etcd"),
            "nodes[1].name: \"etcd\" is taken",
        ),
        (
            with("name: a2", "name: a-name-that-is-long"),
            "nodes[1].name: \"a-name-that-is-long\" becomes the name of a link: give 15 letters",
        ),
        (
            with("name: core", "name: a-longer-name2"),
            ":14:4: routers[0].name: \"a-longer-name2\" becomes the name of a link: give 13 letters",
        ),
        (
            with("ipv4: 192.168.20.0/24", "ipv4: 192.168.20.1/24"),
            "underlays[1].ipv4: 192.168.20.1/24 has host bits set: give 192.168.20.0/24",
        ),
        (
            with("ipv4: 192.168.20.0/24", "ipv4: 192.168.10.128/25"),
            "underlays[1].ipv4: 192.168.10.128/25 overlaps with 192.168.10.0/24 of underlays[0].ipv4",
        ),
        (
            with("ipv4: 192.168.20.0/24", "ipv4: 10.244.3.0/24"),
            "podNetwork.ipv4: 10.244.0.0/16 overlaps with 10.244.3.0/24",
        ),
        (
            with("ipv4: 192.168.10.0/24", "ipv4: 192.168.10.0/30"),
            "underlays[0].ipv4: 192.168.10.0/30 has addresses for 0 nodes and routers, and 3 are on it",
        ),
        (
            with("ipv4: 192.168.20.0/24", "ipv4: a/24"),
            "underlays[1].ipv4: ",
        ),
        (
            with(", ipv4: 192.168.20.0/24", ""),
            "underlays[1]: it has no subnet",
        ),
        (
            with(", ipv4: 192.168.20.0/24", ", ipv6: \"fd00::/64\""),
            "podNetwork.ipv4: IPv4 of pods travels over IPv4 of nodes, and underlay rack-b has no such",
        ),
        (
            with("ipv4: 192.168.20.0/24", "ipv4: 192.168.20.0/24, mtu: 500"),
            "underlays[1].mtu: 500 bytes are too few: give 626",
        ),
        (
            with("ipv4: 192.168.20.0/24", "ipv4: 192.168.20.0/24, delay: 2h"),
            "underlays[1].delay: \"2h\" is not a delay: give 1 to 60000 milliseconds",
        ),
        (
            with("name: a2", "loss: 101, name: a2"),
            "nodes[1].loss: \"101\" is not a share of packets",
        ),
        (
            with("name: a2", "rate: [], name: a2"),
            "nodes[1].rate: a list instead of text or a number",
        ),
        (
            with("[rack-a, rack-b]", "[rack-a, rack-a]"),
            "routers[0].underlays: a router joins two underlays or more",
        ),
        (
            with("[rack-a, rack-b]", "[rack-a, rack-a]"),
            "underlays[1]: no router joins rack-b to rack-a",
        ),
        (
            with("backend: vxlan", "backend: host-gw"),
            "backend: host-gw sends pods' packets to the other node itself, which has to be on the same link: \
             node b1 is behind a router, on underlay rack-b",
        ),
        (
            with("backend: vxlan", "backend: udp"),
            "directRouting: only vxlan has it",
        ),
        (
            with("backend: vxlan", "backend: geneve"),
            "backend: the text \"geneve\" instead of one of vxlan, host-gw, udp",
        ),
        (
            with("backend: vxlan", "leaseTTL: 5"),
            "leaseTTL: \"5\" is not a length of time: give 5s, 10m or 24h",
        ),
        (
            with("backend: vxlan", "leaseTTL: 1500ms"),
            "leaseTTL: \"1500ms\" is not the length of a lease",
        ),
        (
            with("backend: vxlan", "probeInterval: 50ms"),
            "probeInterval: \"50ms\" is not a time from probe to probe",
        ),
        (
            with("backend: vxlan", "podNetwork: {}"),
            "podNetwork: pods have no addresses",
        ),
        (
            with(
                "backend: vxlan",
                "podNetwork: {ipv4: {network: 10.5.0.0/24, subnetLen: 24}}",
            ),
            "podNetwork.ipv4.subnetLen: a node's subnet of 24 bits in 10.5.0.0/24: give 25 to 30",
        ),
        (
            with(
                "backend: vxlan",
                "podNetwork: {ipv4: {network: 10.5.0.0/24, subnetLen: 26}}",
            )
            .replace("- {name: a2", "- {name: a3, underlay: rack-a}\n- {name: a2"),
            "podNetwork.ipv4.network: 10.5.0.0/24 has 3 subnets of 26 bits for 4 nodes",
        ),
        (
            with("backend: vxlan", "networks: [{}]"),
            "networks[0]: give its name, or a conflist",
        ),
        (
            with("backend: vxlan", "networks: [{name: host}]"),
            "networks[0].name: \"host\" is a network mode",
        ),
        (
            with("backend: vxlan", "networks: [{name: a}, {name: bridge}]"),
            "networks[1].name: network bridge is there already",
        ),
        (
            with("backend: vxlan", "networks: [{name: a}, {name: a}]"),
            "networks[1].name: network a is there already",
        ),
        (
            with("backend: vxlan", "networks: [{name: longer-than-that}]"),
            "networks[0].name: \"longer-than-that\" becomes the name of a bridge: give 12 letters",
        ),
        (
            with("backend: vxlan", "networks: [{name: a, ipv4: 10.0.0.1/24}]"),
            "networks[0].ipv4: 10.0.0.1/24 has host bits set: give 10.0.0.0/24",
        ),
        (
            with(
                "backend: vxlan",
                "networks: [{name: a, ipv6: \"fd00::/127\"}]",
            ),
            "networks[0].ipv6: fd00::/127 has no room for pods",
        ),
        (
            with(
                "backend: vxlan",
                "networks: [{name: a, ipv4: 192.168.10.0/25}]",
            ),
            "networks[0].ipv4: 192.168.10.0/25 overlaps with 192.168.10.0/24 of underlays[0].ipv4",
        ),
        (
            with(
                "backend: vxlan",
                "networks: [{name: a, ipv4: 10.1.0.0/24}, {name: b, ipv4: 10.1.0.0/16}]",
            ),
            "networks[1].ipv4: 10.1.0.0/16 overlaps with 10.1.0.0/24 of networks[0].ipv4",
        ),
        (
            with("backend: vxlan", "networks: [{name: a, driver: macvlan}]"),
            "networks[0].driver: a network of driver macvlan needs a subnet of its own",
        ),
        (
            with("backend: vxlan", "networks: [{name: a, driver: weave}]"),
            "networks[0].driver: the text \"weave\" instead of one of bridge, macvlan, ipvlan",
        ),
        (
            with(
                "backend: vxlan",
                "networks: [{name: a, subnet: 10.1.0.0/24}]",
            ),
            "networks[0].subnet: unknown field; the lab carries out: name, driver, ipv4, ipv6, conflist",
        ),
        (
            with("backend: vxlan", "networks: [{conflist: mine.conflist}]"),
            "networks[0].conflist: ",
        ),
        (
            with(
                "backend: vxlan",
                "networks: [{conflist: mine.conflist, driver: bridge}]",
            ),
            "networks[0].driver: it stands in the conflist: leave it out",
        ),
        (
            format!("nodes: 2\n{two}"),
            "nodes: there are several underlays: list the nodes",
        ),
    ] {
        let (_directory, path) = file(&text);
        let error = lab.fails(1, &["up", "-f", &path]);
        assert!(error.contains(words), "{text}\n{error}");
        assert!(error.contains(&format!("{path}:")), "{text}\n{error}");
    }
    lab.assert_nothing_left();
}

#[test]
fn flags_say_what_the_file_leaves_open_and_nothing_else() {
    let Some(lab) = TestLab::new() else { return };
    let (_directory, path) = file("nodes: 2\nbackend: udp\nleaseTTL: 30s\n");
    for (flags, words) in [
        (
            &["--nodes", "1"][..],
            ":1:1: nodes: --nodes says something else",
        ),
        (&["--backend", "vxlan"], ":2:1: backend: --backend says"),
        (&["--lease-ttl", "31s"], ":3:1: leaseTTL: --lease-ttl says"),
    ] {
        let error = lab.fails(1, &[&["up", "-f", &path], flags].concat());
        assert!(error.contains(words), "{error}");
    }
    let error = lab.fails(1, &["up", "-f", "/nowhere"]);
    assert!(error.contains("read the cluster file /nowhere"), "{error}");
    // The same thing twice is no contradiction; what the file does not say the flag says.
    // One file serves for several labs: a name on the command line counts.
    let (_directory, path) = file("name: another\nnodes: 1\n");
    lab.ok(&["up", "-f", &path, "--nodes", "1", "--backend", "host-gw"]);
    let view = lab.json(&["ps"]);
    assert_eq!(view["backend"], "host-gw");
    down(&lab);
}

/// A list beside the file, wherever the lab is started.
#[test]
fn paths_are_relative_to_the_file() {
    let Some(lab) = TestLab::new() else { return };
    let (directory, path) = file("nodes: 1\nconflist: mine.conflist\n");
    let error = lab.fails(1, &["up", "-f", &path]);
    let list: PathBuf = directory.path().join("mine.conflist");
    assert!(
        error.contains(&format!("conflist {}: ", list.display())),
        "{error}"
    );
    let plugins = r#"[{"type":"bridge","ipam":{"type":"host-local","subnet":"10.88.0.0/24"}}]"#;
    fs::write(
        &list,
        format!(r#"{{"cniVersion":"1.0.0","name":"mine","plugins":{plugins}}}"#),
    )
    .unwrap();
    let other = directory.path().join("other.conflist");
    let cluster = "nodes: 1\nconflist: mine.conflist\nnetworks:\n- {name: beside, ipv4: 10.89.0.128/25}\n\
                   - {conflist: other.conflist}\n";
    fs::write(&path, cluster).unwrap();
    let plugin = r#"{"type":"ptp","ipam":{"type":"host-local","subnet":"10.89.0.0/24"}}"#;
    for (name, words) in [
        (
            "mine",
            ":5:4: networks[1].conflist: network mine is there already",
        ),
        (
            "other",
            ":4:18: networks[0].ipv4: 10.89.0.128/25 overlaps with 10.89.0.0/24 of networks[1].conflist",
        ),
    ] {
        let text = format!(r#"{{"cniVersion":"1.0.0","name":"{name}","plugins":[{plugin}]}}"#);
        fs::write(&other, text).unwrap();
        let error = lab.fails(1, &["up", "-f", &path]);
        assert!(error.contains(words), "{error}");
    }
    fs::write(&path, cluster.replace("10.89.0.128", "10.88.0.128")).unwrap();
    let error = lab.fails(1, &["up", "-f", &path]);
    let words = ":4:18: networks[0].ipv4: 10.88.0.128/25 overlaps with 10.88.0.0/24 of conflist";
    assert!(error.contains(words), "{error}");
    let missing = fs::read_to_string(&other)
        .unwrap()
        .replace("ptp", "weave-net");
    fs::write(&other, missing).unwrap();
    fs::write(&path, cluster.replace("10.89.0.128", "10.90.0.128")).unwrap();
    let error = lab.fails(1, &["up", "-f", &path]);
    assert!(
        error.contains("networks[1]: conflist ") && error.contains("\"weave-net\""),
        "{error}"
    );
    let right = fs::read_to_string(&other)
        .unwrap()
        .replace("weave-net", "ptp");
    fs::write(&other, right).unwrap();
    lab.ok(&["up", "-f", &path]);
    lab.ok(&[
        "run",
        "here",
        "--network",
        "mine",
        "--network",
        "other",
        "--",
        "sleep",
        "1000",
    ]);
    assert!(lab.address("here").starts_with("10.88.0."));
    down(&lab);
}

/// Prints for each instance whether the schema takes it.
const JUDGE: &str = "\
import json, jsonschema, sys
schema, instances = json.load(sys.stdin)
judge = jsonschema.Draft202012Validator(schema)
print(json.dumps([judge.is_valid(instance) for instance in instances]))
";

/// The schema is for editors, which check with it what is written.
#[test]
fn the_schema_takes_the_examples_and_refuses_what_the_lab_refuses() {
    let schema = command(env!("CARGO_BIN_EXE_lab"), &["schema"], "");
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let taken = |texts: &[String]| -> Vec<bool> {
        let instances = texts
            .iter()
            .map(|text| serde_saphyr::from_str(text).unwrap());
        let instances: Vec<Value> = instances.collect();
        let question = json!([schema, instances]).to_string();
        serde_json::from_str(&command("python3", &["-c", JUDGE], &question)).unwrap()
    };
    let (_, section) = DOCUMENTATION.split_once("## Cluster files\n").unwrap();
    let (_, documented) = section.split_once("```yaml\n").unwrap();
    let (documented, _) = documented.split_once("```").unwrap();
    let mut right = vec![documented.to_owned()];
    for entry in fs::read_dir(EXAMPLES).unwrap() {
        right.push(fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    assert!(right.len() > 3 && documented.contains("podNetwork:"));
    assert_eq!(taken(&right), vec![true; right.len()], "{right:#?}");
    let wrong = [
        "node: 1",
        "nodes: 0",
        "nodes: 65",
        "nodes: []",
        "nodes: [{name: A}]",
        "backend: geneve",
        "underlays: [{ipv4: 10.0.0.0/24}]",
        "underlays: [{name: a, mtu: -1}]",
        "podNetwork: {ipv4: {subnetLen: 24}}",
        "underlays: [{name: a, rate: [1]}]",
        "networks: [{name: a, driver: weave}]",
        "networks: [{name: a, subnet: 10.1.0.0/24}]",
    ]
    .map(str::to_owned);
    assert_eq!(taken(&wrong), [false; 12], "{wrong:#?}");
}

/// What a program prints.
#[allow(
    clippy::disallowed_methods,
    reason = "the program under test, and the judge"
)]
fn command(program: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

//! The lists in docs/plugins.md: they are the plugins' own examples, and each attaches a pod, checks
//! it and detaches it on a node of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{collections::BTreeMap, fs, path::PathBuf, thread};

use cni::runtime::{Chain, NetworkConfig, RuntimeConf};
use kernel::{IfName, LinkChange, Netlink, NewKind, NewLink, Peer};
use serde_json::{Value, json};
use support::Node;

/// Kinds of links that some kernels lack.
const RARE: [&str; 4] = ["dummy", "ipvlan", "vlan", "vrf"];

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/plugins.md");
    fs::read_to_string(path).unwrap()
}

/// The lists of a document's blocks.
fn lists(document: &str) -> Vec<String> {
    let blocks = document.split("```json\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block.to_owned()).collect()
}

fn types(list: &str) -> Vec<String> {
    let list: Value = serde_json::from_str(list).unwrap();
    let plugins = list["plugins"].as_array().unwrap().iter();
    plugins
        .flat_map(|plugin| [&plugin["type"], &plugin["ipam"]["type"]])
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

#[test]
fn every_plugin_has_a_chapter_with_its_own_example() {
    let document = document();
    let told = support::podwire(&["help", "--output", "json"])
        .success()
        .json();
    for plugin in told["plugins"].as_array().unwrap() {
        let name = plugin["name"].as_str().unwrap();
        let example = plugin["example"].as_str().unwrap();
        assert!(
            document.contains(&format!("\n## {name}\n")),
            "docs/plugins.md has no chapter {name:?}"
        );
        assert!(
            document.contains(&format!("```json\n{example}```\n")),
            "docs/plugins.md does not show the example of {name}:\n{example}"
        );
    }
}

#[test]
fn every_example_runs() {
    let mut lists = lists(&document());
    // A world is the thread's.
    lists.retain(|list| {
        let list = list.clone();
        thread::spawn(move || run(&list)).join().is_err()
    });
    assert_eq!(lists, [""; 0], "see above");
}

fn run(list: &str) {
    let types = types(list);
    if types.iter().any(|name| name == "dhcp") {
        eprintln!("skipped: dhcp needs its daemon and a server; ipam/dhcp has tests with both");
        return;
    }
    let Some(node) = Node::new() else { return };
    furnish();
    let pod = node.world.pod("pod");
    let chain = Chain::new(NetworkConfig::parse(list.as_bytes()).unwrap());
    let conf = RuntimeConf {
        container_id: "pod".to_owned(),
        netns: "/run/netns/pod".to_owned(),
        ifname: if types == ["loopback"] { "lo" } else { "eth0" }.to_owned(),
        capability_args: capability_args(),
        cni_path: vec![node.bin_dir.clone()],
        cache_dir: PathBuf::from("/var/lib/cni"),
        ..RuntimeConf::default()
    };
    if let Err(error) = chain.add(&conf) {
        let error = whole(&error);
        assert!(lacks_kind(&types, &error), "{error}\n{list}");
        eprintln!(
            "skipped: this kernel lacks the links of {}: {error}",
            types.join(", ")
        );
        return;
    }
    let links = Netlink::open_in(&pod).unwrap().links().unwrap();
    assert!(
        links
            .iter()
            .any(|link| link.name.as_str() == conf.ifname && link.up),
        "{list}"
    );
    chain
        .check(&conf)
        .unwrap_or_else(|error| panic!("{error}\n{list}"));
    chain
        .del(&conf)
        .unwrap_or_else(|error| panic!("{error}\n{list}"));
    eprintln!("ran: {}", types.join(", "));
}

/// An error with its causes.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

fn lacks_kind(types: &[String], error: &str) -> bool {
    let is_rare = types.iter().any(|name| RARE.contains(&name.as_str()));
    is_rare && error.to_lowercase().contains("not supported")
}

/// What the examples take from the node: two links of its own, and a leased subnet.
fn furnish() {
    let host = Netlink::open().unwrap();
    let up = LinkChange {
        up: Some(true),
        ..LinkChange::default()
    };
    for [name, outside] in [["eth0", "switch0"], ["eth1", "switch1"]] {
        let (name, outside): (IfName, IfName) = (name.parse().unwrap(), outside.parse().unwrap());
        let kind = NewKind::Veth(Peer {
            name: &outside,
            ns: None,
            mac: None,
        });
        let link = host.add_link(&NewLink::new(&name, kind)).unwrap();
        let outside = host.link(&outside).unwrap().unwrap();
        for index in [link.index, outside.index] {
            host.set_link(index, &up).unwrap();
        }
    }
    fs::create_dir_all("/run/flannel").unwrap();
    let subnet = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_MTU=1450\n\
                  FLANNEL_IPMASQ=false\n";
    fs::write("/run/flannel/subnet.env", subnet).unwrap();
}

/// What a runtime gives to plugins that declare it.
fn capability_args() -> BTreeMap<String, Value> {
    let ports = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
    let rates = json!({"ingressRate": 8_000_000, "ingressBurst": 800_000,
        "egressRate": 8_000_000, "egressBurst": 800_000});
    [("portMappings", ports), ("bandwidth", rates)]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
}

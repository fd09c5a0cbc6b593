//! `podwire ls`: what a node has, and what does not belong together.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{fs, path::Path};

use cni::runtime::{Chain, NetworkConfig, RuntimeConf};
use kernel::NetNs;
use serde_json::{Value, json};
use support::{Node, sh, until_gone};

const CONFLIST: &str = r#"{"cniVersion": "1.0.0", "name": "podnet", "plugins": [{"type": "bridge",
    "isDefaultGateway": true, "ipMasq": true, "ipam": {"type": "host-local",
    "ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "fd22::/64"}]]}}]}"#;
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn conf(node: &Node, container: &str, netns: &str) -> RuntimeConf {
    RuntimeConf {
        container_id: container.to_owned(),
        netns: format!("/run/netns/{netns}"),
        cni_path: vec![node.bin_dir.clone()],
        ..RuntimeConf::default()
    }
}

/// A runtime attaches a pod; its host link.
fn attach(node: &Node, conflist: &str, container: &str, netns: &str) -> String {
    node.world.pod(netns);
    let chain = Chain::new(NetworkConfig::parse(conflist.as_bytes()).unwrap());
    let added = chain.add(&conf(node, container, netns)).unwrap();
    added.interfaces[1].name.clone()
}

fn ls(node: &Node, arguments: &[&str]) -> Value {
    let arguments = [&["ls", "--output", "json"], arguments].concat();
    let answer = node.podwire(&arguments).success();
    assert_eq!(answer.stderr, "");
    answer.json()
}

/// Of each attachment: container, whether it lives, problems.
fn verdicts(node: &Node) -> Value {
    let all = ls(node, &[]);
    let all = all.as_array().unwrap().iter();
    all.map(|one| json!([one["containerID"], one["living"], one["problems"]]))
        .collect()
}

#[test]
fn an_empty_node_has_nothing() {
    let Some(node) = Node::new() else { return };
    assert_eq!(ls(&node, &[]), json!([]));
    let heading = "NETWORK  CONTAINER  INTERFACE  ADDRESSES  LINKS  RULES  SINCE  STATE\n";
    assert_eq!(node.podwire(&["ls"]).success().stdout, heading);
}

#[test]
fn a_pod_is_a_line_with_all_that_it_has() {
    let Some(node) = Node::new() else { return };
    let link = attach(&node, CONFLIST, ID, "one");
    let all = ls(&node, &[]);
    let since = all[0]["since"].as_str().unwrap().to_owned();
    let expected = json!([{
        "network": "podnet", "containerID": ID, "ifname": "eth0",
        "netns": ["/run/netns/one"], "addresses": ["10.22.0.2", "fd22::2"],
        "reserved": ["10.22.0.2", "fd22::2"], "links": [link], "rules": ["masquerade"],
        "results": [format!("/var/lib/cni/results/podnet-{ID}-eth0")],
        "since": since, "living": true, "problems": [],
    }]);
    assert_eq!(all, expected);
    let table = |id: &str, columns: usize| {
        format!(
            "NETWORK  {:columns$}  INTERFACE  ADDRESSES          LINKS         RULES       SINCE                 STATE\n\
             podnet   {id}  eth0       10.22.0.2,fd22::2  {link}  masquerade  {since}  ok\n",
            "CONTAINER"
        )
    };
    assert_eq!(node.podwire(&["ls"]).success().stdout, table(&ID[..13], 13));
    assert_eq!(
        node.podwire(&["ls", "--no-trunc"]).success().stdout,
        table(ID, 64)
    );
    let checked = || {
        let bin_dir = node.bin_dir.to_str().unwrap();
        ls(&node, &["--check", "--bin-dir", bin_dir])[0]["problems"].to_string()
    };
    assert_eq!(checked(), "[]");
    sh("ip -n one link set eth0 down");
    assert!(checked().contains("eth0"), "{}", checked());
}

#[test]
fn what_does_not_belong_together_is_marked() {
    let Some(node) = Node::new() else { return };
    attach(&node, CONFLIST, "whole", "whole");
    let gone = "address, rules, cached result without a pod";
    for (container, damage, living, problem) in [
        ("deleted", "ip netns del deleted", false, gone),
        (
            "forgotten",
            "ip netns del forgotten; rm /var/lib/cni/results/*forgotten*",
            false,
            "address, rules without a pod",
        ),
        (
            "unreserved",
            "rm $(grep -l unreserved /var/lib/cni/networks/podnet/*)",
            true,
            "no address is reserved",
        ),
        (
            "unlinked",
            "ip -n unlinked link del eth0",
            true,
            "link VETH is missing",
        ),
        (
            "halved",
            "rm /var/lib/cni/networks/podnet/fd22::7",
            true,
            "fd22::7 is not reserved",
        ),
        (
            "taken",
            "printf 'other\r\neth0' > /var/lib/cni/networks/podnet/10.22.0.8",
            true,
            "10.22.0.8 is reserved for other/eth0",
        ),
        (
            "unfiltered",
            "for set in $(nft list sets | sed -n 's/.*set \\(pods[^ ]*\\) .*/\\1/p'); do \
             nft flush set inet podwire_masquerade $set; done",
            true,
            "masquerade is missing",
        ),
        (
            "idle",
            "nft flush chain inet podwire_masquerade postrouting",
            true,
            "masquerade is missing",
        ),
    ] {
        let link = attach(&node, CONFLIST, container, container);
        sh(damage);
        if damage.contains("link del") || damage.contains("netns del") {
            until_gone(&link);
        }
        let seen = verdicts(&node);
        let problem = problem.replace("VETH", &link);
        let mut seen = seen.as_array().unwrap().iter();
        let one = seen.find(|one| one[0] == container).unwrap();
        assert_eq!(one, &json!([container, living, [problem]]), "{damage}");
        if !damage.contains("nft") {
            let whole = seen.find(|one| one[0] == "whole").unwrap();
            assert_eq!(whole, &json!(["whole", true, []]), "{damage}");
        }
    }
}

/// The address is the only thing that tells of a pod whose runtime is not known and whose
/// plugin left no name on links.
#[test]
fn an_address_that_is_in_use_belongs_to_a_pod_that_lives() {
    let Some(node) = Node::new() else { return };
    let reserve = |address: &str, owner: &str| {
        let dir = Path::new("/var/lib/cni/networks/other");
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join(address), owner).unwrap();
    };
    node.world.pod("used");
    sh("ip -n used addr add 10.9.0.2/32 dev lo");
    reserve("10.9.0.2", "used\r\neth0");
    reserve("10.9.0.3", "leaked\r\neth0");
    reserve("10.9.0.4", "old");
    reserve("10.9.0.5", "");
    reserve("last_reserved_ip.0", "10.9.0.4");
    assert_eq!(
        verdicts(&node),
        json!([
            ["leaked", false, ["address without a pod"]],
            ["old", false, ["address without a pod"]],
            ["used", true, ["only its address is known"]],
        ])
    );
    NetNs::remove("/run/netns/used").unwrap();
    assert_eq!(
        verdicts(&node)[2],
        json!(["used", false, ["address without a pod"]])
    );
}

#[test]
fn other_places_are_looked_at_when_they_are_named() {
    let Some(node) = Node::new() else { return };
    let elsewhere = CONFLIST.replace("host-local\",", "host-local\", \"dataDir\": \"/run/data\",");
    node.world.pod("one");
    let chain = Chain::new(NetworkConfig::parse(elsewhere.as_bytes()).unwrap());
    let conf = RuntimeConf {
        cache_dir: "/run/cache".into(),
        ..conf(&node, "one", "one")
    };
    chain.add(&conf).unwrap();
    let reserved = |arguments: &[&str]| ls(&node, arguments)[0]["reserved"].clone();
    let both = json!(["10.22.0.2", "fd22::2"]);
    assert_eq!(reserved(&[]), json!([]));
    assert_eq!(reserved(&["--data-dir", "/run/data"]), both);
    // The configuration says it too: that of the cached result, that of today.
    assert_eq!(reserved(&["--cache-dir", "/run/cache"]), both);
    fs::create_dir("/run/conf").unwrap();
    fs::write("/run/conf/10-podnet.conflist", &elsewhere).unwrap();
    assert_eq!(reserved(&["--conf-dir", "/run/conf"]), both);
}

#[test]
fn a_reservation_that_cannot_be_read_hides_no_other() {
    let Some(node) = Node::new() else { return };
    attach(&node, CONFLIST, "whole", "whole");
    let path = "/var/lib/cni/networks/podnet/10.22.0.9";
    sh(&format!(
        "mkfifo {path}; printf '../x\\033[31m\r\neth0' > {path}9"
    ));
    let told = format!("cannot read {path}: it is a FIFO, not a regular file");
    let answer = node.podwire(&["ls", "--output", "json"]);
    assert_eq!(answer.exit, Some(1));
    assert_eq!(answer.stderr, format!("podwire: {told}\n"));
    let all = answer.json();
    let states = [0, 1, 2].map(|index| all[index]["problems"].clone());
    let gone = json!(["address without a pod"]);
    assert_eq!(states, [json!([told]), gone, json!([])]);
    let bin_dir = node.bin_dir.to_str().unwrap();
    let answer = node.podwire(&["gc", "--yes", "--bin-dir", bin_dir]);
    assert_eq!(answer.stderr, "podwire: 2 of 2 attachments stay\n");
    let by_hand =
        |path: &str| format!("no: no plugin can be told whose it is; remove {path} by hand");
    let lines: Vec<&str> = answer.stdout.lines().skip(1).collect();
    assert!(lines[0].ends_with(&by_hand(path)), "{lines:?}");
    assert!(lines[1].contains("  ../x\\u{1b}[31m  "), "{lines:?}");
    assert!(
        lines[1].ends_with(&by_hand(&format!("{path}9"))),
        "{lines:?}"
    );
}

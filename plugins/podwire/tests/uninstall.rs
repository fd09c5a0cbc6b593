//! `podwire uninstall`: everything of podwire's goes, nothing of anybody else's, and nothing that a
//! pod needs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{fs, os::unix::net::UnixListener, path::Path};

use cni::runtime::{Chain, NetworkConfig, RuntimeConf};
use kernel::{
    Family, NetNs,
    iptables::{Jump, Position, ensure_chain},
};
use support::{Answer, Node, end, sh};

const CONFLIST: &str = r#"{"cniVersion": "1.0.0", "name": "podnet", "plugins": [{"type": "bridge",
    "isDefaultGateway": true, "ipMasq": true, "ipam": {"type": "host-local",
    "ranges": [[{"subnet": "10.22.0.0/24"}]]}}]}"#;

fn chain() -> Chain {
    Chain::new(NetworkConfig::parse(CONFLIST.as_bytes()).unwrap())
}

fn conf(node: &Node, container: &str) -> RuntimeConf {
    RuntimeConf {
        container_id: container.to_owned(),
        netns: format!("/run/netns/{container}"),
        cni_path: vec![node.bin_dir.clone()],
        ..RuntimeConf::default()
    }
}

/// A network that is configured, and a pod that is attached to it; its host link.
fn attach(node: &Node, container: &str) -> String {
    fs::create_dir_all("/etc/cni/net.d").unwrap();
    fs::write("/etc/cni/net.d/10-podnet.conflist", CONFLIST).unwrap();
    node.world.pod(container);
    let added = chain().add(&conf(node, container)).unwrap();
    added.interfaces[1].name.clone()
}

fn detach(node: &Node, container: &str) {
    chain().del(&conf(node, container)).unwrap();
}

fn uninstall(node: &Node, arguments: &[&str]) -> Answer {
    let bin_dir = node.bin_dir.to_str().unwrap();
    node.podwire(&[&["uninstall", "--bin-dir", bin_dir], arguments].concat())
}

/// Files, links, routes and packet-filter rules.
fn everything(node: &Node) -> String {
    let bin_dir = node.bin_dir.display();
    sh(&format!(
        "find /var/lib/cni /run/podwire /run/flannel {bin_dir} 2>/dev/null | sort || true; \
         ip -br link | cut -d ' ' -f 1; ip route | sed 's, linkdown,,'; nft list ruleset"
    ))
}

#[test]
fn everything_goes_when_it_is_asked_for_and_nothing_else() {
    let Some(node) = Node::new() else { return };
    fs::write(node.bin_dir.join("other"), "a program").unwrap();
    fs::write(node.bin_dir.join("empty"), "").unwrap();
    sh(
        "nft add table inet others; ip link add mybr type bridge; mkdir -p /var/lib/cni/cache; \
        echo > /var/lib/cni/cache/kept",
    );
    attach(&node, "detached");
    let link = attach(&node, "gone");
    detach(&node, "detached");
    end("gone", &link);
    // As the bridge plugin makes the gateway of a VLAN.
    sh("ip link add cni0.5 type veth peer name gateway5; ip link set gateway5 master cni0");
    let before = everything(&node);
    let shown = uninstall(&node, &[]).success().stdout;
    assert_eq!(everything(&node), before);
    let bin = node.bin_dir.to_str().unwrap();
    for part in [
        "attachment podnet/gone/eth0 (address 10.22.0.3, rules of masquerade, cached result)",
        "nftables table inet podwire_masquerade",
        "VLAN gateway cni0.5",
        "bridge cni0",
        "/var/lib/cni/networks/podnet",
        "/run/podwire",
        &format!("{bin}/bridge"),
        &format!("{bin}/flannel"),
        &format!("{bin}/podwire"),
    ] {
        assert!(
            shown.contains(&format!("{part}: would go\n")),
            "{part}: {shown}"
        );
    }
    assert!(
        shown.ends_with("configurations of networks: stay (podnet)\n"),
        "{shown}"
    );
    let removed = uninstall(&node, &["--yes"]).success().stdout;
    assert_eq!(removed, shown.replace(": would go\n", ": removed\n"));
    let after = everything(&node);
    let left = format!(
        "{bin}\n{bin}/empty\n{bin}/other\n/var/lib/cni\n/var/lib/cni/cache\n/var/lib/cni/cache/kept\n\
         /var/lib/cni/results\nlo\nmybr\ntable inet others {{\n}}\n"
    );
    assert_eq!(after, left);
    assert!(Path::new("/etc/cni/net.d/10-podnet.conflist").exists());
    let again = uninstall(&node, &["--yes"]).success();
    assert_eq!(again.stdout, "configurations of networks: stay (podnet)\n");
    let answer = node.podwire(&["uninstall", "--bin-dir", "/nope"]).success();
    let told = "executables: none, there is no directory /nope\n";
    assert!(answer.stdout.starts_with(told), "{}", answer.stdout);
}

/// A pod of a node's usual plugins comes and goes; what happens meanwhile.
fn use_rules(node: &Node, meanwhile: &str) {
    let chain = support::chain::Chain::of_a_node();
    let pod = support::chain::Pod {
        container: "one".to_owned(),
        netns: "/run/netns/one".to_owned(),
        port: 8080,
    };
    node.world.pod("one");
    let result = chain.add(node, &pod).unwrap();
    sh(meanwhile);
    assert_eq!(chain.del(node, &pod, Some(&result)), []);
    NetNs::remove(&pod.netns).unwrap();
}

fn rules() -> String {
    sh("nft list ruleset; iptables-save | grep ^-A || true; ip6tables-save | grep ^-A || true")
}

#[test]
fn nothing_is_left_of_the_packet_filter_that_podwire_made() {
    let Some(node) = Node::new() else { return };
    use_rules(&node, "true");
    assert!(rules().contains("FORWARD"), "{}", rules());
    uninstall(&node, &["--yes"]).success();
    assert_eq!(sh("nft list ruleset"), "");
    assert!(!Path::new("/run/cni/tuning").exists());
    sh("mkdir -p /run/cni/tuning; echo > /run/cni/tuning/another_eth0.json");
    uninstall(&node, &["--yes"]).success();
    assert!(Path::new("/run/cni/tuning/another_eth0.json").exists());
}

/// What was there before, or what somebody put there meanwhile, and what of it must be there then.
#[test]
fn what_others_have_in_the_packet_filter_stays() {
    const ADMIN: &str = "iptables -N CNI-ADMIN; iptables -A CNI-ADMIN -s 10.9.0.0/16 -j DROP";
    for before in [
        "iptables -A FORWARD -s 10.9.0.0/16 -j DROP",
        "iptables -P FORWARD DROP",
        "iptables -N CNI-ADMIN",
        ADMIN,
        "nft add table ip6 filter",
        "nft add table ip filter; nft add chain ip filter FORWARD '{ type filter hook forward priority 0; }'",
    ] {
        let Some(node) = Node::new() else { return };
        sh(before);
        let expected = rules();
        use_rules(&node, "true");
        uninstall(&node, &["--yes"]).success();
        assert_eq!(rules(), expected, "{before}");
    }
    for (meanwhile, stays) in [
        (
            "iptables -A CNI-ADMIN -s 10.9.0.0/16 -j DROP",
            &["chain CNI-ADMIN {", "10.9.0.0/16"][..],
        ),
        (
            "iptables -P FORWARD DROP",
            &["chain FORWARD {", "policy drop"],
        ),
        (
            "iptables -A FORWARD -j CNI-ADMIN",
            &["chain FORWARD {", "chain CNI-ADMIN {"],
        ),
        (
            "iptables -N MINE; iptables -A MINE -j CNI-ADMIN",
            &["chain MINE {", "chain CNI-ADMIN {"],
        ),
        (
            "nft add set ip6 filter mine '{ type ipv6_addr; }'",
            &["table ip6 filter {", "set mine {"],
        ),
        (
            "nft add counter ip filter mine",
            &["table ip filter {", "counter mine {"],
        ),
    ] {
        let Some(node) = Node::new() else { return };
        use_rules(&node, meanwhile);
        uninstall(&node, &["--yes"]).success();
        let left = rules();
        assert!(
            !left.to_lowercase().contains("podwire-"),
            "{meanwhile}: {left}"
        );
        for text in stays {
            assert!(left.contains(text), "{meanwhile}: {left}");
        }
    }
}

#[test]
fn pods_that_live_keep_what_they_need() {
    let Some(node) = Node::new() else { return };
    attach(&node, "living");
    let before = everything(&node);
    let refused = uninstall(&node, &["--yes"]);
    assert_eq!(
        (
            refused.exit,
            refused.stdout.as_str(),
            refused.stderr.as_str()
        ),
        (
            Some(1),
            "",
            "podwire: attached: podnet/living/eth0; detach them first, or --force removes what they do not need\n"
        )
    );
    assert_eq!(everything(&node), before);
    uninstall(&node, &["--yes", "--force"]).success();
    let after = everything(&node);
    let bin = node.bin_dir.to_str().unwrap();
    let is_executable = |line: &&str| line.starts_with(&format!("{bin}/"));
    let rest: Vec<&str> = before.lines().filter(|line| !is_executable(line)).collect();
    assert_eq!(after.lines().collect::<Vec<_>>(), rest);
}

#[test]
fn what_netd_left_goes_where_it_is_asked_for() {
    let Some(node) = Node::new() else { return };
    sh(
        "ip link set lo up; ip route add 10.244.9.0/24 dev lo proto 112; ip route add 10.9.0.0/24 dev lo; \
        ip -6 route add fd00:244::/64 dev lo proto 112; ip link add flannel.1 type vxlan id 1 dstport 8472 dev lo; \
        ip link add vxlan7 type vxlan id 7 dstport 8473 dev lo; mkdir -p /run/flannel; echo > /run/flannel/subnet.env; \
        iptables -t nat -N FLANNEL-POSTRTG; iptables -t nat -A POSTROUTING -j FLANNEL-POSTRTG; \
        iptables -N FLANNEL-FWD; iptables -A FORWARD -j FLANNEL-FWD; ip6tables -N FLANNEL-FWD; \
        ip6tables -A FORWARD -j FLANNEL-FWD; iptables -N OTHERS; \
        nft add table ip flannel-ipv4; nft add table ip6 flannel-ipv6; nft add chain ip6 flannel-ipv6 forward; \
        ip route add blackhole 10.244.9.0/24 proto 112 metric 4294967295; \
        ip -6 route add blackhole fd00:244::/64 proto 112 metric 4294967295",
    );
    fs::create_dir_all("/run/podwire").unwrap();
    let listener = UnixListener::bind("/run/podwire/netd.sock").unwrap();
    let refused = uninstall(&node, &["--netd", "--yes"]);
    assert_eq!(
        refused.stderr,
        "podwire: cannot remove what netd left while netd runs: stop it first: it would make again what is removed\n"
    );
    // Without it netd's is left alone, also while it runs.
    uninstall(&node, &["--yes"]).success();
    let seen = everything(&node);
    for kept in [
        "netd.sock",
        "flannel.1",
        "10.244.9.0/24",
        "subnet.env",
        "FLANNEL-FWD",
    ] {
        assert!(seen.contains(kept), "{kept}: {seen}");
    }
    drop(listener);
    uninstall(&node, &["--netd", "--yes"]).success();
    let seen = everything(&node);
    for gone in ["podwire", "flannel", "FLANNEL", "10.244.9.0/24"] {
        assert!(!seen.contains(gone), "{gone}: {seen}");
    }
    assert_eq!(sh("ip -6 route show proto 112"), "");
    for kept in ["vxlan7", "10.9.0.0/24", "OTHERS"] {
        assert!(seen.contains(kept), "{kept}: {seen}");
    }
}

/// iptables itself keeps a table that it has needed once.
#[test]
fn tables_that_were_made_for_iptables_go_when_they_are_empty() {
    let Some(node) = Node::new() else { return };
    sh("nft add table ip6 nat");
    for (family, table, chain, from) in [
        (Family::V4, "nat", "FLANNEL-POSTRTG", "POSTROUTING"),
        (Family::V6, "nat", "FLANNEL-POSTRTG", "POSTROUTING"),
        (Family::V4, "filter", "FLANNEL-FWD", "FORWARD"),
    ] {
        let jump = Jump {
            from,
            position: Position::Last,
            comment: None,
        };
        let rules = ["-j ACCEPT".to_owned()];
        assert!(ensure_chain(family, table, chain, &rules, &jump).unwrap());
    }
    // Pods' rules are in the same tables.
    use_rules(&node, "true");
    uninstall(&node, &["--yes"]).success();
    let left = sh("nft list tables");
    assert_eq!(left, "table ip6 nat\ntable ip nat\ntable ip filter\n");
    uninstall(&node, &["--netd", "--yes"]).success();
    assert_eq!(sh("nft list tables"), "table ip6 nat\n", "somebody else's");
}

#[test]
fn what_cannot_go_is_told_and_stops_nothing() {
    let Some(node) = Node::new() else { return };
    attach(&node, "one");
    detach(&node, "one");
    sh("mkdir -p /var/lib/cni/networks/podnet/mounted; \
        mount -t tmpfs none /var/lib/cni/networks/podnet/mounted");
    let answer = uninstall(&node, &["--yes"]);
    assert_eq!(answer.exit, Some(1));
    assert!(
        answer
            .stdout
            .contains("/var/lib/cni/networks/podnet: stays: "),
        "{}",
        answer.stdout
    );
    assert_eq!(
        answer.stderr,
        "podwire: 1 things stay; call podwire again when they can go\n"
    );
    assert!(!node.plugin("bridge").exists());
    sh("umount /var/lib/cni/networks/podnet/mounted");
}

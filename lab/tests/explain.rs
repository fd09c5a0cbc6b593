//! `lab explain` names the hop that breaks.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::process::Command;

use common::{TestLab, signal_pid};

/// A lab with pods `a` and `c` on `n1`, `b` on `n2`.
fn lab(backend: &str) -> Option<TestLab> {
    let lab = TestLab::new()?;
    lab.ok(&["up", "--nodes", "2", "--backend", backend]);
    for (pod, node) in [("a", "n1"), ("b", "n2"), ("c", "n1")] {
        let run = ["run", pod, "--node", node, "--", "sleep", "600"];
        lab.ok(&run);
    }
    Some(lab)
}

/// The process that holds a node's namespaces.
fn holder(lab: &TestLab, node: &str) -> u32 {
    let text = std::fs::read(lab.dir().join("nodes").join(node).join("node.json")).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&text).unwrap();
    serde_json::from_value(state["holder"]["pid"].clone()).unwrap()
}

/// Runs a script in the network of a node.
#[allow(
    clippy::disallowed_methods,
    reason = "somebody else who changes the node"
)]
fn on(lab: &TestLab, node: &str, script: &str) -> String {
    let output = Command::new("nsenter")
        .args(["--net", "--target", &holder(lab, node).to_string()])
        .args(["sh", "-ec", script])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{node}: {script}: {errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What is said of the way from pod `a` to an address that nobody reaches.
fn breaks(lab: &TestLab, to: &str) -> String {
    let output = lab.run(&["explain", "a", to]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}{errors}");
    text.lines().last().unwrap().to_owned()
}

#[test]
fn what_is_well_is_followed_to_its_end() {
    for (backend, hop) in [
        ("vxlan", "FDB of flannel.1: "),
        ("host-gw", "neighbour 192.168.50.2 on eth0: "),
    ] {
        let Some(lab) = lab(backend) else { return };
        let there = lab.ok(&["explain", "a", "pod/b"]);
        assert!(there.contains(hop), "{there}");
        assert!(there.contains("pod b    eth0 has "), "{there}");
        assert!(there.contains(" and come back"), "{there}");
        let beside = lab.ok(&["explain", "a", &lab.address("c")]);
        assert!(
            beside.contains("cni0 has ") && beside.contains("pod c  "),
            "{beside}"
        );
        let own = lab.ok(&["explain", "a", &lab.address("a")]);
        assert!(own.contains("is an address of its own"), "{own}");
        let hops = lab.json(&["explain", "a", &lab.address("b")]);
        assert_eq!(hops[0]["at"], "pod a");
        assert!(
            hops.as_array()
                .unwrap()
                .iter()
                .all(|hop| hop["fault"].is_null())
        );
        assert_eq!(on(&lab, "n1", "nft list tables | grep explain || true"), "");
        if backend == "vxlan" {
            the_labs_own_fault_is_named(&lab);
        }
        lab.ok(&["down"]);
        lab.assert_nothing_left();
    }
}

fn the_labs_own_fault_is_named(lab: &TestLab) {
    lab.ok(&["fault", "partition", "n1", "n2"]);
    let said = breaks(lab, "b");
    let mend = "In force is fault partition of n1 and n2, which `lab fault heal n1 n2` ends; else ";
    assert!(said.contains(mend), "{said}");
}

#[test]
fn the_hop_that_breaks_is_named() {
    let Some(lab) = lab("vxlan") else { return };
    for process in lab.json(&["ps"])["processes"].as_array().unwrap() {
        if process["kind"] == "netd" {
            // It would mend what is broken here.
            let pid = process["pid"].as_u64().unwrap();
            signal_pid(u32::try_from(pid).unwrap(), "KILL");
        }
    }
    let b = lab.address("b");
    let tunnel = on(&lab, "n1", "ip route show dev flannel.1") + " dev flannel.1";
    let end = tunnel.split('/').next().unwrap();
    let mac = on(
        &lab,
        "n1",
        &format!("ip neigh show to {end} dev flannel.1 | cut -d' ' -f3"),
    );
    let port = on(&lab, "n2", "ip -br link show master cni0 | cut -d@ -f1");
    for (node, damage, mending, at, says) in [
        ("n1", "ip link set cni0 down".to_owned(), "ip link set cni0 up".to_owned(), "node n1", "cni0 is down"),
        ("n1", format!("ip route del {end}/24"), format!("ip route add {tunnel}"), "pod a", "nobody can look further than node n1: it goes to 192.168.50."),
        (
            "n1",
            format!("ip neigh del {end} dev flannel.1"),
            format!("ip neigh replace {end} lladdr {mac} dev flannel.1 nud permanent"),
            "node n1",
            "nobody answers",
        ),
        (
            "n1",
            format!("bridge fdb del {mac} dev flannel.1 dst 192.168.50.2"),
            format!("bridge fdb add {mac} dev flannel.1 dst 192.168.50.2 self permanent"),
            "node n1",
            "FDB of flannel.1 has no ",
        ),
        (
            "n1",
            "echo 0 >/proc/sys/net/ipv4/ip_forward".to_owned(),
            "echo 1 >/proc/sys/net/ipv4/ip_forward".to_owned(),
            "node n1",
            "net.ipv4.ip_forward is 0",
        ),
        (
            "n2",
            format!("nft 'add table ip t; add chain ip t f {{ type filter hook forward priority 0; }}; add rule ip t f ip daddr {b} drop'"),
            "nft delete table ip t".to_owned(),
            "node n2",
            "the packet filter drops it: ip t f rule",
        ),
        ("n2", format!("ip link set {port} down"), format!("ip link set {port} up"), "node n2", "cni0 has no carrier. In force is fault stopped of n1, which `lab node start n1` ends"),
        (
            "n2",
            "nft 'add table ip t; add chain ip t i { type filter hook input priority 0; }; add rule ip t i udp dport 8472 meta length > 1400 drop'".to_owned(),
            "nft delete table ip t".to_owned(),
            "pod a",
            "packets of 1450 bytes get lost",
        ),
    ] {
        on(&lab, node, &damage);
        let said = breaks(&lab, &b);
        assert!(said.starts_with(&format!("it breaks at {at}: ")), "{damage}: {said}");
        assert!(said.contains(says), "{damage}: {said}");
        on(&lab, node, &mending);
    }
    lab.ok(&["explain", "a", &b]);
    // The bridge has another port still; a node takes pods while its netd runs.
    lab.ok(&["node", "start", "n2"]);
    let run = ["run", "d", "--node", "n2", "--", "sleep", "600"];
    lab.ok(&run);
    lab.ok(&["delete", "pod", "b"]);
    // The node may know the hardware address for a while.
    let gone = breaks(&lab, &b);
    let says = ["nobody answers", "no pod that is known here has"];
    assert!(
        gone.contains("node n2") && says.iter().any(|words| gone.contains(words)),
        "{gone}"
    );
    let nowhere = lab.fails(1, &["explain", "e", &b]);
    assert!(nowhere.contains("there is no pod \"e\""), "{nowhere}");
    signal_pid(holder(&lab, "n2"), "KILL");
    for arguments in [
        &["node", "start", "n2"][..],
        &["run", "f", "--node", "n2", "--", "true"],
        &["explain", "a", "c"],
    ] {
        let ended = lab.fails(1, arguments);
        assert!(
            ended.contains("node n2 has ended"),
            "{arguments:?}: {ended}"
        );
    }
}

/// Without a lab: the machine that it runs on is the node.
#[test]
#[allow(clippy::disallowed_methods, reason = "the test's own network")]
fn a_pod_of_this_machine_is_followed_by_its_path() {
    let Some(lab) = TestLab::new() else { return };
    let script = "ip link add br0 type bridge; ip addr add 10.9.0.1/24 dev br0; ip link set br0 up
        for n in 2 3; do
            ip netns add p$n; ip link add v$n type veth peer name eth0 netns p$n
            ip link set v$n master br0 up; ip -n p$n addr add 10.9.0.$n/24 dev eth0
            ip -n p$n link set eth0 up; ip -n p$n route add default via 10.9.0.1
        done";
    let made = Command::new("sh").args(["-ec", script]).status().unwrap();
    assert!(made.success());
    let beside = lab.ok(&["explain", "/run/netns/p2", "10.9.0.3"]);
    assert!(beside.contains("pod p3     eth0 has 10.9.0.3"), "{beside}");
    let node = lab.ok(&["explain", "/run/netns/p2", "10.9.0.1"]);
    assert!(node.contains("10.9.0.1 is an address of its own"), "{node}");
    let away = lab.run(&["explain", "/run/netns/p2", "192.0.2.1"]);
    let away = String::from_utf8_lossy(&away.stdout).into_owned();
    assert!(away.contains("it breaks at this node: "), "{away}");
    let none = lab.fails(1, &["explain", "/run/netns/p4", "10.9.0.1"]);
    assert!(none.contains("/run/netns/p4"), "{none}");
}

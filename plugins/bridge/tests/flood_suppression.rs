//! `suppressFlooding`: who reaches whom, what still arrives at a pod, and what is left.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(unreachable_pub, reason = "one module for several test programs")]
mod support;

use serde_json::Value;
use support::{Host, sh, succeeds, with_prev_result};

/// Three pods, and no more: a fourth gets the address of one that left.
const QUIET: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "bridge", "isDefaultGateway": true, "suppressFlooding": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.22.0.0/24", "rangeEnd": "10.22.0.4"}], [{"subnet": "2001:db8:22::/64", "rangeEnd": "2001:db8:22::4"}]]}}"#;
const FAMILIES: [&str; 2] = ["10.22.0.", "2001:db8:22::"];

fn loud() -> String {
    QUIET.replace("\"suppressFlooding\": true, ", "")
}

/// Attaches a pod of this name.
fn attach(host: &Host, config: &str, pod: &str) -> Value {
    let netns = format!("/run/netns/{pod}");
    host.add_with(config, &[("CNI_CONTAINERID", pod), ("CNI_NETNS", &netns)])
}

/// Attaches a pod of this name with a MAC address that the runtime asks for, DEL need not.
fn attach_with_mac(host: &Host, pod: &str, mac: &str) -> Value {
    let netns = format!("/run/netns/{pod}");
    let args = format!("IgnoreUnknown=1;MAC={mac}");
    let vars = [
        ("CNI_CONTAINERID", pod),
        ("CNI_NETNS", &netns),
        ("CNI_ARGS", &args),
    ];
    host.add_with(QUIET, &vars)
}

fn detach(host: &Host, config: &str, pod: &str) {
    let netns = format!("/run/netns/{pod}");
    host.succeed_with(
        "DEL",
        config,
        &[("CNI_CONTAINERID", pod), ("CNI_NETNS", &netns)],
    );
}

/// `a` and `b` without flooding, `old` from before the option; addresses end in 2, 3 and 4.
fn three_pods() -> Option<Host> {
    let host = Host::new()?;
    for pod in ["old", "a", "b"] {
        host.world.pod(pod);
    }
    attach(&host, &loud(), "old");
    attach(&host, QUIET, "a");
    attach(&host, QUIET, "b");
    Some(host)
}

fn reaches(pod: &str, address: &str) -> bool {
    succeeds(&format!(
        "ip netns exec {pod} ping -c 1 -i 0.2 -w 5 {address}"
    ))
}

fn mac(pod: &str) -> String {
    sh(&format!(
        "ip netns exec {pod} cat /sys/class/net/eth0/address"
    ))
    .trim()
    .to_owned()
}

fn received(pod: &str) -> u64 {
    let file = "/sys/class/net/eth0/statistics/rx_packets";
    let text = sh(&format!("ip netns exec {pod} cat {file}"));
    text.trim().parse().unwrap()
}

/// Counts what arrives at the pod with the MAC address of one of `senders`; what the host itself sends
/// is flooded whatever the ports' flags.
fn count_frames(pod: &str, senders: &[&str]) {
    let macs: Vec<String> = senders.iter().map(|sender| mac(sender)).collect();
    let macs = macs.join(", ");
    sh(&format!(
        "ip netns exec {pod} nft 'add table netdev count
        add chain netdev count in {{ type filter hook ingress device eth0 priority 0; }}
        add rule netdev count in ether saddr {{ {macs} }} counter'"
    ));
}

fn counted(pod: &str) -> u64 {
    let rules = sh(&format!("ip netns exec {pod} nft list table netdev count"));
    let mut words = rules
        .split_whitespace()
        .skip_while(|word| *word != "packets");
    words.nth(1).unwrap().parse().unwrap()
}

fn permanent_neighbours() -> String {
    sh("ip neigh show nud permanent")
}

/// What the pod has asked its neighbours so far, the questions of duplicate address detection included.
fn solicitations(pod: &str) -> String {
    sh(&format!(
        "ip netns exec {pod} awk '$1 == \"Icmp6OutNeighborSolicits\" {{ print $2 }}' /proc/net/snmp6"
    ))
}

#[test]
fn pods_of_both_manners_and_the_host_reach_each_other() {
    let Some(_host) = three_pods() else { return };
    for pod in ["old", "a", "b"] {
        assert_eq!(solicitations(pod), "0\n", "{pod} looked for duplicates");
    }
    for round in ["at first", "after their caches were flushed"] {
        for family in FAMILIES {
            for (from, to) in [
                ("a", 1),
                ("a", 2),
                ("a", 4),
                ("b", 2),
                ("b", 3),
                ("old", 1),
                ("old", 3),
                ("old", 4),
            ] {
                let address = format!("{family}{to}");
                assert!(reaches(from, &address), "{from} {address} {round}");
            }
            for to in 2..=4 {
                assert!(
                    succeeds(&format!("ping -c 1 -w 5 {family}{to}")),
                    "host {family}{to} {round}"
                );
            }
        }
        sh("for pod in old a b; do ip -n $pod neigh flush all; done; ip neigh flush all");
    }
}

/// Routes name the pod's own addresses, which the kernel looks for duplicates of here.
#[test]
fn a_namespace_may_ask_for_duplicate_address_detection() {
    let Some(host) = Host::new() else { return };
    host.world.pod("a");
    sh("ip netns exec a sysctl -qw net.ipv6.conf.all.accept_dad=1");
    attach(&host, QUIET, "a");
    for family in FAMILIES {
        assert!(reaches("a", &format!("{family}1")));
    }
}

#[test]
fn nothing_for_others_arrives() {
    let Some(_host) = three_pods() else { return };
    count_frames("b", &["a", "old"]);
    count_frames("old", &["a"]);
    // Questions, announcements, all nodes.
    sh("ip -n a neigh flush all
        ip netns exec old ping -c 1 -W 1 10.22.0.77 || true
        ip netns exec old ping -c 1 -W 1 2001:db8:22::77 || true
        ip netns exec a ping -c 1 -W 1 ff02::1%eth0 || true
        ip netns exec old ping -c 1 -W 1 -b 10.22.0.255 || true
        mac=$(ip netns exec a cat /sys/class/net/eth0/address)
        ip -n a link set eth0 address $mac");
    assert_eq!(counted("b"), 0);
    assert!(counted("old") > 2, "no frame was flooded at all");
}

#[test]
fn nobody_takes_a_pods_address() {
    let Some(_host) = three_pods() else { return };
    let (victim, own) = (mac("b"), mac("a"));
    // Its addresses, announced.
    sh(&format!(
        "ip -n a addr add 10.22.0.4/32 dev eth0; ip -n a addr add 2001:db8:22::4/128 dev eth0 nodad
         ip -n a link set eth0 address {own}"
    ));
    let before = received("b");
    for family in FAMILIES {
        assert!(succeeds(&format!("ping -c 1 -w 5 {family}4")));
    }
    assert!(received("b") >= before + 2, "another answered");
    // Its MAC address as the source of frames.
    sh(&format!(
        "ip -n a addr del 10.22.0.4/32 dev eth0; ip -n a addr del 2001:db8:22::4/128 dev eth0
         ip -n a link set eth0 address {victim}
         ip netns exec a ping -c 1 -W 1 10.22.0.1 || true
         ip -n a link set eth0 address {own}"
    ));
    let before = received("b");
    assert!(succeeds("ping -c 1 -w 5 10.22.0.4"));
    assert!(received("b") > before, "the bridge sent it elsewhere");
}

/// What is announced does not reach pods without flooding; they need not know.
#[test]
fn an_address_that_changes_hands_is_reached_at_once() {
    let Some(host) = three_pods() else { return };
    for pod in ["a", "old"] {
        for family in FAMILIES {
            assert!(reaches(pod, &format!("{family}4")));
        }
    }
    let former = mac("b");
    host.world.pod("c");
    detach(&host, QUIET, "b");
    let result = attach(&host, QUIET, "c");
    assert_eq!(result["ips"][0]["address"], "10.22.0.4/24");
    assert_ne!(mac("c"), former);
    for pod in ["a", "old"] {
        for family in FAMILIES {
            let once = format!("ip netns exec {pod} ping -c 1 -W 10 {family}4");
            assert!(succeeds(&once), "{pod} {family}4");
        }
    }
    assert!(succeeds("ping -c 1 -W 10 10.22.0.4"));
}

#[test]
fn del_needs_neither_the_pod_nor_its_result() {
    let Some(host) = three_pods() else { return };
    sh("ip neigh add 10.22.0.200 lladdr c2:11:22:00:00:77 dev cni0 nud permanent");
    sh("ip netns del b");
    detach(&host, QUIET, "b");
    let neighbours = permanent_neighbours();
    assert!(!neighbours.contains("10.22.0.4") && !neighbours.contains("22::4"));
    // Again, when another has the address.
    host.world.pod("c");
    attach(&host, QUIET, "c");
    let before = permanent_neighbours();
    assert!(before.contains("10.22.0.4") && before.contains("22::4"));
    detach(&host, QUIET, "b");
    assert_eq!(permanent_neighbours(), before);
}

/// The operator may have switched the option off meanwhile, or written what cannot be read.
#[test]
fn del_and_gc_need_no_option() {
    for config in [loud(), QUIET.replace("\"ipam\"", "\"args\": 7, \"ipam\"")] {
        let Some(host) = three_pods() else { return };
        assert_eq!(permanent_neighbours().lines().count(), 4);
        detach(&host, &config, "b");
        let left = permanent_neighbours();
        assert_eq!(left.lines().count(), 2, "{config}: {left}");
        assert!(!left.contains("10.22.0.4") && !left.contains("22::4"));
        let none = r#""cni.dev/valid-attachments": [], "name""#;
        host.succeed("GC", &config.replace("\"name\"", none));
        assert_eq!(permanent_neighbours(), "", "{config}");
    }
}

#[test]
fn del_finds_the_neighbours_of_a_pod_whose_mac_was_asked_for() {
    const MAC: &str = "c2:11:22:33:44:55";
    let Some(host) = Host::new() else { return };
    host.world.pod("b");
    attach_with_mac(&host, "b", MAC);
    assert_eq!(permanent_neighbours().matches(MAC).count(), 2);
    detach(&host, QUIET, "b");
    assert_eq!(permanent_neighbours(), "");
    // By the result, where the pair is gone.
    let added = with_prev_result(QUIET, &attach_with_mac(&host, "b", MAC));
    sh("ip netns del b");
    assert_eq!(permanent_neighbours().matches(MAC).count(), 2);
    detach(&host, &added, "b");
    assert_eq!(permanent_neighbours(), "");
    // Again, when another has the MAC address.
    host.world.pod("c");
    attach_with_mac(&host, "c", MAC);
    detach(&host, &added, "b");
    assert_eq!(permanent_neighbours().matches(MAC).count(), 2);
}

/// The host tells who sends to a pod by its gateway that the pod is on the same link, and the sender
/// would then go past the host, without hearing of whoever gets the address next.
#[test]
fn a_flooded_pods_address_that_changes_hands_is_reached_at_once() {
    let Some(host) = three_pods() else { return };
    for family in FAMILIES {
        assert!(succeeds(&format!(
            "ip netns exec a ping -c 5 -i 0.2 -w 5 {family}2"
        )));
    }
    let former = mac("old");
    host.world.pod("c");
    detach(&host, &loud(), "old");
    let result = attach(&host, &loud(), "c");
    assert_eq!(result["ips"][0]["address"], "10.22.0.2/24");
    assert_ne!(mac("c"), former);
    for family in FAMILIES {
        let once = format!("ip netns exec a ping -c 1 -W 10 {family}2");
        assert!(succeeds(&once), "{family}2");
    }
}

#[test]
fn gc_removes_neighbours_whose_pods_are_gone() {
    let Some(host) = three_pods() else { return };
    let operators = "10.22.0.200 dev cni0 lladdr c2:11:22:00:00:77";
    sh("ip neigh add 10.22.0.200 lladdr c2:11:22:00:00:77 dev cni0 nud permanent");
    let port = sh("bridge fdb show br cni0 | awk '/static/ { print $3 }' | head -1");
    sh(&format!("ip link del {port}"));
    assert_eq!(permanent_neighbours().lines().count(), 5);
    let valid = r#""cni.dev/valid-attachments": [{"containerID": "a", "ifname": "eth0"}, {"containerID": "b", "ifname": "eth0"}, {"containerID": "old", "ifname": "eth0"}], "name""#;
    host.succeed("GC", &QUIET.replace("\"name\"", valid));
    let left = permanent_neighbours();
    assert_eq!(left.lines().count(), 3, "{left}");
    assert!(left.contains(operators), "{left}");
    let none = r#""cni.dev/valid-attachments": [], "name""#;
    host.succeed("GC", &QUIET.replace("\"name\"", none));
    let left = permanent_neighbours();
    assert_eq!(left.lines().count(), 1, "{left}");
}

#[test]
fn check_names_what_floods_or_is_not_known() {
    let Some(host) = Host::new() else { return };
    let added = with_prev_result(QUIET, &host.add(QUIET));
    host.succeed("CHECK", &added);
    let port = sh("ip -o link show master cni0 | cut -d' ' -f2 | cut -d@ -f1");
    let (port, mac) = (port.trim(), mac("pod"));
    let flag = |flag: &str, wanted: &str, otherwise: &str| {
        let set = |value| format!("bridge link set dev {port} {flag} {value}");
        (set(otherwise), set(wanted), flag.to_owned())
    };
    let add_fdb = format!("bridge fdb replace {mac} dev {port} master static sticky");
    let neighbour = |address: &str| {
        let add = format!("ip neigh replace {address} lladdr {mac} dev cni0 nud permanent");
        let delete = format!("ip neigh del {address} dev cni0");
        (delete, add, format!("neighbour {address}"))
    };
    for (breakage, mending, problem) in [
        flag("flood", "off", "on"),
        flag("mcast_flood", "off", "on"),
        flag("bcast_flood", "off", "on"),
        flag("neigh_suppress", "on", "off"),
        (
            format!("bridge fdb del {mac} dev {port} master"),
            add_fdb.clone(),
            "FDB entry".to_owned(),
        ),
        neighbour("10.22.0.2"),
        neighbour("2001:db8:22::2"),
    ] {
        sh(&breakage);
        let (code, message) = host.fail("CHECK", &added);
        assert!(
            code == 999 && message.contains(&problem),
            "{breakage}: {message}"
        );
        sh(&mending);
        host.succeed("CHECK", &added);
    }
}

/// A later plugin of the chain has made them.
#[test]
fn check_wants_no_neighbours_of_another_interface() {
    let Some(host) = Host::new() else { return };
    let mut added = host.add(QUIET);
    let interfaces = added["interfaces"].as_array_mut().unwrap();
    let netns = interfaces[2]["sandbox"].clone();
    interfaces.push(serde_json::json!({"name": "net1", "sandbox": netns}));
    let another = serde_json::json!({"address": "10.55.0.9/24", "interface": 3});
    added["ips"].as_array_mut().unwrap().push(another);
    host.succeed("CHECK", &with_prev_result(QUIET, &added));
}

/// Who uplinks the bridge has flooding on that port, and is told by the bridge where the pods are.
#[test]
fn a_machine_behind_an_uplink_reaches_pods() {
    let Some(host) = three_pods() else { return };
    host.world.pod("lan");
    sh(
        "ip link add up0 type veth peer name eth0 netns lan; ip link set up0 master cni0 up
        ip -n lan addr add 10.22.0.100/24 dev eth0; ip -n lan link set eth0 up",
    );
    assert!(reaches("lan", "10.22.0.3"));
    assert!(reaches("b", "10.22.0.100"));
    sh("ip -n lan neigh flush all");
    assert!(reaches("lan", "10.22.0.4"));
}

/// Where br_netfilter shows bridged frames to the packet filter, the bridge itself sends a connection
/// to a mapped port on to the pod's port, from whichever port it came.
#[test]
fn a_mapped_port_leads_to_a_pod_of_the_same_bridge() {
    let Some(_host) = three_pods() else { return };
    sh(
        "nft 'add table inet ports; add chain inet ports pre { type nat hook prerouting priority dstnat; }; add rule inet ports pre ip daddr 192.0.2.1 dnat ip to 10.22.0.3'",
    );
    assert!(reaches("b", "192.0.2.1"));
}

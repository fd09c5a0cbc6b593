//! Limits come, are found damaged, and go; what was left by others, and by an ADD that failed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use kernel::qdisc::QdiscKind;

use harness::{portrait, run, sh, steps, with_prev_result};

type Host = harness::Host<bandwidth::Bandwidth>;

/// A pod with two interfaces on a bridge, as an interface plugin leaves it.
const POD: &str = "
    ip link add cni0 address c2:11:22:00:00:02 type bridge; ip link set cni0 up
    for n in 0 1; do
        ip link add vhost$n type veth peer name eth$n netns pod
        ip link set vhost$n address c2:11:22:00:01:0$n master cni0 up
        ip -n pod link set eth$n address c2:11:22:00:00:0$n up
    done";

const IFB: &str = "bwpa4fa0b217749";
const BOTH: &str = r#""ingressRate": 8000000, "ingressBurst": 800000, "egressRate": 16000000, "egressBurst": 1600000"#;
const EGRESS: &str = r#""egressRate": 16000000, "egressBurst": 1600000"#;
const INGRESS: &str = r#""ingressRate": 8000000, "ingressBurst": 800000"#;
/// The pod's other interface.
const OTHER: [(&str, &str); 1] = [("CNI_IFNAME", "eth1")];

fn config(keys: &str) -> String {
    format!(
        r#"{{"cniVersion": "1.1.0", "name": "dbnet", "type": "bandwidth", {keys}, "prevResult": {{"cniVersion": "1.1.0",
        "interfaces": [{{"name": "cni0"}}, {{"name": "vhost0"}}, {{"name": "vhost1"}}, {{"name": "eth0", "sandbox": "/run/netns/pod"}}]}}}}"#
    )
}

fn in_own_world(test: impl FnOnce(&Host) + Send) {
    std::thread::scope(|scope| {
        let body = || {
            Host::new().map(|host| {
                sh(POD);
                test(&host);
            })
        };
        if let Err(panic) = scope.spawn(body).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn qdiscs(link: &str) -> String {
    sh(&format!(
        "tc qdisc show dev {link}; tc filter show dev {link} parent ffff: 2>/dev/null || true"
    ))
}

fn everything() -> String {
    portrait::network(None) + &sh("tc qdisc show") + &qdiscs("vhost0") + &qdiscs("vhost1")
}

#[test]
#[ignore = "started by the other tests"]
fn add_in_a_process_of_its_own() {
    steps::child(&bandwidth::BANDWIDTH);
}

#[test]
fn limits_come_and_go() {
    in_own_world(|host| {
        let before = everything();
        let result = host.add(&config(BOTH));
        assert_eq!(result["interfaces"][4]["name"], IFB);
        let added = with_prev_result(&config(BOTH), &result);
        host.succeed("CHECK", &added);
        let end = qdiscs("vhost0");
        assert!(
            end.contains("tbf 1: root") && end.contains("rate 8Mbit burst 100000b lat 25ms"),
            "{end}"
        );
        assert!(
            end.contains(&format!("Egress Redirect to device {IFB}")),
            "{end}"
        );
        let ifb = sh(&format!("ip link show {IFB}"));
        assert!(ifb.contains("alias podwire:dbnet/ctr1/eth0"), "{ifb}");
        host.succeed("DEL", &added);
        assert_eq!(everything(), before);
        host.succeed("DEL", &added);
    });
}

#[test]
fn del_needs_neither_namespace_nor_result_nor_a_configuration_that_works() {
    in_own_world(|host| {
        host.add(&config(BOTH));
        let without = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "bandwidth", "ingressRate": 8000000}"#;
        host.succeed_with("DEL", without, &[("CNI_NETNS", "")]);
        assert!(!portrait::network(None).contains("bwp"));
    });
}

#[test]
fn a_second_add_takes_the_place_of_what_is_left() {
    in_own_world(|host| {
        let before = everything();
        host.add(&config(BOTH));
        let faster = BOTH.replace("16000000", "24000000");
        let added = with_prev_result(&config(&faster), &host.add(&config(&faster)));
        host.succeed("CHECK", &added);
        // The filter that a removed ifb leaves would drop what the pod sends.
        sh(&format!("ip link del {IFB}"));
        host.add(&config(&faster));
        host.succeed("CHECK", &added);
        host.succeed("DEL", &added);
        assert_eq!(everything(), before);
    });
}

#[test]
fn a_failure_after_any_step_leaves_everything_as_it_was() {
    in_own_world(|host| steps::every_failure_is_taken_back(host, &config(BOTH), 5, everything));
}

#[test]
fn what_others_have_there_is_named_and_stays() {
    for (setup, keys, message) in [
        (
            "tc qdisc add dev vhost0 root handle 8: pfifo limit 100",
            INGRESS,
            "vhost0 has another root qdisc already: pfifo 8: dev ",
        ),
        (
            "tc qdisc add dev vhost0 clsact",
            EGRESS,
            "create ingress qdisc: vhost0 has another already: clsact ffff: dev ",
        ),
        (
            "tc qdisc add dev vhost0 ingress; tc filter add dev vhost0 parent ffff: u32 match u32 0 0 action mirred egress redirect dev vhost1",
            EGRESS,
            "create filter: vhost0 leads what arrives to another link already",
        ),
        (
            "ip link add bwpa4fa0b217749 address c2:11:22:00:00:09 type bridge",
            EGRESS,
            "adding link: file exists: bwpa4fa0b217749 is bridge, not an ifb",
        ),
        // The reference plugin's, of another interface.
        (
            "ip link add bwpa4fa0b217749 address c2:11:22:00:00:09 type ifb; tc qdisc add dev bwpa4fa0b217749 root handle 1: tbf rate 1mbit burst 10kb latency 25ms",
            BOTH,
            "adding link: file exists: bwpa4fa0b217749 limits another interface of this container (it has no alias)",
        ),
        (
            "ip -n pod link set eth0 down; ip -n pod link set eth0 name old0; ip -n pod link add eth0 type bridge",
            BOTH,
            "container interface eth0 has no veth peer: interface \"eth0\" was not a veth interface but bridge",
        ),
    ] {
        in_own_world(|host| {
            sh(setup);
            let before = everything();
            let (code, seen) = host.fail("ADD", &config(keys));
            assert!(code == 999 && seen.starts_with(message), "{seen}");
            assert_eq!(everything(), before, "{message}");
        });
    }
}

#[test]
fn two_interfaces_of_a_container_are_told_of_each_other() {
    in_own_world(|host| {
        host.add(&config(BOTH));
        let (_, seen) = host.fail_with("ADD", &config(BOTH), &OTHER);
        let text = "adding link: file exists: bwpa4fa0b217749 limits another interface of this \
                    container (podwire:dbnet/ctr1/eth0)";
        assert!(seen.starts_with(text), "{seen}");
        // What is received needs no ifb; DEL of the one leaves the other's.
        host.add_with(&config(INGRESS), &OTHER);
        host.succeed_with("DEL", &config(INGRESS), &OTHER);
        host.succeed("CHECK", &config(BOTH));
        assert!(!qdiscs("vhost1").contains("tbf"));
    });
}

#[test]
fn an_unfinished_ifb_of_the_reference_plugin_is_no_obstacle() {
    in_own_world(|host| {
        sh("ip link add bwpa4fa0b217749 type ifb");
        let added = with_prev_result(&config(BOTH), &host.add(&config(BOTH)));
        host.succeed("CHECK", &added);
    });
}

#[test]
fn a_burst_that_nobody_told_lets_no_seconds_pass() {
    in_own_world(|host| {
        let keys = r#""runtimeConfig": {"bandwidth": {"ingressRate": 10000000, "ingressBurst": 2147483647, "egressRate": 1000000, "egressBurst": 2147483647}}"#;
        let added = with_prev_result(&config(keys), &host.add(&config(keys)));
        host.succeed("CHECK", &added);
        let ingress: serde_json::Value = serde_json::from_str(&run(
            "tc",
            &["-j", "qdisc", "show", "dev", "vhost0", "root"],
        ))
        .unwrap();
        assert_eq!(ingress[0]["options"]["burst"], 125_000);
        let egress: serde_json::Value =
            serde_json::from_str(&run("tc", &["-j", "qdisc", "show", "dev", IFB, "root"])).unwrap();
        assert_eq!(egress[0]["options"]["burst"], 66_000);
    });
}

/// Whether the kernel knows fq_codel, and a reason on standard error when not.
fn has_fq_codel() -> bool {
    let netlink = kernel::Netlink::open().unwrap();
    let has = netlink.has_qdisc_kind(&QdiscKind::FqCodel).unwrap();
    if !has {
        eprintln!("skipped: this kernel has no fq_codel");
    }
    has
}

#[test]
fn without_fq_codel_nobody_gets_another_queue_instead() {
    in_own_world(|host| {
        if has_fq_codel() {
            return;
        }
        let before = everything();
        let keys = format!(r#"{BOTH}, "queue": "fq_codel""#);
        let (_, seen) = host.fail("ADD", &config(&keys));
        assert!(seen.starts_with("create fq_codel on vhost0: "), "{seen}");
        assert_eq!(everything(), before);
        let (code, seen) = host.fail("STATUS", &config(&keys));
        assert_eq!(
            (code, seen.as_str()),
            (50, "the kernel has no qdisc fq_codel")
        );
    });
}

#[test]
fn connections_wait_each_in_a_queue_of_its_own() {
    in_own_world(|host| {
        if !has_fq_codel() {
            return;
        }
        let before = everything();
        let keys = format!(r#"{BOTH}, "queue": "fq_codel", "latency": 100"#);
        let added = with_prev_result(&config(&keys), &host.add(&config(&keys)));
        host.succeed("CHECK", &added);
        host.succeed("STATUS", &added);
        for link in ["vhost0", IFB] {
            let seen = qdiscs(link);
            assert!(seen.contains("fq_codel 2: parent 1:1"), "{seen}");
            assert!(seen.contains("lat 100ms"), "{seen}");
        }
        host.add(&config(&keys));
        host.succeed("CHECK", &added);
        sh(&format!("tc qdisc del dev {IFB} parent 1:1"));
        let (_, seen) = host.fail("CHECK", &added);
        assert_eq!(
            seen,
            format!("Failed to find qdisc: below the token bucket of {IFB} is no fq_codel")
        );
        host.succeed("DEL", &added);
        assert_eq!(everything(), before);
    });
}

#[test]
fn check_names_what_deviates() {
    for (damage, message) in [
        (
            "tc qdisc del dev vhost0 root",
            "Failed to find qdisc: vhost0 has no qdisc at its root, not tbf",
        ),
        (
            "tc qdisc replace dev vhost0 root handle 8: pfifo",
            "Failed to find qdisc: vhost0 has pfifo 8: at its root, not tbf",
        ),
        (
            "tc qdisc change dev vhost0 root handle 1: tbf rate 1mbit burst 100kb latency 25ms",
            "Rate doesn't match: vhost0 has 125000, configured is 1000000",
        ),
        (
            "tc qdisc change dev vhost0 root handle 1: tbf rate 8mbit burst 100000b latency 50ms",
            "Limit doesn't match: vhost0 has 150000, configured is 125000",
        ),
        (
            "ip link del bwpa4fa0b217749",
            "get ifb device: Link not found",
        ),
        (
            "ip link set bwpa4fa0b217749 down",
            "ifb device bwpa4fa0b217749 is down",
        ),
        (
            "tc filter del dev vhost0 parent ffff:",
            "vhost0 does not lead what the pod sends to bwpa4fa0b217749",
        ),
        (
            "tc qdisc del dev vhost0 ingress",
            "vhost0 does not lead what the pod sends to bwpa4fa0b217749",
        ),
        (
            "ip link del vhost0",
            "container interface eth0 has no veth peer: could not look up",
        ),
    ] {
        in_own_world(|host| host.notices(&config(BOTH), damage, message));
    }
}

#[test]
fn gc_removes_ifbs_of_its_own_network_alone() {
    in_own_world(|host| {
        host.add(&config(BOTH));
        sh("ip link add bwp0123456789ab type ifb");
        let named = |name: &str, valid: &str| {
            config(&format!(r#""cni.dev/valid-attachments": [{valid}]"#))
                .replace(r#""name": "dbnet""#, &format!(r#""name": "{name}""#))
        };
        let there = |name: &str| portrait::network(None).contains(name);
        host.succeed(
            "GC",
            &named("dbnet", r#"{"containerID": "ctr1", "ifname": "eth0"}"#),
        );
        host.succeed("GC", &named("other", ""));
        host.succeed("GC", &config(BOTH));
        assert!(there(IFB));
        host.succeed("GC", &named("dbnet", ""));
        assert!(!there(IFB) && there("bwp0123456789ab"));
    });
}

#[test]
fn status_tells_what_is_in_the_way() {
    in_own_world(|host| {
        let before = everything();
        host.succeed("STATUS", &config(BOTH));
        let (code, seen) = host.fail("STATUS", &config(r#""ingressRate": 8000"#));
        assert_eq!(
            (code, seen.as_str()),
            (50, "if rate is set, burst must also be set")
        );
        assert_eq!(everything(), before);
    });
}

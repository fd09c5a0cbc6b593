//! What somebody flushed comes back for every pod that lives.

use harness::sh;
use serde_json::{Value, json};

use crate::support::{CTR2, Host, config_of, elements_of, in_own_world, mapping, web, wire};

/// The configuration of a pod, and the environment of its calls.
type Pod = (String, [(&'static str, &'static str); 2]);

/// Three pods, each with a namespace and a port of its own, as a node has them.
fn three(host: &Host, changes: &Value) -> [Pod; 3] {
    let mut pods = [("ctr1", 5, 8080), ("ctr2", 6, 8081), ("ctr3", 7, 8082)].into_iter();
    std::array::from_fn(|_| {
        let (container, number, port) = pods.next().unwrap();
        let netns = format!("/run/netns/{container}");
        host.world.pod(container);
        wire_pod(container, number);
        let config = config_of(
            number,
            json!([mapping(port, 80, "tcp", "")]),
            changes.clone(),
        );
        let config = config.replace("/run/netns/pod", &netns);
        let netns: &'static str = netns.leak();
        (
            config,
            [("CNI_CONTAINERID", container), ("CNI_NETNS", netns)],
        )
    })
}

/// The same, of which the first two are attached.
fn two_of_three(host: &Host, changes: &Value) -> [Pod; 3] {
    let pods = three(host, changes);
    for (config, env) in &pods[..2] {
        host.add_with(config, env);
    }
    pods
}

fn wire_pod(container: &str, number: u8) {
    if number == 5 {
        sh("ip link del v5");
    }
    wire(container, number);
}

#[test]
fn the_next_add_restores_all_that_live() {
    for changes in [
        json!({}),
        json!({ "conditionsV4": ["ip", "saddr", "!=", "{", "10.9.0.0/16,", "10.8.0.1", "}"] }),
        json!({ "backend": "iptables" }),
    ] {
        in_own_world(|host| {
            let [first, _, third] = two_of_three(host, &changes);
            sh("nft flush ruleset");
            sh("ip netns del ctr2");
            let (_, message) = host.fail_with("CHECK", &first.0, &first.1);
            assert!(
                message.contains("flushed") || message.contains("not found"),
                "{message}"
            );
            host.add_with(&third.0, &third.1);
            host.succeed_with("CHECK", &first.0, &first.1);
            host.succeed_with("CHECK", &third.0, &third.1);
            let rules = sh("nft list ruleset; iptables-save -t nat");
            assert!(!rules.contains("ctr2"), "it is gone: {rules}");
        });
    }
}

#[test]
fn gc_restores_all_that_live_and_forgets_what_is_not_valid() {
    for backend in ["nftables", "iptables"] {
        in_own_world(|host| {
            let [first, _, _] = two_of_three(host, &json!({ "backend": backend }));
            sh("nft flush ruleset");
            let gc = json!({ "cniVersion": "1.1.0", "name": "dbnet", "type": "portmap",
                "cni.dev/valid-attachments": [{ "containerID": "ctr1", "ifname": "eth0" }] });
            host.succeed("GC", &gc.to_string());
            host.succeed_with("CHECK", &first.0, &first.1);
            let rules = sh("nft list ruleset; iptables-save -t nat");
            assert!(!rules.contains("ctr2"), "{rules}");
        });
    }
}

/// As it does of every network: nothing is stale then, and what was flushed is missing all the same.
#[test]
fn gc_without_a_list_restores_as_well() {
    for backend in ["nftables", "iptables"] {
        in_own_world(|host| {
            let [first, second, _] = two_of_three(host, &json!({ "backend": backend }));
            sh("nft flush ruleset");
            let gc = json!({ "cniVersion": "1.1.0", "name": "other", "type": "portmap" });
            host.succeed("GC", &gc.to_string());
            host.succeed_with("CHECK", &first.0, &first.1);
            host.succeed_with("CHECK", &second.0, &second.1);
        });
    }
}

/// The second ADD of a pod wants another port, which another pod has.
#[test]
fn a_second_add_that_fails_keeps_in_mind_what_the_first_one_made() {
    for backend in ["nftables", "iptables"] {
        in_own_world(|host| {
            let [first, second, third] = two_of_three(host, &json!({ "backend": backend }));
            let again = first.0.replace("8080", "8081");
            host.fail_with("ADD", &again, &first.1);
            host.succeed_with("CHECK", &first.0, &first.1);
            sh("nft flush ruleset");
            host.add_with(&third.0, &third.1);
            host.succeed_with("CHECK", &first.0, &first.1);
            host.succeed_with("CHECK", &second.0, &second.1);
            host.succeed_with("DEL", &first.0, &first.1);
            let rules = sh("nft list ruleset");
            assert!(!rules.contains("ctr1"), "{rules}");
        });
    }
}

#[test]
fn del_forgets_and_a_failed_add_keeps_nothing_in_mind() {
    in_own_world(|host| {
        let records = || sh("ls /run/podwire/attachments/portmap 2>/dev/null | wc -l");
        let config = config_of(5, web(), json!({}));
        host.add(&config);
        assert_eq!(records().trim(), "1");
        host.fail_with("ADD", &config_of(6, web(), json!({})), &CTR2);
        assert_eq!(records().trim(), "1");
        host.succeed("DEL", &config);
        assert_eq!((records().trim(), elements_of("ctr1")), ("0", 0));
        // Pods without mappings leave nothing at all.
        host.add(&config_of(5, json!([]), json!({})));
        assert_eq!(records().trim(), "0");
    });
}

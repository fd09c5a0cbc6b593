//! The iptables backend and the reference plugin's pods, with real packets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(
    dead_code,
    unreachable_pub,
    reason = "one module for several test programs"
)]
mod support;

use std::path::Path;

use harness::{sh, steps, turn};
use serde_json::{Value, json};
use support::{FAR, Host, NEAR, OUTSIDE, POD, Place, add, in_own_world, populate, populate_closed};

/// Debian's reference plugin.
const REFERENCE: &str = "/usr/lib/cni/firewall";

fn iptables(policy: &str) -> Value {
    json!({ "backend": "iptables", "ingressPolicy": policy })
}

/// Rules without the shared chains.
fn rules() -> String {
    let all = sh("iptables-save; ip6tables-save; nft -s list ruleset 2>/dev/null");
    let own = all
        .lines()
        .filter(|line| line.contains("10.88.0") || line.contains("db8:88"));
    own.collect::<Vec<_>>().join("\n")
}

fn reference(host: &Host, command: &str, place: Place, more: &Value) -> (bool, String) {
    let config = place.config(more).replace("1.1.0", "1.0.0");
    host.execute_with(Path::new(REFERENCE), command, &config, &place.env())
}

#[test]
#[ignore = "started by the other tests"]
fn add_in_a_process_of_its_own() {
    steps::child(&firewall::FIREWALL);
}

#[test]
fn a_failure_after_any_step_leaves_nothing_of_the_pod() {
    for more in [iptables("isolated"), json!({ "ingressPolicy": "isolated" })] {
        in_own_world(|host| {
            populate(host);
            let portrait = || rules() + &sh("find /run/podwire -type f 2>/dev/null || true");
            steps::every_failure_is_taken_back(host, &POD.config(&more), 1, portrait);
        });
    }
}

#[test]
fn the_rules_of_a_pod_are_made_once_and_removed_alone() {
    in_own_world(|host| {
        populate_closed(host);
        let more = iptables("same-bridge");
        add(host, NEAR, &more);
        let before = sh("iptables-save; ip6tables-save");
        add(host, POD, &more);
        let once = sh("iptables -S; ip6tables -S");
        assert_eq!(once.matches("10.88.0.5").count(), 2, "{once}");
        add(host, POD, &more);
        assert_eq!(
            sh("iptables -S; ip6tables -S"),
            once,
            "a second ADD adds nothing"
        );
        OUTSIDE
            .iter()
            .for_each(|address| assert!(POD.reaches(address)));
        assert!(NEAR.reaches("10.88.0.5") && FAR.is_cut_off_from("10.88.0.5"));
        host.succeed_with("CHECK", &POD.config(&more), &POD.env());
        host.succeed_with("DEL", &POD.config(&more), &POD.env());
        host.succeed_with("DEL", &POD.config(&more), &POD.env());
        let count = |text: &str| text.lines().filter(|line| line.starts_with("-A")).count();
        assert_eq!(count(&sh("iptables-save; ip6tables-save")), count(&before));
        host.succeed_with("CHECK", &NEAR.config(&more), &NEAR.env());
    });
}

#[test]
fn an_add_waits_for_whoever_changes_iptables() {
    in_own_world(|host| {
        populate(host);
        let more = iptables("open");
        turn::is_waited_for(|| add(host, POD, &more), rules);
        host.succeed_with("CHECK", &POD.config(&more), &POD.env());
    });
}

#[test]
fn check_finds_what_is_missing_or_out_of_order_and_makes_nothing() {
    for (damage, message) in [
        (
            "iptables -D CNI-FORWARD -s 10.88.0.5/32 -j ACCEPT",
            "expected rule [-s 10.88.0.5/32 -j ACCEPT] not found",
        ),
        (
            "ip6tables -F CNI-FORWARD",
            "expected CNI-FORWARD rule [-m comment --comment CNI firewall plugin admin overrides -j CNI-ADMIN] not found",
        ),
        (
            "iptables -F; iptables -X",
            "expected FORWARD rule [-m comment --comment CNI firewall plugin rules -j CNI-FORWARD] not found",
        ),
        (
            "iptables -F CNI-ISOLATION-STAGE-2",
            "expected rule [-o br0 -m comment --comment CNI firewall plugin rules (ingressPolicy: same-bridge|isolated) -j DROP] not found",
        ),
        (
            "iptables -D CNI-FORWARD 1; iptables -A CNI-FORWARD -m comment --comment 'CNI firewall plugin admin overrides' -j CNI-ADMIN",
            "in chain CNI-FORWARD rule [-m comment --comment CNI firewall plugin admin overrides -j CNI-ADMIN] stands behind",
        ),
        (
            "iptables -D FORWARD 2; iptables -I FORWARD -m comment --comment 'CNI firewall plugin rules' -j CNI-FORWARD",
            "in chain FORWARD rule [-m comment --comment CNI firewall plugin rules (ingressPolicy: same-bridge|isolated) -j CNI-ISOLATION-STAGE-1] stands behind",
        ),
        (
            "iptables -I FORWARD -j DROP",
            "no packet comes to rule [-m comment",
        ),
    ] {
        in_own_world(|host| {
            populate(host);
            let more = iptables("same-bridge");
            add(host, POD, &more);
            sh(damage);
            let before = sh("iptables -S; ip6tables -S");
            let (code, text) = host.fail_with("CHECK", &POD.config(&more), &POD.env());
            assert!(code == 999 && text.starts_with(message), "{damage}: {text}");
            assert_eq!(sh("iptables -S; ip6tables -S"), before);
        });
    }
}

#[test]
fn flushed_rules_come_back_for_every_pod() {
    for mend in ["ADD", "GC"] {
        in_own_world(|host| {
            populate_closed(host);
            let more = iptables("open");
            add(host, POD, &more);
            add(host, NEAR, &more);
            sh("nft flush ruleset; iptables -P FORWARD DROP; ip6tables -P FORWARD DROP");
            let (_, text) = host.fail_with("CHECK", &POD.config(&more), &POD.env());
            assert!(text.starts_with("expected FORWARD rule"), "{text}");
            match mend {
                "ADD" => add(host, FAR, &more),
                _ => host.succeed(
                    "GC",
                    r#"{"cniVersion": "1.1.0", "name": "other", "type": "firewall"}"#,
                ),
            }
            for place in [POD, NEAR] {
                host.succeed_with("CHECK", &place.config(&more), &place.env());
                OUTSIDE
                    .iter()
                    .for_each(|address| assert!(place.reaches(address)));
            }
        });
    }
}

#[test]
fn gc_and_del_without_a_result_know_what_is_remembered() {
    in_own_world(|host| {
        populate(host);
        let more = iptables("open");
        let bare = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "firewall"}"#;
        let valid =
            r#", "cni.dev/valid-attachments": [{"containerID": "near", "ifname": "eth0"}]}"#;
        for (command, config) in [("DEL", bare.to_owned()), ("GC", bare.replace('}', valid))] {
            add(host, POD, &more);
            add(host, NEAR, &more);
            host.succeed_with(command, &config, &POD.env());
            assert_eq!(rules(), "", "{command}");
            host.succeed_with("CHECK", &NEAR.config(&more), &NEAR.env());
        }
    });
}

/// Pods change hands both ways while they run.
#[test]
fn pods_of_the_reference_plugin_are_checked_and_released_and_the_other_way_round() {
    in_own_world(|host| {
        populate_closed(host);
        for mine in [
            json!({}),
            iptables("open"),
            json!({ "backend": "nftables" }),
        ] {
            let (is_added, text) = reference(host, "ADD", POD, &json!({}));
            assert!(is_added, "{text}");
            host.succeed_with("CHECK", &POD.config(&mine), &POD.env());
            host.succeed_with("DEL", &POD.config(&mine), &POD.env());
            assert_eq!(rules(), "", "{mine}");
        }
        let mine = iptables("same-bridge");
        add(host, POD, &mine);
        let theirs = json!({ "ingressPolicy": "same-bridge" });
        for command in ["CHECK", "ADD", "CHECK", "DEL"] {
            let (is_done, text) = reference(host, command, POD, &theirs);
            assert!(is_done, "{command}: {text}");
        }
        assert_eq!(rules(), "");
        // What nftables made of a pod is not theirs to know; GC finds it.
        add(host, POD, &json!({}));
        assert!(reference(host, "DEL", POD, &json!({})).0);
        let gc = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "firewall", "cni.dev/valid-attachments": []}"#;
        host.succeed("GC", gc);
        assert_eq!(rules(), "");
    });
}

/// What the old kernel interface of iptables holds, which nothing but itself can read.
#[test]
fn rules_of_iptables_legacy_are_checked_and_removed() {
    in_own_world(|host| {
        populate(host);
        sh("iptables-legacy -P FORWARD DROP
            for t in iptables-legacy ip6tables-legacy; do
                case $t in ip6*) a=2001:db8:88::5/128 ;; *) a=10.88.0.5/32 ;; esac
                $t -N CNI-FORWARD; $t -N CNI-ADMIN
                $t -A FORWARD -m comment --comment 'CNI firewall plugin rules' -j CNI-FORWARD
                $t -A CNI-FORWARD -m comment --comment 'CNI firewall plugin admin overrides' -j CNI-ADMIN
                $t -A CNI-FORWARD -d $a -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
                $t -A CNI-FORWARD -s $a -j ACCEPT
            done");
        let mine = iptables("open");
        host.succeed_with("CHECK", &POD.config(&mine), &POD.env());
        sh("iptables-legacy -D CNI-FORWARD -s 10.88.0.5/32 -j ACCEPT");
        let (_, text) = host.fail_with("CHECK", &POD.config(&mine), &POD.env());
        assert_eq!(text, "expected rule [-s 10.88.0.5/32 -j ACCEPT] not found");
        host.succeed_with("DEL", &POD.config(&mine), &POD.env());
        let left = sh("iptables-legacy -S; ip6tables-legacy -S");
        assert!(
            !left.contains("10.88.0.5") && !left.contains("db8:88"),
            "{left}"
        );
    });
}

//! The nftables backend, which is the default here, with real packets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(
    dead_code,
    unreachable_pub,
    reason = "one module for several test programs"
)]
mod support;

use harness::sh;
use serde_json::{Value, json};
use support::{
    FAR, NEAR, OUTSIDE, POD, add, in_own_world, is_silent, populate, populate_closed, reaches,
};

fn none() -> Value {
    json!({})
}

fn policy(name: &str) -> Value {
    json!({ "ingressPolicy": name })
}

fn sets() -> String {
    sh("nft -s list ruleset 2>&1")
}

#[test]
fn packets_pass_a_filter_that_drops_both_ways_and_between_ports_of_a_bridge() {
    in_own_world(|host| {
        populate_closed(host);
        for (address, near) in OUTSIDE.iter().zip(NEAR.addresses()) {
            assert!(POD.is_cut_off_from(address), "the filter drops");
            assert!(POD.is_cut_off_from(&near));
        }
        add(host, POD, &none());
        add(host, NEAR, &none());
        for (family, outside) in OUTSIDE.into_iter().enumerate() {
            let (pod, near) = (&POD.addresses()[family], &NEAR.addresses()[family]);
            assert!(POD.reaches(outside));
            assert!(POD.reaches(near));
            assert!(NEAR.reaches(pod));
            assert!(is_silent("outside", pod), "as the reference has it");
        }
        let config = POD.config(&none());
        host.succeed_with("CHECK", &config, &POD.env());
        host.succeed_with("DEL", &config, &POD.env());
        host.succeed_with("DEL", &config, &POD.env());
        for address in OUTSIDE {
            assert!(POD.is_cut_off_from(address) && NEAR.reaches(address));
        }
        let (_, text) = host.fail_with("CHECK", &config, &POD.env());
        assert!(
            text.starts_with("10.88.0.5 is not in set ip filter podwire-pods"),
            "{text}"
        );
    });
}

/// Frames between two ports of a bridge, which the host does not route.
#[test]
fn bridged_packets_pass_as_well() {
    in_own_world(|host| {
        populate_closed(host);
        sh("ip -n near address flush dev eth0
            ip -n near address add 10.88.0.6/24 dev eth0");
        assert!(is_silent("near", "10.88.0.5"));
        add(host, POD, &none());
        assert!(
            is_silent("near", "10.88.0.5"),
            "nobody lets the other's packets through"
        );
        let config = NEAR.config(&none()).replace("10.98.0.5", "10.88.0.6");
        host.add_with(&config, &NEAR.env());
        assert!(reaches("near", "10.88.0.5"));
    });
}

#[test]
fn one_transaction_adds_one_element_for_each_address() {
    in_own_world(|host| {
        populate(host);
        add(host, POD, &none());
        let rules = || {
            sh("iptables-save; ip6tables-save")
                .lines()
                .filter(|line| line.starts_with("-A"))
                .count()
        };
        let before = rules();
        for number in 6..40 {
            let config = POD
                .config(&none())
                .replace("10.88.0.5", &format!("10.88.0.{number}"))
                .replace("2001:db8:88::5", &format!("2001:db8:88::{number}"));
            host.add_with(&config, &[("CNI_CONTAINERID", &format!("ctr{number}"))]);
        }
        assert_eq!(rules(), before, "no rule for a pod");
        let again = sets();
        add(host, POD, &none());
        assert_eq!(sets(), again, "a second ADD adds nothing");
    });
}

#[test]
fn what_is_flushed_is_told_of_and_comes_back_for_every_pod() {
    for (damage, message) in [
        (
            "nft flush ruleset",
            "chain ip filter FORWARD of nftables sees no forwarded packets",
        ),
        (
            "iptables -F FORWARD",
            "nothing leads from chain ip filter FORWARD to chain CNI-PODWIRE",
        ),
        (
            "ip6tables -F CNI-PODWIRE",
            "nothing leads from chain ip6 filter CNI-PODWIRE to chain CNI-ADMIN",
        ),
        (
            "nft flush set ip filter podwire-pods",
            "10.88.0.5 is not in set",
        ),
        (
            "iptables-save > /tmp/saved.$$; iptables-restore < /tmp/saved.$$; rm /tmp/saved.$$",
            "chain ip filter CNI-PODWIRE of nftables does not let",
        ),
        (
            "for t in iptables ip6tables; do $t-save | grep -v CNI- | $t-restore; done",
            "nothing leads from chain ip filter FORWARD to chain CNI-PODWIRE",
        ),
        ("iptables -I FORWARD -j DROP", "no packet comes to rule"),
        (
            "nft flush chain inet podwire_firewall forward",
            "bridge br0 is not kept apart",
        ),
        (
            "nft delete element inet podwire_firewall bridges '{ br0 }'",
            "bridge br0 is not kept apart",
        ),
    ] {
        for mend in ["ADD", "GC"] {
            in_own_world(|host| {
                populate(host);
                let policy = policy("same-bridge");
                add(host, POD, &policy);
                add(host, NEAR, &policy);
                let config = POD.config(&policy);
                host.succeed_with("CHECK", &config, &POD.env());
                sh(damage);
                let (_, text) = host.fail_with("CHECK", &config, &POD.env());
                assert!(text.starts_with(message), "{damage}: {text}");
                if damage.ends_with("DROP") {
                    return;
                }
                sh("iptables -P FORWARD DROP; ip6tables -P FORWARD DROP");
                assert!(
                    POD.is_cut_off_from(OUTSIDE[0]) || !damage.contains("iptables"),
                    "{damage}"
                );
                match mend {
                    "ADD" => add(host, FAR, &policy),
                    _ => host.succeed(
                        "GC",
                        r#"{"cniVersion": "1.1.0", "name": "other", "type": "firewall"}"#,
                    ),
                }
                let alone = damage.contains(" set ") || damage.contains(" element ");
                if alone && mend == "ADD" {
                    return;
                }
                for place in [POD, NEAR] {
                    host.succeed_with("CHECK", &place.config(&policy), &place.env());
                    OUTSIDE
                        .iter()
                        .for_each(|address| assert!(place.reaches(address), "{damage}"));
                }
            });
        }
    }
}

/// Nothing that iptables saves lets more through than what it saved.
#[test]
fn a_saved_and_restored_table_lets_nothing_through() {
    in_own_world(|host| {
        populate_closed(host);
        add(host, POD, &none());
        sh("iptables-save > /run/saved; iptables-restore < /run/saved");
        assert!(POD.is_cut_off_from(OUTSIDE[0]) && FAR.is_cut_off_from(OUTSIDE[0]));
        let listed = sh("iptables -S CNI-PODWIRE; iptables -A FORWARD -s 10.1.1.1 -j ACCEPT");
        assert!(listed.contains("-j CNI-ADMIN"), "{listed}");
    });
}

#[test]
fn the_administrators_chain_comes_first() {
    for (chain, more) in [
        ("CNI-ADMIN", none()),
        ("OURS", json!({ "iptablesAdminChainName": "OURS" })),
    ] {
        in_own_world(|host| {
            populate_closed(host);
            sh(&format!(
                "iptables -N {chain}; iptables -A {chain} -s 10.88.0.5 -j DROP"
            ));
            add(host, POD, &more);
            add(host, NEAR, &none());
            assert!(POD.is_cut_off_from(OUTSIDE[0]) && POD.reaches(OUTSIDE[1]));
            assert!(NEAR.reaches(OUTSIDE[0]));
            host.succeed_with("CHECK", &POD.config(&more), &POD.env());
            sh(&format!("iptables -F {chain}"));
            assert!(POD.reaches(OUTSIDE[0]));
        });
    }
}

#[test]
fn forward_keeps_its_policy_and_the_rules_of_others() {
    in_own_world(|host| {
        populate(host);
        sh("iptables -P FORWARD DROP; iptables -A FORWARD -s 10.1.1.1 -j ACCEPT");
        add(host, POD, &none());
        let listed = sh("iptables -S FORWARD");
        let lines: Vec<&str> = listed.lines().collect();
        assert_eq!(lines[0], "-P FORWARD DROP");
        assert!(lines[1].ends_with("-j CNI-PODWIRE"), "{listed}");
        assert_eq!(lines[2], "-A FORWARD -s 10.1.1.1/32 -j ACCEPT");
        assert_eq!(lines.len(), 3);
    });
}

#[test]
fn del_and_gc_know_the_owner_without_a_result() {
    in_own_world(|host| {
        populate(host);
        let bare = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "firewall"}"#;
        for lose in ["true", "rm -r /run/podwire"] {
            add(host, POD, &none());
            add(host, NEAR, &none());
            sh(lose);
            host.succeed_with(
                "DEL",
                bare,
                &[("CNI_CONTAINERID", "pod"), ("CNI_NETNS", "")],
            );
            assert!(!sets().contains("id: pod"), "{lose}");
            host.succeed_with("CHECK", &NEAR.config(&none()), &NEAR.env());
        }
        add(host, POD, &none());
        // The address has another owner by now.
        let taken = POD.config(&none());
        host.add_with(&taken, &FAR.env());
        host.succeed_with("DEL", &taken, &POD.env());
        host.succeed_with("CHECK", &taken, &FAR.env());
        let valid =
            r#", "cni.dev/valid-attachments": [{"containerID": "near", "ifname": "eth0"}]}"#;
        host.succeed("GC", &bare.replace("dbnet", "other").replace('}', valid));
        assert!(sets().contains("id: far"), "another network's");
        host.succeed("GC", &bare.replace('}', valid));
        assert!(!sets().contains("id: far"));
        host.succeed_with("CHECK", &NEAR.config(&none()), &NEAR.env());
    });
}

/// A runtime may have lost a part of it.
#[test]
fn del_removes_what_is_remembered_beyond_the_result() {
    for backend in ["nftables", "iptables"] {
        in_own_world(|host| {
            populate(host);
            let more = json!({ "backend": backend });
            add(host, NEAR, &more);
            let before = sets();
            add(host, POD, &more);
            let config = POD.config(&more);
            let mut told: Value = serde_json::from_str(&config).unwrap();
            told["prevResult"]["ips"]
                .as_array_mut()
                .unwrap()
                .truncate(1);
            host.succeed_with("DEL", &told.to_string(), &POD.env());
            assert_eq!(sets(), before, "{backend}");
            assert_eq!(sh("ls -A /run/podwire/attachments/firewall | wc -l"), "1\n");
        });
    }
}

#[test]
fn policies_keep_pods_apart() {
    for (policies, near_reaches, far_reaches) in [
        (["open", "open"], true, true),
        (["open", "isolated"], true, true),
        (["same-bridge", "same-bridge"], true, false),
        (["isolated", "isolated"], false, false),
        (["isolated", "same-bridge"], false, false),
    ] {
        in_own_world(|host| {
            populate_closed(host);
            add(host, POD, &policy(policies[0]));
            add(host, NEAR, &policy(policies[0]));
            add(host, FAR, &policy(policies[1]));
            host.succeed_with("CHECK", &POD.config(&policy(policies[0])), &POD.env());
            for address in POD.addresses() {
                assert!(
                    if near_reaches {
                        NEAR.reaches(&address)
                    } else {
                        NEAR.is_cut_off_from(&address)
                    },
                    "{policies:?}"
                );
                assert!(
                    if far_reaches {
                        FAR.reaches(&address)
                    } else {
                        FAR.is_cut_off_from(&address)
                    },
                    "{policies:?}"
                );
            }
            OUTSIDE
                .iter()
                .for_each(|address| assert!(POD.reaches(address), "{policies:?}"));
        });
    }
}

#[test]
fn an_isolated_bridge_stays_so_until_it_is_gone() {
    in_own_world(|host| {
        populate_closed(host);
        add(host, POD, &policy("same-bridge"));
        add(host, NEAR, &policy("isolated"));
        add(host, POD, &policy("same-bridge"));
        assert!(NEAR.is_cut_off_from("10.88.0.5"));
        let gc = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "firewall", "cni.dev/valid-attachments": []}"#;
        host.succeed("GC", gc);
        assert!(sets().contains("br0"));
        sh("ip link del br0");
        host.succeed("GC", gc);
        assert!(!sets().contains("br0"));
    });
}

/// A node whose pods are partly the reference plugin's.
#[test]
fn bridges_that_the_reference_plugin_keeps_apart_join() {
    in_own_world(|host| {
        populate_closed(host);
        let mine = policy("same-bridge");
        let theirs = json!({ "ingressPolicy": "same-bridge", "backend": "iptables" });
        add(host, FAR, &theirs);
        add(host, POD, &mine);
        assert!(POD.is_cut_off_from("10.99.0.5") && FAR.is_cut_off_from("10.88.0.5"));
        assert!(POD.reaches(OUTSIDE[0]) && FAR.reaches(OUTSIDE[0]));
        let listed = sh("iptables -S FORWARD");
        let place = |target: &str| listed.find(target).unwrap();
        assert!(
            place("CNI-ISOLATION-STAGE-1") < place("CNI-PODWIRE"),
            "{listed}"
        );
        host.succeed_with("CHECK", &POD.config(&mine), &POD.env());
        host.succeed_with("CHECK", &FAR.config(&theirs), &FAR.env());
        host.succeed_with("CHECK", &FAR.config(&mine), &FAR.env());
    });
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_done() {
    in_own_world(|host| {
        let ips = r#""ips": [{"address": "10.88.0.5/24"}]"#;
        let nameless = r#""interfaces": [{"name": ""}], "#;
        for (more, message) in [
            (
                r#""ingressPolicy": "x", "prevResult": {"interfaces": [{"name": "br0"}]}"#,
                "unknown ingress policy: \"x\"",
            ),
            (
                &format!(r#""ingressPolicy": "isolated", "prevResult": {{{ips}}}"#),
                "interface needs to be set for ingress policy \"isolated\", make sure to chain",
            ),
            (
                &format!(r#""ingressPolicy": "isolated", "prevResult": {{{nameless}{ips}}}"#),
                "got empty bridge name",
            ),
            (
                r#""backend": "nftables""#,
                "missing prevResult from earlier plugin",
            ),
        ] {
            let config = format!(
                r#"{{"cniVersion": "1.1.0", "name": "dbnet", "type": "firewall", {more}}}"#
            );
            for command in ["ADD", "CHECK"] {
                let (code, text) = host.fail(command, &config);
                assert!(code == 999 && text.starts_with(message), "{command} {text}");
            }
            host.succeed("DEL", &config);
            assert_eq!(sets(), "");
        }
        let (code, text) = host.fail(
            "STATUS",
            r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "firewall", "ingressPolicy": "x"}"#,
        );
        assert!(
            code == 50 && text.starts_with("unknown ingress policy"),
            "{text}"
        );
        host.succeed(
            "STATUS",
            r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "firewall"}"#,
        );
        let (code, text) = host.fail("STATUS", r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "firewall", "backend": "firewalld"}"#);
        assert!(
            code == 50
                && text
                    == "dial unix /var/run/dbus/system_bus_socket: connect: no such file or directory",
            "{text}"
        );
    });
}

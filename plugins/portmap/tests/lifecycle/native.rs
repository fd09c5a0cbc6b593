//! Elements of our own table: added, replaced, removed.

use harness::{sh, succeeds};
use serde_json::json;

use crate::support::{CTR2, config, config_of, elements_of, host, mapping, table, web};

fn rules() -> usize {
    let text = table();
    ["dnat", "masquerade\n", "jump", "return", "drop"]
        .iter()
        .map(|word| text.matches(word).count())
        .sum()
}

#[test]
fn a_mapping_is_one_element_and_a_pod_one_more_for_each_family() {
    let Some(host) = host() else { return };
    let mappings = json!([
        mapping(8080, 80, "tcp", ""),
        mapping(53, 5353, "udp", "192.0.2.1"),
        mapping(9000, 90, "sctp", "::"),
    ]);
    host.add(&config(mappings.clone(), json!({})));
    let comment = r#"comment "77fa157b4f32b23b-7883a6f9ce71eedb, net: dbnet, if: eth0, id: ctr1""#;
    let text = table();
    for element in [
        format!("tcp . 8080 {comment} : 10.22.0.5 . 80"),
        format!("tcp . 8080 {comment} : 2001:db8:22::5 . 80"),
        format!("192.0.2.1 . udp . 53 {comment} : 10.22.0.5 . 5353"),
        format!("sctp . 9000 {comment} : 2001:db8:22::5 . 90"),
        format!("elements = {{ 10.22.0.5 {comment} }}"),
        format!("elements = {{ 2001:db8:22::5 {comment} }}"),
    ] {
        assert!(text.contains(&element), "{element} in\n{text}");
    }
    assert_eq!(elements_of("ctr1"), 6);

    // A second pod of the subnets brings elements, not rules.
    let before = rules();
    let second = config_of(6, json!([mapping(8081, 80, "tcp", "")]), json!({}));
    host.add_with(&second, &CTR2);
    assert_eq!((rules(), elements_of("ctr2")), (before, 4));
    host.succeed_with("DEL", &second, &CTR2);
    assert_eq!((elements_of("ctr1"), elements_of("ctr2")), (6, 0));

    host.succeed("DEL", &config(mappings, json!({})));
    assert!(!table().contains("elements"), "{}", table());
    assert_eq!(sh("nft list tables"), "table inet podwire_portmap\n");
}

#[test]
fn a_second_add_changes_nothing_and_one_with_other_mappings_replaces() {
    let Some(host) = host() else { return };
    host.add(&config(web(), json!({})));
    let first = table();
    host.add(&config(web(), json!({})));
    assert_eq!(table(), first);
    let other = config(
        json!([mapping(8081, 80, "tcp", "")]),
        json!({ "snat": false }),
    );
    host.add(&other);
    let text = table();
    assert!(
        !text.contains("tcp . 8080") && text.contains("tcp . 8081"),
        "{text}"
    );
    assert_eq!(elements_of("ctr1"), 4, "none is left of the first\n{text}");
    host.succeed("CHECK", &other);
}

#[test]
fn sources_are_kept_masqueraded_or_paired() {
    for (changes, set, count) in [
        (json!({ "snat": false }), "keep-source-v4", 1),
        (json!({ "masqAll": true }), "masquerade-all-v4", 1),
        (json!({}), "hairpin-10.22.0.0/24", 1),
    ] {
        crate::support::in_own_world(|host| {
            let config = config(web(), changes.clone());
            host.add(&config);
            let listed = sh(&format!("nft list set inet podwire_portmap {set}"));
            assert_eq!(
                listed.matches("10.22.0.5 comment").count(),
                count,
                "{listed}"
            );
            host.succeed("CHECK", &config);
            host.succeed("DEL", &config);
            assert!(!table().contains("elements"), "{}", table());
        });
    }
    let Some(host) = host() else { return };
    let alone: serde_json::Value = serde_json::from_str(&config(web(), json!({}))).unwrap();
    let mut alone = alone;
    alone["prevResult"]["ips"] = json!([{ "address": "10.22.0.5/32", "interface": 1 }]);
    host.add(&alone.to_string());
    let listed = sh("nft list set inet podwire_portmap hairpins-v4");
    for pair in [
        "10.22.0.5 . 10.22.0.5 comment",
        "127.0.0.1 . 10.22.0.5 comment",
    ] {
        assert!(listed.contains(pair), "{listed}");
    }
    assert!(!table().contains("hairpin-10"), "no rule of its own");
    host.succeed("CHECK", &alone.to_string());
    host.succeed("DEL", &alone.to_string());
    assert!(!table().contains("elements"), "{}", table());
}

#[test]
fn del_needs_neither_mappings_nor_result_nor_the_networks_name() {
    for change in [
        json!({ "runtimeConfig": {} }),
        json!({ "prevResult": null }),
        json!({ "prevResult": null, "runtimeConfig": {} }),
        json!({ "prevResult": { "ips": [{ "address": "bad" }] } }),
        json!({ "name": "renamed" }),
        json!({ "name": "renamed", "runtimeConfig": {} }),
        json!({ "backend": "pf", "markMasqBit": 99 }),
        json!({ "snat": false, "conditionsV4": ["ip", "saddr", "10.0.0.0/8"] }),
        json!({ "runtimeConfig": { "portMappings": [mapping(0, 0, "x", "y")] } }),
        json!({ "runtimeConfig": { "portMappings": [mapping(53, 53, "udp", "192.0.2.1")] } }),
        json!({ "runtimeConfig": { "portMappings": [mapping(81, 80, "tcp", "")] } }),
        json!({ "backend": "iptables" }),
    ] {
        crate::support::in_own_world(|host| {
            let mappings = json!([
                mapping(8080, 80, "tcp", ""),
                mapping(53, 53, "udp", "192.0.2.1")
            ]);
            host.add(&config(mappings.clone(), json!({})));
            let other = config_of(6, json!([mapping(53, 53, "udp", "192.0.2.9")]), json!({}));
            host.add_with(&other, &CTR2);
            assert_eq!((elements_of("ctr1"), elements_of("ctr2")), (5, 2));
            let mut changed = config(mappings, change.clone());
            if change["prevResult"].is_null() && change.get("prevResult").is_some() {
                changed = changed.replace("\"prevResult\":null,", "");
            }
            for _ in 0..2 {
                host.succeed_with("DEL", &changed, &[("CNI_NETNS", "")]);
            }
            assert_eq!(
                (elements_of("ctr1"), elements_of("ctr2")),
                (0, 2),
                "{change}"
            );
            assert!(
                table().contains(r#"elements = { udp . 53 comment "addresses: 1" }"#),
                "still claimed\n{}",
                table()
            );
            host.succeed_with("DEL", &other, &CTR2);
            assert!(!table().contains("elements"), "{}", table());
        });
    }
}

/// Of a pod of which nothing is remembered, all that bears its name.
#[test]
fn del_without_a_record_removes_all_mappings_though_it_is_told_of_fewer() {
    let Some(host) = host() else { return };
    let mappings = json!([
        mapping(8080, 80, "tcp", ""),
        mapping(53, 53, "udp", "192.0.2.1")
    ]);
    host.add(&config(mappings, json!({})));
    sh("rm -r /run/podwire");
    host.succeed("DEL", &config(web(), json!({})));
    assert!(!table().contains("elements"), "{}", table());
}

/// The ports that are claimed, each with what stands at it.
fn claimed() -> String {
    let text = sh("nft list set inet podwire_portmap claimed-v4");
    let elements = text.split_once("elements = {").map_or("", |(_, rest)| rest);
    elements
        .chars()
        .filter(|c| !"{}\n\t".contains(*c))
        .collect::<String>()
        .trim()
        .to_owned()
}

#[test]
fn a_port_on_addresses_is_claimed_until_the_last_has_gone() {
    let Some(host) = host() else { return };
    let on = |address| json!([mapping(8080, 80, "tcp", address)]);
    let first = config(
        json!([
            mapping(8080, 80, "tcp", "192.0.2.1"),
            mapping(8080, 80, "tcp", "192.0.2.2")
        ]),
        json!({}),
    );
    let second = config_of(6, on("192.0.2.3"), json!({}));
    host.add(&first);
    assert_eq!(claimed(), r#"tcp . 8080 comment "addresses: 2""#);
    host.add_with(&second, &CTR2);
    host.add_with(&second, &CTR2);
    assert_eq!(claimed(), r#"tcp . 8080 comment "addresses: 3""#);
    // A second ADD with fewer.
    host.add(&config(on("192.0.2.2"), json!({})));
    assert_eq!(claimed(), r#"tcp . 8080 comment "addresses: 2""#);
    // What an earlier release wrote, and what somebody flushed, is counted anew.
    for damage in [
        "nft delete element inet podwire_portmap claimed-v4 '{ tcp . 8080 }'
        nft add element inet podwire_portmap claimed-v4 '{ tcp . 8080 }'",
        "nft flush set inet podwire_portmap claimed-v4",
    ] {
        sh(damage);
        host.succeed_with("DEL", &second, &CTR2);
        assert_eq!(
            claimed(),
            r#"tcp . 8080 comment "addresses: 1""#,
            "{damage}"
        );
        host.add_with(&second, &CTR2);
        assert_eq!(
            claimed(),
            r#"tcp . 8080 comment "addresses: 2""#,
            "{damage}"
        );
    }
    sh("nft flush ruleset");
    host.add_with(&second, &CTR2);
    host.succeed_with("DEL", &second, &CTR2);
    host.succeed("DEL", &config(on("192.0.2.2"), json!({})));
    assert_eq!(claimed(), "");
    // GC removes what nobody claims.
    sh("nft add element inet podwire_portmap claimed-v4 '{ tcp . 9 }'");
    let gc = json!({ "cniVersion": "1.1.0", "name": "dbnet", "type": "portmap",
        "cni.dev/valid-attachments": [] });
    host.succeed("GC", &gc.to_string());
    assert_eq!(claimed(), "");
}

/// More than what a socket sends at once without being told to.
#[test]
fn a_thousand_ports_are_mapped_at_once() {
    for (backend, on) in [
        ("nftables", ""),
        ("nftables", "192.0.2.1"),
        ("iptables", ""),
    ] {
        crate::support::in_own_world(|host| {
            let ports = 10_000..11_000;
            let mappings: Vec<_> = ports.map(|port| mapping(port, port, "tcp", on)).collect();
            let config = config(json!(mappings), json!({ "backend": backend }));
            // The second one looks at all that the first has made.
            for _ in 0..2 {
                host.add(&config);
                host.succeed("CHECK", &config);
            }
            host.succeed("DEL", &config);
            host.fail("CHECK", &config);
            let left = table() + &sh("iptables-save -t nat | grep CNI-DN || true");
            let is_clean = !left.contains("elements") && !left.contains("CNI-DN");
            assert!(is_clean, "{backend} {on}: {left}");
        });
    }
}

#[test]
fn gc_keeps_valid_attachments_and_other_networks() {
    let Some(host) = host() else { return };
    let conditions =
        json!({ "conditionsV4": ["ip", "saddr", "{", "10.0.0.0/8,", "192.0.2.2", "}"] });
    let first = config(json!([mapping(53, 53, "udp", "192.0.2.1")]), conditions);
    host.add(&first);
    let second = config_of(6, json!([mapping(8081, 80, "tcp", "")]), json!({}));
    host.add_with(&second, &CTR2);
    let other = config_of(
        7,
        json!([mapping(8082, 80, "tcp", "")]),
        json!({ "name": "other" }),
    );
    host.add_with(&other, &[("CNI_CONTAINERID", "ctr3")]);
    let gc = |valid: serde_json::Value| {
        json!({ "cniVersion": "1.1.0", "name": "dbnet", "type": "portmap",
                "cni.dev/valid-attachments": valid })
        .to_string()
    };
    host.succeed(
        "GC",
        &json!({ "cniVersion": "1.1.0", "name": "dbnet", "type": "portmap" }).to_string(),
    );
    assert_eq!(["ctr1", "ctr2", "ctr3"].map(elements_of), [2, 4, 4]);
    host.succeed(
        "GC",
        &gc(json!([{ "containerID": "ctr2", "ifname": "eth0" }])),
    );
    assert_eq!(["ctr1", "ctr2", "ctr3"].map(elements_of), [0, 4, 4]);
    let text = table();
    assert!(
        !text.contains("conditions-") && !text.contains("udp . 53"),
        "{text}"
    );
    host.succeed("GC", &gc(json!([])));
    assert_eq!(["ctr2", "ctr3"].map(elements_of), [0, 4]);
    assert!(table().contains("hairpin-10.22.0.0/24"), "others have it");
    host.succeed_with("CHECK", &other, &[("CNI_CONTAINERID", "ctr3")]);
    // What was removed can be made again.
    host.add(&first);
    host.succeed("CHECK", &first);
}

#[test]
fn conditions_are_a_chain_of_the_networks_that_have_them() {
    let Some(host) = host() else { return };
    let words = json!([
        "iifname",
        "!=",
        "{",
        "eth8,",
        "eth9",
        "}",
        "ip",
        "saddr",
        "!=",
        "192.0.2.0/25"
    ]);
    let config = config(web(), json!({ "conditionsV4": words }));
    host.add(&config);
    let text = table();
    let jump = "ip saddr != 192.0.2.0/25 jump conditions-v4-";
    assert!(
        text.contains(jump) && text.contains("iifname != @conditions-v4-"),
        "{text}"
    );
    assert!(text.contains(r#"elements = { "eth8","#), "{text}");
    host.succeed("CHECK", &config);
    // Another pod with the same conditions shares them.
    let second = config_of(
        6,
        json!([mapping(81, 80, "tcp", "")]),
        json!({ "conditionsV4": words }),
    );
    host.add_with(&second, &CTR2);
    assert_eq!(table().matches(jump).count(), 1);
    host.succeed("DEL", &config);
    host.succeed_with("CHECK", &second, &CTR2);
    assert!(
        succeeds("nft list ruleset | grep -q conditionsV4"),
        "people see what they are"
    );
}

#[test]
fn forgotten_connections_are_those_of_the_mapped_ports() {
    let Some(host) = host() else { return };
    sh(
        "nft 'add table inet t; add chain inet t c { type filter hook output priority 0; }; add rule inet t c ct state new counter'",
    );
    let send =
        "for p in 53 54; do echo x > /dev/udp/192.0.2.2/$p; echo x > /dev/udp/192.0.2.1/$p; done";
    let seen = |port: u16| {
        sh(&format!(
            "grep -c ' udp .* dport={port} .*src' /proc/thread-self/net/nf_conntrack || true"
        ))
    };
    let config = config(json!([mapping(53, 5353, "udp", "192.0.2.1")]), json!({}));
    for command in ["ADD", "DEL"] {
        // A listener lest an ICMP answer ends the connections.
        sh(&format!("bash -c '{send}'"));
        let before = (seen(53), seen(54));
        let outcome = host.call(command, &config);
        assert_eq!(outcome.code, 0, "{}", outcome.stdout);
        let address = sh(
            "grep ' udp .*dst=192.0.2.1 .* dport=53 ' /proc/thread-self/net/nf_conntrack || true",
        );
        assert_eq!(address, "", "{command}");
        assert_eq!(seen(54), before.1, "{command}: other ports");
        assert!(
            succeeds("grep -q 'dst=192.0.2.2 .* dport=53 ' /proc/thread-self/net/nf_conntrack"),
            "other addresses"
        );
    }
}

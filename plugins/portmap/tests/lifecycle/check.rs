//! CHECK finds whatever keeps packets from a mapped port.

use harness::sh;
use serde_json::json;

use crate::support::{config, in_own_world, mapping};

const T: &str = "inet podwire_portmap";

#[test]
fn every_deviation_is_named_and_the_next_add_mends_it() {
    let cases = [
        ("flush ruleset".to_owned(), "was the ruleset flushed?"),
        (format!("delete table {T}"), "was the ruleset flushed?"),
        (format!("add table {T} {{ flags dormant; }}"), "is dormant"),
        (
            format!("flush chain {T} prerouting"),
            "prerouting lacks its rule \"jump hostports\"",
        ),
        (
            format!("flush chain {T} output"),
            "output lacks its rule \"jump hostports\"",
        ),
        (
            format!("flush chain {T} guard"),
            "guard lacks its rule \"drop\"",
        ),
        (
            format!("flush chain {T} hostports"),
            "hostports lacks its rule",
        ),
        (
            format!("flush chain {T} postrouting"),
            "postrouting lacks its rule",
        ),
        (
            format!("delete chain {T} output; add chain {T} output"),
            "output is not at its hook (output of nat, priority -100)",
        ),
        (
            format!(
                "delete chain {T} guard; add chain {T} guard {{ type filter hook input priority 0; }}"
            ),
            "guard is not at its hook (prerouting of filter, priority -300)",
        ),
        (
            format!("delete element {T} ports-v4 {{ tcp . 8080 }}"),
            "tcp 8080 (IPv4) is not mapped",
        ),
        (
            format!("delete element {T} addresses-v4 {{ 192.0.2.1 . udp . 53 }}"),
            "udp 192.0.2.1:53 (IPv4) is not mapped",
        ),
        (
            format!("delete element {T} claimed-v4 {{ udp . 53 }}"),
            "claimed-v4 lacks its port",
        ),
        (
            format!("delete element {T} hairpin-10.22.0.0/24 {{ 10.22.0.5 }}"),
            "hairpin-10.22.0.0/24 has no element 10.22.0.5",
        ),
    ];
    for (damage, text) in cases {
        in_own_world(|host| {
            let mappings = json!([
                mapping(8080, 80, "tcp", ""),
                mapping(53, 53, "udp", "192.0.2.1")
            ]);
            let config = config(mappings, json!({}));
            host.add(&config);
            host.succeed("CHECK", &config);
            sh(&format!("nft '{damage}'"));
            let (code, message) = host.fail("CHECK", &config);
            assert!(code == 999 && message.contains(text), "{damage}: {message}");
            host.add(&config);
            host.succeed("CHECK", &config);
        });
    }
}

#[test]
fn what_only_people_can_mend_is_named() {
    for (damage, text) in [
        (
            format!(
                "delete element {T} ports-v6 {{ tcp . 8080 }}; add element {T} ports-v6 {{ tcp . 8080 : 2001:db8:22::9 . 80 }}"
            ),
            "tcp 8080 (IPv6) is not mapped",
        ),
        (
            format!("insert rule {T} hostports accept"),
            "has a rule of somebody else's",
        ),
        (
            format!("add rule {T} postrouting return"),
            "has a rule of somebody else's",
        ),
    ] {
        in_own_world(|host| {
            let config = config(json!([mapping(8080, 80, "tcp", "")]), json!({}));
            host.add(&config);
            sh(&format!("nft '{damage}'"));
            let (_, message) = host.fail("CHECK", &config);
            assert!(message.contains(text), "{damage}: {message}");
        });
    }
}

#[test]
fn localhost_needs_its_sysctl() {
    in_own_world(|host| {
        let config = config(json!([mapping(8080, 80, "tcp", "")]), json!({}));
        host.add(&config);
        sh("echo 0 > /proc/sys/net/ipv4/conf/br0/route_localnet");
        let (_, message) = host.fail("CHECK", &config);
        let text = "net/ipv4/conf/br0/route_localnet is not 1: 127.0.0.1 does not reach the pod";
        assert_eq!(message, text);
    });
}

#[test]
fn values_of_conditions_are_looked_at() {
    in_own_world(|host| {
        let words = json!(["ip", "saddr", "{", "10.0.0.0/8,", "192.0.2.2", "}"]);
        let config = config(
            json!([mapping(8080, 80, "tcp", "")]),
            json!({ "conditionsV4": words }),
        );
        host.add(&config);
        host.succeed("CHECK", &config);
        let set = sh(
            "nft list table inet podwire_portmap | sed -n 's/.*set \\(conditions-[^ ]*\\).*/\\1/p'",
        );
        sh(&format!("nft flush set {T} {}", set.trim()));
        let (_, message) = host.fail("CHECK", &config);
        assert!(message.contains("lacks 10.0.0.0"), "{message}");
        let status = json!({ "cniVersion": "1.1.0", "name": "dbnet", "type": "portmap" });
        host.succeed("STATUS", &status.to_string());
        let (code, _) = host.fail(
            "STATUS",
            &json!({ "cniVersion": "1.1.0", "name": "dbnet", "type": "portmap", "backend": "pf" })
                .to_string(),
        );
        assert_eq!(code, 50);
    });
}

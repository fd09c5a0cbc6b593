//! Two pods that ask for one host port.

use harness::sh;
use serde_json::{Value, json};

use crate::support::{
    CTR2, config, config_of, elements_of, in_own_world, mapping, table, web, wire,
};

const FIRST: &str = r#"network "dbnet", container "ctr1", interface "eth0""#;

/// What the first pod has, what the second asks for, and what it is told then.
fn cases() -> Vec<(Value, Value, Value, Option<&'static str>)> {
    let on = |address: &str| json!([mapping(8080, 80, "tcp", address)]);
    let nothing = json!({});
    let eth0 = json!({ "conditionsV4": ["iifname", "eth0"], "conditionsV6": ["iifname", "eth0"] });
    let eth1 = json!({ "conditionsV4": ["iifname", "eth1"], "conditionsV6": ["iifname", "eth1"] });
    let both = |first: &Value, second: &Value| json!([first, second]);
    vec![
        (
            on(""),
            on(""),
            both(&nothing, &nothing),
            Some("tcp 8080 (IPv4)"),
        ),
        (
            on("0.0.0.0"),
            on(""),
            both(&nothing, &nothing),
            Some("tcp 8080 (IPv4)"),
        ),
        (
            on("::"),
            on(""),
            both(&nothing, &nothing),
            Some("tcp 8080 (IPv6)"),
        ),
        (on("0.0.0.0"), on("::"), both(&nothing, &nothing), None),
        (
            on("192.0.2.1"),
            on(""),
            both(&nothing, &nothing),
            Some("tcp 8080 (IPv4)"),
        ),
        (
            on(""),
            on("192.0.2.1"),
            both(&nothing, &nothing),
            Some("tcp 192.0.2.1:8080 (IPv4)"),
        ),
        (
            on("192.0.2.1"),
            on("192.0.2.1"),
            both(&nothing, &nothing),
            Some("tcp 192.0.2.1:8080 (IPv4)"),
        ),
        (
            on("192.0.2.1"),
            on("192.0.2.9"),
            both(&nothing, &nothing),
            None,
        ),
        (on("192.0.2.1"), on("::"), both(&nothing, &nothing), None),
        (
            on(""),
            json!([mapping(8080, 80, "udp", "")]),
            both(&nothing, &nothing),
            None,
        ),
        (
            on(""),
            json!([mapping(8081, 80, "tcp", "")]),
            both(&nothing, &nothing),
            None,
        ),
        (on(""), on(""), both(&eth0, &eth1), None),
        (on(""), on(""), both(&eth0, &eth0), Some("tcp 8080 (IPv4)")),
        (
            on(""),
            on(""),
            both(&eth0, &nothing),
            Some("tcp 8080 (IPv4)"),
        ),
        (
            on("192.0.2.1"),
            on(""),
            both(&nothing, &eth0),
            Some("tcp 8080 (IPv4)"),
        ),
        (
            on("192.0.2.1"),
            on(""),
            both(&eth0, &nothing),
            Some("tcp 8080 (IPv4)"),
        ),
        (
            on(""),
            on("192.0.2.1"),
            both(&eth0, &nothing),
            Some("tcp 192.0.2.1:8080 (IPv4)"),
        ),
    ]
}

#[test]
fn the_second_is_refused_and_told_of_the_first() {
    for (first, second, changes, told) in cases() {
        in_own_world(|host| {
            let first = config(first, changes[0].clone());
            host.add(&first);
            let before = table();
            let second = config_of(6, second, changes[1].clone());
            let outcome = host.call_with("ADD", &second, &CTR2);
            match told {
                None => assert_eq!(outcome.code, 0, "{second}: {}", outcome.stdout),
                Some(what) => {
                    let (code, message) = host.fail_with("ADD", &second, &CTR2);
                    let text = format!("host port {what} is taken already, by {FIRST}");
                    assert_eq!((code, message), (999, text));
                    assert_eq!(table(), before);
                    let records = "ls /run/podwire/attachments/portmap | wc -l";
                    assert_eq!(sh(records).trim(), "1");
                }
            }
            host.succeed("CHECK", &first);
            // When the first has gone the port is free.
            host.succeed("DEL", &first);
            host.add_with(&second, &CTR2);
            host.succeed_with("CHECK", &second, &CTR2);
        });
    }
}

#[test]
fn a_leftover_that_leads_to_the_pods_own_address_is_replaced() {
    in_own_world(|host| {
        host.add_with(&config(web(), json!({})), &CTR2);
        host.add(&config(web(), json!({})));
        assert_eq!((elements_of("ctr1"), elements_of("ctr2")), (4, 0));
        host.succeed("CHECK", &config(web(), json!({})));
        // The late DEL of the former one takes nothing.
        host.succeed_with("DEL", &config(web(), json!({})), &CTR2);
        assert_eq!(elements_of("ctr1"), 4);
    });
}

#[test]
fn claims_of_pods_that_are_gone_are_leftovers() {
    for backend in ["nftables", "iptables"] {
        in_own_world(|host| {
            let by = json!({ "backend": backend });
            let ports = [8080, 8081];
            for (number, port) in (8..).zip(ports) {
                let (pod, netns) = (format!("dead{number}"), format!("/run/netns/dead{number}"));
                let container = format!("ctr{number}");
                host.world.pod(&pod);
                wire(&pod, number);
                let mappings = json!([mapping(port, 80, "tcp", "")]);
                host.add_with(
                    &config_of(number, mappings, by.clone()),
                    &[("CNI_CONTAINERID", &container), ("CNI_NETNS", &netns)],
                );
            }
            let both = json!(ports.map(|port| mapping(port, 80, "tcp", "")));
            let both = config(both, by.clone());
            let (_, message) = host.fail("ADD", &both);
            assert!(message.contains("taken already"), "{message}");
            sh("ip netns del dead8; ip netns del dead9");
            host.add(&both);
            host.succeed("CHECK", &both);
            let rules =
                sh("nft list ruleset; iptables-save -t nat; ls /run/podwire/attachments/portmap");
            assert!(
                !rules.contains("ctr8") && !rules.contains("ctr9"),
                "{rules}"
            );
        });
    }
}

#[test]
fn each_backend_sees_the_others_claims() {
    let by = |backend: &str| json!({ "backend": backend });
    for (first, second, told) in [
        ("nftables", "iptables", FIRST),
        (
            "iptables",
            "nftables",
            r#"network "dbnet", container "ctr1""#,
        ),
        (
            "iptables",
            "iptables",
            r#"network "dbnet", container "ctr1""#,
        ),
    ] {
        for on in ["", "192.0.2.1"] {
            in_own_world(|host| {
                let mappings = json!([mapping(8080, 80, "tcp", on)]);
                host.add(&config(mappings.clone(), by(first)));
                let rules = || sh("iptables-save -t nat | grep -v '^#'; nft list tables");
                let before = rules();
                let (_, message) = host.fail_with("ADD", &config_of(6, web(), by(second)), &CTR2);
                let text = format!("host port tcp 8080 (IPv4) is taken already, by {told}");
                assert_eq!(message, text, "{first}, {second}, {on:?}");
                assert_eq!(rules().replace("*nat", ""), before.replace("*nat", ""));
                // Two addresses are not in each other's way.
                let elsewhere = json!([mapping(8080, 80, "tcp", "192.0.2.9")]);
                if !on.is_empty() {
                    host.add_with(&config_of(6, elsewhere, by(second)), &CTR2);
                }
                host.add(&config(mappings.clone(), by(second)));
            });
        }
    }
}

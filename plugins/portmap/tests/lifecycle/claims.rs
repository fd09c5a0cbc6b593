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

/// `eth1` of the default pod, by network `second`, with 10.23.0.5; configuration and environment.
fn second_network(by: &Value) -> (String, [(&'static str, &'static str); 1]) {
    sh(
        "ip link add w5 type veth peer name eth1 netns pod; ip link set w5 up
        ip addr add 10.23.0.1/24 dev w5; ip -n pod link set eth1 up
        ip -n pod addr add 10.23.0.5/24 dev eth1",
    );
    let mut changes = by.clone();
    changes["name"] = json!("second");
    changes["prevResult"] = json!({
        "cniVersion": "1.1.0",
        "interfaces": [{ "name": "w5" }, { "name": "eth1", "sandbox": "/run/netns/pod" }],
        "ips": [{ "address": "10.23.0.5/24", "interface": 1 }],
    });
    (config(web(), changes), [("CNI_IFNAME", "eth1")])
}

#[test]
fn a_container_has_a_port_by_several_networks() {
    for backend in ["nftables", "iptables"] {
        let by = json!({ "backend": backend });
        in_own_world(|host| {
            let first = config(web(), by.clone());
            let (second, eth1) = second_network(&by);
            let rules = || sh("nft list ruleset; iptables-save -t nat");
            let leads_to = |address: &str| {
                let rules = rules();
                rules.contains(&format!("{address} . 80"))
                    || rules.contains(&format!("{address}:80"))
            };
            let both_pass = || {
                host.succeed("CHECK", &first);
                host.succeed_with("CHECK", &second, &eth1);
            };
            host.add(&first);
            host.add_with(&second, &eth1);
            assert!(leads_to("10.22.0.5"), "{backend}: the first one counts");
            both_pass();
            // After a flush either has it again, and the other waits.
            host.add_with(&second, &eth1);
            sh("nft flush ruleset");
            let gc = json!({ "cniVersion": "1.1.0", "name": "second", "type": "portmap" });
            host.succeed("GC", &gc.to_string());
            both_pass();
            let (_, message) = host.fail_with("ADD", &config_of(6, web(), by.clone()), &CTR2);
            assert!(message.contains("taken already"), "{message}");
            // Whichever goes, the other has the port.
            host.succeed("DEL", &first);
            host.succeed_with("CHECK", &second, &eth1);
            assert!(leads_to("10.23.0.5") && !leads_to("10.22.0.5"), "{backend}");
            host.add(&first);
            both_pass();
            host.succeed_with("DEL", &second, &eth1);
            host.succeed("CHECK", &first);
            host.add_with(&second, &eth1);
            let mut gc: Value = serde_json::from_str(&first).unwrap();
            gc["cni.dev/valid-attachments"] = json!([]);
            host.succeed("GC", &gc.to_string());
            host.succeed_with("CHECK", &second, &eth1);
            assert!(leads_to("10.23.0.5") && !leads_to("10.22.0.5"), "{backend}");
            host.succeed_with("DEL", &second, &eth1);
            assert!(!rules().contains("ctr1"), "{backend}: {}", rules());
        });
    }
}

/// A container that the runtime attached anew under another name of the network, without DEL.
#[test]
fn what_a_container_had_by_an_interface_that_is_gone_is_a_leftover() {
    in_own_world(|host| {
        let (second, eth1) = second_network(&json!({}));
        host.add_with(&second, &eth1);
        sh("ip -n pod link del eth1");
        let first = config(web(), json!({}));
        host.add(&first);
        host.succeed("CHECK", &first);
        let table = table();
        assert!(
            table.contains("10.22.0.5 . 80") && !table.contains("10.23.0.5"),
            "{table}"
        );
    });
}

#[test]
fn of_many_that_come_at_once_one_has_the_port() {
    for backend in ["nftables", "iptables"] {
        in_own_world(|host| {
            let numbers = [6, 7, 8, 9];
            for number in numbers {
                let pod = format!("pod{number}");
                host.world.pod(&pod);
                wire(&pod, number);
            }
            let config = |number| config_of(number, web(), json!({ "backend": backend }));
            let call = |command: &str, number: u8| {
                let (container, netns) = (format!("c{number}"), format!("/run/netns/pod{number}"));
                let env = [("CNI_CONTAINERID", &*container), ("CNI_NETNS", &*netns)];
                host.call_with(command, &config(number), &env)
            };
            let outcomes = std::thread::scope(|scope| {
                let calls = numbers.map(|number| scope.spawn(move || call("ADD", number)));
                calls.map(|call| call.join().unwrap())
            });
            let (mut winners, mut losers) = (Vec::new(), Vec::new());
            for (number, outcome) in numbers.into_iter().zip(outcomes) {
                match outcome.code {
                    0 => winners.push(number),
                    _ => losers.push(outcome.stdout),
                }
            }
            assert_eq!(winners.len(), 1, "{backend}: {losers:?}");
            let is_told = |text: &String| text.contains("taken already");
            assert!(losers.iter().all(is_told), "{backend}: {losers:?}");
            let check = call("CHECK", winners[0]);
            assert_eq!(check.code, 0, "{backend}: {}", check.stdout);
        });
    }
}

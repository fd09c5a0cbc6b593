//! What goes wrong, and what must be as before then; whose link DEL removes; chains. Where the kernel
//! has no ipvlan, that this is said.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use harness::{portrait, sh, steps, stepwise, with_prev_result};
use kernel::{Ipvlan, Netlink, NewKind};
use serde_json::{Value, json};

type Host = harness::Host<ipvlan::Ipvlan>;

const FULL: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "ipvlan", "master": "m0", "mtu": 1400, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "2001:db8:22::/64"}]], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}"#;
/// As the reference plugin makes it: without an alias.
const BY_REFERENCE: &str = "ip link add link m0 name made0 type ipvlan mode l2
    ip link set made0 netns pod name eth0; ip -n pod link set eth0 up; ip -n pod addr add 10.22.0.2/24 dev eth0";

fn has_ipvlan() -> bool {
    let netlink = Netlink::open().unwrap();
    netlink
        .has_link_kind(&NewKind::Ipvlan(Ipvlan::default()))
        .unwrap()
}

/// A host with the links `m0` and `m1`, each the other's peer, and a link of the pod's name.
fn in_own_world(test: impl FnOnce(&Host) + Send) {
    std::thread::scope(|scope| {
        let run = || {
            let host = Host::new()?;
            if !has_ipvlan() {
                eprintln!("skipped: this kernel has no ipvlan");
                return None;
            }
            sh(
                "ip link add m0 type veth peer name m1; ip link set m0 up; ip link set m1 up
                ip link add eth0 type veth peer name uplink",
            );
            test(&host);
            Some(())
        };
        if let Err(panic) = scope.spawn(run).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn pod() -> String {
    portrait::network(Some("pod"))
}

#[test]
#[ignore = "started by the other tests"]
fn add_in_a_process_of_its_own() {
    steps::child(&ipvlan::IPVLAN);
}

#[test]
fn a_kernel_without_ipvlan_is_told_of() {
    let Some(host) = Host::new() else { return };
    if has_ipvlan() {
        eprintln!("skipped: this kernel has ipvlan");
        return;
    }
    sh("ip link add m0 type veth peer name m1");
    let before = stepwise::state();
    let (code, message) = host.fail("ADD", FULL);
    assert!(
        code == 999 && message.starts_with("failed to create ipvlan: operation not supported"),
        "{message}"
    );
    assert_eq!(stepwise::state(), before);
    let message = "failed to create ipvlan: this kernel has no such kind of link";
    assert_eq!(host.fail("STATUS", FULL), (50, message.to_owned()));
    host.succeed("DEL", FULL);
}

#[test]
fn whatever_add_did_is_undone() {
    in_own_world(|host| {
        stepwise::leaves_everything_as_it_was(host, FULL, 2);
        stepwise::leaves_what_del_removes(host, FULL);
    });
}

#[test]
fn del_removes_the_link_of_this_attachment_and_no_other() {
    let result = |address: &str| {
        let mac = sh("cat /sys/class/net/m0/address");
        json!({ "cniVersion": "1.1.0", "interfaces": [{ "name": "eth0", "mac": mac.trim(), "sandbox": "/run/netns/pod" }],
            "ips": [{ "address": address, "interface": 0 }] })
    };
    for (address, made, stays) in [
        ("10.22.0.2/24", BY_REFERENCE.to_owned(), false),
        // All on one master have one MAC address: only the IP address tells them apart.
        ("10.22.0.3/24", BY_REFERENCE.to_owned(), true),
        (
            "10.22.0.2/24",
            format!("{BY_REFERENCE}; ip -n pod link set eth0 alias podwire:dbnet/ctr9/eth0"),
            true,
        ),
    ] {
        in_own_world(|host| {
            sh(&made);
            host.succeed("DEL", &with_prev_result(FULL, &result(address)));
            assert_eq!(pod().contains("eth0"), stays, "{address} {made}");
        });
    }
}

/// Without the master, and without anything that would name it.
#[test]
fn del_needs_no_master() {
    in_own_world(|host| {
        let added = with_prev_result(FULL, &host.add(FULL));
        let mut config: Value = serde_json::from_str(&added).unwrap();
        config["master"] = json!("");
        config["prevResult"]["interfaces"] = json!([{ "name": "a" }, { "name": "b" }]);
        host.succeed("DEL", &config.to_string());
        assert_eq!(
            (pod(), stepwise::reservations()),
            (String::new(), String::new())
        );
    });
}

#[test]
fn a_failed_add_leaves_everything_as_it_was() {
    let behind = |interfaces: Value, ips: Value| {
        let mut config: Value = serde_json::from_str(FULL).unwrap();
        config["master"] = json!("");
        config["ipam"] = json!(null);
        config["prevResult"] =
            json!({ "cniVersion": "1.1.0", "interfaces": interfaces, "ips": ips });
        config.to_string()
    };
    let address = json!([{ "address": "10.22.0.9/24" }]);
    for (config, setup, message) in [
        (
            behind(json!([{ "name": "m0" }, { "name": "m1" }]), address.clone()),
            "true",
            "chained master failure. PrevResult lacks a single named interface",
        ),
        (
            behind(json!([{ "name": "m0" }]), json!([])),
            "true",
            "no plugin name provided",
        ),
        (
            FULL.replace("\"mtu\"", "\"mode\": \"l4\", \"mtu\""),
            "true",
            "unknown ipvlan mode: \"l4\"",
        ),
        (
            FULL.replace("m0", "nope0"),
            "true",
            "failed to lookup master \"nope0\": Link not found",
        ),
        (
            FULL.to_owned(),
            "ip -n pod link add eth0 type veth peer name eth0p",
            "failed to rename ipvlan to \"eth0\": file exists",
        ),
        (
            FULL.to_owned(),
            "ip link add br0 type bridge; ip link set m0 master br0",
            "failed to create ipvlan: device or resource busy",
        ),
        (
            FULL.replace(
                "\"0.0.0.0/0\"",
                "\"192.168.9.0/24\", \"gw\": \"172.31.0.1\"",
            ),
            "true",
            "failed to add route",
        ),
    ] {
        in_own_world(|host| {
            sh(setup);
            let before = stepwise::state();
            let (code, seen) = host.fail("ADD", &config);
            assert!(
                code == 999 && seen.starts_with(message),
                "{code} {seen}\nexpected: {message}"
            );
            assert_eq!(stepwise::state(), before, "{message}");
        });
    }
}

#[test]
fn check_finds_what_is_damaged() {
    for (damage, message) in [
        ("ip -n pod link set eth0 mtu 1300", "Interface eth0 has MTU 1300, less than the configured 1400"),
        ("ip -n pod link set eth0 down", "Interface eth0 is down"),
        (
            "ip -n pod link set eth0 type ipvlan mode l3",
            "Container IPVlan mode l3 does not match expected value: l2",
        ),
        ("ip link set m0 address c2:11:22:00:00:99", "Interface eth0 Mac "),
        ("ip -n pod link del eth0", "Interface name eth0 not found"),
        (
            "mac=$(cat /sys/class/net/m0/address); ip -n pod link del eth0; ip link set m1 address $mac
            ip link add link m1 name other0 type ipvlan mode l2; ip link set other0 netns pod name eth0",
            "Interface eth0 is not on master m0",
        ),
    ] {
        in_own_world(|host| {
            let added = with_prev_result(FULL, &host.add(FULL));
            host.succeed("CHECK", &added);
            sh(damage);
            let (_, seen) = host.fail("CHECK", &added);
            assert!(seen.starts_with(message), "{damage}: {seen}");
        });
    }
}

#[test]
fn status_asks_for_a_named_master_alone() {
    in_own_world(|host| {
        host.succeed("STATUS", FULL);
        host.succeed("STATUS", &FULL.replace("\"m0\"", "\"\""));
        let (code, _) = host.fail("STATUS", &FULL.replace("m0", "nope0"));
        assert_eq!(code, 50);
    });
}

//! What goes wrong, and what must be as before then; whose link DEL removes. Where the kernel has no
//! VLAN interfaces, that this is said.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use harness::{portrait, sh, steps, stepwise, with_prev_result};
use kernel::{Netlink, NewKind, Vlan};
use serde_json::{Value, json};

type Host = harness::Host<vlan::Vlan>;

const FULL: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "vlan", "master": "m0", "vlanId": 5, "mtu": 1400, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "2001:db8:22::/64"}]], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}"#;
/// As the reference plugin makes it: without an alias.
const BY_REFERENCE: &str = "ip link add link m0 name made0 type vlan id 5
    ip link set made0 netns pod name eth0; ip -n pod link set eth0 up; ip -n pod addr add 10.22.0.2/24 dev eth0";

fn has_vlan() -> bool {
    let netlink = Netlink::open().unwrap();
    netlink
        .has_link_kind(&NewKind::Vlan(Vlan::default()))
        .unwrap()
}

/// A host with the links `m0` and `m1`, each the other's peer, and a link of the pod's name.
fn in_own_world(test: impl FnOnce(&Host) + Send) {
    std::thread::scope(|scope| {
        let run = || {
            let host = Host::new()?;
            if !has_vlan() {
                eprintln!("skipped: this kernel has no VLAN interfaces");
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
    steps::child(&vlan::VLAN);
}

#[test]
fn a_kernel_without_vlan_interfaces_is_told_of() {
    let Some(host) = Host::new() else { return };
    if has_vlan() {
        eprintln!("skipped: this kernel has VLAN interfaces");
        return;
    }
    sh("ip link add m0 up type veth peer name m1");
    let before = stepwise::state();
    let (code, message) = host.fail("ADD", FULL);
    assert!(
        code == 999 && message.starts_with("failed to create vlan: operation not supported"),
        "{message}"
    );
    assert_eq!(stepwise::state(), before);
    let message = "failed to create vlan: this kernel has no such kind of link";
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
            let mac = sh("cat /sys/class/net/m0/address");
            let result = json!({ "cniVersion": "1.1.0",
                "interfaces": [{ "name": "eth0", "mac": mac.trim(), "sandbox": "/run/netns/pod" }],
                "ips": [{ "address": address, "interface": 0 }] });
            host.succeed("DEL", &with_prev_result(FULL, &result));
            assert_eq!(pod().contains("eth0"), stays, "{address} {made}");
        });
    }
}

/// Nothing of what ADD would refuse keeps DEL from releasing.
#[test]
fn del_needs_nothing_of_the_configuration_but_ipam() {
    in_own_world(|host| {
        let added = with_prev_result(FULL, &host.add(FULL));
        let mut config: Value = serde_json::from_str(&added).unwrap();
        config["master"] = json!("");
        config["vlanId"] = json!(5000);
        config["mtu"] = json!(9000);
        host.succeed("DEL", &config.to_string());
        assert_eq!(
            (pod(), stepwise::reservations()),
            (String::new(), String::new())
        );
    });
}

#[test]
fn a_failed_add_leaves_everything_as_it_was() {
    for (config, setup, message) in [
        (
            FULL.replace("m0", ""),
            "true",
            "\"master\" field is required. It specifies the host interface name to create the VLAN for",
        ),
        (
            FULL.replace("m0", "nope0"),
            "true",
            "failed to lookup master \"nope0\": Link not found",
        ),
        (
            FULL.replace("\"vlanId\": 5", "\"vlanId\": 4095"),
            "true",
            "invalid VLAN ID 4095",
        ),
        (
            FULL.replace("1400", "1501"),
            "true",
            "invalid MTU 1501, must be [0, master MTU(1500)]",
        ),
        (
            FULL.replace("\"ipam\"", "\"other\""),
            "true",
            "failed to execute IPAM delegate: no plugin name provided",
        ),
        (
            FULL.replace("10.22.0.0/24", "10.22.0.0/31"),
            "true",
            "failed to execute IPAM delegate: ",
        ),
        (
            FULL.to_owned(),
            "ip link add link m0 name taken type vlan id 5",
            "failed to create vlan: file exists: \"m0\" has an interface for VLAN 5 already",
        ),
        (
            FULL.to_owned(),
            "ip -n pod link add eth0 type veth peer name eth0p",
            "failed to rename vlan to \"eth0\": file exists",
        ),
        (
            FULL.to_owned(),
            "ip link set m0 down",
            "failed to set \"eth0\" UP: network is down",
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
        (
            "ip -n pod link set eth0 mtu 1300",
            "Error: Tuning configured MTU of eth0 is 1400, current value is 1300",
        ),
        ("ip -n pod link set eth0 down", "Interface eth0 is down"),
        ("ip -n pod link set eth0 address c2:11:22:00:00:99", "Interface eth0 Mac "),
        ("ip -n pod link del eth0", "Interface name eth0 not found"),
        (
            "ip -n pod link del eth0; ip link add link m0 name other0 mtu 1400 type vlan id 6; ip link set other0 netns pod name eth0",
            "Error: VLAN ID of link eth0 is 6, configured is 5",
        ),
        (
            "mac=$(cat /sys/class/net/m0/address); ip -n pod link del eth0; ip link set m1 address $mac
            ip link add link m1 name other0 mtu 1400 type vlan id 5; ip link set other0 netns pod name eth0",
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
fn status_says_what_add_would_run_into() {
    in_own_world(|host| {
        host.succeed("STATUS", FULL);
        host.succeed(
            "STATUS",
            &FULL
                .replace("\"mtu\"", "\"linkInContainer\": true, \"mtu\"")
                .replace("m0", "p0"),
        );
        for (config, setup) in [
            (FULL.replace("m0", "nope0"), "true"),
            (FULL.replace("m0", ""), "true"),
            (FULL.replace("\"ipam\"", "\"other\""), "true"),
            (FULL.to_owned(), "ip link set m0 down"),
        ] {
            sh(setup);
            assert_eq!(host.fail("STATUS", &config).0, 50, "{config} {setup}");
        }
    });
}

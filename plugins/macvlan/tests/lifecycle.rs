//! What goes wrong, and what must be as before then; whose link DEL removes; packets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use harness::{portrait, sh, steps, stepwise, succeeds, with_prev_result};

type Host = harness::Host<macvlan::Macvlan>;

const FULL: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "macvlan", "master": "m0", "mtu": 1400, "bcqueuelen": 500, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "2001:db8:22::/64"}]], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}"#;
/// As the reference plugin makes it: without an alias.
const BY_REFERENCE: &str = "ip link add link m0 name made0 address c2:11:22:00:00:07 type macvlan mode bridge
    ip link set made0 netns pod name eth0; ip -n pod link set eth0 up; ip -n pod addr add 10.22.0.2/24 dev eth0";
/// What it says of that.
const ITS_RESULT: &str = r#"{"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "mac": "c2:11:22:00:00:07", "sandbox": "/run/netns/pod"}], "ips": [{"address": "10.22.0.2/24", "interface": 0}]}"#;

/// A host with the links `m0` and `m1`, each the other's peer, and a link of the pod's name.
fn host() -> Option<Host> {
    let host = Host::new()?;
    sh(
        "ip link add m0 type veth peer name m1; ip link set m0 up; ip link set m1 up
        ip link add eth0 type veth peer name uplink",
    );
    Some(host)
}

fn in_own_world(test: impl FnOnce(&Host) + Send) {
    std::thread::scope(|scope| {
        let ran = scope.spawn(|| host().map(|host| test(&host))).join();
        if let Err(panic) = ran {
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
    steps::child(&macvlan::MACVLAN);
}

#[test]
fn a_failure_or_a_panic_after_any_step_leaves_everything_as_it_was() {
    in_own_world(|host| stepwise::leaves_everything_as_it_was(host, FULL, 2));
}

#[test]
fn a_kill_after_any_step_leaves_what_del_removes() {
    in_own_world(|host| stepwise::leaves_what_del_removes(host, FULL));
}

/// Whoever knew the addresses by another MAC address knows the pod's at once, without asking.
#[test]
fn a_pod_is_announced_and_reaches_the_machines_of_the_link() {
    in_own_world(|host| {
        host.world.pod("lan");
        sh(
            "ip link set m1 netns lan; ip -n lan link set m1 up; ip -n lan addr add 10.22.0.1/24 dev m1
            ip -n lan addr add 2001:db8:22::1/64 dev m1 nodad
            for a in 10.22.0.2 2001:db8:22::2; do
                ip -n lan neigh add $a lladdr 02:00:00:00:00:99 nud stale dev m1
            done",
        );
        let result = host.add(FULL);
        let mac = result["interfaces"][0]["mac"].as_str().unwrap();
        let limit = Instant::now() + Duration::from_secs(20);
        while sh("ip -n lan neigh").matches(mac).count() < 2 {
            assert!(Instant::now() < limit, "{}", sh("ip -n lan neigh"));
            std::thread::sleep(Duration::from_millis(20));
        }
        for address in ["10.22.0.1", "2001:db8:22::1"] {
            let ping = format!("ip netns exec pod ping -c 1 -i 0.2 -w 5 {address}");
            assert!(succeeds(&ping), "{address} does not answer");
        }
        let added = with_prev_result(FULL, &result);
        host.succeed("CHECK", &added);
        host.succeed("DEL", &added);
        host.succeed("DEL", &added);
        assert_eq!(pod(), "");
    });
}

#[test]
fn del_removes_the_link_of_this_attachment_and_no_other() {
    let other = "podwire:dbnet/ctr9/eth0";
    let recorded = with_prev_result(FULL, &serde_json::from_str(ITS_RESULT).unwrap());
    for (what, config, made, stays) in [
        ("the reference's", &recorded, BY_REFERENCE.to_owned(), false),
        (
            "the same without its result",
            &FULL.to_owned(),
            BY_REFERENCE.to_owned(),
            false,
        ),
        (
            "the same after the pod changed its MAC address",
            &recorded,
            format!("{BY_REFERENCE}; ip -n pod link set eth0 address c2:11:22:00:00:99"),
            false,
        ),
        (
            "another container's by the reference",
            &recorded,
            format!(
                "{BY_REFERENCE}; ip -n pod link set eth0 address c2:11:22:00:00:99
                ip -n pod addr flush dev eth0; ip -n pod addr add 10.22.0.3/24 dev eth0"
            ),
            true,
        ),
        (
            "another attachment's",
            &FULL.to_owned(),
            format!("{BY_REFERENCE}; ip -n pod link set eth0 alias {other}"),
            true,
        ),
        (
            "another kind",
            &FULL.to_owned(),
            "ip -n pod link add eth0 type veth peer name eth0p".to_owned(),
            true,
        ),
    ] {
        in_own_world(|host| {
            sh(&made);
            host.succeed("DEL", config);
            assert_eq!(pod().contains("eth0"), stays, "{what}");
        });
    }
}

#[test]
fn del_finds_the_link_under_another_name_and_one_without_name_and_alias() {
    in_own_world(|host| {
        let added = with_prev_result(FULL, &host.add(FULL));
        sh("ip -n pod link set eth0 down; ip -n pod link set eth0 name net7");
        host.succeed("DEL", &added);
        assert_eq!(pod(), "");
        let identity = attach::Identity {
            network: "dbnet",
            container_id: "ctr1",
            ifname: "eth0",
        };
        let name = &identity.host_veth_names()[0];
        sh(&format!(
            "ip link add link m0 name {name} type macvlan; ip link set {name} netns pod"
        ));
        assert!(pod().contains(name.as_str()));
        host.succeed("DEL", FULL);
        assert_eq!(pod(), "");
    });
}

#[test]
fn a_failed_add_leaves_everything_as_it_was() {
    let with = |key: &str| FULL.replace("\"mtu\": 1400", key);
    for (config, setup, message) in [
        (
            with("\"mtu\": 1501"),
            "true",
            "invalid MTU 1501, must be [0, master MTU(1500)]",
        ),
        (
            with("\"mtu\": -1"),
            "true",
            "invalid MTU -1, must be [0, master MTU(1500)]",
        ),
        (
            with("\"mode\": \"source\""),
            "true",
            "unknown macvlan mode: \"source\"",
        ),
        (
            with("\"mac\": \"xx\""),
            "true",
            "invalid args xx for MAC addr: address xx: invalid MAC address",
        ),
        (
            FULL.replace("m0", "nope0"),
            "true",
            "failed to lookup master \"nope0\": Link not found",
        ),
        (
            FULL.replace("\"m0\"", "\"\""),
            "true",
            "no default route interface found",
        ),
        (
            FULL.replace(
                "\"0.0.0.0/0\"",
                "\"192.168.9.0/24\", \"gw\": \"172.31.0.1\"",
            ),
            "true",
            "failed to add route",
        ),
        (
            FULL.to_owned(),
            "ip -n pod link add eth0 type veth peer name eth0p",
            "failed to rename macvlan to \"eth0\": file exists",
        ),
        (
            with("\"linkInContainer\": true").replace("m0", "p0"),
            "ip -n pod link add p0 type veth peer name eth0",
            "failed to create macvlan: file exists: the container has an interface \"eth0\"",
        ),
        (
            FULL.to_owned(),
            "ip link add br0 type bridge; ip link set m0 master br0",
            "failed to create macvlan: device or resource busy",
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
            "ip -n pod link set eth0 type macvlan mode private",
            "container macvlan mode private does not match expected value: bridge",
        ),
        (
            "ip -n pod link set eth0 address c2:11:22:00:00:99",
            "Interface eth0 Mac ",
        ),
        ("ip -n pod -6 route del default", "Expected Route {Dst:{IP::: "),
        (
            "mac=$(ip netns exec pod cat /sys/class/net/eth0/address); ip -n pod link del eth0
            ip link add link m1 name other0 address $mac type macvlan mode bridge; ip link set other0 netns pod name eth0",
            "Interface eth0 is not on master m0",
        ),
        ("ip link del m0", "Interface name eth0 not found"),
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
fn a_macvlan_as_master_and_a_master_in_the_container() {
    for (master, setup, inside) in [
        (
            "up0",
            "ip link add link m0 name up0 type macvlan mode bridge; ip link set up0 up",
            false,
        ),
        (
            "p0",
            "ip -n pod link add p0 type veth peer name p1; ip -n pod link set p0 up",
            true,
        ),
        (
            "up0",
            "ip link add link m0 name up0 type macvlan mode bridge; ip link set up0 netns pod; ip -n pod link set up0 up",
            true,
        ),
    ] {
        in_own_world(|host| {
            sh(setup);
            let key = format!("\"linkInContainer\": {inside}, \"mtu\"");
            let config = FULL.replace("m0", master).replace("\"mtu\"", &key);
            let added = with_prev_result(&config, &host.add(&config));
            host.succeed("CHECK", &added);
            host.succeed("DEL", &added);
            assert!(!pod().contains("eth0"), "{setup}");
        });
    }
}

#[test]
fn gc_and_status() {
    in_own_world(|host| {
        host.add(FULL);
        host.succeed("STATUS", FULL);
        for (config, message) in [
            (
                FULL.replace("m0", "nope0"),
                "failed to lookup master \"nope0\": Link not found",
            ),
            (
                FULL.replace("\"m0\"", "\"\""),
                "no default route interface found",
            ),
        ] {
            assert_eq!(host.fail("STATUS", &config), (50, message.to_owned()));
        }
        host.succeed(
            "STATUS",
            &FULL
                .replace("\"mtu\"", "\"linkInContainer\": true, \"mtu\"")
                .replace("m0", "p0"),
        );
        sh("ip link add br0 type bridge; ip link set m1 master br0");
        let (code, message) = host.fail("STATUS", &FULL.replace("m0", "m1"));
        assert!(
            code == 50 && message.contains("port of a bridge"),
            "{code} {message}"
        );
        let listed = r#""cni.dev/valid-attachments": [], "name""#;
        host.succeed("GC", &FULL.replace(r#""name""#, listed));
        assert_eq!(stepwise::reservations(), "");
    });
}

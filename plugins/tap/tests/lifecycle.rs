//! What goes wrong, and what must be as before then; what CHECK sees; what STATUS says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use harness::{ip, portrait, sh, steps, with_prev_result};

type Host = harness::Host<tap::Tap>;

const PLAIN: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "tap"}"#;
const FULL: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "tap", "multiQueue": true, "owner": 12345, "group": 12346, "mtu": 1400, "mac": "c2:11:22:33:44:05", "bridge": "brp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "2001:db8:22::/64"}]], "routes": [{"dst": "0.0.0.0/0"}]}}"#;

fn with_bridge() -> Option<Host> {
    let host = Host::new()?;
    sh(
        "ip netns exec pod sysctl -qw net.ipv6.conf.default.accept_dad=0; \
        ip -n pod link add brp type bridge; ip -n pod link set brp up",
    );
    Some(host)
}

fn in_own_world(test: impl FnOnce(&Host) + Send) {
    harness::in_own_world(with_bridge, test)
}

/// Links of the pod by name, and reservations.
fn left() -> (Vec<String>, usize) {
    let links = ip("-n pod link");
    let names = links.as_array().unwrap().iter();
    let names = names.map(|link| link["ifname"].as_str().unwrap().to_owned());
    (names.collect(), portrait::files().matches("\\r\\n").count())
}

fn nothing() -> (Vec<String>, usize) {
    (vec!["lo".to_owned(), "brp".to_owned()], 0)
}

#[test]
fn a_device_is_as_configured_in_every_respect() {
    for (config, owner, pi, vnet_header) in [
        (FULL.to_owned(), Some(12345), false, true),
        (
            FULL.replace(r#""multiQueue": true, "#, ""),
            Some(12345),
            true,
            true,
        ),
        (FULL.replace(r#""owner": 12345, "#, ""), None, false, false),
    ] {
        in_own_world(|host| {
            let added = with_prev_result(&config, &host.add(&config));
            let link = &ip("-n pod -d link show eth0")[0];
            let data = &link["linkinfo"]["info_data"];
            assert_eq!(link["mtu"], 1400);
            assert_eq!(link["address"], "c2:11:22:33:44:05");
            assert_eq!(link["master"], "brp");
            assert_eq!(data["user"].as_u64(), owner);
            assert_eq!(data["group"], 12346);
            assert_eq!(
                (&data["pi"], &data["vnet_hdr"]),
                (&pi.into(), &vnet_header.into())
            );
            assert_eq!(data["multi_queue"], config.contains("multiQueue"));
            host.succeed("CHECK", &added);
            for _ in 0..2 {
                host.succeed("DEL", &added);
                assert_eq!(left(), nothing());
            }
        });
    }
}

#[test]
fn a_failed_add_leaves_nothing() {
    for (config, setup, message) in [
        (
            FULL.replace("brp", "brx"),
            "true",
            "failed to get bridge brx: Link not found",
        ),
        (
            FULL.replace("brp", "lo"),
            "true",
            "failed to set tap eth0 as a port of bridge lo: ",
        ),
        (
            FULL.replace("c2:11:22:33:44:05", "q"),
            "true",
            "invalid args q for MAC addr",
        ),
        (FULL.replace("1400", "70000"), "true", ""),
        (
            FULL.replace("10.22.0.0/24", "10.22.0.0/31"),
            "true",
            "invalid range set 0",
        ),
        (
            FULL.replace(
                "{\"dst\": \"0.0.0.0/0\"}",
                "{\"dst\": \"192.168.9.0/24\", \"gw\": \"172.31.0.1\"}",
            ),
            "true",
            "failed to add route '{192.168.9.0 ffffff00} via 172.31.0.1 dev eth0",
        ),
        (
            PLAIN.to_owned(),
            "ip -n pod tuntap add eth0 mode tap",
            "failed to create tap: file exists",
        ),
        (
            PLAIN.replace(
                "\"name\"",
                "\"selinuxContext\": \"no:such:context\", \"name\"",
            ),
            "true",
            "failed to create tap: invalid argument (failed set socket label: no:such:context)",
        ),
    ] {
        in_own_world(|host| {
            sh(setup);
            let before = left();
            let (code, seen) = host.fail("ADD", &config);
            assert!(
                code == 999 && seen.starts_with(message),
                "{seen}\nexpected: {message}"
            );
            assert_eq!(left(), before, "{message}");
        });
    }
}

#[test]
fn check_finds_what_is_damaged() {
    let remade = "ip -n pod link del eth0; ip -n pod tuntap add eth0 mode tap";
    for (damage, message) in [
        (
            "ip -n pod addr flush dev eth0",
            "Failed to match addr 10.22.0.2/24",
        ),
        (
            "ip -n pod link set eth0 nomaster",
            "Interface eth0 is not a port of bridge brp",
        ),
        (
            "ip -n pod link set eth0 mtu 1300",
            "Interface eth0 has MTU 1300, less than the configured 1400",
        ),
        (
            "ip -n pod link set eth0 address c2:11:22:00:00:99",
            "Interface eth0 Mac ",
        ),
        ("ip -n pod link del eth0", "Interface name eth0 not found"),
        (
            &format!(
                "{remade} multi_queue user 5 group 12346; ip -n pod link set eth0 address c2:11:22:33:44:05"
            ),
            "Interface eth0 has owner 5, not 12345 as configured",
        ),
        (
            &format!(
                "{remade} user 12345 group 12346; ip -n pod link set eth0 address c2:11:22:33:44:05"
            ),
            "Interface eth0 has queues one, not several as configured",
        ),
        (
            "ip -n pod link del eth0; ip -n pod link add eth0 address c2:11:22:33:44:05 type bridge",
            "Error: Container interface eth0 not of type tap",
        ),
    ] {
        in_own_world(|host| host.notices(FULL, damage, message));
    }
    in_own_world(|host| {
        let added = with_prev_result(PLAIN, &host.add(PLAIN));
        sh("ip -n pod link set eth0 down");
        assert_eq!(host.fail("CHECK", &added).1, "Interface eth0 is down");
    });
}

#[test]
fn status_tells_what_cannot_work() {
    let Some(host) = with_bridge() else { return };
    host.succeed("STATUS", FULL);
    host.succeed("GC", FULL);
    assert_eq!(
        host.fail("STATUS", &FULL.replace("1400", "4294967296")).0,
        50
    );
    sh("mount -t tmpfs tmpfs /dev");
    let (code, message) = host.fail("STATUS", FULL);
    assert!(
        code == 50 && message.contains("/dev/net/tun"),
        "{code} {message}"
    );
}

/// Not a test: what the test below starts as a process of its own, because failing after a step
/// counts the steps of a process.
#[test]
#[ignore = "started by the other tests"]
fn add_in_a_process_of_its_own() {
    steps::child(&tap::TAP);
}

#[test]
fn every_prefix_of_add_is_taken_back() {
    in_own_world(|host| {
        steps::every_failure_is_taken_back(host, FULL, 2, || format!("{:?}", left()));
    });
}

#[test]
fn a_kill_after_any_step_leaves_what_del_removes() {
    in_own_world(|host| {
        let mut step = 1;
        while !steps::add(host, FULL, steps::ABORT, step).0.success() {
            host.succeed("DEL", FULL);
            assert_eq!(left(), nothing(), "after step {step}");
            step += 1;
        }
        assert!(step > 2, "{step}");
    });
}

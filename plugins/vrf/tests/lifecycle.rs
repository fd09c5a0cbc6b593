//! What goes wrong, and what must be as before then. Needs a kernel with VRFs: skipped without, unless
//! `REQUIRE_KINDS=1` (see `tools/with-kernel`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;

use harness::{portrait, sh, steps, with_prev_result};
use kernel::{Netlink, NewKind};
use serde_json::json;

type Host = harness::Host<vrf::Vrf>;

/// The pod's interface, as the plugins before made it, with routes of every sort.
const INTERFACE: &str = "
    ip netns exec pod sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad'
    ip link add vhost0 type veth peer name eth0 netns pod; ip link set vhost0 up
    ip -n pod link set eth0 address c2:11:22:00:00:01 up
    ip -n pod addr add 10.22.0.5/24 broadcast + dev eth0
    ip -n pod addr add 2001:db8:22::5/64 dev eth0 nodad
    ip -n pod route add default via 10.22.0.1
    ip -n pod route add 192.168.5.0/24 via 10.22.0.8 metric 50
    ip -n pod route add 192.168.6.0/24 dev eth0
    ip -n pod route add 192.168.7.0/24 via 10.22.0.9 table 300
    ip -n pod -6 route add default via 2001:db8:22::1
    for i in $(seq 100); do ip -n pod link show eth0 | grep -q 'state UP' && break; sleep 0.01; done";

fn config() -> String {
    json!({ "cniVersion": "1.1.0", "name": "dbnet", "type": "vrf", "vrfname": "blue", "prevResult": {
        "cniVersion": "1.1.0",
        "interfaces": [{ "name": "vhost0" }, { "name": "eth0", "mac": "c2:11:22:00:00:01", "sandbox": "/run/netns/pod" }],
        "ips": [
            { "address": "10.22.0.5/24", "gateway": "10.22.0.1", "interface": 1 },
            { "address": "2001:db8:22::5/64", "gateway": "2001:db8:22::1", "interface": 1 },
        ],
    } })
    .to_string()
}

fn with_interface() -> Option<Host> {
    let host = Host::new()?;
    if !Netlink::open()
        .unwrap()
        .has_link_kind(&NewKind::Vrf { table: 1 })
        .unwrap()
    {
        assert!(
            env::var_os("REQUIRE_KINDS").is_none(),
            "no VRFs in this kernel"
        );
        eprintln!("skipped: needs a kernel with VRFs, see tools/with-kernel");
        return None;
    }
    sh(INTERFACE);
    Some(host)
}

/// Addresses and routes of the pod, without links: the kernel tells a carrier later than its cause.
fn pod() -> String {
    let text = portrait::network(Some("pod"));
    let line = |line: &&str| line.starts_with("addr") || line.starts_with("route");
    let mut lines: Vec<&str> = text.lines().filter(line).collect();
    lines.sort_unstable();
    lines.join("\n")
}

fn links() -> String {
    sh("ip -n pod -br link | cut -d ' ' -f 1 | sort | tr '\\n' ' '")
}

#[test]
fn an_interface_keeps_what_it_has() {
    let Some(host) = with_interface() else { return };
    let config = config();
    let added = with_prev_result(&config, &host.add(&config));
    let seen = pod();
    for line in [
        "addr 10.22.0.5/24 dev eth0 scope global brd 10.22.0.255",
        "addr 2001:db8:22::5/64 dev eth0 scope global",
        "route-4 default via 10.22.0.1 dev eth0 table 1 proto boot scope global",
        "route-4 192.168.5.0/24 via 10.22.0.8 dev eth0 table 1 proto boot scope global metric 50",
        "route-4 192.168.6.0/24 dev eth0 table 1 proto boot scope link",
        "route-4 192.168.7.0/24 via 10.22.0.9 dev eth0 table 300 proto boot scope global",
        "route-6 default via 2001:db8:22::1 dev eth0 table 1 proto boot scope global metric 1024",
    ] {
        assert!(seen.lines().any(|seen| seen == line), "{line} in\n{seen}");
    }
    host.succeed("CHECK", &added);
    let (_, message) = host.fail(
        "CHECK",
        &added.replace("\"vrfname\"", "\"table\": 7, \"vrfname\""),
    );
    assert_eq!(message, "VRF blue has routing table 1, not 7 as configured");
    let (_, message) = host.fail("ADD", &added);
    assert_eq!(
        message,
        "cmdAdd failed: interface eth0 has already a master set: blue"
    );
    host.succeed("STATUS", &added);
    for _ in 0..2 {
        host.succeed("DEL", &added);
        assert!(!links().contains("blue"));
    }
}

#[test]
fn a_refused_add_changes_nothing() {
    for (changed, message) in [
        (
            "\"vrfname\": \"\"",
            "configuration is expected to have a valid vrf name",
        ),
        (
            "\"vrfname\": \"lo\"",
            "cmdAdd failed: Netlink lo is not a VRF",
        ),
        (
            "\"vrfname\": \"a-very-long-vrf-name\"",
            "cmdAdd failed: could not add VRF \"a-very-long-vrf-name\"",
        ),
        // The kernel's own: the interface joins, and a route cannot.
        ("\"vrfname\": \"blue\", \"table\": 255", "cmdAdd failed: "),
    ] {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let Some(host) = with_interface() else { return };
                let config = config().replace("\"vrfname\":\"blue\"", changed);
                let before = (pod(), links());
                let outcome = host.call("ADD", &config);
                if outcome.code == 0 {
                    // This kernel takes the table.
                    host.succeed("DEL", &config);
                    return;
                }
                assert!(
                    outcome.stdout.contains(&message.replace('"', "\\\"")),
                    "{}",
                    outcome.stdout
                );
                assert_eq!((pod(), links()), before, "{changed}");
                host.call("DEL", &config);
                assert_eq!((pod(), links()), before, "{changed}");
            });
        });
    }
}

/// Not a test: what the test below starts as a process of its own, because failing after a step
/// counts the steps of a process.
#[test]
#[ignore = "started by the other tests"]
fn add_in_a_process_of_its_own() {
    steps::child(&vrf::VRF);
}

#[test]
fn every_prefix_of_add_is_taken_back() {
    for variable in [steps::FAIL, steps::PANIC] {
        let Some(host) = with_interface() else { return };
        let before = (pod(), links());
        let mut step = 1;
        loop {
            let (_, stdout) = steps::add(&host, &config(), variable, step);
            if stdout.contains("interfaces") {
                break;
            }
            assert!(stdout.contains(variable), "{stdout}");
            assert_eq!((pod(), links()), before, "after step {step}");
            step += 1;
        }
        assert!(step > 2, "{step}");
    }
}

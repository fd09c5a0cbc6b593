//! ADD that fails, panics or is killed, after each of its steps.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(unreachable_pub, reason = "one module for several test programs")]
mod support;

use std::fs;

use support::{
    Host, portrait,
    steps::add,
    stepwise::{reservations, state},
    with_prev_result,
};

/// Every step that ADD has, with each kind of IPAM data.
const FULL: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "bridge", "isDefaultGateway": true, "forceAddress": true, "ipMasq": true, "macspoofchk": true, "suppressFlooding": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "2001:db8:22::/64"}]]}}"#;
/// An ADD of it has at least as many steps as this.
const FEWEST_STEPS: u32 = 5;

/// Not a test: what the tests below start as a process of its own, because failing after a step
/// counts the steps of a process.
#[test]
#[ignore = "started by the other tests"]
fn add_in_a_process_of_its_own() {
    support::steps::child(&bridge::BRIDGE);
}

/// Nothing in packet filters or reservations is the attachment's.
fn assert_released(what: &str) {
    let rules = portrait::rules();
    for trace in ["10.22.0.2", "2001:db8:22::2", "ctr1"] {
        assert!(!rules.contains(trace), "{what}: {trace} in\n{rules}");
    }
    assert_eq!(reservations(), "", "{what}");
    let neighbours = support::sh("ip neigh show nud permanent");
    assert_eq!(neighbours, "", "{what}");
    let records = fs::read_dir("/run/podwire/attachments/masquerade");
    assert_eq!(records.into_iter().flatten().count(), 0, "{what}");
}

/// What was there before: nothing; a bridge with other addresses and routes by them; one that is in use; one that is
/// in use with other addresses; one that is in use and down.
const BEFORE: [&str; 5] = [
    "true",
    "ip link add cni0 address c2:11:22:00:00:01 type bridge; ip link set cni0 up; ip addr add 10.99.0.1/24 broadcast + dev cni0; ip addr add 10.99.0.2/24 broadcast + dev cni0; ip addr add 2001:db8:22::7/64 dev cni0 nodad; ip route add 10.77.0.0/16 via 10.99.0.9; ip route add 2001:db8:77::/64 via 2001:db8:22::9 dev cni0",
    "ip link add cni0 address c2:11:22:00:00:01 type bridge; ip link set cni0 up; ip addr add 10.22.0.1/24 dev cni0; ip addr add 2001:db8:22::1/64 dev cni0 nodad; ip link add other0 type veth peer name other1; ip link set other0 master cni0",
    "ip link add cni0 address c2:11:22:00:00:01 type bridge; ip link set cni0 up; ip addr add 10.99.0.1/24 dev cni0 label cni0:a; ip addr add 10.98.0.1/24 dev cni0 noprefixroute; ip addr add 10.99.0.2/24 dev cni0; ip addr add 2001:db8:22::7/64 dev cni0 nodad; ip addr add 2001:db8:22::8/64 dev cni0 nodad; ip route add 10.77.0.0/16 via 10.99.0.9; ip link add other0 type veth peer name other1; ip link set other0 master cni0",
    "ip link add cni0 address c2:11:22:00:00:01 type bridge; ip addr add 10.99.0.1/24 broadcast + dev cni0; ip link add other0 type veth peer name other1; ip link set other0 master cni0 up",
];

#[test]
fn a_failure_after_any_step_leaves_everything_as_it_was() {
    leaves_everything_as_it_was("PODWIRE_FAIL_AFTER_STEP", "fail after step");
}

#[test]
fn a_panic_after_any_step_leaves_everything_as_it_was() {
    let message = "the plugin panicked: PODWIRE_PANIC_AFTER_STEP asks for it after step";
    leaves_everything_as_it_was("PODWIRE_PANIC_AFTER_STEP", message);
}

fn leaves_everything_as_it_was(variable: &str, message: &str) {
    for before in BEFORE {
        let Some(host) = Host::new() else { return };
        support::sh(before);
        let before = state();
        let mut step = 1;
        loop {
            let (_, stdout) = add(&host, FULL, variable, step);
            let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
            if document["code"] != 999 || !stdout.contains(message) {
                assert!(stdout.contains("interfaces"), "{stdout}");
                break;
            }
            assert_eq!(state(), before, "after step {step}");
            assert_released(&format!("after step {step}"));
            step += 1;
        }
        assert!(step > FEWEST_STEPS, "{step}");
        host.succeed("DEL", FULL);
    }
}

#[test]
fn a_kill_after_any_step_leaves_what_del_removes() {
    let Some(host) = Host::new() else { return };
    let mut step = 1;
    loop {
        let (status, stdout) = add(&host, FULL, "PODWIRE_ABORT_AFTER_STEP", step);
        let finished = status.success();
        assert_eq!(finished, stdout.contains("interfaces"), "{stdout}");
        host.succeed("DEL", FULL);
        assert!(
            !portrait::network(None).contains("veth"),
            "after step {step}"
        );
        assert_eq!(portrait::network(Some("pod")), "", "after step {step}");
        assert_released(&format!("after step {step}"));
        let added = with_prev_result(FULL, &host.add(FULL));
        host.succeed("CHECK", &added);
        host.succeed("DEL", &added);
        if finished {
            break;
        }
        support::sh("ip link del cni0");
        step += 1;
    }
    assert!(step > FEWEST_STEPS, "{step}");
}

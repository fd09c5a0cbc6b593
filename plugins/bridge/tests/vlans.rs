//! VLANs: what goes wrong, and what must be as before then; what CHECK finds. Where bridges of the
//! kernel filter no VLANs, that this is said.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(unreachable_pub, reason = "one module for several test programs")]
mod support;

use support::{Host, portrait, sh, steps, stepwise, with_prev_result};

/// Everything that VLANs leave on the host.
const FULL: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "bridge", "vlan": 100, "vlanTrunk": [{"minID": 200, "maxID": 202}, {"id": 50}], "isDefaultGateway": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "2001:db8:22::/64"}]]}}"#;
const OTHER_POD: [(&str, &str); 2] = [("CNI_CONTAINERID", "ctr2"), ("CNI_NETNS", "/run/netns/two")];
/// A bridge with the VLAN's gateway, which is down, and nobody in the VLAN.
const GATEWAY: &str =
    "ip link add cni0 address c2:11:22:00:00:01 type bridge vlan_filtering 1; ip link set cni0 up
    ip link add cni0.100 type veth peer name gwp; ip link set gwp master cni0 up
    bridge vlan del dev gwp vid 1; bridge vlan add dev gwp vid 100 pvid untagged";

fn filters() -> bool {
    let filters = kernel::vlan::has_bridge_vlans().unwrap();
    if !filters {
        eprintln!("skipped: bridges of this kernel filter no VLANs");
    }
    filters
}

fn in_own_world(test: impl FnOnce(&Host) + Send) {
    std::thread::scope(|scope| {
        let run = || Host::new().filter(|_| filters()).map(|host| test(&host));
        if let Err(panic) = scope.spawn(run).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Links, addresses, routes and VLANs of the host, and the pod.
fn state() -> String {
    stepwise::state() + &sh("bridge vlan show")
}

#[test]
#[ignore = "started by the other tests"]
fn add_in_a_process_of_its_own() {
    steps::child(&bridge::BRIDGE);
}

#[test]
fn a_kernel_without_vlans_is_told_of() {
    let Some(host) = Host::new() else { return };
    if kernel::vlan::has_bridge_vlans().unwrap() {
        eprintln!("skipped: bridges of this kernel filter VLANs");
        return;
    }
    let message = "failed to create bridge \"cni0\": could not add \"cni0\": operation not supported: \
                   the bridges of this kernel filter no VLANs";
    let before = stepwise::state();
    for config in [FULL, &FULL.replace("\"vlan\": 100,", "")] {
        assert_eq!(host.fail("ADD", config), (999, message.to_owned()));
        assert_eq!(stepwise::state(), before);
        assert_eq!(host.fail("STATUS", config), (50, message.to_owned()));
        host.succeed("DEL", config);
    }
    host.succeed(
        "STATUS",
        &FULL.replace("\"vlan\": 100, \"vlanTrunk\"", "\"other\""),
    );
}

/// ADD fails after each of its steps, of which it has more than `fewest`.
fn leaves_everything_as_it_was(host: &Host, config: &str, fewest: u32, what: &str) {
    let before = state();
    for step in 1.. {
        let (_, stdout) = steps::add(host, config, steps::FAIL, step);
        if stdout.contains("interfaces") {
            assert!(step > fewest, "{step} steps");
            return;
        }
        assert!(stdout.contains("fail after step"), "{stdout}");
        assert_eq!(state(), before, "after step {step}: {what}");
    }
}

#[test]
fn a_failure_after_any_step_leaves_everything_as_it_was() {
    for setup in ["true", GATEWAY] {
        in_own_world(|host| {
            sh(setup);
            leaves_everything_as_it_was(host, FULL, 6, setup);
        });
    }
}

#[test]
fn a_failure_leaves_what_another_pod_relies_on() {
    for vlan in ["100", "101"] {
        in_own_world(|host| {
            host.world.pod("two");
            host.add_with(FULL, &OTHER_POD);
            let config = FULL.replace("\"vlan\": 100", &format!("\"vlan\": {vlan}"));
            leaves_everything_as_it_was(host, &config, 3, vlan);
        });
    }
}

#[test]
fn pods_come_and_go_and_their_gateway_stays() {
    in_own_world(|host| {
        let added = with_prev_result(FULL, &host.add(FULL));
        host.succeed("STATUS", FULL);
        host.succeed("CHECK", &added);
        host.world.pod("two");
        let other = FULL.replace(
            "\"vlan\": 100, \"vlanTrunk\": [",
            "\"preserveDefaultVlan\": true, \"vlan\": 100, \"vlanTrunk\": [{\"id\": 100}, ",
        );
        let second = with_prev_result(&other, &host.add_with(&other, &OTHER_POD));
        host.succeed_with("CHECK", &second, &OTHER_POD);
        host.succeed("CHECK", &added);
        host.succeed("DEL", &added);
        host.succeed_with("CHECK", &second, &OTHER_POD);
        host.succeed_with("DEL", &second, &OTHER_POD);
        let left = portrait::network(None);
        assert!(
            left.contains("cni0.100") && left.contains("10.22.0.1/24"),
            "{left}"
        );
    });
}

#[test]
fn check_finds_what_is_damaged() {
    let port = "port=$(ls /sys/class/net/cni0/brif | while read p; do
        [ -z \"$(ip -o link show $p | grep link-netns)\" ] || echo $p; done)";
    let gateway = "port=$(ip -o link show cni0.100 | sed 's/.*cni0.100@//; s/:.*//')";
    for (find, damage, message) in [
        (
            port,
            "bridge vlan del dev $port vid 100",
            "VLAN 100 is missing",
        ),
        (
            port,
            "bridge vlan del dev $port vid 201",
            "VLAN 201 is missing",
        ),
        (
            port,
            "bridge vlan add dev $port vid 9",
            "VLAN 9 is not in the configuration",
        ),
        (
            port,
            "bridge vlan add dev $port vid 100",
            "VLAN 100 is not that of untagged frames",
        ),
        (
            port,
            "bridge vlan add dev $port vid 50 untagged",
            "VLAN 50 is not tagged",
        ),
        (
            "true",
            "ip link set cni0 type bridge vlan_filtering 0",
            "Bridge interface cni0 does not filter VLANs",
        ),
        (
            gateway,
            "bridge vlan del dev $port vid 100",
            "VLAN 100 is missing",
        ),
        (
            "true",
            "ip link del cni0.100",
            "Interface name cni0.100 not found",
        ),
        (
            "true",
            "ip link set cni0.100 down",
            "interface cni0.100 is down",
        ),
        (
            "true",
            "ip addr del 10.22.0.1/24 dev cni0.100",
            "Host interface cni0.100 does not have the gateway's address 10.22.0.1/24",
        ),
    ] {
        in_own_world(|host| {
            let added = with_prev_result(FULL, &host.add(FULL));
            host.succeed("CHECK", &added);
            sh(&format!("{find}; {damage}"));
            let (_, seen) = host.fail("CHECK", &added);
            assert!(seen.contains(message), "{damage}: {seen}");
        });
    }
}

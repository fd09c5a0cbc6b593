//! What goes wrong, and what must be as before then; what CHECK sees.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use harness::{portrait, sh, steps, with_prev_result};
use serde_json::{Value, json};

type Host = harness::Host<sbr::Sbr>;

/// The pod's interface, as the plugins before made it, with routes of every sort.
const INTERFACE: &str = "
    sysctl -qw net.ipv6.conf.default.accept_dad=0
    ip netns exec pod sysctl -qw net.ipv6.conf.default.accept_dad=0
    ip link add vhost0 type veth peer name eth0 netns pod; ip link set vhost0 up
    ip -n pod link set eth0 address c2:11:22:00:00:01 up
    ip -n pod addr add 10.22.0.5/24 dev eth0; ip -n pod addr add 10.22.0.6/24 dev eth0
    ip -n pod addr add 2001:db8:22::5/64 dev eth0 nodad
    ip -n pod route add default via 10.22.0.1
    ip -n pod route add 192.168.5.0/24 via 10.22.0.8; ip -n pod route append 192.168.5.0/24 via 10.22.0.9
    ip -n pod route add 192.168.6.0/24 dev eth0 metric 7
    ip -n pod route add 192.168.7.0/24 via 198.51.100.1 dev eth0 onlink src 10.22.0.5
    ip -n pod -6 route add default via 2001:db8:22::1
    ip -n pod -6 route add 2001:db8:5::/48 via 2001:db8:22::8
    ip -n pod -6 route append 2001:db8:5::/48 via 2001:db8:22::9
    for i in $(seq 100); do ip -n pod link show eth0 | grep -q 'state UP' && break; sleep 0.01; done";

fn config(changes: &[(&str, Value)]) -> String {
    let mut config = json!({ "cniVersion": "1.1.0", "name": "dbnet", "type": "sbr", "prevResult": {
        "cniVersion": "1.1.0",
        "interfaces": [{ "name": "vhost0" }, { "name": "eth0", "mac": "c2:11:22:00:00:01", "sandbox": "/run/netns/pod" }],
        "ips": [
            { "address": "10.22.0.5/24", "gateway": "10.22.0.1", "interface": 1 },
            { "address": "10.22.0.6/24", "gateway": "10.22.0.1", "interface": 1 },
            { "address": "2001:db8:22::5/64", "gateway": "2001:db8:22::1", "interface": 1 },
        ],
    } });
    for (key, value) in changes {
        match config.pointer_mut(key) {
            Some(place) => *place = value.clone(),
            None => config[key.trim_start_matches('/')] = value.clone(),
        }
    }
    config.to_string()
}

fn with_interface() -> Option<Host> {
    let host = Host::new()?;
    sh(INTERFACE);
    Some(host)
}

fn in_own_world(test: impl FnOnce(&Host) + Send) {
    std::thread::scope(|scope| {
        let ran = scope
            .spawn(|| with_interface().map(|host| test(&host)))
            .join();
        if let Err(panic) = ran {
            std::panic::resume_unwind(panic);
        }
    });
}

fn rules() -> String {
    sh("ip -n pod rule; ip -n pod -6 rule")
}

/// Rules, addresses and routes of the pod.
fn pod() -> String {
    rules() + &portrait::network(Some("pod"))
}

/// Destinations, next hops and more of a table.
fn table(table: &str) -> Vec<String> {
    let text = sh(&format!(
        "ip -n pod route show table {table} 2>/dev/null || true; ip -n pod -6 route show table {table} 2>/dev/null || true"
    ));
    let line = |line: &str| {
        line.replace("proto kernel ", "")
            .replace("pref medium", "")
            .trim()
            .to_owned()
    };
    text.lines().map(line).collect()
}

#[test]
fn routes_move_to_tables_of_the_addresses_and_rules_lead_there() {
    let Some(host) = with_interface() else { return };
    let config = config(&[]);
    let added = with_prev_result(&config, &host.add(&config));
    for (address, table) in [
        ("10.22.0.5", 100),
        ("10.22.0.6", 101),
        ("2001:db8:22::5", 102),
    ] {
        assert!(
            rules().contains(&format!("from {address} lookup {table}")),
            "{}",
            rules()
        );
    }
    assert_eq!(table("main"), Vec::<String>::new());
    let four = table("100");
    let expected = [
        "default via 10.22.0.1 dev eth0",
        "10.22.0.0/24 dev eth0 scope link src 10.22.0.5",
        "192.168.5.0/24 via 10.22.0.8 dev eth0",
        "192.168.5.0/24 via 10.22.0.9 dev eth0",
        "192.168.6.0/24 dev eth0 scope link metric 7",
        "192.168.7.0/24 via 198.51.100.1 dev eth0 src 10.22.0.5 onlink",
    ];
    assert_eq!(four[..expected.len()], expected);
    let six = table("102").join("\n");
    for route in [
        "2001:db8:22::/64 dev eth0",
        "default via 2001:db8:22::1",
        "nexthop via 2001:db8:22::8",
        "nexthop via 2001:db8:22::9",
    ] {
        assert!(six.contains(route), "{route} in\n{six}");
    }
    host.succeed("CHECK", &added);
    for _ in 0..2 {
        host.succeed("DEL", &added);
        assert!(!rules().contains("10.22.0."), "{}", rules());
        assert_eq!((table("100"), table("102")), (vec![], vec![]));
    }
}

#[test]
fn a_failed_add_leaves_the_pod_as_it_was() {
    for (config, message) in [
        (
            config(&[
                ("/prevResult/ips/2/gateway", json!("2001:db8:77::1")),
                ("/gateways", json!(["2001:db8:77::1"])),
            ]),
            "Failed to add default route to 2001:db8:77::1: ",
        ),
        (
            config(&[("/prevResult/ips", json!([]))]),
            "No IP addresses supplied on interface: eth0",
        ),
        (
            config(&[("/prevResult", Value::Null)]),
            "This plugin must be called as chained plugin",
        ),
        (
            config(&[("/gateways", json!(["x"]))]),
            "invalid static gateway IP address: x",
        ),
        (config(&[("/table", json!(0))]), "invalid table 0"),
        // An address that is not there cannot be a source.
        (
            config(&[
                ("/addSourceHints", json!(true)),
                ("/prevResult/ips/2/address", json!("2001:db8:66::5/64")),
            ]),
            "Failed to readd route 2001:db8:66::/64",
        ),
    ] {
        in_own_world(|host| {
            let before = pod();
            let (code, seen) = host.fail("ADD", &config);
            assert!(
                code == 999 && seen.starts_with(message),
                "{seen}\nexpected: {message}"
            );
            assert_eq!(pod(), before, "{message}");
        });
    }
}

#[test]
fn a_second_add_changes_nothing() {
    for (config, succeeds) in [
        (config(&[]), false),
        (config(&[("/table", json!(200))]), true),
    ] {
        in_own_world(|host| {
            host.add(&config);
            let before = pod();
            assert_eq!(host.call("ADD", &config).code == 0, succeeds);
            assert_eq!(pod(), before);
        });
    }
}

#[test]
fn hints_stay_in_the_main_table() {
    let Some(host) = with_interface() else { return };
    let config = config(&[("/addSourceHints", json!(true))]);
    let added = with_prev_result(&config, &host.add(&config));
    let expected = [
        "10.22.0.0/24 dev eth0 scope link src 10.22.0.6",
        "192.168.6.0/24 dev eth0 scope link metric 7",
        "2001:db8:22::/64 dev eth0 src 2001:db8:22::5 metric 1024",
    ];
    assert_eq!(table("main"), expected);
    host.succeed("CHECK", &added);
    host.add(&config);
    assert_eq!(table("main"), expected);
    host.succeed("CHECK", &added);
    sh("ip -n pod -6 route del 2001:db8:22::/64");
    assert!(
        host.fail("CHECK", &added)
            .1
            .starts_with("table main has no route to the subnet of 2001:db8:22::5/64")
    );
}

#[test]
fn check_finds_what_is_damaged() {
    let plain = config(&[]);
    let given = config(&[("/table", json!(200))]);
    let by = config(&[("/gateways", json!(["10.22.0.77"]))]);
    for (config, damage, message) in [
        (
            &plain,
            "rule del from 10.22.0.6",
            "no rule routes what comes from 10.22.0.6 by a table of its own",
        ),
        (
            &plain,
            "-6 route del default table 102",
            "table 102 of 2001:db8:22::5 has no default route by eth0",
        ),
        (
            &plain,
            "route del 10.22.0.0/24 table 101",
            "table 101 has no route to the subnet 10.22.0.0/24 by eth0",
        ),
        (
            &plain,
            "link del eth0",
            "Cannot find network interface eth0: Link not found",
        ),
        (
            &given,
            "rule del from 10.22.0.5",
            "no rule routes what comes from 10.22.0.5 by table 200",
        ),
        (
            &by,
            "route replace default via 10.22.0.1 table 100",
            "table 100 of 10.22.0.5 has no default route by eth0 and gateway 10.22.0.77",
        ),
    ] {
        in_own_world(|host| host.notices(config, &format!("ip -n pod {damage}"), message));
    }
}

#[test]
fn del_leaves_the_rules_and_tables_of_others() {
    let Some(host) = with_interface() else { return };
    let config = config(&[]);
    let added = with_prev_result(&config, &host.add(&config));
    // A table that somebody else leads to as well, and rules that say more than ADD's.
    sh(
        "ip -n pod rule add fwmark 7 lookup 101; ip -n pod rule add from 10.22.0.5 oif eth0 lookup 99",
    );
    host.succeed("DEL", &added);
    let left = rules();
    assert!(
        left.contains("fwmark 0x7 lookup 101")
            && left.contains("from 10.22.0.5 oif eth0 lookup 99"),
        "{left}"
    );
    assert!(!left.contains("from 10.22.0.6"), "{left}");
    assert!(table("100").is_empty() && !table("101").is_empty());
    for path in ["", "/run/netns/gone", "/run/plain"] {
        sh("touch /run/plain");
        host.succeed_with("DEL", &added, &[("CNI_NETNS", path)]);
        assert!(!std::path::Path::new("/run/netns/gone").exists());
    }
}

/// All DELs below 0.4.0 are without a result.
#[test]
fn del_without_a_result_leaves_another_pods_routes() {
    for (setup, stays) in [
        ("ip link set vhost0 alias podwire:dbnet/ctr9/eth0", true),
        (
            "ip -n pod link set eth0 alias podwire:dbnet/ctr9/eth0",
            true,
        ),
        ("ip link set vhost0 alias podwire:dbnet/ctr1/eth0", false),
        ("true", false),
    ] {
        in_own_world(|host| {
            let added = config(&[]);
            host.add(&added);
            sh(setup);
            let before = pod();
            host.succeed("DEL", &config(&[("/prevResult", Value::Null)]));
            assert_eq!(pod() == before, stays, "{setup}: {}", pod());
            assert_eq!(rules().contains("10.22.0.5"), stays, "{setup}");
        });
    }
}

#[test]
fn status_tells_what_cannot_work() {
    let Some(host) = with_interface() else { return };
    host.succeed("STATUS", &config(&[]));
    host.succeed("GC", &config(&[]));
    let (code, seen) = host.fail("STATUS", &config(&[("/gateways", json!(["x"]))]));
    assert_eq!(
        (code, seen.as_str()),
        (50, "invalid static gateway IP address: x")
    );
}

/// Not a test: what the test below starts as a process of its own, because failing after a step
/// counts the steps of a process.
#[test]
#[ignore = "started by the other tests"]
fn add_in_a_process_of_its_own() {
    steps::child(&sbr::SBR);
}

#[test]
fn every_prefix_of_add_is_taken_back() {
    for variable in [steps::FAIL, steps::PANIC] {
        in_own_world(|host| {
            let before = pod();
            let mut step = 1;
            loop {
                let (_, stdout) = steps::add(
                    host,
                    &config(&[("/addSourceHints", json!(true))]),
                    variable,
                    step,
                );
                if stdout.contains("interfaces") {
                    break;
                }
                assert!(stdout.contains(variable), "{stdout}");
                assert_eq!(pod(), before, "after step {step}");
                step += 1;
            }
            assert!(step > 5, "{step}");
        });
    }
}

//! What ADD changes comes back: on DEL, after a failure at any step, and never in another pod.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use harness::{ip, portrait, sh, steps, with_prev_result};

type Host = harness::Host<tuning::Tuning>;

/// A pod on a bridge, as an interface plugin leaves it; its pair has an MTU of 1480.
const POD: &str = "
    ip link add cni0 address c2:11:22:00:00:02 type bridge
    ip link add vhost0 mtu 1480 type veth peer name eth0 netns pod mtu 1480
    ip link set cni0 up; ip link set vhost0 address c2:11:22:00:00:03 master cni0 up
    ip -n pod link set eth0 address c2:11:22:00:00:01 up";

const PREVIOUS: &str = r#"{"cniVersion": "1.1.0", "interfaces": [{"name": "cni0"}, {"name": "vhost0"}, {"name": "eth0", "mac": "c2:11:22:00:00:01", "sandbox": "/run/netns/pod"}]}"#;

/// Everything that can be changed.
const FULL: &str = r#""mac": "C2:11:22:33:44:55", "mtu": 1400, "promisc": true, "allmulti": true, "txQLen": 500,
    "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1", "net.ipv4.ip_local_port_range": "20000 30000",
        "net.ipv4.ip_local_reserved_ports": "8080", "net.ipv4.route.flush": "1"}"#;

const FILE: &str = "/run/cni/tuning/ctr1_eth0.json";

fn config(keys: &str) -> String {
    format!(
        r#"{{"cniVersion": "1.1.0", "name": "dbnet", "type": "tuning", {keys}, "prevResult": {PREVIOUS}}}"#
    )
}

fn in_own_world(test: impl FnOnce(&Host) + Send) {
    std::thread::scope(|scope| {
        let ran = scope
            .spawn(|| {
                Host::new().map(|host| {
                    sh(POD);
                    test(&host);
                })
            })
            .join();
        if let Err(panic) = ran {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Host and pod, with the sysctls that the tests change, and the files.
fn everything() -> String {
    let keys = [
        "ipv4/conf/eth0/arp_filter",
        "ipv4/ip_local_port_range",
        "ipv4/ip_local_reserved_ports",
        "ipv6/conf/eth0/mtu",
    ];
    let sysctls: String = keys
        .iter()
        .map(|key| sh(&format!("ip netns exec pod cat /proc/sys/net/{key}")))
        .collect();
    let files = sh("find /run/cni -type f -exec sh -c 'echo {}; cat {}' \\; 2>/dev/null || true");
    portrait::network(None) + &portrait::network(Some("pod")) + &sysctls + &files
}

fn mtus() -> [u64; 2] {
    ["link show vhost0", "-n pod link show eth0"].map(|line| ip(line)[0]["mtu"].as_u64().unwrap())
}

#[test]
#[ignore = "started by the other tests"]
fn add_in_a_process_of_its_own() {
    steps::child(&tuning::TUNING);
}

#[test]
fn what_was_there_before_is_given_back() {
    in_own_world(|host| {
        let before = everything();
        let config = config(FULL);
        let result = host.add(&config);
        assert_eq!(result["interfaces"][2]["mac"], "c2:11:22:33:44:55");
        assert_eq!(mtus(), [1400, 1400]);
        let added = with_prev_result(&config, &result);
        host.succeed("CHECK", &added);
        let mode = sh(&format!("stat -c %a {FILE} /run/cni/tuning"));
        assert_eq!(mode, "600\n700\n");
        host.succeed("DEL", &added);
        assert_eq!(everything(), before);
        host.succeed("DEL", &added);
    });
}

#[test]
fn a_second_add_keeps_what_was_there_before_the_first() {
    in_own_world(|host| {
        let before = everything();
        host.add(&config(FULL));
        sh("ip -n pod link set eth0 mtu 1300");
        let added = with_prev_result(&config(FULL), &host.add(&config(FULL)));
        host.succeed("CHECK", &added);
        // One that fails gives back what it found, and leaves the file to the first.
        let file = fs::read_to_string(FILE).unwrap();
        host.fail("ADD", &config(r#""promisc": true, "mtu": 70000"#));
        assert_eq!(fs::read_to_string(FILE).unwrap(), file);
        host.succeed("CHECK", &added);
        host.succeed("DEL", &added);
        assert_eq!(everything(), before);
    });
}

#[test]
fn a_failure_after_any_step_leaves_everything_as_it_was() {
    in_own_world(|host| steps::every_failure_is_taken_back(host, &config(FULL), 10, everything));
}

#[test]
fn a_failed_add_leaves_everything_as_it_was() {
    for (keys, message) in [
        (
            r#""mac": "c2:11:22:33:44:55", "mtu": 70000, "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}"#,
            "failed to set MTU 70000 of eth0: invalid argument",
        ),
        (
            r#""sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1", "net.ipv4.ip_local_port_range": "x"}"#,
            "failed to set sysctl /proc/sys/net/ipv4/ip_local_port_range to \"x\": invalid argument",
        ),
        (
            r#""mtu": 1400, "sysctl": {"net.core.nonesuch": "1"}"#,
            "failed to read sysctl /proc/sys/net/core/nonesuch: no such file or directory",
        ),
        (
            r#""mtu": 1400, "sysctl": {"net.ipv6.conf.IFNAME.mtu": "1450"}"#,
            "failed to set sysctl /proc/sys/net/ipv6/conf/eth0/mtu to \"1450\": invalid argument",
        ),
        (
            r#""mtu": 1400, "dataDir": "/dev/null/x""#,
            "cannot keep in /dev/null/x/ctr1_eth0.json what was there before: ",
        ),
    ] {
        in_own_world(|host| {
            let before = everything();
            let (code, seen) = host.fail("ADD", &config(keys));
            assert!(code == 999 && seen.starts_with(message), "{seen}");
            assert_eq!(everything(), before, "{message}");
        });
    }
}

/// The kernel sets it to the link's whenever that changes, and takes no larger one.
#[test]
fn the_mtu_of_ipv6_goes_with_the_links() {
    for there in ["1480", "1300"] {
        in_own_world(|host| {
            sh(&format!(
                "ip netns exec pod sysctl -qw net.ipv6.conf.eth0.mtu={there}"
            ));
            let before = everything();
            let config = config(r#""mtu": 1400, "sysctl": {"net.ipv6.conf.IFNAME.mtu": "1300"}"#);
            let added = with_prev_result(&config, &host.add(&config));
            host.succeed("CHECK", &added);
            host.succeed("DEL", &added);
            assert_eq!(everything(), before, "{there}");
        });
    }
}

#[test]
fn an_mtu_that_takes_ipv6_away_is_refused() {
    in_own_world(|host| {
        let ips = r#""ips": [{"address": "10.22.0.5/24", "interface": 2}, {"address": "2001:db8::5/64", "interface": 2}], "interfaces""#;
        let short = config(r#""mtu": 1279"#);
        let dual = short.replace("\"interfaces\"", ips);
        let (_, seen) = host.fail("ADD", &dual);
        assert_eq!(
            seen,
            "MTU 1279 of eth0: IPv6 needs 1280 at least, and the interface would lose 2001:db8::5/64"
        );
        assert_eq!(mtus(), [1480, 1480]);
        host.add(&dual.replace("1279", "1280"));
        host.succeed("DEL", &dual);
        for (master, ends) in [("nomaster", [1279, 1279]), ("master b0", [1280, 1279])] {
            sh(&format!(
                "ip link show b0 >&- 2>&- || ip link add b0 type bridge; ip link set vhost0 {master}"
            ));
            let added = with_prev_result(&short, &host.add(&short));
            assert_eq!(mtus(), ends, "{master}");
            host.succeed("CHECK", &added);
            host.succeed("DEL", &added);
            assert_eq!(mtus(), [1480, 1480], "{master}");
        }
    });
}

#[test]
fn another_pod_behind_the_same_path_stays_as_it_is() {
    in_own_world(|host| {
        let added = with_prev_result(&config(FULL), &host.add(&config(FULL)));
        sh(
            "ip netns del pod; ip link del vhost0 2>/dev/null || true; ip link del cni0; ip netns add pod",
        );
        sh(POD);
        sh("ip -n pod link set eth0 mtu 1300 address c2:11:22:00:00:09");
        let before = everything();
        host.succeed("DEL", &added);
        let (network, _file) = before.split_once(FILE).unwrap();
        assert_eq!(everything(), network);
    });
}

#[test]
fn check_names_what_deviates_beside_the_pods_interface() {
    in_own_world(|host| {
        let added = with_prev_result(&config(FULL), &host.add(&config(FULL)));
        sh("ip link set vhost0 mtu 1480");
        let (_, seen) = host.fail("CHECK", &added);
        let text = "Error: Tuning configured MTU of vhost0 is 1400, current value is 1480";
        assert_eq!(seen, text);
    });
    // What is not configured may be as others want it.
    in_own_world(|host| {
        let config = config(r#""mtu": 1400"#);
        let added = with_prev_result(&config, &host.add(&config));
        sh("ip -n pod link set eth0 promisc on txqueuelen 7 address c2:11:22:00:00:07");
        host.succeed("CHECK", &added);
    });
}

#[test]
fn gc_forgets_what_is_not_valid_of_its_own_network() {
    in_own_world(|host| {
        host.add(&config(FULL));
        let named = |name: &str, valid: &str| {
            config(&format!(r#""cni.dev/valid-attachments": [{valid}]"#))
                .replace(r#""name": "dbnet""#, &format!(r#""name": "{name}""#))
        };
        let valid = r#"{"containerID": "ctr1", "ifname": "eth0"}"#;
        fs::write("/run/cni/tuning/ctr9_eth0.json", "{\n \"mtu\": 1500\n}").unwrap();
        host.succeed("GC", &named("dbnet", valid));
        host.succeed("GC", &named("other", ""));
        assert!(fs::exists(FILE).unwrap());
        host.succeed("GC", &named("dbnet", ""));
        assert!(!fs::exists(FILE).unwrap());
        assert!(fs::exists("/run/cni/tuning/ctr9_eth0.json").unwrap());
    });
}

#[test]
fn status_tells_what_is_in_the_way() {
    in_own_world(|host| {
        host.succeed("STATUS", &config(FULL));
        for (keys, setup, message) in [
            (r#""mac": "zz""#, "true", "invalid args zz for MAC addr"),
            (
                r#""sysctl": {"kernel.hostname": "x"}"#,
                "true",
                "invalid net sysctl key",
            ),
            (
                r#""dataDir": "/dev/null/x""#,
                "true",
                "/dev/null is not a directory",
            ),
            (
                FULL,
                "mkdir -p /etc/cni/tuning; echo '^net.core' > /etc/cni/tuning/allowlist.conf",
                "Sysctl net.ipv4.conf.IFNAME.arp_filter is not allowed. \
                 Only the following sysctls are allowed: [^net.core]",
            ),
        ] {
            sh(setup);
            let (code, seen) = host.fail("STATUS", &config(keys));
            assert!(code == 50 && seen.starts_with(message), "{code} {seen}");
        }
        // A list that cannot be read is in nobody's way who sets no sysctl.
        for instead in ["ln -s away", "mkdir"] {
            let path = "/etc/cni/tuning/allowlist.conf";
            sh(&format!("rm {path}; {instead} {path}"));
            let (code, _) = host.fail("STATUS", &config(FULL));
            assert_eq!(code, 50, "{instead}");
        }
        host.succeed("STATUS", &config(r#""mtu": 1400"#));
        host.add(&config(r#""mtu": 1400"#));
    });
}

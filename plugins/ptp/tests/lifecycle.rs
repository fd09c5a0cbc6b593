//! What goes wrong, and what must be as before then; packets; what others made.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use harness::{portrait, sh, succeeds, with_prev_result};

type Host = harness::Host<ptp::Ptp>;

const PLAIN: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "ptp", "ipam": {"type": "host-local", "subnet": "10.22.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}}"#;
/// Everything that leaves traces on the host.
const FULL: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "ptp", "ipMasq": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "2001:db8:22::/64"}]], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}"#;
/// A gateway that is in no subnet of the pod's, and that two addresses share.
const OUTSIDE: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "ptp", "ipam": {"type": "static", "addresses": [{"address": "10.22.0.5/32", "gateway": "169.254.1.1"}, {"address": "10.22.0.6/32", "gateway": "169.254.1.1"}], "routes": [{"dst": "0.0.0.0/0"}]}}"#;
const OTHER_POD: [(&str, &str); 2] = [("CNI_CONTAINERID", "ctr2"), ("CNI_NETNS", "/run/netns/two")];

/// Links, addresses, routes of host and pod.
fn network() -> String {
    portrait::network(None) + &portrait::network(Some("pod"))
}

fn in_own_world(test: impl FnOnce(&Host) + Send) {
    harness::in_own_world(Host::new, test)
}

#[test]
fn a_pod_reaches_host_and_others_and_comes_and_goes() {
    for (config, own, others) in [
        (PLAIN, vec!["10.22.0.1"], vec!["10.22.0.3"]),
        (
            FULL,
            vec!["10.22.0.1", "2001:db8:22::1"],
            vec!["10.22.0.3", "2001:db8:22::3"],
        ),
        (OUTSIDE, vec!["169.254.1.1"], vec![]),
    ] {
        in_own_world(|host| {
            let before = network();
            let added = with_prev_result(config, &host.add(config));
            host.succeed("CHECK", &added);
            if !others.is_empty() {
                host.world.pod("two");
                host.add_with(config, &OTHER_POD);
            }
            for address in own.iter().chain(&others) {
                let ping = format!("ip netns exec pod ping -c 1 -i 0.2 -w 5 {address}");
                assert!(succeeds(&ping), "{address} does not answer: {config}");
            }
            if !others.is_empty() {
                host.succeed_with("DEL", config, &OTHER_POD);
                host.succeed("CHECK", &added);
            }
            host.succeed("DEL", &added);
            host.succeed("DEL", &added);
            assert_eq!(network(), before);
            assert!(!portrait::rules().contains("ctr1"));
        });
    }
}

/// The pod's own addresses, said to whoever listens, and what they need to be used.
#[test]
fn the_interface_is_told_what_its_addresses_need() {
    let Some(host) = Host::new() else { return };
    sh(
        "ip netns exec pod sysctl -qw net.ipv4.conf.default.arp_notify=0 \
        net.ipv6.conf.default.ndisc_notify=0 net.ipv6.conf.default.keep_addr_on_down=0 \
        net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.lo.disable_ipv6=1",
    );
    let result = host.add(FULL);
    let seen = portrait::sysctls(Some("pod"));
    for (key, value) in [
        ("ipv4/conf/eth0/arp_notify", "1"),
        ("ipv6/conf/eth0/ndisc_notify", "1"),
        ("ipv6/conf/eth0/keep_addr_on_down", "1"),
        ("ipv6/conf/eth0/disable_ipv6", "0"),
        ("ipv6/conf/lo/disable_ipv6", "0"),
    ] {
        assert_eq!(seen[&format!("net/{key}")], value, "{key}");
    }
    let veth = result["interfaces"][0]["name"].as_str().unwrap();
    let host_side = portrait::sysctls(None);
    assert_eq!(host_side[&format!("net/ipv6/conf/{veth}/accept_ra")], "0");
}

#[test]
fn a_failed_add_leaves_everything_as_it_was() {
    for (config, setup, message) in [
        (
            &PLAIN.replace(
                "\"dst\": \"0.0.0.0/0\"",
                "\"dst\": \"192.168.9.0/24\", \"gw\": \"172.31.0.1\"",
            ),
            "true",
            "failed to add route '{192.168.9.0 ffffff00} via 172.31.0.1 dev eth0 metric 0 (Scope: universe, Table: 0)': network is unreachable",
        ),
        (
            &OUTSIDE.replace(", \"gateway\": \"169.254.1.1\"", ""),
            "true",
            "address 10.22.0.5/32 has no gateway",
        ),
        (
            &OUTSIDE.replace("169.254.1.1", "0.0.0.0"),
            "true",
            "address 10.22.0.5/32 has no gateway",
        ),
        (
            &FULL.replace("\"ipam\"", "\"mtu\": 1279, \"ipam\""),
            "true",
            "\"veth474641f3\" has an MTU of 1279 and is to have an IPv6 address: IPv6 needs an MTU of 1280 at least",
        ),
        (
            &PLAIN.replace("host-local", "nope"),
            "true",
            "failed to find plugin \"nope\"",
        ),
        (
            &PLAIN.replace("\"ipam\"", "\"other\""),
            "true",
            "no plugin name provided: ptp needs ipam.type",
        ),
        (
            &PLAIN.replace(
                "\"ipam\"",
                "\"ipMasq\": true, \"ipMasqBackend\": \"pf\", \"ipam\"",
            ),
            "true",
            "unknown ipmasq backend \"pf\"",
        ),
        (
            &PLAIN.to_owned(),
            "ip -n pod link add eth0 type veth peer name eth0p",
            "container veth name (\"eth0\") peer provided (\"veth",
        ),
    ] {
        in_own_world(|host| {
            sh(setup);
            let before = network();
            let (code, seen) = host.fail("ADD", config);
            assert!(
                code == 999 && seen.starts_with(message),
                "{seen}\nexpected: {message}"
            );
            assert_eq!(network(), before, "{message}");
            assert!(!portrait::files().contains("\\r\\n"), "{message}");
        });
    }
}

#[test]
fn check_finds_what_is_damaged_on_either_side() {
    for (damage, message) in [
        (
            "ip -n pod addr flush dev eth0",
            "Failed to match addr 10.22.0.2/24",
        ),
        (
            "ip -n pod route del 10.22.0.0/24",
            "Failed to find Gateway 10.22.0.1",
        ),
        (
            "ip -n pod link set eth0 address c2:11:22:00:00:99",
            "Interface eth0 Mac ",
        ),
        ("ip -n pod link del eth0", "Interface name eth0 not found"),
        (
            "ip -n pod link set eth0 down",
            "Failed to find Gateway 10.22.0.1",
        ),
        (
            "ip route del 10.22.0.2",
            "Host route to 10.22.0.2/32 by interface veth",
        ),
        (
            "ip -6 route del 2001:db8:22::2",
            "Host route to 2001:db8:22::2/128 by interface veth",
        ),
        (
            "ip addr del 10.22.0.1/32 dev $(ls /sys/class/net | grep veth)",
            "Host interface veth",
        ),
        (
            "ip link set $(ls /sys/class/net | grep veth) down",
            "Host interface veth",
        ),
        (
            "sysctl -qw net.ipv4.ip_forward=0",
            "net/ipv4/ip_forward is 0",
        ),
        ("nft flush ruleset", "no masquerade of 10.22.0.2/24"),
    ] {
        in_own_world(|host| host.notices(FULL, damage, message));
    }
}

#[test]
fn gc_and_status() {
    let Some(host) = Host::new() else { return };
    host.world.pod("two");
    host.add(FULL);
    host.add_with(FULL, &OTHER_POD);
    host.succeed("STATUS", FULL);
    for (config, message) in [
        (
            FULL.replace("\"ipMasq\"", "\"ipMasqBackend\": \"pf\", \"ipMasq\""),
            "unknown ipmasq backend",
        ),
        (
            FULL.replace("\"ipam\"", "\"other\""),
            "no plugin name provided",
        ),
    ] {
        let (code, seen) = host.fail("STATUS", &config);
        assert!(code == 50 && seen.starts_with(message), "{code} {seen}");
    }
    let listed =
        r#""cni.dev/valid-attachments": [{"containerID": "ctr2", "ifname": "eth0"}], "name""#;
    host.succeed("GC", &FULL.replace(r#""name""#, listed));
    let left = portrait::network(None);
    assert!(
        left.contains("dbnet/ctr2/eth0") && !left.contains("dbnet/ctr1/eth0"),
        "{left}"
    );
    let (rules, files) = (portrait::rules(), portrait::files());
    assert!(rules.contains("ctr2") && !rules.contains("ctr1"), "{rules}");
    assert!(files.contains("ctr2") && !files.contains("ctr1"), "{files}");
}

//! What the pod's interface is told, so that its addresses can be used, and others know of them.

use super::*;

const DUAL: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "bridge", "isGateway": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "2001:db8:22::/64"}]]}}"#;

/// One address of each family for every pod.
fn one_address() -> String {
    DUAL.replace(
        "0/24\"",
        "0/24\", \"rangeStart\": \"10.22.0.9\", \"rangeEnd\": \"10.22.0.9\"",
    )
    .replace(
        "::/64\"",
        "::/64\", \"rangeStart\": \"2001:db8:22::9\", \"rangeEnd\": \"2001:db8:22::9\"",
    )
}

/// A peer that knows the address by the MAC address of the pod that had it before reaches the new
/// pod as soon as ADD is done, also in a network where the pods have no gateway.
#[test]
fn a_reused_address_is_reachable_at_once() {
    let without_gateway = one_address().replace("isGateway", "isNoGateway");
    let with_detection = one_address().replace("isGateway", "enabledad\": true, \"isGateway");
    for config in [one_address(), without_gateway, with_detection] {
        in_own_world(|host| {
            host.world.pod("peer");
            let peer = [
                ("CNI_CONTAINERID", "peer"),
                ("CNI_NETNS", "/run/netns/peer"),
            ];
            host.add_with(DUAL, &peer);
            for former in ["10.22.0.9", "2001:db8:22::9"] {
                sh(&format!(
                    "ip -n peer neigh add {former} lladdr 02:00:00:00:00:99 nud reachable dev eth0"
                ));
            }
            let result = host.add(&config);
            let mac = result["interfaces"][2]["mac"].as_str().unwrap();
            for address in ["10.22.0.9", "2001:db8:22::9"] {
                assert_eq!(neighbour(address), mac, "{address} with {config}");
            }
        });
    }
}

/// The MAC address that the peer knows an address by, once it is another than the former pod's;
/// with duplicate address detection that takes the kernel two seconds.
fn neighbour(address: &str) -> String {
    let mut known = String::new();
    for _ in 0..6000 {
        let entries = ip(&format!("-n peer neigh show to {address} dev eth0"));
        known = entries[0]["lladdr"].as_str().unwrap_or_default().to_owned();
        if known != "02:00:00:00:00:99" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    known
}

/// Every key that is set on the pod's interface, from a namespace in which each is the opposite.
#[test]
fn the_interface_is_told_what_its_addresses_need() {
    let with_detection = DUAL.replace("isGateway", "enabledad\": true, \"isGateway");
    for (config, accept_dad, enhanced_dad) in [(DUAL, "0", "0"), (&with_detection, "1", "1")] {
        in_own_world(|host| {
            let before = if accept_dad == "0" { "1" } else { "0" };
            sh(&format!(
                "ip netns exec pod sysctl -qw net.ipv4.conf.default.arp_notify=0 \
                 net.ipv6.conf.default.ndisc_notify=0 net.ipv6.conf.default.accept_dad={before} \
                 net.ipv6.conf.default.enhanced_dad=0 net.ipv6.conf.default.keep_addr_on_down=0 \
                 net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.lo.disable_ipv6=1"
            ));
            host.add(config);
            let seen = portrait::sysctls(Some("pod"));
            for (key, value) in [
                ("ipv4/conf/eth0/arp_notify", "1"),
                ("ipv6/conf/eth0/ndisc_notify", "1"),
                ("ipv6/conf/eth0/accept_dad", accept_dad),
                ("ipv6/conf/eth0/enhanced_dad", enhanced_dad),
                ("ipv6/conf/eth0/keep_addr_on_down", "1"),
                ("ipv6/conf/eth0/disable_ipv6", "0"),
                ("ipv6/conf/lo/disable_ipv6", "0"),
            ] {
                assert_eq!(seen[&format!("net/{key}")], value, "{key} with {config}");
            }
            let host_side = portrait::sysctls(None);
            let veth = &names("veth")[0];
            for link in ["cni0", veth] {
                let key = format!("net/ipv6/conf/{link}/accept_ra");
                assert_eq!(host_side[&key], "0", "{key}");
            }
            let key = format!("net/ipv6/conf/{veth}/disable_ipv6");
            assert_eq!(host_side[&key], "1", "{key}");
            sh("ip -n pod link set eth0 down");
            let left = sh("ip -n pod -6 addr show dev eth0 scope global");
            assert!(left.contains("2001:db8:22::2/64"), "{left}");
        });
    }
}

/// The pods' gateway answers at once: nobody looks for a duplicate of it.
#[test]
fn the_bridges_own_address_is_not_tentative() {
    for config in [
        DUAL.to_owned(),
        DUAL.replace("isGateway", "enabledad\": true, \"isGateway"),
        DUAL.replace("isGateway", "forceAddress\": true, \"isGateway"),
    ] {
        in_own_world(|host| {
            if config.contains("forceAddress") {
                sh("ip link add cni0 type bridge; ip addr add 2001:db8:22::7/64 dev cni0 nodad");
            }
            host.add(&config);
            let address = &ip("-6 addr show dev cni0 scope global")[0]["addr_info"][0];
            assert_eq!(address["local"], "2001:db8:22::1", "{config}");
            assert_eq!(address["tentative"], serde_json::Value::Null, "{config}");
        });
    }
}

//! Packets.

use super::*;

#[test]
fn pods_reach_each_other_and_the_gateway() {
    let dual = FULL;
    let ipv4 = PLAIN;
    let ipv6 = PLAIN.replace("10.22.0.0/24", "2001:db8:22::/64");
    for (config, addresses) in [
        (ipv4, vec!["10.22.0.1", "10.22.0.3"]),
        (&ipv6, vec!["2001:db8:22::1", "2001:db8:22::3"]),
        (
            dual,
            vec!["10.22.0.1", "10.22.0.3", "2001:db8:22::1", "2001:db8:22::3"],
        ),
    ] {
        in_own_world(|host| {
            host.world.pod("two");
            host.add(config);
            host.add_with(
                config,
                &[("CNI_CONTAINERID", "ctr2"), ("CNI_NETNS", "/run/netns/two")],
            );
            for address in addresses {
                let ping = format!("ip netns exec pod ping -c 1 -i 0.2 -w 5 {address}");
                assert!(succeeds(&ping), "{address} does not answer");
            }
        });
    }
}

#[test]
fn isolated_ports_reach_the_gateway_only() {
    let Some(host) = Host::new() else { return };
    host.world.pod("two");
    let config = PLAIN.replace("isGateway", "portIsolation\": true, \"isGateway");
    host.add(&config);
    host.add_with(
        &config,
        &[("CNI_CONTAINERID", "ctr2"), ("CNI_NETNS", "/run/netns/two")],
    );
    assert!(succeeds("ip netns exec pod ping -c 1 -w 5 10.22.0.1"));
    assert!(!succeeds("ip netns exec pod ping -c 1 -w 1 10.22.0.3"));
}

#[test]
fn a_spoofed_mac_address_gets_nowhere() {
    let Some(host) = Host::new() else { return };
    host.add(FULL);
    assert!(succeeds("ip netns exec pod ping -c 1 -w 5 10.22.0.1"));
    sh("ip -n pod link set eth0 address c2:11:22:00:00:99");
    assert!(!succeeds("ip netns exec pod ping -c 1 -w 1 10.22.0.1"));
}

#[test]
fn masqueraded_packets_leave_with_the_hosts_address() {
    for backend in ["nftables", "iptables"] {
        in_own_world(|host| {
            host.world.pod("outside");
            // The outside knows the host's address only.
            sh(
                "ip link add up0 type veth peer name out0 netns outside; ip addr add 192.0.2.1/24 dev up0; ip link set up0 up; ip -n outside addr add 192.0.2.2/24 dev out0; ip -n outside link set out0 up",
            );
            let config = FULL.replace(
                "\"ipMasq\"",
                &format!("\"ipMasqBackend\": \"{backend}\", \"ipMasq\""),
            );
            let without = config.replace("\"ipMasq\": true", "\"ipMasq\": false");
            host.add(&without);
            assert!(!succeeds("ip netns exec pod ping -c 1 -w 1 192.0.2.2"));
            host.succeed("DEL", &without);
            host.add(&config);
            assert!(
                succeeds("ip netns exec pod ping -c 1 -w 5 192.0.2.2"),
                "{backend}"
            );
        });
    }
}

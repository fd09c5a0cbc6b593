//! What goes wrong, and what must be as before then; whose link DEL removes; packets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use harness::{
    on_master::{Kind, in_own_world, pod},
    sh, succeeds, with_prev_result,
};
use kernel::{Macvlan, NewKind};
use serde_json::{Value, json};

type Host = harness::Host<macvlan::Macvlan>;

harness::tests_on_master!(macvlan::Macvlan, macvlan::MACVLAN, KIND);

const KIND: Kind = Kind {
    name: "macvlan",
    new: || NewKind::Macvlan(Macvlan::default()),
    configure: |config| config["bcqueuelen"] = json!(500),
    made: "type macvlan mode bridge",
    has_the_masters_mac: false,
    refused: &[
        (
            |config| config["mtu"] = json!(1501),
            "true",
            "invalid MTU 1501, must be [0, master MTU(1500)]",
        ),
        (
            |config| config["mtu"] = json!(1279),
            "true",
            "\"eth0\" has an MTU of 1279 and is to have an IPv6 address: IPv6 needs an MTU of 1280 at least",
        ),
        (
            |config| config["mtu"] = json!(-1),
            "true",
            "invalid MTU -1, must be [0, master MTU(1500)]",
        ),
        (
            |config| config["mode"] = json!("source"),
            "true",
            "unknown macvlan mode: \"source\"",
        ),
        (
            |config| config["mac"] = json!("xx"),
            "true",
            "invalid args xx for MAC addr: address xx: invalid MAC address",
        ),
        (
            |config| config["master"] = json!(""),
            "true",
            "no default route interface found",
        ),
        (
            |config| {
                config["linkInContainer"] = json!(true);
                config["master"] = json!("p0");
            },
            "ip -n pod link add p0 type veth peer name eth0",
            "failed to create macvlan: file exists: the container has an interface \"eth0\"",
        ),
        (
            |_| (),
            "ip link add br0 type bridge; ip link set m0 master br0",
            "failed to create macvlan: device or resource busy",
        ),
    ],
    damages: &[
        (
            "ip -n pod link set eth0 mtu 1300",
            "Interface eth0 has MTU 1300, less than the configured 1400",
        ),
        (
            "ip -n pod link set eth0 type macvlan mode private",
            "container macvlan mode private does not match expected value: bridge",
        ),
        (
            "ip -n pod link set eth0 address c2:11:22:00:00:99",
            "Interface eth0 Mac ",
        ),
    ],
    statuses: &[
        (
            |config| config["master"] = json!(""),
            "true",
            Some("no default route interface found"),
        ),
        (
            |_| (),
            "ip link add br0 type bridge; ip link set m0 master br0",
            Some("port of a bridge"),
        ),
    ],
    spoil: |config| config["mode"] = json!("source"),
};

/// Whoever knew the addresses by another MAC address knows the pod's at once, without asking.
#[test]
fn a_pod_is_announced_and_reaches_the_machines_of_the_link() {
    in_own_world(&KIND, |host: &Host| {
        let full = KIND.full();
        host.world.pod("lan");
        sh(
            "ip link set m1 netns lan; ip -n lan link set m1 up; ip -n lan addr add 10.22.0.1/24 dev m1
            ip -n lan addr add 2001:db8:22::1/64 dev m1 nodad
            for a in 10.22.0.2 2001:db8:22::2; do
                ip -n lan neigh add $a lladdr 02:00:00:00:00:99 nud stale dev m1
            done",
        );
        let result = host.add(&full);
        let mac = result["interfaces"][0]["mac"].as_str().unwrap();
        let limit = Instant::now() + Duration::from_secs(60);
        while sh("ip -n lan neigh").matches(mac).count() < 2 {
            assert!(Instant::now() < limit, "{}", sh("ip -n lan neigh"));
            std::thread::sleep(Duration::from_millis(20));
        }
        for address in ["10.22.0.1", "2001:db8:22::1"] {
            let ping = format!("ip netns exec pod ping -c 1 -i 0.2 -w 5 {address}");
            assert!(succeeds(&ping), "{address} does not answer");
        }
        let added = with_prev_result(&full, &result);
        host.succeed("CHECK", &added);
        host.succeed("DEL", &added);
        host.succeed("DEL", &added);
        assert_eq!(pod(), "");
    });
}

/// It may have been given another one than ADD told of.
#[test]
fn del_removes_a_link_whose_mac_address_the_pod_changed() {
    in_own_world(&KIND, |host: &Host| {
        let full = KIND.full();
        let added = with_prev_result(&full, &host.add(&full));
        sh("ip -n pod link set eth0 alias ''; ip -n pod link set eth0 address c2:11:22:00:00:99");
        host.succeed("DEL", &added);
        assert_eq!(pod(), "");
    });
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
        in_own_world(&KIND, |host: &Host| {
            sh(setup);
            let mut config: Value = serde_json::from_str(&KIND.full()).unwrap();
            config["linkInContainer"] = json!(inside);
            config["master"] = json!(master);
            let config = config.to_string();
            let added = with_prev_result(&config, &host.add(&config));
            host.succeed("CHECK", &added);
            host.succeed("DEL", &added);
            assert!(!pod().contains("eth0"), "{setup}");
        });
    }
}

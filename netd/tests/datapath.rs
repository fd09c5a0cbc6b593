//! netd on real nodes: what it leaves in their kernels, and how it keeps it there.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic and tell what it measured"
)]

mod nodes;

use std::time::Duration;

use nodes::{
    Cluster, DUAL_HOST_GW, DUAL_VXLAN, HOST_GW, Netd, VXLAN, add_bridge, ping, sh, wait_for,
};

/// Route lines of `n` for the given peers.
fn expected_routes(cluster: &Cluster, config: &str, n: u8, peers: &[u8]) -> Vec<String> {
    let vxlan = config.contains("vxlan");
    let mut lines = Vec::new();
    for peer in peers {
        let subnet = cluster.subnet(*peer);
        let gateway = subnet.trim_end_matches("/24");
        lines.push(match vxlan {
            true => format!("{subnet} via {gateway} dev flannel.1 onlink"),
            false => format!("{subnet} via 192.168.50.{peer} dev eth0"),
        });
        if config.contains("IPv6Network") {
            let subnet = cluster.v6_subnet(*peer);
            let gateway = subnet.trim_end_matches("/64");
            let pref = "metric 1024";
            lines.push(match vxlan {
                true => {
                    format!("{subnet} via {gateway} dev flannel-v6.1 {pref} onlink pref medium")
                }
                false => format!("{subnet} via fd00:50::{peer} dev eth0 {pref} pref medium"),
            });
        }
    }
    assert!(!peers.contains(&n));
    lines.sort();
    lines
}

fn wait_routes(cluster: &Cluster, config: &str, n: u8, peers: &[u8]) {
    let expected = expected_routes(cluster, config, n, peers);
    let mut seen = Vec::new();
    wait_for(&format!("routes {expected:#?}"), || {
        seen = cluster.routes(n);
        seen == expected
    });
}

#[test]
fn three_nodes_reach_each_other() {
    for config in [VXLAN, DUAL_VXLAN, HOST_GW, DUAL_HOST_GW] {
        std::thread::spawn(move || three_nodes(config))
            .join()
            .expect(config);
    }
}

fn three_nodes(config: &str) {
    let Some(cluster) = Cluster::new(config, 3) else {
        return;
    };
    let dual = config.contains("IPv6Network");
    let _running: Vec<Netd> = (1..=3).map(|n| cluster.start(n, &[])).collect();
    for (n, peers) in [(1, [2, 3]), (2, [1, 3]), (3, [1, 2])] {
        wait_routes(&cluster, config, n, &peers);
        add_bridge(&cluster, n, dual);
    }
    let mtu = match (config.contains("vxlan"), dual) {
        (true, true) => "1430",
        (true, false) => "1450",
        (false, _) => "1500",
    };
    assert_eq!(cluster.env(1, "FLANNEL_MTU").as_deref(), Some(mtu));
    assert_eq!(cluster.env(1, "FLANNEL_IPMASQ").as_deref(), Some("false"));
    for (from, to) in [(1, 2), (2, 3), (3, 1)] {
        ping(&cluster, from, to, "FLANNEL_SUBNET");
        if dual {
            ping(&cluster, from, to, "FLANNEL_IPV6_SUBNET");
        }
    }
    if config.contains("vxlan") {
        check_vxlan_objects(&cluster);
    }
}

/// Flannel takes it, so a cluster may have it.
#[test]
fn vni_0_is_a_vni() {
    let config = VXLAN.replace(r#""vxlan""#, r#""vxlan","VNI":0"#);
    let Some(cluster) = Cluster::new(&config, 2) else {
        return;
    };
    let _running = [cluster.start(1, &[]), cluster.start(2, &[])];
    for n in [1, 2] {
        wait_for("the route through flannel.0", || {
            sh(&format!("ip -n n{n} route show dev flannel.0 proto 112")).contains("onlink")
        });
        add_bridge(&cluster, n, false);
    }
    ping(&cluster, 1, 2, "FLANNEL_SUBNET");
    assert!(sh("ip -n n1 -d link show dev flannel.0").contains("vxlan id 0 "));
}

/// Names, shapes and attributes are those that flannel leaves.
fn check_vxlan_objects(cluster: &Cluster) {
    let json =
        |command: &str| -> serde_json::Value { serde_json::from_str(&sh(command)).expect("JSON") };
    let device = json("ip -n n1 -d -j link show dev flannel.1");
    let data = &device[0]["linkinfo"]["info_data"];
    for (key, value) in [("id", 1), ("port", 8472), ("ttl", 0), ("ageing", 300)] {
        assert_eq!(data[key], value, "{key}: {data}");
    }
    assert_eq!(
        (&data["local"], &data["link"]),
        (&"192.168.50.1".into(), &"eth0".into())
    );
    assert_eq!(
        (&data["learning"], &data["udp_csum"]),
        (&false.into(), &true.into())
    );
    let peer_mac = |n| {
        let link = json(&format!("ip -n n{n} -j link show dev flannel.1"));
        link[0]["address"].as_str().expect("MAC").to_owned()
    };
    let mut fdb: Vec<String> = sh("bridge -n n1 fdb show dev flannel.1")
        .lines()
        .map(|l| l.trim().to_owned())
        .collect();
    fdb.sort();
    let mut expected: Vec<String> = [2, 3]
        .map(|n| format!("{} dst 192.168.50.{n} self permanent", peer_mac(n)))
        .to_vec();
    expected.sort();
    assert_eq!(fdb, expected);
    let neighbours = sh("ip -n n1 -4 neigh show dev flannel.1 nud permanent");
    for n in [2, 3] {
        let address = cluster.subnet(n).replace("/24", "");
        let line = format!("{address} lladdr {} PERMANENT", peer_mac(n));
        assert!(neighbours.contains(&line), "{line}: {neighbours}");
    }
    let own = cluster.subnet(1).replace("/24", "/32");
    assert!(sh("ip -n n1 addr show dev flannel.1").contains(&format!("inet {own} scope global")));
    assert_eq!(
        sh("ip netns exec n1 sysctl -n net.ipv6.conf.flannel/1.accept_ra").trim(),
        "0"
    );
}

/// Takes something away and measures until `show` prints `line` again.
fn repaired(what: &str, remove: &str, show: &str, line: &str) {
    sh(remove);
    let time = wait_for(&format!("{what} to come back: {line}"), || {
        sh(show).contains(line)
    });
    println!("{what}: back after {time:?}");
}

#[test]
fn what_is_removed_by_hand_comes_back_and_other_things_stay() {
    let Some(cluster) = Cluster::new(VXLAN, 2) else {
        return;
    };
    let _running = [cluster.start(1, &[]), cluster.start(2, &[])];
    wait_routes(&cluster, VXLAN, 1, &[2]);
    let foreign = "10.97.0.0/16 via 10.97.0.1 dev flannel.1 onlink
        10.98.0.0/16 via 192.168.50.77 dev eth0
        10.99.0.0/16 via 192.168.50.77 dev eth0 proto static";
    for route in foreign.lines() {
        sh(&format!("ip -n n1 route add {route}"));
    }
    let subnet = cluster.subnet(2);
    let gateway = subnet.replace("/24", "");
    let own = cluster.subnet(1).replace("/24", "/32");
    let mac = sh("ip -n n2 -br link show dev flannel.1");
    let mac = mac.split_whitespace().nth(2).expect("MAC").to_owned();
    let own_mac = sh("ip -n n1 -br link show dev flannel.1");
    let own_mac = own_mac.split_whitespace().nth(2).expect("MAC").to_owned();
    let route = format!("{subnet} via {gateway} dev flannel.1 proto 112 onlink");
    let (neighbour, entry) = (
        format!("{gateway} lladdr {mac} PERMANENT"),
        format!("{mac} dst 192.168.50.2"),
    );
    let routes = "ip -n n1 route";
    let neighbours = "ip -n n1 neigh show dev flannel.1";
    let fdb = "bridge -n n1 fdb show dev flannel.1";
    for (what, remove, show, line) in [
        (
            "route",
            format!("ip -n n1 route del {subnet}"),
            routes,
            &route,
        ),
        (
            "other route",
            format!("ip -n n1 route replace {subnet} via 192.168.50.9"),
            routes,
            &route,
        ),
        (
            "neighbour",
            format!("ip -n n1 neigh del {gateway} dev flannel.1"),
            neighbours,
            &neighbour,
        ),
        (
            "FDB entry",
            format!("bridge -n n1 fdb del {mac} dst 192.168.50.2 dev flannel.1 self"),
            fdb,
            &entry,
        ),
        (
            "address",
            format!("ip -n n1 addr del {own} dev flannel.1"),
            "ip -n n1 addr",
            &own,
        ),
        (
            "device down",
            "ip -n n1 link set flannel.1 down".to_owned(),
            routes,
            &route,
        ),
        (
            "MTU",
            "ip -n n1 link set flannel.1 mtu 1300".to_owned(),
            "ip -n n1 link",
            &"mtu 1450".to_owned(),
        ),
        (
            "MAC",
            "ip -n n1 link set flannel.1 address 02:00:00:00:00:99".to_owned(),
            "ip -n n1 link show dev flannel.1",
            &own_mac,
        ),
        (
            "device",
            "ip -n n1 link del flannel.1".to_owned(),
            routes,
            &route,
        ),
    ] {
        repaired(what, &remove, show, line);
    }
    wait_for("everything after the device was deleted", || {
        sh(neighbours).contains(&neighbour) && sh(fdb).contains(&entry)
    });
    let link = sh("ip -n n1 link show dev flannel.1");
    assert!(
        link.contains(&own_mac),
        "the published MAC {own_mac} is kept: {link}"
    );
    let routes = sh(routes);
    for route in foreign.lines().skip(1) {
        assert!(routes.contains(route.trim()), "{route}: {routes}");
    }
    let passes = || cluster.status(1).expect("status")["datapath"]["passes"].clone();
    wait_for("netd to be at rest", || {
        let before = passes();
        std::thread::sleep(Duration::from_millis(700));
        passes() == before
    });
}

#[test]
fn the_external_interface_goes_and_comes() {
    for config in [VXLAN, HOST_GW] {
        std::thread::spawn(move || external_interface(config))
            .join()
            .expect(config);
    }
}

fn external_interface(config: &str) {
    let Some(cluster) = Cluster::new(config, 2) else {
        return;
    };
    let _running = [cluster.start(1, &[]), cluster.start(2, &[])];
    wait_routes(&cluster, config, 1, &[2]);
    sh("ip -n n1 link set eth0 down; sleep 0.1; ip -n n1 link set eth0 up");
    wait_routes(&cluster, config, 1, &[2]);
    sh("ip -n n1 link del eth0
        ip link add v1 type veth peer name eth0 netns n1
        ip link set v1 master br0 up
        ip -n n1 addr add 192.168.50.1/24 dev eth0
        ip -n n1 link set eth0 up");
    wait_routes(&cluster, config, 1, &[2]);
    add_bridge(&cluster, 1, false);
    add_bridge(&cluster, 2, false);
    ping(&cluster, 1, 2, "FLANNEL_SUBNET");
}

#[test]
fn stopping_leaves_everything_and_a_restart_changes_nothing() {
    let Some(cluster) = Cluster::new(DUAL_VXLAN, 2) else {
        return;
    };
    let mut first = cluster.start(1, &[]);
    let _second = cluster.start(2, &[]);
    wait_routes(&cluster, DUAL_VXLAN, 1, &[2]);
    let state = || {
        let link = sh("ip -n n1 -br link show | grep flannel");
        let index = sh("ip -n n1 -o link show | grep flannel | cut -d: -f1");
        let fdb = sh("bridge -n n1 fdb show | grep flannel | sort");
        let neighbours = sh("ip -n n1 neigh show nud permanent | sort");
        let addresses = sh("ip -n n1 -br addr show | grep flannel");
        let env = std::fs::read_to_string(cluster.subnet_file(1)).expect("subnet.env");
        (
            link,
            index,
            fdb,
            neighbours,
            addresses,
            cluster.routes(1),
            env,
        )
    };
    let before = state();
    let monitor = cluster.dir().join("monitor");
    let mut watcher = nodes::program("ip")
        .args(["-n", "n1", "monitor", "route", "link", "neigh"])
        .stdout(std::fs::File::create(&monitor).expect("file"))
        .spawn()
        .expect("ip monitor");
    std::thread::sleep(Duration::from_millis(200));
    for signal in ["TERM", "INT", "KILL"] {
        let status = first.stop(signal);
        assert_eq!(status.success(), signal != "KILL", "{signal}: {status}");
        assert_eq!(state(), before, "after SIG{signal}");
        first = cluster.start(1, &[]);
        assert_eq!(state(), before, "after a restart");
    }
    watcher.kill().expect("monitor");
    watcher.wait().expect("monitor");
    let changes = std::fs::read_to_string(&monitor).expect("monitor");
    let ours: Vec<&str> = changes
        .lines()
        .filter(|line| line.contains("flannel") && !line.contains("table local"))
        .collect();
    assert_eq!(ours, Vec::<&str>::new(), "the datapath did not blink");
}

#[test]
fn a_peer_that_leaves_is_withdrawn_and_comes_back() {
    for config in [VXLAN, HOST_GW] {
        std::thread::spawn(move || peer_leaves(config))
            .join()
            .expect(config);
    }
}

fn peer_leaves(config: &str) {
    let Some(cluster) = Cluster::new(config, 2) else {
        return;
    };
    let _first = cluster.start(1, &[]);
    let second = cluster.start(2, &["-lease-ttl", "2s"]);
    wait_routes(&cluster, config, 1, &[2]);
    let subnet = cluster.subnet(2);
    assert_eq!(second.stop("KILL").code(), None);
    wait_routes(&cluster, config, 1, &[]);
    if config == VXLAN {
        assert_eq!(sh("bridge -n n1 fdb show dev flannel.1").trim(), "");
        assert_eq!(
            sh("ip -n n1 neigh show dev flannel.1 nud permanent").trim(),
            ""
        );
    }
    let _again = cluster.start(2, &[]);
    assert_eq!(cluster.subnet(2), subnet, "the old subnet is taken again");
    wait_routes(&cluster, config, 1, &[2]);
}

#[test]
fn what_flanneld_left_is_adopted_or_removed() {
    let Some(cluster) = Cluster::new(VXLAN, 2) else {
        return;
    };
    let _second = cluster.start(2, &[]);
    // No node gets the first subnet, so that nothing here is its own by chance.
    let subnet = cluster.subnet(2);
    let gateway = subnet.replace("/24", "");
    sh(&format!(
        "ip -n n1 link add flannel.1 address 02:aa:00:00:00:01 mtu 1300 type vxlan id 1 dev eth0 \
            local 192.168.50.1 dstport 8472 nolearning
         ip -n n1 link set flannel.1 up
         ip -n n1 addr add 10.100.0.9/32 dev flannel.1
         ip -n n1 addr add 172.20.0.1/24 dev flannel.1
         ip -n n1 route add {subnet} via {gateway} dev flannel.1 onlink
         ip -n n1 route add 10.100.0.0/24 via 10.100.0.0 dev flannel.1 onlink
         ip -n n1 neigh add 10.100.0.0 lladdr 02:00:00:00:00:fe dev flannel.1
         bridge -n n1 fdb add 02:00:00:00:00:fe dst 192.168.50.99 dev flannel.1"
    ));
    let index = sh("ip -n n1 -o link show dev flannel.1 | cut -d: -f1");
    let _first = cluster.start(1, &[]);
    wait_routes(&cluster, VXLAN, 1, &[2]);
    let link = sh("ip -n n1 -o link show dev flannel.1");
    assert!(
        link.starts_with(index.trim()),
        "the device is adopted: {link}"
    );
    assert!(
        link.contains("02:aa:00:00:00:01") && link.contains("mtu 1450"),
        "{link}"
    );
    let routes = sh("ip -n n1 route");
    assert!(!routes.contains("10.100.0.0"), "{routes}");
    assert!(!sh("bridge -n n1 fdb show dev flannel.1").contains("fe dst"));
    assert!(!sh("ip -n n1 neigh show dev flannel.1").contains("10.100.0.0"));
    let addresses = sh("ip -n n1 addr show dev flannel.1");
    assert!(addresses.contains("172.20.0.1/24") && !addresses.contains("10.100.0.9/32"));
    let lease = std::fs::read_to_string(cluster.lease_file(&cluster.subnet(1).replace('/', "-")));
    assert!(
        lease.expect("lease").contains("02:aa:00:00:00:01"),
        "the kept MAC is published"
    );
}

#[test]
fn a_route_of_somebody_else_in_the_way_is_left_and_reported() {
    let Some(cluster) = Cluster::new(HOST_GW, 2) else {
        return;
    };
    let _second = cluster.start(2, &[]);
    let subnet = cluster.subnet(2);
    sh(&format!(
        "ip -n n1 route add {subnet} via 192.168.50.77 proto static"
    ));
    let far = r#"{"PublicIP":"192.168.60.3","PublicIPv6":null,"BackendType":"host-gw"}"#;
    std::fs::write(cluster.lease_file("10.100.253.0-24"), far).expect("lease");
    let _first = cluster.start(1, &[]);
    wait_for("the reports", || {
        let status = cluster.status(1).expect("status");
        let problems = nodes::problems(&status);
        status["level"] == "degraded"
            && problems
                .iter()
                .any(|what| what.starts_with(&format!("another route holds {subnet}: ")))
            && problems.iter().any(|what| {
                what == "10.100.253.0/24 is not served: not on-link: next hop 192.168.60.3"
            })
    });
    assert!(sh("ip -n n1 route").contains(&format!("{subnet} via 192.168.50.77")));
    sh(&format!("ip -n n1 route del {subnet}"));
    wait_routes(&cluster, HOST_GW, 1, &[2]);
    let status = cluster.status(1).expect("status");
    assert_eq!(status["datapath"]["conflicts"], 0, "{status}");
}

#[test]
fn direct_routing_follows_the_link() {
    let config = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"vxlan","DirectRouting":true}}"#;
    let Some(cluster) = Cluster::new(config, 2) else {
        return;
    };
    let _running = [cluster.start(1, &[]), cluster.start(2, &[])];
    let subnet = cluster.subnet(2);
    let direct = vec![format!("{subnet} via 192.168.50.2 dev eth0")];
    wait_for("a direct route", || cluster.routes(1) == direct);
    assert_eq!(sh("bridge -n n1 fdb show dev flannel.1").trim(), "");
    // Now the peer is behind a router, as far as n1 knows.
    sh("ip -n n1 route add 192.168.50.2/32 via 192.168.50.254");
    wait_routes(&cluster, VXLAN, 1, &[2]);
    sh("ip -n n1 route del 192.168.50.2/32");
    wait_for("a direct route again", || cluster.routes(1) == direct);
}

//! Tracked connections, compared with what /proc says of them.

mod common;

use std::fs;
use std::net::{IpAddr, UdpSocket};

use common::{Step, here};
use kernel::conntrack::{Connection, Conntrack, Selection, Zone};
use kernel::testing::World;

const UDP: u8 = 17;

/// Tracks what this namespace sends. Connections of both families, each to two ports.
fn prepared() -> Option<(Conntrack, Vec<Connection>)> {
    here().run("nft add table inet t");
    here().run("nft add chain inet t c { type filter hook output priority 0 ; }");
    here().run("nft add rule inet t c ct state new counter");
    let mut conntrack = Conntrack::open().step();
    let nothing = Selection {
        protocol: UDP,
        port: 1,
        address: None,
    };
    if let Err(error) = conntrack.connections(&nothing) {
        eprintln!(
            "skipped: this kernel has no conntrack netlink: {error}: {}",
            error.source
        );
        return None;
    }
    let mut connections = Vec::new();
    for local in ["127.0.0.1", "127.0.0.2", "::1"] {
        for port in [5000, 5001] {
            let local: IpAddr = local.parse().step();
            // A listener, lest an ICMP answer ends the connection.
            let listener = UdpSocket::bind((local, port)).step();
            let socket = UdpSocket::bind((local, 0)).step();
            let destination = listener.local_addr().step();
            socket.send_to(b"x", destination).step();
            connections.push(Connection {
                protocol: UDP,
                source: socket.local_addr().step(),
                destination,
                zone: None,
            });
        }
    }
    Some((conntrack, connections))
}

/// How many connections to `port` /proc lists.
fn seen(port: u16) -> usize {
    let text = fs::read_to_string("/proc/thread-self/net/nf_conntrack").step();
    let port = format!(" dport={port} ");
    text.lines()
        .filter(|line| line.contains(" udp ") && line.contains(&port))
        .count()
}

fn to(port: u16, address: Option<&str>) -> Selection {
    Selection {
        protocol: UDP,
        port,
        address: address.map(|address| address.parse().step()),
    }
}

#[test]
fn connections_are_listed_and_deleted() {
    let Some(_world) = World::new() else { return };
    let Some((mut conntrack, made)) = prepared() else {
        return;
    };
    assert_eq!((seen(5000), seen(5001)), (3, 3));
    let listed = conntrack.connections(&to(5000, None)).step();
    assert_eq!(listed.len(), 3);
    for connection in made.iter().filter(|made| made.destination.port() == 5000) {
        assert!(listed.contains(connection), "{connection}: {listed:?}");
    }
    assert_eq!(
        conntrack
            .delete_connections(&to(5000, Some("127.0.0.1")))
            .step(),
        1
    );
    assert_eq!((seen(5000), seen(5001)), (2, 3));
    assert_eq!(conntrack.delete_connections(&to(5000, None)).step(), 2);
    assert_eq!((seen(5000), seen(5001)), (0, 3));
    assert_eq!(conntrack.delete_connections(&to(5000, None)).step(), 0);
    let tcp = Selection {
        protocol: 6,
        ..to(5001, None)
    };
    assert_eq!(conntrack.delete_connections(&tcp).step(), 0);
    assert_eq!(seen(5001), 3);
    let gone = conntrack.delete_connection(&made[0]).unwrap_err();
    assert!(gone.is_gone(), "{gone}: {}", gone.source);
    let expected = format!(
        "delete connection udp src=127.0.0.1 dst=127.0.0.1 sport={} dport=5000",
        made[0].source.port()
    );
    assert_eq!(gone.to_string(), expected);
}

#[test]
fn a_pod_has_its_own() {
    let Some(world) = World::new() else { return };
    let Some((mut here, _)) = prepared() else {
        return;
    };
    let pod = world.pod("pod");
    let mut inside = Conntrack::open_in(&pod).step();
    assert_eq!(inside.delete_connections(&to(5000, None)).step(), 0);
    assert_eq!(here.connections(&to(5000, None)).step().len(), 3);
}

#[test]
fn connections_in_zones_are_told_apart_and_deleted() {
    let Some(_world) = World::new() else { return };
    here().run("nft add table inet z");
    here().run("nft add chain inet z c { type filter hook output priority -300 ; }");
    here().run("nft add rule inet z c udp dport 5000 ct zone set 7");
    here().run("nft add rule inet z c udp dport 5001 ct original zone set 8");
    let Some((mut conntrack, _)) = prepared() else {
        return;
    };
    assert_eq!((seen(5000), seen(5001)), (3, 3));
    for (port, zone) in [(5000, Zone::Both(7)), (5001, Zone::Original(8))] {
        let listed = conntrack.connections(&to(port, None)).step();
        assert!(
            listed.iter().all(|one| one.zone == Some(zone)),
            "{listed:?}"
        );
        let mut elsewhere = listed[0].clone();
        elsewhere.zone = None;
        let gone = conntrack.delete_connection(&elsewhere).unwrap_err();
        assert!(gone.is_gone(), "{gone}: {}", gone.source);
        assert_eq!(conntrack.delete_connections(&to(port, None)).step(), 3);
        assert_eq!(seen(port), 0);
    }
}

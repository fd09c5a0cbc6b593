//! Static entries of bridges, flags of their ports, and marked neighbours, compared with iproute2.

mod common;

use common::{Step, here, name};
use kernel::testing::World;
use kernel::{BridgeFdbEntry, BridgePort, Change, LinkChange, MacAddr, Neighbour, Netlink};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

#[test]
fn a_port_that_nothing_is_flooded_to() {
    let Some(_world) = World::new() else { return };
    let ip = here();
    ip.run("ip link add sw type bridge");
    ip.run("ip link set sw up");
    for port in ["one", "two"] {
        ip.run(&format!(
            "ip link add {port} type veth peer name peer-{port}"
        ));
        ip.run(&format!("ip link set {port} master sw"));
    }
    let netlink = Netlink::open().step();
    let index = |link| netlink.link(&name(link)).step().map(|link| link.index);
    let (Some(sw), Some(one), Some(two)) = (index("sw"), index("one"), index("two")) else {
        panic!("no links");
    };
    let port = BridgePort {
        flood: false,
        mcast_flood: false,
        bcast_flood: false,
        neigh_suppress: true,
        ..BridgePort::default()
    };
    let change = LinkChange {
        port: Some(port),
        ..LinkChange::default()
    };
    netlink.set_link(one, &change).step();
    let read = |link| netlink.link(&name(link)).step().and_then(|link| link.port);
    assert_eq!(read("one"), Some(port));
    assert_eq!(read("two"), Some(BridgePort::default()));
    let seen = &ip.json("bridge -d link show dev one")[0];
    for (flag, expected) in [
        ("flood", false),
        ("mcast_flood", false),
        ("bcast_flood", false),
        ("neigh_suppress", true),
    ] {
        assert_eq!(seen[flag], expected, "{flag}");
    }

    let entry = BridgeFdbEntry {
        port: one,
        mac: MAC,
    };
    let neighbour = |last, link| Neighbour {
        link,
        address: std::net::Ipv4Addr::new(10, 0, 0, last).into(),
        mac: MAC,
    };
    let changes = [
        Change::ReplaceBridgeFdb(entry.clone()),
        Change::ReplaceNeighbourBy(neighbour(1, sw), 112),
        Change::ReplaceNeighbour(neighbour(2, sw)),
    ];
    // Twice is as once.
    for outcome in netlink.apply(&[changes.clone(), changes].concat()).step() {
        outcome.step();
    }
    ip.run("bridge fdb add 02:00:00:00:00:0a dev two master static");
    assert_eq!(netlink.port_fdb(one).step(), std::slice::from_ref(&entry));
    assert_eq!(netlink.port_fdb(two).step(), []);
    assert_eq!(netlink.bridge_fdb(sw).step(), [entry]);
    assert_eq!(netlink.neighbours(sw).step().len(), 2);
    assert_eq!(netlink.neighbours_by(sw, 112).step(), [neighbour(1, sw)]);
    assert_eq!(netlink.neighbours_by(sw, 113).step(), []);
    ip.run("ip link del one");
    assert_eq!(netlink.bridge_fdb(sw).step(), []);
    assert_eq!(netlink.port_fdb(one).step(), []);
}

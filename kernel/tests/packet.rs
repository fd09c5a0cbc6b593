//! Packet sockets on the ends of a pair.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use kernel::testing::World;
use kernel::{Link, LinkChange, MacAddr, NetNs, Netlink, NewKind, NewLink, PacketSocket, Peer};

/// An IPv4 packet with UDP to `port` in it, or another protocol, or a later fragment.
fn packet(protocol: u8, fragment: u16, port: u16) -> Vec<u8> {
    let mut packet = vec![0; 20 + 8 + 4];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&32_u16.to_be_bytes());
    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
    packet[9] = protocol;
    packet[22..24].copy_from_slice(&port.to_be_bytes());
    packet
}

fn pair(pod: &NetNs) -> (Link, Link) {
    let (host, container) = (Netlink::open().unwrap(), Netlink::open_in(pod).unwrap());
    let (name, peer) = ("v0".parse().unwrap(), "eth0".parse().unwrap());
    let far = Peer {
        ns: Some(pod),
        name: &peer,
        mac: None,
    };
    let near = host
        .add_link(&NewLink::new(&name, NewKind::Veth(far)))
        .unwrap();
    let far = container.link(&peer).unwrap().unwrap();
    let up = LinkChange {
        up: Some(true),
        ..LinkChange::default()
    };
    host.set_link(near.index, &up).unwrap();
    container.set_link(far.index, &up).unwrap();
    // Before that the kernel drops what is sent.
    let is_up = |at: &Netlink, link: &Link| at.link_by_index(link.index).unwrap().unwrap().oper_up;
    let end = Instant::now() + Duration::from_secs(10);
    while !is_up(&host, &near) || !is_up(&container, &far) {
        assert!(Instant::now() < end, "the pair does not come up");
        std::thread::yield_now();
    }
    (near, far)
}

/// What comes next, and from whom.
fn received<'b>(socket: &PacketSocket, buffer: &'b mut [u8]) -> (&'b [u8], MacAddr) {
    let end = Instant::now() + Duration::from_secs(60);
    let (length, from) = loop {
        match socket.receive(buffer) {
            Ok(received) => break received,
            Err(error) => assert!(Instant::now() < end, "nothing came: {error}"),
        }
        std::thread::yield_now();
    };
    (&buffer[..length], from)
}

#[test]
fn hears_only_datagrams_to_its_port_and_says_from_whom() {
    let Some(world) = World::new() else { return };
    let pod = world.pod("pod");
    let (near, far) = pair(&pod);
    let sender = PacketSocket::open(near.index, 67).unwrap();
    let socket = pod
        .step_in(|| PacketSocket::open(far.index, 68))
        .unwrap()
        .unwrap();
    let mut buffer = [0; 64];
    assert_eq!(
        socket.receive(&mut buffer).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    let everybody = MacAddr([0xff; 6]);
    for other in [
        packet(17, 0, 67),
        packet(6, 0, 68),
        packet(17, 1, 68),
        vec![0x45; 9],
    ] {
        sender.send(&other, everybody).unwrap();
    }
    let wanted = packet(17, 0, 68);
    sender.send(&wanted, far.mac.unwrap()).unwrap();
    let heard = received(&socket, &mut buffer);
    assert_eq!(heard, (&wanted[..], near.mac.unwrap()));
    assert_eq!(
        socket.receive(&mut buffer).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn a_ports_datagrams_are_heard_before_its_bridge_takes_them_and_own_ones_are_not() {
    let Some(world) = World::new() else { return };
    let pod = world.pod("pod");
    let (near, far) = pair(&pod);
    let netlink = Netlink::open_in(&pod).unwrap();
    let name = "bridge".parse().unwrap();
    let bridge = NewLink::new(
        &name,
        NewKind::Bridge {
            vlan_filtering: false,
        },
    );
    let bridge = netlink.add_link(&bridge).unwrap();
    let enslave = LinkChange {
        master: Some(Some(bridge.index)),
        ..LinkChange::default()
    };
    netlink.set_link(far.index, &enslave).unwrap();
    let sender = PacketSocket::open(near.index, 67).unwrap();
    let socket = pod
        .step_in(|| PacketSocket::open(far.index, 68))
        .unwrap()
        .unwrap();
    let (own, wanted) = (packet(17, 0, 68), packet(17, 0x4000, 68));
    socket.send(&own, near.mac.unwrap()).unwrap();
    sender.send(&wanted, bridge.mac.unwrap()).unwrap();
    let mut buffer = [0; 64];
    let heard = received(&socket, &mut buffer);
    assert_eq!(heard, (&wanted[..], near.mac.unwrap()));
}

#[test]
fn a_link_that_is_not_there_is_named() {
    let Some(_world) = World::new() else { return };
    let error = PacketSocket::open(kernel::LinkIndex(77), 68).unwrap_err();
    assert!(
        error.is_gone() && error.to_string().contains("77"),
        "{error}"
    );
}

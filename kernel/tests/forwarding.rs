//! Switching forwarding on, and what a host has from router advertisements.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use common::{Ip, Step, here};
use kernel::testing::World;
use kernel::{NetNs, forwarding, sysctl};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendto, setsockopt,
    socket, sockopt,
};

/// `eth0` here and `eth0` in a router's namespace, both with a link-local address.
fn beside_a_router(world: &World) -> NetNs {
    let router = world.pod("router");
    here().run("ip link add eth0 type veth peer name eth0 netns router");
    for ns in [here(), Ip::inside(&router)] {
        for line in [
            "net.ipv6.conf.eth0.dad_transmits=0",
            "net.ipv6.conf.eth0.accept_ra=1",
        ] {
            ns.run(&format!("sysctl -qw {line}"));
        }
        ns.run("ip link set eth0 up");
    }
    router
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "waited for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn link_local(ns: &Ip<'_>) -> Option<(Ipv6Addr, u32)> {
    let links = ns.json("ip -6 address show dev eth0 scope link -tentative");
    let address = links[0]["addr_info"][0]["local"].as_str()?.parse().ok()?;
    let index = u32::try_from(links[0]["ifindex"].as_u64()?).ok()?;
    Some((address, index))
}

/// Says "I am a default router for half an hour" (RFC 4861, 4.2) to one host.
fn advertise(router: &NetNs, host: Ipv6Addr) {
    const ADVERTISEMENT: [u8; 16] = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    let (_, link) = link_local(&Ip::inside(router)).unwrap();
    let send = || -> nix::Result<usize> {
        let raw: OwnedFd = socket(
            AddressFamily::Inet6,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::IcmpV6,
        )?;
        // A packet that passed a router would have less, so hosts take no other.
        setsockopt(&raw, sockopt::Ipv6Ttl, &255)?;
        let to = SockaddrIn6::from(SocketAddrV6::new(host, 0, 0, link));
        sendto(raw.as_raw_fd(), &ADVERTISEMENT, &to, MsgFlags::empty())
    };
    router.run(send).step().unwrap();
}

#[test]
fn a_default_route_by_advertisement_outlives_forwarding() {
    let Some(world) = World::new() else { return };
    let router = beside_a_router(&world);
    wait_for("link-local addresses", || {
        link_local(&here()).is_some() && link_local(&Ip::inside(&router)).is_some()
    });
    let (host, _) = link_local(&here()).unwrap();
    let default = || here().run("ip -6 route show default");
    wait_for("the default route", || {
        advertise(&router, host);
        default().contains("proto ra")
    });
    forwarding::enable(false, true).step();
    assert!(default().contains("proto ra"), "lost: {:?}", default());
    // And the next advertisement is taken as well.
    here().run("ip -6 route del default");
    wait_for("the default route again", || {
        advertise(&router, host);
        default().contains("proto ra")
    });
}

#[test]
fn only_links_that_take_advertisements_are_touched_and_only_once() {
    let Some(_world) = World::new() else { return };
    here().run("ip link add one type veth peer name zero");
    here().run("ip link add two type veth peer name routing");
    let key = |link: &str, name: &str| format!("net/ipv6/conf/{link}/{name}");
    for (link, name, value) in [
        ("zero", "accept_ra", "0"),
        ("two", "accept_ra", "2"),
        ("routing", "forwarding", "1"),
    ] {
        sysctl::set(&key(link, name), value).step();
    }
    forwarding::enable(true, false).step();
    assert_eq!(
        sysctl::get(&key("one", "accept_ra")).step(),
        "1",
        "IPv4 is not their business"
    );
    assert_eq!(forwarding::keep_router_advertisements().step(), ["one"]);
    assert_eq!(forwarding::keep_router_advertisements().step(), [""; 0]);
    for (link, value) in [
        ("one", "2"),
        ("zero", "0"),
        ("two", "2"),
        ("routing", "1"),
        ("lo", "1"),
    ] {
        assert_eq!(sysctl::get(&key(link, "accept_ra")).step(), value, "{link}");
    }
    forwarding::enable(false, true).step();
    assert_eq!(forwarding::disabled(true, true).step(), None);
    here().run("ip link add late type veth peer name later");
    assert_eq!(
        forwarding::keep_router_advertisements().step(),
        [""; 0],
        "what comes while forwarding is on is its owner's"
    );
    // Who knows that it comes in place of another one says so.
    for (link, takes, changed, then) in [
        ("late", false, true, true),
        ("two", true, false, true),
        ("zero", false, false, false),
        ("gone", false, false, false),
    ] {
        let link = link.parse().unwrap();
        let takes_any = || forwarding::takes_router_advertisements(&link).step();
        assert_eq!(takes_any(), takes, "{link}");
        let has_changed = forwarding::take_router_advertisements(&link).step();
        assert_eq!(has_changed, changed, "{link}");
        assert_eq!(takes_any(), then, "{link}");
    }
}

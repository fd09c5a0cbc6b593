use backend::Family;
use kernel::Vxlan;

use super::*;

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn wanted() -> WantedDevice {
    WantedDevice {
        families: vec![Family::V4],
        name: "flannel.1".parse().expect("name"),
        mtu: 1450,
        kind: DeviceKind::Vxlan(vxlan()),
    }
}

fn vxlan() -> VxlanDevice {
    VxlanDevice {
        tunnel: tunnel(),
        other_local: "192.0.2.77".parse().ok(),
        checksum_offload: None,
    }
}

fn tunnel() -> Vxlan {
    Vxlan {
        vni: 1,
        port: 0,
        lower: Some(LinkIndex(2)),
        local: "192.168.50.1".parse().ok(),
        learning: false,
        gbp: false,
        l2miss: false,
        group: None,
    }
}

/// The device as the kernel shows what [`wanted`] creates.
fn link() -> Link {
    let vxlan = Vxlan {
        port: 8472,
        ..tunnel()
    };
    Link {
        index: LinkIndex(7),
        name: "flannel.1".parse().expect("name"),
        mac: Some(MAC),
        mtu: 1450,
        up: true,
        oper_up: true,
        operstate: "UNKNOWN",
        promisc: false,
        allmulti: false,
        tx_queue_len: 1000,
        gso_ipv4_max_size: None,
        master: None,
        alias: None,
        kind: LinkKind::Vxlan(vxlan),
        peer: Some(LinkIndex(2)),
        peer_elsewhere: false,
        port: None,
        loopback: false,
        permanent_mac: None,
        bus_device: None,
    }
}

fn with(change: impl FnOnce(&mut Vxlan)) -> Link {
    let mut vxlan = Vxlan {
        port: 8472,
        ..tunnel()
    };
    change(&mut vxlan);
    Link {
        kind: LinkKind::Vxlan(vxlan),
        ..link()
    }
}

#[test]
fn what_flannel_adopts_is_adopted() {
    for (name, existing) in [
        ("identical", link()),
        ("learning on", with(|vxlan| vxlan.learning = true)),
        (
            "another port, none configured",
            with(|vxlan| vxlan.port = 4789),
        ),
        ("no local address", with(|vxlan| vxlan.local = None)),
        ("no lower device", with(|vxlan| vxlan.lower = None)),
        (
            "the public address",
            with(|vxlan| vxlan.local = "192.0.2.77".parse().ok()),
        ),
    ] {
        assert_eq!(
            step(&wanted(), Some(&existing), None),
            Step::Adopt(None),
            "{name}"
        );
    }
}

#[test]
fn what_flannel_makes_anew_is_made_anew() {
    let port = {
        let mut wanted = wanted();
        let DeviceKind::Vxlan(vxlan) = &mut wanted.kind else {
            panic!("{wanted:?}")
        };
        vxlan.tunnel.port = 8472;
        wanted
    };
    for (name, wanted, existing) in [
        (
            "a bridge",
            wanted(),
            Link {
                kind: LinkKind::Other("bridge".to_owned()),
                ..link()
            },
        ),
        ("another VNI", wanted(), with(|vxlan| vxlan.vni = 7)),
        ("another port", port, with(|vxlan| vxlan.port = 4789)),
        (
            "another lower device",
            wanted(),
            with(|vxlan| vxlan.lower = Some(LinkIndex(9))),
        ),
        (
            "another local address",
            wanted(),
            with(|vxlan| vxlan.local = "192.168.50.77".parse().ok()),
        ),
        ("GBP", wanted(), with(|vxlan| vxlan.gbp = true)),
        ("l2miss", wanted(), with(|vxlan| vxlan.l2miss = true)),
    ] {
        let step = step(&wanted, Some(&existing), None);
        assert!(matches!(step, Step::Recreate(_)), "{name}: {step:?}");
    }
    assert_eq!(step(&wanted(), None, None), Step::Create);
}

#[test]
fn a_device_is_ours_by_its_vni_and_the_published_mac() {
    let renamed = |link: Link| Link {
        name: "strange0".parse().expect("name"),
        ..link
    };
    let other_mac = Link {
        mac: Some(MacAddr([2, 0, 0, 0, 0, 9])),
        ..link()
    };
    let veth = Link {
        kind: LinkKind::Veth,
        ..link()
    };
    for (what, link, ours) in [
        ("under another name", link(), true),
        (
            "moved to another port",
            with(|vxlan| vxlan.port = 4789),
            true,
        ),
        ("another VNI", with(|vxlan| vxlan.vni = 7), false),
        ("another MAC", other_mac, false),
        ("no VXLAN device", veth, false),
    ] {
        assert_eq!(is_ours(&vxlan(), &renamed(link), MAC), ours, "{what}");
    }
}

#[test]
fn a_tun_device_is_kept_with_its_queues_made_anew_without_and_refused_of_another_kind() {
    let wanted = WantedDevice {
        families: vec![Family::V4],
        name: "flannel0".parse().expect("name"),
        mtu: 1472,
        kind: DeviceKind::Tun,
    };
    let with = |kind: LinkKind, mtu| Link {
        name: "flannel0".parse().expect("name"),
        mac: None,
        mtu,
        kind,
        ..link()
    };
    let ours = LinkKind::Tap(TunQueue::DEVICE);
    assert_eq!(step(&wanted, None, None), Step::Create);
    let seen = step(&wanted, Some(&with(ours.clone(), 1472)), None);
    assert_eq!(seen, Step::Adopt(None));
    let seen = step(&wanted, Some(&with(ours, 1400)), None);
    assert!(
        matches!(
            seen,
            Step::Adopt(Some(Adjustment {
                mtu: Some(1472),
                ..
            }))
        ),
        "{seen:?}"
    );
    let flannelds = Tap {
        is_tun: true,
        ..Tap::default()
    };
    let temporary = Tap {
        is_temporary: true,
        ..TunQueue::DEVICE
    };
    for other in [flannelds, temporary] {
        let seen = step(&wanted, Some(&with(LinkKind::Tap(other), 1472)), None);
        assert!(matches!(seen, Step::Recreate(_)), "{seen:?}");
    }
    for other in [LinkKind::Veth, LinkKind::Tap(Tap::default())] {
        assert_eq!(step(&wanted, Some(&with(other, 1472)), None), Step::Refuse);
    }
}

fn ipip_wanted() -> WantedDevice {
    WantedDevice {
        families: vec![Family::V4],
        name: "flannel.ipip".parse().expect("name"),
        mtu: 1480,
        kind: DeviceKind::Ipip("192.168.50.1".parse().expect("address")),
    }
}

/// The device as the kernel shows what [`ipip_wanted`] creates, then changed.
fn ipip_link(change: impl FnOnce(&mut Tunnel)) -> Link {
    let mut tunnel = Tunnel {
        local: "192.168.50.1".parse().ok(),
        pmtudisc: false,
        ..Tunnel::IPIP
    };
    change(&mut tunnel);
    Link {
        name: "flannel.ipip".parse().expect("name"),
        mac: None,
        mtu: 1480,
        kind: LinkKind::Tunnel(tunnel),
        peer: None,
        ..link()
    }
}

/// As the recordings of flanneld have it.
#[test]
fn an_ipip_device_is_adopted_made_anew_or_refused() {
    let address = |text: &str| text.parse().ok();
    let of_kind = |kind| Link {
        kind,
        ..ipip_link(|_| {})
    };
    let recreate = |what: &str| Step::Recreate(what.to_owned());
    for (name, existing, expected) in [
        ("identical", ipip_link(|_| {}), Step::Adopt(None)),
        (
            "another hop limit, with PMTU discovery",
            ipip_link(|tunnel| (tunnel.ttl, tunnel.pmtudisc) = (64, true)),
            Step::Adopt(None),
        ),
        (
            "on a link of its own",
            ipip_link(|tunnel| tunnel.lower = Some(LinkIndex(2))),
            Step::Adopt(None),
        ),
        (
            "another local address",
            ipip_link(|tunnel| tunnel.local = address("10.9.9.9")),
            recreate("its local address is 10.9.9.9 and should be 192.168.50.1"),
        ),
        (
            "no local address",
            ipip_link(|tunnel| tunnel.local = None),
            recreate("its local address is any and should be 192.168.50.1"),
        ),
        (
            "a remote",
            ipip_link(|tunnel| tunnel.remote = address("192.168.50.77")),
            recreate("its remote address is 192.168.50.77 and should be any"),
        ),
        ("a dummy", of_kind(LinkKind::Dummy), Step::Refuse),
        (
            "another tunnel",
            ipip_link(|tunnel| tunnel.protocol = TunnelProtocol::Sit),
            Step::Refuse,
        ),
    ] {
        assert_eq!(
            step(&ipip_wanted(), Some(&existing), None),
            expected,
            "{name}"
        );
    }
    let small = Link {
        mtu: 1400,
        up: false,
        ..ipip_link(|_| {})
    };
    let adjustment = Adjustment {
        up: true,
        mtu: Some(1480),
        mac: None,
    };
    assert_eq!(
        step(&ipip_wanted(), Some(&small), None),
        Step::Adopt(Some(adjustment))
    );
}

#[test]
fn an_adopted_device_gets_what_it_lacks_and_keeps_its_mac() {
    let other = MacAddr([2, 0, 0, 0, 0, 2]);
    let adjust = |adjustment| Step::Adopt(Some(adjustment));
    let down = Link {
        up: false,
        ..link()
    };
    let up = Adjustment {
        up: true,
        ..Adjustment::default()
    };
    assert_eq!(step(&wanted(), Some(&down), None), adjust(up));
    let small = Link {
        mtu: 1300,
        ..link()
    };
    let mtu = Adjustment {
        mtu: Some(1450),
        ..Adjustment::default()
    };
    assert_eq!(step(&wanted(), Some(&small), None), adjust(mtu));
    let strange = Link {
        mac: Some(other),
        ..link()
    };
    assert_eq!(
        step(&wanted(), Some(&strange), None),
        Step::Adopt(None),
        "met for the first time"
    );
    let mac = Adjustment {
        mac: Some(MAC),
        ..Adjustment::default()
    };
    assert_eq!(
        step(&wanted(), Some(&strange), Some(MAC)),
        adjust(mac),
        "published before"
    );
}

fn settings() -> WireguardSettings {
    WireguardSettings {
        private_key: kernel::Secret::private_key([3; 32]),
        listen_port: 51820,
    }
}

#[test]
fn any_wireguard_device_is_adopted_and_told_what_it_lacks() {
    let wanted = WantedDevice {
        families: vec![Family::V4],
        name: "flannel-wg".parse().expect("name"),
        mtu: 1420,
        kind: DeviceKind::Wireguard(settings()),
    };
    let device = Link {
        name: wanted.name.clone(),
        kind: LinkKind::Wireguard,
        mac: None,
        mtu: 1420,
        ..link()
    };
    assert_eq!(step(&wanted, Some(&device), None), Step::Adopt(None));
    let small = Link {
        mtu: 1300,
        up: false,
        ..device.clone()
    };
    let adjustment = Adjustment {
        up: true,
        mtu: Some(1420),
        mac: None,
    };
    assert_eq!(
        step(&wanted, Some(&small), None),
        Step::Adopt(Some(adjustment))
    );
    let dummy = Link {
        kind: LinkKind::Dummy,
        ..device
    };
    let anew = Step::Recreate("it is no WireGuard device".to_owned());
    assert_eq!(step(&wanted, Some(&dummy), None), anew);
    assert_eq!(step(&wanted, None, None), Step::Create);

    let seen = |key: u8, listen_port| Wireguard {
        private_key: Some(kernel::Secret::private_key([key; 32])),
        listen_port,
        ..Wireguard::default()
    };
    for (seen, right) in [
        (seen(3, 51820), true),
        (seen(4, 51820), false),
        (seen(3, 1111), false),
        (Wireguard::default(), false),
    ] {
        assert_eq!(has_settings(&seen, &settings()), right, "{seen:?}");
    }
}

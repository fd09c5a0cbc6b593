//! Every kind of link: made, read back, and compared with what `ip` says.
//!
//! A kernel that lacks a kind skips it, unless `REQUIRE_KINDS=1` (see `tools/with-kernel`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Ip, Step, here, name};
use kernel::testing::World;
use kernel::{
    Ipvlan, IpvlanFlag, IpvlanMode, Link, LinkIndex, LinkKind, MacAddr, Macvlan, MacvlanMode,
    NetNs, Netlink, NewKind, NewLink, Tap, TunQueue, Tunnel, TunnelProtocol, Vlan, VlanProtocol,
};
use serde_json::{Value, json};

/// A link to be made, and what `ip -d -j link` says of its kind.
struct Example {
    kind: NewKind<'static>,
    /// On the link `under`.
    on_lower: bool,
    /// As it is read back.
    seen: LinkKind,
    /// `info_kind`, and part of `info_data`.
    ip: (&'static str, Value),
}

fn examples(lower: LinkIndex) -> Vec<Example> {
    let mut all = Vec::new();
    let mut add = |kind, on_lower, seen, name, data| {
        let ip = (name, data);
        all.push(Example {
            kind,
            on_lower,
            seen,
            ip,
        });
    };
    for vlan_filtering in [false, true] {
        let kind = NewKind::Bridge { vlan_filtering };
        let data = json!({ "vlan_filtering": u8::from(vlan_filtering) });
        add(
            kind,
            false,
            LinkKind::Bridge { vlan_filtering },
            "bridge",
            data,
        );
    }
    for (mode, text) in [
        (MacvlanMode::Bridge, "bridge"),
        (MacvlanMode::Private, "private"),
        (MacvlanMode::Vepa, "vepa"),
        (MacvlanMode::Source, "source"),
        (MacvlanMode::Passthru, "passthru"),
    ] {
        let macvlan = |queue| Macvlan {
            mode,
            broadcast_queue: Some(queue),
        };
        let kind = NewKind::Macvlan(macvlan(1234));
        add(
            kind,
            true,
            LinkKind::Macvlan(macvlan(1234)),
            "macvlan",
            json!({ "mode": text }),
        );
    }
    for (mode, text) in [
        (IpvlanMode::L2, "l2"),
        (IpvlanMode::L3, "l3"),
        (IpvlanMode::L3s, "l3s"),
    ] {
        for (flag, word) in [
            (IpvlanFlag::Bridge, "bridge"),
            (IpvlanFlag::Private, "private"),
            (IpvlanFlag::Vepa, "vepa"),
        ] {
            let ipvlan = Ipvlan { mode, flag };
            let data = json!({ "mode": text, word: true });
            add(
                NewKind::Ipvlan(ipvlan),
                true,
                LinkKind::Ipvlan(ipvlan),
                "ipvlan",
                data,
            );
        }
    }
    for (id, protocol, text) in [
        (0, VlanProtocol::Customer, "802.1Q"),
        (4094, VlanProtocol::Customer, "802.1Q"),
        (7, VlanProtocol::Service, "802.1ad"),
    ] {
        let vlan = Vlan { id, protocol };
        let data = json!({ "id": id, "protocol": text });
        add(
            NewKind::Vlan(vlan),
            true,
            LinkKind::Vlan(vlan),
            "vlan",
            data,
        );
    }
    add(NewKind::Dummy, false, LinkKind::Dummy, "dummy", Value::Null);
    add(NewKind::Ifb, false, LinkKind::Ifb, "ifb", Value::Null);
    let (table, data) = (1017, json!({ "table": 1017 }));
    add(
        NewKind::Vrf { table },
        false,
        LinkKind::Vrf { table },
        "vrf",
        data,
    );
    add(
        NewKind::Wireguard,
        false,
        LinkKind::Wireguard,
        "wireguard",
        Value::Null,
    );
    for tap in [
        Tap::default(),
        Tap {
            multi_queue: true,
            owner: Some(1000),
            group: Some(0),
            ..Tap::default()
        },
        Tap {
            packet_information: true,
            vnet_header: true,
            ..Tap::default()
        },
        TunQueue::DEVICE,
    ] {
        let kind = if tap.is_tun { "tun" } else { "tap" };
        let data = json!({ "type": kind, "pi": tap.packet_information,
            "vnet_hdr": tap.vnet_header, "multi_queue": tap.multi_queue, "persist": true });
        add(NewKind::Tap(tap), false, LinkKind::Tap(tap), "tun", data);
    }
    use TunnelProtocol::{Ip6tnl, Ipip, Sit};
    for (protocol, local, remote, ttl, pmtudisc) in [
        (Ipip, "10.0.0.1", Some("10.0.0.2"), 64, true),
        (Ipip, "10.0.0.1", None, 64, true),
        (Ipip, "10.0.0.1", None, 0, false),
        (Sit, "10.0.0.1", Some("10.0.0.2"), 64, true),
        (Ip6tnl, "fd00::1", Some("fd00::2"), 64, true),
    ] {
        let address = |text: &str| text.parse().unwrap();
        let tunnel = Tunnel {
            protocol,
            lower: Some(lower),
            local: Some(address(local)),
            remote: remote.map(address),
            ttl,
            pmtudisc,
        };
        let mut data = json!({ "local": local, "link": "under", "ttl": ttl });
        let kind = match protocol {
            Ipip => "ipip",
            Sit => "sit",
            Ip6tnl => "ip6tnl",
        };
        if protocol == Ipip {
            data["proto"] = "any".into();
            data["pmtudisc"] = pmtudisc.into();
        }
        add(
            NewKind::Tunnel(tunnel),
            false,
            LinkKind::Tunnel(tunnel),
            kind,
            data,
        );
    }
    all
}

/// Whether the kernel has the kind, which it says by `Unknown device type` or by another module's
/// absence.
fn is_lacking(error: &kernel::Error) -> bool {
    let lacking = matches!(error.errno(), Some(95 | 97 | 2));
    assert!(
        !lacking || std::env::var_os("REQUIRE_KINDS").is_none_or(|value| value != "1"),
        "REQUIRE_KINDS=1, but {error}: {}",
        error.source
    );
    lacking
}

fn make(netlink: &Netlink, new: &NewLink<'_>) -> Option<Link> {
    match netlink.add_link(new) {
        Ok(link) => Some(link),
        Err(error) if is_lacking(&error) => {
            eprintln!("skipped {:?}: {error}: {}", new.kind, error.source);
            None
        }
        Err(error) => panic!("{error}: {} {:?}", error.source, error.message),
    }
}

#[track_caller]
fn assert_part(whole: &Value, part: &Value) {
    for (key, value) in part.as_object().into_iter().flatten() {
        assert_eq!(&whole[key], value, "{key} of {whole}");
    }
}

fn lower(netlink: &Netlink) -> LinkIndex {
    here().run("ip link add under type veth peer name other");
    netlink.link(&name("under")).step().unwrap().index
}

/// Whether the kernel says that it has the kind, and has made nothing to find out. A bridge may be
/// had without VLAN filtering. The first time asked, it loads a module, and a tunnel's comes with
/// devices of its own.
fn knows(netlink: &Netlink, kind: &NewKind<'_>) -> Option<bool> {
    if matches!(kind, NewKind::Tap(_) | NewKind::Bridge { .. }) {
        return None;
    }
    netlink.has_link_kind(kind).step();
    let before = netlink.links().step();
    let known = netlink.has_link_kind(kind).step();
    assert_eq!(netlink.links().step(), before, "{}", kind.name());
    Some(known)
}

#[test]
fn each_kind_is_made_and_read_as_ip_shows_it() {
    let Some(_world) = World::new() else { return };
    let netlink = Netlink::open().step();
    let lower = lower(&netlink);
    let link = name("made0");
    let mut made = 0;
    for example in examples(lower) {
        let new = NewLink {
            lower: example.on_lower.then_some(lower),
            alias: Some("podwire"),
            ..NewLink::new(&link, example.kind)
        };
        let known = knows(&netlink, &new.kind);
        let seen = make(&netlink, &new);
        assert!(
            known.is_none_or(|known| known == seen.is_some()),
            "{}: {known:?}, {seen:?}",
            new.kind.name()
        );
        let Some(seen) = seen else { continue };
        made += 1;
        assert_eq!(seen.kind, example.seen);
        let on_lower = example.on_lower || matches!(seen.kind, LinkKind::Tunnel(_));
        assert_eq!(seen.peer, on_lower.then_some(lower), "{:?}", seen.kind);
        assert_eq!(seen.alias.as_deref(), Some("podwire"));
        let again = netlink.add_link(&new).unwrap_err();
        assert!(
            again.is_exists() || again.errno() == Some(16),
            "{again}: {}",
            again.source
        );
        let ip = &here().json("ip -d link show made0")[0];
        assert_eq!(ip["linkinfo"]["info_kind"], example.ip.0);
        assert_part(&ip["linkinfo"]["info_data"], &example.ip.1);
        netlink.delete_link(seen.index).step();
    }
    assert!(made >= 8, "only {made} kinds could be made");
}

/// In a pod, up, with everything else that a link can have; the lower link stays outside.
#[test]
fn each_kind_can_be_made_in_another_namespace() {
    let Some(world) = World::new() else { return };
    let pod: NetNs = world.pod("pod");
    let netlink = Netlink::open().step();
    let lower = lower(&netlink);
    here().run("ip link set under up");
    let link = name("eth0");
    for example in examples(lower) {
        let tunnel = matches!(example.kind, NewKind::Tunnel(_));
        // The lower link's, or none.
        let has_no_own_mac = match &example.kind {
            NewKind::Ipvlan(_) | NewKind::Tunnel(_) | NewKind::Wireguard => true,
            NewKind::Macvlan(macvlan) => macvlan.mode == MacvlanMode::Passthru,
            _ => false,
        };
        let mac = (!has_no_own_mac).then(|| MacAddr::random().step());
        let new = NewLink {
            lower: example.on_lower.then_some(lower),
            ns: Some(&pod),
            mtu: (!tunnel).then_some(1400),
            mac,
            alias: Some("podwire"),
            up: true,
            ..NewLink::new(&link, example.kind)
        };
        let Some(seen) = make(&netlink, &new) else {
            continue;
        };
        let ip = &Ip::inside(&pod).json("ip -d link show eth0")[0];
        assert_eq!(ip["ifindex"], seen.index.0);
        assert_eq!(ip["linkinfo"]["info_kind"], example.ip.0);
        assert_eq!(ip["ifalias"], "podwire");
        assert!(
            ip["flags"].as_array().unwrap().contains(&"UP".into()),
            "{ip}"
        );
        if let Some(mac) = mac {
            assert_eq!(
                (seen.mac, &ip["address"]),
                (Some(mac), &mac.to_string().into())
            );
        }
        assert_eq!(netlink.link(&link).step(), None, "made here");
        Netlink::open_in(&pod).step().delete_link(seen.index).step();
    }
}

//! Links as this crate makes and reads them, compared with what `ip` and `bridge` say.

mod common;

use common::{Ip, Step, here, name};
use kernel::link::{Arrival, move_link};
use kernel::testing::World;
use kernel::{
    BridgePort, LinkChange, LinkIndex, LinkKind, MacAddr, NetNs, Netlink, NewKind, NewLink, Peer,
    Vxlan,
};

fn veth<'a>(
    host: &'a kernel::IfName,
    peer: &'a kernel::IfName,
    ns: Option<&'a NetNs>,
) -> NewLink<'a> {
    let peer = Peer {
        name: peer,
        ns,
        mac: None,
    };
    NewLink {
        alias: Some("podwire:net:box:eth0"),
        ..NewLink::new(host, NewKind::Veth(peer))
    }
}

const BRIDGE: NewKind<'static> = NewKind::Bridge {
    vlan_filtering: false,
};

#[test]
fn an_mtu_that_the_kernel_refuses_is_explained() {
    let Some(_world) = World::new() else { return };
    let (host, peer, bridge) = (name("veth01234567"), name("eth0"), name("cni0"));
    let make = |mtu| {
        let netlink = Netlink::open().step();
        let new = NewLink {
            mtu: Some(mtu),
            ..veth(&host, &peer, None)
        };
        let made = netlink.add_link(&new)?;
        netlink.delete_link(made.index)
    };
    for mtu in [68, 65535] {
        make(mtu).step();
    }
    for mtu in [0, 67, 65536, u32::MAX] {
        let error = make(mtu).unwrap_err();
        let words = format!("mtu {mtu} is out of range for a veth: 68 to 65535");
        assert_eq!((error.errno(), error.message), (Some(22), Some(words)));
    }
    let error = {
        let new = NewLink {
            mtu: Some(67),
            ..NewLink::new(&bridge, BRIDGE)
        };
        Netlink::open().step().add_link(&new).unwrap_err()
    };
    assert_eq!(
        error.message.as_deref(),
        Some("mtu less than device minimum")
    );
    assert_eq!(here().names(), ["lo"]);
}

#[test]
fn a_pair_is_made_with_everything_at_once() {
    let Some(world) = World::new() else { return };
    let pod = world.pod("pod");
    let (bridge, host, peer) = (name("cni0"), name("veth01234567"), name("eth0"));
    let mac: MacAddr = "02:00:00:00:00:07".parse().unwrap();
    let link = {
        let netlink = Netlink::open().step();
        let new = NewLink {
            mtu: Some(1400),
            ..NewLink::new(&bridge, BRIDGE)
        };
        let master = netlink.add_link(&new).step();
        assert_eq!(netlink.link(&bridge).step().as_ref(), Some(&master));
        assert_eq!(
            master.kind,
            LinkKind::Bridge {
                vlan_filtering: false
            }
        );
        let new = NewLink {
            master: Some(master.index),
            port: Some(BridgePort {
                hairpin: true,
                isolated: false,
                ..BridgePort::default()
            }),
            mtu: Some(1400),
            up: true,
            tx_queue_len: Some(0),
            kind: NewKind::Veth(Peer {
                name: &peer,
                ns: Some(&pod),
                mac: Some(mac),
            }),
            ..veth(&host, &peer, Some(&pod))
        };
        let link = netlink.add_link(&new).step();
        let seen = netlink.link(&host).step().unwrap();
        let by_index = netlink.link_by_index(link.index).step();
        assert_eq!(by_index.as_ref(), Some(&seen));
        // The state of the line comes later.
        let (operstate, oper_up) = (seen.operstate, seen.oper_up);
        assert_eq!(
            kernel::Link {
                operstate,
                oper_up,
                ..link.clone()
            },
            seen
        );
        let inside = Netlink::open_in(&pod).step();
        let peer = inside.link(&peer).step().unwrap();
        assert_eq!((link.peer, link.peer_elsewhere), (Some(peer.index), true));
        assert_eq!((peer.peer, peer.peer_elsewhere), (Some(link.index), true));
        assert_eq!((peer.mac, peer.mtu, peer.up), (Some(mac), 1400, false));
        seen
    };

    let seen = &here().json("ip -d link show veth01234567")[0];
    assert_eq!(seen["ifindex"], link.index.0);
    assert_eq!(seen["address"], link.mac.unwrap().to_string());
    assert_eq!(seen["ifalias"], "podwire:net:box:eth0");
    assert_eq!(seen["master"], "cni0");
    assert_eq!(seen["mtu"], 1400);
    assert_eq!(seen["txqlen"], serde_json::Value::Null);
    let queues =
        |seen: &serde_json::Value| ["num_tx_queues", "num_rx_queues"].map(|key| seen[key].clone());
    assert_eq!(queues(seen), [1, 1]);
    assert_eq!(seen["operstate"], link.operstate);
    assert_eq!(seen["linkinfo"]["info_slave_data"]["hairpin"], true);
    assert_eq!(seen["linkinfo"]["info_slave_data"]["isolated"], false);
    assert!(seen["flags"].as_array().unwrap().contains(&"UP".into()));
    assert_eq!(
        link.port,
        Some(BridgePort {
            hairpin: true,
            isolated: false,
            ..BridgePort::default()
        })
    );
    let seen = &Ip::inside(&pod).json("ip -d link show eth0")[0];
    assert_eq!(seen["address"], "02:00:00:00:00:07");
    assert_eq!(seen["txqlen"], 1000);
    assert_eq!(queues(seen), [1, 1]);
}

#[test]
fn a_refused_pair_leaves_nothing_and_touches_nothing() {
    let Some(world) = World::new() else { return };
    let pod = world.pod("pod");
    here().run("ip link add taken type bridge");
    here().run("ip link set taken alias precious");
    Ip::inside(&pod).run("ip link add eth0 type bridge");
    let (taken, free, eth0, eth1) = (name("taken"), name("free"), name("eth0"), name("eth1"));
    let netlink = Netlink::open().step();
    let error = netlink
        .add_link(&veth(&taken, &eth1, Some(&pod)))
        .unwrap_err();
    assert!(error.is_exists(), "{error}: {}", error.source);
    assert_eq!(
        error.to_string().split(" (").next(),
        Some("add veth taken peer eth1 in /run/netns/pod")
    );
    let error = netlink
        .add_link(&veth(&free, &eth0, Some(&pod)))
        .unwrap_err();
    assert!(error.is_exists(), "{error}: {}", error.source);
    // An alias longer than the kernel takes is refused after the pair was made.
    let long = "x".repeat(300);
    let error = netlink.add_link(&NewLink {
        alias: Some(&long),
        ..veth(&free, &eth1, Some(&pod))
    });
    assert!(error.is_err());
    // A port of something that is no bridge.
    let lo = Some(LinkIndex(1));
    let error = netlink.add_link(&NewLink {
        master: lo,
        ..veth(&free, &eth1, Some(&pod))
    });
    assert!(error.is_err());
    assert_eq!(netlink.link(&free).step(), None);
    assert_eq!(here().names(), ["lo", "taken"]);
    assert_eq!(here().json("ip link show taken")[0]["ifalias"], "precious");
    assert_eq!(Ip::inside(&pod).names(), ["eth0", "lo"]);
}

#[test]
fn a_pair_may_stay_here_and_go_together() {
    let Some(_world) = World::new() else { return };
    let (left, right) = (name("left"), name("right"));
    let netlink = Netlink::open().step();
    let link = netlink.add_link(&veth(&left, &right, None)).step();
    assert!(!link.peer_elsewhere);
    let peer = netlink.link(&right).step().unwrap();
    assert_eq!(link.peer, Some(peer.index));
    assert_eq!(netlink.links().step().len(), 3);
    netlink.delete_link(link.index).step();
    let error = netlink.delete_link(link.index).unwrap_err();
    assert!(error.is_gone(), "{error}: {}", error.source);
    assert_eq!(error.to_string(), format!("delete link {}", link.index));
    assert_eq!(netlink.link(&right).step(), None);
    assert_eq!(netlink.link_by_index(link.index).step(), None);
}

#[test]
fn changes_reach_the_link_in_one_call() {
    let Some(_world) = World::new() else { return };
    here().run("ip link add br0 type bridge");
    here().run("ip link add left type veth peer name right");
    let netlink = Netlink::open().step();
    let bridge = netlink.link(&name("br0")).step().unwrap().index;
    let link = netlink.link(&name("left")).step().unwrap();
    assert_eq!(
        (link.operstate, link.oper_up, link.up),
        ("DOWN", false, false)
    );
    let port = BridgePort {
        hairpin: true,
        isolated: true,
        ..BridgePort::default()
    };
    let change = LinkChange {
        up: Some(true),
        mtu: Some(1300),
        mac: Some(MacAddr([2, 0, 0, 0, 0, 9])),
        master: Some(Some(bridge)),
        promisc: Some(true),
        allmulti: Some(true),
        tx_queue_len: Some(77),
        alias: Some("mine".to_owned()),
        name: Some(name("renamed")),
        port: Some(port),
    };
    netlink.set_link(link.index, &change).step();
    let changed = netlink.link(&name("renamed")).step().unwrap();
    assert_eq!(changed.index, link.index);
    assert_eq!(
        (changed.mtu, changed.up, changed.promisc),
        (1300, true, true)
    );
    assert_eq!((changed.allmulti, changed.tx_queue_len), (true, 77));
    assert_eq!(changed.mac, change.mac);
    assert_eq!((changed.master, changed.port), (Some(bridge), Some(port)));
    assert_eq!(changed.alias.as_deref(), Some("mine"));

    let flags = BridgePort {
        hairpin: false,
        isolated: true,
        ..BridgePort::default()
    };
    let change = LinkChange {
        port: Some(flags),
        ..LinkChange::default()
    };
    netlink.set_link(link.index, &change).step();
    let changed = netlink.link_by_index(link.index).step().unwrap();
    assert_eq!(changed.port, Some(flags));
    assert_eq!(
        here().json("ip -d link show renamed")[0]["linkinfo"]["info_slave_data"]["hairpin"],
        false
    );

    let change = LinkChange {
        master: Some(None),
        promisc: Some(false),
        up: Some(false),
        ..LinkChange::default()
    };
    netlink.set_link(link.index, &change).step();
    let changed = netlink.link_by_index(link.index).step().unwrap();
    assert_eq!((changed.master, changed.port), (None, None));
    assert_eq!((changed.up, changed.promisc), (false, false));
    assert_eq!(changed.alias.as_deref(), Some("mine"));

    let wrong = LinkChange {
        mtu: Some(1),
        master: Some(Some(LinkIndex(1))),
        ..LinkChange::default()
    };
    let error = netlink.set_link(link.index, &wrong).unwrap_err();
    let text = format!("set link {} mtu 1 master 1", link.index);
    assert!(error.to_string().starts_with(&text), "{error}");
    assert!(error.message.is_some(), "the kernel says why: {error}");
}

#[test]
fn a_link_is_read_as_it_was_before_its_change_or_as_it_is_after() {
    let Some(_world) = World::new() else { return };
    here().run("ip link add one type veth peer name other");
    here().run("ip link set one up");
    let netlink = Netlink::open().step();
    let index = netlink.link(&name("one")).step().unwrap().index;
    let change = LinkChange {
        mac: Some(MacAddr([2, 0, 0, 0, 0, 9])),
        ..LinkChange::default()
    };
    let before = netlink.read_and_set_link(index, &change).step();
    assert!(before.mac != change.mac && !before.oper_up, "{before:?}");
    here().run("ip link set other up");
    let before = netlink.read_and_set_link(index, &change).step();
    assert_eq!((before.mac, before.index), (change.mac, index));
    let error = netlink.read_and_set_link(LinkIndex(77), &change);
    assert!(error.unwrap_err().is_gone());
    let change = LinkChange {
        mac: Some(MacAddr([2, 0, 0, 0, 0, 10])),
        up: Some(false),
        ..LinkChange::default()
    };
    let after = netlink.set_and_read_link(index, &change).step();
    assert_eq!(
        (after.mac, after.up, after.index),
        (change.mac, false, index)
    );
    let error = netlink.set_and_read_link(LinkIndex(77), &change);
    assert!(error.unwrap_err().is_gone());
}

#[test]
fn vxlan_devices_read_back_as_they_were_asked_for() {
    let Some(_world) = World::new() else { return };
    here().run("ip link add under type veth peer name other");
    let netlink = Netlink::open().step();
    let lower = netlink.link(&name("under")).step().unwrap().index;
    let v4 = Vxlan {
        vni: 1,
        port: 0,
        lower: Some(lower),
        local: Some("10.0.0.1".parse().unwrap()),
        learning: false,
        gbp: false,
        l2miss: false,
        group: None,
    };
    let v6 = Vxlan {
        vni: 2,
        port: 4789,
        local: Some("fd00::1".parse().unwrap()),
        learning: true,
        gbp: true,
        l2miss: true,
        ..v4.clone()
    };
    for (link, vxlan) in [("flannel.1", v4), ("flannel-v6.1", v6)] {
        let (link, mac) = (name(link), MacAddr::random().step());
        let new = NewLink {
            mac: Some(mac),
            mtu: Some(1430),
            alias: Some("podwire"),
            tx_queue_len: Some(0),
            ..NewLink::new(&link, NewKind::Vxlan(vxlan.clone()))
        };
        let made = netlink.add_link(&new).step();
        let seen = netlink.link(&link).step().unwrap();
        assert_eq!(made, seen);
        let port = if vxlan.port == 0 { 8472 } else { vxlan.port };
        assert_eq!(
            seen.kind,
            LinkKind::Vxlan(Vxlan {
                port,
                ..vxlan.clone()
            })
        );
        assert_eq!((seen.mac, seen.mtu, seen.up), (Some(mac), 1430, false));
        assert_eq!(seen.alias.as_deref(), Some("podwire"));
        let again = netlink.add_link(&new).unwrap_err();
        assert!(again.is_exists(), "{again}: {}", again.source);
    }
    let seen = &here().json("ip -d link show flannel.1")[0]["linkinfo"]["info_data"];
    assert_eq!(
        (&seen["id"], &seen["port"], &seen["local"]),
        (&1.into(), &8472.into(), &"10.0.0.1".into())
    );
    assert_eq!(
        (&seen["learning"], &seen["link"]),
        (&false.into(), &"under".into())
    );
    assert_eq!(seen["udp_csum"], true);
    let seen = &here().json("ip -d link show flannel-v6.1")[0]["linkinfo"]["info_data"];
    assert_eq!(
        (&seen["id"], &seen["port"], &seen["local6"]),
        (&2.into(), &4789.into(), &"fd00::1".into())
    );
    assert_eq!(seen["learning"], true);
    assert!(!seen["gbp"].is_null());
}

#[test]
fn every_link_is_listed_as_ip_lists_it() {
    let Some(_world) = World::new() else { return };
    for number in 0..40 {
        here().run(&format!(
            "ip link add left{number} type veth peer name right{number}"
        ));
    }
    let links = { Netlink::open().step().links().step() };
    let seen = here().json("ip -d link");
    let seen = seen.as_array().unwrap();
    assert_eq!(links.len(), seen.len());
    for (link, seen) in links.iter().zip(seen) {
        assert_eq!(seen["ifindex"], link.index.0);
        assert_eq!(seen["ifname"], link.name.as_str());
        assert_eq!(seen["mtu"], link.mtu);
        assert_eq!(seen["address"], link.mac.unwrap().to_string());
        assert_eq!(seen["operstate"], link.operstate);
    }
    assert!(links[0].loopback && links[0].up && links[0].oper_up);
    assert_eq!(links[0].kind, LinkKind::None);
}

#[test]
fn a_list_is_whole_while_others_change_links() {
    let Some(world) = World::new() else { return };
    let batch = world.dir().join("links");
    let line = |number: u32| {
        format!("link add n{number} type veth peer name m{number}\nlink delete n{number}\n")
    };
    std::fs::write(&batch, (0..40).map(line).collect::<String>()).step();
    for number in 0..60 {
        here().run(&format!(
            "ip link add left{number} type veth peer name right{number}"
        ));
    }
    let command = format!("ip -batch {}", batch.display());
    let finished = std::sync::atomic::AtomicBool::new(false);
    let finished = &finished;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            here().run(&command);
            finished.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let netlink = Netlink::open().step();
        while !finished.load(std::sync::atomic::Ordering::Relaxed) {
            match netlink.links() {
                Ok(links) => {
                    let count = |prefix: &str| {
                        links
                            .iter()
                            .filter(|link| link.name.as_str().starts_with(prefix))
                            .count()
                    };
                    assert_eq!((count("left"), count("right")), (60, 60));
                }
                Err(error) => {
                    assert_eq!(error.source.to_string(), "state changed while reading")
                }
            }
        }
    });
}

#[test]
fn a_link_moves_with_name_and_alias_and_back() {
    let Some(world) = World::new() else { return };
    let (host, pod) = (NetNs::current().unwrap(), world.pod("pod"));
    let (dev, peer, eth0) = (name("m0"), name("m1"), name("eth0"));
    let netlink = Netlink::open().step();
    let new = NewLink {
        up: true,
        ..veth(&dev, &peer, None)
    };
    let link = netlink.add_link(&new).step();
    // Names of the other place may be taken where it comes from, and the other way round.
    for (ns, taken) in [(&host, &eth0), (&pod, &dev)] {
        let there = Netlink::open_in(ns).step();
        there.add_link(&NewLink::new(taken, BRIDGE)).step();
    }
    let arrival = |ns, name, alias, up| Arrival {
        ns,
        name,
        alias,
        up,
    };
    let moved = move_link(&host, &link, arrival(&pod, &eth0, "m0", true)).step();
    assert_eq!(netlink.link(&dev).step(), None);
    let seen = (
        moved.name.clone(),
        moved.alias.as_deref(),
        moved.up,
        moved.mac,
    );
    assert_eq!(seen, (eth0.clone(), Some("m0"), true, link.mac));
    // A name that is taken: it stays where it is, as it is.
    let error = move_link(&pod, &moved, arrival(&host, &eth0, "", true)).unwrap_err();
    assert!(error.is_exists());
    let stays = Netlink::open_in(&pod)
        .step()
        .link_by_index(moved.index)
        .step();
    assert_eq!(
        stays.map(|link| (link.name, link.up)),
        Some((eth0.clone(), true))
    );
    let back = move_link(&pod, &moved, arrival(&host, &dev, "", false)).step();
    assert_eq!((back.name, back.alias, back.up), (dev, None, false));
}

/// What hardware alone has is read from what it has: here nothing.
#[test]
fn virtual_links_are_on_no_bus() {
    let Some(_world) = World::new() else { return };
    let lo = Netlink::open()
        .step()
        .link_by_index(LinkIndex(1))
        .step()
        .unwrap();
    assert_eq!((lo.bus_device, lo.permanent_mac), (None, None));
}

/// What `ethtool -k` says of transmission checksums.
#[test]
fn checksums_are_left_to_a_tunnels_driver_or_not() {
    let Some(world) = World::new() else { return };
    let pod = world.pod("pod");
    let netlink = Netlink::open_in(&pod).step();
    let tunnel = name("flannel.1");
    let vxlan = Vxlan {
        vni: 1,
        port: 8472,
        lower: None,
        local: None,
        learning: false,
        gbp: false,
        l2miss: false,
        group: None,
    };
    netlink
        .add_link(&NewLink::new(&tunnel, NewKind::Vxlan(vxlan)))
        .step();
    assert!(netlink.offloads_checksums(&tunnel).step());
    for on in [false, true, true, false] {
        netlink.set_checksum_offload(&tunnel, on).step();
        assert_eq!(netlink.offloads_checksums(&tunnel).step(), on);
    }
    let error = netlink.offloads_checksums(&name("flannel.2")).unwrap_err();
    assert!(error.is_gone(), "{error}");
    // The calling thread's namespace has none of these.
    let elsewhere = Netlink::open().step();
    assert!(elsewhere.offloads_checksums(&tunnel).unwrap_err().is_gone());
}

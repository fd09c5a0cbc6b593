//! VLANs of bridges and their ports, compared with what `bridge vlan` says.

mod common;

use std::ops::RangeInclusive;

use common::{Step, here, name};
use kernel::testing::World;
use kernel::vlan::{BridgeVlan, Member};
use kernel::{LinkIndex, Netlink};

/// A bridge that filters VLANs, and a port of it; `None` where the kernel cannot filter.
fn prepared() -> Option<(Netlink, LinkIndex, LinkIndex)> {
    let ip = here();
    ip.run("ip link add sw type bridge");
    let (can, why) = ip.try_run("ip link set sw type bridge vlan_filtering 1");
    // Asking another way leads to the same answer, and makes no link here.
    let before = Netlink::open().step().links().step();
    assert_eq!(kernel::vlan::has_bridge_vlans().step(), can, "{why}");
    assert_eq!(Netlink::open().step().links().step(), before);
    if !can {
        eprintln!(
            "skipped: bridges of this kernel do not filter VLANs: {}",
            why.trim()
        );
        return None;
    }
    ip.run("ip link add port type veth peer name other");
    ip.run("ip link set port master sw");
    let netlink = Netlink::open().step();
    let index = |link| netlink.link(&name(link)).step().map(|link| link.index);
    let (br, port) = (index("sw")?, index("port")?);
    Some((netlink, br, port))
}

fn vlan(link: LinkIndex, member: Member, vids: RangeInclusive<u16>) -> BridgeVlan {
    BridgeVlan {
        link,
        member,
        vids,
        pvid: false,
        untagged: false,
    }
}

/// The numbers that `bridge` lists for a link, with their flags.
fn seen(link: &str) -> Vec<(u64, String)> {
    let seen = here().json(&format!("bridge vlan show dev {link}"));
    let vlans = seen[0]["vlans"].as_array().cloned().unwrap_or_default();
    let flags = |vlan: &serde_json::Value| vlan["flags"].to_string();
    vlans
        .iter()
        .map(|vlan| (vlan["vlan"].as_u64().unwrap_or(0), flags(vlan)))
        .collect()
}

#[test]
fn vlans_are_added_listed_and_deleted() {
    let Some(_world) = World::new() else { return };
    let Some((netlink, br, port)) = prepared() else {
        return;
    };
    for (link, device, member) in [(port, "port", Member::Port), (br, "sw", Member::Bridge)] {
        let born = BridgeVlan {
            pvid: true,
            untagged: true,
            ..vlan(link, member, 1..=1)
        };
        assert_eq!(
            netlink.bridge_vlans(link).step(),
            std::slice::from_ref(&born)
        );
        netlink
            .add_bridge_vlan(&vlan(link, member, 100..=102))
            .step();
        let pvid = BridgeVlan {
            vids: 7..=7,
            ..born.clone()
        };
        netlink.add_bridge_vlan(&pvid).step();
        let members = |vid| netlink.bridge_vlan_members(vid).step();
        assert!(members(101).contains(&link) && members(7).contains(&link));
        assert!(!members(103).contains(&link));
        let moved = BridgeVlan {
            pvid: false,
            ..born.clone()
        };
        let mut expected = vec![moved, pvid.clone()];
        expected.extend([100, 101, 102].map(|vid| vlan(link, member, vid..=vid)));
        assert_eq!(netlink.bridge_vlans(link).step(), expected);
        let numbers: Vec<u64> = seen(device).into_iter().map(|(vid, _)| vid).collect();
        assert_eq!(numbers, [1, 7, 100, 101, 102]);
        assert_eq!(seen(device)[1].1, r#"["PVID","Egress Untagged"]"#);
        netlink
            .delete_bridge_vlan(&vlan(link, member, 100..=102))
            .step();
        netlink.delete_bridge_vlan(&pvid).step();
        assert_eq!(seen(device).len(), 1);
        netlink.delete_bridge_vlan(&pvid).step();
    }
}

#[test]
fn what_is_no_vlan_is_refused() {
    let Some(_world) = World::new() else { return };
    let Some((netlink, _, port)) = prepared() else {
        return;
    };
    for vids in [0..=0, 4095..=4095, RangeInclusive::new(9, 5)] {
        let error = netlink
            .add_bridge_vlan(&vlan(port, Member::Port, vids.clone()))
            .unwrap_err();
        assert_eq!(error.errno(), Some(22), "{vids:?}: {}", error.source);
    }
    let nobody = vlan(LinkIndex(4242), Member::Port, 5..=5);
    assert!(netlink.add_bridge_vlan(&nobody).unwrap_err().is_gone());
    assert_eq!(netlink.bridge_vlans(LinkIndex(4242)).step(), []);
}

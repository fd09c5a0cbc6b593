use std::net::Ipv4Addr;

use backend::testing::{EXTERNAL, config, devices, subnets, underlay};
use cluster::{RawJson, VtepData, WireguardData};
use proptest::prelude::*;

use super::*;
use crate::reconcile::plan::{Ownership, plan};

/// Few subnets, nodes and MACs, so that they meet: also a wider subnet, the own one, and an address that
/// is not reached without a router.
fn lease(kind: &'static str) -> impl Strategy<Value = (Subnets, Arc<LeaseAttrs>)> {
    let subnet = prop_oneof![
        (0..12u8).prop_map(|n| format!("10.100.{n}.0-24")),
        (0..6u8).prop_map(|n| format!("10.100.{}.0-25", 2 * n)),
        Just("10.101.0.0-24".to_owned()),
    ];
    (subnet, 1..12u8, 0..12u8, 0..20u8).prop_map(move |(key, node, mac, odd)| {
        let address = match odd {
            0 => Ipv4Addr::new(192, 168, 51, node),
            _ => Ipv4Addr::new(192, 168, 50, node),
        };
        let mut attrs = LeaseAttrs::new(address, None);
        attrs.backend_type = if odd == 1 { "alloc" } else { kind }.into();
        let mac = [2, 0, 0, 0, 0, mac];
        attrs.backend_data = data(kind, mac);
        (subnets(&key), Arc::new(attrs))
    })
}

fn data(kind: &str, mac: [u8; 6]) -> Option<RawJson> {
    match kind {
        "vxlan" => Some(VtepData { vni: Some(1), mac }.to_json()),
        "wireguard" => {
            let (public_key, port) = ([mac[5]; 32], Some(51820));
            Some(WireguardData { public_key, port }.to_json())
        }
        _ => None,
    }
}

fn tables(kind: &'static str) -> impl Strategy<Value = (Peers, Peers)> {
    let some = |most| prop::collection::vec(lease(kind), 0..most);
    let gone = prop::collection::vec(any::<prop::sample::Index>(), 0..3);
    (some(10), gone, some(4)).prop_map(|(before, gone, come)| {
        let before: Peers = before.into_iter().collect();
        let mut after = before.clone();
        for index in gone.iter().filter(|_| !before.is_empty()) {
            let key = before.keys().nth(index.index(before.len()));
            after.remove(key.expect("one of them"));
        }
        after.extend(come);
        (before, after)
    })
}

/// A step ends where a look at all leases ends, and gets the kernel there.
fn agrees(kind: &str, backend: &dyn Backend, (before, after): &(Peers, Peers)) -> bool {
    let text = format!(r#"{{"Network":"10.100.0.0/16","Backend":{{"Type":"{kind}"}}}}"#);
    let config = config(&text);
    let underlay = underlay();
    let devices = devices(backend, &config, &underlay);
    let question = Question {
        backend,
        config: &config,
        own: &subnets("10.100.200.0-24"),
        underlay: &underlay,
        devices: &devices,
    };
    let mut wanted = question.ask(before);
    let mut nodes = Nodes::of(before);
    let Some(step) = question.step(before, after, &wanted, &nodes) else {
        return false;
    };
    let all = question.ask(after);
    let ownership = Ownership {
        devices: devices.iter().map(|device| device.link).collect(),
        external: Some(EXTERNAL),
        networks: config.network_v4().map(Into::into).into_iter().collect(),
        ..Ownership::default()
    };
    let part = plan(&step.after, &step.observed(), &ownership);
    let whole = Step {
        gone: Peers::new(),
        come: Peers::new(),
        before: wanted.clone(),
        after: Wanted::default(),
    };
    let whole = Observed {
        addresses: wanted
            .addresses
            .iter()
            .map(|wanted| (wanted.link, wanted.address))
            .collect(),
        ..whole.observed()
    };
    assert_eq!(part, plan(&all, &whole, &ownership));
    step.take(&mut wanted, &mut nodes);
    assert_eq!(wanted, all);
    assert_eq!(nodes.0, Nodes::of(after).0);
    true
}

proptest! {
    #[test]
    fn a_step_of_vxlan_is_a_whole_pass(tables in tables("vxlan")) {
        let text = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"vxlan"}}"#;
        let backend = vxlan_backend::Vxlan::new(&config(text)).expect("options");
        agrees("vxlan", &backend, &tables);
    }

    #[test]
    fn a_step_of_wireguard_is_a_whole_pass(tables in tables("wireguard")) {
        agrees("wireguard", &wireguard(), &tables);
    }

    #[test]
    fn a_step_of_host_gw_is_a_whole_pass(tables in tables("host-gw")) {
        agrees("host-gw", &host_gw_backend::HostGw, &tables);
    }
}

#[test]
fn peers_of_tunnels_that_come_go_or_move_alone_are_a_step() {
    let lease = |(key, node, peer): &(&str, u8, u8)| {
        let mut attrs = LeaseAttrs::new(Ipv4Addr::new(192, 168, 50, *node), None);
        attrs.backend_type = "wireguard".into();
        attrs.backend_data = data("wireguard", [0, 0, 0, 0, 0, *peer]);
        (subnets(key), Arc::new(attrs))
    };
    let table = |leases: &[_]| -> Peers { leases.iter().map(lease).collect() };
    let [one, two] = [("10.100.1.0-24", 2, 2), ("10.100.3.0-24", 4, 4)];
    let with = |node, peer| table(&[one, ("10.100.3.0-24", node, peer)]);
    for (before, after, alone) in [
        (table(&[one]), table(&[one, two]), true),
        (table(&[one, two]), table(&[one]), true),
        // Another key, another address, another node for the subnet.
        (table(&[one, two]), with(4, 5), true),
        (table(&[one, two]), with(5, 4), true),
        (table(&[one, two]), with(5, 5), true),
        // The same key, the same address, a subnet in another one.
        (table(&[one, two]), with(4, 2), false),
        (table(&[one, two]), with(2, 4), false),
        (table(&[one]), table(&[one, ("10.100.1.0-25", 4, 4)]), false),
        (table(&[one]), table(&[one, ("10.100.0.0-23", 4, 4)]), false),
    ] {
        let tables = (before, after);
        assert_eq!(
            agrees("wireguard", &wireguard(), &tables),
            alone,
            "{tables:?}"
        );
    }
}

fn wireguard() -> wireguard_backend::Wireguard {
    let config = config(r#"{"Network":"10.100.0.0/16","Backend":{"Type":"wireguard"}}"#);
    let options = cluster::WireguardOptions::parse(&config).expect("options");
    let key = kernel::Secret::private_key([9; 32]);
    wireguard_backend::Wireguard::new(&config, options, key).expect("device")
}

#[test]
fn a_lease_that_comes_goes_or_moves_alone_is_a_step() {
    let lease = |subnet: u8, node: u8| {
        let mut attrs = LeaseAttrs::new(Ipv4Addr::new(192, 168, 50, node), None);
        attrs.backend_type = "host-gw".into();
        let key = format!("10.100.{subnet}.0-24");
        (subnets(&key), Arc::new(attrs))
    };
    let table = |leases: &[(u8, u8)]| -> Peers {
        leases
            .iter()
            .map(|&(subnet, node)| lease(subnet, node))
            .collect()
    };
    for (before, after, alone) in [
        (table(&[(1, 2)]), table(&[(1, 2), (3, 4)]), true),
        (table(&[(1, 2), (3, 4)]), table(&[(1, 2)]), true),
        (table(&[(1, 2), (3, 4)]), table(&[(1, 2), (3, 5)]), true),
        (table(&[(1, 2), (3, 4)]), table(&[(1, 2), (3, 2)]), false),
    ] {
        let tables = (before, after);
        assert_eq!(
            agrees("host-gw", &host_gw_backend::HostGw, &tables),
            alone,
            "{tables:?}"
        );
    }
}

#[test]
fn nodes_without_ipv4_are_not_one_node() {
    let lease = |subnet: u8, node: u16| {
        let v6 = [0xfd00, 0, 0, 0, 0, 0, 0, node].into();
        let attrs = LeaseAttrs::new(Ipv4Addr::UNSPECIFIED, Some(v6));
        (subnets(&format!("10.100.{subnet}.0-24")), Arc::new(attrs))
    };
    let table = |leases: &[(u8, u16)]| -> Peers {
        leases
            .iter()
            .map(|&(subnet, node)| lease(subnet, node))
            .collect()
    };
    let nodes = Nodes::of(&table(&[(1, 1), (2, 2), (3, 2)]));
    for (gone, come, only) in [
        (table(&[]), table(&[(4, 4)]), true),
        (table(&[(1, 1)]), table(&[(1, 1), (5, 1)]), true),
        (table(&[]), table(&[(4, 1)]), false),
        (table(&[(2, 2)]), table(&[]), false),
        (table(&[(2, 2), (3, 2)]), table(&[]), true),
    ] {
        assert_eq!(nodes.have_only(&gone, &come), only, "{gone:?} {come:?}");
    }
}

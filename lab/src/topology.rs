//! What joins the nodes of a lab: underlays, routers between them, and who has which address there. Pure.
//!
//! | who | address in its underlay's subnets |
//! |---|---|
//! | nodes | 1, 2, ... in their order |
//! | routers | 252, 251, ... in their order |
//! | the bridge, the nodes' default gateway | 253 |
//! | the etcd server, on the first underlay | 254 |
//!
//! In a subnet with fewer addresses the last three rows count from its last address down.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Result, bail};
use ipnetwork::{IpNetwork, Ipv4Network};
use serde::{Deserialize, Serialize};

use crate::impairment::Impairment;
use crate::state::Name;
use crate::store::ETCD_PORT;

/// The most nodes of a lab: all of them fit into an IPv4 subnet of 24 bits, below who counts from its end.
pub const MOST_NODES: u8 = 64;
/// The interface of every node.
pub const INTERFACE: &str = "eth0";
/// Of the underlay that a lab has when nobody asks for another: 192.168.50.0/24.
const USUAL_SUBNET: Ipv4Network = match Ipv4Network::new_checked(Ipv4Addr::new(192, 168, 50, 0), 24)
{
    Some(subnet) => subnet,
    None => unreachable!(),
};
/// The last number that is given away in a subnet with room for it.
const LAST: u32 = 254;

/// # Errors
/// It is the address of a host with its length: which network is meant.
pub fn require_no_host_bits(network: IpNetwork) -> Result<()> {
    let (first, length) = (network.network(), network.prefix());
    if network.ip() != first {
        bail!("{network} has host bits set: give {first}/{length}");
    }
    Ok(())
}

/// A network that joins nodes, as a switch does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Underlay {
    /// Its name, which is its bridge's too.
    pub name: Name,
    /// One for each family that it has, IPv4's first.
    pub subnets: Vec<IpNetwork>,
    /// Of all links on it, in bytes; the kernel's when absent.
    pub mtu: Option<u32>,
    /// Of every cable on it, unless its node's is another.
    pub impairment: Impairment,
}

/// What forwards packets between underlays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterPlan {
    /// Its name.
    pub name: Name,
    /// Which it joins.
    pub underlays: Vec<Name>,
}

/// A node to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodePlan {
    /// Its name.
    pub name: Name,
    /// Which it is on.
    pub underlay: Name,
    /// For who looks for it.
    pub labels: BTreeMap<String, String>,
    /// Of its cable.
    pub impairment: Impairment,
}

/// Nodes, and what joins them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    /// The nodes, in order.
    pub nodes: Vec<NodePlan>,
    /// What they are on; the etcd server is on the first.
    pub underlays: Vec<Underlay>,
    /// What joins those.
    pub routers: Vec<RouterPlan>,
}

/// Who has an address on an underlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seat {
    /// The node with this number, from 1.
    Node(u32),
    /// The router with this number, from 1.
    Router(u32),
    Bridge,
    Etcd,
}

/// A cable: one end on an underlay's bridge, the other in a node, a router, or beside etcd.
#[derive(Clone, Debug, PartialEq)]
pub struct Cable {
    /// The underlay, and so the bridge.
    pub underlay: Name,
    /// The end on the bridge.
    pub port: String,
    /// The other end.
    pub interface: String,
    /// Of both ends, in bytes.
    pub mtu: Option<u32>,
    /// In each direction.
    pub impairment: Impairment,
    /// The other end's, one for each family.
    pub addresses: Vec<IpNetwork>,
    /// Where the other end reaches what is further.
    pub routes: Vec<NextHop>,
}

/// Addresses of an underlay that nobody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    /// The subnet.
    pub subnet: IpNetwork,
    /// The first that is free.
    pub first: IpAddr,
    /// The last of them.
    pub last: IpAddr,
    /// The nodes' default gateway there.
    pub gateway: IpAddr,
}

/// A route through a neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// What is reached.
    pub to: IpNetwork,
    /// Through whom.
    pub via: IpAddr,
}

impl Underlay {
    /// The one that a lab has when nobody asks for another.
    pub fn usual() -> Self {
        Self {
            name: Name::of_underlay(),
            subnets: vec![USUAL_SUBNET.into()],
            mtu: None,
            impairment: Impairment::default(),
        }
    }

    /// Its bridge's own addresses.
    pub fn bridge_addresses(&self) -> Vec<IpNetwork> {
        self.addresses(Seat::Bridge)
    }

    fn addresses(&self, seat: Seat) -> Vec<IpNetwork> {
        let address = |subnet: &IpNetwork| host(*subnet, number(*subnet, seat));
        self.subnets.iter().filter_map(address).collect()
    }
}

/// How many nodes and routers together a subnet has addresses for.
pub fn room(subnet: IpNetwork) -> u32 {
    last(subnet).saturating_sub(2)
}

/// The last number that is given away in a subnet: what follows is its broadcast address, or nobody's.
fn last(subnet: IpNetwork) -> u32 {
    let bits = match subnet {
        IpNetwork::V4(subnet) => 32 - subnet.prefix(),
        IpNetwork::V6(subnet) => 128 - subnet.prefix(),
    };
    match 1_u32.checked_shl(bits.into()) {
        Some(addresses) => addresses.saturating_sub(2).min(LAST),
        None => LAST,
    }
}

fn number(subnet: IpNetwork, seat: Seat) -> u32 {
    let last = last(subnet);
    match seat {
        Seat::Node(number) => number,
        Seat::Etcd => last,
        Seat::Bridge => last.saturating_sub(1),
        Seat::Router(number) => last.saturating_sub(1 + number),
    }
}

/// The address with a number in a subnet, with the subnet's length.
fn host(subnet: IpNetwork, number: u32) -> Option<IpNetwork> {
    let address = match subnet.network() {
        IpAddr::V4(first) => Ipv4Addr::from(u32::from(first) | number).into(),
        IpAddr::V6(first) => Ipv6Addr::from(u128::from(first) | u128::from(number)).into(),
    };
    IpNetwork::new(address, subnet.prefix()).ok()
}

/// `0.0.0.0/0` or `::/0`, of the family of `like`.
fn everything(like: IpAddr) -> Option<IpNetwork> {
    let any = match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    IpNetwork::new(any, 0).ok()
}

impl Topology {
    /// The underlay with this name. Those that nodes and routers name are there: a lab is checked first.
    fn underlay(&self, name: &Name) -> Option<&Underlay> {
        self.underlays
            .iter()
            .find(|underlay| underlay.name == *name)
    }

    /// The cable of a node; `None` for none of this lab's nodes.
    pub fn node_cable(&self, node: &Name) -> Option<Cable> {
        let plan = self.nodes.iter().find(|plan| plan.name == *node)?;
        let mut there = self
            .nodes
            .iter()
            .filter(|plan_of| plan_of.underlay == plan.underlay);
        let number = 1 + there.position(|plan| plan.name == *node)?;
        let seat = Seat::Node(number.try_into().ok()?);
        let cable = self.end_cable(&plan.underlay, node.as_str(), seat)?;
        Some(Cable {
            impairment: plan.impairment.or(cable.impairment),
            ..cable
        })
    }

    /// The cable of the etcd server.
    pub fn etcd_cable(&self) -> Option<Cable> {
        let first = self.underlays.first()?;
        self.end_cable(&first.name, ETCD_PORT, Seat::Etcd)
    }

    /// The cable of who forwards nothing.
    fn end_cable(&self, underlay: &Name, port: &str, seat: Seat) -> Option<Cable> {
        let underlay = self.underlay(underlay)?;
        let default = underlay.bridge_addresses().into_iter().map(|bridge| {
            let via = bridge.ip();
            everything(via).map(|to| NextHop { to, via })
        });
        let elsewhere = self.underlays.iter().filter_map(|to| {
            let router = self.next_router(&underlay.name, &to.name)?;
            Some(self.hops(router, underlay, to))
        });
        Some(Cable {
            underlay: underlay.name.clone(),
            port: port.to_owned(),
            interface: INTERFACE.to_owned(),
            mtu: underlay.mtu,
            impairment: underlay.impairment,
            addresses: underlay.addresses(seat),
            routes: default.flatten().chain(elsewhere.flatten()).collect(),
        })
    }

    /// The addresses of an underlay between those of its nodes and those of its routers, in each of its subnets that
    /// has some.
    pub fn free(&self, underlay: &Underlay) -> Vec<Free> {
        let nodes = self.nodes.iter();
        let nodes = nodes.filter(|node| node.underlay == underlay.name).count();
        let routers = self.routers.iter();
        let routers = routers.filter(|router| router.underlays.contains(&underlay.name));
        let (Ok(nodes), Ok(routers)) = (u32::try_from(nodes), u32::try_from(routers.count()))
        else {
            return Vec::new();
        };
        let free = underlay.subnets.iter().filter_map(|subnet| {
            let address = |number| host(*subnet, number).map(|address| address.ip());
            let first = 1 + nodes;
            let last = number(*subnet, Seat::Router(1 + routers));
            Some(Free {
                subnet: *subnet,
                first: address(first)?,
                last: address(last).filter(|_| first <= last)?,
                gateway: address(number(*subnet, Seat::Bridge))?,
            })
        });
        free.collect()
    }

    /// The cables of a router, to each of its underlays.
    pub fn router_cables(&self, router: &RouterPlan) -> Vec<Cable> {
        let own = router.underlays.iter().enumerate();
        let cables = own.filter_map(|(number, name)| {
            let underlay = self.underlay(name)?;
            Some(Cable {
                underlay: name.clone(),
                port: format!("{}.{number}", router.name),
                interface: name.to_string(),
                mtu: underlay.mtu,
                impairment: underlay.impairment,
                addresses: self.router_addresses(router, underlay),
                routes: self.router_routes(router, underlay),
            })
        });
        cables.collect()
    }

    fn router_addresses(&self, router: &RouterPlan, underlay: &Underlay) -> Vec<IpNetwork> {
        let mut there = self
            .routers
            .iter()
            .filter(|each| each.underlays.contains(&underlay.name));
        let number = there.position(|each| each.name == router.name);
        let number = number.and_then(|number| u32::try_from(number).ok());
        number.map_or_else(Vec::new, |number| {
            underlay.addresses(Seat::Router(1 + number))
        })
    }

    /// What a router reaches through another one on this underlay.
    fn router_routes(&self, router: &RouterPlan, underlay: &Underlay) -> Vec<NextHop> {
        let further = self.underlays.iter().filter(|to| {
            let distances = self.distances(&to.name);
            let of = |name: &&Name| distances.get(*name).copied().unwrap_or(usize::MAX);
            !router.underlays.contains(&to.name)
                && router.underlays.iter().min_by_key(of) == Some(&underlay.name)
        });
        let hops = further.filter_map(|to| {
            let next = self.next_router(&underlay.name, &to.name)?;
            Some(self.hops(next, underlay, to))
        });
        hops.flatten().collect()
    }

    /// From `from` to `to` through this router, for each family that both have.
    fn hops(&self, router: &RouterPlan, from: &Underlay, to: &Underlay) -> Vec<NextHop> {
        let vias = self.router_addresses(router, from);
        let hops = to.subnets.iter().filter_map(|subnet| {
            let via = vias
                .iter()
                .find(|via| via.is_ipv4() == subnet.is_ipv4())?
                .ip();
            Some(NextHop { to: *subnet, via })
        });
        hops.collect()
    }

    /// Whether routers lead from one underlay to the other.
    pub fn are_joined(&self, one: &Name, other: &Name) -> bool {
        self.distances(other).contains_key(one)
    }

    /// The first router on the shortest way; `None` where there is none, or no need of one.
    fn next_router(&self, from: &Name, to: &Name) -> Option<&RouterPlan> {
        let distances = self.distances(to);
        let nearer = distances.get(from)?.checked_sub(1)?;
        self.routers.iter().find(|router| {
            router.underlays.contains(from)
                && router
                    .underlays
                    .iter()
                    .any(|each| distances.get(each) == Some(&nearer))
        })
    }

    /// How many routers are between an underlay and each that is joined to it.
    fn distances<'a>(&'a self, to: &'a Name) -> BTreeMap<&'a Name, usize> {
        let mut distances = BTreeMap::from([(to, 0)]);
        for distance in 1..=self.routers.len() {
            for router in &self.routers {
                let is_next = router
                    .underlays
                    .iter()
                    .any(|each| distances.get(each) == Some(&(distance - 1)));
                for each in router.underlays.iter().filter(|_| is_next) {
                    distances.entry(each).or_insert(distance);
                }
            }
        }
        distances
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    /// Underlays a, b and c, of both families but for b; a router between each and the next.
    fn row() -> Topology {
        let underlay = |number: u8, text: &str, families: &[&str]| Underlay {
            name: name(text),
            subnets: families
                .iter()
                .map(|family| family.replace('N', &number.to_string()).parse().unwrap())
                .collect(),
            mtu: None,
            impairment: Impairment::default(),
        };
        let both = ["10.N.0.0/26", "fd00:N::/64"];
        let node = |text: &str, on: &str| NodePlan {
            name: name(text),
            underlay: name(on),
            labels: BTreeMap::new(),
            impairment: Impairment::default(),
        };
        let router = |text: &str, of: &[&str]| RouterPlan {
            name: name(text),
            underlays: of.iter().map(|each| name(each)).collect(),
        };
        Topology {
            nodes: vec![node("n1", "a"), node("n2", "c"), node("n3", "a")],
            underlays: vec![
                underlay(1, "a", &both),
                underlay(2, "b", &both[..1]),
                underlay(3, "c", &both),
            ],
            routers: vec![router("r1", &["a", "b"]), router("r2", &["c", "b"])],
        }
    }

    fn texts<T: ToString>(all: &[T]) -> Vec<String> {
        all.iter().map(ToString::to_string).collect()
    }

    fn hops(cable: &Cable) -> Vec<String> {
        let text = |hop: &NextHop| format!("{} via {}", hop.to, hop.via);
        cable.routes.iter().map(text).collect()
    }

    #[test]
    fn everybody_has_an_address_of_his_own() {
        let row = row();
        let node = row.node_cable(&name("n3")).unwrap();
        assert_eq!(texts(&node.addresses), ["10.1.0.2/26", "fd00:1::2/64"]);
        let etcd = row.etcd_cable().unwrap();
        assert_eq!(texts(&etcd.addresses), ["10.1.0.62/26", "fd00:1::fe/64"]);
        let bridge = row.underlays[0].bridge_addresses();
        assert_eq!(texts(&bridge), ["10.1.0.61/26", "fd00:1::fd/64"]);
        let [to_c, to_b] = &row.router_cables(&row.routers[1])[..] else {
            panic!("a router has a cable to each underlay");
        };
        assert_eq!((&*to_c.port, &*to_c.interface), ("r2.0", "c"));
        assert_eq!(texts(&to_c.addresses), ["10.3.0.60/26", "fd00:3::fc/64"]);
        // The second router there.
        assert_eq!(texts(&to_b.addresses), ["10.2.0.59/26"]);
        assert_eq!(row.node_cable(&name("n4")), None);
        let usual = Underlay::usual();
        assert_eq!(texts(&usual.bridge_addresses()), ["192.168.50.253/24"]);
        for (subnet, room_for) in [
            ("10.0.0.0/16", 252),
            ("10.0.0.0/24", 252),
            ("10.0.0.0/29", 4),
            ("10.0.0.0/31", 0),
            ("10.0.0.0/32", 0),
            ("::/0", 252),
        ] {
            assert_eq!(room(subnet.parse().unwrap()), room_for, "{subnet}");
        }
    }

    #[test]
    fn a_cable_is_as_its_node_says_and_else_as_its_underlay() {
        let mut row = row();
        let rate = |bits| Impairment {
            rate_bits: Some(bits),
            ..Impairment::default()
        };
        row.underlays[0].impairment = Impairment {
            delay_ms: Some(20),
            ..rate(1_000_000)
        };
        row.nodes[2].impairment = rate(9_000);
        let of = |cable: Option<Cable>| {
            let Impairment {
                delay_ms,
                rate_bits,
                ..
            } = cable.unwrap().impairment;
            (delay_ms, rate_bits)
        };
        assert_eq!(of(row.node_cable(&name("n1"))), (Some(20), Some(1_000_000)));
        assert_eq!(of(row.node_cable(&name("n3"))), (Some(20), Some(9_000)));
        assert_eq!(of(row.etcd_cable()), (Some(20), Some(1_000_000)));
        assert_eq!(of(row.node_cable(&name("n2"))), (None, None));
        let [on_a, on_b] = &row.router_cables(&row.routers[0])[..] else {
            panic!("a router has a cable to each underlay");
        };
        assert_eq!(on_a.impairment.delay_ms, Some(20));
        assert_eq!(on_b.impairment, Impairment::default());
    }

    #[test]
    fn what_nobody_has_is_between_nodes_and_routers() {
        let row = row();
        let text = |free: &Free| {
            format!(
                "{}: {} to {}, by {}",
                free.subnet, free.first, free.last, free.gateway
            )
        };
        let texts =
            |of: usize| -> Vec<String> { row.free(&row.underlays[of]).iter().map(text).collect() };
        assert_eq!(
            texts(0),
            [
                "10.1.0.0/26: 10.1.0.3 to 10.1.0.59, by 10.1.0.61",
                "fd00:1::/64: fd00:1::3 to fd00:1::fb, by fd00:1::fd",
            ]
        );
        assert_eq!(
            texts(1),
            ["10.2.0.0/26: 10.2.0.1 to 10.2.0.58, by 10.2.0.61"]
        );
        let mut full = Underlay::usual();
        full.subnets = vec!["10.0.0.0/31".parse().unwrap()];
        assert_eq!(row.free(&full), []);
    }

    #[test]
    fn routes_lead_to_the_next_router_over_families_that_are_there() {
        let row = row();
        let node = row.node_cable(&name("n1")).unwrap();
        assert_eq!(
            hops(&node),
            [
                "0.0.0.0/0 via 10.1.0.61",
                "::/0 via fd00:1::fd",
                "10.2.0.0/26 via 10.1.0.60",
                "10.3.0.0/26 via 10.1.0.60",
                "fd00:3::/64 via fd00:1::fc",
            ]
        );
        let [to_a, to_b] = &row.router_cables(&row.routers[0])[..] else {
            panic!("a router has a cable to each underlay");
        };
        assert_eq!(hops(to_a), [""; 0]);
        assert_eq!(hops(to_b), ["10.3.0.0/26 via 10.2.0.59"]);
        assert!(row.are_joined(&name("a"), &name("c")));
        let mut parted = row.clone();
        parted.routers.pop();
        assert!(!parted.are_joined(&name("a"), &name("c")));
        assert!(parted.are_joined(&name("a"), &name("b")));
    }
}

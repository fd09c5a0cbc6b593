//! Comparing a container interface with an ADD result, for CHECK.
//!
//! DNS is the runtime's business and never checked. Later plugins of a chain may add addresses,
//! routes and interfaces: what is there beyond the result is no failure.

use std::{fmt, net::IpAddr};

use cni::{AddResult, IpConfig};
use ipnetwork::IpNetwork;
use kernel::{Address, Route};

use crate::route::{SCOPE_LINK, TABLE_MAIN, hex_mask, or_nil};

mod checking;
mod link;
mod moved;

pub use checking::{Checking, differing_mac};
pub use link::{has_mtu, have_gso_max_size, is_up};

/// A difference from what ADD made, in the words of the reference plugins where those look at it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("Required prevResult missing")]
    NoPrevResult,
    #[error("Interface name {0} not found")]
    NotFound(String),
    #[error("Interface {0} should not be in sandbox")]
    InSandbox(String),
    #[error("Sandbox in prevResult {sandbox} doesn't match configured netns: {netns}")]
    Sandbox { sandbox: String, netns: String },
    #[error("Error: Container interface {name} not of type {wanted}")]
    Kind { name: String, wanted: &'static str },
    #[error("Interface {name} Mac {wanted} doesn't match container Mac: {seen}")]
    ContainerMac {
        name: String,
        wanted: String,
        seen: String,
    },
    #[error("Interface {name} Mac doesn't match: {mac} not found")]
    HostMac { name: String, mac: String },
    #[error("Interface {0} is down")]
    PodDown(String),
    #[error("Interface {name} is not on master {wanted}")]
    Parent { name: String, wanted: String },
    #[error("Interface {name} has MTU {seen}, less than the configured {wanted}")]
    PodMtu {
        name: String,
        wanted: u32,
        seen: u32,
    },
    #[error("Unable to obtain veth peer index for veth {0}")]
    NoPeer(String),
    #[error("Host interface {0} is down")]
    HostDown(String),
    #[error("Host interface {name} has MTU {seen}, less than the configured {wanted}")]
    Mtu {
        name: String,
        wanted: u32,
        seen: u32,
    },
    #[error("Interface {name} has a gso_ipv4_max_size of {seen}, not the configured {wanted}")]
    GsoMaxSize {
        name: String,
        wanted: u32,
        seen: u32,
    },
    #[error("Host interface {interface} does not have the gateway's address {address}")]
    NoGateway {
        interface: String,
        address: IpNetwork,
    },
    #[error("Host route to {address} by interface {interface} not found")]
    HostRoute {
        address: IpNetwork,
        interface: String,
    },
    #[error("{0} is 0: packets of the pods are not forwarded")]
    NotForwarding(&'static str),
    #[error("Failed to match addr {address} on interface {interface}")]
    Address {
        address: IpNetwork,
        interface: String,
    },
    #[error("Failed to find Gateway {gateway} for interface {interface}")]
    ConnectedRoute { gateway: String, interface: String },
    #[error("Expected Route {0} not found in routing table")]
    Route(String),
}

impl From<Mismatch> for cni::Error {
    fn from(mismatch: Mismatch) -> Self {
        Self::internal(mismatch)
    }
}

/// Every address of the result is on the interface, with its prefix length, and the kernel's
/// route to its subnet is in the main table. A subnet of one address has no such route. Addresses
/// that the result gives to another of its interfaces are another plugin's.
///
/// # Errors
/// The first address that fails.
pub fn addresses(
    interface: &str,
    result: &AddResult,
    seen: &[Address],
    routes: &[Route],
) -> Result<(), Mismatch> {
    for ip in own_addresses(interface, result) {
        if !seen.iter().any(|address| address.address == ip.address) {
            return Err(Mismatch::Address {
                address: ip.address,
                interface: interface.to_owned(),
            });
        }
        if !is_single(&ip.address) && !has_connected_route(&ip.address, routes) {
            return Err(Mismatch::ConnectedRoute {
                gateway: or_nil(ip.gateway),
                interface: interface.to_owned(),
            });
        }
    }
    Ok(())
}

/// The result's addresses, without those that it gives to another of its interfaces.
pub fn own_addresses<'a>(
    interface: &str,
    result: &'a AddResult,
) -> impl Iterator<Item = &'a IpConfig> {
    result.ips.iter().filter(move |ip| {
        let owner = ip.interface.and_then(|index| result.interfaces.get(index));
        owner.is_none_or(|owner| owner.name == interface)
    })
}

/// Whether the subnet has one address alone.
pub(crate) fn is_single(address: &IpNetwork) -> bool {
    address.prefix() == if address.is_ipv4() { 32 } else { 128 }
}

fn has_connected_route(address: &IpNetwork, routes: &[Route]) -> bool {
    routes.iter().any(|route| {
        route.table == TABLE_MAIN
            && route.dst.ip() == address.network()
            && route.dst.prefix() == address.prefix()
    })
}

/// Every route of the result is in its table: same destination and, unless it is a default route
/// (which others may have replaced), one of its next hops is the route's gateway. `seen` has a
/// multipath route, which the kernel makes of several IPv6 routes to one destination, once for
/// each next hop.
///
/// # Errors
/// The first route that fails.
pub fn routes(result: &AddResult, seen: &[Route]) -> Result<(), Mismatch> {
    for route in &result.routes {
        if !seen.iter().any(|there| serves(there, route)) {
            return Err(Mismatch::Route(Dump(route).to_string()));
        }
    }
    Ok(())
}

fn serves(there: &Route, wanted: &cni::Route) -> bool {
    let table = match wanted.table {
        None | Some(0) => TABLE_MAIN,
        Some(table) => table,
    };
    let gateway: Option<IpAddr> = match wanted.scope {
        Some(SCOPE_LINK) => None,
        _ => wanted.gw,
    };
    there.table == table
        && there.dst.ip() == wanted.dst.network()
        && there.dst.prefix() == wanted.dst.prefix()
        && (wanted.dst.prefix() == 0 || gateway.is_none() || there.gateway == gateway)
}

/// A route as the reference plugins print it.
struct Dump<'a>(&'a cni::Route);

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = self.0;
        write!(
            f,
            "{{Dst:{{IP:{} Mask:{}}} GW:{} MTU:{} AdvMSS:{} Priority:{} Table:{} Scope:{}}}",
            route.dst.ip(),
            hex_mask(&route.dst),
            or_nil(route.gw),
            route.mtu.unwrap_or(0),
            route.advmss.unwrap_or(0),
            route.priority.unwrap_or(0),
            or_nil(route.table),
            or_nil(route.scope),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(json: &str) -> AddResult {
        let value = serde_json::from_str(json).unwrap();
        AddResult::parse(&value, cni::SpecVersion::V1_0_0).unwrap()
    }

    fn network(text: &str) -> IpNetwork {
        text.parse().unwrap()
    }

    fn seen(address: &str) -> Address {
        Address {
            link: kernel::LinkIndex(2),
            address: network(address),
            tentative: false,
            dad_failed: false,
            deprecated: false,
            permanent: true,
            temporary: false,
            scope: 0,
        }
    }

    fn via(dst: &str, gateway: Option<&str>) -> Route {
        let mut route = Route::to(network(dst));
        route.gateway = gateway.map(|gateway| gateway.parse().unwrap());
        route
    }

    const DUAL: &str = r#"{"cniVersion":"1.0.0","interfaces":[{"name":"eth0"},{"name":"net1"}],"ips":[
        {"address":"10.22.0.2/24","gateway":"10.22.0.1","interface":0},
        {"address":"2001:db8::2/64","interface":0},
        {"address":"10.55.0.9/24","interface":1}]}"#;

    #[test]
    fn addresses_need_their_prefix_and_their_connected_route() {
        let result = result(DUAL);
        let all = [seen("10.22.0.2/24"), seen("2001:db8::2/64")];
        let routes = [via("10.22.0.0/24", None), via("2001:db8::/64", None)];
        let check = |seen: &[Address], routes: &[Route]| {
            addresses("eth0", &result, seen, routes).map_err(|mismatch| mismatch.to_string())
        };
        assert_eq!(check(&all, &routes), Ok(()));
        for (seen, routes, text) in [
            (
                &all[1..],
                &routes[..],
                "Failed to match addr 10.22.0.2/24 on interface eth0",
            ),
            (
                &all[..],
                &routes[1..],
                "Failed to find Gateway 10.22.0.1 for interface eth0",
            ),
            (
                &all[..],
                &routes[..1],
                "Failed to find Gateway <nil> for interface eth0",
            ),
            (
                &[seen("10.22.0.2/16")],
                &routes[..],
                "Failed to match addr 10.22.0.2/24 on interface eth0",
            ),
        ] {
            assert_eq!(check(seen, routes), Err(text.to_owned()));
        }
    }

    #[test]
    fn a_subnet_of_one_address_has_no_connected_route() {
        let result = result(
            r#"{"cniVersion":"1.0.0","ips":[{"address":"10.22.0.5/32","gateway":"10.22.0.6"}]}"#,
        );
        assert_eq!(
            addresses("eth0", &result, &[seen("10.22.0.5/32")], &[]),
            Ok(())
        );
    }

    #[test]
    fn routes_are_found_by_destination_gateway_and_table() {
        let mut elsewhere = via("192.168.5.0/24", Some("10.22.0.1"));
        elsewhere.table = 77;
        let seen = [
            via("0.0.0.0/0", Some("10.22.0.77")),
            via("192.168.6.0/24", None),
            via("192.168.7.0/24", Some("10.22.0.8")),
            via("192.168.7.0/24", Some("10.22.0.9")),
            elsewhere,
        ];
        for (route, found) in [
            // Others may have replaced the default route.
            (r#"{"dst":"0.0.0.0/0","gw":"10.22.0.1"}"#, true),
            (r#"{"dst":"192.168.6.0/24"}"#, true),
            (r#"{"dst":"192.168.6.0/24","gw":"10.22.0.1"}"#, false),
            (r#"{"dst":"192.168.7.0/24","gw":"10.22.0.8"}"#, true),
            (r#"{"dst":"192.168.7.0/24","gw":"10.22.0.9"}"#, true),
            (r#"{"dst":"192.168.7.0/25","gw":"10.22.0.9"}"#, false),
            (r#"{"dst":"192.168.5.0/24","table":77}"#, true),
            (r#"{"dst":"192.168.5.0/24"}"#, false),
            (r#"{"dst":"::/0"}"#, false),
        ] {
            let json = format!(r#"{{"cniVersion":"1.0.0","routes":[{route}]}}"#);
            assert_eq!(routes(&result(&json), &seen).is_ok(), found, "{route}");
        }
    }

    #[test]
    fn a_missing_route_is_printed_as_the_reference_plugins_print_it() {
        for (route, text) in [
            (
                r#"{"dst":"0.0.0.0/0","gw":"10.22.0.1"}"#,
                "Expected Route {Dst:{IP:0.0.0.0 Mask:00000000} GW:10.22.0.1 MTU:0 AdvMSS:0 \
                 Priority:0 Table:<nil> Scope:<nil>} not found in routing table",
            ),
            (
                r#"{"dst":"2001:db8:55::/64","table":77}"#,
                "Expected Route {Dst:{IP:2001:db8:55:: Mask:ffffffffffffffff0000000000000000} \
                 GW:<nil> MTU:0 AdvMSS:0 Priority:0 Table:77 Scope:<nil>} not found in routing table",
            ),
        ] {
            let json = format!(r#"{{"cniVersion":"1.0.0","routes":[{route}]}}"#);
            assert_eq!(routes(&result(&json), &[]).unwrap_err().to_string(), text);
        }
    }
}

//! Routes of a result as routes of the container interface.

use std::{fmt, io, net::IpAddr};

use cni::AddResult;
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use kernel::{IfName, LinkIndex, Route};

use crate::{Error, Result};

/// RT_TABLE_MAIN; a result's table 0 means it as well.
pub const TABLE_MAIN: u32 = 254;
/// RT_SCOPE_LINK: the destination is on the link, so there is no gateway.
pub const SCOPE_LINK: u8 = 253;
/// EINVAL
const INVALID_ARGUMENT: i32 = 22;

/// The first gateway of each family among a result's addresses: that of routes without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gateways {
    pub ipv4: Option<IpAddr>,
    pub ipv6: Option<IpAddr>,
}

impl Gateways {
    /// Of the addresses that belong to an interface.
    pub fn of(result: &AddResult) -> Self {
        let mut gateways = Self::default();
        let owned = result.ips.iter().filter(|ip| ip.interface.is_some());
        for gateway in owned.filter_map(|ip| ip.gateway) {
            let first = match gateway {
                IpAddr::V4(_) => &mut gateways.ipv4,
                IpAddr::V6(_) => &mut gateways.ipv6,
            };
            first.get_or_insert(gateway);
        }
        gateways
    }

    /// Of the family of `dst`.
    pub fn towards(&self, dst: &IpNetwork) -> Option<IpAddr> {
        if dst.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}

/// The kernel's route for a result's.
///
/// # Errors
/// An IPv4 destination with host bits, which the kernel would refuse.
pub fn resolve(route: &cni::Route, link: LinkIndex, gateways: &Gateways) -> Result<Route, Invalid> {
    let gateway = match route.scope {
        Some(SCOPE_LINK) => route.gw,
        _ => route.gw.or_else(|| gateways.towards(&route.dst)),
    };
    let mut wanted = Route::to(without_host_bits(route.dst).ok_or(Invalid { gateway })?);
    wanted.gateway = gateway;
    wanted.link = Some(link);
    wanted.table = match route.table {
        None | Some(0) => TABLE_MAIN,
        Some(table) => table,
    };
    // IPv6 routes have no scope in the kernel.
    if let (Some(scope), true) = (route.scope, route.dst.is_ipv4()) {
        wanted.scope = scope;
    }
    wanted.priority = route.priority;
    wanted.mtu = route.mtu;
    wanted.advmss = route.advmss;
    Ok(wanted)
}

/// A route whose IPv4 destination has host bits, with the gateway it would have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub gateway: Option<IpAddr>,
}

/// The subnet of an address.
pub fn network(address: IpNetwork) -> IpNetwork {
    match address {
        IpNetwork::V4(v4) => Ipv4Network::new_checked(v4.network(), v4.prefix()).map(Into::into),
        IpNetwork::V6(v6) => Ipv6Network::new_checked(v6.network(), v6.prefix()).map(Into::into),
    }
    // A prefix length that an address has is one.
    .unwrap_or(address)
}

/// The kernel refuses host bits of IPv4 destinations and clears those of IPv6 ones.
fn without_host_bits(dst: IpNetwork) -> Option<IpNetwork> {
    match dst {
        IpNetwork::V4(v4) => (v4.ip() == v4.network()).then_some(dst),
        IpNetwork::V6(v6) => Some(Ipv6Network::new(v6.network(), v6.prefix()).ok()?.into()),
    }
}

/// The error for a route, in the reference plugins' words.
pub fn refused(
    route: &cni::Route,
    gateway: Option<IpAddr>,
    interface: &IfName,
    source: kernel::Error,
) -> Error {
    Error::AddRoute {
        route: Described {
            route,
            gateway,
            interface,
        }
        .to_string(),
        source: source.into(),
    }
}

/// The same for one that never reached the kernel.
pub fn invalid(route: &cni::Route, invalid: Invalid, interface: &IfName) -> Error {
    let source = io::Error::from_raw_os_error(INVALID_ARGUMENT);
    refused(
        route,
        invalid.gateway,
        interface,
        kernel::Error::new("add route", route.dst, source),
    )
}

/// `{192.168.5.0 ffffff00} via 10.22.0.8 dev eth0 metric 0 (Scope: universe, Table: 0)`
struct Described<'a> {
    route: &'a cni::Route,
    gateway: Option<IpAddr>,
    interface: &'a IfName,
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            route,
            gateway,
            interface,
        } = self;
        write!(
            f,
            "{{{} {}}} via {} dev {interface} metric {} (Scope: {}, Table: {})",
            route.dst.ip(),
            hex_mask(&route.dst),
            or_nil(*gateway),
            route.priority.unwrap_or(0),
            scope_name(route.scope.unwrap_or(0)),
            route.table.unwrap_or(0),
        )
    }
}

/// The network mask as hex digits, without separators.
pub fn hex_mask(network: &IpNetwork) -> String {
    match network {
        IpNetwork::V4(v4) => format!("{:08x}", u32::from(v4.mask())),
        IpNetwork::V6(v6) => format!("{:032x}", u128::from(v6.mask())),
    }
}

/// The value, or `<nil>`.
pub fn or_nil(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "<nil>".to_owned(), |value| value.to_string())
}

fn scope_name(scope: u8) -> String {
    match scope {
        0 => "universe".to_owned(),
        200 => "site".to_owned(),
        SCOPE_LINK => "link".to_owned(),
        254 => "host".to_owned(),
        255 => "nowhere".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(json: &str) -> cni::Route {
        cni::json::from_slice(json.as_bytes()).unwrap()
    }

    fn gateways() -> Gateways {
        Gateways {
            ipv4: Some("10.22.0.1".parse().unwrap()),
            ipv6: Some("2001:db8::1".parse().unwrap()),
        }
    }

    fn resolved(json: &str) -> Result<Route, Invalid> {
        resolve(&route(json), LinkIndex(7), &gateways())
    }

    #[test]
    fn the_gateway_is_the_routes_own_or_the_familys() {
        for (json, gateway) in [
            (r#"{"dst":"0.0.0.0/0"}"#, Some("10.22.0.1")),
            (r#"{"dst":"::/0"}"#, Some("2001:db8::1")),
            (
                r#"{"dst":"192.168.5.0/24","gw":"10.22.0.9"}"#,
                Some("10.22.0.9"),
            ),
            (r#"{"dst":"192.168.5.0/24","scope":253}"#, None),
            (r#"{"dst":"192.168.5.0/24","scope":0}"#, Some("10.22.0.1")),
        ] {
            let gateway = gateway.map(|gateway| gateway.parse().unwrap());
            let route = resolved(json).unwrap();
            assert_eq!(
                (route.gateway, route.link),
                (gateway, Some(LinkIndex(7))),
                "{json}"
            );
        }
    }

    #[test]
    fn table_scope_priority_and_metrics_are_applied() {
        let json =
            r#"{"dst":"10.9.0.0/16","table":77,"scope":253,"priority":5,"mtu":1300,"advmss":1200}"#;
        let route = resolved(json).unwrap();
        assert_eq!(
            (route.table, route.scope, route.priority),
            (77, 253, Some(5))
        );
        assert_eq!((route.mtu, route.advmss), (Some(1300), Some(1200)));
        assert_eq!(
            resolved(r#"{"dst":"10.9.0.0/16","table":0}"#)
                .unwrap()
                .table,
            TABLE_MAIN
        );
        assert_eq!(
            resolved(r#"{"dst":"2001:db8:9::/48","scope":253}"#)
                .unwrap()
                .scope,
            0
        );
    }

    #[test]
    fn host_bits_are_refused_where_the_kernel_refuses_them() {
        assert!(resolved(r#"{"dst":"192.168.6.7/24"}"#).is_err());
        let route = resolved(r#"{"dst":"2001:db8:9::7/48"}"#).unwrap();
        assert_eq!(route.dst.to_string(), "2001:db8:9::/48");
    }

    #[test]
    fn errors_read_as_the_reference_plugins_write_them() {
        for (json, errno, text) in [
            (
                r#"{"dst":"192.168.6.7/24"}"#,
                22,
                "failed to add route '{192.168.6.7 ffffff00} via 10.22.0.1 dev eth0 metric 0 \
                 (Scope: universe, Table: 0)': invalid argument",
            ),
            (
                r#"{"dst":"::/0","scope":253,"table":5,"priority":9}"#,
                101,
                "failed to add route '{:: 00000000000000000000000000000000} via 10.22.0.1 dev eth0 \
                 metric 9 (Scope: link, Table: 5)': network is unreachable",
            ),
        ] {
            let source = io::Error::from_raw_os_error(errno);
            let source = kernel::Error::new("add route", "x", source);
            let error = refused(
                &route(json),
                gateways().ipv4,
                &"eth0".parse().unwrap(),
                source,
            );
            assert_eq!(cni::Error::internal(error).msg, text);
        }
    }

    #[test]
    fn the_first_gateway_of_a_family_counts() {
        let json = r#"{"cniVersion":"1.0.0","interfaces":[{"name":"eth0"}],"ips":[
            {"address":"10.1.0.2/24","gateway":"10.1.0.1"},
            {"address":"10.2.0.2/24","gateway":"10.2.0.1","interface":0},
            {"address":"10.3.0.2/24","gateway":"10.3.0.1","interface":0}]}"#;
        let value = serde_json::from_str(json).unwrap();
        let result = AddResult::parse(&value, cni::SpecVersion::V1_0_0).unwrap();
        let gateways = Gateways::of(&result);
        assert_eq!(gateways.ipv4, Some("10.2.0.1".parse().unwrap()));
        assert_eq!(gateways.ipv6, None);
    }
}

//! A lease as a result on the wire.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cni::{AddResult, Dns, IpConfig, Route};
use ipnetwork::IpNetwork;

use super::{object, text};
use crate::gob::{Fields, Kind, Value};

const NETWORK: Fields = &[("IP", Kind::Bytes), ("Mask", Kind::Bytes)];

/// A lease as the result of ADD, as far as an IPAM plugin fills it.
pub(crate) const RESULT: Kind = Kind::Struct(
    "Result",
    &[
        ("CNIVersion", Kind::Text),
        ("IPs", Kind::Slice(&IP)),
        ("Routes", Kind::Slice(&ROUTE)),
        ("DNS", DNS),
    ],
);

const IP: Kind = Kind::Struct(
    "IPConfig",
    &[
        ("Address", Kind::Struct("IPNet", NETWORK)),
        ("Gateway", Kind::Bytes),
    ],
);

const ROUTE: Kind = Kind::Struct(
    "Route",
    &[
        ("Dst", Kind::Struct("IPNet", NETWORK)),
        ("GW", Kind::Bytes),
        ("Priority", Kind::Int),
        ("Scope", Kind::Int),
    ],
);

const DNS: Kind = Kind::Struct(
    "DNS",
    &[
        ("Nameservers", Kind::Slice(&Kind::Text)),
        ("Domain", Kind::Text),
        ("Search", Kind::Slice(&Kind::Text)),
    ],
);

/// A result on its way.
pub(crate) fn to_value(result: &AddResult) -> Value {
    let ips = result.ips.iter().map(|ip| {
        object([
            ("Address", network(ip.address)),
            ("Gateway", address(ip.gateway)),
        ])
    });
    let routes = result.routes.iter().map(|route| {
        object([
            ("Dst", network(route.dst)),
            ("GW", address(route.gw)),
            ("Priority", Value::Int(route.priority.unwrap_or(0).into())),
            ("Scope", Value::Int(route.scope.unwrap_or(0).into())),
        ])
    });
    object([
        ("CNIVersion", text("1.0.0")),
        ("IPs", Value::List(ips.collect())),
        ("Routes", Value::List(routes.collect())),
        ("DNS", dns(&result.dns)),
    ])
}

/// A result that has arrived; `None` where an address in it is none.
pub(crate) fn from_value(value: &Value) -> Option<AddResult> {
    let ips = value.list("IPs").iter().map(|ip| {
        Some(IpConfig {
            address: read_network(ip.field("Address")?)?,
            gateway: read_address(ip.bytes("Gateway"))?,
            interface: None,
        })
    });
    let routes = value.list("Routes").iter().map(read_route);
    Some(AddResult {
        ips: ips.collect::<Option<_>>()?,
        routes: routes.collect::<Option<_>>()?,
        dns: value.field("DNS").map(read_dns).unwrap_or_default(),
        ..AddResult::default()
    })
}

fn texts(all: &[String]) -> Value {
    Value::List(all.iter().map(|one| text(one)).collect())
}

fn address(address: Option<IpAddr>) -> Value {
    Value::Bytes(match address {
        None => Vec::new(),
        Some(IpAddr::V4(address)) => address.octets().to_vec(),
        Some(IpAddr::V6(address)) => address.octets().to_vec(),
    })
}

fn network(network: IpNetwork) -> Value {
    object([
        ("IP", address(Some(network.ip()))),
        ("Mask", address(Some(network.mask()))),
    ])
}

fn dns(dns: &Dns) -> Value {
    object([
        ("Nameservers", texts(&dns.nameservers)),
        ("Domain", text(&dns.domain)),
        ("Search", texts(&dns.search)),
    ])
}

/// `Some(None)`: no address at all; `None`: something else.
#[allow(clippy::option_option, reason = "absent and wrong are two things")]
fn read_address(bytes: &[u8]) -> Option<Option<IpAddr>> {
    if bytes.is_empty() {
        return Some(None);
    }
    let four = <[u8; 4]>::try_from(bytes).map(|octets| Ipv4Addr::from(octets).into());
    let six = || <[u8; 16]>::try_from(bytes).map(|octets| IpAddr::from(Ipv6Addr::from(octets)));
    let address = four.or_else(|_| six()).ok()?;
    Some(Some(address.to_canonical()))
}

fn read_network(value: &Value) -> Option<IpNetwork> {
    let address = read_address(value.bytes("IP"))??;
    // Go writes the masks of IPv4 with 4 bytes or with 16.
    let mut mask = value.bytes("Mask");
    if address.is_ipv4() && mask.len() == 16 {
        mask = &mask[12..];
    }
    IpNetwork::with_netmask(address, as_written(mask)?).ok()
}

/// The mask's bytes as an address of its own length, which no canonical form may change.
fn as_written(mask: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(mask).map(|octets| Ipv4Addr::from(octets).into());
    four.or_else(|_| <[u8; 16]>::try_from(mask).map(|octets| Ipv6Addr::from(octets).into()))
        .ok()
}

fn read_route(value: &Value) -> Option<Route> {
    let number = |name| u32::try_from(value.number(name)).ok();
    let set = |name| number(name).filter(|number| *number != 0);
    let mut route = Route::new(
        read_network(value.field("Dst")?)?,
        read_address(value.bytes("GW"))?,
    );
    route.priority = set("Priority");
    route.mtu = set("MTU");
    route.advmss = set("AdvMSS");
    route.scope = set("Scope").and_then(|scope| u8::try_from(scope).ok());
    Some(route)
}

fn read_dns(value: &Value) -> Dns {
    let texts = |name| {
        let texts = value.list(name).iter().filter_map(|one| match one {
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        });
        texts.collect()
    };
    Dns {
        nameservers: texts("Nameservers"),
        domain: value.text("Domain"),
        search: texts("Search"),
        options: texts("Options"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ARGUMENTS, Arguments};
    use super::*;
    use crate::gob::{Reader, Writer};

    fn carried(kind: Kind, value: &Value) -> Value {
        let mut bytes = Writer::default().value(kind, value);
        Reader::default().next(&mut bytes).unwrap().unwrap()
    }

    #[test]
    fn arguments_and_results_arrive_as_they_were() {
        let arguments = Arguments {
            container: "ctr1".into(),
            netns: "/run/netns/pod".into(),
            ifname: "eth0".into(),
            args: String::new(),
            path: "/opt/cni/bin".into(),
            stdin: b"{}".to_vec(),
        };
        let value = carried(ARGUMENTS, &arguments.to_value());
        assert_eq!(Arguments::from_value(&value), arguments);
        let route = |dst: &str, gw: &str| Route::new(dst.parse().unwrap(), gw.parse().ok());
        let result = AddResult {
            ips: vec![IpConfig {
                address: "10.22.0.50/24".parse().unwrap(),
                gateway: "10.22.0.1".parse().ok(),
                interface: None,
            }],
            routes: vec![
                Route {
                    priority: Some(77),
                    ..route("0.0.0.0/0", "10.22.0.1")
                },
                Route {
                    scope: Some(253),
                    ..route("172.16.0.0/16", "0.0.0.0")
                },
            ],
            dns: Dns {
                nameservers: vec!["1.1.1.1".into()],
                domain: "d".into(),
                search: vec!["s".into(), "t".into()],
                options: vec![],
            },
            ..AddResult::default()
        };
        let value = carried(RESULT, &to_value(&result));
        assert_eq!(from_value(&value), Some(result));
    }

    #[test]
    fn addresses_of_go_may_have_sixteen_bytes() {
        let mapped = "::ffff:10.1.2.3".parse::<Ipv6Addr>().unwrap().octets();
        let network = object([
            ("IP", Value::Bytes(mapped.to_vec())),
            ("Mask", Value::Bytes(vec![255, 255, 255, 0])),
        ]);
        assert_eq!(read_network(&network), "10.1.2.3/24".parse().ok());
        assert_eq!(read_address(&[1, 2, 3]), None);
    }
}

//! A lease: what a server confirmed, and what it means for the pod.

use std::net::{IpAddr, Ipv4Addr};

use cni::{AddResult, Dns, IpConfig, Route};
use ipnetwork::{IpNetwork, Ipv4Network};
use serde::{Deserialize, Serialize};

use super::{
    message::{Mac, Message, Options, option},
    timing::Times,
};

/// What a lease without a time lasts, in seconds (the reference daemon's choice).
const USUAL_LEASE: u32 = 3600;
/// RTN scope of what is reached without a router (rtnetlink(7)).
const SCOPE_LINK: u8 = 253;

/// Why what a server confirmed is of no use. The first text is the reference plugin's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LeaseError {
    /// The mask was asked for and not given.
    #[error("DHCP option Subnet Mask not found in DHCPACK")]
    NoMask,
    /// What was given is none.
    #[error("DHCP option Subnet Mask in DHCPACK is no mask: {0:?}")]
    BadMask(Vec<u8>),
}

/// An address for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Addr,
    /// Who gave it.
    pub(crate) server: Ipv4Addr,
    /// Who delivered it: the server itself, or the relay before it.
    pub(crate) server_mac: Mac,
    /// All that the server said.
    pub(crate) options: Options,
}

impl Lease {
    /// The lease in a DHCPACK; `server`: whom it is by where it does not say.
    pub(crate) fn new(ack: Message, from: Mac, server: Ipv4Addr) -> Self {
        Self {
            address: ack.yours,
            server: ack.options.address(option::SERVER).unwrap_or(server),
            server_mac: from,
            options: ack.options,
        }
    }

    /// When it must be renewed; `None`: never.
    pub(crate) fn times(&self) -> Option<Times> {
        let number = |code| self.options.number(code);
        let lasts = number(option::LEASE_TIME).unwrap_or(USUAL_LEASE);
        Times::new(
            lasts,
            number(option::RENEWAL_TIME),
            number(option::REBINDING_TIME),
        )
    }

    /// The address in its subnet.
    pub(crate) fn network(&self) -> Result<Ipv4Network, LeaseError> {
        let mask = self.options.get(option::SUBNET_MASK);
        let mask = mask.ok_or(LeaseError::NoMask)?;
        let bad = || LeaseError::BadMask(mask.to_vec());
        let octets: [u8; 4] = mask.try_into().map_err(|_| bad())?;
        Ipv4Network::with_netmask(self.address, Ipv4Addr::from(octets)).map_err(|_| bad())
    }

    /// What ADD answers. `priority`: the metric of all routes, 0 for none.
    pub(crate) fn result(&self, priority: i64) -> Result<AddResult, LeaseError> {
        let gateway = self.gateway();
        let mut routes = self.routes(gateway);
        if let Ok(metric @ 1..) = u32::try_from(priority) {
            routes.iter_mut().for_each(|r| r.priority = Some(metric));
        }
        Ok(AddResult {
            ips: vec![IpConfig {
                address: IpNetwork::V4(self.network()?),
                gateway: gateway.map(IpAddr::V4),
                interface: None,
            }],
            routes,
            dns: self.dns(),
            ..AddResult::default()
        })
    }

    /// The first router.
    fn gateway(&self) -> Option<Ipv4Addr> {
        let routers = self.options.address(option::ROUTERS);
        routers.filter(|router| !router.is_unspecified())
    }

    /// Classless routes alone where there are some (RFC 3442), else classful ones and the
    /// default route by the gateway.
    fn routes(&self, gateway: Option<Ipv4Addr>) -> Vec<Route> {
        for code in [option::CLASSLESS_ROUTES, option::CLASSLESS_ROUTES_OLD] {
            let routes = self.options.get(code).and_then(classless);
            if let Some(routes) = routes.filter(|routes| !routes.is_empty()) {
                return routes;
            }
        }
        let pairs = self.options.get(option::STATIC_ROUTES).unwrap_or_default();
        let mut routes = classful(pairs);
        let default = gateway.and_then(|gateway| route(Ipv4Addr::UNSPECIFIED, 0, gateway));
        routes.extend(default);
        routes
    }

    fn dns(&self) -> Dns {
        let servers = self.options.addresses(option::NAME_SERVERS);
        let search = self.options.get(option::SEARCH).and_then(domain_names);
        Dns {
            nameservers: servers.map(|server| server.to_string()).collect(),
            domain: self.text(option::DOMAIN),
            search: search.unwrap_or_default(),
            options: Vec::new(),
        }
    }

    /// A text without the zero byte that some servers put behind it; empty where it could not
    /// stand in resolv.conf.
    fn text(&self, code: u8) -> String {
        let bytes = self.options.get(code).unwrap_or_default();
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches('\0');
        match is_domain(text) {
            true => text.to_owned(),
            false => String::new(),
        }
    }
}

fn is_domain(text: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().all(is_fit)
}

fn route(to: Ipv4Addr, prefix: u8, by: Ipv4Addr) -> Option<Route> {
    let to = Ipv4Network::new(to, prefix).ok()?;
    let network = Ipv4Network::new(to.network(), prefix).ok()?;
    Some(Route::new(network.into(), Some(by.into())))
}

/// RFC 3442: a prefix length, as many bytes of the destination as it needs, the router; `None`
/// where it is not that. Without a router the destination is on the link.
fn classless(mut bytes: &[u8]) -> Option<Vec<Route>> {
    let mut routes = Vec::new();
    while let [prefix, rest @ ..] = bytes {
        let significant = usize::from(prefix.div_ceil(8));
        let mut to = [0; 4];
        let (head, rest) = rest.split_at_checked(significant)?;
        to.get_mut(..significant)?.copy_from_slice(head);
        let (by, rest) = rest.split_first_chunk::<4>()?;
        let by = Ipv4Addr::from(*by);
        let mut route = route(Ipv4Addr::from(to), *prefix, by)?;
        route.scope = by.is_unspecified().then_some(SCOPE_LINK);
        routes.push(route);
        bytes = rest;
    }
    Some(routes)
}

/// RFC 2132, section 5.8: pairs of destination, whose class is its size, and router. A default
/// route is none of these.
fn classful(bytes: &[u8]) -> Vec<Route> {
    let (pairs, _) = bytes.as_chunks::<8>();
    pairs
        .iter()
        .filter_map(|[a, b, c, d, by @ ..]| {
            let prefix = match a {
                0..128 => 8,
                128..192 => 16,
                192..224 => 24,
                _ => return None,
            };
            let to = Ipv4Addr::new(*a, *b, *c, *d);
            route(to, prefix, Ipv4Addr::from(*by)).filter(|_| !to.is_unspecified())
        })
        .collect()
}

/// RFC 3397: names as labels, which may end in a reference to an earlier place (RFC 1035, 4.1.4);
/// `None` where they are not that.
fn domain_names(bytes: &[u8]) -> Option<Vec<String>> {
    let (mut names, mut place) = (Vec::new(), 0);
    while place < bytes.len() {
        let (name, next) = domain_name(bytes, place)?;
        if !name.is_empty() && is_domain(&name) {
            names.push(name);
        }
        place = next;
    }
    Some(names)
}

/// The name at `place`, and where the next one begins.
fn domain_name(bytes: &[u8], mut place: usize) -> Option<(String, usize)> {
    const LONGEST: usize = 255;
    let mut labels: Vec<String> = Vec::new();
    let (mut next, mut length) = (None, 0);
    loop {
        let head = *bytes.get(place)?;
        match head >> 6 {
            0b11 => {
                let low = *bytes.get(place + 1)?;
                next = next.or(Some(place + 2));
                let to = usize::from(head & 0x3f) << 8 | usize::from(low);
                // Backwards only, so that it comes to an end.
                place = Some(to).filter(|to| *to < place)?;
            }
            0 if head == 0 => return Some((labels.join("."), next.unwrap_or(place + 1))),
            0 => {
                let end = place + 1 + usize::from(head);
                let label = bytes.get(place + 1..end)?;
                length += label.len() + 1;
                if length > LONGEST {
                    return None;
                }
                labels.push(String::from_utf8_lossy(label).into_owned());
                place = end;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests;

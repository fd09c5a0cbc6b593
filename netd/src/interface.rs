//! Which interface carries the traffic between nodes, and which addresses other nodes use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use backend::Family;
use backend::{NextHops, Underlay};
use kernel::{Address, IfName, Link, LinkIndex, Route};
use regex::bytes::{Regex, RegexBuilder};

use crate::options::Options;

/// What the choice is made from, as the kernel has it at start.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// All links, in index order.
    pub links: Vec<Link>,
    /// All addresses, in the kernel's order.
    pub addresses: Vec<Address>,
    /// Routes of the main table without a destination prefix.
    pub default_routes: Vec<Route>,
    /// The kernel's answer for `iface-can-reach`.
    pub reach: Option<Route>,
}

/// The external interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// Its name, by which it is found again when it is made anew.
    pub name: IfName,
    /// Its index at start.
    pub link: LinkIndex,
    /// Its MTU at start, bytes.
    pub mtu: u32,
    /// Its IPv4 address.
    pub address: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6_address: Option<Ipv6Addr>,
    /// The advertised IPv4 address.
    pub public_ip: Option<Ipv4Addr>,
    /// The advertised IPv6 address.
    pub public_ipv6: Option<Ipv6Addr>,
    /// Why this one, for people.
    pub because: String,
}

/// Why no interface was chosen.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InterfaceError {
    /// No link of that name.
    #[error("there is no interface {0}")]
    NoLink(String),
    /// No link with that address.
    #[error("no interface has the address {0}")]
    NoOwner(IpAddr),
    /// The link has no address that other nodes could use.
    #[error("interface {link} has no usable {family} address")]
    NoAddress { link: IfName, family: &'static str },
    /// The two public addresses are on two links.
    #[error("{v4} is on {v4_link}, but {v6} is on {v6_link}: both families need one interface")]
    Apart {
        v4: IpAddr,
        v4_link: IfName,
        v6: IpAddr,
        v6_link: IfName,
    },
    /// Nothing to go by.
    #[error("there is no {0} default route; name an interface with -iface")]
    NoDefaultRoute(&'static str),
    /// A multipath default route.
    #[error("the {0} default route has several next hops; name an interface with -iface")]
    Multipath(&'static str),
    /// The default routes of the families differ.
    #[error("the default routes use {v4} for IPv4 and {v6} for IPv6; name one with -iface")]
    TwoDefaults { v4: String, v6: String },
    /// Not a regular expression.
    #[error("{pattern:?} is not a regular expression: {problem}")]
    BadPattern { pattern: String, problem: String },
    /// Matches neither address nor name.
    #[error("no interface matches {pattern:?} (there are {candidates})")]
    NoMatch { pattern: String, candidates: String },
    /// No way to the address of `iface-can-reach`.
    #[error("there is no route to {0}")]
    Unreachable(IpAddr),
    /// A link that cannot carry packets.
    #[error("interface {0} has MTU 0")]
    NoMtu(IfName),
    /// Every attempt failed.
    #[error("{}", .0.join("; "))]
    NoneFits(Vec<String>),
}

/// A link, and the addresses on it that the choice fixed already.
struct Candidate<'a> {
    link: &'a Link,
    address: Option<IpAddr>,
    v6_address: Option<IpAddr>,
    because: String,
}

impl External {
    /// Facts for the backends, from the link as it is now; routes left out.
    pub fn underlay(&self, link: &Link) -> Underlay {
        Underlay {
            link: link.index,
            name: self.name.clone(),
            mtu: link.mtu,
            address: self.address,
            v6_address: self.v6_address,
            public_ip: self.public_ip,
            public_ipv6: self.public_ipv6,
            routes: NextHops::default(),
        }
    }
}

/// Chooses, in flannel's order: every `iface`, every `iface-regex`, `iface-can-reach`; with
/// none of them the owner of the public address, and at last the default route's interface.
///
/// # Errors
/// Nothing fits; the error lists every attempt.
pub fn choose(
    options: &Options,
    families: &[Family],
    facts: &Facts,
) -> Result<External, InterfaceError> {
    let chooser = Chooser {
        options,
        families,
        facts,
    };
    let mut attempts: Vec<Result<Candidate<'_>, InterfaceError>> = Vec::new();
    attempts.extend(
        options
            .iface
            .iter()
            .map(|given| chooser.by_name_or_address(given)),
    );
    attempts.extend(
        options
            .iface_regex
            .iter()
            .map(|pattern| chooser.by_pattern(pattern)),
    );
    attempts.extend(options.iface_can_reach.map(|to| chooser.by_route(to)));
    if attempts.is_empty() {
        return chooser.finish(chooser.unnamed()?);
    }
    let mut refusals = Vec::new();
    for attempt in attempts {
        match attempt.and_then(|candidate| chooser.finish(candidate)) {
            Ok(external) => return Ok(external),
            Err(error) => refusals.push(error.to_string()),
        }
    }
    Err(InterfaceError::NoneFits(refusals))
}

struct Chooser<'a> {
    options: &'a Options,
    families: &'a [Family],
    facts: &'a Facts,
}

impl<'a> Chooser<'a> {
    fn wants(&self, family: Family) -> bool {
        self.families.contains(&family)
    }

    fn by_name_or_address(&self, given: &str) -> Result<Candidate<'a>, InterfaceError> {
        let because = format!("-iface {given}");
        if let Ok(address) = given.parse::<IpAddr>() {
            return self.by_address(address, because);
        }
        let link = self
            .facts
            .links
            .iter()
            .find(|link| link.name.as_str() == given);
        let link = link.ok_or_else(|| InterfaceError::NoLink(given.to_owned()))?;
        Ok(Candidate {
            link,
            address: None,
            v6_address: None,
            because,
        })
    }

    /// The owner of an address; with both families wanted, a public IPv6 address must be there too.
    fn by_address(
        &self,
        address: IpAddr,
        because: String,
    ) -> Result<Candidate<'a>, InterfaceError> {
        let link = self.owner(address)?;
        let (mut v4, mut v6) = match address {
            IpAddr::V4(_) => (Some(address), None),
            IpAddr::V6(_) => (None, Some(address)),
        };
        let other = match address {
            IpAddr::V4(_) => self.options.public_ipv6.filter(|_| self.wants(Family::V6)),
            IpAddr::V6(_) => None,
        };
        if let Some(public) = other.map(IpAddr::V6) {
            let v6_link = self.owner(public)?;
            if v6_link.index != link.index {
                return Err(InterfaceError::Apart {
                    v4: address,
                    v4_link: link.name.clone(),
                    v6: public,
                    v6_link: v6_link.name.clone(),
                });
            }
            v6 = Some(public);
        }
        v4 = v4.filter(|_| self.wants(Family::V4));
        v6 = v6.filter(|_| self.wants(Family::V6));
        Ok(Candidate {
            link,
            address: v4,
            v6_address: v6,
            because,
        })
    }

    fn owner(&self, address: IpAddr) -> Result<&'a Link, InterfaceError> {
        let found = self
            .facts
            .addresses
            .iter()
            .find(|found| found.address.ip() == address);
        found
            .and_then(|found| self.link(found.link))
            .ok_or(InterfaceError::NoOwner(address))
    }

    fn link(&self, index: LinkIndex) -> Option<&'a Link> {
        self.facts.links.iter().find(|link| link.index == index)
    }

    /// The first link with a matching address (of every family); else the first one with a
    /// matching name, which is final.
    fn by_pattern(&self, pattern: &str) -> Result<Candidate<'a>, InterfaceError> {
        let regex = compile(pattern)?;
        let because = format!("-iface-regex {pattern}");
        for link in &self.facts.links {
            let matching = |family| {
                usable(&self.facts.addresses, link.index, family)
                    .into_iter()
                    .find(|address| regex.is_match(address.to_string().as_bytes()))
            };
            let found: Vec<Option<IpAddr>> = self
                .families
                .iter()
                .map(|family| matching(*family))
                .collect();
            if found.iter().all(Option::is_some) {
                let of = |family| {
                    found
                        .iter()
                        .flatten()
                        .copied()
                        .find(|ip| Family::of(*ip) == family)
                };
                let (address, v6_address) = (of(Family::V4), of(Family::V6));
                return Ok(Candidate {
                    link,
                    address,
                    v6_address,
                    because,
                });
            }
        }
        let named = |link: &&Link| regex.is_match(link.name.as_str().as_bytes());
        let link = self.facts.links.iter().find(named);
        let link = link.ok_or_else(|| InterfaceError::NoMatch {
            pattern: pattern.to_owned(),
            candidates: self.candidates(),
        })?;
        Ok(Candidate {
            link,
            address: None,
            v6_address: None,
            because,
        })
    }

    fn by_route(&self, to: IpAddr) -> Result<Candidate<'a>, InterfaceError> {
        let route = self
            .facts
            .reach
            .as_ref()
            .ok_or(InterfaceError::Unreachable(to))?;
        let link = route.link.and_then(|link| self.link(link));
        let link = link.ok_or(InterfaceError::Unreachable(to))?;
        let of = |family| route.source.filter(|source| Family::of(*source) == family);
        Ok(Candidate {
            link,
            address: of(Family::V4),
            v6_address: of(Family::V6),
            because: format!("-iface-can-reach {to}"),
        })
    }

    fn unnamed(&self) -> Result<Candidate<'a>, InterfaceError> {
        let v4 = self
            .options
            .public_ip
            .map(IpAddr::V4)
            .map(|ip| ("-public-ip", ip));
        let v6 = self
            .options
            .public_ipv6
            .map(IpAddr::V6)
            .map(|ip| ("-public-ipv6", ip));
        match v4.or(v6) {
            Some((flag, address)) => {
                self.by_address(address, format!("it has the address given with {flag}"))
            }
            None => self.by_default_route(),
        }
    }

    /// Both families must agree where both are wanted.
    fn by_default_route(&self) -> Result<Candidate<'a>, InterfaceError> {
        let mut links = Vec::new();
        for family in self.families {
            links.push(self.default_link(*family)?);
        }
        if let [first, second] = links[..]
            && first.index != second.index
        {
            let (v4, v6) = (first.name.to_string(), second.name.to_string());
            return Err(InterfaceError::TwoDefaults { v4, v6 });
        }
        let link = *links
            .first()
            .ok_or(InterfaceError::NoDefaultRoute("IPv4"))?;
        let because = "it has the default route".to_owned();
        Ok(Candidate {
            link,
            address: None,
            v6_address: None,
            because,
        })
    }

    fn default_link(&self, family: Family) -> Result<&'a Link, InterfaceError> {
        let routes = self.facts.default_routes.iter();
        let best = routes
            .filter(|route| Family::of(route.dst.ip()) == family && route.dst.prefix() == 0)
            .min_by_key(|route| route.priority.unwrap_or(family.default_metric()))
            .ok_or(InterfaceError::NoDefaultRoute(label(family)))?;
        let single = best.kind == kernel::RouteKind::Unicast;
        let link = best
            .link
            .filter(|_| single)
            .and_then(|link| self.link(link));
        link.ok_or(InterfaceError::Multipath(label(family)))
    }

    /// Fills in the addresses that are not fixed yet, and the public ones.
    fn finish(&self, candidate: Candidate<'a>) -> Result<External, InterfaceError> {
        let Candidate {
            link,
            address,
            v6_address,
            because,
        } = candidate;
        let resolve = |family: Family, fixed: Option<IpAddr>| {
            if !self.wants(family) {
                return Ok(None);
            }
            let first = || {
                usable(&self.facts.addresses, link.index, family)
                    .into_iter()
                    .next()
            };
            fixed
                .or_else(first)
                .map(Some)
                .ok_or_else(|| InterfaceError::NoAddress {
                    link: link.name.clone(),
                    family: label(family),
                })
        };
        let address = resolve(Family::V4, address)?.and_then(as_v4);
        let v6_address = resolve(Family::V6, v6_address)?.and_then(as_v6);
        if link.mtu == 0 {
            return Err(InterfaceError::NoMtu(link.name.clone()));
        }
        Ok(External {
            name: link.name.clone(),
            link: link.index,
            mtu: link.mtu,
            address,
            v6_address,
            public_ip: address.map(|own| self.options.public_ip.unwrap_or(own)),
            public_ipv6: v6_address.map(|own| self.options.public_ipv6.unwrap_or(own)),
            because,
        })
    }

    fn candidates(&self) -> String {
        let describe = |link: &Link| {
            let addresses: Vec<String> = self
                .families
                .iter()
                .flat_map(|family| usable(&self.facts.addresses, link.index, *family))
                .map(|address| address.to_string())
                .collect();
            format!("{}: [{}]", link.name, addresses.join(" "))
        };
        self.facts
            .links
            .iter()
            .map(describe)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Without Unicode classes, like the RE2 syntax that flannel documents.
fn compile(pattern: &str) -> Result<Regex, InterfaceError> {
    RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| InterfaceError::BadPattern {
            pattern: pattern.to_owned(),
            problem: problem(&error),
        })
}

/// The last line of the error's text: those before it draw the pattern.
fn problem(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// Addresses that other nodes can use, best first: global before link-local, then permanent
/// before dynamic, then stable before temporary; never a deprecated one.
fn usable(addresses: &[Address], link: LinkIndex, family: Family) -> Vec<IpAddr> {
    let mut found: Vec<&Address> = addresses
        .iter()
        .filter(|found| found.link == link && !found.deprecated)
        .filter(|found| Family::of(found.address.ip()) == family)
        .filter(|found| is_unicast(found.address.ip()))
        .collect();
    found.sort_by_key(|found| {
        (
            is_link_local(found.address.ip()),
            !found.permanent,
            found.temporary,
        )
    });
    found.into_iter().map(|found| found.address.ip()).collect()
}

fn is_unicast(address: IpAddr) -> bool {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(address.is_loopback() || address.is_multicast() || address.is_unspecified() || broadcast)
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn as_v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn as_v6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    }
}

fn label(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

#[cfg(test)]
#[path = "interface_tests.rs"]
mod tests;

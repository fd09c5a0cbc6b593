//! An IPAM plugin's addresses and routes on the container interface.

use cni::AddResult;
use ipnetwork::IpNetwork;
use kernel::{Change, IfName, LinkChange, NetNs, Netlink, Route, sysctl};

use crate::{
    Error, Result, netns,
    route::{self, Gateways},
    settle,
    veth::Container,
};

/// Whether the container looks for duplicates of its IPv6 addresses (RFC 4862).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DuplicateDetection {
    /// As the container's namespace is set.
    #[default]
    Inherited,
    /// `accept_dad` 1, `enhanced_dad` 1: an address can be used after a second or two.
    On,
    /// `accept_dad` 0: an address can be used at once.
    Off,
}

/// A container interface that is as the result says.
pub struct Configured<'a> {
    container: Netlink,
    interface: &'a Container,
    /// Its IPv6 addresses were not waited for, and need no duplicate address detection.
    unsettled: bool,
}

/// Configures the container interface as `result` says, in one send: addresses, up, then routes.
/// Routes that are there already are done. The kernel announces the addresses of both families
/// when the interface comes up, IPv6 ones after duplicate address detection.
///
/// # Errors
/// In the words of the reference plugins: the address, sysctl or route that was refused. Nothing
/// is taken back; all of it vanishes with the interface.
pub fn apply<'a>(
    ns: &NetNs,
    interface: &'a Container,
    result: &AddResult,
    detection: DuplicateDetection,
) -> Result<Configured<'a>> {
    let name = &interface.name;
    let addresses = addresses_of(name, result)?;
    let gateways = Gateways::of(result);
    let routes = routes_of(result, interface, &gateways)?;
    let ipv6 = addresses.iter().any(IpNetwork::is_ipv6);
    // Stepping in costs more than what is done there, so it is done once.
    let container = netns::in_container(ns, || {
        advise(name, detection);
        if ipv6 {
            enable_ipv6(name)?;
        }
        Ok(Netlink::open()?)
    })?;
    bring_up(&container, interface, &addresses, &routes)?;
    let settled = gateways.ipv6.is_some();
    if settled {
        settle::settle(&container, name, interface.index)?;
    }
    Ok(Configured {
        container,
        interface,
        unsettled: ipv6 && !settled && detection == DuplicateDetection::Off,
    })
}

impl Configured<'_> {
    /// Announces the addresses again, for an interface whose way to others opened only after it
    /// came up: a bridge drops what comes in before its port forwards. Who knows a former MAC
    /// address of theirs would keep it for up to a minute.
    ///
    /// # Errors
    /// The addresses cannot be read; the kernel refuses.
    pub fn announce(&self) -> Result<()> {
        let (name, index) = (&self.interface.name, self.interface.index);
        if self.unsettled {
            settle::settle(&self.container, name, index)?;
        }
        // The kernel announces whenever the MAC address is set, also to what it is.
        let same = LinkChange {
            mac: Some(self.interface.mac),
            ..LinkChange::default()
        };
        let set = self.container.set_link(index, &same);
        set.map_err(|source| Error::Announce {
            interface: name.to_string(),
            source: source.into(),
        })
    }
}

/// Sets the container interface up: `ip link set up`.
///
/// # Errors
/// The namespace cannot be entered; the kernel refuses.
pub fn set_up(ns: &NetNs, interface: &Container) -> Result<()> {
    let up = LinkChange {
        up: Some(true),
        ..LinkChange::default()
    };
    netns::socket(ns)?
        .set_link(interface.index, &up)
        .map_err(|source| not_up(interface, source))
}

fn not_up(interface: &Container, source: kernel::Error) -> Error {
    Error::SetUp {
        interface: interface.name.to_string(),
        source: source.into(),
    }
}

/// The addresses that the result gives to the interface.
fn addresses_of(name: &IfName, result: &AddResult) -> Result<Vec<IpNetwork>> {
    if result.interfaces.is_empty() {
        return Err(Error::NoInterfaces);
    }
    let owned = result
        .ips
        .iter()
        .filter_map(|ip| ip.interface.map(|index| (ip, index)));
    owned
        .map(|(ip, index)| match result.interfaces.get(index) {
            Some(interface) if interface.name == name.as_str() => Ok(ip.address),
            _ => Err(Error::InvalidInterfaceIndex {
                address: ip.address,
                interface: name.to_string(),
            }),
        })
        .collect()
}

/// What is set before the interface comes up, in the container's namespace (kernel: ip-sysctl).
/// Advice, as in the reference plugins: a kernel that has no such key is fine.
fn advise(name: &IfName, detection: DuplicateDetection) {
    let announce = [("ipv4", "arp_notify", "1"), ("ipv6", "ndisc_notify", "1")];
    let detect: &[_] = match detection {
        DuplicateDetection::Inherited => &[],
        DuplicateDetection::On => &[("ipv6", "enhanced_dad", "1"), ("ipv6", "accept_dad", "1")],
        DuplicateDetection::Off => &[("ipv6", "accept_dad", "0")],
    };
    for (family, key, value) in announce.iter().chain(detect) {
        let _ = sysctl::set(&format!("net/{family}/conf/{name}/{key}"), value);
    }
}

/// A container may have been made without IPv6; an IPv6 address from IPAM says that it is wanted.
/// Addresses stay when the link goes down, as IPv4 ones do.
fn enable_ipv6(name: &IfName) -> Result<()> {
    let refused = |interface: &str, key, value| {
        let interface = interface.to_owned();
        move |source: kernel::Error| Error::EnableIpv6 {
            interface,
            key,
            value,
            source: source.into(),
        }
    };
    for interface in ["lo", name.as_str()] {
        let key = format!("net/ipv6/conf/{interface}/disable_ipv6");
        match sysctl::get(&key) {
            Ok(value) if value == "0" => {}
            Ok(_) => {
                sysctl::set(&key, "0").map_err(refused(interface, "disable_ipv6", "0"))?;
            }
            Err(error) => tracing::warn!(%error, key, "cannot tell whether IPv6 is disabled"),
        }
    }
    let keep = format!("net/ipv6/conf/{name}/keep_addr_on_down");
    sysctl::set(&keep, "1").map_err(refused(name.as_str(), "keep_addr_on_down", "1"))?;
    Ok(())
}

/// The result's routes with what the kernel shall make of each, in order: of two IPv4 routes to
/// one destination the later one comes first in the table.
fn routes_of<'a>(
    result: &'a AddResult,
    interface: &Container,
    gateways: &Gateways,
) -> Result<Vec<(&'a cni::Route, Route)>> {
    let resolve = |route| {
        let wanted = route::resolve(route, interface.index, gateways);
        match wanted {
            Ok(wanted) => Ok((route, wanted)),
            Err(invalid) => Err(route::invalid(route, invalid, &interface.name)),
        }
    };
    result.routes.iter().map(resolve).collect()
}

fn bring_up(
    container: &Netlink,
    interface: &Container,
    addresses: &[IpNetwork],
    routes: &[(&cni::Route, Route)],
) -> Result<()> {
    let (name, index) = (&interface.name, interface.index);
    let add = |address: &IpNetwork| Change::AddAddress(index, *address);
    let mut changes: Vec<Change> = addresses.iter().map(add).collect();
    changes.push(Change::SetUp(index));
    changes.extend(
        routes
            .iter()
            .map(|(_, route)| Change::AddRoute(route.clone())),
    );
    let mut outcomes = container.apply(&changes)?.into_iter();
    for (address, outcome) in addresses.iter().zip(outcomes.by_ref()) {
        outcome.map_err(|source| Error::AddAddress {
            address: *address,
            interface: name.to_string(),
            source: source.into(),
        })?;
    }
    outcomes
        .next()
        .unwrap_or(Ok(()))
        .map_err(|source| not_up(interface, source))?;
    for ((route, wanted), outcome) in routes.iter().zip(outcomes) {
        match outcome {
            Err(source) if !source.is_exists() => {
                return Err(route::refused(route, wanted.gateway, name, source));
            }
            _ => {}
        }
    }
    Ok(())
}

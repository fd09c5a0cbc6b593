//! An IPAM plugin's addresses and routes on the container interface.

use cni::AddResult;
use ipnetwork::IpNetwork;
use kernel::{Change, IfName, LinkChange, NetNs, Netlink, sysctl};

use crate::{
    Error, Result, netns,
    route::{self, Gateways},
    settle,
    veth::Container,
};

/// What an interface plugin sets on its container interface before it comes up. Advice to the
/// kernel, as in the reference plugins: one that has no such sysctl is fine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceSysctls {
    /// Announce IPv4 addresses when the link comes up (kernel: ip-sysctl, `arp_notify`).
    pub arp_notify: bool,
    /// The same for IPv6 (`ndisc_notify`).
    pub ndisc_notify: bool,
    /// Detect duplicates of IPv6 addresses (`accept_dad`); the kernel's default if none.
    pub accept_dad: Option<bool>,
}

/// Configures the container interface as `result` says: addresses, up, then routes. Routes that
/// are there already are done.
///
/// # Errors
/// In the words of the reference plugins: the address, sysctl or route that was refused. Nothing
/// is taken back; all of it vanishes with the interface.
pub fn apply(
    ns: &NetNs,
    interface: &Container,
    result: &AddResult,
    sysctls: InterfaceSysctls,
) -> Result<()> {
    let name = &interface.name;
    let addresses = addresses_of(name, result)?;
    let ipv6 = addresses.iter().any(IpNetwork::is_ipv6);
    // Stepping in costs more than what is done there, so it is done once.
    let container = &netns::in_container(ns, || {
        write_sysctls(name, sysctls, ipv6)?;
        Ok(Netlink::open()?)
    })?;
    add_addresses(container, interface, &addresses)?;
    up(container, interface)?;
    let gateways = Gateways::of(result);
    if gateways.ipv6.is_some() {
        settle::settle(container, name, interface.index)?;
    }
    add_routes(container, interface, &result.routes, &gateways)
}

/// Sets the container interface up: `ip link set up`.
///
/// # Errors
/// The namespace cannot be entered; the kernel refuses.
pub fn set_up(ns: &NetNs, interface: &Container) -> Result<()> {
    up(&netns::socket(ns)?, interface)
}

fn up(container: &Netlink, interface: &Container) -> Result<()> {
    let up = LinkChange {
        up: Some(true),
        ..LinkChange::default()
    };
    container
        .set_link(interface.index, &up)
        .map_err(|source| Error::SetUp {
            interface: interface.name.to_string(),
            source: source.into(),
        })
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

/// In the container's namespace.
fn write_sysctls(name: &IfName, wanted: InterfaceSysctls, ipv6: bool) -> Result<()> {
    let flag = |on: bool| if on { "1" } else { "0" };
    let advice = [
        (
            wanted.arp_notify,
            format!("net/ipv4/conf/{name}/arp_notify"),
            "1",
        ),
        (
            wanted.ndisc_notify,
            format!("net/ipv6/conf/{name}/ndisc_notify"),
            "1",
        ),
        (
            wanted.accept_dad == Some(true),
            format!("net/ipv6/conf/{name}/enhanced_dad"),
            "1",
        ),
        (
            wanted.accept_dad.is_some(),
            format!("net/ipv6/conf/{name}/accept_dad"),
            flag(wanted.accept_dad == Some(true)),
        ),
    ];
    for (_, key, value) in advice.iter().filter(|(wanted, ..)| *wanted) {
        let _ = sysctl::set(key, value);
    }
    if ipv6 { enable_ipv6(name) } else { Ok(()) }
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

fn add_addresses(
    container: &Netlink,
    interface: &Container,
    addresses: &[IpNetwork],
) -> Result<()> {
    let changes: Vec<Change> = addresses
        .iter()
        .map(|address| Change::AddAddress(interface.index, *address))
        .collect();
    let outcomes = container.apply(&changes)?;
    for (address, outcome) in addresses.iter().zip(outcomes) {
        outcome.map_err(|source| Error::AddAddress {
            address: *address,
            interface: interface.name.to_string(),
            source: source.into(),
        })?;
    }
    Ok(())
}

fn add_routes(
    container: &Netlink,
    interface: &Container,
    routes: &[cni::Route],
    gateways: &Gateways,
) -> Result<()> {
    // In order: of two IPv4 routes to one destination the later one comes first in the table.
    for route in routes {
        let wanted = route::resolve(route, interface.index, gateways)
            .map_err(|invalid| route::invalid(route, invalid, &interface.name))?;
        match container.add_route(&wanted) {
            Err(source) if !source.is_exists() => {
                return Err(route::refused(
                    route,
                    wanted.gateway,
                    &interface.name,
                    source,
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

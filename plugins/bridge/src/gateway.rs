//! The pods' gateway, the bridge or the link of a VLAN: which addresses it gets, and getting them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use attach::{
    holdings::Holdings,
    route::{SCOPE_LINK, TABLE_MAIN},
};
use cni::{AddResult, IpConfig, Route};
use ipnetwork::IpNetwork;
use kernel::{Link, LinkChange, LinkIndex, Netlink, Undo, if_there, overlap};

use crate::{
    device::Bridge,
    error::{Error, Result},
    lock::HostLock,
    sharing::{Own, Sharing},
    vlan_gateway,
};

/// Gives each address of the result the gateway that it lacks (the first address of its subnet),
/// and with `default_route` each family its default route through its first gateway.
pub(crate) fn complete(result: &mut AddResult, default_route: bool) {
    for ip in &mut result.ips {
        ip.gateway.get_or_insert_with(|| first_address(&ip.address));
    }
    if !default_route {
        return;
    }
    for gateway in first_gateways(&result.ips) {
        let family = |route: &Route| route.dst.is_ipv4() == gateway.is_ipv4();
        if !result
            .routes
            .iter()
            .any(|route| family(route) && is_default(route))
        {
            result.routes.extend(default_route_via(gateway));
        }
    }
}

/// The first gateway of each family, in the order of the addresses.
fn first_gateways(ips: &[IpConfig]) -> Vec<IpAddr> {
    let mut firsts: Vec<IpAddr> = Vec::new();
    for gateway in ips.iter().filter_map(|ip| ip.gateway) {
        if firsts
            .iter()
            .all(|first| first.is_ipv4() != gateway.is_ipv4())
        {
            firsts.push(gateway);
        }
    }
    firsts
}

/// Whether the route is the family's default route already. One without a gateway of its own gets
/// the family's, so that it equals the one that would be added; not so in another table, with
/// another priority, or without a gateway at all.
fn is_default(route: &Route) -> bool {
    let main = route
        .table
        .is_none_or(|table| table == 0 || table == TABLE_MAIN);
    let plain = main && route.priority.unwrap_or(0) == 0 && route.scope != Some(SCOPE_LINK);
    route.dst.prefix() == 0 && (route.gw.is_some() || plain)
}

fn default_route_via(gateway: IpAddr) -> Option<Route> {
    let everywhere: IpAddr = match gateway {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    with_prefix(everywhere, 0).map(|dst| Route {
        dst,
        gw: Some(gateway),
        mtu: None,
        advmss: None,
        priority: None,
        table: None,
        scope: None,
    })
}

/// Network address + 1, also in subnets that do not hold it.
fn first_address(address: &IpNetwork) -> IpAddr {
    match address {
        IpNetwork::V4(v4) => Ipv4Addr::from(u32::from(v4.network()).wrapping_add(1)).into(),
        IpNetwork::V6(v6) => Ipv6Addr::from(u128::from(v6.network()).wrapping_add(1)).into(),
    }
}

/// The gateway's addresses: the gateways with their subnets' prefix lengths, IPv4 first. `0.0.0.0` is no
/// address that a link can have.
pub(crate) fn addresses(ips: &[IpConfig]) -> Vec<IpNetwork> {
    let mut addresses: Vec<IpNetwork> = ips
        .iter()
        .filter_map(|ip| Some((ip.gateway?, ip.address.prefix())))
        .filter(|(gateway, _)| !gateway.is_unspecified())
        .filter_map(|(gateway, prefix)| with_prefix(gateway, prefix))
        .collect();
    addresses.sort_by_key(IpNetwork::is_ipv6);
    addresses
}

fn with_prefix(address: IpAddr, prefix: u8) -> Option<IpNetwork> {
    IpNetwork::new(address, prefix).ok()
}

/// What has to happen so that the bridge has an address.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Nothing,
    Add { instead_of: Vec<IpNetwork> },
}

/// Walks the bridge's addresses in the kernel's order, as the reference plugins do: the address
/// itself ends the walk; met before it, any other IPv4 address and any overlapping IPv6 subnet is
/// in the way. `None`: it may not be replaced.
fn plan(present: &[IpNetwork], wanted: &IpNetwork, force: bool) -> Option<Plan> {
    let mut instead_of = Vec::new();
    for address in present
        .iter()
        .filter(|address| address.is_ipv4() == wanted.is_ipv4())
    {
        if address == wanted {
            return Some(Plan::Nothing);
        }
        if wanted.is_ipv4() || overlap(*address, *wanted) {
            if !force {
                return None;
            }
            instead_of.push(*address);
        }
    }
    Some(Plan::Add { instead_of })
}

/// The link that an ADD makes a gateway: the bridge, or that of a VLAN.
pub(crate) struct Gateway<'a> {
    host: &'a Netlink,
    link: Link,
    /// What the kernel may take the link's MAC address from, unless this ADD has chosen one: the
    /// pod's port, for a bridge that others made.
    takes_mac_of: Option<Link>,
    /// Who else relies on it.
    sharing: Sharing<'a>,
    /// What is done, as errors put it.
    task: &'static str,
}

impl<'a> Gateway<'a> {
    /// The bridge itself.
    pub(crate) fn bridge(host: &'a Netlink, bridge: &Bridge, port: &Link, own: Own<'a>) -> Self {
        Self {
            host,
            link: bridge.link.clone(),
            takes_mac_of: (!bridge.made).then(|| port.clone()),
            sharing: Sharing {
                bridge: bridge.link.index,
                own,
                vlan: None,
            },
            task: "failed to set bridge addr",
        }
    }

    /// The gateway of a VLAN, which has a MAC address of its own.
    pub(crate) fn of_vlan(host: &'a Netlink, link: Link, wanted: vlan_gateway::Wanted<'a>) -> Self {
        Self {
            host,
            sharing: wanted.sharing(link.peer),
            link,
            takes_mac_of: None,
            task: "failed to set vlan interface for bridge with addr",
        }
    }

    /// Gives the link all of `wanted`; what was changed goes onto `undo`.
    ///
    /// # Errors
    /// Another address is in the way; the kernel refuses.
    pub(crate) fn ensure(
        &self,
        wanted: &[IpNetwork],
        force: bool,
        undo: &mut Undo<'a>,
    ) -> Result<()> {
        // Whoever takes an address back holds the lock while he looks whether others need it.
        let _lock = HostLock::take()?;
        let mut present = self.present()?;
        let mut standing = None;
        for address in wanted {
            let plan = plan(&present, address, force).ok_or_else(|| Error::OtherAddress {
                task: self.task,
                link: self.link.name.to_string(),
                wanted: *address,
            })?;
            let Plan::Add { instead_of } = plan else {
                continue;
            };
            self.pin_mac()?;
            let standing = match &standing {
                Some(standing) => standing,
                None => standing.insert(self.sharing.standing(self.host)?),
            };
            let held = match instead_of.is_empty() {
                true => None,
                false => Some(Holdings::read(self.host, &self.link)?),
            };
            let added = self.replace(&instead_of, *address);
            let change = Change {
                wanted: *address,
                added: matches!(added, Ok(true)),
                standing: standing.clone(),
                held,
            };
            let (host, link, sharing) = (self.host, self.link.index, self.sharing);
            undo.push("gateway address", move || {
                Ok(change.undo(host, link, sharing)?)
            })?;
            added?;
            present.retain(|address| !instead_of.contains(address));
            present.push(*address);
        }
        Ok(())
    }

    fn present(&self) -> Result<Vec<IpNetwork>> {
        let seen = self.host.addresses(Some(self.link.index));
        let seen = seen.map_err(|source| Error::ReadAddresses {
            task: self.task,
            link: self.link.name.to_string(),
            source: source.into(),
        })?;
        Ok(seen.iter().map(|address| address.address).collect())
    }

    /// Keeps the MAC address of a bridge that others made: otherwise it takes over that of its
    /// lowest port, and pods lose their gateway whenever a port comes or goes. Done before it gets
    /// an address, so that whoever sees the address sees the MAC address that stays.
    ///
    /// That is the one it has; but if joining it gave it this pod's, the one from before, unless
    /// there was none (the kernel shows zeros for a bridge that lost its ports).
    fn pin_mac(&self) -> Result<()> {
        let Some(port) = &self.takes_mac_of else {
            return Ok(());
        };
        let bridge = self.host.link_by_index(self.link.index)?;
        let now = bridge.and_then(|bridge| bridge.mac);
        let before = self.link.mac.filter(|mac| mac.0 != [0; 6]);
        let mac = if now == port.mac { before.or(now) } else { now };
        let pinned = LinkChange {
            mac,
            ..LinkChange::default()
        };
        let set = self.host.set_link(self.link.index, &pinned);
        set.map_err(|source| Error::PinMac {
            source: source.into(),
        })
    }

    /// Whether it was this call that gave it `wanted`.
    fn replace(&self, others: &[IpNetwork], wanted: IpNetwork) -> Result<bool> {
        for other in others {
            self.delete(*other)?;
        }
        self.add(wanted)
    }

    /// Without duplicate address detection: the first pod could not reach its gateway for a second
    /// or two, and the same gateway on other nodes' bridges is no duplicate.
    fn add(&self, address: IpNetwork) -> Result<bool> {
        match self.host.add_address_nodad(self.link.index, address) {
            Ok(()) => Ok(true),
            // Somebody else, who does not know the lock, was faster.
            Err(error) if error.is_exists() => Ok(false),
            Err(source) => Err(self.refused("add", address, "to", source)),
        }
    }

    fn delete(&self, address: IpNetwork) -> Result<()> {
        let deleted = if_there(self.host.delete_address(self.link.index, address)).map(drop);
        deleted.map_err(|source| self.refused("remove", address, "from", source))
    }

    fn refused(
        &self,
        step: &'static str,
        address: IpNetwork,
        towards: &'static str,
        source: kernel::Error,
    ) -> Error {
        Error::GatewayAddress {
            task: self.task,
            step,
            address,
            towards,
            link: self.link.name.to_string(),
            source: source.into(),
        }
    }
}

/// What an ADD changed of a gateway's addresses for one that it wanted.
struct Change {
    wanted: IpNetwork,
    /// Not if somebody else was faster, or the kernel refused.
    added: bool,
    /// The ports that do not rely on it.
    standing: Vec<LinkIndex>,
    /// What the gateway had, if something was replaced: the kernel takes others of its subnet, and routes by
    /// that, along with an address.
    held: Option<Holdings>,
}

impl Change {
    /// Under one lock, so that no other ADD finds the gateway half given back.
    fn undo(&self, host: &Netlink, link: LinkIndex, sharing: Sharing<'_>) -> Result<()> {
        let _lock = HostLock::take()?;
        let taken = match self.added {
            true => self.take_back(host, link, sharing),
            false => Ok(()),
        };
        let given = match &self.held {
            Some(held) => give_back(host, link, held, self.wanted),
            None => Ok(()),
        };
        taken.and(given)
    }

    /// Unless other pods may rely on it by now.
    fn take_back(&self, host: &Netlink, link: LinkIndex, sharing: Sharing<'_>) -> Result<()> {
        match sharing.has_others(host, &self.standing)? {
            true => Ok(()),
            false => remove(host, link, self.wanted),
        }
    }
}

/// Gives a gateway what it held before it got `wanted`. If that has to stay it comes behind it: whose pods had the
/// other address must find it first. Nothing returns before it is there again.
fn give_back(host: &Netlink, link: LinkIndex, held: &Holdings, wanted: IpNetwork) -> Result<()> {
    let stays = |address: &kernel::Address| address.address == wanted;
    let stays = host.addresses(Some(link))?.iter().any(stays);
    if stays {
        remove(host, link, wanted)?;
    }
    let mut refused = held.restore_addresses(host, link);
    let again = match stays {
        true => host.add_address_nodad(link, wanted),
        false => Ok(()),
    };
    refused.extend(held.restore_routes(host, link, |table| table)?);
    match again {
        Err(error) if !error.is_exists() => return Err(error.into()),
        _ => {}
    }
    match refused.into_iter().next() {
        Some((_, error)) => Err(error.into()),
        None => Ok(()),
    }
}

fn remove(host: &Netlink, link: LinkIndex, address: IpNetwork) -> Result<()> {
    if_there(host.delete_address(link, address))?;
    Ok(())
}

#[cfg(test)]
mod tests;

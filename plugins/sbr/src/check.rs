//! CHECK: whether packets from the interface's addresses still go by tables of their own, whether
//! podwire or the reference plugin made them.

use attach::{
    chained,
    check::own_addresses,
    netns::{self, interface_name},
    route::{Gateways, TABLE_MAIN, network},
};
use cni::{Attachment, Call, IpConfig};
use kernel::{Family, Link, Route};

use crate::{config::Config, error::Error, plan, pod::Pod};

/// Checks the attachment.
///
/// # Errors
/// The first address whose rule is gone, or whose table lacks a route.
pub(crate) fn check(call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
    let config = Config::read(call)?;
    let added = chained::previous(call)?;
    let interface = attachment.ifname.as_str();
    let pod = Pod::enter(&netns::open(&attachment.netns)?)?;
    let link = pod.link(&interface_name(interface)?)?;
    let ips: Vec<&IpConfig> = own_addresses(interface, &added).collect();
    Ok(match &config {
        Config::Given { table } => rules_lead_to(&pod, &ips, *table),
        Config::Own { gateways, hints } => ips
            .iter()
            .try_for_each(|ip| is_routed(&pod, &link, ip, gateways, *hints)),
    }?)
}

fn rules_lead_to(pod: &Pod, ips: &[&IpConfig], table: u32) -> Result<(), Error> {
    for ip in ips {
        let address = ip.address.ip();
        if !tables(pod, ip)?.contains(&table) {
            return Err(Error::NoRuleTo { address, table });
        }
    }
    Ok(())
}

/// The tables that what comes from the address is routed by, in the order of the rules.
fn tables(pod: &Pod, ip: &IpConfig) -> Result<Vec<u32>, Error> {
    let mut rules = pod.netlink.rules()?;
    rules.retain(|rule| plan::source_of(rule) == Some(ip.address.ip()));
    rules.sort_by_key(|rule| rule.priority);
    Ok(rules.iter().map(|rule| rule.table).collect())
}

fn is_routed(
    pod: &Pod,
    link: &Link,
    ip: &IpConfig,
    gateways: &Gateways,
    hints: bool,
) -> Result<(), Error> {
    let address = ip.address.ip();
    let tables = tables(pod, ip)?;
    let table = *tables.first().ok_or(Error::NoRule(address))?;
    let interface = link.name.to_string();
    let routes = pod.routes(table, link)?;
    let subnet = network(ip.address);
    let is_single = subnet.prefix() == Family::from(&subnet).bits();
    if !is_single && !routes.iter().any(|route| route.dst == subnet) {
        return Err(Error::NoSubnet {
            table,
            subnet,
            interface,
        });
    }
    let configured = gateways.towards(&subnet);
    if let Some(gateway) = configured.or(ip.gateway) {
        // One that the main table had may go by another next hop than the address's.
        let serves = |route: &Route| {
            route.dst.prefix() == 0
                && route.dst.is_ipv4() == subnet.is_ipv4()
                && (configured.is_none() || route.gateway == configured)
        };
        if !routes.iter().any(serves) {
            return Err(Error::NoDefault {
                table,
                address,
                interface,
                gateway,
            });
        }
    }
    if hints {
        has_hint(pod, link, ip)?;
    }
    Ok(())
}

/// Of two addresses in one subnet one is the source there.
fn has_hint(pod: &Pod, link: &Link, ip: &IpConfig) -> Result<(), Error> {
    let subnet = network(ip.address);
    let serves = |route: &Route| {
        route.dst == subnet && route.source.is_some_and(|source| subnet.contains(source))
    };
    if pod.routes(TABLE_MAIN, link)?.iter().any(serves) {
        return Ok(());
    }
    Err(Error::NoHint {
        address: ip.address,
        interface: link.name.to_string(),
    })
}

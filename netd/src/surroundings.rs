//! What may turn wrong around a netd that runs well: the network configuration in the store, and
//! what the node itself has where the pods' network is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backend::Family;
use cluster::{Allocation, NetworkConfig, Subnets, overlap};
use ipnetwork::IpNetwork;
use kernel::{IfName, LinkIndex, Netlink, Route, RouteFilter};

use crate::facts::TABLE_MAIN;
use crate::health::{Finding, Part, Severity};
use crate::status::Status;
use crate::store::Store;

/// How often to look at the configuration.
const LOOK: Duration = Duration::from_secs(10);
/// The node's addresses and routes are looked at with every so many looks.
const LOOKS_PER_OVERLAP: u32 = 6;
/// Routes that the kernel made for an address (`RTPROT_KERNEL`).
const PROTOCOL_KERNEL: u8 = 2;

/// Looks around for ever.
pub async fn watch(
    store: Arc<dyn Store>,
    running: NetworkConfig,
    own: Subnets,
    netlink: Netlink,
    status: Arc<Status>,
) {
    for look in 0u32.. {
        if look % LOOKS_PER_OVERLAP == 0 {
            match overlaps_now(&running, &own, &netlink) {
                Ok(findings) => status.report(Part::Network, findings),
                Err(error) => tracing::debug!(error = %crate::chain(&error), "not looked around"),
            }
        }
        // A store that does not answer is reported by those who need it.
        let asked = Instant::now();
        if let Ok(text) = store.network_config().await {
            // Where nodes are given their subnets the configuration is a file, and the store itself says
            // how long it took.
            if store.allocation() == Allocation::Drawn {
                status.store_answered(asked.elapsed());
            }
            let change = change(&running, text.as_deref(), store.allocation());
            status.update(|state| state.store.config_changed = change.is_some());
            let finding = change.map(|change| {
                let what = format!(
                    "the network config in {} is not the one that this netd runs with ({change})",
                    store.describe()
                );
                Finding::new(Severity::Notice, "", what)
                    .remedy("restart netd on every node to use it, or put the old one back")
            });
            status.report(Part::Config, finding.into_iter().collect());
        }
        for answer in store.take_answers() {
            status.store_answered(answer);
        }
        status.report(Part::Access, store.trouble().into_iter().collect());
        tokio::time::sleep(LOOK).await;
    }
}

/// How a configuration differs from the one in use.
fn change(running: &NetworkConfig, text: Option<&[u8]>, allocation: Allocation) -> Option<String> {
    let Some(text) = text else {
        return Some("there is none any more".to_owned());
    };
    let now = match NetworkConfig::parse_for(text, allocation) {
        Ok(now) => now,
        Err(error) => return Some(format!("it cannot be used: {}", crate::chain(&error))),
    };
    let parts = [
        ("IPv4 network or subnets", now.v4 != running.v4),
        ("IPv6 network or subnets", now.v6 != running.v6),
        ("EnableNFTables", now.nftables != running.nftables),
        ("backend type", now.backend.kind != running.backend.kind),
        (
            "backend options",
            now.backend.kind == running.backend.kind && now.backend != running.backend,
        ),
    ];
    let changed: Vec<&str> = parts
        .into_iter()
        .filter_map(|(part, changed)| changed.then_some(part))
        .collect();
    (!changed.is_empty()).then(|| format!("changed: {}", changed.join(", ")))
}

fn overlaps_now(
    config: &NetworkConfig,
    own: &Subnets,
    netlink: &Netlink,
) -> kernel::Result<Vec<Finding>> {
    let links = netlink.links()?.into_iter();
    let names = links.map(|link| (link.index, link.name)).collect();
    let addresses = netlink.addresses(None)?.into_iter();
    let addresses: Vec<_> = addresses.map(|found| (found.link, found.address)).collect();
    let mut routes = Vec::new();
    for family in Family::ALL {
        let filter = RouteFilter {
            ipv6: Some(family == Family::V6),
            table: Some(TABLE_MAIN),
            ..RouteFilter::default()
        };
        routes.extend(netlink.routes(&filter)?);
    }
    Ok(overlaps(config, own, &names, &addresses, &routes))
}

/// Addresses and routes of the node's own in the pods' network, without those of its pods and
/// those that lead to other nodes' pods.
fn overlaps(
    config: &NetworkConfig,
    own: &Subnets,
    names: &BTreeMap<LinkIndex, IfName>,
    addresses: &[(LinkIndex, IpNetwork)],
    routes: &[Route],
) -> Vec<Finding> {
    let ours = |link: LinkIndex| {
        names
            .get(&link)
            .is_some_and(|name| cluster::is_backend_device(name.as_str()))
    };
    let dev = |link: Option<LinkIndex>| match link.and_then(|link| names.get(&link)) {
        Some(name) => format!(" dev {name}"),
        None => String::new(),
    };
    let addresses = addresses
        .iter()
        .filter(|(link, _)| !ours(*link))
        .map(|(link, address)| {
            let words = format!("the address {address}{}", dev(Some(*link)));
            (*address, words)
        });
    let routes = routes
        .iter()
        .filter(|route| !leads_to_pods(route) && !route.link.is_some_and(ours))
        .map(|route| {
            let words = format!("the route to {}{}", route.dst, dev(route.link));
            (route.dst, words)
        });
    addresses
        .chain(routes)
        .filter_map(|(there, words)| {
            let family = Family::of(there.ip());
            let network = family.network(config)?;
            let pods = family.subnet(own)?;
            let hit = overlap(network, there) && !pods.contains(there.ip());
            hit.then(|| finding(network, &words))
        })
        .collect()
}

/// Routes that netd or flanneld made, those of the kernel (their addresses are looked at), and
/// default routes.
fn leads_to_pods(route: &Route) -> bool {
    route.protocol == Route::PROTOCOL_PODWIRE
        || route.protocol == PROTOCOL_KERNEL
        || (route.onlink && route.gateway.is_some())
        || route.dst.prefix() == 0
}

fn finding(network: IpNetwork, words: &str) -> Finding {
    let what = format!(
        "the pods' network {network} overlaps {words} of this node: what is there and pods hide \
         each other"
    );
    Finding::new(Severity::Notice, words, what)
        .remedy("give a Network that nothing else uses, or take that address or route away")
}

#[cfg(test)]
#[path = "surroundings_tests.rs"]
mod tests;

//! Reads the facts. What cannot be read is left out, or says why.

mod policies;
pub(super) mod system;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use backend::Family;
use cluster::{LeaseAttrs, NetworkConfig, RawJson, SubnetEnv, Subnets, VtepData, WireguardOptions};
use ipnetwork::IpNetwork;
use kernel::{FdbEntry, LinkIndex, LinkKind, MacAddr, Neighbour, Netlink};

use super::facts::{Daemon, Facts, Link, Peer};
use crate::daemon;
use crate::options::Options;
use crate::query;
use crate::status::{Served, State};
use crate::store::{Listing, StoreError};

/// So many peers are looked at: each costs the kernel some questions.
const PEERS: usize = 256;

/// What the store says.
struct Stored {
    config: Option<NetworkConfig>,
    listing: Listing,
}

/// All facts.
///
/// # Errors
/// The kernel cannot be asked at all.
pub(super) fn gather(options: &Options) -> kernel::Result<Facts> {
    let netlink = Netlink::open()?;
    let mut facts = Facts {
        subnet_file: options.subnet_file.display().to_string(),
        ..Facts::default()
    };
    let state = query::ask(&options.status_socket);
    match &state {
        Ok(state) => facts.daemon = Some(daemon_of(state)),
        Err(error) => facts.no_daemon = crate::chain(error),
    }
    if let Ok(text) = std::fs::read_to_string(&options.subnet_file) {
        let parsed = SubnetEnv::parse(&text);
        facts.subnet_env = Some(parsed.map_err(|error| error.to_string()));
    }
    let stored = ask_store(options, &mut facts);
    let config = stored.as_ref().and_then(|stored| stored.config.as_ref());
    facts.families = families(config, &facts);
    facts.links = links(&netlink)?;
    facts.external = external(state.as_ref().ok(), &facts.links, &netlink);
    let running = system::Running {
        process: query::process(&options.status_socket),
        socket: &options.status_socket,
        addresses: state.as_ref().map(addresses).unwrap_or_default(),
    };
    system::read(config, &running, &mut facts);
    facts.dropping = policies::read(config, &facts);
    if let (Some(stored), Some(config)) = (&stored, config) {
        let unserved = state.as_ref().map(unserved).unwrap_or_default();
        facts.peers = peers(&netlink, &facts, config, &stored.listing, &unserved)?;
    }
    Ok(facts)
}

/// Those of the external interface that netd uses.
fn addresses(state: &State) -> Vec<IpAddr> {
    let said = state.interface.addresses.iter();
    said.filter_map(|address| address.parse().ok()).collect()
}

fn daemon_of(state: &State) -> Daemon {
    let counting = state.problems.iter();
    let counting = counting.filter(|problem| problem.severity > crate::health::Severity::Notice);
    Daemon {
        problems: counting
            .map(|problem| {
                let problem = problem.clone();
                (problem.what, problem.remedy, problem.command)
            })
            .collect(),
        mtu: state.mtu,
        subnets: state.lease.subnets.clone(),
        source_ports: state.firewall.source_ports,
    }
}

fn ask_store(options: &Options, facts: &mut Facts) -> Option<Stored> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let asked = async {
        let store = daemon::open_store(options)?;
        let began = Instant::now();
        let text = store.network_config().await?;
        store.assignment().await?;
        let took = began.elapsed();
        let listing = store.list().await?;
        let config = text.and_then(|text| NetworkConfig::parse_for(&text, store.allocation()).ok());
        Ok::<_, StoreError>((took, Stored { config, listing }))
    };
    let answer = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            runtime
                .block_on(asked)
                .map_err(|error| crate::chain(&error))
        });
    match answer {
        Ok((took, stored)) => {
            facts.store = Some(Ok(took));
            Some(stored)
        }
        Err(why) => {
            facts.store = Some(Err(why));
            None
        }
    }
}

/// As the network config says; else as subnet.env does.
fn families(config: Option<&NetworkConfig>, facts: &Facts) -> Vec<Family> {
    let of_file = match &facts.subnet_env {
        Some(Ok(env)) => Some(env.subnets()),
        _ => None,
    };
    let has = |family: &Family| match (config, &of_file) {
        (Some(config), _) => family.enabled(config),
        (None, Some(subnets)) => family.subnet(subnets).is_some(),
        (None, None) => *family == Family::V4,
    };
    Family::ALL.into_iter().filter(has).collect()
}

fn links(netlink: &Netlink) -> kernel::Result<Vec<Link>> {
    let links = netlink.links()?;
    let mut addresses: BTreeMap<LinkIndex, Vec<IpNetwork>> = BTreeMap::new();
    for found in netlink.addresses(None)? {
        addresses.entry(found.link).or_default().push(found.address);
    }
    let masters: Vec<LinkIndex> = links.iter().filter_map(|link| link.master).collect();
    let read = |link: &kernel::Link| Link {
        name: link.name.to_string(),
        index: link.index.0,
        mtu: link.mtu,
        up: link.up,
        tunnel: leftovers::is_flannels(link).then(|| tunnel(link)),
        bridge: matches!(link.kind, LinkKind::Bridge { .. }),
        has_ports: masters.contains(&link.index),
        addresses: addresses.get(&link.index).cloned().unwrap_or_default(),
        rp_filter: system::rp_filter(link.name.as_str()),
    };
    Ok(links.iter().map(read).collect())
}

/// Bytes that a tunnel adds, and the link below.
fn tunnel(link: &kernel::Link) -> (u32, Option<u32>) {
    match &link.kind {
        LinkKind::Vxlan(vxlan) => {
            let v6 = link.name.as_str().starts_with("flannel-v6.");
            let overhead = cluster::VXLAN_OVERHEAD[usize::from(v6)];
            (overhead, vxlan.lower.map(|lower| lower.0))
        }
        LinkKind::Wireguard => (cluster::WIREGUARD_OVERHEAD, None),
        LinkKind::Tunnel(_) => (ipip_backend::OVERHEAD, None),
        _ => (udp_backend::OVERHEAD, None),
    }
}

fn external(state: Option<&State>, links: &[Link], netlink: &Netlink) -> String {
    if let Some(state) = state {
        return state.interface.name.clone();
    }
    let by_index = |index| links.iter().find(|link| link.index == index);
    let below = links.iter().find_map(|link| by_index(link.tunnel?.1?));
    let default = || {
        let everywhere = netlink.route_to(IpAddr::from([192, 0, 2, 1])).ok()??;
        by_index(everywhere.link?.0)
    };
    let found = below.or_else(default);
    found.map(|link| link.name.clone()).unwrap_or_default()
}

fn unserved(state: &State) -> Vec<String> {
    let nodes = state.peers.nodes.iter();
    let unserved = nodes.filter(|node| node.state == Served::Unserved);
    unserved.flat_map(|node| node.subnets.clone()).collect()
}

fn peers(
    netlink: &Netlink,
    facts: &Facts,
    config: &NetworkConfig,
    listing: &Listing,
    unserved: &[String],
) -> kernel::Result<Vec<Peer>> {
    let own: Option<Subnets> = match &facts.subnet_env {
        Some(Ok(env)) => Some(env.subnets()),
        _ => None,
    };
    let addresses = facts.links.iter().flat_map(|link| &link.addresses);
    let addresses: Vec<IpAddr> = addresses.map(IpNetwork::ip).collect();
    let mut found = Vec::new();
    for &family in &facts.families {
        let kernel = InKernel::read(netlink, facts, config, family)?;
        for record in &listing.records {
            let subnet = family.subnet(&record.subnets);
            let (Some(subnet), Some(public)) = (subnet, family.public_ip(&record.attrs)) else {
                continue;
            };
            let served = record.attrs.backend_type == lease_type(config)
                && Some(record.subnets) != own
                && !addresses.contains(&public)
                && !unserved.contains(&subnet.to_string());
            if served && found.len() < PEERS {
                found.push(kernel.peer(netlink, facts, subnet, public, &record.attrs)?);
            }
        }
    }
    Ok(found)
}

/// The `BackendType` of leases that this node serves.
fn lease_type(config: &NetworkConfig) -> &str {
    match config.backend.kind.as_str() {
        // As flannel's, it publishes none.
        "udp" => "",
        kind => kind,
    }
}

/// What the kernel has for one family.
struct InKernel {
    family: Family,
    /// The tunnel device, or the external interface.
    device: String,
    vxlan: bool,
    direct: bool,
    neighbours: Vec<Neighbour>,
    fdb: Vec<FdbEntry>,
}

/// The tunnel of a family; `None` for a backend without tunnels.
fn device(config: &NetworkConfig, family: Family) -> Option<String> {
    let ipv6 = family == Family::V6;
    match config.backend.kind.as_str() {
        "vxlan" => {
            let vni = config.backend.object().integer("VNI").ok().flatten();
            let vni = vni.and_then(|vni| u32::try_from(vni).ok());
            Some(cluster::vxlan_device(vni.unwrap_or(1), ipv6))
        }
        "wireguard" => {
            let options = WireguardOptions::parse(config).ok()?;
            Some(options.device(ipv6).to_owned())
        }
        "ipip" => Some(cluster::IPIP_DEVICE.to_owned()),
        "udp" => Some(cluster::UDP_DEVICE.to_owned()),
        _ => None,
    }
}

impl InKernel {
    fn read(
        netlink: &Netlink,
        facts: &Facts,
        config: &NetworkConfig,
        family: Family,
    ) -> kernel::Result<Self> {
        let options = config.backend.object();
        let vxlan = config.backend.kind == "vxlan";
        let device = device(config, family).unwrap_or_else(|| facts.external.clone());
        let link = facts.link(&device).map(|link| LinkIndex(link.index));
        let link = link.filter(|_| vxlan);
        Ok(Self {
            family,
            vxlan,
            direct: options.bool("DirectRouting").ok().flatten() == Some(true),
            neighbours: link.map_or(Ok(Vec::new()), |link| netlink.neighbours(link))?,
            fdb: link.map_or(Ok(Vec::new()), |link| netlink.fdb(link))?,
            device,
        })
    }

    fn peer(
        &self,
        netlink: &Netlink,
        facts: &Facts,
        subnet: IpNetwork,
        public: IpAddr,
        attrs: &LeaseAttrs,
    ) -> kernel::Result<Peer> {
        let leaves_by = way(netlink, facts, inside(subnet))?;
        // With DirectRouting a peer on the same link needs its route alone.
        let straight = self.direct && leaves_by.as_ref() == Some(&facts.external);
        let mac = mac(self.family, attrs).filter(|_| self.vxlan && !straight);
        let gateway = subnet.network();
        let neighbour = self
            .neighbours
            .iter()
            .find(|entry| entry.address == gateway);
        let entry = self.fdb.iter().find(|entry| Some(entry.mac) == mac);
        Ok(Peer {
            subnet,
            public,
            device: match straight {
                true => facts.external.clone(),
                false => self.device.clone(),
            },
            leaves_by,
            reached_by: way(netlink, facts, public)?,
            mac,
            neighbour: neighbour.map(|entry| entry.mac),
            endpoint: entry.map(|entry| entry.dst),
        })
    }
}

fn mac(family: Family, attrs: &LeaseAttrs) -> Option<MacAddr> {
    let data: Option<&RawJson> = match family {
        Family::V4 => attrs.backend_data.as_ref(),
        Family::V6 => attrs.backend_v6_data.as_ref(),
    };
    VtepData::parse(data?).ok().map(|data| MacAddr(data.mac))
}

/// The first address of a subnet behind its own, where a pod may be.
fn inside(subnet: IpNetwork) -> IpAddr {
    match subnet.network() {
        IpAddr::V4(first) => IpAddr::V4((first.to_bits() | 1).into()),
        IpAddr::V6(first) => IpAddr::V6((first.to_bits() | 1).into()),
    }
}

fn way(netlink: &Netlink, facts: &Facts, to: IpAddr) -> kernel::Result<Option<String>> {
    // A blackhole is an answer with EINVAL, a prohibition one with EACCES: no way.
    let route = netlink.route_to(to).ok().flatten();
    let link = route.and_then(|route| route.link);
    let named = |index: LinkIndex| facts.links.iter().find(|link| link.index == index.0);
    Ok(link.and_then(named).map(|link| link.name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_backend_has_its_device() {
        for (backend, v4, v6) in [
            (
                r#""Type":"vxlan","VNI":7"#,
                Some("flannel.7"),
                Some("flannel-v6.7"),
            ),
            (
                r#""Type":"wireguard""#,
                Some("flannel-wg"),
                Some("flannel-wg-v6"),
            ),
            (
                r#""Type":"wireguard","Mode":"auto""#,
                Some("flannel-wg"),
                Some("flannel-wg"),
            ),
            (r#""Type":"host-gw""#, None, None),
        ] {
            let text = format!(
                r#"{{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48",
                    "Backend":{{{backend}}}}}"#
            );
            let config = NetworkConfig::parse(text.as_bytes()).expect("config");
            assert_eq!(device(&config, Family::V4).as_deref(), v4, "{backend}");
            assert_eq!(device(&config, Family::V6).as_deref(), v6, "{backend}");
        }
    }
}

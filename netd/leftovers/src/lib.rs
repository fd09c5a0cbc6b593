//! What netd and flanneld leave in a node's kernel when they end, so that the nodes stay joined
//! until one of them starts again; and how each thing goes. Told apart from what is other people's
//! by names that are flannel's alone and by netd's route protocol.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use kernel::iptables::{self, Iptables};
use kernel::nft::{Nft, Table, TableFamily, Transaction};
use kernel::{Family, Link, LinkKind, Netlink, Route, RouteFilter};

/// iptables' chains: table, chain, the chain that jumps there, the comment of their rules.
const CHAINS: [(&str, &str, &str, &str); 2] = [
    ("filter", "FLANNEL-FWD", "FORWARD", "flanneld forward"),
    ("nat", "FLANNEL-POSTRTG", "POSTROUTING", "flanneld masq"),
];
/// nftables' tables (`EnableNFTables`).
const TABLES: [(TableFamily, &str); 2] = [
    (TableFamily::Ip, "flannel-ipv4"),
    (TableFamily::Ip6, "flannel-ipv6"),
];

/// Why something cannot be looked at, or stays.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// iptables.
    #[error(transparent)]
    Iptables(#[from] iptables::Error),
    /// It was empty, or was to be.
    #[error("somebody has put something into nftables table {0}")]
    InUse(String),
}

type Remove = Box<dyn FnOnce() -> Result<(), Error>>;

/// One thing that was left.
pub struct Leftover {
    /// What it is, for people.
    pub what: String,
    remove: Remove,
}

impl Leftover {
    fn new(what: String, remove: impl FnOnce() -> Result<(), Error> + 'static) -> Self {
        Self {
            what,
            remove: Box::new(remove),
        }
    }

    /// Takes it away. What is gone already is as good as removed.
    ///
    /// # Errors
    /// It stays.
    pub fn remove(self) -> Result<(), Error> {
        (self.remove)()
    }
}

/// All that is there, in the order in which it goes: rules, routes, devices.
///
/// # Errors
/// Something cannot be looked at.
pub fn look() -> Result<Vec<Leftover>, Error> {
    let netlink = Netlink::open()?;
    let mut found = rules()?;
    found.extend(tables()?);
    found.extend(routes(&netlink)?);
    found.extend(devices(&netlink)?);
    Ok(found)
}

/// Routes by netd's protocol number, in all tables. Those that flanneld made go with its devices, or
/// are found by [`routes_to`].
fn routes(netlink: &Netlink) -> Result<Vec<Leftover>, Error> {
    let filter = RouteFilter {
        protocol: Some(Route::PROTOCOL_PODWIRE),
        ..RouteFilter::default()
    };
    let routes = netlink.routes(&filter)?.into_iter();
    let ours = routes.filter(|route| route.protocol == Route::PROTOCOL_PODWIRE);
    let leftover = |route: Route| {
        let what = format!("route {}", route.dst);
        Leftover::new(what, move || gone(Netlink::open()?.delete_route(&route)))
    };
    Ok(ours.map(leftover).collect())
}

/// Routes as flanneld makes them where nodes need no tunnel (host-gw, `DirectRouting`), which bear no
/// mark of its: to exactly a node's leased subnet, through that node's public address. `peers`:
/// the two, of each lease. A route to anything else, through anybody else, or with a metric or the like,
/// is not among them.
///
/// # Errors
/// Routes cannot be looked at.
pub fn routes_to(peers: &[(IpNetwork, IpAddr)]) -> Result<Vec<Leftover>, Error> {
    let filter = RouteFilter {
        protocol: Some(Route::PROTOCOL_BOOT),
        ..RouteFilter::default()
    };
    let found = Netlink::open()?.routes(&filter)?.into_iter();
    let is_flannels = |route: &Route| {
        let flannels = |(subnet, node): &(IpNetwork, IpAddr)| Route {
            gateway: Some(*node),
            link: route.link,
            ..Route::to(*subnet)
        };
        let seen = route.clone().normalised();
        peers.iter().any(|peer| flannels(peer).normalised() == seen)
    };
    let leftover = |route: Route| {
        let router = route.gateway.map(|node| format!(" via {node}"));
        let what = format!(
            "route {}{} of flanneld's",
            route.dst,
            router.unwrap_or_default()
        );
        Leftover::new(what, move || gone(Netlink::open()?.delete_route(&route)))
    };
    Ok(found.filter(is_flannels).map(leftover).collect())
}

fn devices(netlink: &Netlink) -> Result<Vec<Leftover>, Error> {
    let links = netlink.links()?;
    let mut found = Vec::new();
    for link in links.into_iter().filter(is_flannels) {
        let routes = netlink.routes(&RouteFilter {
            link: Some(link.index),
            ..RouteFilter::default()
        })?;
        let is_flannels = |route: &&Route| {
            route.link == Some(link.index) && route.protocol == Route::PROTOCOL_BOOT
        };
        let what = match routes.iter().filter(is_flannels).count() {
            0 => format!("link {}", link.name),
            count => format!("link {} with {count} routes of flanneld's", link.name),
        };
        let remove = move || gone(Netlink::open()?.delete_link(link.index));
        found.push(Leftover::new(what, remove));
    }
    Ok(found)
}

/// A name of flannel's on a device of the kind that flannel gives it. A name alone could be
/// anybody's.
pub fn is_flannels(link: &Link) -> bool {
    let name = link.name.as_str();
    match &link.kind {
        LinkKind::Vxlan(_) => cluster::is_vxlan_device(name),
        LinkKind::Wireguard => cluster::is_wireguard_device(name),
        LinkKind::Tunnel(_) => cluster::is_ipip_device(name),
        LinkKind::Tap(_) => cluster::is_udp_device(name),
        _ => false,
    }
}

/// In whichever flavour of iptables they are. Without a program for a flavour there are no rules
/// in it that could be removed; nothing is asked of the old kernel interface that it does not
/// have, since asking would make it.
fn rules() -> Result<Vec<Leftover>, Error> {
    let mut found = Vec::new();
    for family in Family::ALL {
        for flavour in [Flavour::Chosen, Flavour::Nft, Flavour::Legacy] {
            for (table, chain, from, comment) in CHAINS {
                let Some(iptables) = flavour.open(family, table) else {
                    continue;
                };
                let lines = iptables.list(table)?;
                let program = iptables.program();
                if lines.iter().any(|line| line.declares(chain)) {
                    let what = format!("chain {chain} in the {table} table of {program}");
                    found.push(Leftover::new(what, move || {
                        flavour.open(family, table).map_or(Ok(()), |iptables| {
                            iptables.remove_chain(table, chain).map(drop)
                        })?;
                        Ok(())
                    }));
                }
                let direct = |line: &&iptables::Line| {
                    line.is_rule_of(from)
                        && line.value("--comment") == Some(comment)
                        && line.target() != Some(chain)
                };
                let count = lines.iter().filter(direct).count();
                if count > 0 {
                    let what = format!(
                        "{count} rules {comment:?} in {from} of the {table} table of {program}"
                    );
                    let deletions = lines.iter().filter(direct);
                    let deletions: Vec<String> =
                        deletions.filter_map(iptables::Line::deletion).collect();
                    found.push(Leftover::new(what, move || {
                        flavour
                            .open(family, table)
                            .map_or(Ok(()), |iptables| iptables.restore(table, &deletions))?;
                        Ok(())
                    }));
                }
            }
        }
    }
    Ok(found)
}

/// Which iptables.
#[derive(Clone, Copy)]
enum Flavour {
    /// The one that the machine's owner chose.
    Chosen,
    /// nf_tables, where another is chosen.
    Nft,
    /// The old interface, where another is chosen.
    Legacy,
}

impl Flavour {
    /// Nothing where there is no such program, where it is the chosen one, or where it has no such
    /// table.
    fn open(self, family: Family, table: &str) -> Option<Iptables> {
        let chosen = Iptables::new(family).ok();
        let is_chosen = |flavour| {
            let chosen = chosen.as_ref().and_then(Iptables::flavour);
            chosen == Some(flavour)
        };
        match self {
            Self::Chosen => chosen,
            Self::Nft if is_chosen(iptables::Flavour::Nft) => None,
            Self::Nft => {
                let other = Iptables::nft(family).ok()?;
                has_nft_table(family, table).then_some(other)
            }
            Self::Legacy if is_chosen(iptables::Flavour::Legacy) => None,
            Self::Legacy => {
                let other = Iptables::legacy(family).ok()?;
                let differs = other.flavour() == Some(iptables::Flavour::Legacy);
                (differs && iptables::has_legacy_table(family, table)).then_some(other)
            }
        }
    }
}

fn has_nft_table(family: Family, name: &str) -> bool {
    let family = match family {
        Family::V4 => TableFamily::Ip,
        Family::V6 => TableFamily::Ip6,
    };
    let asked = Nft::open().and_then(|mut nft| nft.has_table(Table { family, name }));
    asked.unwrap_or(false)
}

/// A kernel without nftables has none.
fn tables() -> Result<Vec<Leftover>, Error> {
    let mut found = Vec::new();
    for (family, name) in TABLES {
        let table = Table { family, name };
        match Nft::open().and_then(|mut nft| nft.has_table(table)) {
            Err(error) if Nft::is_unsupported(&error) => {}
            Err(error) => return Err(error.into()),
            Ok(false) => {}
            Ok(true) => found.push(Leftover::new(
                format!("nftables table {table}"),
                move || gone(Nft::open()?.commit(Transaction::new().delete_table(table))),
            )),
        }
    }
    Ok(found)
}

/// Whether a chain of iptables is flannel's.
pub fn is_flannels_chain(name: &str) -> bool {
    CHAINS.iter().any(|(_, chain, ..)| *chain == name)
}

/// Tables of iptables-nft that podwire made, and that hold nothing but chains and sets that are `ours`:
/// those are removed before.
///
/// # Errors
/// They cannot be looked at.
pub fn made_tables(ours: &dyn Fn(&str) -> bool) -> Result<Vec<Leftover>, Error> {
    let tables = iptables::made_tables(ours)?;
    let leftover = |table: Table<'static>| {
        let what = format!("nftables table {table}, which was made for iptables");
        Leftover::new(what, move || {
            let is_gone = iptables::remove_made_table(table)? || !Nft::open()?.has_table(table)?;
            match is_gone {
                true => Ok(()),
                false => Err(Error::InUse(table.to_string())),
            }
        })
    };
    Ok(tables.into_iter().map(leftover).collect())
}

fn gone(outcome: kernel::Result<()>) -> Result<(), Error> {
    match outcome {
        Err(error) if error.is_gone() => Ok(()),
        outcome => Ok(outcome?),
    }
}

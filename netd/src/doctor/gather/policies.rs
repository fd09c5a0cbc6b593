//! Base chains of iptables and nftables that drop what no rule accepts.

use backend::Family;
use cluster::NetworkConfig;
use ipnetwork::IpNetwork;
use kernel::iptables::{self, Flavour, Iptables, Line};
use kernel::nft::{Key, Nft, Point, Policy, Rule, Table, TableFamily};

use super::super::facts::{Dropping, Facts, Link};
use super::super::passing::{self, Way};

/// What is looked for in each chain.
struct Pods {
    network: IpNetwork,
    ways: [Way; 2],
    /// netd's own rules are of nftables.
    nftables: bool,
}

/// Those of all families that the cluster has.
pub(super) fn read(config: Option<&NetworkConfig>, facts: &Facts) -> Vec<Dropping> {
    let mut found = Vec::new();
    for family in &facts.families {
        let Some(pods) = Pods::of(*family, config, facts) else {
            continue;
        };
        let family = kernel::Family::from(*family);
        let programs = programs(family);
        found.extend(programs.iter().filter_map(|one| of_iptables(one, &pods)));
        let by_iptables = programs.iter().any(is_of_nftables);
        found.extend(of_nftables(family, by_iptables, &pods));
    }
    found
}

impl Pods {
    fn of(family: Family, config: Option<&NetworkConfig>, facts: &Facts) -> Option<Self> {
        let env = facts.subnet_env.as_ref().and_then(|env| env.as_ref().ok());
        let network = passing::network(family, config, env)?;
        let mut own = facts.own_subnets().into_iter();
        let own = own.find(|own| own.is_ipv4() == network.is_ipv4());
        let names = |links: &mut dyn Iterator<Item = &Link>| -> Vec<String> {
            links.map(|link| link.name.clone()).collect()
        };
        let bridges = names(&mut facts.pod_bridges());
        let mut carriers = names(&mut facts.tunnels().map(|(link, ..)| link));
        if carriers.is_empty() {
            carriers.push(facts.external.clone());
        }
        Some(Self {
            network,
            ways: Way::both(network, own, &bridges, &carriers),
            nftables: config.is_some_and(|config| config.nftables),
        })
    }

    fn pass(&self, rules: &[Rule], chain: &str, sets: passing::Sets<'_>) -> bool {
        let mut ways = self.ways.iter();
        ways.all(|way| way.passes(rules, chain, sets))
    }
}

/// The flavour that was chosen, and the old one beside it where it has a table.
fn programs(family: kernel::Family) -> Vec<Iptables> {
    let chosen = Iptables::new(family).ok();
    let legacy = Iptables::legacy(family).ok().filter(|legacy| {
        let is_other = |chosen: &Iptables| chosen.flavour() != Some(Flavour::Legacy);
        legacy.flavour() == Some(Flavour::Legacy)
            && chosen.as_ref().is_none_or(is_other)
            && iptables::has_legacy_table(family, "filter")
    });
    chosen.into_iter().chain(legacy).collect()
}

fn is_of_nftables(program: &Iptables) -> bool {
    program.flavour() != Some(Flavour::Legacy)
}

fn of_iptables(iptables: &Iptables, pods: &Pods) -> Option<Dropping> {
    let lines = iptables.list("filter").ok()?;
    let drops = |line: &Line| {
        line.declares("FORWARD") && line.rule().first().is_some_and(|policy| policy == "DROP")
    };
    lines.iter().find(|line| drops(line))?;
    let rules: Vec<Rule> = lines.iter().filter_map(passing::of_iptables).collect();
    let (program, network) = (iptables.program(), pods.network);
    Some(Dropping {
        name: format!("the chain FORWARD of {program}"),
        network,
        accepts_pods: pods.pass(&rules, "FORWARD", &|_| Vec::new()),
        command: format!(
            "{program} -I FORWARD -s {network} -j ACCEPT; {program} -I FORWARD -d {network} -j ACCEPT"
        ),
        is_netds: !pods.nftables && !program.contains("legacy"),
    })
}

/// `by_iptables`: iptables tells of its own chain.
fn of_nftables(family: kernel::Family, by_iptables: bool, pods: &Pods) -> Vec<Dropping> {
    let mut found = Vec::new();
    let Ok(mut nft) = Nft::open() else {
        return found;
    };
    let (own, keyword) = match family {
        kernel::Family::V4 => (TableFamily::Ip, "ip"),
        kernel::Family::V6 => (TableFamily::Ip6, "ip6"),
    };
    for family in [TableFamily::Inet, own] {
        for name in nft.tables(family).unwrap_or_default() {
            let table = Table {
                family,
                name: &name,
            };
            if nft.is_dormant(table).unwrap_or(false) {
                continue;
            }
            let is_iptables = |chain: &str| {
                by_iptables && family == own && name == "filter" && chain == "FORWARD"
            };
            for chain in nft.chains(table).unwrap_or_default() {
                let drops = chain.hook.is_some_and(|hook| {
                    hook.point == Point::Forward && hook.policy == Policy::Drop
                });
                if !drops || is_iptables(&chain.name) {
                    continue;
                }
                let rules = nft.table_rules(table).unwrap_or_default();
                let sets = sets(&mut nft, table);
                let elements = |set: &str| {
                    let mut sets = sets.iter();
                    let found = sets.find(|(name, _)| name == set);
                    found.map(|(_, keys)| keys.clone()).unwrap_or_default()
                };
                let (chain, network) = (chain.name, pods.network);
                found.push(Dropping {
                    name: format!("the chain {chain} of the nftables table {table}"),
                    network,
                    accepts_pods: pods.pass(&rules, &chain, &elements),
                    command: format!(
                        "nft insert rule {table} {chain} {keyword} saddr {network} accept; \
                         nft insert rule {table} {chain} {keyword} daddr {network} accept"
                    ),
                    is_netds: false,
                });
            }
        }
    }
    found
}

/// What the sets of a table hold.
fn sets(nft: &mut Nft, table: Table<'_>) -> Vec<(String, Vec<Key>)> {
    let mut found = Vec::new();
    for set in nft.sets(table).unwrap_or_default() {
        let Some(kind) = set.kind else { continue };
        let elements = nft.elements(table, &set.name, &kind).unwrap_or_default();
        let keys = elements.into_iter().map(|element| element.key).collect();
        found.push((set.name, keys));
    }
    found
}

//! ADD: a list of steps, each of which leaves its inverse on the undo stack.

use std::collections::BTreeSet;

use attach::{
    check::own_addresses,
    holdings::in_order,
    netns::{self, interface_name},
    route::{Gateways, TABLE_MAIN},
    settle,
};
use cni::{AddResult, Attachment, Call, IpConfig};
use kernel::{Change, Link, Route, RouteFilter, Rule, Undo, undo};

use crate::{
    config::Config,
    error::Error,
    plan::{self, Source},
    pod::Pod,
};

/// Routes what the pod sends from the interface's addresses by tables of their own, and passes the
/// result on. A failure leaves the pod as it was.
///
/// # Errors
/// The configuration cannot work; there is no result before this plugin's, or none with addresses;
/// a step failed.
pub(crate) fn add(call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, cni::Error> {
    let config = Config::read(call)?;
    let previous = call.prev_result()?.ok_or(Error::NotChained)?;
    let interface = attachment.ifname.as_str();
    if previous.ips.is_empty() {
        return Err(Error::NoAddresses(interface.to_owned()).into());
    }
    let ips: Vec<&IpConfig> = own_addresses(interface, &previous).collect();
    let pod = Pod::enter(&netns::open(&attachment.netns)?)?;
    let link = pod.link(&interface_name(interface)?)?;
    // With none of them the interface has nothing to do here, and its routes stay.
    if !ips.is_empty() {
        arrange(&pod, &link, &ips, &config)?;
    }
    Ok(previous)
}

fn arrange(pod: &Pod, link: &Link, ips: &[&IpConfig], config: &Config) -> Result<(), Error> {
    let mut undo = Undo::new();
    match config {
        Config::Given { table } => {
            let rule = |ip: &&IpConfig| plan::rule(ip.address.ip(), *table);
            add_rules(pod, ips.iter().map(rule).collect(), &mut undo)?;
        }
        Config::Own { gateways, hints } => {
            let sources = sources(pod, ips)?;
            let main = pod.routes(TABLE_MAIN, link)?;
            fill_tables(pod, link, &sources, &main, gateways, &mut undo)?;
            let rule = |source: &Source| plan::rule(source.address.ip(), source.table);
            add_rules(pod, sources.iter().map(rule).collect(), &mut undo)?;
            leave_main(pod, link, &sources, &main, *hints, &mut undo)?;
        }
    }
    undo.commit();
    Ok(())
}

/// Each address with a table that no rule and no route uses.
fn sources(pod: &Pod, ips: &[&IpConfig]) -> Result<Vec<Source>, Error> {
    let routes = pod.netlink.routes(&RouteFilter::default())?;
    let mut used: BTreeSet<u32> = routes.iter().map(|route| route.table).collect();
    used.extend(pod.netlink.tables_of_rules()?);
    let tables = plan::free_tables(&used);
    let source = |(ip, table): (&&IpConfig, u32)| Source {
        address: ip.address,
        gateway: ip.gateway,
        table,
    };
    Ok(ips.iter().zip(tables).map(source).collect())
}

/// The tables come before the rules that lead to them.
fn fill_tables<'a>(
    pod: &'a Pod,
    link: &Link,
    sources: &[Source],
    main: &[Route],
    gateways: &Gateways,
    undo: &mut Undo<'a>,
) -> Result<(), Error> {
    let table = |source| plan::table_of(source, link.index, main, gateways);
    let routes: Vec<Route> = sources.iter().flat_map(table).collect();
    let added: Vec<Change> = routes.iter().cloned().map(Change::AddRoute).collect();
    let made = pod.apply(&added);
    let inverse: Vec<Change> = routes.into_iter().map(Change::DeleteRoute).collect();
    undo.push("routes of the tables", move || revert(pod, &inverse))?;
    made
}

fn add_rules<'a>(pod: &'a Pod, rules: Vec<Rule>, undo: &mut Undo<'a>) -> Result<(), Error> {
    let there: Vec<Rule> = pod.netlink.rules()?;
    for rule in rules {
        let says_the_same = |seen: &Rule| {
            let seen = Rule {
                priority: None,
                ..seen.clone()
            };
            seen == rule
        };
        // The kernel would take it twice, with another priority.
        if there.iter().any(says_the_same) {
            continue;
        }
        pod.netlink
            .add_rule(&rule)
            .map_err(|source| Error::AddRule {
                rule: rule.to_string(),
                source: source.into(),
            })?;
        undo.push("rule", move || Ok(pod.netlink.delete_rule(&rule)?))?;
    }
    Ok(())
}

/// The interface's routes leave the main table, or with `hints` all but those to its subnets, which
/// get the addresses as sources.
fn leave_main<'a>(
    pod: &'a Pod,
    link: &Link,
    sources: &[Source],
    main: &[Route],
    hints: bool,
    undo: &mut Undo<'a>,
) -> Result<(), Error> {
    let hint = |source: &Source| plan::hint(source.address, link.index);
    let hints: Vec<Route> = match hints {
        true => sources.iter().map(hint).collect(),
        false => Vec::new(),
    };
    if hints.iter().any(|hint| hint.dst.is_ipv6()) {
        // The kernel takes no route from an address that it does not use yet.
        settle::settle(&pod.netlink, &link.name, link.index)?;
    }
    let replaced = hints.iter().cloned().map(Change::ReplaceRoute);
    let leaving = plan::leaving(main, &hints);
    let changes: Vec<Change> = replaced
        .chain(leaving.into_iter().map(Change::DeleteRoute))
        .collect();
    let made = pod.apply(&changes);
    let back = in_order(main.iter().cloned())
        .into_iter()
        .map(Change::AddRoute);
    let inverse: Vec<Change> = hints
        .into_iter()
        .map(Change::DeleteRoute)
        .chain(back)
        .collect();
    undo.push("routes of the main table", move || revert(pod, &inverse))?;
    made
}

fn revert(pod: &Pod, changes: &[Change]) -> undo::Outcome {
    Ok(pod.apply(changes)?)
}

//! DEL: the rules for the interface's addresses go, and the tables that only they led to.

use std::{collections::BTreeSet, net::IpAddr};

use attach::{
    Errors, Identity, chained,
    check::own_addresses,
    netns::{self, interface_name},
};
use cni::{AddResult, Call, Detachment};
use kernel::{Change, Link, Netlink, Rule, if_there};

use crate::{
    config::{self, NetConf},
    error::Error,
    plan,
    pod::Pod,
};

/// Releases what ADD made, whether podwire or the reference plugin made it. Without a namespace that
/// is done.
///
/// # Errors
/// All that failed; what could be released is released.
pub(crate) fn del(call: &Call<'_>, attachment: &Detachment) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    let conf: NetConf = call.config().unwrap_or_else(|error| {
        errors.note(Err(error));
        NetConf::default()
    });
    // Unreadable is as good as none: the runtime may have lost it.
    let added = call.prev_result().unwrap_or_default();
    // A table that ADD refused has no rules.
    let table = conf.table.and_then(|number| config::table(number).ok());
    let owner = Identity::new(call, attachment);
    let released = release(owner, attachment, added.as_ref(), table, &mut errors);
    errors.note(released.map_err(cni::Error::from));
    errors.into_result()
}

fn release(
    owner: Identity<'_>,
    attachment: &Detachment,
    added: Option<&AddResult>,
    table: Option<u32>,
    errors: &mut Errors,
) -> Result<(), Error> {
    let Some(ns) = netns::open_if_there(attachment.netns.as_deref())? else {
        return Ok(());
    };
    let pod = Pod::enter(&ns)?;
    // A name that the kernel does not know is no link's.
    let Ok(interface) = interface_name(owner.ifname) else {
        return Ok(());
    };
    let link = pod.netlink.link(&interface)?;
    if let (None, Some(link)) = (added, &link)
        && chained::is_anothers(&Netlink::open()?, link, owner)?
    {
        return Ok(());
    }
    let sources = addresses(&pod, added, interface.as_str(), link.as_ref())?;
    let is_ours = |rule: &Rule| {
        plan::source_of(rule).is_some_and(|source| sources.contains(&source))
            && table.is_none_or(|table| rule.table == table)
    };
    let (ours, others): (Vec<Rule>, Vec<Rule>) =
        pod.netlink.rules()?.into_iter().partition(is_ours);
    for rule in &ours {
        let deleted = delete(&pod, rule);
        errors.note(deleted.map_err(cni::Error::from));
    }
    match (table, link) {
        (None, Some(link)) => empty_tables(&pod, &link, &ours, &others),
        // A table of somebody else's; an interface that took its routes along.
        _ => Ok(()),
    }
}

/// The interface's addresses in the result. Without one those that it has.
fn addresses(
    pod: &Pod,
    added: Option<&AddResult>,
    interface: &str,
    link: Option<&Link>,
) -> Result<Vec<IpAddr>, Error> {
    match (added, link) {
        (Some(added), _) => {
            let own = own_addresses(interface, added);
            Ok(own.map(|ip| ip.address.ip()).collect())
        }
        (None, Some(link)) => {
            let seen = if_there(pod.netlink.addresses(Some(link.index)))?;
            Ok(seen
                .iter()
                .flatten()
                .map(|seen| seen.address.ip())
                .collect())
        }
        (None, None) => Ok(Vec::new()),
    }
}

fn delete(pod: &Pod, rule: &Rule) -> Result<(), Error> {
    let deleted = if_there(pod.netlink.delete_rule(rule)).map(drop);
    deleted.map_err(|source| Error::DeleteRule {
        rule: rule.to_string(),
        source: source.into(),
    })
}

/// Takes the interface's routes out of the tables that no rule leads to any more.
fn empty_tables(pod: &Pod, link: &Link, ours: &[Rule], others: &[Rule]) -> Result<(), Error> {
    let kept: BTreeSet<u32> = others.iter().map(|rule| rule.table).collect();
    let tables: BTreeSet<u32> = ours.iter().map(|rule| rule.table).collect();
    for table in tables.difference(&kept) {
        // A link that goes meanwhile takes them along.
        let routes = if_there(pod.routes(*table, link))?.into_iter().flatten();
        let changes: Vec<Change> = routes.map(Change::DeleteRoute).collect();
        pod.apply(&changes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kernel::{
        NetNs,
        testing::{World, link_that_went},
    };

    use super::*;

    #[test]
    fn what_goes_meanwhile_is_released() {
        let Some(world) = World::new() else { return };
        let ns = world.pod("pod");
        NetNs::remove(ns.path()).unwrap();
        let pod = Pod::enter(&ns).unwrap();
        let link = link_that_went(&pod.netlink);
        assert!(
            addresses(&pod, None, "eth0", Some(&link))
                .unwrap()
                .is_empty()
        );
        let rule = plan::rule("10.22.0.5".parse().unwrap(), 100);
        delete(&pod, &rule).unwrap();
        empty_tables(&pod, &link, &[rule], &[]).unwrap();
    }
}

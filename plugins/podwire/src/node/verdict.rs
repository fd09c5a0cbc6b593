//! Which attachments live, and what does not belong together.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use attach::owner::Owner;

use super::{Attachment, Node, NodeError, namespaces};

/// Judges all of them. Namespaces are searched for addresses only when there is an attachment that
/// nothing else says to be alive.
pub(super) fn judge(node: &mut Node) -> Result<(), NodeError> {
    for attachment in node.attachments.values_mut() {
        for netns in &attachment.netns {
            attachment.living |= namespaces::is_there(netns)?;
        }
    }
    if node.attachments.values().any(|one| !one.living) {
        let used = namespaces::addresses_in_use()?;
        for attachment in node.attachments.values_mut() {
            attachment.living |= !attachment.addresses.is_disjoint(&used);
        }
    }
    let reserving: BTreeSet<&String> = node.reserving.values().collect();
    let holders = holders(node);
    for (owner, attachment) in &mut node.attachments {
        attachment.problems = match attachment.living {
            _ if !attachment.unread.is_empty() => attachment.unread.clone(),
            false => of_gone(attachment),
            true => {
                let mut problems = of_living(attachment);
                if reserving.contains(&owner.network) {
                    problems.extend(of_addresses(owner, attachment, &holders));
                }
                problems
            }
        };
    }
    Ok(())
}

/// Whom addresses are reserved for, by network.
type Holders = BTreeMap<(String, IpAddr), Owner>;

fn holders(node: &Node) -> Holders {
    let reserved = |(owner, attachment): (&Owner, &Attachment)| {
        let addresses = attachment.reserved.clone().into_iter();
        let owner = owner.clone();
        addresses.map(move |address| ((owner.network.clone(), address), owner.clone()))
    };
    node.attachments.iter().flat_map(reserved).collect()
}

/// Each address of a pod must be reserved for it, or another pod may get it. Those of loopback are
/// everybody's.
fn of_addresses(owner: &Owner, attachment: &Attachment, holders: &Holders) -> Vec<String> {
    let addresses: Vec<&IpAddr> = attachment
        .addresses
        .iter()
        .filter(|address| !address.is_loopback())
        .collect();
    let has_no_other = addresses.is_empty() && !attachment.addresses.is_empty();
    let holder = |address: &IpAddr| holders.get(&(owner.network.clone(), *address));
    if !has_no_other && addresses.iter().all(|address| holder(address).is_none()) {
        return vec!["no address is reserved".to_owned()];
    }
    let problem = |address: &IpAddr| match holder(address) {
        None => Some(format!("{address} is not reserved")),
        Some(other) if other == owner || other.container_id.is_empty() => None,
        Some(other) => {
            let Owner {
                container_id,
                ifname,
                ..
            } = other;
            Some(format!("{address} is reserved for {container_id}/{ifname}"))
        }
    };
    addresses.into_iter().filter_map(problem).collect()
}

fn of_living(attachment: &Attachment) -> Vec<String> {
    let missing = attachment.host_links.iter();
    let mut problems: Vec<String> = missing
        .map(|name| format!("link {name} is missing"))
        .collect();
    let rules = attachment.remembered.difference(&attachment.at_work);
    problems.extend(rules.map(|kind| format!("{kind} is missing")));
    let known_by_others = !attachment.cached.is_empty()
        || !attachment.links.is_empty()
        || !attachment.remembered.is_empty();
    if !known_by_others && !attachment.reserved.is_empty() {
        problems.push("only its address is known".to_owned());
    }
    problems
}

fn of_gone(attachment: &Attachment) -> Vec<String> {
    let rules: BTreeSet<&str> = attachment
        .rules
        .union(&attachment.remembered)
        .copied()
        .collect();
    let parts = [
        (!attachment.reserved.is_empty(), "address"),
        (!attachment.links.is_empty(), "link"),
        (!rules.is_empty(), "rules"),
        (!attachment.cached.is_empty(), "cached result"),
    ];
    let left: Vec<&str> = parts
        .into_iter()
        .filter_map(|(is_left, what)| is_left.then_some(what))
        .collect();
    vec![format!("{} without a pod", left.join(", "))]
}

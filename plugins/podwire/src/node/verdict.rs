//! Which attachments live, and what does not belong together.

use std::collections::BTreeSet;

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
    for (owner, attachment) in &mut node.attachments {
        let problems = match attachment.living {
            true => of_living(attachment, reserving.contains(&owner.network)),
            false => of_gone(attachment),
        };
        attachment.problems = problems;
    }
    Ok(())
}

fn of_living(attachment: &Attachment, is_reserving: bool) -> Vec<String> {
    let missing = attachment.host_links.iter();
    let mut problems: Vec<String> = missing
        .map(|name| format!("link {name} is missing"))
        .collect();
    let rules = attachment.remembered.difference(&attachment.rules);
    problems.extend(rules.map(|kind| format!("{kind} is missing")));
    if is_reserving && attachment.reserved.is_empty() {
        problems.push("no address is reserved".to_owned());
    }
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

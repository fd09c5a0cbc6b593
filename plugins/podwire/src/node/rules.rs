//! Packet-filter rules: what is remembered of them, and what they say themselves.

use attach::{
    flowtable::Flowtable,
    masquerade::Masquerade,
    owner::Owner,
    record::{Life, Restorer},
};
use bridge::spoof_check::SpoofCheck;
use firewall::FirewallRules;
use portmap::PortMappings;

use super::{Node, NodeError};

/// Every kind of rules that attachments have.
pub(crate) static RESTORERS: &[Restorer] = &[
    Restorer::of::<Masquerade>(),
    Restorer::of::<PortMappings>(),
    Restorer::of::<FirewallRules>(),
    Restorer::of::<SpoofCheck>(),
    Restorer::of::<Flowtable>(),
];

/// Puts in what is remembered.
pub(super) fn collect_remembered(node: &mut Node) -> Result<(), NodeError> {
    for restorer in RESTORERS {
        let what = format!("look at {}", restorer.kind);
        for seen in (restorer.look)().map_err(NodeError::new(what))? {
            if seen.life == Life::Elsewhere {
                continue;
            }
            let record = seen.record;
            let attachment = node.at(Owner {
                network: record.network,
                container_id: record.container_id,
                ifname: record.ifname,
            });
            let addresses = record.addresses.iter().map(|address| address.ip());
            attachment.addresses.extend(addresses);
            attachment.netns.insert(record.netns);
            attachment.living |= matches!(seen.life, Life::Living | Life::Unseen);
            attachment.remembered.insert(restorer.kind);
            attachment.seen_since(Some(seen.since));
            if seen.has_rules {
                attachment.rules.insert(restorer.kind);
                attachment.at_work.insert(restorer.kind);
            }
        }
    }
    Ok(())
}

/// Puts in what rules say.
pub(super) fn collect_owners(node: &mut Node) -> Result<(), NodeError> {
    for restorer in RESTORERS {
        let what = format!("read rules of {}", restorer.kind);
        for owner in (restorer.owners)().map_err(NodeError::new(what))? {
            node.at(owner).rules.insert(restorer.kind);
        }
    }
    Ok(())
}

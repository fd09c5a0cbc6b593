//! Partitions: a table of nftables on the underlay drops the frames between two of its ports.

use anyhow::{Context, Result};
use kernel::NetNs;
use kernel::nft::{
    ChainKind, Existing, Hook, Match, NewChain, NewRule, Nft, Point, Policy, Priority, Table,
    TableFamily, Test, Transaction, Verdict,
};
use sandbox::Process;

use super::Fault;
use super::note::Notes;

const TABLE: Table<'_> = Table {
    family: TableFamily::Bridge,
    name: "lab_partitions",
};
const CHAIN: NewChain<'_> = NewChain {
    name: "forward",
    hook: Some(Hook {
        kind: ChainKind::Filter,
        point: Point::Forward,
        priority: Priority::filter(TableFamily::Bridge),
        policy: Policy::Accept,
    }),
    comment: None,
};

/// Makes the underlay as the notes have it: whole, at once, whatever it was before.
///
/// # Errors
/// The kernel has no nftables for bridges, or refused.
pub(super) fn apply(keeper: &Process, notes: &Notes) -> Result<()> {
    let underlay = NetNs::open(format!("/proc/{}/ns/net", keeper.pid))?;
    // What is there already is kept, and goes in the same transaction: so it may be there or not.
    let empty = Transaction::new()
        .add_table(TABLE, None, Existing::Keep)
        .delete_table(TABLE);
    let pairs = pairs(notes);
    let wanted = if pairs.is_empty() {
        empty
    } else {
        let made = empty
            .add_table(TABLE, Some("lab fault partition"), Existing::Refuse)
            .add_chain(TABLE, CHAIN, Existing::Refuse);
        pairs.iter().fold(made, |all, [from, to]| {
            all.add_rule(TABLE, CHAIN.name, &drops(from, to))
        })
    };
    Nft::open_in(&underlay)
        .and_then(|mut nft| nft.commit(wanted))
        .context("part the underlay with a table of nftables (nf_tables_bridge)")
}

/// Every partition in both directions.
fn pairs(notes: &Notes) -> Vec<[String; 2]> {
    let directions = notes.0.iter().filter_map(|fault| match fault {
        Fault::Partition {
            nodes: [one, other],
        } => {
            let (one, other) = (one.to_string(), other.to_string());
            Some([[one.clone(), other.clone()], [other, one]])
        }
        _ => None,
    });
    directions.flatten().collect()
}

fn drops(from: &str, to: &str) -> NewRule<'static> {
    NewRule {
        matches: vec![
            Match::Is(Test::InputInterface(from.to_owned())),
            Match::Is(Test::OutputInterface(to.to_owned())),
        ],
        action: Some(Verdict::Drop.into()),
        ..NewRule::default()
    }
}

//! The nftables backend: one table of the node, an element for each mapping. Over netlink; no program is
//! run.

mod add;
mod census;
mod check;
mod claims;
mod class;
pub(crate) mod foreign;
mod items;
pub(crate) mod reference;
mod removal;
mod restore;
pub(crate) mod siblings;
mod source;
mod table;

use attach::Identity;
use ipnetwork::IpNetwork;
use kernel::nft::Nft;

pub(crate) use add::{Care, add};
pub(crate) use check::{check, has_any};
pub(crate) use removal::{Known, comments, garbage, removal};

use crate::{error::Result, settings::Settings};

/// Looks for others who have any of the ports, for rules that are not in our table.
///
/// # Errors
/// [`Taken`](crate::error::Error::Taken); what the kernel refuses.
pub(crate) fn refuse_all_taken(
    nft: &mut Nft,
    owner: &Identity<'_>,
    settings: &Settings,
    targets: &[IpNetwork],
) -> Result<()> {
    // Conditions of iptables are not those of any network here.
    let plain = Settings {
        conditions_v4: Vec::new(),
        conditions_v6: Vec::new(),
        ..settings.clone()
    };
    let rules = nft.table_rules(table::TABLE)?;
    claims::refuse_taken(nft, owner, &plain, targets, &rules)?;
    claims::refuse_occupied(nft, owner, &items::items(&plain, targets))
}

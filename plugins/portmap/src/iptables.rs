//! The iptables backend: chains, rules and comments as the reference plugin writes them, so that either
//! side finds, checks and removes what the other made. A container's chain has one more: connections to `::1` are left
//! to the host.
//!
//! iptables-nft keeps its rules in nftables, so what is there is read, and what goes is removed, over
//! netlink; a program writes them, one `iptables-restore` for each family. iptables-legacy is read by
//! its program.

mod check;
mod legacy;
mod present;
mod removal;
mod script;

use attach::Identity;
use ipnetwork::IpNetwork;
use kernel::{Family, iptables::Iptables, nft::Nft};

pub(crate) use check::check;
pub(crate) use legacy::{
    exists as exists_in_legacy, garbage as legacy_garbage, remove as remove_legacy,
};
pub(crate) use present::{exists, shared_is_missing};
pub(crate) use removal::{garbage, removal};

use crate::{
    error::{Error, Result},
    native,
    settings::Settings,
};

pub(crate) const TABLE: &str = "nat";
const PREROUTING: &str = "PREROUTING";
const OUTPUT: &str = "OUTPUT";
const POSTROUTING: &str = "POSTROUTING";
const SET_MARK: &str = "CNI-HOSTPORT-SETMARK";
const MASQUERADE: &str = "CNI-HOSTPORT-MASQ";
pub(crate) const DNAT: &str = native::foreign::HOSTPORT_DNAT;
/// Of early releases.
const EARLY_SNAT: &str = "CNI-HOSTPORT-SNAT";

/// Maps the ports. A second ADD of the attachment writes its chain anew.
///
/// # Errors
/// Another has a port; iptables is not there or refuses.
pub(crate) fn add(owner: &Identity<'_>, settings: &Settings, targets: &[IpNetwork]) -> Result<()> {
    if settings.mappings.is_empty() {
        return Ok(());
    }
    refuse_taken(owner, settings, targets)?;
    for target in targets {
        let refused = |source| Error::SetUpIptables { source };
        let program = Iptables::new(Family::from(target)).map_err(refused)?;
        let present = present::look(target.into(), &program, owner)?;
        let script = script::addition(owner, settings, target, &present);
        program.restore(TABLE, &script).map_err(refused)?;
    }
    // A pod with nftables may have claimed it between look and change; it sees these rules from now on.
    refuse_taken(owner, settings, targets)
}

/// A kernel without nftables has neither elements of ours nor rules of iptables-nft.
fn refuse_taken(owner: &Identity<'_>, settings: &Settings, targets: &[IpNetwork]) -> Result<()> {
    if !crate::record::has_nftables()? {
        return Ok(());
    }
    let mut nft = Nft::open()?;
    native::refuse_all_taken(&mut nft, owner, settings, targets)
}

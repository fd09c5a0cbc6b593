//! CHECK and STATUS.

use attach::{Identity, chained, status::not_available};
use cni::{Attachment, Call};
use ipnetwork::IpNetwork;
use kernel::{Family, iptables::Iptables, nft::Nft};

use crate::{
    config::NetConf,
    error::{Deviation, Result},
    iptables, localnet, mapping, native,
    record::has_nftables,
    settings::{Backend, Settings},
};

/// Whether the attachment's mappings are as ADD made them, ours or the reference plugin's.
///
/// # Errors
/// What is missing or different.
pub(crate) fn check(call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
    let settings = NetConf::read(call)?.check().map_err(cni::Error::internal)?;
    let added = chained::previous(call)?;
    let targets = mapping::targets(attachment.ifname.as_str(), &added);
    rules(&Identity::new(call, attachment), &settings, &targets)?;
    Ok(localnet::check(&settings, &targets)?)
}

/// Whether the rules are there, where any of them are, and looked for first with the backend that is
/// asked for.
///
/// # Errors
/// A [`Deviation`]; they cannot be looked at.
pub(crate) fn rules(
    owner: &Identity<'_>,
    settings: &Settings,
    targets: &[IpNetwork],
) -> Result<()> {
    if settings.mapped(targets).next().is_none() {
        return Ok(());
    }
    let is_iptables = settings.backend == Some(Backend::Iptables);
    if !has_nftables()? || (is_iptables && in_iptables(owner, targets)?) {
        return iptables::check(owner, settings, targets);
    }
    let mut nft = Nft::open()?;
    if native::has_any(&mut nft, owner, settings, targets)? {
        return native::check(&mut nft, owner, settings, targets);
    }
    if native::reference::has_any(&mut nft, owner)? {
        let deviation = native::reference::deviation(&mut nft, owner, settings, targets)?;
        return deviation.map_or(Ok(()), |deviation: Deviation| Err(deviation.into()));
    }
    match is_iptables || in_iptables(owner, targets)? {
        true => iptables::check(owner, settings, targets),
        false => native::check(&mut nft, owner, settings, targets),
    }
}

/// Whether iptables has the container's chain, in either kernel interface.
fn in_iptables(owner: &Identity<'_>, targets: &[IpNetwork]) -> Result<bool> {
    for target in targets {
        let family = Family::from(target);
        let is_there =
            iptables::exists(family, owner)? || iptables::exists_in_legacy(family, owner)?;
        if is_there {
            return Ok(true);
        }
    }
    Ok(false)
}

/// STATUS: whether ADD could map ports.
///
/// # Errors
/// A configuration that cannot be read; code 50.
pub(crate) fn status(call: &Call<'_>) -> Result<(), cni::Error> {
    let settings = NetConf::read(call)?.check().map_err(not_available)?;
    attach::status::may_change_networks()?;
    let nftables = || Nft::open().and_then(|mut nft| nft.generation());
    let iptables = || Iptables::new(Family::V4).map(drop);
    match settings.backend {
        Some(Backend::Nftables) => nftables().map(drop).map_err(not_available),
        Some(Backend::Iptables) => iptables().map_err(not_available),
        None => match nftables() {
            Err(error) if Nft::is_unsupported(&error) => iptables().map_err(not_available),
            answer => answer.map(drop).map_err(not_available),
        },
    }
}

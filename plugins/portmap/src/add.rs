//! ADD: a list of steps, each of which leaves its inverse on the undo stack.

use attach::{
    Identity, iptables_turn,
    record::{self, Pod},
};
use cni::{AddResult, Attachment, Call};
use ipnetwork::IpNetwork;
use kernel::{Undo, nft::Nft};

use crate::{
    config::NetConf,
    connections, del,
    error::{Claimant, Error, Result},
    iptables, localnet, mapping,
    native::{self, Care, Known},
    record::{PortMappings, gone, has_nftables},
    settings::{Backend, Settings},
};

/// Maps the ports and passes the previous result on. A failure leaves the machine as it was.
///
/// # Errors
/// The configuration cannot work, another has a port, or a step failed.
pub(crate) fn add(call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, cni::Error> {
    let settings = NetConf::read(call)?.check();
    let settings =
        settings.map_err(|error| cni::Error::internal(error).context("failed to parse config"))?;
    let previous = call
        .prev_result()
        .map_err(|error| error.context("failed to parse config"))?;
    let previous = previous.ok_or(Error::NotChained)?;
    let targets = mapping::targets(attachment.ifname.as_str(), &previous);
    for told in settings.useless(&targets) {
        tracing::warn!("{told}");
    }
    if settings.mapped(&targets).next().is_some() {
        let mut undo = Undo::new();
        steps(Pod::new(call, attachment), &settings, &targets, &mut undo)?;
        undo.commit();
    }
    Ok(previous)
}

fn steps<'a>(
    pod: Pod<'a>,
    settings: &'a Settings,
    targets: &'a [IpNetwork],
    undo: &mut Undo<'a>,
) -> Result<()> {
    let care = remember(pod, settings, targets, undo)?;
    map_over_leftovers(&pod.identity, settings, targets, care)?;
    undo.push("port mappings", move || {
        Ok(del::unmap(&pod.identity, Known::told(settings, targets))?)
    })?;
    localnet::allow(settings, targets, undo)?;
    connections::forget(&settings.mappings);
    Ok(())
}

/// What an earlier ADD remembered comes back when this one fails, and its rules with it. Says how closely to
/// look for those.
fn remember<'a>(
    pod: Pod<'a>,
    settings: &Settings,
    targets: &[IpNetwork],
    undo: &mut Undo<'a>,
) -> Result<Care> {
    let earlier = record::keep::<PortMappings>(pod, targets, settings.clone());
    let care = match earlier.is_some() {
        true => Care::Thorough,
        false => Care::Trusting,
    };
    undo.push("record of port mappings", move || Ok(earlier.come_back()?))?;
    Ok(care)
}

/// Maps the ports. A claim of a pod that is remembered and gone is a leftover, and goes first: its DEL
/// never came.
fn map_over_leftovers(
    owner: &Identity<'_>,
    settings: &Settings,
    targets: &[IpNetwork],
    care: Care,
) -> Result<()> {
    let mut removed = Vec::new();
    loop {
        match map(owner, settings, targets, care) {
            // One whose claim is still there would be met for ever.
            Err(Error::Taken { claimant, .. })
                if !removed.contains(&claimant) && remove_leftover(&claimant)? =>
            {
                removed.push(claimant);
            }
            outcome => return outcome,
        }
    }
}

/// Removes the mappings of a claimant whose pod is gone; says whether it is.
fn remove_leftover(claimant: &Claimant) -> Result<bool> {
    let Some(record) = gone(claimant)? else {
        return Ok(false);
    };
    tracing::info!("{claimant} is gone and had mapped ports; its mappings are removed");
    record::remove_gone::<PortMappings>(&record)?;
    Ok(true)
}

/// Maps the ports with the backend that is asked for, or with the best there is. A failure leaves nothing
/// of it.
///
/// # Errors
/// Another has a port; the backend is not there or refuses.
pub(crate) fn map(
    owner: &Identity<'_>,
    settings: &Settings,
    targets: &[IpNetwork],
    care: Care,
) -> Result<()> {
    match settings.backend {
        Some(Backend::Iptables) => by_iptables(owner, settings, targets),
        Some(Backend::Nftables) => by_nftables(owner, settings, targets, care),
        None if has_nftables()? => by_nftables(owner, settings, targets, care),
        None => {
            tracing::warn!("no nftables in this kernel, mapping ports with iptables");
            by_iptables(owner, settings, targets)
        }
    }
}

fn by_nftables(
    owner: &Identity<'_>,
    settings: &Settings,
    targets: &[IpNetwork],
    care: Care,
) -> Result<()> {
    let mut nft = Nft::open().map_err(|source| Error::SetUpNftables { source })?;
    native::add(&mut nft, owner, settings, targets, care).map(drop)
}

/// One family may have its rules when the other fails; where this ADD is the first they go.
fn by_iptables(owner: &Identity<'_>, settings: &Settings, targets: &[IpNetwork]) -> Result<()> {
    let turn = iptables_turn::take();
    let flushed = by_iptables_in_turn(owner, settings, targets)?;
    drop(turn);
    if flushed {
        record::restore_and_log::<PortMappings>();
    }
    Ok(())
}

/// The same while no other podwire does it. Says whether rules were missing that all share.
fn by_iptables_in_turn(
    owner: &Identity<'_>,
    settings: &Settings,
    targets: &[IpNetwork],
) -> Result<bool> {
    let mut flushed = false;
    let mut is_first = true;
    for target in targets {
        flushed |= iptables::shared_is_missing(settings, target.into())?;
        is_first &= !iptables::exists(target.into(), owner)?;
    }
    let added = iptables::add(owner, settings, targets);
    if added.is_err()
        && is_first
        && let Err(error) = del::unmap_rules(owner, &Known::told(settings, targets))
    {
        tracing::warn!(%error, "port mappings in iptables cannot be taken back");
    }
    added.map(|()| flushed)
}

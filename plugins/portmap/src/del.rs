//! DEL and GC: everything that either backend left, ours and the reference plugin's.

use attach::{
    Errors, Identity,
    owner::{self, Garbage},
    record,
};
use cni::{Call, Detachment, ValidAttachment};
use kernel::nft::ruleset;

use crate::{
    config::NetConf,
    connections,
    error::Result,
    iptables, mapping,
    native::{self, Known},
    record::PortMappings,
};

/// Removes the attachment's mappings: those of the configuration and those that are remembered. Needs no
/// namespace, no readable `prevResult`, no mappings in the configuration, and none of its values.
///
/// # Errors
/// All that failed; what could be removed is.
pub(crate) fn del(call: &Call<'_>, attachment: &Detachment) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    let conf = NetConf::read(call).unwrap_or_else(|error| {
        errors.note(Err(error));
        NetConf::default()
    });
    let settings = conf.removable();
    // Unreadable is as good as none: the runtime may have lost it.
    let added = call.prev_result().unwrap_or_default();
    let targets = added.map(|added| mapping::targets(attachment.ifname.as_str(), &added));
    let targets = targets.unwrap_or_default();
    let owner = Identity::new(call, attachment);
    let removed = unmap(&owner, Known::told(&settings, &targets));
    errors.note(removed.map_err(Into::into));
    errors.into_result()
}

/// Removes the rules, connections that go by them, and what is remembered of them.
///
/// # Errors
/// What the kernel or iptables refuses; both were tried.
pub(crate) fn unmap(owner: &Identity<'_>, known: Known<'_>) -> Result<()> {
    record::forget::<PortMappings, _>(*owner, |remembered| {
        unmap_and_cut(owner, &known.remembered(remembered))
    })?;
    hand_over(owner);
    Ok(())
}

/// The ports are now those of the container's attachments that waited for them.
fn hand_over(owner: &Identity<'_>) {
    match native::siblings::wait(owner) {
        Ok(false) => {}
        Ok(true) => record::restore_container::<PortMappings>(owner.container_id),
        Err(error) => tracing::warn!(
            %error,
            "cannot see whether the container's other networks have ports to take over"
        ),
    }
}

/// Removes the rules, and connections that go by them.
///
/// # Errors
/// As [`unmap`].
pub(crate) fn unmap_and_cut(owner: &Identity<'_>, known: &Known<'_>) -> Result<()> {
    let removed = unmap_rules(owner, known);
    connections::forget(known.mappings());
    removed
}

/// Removes the rules.
///
/// # Errors
/// As [`unmap`].
pub(crate) fn unmap_rules(owner: &Identity<'_>, known: &Known<'_>) -> Result<()> {
    let removed = ruleset::change_what_is_there(|nft, transaction| {
        let transaction = native::removal(nft, transaction, owner, known)?;
        let transaction = native::reference::removal(nft, transaction, owner)?;
        iptables::removal(nft, transaction, owner, known.targets())
    });
    let legacy = iptables::remove_legacy(owner);
    removed?;
    legacy
}

/// Removes the mappings of attachments of the network that are not in `valid`, with either backend, and
/// has those come back that living attachments of the node have lost. The reference plugin's rules in
/// nftables stay: they name no network. Without a list nothing is known to be stale, and those that are lost
/// come back all the same.
///
/// # Errors
/// All that failed; everything was tried.
pub(crate) fn gc(call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    if let Some(valid) = valid {
        let network = call.network.as_str();
        let valid = owner::keys(valid);
        let collected =
            record::forget_others::<PortMappings, _>(network, &valid, |_| collect(network, &valid));
        errors.note(collected);
    }
    record::restore_and_log::<PortMappings>();
    errors.into_result()
}

fn collect(network: &str, valid: &[(&str, &str)]) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    errors.note(remove_garbage(network, valid).map_err(cni::Error::internal));
    errors.note(iptables::legacy_garbage(network, valid).map_err(Into::into));
    errors.into_result()
}

fn remove_garbage(network: &str, valid: &[(&str, &str)]) -> kernel::Result<()> {
    let garbage = Garbage::of(network, valid);
    let mut is_more = true;
    while is_more {
        is_more = ruleset::change_what_is_there(|nft, transaction| {
            let transaction = native::garbage(nft, transaction, &garbage)?;
            iptables::garbage(nft, transaction, network, valid)
        })?;
    }
    Ok(())
}

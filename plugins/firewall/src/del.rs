//! DEL and GC: each step accepts that its work is done already.

use attach::{
    Errors, Identity,
    owner::{self, Garbage},
    record::{self, Record},
};
use cni::{Call, Detachment, ValidAttachment};
use kernel::nft::ruleset::change_what_is_there;

use crate::{
    add::addresses,
    config::{Backend, Config},
    error::Error,
    native::{self, bridges},
    rules::{self, Firewall, Wanted},
};

/// Removes the attachment's rules: those of the previous result's addresses, and of those that are remembered,
/// which a runtime that has lost the result, or a part of it, does not tell.
///
/// # Errors
/// All that failed; everything was tried.
pub(crate) fn del(call: &Call<'_>, attachment: &Detachment) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    let owner = Identity::new(call, attachment);
    // Unreadable is as good as none: the runtime may have lost it.
    let previous = call.prev_result().unwrap_or_default();
    let addresses = previous.as_ref().map(addresses).unwrap_or_default();
    let zone = match record::is_kept::<Firewall>(owner) {
        true => None,
        false => zone(call, &mut errors),
    };
    let removed = rules::remove(&owner, &addresses, zone.as_deref());
    errors.note(removed.map_err(Into::into));
    errors.into_result()
}

/// The zone that may hold the addresses of a pod of which nothing is remembered: the configuration's,
/// unless that asks for another backend.
fn zone(call: &Call<'_>, errors: &mut Errors) -> Option<String> {
    match Config::for_removal(call) {
        Ok(config) => match config.backend {
            None | Some(Backend::Firewalld) => Some(config.zone),
            Some(Backend::Nftables | Backend::Iptables) => None,
        },
        Err(error) => {
            errors.note(Err(error));
            None
        }
    }
}

/// Removes the rules of attachments of this network that are not in `valid`, as far as their owner is
/// known: rules of iptables and sources of firewalld that podwire made are remembered, those
/// of the reference plugin say nothing. Then what any pod of the node lost comes back.
///
/// # Errors
/// All that failed; everything was tried.
pub(crate) fn gc(call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    if let Some(valid) = valid {
        let network = call.network.as_str();
        let valid = owner::keys(valid);
        for record in remembered_garbage(network, &valid, &mut errors) {
            let removed = rules::remove(&record.identity(), &[], None);
            errors.note(removed.map_err(Into::into));
        }
        errors.note(collect(network, &valid).map_err(Into::into));
    }
    record::restore_and_log::<Firewall>();
    errors.into_result()
}

fn remembered_garbage(
    network: &str,
    valid: &[(&str, &str)],
    errors: &mut Errors,
) -> Vec<Record<Wanted>> {
    let is_garbage = |record: &Record<Wanted>| {
        let key = (record.container_id.as_str(), record.ifname.as_str());
        record.network == network && !valid.contains(&key)
    };
    let mut garbage = Vec::new();
    for kept in [record::all::<Firewall>(), record::left::<Firewall>()] {
        match kept {
            Ok(kept) => garbage.extend(kept.into_iter().map(|kept| kept.record).filter(is_garbage)),
            Err(error) => {
                errors.note(Err(cni::Error::internal(error)));
            }
        }
    }
    garbage
}

fn collect(network: &str, valid: &[(&str, &str)]) -> Result<(), Error> {
    let garbage = Garbage::of(network, valid);
    while change_what_is_there(|nft, transaction| native::garbage(nft, transaction, &garbage))? {}
    change_what_is_there(bridges::garbage)?;
    Ok(())
}

//! DEL and GC: each step accepts that its work is done already.

use attach::{
    Errors, Identity,
    owner::{self, Garbage},
    record::{self, Record, Remembered, Rules as _},
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
    let removed = rules::remove(&owner, &addresses, || zone(call));
    errors.note(removed.map_err(Into::into));
    errors.into_result()
}

/// The zone that may hold the addresses of a pod of which not all is remembered: the configuration's,
/// unless that asks for another backend.
fn zone(call: &Call<'_>) -> Result<Option<String>, Error> {
    let config = Config::for_removal(call)?;
    Ok(match config.backend {
        None | Some(Backend::Firewalld) => Some(config.zone),
        Some(Backend::Nftables | Backend::Iptables) => None,
    })
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
        let collected = record::forget_others::<Firewall, _>(network, &valid, |remembered| {
            remove_garbage(network, &valid, remembered)
        });
        errors.note(collected);
    }
    record::restore_and_log::<Firewall>();
    errors.into_result()
}

fn remove_garbage(
    network: &str,
    valid: &[(&str, &str)],
    remembered: &[Record<Wanted>],
) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    for record in remembered {
        errors.note(Firewall::remove(
            record.identity(),
            &Remembered::only(record),
        ));
    }
    errors.note(collect(network, valid).map_err(Into::into));
    errors.into_result()
}

fn collect(network: &str, valid: &[(&str, &str)]) -> Result<(), Error> {
    let garbage = Garbage::of(network, valid);
    while change_what_is_there(|nft, transaction| native::garbage(nft, transaction, &garbage))? {}
    change_what_is_there(bridges::garbage)?;
    Ok(())
}

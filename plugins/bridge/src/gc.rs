//! GC: removes what belongs to attachments of this network that the runtime does not know.

use std::collections::HashSet;

use attach::{Errors, identity, ipam::Ipam, masquerade, veth};
use cni::{ValidAttachment, call::Call};
use kernel::{IfName, Link, Netlink};

use crate::{del::DelConf, error::Error, spoof_check};

/// Removes pairs, masquerading and spoof checks of attachments that are not in `valid`, and hands
/// GC on to IPAM. Without a list nothing is known to be stale.
///
/// # Errors
/// All that failed; everything was tried.
pub(crate) fn gc(call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    let conf: DelConf = call.config().unwrap_or_else(|error| {
        errors.note(Err(error));
        DelConf::default()
    });
    if let Some(valid) = valid {
        collect(call, valid, &mut errors);
    }
    errors.note(collect_addresses(call, &conf));
    errors.into_result()
}

fn collect(call: &Call<'_>, valid: &[ValidAttachment], errors: &mut Errors) {
    let network = call.network.as_str();
    match remove_stale_pairs(network, valid, errors) {
        Ok(links) => {
            let exists = |name: &str| links.contains(name);
            errors.note(spoof_check::gc(&exists).map_err(cni::Error::internal));
        }
        Err(error) => drop(errors.note(Err(Error::from(error).into()))),
    }
    let valid: Vec<(&str, &str)> = valid
        .iter()
        .map(|attachment| (attachment.container_id.as_str(), attachment.ifname.as_str()))
        .collect();
    errors.note(masquerade::gc(network, &valid).map_err(cni::Error::internal));
}

/// Removes the host ends whose alias names a stale attachment of the network; gives the names of
/// the links that remain.
fn remove_stale_pairs(
    network: &str,
    valid: &[ValidAttachment],
    errors: &mut Errors,
) -> attach::Result<HashSet<String>> {
    let host = Netlink::open()?;
    let keep: HashSet<String> = valid
        .iter()
        .map(|attachment| identity::alias(network, &attachment.container_id, &attachment.ifname))
        .collect();
    let mut remaining = HashSet::new();
    for link in host.links()? {
        let stale = |alias: &String| !keep.contains(alias);
        if identity::is_host_end(&link, network) && link.alias.as_ref().is_some_and(stale) {
            let deleted = veth::delete_host_end(&link, None);
            errors.note(deleted.map_err(|error| Error::from(error).into()));
        } else {
            remaining.insert(name(&link));
        }
    }
    Ok(remaining)
}

fn name(link: &Link) -> String {
    IfName::as_str(&link.name).to_owned()
}

fn collect_addresses(call: &Call<'_>, conf: &DelConf) -> Result<(), cni::Error> {
    match Ipam::find(call, &conf.ipam.plugin_type)? {
        Some(ipam) => ipam.gc(),
        None => Ok(()),
    }
}

//! DEL: independent steps, each of which accepts that its work is done already.

use attach::{Errors, Identity, ipam::Ipam, masquerade, veth};
use cni::{AddResult, Attachment, call::Call};
use ipnetwork::IpNetwork;
use kernel::{MacAddr, Netlink};
use serde::Deserialize;

use crate::{add::owner, config::IpamConf, error::Error, spoof_check};

/// What DEL and GC need of the configuration. Nothing else in it can keep them from releasing
/// what ADD made: not values that ADD would refuse, not a missing namespace, not an unreadable
/// `prevResult`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct DelConf {
    pub ip_masq: bool,
    pub macspoofchk: bool,
    pub ipam: IpamConf,
}

/// Releases all that ADD made for the attachment, whether podwire or the reference plugin made
/// it; the bridge stays. Addresses are released last, when nothing uses them any more, and only
/// if the pair is gone: another pod could get them.
///
/// # Errors
/// All that failed; what could be released is released.
pub(crate) fn del(call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    let conf: DelConf = call.config().unwrap_or_else(|error| {
        errors.note(Err(error));
        DelConf::default()
    });
    if detach(call, attachment, &conf, &mut errors) {
        errors.note(release_addresses(call, attachment, &conf.ipam.plugin_type));
    }
    errors.into_result()
}

/// Packet filters first: the kernel finishes their removal while it waits for the pair's anyway.
/// Says whether the pair is gone.
fn detach(call: &Call<'_>, attachment: &Attachment, conf: &DelConf, errors: &mut Errors) -> bool {
    let identity = Identity::new(call, attachment);
    // Unreadable is as good as none: the runtime may have lost it.
    let added = call.prev_result().unwrap_or_default();
    if conf.ip_masq {
        let ips = added.iter().flat_map(|added| &added.ips);
        let addresses: Vec<IpNetwork> = ips.map(|ip| ip.address).collect();
        let removed = masquerade::remove(&owner(identity), &addresses);
        errors.note(removed.map_err(cni::Error::internal));
    }
    if conf.macspoofchk {
        let (container, ifname) = (identity.container_id.as_str(), identity.ifname.as_str());
        errors.note(spoof_check::remove(container, ifname).map_err(cni::Error::internal));
    }
    let removed = remove_pair(attachment, identity, added.as_ref());
    errors.note(removed.map_err(|error| Error::from(error).into()))
}

fn remove_pair(
    attachment: &Attachment,
    identity: Identity<'_>,
    added: Option<&AddResult>,
) -> attach::Result<()> {
    let host = Netlink::open()?;
    veth::remove(&host, attachment, identity, added.and_then(host_end))
}

/// The host end of the pair in an ADD result: the interface after the bridge.
fn host_end(added: &AddResult) -> Option<(&str, MacAddr)> {
    let interface = added
        .interfaces
        .get(1)
        .filter(|interface| interface.sandbox.is_none())?;
    Some((&interface.name, interface.mac.as_ref()?.parse().ok()?))
}

fn release_addresses(
    call: &Call<'_>,
    attachment: &Attachment,
    ipam_type: &str,
) -> Result<(), cni::Error> {
    match Ipam::find(call, ipam_type)? {
        Some(ipam) => ipam.del(attachment),
        None => Ok(()),
    }
}

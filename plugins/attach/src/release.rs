//! DEL and GC of an interface plugin: independent steps, each of which accepts that its work is
//! done already.

use std::collections::HashSet;

use cni::{AddResult, Call, Detachment, ValidAttachment};
use ipnetwork::IpNetwork;
use kernel::{Link, LinkKind, MacAddr, Netlink};
use serde::Deserialize;

use crate::{
    Error, Errors, Identity, Result, conf::IpamConf, flowtable, identity, ipam::Ipam, link,
    masquerade, owner, veth,
};

/// What DEL and GC need of any interface plugin's configuration. Nothing else in it can keep them
/// from releasing what ADD made: not values that ADD would refuse, not a missing namespace, not an
/// unreadable `prevResult`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Conf {
    ip_masq: bool,
    ipam: IpamConf,
}

impl Conf {
    /// One that cannot be read is an error and no reason to keep anything: a key that is wrong hides
    /// no other, and masquerading of which nothing is known may be on.
    fn read(call: &Call<'_>, errors: &mut Errors) -> Self {
        call.config().unwrap_or_else(|error| {
            errors.note(Err(error));
            let masquerading = call.config();
            Self {
                ip_masq: masquerading.map_or(true, |read: Masquerading| read.ip_masq),
                ipam: IpamConf::by_itself(call),
            }
        })
    }
}

/// The key by itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Masquerading {
    ip_masq: bool,
}

/// What DEL of a plugin with pairs goes by.
pub struct Detaching<'a> {
    pub identity: Identity<'a>,
    /// The result of ADD, if the runtime has it.
    pub added: Option<&'a AddResult>,
    /// `None`: the host's links cannot be read, which is an error of DEL already.
    pub on_host: Option<&'a OnHost>,
}

/// The host's side of an attachment.
pub struct OnHost {
    pub netlink: Netlink,
    /// The pair's end, if podwire made it and it is there.
    pub end: Option<Link>,
}

impl OnHost {
    fn look(identity: Identity<'_>) -> Result<Self> {
        let netlink = Netlink::open()?;
        let end = veth::find(&netlink, identity)?;
        Ok(Self { netlink, end })
    }
}

/// DEL of a plugin whose attachments are pairs: releases all that ADD made, whether podwire or the
/// reference plugin made it. `host_end`: where the pair's host end stands in the result. `own`
/// releases what only this plugin makes.
///
/// Packet filters go first: the kernel finishes their removal while it waits for the pair's anyway.
/// Addresses go last, see [`remove_and_release`].
///
/// # Errors
/// All that failed; what could be released is released.
pub fn del(
    call: &Call<'_>,
    attachment: &Detachment,
    host_end: usize,
    own: impl FnOnce(&Detaching<'_>, &mut Errors),
) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    let conf = Conf::read(call, &mut errors);
    let identity = Identity::new(call, attachment);
    // Unreadable is as good as none: the runtime may have lost it.
    let added = call.prev_result().unwrap_or_default();
    if conf.ip_masq {
        let ips = added.iter().flat_map(|added| &added.ips);
        let addresses: Vec<IpNetwork> = ips.map(|ip| ip.address).collect();
        let removed = masquerade::remove(&identity, &addresses);
        errors.note(removed.map_err(cni::Error::internal));
    }
    let on_host = OnHost::look(identity);
    let detaching = Detaching {
        identity,
        added: added.as_ref(),
        on_host: on_host.as_ref().ok(),
    };
    own(&detaching, &mut errors);
    let recorded = added.as_ref().and_then(|added| recorded(added, host_end));
    remove_and_release(call, attachment, &conf.ipam, &mut errors, |_| {
        let OnHost { netlink, end } = on_host.map_err(cni::Error::internal)?;
        let removed = veth::remove(&netlink, attachment, identity, end, recorded);
        removed.map_err(cni::Error::internal)
    });
    errors.into_result()
}

/// DEL of a plugin whose attachments are one link in the container's namespace, of the kind that
/// `is_of_kind` says: releases all that ADD made, whether podwire or the reference plugin made it.
/// Neither parent nor anything else of the configuration is needed.
///
/// Addresses go last, see [`remove_and_release`].
///
/// # Errors
/// All that failed; what could be released is released.
pub fn del_link(
    call: &Call<'_>,
    attachment: &Detachment,
    is_of_kind: impl Fn(&LinkKind) -> bool,
) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    let conf = Conf::read(call, &mut errors);
    let identity = Identity::new(call, attachment);
    // Unreadable is as good as none: the runtime may have lost it.
    let added = call.prev_result().unwrap_or_default();
    remove_and_release(call, attachment, &conf.ipam, &mut errors, |_| {
        let removed = link::remove(attachment, identity, added.as_ref(), is_of_kind);
        removed.map_err(cni::Error::internal)
    });
    errors.into_result()
}

/// Takes the attachment's link away by `remove`, and releases its addresses: when nothing uses
/// them any more, and only if the link is gone, because another pod could get them. Leased ones
/// go before the link: their server is told over it, and then waits before it gives them away.
pub fn remove_and_release(
    call: &Call<'_>,
    attachment: &Detachment,
    ipam: &IpamConf,
    errors: &mut Errors,
    remove: impl FnOnce(&mut Errors) -> Result<(), cni::Error>,
) {
    if ipam.is_leased() {
        errors.note(release_addresses(call, attachment, ipam));
    }
    let removed = remove(errors);
    if errors.note(removed) && !ipam.is_leased() {
        errors.note(release_addresses(call, attachment, ipam));
    }
}

/// Name and MAC address of the pair's host end in an ADD result.
fn recorded(added: &AddResult, host_end: usize) -> Option<(&str, MacAddr)> {
    let interface = added
        .interfaces
        .get(host_end)
        .filter(|interface| interface.sandbox.is_none())?;
    Some((&interface.name, interface.mac.as_ref()?.parse().ok()?))
}

/// DEL of the IPAM plugin, if there is one.
///
/// # Errors
/// No such plugin; the IPAM plugin's, unchanged.
fn release_addresses(
    call: &Call<'_>,
    attachment: &Detachment,
    ipam: &IpamConf,
) -> Result<(), cni::Error> {
    match Ipam::find(call, &ipam.plugin_type)? {
        Some(ipam) => ipam.del(attachment),
        None => Ok(()),
    }
}

/// GC of a plugin whose attachments are pairs: removes the pairs and the masquerading of
/// attachments of this network that are not in `valid`, and hands GC on to IPAM. Without a list
/// nothing is known to be stale. Leased addresses go before the pairs, as in DEL. `own` collects what only this plugin makes; it gets the names of
/// the host's links that remain.
///
/// # Errors
/// All that failed; everything was tried.
pub fn gc(
    call: &Call<'_>,
    valid: Option<&[ValidAttachment]>,
    own: impl FnOnce(&HashSet<String>, &mut Errors),
) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    let conf = Conf::read(call, &mut errors);
    if conf.ipam.is_leased() {
        errors.note(collect_addresses(call, &conf.ipam));
    }
    if let Some(valid) = valid {
        let network = call.network.as_str();
        match remove_stale_pairs(network, valid, &mut errors) {
            Ok(links) => own(&links, &mut errors),
            Err(error) => drop(errors.note(Err(cni::Error::internal(error)))),
        }
        let valid = owner::keys(valid);
        errors.note(masquerade::gc(network, &valid).map_err(cni::Error::internal));
        errors.note(flowtable::collect(network, &valid));
    }
    if !conf.ipam.is_leased() {
        errors.note(collect_addresses(call, &conf.ipam));
    }
    errors.into_result()
}

/// GC of a plugin whose attachments are one link in the container's namespace: the link goes with
/// that, so there are only addresses to collect.
///
/// # Errors
/// An unreadable configuration; the IPAM plugin's.
pub fn gc_link(call: &Call<'_>) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    let conf = Conf::read(call, &mut errors);
    errors.note(collect_addresses(call, &conf.ipam));
    errors.into_result()
}

/// Removes the host ends whose alias names a stale attachment of the network; gives the names of
/// the links that remain.
fn remove_stale_pairs(
    network: &str,
    valid: &[ValidAttachment],
    errors: &mut Errors,
) -> Result<HashSet<String>> {
    let keep: HashSet<String> = valid
        .iter()
        .map(|attachment| identity::alias(network, &attachment.container_id, &attachment.ifname))
        .collect();
    let mut remaining = HashSet::new();
    for link in Netlink::open()?.links()? {
        let stale = |alias: &String| !keep.contains(alias);
        if identity::is_host_end(&link, network) && link.alias.as_ref().is_some_and(stale) {
            let deleted = veth::delete_host_end(&link, None);
            errors.note(deleted.map_err(cni::Error::internal));
        } else {
            remaining.insert(link.name.to_string());
        }
    }
    Ok(remaining)
}

/// GC of the IPAM plugin, if there is one.
///
/// # Errors
/// No such plugin; the IPAM plugin's, unchanged.
pub fn collect_addresses(call: &Call<'_>, ipam: &IpamConf) -> Result<(), cni::Error> {
    match Ipam::find(call, &ipam.plugin_type)? {
        Some(ipam) => ipam.gc(),
        None => Ok(()),
    }
}

impl From<Error> for cni::Error {
    /// The suite's catch-all code, which tools in the field match.
    fn from(error: Error) -> Self {
        Self::internal(error)
    }
}

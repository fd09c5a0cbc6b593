//! ADD: a list of steps, each of which leaves its inverse on the undo stack.

use attach::{
    holdings::Holdings,
    netns::{self, interface_name},
    route::TABLE_MAIN,
    settle,
};
use cni::{AddResult, Attachment, Call};
use kernel::{IfName, Link, LinkChange, Netlink, Undo};

use crate::{config::Config, device::Device, error::Error};

/// Puts the interface into the VRF and passes the result on. A failure leaves the pod as it was.
///
/// # Errors
/// The configuration cannot work; there is no result before this plugin's; a step failed.
pub(crate) fn add(call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, cni::Error> {
    let config = Config::read(call)?;
    let previous = call.prev_result()?.ok_or(Error::NoPrevious)?;
    let pod = netns::socket(&netns::open(&attachment.netns)?)?;
    let interface = interface_name(attachment.ifname.as_str())?;
    let mut undo = Undo::new();
    let joined = join(&pod, &interface, &config, &mut undo);
    joined.map_err(|error| Error::Add(Box::new(error)))?;
    undo.commit();
    Ok(previous)
}

fn join<'a>(
    pod: &'a Netlink,
    interface: &IfName,
    config: &Config,
    undo: &mut Undo<'a>,
) -> Result<(), Error> {
    let link = free_link(pod, interface)?;
    let vrf = find_or_make(pod, config, undo)?;
    let held = Holdings::read(pod, &link)?;
    enslave(pod, &link, &vrf, held.clone(), undo)?;
    all_done(held.restore_addresses(pod, link.index))?;
    if held
        .addresses
        .iter()
        .any(|held| held.shown.address.is_ipv6())
    {
        // The kernel looks for duplicates again, and takes no route from an address until it has.
        settle::settle(pod, &link.name, link.index)?;
    }
    let table = |held| if held == TABLE_MAIN { vrf.table } else { held };
    all_done(held.restore_routes(pod, link.index, table)?)
}

fn free_link(pod: &Netlink, interface: &IfName) -> Result<Link, Error> {
    let link = pod.link(interface)?;
    let link = link.ok_or_else(|| Error::NoLink(interface.to_string()))?;
    match link.master {
        None => Ok(link),
        Some(master) => {
            let seen = pod.link_by_index(master)?;
            Err(Error::HasMaster {
                interface: interface.to_string(),
                master: seen.map_or_else(|| master.to_string(), |seen| seen.name.to_string()),
            })
        }
    }
}

fn find_or_make<'a>(
    pod: &'a Netlink,
    config: &Config,
    undo: &mut Undo<'a>,
) -> Result<Device, Error> {
    if let Some(found) = Device::find(pod, &config.name)? {
        return match config.table {
            Some(wanted) if wanted != found.table => Err(Error::OtherTable {
                name: config.name.clone(),
                table: found.table,
            }),
            _ => Ok(found),
        };
    }
    let made = Device::make(pod, &config.name, config.table)?;
    let index = made.link.index;
    undo.push("VRF", move || Ok(pod.delete_link(index)?))?;
    Ok(made)
}

/// The kernel takes the interface down and up again for it: routes and most IPv6 addresses go.
fn enslave<'a>(
    pod: &'a Netlink,
    link: &Link,
    vrf: &Device,
    held: Holdings,
    undo: &mut Undo<'a>,
) -> Result<(), Error> {
    let change = |master| LinkChange {
        master: Some(master),
        ..LinkChange::default()
    };
    let enslaved = pod.set_link(link.index, &change(Some(vrf.link.index)));
    enslaved.map_err(|source| Error::Enslave {
        interface: link.name.to_string(),
        vrf: vrf.link.name.to_string(),
        source: source.into(),
    })?;
    let index = link.index;
    undo.push("membership in the VRF", move || {
        pod.set_link(index, &change(None))?;
        all_done(held.restore_addresses(pod, index))?;
        Ok(all_done(held.restore_routes(pod, index, |table| table)?)?)
    })?;
    Ok(())
}

fn all_done(refused: Vec<attach::holdings::Refused>) -> Result<(), Error> {
    match refused.into_iter().next() {
        None => Ok(()),
        Some((change, source)) => Err(Error::Restore {
            change: change.to_string(),
            source: source.into(),
        }),
    }
}

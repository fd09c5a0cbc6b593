//! DEL and GC: the host gets its device back, down and under its own name, then IPAM its addresses.

use attach::{
    Errors,
    conf::IpamConf,
    netns::{self, interface_name},
    release,
};
use cni::{Call, Detachment, ValidAttachment};
use kernel::{IfName, LinkChange, NetNs, Netlink, if_there, link};

use crate::{
    config::NetConf,
    error::Error,
    guest::{Device, Guest},
};

/// Releases all that ADD made, whether podwire or the reference plugin made it.
///
/// # Errors
/// All that failed; what could be released is released. Addresses stay while the device is in the
/// pod.
pub(crate) fn del(call: &Call<'_>, attachment: &Detachment) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    let conf = read(call, &mut errors);
    // Unreadable is as good as none: the runtime may have lost it.
    let added = call.prev_result().unwrap_or_default();
    let device = Device::of(&conf).recorded(added.as_ref(), attachment);
    release::remove_and_release(call, attachment, &conf.ipam, &mut errors, |errors| {
        let left = match is_dpdk(&conf) {
            true => Ok(()),
            false => leave(&device, attachment, errors),
        };
        left.map_err(cni::Error::from)
    });
    errors.into_result()
}

/// Brings a device back whose pod ended with it inside, and hands GC on to IPAM. Without a list
/// nothing is known to be stale.
///
/// # Errors
/// All that failed; everything was tried.
pub(crate) fn gc(call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), cni::Error> {
    let mut errors = Errors::default();
    let conf = read(call, &mut errors);
    if valid.is_some() {
        let settled = resettle(&Device::of(&conf), None);
        errors.note(settled.map_err(cni::Error::from));
    }
    errors.note(release::collect_addresses(call, &conf.ipam));
    errors.into_result()
}

/// An unreadable one is an error and no reason to keep anything.
fn read(call: &Call<'_>, errors: &mut Errors) -> NetConf {
    call.config().unwrap_or_else(|error| {
        errors.note(Err(error));
        NetConf {
            ipam: IpamConf::by_itself(call),
            ..NetConf::default()
        }
    })
}

/// A card that is gone is in no pod either way.
fn is_dpdk(conf: &NetConf) -> bool {
    let place = conf.place().ok().flatten();
    conf.is_dpdk(place.as_ref()).unwrap_or(false)
}

/// The device leaves the pod, or has left it already. Only what keeps it in the pod is an error
/// here; what is wrong with it on the host is noted.
fn leave(device: &Device, attachment: &Detachment, errors: &mut Errors) -> Result<(), Error> {
    let name = attachment.ifname.as_str();
    // A name that the kernel does not know is no link's.
    if let Some(pod) = netns::open_if_there(attachment.netns.as_deref())?
        && let Ok(name) = interface_name(name)
    {
        let (inside, host) = (netns::socket(&pod)?, Netlink::open()?);
        if let Some(guest) = device.in_pod(&inside, &host, &name)? {
            return go_home(&pod, &guest);
        }
        settle(device, name.as_str(), errors);
        let left = device.untold(&inside, &host)?;
        if !left.is_empty() {
            let links: Vec<&str> = left.iter().map(IfName::as_str).collect();
            tracing::warn!(
                links = links.join(" "),
                "the device is not on the host, and nothing tells that a link of the pod's is it: what may be \
                 it stays there"
            );
        }
        return Ok(());
    }
    settle(device, name, errors);
    Ok(())
}

fn settle(device: &Device, name: &str, errors: &mut Errors) {
    let settled = resettle(device, Some(name));
    errors.note(settled.map_err(cni::Error::from));
}

fn go_home(pod: &NetNs, guest: &Guest) -> Result<(), Error> {
    let host = NetNs::current()?;
    let moved = named(guest, |name| {
        let home = link::Arrival {
            ns: &host,
            name,
            alias: "",
            up: false,
        };
        link::move_link(pod, &guest.link, home).map(drop)
    });
    let moved = if_there(moved).map(drop);
    moved.map_err(|source| Error::MoveBack {
        interface: guest.link.name.to_string(),
        device: guest.home.to_string(),
        source: source.into(),
    })
}

/// A device that the kernel put on the host, because its pod's namespace ended, is made what DEL
/// leaves.
fn resettle(device: &Device, interface: Option<&str>) -> Result<(), Error> {
    let host = Netlink::open()?;
    match device.stranded(&host, interface)? {
        Some(guest) => make_usual(&host, &guest),
        None => Ok(()),
    }
}

/// Down, and under its own name. One that goes meanwhile is gone.
fn make_usual(host: &Netlink, guest: &Guest) -> Result<(), Error> {
    let Guest { link, home } = guest;
    let down = LinkChange {
        up: Some(false),
        ..LinkChange::default()
    };
    if_there(host.set_link(link.index, &down))?;
    let renamed = named(guest, |name| {
        let change = LinkChange {
            name: (link.name != *name).then(|| name.clone()),
            alias: Some(String::new()),
            ..LinkChange::default()
        };
        host.set_link(link.index, &change)
    });
    let renamed = if_there(renamed).map(drop);
    renamed.map_err(|source| Error::RenameBack {
        link: link.name.to_string(),
        device: home.to_string(),
        source: source.into(),
    })
}

/// Gives a device its name on the host, or another one where a link that came meanwhile has it: the
/// name is not worth a pod that cannot be removed.
fn named(
    guest: &Guest,
    give: impl Fn(&IfName) -> Result<(), kernel::Error>,
) -> Result<(), kernel::Error> {
    let taken = match give(&guest.home) {
        Err(error) if error.is_exists() => error,
        given => return given,
    };
    for name in guest.spare_names() {
        match give(&name) {
            Err(error) if error.is_exists() => {}
            Ok(()) => {
                let device = &guest.home;
                tracing::warn!(%device, %name, "another link has the device's name: it has this one now");
                return Ok(());
            }
            failed => return failed,
        }
    }
    Err(taken)
}

#[cfg(test)]
mod tests {
    use kernel::testing::{World, link_that_went};

    use super::*;

    #[test]
    fn a_device_that_goes_while_it_is_brought_home_is_gone() {
        let Some(_world) = World::new() else { return };
        let host = Netlink::open().unwrap();
        let link = link_that_went(&host);
        let home = "eth1".parse().unwrap();
        make_usual(&host, &Guest { link, home }).unwrap();
    }
}

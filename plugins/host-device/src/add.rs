//! ADD: a list of steps, each of which leaves its inverse on the undo stack.

use attach::{
    Attaching, PodLink,
    apply::{self, Manner},
    netns::interface_name,
};
use cni::{AddResult, Attachment, Call, Interface};
use kernel::{Link, NetNs, Undo, link};

use crate::{before::Before, config::Config, error::Error};

/// Where the device stands in the result.
const DEVICE: usize = 0;

/// Attaches the container. A failure leaves the machine as it was.
///
/// # Errors
/// The configuration cannot work, or a step failed.
pub(crate) fn add(call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, cni::Error> {
    let config = Config::read(call)?;
    let base = Attaching::start(call, attachment, &config.ipam)?;
    let host = NetNs::current().map_err(cni::Error::internal)?;
    let interface = Interface {
        name: attachment.ifname.as_str().to_owned(),
        sandbox: Some(attachment.netns.clone()),
        ..Interface::default()
    };
    let added = base.run(|undo| {
        if config.dpdk {
            without_link(&base, &config, interface, undo)
        } else {
            steps(&base, &host, &config, interface, undo)
        }
    });
    Ok(added?)
}

/// The device stays where it is: the pod's program finds it by its place on the bus.
fn without_link<'a>(
    base: &'a Attaching<'a>,
    config: &Config,
    interface: Interface,
    undo: &mut Undo<'a>,
) -> Result<AddResult, Error> {
    let mut result = base.addresses(DEVICE, &config.dns, undo)?;
    result.interfaces = vec![interface];
    Ok(result)
}

fn steps<'a>(
    base: &'a Attaching<'a>,
    host: &'a NetNs,
    config: &Config,
    mut interface: Interface,
    undo: &mut Undo<'a>,
) -> Result<AddResult, Error> {
    let found = config.selector.find(&base.host)?;
    let before = Before::read(&base.host, found)?;
    let moved = enter(
        base,
        host,
        before,
        &interface.name,
        config.ipam.is_none(),
        undo,
    )?;
    interface.mac = moved.mac.map(|mac| mac.to_string());
    let mut result = base.addresses(DEVICE, &config.dns, undo)?;
    result.interfaces = vec![interface];
    if !config.ipam.is_none() {
        let pod = PodLink::from(&moved);
        apply::apply(&base.container, &pod, &result, Manner::default())?;
    }
    Ok(result)
}

/// The device moves into the pod, under the pod's name for it and with its own name as alias. With
/// addresses to come it comes up with them, and announces them.
fn enter<'a>(
    base: &'a Attaching<'a>,
    host: &'a NetNs,
    before: Before,
    interface: &str,
    up: bool,
    undo: &mut Undo<'a>,
) -> Result<Link, Error> {
    let there = link::Arrival {
        ns: &base.container,
        name: &interface_name(interface)?,
        alias: before.link.name.as_str(),
        up,
    };
    let moved = link::move_link(host, &before.link, there).map_err(|source| Error::Move {
        interface: interface.to_owned(),
        device: before.link.name.to_string(),
        source: source.into(),
    })?;
    let inside = moved.clone();
    undo.push("move device back", move || {
        Ok(before.restore(&base.container, &inside, host, &base.host)?)
    })?;
    Ok(moved)
}

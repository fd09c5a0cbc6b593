//! DEL and GC: what every plugin with pairs releases, the spoof check, and what the host knows of
//! pods without flooding.

use attach::{
    conf::{self, Args, MacConf},
    flowtable, owner,
    release::{self, Detaching, OnHost},
};
use cni::{Call, Detachment, Error, ValidAttachment};
use kernel::{IfName, Link, LinkIndex, MacAddr, Netlink};
use serde::Deserialize;

use crate::{
    config,
    flood_suppression::{self, Leaving},
    spoof_check,
};

/// Where the pair's host end stands in the result.
const HOST_END: usize = 1;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conf {
    macspoofchk: bool,
}

/// Read by itself: no other key that is wrong hides it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OnBridge {
    bridge: Option<String>,
}

impl OnBridge {
    /// None where no link can have the name.
    fn name(call: &Call<'_>) -> Result<Option<IfName>, Error> {
        let conf: Self = call.config()?;
        let name = conf.bridge.as_deref().unwrap_or(config::DEFAULT_BRIDGE);
        Ok(name.parse().ok())
    }
}

/// What asks for a MAC address.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Request {
    args: Args,
    runtime_config: MacConf,
}

impl Request {
    /// One that cannot be read is one that ADD refuses: given to nobody.
    fn mac(call: &Call<'_>) -> Option<MacAddr> {
        let conf: Self = call.config().ok()?;
        let requested = conf::requested_mac(call, &conf.runtime_config, &conf.args);
        requested.ok().flatten()
    }
}

/// Releases all that ADD made; the bridge stays.
///
/// # Errors
/// All that failed; what could be released is released.
pub(crate) fn del(call: &Call<'_>, attachment: &Detachment) -> Result<(), Error> {
    // Unreadable is as good as on: what is not there is removed already.
    let macspoofchk = call.config().map_or(true, |conf: Conf| conf.macspoofchk);
    release::del(call, attachment, HOST_END, |detaching, errors| {
        let removed = spoof_check::forget(detaching.identity, macspoofchk);
        errors.note(removed.map_err(Error::internal));
        errors.note(forget(call, detaching));
        errors.note(flowtable::forget(call, detaching.identity));
    })
}

/// Removes what belongs to attachments of this network that are not in `valid`.
///
/// # Errors
/// All that failed; everything was tried.
pub(crate) fn gc(call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), Error> {
    release::gc(call, valid, |links, errors| {
        let exists = |name: &str| links.contains(name);
        let valid = owner::keys(valid.unwrap_or_default());
        let collected = spoof_check::collect(call.network.as_str(), &valid, &exists);
        errors.note(collected.map_err(Error::internal));
        errors.note(forget_stale(call));
    })
}

/// What the host knows of a pod without flooding, whether or not the option is still set: an address
/// with a neighbour entry that stays is cut off from the host for whoever gets it next.
fn forget(call: &Call<'_>, detaching: &Detaching<'_>) -> Result<(), Error> {
    let Some(OnHost { netlink, end }) = detaching.on_host else {
        return Ok(());
    };
    let Some(bridge) = bridge_of(call, netlink, end.as_ref())? else {
        return Ok(());
    };
    let computed = detaching.identity.mac();
    let others = [Request::mac(call), recorded_mac(detaching)];
    let leaving = Leaving {
        bridge,
        port: end.as_ref().map(|end| end.index),
        macs: others.into_iter().flatten().chain([computed]).collect(),
    };
    Ok(leaving.forget(netlink)?)
}

/// The bridge that the port is of, else the configured one.
fn bridge_of(
    call: &Call<'_>,
    host: &Netlink,
    port: Option<&Link>,
) -> Result<Option<LinkIndex>, Error> {
    if let Some(bridge) = port.and_then(|port| port.master) {
        return Ok(Some(bridge));
    }
    let Some(name) = OnBridge::name(call)? else {
        return Ok(None);
    };
    let bridge = host.link(&name).map_err(Error::internal)?;
    Ok(bridge.map(|bridge| bridge.index))
}

/// Of the container interface in the result of ADD.
fn recorded_mac(detaching: &Detaching<'_>) -> Option<MacAddr> {
    let ifname = detaching.identity.ifname;
    let mut interfaces = detaching.added?.interfaces.iter();
    let own = interfaces.find(|own| own.sandbox.is_some() && own.name == ifname)?;
    own.mac.as_ref()?.parse().ok()
}

fn forget_stale(call: &Call<'_>) -> Result<(), Error> {
    let Some(bridge) = OnBridge::name(call)? else {
        return Ok(());
    };
    let host = Netlink::open().map_err(Error::internal)?;
    Ok(flood_suppression::gc(&host, &bridge)?)
}

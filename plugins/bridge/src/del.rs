//! DEL and GC: what every plugin with pairs releases, the spoof check, and what the host knows of
//! pods without flooding.

use attach::{
    Identity,
    conf::{self, Args, MacConf},
    release,
};
use cni::{Call, Detachment, Error, ValidAttachment};
use kernel::{IfName, MacAddr, Netlink};
use serde::Deserialize;

use crate::{config, flood_suppression, spoof_check};

/// Where the pair's host end stands in the result.
const HOST_END: usize = 1;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conf {
    macspoofchk: bool,
}

/// What says which neighbours are the pod's.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Suppressing {
    bridge: Option<String>,
    suppress_flooding: bool,
    args: Args,
    runtime_config: MacConf,
}

impl Suppressing {
    /// The configuration where it asks for no flooding. One that cannot be read is reported already.
    fn read(call: &Call<'_>) -> Option<Self> {
        let conf: Option<Self> = call.config().ok();
        conf.filter(|conf| conf.suppress_flooding)
    }

    /// As ADD takes it. One that ADD refuses was given to nobody.
    fn mac(&self, call: &Call<'_>, identity: Identity<'_>) -> MacAddr {
        let requested = conf::requested_mac(call, &self.runtime_config, &self.args);
        requested.ok().flatten().unwrap_or_else(|| identity.mac())
    }

    fn bridge(&self) -> Result<IfName, Error> {
        let name = self.bridge.as_deref().unwrap_or(config::DEFAULT_BRIDGE);
        Ok(config::bridge_name(name)?)
    }
}

/// Releases all that ADD made; the bridge stays.
///
/// # Errors
/// All that failed; what could be released is released.
pub(crate) fn del(call: &Call<'_>, attachment: &Detachment) -> Result<(), Error> {
    // Unreadable is as good as on: what is not there is removed already.
    let macspoofchk = call.config().map_or(true, |conf: Conf| conf.macspoofchk);
    release::del(call, attachment, HOST_END, |identity, errors| {
        if macspoofchk {
            errors.note(spoof_check::remove(identity).map_err(Error::internal));
        }
        errors.note(forget(call, identity));
    })
}

/// Removes what belongs to attachments of this network that are not in `valid`.
///
/// # Errors
/// All that failed; everything was tried.
pub(crate) fn gc(call: &Call<'_>, valid: Option<&[ValidAttachment]>) -> Result<(), Error> {
    release::gc(call, valid, |links, errors| {
        let exists = |name: &str| links.contains(name);
        errors.note(spoof_check::gc(&exists).map_err(Error::internal));
        errors.note(forget_stale(call));
    })
}

fn forget(call: &Call<'_>, identity: Identity<'_>) -> Result<(), Error> {
    let Some(conf) = Suppressing::read(call) else {
        return Ok(());
    };
    let host = Netlink::open().map_err(Error::internal)?;
    let mac = conf.mac(call, identity);
    Ok(flood_suppression::remove(&host, &conf.bridge()?, mac)?)
}

fn forget_stale(call: &Call<'_>) -> Result<(), Error> {
    let Some(conf) = Suppressing::read(call) else {
        return Ok(());
    };
    let host = Netlink::open().map_err(Error::internal)?;
    Ok(flood_suppression::gc(&host, &conf.bridge()?)?)
}

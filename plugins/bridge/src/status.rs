//! STATUS: whether ADD can be serviced.

use attach::status::not_available;
use cni::Call;
use kernel::{LinkKind, Netlink};

use crate::{
    config::{self, NetConf},
    device,
    error::Error,
};

/// Answers 50 where ADD cannot work: the configuration asks for what is not supported, the
/// bridge's name is taken or refused by the kernel, the bridge has no free port, packets cannot be masqueraded. Then IPAM is asked.
///
/// Values that ADD refuses as wrong are not judged here, as in the reference plugins.
///
/// # Errors
/// A configuration that cannot be read; code 50; the IPAM plugin's error.
pub(crate) fn status(call: &Call<'_>) -> Result<(), cni::Error> {
    let conf: NetConf = call.config()?;
    if conf.check_vlans().is_ok()
        && let Some(unsupported) = conf.unsupported_vlans()
    {
        return Err(not_available(unsupported));
    }
    bridge_can_be_used(conf.bridge_name())?;
    attach::status::ready(call, &conf.ipam, conf.masquerading())
}

fn bridge_can_be_used(name: &str) -> Result<(), cni::Error> {
    let name = config::bridge_name(name).map_err(not_available)?;
    let host = Netlink::open().map_err(Error::from)?;
    match host.link(&name).map_err(Error::from)? {
        Some(link) if !matches!(link.kind, LinkKind::Bridge { .. }) => {
            Err(not_available(Error::NotABridge {
                name: name.to_string(),
            }))
        }
        Some(bridge) => device::has_room(&host, &bridge).map_err(|error| match error {
            full @ Error::NoFreePort { .. } => not_available(full),
            other => other.into(),
        }),
        None => Ok(()),
    }
}

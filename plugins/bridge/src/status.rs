//! STATUS: whether ADD can be serviced.

use attach::{ipam::Ipam, masquerade};
use cni::{call::Call, code};
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
    if conf.ip_masq && !conf.ipam.plugin_type.is_empty() {
        let backend = conf.masquerade_backend().map_err(not_available)?;
        masquerade::usable(backend).map_err(not_available)?;
    }
    match Ipam::find(call, &conf.ipam.plugin_type)? {
        Some(ipam) => ipam.status(),
        None => Ok(()),
    }
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

fn not_available(reason: impl std::error::Error + Send + Sync + 'static) -> cni::Error {
    cni::Error {
        code: code::PLUGIN_NOT_AVAILABLE,
        ..cni::Error::internal(reason)
    }
}

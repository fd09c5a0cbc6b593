//! STATUS of an interface plugin: what its ADD will need of others.

use cni::{Call, code};
use kernel::{Link, Netlink, NewKind};

use crate::{
    Error,
    conf::IpamConf,
    ipam::Ipam,
    masquerade::{self, Masquerading},
    parent::Named,
};

/// Whether this process may do what every ADD does: change links, also those of other namespaces.
///
/// # Errors
/// Code 50 with the capability that is missing.
pub fn may_change_networks() -> Result<(), cni::Error> {
    match kernel::capability::missing_for_networks() {
        Some(capability) => Err(not_available(Error::NotPermitted { capability })),
        None => Ok(()),
    }
}

/// Whether packets can be masqueraded as configured, and what the IPAM plugin says.
///
/// # Errors
/// Code 50; the IPAM plugin's error.
pub fn ready(
    call: &Call<'_>,
    ipam: &IpamConf,
    masquerading: Result<Option<Masquerading>, masquerade::Error>,
) -> Result<(), cni::Error> {
    if let Some(masquerading) = masquerading.map_err(not_available)? {
        masquerading.is_usable().map_err(not_available)?;
    }
    ask_ipam(call, ipam)
}

/// What the IPAM plugin says, if there is one.
///
/// # Errors
/// The IPAM plugin's error; code 50 where it is not installed.
pub fn ask_ipam(call: &Call<'_>, ipam: &IpamConf) -> Result<(), cni::Error> {
    let found = Ipam::find(call, &ipam.plugin_type);
    match found.map_err(cni::Error::for_status)? {
        Some(ipam) => ipam.status(),
        None => Ok(()),
    }
}

/// Whether the kernel can make a link of this kind.
///
/// # Errors
/// Code 50.
pub fn kernel_has(kind: &NewKind<'_>) -> Result<(), cni::Error> {
    let host = Netlink::open().map_err(Error::from)?;
    match host.has_link_kind(kind).map_err(Error::from)? {
        true => Ok(()),
        false => Err(not_available(Error::NoSuchKind { kind: kind.name() })),
    }
}

/// The parent, if it must be the host's: STATUS knows no container.
///
/// # Errors
/// Code 50: there is none.
pub fn parent(named: Named<'_>) -> Result<Option<Link>, cni::Error> {
    if named.inside {
        return Ok(None);
    }
    let host = Netlink::open().map_err(Error::from)?;
    match named.find(&host) {
        Ok(parent) => Ok(Some(parent.link)),
        Err(missing @ (Error::NoMaster { .. } | Error::NoDefaultRoute)) => {
            Err(not_available(missing))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a macvlan or an ipvlan can be on this link.
///
/// # Errors
/// Code 50: a bridge has it.
pub fn is_free(parent: &Link) -> Result<(), cni::Error> {
    match parent.port {
        None => Ok(()),
        Some(_) => Err(not_available(Error::MasterIsPort {
            name: parent.name.to_string(),
        })),
    }
}

/// The specification's code for 'ADD cannot be serviced'.
pub fn not_available(reason: impl std::error::Error + Send + Sync + 'static) -> cni::Error {
    cni::Error {
        code: code::PLUGIN_NOT_AVAILABLE,
        ..cni::Error::internal(reason)
    }
}

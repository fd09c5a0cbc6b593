//! STATUS of an interface plugin: what its ADD will need of others.

use cni::{Call, code};

use crate::{
    conf::IpamConf,
    ipam::Ipam,
    masquerade::{self, Masquerading},
};

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
    match Ipam::find(call, &ipam.plugin_type)? {
        Some(ipam) => ipam.status(),
        None => Ok(()),
    }
}

/// The specification's code for 'ADD cannot be serviced'.
pub fn not_available(reason: impl std::error::Error + Send + Sync + 'static) -> cni::Error {
    cni::Error {
        code: code::PLUGIN_NOT_AVAILABLE,
        ..cni::Error::internal(reason)
    }
}

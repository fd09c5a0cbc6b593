//! The network configuration.

use attach::{
    conf::IpamConf,
    status::{self, not_available},
};
use cni::Call;
use kernel::NewKind;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::Error;

/// The configuration's keys: there are none but the common ones.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct NetConf {
    ipam: IpamConf,
}

/// What ADD makes and CHECK expects.
#[derive(Debug)]
pub(crate) struct Config {
    pub ipam: IpamConf,
}

impl Config {
    /// Reads and checks all of it, before anything is changed.
    ///
    /// # Errors
    /// A field of the wrong type; no IPAM.
    pub(crate) fn read(call: &Call<'_>) -> Result<Self, cni::Error> {
        Ok(Self::checked(call.config()?)?)
    }

    /// The interface has nothing but what IPAM gives.
    fn checked(conf: NetConf) -> Result<Self, Error> {
        match conf.ipam.is_none() {
            true => Err(Error::NoIpam),
            false => Ok(Self { ipam: conf.ipam }),
        }
    }
}

/// STATUS: answers 50 where ADD cannot work; then IPAM is asked.
///
/// # Errors
/// A configuration that cannot be read; code 50; the IPAM plugin's error.
pub(crate) fn status(call: &Call<'_>) -> Result<(), cni::Error> {
    let config = Config::checked(call.config()?).map_err(not_available)?;
    attach::status::may_change_networks()?;
    status::kernel_has(&NewKind::Dummy)?;
    status::ask_ipam(call, &config.ipam)
}

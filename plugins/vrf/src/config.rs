//! The network configuration: as written, and as checked for ADD and CHECK.

use attach::status::{self, not_available};
use cni::Call;
use kernel::{IfName, NewKind};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::Error;

/// The configuration's keys, as written. Other keys are other plugins' business.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct NetConf {
    /// Name of the VRF in the pod; it is made when missing. Interfaces that name the same one share
    /// it.
    #[schemars(extend("examples" = ["customer"]))]
    #[serde(rename = "vrfname")]
    pub name: String,
    /// Number of the VRF's routing table; 0 is the lowest one from 1 on that no other VRF of the pod
    /// has.
    #[schemars(extend("examples" = [10]))]
    pub table: u32,
}

/// What ADD makes and CHECK expects.
#[derive(Debug)]
pub(crate) struct Config {
    pub name: String,
    /// Any if none.
    pub table: Option<u32>,
}

impl Config {
    /// Reads and checks all of it, before anything is changed.
    ///
    /// # Errors
    /// A field of the wrong type; no name, or one that no link can have.
    pub(crate) fn read(call: &Call<'_>) -> Result<Self, cni::Error> {
        Ok(Self::checked(call.config()?)?)
    }

    fn checked(conf: NetConf) -> Result<Self, Error> {
        if conf.name.is_empty() {
            return Err(Error::NoName);
        }
        if let Err(source) = conf.name.parse::<IfName>() {
            let name = conf.name;
            return Err(Error::Add(Box::new(Error::VrfName { name, source })));
        }
        Ok(Self {
            name: conf.name,
            table: (conf.table != 0).then_some(conf.table),
        })
    }
}

/// STATUS: answers 50 where ADD cannot work.
///
/// # Errors
/// A configuration that cannot be read; code 50.
pub(crate) fn status(call: &Call<'_>) -> Result<(), cni::Error> {
    Config::checked(call.config()?).map_err(not_available)?;
    attach::status::may_change_networks()?;
    status::kernel_has(&NewKind::Vrf { table: 1 })
}

//! The network configuration: as written, and as checked for ADD and CHECK.

use attach::{
    conf::IpamConf,
    status::{not_available, ready},
};
use cni::{Call, Dns};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    bus::{self, Bus},
    error::Error,
    find::Selector,
};

/// The configuration's keys, as written. Other keys are other plugins' business.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct NetConf {
    /// Name of the host's link that moves into the pod. It wins over the other ways to name one,
    /// each of which wins over those below it.
    #[schemars(extend("examples" = ["eth1"]))]
    pub device: String,
    /// Hardware address of the link, in any textual form.
    #[schemars(extend("examples" = ["c2:11:22:33:44:55"]))]
    pub hwaddr: String,
    /// Directory of the link's device, below `/sys/devices/`; its subdirectory `net` has the link.
    #[schemars(extend("examples" = ["/sys/devices/pci0000:00/0000:00:19.0"]))]
    pub kernelpath: String,
    /// PCI address of the link's card, such as `0000:00:05.0`.
    #[serde(rename = "pciBusID")]
    #[schemars(extend("examples" = ["0000:00:05.0"]))]
    pub pci_bus_id: String,
    /// The device is used without the kernel's network (DPDK): it stays on the host, and the result
    /// has its addresses alone. With a PCI address its driver decides.
    #[serde(rename = "DPDKMode")]
    pub dpdk_mode: bool,
    /// What the runtime adds.
    #[serde(rename = "runtimeConfig")]
    pub runtime_config: RuntimeConfig,
    pub ipam: IpamConf,
    pub dns: Dns,
}

/// What the runtime adds for the capability `deviceID`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct RuntimeConfig {
    /// A PCI address, which replaces `pciBusID`, or the name of an auxiliary device.
    #[serde(rename = "deviceID")]
    #[schemars(extend("examples" = ["0000:00:05.0", "mlx5_core.sf.2"]))]
    pub device_id: String,
}

impl NetConf {
    /// The place on a bus, that of the runtime before that of the configuration.
    ///
    /// # Errors
    /// No bus has the runtime's.
    pub(crate) fn place(&self) -> Result<Option<Bus>, Error> {
        let id = &self.runtime_config.device_id;
        if !id.is_empty() {
            let place = Bus::of(id).ok_or_else(|| Error::DeviceId(id.clone()))?;
            return Ok(Some(place));
        }
        let address = &self.pci_bus_id;
        Ok((!address.is_empty()).then(|| Bus::Pci(address.clone())))
    }

    /// Whether the device is used without the kernel's network.
    ///
    /// # Errors
    /// There is no card at the PCI address.
    pub(crate) fn is_dpdk(&self, place: Option<&Bus>) -> Result<bool, Error> {
        match place {
            Some(Bus::Pci(address)) => bus::has_dpdk_driver(address),
            _ => Ok(self.dpdk_mode),
        }
    }

    fn selector(&self, place: Option<Bus>) -> Result<Selector, Error> {
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        text(&self.device)
            .map(Selector::Name)
            .or_else(|| text(&self.hwaddr).map(Selector::Mac))
            .or_else(|| text(&self.kernelpath).map(Selector::KernelPath))
            .or_else(|| place.map(Selector::Place))
            .ok_or(Error::NothingNamed)
    }
}

/// What ADD makes and CHECK expects.
#[derive(Debug)]
pub(crate) struct Config {
    pub selector: Selector,
    pub dpdk: bool,
    pub ipam: IpamConf,
    /// Of the result; they belong to the addresses.
    pub dns: Dns,
}

impl Config {
    /// Reads and checks all of it, before anything is changed.
    ///
    /// # Errors
    /// A field of the wrong type; no device is named, or one that no bus has.
    pub(crate) fn read(call: &Call<'_>) -> Result<Self, cni::Error> {
        Ok(Self::checked(call.config()?)?)
    }

    fn checked(conf: NetConf) -> Result<Self, Error> {
        let place = conf.place()?;
        let dpdk = conf.is_dpdk(place.as_ref())?;
        Ok(Self {
            selector: conf.selector(place)?,
            dpdk,
            dns: match conf.ipam.is_none() {
                true => Dns::default(),
                false => conf.dns,
            },
            ipam: conf.ipam,
        })
    }
}

/// Whether ADD could ever work with it.
///
/// # Errors
/// As [`Config::read`]; there can be no such device.
pub(crate) fn validate(call: &Call<'_>) -> Result<(), cni::Error> {
    let config = Config::read(call)?;
    Ok(config.selector.is_possible().map_err(Error::from)?)
}

/// STATUS: answers 50 where no ADD can work; then IPAM is asked. A link that is not on the host is
/// no reason: a pod has it.
///
/// # Errors
/// A configuration that cannot be read; code 50; the IPAM plugin's error.
pub(crate) fn status(call: &Call<'_>) -> Result<(), cni::Error> {
    let config = Config::checked(call.config()?).map_err(not_available)?;
    attach::status::may_change_networks()?;
    config.selector.is_possible().map_err(not_available)?;
    ready(call, &config.ipam, Ok(None))
}

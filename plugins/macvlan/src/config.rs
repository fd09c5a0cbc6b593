//! The network configuration: as written, and as checked for ADD and CHECK.

use attach::{
    conf::{self, IpamConf, MacConf},
    parent::Named,
    status,
};
use cni::{Call, Dns};
use kernel::{LinkKind, MacAddr, Macvlan, MacvlanMode, NewKind};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::Error;

/// The modes by their names in configurations.
const MODES: [(&str, MacvlanMode); 4] = [
    ("bridge", MacvlanMode::Bridge),
    ("private", MacvlanMode::Private),
    ("vepa", MacvlanMode::Vepa),
    ("passthru", MacvlanMode::Passthru),
];

/// The configuration's keys, as written. Other keys are other plugins' business.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NetConf {
    /// The link that the pod's interface is on. Without it that of the host's default route, of the
    /// container's with `linkInContainer`.
    #[schemars(extend("examples" = ["eth0"]))]
    master: String,
    /// Whom the pod reaches on the master: `bridge` (the other pods on it, directly; the default),
    /// `private` (none of them), `vepa` (them by way of the switch outside) or `passthru` (the pod
    /// has the master for itself).
    #[schemars(extend("enum" = ["bridge", "private", "vepa", "passthru"], "default" = "bridge"))]
    mode: String,
    /// MTU of the pod's interface in bytes, at most the master's; 0 is the master's.
    #[schemars(range(min = 0), extend("x-unit" = "bytes", "examples" = [1450]))]
    mtu: i64,
    /// MAC address of the pod's interface; a random one without it. `MAC` in `CNI_ARGS` and
    /// `runtimeConfig.mac` come first.
    #[schemars(extend("examples" = ["c2:11:22:33:44:55"]))]
    mac: String,
    /// The master is in the container's namespace.
    #[schemars(extend("x-since" = "1.3.0"))]
    link_in_container: bool,
    /// Broadcast packets that may wait at the master; 0 is the kernel's default of 1000.
    #[schemars(extend("x-unit" = "packets", "x-since" = "1.6.0"))]
    #[serde(rename = "bcqueuelen")]
    broadcast_queue: u32,
    ipam: IpamConf,
    dns: Dns,
    runtime_config: MacConf,
}

/// What ADD makes and CHECK expects.
#[derive(Debug)]
pub(crate) struct Config {
    master: String,
    inside: bool,
    pub macvlan: Macvlan,
    pub mtu: i64,
    /// Random if none.
    pub mac: Option<MacAddr>,
    pub ipam: IpamConf,
    pub dns: Dns,
}

impl Config {
    /// Reads and checks all of it that can be checked without the master, before anything is changed.
    ///
    /// # Errors
    /// A field of the wrong type or with an impossible value; an ADD whose result the
    /// configuration's version could not express.
    pub(crate) fn read(call: &Call<'_>) -> Result<Self, cni::Error> {
        let conf: NetConf = call.config()?;
        conf.ipam.is_told(call.version)?;
        Ok(Self {
            macvlan: conf.macvlan()?,
            mac: conf::configured_mac(call, &conf.runtime_config, &conf.mac)?,
            master: conf.master,
            inside: conf.link_in_container,
            mtu: conf.mtu,
            ipam: conf.ipam,
            dns: conf.dns,
        })
    }

    pub(crate) fn master(&self) -> Named<'_> {
        Named {
            master: &self.master,
            inside: self.inside,
        }
    }
}

impl NetConf {
    fn macvlan(&self) -> Result<Macvlan, Error> {
        Ok(Macvlan {
            mode: mode(&self.mode)?,
            broadcast_queue: (self.broadcast_queue > 0).then_some(self.broadcast_queue),
        })
    }
}

fn mode(name: &str) -> Result<MacvlanMode, Error> {
    if name.is_empty() {
        return Ok(MacvlanMode::default());
    }
    let known = MODES.iter().find(|(known, _)| *known == name);
    let unknown = || Error::UnknownMode(name.to_owned());
    known.map(|(_, mode)| *mode).ok_or_else(unknown)
}

/// The mode as configurations and `ip -d link` name it.
pub(crate) fn mode_name(mode: MacvlanMode) -> &'static str {
    let known = MODES.iter().find(|(_, known)| *known == mode);
    known.map_or("source", |(name, _)| name)
}

/// Whether a link is of the kind that this plugin makes.
pub(crate) fn is_macvlan(kind: &LinkKind) -> bool {
    matches!(kind, LinkKind::Macvlan(_))
}

/// STATUS: answers 50 where ADD cannot work; then IPAM is asked. Values that ADD refuses as wrong
/// are not judged, as in the reference plugins.
///
/// # Errors
/// A configuration that cannot be read; code 50; the IPAM plugin's error.
pub(crate) fn status(call: &Call<'_>) -> Result<(), cni::Error> {
    let conf: NetConf = call.config()?;
    attach::status::may_change_networks()?;
    let named = Named {
        master: &conf.master,
        inside: conf.link_in_container,
    };
    status::parent(named)?.map_or(Ok(()), |parent| status::is_free(&parent))?;
    status::kernel_has(&NewKind::Macvlan(Macvlan::default()))?;
    status::ask_ipam(call, &conf.ipam)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_has_one_name() {
        assert_eq!(mode("").unwrap(), MacvlanMode::Bridge);
        for (name, expected) in MODES {
            assert_eq!((mode(name).unwrap(), mode_name(expected)), (expected, name));
        }
        for unknown in ["source", "Bridge", " bridge", "passthrough"] {
            let error = mode(unknown).unwrap_err().to_string();
            assert_eq!(error, format!("unknown macvlan mode: {unknown:?}"));
        }
    }
}

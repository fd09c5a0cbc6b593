//! The network configuration: as written, and as checked for ADD and CHECK.

use attach::{
    conf::{self, IpamConf},
    parent::Named,
    status,
};
use cni::{AddResult, Call, Dns};
use kernel::{Ipvlan, IpvlanFlag, IpvlanMode, LinkKind, NewKind};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::Error;

/// The modes by their names in configurations.
const MODES: [(&str, IpvlanMode); 3] = [
    ("l2", IpvlanMode::L2),
    ("l3", IpvlanMode::L3),
    ("l3s", IpvlanMode::L3s),
];

/// The configuration's keys, as written. Other keys are other plugins' business.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NetConf {
    /// The link that the pod's interface is on, and whose MAC address it has. Without it the one
    /// interface that the plugins before this one made; without those the link of the host's default
    /// route, of the container's with `linkInContainer`.
    #[schemars(extend("examples" = ["eth0"]))]
    master: String,
    /// Where the pod's packets are handed over: `l2` as frames (the default), `l3` as packets, `l3s`
    /// as packets that pass the host's netfilter. The kernel has one mode for all pods of a master,
    /// the last one's.
    #[schemars(extend("enum" = ["l2", "l3", "l3s"], "default" = "l2"))]
    mode: String,
    /// MTU of the pod's interface in bytes; 0 is the master's.
    #[schemars(extend("x-unit" = "bytes", "examples" = [1450]))]
    mtu: i64,
    /// The master is in the container's namespace.
    #[schemars(extend("x-since" = "1.3.0"))]
    link_in_container: bool,
    ipam: IpamConf,
    dns: Dns,
}

/// What ADD makes and CHECK expects.
#[derive(Debug)]
pub(crate) struct Config {
    /// Empty: as [`NetConf::master`] says.
    pub master: String,
    pub inside: bool,
    pub ipvlan: Ipvlan,
    /// As configured.
    pub mtu: i64,
    pub ipam: IpamConf,
    pub dns: Dns,
}

impl Config {
    /// Reads and checks all of it that can be checked without the master, before anything is changed.
    ///
    /// # Errors
    /// A field of the wrong type or with an impossible value.
    pub(crate) fn read(call: &Call<'_>) -> Result<Self, cni::Error> {
        let conf: NetConf = call.config()?;
        conf::mtu(conf.mtu)?;
        Ok(Self {
            ipvlan: Ipvlan {
                mode: mode(&conf.mode)?,
                flag: IpvlanFlag::Bridge,
            },
            master: conf.master,
            inside: conf.link_in_container,
            mtu: conf.mtu,
            ipam: conf.ipam,
            dns: conf.dns,
        })
    }

    /// The master of an ADD. `previous`: what the plugins before this one made.
    ///
    /// # Errors
    /// They made no interface, or several.
    pub(crate) fn master<'a>(
        &'a self,
        previous: Option<&'a AddResult>,
    ) -> Result<Named<'a>, Error> {
        let master = match (self.master.as_str(), previous) {
            ("", Some(previous)) => match previous.interfaces.as_slice() {
                [only] if !only.name.is_empty() => &only.name,
                _ => return Err(Error::NoSingleInterface),
            },
            (named, _) => named,
        };
        let inside = self.inside;
        Ok(Named { master, inside })
    }
}

fn mode(name: &str) -> Result<IpvlanMode, Error> {
    if name.is_empty() {
        return Ok(IpvlanMode::default());
    }
    let known = MODES.iter().find(|(known, _)| *known == name);
    let unknown = || Error::UnknownMode(name.to_owned());
    known.map(|(_, mode)| *mode).ok_or_else(unknown)
}

/// The mode as configurations and `ip -d link` name it.
pub(crate) fn mode_name(mode: IpvlanMode) -> &'static str {
    match mode {
        IpvlanMode::L2 => "l2",
        IpvlanMode::L3 => "l3",
        IpvlanMode::L3s => "l3s",
    }
}

/// Whether a link is of the kind that this plugin makes.
pub(crate) fn is_ipvlan(kind: &LinkKind) -> bool {
    matches!(kind, LinkKind::Ipvlan(_))
}

/// STATUS: answers 50 where ADD cannot work; then IPAM is asked. Values that ADD refuses as wrong
/// are not judged, as in the reference plugins. Without `master` the plugins before this one may make
/// it.
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
    if !conf.master.is_empty() {
        status::parent(named)?.map_or(Ok(()), |parent| status::is_free(&parent))?;
    }
    status::kernel_has(&NewKind::Ipvlan(Ipvlan::default()))?;
    status::ask_ipam(call, &conf.ipam)
}

#[cfg(test)]
mod tests {
    use cni::Interface;

    use super::*;

    #[test]
    fn every_mode_has_one_name() {
        assert_eq!(mode("").unwrap(), IpvlanMode::L2);
        for (name, expected) in MODES {
            assert_eq!((mode(name).unwrap(), mode_name(expected)), (expected, name));
        }
        for unknown in ["l4", "L2", "bridge"] {
            let error = mode(unknown).unwrap_err().to_string();
            assert_eq!(error, format!("unknown ipvlan mode: {unknown:?}"));
        }
    }

    #[test]
    fn the_master_is_named_else_the_one_interface_else_of_the_default_route() {
        let made = |names: &[&str]| AddResult {
            interfaces: names
                .iter()
                .map(|name| Interface {
                    name: (*name).to_owned(),
                    ..Interface::default()
                })
                .collect(),
            ..AddResult::default()
        };
        let refused = "chained master failure. PrevResult lacks a single named interface";
        for (master, previous, expected) in [
            ("m0", None, Ok("m0")),
            ("m0", Some(made(&["m1", "m2"])), Ok("m0")),
            ("", None, Ok("")),
            ("", Some(made(&["m1"])), Ok("m1")),
            ("", Some(made(&["m1", "m2"])), Err(refused)),
            ("", Some(made(&[""])), Err(refused)),
            ("", Some(made(&[])), Err(refused)),
        ] {
            let config = Config {
                master: master.to_owned(),
                inside: false,
                ipvlan: Ipvlan::default(),
                mtu: 0,
                ipam: IpamConf::default(),
                dns: Dns::default(),
            };
            let named = config.master(previous.as_ref());
            let named = named.map(|named| named.master);
            assert_eq!(
                named.map_err(|error| error.to_string()),
                expected.map_err(str::to_owned)
            );
        }
    }
}

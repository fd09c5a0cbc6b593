//! The network configuration: as written, and as checked for ADD, CHECK and STATUS.

use std::path::PathBuf;

use attach::conf::IpamConf;
use cni::{Call, Dns};
use kernel::MacAddr;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    attributes::Attributes,
    error::Error,
    sysctl::{self, Setting, Written},
};

/// Where the reference plugin keeps what was there before.
const DATA_DIR: &str = "/run/cni/tuning";

/// The configuration's keys, as written. Other keys are other plugins' business.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NetConf {
    /// Sysctls of the pod, by key: those below `net`, written with dots or slashes. The first
    /// `IFNAME` in a key stands for the pod's interface. Where
    /// `/etc/cni/tuning/allowlist.conf` exists, each must match one of its regular expressions.
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    #[schemars(extend("examples" = [{"net.core.somaxconn": "500"}]))]
    sysctl: Written,
    /// Hardware address of the pod's interface, in any textual form. `args.cni.mac` comes before
    /// `runtimeConfig.mac`, that before `MAC` of `CNI_ARGS`, and that before this.
    #[schemars(extend("examples" = ["c2:11:22:33:44:55"]))]
    mac: String,
    /// The pod's interface takes all packets; `false` switches nothing off.
    promisc: bool,
    /// MTU of the pod's interface and, where that is a veth, of its end on the host; 0 leaves it
    /// as it is.
    #[schemars(extend("x-unit" = "bytes", "examples" = [1400]))]
    mtu: i64,
    /// Length of the interface's transmit queue; without it that stays as it is.
    #[serde(rename = "txQLen")]
    #[schemars(extend("x-unit" = "packets", "x-since" = "1.3.0", "examples" = [1000]))]
    tx_queue_len: Option<i64>,
    /// The interface takes all multicast packets, or with `false` only those that somebody
    /// listens for; without it that stays as it is.
    allmulti: Option<bool>,
    /// Directory of what DEL gives back.
    #[schemars(extend("default" = DATA_DIR))]
    data_dir: String,
    args: Args,
    runtime_config: RuntimeConfig,
    #[allow(dead_code, reason = "read so that a wrong type is refused")]
    ipam: IpamConf,
    #[allow(dead_code, reason = "read so that a wrong type is refused")]
    dns: Dns,
    #[allow(dead_code, reason = "read so that a wrong type is refused")]
    prev_result: Option<Map<String, Value>>,
}

/// `runtimeConfig`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct RuntimeConfig {
    /// Hardware address of the pod's interface, in any textual form.
    #[schemars(extend("examples" = ["c2:11:22:33:44:55"]))]
    mac: String,
}

/// `args`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Args {
    /// Hints that take the place of the keys of the same name.
    cni: Hints,
}

/// `args.cni`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Hints {
    /// Sysctls that come to the configured ones and take the place of those of the same key.
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    sysctl: Written,
    /// Hardware address of the pod's interface, in any textual form.
    #[schemars(extend("examples" = ["c2:11:22:33:44:55"]))]
    mac: Option<String>,
    /// The pod's interface takes all packets.
    promisc: Option<bool>,
    /// MTU of the pod's interface.
    #[schemars(extend("x-unit" = "bytes", "examples" = [1400]))]
    mtu: Option<i64>,
    /// Length of the interface's transmit queue.
    #[serde(rename = "txQLen")]
    #[schemars(extend("x-unit" = "packets", "x-since" = "1.3.0", "examples" = [1000]))]
    tx_queue_len: Option<i64>,
    /// The interface takes all multicast packets, or only those that somebody listens for.
    allmulti: Option<bool>,
}

/// What ADD does and CHECK expects.
#[derive(Debug)]
pub(crate) struct Config {
    /// In the order in which they are set.
    pub sysctls: Vec<Setting>,
    /// Of the pod's interface.
    pub link: Attributes,
    /// Where what was there before is kept.
    pub data_dir: PathBuf,
}

impl Config {
    /// Reads and checks all of it for an interface, before anything is changed.
    ///
    /// # Errors
    /// A field of the wrong type or with an impossible value; `CNI_ARGS` has other keys.
    pub(crate) fn read(call: &Call<'_>, ifname: &str) -> Result<Self, cni::Error> {
        let conf: NetConf = call.config()?;
        let args = call.cni_args(&["MAC"])?;
        let mac = conf.mac(args.get("MAC"));
        Ok(conf.checked(&mac, ifname)?)
    }

    /// The same without `CNI_ARGS`, for who asks about no attachment. The inner error is an
    /// impossible value.
    ///
    /// # Errors
    /// A field of the wrong type.
    pub(crate) fn read_keys(
        call: &Call<'_>,
        ifname: &str,
    ) -> Result<Result<Self, Error>, cni::Error> {
        let conf: NetConf = call.config()?;
        let mac = conf.mac(None);
        Ok(conf.checked(&mac, ifname))
    }

    /// The sysctls that the MTU resets and bounds, which is where it is set, and all others.
    pub(crate) fn sysctls_by_mtu(&self) -> (Vec<&Setting>, Vec<&Setting>) {
        let sets_mtu = self.link.mtu.is_some();
        let settings = self.sysctls.iter();
        settings.partition(|setting| sets_mtu && sysctl::is_reset_by_mtu(&setting.file))
    }
}

impl NetConf {
    fn mac(&self, of_args: Option<&str>) -> String {
        let given = [
            self.runtime_config.mac.as_str(),
            of_args.unwrap_or_default(),
        ];
        let configured = given.into_iter().find(|mac| !mac.is_empty());
        let hint = self.args.cni.mac.as_deref();
        hint.or(configured).unwrap_or(&self.mac).to_owned()
    }

    fn checked(self, mac: &str, ifname: &str) -> Result<Config, Error> {
        let hints = self.args.cni;
        let queue = hints.tx_queue_len.or(self.tx_queue_len);
        let link = Attributes {
            mac: parse_mac(mac)?,
            promisc: hints.promisc.unwrap_or(self.promisc).then_some(true),
            mtu: parse_mtu(hints.mtu.unwrap_or(self.mtu))?,
            allmulti: hints.allmulti.or(self.allmulti),
            tx_queue_len: queue.map(parse_queue).transpose()?,
        };
        Ok(Config {
            sysctls: sysctl::settings(self.sysctl, hints.sysctl, ifname)?,
            link,
            data_dir: data_dir(self.data_dir),
        })
    }
}

/// The only key that DEL and GC need: no other one keeps them from their work.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Place {
    data_dir: String,
}

/// Where what was there before is kept.
///
/// # Errors
/// The configuration cannot be read, and the default.
pub(crate) fn kept_in(call: &Call<'_>) -> Result<PathBuf, (cni::Error, PathBuf)> {
    match call.config::<Place>() {
        Ok(place) => Ok(data_dir(place.data_dir)),
        Err(error) => Err((error, PathBuf::from(DATA_DIR))),
    }
}

fn data_dir(configured: String) -> PathBuf {
    match configured.is_empty() {
        true => PathBuf::from(DATA_DIR),
        false => PathBuf::from(configured),
    }
}

fn parse_mac(text: &str) -> Result<Option<MacAddr>, Error> {
    let parsed = (!text.is_empty()).then(|| text.parse()).transpose();
    parsed.map_err(|source| Error::Mac {
        text: text.to_owned(),
        source,
    })
}

fn parse_mtu(mtu: i64) -> Result<Option<u32>, Error> {
    match u32::try_from(mtu) {
        Ok(0) => Ok(None),
        Ok(mtu) => Ok(Some(mtu)),
        Err(_) => Err(Error::Mtu(mtu)),
    }
}

fn parse_queue(packets: i64) -> Result<u32, Error> {
    u32::try_from(packets).map_err(|_| Error::TxQueueLen(packets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str, of_args: Option<&str>) -> Result<Config, String> {
        let conf: NetConf = cni::json::from_slice(json.as_bytes()).map_err(|e| e.to_string())?;
        let mac = conf.mac(of_args);
        conf.checked(&mac, "eth0")
            .map_err(|error| cni::Error::from(error).msg)
    }

    #[test]
    fn the_mac_comes_from_the_first_that_names_one() {
        let all = r#""mac": "02:00:00:00:00:01""#;
        let runtime = r#""runtimeConfig": {"mac": "02-00-00-00-00-02"}"#;
        let hint = r#""args": {"cni": {"mac": "0200.0000.0003"}}"#;
        let args = Some("02:00:00:00:00:04");
        for (json, of_args, last) in [
            (format!("{{{all}}}"), None, 1),
            (format!("{{{all}}}"), args, 4),
            (format!("{{{all}, {runtime}}}"), args, 2),
            (format!("{{{all}, {runtime}, {hint}}}"), args, 3),
        ] {
            let mac = checked(&json, of_args).unwrap().link.mac;
            assert_eq!(mac, Some(MacAddr([2, 0, 0, 0, 0, last])), "{json}");
        }
        let none = format!(r#"{{{all}, "args": {{"cni": {{"mac": ""}}}}}}"#);
        assert_eq!(checked(&none, args).unwrap().link.mac, None);
    }

    #[test]
    fn hints_take_the_place_of_keys() {
        let json = r#"{"mtu": 1400, "promisc": true, "txQLen": 5, "args": {"cni":
            {"mtu": 1300, "promisc": false, "allmulti": false, "txQLen": 0}}}"#;
        let expected = Attributes {
            mtu: Some(1300),
            allmulti: Some(false),
            tx_queue_len: Some(0),
            ..Attributes::default()
        };
        assert_eq!(checked(json, None).unwrap().link, expected);
        assert_eq!(checked("{}", None).unwrap().link, Attributes::default());
    }

    #[test]
    fn impossible_values_are_named() {
        for (json, text) in [
            (
                r#"{"mac": "zz"}"#,
                "invalid args zz for MAC addr: address zz: invalid MAC address",
            ),
            (
                r#"{"mac": "02:00:00:00:00:00:00:01"}"#,
                "invalid args 02:00:00:00:00:00:00:01 for MAC addr: address \
                 02:00:00:00:00:00:00:01: has 8 bytes, an Ethernet link has 6",
            ),
            (
                r#"{"mtu": -1}"#,
                "invalid mtu -1: it must be from 0 to 4294967295",
            ),
            (
                r#"{"txQLen": 4294967296}"#,
                "invalid txQLen 4294967296: it must be from 0 to 4294967295",
            ),
        ] {
            assert_eq!(checked(json, None).unwrap_err(), text);
        }
    }
}

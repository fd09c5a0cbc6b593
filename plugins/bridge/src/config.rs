//! The network configuration: as written, and as checked for ADD and CHECK.

use attach::masquerade::Backend;
use cni::{AddResult, Dns, SpecVersion, call::Call};
use kernel::{IfName, MacAddr};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The bridge when the configuration names none.
const DEFAULT_BRIDGE: &str = "cni0";
/// VLAN IDs end here (IEEE 802.1Q).
const LAST_VLAN: i64 = 4094;

/// The configuration's keys, as written. Other keys are other plugins' business.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NetConf {
    pub bridge: Option<String>,
    pub is_gateway: bool,
    pub is_default_gateway: bool,
    pub force_address: bool,
    pub ip_masq: bool,
    pub ip_masq_backend: Option<String>,
    pub mtu: i64,
    pub hairpin_mode: bool,
    pub promisc_mode: bool,
    pub vlan: i64,
    pub vlan_trunk: Option<Vec<VlanTrunk>>,
    /// Without effect as long as there are no VLANs.
    #[allow(dead_code, reason = "read so that a wrong type is refused")]
    pub preserve_default_vlan: bool,
    pub macspoofchk: bool,
    pub enabledad: bool,
    pub disable_container_interface: bool,
    pub port_isolation: bool,
    pub ipam: IpamConf,
    pub dns: Dns,
    pub args: Args,
    pub runtime_config: MacConf,
    #[allow(dead_code, reason = "read so that a wrong type is refused")]
    pub prev_result: Option<Map<String, Value>>,
}

/// `ipam`; the rest of it is the IPAM plugin's.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct IpamConf {
    #[serde(rename = "type")]
    pub plugin_type: String,
}

/// `args`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Args {
    pub cni: MacConf,
}

/// `args.cni` and `runtimeConfig`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct MacConf {
    pub mac: String,
}

/// An item of `vlanTrunk`: one ID or a range of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct VlanTrunk {
    #[serde(rename = "minID")]
    pub min_id: Option<i64>,
    #[serde(rename = "maxID")]
    pub max_id: Option<i64>,
    pub id: Option<i64>,
}

/// Packets of the container's addresses shall be masqueraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Masquerading {
    /// The best there is if none.
    pub backend: Option<Backend>,
}

/// What ADD makes and CHECK expects: values that fit together.
#[derive(Debug)]
pub(crate) struct Config {
    pub bridge: IfName,
    pub is_gateway: bool,
    pub is_default_gateway: bool,
    pub force_address: bool,
    pub masquerading: Option<Masquerading>,
    /// Bytes; the kernel's default if none.
    pub mtu: Option<u32>,
    pub hairpin: bool,
    pub promisc: bool,
    pub spoof_check: bool,
    pub detect_duplicate_addresses: bool,
    pub disable_container_interface: bool,
    pub isolated: bool,
    /// Empty: no IPAM.
    pub ipam_type: String,
    pub dns: Dns,
    /// Of the container interface; random if none.
    pub mac: Option<MacAddr>,
}

impl NetConf {
    pub(crate) fn read(call: &Call<'_>) -> Result<Self, cni::Error> {
        let conf: Self = call.config()?;
        conf.check_vlans()?;
        Ok(conf)
    }

    pub(crate) fn bridge_name(&self) -> &str {
        self.bridge.as_deref().unwrap_or(DEFAULT_BRIDGE)
    }

    /// `ipMasqBackend`; empty is as good as absent.
    pub(crate) fn masquerade_backend(&self) -> Result<Option<Backend>> {
        let backend = self
            .ip_masq_backend
            .as_deref()
            .filter(|backend| !backend.is_empty());
        Ok(backend.map(str::parse).transpose()?)
    }

    pub(crate) fn check_vlans(&self) -> Result<()> {
        if !(0..=LAST_VLAN).contains(&self.vlan) {
            return Err(Error::VlanId(self.vlan));
        }
        self.vlan_trunk
            .iter()
            .flatten()
            .try_for_each(VlanTrunk::check)
    }

    /// The field that asks for VLANs, with its value.
    pub(crate) fn unsupported_vlans(&self) -> Option<Error> {
        if self.vlan != 0 {
            return Some(Error::Unsupported {
                key: "vlan",
                value: self.vlan.to_string(),
            });
        }
        let trunk = self.vlan_trunk.as_ref()?;
        let items: Vec<String> = trunk.iter().map(ToString::to_string).collect();
        Some(Error::Unsupported {
            key: "vlanTrunk",
            value: format!("[{}]", items.join(", ")),
        })
    }
}

impl VlanTrunk {
    fn check(&self) -> Result<()> {
        match (self.min_id, self.max_id) {
            (Some(min), _) if !(1..=LAST_VLAN).contains(&min) => return Err(Error::TrunkMinId),
            (_, Some(max)) if !(1..=LAST_VLAN).contains(&max) => return Err(Error::TrunkMaxId),
            (Some(min), Some(max)) if min > max => return Err(Error::TrunkOrder),
            (None, Some(_)) => return Err(Error::TrunkMinIdMissing),
            (Some(_), None) => return Err(Error::TrunkMaxIdMissing),
            _ => {}
        }
        match self.id {
            Some(id) if !(1..=LAST_VLAN).contains(&id) => Err(Error::TrunkId),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for VlanTrunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields = [
            ("minID", self.min_id),
            ("maxID", self.max_id),
            ("id", self.id),
        ];
        let fields: Vec<String> = fields
            .iter()
            .filter_map(|(key, value)| value.map(|value| format!("\"{key}\": {value}")))
            .collect();
        write!(f, "{{{}}}", fields.join(", "))
    }
}

impl Config {
    /// Reads the configuration of an ADD and checks all of it, before anything is changed.
    ///
    /// # Errors
    /// A field of the wrong type, with an impossible value, or against another; an ADD whose
    /// result the configuration's version could not express.
    pub(crate) fn for_add(call: &Call<'_>) -> Result<Self, cni::Error> {
        let conf = NetConf::read(call)?;
        if conf.disable_container_interface && !conf.ipam.plugin_type.is_empty() {
            return Err(Error::IpamOnDisabledInterface.into());
        }
        if conf.hairpin_mode && conf.promisc_mode {
            return Err(Error::HairpinAndPromisc.into());
        }
        if let Some(unsupported) = conf.unsupported_vlans() {
            return Err(unsupported.into());
        }
        if conf.ipam.plugin_type.is_empty() && call.version < SpecVersion::V0_3_0 {
            // Those results hold nothing but addresses.
            AddResult::default().to_value(call.version)?;
        }
        Self::resolve(conf, call)
    }

    /// The same for a CHECK, where ADD has been through already.
    ///
    /// # Errors
    /// As for ADD.
    pub(crate) fn for_check(call: &Call<'_>) -> Result<Self, cni::Error> {
        Self::resolve(NetConf::read(call)?, call)
    }

    fn resolve(conf: NetConf, call: &Call<'_>) -> Result<Self, cni::Error> {
        let args = call.cni_args(&["MAC"])?;
        let from_args = args.get("MAC").unwrap_or_default();
        let mac = [&conf.runtime_config.mac, &conf.args.cni.mac, from_args]
            .into_iter()
            .find(|mac| !mac.is_empty())
            .unwrap_or_default();
        Ok(Self {
            bridge: bridge_name(conf.bridge_name())?,
            is_gateway: conf.is_gateway || conf.is_default_gateway,
            is_default_gateway: conf.is_default_gateway,
            force_address: conf.force_address,
            masquerading: masquerading(&conf)?,
            mtu: mtu(conf.mtu)?,
            hairpin: conf.hairpin_mode,
            promisc: conf.promisc_mode,
            spoof_check: conf.macspoofchk,
            detect_duplicate_addresses: conf.enabledad,
            disable_container_interface: conf.disable_container_interface,
            isolated: conf.port_isolation,
            mac: attach::mac::parse(mac).map_err(Error::from)?,
            ipam_type: conf.ipam.plugin_type,
            dns: conf.dns,
        })
    }
}

/// The kernel's answers to names that it would refuse.
fn bridge_name(name: &str) -> Result<IfName> {
    name.parse().map_err(|_| Error::BridgeName {
        name: name.to_owned(),
        reason: match name.len() {
            0 => "LinkAttrs.Name cannot be empty",
            1..=15 => "invalid argument",
            _ => "numerical result out of range",
        },
    })
}

/// Zero and less mean the kernel's default, as in the reference plugins.
fn mtu(mtu: i64) -> Result<Option<u32>> {
    match mtu {
        ..=0 => Ok(None),
        _ => Ok(Some(u32::try_from(mtu).map_err(|_| Error::Mtu(mtu))?)),
    }
}

/// Only addresses can be masqueraded, so there is nothing to do without IPAM.
fn masquerading(conf: &NetConf) -> Result<Option<Masquerading>> {
    if !conf.ip_masq || conf.ipam.plugin_type.is_empty() {
        return Ok(None);
    }
    Ok(Some(Masquerading {
        backend: conf.masquerade_backend()?,
    }))
}

#[cfg(test)]
mod tests {
    use cni::invocation::Env;

    use super::*;

    fn with_call<T>(extra: &str, version: SpecVersion, test: impl FnOnce(&Call<'_>) -> T) -> T {
        let stdin = format!(r#"{{"name":"net"{extra}}}"#);
        let args = "IgnoreUnknown=1;MAC=c2:11:22:33:44:55;K8S_POD_NAME=x".to_owned();
        test(&Call {
            network: "net".parse().unwrap(),
            version,
            stdin: stdin.as_bytes(),
            env: &Env::from([("CNI_ARGS".to_owned(), args)]),
            registry: &[],
        })
    }

    fn read(extra: &str) -> Result<Config, (u32, String)> {
        with_call(extra, SpecVersion::V1_0_0, Config::for_add)
            .map_err(|error| (error.code, error.msg))
    }

    #[test]
    fn defaults() {
        for extra in [
            "",
            r#","bridge":null,"mtu":null,"dns":null,"ipam":null,"vlanTrunk":null"#,
        ] {
            let config = read(extra).unwrap();
            assert_eq!(config.bridge.as_str(), "cni0");
            assert_eq!((config.mtu, config.masquerading), (None, None));
            assert!(!config.is_gateway && !config.hairpin && !config.isolated && !config.promisc);
        }
    }

    #[test]
    fn the_default_gateway_is_a_gateway() {
        assert!(read(r#","isDefaultGateway":true"#).unwrap().is_gateway);
    }

    #[test]
    fn the_first_mac_address_in_the_order_of_precedence_counts() {
        let runtime = r#","runtimeConfig":{"mac":"C2-11-22-33-44-77"}"#;
        let args = r#","args":{"cni":{"mac":"c2:11:22:33:44:66"}}"#;
        for (extra, mac) in [
            (format!("{runtime}{args}"), "c2:11:22:33:44:77"),
            (
                format!(r#"{args},"runtimeConfig":{{"mac":""}}"#),
                "c2:11:22:33:44:66",
            ),
            (String::new(), "c2:11:22:33:44:55"),
        ] {
            assert_eq!(read(&extra).unwrap().mac.unwrap().to_string(), mac);
        }
    }

    #[test]
    fn masquerading_needs_addresses() {
        assert_eq!(read(r#","ipMasq":true"#).unwrap().masquerading, None);
        for (backend, expected) in [
            ("", None),
            (r#","ipMasqBackend":"""#, None),
            (r#","ipMasqBackend":"iptables""#, Some(Backend::Iptables)),
            (r#","ipMasqBackend":"nftables""#, Some(Backend::Nftables)),
        ] {
            let extra = format!(r#","ipMasq":true,"ipam":{{"type":"host-local"}}{backend}"#);
            let masquerading = read(&extra).unwrap().masquerading.unwrap();
            assert_eq!(masquerading.backend, expected);
        }
    }

    #[test]
    fn what_cannot_work_is_refused_before_anything_is_done() {
        let ipam = r#","ipam":{"type":"host-local"}"#;
        for (extra, code, message) in [
            (
                r#","vlan":4095"#,
                999,
                "invalid VLAN ID 4095 (must be between 0 and 4094)",
            ),
            (
                r#","vlan":-1"#,
                999,
                "invalid VLAN ID -1 (must be between 0 and 4094)",
            ),
            (
                r#","vlanTrunk":[{"minID":0,"maxID":5}]"#,
                999,
                "incorrect trunk minID parameter",
            ),
            (
                r#","vlanTrunk":[{"minID":5,"maxID":4095}]"#,
                999,
                "incorrect trunk maxID parameter",
            ),
            (
                r#","vlanTrunk":[{"minID":10,"maxID":5}]"#,
                999,
                "minID is greater than maxID in trunk parameter",
            ),
            (
                r#","vlanTrunk":[{"maxID":5}]"#,
                999,
                "minID and maxID should be configured simultaneously, minID is missing",
            ),
            (
                r#","vlanTrunk":[{"minID":5}]"#,
                999,
                "minID and maxID should be configured simultaneously, maxID is missing",
            ),
            (
                r#","vlanTrunk":[{"id":0}]"#,
                999,
                "incorrect trunk id parameter",
            ),
            (
                r#","vlanTrunk":[{"id":7},{"id":4095}]"#,
                999,
                "incorrect trunk id parameter",
            ),
            (
                r#","vlan":100"#,
                2,
                "unsupported field: \"vlan\": 100: bridges with VLANs are not supported yet",
            ),
            (
                r#","vlanTrunk":[{"id":7},{"minID":1,"maxID":2},{}]"#,
                2,
                "unsupported field: \"vlanTrunk\": [{\"id\": 7}, {\"minID\": 1, \"maxID\": 2}, {}]: \
                 bridges with VLANs are not supported yet",
            ),
            (
                r#","vlanTrunk":[]"#,
                2,
                "unsupported field: \"vlanTrunk\": []: bridges with VLANs are not supported yet",
            ),
            (
                &format!(r#","disableContainerInterface":true{ipam}"#),
                999,
                "cannot use IPAM when DisableContainerInterface flag is set",
            ),
            (
                r#","hairpinMode":true,"promiscMode":true"#,
                999,
                "cannot set hairpin mode and promiscuous mode at the same time",
            ),
            (
                r#","bridge":"""#,
                999,
                "failed to create bridge \"\": could not add \"\": LinkAttrs.Name cannot be empty",
            ),
            (
                r#","bridge":"br-name-longer-than-15""#,
                999,
                "failed to create bridge \"br-name-longer-than-15\": could not add \
                 \"br-name-longer-than-15\": numerical result out of range",
            ),
            (
                r#","bridge":"a/b""#,
                999,
                "failed to create bridge \"a/b\": could not add \"a/b\": invalid argument",
            ),
            (
                r#","mtu":4294967296"#,
                999,
                "invalid mtu 4294967296 (must be below 4294967296)",
            ),
            (
                r#","runtimeConfig":{"mac":"c2:11:22"}"#,
                999,
                "failed to make veth pair: address c2:11:22: invalid MAC address",
            ),
            (
                &format!(r#","ipMasq":true,"ipMasqBackend":"pf"{ipam}"#),
                999,
                "unknown ipmasq backend \"pf\"",
            ),
        ] {
            assert_eq!(
                read(extra).unwrap_err(),
                (code, message.to_owned()),
                "{extra}"
            );
        }
    }

    #[test]
    fn wrong_types_are_refused() {
        for extra in [
            r#","mtu":"1500""#,
            r#","mtu":1500.0"#,
            r#","isGateway":1"#,
            r#","dns":"x""#,
            r#","ipam":5"#,
            r#","vlanTrunk":{}"#,
            r#","preserveDefaultVlan":"no""#,
            r#","prevResult":5"#,
        ] {
            let (code, message) = read(extra).unwrap_err();
            assert_eq!(code, 999);
            assert!(
                message.starts_with("failed to load netconf: json: "),
                "{message}"
            );
        }
    }

    #[test]
    fn a_version_without_interfaces_in_its_results_needs_addresses() {
        for (version, code) in [
            (SpecVersion::V0_2_0, Some(999)),
            (SpecVersion::V0_3_0, None),
        ] {
            let read = with_call("", version, Config::for_add);
            assert_eq!(read.err().map(|error| error.code), code);
        }
    }
}

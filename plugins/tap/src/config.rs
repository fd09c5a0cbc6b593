//! The network configuration: as written, and as checked for ADD and CHECK.

use attach::{
    conf::{self, IpamConf, MacConf},
    status,
};
use cni::{Call, Dns};
use kernel::{LinkKind, MacAddr, NewKind, Tap};
use schemars::JsonSchema;
use serde::Deserialize;

/// The configuration's keys, as written. Other keys are other plugins' business.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NetConf {
    /// The device has several queues.
    multi_queue: bool,
    /// MTU of the device; 0 is the kernel's default.
    #[schemars(extend("x-unit" = "bytes", "examples" = [1450]))]
    mtu: i64,
    /// MAC address of the device; a random one without it. `MAC` in `CNI_ARGS` and
    /// `runtimeConfig.mac` come first.
    #[schemars(extend("examples" = ["c2:11:22:33:44:55"]))]
    mac: String,
    /// Number of the user who may open the device. With `group` and without `selinuxContext` frames
    /// have virtio's header, and without `multiQueue` the kernel's packet information before it, as
    /// the reference plugin makes the device.
    #[schemars(extend("examples" = [107]))]
    owner: Option<u32>,
    /// Number of the group that may open the device.
    #[schemars(extend("examples" = [107]))]
    group: Option<u32>,
    /// SELinux context of the process that makes the device, which is the device's then.
    #[schemars(extend("examples" = ["system_u:system_r:container_t:s0"]))]
    selinux_context: String,
    /// Name of a bridge in the pod that the device becomes a port of.
    #[schemars(extend("examples" = ["br0"]))]
    bridge: String,
    ipam: IpamConf,
    dns: Dns,
    runtime_config: MacConf,
}

/// What ADD makes and CHECK expects.
#[derive(Debug)]
pub(crate) struct Config {
    pub tap: Tap,
    /// Of the process that makes the device; this one's if none.
    pub label: Option<String>,
    /// Bytes; the kernel's default if none.
    pub mtu: Option<u32>,
    /// Random if none.
    pub mac: Option<MacAddr>,
    /// In the pod.
    pub bridge: Option<String>,
    pub ipam: IpamConf,
    pub dns: Dns,
}

impl Config {
    /// Reads and checks all of it, before anything is changed.
    ///
    /// # Errors
    /// A field of the wrong type or with an impossible value; an ADD whose result the
    /// configuration's version could not express.
    pub(crate) fn read(call: &Call<'_>) -> Result<Self, cni::Error> {
        let conf: NetConf = call.config()?;
        conf.ipam.is_told(call.version)?;
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        Ok(Self {
            tap: conf.tap(),
            label: given(&conf.selinux_context),
            mtu: conf::mtu(conf.mtu)?,
            mac: conf::configured_mac(call, &conf.runtime_config, &conf.mac)?,
            bridge: given(&conf.bridge),
            ipam: conf.ipam,
            dns: conf.dns,
        })
    }

    /// The kind of link to make.
    pub(crate) fn kind(&self) -> NewKind<'_> {
        match &self.label {
            Some(label) => NewKind::LabelledTap(self.tap, label),
            None => NewKind::Tap(self.tap),
        }
    }
}

impl NetConf {
    /// The reference plugin leaves the making to `ip`, whose devices have no headers, unless owner and
    /// group are both given and there is no label.
    fn tap(&self) -> Tap {
        let with_headers =
            self.owner.is_some() && self.group.is_some() && self.selinux_context.is_empty();
        Tap {
            multi_queue: self.multi_queue,
            vnet_header: with_headers,
            packet_information: with_headers && !self.multi_queue,
            owner: self.owner,
            group: self.group,
            ..Tap::default()
        }
    }
}

/// Whether a link is of the kind that this plugin makes.
pub(crate) fn is_tap(kind: &LinkKind) -> bool {
    matches!(kind, LinkKind::Tap(tap) if !tap.is_tun)
}

/// STATUS: answers 50 where ADD cannot work; then IPAM is asked.
///
/// # Errors
/// A configuration that cannot be read; code 50; the IPAM plugin's error.
pub(crate) fn status(call: &Call<'_>) -> Result<(), cni::Error> {
    let conf: NetConf = call.config()?;
    attach::status::may_change_networks()?;
    conf::mtu(conf.mtu).map_err(status::not_available)?;
    kernel::link::tap::can_make().map_err(status::not_available)?;
    status::ask_ipam(call, &conf.ipam)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_the_reference_plugins_devices() {
        for (json, headers) in [
            ("{}", (false, false)),
            (r#"{"owner": 1}"#, (false, false)),
            (r#"{"group": 1}"#, (false, false)),
            (r#"{"multiQueue": true}"#, (false, false)),
            (r#"{"owner": 0, "group": 0}"#, (true, true)),
            (
                r#"{"owner": 1, "group": 1, "multiQueue": true}"#,
                (true, false),
            ),
            (
                r#"{"owner": 1, "group": 1, "selinuxContext": "x"}"#,
                (false, false),
            ),
        ] {
            let conf: NetConf = serde_json::from_str(json).unwrap();
            let tap = conf.tap();
            assert_eq!((tap.vnet_header, tap.packet_information), headers, "{json}");
        }
    }
}

//! The smallest configuration with which each known plugin can be asked to do its work.

use cni::SpecVersion;
use serde_json::{Value, json};

/// What the suite must know of a plugin to call it at all.
pub(crate) struct Known {
    /// The executable's name.
    pub name: &'static str,
    /// The first version of the specification it must accept.
    pub since: SpecVersion,
    /// It can be called with nothing prepared: no link of the host's, no plugin before it.
    pub on_its_own: bool,
    config: fn() -> Value,
}

/// The network that all cases use.
pub(crate) const NETWORK: &str = "suite";

const fn known(name: &'static str, config: fn() -> Value) -> Known {
    Known {
        name,
        since: SpecVersion::V0_1_0,
        on_its_own: true,
        config,
    }
}

/// A plugin that works on what others made; only cases that prepare that judge it.
const fn dependent(name: &'static str, since: SpecVersion, config: fn() -> Value) -> Known {
    Known {
        name,
        since,
        on_its_own: false,
        config,
    }
}

/// Plugins the suite can call with a configuration of its own.
pub(crate) const KNOWN: &[Known] = &[
    known("bridge", || {
        json!({ "bridge": "suite0", "isGateway": true,
                "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } })
    }),
    known(
        "ptp",
        || json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } }),
    ),
    known("loopback", || json!({})),
    known(
        "host-local",
        || json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } }),
    ),
    known(
        "static",
        || json!({ "ipam": { "type": "static", "addresses": [{ "address": "10.88.0.7/24" }] } }),
    ),
    dependent(
        "macvlan",
        SpecVersion::V0_1_0,
        || json!({ "master": "m0", "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } }),
    ),
    dependent("vlan", SpecVersion::V0_1_0, || {
        json!({ "master": "m0", "vlanId": 5,
                "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } })
    }),
    dependent(
        "ipvlan",
        SpecVersion::V0_1_0,
        || json!({ "master": "m0", "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } }),
    ),
    dependent(
        "dummy",
        SpecVersion::V0_1_0,
        || json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } }),
    ),
    dependent("vrf", SpecVersion::V0_3_1, || json!({ "vrfname": "blue" })),
    dependent(
        "host-device",
        SpecVersion::V0_1_0,
        || json!({ "device": "dev0" }),
    ),
    dependent(
        "dhcp",
        SpecVersion::V0_1_0,
        || json!({ "ipam": { "type": "dhcp" } }),
    ),
    dependent(
        "tap",
        SpecVersion::V0_1_0,
        || json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" } }),
    ),
    dependent("portmap", SpecVersion::V0_1_0, || json!({})),
    dependent("tuning", SpecVersion::V0_1_0, || json!({})),
    dependent("sbr", SpecVersion::V0_1_0, || json!({})),
    dependent("bandwidth", SpecVersion::V0_3_0, || json!({})),
    dependent("firewall", SpecVersion::V0_4_0, || json!({})),
];

/// The entry of `name`.
#[must_use]
pub(crate) fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

impl Known {
    /// A complete configuration for `version`.
    #[must_use]
    pub(crate) fn config(&self, version: SpecVersion) -> Value {
        let mut config = (self.config)();
        config["cniVersion"] = version.as_str().into();
        config["name"] = NETWORK.into();
        config["type"] = self.name.into();
        config
    }
}

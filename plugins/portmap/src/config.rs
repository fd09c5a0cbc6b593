//! The network configuration: as written, and as checked for ADD and CHECK.

use cni::Call;
use kernel::Family;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    conditions::{self, is_of_iptables},
    error::ConfigError,
    mapping::PortMapping,
    settings::{Backend, Settings},
};

/// Which bit of the mark asks for masquerading when the configuration names none.
const DEFAULT_MARK_BIT: u8 = 13;
const LAST_MARK_BIT: i64 = 31;

/// The configuration's keys, as written. Other keys are other plugins' business.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NetConf {
    /// What keeps the rules: `nftables` or `iptables`. Without it `iptables` where another key is of
    /// iptables alone, else nftables where the kernel has it.
    #[schemars(extend("enum" = ["nftables", "iptables"], "x-since" = "1.6.0"))]
    backend: Option<String>,
    /// Masquerades connections to mapped ports whose answers would go past the host: from 127.0.0.1,
    /// from the pod itself, from pods of its subnet.
    #[schemars(extend("default" = true))]
    snat: Option<bool>,
    /// Masquerades all connections to mapped ports; needs `snat`.
    masq_all: bool,
    /// Of iptables: which bit of a packet's mark asks for masquerading.
    #[schemars(range(min = 0, max = LAST_MARK_BIT), extend("default" = DEFAULT_MARK_BIT))]
    mark_masq_bit: Option<i64>,
    /// Of iptables: a chain of the nat table that marks what somebody else's rules masquerade, as
    /// `KUBE-MARK-MASQ` does. Not with `markMasqBit`.
    #[schemars(extend("examples" = ["KUBE-MARK-MASQ"]))]
    external_set_mark_chain: Option<String>,
    /// Which IPv4 connections the mappings are for, in words of iptables when the first begins with `-`
    /// or `!`, else of nftables. Of the latter these are understood, each with `!=`, ranges or
    /// `{ one, of, several }`: `ip saddr` and `daddr`, `tcp`, `udp`, `sctp` and `th` `sport` and
    /// `dport`, `ip protocol`, `meta l4proto`, `iifname`, `oifname`, `meta mark`, `ct mark`,
    /// `ct state`, `ct status dnat`, `ether saddr` and `daddr`, `fib daddr type local`.
    #[serde(rename = "conditionsV4")]
    #[schemars(extend("examples" = [["ip", "daddr", "!=", "192.0.2.1"], ["!", "-d", "192.0.2.1"]]))]
    conditions_v4: Option<Vec<String>>,
    /// The same for IPv6, with `ip6 saddr`, `daddr` and `nexthdr`.
    #[serde(rename = "conditionsV6")]
    #[schemars(extend("examples" = [["ip6", "daddr", "!=", "2001:db8::1"]]))]
    conditions_v6: Option<Vec<String>>,
    runtime_config: RuntimeConfig,
}

/// The `runtimeConfig` object.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct RuntimeConfig {
    /// The ports to map (capability `portMappings`); none: there is nothing to do.
    #[schemars(extend("x-needed" = true))]
    port_mappings: Option<Vec<PortMapping>>,
}

impl NetConf {
    /// Reads it.
    ///
    /// # Errors
    /// A field of the wrong type.
    pub(crate) fn read(call: &Call<'_>) -> Result<Self, cni::Error> {
        call.config()
    }

    fn mappings(&self) -> &[PortMapping] {
        self.runtime_config
            .port_mappings
            .as_deref()
            .unwrap_or_default()
    }

    fn conditions(&self, family: Family) -> &[String] {
        let words = match family {
            Family::V4 => &self.conditions_v4,
            Family::V6 => &self.conditions_v6,
        };
        words.as_deref().unwrap_or_default()
    }

    fn set_mark_chain(&self) -> Option<&str> {
        let chain = self.external_set_mark_chain.as_deref();
        chain.filter(|chain| !chain.is_empty())
    }

    /// Checks all of it.
    ///
    /// # Errors
    /// The first value that cannot be.
    pub(crate) fn check(&self) -> Result<Settings, ConfigError> {
        if let Some(chain) = self.set_mark_chain()
            && !attach::conf::is_chain_name(chain)
        {
            return Err(ConfigError::MarkChain(chain.to_owned()));
        }
        let mark_bit = self.mark_bit()?;
        let backend = self.backend()?;
        if backend != Some(Backend::Iptables) {
            for family in Family::ALL {
                conditions::read(family, self.conditions(family))?;
            }
        }
        let snat = self.snat.unwrap_or(true);
        let check = |mapping: &PortMapping| mapping.check(snat);
        let mappings: Result<Vec<_>, _> = self.mappings().iter().map(check).collect();
        Ok(Settings {
            mappings: mappings?,
            ..self.settings(backend, mark_bit)
        })
    }

    fn settings(&self, backend: Option<Backend>, mark_bit: u8) -> Settings {
        Settings {
            backend,
            snat: self.snat.unwrap_or(true),
            masq_all: self.masq_all,
            mark_bit,
            set_mark_chain: self.set_mark_chain().map(str::to_owned),
            conditions_v4: self.conditions(Family::V4).to_vec(),
            conditions_v6: self.conditions(Family::V6).to_vec(),
            mappings: Vec::new(),
        }
    }

    /// What DEL needs: the mappings that could have been made. Nothing in the configuration can keep it
    /// from removing what is there.
    pub(crate) fn removable(&self) -> Settings {
        let mappings = self.mappings().iter();
        Settings {
            mappings: mappings
                .filter_map(|mapping| mapping.check(true).ok())
                .collect(),
            ..self.settings(None, DEFAULT_MARK_BIT)
        }
    }

    fn mark_bit(&self) -> Result<u8, ConfigError> {
        let Some(bit) = self.mark_masq_bit else {
            return Ok(DEFAULT_MARK_BIT);
        };
        if self.set_mark_chain().is_some() {
            return Err(ConfigError::TwoMarks);
        }
        match u8::try_from(bit) {
            Ok(checked) if bit <= LAST_MARK_BIT => Ok(checked),
            _ => Err(ConfigError::MarkBit(bit)),
        }
    }

    /// The backend that is asked for, or that alone understands the other keys.
    fn backend(&self) -> Result<Option<Backend>, ConfigError> {
        let asked = Backend::parse(self.backend.as_deref())?;
        let of_iptables = self.options(true);
        let of_nftables = self.options(false);
        match asked {
            Some(Backend::Nftables) => refuse(Backend::Nftables, "iptables", of_iptables)?,
            Some(Backend::Iptables) => refuse(Backend::Iptables, "nftables", of_nftables)?,
            None if of_iptables.is_empty() && self.mark_masq_bit.is_none() => {}
            None => {
                refuse(Backend::Iptables, "nftables", of_nftables)?;
                return Ok(Some(Backend::Iptables));
            }
        }
        Ok(asked)
    }

    /// The keys that iptables alone understands, or nftables alone.
    fn options(&self, of_iptables: bool) -> Vec<&'static str> {
        let chain =
            (of_iptables && self.set_mark_chain().is_some()).then_some("externalSetMarkChain");
        let conditions = Family::ALL.into_iter().filter(|family| {
            let words = self.conditions(*family);
            !words.is_empty() && is_of_iptables(words) == of_iptables
        });
        chain
            .into_iter()
            .chain(conditions.map(conditions::key))
            .collect()
    }
}

fn refuse(
    backend: Backend,
    other: &'static str,
    options: Vec<&'static str>,
) -> Result<(), ConfigError> {
    match options.is_empty() {
        true => Ok(()),
        false => Err(ConfigError::Options {
            backend: backend.name(),
            other,
            options,
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(config: Value) -> Result<Settings, String> {
        let conf: NetConf = cni::json::from_slice(config.to_string().as_bytes()).unwrap();
        conf.check().map_err(|error| error.to_string())
    }

    #[test]
    fn options_choose_the_backend() {
        let iptables = json!(["!", "-d", "192.0.2.1"]);
        let nftables = json!(["ip", "daddr", "192.0.2.1"]);
        for (config, backend) in [
            (json!({}), None),
            (json!({ "backend": "" }), None),
            (
                json!({ "backend": "nftables", "markMasqBit": 5 }),
                Some(Backend::Nftables),
            ),
            (json!({ "backend": "iptables" }), Some(Backend::Iptables)),
            (json!({ "markMasqBit": 0 }), Some(Backend::Iptables)),
            (
                json!({ "externalSetMarkChain": "X" }),
                Some(Backend::Iptables),
            ),
            (json!({ "conditionsV4": iptables }), Some(Backend::Iptables)),
            (json!({ "conditionsV4": nftables }), None),
            (json!({ "conditionsV4": null, "conditionsV6": [] }), None),
        ] {
            assert_eq!(check(config.clone()).unwrap().backend, backend, "{config}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let iptables = json!(["!", "-d", "192.0.2.1"]);
        let nftables = json!(["ip", "daddr", "192.0.2.1"]);
        for (config, text) in [
            (
                json!({ "backend": "pf" }),
                "unrecognized backend \"pf\" (nftables or iptables)",
            ),
            (
                json!({ "markMasqBit": 32 }),
                "MasqMarkBit must be between 0 and 31 (is 32)",
            ),
            (
                json!({ "markMasqBit": -1 }),
                "MasqMarkBit must be between 0 and 31 (is -1)",
            ),
            (
                json!({ "markMasqBit": 3, "externalSetMarkChain": "X" }),
                "Cannot specify externalSetMarkChain and markMasqBit",
            ),
            (
                json!({ "externalSetMarkChain": "X Y" }),
                "externalSetMarkChain \"X Y\" is no chain: 1 to 28 letters, digits and signs, not - or ! at first",
            ),
            (
                json!({ "backend": "nftables", "externalSetMarkChain": "X", "conditionsV6": iptables }),
                "nftables backend was requested but configuration contains iptables-specific options \
                 [externalSetMarkChain conditionsV6]",
            ),
            (
                json!({ "backend": "iptables", "conditionsV4": nftables }),
                "iptables backend was requested but configuration contains nftables-specific options \
                 [conditionsV4]",
            ),
            (
                json!({ "conditionsV4": nftables, "conditionsV6": iptables }),
                "iptables backend was requested but configuration contains nftables-specific options \
                 [conditionsV4]",
            ),
            (
                json!({ "conditionsV4": ["ip", "ttl", "1"] }),
                "conditionsV4: \"ip ttl 1\" is not understood at \"ttl\": not a condition that is \
                 understood",
            ),
        ] {
            assert_eq!(check(config.clone()).unwrap_err(), text, "{config}");
        }
    }

    #[test]
    fn removal_needs_no_valid_value() {
        let config = json!({ "backend": "pf", "markMasqBit": 99, "runtimeConfig": { "portMappings": [
            { "hostPort": 0, "containerPort": 80, "protocol": "tcp" },
            { "hostPort": 8080, "containerPort": 80, "protocol": "tcp" },
        ] } });
        let conf: NetConf = cni::json::from_slice(config.to_string().as_bytes()).unwrap();
        assert_eq!(conf.removable().mappings.len(), 1);
    }
}

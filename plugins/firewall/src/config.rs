//! The network configuration: as written, and as checked before anything is done.

use cni::{AddResult, Call};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    native::passage::CHAIN,
    reference::{ADMIN, CNI_FORWARD, FORWARD, STAGE_1, STAGE_2},
};

/// The configuration's keys, as written. Other keys are other plugins' business.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NetConf {
    /// What lets the pod's packets through: `firewalld`, `nftables` or `iptables`. Without it firewalld
    /// if it runs, iptables if the host uses its old kernel interface, nftables otherwise.
    #[schemars(extend("enum" = ["firewalld", "nftables", "iptables"]))]
    backend: String,
    /// The administrator's chain in the filter table of iptables: its rules come before those that let
    /// the pods' packets through, whatever the backend. It is made when missing, but not for firewalld.
    #[schemars(extend("default" = "CNI-ADMIN"))]
    iptables_admin_chain_name: String,
    /// The zone of firewalld that the pod's addresses join.
    #[schemars(extend("default" = "trusted"))]
    firewalld_zone: String,
    /// Which pods reach this one: all (`open`), those on the same bridge (`same-bridge`), none
    /// (`isolated`). The two latter hold between all bridges that have such a policy.
    #[schemars(extend("enum" = ["open", "same-bridge", "isolated"], "default" = "open", "x-since" = "1.1.0"))]
    ingress_policy: String,
}

/// `backend`, as somebody asks for it or as it was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// An address joins a zone.
    Firewalld,
    /// One element of a set for each address, over netlink.
    Nftables,
    /// The reference plugin's rules.
    Iptables,
}

/// `ingressPolicy` other than `open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Pods of the same bridge reach each other.
    SameBridge,
    /// No pod reaches another.
    Isolated,
}

impl Policy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SameBridge => "same-bridge",
            Self::Isolated => "isolated",
        }
    }
}

/// A bridge whose pods others shall not reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// The bridge's name.
    pub bridge: String,
    /// How much is kept out.
    pub policy: Policy,
}

/// What the configuration asks for.
#[derive(Debug)]
pub(crate) struct Config {
    /// `None` is the best there is.
    pub backend: Option<Backend>,
    /// The administrator's chain.
    pub admin_chain: String,
    /// The zone of firewalld.
    pub zone: String,
    policy: Option<Policy>,
}

/// Whether nobody else has a chain of this name in the filter table.
fn may_be_admin_chain(name: &str) -> bool {
    let others = [
        "INPUT",
        "OUTPUT",
        FORWARD,
        CNI_FORWARD,
        STAGE_1,
        STAGE_2,
        CHAIN,
    ];
    attach::conf::is_chain_name(name) && !others.contains(&name)
}

impl Config {
    /// Reads and checks all of it, before anything is changed.
    ///
    /// # Errors
    /// A field of the wrong type, an unknown policy, a chain that is not the administrator's to have.
    pub(crate) fn read(call: &Call<'_>) -> Result<Self, cni::Error> {
        Ok(Self::new(call.config()?)?)
    }

    fn new(conf: NetConf) -> Result<Self, Error> {
        let admin_chain = &conf.iptables_admin_chain_name;
        if !admin_chain.is_empty() && !may_be_admin_chain(admin_chain) {
            return Err(Error::AdminChain(admin_chain.clone()));
        }
        let or = |text: String, default: &str| match text.is_empty() {
            true => default.to_owned(),
            false => text,
        };
        Ok(Self {
            backend: backend(&conf.backend),
            policy: policy(&conf.ingress_policy)?,
            admin_chain: or(conf.iptables_admin_chain_name, ADMIN),
            zone: or(conf.firewalld_zone, "trusted"),
        })
    }

    /// What DEL and GC need: nothing in a configuration can keep them from removing what ADD made.
    pub(crate) fn for_removal(call: &Call<'_>) -> Result<Self, cni::Error> {
        let mut conf = NetConf {
            ingress_policy: String::new(),
            ..call.config()?
        };
        if !may_be_admin_chain(&conf.iptables_admin_chain_name) {
            conf.iptables_admin_chain_name.clear();
        }
        Ok(Self::new(conf)?)
    }

    /// The bridge of the policy: the first interface of the result.
    ///
    /// # Errors
    /// There is none, or it has no name.
    pub(crate) fn isolation(&self, result: &AddResult) -> Result<Option<Isolation>, Error> {
        let Some(policy) = self.policy else {
            return Ok(None);
        };
        let bridge = result
            .interfaces
            .first()
            .ok_or(Error::NoInterface(policy.name()))?;
        if bridge.name.is_empty() {
            return Err(Error::NoBridgeName);
        }
        Ok(Some(Isolation {
            bridge: bridge.name.clone(),
            policy,
        }))
    }
}

/// Any other value is as good as none, as it is to the reference plugin.
fn backend(text: &str) -> Option<Backend> {
    match text {
        "" => None,
        "firewalld" => Some(Backend::Firewalld),
        "nftables" => Some(Backend::Nftables),
        "iptables" => Some(Backend::Iptables),
        other => {
            tracing::warn!("backend {other:?} is none of firewalld, nftables, iptables: ignored");
            None
        }
    }
}

fn policy(text: &str) -> Result<Option<Policy>, Error> {
    match text {
        "" | "open" => Ok(None),
        "same-bridge" => Ok(Some(Policy::SameBridge)),
        "isolated" => Ok(Some(Policy::Isolated)),
        other => Err(Error::UnknownPolicy(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(policy: &str, backend: &str) -> Result<Config, Error> {
        Config::new(NetConf {
            ingress_policy: policy.to_owned(),
            backend: backend.to_owned(),
            ..NetConf::default()
        })
    }

    #[test]
    fn policies_are_the_references() {
        for (text, expected) in [
            ("", None),
            ("open", None),
            ("same-bridge", Some(Policy::SameBridge)),
            ("isolated", Some(Policy::Isolated)),
        ] {
            assert_eq!(config(text, "").unwrap().policy, expected, "{text}");
        }
        let error = config("closed", "").unwrap_err();
        assert_eq!(error.to_string(), "unknown ingress policy: \"closed\"");
    }

    #[test]
    fn the_administrators_chain_is_nobody_elses() {
        let longest = "C".repeat(28);
        let too_long = "C".repeat(29);
        let read = |name: &str| {
            Config::new(NetConf {
                iptables_admin_chain_name: name.to_owned(),
                ..NetConf::default()
            })
        };
        for name in ["", "CNI-ADMIN", "DOCKER-USER", &longest] {
            read(name).unwrap();
        }
        for name in [
            "FORWARD",
            "INPUT",
            "CNI-FORWARD",
            "CNI-PODWIRE",
            "x y",
            "-j",
            &too_long,
        ] {
            let error = read(name).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("iptablesAdminChainName {name:?} ")),
                "{error}"
            );
        }
    }

    #[test]
    fn an_unknown_backend_is_none() {
        for (text, expected) in [
            ("", None),
            ("ufw", None),
            ("iptables", Some(Backend::Iptables)),
            ("nftables", Some(Backend::Nftables)),
            ("firewalld", Some(Backend::Firewalld)),
        ] {
            assert_eq!(config("", text).unwrap().backend, expected, "{text}");
        }
    }

    #[test]
    fn a_policy_needs_a_bridge_with_a_name() {
        let interfaces = |names: &[&str]| AddResult {
            interfaces: names
                .iter()
                .map(|name| cni::Interface {
                    name: (*name).to_owned(),
                    ..cni::Interface::default()
                })
                .collect(),
            ..AddResult::default()
        };
        let isolation =
            |policy, names: &[&str]| config(policy, "").unwrap().isolation(&interfaces(names));
        assert_eq!(isolation("open", &[]).unwrap(), None);
        assert_eq!(
            isolation("isolated", &["cni0", "veth0"]).unwrap(),
            Some(Isolation {
                bridge: "cni0".to_owned(),
                policy: Policy::Isolated,
            })
        );
        assert_eq!(
            isolation("same-bridge", &[]).unwrap_err().to_string(),
            "interface needs to be set for ingress policy \"same-bridge\", make sure to chain \
             \"firewall\" plugin with \"bridge\""
        );
        assert_eq!(
            isolation("isolated", &[""]).unwrap_err().to_string(),
            "got empty bridge name"
        );
    }
}

//! The node's firewall rules, in flannel's chains, so that either daemon finds the other's:
//! `FLANNEL-POSTRTG` masquerades what leaves the pod network, `FLANNEL-FWD` accepts what is
//! forwarded for it.

use std::sync::Arc;
use std::time::Duration;

use backend::Family;
use cluster::{NetworkConfig, Subnets};
use ipnetwork::IpNetwork;
use kernel::iptables::{self, Jump, Position, ensure_chain};

use crate::health::{Finding, Part, Severity};
use crate::status::Status;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Masquerade what leaves the pod network.
    pub masquerade: bool,
    /// Accept what is forwarded for the pod network.
    pub forward: bool,
    /// Random source ports for masqueraded connections.
    pub random_fully: bool,
}

/// One chain as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    family: Family,
    table: &'static str,
    name: &'static str,
    from: &'static str,
    comment: &'static str,
    rules: Vec<String>,
}

/// Rules that cannot be had although they were asked for.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// iptables is missing or refuses.
    #[error("the {what} rules cannot be installed")]
    Refused {
        /// `masquerade` or `forward`.
        what: &'static str,
        /// Why.
        #[source]
        source: iptables::Error,
    },
    /// The thread that ran iptables broke.
    #[error("iptables could not be run")]
    Thread(#[source] tokio::task::JoinError),
}

const MASQUERADE: &str = "flanneld masq";
const FORWARD: &str = "flanneld forward";

/// All chains for one node. Pure.
pub fn chains(config: &NetworkConfig, own: &Subnets, features: Features) -> Vec<Chain> {
    let mut chains = Vec::new();
    for family in Family::ALL {
        let (Some(network), Some(subnet)) = (family.network(config), family.subnet(own)) else {
            continue;
        };
        if features.masquerade {
            chains.push(masquerade_chain(
                family,
                network,
                subnet,
                features.random_fully,
            ));
        }
        if features.forward {
            chains.push(forward_chain(family, network));
        }
    }
    chains
}

/// Traffic that kube-proxy marked for masquerading, and all traffic between pods, stays as it
/// is; pods' traffic to the world and the world's to remote pods gets this node's address.
fn masquerade_chain(
    family: Family,
    network: IpNetwork,
    subnet: IpNetwork,
    random_fully: bool,
) -> Chain {
    let multicast = match family {
        Family::V4 => "224.0.0.0/4",
        Family::V6 => "ff00::/8",
    };
    let masquerade = if random_fully {
        "MASQUERADE --random-fully"
    } else {
        "MASQUERADE"
    };
    let rules = [
        ("-m mark --mark 0x4000/0x4000".to_owned(), "RETURN"),
        (format!("-s {subnet} -d {network}"), "RETURN"),
        (format!("-s {network} -d {subnet}"), "RETURN"),
        (format!("! -s {network} -d {subnet}"), "RETURN"),
        (format!("-s {network} ! -d {multicast}"), masquerade),
        (format!("! -s {network} -d {network}"), masquerade),
    ];
    Chain {
        family,
        table: "nat",
        name: "FLANNEL-POSTRTG",
        from: "POSTROUTING",
        comment: MASQUERADE,
        rules: rules
            .map(|(condition, target)| rule(&condition, MASQUERADE, target))
            .to_vec(),
    }
}

fn forward_chain(family: Family, network: IpNetwork) -> Chain {
    let rules = [format!("-s {network}"), format!("-d {network}")];
    Chain {
        family,
        table: "filter",
        name: "FLANNEL-FWD",
        from: "FORWARD",
        comment: FORWARD,
        rules: rules
            .map(|condition| rule(&condition, FORWARD, "ACCEPT"))
            .to_vec(),
    }
}

fn rule(condition: &str, comment: &str, target: &str) -> String {
    format!(
        "{condition} {} -j {target}",
        iptables::comment_match(comment)
    )
}

impl Chain {
    fn what(&self) -> &'static str {
        if self.table == "nat" {
            "masquerade"
        } else {
            "forward"
        }
    }

    /// Returns whether anything had to change.
    fn ensure(&self) -> Result<bool, FirewallError> {
        let family = match self.family {
            Family::V4 => kernel::Family::V4,
            Family::V6 => kernel::Family::V6,
        };
        let jump = Jump {
            from: self.from,
            position: Position::Last,
            comment: Some(self.comment),
        };
        ensure_chain(family, self.table, self.name, &self.rules, &jump).map_err(|source| {
            FirewallError::Refused {
                what: self.what(),
                source,
            }
        })
    }
}

/// Keeps the chains of one node.
pub struct Firewall {
    chains: Vec<Chain>,
    features: Features,
    /// What was asked for and had to be left out.
    left_out: Option<Finding>,
}

impl Firewall {
    /// Installs the rules. Masquerading is what the user asked for, so its failure is an error;
    /// forward rules are on by default and may be impossible: then they are left out with a
    /// warning.
    ///
    /// # Errors
    /// The masquerade rules cannot be installed.
    pub async fn install(
        config: &NetworkConfig,
        own: &Subnets,
        features: Features,
    ) -> Result<Self, FirewallError> {
        let mut firewall = Self {
            chains: chains(config, own, features),
            features,
            left_out: None,
        };
        if let Err(error) = firewall.ensure().await {
            firewall.give_in(config, own, error).await?;
        }
        Ok(firewall)
    }

    /// Tries with less: without random ports, which old iptables lack, then without forward
    /// rules.
    async fn give_in(
        &mut self,
        config: &NetworkConfig,
        own: &Subnets,
        error: FirewallError,
    ) -> Result<(), FirewallError> {
        let mut attempts = Vec::new();
        if self.features.masquerade && self.features.random_fully {
            attempts.push(Features {
                random_fully: false,
                ..self.features
            });
        }
        if self.features.forward {
            attempts.push(Features {
                forward: false,
                ..self.features
            });
        }
        for features in attempts {
            let chains = chains(config, own, features);
            if ensure_all(chains.clone()).await.is_ok() {
                tracing::warn!(
                    error = %crate::chain(&error),
                    masquerade = features.masquerade,
                    forward = features.forward,
                    random_fully = features.random_fully,
                    "not all firewall rules can be installed, going on with these"
                );
                let forward = self.features.forward && !features.forward;
                *self = Self {
                    chains,
                    features,
                    left_out: forward.then(|| without_forward(&error)),
                };
                return Ok(());
            }
        }
        Err(error)
    }

    async fn ensure(&self) -> Result<bool, FirewallError> {
        ensure_all(self.chains.clone()).await
    }

    /// Compares every `period` and puts back what is missing, for ever.
    pub async fn keep(self, period: Duration, status: Arc<Status>) {
        loop {
            tokio::time::sleep(period).await;
            let outcome = self.ensure().await;
            if let Ok(true) = outcome {
                tracing::warn!("firewall rules were missing or changed, put back");
                status.repaired("firewall rules");
            }
            status.update(|state| {
                state.firewall.repairs += u64::from(matches!(outcome, Ok(true)));
            });
            let finding = outcome.err().map(|error| {
                let what = format!("firewall rules cannot be kept: {}", crate::chain(&error));
                Finding::new(Severity::NotReady, "rules", what)
                    .remedy("install iptables (package iptables), or stop what holds its lock")
            });
            self.report(&status, finding);
        }
    }

    /// Reports what was left out, and what is wrong now.
    pub fn report(&self, status: &Status, finding: Option<Finding>) {
        let findings = self.left_out.iter().cloned().chain(finding);
        status.report(Part::Firewall, findings.collect());
    }

    /// What is kept now.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Whether there is anything to keep.
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty()
    }
}

fn without_forward(error: &FirewallError) -> Finding {
    let what = format!(
        "forwarded traffic of the pod network is not accepted by rules of netd's, and may be \
         dropped: {}",
        crate::chain(error)
    );
    Finding::new(Severity::Degraded, "forward rules", what)
        .remedy("where other rules accept it, start netd with -iptables-forward-rules=false")
}

/// On a thread of its own: iptables takes milliseconds, in which the datapath must not wait.
async fn ensure_all(chains: Vec<Chain>) -> Result<bool, FirewallError> {
    let ensured = tokio::task::spawn_blocking(move || {
        let mut changed = false;
        for chain in &chains {
            changed |= chain.ensure()?;
        }
        Ok(changed)
    });
    ensured.await.map_err(FirewallError::Thread)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> (NetworkConfig, Subnets) {
        let config = br#"{"Network":"10.100.0.0/16","EnableIPv6":true,
            "IPv6Network":"fd00:100::/48","Backend":{"Type":"vxlan"}}"#;
        let own = Subnets::parse_key("10.100.86.0-24&fd00:100:0:26::-64").expect("key");
        (NetworkConfig::parse(config).expect("config"), own)
    }

    #[test]
    fn rules_are_flannels() {
        let (config, own) = node();
        let features = Features {
            masquerade: true,
            forward: true,
            random_fully: true,
        };
        let chains = chains(&config, &own, features);
        let golden = |n: &str, p: &str, m: &str| {
            let c = r#"-m comment --comment "flanneld masq""#;
            vec![
                format!("-m mark --mark 0x4000/0x4000 {c} -j RETURN"),
                format!("-s {p} -d {n} {c} -j RETURN"),
                format!("-s {n} -d {p} {c} -j RETURN"),
                format!("! -s {n} -d {p} {c} -j RETURN"),
                format!("-s {n} ! -d {m} {c} -j MASQUERADE --random-fully"),
                format!("! -s {n} -d {n} {c} -j MASQUERADE --random-fully"),
            ]
        };
        assert_eq!(chains.len(), 4);
        assert_eq!(
            chains[0].rules,
            golden("10.100.0.0/16", "10.100.86.0/24", "224.0.0.0/4")
        );
        assert_eq!(
            chains[2].rules,
            golden("fd00:100::/48", "fd00:100:0:26::/64", "ff00::/8")
        );
        let forward = r#"-m comment --comment "flanneld forward" -j ACCEPT"#;
        let both = [
            format!("-s 10.100.0.0/16 {forward}"),
            format!("-d 10.100.0.0/16 {forward}"),
        ];
        assert_eq!(chains[1].rules, both);
    }

    #[test]
    fn only_what_is_asked_for() {
        let (config, own) = node();
        let features = Features {
            masquerade: false,
            forward: false,
            random_fully: true,
        };
        assert!(chains(&config, &own, features).is_empty());
        let features = Features {
            masquerade: true,
            ..features
        };
        let plain = chains(
            &config,
            &own,
            Features {
                random_fully: false,
                ..features
            },
        );
        assert!(plain.iter().all(|chain| chain.name == "FLANNEL-POSTRTG"));
        assert!(
            plain
                .iter()
                .flat_map(|chain| &chain.rules)
                .all(|rule| !rule.contains("random"))
        );
    }
}

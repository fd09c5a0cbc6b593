//! What the rules of a node say, whichever program's form they take. Pure.

use backend::Family;
use cluster::{NetworkConfig, Subnets};
use ipnetwork::IpNetwork;

use super::Features;

use Side::{In, NotIn};

/// The rules of one family for one purpose, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleSet {
    pub(super) family: Family,
    pub(super) purpose: Purpose,
    pub(super) rules: Vec<Rule>,
}

/// What rules are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Masquerades what leaves the pod network.
    Masquerade,
    /// Accepts what is forwarded for it.
    Forward,
}

/// A rule: conditions that all hold, and what becomes of the packet then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// Bits of the packet's mark that are all set.
    pub(super) mark: Option<u32>,
    pub(super) source: Option<Side>,
    pub(super) destination: Option<Side>,
    pub(super) target: Target,
}

/// A condition on an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    In(IpNetwork),
    NotIn(IpNetwork),
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Return,
    Accept,
    Masquerade {
        /// With source ports at random.
        random_fully: bool,
    },
}

/// kube-proxy marks with it what it masquerades itself.
const KUBE_PROXY_MARK: u32 = 0x4000;

/// All rules for one node.
pub(super) fn rule_sets(config: &NetworkConfig, own: &Subnets, features: Features) -> Vec<RuleSet> {
    let mut sets = Vec::new();
    for family in Family::ALL {
        let (Some(network), Some(subnet)) = (family.network(config), family.subnet(own)) else {
            continue;
        };
        let mut add = |purpose, rules| {
            sets.push(RuleSet {
                family,
                purpose,
                rules,
            });
        };
        if features.masquerade {
            let rules = masquerading(network, subnet, features.random_fully);
            add(Purpose::Masquerade, rules);
        }
        if features.forward {
            add(Purpose::Forward, forwarding(network));
        }
    }
    sets
}

/// Traffic that kube-proxy marked for masquerading, and all traffic between pods, stays as it
/// is; pods' traffic to the world and the world's to remote pods gets this node's address.
fn masquerading(network: IpNetwork, subnet: IpNetwork, random_fully: bool) -> Vec<Rule> {
    let multicast = kernel::Family::from(network.ip()).multicast();
    let masquerade = Target::Masquerade { random_fully };
    vec![
        Rule {
            mark: Some(KUBE_PROXY_MARK),
            source: None,
            destination: None,
            target: Target::Return,
        },
        Rule::between(In(subnet), In(network), Target::Return),
        Rule::between(In(network), In(subnet), Target::Return),
        Rule::between(NotIn(network), In(subnet), Target::Return),
        Rule::between(In(network), NotIn(multicast), masquerade),
        Rule::between(NotIn(network), In(network), masquerade),
    ]
}

fn forwarding(network: IpNetwork) -> Vec<Rule> {
    let accept = Rule {
        mark: None,
        source: None,
        destination: None,
        target: Target::Accept,
    };
    vec![
        Rule {
            source: Some(In(network)),
            ..accept
        },
        Rule {
            destination: Some(In(network)),
            ..accept
        },
    ]
}

impl Rule {
    fn between(source: Side, destination: Side, target: Target) -> Self {
        Self {
            mark: None,
            source: Some(source),
            destination: Some(destination),
            target,
        }
    }
}

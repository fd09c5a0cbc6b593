//! Which of a pod's mapped connections get the host's address as their source, and the sets that say
//! so. A connection needs it when its answer would not come by the host otherwise: from 127.0.0.1, from
//! the pod itself, from another pod of its subnet.

use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::{IpNetwork, Ipv4Network};
use kernel::{
    Family,
    nft::{Action, Datum, Field, Key, KeyType, Match, NatFlags, NewRule, SetType},
};

use super::class::{Place, plain_name};
use crate::settings::Settings;

const HAIRPIN_PREFIX: &str = "hairpin-";

/// What becomes of the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// `snat: false`: every client keeps its address.
    Kept,
    /// `masqAll`: no client does.
    AllMasqueraded,
    /// Those do whose answers come by the host anyway.
    Hairpin,
}

impl Treatment {
    pub(crate) fn of(settings: &Settings) -> Self {
        match (settings.snat, settings.masq_all) {
            (false, _) => Self::Kept,
            (true, true) => Self::AllMasqueraded,
            (true, false) => Self::Hairpin,
        }
    }

    pub(crate) const ALL: [Self; 3] = [Self::Kept, Self::AllMasqueraded, Self::Hairpin];

    /// The set that the pod's address is in. A pod without neighbours has one of pairs, source and
    /// destination, which needs no rule of its own.
    pub(crate) fn place(self, pod: &IpNetwork) -> Place {
        let family = Family::from(pod);
        match self {
            Self::Kept => kept(family),
            Self::AllMasqueraded => all(family),
            Self::Hairpin if is_alone(pod) => pairs(family),
            Self::Hairpin => {
                // nft(8) reads letters, digits, dots, dashes and slashes in a name, but no colons.
                let set = format!("{HAIRPIN_PREFIX}{}", subnet(pod)).replace(':', "-");
                Place::of_addresses(set, family)
            }
        }
    }

    /// The keys of the pod in its set.
    pub(crate) fn keys(self, pod: &IpNetwork) -> Vec<Key> {
        let own = pod.ip();
        if self != Self::Hairpin || !is_alone(pod) {
            return vec![own.into()];
        }
        let from = |source: IpAddr| Key::Single(vec![Datum::Address(source), Datum::Address(own)]);
        let localhost = pod.is_ipv4().then(|| from(Ipv4Addr::LOCALHOST.into()));
        [from(own)].into_iter().chain(localhost).collect()
    }

    /// The rules for pods of this pod's subnet, if it has neighbours.
    pub(crate) fn subnet_rules(self, pod: &IpNetwork) -> Vec<NewRule<'static>> {
        if self != Self::Hairpin || is_alone(pod) {
            return Vec::new();
        }
        let set = self.place(pod).set;
        let localhost = pod.is_ipv4().then(loopback);
        localhost
            .into_iter()
            .chain([subnet(pod)])
            .map(|source| masquerade(vec![Match::source(source), to_pods(pod.into(), &set)]))
            .collect()
    }
}

/// The sets that are there without any pod.
pub(crate) fn static_places(family: Family) -> [Place; 3] {
    [kept(family), all(family), pairs(family)]
}

/// The rules that are there without any pod.
pub(crate) fn static_rules(family: Family) -> [NewRule<'static>; 2] {
    let fields = vec![Field::Source(family), Field::Destination(family)];
    [
        masquerade(vec![to_pods(family, &all(family).set)]),
        masquerade(vec![Match::In(fields, pairs(family).set)]),
    ]
}

/// Whether the set is one of a subnet.
pub(crate) fn is_of_subnet(set: &str) -> bool {
    set.starts_with(HAIRPIN_PREFIX)
}

fn kept(family: Family) -> Place {
    Place::of_addresses(format!("keep-source-{}", plain_name(family)), family)
}

fn all(family: Family) -> Place {
    Place::of_addresses(format!("masquerade-all-{}", plain_name(family)), family)
}

fn pairs(family: Family) -> Place {
    let address = KeyType::Address(family);
    Place {
        set: format!("hairpins-{}", plain_name(family)),
        types: SetType {
            key: vec![address, address],
            ..address.into()
        },
    }
}

fn to_pods(family: Family, set: &str) -> Match {
    Match::In(vec![Field::Destination(family)], set.to_owned())
}

fn masquerade(matches: Vec<Match>) -> NewRule<'static> {
    NewRule {
        matches,
        action: Some(Action::Masquerade(NatFlags::default())),
        ..NewRule::default()
    }
}

fn is_alone(pod: &IpNetwork) -> bool {
    pod.prefix() == Family::from(pod).bits()
}

#[allow(
    clippy::expect_used,
    reason = "the prefix length comes from a network of the same family"
)]
fn subnet(pod: &IpNetwork) -> IpNetwork {
    IpNetwork::new(pod.network(), pod.prefix()).expect("valid prefix length")
}

/// RFC 1122, section 3.2.1.3
#[allow(clippy::expect_used, reason = "8 is a prefix length of IPv4")]
pub(crate) fn loopback() -> IpNetwork {
    Ipv4Network::new(Ipv4Addr::new(127, 0, 0, 0), 8)
        .expect("valid prefix length")
        .into()
}

//! The table of ours: what is in it without any pod, and what a network adds to that.
//!
//! ```text
//! table inet podwire_portmap {
//!     map ports-v4 {
//!         type inet_proto . inet_service : ipv4_addr . inet_service
//!         elements = { tcp . 8080 comment "<owner>" : 10.22.0.5 . 80 }
//!     }
//!     map addresses-v4 {
//!         type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
//!         elements = { 192.0.2.1 . tcp . 8081 comment "<owner>" : 10.22.0.6 . 80 }
//!     }
//!     set claimed-v4 {
//!         type inet_proto . inet_service
//!         elements = { tcp . 8081 comment "addresses: 1" }
//!     }
//!     set waiting-v4 {
//!         type ipv4_addr
//!         elements = { 10.23.0.5 comment "<owner in a second network>" }
//!     }
//!     set hairpin-10.22.0.0/16 {
//!         type ipv4_addr
//!         elements = { 10.22.0.5 comment "<owner>" }
//!     }
//!     chain guard {
//!         type filter hook prerouting priority raw; policy accept;
//!         iifname != "lo" ip daddr 127.0.0.0/8 drop
//!     }
//!     chain prerouting {
//!         type nat hook prerouting priority dstnat; policy accept;
//!         fib daddr type local jump hostports
//!     }
//!     chain output {
//!         type nat hook output priority dstnat; policy accept;
//!         fib daddr type local jump hostports
//!     }
//!     chain hostports {
//!         ip6 daddr ::1 return
//!         dnat ip to ip daddr . meta l4proto . th dport map @addresses-v4
//!         meta nfproto ipv4 dnat ip to meta l4proto . th dport map @ports-v4
//!         ...
//!     }
//!     chain postrouting {
//!         type nat hook postrouting priority srcnat; policy accept;
//!         ct status ! dnat return
//!         ip daddr @masquerade-all-v4 masquerade
//!         ip saddr 127.0.0.0/8 ip daddr @hairpin-10.22.0.0/16 masquerade
//!         ip saddr 10.22.0.0/16 ip daddr @hairpin-10.22.0.0/16 masquerade
//!         ...
//!     }
//! }
//! ```
//!
//! A mapping is one element, a pod one more. All maps and sets are plain hash tables: an insertion and a
//! look-up cost the same with one pod and with five thousand. Conditions of a network are a rule that
//! jumps to a chain with maps of its own.
//!
//! The guard is there because `route_localnet`, which 127.0.0.1 needs on its way to a pod, would let pods
//! reach what listens on the host's 127.0.0.1 alone. `::1` has no such sysctl, so it goes to the host's
//! own sockets at once and does not wait for an answer that cannot come.

use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::IpNetwork;
use kernel::{
    Family,
    nft::{
        Action, ChainKind, Existing, Field, Hook, Key, Match, NatFlags, NewChain, NewElement,
        NewRule, NewSet, Nft, Point, Policy, Position, Priority, Rule, Table, TableFamily, Test,
        Transaction, Translation, Verdict,
    },
};

use super::{
    class::{self, Class, Place, plain_name},
    siblings,
    source::{self, Treatment},
};
use crate::{
    conditions::{self, Condition},
    error::ConfigError,
    settings::Settings,
};

pub(crate) const TABLE: Table<'_> = Table {
    family: TableFamily::Inet,
    name: "podwire_portmap",
};
const TABLE_COMMENT: &str = "podwire: ports of this host that lead to pods";
pub(crate) const HOSTPORTS: &str = "hostports";
const POSTROUTING: &str = "postrouting";

/// The base chains: name and hook.
pub(crate) const BASE_CHAINS: [(&str, Hook); 4] = [
    (
        "guard",
        hook(ChainKind::Filter, Point::Prerouting, Priority::RAW),
    ),
    (
        "prerouting",
        hook(ChainKind::Nat, Point::Prerouting, DSTNAT),
    ),
    ("output", hook(ChainKind::Nat, Point::Output, DSTNAT)),
    (
        POSTROUTING,
        hook(
            ChainKind::Nat,
            Point::Postrouting,
            Priority::srcnat(TableFamily::Inet),
        ),
    ),
];
const DSTNAT: Priority = Priority::dstnat(TableFamily::Inet);

const fn hook(kind: ChainKind, point: Point, priority: Priority) -> Hook {
    Hook {
        kind,
        point,
        priority,
        policy: Policy::Accept,
    }
}

/// A rule and its place.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub chain: String,
    pub rule: NewRule<'static>,
    pub position: Position,
}

impl Placed {
    fn last(chain: impl Into<String>, rule: NewRule<'static>) -> Self {
        Self {
            chain: chain.into(),
            rule,
            position: Position::Last,
        }
    }

    fn first(chain: impl Into<String>, rule: NewRule<'static>) -> Self {
        Self {
            position: Position::First,
            ..Self::last(chain, rule)
        }
    }

    /// Whether the rule is it, wherever it is among those of its chain.
    pub(crate) fn is(&self, rule: &Rule) -> bool {
        rule.chain == self.chain
            && rule.matches == self.rule.matches
            && rule.action == self.rule.action
    }
}

/// A set or map, with what it always holds and what nft(8) shows of it.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    pub place: Place,
    pub comment: Option<String>,
    pub keys: Vec<Key>,
}

impl Shelf {
    fn empty(place: Place) -> Self {
        Self {
            place,
            comment: None,
            keys: Vec::new(),
        }
    }
}

/// All that must be there for the mappings of an attachment but its own elements.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scaffold {
    pub chains: Vec<String>,
    pub shelves: Vec<Shelf>,
    pub rules: Vec<Placed>,
}

impl Scaffold {
    /// What is there without any pod.
    pub(crate) fn common() -> Self {
        let mut all = Self {
            chains: vec![HOSTPORTS.to_owned()],
            ..Self::default()
        };
        all.rules.extend(entries());
        for family in Family::ALL {
            all.add_maps(&Class::plain(family), HOSTPORTS);
            let claimed = Shelf::empty(claimed(family));
            let waiting = Shelf::empty(siblings::place(family));
            let sources = source::static_places(family).map(Shelf::empty);
            all.shelves.extend([claimed, waiting]);
            all.shelves.extend(sources);
            let rules = source::static_rules(family);
            all.rules
                .extend(rules.map(|rule| Placed::last(POSTROUTING, rule)));
        }
        all
    }

    /// What the settings need for pods of the targets' subnets, with what is there without.
    pub(crate) fn of(settings: &Settings, targets: &[IpNetwork]) -> Result<Self, ConfigError> {
        Self::common().with(settings, targets)
    }

    /// The same without the ways into the table.
    pub(crate) fn without_entries(
        settings: &Settings,
        targets: &[IpNetwork],
    ) -> Result<Self, ConfigError> {
        let mut all = Self::common();
        all.rules.clear();
        all.with(settings, targets)
    }

    fn with(self, settings: &Settings, targets: &[IpNetwork]) -> Result<Self, ConfigError> {
        let mut all = self;
        let treatment = Treatment::of(settings);
        for target in settings.mapped(targets) {
            all.add_conditions(target.into(), settings.conditions(target.into()))?;
            all.shelves.push(Shelf::empty(treatment.place(target)));
            let rules = treatment.subnet_rules(target).into_iter();
            all.rules
                .extend(rules.map(|rule| Placed::last(POSTROUTING, rule)));
        }
        Ok(all)
    }

    fn add_conditions(&mut self, family: Family, words: &[String]) -> Result<(), ConfigError> {
        let class = Class::new(family, words);
        let Some(chain) = class.chain() else {
            return Ok(());
        };
        let mut matches = vec![Match::Is(Test::Family(family))];
        for (number, condition) in conditions::read(family, words)?.into_iter().enumerate() {
            matches.push(match condition {
                Condition::Match(condition) => condition,
                Condition::OneOf(choice) => {
                    let place = Place {
                        set: class.condition_set(number),
                        types: choice.set_type(),
                    };
                    let condition = choice.look_up(place.set.clone());
                    self.shelves.push(Shelf {
                        place,
                        comment: None,
                        keys: choice.keys,
                    });
                    condition
                }
            });
        }
        let jump = jump(settled(matches, family), &chain);
        self.rules.push(Placed::last(HOSTPORTS, jump));
        self.add_maps(&class, &chain);
        for shelf in &mut self.shelves {
            if [class.ports(), class.addresses()].contains(&shelf.place) {
                shelf.comment = Some(format!("{} {}", conditions::key(family), words.join(" ")));
            }
        }
        self.chains.push(chain);
        Ok(())
    }

    /// Mappings on one address go before those on all.
    fn add_maps(&mut self, class: &Class, chain: &str) {
        let (addresses, ports) = (class.addresses(), class.ports());
        let family = class.family;
        let by_address = translate(class.address_fields(), &addresses.set, family);
        let by_port = NewRule {
            matches: vec![Match::Is(Test::Family(family))],
            ..translate(Class::port_fields(), &ports.set, family)
        };
        self.rules
            .extend([by_address, by_port].map(|rule| Placed::last(chain, rule)));
        self.shelves.extend([addresses, ports].map(Shelf::empty));
    }

    /// Whether all its rules are there, and so the chains and sets that they use.
    pub(crate) fn is_complete(&self, present: &[Rule]) -> bool {
        self.missing(present).next().is_none()
    }

    /// Whether a chain is one of those that are known here.
    pub(crate) fn chains_of_ours(&self, chain: &str) -> bool {
        BASE_CHAINS.iter().any(|(name, _)| *name == chain)
            || self.chains.iter().any(|name| name == chain)
    }

    /// Adds what is missing, and wakes the table if it is dormant. The kernel refuses (EEXIST) a base
    /// chain that has another hook.
    pub(crate) fn complete(&self, transaction: Transaction, present: &[Rule]) -> Transaction {
        let transaction = transaction
            .add_table(TABLE, Some(TABLE_COMMENT), Existing::Keep)
            .wake_table(TABLE);
        let transaction = self.add_chains(declare_base_chains(transaction));
        let transaction = self.add_sets(transaction);
        self.missing(present)
            .fold(transaction, |transaction, placed| {
                transaction.add_rule_at(placed.position, TABLE, &placed.chain, &placed.rule)
            })
    }

    fn add_chains(&self, transaction: Transaction) -> Transaction {
        self.chains.iter().fold(transaction, |transaction, name| {
            add_chain(transaction, name, None)
        })
    }

    fn add_sets(&self, mut transaction: Transaction) -> Transaction {
        for shelf in &self.shelves {
            let Place { set, types } = &shelf.place;
            let new = NewSet {
                name: set,
                kind: types.clone(),
                comment: shelf.comment.as_deref(),
            };
            transaction = transaction.add_set(TABLE, new, Existing::Keep);
            for key in &shelf.keys {
                let element = NewElement::from(key.clone());
                transaction = transaction.add_element(TABLE, set, types, element, Existing::Keep);
            }
        }
        transaction
    }

    /// The rules that `present` lacks.
    pub(crate) fn missing<'a>(
        &'a self,
        present: &'a [Rule],
    ) -> impl Iterator<Item = &'a Placed> + 'a {
        self.rules
            .iter()
            .filter(|placed| !present.iter().any(|rule| placed.is(rule)))
    }
}

/// Whether the table is awake and each base chain at its hook.
///
/// # Errors
/// What the kernel answers.
pub(crate) fn is_active(nft: &mut Nft) -> kernel::Result<bool> {
    if nft.is_dormant(TABLE)? {
        return Ok(false);
    }
    for (name, hook) in BASE_CHAINS {
        if nft.chain(TABLE, name)?.and_then(|chain| chain.hook) != Some(hook) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn declare_base_chains(transaction: Transaction) -> Transaction {
    BASE_CHAINS
        .iter()
        .fold(transaction, |transaction, (name, hook)| {
            add_chain(transaction, name, Some(*hook))
        })
}

fn add_chain(transaction: Transaction, name: &str, hook: Option<Hook>) -> Transaction {
    let chain = NewChain {
        name,
        hook,
        comment: None,
    };
    transaction.add_chain(TABLE, chain, Existing::Keep)
}

/// What the ways into the table are.
fn entries() -> Vec<Placed> {
    let to_host = || jump(vec![Match::Is(Test::DestinationIsLocal)], HOSTPORTS);
    let verdict = |matches, verdict: Verdict| NewRule {
        matches,
        action: Some(verdict.into()),
        ..NewRule::default()
    };
    let from_outside = vec![
        Match::Not(Test::InputInterface("lo".to_owned())),
        Match::destination(source::loopback()),
    ];
    let ipv6_loopback = IpNetwork::from(IpAddr::from(Ipv6Addr::LOCALHOST));
    let to_ipv6_loopback = vec![Match::destination(ipv6_loopback)];
    let of_others = vec![Match::Not(Test::Dnatted)];
    vec![
        Placed::last("guard", verdict(from_outside, Verdict::Drop)),
        Placed::last("prerouting", to_host()),
        Placed::last("output", to_host()),
        Placed::first(HOSTPORTS, verdict(to_ipv6_loopback, Verdict::Return)),
        Placed::first(POSTROUTING, verdict(of_others, Verdict::Return)),
    ]
}

fn jump(matches: Vec<Match>, chain: &str) -> NewRule<'static> {
    NewRule {
        matches,
        action: Some(Verdict::Jump(chain.to_owned()).into()),
        ..NewRule::default()
    }
}

fn translate(key: Vec<Field>, map: &str, family: Family) -> NewRule<'static> {
    let to = Translation::Of {
        key,
        map: map.to_owned(),
        family,
        with_port: true,
    };
    NewRule {
        action: Some(Action::Dnat(to, NatFlags::default())),
        ..NewRule::default()
    }
}

/// The check of the family is left out where another condition brings it along: so it is read back.
fn settled(mut matches: Vec<Match>, family: Family) -> Vec<Match> {
    let implies = |condition: &Match| match condition {
        Match::Is(Test::Source(_) | Test::Destination(_))
        | Match::Not(Test::Source(_) | Test::Destination(_)) => true,
        Match::In(fields, _) | Match::NotIn(fields, _) => fields
            .iter()
            .any(|field| [Field::Source(family), Field::Destination(family)].contains(field)),
        _ => false,
    };
    if matches[1..].iter().any(implies) {
        matches.remove(0);
    }
    matches
}

/// Ports that are mapped on one address, by whatever network: whoever wants one on all addresses need
/// not look through them.
pub(crate) fn claimed(family: Family) -> Place {
    Place {
        set: format!("claimed-{}", plain_name(family)),
        types: class::set_of_ports(),
    }
}

/// Whether a set of this type and name holds what belongs to pods.
pub(crate) fn is_of_pods(set: &str) -> bool {
    let prefixes = [
        "ports-",
        "addresses-",
        "keep-source-",
        "masquerade-all-",
        "hairpins-",
        siblings::PREFIX,
    ];
    source::is_of_subnet(set) || prefixes.iter().any(|prefix| set.starts_with(prefix))
}

//! Our own nftables table.
//!
//! ```text
//! table inet podwire_flowtable {
//!     set between {
//!         type ifname . ifname
//!         elements = { "cni0" . "eth0", "eth0" . "cni0" }
//!     }
//!     flowtable streams {
//!         hook ingress priority filter
//!         devices = { cni0, eth0 }
//!     }
//!     chain forward {
//!         type filter hook forward priority 300; policy accept;
//!         meta length > 4096 iifname . oifname @between ct state established flow add @streams
//!     }
//! }
//! ```
//!
//! The flowtable alone does not say between which links: a rule without the set would take connections of everybody
//! that are forwarded, in the directions whose links it looks at.

use kernel::{
    IfName, Netlink, Result,
    nft::{
        ChainKind, Datum, Element, Existing, Field, Hook, Key, KeyType, Match, NewChain, NewRule,
        NewSet, Nft, Point, Policy, Priority, Rule, SetType, Statement, States, Table, TableFamily,
        Test, Transaction,
    },
};

const TABLE: Table<'_> = Table {
    family: TableFamily::Inet,
    name: "podwire_flowtable",
};
const TABLE_COMMENT: &str = "podwire: long connections between pods and uplinks";
const FLOWTABLE: &str = "streams";
const SET: &str = "between";
const CHAIN: &str = "forward";
/// Behind all filters: what one of them drops is not taken.
const HOOK: Hook = Hook {
    kind: ChainKind::Filter,
    point: Point::Forward,
    priority: Priority(300),
    policy: Policy::Accept,
};
/// In bytes. Single packets are not so large but on links with jumbo frames; of a stream several go as one (GRO, GSO).
const LONGER_THAN: u32 = 4096;

/// From a link that pods are behind to the uplinks, and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ways<'a> {
    pub uplinks: &'a [IfName],
    pub link: &'a IfName,
}

impl Ways<'_> {
    /// What is not as it should be, in the words of nft(8); the first thing.
    pub(super) fn lacking(&self, nft: &mut Nft) -> Result<Option<String>> {
        if nft.is_dormant(TABLE)? {
            return Ok(Some(format!("table {TABLE} is dormant")));
        }
        if !is_hooked(nft)? {
            return Ok(Some(format!(
                "chain {TABLE} {CHAIN} is not \"type filter hook forward priority 300; policy accept\""
            )));
        }
        if !has_rule(nft)? {
            return Ok(Some(format!(
                "chain {TABLE} {CHAIN} has no rule \"meta length > {LONGER_THAN} iifname . oifname @{SET} \
                 ct state established flow add @{FLOWTABLE}\""
            )));
        }
        let there = devices(nft)?;
        if let Some(device) = self
            .devices()
            .find(|name| !there.iter().any(|is| is == name))
        {
            return Ok(Some(format!(
                "flowtable {TABLE} {FLOWTABLE} has no device {device}"
            )));
        }
        for key in self.keys() {
            if nft.element(TABLE, SET, &set_type(), key.clone())?.is_none() {
                return Ok(Some(format!("set {TABLE} {SET} has no {key}")));
            }
        }
        Ok(None)
    }

    /// Adds what is not there, and says whether that is the rule. A chain that has another hook is made anew.
    pub(super) fn add(
        &self,
        nft: &mut Nft,
        transaction: Transaction,
    ) -> Result<(Transaction, bool)> {
        if self.lacking(nft)?.is_none() {
            return Ok((transaction, false));
        }
        let chain = nft.chain(TABLE, CHAIN)?;
        let is_hooked = chain.as_ref().is_some_and(|chain| chain.hook == Some(HOOK));
        let has_rule = is_hooked && has_rule(nft)?;
        let mut transaction = transaction;
        if chain.is_some() && !is_hooked {
            transaction = transaction.delete_chain(TABLE, CHAIN);
        }
        let devices: Vec<&str> = self.devices().collect();
        transaction = with_objects(transaction, &devices);
        if !has_rule {
            transaction = with_chain(transaction);
        }
        let transaction = self.keys().fold(transaction, |transaction, key| {
            transaction.add_element(TABLE, SET, &set_type(), key.into(), Existing::Keep)
        });
        Ok((transaction, !has_rule))
    }

    fn devices(&self) -> impl Iterator<Item = &str> {
        let all = self.uplinks.iter().chain([self.link]);
        all.map(IfName::as_str)
    }

    fn keys(&self) -> impl Iterator<Item = Key> {
        let pairs = self
            .uplinks
            .iter()
            .flat_map(|uplink| [[self.link, uplink], [uplink, self.link]]);
        pairs.map(|pair| Key::Single(pair.map(|name| Datum::Interface(name.to_string())).to_vec()))
    }
}

/// All that a kernel must have, of the link that every network namespace has.
pub(super) fn of_loopback() -> Transaction {
    with_chain(with_objects(Transaction::new(), &["lo"]))
}

/// Awake, if it was dormant. The links join those that are there.
fn with_objects(transaction: Transaction, devices: &[&str]) -> Transaction {
    let set = NewSet {
        name: SET,
        kind: set_type(),
        comment: None,
    };
    transaction
        .add_table(TABLE, Some(TABLE_COMMENT), Existing::Keep)
        .wake_table(TABLE)
        .add_set(TABLE, set, Existing::Keep)
        .add_flowtable(TABLE, FLOWTABLE, devices, Existing::Keep)
}

fn with_chain(transaction: Transaction) -> Transaction {
    let chain = NewChain {
        name: CHAIN,
        hook: Some(HOOK),
        comment: None,
    };
    transaction
        .add_chain(TABLE, chain, Existing::Keep)
        .flush_chain(TABLE, CHAIN)
        .add_rule(TABLE, CHAIN, &rule())
}

fn set_type() -> SetType {
    SetType {
        key: vec![KeyType::InterfaceName; 2],
        data: None,
        intervals: false,
    }
}

/// Most packets are small, and end at the first condition.
fn rule() -> NewRule<'static> {
    NewRule {
        matches: vec![
            Match::Is(Test::LongerThan(LONGER_THAN)),
            Match::In(
                vec![Field::InputInterface, Field::OutputInterface],
                SET.to_owned(),
            ),
            Match::Is(Test::ConntrackState(States::ESTABLISHED)),
        ],
        statements: vec![Statement::AddFlow(FLOWTABLE.to_owned())],
        ..NewRule::default()
    }
}

fn is_hooked(nft: &mut Nft) -> Result<bool> {
    let chain = nft.chain(TABLE, CHAIN)?;
    Ok(chain.is_some_and(|chain| chain.hook == Some(HOOK)))
}

fn has_rule(nft: &mut Nft) -> Result<bool> {
    let wanted = rule();
    let says = |rule: &Rule| {
        rule.matches == wanted.matches
            && rule.statements == wanted.statements
            && rule.action == wanted.action
    };
    Ok(nft.rules(TABLE, CHAIN)?.iter().any(says))
}

/// Those of the flowtable.
fn devices(nft: &mut Nft) -> Result<Vec<String>> {
    let flowtables = nft.flowtables(TABLE)?.into_iter();
    let mut ours = flowtables.filter(|flowtable| flowtable.name == FLOWTABLE);
    Ok(ours
        .next()
        .map(|flowtable| flowtable.devices)
        .unwrap_or_default())
}

/// Takes out whatever names a link that goes.
pub(super) fn without(
    nft: &mut Nft,
    transaction: Transaction,
    goes: impl Fn(&str) -> bool,
) -> Result<Transaction> {
    let keys = keys_with(nft.elements(TABLE, SET, &set_type())?, &goes);
    let mut devices = devices(nft)?;
    devices.retain(|name| goes(name));
    Ok(less(transaction, keys, &devices))
}

/// Takes out whatever names a link that there is not, and the table if nothing else is left in it.
pub(super) fn garbage(nft: &mut Nft, transaction: Transaction) -> Result<Transaction> {
    if nft.table(TABLE)?.is_none() {
        return Ok(transaction);
    }
    let elements = nft.elements(TABLE, SET, &set_type())?;
    let devices = devices(nft)?;
    // Read behind the names: one that is made since comes with a change of the ruleset.
    let links = Netlink::open()?.links()?;
    let goes = |name: &str| !links.iter().any(|link| link.name.as_str() == name);
    let all = elements.len();
    let keys = keys_with(elements, &goes);
    if keys.len() == all {
        return Ok(transaction.delete_table(TABLE));
    }
    let gone: Vec<String> = devices.into_iter().filter(|name| goes(name)).collect();
    Ok(less(transaction, keys, &gone))
}

fn keys_with(elements: Vec<Element>, goes: &impl Fn(&str) -> bool) -> Vec<Key> {
    let names = |key: &Key| match key {
        Key::Single(values) | Key::Range(values, _) => values
            .iter()
            .any(|value| matches!(value, Datum::Interface(name) if goes(name))),
    };
    let keys = elements.into_iter().map(|element| element.key);
    keys.filter(names).collect()
}

fn less(transaction: Transaction, keys: Vec<Key>, devices: &[String]) -> Transaction {
    let transaction = keys.into_iter().fold(transaction, |transaction, key| {
        transaction.delete_element(TABLE, SET, &set_type(), key)
    });
    if devices.is_empty() {
        return transaction;
    }
    let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
    transaction.delete_flowtable_devices(TABLE, FLOWTABLE, &devices)
}

//! Reading tables, chains, rules, sets and elements back.

use std::{io, net::IpAddr};

use netlink_packet_netfilter::{
    NetfilterProtoFamily,
    nftables::{
        ChainMessage, GenMessage, NfTablesMessage, RuleMessage, SetAttribute, SetElementList,
        SetElementMessage, SetMessage, TableAttribute, TableMessage,
    },
};

use super::{
    Action, Family, Match, NewElement, Nft, Table,
    attribute::{attributes, find, number, text},
    decode, transaction, userdata,
};
use crate::{Error, Result};

/// Attributes as `linux/netfilter/nf_tables.h` numbers them.
mod kind {
    pub(super) const TABLE_NAME: u16 = 1;
    pub(super) const GENERATION_ID: u16 = 1;
    pub(super) const CHAIN_TABLE: u16 = 1;
    pub(super) const CHAIN_NAME: u16 = 3;
    pub(super) const CHAIN_HOOK: u16 = 4;
    pub(super) const CHAIN_USE: u16 = 6;
    pub(super) const CHAIN_USERDATA: u16 = 12;
    pub(super) const RULE_CHAIN: u16 = 2;
    pub(super) const RULE_HANDLE: u16 = 3;
    pub(super) const RULE_EXPRESSIONS: u16 = 4;
    pub(super) const RULE_USERDATA: u16 = 7;
    pub(super) const SET_NAME: u16 = 2;
    pub(super) const SET_USERDATA: u16 = 13;
    pub(super) const ELEMENT_LIST: u16 = 3;
    pub(super) const ELEMENT_KEY: u16 = 1;
    pub(super) const ELEMENT_USERDATA: u16 = 6;
    pub(super) const DATA_VALUE: u16 = 1;
}

/// A chain as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The name, unique in the table.
    pub name: String,
    /// How many rules it holds and how many jumps lead to it, added up.
    pub references: u32,
    /// Whether it is a base chain.
    pub is_base: bool,
    /// The comment, if any.
    pub comment: Option<String>,
}

/// A rule as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Identifies the rule within its table.
    pub handle: u64,
    /// The chain that holds it.
    pub chain: String,
    /// The conditions; counters and the checks of the IP version that they imply are left out.
    pub matches: Vec<Match>,
    /// What it does, if that is one of ours.
    pub action: Option<Action>,
    /// The comment, also one stored by iptables-nft as an extension.
    pub comment: Option<String>,
}

/// A set as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The name, unique in the table.
    pub name: String,
    /// The comment, if any.
    pub comment: Option<String>,
}

/// An element of a set of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The key.
    pub key: IpAddr,
    /// The comment, if any.
    pub comment: Option<String>,
}

impl Nft {
    /// The number that the kernel raises with every committed transaction.
    ///
    /// # Errors
    /// What the kernel answers; see [`Nft::is_unsupported`].
    pub fn generation(&mut self) -> Result<u32> {
        let generation = self.generation_number();
        generation.map_err(|source| Error::new("get", "nftables generation", source))
    }

    pub(super) fn generation_number(&mut self) -> io::Result<u32> {
        let message = NfTablesMessage::GetGen(GenMessage {
            attributes: Vec::new(),
        });
        let read = |bytes: &[u8]| find(bytes, kind::GENERATION_ID).and_then(number);
        let generation = self.get(NetfilterProtoFamily::Unspec, message, read)?;
        generation.ok_or_else(|| io::Error::other("no generation in the answer"))
    }

    /// Whether the table exists.
    ///
    /// # Errors
    /// What the kernel answers, with the table's name.
    pub fn has_table(&mut self, table: Table<'_>) -> Result<bool> {
        let attributes = vec![TableAttribute::Name(table.name.into())];
        let message = NfTablesMessage::GetTable(TableMessage { attributes });
        let found = self.get(table.family.protocol(), message, |_| Some(()));
        Ok(found
            .map_err(|source| Error::new("get table", table, source))?
            .is_some())
    }

    /// The names of a family's tables.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn tables(&mut self, family: Family) -> Result<Vec<String>> {
        let message = NfTablesMessage::GetTable(TableMessage {
            attributes: Vec::new(),
        });
        self.dump(family.protocol(), message, |bytes, names| {
            names.extend(
                find(bytes, kind::TABLE_NAME)
                    .and_then(text)
                    .map(str::to_owned),
            );
        })
        .map_err(|source| Error::new("list tables", family, source))
    }

    /// A chain, if it exists.
    ///
    /// # Errors
    /// What the kernel answers, with the chain's name.
    pub fn chain(&mut self, table: Table<'_>, name: &str) -> Result<Option<Chain>> {
        let attributes = transaction::chain_name(table, name);
        let message = NfTablesMessage::GetChain(ChainMessage { attributes });
        self.get(table.family.protocol(), message, |bytes| {
            chain(table, bytes)
        })
        .map_err(|source| Error::new("get chain", format!("{table} {name}"), source))
    }

    /// The chains of a table; none when the table does not exist.
    ///
    /// # Errors
    /// What the kernel answers, with the table's name.
    pub fn chains(&mut self, table: Table<'_>) -> Result<Vec<Chain>> {
        let message = NfTablesMessage::GetChain(ChainMessage {
            attributes: Vec::new(),
        });
        let read = |bytes: &[u8], chains: &mut Vec<Chain>| chains.extend(chain(table, bytes));
        self.dump(table.family.protocol(), message, read)
            .map_err(|source| Error::new("list chains", table, source))
    }

    /// The rules of a chain, in order; none when the chain does not exist.
    ///
    /// # Errors
    /// What the kernel answers, with the chain's name.
    pub fn rules(&mut self, table: Table<'_>, chain: &str) -> Result<Vec<Rule>> {
        let attributes = transaction::rule_chain(table, chain);
        let message = NfTablesMessage::GetRule(RuleMessage { attributes });
        let read = |bytes: &[u8], rules: &mut Vec<Rule>| {
            rules.extend(rule(bytes).filter(|rule| rule.chain == chain));
        };
        self.dump(table.family.protocol(), message, read)
            .map_err(|source| Error::new("list rules", format!("{table} {chain}"), source))
    }

    /// The sets of a table; none when the table does not exist.
    ///
    /// # Errors
    /// What the kernel answers, with the table's name.
    pub fn sets(&mut self, table: Table<'_>) -> Result<Vec<Set>> {
        let attributes = vec![SetAttribute::Table(table.name.into())];
        let message = NfTablesMessage::GetSet(SetMessage { attributes });
        let read = |bytes: &[u8], sets: &mut Vec<Set>| sets.extend(set(bytes));
        self.dump(table.family.protocol(), message, read)
            .map_err(|source| Error::new("list sets", table, source))
    }

    /// The element of a set with this key; `None` also when the set does not exist.
    ///
    /// # Errors
    /// What the kernel answers, with the set's name and the key.
    pub fn element(&mut self, table: Table<'_>, set: &str, key: IpAddr) -> Result<Option<Element>> {
        let element = NewElement { key, comment: None };
        let message =
            NfTablesMessage::GetSetElement(transaction::set_elements(table, set, &element));
        self.get(table.family.protocol(), message, |bytes| {
            elements(bytes).next()
        })
        .map_err(|source| Error::new("get element", format!("{table} {set} {key}"), source))
    }

    /// The elements of a set of addresses; none when the set does not exist.
    ///
    /// # Errors
    /// What the kernel answers, with the set's name.
    pub fn elements(&mut self, table: Table<'_>, set: &str) -> Result<Vec<Element>> {
        let attributes = vec![
            SetElementList::Table(table.name.into()),
            SetElementList::Set(set.into()),
        ];
        let message = NfTablesMessage::GetSetElement(SetElementMessage { attributes });
        let read = |bytes: &[u8], found: &mut Vec<Element>| found.extend(elements(bytes));
        self.dump(table.family.protocol(), message, read)
            .map_err(|source| Error::new("list elements", format!("{table} {set}"), source))
    }
}

/// `None` for a chain of another table: the kernel lists those of the whole family.
fn chain(table: Table<'_>, bytes: &[u8]) -> Option<Chain> {
    find(bytes, kind::CHAIN_TABLE)
        .and_then(text)
        .filter(|name| *name == table.name)?;
    Some(Chain {
        name: find(bytes, kind::CHAIN_NAME).and_then(text)?.to_owned(),
        references: find(bytes, kind::CHAIN_USE)
            .and_then(number)
            .unwrap_or_default(),
        is_base: find(bytes, kind::CHAIN_HOOK).is_some(),
        comment: comment(bytes, kind::CHAIN_USERDATA, userdata::COMMENT),
    })
}

fn rule(bytes: &[u8]) -> Option<Rule> {
    let content = find(bytes, kind::RULE_EXPRESSIONS)
        .map(decode::rule)
        .unwrap_or_default();
    let handle = find(bytes, kind::RULE_HANDLE)?.try_into().ok()?;
    Some(Rule {
        handle: u64::from_be_bytes(handle),
        chain: find(bytes, kind::RULE_CHAIN).and_then(text)?.to_owned(),
        matches: content.matches,
        action: content.action,
        comment: comment(bytes, kind::RULE_USERDATA, userdata::COMMENT).or(content.comment),
    })
}

fn set(bytes: &[u8]) -> Option<Set> {
    Some(Set {
        name: find(bytes, kind::SET_NAME).and_then(text)?.to_owned(),
        comment: comment(bytes, kind::SET_USERDATA, userdata::SET_COMMENT),
    })
}

fn elements(bytes: &[u8]) -> impl Iterator<Item = Element> {
    let list = find(bytes, kind::ELEMENT_LIST).unwrap_or_default();
    attributes(list).filter_map(|(_, element)| {
        let key = find(element, kind::ELEMENT_KEY).and_then(|key| find(key, kind::DATA_VALUE))?;
        Some(Element {
            key: decode::address(key)?,
            comment: comment(element, kind::ELEMENT_USERDATA, userdata::COMMENT),
        })
    })
}

fn comment(bytes: &[u8], attribute: u16, record: u8) -> Option<String> {
    userdata::read_comment(record, find(bytes, attribute)?)
}

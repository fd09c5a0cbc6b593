//! Reading tables, chains, rules, sets and elements back.

use std::net::IpAddr;

use netlink_packet_netfilter::{
    NetfilterProtoFamily,
    nftables::{
        ChainAttribute, ChainMessage, DataAttribute, GenAttribute, GenMessage, ListAttribute,
        NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute, SetElementAttribute,
        SetElementList, SetElementMessage, SetMessage, TableAttribute, TableMessage,
    },
};

use super::{Action, Family, Match, NewElement, Nft, Table, decode, transaction, userdata};
use crate::{Error, Result};

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
        let message = NfTablesMessage::GetGen(GenMessage {
            attributes: Vec::new(),
        });
        let fail = |source| Error::new("get", "nftables generation", source);
        let answer = self
            .get(NetfilterProtoFamily::Unspec, message)
            .map_err(fail)?;
        let Some(NfTablesMessage::NewGen(GenMessage { attributes })) = answer else {
            return Err(fail(std::io::Error::other("no generation in the answer")));
        };
        let id = attributes
            .into_iter()
            .find_map(|attribute| match attribute {
                GenAttribute::Id(id) => Some(id),
                _ => None,
            });
        id.ok_or_else(|| fail(std::io::Error::other("no generation in the answer")))
    }

    /// Whether the table exists.
    ///
    /// # Errors
    /// What the kernel answers, with the table's name.
    pub fn has_table(&mut self, table: Table<'_>) -> Result<bool> {
        let attributes = vec![TableAttribute::Name(table.name.into())];
        let message = NfTablesMessage::GetTable(TableMessage { attributes });
        let answer = self.get(table.family.protocol(), message);
        Ok(answer
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
        let fail = |source| Error::new("list tables", family, source);
        let names = |message| match message {
            NfTablesMessage::NewTable(TableMessage { attributes }) => attributes
                .into_iter()
                .find_map(|attribute| match attribute {
                    TableAttribute::Name(name) => Some(name),
                    _ => None,
                }),
            _ => None,
        };
        let answers = self.dump(family.protocol(), message).map_err(fail)?;
        Ok(answers.into_iter().filter_map(names).collect())
    }

    /// A chain, if it exists.
    ///
    /// # Errors
    /// What the kernel answers, with the chain's name.
    pub fn chain(&mut self, table: Table<'_>, name: &str) -> Result<Option<Chain>> {
        let attributes = transaction::chain_name(table, name);
        let message = NfTablesMessage::GetChain(ChainMessage { attributes });
        let fail = |source| Error::new("get chain", format!("{table} {name}"), source);
        let answer = self.get(table.family.protocol(), message).map_err(fail)?;
        Ok(answer.and_then(|message| chain(table, message)))
    }

    /// The chains of a table; none when the table does not exist.
    ///
    /// # Errors
    /// What the kernel answers, with the table's name.
    pub fn chains(&mut self, table: Table<'_>) -> Result<Vec<Chain>> {
        let message = NfTablesMessage::GetChain(ChainMessage {
            attributes: Vec::new(),
        });
        let fail = |source| Error::new("list chains", table, source);
        let answers = self.dump(table.family.protocol(), message).map_err(fail)?;
        Ok(answers
            .into_iter()
            .filter_map(|message| chain(table, message))
            .collect())
    }

    /// The rules of a chain, in order; none when the chain does not exist.
    ///
    /// # Errors
    /// What the kernel answers, with the chain's name.
    pub fn rules(&mut self, table: Table<'_>, chain: &str) -> Result<Vec<Rule>> {
        let attributes = transaction::rule_chain(table, chain);
        let message = NfTablesMessage::GetRule(RuleMessage { attributes });
        let fail = |source| Error::new("list rules", format!("{table} {chain}"), source);
        let answers = self.dump(table.family.protocol(), message).map_err(fail)?;
        Ok(answers
            .into_iter()
            .filter_map(rule)
            .filter(|rule| rule.chain == chain)
            .collect())
    }

    /// The sets of a table; none when the table does not exist.
    ///
    /// # Errors
    /// What the kernel answers, with the table's name.
    pub fn sets(&mut self, table: Table<'_>) -> Result<Vec<Set>> {
        let attributes = vec![SetAttribute::Table(table.name.into())];
        let message = NfTablesMessage::GetSet(SetMessage { attributes });
        let fail = |source| Error::new("list sets", table, source);
        let answers = self.dump(table.family.protocol(), message).map_err(fail)?;
        Ok(answers.into_iter().filter_map(set).collect())
    }

    /// The element of a set with this key; `None` also when the set does not exist.
    ///
    /// # Errors
    /// What the kernel answers, with the set's name and the key.
    pub fn element(&mut self, table: Table<'_>, set: &str, key: IpAddr) -> Result<Option<Element>> {
        let element = NewElement { key, comment: None };
        let message = transaction::set_elements(table, set, &element);
        let fail = |source| Error::new("get element", format!("{table} {set} {key}"), source);
        let answer = self
            .get(
                table.family.protocol(),
                NfTablesMessage::GetSetElement(message),
            )
            .map_err(fail)?;
        Ok(answer.and_then(|message| elements(message).next()))
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
        let fail = |source| Error::new("list elements", format!("{table} {set}"), source);
        let answers = self.dump(table.family.protocol(), message).map_err(fail)?;
        Ok(answers.into_iter().flat_map(elements).collect())
    }
}

fn chain(table: Table<'_>, message: NfTablesMessage) -> Option<Chain> {
    let NfTablesMessage::NewChain(ChainMessage { attributes }) = message else {
        return None;
    };
    let mut chain = Chain {
        name: String::new(),
        references: 0,
        is_base: false,
        comment: None,
    };
    for attribute in attributes {
        match attribute {
            ChainAttribute::Table(name) if name != table.name => return None,
            ChainAttribute::Name(name) => chain.name = name,
            ChainAttribute::Use(count) => chain.references = count,
            ChainAttribute::Hook(_) => chain.is_base = true,
            ChainAttribute::UserData(data) => {
                chain.comment = userdata::read_comment(userdata::COMMENT, &data);
            }
            _ => {}
        }
    }
    Some(chain)
}

fn rule(message: NfTablesMessage) -> Option<Rule> {
    let NfTablesMessage::NewRule(RuleMessage { attributes }) = message else {
        return None;
    };
    let (mut handle, mut chain, mut comment) = (0, String::new(), None);
    let mut content = decode::Content::default();
    for attribute in attributes {
        match attribute {
            RuleAttribute::Handle(number) => handle = number,
            RuleAttribute::Chain(name) => chain = name,
            RuleAttribute::Expressions(list) => content = decode::rule(&list),
            RuleAttribute::UserData(data) => {
                comment = userdata::read_comment(userdata::COMMENT, &data);
            }
            _ => {}
        }
    }
    let decode::Content {
        matches,
        action,
        comment: extension,
    } = content;
    Some(Rule {
        handle,
        chain,
        matches,
        action,
        comment: comment.or(extension),
    })
}

fn set(message: NfTablesMessage) -> Option<Set> {
    let NfTablesMessage::NewSet(SetMessage { attributes }) = message else {
        return None;
    };
    let mut set = Set {
        name: String::new(),
        comment: None,
    };
    for attribute in attributes {
        match attribute {
            SetAttribute::Name(name) => set.name = name,
            SetAttribute::UserData(data) => {
                set.comment = userdata::read_comment(userdata::SET_COMMENT, &data);
            }
            _ => {}
        }
    }
    Some(set)
}

fn elements(message: NfTablesMessage) -> impl Iterator<Item = Element> {
    let attributes = match message {
        NfTablesMessage::NewSetElement(SetElementMessage { attributes }) => attributes,
        _ => Vec::new(),
    };
    attributes
        .into_iter()
        .filter_map(|attribute| match attribute {
            SetElementList::Elements(list) => Some(list),
            _ => None,
        })
        .flatten()
        .filter_map(|item| match item {
            ListAttribute::Element(attributes) => element(attributes),
            _ => None,
        })
}

fn element(attributes: Vec<SetElementAttribute>) -> Option<Element> {
    let (mut key, mut comment) = (None, None);
    for attribute in attributes {
        match attribute {
            SetElementAttribute::Key(DataAttribute::Value(bytes)) => {
                key = decode::address(&bytes);
            }
            SetElementAttribute::UserData(data) => {
                comment = userdata::read_comment(userdata::COMMENT, &data);
            }
            _ => {}
        }
    }
    Some(Element { key: key?, comment })
}

//! Reading tables, chains, rules, sets and elements back.

use std::io;

use netlink_packet_netfilter::{
    NetfilterProtoFamily,
    nftables::{
        ChainMessage, GenMessage, NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute,
        SetElementList, SetElementMessage, SetMessage, TableAttribute, TableMessage,
    },
};

use super::{
    Action, ChainKind, Element, Flowtable, Hook, Key, Match, NewElement, Nft, Point, Policy,
    Priority, SetType, Statement, Table, TableFamily,
    attribute::{find, number, text},
    decode, element, flowtable, kind, transaction, userdata,
};
use crate::{Error, Result};

/// A table as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableContent {
    /// How many chains, sets, flowtables and stateful objects it has.
    pub objects: u32,
    /// The comment, if any.
    pub comment: Option<String>,
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
    /// Where a base chain sees packets, if this vocabulary has words for it.
    pub hook: Option<Hook>,
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
    /// The conditions; checks of the IP family that they imply are left out.
    pub matches: Vec<Match>,
    /// What it does before its verdict.
    pub statements: Vec<Statement>,
    /// What it does at the end, if that is one of ours.
    pub action: Option<Action>,
    /// The comment, also one stored by iptables-nft as an extension.
    pub comment: Option<String>,
}

/// A set as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The name, unique in the table.
    pub name: String,
    /// What it holds, if this vocabulary has words for it.
    pub kind: Option<SetType>,
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
        let read = |bytes: &[u8]| find(bytes, kind::generation::ID).and_then(number);
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

    /// Whether the table is dormant (`flags dormant`): its base chains see no packets. A table that
    /// does not exist is not.
    ///
    /// # Errors
    /// What the kernel answers, with the table's name.
    pub fn is_dormant(&mut self, table: Table<'_>) -> Result<bool> {
        let attributes = vec![TableAttribute::Name(table.name.into())];
        let message = NfTablesMessage::GetTable(TableMessage { attributes });
        let flags = self.get(table.family.protocol(), message, |bytes| {
            find(bytes, kind::table::FLAGS).and_then(number)
        });
        let flags = flags.map_err(|source| Error::new("get table", table, source))?;
        Ok(flags.unwrap_or_default() & kind::table::DORMANT != 0)
    }

    /// What a table holds and says of itself, if it exists.
    ///
    /// # Errors
    /// What the kernel answers, with the table's name.
    pub fn table(&mut self, table: Table<'_>) -> Result<Option<TableContent>> {
        let attributes = vec![TableAttribute::Name(table.name.into())];
        let message = NfTablesMessage::GetTable(TableMessage { attributes });
        let read = |bytes: &[u8]| {
            Some(TableContent {
                objects: find(bytes, kind::table::USE)
                    .and_then(number)
                    .unwrap_or_default(),
                comment: comment(bytes, kind::table::USERDATA, userdata::COMMENT),
            })
        };
        self.get(table.family.protocol(), message, read)
            .map_err(|source| Error::new("get table", table, source))
    }

    /// The names of a family's tables.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn tables(&mut self, family: TableFamily) -> Result<Vec<String>> {
        let message = NfTablesMessage::GetTable(TableMessage {
            attributes: Vec::new(),
        });
        self.dump(family.protocol(), message, |bytes, names| {
            names.extend(
                find(bytes, kind::table::NAME)
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

    /// The rules of all chains of a table, each chain's in order; none when the table does not exist.
    ///
    /// # Errors
    /// What the kernel answers, with the table's name.
    pub fn table_rules(&mut self, table: Table<'_>) -> Result<Vec<Rule>> {
        let attributes = vec![RuleAttribute::Table(table.name.into())];
        let message = NfTablesMessage::GetRule(RuleMessage { attributes });
        let read = |bytes: &[u8], rules: &mut Vec<Rule>| rules.extend(rule(bytes));
        self.dump(table.family.protocol(), message, read)
            .map_err(|source| Error::new("list rules", table, source))
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

    /// The flowtables of a table; none when the table does not exist.
    ///
    /// # Errors
    /// What the kernel answers, with the table's name.
    pub fn flowtables(&mut self, table: Table<'_>) -> Result<Vec<Flowtable>> {
        let message = NfTablesMessage::GetFlowTable(flowtable::of(table));
        let read = |bytes: &[u8], flowtables: &mut Vec<Flowtable>| {
            flowtables.extend(flowtable::read(table, bytes));
        };
        self.dump(table.family.protocol(), message, read)
            .map_err(|source| Error::new("list flowtables", table, source))
    }

    /// The element of a set of `types` with this key; `None` also when the set does not exist.
    ///
    /// # Errors
    /// What the kernel answers, with the set's name and the key.
    pub fn element(
        &mut self,
        table: Table<'_>,
        set: &str,
        types: &SetType,
        key: impl Into<Key>,
    ) -> Result<Option<Element>> {
        let wanted = NewElement::from(key.into().in_set_of(types));
        if types.intervals {
            // The kernel would answer with half a range.
            let elements = self.elements(table, set, types)?;
            return Ok(elements.into_iter().find(|found| found.key == wanted.key));
        }
        let message = NfTablesMessage::GetSetElement(element::elements(table, set, &wanted));
        let found = self.get(table.family.protocol(), message, |bytes| {
            let raw = element::read(bytes, types).collect();
            element::assemble(types, raw).into_iter().next()
        });
        found.map_err(|source| {
            Error::new(
                "get element",
                format!("{table} {set} {}", wanted.key),
                source,
            )
        })
    }

    /// The elements of a set of `types`; none when the set does not exist.
    ///
    /// # Errors
    /// What the kernel answers, with the set's name.
    pub fn elements(
        &mut self,
        table: Table<'_>,
        set: &str,
        types: &SetType,
    ) -> Result<Vec<Element>> {
        let attributes = vec![
            SetElementList::Table(table.name.into()),
            SetElementList::Set(set.into()),
        ];
        let message = NfTablesMessage::GetSetElement(SetElementMessage { attributes });
        let read = |bytes: &[u8], found: &mut Vec<_>| found.extend(element::read(bytes, types));
        let raw = self
            .dump(table.family.protocol(), message, read)
            .map_err(|source| Error::new("list elements", format!("{table} {set}"), source))?;
        Ok(element::assemble(types, raw))
    }
}

/// `None` for a chain of another table: the kernel lists those of the whole family.
fn chain(table: Table<'_>, bytes: &[u8]) -> Option<Chain> {
    find(bytes, kind::chain::TABLE)
        .and_then(text)
        .filter(|name| *name == table.name)?;
    Some(Chain {
        name: find(bytes, kind::chain::NAME).and_then(text)?.to_owned(),
        references: find(bytes, kind::chain::USE)
            .and_then(number)
            .unwrap_or_default(),
        is_base: find(bytes, kind::chain::HOOK).is_some(),
        hook: hook(bytes),
        comment: comment(bytes, kind::chain::USERDATA, userdata::COMMENT),
    })
}

fn hook(bytes: &[u8]) -> Option<Hook> {
    let hook = find(bytes, kind::chain::HOOK)?;
    let number_of = |bytes, kind| find(bytes, kind).and_then(number);
    Some(Hook {
        kind: find(bytes, kind::chain::TYPE)
            .and_then(text)
            .and_then(ChainKind::read)?,
        point: Point::read(number_of(hook, kind::chain::HOOK_NUMBER)?)?,
        priority: Priority(number_of(hook, kind::chain::HOOK_PRIORITY)? as i32),
        policy: match number_of(bytes, kind::chain::POLICY)? as i32 {
            kind::verdict::DROP => Policy::Drop,
            _ => Policy::Accept,
        },
    })
}

fn rule(bytes: &[u8]) -> Option<Rule> {
    let content = find(bytes, kind::rule::EXPRESSIONS)
        .map(decode::rule)
        .unwrap_or_default();
    let handle = find(bytes, kind::rule::HANDLE)?.try_into().ok()?;
    Some(Rule {
        handle: u64::from_be_bytes(handle),
        chain: find(bytes, kind::rule::CHAIN).and_then(text)?.to_owned(),
        matches: content.matches,
        statements: content.statements,
        action: content.action,
        comment: comment(bytes, kind::rule::USERDATA, userdata::COMMENT).or(content.comment),
    })
}

fn set(bytes: &[u8]) -> Option<Set> {
    Some(Set {
        name: find(bytes, kind::set::NAME).and_then(text)?.to_owned(),
        kind: element::set_type(bytes),
        comment: comment(bytes, kind::set::USERDATA, userdata::SET_COMMENT),
    })
}

fn comment(bytes: &[u8], attribute: u16, record: u8) -> Option<String> {
    userdata::read_comment(record, find(bytes, attribute)?)
}

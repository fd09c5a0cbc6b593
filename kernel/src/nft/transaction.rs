//! Changes that the kernel applies all at once or not at all.

use netlink_packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    nftables::{
        ChainAttribute, ChainMessage, Hook as HookAttribute, HookNumber, NfTablesMessage,
        RuleAttribute, RuleMessage, SetAttribute, SetMessage, TableAttribute, TableFlags,
        TableMessage,
    },
    none::ControlMessage,
};

use super::{
    Existing, Key, NewChain, NewElement, NewRule, NewSet, Policy, Position, SetType, Table,
    element, encode, flowtable, kind, userdata,
};
use crate::framing::append;

/// NFNL_MSG_BATCH_BEGIN, spelt out because it carries an attribute here.
const BATCH_BEGIN: u8 = 16;
/// NFNL_BATCH_GENID
const BATCH_GENERATION: u16 = 1;
/// NFNL_SUBSYS_NFTABLES
const SUBSYSTEM_NFTABLES: u16 = 10;
/// Offset of the flags in a netlink message header.
const FLAGS: usize = 6;

/// A list of changes, sent as one datagram by [`super::Nft::commit`].
///
/// A datagram must fit into the socket's send buffer, which grows with a large one.
#[derive(Debug)]
pub struct Transaction {
    pub(super) bytes: Vec<u8>,
    /// Operation and object of the message with sequence number index + 1.
    pub(super) steps: Vec<(&'static str, String)>,
    /// Whether the kernel may have something to free afterwards.
    pub(super) leaves_garbage: bool,
    /// Where the latest message begins.
    latest: usize,
}

impl Default for Transaction {
    fn default() -> Self {
        Self::new()
    }
}

impl Transaction {
    /// An empty transaction.
    pub fn new() -> Self {
        Self::begin(ControlMessage::BatchBegin)
    }

    /// An empty transaction that the kernel refuses, with ERESTART, unless the ruleset still has
    /// `generation` ([`super::Nft::generation`]): what was read since then is still true.
    pub fn at(generation: u32) -> Self {
        let attribute = encode::number(BATCH_GENERATION, generation);
        Self::begin(ControlMessage::Other {
            message_type: BATCH_BEGIN,
            attributes: vec![attribute],
        })
    }

    fn begin(message: ControlMessage) -> Self {
        let mut bytes = Vec::with_capacity(1024);
        push_control(&mut bytes, 0, message);
        Self {
            bytes,
            steps: Vec::new(),
            leaves_garbage: false,
            latest: 0,
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The number of changes.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Adds a table.
    pub fn add_table(self, table: Table<'_>, comment: Option<&str>, existing: Existing) -> Self {
        let mut attributes = vec![TableAttribute::Name(table.name.into())];
        attributes.extend(
            comment
                .map(|text| TableAttribute::UserData(userdata::comment(userdata::COMMENT, text))),
        );
        let message = NfTablesMessage::NewTable(TableMessage { attributes });
        self.push(
            "add table",
            table.to_string(),
            table,
            existing.flags(),
            message,
        )
    }

    /// Has the base chains of a table see packets again, if it is dormant
    /// ([`super::Nft::is_dormant`]). Costs the kernel nothing if it is not; a table that is missing
    /// is added.
    pub fn wake_table(self, table: Table<'_>) -> Self {
        let attributes = vec![
            TableAttribute::Name(table.name.into()),
            TableAttribute::Flags(TableFlags::empty()),
        ];
        let message = NfTablesMessage::NewTable(TableMessage { attributes });
        let flags = Existing::Keep.flags();
        self.push("wake table", table.to_string(), table, flags, message)
    }

    /// Deletes a table with everything in it.
    pub fn delete_table(self, table: Table<'_>) -> Self {
        let attributes = vec![TableAttribute::Name(table.name.into())];
        let message = NfTablesMessage::DeleteTable(TableMessage { attributes });
        self.push("delete table", table.to_string(), table, 0, message)
    }

    /// Adds a chain. One that is there already the kernel frees a description of afterwards, as if
    /// something had been deleted: do not tell it what it has without need.
    pub fn add_chain(mut self, table: Table<'_>, chain: NewChain<'_>, existing: Existing) -> Self {
        self.leaves_garbage |= matches!(existing, Existing::Keep);
        let mut attributes = chain_name(table, chain.name);
        if let Some(hook) = chain.hook {
            attributes.push(ChainAttribute::Hook(vec![
                HookAttribute::Number(HookNumber::Other(hook.point.number())),
                HookAttribute::Priority(hook.priority.0 as u32),
            ]));
            attributes.push(ChainAttribute::Type(hook.kind.name().into()));
            attributes.push(ChainAttribute::Policy(match hook.policy {
                Policy::Accept => kind::verdict::ACCEPT as u32,
                Policy::Drop => kind::verdict::DROP as u32,
            }));
        }
        attributes.extend(
            chain
                .comment
                .map(|text| ChainAttribute::UserData(userdata::comment(userdata::COMMENT, text))),
        );
        let message = NfTablesMessage::NewChain(ChainMessage { attributes });
        self.push(
            "add chain",
            within(table, chain.name),
            table,
            existing.flags(),
            message,
        )
    }

    /// Deletes a chain with its rules; EBUSY while a rule elsewhere jumps to it.
    pub fn delete_chain(self, table: Table<'_>, chain: &str) -> Self {
        let attributes = chain_name(table, chain);
        let message = NfTablesMessage::DeleteChain(ChainMessage { attributes });
        self.push("delete chain", within(table, chain), table, 0, message)
    }

    /// Deletes the rules of a chain and keeps the chain.
    pub fn flush_chain(self, table: Table<'_>, chain: &str) -> Self {
        let attributes = rule_chain(table, chain);
        let message = NfTablesMessage::DeleteRule(RuleMessage { attributes });
        self.push("flush chain", within(table, chain), table, 0, message)
    }

    /// Appends a rule.
    pub fn add_rule(self, table: Table<'_>, chain: &str, rule: &NewRule<'_>) -> Self {
        self.add_rule_at(Position::Last, table, chain, rule)
    }

    /// Adds a rule at a place among those of its chain.
    pub fn add_rule_at(
        self,
        position: Position,
        table: Table<'_>,
        chain: &str,
        rule: &NewRule<'_>,
    ) -> Self {
        let mut attributes = rule_chain(table, chain);
        let (flags, neighbour) = match position {
            Position::Last => (NLM_F_APPEND, None),
            Position::First => (0, None),
            Position::Before(handle) => (0, Some(handle)),
            Position::After(handle) => (NLM_F_APPEND, Some(handle)),
        };
        attributes.extend(neighbour.map(RuleAttribute::Position));
        attributes.push(RuleAttribute::Expressions(encode::rule(table.family, rule)));
        attributes.extend(
            rule.comment
                .map(|text| RuleAttribute::UserData(userdata::comment(userdata::COMMENT, text))),
        );
        let message = NfTablesMessage::NewRule(RuleMessage { attributes });
        let flags = NLM_F_CREATE | flags;
        self.push("add rule to", within(table, chain), table, flags, message)
    }

    /// Deletes the rule with this handle ([`super::Rule::handle`]).
    pub fn delete_rule(self, table: Table<'_>, chain: &str, handle: u64) -> Self {
        let mut attributes = rule_chain(table, chain);
        attributes.push(RuleAttribute::Handle(handle));
        let message = NfTablesMessage::DeleteRule(RuleMessage { attributes });
        let object = format!("{} handle {handle}", within(table, chain));
        self.push("delete rule", object, table, 0, message)
    }

    /// Adds a set or map.
    pub fn add_set(self, table: Table<'_>, set: NewSet<'_>, existing: Existing) -> Self {
        // The kernel wants a number that is unique in the transaction, used or not.
        let id = self.steps.len() as u32 + 1;
        let message = NfTablesMessage::NewSet(element::new_set(table, &set, id));
        self.push(
            "add set",
            within(table, set.name),
            table,
            existing.flags(),
            message,
        )
    }

    /// Deletes a set with its elements; EBUSY while a rule looks things up in it.
    pub fn delete_set(self, table: Table<'_>, set: &str) -> Self {
        let attributes = vec![
            SetAttribute::Table(table.name.into()),
            SetAttribute::Name(set.into()),
        ];
        let message = NfTablesMessage::DeleteSet(SetMessage { attributes });
        self.push("delete set", within(table, set), table, 0, message)
    }

    /// Adds an element to a set of `types`; a single key in a set of ranges is a range of one.
    /// [`Existing::Keep`] also keeps the comment that is there.
    pub fn add_element(
        self,
        table: Table<'_>,
        set: &str,
        types: &SetType,
        element: NewElement<'_>,
        existing: Existing,
    ) -> Self {
        let element = NewElement {
            key: element.key.in_set_of(types),
            ..element
        };
        let object = format!("{} {}", within(table, set), element.key);
        let message = NfTablesMessage::NewSetElement(element::elements(table, set, &element));
        self.push("add element", object, table, existing.flags(), message)
    }

    /// Deletes an element of a set of `types`.
    pub fn delete_element(
        self,
        table: Table<'_>,
        set: &str,
        types: &SetType,
        key: impl Into<Key>,
    ) -> Self {
        let element = NewElement::from(key.into().in_set_of(types));
        let object = format!("{} {}", within(table, set), element.key);
        let message = NfTablesMessage::DeleteSetElement(element::elements(table, set, &element));
        self.push("delete element", object, table, 0, message)
    }

    /// Adds a flowtable that looks at the packets of these links, at priority `filter`. With [`Existing::Keep`] the
    /// links join those of one that is there (Linux 5.8; an older kernel leaves it as it is).
    pub fn add_flowtable(
        self,
        table: Table<'_>,
        name: &str,
        devices: &[&str],
        existing: Existing,
    ) -> Self {
        let object = format!("{} of {}", within(table, name), devices.join(", "));
        let message = NfTablesMessage::NewFlowTable(flowtable::new(table, name, devices));
        self.push("add flowtable", object, table, existing.flags(), message)
    }

    /// Takes links out of a flowtable (Linux 5.8); ENOENT when there is no such link or it is not in it.
    pub fn delete_flowtable_devices(self, table: Table<'_>, name: &str, devices: &[&str]) -> Self {
        let object = format!("{} {}", within(table, name), devices.join(", "));
        let message = NfTablesMessage::DeleteFlowTable(flowtable::devices(table, name, devices));
        self.push("delete flowtable devices", object, table, 0, message)
    }

    fn push(
        mut self,
        operation: &'static str,
        object: String,
        table: Table<'_>,
        flags: u16,
        message: NfTablesMessage,
    ) -> Self {
        self.steps.push((operation, object));
        self.leaves_garbage |= flags & NLM_F_CREATE == 0;
        self.latest = self.bytes.len();
        let header = NetfilterHeader::new(table.family.protocol(), 0, 0);
        let message = NetfilterMessage::new(header, message);
        let sequence = self.steps.len() as u32;
        append(&mut self.bytes, &message, flags, sequence);
        self
    }

    /// Closes the batch and asks for an answer to its latest message, which the kernel gives
    /// after it has committed.
    pub(super) fn finish(&mut self) {
        let flags = self.latest + FLAGS;
        let with_ack = u16::from_ne_bytes([self.bytes[flags], self.bytes[flags + 1]]) | NLM_F_ACK;
        self.bytes[flags..flags + 2].copy_from_slice(&with_ack.to_ne_bytes());
        let sequence = self.steps.len() as u32 + 1;
        push_control(&mut self.bytes, sequence, ControlMessage::BatchEnd);
    }
}

fn push_control(bytes: &mut Vec<u8>, sequence: u32, message: ControlMessage) {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM_NFTABLES);
    let message = NetfilterMessage::new(header, NetfilterMessageInner::None(message));
    append(bytes, &message, 0, sequence);
}

fn within(table: Table<'_>, name: &str) -> String {
    format!("{table} {name}")
}

pub(super) fn chain_name(table: Table<'_>, chain: &str) -> Vec<ChainAttribute> {
    vec![
        ChainAttribute::Table(table.name.into()),
        ChainAttribute::Name(chain.into()),
    ]
}

pub(super) fn rule_chain(table: Table<'_>, chain: &str) -> Vec<RuleAttribute> {
    vec![
        RuleAttribute::Table(table.name.into()),
        RuleAttribute::Chain(chain.into()),
    ]
}

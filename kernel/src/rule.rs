//! Policy routing rules: `ip rule`, both families.
//!
//! Looking needs no capabilities, changing needs CAP_NET_ADMIN.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleHeader, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use nix::libc;

use crate::address::family;
use crate::{Error, IfName, Netlink, Result};

/// The tables that `ip` has names for (`/usr/share/iproute2/rt_tables`).
const TABLE_NAMES: [(u32, &str); 3] = [(253, "default"), (254, "main"), (255, "local")];

/// Which packets are routed by which table. What is `None` holds for every packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Source of the packets; a prefix of length 0 is every source of its family.
    pub from: IpNetwork,
    /// Destination of the packets, of the same family.
    pub to: Option<IpNetwork>,
    /// The link they came in by; it need not exist yet.
    pub iif: Option<IfName>,
    /// The link that their socket is bound to; it need not exist yet.
    pub oif: Option<IfName>,
    /// The mark they carry.
    pub mark: Option<Mark>,
    /// Number of the table that routes them; 254 is `main`.
    pub table: u32,
    /// Rules are tried from the lowest number upwards. `None` lets the kernel choose one below
    /// all others but that of table `local`; a rule that was read has one.
    pub priority: Option<u32>,
}

/// Bits of a packet's mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// What the bits of `mask` must be.
    pub value: u32,
    /// The bits that are looked at.
    pub mask: u32,
}

impl Rule {
    /// `ip rule add from FROM lookup TABLE`; fill in the rest.
    pub fn from(from: IpNetwork, table: u32) -> Self {
        Self {
            from,
            to: None,
            iif: None,
            oif: None,
            mark: None,
            table,
            priority: None,
        }
    }
}

/// As `ip rule` prints it, the priority only when there is one.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(priority) = self.priority {
            write!(f, "{priority}: ")?;
        }
        write!(f, "from {}", Selector(self.from))?;
        if let Some(to) = self.to {
            write!(f, " to {}", Selector(to))?;
        }
        if let Some(mark) = self.mark {
            write!(f, " fwmark {mark}")?;
        }
        if let Some(iif) = &self.iif {
            write!(f, " iif {iif}")?;
        }
        if let Some(oif) = &self.oif {
            write!(f, " oif {oif}")?;
        }
        match TABLE_NAMES.iter().find(|(table, _)| *table == self.table) {
            Some((_, name)) => write!(f, " lookup {name}"),
            None => write!(f, " lookup {}", self.table),
        }
    }
}

/// `0x1`, or `0x1/0xff` when not all bits count.
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mask {
            u32::MAX => write!(f, "{:#x}", self.value),
            mask => write!(f, "{:#x}/{mask:#x}", self.value),
        }
    }
}

/// `all`, an address, or a prefix.
struct Selector(IpNetwork);

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.0.is_ipv4() { 32 } else { 128 };
        match self.0.prefix() {
            0 => f.write_str("all"),
            prefix if prefix == whole => write!(f, "{}", self.0.ip()),
            _ => write!(f, "{}", self.0),
        }
    }
}

impl Netlink {
    /// The rules of both families that lead to a table and ask for nothing but what [`Rule`] can
    /// say: `ip rule` and `ip -6 rule`. Those with other conditions (TOS, ports, users, `not`,
    /// suppressed prefixes, `l3mdev`) and other actions (`goto`, `blackhole`) are left out.
    ///
    /// # Errors
    /// The kernel's answer cannot be had.
    pub fn rules(&self) -> Result<Vec<Rule>> {
        let mut rules = Vec::new();
        for family in FAMILIES {
            rules.extend(self.rules_of(family, Rule::from_answer)?);
        }
        Ok(rules)
    }

    fn rules_of<T>(
        &self,
        family: AddressFamily,
        select: fn(RouteNetlinkMessage) -> Option<T>,
    ) -> Result<Vec<T>> {
        match self.dump("list", "rules", list_message(family), select) {
            // A kernel without IPv6 has no rules of it either.
            Err(error) if error.errno() == Some(libc::EAFNOSUPPORT) => Ok(Vec::new()),
            found => found,
        }
    }

    /// The tables that any rule of either family leads to, whatever its conditions.
    ///
    /// # Errors
    /// The kernel's answer cannot be had.
    pub fn tables_of_rules(&self) -> Result<BTreeSet<u32>> {
        let mut tables = BTreeSet::new();
        for family in FAMILIES {
            tables.extend(self.rules_of(family, table_of)?);
        }
        Ok(tables)
    }

    /// Adds a rule: `ip rule add`.
    ///
    /// # Errors
    /// [`is_exists`](Error::is_exists) when there is one that says the same; source and
    /// destination of different families; a mark of 0 without mask (EINVAL).
    pub fn add_rule(&self, rule: &Rule) -> Result<()> {
        let message = RouteNetlinkMessage::NewRule(rule.message("add rule")?);
        self.request("add rule", rule, message, NLM_F_CREATE | NLM_F_EXCL)?;
        Ok(())
    }

    /// Deletes the first rule that says what `rule` says, and perhaps more: `ip rule del`. The
    /// kernel looks at what is given only; a rule with a priority of its own is met exactly.
    ///
    /// # Errors
    /// [`is_gone`](Error::is_gone) when there is none; source and destination of different
    /// families.
    pub fn delete_rule(&self, rule: &Rule) -> Result<()> {
        let message = RouteNetlinkMessage::DelRule(rule.message("delete rule")?);
        self.request("delete rule", rule, message, 0)?;
        Ok(())
    }
}

const FAMILIES: [AddressFamily; 2] = [AddressFamily::Inet, AddressFamily::Inet6];

fn list_message(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = RuleMessage::default();
    message.header.family = family;
    RouteNetlinkMessage::GetRule(message)
}

/// `None` for any other object, and for a rule that leads to no table.
fn table_of(answer: RouteNetlinkMessage) -> Option<u32> {
    let RouteNetlinkMessage::NewRule(rule) = answer else {
        return None;
    };
    let large = rule
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RuleAttribute::Table(table) => Some(*table),
            _ => None,
        });
    Some(large.unwrap_or(rule.header.table.into())).filter(|table| *table != 0)
}

impl Rule {
    fn message(&self, operation: &'static str) -> Result<RuleMessage> {
        if self
            .to
            .is_some_and(|to| to.is_ipv4() != self.from.is_ipv4())
        {
            let mixed = io::Error::new(
                io::ErrorKind::InvalidInput,
                "source and destination must be both IPv4 or both IPv6",
            );
            return Err(Error::new(operation, self, mixed));
        }
        let mut message = RuleMessage::default();
        message.header.family = family(self.from.ip());
        message.header.action = RuleAction::ToTable;
        message.header.src_len = self.from.prefix();
        message.header.dst_len = self.to.map_or(0, |to| to.prefix());
        let attributes = &mut message.attributes;
        let address = |net: IpNetwork| (net.prefix() > 0).then(|| net.ip());
        attributes.extend(address(self.from).map(RuleAttribute::Source));
        attributes.extend(self.to.and_then(address).map(RuleAttribute::Destination));
        let name = |name: &IfName| name.as_str().to_owned();
        attributes.extend(self.iif.as_ref().map(name).map(RuleAttribute::Iifname));
        attributes.extend(self.oif.as_ref().map(name).map(RuleAttribute::Oifname));
        if let Some(mark) = self.mark {
            attributes.push(RuleAttribute::FwMark(mark.value));
            attributes.push(RuleAttribute::FwMask(mark.mask));
        }
        attributes.extend(self.priority.map(RuleAttribute::Priority));
        attributes.push(RuleAttribute::Table(self.table));
        Ok(message)
    }

    /// The rule in an answer; `None` for any other object, and for what a `Rule` cannot say.
    fn from_answer(answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewRule(RuleMessage {
            header, attributes, ..
        }) = answer
        else {
            return None;
        };
        let mut rule = Self::from_header(&header)?;
        for attribute in attributes {
            rule.take(attribute, &header)?;
        }
        Some(rule)
    }

    fn from_header(header: &RuleHeader) -> Option<Self> {
        let any: IpAddr = match header.family {
            AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
            AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
            _ => return None,
        };
        let plain = header.action == RuleAction::ToTable
            && header.tos == 0
            && !header.flags.contains(RuleFlags::Invert);
        let from = IpNetwork::new(any, 0).ok().filter(|_| plain)?;
        // The kernel does not send a priority of 0.
        Some(Self {
            priority: Some(0),
            ..Self::from(from, header.table.into())
        })
    }

    /// `None` when the attribute is a condition that a `Rule` cannot say.
    fn take(&mut self, attribute: RuleAttribute, header: &RuleHeader) -> Option<()> {
        match attribute {
            RuleAttribute::Source(ip) => self.from = IpNetwork::new(ip, header.src_len).ok()?,
            RuleAttribute::Destination(ip) => {
                self.to = Some(IpNetwork::new(ip, header.dst_len).ok()?);
            }
            RuleAttribute::Iifname(name) => self.iif = Some(name.parse().ok()?),
            RuleAttribute::Oifname(name) => self.oif = Some(name.parse().ok()?),
            RuleAttribute::FwMark(value) => self.mark_mut().value = value,
            RuleAttribute::FwMask(mask) => self.mark_mut().mask = mask,
            RuleAttribute::Priority(priority) => self.priority = Some(priority),
            RuleAttribute::Table(table) => self.table = table,
            // All bits set: nothing is suppressed.
            RuleAttribute::SuppressPrefixLen(u32::MAX) => {}
            RuleAttribute::SuppressIfGroup(u32::MAX) => {}
            // Who made the rule is no condition.
            RuleAttribute::Protocol(_) => {}
            _ => return None,
        }
        Some(())
    }

    fn mark_mut(&mut self) -> &mut Mark {
        self.mark.get_or_insert(Mark {
            value: 0,
            mask: u32::MAX,
        })
    }
}

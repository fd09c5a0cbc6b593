//! `conditionsV4` and `conditionsV6` in the syntax of nftables: which connections the mappings of a
//! network are for. What is understood is written to the kernel as it stands; what is not is refused,
//! because no program is run for a pod.
//!
//! Understood, each with `==`, `!=` or nothing before its value, and with `{ one, of, several }`:
//! `ip|ip6 saddr|daddr` (address, network, range), `tcp|udp|sctp|th sport|dport` (number, range),
//! `ip protocol`, `ip6 nexthdr`, `meta l4proto`, `iifname`, `oifname` (a last `*` is any end),
//! `meta mark`, `ct mark` (also `& MASK`), `ct state`, `ct status dnat`, `ether saddr|daddr`,
//! `fib daddr type local`.

mod reader;
mod values;

use kernel::{
    Family,
    nft::{Field, Key, KeyType, Match, SetType},
};

use crate::error::ConfigError;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Of one value.
    Match(Match),
    /// Of one of several values, or of none of them.
    OneOf(Choice),
}

/// Values that a field must have one of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub field: Field,
    pub keys: Vec<Key>,
    /// Whether it must have none of them.
    pub negated: bool,
}

impl Choice {
    /// What a set of the values holds.
    pub(crate) fn set_type(&self) -> SetType {
        let key: KeyType = self.field.key_type();
        SetType {
            intervals: self.keys.iter().any(|key| matches!(key, Key::Range(..))),
            ..key.into()
        }
    }

    /// The condition that looks the field up in the set of this name.
    pub(crate) fn look_up(&self, set: String) -> Match {
        let field = vec![self.field];
        match self.negated {
            true => Match::NotIn(field, set),
            false => Match::In(field, set),
        }
    }
}

/// Whether a condition is in the syntax of iptables, as the reference plugin tells.
pub(crate) fn is_of_iptables(words: &[String]) -> bool {
    words
        .first()
        .is_some_and(|word| word.starts_with(['-', '!']))
}

/// The key of a family's conditions.
pub(crate) fn key(family: Family) -> &'static str {
    match family {
        Family::V4 => "conditionsV4",
        Family::V6 => "conditionsV6",
    }
}

/// Reads the conditions of one family.
///
/// # Errors
/// The first word that is not understood.
pub(crate) fn read(family: Family, words: &[String]) -> Result<Vec<Condition>, ConfigError> {
    let text = words.join(" ");
    let mut reader = reader::Reader::new(family, &text);
    let mut conditions = Vec::new();
    while !reader.is_at_end() {
        match reader.condition() {
            Ok(read) => conditions.extend(read),
            Err(why) => {
                return Err(ConfigError::Condition {
                    key: key(family),
                    at: reader.position(),
                    words: text,
                    why,
                });
            }
        }
    }
    Ok(conditions)
}

#[cfg(test)]
mod tests;

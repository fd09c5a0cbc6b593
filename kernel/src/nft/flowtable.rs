//! Flowtables: what is known of established connections, for packets that shall bypass the rules.

use netlink_packet_core::DefaultNla;

use super::{
    Table,
    attribute::{attributes, find, text},
    encode, kind,
};

/// A flowtable as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flowtable {
    /// The name, unique in the table.
    pub name: String,
    /// The links whose packets it looks at as they come in, in no order. The kernel leaves one out when the link
    /// goes; from Linux 6.16 on it keeps the name.
    pub devices: Vec<String>,
}

/// NF_NETDEV_INGRESS, and the priority `filter` there.
const INGRESS: u32 = 0;
const PRIORITY: u32 = 0;

/// A flowtable with `devices`, for adding.
pub(super) fn new(table: Table<'_>, name: &str, devices: &[&str]) -> Vec<DefaultNla> {
    let mut attributes = self::devices(table, name, devices);
    attributes.push(encode::number(kind::flowtable::FLAGS, 0));
    attributes
}

/// `devices` of a flowtable, for deleting.
pub(super) fn devices(table: Table<'_>, name: &str, devices: &[&str]) -> Vec<DefaultNla> {
    let mut attributes = of(table);
    attributes.push(encode::text(kind::flowtable::NAME, name));
    attributes.push(hook(devices));
    attributes
}

/// All flowtables of a table, for listing.
pub(super) fn of(table: Table<'_>) -> Vec<DefaultNla> {
    vec![encode::text(kind::flowtable::TABLE, table.name)]
}

fn hook(devices: &[&str]) -> DefaultNla {
    let names = devices
        .iter()
        .map(|name| encode::text(kind::flowtable::DEVICE, name));
    let names: Vec<DefaultNla> = names.collect();
    encode::nested(
        kind::flowtable::HOOK,
        &[
            encode::number(kind::flowtable::HOOK_NUMBER, INGRESS),
            encode::number(kind::flowtable::HOOK_PRIORITY, PRIORITY),
            encode::nested(kind::flowtable::DEVICES, &names),
        ],
    )
}

/// `None` for a flowtable of another table: old kernels list those of the whole family.
pub(super) fn read(table: Table<'_>, bytes: &[u8]) -> Option<Flowtable> {
    let name_of = |kind| find(bytes, kind).and_then(text);
    name_of(kind::flowtable::TABLE).filter(|name| *name == table.name)?;
    let devices = find(bytes, kind::flowtable::HOOK)
        .and_then(|hook| find(hook, kind::flowtable::DEVICES))
        .unwrap_or_default();
    Some(Flowtable {
        name: name_of(kind::flowtable::NAME)?.to_owned(),
        devices: attributes(devices)
            .filter(|(kind, _)| *kind == kind::flowtable::DEVICE)
            .filter_map(|(_, name)| text(name).map(str::to_owned))
            .collect(),
    })
}

/// As nft(8) 1.0.6 sent them to Linux 6.1: flags and attributes of
/// `add flowtable inet podwire_flowtable streams { hook ingress priority filter; devices = { br1, br0 }; }`,
/// `delete flowtable inet t streams { devices = { br0 }; }` and
/// `add rule inet t forward meta length > 4096 flow add @streams`.
#[cfg(test)]
mod tests {
    use netlink_packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST};

    use super::*;
    use crate::nft::{Existing, Match, NewRule, Statement, TableFamily, Test, Transaction, decode};

    #[rustfmt::skip]
    const ADDED: &[&[u8]] = &[
        b"\x16\0\x01\0podwire_flowtable\0\0\0",
        b"\x0c\0\x02\0streams\0",
        b"(\0\x03\x80\x08\0\x01\0\0\0\0\0\x08\0\x02\0\0\0\0\0\x14\0\x03\x80\x08\0\x01\0br1\0\x08\0\x01\0br0\0",
        b"\x08\0\x07\0\0\0\0\0",
    ];
    #[rustfmt::skip]
    const DELETED: &[&[u8]] = &[
        b"\x06\0\x01\0t\0\0\0",
        b"\x0c\0\x02\0streams\0",
        b" \0\x03\x80\x08\0\x01\0\0\0\0\0\x08\0\x02\0\0\0\0\0\x0c\0\x03\x80\x08\0\x01\0br0\0",
    ];
    #[rustfmt::skip]
    const RULE: &[&[u8]] = &[
        b"\x06\0\x01\0t\0\0\0",
        b"\x0c\0\x02\0forward\0",
        b"\xbc\0\x04\x80",
        b"$\0\x01\x80\x09\0\x01\0meta\0\0\0\0\x14\0\x02\x80\x08\0\x02\0\0\0\0\0\x08\0\x01\0\0\0\0\x01",
        b"@\0\x01\x80\x0e\0\x01\0byteorder\0\0\0,\0\x02\x80\x08\0\x01\0\0\0\0\x01\x08\0\x02\0\0\0\0\x01\x08\0\x03\0\0\0\0\x01\x08\0\x04\0\0\0\0\x04\x08\0\x05\0\0\0\0\x04",
        b",\0\x01\x80\x08\0\x01\0cmp\0 \0\x02\x80\x08\0\x01\0\0\0\0\x01\x08\0\x02\0\0\0\0\x04\x0c\0\x03\x80\x08\0\x01\0\0\0\x10\0",
        b"(\0\x01\x80\x11\0\x01\0flow_offload\0\0\0\0\x10\0\x02\x80\x0c\0\x01\0streams\0",
    ];
    /// Of a message, behind the batch's first one: length, kind, flags, sequence, sender; then family and version.
    const BATCH_BEGIN: usize = 20;
    const HEADER: usize = 20;

    fn table(name: &str) -> Table<'_> {
        Table {
            family: TableFamily::Inet,
            name,
        }
    }

    fn rule() -> NewRule<'static> {
        NewRule {
            matches: vec![Match::Is(Test::LongerThan(4096))],
            statements: vec![Statement::AddFlow("streams".to_owned())],
            ..NewRule::default()
        }
    }

    #[test]
    fn messages_are_those_of_nft() {
        let keep = Existing::Keep;
        for (transaction, kind, flags, attributes) in [
            (
                Transaction::new().add_flowtable(
                    table("podwire_flowtable"),
                    "streams",
                    &["br1", "br0"],
                    keep,
                ),
                22,
                NLM_F_CREATE,
                ADDED,
            ),
            (
                Transaction::new().delete_flowtable_devices(table("t"), "streams", &["br0"]),
                24,
                0,
                DELETED,
            ),
            (
                Transaction::new().add_rule(table("t"), "forward", &rule()),
                6,
                NLM_F_CREATE | NLM_F_APPEND,
                RULE,
            ),
        ] {
            let message = &transaction.bytes[BATCH_BEGIN..];
            assert_eq!(message[4..6], [kind, 10], "{transaction:?}");
            let sent = u16::from_ne_bytes([message[6], message[7]]) & !NLM_F_ACK;
            assert_eq!(sent, NLM_F_REQUEST | flags, "{transaction:?}");
            assert_eq!(message[HEADER..], *attributes.concat(), "{transaction:?}");
        }
    }

    #[test]
    fn a_flowtable_is_read_and_that_of_another_table_is_not() {
        let bytes = ADDED.concat();
        let read_from = |name| read(table(name), &bytes);
        let seen = Flowtable {
            name: "streams".to_owned(),
            devices: vec!["br1".to_owned(), "br0".to_owned()],
        };
        assert_eq!(read_from("podwire_flowtable"), Some(seen));
        assert_eq!(read_from("t"), None);
    }

    #[test]
    fn the_rule_reads_back() {
        let bytes = RULE.concat();
        let content = decode::rule(find(&bytes, kind::rule::EXPRESSIONS).unwrap());
        let rule = rule();
        assert_eq!(
            (content.matches, content.statements),
            (rule.matches, rule.statements)
        );
    }
}

//! nftables as nft(8) sees it: what is written reads back the same there and here.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::HashSet, net::IpAddr, process::Command, sync::Barrier, thread};

use kernel::{
    Family, MacAddr,
    nft::{
        Action, ChainKind, Existing, Hook, Key, KeyType, Match, NatFlags, NewChain, NewElement,
        NewRule, NewSet, Nft, Point, Policy, Priority, SetType, Table, TableContent, TableFamily,
        Test, Transaction, Verdict,
    },
    testing::World,
};

const TABLE: Table<'_> = Table {
    family: TableFamily::Inet,
    name: "test",
};
const V4: KeyType = KeyType::Address(Family::V4);
const V6: KeyType = KeyType::Address(Family::V6);
const SRCNAT: Hook = Hook {
    kind: ChainKind::Nat,
    point: Point::Postrouting,
    priority: Priority::srcnat(TableFamily::Inet),
    policy: Policy::Accept,
};

/// Runs nft(8) on the calling thread's namespace.
#[allow(
    clippy::disallowed_methods,
    reason = "the judge must not be the code under test"
)]
fn nft(arguments: &[&str]) -> String {
    let output = Command::new("nft").args(arguments).output().unwrap();
    assert!(output.status.success(), "nft {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn chain<'a>(name: &'a str, hook: Option<Hook>) -> NewChain<'a> {
    NewChain {
        name,
        hook,
        comment: None,
    }
}

fn rule(matches: Vec<Match>, action: impl Into<Action>) -> NewRule<'static> {
    NewRule {
        matches,
        action: Some(action.into()),
        ..NewRule::default()
    }
}

const MASQUERADE: Action = Action::Masquerade(NatFlags {
    random: false,
    fully_random: false,
    persistent: false,
});

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn element(text: &str) -> NewElement<'_> {
    Key::from(address(text)).into()
}

fn set(name: &str, key: KeyType) -> NewSet<'_> {
    NewSet {
        name,
        kind: key.into(),
        comment: None,
    }
}

/// The type of a set of IPv4 addresses.
fn addresses() -> SetType {
    V4.into()
}

fn table_with_set(key: KeyType) -> Transaction {
    Transaction::new()
        .add_table(TABLE, None, Existing::Keep)
        .add_set(TABLE, set("pods", key), Existing::Keep)
}

#[test]
fn ruleset_prints_as_meant_and_survives_nft() {
    let Some(_world) = World::new() else { return };
    let transaction = Transaction::new()
        .add_table(TABLE, Some("a table"), Existing::Refuse)
        .add_set(
            TABLE,
            NewSet {
                name: "pods-10.22.0.0/24",
                kind: addresses(),
                comment: Some("a set"),
            },
            Existing::Refuse,
        )
        .add_set(TABLE, set("pods-2001-db8--/64", V6), Existing::Refuse)
        .add_element(
            TABLE,
            "pods-10.22.0.0/24",
            &addresses(),
            NewElement {
                comment: Some("an element"),
                ..element("10.22.0.2")
            },
            Existing::Refuse,
        )
        .add_element(
            TABLE,
            "pods-2001-db8--/64",
            &V6.into(),
            element("2001:db8::2"),
            Existing::Refuse,
        )
        .add_chain(TABLE, chain("other", None), Existing::Refuse)
        .add_chain(
            TABLE,
            NewChain {
                name: "postrouting",
                hook: Some(SRCNAT),
                comment: Some("a chain"),
            },
            Existing::Refuse,
        )
        .add_rule(
            TABLE,
            "postrouting",
            &NewRule {
                comment: Some("a rule"),
                ..rule(
                    vec![Match::destination("224.0.0.0/4".parse().unwrap())],
                    Verdict::Return,
                )
            },
        )
        .add_rule(
            TABLE,
            "postrouting",
            &rule(
                vec![
                    Match::source_in(Family::V4, "pods-10.22.0.0/24"),
                    Match::not_destination("10.22.0.0/24".parse().unwrap()),
                ],
                MASQUERADE,
            ),
        )
        .add_rule(
            TABLE,
            "postrouting",
            &rule(
                vec![
                    Match::source_in(Family::V6, "pods-2001-db8--/64"),
                    Match::not_destination("2001:db8::/64".parse().unwrap()),
                ],
                MASQUERADE,
            ),
        )
        .add_rule(
            TABLE,
            "postrouting",
            &rule(
                vec![
                    Match::source("10.0.0.0/9".parse().unwrap()),
                    Match::Is(Test::InputInterface("eth0".into())),
                ],
                Verdict::Goto("other".into()),
            ),
        )
        .add_rule(TABLE, "other", &rule(Vec::new(), Verdict::Accept));
    Nft::open().unwrap().commit(transaction).unwrap();

    let expected = r#"table inet test {
	comment "a table"
	set pods-10.22.0.0/24 {
		type ipv4_addr
		comment "a set"
		elements = { 10.22.0.2 comment "an element" }
	}

	set pods-2001-db8--/64 {
		type ipv6_addr
		elements = { 2001:db8::2 }
	}

	chain other {
		accept
	}

	chain postrouting {
		comment "a chain"
		type nat hook postrouting priority srcnat; policy accept;
		ip daddr 224.0.0.0/4 return comment "a rule"
		ip saddr @pods-10.22.0.0/24 ip daddr != 10.22.0.0/24 masquerade
		ip6 saddr @pods-2001-db8--/64 ip6 daddr != 2001:db8::/64 masquerade
		ip saddr 10.0.0.0/9 iifname "eth0" goto other
	}
}
"#;
    assert_eq!(nft(&["list", "ruleset"]), expected);

    let file = std::path::Path::new("/run/ruleset.nft");
    std::fs::write(file, expected).unwrap();
    nft(&["flush", "ruleset"]);
    nft(&["-f", file.to_str().unwrap()]);
    assert_eq!(nft(&["list", "ruleset"]), expected);
}

#[test]
fn a_table_tells_its_comment_and_how_much_it_holds() {
    let Some(_world) = World::new() else { return };
    let mut handle = Nft::open().unwrap();
    let table = Table {
        family: TableFamily::Ip6,
        name: "test",
    };
    assert_eq!(handle.table(table).unwrap(), None);
    let transaction = Transaction::new().add_table(table, Some("mine"), Existing::Refuse);
    let transaction = transaction
        .add_chain(table, chain("one", None), Existing::Refuse)
        .add_chain(table, chain("two", None), Existing::Refuse);
    handle.commit(transaction).unwrap();
    let expected = |objects| TableContent {
        objects,
        comment: Some("mine".to_owned()),
    };
    assert_eq!(handle.table(table).unwrap(), Some(expected(2)));
    let shorter = Transaction::new().delete_chain(table, "one");
    handle.commit(shorter).unwrap();
    assert_eq!(handle.table(table).unwrap(), Some(expected(1)));
}

#[test]
fn every_match_and_action_reads_back() {
    let Some(_world) = World::new() else { return };
    let mut handle = Nft::open().unwrap();
    let networks = [
        "10.0.0.0/8",
        "10.1.2.3/32",
        "172.16.0.0/12",
        "0.0.0.0/0",
        "2001:db8::/64",
    ];
    let networks: Vec<_> = networks
        .iter()
        .chain(&["2001:db8::1/128", "fc00::/7"])
        .map(|n| n.parse().unwrap())
        .collect();
    let mut matches: Vec<Vec<Match>> = vec![
        vec![],
        vec![Match::Is(Test::InputInterface("veth0".into()))],
    ];
    for network in networks {
        matches.extend([
            vec![Match::source(network)],
            vec![Match::destination(network)],
            vec![Match::not_destination(network)],
        ]);
    }
    let actions: [Action; 6] = [
        Verdict::Accept.into(),
        Verdict::Drop.into(),
        Verdict::Return.into(),
        Verdict::Jump("other".into()).into(),
        Verdict::Goto("other".into()).into(),
        MASQUERADE,
    ];
    for family in [
        TableFamily::Inet,
        TableFamily::Ip,
        TableFamily::Ip6,
        TableFamily::Bridge,
    ] {
        let table = Table {
            family,
            name: "test",
        };
        let mut transaction = Transaction::new()
            .add_table(table, None, Existing::Keep)
            .add_chain(table, chain("other", None), Existing::Keep)
            .add_chain(table, chain("rules", None), Existing::Keep);
        let mut expected = Vec::new();
        for (number, matches) in matches.iter().enumerate() {
            let action = actions[number % actions.len()].clone();
            if family == TableFamily::Bridge && action == MASQUERADE {
                continue;
            }
            transaction =
                transaction.add_rule(table, "rules", &rule(matches.clone(), action.clone()));
            expected.push((matches.clone(), Some(action)));
        }
        handle.commit(transaction).unwrap();
        let rules = handle.rules(table, "rules").unwrap();
        let found: Vec<_> = rules
            .into_iter()
            .map(|rule| (rule.matches, rule.action))
            .collect();
        assert_eq!(found, expected, "{family}");
        // nft(8) can print what it finds in its own words.
        let printed = nft(&["list", "table", &family.to_string(), "test"]);
        let is_printable =
            matches!(family, TableFamily::Ip | TableFamily::Ip6) || !printed.contains("@");
        assert!(is_printable, "{printed}");
    }
}

#[test]
fn ether_source_reads_back() {
    let Some(_world) = World::new() else { return };
    let table = Table {
        family: TableFamily::Bridge,
        name: "nat",
    };
    let mac = MacAddr([0xc2, 0x11, 0x22, 0, 0, 1]);
    let mut handle = Nft::open().unwrap();
    let transaction = Transaction::new()
        .add_table(table, None, Existing::Keep)
        .add_chain(table, chain("c", None), Existing::Keep)
        .add_rule(
            table,
            "c",
            &rule(vec![Match::Is(Test::EtherSource(mac))], Verdict::Return),
        );
    handle.commit(transaction).unwrap();
    assert_eq!(
        handle.rules(table, "c").unwrap()[0].matches,
        [Match::Is(Test::EtherSource(mac))]
    );
    assert!(nft(&["list", "ruleset"]).contains("ether saddr c2:11:22:00:00:01 return"));
}

#[test]
fn refusal_names_the_object_and_undoes_the_whole() {
    let Some(_world) = World::new() else { return };
    let mut handle = Nft::open().unwrap();
    let transaction = Transaction::new()
        .add_table(TABLE, None, Existing::Keep)
        .add_rule(TABLE, "missing", &rule(Vec::new(), Verdict::Drop))
        .add_chain(TABLE, chain("late", None), Existing::Keep);
    let error = handle.commit(transaction).unwrap_err();
    assert_eq!(error.to_string(), "add rule to inet test missing");
    assert!(error.is_gone());
    assert!(!handle.has_table(TABLE).unwrap());
    // The socket is usable, and old answers are not taken for new ones.
    handle.commit(table_with_set(V4)).unwrap();
    assert!(handle.has_table(TABLE).unwrap());
}

#[test]
fn existing_objects_are_kept_or_refused() {
    let Some(_world) = World::new() else { return };
    let mut handle = Nft::open().unwrap();
    handle.commit(table_with_set(V4)).unwrap();
    handle.commit(table_with_set(V4)).unwrap();
    let add = |comment, existing| {
        let element = NewElement {
            comment: Some(comment),
            ..element("10.0.0.1")
        };
        Transaction::new().add_element(TABLE, "pods", &addresses(), element, existing)
    };
    handle.commit(add("first", Existing::Refuse)).unwrap();
    let error = handle.commit(add("second", Existing::Refuse)).unwrap_err();
    assert!(error.is_exists(), "{error:?}");
    assert_eq!(error.to_string(), "add element inet test pods 10.0.0.1");
    handle.commit(add("second", Existing::Keep)).unwrap();
    let found = handle
        .element(TABLE, "pods", &addresses(), address("10.0.0.1"))
        .unwrap()
        .unwrap();
    assert_eq!(found.comment.as_deref(), Some("first"));
}

#[test]
fn missing_objects_read_as_nothing() {
    let Some(_world) = World::new() else { return };
    let mut handle = Nft::open().unwrap();
    assert!(!handle.has_table(TABLE).unwrap());
    assert_eq!(
        handle.tables(TableFamily::Inet).unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(handle.chain(TABLE, "c").unwrap(), None);
    assert_eq!(handle.chains(TABLE).unwrap(), []);
    assert_eq!(handle.rules(TABLE, "c").unwrap(), []);
    assert_eq!(handle.sets(TABLE).unwrap(), []);
    assert_eq!(
        handle
            .element(TABLE, "s", &addresses(), address("10.0.0.1"))
            .unwrap(),
        None
    );
    assert_eq!(handle.elements(TABLE, "s", &addresses()).unwrap(), []);
    handle.commit(Transaction::new()).unwrap();
}

#[test]
fn outdated_transaction_is_refused() {
    let Some(_world) = World::new() else { return };
    let mut handle = Nft::open().unwrap();
    let generation = handle.generation().unwrap();
    handle.commit(table_with_set(V4)).unwrap();
    let late = Transaction::at(generation).delete_table(TABLE);
    let error = handle.commit(late).unwrap_err();
    assert!(Nft::is_outdated(&error), "{error:?}");
    let now = Transaction::at(handle.generation().unwrap()).delete_table(TABLE);
    handle.commit(now).unwrap();
    assert!(!handle.has_table(TABLE).unwrap());
}

#[test]
fn chains_tell_whether_they_are_used() {
    let Some(_world) = World::new() else { return };
    let mut handle = Nft::open().unwrap();
    let transaction = Transaction::new()
        .add_table(TABLE, None, Existing::Keep)
        .add_chain(TABLE, chain("target", None), Existing::Keep)
        .add_chain(TABLE, chain("base", Some(SRCNAT)), Existing::Keep)
        .add_rule(
            TABLE,
            "base",
            &rule(Vec::new(), Verdict::Jump("target".into())),
        );
    handle.commit(transaction).unwrap();
    let found = handle.chain(TABLE, "target").unwrap().unwrap();
    assert_eq!((found.references, found.is_base), (1, false));
    assert_eq!(handle.chains(TABLE).unwrap().len(), 2);
    assert_eq!(handle.tables(TableFamily::Inet).unwrap(), ["test"]);
    let error = handle
        .commit(Transaction::new().delete_chain(TABLE, "target"))
        .unwrap_err();
    assert_eq!(error.to_string(), "delete chain inet test target");
    let jump = handle.rules(TABLE, "base").unwrap()[0].handle;
    let both = Transaction::new()
        .delete_rule(TABLE, "base", jump)
        .delete_chain(TABLE, "target");
    handle.commit(both).unwrap();
    assert_eq!(handle.chain(TABLE, "target").unwrap(), None);
}

/// Dumps of thousands of elements span many datagrams and meet changes half-way.
#[test]
fn dump_is_complete_while_others_write() {
    let Some(world) = World::new() else { return };
    const ELEMENTS: u32 = 5000;
    let mut handle = Nft::open().unwrap();
    handle.commit(table_with_set(V4)).unwrap();
    for chunk in (0..ELEMENTS).collect::<Vec<_>>().chunks(500) {
        let transaction = chunk
            .iter()
            .fold(Transaction::new(), |transaction, number| {
                let key = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
                let element = NewElement {
                    comment: Some("owner, net: dbnet, if: eth0, id: c"),
                    ..Key::from(key).into()
                };
                transaction.add_element(TABLE, "pods", &addresses(), element, Existing::Refuse)
            });
        handle.commit(transaction).unwrap();
    }
    let (start, namespace) = (Barrier::new(2), kernel::NetNs::current().unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = Nft::open_in(&namespace).unwrap();
            start.wait();
            for _ in 0..200 {
                let add = Transaction::new();
                let add = add.add_element(
                    TABLE,
                    "pods",
                    &addresses(),
                    element("192.0.2.1"),
                    Existing::Refuse,
                );
                writer.commit(add).unwrap();
                let delete = Transaction::new();
                writer
                    .commit(delete.delete_element(
                        TABLE,
                        "pods",
                        &addresses(),
                        address("192.0.2.1"),
                    ))
                    .unwrap();
            }
        });
        start.wait();
        for _ in 0..20 {
            let keys: Vec<_> = handle
                .elements(TABLE, "pods", &addresses())
                .unwrap()
                .into_iter()
                .map(|found| found.key)
                .collect();
            let unique: HashSet<_> = keys
                .iter()
                .filter(|key| **key != Key::from(address("192.0.2.1")))
                .collect();
            assert_eq!(unique.len(), ELEMENTS as usize);
        }
    });
    drop(world);
}

/// A rule that goes while the list is read moves the place where the kernel goes on.
#[test]
fn list_of_rules_has_no_holes_while_others_delete() {
    let Some(world) = World::new() else { return };
    const RULES: u32 = 2000;
    let source = |number: u32| IpAddr::from((0x0a00_0000 + number).to_be_bytes());
    let mut handle = Nft::open().unwrap();
    let table = Transaction::new()
        .add_table(TABLE, None, Existing::Keep)
        .add_chain(TABLE, chain("c", None), Existing::Keep);
    handle.commit(table).unwrap();
    for chunk in (0..RULES).collect::<Vec<_>>().chunks(500) {
        let transaction = chunk
            .iter()
            .fold(Transaction::new(), |transaction, number| {
                let matches = vec![Match::source(source(*number).into())];
                transaction.add_rule(TABLE, "c", &rule(matches, Verdict::Accept))
            });
        handle.commit(transaction).unwrap();
    }
    let rules = handle.rules(TABLE, "c").unwrap();
    assert_eq!(rules.len(), RULES as usize);
    let (start, namespace) = (Barrier::new(2), kernel::NetNs::current().unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = Nft::open_in(&namespace).unwrap();
            start.wait();
            for rule in &rules[..300] {
                let delete = Transaction::new().delete_rule(TABLE, "c", rule.handle);
                writer.commit(delete).unwrap();
            }
        });
        start.wait();
        loop {
            let found = handle.rules(TABLE, "c").unwrap();
            let gone = rules.len() - found.len();
            assert!(found == rules[gone..], "{gone} gone, and others");
            if gone == 300 {
                break;
            }
        }
    });
    drop(world);
}

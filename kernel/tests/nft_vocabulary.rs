//! Every word of the nftables vocabulary against nft(8): what we write lists as what nft(8) writes
//! from the same words, and what nft(8) writes reads back as ours.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod nft_common;

use ipnetwork::IpNetwork;
use kernel::{
    Family, MacAddr,
    nft::{
        Action, ChainKind, Data, DataType, Datum, Element, Existing, Field, Hook, Key, KeyType,
        Masked, Match, NatFlags, NewChain, NewElement, NewMark, NewRule, NewSet, Nft, Point,
        Policy, Position, Priority, SetType, Statement, States, Table, TableFamily, Test,
        Transaction, Translation, Verdict,
    },
    testing::World,
};
use nft_common::{listed_rules, nft, nft_file};

const V4: KeyType = KeyType::Address(Family::V4);
const V6: KeyType = KeyType::Address(Family::V6);
const RANDOM: NatFlags = NatFlags {
    random: true,
    fully_random: false,
    persistent: false,
};
const FULLY: NatFlags = NatFlags {
    random: false,
    fully_random: true,
    persistent: true,
};
const NO_FLAGS: NatFlags = NatFlags {
    random: false,
    fully_random: false,
    persistent: false,
};

fn network(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

fn is(test: Test) -> NewRule<'static> {
    conditions(vec![Match::Is(test)])
}

fn not(test: Test) -> NewRule<'static> {
    conditions(vec![Match::Not(test)])
}

fn conditions(matches: Vec<Match>) -> NewRule<'static> {
    NewRule {
        matches,
        action: Some(Verdict::Accept.into()),
        ..NewRule::default()
    }
}

fn does(action: impl Into<Action>) -> NewRule<'static> {
    NewRule {
        action: Some(action.into()),
        ..NewRule::default()
    }
}

fn states(statements: Vec<Statement>) -> NewRule<'static> {
    NewRule {
        statements,
        ..NewRule::default()
    }
}

fn sets(set: Statement) -> NewRule<'static> {
    states(vec![set])
}

fn to(address: &str, port: Option<u16>) -> Translation {
    Translation::To(address.parse().unwrap(), port)
}

fn of(key: Vec<Field>, map: &str, family: Family, with_port: bool) -> Translation {
    Translation::Of {
        key,
        map: map.to_owned(),
        family,
        with_port,
    }
}

/// The sets and maps that the rules below look things up in.
const SETS: &str = "
    set hosts { type ipv4_addr; }
    set hosts6 { type ipv6_addr; }
    set ports { type inet_proto . inet_service; }
    set flows { type ipv4_addr . inet_service; }
    set marks { type mark; }
    set links { type ifname; }
    set ways { type ifname . ifname; }
    set macs { type ether_addr; }
    map to4 { type inet_service : ipv4_addr; }
    map to4port { type inet_proto . inet_service : ipv4_addr . inet_service; }
    map to6port { type ipv6_addr . inet_service : ipv6_addr . inet_service; }
    map verdicts { type inet_service : verdict; }
    map verdicts4 { type ipv4_addr . inet_service : verdict; }
    chain other { }
";

/// Conditions, as nft(8) is told them, and as we say them.
fn condition_rules() -> Vec<(&'static str, NewRule<'static>)> {
    let tcp = Match::Is(Test::Protocol(6));
    let state = States::ESTABLISHED.or(States::RELATED);
    let fields = |fields: &[Field], set: &str| Match::In(fields.to_vec(), set.to_owned());
    vec![
        (
            "ip saddr 10.0.0.0/8 accept",
            is(Test::Source(network("10.0.0.0/8"))),
        ),
        (
            "ip daddr 10.128.0.0/9 accept",
            is(Test::Destination(network("10.128.0.0/9"))),
        ),
        (
            "ip daddr != 10.1.2.3 accept",
            not(Test::Destination(network("10.1.2.3/32"))),
        ),
        (
            "ip saddr != 10.1.0.0/16 accept",
            not(Test::Source(network("10.1.0.0/16"))),
        ),
        (
            "ip6 saddr 2001:db8::/32 accept",
            is(Test::Source(network("2001:db8::/32"))),
        ),
        (
            "ip6 daddr != fc00::/7 accept",
            not(Test::Destination(network("fc00::/7"))),
        ),
        ("meta nfproto ipv4 accept", is(Test::Family(Family::V4))),
        ("meta nfproto ipv6 accept", is(Test::Family(Family::V6))),
        ("meta l4proto udp accept", is(Test::Protocol(17))),
        ("meta l4proto != tcp accept", not(Test::Protocol(6))),
        (
            "tcp dport 80 accept",
            conditions(Match::destination_port(6, 80).to_vec()),
        ),
        (
            "tcp sport 1024-65535 accept",
            conditions(vec![tcp.clone(), Match::Is(Test::SourcePort(1024..=65535))]),
        ),
        (
            "tcp dport != 80-90 accept",
            conditions(vec![
                tcp.clone(),
                Match::Not(Test::DestinationPort(80..=90)),
            ]),
        ),
        ("th dport 53 accept", is(Test::DestinationPort(53..=53))),
        (
            "meta mark 0x4000 accept",
            is(Test::Mark(Masked::exactly(0x4000))),
        ),
        (
            "meta mark & 0x4000 == 0x4000 accept",
            is(Test::Mark(Masked::bits(0x4000))),
        ),
        (
            "meta mark & 0x4000 != 0x4000 accept",
            not(Test::Mark(Masked::bits(0x4000))),
        ),
        (
            "meta mark & 0xff == 0 accept",
            is(Test::Mark(Masked {
                value: 0,
                mask: 0xff,
            })),
        ),
        (
            "ct mark 7 accept",
            is(Test::ConntrackMark(Masked::exactly(7))),
        ),
        (
            "ct mark & 0x2000 == 0x2000 accept",
            is(Test::ConntrackMark(Masked::bits(0x2000))),
        ),
        (
            "ct state established,related accept",
            is(Test::ConntrackState(state)),
        ),
        (
            "ct state invalid accept",
            is(Test::ConntrackState(States::INVALID)),
        ),
        ("ct status dnat accept", is(Test::Dnatted)),
        ("fib daddr type local accept", is(Test::DestinationIsLocal)),
        (
            "fib daddr type != local accept",
            not(Test::DestinationIsLocal),
        ),
        (
            "iifname \"cni0\" accept",
            is(Test::InputInterface("cni0".to_owned())),
        ),
        (
            "iifname != \"cni0\" accept",
            not(Test::InputInterface("cni0".to_owned())),
        ),
        (
            "oifname \"veth*\" accept",
            is(Test::OutputInterface("veth*".to_owned())),
        ),
        (
            "oifname \"fifteen-letters\" accept",
            is(Test::OutputInterface("fifteen-letters".to_owned())),
        ),
        (
            "ip saddr @hosts accept",
            conditions(vec![Match::source_in(Family::V4, "hosts")]),
        ),
        (
            "ip6 daddr != @hosts6 accept",
            conditions(vec![Match::NotIn(
                vec![Field::Destination(Family::V6)],
                "hosts6".to_owned(),
            )]),
        ),
        (
            "meta l4proto . th dport @ports accept",
            conditions(vec![fields(
                &[Field::Protocol, Field::DestinationPort],
                "ports",
            )]),
        ),
        (
            "ip daddr . th dport @flows accept",
            conditions(vec![fields(
                &[Field::Destination(Family::V4), Field::DestinationPort],
                "flows",
            )]),
        ),
        (
            "meta mark @marks accept",
            conditions(vec![fields(&[Field::Mark], "marks")]),
        ),
        (
            "iifname @links accept",
            conditions(vec![fields(&[Field::InputInterface], "links")]),
        ),
        (
            "iifname . oifname @ways accept",
            conditions(vec![fields(
                &[Field::InputInterface, Field::OutputInterface],
                "ways",
            )]),
        ),
        ("meta length > 4096 accept", is(Test::LongerThan(4096))),
        ("meta length <= 1500 accept", not(Test::LongerThan(1500))),
    ]
}

/// What rules do.
fn action_rules() -> Vec<(&'static str, NewRule<'static>)> {
    let value = |value, mask| NewMark::Value(Masked { value, mask });
    let ports = vec![Field::DestinationPort];
    let flow = vec![Field::Destination(Family::V4), Field::DestinationPort];
    vec![
        ("accept", does(Verdict::Accept)),
        ("drop", does(Verdict::Drop)),
        ("continue", does(Verdict::Continue)),
        ("return", does(Verdict::Return)),
        ("jump other", does(Verdict::Jump("other".to_owned()))),
        ("goto other", does(Verdict::Goto("other".to_owned()))),
        (
            "th dport vmap @verdicts",
            does(Action::VerdictOf(ports, "verdicts".to_owned())),
        ),
        (
            "ip daddr . th dport vmap @verdicts4",
            does(Action::VerdictOf(flow, "verdicts4".to_owned())),
        ),
        ("counter", states(vec![Statement::Counter])),
        (
            "counter log prefix \"dropped \" drop",
            NewRule {
                statements: vec![Statement::Counter, Statement::Log("dropped ".to_owned())],
                ..does(Verdict::Drop)
            },
        ),
        (
            "meta mark set 0x4000",
            sets(Statement::SetMark(value(0x4000, u32::MAX))),
        ),
        (
            "meta mark set meta mark or 0x2000",
            sets(Statement::SetMark(NewMark::Value(Masked::bits(0x2000)))),
        ),
        (
            "meta mark set meta mark & 0xffffff00 | 0x00000012",
            sets(Statement::SetMark(value(0x12, 0xff))),
        ),
        (
            "meta mark set meta mark and 0xffffdfff",
            sets(Statement::SetMark(value(0, 0x2000))),
        ),
        (
            "meta mark set ct mark",
            sets(Statement::SetMark(NewMark::Conntrack)),
        ),
        (
            "ct mark set meta mark",
            sets(Statement::SetConntrackMark(NewMark::Packet)),
        ),
        (
            "ct mark set 9",
            sets(Statement::SetConntrackMark(value(9, u32::MAX))),
        ),
    ]
}

/// Translations, in chains of the nat kind.
fn nat_rules() -> Vec<(&'static str, NewRule<'static>)> {
    let tcp = |action: Action| NewRule {
        matches: vec![Match::Is(Test::Protocol(6))],
        action: Some(action),
        ..NewRule::default()
    };
    let key = vec![Field::Protocol, Field::DestinationPort];
    let key6 = vec![Field::Destination(Family::V6), Field::DestinationPort];
    vec![
        ("masquerade", does(Action::Masquerade(NO_FLAGS))),
        ("masquerade random", does(Action::Masquerade(RANDOM))),
        (
            "masquerade fully-random,persistent",
            does(Action::Masquerade(FULLY)),
        ),
        ("redirect", does(Action::Redirect(None, NO_FLAGS))),
        (
            "meta l4proto tcp redirect to :8080",
            tcp(Action::Redirect(Some(8080), NO_FLAGS)),
        ),
        (
            "dnat ip to 10.22.0.5",
            does(Action::Dnat(to("10.22.0.5", None), NO_FLAGS)),
        ),
        (
            "meta l4proto tcp dnat ip to 10.22.0.5:80",
            tcp(Action::Dnat(to("10.22.0.5", Some(80)), NO_FLAGS)),
        ),
        (
            "meta l4proto tcp dnat ip6 to [2001:db8::5]:80 persistent",
            tcp(Action::Dnat(
                to("2001:db8::5", Some(80)),
                NatFlags {
                    persistent: true,
                    ..NO_FLAGS
                },
            )),
        ),
        (
            "snat ip6 to 2001:db8::1 fully-random,persistent",
            does(Action::Snat(to("2001:db8::1", None), FULLY)),
        ),
        (
            "snat ip to 192.0.2.1",
            does(Action::Snat(to("192.0.2.1", None), NO_FLAGS)),
        ),
        (
            "meta l4proto tcp dnat ip to th dport map @to4",
            tcp(Action::Dnat(
                of(vec![Field::DestinationPort], "to4", Family::V4, false),
                NO_FLAGS,
            )),
        ),
        (
            "dnat ip to meta l4proto . th dport map @to4port",
            does(Action::Dnat(of(key, "to4port", Family::V4, true), NO_FLAGS)),
        ),
        (
            "meta l4proto tcp dnat ip6 to ip6 daddr . th dport map @to6port",
            tcp(Action::Dnat(
                of(key6, "to6port", Family::V6, true),
                NO_FLAGS,
            )),
        ),
    ]
}

/// Writes each rule once through nft(8) and once ourselves, and compares both listings and both
/// readings.
fn compare(table: Table<'_>, rules: &[(&str, NewRule<'static>)]) {
    let mut handle = Nft::open().unwrap();
    for (text, rule) in rules {
        for chain in ["theirs", "ours"] {
            nft(&[
                "flush",
                "chain",
                &table.family.to_string(),
                table.name,
                chain,
            ]);
        }
        nft_file(&format!("add rule {table} theirs {text}"));
        let write = Transaction::new().add_rule(table, "ours", rule);
        handle.commit(write).unwrap();
        assert_eq!(
            listed_rules(table, "ours"),
            listed_rules(table, "theirs"),
            "{text}"
        );
        for chain in ["ours", "theirs"] {
            let found = handle.rules(table, chain).unwrap();
            let [found] = &found[..] else {
                panic!("{text}: {found:?}")
            };
            assert_eq!(
                (&found.matches, &found.statements, &found.action),
                (&rule.matches, &rule.statements, &rule.action),
                "{text} in {chain}"
            );
        }
    }
}

#[test]
fn rules_are_those_of_nft() {
    let Some(_world) = World::new() else { return };
    let table = Table {
        family: TableFamily::Inet,
        name: "test",
    };
    nft_file(&format!(
        "table {table} {{ {SETS} chain theirs {{ }}\n chain ours {{ }}\n }}"
    ));
    compare(table, &condition_rules());
    compare(table, &action_rules());
}

#[test]
fn translations_are_those_of_nft() {
    let Some(_world) = World::new() else { return };
    let table = Table {
        family: TableFamily::Inet,
        name: "test",
    };
    nft_file(&format!(
        "table {table} {{ {SETS} chain theirs {{ }}\n chain ours {{ }}\n }}"
    ));
    compare(table, &nat_rules());
}

/// In tables of one family nothing asks for it.
#[test]
fn rules_in_tables_of_one_family_are_those_of_nft() {
    let Some(_world) = World::new() else { return };
    for (family, own) in [(TableFamily::Ip, "ip "), (TableFamily::Ip6, "ip6 ")] {
        let table = Table {
            family,
            name: "test",
        };
        nft_file(&format!(
            "table {table} {{ {SETS} chain theirs {{ }}\n chain ours {{ }}\n }}"
        ));
        let foreign = if own == "ip " { "ip6 " } else { "ip " };
        let is_possible = |text: &str| {
            !text.contains(foreign) && !text.contains("nfproto") && !text.contains("continue")
        };
        let all = condition_rules()
            .into_iter()
            .chain(action_rules())
            .chain(nat_rules());
        let rules: Vec<_> = all.filter(|(text, _)| is_possible(text)).collect();
        assert!(rules.len() > 30, "{}", rules.len());
        compare(table, &rules);
    }
}

#[test]
fn frames_are_those_of_nft() {
    let Some(_world) = World::new() else { return };
    let table = Table {
        family: TableFamily::Bridge,
        name: "test",
    };
    let mac = MacAddr([2, 0x11, 0x22, 0x33, 0x44, 0x55]);
    nft_file(&format!(
        "table {table} {{ {SETS} chain theirs {{ }}\n chain ours {{ }}\n }}"
    ));
    let address = Match::source(network("10.0.0.0/8"));
    compare(
        table,
        &[
            (
                "ether saddr 02:11:22:33:44:55 accept",
                is(Test::EtherSource(mac)),
            ),
            (
                "ether daddr != 02:11:22:33:44:55 accept",
                not(Test::EtherDestination(mac)),
            ),
            (
                "ether saddr @macs accept",
                conditions(vec![Match::In(vec![Field::EtherSource], "macs".to_owned())]),
            ),
            ("ip saddr 10.0.0.0/8 accept", conditions(vec![address])),
            ("meta protocol ip6 accept", is(Test::Family(Family::V6))),
        ],
    );
}

/// What is not ours is seen and not taken for less than it is.
#[test]
fn what_has_no_word_is_seen() {
    let Some(_world) = World::new() else { return };
    let table = Table {
        family: TableFamily::Inet,
        name: "test",
    };
    nft_file(&format!("table {table} {{ chain c {{ }}\n }}"));
    for text in [
        "limit rate 1/second accept",
        "tcp dport >= 1024 accept",
        "meta mark set 1 tcp dport 80 accept",
        "ip saddr & 255.0.255.0 == 10.0.1.0 accept",
        "meta skuid 0 accept",
        "reject",
        "ip dscp set cs1",
        "meta priority set 7",
    ] {
        nft(&["flush", "chain", "inet", "test", "c"]);
        nft_file(&format!("add rule {table} c {text}"));
        let rules = Nft::open().unwrap().rules(table, "c").unwrap();
        let is_other = |condition: &Match| matches!(condition, Match::Other(_));
        assert!(rules[0].matches.iter().any(is_other), "{text}: {rules:?}");
    }
}

fn address(text: &str) -> Datum {
    Datum::Address(text.parse().unwrap())
}

fn element(key: Key, data: Option<Data>) -> Element {
    Element {
        key,
        data,
        comment: None,
    }
}

/// Sets and maps with their elements, as nft(8) declares them, and as we do.
fn set_cases() -> Vec<(&'static str, &'static str, SetType, Vec<Element>)> {
    let set = |key: &[KeyType], intervals| SetType {
        key: key.to_vec(),
        data: None,
        intervals,
    };
    let map = |key: &[KeyType], data: DataType| SetType {
        key: key.to_vec(),
        data: Some(data),
        intervals: false,
    };
    let single = |values: &[Datum]| element(Key::Single(values.to_vec()), None);
    let range = |first: Datum, last: Datum| element(Key::Range(vec![first], vec![last]), None);
    let port = Datum::Port;
    vec![
        (
            "set",
            "type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 }",
            set(&[V4], false),
            vec![
                single(&[address("10.0.0.1")]),
                single(&[address("10.0.0.2")]),
            ],
        ),
        (
            "set",
            "type mark; elements = { 0x00000007 }",
            set(&[KeyType::Mark], false),
            vec![single(&[Datum::Mark(7)])],
        ),
        (
            "set",
            "type ifname; elements = { \"cni0\" }",
            set(&[KeyType::InterfaceName], false),
            vec![single(&[Datum::Interface("cni0".to_owned())])],
        ),
        (
            "set",
            "type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 172.16.0.1, \
             192.168.1.5-192.168.1.9, 240.0.0.0/4 }",
            set(&[V4], true),
            vec![
                element(network("10.0.0.0/8").into(), None),
                element(network("172.16.0.1/32").into(), None),
                range(address("192.168.1.5"), address("192.168.1.9")),
                element(network("240.0.0.0/4").into(), None),
            ],
        ),
        (
            "set",
            "type ipv6_addr; flags interval; elements = { 2001:db8::/32, fc00::/7 }",
            set(&[V6], true),
            vec![
                element(network("2001:db8::/32").into(), None),
                element(network("fc00::/7").into(), None),
            ],
        ),
        (
            "set",
            "type inet_service; flags interval; elements = { 80, 443-445, 1024-65535 }",
            set(&[KeyType::Port], true),
            vec![
                range(port(80), port(80)),
                range(port(443), port(445)),
                range(port(1024), port(65535)),
            ],
        ),
        (
            "set",
            "type ipv4_addr . inet_proto . inet_service; elements = { 10.0.0.1 . tcp . 80 }",
            set(&[V4, KeyType::Protocol, KeyType::Port], false),
            vec![single(&[address("10.0.0.1"), Datum::Protocol(6), port(80)])],
        ),
        (
            "set",
            "type ipv4_addr . inet_service; flags interval; \
             elements = { 10.0.0.0/24 . 80-90, 10.1.0.1 . 443 }",
            set(&[V4, KeyType::Port], true),
            vec![
                element(
                    Key::Range(
                        vec![address("10.0.0.0"), port(80)],
                        vec![address("10.0.0.255"), port(90)],
                    ),
                    None,
                ),
                element(
                    Key::Range(
                        vec![address("10.1.0.1"), port(443)],
                        vec![address("10.1.0.1"), port(443)],
                    ),
                    None,
                ),
            ],
        ),
        (
            "map",
            "type inet_service : verdict; elements = { 80 : accept, 81 : jump other, 82 : drop }",
            map(&[KeyType::Port], DataType::Verdict),
            vec![
                element(port(80).into(), Some(Verdict::Accept.into())),
                element(
                    port(81).into(),
                    Some(Verdict::Jump("other".to_owned()).into()),
                ),
                element(port(82).into(), Some(Verdict::Drop.into())),
            ],
        ),
        (
            "map",
            "type inet_proto . inet_service : ipv4_addr . inet_service; \
             elements = { tcp . 8080 : 10.22.0.5 . 80 }",
            map(
                &[KeyType::Protocol, KeyType::Port],
                DataType::Values(vec![V4, KeyType::Port]),
            ),
            vec![element(
                Key::Single(vec![Datum::Protocol(6), port(8080)]),
                Some(Data::Values(vec![address("10.22.0.5"), port(80)])),
            )],
        ),
        (
            "map",
            "type ipv6_addr . inet_service : ipv6_addr . inet_service; \
             elements = { 2001:db8::7 . 8080 : 2001:db8:22::5 . 80 }",
            map(
                &[V6, KeyType::Port],
                DataType::Values(vec![V6, KeyType::Port]),
            ),
            vec![element(
                Key::Single(vec![address("2001:db8::7"), port(8080)]),
                Some(Data::Values(vec![address("2001:db8:22::5"), port(80)])),
            )],
        ),
        (
            "map",
            "type inet_service : mark; elements = { 80 : 0x00000007 }",
            map(&[KeyType::Port], DataType::Values(vec![KeyType::Mark])),
            vec![element(
                port(80).into(),
                Some(Data::Values(vec![Datum::Mark(7)])),
            )],
        ),
    ]
}

#[test]
fn sets_and_maps_are_those_of_nft() {
    let Some(_world) = World::new() else { return };
    let (ours, theirs) = (
        Table {
            family: TableFamily::Inet,
            name: "ours",
        },
        Table {
            family: TableFamily::Inet,
            name: "theirs",
        },
    );
    let mut handle = Nft::open().unwrap();
    for (word, text, kind, mut elements) in set_cases() {
        nft(&["flush", "ruleset"]);
        nft_file(&format!(
            "table {theirs} {{ chain other {{ }}\n {word} s {{ {text}; }}\n }}"
        ));
        nft_file(&format!("table {ours} {{ chain other {{ }}\n }}"));
        let set = NewSet {
            name: "s",
            kind: kind.clone(),
            comment: None,
        };
        let write = Transaction::new().add_set(ours, set, Existing::Refuse);
        let add = |transaction: Transaction, element: &Element| {
            let element = NewElement {
                key: element.key.clone(),
                data: element.data.clone(),
                comment: None,
            };
            transaction.add_element(ours, "s", &kind, element, Existing::Refuse)
        };
        handle.commit(elements.iter().fold(write, add)).unwrap();
        let list = |table: Table<'_>| {
            nft(&["list", word, "inet", table.name, "s"]).replace(table.name, "TABLE")
        };
        assert_eq!(list(ours), list(theirs), "{text}");
        elements.sort_by(|one, other| one.key.cmp(&other.key));
        for table in [ours, theirs] {
            let found = handle.sets(table).unwrap();
            assert_eq!(found[0].kind.as_ref(), Some(&kind), "{text}");
            let mut found = handle.elements(table, "s", &kind).unwrap();
            found.sort_by(|one, other| one.key.cmp(&other.key));
            assert_eq!(found, elements, "{text} in {table}");
            for element in &elements {
                let found = handle
                    .element(table, "s", &kind, element.key.clone())
                    .unwrap();
                assert_eq!(found.as_ref(), Some(element), "{text} in {table}");
                let delete =
                    Transaction::new().delete_element(table, "s", &kind, element.key.clone());
                handle.commit(delete).unwrap();
            }
            assert_eq!(
                handle.elements(table, "s", &kind).unwrap(),
                [],
                "{text} in {table}"
            );
        }
        assert_eq!(list(ours), list(theirs), "{text}");
    }
}

/// Two ranges without a gap stay two.
#[test]
fn adjacent_ranges_read_back() {
    let Some(_world) = World::new() else { return };
    let table = Table {
        family: TableFamily::Inet,
        name: "test",
    };
    let kind = SetType {
        intervals: true,
        ..V4.into()
    };
    let set = NewSet {
        name: "s",
        kind: kind.clone(),
        comment: None,
    };
    let mut handle = Nft::open().unwrap();
    let mut write = Transaction::new()
        .add_table(table, None, Existing::Refuse)
        .add_set(table, set, Existing::Refuse);
    let keys: Vec<Key> = [
        "0.0.0.0/8",
        "10.0.0.0/24",
        "10.0.1.0/24",
        "255.255.255.255/32",
    ]
    .map(|text| network(text).into())
    .to_vec();
    for (number, key) in keys.iter().enumerate() {
        let comment = format!("range {number}");
        let element = NewElement {
            comment: Some(&comment),
            ..key.clone().into()
        };
        write = write.add_element(table, "s", &kind, element, Existing::Refuse);
    }
    handle.commit(write).unwrap();
    let found = handle.elements(table, "s", &kind).unwrap();
    let comments: Vec<_> = found
        .iter()
        .map(|one| one.comment.clone().unwrap())
        .collect();
    assert_eq!(comments, ["range 0", "range 1", "range 2", "range 3"]);
    assert_eq!(
        found.into_iter().map(|one| one.key).collect::<Vec<_>>(),
        keys
    );
}

/// A key of one value in a set of ranges holds that value and nothing behind it; a range in a set
/// of single keys is refused.
#[test]
fn single_keys_in_sets_of_ranges_are_ranges_of_one() {
    let Some(_world) = World::new() else { return };
    let table = Table {
        family: TableFamily::Inet,
        name: "test",
    };
    let mut handle = Nft::open().unwrap();
    let add_table = Transaction::new().add_table(table, None, Existing::Refuse);
    handle.commit(add_table).unwrap();
    let (one, other) = (address("10.0.0.1"), address("10.0.0.9"));
    for (name, text, key, values) in [
        ("plain", "10.0.0.1", vec![V4], vec![one.clone()]),
        (
            "pairs",
            "10.0.0.1 . 80",
            vec![V4, KeyType::Port],
            vec![one.clone(), Datum::Port(80)],
        ),
    ] {
        let kind = SetType {
            key,
            data: None,
            intervals: true,
        };
        let set = NewSet {
            name,
            kind: kind.clone(),
            comment: None,
        };
        let single = Key::Single(values.clone());
        let write = Transaction::new()
            .add_set(table, set, Existing::Refuse)
            .add_element(table, name, &kind, single.clone().into(), Existing::Refuse);
        handle.commit(write).unwrap();
        let listed = nft(&["list", "set", "inet", "test", name]);
        assert!(
            listed.contains(&format!("elements = {{ {text} }}")),
            "{listed}"
        );
        let found = handle.element(table, name, &kind, single.clone()).unwrap();
        let range = Key::Range(values.clone(), values);
        assert_eq!(found.map(|found| found.key), Some(range));
        let delete = Transaction::new().delete_element(table, name, &kind, single);
        handle.commit(delete).unwrap();
        assert_eq!(handle.elements(table, name, &kind).unwrap(), []);
    }
    let kind = SetType::from(V4);
    let set = NewSet {
        name: "single",
        kind: kind.clone(),
        comment: None,
    };
    let range = Key::Range(vec![one], vec![other]);
    let write = Transaction::new()
        .add_set(table, set, Existing::Refuse)
        .add_element(table, "single", &kind, range.into(), Existing::Refuse);
    let error = handle.commit(write).unwrap_err();
    let refused = "add element inet test single 10.0.0.1-10.0.0.9";
    assert_eq!(error.to_string(), refused);
}

#[test]
fn hooks_and_priorities_are_those_of_nft() {
    let Some(_world) = World::new() else { return };
    let hook = |kind, point, priority| Hook {
        kind,
        point,
        priority,
        policy: Policy::Accept,
    };
    let (filter, nat, route) = (ChainKind::Filter, ChainKind::Nat, ChainKind::Route);
    let inet = TableFamily::Inet;
    let bridge = TableFamily::Bridge;
    let cases = [
        (
            inet,
            "filter hook prerouting priority raw",
            hook(filter, Point::Prerouting, Priority::RAW),
        ),
        (
            inet,
            "filter hook forward priority mangle",
            hook(filter, Point::Forward, Priority::MANGLE),
        ),
        (
            inet,
            "filter hook input priority filter",
            hook(filter, Point::Input, Priority::filter(inet)),
        ),
        (
            inet,
            "filter hook input priority security",
            hook(filter, Point::Input, Priority::SECURITY),
        ),
        (
            inet,
            "nat hook prerouting priority dstnat",
            hook(nat, Point::Prerouting, Priority::dstnat(inet)),
        ),
        (
            inet,
            "nat hook output priority -100",
            hook(nat, Point::Output, Priority(-100)),
        ),
        (
            inet,
            "nat hook postrouting priority srcnat",
            hook(nat, Point::Postrouting, Priority::srcnat(inet)),
        ),
        (
            inet,
            "route hook output priority mangle",
            hook(route, Point::Output, Priority::MANGLE),
        ),
        (
            bridge,
            "filter hook prerouting priority dstnat",
            hook(filter, Point::Prerouting, Priority::dstnat(bridge)),
        ),
        (
            bridge,
            "filter hook forward priority filter",
            hook(filter, Point::Forward, Priority::filter(bridge)),
        ),
        (
            bridge,
            "filter hook postrouting priority srcnat",
            hook(filter, Point::Postrouting, Priority::srcnat(bridge)),
        ),
    ];
    let mut handle = Nft::open().unwrap();
    for (family, text, wanted) in cases {
        for (policy, word) in [(Policy::Accept, "accept"), (Policy::Drop, "drop")] {
            let wanted = Hook { policy, ..wanted };
            nft(&["flush", "ruleset"]);
            let table = Table {
                family,
                name: "test",
            };
            nft_file(&format!(
                "table {table} {{ chain theirs {{ type {text}; policy {word}; }}\n }}"
            ));
            let chain = NewChain {
                name: "ours",
                hook: Some(wanted),
                comment: None,
            };
            handle
                .commit(Transaction::new().add_chain(table, chain, Existing::Refuse))
                .unwrap();
            let list = |chain: &str| {
                let text = nft(&["list", "chain", &family.to_string(), "test", chain]);
                text.replace(chain, "CHAIN")
            };
            assert_eq!(list("ours"), list("theirs"), "{text}");
            for chain in ["ours", "theirs"] {
                let found = handle.chain(table, chain).unwrap().unwrap();
                assert_eq!(found.hook, Some(wanted), "{text}");
            }
        }
    }
}

#[test]
fn rules_go_where_they_are_put() {
    let Some(_world) = World::new() else { return };
    let table = Table {
        family: TableFamily::Inet,
        name: "test",
    };
    let mut handle = Nft::open().unwrap();
    let chain = NewChain {
        name: "c",
        hook: None,
        comment: None,
    };
    let write = Transaction::new()
        .add_table(table, None, Existing::Refuse)
        .add_chain(table, chain, Existing::Refuse);
    handle.commit(write).unwrap();
    let mut put = |position, comment| {
        let rule = NewRule {
            comment: Some(comment),
            ..does(Verdict::Accept)
        };
        let add = Transaction::new().add_rule_at(position, table, "c", &rule);
        handle.commit(add).unwrap();
        let found = handle.rules(table, "c").unwrap();
        let one = found
            .iter()
            .find(|rule| rule.comment.as_deref() == Some(comment));
        one.unwrap().handle
    };
    let middle = put(Position::Last, "middle");
    put(Position::First, "first");
    put(Position::Last, "last");
    put(Position::Before(middle), "before");
    put(Position::After(middle), "after");
    let found = handle.rules(table, "c").unwrap();
    let order: Vec<_> = found
        .iter()
        .filter_map(|rule| rule.comment.as_deref())
        .collect();
    assert_eq!(order, ["first", "before", "middle", "after", "last"]);
}

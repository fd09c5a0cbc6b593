use kernel::nft::{Datum, Masked, States, Test};

use super::*;

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn v4(text: &str) -> Vec<Condition> {
    read(Family::V4, &words(text)).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn is(test: Test) -> Condition {
    Condition::Match(Match::Is(test))
}

fn not(test: Test) -> Condition {
    Condition::Match(Match::Not(test))
}

#[test]
fn single_values_are_tests() {
    let tcp = || is(Test::Protocol(6));
    let network = |text: &str| text.parse().unwrap();
    for (text, expected) in [
        (
            "ip daddr != 192.0.2.0/24",
            vec![not(Test::Destination(network("192.0.2.0/24")))],
        ),
        (
            "ip saddr == 192.0.2.7",
            vec![is(Test::Source(network("192.0.2.7/32")))],
        ),
        (
            "ip saddr 10.0.0.0-10.0.0.255",
            vec![is(Test::Source(network("10.0.0.0/24")))],
        ),
        (
            "ip saddr { 10.0.0.1 }",
            vec![is(Test::Source(network("10.0.0.1/32")))],
        ),
        (
            "tcp dport 1024-65535",
            vec![tcp(), is(Test::DestinationPort(1024..=65535))],
        ),
        (
            "tcp sport != 80",
            vec![tcp(), not(Test::SourcePort(80..=80))],
        ),
        ("ip protocol udp", vec![is(Test::Protocol(17))]),
        ("meta l4proto 132", vec![is(Test::Protocol(132))]),
        (
            "iifname \"eth0\"",
            vec![is(Test::InputInterface("eth0".into()))],
        ),
        (
            "meta iifname != eth*",
            vec![not(Test::InputInterface("eth*".into()))],
        ),
        (
            "oifname != cni0",
            vec![not(Test::OutputInterface("cni0".into()))],
        ),
        ("meta mark 0x10", vec![is(Test::Mark(Masked::exactly(16)))]),
        (
            "mark & 0x0f == 0x01",
            vec![is(Test::Mark(Masked { value: 1, mask: 15 }))],
        ),
        (
            "ct mark and 3 != 2",
            vec![not(Test::ConntrackMark(Masked { value: 2, mask: 3 }))],
        ),
        (
            "ct state new,related",
            vec![is(Test::ConntrackState(States::NEW.or(States::RELATED)))],
        ),
        (
            "ct state != { invalid }",
            vec![not(Test::ConntrackState(States::INVALID))],
        ),
        ("ct status dnat", vec![is(Test::Dnatted)]),
        (
            "ether saddr 02:00:00:00:00:01",
            vec![is(Test::EtherSource("02:00:00:00:00:01".parse().unwrap()))],
        ),
        ("fib daddr type local", vec![is(Test::DestinationIsLocal)]),
        (
            "iifname eth0 ip saddr 10.0.0.0/8",
            vec![
                is(Test::InputInterface("eth0".into())),
                is(Test::Source(network("10.0.0.0/8"))),
            ],
        ),
    ] {
        assert_eq!(v4(text), expected, "{text}");
    }
}

#[test]
fn several_values_are_sets() {
    let choice = |text: &str| match &v4(text)[..] {
        [.., Condition::OneOf(choice)] => choice.clone(),
        other => panic!("{text}: {other:?}"),
    };
    let networks = choice("ip saddr != { 10.1.0.0/16, 10.0.0.0/8, 192.0.2.1 }");
    assert!(networks.negated && networks.set_type().intervals);
    let key = |text: &str| Key::from(text.parse::<ipnetwork::IpNetwork>().unwrap());
    assert_eq!(
        networks.keys,
        [key("10.0.0.0/8"), key("192.0.2.1/32")],
        "none meets another"
    );

    let names = choice("iifname { \"eth1\",eth0 }");
    let name = |text: &str| Key::from(Datum::Interface(text.into()));
    assert_eq!(names.keys, [name("eth1"), name("eth0")]);
    assert!(!names.negated && !names.set_type().intervals);

    let addresses = choice("ip daddr {192.0.2.1,192.0.2.1,192.0.2.9,}");
    assert_eq!(addresses.keys.len(), 2);
    let range = choice("ip daddr 10.0.0.1-10.0.0.6");
    assert_eq!(range.keys.len(), 1, "no network");
    assert_eq!(choice("tcp dport { 80, 8000-8100 }").keys.len(), 2);
}

#[test]
fn what_is_not_understood_is_named() {
    for (family, text, at) in [
        (Family::V4, "ip6 saddr ::1", "ip6"),
        (Family::V6, "ip saddr 10.0.0.1", "ip"),
        (Family::V4, "ip saddr", "saddr"),
        (Family::V4, "ip saddr example.org", "example.org"),
        (Family::V4, "ip saddr 2001:db8::1", "2001:db8::1"),
        (Family::V4, "ip saddr { 10.0.0.1", "10.0.0.1"),
        (Family::V4, "ip ttl 3", "ttl"),
        (Family::V4, "tcp dport http", "http"),
        (Family::V4, "iif eth0", "iif"),
        (Family::V4, "ip saddr 10.0.0.1 accept", "accept"),
        (Family::V4, "ct state strange", "strange"),
        (Family::V4, "ct status snat", "snat"),
    ] {
        let ConfigError::Condition {
            at: found, words, ..
        } = read(family, &self::words(text)).unwrap_err()
        else {
            panic!("{text}");
        };
        assert_eq!((found.as_str(), words.as_str()), (at, text));
    }
    assert_eq!(read(Family::V4, &[]), Ok(vec![]));
}

#[test]
fn syntaxes_are_told_apart() {
    for (text, is_iptables) in [
        ("! -d 10.0.0.1", true),
        ("-d 10.0.0.1", true),
        ("ip daddr", false),
    ] {
        assert_eq!(is_of_iptables(&words(text)), is_iptables, "{text}");
    }
    assert!(!is_of_iptables(&[]));
}

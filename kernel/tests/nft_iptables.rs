//! Whole chains through iptables, in both of its kernel interfaces.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use kernel::{
    Family,
    iptables::{
        Error, Flavour, Iptables, Jump, Position, ensure_chain, has_legacy_table, made_tables,
        remove_chain, remove_chain_of_any_flavour, remove_made_table,
    },
    nft::{
        Action, Extension, Masked, Match, NatFlags, NewMark, NewRule, Nft, Statement, States,
        Table, TableFamily, Test, Transaction, Translation, Verdict,
    },
    testing::World,
};

const CHAIN: &str = "FLANNEL-POSTRTG";
const JUMP: Jump<'_> = Jump {
    from: "POSTROUTING",
    position: Position::First,
    comment: Some("flanneld masq"),
};

#[allow(
    clippy::disallowed_methods,
    reason = "the judge must not be the code under test"
)]
fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-ec", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn rules(network: &str, multicast: &str) -> Vec<String> {
    let comment = r#"-m comment --comment "flanneld masq""#;
    vec![
        format!("-s {network} -d {network} {comment} -j RETURN"),
        format!("-s {network} ! -d {multicast} {comment} -j MASQUERADE --random-fully"),
        format!("! -s {network} -d {network} {comment} -j MASQUERADE --random-fully"),
    ]
}

#[test]
fn chain_is_made_kept_repaired_and_removed() {
    let Some(_world) = World::new() else { return };
    for (family, program, network, multicast) in [
        (Family::V4, "iptables", "10.244.0.0/16", "224.0.0.0/4"),
        (Family::V6, "ip6tables", "2001:db8::/48", "ff00::/8"),
    ] {
        let rules = rules(network, multicast);
        let ensure = || ensure_chain(family, "nat", CHAIN, &rules, &JUMP).unwrap();
        let list = || sh(&format!("{program} -t nat -S"));
        sh(&format!("{program} -t nat -A POSTROUTING -j ACCEPT"));
        assert!(ensure());
        let complete = list();
        for rule in &rules {
            assert!(
                complete.contains(&format!("-A {CHAIN} {rule}\n")),
                "{complete}"
            );
        }
        let jump = format!(r#"-A POSTROUTING -m comment --comment "flanneld masq" -j {CHAIN}"#);
        let first = complete
            .lines()
            .find(|line| line.starts_with("-A POSTROUTING"));
        assert_eq!(first, Some(jump.as_str()));
        assert!(!ensure());

        for damage in [
            format!("-F {CHAIN}"),
            format!("-A {CHAIN} -j ACCEPT"),
            format!("-D {CHAIN} 2"),
            "-D POSTROUTING 1".into(),
            format!(
                "-I POSTROUTING {}",
                jump.trim_start_matches("-A POSTROUTING ")
            ),
        ] {
            sh(&format!("{program} -t nat {damage}"));
            assert!(ensure(), "{damage}");
            assert_eq!(list(), complete, "{damage}");
        }
        assert!(remove_chain(family, "nat", CHAIN).unwrap());
        assert!(!list().contains(CHAIN) && list().contains("-A POSTROUTING -j ACCEPT"));
        assert!(!remove_chain(family, "nat", CHAIN).unwrap());
    }
}

#[test]
fn chain_is_removed_whichever_flavour_made_it() {
    let Some(_world) = World::new() else { return };
    for (family, programs) in [
        (Family::V4, ["iptables-nft", "iptables-legacy"]),
        (Family::V6, ["ip6tables-nft", "ip6tables-legacy"]),
    ] {
        for program in programs {
            sh(&format!(
                "{program} -t nat -N {CHAIN}; {program} -t nat -A {CHAIN} -j RETURN
                {program} -t nat -A POSTROUTING -j ACCEPT
                {program} -t nat -A POSTROUTING -m comment --comment c -j {CHAIN}
                {program} -t nat -N OTHER; {program} -t nat -A OTHER -g {CHAIN}"
            ));
        }
        let remove = || remove_chain_of_any_flavour(family, "nat", CHAIN).unwrap();
        assert!(remove());
        for program in programs {
            let rules = sh(&format!("{program} -t nat -S"));
            assert!(!rules.contains(CHAIN), "{program}: {rules}");
            assert!(rules.contains("-A POSTROUTING -j ACCEPT") && rules.contains("-N OTHER"));
        }
        assert!(!remove());
    }
}

#[test]
fn legacy_interface_is_seen_and_changed() {
    let Some(_world) = World::new() else { return };
    assert!(!has_legacy_table(Family::V4, "nat"));
    let legacy = Iptables::legacy(Family::V4).unwrap();
    legacy
        .restore("nat", &[":X - [0:0]".into(), "-A X -j ACCEPT".into()])
        .unwrap();
    assert!(has_legacy_table(Family::V4, "nat") && !has_legacy_table(Family::V6, "nat"));
    assert!(
        legacy
            .list("nat")
            .unwrap()
            .iter()
            .any(|line| line.declares("X"))
    );
    assert_eq!(sh("nft list ruleset"), "");
    assert_eq!(legacy.flavour(), Some(Flavour::Legacy));
    let chosen = Iptables::new(Family::V4).unwrap();
    assert_eq!(chosen.flavour(), Some(Flavour::Nft));
}

/// The rules of the reference plugins' portmap, as far as this vocabulary has words for them.
#[test]
fn ports_marks_and_destinations_are_read() {
    let Some(_world) = World::new() else { return };
    for (family, program, to) in [
        (TableFamily::Ip, "iptables", "10.22.0.5:80"),
        (TableFamily::Ip6, "ip6tables", "[2001:db8:22::5]:80"),
    ] {
        let rules = [
            "-p udp -m multiport --dports 53,8080:8090 -j Y",
            "-m mark --mark 0x2000/0x2000 -j MASQUERADE",
            "-m mark ! --mark 0x2000/0x2000 -j RETURN",
            "-j MARK --set-xmark 0x2000/0x2000",
            &format!("-p tcp --dport 8080 -j DNAT --to-destination {to}"),
        ];
        sh(&format!("{program} -t nat -N X; {program} -t nat -N Y"));
        for rule in rules {
            sh(&format!("{program} -t nat -A X {rule}"));
        }
        let table = Table {
            family,
            name: "nat",
        };
        let read = Nft::open().unwrap().rules(table, "X").unwrap();
        let ports = Match::DestinationPorts(vec![53..=53, 8080..=8090]);
        let mark = Masked::bits(0x2000);
        assert_eq!(read[0].matches, [Match::Is(Test::Protocol(17)), ports]);
        assert_eq!(read[1].matches, [Match::Is(Test::Mark(mark))]);
        assert_ne!(read[2].matches, read[1].matches);
        let set_mark = Statement::SetMark(NewMark::Value(mark));
        assert!(read[3].statements.contains(&set_mark), "{:?}", read[3]);
        assert_eq!(read[4].matches, Match::destination_port(6, 8080));
        let to: std::net::SocketAddr = to.parse().unwrap();
        let to = Translation::To(to.ip(), Some(to.port()));
        assert_eq!(read[4].action, Some(Action::Dnat(to, NatFlags::default())));
    }
}

/// A rule that was written over netlink is iptables' own in every respect.
#[test]
fn extensions_are_those_of_iptables() {
    let Some(_world) = World::new() else { return };
    for (family, program, address) in [
        (TableFamily::Ip, "iptables", "10.22.0.5/32"),
        (TableFamily::Ip6, "ip6tables", "2001:db8:22::5/128"),
    ] {
        let comment = "an \"administrator\" reads this";
        let rule = format!(
            "FORWARD -d {address} -m conntrack --ctstate RELATED,ESTABLISHED \
             -m comment --comment '{comment}' -j ACCEPT"
        );
        sh(&format!("{program} -A {rule}"));
        let table = Table {
            family,
            name: "filter",
        };
        let states = States::ESTABLISHED.or(States::RELATED);
        let destination = Match::destination(address.parse().unwrap());
        let written = NewRule {
            matches: vec![
                destination.clone(),
                Match::Extension(Extension::ConntrackState(states)),
                Match::Extension(Extension::Comment(comment.to_owned())),
            ],
            statements: vec![Statement::Counter],
            action: Some(Verdict::Accept.into()),
            ..NewRule::default()
        };
        let mut nft = Nft::open().unwrap();
        let transaction = Transaction::new().add_rule(table, "FORWARD", &written);
        nft.commit(transaction).unwrap();
        let listed = sh(&format!("{program} -S FORWARD"));
        let rules: Vec<&str> = listed.lines().skip(1).collect();
        assert!(
            matches!(&rules[..], [theirs, ours] if theirs == ours),
            "{listed}"
        );
        for read in nft.rules(table, "FORWARD").unwrap() {
            let means = Match::Is(Test::ConntrackState(states));
            assert_eq!(read.matches, [destination.clone(), means]);
            assert_eq!(read.comment.as_deref(), Some(comment));
            assert_eq!(read.action, Some(Verdict::Accept.into()));
        }
        // Both go by the same words.
        sh(&format!("{program} -D {rule}; {program} -D {rule}"));
        assert_eq!(nft.rules(table, "FORWARD").unwrap(), []);
    }
}

#[test]
fn refusal_shows_command_and_words() {
    let Some(_world) = World::new() else { return };
    let iptables = Iptables::new(Family::V4).unwrap();
    let error = iptables
        .restore("nat", &["-A MISSING -j ACCEPT".into()])
        .unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Refused { .. }), "{text}");
    assert!(
        text.contains("iptables-restore --noflush --wait <<<"),
        "{text}"
    );
    assert!(
        text.contains("-A MISSING -j ACCEPT") && text.contains("line 2 failed"),
        "{text}"
    );
    let text = iptables.list("nonsense").unwrap_err().to_string();
    assert!(
        text.contains("running [iptables -t nonsense -S --wait]"),
        "{text}"
    );
}

/// iptables keeps a table that it has needed once.
#[test]
fn a_table_that_was_made_for_a_chain_goes_when_it_is_empty() {
    let Some(_world) = World::new() else { return };
    let [v4, v6] = [TableFamily::Ip, TableFamily::Ip6].map(|family| Table {
        family,
        name: "nat",
    });
    let found = |ours: &dyn Fn(&str) -> bool| -> Vec<String> {
        let tables = made_tables(ours).unwrap();
        tables.iter().map(ToString::to_string).collect()
    };
    let ensure = |family, network: &str, multicast: &str| {
        ensure_chain(family, "nat", CHAIN, &rules(network, multicast), &JUMP).unwrap()
    };
    // Somebody else's table stays, whatever it holds.
    sh("nft add table ip6 nat");
    assert!(ensure(Family::V4, "10.244.0.0/16", "224.0.0.0/4"));
    assert!(ensure(Family::V6, "2001:db8::/48", "ff00::/8"));
    assert!(!ensure(Family::V4, "10.244.0.0/16", "224.0.0.0/4"));
    assert_eq!(found(&|name| name == CHAIN), ["ip nat"]);
    assert_eq!(found(&|_| false), Vec::<String>::new());
    assert!(!remove_made_table(v4).unwrap());

    for family in Family::ALL {
        assert!(remove_chain(family, "nat", CHAIN).unwrap());
    }
    // Others have come to use it.
    for (use_it, leave_it) in [
        (
            "iptables -t nat -A OUTPUT -j ACCEPT",
            "iptables -t nat -F OUTPUT",
        ),
        ("iptables -t nat -N THEIRS", "iptables -t nat -X THEIRS"),
        (
            "nft 'add chain ip nat FORWARD { type filter hook forward priority 0; policy drop; }'",
            "nft delete chain ip nat FORWARD",
        ),
        (
            "nft 'add chain ip nat theirs { type filter hook forward priority 0; }'",
            "nft delete chain ip nat theirs",
        ),
        (
            "nft 'add set ip nat theirs { type ipv4_addr; }'",
            "nft delete set ip nat theirs",
        ),
    ] {
        sh(use_it);
        assert_eq!(found(&|_| false), Vec::<String>::new(), "{use_it}");
        assert!(!remove_made_table(v4).unwrap(), "{use_it}");
        sh(leave_it);
        assert_eq!(found(&|_| false), ["ip nat"], "{leave_it}");
    }
    sh("iptables -t nat -S; iptables-save");
    assert!(remove_made_table(v4).unwrap());
    assert!(!remove_made_table(v6).unwrap());
    let left = sh("nft list tables");
    assert_eq!(left.trim(), "table ip6 nat");
    assert!(!remove_made_table(v4).unwrap());
}

//! Whole rule sets, as others write them, in one transaction each: flannel's, the reference
//! portmap's and a firewall's list as theirs do.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod nft_common;

use std::net::{IpAddr, SocketAddr};

use ipnetwork::IpNetwork;
use kernel::{
    nft::{
        Action, ChainKind, Existing, Hook, Masked, Match, NatFlags, NewChain, NewRule, Nft, Point,
        Policy, Priority, Statement, States, Table, TableFamily, Test, Transaction, Translation,
        Verdict,
    },
    testing::World,
};
use nft_common::{listed_rules, nft, nft_file};

const FULLY_RANDOM: NatFlags = NatFlags {
    random: false,
    fully_random: true,
    persistent: false,
};

fn network(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

fn source(text: &str) -> Match {
    Match::source(network(text))
}

fn not_source(text: &str) -> Match {
    Match::Not(Test::Source(network(text)))
}

fn destination(text: &str) -> Match {
    Match::destination(network(text))
}

fn not_destination(text: &str) -> Match {
    Match::not_destination(network(text))
}

fn rule<const N: usize>(matches: [Match; N], action: impl Into<Action>) -> NewRule<'static> {
    NewRule {
        matches: matches.to_vec(),
        action: Some(action.into()),
        ..NewRule::default()
    }
}

fn hook(kind: ChainKind, point: Point, priority: Priority) -> Hook {
    Hook {
        kind,
        point,
        priority,
        policy: Policy::Accept,
    }
}

fn chain(name: &str, hook: Option<Hook>) -> NewChain<'_> {
    NewChain {
        name,
        hook,
        comment: None,
    }
}

/// The listing of all tables without indentation and empty lines.
fn listing() -> Vec<String> {
    lines(&nft(&["list", "ruleset"]))
}

fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What the kernel holds after our transaction lists as what nft(8) makes of `text`, and every
/// rule says the same word by word.
fn assert_is_as_written_by_nft(write: Transaction, text: &str, chains: &[(Table<'_>, &str)]) {
    let rules = || -> Vec<_> {
        let all = chains.iter();
        all.map(|(table, chain)| listed_rules(*table, chain))
            .collect()
    };
    Nft::open().unwrap().commit(write).unwrap();
    let ours = (listing(), rules());
    nft(&["flush", "ruleset"]);
    nft_file(text);
    assert_eq!(ours, (listing(), rules()));
}

/// What differs between flannel's two tables.
struct Flannel {
    table: Table<'static>,
    comment: &'static str,
    word: &'static str,
    network: &'static str,
    subnet: &'static str,
    multicast: &'static str,
}

const FLANNEL: [Flannel; 2] = [
    Flannel {
        table: Table {
            family: TableFamily::Ip,
            name: "flannel-ipv4",
        },
        comment: "rules for flannel-ipv4",
        word: "ip",
        network: "10.244.0.0/16",
        subnet: "10.244.3.0/24",
        multicast: "224.0.0.0/4",
    },
    Flannel {
        table: Table {
            family: TableFamily::Ip6,
            name: "flannel-ipv6",
        },
        comment: "rules for flannel-ipv6",
        word: "ip6",
        network: "2001:db8:42::/56",
        subnet: "2001:db8:42:3::/64",
        multicast: "ff00::/8",
    },
];

impl Flannel {
    const FORWARD: &str = "chain to accept flannel traffic";
    const POSTRTG: &str = "chain to manage traffic masquerading by flannel";

    /// As flannel tells nft(8) with `EnableNFTables`.
    fn text(&self) -> String {
        let Self {
            table,
            comment,
            word,
            network,
            subnet,
            multicast,
        } = self;
        let (forward, postrtg) = (Self::FORWARD, Self::POSTRTG);
        format!(
            r#"table {table} {{
                comment "{comment}"
                chain forward {{
                    comment "{forward}"
                    type filter hook forward priority filter; policy accept;
                    {word} saddr {network} accept
                    {word} daddr {network} accept
                }}
                chain postrtg {{
                    comment "{postrtg}"
                    type nat hook postrouting priority srcnat; policy accept;
                    meta mark 0x4000 return
                    {word} saddr {subnet} {word} daddr {network} return
                    {word} saddr {network} {word} daddr {subnet} return
                    {word} saddr != {subnet} {word} daddr {network} return
                    {word} saddr {network} {word} daddr != {multicast} masquerade fully-random
                    {word} saddr != {network} {word} daddr {network} masquerade fully-random
                }}
            }}
            "#
        )
    }

    fn write(&self, transaction: Transaction) -> Transaction {
        let Self {
            table,
            network,
            subnet,
            multicast,
            ..
        } = *self;
        let forward = hook(
            ChainKind::Filter,
            Point::Forward,
            Priority::filter(table.family),
        );
        let postrouting = hook(
            ChainKind::Nat,
            Point::Postrouting,
            Priority::srcnat(table.family),
        );
        let base = |name, hook, comment| NewChain {
            comment: Some(comment),
            ..chain(name, Some(hook))
        };
        let masquerade = Action::Masquerade(FULLY_RANDOM);
        let mark = Match::Is(Test::Mark(Masked::exactly(0x4000)));
        let accepts = [source(network), destination(network)];
        let translations = [
            rule([mark], Verdict::Return),
            rule([source(subnet), destination(network)], Verdict::Return),
            rule([source(network), destination(subnet)], Verdict::Return),
            rule([not_source(subnet), destination(network)], Verdict::Return),
            rule(
                [source(network), not_destination(multicast)],
                masquerade.clone(),
            ),
            rule([not_source(network), destination(network)], masquerade),
        ];
        let transaction = transaction
            .add_table(table, Some(self.comment), Existing::Keep)
            .add_chain(
                table,
                base("forward", forward, Self::FORWARD),
                Existing::Keep,
            )
            .flush_chain(table, "forward")
            .add_chain(
                table,
                base("postrtg", postrouting, Self::POSTRTG),
                Existing::Keep,
            )
            .flush_chain(table, "postrtg");
        let transaction = accepts.into_iter().fold(transaction, |transaction, one| {
            transaction.add_rule(table, "forward", &rule([one], Verdict::Accept))
        });
        let add = |transaction: Transaction, rule| transaction.add_rule(table, "postrtg", rule);
        translations.iter().fold(transaction, add)
    }
}

#[test]
fn flannels_rules_are_those_of_nft() {
    let Some(_world) = World::new() else { return };
    let write = FLANNEL
        .iter()
        .fold(Transaction::new(), |all, one| one.write(all));
    let text: String = FLANNEL.iter().map(Flannel::text).collect();
    let chains: Vec<_> = FLANNEL
        .iter()
        .flat_map(|one| ["forward", "postrtg"].map(|chain| (one.table, chain)))
        .collect();
    assert_is_as_written_by_nft(write, &text, &chains);
}

/// A host port of the reference's portmap.
struct HostPort {
    host_ip: Option<&'static str>,
    protocol: u8,
    port: u16,
    to: &'static str,
    owner: &'static str,
}

const TCP_8080: HostPort = HostPort {
    host_ip: None,
    protocol: 6,
    port: 8080,
    to: "10.22.0.5:80",
    owner: "ctr1",
};

impl HostPort {
    fn rule(&self) -> NewRule<'static> {
        let host_ip = self.host_ip.map(destination).into_iter();
        let to: SocketAddr = self.to.parse().unwrap();
        NewRule {
            matches: host_ip
                .chain(Match::destination_port(self.protocol, self.port))
                .collect(),
            action: Some(Action::Dnat(
                Translation::To(to.ip(), Some(to.port())),
                NatFlags::default(),
            )),
            comment: Some(self.owner),
            ..NewRule::default()
        }
    }
}

/// The table of the reference's portmap: host ports, the condition that comes before them, and
/// what is masqueraded: source, destination, owner.
fn host_ports(
    transaction: Transaction,
    family: TableFamily,
    ports: &[HostPort],
    condition: Option<Match>,
    masqueraded: &[[&'static str; 3]],
) -> Transaction {
    let table = Table {
        family,
        name: "cni_hostport",
    };
    let nat = |point, priority| Some(hook(ChainKind::Nat, point, priority));
    let dstnat = Priority::dstnat(family);
    let chains = [
        chain("hostports", None),
        chain("hostip_hostports", None),
        chain("hostports_all", None),
        chain("prerouting", nat(Point::Prerouting, dstnat)),
        chain("output", nat(Point::Output, dstnat)),
        chain(
            "masquerading",
            nat(Point::Postrouting, Priority::srcnat(family)),
        ),
    ];
    let jump = |chain: &str| Verdict::Jump(chain.to_owned());
    let to_ports = NewRule {
        matches: condition
            .into_iter()
            .chain([Match::Is(Test::DestinationIsLocal)])
            .collect(),
        ..rule([], jump("hostports_all"))
    };
    let mut transaction = transaction.add_table(table, Some("CNI portmap plugin"), Existing::Keep);
    for chain in chains {
        transaction = transaction.add_chain(table, chain, Existing::Keep);
    }
    for name in ["hostip_hostports", "hostports"] {
        transaction = transaction.add_rule(table, "hostports_all", &rule([], jump(name)));
    }
    for name in ["prerouting", "output"] {
        transaction = transaction.add_rule(table, name, &to_ports);
    }
    for port in ports {
        transaction = transaction.add_rule(table, "hostports", &port.rule());
    }
    for [from, to, owner] in masqueraded {
        let action = Action::Masquerade(NatFlags::default());
        let rule = NewRule {
            comment: Some(owner),
            ..rule([source(from), destination(to)], action)
        };
        transaction = transaction.add_rule(table, "masquerading", &rule);
    }
    transaction
}

/// The same table in the words of `nft list`, as it was recorded.
fn recorded(family: &str, condition: &str, ports: &str, masqueraded: &str) -> String {
    format!(
        r#"table {family} cni_hostport {{
            comment "CNI portmap plugin"
            chain hostports {{
                {ports}
            }}
            chain hostip_hostports {{
            }}
            chain hostports_all {{
                jump hostip_hostports
                jump hostports
            }}
            chain prerouting {{
                type nat hook prerouting priority dstnat; policy accept;
                {condition}fib daddr type local jump hostports_all
            }}
            chain output {{
                type nat hook output priority -100; policy accept;
                {condition}fib daddr type local jump hostports_all
            }}
            chain masquerading {{
                type nat hook postrouting priority srcnat; policy accept;
                {masqueraded}
            }}
        }}
        "#
    )
}

const PORTMAP_CHAINS: [&str; 6] = [
    "hostports",
    "hostip_hostports",
    "hostports_all",
    "prerouting",
    "output",
    "masquerading",
];

fn assert_is_portmap(write: Transaction, families: &[TableFamily], recorded: &str) {
    let all = families.iter().flat_map(|family| {
        let table = Table {
            family: *family,
            name: "cni_hostport",
        };
        PORTMAP_CHAINS.map(|chain| (table, chain))
    });
    let chains: Vec<_> = all.collect();
    assert_is_as_written_by_nft(write, recorded, &chains);
    assert_eq!(listing(), lines(recorded), "nft(8) lists what was recorded");
    nft(&["flush", "ruleset"]);
}

/// One container with both families, and everything masqueraded.
#[test]
fn portmaps_tables_of_both_families_are_the_references() {
    let Some(_world) = World::new() else { return };
    let port6 = HostPort {
        to: "[2001:db8:22::5]:80",
        ..TCP_8080
    };
    let (port, port6) = ([TCP_8080], [port6]);
    for (own, own6) in [("10.22.0.5", "2001:db8:22::5"), ("0.0.0.0/0", "::/0")] {
        let write = host_ports(
            Transaction::new(),
            TableFamily::Ip,
            &port,
            None,
            &[[own, "10.22.0.5", "ctr1"]],
        );
        let write = host_ports(
            write,
            TableFamily::Ip6,
            &port6,
            None,
            &[[own6, "2001:db8:22::5", "ctr1"]],
        );
        let text = recorded(
            "ip",
            "",
            r#"tcp dport 8080 dnat to 10.22.0.5:80 comment "ctr1""#,
            &format!(r#"ip saddr {own} ip daddr 10.22.0.5 masquerade comment "ctr1""#),
        ) + &recorded(
            "ip6",
            "",
            r#"tcp dport 8080 dnat to [2001:db8:22::5]:80 comment "ctr1""#,
            &format!(r#"ip6 saddr {own6} ip6 daddr 2001:db8:22::5 masquerade comment "ctr1""#),
        );
        assert_is_portmap(write, &[TableFamily::Ip, TableFamily::Ip6], &text);
    }
}

/// Two containers, three protocols, a host address, and conditions.
#[test]
fn portmaps_rules_are_the_references() {
    let Some(_world) = World::new() else { return };
    let of_second = |protocol, port, to| HostPort {
        protocol,
        port,
        to,
        owner: "ctr2",
        host_ip: None,
    };
    let ports = [
        TCP_8080,
        HostPort {
            host_ip: Some("192.0.2.7"),
            ..TCP_8080
        },
        of_second(6, 8080, "10.22.0.6:8080"),
        of_second(17, 8081, "10.22.0.6:80"),
        of_second(132, 8082, "10.22.0.6:80"),
    ];
    let write = host_ports(
        Transaction::new(),
        TableFamily::Ip,
        &ports,
        Some(not_destination("192.0.2.0/24")),
        &[
            ["10.22.0.5", "10.22.0.5", "ctr1"],
            ["127.0.0.1", "10.22.0.5", "ctr1"],
            ["10.22.0.6", "10.22.0.6", "ctr2"],
            ["127.0.0.1", "10.22.0.6", "ctr2"],
        ],
    );
    let text = recorded(
        "ip",
        "ip daddr != 192.0.2.0/24 ",
        r#"tcp dport 8080 dnat to 10.22.0.5:80 comment "ctr1"
        ip daddr 192.0.2.7 tcp dport 8080 dnat to 10.22.0.5:80 comment "ctr1"
        tcp dport 8080 dnat to 10.22.0.6:8080 comment "ctr2"
        udp dport 8081 dnat to 10.22.0.6:80 comment "ctr2"
        sctp dport 8082 dnat to 10.22.0.6:80 comment "ctr2""#,
        r#"ip saddr 10.22.0.5 ip daddr 10.22.0.5 masquerade comment "ctr1"
        ip saddr 127.0.0.1 ip daddr 10.22.0.5 masquerade comment "ctr1"
        ip saddr 10.22.0.6 ip daddr 10.22.0.6 masquerade comment "ctr2"
        ip saddr 127.0.0.1 ip daddr 10.22.0.6 masquerade comment "ctr2""#,
    );
    assert_is_portmap(write, &[TableFamily::Ip], &text);
}

/// A firewall: answers pass, each bridge is open to itself and outwards, the rest is dropped.
#[test]
fn firewalls_rules_are_those_of_nft() {
    let Some(_world) = World::new() else { return };
    let table = Table {
        family: TableFamily::Inet,
        name: "firewall",
    };
    let input = |bridge: &str| Match::Is(Test::InputInterface(bridge.to_owned()));
    let output = |bridge: &str| Match::Is(Test::OutputInterface(bridge.to_owned()));
    let not_output = |link: &str| Match::Not(Test::OutputInterface(link.to_owned()));
    let answers = States::ESTABLISHED.or(States::RELATED);
    let state = |states| Match::Is(Test::ConntrackState(states));
    let base = Hook {
        policy: Policy::Drop,
        ..hook(
            ChainKind::Filter,
            Point::Forward,
            Priority::filter(table.family),
        )
    };
    let first: IpAddr = "10.22.0.1".parse().unwrap();
    let rules = [
        rule([state(answers)], Verdict::Accept),
        rule([state(States::INVALID)], Verdict::Drop),
        rule([input("cni0"), output("cni0")], Verdict::Accept),
        rule([input("cni0"), not_output("br-*")], Verdict::Accept),
        rule(
            [input("br-*"), Match::destination(first.into())],
            Verdict::Jump("services".to_owned()),
        ),
        NewRule {
            statements: vec![Statement::Counter, Statement::Log("refused ".to_owned())],
            ..rule([], Verdict::Drop)
        },
    ];
    let [protocol, port] = Match::destination_port(17, 53);
    let write = Transaction::new()
        .add_table(table, None, Existing::Refuse)
        .add_chain(table, chain("services", None), Existing::Refuse)
        .add_rule(table, "services", &rule([protocol, port], Verdict::Accept))
        .add_chain(table, chain("forward", Some(base)), Existing::Refuse);
    let add = |transaction: Transaction, rule| transaction.add_rule(table, "forward", rule);
    let write = rules.iter().fold(write, add);
    let text = r#"table inet firewall {
        chain services {
            udp dport 53 accept
        }
        chain forward {
            type filter hook forward priority filter; policy drop;
            ct state established,related accept
            ct state invalid drop
            iifname "cni0" oifname "cni0" accept
            iifname "cni0" oifname != "br-*" accept
            iifname "br-*" ip daddr 10.22.0.1 jump services
            counter log prefix "refused " drop
        }
    }"#;
    assert_is_as_written_by_nft(write, text, &[(table, "services"), (table, "forward")]);
}

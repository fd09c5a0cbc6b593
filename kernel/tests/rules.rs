//! Policy routing rules, compared with what `ip rule` says.

mod common;

use common::{Step, here, name};
use kernel::rule::Mark;
use kernel::testing::World;
use kernel::{Netlink, Rule};

/// Rules of each sort, with what `ip rule add` takes for them.
fn rules_of_each_sort() -> Vec<(Rule, &'static str)> {
    let from = |from: &str, table, priority| Rule {
        priority: Some(priority),
        ..Rule::from(from.parse().step(), table)
    };
    let mark = |value, mask| Some(Mark { value, mask });
    vec![
        (
            from("10.1.0.2/32", 100, 70),
            "from 10.1.0.2 lookup 100 priority 70",
        ),
        (
            Rule {
                to: Some("10.3.0.0/16".parse().step()),
                iif: Some(name("lo")),
                mark: mark(1, 0xff),
                ..from("10.2.0.0/16", 4_000_000, 71)
            },
            "from 10.2.0.0/16 to 10.3.0.0/16 fwmark 1/0xff iif lo lookup 4000000 priority 71",
        ),
        (
            Rule {
                oif: Some(name("lo")),
                mark: mark(7, u32::MAX),
                ..from("0.0.0.0/0", 254, 72)
            },
            "fwmark 7 oif lo lookup main priority 72",
        ),
        (
            from("fd01::2/128", 100, 73),
            "from fd01::2 lookup 100 priority 73",
        ),
        (
            Rule {
                to: Some("fd03::/64".parse().step()),
                ..from("::/0", 253, 74)
            },
            "to fd03::/64 lookup default priority 74",
        ),
        (from("::/0", 255, 75), "lookup local priority 75"),
    ]
}

/// All rules of both families, a line each.
fn seen() -> Vec<String> {
    let text = here().run("ip -4 rule") + &here().run("ip -6 rule");
    text.lines()
        .map(|line| line.replace('\t', " ").trim_end().to_owned())
        .collect()
}

#[test]
fn rules_are_added_listed_and_deleted() {
    let Some(_world) = World::new() else { return };
    let netlink = Netlink::open().step();
    let before = netlink.rules().step();
    assert_eq!(printed(&before), seen());
    for (rule, _) in rules_of_each_sort() {
        netlink.add_rule(&rule).step();
        let again = netlink.add_rule(&rule).unwrap_err();
        assert!(again.is_exists(), "{again}: {}", again.source);
        assert!(seen().contains(&rule.to_string()), "{rule}: {:?}", seen());
    }
    let listed = netlink.rules().step();
    assert_eq!(printed(&listed), seen());
    for (rule, _) in rules_of_each_sort() {
        assert!(listed.contains(&rule), "{rule}: {listed:?}");
        netlink.delete_rule(&rule).step();
        let again = netlink.delete_rule(&rule).unwrap_err();
        assert!(again.is_gone(), "{again}: {}", again.source);
    }
    assert_eq!(netlink.rules().step(), before);
}

#[test]
fn rules_that_ip_made_read_alike() {
    let Some(_world) = World::new() else { return };
    let netlink = Netlink::open().step();
    for (rule, words) in rules_of_each_sort() {
        let family = if rule.from.is_ipv4() { "-4" } else { "-6" };
        here().run(&format!("ip {family} rule add {words}"));
        assert!(netlink.rules().step().contains(&rule), "{words}");
        netlink.delete_rule(&rule).step();
    }
}

#[test]
fn what_a_rule_cannot_say_is_not_listed() {
    let Some(_world) = World::new() else { return };
    let netlink = Netlink::open().step();
    let before = netlink.rules().step();
    for words in [
        "not from 10.1.0.0/16 lookup 100",
        "from 10.1.0.0/16 tos 8 lookup 100",
        "from 10.1.0.0/16 dport 53 lookup 100",
        "from 10.1.0.0/16 ipproto udp lookup 100",
        "from 10.1.0.0/16 uidrange 0-9 lookup 100",
        "from 10.1.0.0/16 lookup 100 suppress_prefixlength 0",
        "from 10.1.0.0/16 blackhole",
    ] {
        here().run(&format!("ip rule add {words} priority 50"));
        assert_eq!(netlink.rules().step(), before, "{words}");
        // The table is in use all the same.
        let tables = netlink.tables_of_rules().step();
        assert_eq!(
            tables.contains(&100),
            words.contains("lookup 100"),
            "{words}"
        );
        here().run("ip rule del priority 50");
    }
}

#[test]
fn tables_of_rules_are_those_of_both_families() {
    let Some(_world) = World::new() else { return };
    let netlink = Netlink::open().step();
    let seen = |netlink: &Netlink| {
        netlink
            .tables_of_rules()
            .step()
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(seen(&netlink), [253, 254, 255]);
    here().run("ip -6 rule add from 2001:db8::5 lookup 70000");
    here().run("ip rule add fwmark 7 lookup 77");
    assert_eq!(seen(&netlink), [77, 253, 254, 255, 70000]);
}

#[test]
fn the_kernel_chooses_a_priority() {
    let Some(_world) = World::new() else { return };
    let netlink = Netlink::open().step();
    let rule = Rule::from("10.1.0.0/16".parse().step(), 100);
    netlink.add_rule(&rule).step();
    let listed = netlink.rules().step();
    let found = listed.iter().find(|found| found.from == rule.from);
    assert_eq!(found.and_then(|found| found.priority), Some(32765));
    netlink.delete_rule(&rule).step();
}

#[test]
fn families_do_not_mix() {
    let Some(_world) = World::new() else { return };
    let mixed = Rule {
        to: Some("fd00::/64".parse().step()),
        ..Rule::from("10.1.0.0/16".parse().step(), 100)
    };
    let error = Netlink::open().step().add_rule(&mixed).unwrap_err();
    assert_eq!(
        format!("{error}: {}", error.source),
        "add rule from 10.1.0.0/16 to fd00::/64 lookup 100: \
         source and destination must be both IPv4 or both IPv6"
    );
}

fn printed(rules: &[Rule]) -> Vec<String> {
    rules.iter().map(ToString::to_string).collect()
}

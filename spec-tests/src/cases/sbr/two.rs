//! sbr in a pod with two interfaces: each one's packets go by its own gateway.

use crate::cases::{chained::*, packets::*, prelude::*, sbr::*, sight::*};

/// A machine `second` (10.99.0.1, 2001:db8:99::1) on the pod's `net1` (10.99.0.5,
/// 2001:db8:99::5), and behind it 198.51.100.9 and 2001:db8:ff99::9, which nobody else can reach.
const SECOND: &[&str] = &[
    "-n pod link add net1 type veth peer name uplink netns second",
    "-n pod link set net1 up",
    "-n second link set uplink up",
    "-n second address add 10.99.0.1/24 dev uplink",
    "-n second address add 2001:db8:99::1/64 dev uplink nodad",
    "-n second address add 198.51.100.9/32 dev lo",
    "-n second address add 2001:db8:ff99::9/128 dev lo",
    "-n pod address add 10.99.0.5/24 dev net1",
    "-n pod address add 2001:db8:99::5/64 dev net1 nodad",
    "-n pod route add 172.16.0.0/16 via 10.99.0.1",
    "-n pod -6 route add 2001:db8:172::/48 via 2001:db8:99::1",
];

/// The pod behind [`wire`] with its second interface, and the configuration for that.
fn second(bench: &mut Bench) -> Result<Value, Failure> {
    let mut config = behind(bench, json!({}))?;
    bench.pod("second")?;
    without_dad(bench, "second")?;
    for line in SECOND {
        let words: Vec<_> = line.split(' ').collect();
        bench.run("ip", &words)?;
    }
    let prev = &mut config["prevResult"];
    let net1 = json!({ "name": "net1", "sandbox": "/run/netns/pod" });
    let ips = [
        json!({ "address": "10.99.0.5/24", "gateway": "10.99.0.1", "interface": 3 }),
        json!({ "address": "2001:db8:99::5/64", "gateway": "2001:db8:99::1", "interface": 3 }),
    ];
    for (list, entries) in [("interfaces", &[net1][..]), ("ips", &ips)] {
        if let Some(list) = prev[list].as_array_mut() {
            list.extend_from_slice(entries);
        }
    }
    Ok(config)
}

/// A command for the pod's interface of that name.
fn of(bench: &mut Bench, command: &str, ifname: &str, config: &Value) -> Result<(), Failure> {
    let call = bench.call(command, config).env("CNI_IFNAME", ifname);
    call.reply()?.succeeds()
}

/// The pod's main table, for one interface.
fn main_routes(bench: &mut Bench, dev: &str) -> Result<Vec<String>, Failure> {
    let mut all = routes(bench, "pod", "main")?;
    all.retain(|route| route.contains(&format!("dev {dev}")));
    Ok(all)
}

submit!(Case {
    id: "sbr/two/01",
    rule: "Only the addresses of CNI_IFNAME get rules.",
    faults: &[
        Fault::Env("CNI_IFNAME", "eth0"),
        Fault::After("ADD", "ip -n pod rule add from 10.88.0.5 table 105")
    ],
    run: |bench| {
        let config = second(bench)?;
        of(bench, "ADD", "net1", &config)?;
        expect(
            "rules",
            &list(&["10.99.0.5 100", "2001:db8:99::5 101"]),
            &rules(bench)?,
        )
    },
    ..SBR
});

submit!(Case {
    id: "sbr/two/02",
    rule: "The interface's routes move from the main table to that of their family, and the other interface's stay.",
    faults: &[
        Fault::After("ADD", "ip -n pod route del 172.16.0.0/16 table 100"),
        Fault::After("ADD", "ip -n pod route del default"),
        Fault::After("ADD", "ip -n pod -6 route del 2001:db8:172::/48 table 101"),
        Fault::After("ADD", "ip -n pod -6 route del default"),
        Fault::After(
            "ADD",
            "ip -n pod route add 172.16.0.0/16 via 10.99.0.1 dev net1 onlink"
        )
    ],
    run: |bench| {
        let config = second(bench)?;
        let before = main_routes(bench, "eth0")?;
        of(bench, "ADD", "net1", &config)?;
        expect("main table, eth0", &before, &main_routes(bench, "eth0")?)?;
        expect("main table, net1", &list(&[]), &main_routes(bench, "net1")?)?;
        let four = [
            "172.16.0.0/16 via 10.99.0.1 dev net1",
            "default via 10.99.0.1 dev net1",
        ];
        let six = [
            "2001:db8:172::/48 via 2001:db8:99::1 dev net1",
            "default via 2001:db8:99::1 dev net1",
        ];
        for (table, expected) in [("100", four), ("101", six)] {
            let seen = routes(bench, "pod", table)?;
            let all = expected
                .iter()
                .all(|&route| seen.contains(&route.to_owned()));
            expect_that(
                all,
                &format!("table {table} has {expected:?}"),
                format!("{seen:?}"),
            )?;
        }
        Ok(())
    },
    ..SBR
});

submit!(Case {
    id: "sbr/two/03",
    rule: "What the pod sends from the second interface's address goes by that one's gateway, the rest by the first one's, IPv4 and IPv6.",
    needs: &["ping"],
    faults: &[
        Fault::Skip("ADD"),
        Fault::After("ADD", "ip -n pod rule del from 10.99.0.5"),
        Fault::After("ADD", "ip -n pod -6 rule del from 2001:db8:99::5"),
        Fault::After("ADD", "ip -n pod route del default")
    ],
    run: |bench| {
        outside(bench)?;
        for (family, subnet, host) in [
            ("-4", "10.88.0.0/24", "192.0.2.1"),
            ("-6", "2001:db8::/64", "2001:db8:ffff::1"),
        ] {
            bench.run(
                "ip",
                &["-n", "outside", family, "route", "add", subnet, "via", host],
            )?;
        }
        let config = second(bench)?;
        of(bench, "ADD", "net1", &config)?;
        for (source, target) in [
            ("10.99.0.5", "198.51.100.9"),
            ("2001:db8:99::5", "2001:db8:ff99::9"),
            ("10.88.0.5", "192.0.2.2"),
            ("2001:db8::5", "2001:db8:ffff::2"),
        ] {
            answers_from(bench, "pod", source, target)?;
        }
        Ok(())
    },
    ..SBR
});

submit!(Case {
    id: "sbr/two/04",
    rule: "Who asks the second interface's address from behind its gateway is answered by it, IPv4 and IPv6.",
    needs: &["ping"],
    faults: &[
        Fault::Skip("ADD"),
        Fault::After("ADD", "ip -n pod -6 route flush table 101"),
        Fault::After("ADD", "ip -n pod route flush table 100")
    ],
    run: |bench| {
        let config = second(bench)?;
        of(bench, "ADD", "net1", &config)?;
        answers_from(bench, "second", "198.51.100.9", "10.99.0.5")?;
        answers_from(bench, "second", "2001:db8:ff99::9", "2001:db8:99::5")
    },
    ..SBR
});

submit!(Case {
    id: "sbr/two/05",
    rule: "An ADD for each interface gives them tables of their own, and both reach what lies behind their gateways.",
    needs: &["ping"],
    faults: &[
        Fault::Once("ADD"),
        Fault::Env("CNI_IFNAME", "eth0"),
        Fault::After("ADD", "ip -n pod rule del from 10.88.0.5")
    ],
    run: |bench| {
        let config = second(bench)?;
        for ifname in ["eth0", "net1"] {
            of(bench, "ADD", ifname, &config)?;
        }
        let tables: std::collections::BTreeSet<_> = rules(bench)?
            .iter()
            .filter_map(|rule| Some(rule.split_once(' ')?.1.to_owned()))
            .collect();
        expect("tables", &4, &tables.len())?;
        answers_from(bench, "pod", "10.99.0.5", "198.51.100.9")?;
        answers_from(bench, "pod", "10.88.0.5", "10.88.0.1")
    },
    ..SBR
});

submit!(Case {
    id: "sbr/two/06",
    rule: "DEL of one interface leaves the other's rules.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "ip -n pod rule del from 10.88.0.5")
    ],
    run: |bench| {
        let config = second(bench)?;
        for ifname in ["eth0", "net1"] {
            of(bench, "ADD", ifname, &config)?;
        }
        of(bench, "DEL", "net1", &config)?;
        expect(
            "rules",
            &list(&["10.88.0.5 100", "2001:db8::5 101"]),
            &rules(bench)?,
        )
    },
    ..SBR
});

//! portmap: the rules that nftables shows, which an upgraded or downgraded plugin finds again.

use crate::cases::{chained::*, packets::*, portmap::ports::*, prelude::*, sight::*};

const RULES: Case = Case {
    repairs: NFTABLES,
    ..PORTMAP
};

/// ADD with rules in nftables.
fn nftables(bench: &mut Bench, changes: Value) -> Result<(Value, Value), Failure> {
    chained_by(bench, Backend::Nftables, changes)
}

/// The rules of a chain, without what makes it a base chain; none where there is no chain.
fn chain(bench: &mut Bench, family: &str, chain: &str) -> Result<Vec<String>, Failure> {
    let shown = listed(bench, &["chain", family, "cni_hostport", chain])?;
    let rules = shown.lines().skip(2).map(str::trim);
    let rules = rules.filter(|rule| !rule.starts_with('}') && !rule.starts_with("type nat hook"));
    let rules = rules.filter(|rule| !rule.is_empty());
    Ok(rules.map(str::to_owned).collect())
}

submit!(Case {
    id: "portmap/nftables/rules/01",
    rule: "A container's mappings stand in chain hostports of table cni_hostport, with its name as comment.",
    faults: &[
        Fault::Env("CNI_CONTAINERID", "ctr2"),
        Fault::Config("/prevResult/ips/1", "")
    ],
    run: |bench| {
        nftables(bench, web())?;
        let four = list(&[r#"tcp dport 8080 dnat to 10.88.0.5:80 comment "ctr1""#]);
        expect("IPv4", &four, &chain(bench, "ip", "hostports")?)?;
        let six = list(&[r#"tcp dport 8080 dnat to [2001:db8::5]:80 comment "ctr1""#]);
        expect("IPv6", &six, &chain(bench, "ip6", "hostports")?)
    },
    ..RULES
});

submit!(Case {
    id: "portmap/nftables/rules/02",
    rule: "With snat the pod's own connections, and over IPv4 those from 127.0.0.1, are masqueraded in chain masquerading.",
    faults: &[
        Fault::Config("/masqAll", "=true"),
        Fault::Env("CNI_CONTAINERID", "ctr2")
    ],
    run: |bench| {
        nftables(bench, web())?;
        let four = list(&[
            r#"ip saddr 10.88.0.5 ip daddr 10.88.0.5 masquerade comment "ctr1""#,
            r#"ip saddr 127.0.0.1 ip daddr 10.88.0.5 masquerade comment "ctr1""#,
        ]);
        expect("IPv4", &four, &chain(bench, "ip", "masquerading")?)?;
        let six =
            list(&[r#"ip6 saddr 2001:db8::5 ip6 daddr 2001:db8::5 masquerade comment "ctr1""#]);
        expect("IPv6", &six, &chain(bench, "ip6", "masquerading")?)
    },
    ..RULES
});

submit!(Case {
    id: "portmap/nftables/rules/03",
    rule: "Every ADD leaves one way from the hooks to the mappings.",
    faults: &[
        Fault::After(
            "ADD",
            "nft add rule ip cni_hostport prerouting fib daddr type local jump hostports_all"
        ),
        Fault::After("ADD", "nft flush chain ip6 cni_hostport output")
    ],
    run: |bench| {
        let (config, _) = nftables(bench, web())?;
        bench.add(&config)?;
        for family in ["ip", "ip6"] {
            for hook in ["prerouting", "output"] {
                let jump = list(&["fib daddr type local jump hostports_all"]);
                expect(
                    &format!("{family} {hook}"),
                    &jump,
                    &chain(bench, family, hook)?,
                )?;
            }
            let jumps = list(&["jump hostip_hostports", "jump hostports"]);
            expect(family, &jumps, &chain(bench, family, "hostports_all")?)?;
        }
        Ok(())
    },
    ..RULES
});

submit!(Case {
    id: "portmap/nftables/rules/04",
    rule: "DEL removes also the mappings that earlier releases kept in chain hostip_hostports.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After(
            "DEL",
            "nft add rule ip cni_hostport hostip_hostports tcp dport 1 accept comment ctr1"
        )
    ],
    run: |bench| {
        let (config, _) = nftables(bench, web())?;
        bench.run("sh", &["-c", HOSTPORTS_CHAIN])?;
        let rule = "ip daddr 192.0.2.1 tcp dport 8080 dnat to 10.88.0.5:80 comment ctr1";
        bench.run(
            "nft",
            &[
                "add",
                "rule",
                "ip",
                "cni_hostport",
                "hostip_hostports",
                rule,
            ],
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect(
            "rules",
            &Vec::<String>::new(),
            &chain(bench, "ip", "hostip_hostports")?,
        )
    },
    ..RULES
});

submit!(Case {
    id: "portmap/nftables/default/01",
    rule: "Without a backend and without iptables on the host the rules are in nftables.",
    faults: &[Fault::Config("/runtimeConfig", ""), Fault::Fail("ADD")],
    run: |bench| {
        outside(bench)?;
        let config = behind(bench, web())?;
        let line = "mkdir /run/programs && cp -s /usr/sbin/* /usr/bin/* /run/programs 2>/dev/null; rm /run/programs/*tables*";
        bench.run("sh", &["-c", line])?;
        bench
            .call("ADD", &config)
            .env("PATH", "/run/programs")
            .reply()?
            .succeeds()?;
        serve(bench, "80")?;
        sees(bench, "192.0.2.2", "192.0.2.1", 8080)
    },
    ..RULES
});

//! sbr: packets leave by the interface whose address they carry.

mod del;
mod kept;
mod tables;
mod two;

use crate::cases::{chained::*, packets::*, prelude::*, sight::*};

pub(in crate::cases) const SBR: Case = Case {
    judges: Judges::Only(&["sbr"]),
    ..COMPAT
};

/// What 1.6.0 and later do with `table: 333`, laid over a release that does not know it.
pub(in crate::cases) const TABLE: Fault = Fault::Where(
    "/table",
    &Fault::After(
        "ADD",
"for ip in 'ip -n pod' 'ip -6 -n pod'; do
            from=$($ip rule | sed -n 's/.*from \\(.*[0-9a-f]\\) lookup 1.*/\\1/p'); $ip rule del from $from
            $ip rule add from $from table 333; done
            ip -n pod route add 10.88.0.0/24 dev eth0 proto kernel; ip -n pod route add default via 10.88.0.1
            ip -n pod route add 2001:db8::/64 dev eth0 proto kernel; ip -n pod route add default via 2001:db8::1",
    ),
);

/// Sources with their tables, as the rules say: `10.88.0.5 100`.
pub(in crate::cases) fn rules(bench: &mut Bench) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for family in ["-4", "-6"] {
        let shown = ip(bench, "pod", &[family, "rule"])?;
        for rule in shown.as_array().into_iter().flatten() {
            let source = rule["src"].as_str().unwrap_or_default();
            if source != "all" {
                all.push(format!(
                    "{source} {}",
                    rule["table"].as_str().unwrap_or_default()
                ));
            }
        }
    }
    Ok(all)
}

submit!(Case {
    id: "sbr/rules/01",
    rule: "Each address gets a rule to a table of its own, from 100 on.",
    faults: &[
        Fault::Skip("ADD"),
        Fault::After(
            "ADD",
            "ip -n pod -6 rule flush; ip -n pod -6 rule add from all lookup main"
        )
    ],
    run: |bench| {
        chained(bench, json!({}))?;
        expect(
            "rules",
            &list(&["10.88.0.5 100", "2001:db8::5 101"]),
            &rules(bench)?,
        )
    },
    ..SBR
});

submit!(Case {
    id: "sbr/routes/01",
    rule: "The table has the default route by the address's gateway, and the main table no route of the interface.",
    faults: &[
        Fault::After("ADD", "ip -n pod route del default table 100"),
        Fault::After("ADD", "ip -n pod route add 192.168.77.0/24 dev eth0")
    ],
    run: |bench| {
        chained(bench, json!({}))?;
        expect(
            "table 100",
            &list(&["default via 10.88.0.1 dev eth0"]),
            &routes(bench, "pod", "100")?,
        )?;
        expect(
            "table 101",
            &list(&["default via 2001:db8::1 dev eth0"]),
            &routes(bench, "pod", "101")?,
        )?;
        let main = ip(bench, "pod", &["-4", "route", "show", "dev", "eth0"])?;
        expect("main table", &Some(0), &main.as_array().map(Vec::len))
    },
    ..SBR
});

submit!(Case {
    id: "sbr/packets/01",
    rule: "The pod, asking from its address, still reaches gateway and outside, IPv4 and IPv6.",
    needs: &["ping"],
    faults: &[
        Fault::After("ADD", "ip -n pod route flush table 100"),
        Fault::After("ADD", "ip -n pod -6 route flush table 101")
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
        chained(bench, json!({}))?;
        for (source, target) in [
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
    id: "sbr/result/01",
    rule: "The result is prevResult; ADD without one is refused.",
    faults: &[Fault::Result("/ips/1", ""), Fault::ExitZero],
    run: |bench| {
        let (_, result) = chained(bench, json!({}))?;
        expect("ips", &wired(SpecVersion::V1_0_0)["ips"], &result["ips"])?;
        let config = bench.config();
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["chained plugin"])
    },
    ..SBR
});

submit!(Case {
    id: "sbr/del/01",
    rule: "DEL removes the rules and succeeds again.",
    faults: &[Fault::Skip("DEL"), Fault::Once("DEL")],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        expect("rules", &list(&[]), &rules(bench)?)
    },
    ..SBR
});

submit!(Case {
    id: "sbr/del/02",
    rule: "DEL succeeds when the interface is gone.",
    faults: &[Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[Fault::Instead(
        "DEL",
        r#"ip -n pod link show eth0 >/dev/null || exit 0; exec "$REAL""#
    )],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        bench.run("ip", &["-n", "pod", "link", "del", "eth0"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()
    },
    ..SBR
});

submit!(Case {
    id: "sbr/del/03",
    rule: "DEL succeeds when the namespace is gone, and makes no file in its place.",
    faults: &[
        Fault::On("DEL", &Fault::ExitOne),
        Fault::After("DEL", "touch /run/netns/pod")
    ],
    repairs: &[Fault::Instead(
        "DEL",
        r#"[ -e "$CNI_NETNS" ] || exit 0; exec "$REAL""#
    )],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("files", &list(&[]), &files("/run/netns"))
    },
    ..SBR
});

submit!(Case {
    id: "sbr/table/01",
    rule: "table names the table of the rule and leaves the routes alone.",
    faults: &[Fault::Config("/table", "")],
    repairs: &[TABLE],
    run: |bench| {
        chained(bench, json!({ "table": 333 }))?;
        expect(
            "rules",
            &list(&["10.88.0.5 333", "2001:db8::5 333"]),
            &rules(bench)?,
        )?;
        let expected = [
            "default via 10.88.0.1 dev eth0",
            "default via 2001:db8::1 dev eth0",
        ];
        expect(
            "main table",
            &list(&expected),
            &routes(bench, "pod", "main")?,
        )
    },
    ..SBR
});

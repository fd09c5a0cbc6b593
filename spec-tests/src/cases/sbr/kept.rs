//! sbr: what nobody may lose: tables in use, routes after an ADD that failed, configured gateways;
//! and what DEL and CHECK see beyond the reference.

use crate::cases::{chained::*, prelude::*, sbr::tables::*, sbr::*, sight::*};

submit!(Case {
    id: "sbr/table/05",
    rule: "A table that holds routes is passed over, whether a rule leads there or not.",
    faults: &[
        Fault::Before("ADD", "ip -n pod route flush table 100"),
        Fault::Skip("ADD")
    ],
    repairs: &[Fault::Instead(
        "ADD",
        r#"ip -n pod rule add from 10.99.0.1 table 100 && "$REAL" && ip -n pod rule del from 10.99.0.1"#
    )],
    run: |bench| {
        added(
            bench,
            &["route add 192.168.9.0/24 dev eth0 table 100"],
            |_| (),
        )?;
        expect(
            "rules",
            &list(&["10.88.0.5 101", "2001:db8::5 102"]),
            &rules(bench)?,
        )?;
        let there = ["192.168.9.0/24 dev eth0 scope link"];
        expect("table 100", &list(&there), &routes(bench, "pod", "100")?)
    },
    ..SBR
});

submit!(Case {
    id: "sbr/gateways/05",
    rule: "gateways wins over the default route of the main table.",
    faults: &[Fault::Config("/gateways", "")],
    repairs: &[Fault::Where(
        "/gateways",
        &Fault::After(
            "ADD",
            "ip -n pod route replace default via 10.88.0.77 dev eth0 table 100"
        )
    )],
    run: |bench| {
        chained(bench, json!({ "gateways": ["10.88.0.77"] }))?;
        expect(
            "table 100",
            &list(&["default via 10.88.0.77 dev eth0"]),
            &routes(bench, "pod", "100")?,
        )?;
        expect(
            "table 101",
            &list(&["default via 2001:db8::1 dev eth0"]),
            &routes(bench, "pod", "101")?,
        )
    },
    ..SBR
});

submit!(Case {
    id: "sbr/routes/07",
    rule: "A default route by a gateway that no subnet of the pod's has fails ADD, and rules and routes are as before.",
    faults: &[
        Fault::ExitZero,
        Fault::After("ADD", "ip -n pod route del default"),
        Fault::After("ADD", "ip -n pod rule add from 10.88.0.5 table 100")
    ],
    repairs: &[
        Fault::After(
            "ADD",
            "ip -n pod rule del from 10.88.0.5; ip -n pod -6 rule del from 2001:db8::5; \
         ip -n pod route flush table 100; ip -n pod -6 route flush table 100; true"
        ),
        Fault::ExitOne
    ],
    run: |bench| {
        let config = prepared(bench, json!({}), &["-6 route del default"], |result| {
            result["ips"][1]["gateway"] = json!("2001:db8:77::1");
        })?;
        let before = all_routes(bench)?;
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["default route", "2001:db8:77::1"])?;
        expect("rules", &list(&[]), &rules(bench)?)?;
        expect("routes", &before, &all_routes(bench)?)
    },
    ..SBR
});

/// The main table and those that sbr may have filled.
fn all_routes(bench: &mut Bench) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for table in ["main", "100", "101"] {
        let routes = routes(bench, "pod", table)?;
        all.extend(routes.iter().map(|route| format!("{table}: {route}")));
    }
    Ok(all)
}

submit!(Case {
    id: "sbr/del/09",
    rule: "With prevResult DEL removes the rules although the interface is gone.",
    versions: CHECKED,
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        bench.run("ip", &["-n", "pod", "link", "del", "eth0"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("rules", &list(&[]), &rules(bench)?)
    },
    ..SBR
});

submit!(Case {
    id: "sbr/del/10",
    rule: "DEL whose CNI_NETNS leads to another pod by now leaves that pod's rules.",
    versions: CHECKED,
    faults: &[Fault::After("DEL", "ip -n pod rule del from 10.88.0.6")],
    repairs: &[Fault::Skip("DEL")],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        in_pod(
            bench,
            &[
                "rule del from 10.88.0.5",
                "-6 rule del from 2001:db8::5",
                "address flush dev eth0",
                "address add 10.88.0.6/24 dev eth0",
                "rule add from 10.88.0.6 table 100",
            ],
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("rules", &list(&["10.88.0.6 100"]), &rules(bench)?)
    },
    ..SBR
});

/// What a CHECK that looks would ask.
const LOOKS: Fault = Fault::Instead(
    "CHECK",
    "ip -n pod rule | grep -q 'from 10.88.0.5' && ip -n pod route show table 100 | grep -q default && \
     ip -n pod route show table 100 | grep -q '^10.88.0.0/24'",
);

macro_rules! check_finds_routes {
    ($id:literal, $rule:literal, $damage:expr) => {
        submit!(Case {
            id: $id,
            rule: $rule,
            level: Level::Should,
            source: "Section 2, CHECK",
            versions: CHECKED,
            faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
            repairs: &[LOOKS],
            run: |bench| {
                let (config, _) = chained(bench, json!({}))?;
                check_finds(bench, &config, &$damage)
            },
            ..SBR
        });
    };
}

check_finds_routes!(
    "sbr/check/03",
    "CHECK finds the default route of the address's table gone.",
    ["ip", "-n", "pod", "route", "del", "default", "table", "100"]
);
check_finds_routes!(
    "sbr/check/04",
    "CHECK finds the subnet's route of the address's table gone.",
    [
        "ip",
        "-n",
        "pod",
        "route",
        "del",
        "10.88.0.0/24",
        "table",
        "100"
    ]
);

const TAKEOVER: Case = Case {
    set: Set::Takeover,
    versions: CHECKED,
    ..SBR
};

submit!(Case {
    id: "takeover/sbr/01",
    rule: "CHECK of what the other plugin routed succeeds, and DEL removes its rules.",
    faults: &[Fault::Skip("DEL"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let config = behind(bench, json!({}))?;
        let result = bench.call_other("ADD", &config)?.reply()?.result()?;
        let config = after_add(&config, &result);
        bench.call("CHECK", &config).reply()?.succeeds_silently()?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("rules", &list(&[]), &rules(bench)?)
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/sbr/02",
    rule: "Both plugins leave the same rules and routes, and the other's DEL removes this one's rules.",
    faults: &[
        Fault::After("ADD", "ip -n pod route del default table 100"),
        Fault::After("ADD", "ip -n pod rule add from 10.88.0.6 table 100")
    ],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        let ours = (rules(bench)?, all_routes(bench)?);
        bench
            .call_other("DEL", &config)?
            .reply()?
            .succeeds_silently()?;
        expect("rules", &list(&[]), &rules(bench)?)?;
        in_pod(
            bench,
            &[
                "route flush table 100",
                "-6 route flush table 100",
                "-6 route flush table 101",
                "route add 10.88.0.0/24 dev eth0 proto kernel scope link src 10.88.0.5",
                "-6 route add 2001:db8::/64 dev eth0 proto kernel",
                "route add default via 10.88.0.1",
                "-6 route add default via 2001:db8::1",
            ],
        )?;
        bench.call_other("ADD", &config)?.reply()?.succeeds()?;
        expect(
            "rules and routes",
            &(rules(bench)?, all_routes(bench)?),
            &ours,
        )
    },
    ..TAKEOVER
});

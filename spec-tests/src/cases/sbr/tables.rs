//! sbr: which table an address gets, and what stands in it.

use crate::cases::{chained::*, packets::*, prelude::*, sbr::*, sight::*};

/// Runs lines of `ip` for the pod.
pub(super) fn in_pod(bench: &mut Bench, lines: &[&str]) -> Result<(), Failure> {
    for line in lines {
        let mut words = vec!["-n", "pod"];
        words.extend(line.split(' '));
        bench.run("ip", &words)?;
    }
    Ok(())
}

/// The plugin's configuration behind [`wire`], changed, after lines of `ip` for the pod, the result
/// before it changed as well.
pub(super) fn prepared(
    bench: &mut Bench,
    changes: Value,
    lines: &[&str],
    change: impl Fn(&mut Value),
) -> Result<Value, Failure> {
    let mut config = behind(bench, changes)?;
    in_pod(bench, lines)?;
    change(&mut config["prevResult"]);
    Ok(config)
}

/// ADD of the usual configuration that is [`prepared`].
pub(super) fn added(
    bench: &mut Bench,
    lines: &[&str],
    change: impl Fn(&mut Value),
) -> Result<(), Failure> {
    let config = prepared(bench, json!({}), lines, change)?;
    bench.add(&config).map(drop)
}

/// A result whose addresses have not this.
fn without(key: &str) -> impl Fn(&mut Value) {
    move |result| {
        for ip in result["ips"].as_array_mut().into_iter().flatten() {
            ip.as_object_mut().map(|ip| ip.remove(key));
        }
    }
}

submit!(Case {
    id: "sbr/table/02",
    rule: "A table that another rule names is passed over.",
    faults: &[
        Fault::Before(
            "ADD",
            "ip -n pod rule del from 10.99.0.1; ip -n pod rule del from 10.99.0.2"
        ),
        Fault::Skip("ADD")
    ],
    run: |bench| {
        added(
            bench,
            &[
                "rule add from 10.99.0.1 table 100",
                "rule add from 10.99.0.2 table 102",
            ],
            |_| (),
        )?;
        let expected = [
            "10.88.0.5 101",
            "10.99.0.1 100",
            "10.99.0.2 102",
            "2001:db8::5 103",
        ];
        let mut seen = rules(bench)?;
        seen.sort();
        expect("rules", &list(&expected), &seen)?;
        expect(
            "table 101",
            &list(&["default via 10.88.0.1 dev eth0"]),
            &routes(bench, "pod", "101")?,
        )
    },
    ..SBR
});

submit!(Case {
    id: "sbr/table/03",
    rule: "Each of two addresses of one family gets a table with a default route, and is answered.",
    needs: &["ping"],
    faults: &[
        Fault::Config("/prevResult/ips/1", ""),
        Fault::After("ADD", "ip -n pod route del default table 101"),
        Fault::After("ADD", "ip -n pod rule del from 10.88.0.6")
    ],
    run: |bench| {
        added(bench, &["address add 10.88.0.6/24 dev eth0"], |result| {
            result["ips"][1] =
                json!({ "address": "10.88.0.6/24", "gateway": "10.88.0.1", "interface": 2 });
        })?;
        let mut seen = rules(bench)?;
        seen.sort();
        expect("rules", &list(&["10.88.0.5 100", "10.88.0.6 101"]), &seen)?;
        for table in ["100", "101"] {
            expect(
                table,
                &list(&["default via 10.88.0.1 dev eth0"]),
                &routes(bench, "pod", table)?,
            )?;
        }
        answers_from(bench, "pod", "10.88.0.6", "10.88.0.1")
    },
    ..SBR
});

submit!(Case {
    id: "sbr/table/04",
    rule: "DEL with table removes the rules to that table alone.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::Config("/table", ""),
        Fault::After("DEL", "ip -n pod rule del from 10.88.0.5 table 444")
    ],
    repairs: &[
        TABLE,
        Fault::Where(
            "/table",
            &Fault::Instead(
                "DEL",
                "ip -n pod rule del from 10.88.0.5 table 333; ip -6 -n pod rule del from 2001:db8::5 table 333"
            )
        ),
    ],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "table": 333 }))?;
        in_pod(bench, &["rule add from 10.88.0.5 table 444"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("rules", &list(&["10.88.0.5 444"]), &rules(bench)?)
    },
    ..SBR
});

submit!(Case {
    id: "sbr/routes/02",
    rule: "Routes of the interface by another next hop and without one move to the table.",
    faults: &[
        Fault::After("ADD", "ip -n pod route del 192.168.5.0/24 table 100"),
        Fault::After("ADD", "ip -n pod route del 192.168.6.0/24 table 100")
    ],
    run: |bench| {
        added(
            bench,
            &[
                "route add 192.168.5.0/24 via 10.88.0.9",
                "route add 192.168.6.0/24 dev eth0",
            ],
            |_| (),
        )?;
        let expected = [
            "192.168.5.0/24 via 10.88.0.9 dev eth0",
            "192.168.6.0/24 dev eth0 scope link",
            "default via 10.88.0.1 dev eth0",
        ];
        expect("table 100", &list(&expected), &routes(bench, "pod", "100")?)
    },
    ..SBR
});

submit!(Case {
    id: "sbr/routes/03",
    rule: "Without a default route in the main table the address's gateway makes that of its table.",
    faults: &[
        Fault::Config("/prevResult/ips/0/gateway", ""),
        Fault::Config("/prevResult/ips/1/gateway", "")
    ],
    run: |bench| {
        added(
            bench,
            &["route del default", "-6 route del default"],
            |_| (),
        )?;
        expect(
            "table 100",
            &list(&["default via 10.88.0.1 dev eth0"]),
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
    id: "sbr/routes/04",
    rule: "Without a gateway the default route of the main table moves to the address's table.",
    faults: &[
        Fault::Before("ADD", "ip -n pod route del default"),
        Fault::After("ADD", "ip -n pod -6 route del default table 101")
    ],
    run: |bench| {
        added(bench, &[], without("gateway"))?;
        expect(
            "table 100",
            &list(&["default via 10.88.0.1 dev eth0"]),
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
    id: "sbr/routes/05",
    rule: "With neither gateway nor default route the table has none, and the subnet stays reachable.",
    needs: &["ping"],
    faults: &[
        Fault::After(
            "ADD",
            "ip -n pod route flush table 100; ip -n pod route add blackhole default table 100"
        ),
        Fault::After(
            "ADD",
            "ip -n pod route add default via 10.88.0.1 dev eth0 onlink table 100"
        )
    ],
    run: |bench| {
        added(
            bench,
            &["route del default", "-6 route del default"],
            without("gateway"),
        )?;
        expect("table 100", &list(&[]), &routes(bench, "pod", "100")?)?;
        answers_from(bench, "pod", "10.88.0.5", "10.88.0.1")
    },
    ..SBR
});

submit!(Case {
    id: "sbr/routes/06",
    rule: "When no address is the interface's, its routes stay where they are.",
    faults: &[Fault::After("ADD", "ip -n pod route del default"), Fault::After("ADD", "ip -n pod -6 route del default")],
    repairs: &[Fault::After("ADD", "ip -n pod route add 10.88.0.0/24 dev eth0 proto kernel; ip -n pod route add default via 10.88.0.1
        ip -n pod -6 route add 2001:db8::/64 dev eth0 proto kernel; ip -n pod -6 route add default via 2001:db8::1")],
    run: |bench| {
        added(bench, &[], |result| for number in 0..2 {
            result["ips"][number]["interface"] = json!(0);
        })?;
        let expected = ["default via 10.88.0.1 dev eth0", "default via 2001:db8::1 dev eth0"];
        expect("main table", &list(&expected), &routes(bench, "pod", "main")?)
    },
    ..SBR
});

submit!(Case {
    id: "sbr/rules/02",
    rule: "An address that names no interface is taken for one of CNI_IFNAME.",
    faults: &[
        Fault::Config("/prevResult/ips/0/interface", "=0"),
        Fault::Config("/prevResult/ips/1", "")
    ],
    run: |bench| {
        added(bench, &[], without("interface"))?;
        expect(
            "rules",
            &list(&["10.88.0.5 100", "2001:db8::5 101"]),
            &rules(bench)?,
        )
    },
    ..SBR
});

/// What the latest releases do, laid over one that knows no `gateways`.
const GATEWAYS: Fault = Fault::Where(
    "/gateways",
    &Fault::After(
        "ADD",
        "ip -n pod route replace default via 10.88.0.77 dev eth0 onlink table 100; ip -n pod -6 route replace default via 2001:db8::77 dev eth0 onlink table 101",
    ),
);

submit!(Case {
    id: "sbr/gateways/01",
    rule: "gateways names the next hops of the tables' default routes where the main table has none.",
    faults: &[
        Fault::Config("/gateways", ""),
        Fault::After("ADD", "ip -n pod -6 route del default table 101")
    ],
    repairs: &[GATEWAYS],
    run: |bench| {
        let gateways = json!({ "gateways": ["10.88.0.77", "2001:db8::77"] });
        let lines = ["route del default", "-6 route del default"];
        let config = prepared(bench, gateways, &lines, |_| ())?;
        bench.add(&config)?;
        expect(
            "table 100",
            &list(&["default via 10.88.0.77 dev eth0"]),
            &routes(bench, "pod", "100")?,
        )?;
        expect(
            "table 101",
            &list(&["default via 2001:db8::77 dev eth0"]),
            &routes(bench, "pod", "101")?,
        )
    },
    ..SBR
});

macro_rules! refused_gateways {
    ($id:literal, $rule:literal, $gateways:tt, $message:literal, $words:expr) => {
        submit!(Case {
            id: $id,
            rule: $rule,
            faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
            repairs: &[Fault::Instead("ADD", concat!("echo '{\"code\": 999, \"msg\": \"", $message, "\"}'; exit 1"))],
            run: |bench| {
                refuses_chained(bench, json!({ "gateways": $gateways }), &$words)?;
                expect("rules", &list(&[]), &rules(bench)?)
            },
            ..SBR
        });
    };
}

refused_gateways!(
    "sbr/gateways/02",
    "A gateway that is no address is refused and named.",
    ["here"],
    "invalid static gateway IP address: here",
    ["gateway", "here"]
);
refused_gateways!(
    "sbr/gateways/03",
    "Two gateways of one family are refused and named.",
    ["10.88.0.77", "10.88.0.78"],
    "gateways list contains multiple IPv4 addresses: 10.88.0.77 and 10.88.0.78",
    ["gateways", "10.88.0.77", "10.88.0.78"]
);
refused_gateways!(
    "sbr/gateways/04",
    "More than two gateways are refused.",
    ["10.88.0.77", "2001:db8::77", "10.88.0.79"],
    "gateways list cannot contain more than 2 entries",
    ["gateways"]
);

submit!(Case {
    id: "sbr/hints/01",
    rule: "addSourceHints keeps the subnets' routes in the main table, from the addresses, IPv4 and IPv6.",
    faults: &[
        Fault::Config("/addSourceHints", ""),
        Fault::After("ADD", "ip -n pod route add default via 10.88.0.1"),
        Fault::After("ADD", "ip -n pod -6 route del 2001:db8::/64")
    ],
    repairs: &[Fault::Where(
        "/addSourceHints",
        &Fault::After(
            "ADD",
            "ip -n pod route add 10.88.0.0/24 dev eth0 src 10.88.0.5; ip -n pod -6 route add 2001:db8::/64 dev eth0 src 2001:db8::5"
        )
    )],
    run: |bench| {
        chained(bench, json!({ "addSourceHints": true }))?;
        let expected = [
            "10.88.0.0/24 dev eth0 scope link src 10.88.0.5",
            "2001:db8::/64 dev eth0 src 2001:db8::5",
        ];
        expect(
            "main table",
            &list(&expected),
            &routes(bench, "pod", "main")?,
        )
    },
    ..SBR
});

submit!(Case {
    id: "sbr/hints/02",
    rule: "A second ADD with addSourceHints leaves the subnets' routes in the main table, IPv4 and IPv6.",
    faults: &[
        Fault::Config("/addSourceHints", ""),
        Fault::After("ADD", "ip -n pod -6 route flush exact 2001:db8::/64")
    ],
    repairs: &[Fault::Where(
        "/addSourceHints",
        &Fault::Instead(
            "ADD",
            "ip -n pod route replace 10.88.0.0/24 dev eth0 scope link src 10.88.0.5
            ip -n pod -6 route replace 2001:db8::/64 dev eth0 src 2001:db8::5
            jq .prevResult"
        )
    )],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "addSourceHints": true }))?;
        bench.add(&config)?;
        let seen = routes(bench, "pod", "main")?;
        for expected in [
            "10.88.0.0/24 dev eth0 scope link src 10.88.0.5",
            "2001:db8::/64 dev eth0 src 2001:db8::5",
        ] {
            expect_that(
                seen.iter().any(|route| route == expected),
                expected,
                format!("{seen:?}"),
            )?;
        }
        Ok(())
    },
    ..SBR
});

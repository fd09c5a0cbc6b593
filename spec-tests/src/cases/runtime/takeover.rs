//! Two directories of plugins on one node: `other` was here before, the judged one takes over.

use std::collections::BTreeSet;

use crate::cases::{prelude::*, sight::*};

const TAKEOVER: Case = Case {
    level: Level::Compat,
    source: "reference behaviour",
    judges: INTERFACE,
    set: Set::Takeover,
    versions: CHECKED,
    ..CASE
};

/// Pod `pod`, added by the other plugin; the configuration as a runtime sends it afterwards.
fn added_by_other(bench: &mut Bench, changes: Value) -> Result<Value, Failure> {
    bench.pod("pod")?;
    let config = with(bench, changes);
    let result = bench.call_other("ADD", &config)?.reply()?.result()?;
    Ok(after_add(&config, &result))
}

/// What both packet filters hold, without counters and comments.
fn filters(bench: &mut Bench) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for (program, args) in [
        ("iptables-save", &[][..]),
        ("ip6tables-save", &[]),
        ("nft", &["list", "ruleset"]),
    ] {
        let text = bench.run(program, args)?;
        let rules = text
            .lines()
            .map(str::trim)
            .filter(|line| line.contains("10.88.") || line.contains("2001:db8"));
        all.extend(rules.map(str::to_owned));
    }
    Ok(all)
}

/// The other deletes, or the judged one: nothing is left, no rule either.
fn del_cleans(bench: &mut Bench, changes: Value) -> Result<(), Failure> {
    let config = added_by_other(bench, changes)?;
    bench.call("DEL", &config).reply()?.succeeds_silently()?;
    nothing_left(bench)
}

/// Addresses that ADD gives to containers `0` to `count - 1`, by turns from both directories.
fn by_turns(bench: &mut Bench, config: &Value, count: usize) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for turn in 0..count {
        let id = format!("c{turn}");
        let call = if turn % 2 == 0 {
            bench.call_other("ADD", config)?
        } else {
            bench.call("ADD", config)
        };
        let result = call.env("CNI_CONTAINERID", &id).reply()?.result()?;
        all.push(
            result["ips"][0]["address"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        );
    }
    Ok(all)
}

submit!(Case {
    id: "takeover/check/01",
    rule: "CHECK of what the other plugin added succeeds.",
    faults: &[Fault::On(
        "CHECK",
        &Fault::Config("/prevResult/interfaces", "")
    )],
    run: |bench| {
        let config = added_by_other(bench, json!({}))?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/check/02",
    rule: "CHECK finds the damage to what the other plugin added.",
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let config = added_by_other(bench, json!({}))?;
        check_finds(
            bench,
            &config,
            &["ip", "-n", "pod", "address", "flush", "dev", "eth0"],
        )
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/check/03",
    rule: "CHECK of what the other plugin added for both families, with routes, succeeds.",
    faults: &[
        Fault::Where("/prevResult/ips/1", &Fault::On("CHECK", &Fault::ExitOne)),
        Fault::Where("/prevResult/routes/1", &Fault::On("CHECK", &Fault::ExitOne))
    ],
    run: |bench| {
        let ipam = routed(
            dual(),
            json!([{ "dst": "0.0.0.0/0", "gw": "10.88.0.1" }, { "dst": "::/0", "gw": "2001:db8::1" }]),
        );
        let config = added_by_other(bench, json!({ "ipam": ipam }))?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/check/04",
    rule: "CHECK of a reservation that the other plugin made succeeds, and fails when it is gone.",
    judges: Judges::Only(&["host-local"]),
    faults: &[Fault::Fail("CHECK"), Fault::Skip("CHECK")],
    run: |bench| {
        let config = added_by_other(bench, json!({}))?;
        check_finds(
            bench,
            &config,
            &["rm", "/var/lib/cni/networks/suite/10.88.0.2"],
        )
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/del/01",
    rule: "DEL removes everything that the other plugin made.",
    judges: Judges::Only(&["bridge", "ptp", "host-local"]),
    faults: &[Fault::Skip("DEL")],
    run: |bench| del_cleans(bench, json!({})),
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/del/02",
    rule: "DEL removes everything that the other plugin made for both families.",
    judges: Judges::Only(&["bridge", "ptp", "host-local"]),
    faults: &[Fault::Skip("DEL")],
    run: |bench| del_cleans(bench, json!({ "ipam": dual() })),
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/del/03",
    rule: "DEL removes the masquerade rules that the other plugin made with iptables.",
    needs: &["iptables-save", "ip6tables-save", "nft"],
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::Config("/ipMasq", "=false"))
    ],
    run: |bench| {
        let config = added_by_other(
            bench,
            json!({ "ipMasq": true, "ipMasqBackend": "iptables" }),
        )?;
        expect_that(
            !filters(bench)?.is_empty(),
            "the other plugin made rules",
            "none",
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect(
            "rules about the pod",
            &Vec::<String>::new(),
            &filters(bench)?,
        )
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/del/04",
    rule: "DEL frees the address that the other plugin reserved when the pod's namespace is gone.",
    judges: Judges::Only(&["bridge", "ptp", "host-local"]),
    faults: &[Fault::Skip("DEL")],
    run: |bench| {
        let config = added_by_other(bench, json!({}))?;
        bench.run("ip", &["netns", "delete", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &Vec::<String>::new(), &reserved())
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/add/01",
    rule: "A second ADD of what the other plugin added fails and leaves it whole.",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "ip -n pod link delete eth0")
    ],
    run: |bench| {
        let config = added_by_other(bench, json!({}))?;
        bench.call("ADD", &config).reply()?.error()?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/add/02",
    rule: "Pods of both plugins stand side by side: another address, the same bridge.",
    judges: Judges::Only(&["bridge"]),
    faults: &[
        Fault::Config("/bridge", "another0"),
        Fault::Before("ADD", "rm -f /var/lib/cni/networks/suite/*")
    ],
    run: |bench| {
        let first = added_by_other(bench, json!({}))?;
        let second = attach_other(bench, "second", &bench.config())?;
        let (one, two) = (
            &first["prevResult"]["ips"][0]["address"],
            &second["ips"][0]["address"],
        );
        expect(
            "addresses",
            &(&json!("10.88.0.2/24"), &json!("10.88.0.3/24")),
            &(one, two),
        )?;
        let ports = ip(bench, HOST, &["link", "show", "master", "suite0"])?;
        expect(
            "ports of the bridge",
            &2,
            &ports.as_array().map_or(0, Vec::len),
        )?;
        bench.call("CHECK", &first).reply()?.succeeds_silently()
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/pool/01",
    rule: "By turns both plugins give the addresses of one directory in order, none twice.",
    judges: Judges::Only(&["host-local"]),
    faults: &[
        Fault::Config("/name", "another"),
        Fault::After(
            "ADD",
            "rm -f /var/lib/cni/networks/suite/last_reserved_ip.0"
        )
    ],
    run: |bench| {
        let config = bench.config();
        let expected: Vec<_> = (2..10).map(|last| format!("10.88.0.{last}/24")).collect();
        expect("addresses", &expected, &by_turns(bench, &config, 8)?)?;
        // A freed address behind the last one given: only who reads that file goes past it.
        bench
            .call("DEL", &config)
            .env("CNI_CONTAINERID", "c7")
            .reply()?
            .succeeds_silently()?;
        let result = bench
            .call_other("ADD", &config)?
            .env("CNI_CONTAINERID", "d")
            .reply()?
            .result()?;
        expect(
            "next address",
            &json!("10.88.0.10/24"),
            &result["ips"][0]["address"],
        )
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/pool/02",
    rule: "Called at once, both plugins give no address of one directory twice.",
    judges: Judges::Only(&["host-local"]),
    faults: &[Fault::Config("/name", "another")],
    run: |bench| {
        let config = bench.config();
        let mut running = Vec::new();
        for turn in 0..24 {
            let call = if turn % 2 == 0 {
                bench.call_other("ADD", &config)?
            } else {
                bench.call("ADD", &config)
            };
            running.push(call.env("CNI_CONTAINERID", &format!("c{turn}")).start()?);
        }
        let mut given = BTreeSet::new();
        for call in running {
            given.insert(call.reply()?.result()?["ips"][0]["address"].to_string());
        }
        expect("different addresses", &24, &given.len())?;
        expect("reservations", &24, &reserved().len())
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/pool/03",
    rule: "Each plugin frees what the other one reserved, and nothing else.",
    judges: Judges::Only(&["host-local"]),
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "rm -f /var/lib/cni/networks/suite/10.88.*")
    ],
    run: |bench| {
        let config = bench.config();
        by_turns(bench, &config, 4)?;
        bench
            .call("DEL", &config)
            .env("CNI_CONTAINERID", "c0")
            .reply()?
            .succeeds_silently()?;
        bench
            .call_other("DEL", &config)?
            .env("CNI_CONTAINERID", "c1")
            .reply()?
            .succeeds_silently()?;
        expect(
            "reservations",
            &list(&["10.88.0.4", "10.88.0.5"]),
            &reserved(),
        )
    },
    ..TAKEOVER
});

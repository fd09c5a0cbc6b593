//! Chained plugins of two suites on one node.

use crate::cases::{bandwidth::*, chained::*, prelude::*, sight::*, tuning::*};

const TAKEOVER: Case = Case {
    set: Set::Takeover,
    versions: CHECKED,
    ..COMPAT
};

/// ADD by the other plugin behind [`wire`]; the configuration as a runtime sends it afterwards.
fn added_by_other(bench: &mut Bench, changes: Value) -> Result<Value, Failure> {
    let config = behind(bench, changes)?;
    let result = bench.call_other("ADD", &config)?.reply()?.result()?;
    Ok(after_add(&config, &result))
}

/// What tuning changes of an interface.
fn tuned(bench: &mut Bench) -> Result<Vec<Value>, Failure> {
    let link = eth0(bench)?;
    let keys = ["address", "mtu", "flags"];
    Ok(keys.iter().map(|key| link[key].clone()).collect())
}

fn attributes() -> Value {
    json!({ "mac": "02:00:00:00:00:55", "mtu": 1400, "promisc": true, "allmulti": true,
            "sysctl": { "net.core.somaxconn": "500" } })
}

const TUNED: Case = Case {
    judges: Judges::Only(&["tuning"]),
    ..TAKEOVER
};

submit!(Case {
    id: "takeover/tuning/01",
    rule: "DEL restores what the other plugin kept, and its file is gone.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::Before("DEL", "rm /run/cni/tuning/ctr1_eth0.json")
    ],
    run: |bench| {
        let config = behind(bench, attributes())?;
        let before = tuned(bench)?;
        let result = bench.call_other("ADD", &config)?.reply()?.result()?;
        let config = after_add(&config, &result);
        expect_that(
            before != tuned(bench)?,
            "ADD changes something",
            "it does not",
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("attributes", &before, &tuned(bench)?)?;
        expect("files", &list(&[]), &files("/run/cni/tuning"))
    },
    ..TUNED
});

submit!(Case {
    id: "takeover/tuning/02",
    rule: "What this plugin kept the other one restores, and its file is gone.",
    faults: &[
        Fault::After("ADD", "rm /run/cni/tuning/ctr1_eth0.json"),
        Fault::After("ADD", "echo '{' > /run/cni/tuning/ctr1_eth0.json")
    ],
    run: |bench| {
        let config = behind(bench, attributes())?;
        let before = tuned(bench)?;
        let result = bench.add(&config)?;
        let config = after_add(&config, &result);
        expect_that(
            before != tuned(bench)?,
            "ADD changes something",
            "it does not",
        )?;
        bench
            .call_other("DEL", &config)?
            .reply()?
            .succeeds_silently()?;
        expect("attributes", &before, &tuned(bench)?)?;
        expect("files", &list(&[]), &files("/run/cni/tuning"))
    },
    ..TUNED
});

submit!(Case {
    id: "takeover/tuning/03",
    rule: "CHECK of what the other plugin set succeeds, and finds damage.",
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let config = added_by_other(bench, attributes())?;
        check_finds(
            bench,
            &config,
            &["ip", "-n", "pod", "link", "set", "eth0", "mtu", "1450"],
        )
    },
    ..TUNED
});

submit!(Case {
    id: "takeover/tuning/04",
    rule: "The other plugin's CHECK of what this one set succeeds.",
    faults: &[
        Fault::After("ADD", "ip -n pod link set eth0 mtu 1450"),
        Fault::Config("/sysctl", "")
    ],
    run: |bench| {
        let (config, _) = chained(bench, attributes())?;
        bench
            .call_other("CHECK", &config)?
            .reply()?
            .succeeds_silently()
    },
    ..TUNED
});

/// Limits that are no round numbers.
fn limits() -> Value {
    json!({ "ingressRate": 1_234_567, "ingressBurst": 7_654_321, "egressRate": 16_000_000, "egressBurst": 1_600_000 })
}

const LIMITED: Case = Case {
    judges: Judges::Only(&["bandwidth"]),
    needs: &["tc", "link:ifb"],
    ..TAKEOVER
};

fn has_no_ifb(bench: &mut Bench) -> Result<(), Failure> {
    let links = links(bench, HOST)?;
    expect_that(!links.contains(&IFB.to_owned()), "no ifb", IFB)
}

submit!(Case {
    id: "takeover/bandwidth/01",
    rule: "DEL removes the ifb that the other plugin made, also when the namespace is gone.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::Env("CNI_CONTAINERID", "ctr2"))
    ],
    run: |bench| {
        let config = added_by_other(bench, limits())?;
        expect("rate", &json!(2_000_000), &bucket(bench, IFB)?.0)?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        has_no_ifb(bench)
    },
    ..LIMITED
});

submit!(Case {
    id: "takeover/bandwidth/02",
    rule: "The ifb that this plugin made the other one removes.",
    faults: &[
        Fault::Env("CNI_CONTAINERID", "ctr2"),
        Fault::Config("/egressRate", "=8000000")
    ],
    run: |bench| {
        let (config, _) = chained(bench, limits())?;
        expect("rate", &json!(2_000_000), &bucket(bench, IFB)?.0)?;
        bench
            .call_other("DEL", &config)?
            .reply()?
            .succeeds_silently()?;
        has_no_ifb(bench)
    },
    ..LIMITED
});

submit!(Case {
    id: "takeover/bandwidth/03",
    rule: "CHECK of the limits that the other plugin made succeeds, and finds another rate.",
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let config = added_by_other(bench, limits())?;
        let damage =
            format!("tc qdisc replace dev {IFB} root tbf rate 1mbit burst 100kb latency 25ms");
        check_finds(bench, &config, &damage.split(' ').collect::<Vec<_>>())
    },
    ..LIMITED
});

submit!(Case {
    id: "takeover/bandwidth/04",
    rule: "The other plugin's CHECK of the limits that this one made succeeds.",
    faults: &[
        Fault::Config("/ingressRate", "=8000000"),
        Fault::Config("/egressBurst", "=800000")
    ],
    run: |bench| {
        let (config, _) = chained(bench, limits())?;
        bench
            .call_other("CHECK", &config)?
            .reply()?
            .succeeds_silently()
    },
    ..LIMITED
});

//! tuning: attributes of the pod's interface.

mod args;
mod check;
mod state;
mod sysctl;

use crate::cases::{chained::*, packets::*, prelude::*, sight::*};

pub(in crate::cases) const TUNING: Case = Case {
    judges: Judges::Only(&["tuning"]),
    ..COMPAT
};
/// The pod's interface.
pub(in crate::cases) fn eth0(bench: &mut Bench) -> Result<Value, Failure> {
    link(bench, "pod", "eth0")
}

submit!(Case {
    id: "tuning/mac/01",
    rule: "mac changes the interface's MAC address and that of the result.",
    faults: &[
        Fault::Config("/mac", ""),
        Fault::Result("/interfaces/2/mac", MAC)
    ],
    run: |bench| {
        let (_, result) = chained(bench, json!({ "mac": "02:00:00:00:00:55" }))?;
        expect("MAC", &json!("02:00:00:00:00:55"), &eth0(bench)?["address"])?;
        expect(
            "MAC of the result",
            &json!("02:00:00:00:00:55"),
            &result["interfaces"][2]["mac"],
        )
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/mac/02",
    rule: "runtimeConfig.mac wins over CNI_ARGS and mac.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let config = behind(
            bench,
            json!({ "mac": "02:00:00:00:00:55", "runtimeConfig": { "mac": "02:00:00:00:00:57" } }),
        )?;
        bench
            .call("ADD", &config)
            .env("CNI_ARGS", "MAC=02:00:00:00:00:56")
            .reply()?
            .succeeds()?;
        expect("MAC", &json!("02:00:00:00:00:57"), &eth0(bench)?["address"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/mac/03",
    rule: "CNI_ARGS MAC wins over mac.",
    faults: &[Fault::Env("CNI_ARGS", "")],
    run: |bench| {
        let config = behind(bench, json!({ "mac": "02:00:00:00:00:55" }))?;
        bench
            .call("ADD", &config)
            .env("CNI_ARGS", "MAC=02:00:00:00:00:56")
            .reply()?
            .succeeds()?;
        expect("MAC", &json!("02:00:00:00:00:56"), &eth0(bench)?["address"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/mac/04",
    rule: "args.cni.mac wins over everything else.",
    faults: &[Fault::Config("/args", "")],
    run: |bench| {
        chained(
            bench,
            json!({ "args": { "cni": { "mac": "02:00:00:00:00:58" } }, "runtimeConfig": { "mac": "02:00:00:00:00:57" } }),
        )?;
        expect("MAC", &json!("02:00:00:00:00:58"), &eth0(bench)?["address"])
    },
    ..TUNING
});

refused_chained!(TUNING, "tuning/mac/05", "A MAC address that is none is refused and named.",
    { "mac": "02:00" }, ["02:00", "MAC"]);

submit!(Case {
    id: "tuning/mtu/01",
    rule: "mtu changes the interface's MTU.",
    faults: &[
        Fault::Config("/mtu", ""),
        Fault::After("ADD", "ip -n pod link set eth0 mtu 1500")
    ],
    run: |bench| {
        chained(bench, json!({ "mtu": 1400 }))?;
        expect("MTU", &json!(1400), &eth0(bench)?["mtu"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/promisc/01",
    rule: "promisc makes the interface promiscuous.",
    faults: &[Fault::Config("/promisc", "")],
    run: |bench| {
        chained(bench, json!({ "promisc": true }))?;
        let flags = eth0(bench)?;
        expect_that(has_flag(&flags, "PROMISC"), "PROMISC", &flags["flags"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/allmulti/01",
    rule: "allmulti true has the interface receive all multicast, false switches it off.",
    faults: &[Fault::Config("/allmulti", "")],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "allmulti": true }))?;
        let flags = eth0(bench)?;
        expect_that(has_flag(&flags, "ALLMULTI"), "ALLMULTI", &flags["flags"])?;
        let mut off = config.clone();
        off["allmulti"] = json!(false);
        bench.add(&off)?;
        let flags = eth0(bench)?;
        expect_that(
            !has_flag(&flags, "ALLMULTI"),
            "no ALLMULTI",
            &flags["flags"],
        )
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/txqlen/01",
    rule: "txQLen sets the transmit queue's length.",
    faults: &[Fault::Config("/txQLen", "")],
    repairs: &[Fault::Where(
        "/txQLen",
        &Fault::After("ADD", "ip -n pod link set eth0 txqueuelen 500")
    )],
    run: |bench| {
        chained(bench, json!({ "txQLen": 500 }))?;
        expect("txqlen", &json!(500), &eth0(bench)?["txqlen"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/mac/06",
    rule: "The result's other interfaces keep what they have.",
    faults: &[
        Fault::Config("/mac", ""),
        Fault::Result("/interfaces/1/mac", "02:00:00:00:00:55"),
        Fault::Result("/interfaces/0", "")
    ],
    run: |bench| {
        let (_, result) = chained(bench, json!({ "mac": "02:00:00:00:00:55" }))?;
        let mut expected = wired(bench.version)["interfaces"].clone();
        expected[2]["mac"] = json!("02:00:00:00:00:55");
        expect("interfaces", &expected, &result["interfaces"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/mac/07",
    rule: "A MAC address in upper case is meant as well.",
    faults: &[Fault::On("ADD", &Fault::ExitOne), Fault::Config("/mac", "")],
    run: |bench| {
        chained(bench, json!({ "mac": "02:00:00:00:00:AA" }))?;
        expect("MAC", &json!("02:00:00:00:00:aa"), &eth0(bench)?["address"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/mac/08",
    rule: "With another MAC address the pod reaches its gateway, IPv4 and IPv6.",
    needs: &["ping"],
    faults: &[
        Fault::After("ADD", "ip -n pod link set eth0 arp off"),
        Fault::Config("/mac", "")
    ],
    run: |bench| {
        chained(bench, json!({ "mac": "02:00:00:00:00:55" }))?;
        answers(bench, "pod", "10.88.0.1")?;
        answers(bench, "pod", "2001:db8::1")?;
        let known = ip(bench, HOST, &["-4", "neigh", "show", "to", "10.88.0.5"])?;
        expect(
            "MAC address of 10.88.0.5",
            &json!("02:00:00:00:00:55"),
            &known[0]["lladdr"],
        )
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/mtu/02",
    rule: "An MTU that the interface cannot have fails ADD, and its MTU stays.",
    faults: &[
        Fault::ExitZero,
        Fault::Skip("ADD"),
        Fault::After("ADD", "ip -n pod link set eth0 mtu 9000")
    ],
    run: |bench| {
        let config = behind(bench, json!({ "mtu": 70000 }))?;
        bench.call("ADD", &config).reply()?.error()?;
        expect("MTU", &json!(1500), &eth0(bench)?["mtu"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/promisc/02",
    rule: "promisc false switches nothing off.",
    faults: &[
        Fault::After("ADD", "ip -n pod link set eth0 promisc off"),
        Fault::On("ADD", &Fault::ExitOne)
    ],
    run: |bench| {
        let config = behind(bench, json!({ "promisc": false }))?;
        bench.run("ip", &["-n", "pod", "link", "set", "eth0", "promisc", "on"])?;
        bench.add(&config)?;
        let flags = eth0(bench)?;
        expect_that(has_flag(&flags, "PROMISC"), "PROMISC", &flags["flags"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/txqlen/02",
    rule: "txQLen 0 leaves the interface without a transmit queue.",
    faults: &[Fault::Config("/txQLen", "")],
    repairs: &[Fault::Where(
        "/txQLen",
        &Fault::After("ADD", "ip -n pod link set eth0 txqueuelen 0")
    )],
    run: |bench| {
        chained(bench, json!({ "txQLen": 0 }))?;
        expect("txqlen", &Value::Null, &eth0(bench)?["txqlen"])
    },
    ..TUNING
});

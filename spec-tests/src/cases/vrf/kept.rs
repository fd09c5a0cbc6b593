//! vrf: what nobody may lose: routes, other masters, another pod's membership.

use super::*;

submit!(Case {
    id: "vrf/routes/03",
    rule: "Routes to neighbours move into the VRF's table, and those in tables of their own stay there.",
    faults: &[
        Fault::After("ADD", "ip -n pod route del 192.168.6.0/24 table 500"),
        Fault::After("ADD", "ip -n pod route del 192.168.7.0/24 table 300")
    ],
    repairs: &[
        MOVING,
        Fault::After(
            "ADD",
            "ip -n pod route replace 192.168.6.0/24 dev eth0 table 500
         ip -n pod route replace 192.168.7.0/24 via 10.88.0.9 dev eth0 onlink table 300"
        )
    ],
    run: |bench| {
        let config = behind(bench, json!({ "table": 500 }))?;
        pod(bench, "route add 192.168.6.0/24 dev eth0")?;
        pod(bench, "route add 192.168.7.0/24 via 10.88.0.9 table 300")?;
        bench.add(&config)?;
        let moved = routes(bench, "pod", "500")?;
        let is_there = moved
            .iter()
            .any(|route| route.starts_with("192.168.6.0/24 dev eth0"));
        expect_that(
            is_there,
            "the neighbours' route in table 500",
            moved.join(", "),
        )?;
        let own = routes(bench, "pod", "300")?;
        let is_there = own
            .iter()
            .any(|route| route.starts_with("192.168.7.0/24 via 10.88.0.9"));
        expect_that(is_there, "the route in table 300", own.join(", "))
    },
    ..VRF
});

submit!(Case {
    id: "vrf/del/05",
    rule: "DEL leaves an interface in another master than the VRF.",
    faults: &[
        Fault::On("DEL", &Fault::ExitOne),
        Fault::After("DEL", "ip -n pod link set eth0 nomaster")
    ],
    repairs: &[Fault::Instead(
        "DEL",
        "[ -n \"$(ip -n pod -o link show master blue)\" ] || ip -n pod link del blue"
    )],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        pod(bench, "link add brp type bridge")?;
        pod(bench, "link set eth0 nomaster")?;
        pod(bench, "link set eth0 master brp")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect(
            "master",
            &json!("brp"),
            &link(bench, "pod", "eth0")?["master"],
        )
    },
    ..VRF
});

submit!(Case {
    id: "vrf/del/06",
    rule: "DEL whose CNI_NETNS leads to another pod by now leaves that pod's interface in its VRF.",
    versions: CHECKED,
    faults: &[
        Fault::On("DEL", &Fault::ExitOne),
        Fault::After("DEL", "ip -n pod link set eth0 nomaster")
    ],
    repairs: &[Fault::Skip("DEL")],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        // A MAC address alone may have been given back by a plugin of the chain.
        for line in [
            "link set eth0 address 02:00:00:00:00:77",
            "address flush dev eth0 scope global",
            "address add 10.88.0.77/24 dev eth0",
        ] {
            pod(bench, line)?;
        }
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect(
            "master",
            &json!("blue"),
            &link(bench, "pod", "eth0")?["master"],
        )
    },
    ..VRF
});

submit!(Case {
    id: "vrf/check/04",
    rule: "CHECK finds that the VRF has another table than the configured one.",
    level: Level::Should,
    source: "Section 2, CHECK",
    versions: CHECKED,
    faults: &[Fault::Skip("CHECK")],
    repairs: &[Fault::Instead("CHECK", "exit 1")],
    run: |bench| {
        let (mut config, _) = chained(bench, json!({ "table": 500 }))?;
        config["table"] = json!(501);
        bench.call("CHECK", &config).reply()?.error().map(drop)
    },
    ..VRF
});

const TAKEOVER: Case = Case {
    set: Set::Takeover,
    versions: CHECKED,
    ..VRF
};

submit!(Case {
    id: "takeover/vrf/01",
    rule: "CHECK of what the other plugin put into a VRF succeeds, and DEL takes it out and removes the VRF.",
    faults: &[Fault::Skip("DEL"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let config = behind(bench, json!({}))?;
        let result = bench.call_other("ADD", &config)?.reply()?.result()?;
        let config = after_add(&config, &result);
        bench.call("CHECK", &config).reply()?.succeeds_silently()?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("links", &list(&["lo", "eth0"]), &links(bench, "pod")?)
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/vrf/02",
    rule: "CHECK of the other plugin of what this one put into a VRF succeeds, and its DEL removes the VRF.",
    faults: &[
        Fault::After("ADD", "ip -n pod link set eth0 nomaster"),
        Fault::Config("/vrfname", "red")
    ],
    run: |bench| {
        let (config, result) = chained(bench, json!({}))?;
        let config = after_add(&config, &result);
        bench
            .call_other("CHECK", &config)?
            .reply()?
            .succeeds_silently()?;
        bench
            .call_other("DEL", &config)?
            .reply()?
            .succeeds_silently()?;
        expect("links", &list(&["lo", "eth0"]), &links(bench, "pod")?)
    },
    ..TAKEOVER
});

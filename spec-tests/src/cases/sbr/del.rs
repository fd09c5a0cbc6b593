//! sbr: DEL and CHECK, and ADDs that must fail.

use crate::cases::{chained::*, prelude::*, sbr::*, sight::*};

/// DEL without a namespace has nothing to do.
const WITHOUT_POD: Fault = Fault::Instead(
    "DEL",
    r#"ip netns exec pod true 2>/dev/null && [ -n "$CNI_NETNS" ] || exit 0; exec "$REAL""#,
);

submit!(Case {
    id: "sbr/del/04",
    rule: "DEL without prevResult removes the rules.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (mut config, _) = chained(bench, json!({}))?;
        config
            .as_object_mut()
            .map(|config| config.remove("prevResult"));
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("rules", &list(&[]), &rules(bench)?)
    },
    ..SBR
});

submit!(Case {
    id: "sbr/del/05",
    rule: "DEL leaves rules for other sources.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "ip -n pod rule del from 10.99.0.1")
    ],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        bench.run(
            "ip",
            &[
                "-n",
                "pod",
                "rule",
                "add",
                "from",
                "10.99.0.1",
                "table",
                "500",
            ],
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("rules", &list(&["10.99.0.1 500"]), &rules(bench)?)
    },
    ..SBR
});

submit!(Case {
    id: "sbr/del/06",
    rule: "DEL succeeds when CNI_NETNS is empty.",
    faults: &[Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[WITHOUT_POD],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        bench
            .call("DEL", &config)
            .env("CNI_NETNS", "")
            .reply()?
            .succeeds_silently()
    },
    ..SBR
});

submit!(Case {
    id: "sbr/del/07",
    rule: "DEL succeeds when a plain file lies at the namespace's path.",
    faults: &[Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[WITHOUT_POD],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.write("/run/netns/pod", "")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()
    },
    ..SBR
});

submit!(Case {
    id: "sbr/del/08",
    rule: "DEL without an ADD succeeds and changes no route.",
    faults: &[
        Fault::On("DEL", &Fault::ExitOne),
        Fault::After("DEL", "ip -n pod route del default")
    ],
    run: |bench| {
        let config = behind(bench, json!({}))?;
        let before = routes(bench, "pod", "main")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("main table", &before, &routes(bench, "pod", "main")?)
    },
    ..SBR
});

submit!(Case {
    id: "sbr/check/01",
    rule: "CHECK of a healthy pod succeeds and changes nothing.",
    versions: CHECKED,
    faults: &[
        Fault::On("CHECK", &Fault::ExitOne),
        Fault::After("CHECK", "ip -n pod rule del from 10.88.0.5")
    ],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        let before = rules(bench)?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()?;
        expect("rules", &before, &rules(bench)?)
    },
    ..SBR
});

submit!(Case {
    id: "sbr/check/02",
    rule: "CHECK finds a rule gone.",
    level: Level::Should,
    source: "Section 2, CHECK",
    versions: CHECKED,
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    repairs: &[Fault::Instead(
        "CHECK",
        "ip -n pod rule | grep -q 10.88.0.5 && ip -6 -n pod rule | grep -q 2001:db8::5"
    )],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        check_finds(
            bench,
            &config,
            &[
                "ip",
                "-n",
                "pod",
                "-6",
                "rule",
                "del",
                "from",
                "2001:db8::5",
            ],
        )
    },
    ..SBR
});

submit!(Case {
    id: "sbr/fail/01",
    rule: "A prevResult without addresses is refused and the interface named.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| {
        let mut config = behind(bench, json!({}))?;
        config["prevResult"]
            .as_object_mut()
            .map(|result| result.remove("ips"));
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["No IP addresses", "eth0"])
    },
    ..SBR
});

submit!(Case {
    id: "sbr/fail/02",
    rule: "An interface that is not there fails ADD and is named.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| {
        let config = behind(bench, json!({}))?;
        bench.run("ip", &["-n", "pod", "link", "del", "eth0"])?;
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["eth0"])
    },
    ..SBR
});

submit!(Case {
    id: "sbr/fail/03",
    rule: "A namespace that does not exist fails ADD, is named, and no file made in its place.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::After("ADD", "touch /run/netns/nope")
    ],
    repairs: &[Fault::After("ADD", "rm -f /run/netns/nope")],
    run: |bench| {
        let config = behind(bench, json!({}))?;
        let reply = bench
            .call("ADD", &config)
            .env("CNI_NETNS", "/run/netns/nope")
            .reply()?;
        complains(&reply, &["/run/netns/nope"])?;
        expect("files", &list(&["pod"]), &files("/run/netns"))
    },
    ..SBR
});

submit!(Case {
    id: "sbr/result/02",
    rule: "In every version the result is prevResult.",
    versions: EVERY,
    faults: &[
        Fault::Result("/ips", ""),
        Fault::Result("/cniVersion", "9.9.9")
    ],
    run: passes_on,
    ..SBR
});

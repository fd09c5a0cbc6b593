//! Delegation: undoing a failed ADD, and DEL, STATUS and GC that must reach the IPAM plugin.

use crate::actor::Answer;
use crate::cases::{delegation::*, prelude::*, sight::*};

submit!(Case {
    id: "spec/delegation/rollback/01",
    rule: "When the IPAM plugin fails, no link is left behind, neither in the pod nor on the host.",
    level: Level::Should,
    versions: CHECKED,
    faults: &[Fault::After(
        "ADD",
        "ip link add vethleft type veth peer name other"
    )],
    run: |bench| {
        add_fails(bench, Answer::error(123, "no"))?;
        nothing_left(bench)
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/rollback/02",
    rule: "When the IPAM plugin fails ADD, the plugin calls its DEL before it returns the error.",
    level: Level::Should,
    versions: CHECKED,
    faults: &[Fault::Fail("ADD")],
    repairs: &[Fault::Instead(
        "ADD",
        r#"config=$(cat); echo "$config" | "$REAL" && exit
        echo "$config" | CNI_COMMAND=DEL /run/suite/suite-ipam; exit 1"#
    )],
    run: |bench| {
        bench.pod("pod")?;
        let (config, actor) = own_ipam(bench, &[("ADD", Answer::error(123, "no"))])?;
        bench.call("ADD", &config).reply()?.fails_with(123)?;
        expect(
            "commands of the IPAM plugin",
            &list(&["ADD", "DEL"]),
            &actor.commands()?,
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/rollback/03",
    rule: "When IPAM gave no address, what it may hold is released by its DEL and no link is left.",
    level: Level::Should,
    versions: CHECKED,
    faults: &[
        Fault::Fail("ADD"),
        Fault::After("ADD", "ip link add vethleft type veth peer name other")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let nothing = json!({ "cniVersion": bench.version.as_str(), "ips": [] });
        let (config, actor) = own_ipam(bench, &[("ADD", Answer::with(&nothing))])?;
        bench.call("ADD", &config).reply()?.error()?;
        expect(
            "commands of the IPAM plugin",
            &list(&["ADD", "DEL"]),
            &actor.commands()?,
        )?;
        nothing_left(bench)
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/rollback/04",
    rule: "When something fails behind IPAM's ADD, IPAM's DEL releases the address.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[
        Fault::Fail("ADD"),
        Fault::On(
            "ADD",
            &Fault::Config(
                "/ipam",
                "={\"type\": \"static\", \"addresses\": [{\"address\": \"10.77.0.5/24\"}], \"routes\": [{\"dst\": \"192.0.2.0/24\", \"gw\": \"203.0.113.1\"}]}"
            )
        )
    ],
    run: |bench| {
        bench.pod("pod")?;
        // A route through a gateway that nobody can reach: the kernel refuses it.
        let unreachable = json!([{ "dst": "192.0.2.0/24", "gw": "203.0.113.1" }]);
        let answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", unreachable);
        let (config, actor) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        bench.call("ADD", &config).reply()?.error()?;
        expect(
            "commands of the IPAM plugin",
            &list(&["ADD", "DEL"]),
            &actor.commands()?,
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/rollback/05",
    rule: "When something fails behind IPAM's ADD, no link is left behind.",
    level: Level::Should,
    versions: CHECKED,
    faults: &[Fault::After(
        "ADD",
        "ip link add vethleft type veth peer name other"
    )],
    run: |bench| {
        bench.pod("pod")?;
        let unreachable = json!([{ "dst": "192.0.2.0/24", "gw": "203.0.113.1" }]);
        let answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", unreachable);
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        bench.call("ADD", &config).reply()?.error()?;
        nothing_left(bench)
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/del/01",
    rule: "DEL reaches the IPAM plugin when the pod's namespace is gone.",
    source: "Section 2, DEL",
    versions: CHECKED,
    faults: &[Fault::Skip("DEL")],
    run: |bench| {
        let (config, actor) = added(bench)?;
        bench.run("ip", &["netns", "delete", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        only(&actor, "DEL").map(drop)
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/del/02",
    rule: "DEL reaches the IPAM plugin when there is no CNI_NETNS.",
    source: "Section 2, DEL",
    versions: CHECKED,
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::Env("CNI_NETNS", "/run/netns/pod"))
    ],
    run: |bench| {
        let (config, actor) = added(bench)?;
        bench
            .call("DEL", &config)
            .unset("CNI_NETNS")
            .reply()?
            .succeeds_silently()?;
        expect(
            "CNI_NETNS of the IPAM plugin",
            &"",
            &only(&actor, "DEL")?.variable("CNI_NETNS"),
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/del/03",
    rule: "DEL reaches the IPAM plugin also when nothing was ever added.",
    source: "Section 2, DEL",
    versions: EVERY,
    faults: &[Fault::Skip("DEL")],
    run: |bench| {
        bench.pod("pod")?;
        let (config, actor) = own_ipam(bench, &[])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        only(&actor, "DEL").map(drop)
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/status/01",
    rule: "STATUS reaches the IPAM plugin, with the complete configuration.",
    source: "Section 2, STATUS",
    versions: NEWEST,
    faults: &[Fault::Skip("STATUS"), Fault::Config("/ipam/note", "")],
    run: |bench| {
        let (config, actor) = own_ipam(bench, &[])?;
        status(bench, &config)?.succeeds_silently()?;
        expect(
            "stdin of the IPAM plugin",
            &config,
            &only(&actor, "STATUS")?.config(),
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/status/02",
    rule: "An IPAM plugin that cannot serve ADD (code 50) makes STATUS fail with that code.",
    level: Level::Compat,
    source: "Section 4, Delegated plugin execution procedure (a should); reference behaviour",
    versions: NEWEST,
    faults: &[Fault::Skip("STATUS"), Fault::Code(999)],
    run: |bench| {
        let (config, _) = own_ipam(bench, &[("STATUS", Answer::error(50, "pool exhausted"))])?;
        let error = status(bench, &config)?.fails_with(50)?;
        expect("msg", &json!("pool exhausted"), &error["msg"])
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/status/03",
    rule: "An IPAM plugin that is not there makes STATUS fail.",
    source: "Section 2, STATUS",
    versions: NEWEST,
    faults: &[Fault::Skip("STATUS"), Fault::ExitZero],
    run: |bench| {
        let config = with(bench, json!({ "ipam": { "type": "no-such-ipam" } }));
        complains(&status(bench, &config)?, &["no-such-ipam"])
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/status/04",
    rule: "For an IPAM plugin that is not there STATUS answers code 50: ADD cannot be served.",
    level: Level::Should,
    source: "Section 2, STATUS",
    versions: NEWEST,
    faults: &[Fault::Skip("STATUS"), Fault::Code(999)],
    run: |bench| {
        let config = with(bench, json!({ "ipam": { "type": "no-such-ipam" } }));
        status(bench, &config)?.fails_with(50).map(drop)
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/gc/01",
    rule: "GC reaches the IPAM plugin, with the list of valid attachments.",
    source: "Section 2, GC",
    versions: NEWEST,
    faults: &[
        Fault::Skip("GC"),
        Fault::Config("/cni.dev~1valid-attachments", "")
    ],
    run: |bench| {
        let (mut config, actor) = own_ipam(bench, &[])?;
        config[VALID] = json!([{ "containerID": "ctr1", "ifname": "eth0" }]);
        gc(bench, &config)?.succeeds_silently()?;
        expect(
            "stdin of the IPAM plugin",
            &config,
            &only(&actor, "GC")?.config(),
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/gc/02",
    rule: "An error of the IPAM plugin makes GC fail.",
    level: Level::Should,
    source: "Section 2, GC",
    versions: NEWEST,
    faults: &[Fault::Skip("GC"), Fault::ExitZero],
    run: |bench| {
        let (mut config, _) = own_ipam(bench, &[("GC", Answer::error(123, "no"))])?;
        config[VALID] = json!([]);
        gc(bench, &config)?.error().map(drop)
    },
    ..DELEGATING
});

//! `CNI_ARGS`, `runtimeConfig` and `capabilities`: what a runtime adds to a configuration.

use crate::cases::{prelude::*, sight::*};

/// Plugins that read `CNI_ARGS`, by themselves or through host-local.
const READING: Case = Case {
    level: Level::Compat,
    source: "reference behaviour",
    judges: Judges::Only(&["bridge", "host-local", "static"]),
    ..CASE
};

fn add_with(bench: &mut Bench, args: &str) -> Result<Reply, Failure> {
    bench.pod("pod")?;
    let config = bench.config();
    Ok(bench.call("ADD", &config).env("CNI_ARGS", args).reply()?)
}

fn accepts(bench: &mut Bench, args: &str) -> Result<(), Failure> {
    add_with(bench, args)?.result().map(drop)
}

/// ADD with these arguments fails and reserves nothing.
fn refuses(bench: &mut Bench, args: &str) -> Result<(), Failure> {
    add_with(bench, args)?.error()?;
    expect("reservations", &Vec::<String>::new(), &reserved())
}

submit!(Case {
    id: "spec/args/pairs/01",
    rule: "An empty CNI_ARGS is as good as none.",
    judges: Judges::Every,
    faults: &[Fault::Instead(
        "ADD",
        r#"[ "${CNI_ARGS-unset}" ] || exit 1; exec "$REAL""#
    )],
    run: |bench| accepts(bench, ""),
    ..READING
});

submit!(Case {
    id: "spec/args/pairs/02",
    rule: "A piece of CNI_ARGS without '=' fails ADD.",
    faults: &[Fault::Env("CNI_ARGS", ""), Fault::ExitZero],
    run: |bench| refuses(bench, "IgnoreUnknown=1;SUITE"),
    ..READING
});

submit!(Case {
    id: "spec/args/pairs/03",
    rule: "A piece of CNI_ARGS with two '=' fails ADD.",
    faults: &[Fault::Env("CNI_ARGS", ""), Fault::ExitZero],
    run: |bench| refuses(bench, "IgnoreUnknown=1;SUITE=a=b"),
    ..READING
});

submit!(Case {
    id: "spec/args/pairs/04",
    rule: "A semicolon at the end of CNI_ARGS fails ADD.",
    faults: &[Fault::Env("CNI_ARGS", ""), Fault::ExitZero],
    run: |bench| refuses(bench, "IgnoreUnknown=1;"),
    ..READING
});

submit!(Case {
    id: "spec/args/pairs/05",
    rule: "An error about CNI_ARGS quotes the piece that is wrong.",
    faults: &[Fault::Error("/msg", "it failed"), Fault::ExitZero],
    run: |bench| complains(&add_with(bench, "IgnoreUnknown=1;SUITE")?, &["SUITE"]),
    ..READING
});

submit!(Case {
    id: "spec/args/unknown/01",
    rule: "A key that the plugin does not know fails ADD.",
    faults: &[
        Fault::Env("CNI_ARGS", ""),
        Fault::Env("CNI_ARGS", "IgnoreUnknown=1;SUITE=yes"),
        Fault::ExitZero
    ],
    run: |bench| refuses(bench, "SUITE=yes"),
    ..READING
});

submit!(Case {
    id: "spec/args/unknown/02",
    rule: "With IgnoreUnknown=1 keys that the plugin does not know are ignored.",
    faults: &[Fault::Env("CNI_ARGS", "SUITE=yes"), Fault::Fail("ADD")],
    run: |bench| accepts(bench, "IgnoreUnknown=1;SUITE=yes"),
    ..READING
});

submit!(Case {
    id: "spec/args/unknown/03",
    rule: "IgnoreUnknown is true in any letter case as well, and may stand last.",
    faults: &[Fault::Env("CNI_ARGS", "SUITE=yes"), Fault::Fail("ADD")],
    run: |bench| accepts(bench, "SUITE=yes;IgnoreUnknown=TRUE"),
    ..READING
});

submit!(Case {
    id: "spec/args/unknown/04",
    rule: "IgnoreUnknown=0 leaves unknown keys an error.",
    faults: &[
        Fault::Env("CNI_ARGS", "IgnoreUnknown=1;SUITE=yes"),
        Fault::ExitZero
    ],
    run: |bench| refuses(bench, "IgnoreUnknown=0;SUITE=yes"),
    ..READING
});

submit!(Case {
    id: "spec/args/unknown/05",
    rule: "The last IgnoreUnknown counts.",
    faults: &[
        Fault::Env("CNI_ARGS", "IgnoreUnknown=1;SUITE=yes"),
        Fault::ExitZero
    ],
    run: |bench| refuses(bench, "IgnoreUnknown=1;SUITE=yes;IgnoreUnknown=false"),
    ..READING
});

submit!(Case {
    id: "spec/args/unknown/06",
    rule: "An IgnoreUnknown that is no truth value fails ADD.",
    faults: &[Fault::Env("CNI_ARGS", "IgnoreUnknown=1"), Fault::ExitZero],
    run: |bench| refuses(bench, "IgnoreUnknown=perhaps"),
    ..READING
});

submit!(Case {
    id: "spec/args/unknown/07",
    rule: "Keys are matched with their letter case: ignoreunknown is a key that nobody knows.",
    faults: &[Fault::Env("CNI_ARGS", "IgnoreUnknown=1"), Fault::ExitZero],
    run: |bench| refuses(bench, "ignoreunknown=1"),
    ..READING
});

submit!(Case {
    id: "spec/args/kubernetes/01",
    rule: "The arguments that Kubernetes runtimes pass are accepted.",
    judges: Judges::Every,
    faults: &[
        Fault::Instead(
            "ADD",
            r#"[ ${#CNI_CONTAINERID} = 64 ] && exit 1; exec "$REAL""#
        ),
        Fault::Instead(
            "ADD",
            r#"case $CNI_ARGS in *K8S_*) exit 1;; esac; exec "$REAL""#
        )
    ],
    run: |bench| {
        bench.pod("cni-0c6c5a2e-1a2b-4c3d-8e9f-001122334455")?;
        let id = "4f2b7c9a".repeat(8);
        let args = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;\
            K8S_POD_INFRA_CONTAINER_ID={id};K8S_POD_UID=6f1c2d3e-0000-4444-8888-123456789abc"
        );
        let config = bench.config();
        let call = bench
            .call("ADD", &config)
            .env("CNI_ARGS", &args)
            .env("CNI_CONTAINERID", &id);
        let netns = "/run/netns/cni-0c6c5a2e-1a2b-4c3d-8e9f-001122334455";
        call.env("CNI_NETNS", netns).reply()?.result().map(drop)
    },
    ..READING
});

submit!(Case {
    id: "spec/args/del/01",
    rule: "DEL with the arguments of the ADD releases the address that they asked for.",
    judges: Judges::Only(&["bridge", "host-local"]),
    versions: CHECKED,
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("ADD", &Fault::Env("CNI_ARGS", ""))
    ],
    run: |bench| {
        let args = "IgnoreUnknown=1;IP=10.88.0.77;SUITE=yes";
        let result = add_with(bench, args)?.result()?;
        expect("reservations", &list(&["10.88.0.77"]), &reserved())?;
        let config = after_add(&bench.config(), &result);
        bench
            .call("DEL", &config)
            .env("CNI_ARGS", args)
            .reply()?
            .succeeds_silently()?;
        expect("reservations", &Vec::<String>::new(), &reserved())
    },
    ..READING
});

submit!(Case {
    id: "spec/runtime-config/unknown/01",
    rule: "Capability arguments that the plugin does not know are ignored.",
    level: Level::Compat,
    source: "reference behaviour",
    judges: Judges::Every,
    faults: &[
        Fault::Where("/capabilities/suite", &Fault::ExitOne),
        Fault::Where("/runtimeConfig/suite", &Fault::ExitOne),
        Fault::Where("/runtimeConfig/cgroupPath", &Fault::ExitOne)
    ],
    run: |bench| {
        bench.pod("pod")?;
        let config = with(
            bench,
            json!({
                "capabilities": { "suite": true },
                "runtimeConfig": { "suite": [1, { "deep": null }], "cgroupPath": "/x" },
            }),
        );
        bench.add(&config).map(drop)
    },
    ..CASE
});

submit!(Case {
    id: "spec/runtime-config/null/01",
    rule: "A runtimeConfig that is null or empty is as good as none.",
    judges: Judges::Every,
    faults: &[
        Fault::Instead(
            "ADD",
            r#"text=$(cat); case $text in *'"runtimeConfig":null'*) exit 1;; esac; printf %s "$text" | "$REAL""#
        ),
        Fault::Instead(
            "ADD",
            r#"text=$(cat); case $text in *'"runtimeConfig":{}'*) exit 1;; esac; printf %s "$text" | "$REAL""#
        ),
        Fault::Instead(
            "ADD",
            r#"text=$(cat); case $text in *'"capabilities":{}'*) exit 1;; esac; printf %s "$text" | "$REAL""#
        )
    ],
    run: |bench| {
        bench.pod("pod")?;
        let config = with(bench, json!({ "runtimeConfig": {}, "capabilities": {} }));
        let result = bench.add(&config)?;
        bench
            .call("DEL", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()?;
        let mut config = config;
        config["runtimeConfig"] = Value::Null;
        bench.add(&config).map(drop)
    },
    ..READING
});

submit!(Case {
    id: "spec/runtime-config/ips/01",
    rule: "The capability argument ips asks for addresses, through the interface plugin as well.",
    source: "Conventions, dynamic plugin fields",
    judges: Judges::Only(&["bridge", "ptp", "host-local"]),
    faults: &[Fault::Config("/runtimeConfig/ips", "")],
    run: |bench| {
        bench.pod("pod")?;
        let config = with(
            bench,
            json!({ "capabilities": { "ips": true }, "runtimeConfig": { "ips": ["10.88.0.88/24"] } }),
        );
        expect(
            "address",
            &json!("10.88.0.88/24"),
            &bench.add(&config)?["ips"][0]["address"],
        )
    },
    ..READING
});

submit!(Case {
    id: "spec/runtime-config/ip-ranges/01",
    rule: "The capability argument ipRanges gives the ranges to take addresses from.",
    source: "Conventions, dynamic plugin fields",
    judges: Judges::Only(&["bridge", "ptp", "host-local"]),
    faults: &[
        Fault::Config("/runtimeConfig/ipRanges", ""),
        Fault::Result("/ips/0/address", "10.88.0.2/24")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let config = with(
            bench,
            json!({
                "ipam": { "type": "host-local" }, "capabilities": { "ipRanges": true },
                "runtimeConfig": { "ipRanges": [[{ "subnet": "10.99.0.0/24" }]] },
            }),
        );
        expect(
            "address",
            &json!("10.99.0.2/24"),
            &bench.add(&config)?["ips"][0]["address"],
        )
    },
    ..READING
});

submit!(Case {
    id: "spec/runtime-config/mac/01",
    rule: "The capability argument mac gives the interface its address.",
    source: "Conventions, dynamic plugin fields",
    judges: Judges::Only(&["bridge"]),
    faults: &[Fault::Config("/runtimeConfig/mac", "")],
    run: |bench| {
        let wanted = "02:42:ac:11:00:02";
        let changes =
            json!({ "capabilities": { "mac": true }, "runtimeConfig": { "mac": wanted } });
        attach(bench, changes)?;
        expect(
            "MAC of eth0",
            &json!(wanted),
            &link(bench, "pod", "eth0")?["address"],
        )
    },
    ..READING
});

submit!(Case {
    id: "spec/args/cni/01",
    rule: "args.cni.ips in the configuration asks for addresses.",
    source: "Conventions, args in network configuration",
    judges: Judges::Only(&["bridge", "ptp", "host-local"]),
    faults: &[Fault::Config("/args/cni/ips", "")],
    run: |bench| {
        bench.pod("pod")?;
        let config = with(
            bench,
            json!({ "args": { "cni": { "ips": ["10.88.0.99"] } } }),
        );
        expect(
            "address",
            &json!("10.88.0.99/24"),
            &bench.add(&config)?["ips"][0]["address"],
        )
    },
    ..READING
});

submit!(Case {
    id: "spec/args/cni/02",
    rule: "Unknown keys in args are ignored: they are hints.",
    source: "Conventions, args in network configuration",
    level: Level::Should,
    judges: Judges::Every,
    faults: &[
        Fault::Where("/args/cni/suite", &Fault::ExitOne),
        Fault::Where("/args/org.suite/a", &Fault::ExitOne)
    ],
    run: |bench| {
        bench.pod("pod")?;
        let config = with(
            bench,
            json!({ "args": { "cni": { "suite": [1] }, "org.suite": { "a": {} } } }),
        );
        bench.add(&config).map(drop)
    },
    ..READING
});

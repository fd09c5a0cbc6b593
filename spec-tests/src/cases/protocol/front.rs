//! What each command needs, one by one: variables, configuration, standard input.

use crate::cases::{prelude::*, sight::*};

const PARAMETERS: Case = Case {
    judges: Judges::All,
    source: "Section 2, Parameters",
    ..CASE
};
const ERRORS: Case = Case {
    judges: Judges::All,
    source: "Section 5, Error",
    ..CASE
};

/// `command` without this variable fails with code 4.
fn needs(bench: &mut Bench, command: &str, key: &str) -> Result<(), Failure> {
    bench.pod("pod")?;
    let config = bench.config();
    bench
        .call(command, &config)
        .unset(key)
        .reply()?
        .fails_with(4)
        .map(drop)
}

/// `command` with this variable fails with code 4.
fn refuses(bench: &mut Bench, command: &str, key: &str, value: &str) -> Result<(), Failure> {
    bench.pod("pod")?;
    let config = bench.config();
    bench
        .call(command, &config)
        .env(key, value)
        .reply()?
        .fails_with(4)
        .map(drop)
}

fn refuses_stdin(bench: &mut Bench, command: &str, stdin: &str, code: u32) -> Result<(), Failure> {
    bench
        .call(command, &json!({}))
        .stdin(stdin)
        .reply()?
        .fails_with(code)
        .map(drop)
}

submit!(Case {
    id: "spec/env/del/01",
    rule: "DEL without CNI_CONTAINERID fails with code 4.",
    faults: &[Fault::Env("CNI_CONTAINERID", "ctr1"), Fault::Code(7)],
    run: |bench| needs(bench, "DEL", "CNI_CONTAINERID"),
    ..PARAMETERS
});

submit!(Case {
    id: "spec/env/del/02",
    rule: "DEL without CNI_IFNAME fails with code 4.",
    faults: &[Fault::Env("CNI_IFNAME", "eth0"), Fault::Code(7)],
    run: |bench| needs(bench, "DEL", "CNI_IFNAME"),
    ..PARAMETERS
});

submit!(Case {
    id: "spec/env/del/03",
    rule: "DEL with a CNI_IFNAME that no interface can have fails with code 4.",
    faults: &[Fault::Env("CNI_IFNAME", "eth0"), Fault::Code(7)],
    run: |bench| refuses(bench, "DEL", "CNI_IFNAME", "a/b"),
    ..PARAMETERS
});

submit!(Case {
    id: "spec/env/del/04",
    rule: "DEL with a CNI_CONTAINERID that is no identifier fails with code 4.",
    faults: &[Fault::Env("CNI_CONTAINERID", "ctr1"), Fault::Code(7)],
    run: |bench| refuses(bench, "DEL", "CNI_CONTAINERID", "../../etc"),
    ..PARAMETERS
});

submit!(Case {
    id: "spec/env/check/01",
    rule: "CHECK without CNI_CONTAINERID fails with code 4.",
    faults: &[Fault::Env("CNI_CONTAINERID", "ctr1"), Fault::Code(7)],
    run: |bench| needs(bench, "CHECK", "CNI_CONTAINERID"),
    ..PARAMETERS
});

submit!(Case {
    id: "spec/env/check/02",
    rule: "CHECK without CNI_NETNS fails with code 4.",
    faults: &[Fault::Env("CNI_NETNS", "/run/netns/pod"), Fault::Code(7)],
    run: |bench| needs(bench, "CHECK", "CNI_NETNS"),
    ..PARAMETERS
});

submit!(Case {
    id: "spec/env/check/03",
    rule: "CHECK without CNI_IFNAME fails with code 4.",
    faults: &[Fault::Env("CNI_IFNAME", "eth0"), Fault::Code(7)],
    run: |bench| needs(bench, "CHECK", "CNI_IFNAME"),
    ..PARAMETERS
});

submit!(Case {
    id: "spec/env/check/04",
    rule: "CHECK with a CNI_CONTAINERID that is no identifier fails with code 4.",
    faults: &[Fault::Env("CNI_CONTAINERID", "ctr1"), Fault::Code(7)],
    run: |bench| refuses(bench, "CHECK", "CNI_CONTAINERID", "a b"),
    ..PARAMETERS
});

submit!(Case {
    id: "spec/env/containerid/06",
    rule: "A CNI_CONTAINERID that starts with a dot fails with code 4.",
    faults: &[Fault::Env("CNI_CONTAINERID", "ctr1"), Fault::Code(7)],
    run: |bench| refuses(bench, "ADD", "CNI_CONTAINERID", ".ctr1"),
    ..PARAMETERS
});

submit!(Case {
    id: "spec/env/containerid/07",
    rule: "A CNI_CONTAINERID with a letter beyond ASCII fails with code 4.",
    faults: &[Fault::Env("CNI_CONTAINERID", "ctr1"), Fault::Code(7)],
    run: |bench| refuses(bench, "ADD", "CNI_CONTAINERID", "ctr\u{e4}"),
    ..PARAMETERS
});

submit!(Case {
    id: "spec/env/ifname/08",
    rule: "A CNI_IFNAME with a tab or another kind of white space fails with code 4.",
    faults: &[Fault::Env("CNI_IFNAME", "eth0"), Fault::Code(7)],
    run: |bench| {
        refuses(bench, "ADD", "CNI_IFNAME", "eth\t0")?;
        let config = bench.config();
        bench
            .call("ADD", &config)
            .env("CNI_IFNAME", "eth0\n")
            .reply()?
            .fails_with(4)
            .map(drop)
    },
    ..PARAMETERS
});

submit!(Case {
    id: "spec/env/unknown/01",
    rule: "Variables that are not of the protocol are ignored.",
    level: Level::Compat,
    source: "reference behaviour",
    judges: Judges::Every,
    faults: &[
        Fault::Instead("ADD", r#"[ "$CNI_SURPRISE" ] && exit 1; exec "$REAL""#),
        Fault::Instead("ADD", r#"[ "$TRACEPARENT" ] && exit 1; exec "$REAL""#)
    ],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        let call = bench
            .call("ADD", &config)
            .env("CNI_SURPRISE", "1")
            .env("TRACEPARENT", "00-1-2-03");
        call.reply()?.result().map(drop)
    },
    ..PARAMETERS
});

submit!(Case {
    id: "spec/env/path/01",
    rule: "The plugin needs no PATH to be found or to make a pod's interface.",
    level: Level::Compat,
    source: "reference behaviour",
    judges: Judges::Every,
    faults: &[Fault::Instead(
        "ADD",
        r#"env | grep -q ^PATH= || exit 1; exec "$REAL""#
    )],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        bench
            .call("ADD", &config)
            .unset("PATH")
            .reply()?
            .result()
            .map(drop)
    },
    ..PARAMETERS
});

submit!(Case {
    id: "spec/config/decode/05",
    rule: "DEL with an empty stdin fails with code 6.",
    faults: &[Fault::ExitZero, Fault::Code(4)],
    run: |bench| refuses_stdin(bench, "DEL", "", 6),
    ..ERRORS
});

submit!(Case {
    id: "spec/config/decode/06",
    rule: "CHECK with a configuration that is no JSON fails with code 6.",
    faults: &[Fault::ExitZero, Fault::Code(4)],
    run: |bench| refuses_stdin(bench, "CHECK", "{\"name\": \"suite\",}", 6),
    ..ERRORS
});

submit!(Case {
    id: "spec/config/decode/07",
    rule: "GC with a configuration that is no JSON fails with code 6.",
    versions: NEWEST,
    faults: &[Fault::ExitZero, Fault::Code(4)],
    run: |bench| refuses_stdin(bench, "GC", "{", 6),
    ..ERRORS
});

submit!(Case {
    id: "spec/config/decode/08",
    rule: "A stdin that cannot be read fails with code 5.",
    level: Level::Must,
    source: "Section 5, Error",
    faults: &[Fault::ExitZero, Fault::Code(6)],
    run: |bench| {
        bench.pod("pod")?;
        bench.run("mkdir", &["-p", "/run/directory"])?;
        bench
            .call("ADD", &json!({}))
            .stdin_from("/run/directory")
            .reply()?
            .fails_with(5)
            .map(drop)
    },
    ..ERRORS
});

submit!(Case {
    id: "spec/config/name/04",
    rule: "DEL with a missing network name fails with code 7.",
    faults: &[Fault::Config("/name", "suite"), Fault::Code(6)],
    run: |bench| {
        let config = with(bench, json!({ "name": null }));
        bench.call("DEL", &config).reply()?.fails_with(7).map(drop)
    },
    ..ERRORS
});

submit!(Case {
    id: "spec/config/name/05",
    rule: "An empty network name fails with code 7.",
    faults: &[Fault::Config("/name", "suite"), Fault::Code(6)],
    run: |bench| {
        let config = with(bench, json!({ "name": "" }));
        bench.call("ADD", &config).reply()?.fails_with(7).map(drop)
    },
    ..ERRORS
});

submit!(Case {
    id: "spec/config/name/06",
    rule: "A network name may hold letters, digits, underscore, dot and hyphen.",
    source: "Section 1, Configuration format",
    faults: &[Fault::Config("/name", "a b"), Fault::Fail("ADD")],
    run: |bench| {
        bench.pod("pod")?;
        let config = with(bench, json!({ "name": "0Net_with.every-kind" }));
        bench.add(&config).map(drop)
    },
    ..CASE
});

submit!(Case {
    id: "spec/config/name/07",
    rule: "A network name with white space fails with code 7.",
    faults: &[Fault::Config("/name", "suite"), Fault::Code(6)],
    run: |bench| {
        let config = with(bench, json!({ "name": "a b" }));
        bench.call("ADD", &config).reply()?.fails_with(7).map(drop)
    },
    ..ERRORS
});

submit!(Case {
    id: "spec/config/version/03",
    rule: "A configuration without cniVersion counts as 0.1.0.",
    level: Level::Compat,
    source: "reference behaviour",
    versions: [SpecVersion::V0_1_0, SpecVersion::V0_1_0],
    judges: INTERFACE,
    faults: &[
        Fault::Config("/cniVersion", "1.0.0"),
        Fault::Result("/ip4", "")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let config = with(bench, json!({ "cniVersion": null }));
        let result = bench.add(&config)?;
        expect("ip4", &json!("10.88.0.2/24"), &result["ip4"]["ip"])
    },
    ..CASE
});

submit!(Case {
    id: "spec/config/version/04",
    rule: "Versions are compared as they stand: 1.0 is none that a plugin lists, so ADD fails with code 1.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::Config("/cniVersion", "1.0.0"), Fault::Code(7)],
    run: |bench| {
        bench.pod("pod")?;
        let config = with(bench, json!({ "cniVersion": "1.0" }));
        bench.call("ADD", &config).reply()?.fails_with(1).map(drop)
    },
    ..ERRORS
});

submit!(Case {
    id: "spec/config/version/05",
    rule: "DEL under a version that no plugin can support fails with code 1.",
    faults: &[Fault::Config("/cniVersion", "1.0.0"), Fault::Code(7)],
    run: |bench| {
        let config = with(bench, json!({ "cniVersion": "9.9.9" }));
        bench.call("DEL", &config).reply()?.fails_with(1).map(drop)
    },
    ..ERRORS
});

submit!(Case {
    id: "spec/config/version/06",
    rule: "The message about a version that is not supported names it.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::Error("/details", ""), Fault::ExitZero],
    run: |bench| {
        bench.pod("pod")?;
        let config = with(bench, json!({ "cniVersion": "9.9.9" }));
        complains(&bench.call("ADD", &config).reply()?, &["9.9.9"])
    },
    ..ERRORS
});

submit!(Case {
    id: "spec/config/null/01",
    rule: "A key that is null is as good as none.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[
        Fault::Where("/dns", &Fault::ExitOne),
        Fault::Where("/args", &Fault::ExitOne),
        Fault::Where("/runtimeConfig", &Fault::ExitOne),
        Fault::Where("/capabilities", &Fault::ExitOne),
        Fault::Where("/prevResult", &Fault::ExitOne)
    ],
    run: |bench| {
        bench.pod("pod")?;
        let mut config = bench.config();
        for key in ["dns", "args", "runtimeConfig", "capabilities", "prevResult"] {
            config[key] = Value::Null;
        }
        bench.add(&config).map(drop)
    },
    ..CASE
});

submit!(Case {
    id: "spec/config/duplicate/01",
    rule: "Of two keys of one name the later counts.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::Result("/cniVersion", "0.4.0")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config().to_string();
        let twice = format!("{{\"cniVersion\": \"0.4.0\", {}", &config[1..]);
        let result = bench
            .call("ADD", &json!({}))
            .stdin(&twice)
            .reply()?
            .result()?;
        expect("cniVersion", &json!("1.0.0"), &result["cniVersion"])
    },
    ..CASE
});

submit!(Case {
    id: "spec/config/type/01",
    rule: "An ipam that is no object makes ADD fail.",
    level: Level::Compat,
    source: "reference behaviour",
    judges: Judges::Only(&["bridge", "ptp", "host-local", "static"]),
    faults: &[Fault::ExitZero, Fault::Skip("ADD")],
    run: |bench| {
        bench.pod("pod")?;
        let config = with(bench, json!({ "ipam": "host-local" }));
        bench.call("ADD", &config).reply()?.error().map(drop)
    },
    ..CASE
});

submit!(Case {
    id: "spec/config/space/01",
    rule: "White space around the configuration does not matter.",
    level: Level::Must,
    source: "Section 2, Overview; RFC 8259, section 2",
    faults: &[
        Fault::Instead(
            "ADD",
            r#"text=$(cat; echo .); case $text in '{'*) printf %s "${text%.}" | "$REAL";; *) exit 1;; esac"#
        ),
        Fault::Instead(
            "ADD",
            r#"text=$(cat; echo .); case $text in *'}.') printf %s "${text%.}" | "$REAL";; *) exit 1;; esac"#
        )
    ],
    run: |bench| {
        bench.pod("pod")?;
        let text = format!("\n\t {:#}\r\n ", bench.config());
        bench
            .call("ADD", &json!({}))
            .stdin(&text)
            .reply()?
            .result()
            .map(drop)
    },
    ..CASE
});

submit!(Case {
    id: "spec/output/error/02",
    rule: "A failed ADD prints its error object on stdout, not on stderr.",
    faults: &[Fault::PlainError, Fault::Error("/code", "")],
    run: |bench| {
        bench.pod("pod")?;
        let config = with(bench, json!({ "cniVersion": "9.9.9" }));
        let error = bench.call("ADD", &config).reply()?.error()?;
        expect_that(
            error["msg"].as_str().is_some_and(|text| !text.is_empty()),
            "a message",
            error,
        )
    },
    ..ERRORS
});

submit!(Case {
    id: "spec/output/error/03",
    rule: "The details of an error are text where there are any.",
    faults: &[Fault::Error("/details", "=[1]")],
    run: |bench| {
        bench.pod("pod")?;
        let config = with(bench, json!({ "cniVersion": "9.9.9" }));
        let error = bench.call("ADD", &config).reply()?.error()?;
        expect_that(
            error["details"].is_null() || error["details"].is_string(),
            "details are text",
            error,
        )
    },
    ..ERRORS
});

submit!(Case {
    id: "spec/output/error/04",
    rule: "Errors of the plugin's own work have code 100 or more; below are the specification's.",
    judges: INTERFACE,
    faults: &[Fault::Code(42)],
    run: |bench| {
        bench.pod("pod")?;
        bench.run(
            "ip",
            &[
                "-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "name", "far0",
            ],
        )?;
        let config = bench.config();
        let error = bench.call("ADD", &config).reply()?.error()?;
        let code = error["code"].as_u64().unwrap_or_default();
        expect_that(
            code >= 100,
            "code of an interface name that is taken",
            error,
        )
    },
    ..ERRORS
});

submit!(Case {
    id: "spec/output/silent/02",
    rule: "A successful CHECK prints nothing on stdout.",
    source: "Section 2, CHECK",
    versions: CHECKED,
    faults: &[Fault::On("CHECK", &Fault::Garbage), Fault::Fail("CHECK")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        let result = bench.add(&config)?;
        bench
            .call("CHECK", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()
    },
    ..CASE
});

submit!(Case {
    id: "spec/version/answer/04",
    rule: "VERSION answers without anything on stdin.",
    level: Level::Compat,
    source: "reference behaviour",
    even_unlisted: true,
    faults: &[Fault::Instead(
        "VERSION",
        r#"text=$(cat); [ "$text" ] || exit 1; printf %s "$text" | "$REAL""#
    )],
    run: |bench| bench
        .call("VERSION", &json!({}))
        .stdin("")
        .reply()?
        .result()
        .map(drop),
    ..CASE
});

submit!(Case {
    id: "spec/version/answer/05",
    rule: "VERSION answers a caller of a version that the plugin does not know.",
    source: "Section 2, VERSION",
    even_unlisted: true,
    faults: &[Fault::ExitOne, Fault::Result("/supportedVersions", "=[]")],
    run: |bench| {
        let answer = bench
            .call("VERSION", &json!({ "cniVersion": "9.9.9" }))
            .reply()?
            .result()?;
        let some = answer["supportedVersions"]
            .as_array()
            .is_some_and(|all| !all.is_empty());
        expect_that(some, "supportedVersions", answer)
    },
    ..CASE
});

submit!(Case {
    id: "spec/version/answer/06",
    rule: "VERSION's answer has a cniVersion that is a version.",
    source: "Section 2, VERSION",
    even_unlisted: true,
    faults: &[
        Fault::Result("/cniVersion", ""),
        Fault::Result("/cniVersion", "new")
    ],
    run: |bench| {
        let answer = bench
            .call("VERSION", &json!({ "cniVersion": "1.0.0" }))
            .reply()?
            .result()?;
        let known = answer["cniVersion"]
            .as_str()
            .is_some_and(|text| text.parse::<SpecVersion>().is_ok());
        expect_that(known, "cniVersion", answer)
    },
    ..CASE
});

submit!(Case {
    id: "spec/version/answer/07",
    rule: "VERSION answers the same each time.",
    level: Level::Compat,
    source: "reference behaviour",
    even_unlisted: true,
    faults: &[Fault::Once("VERSION")],
    run: |bench| {
        let first = bench
            .call("VERSION", &json!({ "cniVersion": "1.0.0" }))
            .reply()?
            .result()?;
        let second = bench
            .call("VERSION", &json!({ "cniVersion": "1.0.0" }))
            .reply()?
            .result()?;
        expect("second answer", &first, &second)
    },
    ..CASE
});

submit!(Case {
    id: "spec/version/del/01",
    rule: "DEL works under every version that the plugin lists.",
    source: "Section 2, DEL",
    versions: EVERY,
    faults: &[Fault::Fail("DEL"), Fault::Skip("ADD")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        let result = bench.add(&config)?;
        let config = if bench.version >= SpecVersion::V0_4_0 {
            after_add(&config, &result)
        } else {
            config
        };
        bench.call("DEL", &config).reply()?.succeeds_silently()
    },
    ..CASE
});

//! The configuration on stdin, and what goes to stdout.

use crate::cases::prelude::*;

/// ADD with these bytes on stdin fails with `code`.
fn refuses(bench: &mut Bench, stdin: &str, code: u32) -> Result<(), Failure> {
    bench.pod("pod")?;
    let config = bench.config();
    bench
        .call("ADD", &config)
        .stdin(stdin)
        .reply()?
        .fails_with(code)?;
    Ok(())
}

fn rename(config: &mut serde_json::Value, from: &str, to: &str) {
    if let Some(value) = config.as_object_mut().and_then(|keys| keys.remove(from)) {
        config[to] = value;
    }
}

fn refuses_name(bench: &mut Bench, name: serde_json::Value) -> Result<(), Failure> {
    let mut config = bench.config();
    config["name"] = name;
    refuses(bench, &config.to_string(), 7)
}

submit!(Case {
    id: "spec/config/decode/01",
    rule: "An empty stdin fails with code 6.",
    level: Level::Must,
    source: "Section 5, Error",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::ExitZero, Fault::Code(4)],
    run: |bench| refuses(bench, "", 6),
    ..CASE
});

submit!(Case {
    id: "spec/config/decode/02",
    rule: "Text that is not JSON fails with code 6.",
    level: Level::Must,
    source: "Section 5, Error",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::ExitZero, Fault::Code(4)],
    run: |bench| refuses(bench, "{", 6),
    ..CASE
});

submit!(Case {
    id: "spec/config/decode/03",
    rule: "A JSON document that is no object fails with code 6.",
    level: Level::Must,
    source: "Section 5, Error",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::ExitZero, Fault::Code(4)],
    run: |bench| refuses(bench, "[]", 6),
    ..CASE
});

submit!(Case {
    id: "spec/config/decode/04",
    rule: "Anything after the JSON document fails with code 6.",
    level: Level::Compat,
    source: "reference behaviour",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::ExitZero, Fault::Code(4)],
    run: |bench| {
        let config = bench.config().to_string() + " x";
        refuses(bench, &config, 6)
    },
    ..CASE
});

submit!(Case {
    id: "spec/config/name/01",
    rule: "A missing network name fails with code 7.",
    level: Level::Must,
    source: "Section 1, Configuration format",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Config("/name", "suite"), Fault::Code(6)],
    run: |bench| refuses_name(bench, json!(null)),
    ..CASE
});

submit!(Case {
    id: "spec/config/name/02",
    rule: "A network name with a slash fails with code 7.",
    level: Level::Must,
    source: "Section 1, Configuration format",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Config("/name", "suite"), Fault::Code(6)],
    run: |bench| refuses_name(bench, json!("a/b")),
    ..CASE
});

submit!(Case {
    id: "spec/config/name/03",
    rule: "A network name that starts with a dash fails with code 7.",
    level: Level::Must,
    source: "Section 1, Configuration format",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Config("/name", "suite"), Fault::Code(6)],
    run: |bench| refuses_name(bench, json!("-a")),
    ..CASE
});

submit!(Case {
    id: "spec/config/version/01",
    rule: "A version that no plugin can support fails with code 1.",
    level: Level::Must,
    source: "Section 5, Error",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Config("/cniVersion", "1.0.0"), Fault::Code(7)],
    run: |bench| {
        let mut config = bench.config();
        config["cniVersion"] = json!("9.9.9");
        refuses(bench, &config.to_string(), 1)
    },
    ..CASE
});

submit!(Case {
    id: "spec/config/version/02",
    rule: "A cniVersion of the wrong type fails with code 6.",
    level: Level::Compat,
    source: "reference behaviour",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Config("/cniVersion", "1.0.0"), Fault::Code(7)],
    run: |bench| {
        let mut config = bench.config();
        config["cniVersion"] = json!(1);
        refuses(bench, &config.to_string(), 6)
    },
    ..CASE
});

submit!(Case {
    id: "spec/config/unknown/01",
    rule: "Keys that the plugin does not know are ignored.",
    level: Level::Compat,
    source: "reference behaviour; section 1, Other keys, leaves an error open",
    judges: Judges::Every,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[
        Fault::Where("/surprise", &Fault::ExitOne),
        Fault::Where("/capabilities/portMappings", &Fault::ExitOne)
    ],
    run: |bench| {
        bench.pod("pod")?;
        let mut config = bench.config();
        config["surprise"] = json!({ "deep": [1, 2] });
        config["capabilities"] = json!({ "portMappings": true });
        bench.add(&config).map(drop)
    },
    ..CASE
});

submit!(Case {
    id: "spec/config/case/01",
    rule: "Keys match without regard to letter case.",
    level: Level::Compat,
    source: "reference behaviour",
    judges: Judges::Every,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Result("/cniVersion", "0.4.0")],
    run: |bench| {
        bench.pod("pod")?;
        let mut config = bench.config();
        rename(&mut config, "ipam", "IPAM");
        rename(&mut config, "cniVersion", "CNIVersion");
        let version = config["CNIVersion"].clone();
        let result = bench.add(&config)?;
        expect("cniVersion of the result", &version, &result["cniVersion"])
    },
    ..CASE
});

submit!(Case {
    id: "spec/output/error/01",
    rule: "A failed call prints one error object with code and msg on stdout and exits other than 0.",
    level: Level::Must,
    source: "Section 5, Error",
    judges: Judges::All,
    versions: EVERY,
    faults: &[Fault::ExitZero, Fault::PlainError],
    run: |bench| {
        let config = bench.config();
        bench.call("NONSENSE", &config).reply()?.error().map(drop)
    },
    ..CASE
});

submit!(Case {
    id: "spec/output/result/01",
    rule: "ADD prints one result whose cniVersion is the configuration's.",
    level: Level::Must,
    source: "Section 5, Success",
    judges: Judges::Every,
    versions: [SpecVersion::V0_2_0, SpecVersion::V1_1_0],
    faults: &[
        Fault::Result("/cniVersion", "0.0.1"),
        Fault::Garbage,
        Fault::ExitOne
    ],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        let result = bench.add(&config)?;
        expect(
            "cniVersion of the result",
            &config["cniVersion"],
            &result["cniVersion"],
        )
    },
    ..CASE
});

submit!(Case {
    id: "spec/output/silent/01",
    rule: "A successful DEL prints nothing on stdout.",
    level: Level::Compat,
    source: "reference behaviour",
    judges: Judges::Every,
    versions: [SpecVersion::V0_2_0, SpecVersion::V1_1_0],
    faults: &[Fault::Garbage],
    run: |bench| {
        bench.pod("pod")?;
        let mut config = bench.config();
        let result = bench.add(&config)?;
        if bench.version >= SpecVersion::V0_4_0 {
            config["prevResult"] = result;
        }
        bench.call("DEL", &config).reply()?.succeeds_silently()
    },
    ..CASE
});

submit!(Case {
    id: "spec/output/about/01",
    rule: "Without CNI_COMMAND the plugin names itself and its versions on stderr and exits 0.",
    level: Level::Compat,
    source: "reference behaviour",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[
        Fault::Instead("", r#"exec "$REAL" 2>&1"#),
        Fault::Instead("", r#""$REAL" 2>&1 | sed "s/${REAL##*/}/plugin/g" >&2"#),
        Fault::Instead("", r#""$REAL" 2>&1 | sed 's/1\.0\.0//g' >&2"#)
    ],
    run: |bench| {
        let config = bench.config();
        let reply = bench.call("ADD", &config).unset("CNI_COMMAND").reply()?;
        reply.succeeds_silently()?;
        let named = reply.stderr.contains(bench.plugin.name) && reply.stderr.contains("1.0.0");
        expect_that(
            named,
            "stderr names the plugin and its versions",
            &reply.stderr,
        )
    },
    ..CASE
});

//! Environment variables and their validation.

use crate::cases::{prelude::*, sight::complains};

const SECTION: &str = "environment variables are invalid";

/// ADD with one variable changed must fail with code 4 and leave no link.
fn refuses(bench: &mut Bench, key: &str, value: Option<&str>) -> Result<(), Failure> {
    bench.pod("pod")?;
    let config = bench.config();
    let call = bench.call("ADD", &config);
    let call = match value {
        Some(value) => call.env(key, value),
        None => call.unset(key),
    };
    let error = call.reply()?.fails_with(4)?;
    let links = bench.look("ip", &["-j", "link"])?;
    let seen = links.as_array().map_or(0, Vec::len);
    expect_that(
        seen == 1,
        &format!("no link but lo after {SECTION} ({error})"),
        links,
    )
}

submit!(Case {
    id: "spec/env/command/01",
    rule: "An unknown CNI_COMMAND fails with code 4.",
    level: Level::Must,
    source: "Section 5, Error; section 2, Parameters",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::ExitZero, Fault::Code(7)],
    run: |bench| refuses(bench, "CNI_COMMAND", Some("FROBNICATE")),
    ..CASE
});

submit!(Case {
    id: "spec/env/command/02",
    rule: "CNI_COMMAND is matched exactly: lower case is unknown and fails with code 4.",
    level: Level::Must,
    source: "Section 2, Parameters",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::ExitZero, Fault::Code(7)],
    run: |bench| refuses(bench, "CNI_COMMAND", Some("add")),
    ..CASE
});

submit!(Case {
    id: "spec/env/containerid/01",
    rule: "ADD without CNI_CONTAINERID fails with code 4.",
    level: Level::Must,
    source: "Section 2, Parameters",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Env("CNI_CONTAINERID", "ctr1"), Fault::Code(7)],
    run: |bench| refuses(bench, "CNI_CONTAINERID", None),
    ..CASE
});

submit!(Case {
    id: "spec/env/containerid/02",
    rule: "ADD with an empty CNI_CONTAINERID fails with code 4.",
    level: Level::Must,
    source: "Section 2, Parameters",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Env("CNI_CONTAINERID", "ctr1"), Fault::Code(7)],
    run: |bench| refuses(bench, "CNI_CONTAINERID", Some("")),
    ..CASE
});

submit!(Case {
    id: "spec/env/containerid/03",
    rule: "A CNI_CONTAINERID must start with an alphanumeric character, else code 4.",
    level: Level::Must,
    source: "Section 2, Parameters",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Env("CNI_CONTAINERID", "ctr1"), Fault::Code(7)],
    run: |bench| refuses(bench, "CNI_CONTAINERID", Some("-ctr1")),
    ..CASE
});

submit!(Case {
    id: "spec/env/containerid/04",
    rule: "A CNI_CONTAINERID with a slash fails with code 4.",
    level: Level::Must,
    source: "Section 2, Parameters",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Env("CNI_CONTAINERID", "ctr1"), Fault::Code(7)],
    run: |bench| refuses(bench, "CNI_CONTAINERID", Some("../ctr1")),
    ..CASE
});

submit!(Case {
    id: "spec/env/containerid/05",
    rule: "A CNI_CONTAINERID with a trailing newline fails with code 4.",
    level: Level::Must,
    source: "Section 2, Parameters",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Env("CNI_CONTAINERID", "ctr1"), Fault::Code(7)],
    run: |bench| refuses(bench, "CNI_CONTAINERID", Some("ctr1\n")),
    ..CASE
});

submit!(Case {
    id: "spec/env/netns/01",
    rule: "ADD without CNI_NETNS fails with code 4.",
    level: Level::Must,
    source: "Section 2, Parameters",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Env("CNI_NETNS", "/run/netns/pod"), Fault::Code(7)],
    run: |bench| refuses(bench, "CNI_NETNS", None),
    ..CASE
});

submit!(Case {
    id: "spec/env/ifname/01",
    rule: "ADD without CNI_IFNAME fails with code 4.",
    level: Level::Must,
    source: "Section 2, Parameters",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Env("CNI_IFNAME", "eth0"), Fault::Code(7)],
    run: |bench| refuses(bench, "CNI_IFNAME", None),
    ..CASE
});

submit!(Case {
    id: "spec/env/ifname/02",
    rule: "A CNI_IFNAME of 16 bytes fails with code 4.",
    level: Level::Must,
    source: "Section 2, Parameters",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Env("CNI_IFNAME", "eth0"), Fault::Code(7)],
    run: |bench| refuses(bench, "CNI_IFNAME", Some("abcdefghijklmnop")),
    ..CASE
});

submit!(Case {
    id: "spec/env/ifname/03",
    rule: "A CNI_IFNAME that is '.' fails with code 4.",
    level: Level::Must,
    source: "Section 2, Parameters",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Env("CNI_IFNAME", "eth0"), Fault::Code(7)],
    run: |bench| refuses(bench, "CNI_IFNAME", Some(".")),
    ..CASE
});

submit!(Case {
    id: "spec/env/ifname/04",
    rule: "A CNI_IFNAME that is '..' fails with code 4.",
    level: Level::Must,
    source: "Section 2, Parameters",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Env("CNI_IFNAME", "eth0"), Fault::Code(7)],
    run: |bench| refuses(bench, "CNI_IFNAME", Some("..")),
    ..CASE
});

submit!(Case {
    id: "spec/env/ifname/05",
    rule: "A CNI_IFNAME with a slash fails with code 4.",
    level: Level::Must,
    source: "Section 2, Parameters",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Env("CNI_IFNAME", "eth0"), Fault::Code(7)],
    run: |bench| refuses(bench, "CNI_IFNAME", Some("eth/0")),
    ..CASE
});

submit!(Case {
    id: "spec/env/ifname/06",
    rule: "A CNI_IFNAME with a colon fails with code 4.",
    level: Level::Must,
    source: "Section 2, Parameters",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Env("CNI_IFNAME", "eth0"), Fault::Code(7)],
    run: |bench| refuses(bench, "CNI_IFNAME", Some("eth:0")),
    ..CASE
});

submit!(Case {
    id: "spec/env/ifname/07",
    rule: "A CNI_IFNAME with white space fails with code 4.",
    level: Level::Must,
    source: "Section 2, Parameters",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Env("CNI_IFNAME", "eth0"), Fault::Code(7)],
    run: |bench| refuses(bench, "CNI_IFNAME", Some("eth 0")),
    ..CASE
});

submit!(Case {
    id: "spec/env/all-missing/01",
    rule: "All missing variables are named in one message.",
    level: Level::Compat,
    source: "reference behaviour",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[Fault::Env("CNI_IFNAME", "eth0")],
    run: |bench| {
        let config = bench.config();
        let call = bench
            .call("ADD", &config)
            .unset("CNI_CONTAINERID")
            .unset("CNI_NETNS");
        let error = call.unset("CNI_IFNAME").reply()?.fails_with(4)?;
        let text = error.to_string();
        let named = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"];
        expect_that(
            named.iter().all(|name| text.contains(name)),
            "the message names all three",
            text,
        )
    },
    ..CASE
});

submit!(Case {
    id: "spec/env/names/01",
    rule: "The error about a variable that is missing holds its name.",
    level: Level::Must,
    source: "Section 5, Error (code 4)",
    faults: &[
        Fault::Error("/msg", "a variable is missing"),
        Fault::Env("CNI_IFNAME", "eth0")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        for name in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"] {
            let reply = bench.call("ADD", &config).unset(name).reply()?;
            reply.fails_with(4)?;
            complains(&reply, &[name])?;
        }
        Ok(())
    },
    ..CASE
});

submit!(Case {
    id: "spec/env/names/02",
    rule: "The error about a command that is unknown holds the variable's name.",
    level: Level::Must,
    source: "Section 5, Error (code 4)",
    faults: &[Fault::Error("/msg", "what is that?"), Fault::ExitZero],
    run: |bench| {
        let config = bench.config();
        let reply = bench.call("FROBNICATE", &config).reply()?;
        complains(&reply, &["CNI_COMMAND"])
    },
    ..CASE
});

submit!(Case {
    id: "spec/env/names/03",
    rule: "The error about a variable whose value is invalid holds its name.",
    level: Level::Must,
    source: "Section 5, Error (code 4)",
    faults: &[
        Fault::Env("CNI_CONTAINERID", "ctr1"),
        Fault::Error("/details", "")
    ],
    repairs: &[Fault::Error("/details", "CNI_CONTAINERID CNI_IFNAME")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        for (name, value) in [("CNI_CONTAINERID", "-ctr1"), ("CNI_IFNAME", "a/b")] {
            let reply = bench.call("ADD", &config).env(name, value).reply()?;
            reply.fails_with(4)?;
            complains(&reply, &[name])?;
        }
        Ok(())
    },
    ..CASE
});

submit!(Case {
    id: "spec/output/error/05",
    rule: "An error object carries the configuration's cniVersion.",
    level: Level::Should,
    source: "Section 5, Error",
    versions: EVERY,
    faults: &[
        Fault::Error("/cniVersion", ""),
        Fault::Error("/cniVersion", "0.0.1")
    ],
    repairs: &[Fault::Error("/cniVersion", "1.0.0")],
    run: |bench| {
        let mut config = bench.config();
        config["name"] = json!("a/b");
        let error = bench.call("ADD", &config).reply()?.error()?;
        expect(
            "cniVersion of the error",
            &config["cniVersion"],
            &error["cniVersion"],
        )
    },
    ..CASE
});

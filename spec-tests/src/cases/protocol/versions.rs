//! VERSION, and which command needs which version.

use crate::cases::prelude::*;

fn version(bench: &mut Bench) -> Result<Reply, Failure> {
    let config = json!({ "cniVersion": bench.version.as_str() });
    Ok(bench.call("VERSION", &config).reply()?)
}

/// `command` under the case's version is refused as not allowed there, code 1.
fn too_old_for(bench: &mut Bench, command: &str) -> Result<(), Failure> {
    bench.pod("pod")?;
    let config = bench.config();
    bench
        .call(command, &config)
        .reply()?
        .fails_with(1)
        .map(drop)
}

submit!(Case {
    id: "spec/version/answer/01",
    rule: "VERSION answers with the versions that the plugin supports, each a known one, none twice.",
    level: Level::Must,
    source: "Section 2, VERSION",
    judges: Judges::All,
    versions: [SpecVersion::V0_2_0, SpecVersion::V1_1_0],
    even_unlisted: true,
    faults: &[Fault::Result("/supportedVersions", "")],
    run: |bench| {
        let answer = version(bench)?.result()?;
        let listed: Vec<SpecVersion> = answer["supportedVersions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|text| text.as_str()?.parse().ok())
            .collect();
        let count = answer["supportedVersions"].as_array().map_or(0, Vec::len);
        let mut distinct = listed.clone();
        distinct.dedup();
        expect_that(
            count > 0 && distinct.len() == count,
            "supportedVersions",
            &answer,
        )
    },
    ..CASE
});

submit!(Case {
    id: "spec/version/answer/02",
    rule: "VERSION needs no container, namespace or interface.",
    level: Level::Must,
    source: "Section 2, VERSION",
    judges: Judges::All,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    even_unlisted: true,
    faults: &[
        Fault::Instead(
            "VERSION",
            r#"[ "$CNI_CONTAINERID" ] || exit 1; exec "$REAL""#
        ),
        Fault::Instead("VERSION", r#"[ "$CNI_NETNS" ] || exit 1; exec "$REAL""#),
        Fault::Instead("VERSION", r#"[ "$CNI_IFNAME" ] || exit 1; exec "$REAL""#)
    ],
    run: |bench| {
        let call = bench.call("VERSION", &json!({ "cniVersion": "1.0.0" }));
        let call = call
            .unset("CNI_CONTAINERID")
            .unset("CNI_NETNS")
            .unset("CNI_IFNAME");
        call.reply()?.result().map(drop)
    },
    ..CASE
});

submit!(Case {
    id: "spec/version/answer/03",
    rule: "Every version that VERSION lists is accepted by ADD.",
    level: Level::Must,
    source: "Section 2, VERSION",
    judges: Judges::Every,
    versions: [SpecVersion::V0_2_0, SpecVersion::V1_1_0],
    even_unlisted: true,
    faults: &[Fault::Result("/cniVersion", "0.0.1")],
    run: |bench| {
        let answer = version(bench)?.result()?;
        let this = Value::from(bench.version.as_str());
        if !answer["supportedVersions"]
            .as_array()
            .is_some_and(|all| all.contains(&this))
        {
            let config = bench.config();
            return bench.call("ADD", &config).reply()?.fails_with(1).map(drop);
        }
        bench.pod("pod")?;
        let config = bench.config();
        let result = bench.add(&config)?;
        expect("cniVersion of the result", &this, &result["cniVersion"])
    },
    ..CASE
});

submit!(Case {
    id: "spec/version/check/01",
    rule: "CHECK under a version before 0.4.0 fails with code 1.",
    level: Level::Compat,
    source: "reference behaviour",
    judges: Judges::All,
    versions: [SpecVersion::V0_1_0, SpecVersion::V0_3_1],
    even_unlisted: true,
    faults: &[Fault::Skip("CHECK"), Fault::Code(4)],
    run: |bench| too_old_for(bench, "CHECK"),
    ..CASE
});

submit!(Case {
    id: "spec/version/gc/01",
    rule: "GC under a version before 1.1.0 fails with code 1.",
    level: Level::Compat,
    source: "reference behaviour",
    judges: Judges::All,
    versions: [SpecVersion::V0_1_0, SpecVersion::V1_0_0],
    even_unlisted: true,
    faults: &[Fault::Skip("GC"), Fault::Code(7)],
    run: |bench| gc_or_status_before_1_1(bench, "GC"),
    ..CASE
});

submit!(Case {
    id: "spec/version/status/01",
    rule: "STATUS under a version before 1.1.0 fails with code 1.",
    level: Level::Compat,
    source: "reference behaviour",
    judges: Judges::All,
    versions: [SpecVersion::V0_1_0, SpecVersion::V1_0_0],
    even_unlisted: true,
    faults: &[Fault::Skip("STATUS"), Fault::Code(7)],
    run: |bench| gc_or_status_before_1_1(bench, "STATUS"),
    ..CASE
});

/// A plugin that knows no 1.1.0 rightly calls the command unknown: code 4.
fn gc_or_status_before_1_1(bench: &mut Bench, command: &str) -> Result<(), Failure> {
    let answer = version(bench)?.result()?;
    let newest = Value::from("1.1.0");
    if answer["supportedVersions"]
        .as_array()
        .is_some_and(|all| all.contains(&newest))
    {
        return too_old_for(bench, command);
    }
    let config = bench.config();
    bench
        .call(command, &config)
        .reply()?
        .fails_with(4)
        .map(drop)
}

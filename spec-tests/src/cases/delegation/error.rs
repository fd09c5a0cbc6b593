//! Delegation: what becomes of an IPAM plugin's failure.

use crate::actor::Answer;
use crate::cases::{delegation::*, prelude::*};

submit!(Case {
    id: "spec/delegation/error/01",
    rule: "An error object of the IPAM plugin surfaces from ADD with its code, message and details.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[
        Fault::Code(999),
        Fault::Error("/msg", "another"),
        Fault::Error("/details", "")
    ],
    run: |bench| {
        let answer = json!({ "code": 123, "msg": "the suite refuses", "details": "as told" });
        let error = add_fails(bench, Answer::text(&answer.to_string(), 1))?;
        for key in ["code", "msg", "details"] {
            expect(key, &answer[key], &error[key])?;
        }
        Ok(())
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/error/02",
    rule: "An IPAM plugin that asks to try again later (code 11) is passed on as that.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::Code(999), Fault::ExitZero],
    run: |bench| {
        let error = add_fails(bench, Answer::error(11, "later"))?;
        expect("code", &json!(11), &error["code"])
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/error/03",
    rule: "Text on stdout of a failing IPAM plugin becomes part of a proper error object.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::PlainError, Fault::Error("/msg", "it failed")],
    run: |bench| {
        let error = add_fails(bench, Answer::text("no JSON at all", 1))?;
        expect_that(
            error["msg"].to_string().contains("no JSON at all"),
            "the message quotes it",
            error,
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/error/04",
    rule: "A failing IPAM plugin that only writes to stderr is quoted in the error.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::PlainError, Fault::Error("/msg", "it failed")],
    run: |bench| {
        let error = add_fails(bench, Answer::text("", 3).complaining("out of paper"))?;
        expect_that(
            error.to_string().contains("out of paper"),
            "the error quotes it",
            error,
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/error/05",
    rule: "A failing IPAM plugin that says nothing makes ADD fail with an error object.",
    faults: &[Fault::PlainError, Fault::ExitZero],
    run: |bench| add_fails(bench, Answer::text("", 1)).map(drop),
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/error/06",
    rule: "An IPAM plugin that exits 0 without a result makes ADD fail.",
    faults: &[Fault::ExitZero, Fault::Skip("ADD")],
    run: |bench| add_fails(bench, Answer::text("", 0)).map(drop),
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/error/07",
    rule: "An IPAM plugin that exits 0 with something other than a result makes ADD fail.",
    faults: &[Fault::ExitZero, Fault::Skip("ADD")],
    run: |bench| add_fails(bench, Answer::text("hello", 0)).map(drop),
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/error/08",
    rule: "A result followed by more text is no result.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::ExitZero, Fault::Skip("ADD")],
    run: |bench| {
        let usual = usual(bench).stdout + "{}";
        add_fails(bench, Answer::text(&usual, 0)).map(drop)
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/error/09",
    rule: "An IPAM plugin that a signal ends makes ADD fail with an error object.",
    faults: &[Fault::PlainError, Fault::ExitZero],
    run: |bench| {
        let usual = usual(bench).after("kill -9 $PPID");
        add_fails(bench, usual).map(drop)
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/error/10",
    rule: "An IPAM result without any address makes ADD fail.",
    level: Level::Compat,
    source: "reference behaviour",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    faults: &[Fault::ExitZero, Fault::Skip("ADD")],
    run: |bench| {
        let nothing = json!({ "cniVersion": bench.version.as_str(), "ips": [] });
        add_fails(bench, Answer::with(&nothing)).map(drop)
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/error/11",
    rule: "An IPAM result of a version that nobody knows makes ADD fail.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::ExitZero, Fault::Skip("ADD")],
    run: |bench| {
        let mut answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", json!([]));
        answer["cniVersion"] = json!("9.9.9");
        add_fails(bench, Answer::with(&answer)).map(drop)
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/error/12",
    rule: "An address of IPAM's that is no address makes ADD fail.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::ExitZero, Fault::Skip("ADD")],
    run: |bench| {
        let answer = ipam_result(bench.version, "10.77.0.555/24", "10.77.0.1", json!([]));
        add_fails(bench, Answer::with(&answer)).map(drop)
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/error/13",
    rule: "An error of the IPAM plugin surfaces from DEL with its code and message.",
    level: Level::Compat,
    source: "reference behaviour",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::ExitZero, Fault::Code(999)],
    run: |bench| surfaces(bench, "DEL", 123),
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/error/14",
    rule: "An error of the IPAM plugin surfaces from CHECK with its code and message.",
    level: Level::Compat,
    source: "Section 4, Delegated plugin execution procedure (a should); reference behaviour",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::ExitZero, Fault::Code(999), Fault::Skip("CHECK")],
    run: |bench| surfaces(bench, "CHECK", 124),
    ..DELEGATING
});

//! What chained plugins do with a prevResult that is none.

use crate::cases::{chained::*, prelude::*, sight::*};

const CHAINED: Case = Case {
    judges: Judges::Only(&["tuning", "sbr"]),
    ..COMPAT
};

/// ADD behind [`wire`] with this in the place of prevResult must fail and change no route.
fn refuses_prev(bench: &mut Bench, prev: Value) -> Result<(), Failure> {
    let config = behind(bench, json!({ "prevResult": prev }))?;
    let before = routes(bench, "pod", "main")?;
    bench.call("ADD", &config).reply()?.error()?;
    expect("main table", &before, &routes(bench, "pod", "main")?)
}

submit!(Case {
    id: "chained/prev/01",
    rule: "A prevResult that is no object is refused.",
    faults: &[
        Fault::ExitZero,
        Fault::After("ADD", "ip -n pod route del default")
    ],
    run: |bench| refuses_prev(bench, json!("none")),
    ..CHAINED
});

submit!(Case {
    id: "chained/prev/02",
    rule: "A prevResult with an address that is none is refused.",
    faults: &[
        Fault::ExitZero,
        Fault::After("ADD", "ip -n pod route del default")
    ],
    run: |bench| {
        let mut prev = wired(bench.version);
        prev["ips"][0]["address"] = json!("10.88.0.999/24");
        refuses_prev(bench, prev)
    },
    ..CHAINED
});

submit!(Case {
    id: "chained/prev/03",
    rule: "A prevResult in the form of 0.2.0 behind a newer cniVersion is refused.",
    faults: &[
        Fault::ExitZero,
        Fault::After("ADD", "ip -n pod route del default")
    ],
    run: |bench| refuses_prev(bench, wired(SpecVersion::V0_2_0)),
    ..CHAINED
});

submit!(Case {
    id: "chained/cni-args/01",
    rule: "CNI_ARGS that are no pairs of key and value are refused.",
    judges: Judges::Only(&["tuning"]),
    faults: &[Fault::ExitZero, Fault::Env("CNI_ARGS", "")],
    run: |bench| {
        let config = behind(bench, json!({}))?;
        bench
            .call("ADD", &config)
            .env("CNI_ARGS", "MAC")
            .reply()?
            .error()
            .map(drop)
    },
    ..CHAINED
});

//! `prevResult`: its families, what is refused, and DEL in spite of it.

use crate::cases::{prelude::*, sight::*};

const PREVIOUS: Case = Case {
    judges: INTERFACE,
    versions: CHECKED,
    source: "Section 2, CHECK",
    ..CASE
};

/// Adds pod `pod`; the configuration with the result changed by `change`.
fn added(bench: &mut Bench, change: impl FnOnce(&mut Value)) -> Result<Value, Failure> {
    let (config, mut result) = attach(bench, json!({}))?;
    change(&mut result);
    Ok(after_add(&config, &result))
}

fn check_fails(bench: &mut Bench, change: impl FnOnce(&mut Value)) -> Result<(), Failure> {
    let config = added(bench, change)?;
    bench.call("CHECK", &config).reply()?.error().map(drop)
}

fn check_passes(bench: &mut Bench, change: impl FnOnce(&mut Value)) -> Result<(), Failure> {
    let config = added(bench, change)?;
    bench.call("CHECK", &config).reply()?.succeeds_silently()
}

/// DEL removes everything, whatever became of the result.
fn del_cleans(bench: &mut Bench, change: impl FnOnce(&mut Value)) -> Result<(), Failure> {
    let config = added(bench, change)?;
    bench.call("DEL", &config).reply()?.succeeds_silently()?;
    nothing_left(bench)
}

submit!(Case {
    id: "spec/prev-result/check/01",
    rule: "CHECK without prevResult fails.",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench.call("CHECK", &config).reply()?.error().map(drop)
    },
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/check/02",
    rule: "CHECK with a prevResult that is null fails as one without.",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| check_fails(bench, |result| *result = Value::Null),
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/check/03",
    rule: "CHECK with a prevResult that is no object fails.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| check_fails(bench, |result| *result = json!("eth0")),
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/check/04",
    rule: "CHECK with a prevResult whose ips are no list fails.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| check_fails(bench, |result| result["ips"] =
        json!({ "address": "10.88.0.2/24" })),
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/check/05",
    rule: "CHECK with an address in prevResult that is no address fails.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| check_fails(bench, |result| result["ips"][0]["address"] =
        json!("10.88.0.2")),
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/check/06",
    rule: "CHECK fails when prevResult does not list the pod's interface.",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| check_fails(bench, |result| {
        if let Some(all) = result["interfaces"].as_array_mut() {
            all.retain(|interface| interface["name"] != "eth0");
        }
    }),
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/check/07",
    rule: "CHECK fails when the interface has another MAC than prevResult says.",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| {
        let config = added(bench, |_| ())?;
        check_finds(
            bench,
            &config,
            &[
                "ip",
                "-n",
                "pod",
                "link",
                "set",
                "eth0",
                "address",
                "02:00:00:00:00:77",
            ],
        )
    },
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/check/08",
    rule: "CHECK fails when prevResult names an address that the interface does not have.",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| check_fails(bench, |result| result["ips"][0]["address"] =
        json!("10.88.0.200/24")),
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/check/09",
    rule: "CHECK fails when prevResult names a route that the pod does not have.",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| check_fails(bench, |result| {
        result["routes"] = json!([{ "dst": "192.0.2.0/24", "gw": "10.88.0.1" }]);
    }),
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/family/01",
    rule: "A prevResult without cniVersion counts as one of the configuration's version.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::On(
        "CHECK",
        &Fault::Config("/prevResult/cniVersion", "0.2.0")
    )],
    run: |bench| check_passes(bench, |result| {
        result.as_object_mut().map(|keys| keys.remove("cniVersion"));
    }),
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/family/02",
    rule: "A prevResult of a version with the same result shape is accepted.",
    level: Level::Compat,
    source: "reference behaviour",
    versions: [SpecVersion::V0_4_0, SpecVersion::V0_4_0],
    faults: &[Fault::Instead(
        "CHECK",
        r#"text=$(cat); case $text in *'"0.3.1"'*) exit 1;; esac; printf %s "$text" | "$REAL""#
    )],
    run: |bench| check_passes(bench, |result| result["cniVersion"] = json!("0.3.1")),
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/family/04",
    rule: "Under 1.1.0 a prevResult of 1.0.0 is accepted: both have the same result shape.",
    level: Level::Compat,
    source: "reference behaviour",
    versions: NEWEST,
    faults: &[Fault::Instead(
        "CHECK",
        r#"text=$(cat); case $text in *'"1.0.0"'*) exit 1;; esac; printf %s "$text" | "$REAL""#
    )],
    run: |bench| check_passes(bench, |result| result["cniVersion"] = json!("1.0.0")),
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/family/03",
    rule: "CHECK with a prevResult of a version with another result shape fails.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[
        Fault::Skip("CHECK"),
        Fault::On("CHECK", &Fault::Config("/prevResult/cniVersion", ""))
    ],
    run: |bench| check_fails(bench, |result| result["cniVersion"] = json!("0.2.0")),
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/unknown/01",
    rule: "Unknown keys in prevResult are ignored.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[
        Fault::Where("/prevResult/surprise", &Fault::On("CHECK", &Fault::ExitOne)),
        Fault::Where(
            "/prevResult/interfaces/0/surprise",
            &Fault::On("CHECK", &Fault::ExitOne)
        )
    ],
    run: |bench| check_passes(bench, |result| {
        result["surprise"] = json!({ "deep": [1] });
        result["interfaces"][0]["surprise"] = json!(1);
    }),
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/chained/01",
    rule: "CHECK allows for interfaces that a later plugin of the chain added to the result.",
    faults: &[Fault::Instead(
        "CHECK",
        r#"text=$(cat); case $text in *ifb-suite*) exit 1;; esac; printf %s "$text" | "$REAL""#
    )],
    run: |bench| check_passes(bench, |result| {
        if let Some(all) = result["interfaces"].as_array_mut() {
            all.push(json!({ "name": "ifb-suite", "mac": "02:00:00:00:00:55" }));
        }
    }),
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/del/01",
    rule: "DEL removes everything when prevResult is null.",
    source: "Section 2, DEL",
    faults: &[Fault::Skip("DEL")],
    run: |bench| del_cleans(bench, |result| *result = Value::Null),
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/del/02",
    rule: "DEL removes everything when prevResult has another version's result shape.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::Skip("DEL"), Fault::Fail("DEL")],
    run: |bench| del_cleans(bench, |result| result["cniVersion"] = json!("0.2.0")),
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/del/03",
    rule: "DEL removes everything when prevResult lists neither interfaces nor addresses.",
    source: "Section 2, DEL",
    faults: &[Fault::Skip("DEL"), Fault::Fail("DEL")],
    run: |bench| del_cleans(bench, |result| {
        if let Some(keys) = result.as_object_mut() {
            keys.retain(|key, _| key == "cniVersion");
        }
    }),
    ..PREVIOUS
});

submit!(Case {
    id: "spec/prev-result/del/04",
    rule: "DEL releases the attachment's own address, not the one that a changed prevResult names.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "rm -f /var/lib/cni/networks/suite/10.88.*")
    ],
    run: |bench| {
        let config = added(bench, |result| {
            result["ips"][0]["address"] = json!("10.88.0.3/24")
        })?;
        attach_other(bench, "other", &bench.config())?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&["10.88.0.3"]), &reserved())
    },
    ..PREVIOUS
});

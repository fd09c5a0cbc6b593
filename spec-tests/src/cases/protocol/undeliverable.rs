//! Every end of a plugin is one document, an exit status other than 0 and an unchanged machine: also
//! where the result cannot be delivered, a capability is missing, or the delegate is none.

use crate::cases::{prelude::*, sight::*};

const ADD: Case = Case {
    judges: INTERFACE,
    level: Level::Should,
    source: "Section 2, ADD",
    ..CASE
};

/// ADD, run through this program, fails and leaves nothing.
fn leaves_nothing(bench: &mut Bench, through: &'static [&'static str]) -> Result<bool, Failure> {
    bench.pod("pod")?;
    let config = with(bench, json!({ "ipam": dual() }));
    let reply = bench.call("ADD", &config).through(through).reply()?;
    expect_that(
        reply.status.is_some_and(|status| status != 0),
        "the exit status is a failure's",
        format!("{:?}", reply.status),
    )?;
    nothing_left(bench)?;
    Ok(!reply.stdout.is_empty() && reply.error().is_ok())
}

submit!(Case {
    id: "spec/output/undeliverable/01",
    rule: "An ADD whose result finds standard output full fails and leaves nothing.",
    faults: &[
        Fault::ExitZero,
        Fault::Instead("ADD", "$REAL > /dev/null; exit 1")
    ],
    run: |bench| leaves_nothing(bench, &["sh", "-c", "exec \"$0\" > /dev/full"]).map(drop),
    ..ADD
});

submit!(Case {
    id: "spec/output/undeliverable/02",
    rule: "An ADD that finds standard output closed fails and leaves nothing.",
    faults: &[
        Fault::ExitZero,
        Fault::Instead("ADD", "$REAL > /dev/null; exit 1")
    ],
    run: |bench| leaves_nothing(bench, &["sh", "-c", "exec \"$0\" >&-"]).map(drop),
    ..ADD
});

submit!(Case {
    id: "spec/output/undeliverable/03",
    rule: "An ADD that nobody reads from any more fails and leaves nothing.",
    faults: &[
        Fault::ExitZero,
        Fault::Instead("ADD", "$REAL > /dev/null; exit 1")
    ],
    run: |bench| leaves_nothing(bench, &["sh", "-c", UNREAD]).map(drop),
    ..ADD
});

/// Runs the plugin with a pipe as standard output whose reading end is closed.
const UNREAD: &str = r#"mkfifo /run/unread; exec 4<>/run/unread; exec 3>/run/unread; exec 4<&-
    exec "$0" >&3 3>&-"#;

submit!(Case {
    id: "spec/capabilities/01",
    rule: "An ADD without CAP_SYS_ADMIN fails with an error object and leaves nothing.",
    needs: &["setpriv"],
    faults: &[Fault::PlainError, Fault::ExitZero],
    run: |bench| {
        let told = leaves_nothing(bench, &["setpriv", "--bounding-set=-sys_admin"])?;
        expect_that(told, "an error object is printed", told)
    },
    ..ADD
});

submit!(Case {
    id: "spec/capabilities/02",
    rule: "An ADD without CAP_NET_ADMIN fails with an error object and leaves nothing.",
    needs: &["setpriv"],
    faults: &[Fault::PlainError, Fault::ExitZero],
    run: |bench| {
        let told = leaves_nothing(bench, &["setpriv", "--bounding-set=-net_admin"])?;
        expect_that(told, "an error object is printed", told)
    },
    ..ADD
});

submit!(Case {
    id: "spec/delegation/kind/01",
    rule: "An interface plugin as IPAM plugin is refused by ADD with an error object, and nothing is left.",
    source: "Section 4",
    faults: &[Fault::ExitZero, Fault::PlainError],
    run: |bench| {
        bench.pod("pod")?;
        refuses_add(bench, json!({ "ipam": { "type": "loopback" } }), &[])?;
        nothing_left(bench)
    },
    ..ADD
});

/// An interface plugin as IPAM plugin, asked for a pod that is there.
fn no_ipam(bench: &mut Bench) -> Result<Value, Failure> {
    let (config, result) = attach(bench, json!({}))?;
    let mut config = after_add(&config, &result);
    config["ipam"] = json!({ "type": "loopback" });
    Ok(config)
}

submit!(Case {
    id: "spec/delegation/kind/02",
    rule: "An interface plugin as IPAM plugin is refused by CHECK with an error object.",
    source: "Section 4",
    versions: CHECKED,
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::PlainError)],
    run: |bench| {
        let config = no_ipam(bench)?;
        bench.call("CHECK", &config).reply()?.error().map(drop)
    },
    ..ADD
});

submit!(Case {
    id: "spec/delegation/kind/03",
    rule: "DEL with an interface plugin as IPAM plugin ends with an error object, or with success and no word.",
    source: "Section 4",
    faults: &[
        Fault::On("DEL", &Fault::Instead("DEL", "echo no; exit 1")),
        Fault::Instead("DEL", "kill -9 $PPID")
    ],
    run: |bench| {
        let config = no_ipam(bench)?;
        let reply = bench.call("DEL", &config).reply()?;
        match reply.status {
            Some(0) => reply.succeeds_silently(),
            _ => reply.error().map(drop),
        }
    },
    ..ADD
});

submit!(Case {
    id: "spec/delegation/kind/04",
    rule: "An interface plugin as IPAM plugin is refused by STATUS with an error object.",
    source: "Section 4",
    versions: NEWEST,
    faults: &[
        Fault::Skip("STATUS"),
        Fault::On("STATUS", &Fault::PlainError)
    ],
    run: |bench| {
        let config = with(bench, json!({ "ipam": { "type": "loopback" } }));
        status(bench, &config)?.error().map(drop)
    },
    ..ADD
});

submit!(Case {
    id: "spec/delegation/kind/05",
    rule: "An interface plugin as IPAM plugin is refused by GC with an error object.",
    source: "Section 4",
    versions: NEWEST,
    faults: &[Fault::Skip("GC"), Fault::On("GC", &Fault::PlainError)],
    run: |bench| {
        let mut config = with(bench, json!({ "ipam": { "type": "loopback" } }));
        config[VALID] = json!([]);
        gc(bench, &config)?.error().map(drop)
    },
    ..ADD
});

submit!(Case {
    id: "spec/gc/null/01",
    rule: "A list of valid attachments that is null is an empty one, as runtimes written in Go send it: everything goes.",
    level: Level::Compat,
    source: "Conventions, and reference behaviour",
    versions: NEWEST,
    faults: &[
        Fault::Skip("GC"),
        Fault::On("GC", &Fault::Config("/cni.dev~1valid-attachments", ""))
    ],
    run: |bench| {
        let (mut config, _) = attach(bench, json!({}))?;
        config[VALID] = Value::Null;
        gc(bench, &config)?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())?;
        expect("links of the pod", &list(&["lo"]), &links(bench, "pod")?)
    },
    ..ADD
});

submit!(Case {
    id: "spec/gc/disabled/01",
    rule: "With disableGC in the configuration GC removes nothing: another runtime uses the network too.",
    level: Level::Compat,
    source: "Conventions, and reference behaviour",
    versions: NEWEST,
    faults: &[
        Fault::On("GC", &Fault::Config("/disableGC", "")),
        Fault::After("GC", "rm -f /var/lib/cni/networks/suite/10.88.0.2")
    ],
    run: |bench| {
        let (mut config, _) = attach(bench, json!({ "disableGC": true }))?;
        config[VALID] = json!([]);
        gc(bench, &config)?.succeeds_silently()?;
        expect("reservations", &list(&["10.88.0.2"]), &reserved())?;
        expect(
            "links of the pod",
            &list(&["lo", "eth0"]),
            &links(bench, "pod")?,
        )
    },
    ..ADD
});

//! Delegation to an IPAM plugin: the suite's own one records how it was called and answers as told.

mod commands;
mod error;
mod result;

use crate::actor::{Actor, Answer};
use crate::cases::{prelude::*, sight::*};

pub(in crate::cases) const SECTION: &str = "Section 4, Delegation";
const IPAM: &str = "suite-ipam";
pub(in crate::cases) const ADDRESS: &str = "10.77.0.5/24";

/// A case of every plugin that takes its addresses from an IPAM plugin.
pub(in crate::cases) const DELEGATING: Case = Case {
    judges: INTERFACE,
    source: SECTION,
    ..CASE
};

/// An IPAM plugin's result in the shape of `version`, with one address, its gateway and routes.
pub(in crate::cases) fn ipam_result(
    version: SpecVersion,
    address: &str,
    gateway: &str,
    routes: Value,
) -> Value {
    let six = address.contains(':');
    let mut result = if version < SpecVersion::V0_3_0 {
        let block = if six { "ip6" } else { "ip4" };
        json!({ block: { "ip": address, "gateway": gateway, "routes": routes } })
    } else {
        json!({ "ips": [{ "address": address, "gateway": gateway }], "routes": routes })
    };
    if (SpecVersion::V0_3_0..SpecVersion::V1_0_0).contains(&version) {
        result["ips"][0]["version"] = json!(if six { "6" } else { "4" });
    }
    result["cniVersion"] = version.as_str().into();
    result
}

/// What the suite's IPAM plugin gives unless told otherwise.
pub(in crate::cases) fn usual(bench: &Bench) -> Answer {
    Answer::with(&ipam_result(bench.version, ADDRESS, "10.77.0.1", json!([])))
}

/// The minimal configuration with the suite's own IPAM plugin, which answers like this.
pub(in crate::cases) fn own_ipam(
    bench: &mut Bench,
    answers: &[(&str, Answer)],
) -> Result<(Value, Actor), Failure> {
    let actor = bench.actor(IPAM, answers)?;
    Ok((
        with(
            bench,
            json!({ "ipam": { "type": IPAM, "note": [1, { "deep": null }] } }),
        ),
        actor,
    ))
}

/// ADD in pod `pod` with the usual answer; the configuration as a runtime sends it afterwards.
pub(in crate::cases) fn added(bench: &mut Bench) -> Result<(Value, Actor), Failure> {
    bench.pod("pod")?;
    let usual = usual(bench);
    let (config, actor) = own_ipam(bench, &[("ADD", usual)])?;
    let result = bench.add(&config)?;
    Ok((after_add(&config, &result), actor))
}

/// The actor's answers from now on.
pub(in crate::cases) fn answer(
    bench: &mut Bench,
    answers: &[(&str, Answer)],
) -> Result<Actor, Failure> {
    Ok(bench.actor(IPAM, answers)?)
}

/// The single call of that command.
pub(in crate::cases) fn only(actor: &Actor, command: &str) -> Result<crate::actor::Heard, Failure> {
    let mut heard = actor.heard(command)?;
    let (calls, last) = (heard.len(), heard.pop());
    match last {
        Some(last) if calls == 1 => Ok(last),
        _ => Err(Failure::new(
            format!("{command} calls of the IPAM plugin"),
            1,
            calls,
        )),
    }
}

/// ADD where IPAM answers like this must fail; returns the error.
pub(in crate::cases) fn add_fails(bench: &mut Bench, answer: Answer) -> Result<Value, Failure> {
    bench.pod("pod")?;
    let (config, _) = own_ipam(bench, &[("ADD", answer)])?;
    bench.call("ADD", &config).reply()?.error()
}

/// `command` on an added pod, with IPAM failing it, fails with IPAM's code and message.
pub(in crate::cases) fn surfaces(
    bench: &mut Bench,
    command: &str,
    code: u32,
) -> Result<(), Failure> {
    let (config, _) = added(bench)?;
    answer(
        bench,
        &[(command, Answer::error(code, "the suite refuses"))],
    )?;
    let reply = bench.call(command, &config).reply()?;
    expect(
        "msg",
        &json!("the suite refuses"),
        &reply.fails_with(code)?["msg"],
    )
}

submit!(Case {
    id: "spec/delegation/environment/01",
    rule: "On ADD the IPAM plugin is executed once, with the environment of the plugin itself.",
    versions: EVERY,
    faults: &[
        Fault::Env("CNI_ARGS", "IgnoreUnknown=1"),
        Fault::Twice("ADD")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let usual = usual(bench);
        let (config, actor) = own_ipam(bench, &[("ADD", usual)])?;
        let args = "IgnoreUnknown=1;SUITE=yes";
        bench
            .call("ADD", &config)
            .env("CNI_ARGS", args)
            .reply()?
            .succeeds()?;
        let heard = only(&actor, "ADD")?;
        let path = bench.search_path();
        for (key, value) in [
            ("CNI_CONTAINERID", "ctr1"),
            ("CNI_NETNS", "/run/netns/pod"),
            ("CNI_IFNAME", "eth0"),
            ("CNI_ARGS", args),
            ("CNI_PATH", &path),
        ] {
            expect(key, &value, &heard.variable(key))?;
        }
        Ok(())
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/environment/02",
    rule: "Variables that are not of the protocol reach the IPAM plugin as well.",
    level: Level::Must,
    source: "Section 4, Delegated plugin protocol",
    faults: &[Fault::Env("TRACEPARENT", "")],
    run: |bench| {
        bench.pod("pod")?;
        let usual = usual(bench);
        let (config, actor) = own_ipam(bench, &[("ADD", usual)])?;
        bench
            .call("ADD", &config)
            .env("TRACEPARENT", "00-1-2-03")
            .reply()?
            .succeeds()?;
        expect(
            "TRACEPARENT",
            &"00-1-2-03",
            &only(&actor, "ADD")?.variable("TRACEPARENT"),
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/stdin/01",
    rule: "The IPAM plugin receives the complete configuration, also the keys nobody knows.",
    versions: EVERY,
    faults: &[
        Fault::Config("/surprise", ""),
        Fault::Config("/ipam/note", "")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let usual = usual(bench);
        let (mut config, actor) = own_ipam(bench, &[("ADD", usual)])?;
        config["surprise"] = json!({ "deep": [1, "2", null, 1.5] });
        bench.add(&config)?;
        expect(
            "stdin of the IPAM plugin",
            &config,
            &only(&actor, "ADD")?.config(),
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/stdin/02",
    rule: "On DEL the IPAM plugin receives the complete configuration with prevResult.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[
        Fault::On("DEL", &Fault::Config("/prevResult", "")),
        Fault::Skip("DEL")
    ],
    run: |bench| {
        let (config, actor) = added(bench)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect(
            "stdin of the IPAM plugin",
            &config,
            &only(&actor, "DEL")?.config(),
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/stdin/03",
    rule: "On CHECK the IPAM plugin receives the complete configuration with prevResult.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[
        Fault::On("CHECK", &Fault::Config("/ipam/note", "")),
        Fault::Skip("CHECK")
    ],
    run: |bench| {
        let (config, actor) = added(bench)?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()?;
        expect(
            "stdin of the IPAM plugin",
            &config,
            &only(&actor, "CHECK")?.config(),
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/order/01",
    rule: "ADD, CHECK and DEL each reach the IPAM plugin once, under their own names.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK"), Fault::Twice("DEL")],
    run: |bench| {
        let (config, actor) = added(bench)?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect(
            "commands of the IPAM plugin",
            &list(&["ADD", "CHECK", "DEL"]),
            &actor.commands()?,
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/path/01",
    rule: "The IPAM plugin is the one in the first directory of CNI_PATH that has it.",
    faults: &[Fault::Env("CNI_PATH", "/run/second:/run/suite")],
    run: |bench| {
        bench.pod("pod")?;
        let (usual, second) = (
            usual(bench),
            ipam_result(bench.version, "10.77.9.9/24", "10.77.9.1", json!([])),
        );
        let (config, first) = own_ipam(bench, &[("ADD", usual)])?;
        let other = bench.actor_in("/run/second", IPAM, &[("ADD", Answer::with(&second))])?;
        let path = format!(
            "/run/none:/run/suite:/run/second:{}",
            bench.plugin_dir.display()
        );
        bench
            .call("ADD", &config)
            .env("CNI_PATH", &path)
            .reply()?
            .succeeds()?;
        expect(
            "calls of first and second",
            &(1, 0),
            &(first.calls()?.len(), other.calls()?.len()),
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/path/02",
    rule: "An IPAM plugin that stands in no directory of CNI_PATH fails ADD with its name in the message.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::Error("/msg", "it failed"), Fault::ExitZero],
    run: |bench| {
        bench.pod("pod")?;
        let config = with(bench, json!({ "ipam": { "type": "no-such-ipam" } }));
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["no-such-ipam"])
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/path/03",
    rule: "An IPAM type with a slash is refused; it is a name, no path.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::Config("/ipam/type", "suite-ipam"), Fault::ExitZero],
    run: |bench| {
        bench.pod("pod")?;
        let usual = usual(bench);
        let (mut config, actor) = own_ipam(bench, &[("ADD", usual)])?;
        config["ipam"]["type"] = json!("../suite/suite-ipam");
        bench.call("ADD", &config).reply()?.error()?;
        expect("calls of the IPAM plugin", &0, &actor.calls()?.len())
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/stderr/01",
    rule: "What a successful IPAM plugin writes to stderr comes out on the plugin's stderr.",
    level: Level::Should,
    source: "Section 4, Delegated plugin execution procedure",
    faults: &[Fault::Instead("ADD", "exec \"$REAL\" 2>/dev/null")],
    run: |bench| {
        bench.pod("pod")?;
        let usual = usual(bench).complaining("the lease is short\n");
        let (config, _) = own_ipam(bench, &[("ADD", usual)])?;
        let reply = bench.call("ADD", &config).reply()?;
        reply.succeeds()?;
        expect_that(
            reply.stderr.contains("the lease is short"),
            "stderr holds the remark",
            &reply.stderr,
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/stderr/02",
    rule: "What an IPAM plugin writes to stderr while it fails comes out on the plugin's stderr.",
    level: Level::Should,
    source: "Section 4, Delegated plugin execution procedure",
    faults: &[Fault::Instead("ADD", "exec \"$REAL\" 2>/dev/null")],
    run: |bench| {
        bench.pod("pod")?;
        let refusal = Answer::error(123, "no").complaining("the disk is full\n");
        let (config, _) = own_ipam(bench, &[("ADD", refusal)])?;
        let reply = bench.call("ADD", &config).reply()?;
        reply.error()?;
        expect_that(
            reply.stderr.contains("the disk is full"),
            "stderr holds the remark",
            &reply.stderr,
        )
    },
    ..DELEGATING
});

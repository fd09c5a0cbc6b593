//! Delegation to an IPAM plugin: the suite's own one records how it was called and answers as told.

use super::{prelude::*, sight::*};
use crate::actor::{Actor, Answer};

const SECTION: &str = "Section 4, Delegation";
const IPAM: &str = "suite-ipam";
const ADDRESS: &str = "10.77.0.5/24";

/// A case of every plugin that takes its addresses from an IPAM plugin.
const DELEGATING: Case = Case {
    judges: INTERFACE,
    source: SECTION,
    ..CASE
};

/// An IPAM plugin's result in the shape of `version`, with one address, its gateway and routes.
pub(super) fn ipam_result(
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
pub(super) fn usual(bench: &Bench) -> Answer {
    Answer::with(&ipam_result(bench.version, ADDRESS, "10.77.0.1", json!([])))
}

/// The minimal configuration with the suite's own IPAM plugin, which answers like this.
pub(super) fn own_ipam(
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
fn added(bench: &mut Bench) -> Result<(Value, Actor), Failure> {
    bench.pod("pod")?;
    let usual = usual(bench);
    let (config, actor) = own_ipam(bench, &[("ADD", usual)])?;
    let result = bench.add(&config)?;
    Ok((after_add(&config, &result), actor))
}

/// The actor's answers from now on.
fn answer(bench: &mut Bench, answers: &[(&str, Answer)]) -> Result<Actor, Failure> {
    Ok(bench.actor(IPAM, answers)?)
}

/// The single call of that command.
fn only(actor: &Actor, command: &str) -> Result<crate::actor::Heard, Failure> {
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
fn add_fails(bench: &mut Bench, answer: Answer) -> Result<Value, Failure> {
    bench.pod("pod")?;
    let (config, _) = own_ipam(bench, &[("ADD", answer)])?;
    bench.call("ADD", &config).reply()?.error()
}

/// `command` on an added pod, with IPAM failing it, fails with IPAM's code and message.
fn surfaces(bench: &mut Bench, command: &str, code: u32) -> Result<(), Failure> {
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

submit! { Case {
    id: "spec/delegation/environment/01",
    rule: "On ADD the IPAM plugin is executed once, with the environment of the plugin itself.",
    versions: EVERY,
    faults: &[Fault::Env("CNI_ARGS", "IgnoreUnknown=1"), Fault::Twice("ADD")],
    run: |bench| {
        bench.pod("pod")?;
        let usual = usual(bench);
        let (config, actor) = own_ipam(bench, &[("ADD", usual)])?;
        let args = "IgnoreUnknown=1;SUITE=yes";
        bench.call("ADD", &config).env("CNI_ARGS", args).reply()?.succeeds()?;
        let heard = only(&actor, "ADD")?;
        let path = bench.search_path();
        for (key, value) in [
            ("CNI_CONTAINERID", "ctr1"), ("CNI_NETNS", "/run/netns/pod"), ("CNI_IFNAME", "eth0"),
            ("CNI_ARGS", args), ("CNI_PATH", &path),
        ] {
            expect(key, &value, &heard.variable(key))?;
        }
        Ok(())
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/environment/02",
    rule: "Variables that are not of the protocol reach the IPAM plugin as well.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::Env("TRACEPARENT", "")],
    run: |bench| {
        bench.pod("pod")?;
        let usual = usual(bench);
        let (config, actor) = own_ipam(bench, &[("ADD", usual)])?;
        bench.call("ADD", &config).env("TRACEPARENT", "00-1-2-03").reply()?.succeeds()?;
        expect("TRACEPARENT", &"00-1-2-03", &only(&actor, "ADD")?.variable("TRACEPARENT"))
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/stdin/01",
    rule: "The IPAM plugin receives the complete configuration, also the keys nobody knows.",
    versions: EVERY,
    faults: &[Fault::Config("/surprise", ""), Fault::Config("/ipam/note", "")],
    run: |bench| {
        bench.pod("pod")?;
        let usual = usual(bench);
        let (mut config, actor) = own_ipam(bench, &[("ADD", usual)])?;
        config["surprise"] = json!({ "deep": [1, "2", null, 1.5] });
        bench.add(&config)?;
        expect("stdin of the IPAM plugin", &config, &only(&actor, "ADD")?.config())
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/stdin/02",
    rule: "On DEL the IPAM plugin receives the complete configuration with prevResult.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::On("DEL", &Fault::Config("/prevResult", "")), Fault::Skip("DEL")],
    run: |bench| {
        let (config, actor) = added(bench)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("stdin of the IPAM plugin", &config, &only(&actor, "DEL")?.config())
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/stdin/03",
    rule: "On CHECK the IPAM plugin receives the complete configuration with prevResult.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::On("CHECK", &Fault::Config("/ipam/note", "")), Fault::Skip("CHECK")],
    run: |bench| {
        let (config, actor) = added(bench)?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()?;
        expect("stdin of the IPAM plugin", &config, &only(&actor, "CHECK")?.config())
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/order/01",
    rule: "ADD, CHECK and DEL each reach the IPAM plugin once, under their own names.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK"), Fault::Twice("DEL")],
    run: |bench| {
        let (config, actor) = added(bench)?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("commands of the IPAM plugin", &list(&["ADD", "CHECK", "DEL"]), &actor.commands()?)
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/path/01",
    rule: "The IPAM plugin is the one in the first directory of CNI_PATH that has it.",
    faults: &[Fault::Env("CNI_PATH", "/run/second:/run/suite")],
    run: |bench| {
        bench.pod("pod")?;
        let (usual, second) = (usual(bench), ipam_result(bench.version, "10.77.9.9/24", "10.77.9.1", json!([])));
        let (config, first) = own_ipam(bench, &[("ADD", usual)])?;
        let other = bench.actor_in("/run/second", IPAM, &[("ADD", Answer::with(&second))])?;
        let path = format!("/run/none:/run/suite:/run/second:{}", bench.plugin_dir.display());
        bench.call("ADD", &config).env("CNI_PATH", &path).reply()?.succeeds()?;
        expect("calls of first and second", &(1, 0), &(first.calls()?.len(), other.calls()?.len()))
    },
    ..DELEGATING
} }

submit! { Case {
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
} }

submit! { Case {
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
} }

submit! { Case {
    id: "spec/delegation/result/01",
    rule: "The address that IPAM gave is on the interface and in the result.",
    versions: EVERY,
    faults: &[Fault::After("ADD", "ip -n pod address flush dev eth0"), Fault::Result("/ips/0/address", "10.9.9.9/24"), Fault::Result("/ip4/ip", "10.9.9.9/24")],
    run: |bench| {
        let (config, _) = added(bench)?;
        expect("addresses of eth0", &list(&[ADDRESS]), &addresses(bench, "pod", "eth0")?)?;
        let result = &config["prevResult"];
        let told = result["ips"][0]["address"].as_str().or(result["ip4"]["ip"].as_str());
        expect("address in the result", &Some(ADDRESS), &told)
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/result/02",
    rule: "Several addresses of both families are all on the interface and in the result, in IPAM's order.",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    faults: &[Fault::After("ADD", "ip -n pod -6 address flush dev eth0 scope global"), Fault::Result("/ips/1", "")],
    run: |bench| {
        bench.pod("pod")?;
        let mut answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", json!([]));
        let six = ipam_result(bench.version, "2001:db8:77::5/64", "2001:db8:77::1", json!([]));
        answer["ips"] = json!([answer["ips"][0], six["ips"][0]]);
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        let result = bench.add(&config)?;
        let both = list(&[ADDRESS, "2001:db8:77::5/64"]);
        expect("addresses of eth0", &both, &addresses(bench, "pod", "eth0")?)?;
        let told: Vec<_> = result["ips"].as_array().into_iter().flatten()
            .map(|ip| ip["address"].as_str().unwrap_or_default().to_owned()).collect();
        expect("addresses in the result", &both, &told)
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/result/03",
    rule: "The routes that IPAM gave stand in the pod, through its gateway where they name none.",
    versions: EVERY,
    faults: &[Fault::After("ADD", "ip -n pod route delete 192.0.2.0/24"), Fault::After("ADD", "ip -n pod route delete 198.51.100.0/24")],
    run: |bench| {
        bench.pod("pod")?;
        let routes_given = json!([{ "dst": "192.0.2.0/24" }, { "dst": "198.51.100.0/24", "gw": "10.77.0.9" }]);
        let answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", routes_given);
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        bench.add(&config)?;
        let seen = routes(bench, "pod", "main")?;
        for (to, gateway) in [("192.0.2.0/24", "10.77.0.1"), ("198.51.100.0/24", "10.77.0.9")] {
            let there = seen.iter().any(|line| line.starts_with(&format!("{to} via {gateway} ")));
            expect_that(there, &format!("a route to {to} via {gateway}"), seen.join("; "))?;
        }
        Ok(())
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/result/04",
    rule: "The routes that IPAM gave are in the result.",
    versions: EVERY,
    faults: &[Fault::Result("/routes", ""), Fault::Result("/ip4/routes", "")],
    run: |bench| {
        bench.pod("pod")?;
        let given = json!([{ "dst": "192.0.2.0/24", "gw": "10.77.0.9" }]);
        let answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", given);
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        let result = bench.add(&config)?;
        let routes = if bench.version < SpecVersion::V0_3_0 { &result["ip4"]["routes"] } else { &result["routes"] };
        let all = routes.as_array().cloned().unwrap_or_default();
        let there = all.iter().any(|route| route["dst"] == "192.0.2.0/24" && route["gw"] == "10.77.0.9");
        expect_that(there, "the route is in the result", &result)
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/result/05",
    rule: "The gateway that IPAM gave is in the result.",
    versions: EVERY,
    faults: &[Fault::Result("/ips/0/gateway", ""), Fault::Result("/ip4/gateway", "")],
    run: |bench| {
        let (config, _) = added(bench)?;
        let result = &config["prevResult"];
        let gateway = result["ips"][0]["gateway"].as_str().or(result["ip4"]["gateway"].as_str());
        expect("gateway in the result", &Some("10.77.0.1"), &gateway)
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/result/06",
    rule: "The DNS settings that IPAM gave are in the result.",
    versions: EVERY,
    faults: &[Fault::Result("/dns", "")],
    run: |bench| {
        bench.pod("pod")?;
        let dns = json!({ "nameservers": ["192.0.2.53", "2001:db8::53"], "domain": "suite.example",
            "search": ["a.example", "b.example"], "options": ["ndots:2"] });
        let mut answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", json!([]));
        answer["dns"] = dns.clone();
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        expect("dns", &dns, &bench.add(&config)?["dns"])
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/result/07",
    rule: "Interfaces that an IPAM plugin claims are not passed on: it cannot know any.",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    faults: &[Fault::Result("/interfaces/-", "={\"name\": \"made-up0\"}")],
    run: |bench| {
        bench.pod("pod")?;
        let mut answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", json!([]));
        answer["interfaces"] = json!([{ "name": "made-up0", "mac": "02:00:00:00:00:99" }]);
        answer["ips"][0]["interface"] = json!(0);
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        let result = bench.add(&config)?;
        expect_that(!result["interfaces"].to_string().contains("made-up0"), "no interface of IPAM's", &result)?;
        let index = result["ips"][0]["interface"].as_u64().unwrap_or(u64::MAX) as usize;
        expect("interface of the address", &json!("eth0"), &result["interfaces"][index]["name"])
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/result/08",
    rule: "An IPAM result of an older version is converted to the configuration's.",
    level: Level::Compat,
    source: "reference behaviour",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    faults: &[Fault::Result("/ips", ""), Fault::Result("/cniVersion", "0.2.0")],
    run: |bench| {
        bench.pod("pod")?;
        let answer = ipam_result(SpecVersion::V0_2_0, ADDRESS, "10.77.0.1", json!([{ "dst": "192.0.2.0/24" }]));
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        let result = bench.add(&config)?;
        expect("cniVersion", &config["cniVersion"], &result["cniVersion"])?;
        expect("address", &json!(ADDRESS), &result["ips"][0]["address"])?;
        expect("route", &json!("192.0.2.0/24"), &result["routes"][0]["dst"])
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/result/09",
    rule: "An IPAM result of a newer version is converted to the configuration's.",
    level: Level::Compat,
    source: "reference behaviour",
    versions: [SpecVersion::V0_1_0, SpecVersion::V0_4_0],
    faults: &[Fault::Result("/ips/0/version", ""), Fault::Result("/ip4", "")],
    run: |bench| {
        bench.pod("pod")?;
        let answer = ipam_result(SpecVersion::V1_0_0, ADDRESS, "10.77.0.1", json!([]));
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        let result = bench.add(&config)?;
        expect("cniVersion", &config["cniVersion"], &result["cniVersion"])?;
        if bench.version < SpecVersion::V0_3_0 {
            return expect("ip4.ip", &json!(ADDRESS), &result["ip4"]["ip"]);
        }
        expect("version of the address", &json!("4"), &result["ips"][0]["version"])
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/result/10",
    rule: "An IPAM result without cniVersion counts as one of the configuration's version.",
    level: Level::Compat,
    source: "reference behaviour",
    versions: EVERY,
    faults: &[Fault::Fail("ADD")],
    run: |bench| {
        bench.pod("pod")?;
        let mut answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", json!([]));
        answer.as_object_mut().map(|keys| keys.remove("cniVersion"));
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        expect("cniVersion", &config["cniVersion"], &bench.add(&config)?["cniVersion"])
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/result/11",
    rule: "What a successful IPAM plugin writes to stderr does not get into the result.",
    faults: &[Fault::Garbage],
    run: |bench| {
        bench.pod("pod")?;
        let usual = usual(bench).complaining("a remark\n{\"code\": 1}\n");
        let (config, _) = own_ipam(bench, &[("ADD", usual)])?;
        bench.add(&config).map(drop)
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/error/01",
    rule: "An error object of the IPAM plugin surfaces from ADD with its code, message and details.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::Code(999), Fault::Error("/msg", "another"), Fault::Error("/details", "")],
    run: |bench| {
        let answer = json!({ "code": 123, "msg": "the suite refuses", "details": "as told" });
        let error = add_fails(bench, Answer::text(&answer.to_string(), 1))?;
        for key in ["code", "msg", "details"] {
            expect(key, &answer[key], &error[key])?;
        }
        Ok(())
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/error/02",
    rule: "An IPAM plugin that asks to try again later (code 11) is passed on as that.",
    source: "Section 5, Error",
    faults: &[Fault::Code(999), Fault::ExitZero],
    run: |bench| {
        let error = add_fails(bench, Answer::error(11, "later"))?;
        expect("code", &json!(11), &error["code"])
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/error/03",
    rule: "Text on stdout of a failing IPAM plugin becomes part of a proper error object.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::PlainError, Fault::Error("/msg", "it failed")],
    run: |bench| {
        let error = add_fails(bench, Answer::text("no JSON at all", 1))?;
        expect_that(error["msg"].to_string().contains("no JSON at all"), "the message quotes it", error)
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/error/04",
    rule: "A failing IPAM plugin that only writes to stderr is quoted in the error.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::PlainError, Fault::Error("/msg", "it failed")],
    run: |bench| {
        let error = add_fails(bench, Answer::text("", 3).complaining("out of paper"))?;
        expect_that(error.to_string().contains("out of paper"), "the error quotes it", error)
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/error/05",
    rule: "A failing IPAM plugin that says nothing makes ADD fail with an error object.",
    faults: &[Fault::PlainError, Fault::ExitZero],
    run: |bench| add_fails(bench, Answer::text("", 1)).map(drop),
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/error/06",
    rule: "An IPAM plugin that exits 0 without a result makes ADD fail.",
    faults: &[Fault::ExitZero, Fault::Skip("ADD")],
    run: |bench| add_fails(bench, Answer::text("", 0)).map(drop),
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/error/07",
    rule: "An IPAM plugin that exits 0 with something other than a result makes ADD fail.",
    faults: &[Fault::ExitZero, Fault::Skip("ADD")],
    run: |bench| add_fails(bench, Answer::text("hello", 0)).map(drop),
    ..DELEGATING
} }

submit! { Case {
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
} }

submit! { Case {
    id: "spec/delegation/error/09",
    rule: "An IPAM plugin that a signal ends makes ADD fail with an error object.",
    faults: &[Fault::PlainError, Fault::ExitZero],
    run: |bench| {
        let usual = usual(bench).after("kill -9 $PPID");
        add_fails(bench, usual).map(drop)
    },
    ..DELEGATING
} }

submit! { Case {
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
} }

submit! { Case {
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
} }

submit! { Case {
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
} }

submit! { Case {
    id: "spec/delegation/error/13",
    rule: "An error of the IPAM plugin surfaces from DEL with its code and message.",
    level: Level::Compat,
    source: "reference behaviour",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::ExitZero, Fault::Code(999)],
    run: |bench| surfaces(bench, "DEL", 123),
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/error/14",
    rule: "An error of the IPAM plugin surfaces from CHECK with its code and message.",
    source: "Section 2, CHECK",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::ExitZero, Fault::Code(999), Fault::Skip("CHECK")],
    run: |bench| surfaces(bench, "CHECK", 124),
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/rollback/01",
    rule: "When the IPAM plugin fails, no link is left behind, neither in the pod nor on the host.",
    level: Level::Should,
    versions: CHECKED,
    faults: &[Fault::After("ADD", "ip link add vethleft type veth peer name other")],
    run: |bench| {
        add_fails(bench, Answer::error(123, "no"))?;
        nothing_left(bench)
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/rollback/02",
    rule: "When the IPAM plugin fails ADD, the plugin calls its DEL before it returns the error.",
    level: Level::Should,
    versions: CHECKED,
    faults: &[Fault::Fail("ADD")],
    repairs: &[Fault::Instead("ADD", r#"config=$(cat); echo "$config" | "$REAL" && exit
        echo "$config" | CNI_COMMAND=DEL /run/suite/suite-ipam; exit 1"#)],
    run: |bench| {
        bench.pod("pod")?;
        let (config, actor) = own_ipam(bench, &[("ADD", Answer::error(123, "no"))])?;
        bench.call("ADD", &config).reply()?.fails_with(123)?;
        expect("commands of the IPAM plugin", &list(&["ADD", "DEL"]), &actor.commands()?)
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/rollback/03",
    rule: "When IPAM gave no address, what it may hold is released by its DEL and no link is left.",
    level: Level::Should,
    versions: CHECKED,
    faults: &[Fault::Fail("ADD"), Fault::After("ADD", "ip link add vethleft type veth peer name other")],
    run: |bench| {
        bench.pod("pod")?;
        let nothing = json!({ "cniVersion": bench.version.as_str(), "ips": [] });
        let (config, actor) = own_ipam(bench, &[("ADD", Answer::with(&nothing))])?;
        bench.call("ADD", &config).reply()?.error()?;
        expect("commands of the IPAM plugin", &list(&["ADD", "DEL"]), &actor.commands()?)?;
        nothing_left(bench)
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/rollback/04",
    rule: "When something fails behind IPAM's ADD, IPAM's DEL releases the address.",
    faults: &[Fault::Fail("ADD"), Fault::On("ADD", &Fault::Config("/ipam", "={\"type\": \"static\", \"addresses\": [{\"address\": \"10.77.0.5/24\"}], \"routes\": [{\"dst\": \"192.0.2.0/24\", \"gw\": \"203.0.113.1\"}]}"))],
    run: |bench| {
        bench.pod("pod")?;
        // A route through a gateway that nobody can reach: the kernel refuses it.
        let unreachable = json!([{ "dst": "192.0.2.0/24", "gw": "203.0.113.1" }]);
        let answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", unreachable);
        let (config, actor) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        bench.call("ADD", &config).reply()?.error()?;
        expect("commands of the IPAM plugin", &list(&["ADD", "DEL"]), &actor.commands()?)
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/rollback/05",
    rule: "When something fails behind IPAM's ADD, no link is left behind.",
    level: Level::Should,
    versions: CHECKED,
    faults: &[Fault::After("ADD", "ip link add vethleft type veth peer name other")],
    run: |bench| {
        bench.pod("pod")?;
        let unreachable = json!([{ "dst": "192.0.2.0/24", "gw": "203.0.113.1" }]);
        let answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", unreachable);
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        bench.call("ADD", &config).reply()?.error()?;
        nothing_left(bench)
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/del/01",
    rule: "DEL reaches the IPAM plugin when the pod's namespace is gone.",
    source: "Section 2, DEL",
    versions: CHECKED,
    faults: &[Fault::Skip("DEL")],
    run: |bench| {
        let (config, actor) = added(bench)?;
        bench.run("ip", &["netns", "delete", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        only(&actor, "DEL").map(drop)
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/del/02",
    rule: "DEL reaches the IPAM plugin when there is no CNI_NETNS.",
    source: "Section 2, DEL",
    versions: CHECKED,
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::Env("CNI_NETNS", "/run/netns/pod"))],
    run: |bench| {
        let (config, actor) = added(bench)?;
        bench.call("DEL", &config).unset("CNI_NETNS").reply()?.succeeds_silently()?;
        expect("CNI_NETNS of the IPAM plugin", &"", &only(&actor, "DEL")?.variable("CNI_NETNS"))
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/del/03",
    rule: "DEL reaches the IPAM plugin also when nothing was ever added.",
    source: "Section 2, DEL",
    versions: EVERY,
    faults: &[Fault::Skip("DEL")],
    run: |bench| {
        bench.pod("pod")?;
        let (config, actor) = own_ipam(bench, &[])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        only(&actor, "DEL").map(drop)
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/status/01",
    rule: "STATUS reaches the IPAM plugin, with the complete configuration.",
    source: "Section 2, STATUS",
    versions: NEWEST,
    faults: &[Fault::Skip("STATUS"), Fault::Config("/ipam/note", "")],
    run: |bench| {
        let (config, actor) = own_ipam(bench, &[])?;
        status(bench, &config)?.succeeds_silently()?;
        expect("stdin of the IPAM plugin", &config, &only(&actor, "STATUS")?.config())
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/status/02",
    rule: "An IPAM plugin that cannot serve ADD (code 50) makes STATUS fail with that code.",
    source: "Section 2, STATUS",
    versions: NEWEST,
    faults: &[Fault::Skip("STATUS"), Fault::Code(999)],
    run: |bench| {
        let (config, _) = own_ipam(bench, &[("STATUS", Answer::error(50, "pool exhausted"))])?;
        let error = status(bench, &config)?.fails_with(50)?;
        expect("msg", &json!("pool exhausted"), &error["msg"])
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/status/03",
    rule: "An IPAM plugin that is not there makes STATUS fail.",
    source: "Section 2, STATUS",
    versions: NEWEST,
    faults: &[Fault::Skip("STATUS"), Fault::ExitZero],
    run: |bench| {
        let config = with(bench, json!({ "ipam": { "type": "no-such-ipam" } }));
        complains(&status(bench, &config)?, &["no-such-ipam"])
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/gc/01",
    rule: "GC reaches the IPAM plugin, with the list of valid attachments.",
    source: "Section 2, GC",
    versions: NEWEST,
    faults: &[Fault::Skip("GC"), Fault::Config("/cni.dev~1valid-attachments", "")],
    run: |bench| {
        let (mut config, actor) = own_ipam(bench, &[])?;
        config[VALID] = json!([{ "containerID": "ctr1", "ifname": "eth0" }]);
        gc(bench, &config)?.succeeds_silently()?;
        expect("stdin of the IPAM plugin", &config, &only(&actor, "GC")?.config())
    },
    ..DELEGATING
} }

submit! { Case {
    id: "spec/delegation/gc/02",
    rule: "An error of the IPAM plugin makes GC fail.",
    source: "Section 2, GC",
    versions: NEWEST,
    faults: &[Fault::Skip("GC"), Fault::ExitZero],
    run: |bench| {
        let (mut config, _) = own_ipam(bench, &[("GC", Answer::error(123, "no"))])?;
        config[VALID] = json!([]);
        gc(bench, &config)?.error().map(drop)
    },
    ..DELEGATING
} }

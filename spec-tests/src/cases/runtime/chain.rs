//! The plugin in a chain, as a runtime calls it: results handed on, the last one cached, only
//! enabled capabilities sent, a failed chain undone in reverse.

use crate::cases::{prelude::*, sight::*};
use crate::{
    actor::{Actor, Answer},
    bench::OWN_PLUGINS,
};

const RUNTIME: Case = Case {
    judges: INTERFACE,
    set: Set::Runtime,
    versions: CHECKED,
    source: "Section 3, Execution of network configurations",
    ..CASE
};

const NEXT: &str = "suite-next";
const CACHE: &str = "/var/lib/cni/results/suite-ctr1-eth0";

/// A network configuration list of the judged plugin and, behind it, one of the suite's own.
struct Chain {
    plugins: Vec<Value>,
    /// What the runtime could give for capabilities.
    capability_args: Value,
}

impl Chain {
    /// The judged plugin in front of the suite's own, which answers like this.
    fn new(
        bench: &mut Bench,
        changes: Value,
        answers: &[(&str, Answer)],
    ) -> Result<(Self, Actor), Failure> {
        let actor = bench.actor(NEXT, answers)?;
        let plugins = vec![with(bench, changes), json!({ "type": NEXT })];
        Ok((
            Self {
                plugins,
                capability_args: json!({}),
            },
            actor,
        ))
    }

    /// The request for one plugin of the list.
    fn request(&self, bench: &Bench, plugin: &Value, previous: Option<&Value>) -> Value {
        let mut request = plugin.clone();
        request["name"] = json!(crate::plugins::NETWORK);
        request["cniVersion"] = bench.version.as_str().into();
        if let Some(previous) = previous {
            request["prevResult"] = previous.clone();
        }
        let enabled = |key: &&String| plugin["capabilities"][key.as_str()] == json!(true);
        let args = self.capability_args.as_object().into_iter().flatten();
        let sent: serde_json::Map<_, _> = args
            .filter(|(key, _)| enabled(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !sent.is_empty() {
            request["runtimeConfig"] = Value::Object(sent);
        }
        request
    }

    fn call(
        &self,
        bench: &mut Bench,
        command: &str,
        plugin: &Value,
        previous: Option<&Value>,
    ) -> Result<Reply, Failure> {
        let request = self.request(bench, plugin, previous);
        let own = plugin["type"] == NEXT;
        let call = bench.call(command, &request);
        let call = if own {
            call.of(OWN_PLUGINS.as_ref(), NEXT)
        } else {
            call
        };
        Ok(call.reply()?)
    }

    /// ADD of every plugin in order, each with the result of the one before; caches the last.
    fn add(&self, bench: &mut Bench) -> Result<Value, Failure> {
        let mut result = None;
        for plugin in &self.plugins {
            result = Some(self.call(bench, "ADD", plugin, result.as_ref())?.result()?);
        }
        let result = result.unwrap_or_default();
        bench.run("mkdir", &["-p", "/var/lib/cni/results"])?;
        bench.write(CACHE, &result.to_string())?;
        Ok(result)
    }

    fn cached(&self, bench: &mut Bench) -> Option<Value> {
        serde_json::from_str(&bench.read(CACHE).ok()?).ok()
    }

    /// DEL of every plugin in reverse with the cached result; takes the cache away.
    fn del(&self, bench: &mut Bench) -> Result<(), Failure> {
        let cached = self.cached(bench);
        for plugin in self.plugins.iter().rev() {
            self.call(bench, "DEL", plugin, cached.as_ref())?
                .succeeds_silently()?;
        }
        bench.run("rm", &["-f", CACHE])?;
        Ok(())
    }

    /// `command`, CHECK or STATUS, of every plugin in order with the cached result.
    fn each(&self, bench: &mut Bench, command: &str) -> Result<(), Failure> {
        let cached = self.cached(bench);
        for plugin in &self.plugins {
            self.call(bench, command, plugin, cached.as_ref())?
                .succeeds_silently()?;
        }
        Ok(())
    }
}

/// A chain whose second plugin passes the result on, added to pod `pod`.
fn added(bench: &mut Bench, changes: Value) -> Result<(Chain, Actor, Value), Failure> {
    bench.pod("pod")?;
    let (chain, actor) = Chain::new(bench, changes, &[("ADD", Answer::passing_on())])?;
    let result = chain.add(bench)?;
    Ok((chain, actor, result))
}

submit!(Case {
    id: "runtime/chain/01",
    rule: "The result is a document that the next plugin of the chain can take as prevResult.",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    faults: &[Fault::Garbage, Fault::Result("/cniVersion", "0.1.0")],
    run: |bench| {
        let (_, actor, result) = added(bench, json!({}))?;
        let heard = actor.heard("ADD")?;
        expect("ADD calls of the next plugin", &1, &heard.len())?;
        let handed = &heard[0].config()["prevResult"];
        expect("prevResult", &result, handed)?;
        expect(
            "its cniVersion",
            &json!(bench.version.as_str()),
            &handed["cniVersion"],
        )
    },
    ..RUNTIME
});

submit!(Case {
    id: "runtime/chain/02",
    rule: "DEL of the chain in reverse leaves nothing.",
    faults: &[Fault::Skip("DEL"), Fault::Fail("DEL")],
    run: |bench| {
        let (chain, actor, _) = added(bench, json!({}))?;
        chain.del(bench)?;
        expect(
            "commands of the next plugin",
            &list(&["ADD", "DEL"]),
            &actor.commands()?,
        )?;
        nothing_left(bench)
    },
    ..RUNTIME
});

submit!(Case {
    id: "runtime/chain/03",
    rule: "CHECK succeeds with the chain's last result, which a later plugin has added to.",
    faults: &[
        Fault::Where(
            "/prevResult/dns/nameservers",
            &Fault::On("CHECK", &Fault::ExitOne)
        ),
        Fault::Instead(
            "CHECK",
            r#"text=$(cat); case $text in *ifb7*) exit 1;; esac; printf %s "$text" | "$REAL""#
        )
    ],
    run: |bench| {
        let (chain, _, mut result) = added(bench, json!({}))?;
        if let Some(interfaces) = result["interfaces"].as_array_mut() {
            interfaces.push(json!({ "name": "ifb7", "mac": "02:00:00:00:00:07" }));
        }
        result["dns"] = json!({ "nameservers": ["192.0.2.53"] });
        bench.write(CACHE, &result.to_string())?;
        chain.each(bench, "CHECK")
    },
    ..RUNTIME
});

submit!(Case {
    id: "runtime/chain/04",
    rule: "When a later plugin fails ADD, DEL of the whole chain without a result undoes it.",
    faults: &[Fault::Skip("DEL"), Fault::Fail("DEL")],
    run: |bench| {
        bench.pod("pod")?;
        let refusal = Answer::error(123, "no");
        let (chain, _) = Chain::new(bench, json!({}), &[("ADD", refusal)])?;
        expect_that(chain.add(bench).is_err(), "the chain fails", "it succeeded")?;
        chain.del(bench)?;
        nothing_left(bench)
    },
    ..RUNTIME
});

submit!(Case {
    id: "runtime/chain/05",
    rule: "When the plugin fails ADD itself, DEL of the chain behind it succeeds and leaves nothing.",
    faults: &[
        Fault::Fail("DEL"),
        Fault::After("DEL", "ip link add vethleft type veth peer name other")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let pair = [
            "-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "name", "far0",
        ];
        bench.run("ip", &pair)?;
        let (chain, _) = Chain::new(bench, json!({}), &[])?;
        expect_that(chain.add(bench).is_err(), "the chain fails", "it succeeded")?;
        bench.run("ip", &["-n", "pod", "link", "delete", "eth0"])?;
        chain.del(bench)?;
        expect("host ends", &Vec::<String>::new(), &host_veths(bench)?)?;
        expect("reservations", &Vec::<String>::new(), &reserved())
    },
    ..RUNTIME
});

submit!(Case {
    id: "runtime/chain/06",
    rule: "DEL of the chain succeeds when the cached result was lost, and again after that.",
    faults: &[Fault::Skip("DEL"), Fault::Once("DEL")],
    run: |bench| {
        let (chain, _, _) = added(bench, json!({}))?;
        bench.run("rm", &[CACHE])?;
        chain.del(bench)?;
        chain.del(bench)?;
        nothing_left(bench)
    },
    ..RUNTIME
});

submit!(Case {
    id: "runtime/chain/07",
    rule: "A chain that was deleted can be added again and passes CHECK.",
    faults: &[Fault::Once("ADD"), Fault::Skip("DEL")],
    run: |bench| {
        let (chain, _, _) = added(bench, json!({}))?;
        chain.del(bench)?;
        chain.add(bench)?;
        chain.each(bench, "CHECK")
    },
    ..RUNTIME
});

submit!(Case {
    id: "runtime/capabilities/01",
    rule: "A capability that the list enables reaches the plugin as runtimeConfig and takes effect.",
    source: "Section 3, Deriving runtimeConfig",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let address = with_capability(bench, true)?;
        expect("address", &json!("10.88.0.88/24"), &address)
    },
    ..RUNTIME
});

submit!(Case {
    id: "runtime/capabilities/02",
    rule: "Without the capability's key in the request the plugin works by its configuration alone.",
    source: "Section 3, Deriving runtimeConfig",
    faults: &[Fault::Config(
        "/runtimeConfig",
        "={\"ips\": [\"10.88.0.88\"]}"
    )],
    run: |bench| {
        let address = with_capability(bench, false)?;
        expect("address", &json!("10.88.0.2/24"), &address)
    },
    ..RUNTIME
});

submit!(Case {
    id: "runtime/status/01",
    rule: "STATUS of every plugin of the chain succeeds before anything was added.",
    versions: NEWEST,
    faults: &[Fault::Instead(
        "STATUS",
        r#"[ -e /var/lib/cni ] || exit 1; exec "$REAL""#
    )],
    run: |bench| {
        let (chain, actor) = Chain::new(bench, json!({}), &[])?;
        chain.each(bench, "STATUS")?;
        expect(
            "commands of the next plugin",
            &list(&["STATUS"]),
            &actor.commands()?,
        )
    },
    ..RUNTIME
});

/// The address that a chain gives when the runtime asks for one through the capability `ips`.
fn with_capability(bench: &mut Bench, enabled: bool) -> Result<Value, Failure> {
    bench.pod("pod")?;
    let changes = json!({ "capabilities": { "ips": enabled } });
    let (mut chain, _) = Chain::new(bench, changes, &[("ADD", Answer::passing_on())])?;
    chain.capability_args = json!({ "ips": ["10.88.0.88"] });
    Ok(chain.add(bench)?["ips"][0]["address"].clone())
}

submit!(Case {
    id: "runtime/chain/08",
    rule: "CHECK takes the MAC address from the chain's last result, which a later plugin changed.",
    source: "Appendix, Check example",
    faults: &[Fault::Fail("CHECK"), Fault::Skip("CHECK")],
    run: |bench| {
        let (chain, _, mut result) = added(bench, json!({}))?;
        bench.run(
            "ip",
            &[
                "-n",
                "pod",
                "link",
                "set",
                "eth0",
                "address",
                "00:11:22:33:44:66",
            ],
        )?;
        chain
            .call(bench, "CHECK", &chain.plugins[0], Some(&result))?
            .error()?;
        for interface in result["interfaces"].as_array_mut().into_iter().flatten() {
            if interface["name"] == "eth0" {
                interface["mac"] = json!("00:11:22:33:44:66");
            }
        }
        bench.write(CACHE, &result.to_string())?;
        chain.each(bench, "CHECK")
    },
    ..RUNTIME
});

//! bandwidth: rate limits, as `tc` shows them and as packets feel them.

mod check;
mod life;
mod packets;

use crate::cases::{chained::*, prelude::*, sight::*};

/// Every case of bandwidth.
pub(in crate::cases) const BANDWIDTH: Case = Case {
    judges: Judges::Only(&["bandwidth"]),
    needs: &["tc", "link:ifb"],
    ..COMPAT
};

/// The ifb of container `ctr1` in network `suite`: `bwp` and 12 digits of the SHA-512 of both.
pub(in crate::cases) const IFB: &str = "bwp6878eed11344";

/// The token bucket at the root of a link: rate in bytes a second and burst in bytes.
pub(in crate::cases) fn bucket(bench: &mut Bench, dev: &str) -> Result<(Value, Value), Failure> {
    let shown = bench.look("tc", &["-j", "qdisc", "show", "dev", dev]);
    let shown = shown
        .map_err(|error| Failure::new("what tc shows", "it is there", format!("{error:#}")))?;
    let root = shown
        .as_array()
        .into_iter()
        .flatten()
        .find(|qdisc| qdisc["kind"] == "tbf");
    let options = root.map_or(Value::Null, |root| root["options"].clone());
    Ok((options["rate"].clone(), options["burst"].clone()))
}

submit!(Case {
    id: "bandwidth/ingress/01",
    rule: "ingressRate and ingressBurst make a token bucket at the host end, in bytes.",
    faults: &[
        Fault::Config("/ingressRate", "=16000000"),
        Fault::After("ADD", "tc qdisc del dev vhost0 root")
    ],
    run: |bench| {
        chained(
            bench,
            json!({ "ingressRate": 8_000_000, "ingressBurst": 800_000 }),
        )?;
        expect(
            "rate and burst",
            &(json!(1_000_000), json!(100_000)),
            &bucket(bench, "vhost0")?,
        )
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/egress/01",
    rule: "egressRate and egressBurst make a token bucket at an ifb named by the hash of network and container.",
    faults: &[
        Fault::Config("/egressRate", "=8000000"),
        Fault::Env("CNI_CONTAINERID", "ctr2")
    ],
    run: |bench| {
        chained(
            bench,
            json!({ "egressRate": 16_000_000, "egressBurst": 1_600_000 }),
        )?;
        expect(
            "rate and burst",
            &(json!(2_000_000), json!(200_000)),
            &bucket(bench, IFB)?,
        )
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/runtime/01",
    rule: "runtimeConfig.bandwidth sets the limits.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let limits = json!({ "ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 16_000_000, "egressBurst": 1_600_000 });
        chained(bench, json!({ "runtimeConfig": { "bandwidth": limits } }))?;
        expect("ingress", &json!(1_000_000), &bucket(bench, "vhost0")?.0)?;
        expect("egress", &json!(2_000_000), &bucket(bench, IFB)?.0)
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/mtu/01",
    rule: "The ifb has the host end's MTU.",
    faults: &[Fault::After("ADD", "ip link set bwp6878eed11344 mtu 1500")],
    run: |bench| {
        let config = behind(
            bench,
            json!({ "egressRate": 16_000_000, "egressBurst": 1_600_000 }),
        )?;
        bench.run("ip", &["link", "set", "vhost0", "mtu", "1400"])?;
        bench.add(&config)?;
        expect("MTU", &json!(1400), &link(bench, HOST, IFB)?["mtu"])
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/del/01",
    rule: "DEL removes the ifb, also when the namespace is gone, and succeeds again.",
    faults: &[Fault::Skip("DEL"), Fault::Once("DEL")],
    run: |bench| {
        let (config, _) = chained(
            bench,
            json!({ "egressRate": 16_000_000, "egressBurst": 1_600_000 }),
        )?;
        bench.run("ip", &["netns", "del", "pod"])?;
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        expect_that(
            !links(bench, HOST)?.contains(&IFB.to_owned()),
            "no ifb",
            IFB,
        )
    },
    ..BANDWIDTH
});

refused_chained!(BANDWIDTH, "bandwidth/config/01", "A rate without a burst is refused.",
    { "ingressRate": 8000000 }, ["if rate is set, burst must also be set"]);
refused_chained!(BANDWIDTH, "bandwidth/config/02", "A burst without a rate is refused.",
    { "egressBurst": 8000000 }, ["if burst is set, rate must also be set"]);
refused_chained!(BANDWIDTH, "bandwidth/config/03", "A burst of 4 GiB and more is refused.",
    { "ingressRate": 8000000, "ingressBurst": 34359738368_u64 }, ["4GB"]);

/// Limits in both directions.
fn both() -> Value {
    json!({ "ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 16_000_000, "egressBurst": 1_600_000 })
}

submit!(Case {
    id: "bandwidth/both/01",
    rule: "Both directions can be limited at once, each with its numbers.",
    faults: &[
        Fault::Config("/ingressRate", "=16000000"),
        Fault::Config("/egressBurst", "=800000")
    ],
    run: |bench| {
        chained(bench, both())?;
        expect(
            "ingress",
            &(json!(1_000_000), json!(100_000)),
            &bucket(bench, "vhost0")?,
        )?;
        expect(
            "egress",
            &(json!(2_000_000), json!(200_000)),
            &bucket(bench, IFB)?,
        )
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/ingress/02",
    rule: "Rates and bursts that are no multiple of eight bits are rounded down to bytes.",
    faults: &[Fault::Config("/ingressRate", "=1234576")],
    run: |bench| {
        chained(
            bench,
            json!({ "ingressRate": 1_234_567, "ingressBurst": 7_654_321 }),
        )?;
        let (rate, burst) = bucket(bench, "vhost0")?;
        expect("rate", &json!(154_320), &rate)?;
        // The kernel keeps the burst as time.
        let near = burst
            .as_u64()
            .is_some_and(|burst| (956_780..=956_790).contains(&burst));
        expect_that(near, "a burst of 956,790 bytes or some less", burst)
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/ingress/03",
    rule: "A rate above 32 bits of bytes a second is set in full.",
    faults: &[Fault::Config("/ingressRate", "=5640261632")],
    run: |bench| {
        chained(
            bench,
            json!({ "ingressRate": 40_000_000_000_u64, "ingressBurst": 8_000_000 }),
        )?;
        expect(
            "rate",
            &json!(5_000_000_000_u64),
            &bucket(bench, "vhost0")?.0,
        )
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/ingress/04",
    rule: "A limit of ingress alone makes no ifb.",
    faults: &[
        Fault::Config("/egressRate", "=8000000"),
        Fault::After("ADD", "ip link add bwp6878eed11344 type ifb")
    ],
    run: |bench| {
        chained(
            bench,
            json!({ "ingressRate": 8_000_000, "ingressBurst": 800_000 }),
        )?;
        has_no_ifb(bench)
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/egress/02",
    rule: "A limit of egress alone leaves what comes to the pod alone; the ifb is up.",
    faults: &[
        Fault::After(
            "ADD",
            "tc qdisc add dev vhost0 root tbf rate 1mbit burst 10kb latency 50ms"
        ),
        Fault::After("ADD", "ip link set bwp6878eed11344 down")
    ],
    run: |bench| {
        chained(
            bench,
            json!({ "egressRate": 16_000_000, "egressBurst": 1_600_000 }),
        )?;
        expect(
            "rate at the host end",
            &Value::Null,
            &bucket(bench, "vhost0")?.0,
        )?;
        let ifb = link(bench, HOST, IFB)?;
        expect_that(has_flag(&ifb, "UP"), "the ifb is up", ifb)
    },
    ..BANDWIDTH
});

fn has_no_ifb(bench: &mut Bench) -> Result<(), Failure> {
    let links = links(bench, HOST)?;
    let none = !links.iter().any(|name| name.starts_with("bwp"));
    expect_that(none, "no ifb", format!("{links:?}"))
}

submit!(Case {
    id: "bandwidth/result/01",
    rule: "The result is prevResult with the ifb behind it when egress is limited.",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    faults: &[
        Fault::Result("/interfaces/3", ""),
        Fault::Result("/ips/0/interface", "=0")
    ],
    run: |bench| {
        let (_, result) = chained(
            bench,
            json!({ "egressRate": 16_000_000, "egressBurst": 1_600_000 }),
        )?;
        expect("name", &json!(IFB), &result["interfaces"][3]["name"])?;
        expect(
            "MAC",
            &link(bench, HOST, IFB)?["address"],
            &result["interfaces"][3]["mac"],
        )?;
        expect("ips", &wired(bench.version)["ips"], &result["ips"])
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/runtime/02",
    rule: "Any limit at the top level takes the place of all of runtimeConfig.",
    faults: &[
        Fault::Config("/ingressRate", "=4000000"),
        Fault::Config("/egressRate", "=8000000"),
        Fault::After("ADD", "ip link add bwp6878eed11344 type ifb")
    ],
    run: |bench| {
        chained(
            bench,
            json!({ "ingressRate": 8_000_000, "ingressBurst": 800_000, "runtimeConfig": { "bandwidth":
            { "ingressRate": 1_000_000, "ingressBurst": 800_000, "egressRate": 16_000_000, "egressBurst": 1_600_000 } } }),
        )?;
        expect("ingress", &json!(1_000_000), &bucket(bench, "vhost0")?.0)?;
        has_no_ifb(bench)
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/none/01",
    rule: "Without limits, and with limits of zero, there is no token bucket and the result is prevResult.",
    faults: &[
        Fault::After(
            "ADD",
            "tc qdisc add dev vhost0 root tbf rate 1mbit burst 10kb latency 50ms"
        ),
        Fault::Result("/interfaces/-", r#"={"name":"bwp"}"#)
    ],
    run: |bench| {
        let (config, result) = chained(bench, json!({}))?;
        let zero = json!({ "ingressRate": 0, "ingressBurst": 0, "egressRate": 0, "egressBurst": 0, "prevResult": config["prevResult"] });
        let config = with(bench, zero);
        let again = bench.add(&config)?;
        for result in [result, again] {
            expect(
                "interfaces",
                &wired(SpecVersion::V1_0_0)["interfaces"],
                &result["interfaces"],
            )?;
        }
        expect("rate", &Value::Null, &bucket(bench, "vhost0")?.0)?;
        has_no_ifb(bench)
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/subnets/01",
    rule: "shapedSubnets and unshapedSubnets, which two releases had, are accepted and change nothing.",
    faults: &[
        Fault::Where("/shapedSubnets", &Fault::Fail("ADD")),
        Fault::Config("/ingressRate", "=4000000")
    ],
    run: |bench| {
        chained(
            bench,
            json!({ "ingressRate": 8_000_000, "ingressBurst": 800_000, "shapedSubnets": ["10.0.0.0/8"], "unshapedSubnets": ["192.0.2.0/24"] }),
        )?;
        expect(
            "rate and burst",
            &(json!(1_000_000), json!(100_000)),
            &bucket(bench, "vhost0")?,
        )
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/del/02",
    rule: "DEL succeeds without prevResult and with an empty CNI_NETNS, and removes the ifb.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::Env("CNI_CONTAINERID", "ctr2"))
    ],
    run: |bench| {
        let (mut config, _) = chained(bench, both())?;
        config.as_object_mut().map(|all| all.remove("prevResult"));
        bench
            .call("DEL", &config)
            .env("CNI_NETNS", "")
            .reply()?
            .succeeds_silently()?;
        has_no_ifb(bench)
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/del/03",
    rule: "DEL of one container leaves the ifb of another.",
    faults: &[
        Fault::After("DEL", "ip link del bwp6878eed11344"),
        Fault::Env("CNI_CONTAINERID", "ctr1")
    ],
    run: |bench| {
        let (config, _) = chained(
            bench,
            json!({ "egressRate": 16_000_000, "egressBurst": 1_600_000 }),
        )?;
        bench
            .call("DEL", &config)
            .env("CNI_CONTAINERID", "ctr2")
            .reply()?
            .succeeds_silently()?;
        expect("rate", &json!(2_000_000), &bucket(bench, IFB)?.0)
    },
    ..BANDWIDTH
});

refused_chained!(BANDWIDTH, "bandwidth/config/04", "A rate without a burst in runtimeConfig is refused.",
    { "runtimeConfig": { "bandwidth": { "egressRate": 8000000 } } }, ["if rate is set, burst must also be set"]);
refused_chained!(BANDWIDTH, "bandwidth/config/05", "A negative rate is refused.",
    { "ingressRate": -1, "ingressBurst": 1 }, ["ingressRate"]);
refused_chained!(BANDWIDTH, "bandwidth/config/06", "A prevResult without interfaces is refused.",
    { "ingressRate": 8000000, "ingressBurst": 800000,
      "prevResult": { "cniVersion": "1.0.0", "ips": [{ "address": "10.88.0.5/24" }] } }, ["no interfaces"]);
refused_chained!(BANDWIDTH, "bandwidth/config/07", "A prevResult without the host's end of the pod's pair is refused.",
    { "ingressRate": 8000000, "ingressBurst": 800000,
      "prevResult": { "cniVersion": "1.0.0", "interfaces": [{ "name": "br0" }, { "name": "eth0", "sandbox": "/run/netns/pod" }] } },
    ["no veth peer"]);

/// A rate or burst below one byte.
macro_rules! refused_small {
    ($id:literal, $rule:literal, $patch:tt) => {
        submit!(Case {
            id: $id,
            rule: $rule,
            faults: &[Fault::ExitZero, Fault::Skip("ADD")],
            run: |bench| refuses_chained(bench, json!($patch), &[]),
            ..BANDWIDTH
        });
    };
}
refused_small!("bandwidth/config/08", "A rate below one byte a second is refused.", { "ingressRate": 7, "ingressBurst": 800 });
refused_small!("bandwidth/config/09", "A burst below one byte is refused.", { "ingressRate": 8000, "ingressBurst": 7 });

submit!(Case {
    id: "bandwidth/config/10",
    rule: "ADD and CHECK without prevResult are refused.",
    versions: CHECKED,
    faults: &[
        Fault::On("ADD", &Fault::ExitZero),
        Fault::On("CHECK", &Fault::ExitZero),
        Fault::Error("/msg", "it failed")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let config = with(bench, both());
        for command in ["ADD", "CHECK"] {
            let reply = bench.call(command, &config).reply()?;
            complains(&reply, &["chained plugin"])?;
        }
        Ok(())
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/config/11",
    rule: "A pod's interface that is not there is refused and named.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| {
        let config = behind(bench, both())?;
        bench.run("ip", &["-n", "pod", "link", "del", "eth0"])?;
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["eth0"])
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/config/12",
    rule: "A pod's interface that is no veth is refused and named.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| {
        let config = behind(bench, both())?;
        bench.run("ip", &["-n", "pod", "link", "del", "eth0"])?;
        bench.run(
            "ip",
            &["-n", "pod", "link", "add", "eth0", "type", "bridge"],
        )?;
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["eth0", "veth"])
    },
    ..BANDWIDTH
});

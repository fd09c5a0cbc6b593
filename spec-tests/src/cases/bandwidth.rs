//! bandwidth: rate limits, as `tc` shows them and as packets feel them.

use super::{chained::*, prelude::*, sight::*};

const BANDWIDTH: Case = Case {
    judges: Judges::Only(&["bandwidth"]),
    needs: &["tc", "link:ifb"],
    ..COMPAT
};

/// The ifb of container `ctr1` in network `suite`: `bwp` and 12 digits of the SHA-512 of both.
const IFB: &str = "bwp6878eed11344";

/// The token bucket at the root of a link: rate in bytes a second and burst in bytes.
fn bucket(bench: &mut Bench, dev: &str) -> Result<(Value, Value), Failure> {
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

submit! { Case {
    id: "bandwidth/ingress/01",
    rule: "ingressRate and ingressBurst make a token bucket at the host end, in bytes.",
    faults: &[Fault::Config("/ingressRate", "=16000000"), Fault::After("ADD", "tc qdisc del dev vhost0 root")],
    run: |bench| {
        chained(bench, json!({ "ingressRate": 8_000_000, "ingressBurst": 800_000 }))?;
        expect("rate and burst", &(json!(1_000_000), json!(100_000)), &bucket(bench, "vhost0")?)
    },
    ..BANDWIDTH
} }

submit! { Case {
    id: "bandwidth/egress/01",
    rule: "egressRate and egressBurst make a token bucket at an ifb named by the hash of network and container.",
    faults: &[Fault::Config("/egressRate", "=8000000"), Fault::Env("CNI_CONTAINERID", "ctr2")],
    run: |bench| {
        chained(bench, json!({ "egressRate": 16_000_000, "egressBurst": 1_600_000 }))?;
        expect("rate and burst", &(json!(2_000_000), json!(200_000)), &bucket(bench, IFB)?)
    },
    ..BANDWIDTH
} }

submit! { Case {
    id: "bandwidth/egress/02",
    rule: "What the pod sends is redirected to the ifb.",
    needs: &["tc", "ping", "link:ifb"],
    faults: &[Fault::After("ADD", "tc qdisc del dev vhost0 ingress")],
    run: |bench| {
        chained(bench, json!({ "egressRate": 16_000_000, "egressBurst": 1_600_000 }))?;
        let sent = |bench: &mut Bench| -> Result<u64, Failure> {
            Ok(ip(bench, HOST, &["-s", "link", "show", "dev", IFB])?[0]["stats64"]["tx"]["packets"].as_u64().unwrap_or(0))
        };
        let before = sent(bench)?;
        inside(bench, "pod", &["ping", "-n", "-c", "3", "-i", "0.01", "-w", "2", "10.88.0.1"])?;
        let after = sent(bench)?;
        expect_that(after >= before + 3, "three packets more through the ifb", format!("{before} -> {after}"))
    },
    ..BANDWIDTH
} }

submit! { Case {
    id: "bandwidth/ingress/02",
    rule: "Packets beyond the burst wait for their tokens.",
    needs: &["tc", "ping", "link:ifb"],
    faults: &[Fault::Config("/ingressRate", "=800000000"), Fault::After("ADD", "tc qdisc del dev vhost0 root")],
    run: |bench| {
        // 64,000 bit/s are 8,000 bytes a second: ten replies of 1,028 bytes behind a burst of
        // 2,000 bytes take more than half a second.
        chained(bench, json!({ "ingressRate": 64_000, "ingressBurst": 16_000 }))?;
        let start = std::time::Instant::now();
        let send = ["ping", "-n", "-c", "10", "-i", "0.002", "-s", "1000", "-w", "5", "10.88.0.1"];
        let _ = inside(bench, "pod", &send);
        let took = start.elapsed();
        expect_that(took.as_millis() > 400, "more than 0.4 s", format!("{took:?}"))
    },
    ..BANDWIDTH
} }

submit! { Case {
    id: "bandwidth/result/01",
    rule: "The result is prevResult with the ifb behind it when egress is limited.",
    faults: &[Fault::Result("/interfaces/3", ""), Fault::Result("/ips/0/interface", "=0")],
    run: |bench| {
        let (_, result) = chained(bench, json!({ "egressRate": 16_000_000, "egressBurst": 1_600_000 }))?;
        expect("name", &json!(IFB), &result["interfaces"][3]["name"])?;
        expect("MAC", &link(bench, HOST, IFB)?["address"], &result["interfaces"][3]["mac"])?;
        expect("ips", &wired(SpecVersion::V1_0_0)["ips"], &result["ips"])
    },
    ..BANDWIDTH
} }

submit! { Case {
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
} }

submit! { Case {
    id: "bandwidth/runtime/02",
    rule: "Limits at the top level win over runtimeConfig.",
    faults: &[Fault::Config("/ingressRate", "=4000000")],
    run: |bench| {
        chained(bench, json!({ "ingressRate": 8_000_000, "ingressBurst": 800_000,
            "runtimeConfig": { "bandwidth": { "ingressRate": 1_000_000, "ingressBurst": 800_000 } } }))?;
        expect("ingress", &json!(1_000_000), &bucket(bench, "vhost0")?.0)
    },
    ..BANDWIDTH
} }

submit! { Case {
    id: "bandwidth/none/01",
    rule: "Without limits there is no token bucket and the result is prevResult.",
    faults: &[Fault::After("ADD", "tc qdisc add dev vhost0 root tbf rate 1mbit burst 10kb latency 50ms")],
    run: |bench| {
        let (_, result) = chained(bench, json!({}))?;
        expect("rate", &Value::Null, &bucket(bench, "vhost0")?.0)?;
        expect("interfaces", &wired(SpecVersion::V1_0_0)["interfaces"], &result["interfaces"])
    },
    ..BANDWIDTH
} }

submit! { Case {
    id: "bandwidth/mtu/01",
    rule: "The ifb has the host end's MTU.",
    faults: &[Fault::After("ADD", "ip link set bwp6878eed11344 mtu 1500")],
    run: |bench| {
        let config = behind(bench, json!({ "egressRate": 16_000_000, "egressBurst": 1_600_000 }))?;
        bench.run("ip", &["link", "set", "vhost0", "mtu", "1400"])?;
        bench.add(&config)?;
        expect("MTU", &json!(1400), &link(bench, HOST, IFB)?["mtu"])
    },
    ..BANDWIDTH
} }

submit! { Case {
    id: "bandwidth/del/01",
    rule: "DEL removes the ifb, also when the namespace is gone, and succeeds again.",
    faults: &[Fault::Skip("DEL"), Fault::Once("DEL")],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "egressRate": 16_000_000, "egressBurst": 1_600_000 }))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        expect_that(!links(bench, HOST)?.contains(&IFB.to_owned()), "no ifb", IFB)
    },
    ..BANDWIDTH
} }

refused_chained!(BANDWIDTH, "bandwidth/config/01", "A rate without a burst is refused.",
    { "ingressRate": 8000000 }, ["if rate is set, burst must also be set"]);
refused_chained!(BANDWIDTH, "bandwidth/config/02", "A burst without a rate is refused.",
    { "egressBurst": 8000000 }, ["if burst is set, rate must also be set"]);
refused_chained!(BANDWIDTH, "bandwidth/config/03", "A burst of 4 GiB and more is refused.",
    { "ingressRate": 8000000, "ingressBurst": 34359738368_u64 }, ["4GB"]);

submit! { Case {
    id: "bandwidth/check/01",
    rule: "CHECK of healthy limits succeeds, and finds another rate.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "ingressRate": 8_000_000, "ingressBurst": 800_000 }))?;
        check_finds(bench, &config, &["tc", "qdisc", "replace", "dev", "vhost0", "root", "tbf", "rate", "1mbit", "burst", "100kb", "latency", "25ms"])
    },
    ..BANDWIDTH
} }

submit! { Case {
    id: "bandwidth/check/02",
    rule: "CHECK finds the ifb gone.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "egressRate": 16_000_000, "egressBurst": 1_600_000 }))?;
        check_finds(bench, &config, &["ip", "link", "del", IFB])
    },
    ..BANDWIDTH
} }

//! bandwidth: what is left by an ADD that failed, by one whose DEL never came, and by DEL; and the
//! burst that nobody told.

use crate::cases::{bandwidth::*, chained::*, packets::*, prelude::*};

submit!(Case {
    id: "bandwidth/add/01",
    rule: "An ADD after one whose DEL never came limits anew.",
    faults: &[
        Fault::On("ADD", &Fault::Once("ADD")),
        Fault::Config("/egressRate", "=8000000")
    ],
    repairs: &[Fault::Before(
        "ADD",
        "ip link del bwp6878eed11344; tc qdisc del dev vhost0 root; tc qdisc del dev vhost0 ingress; true"
    )],
    run: |bench| {
        let (config, _) = chained(bench, both())?;
        let mut again = with(bench, both());
        again["prevResult"] = wired(bench.version);
        let result = bench.add(&again)?;
        expect(
            "interfaces",
            &config["prevResult"]["interfaces"][3]["name"],
            &result["interfaces"][3]["name"],
        )?;
        expect("ingress", &json!(1_000_000), &bucket(bench, "vhost0")?.0)?;
        expect("egress", &json!(2_000_000), &bucket(bench, IFB)?.0)
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/add/02",
    rule: "An ADD that fails leaves neither ifb nor token bucket.",
    faults: &[
        Fault::On("ADD", &Fault::ExitZero),
        Fault::After("ADD", "ip link add bwp6878eed11344 type ifb"),
        Fault::After(
            "ADD",
            "tc qdisc add dev vhost0 root tbf rate 1mbit burst 10kb latency 50ms"
        )
    ],
    repairs: &[Fault::Instead(
        "ADD",
        r#"said=$("$REAL") && { echo "$said"; exit; }
        ip link del bwp6878eed11344; tc qdisc del dev vhost0 root
        echo "$said"; exit 1"#
    )],
    run: |bench| {
        let config = behind(bench, both())?;
        bench.run("tc", &["qdisc", "add", "dev", "vhost0", "clsact"])?;
        bench.call("ADD", &config).reply()?.error()?;
        expect("rate", &Value::Null, &bucket(bench, "vhost0")?.0)?;
        has_no_ifb(bench)
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/del/04",
    rule: "Where the pod stays, DEL leaves what it receives and sends without limits.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After(
            "DEL",
            "tc qdisc add dev vhost0 root tbf rate 1mbit burst 10kb latency 50ms"
        )
    ],
    repairs: &[Fault::After(
        "DEL",
        "tc qdisc del dev vhost0 root; tc qdisc del dev vhost0 ingress; true"
    )],
    needs: &["tc", "link:ifb", "ping"],
    run: |bench| {
        let (config, _) = chained(bench, both())?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("rate", &Value::Null, &bucket(bench, "vhost0")?.0)?;
        answers(bench, "pod", "10.88.0.1")
    },
    ..BANDWIDTH
});

submit!(Case {
    id: "bandwidth/burst/01",
    rule: "A burst of 2147483647, which runtimes write when nobody told one, lets no seconds pass.",
    faults: &[
        Fault::Config("/runtimeConfig/bandwidth/ingressRate", "=800000000"),
        Fault::After(
            "ADD",
            "tc qdisc change dev vhost0 root handle 1: tbf rate 10mbit burst 200000000b latency 25ms"
        )
    ],
    repairs: &[Fault::Where(
        "/runtimeConfig/bandwidth/ingressBurst",
        &Fault::Config("/runtimeConfig/bandwidth/ingressBurst", "=1000000")
    )],
    run: |bench| {
        let rate = 10_000_000;
        let limits = json!({ "ingressRate": rate, "ingressBurst": i32::MAX });
        chained(bench, json!({ "runtimeConfig": { "bandwidth": limits } }))?;
        let (seen, burst) = bucket(bench, "vhost0")?;
        expect("rate", &json!(rate / 8), &seen)?;
        let is_short = burst.as_u64().is_some_and(|burst| burst <= rate / 8);
        expect_that(is_short, "a burst of a second at most", burst)
    },
    ..BANDWIDTH
});

//! bandwidth: what CHECK finds.

use crate::cases::{bandwidth::*, chained::*, prelude::*, sight::*};

const CHECK: Case = Case {
    versions: CHECKED,
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    ..BANDWIDTH
};

/// CHECK of healthy limits of that direction succeeds, and finds the damage, a `tc` or `ip` line.
fn finds(bench: &mut Bench, direction: &str, damage: &str) -> Result<(), Failure> {
    let rate = format!("{direction}Rate");
    let burst = format!("{direction}Burst");
    let (config, _) = chained(bench, json!({ rate: 8_000_000, burst: 800_000 }))?;
    check_finds(bench, &config, &damage.split(' ').collect::<Vec<_>>())
}

submit!(Case {
    id: "bandwidth/check/01",
    rule: "CHECK of healthy limits succeeds, and finds another rate.",
    run: |bench| finds(
        bench,
        "ingress",
        "tc qdisc replace dev vhost0 root tbf rate 1mbit burst 100kb latency 25ms"
    ),
    ..CHECK
});

submit!(Case {
    id: "bandwidth/check/02",
    rule: "CHECK of healthy limits of egress succeeds, and finds the ifb gone.",
    run: |bench| finds(bench, "egress", "ip link del bwp6878eed11344"),
    ..CHECK
});

submit!(Case {
    id: "bandwidth/check/03",
    rule: "CHECK finds another rate of egress.",
    run: |bench| finds(
        bench,
        "egress",
        "tc qdisc replace dev bwp6878eed11344 root tbf rate 1mbit burst 100kb latency 25ms"
    ),
    ..CHECK
});

submit!(Case {
    id: "bandwidth/check/04",
    rule: "CHECK finds another burst.",
    run: |bench| finds(
        bench,
        "ingress",
        "tc qdisc replace dev vhost0 root tbf rate 8mbit burst 50kb latency 25ms"
    ),
    ..CHECK
});

submit!(Case {
    id: "bandwidth/check/05",
    rule: "CHECK finds the token bucket gone.",
    repairs: &[Fault::Instead(
        "CHECK",
        r#"tc qdisc show dev vhost0 </dev/null | grep -q tbf || exit 1; exec "$REAL""#
    )],
    run: |bench| finds(bench, "ingress", "tc qdisc del dev vhost0 root"),
    ..CHECK
});

submit!(Case {
    id: "bandwidth/check/06",
    rule: "CHECK finds that what the pod sends is not led to the ifb any more.",
    repairs: &[Fault::Instead(
        "CHECK",
        r#"tc qdisc show dev vhost0 </dev/null | grep -q ingress || exit 1; exec "$REAL""#
    )],
    run: |bench| finds(bench, "egress", "tc qdisc del dev vhost0 ingress"),
    ..CHECK
});

submit!(Case {
    id: "bandwidth/check/07",
    rule: "CHECK without limits succeeds.",
    repairs: &[Fault::Instead(
        "CHECK",
        r#"config=$(cat); case $config in *Rate*) echo "$config" | "$REAL" ;; esac"#
    )],
    faults: &[Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()
    },
    ..CHECK
});

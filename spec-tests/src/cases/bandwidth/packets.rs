//! bandwidth: limits as packets feel them.
//!
//! How long a transfer takes at least is a fact on any machine, how long at most is not: what must
//! not wait is told by the kernel's counter of packets that had to.

use crate::cases::{bandwidth::*, chained::*, http, prelude::*, sight::*};

const PACKETS: Case = Case {
    needs: &["tc", "link:ifb", "busybox", "bash"],
    ..BANDWIDTH
};

/// Bytes of the file that is fetched.
const SIZE: u64 = 150_000;
/// 100,000 bytes a second behind a burst of 20,000: the file takes 1.3 s at least.
const RATE: u64 = 800_000;
const BURST: u64 = 160_000;

/// One end of a transfer.
#[derive(Clone, Copy)]
enum To {
    Pod,
    Host,
}

/// Fetches the file from the other end, at that address, until all of it has come; the time that
/// it took, in milliseconds.
fn fetch(bench: &mut Bench, to: To, server: &str) -> Result<u64, Failure> {
    let (client, at) = match to {
        To::Pod => ("pod", HOST),
        To::Host => (HOST, "pod"),
    };
    http::file(bench, at, "file", SIZE)?;
    http::serve_on(bench, at, "80")?;
    let all = format!("[ $(wc -c <&3) -ge {SIZE} ] && echo $(($(date +%s%3N) - start))");
    let line = http::get(server, 80, "/file", &all);
    let limit = bench.patience.as_secs().to_string();
    let mut took = None;
    bench.in_time(|bench| {
        let said = watched(bench, client, &["timeout", &limit, "bash", "-c", &line]);
        took = said.ok().and_then(|said| said.trim().parse().ok());
        took.is_some()
    });
    took.ok_or_else(|| Failure::new("the transfer", "it comes to its end", "it does not"))
}

/// The transfer takes the time that the rate demands.
fn waits(bench: &mut Bench, to: To, server: &str) -> Result<(), Failure> {
    let took = fetch(bench, to, server)?;
    expect_that(took >= 1000, "it takes 1 s at least", format!("{took} ms"))
}

/// How often packets had to wait in the token bucket of a link.
fn waited(bench: &mut Bench, dev: &str) -> Result<u64, Failure> {
    let shown = bench.look("tc", &["-s", "-j", "qdisc", "show", "dev", dev])?;
    let all = shown.as_array().into_iter().flatten();
    let mut buckets = all.filter(|qdisc| qdisc["kind"] == "tbf");
    let count = buckets
        .next()
        .and_then(|bucket| bucket["overlimits"].as_u64());
    count.ok_or_else(|| {
        Failure::new(
            "what tc shows",
            "a token bucket that counts",
            shown.to_string(),
        )
    })
}

fn ingress() -> Value {
    json!({ "ingressRate": RATE, "ingressBurst": BURST })
}

fn egress() -> Value {
    json!({ "egressRate": RATE, "egressBurst": BURST })
}

submit!(Case {
    id: "bandwidth/packets/01",
    rule: "What comes to the pod comes no faster than ingressRate.",
    faults: &[
        Fault::Config("/ingressRate", "=800000000"),
        Fault::After("ADD", "tc qdisc del dev vhost0 root")
    ],
    run: |bench| {
        chained(bench, ingress())?;
        waits(bench, To::Pod, "10.88.0.1")
    },
    ..PACKETS
});

submit!(Case {
    id: "bandwidth/packets/02",
    rule: "What comes to the pod over IPv6 comes no faster than ingressRate.",
    faults: &[Fault::Config("/ingressRate", "=800000000")],
    run: |bench| {
        chained(bench, ingress())?;
        waits(bench, To::Pod, "2001:db8::1")
    },
    ..PACKETS
});

submit!(Case {
    id: "bandwidth/packets/03",
    rule: "What the pod sends goes no faster than egressRate.",
    faults: &[
        Fault::Config("/egressRate", "=800000000"),
        Fault::After("ADD", "tc qdisc del dev vhost0 ingress")
    ],
    run: |bench| {
        chained(bench, egress())?;
        waits(bench, To::Host, "10.88.0.5")
    },
    ..PACKETS
});

submit!(Case {
    id: "bandwidth/packets/04",
    rule: "What the pod sends over IPv6 goes no faster than egressRate.",
    faults: &[Fault::After(
        "ADD",
        "tc filter del dev vhost0 ingress; tc filter add dev vhost0 ingress protocol ip matchall action mirred egress redirect dev bwp6878eed11344"
    )],
    run: |bench| {
        chained(bench, egress())?;
        waits(bench, To::Host, "2001:db8::5")
    },
    ..PACKETS
});

submit!(Case {
    id: "bandwidth/packets/05",
    rule: "What fits into the burst does not wait.",
    faults: &[
        Fault::Config("/ingressBurst", "=160000"),
        Fault::Config("/egressBurst", "=160000")
    ],
    run: |bench| {
        chained(
            bench,
            json!({ "ingressRate": RATE, "ingressBurst": 16_000_000, "egressRate": RATE, "egressBurst": 16_000_000 }),
        )?;
        fetch(bench, To::Pod, "10.88.0.1")?;
        fetch(bench, To::Host, "10.88.0.5")?;
        expect(
            "packets that waited for ingress",
            &0,
            &waited(bench, "vhost0")?,
        )?;
        expect("packets that waited for egress", &0, &waited(bench, IFB)?)
    },
    ..PACKETS
});

submit!(Case {
    id: "bandwidth/packets/06",
    rule: "Limits of one direction are not felt in the other.",
    faults: &[
        Fault::Config("/ingressBurst", "=160000"),
        Fault::Config("/egressRate", "=800000000")
    ],
    run: |bench| {
        chained(
            bench,
            json!({ "ingressRate": RATE, "ingressBurst": 16_000_000, "egressRate": RATE, "egressBurst": BURST }),
        )?;
        waits(bench, To::Host, "10.88.0.5")?;
        fetch(bench, To::Pod, "10.88.0.1")?;
        expect(
            "packets that waited for ingress",
            &0,
            &waited(bench, "vhost0")?,
        )
    },
    ..PACKETS
});

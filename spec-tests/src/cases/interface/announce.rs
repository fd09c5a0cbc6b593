//! A pod's addresses are announced when they come: who knew another MAC address for one of them
//! reaches the new pod at once.

use crate::cases::{announce::*, packets::*, prelude::*, sight::*};

const ANNOUNCE: Case = Case {
    judges: INTERFACE,
    ..COMPAT
};

submit!(Case {
    id: "announce/sysctl/01",
    rule: "The pod's interface announces its IPv4 addresses: arp_notify is 1.",
    judges: Judges::Only(&["ptp"]),
    faults: &[NO_ARP_NOTIFY],
    repairs: &[ARP_NOTIFY],
    run: |bench| {
        attach(bench, json!({ "ipam": dual() }))?;
        announces_four(bench)
    },
    ..ANNOUNCE
});

submit!(Case {
    id: "announce/sysctl/02",
    rule: "The pod's interface announces its IPv6 addresses: ndisc_notify is 1.",
    faults: &[NO_NDISC_NOTIFY],
    repairs: &[NDISC_NOTIFY],
    run: |bench| {
        attach(bench, json!({ "ipam": dual() }))?;
        announces_six(bench)
    },
    ..ANNOUNCE
});

/// After ADD the peer still believes that the address is somewhere else, as if nothing had been
/// announced.
const DEAF: Fault = Fault::After(
    "ADD",
    "[ ! -e /run/netns/new ] || for a in 10.88.0.99 2001:db8::99; do \
     ip -n peer neighbour replace $a lladdr 02:00:00:00:00:99 dev eth0 nud permanent; done",
);

/// Pods `peer`, `old` and `new` of one bridge; `new` gets the address that `old` had and `peer`
/// has talked to, and `peer` must know the new MAC address without asking.
fn is_known_at_once(bench: &mut Bench, ipam: Value, address: &str) -> Result<(), Failure> {
    let config = with(bench, json!({ "ipam": ipam }));
    let pinned = with(
        bench,
        json!({ "ipam": ipam, "args": { "cni": { "ips": [address] } } }),
    );
    attach_other(bench, "peer", &config)?;
    attach_other(bench, "old", &pinned)?;
    answers(bench, "peer", address)?;
    detach_other(bench, "old", &pinned)?;
    attach_other(bench, "new", &pinned)?;
    let mac = link(bench, "new", "eth0")?["address"].clone();
    let known = bench.in_time(|bench| {
        let seen = ip(bench, "peer", &["neighbour", "show", address]);
        seen.is_ok_and(|seen| seen[0]["lladdr"] == mac)
    });
    expect_that(
        known,
        "the peer knows the new pod's MAC address",
        ip(bench, "peer", &["neighbour", "show", address])?,
    )
}

submit!(Case {
    id: "announce/bridge/01",
    rule: "A pod that gets an IPv4 address again is known to its peers at once.",
    judges: Judges::Only(&["bridge"]),
    needs: &["ping"],
    faults: &[DEAF, Fault::On("ADD", &Fault::Config("/args", ""))],
    run: |bench| is_known_at_once(bench, host_local(&["10.88.0.0/24"]), "10.88.0.99"),
    ..ANNOUNCE
});

submit!(Case {
    id: "announce/bridge/02",
    rule: "A pod that gets an IPv6 address again is known to its peers at once.",
    judges: Judges::Only(&["bridge"]),
    needs: &["ping"],
    faults: &[DEAF, Fault::On("ADD", &Fault::Config("/args", ""))],
    run: |bench| is_known_at_once(bench, six(), "2001:db8::99"),
    ..ANNOUNCE
});

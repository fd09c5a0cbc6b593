//! dummy: an interface of the pod's own that leads nowhere and keeps its addresses.

use crate::cases::{links::*, packets::*, prelude::*, sight::*};

const DUMMY: Case = Case {
    judges: Judges::Only(&["dummy"]),
    needs: &["link:dummy"],
    ..COMPAT
};

/// What needs no interface is judged whatever the kernel can do.
const ANYWHERE: Case = Case {
    needs: &[],
    ..DUMMY
};

/// It works on nothing but the pod.
#[allow(clippy::unnecessary_wraps, reason = "other plugins need a master")]
fn nothing(_: &mut Bench) -> Result<(), Failure> {
    Ok(())
}

one_link!("dummy", DUMMY, made: attach, prepare: nothing,
    name_taken: &[], ipam_fails: &[], no_address: &[], late: &[],
    other_mac: "ip -n pod link set eth0 address 02:00:00:00:00:66");

refused!(ANYWHERE, "dummy/ipam/01", "A configuration without IPAM is refused, which the message says.",
    { "ipam": null }, ["requires an IPAM configuration"]);

submit!(Case {
    id: "dummy/ipam/02",
    rule: "CHECK without IPAM is refused, which the message says.",
    faults: &[Fault::Skip("CHECK"), Fault::Error("/msg", "it failed")],
    run: |bench| {
        bench.pod("pod")?;
        let interface = json!({ "name": "eth0", "sandbox": "/run/netns/pod" });
        let before = json!({ "cniVersion": "1.0.0", "interfaces": [interface], "ips": [] });
        let config = with(bench, json!({ "ipam": null, "prevResult": before }));
        complains(
            &bench.call("CHECK", &config).reply()?,
            &["requires an IPAM configuration"],
        )
    },
    ..ANYWHERE
});

submit!(Case {
    id: "dummy/dns/01",
    rule: "The dns of IPAM is in the result.",
    faults: &[Fault::Result("/dns", ""), Fault::Config("/ipam/dns", "")],
    run: |bench| {
        let ipam = json!({ "type": "static", "addresses": [{ "address": "10.88.0.7/24" }], "dns": { "nameservers": ["192.0.2.1"] } });
        let (_, result) = attach(bench, json!({ "ipam": ipam }))?;
        expect(
            "dns",
            &json!({ "nameservers": ["192.0.2.1"] }),
            &result["dns"],
        )
    },
    ..DUMMY
});

submit!(Case {
    id: "dummy/packets/01",
    rule: "The pod answers itself on the addresses.",
    needs: &["link:dummy", "ping"],
    faults: &[
        Fault::After("ADD", "ip -n pod address flush dev eth0"),
        Fault::Config("/ipam/ranges/1", "")
    ],
    run: |bench| {
        attach(bench, json!({ "ipam": dual() }))?;
        answers(bench, "pod", "10.88.0.2")?;
        answers(bench, "pod", "2001:db8::2")
    },
    ..DUMMY
});

spots!(
    DUMMY,
    attach,
    "dummy/check/07",
    "CHECK finds the interface down.",
    {},
    "ip -n pod link set eth0 down"
);

//! What an IPAM plugin returns when it is called by itself, as an interface plugin calls it.

use crate::cases::{prelude::*, sight::*};

const IPAM: Case = Case {
    judges: Judges::Only(&["host-local", "static"]),
    source: "Section 5, Delegated plugins (IPAM)",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    ..CASE
};

submit!(Case {
    id: "spec/ipam/result/01",
    rule: "The result of an IPAM plugin has no interfaces.",
    faults: &[
        Fault::Result("/interfaces", "=[{\"name\": \"eth0\"}]"),
        Fault::Result("/interfaces", "=[]")
    ],
    run: |bench| {
        let config = bench.config();
        let result = bench.add(&config)?;
        expect("interfaces", &Value::Null, &result["interfaces"])
    },
    ..IPAM
});

submit!(Case {
    id: "spec/ipam/result/02",
    rule: "Addresses in the result of an IPAM plugin point at no interface.",
    faults: &[Fault::Result("/ips/0/interface", "=0")],
    run: |bench| {
        let config = bench.config();
        let result = bench.add(&config)?;
        expect_that(
            result["ips"][0]["address"].is_string(),
            "an address",
            &result,
        )?;
        expect("interface", &Value::Null, &result["ips"][0]["interface"])
    },
    ..IPAM
});

submit!(Case {
    id: "spec/ipam/result/03",
    rule: "An IPAM plugin gives its addresses in the shape of the configuration's version.",
    versions: EVERY,
    source: "Section 5, Success, and IP Allocation (0.1.0 to 0.4.0)",
    faults: &[
        Fault::Result("/ip4", ""),
        Fault::Result("/ips/0/version", "=4"),
        Fault::Result("/cniVersion", "0.0.1"),
        Fault::Result("/ips/0/version", "6")
    ],
    run: |bench| {
        let config = bench.config();
        let result = bench.add(&config)?;
        let version = bench.version;
        if version > SpecVersion::V0_1_0 {
            expect(
                "cniVersion",
                &json!(version.as_str()),
                &result["cniVersion"],
            )?;
        }
        if version < SpecVersion::V0_3_0 {
            let right = result["ip4"]["ip"].is_string() && result["ips"].is_null();
            return expect_that(right, "ip4 and no ips", &result);
        }
        let expected = if version < SpecVersion::V1_0_0 {
            json!("4")
        } else {
            Value::Null
        };
        expect(
            "version of the address",
            &expected,
            &result["ips"][0]["version"],
        )?;
        expect("ip4", &Value::Null, &result["ip4"])
    },
    ..IPAM
});

submit!(Case {
    id: "spec/ipam/links/01",
    rule: "An IPAM plugin makes no link and puts no address on one: that is the interface plugin's.",
    source: "Section 4, Plugin Delegation",
    versions: CHECKED,
    faults: &[
        Fault::After("ADD", "ip -n pod link add eth0 type veth peer name far0"),
        Fault::After("ADD", "ip link add veth1 type veth peer name veth2"),
        Fault::After("ADD", "ip -n pod address add 10.88.0.2/24 dev lo")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        bench.add(&config)?;
        expect("links in the pod", &list(&["lo"]), &links(bench, "pod")?)?;
        expect("links on the host", &list(&["lo"]), &links(bench, HOST)?)?;
        expect(
            "addresses of lo",
            &list(&["127.0.0.1/8", "::1/128"]),
            &addresses(bench, "pod", "lo")?,
        )
    },
    ..IPAM
});

submit!(Case {
    id: "spec/status/exhausted/01",
    rule: "STATUS of an IPAM plugin whose addresses are all given away fails, for no ADD can be served.",
    level: Level::Should,
    source: "Section 2, STATUS",
    judges: Judges::Only(&["host-local"]),
    versions: NEWEST,
    faults: &[
        Fault::Skip("STATUS"),
        Fault::On("STATUS", &Fault::ExitZero),
        Fault::On("STATUS", &Fault::Code(999))
    ],
    run: |bench| {
        let config = with(
            bench,
            json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/30" } }),
        );
        status(bench, &config)?.succeeds_silently()?;
        bench.add(&config)?;
        bench
            .call("ADD", &config)
            .env("CNI_CONTAINERID", "another")
            .reply()?
            .error()?;
        status(bench, &config)?.fails_with(50).map(drop)
    },
    ..IPAM
});

submit!(Case {
    id: "spec/status/exhausted/02",
    rule: "STATUS succeeds again when an address was released.",
    level: Level::Should,
    source: "Section 2, STATUS",
    judges: Judges::Only(&["host-local"]),
    versions: NEWEST,
    faults: &[Fault::Once("STATUS"), Fault::Skip("DEL")],
    run: |bench| {
        let config = with(
            bench,
            json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/30" } }),
        );
        bench.add(&config)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        status(bench, &config)?.succeeds_silently()?;
        status(bench, &config)?.succeeds_silently()
    },
    ..IPAM
});

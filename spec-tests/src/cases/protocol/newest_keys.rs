//! The keys that version 1.1.0 brought into results.

use crate::actor::Answer;
use crate::cases::{delegation, prelude::*, sight::*};

const KEYS: Case = Case {
    judges: INTERFACE,
    versions: NEWEST,
    source: "Section 5, Success",
    ..CASE
};

fn interfaces(result: &Value) -> Vec<Value> {
    result["interfaces"].as_array().cloned().unwrap_or_default()
}

/// Interfaces of the result have no keys but these.
fn only_keys(result: &Value, known: &[&str]) -> Result<(), Failure> {
    for interface in interfaces(result) {
        let keys = interface.as_object().into_iter().flatten();
        let strange: Vec<_> = keys
            .map(|(key, _)| key.clone())
            .filter(|key| !known.contains(&key.as_str()))
            .collect();
        let what = format!("other keys of {interface}");
        expect(&what, &Vec::<String>::new(), &strange)?;
    }
    Ok(())
}

submit!(Case {
    id: "spec/result/interfaces/04",
    rule: "Before 1.1.0 an interface in the result has a name, a mac and a sandbox, and no key of a newer version.",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_0_0],
    source: "Section 5, Success (0.3.0 to 1.0.0)",
    faults: &[
        Fault::Result("/interfaces/0/mtu", "=1500"),
        Fault::Result("/interfaces/1/socketPath", "/x")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        only_keys(&result, &["name", "mac", "sandbox"])
    },
    ..KEYS
});

submit!(Case {
    id: "spec/result/interfaces/05",
    rule: "Under 1.1.0 an interface in the result has no key that the specification does not know.",
    faults: &[Fault::Result("/interfaces/0/surprise", "=1")],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        only_keys(
            &result,
            &["name", "mac", "mtu", "sandbox", "socketPath", "pciID"],
        )
    },
    ..KEYS
});

submit!(Case {
    id: "spec/result/interfaces/06",
    rule: "Under 1.1.0 the mtu of an interface, where the result has it, is a number and that of the link.",
    faults: &[
        Fault::Result("/interfaces/0/mtu", "=1499"),
        Fault::Result("/interfaces/1/mtu", "1500")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "mtu": 1400 }))?;
        for interface in interfaces(&result) {
            let ns = if interface["sandbox"].is_string() {
                "pod"
            } else {
                HOST
            };
            let name = interface["name"].as_str().unwrap_or_default().to_owned();
            let mtu = link(bench, ns, &name)?["mtu"].clone();
            let right = interface["mtu"].is_null() || interface["mtu"] == mtu;
            expect_that(right, &format!("mtu {mtu} of {name}, or none"), &interface)?;
        }
        Ok(())
    },
    ..KEYS
});

submit!(Case {
    id: "spec/result/route-fields/03",
    rule: "Under 1.1.0 the scope of a route that IPAM gave is in the result and in the kernel.",
    faults: &[
        Fault::Result("/routes/0/scope", ""),
        Fault::After("ADD", "ip -n pod route replace 192.0.2.0/24 via 10.77.0.1")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let route = json!({ "dst": "192.0.2.0/24", "scope": 253 });
        let mut answer = delegation::ipam_result(bench.version, "10.77.0.5/24", "", json!([route]));
        answer["ips"][0]
            .as_object_mut()
            .map(|keys| keys.remove("gateway"));
        let (mut config, _) = delegation::own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        config.as_object_mut().map(|keys| keys.remove("isGateway"));
        let result = bench.add(&config)?;
        expect("scope", &json!(253), &result["routes"][0]["scope"])?;
        let seen = ip(bench, "pod", &["route", "show", "192.0.2.0/24"])?;
        expect("scope in the kernel", &json!("link"), &seen[0]["scope"])
    },
    judges: Judges::Only(&["bridge"]),
    ..KEYS
});

submit!(Case {
    id: "spec/result/pass-through/03",
    rule: "A result of 1.1.0 that is passed on keeps mtu, socketPath and pciID of interfaces and every field of routes.",
    judges: Judges::Only(&[
        "loopback",
        "tuning",
        "portmap",
        "sbr",
        "bandwidth",
        "firewall"
    ]),
    source: "Section 2, ADD; section 5, Success",
    faults: &[
        Fault::Result("/interfaces/0/mtu", ""),
        Fault::Result("/interfaces/0/socketPath", ""),
        Fault::Result("/interfaces/0/pciID", "x"),
        Fault::Result("/routes/0/scope", "")
    ],
    run: |bench| {
        bench.pod("pod")?;
        bench.run(
            "ip",
            &[
                "-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "name", "far0",
            ],
        )?;
        bench.run("ip", &["-n", "pod", "link", "set", "eth0", "up"])?;
        let address = ["-n", "pod", "address", "add", "10.77.0.5/24", "dev", "eth0"];
        bench.run("ip", &address)?;
        let route = json!({ "dst": "192.0.2.0/24", "gw": "10.77.0.1", "mtu": 1400, "advmss": 1340,
            "priority": 77, "table": 500, "scope": 0 });
        let mut previous =
            delegation::ipam_result(bench.version, "10.77.0.5/24", "10.77.0.1", json!([route]));
        previous["interfaces"] = json!([{ "name": "eth0", "mac": "02:00:00:00:00:05", "mtu": 1400,
            "sandbox": "/run/netns/pod", "socketPath": "/run/vhost/sock", "pciID": "0000:00:1f.6" }]);
        previous["ips"][0]["interface"] = json!(0);
        let config = with(bench, json!({ "prevResult": previous }));
        let result = bench.add(&config)?;
        expect("interfaces", &previous["interfaces"], &result["interfaces"])?;
        expect("routes", &previous["routes"], &result["routes"])
    },
    ..KEYS
});

//! The shape of a result in each version, and what the result says of the machine.

use crate::actor::Answer;
use crate::cases::{delegation, prelude::*, sight::*};

const RESULT: Case = Case {
    judges: INTERFACE,
    source: "Section 5, Success",
    ..CASE
};
/// Versions whose result lists interfaces and addresses.
const LISTED: [SpecVersion; 2] = [SpecVersion::V0_3_0, SpecVersion::V1_1_0];
/// Versions whose result has one block for each family.
const BLOCKS: [SpecVersion; 2] = [SpecVersion::V0_1_0, SpecVersion::V0_2_0];

fn interfaces(result: &Value) -> Vec<Value> {
    result["interfaces"].as_array().cloned().unwrap_or_default()
}

/// ADD with IPAM answering this.
fn given(bench: &mut Bench, answer: &Value) -> Result<Value, Failure> {
    bench.pod("pod")?;
    let (mut config, _) = delegation::own_ipam(bench, &[("ADD", Answer::with(answer))])?;
    // A bridge cannot be the gateway of two IPv4 networks at once.
    config.as_object_mut().map(|keys| keys.remove("isGateway"));
    bench.add(&config)
}

/// Two IPv4 addresses and one of IPv6, as IPAM gives them under `version`.
fn three(version: SpecVersion) -> Value {
    let of = |address, gateway| {
        delegation::ipam_result(version, address, gateway, json!([]))["ips"][0].clone()
    };
    json!({ "cniVersion": version.as_str(), "ips": [
        of("10.77.0.5/24", "10.77.0.1"), of("10.78.0.5/24", "10.78.0.1"), of("2001:db8:77::5/64", "2001:db8:77::1"),
    ], "routes": [{ "dst": "192.0.2.0/24", "gw": "10.77.0.1" }, { "dst": "2001:db8:9::/48", "gw": "2001:db8:77::1" }] })
}

submit!(Case {
    id: "spec/result/interfaces/01",
    rule: "Every interface in the result has a name, and the pod's its sandbox; the host's have none.",
    versions: LISTED,
    faults: &[
        Fault::Result("/interfaces/0/name", ""),
        Fault::Result("/interfaces/0/sandbox", "/run/netns/pod"),
        Fault::Result("/interfaces/2/sandbox", ""),
        Fault::Result("/interfaces/-", "={\"name\": \"x0\", \"sandbox\": \"\"}")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        let on_host = links(bench, HOST)?;
        for interface in interfaces(&result) {
            let name = interface["name"].as_str().unwrap_or_default().to_owned();
            let sandbox = if name == "eth0" {
                json!("/run/netns/pod")
            } else {
                Value::Null
            };
            expect(
                &format!("sandbox of {interface}"),
                &sandbox,
                &interface["sandbox"],
            )?;
            expect_that(
                name == "eth0" || on_host.contains(&name),
                "the interface exists on the host",
                &interface,
            )?;
        }
        Ok(())
    },
    ..RESULT
});

submit!(Case {
    id: "spec/result/interfaces/02",
    rule: "The MAC addresses of the result are those of the links.",
    versions: LISTED,
    faults: &[
        Fault::Result("/interfaces/0/mac", "02:00:00:00:00:99"),
        Fault::Result("/interfaces/1/mac", "")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        for interface in interfaces(&result) {
            let ns = if interface["sandbox"].is_string() {
                "pod"
            } else {
                HOST
            };
            let name = interface["name"].as_str().unwrap_or_default().to_owned();
            expect(
                &format!("MAC of {name}"),
                &link(bench, ns, &name)?["address"],
                &interface["mac"],
            )?;
        }
        expect_that(
            interfaces(&result).len() >= 2,
            "both ends are listed",
            &result,
        )
    },
    ..RESULT
});

submit!(Case {
    id: "spec/result/interfaces/03",
    rule: "Each address points with its index at the pod's interface.",
    versions: LISTED,
    faults: &[
        Fault::Result("/ips/0/interface", "=7"),
        Fault::Result("/ips/0/interface", "eth0"),
        Fault::Result("/ips/1/interface", "")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "ipam": dual() }))?;
        let ips = result["ips"].as_array().cloned().unwrap_or_default();
        expect("number of addresses", &2, &ips.len())?;
        for ip in ips {
            let index = ip["interface"].as_u64().unwrap_or(u64::MAX) as usize;
            expect(
                &format!("interface of {ip}"),
                &json!("eth0"),
                &result["interfaces"][index]["name"],
            )?;
        }
        Ok(())
    },
    ..RESULT
});

submit!(Case {
    id: "spec/result/address/01",
    rule: "Addresses carry their prefix length, gateways none.",
    versions: LISTED,
    faults: &[
        Fault::Result("/ips/0/address", "10.88.0.2"),
        Fault::Result("/ips/0/gateway", "10.88.0.1/24")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "ipam": dual() }))?;
        for ip in result["ips"].as_array().cloned().unwrap_or_default() {
            let (address, length) = ip["address"]
                .as_str()
                .and_then(|text| text.split_once('/'))
                .unwrap_or_default();
            let right = address.parse::<std::net::IpAddr>().is_ok() && length.parse::<u8>().is_ok();
            expect_that(right, "address with prefix length", &ip)?;
            let gateway = ip["gateway"].as_str().unwrap_or_default();
            expect_that(
                gateway.parse::<std::net::IpAddr>().is_ok(),
                "gateway without prefix length",
                &ip,
            )?;
        }
        expect(
            "first address",
            &json!("10.88.0.2/24"),
            &result["ips"][0]["address"],
        )
    },
    ..RESULT
});

submit!(Case {
    id: "spec/result/version/01",
    rule: "Under 0.3.0 to 0.4.0 an IPv6 address is marked with version 6.",
    versions: [SpecVersion::V0_3_0, SpecVersion::V0_4_0],
    source: "Section 5, Success (0.3.0 to 0.4.0)",
    faults: &[
        Fault::Result("/ips/0/version", "4"),
        Fault::Result("/ips/0/version", "")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "ipam": six() }))?;
        expect("version", &json!("6"), &result["ips"][0]["version"])
    },
    ..RESULT
});

submit!(Case {
    id: "spec/result/blocks/01",
    rule: "Under 0.1.0 and 0.2.0 each family has its block with its routes.",
    versions: BLOCKS,
    source: "Section 5, Success (0.1.0, 0.2.0)",
    faults: &[
        Fault::Result("/ip6", ""),
        Fault::Result("/ip4/routes", "=[]"),
        Fault::Result("/ip6/ip", "2001:db8::9/64")
    ],
    run: |bench| {
        let result = given(bench, &three(SpecVersion::V1_0_0))?;
        expect("ip4", &json!("10.77.0.5/24"), &result["ip4"]["ip"])?;
        expect("ip6", &json!("2001:db8:77::5/64"), &result["ip6"]["ip"])?;
        expect(
            "route of ip4",
            &json!("192.0.2.0/24"),
            &result["ip4"]["routes"][0]["dst"],
        )?;
        expect(
            "route of ip6",
            &json!("2001:db8:9::/48"),
            &result["ip6"]["routes"][0]["dst"],
        )
    },
    ..RESULT
});

submit!(Case {
    id: "spec/result/blocks/02",
    rule: "Under 0.1.0 and 0.2.0, which know one address of a family, the first one is reported.",
    versions: BLOCKS,
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[Fault::Result("/ip4/ip", "10.78.0.5/24")],
    run: |bench| {
        let result = given(bench, &three(SpecVersion::V1_0_0))?;
        expect("ip4", &json!("10.77.0.5/24"), &result["ip4"]["ip"])
    },
    ..RESULT
});

submit!(Case {
    id: "spec/result/blocks/03",
    rule: "Under 0.1.0 and 0.2.0 the result has no key of a newer version.",
    versions: BLOCKS,
    source: "Section 5, Success (0.1.0, 0.2.0)",
    faults: &[
        Fault::Result("/interfaces", "=[]"),
        Fault::Result("/routes", "=[]")
    ],
    run: |bench| {
        let result = given(bench, &three(SpecVersion::V1_0_0))?;
        let known = ["cniVersion", "ip4", "ip6", "dns"];
        let all = result.as_object().into_iter().flatten();
        let strange: Vec<_> = all
            .map(|(key, _)| key.clone())
            .filter(|key| !known.contains(&key.as_str()))
            .collect();
        expect("other keys", &Vec::<String>::new(), &strange)
    },
    ..RESULT
});

submit!(Case {
    id: "spec/result/lists/01",
    rule: "From 0.3.0 on the result has no key of an older version.",
    versions: LISTED,
    faults: &[Fault::Result("/ip4", "={}"), Fault::Result("/ip", "=[]")],
    run: |bench| {
        let result = given(bench, &three(bench.version))?;
        let known = ["cniVersion", "interfaces", "ips", "routes", "dns"];
        let all = result.as_object().into_iter().flatten();
        let strange: Vec<_> = all
            .map(|(key, _)| key.clone())
            .filter(|key| !known.contains(&key.as_str()))
            .collect();
        expect("other keys", &Vec::<String>::new(), &strange)
    },
    ..RESULT
});

submit!(Case {
    id: "spec/result/lists/02",
    rule: "From 0.3.0 on every address and route is listed, in the order in which IPAM gave them.",
    versions: LISTED,
    faults: &[Fault::Result("/ips/1", ""), Fault::Result("/routes/0", "")],
    run: |bench| {
        let result = given(bench, &three(bench.version))?;
        let texts = |key: &str, inner: &str| -> Vec<String> {
            let all = result[key].as_array().into_iter().flatten();
            all.map(|item| item[inner].as_str().unwrap_or_default().to_owned())
                .collect()
        };
        expect(
            "ips",
            &list(&["10.77.0.5/24", "10.78.0.5/24", "2001:db8:77::5/64"]),
            &texts("ips", "address"),
        )?;
        let routes = texts("routes", "dst");
        let ours: Vec<_> = routes
            .into_iter()
            .filter(|dst| ["192.0.2.0/24", "2001:db8:9::/48"].contains(&dst.as_str()))
            .collect();
        expect("routes", &list(&["192.0.2.0/24", "2001:db8:9::/48"]), &ours)
    },
    ..RESULT
});

submit!(Case {
    id: "spec/result/lists/03",
    rule: "Interface indices are numbers, and IP versions texts where there are any.",
    versions: LISTED,
    faults: &[
        Fault::Result("/ips/0/interface", "0"),
        Fault::Result("/ips/0/version", "=4")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        let ip = &result["ips"][0];
        let right =
            ip["interface"].is_u64() && (ip["version"].is_null() || ip["version"].is_string());
        expect_that(right, "types in ips", ip)
    },
    ..RESULT
});

submit!(Case {
    id: "spec/result/route-fields/01",
    rule: "Under 1.1.0 the route fields mtu, advmss, priority and table that IPAM gave are in the result.",
    versions: NEWEST,
    faults: &[
        Fault::Result("/routes/0/mtu", ""),
        Fault::Result("/routes/0/priority", "=1")
    ],
    run: |bench| {
        let route = json!({ "dst": "192.0.2.0/24", "gw": "10.77.0.1", "mtu": 1400, "advmss": 1340, "priority": 77, "table": 500 });
        let answer =
            delegation::ipam_result(bench.version, "10.77.0.5/24", "10.77.0.1", json!([route]));
        let result = given(bench, &answer)?;
        expect("route", &route, &result["routes"][0])
    },
    ..RESULT
});

submit!(Case {
    id: "spec/result/route-fields/02",
    rule: "Under 1.1.0 a route with mtu, advmss, priority and table stands so in the kernel.",
    versions: NEWEST,
    faults: &[
        Fault::After("ADD", "ip -n pod route flush table 500"),
        Fault::After(
            "ADD",
            "ip -n pod route add 192.0.2.0/24 via 10.77.0.1 table 500; ip -n pod route del 192.0.2.0/24 table 500 metric 77"
        )
    ],
    run: |bench| {
        let route = json!({ "dst": "192.0.2.0/24", "gw": "10.77.0.1", "mtu": 1400, "advmss": 1340, "priority": 77, "table": 500 });
        let answer =
            delegation::ipam_result(bench.version, "10.77.0.5/24", "10.77.0.1", json!([route]));
        given(bench, &answer)?;
        let seen = ip(bench, "pod", &["route", "show", "table", "500"])?;
        let metrics = &seen[0]["metrics"][0];
        expect("destination", &json!("192.0.2.0/24"), &seen[0]["dst"])?;
        expect("priority", &json!(77), &seen[0]["metric"])?;
        expect(
            "mtu and advmss",
            &(json!(1400), json!(1340)),
            &(metrics["mtu"].clone(), metrics["advmss"].clone()),
        )
    },
    ..RESULT
});

submit!(Case {
    id: "spec/result/pass-through/01",
    rule: "A plugin that stands later in a chain prints the prevResult that it was given as its result.",
    judges: Judges::Only(&["loopback"]),
    source: "Section 2, ADD",
    versions: LISTED,
    faults: &[
        Fault::Config("/prevResult", ""),
        Fault::Result("/ips/0/address", "10.88.0.9/24")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let mut previous = delegation::ipam_result(
            bench.version,
            "10.77.0.5/24",
            "10.77.0.1",
            json!([{ "dst": "192.0.2.0/24" }]),
        );
        previous["interfaces"] =
            json!([{ "name": "eth0", "mac": "02:00:00:00:00:05", "sandbox": "/run/netns/pod" }]);
        previous["ips"][0]["interface"] = json!(0);
        let config = with(bench, json!({ "prevResult": previous }));
        let result = bench.add(&config)?;
        for key in ["cniVersion", "interfaces", "ips", "routes"] {
            expect(key, &previous[key], &result[key])?;
        }
        Ok(())
    },
    ..RESULT
});

submit!(Case {
    id: "spec/result/pass-through/02",
    rule: "A result that is passed on keeps DNS settings.",
    judges: Judges::Only(&["loopback"]),
    source: "Section 2, ADD",
    versions: LISTED,
    faults: &[Fault::Result("/dns", "")],
    run: |bench| {
        bench.pod("pod")?;
        let dns = json!({ "nameservers": ["192.0.2.53"], "search": ["a.example"] });
        let mut previous =
            delegation::ipam_result(bench.version, "10.77.0.5/24", "10.77.0.1", json!([]));
        previous["dns"] = dns.clone();
        let config = with(bench, json!({ "prevResult": previous }));
        expect("dns", &dns, &bench.add(&config)?["dns"])
    },
    ..RESULT
});

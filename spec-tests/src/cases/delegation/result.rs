//! Delegation: what becomes of an IPAM result, in the pod and in the plugin's own result.

use crate::actor::Answer;
use crate::cases::{delegation::*, prelude::*, sight::*};

/// An ADD that hears its IPAM plugin by way of this shell text, which finds the suite's own in
/// `$IPAM`.
macro_rules! hearing {
    ($script:literal) => {
        Fault::Instead(
            "ADD",
            concat!(
                "mkdir -p /run/between; cat > /run/between/suite-ipam <<'EOF'\n#!/bin/sh\n",
                $script,
                "\nEOF\nchmod +x /run/between/suite-ipam; export IPAM=${CNI_PATH%%:*}/suite-ipam\n",
                r#"CNI_PATH=/run/between:$CNI_PATH exec "$REAL""#
            ),
        )
    };
}

submit!(Case {
    id: "spec/delegation/result/01",
    rule: "The address that IPAM gave is on the interface and in the result.",
    versions: EVERY,
    faults: &[
        Fault::After("ADD", "ip -n pod address flush dev eth0"),
        Fault::Result("/ips/0/address", "10.9.9.9/24"),
        Fault::Result("/ip4/ip", "10.9.9.9/24")
    ],
    run: |bench| {
        let (config, _) = added(bench)?;
        expect(
            "addresses of eth0",
            &list(&[ADDRESS]),
            &addresses(bench, "pod", "eth0")?,
        )?;
        let result = &config["prevResult"];
        let told = result["ips"][0]["address"]
            .as_str()
            .or(result["ip4"]["ip"].as_str());
        expect("address in the result", &Some(ADDRESS), &told)
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/result/02",
    rule: "Several addresses of both families are all on the interface and in the result, in IPAM's order.",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    faults: &[
        Fault::After("ADD", "ip -n pod -6 address flush dev eth0 scope global"),
        Fault::Result("/ips/1", "")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let mut answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", json!([]));
        let six = ipam_result(
            bench.version,
            "2001:db8:77::5/64",
            "2001:db8:77::1",
            json!([]),
        );
        answer["ips"] = json!([answer["ips"][0], six["ips"][0]]);
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        let result = bench.add(&config)?;
        let both = list(&[ADDRESS, "2001:db8:77::5/64"]);
        expect(
            "addresses of eth0",
            &both,
            &addresses(bench, "pod", "eth0")?,
        )?;
        let told: Vec<_> = result["ips"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|ip| ip["address"].as_str().unwrap_or_default().to_owned())
            .collect();
        expect("addresses in the result", &both, &told)
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/result/03",
    rule: "The routes that IPAM gave stand in the pod, through its gateway where they name none.",
    versions: EVERY,
    faults: &[
        Fault::After("ADD", "ip -n pod route delete 192.0.2.0/24"),
        Fault::After("ADD", "ip -n pod route delete 198.51.100.0/24")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let routes_given =
            json!([{ "dst": "192.0.2.0/24" }, { "dst": "198.51.100.0/24", "gw": "10.77.0.9" }]);
        let answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", routes_given);
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        bench.add(&config)?;
        let seen = routes(bench, "pod", "main")?;
        for (to, gateway) in [
            ("192.0.2.0/24", "10.77.0.1"),
            ("198.51.100.0/24", "10.77.0.9"),
        ] {
            let there = seen
                .iter()
                .any(|line| line.starts_with(&format!("{to} via {gateway} ")));
            expect_that(
                there,
                &format!("a route to {to} via {gateway}"),
                seen.join("; "),
            )?;
        }
        Ok(())
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/result/04",
    rule: "The routes that IPAM gave are in the result.",
    versions: EVERY,
    faults: &[
        Fault::Result("/routes", ""),
        Fault::Result("/ip4/routes", "")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let given = json!([{ "dst": "192.0.2.0/24", "gw": "10.77.0.9" }]);
        let answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", given);
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        let result = bench.add(&config)?;
        let routes = if bench.version < SpecVersion::V0_3_0 {
            &result["ip4"]["routes"]
        } else {
            &result["routes"]
        };
        let all = routes.as_array().cloned().unwrap_or_default();
        let there = all
            .iter()
            .any(|route| route["dst"] == "192.0.2.0/24" && route["gw"] == "10.77.0.9");
        expect_that(there, "the route is in the result", &result)
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/result/05",
    rule: "The gateway that IPAM gave is in the result.",
    versions: EVERY,
    faults: &[
        Fault::Result("/ips/0/gateway", ""),
        Fault::Result("/ip4/gateway", "")
    ],
    run: |bench| {
        let (config, _) = added(bench)?;
        let result = &config["prevResult"];
        let gateway = result["ips"][0]["gateway"]
            .as_str()
            .or(result["ip4"]["gateway"].as_str());
        expect("gateway in the result", &Some("10.77.0.1"), &gateway)
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/result/06",
    rule: "The DNS settings that IPAM gave are in the result.",
    level: Level::Compat,
    source: "Result (0.2.0 to 0.4.0, a should); reference behaviour",
    versions: EVERY,
    faults: &[Fault::Result("/dns", "")],
    run: |bench| {
        bench.pod("pod")?;
        let dns = json!({ "nameservers": ["192.0.2.53", "2001:db8::53"], "domain": "suite.example",
            "search": ["a.example", "b.example"], "options": ["ndots:2"] });
        let mut answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", json!([]));
        answer["dns"] = dns.clone();
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        expect("dns", &dns, &bench.add(&config)?["dns"])
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/result/07",
    rule: "Interfaces that an IPAM plugin claims are not passed on: it cannot know any.",
    level: Level::Compat,
    source: "reference behaviour",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    faults: &[Fault::Result("/interfaces/-", "={\"name\": \"made-up0\"}")],
    run: |bench| {
        bench.pod("pod")?;
        let mut answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", json!([]));
        answer["interfaces"] = json!([{ "name": "made-up0", "mac": "02:00:00:00:00:99" }]);
        answer["ips"][0]["interface"] = json!(0);
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        let result = bench.add(&config)?;
        expect_that(
            !result["interfaces"].to_string().contains("made-up0"),
            "no interface of IPAM's",
            &result,
        )?;
        let index = result["ips"][0]["interface"].as_u64().unwrap_or(u64::MAX) as usize;
        expect(
            "interface of the address",
            &json!("eth0"),
            &result["interfaces"][index]["name"],
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/result/08",
    rule: "An IPAM result of an older version is converted to the configuration's.",
    level: Level::Compat,
    source: "reference behaviour",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    faults: &[
        Fault::Result("/ips", ""),
        Fault::Result("/cniVersion", "0.2.0")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let answer = ipam_result(
            SpecVersion::V0_2_0,
            ADDRESS,
            "10.77.0.1",
            json!([{ "dst": "192.0.2.0/24" }]),
        );
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        let result = bench.add(&config)?;
        expect("cniVersion", &config["cniVersion"], &result["cniVersion"])?;
        expect("address", &json!(ADDRESS), &result["ips"][0]["address"])?;
        expect("route", &json!("192.0.2.0/24"), &result["routes"][0]["dst"])
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/result/09",
    rule: "An IPAM result of a newer version is converted to the configuration's.",
    level: Level::Compat,
    source: "reference behaviour",
    versions: [SpecVersion::V0_1_0, SpecVersion::V0_4_0],
    faults: &[
        Fault::Result("/ips/0/version", ""),
        Fault::Result("/ip4", "")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let answer = ipam_result(SpecVersion::V1_0_0, ADDRESS, "10.77.0.1", json!([]));
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        let result = bench.add(&config)?;
        expect("cniVersion", &config["cniVersion"], &result["cniVersion"])?;
        if bench.version < SpecVersion::V0_3_0 {
            return expect("ip4.ip", &json!(ADDRESS), &result["ip4"]["ip"]);
        }
        expect(
            "version of the address",
            &json!("4"),
            &result["ips"][0]["version"],
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/result/10",
    rule: "An IPAM result without cniVersion counts as one of the configuration's version.",
    level: Level::Compat,
    source: "reference behaviour",
    versions: EVERY,
    faults: &[hearing!(
        r#"answer=$("$IPAM"); case $answer in *cniVersion*) echo "$answer";; *) exit 1;; esac"#
    )],
    run: |bench| {
        bench.pod("pod")?;
        let mut answer = ipam_result(bench.version, ADDRESS, "10.77.0.1", json!([]));
        answer.as_object_mut().map(|keys| keys.remove("cniVersion"));
        let (config, _) = own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
        expect(
            "cniVersion",
            &config["cniVersion"],
            &bench.add(&config)?["cniVersion"],
        )
    },
    ..DELEGATING
});

submit!(Case {
    id: "spec/delegation/result/11",
    rule: "What a successful IPAM plugin writes to stderr does not get into the result.",
    faults: &[hearing!(r#""$IPAM" 2>&1"#)],
    run: |bench| {
        bench.pod("pod")?;
        let usual = usual(bench).complaining("a remark\n{\"code\": 1}\n");
        let (config, _) = own_ipam(bench, &[("ADD", usual)])?;
        bench.add(&config).map(drop)
    },
    ..DELEGATING
});

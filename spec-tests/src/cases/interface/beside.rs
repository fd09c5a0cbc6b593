//! Attachments beside each other: at once, one behind the other in one pod, chained.

use crate::actor::Answer;
use crate::cases::{chained::chained, delegation, prelude::*, sight::*};

const BESIDE: Case = Case {
    judges: INTERFACE,
    ..CASE
};

/// Pods `p0` to `p5`.
const PODS: [&str; 6] = ["p0", "p1", "p2", "p3", "p4", "p5"];

/// One call for each pod, all at the same time; each must succeed.
fn at_once(bench: &mut Bench, command: &str, config: &Value) -> Result<(), Failure> {
    let mut running = Vec::new();
    for pod in PODS {
        let call = bench.call(command, config).env("CNI_CONTAINERID", pod);
        running.push(
            call.env("CNI_NETNS", &format!("/run/netns/{pod}"))
                .start()?,
        );
    }
    let replies: Vec<_> = running.into_iter().map(|call| call.reply()).collect();
    for reply in replies {
        reply?.succeeds()?;
    }
    Ok(())
}

submit!(Case {
    id: "spec/add/at-once/01",
    rule: "ADDs of several containers at once all succeed, each with an address of its own.",
    source: "Section 3, Lifecycle & Ordering",
    versions: CHECKED,
    faults: &[
        Fault::Once("ADD"),
        Fault::After(
            "ADD",
            "ip -n $(basename $CNI_NETNS) address flush dev eth0; ip -n $(basename $CNI_NETNS) address add 10.88.0.9/24 dev eth0"
        )
    ],
    run: |bench| {
        for pod in PODS {
            bench.pod(pod)?;
        }
        let config = bench.config();
        at_once(bench, "ADD", &config)?;
        let mut all = Vec::new();
        for pod in PODS {
            all.extend(
                addresses(bench, pod, "eth0")?
                    .into_iter()
                    .filter(|text| !text.contains(':')),
            );
        }
        all.sort();
        all.dedup();
        expect("different addresses", &PODS.len(), &all.len())
    },
    ..BESIDE
});

submit!(Case {
    id: "spec/del/at-once/01",
    rule: "DELs of several containers at once all succeed and leave nothing.",
    source: "Section 3, Lifecycle & Ordering",
    versions: CHECKED,
    faults: &[Fault::Once("DEL"), Fault::Skip("DEL")],
    run: |bench| {
        for pod in PODS {
            bench.pod(pod)?;
        }
        let config = bench.config();
        for pod in PODS {
            let call = bench.call("ADD", &config).env("CNI_CONTAINERID", pod);
            call.env("CNI_NETNS", &format!("/run/netns/{pod}"))
                .reply()?
                .succeeds()?;
        }
        at_once(bench, "DEL", &config)?;
        expect(
            "veths on the host",
            &Vec::<String>::new(),
            &host_veths(bench)?,
        )?;
        expect("reservations", &Vec::<String>::new(), &reserved())
    },
    ..BESIDE
});

/// ADD of `ifname` with IPAM giving this address and a default route.
fn with_default_route(bench: &mut Bench, ifname: &str, network: u8) -> Result<Value, Failure> {
    let (address, gateway) = (format!("10.{network}.0.5/24"), format!("10.{network}.0.1"));
    let routes = json!([{ "dst": "0.0.0.0/0" }]);
    let answer = delegation::ipam_result(bench.version, &address, &gateway, routes);
    let (mut config, _) = delegation::own_ipam(bench, &[("ADD", Answer::with(&answer))])?;
    config["name"] = json!(format!("net{network}"));
    if bench.plugin.name == "bridge" {
        config["bridge"] = json!(format!("suite{network}"));
    }
    bench
        .call("ADD", &config)
        .env("CNI_IFNAME", ifname)
        .reply()?
        .result()
}

submit!(Case {
    id: "spec/add/default-route/01",
    rule: "ADD with a default route succeeds in a pod to which another network gave one, and that one stays.",
    level: Level::Compat,
    source: "IP Allocation, Notes (0.1.0 to 0.4.0); reference behaviour",
    versions: EVERY,
    faults: &[
        Fault::Once("ADD"),
        Fault::After(
            "ADD",
            "ip -n pod route delete default via 10.77.0.1 dev eth0"
        )
    ],
    run: |bench| {
        bench.pod("pod")?;
        with_default_route(bench, "eth0", 77)?;
        with_default_route(bench, "net1", 78)?;
        let seen = routes(bench, "pod", "main")?;
        let stays = seen
            .iter()
            .any(|route| route.starts_with("default via 10.77.0.1 dev eth0"));
        expect_that(stays, "the first default route stays", seen.join("; "))
    },
    ..BESIDE
});

submit!(Case {
    id: "spec/add/metric/01",
    rule: "Routes without a priority are added with metric 0.",
    level: Level::Compat,
    source: "IP Allocation, Notes (0.1.0 to 0.4.0); reference behaviour",
    versions: EVERY,
    faults: &[Fault::After(
        "ADD",
        "ip -n pod route delete default; ip -n pod route add default via 10.77.0.1 metric 5"
    )],
    run: |bench| {
        bench.pod("pod")?;
        with_default_route(bench, "eth0", 77)?;
        let seen = ip(bench, "pod", &["-4", "route", "show", "default"])?;
        expect("gateway", &json!("10.77.0.1"), &seen[0]["gateway"])?;
        expect(
            "metric",
            &0,
            &seen[0]["metric"].as_u64().unwrap_or_default(),
        )
    },
    ..BESIDE
});

submit!(Case {
    id: "spec/result/pass-through/04",
    rule: "A chained plugin that changes nothing of the result prints what it was given, under every version that has prevResult.",
    judges: Judges::Only(&["portmap", "tuning", "sbr", "firewall"]),
    source: "Section 5, Success",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    needs: &["iptables", "ip6tables"],
    faults: &[
        Fault::Result("/ips/1", ""),
        Fault::Result("/interfaces/2/mac", "02:00:00:00:00:99"),
        Fault::Result("/ips/0/gateway", ""),
        Fault::Result("/cniVersion", "0.2.0"),
        Fault::Result("/ips/0/interface", "=0")
    ],
    run: |bench| {
        let (config, result) = chained(bench, json!({}))?;
        let given = crate::cases::chained::wired(bench.version);
        expect(
            "prevResult that was sent on",
            &result,
            &config["prevResult"],
        )?;
        for key in ["cniVersion", "interfaces", "ips"] {
            expect(key, &given[key], &result[key])?;
        }
        Ok(())
    },
    ..BESIDE
});

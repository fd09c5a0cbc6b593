//! loopback: lo of the pod.

use crate::cases::{packets::*, prelude::*, sight::*};

const LOOPBACK: Case = Case {
    judges: Judges::Only(&["loopback"]),
    ..COMPAT
};

/// A pod whose `lo` is down, as a runtime makes it.
fn fresh(bench: &mut Bench) -> Result<(), Failure> {
    Ok(bench.run("ip", &["netns", "add", "pod"]).map(drop)?)
}

fn lo_is_up(bench: &mut Bench) -> Result<bool, Failure> {
    Ok(has_flag(&link(bench, "pod", "lo")?, "UP"))
}

submit!(Case {
    id: "loopback/add/01",
    rule: "ADD brings lo up.",
    faults: &[
        Fault::Skip("ADD"),
        Fault::After("ADD", "ip -n pod link set lo down")
    ],
    run: |bench| {
        fresh(bench)?;
        let config = bench.config();
        bench.call("ADD", &config).reply()?.succeeds()?;
        expect("lo is up", &true, &lo_is_up(bench)?)
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/add/02",
    rule: "Whatever CNI_IFNAME says, lo is meant.",
    faults: &[
        Fault::Skip("ADD"),
        Fault::Result("/interfaces/0/name", "net7")
    ],
    run: |bench| {
        fresh(bench)?;
        let config = bench.config();
        let result = bench
            .call("ADD", &config)
            .env("CNI_IFNAME", "net7")
            .reply()?
            .result()?;
        expect("lo is up", &true, &lo_is_up(bench)?)?;
        expect("name", &json!("lo"), &result["interfaces"][0]["name"])
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/add/03",
    rule: "The result has lo with its MAC address and sandbox, and both loopback addresses.",
    faults: &[
        Fault::Result("/ips/1", ""),
        Fault::Result("/interfaces/0/sandbox", ""),
        Fault::Result("/interfaces/0/mac", "")
    ],
    run: |bench| {
        fresh(bench)?;
        let config = bench.config();
        let result = bench.add(&config)?;
        let lo = json!([{ "name": "lo", "mac": "00:00:00:00:00:00", "sandbox": "/run/netns/pod" }]);
        expect("interfaces", &lo, &result["interfaces"])?;
        let ips = json!([{ "address": "127.0.0.1/8", "interface": 0 }, { "address": "::1/128", "interface": 0 }]);
        expect("ips", &ips, &result["ips"])
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/add/04",
    rule: "Without IPv6 in the pod the result has the IPv4 address alone.",
    faults: &[Fault::Before(
        "ADD",
        "ip netns exec pod sh -c 'echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6'"
    )],
    run: |bench| {
        fresh(bench)?;
        inside(
            bench,
            "pod",
            &[
                "sh",
                "-c",
                "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6",
            ],
        )?;
        let config = bench.config();
        let result = bench.add(&config)?;
        expect(
            "ips",
            &json!([{ "address": "127.0.0.1/8", "interface": 0 }]),
            &result["ips"],
        )
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/add/05",
    rule: "After ADD the pod reaches itself at 127.0.0.1 and ::1.",
    needs: &["ping"],
    faults: &[Fault::Skip("ADD")],
    run: |bench| {
        fresh(bench)?;
        let config = bench.config();
        bench.call("ADD", &config).reply()?.succeeds()?;
        answers(bench, "pod", "127.0.0.1")?;
        answers(bench, "pod", "::1")
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/add/06",
    rule: "A prevResult is passed on and lo brought up all the same.",
    faults: &[
        Fault::Result("/interfaces", ""),
        Fault::Config("/prevResult", ""),
        Fault::After("ADD", "ip -n pod link set lo down")
    ],
    run: |bench| {
        fresh(bench)?;
        let config = with(
            bench,
            json!({ "prevResult": { "cniVersion": "1.0.0",
            "interfaces": [{ "name": "eth0", "sandbox": "/run/netns/pod" }],
            "ips": [{ "address": "10.1.1.5/24", "interface": 0 }] } }),
        );
        let result = bench.add(&config)?;
        expect(
            "interfaces",
            &config["prevResult"]["interfaces"],
            &result["interfaces"],
        )?;
        expect("ips", &config["prevResult"]["ips"], &result["ips"])?;
        expect("lo is up", &true, &lo_is_up(bench)?)
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/add/07",
    rule: "ADD succeeds again and when lo is up before.",
    faults: &[Fault::Once("ADD")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        for _ in 0..2 {
            bench.call("ADD", &config).reply()?.succeeds()?;
        }
        Ok(())
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/add/08",
    rule: "An address on lo that is no loopback address is refused and named.",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "ip -n pod address flush dev lo")
    ],
    run: |bench| {
        bench.pod("pod")?;
        bench.run(
            "ip",
            &["-n", "pod", "address", "add", "10.5.5.5/32", "dev", "lo"],
        )?;
        refuses_add(bench, json!({}), &["non-loopback address", "10.5.5.5"])
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/del/01",
    rule: "DEL leaves lo up: by then the path may lead to another, running pod.",
    faults: &[Fault::After("DEL", "ip -n pod link set lo down")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        bench.add(&config)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("lo is up", &true, &lo_is_up(bench)?)
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/del/02",
    rule: "DEL succeeds without CNI_NETNS, with a path that is gone, and again.",
    faults: &[Fault::On("DEL", &Fault::ExitOne), Fault::Once("DEL")],
    run: |bench| {
        let config = bench.config();
        bench
            .call("DEL", &config)
            .env("CNI_NETNS", "")
            .reply()?
            .succeeds_silently()?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        bench.pod("pod")?;
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        Ok(())
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/del/03",
    rule: "DEL succeeds when a plain file lies at the namespace's path.",
    faults: &[Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[Fault::On("DEL", &Fault::Env("CNI_NETNS", ""))],
    run: |bench| {
        bench.write("/run/netns/pod", "")?;
        let config = bench.config();
        bench.call("DEL", &config).reply()?.succeeds_silently()
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/check/01",
    rule: "CHECK succeeds when lo is up and finds it down.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        let result = bench.add(&config)?;
        check_finds(
            bench,
            &after_add(&config, &result),
            &["ip", "-n", "pod", "link", "set", "lo", "down"],
        )
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/netns/01",
    rule: "A namespace that does not exist fails ADD and is named.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| {
        let config = bench.config();
        let reply = bench
            .call("ADD", &config)
            .env("CNI_NETNS", "/run/netns/nope")
            .reply()?;
        complains(&reply, &["/run/netns/nope"])
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/netns/02",
    rule: "Only the pod's lo is touched, not the host's.",
    faults: &[Fault::After("DEL", "ip link set lo down")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        bench.add(&config)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        let lo = link(bench, HOST, "lo")?;
        expect_that(has_flag(&lo, "UP"), "the host's lo is up", &lo["flags"])
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/add/09",
    rule: "An IPv6 address on lo that is no loopback address is refused and named.",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "ip -n pod address del 2001:db8::7/128 dev lo")
    ],
    run: |bench| {
        bench.pod("pod")?;
        bench.run(
            "ip",
            &[
                "-n",
                "pod",
                "address",
                "add",
                "2001:db8::7/128",
                "dev",
                "lo",
                "nodad",
            ],
        )?;
        refuses_add(bench, json!({}), &["non-loopback address", "2001:db8::7"])
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/add/10",
    rule: "The result has no routes and no gateways.",
    faults: &[
        Fault::Result("/routes", "=[{\"dst\":\"127.0.0.0/8\"}]"),
        Fault::Result("/ips/0/gateway", "127.0.0.1")
    ],
    run: |bench| {
        fresh(bench)?;
        let config = bench.config();
        let result = bench.add(&config)?;
        expect_that(
            result["routes"].as_array().is_none_or(Vec::is_empty),
            "no routes",
            &result["routes"],
        )?;
        expect("gateway", &Value::Null, &result["ips"][0]["gateway"])
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/del/04",
    rule: "After DEL another ADD brings lo up again.",
    faults: &[Fault::Once("ADD"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        fresh(bench)?;
        let config = bench.config();
        bench.add(&config)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        bench.run("ip", &["-n", "pod", "link", "set", "lo", "down"])?;
        bench.add(&config)?;
        expect("lo is up", &true, &lo_is_up(bench)?)
    },
    ..LOOPBACK
});

submit!(Case {
    id: "loopback/check/02",
    rule: "CHECK needs no prevResult.",
    versions: CHECKED,
    faults: &[Fault::On("CHECK", &Fault::ExitOne), Fault::Skip("CHECK")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        check_finds(
            bench,
            &config,
            &["ip", "-n", "pod", "link", "set", "lo", "down"],
        )
    },
    ..LOOPBACK
});

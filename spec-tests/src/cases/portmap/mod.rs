//! portmap: what it answers, which addresses it maps, DEL and CHECK.

mod claims;
mod config;
mod flushed;
mod nftables;
mod packets;
pub(in crate::cases) mod ports;
mod rules;
mod udp;

use crate::cases::{chained::*, packets::*, portmap::ports::*, prelude::*, sight::*};

const NONE: Vec<String> = Vec::new();

by_both! { EACH, "result/01",
    "The result is prevResult, whatever its version; its addresses are mapped.",
    faults: &[Fault::Result("/ips/0/address", "10.88.0.6/24"), Fault::Result("/ip4/ip", "10.88.0.6/24"), Fault::Config("/runtimeConfig", "")],
    run: |bench, by| {
        let (_, result) = chained_by(bench, by, web())?;
        let wired = wired(bench.version);
        for key in ["ips", "ip4", "ip6", "interfaces"] {
            expect(key, &wired[key], &result[key])?;
        }
        expect("targets", &list(&["10.88.0.5:80", "[2001:db8::5]:80"]), &by.targets(bench)?)
    }
}

const EACH: Case = Case {
    versions: EVERY,
    ..PORTMAP
};

by_both! { "result/02",
    "Without mappings and with an empty list of them the result is prevResult, and there are no rules.",
    faults: &[Fault::Config("/runtimeConfig", "={\"portMappings\":[{\"hostPort\":1,\"containerPort\":1,\"protocol\":\"tcp\"}]}"), Fault::Result("/ips", "")],
    run: |bench, by| {
        let (config, _) = chained_by(bench, by, json!({ "capabilities": { "portMappings": true } }))?;
        let result = bench.add(&with(bench, merged(config, mapped(json!([])))))?;
        expect("ips", &wired(bench.version)["ips"], &result["ips"])?;
        expect("targets", &NONE, &by.targets(bench)?)?;
        let rules = nat(bench)?;
        expect_that(!rules.contains("CNI-"), "no chains", rules)?;
        let rules = translations(bench)?;
        expect_that(by == Backend::Iptables || rules.is_empty(), "no tables", rules)
    }
}

by_both! { "target/01",
    "Of two addresses of a family the first is mapped.",
    faults: &[Fault::Config("/prevResult/ips/0", "")],
    run: |bench, by| {
        let mut result = only(bench, 4);
        result["ips"] = json!([{ "address": "10.88.0.5/24", "interface": 2 }, { "address": "10.88.0.7/24", "interface": 2 }]);
        chained_by(bench, by, merged(web(), json!({ "prevResult": result })))?;
        expect("targets", &list(&["10.88.0.5:80"]), &by.targets(bench)?)
    }
}

by_both! { "target/02",
    "An address that names no interface is mapped.",
    faults: &[Fault::Config("/prevResult/ips/0", "")],
    run: |bench, by| {
        let mut result = only(bench, 4);
        result["ips"] = json!([{ "address": "10.88.0.5/24" }]);
        chained_by(bench, by, merged(web(), json!({ "prevResult": result })))?;
        expect("targets", &list(&["10.88.0.5:80"]), &by.targets(bench)?)
    }
}

by_both! { "target/03",
    "Addresses of the host's interfaces, and of others of the pod's, are not mapped.",
    faults: &[Fault::Config("/prevResult/ips/0/interface", "=2"), Fault::Config("/prevResult/interfaces/3/name", "eth0")],
    run: |bench, by| {
        let mut result = only(bench, 4);
        let wired = &result["interfaces"];
        result["interfaces"] = json!([wired[0], wired[1], wired[2], { "name": "net1", "sandbox": "/run/netns/pod" }]);
        result["ips"] = json!([
            { "address": "10.88.0.1/24", "interface": 0 },
            { "address": "10.77.0.5/24", "interface": 3 },
            { "address": "10.88.0.5/24", "interface": 2 },
        ]);
        chained_by(bench, by, merged(web(), json!({ "prevResult": result })))?;
        expect("targets", &list(&["10.88.0.5:80"]), &by.targets(bench)?)
    }
}

by_both! { "target/04",
    "Without an address nothing is mapped, and ADD succeeds.",
    faults: &[Fault::Config("/prevResult/ips", r#"=[{"address":"10.88.0.5/24","interface":2}]"#), Fault::Fail("ADD")],
    run: |bench, by| {
        let mut result = wired(bench.version);
        result["ips"] = json!([]);
        chained_by(bench, by, merged(web(), json!({ "prevResult": result })))?;
        expect("targets", &NONE, &by.targets(bench)?)
    }
}

by_both! { "target/05",
    "The port of a container with a name of 200 characters is mapped, and DEL takes it away.",
    faults: &[Fault::Skip("DEL"), Fault::Config("/runtimeConfig", "")],
    run: |bench, by| {
        let config = behind(bench, merged(web(), json!({ "backend": by.name() })))?;
        let name = "a".repeat(200);
        bench.call("ADD", &config).env("CNI_CONTAINERID", &name).reply()?.succeeds()?;
        stands_in(bench, by)?;
        expect("targets", &list(&["10.88.0.5:80", "[2001:db8::5]:80"]), &by.targets(bench)?)?;
        bench.call("DEL", &config).env("CNI_CONTAINERID", &name).reply()?.succeeds_silently()?;
        expect("targets", &NONE, &by.targets(bench)?)
    }
}

/// The name of the sysctl that lets 127.0.0.1 leave by the pod's bridge.
const LOCALNET: &str = "net/ipv4/conf/br0/route_localnet";

by_both! { "localnet/01",
    "With snat the kernel lets 127.0.0.1 through to the pod's interface.",
    faults: &[Fault::Config("/snat", "=false"), Fault::After("ADD", "echo 0 > /proc/sys/net/ipv4/conf/br0/route_localnet")],
    run: |bench, by| {
        chained_by(bench, by, web())?;
        expect("route_localnet", &"1".to_owned(), &sysctl(bench, HOST, LOCALNET)?)
    }
}

by_both! { "localnet/02",
    "Without snat, and for a pod that has IPv6 alone, the kernel still keeps 127.0.0.1 on the host.",
    faults: &[Fault::Config("/snat", ""), Fault::After("ADD", "echo 1 > /proc/sys/net/ipv4/conf/br0/route_localnet")],
    run: |bench, by| {
        let (config, _) = chained_by(bench, by, merged(web(), json!({ "snat": false })))?;
        expect("route_localnet", &"0".to_owned(), &sysctl(bench, HOST, LOCALNET)?)?;
        bench.add(&merged(config, json!({ "snat": true, "prevResult": only(bench, 6) })))?;
        expect("route_localnet", &"0".to_owned(), &sysctl(bench, HOST, LOCALNET)?)
    }
}

by_both! { "localnet/03",
    "A host without a route to the pod maps its port all the same.",
    faults: &[Fault::Fail("ADD"), Fault::Config("/runtimeConfig", "")],
    run: |bench, by| {
        let config = behind(bench, merged(web(), json!({ "backend": by.name() })))?;
        bench.run("ip", &["address", "del", "10.88.0.1/24", "dev", "br0"])?;
        bench.add(&config)?;
        stands_in(bench, by)?;
        expect("targets", &list(&["10.88.0.5:80", "[2001:db8::5]:80"]), &by.targets(bench)?)
    }
}

by_both! { "del/01",
    "DEL takes the mapping away, in the rules and on the wire.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::Config("/runtimeConfig", ""))],
    run: |bench, by| {
        outside(bench)?;
        let (config, _) = chained_by(bench, by, web())?;
        serve(bench, "80")?;
        is_answered(bench, "outside", "192.0.2.1", 8080)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        is_not_answered(bench, "outside", "192.0.2.1", 8080)?;
        is_clean(bench, by)
    }
}

submit!(Case {
    id: "portmap/del/02",
    rule: "DEL succeeds again, without prevResult and without an ADD before it.",
    faults: &[Fault::Once("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let mut config = behind(bench, web())?;
        config.as_object_mut().map(|all| all.remove("prevResult"));
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        Ok(())
    },
    ..PORTMAP
});

by_both! { "del/03",
    "DEL removes the rules when the namespace is gone.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::Config("/runtimeConfig", ""))],
    run: |bench, by| {
        let (config, _) = chained_by(bench, by, web())?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        is_clean(bench, by)
    }
}

by_both! { "del/04",
    "DEL removes the rules without prevResult and with an empty CNI_NETNS.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::Env("CNI_CONTAINERID", "ctr2"))],
    run: |bench, by| {
        let (mut config, _) = chained_by(bench, by, web())?;
        config.as_object_mut().map(|all| all.remove("prevResult"));
        bench.call("DEL", &config).env("CNI_NETNS", "").reply()?.succeeds_silently()?;
        is_clean(bench, by)
    }
}

by_both! { "del/05",
    "DEL leaves what others put into the shared chains.",
    faults: &[Fault::After("DEL", "iptables -t nat -F CNI-HOSTPORT-DNAT; nft flush chain ip cni_hostport hostports")],
    run: |bench, by| {
        let (config, _) = chained_by(bench, by, web())?;
        let line = match by {
            Backend::Iptables => "iptables -t nat -A CNI-HOSTPORT-DNAT -p tcp --dport 9 -j DNAT --to-destination 10.88.0.9:9",
            Backend::Nftables => "nft add rule ip cni_hostport hostports tcp dport 9 dnat to 10.88.0.9:9 comment ctr11",
        };
        bench.run("sh", &["-ec", &format!("{HOSTPORTS_CHAIN}; {line}")])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("targets", &list(&["10.88.0.9:9"]), &by.targets(bench)?)
    }
}

by_both! { "del/06",
    "DEL removes what an ADD left that failed at its second mapping.",
    faults: &[Fault::ExitZero, Fault::After("DEL", "iptables -t nat -N CNI-DN-6878eed1134402c43bdae; nft 'add table ip cni_hostport; add chain ip cni_hostport hostports; add rule ip cni_hostport hostports tcp dport 8080 dnat to 10.88.0.5:80 comment ctr1'")],
    run: |bench, by| {
        let mappings = json!([tcp(8080, 80), { "hostPort": 8081, "containerPort": 70000, "protocol": "tcp" }]);
        let config = behind(bench, merged(mapped(mappings), json!({ "backend": by.name() })))?;
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["70000"])?;
        stands_in(bench, by)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        is_clean(bench, by)
    }
}

by_both! { "del/07",
    "DEL removes all mappings that ADD made, also when it is told of fewer and of others.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::Env("CNI_CONTAINERID", "ctr2"))],
    run: |bench, by| {
        let made = mapped(json!([tcp(8080, 80), tcp(8081, 81), tcp(8082, 82)]));
        let (config, _) = chained_by(bench, by, made)?;
        let told = merged(config, mapped(json!([tcp(8081, 81), tcp(9, 9)])));
        bench.call("DEL", &told).reply()?.succeeds_silently()?;
        is_clean(bench, by)
    }
}

by_both! { PORTMAP, "del/08",
    "DEL removes the mappings also when it is told of none.",
    repairs: &[], nftables: &[],
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::Env("CNI_CONTAINERID", "ctr2"))],
    run: |bench, by| {
        let (mut config, _) = chained_by(bench, by, mapped(json!([tcp(8080, 80), tcp(8081, 81)])))?;
        config.as_object_mut().map(|all| all.remove("runtimeConfig"));
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        is_clean(bench, by)
    }
}

by_both! { UNPRIVILEGED, "del/09",
    "A DEL that has not the right to change the network fails; called again, without prevResult and mappings, it removes all of them.",
    repairs: &[], nftables: &[],
    faults: &[
        Fault::On("DEL", &Fault::ExitZero),
        Fault::Where("/prevResult", &Fault::Skip("DEL")),
        Fault::Skip("DEL"),
    ],
    run: |bench, by| {
        let (mut config, _) = chained_by(bench, by, mapped(json!([tcp(8080, 80), tcp(8081, 81)])))?;
        bench.call("DEL", &config).through(POWERLESS).reply()?.error()?;
        for key in ["prevResult", "runtimeConfig"] {
            config.as_object_mut().map(|all| all.remove(key));
        }
        bench.call("DEL", &config).env("CNI_NETNS", "").reply()?.succeeds_silently()?;
        is_clean(bench, by)
    }
}

const UNPRIVILEGED: Case = Case {
    needs: &["iptables", "ip6tables", "nft", "setpriv"],
    ..PORTMAP
};

submit!(Case {
    id: "portmap/nftables/range/01",
    rule: "A thousand ports are mapped by one ADD with nftables, and DEL removes all of them.",
    repairs: NFTABLES,
    faults: &[
        Fault::Skip("DEL"),
        Fault::Config("/runtimeConfig/portMappings/999", "")
    ],
    run: |bench| {
        let by = Backend::Nftables;
        let mappings: Vec<Value> = (10_000..11_000).map(|port| tcp(port, port)).collect();
        let changes = json!({ "prevResult": only(bench, 4) });
        let changes = merged(mapped(json!(mappings)), changes);
        let (config, _) = chained_by(bench, by, changes)?;
        let targets = by.targets(bench)?;
        expect("number of targets", &1_000, &targets.len())?;
        let last = "10.88.0.5:10999".to_owned();
        expect_that(targets.contains(&last), &last, targets.len())?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        is_clean(bench, by)
    },
    ..PORTMAP
});

/// No rules of the container are left.
fn is_clean(bench: &mut Bench, by: Backend) -> Result<(), Failure> {
    expect("targets", &NONE, &by.targets(bench)?)?;
    let rules = nat(bench)? + &translations(bench)?;
    let clean = !rules.contains("CNI-DN-") && !rules.contains("ctr1");
    expect_that(clean, "nothing of the container", rules)
}

/// CHECK as it should be in iptables: each family has the jump and all mappings.
const IPTABLES_CHECK: &[Fault] = &[Fault::Instead(
    "CHECK",
    r#"config=$(cat); value() { printf %s "$config" | jq -r "$1"; }
    count=$(value '.runtimeConfig.portMappings // [] | length')
    for address in $(value '.prevResult.ips[].address'); do
        case $address in *:*) tables=ip6tables ;; *) tables=iptables ;; esac
        [ "$($tables -t nat -S | grep -c to-destination)" = "$count" ] || exit 1
        [ "$count" = 0 ] || $tables -t nat -S CNI-HOSTPORT-DNAT | grep -q CNI-DN || exit 1
    done"#,
)];

const CHECK: Case = Case {
    versions: CHECKED,
    ..PORTMAP
};
const UNCHECKED: &[Fault] = &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)];

by_both! { CHECK, "check/01",
    "CHECK of a healthy IPv4 mapping succeeds, and finds its rules gone.",
    repairs: IPTABLES_CHECK,
    faults: UNCHECKED,
    run: |bench, by| {
        let changes = json!({ "prevResult": only(bench, 4) });
        let (config, _) = chained_by(bench, by, merged(web(), changes))?;
        check_finds(bench, &config, &["sh", "-c", "iptables -t nat -F; nft flush ruleset"])
    }
}

by_both! { CHECK, "check/02",
    "CHECK of a healthy dual-stack mapping succeeds, and finds the IPv6 rules gone.",
    repairs: IPTABLES_CHECK,
    faults: UNCHECKED,
    run: |bench, by| {
        let (config, _) = chained_by(bench, by, web())?;
        let line = format!("ip6tables -t nat -F; nft delete table ip6 cni_hostport; {}", forgetting("2001:db8::5"));
        check_finds(bench, &config, &["sh", "-c", &line])
    }
}

by_both! { CHECK, "check/03",
    "CHECK finds one mapping of two gone.",
    repairs: IPTABLES_CHECK,
    faults: UNCHECKED,
    run: |bench, by| {
        let (config, _) = chained_by(bench, by, mapped(json!([tcp(8080, 80), tcp(8081, 81)])))?;
        let line = match by {
            Backend::Iptables => "iptables -t nat -D CNI-DN-6878eed1134402c43bdae -p tcp --dport 8081 -j DNAT --to-destination 10.88.0.5:81".to_owned(),
            Backend::Nftables => format!(
                "nft delete rule ip cni_hostport hostports handle $(nft -a list chain ip cni_hostport hostports | sed -n '/:81 /s/.*handle //p'); {}",
                forgetting("10.88.0.5 . 81")
            ),
        };
        check_finds(bench, &config, &["sh", "-c", &line])
    }
}

submit!(Case {
    id: "portmap/check/04",
    rule: "CHECK finds that no rule leads to the container's chain.",
    repairs: IPTABLES_CHECK,
    faults: UNCHECKED,
    run: |bench| {
        let (config, _) = chained_by(bench, Backend::Iptables, web())?;
        check_finds(
            bench,
            &config,
            &["iptables", "-t", "nat", "-F", "CNI-HOSTPORT-DNAT"],
        )
    },
    ..CHECK
});

by_both! { CHECK, "check/05",
    "CHECK without mappings succeeds.",
    faults: &[Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench, by| {
        let (config, _) = chained_by(bench, by, json!({}))?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()
    }
}

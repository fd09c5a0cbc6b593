//! portmap: ports of the host that lead to the pod, with real connections.

use super::{chained::*, packets::*, prelude::*, sight::*};

const PORTMAP: Case = Case {
    judges: Judges::Only(&["portmap"]),
    needs: &["iptables", "ip6tables", "busybox", "bash"],
    ..COMPAT
};

/// One TCP mapping, 8080 to 80.
fn web() -> Value {
    json!({ "runtimeConfig": { "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] } })
}

fn mapped(mappings: Value) -> Value {
    json!({ "runtimeConfig": { "portMappings": mappings } })
}

fn merged(mut base: Value, more: Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        base[key] = value.clone();
    }
    base
}

/// A server in the pod that tells the peer's address, on this port.
fn serve(bench: &mut Bench, port: &str) -> Result<(), Failure> {
    bench.run("mkdir", &["-p", "/run/www/cgi-bin"])?;
    bench.write(
        "/run/www/cgi-bin/peer",
        "#!/bin/sh\necho\necho $REMOTE_ADDR\n",
    )?;
    bench.run("chmod", &["755", "/run/www/cgi-bin/peer"])?;
    inside(
        bench,
        "pod",
        &["busybox", "httpd", "-h", "/run/www", "-p", port],
    )
    .map(drop)
}

/// What the server says to a client in a namespace; empty when there is no connection.
fn ask(bench: &mut Bench, ns: &str, server: &str, port: u16) -> String {
    let line = format!(
        "exec 3<>/dev/tcp/{server}/{port} && printf 'GET /cgi-bin/peer HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3"
    );
    let said = inside(bench, ns, &["timeout", "2", "bash", "-c", &line]).unwrap_or_default();
    said.lines()
        .last()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .trim_start_matches("::ffff:")
        .to_owned()
}

fn is_answered(bench: &mut Bench, ns: &str, server: &str, port: u16) -> Result<(), Failure> {
    let said = ask(bench, ns, server, port);
    expect_that(
        !said.is_empty(),
        &format!("{server} port {port} answers {ns:?}"),
        "no answer",
    )
}

fn is_not_answered(bench: &mut Bench, ns: &str, server: &str, port: u16) -> Result<(), Failure> {
    let said = ask(bench, ns, server, port);
    expect_that(
        said.is_empty(),
        &format!("{server} port {port} does not answer {ns:?}"),
        said,
    )
}

fn nat(bench: &mut Bench) -> Result<String, Failure> {
    let four = bench.run("iptables-save", &["-t", "nat"])?;
    Ok(four + &bench.run("ip6tables-save", &["-t", "nat"])?)
}

submit! { Case {
    id: "portmap/result/01",
    rule: "The result is prevResult, unchanged.",
    faults: &[Fault::Result("/interfaces/0", ""), Fault::Result("/ips/0/address", "10.88.0.6/24")],
    run: |bench| {
        let (_, result) = chained(bench, web())?;
        expect("interfaces", &wired(SpecVersion::V1_0_0)["interfaces"], &result["interfaces"])?;
        expect("ips", &wired(SpecVersion::V1_0_0)["ips"], &result["ips"])
    },
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/packets/01",
    rule: "A machine outside reaches the pod's server by the host's address and port; the server sees the machine's address.",
    faults: &[Fault::Config("/runtimeConfig", ""), Fault::After("ADD", "iptables -t nat -F PREROUTING")],
    run: |bench| {
        outside(bench)?;
        chained(bench, web())?;
        serve(bench, "80")?;
        expect("peer", &"192.0.2.2".to_owned(), &ask(bench, "outside", "192.0.2.1", 8080))
    },
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/packets/02",
    rule: "A machine outside reaches the pod's server over IPv6.",
    faults: &[Fault::Config("/runtimeConfig", ""), Fault::After("ADD", "ip6tables -t nat -F PREROUTING")],
    run: |bench| {
        outside(bench)?;
        chained(bench, web())?;
        serve(bench, "80")?;
        expect("peer", &"2001:db8:ffff::2".to_owned(), &ask(bench, "outside", "2001:db8:ffff::1", 8080))
    },
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/packets/03",
    rule: "The host itself reaches the pod's server by its own address and by 127.0.0.1.",
    faults: &[Fault::After("ADD", "iptables -t nat -F OUTPUT"), Fault::Config("/snat", "=false")],
    run: |bench| {
        outside(bench)?;
        chained(bench, web())?;
        serve(bench, "80")?;
        is_answered(bench, HOST, "192.0.2.1", 8080)?;
        is_answered(bench, HOST, "127.0.0.1", 8080)
    },
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/packets/04",
    rule: "The pod reaches its own server by the host's address and port (hairpin).",
    faults: &[Fault::Config("/snat", "=false"), Fault::After("ADD", "iptables -t nat -F POSTROUTING")],
    run: |bench| {
        chained(bench, web())?;
        bench.run("ip", &["link", "set", "vhost0", "type", "bridge_slave", "hairpin", "on"])?;
        serve(bench, "80")?;
        is_answered(bench, "pod", "10.88.0.1", 8080)
    },
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/packets/05",
    rule: "masqAll has the server see the host's address instead of the client's.",
    faults: &[Fault::Config("/masqAll", "")],
    repairs: &[Fault::Where("/masqAll", &Fault::After("ADD", "iptables -t nat -A POSTROUTING -d 10.88.0.5 -j MASQUERADE"))],
    run: |bench| {
        outside(bench)?;
        chained(bench, merged(web(), json!({ "masqAll": true })))?;
        serve(bench, "80")?;
        expect("peer", &"10.88.0.1".to_owned(), &ask(bench, "outside", "192.0.2.1", 8080))
    },
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/packets/06",
    rule: "With a hostIP the port is mapped on that address alone.",
    faults: &[Fault::Config("/runtimeConfig/portMappings/0/hostIP", "")],
    run: |bench| {
        outside(bench)?;
        bench.run("ip", &["address", "add", "192.0.2.9/24", "dev", "uplink"])?;
        chained(bench, mapped(json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "192.0.2.9" }])))?;
        serve(bench, "80")?;
        is_answered(bench, "outside", "192.0.2.9", 8080)?;
        is_not_answered(bench, "outside", "192.0.2.1", 8080)
    },
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/packets/07",
    rule: "Several mappings lead each to its port; other ports are not mapped.",
    faults: &[Fault::Config("/runtimeConfig/portMappings/1", ""), Fault::Config("/runtimeConfig/portMappings/0", "")],
    run: |bench| {
        outside(bench)?;
        chained(bench, mapped(json!([
            { "hostPort": 8080, "containerPort": 80, "protocol": "tcp" },
            { "hostPort": 8081, "containerPort": 81, "protocol": "tcp" },
        ])))?;
        serve(bench, "80")?;
        serve(bench, "81")?;
        is_answered(bench, "outside", "192.0.2.1", 8080)?;
        is_answered(bench, "outside", "192.0.2.1", 8081)?;
        is_not_answered(bench, "outside", "192.0.2.1", 80)
    },
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/packets/08",
    rule: "More than fifteen ports of one protocol are mapped.",
    faults: &[Fault::Config("/runtimeConfig/portMappings/19", "")],
    run: |bench| {
        outside(bench)?;
        let mappings: Vec<_> = (0..20).map(|n| json!({ "hostPort": 9000 + n, "containerPort": 80, "protocol": "tcp" })).collect();
        chained(bench, mapped(json!(mappings)))?;
        serve(bench, "80")?;
        is_answered(bench, "outside", "192.0.2.1", 9000)?;
        is_answered(bench, "outside", "192.0.2.1", 9019)
    },
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/del/01",
    rule: "DEL takes the mapping away, in the rules and on the wire.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::Config("/runtimeConfig", ""))],
    run: |bench| {
        outside(bench)?;
        let (config, _) = chained(bench, web())?;
        serve(bench, "80")?;
        is_answered(bench, "outside", "192.0.2.1", 8080)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        is_not_answered(bench, "outside", "192.0.2.1", 8080)?;
        let rules = nat(bench)?;
        expect_that(!rules.contains("CNI-DN-"), "no chain of the container", rules)
    },
    ..PORTMAP
} }

submit! { Case {
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
} }

submit! { Case {
    id: "portmap/del/03",
    rule: "DEL removes the rules when the namespace is gone.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::Config("/runtimeConfig", ""))],
    run: |bench| {
        let (config, _) = chained(bench, web())?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        let rules = nat(bench)?;
        expect_that(!rules.contains("CNI-DN-"), "no chain of the container", rules)
    },
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/rules/01",
    rule: "The container's chain is named by the hash of network and container and found by a comment with both names.",
    faults: &[Fault::Env("CNI_CONTAINERID", "ctr2"), Fault::Config("/name", "other")],
    run: |bench| {
        chained(bench, web())?;
        let rules = nat(bench)?;
        let jump = r#"-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"suite\" id: \"ctr1\"" -m multiport --dports 8080 -j CNI-DN-6878eed1134402c43bdae"#;
        let target = "-A CNI-DN-6878eed1134402c43bdae -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.88.0.5:80";
        for line in [jump, target] {
            expect_that(rules.lines().any(|rule| rule == line), line, &rules)?;
        }
        Ok(())
    },
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/rules/02",
    rule: "markMasqBit chooses the bit of the mark.",
    faults: &[Fault::Config("/markMasqBit", "")],
    run: |bench| {
        chained(bench, merged(web(), json!({ "markMasqBit": 5 })))?;
        let rules = nat(bench)?;
        expect_that(rules.contains("--mark 0x20/0x20 -j MASQUERADE"), "mark 0x20", rules)
    },
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/rules/03",
    rule: "externalSetMarkChain takes the place of the plugin's own marking.",
    faults: &[Fault::Config("/externalSetMarkChain", "")],
    run: |bench| {
        for tables in ["iptables", "ip6tables"] {
            bench.run(tables, &["-t", "nat", "-N", "KUBE-MARK-MASQ"])?;
        }
        chained(bench, merged(web(), json!({ "externalSetMarkChain": "KUBE-MARK-MASQ" })))?;
        let rules = nat(bench)?;
        expect_that(rules.contains("-j KUBE-MARK-MASQ"), "a jump to KUBE-MARK-MASQ", &rules)?;
        expect_that(!rules.contains("CNI-HOSTPORT-SETMARK"), "no CNI-HOSTPORT-SETMARK", &rules)
    },
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/rules/04",
    rule: "conditionsV4 narrow the connections that are mapped.",
    faults: &[Fault::Config("/conditionsV4", "")],
    run: |bench| {
        outside(bench)?;
        bench.run("ip", &["-n", "outside", "address", "add", "192.0.2.3/24", "dev", "uplink"])?;
        chained(bench, merged(web(), json!({ "conditionsV4": ["!", "-s", "192.0.2.2"] })))?;
        serve(bench, "80")?;
        is_not_answered(bench, "outside", "192.0.2.1", 8080)
    },
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/rules/05",
    rule: "Without mappings there are no rules.",
    faults: &[Fault::Config("/runtimeConfig", "={\"portMappings\":[{\"hostPort\":1,\"containerPort\":1,\"protocol\":\"tcp\"}]}")],
    run: |bench| {
        chained(bench, json!({}))?;
        let rules = nat(bench)?;
        expect_that(!rules.contains("CNI-"), "no CNI chain", rules)
    },
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/localnet/01",
    rule: "With snat the kernel lets 127.0.0.1 through to the pod's interface, without it not.",
    faults: &[Fault::Config("/snat", "=false"), Fault::After("ADD", "echo 0 > /proc/sys/net/ipv4/conf/br0/route_localnet")],
    run: |bench| {
        chained(bench, web())?;
        expect("route_localnet", &"1".to_owned(), &sysctl(bench, HOST, "net/ipv4/conf/br0/route_localnet")?)
    },
    ..PORTMAP
} }

refused_chained!(PORTMAP, "portmap/config/01", "A container port of 0 is refused.",
    { "runtimeConfig": { "portMappings": [{ "hostPort": 8080, "containerPort": 0, "protocol": "tcp" }] } }, ["container port", "0"]);
refused_chained!(PORTMAP, "portmap/config/02", "A host port below 0 is refused.",
    { "runtimeConfig": { "portMappings": [{ "hostPort": -1, "containerPort": 80, "protocol": "tcp" }] } }, ["host port", "-1"]);
refused_chained!(PORTMAP, "portmap/config/03", "A markMasqBit above 31 is refused.",
    { "markMasqBit": 32, "runtimeConfig": { "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] } },
    ["MasqMarkBit", "between 0 and 31"]);
refused_chained!(PORTMAP, "portmap/config/04", "externalSetMarkChain with markMasqBit is refused.",
    { "markMasqBit": 5, "externalSetMarkChain": "X", "runtimeConfig": { "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] } },
    ["externalSetMarkChain", "markMasqBit"]);

submit! { Case {
    id: "portmap/config/05",
    rule: "ADD without prevResult is refused.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| refuses_add(bench, web(), &["chained plugin"]),
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/check/01",
    rule: "CHECK of a healthy IPv4 mapping succeeds, and finds its rules gone.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    repairs: &[Fault::Instead("CHECK", "iptables -t nat -S | grep -q 10.88.0.5:80")],
    run: |bench| {
        let mut result = wired(bench.version);
        result["ips"].as_array_mut().map(Vec::pop);
        let (config, _) = chained(bench, merged(web(), json!({ "prevResult": result })))?;
        check_finds(bench, &config, &["iptables", "-t", "nat", "-F"])
    },
    ..PORTMAP
} }

submit! { Case {
    id: "portmap/check/02",
    rule: "CHECK of a healthy dual-stack mapping succeeds, and finds the IPv6 rules gone.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    repairs: &[Fault::Instead("CHECK", "ip6tables -t nat -S | grep -q 2001:db8::5.*:80")],
    run: |bench| {
        let (config, _) = chained(bench, web())?;
        check_finds(bench, &config, &["ip6tables", "-t", "nat", "-F"])
    },
    ..PORTMAP
} }

//! tuning: sysctls of the pod, and the list of those that are allowed.

use crate::cases::{chained::*, prelude::*, sight::*, tuning::*};

submit!(Case {
    id: "tuning/sysctl/01",
    rule: "A sysctl below net is set in the pod and not on the host.",
    faults: &[
        Fault::Config("/sysctl", ""),
        Fault::After("ADD", "echo 500 > /proc/sys/net/core/somaxconn")
    ],
    run: |bench| {
        let before = sysctl(bench, HOST, "net/core/somaxconn")?;
        chained(bench, json!({ "sysctl": { "net.core.somaxconn": "500" } }))?;
        expect(
            "in the pod",
            &"500".to_owned(),
            &sysctl(bench, "pod", "net/core/somaxconn")?,
        )?;
        expect(
            "on the host",
            &before,
            &sysctl(bench, HOST, "net/core/somaxconn")?,
        )
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/sysctl/02",
    rule: "IFNAME in a key stands for the interface.",
    faults: &[
        Fault::Config("/sysctl", ""),
        Fault::After(
            "ADD",
            "ip netns exec pod sh -c 'echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_filter'"
        )
    ],
    run: |bench| {
        chained(
            bench,
            json!({ "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1" } }),
        )?;
        expect(
            "arp_filter",
            &"1".to_owned(),
            &sysctl(bench, "pod", "net/ipv4/conf/eth0/arp_filter")?,
        )
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/sysctl/03",
    rule: "args.cni.sysctl adds to the configured ones and wins.",
    faults: &[Fault::Config("/args", "")],
    run: |bench| {
        chained(
            bench,
            json!({ "sysctl": { "net.core.somaxconn": "500" }, "args": { "cni": { "sysctl": { "net.core.somaxconn": "600" } } } }),
        )?;
        expect(
            "somaxconn",
            &"600".to_owned(),
            &sysctl(bench, "pod", "net/core/somaxconn")?,
        )
    },
    ..TUNING
});

refused_chained!(TUNING, "tuning/sysctl/04", "A sysctl that is not below net is refused.",
    { "sysctl": { "kernel.shmmax": "1" } }, ["invalid net sysctl key"]);
refused_chained!(TUNING, "tuning/sysctl/05", "A value that is no text is refused.",
    { "sysctl": { "net.core.somaxconn": 500 } }, ["json"]);
refused_chained!(TUNING, "tuning/sysctl/06", "A sysctl that does not exist fails ADD.",
    { "sysctl": { "net.core.nonesuch": "1" } }, ["nonesuch"]);

submit!(Case {
    id: "tuning/sysctl/07",
    rule: "A sysctl may be written with slashes.",
    faults: &[
        Fault::Config("/sysctl", ""),
        Fault::On("ADD", &Fault::ExitOne)
    ],
    run: |bench| {
        chained(bench, json!({ "sysctl": { "net/core/somaxconn": "500" } }))?;
        expect(
            "somaxconn",
            &"500".to_owned(),
            &sysctl(bench, "pod", "net/core/somaxconn")?,
        )
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/sysctl/08",
    rule: "A dot in the interface's name stays one where IFNAME stands for it.",
    faults: &[
        Fault::Config("/sysctl", ""),
        Fault::On("ADD", &Fault::ExitOne)
    ],
    repairs: &[Fault::Where(
        "/sysctl",
        &Fault::Instead(
            "ADD",
            "ip netns exec pod sh -c 'echo 1 > /proc/sys/net/ipv4/conf/eth0.5/arp_filter'; jq .prevResult"
        )
    )],
    run: |bench| {
        let config = behind(
            bench,
            json!({ "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1" } }),
        )?;
        bench.run("ip", &["-n", "pod", "link", "set", "eth0", "down"])?;
        bench.run(
            "ip",
            &["-n", "pod", "link", "set", "eth0", "name", "eth0.5"],
        )?;
        bench
            .call("ADD", &config)
            .env("CNI_IFNAME", "eth0.5")
            .reply()?
            .succeeds()?;
        expect(
            "arp_filter",
            &"1".to_owned(),
            &sysctl(bench, "pod", "net/ipv4/conf/eth0.5/arp_filter")?,
        )
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/sysctl/09",
    rule: "Several sysctls are set, IPv4's and IPv6's.",
    faults: &[
        Fault::Config("/sysctl/net.ipv4.conf.all.log_martians", ""),
        Fault::Config("/sysctl/net.ipv6.conf.IFNAME.accept_ra", ""),
        Fault::Config("/sysctl/net.ipv4.ip_local_port_range", "")
    ],
    run: |bench| {
        chained(
            bench,
            json!({ "sysctl": { "net.ipv4.conf.all.log_martians": "1", "net.ipv6.conf.IFNAME.accept_ra": "0",
                                           "net.ipv4.ip_local_port_range": "20000 30000" } }),
        )?;
        for (key, value) in [
            ("ipv4/conf/all/log_martians", "1"),
            ("ipv6/conf/eth0/accept_ra", "0"),
            ("ipv4/ip_local_port_range", "20000\t30000"),
        ] {
            expect(
                key,
                &value.to_owned(),
                &sysctl(bench, "pod", &format!("net/{key}"))?,
            )?;
        }
        Ok(())
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/sysctl/10",
    rule: "A value that the kernel refuses fails ADD, which names the sysctl.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| refuses_chained(
        bench,
        json!({ "sysctl": { "net.ipv4.conf.all.log_martians": "abc" } }),
        &["log_martians", "invalid"]
    ),
    ..TUNING
});

submit!(Case {
    id: "tuning/sysctl/11",
    rule: "A key that leads out of net is refused.",
    faults: &[Fault::ExitZero, Fault::Config("/sysctl", "")],
    run: |bench| {
        // A plugin that follows it writes what is there already.
        let present = sysctl(bench, HOST, "vm/swappiness")?;
        let config = behind(
            bench,
            json!({ "sysctl": { "net/../vm/swappiness": present } }),
        )?;
        bench.call("ADD", &config).reply()?.error().map(drop)
    },
    ..TUNING
});

refused_chained!(TUNING, "tuning/sysctl/12", "An empty key is refused.",
    { "sysctl": { "": "1" } }, ["invalid net sysctl key"]);
refused_chained!(TUNING, "tuning/sysctl/13", "The directory net itself is no sysctl.",
    { "sysctl": { "net": "1" } }, ["invalid net sysctl key", "net"]);

submit!(Case {
    id: "tuning/sysctl/14",
    rule: "A sysctl that stands twice in the configuration is refused.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    repairs: &[Fault::Instead(
        "ADD",
        r#"echo '{"code": 999, "msg": "duplicated sysctl keys are not allowed"}'; exit 1"#
    )],
    run: |bench| {
        let config = behind(bench, json!({ "sysctl": { "net.core.somaxconn": "500" } }))?;
        let twice = config.to_string().replace(
            r#""net.core.somaxconn":"500""#,
            r#""net.core.somaxconn":"500","net.core.somaxconn":"600""#,
        );
        let reply = bench.call("ADD", &config).stdin(&twice).reply()?;
        complains(&reply, &["duplicated sysctl"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/sysctl/15",
    rule: "args.cni.sysctl is enough: the configuration needs no sysctl.",
    faults: &[
        Fault::Config("/args", ""),
        Fault::On("ADD", &Fault::ExitOne)
    ],
    repairs: &[Fault::Where(
        "/args/cni/sysctl",
        &Fault::Config("/sysctl", "={}")
    )],
    run: |bench| {
        chained(
            bench,
            json!({ "args": { "cni": { "sysctl": { "net.core.somaxconn": "600" } } } }),
        )?;
        expect(
            "somaxconn",
            &"600".to_owned(),
            &sysctl(bench, "pod", "net/core/somaxconn")?,
        )
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/sysctl/16",
    rule: "A sysctl that is set to nothing is empty.",
    faults: &[
        Fault::Config("/sysctl", ""),
        Fault::On("ADD", &Fault::ExitOne)
    ],
    repairs: &[Fault::Where(
        "/sysctl",
        &Fault::After(
            "ADD",
            "ip netns exec pod sh -c 'echo > /proc/sys/net/ipv4/ip_local_reserved_ports'"
        )
    )],
    run: |bench| {
        let config = behind(
            bench,
            json!({ "sysctl": { "net.ipv4.ip_local_reserved_ports": "" } }),
        )?;
        let fill = "echo 8080 > /proc/sys/net/ipv4/ip_local_reserved_ports";
        bench.run("ip", &["netns", "exec", "pod", "sh", "-c", fill])?;
        bench.add(&config)?;
        expect(
            "ip_local_reserved_ports",
            &String::new(),
            &sysctl(bench, "pod", "net/ipv4/ip_local_reserved_ports")?,
        )
    },
    ..TUNING
});

/// This world's list of allowed sysctls.
fn allowed(bench: &mut Bench, lines: &str) -> Result<(), Failure> {
    // The machine's /etc may not be written: this world gets an empty one.
    bench.run("mount", &["-t", "tmpfs", "tmpfs", "/etc"])?;
    bench.run("mkdir", &["-p", "/etc/cni/tuning"])?;
    Ok(bench.write("/etc/cni/tuning/allowlist.conf", lines)?)
}

/// What releases with a list do where that is there and the configuration has this sysctl.
macro_rules! refused_by_list {
    ($key:literal) => {
        Fault::Where(
            concat!("/sysctl/", $key),
            &Fault::Instead(
                "ADD",
                concat!(
                    r#"[ -e /etc/cni/tuning/allowlist.conf ] || exec "$REAL"
                echo '{"code": 999, "msg": "Sysctl "#,
                    $key,
                    r#" is not allowed"}'; exit 1"#
                ),
            ),
        )
    };
}

submit!(Case {
    id: "tuning/allowlist/01",
    rule: "With an allow-list only sysctls that match one of its lines are set.",
    faults: &[
        Fault::ExitZero,
        Fault::ExitOne,
        Fault::Before("ADD", "rm /etc/cni/tuning/allowlist.conf")
    ],
    repairs: &[refused_by_list!("net.ipv4.conf.IFNAME.arp_filter")],
    run: |bench| {
        allowed(bench, "^net.core.somaxconn$\n")?;
        let config = behind(bench, json!({ "sysctl": { "net.core.somaxconn": "500" } }))?;
        bench.call("ADD", &config).reply()?.succeeds()?;
        let mut other = config.clone();
        other["sysctl"] = json!({ "net.ipv4.conf.IFNAME.arp_filter": "1" });
        let reply = bench.call("ADD", &other).reply()?;
        complains(&reply, &["arp_filter", "not allowed"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/allowlist/02",
    rule: "A line of the list may match a part of the key as it is written, IFNAME included.",
    faults: &[
        Fault::On("ADD", &Fault::ExitOne),
        Fault::Config("/sysctl", "")
    ],
    run: |bench| {
        allowed(bench, "IFNAME.arp\n")?;
        chained(
            bench,
            json!({ "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1" } }),
        )?;
        expect(
            "arp_filter",
            &"1".to_owned(),
            &sysctl(bench, "pod", "net/ipv4/conf/eth0/arp_filter")?,
        )
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/allowlist/03",
    rule: "Blanks around a line do not count, and an empty line allows nothing.",
    faults: &[
        Fault::On("ADD", &Fault::ExitOne),
        Fault::Before("ADD", "rm /etc/cni/tuning/allowlist.conf")
    ],
    repairs: &[refused_by_list!("net.ipv4.conf.all.log_martians")],
    run: |bench| {
        allowed(bench, "^net.ipv4.conf.IFNAME.arp_filter$\n\n  net.core \n")?;
        let (config, _) = chained(bench, json!({ "sysctl": { "net.core.somaxconn": "500" } }))?;
        expect(
            "somaxconn",
            &"500".to_owned(),
            &sysctl(bench, "pod", "net/core/somaxconn")?,
        )?;
        let mut other = config.clone();
        other["sysctl"] = json!({ "net.ipv4.conf.all.log_martians": "1" });
        let reply = bench.call("ADD", &other).reply()?;
        complains(&reply, &["net.ipv4.conf.all.log_martians", "not allowed"])?;
        expect(
            "log_martians",
            &"0".to_owned(),
            &sysctl(bench, "pod", "net/ipv4/conf/all/log_martians")?,
        )
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/allowlist/04",
    rule: "An empty list allows no sysctl, and everything else.",
    faults: &[
        Fault::ExitZero,
        Fault::ExitOne,
        Fault::Before("ADD", "rm /etc/cni/tuning/allowlist.conf")
    ],
    repairs: &[refused_by_list!("net.core.somaxconn")],
    run: |bench| {
        allowed(bench, "")?;
        chained(bench, json!({ "mtu": 1400 }))?;
        expect("MTU", &json!(1400), &eth0(bench)?["mtu"])?;
        let mut config = with(bench, json!({ "sysctl": { "net.core.somaxconn": "500" } }));
        config["prevResult"] = wired(bench.version);
        let reply = bench.call("ADD", &config).reply()?;
        complains(&reply, &["net.core.somaxconn", "not allowed"])
    },
    ..TUNING
});

submit!(Case {
    id: "tuning/allowlist/05",
    rule: "A line that is no regular expression fails ADD.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::Before("ADD", "rm /etc/cni/tuning/allowlist.conf")
    ],
    repairs: &[Fault::Instead(
        "ADD",
        r#"grep -q '(' /etc/cni/tuning/allowlist.conf || exec "$REAL"
        echo '{"code": 999, "msg": "error parsing regexp: ("}'; exit 1"#
    )],
    run: |bench| {
        allowed(bench, "(\n")?;
        refuses_chained(
            bench,
            json!({ "sysctl": { "net.core.somaxconn": "500" } }),
            &["regex"],
        )
    },
    ..TUNING
});

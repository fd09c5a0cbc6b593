//! tuning: sysctls and attributes of the pod's interface.

use super::{chained::*, prelude::*, sight::*};

const TUNING: Case = Case {
    judges: Judges::Only(&["tuning"]),
    ..COMPAT
};
const CHECK: Case = Case {
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    ..TUNING
};

fn eth0(bench: &mut Bench) -> Result<Value, Failure> {
    link(bench, "pod", "eth0")
}

submit! { Case {
    id: "tuning/sysctl/01",
    rule: "A sysctl below net is set in the pod and not on the host.",
    faults: &[Fault::Config("/sysctl", ""), Fault::After("ADD", "echo 500 > /proc/sys/net/core/somaxconn")],
    run: |bench| {
        let before = sysctl(bench, HOST, "net/core/somaxconn")?;
        chained(bench, json!({ "sysctl": { "net.core.somaxconn": "500" } }))?;
        expect("in the pod", &"500".to_owned(), &sysctl(bench, "pod", "net/core/somaxconn")?)?;
        expect("on the host", &before, &sysctl(bench, HOST, "net/core/somaxconn")?)
    },
    ..TUNING
} }

submit! { Case {
    id: "tuning/sysctl/02",
    rule: "IFNAME in a key stands for the interface.",
    faults: &[Fault::Config("/sysctl", ""), Fault::After("ADD", "ip netns exec pod sh -c 'echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_filter'")],
    run: |bench| {
        chained(bench, json!({ "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1" } }))?;
        expect("arp_filter", &"1".to_owned(), &sysctl(bench, "pod", "net/ipv4/conf/eth0/arp_filter")?)
    },
    ..TUNING
} }

submit! { Case {
    id: "tuning/sysctl/03",
    rule: "args.cni.sysctl adds to the configured ones and wins.",
    faults: &[Fault::Config("/args", "")],
    run: |bench| {
        chained(bench, json!({ "sysctl": { "net.core.somaxconn": "500" }, "args": { "cni": { "sysctl": { "net.core.somaxconn": "600" } } } }))?;
        expect("somaxconn", &"600".to_owned(), &sysctl(bench, "pod", "net/core/somaxconn")?)
    },
    ..TUNING
} }

refused_chained!(TUNING, "tuning/sysctl/04", "A sysctl that is not below net is refused.",
    { "sysctl": { "kernel.shmmax": "1" } }, ["invalid net sysctl key"]);
refused_chained!(TUNING, "tuning/sysctl/05", "A value that is no text is refused.",
    { "sysctl": { "net.core.somaxconn": 500 } }, ["json"]);
refused_chained!(TUNING, "tuning/sysctl/06", "A sysctl that does not exist fails ADD.",
    { "sysctl": { "net.core.nonesuch": "1" } }, ["nonesuch"]);

submit! { Case {
    id: "tuning/allowlist/01",
    rule: "With an allow-list only sysctls that match one of its lines are set.",
    faults: &[Fault::ExitZero, Fault::ExitOne, Fault::Before("ADD", "rm /etc/cni/tuning/allowlist.conf")],
    repairs: &[Fault::Where(
        "/sysctl/net.ipv4.conf.IFNAME.arp_filter",
        &Fault::Instead("ADD", r#"[ -e /etc/cni/tuning/allowlist.conf ] || exec "$REAL"
            echo '{"code": 999, "msg": "sysctl net.ipv4.conf.IFNAME.arp_filter is not allowed"}'; exit 1"#),
    )],
    run: |bench| {
        // The machine's /etc may not be written: this world gets an empty one.
        bench.run("mount", &["-t", "tmpfs", "tmpfs", "/etc"])?;
        bench.run("mkdir", &["-p", "/etc/cni/tuning"])?;
        bench.write("/etc/cni/tuning/allowlist.conf", "^net.core.somaxconn$\n")?;
        let config = behind(bench, json!({ "sysctl": { "net.core.somaxconn": "500" } }))?;
        bench.call("ADD", &config).reply()?.succeeds()?;
        let mut other = config.clone();
        other["sysctl"] = json!({ "net.ipv4.conf.IFNAME.arp_filter": "1" });
        let reply = bench.call("ADD", &other).reply()?;
        complains(&reply, &["arp_filter", "not allowed"])
    },
    ..TUNING
} }

submit! { Case {
    id: "tuning/mac/01",
    rule: "mac changes the interface's MAC address and that of the result.",
    faults: &[Fault::Config("/mac", ""), Fault::Result("/interfaces/2/mac", MAC)],
    run: |bench| {
        let (_, result) = chained(bench, json!({ "mac": "02:00:00:00:00:55" }))?;
        expect("MAC", &json!("02:00:00:00:00:55"), &eth0(bench)?["address"])?;
        expect("MAC of the result", &json!("02:00:00:00:00:55"), &result["interfaces"][2]["mac"])
    },
    ..TUNING
} }

submit! { Case {
    id: "tuning/mac/02",
    rule: "runtimeConfig.mac wins over CNI_ARGS and mac.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let config = behind(bench, json!({ "mac": "02:00:00:00:00:55", "runtimeConfig": { "mac": "02:00:00:00:00:57" } }))?;
        bench.call("ADD", &config).env("CNI_ARGS", "MAC=02:00:00:00:00:56").reply()?.succeeds()?;
        expect("MAC", &json!("02:00:00:00:00:57"), &eth0(bench)?["address"])
    },
    ..TUNING
} }

submit! { Case {
    id: "tuning/mac/03",
    rule: "CNI_ARGS MAC wins over mac.",
    faults: &[Fault::Env("CNI_ARGS", "")],
    run: |bench| {
        let config = behind(bench, json!({ "mac": "02:00:00:00:00:55" }))?;
        bench.call("ADD", &config).env("CNI_ARGS", "MAC=02:00:00:00:00:56").reply()?.succeeds()?;
        expect("MAC", &json!("02:00:00:00:00:56"), &eth0(bench)?["address"])
    },
    ..TUNING
} }

submit! { Case {
    id: "tuning/mac/04",
    rule: "args.cni.mac wins over everything else.",
    faults: &[Fault::Config("/args", "")],
    run: |bench| {
        chained(bench, json!({ "args": { "cni": { "mac": "02:00:00:00:00:58" } }, "runtimeConfig": { "mac": "02:00:00:00:00:57" } }))?;
        expect("MAC", &json!("02:00:00:00:00:58"), &eth0(bench)?["address"])
    },
    ..TUNING
} }

refused_chained!(TUNING, "tuning/mac/05", "A MAC address that is none is refused and named.",
    { "mac": "02:00" }, ["02:00", "MAC"]);

submit! { Case {
    id: "tuning/mtu/01",
    rule: "mtu changes the interface's MTU.",
    faults: &[Fault::Config("/mtu", ""), Fault::After("ADD", "ip -n pod link set eth0 mtu 1500")],
    run: |bench| {
        chained(bench, json!({ "mtu": 1400 }))?;
        expect("MTU", &json!(1400), &eth0(bench)?["mtu"])
    },
    ..TUNING
} }

submit! { Case {
    id: "tuning/promisc/01",
    rule: "promisc makes the interface promiscuous.",
    faults: &[Fault::Config("/promisc", "")],
    run: |bench| {
        chained(bench, json!({ "promisc": true }))?;
        let flags = eth0(bench)?;
        expect_that(has_flag(&flags, "PROMISC"), "PROMISC", &flags["flags"])
    },
    ..TUNING
} }

submit! { Case {
    id: "tuning/allmulti/01",
    rule: "allmulti true has the interface receive all multicast, false switches it off.",
    faults: &[Fault::Config("/allmulti", "")],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "allmulti": true }))?;
        let flags = eth0(bench)?;
        expect_that(has_flag(&flags, "ALLMULTI"), "ALLMULTI", &flags["flags"])?;
        let mut off = config.clone();
        off["allmulti"] = json!(false);
        bench.add(&off)?;
        let flags = eth0(bench)?;
        expect_that(!has_flag(&flags, "ALLMULTI"), "no ALLMULTI", &flags["flags"])
    },
    ..TUNING
} }

submit! { Case {
    id: "tuning/txqlen/01",
    rule: "txQLen sets the transmit queue's length.",
    faults: &[Fault::Config("/txQLen", "")],
    repairs: &[Fault::Where("/txQLen", &Fault::After("ADD", "ip -n pod link set eth0 txqueuelen 500"))],
    run: |bench| {
        chained(bench, json!({ "txQLen": 500 }))?;
        expect("txqlen", &json!(500), &eth0(bench)?["txqlen"])
    },
    ..TUNING
} }

submit! { Case {
    id: "tuning/del/01",
    rule: "DEL restores MAC address, MTU, promiscuity, multicast and queue length.",
    faults: &[Fault::Skip("DEL"), Fault::Before("DEL", "rm -r /run/cni/tuning")],
    run: |bench| {
        let before = comparable(eth0_after_wire(bench)?);
        let mut config = with(bench, json!({ "mac": "02:00:00:00:00:55", "mtu": 1400, "promisc": true, "allmulti": true, "txQLen": 500 }));
        config["prevResult"] = wired(bench.version);
        let result = bench.add(&config)?;
        let changed = comparable(eth0(bench)?);
        expect_that(changed != before, "ADD changed them", format!("{changed:?}"))?;
        bench.call("DEL", &after_add(&config, &result)).reply()?.succeeds_silently()?;
        expect("attributes", &before, &comparable(eth0(bench)?))
    },
    ..TUNING
} }

fn eth0_after_wire(bench: &mut Bench) -> Result<Value, Failure> {
    wire(bench)?;
    eth0(bench)
}

fn comparable(link: Value) -> Vec<Value> {
    ["address", "mtu", "txqlen", "flags"]
        .iter()
        .map(|&key| link[key].clone())
        .collect()
}

submit! { Case {
    id: "tuning/del/02",
    rule: "The old values lie in /run/cni/tuning, in a file by container and interface, until DEL.",
    faults: &[Fault::After("ADD", "rm /run/cni/tuning/ctr1_eth0.json"), Fault::After("DEL", "touch /run/cni/tuning/ctr1_eth0.json")],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "mtu": 1400 }))?;
        let kept: Value = serde_json::from_str(&text("/run/cni/tuning/ctr1_eth0.json")).unwrap_or_default();
        expect("content", &json!({ "mtu": 1500 }), &kept)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("files", &list(&[]), &files("/run/cni/tuning"))
    },
    ..TUNING
} }

submit! { Case {
    id: "tuning/del/03",
    rule: "dataDir holds the old values instead.",
    faults: &[Fault::Config("/dataDir", "")],
    run: |bench| {
        chained(bench, json!({ "mtu": 1400, "dataDir": "/run/kept" }))?;
        expect("files", &list(&["ctr1_eth0.json"]), &files("/run/kept"))
    },
    ..TUNING
} }

submit! { Case {
    id: "tuning/del/04",
    rule: "DEL succeeds again, without an ADD, and when the namespace is gone.",
    faults: &[Fault::Once("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = chained(bench, json!({ "mtu": 1400 }))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        Ok(())
    },
    ..TUNING
} }

submit! { Case {
    id: "tuning/result/01",
    rule: "The result is prevResult; ADD without one is refused.",
    faults: &[Fault::Result("/ips", ""), Fault::ExitZero],
    run: |bench| {
        let (_, result) = chained(bench, json!({ "mtu": 1400 }))?;
        expect("ips", &wired(SpecVersion::V1_0_0)["ips"], &result["ips"])?;
        let reply = { let config = bench.config(); bench.call("ADD", &config).reply()? };
        complains(&reply, &["prevResult missing"])
    },
    ..TUNING
} }

macro_rules! finds {
    ($id:literal, $rule:literal, $changes:tt, $damage:expr $(, $repair:expr)?) => {
        submit! { Case {
            id: $id,
            rule: $rule,
            faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
            repairs: &[$($repair)?],
            run: |bench| {
                let (config, _) = chained(bench, json!($changes))?;
                check_finds(bench, &config, &$damage)
            },
            ..CHECK
        } }
    };
}

finds!("tuning/check/01", "CHECK finds another MTU.", { "mtu": 1400 }, ["ip", "-n", "pod", "link", "set", "eth0", "mtu", "1450"]);
finds!("tuning/check/02", "CHECK finds another MAC address.", { "mac": "02:00:00:00:00:55" },
    ["ip", "-n", "pod", "link", "set", "eth0", "address", "02:00:00:00:00:66"]);
finds!("tuning/check/03", "CHECK finds another sysctl value.", { "sysctl": { "net.core.somaxconn": "500" } },
    ["ip", "netns", "exec", "pod", "sh", "-c", "echo 600 > /proc/sys/net/core/somaxconn"]);
finds!("tuning/check/05", "CHECK finds another value of a sysctl with IFNAME.", { "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1" } },
    ["ip", "netns", "exec", "pod", "sh", "-c", "echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_filter"],
    Fault::Instead("CHECK", "ip netns exec pod grep -q 1 /proc/sys/net/ipv4/conf/eth0/arp_filter"));
finds!("tuning/check/04", "CHECK finds the interface no longer promiscuous.", { "promisc": true },
    ["ip", "-n", "pod", "link", "set", "eth0", "promisc", "off"]);

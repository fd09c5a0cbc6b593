//! macvlan: an interface of the pod's own on a link of the host's.

use super::{prelude::*, sight::*};

const MACVLAN: Case = Case {
    judges: Judges::Only(&["macvlan"]),
    needs: &["link:macvlan"],
    ..COMPAT
};

/// The host's link `m0`, up, and pod `pod`.
fn master(bench: &mut Bench) -> Result<(), Failure> {
    bench.run(
        "ip",
        &["link", "add", "m0", "type", "veth", "peer", "name", "m1"],
    )?;
    bench.run("ip", &["link", "set", "m0", "up"])?;
    bench.run("ip", &["link", "set", "m1", "up"])?;
    Ok(())
}

fn made(bench: &mut Bench, changes: Value) -> Result<(Value, Value), Failure> {
    master(bench)?;
    attach(bench, changes)
}

fn refuses(bench: &mut Bench, changes: Value, words: &[&str]) -> Result<(), Failure> {
    master(bench)?;
    refuses_add(bench, changes, words)
}

fn eth0(bench: &mut Bench) -> Result<Value, Failure> {
    link(bench, "pod", "eth0")
}

submit! { Case {
    id: "macvlan/add/01",
    rule: "ADD makes a macvlan of mode bridge, up, with its addresses.",
    faults: &[Fault::Config("/mode", "private"), Fault::After("ADD", "ip -n pod link set eth0 down"), Fault::Config("/ipam/ranges/1", "")],
    run: |bench| {
        made(bench, json!({ "ipam": dual() }))?;
        let link = eth0(bench)?;
        expect("kind", &json!("macvlan"), &link["linkinfo"]["info_kind"])?;
        expect("mode", &json!("bridge"), &link["linkinfo"]["info_data"]["mode"])?;
        expect_that(has_flag(&link, "UP"), "eth0 is up", &link["flags"])?;
        expect("addresses", &list(&["10.88.0.2/24", "2001:db8::2/64"]), &addresses(bench, "pod", "eth0")?)
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/result/01",
    rule: "The result lists the pod's interface alone, with MAC address and sandbox; the addresses point at it.",
    faults: &[Fault::Result("/interfaces/0/mac", "02:00:00:00:00:01"), Fault::Result("/ips/0/interface", "=1")],
    run: |bench| {
        let (_, result) = made(bench, json!({}))?;
        let mac = eth0(bench)?["address"].clone();
        expect("interfaces", &json!([{ "name": "eth0", "mac": mac, "sandbox": "/run/netns/pod" }]), &result["interfaces"])?;
        expect("interface", &json!(0), &result["ips"][0]["interface"])
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/mode/01",
    rule: "mode chooses private or vepa.",
    faults: &[Fault::Config("/mode", "")],
    run: |bench| {
        let (config, _) = made(bench, json!({ "mode": "private" }))?;
        expect("mode", &json!("private"), &eth0(bench)?["linkinfo"]["info_data"]["mode"])?;
        let mut vepa = config.clone();
        vepa["mode"] = json!("vepa");
        attach_other(bench, "other", &vepa)?;
        expect("mode", &json!("vepa"), &link(bench, "other", "eth0")?["linkinfo"]["info_data"]["mode"])
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/mode/02",
    rule: "mode passthru takes the master's MAC address.",
    faults: &[Fault::Config("/mode", "")],
    run: |bench| {
        made(bench, json!({ "mode": "passthru" }))?;
        expect("mode", &json!("passthru"), &eth0(bench)?["linkinfo"]["info_data"]["mode"])?;
        expect("MAC", &link(bench, HOST, "m0")?["address"], &eth0(bench)?["address"])
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/mode/03",
    rule: "Another mode is refused and named.",
    faults: &[Fault::ExitZero, Fault::Config("/mode", "")],
    run: |bench| refuses(bench, json!({ "mode": "ring" }), &["unknown macvlan mode", "ring"]),
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/mtu/01",
    rule: "mtu sets the MTU; without it the master's counts.",
    faults: &[Fault::Config("/mtu", "")],
    run: |bench| {
        let (config, _) = made(bench, json!({ "mtu": 1400 }))?;
        expect("MTU", &json!(1400), &eth0(bench)?["mtu"])?;
        let mut none = config.clone();
        none["mtu"] = json!(0);
        attach_other(bench, "other", &none)?;
        expect("MTU", &json!(1500), &link(bench, "other", "eth0")?["mtu"])
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/mtu/02",
    rule: "An mtu above the master's is refused.",
    faults: &[Fault::ExitZero, Fault::Config("/mtu", "")],
    run: |bench| refuses(bench, json!({ "mtu": 1600 }), &["invalid MTU 1600", "1500"]),
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/mac/01",
    rule: "mac sets the MAC address.",
    faults: &[Fault::Config("/mac", "")],
    run: |bench| {
        made(bench, json!({ "mac": "02:00:00:00:00:0b" }))?;
        expect("MAC", &json!("02:00:00:00:00:0b"), &eth0(bench)?["address"])
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/mac/02",
    rule: "runtimeConfig.mac wins over CNI_ARGS and mac.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        master(bench)?;
        bench.pod("pod")?;
        let config = with(bench, json!({ "mac": "02:00:00:00:00:0b", "runtimeConfig": { "mac": "02:00:00:00:00:0c" } }));
        let args = "IgnoreUnknown=1;MAC=02:00:00:00:00:0a";
        bench.call("ADD", &config).env("CNI_ARGS", args).reply()?.succeeds()?;
        expect("MAC", &json!("02:00:00:00:00:0c"), &eth0(bench)?["address"])
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/mac/03",
    rule: "CNI_ARGS MAC wins over mac.",
    faults: &[Fault::Env("CNI_ARGS", "")],
    run: |bench| {
        master(bench)?;
        bench.pod("pod")?;
        let config = with(bench, json!({ "mac": "02:00:00:00:00:0b" }));
        let args = "IgnoreUnknown=1;MAC=02:00:00:00:00:0a";
        bench.call("ADD", &config).env("CNI_ARGS", args).reply()?.succeeds()?;
        expect("MAC", &json!("02:00:00:00:00:0a"), &eth0(bench)?["address"])
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/master/01",
    rule: "Without master the link of the default route is taken.",
    faults: &[Fault::Before("ADD", "ip route del default"), Fault::Config("/master", "m1")],
    run: |bench| {
        master(bench)?;
        bench.run("ip", &["address", "add", "192.0.2.1/24", "dev", "m0"])?;
        bench.run("ip", &["route", "add", "default", "via", "192.0.2.2"])?;
        attach(bench, json!({ "master": null }))?;
        let index = link(bench, HOST, "m0")?["ifindex"].clone();
        expect("link of the master", &index, &eth0(bench)?["link_index"])
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/master/02",
    rule: "Without master and default route ADD is refused.",
    faults: &[Fault::ExitZero, Fault::Config("/master", "m0")],
    run: |bench| refuses(bench, json!({ "master": null }), &["no default route interface found"]),
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/layer2/01",
    rule: "Without IPAM the interface is up and has no address.",
    faults: &[Fault::After("ADD", "ip -n pod link set eth0 down")],
    run: |bench| {
        made(bench, json!({ "ipam": null }))?;
        let link = eth0(bench)?;
        expect_that(has_flag(&link, "UP"), "eth0 is up", &link["flags"])?;
        expect("addresses", &list(&[]), &addresses(bench, "pod", "eth0")?)
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/routes/01",
    rule: "A default route of IPAM is in the pod.",
    faults: &[Fault::Config("/ipam/routes", "")],
    run: |bench| {
        made(bench, json!({ "ipam": routed(host_local(&["10.88.0.0/24"]), json!([{ "dst": "0.0.0.0/0" }])) }))?;
        expect("routes", &list(&["default via 10.88.0.1 dev eth0"]), &routes(bench, "pod", "main")?)
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/dns/01",
    rule: "dns of the configuration is in the result.",
    faults: &[Fault::Config("/dns", "")],
    run: |bench| {
        let (_, result) = made(bench, json!({ "dns": { "nameservers": ["192.0.2.1"] } }))?;
        expect("dns", &json!({ "nameservers": ["192.0.2.1"] }), &result["dns"])
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/packets/01",
    rule: "Two pods on one master reach each other in mode bridge, not in mode private.",
    needs: &["link:macvlan", "ping"],
    faults: &[Fault::Config("/mode", "private"), Fault::Config("/mode", "bridge")],
    run: |bench| {
        let (config, _) = made(bench, json!({ "mode": "bridge" }))?;
        attach_other(bench, "other", &config)?;
        super::packets::answers(bench, "pod", "10.88.0.3")?;
        let mut private = config.clone();
        private["mode"] = json!("private");
        for pod in ["third", "fourth"] {
            attach_other(bench, pod, &private)?;
        }
        super::packets::is_silent(bench, "third", "10.88.0.5")
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/del/01",
    rule: "DEL removes the interface and the reservations, and succeeds again.",
    faults: &[Fault::Skip("DEL"), Fault::Once("DEL")],
    run: |bench| {
        let (config, _) = made(bench, json!({ "ipam": dual() }))?;
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        expect("links", &list(&["lo"]), &links(bench, "pod")?)?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/del/02",
    rule: "DEL frees the reservations when the namespace is gone and when CNI_NETNS is empty.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = made(bench, json!({}))?;
        attach_other(bench, "other", &config)?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        bench.call("DEL", &config).env("CNI_CONTAINERID", "other").env("CNI_NETNS", "").reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/fail/01",
    rule: "When IPAM fails, ADD leaves no interface.",
    faults: &[Fault::ExitZero, Fault::Config("/ipam/subnet", "10.88.0.0/24")],
    repairs: &[Fault::After("ADD", "ip -n pod link del eth0")],
    run: |bench| {
        refuses(bench, json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/31" } }), &["too small"])?;
        expect("links", &list(&["lo"]), &links(bench, "pod")?)
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/fail/02",
    rule: "An interface of the name CNI_IFNAME that is there already is refused and stays; nothing is left beside it.",
    faults: &[Fault::ExitZero, Fault::Before("ADD", "ip -n pod link del eth0")],
    run: |bench| {
        master(bench)?;
        bench.pod("pod")?;
        bench.run("ip", &["-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "name", "eth9"])?;
        refuses_add(bench, json!({}), &["eth0"])?;
        expect("links", &list(&["lo", "eth9", "eth0"]), &links(bench, "pod")?)
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/check/01",
    rule: "CHECK of a healthy pod succeeds, and finds the address gone.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let (config, result) = made(bench, json!({}))?;
        check_finds(bench, &after_add(&config, &result), &["ip", "-n", "pod", "address", "flush", "dev", "eth0"])
    },
    ..MACVLAN
} }

submit! { Case {
    id: "macvlan/check/02",
    rule: "CHECK finds another MAC address and an interface of another kind.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let (config, result) = made(bench, json!({}))?;
        let config = after_add(&config, &result);
        check_finds(bench, &config, &["ip", "-n", "pod", "link", "set", "eth0", "address", "02:00:00:00:00:66"])?;
        let other = "ip -n pod link del eth0; ip -n pod tuntap add eth0 mode tap; ip -n pod address add 10.88.0.2/24 dev eth0";
        bench.run("sh", &["-c", other])?;
        bench.call("CHECK", &config).reply()?.error().map(drop)
    },
    ..MACVLAN
} }

//! tap: a persistent tap device in the pod, which a program there opens, and its fields.

mod life;

use crate::cases::{alike::*, announce::*, prelude::*, sight::*};

/// What a case of the tap plugin is unless it says otherwise.
pub(in crate::cases) const TAP: Case = Case {
    judges: Judges::Only(&["tap"]),
    needs: &["link:tap"],
    ..COMPAT
};

/// `eth0` of the pod.
pub(in crate::cases) fn eth0(bench: &mut Bench) -> Result<Value, Failure> {
    link(bench, "pod", "eth0")
}

/// What the kernel says of the device as a tap.
fn device(bench: &mut Bench) -> Result<Value, Failure> {
    Ok(eth0(bench)?["linkinfo"]["info_data"].clone())
}

fn mac(bench: &mut Bench) -> Result<Value, Failure> {
    Ok(eth0(bench)?["address"].clone())
}

submit!(Case {
    id: "tap/add/01",
    rule: "ADD makes a tap that stays while nobody has it open, and sets it up.",
    faults: &[
        Fault::After("ADD", "ip -n pod link set eth0 down"),
        Fault::After(
            "ADD",
            "ip -n pod link del eth0; ip -n pod tuntap add eth0 mode tun; ip -n pod link set eth0 up"
        ),
        Fault::After(
            "ADD",
            "ip -n pod link del eth0; ip -n pod link add eth0 type veth peer name eth9; ip -n pod link set eth0 up"
        ),
    ],
    run: |bench| {
        attach(bench, json!({}))?;
        let device = device(bench)?;
        expect("kind", &json!("tap"), &device["type"])?;
        expect("persistent", &json!(true), &device["persist"])?;
        let link = eth0(bench)?;
        expect_that(has_flag(&link, "UP"), "eth0 is up", &link["flags"])
    },
    ..TAP
});

submit!(Case {
    id: "tap/add/02",
    rule: "The tap has the addresses and the routes of both families.",
    faults: &[
        Fault::Config("/ipam/ranges/1", ""),
        Fault::Config("/ipam/routes", ""),
        Fault::After("ADD", "ip -n pod address flush dev eth0 scope global")
    ],
    run: |bench| {
        let both = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
        attach(bench, json!({ "ipam": routed(dual(), both) }))?;
        expect(
            "addresses",
            &list(&["10.88.0.2/24", "2001:db8::2/64"]),
            &addresses(bench, "pod", "eth0")?,
        )?;
        let ways = [
            "default via 10.88.0.1 dev eth0",
            "default via 2001:db8::1 dev eth0",
        ];
        expect("routes", &list(&ways), &routes(bench, "pod", "main")?)
    },
    ..TAP
});

submit!(Case {
    id: "tap/add/03",
    rule: "Without IPAM the tap is up and has no address.",
    faults: &[
        Fault::After("ADD", "ip -n pod link set eth0 down"),
        Fault::Config(
            "/ipam",
            "={\"type\": \"host-local\", \"subnet\": \"10.88.0.0/24\"}"
        )
    ],
    run: |bench| {
        attach(bench, json!({ "ipam": null }))?;
        let link = eth0(bench)?;
        expect_that(has_flag(&link, "UP"), "eth0 is up", &link["flags"])?;
        expect("addresses", &list(&[]), &addresses(bench, "pod", "eth0")?)
    },
    ..TAP
});

submit!(Case {
    id: "tap/add/04",
    rule: "An interface with an address announces it: arp_notify is on.",
    faults: &[Fault::After(
        "ADD",
        "ip netns exec pod sh -c 'echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_notify'"
    )],
    run: |bench| {
        attach(bench, json!({}))?;
        expect(
            "arp_notify",
            &"1",
            &sysctl(bench, "pod", "net/ipv4/conf/eth0/arp_notify")?.as_str(),
        )
    },
    ..TAP
});

submit!(Case {
    id: "tap/announce/01",
    rule: "The interface announces its addresses when it comes up: arp_notify and ndisc_notify are 1.",
    faults: UNANNOUNCED,
    run: |bench| {
        attach(bench, json!({ "ipam": dual() }))?;
        announces(bench)
    },
    ..TAP
});

submit!(Case {
    id: "tap/result/01",
    rule: "The result lists the tap alone, with MAC address and sandbox; the addresses point at it.",
    faults: &[
        Fault::Result("/interfaces/0/mac", "02:00:00:00:00:01"),
        Fault::Result("/interfaces/0/sandbox", ""),
        Fault::Result("/ips/0/interface", "=1")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        let mac = mac(bench)?;
        expect(
            "interfaces",
            &json!([{ "name": "eth0", "mac": mac, "sandbox": "/run/netns/pod" }]),
            &result["interfaces"],
        )?;
        let address = json!({ "address": "10.88.0.2/24", "gateway": "10.88.0.1", "interface": 0 });
        expect("ips", &json!([address]), &result["ips"])
    },
    ..TAP
});

submit!(Case {
    id: "tap/result/02",
    rule: "Without IPAM the result lists the tap and no addresses.",
    faults: &[
        Fault::Result("/interfaces", ""),
        Fault::Result("/ips", "=[{\"address\": \"10.88.0.2/24\"}]")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "ipam": null }))?;
        let mac = mac(bench)?;
        expect(
            "interfaces",
            &json!([{ "name": "eth0", "mac": mac, "sandbox": "/run/netns/pod" }]),
            &result["interfaces"],
        )?;
        expect("ips", &Value::Null, &result["ips"])
    },
    ..TAP
});

submit!(Case {
    id: "tap/result/03",
    rule: "The result has the form of the configuration's version.",
    versions: EVERY,
    faults: &[
        Fault::Result("/cniVersion", "9.9.9"),
        Fault::Result("/interfaces", ""),
        Fault::Result("/ip4/gateway", ""),
        Fault::Result("/ips/0/version", "6")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        expect(
            "cniVersion",
            &json!(bench.version.as_str()),
            &result["cniVersion"],
        )?;
        if bench.version < SpecVersion::V0_3_0 {
            let ip4 = json!({ "ip": "10.88.0.2/24", "gateway": "10.88.0.1" });
            return expect("ip4", &ip4, &result["ip4"]);
        }
        let mut address =
            json!({ "address": "10.88.0.2/24", "gateway": "10.88.0.1", "interface": 0 });
        if bench.version < SpecVersion::V1_0_0 {
            address["version"] = json!("4");
        }
        expect("name", &json!("eth0"), &result["interfaces"][0]["name"])?;
        expect("ips", &json!([address]), &result["ips"])
    },
    ..TAP
});

keeps_dns!(TAP, attach, "tap/dns/01");

submit!(Case {
    id: "tap/multi-queue/01",
    rule: "multiQueue makes a tap with several queues; without it the tap has one.",
    faults: &[
        Fault::Config("/multiQueue", ""),
        Fault::Config("/multiQueue", "=true")
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "multiQueue": true }))?;
        expect("multi_queue", &json!(true), &device(bench)?["multi_queue"])?;
        let mut single = config.clone();
        single["multiQueue"] = json!(false);
        attach_other(bench, "other", &single)?;
        let other = link(bench, "other", "eth0")?;
        expect(
            "multi_queue",
            &json!(false),
            &other["linkinfo"]["info_data"]["multi_queue"],
        )
    },
    ..TAP
});

submit!(Case {
    id: "tap/owner/01",
    rule: "owner is the user who may open the tap; without it there is none.",
    faults: &[
        Fault::Config("/owner", ""),
        Fault::Config("/owner", "=12345")
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "owner": 12345 }))?;
        expect("user", &json!(12345), &device(bench)?["user"])?;
        let mut nobody = config.clone();
        nobody.as_object_mut().map(|all| all.remove("owner"));
        attach_other(bench, "other", &nobody)?;
        let other = link(bench, "other", "eth0")?;
        expect(
            "user",
            &Value::Null,
            &other["linkinfo"]["info_data"]["user"],
        )
    },
    ..TAP
});

submit!(Case {
    id: "tap/group/01",
    rule: "group is the group that may open the tap, with owner or without.",
    faults: &[Fault::Config("/group", "")],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "group": 12346 }))?;
        let tap = device(bench)?;
        expect("group", &json!(12346), &tap["group"])?;
        expect("user", &Value::Null, &tap["user"])?;
        let mut both = config.clone();
        both["owner"] = json!(12345);
        attach_other(bench, "other", &both)?;
        let other = link(bench, "other", "eth0")?["linkinfo"]["info_data"].clone();
        expect(
            "user and group",
            &(&json!(12345), &json!(12346)),
            &(&other["user"], &other["group"]),
        )
    },
    ..TAP
});

submit!(Case {
    id: "tap/owner/02",
    rule: "owner 0 and group 0 are root, not left out; multiQueue counts with them as well.",
    faults: &[
        Fault::Config("/owner", ""),
        Fault::Config("/group", ""),
        Fault::Config("/multiQueue", "")
    ],
    run: |bench| {
        attach(bench, json!({ "owner": 0, "group": 0, "multiQueue": true }))?;
        let device = device(bench)?;
        expect(
            "user and group",
            &(&json!("root"), &json!("root")),
            &(&device["user"], &device["group"]),
        )?;
        expect("multi_queue", &json!(true), &device["multi_queue"])
    },
    ..TAP
});

submit!(Case {
    id: "tap/mtu/01",
    rule: "mtu sets the MTU; without it the kernel's 1500 counts.",
    faults: &[Fault::Config("/mtu", ""), Fault::Config("/mtu", "=1400")],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "mtu": 1400 }))?;
        expect("MTU", &json!(1400), &eth0(bench)?["mtu"])?;
        let mut none = config.clone();
        none["mtu"] = json!(0);
        attach_other(bench, "other", &none)?;
        expect("MTU", &json!(1500), &link(bench, "other", "eth0")?["mtu"])
    },
    ..TAP
});

submit!(Case {
    id: "tap/mac/01",
    rule: "mac sets the MAC address, and the result has it.",
    faults: &[
        Fault::Config("/mac", ""),
        Fault::Result("/interfaces/0/mac", "02:00:00:00:00:01")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "mac": "02:00:00:00:00:0b" }))?;
        expect("MAC", &json!("02:00:00:00:00:0b"), &mac(bench)?)?;
        expect(
            "mac of the result",
            &json!("02:00:00:00:00:0b"),
            &result["interfaces"][0]["mac"],
        )
    },
    ..TAP
});

/// The MAC address of a pod that was added with this configuration and `MAC` in `CNI_ARGS`.
fn mac_with_args(bench: &mut Bench, changes: Value) -> Result<Value, Failure> {
    bench.pod("pod")?;
    let config = with(bench, changes);
    let args = "IgnoreUnknown=1;MAC=02:00:00:00:00:0a";
    bench
        .call("ADD", &config)
        .env("CNI_ARGS", args)
        .reply()?
        .succeeds()?;
    mac(bench)
}

submit!(Case {
    id: "tap/mac/02",
    rule: "CNI_ARGS MAC wins over mac.",
    faults: &[Fault::Env("CNI_ARGS", "")],
    run: |bench| {
        let mac = mac_with_args(bench, json!({ "mac": "02:00:00:00:00:0b" }))?;
        expect("MAC", &json!("02:00:00:00:00:0a"), &mac)
    },
    ..TAP
});

submit!(Case {
    id: "tap/mac/03",
    rule: "runtimeConfig.mac wins over CNI_ARGS and mac.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        let changes =
            json!({ "mac": "02:00:00:00:00:0b", "runtimeConfig": { "mac": "02:00:00:00:00:0c" } });
        expect(
            "MAC",
            &json!("02:00:00:00:00:0c"),
            &mac_with_args(bench, changes)?,
        )
    },
    ..TAP
});

submit!(Case {
    id: "tap/owner/03",
    rule: "mtu and mac count also when owner and group are both given.",
    faults: &[Fault::Config("/mtu", ""), Fault::Config("/mac", "")],
    run: |bench| {
        attach(
            bench,
            json!({ "owner": 12345, "group": 12346, "mtu": 1400, "mac": "02:00:00:00:00:0b" }),
        )?;
        expect("MTU", &json!(1400), &eth0(bench)?["mtu"])?;
        expect("MAC", &json!("02:00:00:00:00:0b"), &mac(bench)?)
    },
    ..TAP
});

submit!(Case {
    id: "tap/bridge/01",
    rule: "bridge names a bridge inside the pod; the tap becomes its port.",
    faults: &[
        Fault::Config("/bridge", ""),
        Fault::After("ADD", "ip -n pod link set eth0 nomaster")
    ],
    run: |bench| {
        bench.pod("pod")?;
        bench.run("ip", &["-n", "pod", "link", "add", "brp", "type", "bridge"])?;
        let config = with(bench, json!({ "bridge": "brp" }));
        bench.add(&config)?;
        expect("master", &json!("brp"), &eth0(bench)?["master"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("links", &list(&["lo", "brp"]), &links(bench, "pod")?)
    },
    ..TAP
});

//! host-device: a link of the host's moves into the pod and back.

mod back;
mod bus;
mod check;
mod del;

use crate::cases::{alike::*, announce::*, packets::*, prelude::*, route_fields::*, sight::*};

pub(in crate::cases) const HOST_DEVICE: Case = Case {
    judges: Judges::Only(&["host-device"]),
    ..COMPAT
};

/// The host's link `dev0`, up, and its peer `dev1`; MAC address 02:00:00:00:00:d0.
pub(in crate::cases) fn device(bench: &mut Bench) -> Result<(), Failure> {
    let add = [
        "link",
        "add",
        "dev0",
        "address",
        "02:00:00:00:00:d0",
        "type",
        "veth",
        "peer",
        "name",
        "dev1",
    ];
    bench.run("ip", &add)?;
    for name in ["dev0", "dev1"] {
        bench.run("ip", &["link", "set", name, "up"])?;
    }
    Ok(())
}

/// The device and a pod that has it.
pub(in crate::cases) fn moved(
    bench: &mut Bench,
    changes: Value,
) -> Result<(Value, Value), Failure> {
    device(bench)?;
    attach(bench, changes)
}

/// Whether the host has a link of that name.
pub(in crate::cases) fn host_has(bench: &mut Bench, name: &str) -> Result<bool, Failure> {
    Ok(links(bench, HOST)?.contains(&name.to_owned()))
}

submit!(Case {
    id: "host-device/add/01",
    rule: "The device moves into the pod, named CNI_IFNAME, up, with its MAC address, and is gone from the host.",
    faults: &[
        Fault::After("ADD", "ip -n pod link set eth0 down"),
        Fault::After("ADD", "ip link add dev0 type bridge"),
        Fault::Config("/device", "dev1")
    ],
    run: |bench| {
        moved(bench, json!({}))?;
        let inside = link(bench, "pod", "eth0")?;
        expect("MAC", &json!("02:00:00:00:00:d0"), &inside["address"])?;
        expect_that(has_flag(&inside, "UP"), "eth0 is up", &inside["flags"])?;
        expect("on the host", &false, &host_has(bench, "dev0")?)
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/add/02",
    rule: "hwaddr finds the device by its MAC address.",
    faults: &[
        Fault::Config("/hwaddr", ""),
        Fault::Config("/hwaddr", "02:00:00:00:00:d9")
    ],
    run: |bench| {
        moved(
            bench,
            json!({ "device": null, "hwaddr": "02:00:00:00:00:d0" }),
        )?;
        expect(
            "MAC",
            &json!("02:00:00:00:00:d0"),
            &link(bench, "pod", "eth0")?["address"],
        )
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/add/03",
    rule: "With IPAM the device has the addresses and routes.",
    faults: &[
        Fault::Config("/ipam", ""),
        Fault::After("ADD", "ip -n pod route del default")
    ],
    run: |bench| {
        let ipam = routed(dual(), json!([{ "dst": "0.0.0.0/0" }]));
        moved(bench, json!({ "ipam": ipam }))?;
        expect(
            "addresses",
            &list(&["10.88.0.2/24", "2001:db8::2/64"]),
            &addresses(bench, "pod", "eth0")?,
        )?;
        expect(
            "routes",
            &list(&["default via 10.88.0.1 dev eth0"]),
            &routes(bench, "pod", "main")?,
        )
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/result/01",
    rule: "The result lists the device with MAC address and sandbox; addresses point at it.",
    faults: &[
        Fault::Result("/interfaces/0/name", "dev0"),
        Fault::Result("/ips/0/interface", "=1"),
        Fault::Result("/interfaces/0/sandbox", "")
    ],
    run: |bench| {
        let (_, result) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        let expected =
            json!([{ "name": "eth0", "mac": "02:00:00:00:00:d0", "sandbox": "/run/netns/pod" }]);
        expect("interfaces", &expected, &result["interfaces"])?;
        expect("interface", &json!(0), &result["ips"][0]["interface"])
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/add/04",
    rule: "hwaddr may be written in upper case.",
    faults: &[
        Fault::Config("/hwaddr", ""),
        Fault::On("ADD", &Fault::ExitOne)
    ],
    run: |bench| {
        moved(
            bench,
            json!({ "device": null, "hwaddr": "02:00:00:00:00:D0" }),
        )?;
        expect(
            "MAC",
            &json!("02:00:00:00:00:d0"),
            &link(bench, "pod", "eth0")?["address"],
        )
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/add/05",
    rule: "A device that was down on the host is up in the pod.",
    faults: &[
        Fault::After("ADD", "ip -n pod link set eth0 down"),
        Fault::Skip("ADD")
    ],
    run: |bench| {
        device(bench)?;
        bench.run("ip", &["link", "set", "dev0", "down"])?;
        attach(bench, json!({}))?;
        let inside = link(bench, "pod", "eth0")?;
        expect_that(has_flag(&inside, "UP"), "eth0 is up", &inside["flags"])
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/add/06",
    rule: "A device that has the name CNI_IFNAME on the host moves as well, and comes back.",
    faults: &[Fault::On("ADD", &Fault::ExitOne), Fault::Skip("DEL")],
    run: |bench| {
        device(bench)?;
        bench.run("ip", &["link", "set", "dev0", "down"])?;
        bench.run("ip", &["link", "set", "dev0", "name", "eth0"])?;
        let (config, _) = attach(bench, json!({ "device": "eth0" }))?;
        expect("on the host", &false, &host_has(bench, "eth0")?)?;
        expect(
            "MAC",
            &json!("02:00:00:00:00:d0"),
            &link(bench, "pod", "eth0")?["address"],
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("on the host", &true, &host_has(bench, "eth0")?)
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/add/07",
    rule: "Another link of the host's may have the name CNI_IFNAME; it stays.",
    faults: &[
        Fault::On("ADD", &Fault::ExitOne),
        Fault::After("ADD", "ip link del eth0"),
        Fault::Skip("DEL")
    ],
    run: |bench| {
        device(bench)?;
        bench.run(
            "ip",
            &[
                "link", "add", "eth0", "type", "veth", "peer", "name", "eth9",
            ],
        )?;
        let (config, _) = attach(bench, json!({}))?;
        expect(
            "MAC",
            &json!("02:00:00:00:00:d0"),
            &link(bench, "pod", "eth0")?["address"],
        )?;
        expect("on the host", &true, &host_has(bench, "eth0")?)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect(
            "on the host",
            &(true, true),
            &(host_has(bench, "dev0")?, host_has(bench, "eth0")?),
        )
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/add/08",
    rule: "In the pod the device's alias is its name on the host, by which another release finds it.",
    faults: &[
        Fault::After("ADD", "ip -n pod link set eth0 alias ''"),
        Fault::After("ADD", "ip -n pod link set eth0 alias eth0")
    ],
    run: |bench| {
        moved(bench, json!({}))?;
        expect(
            "alias",
            &json!("dev0"),
            &link(bench, "pod", "eth0")?["ifalias"],
        )
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/add/09",
    rule: "device wins over hwaddr.",
    faults: &[
        Fault::Config("/device", ""),
        Fault::Config("/device", "dev1")
    ],
    run: |bench| {
        device(bench)?;
        bench.run(
            "ip",
            &["link", "set", "dev1", "address", "02:00:00:00:00:d1"],
        )?;
        attach(bench, json!({ "hwaddr": "02:00:00:00:00:d1" }))?;
        expect(
            "MAC",
            &json!("02:00:00:00:00:d0"),
            &link(bench, "pod", "eth0")?["address"],
        )
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/ipam/01",
    rule: "Without IPAM the device has no address and the result none.",
    faults: &[
        Fault::After("ADD", "ip -n pod address add 10.88.0.9/24 dev eth0"),
        Fault::Result("/ips", "=[{\"address\":\"10.88.0.9/24\"}]")
    ],
    run: |bench| {
        let (_, result) = moved(bench, json!({}))?;
        expect("addresses", &list(&[]), &addresses(bench, "pod", "eth0")?)?;
        expect_that(
            result["ips"].as_array().is_none_or(Vec::is_empty),
            "no ips",
            &result["ips"],
        )
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/ipam/02",
    rule: "Addresses that the device had on the host do not come with it.",
    faults: &[Fault::After(
        "ADD",
        "ip -n pod address add 192.0.2.7/24 dev eth0"
    )],
    run: |bench| {
        device(bench)?;
        bench.run("ip", &["address", "add", "192.0.2.7/24", "dev", "dev0"])?;
        attach(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        expect(
            "addresses",
            &list(&["10.88.0.2/24"]),
            &addresses(bench, "pod", "eth0")?,
        )
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/ipam/03",
    rule: "A route of IPAM without a next hop goes by the gateway of its family, one with a next hop by that.",
    faults: &[
        Fault::Config("/ipam/routes/0", ""),
        Fault::Config("/ipam/routes/1/gw", ""),
        Fault::Result("/routes/1", "")
    ],
    run: |bench| {
        let wanted = json!([{ "dst": "::/0" }, { "dst": "192.168.5.0/24", "gw": "10.88.0.9" }]);
        let (_, result) = moved(bench, json!({ "ipam": routed(dual(), wanted.clone()) }))?;
        let expected = [
            "192.168.5.0/24 via 10.88.0.9 dev eth0",
            "default via 2001:db8::1 dev eth0",
        ];
        expect("routes", &list(&expected), &routes(bench, "pod", "main")?)?;
        expect("routes of the result", &wanted, &result["routes"])
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/ipam/04",
    rule: "IPv6 addresses stay when the interface goes down.",
    faults: &[Fault::After(
        "ADD",
        "ip netns exec pod sh -c 'echo 0 > /proc/sys/net/ipv6/conf/eth0/keep_addr_on_down'"
    )],
    repairs: &[KEEP_ADDRESSES],
    run: |bench| {
        moved(bench, json!({ "ipam": six() }))?;
        bench.run("ip", &["-n", "pod", "link", "set", "eth0", "down"])?;
        expect(
            "addresses",
            &list(&["2001:db8::2/64"]),
            &addresses(bench, "pod", "eth0")?,
        )
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/announce/01",
    rule: "The interface announces its addresses when it comes up: arp_notify and ndisc_notify are 1.",
    faults: UNANNOUNCED,
    repairs: &[ARP_NOTIFY, NDISC_NOTIFY],
    run: |bench| {
        moved(bench, json!({ "ipam": dual() }))?;
        announces(bench)
    },
    ..HOST_DEVICE
});

priorities!(HOST_DEVICE, moved, "host-device/ipam/05");

tables!(HOST_DEVICE, moved, "host-device/ipam/06");

oldest_result!(HOST_DEVICE, moved, "host-device/result/02");

older_result!(HOST_DEVICE, moved, "host-device/result/03");

submit!(Case {
    id: "host-device/packets/01",
    rule: "The pod reaches what is at the device's other end, IPv4 and IPv6.",
    needs: &["ping"],
    faults: &[
        Fault::Config("/ipam/ranges/1", ""),
        Fault::After("ADD", "ip -n pod address del 10.88.0.2/24 dev eth0")
    ],
    run: |bench| {
        without_dad(bench, HOST)?;
        device(bench)?;
        for address in ["10.88.0.1/24", "2001:db8::1/64"] {
            bench.run("ip", &["address", "add", address, "dev", "dev1"])?;
        }
        attach(bench, json!({ "ipam": dual() }))?;
        answers(bench, "pod", "10.88.0.1")?;
        answers(bench, "pod", "2001:db8::1")
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/dns/01",
    rule: "dns of the configuration is in the result, that of IPAM is not.",
    faults: &[
        Fault::Config("/dns", ""),
        Fault::Result("/dns/nameservers/-", "192.0.2.53")
    ],
    run: |bench| {
        bench.write("/run/resolv", "nameserver 192.0.2.53\n")?;
        let ipam =
            json!({ "type": "host-local", "subnet": "10.88.0.0/24", "resolvConf": "/run/resolv" });
        let (_, result) = moved(
            bench,
            json!({ "dns": { "nameservers": ["192.0.2.1"] }, "ipam": ipam }),
        )?;
        expect(
            "dns",
            &json!({ "nameservers": ["192.0.2.1"] }),
            &result["dns"],
        )
    },
    ..HOST_DEVICE
});

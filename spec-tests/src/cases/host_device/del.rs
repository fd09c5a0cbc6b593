//! host-device: DEL gives the device back, and ADDs that must fail keep it on the host.

use crate::cases::{host_device::*, prelude::*, sight::*};

/// DEL without a pod leaves the device alone and asks IPAM.
const IPAM_WITHOUT_POD: Fault = Fault::Instead(
    "DEL",
    r#"[ -e "$CNI_NETNS" ] && exec "$REAL"; exec "${REAL%/*}/host-local""#,
);

/// A device that a failed ADD left in the pod is on the host again.
const BACK: Fault = Fault::After(
    "ADD",
    "ip -n pod link set eth0 down; ip -n pod link set eth0 name dev0 netns 1",
);

submit!(Case {
    id: "host-device/del/01",
    rule: "DEL moves the device back to the host under its old name.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "ip link set dev0 name devx")
    ],
    run: |bench| {
        let (config, _) = moved(bench, json!({}))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("on the host", &true, &host_has(bench, "dev0")?)?;
        expect("links in the pod", &list(&["lo"]), &links(bench, "pod")?)
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/del/02",
    rule: "DEL frees the reservations.",
    faults: &[Fault::Skip("DEL")],
    run: |bench| {
        let (config, _) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/del/03",
    rule: "DEL succeeds again.",
    faults: &[Fault::Once("DEL")],
    repairs: &[Fault::Instead(
        "DEL",
        r#"ip -n pod link show eth0 >/dev/null || exit 0; exec "$REAL""#
    )],
    run: |bench| {
        let (config, _) = moved(bench, json!({}))?;
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        Ok(())
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/del/04",
    rule: "DEL succeeds and frees the reservations when the namespace is gone.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[IPAM_WITHOUT_POD],
    run: |bench| {
        let (config, _) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/del/05",
    rule: "DEL frees the reservations when CNI_NETNS is empty.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[IPAM_WITHOUT_POD],
    run: |bench| {
        let (config, _) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        bench
            .call("DEL", &config)
            .env("CNI_NETNS", "")
            .reply()?
            .succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/del/06",
    rule: "The device comes back down, without the pod's addresses and without an alias.",
    faults: &[
        Fault::After("DEL", "ip link set dev0 up"),
        Fault::After("DEL", "ip link set dev0 alias x"),
        Fault::After("DEL", "ip address add 10.88.0.2/24 dev dev0")
    ],
    repairs: &[Fault::After("DEL", "ip link set dev0 alias ''")],
    run: |bench| {
        let (config, _) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        let back = link(bench, HOST, "dev0")?;
        expect_that(!has_flag(&back, "UP"), "dev0 is down", &back["flags"])?;
        expect("alias", &Value::Null, &back["ifalias"])?;
        expect("addresses", &list(&[]), &addresses(bench, HOST, "dev0")?)
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/del/07",
    rule: "DEL without prevResult gives the device back, which another pod can have then.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = moved(bench, json!({}))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        attach_other(bench, "other", &config)?;
        expect(
            "MAC",
            &json!("02:00:00:00:00:d0"),
            &link(bench, "other", "eth0")?["address"],
        )
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/del/08",
    rule: "DEL succeeds when a plain file lies at the namespace's path, and frees the addresses.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[Fault::Instead(
        "DEL",
        r#"ip netns exec pod true 2>/dev/null && exec "$REAL"; exec "${REAL%/*}/host-local""#
    )],
    run: |bench| {
        let (config, _) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.write("/run/netns/pod", "")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/del/09",
    rule: "DEL succeeds and frees the addresses when the device is gone.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[Fault::Instead(
        "DEL",
        r#"ip -n pod link show eth0 >/dev/null && exec "$REAL"; exec "${REAL%/*}/host-local""#
    )],
    run: |bench| {
        let (config, _) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        bench.run("ip", &["link", "del", "dev1"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/del/10",
    rule: "DEL without an ADD leaves the pod's own interface of the name CNI_IFNAME where it is.",
    faults: &[
        Fault::After("DEL", "ip -n pod link set eth0 netns 1"),
        Fault::After("DEL", "ip -n pod link del eth0")
    ],
    run: |bench| {
        device(bench)?;
        bench.pod("pod")?;
        bench.run(
            "ip",
            &[
                "-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "name", "eth9",
            ],
        )?;
        let config = bench.config();
        bench.call("DEL", &config).reply()?;
        expect(
            "links in the pod",
            &list(&["lo", "eth9", "eth0"]),
            &links(bench, "pod")?,
        )
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/fail/01",
    rule: "A device that does not exist fails ADD.",
    faults: &[Fault::ExitZero, Fault::Config("/device", "dev0")],
    run: |bench| {
        device(bench)?;
        refuses_add(bench, json!({ "device": "nope0" }), &["host device"])
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/fail/02",
    rule: "A configuration that names no device is refused and says what it may name.",
    faults: &[
        Fault::ExitZero,
        Fault::Config("/device", "dev0"),
        Fault::Error("/msg", "no")
    ],
    run: |bench| {
        device(bench)?;
        refuses_add(
            bench,
            json!({ "device": null }),
            &["device", "hwaddr", "kernelpath"],
        )
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/fail/03",
    rule: "When the name CNI_IFNAME is taken in the pod, ADD fails and the device stays on the host.",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "ip -n pod link del eth0")
    ],
    repairs: &[Fault::After("ADD", "ip -n pod link set dev0 netns 1")],
    run: |bench| {
        device(bench)?;
        bench.pod("pod")?;
        bench.run(
            "ip",
            &[
                "-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "name", "eth9",
            ],
        )?;
        refuses_add(bench, json!({}), &["move"])?;
        expect("on the host", &true, &host_has(bench, "dev0")?)
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/fail/04",
    rule: "When IPAM fails, the device is back on the host.",
    faults: &[
        Fault::ExitZero,
        Fault::Config("/ipam/subnet", "10.88.0.0/24")
    ],
    repairs: &[BACK],
    run: |bench| {
        device(bench)?;
        refuses_add(
            bench,
            json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/31" } }),
            &["too small"],
        )?;
        expect("on the host", &true, &host_has(bench, "dev0")?)
    },
    ..HOST_DEVICE
});

refused!(HOST_DEVICE, "host-device/fail/05", "An hwaddr that no link has is refused.",
    { "device": null, "hwaddr": "02:00:00:00:00:ee" }, ["host device"]);
refused!(HOST_DEVICE, "host-device/fail/06", "An hwaddr that is none is refused and named.",
    { "device": null, "hwaddr": "02:00" }, ["02:00", "MAC"]);
refused!(HOST_DEVICE, "host-device/fail/07", "A kernelpath outside /sys/devices is refused and named.",
    { "device": null, "kernelpath": "/sys/class/net/dev0" }, ["/sys/class/net/dev0", "/sys/devices/"]);
refused!(HOST_DEVICE, "host-device/fail/08", "A kernelpath without links is refused and named.",
    { "device": null, "kernelpath": "/sys/devices/virtual/net/lo" }, ["/sys/devices/virtual/net/lo"]);

submit!(Case {
    id: "host-device/fail/09",
    rule: "A namespace that does not exist fails ADD, is named, and the device stays up on the host.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::After("ADD", "ip link set dev0 down")
    ],
    run: |bench| {
        device(bench)?;
        let config = bench.config();
        let reply = bench
            .call("ADD", &config)
            .env("CNI_NETNS", "/run/netns/nope")
            .reply()?;
        complains(&reply, &["/run/netns/nope"])?;
        let dev0 = link(bench, HOST, "dev0")?;
        expect_that(has_flag(&dev0, "UP"), "dev0 is up", &dev0["flags"])
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/fail/10",
    rule: "When a route cannot be set, the device is back on the host and its address free.",
    faults: &[
        Fault::ExitZero,
        Fault::Config("/ipam/routes", ""),
        Fault::After(
            "ADD",
            "mkdir -p /var/lib/cni/networks/suite; touch /var/lib/cni/networks/suite/10.88.0.2"
        )
    ],
    repairs: &[BACK],
    run: |bench| {
        device(bench)?;
        let ipam = routed(
            host_local(&["10.88.0.0/24"]),
            json!([{ "dst": "192.168.5.0/24", "gw": "172.16.0.1" }]),
        );
        refuses_add(bench, json!({ "ipam": ipam }), &["192.168.5.0"])?;
        expect("on the host", &true, &host_has(bench, "dev0")?)?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_DEVICE
});

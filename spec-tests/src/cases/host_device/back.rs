//! host-device: what others did to the device, or to the pod, before DEL gives it back; and what it
//! has again after an ADD that failed.

use crate::cases::{host_device::*, prelude::*, sight::*};

/// A device that the container renamed has its name again.
const NAMED_AGAIN: Fault = Fault::Before(
    "DEL",
    "ip -n pod link set lan down && ip -n pod link set lan name eth0",
);

submit!(Case {
    id: "host-device/del/11",
    rule: "DEL gives the device back although the container renamed it, and frees the addresses.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[NAMED_AGAIN],
    run: |bench| {
        let (config, _) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        for change in [["down", ""], ["name", "lan"]] {
            let words = ["-n", "pod", "link", "set", "dev", "eth0"];
            let change = change.iter().filter(|word| !word.is_empty());
            bench.run(
                "ip",
                &words.iter().chain(change).copied().collect::<Vec<_>>(),
            )?;
        }
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("on the host", &true, &host_has(bench, "dev0")?)?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/del/12",
    rule: "A device that came to the host when the pod's namespace ended has its name again after DEL, is down and has no alias.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "ip link set dev0 alias x"),
        Fault::After("DEL", "ip link set dev0 up")
    ],
    repairs: &[Fault::Instead(
        "DEL",
        "ip link set eth0 down; ip link set eth0 name dev0; ip link set dev0 alias ''"
    )],
    run: |bench| {
        let (config, result) = moved(bench, json!({}))?;
        pod_ends_with_the_device_inside(bench)?;
        let config = after_add(&config, &result);
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("under the pod's name", &false, &host_has(bench, "eth0")?)?;
        let back = link(bench, HOST, "dev0")?;
        expect("alias", &Value::Null, &back["ifalias"])?;
        expect_that(!has_flag(&back, "UP"), "dev0 is down", &back["flags"])
    },
    ..HOST_DEVICE
});

/// As the kernel does it with hardware, which this machine cannot spare.
fn pod_ends_with_the_device_inside(bench: &mut Bench) -> Result<(), Failure> {
    bench.run("ip", &["-n", "pod", "link", "set", "eth0", "netns", "1"])?;
    bench.run("ip", &["link", "set", "eth0", "up"])?;
    bench.run("ip", &["netns", "del", "pod"])?;
    Ok(())
}

submit!(Case {
    id: "host-device/del/13",
    rule: "DEL whose CNI_NETNS leads to another pod by now leaves that pod's device there.",
    faults: &[Fault::After("DEL", "ip -n pod link del eth0")],
    repairs: &[
        Fault::Before("DEL", "ip -n pod link set eth0 alias ''"),
        Fault::ExitZero
    ],
    run: |bench| {
        let (config, result) = moved(bench, json!({}))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.pod("pod")?;
        let pair = [
            "link", "add", "other0", "type", "veth", "peer", "name", "other1",
        ];
        bench.run("ip", &pair)?;
        let words = [
            "link", "set", "other0", "netns", "pod", "name", "eth0", "alias", "other0",
        ];
        bench.run("ip", &words)?;
        bench.call("DEL", &after_add(&config, &result)).reply()?;
        expect(
            "links in the pod",
            &list(&["lo", "eth0"]),
            &links(bench, "pod")?,
        )
    },
    ..HOST_DEVICE
});

/// The alias that ADD gave the device, as if nobody had changed it.
const ALIAS_AGAIN: Fault = Fault::Before(
    "DEL",
    "ip -n pod link show eth0 && ip -n pod link set eth0 alias dev0",
);

submit!(Case {
    id: "host-device/del/14",
    rule: "DEL gives the device back under its name although the pod took its alias away.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::ExitOne),
        Fault::After("DEL", "ip link set dev0 name devx")
    ],
    repairs: &[ALIAS_AGAIN],
    run: |bench| loses_its_alias(bench, ""),
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/del/15",
    rule: "DEL gives the device back under its name although the pod gave it another alias.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::ExitOne),
        Fault::After("DEL", "ip link set dev0 name devx")
    ],
    repairs: &[ALIAS_AGAIN],
    run: |bench| loses_its_alias(bench, "uplink"),
    ..HOST_DEVICE
});

fn loses_its_alias(bench: &mut Bench, alias: &str) -> Result<(), Failure> {
    let (config, result) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
    let words = ["-n", "pod", "link", "set", "eth0", "alias", alias];
    bench.run("ip", &words)?;
    let config = after_add(&config, &result);
    bench.call("DEL", &config).reply()?.succeeds_silently()?;
    expect("on the host", &true, &host_has(bench, "dev0")?)?;
    expect("reservations", &list(&[]), &reserved())
}

submit!(Case {
    id: "host-device/del/16",
    rule: "When another link of the host's has the device's name by now, DEL, called again if it failed, gives the device back under another one, down and without an alias.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::ExitOne),
        Fault::After("DEL", "ip link del dev0"),
        Fault::After("DEL", "ip link set dev77 up"),
        Fault::After("DEL", "ip link set dev77 alias dev0")
    ],
    repairs: &[
        Fault::Before(
            "DEL",
            "ip -n pod link show eth0 && ip -n pod link set eth0 alias dev77",
        ),
        Fault::After("DEL", "ip link set dev77 alias ''")
    ],
    run: |bench| {
        let (config, result) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        bench.run("ip", &["link", "add", "dev0", "type", "bridge"])?;
        comes_back_under_another_name(bench, &after_add(&config, &result))
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/del/17",
    rule: "The same when the device came to the host because the pod's namespace ended.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::On("DEL", &Fault::ExitOne),
        Fault::After("DEL", "ip link del dev0"),
        Fault::After("DEL", "ip link set dev77 alias dev0")
    ],
    repairs: &[Fault::Instead(
        "DEL",
        "ip link set eth0 down; ip link set eth0 name dev77; ip link set dev77 alias ''; \
         exec \"${REAL%/*}/host-local\""
    )],
    run: |bench| {
        let (config, result) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        pod_ends_with_the_device_inside(bench)?;
        bench.run("ip", &["link", "add", "dev0", "type", "bridge"])?;
        comes_back_under_another_name(bench, &after_add(&config, &result))
    },
    ..HOST_DEVICE
});

fn comes_back_under_another_name(bench: &mut Bench, config: &Value) -> Result<(), Failure> {
    let reply = bench.call("DEL", config).reply()?;
    if reply.succeeds_silently().is_err() {
        bench.call("DEL", config).reply()?.succeeds_silently()?;
    }
    let mut back = Vec::new();
    for name in links(bench, HOST)? {
        let seen = link(bench, HOST, &name)?;
        if seen["address"] == "02:00:00:00:00:d0" {
            back.push((name, seen));
        }
    }
    let names: Vec<_> = back.iter().map(|(name, _)| name.as_str()).collect();
    let [(name, seen)] = back.as_slice() else {
        return Err(Failure::new(
            "links with the device's MAC address",
            "one",
            names.join(", "),
        ));
    };
    expect_that(
        name != "eth0",
        "the pod's name is not on the host",
        json!(name),
    )?;
    expect_that(!has_flag(seen, "UP"), "the device is down", &seen["flags"])?;
    expect("alias", &Value::Null, &seen["ifalias"])?;
    let other = link(bench, HOST, "dev0")?;
    expect(
        "kind of dev0",
        &json!("bridge"),
        &other["linkinfo"]["info_kind"],
    )?;
    expect("reservations", &list(&[]), &reserved())
}

submit!(Case {
    id: "host-device/del/18",
    rule: "DEL succeeds and frees the addresses although nothing tells the device any more: its alias is gone, and there is no result.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[ALIAS_AGAIN],
    run: |bench| {
        let (config, _) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        bench.run("ip", &["-n", "pod", "link", "set", "eth0", "alias", ""])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/fail/11",
    rule: "When ADD fails after the device moved, it is on the host with what it had: up, alias, addresses, routes.",
    faults: &[
        Fault::ExitZero,
        Fault::After("ADD", "ip address flush dev dev0"),
        Fault::After("ADD", "ip route del 192.0.2.128/25"),
        Fault::After("ADD", "ip link set dev0 alias y")
    ],
    repairs: &[
        Fault::After(
            "ADD",
            "ip -n pod link set eth0 down; ip -n pod link set eth0 name dev0 netns 1 alias x; \
             ip link set dev0 up; ip address add 192.0.2.7/24 dev dev0; \
             ip route add 192.0.2.128/25 via 192.0.2.1"
        ),
        Fault::ExitOne
    ],
    run: |bench| {
        device(bench)?;
        bench.run("ip", &["address", "add", "192.0.2.7/24", "dev", "dev0"])?;
        bench.run(
            "ip",
            &["route", "add", "192.0.2.128/25", "via", "192.0.2.1"],
        )?;
        bench.run("ip", &["link", "set", "dev0", "alias", "x"])?;
        refuses_add(
            bench,
            json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/31" } }),
            &["too small"],
        )?;
        let dev0 = link(bench, HOST, "dev0")?;
        expect("alias", &json!("x"), &dev0["ifalias"])?;
        expect_that(has_flag(&dev0, "UP"), "dev0 is up", &dev0["flags"])?;
        expect(
            "addresses",
            &list(&["192.0.2.7/24"]),
            &addresses(bench, HOST, "dev0")?,
        )?;
        expect(
            "routes",
            &list(&["192.0.2.128/25 via 192.0.2.1 dev dev0"]),
            &routes(bench, HOST, "main")?,
        )
    },
    ..HOST_DEVICE
});

const TAKEOVER: Case = Case {
    set: Set::Takeover,
    versions: CHECKED,
    ..HOST_DEVICE
};

submit!(Case {
    id: "takeover/host-device/01",
    rule: "CHECK of what the other plugin moved succeeds, and DEL gives it back and frees the addresses.",
    faults: &[Fault::Skip("DEL"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        device(bench)?;
        bench.pod("pod")?;
        let config = with(bench, json!({ "ipam": dual() }));
        let result = bench.call_other("ADD", &config)?.reply()?.result()?;
        let config = after_add(&config, &result);
        bench.call("CHECK", &config).reply()?.succeeds_silently()?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        is_back(bench)
    },
    ..TAKEOVER
});

submit!(Case {
    id: "takeover/host-device/02",
    rule: "CHECK of the other plugin of what this one moved succeeds, and its DEL gives it back.",
    faults: &[
        Fault::After("ADD", "ip -n pod link set eth0 alias ''"),
        Fault::After("ADD", "ip -n pod address flush dev eth0")
    ],
    run: |bench| {
        let (config, result) = moved(bench, json!({ "ipam": dual() }))?;
        let config = after_add(&config, &result);
        bench
            .call_other("CHECK", &config)?
            .reply()?
            .succeeds_silently()?;
        bench
            .call_other("DEL", &config)?
            .reply()?
            .succeeds_silently()?;
        is_back(bench)
    },
    ..TAKEOVER
});

fn is_back(bench: &mut Bench) -> Result<(), Failure> {
    expect("on the host", &true, &host_has(bench, "dev0")?)?;
    expect("reservations", &list(&[]), &reserved())
}

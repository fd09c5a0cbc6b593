//! tap: what is refused, what a failure leaves, DEL and CHECK.

use crate::cases::{links::at_once, prelude::*, sight::*, tap::TAP};

submit!(Case {
    id: "tap/mac/04",
    rule: "A mac that is no MAC address is refused and named.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::Config("/mac", "")
    ],
    run: |bench| refuses_add(bench, json!({ "mac": "q" }), &["q", "invalid"]),
    ..TAP
});

submit!(Case {
    id: "tap/bridge/02",
    rule: "A bridge that is not in the pod is refused and named, although the host has one of that name.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::Config("/bridge", "")
    ],
    run: |bench| {
        bench.run("ip", &["link", "add", "brp", "type", "bridge"])?;
        refuses_add(bench, json!({ "bridge": "brp" }), &["brp", "not found"])
    },
    ..TAP
});

submit!(Case {
    id: "tap/selinux/01",
    rule: "A selinuxContext that cannot be set is refused.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::Config("/selinuxContext", "")
    ],
    run: |bench| refuses_add(
        bench,
        json!({ "selinuxContext": "no:such:context" }),
        &["label"]
    ),
    ..TAP
});

submit!(Case {
    id: "tap/returned/01",
    rule: "When DEL has returned, the tap is gone, its name is free and the same attachment can be added, again and again.",
    level: Level::Must,
    source: "Section 2, DEL",
    faults: &[
        Fault::Skip("DEL"),
        Fault::Once("DEL"),
        Fault::After("DEL", "ip -n pod link add eth0 type bridge")
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        at_once(bench, &config)
    },
    ..TAP
});

submit!(Case {
    id: "tap/fail/01",
    rule: "An interface of the name CNI_IFNAME that is there already is refused and stays; nothing is left beside it.",
    level: Level::Must,
    source: "Section 2, ADD",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "ip -n pod link del eth0"),
        Fault::After("ADD", "ip -n pod tuntap add left mode tap"),
    ],
    run: |bench| {
        bench.pod("pod")?;
        bench.run(
            "ip",
            &[
                "-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "name", "eth9",
            ],
        )?;
        refuses_add(bench, json!({}), &["eth0"])?;
        expect(
            "links",
            &list(&["lo", "eth9", "eth0"]),
            &links(bench, "pod")?,
        )?;
        expect(
            "addresses of the other's interface",
            &list(&[]),
            &addresses(bench, "pod", "eth0")?,
        )?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..TAP
});

/// A failed ADD with this configuration leaves no link.
fn leaves_nothing(bench: &mut Bench, changes: Value, words: &[&str]) -> Result<(), Failure> {
    refuses_add(bench, changes, words)?;
    expect("links", &list(&["lo"]), &links(bench, "pod")?)?;
    expect("reservations", &list(&[]), &reserved())
}

const LEFT_BEHIND: Fault = Fault::After("ADD", "ip -n pod tuntap add left mode tap");

submit!(Case {
    id: "tap/fail/02",
    rule: "When IPAM fails, ADD says why and leaves no tap.",
    faults: &[
        Fault::ExitZero,
        Fault::Config("/ipam/subnet", "10.88.0.0/24"),
        LEFT_BEHIND
    ],
    run: |bench| leaves_nothing(
        bench,
        json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/31" } }),
        &["too small"]
    ),
    ..TAP
});

submit!(Case {
    id: "tap/fail/03",
    rule: "When the IPAM plugin cannot be found, ADD says so and leaves no tap.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        LEFT_BEHIND
    ],
    run: |bench| leaves_nothing(
        bench,
        json!({ "ipam": { "type": "nope" } }),
        &["failed to find plugin", "nope"]
    ),
    ..TAP
});

submit!(Case {
    id: "tap/fail/04",
    rule: "When IPAM gives no address, ADD fails and leaves no tap.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        LEFT_BEHIND
    ],
    run: |bench| {
        let none = told(bench, &[], Value::Null)?;
        leaves_nothing(bench, json!({ "ipam": none }), &["missing IP config"])
    },
    ..TAP
});

submit!(Case {
    id: "tap/fail/05",
    rule: "When mac or bridge is refused, ADD leaves no tap and no reservation.",
    faults: &[
        LEFT_BEHIND,
        Fault::Config("/mac", ""),
        Fault::Config("/bridge", "")
    ],
    run: |bench| {
        leaves_nothing(bench, json!({ "mac": "q" }), &[])?;
        leaves_nothing(bench, json!({ "bridge": "brx" }), &[])
    },
    ..TAP
});

submit!(Case {
    id: "tap/fail/06",
    rule: "A namespace that does not exist is refused and named.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| {
        let config = bench.config();
        let reply = bench
            .call("ADD", &config)
            .env("CNI_NETNS", "/run/netns/nope")
            .reply()?;
        complains(&reply, &["/run/netns/nope"])?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..TAP
});

submit!(Case {
    id: "tap/del/01",
    rule: "DEL removes the tap and the reservations, and succeeds again.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::Once("DEL"),
        Fault::On("DEL", &Fault::Config("/ipam", ""))
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        nothing_left(bench)
    },
    ..TAP
});

submit!(Case {
    id: "tap/del/02",
    rule: "DEL frees the reservations when the namespace is gone and when CNI_NETNS is empty.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        attach_other(bench, "other", &config)?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        bench
            .call("DEL", &config)
            .env("CNI_CONTAINERID", "other")
            .env("CNI_NETNS", "")
            .reply()?
            .succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..TAP
});

submit!(Case {
    id: "tap/del/03",
    rule: "DEL frees the reservations when the tap is gone.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench.run("ip", &["-n", "pod", "link", "del", "eth0"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..TAP
});

submit!(Case {
    id: "tap/del/04",
    rule: "DEL frees the reservations when CNI_NETNS is a plain file, as a reboot leaves it.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.write("/run/netns/pod", "")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..TAP
});

submit!(Case {
    id: "tap/del/05",
    rule: "DEL with CNI_NETNS given after all removes the tap that one without it left.",
    faults: &[
        Fault::Once("DEL"),
        Fault::On("DEL", &Fault::Env("CNI_NETNS", ""))
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench
            .call("DEL", &config)
            .env("CNI_NETNS", "")
            .reply()?
            .succeeds_silently()?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        nothing_left(bench)
    },
    ..TAP
});

submit!(Case {
    id: "tap/del/06",
    rule: "DEL of one pod leaves the other's tap and reservation.",
    faults: &[
        Fault::After("DEL", "ip -n other link del eth0"),
        Fault::After("DEL", "rm /var/lib/cni/networks/suite/10.88.0.3")
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        attach_other(bench, "other", &config)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect(
            "links of the other pod",
            &list(&["lo", "eth0"]),
            &links(bench, "other")?,
        )?;
        expect("reservations", &list(&["10.88.0.3"]), &reserved())
    },
    ..TAP
});

/// What a case of CHECK is: every fault is one that does not look, or always complains.
const CHECK: Case = Case {
    versions: CHECKED,
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    ..TAP
};

/// ADD with a default route, CHECK, this damage, CHECK.
fn finds(bench: &mut Bench, damage: &[&str]) -> Result<(), Failure> {
    let ipam = routed(
        host_local(&["10.88.0.0/24"]),
        json!([{ "dst": "0.0.0.0/0" }]),
    );
    let (config, result) = attach(bench, json!({ "ipam": ipam }))?;
    check_finds(bench, &after_add(&config, &result), damage)
}

submit!(Case {
    id: "tap/check/01",
    rule: "CHECK of a healthy pod succeeds, and finds the address gone.",
    run: |bench| finds(
        bench,
        &["ip", "-n", "pod", "address", "flush", "dev", "eth0"]
    ),
    ..CHECK
});

submit!(Case {
    id: "tap/check/02",
    rule: "CHECK finds the tap gone.",
    run: |bench| finds(bench, &["ip", "-n", "pod", "link", "del", "eth0"]),
    ..CHECK
});

submit!(Case {
    id: "tap/check/03",
    rule: "CHECK finds the default route gone.",
    run: |bench| finds(bench, &["ip", "-n", "pod", "route", "del", "default"]),
    ..CHECK
});

submit!(Case {
    id: "tap/check/04",
    rule: "CHECK asks IPAM, which finds the reservation gone.",
    run: |bench| finds(bench, &["rm", "/var/lib/cni/networks/suite/10.88.0.2"]),
    ..CHECK
});

submit!(Case {
    id: "tap/check/05",
    rule: "CHECK finds an address in prevResult that the tap does not have, and another sandbox.",
    run: |bench| {
        let (config, result) = attach(bench, json!({}))?;
        let healthy = after_add(&config, &result);
        bench.call("CHECK", &healthy).reply()?.succeeds_silently()?;
        for (pointer, other) in [
            ("/ips/0/address", "10.88.0.9/24"),
            ("/interfaces/0/sandbox", "/run/netns/other"),
        ] {
            let mut wrong = result.clone();
            if let Some(place) = wrong.pointer_mut(pointer) {
                *place = json!(other);
            }
            bench
                .call("CHECK", &after_add(&config, &wrong))
                .reply()?
                .error()?;
        }
        Ok(())
    },
    ..CHECK
});

submit!(Case {
    id: "tap/check/06",
    rule: "CHECK without prevResult is refused.",
    faults: &[Fault::Skip("CHECK"), Fault::Error("/msg", "it failed")],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": null }))?;
        let reply = bench.call("CHECK", &config).reply()?;
        complains(&reply, &["prevResult"])
    },
    ..CHECK
});

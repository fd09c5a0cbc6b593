//! bridge: DEL under every condition a runtime meets, and an ADD that fails.

use crate::actor::Answer;
use crate::cases::{bridge::BRIDGE, packets::*, prelude::*, sight::*};

submit!(Case {
    id: "bridge/del/01",
    rule: "DEL removes both ends of the pair and frees the addresses of both families.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "touch /var/lib/cni/networks/suite/2001:db8::2"),
        Fault::After("DEL", "ip link add veth12345678 type veth peer name x")
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        nothing_left(bench)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/del/02",
    rule: "DEL with the result of ADD as prevResult does the same.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, result) = attach(bench, json!({ "ipam": dual() }))?;
        bench
            .call("DEL", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()?;
        nothing_left(bench)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/del/03",
    rule: "DEL succeeds again.",
    faults: &[Fault::Once("DEL")],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        for _ in 0..3 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        Ok(())
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/del/04",
    rule: "DEL without an ADD before it succeeds and makes no bridge.",
    faults: &[
        Fault::ExitOne,
        Fault::After("DEL", "ip link add suite0 type bridge")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("links on the host", &list(&["lo"]), &links(bench, HOST)?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/del/05",
    rule: "DEL frees the addresses when the namespace's path is gone.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/del/06",
    rule: "DEL frees the addresses when CNI_NETNS is empty.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        bench
            .call("DEL", &config)
            .env("CNI_NETNS", "")
            .reply()?
            .succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/del/07",
    rule: "DEL frees the addresses when a plain file lies at the namespace's path, as after a reboot.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.write("/run/netns/pod", "")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/del/08",
    rule: "DEL succeeds and frees the addresses when the interface is gone already.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        bench.run("ip", &["-n", "pod", "link", "del", "eth0"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        nothing_left(bench)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/del/09",
    rule: "DEL succeeds when the bridge is gone already.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench.run("ip", &["link", "del", "suite0"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        nothing_left(bench)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/del/10",
    rule: "DEL of one pod leaves another working.",
    needs: &["ping"],
    faults: &[
        Fault::After("DEL", "ip -n other link del eth0"),
        Fault::After("DEL", "rm -f /var/lib/cni/networks/suite/10.*")
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        attach_other(bench, "other", &config)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&["10.88.0.3"]), &reserved())?;
        answers(bench, "other", "10.88.0.1")
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/del/11",
    rule: "DEL without IPAM removes the pair.",
    faults: &[Fault::Skip("DEL")],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": null, "isGateway": null }))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        nothing_left(bench)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/del/12",
    rule: "After DEL the same container can be added again.",
    faults: &[Fault::Skip("DEL")],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        bench.add(&config)?;
        expect(
            "addresses",
            &list(&["10.88.0.3/24", "2001:db8::3/64"]),
            &addresses(bench, "pod", "eth0")?,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/del/13",
    rule: "DEL leaves an address of the bridge that is not the plugin's.",
    faults: &[Fault::After("DEL", "ip -6 address flush dev suite0")],
    run: |bench| {
        bench.run("ip", &["link", "add", "suite0", "type", "bridge"])?;
        bench.run(
            "ip",
            &["address", "add", "2001:db8:99::1/64", "dev", "suite0"],
        )?;
        let (config, _) = attach(bench, json!({}))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        let seen = addresses(bench, HOST, "suite0")?;
        expect_that(
            seen.contains(&"2001:db8:99::1/64".to_owned()),
            "2001:db8:99::1/64 is there",
            format!("{seen:?}"),
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/del/14",
    rule: "DEL removes the pair and frees the addresses although ipMasq is of the wrong type by then.",
    faults: &[Fault::Skip("DEL")],
    repairs: &[Fault::On("DEL", &Fault::Config("/ipMasq", ""))],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        let mut wrong = config.clone();
        wrong["ipMasq"] = json!("yes");
        // Whether that is an error is another matter.
        bench.call("DEL", &wrong).reply()?;
        nothing_left(bench)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/fail/01",
    rule: "When IPAM has no address left, ADD fails with IPAM's error and leaves no link.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::After("ADD", "ip link add type veth")
    ],
    run: |bench| {
        let config = with(bench, json!({ "ipam": host_local(&["10.88.0.0/30"]) }));
        attach_other(bench, "other", &config)?;
        let before = host_veths(bench)?;
        refuses_add(
            bench,
            json!({ "ipam": host_local(&["10.88.0.0/30"]) }),
            &["no IP addresses available", "10.88.0.1-10.88.0.2"],
        )?;
        expect("links in the pod", &list(&["lo"]), &links(bench, "pod")?)?;
        expect("veths on the host", &before, &host_veths(bench)?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/fail/02",
    rule: "When another address is on the bridge, ADD fails and leaves nothing of the attachment.",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "ip address flush dev suite0")
    ],
    run: |bench| {
        bench.run("ip", &["link", "add", "suite0", "type", "bridge"])?;
        bench.run("ip", &["address", "add", "10.99.0.1/24", "dev", "suite0"])?;
        refuses_add(bench, json!({}), &["already has an IP address"])?;
        nothing_left(bench)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/fail/03",
    rule: "When the namespace does not exist, ADD fails, names it and leaves neither link nor reservation.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::After(
            "ADD",
            "mkdir -p /var/lib/cni/networks/suite; touch /var/lib/cni/networks/suite/10.88.0.2"
        )
    ],
    run: |bench| {
        let config = bench.config();
        let reply = bench
            .call("ADD", &config)
            .env("CNI_NETNS", "/run/netns/nope")
            .reply()?;
        complains(&reply, &["/run/netns/nope"])?;
        nothing_left(bench)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/fail/04",
    rule: "When IPAM gives no address, ADD fails and leaves no link.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| {
        let ipam = told(bench, &[], Value::Null)?;
        refuses_add(
            bench,
            json!({ "ipam": ipam }),
            &["IPAM", "missing IP config"],
        )?;
        nothing_left(bench)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/fail/05",
    rule: "When a late step of ADD fails, IPAM is told to DEL.",
    faults: &[Fault::ExitZero, Fault::Config("/ipam/type", "host-local")],
    run: |bench| {
        let gone = json!({ "cniVersion": "1.0.0", "ips": [{ "address": "10.88.0.2/24", "gateway": "10.88.0.1" }],
                           "routes": [{ "dst": "192.168.5.0/24", "gw": "172.16.0.1" }] });
        let actor = bench.actor("told", &[("ADD", Answer::with(&gone))])?;
        refuses_add(
            bench,
            json!({ "ipam": { "type": "told" } }),
            &["192.168.5.0"],
        )?;
        expect("calls of DEL", &1, &actor.heard("DEL")?.len())
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/fail/06",
    rule: "An IPAM plugin that is not there fails ADD, names it and leaves no link.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| {
        refuses_add(
            bench,
            json!({ "ipam": { "type": "no-such-ipam" } }),
            &["no-such-ipam"],
        )?;
        nothing_left(bench)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/fail/07",
    rule: "After a failed ADD a DEL succeeds and the next ADD works.",
    faults: &[Fault::On("DEL", &Fault::ExitOne), Fault::Once("ADD")],
    run: |bench| {
        let ipam = routed(
            host_local(&["10.88.0.0/24"]),
            json!([{ "dst": "192.168.5.0/24", "gw": "172.16.0.1" }]),
        );
        let bad = with(bench, json!({ "ipam": ipam }));
        bench.pod("pod")?;
        bench.call("ADD", &bad).reply()?.error()?;
        bench.call("DEL", &bad).reply()?.succeeds_silently()?;
        let config = bench.config();
        bench.add(&config).map(drop)
    },
    ..BRIDGE
});

/// A bridge of two addresses with a port of others, on a host whose forwarding nobody can switch on.
const TAKEN_BRIDGE: &str = "ip link add suite0 type bridge
    ip link set suite0 up
    ip address add 10.99.0.1/24 dev suite0
    ip address add 10.98.0.1/24 dev suite0
    ip link add other0 type veth peer name other1
    ip link set other0 master suite0 up
    echo 0 > /run/off
    mount --bind /run/off /proc/sys/net/ipv4/ip_forward
    mount -o remount,bind,ro /proc/sys/net/ipv4/ip_forward";

submit!(Case {
    id: "bridge/fail/08",
    rule: "A failed ADD with forceAddress leaves the bridge the addresses that it had, in their order: other networks' pods can be attached.",
    faults: &[
        Fault::After("ADD", "ip address add 10.88.0.1/24 dev suite0"),
        Fault::After(
            "ADD",
            "ip address del 10.99.0.1/24 dev suite0; ip address add 10.99.0.1/24 dev suite0"
        )
    ],
    run: |bench| {
        bench.run("sh", &["-ec", TAKEN_BRIDGE])?;
        refuses_add(bench, json!({ "forceAddress": true }), &["forward"])?;
        let seen = addresses(bench, HOST, "suite0")?;
        expect("addresses", &list(&["10.99.0.1/24", "10.98.0.1/24"]), &seen)?;
        bench.run("umount", &["/proc/sys/net/ipv4/ip_forward"])?;
        let other = with(bench, json!({ "ipam": host_local(&["10.99.0.0/24"]) }));
        bench.add(&other).map(drop)
    },
    ..BRIDGE
});

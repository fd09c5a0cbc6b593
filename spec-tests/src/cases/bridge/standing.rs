//! bridge: what stands while pods come and go: the bridge's MAC address, a gateway that answers at
//! once; and what it says when the bridge is full.

use crate::cases::{bridge::BRIDGE, prelude::*, sight::*};

submit!(Case {
    id: "bridge/mac-stays/01",
    rule: "A bridge without gateway that the plugin made keeps its MAC address while ports come and go.",
    faults: &[Fault::After(
        "ADD",
        "ip link set suite0 address 02$(od -An -tx1 -N5 /dev/urandom | tr ' ' :)"
    )],
    repairs: &[Fault::After(
        "ADD",
        "ip link set suite0 address $(cat /sys/class/net/suite0/address)"
    )],
    run: |bench| {
        let config = with(bench, json!({ "ipam": null, "isGateway": null }));
        let mac = |bench: &mut Bench| -> Result<Value, Failure> {
            Ok(link(bench, HOST, "suite0")?["address"].clone())
        };
        attach_other(bench, "a", &config)?;
        let first = mac(bench)?;
        // A bridge whose MAC address is not its own takes the lowest of its ports'.
        let low = [
            "link",
            "add",
            "low",
            "address",
            "02:00:00:00:00:01",
            "type",
            "veth",
            "peer",
            "name",
            "end",
        ];
        bench.run("ip", &low)?;
        bench.run("ip", &["link", "set", "low", "master", "suite0"])?;
        attach_other(bench, "b", &config)?;
        expect("MAC address of the bridge", &first, &mac(bench)?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/gateway-dad/01",
    rule: "The bridge's own IPv6 gateway address is usable as soon as ADD has succeeded: it is not tentative.",
    faults: &[Fault::After(
        "ADD",
        "ip address delete 2001:db8::1/64 dev suite0; ip address add 2001:db8::1/64 dev suite0"
    )],
    repairs: &[Fault::After(
        "ADD",
        "ip address delete 2001:db8::1/64 dev suite0; ip address add 2001:db8::1/64 dev suite0 nodad"
    )],
    run: |bench| {
        attach(bench, json!({ "ipam": six(), "isGateway": true }))?;
        let shown = ip(
            bench,
            HOST,
            &[
                "-6",
                "address",
                "show",
                "dev",
                "suite0",
                "to",
                "2001:db8::1",
            ],
        )?;
        let address = &shown[0]["addr_info"][0];
        expect("gateway address", &json!("2001:db8::1"), &address["local"])?;
        expect_that(
            address["tentative"].is_null(),
            "it is not tentative",
            address,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/gateway-dad/02",
    rule: "Nobody looks for duplicates of the link-local address of a bridge that the plugin made as a gateway: it is usable at once.",
    faults: &[Fault::After(
        "ADD",
        "echo 1 > /proc/sys/net/ipv6/conf/suite0/accept_dad; ip -6 address flush dev suite0 scope link; \
         ip address add fe80::1/64 dev suite0"
    )],
    repairs: &[Fault::After(
        "ADD",
        "ip -6 address flush dev suite0 scope link; ip address add fe80::1/64 dev suite0 nodad"
    )],
    run: |bench| {
        attach(bench, json!({ "ipam": six(), "isGateway": true }))?;
        expect_usable_link_local(bench, "suite0")
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/gateway-dad/03",
    rule: "On a bridge that is there already duplicates of addresses are looked for as before.",
    faults: &[Fault::After(
        "ADD",
        "echo 0 > /proc/sys/net/ipv6/conf/suite0/accept_dad"
    )],
    run: |bench| {
        bench.run("ip", &["link", "add", "suite0", "type", "bridge"])?;
        attach(bench, json!({ "ipam": six(), "isGateway": true }))?;
        let seen = sysctl(bench, HOST, "net/ipv6/conf/suite0/accept_dad")?;
        expect("accept_dad", &"1".to_owned(), &seen)
    },
    ..BRIDGE
});

/// A bridge with as many ports as it can have (the kernel: BR_MAX_PORTS).
fn full(bench: &mut Bench) -> Result<(), Failure> {
    let lines = "ip link add suite0 type bridge; ip link set suite0 up; \
        for i in $(seq 512); do echo \"link add e$i type veth peer name f$i\"; \
        echo \"link set e$i master suite0\"; [ $i = 512 ] || echo \"link set f$i master suite0\"; done | ip -batch -";
    bench.run("sh", &["-c", lines])?;
    Ok(())
}

submit!(Case {
    id: "bridge/full/01",
    rule: "ADD to a bridge that has all ports it can have fails with words that say so, and leaves nothing.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "exchange full")],
    run: |bench| {
        full(bench)?;
        bench.pod("pod")?;
        refuses_add(bench, json!({}), &["no free port"])?;
        expect("links of the pod", &list(&["lo"]), &links(bench, "pod")?)?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/full/02",
    rule: "STATUS of a bridge that has all ports it can have answers code 50.",
    level: Level::Should,
    source: "Section 2, STATUS",
    versions: NEWEST,
    faults: &[Fault::Skip("STATUS"), Fault::Code(7)],
    run: |bench| {
        full(bench)?;
        let config = bench.config();
        status(bench, &config)?.fails_with(50).map(drop)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/status-name/01",
    rule: "STATUS with a bridge name that the kernel refuses answers code 50: no ADD can work.",
    level: Level::Should,
    source: "Section 2, STATUS",
    versions: NEWEST,
    faults: &[Fault::Skip("STATUS"), Fault::Code(7)],
    run: |bench| {
        let config = with(bench, json!({ "bridge": "a-name-that-is-too-long" }));
        status(bench, &config)?.fails_with(50).map(drop)
    },
    ..BRIDGE
});

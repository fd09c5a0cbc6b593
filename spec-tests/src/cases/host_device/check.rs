//! host-device: CHECK finds what is not as ADD left it.

use crate::cases::{alike::*, host_device::*, prelude::*, sight::*};

const CHECK: Case = Case {
    versions: CHECKED,
    ..HOST_DEVICE
};

submit!(Case {
    id: "host-device/check/01",
    rule: "CHECK of a healthy pod succeeds, and finds the address gone and another MAC address.",
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let (config, result) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        let config = after_add(&config, &result);
        check_finds(
            bench,
            &config,
            &[
                "ip",
                "-n",
                "pod",
                "link",
                "set",
                "eth0",
                "address",
                "02:00:00:00:00:66",
            ],
        )?;
        bench.run(
            "ip",
            &[
                "-n",
                "pod",
                "link",
                "set",
                "eth0",
                "address",
                "02:00:00:00:00:d0",
            ],
        )?;
        check_finds(
            bench,
            &config,
            &["ip", "-n", "pod", "address", "flush", "dev", "eth0"],
        )
    },
    ..CHECK
});

finds!(
    CHECK,
    moved,
    "host-device/check/02",
    "CHECK finds the device down.",
    ["ip", "-n", "pod", "link", "set", "eth0", "down"]
);
finds!(
    CHECK,
    moved,
    "host-device/check/03",
    "CHECK finds the device gone.",
    ["ip", "link", "del", "dev1"]
);
finds!(
    CHECK,
    moved,
    "host-device/check/04",
    "CHECK finds the IPv4 default route gone.",
    ["ip", "-n", "pod", "route", "del", "default"]
);
finds!(
    CHECK,
    moved,
    "host-device/check/05",
    "CHECK finds the IPv6 address gone.",
    [
        "ip",
        "-n",
        "pod",
        "address",
        "del",
        "2001:db8::2/64",
        "dev",
        "eth0"
    ]
);
finds!(
    CHECK,
    moved,
    "host-device/check/06",
    "CHECK finds the reservation gone.",
    [
        "rm",
        "/var/lib/cni/networks/suite/10.88.0.2",
        "/var/lib/cni/networks/suite/2001:db8::2"
    ]
);

submit!(Case {
    id: "host-device/check/07",
    rule: "Without IPAM CHECK of a healthy pod succeeds, and finds the device gone.",
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let (config, result) = moved(bench, json!({}))?;
        check_finds(
            bench,
            &after_add(&config, &result),
            &["ip", "link", "del", "dev1"],
        )
    },
    ..CHECK
});

submit!(Case {
    id: "host-device/check/08",
    rule: "CHECK without prevResult is refused.",
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let (config, _) = moved(bench, json!({}))?;
        let reply = bench.call("CHECK", &config).reply()?;
        complains(&reply, &["prevResult missing"])
    },
    ..CHECK
});

submit!(Case {
    id: "host-device/check/09",
    rule: "CHECK refuses a prevResult of another sandbox, of none, and of another address.",
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let (config, result) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        for (pointer, value) in [
            ("/interfaces/0/sandbox", json!("/run/netns/other")),
            ("/interfaces", json!([])),
            ("/ips/0/address", json!("10.88.0.9/24")),
        ] {
            let mut wrong = result.clone();
            if let Some(place) = wrong.pointer_mut(pointer) {
                *place = value;
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

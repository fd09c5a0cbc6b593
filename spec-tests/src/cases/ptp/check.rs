//! ptp: CHECK finds what is not as ADD left it.

use crate::cases::{prelude::*, ptp::*, sight::*};

const CHECK: Case = Case {
    versions: CHECKED,
    ..PTP
};

macro_rules! finds {
    ($id:literal, $rule:literal, $changes:tt, $damage:expr $(, $repair:expr)?) => {
        submit!(Case {
            id: $id,
            rule: $rule,
            faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
            repairs: &[$($repair)?],
            run: |bench| {
                let (config, result) = attach(bench, json!($changes))?;
                check_finds(bench, &after_add(&config, &result), &$damage)
            },
            ..CHECK
        });
    };
}

finds!(
    "ptp/check/01",
    "CHECK finds the address gone.",
    {},
    [
        "ip",
        "-n",
        "pod",
        "address",
        "del",
        "10.88.0.2/24",
        "dev",
        "eth0"
    ]
);
finds!(
    "ptp/check/02",
    "CHECK finds the interface gone.",
    {},
    ["ip", "-n", "pod", "link", "del", "eth0"]
);
finds!(
    "ptp/check/03",
    "CHECK finds the interface down.",
    {},
    ["ip", "-n", "pod", "link", "set", "eth0", "down"]
);
finds!(
    "ptp/check/04",
    "CHECK finds another MAC address in the pod.",
    {},
    [
        "ip",
        "-n",
        "pod",
        "link",
        "set",
        "eth0",
        "address",
        "02:00:00:00:00:66"
    ]
);
finds!("ptp/check/05", "CHECK finds the default route gone.",
    { "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "routes": [{ "dst": "0.0.0.0/0" }] } },
    ["ip", "-n", "pod", "route", "del", "default"]);
finds!(
    "ptp/check/06",
    "CHECK finds the reservation gone.",
    {},
    ["rm", "/var/lib/cni/networks/suite/10.88.0.2"]
);
finds!(
    "ptp/check/07",
    "CHECK finds the subnet's route gone.",
    {},
    ["ip", "-n", "pod", "route", "del", "10.88.0.0/24"]
);

submit!(Case {
    id: "ptp/check/08",
    rule: "CHECK of a healthy dual-stack pod succeeds.",
    faults: &[
        Fault::On("CHECK", &Fault::ExitOne),
        Fault::Before("CHECK", "ip -n pod link set eth0 down")
    ],
    run: |bench| {
        let (config, result) = attach(
            bench,
            json!({ "ipam": routed(dual(), json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }])) }),
        )?;
        bench
            .call("CHECK", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()
    },
    ..CHECK
});

submit!(Case {
    id: "ptp/check/09",
    rule: "CHECK without prevResult is refused.",
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        let reply = bench.call("CHECK", &config).reply()?;
        complains(&reply, &["prevResult missing"])
    },
    ..CHECK
});

finds!("ptp/check/10", "CHECK finds the IPv6 address gone.",
    { "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "2001:db8::/64" }]] } },
    ["ip", "-n", "pod", "address", "del", "2001:db8::2/64", "dev", "eth0"]);
finds!("ptp/check/11", "CHECK finds the IPv6 default route gone.",
    { "ipam": { "type": "host-local", "subnet": "2001:db8::/64", "routes": [{ "dst": "::/0" }] } },
    ["ip", "-n", "pod", "-6", "route", "del", "default"]);
finds!(
    "ptp/check/12",
    "CHECK finds the host's route to the pod gone.",
    {},
    ["ip", "route", "del", "10.88.0.2"],
    Fault::Instead("CHECK", "ip route show 10.88.0.2 | grep -q 10.88.0.2")
);
finds!("ptp/check/13", "CHECK finds the IPv6 subnet's route gone.",
    { "ipam": { "type": "host-local", "subnet": "2001:db8::/64" } },
    ["ip", "-n", "pod", "-6", "route", "del", "2001:db8::/64"]);

submit!(Case {
    id: "ptp/check/14",
    rule: "CHECK refuses a prevResult of another sandbox, of no interfaces, of another address, and with a route that is not there.",
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let (config, result) = attach(bench, json!({}))?;
        for (key, value) in [
            ("/interfaces/1/sandbox", json!("/run/netns/other")),
            ("/interfaces", json!([])),
            ("/ips/0/address", json!("10.88.0.9/24")),
        ] {
            let mut wrong = result.clone();
            if let Some(place) = wrong.pointer_mut(key) {
                *place = value;
            }
            bench
                .call("CHECK", &after_add(&config, &wrong))
                .reply()?
                .error()?;
        }
        let mut wrong = result.clone();
        wrong["routes"] = json!([{ "dst": "10.77.0.0/16", "gw": "10.88.0.1" }]);
        bench
            .call("CHECK", &after_add(&config, &wrong))
            .reply()?
            .error()
            .map(drop)
    },
    ..CHECK
});

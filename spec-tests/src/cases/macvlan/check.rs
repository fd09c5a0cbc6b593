//! macvlan: CHECK finds what is not as ADD left it.

use crate::cases::{alike::*, links::*, macvlan::*, prelude::*, sight::*};

const CHECK: Case = Case {
    versions: CHECKED,
    ..MACVLAN
};

submit!(Case {
    id: "macvlan/check/01",
    rule: "CHECK of a healthy pod succeeds, and finds the address gone.",
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let (config, result) = on_master(bench, json!({}))?;
        check_finds(
            bench,
            &after_add(&config, &result),
            &["ip", "-n", "pod", "address", "flush", "dev", "eth0"],
        )
    },
    ..CHECK
});

submit!(Case {
    id: "macvlan/check/02",
    rule: "CHECK finds another MAC address and an interface of another kind.",
    needs: &["link:macvlan", "link:tap"],
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let (config, result) = on_master(bench, json!({}))?;
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
        let other = "ip -n pod link del eth0; ip -n pod tuntap add eth0 mode tap; ip -n pod address add 10.88.0.2/24 dev eth0";
        bench.run("sh", &["-c", other])?;
        bench.call("CHECK", &config).reply()?.error().map(drop)
    },
    ..CHECK
});

finds!(
    CHECK,
    on_master,
    "macvlan/check/03",
    "CHECK finds the interface down.",
    ["ip", "-n", "pod", "link", "set", "eth0", "down"]
);
finds!(
    CHECK,
    on_master,
    "macvlan/check/04",
    "CHECK finds the interface gone.",
    ["ip", "-n", "pod", "link", "del", "eth0"]
);
finds!(
    CHECK,
    on_master,
    "macvlan/check/05",
    "CHECK finds another mode.",
    [
        "ip", "-n", "pod", "link", "set", "eth0", "type", "macvlan", "mode", "private"
    ]
);
finds!(
    CHECK,
    on_master,
    "macvlan/check/06",
    "CHECK finds the IPv4 default route gone.",
    ["ip", "-n", "pod", "route", "del", "default"]
);
finds!(
    CHECK,
    on_master,
    "macvlan/check/07",
    "CHECK finds the IPv6 default route gone.",
    ["ip", "-n", "pod", "-6", "route", "del", "default"]
);
finds!(
    CHECK,
    on_master,
    "macvlan/check/08",
    "CHECK finds the reservation gone.",
    [
        "rm",
        "/var/lib/cni/networks/suite/10.88.0.2",
        "/var/lib/cni/networks/suite/2001:db8::2"
    ]
);
finds!(
    CHECK,
    on_master,
    "macvlan/check/09",
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

submit!(Case {
    id: "macvlan/check/10",
    rule: "CHECK without prevResult is refused.",
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let (config, _) = on_master(bench, json!({}))?;
        let reply = bench.call("CHECK", &config).reply()?;
        complains(&reply, &["prevResult missing"])
    },
    ..CHECK
});

submit!(Case {
    id: "macvlan/check/11",
    rule: "CHECK refuses a prevResult of another sandbox, of none, and of another address.",
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let (config, result) = on_master(bench, json!({}))?;
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

//! bridge: what CHECK finds, and that it finds nothing on a healthy pod.

use crate::cases::{bridge::BRIDGE, prelude::*, sight::*};

const CHECK: Case = Case {
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    ..BRIDGE
};

/// A pod with these changes; the configuration for CHECK.
fn checked(bench: &mut Bench, changes: Value) -> Result<(Value, Value), Failure> {
    let (config, result) = attach(bench, changes)?;
    Ok((after_add(&config, &result), result))
}

macro_rules! finds {
    ($id:literal, $rule:literal, $changes:tt, $damage:expr $(, needs: $needs:expr)?) => {
        submit!(Case {
            id: $id,
            rule: $rule,
            faults: &[Fault::Skip("CHECK")],
            run: |bench| {
                let (config, result) = checked(bench, json!($changes))?;
                let host = host_end(&result);
                let damage: Vec<_> = $damage
                    .iter()
                    .map(|word: &&str| word.replace("HOST-END", &host))
                    .collect();
                let damage: Vec<_> = damage.iter().map(String::as_str).collect();
                check_finds(bench, &config, &damage)
            },
            $(needs: $needs,)?
            ..CHECK
        });
    };
}

submit!(Case {
    id: "bridge/check/01",
    rule: "CHECK of a healthy dual-stack pod with routes succeeds and prints nothing.",
    faults: &[
        Fault::On("CHECK", &Fault::ExitOne),
        Fault::On(
            "CHECK",
            &Fault::Before("CHECK", "ip -n pod link set eth0 down")
        )
    ],
    run: |bench| {
        let ipam = routed(
            dual(),
            json!([{ "dst": "192.168.5.0/24" }, { "dst": "2001:db8:5::/48" }]),
        );
        let (config, _) = checked(bench, json!({ "isDefaultGateway": true, "ipam": ipam }))?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()
    },
    ..CHECK
});

finds!(
    "bridge/check/02",
    "CHECK finds an IPv4 address gone.",
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
finds!("bridge/check/03", "CHECK finds an IPv6 address gone.", { "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "2001:db8::/64" }]] } },
    ["ip", "-n", "pod", "address", "del", "2001:db8::2/64", "dev", "eth0"]);
finds!(
    "bridge/check/04",
    "CHECK finds the pod's interface gone.",
    {},
    ["ip", "-n", "pod", "link", "del", "eth0"]
);
finds!(
    "bridge/check/05",
    "CHECK finds the pod's interface down.",
    {},
    ["ip", "-n", "pod", "link", "set", "eth0", "down"]
);
finds!(
    "bridge/check/06",
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
finds!(
    "bridge/check/07",
    "CHECK finds the host end without the bridge.",
    {},
    ["ip", "link", "set", "HOST-END", "nomaster"]
);
finds!(
    "bridge/check/08",
    "CHECK finds the bridge gone.",
    {},
    ["ip", "link", "del", "suite0"]
);
finds!("bridge/check/09", "CHECK finds the default route gone.", { "isDefaultGateway": true },
    ["ip", "-n", "pod", "route", "del", "default"]);
finds!("bridge/check/10", "CHECK finds a route of IPAM gone.",
    { "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "routes": [{ "dst": "192.168.5.0/24", "gw": "10.88.0.9" }] } },
    ["ip", "-n", "pod", "route", "del", "192.168.5.0/24"]);
finds!("bridge/check/11", "CHECK finds a route by another next hop.",
    { "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "routes": [{ "dst": "192.168.5.0/24", "gw": "10.88.0.9" }] } },
    ["ip", "-n", "pod", "route", "replace", "192.168.5.0/24", "via", "10.88.0.8"]);
finds!("bridge/check/12", "CHECK finds the bridge no longer promiscuous.", { "promiscMode": true },
    ["ip", "link", "set", "suite0", "promisc", "off"]);
finds!(
    "bridge/check/13",
    "CHECK finds another MAC address of the bridge.",
    {},
    [
        "ip",
        "link",
        "set",
        "suite0",
        "address",
        "02:00:00:00:00:66"
    ]
);
finds!(
    "bridge/check/14",
    "CHECK finds the reservation gone.",
    {},
    ["rm", "/var/lib/cni/networks/suite/10.88.0.2"]
);
finds!(
    "bridge/check/15",
    "CHECK finds an interface of the pod's that is no veth.",
    {},
    [
        "sh",
        "-c",
        "ip -n pod link del eth0; ip -n pod tuntap add eth0 mode tap; ip -n pod address add 10.88.0.2/24 dev eth0"
    ],
    needs: &["link:tap"]
);
finds!(
    "bridge/check/16",
    "CHECK finds the address with another prefix length.",
    {},
    [
        "sh",
        "-c",
        "ip -n pod address del 10.88.0.2/24 dev eth0; ip -n pod address add 10.88.0.2/16 dev eth0"
    ]
);
finds!("bridge/check/17", "CHECK finds an IPv6 route of IPAM gone.",
    { "ipam": { "type": "host-local", "ranges": [[{ "subnet": "2001:db8::/64" }]], "routes": [{ "dst": "2001:db8:5::/48" }] } },
    ["ip", "-n", "pod", "-6", "route", "del", "2001:db8:5::/48"]);

submit!(Case {
    id: "bridge/check/18",
    rule: "CHECK without prevResult is refused.",
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        let reply = bench.call("CHECK", &config).reply()?;
        complains(&reply, &["prevResult missing"])
    },
    ..CHECK
});

submit!(Case {
    id: "bridge/check/19",
    rule: "CHECK with another namespace than that of prevResult fails.",
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let (config, _) = checked(bench, json!({}))?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()?;
        let netns = bench.pod("other")?;
        bench
            .call("CHECK", &config)
            .env("CNI_NETNS", &netns)
            .reply()?
            .error()
            .map(drop)
    },
    ..CHECK
});

submit!(Case {
    id: "bridge/check/20",
    rule: "CHECK accepts what a later plugin of the chain added: an address, a route, a sysctl.",
    faults: &[
        Fault::Instead(
            "CHECK",
            r#"ip -n pod address show eth0 | grep -q 10.77.0.1 && exit 1; exec "$REAL""#
        ),
        Fault::Instead(
            "CHECK",
            r#"ip -n pod route | grep -q 192.168.9.0 && exit 1; exec "$REAL""#
        ),
        Fault::Instead(
            "CHECK",
            r#"ip netns exec pod grep -q 1 /proc/sys/net/ipv4/conf/eth0/log_martians && exit 1; exec "$REAL""#
        )
    ],
    run: |bench| {
        let (config, _) = checked(bench, json!({}))?;
        bench.run(
            "ip",
            &["-n", "pod", "address", "add", "10.77.0.1/24", "dev", "eth0"],
        )?;
        bench.run(
            "ip",
            &[
                "-n",
                "pod",
                "route",
                "add",
                "192.168.9.0/24",
                "via",
                "10.88.0.1",
            ],
        )?;
        bench.run(
            "ip",
            &[
                "netns",
                "exec",
                "pod",
                "sh",
                "-c",
                "echo 1 > /proc/sys/net/ipv4/conf/eth0/log_martians",
            ],
        )?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()
    },
    ..CHECK
});

submit!(Case {
    id: "bridge/check/21",
    rule: "CHECK of a healthy pod without IPAM succeeds.",
    faults: &[Fault::Instead(
        "CHECK",
        r#"text=$(cat); case $text in *host-local*) ;; *) exit 1;; esac; printf %s "$text" | "$REAL""#
    )],
    run: |bench| {
        let (config, _) = checked(bench, json!({ "ipam": null, "isGateway": null }))?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()
    },
    ..CHECK
});

submit!(Case {
    id: "bridge/check/22",
    rule: "CHECK accepts a route that IPAM put into another table.",
    faults: &[Fault::Instead(
        "CHECK",
        r#"ip -n pod route | grep -q 192.168.5.0/24 || exit 1; exec "$REAL""#
    )],
    run: |bench| {
        let ipam = routed(
            host_local(&["10.88.0.0/24"]),
            json!([{ "dst": "192.168.5.0/24", "table": 77 }]),
        );
        let (config, _) = checked(bench, json!({ "ipam": ipam }))?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()
    },
    ..CHECK
});

//! tuning: CHECK finds what is not as configured any more.

use crate::cases::{chained::*, prelude::*, sight::*, tuning::*};

const CHECK: Case = Case {
    versions: CHECKED,
    ..TUNING
};

macro_rules! finds {
    ($id:literal, $rule:literal, $changes:tt, $damage:expr $(, $repair:expr)*) => {
        submit!(Case {
            id: $id,
            rule: $rule,
            faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
            repairs: &[$($repair),*],
            run: |bench| {
                let (config, _) = chained(bench, json!($changes))?;
                check_finds(bench, &config, &$damage)
            },
            ..CHECK
        });
    };
}

finds!("tuning/check/01", "CHECK finds another MTU.", { "mtu": 1400 }, ["ip", "-n", "pod", "link", "set", "eth0", "mtu", "1450"]);
finds!("tuning/check/02", "CHECK finds another MAC address.", { "mac": "02:00:00:00:00:55" },
    ["ip", "-n", "pod", "link", "set", "eth0", "address", "02:00:00:00:00:66"]);
finds!("tuning/check/03", "CHECK finds another sysctl value.", { "sysctl": { "net.core.somaxconn": "500" } },
    ["ip", "netns", "exec", "pod", "sh", "-c", "echo 600 > /proc/sys/net/core/somaxconn"]);
finds!("tuning/check/05", "CHECK finds another value of a sysctl with IFNAME.", { "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1" } },
    ["ip", "netns", "exec", "pod", "sh", "-c", "echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_filter"],
    Fault::Instead("CHECK", "ip netns exec pod grep -q 1 /proc/sys/net/ipv4/conf/eth0/arp_filter"));
finds!("tuning/check/04", "CHECK finds the interface no longer promiscuous.", { "promisc": true },
    ["ip", "-n", "pod", "link", "set", "eth0", "promisc", "off"]);
finds!("tuning/check/06", "CHECK finds all multicast switched off.", { "allmulti": true },
    ["ip", "-n", "pod", "link", "set", "eth0", "allmulticast", "off"]);
finds!("tuning/check/07", "CHECK finds all multicast switched on.", { "allmulti": false },
    ["ip", "-n", "pod", "link", "set", "eth0", "allmulticast", "on"]);
finds!("tuning/check/08", "CHECK finds another queue length.", { "txQLen": 500 },
    ["ip", "-n", "pod", "link", "set", "eth0", "txqueuelen", "7"],
    Fault::Where("/txQLen", &Fault::After("ADD", "ip -n pod link set eth0 txqueuelen 500")),
    Fault::Instead("CHECK", "ip -n pod link show eth0 | grep -q 'qlen 500'"));
finds!("tuning/check/09", "CHECK finds the interface gone.", { "mtu": 1400 }, ["ip", "-n", "pod", "link", "del", "eth0"]);
finds!("tuning/check/10", "CHECK compares with what args.cni asked for.", { "mtu": 1400, "args": { "cni": { "mtu": 1300 } } },
    ["ip", "-n", "pod", "link", "set", "eth0", "mtu", "1400"]);
finds!("tuning/check/11", "CHECK compares with runtimeConfig.mac.", { "mac": "02:00:00:00:00:55", "runtimeConfig": { "mac": "02:00:00:00:00:57" } },
    ["ip", "-n", "pod", "link", "set", "eth0", "address", "02:00:00:00:00:55"]);
finds!("tuning/check/12", "CHECK compares a sysctl of several numbers by these, not by what stands between them.", { "sysctl": { "net.ipv4.ip_local_port_range": "20000 30000" } },
    ["ip", "netns", "exec", "pod", "sh", "-c", "echo 20000 30001 > /proc/sys/net/ipv4/ip_local_port_range"],
    Fault::Instead("CHECK", r#"sed "s/20000 30000/20000\\\\t30000/" | "$REAL""#));
finds!("tuning/check/13", "CHECK compares MAC addresses, not their spelling.", { "mac": "02:00:00:00:00:AA" },
    ["ip", "-n", "pod", "link", "set", "eth0", "address", "02:00:00:00:00:66"],
    Fault::On("CHECK", &Fault::Config("/mac", "02:00:00:00:00:aa")));

finds!("tuning/check/16", "CHECK compares a long sysctl to its end.", { "sysctl": { "net.ipv4.ip_local_reserved_ports":
        "10000,10002,10004,10006,10008,10010,10012,10014,10016,10018,10020,10022,10024,10026,10028" } },
    ["ip", "netns", "exec", "pod", "sh", "-c",
        "sed s/10028/10030/ /proc/sys/net/ipv4/ip_local_reserved_ports > /run/ports; cat /run/ports > /proc/sys/net/ipv4/ip_local_reserved_ports"]);

finds!("tuning/check/17", "CHECK compares ports, not the order that they are listed in.", { "sysctl": { "net.ipv4.ip_local_reserved_ports": "30000-32767,8081,8080" } },
    ["ip", "netns", "exec", "pod", "sh", "-c", "echo 8080,30000-32767 > /proc/sys/net/ipv4/ip_local_reserved_ports"],
    Fault::Instead("CHECK", r#"sed "s/30000-32767,8081,8080/8080-8081,30000-32767/" | "$REAL""#));

submit!(Case {
    id: "tuning/check/14",
    rule: "CHECK without prevResult is refused.",
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let (mut config, _) = chained(bench, json!({ "mtu": 1400 }))?;
        config
            .as_object_mut()
            .map(|config| config.remove("prevResult"));
        let reply = bench.call("CHECK", &config).reply()?;
        complains(&reply, &["prevResult missing"])
    },
    ..CHECK
});

submit!(Case {
    id: "tuning/check/15",
    rule: "CHECK compares with CNI_ARGS MAC when it is called with that, as ADD was.",
    faults: &[
        Fault::Skip("CHECK"),
        Fault::On("CHECK", &Fault::ExitOne),
        Fault::On("CHECK", &Fault::Env("CNI_ARGS", ""))
    ],
    run: |bench| {
        let config = behind(bench, json!({ "mac": "02:00:00:00:00:55" }))?;
        let args = "MAC=02:00:00:00:00:56";
        let result = bench
            .call("ADD", &config)
            .env("CNI_ARGS", args)
            .reply()?
            .result()?;
        let config = after_add(&config, &result);
        bench
            .call("CHECK", &config)
            .env("CNI_ARGS", args)
            .reply()?
            .succeeds_silently()?;
        bench.run(
            "ip",
            &[
                "-n",
                "pod",
                "link",
                "set",
                "eth0",
                "address",
                "02:00:00:00:00:55",
            ],
        )?;
        bench
            .call("CHECK", &config)
            .env("CNI_ARGS", args)
            .reply()?
            .error()
            .map(drop)
    },
    ..CHECK
});

//! ptp: a pair with a route on either side.

use super::{packets::*, prelude::*, sight::*};

const PTP: Case = Case {
    judges: Judges::Only(&["ptp"]),
    ..COMPAT
};
const CHECK: Case = Case {
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    ..PTP
};

submit! { Case {
    id: "ptp/result/01",
    rule: "The result lists the host end and the pod's interface; the addresses point at the second.",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    faults: &[Fault::Result("/interfaces/0", ""), Fault::Result("/ips/0/interface", "=0")],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        let names = [result["interfaces"][0]["name"].clone(), result["interfaces"][1]["name"].clone()];
        expect("names", &[json!(host_end(&result)), json!("eth0")], &names)?;
        expect("count", &Some(2), &result["interfaces"].as_array().map(Vec::len))?;
        expect("interface of the address", &json!(1), &result["ips"][0]["interface"])
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/result/02",
    rule: "The result has both MAC addresses, and the sandbox of the pod's interface alone.",
    faults: &[Fault::Result("/interfaces/0/mac", "02:00:00:00:00:01"), Fault::Result("/interfaces/1/sandbox", "")],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        let host = link(bench, HOST, &host_end(&result))?["address"].clone();
        expect("MAC on the host", &host, &result["interfaces"][0]["mac"])?;
        expect("MAC in the pod", &link(bench, "pod", "eth0")?["address"], &result["interfaces"][1]["mac"])?;
        expect("sandbox", &json!("/run/netns/pod"), &result["interfaces"][1]["sandbox"])
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/pod/01",
    rule: "In the pod the gateway is a link-scope route and the subnet goes by it, both from the pod's address.",
    faults: &[Fault::After("ADD", "ip -n pod route flush dev eth0 root 10.88.0.0/24"), Fault::Config("/ipam/subnet", "10.88.0.0/23")],
    run: |bench| {
        attach(bench, json!({}))?;
        let expected = ["10.88.0.0/24 via 10.88.0.1 dev eth0 src 10.88.0.2", "10.88.0.1 dev eth0 scope link src 10.88.0.2"];
        expect("routes", &list(&expected), &routes(bench, "pod", "main")?)?;
        let all = ip(bench, "pod", &["-4", "route"])?;
        expect("no other route", &Some(2), &all.as_array().map(Vec::len))
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/pod/02",
    rule: "IPv6 has the same two routes.",
    faults: &[Fault::After("ADD", "ip -n pod -6 route del 2001:db8::1")],
    run: |bench| {
        attach(bench, json!({ "ipam": six() }))?;
        let expected = ["2001:db8::/64 via 2001:db8::1 dev eth0 src 2001:db8::2", "2001:db8::1 dev eth0 src 2001:db8::2"];
        expect("routes", &list(&expected), &routes(bench, "pod", "main")?)
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/pod/03",
    rule: "The pod's interface has the addresses with their prefix lengths.",
    faults: &[Fault::Config("/ipam/ranges/1", ""), Fault::After("ADD", "ip -n pod address del 10.88.0.2/24 dev eth0")],
    run: |bench| {
        attach(bench, json!({ "ipam": dual() }))?;
        expect("addresses", &list(&["10.88.0.2/24", "2001:db8::2/64"]), &addresses(bench, "pod", "eth0")?)
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/host/01",
    rule: "The host end has the gateway's address as /32 and /128.",
    faults: &[Fault::After("ADD", "v=$(ls /sys/class/net | grep ^veth); ip address flush dev $v")],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "ipam": dual() }))?;
        expect("addresses", &list(&["10.88.0.1/32", "2001:db8::1/128"]), &addresses(bench, HOST, &host_end(&result))?)
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/host/02",
    rule: "The host has a route of scope host to the pod's IPv4 address and one to its IPv6 address.",
    faults: &[Fault::After("ADD", "ip route del 10.88.0.2"), Fault::After("ADD", "ip -6 route del 2001:db8::2"),
              Fault::After("ADD", "v=$(ls /sys/class/net | grep ^veth); ip route del 10.88.0.2; ip route add 10.88.0.2 dev $v scope link")],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "ipam": dual() }))?;
        let host = host_end(&result);
        let expected = [format!("10.88.0.2 dev {host} scope host"), format!("2001:db8::2 dev {host}")];
        expect("routes", &expected.to_vec(), &routes(bench, HOST, "main")?)
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/host/03",
    rule: "The host end is a veth named 'veth' and eight hexadecimal digits, up, without a master.",
    faults: &[Fault::After("ADD", "v=$(ls /sys/class/net | grep ^veth); ip link set $v down"),
              Fault::After("ADD", "v=$(ls /sys/class/net | grep ^veth); ip link set $v name veth1")],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        let name = host_veths(bench)?.pop().unwrap_or_default();
        expect("name", &host_end(&result), &name)?;
        let digits = name.trim_start_matches("veth");
        expect_that(digits.len() == 8 && digits.chars().all(|c| c.is_ascii_hexdigit()), "eight digits", &name)?;
        let host = link(bench, HOST, &name)?;
        expect("state and master", &(json!("UP"), Value::Null), &(host["operstate"].clone(), host["master"].clone()))
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/forwarding/01",
    rule: "Forwarding is enabled for the families of the addresses and no other.",
    faults: &[Fault::After("ADD", "echo 0 > /proc/sys/net/ipv4/ip_forward"), Fault::After("ADD", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")],
    run: |bench| {
        bench.run("sh", &["-c", "echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding"])?;
        attach(bench, json!({}))?;
        expect("IPv4", &"1".to_owned(), &sysctl(bench, HOST, "net/ipv4/ip_forward")?)?;
        expect("IPv6", &"0".to_owned(), &sysctl(bench, HOST, "net/ipv6/conf/all/forwarding")?)
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/forwarding/02",
    rule: "An IPv6 address enables IPv6 forwarding.",
    faults: &[Fault::After("ADD", "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding")],
    run: |bench| {
        bench.run("sh", &["-c", "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding"])?;
        attach(bench, json!({ "ipam": dual() }))?;
        expect("IPv6", &"1".to_owned(), &sysctl(bench, HOST, "net/ipv6/conf/all/forwarding")?)
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/mtu/01",
    rule: "mtu is set on both ends.",
    faults: &[Fault::Config("/mtu", ""), Fault::After("ADD", "ip -n pod link set eth0 mtu 1500")],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "mtu": 1400 }))?;
        expect("MTU in the pod", &json!(1400), &link(bench, "pod", "eth0")?["mtu"])?;
        expect("MTU on the host", &json!(1400), &link(bench, HOST, &host_end(&result))?["mtu"])
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/mtu/02",
    rule: "Without mtu the kernel's default stays.",
    faults: &[Fault::Config("/mtu", "=1400")],
    run: |bench| {
        attach(bench, json!({}))?;
        expect("MTU", &json!(1500), &link(bench, "pod", "eth0")?["mtu"])
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/routes/01",
    rule: "A route of IPAM without a next hop goes by the gateway of its family.",
    faults: &[Fault::Config("/ipam/routes", ""), Fault::Result("/routes", "")],
    run: |bench| {
        let wanted = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
        let (_, result) = attach(bench, json!({ "ipam": routed(dual(), wanted.clone()) }))?;
        let seen = routes(bench, "pod", "main")?;
        for route in ["default via 10.88.0.1 dev eth0", "default via 2001:db8::1 dev eth0"] {
            expect_that(seen.contains(&route.to_owned()), route, format!("{seen:?}"))?;
        }
        expect("routes of the result", &wanted, &result["routes"])
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/packets/01",
    rule: "The pod reaches its gateway, IPv4 and IPv6.",
    needs: &["ping"],
    faults: &[Fault::After("ADD", "v=$(ls /sys/class/net | grep ^veth); ip address flush dev $v scope global; ip route add 10.88.0.2 dev $v")],
    run: |bench| {
        attach(bench, json!({ "ipam": dual() }))?;
        answers(bench, "pod", "10.88.0.1")?;
        answers(bench, "pod", "2001:db8::1")
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/packets/02",
    rule: "Two pods reach each other through the host, IPv4 and IPv6.",
    needs: &["ping"],
    faults: &[Fault::After("ADD", "echo 0 > /proc/sys/net/ipv4/ip_forward"), Fault::After("ADD", "ip -6 route del 2001:db8::2")],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        attach_other(bench, "other", &config)?;
        answers(bench, "pod", "10.88.0.3")?;
        answers(bench, "pod", "2001:db8::3")
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/dns/01",
    rule: "dns of the configuration wins over that of IPAM.",
    faults: &[Fault::Config("/dns", "")],
    run: |bench| {
        bench.run("sh", &["-c", "echo nameserver 192.0.2.53 > /run/resolv"])?;
        let ipam = json!({ "type": "host-local", "subnet": "10.88.0.0/24", "resolvConf": "/run/resolv" });
        let (_, result) = attach(bench, json!({ "dns": { "nameservers": ["192.0.2.1"] }, "ipam": ipam }))?;
        expect("dns", &json!({ "nameservers": ["192.0.2.1"] }), &result["dns"])
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/dns/02",
    rule: "Without dns in the configuration that of IPAM is in the result.",
    faults: &[Fault::Config("/ipam/resolvConf", "")],
    run: |bench| {
        bench.run("sh", &["-c", "echo nameserver 192.0.2.53 > /run/resolv"])?;
        let ipam = json!({ "type": "host-local", "subnet": "10.88.0.0/24", "resolvConf": "/run/resolv" });
        let (_, result) = attach(bench, json!({ "ipam": ipam }))?;
        expect("dns", &json!({ "nameservers": ["192.0.2.53"] }), &result["dns"])
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/ipam/01",
    rule: "Without IPAM ADD is refused and leaves no link.",
    faults: &[Fault::ExitZero, Fault::Config("/ipam", "={\"type\":\"host-local\",\"subnet\":\"10.88.0.0/24\"}")],
    run: |bench| {
        refuses_add(bench, json!({ "ipam": null }), &["plugin name"])?;
        nothing_left(bench)
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/fail/01",
    rule: "When a route cannot be set, ADD fails and leaves nothing of the attachment.",
    faults: &[Fault::ExitZero, Fault::Config("/ipam/routes", "")],
    repairs: &[Fault::After("ADD", "ip -n pod link del eth0; rm /var/lib/cni/networks/suite/10.*")],
    run: |bench| {
        let ipam = routed(host_local(&["10.88.0.0/24"]), json!([{ "dst": "192.168.5.0/24", "gw": "172.16.0.1" }]));
        refuses_add(bench, json!({ "ipam": ipam }), &["failed to add route", "192.168.5.0"])?;
        nothing_left(bench)
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/fail/02",
    rule: "An interface of the name CNI_IFNAME that is there already is refused and its reservation freed.",
    faults: &[Fault::ExitZero, Fault::Before("ADD", "ip -n pod link del eth0"), Fault::After("ADD", "touch /var/lib/cni/networks/suite/10.88.0.2")],
    run: |bench| {
        bench.pod("pod")?;
        bench.run("ip", &["-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "name", "eth9"])?;
        refuses_add(bench, json!({}), &["eth0", "already exists"])?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/fail/03",
    rule: "When the namespace does not exist, ADD fails, names it and keeps no reservation.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed"), Fault::After("ADD", "touch /var/lib/cni/networks/suite/10.88.0.2")],
    run: |bench| {
        let config = bench.config();
        let reply = bench.call("ADD", &config).env("CNI_NETNS", "/run/netns/nope").reply()?;
        complains(&reply, &["/run/netns/nope"])?;
        nothing_left(bench)
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/del/01",
    rule: "DEL removes the pair, the host's routes and the reservations.",
    faults: &[Fault::Skip("DEL"), Fault::After("DEL", "ip route add 10.88.0.2 dev lo scope host")],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("routes", &list(&[]), &routes(bench, HOST, "main")?)?;
        nothing_left(bench)
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/del/02",
    rule: "DEL frees the addresses when the namespace is gone.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/del/03",
    rule: "DEL frees the addresses when CNI_NETNS is empty.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench.call("DEL", &config).env("CNI_NETNS", "").reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/del/04",
    rule: "DEL succeeds when a plain file lies at the namespace's path, and frees the addresses.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[Fault::On("DEL", &Fault::Env("CNI_NETNS", ""))],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.write("/run/netns/pod", "")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/del/05",
    rule: "DEL succeeds again, without an ADD, and when the interface is gone.",
    faults: &[Fault::Once("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench.run("ip", &["-n", "pod", "link", "del", "eth0"])?;
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        bench.call("DEL", &config).env("CNI_CONTAINERID", "never").reply()?.succeeds_silently()?;
        nothing_left(bench)
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/del/06",
    rule: "DEL of one pod leaves another reaching its gateway.",
    needs: &["ping"],
    faults: &[Fault::After("DEL", "for v in $(ls /sys/class/net | grep ^veth); do ip link del $v; done")],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        attach_other(bench, "other", &config)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        answers(bench, "other", "10.88.0.1")
    },
    ..PTP
} }

macro_rules! finds {
    ($id:literal, $rule:literal, $changes:tt, $damage:expr) => {
        submit! { Case {
            id: $id,
            rule: $rule,
            faults: &[Fault::Skip("CHECK")],
            run: |bench| {
                let (config, result) = attach(bench, json!($changes))?;
                check_finds(bench, &after_add(&config, &result), &$damage)
            },
            ..CHECK
        } }
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

submit! { Case {
    id: "ptp/check/08",
    rule: "CHECK of a healthy dual-stack pod succeeds.",
    faults: &[Fault::On("CHECK", &Fault::ExitOne), Fault::Before("CHECK", "ip -n pod link set eth0 down")],
    run: |bench| {
        let (config, result) = attach(bench, json!({ "ipam": routed(dual(), json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }])) }))?;
        bench.call("CHECK", &after_add(&config, &result)).reply()?.succeeds_silently()
    },
    ..CHECK
} }

submit! { Case {
    id: "ptp/check/09",
    rule: "CHECK without prevResult is refused.",
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        let reply = bench.call("CHECK", &config).reply()?;
        complains(&reply, &["prevResult missing"])
    },
    ..CHECK
} }

submit! { Case {
    id: "ptp/address/01",
    rule: "IPv6 is enabled in a pod where it was off when there is an IPv6 address to set.",
    faults: &[Fault::After("ADD", "ip netns exec pod sh -c 'echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6'")],
    run: |bench| {
        bench.pod("pod")?;
        inside(bench, "pod", &["sh", "-c", "for c in all default; do echo 1 > /proc/sys/net/ipv6/conf/$c/disable_ipv6; done"])?;
        let config = with(bench, json!({ "ipam": six() }));
        bench.add(&config)?;
        expect("addresses", &list(&["2001:db8::2/64"]), &addresses(bench, "pod", "eth0")?)
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/address/02",
    rule: "No IPv6 address is tentative when ADD has returned.",
    faults: &[Fault::After("ADD", "ip -n pod address del 2001:db8::2/64 dev eth0; ip netns exec pod sh -c 'echo 1 > /proc/sys/net/ipv6/conf/eth0/accept_dad'; \
                                   ip -n pod address add 2001:db8::2/64 dev eth0")],
    run: |bench| {
        attach(bench, json!({ "ipam": six() }))?;
        let seen = ip(bench, "pod", &["-6", "address", "show", "dev", "eth0", "scope", "global"])?;
        expect("tentative", &Value::Null, &seen[0]["addr_info"][0]["tentative"])
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/many/01",
    rule: "Pods share the gateway's address: every host end has it.",
    faults: &[Fault::After("ADD", "v=$(ls /sys/class/net | grep ^veth | tail -1); ip address flush dev $v")],
    run: |bench| {
        let (config, first) = attach(bench, json!({}))?;
        let second = attach_other(bench, "other", &config)?;
        for result in [first, second] {
            expect("addresses", &list(&["10.88.0.1/32"]), &addresses(bench, HOST, &host_end(&result))?)?;
        }
        Ok(())
    },
    ..PTP
} }

submit! { Case {
    id: "ptp/many/02",
    rule: "Eight ADDs at once give eight pods addresses and host routes of their own.",
    faults: &[Fault::After("ADD", "for n in 2 3 4 5 6 7 8 9; do ip route del 10.88.0.$n; done")],
    run: |bench| {
        let config = bench.config();
        let mut running = Vec::new();
        for number in 0..8 {
            bench.pod(&format!("p{number}"))?;
        }
        for number in 0..8 {
            let pod = format!("p{number}");
            let call = bench.call("ADD", &config).env("CNI_CONTAINERID", &pod);
            running.push(call.env("CNI_NETNS", &format!("/run/netns/{pod}")).start()?);
        }
        for call in running {
            call.reply()?.succeeds()?;
        }
        expect("host routes", &8, &routes(bench, HOST, "main")?.len())?;
        expect("reservations", &8, &reserved().len())
    },
    ..PTP
} }

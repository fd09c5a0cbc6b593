//! What the plugins share that make one link in the pod, on a link of the host's or on none:
//! macvlan, vlan, ipvlan and dummy.

use crate::cases::{prelude::*, sight::*};

/// The interface, which a failed ADD left, goes.
pub(in crate::cases) const WITHOUT_LINK: &[Fault] =
    &[Fault::After("ADD", "ip -n pod link del eth0")];

/// The interface goes that a failed ADD left under the name that it is made with.
pub(in crate::cases) const WITHOUT_UNNAMED: &[Fault] = &[Fault::After(
    "ADD",
    r"ip -n pod link del $(ip -n pod -o link | sed -n 's/.* \(veth[0-9a-f]\{8\}\)@.*/\1/p')",
)];

/// The host's link `m0` with its peer `m1`, both up.
pub(in crate::cases) fn master(bench: &mut Bench) -> Result<(), Failure> {
    let pair = ["link", "add", "m0", "type", "veth", "peer", "name", "m1"];
    bench.run("ip", &pair)?;
    for name in ["m0", "m1"] {
        bench.run("ip", &["link", "set", name, "up"])?;
    }
    Ok(())
}

/// [`master`], and pod `pod` added with a changed configuration; returns that and the result.
pub(in crate::cases) fn on_master(
    bench: &mut Bench,
    changes: Value,
) -> Result<(Value, Value), Failure> {
    master(bench)?;
    attach(bench, changes)
}

/// [`master`], and ADD with this configuration must fail with all these words.
pub(in crate::cases) fn refuses_on_master(
    bench: &mut Bench,
    changes: Value,
    words: &[&str],
) -> Result<(), Failure> {
    master(bench)?;
    refuses_add(bench, changes, words)
}

/// The pod's interface.
pub(in crate::cases) fn eth0(bench: &mut Bench) -> Result<Value, Failure> {
    link(bench, "pod", "eth0")
}

/// What `ip -d` shows of a link's kind.
pub(in crate::cases) fn data(link: &Value) -> &Value {
    &link["linkinfo"]["info_data"]
}

/// The machine `far` at the other end of the host's link `m0`.
pub(in crate::cases) fn far(bench: &mut Bench) -> Result<(), Failure> {
    bench.pod("far")?;
    for line in ["link set m1 netns far", "-n far link set m1 up"] {
        bench.run("ip", &line.split(' ').collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Names of the links in the pod other than `lo` and those that the kernel makes by itself.
pub(in crate::cases) fn pod_links(bench: &mut Bench) -> Result<Vec<String>, Failure> {
    let mut all = links(bench, "pod")?;
    all.retain(|name| name != "lo");
    Ok(all)
}

/// host-local holds 10.88.0.2 for `eth0` of container `ctr1`, as an ADD before left it.
pub(in crate::cases) fn reserve(bench: &mut Bench) -> Result<(), Failure> {
    bench.run("mkdir", &["-p", RESERVATIONS])?;
    bench.write(&format!("{RESERVATIONS}/10.88.0.2"), "ctr1\r\neth0")?;
    expect("reservations", &list(&["10.88.0.2"]), &reserved())
}

/// DEL succeeds without a word and leaves no reservation.
pub(in crate::cases) fn frees(
    bench: &mut Bench,
    config: &Value,
    netns: &str,
) -> Result<(), Failure> {
    let call = bench.call("DEL", config).env("CNI_NETNS", netns);
    call.reply()?.succeeds_silently()?;
    expect("reservations", &list(&[]), &reserved())
}

/// What holds as soon as DEL has returned: the pod's interface is gone, a link of its name can be
/// made, and so can the attachment.
pub(in crate::cases) fn at_once(bench: &mut Bench, config: &Value) -> Result<(), Failure> {
    for _ in 0..3 {
        bench.call("DEL", config).reply()?.succeeds_silently()?;
        expect("links", &list(&[]), &pod_links(bench)?)?;
        let taken = ["-n", "pod", "link", "add", "eth0", "type", "bridge"];
        bench
            .run("ip", &taken)
            .map_err(|error| Failure::new("the name eth0", "it is free", error))?;
        bench.run("ip", &["-n", "pod", "link", "del", "eth0"])?;
        bench.call("ADD", config).reply()?.succeeds()?;
    }
    Ok(())
}

/// VERSION lists exactly the versions between these that the suite knows up to 1.0.0; newer ones
/// may follow.
pub(in crate::cases) fn lists_versions(
    bench: &mut Bench,
    first: SpecVersion,
) -> Result<(), Failure> {
    let asked = json!({ "cniVersion": "1.0.0" });
    let answer = bench.call("VERSION", &asked).reply()?.result()?;
    let listed = answer["supportedVersions"].as_array();
    let is_old = |listed: &&Value| **listed != json!("1.1.0");
    let seen: Vec<Value> = listed
        .into_iter()
        .flatten()
        .filter(is_old)
        .cloned()
        .collect();
    let known = SpecVersion::ALL.iter();
    let expected = known.filter(|version| (first..=SpecVersion::V1_0_0).contains(version));
    let expected: Vec<Value> = expected.map(|version| json!(version.as_str())).collect();
    expect("versions up to 1.0.0", &expected, &seen)
}

/// CHECK without prevResult, where IPAM has nothing to complain of, must say what is missing.
pub(in crate::cases) fn misses_prev_result(
    bench: &mut Bench,
    config: Value,
) -> Result<(), Failure> {
    bench.pod("pod")?;
    let mut config = config;
    config["ipam"] = told(bench, &[("10.88.0.2/24", "")], json!(null))?;
    complains(&bench.call("CHECK", &config).reply()?, &["prevResult"])
}

/// An IPAM configuration whose route cannot be set: its next hop is nowhere.
pub(in crate::cases) fn unreachable_route() -> Value {
    let route = json!([{ "dst": "192.168.5.0/24", "gw": "172.16.0.1" }]);
    routed(host_local(&["10.88.0.0/24"]), route)
}

/// A pod with the link `p0`, and a configuration that has it as master.
pub(in crate::cases) fn in_pod(bench: &mut Bench) -> Result<Value, Failure> {
    master(bench)?;
    bench.pod("pod")?;
    for line in [
        "link add p0 type veth peer name p1",
        "link set p0 up",
        "link set p1 up",
    ] {
        let words: Vec<_> = ["-n", "pod"].into_iter().chain(line.split(' ')).collect();
        bench.run("ip", &words)?;
    }
    Ok(with(
        bench,
        json!({ "master": "p0", "linkInContainer": true }),
    ))
}

/// A case where bad input must be refused with words that users search for; `m0` is there.
macro_rules! refused_on_master {
    ($base:expr, $id:literal, $rule:literal, $patch:tt, $words:expr) => {
        submit!(Case {
            id: $id,
            rule: $rule,
            faults: &[
                Fault::ExitZero,
                Fault::Error("/msg", "it failed"),
                Fault::Skip("ADD")
            ],
            run: |bench| refuses_on_master(bench, json!($patch), &$words),
            ..$base
        });
    };
}
pub(in crate::cases) use refused_on_master;

/// A case of CHECK: healthy first, then this shell line damages, then it must fail.
macro_rules! spots {
    ($base:expr, $made:path, $id:expr, $rule:literal, $changes:tt, $damage:literal $(, $repair:expr)?) => {
        submit!(Case {
            id: $id,
            rule: $rule,
            faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
            repairs: &[$($repair)?],
            run: |bench| {
                let (config, result) = $made(bench, json!($changes))?;
                check_finds(bench, &after_add(&config, &result), &["sh", "-c", $damage])
            },
            ..$base
        });
    };
}
pub(in crate::cases) use spots;

/// The cases that every one of these plugins has. `prepare` makes what it works on, `other_mac`
/// gives the pod's interface another MAC address; the others are what repairs the reference where
/// it leaves something behind a failed ADD.
macro_rules! one_link {
    ($name:literal, $base:expr, made: $made:path, prepare: $prepare:path,
     name_taken: $name_taken:expr, ipam_fails: $ipam_fails:expr, no_address: $no_address:expr,
     late: $late:expr, other_mac: $other_mac:literal) => {
        submit!(Case {
            id: concat!($name, "/add/01"),
            rule: "ADD makes a link of the plugin's kind, named CNI_IFNAME and up, with an address of each family.",
            faults: &[Fault::After("ADD", "ip -n pod link set eth0 down"), Fault::Config("/ipam/ranges/1", ""),
                Fault::After("ADD", "ip -n pod link del eth0; ip -n pod link add eth0 up type bridge; ip -n pod address add 10.88.0.2/24 dev eth0; ip -n pod address add 2001:db8::2/64 dev eth0")],
            run: |bench| {
                $made(bench, json!({ "ipam": dual() }))?;
                let link = eth0(bench)?;
                expect("kind", &json!($name), &link["linkinfo"]["info_kind"])?;
                expect_that(has_flag(&link, "UP"), "eth0 is up", &link["flags"])?;
                expect("addresses", &list(&["10.88.0.2/24", "2001:db8::2/64"]), &addresses(bench, "pod", "eth0")?)
            },
            ..$base
        });

        submit!(Case {
            id: concat!($name, "/add/02"),
            rule: "ADD for a namespace that is not there fails and reserves nothing.",
            needs: &[],
            faults: &[Fault::ExitZero, Fault::After("ADD", "mkdir -p /var/lib/cni/networks/suite; touch /var/lib/cni/networks/suite/10.88.0.2")],
            run: |bench| {
                $prepare(bench)?;
                let config = bench.config();
                bench.call("ADD", &config).env("CNI_NETNS", "/run/netns/gone").reply()?.error()?;
                expect("reservations", &list(&[]), &reserved())
            },
            ..$base
        });

        submit!(Case {
            id: concat!($name, "/result/01"),
            rule: "The result lists the pod's interface alone, with MAC address and sandbox; the addresses point at it.",
            faults: &[Fault::Result("/interfaces/0/mac", "02:00:00:00:00:01"), Fault::Result("/ips/0/interface", "=1"),
                Fault::Result("/interfaces/-", "={\"name\":\"m0\"}")],
            run: |bench| {
                let (_, result) = $made(bench, json!({}))?;
                let mac = eth0(bench)?["address"].clone();
                expect("interfaces", &json!([{ "name": "eth0", "mac": mac, "sandbox": "/run/netns/pod" }]), &result["interfaces"])?;
                expect("interface", &json!(0), &result["ips"][0]["interface"])
            },
            ..$base
        });

        submit!(Case {
            id: concat!($name, "/routes/01"),
            rule: "The routes of IPAM are in the pod, by the gateway of their family.",
            faults: &[Fault::Config("/ipam/routes/1", ""), Fault::Config("/ipam/routes/0", "")],
            run: |bench| {
                let both = json!([{ "dst": "0.0.0.0/0" }, { "dst": "2001:db8:5::/48" }]);
                $made(bench, json!({ "ipam": routed(dual(), both) }))?;
                let expected = ["2001:db8:5::/48 via 2001:db8::1 dev eth0", "default via 10.88.0.1 dev eth0"];
                expect("routes", &list(&expected), &routes(bench, "pod", "main")?)
            },
            ..$base
        });

        submit!(Case {
            id: concat!($name, "/del/01"),
            rule: "DEL removes the interface and the reservations, and succeeds again.",
            faults: &[Fault::Skip("DEL"), Fault::Once("DEL")],
            run: |bench| {
                let (config, _) = $made(bench, json!({ "ipam": dual() }))?;
                for _ in 0..2 {
                    bench.call("DEL", &config).reply()?.succeeds_silently()?;
                }
                expect("links", &list(&[]), &pod_links(bench)?)?;
                expect("reservations", &list(&[]), &reserved())
            },
            ..$base
        });

        submit!(Case {
            id: concat!($name, "/del/02"),
            rule: "DEL frees the reservations when the namespace is gone.",
            needs: &[],
            faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
            run: |bench| {
                $prepare(bench)?;
                reserve(bench)?;
                let config = bench.config();
                frees(bench, &config, "/run/netns/gone")
            },
            ..$base
        });

        submit!(Case {
            id: concat!($name, "/del/03"),
            rule: "DEL frees the reservations when CNI_NETNS is empty.",
            needs: &[],
            faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
            run: |bench| {
                $prepare(bench)?;
                reserve(bench)?;
                let config = bench.config();
                frees(bench, &config, "")
            },
            ..$base
        });

        submit!(Case {
            id: concat!($name, "/del/04"),
            rule: "DEL frees the reservations when the interface is gone.",
            needs: &[],
            faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
            run: |bench| {
                $prepare(bench)?;
                reserve(bench)?;
                let netns = bench.pod("pod")?;
                let config = bench.config();
                frees(bench, &config, &netns)
            },
            ..$base
        });

        submit!(Case {
            id: concat!($name, "/returned/01"),
            rule: "When DEL has returned, the interface is gone, its name is free and the same attachment can be added, again and again.",
            level: Level::Must,
            source: "Section 2, DEL",
            faults: &[Fault::Skip("DEL"), Fault::Once("DEL"), Fault::After("DEL", "ip -n pod link add eth0 type bridge")],
            run: |bench| {
                let (config, _) = $made(bench, json!({ "ipam": dual() }))?;
                at_once(bench, &config)
            },
            ..$base
        });

        submit!(Case {
            id: concat!($name, "/fail/01"),
            rule: "When IPAM fails, ADD leaves no interface.",
            faults: &[Fault::ExitZero, Fault::Config("/ipam/subnet", "10.88.0.0/24")],
            repairs: $ipam_fails,
            run: |bench| {
                $prepare(bench)?;
                refuses_add(bench, json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/31" } }), &["too small"])?;
                expect("links", &list(&[]), &pod_links(bench)?)
            },
            ..$base
        });

        submit!(Case {
            id: concat!($name, "/fail/02"),
            rule: "An interface of the name CNI_IFNAME that is there already is refused and stays; nothing is left beside it.",
            faults: &[Fault::ExitZero, Fault::Before("ADD", "ip -n pod link del eth0")],
            repairs: $name_taken,
            run: |bench| {
                $prepare(bench)?;
                bench.pod("pod")?;
                bench.run("ip", &["-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "name", "eth9"])?;
                refuses_add(bench, json!({}), &[])?;
                expect("links", &list(&["eth9", "eth0"]), &pod_links(bench)?)?;
                expect("reservations", &list(&[]), &reserved())
            },
            ..$base
        });

        submit!(Case {
            id: concat!($name, "/fail/03"),
            rule: "When IPAM gives no address, ADD fails and leaves no interface.",
            faults: &[Fault::ExitZero, Fault::Config("/ipam", "={\"type\":\"static\",\"addresses\":[{\"address\":\"10.88.0.2/24\"}]}")],
            repairs: $no_address,
            run: |bench| {
                $prepare(bench)?;
                let ipam = told(bench, &[], json!(null))?;
                refuses_add(bench, json!({ "ipam": ipam }), &[])?;
                expect("links", &list(&[]), &pod_links(bench)?)
            },
            ..$base
        });

        submit!(Case {
            id: concat!($name, "/fail/04"),
            rule: "When a route cannot be set, ADD leaves no interface and no reservation.",
            faults: &[Fault::ExitZero, Fault::Config("/ipam/routes", "")],
            repairs: $late,
            run: |bench| {
                $prepare(bench)?;
                refuses_add(bench, json!({ "ipam": unreachable_route() }), &[])?;
                expect("links", &list(&[]), &pod_links(bench)?)?;
                expect("reservations", &list(&[]), &reserved())
            },
            ..$base
        });

        submit!(Case {
            id: concat!($name, "/version/01"),
            rule: "VERSION lists every version of the specification from 0.1.0 on.",
            needs: &[],
            faults: &[Fault::Result("/supportedVersions/0", "")],
            run: |bench| lists_versions(bench, SpecVersion::V0_1_0),
            ..$base
        });

        submit!(Case {
            id: concat!($name, "/check/01"),
            rule: "CHECK of a healthy dual-stack pod succeeds and prints nothing; it finds an address gone.",
            versions: CHECKED,
            faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
            run: |bench| {
                let (config, result) = $made(bench, json!({ "ipam": dual() }))?;
                check_finds(bench, &after_add(&config, &result), &["ip", "-n", "pod", "-6", "address", "flush", "dev", "eth0", "scope", "global"])
            },
            ..$base
        });

        spots!($base, $made, concat!($name, "/check/02"), "CHECK finds another MAC address.", {}, $other_mac);
        spots!($base, $made, concat!($name, "/check/03"), "CHECK finds an interface of another kind.", {},
            "mac=$(ip -n pod -o link show eth0 | sed 's/.*ether //; s/ .*//'); ip -n pod link del eth0
             ip -n pod link add eth0 up address $mac type bridge; ip -n pod address add 10.88.0.2/24 dev eth0");
        spots!($base, $made, concat!($name, "/check/04"), "CHECK finds the interface gone.", {},
            "ip -n pod link del eth0");

        submit!(Case {
            id: concat!($name, "/check/05"),
            rule: "CHECK refuses a prevResult of another sandbox.",
            faults: &[Fault::On("CHECK", &Fault::Config("/prevResult/interfaces/0/sandbox", "/run/netns/pod"))],
            run: |bench| {
                let (config, result) = $made(bench, json!({}))?;
                let mut config = after_add(&config, &result);
                config["prevResult"]["interfaces"][0]["sandbox"] = json!("/run/netns/other");
                complains(&bench.call("CHECK", &config).reply()?, &["sandbox"])
            },
            ..$base
        });

        submit!(Case {
            id: concat!($name, "/check/06"),
            rule: "CHECK without prevResult is refused and says that it is missing.",
            needs: &[],
            faults: &[Fault::Skip("CHECK"), Fault::Error("/msg", "it failed")],
            run: |bench| {
                $prepare(bench)?;
                let config = bench.config();
                misses_prev_result(bench, config)
            },
            ..$base
        });
    };
}
pub(in crate::cases) use one_link;

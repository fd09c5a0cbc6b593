//! bridge: the bridge itself, the pair, the port, and what the result says of them.

mod check;
mod del;
mod flooding;
mod flowtables;
mod gateway;
mod mac;
mod standing;
mod vlan;
mod vlan_ports;

use crate::cases::{packets::*, prelude::*, sight::*};

pub(in crate::cases) const BRIDGE: Case = Case {
    judges: Judges::Only(&["bridge"]),
    ..COMPAT
};

/// The port's attributes, as `ip -d` shows them.
fn port(bench: &mut Bench, result: &Value) -> Result<Value, Failure> {
    let name = host_end(result);
    Ok(link(bench, HOST, &name)?["linkinfo"]["info_slave_data"].clone())
}

/// The master of the only veth on the host.
fn master(bench: &mut Bench) -> Result<Value, Failure> {
    let host = host_veths(bench)?.pop().unwrap_or_default();
    Ok(link(bench, HOST, &host)?["master"].clone())
}

submit!(Case {
    id: "bridge/name/01",
    rule: "The bridge has the configured name.",
    faults: &[Fault::Config("/bridge", "")],
    run: |bench| {
        attach(bench, json!({ "bridge": "other0" }))?;
        expect("master", &json!("other0"), &master(bench)?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/name/02",
    rule: "Without a name the bridge is cni0; null is as good as no name.",
    faults: &[
        Fault::Config("/bridge", "suite0"),
        Fault::After("ADD", "ip link set cni0 name cni1")
    ],
    run: |bench| {
        attach(bench, json!({ "bridge": null }))?;
        expect("master", &json!("cni0"), &master(bench)?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/name/03",
    rule: "A link of the bridge's name that is no bridge is refused and stays as it was.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "no"),
        Fault::Before("ADD", "ip link del suite0")
    ],
    run: |bench| {
        bench.run(
            "ip",
            &[
                "link", "add", "suite0", "type", "veth", "peer", "name", "suite1",
            ],
        )?;
        refuses_add(
            bench,
            json!({}),
            &["suite0", "already exists but is not a bridge"],
        )?;
        expect(
            "kind",
            &json!("veth"),
            &link(bench, HOST, "suite0")?["linkinfo"]["info_kind"],
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/name/04",
    rule: "A bridge name longer than the kernel allows is refused.",
    faults: &[Fault::ExitZero, Fault::Config("/bridge", "")],
    run: |bench| {
        bench.pod("pod")?;
        let config = with(bench, json!({ "bridge": "a-name-of-17-char" }));
        bench.call("ADD", &config).reply()?.error()?;
        nothing_left(bench)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/existing/01",
    rule: "A bridge that exists is used, with its MTU and its other ports as they were.",
    faults: &[
        Fault::Before("ADD", "ip link del suite0"),
        Fault::After("ADD", "ip link set port1 nomaster")
    ],
    run: |bench| {
        bench.run(
            "ip",
            &["link", "add", "suite0", "mtu", "1400", "type", "bridge"],
        )?;
        bench.run(
            "ip",
            &[
                "link", "add", "port1", "mtu", "1400", "type", "veth", "peer", "name", "port2",
            ],
        )?;
        bench.run("ip", &["link", "set", "port1", "master", "suite0"])?;
        attach(bench, json!({ "mtu": 1400 }))?;
        expect("MTU", &json!(1400), &link(bench, HOST, "suite0")?["mtu"])?;
        expect(
            "master of the other port",
            &json!("suite0"),
            &link(bench, HOST, "port1")?["master"],
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/existing/02",
    rule: "A bridge that exists and is down is brought up.",
    faults: &[Fault::After("ADD", "ip link set suite0 down")],
    run: |bench| {
        bench.run("ip", &["link", "add", "suite0", "type", "bridge"])?;
        attach(bench, json!({}))?;
        let bridge = link(bench, HOST, "suite0")?;
        expect_that(has_flag(&bridge, "UP"), "the bridge is up", bridge)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/result/01",
    rule: "The result lists bridge, host end and pod interface in this order; the addresses point at the third.",
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    faults: &[
        Fault::Result("/interfaces/0", ""),
        Fault::Result("/ips/0/interface", "=0")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        let names: Vec<_> = [0, 1, 2]
            .iter()
            .map(|&at: &usize| result["interfaces"][at]["name"].clone())
            .collect();
        expect(
            "names",
            &vec![json!("suite0"), json!(host_end(&result)), json!("eth0")],
            &names,
        )?;
        expect(
            "count",
            &Some(3),
            &result["interfaces"].as_array().map(Vec::len),
        )?;
        expect(
            "interface of the address",
            &json!(2),
            &result["ips"][0]["interface"],
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/result/02",
    rule: "The result has the MAC addresses that the kernel shows for all three interfaces.",
    faults: &[
        Fault::Result("/interfaces/0/mac", "02:00:00:00:00:01"),
        Fault::Result("/interfaces/1/mac", "02:00:00:00:00:01"),
        Fault::Result("/interfaces/2/mac", "02:00:00:00:00:01"),
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        let host = host_end(&result);
        for (at, ns, name) in [
            (0, HOST, "suite0"),
            (1, HOST, host.as_str()),
            (2, "pod", "eth0"),
        ] {
            let kernel = link(bench, ns, name)?["address"].clone();
            expect(
                &format!("MAC of {name}"),
                &kernel,
                &result["interfaces"][at]["mac"],
            )?;
        }
        Ok(())
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/result/03",
    rule: "Only the pod's interface has a sandbox, and it is CNI_NETNS as given.",
    faults: &[
        Fault::Result("/interfaces/1/sandbox", "/run/netns/pod"),
        Fault::Result("/interfaces/2/sandbox", "pod")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        for at in [0, 1] {
            expect(
                "sandbox on the host",
                &Value::Null,
                &result["interfaces"][at]["sandbox"],
            )?;
        }
        expect(
            "sandbox",
            &json!("/run/netns/pod"),
            &result["interfaces"][2]["sandbox"],
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/veth/01",
    rule: "The host end is named 'veth' and eight hexadecimal digits.",
    faults: &[
        Fault::After(
            "ADD",
            "v=$(ls /sys/class/net | grep ^veth); ip link set $v name veth1"
        ),
        Fault::Result("/interfaces/1/name", "veth1"),
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        let name = host_end(&result);
        let digits = name.strip_prefix("veth").unwrap_or_default();
        let hexadecimal = digits.len() == 8 && digits.chars().all(|c| c.is_ascii_hexdigit());
        expect_that(hexadecimal, "veth and eight hexadecimal digits", &name)?;
        expect("veths on the host", &vec![name], &host_veths(bench)?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/veth/02",
    rule: "The host end is an up port of the bridge.",
    faults: &[
        Fault::After(
            "ADD",
            "v=$(ls /sys/class/net | grep ^veth); ip link set $v nomaster"
        ),
        Fault::After(
            "ADD",
            "v=$(ls /sys/class/net | grep ^veth); ip link set $v down"
        ),
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        let host = link(bench, HOST, &host_end(&result))?;
        expect("master", &json!("suite0"), &host["master"])?;
        expect("state", &json!("UP"), &host["operstate"])
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/veth/03",
    rule: "The pod's interface is a veth that is up and has no master.",
    faults: &[Fault::After("ADD", "ip -n pod link set eth0 down")],
    run: |bench| {
        attach(bench, json!({}))?;
        let inside = link(bench, "pod", "eth0")?;
        expect("kind", &json!("veth"), &inside["linkinfo"]["info_kind"])?;
        expect("state", &json!("UP"), &inside["operstate"])
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/veth/04",
    rule: "Neither the bridge nor the host end takes routes from router advertisements.",
    faults: &[
        Fault::After("ADD", "echo 1 > /proc/sys/net/ipv6/conf/suite0/accept_ra"),
        Fault::After(
            "ADD",
            "v=$(ls /sys/class/net | grep ^veth); echo 1 > /proc/sys/net/ipv6/conf/$v/accept_ra"
        ),
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        for name in ["suite0".to_owned(), host_end(&result)] {
            let seen = sysctl(bench, HOST, &format!("net/ipv6/conf/{name}/accept_ra"))?;
            expect(&format!("accept_ra of {name}"), &"0".to_owned(), &seen)?;
        }
        Ok(())
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/veth/05",
    rule: "An interface of the name CNI_IFNAME that is there already is refused and stays; nothing is left beside it.",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "ip -n pod link del eth0"),
        Fault::After("ADD", "ip link add veth12345678 type veth")
    ],
    run: |bench| {
        bench.pod("pod")?;
        bench.run(
            "ip",
            &[
                "-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "name", "eth9",
            ],
        )?;
        refuses_add(bench, json!({}), &["eth0", "already exists"])?;
        expect(
            "links in the pod",
            &list(&["lo", "eth9", "eth0"]),
            &links(bench, "pod")?,
        )?;
        expect("veths on the host", &list(&[]), &host_veths(bench)?)?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/veth/06",
    rule: "A second ADD of the same interface is refused and the first attachment keeps working.",
    needs: &["ping"],
    faults: &[
        Fault::ExitZero,
        Fault::After(
            "ADD",
            "test -e /run/once && ip -n pod link del eth0; touch /run/once"
        )
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench.call("ADD", &config).reply()?.error()?;
        expect("reservations", &list(&["10.88.0.2"]), &reserved())?;
        answers(bench, "pod", "10.88.0.1")
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/mtu/01",
    rule: "mtu is set on both ends of the pair.",
    faults: &[
        Fault::Config("/mtu", ""),
        Fault::After("ADD", "ip -n pod link set eth0 mtu 1500"),
        Fault::After(
            "ADD",
            "v=$(ls /sys/class/net | grep ^veth); ip link set $v mtu 1500"
        ),
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "mtu": 1400 }))?;
        expect(
            "MTU in the pod",
            &json!(1400),
            &link(bench, "pod", "eth0")?["mtu"],
        )?;
        expect(
            "MTU on the host",
            &json!(1400),
            &link(bench, HOST, &host_end(&result))?["mtu"],
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/mtu/02",
    rule: "mtu is set on the bridge when that is made.",
    faults: &[
        Fault::Config("/mtu", ""),
        Fault::After("ADD", "ip link set suite0 mtu 1500")
    ],
    run: |bench| {
        attach(bench, json!({ "mtu": 1400 }))?;
        expect("MTU", &json!(1400), &link(bench, HOST, "suite0")?["mtu"])
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/mtu/03",
    rule: "Without mtu the kernel's default stays.",
    faults: &[Fault::Config("/mtu", "=1400")],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        let host = host_end(&result);
        for (ns, name) in [("pod", "eth0"), (HOST, &host), (HOST, "suite0")] {
            expect(
                &format!("MTU of {name}"),
                &json!(1500),
                &link(bench, ns, name)?["mtu"],
            )?;
        }
        Ok(())
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/mtu/04",
    rule: "An MTU above 1500 is possible.",
    faults: &[Fault::Config("/mtu", ""), Fault::Config("/mtu", "=1500")],
    run: |bench| {
        attach(bench, json!({ "mtu": 9000 }))?;
        expect(
            "MTU in the pod",
            &json!(9000),
            &link(bench, "pod", "eth0")?["mtu"],
        )?;
        expect(
            "MTU of the bridge",
            &json!(9000),
            &link(bench, HOST, "suite0")?["mtu"],
        )
    },
    ..BRIDGE
});

refused!(BRIDGE, "bridge/mtu/05", "An mtu that is a text is refused.", { "mtu": "1400" }, ["json"]);

submit!(Case {
    id: "bridge/mtu/06",
    rule: "A packet as large as the MTU passes between pods and one larger does not pass unfragmented.",
    needs: &["ping"],
    faults: &[Fault::Config("/mtu", "=1300"), Fault::Config("/mtu", "")],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "mtu": 1400 }))?;
        attach_other(bench, "other", &config)?;
        let send = |bench: &mut Bench, size: &str| {
            inside(
                bench,
                "pod",
                &[
                    "ping",
                    "-n",
                    "-c1",
                    "-W1",
                    "-M",
                    "do",
                    "-s",
                    size,
                    "10.88.0.3",
                ],
            )
            .is_ok()
        };
        expect("1400 bytes pass", &true, &send(bench, "1372"))?;
        expect("1401 bytes pass", &false, &send(bench, "1373"))
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/hairpin/01",
    rule: "hairpinMode switches hairpin on at the port.",
    faults: &[Fault::Config("/hairpinMode", "")],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "hairpinMode": true }))?;
        expect("hairpin", &json!(true), &port(bench, &result)?["hairpin"])
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/hairpin/02",
    rule: "Without hairpinMode hairpin is off at the port.",
    faults: &[Fault::Config("/hairpinMode", "=true")],
    run: |bench| {
        let (_, result) = attach(bench, json!({}))?;
        expect("hairpin", &json!(false), &port(bench, &result)?["hairpin"])
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/hairpin/03",
    rule: "With hairpinMode a frame that the pod broadcasts comes back to it, without it does not.",
    needs: &["nft", "busybox"],
    faults: &[
        Fault::Config("/hairpinMode", ""),
        Fault::Config("/hairpinMode", "=true")
    ],
    run: |bench| {
        for (pod, hairpin) in [("one", true), ("two", false)] {
            let config = with(
                bench,
                json!({ "bridge": format!("br-{pod}"), "hairpinMode": hairpin,
                "isGateway": false }),
            );
            attach_other(bench, pod, &config)?;
            let rules = "table arp t { chain in { type filter hook input priority 0; arp operation request counter; }; }";
            inside(bench, pod, &["nft", rules])?;
            // Nobody has this address, so arping itself fails; only its request matters.
            let ask = [
                "busybox",
                "arping",
                "-q",
                "-c1",
                "-w1",
                "-I",
                "eth0",
                "10.88.0.200",
            ];
            let _ = inside(bench, pod, &ask);
            let counted = inside(bench, pod, &["nft", "list", "table", "arp", "t"])?;
            let came_back = !counted.contains("counter packets 0 ");
            expect(
                &format!("with hairpinMode {hairpin} it comes back"),
                &hairpin,
                &came_back,
            )?;
        }
        Ok(())
    },
    ..BRIDGE
});

refused!(BRIDGE, "bridge/hairpin/04", "hairpinMode and promiscMode together are refused.",
    { "hairpinMode": true, "promiscMode": true }, ["hairpin", "promiscuous", "same time"]);

submit!(Case {
    id: "bridge/promisc/01",
    rule: "promiscMode makes the bridge promiscuous.",
    faults: &[
        Fault::Config("/promiscMode", ""),
        Fault::After("ADD", "ip link set suite0 promisc off")
    ],
    run: |bench| {
        attach(bench, json!({ "promiscMode": true }))?;
        let bridge = link(bench, HOST, "suite0")?;
        expect_that(has_flag(&bridge, "PROMISC"), "PROMISC", &bridge["flags"])
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/promisc/02",
    rule: "A bridge that was promiscuous before stays so.",
    faults: &[Fault::After("ADD", "ip link set suite0 promisc off")],
    run: |bench| {
        bench.run("ip", &["link", "add", "suite0", "type", "bridge"])?;
        bench.run("ip", &["link", "set", "suite0", "promisc", "on"])?;
        attach(bench, json!({}))?;
        let bridge = link(bench, HOST, "suite0")?;
        expect_that(has_flag(&bridge, "PROMISC"), "PROMISC", &bridge["flags"])
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/isolation/01",
    rule: "portIsolation isolates the port.",
    faults: &[Fault::Config("/portIsolation", "")],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "portIsolation": true }))?;
        expect("isolated", &json!(true), &port(bench, &result)?["isolated"])
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/isolation/02",
    rule: "Isolated pods reach the gateway but not each other.",
    needs: &["ping"],
    faults: &[
        Fault::Config("/portIsolation", ""),
        Fault::After("ADD", "ip link set suite0 down")
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "portIsolation": true, "ipam": dual() }))?;
        attach_other(bench, "other", &config)?;
        for gateway in ["10.88.0.1", "2001:db8::1"] {
            answers(bench, "pod", gateway)?;
        }
        for other in ["10.88.0.3", "2001:db8::3"] {
            is_silent(bench, "pod", other)?;
        }
        Ok(())
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/isolation/03",
    rule: "Without portIsolation pods of one bridge reach each other, IPv4 and IPv6.",
    needs: &["ping"],
    faults: &[
        Fault::After("ADD", "ip link set suite0 down"),
        Fault::After(
            "ADD",
            "for v in $(ls /sys/class/net | grep ^veth); do bridge link set dev $v isolated on; done"
        ),
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": dual() }))?;
        attach_other(bench, "other", &config)?;
        for other in ["10.88.0.3", "2001:db8::3"] {
            answers(bench, "pod", other)?;
        }
        Ok(())
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/layer2/01",
    rule: "Without IPAM the pod's interface is up, a port of the bridge, and has no address.",
    faults: &[
        Fault::After("ADD", "ip -n pod link set eth0 down"),
        Fault::After("ADD", "ip -n pod address add 10.1.1.1/24 dev eth0")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "ipam": null, "isGateway": null }))?;
        let inside = link(bench, "pod", "eth0")?;
        expect_that(has_flag(&inside, "UP"), "eth0 is up", &inside["flags"])?;
        expect(
            "master",
            &json!("suite0"),
            &link(bench, HOST, &host_end(&result))?["master"],
        )?;
        expect("addresses", &list(&[]), &addresses(bench, "pod", "eth0")?)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/layer2/02",
    rule: "Without IPAM the result lists the interfaces and no addresses.",
    faults: &[
        Fault::Result("/interfaces/2", ""),
        Fault::Result("/ips", "=[{\"address\":\"10.88.0.2/24\"}]")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "ipam": null, "isGateway": null }))?;
        expect("name", &json!("eth0"), &result["interfaces"][2]["name"])?;
        expect_that(
            result["ips"].as_array().is_none_or(Vec::is_empty),
            "no ips",
            &result,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/layer2/03",
    rule: "Two pods without IPAM exchange frames once they have addresses.",
    needs: &["ping"],
    faults: &[Fault::After(
        "ADD",
        "for v in $(ls /sys/class/net | grep ^veth); do ip link set $v nomaster; done"
    )],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "ipam": null, "isGateway": null }))?;
        attach_other(bench, "other", &config)?;
        for (pod, address) in [("pod", "10.1.1.1/24"), ("other", "10.1.1.2/24")] {
            bench.run("ip", &["-n", pod, "address", "add", address, "dev", "eth0"])?;
        }
        answers(bench, "pod", "10.1.1.2")
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/disable-container-interface/01",
    rule: "disableContainerInterface leaves the pod's interface down.",
    faults: &[Fault::Config("/disableContainerInterface", "")],
    run: |bench| {
        attach(
            bench,
            json!({ "ipam": null, "isGateway": null, "disableContainerInterface": true }),
        )?;
        let inside = link(bench, "pod", "eth0")?;
        expect_that(!has_flag(&inside, "UP"), "eth0 is down", &inside["flags"])
    },
    ..BRIDGE
});

refused!(BRIDGE, "bridge/disable-container-interface/02", "disableContainerInterface with IPAM is refused.",
    { "disableContainerInterface": true }, ["IPAM", "DisableContainerInterface"]);

submit!(Case {
    id: "bridge/dns/01",
    rule: "dns of the configuration is in the result and wins over that of IPAM.",
    faults: &[Fault::Config("/dns", ""), Fault::Result("/dns/options", "")],
    run: |bench| {
        bench.run("sh", &["-c", "echo nameserver 192.0.2.53 > /run/resolv"])?;
        let dns = json!({ "nameservers": ["192.0.2.1"], "domain": "a.test", "search": ["b.test"], "options": ["ndots:2"] });
        let ipam =
            json!({ "type": "host-local", "subnet": "10.88.0.0/24", "resolvConf": "/run/resolv" });
        let (_, result) = attach(bench, json!({ "dns": dns, "ipam": ipam }))?;
        expect("dns", &dns, &result["dns"])
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/dns/02",
    rule: "Without dns in the configuration that of IPAM is in the result.",
    faults: &[
        Fault::Config("/ipam/resolvConf", ""),
        Fault::Config("/dns", "={\"domain\":\"x\"}")
    ],
    run: |bench| {
        bench.run("sh", &["-c", "echo nameserver 192.0.2.53 > /run/resolv"])?;
        let ipam =
            json!({ "type": "host-local", "subnet": "10.88.0.0/24", "resolvConf": "/run/resolv" });
        let (_, result) = attach(bench, json!({ "ipam": ipam }))?;
        expect(
            "dns",
            &json!({ "nameservers": ["192.0.2.53"] }),
            &result["dns"],
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/config/01",
    rule: "Keys are recognised in any letter case.",
    faults: &[Fault::Config("/BRIDGE", ""), Fault::Config("/MTU", "")],
    run: |bench| {
        attach(
            bench,
            json!({ "bridge": null, "BRIDGE": "other0", "MTU": 1400 }),
        )?;
        expect("master", &json!("other0"), &master(bench)?)?;
        expect("MTU", &json!(1400), &link(bench, "pod", "eth0")?["mtu"])
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/config/02",
    rule: "Keys that are not known are passed over at every level.",
    faults: &[
        Fault::Where("/colour", &Fault::ExitOne),
        Fault::Where("/ipam/colour", &Fault::ExitOne),
        Fault::Where("/capabilities/mac", &Fault::ExitOne)
    ],
    run: |bench| {
        let ipam =
            json!({ "type": "host-local", "subnet": "10.88.0.0/24", "colour": { "a": [1] } });
        attach(
            bench,
            json!({ "ipam": ipam, "colour": 5, "capabilities": { "mac": true } }),
        )
        .map(drop)
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/many/01",
    rule: "Eight ADDs at once make one bridge with eight ports and eight addresses.",
    faults: &[
        Fault::After("ADD", "rm -f /var/lib/cni/networks/suite/10.*"),
        Fault::Config("/bridge", "")
    ],
    run: |bench| {
        let config = bench.config();
        let mut running = Vec::new();
        for number in 0..8 {
            bench.pod(&format!("p{number}"))?;
        }
        for number in 0..8 {
            let pod = format!("p{number}");
            let call = bench.call("ADD", &config).env("CNI_CONTAINERID", &pod);
            running.push(
                call.env("CNI_NETNS", &format!("/run/netns/{pod}"))
                    .start()?,
            );
        }
        for call in running {
            call.reply()?.succeeds()?;
        }
        let ports = ip(bench, HOST, &["link", "show", "master", "suite0"])?;
        expect("ports", &Some(8), &ports.as_array().map(Vec::len))?;
        let all: Vec<_> = (2..10).map(|last| format!("10.88.0.{last}")).collect();
        expect("reservations", &all, &reserved())?;
        expect(
            "bridge's addresses",
            &list(&["10.88.0.1/24"]),
            &addresses(bench, HOST, "suite0")?,
        )
    },
    ..BRIDGE
});

submit!(Case {
    id: "bridge/many/02",
    rule: "Two interfaces of one container on one bridge have addresses of their own; DEL of one leaves the other.",
    faults: &[
        Fault::After("DEL", "ip -n pod link del eth0"),
        Fault::Env("CNI_IFNAME", "eth0")
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench
            .call("ADD", &config)
            .env("CNI_IFNAME", "net1")
            .reply()?
            .succeeds()?;
        expect(
            "net1",
            &list(&["10.88.0.3/24"]),
            &addresses(bench, "pod", "net1")?,
        )?;
        bench
            .call("DEL", &config)
            .env("CNI_IFNAME", "net1")
            .reply()?
            .succeeds_silently()?;
        expect("links", &list(&["lo", "eth0"]), &links(bench, "pod")?)?;
        expect(
            "eth0",
            &list(&["10.88.0.2/24"]),
            &addresses(bench, "pod", "eth0")?,
        )?;
        expect("reservations", &list(&["10.88.0.2"]), &reserved())
    },
    ..BRIDGE
});

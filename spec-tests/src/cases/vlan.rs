//! vlan: an 802.1Q interface of the pod's own on a link of the host's.

use crate::cases::{alike::*, announce::*, links::*, packets::*, prelude::*, sight::*};

const VLAN: Case = Case {
    judges: Judges::Only(&["vlan"]),
    needs: &["link:vlan"],
    ..COMPAT
};

/// Bad configurations are refused whatever the kernel can do.
const REFUSED: Case = Case { needs: &[], ..VLAN };

one_link!("vlan", VLAN, made: on_master, prepare: master,
    name_taken: WITHOUT_UNNAMED, ipam_fails: WITHOUT_LINK, no_address: WITHOUT_LINK, late: WITHOUT_LINK,
    other_mac: "ip -n pod link set eth0 address 02:00:00:00:00:66");

submit!(Case {
    id: "vlan/announce/01",
    rule: "The interface announces its addresses when it comes up: arp_notify and ndisc_notify are 1.",
    faults: UNANNOUNCED,
    repairs: &[ARP_NOTIFY, NDISC_NOTIFY],
    run: |bench| {
        on_master(bench, json!({ "ipam": dual() }))?;
        announces(bench)
    },
    ..VLAN
});

refused_on_master!(REFUSED, "vlan/master/01", "A configuration without master is refused.",
    { "master": null }, ["master", "required"]);

refused_on_master!(REFUSED, "vlan/master/02", "A master that does not exist is refused.",
    { "master": "nope0" }, ["not found"]);

refused_on_master!(REFUSED, "vlan/id/01", "A vlanId above 4094 is refused and named.",
    { "vlanId": 4095 }, ["VLAN ID", "4095"]);

refused_on_master!(REFUSED, "vlan/id/02", "A negative vlanId is refused and named.",
    { "vlanId": -1 }, ["VLAN ID", "-1"]);

refused_on_master!(REFUSED, "vlan/mtu/01", "An mtu above the master's is refused; both are named.",
    { "mtu": 1600 }, ["invalid MTU 1600", "1500"]);

refused_on_master!(REFUSED, "vlan/mtu/02", "A negative mtu is refused and named.",
    { "mtu": -1 }, ["invalid MTU -1"]);

submit!(Case {
    id: "vlan/master/03",
    rule: "The interface is on the master.",
    faults: &[Fault::Config("/master", "m1")],
    run: |bench| {
        on_master(bench, json!({}))?;
        let index = link(bench, HOST, "m0")?["ifindex"].clone();
        expect("link of the master", &index, &eth0(bench)?["link_index"])
    },
    ..VLAN
});

submit!(Case {
    id: "vlan/id/03",
    rule: "vlanId is the VLAN, 0 and 4094 are allowed; without it 0 counts.",
    faults: &[
        Fault::Config("/vlanId", "=7"),
        Fault::Where("/vlanId", &Fault::Config("/vlanId", ""))
    ],
    run: |bench| {
        master(bench)?;
        for (pod, configured, expected) in [
            ("one", json!(5), 5),
            ("two", json!(4094), 4094),
            ("three", json!(0), 0),
        ] {
            let config = with(bench, json!({ "vlanId": configured }));
            attach_other(bench, pod, &config)?;
            expect(
                "VLAN",
                &json!(expected),
                &data(&link(bench, pod, "eth0")?)["id"],
            )?;
            detach_other(bench, pod, &config)?;
        }
        let config = with(bench, json!({ "vlanId": null }));
        attach_other(bench, "four", &config)?;
        let link = link(bench, "four", "eth0")?;
        expect("protocol", &json!("802.1Q"), &data(&link)["protocol"])?;
        expect("VLAN", &json!(0), &data(&link)["id"])
    },
    ..VLAN
});

submit!(Case {
    id: "vlan/mtu/03",
    rule: "mtu sets the MTU; without it the master's counts.",
    faults: &[Fault::Config("/mtu", ""), Fault::Config("/mtu", "=1300")],
    run: |bench| {
        let (config, _) = on_master(bench, json!({ "mtu": 1400 }))?;
        expect("MTU", &json!(1400), &eth0(bench)?["mtu"])?;
        bench.run("ip", &["link", "set", "m0", "mtu", "1450"])?;
        let mut none = config.clone();
        none["mtu"] = json!(0);
        none["vlanId"] = json!(6);
        attach_other(bench, "other", &none)?;
        expect("MTU", &json!(1450), &link(bench, "other", "eth0")?["mtu"])
    },
    ..VLAN
});

keeps_dns!(VLAN, on_master, "vlan/dns/01");

submit!(Case {
    id: "vlan/ipam/01",
    rule: "A configuration without IPAM is refused and leaves no interface.",
    faults: &[
        Fault::ExitZero,
        Fault::Config(
            "/ipam",
            "={\"type\":\"static\",\"addresses\":[{\"address\":\"10.88.0.2/24\"}]}"
        )
    ],
    repairs: WITHOUT_LINK,
    run: |bench| {
        refuses_on_master(bench, json!({ "ipam": null }), &["IPAM"])?;
        expect("links", &list(&[]), &pod_links(bench)?)
    },
    ..VLAN
});

submit!(Case {
    id: "vlan/link-in-container/01",
    rule: "With linkInContainer the master is a link of the pod's.",
    faults: &[
        Fault::Config("/linkInContainer", ""),
        Fault::Config("/master", "m0")
    ],
    repairs: &[Fault::Where(
        "/linkInContainer",
        &Fault::Instead("ADD", r#"exec nsenter --net="$CNI_NETNS" "$REAL""#)
    )],
    run: |bench| {
        let config = in_pod(bench)?;
        bench.add(&config)?;
        let link = eth0(bench)?;
        expect("master", &json!("p0"), &link["link"])?;
        expect("VLAN", &json!(5), &data(&link)["id"])
    },
    ..VLAN
});

submit!(Case {
    id: "vlan/link-in-container/02",
    rule: "With linkInContainer DEL frees the reservations although the namespace, and the master with it, is gone.",
    needs: &[],
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[IPAM_WITHOUT_MASTER],
    run: |bench| {
        reserve(bench)?;
        let config = with(bench, json!({ "master": "p0", "linkInContainer": true }));
        frees(bench, &config, "/run/netns/gone")
    },
    ..VLAN
});

submit!(Case {
    id: "vlan/packets/01",
    rule: "The pod reaches a machine of its VLAN behind the master, and none of another VLAN.",
    needs: &["link:vlan", "ping"],
    faults: &[
        Fault::Config("/vlanId", "=6"),
        Fault::Config("/ipam/ranges/1", "")
    ],
    run: |bench| {
        on_master(bench, json!({ "ipam": dual() }))?;
        far(bench)?;
        for (name, id, four, six) in [
            ("five", "5", "10.88.0.1/24", "2001:db8::1/64"),
            ("six", "6", "10.88.0.7/24", "2001:db8::7/64"),
        ] {
            let lines = [
                format!("link add link m1 name {name} type vlan id {id}"),
                format!("link set {name} up"),
                format!("address add {four} dev {name}"),
                format!("address add {six} dev {name} nodad"),
            ];
            for line in lines {
                let words: Vec<_> = ["-n", "far"].into_iter().chain(line.split(' ')).collect();
                bench.run("ip", &words)?;
            }
        }
        // Linux answers for all its addresses on any link unless told otherwise.
        inside(
            bench,
            "far",
            &[
                "sh",
                "-c",
                "echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore",
            ],
        )?;
        answers(bench, "pod", "10.88.0.1")?;
        answers(bench, "pod", "2001:db8::1")?;
        is_silent(bench, "pod", "10.88.0.7")?;
        is_silent(bench, "pod", "2001:db8::7")
    },
    ..VLAN
});

/// DEL without the master leaves the link to the kernel and asks IPAM.
const IPAM_WITHOUT_MASTER: Fault = Fault::Instead(
    "DEL",
    r#"ip link show m0 >/dev/null 2>&1 && exec "$REAL"; exec "${REAL%/*}/host-local""#,
);

submit!(Case {
    id: "vlan/del/05",
    rule: "DEL frees the reservations when the master is gone.",
    needs: &[],
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[IPAM_WITHOUT_MASTER],
    run: |bench| {
        reserve(bench)?;
        let netns = bench.pod("pod")?;
        let config = bench.config();
        frees(bench, &config, &netns)
    },
    ..VLAN
});

submit!(Case {
    id: "vlan/del/06",
    rule: "DEL frees the reservations when the master's MTU has become smaller than mtu.",
    needs: &[],
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[Fault::On("DEL", &Fault::Config("/mtu", ""))],
    run: |bench| {
        master(bench)?;
        reserve(bench)?;
        let netns = bench.pod("pod")?;
        bench.run("ip", &["link", "set", "m0", "mtu", "1300"])?;
        let config = with(bench, json!({ "mtu": 1400 }));
        frees(bench, &config, &netns)
    },
    ..VLAN
});

spots!(VLAN, on_master, "vlan/check/07", "CHECK finds another VLAN.", {},
    "ip -n pod link del eth0; ip link add link m0 name other0 type vlan id 6; ip link set other0 netns pod name eth0
     ip -n pod link set eth0 up; ip -n pod address add 10.88.0.2/24 dev eth0");
spots!(VLAN, on_master, "vlan/check/08", "CHECK finds another MTU than the configured one.", { "mtu": 1400 },
    "ip -n pod link set eth0 mtu 1300");
spots!(VLAN, on_master, "vlan/check/09", "CHECK finds a route gone.",
    { "ipam": { "type": "host-local", "subnet": "10.88.0.0/24", "routes": [{ "dst": "192.168.5.0/24", "gw": "10.88.0.9" }] } },
    "ip -n pod route del 192.168.5.0/24");

//! bridge: VLANs as its ports have them, the gateway of a VLAN, and packets in VLANs.

use crate::cases::{bridge::BRIDGE, packets::*, prelude::*, sight::*};

const VLANS: Case = Case {
    needs: &["bridge", "link:bridge-vlan"],
    ..BRIDGE
};

const PACKETS: Case = Case {
    needs: &["bridge", "link:bridge-vlan", "ping"],
    ..VLANS
};

/// Every port leaves VLAN 1, in which the kernel puts it.
const WITHOUT_1: Fault = Fault::After(
    "ADD",
    "for port in $(ls /sys/class/net/suite0/brif); do bridge vlan del vid 1 dev $port; done",
);

/// Every port leaves VLAN 5.
const WITHOUT_5: Fault = Fault::After(
    "ADD",
    "for port in $(ls /sys/class/net/suite0/brif); do bridge vlan del vid 5 dev $port; done",
);

/// Filters, and every port is in the trunk's VLANs.
const TRUNK: Fault = Fault::After(
    "ADD",
    "ip link set suite0 type bridge vlan_filtering 1
     for port in $(ls /sys/class/net/suite0/brif); do
         for vid in 10 20-22; do bridge vlan add vid $vid dev $port; done
     done",
);

/// The VLANs of a port, in order: `5 PVID untagged`, `10` (tagged), `20-22`.
fn vlans(bench: &mut Bench, port: &str) -> Result<Vec<String>, Failure> {
    let seen = bench.look("bridge", &["-j", "vlan", "show", "dev", port])?;
    let of = |vlan: &Value| {
        let mut text = vlan["vlan"].to_string();
        if let Some(end) = vlan["vlanEnd"].as_u64() {
            text.push_str(&format!("-{end}"));
        }
        let flags = vlan["flags"].as_array();
        for (flag, word) in [("PVID", " PVID"), ("Egress Untagged", " untagged")] {
            if flags.is_some_and(|flags| flags.contains(&json!(flag))) {
                text.push_str(word);
            }
        }
        text
    };
    let all = seen[0]["vlans"].as_array();
    Ok(all.into_iter().flatten().map(of).collect())
}

/// Pod `pod` added with a changed configuration, and the VLANs of its port.
fn port_vlans(bench: &mut Bench, changes: Value) -> Result<Vec<String>, Failure> {
    let (_, result) = attach(bench, changes)?;
    vlans(bench, &host_end(&result))
}

fn filtering(bench: &mut Bench) -> Result<Value, Failure> {
    Ok(link(bench, HOST, "suite0")?["linkinfo"]["info_data"]["vlan_filtering"].clone())
}

submit!(Case {
    id: "bridge/vlan/03",
    rule: "With vlan the bridge filters VLANs; without it does not.",
    faults: &[Fault::Config("/vlan", ""), Fault::Config("/vlan", "=5")],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "vlan": 0 }))?;
        expect("vlan_filtering", &json!(0), &filtering(bench)?)?;
        bench.call("DEL", &config).reply()?.succeeds()?;
        bench.run("ip", &["link", "del", "suite0"])?;
        let config = with(bench, json!({ "vlan": 5 }));
        attach_other(bench, "other", &config)?;
        expect("vlan_filtering", &json!(1), &filtering(bench)?)
    },
    ..VLANS
});

submit!(Case {
    id: "bridge/vlan/04",
    rule: "With vlan the pod's port is in that VLAN alone, untagged, and what it sends untagged belongs there.",
    faults: &[
        Fault::Config("/vlan", "=6"),
        Fault::After(
            "ADD",
            "for port in $(ls /sys/class/net/suite0/brif); do bridge vlan add vid 7 dev $port; done"
        )
    ],
    repairs: &[WITHOUT_1],
    run: |bench| {
        let seen = port_vlans(bench, json!({ "vlan": 5 }))?;
        expect("VLANs of the port", &list(&["5 PVID untagged"]), &seen)
    },
    ..VLANS
});

submit!(Case {
    id: "bridge/preserve-default-vlan/01",
    rule: "With preserveDefaultVlan the port stays in VLAN 1 beside that of vlan.",
    faults: &[WITHOUT_1, Fault::Config("/vlan", "")],
    run: |bench| {
        let seen = port_vlans(bench, json!({ "vlan": 5, "preserveDefaultVlan": true }))?;
        expect(
            "VLANs of the port",
            &list(&["1 untagged", "5 PVID untagged"]),
            &seen,
        )
    },
    ..VLANS
});

submit!(Case {
    id: "bridge/vlan/05",
    rule: "Pods of one VLAN reach each other, pods of different VLANs do not.",
    faults: &[Fault::Config("/vlan", ""), WITHOUT_5],
    run: |bench| {
        let (config, _) = attach(
            bench,
            json!({ "vlan": 5, "isGateway": false, "ipam": dual() }),
        )?;
        attach_other(bench, "same", &config)?;
        let mut six = config.clone();
        six["vlan"] = json!(6);
        attach_other(bench, "apart", &six)?;
        for (same, apart) in [("10.88.0.3", "10.88.0.4"), ("2001:db8::3", "2001:db8::4")] {
            answers(bench, "pod", same)?;
            is_silent(bench, "pod", apart)?;
        }
        Ok(())
    },
    ..PACKETS
});

submit!(Case {
    id: "bridge/vlan/06",
    rule: "With vlan and isGateway the gateway addresses are on the interface BRIDGE.VLAN of the host, not on the bridge.",
    faults: &[
        Fault::Config("/vlan", "=6"),
        Fault::Config("/isGateway", ""),
        Fault::After("ADD", "ip address add 10.88.0.1/24 dev suite0")
    ],
    run: |bench| {
        attach(bench, json!({ "vlan": 5, "ipam": dual() }))?;
        let mut gateway = addresses(bench, HOST, "suite0.5")?;
        gateway.sort();
        expect(
            "addresses of suite0.5",
            &list(&["10.88.0.1/24", "2001:db8::1/64"]),
            &gateway,
        )?;
        expect(
            "addresses of the bridge",
            &list(&[]),
            &addresses(bench, HOST, "suite0")?,
        )
    },
    ..VLANS
});

submit!(Case {
    id: "bridge/vlan/07",
    rule: "With vlan and isGateway the result lists the interface BRIDGE.VLAN behind the pod's, with its MAC address.",
    faults: &[
        Fault::Result("/interfaces/3", ""),
        Fault::Result("/interfaces/3/mac", "02:00:00:00:00:01"),
        Fault::Result("/ips/0/interface", "=3")
    ],
    run: |bench| {
        let (_, result) = attach(bench, json!({ "vlan": 5 }))?;
        let mac = link(bench, HOST, "suite0.5")?["address"].clone();
        expect(
            "fourth interface",
            &json!("suite0.5"),
            &result["interfaces"][3]["name"],
        )?;
        expect("its MAC", &mac, &result["interfaces"][3]["mac"])?;
        expect(
            "interface of the address",
            &json!(2),
            &result["ips"][0]["interface"],
        )
    },
    ..VLANS
});

submit!(Case {
    id: "bridge/vlan/08",
    rule: "Networks of two VLANs share one bridge; each pod reaches its own gateway, not the other pod, which has the same address range.",
    faults: &[Fault::Config("/vlan", "=6"), WITHOUT_5],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "vlan": 5 }))?;
        let mut six = config.clone();
        six["vlan"] = json!(6);
        six["ipam"] = host_local(&["10.89.0.0/24"]);
        attach_other(bench, "other", &six)?;
        answers(bench, "pod", "10.88.0.1")?;
        answers(bench, "other", "10.89.0.1")?;
        // Both on one subnet now: only the VLANs keep them apart.
        bench.run(
            "ip",
            &[
                "-n",
                "other",
                "address",
                "add",
                "10.88.0.7/24",
                "dev",
                "eth0",
            ],
        )?;
        is_silent(bench, "pod", "10.88.0.7")
    },
    ..PACKETS
});

submit!(Case {
    id: "bridge/vlan/09",
    rule: "Further pods of a VLAN use the BRIDGE.VLAN that is there.",
    faults: &[Fault::After("ADD", "ip link add type veth")],
    run: |bench| {
        let (config, _) = attach(bench, json!({ "vlan": 5 }))?;
        let before = links(bench, HOST)?.len();
        attach_other(bench, "other", &config)?;
        expect(
            "further links of the host",
            &1,
            &(links(bench, HOST)?.len() - before),
        )?;
        answers(bench, "other", "10.88.0.1")
    },
    ..PACKETS
});

submit!(Case {
    id: "bridge/vlan-trunk/07",
    rule: "With vlanTrunk the port is in the trunk's VLANs, tagged, and untagged in VLAN 1.",
    faults: &[
        Fault::After(
            "ADD",
            "for port in $(ls /sys/class/net/suite0/brif); do bridge vlan del vid 21 dev $port; done"
        ),
        WITHOUT_1
    ],
    repairs: &[TRUNK],
    run: |bench| {
        let seen = port_vlans(
            bench,
            json!({ "vlanTrunk": [{ "minID": 20, "maxID": 22 }, { "id": 10 }] }),
        )?;
        expect(
            "VLANs of the port",
            &list(&["1 PVID untagged", "10", "20-22"]),
            &expanded(&seen),
        )?;
        expect("vlan_filtering", &json!(1), &filtering(bench)?)
    },
    ..VLANS
});

/// Runs of VLANs, however the bridge program groups them.
fn expanded(vlans: &[String]) -> Vec<String> {
    let one_by_one = ["20", "21", "22"].map(str::to_owned);
    match vlans.strip_suffix(&one_by_one) {
        Some(head) => [head, &["20-22".to_owned()]].concat(),
        None => vlans.to_vec(),
    }
}

submit!(Case {
    id: "bridge/vlan-trunk/08",
    rule: "With vlan and vlanTrunk untagged frames belong to vlan and VLAN 1 is left.",
    faults: &[
        Fault::Config("/vlan", "=7"),
        Fault::After(
            "ADD",
            "for port in $(ls /sys/class/net/suite0/brif); do bridge vlan del vid 10 dev $port; done"
        )
    ],
    repairs: &[TRUNK, WITHOUT_1],
    run: |bench| {
        let seen = port_vlans(
            bench,
            json!({ "vlan": 5, "vlanTrunk": [{ "minID": 20, "maxID": 22 }, { "id": 10 }] }),
        )?;
        expect(
            "VLANs of the port",
            &list(&["5 PVID untagged", "10", "20-22"]),
            &expanded(&seen),
        )
    },
    ..VLANS
});

submit!(Case {
    id: "bridge/vlan-trunk/09",
    rule: "What a pod sends tagged reaches the pods of that VLAN of the trunk.",
    needs: &["bridge", "link:bridge-vlan", "link:vlan", "ping"],
    faults: &[
        Fault::Config("/vlanTrunk", ""),
        Fault::After(
            "ADD",
            "for port in $(ls /sys/class/net/suite0/brif); do bridge vlan del vid 10 dev $port; done"
        )
    ],
    repairs: &[Fault::Where("/vlanTrunk", &TRUNK)],
    run: |bench| {
        attach(
            bench,
            json!({ "isGateway": false, "vlanTrunk": [{ "id": 10 }] }),
        )?;
        for line in [
            "link add link eth0 name tagged type vlan id 10",
            "link set tagged up",
            "address add 10.99.0.1/24 dev tagged",
        ] {
            let words: Vec<_> = ["-n", "pod"].into_iter().chain(line.split(' ')).collect();
            bench.run("ip", &words)?;
        }
        let config = with(bench, json!({ "isGateway": false, "vlan": 10 }));
        attach_other(bench, "other", &config)?;
        bench.run(
            "ip",
            &[
                "-n",
                "other",
                "address",
                "add",
                "10.99.0.2/24",
                "dev",
                "eth0",
            ],
        )?;
        answers(bench, "pod", "10.99.0.2")
    },
    ..PACKETS
});

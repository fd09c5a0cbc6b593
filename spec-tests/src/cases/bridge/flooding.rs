//! bridge: `suppressFlooding`, a port that gets only what is for its pod. A key of podwire's: what
//! the reference does not know, nobody has to.

use crate::cases::{packets::*, prelude::*, sight::*};
use crate::world;

use super::{BRIDGE, port};

const QUIET: Case = Case {
    level: Level::Should,
    source: "docs/decisions/0014 of podwire",
    ..BRIDGE
};

/// The option is not seen.
const UNSEEN: Fault = Fault::Config("/suppressFlooding", "");

/// The pods' addresses, in the order in which pods come.
const FAMILIES: [(&str, [&str; 2]); 2] = [
    ("10.88.0.1", ["10.88.0.2", "10.88.0.3"]),
    ("2001:db8::1", ["2001:db8::2", "2001:db8::3"]),
];

fn quiet() -> Value {
    json!({ "suppressFlooding": true, "ipam": dual() })
}

/// The pod's MAC address, as the result has it.
fn mac(result: &Value) -> String {
    let mac = result["interfaces"][2]["mac"].as_str();
    mac.unwrap_or_default().to_owned()
}

/// Which addresses the host has permanent neighbours for on the bridge, with this MAC address.
fn permanent(bench: &mut Bench, mac: &str) -> Result<Vec<String>, Failure> {
    let show = ["neighbour", "show", "dev", "suite0", "nud", "permanent"];
    let seen = ip(bench, HOST, &show)?;
    let rows = seen.as_array().into_iter().flatten();
    let own = rows.filter(|row| row["lladdr"] == *mac);
    let mut addresses: Vec<String> = own
        .filter_map(|row| Some(row["dst"].as_str()?.to_owned()))
        .collect();
    addresses.sort();
    Ok(addresses)
}

fn knows(bench: &mut Bench, mac: &str) -> Result<(), Failure> {
    let wanted = list(&["10.88.0.2", "2001:db8::2"]);
    expect("permanent neighbours", &wanted, &permanent(bench, mac)?)
}

fn knows_nothing(bench: &mut Bench, mac: &str) -> Result<(), Failure> {
    expect("permanent neighbours", &list(&[]), &permanent(bench, mac)?)
}

submit!(Case {
    id: "bridge/suppress-flooding/01",
    rule: "With suppressFlooding the pod's port has flood, mcast_flood and bcast_flood off, and neigh_suppress on.",
    faults: &[
        UNSEEN,
        Fault::After(
            "ADD",
            "bridge link set dev $(ls /sys/class/net | grep ^veth) flood on"
        ),
        Fault::After(
            "ADD",
            "bridge link set dev $(ls /sys/class/net | grep ^veth) mcast_flood on"
        ),
        Fault::After(
            "ADD",
            "bridge link set dev $(ls /sys/class/net | grep ^veth) bcast_flood on"
        ),
        Fault::After(
            "ADD",
            "bridge link set dev $(ls /sys/class/net | grep ^veth) neigh_suppress off"
        ),
    ],
    run: |bench| {
        let (_, result) = attach(bench, quiet())?;
        let port = port(bench, &result)?;
        for (flag, wanted) in [
            ("flood", false),
            ("mcast_flood", false),
            ("bcast_flood", false),
            ("neigh_suppress", true),
        ] {
            expect(flag, &json!(wanted), &port[flag])?;
        }
        Ok(())
    },
    ..QUIET
});

submit!(Case {
    id: "bridge/suppress-flooding/02",
    rule: "The bridge knows the MAC address of a pod without flooding for good, and the host the pod's addresses of both families.",
    faults: &[
        UNSEEN,
        Fault::After(
            "ADD",
            "bridge fdb del $(ip netns exec pod cat /sys/class/net/eth0/address) dev $(ls /sys/class/net | grep ^veth) master"
        ),
        Fault::After("ADD", "ip neigh del 10.88.0.2 dev suite0"),
        Fault::After("ADD", "ip neigh del 2001:db8::2 dev suite0"),
    ],
    run: |bench| {
        let (_, result) = attach(bench, quiet())?;
        let (mac, host) = (mac(&result), host_end(&result));
        let fdb = bench.look("bridge", &["-j", "fdb", "show", "brport", &host])?;
        let mut entries = fdb.as_array().into_iter().flatten();
        let lasting = entries.any(|entry| {
            let flags = entry["flags"].as_array().into_iter().flatten();
            entry["mac"] == *mac
                && entry["state"] == "static"
                && flags.into_iter().any(|flag| flag == "sticky")
        });
        expect_that(
            lasting,
            "a static, sticky FDB entry of the pod's MAC address",
            &fdb,
        )?;
        knows(bench, &mac)
    },
    ..QUIET
});

submit!(Case {
    id: "bridge/suppress-flooding/03",
    rule: "A pod without flooding reaches other pods through its gateway, IPv4 and IPv6, also one whose port floods, and that one reaches it.",
    needs: &["ping"],
    faults: &[
        UNSEEN,
        Fault::After("ADD", "ip link set suite0 down"),
        Fault::After(
            "ADD",
            "ip neigh replace 10.88.0.2 lladdr 02:00:00:00:00:99 dev suite0 nud permanent"
        ),
        Fault::After(
            "ADD",
            "ip neigh replace 2001:db8::2 lladdr 02:00:00:00:00:99 dev suite0 nud permanent"
        ),
    ],
    run: |bench| {
        attach(bench, quiet())?;
        let loud = with(bench, json!({ "ipam": dual() }));
        attach_other(bench, "other", &loud)?;
        for (gateway, [own, other]) in FAMILIES {
            let way = ip(bench, "pod", &["route", "get", other])?;
            expect("next hop", &json!(gateway), &way[0]["gateway"])?;
            answers(bench, "pod", other)?;
            answers(bench, "other", own)?;
        }
        Ok(())
    },
    ..QUIET
});

submit!(Case {
    id: "bridge/suppress-flooding/04",
    rule: "What another pod sends to all does not arrive at a pod without flooding.",
    needs: &["ping", "nft"],
    faults: &[
        UNSEEN,
        Fault::After(
            "ADD",
            "bridge link set dev $(ls /sys/class/net | grep ^veth | head -n 1) bcast_flood on"
        ),
    ],
    run: |bench| {
        attach(bench, quiet())?;
        let loud = with(bench, json!({ "ipam": dual() }));
        let sender = mac(&attach_other(bench, "other", &loud)?);
        let count = format!(
            "table netdev count {{ chain in {{ type filter hook ingress device eth0 priority 0; \
             ether saddr {sender} counter; }}; }}"
        );
        inside(bench, "pod", &["nft", &count])?;
        // Nobody has it, so that it is asked for by broadcast.
        is_silent(bench, "other", "10.88.0.99")?;
        let seen = inside(bench, "pod", &["nft", "list", "table", "netdev", "count"])?;
        expect_that(
            seen.contains("counter packets 0 "),
            "no frame of the other's",
            seen,
        )
    },
    ..QUIET
});

submit!(Case {
    id: "bridge/suppress-flooding/05",
    rule: "DEL removes what the host knows of a pod without flooding, also when the option is off by then.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After(
            "DEL",
            "ip neigh replace 10.88.0.2 lladdr 02:00:00:00:00:99 dev suite0 nud permanent"
        ),
    ],
    run: |bench| {
        let changes = json!({ "args": { "cni": { "mac": "02:00:00:00:00:99" } } });
        let (config, result) = attach(bench, merged(quiet(), changes))?;
        let mac = mac(&result);
        knows(bench, &mac)?;
        let mut off = config;
        off["suppressFlooding"] = json!(false);
        bench.call("DEL", &off).reply()?.succeeds_silently()?;
        knows_nothing(bench, &mac)
    },
    ..QUIET
});

submit!(Case {
    id: "bridge/suppress-flooding/06",
    rule: "GC removes what the host knows of pods without flooding that are gone, and nothing of others.",
    versions: NEWEST,
    faults: &[
        Fault::Skip("GC"),
        Fault::After("GC", "ip neigh flush dev suite0 nud permanent")
    ],
    run: |bench| {
        let (config, result) = attach(bench, quiet())?;
        let gone = mac(&result);
        let other = mac(&attach_other(bench, "other", &config)?);
        knows(bench, &gone)?;
        bench.run("ip", &["-n", "pod", "link", "del", "eth0"])?;
        let mut garbage = config;
        garbage[VALID] = json!([{ "containerID": "other", "ifname": "eth0" }]);
        gc(bench, &garbage)?.succeeds_silently()?;
        knows_nothing(bench, &gone)?;
        let left = list(&["10.88.0.3", "2001:db8::3"]);
        expect("neighbours of the other", &left, &permanent(bench, &other)?)
    },
    ..QUIET
});

submit!(Case {
    id: "bridge/suppress-flooding/07",
    rule: "CHECK finds a port that floods, and an address that the host does not know any more.",
    versions: CHECKED,
    faults: &[Fault::Skip("CHECK"), Fault::Fail("CHECK")],
    run: |bench| {
        let (config, result) = attach(bench, quiet())?;
        let checked = after_add(&config, &result);
        let host = host_end(&result);
        bench.call("CHECK", &checked).reply()?.succeeds_silently()?;
        bench.run(
            "bridge",
            &["link", "set", "dev", &host, "bcast_flood", "on"],
        )?;
        complains(&bench.call("CHECK", &checked).reply()?, &["bcast_flood"])?;
        bench.run(
            "bridge",
            &["link", "set", "dev", &host, "bcast_flood", "off"],
        )?;
        bench.run("ip", &["neighbour", "del", "10.88.0.2", "dev", "suite0"])?;
        complains(&bench.call("CHECK", &checked).reply()?, &["10.88.0.2"])
    },
    ..QUIET
});

submit!(Case {
    id: "bridge/suppress-flooding/08",
    rule: "suppressFlooding without a gateway, without IPAM, with a VLAN or with enabledad is refused with code 7, and nothing is left.",
    faults: &[
        UNSEEN,
        Fault::ExitZero,
        Fault::Code(999),
        Fault::Error("/msg", "no")
    ],
    run: |bench| {
        bench.pod("pod")?;
        for contrary in [
            json!({ "isGateway": null }),
            json!({ "ipam": null }),
            json!({ "vlan": 5 }),
            json!({ "enabledad": true }),
        ] {
            let config = with(bench, merged(quiet(), contrary));
            let reply = bench.call("ADD", &config).reply()?;
            reply.fails_with(7)?;
            complains(&reply, &["suppressFlooding"])?;
            nothing_left(bench)?;
        }
        Ok(())
    },
    ..QUIET
});

submit!(Case {
    id: "bridge/suppress-flooding/09",
    rule: "STATUS with suppressFlooding answers code 50 where the kernel's bridges flood all ports or answer for none, and succeeds where they do not.",
    source: "Section 2, STATUS",
    versions: NEWEST,
    faults: &[Fault::Instead(
        "STATUS",
        r#""$REAL" >/dev/null && exit 1; exit 0"#
    )],
    run: |bench| {
        let config = with(bench, quiet());
        let reply = status(bench, &config)?;
        match world::lacking(&["link:quiet-port"]) {
            Some(_) => reply.fails_with(50).map(drop),
            None => reply.succeeds_silently(),
        }
    },
    ..QUIET
});

//! CHECK: what it must find and what it must allow for.

use crate::actor::Answer;
use crate::cases::{delegation, prelude::*, sight::*};

const CHECK: Case = Case {
    judges: INTERFACE,
    versions: CHECKED,
    source: "Section 2, CHECK",
    ..CASE
};

fn added(bench: &mut Bench, changes: Value) -> Result<Value, Failure> {
    let (config, result) = attach(bench, changes)?;
    Ok(after_add(&config, &result))
}

/// CHECK succeeds before and after this change of the pod.
fn allows(bench: &mut Bench, change: &[&str]) -> Result<(), Failure> {
    let config = added(bench, json!({}))?;
    bench.run(change[0], &change[1..])?;
    bench.call("CHECK", &config).reply()?.succeeds_silently()
}

submit!(Case {
    id: "spec/check/address/02",
    rule: "CHECK fails when an address has another prefix length than the result says.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| {
        let config = added(bench, json!({}))?;
        bench.run(
            "ip",
            &["-n", "pod", "-4", "address", "flush", "dev", "eth0"],
        )?;
        bench.run(
            "ip",
            &["-n", "pod", "address", "add", "10.88.0.2/16", "dev", "eth0"],
        )?;
        bench.call("CHECK", &config).reply()?.error().map(drop)
    },
    ..CHECK
});

submit!(Case {
    id: "spec/check/address/03",
    rule: "CHECK fails when an IPv6 address of the result is gone.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| {
        let config = added(bench, json!({ "ipam": dual() }))?;
        check_finds(
            bench,
            &config,
            &[
                "ip",
                "-n",
                "pod",
                "address",
                "delete",
                "2001:db8::2/64",
                "dev",
                "eth0",
            ],
        )
    },
    ..CHECK
});

submit!(Case {
    id: "spec/check/address/04",
    rule: "CHECK fails when another address has taken the place of the result's.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| {
        let config = added(bench, json!({}))?;
        bench.run(
            "ip",
            &["-n", "pod", "-4", "address", "flush", "dev", "eth0"],
        )?;
        bench.run(
            "ip",
            &[
                "-n",
                "pod",
                "address",
                "add",
                "10.88.0.200/24",
                "dev",
                "eth0",
            ],
        )?;
        bench.call("CHECK", &config).reply()?.error().map(drop)
    },
    ..CHECK
});

submit!(Case {
    id: "spec/check/route/01",
    rule: "CHECK fails when a route of the result is gone.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| {
        let routes = json!([{ "dst": "192.0.2.0/24", "gw": "10.88.0.1" }]);
        let config = added(
            bench,
            json!({ "ipam": routed(host_local(&["10.88.0.0/24"]), routes) }),
        )?;
        check_finds(
            bench,
            &config,
            &["ip", "-n", "pod", "route", "delete", "192.0.2.0/24"],
        )
    },
    ..CHECK
});

submit!(Case {
    id: "spec/check/route/02",
    rule: "CHECK fails when the default route of the result is gone.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| {
        let routes = json!([{ "dst": "0.0.0.0/0" }]);
        let config = added(
            bench,
            json!({ "ipam": routed(host_local(&["10.88.0.0/24"]), routes) }),
        )?;
        check_finds(
            bench,
            &config,
            &["ip", "-n", "pod", "route", "delete", "default"],
        )
    },
    ..CHECK
});

submit!(Case {
    id: "spec/check/route/03",
    rule: "CHECK fails when a route of the result goes through another gateway.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| {
        let routes = json!([{ "dst": "192.0.2.0/24", "gw": "10.88.0.1" }]);
        let config = added(
            bench,
            json!({ "ipam": routed(host_local(&["10.88.0.0/24"]), routes) }),
        )?;
        let damage = [
            "ip",
            "-n",
            "pod",
            "route",
            "replace",
            "192.0.2.0/24",
            "via",
            "10.88.0.250",
            "dev",
            "eth0",
            "onlink",
        ];
        check_finds(bench, &config, &damage)
    },
    ..CHECK
});

submit!(Case {
    id: "spec/check/route/04",
    rule: "CHECK fails when an IPv6 route of the result is gone.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| {
        let routes = json!([{ "dst": "2001:db8:5::/48", "gw": "2001:db8::1" }]);
        let config = added(bench, json!({ "ipam": routed(six(), routes) }))?;
        check_finds(
            bench,
            &config,
            &[
                "ip",
                "-n",
                "pod",
                "-6",
                "route",
                "delete",
                "2001:db8:5::/48",
            ],
        )
    },
    ..CHECK
});

submit!(Case {
    id: "spec/check/reservation/01",
    rule: "CHECK fails when the address is no longer reserved for the attachment.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| {
        let config = added(bench, json!({}))?;
        check_finds(
            bench,
            &config,
            &["rm", "/var/lib/cni/networks/suite/10.88.0.2"],
        )
    },
    ..CHECK
});

submit!(Case {
    id: "spec/check/host-end/01",
    rule: "CHECK fails when the host end of the pair is down, so that the pod is unreachable.",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    level: Level::Should,
    run: |bench| {
        let config = added(bench, json!({}))?;
        let host_end = host_end(&config["prevResult"]);
        check_finds(bench, &config, &["ip", "link", "set", &host_end, "down"])
    },
    ..CHECK
});

submit!(Case {
    id: "spec/check/bridge/01",
    rule: "CHECK fails when the bridge is gone.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    judges: Judges::Only(&["bridge"]),
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| {
        let config = added(bench, json!({}))?;
        check_finds(bench, &config, &["ip", "link", "delete", "suite0"])
    },
    ..CHECK
});

submit!(Case {
    id: "spec/check/netns/01",
    rule: "CHECK fails when the pod's namespace is gone.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| {
        let config = added(bench, json!({}))?;
        check_finds(bench, &config, &["ip", "netns", "delete", "pod"])
    },
    ..CHECK
});

submit!(Case {
    id: "spec/check/netns/02",
    rule: "CHECK of another namespace than the one that was added fails.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    faults: &[
        Fault::Skip("CHECK"),
        Fault::On("CHECK", &Fault::Env("CNI_NETNS", "/run/netns/pod"))
    ],
    run: |bench| {
        let config = added(bench, json!({}))?;
        bench.pod("empty")?;
        let call = bench
            .call("CHECK", &config)
            .env("CNI_NETNS", "/run/netns/empty");
        call.reply()?.error().map(drop)
    },
    ..CHECK
});

submit!(Case {
    id: "spec/check/deleted/01",
    rule: "CHECK fails behind DEL.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    faults: &[Fault::Skip("CHECK"), Fault::Skip("DEL")],
    run: |bench| {
        let config = added(bench, json!({}))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        bench.call("CHECK", &config).reply()?.error().map(drop)
    },
    ..CHECK
});

submit!(Case {
    id: "spec/check/repaired/01",
    rule: "CHECK succeeds again when the damage is repaired.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    faults: &[Fault::Once("CHECK"), Fault::Skip("CHECK")],
    run: |bench| {
        let config = added(bench, json!({}))?;
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
                "02:00:00:00:00:77",
            ],
        )?;
        let mac = config["prevResult"]["interfaces"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|interface| interface["name"] == "eth0")
            .map(|interface| interface["mac"].clone());
        let mac = mac.as_ref().and_then(Value::as_str).unwrap_or_default();
        bench.run("ip", &["-n", "pod", "link", "set", "eth0", "address", mac])?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()
    },
    ..CHECK
});

submit!(Case {
    id: "spec/check/allows/01",
    rule: "CHECK allows for an address that somebody else added.",
    faults: &[Fault::Instead(
        "CHECK",
        r#"ip -n pod -4 address show eth0 | grep -q "192.0.2.9" && exit 1; exec "$REAL""#
    )],
    run: |bench| allows(
        bench,
        &[
            "ip",
            "-n",
            "pod",
            "address",
            "add",
            "192.0.2.9/24",
            "dev",
            "eth0"
        ]
    ),
    ..CHECK
});

submit!(Case {
    id: "spec/check/allows/02",
    rule: "CHECK allows for a route that somebody else added.",
    faults: &[Fault::Instead(
        "CHECK",
        r#"ip -n pod route | grep -q "192.0.2.0/24" && exit 1; exec "$REAL""#
    )],
    run: |bench| allows(
        bench,
        &[
            "ip",
            "-n",
            "pod",
            "route",
            "add",
            "192.0.2.0/24",
            "dev",
            "eth0"
        ]
    ),
    ..CHECK
});

submit!(Case {
    id: "spec/check/allows/03",
    rule: "CHECK allows for a link that somebody else added to the pod.",
    faults: &[Fault::Instead(
        "CHECK",
        r#"ip -n pod link | grep -q "extra0" && exit 1; exec "$REAL""#
    )],
    run: |bench| allows(
        bench,
        &[
            "ip", "-n", "pod", "link", "add", "extra0", "type", "veth", "peer", "name", "extra1"
        ]
    ),
    ..CHECK
});

submit!(Case {
    id: "spec/check/allows/04",
    rule: "CHECK allows for an MTU that a later plugin of the chain changed.",
    faults: &[Fault::Instead(
        "CHECK",
        r#"ip -n pod link show eth0 | grep -q "mtu 1300" && exit 1; exec "$REAL""#
    )],
    run: |bench| allows(
        bench,
        &["ip", "-n", "pod", "link", "set", "eth0", "mtu", "1300"]
    ),
    ..CHECK
});

submit!(Case {
    id: "spec/check/changes-nothing/01",
    rule: "CHECK repairs nothing.",
    level: Level::Should,
    faults: &[Fault::After(
        "CHECK",
        "ip -n pod address add 10.88.0.2/24 dev eth0"
    )],
    run: |bench| {
        let config = added(bench, json!({}))?;
        check_finds(
            bench,
            &config,
            &["ip", "-n", "pod", "address", "flush", "dev", "eth0"],
        )?;
        expect(
            "addresses of eth0",
            &Vec::<String>::new(),
            &addresses(bench, "pod", "eth0")?,
        )
    },
    ..CHECK
});

submit!(Case {
    id: "spec/check/ipam/01",
    rule: "An IPAM plugin that finds something wrong makes CHECK fail although the links are healthy.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    faults: &[Fault::Skip("CHECK"), Fault::ExitZero],
    run: |bench| {
        bench.pod("pod")?;
        let usual = delegation::usual(bench);
        let refusal = Answer::error(123, "lease expired");
        let (config, _) = delegation::own_ipam(bench, &[("ADD", usual), ("CHECK", refusal)])?;
        let result = bench.add(&config)?;
        bench
            .call("CHECK", &after_add(&config, &result))
            .reply()?
            .error()
            .map(drop)
    },
    ..CHECK
});

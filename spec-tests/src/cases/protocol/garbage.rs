//! GC with and without valid attachments, and STATUS.

use crate::actor::Answer;
use crate::cases::{delegation, prelude::*, sight::*};

const GC: Case = Case {
    judges: INTERFACE,
    versions: NEWEST,
    source: "Section 2, GC",
    ..CASE
};
const STATUS: Case = Case {
    versions: NEWEST,
    source: "Section 2, STATUS",
    ..CASE
};

/// Pods `a` and `b` of the same network, whose containers have those names.
fn two_pods(bench: &mut Bench) -> Result<Value, Failure> {
    let config = bench.config();
    for name in ["a", "b"] {
        attach_other(bench, name, &config)?;
    }
    Ok(config)
}

fn valid(names: &[(&str, &str)]) -> Value {
    let entry = |(id, ifname): &(&str, &str)| json!({ "containerID": id, "ifname": ifname });
    names.iter().map(entry).collect()
}

/// GC of this configuration with these attachments as the valid ones.
fn collect(bench: &mut Bench, config: &Value, list: &[(&str, &str)]) -> Result<(), Failure> {
    let mut config = config.clone();
    config[VALID] = valid(list);
    gc(bench, &config)?.succeeds_silently()
}

/// Reservations on the disk and host ends there are.
fn held(bench: &mut Bench) -> Result<(usize, usize), Failure> {
    Ok((reserved().len(), host_veths(bench)?.len()))
}

submit!(Case {
    id: "spec/gc/valid/01",
    rule: "GC leaves attachments alone that are in the list of valid ones.",
    faults: &[
        Fault::On("GC", &Fault::Config("/cni.dev~1valid-attachments", "=[]")),
        Fault::After("GC", "ip -n a link delete eth0")
    ],
    run: |bench| {
        let config = two_pods(bench)?;
        collect(bench, &config, &[("a", "eth0"), ("b", "eth0")])?;
        expect("reservations and host ends", &(2, 2), &held(bench)?)
    },
    ..GC
});

submit!(Case {
    id: "spec/gc/valid/02",
    rule: "CHECK of a valid attachment succeeds after GC.",
    faults: &[Fault::After("GC", "ip -n pod address flush dev eth0")],
    run: |bench| {
        let (config, result) = attach(bench, json!({}))?;
        collect(bench, &config, &[("ctr1", "eth0")])?;
        bench
            .call("CHECK", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()
    },
    ..GC
});

submit!(Case {
    id: "spec/gc/stale/01",
    rule: "GC with an empty list removes every attachment of the network.",
    level: Level::Should,
    faults: &[
        Fault::Skip("GC"),
        Fault::After("GC", "touch /var/lib/cni/networks/suite/10.88.0.9")
    ],
    run: |bench| {
        let config = two_pods(bench)?;
        collect(bench, &config, &[])?;
        expect("reservations and host ends", &(0, 0), &held(bench)?)
    },
    ..GC
});

submit!(Case {
    id: "spec/gc/stale/02",
    rule: "GC removes the attachments that are not in the list and no other.",
    level: Level::Should,
    faults: &[
        Fault::Skip("GC"),
        Fault::On("GC", &Fault::Config("/cni.dev~1valid-attachments", "=[]"))
    ],
    run: |bench| {
        let config = two_pods(bench)?;
        collect(bench, &config, &[("b", "eth0")])?;
        expect("reservations", &list(&["10.88.0.3"]), &reserved())?;
        expect(
            "links of the valid pod",
            &list(&["lo", "eth0"]),
            &links(bench, "b")?,
        )?;
        expect(
            "links of the stale pod",
            &list(&["lo"]),
            &links(bench, "a")?,
        )
    },
    ..GC
});

submit!(Case {
    id: "spec/gc/stale/03",
    rule: "An attachment is known by container and interface name: the other interface of a container is collected.",
    level: Level::Should,
    faults: &[
        Fault::Skip("GC"),
        Fault::On(
            "GC",
            &Fault::Config(
                "/cni.dev~1valid-attachments/-",
                "={\"containerID\": \"ctr1\", \"ifname\": \"eth1\"}"
            )
        )
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench
            .call("ADD", &config)
            .env("CNI_IFNAME", "eth1")
            .reply()?
            .succeeds()?;
        collect(bench, &config, &[("ctr1", "eth0")])?;
        expect(
            "links of the pod",
            &list(&["lo", "eth0"]),
            &links(bench, "pod")?,
        )
    },
    ..GC
});

submit!(Case {
    id: "spec/gc/stale/04",
    rule: "GC releases what a pod held whose namespace is gone.",
    level: Level::Should,
    faults: &[Fault::Skip("GC")],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench.run("ip", &["netns", "delete", "pod"])?;
        collect(bench, &config, &[])?;
        expect("reservations", &Vec::<String>::new(), &reserved())
    },
    ..GC
});

submit!(Case {
    id: "spec/gc/other-network/01",
    rule: "GC touches no attachment of another network.",
    faults: &[
        Fault::On("GC", &Fault::Config("/name", "other")),
        Fault::After("GC", "rm /var/lib/cni/networks/other/10.88.*")
    ],
    run: |bench| {
        let config = bench.config();
        attach_other(bench, "a", &config)?;
        let mut other = config.clone();
        other["name"] = json!("other");
        attach_other(bench, "b", &other)?;
        collect(bench, &config, &[])?;
        expect(
            "links of the other network's pod",
            &list(&["lo", "eth0"]),
            &links(bench, "b")?,
        )?;
        let held = files("/var/lib/cni/networks/other");
        expect_that(
            held.iter().any(|name| name.starts_with("10.88.")),
            "the reservation stands",
            held.join(" "),
        )
    },
    ..GC
});

submit!(Case {
    id: "spec/gc/absent/01",
    rule: "GC without a list of valid attachments removes nothing: nobody said what is valid.",
    level: Level::Compat,
    source: "reference behaviour",
    faults: &[
        Fault::On("GC", &Fault::Config("/cni.dev~1valid-attachments", "=[]")),
        Fault::After("GC", "ip -n a link delete eth0")
    ],
    run: |bench| {
        let config = two_pods(bench)?;
        gc(bench, &config)?.succeeds_silently()?;
        expect("reservations and host ends", &(2, 2), &held(bench)?)
    },
    ..GC
});

submit!(Case {
    id: "spec/gc/entries/01",
    rule: "GC refuses a list with an entry that names no attachment, and removes nothing: nobody said which one is meant.",
    level: Level::Should,
    faults: &[
        Fault::On("GC", &Fault::Config("/cni.dev~1valid-attachments", "=[]")),
        Fault::On("GC", &Fault::Config("/cni.dev~1valid-attachments/1", "")),
        Fault::On("GC", &Fault::ExitZero),
        Fault::Code(999)
    ],
    run: |bench| {
        let config = two_pods(bench)?;
        for entry in [
            json!({}),
            json!(null),
            json!({ "containerID": "a" }),
            json!({ "ifname": "eth0" }),
            json!({ "container_id": "a", "interface": "eth0" }),
        ] {
            let mut config = config.clone();
            config[VALID] = json!([{ "containerID": "b", "ifname": "eth0" }, entry]);
            gc(bench, &config)?.fails_with(7)?;
            expect("reservations and host ends", &(2, 2), &held(bench)?)?;
        }
        Ok(())
    },
    ..GC
});

submit!(Case {
    id: "spec/gc/unknown/01",
    rule: "Valid attachments that the plugin never heard of are no error.",
    judges: Judges::Every,
    faults: &[Fault::Where(
        "/cni.dev~1valid-attachments/0",
        &Fault::On("GC", &Fault::ExitOne)
    )],
    run: |bench| {
        let config = bench.config();
        collect(bench, &config, &[("never", "eth0"), ("ever", "net1")])
    },
    ..GC
});

submit!(Case {
    id: "spec/gc/twice/01",
    rule: "GC may be called again.",
    faults: &[Fault::Once("GC")],
    run: |bench| {
        let config = two_pods(bench)?;
        collect(bench, &config, &[("b", "eth0")])?;
        collect(bench, &config, &[("b", "eth0")])
    },
    ..GC
});

submit!(Case {
    id: "spec/gc/after/01",
    rule: "DEL of an attachment that GC took away succeeds.",
    faults: &[Fault::Instead(
        "DEL",
        r#"ip -n pod link show eth0 >/dev/null 2>&1 || exit 1; exec "$REAL""#
    )],
    run: |bench| {
        let (config, result) = attach(bench, json!({}))?;
        collect(bench, &config, &[])?;
        bench
            .call("DEL", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()?;
        nothing_left(bench)
    },
    ..GC
});

submit!(Case {
    id: "spec/gc/environment/01",
    rule: "GC needs no container, namespace or interface.",
    judges: Judges::Every,
    faults: &[
        Fault::Instead("GC", r#"[ "$CNI_CONTAINERID" ] || exit 1; exec "$REAL""#),
        Fault::Instead("GC", r#"[ "$CNI_NETNS" ] || exit 1; exec "$REAL""#),
        Fault::Instead("GC", r#"[ "$CNI_IFNAME" ] || exit 1; exec "$REAL""#)
    ],
    run: |bench| {
        let config = bench.config();
        collect(bench, &config, &[])
    },
    ..GC
});

submit!(Case {
    id: "spec/status/ready/01",
    rule: "A plugin that can serve ADD answers STATUS with nothing and exit status 0.",
    faults: &[Fault::Fail("STATUS"), Fault::Garbage],
    run: |bench| {
        let config = bench.config();
        status(bench, &config)?.succeeds_silently()
    },
    ..STATUS
});

submit!(Case {
    id: "spec/status/ready/02",
    rule: "STATUS makes no link and takes no address.",
    judges: INTERFACE,
    faults: &[
        Fault::After("STATUS", "ip link add suite0 type bridge"),
        Fault::After(
            "STATUS",
            "mkdir -p /var/lib/cni/networks/suite; touch /var/lib/cni/networks/suite/10.88.0.2"
        )
    ],
    run: |bench| {
        let config = bench.config();
        let before = links(bench, HOST)?;
        status(bench, &config)?.succeeds_silently()?;
        expect("links on the host", &before, &links(bench, HOST)?)?;
        expect("reservations", &Vec::<String>::new(), &reserved())
    },
    ..STATUS
});

submit!(Case {
    id: "spec/status/ready/03",
    rule: "STATUS answers as well while attachments exist, and leaves them alone.",
    judges: INTERFACE,
    faults: &[
        Fault::Fail("STATUS"),
        Fault::After("STATUS", "ip -n pod link set eth0 down")
    ],
    run: |bench| {
        let (config, result) = attach(bench, json!({}))?;
        status(bench, &config)?.succeeds_silently()?;
        bench
            .call("CHECK", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()
    },
    ..STATUS
});

submit!(Case {
    id: "spec/status/config/01",
    rule: "STATUS with a configuration that is no JSON fails with code 6.",
    source: "Section 5, Error",
    faults: &[Fault::Skip("STATUS"), Fault::Code(999)],
    run: |bench| bench
        .call("STATUS", &json!({}))
        .stdin("{")
        .reply()?
        .fails_with(6)
        .map(drop),
    ..STATUS
});

submit!(Case {
    id: "spec/gc/errors/01",
    rule: "GC whose IPAM plugin fails goes on, removes the stale pair nevertheless, and reports the error.",
    level: Level::Should,
    faults: &[
        Fault::Skip("GC"),
        Fault::On("GC", &Fault::ExitZero),
        Fault::Fail("GC")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let usual = delegation::usual(bench);
        let refusal = Answer::error(123, "the suite refuses");
        let (mut config, _) = delegation::own_ipam(bench, &[("ADD", usual), ("GC", refusal)])?;
        bench.add(&config)?;
        config[VALID] = json!([]);
        gc(bench, &config)?.error()?;
        expect(
            "veths on the host",
            &Vec::<String>::new(),
            &host_veths(bench)?,
        )
    },
    ..GC
});

submit!(Case {
    id: "spec/status/others/01",
    rule: "A STATUS that fails keeps no other command from working: ADD, CHECK and DEL are served.",
    judges: INTERFACE,
    faults: &[
        Fault::Fail("ADD"),
        Fault::Fail("CHECK"),
        Fault::Fail("DEL"),
        Fault::Skip("STATUS")
    ],
    run: |bench| {
        bench.pod("pod")?;
        let usual = delegation::usual(bench);
        let refusal = Answer::error(50, "the suite is not ready");
        let (config, _) = delegation::own_ipam(bench, &[("ADD", usual), ("STATUS", refusal)])?;
        status(bench, &config)?.error()?;
        let result = bench.add(&config)?;
        let config = after_add(&config, &result);
        bench.call("CHECK", &config).reply()?.succeeds_silently()?;
        bench.call("DEL", &config).reply()?.succeeds_silently()
    },
    ..STATUS
});

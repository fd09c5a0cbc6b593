//! vrf: the pod's interface and its routes in a routing domain of their own, behind a plugin that
//! made the interface.

mod kept;

use crate::cases::{chained::*, links::lists_versions, packets::*, prelude::*, sight::*};

const VRF: Case = Case {
    judges: Judges::Only(&["vrf"]),
    needs: &["link:vrf"],
    ..COMPAT
};

/// What needs no VRF is judged whatever the kernel can do.
const ANYWHERE: Case = Case { needs: &[], ..VRF };

/// CHECK that looks.
const LOOKING: Fault = Fault::Instead(
    "CHECK",
    "ip -n pod -o link show dev eth0 | grep -q 'master blue '",
);

/// Routes of both families move into table 500.
const MOVING: Fault = Fault::After(
    "ADD",
    "ip -n pod route add default via 10.88.0.1 dev eth0 table 500
     ip -n pod -6 route add default via 2001:db8::1 dev eth0 table 500",
);

/// The VRF goes that a failed ADD left empty.
const WITHOUT_EMPTY: Fault = Fault::After(
    "ADD",
    "ip -n pod -o link show master blue | grep -q . || ip -n pod link del blue",
);

/// The table of the VRF `name` in the pod.
fn table(bench: &mut Bench, name: &str) -> Result<Value, Failure> {
    Ok(link(bench, "pod", name)?["linkinfo"]["info_data"]["table"].clone())
}

fn pod(bench: &mut Bench, line: &str) -> Result<(), Failure> {
    let words: Vec<_> = ["-n", "pod"].into_iter().chain(line.split(' ')).collect();
    bench.run("ip", &words)?;
    Ok(())
}

/// A second interface `eth1` of the pod, 10.89.0.5/24, and the configuration to add it.
fn second(bench: &mut Bench, config: &Value) -> Result<Value, Failure> {
    for line in [
        "link add eth1 address 02:00:00:00:00:06 type veth peer name peer1",
        "link set eth1 up",
        "link set peer1 up",
        "address add 10.89.0.5/24 dev eth1",
    ] {
        pod(bench, line)?;
    }
    let mut config = config.clone();
    config["prevResult"] = json!({ "cniVersion": bench.version.as_str(),
        "interfaces": [{ "name": "eth1", "mac": "02:00:00:00:00:06", "sandbox": "/run/netns/pod" }],
        "ips": [{ "address": "10.89.0.5/24", "interface": 0 }] });
    Ok(config)
}

/// A call for [`second`]'s interface.
fn call_second(bench: &mut Bench, command: &str, config: &Value) -> Result<Reply, Failure> {
    Ok(bench
        .call(command, config)
        .env("CNI_IFNAME", "eth1")
        .reply()?)
}

refused_chained!(ANYWHERE, "vrf/name/01", "A configuration without vrfname is refused.",
    { "vrfname": null }, ["vrf name"]);

submit!(Case {
    id: "vrf/name/02",
    rule: "A link of the VRF's name that is no VRF is refused and stays as it was.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::After("ADD", "ip -n pod link del blue")
    ],
    run: |bench| {
        let config = behind(bench, json!({}))?;
        pod(bench, "link add blue type bridge")?;
        complains(&bench.call("ADD", &config).reply()?, &["blue is not a VRF"])?;
        expect(
            "kind",
            &json!("bridge"),
            &link(bench, "pod", "blue")?["linkinfo"]["info_kind"],
        )?;
        expect(
            "master",
            &Value::Null,
            &link(bench, "pod", "eth0")?["master"],
        )
    },
    ..ANYWHERE
});

submit!(Case {
    id: "vrf/prev-result/01",
    rule: "ADD and CHECK without prevResult are refused and say that it is missing.",
    faults: &[
        Fault::ExitZero,
        Fault::Skip("CHECK"),
        Fault::Error("/msg", "it failed")
    ],
    run: |bench| {
        wire(bench)?;
        let config = bench.config();
        for command in ["ADD", "CHECK"] {
            complains(
                &bench.call(command, &config).reply()?,
                &["missing prevResult"],
            )?;
        }
        Ok(())
    },
    ..ANYWHERE
});

submit!(Case {
    id: "vrf/version/01",
    rule: "VERSION lists every version of the specification from 0.3.1 on.",
    faults: &[Fault::Result("/supportedVersions/0", "")],
    run: |bench| lists_versions(bench, SpecVersion::V0_3_1),
    ..ANYWHERE
});

submit!(Case {
    id: "vrf/version/02",
    rule: "ADD under 0.3.0 is refused with code 1.",
    faults: &[Fault::ExitZero, Fault::Code(999)],
    run: |bench| {
        let config = behind(bench, json!({ "cniVersion": "0.3.0" }))?;
        bench.call("ADD", &config).reply()?.fails_with(1).map(drop)
    },
    ..ANYWHERE
});

submit!(Case {
    id: "vrf/add/01",
    rule: "ADD makes the VRF in the pod, up, and puts the interface into it.",
    faults: &[
        Fault::After("ADD", "ip -n pod link set blue down"),
        Fault::After("ADD", "ip -n pod link set eth0 nomaster"),
        Fault::Config("/vrfname", "red")
    ],
    run: |bench| {
        chained(bench, json!({}))?;
        let blue = link(bench, "pod", "blue")?;
        expect("kind", &json!("vrf"), &blue["linkinfo"]["info_kind"])?;
        expect_that(has_flag(&blue, "UP"), "blue is up", &blue["flags"])?;
        expect(
            "master",
            &json!("blue"),
            &link(bench, "pod", "eth0")?["master"],
        )
    },
    ..VRF
});

submit!(Case {
    id: "vrf/result/01",
    rule: "The result is the prevResult.",
    versions: [SpecVersion::V0_3_1, SpecVersion::V1_1_0],
    faults: &[
        Fault::Result("/interfaces/-", "={\"name\":\"blue\"}"),
        Fault::Result("/ips/0", "")
    ],
    run: |bench| {
        let config = behind(bench, json!({}))?;
        let result = bench.add(&config)?;
        for key in ["interfaces", "ips"] {
            expect(key, &config["prevResult"][key], &result[key])?;
        }
        Ok(())
    },
    ..VRF
});

submit!(Case {
    id: "vrf/table/01",
    rule: "table is the VRF's routing table.",
    faults: &[Fault::Config("/table", ""), Fault::Config("/table", "=7")],
    run: |bench| {
        chained(bench, json!({ "table": 500 }))?;
        expect("table", &json!(500), &table(bench, "blue")?)
    },
    ..VRF
});

submit!(Case {
    id: "vrf/table/02",
    rule: "Without table the lowest one from 1 on is taken that no other VRF of the pod has.",
    faults: &[
        Fault::Config("/table", "=1"),
        Fault::Config("/table", "=2"),
        Fault::Config("/table", "=4")
    ],
    run: |bench| {
        let config = behind(bench, json!({}))?;
        pod(bench, "link add red type vrf table 1")?;
        pod(bench, "link add green type vrf table 3")?;
        bench.add(&config)?;
        expect("table", &json!(2), &table(bench, "blue")?)?;
        let mut config = second(bench, &config)?;
        config["vrfname"] = json!("last");
        call_second(bench, "ADD", &config)?.succeeds()?;
        expect("table", &json!(4), &table(bench, "last")?)
    },
    ..VRF
});

submit!(Case {
    id: "vrf/table/03",
    rule: "A VRF that is there already with another table is refused; it and the interface stay as they were.",
    faults: &[
        Fault::ExitZero,
        Fault::Config("/table", ""),
        Fault::After("ADD", "ip -n pod link set eth0 master blue")
    ],
    run: |bench| {
        let config = behind(bench, json!({ "table": 500 }))?;
        pod(bench, "link add blue up type vrf table 501")?;
        complains(
            &bench.call("ADD", &config).reply()?,
            &["blue", "different routing table", "501"],
        )?;
        expect("table", &json!(501), &table(bench, "blue")?)?;
        expect(
            "master",
            &Value::Null,
            &link(bench, "pod", "eth0")?["master"],
        )
    },
    ..VRF
});

submit!(Case {
    id: "vrf/table/04",
    rule: "A VRF that is there already is used, with its table when the configuration has none.",
    faults: &[
        Fault::Config("/table", "=9"),
        Fault::Config("/vrfname", "red")
    ],
    run: |bench| {
        let config = behind(bench, json!({}))?;
        pod(bench, "link add blue up type vrf table 501")?;
        bench.add(&config)?;
        expect("table", &json!(501), &table(bench, "blue")?)?;
        expect(
            "master",
            &json!("blue"),
            &link(bench, "pod", "eth0")?["master"],
        )
    },
    ..VRF
});

submit!(Case {
    id: "vrf/master/01",
    rule: "An interface that has a master already is refused, and keeps it.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::Before("ADD", "ip -n pod link set eth0 nomaster")
    ],
    run: |bench| {
        let config = behind(bench, json!({}))?;
        pod(bench, "link add br7 type bridge")?;
        pod(bench, "link set eth0 master br7")?;
        complains(
            &bench.call("ADD", &config).reply()?,
            &["eth0", "already", "master"],
        )?;
        expect(
            "master",
            &json!("br7"),
            &link(bench, "pod", "eth0")?["master"],
        )
    },
    ..VRF
});

submit!(Case {
    id: "vrf/master/02",
    rule: "When ADD fails because the interface has a master, it leaves no VRF.",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "ip -n pod link set eth0 nomaster")
    ],
    repairs: &[WITHOUT_EMPTY],
    run: |bench| {
        let config = behind(bench, json!({}))?;
        pod(bench, "link add br7 type bridge")?;
        pod(bench, "link set eth0 master br7")?;
        bench.call("ADD", &config).reply()?.error()?;
        expect_that(
            !links(bench, "pod")?.contains(&"blue".to_owned()),
            "no VRF is left",
            "blue is",
        )
    },
    ..VRF
});

submit!(Case {
    id: "vrf/fail/01",
    rule: "ADD for an interface that is not there fails and leaves no VRF.",
    faults: &[
        Fault::ExitZero,
        Fault::Before("ADD", "ip -n pod link add eth7 type bridge")
    ],
    repairs: &[WITHOUT_EMPTY],
    run: |bench| {
        let config = behind(bench, json!({}))?;
        bench
            .call("ADD", &config)
            .env("CNI_IFNAME", "eth7")
            .reply()?
            .error()?;
        expect_that(
            !links(bench, "pod")?.contains(&"blue".to_owned()),
            "no VRF is left",
            "blue is",
        )
    },
    ..VRF
});

submit!(Case {
    id: "vrf/addresses/01",
    rule: "The interface keeps its addresses of both families.",
    faults: &[
        Fault::After("ADD", "ip -n pod -6 address flush dev eth0 scope global"),
        Fault::After("ADD", "ip -n pod -4 address flush dev eth0")
    ],
    run: |bench| {
        chained(bench, json!({}))?;
        expect(
            "addresses",
            &list(&["10.88.0.5/24", "2001:db8::5/64"]),
            &addresses(bench, "pod", "eth0")?,
        )
    },
    ..VRF
});

submit!(Case {
    id: "vrf/routes/01",
    rule: "The interface's routes of both families move into the VRF's table.",
    faults: &[
        Fault::After("ADD", "ip -n pod route del default table 500"),
        Fault::After("ADD", "ip -n pod -6 route del default table 500"),
        Fault::After(
            "ADD",
            "ip -n pod route add default via 10.88.0.1 dev eth0 onlink"
        )
    ],
    repairs: &[MOVING],
    run: |bench| {
        chained(bench, json!({ "table": 500 }))?;
        let expected = [
            "default via 10.88.0.1 dev eth0",
            "default via 2001:db8::1 dev eth0",
        ];
        expect(
            "routes of table 500",
            &list(&expected),
            &routes(bench, "pod", "500")?,
        )?;
        expect(
            "routes of the main table",
            &list(&[]),
            &routes(bench, "pod", "main")?,
        )
    },
    ..VRF
});

submit!(Case {
    id: "vrf/routes/02",
    rule: "Routes of the pod's other interfaces stay where they are.",
    faults: &[
        Fault::After("ADD", "ip -n pod route del 192.168.5.0/24"),
        Fault::After(
            "ADD",
            "ip -n pod route add 192.168.5.0/24 via 10.89.0.9 dev eth1 table 500 onlink"
        )
    ],
    run: |bench| {
        let config = behind(bench, json!({ "table": 500 }))?;
        second(bench, &config)?;
        pod(bench, "route add 192.168.5.0/24 via 10.89.0.9")?;
        bench.add(&config)?;
        expect(
            "routes of the main table",
            &list(&["192.168.5.0/24 via 10.89.0.9 dev eth1"]),
            &routes(bench, "pod", "main")?,
        )?;
        let moved = routes(bench, "pod", "500")?;
        expect_that(
            !moved.iter().any(|route| route.contains("eth1")),
            "none in table 500",
            moved.join(", "),
        )
    },
    ..VRF
});

submit!(Case {
    id: "vrf/two/01",
    rule: "A second interface of the pod with the same vrfname joins the VRF.",
    faults: &[
        Fault::After("ADD", "ip -n pod link set eth1 nomaster"),
        Fault::After("ADD", "ip -n pod link set eth0 nomaster")
    ],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        let config = second(bench, &config)?;
        call_second(bench, "ADD", &config)?.succeeds()?;
        for name in ["eth0", "eth1"] {
            expect(
                "master",
                &json!("blue"),
                &link(bench, "pod", name)?["master"],
            )?;
        }
        Ok(())
    },
    ..VRF
});

submit!(Case {
    id: "vrf/packets/01",
    rule: "From inside the VRF the pod reaches its gateway in both families; from outside it does not.",
    needs: &["link:vrf", "ping"],
    faults: &[
        Fault::Skip("ADD"),
        Fault::After("ADD", "ip -n pod link set eth0 nomaster")
    ],
    run: |bench| {
        chained(bench, json!({}))?;
        for gateway in ["10.88.0.1", "2001:db8::1"] {
            let ping = ["ping", "-n", "-c", "1", "-W", "1", "-I", "blue", gateway];
            let answered = bench.in_time(|bench| inside(bench, "pod", &ping).is_ok());
            expect_that(answered, &format!("{gateway} answers"), "no answer")?;
            is_silent(bench, "pod", gateway)?;
        }
        Ok(())
    },
    ..VRF
});

submit!(Case {
    id: "vrf/del/01",
    rule: "DEL takes the interface out of the VRF and removes the VRF that nobody uses any more; again it succeeds.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::Once("DEL"),
        Fault::After("DEL", "ip -n pod link add blue type vrf table 1")
    ],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        expect("links", &list(&["lo", "eth0"]), &links(bench, "pod")?)?;
        expect(
            "master",
            &Value::Null,
            &link(bench, "pod", "eth0")?["master"],
        )
    },
    ..VRF
});

submit!(Case {
    id: "vrf/del/02",
    rule: "DEL leaves a VRF in which there is another interface.",
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "ip -n pod link del blue")
    ],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        let other = second(bench, &config)?;
        call_second(bench, "ADD", &other)?.succeeds()?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect(
            "master",
            &Value::Null,
            &link(bench, "pod", "eth0")?["master"],
        )?;
        expect(
            "master",
            &json!("blue"),
            &link(bench, "pod", "eth1")?["master"],
        )
    },
    ..VRF
});

submit!(Case {
    id: "vrf/del/03",
    rule: "DEL succeeds when the interface is gone, and removes the VRF.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[Fault::Instead(
        "DEL",
        r#"ip -n pod link show eth0 >/dev/null 2>&1 && exec "$REAL"; ip -n pod link del blue"#
    )],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        pod(bench, "link del eth0")?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("links", &list(&["lo"]), &links(bench, "pod")?)
    },
    ..VRF
});

submit!(Case {
    id: "vrf/del/04",
    rule: "DEL succeeds when the pod has no such VRF, when the namespace is gone, and when CNI_NETNS is empty.",
    faults: &[Fault::On("DEL", &Fault::ExitOne)],
    run: |bench| {
        let config = behind(bench, json!({}))?;
        for netns in ["/run/netns/pod", "/run/netns/gone", ""] {
            let call = bench.call("DEL", &config).env("CNI_NETNS", netns);
            call.reply()?.succeeds_silently()?;
        }
        expect("links", &list(&["lo", "eth0"]), &links(bench, "pod")?)
    },
    ..ANYWHERE
});

submit!(Case {
    id: "vrf/check/01",
    rule: "CHECK of a healthy pod succeeds and prints nothing; it finds the interface outside of the VRF.",
    versions: CHECKED,
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    repairs: &[LOOKING],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        check_finds(
            bench,
            &config,
            &["ip", "-n", "pod", "link", "set", "eth0", "nomaster"],
        )
    },
    ..VRF
});

submit!(Case {
    id: "vrf/check/02",
    rule: "CHECK finds the VRF gone.",
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    repairs: &[LOOKING],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        check_finds(bench, &config, &["ip", "-n", "pod", "link", "del", "blue"])
    },
    ..VRF
});

submit!(Case {
    id: "vrf/check/03",
    rule: "CHECK finds the interface in another VRF.",
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    repairs: &[LOOKING],
    run: |bench| {
        let (config, _) = chained(bench, json!({}))?;
        pod(bench, "link add red up type vrf table 77")?;
        check_finds(
            bench,
            &config,
            &["ip", "-n", "pod", "link", "set", "eth0", "master", "red"],
        )
    },
    ..VRF
});

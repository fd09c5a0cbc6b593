//! ADD, CHECK and DEL of plugins that make an interface.

use crate::cases::{prelude::*, sight::*};

/// The configuration as a runtime sends it after ADD.
fn with_result(bench: &Bench, result: &Value) -> Value {
    let config = bench.config();
    if bench.version < SpecVersion::V0_4_0 {
        return config;
    }
    after_add(&config, result)
}

fn added(bench: &mut Bench) -> Result<Value, Failure> {
    bench.pod("pod")?;
    let config = bench.config();
    let result = bench.add(&config)?;
    Ok(with_result(bench, &result))
}

submit!(Case {
    id: "spec/add/interface/01",
    rule: "ADD creates the interface CNI_IFNAME in the pod and brings it up.",
    level: Level::Must,
    source: "Section 2, ADD",
    judges: INTERFACE,
    versions: [SpecVersion::V0_1_0, SpecVersion::V1_1_0],
    faults: &[Fault::After("ADD", "ip -n pod link set eth0 down")],
    run: |bench| {
        added(bench)?;
        let link = bench.look("ip", &["-j", "-n", "pod", "link", "show", "eth0"])?;
        let flags = link[0]["flags"].as_array().cloned().unwrap_or_default();
        expect_that(flags.contains(&json!("UP")), "eth0 is up", link)
    },
    ..CASE
});

submit!(Case {
    id: "spec/add/address/01",
    rule: "Every address of the result is on the interface.",
    level: Level::Must,
    source: "Section 2, ADD",
    judges: INTERFACE,
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    faults: &[Fault::After("ADD", "ip -n pod -4 address flush dev eth0")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        let result = bench.add(&config)?;
        let address = result["ips"][0]["address"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let seen = bench.look("ip", &["-j", "-n", "pod", "-4", "address", "show", "eth0"])?;
        let first = &seen[0]["addr_info"][0];
        let text = format!(
            "{}/{}",
            first["local"].as_str().unwrap_or_default(),
            first["prefixlen"]
        );
        expect("address on eth0", &address, &text)
    },
    ..CASE
});

submit!(Case {
    id: "spec/add/result/01",
    rule: "The result lists the pod's interface with its MAC and CNI_NETNS as sandbox, and the address points at it.",
    level: Level::Must,
    source: "Section 5, Success",
    judges: INTERFACE,
    versions: [SpecVersion::V0_3_0, SpecVersion::V1_1_0],
    faults: &[Fault::After(
        "ADD",
        "ip -n pod link set eth0 address 02:00:00:00:00:77"
    )],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        let result = bench.add(&config)?;
        let index = result["ips"][0]["interface"].as_u64().unwrap_or(u64::MAX) as usize;
        let interface = &result["interfaces"][index];
        expect("name", &json!("eth0"), &interface["name"])?;
        expect("sandbox", &json!("/run/netns/pod"), &interface["sandbox"])?;
        let link = bench.look("ip", &["-j", "-n", "pod", "link", "show", "eth0"])?;
        expect("mac", &link[0]["address"], &interface["mac"])
    },
    ..CASE
});

submit!(Case {
    id: "spec/add/result/02",
    rule: "Under 0.1.0 and 0.2.0 the result has ip4, and neither interfaces nor ips.",
    level: Level::Must,
    source: "Section 5, Success (0.1.0, 0.2.0)",
    judges: INTERFACE,
    versions: [SpecVersion::V0_1_0, SpecVersion::V0_2_0],
    faults: &[Fault::Result("/ip4", "")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        let result = bench.add(&config)?;
        expect_that(
            result["ip4"]["ip"].is_string()
                && result["interfaces"].is_null()
                && result["ips"].is_null(),
            "shape of the result",
            result,
        )
    },
    ..CASE
});

submit!(Case {
    id: "spec/add/result/03",
    rule: "Under 0.3.0 to 0.4.0 each address carries its IP version.",
    level: Level::Must,
    source: "Section 5, Success (0.3.0 to 0.4.0)",
    judges: INTERFACE,
    versions: [SpecVersion::V0_3_0, SpecVersion::V0_4_0],
    faults: &[Fault::Result("/ips/0/version", "")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        let result = bench.add(&config)?;
        expect(
            "version of the first address",
            &json!("4"),
            &result["ips"][0]["version"],
        )
    },
    ..CASE
});

submit!(Case {
    id: "spec/add/result/04",
    rule: "From 1.0.0 on addresses carry no IP version.",
    level: Level::Must,
    source: "Section 5, Success (1.0.0)",
    judges: INTERFACE,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_1_0],
    faults: &[Fault::Result("/ips/0/version", "4")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        let result = bench.add(&config)?;
        expect(
            "version of the first address",
            &Value::Null,
            &result["ips"][0]["version"],
        )
    },
    ..CASE
});

submit!(Case {
    id: "spec/add/twice/01",
    rule: "A second ADD of the same attachment fails and the first stays as it was.",
    level: Level::Must,
    source: "Section 2, ADD",
    judges: INTERFACE,
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[
        Fault::Before("ADD", "ip -n pod link delete eth0"),
        Fault::ExitZero
    ],
    run: |bench| {
        let config = added(bench)?;
        let (before, held) = (links(bench, HOST)?, reserved());
        bench.call("ADD", &config).reply()?.error()?;
        expect("links on the host", &before, &links(bench, HOST)?)?;
        expect("reservations", &held, &reserved())?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()
    },
    ..CASE
});

submit!(Case {
    id: "spec/add/netns/01",
    rule: "ADD with a netns path that does not exist fails and reserves nothing.",
    level: Level::Compat,
    source: "reference behaviour",
    judges: INTERFACE,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[
        Fault::ExitZero,
        Fault::After(
            "ADD",
            "mkdir -p /var/lib/cni/networks/suite; touch /var/lib/cni/networks/suite/10.88.0.9"
        )
    ],
    run: |bench| {
        let config = bench.config();
        bench
            .call("ADD", &config)
            .env("CNI_NETNS", "/run/netns/none")
            .reply()?
            .error()?;
        expect("reservations", &Vec::<String>::new(), &reserved())
    },
    ..CASE
});

submit!(Case {
    id: "spec/add/netns/02",
    rule: "ADD with a netns path that is a plain file fails and reserves nothing.",
    level: Level::Compat,
    source: "reference behaviour",
    judges: INTERFACE,
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_0_0],
    faults: &[
        Fault::ExitZero,
        Fault::After(
            "ADD",
            "mkdir -p /var/lib/cni/networks/suite; touch /var/lib/cni/networks/suite/10.88.0.9"
        )
    ],
    run: |bench| {
        bench.write("/run/plain", "")?;
        let config = bench.config();
        bench
            .call("ADD", &config)
            .env("CNI_NETNS", "/run/plain")
            .reply()?
            .error()?;
        expect("reservations", &Vec::<String>::new(), &reserved())
    },
    ..CASE
});

submit!(Case {
    id: "spec/del/all/01",
    rule: "DEL removes everything that ADD made for the pod.",
    level: Level::Must,
    source: "Section 2, DEL",
    judges: INTERFACE,
    versions: [SpecVersion::V0_1_0, SpecVersion::V1_1_0],
    faults: &[
        Fault::Skip("DEL"),
        Fault::After("DEL", "ip link add vethleft type veth peer name other")
    ],
    run: |bench| {
        let config = added(bench)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        nothing_left(bench)
    },
    ..CASE
});

submit!(Case {
    id: "spec/del/twice/01",
    rule: "A second DEL succeeds.",
    level: Level::Must,
    source: "Section 2, DEL",
    judges: INTERFACE,
    versions: [SpecVersion::V0_1_0, SpecVersion::V1_1_0],
    faults: &[Fault::Once("DEL")],
    run: |bench| {
        let config = added(bench)?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        bench.call("DEL", &config).reply()?.succeeds_silently()
    },
    ..CASE
});

submit!(Case {
    id: "spec/del/never-added/01",
    rule: "DEL of what was never added succeeds.",
    level: Level::Must,
    source: "Section 2, DEL",
    judges: INTERFACE,
    versions: [SpecVersion::V0_1_0, SpecVersion::V1_1_0],
    faults: &[Fault::Instead(
        "DEL",
        r#"ip -n pod link show eth0 >/dev/null 2>&1 || exit 1; exec "$REAL""#
    )],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        bench.call("DEL", &config).reply()?.succeeds_silently()
    },
    ..CASE
});

submit!(Case {
    id: "spec/del/no-result/01",
    rule: "DEL without prevResult removes everything as well.",
    level: Level::Must,
    source: "Section 2, DEL",
    judges: INTERFACE,
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("DEL")],
    run: |bench| {
        added(bench)?;
        let config = bench.config();
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        nothing_left(bench)
    },
    ..CASE
});

submit!(Case {
    id: "spec/del/netns/01",
    rule: "DEL succeeds and frees the address when the pod's namespace is gone.",
    level: Level::Must,
    source: "Section 2, DEL",
    judges: INTERFACE,
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("DEL"), Fault::ExitOne],
    run: |bench| {
        let config = added(bench)?;
        bench.run("ip", &["netns", "delete", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &Vec::<String>::new(), &reserved())
    },
    ..CASE
});

submit!(Case {
    id: "spec/del/netns/02",
    rule: "DEL without CNI_NETNS succeeds and frees the address.",
    level: Level::Must,
    source: "Section 2, DEL",
    judges: INTERFACE,
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("DEL"), Fault::ExitOne],
    run: |bench| {
        let config = added(bench)?;
        bench
            .call("DEL", &config)
            .unset("CNI_NETNS")
            .reply()?
            .succeeds_silently()?;
        expect("reservations", &Vec::<String>::new(), &reserved())
    },
    ..CASE
});

submit!(Case {
    id: "spec/check/healthy/01",
    rule: "CHECK of a healthy attachment succeeds silently.",
    level: Level::Must,
    source: "Section 2, CHECK",
    judges: INTERFACE,
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::ExitOne, Fault::Garbage],
    run: |bench| {
        let config = added(bench)?;
        bench.call("CHECK", &config).reply()?.succeeds_silently()
    },
    ..CASE
});

submit!(Case {
    id: "spec/check/address/01",
    rule: "CHECK fails when an address of the result is gone.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    judges: INTERFACE,
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let config = added(bench)?;
        check_finds(
            bench,
            &config,
            &["ip", "-n", "pod", "-4", "address", "flush", "dev", "eth0"],
        )
    },
    ..CASE
});

submit!(Case {
    id: "spec/check/interface/01",
    rule: "CHECK fails when the interface is gone.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    judges: INTERFACE,
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let config = added(bench)?;
        check_finds(
            bench,
            &config,
            &["ip", "-n", "pod", "link", "delete", "eth0"],
        )
    },
    ..CASE
});

submit!(Case {
    id: "spec/check/link-down/01",
    rule: "CHECK fails when the interface is down.",
    level: Level::Compat,
    source: "Section 2, CHECK (a should); reference behaviour",
    judges: INTERFACE,
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK")],
    run: |bench| {
        let config = added(bench)?;
        check_finds(
            bench,
            &config,
            &["ip", "-n", "pod", "link", "set", "eth0", "down"],
        )
    },
    ..CASE
});

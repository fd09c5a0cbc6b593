//! Whom an attachment belongs to: container, interface name and network together.

use crate::cases::{prelude::*, sight::*};

const KEY: Case = Case {
    judges: INTERFACE,
    source: "Section 2, Parameters",
    ..CASE
};

submit!(Case {
    id: "spec/key/interface/01",
    rule: "A container may have two interfaces of one network, each with its own address.",
    judges: Judges::Only(&["bridge"]),
    versions: CHECKED,
    faults: &[Fault::Once("ADD"), Fault::Env("CNI_IFNAME", "eth0")],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        bench
            .call("ADD", &config)
            .env("CNI_IFNAME", "net1")
            .reply()?
            .succeeds()?;
        expect(
            "links of the pod",
            &list(&["lo", "eth0", "net1"]),
            &links(bench, "pod")?,
        )?;
        expect("reservations", &2, &reserved().len())
    },
    ..KEY
});

submit!(Case {
    id: "spec/key/interface/02",
    rule: "DEL of one interface leaves the container's other interface and its address.",
    judges: Judges::Only(&["bridge"]),
    versions: CHECKED,
    faults: &[
        Fault::After("DEL", "ip -n pod link delete eth0"),
        Fault::On("DEL", &Fault::Env("CNI_IFNAME", "eth0")),
        Fault::Skip("DEL")
    ],
    run: |bench| {
        let (config, _) = attach(bench, json!({}))?;
        let second = bench
            .call("ADD", &config)
            .env("CNI_IFNAME", "net1")
            .reply()?
            .result()?;
        let call = bench
            .call("DEL", &after_add(&config, &second))
            .env("CNI_IFNAME", "net1");
        call.reply()?.succeeds_silently()?;
        expect(
            "links of the pod",
            &list(&["lo", "eth0"]),
            &links(bench, "pod")?,
        )?;
        expect("reservations", &list(&["10.88.0.2"]), &reserved())
    },
    ..KEY
});

submit!(Case {
    id: "spec/key/interface/03",
    rule: "An interface name of 15 bytes is taken as it is.",
    faults: &[Fault::Env("CNI_IFNAME", "eth0"), Fault::Fail("ADD")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        bench
            .call("ADD", &config)
            .env("CNI_IFNAME", "abcdefghij-kl.m")
            .reply()?
            .succeeds()?;
        expect(
            "links of the pod",
            &list(&["lo", "abcdefghij-kl.m"]),
            &links(bench, "pod")?,
        )
    },
    ..KEY
});

submit!(Case {
    id: "spec/key/container/01",
    rule: "DEL of one container leaves the other and its address.",
    versions: CHECKED,
    faults: &[
        Fault::After("DEL", "ip -n b link delete eth0"),
        Fault::After("DEL", "rm -f /var/lib/cni/networks/suite/10.88.*"),
        Fault::Skip("DEL")
    ],
    run: |bench| {
        let config = bench.config();
        attach_other(bench, "a", &config)?;
        attach_other(bench, "b", &config)?;
        detach_other(bench, "a", &config)?;
        expect(
            "links of the other pod",
            &list(&["lo", "eth0"]),
            &links(bench, "b")?,
        )?;
        expect("reservations", &list(&["10.88.0.3"]), &reserved())
    },
    ..KEY
});

submit!(Case {
    id: "spec/key/container/02",
    rule: "A container id may hold letters, digits, underscore, dot and hyphen, and is kept as it is.",
    judges: Judges::Every,
    faults: &[Fault::Fail("ADD"), Fault::Env("CNI_CONTAINERID", "-")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        let id = "0Container_with.every-kind";
        bench
            .call("ADD", &config)
            .env("CNI_CONTAINERID", id)
            .reply()?
            .result()
            .map(drop)
    },
    ..KEY
});

submit!(Case {
    id: "spec/key/network/01",
    rule: "DEL in one network leaves the attachment of the same container to another.",
    versions: CHECKED,
    faults: &[
        Fault::After("DEL", "ip -n pod link delete net1"),
        Fault::After("DEL", "rm -f /var/lib/cni/networks/other/10.*"),
        Fault::Skip("DEL")
    ],
    run: |bench| {
        let (config, result) = attach(bench, json!({}))?;
        let mut other = with(
            bench,
            json!({ "name": "other", "ipam": host_local(&["10.89.0.0/24"]) }),
        );
        if bench.plugin.name == "bridge" {
            other["bridge"] = json!("suite1");
        }
        bench
            .call("ADD", &other)
            .env("CNI_IFNAME", "net1")
            .reply()?
            .succeeds()?;
        bench
            .call("DEL", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()?;
        expect(
            "links of the pod",
            &list(&["lo", "net1"]),
            &links(bench, "pod")?,
        )?;
        let held = files("/var/lib/cni/networks/other");
        expect_that(
            held.contains(&"10.89.0.2".to_owned()),
            "the other reservation stands",
            held.join(" "),
        )
    },
    ..KEY
});

submit!(Case {
    id: "spec/key/netns/01",
    rule: "CNI_NETNS may be any path at which the namespace is mounted.",
    faults: &[
        Fault::Env("CNI_NETNS", "/proc/self/ns/net"),
        Fault::Fail("ADD")
    ],
    run: |bench| {
        let path = bench.pod("pod")?;
        bench.write("/run/elsewhere", "")?;
        bench.run("mount", &["--bind", &path, "/run/elsewhere"])?;
        let config = bench.config();
        bench
            .call("ADD", &config)
            .env("CNI_NETNS", "/run/elsewhere")
            .reply()?
            .succeeds()?;
        expect(
            "links of the pod",
            &list(&["lo", "eth0"]),
            &links(bench, "pod")?,
        )
    },
    ..KEY
});

submit!(Case {
    id: "spec/add/again/01",
    rule: "After DEL the same attachment can be added again.",
    judges: INTERFACE,
    source: "Section 2, ADD",
    versions: EVERY,
    faults: &[Fault::Once("ADD"), Fault::Skip("DEL")],
    run: |bench| {
        let (config, result) = attach(bench, json!({}))?;
        let mut deleted = config.clone();
        if bench.version >= SpecVersion::V0_4_0 {
            deleted = after_add(&config, &result);
        }
        bench.call("DEL", &deleted).reply()?.succeeds_silently()?;
        bench.add(&config)?;
        expect(
            "links of the pod",
            &list(&["lo", "eth0"]),
            &links(bench, "pod")?,
        )
    },
    ..CASE
});

submit!(Case {
    id: "spec/add/taken/01",
    rule: "ADD fails when the pod already has an interface of that name, and leaves that one alone.",
    judges: INTERFACE,
    source: "Section 2, ADD",
    versions: CHECKED,
    faults: &[
        Fault::Before("ADD", "ip -n pod link delete eth0"),
        Fault::ExitZero
    ],
    run: |bench| {
        bench.pod("pod")?;
        let pair = [
            "-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "name", "far0",
        ];
        bench.run("ip", &pair)?;
        let before = link(bench, "pod", "eth0")?["address"].clone();
        let config = bench.config();
        bench.call("ADD", &config).reply()?.error()?;
        expect(
            "MAC of eth0",
            &before,
            &link(bench, "pod", "eth0")?["address"],
        )
    },
    ..CASE
});

submit!(Case {
    id: "spec/add/taken/02",
    rule: "An ADD that fails because the name is taken reserves no address.",
    judges: INTERFACE,
    level: Level::Compat,
    source: "reference behaviour",
    versions: CHECKED,
    faults: &[Fault::After(
        "ADD",
        "mkdir -p /var/lib/cni/networks/suite; touch /var/lib/cni/networks/suite/10.88.0.2"
    )],
    run: |bench| {
        bench.pod("pod")?;
        let pair = [
            "-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "name", "far0",
        ];
        bench.run("ip", &pair)?;
        let config = bench.config();
        bench.call("ADD", &config).reply()?.error()?;
        expect("reservations", &Vec::<String>::new(), &reserved())
    },
    ..CASE
});

submit!(Case {
    id: "spec/add/own-netns/01",
    rule: "The plugin's own namespace as CNI_NETNS is refused with one error object.",
    level: Level::Compat,
    source: "reference behaviour",
    judges: Judges::Every,
    faults: &[Fault::ExitZero, Fault::PlainError],
    run: |bench| {
        let config = bench.config();
        bench
            .call("ADD", &config)
            .env("CNI_NETNS", "/proc/self/ns/net")
            .reply()?
            .error()
            .map(drop)
    },
    ..CASE
});

submit!(Case {
    id: "spec/del/damage/01",
    rule: "DEL succeeds and frees the address when the pod's interface is gone.",
    judges: INTERFACE,
    source: "Section 2, DEL",
    versions: CHECKED,
    faults: &[Fault::Skip("DEL"), Fault::Fail("DEL")],
    run: |bench| del_after(bench, &["ip", "-n", "pod", "link", "delete", "eth0"]),
    ..CASE
});

submit!(Case {
    id: "spec/del/damage/02",
    rule: "DEL succeeds when the reservation is gone.",
    judges: INTERFACE,
    source: "Section 2, DEL",
    versions: CHECKED,
    faults: &[Fault::Skip("DEL"), Fault::Fail("DEL")],
    run: |bench| del_after(bench, &["rm", "-r", "/var/lib/cni/networks"]),
    ..CASE
});

submit!(Case {
    id: "spec/del/damage/03",
    rule: "DEL succeeds and frees the address when the bridge is gone.",
    judges: Judges::Only(&["bridge"]),
    source: "Section 2, DEL",
    versions: CHECKED,
    faults: &[Fault::Skip("DEL"), Fault::Fail("DEL")],
    run: |bench| del_after(bench, &["ip", "link", "delete", "suite0"]),
    ..CASE
});

submit!(Case {
    id: "spec/del/damage/04",
    rule: "DEL succeeds and frees the address when CNI_NETNS is a plain file that was left over.",
    judges: INTERFACE,
    level: Level::Should,
    source: "Section 2, DEL",
    versions: CHECKED,
    faults: &[Fault::Skip("DEL"), Fault::Fail("DEL")],
    run: |bench| {
        let (config, result) = attach(bench, json!({}))?;
        bench.run("ip", &["netns", "delete", "pod"])?;
        bench.write("/run/netns/pod", "")?;
        bench
            .call("DEL", &after_add(&config, &result))
            .reply()?
            .succeeds_silently()?;
        expect("reservations", &Vec::<String>::new(), &reserved())
    },
    ..CASE
});

submit!(Case {
    id: "spec/del/version/01",
    rule: "DEL under a newer version removes what ADD under 0.4.0 made.",
    judges: INTERFACE,
    level: Level::Compat,
    source: "reference behaviour",
    versions: [SpecVersion::V1_0_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("DEL"), Fault::Fail("DEL")],
    run: |bench| {
        let (config, result) = attach(bench, json!({ "cniVersion": "0.4.0" }))?;
        let mut config = after_add(&config, &result);
        config["cniVersion"] = bench.version.as_str().into();
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        nothing_left(bench)
    },
    ..CASE
});

submit!(Case {
    id: "spec/del/creates-nothing/01",
    rule: "DEL of what was never added makes no link.",
    judges: INTERFACE,
    level: Level::Compat,
    source: "reference behaviour",
    versions: EVERY,
    faults: &[Fault::After("DEL", "ip link add suite0 type bridge")],
    run: |bench| {
        bench.pod("pod")?;
        let config = bench.config();
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("links on the host", &list(&["lo"]), &links(bench, HOST)?)
    },
    ..CASE
});

/// DEL behind this damage succeeds and leaves nothing.
fn del_after(bench: &mut Bench, damage: &[&str]) -> Result<(), Failure> {
    let (config, result) = attach(bench, json!({}))?;
    bench.run(damage[0], &damage[1..])?;
    bench
        .call("DEL", &after_add(&config, &result))
        .reply()?
        .succeeds_silently()?;
    nothing_left(bench)
}

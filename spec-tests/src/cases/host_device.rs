//! host-device: a link of the host's moves into the pod and back.

use super::{prelude::*, sight::*};

const HOST_DEVICE: Case = Case {
    judges: Judges::Only(&["host-device"]),
    ..COMPAT
};

/// The host's link `dev0`, up, and its peer `dev1`; MAC address 02:00:00:00:00:d0.
fn device(bench: &mut Bench) -> Result<(), Failure> {
    let add = [
        "link",
        "add",
        "dev0",
        "address",
        "02:00:00:00:00:d0",
        "type",
        "veth",
        "peer",
        "name",
        "dev1",
    ];
    bench.run("ip", &add)?;
    for name in ["dev0", "dev1"] {
        bench.run("ip", &["link", "set", name, "up"])?;
    }
    Ok(())
}

/// DEL without a pod leaves the device alone and asks IPAM.
const IPAM_WITHOUT_POD: Fault = Fault::Instead(
    "DEL",
    r#"[ -e "$CNI_NETNS" ] && exec "$REAL"; exec "${REAL%/*}/host-local""#,
);

fn moved(bench: &mut Bench, changes: Value) -> Result<(Value, Value), Failure> {
    device(bench)?;
    attach(bench, changes)
}

fn host_has(bench: &mut Bench, name: &str) -> Result<bool, Failure> {
    Ok(links(bench, HOST)?.contains(&name.to_owned()))
}

submit! { Case {
    id: "host-device/add/01",
    rule: "The device moves into the pod, named CNI_IFNAME, up, with its MAC address, and is gone from the host.",
    faults: &[Fault::After("ADD", "ip -n pod link set eth0 down"), Fault::After("ADD", "ip link add dev0 type bridge"), Fault::Config("/device", "dev1")],
    run: |bench| {
        moved(bench, json!({}))?;
        let inside = link(bench, "pod", "eth0")?;
        expect("MAC", &json!("02:00:00:00:00:d0"), &inside["address"])?;
        expect_that(has_flag(&inside, "UP"), "eth0 is up", &inside["flags"])?;
        expect("on the host", &false, &host_has(bench, "dev0")?)
    },
    ..HOST_DEVICE
} }

submit! { Case {
    id: "host-device/add/02",
    rule: "hwaddr finds the device by its MAC address.",
    faults: &[Fault::Config("/hwaddr", ""), Fault::Config("/hwaddr", "02:00:00:00:00:d9")],
    run: |bench| {
        moved(bench, json!({ "device": null, "hwaddr": "02:00:00:00:00:d0" }))?;
        expect("MAC", &json!("02:00:00:00:00:d0"), &link(bench, "pod", "eth0")?["address"])
    },
    ..HOST_DEVICE
} }

submit! { Case {
    id: "host-device/add/03",
    rule: "With IPAM the device has the addresses and routes.",
    faults: &[Fault::Config("/ipam", ""), Fault::After("ADD", "ip -n pod route del default")],
    run: |bench| {
        let ipam = routed(dual(), json!([{ "dst": "0.0.0.0/0" }]));
        moved(bench, json!({ "ipam": ipam }))?;
        expect("addresses", &list(&["10.88.0.2/24", "2001:db8::2/64"]), &addresses(bench, "pod", "eth0")?)?;
        expect("routes", &list(&["default via 10.88.0.1 dev eth0"]), &routes(bench, "pod", "main")?)
    },
    ..HOST_DEVICE
} }

submit! { Case {
    id: "host-device/result/01",
    rule: "The result lists the device with MAC address and sandbox; addresses point at it.",
    faults: &[Fault::Result("/interfaces/0/name", "dev0"), Fault::Result("/ips/0/interface", "=1"), Fault::Result("/interfaces/0/sandbox", "")],
    run: |bench| {
        let (_, result) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        let expected = json!([{ "name": "eth0", "mac": "02:00:00:00:00:d0", "sandbox": "/run/netns/pod" }]);
        expect("interfaces", &expected, &result["interfaces"])?;
        expect("interface", &json!(0), &result["ips"][0]["interface"])
    },
    ..HOST_DEVICE
} }

submit! { Case {
    id: "host-device/del/01",
    rule: "DEL moves the device back to the host under its old name.",
    faults: &[Fault::Skip("DEL"), Fault::After("DEL", "ip link set dev0 name devx")],
    run: |bench| {
        let (config, _) = moved(bench, json!({}))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("on the host", &true, &host_has(bench, "dev0")?)?;
        expect("links in the pod", &list(&["lo"]), &links(bench, "pod")?)
    },
    ..HOST_DEVICE
} }

submit! { Case {
    id: "host-device/del/02",
    rule: "DEL frees the reservations.",
    faults: &[Fault::Skip("DEL")],
    run: |bench| {
        let (config, _) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_DEVICE
} }

submit! { Case {
    id: "host-device/del/03",
    rule: "DEL succeeds again.",
    faults: &[Fault::Once("DEL")],
    repairs: &[Fault::Instead("DEL", r#"ip -n pod link show eth0 >/dev/null || exit 0; exec "$REAL""#)],
    run: |bench| {
        let (config, _) = moved(bench, json!({}))?;
        for _ in 0..2 {
            bench.call("DEL", &config).reply()?.succeeds_silently()?;
        }
        Ok(())
    },
    ..HOST_DEVICE
} }

submit! { Case {
    id: "host-device/del/04",
    rule: "DEL succeeds and frees the reservations when the namespace is gone.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[IPAM_WITHOUT_POD],
    run: |bench| {
        let (config, _) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        bench.run("ip", &["netns", "del", "pod"])?;
        bench.call("DEL", &config).reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_DEVICE
} }

submit! { Case {
    id: "host-device/del/05",
    rule: "DEL frees the reservations when CNI_NETNS is empty.",
    faults: &[Fault::Skip("DEL"), Fault::On("DEL", &Fault::ExitOne)],
    repairs: &[IPAM_WITHOUT_POD],
    run: |bench| {
        let (config, _) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        bench.call("DEL", &config).env("CNI_NETNS", "").reply()?.succeeds_silently()?;
        expect("reservations", &list(&[]), &reserved())
    },
    ..HOST_DEVICE
} }

submit! { Case {
    id: "host-device/fail/01",
    rule: "A device that does not exist fails ADD.",
    faults: &[Fault::ExitZero, Fault::Config("/device", "dev0")],
    run: |bench| {
        device(bench)?;
        refuses_add(bench, json!({ "device": "nope0" }), &["host device"])
    },
    ..HOST_DEVICE
} }

submit! { Case {
    id: "host-device/fail/02",
    rule: "A configuration that names no device is refused and says what it may name.",
    faults: &[Fault::ExitZero, Fault::Config("/device", "dev0"), Fault::Error("/msg", "no")],
    run: |bench| {
        device(bench)?;
        refuses_add(bench, json!({ "device": null }), &["device", "hwaddr", "kernelpath"])
    },
    ..HOST_DEVICE
} }

submit! { Case {
    id: "host-device/fail/03",
    rule: "When the name CNI_IFNAME is taken in the pod, ADD fails and the device stays on the host.",
    faults: &[Fault::ExitZero, Fault::Before("ADD", "ip -n pod link del eth0")],
    repairs: &[Fault::After("ADD", "ip -n pod link set dev0 netns 1")],
    run: |bench| {
        device(bench)?;
        bench.pod("pod")?;
        bench.run("ip", &["-n", "pod", "link", "add", "eth0", "type", "veth", "peer", "name", "eth9"])?;
        refuses_add(bench, json!({}), &["move"])?;
        expect("on the host", &true, &host_has(bench, "dev0")?)
    },
    ..HOST_DEVICE
} }

submit! { Case {
    id: "host-device/fail/04",
    rule: "When IPAM fails, the device is back on the host.",
    faults: &[Fault::ExitZero, Fault::Config("/ipam/subnet", "10.88.0.0/24")],
    repairs: &[Fault::After("ADD", "ip -n pod link set eth0 down; ip -n pod link set eth0 name dev0 netns 1")],
    run: |bench| {
        device(bench)?;
        refuses_add(bench, json!({ "ipam": { "type": "host-local", "subnet": "10.88.0.0/31" } }), &["too small"])?;
        expect("on the host", &true, &host_has(bench, "dev0")?)
    },
    ..HOST_DEVICE
} }

submit! { Case {
    id: "host-device/check/01",
    rule: "CHECK of a healthy pod succeeds, and finds the address gone and another MAC address.",
    versions: [SpecVersion::V0_4_0, SpecVersion::V1_1_0],
    faults: &[Fault::Skip("CHECK"), Fault::On("CHECK", &Fault::ExitOne)],
    run: |bench| {
        let (config, result) = moved(bench, json!({ "ipam": host_local(&["10.88.0.0/24"]) }))?;
        let config = after_add(&config, &result);
        check_finds(bench, &config, &["ip", "-n", "pod", "link", "set", "eth0", "address", "02:00:00:00:00:66"])?;
        bench.run("ip", &["-n", "pod", "link", "set", "eth0", "address", "02:00:00:00:00:d0"])?;
        check_finds(bench, &config, &["ip", "-n", "pod", "address", "flush", "dev", "eth0"])
    },
    ..HOST_DEVICE
} }

//! host-device: devices by their place in the kernel's tree, on buses and paths made up for it.

use crate::cases::{host_device::*, prelude::*, sight::*};

/// A PCI address that the made up bus has.
const CARD: &str = "0000:00:05.0";

/// PCI and auxiliary buses of the world's own with a card whose `dir` holds `dev0`.
fn card(bench: &mut Bench, dir: &str) -> Result<(), Failure> {
    device(bench)?;
    bench.run("mount", &["-t", "tmpfs", "tmpfs", "/sys/bus"])?;
    let place = format!("/sys/bus/pci/devices/{CARD}");
    let net = format!("{place}/{dir}/dev0");
    bench.run(
        "mkdir",
        &[
            "-p",
            "/sys/bus/pci/drivers/e1000",
            "/sys/bus/auxiliary/devices",
            &net,
        ],
    )?;
    bench.run(
        "ln",
        &[
            "-s",
            "/sys/bus/pci/drivers/e1000",
            &format!("{place}/driver"),
        ],
    )?;
    Ok(())
}

/// The device of this configuration is in the pod, and on the host again after DEL.
fn comes_and_goes(bench: &mut Bench, changes: Value) -> Result<(), Failure> {
    let (config, _) = attach(bench, changes)?;
    expect(
        "MAC",
        &json!("02:00:00:00:00:d0"),
        &link(bench, "pod", "eth0")?["address"],
    )?;
    expect("on the host", &false, &host_has(bench, "dev0")?)?;
    bench.call("DEL", &config).reply()?.succeeds_silently()?;
    expect("on the host after DEL", &true, &host_has(bench, "dev0")?)
}

submit!(Case {
    id: "host-device/kernelpath/01",
    rule: "kernelpath finds the link in its directory net.",
    faults: &[
        Fault::Config("/kernelpath", ""),
        Fault::Config("/kernelpath", "/sys/devices/virtual/net/dev0"),
        Fault::Skip("DEL")
    ],
    run: |bench| {
        device(bench)?;
        bench.run("mount", &["-t", "tmpfs", "tmpfs", "/sys/devices/virtual"])?;
        bench.run("mkdir", &["-p", "/sys/devices/virtual/card/net/dev0"])?;
        comes_and_goes(
            bench,
            json!({ "device": null, "kernelpath": "/sys/devices/virtual/card" }),
        )
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/pci/01",
    rule: "pciBusID finds the link of the PCI card at that address.",
    faults: &[
        Fault::Config("/pciBusID", ""),
        Fault::Config("/pciBusID", "0000:00:06.0"),
        Fault::Skip("DEL")
    ],
    run: |bench| {
        card(bench, "net")?;
        comes_and_goes(bench, json!({ "device": null, "pciBusID": CARD }))
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/pci/02",
    rule: "The link of a virtio card is found below its virtio device.",
    faults: &[
        Fault::Config("/pciBusID", ""),
        Fault::Before("ADD", "rm -r /sys/bus/pci/devices/*/virtio0")
    ],
    run: |bench| {
        card(bench, "virtio0/net")?;
        comes_and_goes(bench, json!({ "device": null, "pciBusID": CARD }))
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/pci/03",
    rule: "runtimeConfig.deviceID names the PCI card instead of pciBusID.",
    faults: &[Fault::Config("/runtimeConfig", "")],
    run: |bench| {
        card(bench, "net")?;
        comes_and_goes(
            bench,
            json!({ "device": null, "pciBusID": "0000:00:06.0", "runtimeConfig": { "deviceID": CARD } }),
        )
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/pci/04",
    rule: "A PCI address that no card has is refused and named.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| {
        card(bench, "net")?;
        refuses_add(
            bench,
            json!({ "device": null, "pciBusID": "0000:00:06.0" }),
            &["0000:00:06.0"],
        )?;
        expect("on the host", &true, &host_has(bench, "dev0")?)
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/pci/05",
    rule: "A PCI card without a link is refused and named.",
    faults: &[Fault::ExitZero, Fault::Error("/msg", "it failed")],
    run: |bench| {
        card(bench, "other")?;
        refuses_add(bench, json!({ "device": null, "pciBusID": CARD }), &[CARD])
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/pci/06",
    rule: "A card that a DPDK driver holds stays on the host; the result has its name and sandbox.",
    faults: &[
        Fault::Before(
            "ADD",
            "ln -sfn /sys/bus/pci/drivers/e1000 /sys/bus/pci/devices/0000:00:05.0/driver"
        ),
        Fault::Result("/interfaces/0/sandbox", "")
    ],
    repairs: &[Fault::Result(
        "/interfaces",
        r#"=[{ "name": "eth0", "sandbox": "/run/netns/pod" }]"#
    )],
    run: |bench| {
        card(bench, "net")?;
        bench.run("mkdir", &["/sys/bus/pci/drivers/vfio-pci"])?;
        bench.run(
            "ln",
            &[
                "-sfn",
                "/sys/bus/pci/drivers/vfio-pci",
                &format!("/sys/bus/pci/devices/{CARD}/driver"),
            ],
        )?;
        let (config, result) = attach(bench, json!({ "device": null, "pciBusID": CARD }))?;
        expect("on the host", &true, &host_has(bench, "dev0")?)?;
        expect(
            "interfaces",
            &json!([{ "name": "eth0", "sandbox": "/run/netns/pod" }]),
            &result["interfaces"],
        )?;
        bench.call("DEL", &config).reply()?.succeeds_silently()
    },
    ..HOST_DEVICE
});

submit!(Case {
    id: "host-device/deviceid/01",
    rule: "A deviceID that no bus has is refused and named.",
    faults: &[
        Fault::ExitZero,
        Fault::Error("/msg", "it failed"),
        Fault::Config("/runtimeConfig", "")
    ],
    run: |bench| {
        card(bench, "net")?;
        refuses_add(
            bench,
            json!({ "runtimeConfig": { "deviceID": "0000:99:00.0" } }),
            &["0000:99:00.0"],
        )
    },
    ..HOST_DEVICE
});

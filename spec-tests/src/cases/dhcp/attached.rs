//! dhcp under the plugins that make the interface.

use anyhow::Context;

use crate::cases::{dhcp::lan::*, prelude::*, sight::*};

const UNDER_BRIDGE: Case = Case {
    needs: &["busybox", "plugin:bridge"],
    ..DHCP
};

const UNDER_MACVLAN: Case = Case {
    needs: &["busybox", "plugin:macvlan", "link:macvlan"],
    ..DHCP
};

/// Pod `pod` added by another plugin on the LAN; returns configuration and result.
fn added(bench: &mut Bench, plugin: &str, mut config: Value) -> Result<(Value, Value), Failure> {
    server(bench, USUAL)?;
    daemon(bench, SOCKET, &[])?;
    bench.pod("pod")?;
    config["cniVersion"] = bench.version.as_str().into();
    config["name"] = json!("suite");
    config["type"] = plugin.into();
    config["ipam"] = json!({ "type": "dhcp" });
    let result = called(bench, plugin, "ADD", &config)?.result()?;
    Ok((config, result))
}

fn bridged(bench: &mut Bench) -> Result<(Value, Value), Failure> {
    bridge(bench)?;
    added(bench, "bridge", json!({ "bridge": "lan0" }))
}

/// The same by macvlan on `m0`, whose other end is a port of the LAN's bridge.
fn macvlan(bench: &mut Bench) -> Result<(Value, Value), Failure> {
    bridge(bench)?;
    let pair = [
        "link", "add", "m0", "up", "type", "veth", "peer", "name", "m1",
    ];
    bench.run("ip", &pair)?;
    bench.run("ip", &["link", "set", "m1", "master", "lan0", "up"])?;
    added(bench, "macvlan", json!({ "master": "m0" }))
}

fn called(
    bench: &mut Bench,
    plugin: &str,
    command: &str,
    config: &Value,
) -> Result<Reply, Failure> {
    let dir = bench.dir_of(plugin).context("needs the plugin")?;
    Ok(bench.call(command, config).of(&dir, plugin).reply()?)
}

/// `eth0` has the lease and leads to the router.
fn has_the_lease(bench: &mut Bench) -> Result<(), Failure> {
    expect(
        "addresses",
        &list(&["10.88.0.50/24"]),
        &addresses(bench, "pod", "eth0")?,
    )?;
    expect(
        "routes",
        &list(&["default via 10.88.0.1 dev eth0"]),
        &routes(bench, "pod", "main")?,
    )
}

submit!(Case {
    id: "dhcp/bridge/01",
    rule: "Under bridge the pod has the lease's address and its default route.",
    faults: &[
        Fault::Result("/ips/0/address", "10.88.0.50/26"),
        Fault::Result("/routes", "")
    ],
    run: |bench| {
        bridged(bench)?;
        has_the_lease(bench)
    },
    ..UNDER_BRIDGE
});

submit!(Case {
    id: "dhcp/bridge/02",
    rule: "Under bridge DEL removes the interface and succeeds, also again.",
    faults: &[Fault::Fail("DEL"), Fault::Once("DEL")],
    run: |bench| {
        let (config, _) = bridged(bench)?;
        for _ in 0..2 {
            called(bench, "bridge", "DEL", &config)?.succeeds_silently()?;
        }
        expect("links", &list(&["lo"]), &links(bench, "pod")?)
    },
    ..UNDER_BRIDGE
});

submit!(Case {
    id: "dhcp/bridge/03",
    rule: "Under bridge CHECK asks the daemon as well.",
    versions: CHECKED,
    faults: &[Fault::Fail("CHECK"), Fault::Skip("CHECK")],
    run: |bench| {
        let (mut config, result) = bridged(bench)?;
        config["prevResult"] = result;
        called(bench, "bridge", "CHECK", &config)?.succeeds_silently()?;
        config["ipam"]["daemonSocketPath"] = json!("/run/nobody.sock");
        complains(
            &called(bench, "bridge", "CHECK", &config)?,
            &["dhcp daemon", "/run/nobody.sock"],
        )
    },
    ..UNDER_BRIDGE
});

submit!(Case {
    id: "dhcp/macvlan/01",
    rule: "Under macvlan the pod has the lease's address and its default route; DEL removes it.",
    faults: &[
        Fault::Result("/ips/0/address", "10.88.0.50/26"),
        Fault::Result("/routes", ""),
        Fault::Fail("DEL")
    ],
    run: |bench| {
        let (config, _) = macvlan(bench)?;
        has_the_lease(bench)?;
        called(bench, "macvlan", "DEL", &config)?.succeeds_silently()?;
        expect("links", &list(&["lo"]), &links(bench, "pod")?)
    },
    ..UNDER_MACVLAN
});

//! What chained plugins work behind: a pod on a bridge, made by hand, and its result.

mod prev;

use crate::cases::{prelude::*, sight::*};

/// The pod's MAC address before any plugin changed it.
pub(in crate::cases) const MAC: &str = "02:00:00:00:00:05";

/// Bridge `br0` (10.88.0.1/24, 2001:db8::1/64) with port `vhost0`, whose peer is `eth0` of `pod`
/// (10.88.0.5/24, 2001:db8::5/64, default routes by the bridge).
pub(in crate::cases) fn wire(bench: &mut Bench) -> Result<(), Failure> {
    bench.pod("pod")?;
    for ns in [HOST, "pod"] {
        without_dad(bench, ns)?;
    }
    for line in [
        "link add br0 type bridge",
        "link add vhost0 type veth peer name eth0 netns pod",
        "link set vhost0 master br0",
        "link set vhost0 up",
        "link set br0 up",
        "address add 10.88.0.1/24 dev br0",
        "address add 2001:db8::1/64 dev br0 nodad",
        "-n pod link set eth0 address 02:00:00:00:00:05",
        "-n pod link set eth0 up",
        "-n pod address add 10.88.0.5/24 dev eth0",
        "-n pod address add 2001:db8::5/64 dev eth0 nodad",
        "-n pod route add default via 10.88.0.1",
        "-n pod -6 route add default via 2001:db8::1",
    ] {
        let words: Vec<_> = line.split(' ').collect();
        bench.run("ip", &words)?;
    }
    let on =
        "for f in ipv4/ip_forward ipv6/conf/all/forwarding; do echo 1 > /proc/sys/net/$f; done";
    bench.run("sh", &["-c", on])?;
    Ok(())
}

/// The result that made [`wire`]'s pod.
pub(in crate::cases) fn wired(version: SpecVersion) -> Value {
    if version < SpecVersion::V0_3_0 {
        return json!({
            "cniVersion": version.as_str(),
            "ip4": { "ip": "10.88.0.5/24", "gateway": "10.88.0.1" },
            "ip6": { "ip": "2001:db8::5/64", "gateway": "2001:db8::1" },
        });
    }
    let mut four = json!({ "address": "10.88.0.5/24", "gateway": "10.88.0.1", "interface": 2 });
    let mut six = json!({ "address": "2001:db8::5/64", "gateway": "2001:db8::1", "interface": 2 });
    if version < SpecVersion::V0_3_0 {
        return json!({
            "cniVersion": version.as_str(),
            "ip4": { "ip": four["address"], "gateway": four["gateway"] },
            "ip6": { "ip": six["address"], "gateway": six["gateway"] },
        });
    }
    if version < SpecVersion::V1_0_0 {
        four["version"] = json!("4");
        six["version"] = json!("6");
    }
    json!({
        "cniVersion": version.as_str(),
        "interfaces": [
            { "name": "br0" },
            { "name": "vhost0" },
            { "name": "eth0", "mac": MAC, "sandbox": "/run/netns/pod" },
        ],
        "ips": [four, six],
    })
}

/// The plugin's configuration behind [`wire`], changed.
pub(in crate::cases) fn behind(bench: &mut Bench, changes: Value) -> Result<Value, Failure> {
    wire(bench)?;
    let mut config = with(bench, changes);
    if config["prevResult"].is_null() {
        config["prevResult"] = wired(bench.version);
    }
    Ok(config)
}

/// ADD behind [`wire`]; the configuration with ADD's result, and the result.
pub(in crate::cases) fn chained(
    bench: &mut Bench,
    changes: Value,
) -> Result<(Value, Value), Failure> {
    let config = behind(bench, changes)?;
    let result = bench.add(&config)?;
    Ok((after_add(&config, &result), result))
}

/// With nothing configured the result is prevResult, in its version.
pub(in crate::cases) fn passes_on(bench: &mut Bench) -> Result<(), Failure> {
    let (_, result) = chained(bench, json!({}))?;
    let given = wired(bench.version);
    for (key, value) in given.as_object().into_iter().flatten() {
        expect(key, value, &result[key])?;
    }
    Ok(())
}

/// ADD behind [`wire`] must fail with these words.
pub(in crate::cases) fn refuses_chained(
    bench: &mut Bench,
    changes: Value,
    words: &[&str],
) -> Result<(), Failure> {
    let config = behind(bench, changes)?;
    let reply = bench.call("ADD", &config).reply()?;
    complains(&reply, words)
}

/// A case of a chained plugin where bad input must be refused with words that users search for.
macro_rules! refused_chained {
    ($base:expr, $id:literal, $rule:literal, $patch:tt, $words:expr) => {
        submit!(Case {
            id: $id,
            rule: $rule,
            faults: &[
                Fault::ExitZero,
                Fault::Error("/msg", "it failed"),
                Fault::Skip("ADD")
            ],
            run: |bench| refuses_chained(bench, json!($patch), &$words),
            ..$base
        });
    };
}
pub(in crate::cases) use refused_chained;

use cni::{Invocation, invocation};
use serde_json::{Value, json};

use super::*;

/// Calls the plugin with this environment beside the usual one; exit status and output.
fn call(command: &str, args: &str, config: &Value) -> (i32, Value) {
    let env = [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "ctr1"),
        ("CNI_NETNS", "/run/netns/nowhere"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/opt/cni/bin"),
        ("CNI_ARGS", args),
    ];
    let stdin = config.to_string();
    let outcome = invocation::run(
        &STATIC,
        &[],
        Invocation {
            env: env.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            stdin: &mut stdin.as_bytes(),
        },
    );
    let printed = serde_json::from_str(&outcome.stdout).unwrap_or_default();
    (outcome.code, printed)
}

/// A configuration with this `ipam`, and other keys beside it.
fn config(ipam: Value, others: Value) -> Value {
    let mut config = json!({ "cniVersion": "1.1.0", "name": "net", "type": "bridge" });
    config["ipam"] = ipam;
    for (key, value) in others.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn two() -> Value {
    json!({ "type": "static", "addresses": [
        { "address": "10.22.0.5/24", "gateway": "10.22.0.1" },
        { "address": "2001:db8::5/64" },
    ] })
}

#[test]
fn sources_add_up_or_take_each_other_s_place() {
    let given = |args: &str, others: Value| {
        let (code, result) = call("ADD", args, &config(two(), others));
        assert_eq!(code, 0, "{result}");
        let ips = result["ips"].as_array().unwrap().clone();
        let line = |ip: &Value| {
            let gateway = ip["gateway"].as_str().unwrap_or("-");
            format!("{} {gateway}", ip["address"].as_str().unwrap())
        };
        ips.iter().map(line).collect::<Vec<_>>().join(", ")
    };
    let own = "10.22.0.5/24 10.22.0.1, 2001:db8::5/64 -";
    let hints = json!({ "cni": { "ips": ["10.22.0.60/24"] } });
    let cases = [
        ("", json!({}), own.to_owned()),
        ("IP=", json!({}), own.to_owned()),
        (
            "IP= 10.1.0.5/24 , 10.2.0.5/24;GATEWAY= 10.1.0.1 ,10.1.0.2",
            json!({}),
            format!("{own}, 10.1.0.5/24 10.1.0.2, 10.2.0.5/24 -"),
        ),
        // Gateways of CNI_ARGS are for its addresses alone.
        ("GATEWAY=10.22.0.9", json!({}), own.to_owned()),
        (
            "IP=10.1.0.5/24",
            json!({ "args": hints }),
            "10.22.0.60/24 -".to_owned(),
        ),
        (
            "IP=10.1.0.5/24",
            json!({ "args": hints, "runtimeConfig": { "ips": ["::ffff:10.0.0.4/120"] } }),
            "10.0.0.4/24 -".to_owned(),
        ),
        (
            "",
            json!({ "args": { "cni": { "ips": [] } }, "runtimeConfig": { "ips": null } }),
            own.to_owned(),
        ),
    ];
    for (args, others, expected) in cases {
        assert_eq!(given(args, others.clone()), expected, "{args} {others}");
    }
}

#[test]
fn bad_values_are_told_as_recorded() {
    let ipam = |address: &str| json!({ "type": "static", "addresses": [{ "address": address }] });
    let cases = [
        ("", json!(null), json!({}), "IPAM config missing 'ipam' key"),
        (
            "",
            ipam("10.22.0.5"),
            json!({}),
            "the 'address' field is expected to be in CIDR notation, got: '10.22.0.5'",
        ),
        (
            "",
            ipam(""),
            json!({}),
            "the 'address' field is expected to be in CIDR notation, got: ''",
        ),
        (
            "",
            json!({ "addresses": [{ "address": "10.22.0.5/24", "gateway": "x" }] }),
            json!({}),
            "invalid IP address: x",
        ),
        (
            "IP=10.22.0.50/24,",
            two(),
            json!({}),
            "the 'ip' field is expected to be in CIDR notation, got: ''",
        ),
        (
            "IP=10.22.0.50/24;GATEWAY=x",
            two(),
            json!({}),
            "invalid gateway address: x",
        ),
        ("FOO=1", two(), json!({}), "ARGS: unknown args [\"FOO=1\"]"),
        (
            "",
            two(),
            json!({ "runtimeConfig": { "ips": [" 10.1.0.4/24"] } }),
            "an entry in the 'ips' field is NOT in CIDR notation, got: ' 10.1.0.4/24'",
        ),
        (
            "IP=10.22.0.50/24",
            two(),
            json!({ "cniVersion": "0.2.0" }),
            "CNI version 0.2.0 does not support more than 1 address per family",
        ),
    ];
    for (args, ipam, others, message) in cases {
        let (code, printed) = call("ADD", args, &config(ipam, others));
        assert_eq!((code, &printed["msg"]), (1, &json!(message)));
        assert_eq!(printed["code"], 999);
    }
}

#[test]
fn check_compares_every_address_with_its_prefix_and_gateway() {
    let previous = |ips: Value| json!({ "prevResult": { "cniVersion": "1.1.0", "ips": ips } });
    let four = json!({ "address": "10.22.0.5/24", "gateway": "10.22.0.1" });
    let six = json!({ "address": "2001:db8::5/64" });
    let check = |ips: Value| {
        let (code, printed) = call("CHECK", "", &config(two(), previous(ips)));
        (code, printed["msg"].as_str().unwrap_or_default().to_owned())
    };
    let prefix = "static: Failed to match addr 10.22.0.5 on interface eth0: ";
    assert_eq!(check(json!([six, { "address": "10.9.9.9/8" }, four])).0, 0);
    for (ips, message) in [
        (json!([six]), "prevResult does not hold 10.22.0.5/24"),
        (
            json!([{ "address": "10.22.0.5/24" }, six]),
            "prevResult has 10.22.0.5/24 without a gateway, expected 10.22.0.5/24 with gateway 10.22.0.1",
        ),
        (
            json!([{ "address": "10.22.0.5/16", "gateway": "10.22.0.1" }, six]),
            "prevResult has 10.22.0.5/16 with gateway 10.22.0.1, expected 10.22.0.5/24 with gateway 10.22.0.1",
        ),
    ] {
        assert_eq!(check(ips), (1, format!("{prefix}{message}")));
    }
    let (code, printed) = call("CHECK", "", &config(two(), json!({})));
    assert_eq!(
        (code, &printed["msg"]),
        (1, &json!("Required prevResult missing"))
    );
}

#[test]
fn status_refuses_what_no_add_could_use() {
    let bad = json!({ "type": "static", "addresses": [{ "address": "bad" }] });
    let (code, printed) = call("STATUS", "", &config(bad, json!({})));
    assert_eq!((code, &printed["code"]), (1, &json!(50)));
    assert!(printed["details"].as_str().unwrap().contains("'bad'"));
    for good in [two(), json!({ "type": "static" })] {
        assert_eq!(call("STATUS", "FOO=1", &config(good, json!({}))).0, 0);
    }
}

#[test]
fn del_and_gc_look_at_nothing() {
    let bad = config(json!(5), json!({ "prevResult": 5 }));
    for command in ["DEL", "GC"] {
        assert_eq!(call(command, "FOO", &bad), (0, Value::Null), "{command}");
    }
}

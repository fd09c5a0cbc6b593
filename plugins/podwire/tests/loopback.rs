//! The plugin `loopback` on real namespaces.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{fs, path::Path};

use kernel::{LinkChange, Netlink};
use serde_json::{Value, json};
use support::{Answer, Call, Node, call};

fn config(version: &str) -> String {
    json!({"cniVersion": version, "name": "net", "type": "loopback"}).to_string()
}

fn lo(node: &Node, command: &str, config: &str) -> Answer {
    call(&node.plugin("loopback"), command, "ctr1", config)
}

fn is_up(pod: &kernel::NetNs) -> bool {
    {
        let netlink = Netlink::open_in(pod).unwrap();
        netlink.link(&"lo".parse().unwrap()).unwrap().unwrap().up
    }
}

#[test]
fn lo_goes_up_and_stays_up() {
    let Some(node) = Node::new() else { return };
    let pod = node.world.pod("pod");
    let config = config("1.0.0");
    let down = lo(&node, "CHECK", &config).error();
    assert_eq!(down, (999, "loopback interface is down".to_owned()));
    for _ in 0..2 {
        let added = lo(&node, "ADD", &config).success();
        assert_eq!(
            added.json(),
            json!({
                "cniVersion": "1.0.0",
                "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": "/run/netns/pod"}],
                "ips": [{"address": "127.0.0.1/8", "interface": 0}, {"address": "::1/128", "interface": 0}],
            })
        );
        assert!(is_up(&pod));
        lo(&node, "CHECK", &config).success();
    }
    for _ in 0..2 {
        assert_eq!(lo(&node, "DEL", &config).success().stdout, "");
        assert!(is_up(&pod));
    }
}

#[test]
fn the_result_fits_every_version() {
    let Some(node) = Node::new() else { return };
    let _pod = node.world.pod("pod");
    let old = json!({"ip4": {"ip": "127.0.0.1/8"}, "ip6": {"ip": "::1/128"}, "dns": {}});
    let ips = |version: bool| {
        let entry = |address: &str, family: &str| match version {
            true => json!({"version": family, "address": address, "interface": 0}),
            false => json!({"address": address, "interface": 0}),
        };
        json!([entry("127.0.0.1/8", "4"), entry("::1/128", "6")])
    };
    for (version, shape) in [
        ("0.1.0", 0),
        ("0.2.0", 0),
        ("0.3.0", 1),
        ("0.3.1", 1),
        ("0.4.0", 1),
        ("1.0.0", 2),
        ("1.1.0", 2),
    ] {
        let mut result = lo(&node, "ADD", &config(version)).success().json();
        let object = result.as_object_mut().unwrap();
        assert_eq!(object.remove("cniVersion"), Some(json!(version)));
        match shape {
            0 => assert_eq!(result, old, "{version}"),
            shape => assert_eq!(result["ips"], ips(shape == 1), "{version}"),
        }
    }
}

#[test]
fn an_earlier_result_is_passed_on() {
    let Some(node) = Node::new() else { return };
    let pod = node.world.pod("pod");
    let mut config: Value = serde_json::from_str(&config("1.0.0")).unwrap();
    config["prevResult"] = json!({
        "cniVersion": "1.0.0", "dns": {},
        "interfaces": [{"name": "eth0", "sandbox": "/run/netns/pod", "bogus": 1}],
        "ips": [{"address": "10.1.1.5/24", "interface": 0}],
    });
    let result = lo(&node, "ADD", &config.to_string()).success().json();
    assert_eq!(
        result,
        json!({
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "eth0", "sandbox": "/run/netns/pod"}],
            "ips": [{"address": "10.1.1.5/24", "interface": 0}],
        })
    );
    assert!(is_up(&pod));
}

#[test]
fn bad_input_is_named_and_changes_nothing() {
    let Some(node) = Node::new() else { return };
    let pod = node.world.pod("pod");
    let result = json!({"cniVersion": "0.3.1", "ips": []});
    let cases = [
        (
            json!({"prevResult": result}),
            "failed to parse prevResult: could not parse prevResult: result type supports \
             [1.0.0 1.1.0] but unmarshalled CNIVersion is \"0.3.1\"",
        ),
        (
            json!({"prevResult": {"cniVersion": "1.0.0", "ips": [{"address": "bad"}]}}),
            "failed to parse prevResult: could not parse prevResult: invalid CIDR address: bad",
        ),
        (
            json!({"dns": "x"}),
            "failed to parse network config: json: cannot unmarshal string",
        ),
        (
            json!({"ipam": 5}),
            "failed to parse network config: json: cannot unmarshal number",
        ),
    ];
    for (extra, text) in cases {
        let mut config: Value = serde_json::from_str(&config("1.0.0")).unwrap();
        config
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let (code, msg) = lo(&node, "ADD", &config.to_string()).error();
        assert_eq!(code, 999);
        assert!(msg.starts_with(text), "{msg}");
        assert!(!is_up(&pod));
        lo(&node, "DEL", &config.to_string()).success();
    }
}

#[test]
fn a_path_that_is_no_namespace() {
    let Some(node) = Node::new() else { return };
    let plain = node.world.dir().join("plain");
    fs::write(&plain, "").unwrap();
    let with = |command, path: &Path| {
        let env = [("CNI_NETNS", path.as_os_str())];
        let (executable, config) = (node.plugin("loopback"), config("1.0.0"));
        let call = Call {
            executable: &executable,
            command,
            container: "c",
            config: &config,
            env: &env,
        };
        call.run()
    };
    let missing = Path::new("/run/netns/nope");
    let ipc = Path::new("/proc/self/ns/ipc");
    for command in ["ADD", "CHECK"] {
        let text = format!("unknown FS magic on {plain:?}: 1021994");
        assert_eq!(with(command, &plain).error(), (999, text));
        let text = "failed to Statfs \"/run/netns/nope\": no such file or directory";
        assert_eq!(with(command, missing).error(), (999, text.to_owned()));
        let text = "CNI_NETNS /proc/self/ns/ipc is an ipc namespace, not a network namespace";
        assert_eq!(with(command, ipc).error(), (999, text.to_owned()));
    }
    for gone in [&plain, missing, ipc, Path::new("")] {
        assert_eq!(with("DEL", gone).success().stdout, "");
    }
    let own = Path::new("/proc/self/ns/net");
    let text = "plugin's netns and netns from CNI_NETNS should not be the same";
    for command in ["ADD", "CHECK"] {
        assert_eq!(with(command, own).error(), (8, text.to_owned()));
    }
    with("DEL", own).success();
}

#[test]
fn an_address_of_someone_else_on_lo_is_refused() {
    let Some(node) = Node::new() else { return };
    let pod = node.world.pod("pod");
    for address in ["10.5.5.5/32", "2001:db8::7/128"] {
        let set = |add: bool| {
            let netlink = Netlink::open_in(&pod).unwrap();
            let lo = netlink.link(&"lo".parse().unwrap()).unwrap().unwrap();
            let up = LinkChange {
                up: Some(true),
                ..LinkChange::default()
            };
            netlink.set_link(lo.index, &up).unwrap();
            let address = address.parse().unwrap();
            match add {
                true => netlink.add_address(lo.index, address).unwrap(),
                false => netlink.delete_address(lo.index, address).unwrap(),
            }
        };
        set(true);
        let (ip, _) = address.split_once('/').unwrap();
        let text = format!("loopback interface found with non-loopback address \"{ip}\"");
        assert_eq!(lo(&node, "ADD", &config("1.0.0")).error(), (999, text));
        set(false);
    }
}

#[test]
fn without_ipv6_the_ipv4_address_is_reported() {
    let Some(node) = Node::new() else { return };
    let pod = node.world.pod("pod");
    pod.run(|| fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap())
        .unwrap();
    let result = lo(&node, "ADD", &config("1.0.0")).success().json();
    assert_eq!(
        result["ips"],
        json!([{"address": "127.0.0.1/8", "interface": 0}])
    );
}

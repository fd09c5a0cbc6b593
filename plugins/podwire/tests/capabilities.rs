//! ADD without one of root's capabilities: it succeeds, or it ends with an error and leaves nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{fs, path::Path};

use kernel::{NetNs, Netlink};
use support::{Node, command};

const CONFIG: &str = r#"{"cniVersion": "1.0.0", "name": "n", "type": "bridge", "bridge": "b0", "ipMasq": true, "isDefaultGateway": true, "macspoofchk": true, "ipam": {"type": "host-local", "dataDir": "/run/d", "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "2001:db8:9::/64"}]]}}"#;
/// All that a plugin may meet without; each of them alone.
const CAPABILITIES: [&str; 8] = [
    "sys_admin",
    "net_admin",
    "net_raw",
    "dac_override",
    "dac_read_search",
    "setpcap",
    "sys_ptrace",
    "fowner",
];

fn call(node: &Node, verb: &str, missing: Option<&str>) -> std::process::Output {
    let input = node.world.dir().join("config");
    fs::write(&input, CONFIG).unwrap();
    let mut call = match missing {
        None => command(&node.plugin("bridge")),
        Some(capability) => {
            let mut setpriv = command(Path::new("/usr/bin/setpriv"));
            setpriv
                .arg(format!("--bounding-set=-{capability}"))
                .arg(node.plugin("bridge"));
            setpriv
        }
    };
    call.env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", "c")
        .env("CNI_NETNS", "/run/netns/pod")
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", &node.bin_dir)
        .stdin(fs::File::open(input).unwrap())
        .output()
        .unwrap()
}

fn assert_nothing_is_left(pod: &NetNs, what: &str) {
    let here = Netlink::open().unwrap().links().unwrap();
    let there = Netlink::open_in(pod).unwrap().links().unwrap();
    let names: Vec<&str> = here.iter().chain(&there).map(|l| l.name.as_str()).collect();
    assert!(
        !names.iter().any(|n| n.starts_with("veth") || *n == "eth0"),
        "{what}: {names:?}"
    );
    let files = fs::read_dir("/run/d/n").into_iter().flatten().flatten();
    let mut names = files.map(|file| file.file_name().into_string().unwrap());
    let is_reservation = |name: &String| name.parse::<std::net::IpAddr>().is_ok();
    assert_eq!(names.find(is_reservation), None, "{what}");
}

#[test]
fn add_without_a_capability_succeeds_or_leaves_nothing() {
    let Some(node) = Node::new() else { return };
    let pod = node.world.pod("pod");
    for missing in CAPABILITIES {
        let output = call(&node, "ADD", Some(missing));
        let document: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("without {missing}: {error}: {output:?}"));
        match output.status.code() {
            Some(0) => {
                assert!(document["ips"].is_array(), "without {missing}: {document}");
                assert_eq!(call(&node, "DEL", None).status.code(), Some(0));
            }
            status => {
                assert_eq!(status, Some(1), "without {missing}: {output:?}");
                assert!(
                    document["code"].is_number(),
                    "without {missing}: {document}"
                );
            }
        }
        assert_nothing_is_left(&pod, missing);
    }
}

#[test]
fn what_needs_a_capability_says_what_it_could_not_do() {
    let Some(node) = Node::new() else { return };
    let _pod = node.world.pod("pod");
    for (missing, text) in [
        ("sys_admin", "failed to enter netns \"/run/netns/pod\""),
        ("net_admin", "operation not permitted"),
    ] {
        let output = call(&node, "ADD", Some(missing));
        let text_seen = String::from_utf8(output.stdout).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text_seen).unwrap();
        assert!(
            document["msg"].as_str().unwrap().contains(text),
            "{document}"
        );
    }
}

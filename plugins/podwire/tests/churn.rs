//! Many pods come and go at once, again and again under the same names and addresses. What one DEL
//! left to the kernel must not be in the way of the next ADD.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{ffi::OsStr, fs, thread};

use kernel::{NetNs, Netlink};
use support::{Answer, Call, Node};

const RUNTIMES: usize = 16;
/// Rounds of each; `CHURN_ROUNDS` sets another number.
const ROUNDS: usize = 20;
/// As many addresses as runtimes, so that each is given again at once.
const CONFIG: &str = r#"{"cniVersion": "1.0.0", "name": "net", "type": "bridge", "bridge": "cni0",
    "isDefaultGateway": true, "ipMasq": true, "ipam": {"type": "host-local", "ranges": [
        [{"subnet": "10.22.0.0/24", "rangeStart": "10.22.0.10", "rangeEnd": "10.22.0.25"}],
        [{"subnet": "fd22::/64", "rangeStart": "fd22::10", "rangeEnd": "fd22::1f"}]]}}"#;

fn run(node: &Node, command: &str, container: &str, netns: &str) -> Answer {
    Call {
        executable: &node.plugin("bridge"),
        command,
        container,
        config: CONFIG,
        env: &[("CNI_NETNS", OsStr::new(netns))],
    }
    .run()
}

/// One pod, attached and detached under one name. In each third round the runtime destroys the
/// namespace while DEL runs, in each third before it.
fn come_and_go(node: &Node, number: usize, rounds: usize) {
    let container = format!("pod{number}");
    let path = format!("/run/netns/{container}");
    for round in 0..rounds {
        NetNs::create(&path).unwrap();
        run(node, "ADD", &container, &path).success();
        let remove = || NetNs::remove(&path).unwrap();
        match round % 3 {
            0 => {
                run(node, "DEL", &container, &path).success();
                remove();
            }
            1 => {
                remove();
                run(node, "DEL", &container, &path).success();
            }
            _ => thread::scope(|scope| {
                scope.spawn(remove);
                run(node, "DEL", &container, &path).success();
            }),
        }
    }
}

#[test]
fn pods_under_the_same_names_and_addresses() {
    let Some(node) = Node::new() else { return };
    let rounds = std::env::var("CHURN_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    thread::scope(|scope| {
        for number in 0..RUNTIMES {
            let node = &node;
            scope.spawn(move || come_and_go(node, number, rounds));
        }
    });
    let links = Netlink::open().unwrap().links().unwrap();
    let names: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
    assert_eq!(names, ["lo", "cni0"]);
    #[allow(clippy::disallowed_methods, reason = "nft is not our code")]
    let rules = std::process::Command::new("nft")
        .args(["list", "ruleset"])
        .output()
        .unwrap();
    let rules = String::from_utf8(rules.stdout).unwrap();
    assert!(
        rules.contains("set pods") && !rules.contains("elements"),
        "{rules}"
    );
    let reserved = fs::read_dir("/var/lib/cni/networks/net").unwrap();
    let reserved: Vec<_> = reserved
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("10.") || name.starts_with("fd"))
        .collect();
    assert_eq!(reserved, [""; 0]);
}

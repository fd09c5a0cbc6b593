//! What goes wrong, and what must be as before then; what others made.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod add;
mod announce;
mod check;
mod del;
mod gc;
mod reference;
#[allow(unreachable_pub, reason = "one module for several test programs")]
#[path = "../support/mod.rs"]
mod support;
mod traffic;

use serde_json::Value;
use support::{Host, ip, portrait, sh, succeeds, with_prev_result};

const PLAIN: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "bridge", "isGateway": true, "ipam": {"type": "host-local", "subnet": "10.22.0.0/24"}}"#;
/// Everything that leaves traces on the host.
const FULL: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "bridge", "isDefaultGateway": true, "ipMasq": true, "macspoofchk": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "2001:db8:22::/64"}]]}}"#;
const LAYER_2: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "bridge"}"#;

/// Links, addresses, routes of host and pod, rules, reservations.
fn state() -> String {
    let reservations: String = portrait::files()
        .lines()
        .filter(|line| !line.contains("last_reserved_ip"))
        .map(|line| format!("{line}\n"))
        .collect();
    portrait::network(None) + &portrait::network(Some("pod")) + &portrait::rules() + &reservations
}

fn names(kind: &str) -> Vec<String> {
    let links = ip(&format!("link show type {kind}"));
    let name = |link: &serde_json::Value| link["ifname"].as_str().unwrap().to_owned();
    links.as_array().unwrap().iter().map(name).collect()
}

/// Addresses that are reserved.
fn reserved() -> Vec<String> {
    let files = portrait::files();
    let reservations = files.lines().filter(|line| line.contains("\\r\\n"));
    reservations
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

fn in_own_world(test: impl FnOnce(&Host) + Send) {
    harness::in_own_world(Host::new, test)
}

/// No rule of any packet filter names the attachment.
fn assert_released(what: &str) {
    let rules = portrait::rules();
    for trace in ["10.22.0.2", "2001:db8:22::2", "ctr1"] {
        assert!(!rules.contains(trace), "{what}: {trace} in\n{rules}");
    }
}

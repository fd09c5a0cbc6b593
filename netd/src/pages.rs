//! What the status pages say: JSON, Prometheus' text format, and text for people.

use std::fmt::Write as _;
use std::time::Duration;

use crate::status::State;

/// `/status`: every field of [`State`].
pub fn json(state: &State) -> String {
    match serde_json::to_string_pretty(state) {
        Ok(text) => text + "\n",
        Err(error) => serde_json::json!({ "error": error.to_string() }).to_string() + "\n",
    }
}

/// `/metrics`: Prometheus text format, version 0.0.4.
pub fn metrics(state: &State, uptime: Duration) -> String {
    let mut text = String::with_capacity(4096);
    for (name, help, value) in gauges(state, uptime) {
        let value = if value.is_infinite() {
            "+Inf".to_owned()
        } else {
            value.to_string()
        };
        sample(&mut text, name, help, "gauge", &value);
    }
    for (name, help, value) in counters(state) {
        sample(&mut text, name, help, "counter", &value.to_string());
    }
    text
}

fn sample(text: &mut String, name: &str, help: &str, kind: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
    );
}

fn gauges(state: &State, uptime: Duration) -> [(&'static str, &'static str, f64); 14] {
    let datapath = &state.datapath;
    let store_up = state.store_problem.is_none();
    [
        (
            "netd_ready",
            "1 when the pod network works.",
            flag(state.ready),
        ),
        (
            "netd_uptime_seconds",
            "Time since the start.",
            uptime.as_secs_f64(),
        ),
        (
            "netd_store_up",
            "1 while the store answers.",
            flag(store_up),
        ),
        (
            "netd_peers",
            "Leases of other nodes.",
            count(state.peers.known),
        ),
        (
            "netd_peers_unserved",
            "Peer subnets not served.",
            count(state.peers.unserved),
        ),
        (
            "netd_leases_malformed",
            "Keys that are no leases.",
            count(state.peers.malformed),
        ),
        ("netd_routes", "Wanted routes.", count(datapath.routes)),
        (
            "netd_neighbours",
            "Wanted neighbours.",
            count(datapath.neighbours),
        ),
        (
            "netd_fdb_entries",
            "Wanted FDB entries.",
            count(datapath.fdb),
        ),
        (
            "netd_changes_failing",
            "Changes the kernel refuses.",
            count(datapath.failing),
        ),
        (
            "netd_routes_conflicting",
            "Foreign routes in the way.",
            count(datapath.conflicts),
        ),
        (
            "netd_last_pass_seconds",
            "Time of the last reconcile pass.",
            datapath.last_pass_us as f64 / 1e6,
        ),
        (
            "netd_lease_expires_seconds",
            "Time left of the own lease; +Inf for a reservation.",
            state
                .lease
                .expires_in
                .map_or(f64::INFINITY, |left| left as f64),
        ),
        (
            "netd_mtu_bytes",
            "Largest packet between pods.",
            f64::from(state.mtu),
        ),
    ]
}

fn counters(state: &State) -> [(&'static str, &'static str, u64); 8] {
    let datapath = &state.datapath;
    [
        ("netd_passes_total", "Reconcile passes.", datapath.passes),
        (
            "netd_passes_failed_total",
            "Passes that could not be made.",
            datapath.failed_passes,
        ),
        (
            "netd_changes_total",
            "Kernel objects changed.",
            datapath.changes,
        ),
        (
            "netd_repairs_total",
            "Changes that undid somebody's doing.",
            datapath.repairs,
        ),
        (
            "netd_lease_renewals_total",
            "Renewals of the own lease.",
            state.lease.renewals,
        ),
        (
            "netd_lease_reclaims_total",
            "Own leases taken again.",
            state.lease.reclaims,
        ),
        (
            "netd_lease_foreign_writes_total",
            "Foreign writes.",
            state.lease.foreign_writes,
        ),
        (
            "netd_firewall_repairs_total",
            "Firewall chains put back.",
            state.firewall.repairs,
        ),
    ]
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn count(value: usize) -> f64 {
    value as f64
}

/// `netd status`: the same for people, from the JSON of a running netd.
pub fn text(state: &serde_json::Value) -> String {
    let mut text = String::new();
    for (name, value) in summary(state) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<10} {value}");
    }
    write_devices(&mut text, state);
    write_troubles(&mut text, state);
    text
}

/// What stands at `pointer`, for people: `-` when there is nothing.
fn shown(state: &serde_json::Value, pointer: &str) -> String {
    match state.pointer(pointer) {
        None | Some(serde_json::Value::Null) => "-".to_owned(),
        Some(serde_json::Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Array(list)) if list.is_empty() => "-".to_owned(),
        Some(serde_json::Value::Array(list)) => list.iter().map(bare).collect::<Vec<_>>().join(" "),
        Some(other) => other.to_string(),
    }
}

/// A line for each part of netd.
fn summary(state: &serde_json::Value) -> [(&'static str, String); 9] {
    let at = |pointer: &str| shown(state, pointer);
    let ready = match state.pointer("/ready").and_then(serde_json::Value::as_bool) {
        Some(true) => "ready".to_owned(),
        _ => format!("not ready, waiting for {}", at("/waiting_for")),
    };
    let lease = match at("/lease/expires_in").as_str() {
        "-" => at("/lease/subnets"),
        left => format!("{}, {left} s left", at("/lease/subnets")),
    };
    [
        ("netd", format!("{} {ready}", at("/version"))),
        ("backend", at("/backend")),
        ("store", at("/store")),
        ("lease", lease),
        (
            "interface",
            format!(
                "{} {} public {} ({})",
                at("/interface/name"),
                at("/interface/addresses"),
                at("/interface/public"),
                at("/interface/because")
            ),
        ),
        ("mtu", at("/mtu")),
        (
            "peers",
            format!(
                "{} known, {} not served",
                at("/peers/known"),
                at("/peers/unserved")
            ),
        ),
        (
            "datapath",
            format!(
                "{} routes, {} neighbours, {} FDB entries; {} failing, {} in conflict",
                at("/datapath/routes"),
                at("/datapath/neighbours"),
                at("/datapath/fdb"),
                at("/datapath/failing"),
                at("/datapath/conflicts")
            ),
        ),
        (
            "work",
            format!(
                "{} passes, {} changes, {} repairs, {} firewall repairs",
                at("/datapath/passes"),
                at("/datapath/changes"),
                at("/datapath/repairs"),
                at("/firewall/repairs")
            ),
        ),
    ]
}

fn write_devices(text: &mut String, state: &serde_json::Value) {
    for device in list(state, "/devices") {
        let field = |name: &str| device.get(name).map(bare).unwrap_or_default();
        let (name, mac, mtu) = (field("name"), field("mac"), field("mtu"));
        let _ = writeln!(text, "{:<10} {name} {mac} mtu {mtu}", "device");
    }
}

/// What is not served, what fails, and why.
fn write_troubles(text: &mut String, state: &serde_json::Value) {
    for peer in list(state, "/peers/reasons") {
        let field = |name: &str| peer.get(name).map(bare).unwrap_or_default();
        let _ = writeln!(
            text,
            "{:<10} {}: {}",
            "not served",
            field("subnet"),
            field("reason")
        );
    }
    let problems = [
        "/store_problem",
        "/lease/problem",
        "/datapath/problem",
        "/firewall/problem",
    ];
    let problems = problems.map(|pointer| shown(state, pointer));
    for problem in problems.iter().filter(|problem| *problem != "-") {
        let _ = writeln!(text, "{:<10} {problem}", "problem");
    }
    for error in list(state, "/datapath/errors") {
        let _ = writeln!(text, "{:<10} {}", "failing", bare(error));
    }
    for conflict in list(state, "/datapath/conflicting") {
        let _ = writeln!(
            text,
            "{:<10} another route holds {}",
            "conflict",
            bare(conflict)
        );
    }
}

fn list<'a>(
    state: &'a serde_json::Value,
    pointer: &str,
) -> impl Iterator<Item = &'a serde_json::Value> {
    state
        .pointer(pointer)
        .and_then(serde_json::Value::as_array)
        .into_iter()
        .flatten()
}

fn bare(value: &serde_json::Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{PeerReason, State};

    fn state() -> State {
        let mut state = State {
            version: "0.1.0",
            ready: true,
            ..State::default()
        };
        state.backend = "vxlan".to_owned();
        state.lease.subnets = "10.5.72.0/24".to_owned();
        state.lease.expires_in = Some(86_000);
        state.peers.known = 2;
        state.peers.reasons.push(PeerReason {
            subnet: "10.5.9.0/24".to_owned(),
            reason: "not on-link: next hop 192.0.2.9".to_owned(),
        });
        state
    }

    #[test]
    fn metrics_are_well_formed() {
        let text = metrics(&state(), Duration::from_secs(3));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.split_once(' ').expect("name and value");
            assert!(name.starts_with("netd_"), "{line}");
            assert!(value == "+Inf" || value.parse::<f64>().is_ok(), "{line}");
        }
        assert!(text.contains("netd_peers 2\n"), "{text}");
        assert!(
            text.contains("netd_lease_expires_seconds 86000\n"),
            "{text}"
        );
    }

    #[test]
    fn people_read_what_the_json_says() {
        let json: serde_json::Value = serde_json::from_str(&json(&state())).expect("JSON");
        let text = text(&json);
        assert!(text.starts_with("netd       0.1.0 ready\n"), "{text}");
        assert!(
            text.contains("lease      10.5.72.0/24, 86000 s left\n"),
            "{text}"
        );
        assert!(
            text.contains("10.5.9.0/24: not on-link: next hop 192.0.2.9\n"),
            "{text}"
        );
    }
}

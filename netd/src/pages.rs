//! What the status pages say: JSON, Prometheus' text format, and text for people.

use std::fmt::Write as _;
use std::time::Duration;

use crate::health::Level;
use crate::status::{DeviceState, State};

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

fn gauges(state: &State, uptime: Duration) -> [(&'static str, &'static str, f64); 16] {
    let datapath = &state.datapath;
    [
        (
            "netd_ready",
            "1 when the pod network works, degraded or not.",
            flag(state.ready),
        ),
        (
            "netd_degraded",
            "1 when it works and something is wrong.",
            flag(state.level == Level::Degraded),
        ),
        (
            "netd_uptime_seconds",
            "Time since the start.",
            uptime.as_secs_f64(),
        ),
        (
            "netd_store_up",
            "1 while the store answers.",
            flag(state.store.up),
        ),
        (
            "netd_config_changed",
            "1 when the network config is not the one netd runs with.",
            flag(state.store.config_changed),
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

/// `netd status`: the same for people.
pub fn text(state: &State) -> String {
    let mut text = String::new();
    for (name, value) in summary(state) {
        line(&mut text, name, &value);
    }
    for device in &state.devices {
        let DeviceState { name, mac, mtu, .. } = device;
        line(&mut text, "device", &format!("{name} {mac} mtu {mtu}"));
    }
    for problem in &state.problems {
        line(
            &mut text,
            &problem.severity.to_string(),
            &problem.to_string(),
        );
    }
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{name:<10} {value}");
}

/// A line for each part of netd.
fn summary(state: &State) -> [(&'static str, String); 9] {
    let lease = match state.lease.expires_in {
        None => shown(&state.lease.subnets),
        Some(left) => format!("{}, {left} s left", shown(&state.lease.subnets)),
    };
    let interface = &state.interface;
    let (peers, datapath) = (&state.peers, &state.datapath);
    [
        ("netd", format!("{} {}", state.version, state.level)),
        ("backend", shown(&state.backend)),
        ("store", shown(&state.store.name)),
        ("lease", lease),
        (
            "interface",
            format!(
                "{} {} public {} ({})",
                shown(&interface.name),
                shown(&interface.addresses.join(" ")),
                shown(&interface.public.join(" ")),
                shown(&interface.because)
            ),
        ),
        ("mtu", state.mtu.to_string()),
        (
            "peers",
            format!("{} known, {} not served", peers.known, peers.unserved),
        ),
        (
            "datapath",
            format!(
                "{} routes, {} neighbours, {} FDB entries; {} failing, {} in conflict",
                datapath.routes,
                datapath.neighbours,
                datapath.fdb,
                datapath.failing,
                datapath.conflicts
            ),
        ),
        (
            "work",
            format!(
                "{} passes, {} changes, {} repairs, {} firewall repairs",
                datapath.passes, datapath.changes, datapath.repairs, state.firewall.repairs
            ),
        ),
    ]
}

/// `-` where there is nothing.
fn shown(text: &str) -> String {
    match text {
        "" => "-".to_owned(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Finding, Part, Severity};
    use crate::status::Status;

    fn state() -> State {
        let status = Status::new();
        status.started();
        let reason = "10.5.9.0/24 is not served: not on-link: next hop 192.0.2.9";
        let finding = Finding::new(Severity::Degraded, "10.5.9.0/24", reason);
        status.report(Part::Peers, vec![finding]);
        let mut state = status.snapshot();
        state.version = "0.1.0".to_owned();
        state.backend = "vxlan".to_owned();
        state.lease.subnets = "10.5.72.0/24".to_owned();
        state.lease.expires_in = Some(86_000);
        state.peers.known = 2;
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
        assert!(text.contains("netd_ready 1\n"), "{text}");
        assert!(text.contains("netd_degraded 1\n"), "{text}");
        assert!(
            text.contains("netd_lease_expires_seconds 86000\n"),
            "{text}"
        );
    }

    #[test]
    fn people_read_what_the_json_says() {
        let read: State = serde_json::from_str(&json(&state())).expect("JSON");
        assert_eq!(read, state(), "nothing is lost on the way");
        let text = text(&read);
        assert!(text.starts_with("netd       0.1.0 degraded\n"), "{text}");
        assert!(
            text.contains("lease      10.5.72.0/24, 86000 s left\n"),
            "{text}"
        );
        assert!(
            text.contains(
                "degraded   10.5.9.0/24 is not served: not on-link: next hop 192.0.2.9 (since 2"
            ),
            "{text}"
        );
    }

    #[test]
    fn an_older_netd_is_read_too() {
        let read: State = serde_json::from_str(r#"{"version":"0.0.9","new":1}"#).expect("JSON");
        assert!(text(&read).starts_with("netd       0.0.9 not ready\n"));
    }
}

//! `/metrics`.

use std::fmt::Write as _;
use std::time::Duration;

use crate::health::Level;
use crate::status::State;

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

fn gauges(state: &State, uptime: Duration) -> [(&'static str, &'static str, f64); 17] {
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
            "netd_wireguard_peers",
            "Wanted peers of WireGuard devices.",
            count(datapath.wireguard_peers),
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

#[cfg(test)]
mod tests {
    use super::super::tests::state;
    use super::*;

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
}

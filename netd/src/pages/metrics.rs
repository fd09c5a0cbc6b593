//! `/metrics`.

use std::fmt::Write as _;
use std::time::Duration;

use crate::health::Level;
use crate::status::{
    Datapath, Durations, Forwarder, Histogram, Reach, Reachable, SourcePorts, State,
};

/// `/metrics`: Prometheus text format, version 0.0.4.
pub fn metrics(state: &State, uptime: Duration, durations: &Durations, reach: &[Reach]) -> String {
    let mut text = String::with_capacity(8192);
    build_info(&mut text, state);
    for (name, help, value) in gauges(state, uptime) {
        let value = if value.is_infinite() {
            "+Inf".to_owned()
        } else {
            value.to_string()
        };
        sample(&mut text, name, help, "gauge", &value);
    }
    unserved(&mut text, state);
    if let Some(forwarder) = &state.forwarder {
        carried(&mut text, forwarder);
    }
    probes(&mut text, reach);
    if let Some(ports) = state.firewall.source_ports {
        let help = "1 while masqueraded connections get source ports at random.";
        let random = flag(ports == SourcePorts::Random).to_string();
        sample(
            &mut text,
            "netd_masquerade_random_ports",
            help,
            "gauge",
            &random,
        );
    }
    for (name, help, value) in counters(state) {
        sample(&mut text, name, help, "counter", &value.to_string());
    }
    let reconcile = "Time of a pass, which compares everything with the kernel.";
    histogram(
        &mut text,
        "netd_reconcile_duration_seconds",
        reconcile,
        &durations.reconcile,
    );
    let store = "Time until the store answers a question, or the API server a request.";
    histogram(
        &mut text,
        "netd_store_duration_seconds",
        store,
        &durations.store,
    );
    text
}

// Writing to a String cannot fail.

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(text: &mut String, name: &str, help: &str, kind: &str, value: &str) {
    head(text, name, help, kind);
    let _ = writeln!(text, "{name} {value}");
}

fn build_info(text: &mut String, state: &State) {
    let name = "netd_build_info";
    head(text, name, "1, with netd's version and backend.", "gauge");
    let (version, backend) = (label(&state.version), label(&state.backend));
    let _ = writeln!(
        text,
        "{name}{{version=\"{version}\",backend=\"{backend}\"}} 1"
    );
}

/// No sample for a reason that no peer has.
fn unserved(text: &mut String, state: &State) {
    let name = "netd_peers_unserved_by_reason";
    head(
        text,
        name,
        "Peer subnets not served, by the kind of reason.",
        "gauge",
    );
    for (reason, count) in &state.peers.unserved_by_reason {
        let _ = writeln!(text, "{name}{{reason=\"{}\"}} {count}", label(reason));
    }
}

/// Of the backend udp alone.
fn carried(text: &mut String, forwarder: &Forwarder) {
    let counts = &forwarder.counts;
    sample(
        text,
        "netd_forwarder_up",
        "1 while the process that carries the packets works.",
        "gauge",
        &flag(forwarder.running).to_string(),
    );
    sample(
        text,
        "netd_forwarder_starts_total",
        "How often it was started.",
        "counter",
        &forwarder.starts.to_string(),
    );
    let both = [("sent", counts.sent), ("received", counts.received)];
    let name = "netd_forwarder_packets_total";
    head(text, name, "Packets carried, by direction.", "counter");
    for (direction, carried) in both {
        let packets = carried.packets;
        let _ = writeln!(text, "{name}{{direction=\"{direction}\"}} {packets}");
    }
    let name = "netd_forwarder_bytes_total";
    head(text, name, "Their bytes, by direction.", "counter");
    for (direction, carried) in both {
        let bytes = carried.bytes;
        let _ = writeln!(text, "{name}{{direction=\"{direction}\"}} {bytes}");
    }
    let name = "netd_forwarder_dropped_total";
    head(text, name, "Packets dropped, by reason.", "counter");
    for (reason, packets) in &counts.dropped {
        let _ = writeln!(text, "{name}{{reason=\"{}\"}} {packets}", label(reason));
    }
}

/// No sample where nothing is known.
fn probes(text: &mut String, reach: &[Reach]) {
    let known = || {
        reach
            .iter()
            .filter(|reach| reach.state != Reachable::Unknown)
    };
    let name = "netd_peer_reachable";
    let help = "1 where the path to a subnet carries packets of every size and back, also if it loses some.";
    head(text, name, help, "gauge");
    for reach in known() {
        let is_reached = matches!(reach.state, Reachable::Yes | Reachable::Lossy);
        let (subnet, value) = (label(&reach.subnet), flag(is_reached));
        let _ = writeln!(text, "{name}{{subnet=\"{subnet}\"}} {value}");
    }
    let name = "netd_probe_round_trip_seconds";
    let help = "Median time from a probe to its answer, of the last ones.";
    head(text, name, help, "gauge");
    for reach in known() {
        if let Some(micros) = reach.round_trip_us {
            let (subnet, seconds) = (label(&reach.subnet), micros as f64 / 1e6);
            let _ = writeln!(text, "{name}{{subnet=\"{subnet}\"}} {seconds}");
        }
    }
    let name = "netd_probe_loss_ratio";
    let help = "Part of the last probes that was not answered, by size.";
    head(text, name, help, "gauge");
    for reach in known() {
        let subnet = label(&reach.subnet);
        for (size, lost, sent) in [
            ("small", reach.lost, reach.sent),
            ("full", reach.full_lost, reach.full_sent),
        ] {
            let ratio = f64::from(lost) / f64::from(sent.max(1));
            let _ = writeln!(
                text,
                "{name}{{subnet=\"{subnet}\",size=\"{size}\"}} {ratio}"
            );
        }
    }
}

fn histogram(text: &mut String, name: &str, help: &str, seen: &Histogram) {
    head(text, name, help, "histogram");
    for (bound, count) in seen.cumulative() {
        let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {count}");
    }
    let (count, sum) = (seen.count(), seen.sum());
    let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}");
    let _ = writeln!(text, "{name}_sum {sum}\n{name}_count {count}");
}

/// A label's value.
fn label(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    text.replace('\n', "\\n")
}

/// Name, help and value.
type Gauge = (&'static str, &'static str, f64);

fn gauges(state: &State, uptime: Duration) -> impl Iterator<Item = Gauge> {
    let own = of_daemon(state, uptime).into_iter();
    own.chain(of_store(state))
        .chain(of_peers(state))
        .chain(of_datapath(&state.datapath))
        .chain(of_node(state))
}

/// How netd does.
fn of_daemon(state: &State, uptime: Duration) -> [Gauge; 3] {
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
    ]
}

/// What it hears from the store.
fn of_store(state: &State) -> [Gauge; 2] {
    [
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
    ]
}

/// The other nodes.
fn of_peers(state: &State) -> [Gauge; 4] {
    [
        (
            "netd_peers",
            "Leases of other nodes.",
            count(state.peers.known),
        ),
        (
            "netd_peers_served",
            "Leases of other nodes of which every subnet is served.",
            count(state.peers.served),
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
    ]
}

/// What it keeps in the kernel.
fn of_datapath(datapath: &Datapath) -> [Gauge; 7] {
    [
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
    ]
}

/// What pods of this node are given.
fn of_node(state: &State) -> [Gauge; 2] {
    [
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
#[path = "metrics_tests.rs"]
mod tests;

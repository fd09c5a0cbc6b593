use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::tests::state;
use super::*;

fn page() -> String {
    let mut durations = Durations::default();
    durations.reconcile.observe(Duration::from_millis(3));
    durations.store.observe(Duration::from_secs(60));
    let state = state();
    let reach = &state.peers.nodes[0].reach;
    metrics(&state, Duration::from_secs(3), &durations, reach)
}

/// The kind of each metric.
fn kinds(page: &str) -> BTreeMap<String, String> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines
        .map(|line| line.split_once(' ').expect("a kind"))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

/// The metric that a sample's name belongs to.
fn metric(name: &str, kinds: &BTreeMap<String, String>) -> String {
    let parts = ["_bucket", "_sum", "_count"].into_iter();
    let whole = parts.filter_map(|part| name.strip_suffix(part));
    let mut histograms = whole.filter(|name| kinds.get(*name).is_some_and(|k| k == "histogram"));
    histograms.next().unwrap_or(name).to_owned()
}

#[test]
fn values_are_the_states() {
    let text = page();
    for line in [
        "netd_build_info{version=\"0.1.0\",backend=\"vxlan\"} 1\n",
        "netd_peers 2\n",
        "netd_ready 1\n",
        "netd_degraded 1\n",
        "netd_lease_expires_seconds 86000\n",
        "netd_masquerade_random_ports 1\n",
        "netd_forwarder_up 1\n",
        "netd_forwarder_starts_total 2\n",
        "netd_forwarder_packets_total{direction=\"sent\"} 3000\n",
        "netd_forwarder_bytes_total{direction=\"received\"} 5000\n",
        "netd_forwarder_dropped_total{reason=\"spoofed\"} 7\n",
        "netd_peers_unserved_by_reason{reason=\"not-on-link\"} 1\n",
        "netd_peer_reachable{subnet=\"10.5.7.0/24\"} 0\n",
        "netd_probe_round_trip_seconds{subnet=\"10.5.7.0/24\"} 0.000212\n",
        "netd_probe_loss_ratio{subnet=\"10.5.7.0/24\",size=\"small\"} 0.05\n",
        "netd_probe_loss_ratio{subnet=\"10.5.7.0/24\",size=\"full\"} 0.25\n",
        "netd_reconcile_duration_seconds_bucket{le=\"0.0025\"} 0\n",
        "netd_reconcile_duration_seconds_bucket{le=\"0.005\"} 1\n",
        "netd_reconcile_duration_seconds_bucket{le=\"+Inf\"} 1\n",
        "netd_reconcile_duration_seconds_count 1\n",
        "netd_store_duration_seconds_bucket{le=\"10\"} 0\n",
        "netd_store_duration_seconds_sum 60\n",
    ] {
        assert!(text.contains(line), "{line}\nin\n{text}");
    }
}

/// Prometheus' text format 0.0.4, and its conventions for names; `make check-metrics` asks promtool.
#[test]
fn the_page_is_well_formed() {
    let text = page();
    let kinds = kinds(&text);
    let (mut told, mut helped) = (BTreeSet::new(), BTreeSet::new());
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a text");
            assert!(helped.insert(name.to_owned()), "{name} has one help");
            assert!(help.ends_with('.'), "{line}");
            current = name.to_owned();
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a kind");
            assert_eq!(name, current, "{line}");
            assert!(["gauge", "counter", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("name and value");
        assert!(value == "+Inf" || value.parse::<f64>().is_ok(), "{line}");
        assert!(told.insert(name.to_owned()), "{line}: twice");
        let (bare, labels) = name.split_once('{').unwrap_or((name, "}"));
        assert!(labels.ends_with('}'), "{line}");
        let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(
            bare.starts_with("netd_") && bare.chars().all(is_word),
            "{line}"
        );
        assert_eq!(
            metric(bare, &kinds),
            current,
            "samples follow their kind: {line}"
        );
    }
    assert_eq!(helped.len(), kinds.len());
}

#[test]
fn source_ports_are_counted_where_there_is_masquerading() {
    for (ports, told) in [
        (None, None),
        (Some(SourcePorts::Random), Some("1")),
        (Some(SourcePorts::Disabled), Some("0")),
        (Some(SourcePorts::Refused), Some("0")),
    ] {
        let mut state = state();
        state.firewall.source_ports = ports;
        let page = metrics(&state, Duration::ZERO, &Durations::default(), &[]);
        let lines = page.lines();
        let mut values =
            lines.filter_map(|line| line.strip_prefix("netd_masquerade_random_ports "));
        assert_eq!(values.next(), told, "{ports:?}");
    }
}

#[test]
fn label_values_are_escaped() {
    assert_eq!(label("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Words of a text that are names of metrics.
fn names(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_word(c));
    let named = words.filter(|word| word.starts_with("netd_") && !word.ends_with('_'));
    named.map(str::to_owned).collect()
}

#[test]
fn the_documentation_names_every_metric_and_no_other() {
    let page = page();
    let kinds = kinds(&page);
    let docs = read("../docs/netd.md");
    let (_, table) = docs.split_once("<!-- metrics -->").expect("begin");
    let (table, _) = table.split_once("<!-- end -->").expect("end");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let told: BTreeSet<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    let served: BTreeSet<&str> = kinds.keys().map(String::as_str).collect();
    assert_eq!(told, served);
}

#[test]
fn rules_and_dashboard_name_metrics_that_there_are() {
    let kinds = kinds(&page());
    for path in [
        "../deploy/prometheus-rules.yaml",
        "../deploy/grafana-dashboard.json",
    ] {
        let found = names(&read(path));
        assert!(found.len() > 8, "{path}: {found:?}");
        for name in found {
            let metric = metric(&name, &kinds);
            assert!(kinds.contains_key(&metric), "{path}: {name}");
        }
    }
    let dashboard = read("../deploy/grafana-dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    assert!(
        dashboard["panels"]
            .as_array()
            .is_some_and(|panels| panels.len() > 8)
    );
}

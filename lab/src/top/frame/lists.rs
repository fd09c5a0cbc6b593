//! The two lists, and the line about what is selected.

use ratatui::style::{Modifier, Style};

use super::super::cells::{Column, Fitted, bytes, or_dash, processors, rate, time};

use super::super::view::{Focus, Row, View};
use super::{Canvas, Look, table};
use crate::watch::{Lease, Mood, Netd, NodeRow, PodCount, PodRow, Rate, Snapshot};

pub(super) fn nodes(
    canvas: &mut Canvas<'_, '_>,
    rows: u16,
    snapshot: &Snapshot,
    view: &View,
    look: Look,
) {
    let shown = view.nodes.shown(&snapshot.nodes);
    let at = view.nodes.place(shown.iter().map(|node| node.name()));
    let fitted = Fitted::new(node_columns(&shown, look), canvas.width());
    let at = (view.focus == Focus::Nodes).then_some(at);
    table(canvas, rows, &fitted, shown.len(), at);
}

fn node_columns(nodes: &[&NodeRow], look: Look) -> Vec<Column> {
    let nodes = || nodes.iter();
    let rates = |heading, spare, of: fn(&NodeRow) -> Option<Rate>, way: fn(Rate) -> f64| {
        let cells = nodes().map(|node| or_dash(of(node).map(way), rate));
        Column::figures(heading, spare).with(cells)
    };
    vec![
        Column::words("NODE", 0).styled(nodes().map(|node| (node.name.clone(), bold()))),
        Column::words("NETD", 0)
            .styled(nodes().map(|node| (node.netd.as_str(), look.of(mood(node.netd))))),
        Column::words("ADDRESS", 4)
            .with(nodes().map(|node| or_dash(node.addresses.first(), ToString::to_string))),
        Column::words("SUBNET", 1)
            .with(nodes().map(|node| or_dash(node.subnets.first(), ToString::to_string))),
        Column::figures("LEASE", 2)
            .styled(nodes().map(|node| (lease(node.lease), look.of(lease_mood(node.lease))))),
        Column::figures("PODS", 0).with(nodes().map(|node| match node.pods {
            PodCount { running, all } if running == all => all.to_string(),
            PodCount { running, all } => format!("{running}/{all}"),
        })),
        Column::figures("PEERS", 6).with(nodes().map(|node| peers(node))),
        Column::figures("REPAIRS", 5)
            .with(nodes().map(|node| or_dash(node.repairs, |repairs| repairs.to_string()))),
        rates("UNDERLAY RX", 3, |node| node.cable, |rate| rate.received),
        rates("TX", 3, |node| node.cable, |rate| rate.sent),
        rates("TUNNEL RX", 3, |node| node.tunnel, |rate| rate.received),
        rates("TX", 3, |node| node.tunnel, |rate| rate.sent),
    ]
}

/// Leases of other nodes that its netd serves, of how many.
fn peers(node: &NodeRow) -> String {
    let both = node.peers_served.zip(node.peers_known);
    or_dash(both, |(served, known)| format!("{served}/{known}"))
}

fn mood(netd: Netd) -> Mood {
    match netd {
        Netd::Ready => Mood::Good,
        Netd::Degraded => Mood::Waiting,
        Netd::NotReady | Netd::Silent | Netd::Stopped => Mood::Bad,
    }
}

fn lease(lease: Lease) -> String {
    match lease {
        Lease::Unknown => "-".to_owned(),
        Lease::Missing => "none".to_owned(),
        Lease::Reserved => "kept".to_owned(),
        Lease::EndsIn(seconds) => time(seconds),
    }
}

fn lease_mood(lease: Lease) -> Mood {
    match lease {
        Lease::Missing | Lease::EndsIn(0) => Mood::Bad,
        Lease::Unknown => Mood::Waiting,
        Lease::Reserved | Lease::EndsIn(_) => Mood::Good,
    }
}

pub(super) fn pods(
    canvas: &mut Canvas<'_, '_>,
    rows: u16,
    snapshot: &Snapshot,
    view: &View,
    look: Look,
) {
    let shown = view.pods.shown(&snapshot.pods);
    let at = view.pods.place(shown.iter().map(|pod| pod.name()));
    let fitted = Fitted::new(pod_columns(&shown, look), canvas.width());
    let at = (view.focus == Focus::Pods).then_some(at);
    table(canvas, rows, &fitted, shown.len(), at);
}

fn pod_columns(pods: &[&PodRow], look: Look) -> Vec<Column> {
    let pods = || pods.iter();
    let rates = |heading, way: fn(Rate) -> f64| {
        let cells = pods().map(|pod| or_dash(pod.traffic.map(way), rate));
        Column::figures(heading, 4).with(cells)
    };
    let first = |pod: &PodRow| or_dash(pod.addresses.first(), ToString::to_string);
    vec![
        Column::words("POD", 0).styled(pods().map(|pod| (pod.name.clone(), bold()))),
        Column::figures("READY", 0).with(pods().map(|pod| pod.ready.clone())),
        Column::words("STATUS", 0)
            .styled(pods().map(|pod| (pod.status.clone(), look.of(pod.mood)))),
        Column::figures("RS", 1).with(pods().map(|pod| pod.restarts.to_string())),
        Column::words("NODE", 3).with(pods().map(|pod| pod.node.clone())),
        Column::words("ADDRESS", 5).with(pods().map(|pod| first(pod))),
        Column::figures("CPU", 1).with(pods().map(|pod| or_dash(pod.cpu_cores, processors))),
        Column::figures("MEMORY", 2).with(pods().map(|pod| memory(pod))),
        rates("RX", |rate| rate.received),
        rates("TX", |rate| rate.sent),
    ]
}

fn memory(pod: &PodRow) -> String {
    let used = or_dash(pod.memory_bytes, bytes);
    match pod.memory_limit_bytes {
        Some(limit) => format!("{used}/{}", bytes(limit)),
        None => used,
    }
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// What does not fit into the list, of the selected row.
pub(super) fn selected(snapshot: &Snapshot, view: &View) -> String {
    match view.focus {
        Focus::Pods => of_selected(&view.pods.shown(&snapshot.pods), view, pod_line),
        Focus::Nodes => of_selected(&view.nodes.shown(&snapshot.nodes), view, node_line),
    }
}

fn of_selected<R: Row>(rows: &[&R], view: &View, line: fn(&R) -> String) -> String {
    let at = view.list().place(rows.iter().map(|row| row.name()));
    rows.get(at).map(|row| line(row)).unwrap_or_default()
}

fn pod_line(pod: &PodRow) -> String {
    let containers = pod.containers.iter();
    let containers: Vec<String> = containers
        .map(|each| format!("{} {}", each.name, each.state))
        .collect();
    let parts = [listed(&pod.addresses), containers.join(", ")];
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    format!("{} on {}: {}", pod.name, pod.node, parts.join("; "))
}

fn node_line(node: &NodeRow) -> String {
    let addresses = listed(&node.addresses);
    let subnets = listed(&node.subnets);
    let peers = peers(node);
    let repairs = or_dash(node.repairs, |repairs| repairs.to_string());
    format!(
        "{}: address {}, subnet {subnets}, peers served {peers}, repairs {repairs}",
        node.name, addresses
    )
}

fn listed<T: ToString>(all: &[T]) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    all.join(" ")
}

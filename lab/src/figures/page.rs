//! The page of Prometheus: text format, version 0.0.4. Names and labels are those of cAdvisor for containers, of
//! kube-state-metrics for pods, and of node_exporter for nodes' links.

use std::fmt::Write as _;

use super::{ContainerFigures, Count, PodFigures, Snapshot, Traffic};
use crate::pod::Phase;
use crate::state::Name;

/// The namespace of all pods, for who groups by it.
const NAMESPACE: &str = "default";

/// The figures of all nodes, or of one, with its pods.
pub fn page(snapshot: &Snapshot, node: Option<&Name>) -> String {
    let is_wanted = |name: &Name| node.is_none_or(|wanted| wanted == name);
    let pods: Vec<&PodFigures> = snapshot
        .pods
        .iter()
        .filter(|pod| is_wanted(&pod.node))
        .collect();
    let mut page = Page::default();
    of_containers(&mut page, &pods);
    of_networks(&mut page, &pods);
    of_phases(&mut page, &pods);
    let nodes = snapshot.nodes.iter().filter(|node| is_wanted(&node.name));
    let links: Vec<(&Name, &Traffic)> = nodes
        .flat_map(|node| {
            let links = node.underlay.iter().chain(&node.tunnels);
            links.map(|link| (&node.name, link))
        })
        .collect();
    of_nodes(&mut page, &links);
    page.0
}

/// A number that is counted for a container; `None` where it is not.
type OfContainer = fn(&ContainerFigures) -> Option<f64>;

/// Name, kind, help.
const OF_CONTAINERS: [(&str, Kind, &str, OfContainer); 14] = [
    (
        "container_cpu_usage_seconds_total",
        Kind::Counter,
        "Time that processors worked for the container.",
        |each| each.used.usage.cpu_nanoseconds.map(seconds),
    ),
    (
        "container_cpu_cfs_throttled_seconds_total",
        Kind::Counter,
        "Time that its limit kept the container from processors.",
        |each| each.used.usage.cpu_throttled_nanoseconds.map(seconds),
    ),
    (
        "container_memory_usage_bytes",
        Kind::Gauge,
        "Memory, page cache included.",
        |each| each.used.usage.memory_bytes.map(whole),
    ),
    (
        "container_memory_working_set_bytes",
        Kind::Gauge,
        "Memory without files that nobody has read for long.",
        |each| each.used.usage.memory_working_set_bytes.map(whole),
    ),
    (
        "container_spec_memory_limit_bytes",
        Kind::Gauge,
        "Memory limit; 0 for none.",
        |each| Some(whole(each.used.memory_limit_bytes.unwrap_or(0))),
    ),
    (
        "container_oom_events_total",
        Kind::Counter,
        "Processes killed at the memory limit.",
        |each| each.used.usage.out_of_memory_kills.map(whole),
    ),
    (
        "container_fs_reads_bytes_total",
        Kind::Counter,
        "Bytes that were read from disks.",
        |each| each.used.usage.io.map(|io| whole(io.read_bytes)),
    ),
    (
        "container_fs_writes_bytes_total",
        Kind::Counter,
        "Bytes that were written to disks.",
        |each| each.used.usage.io.map(|io| whole(io.written_bytes)),
    ),
    (
        "container_fs_reads_total",
        Kind::Counter,
        "Requests of disks that read.",
        |each| each.used.usage.io.map(|io| whole(io.reads)),
    ),
    (
        "container_fs_writes_total",
        Kind::Counter,
        "Requests of disks that wrote.",
        |each| each.used.usage.io.map(|io| whole(io.writes)),
    ),
    ("container_processes", Kind::Gauge, "Processes.", |each| {
        Some(each.processes as f64)
    }),
    (
        "container_threads",
        Kind::Gauge,
        "Processes and their threads.",
        |each| each.used.usage.pids.map(whole),
    ),
    (
        "container_start_time_seconds",
        Kind::Gauge,
        "When the container was started, in seconds since 1970; absent when it does not run.",
        |each| each.started.map(|started| whole(started.unix_seconds())),
    ),
    (
        "kube_pod_container_status_restarts_total",
        Kind::Counter,
        "How often the container was started again.",
        |each| Some(f64::from(each.restarts)),
    ),
];

fn of_containers(page: &mut Page, pods: &[&PodFigures]) {
    for (name, kind, help, of) in OF_CONTAINERS {
        page.head(name, kind, help);
        for pod in pods {
            for container in &pod.containers {
                if let Some(value) = of(container) {
                    let labels = of_pod(pod, &[("container", &container.name)]);
                    page.sample(name, &labels, value);
                }
            }
        }
    }
}

/// A count: cAdvisor's word, node_exporter's word, help, and where it is.
type Counted = (&'static str, &'static str, &'static str, fn(&Count) -> u64);

const COUNTS: [Counted; 4] = [
    ("bytes", "bytes", "Bytes", |count| count.bytes),
    ("packets", "packets", "Packets", |count| count.packets),
    ("errors", "errs", "Broken packets", |count| count.errors),
    (
        "packets_dropped",
        "drop",
        "Packets without a place",
        |count| count.dropped,
    ),
];

/// A direction: both programs' word, and where it is.
type Way = (&'static str, fn(&Traffic) -> &Count);

const WAYS: [Way; 2] = [
    ("receive", |link| &link.received),
    ("transmit", |link| &link.sent),
];

fn of_networks(page: &mut Page, pods: &[&PodFigures]) {
    for (way, direction) in WAYS {
        for (count, _, help, of) in COUNTS {
            let name = format!("container_network_{way}_{count}_total");
            page.head(&name, Kind::Counter, &format!("{help} of the pod's links."));
            for pod in pods {
                for link in pod.network.iter().chain(&pod.further_networks) {
                    let labels = of_pod(pod, &[("interface", &link.interface)]);
                    page.sample(&name, &labels, whole(of(direction(link))));
                }
            }
        }
    }
}

fn of_phases(page: &mut Page, pods: &[&PodFigures]) {
    let name = "kube_pod_status_phase";
    page.head(name, Kind::Gauge, "1 for the phase that the pod is in.");
    let phases = [
        Phase::Pending,
        Phase::Running,
        Phase::Succeeded,
        Phase::Failed,
    ];
    for pod in pods {
        for phase in phases {
            let labels = of_pod(pod, &[("phase", phase.as_str())]);
            page.sample(name, &labels, f64::from(u8::from(pod.phase == phase)));
        }
    }
}

fn of_nodes(page: &mut Page, links: &[(&Name, &Traffic)]) {
    for (way, direction) in WAYS {
        for (_, count, help, of) in COUNTS {
            let name = format!("node_network_{way}_{count}_total");
            let help = format!("{help} of the node's link to the other nodes, and of its tunnel.");
            page.head(&name, Kind::Counter, &help);
            for (node, link) in links {
                let labels = [("node", node.as_str()), ("device", &link.interface)];
                page.sample(&name, &labels, whole(of(direction(link))));
            }
        }
    }
}

/// A label: name and value.
type Label<'a> = (&'a str, &'a str);

fn of_pod<'a>(pod: &'a PodFigures, further: &[Label<'a>]) -> Vec<Label<'a>> {
    let mut labels = vec![
        ("namespace", NAMESPACE),
        ("pod", pod.name.as_str()),
        ("node", pod.node.as_str()),
    ];
    labels.extend(further);
    labels
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn whole(value: u64) -> f64 {
    value as f64
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// All samples of a name stand together below its head.
#[derive(Default)]
struct Page(String);

// Writing to a String cannot fail.
impl Page {
    fn head(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = kind.as_str();
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[Label<'_>], value: f64) {
        let mut separator = '{';
        self.0.push_str(name);
        for (label, text) in labels {
            let text = escaped(text);
            let _ = write!(self.0, "{separator}{label}=\"{text}\"");
            separator = ',';
        }
        let _ = writeln!(self.0, "}} {value}");
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    text.replace('\n', "\\n")
}

//! `lab stats`: what pods and nodes use, once or again and again.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use sandbox::Interrupt;
use serde::Serialize;

use super::{ContainerFigures, Count, PodFigures, Snapshot, Traffic, Use};
use crate::cli::Output;
use crate::interrupt::{Interrupted, sleep};
use crate::keeper;
use crate::kubectl::pod_name;
use crate::output::{self, Table, mebibytes, or_dash};
use crate::pod::Pod;
use crate::size::parse_interval;
use crate::state::{LabDir, Name};

/// `lab stats`
#[derive(Debug, Args)]
#[command(after_help = "Examples: lab stats web --containers, lab stats --watch 5")]
pub struct StatsArgs {
    /// Some pods [default: all, and the nodes]
    #[arg(value_name = "POD", value_parser = pod_name)]
    pub pods: Vec<Name>,
    /// A line for each container, too
    #[arg(long)]
    pub containers: bool,
    /// Again and again until Ctrl-C, every so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = parse_interval)]
    pub watch: Option<u32>,
    /// How to print; as JSON each look is a line of its own with --watch
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// A processor's share is counted over this time.
const INTERVAL: Duration = Duration::from_secs(1);

/// Prints what is used, until a signal comes with `--watch`.
///
/// # Errors
/// There is no such lab or pod; what there is cannot be read.
pub fn stats(dir: &LabDir, args: &StatsArgs, interrupt: Interrupt) -> Result<()> {
    for pod in &args.pods {
        Pod::find(dir, pod)?;
    }
    let mut before = Snapshot::take(dir)?;
    let interval = match args.watch {
        Some(seconds) => Duration::from_secs(seconds.into()),
        None => INTERVAL,
    };
    // The first look of many does not let wait for the others.
    let mut wait = INTERVAL.min(interval);
    loop {
        sleep(interrupt, wait);
        match (interrupt.received(), args.watch) {
            (Some(_), Some(_)) => return Ok(()),
            (Some(signal), None) => bail!(Interrupted(signal)),
            (None, _) => {}
        }
        let now = Snapshot::take(dir)?;
        show(&View::of(&before, &now, &args.pods), args)?;
        if args.watch.is_none() {
            return keeper::warn_if_stopped(dir);
        }
        (before, wait) = (now, interval);
    }
}

fn show(view: &View<'_>, args: &StatsArgs) -> Result<()> {
    let tables = || view.tables(args.containers);
    let text = match args.watch {
        None => args.output.text(view, tables),
        Some(_) => args.output.text_of_next(view, || again(&tables())),
    };
    output::print(&text?)
}

/// In the place of what a terminal showed before; elsewhere below it.
fn again(text: &str) -> String {
    const HOME_AND_CLEAR: &str = "\x1b[H\x1b[J";
    match std::io::stdout().is_terminal() {
        true => format!("{HOME_AND_CLEAR}{text}"),
        false => format!("{text}\n"),
    }
}

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct View<'a> {
    pods: Vec<PodView<'a>>,
    nodes: Vec<NodeView<'a>>,
}

#[derive(Debug, Serialize)]
struct PodView<'a> {
    name: &'a Name,
    node: &'a Name,
    #[serde(flatten)]
    used: UseView,
    network: Option<&'a Traffic>,
    containers: Vec<ContainerView<'a>>,
}

#[derive(Debug, Serialize)]
struct ContainerView<'a> {
    name: &'a str,
    #[serde(flatten)]
    used: UseView,
}

#[derive(Debug, Serialize)]
struct NodeView<'a> {
    name: &'a Name,
    underlay: Option<&'a Traffic>,
    tunnels: &'a [Traffic],
}

/// Null is what the kernel does not count, or what has ended.
#[derive(Debug, Serialize)]
struct UseView {
    /// Share of a core since the look before: 2 is all of two.
    cpu_cores: Option<f64>,
    cpu_seconds: Option<f64>,
    cpu_throttled_seconds: Option<f64>,
    memory_working_set_bytes: Option<u64>,
    memory_bytes: Option<u64>,
    memory_limit_bytes: Option<u64>,
    pids: Option<u64>,
    out_of_memory_kills: Option<u64>,
    disk_read_bytes: Option<u64>,
    disk_written_bytes: Option<u64>,
}

impl<'a> View<'a> {
    fn of(before: &Snapshot, now: &'a Snapshot, wanted: &[Name]) -> Self {
        let time = now.taken.duration_since(before.taken);
        let is_wanted = |pod: &&PodFigures| wanted.is_empty() || wanted.contains(&pod.name);
        let pod = |pod: &'a PodFigures| {
            let same = |each: &&PodFigures| each.uid == pod.uid;
            PodView::of(before.pods.iter().find(same), pod, time)
        };
        let nodes = match wanted {
            [] => &now.nodes[..],
            _ => &[],
        };
        let node = |node: &'a super::NodeFigures| NodeView {
            name: &node.name,
            underlay: node.underlay.as_ref(),
            tunnels: &node.tunnels,
        };
        Self {
            pods: now.pods.iter().filter(is_wanted).map(pod).collect(),
            nodes: nodes.iter().map(node).collect(),
        }
    }

    fn tables(&self, with_containers: bool) -> String {
        let mut pods = Table::new(&[
            "POD",
            "NODE",
            "CORES",
            "MEMORY",
            "PIDS",
            "THROTTLED",
            "OOM KILLS",
            "RX (PACKETS)",
            "TX (PACKETS)",
        ]);
        for pod in &self.pods {
            let (received, sent) = both_ways(pod.network);
            let node = pod.node.to_string();
            pods.row(pod.used.cells(pod.name.to_string(), node, received, sent));
            for container in pod.containers.iter().filter(|_| with_containers) {
                let name = format!("  {}", container.name);
                let nothing = String::new;
                pods.row(container.used.cells(name, nothing(), nothing(), nothing()));
            }
        }
        if self.nodes.is_empty() {
            return pods.to_string();
        }
        let mut nodes = Table::new(&["NODE", "LINK", "RX (PACKETS)", "TX (PACKETS)"]);
        for node in &self.nodes {
            let underlay = node.underlay.map(|link| ("underlay", link));
            let tunnels = node.tunnels.iter().map(|link| ("tunnel", link));
            for (what, link) in underlay.into_iter().chain(tunnels) {
                let (received, sent) = both_ways(Some(link));
                let what = format!("{} ({what})", link.interface);
                nodes.row([node.name.to_string(), what, received, sent]);
            }
        }
        format!("{pods}\n{nodes}")
    }
}

impl<'a> PodView<'a> {
    fn of(before: Option<&PodFigures>, now: &'a PodFigures, time: Duration) -> Self {
        let container = |now: &'a ContainerFigures| {
            let all = before.iter().flat_map(|pod| &pod.containers);
            let before = all.into_iter().find(|each| each.name == now.name);
            ContainerView {
                name: &now.name,
                used: UseView::of(before.map(|each| &each.used), &now.used, time),
            }
        };
        Self {
            name: &now.name,
            node: &now.node,
            used: UseView::of(before.map(|pod| &pod.used), &now.used, time),
            network: now.network.as_ref(),
            containers: now.containers.iter().map(container).collect(),
        }
    }
}

impl UseView {
    fn of(before: Option<&Use>, now: &Use, time: Duration) -> Self {
        let usage = &now.usage;
        Self {
            cpu_cores: before.and_then(|before| share(before, now, time)),
            cpu_seconds: usage.cpu_nanoseconds.map(seconds),
            cpu_throttled_seconds: usage.cpu_throttled_nanoseconds.map(seconds),
            memory_working_set_bytes: usage.memory_working_set_bytes,
            memory_bytes: usage.memory_bytes,
            memory_limit_bytes: now.memory_limit_bytes,
            pids: usage.pids,
            out_of_memory_kills: usage.out_of_memory_kills,
            disk_read_bytes: usage.io.map(|io| io.read_bytes),
            disk_written_bytes: usage.io.map(|io| io.written_bytes),
        }
    }

    fn cells(&self, name: String, node: String, received: String, sent: String) -> [String; 9] {
        let memory = |bytes: Option<u64>| bytes.map(mebibytes);
        let limit = match memory(self.memory_limit_bytes) {
            Some(limit) => format!(" of {limit}"),
            None => String::new(),
        };
        let throttled = self.cpu_throttled_seconds;
        [
            name,
            node,
            or_dash(self.cpu_cores.map(|cores| format!("{cores:.2}"))),
            or_dash(memory(self.memory_working_set_bytes)) + &limit,
            or_dash(self.pids),
            or_dash(throttled.map(|seconds| format!("{seconds:.1} s"))),
            or_dash(self.out_of_memory_kills),
            received,
            sent,
        ]
    }
}

/// Of one core, over this time. What was counted anew meanwhile has none.
fn share(before: &Use, now: &Use, time: Duration) -> Option<f64> {
    let (before, now) = (before.usage.cpu_nanoseconds?, now.usage.cpu_nanoseconds?);
    let worked = seconds(now.checked_sub(before)?);
    (!time.is_zero()).then(|| worked / time.as_secs_f64())
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn both_ways(link: Option<&Traffic>) -> (String, String) {
    let cell = |count: Count| format!("{} ({})", mebibytes(count.bytes), count.packets);
    let way = |of: fn(&Traffic) -> Count| or_dash(link.map(|link| cell(of(link))));
    (way(|link| link.received), way(|link| link.sent))
}

#[cfg(test)]
mod tests {
    use sandbox::cgroup::Usage;

    use super::*;

    #[test]
    fn a_share_is_of_the_time_between_two_looks() {
        let used = |cpu_nanoseconds| Use {
            usage: Usage {
                cpu_nanoseconds,
                ..Usage::default()
            },
            memory_limit_bytes: None,
        };
        let two_seconds = Duration::from_secs(2);
        for (before, now, expected) in [
            (Some(1_000_000_000), Some(2_000_000_000), Some(0.5)),
            (Some(0), Some(4_000_000_000), Some(2.0)),
            (Some(2), Some(1), None),
            (None, Some(1), None),
        ] {
            let found = share(&used(before), &used(now), two_seconds);
            assert_eq!(found, expected, "{before:?} {now:?}");
        }
    }
}

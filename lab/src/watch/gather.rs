//! Looks at a lab: figures from [`crate::figures`], the pods' statuses, and what the nodes' netds say.

use std::ops::Add;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::netds::{Answer, Netds};
use super::path::paths;
use super::snapshot::{
    Container, Lease, Mood, Netd, NodeRow, PodCount, PodRow, Problem, Rate, Repair, RouterRow,
    Snapshot, UnderlayRow,
};
use crate::called::as_called;
use crate::fault;
use crate::figures::{self, NodeFigures, PodFigures, Traffic};
use crate::kubectl::word;
use crate::netd;
use crate::node::Node;
use crate::pod::{ConditionType, ContainerState, ContainerStatus, Phase, Pod, Status};
use crate::program::Programs;
use crate::state::LabDir;
use crate::topology::{Cable, RouterPlan, Underlay};

/// Who looks, and what was seen the last time.
pub(crate) struct Gatherer {
    dir: LabDir,
    programs: Programs,
    netds: Netds,
    before: Option<figures::Snapshot>,
}

impl Gatherer {
    pub(crate) fn new(dir: LabDir, programs: Programs) -> Self {
        Self {
            dir,
            programs,
            netds: Netds::default(),
            before: None,
        }
    }

    /// Takes a look. Rates are those since the last one.
    ///
    /// # Errors
    /// The lab has gone, or changes while it is looked at.
    pub(crate) fn look(&mut self) -> Result<Snapshot> {
        let lab = self.dir.lab()?;
        let nodes = Node::all(&self.dir)?;
        let answers = self.netds.ask(&self.dir, &self.programs, &nodes)?;
        let now = figures::Snapshot::take(&self.dir)?;
        let since = Since::new(self.before.take(), &now);
        let mut snapshot = Snapshot {
            lab: lab.name.to_string(),
            backend: lab.backend.as_str().to_owned(),
            store: lab.store.as_str().to_owned(),
            pod_networks: lab.pod_networks.iter().map(|pods| pods.network).collect(),
            underlays: lab.topology.underlays.iter().map(underlay_row).collect(),
            routers: lab.topology.routers.iter().map(router_row).collect(),
            faults: fault::in_force(&self.dir)?.iter().map(Into::into).collect(),
            ..Snapshot::default()
        };
        for (node, answer) in nodes.iter().zip(&answers) {
            snapshot.problems.extend(problems(node, answer));
            snapshot.repairs.extend(repairs(node, answer));
            if let Answer::Status(status) = answer {
                snapshot.paths.extend(paths(node, status, &nodes));
            }
            let cable = lab.topology.node_cable(&node.name);
            snapshot
                .nodes
                .push(since.node_row(node, cable.as_ref(), answer));
        }
        for pod in Pod::all(&self.dir)? {
            let status = pod.status(&self.dir)?;
            let row = since.pod_row(&pod, &status, pod.deletion(&self.dir)?.is_some());
            snapshot.problems.extend(trouble(&row, &status));
            snapshot.pods.push(row);
        }
        // Files have them by length.
        snapshot
            .pods
            .sort_by(|one, other| one.name.cmp(&other.name));
        snapshot
            .problems
            .sort_by_key(|problem| problem.mood != Mood::Bad);
        snapshot.repairs.sort_by_key(|repair| repair.seconds);
        self.before = Some(now);
        Ok(snapshot)
    }
}

fn underlay_row(underlay: &Underlay) -> UnderlayRow {
    UnderlayRow {
        name: underlay.name.to_string(),
        subnets: underlay.subnets.clone(),
        mtu: underlay.mtu,
    }
}

fn router_row(router: &RouterPlan) -> RouterRow {
    RouterRow {
        name: router.name.to_string(),
        underlays: router.underlays.iter().map(ToString::to_string).collect(),
    }
}

/// Two looks at the figures.
struct Since<'a> {
    before: Option<figures::Snapshot>,
    now: &'a figures::Snapshot,
    time: Duration,
}

impl<'a> Since<'a> {
    fn new(before: Option<figures::Snapshot>, now: &'a figures::Snapshot) -> Self {
        let time = before.as_ref().map(|before| now.taken - before.taken);
        Self {
            before,
            now,
            time: time.unwrap_or_default(),
        }
    }

    fn node_row(&self, node: &Node, cable: Option<&Cable>, answer: &Answer) -> NodeRow {
        let is = |each: &&NodeFigures| each.name == node.name;
        let now = self.now.nodes.iter().find(is);
        let before = self.before.as_ref();
        let before = before.and_then(|before| before.nodes.iter().find(is));
        let pods = self.now.pods.iter().filter(|pod| pod.node == node.name);
        let running = pods.clone().filter(|pod| pod.phase == Phase::Running);
        let status = match answer {
            Answer::Status(status) => status,
            Answer::Silence(_) | Answer::Stopped => &Value::Null,
        };
        NodeRow {
            name: node.name.to_string(),
            underlay: cable
                .map(|cable| cable.underlay.to_string())
                .unwrap_or_default(),
            impairment: cable
                .map(|cable| cable.impairment.to_string())
                .filter(|words| !words.is_empty()),
            addresses: node.addresses.clone(),
            subnets: netd::subnets(node),
            netd: netd_of(answer),
            pods: PodCount {
                running: running.count(),
                all: pods.count(),
            },
            lease: lease(status),
            peers_known: status["peers"]["known"].as_u64(),
            peers_served: status["peers"]["served"].as_u64(),
            repairs: repairs_made(status),
            cable: self.rate(
                before.and_then(|node| node.underlay.as_ref()),
                now.and_then(|node| node.underlay.as_ref()),
            ),
            tunnel: self.of_tunnels(before, now),
        }
    }

    fn pod_row(&self, pod: &Pod, status: &Status, is_deleted: bool) -> PodRow {
        let is = |each: &&PodFigures| each.uid == pod.uid;
        let now = self.now.pods.iter().find(is);
        let before = self.before.as_ref();
        let before = before.and_then(|before| before.pods.iter().find(is));
        let word = word::of(pod.spec(), status, is_deleted);
        let nanoseconds = |pod: &PodFigures| pod.used.usage.cpu_nanoseconds;
        let nanoseconds = self.per_second(before.and_then(nanoseconds), now.and_then(nanoseconds));
        let rate = |of: fn(&PodFigures) -> Option<&Traffic>| {
            self.rate(before.and_then(of), now.and_then(of))
        };
        PodRow {
            name: pod.name.to_string(),
            node: pod.node.to_string(),
            ready: word.ready,
            is_ready: status.is(ConditionType::Ready),
            mood: mood(status, &word.status),
            status: word.status,
            restarts: status.containers().map(|each| each.restart_count).sum(),
            addresses: status.pod_ips.iter().map(|each| each.ip).collect(),
            cpu_cores: nanoseconds.map(|nanoseconds| nanoseconds / 1e9),
            memory_bytes: now.and_then(|pod| pod.used.usage.memory_working_set_bytes),
            memory_limit_bytes: now.and_then(|pod| pod.used.memory_limit_bytes),
            traffic: rate(|pod| pod.network.as_ref()),
            containers: status.containers().map(described).collect(),
        }
    }

    /// All tunnels of a node together: netd has one for each family.
    fn of_tunnels(&self, before: Option<&NodeFigures>, now: Option<&NodeFigures>) -> Option<Rate> {
        let (before, now) = (before?, now?);
        let rates = now.tunnels.iter().filter_map(|link| {
            let is = |each: &&Traffic| each.interface == link.interface;
            self.rate(before.tunnels.iter().find(is), Some(link))
        });
        rates.reduce(Rate::add)
    }

    fn rate(&self, before: Option<&Traffic>, now: Option<&Traffic>) -> Option<Rate> {
        let (before, now) = (before?, now?);
        Some(Rate {
            received: self.per_second(Some(before.received.bytes), Some(now.received.bytes))?,
            sent: self.per_second(Some(before.sent.bytes), Some(now.sent.bytes))?,
        })
    }

    /// What was counted anew meanwhile has none.
    fn per_second(&self, before: Option<u64>, now: Option<u64>) -> Option<f64> {
        let more = now?.checked_sub(before?)?;
        (!self.time.is_zero()).then(|| more as f64 / self.time.as_secs_f64())
    }
}

/// Since netd was started.
fn repairs_made(status: &Value) -> Option<u64> {
    let of = |part: &str| status[part]["repairs"].as_u64();
    Some(of("datapath")? + of("firewall")?)
}

fn netd_of(answer: &Answer) -> Netd {
    match answer {
        Answer::Stopped => Netd::Stopped,
        Answer::Silence(_) => Netd::Silent,
        Answer::Status(status) => match status["level"].as_str() {
            Some("ready") => Netd::Ready,
            Some("degraded") => Netd::Degraded,
            _ => Netd::NotReady,
        },
    }
}

fn lease(status: &Value) -> Lease {
    let lease = &status["lease"];
    match (lease["subnets"].as_str(), lease["expires_in"].as_u64()) {
        (None, _) => Lease::Unknown,
        (Some(""), _) => Lease::Missing,
        (Some(_), Some(seconds)) => Lease::EndsIn(seconds),
        (Some(_), None) => Lease::Reserved,
    }
}

fn problems(node: &Node, answer: &Answer) -> Vec<Problem> {
    let problem = |what: String, mood: Mood| Problem {
        of: node.name.to_string(),
        what,
        mood,
    };
    match answer {
        Answer::Stopped => {
            let what = format!("netd does not run: `lab node start {}`", node.name);
            vec![problem(as_called(&what).into_owned(), Mood::Bad)]
        }
        Answer::Silence(why) => vec![problem(format!("{why:#}"), Mood::Bad)],
        Answer::Status(status) => {
            let told = netd::problems(status).into_iter();
            told.map(|(severity, what)| match severity.as_str() {
                "not-ready" => problem(what, Mood::Bad),
                _ => problem(what, Mood::Waiting),
            })
            .collect()
        }
    }
}

fn repairs(node: &Node, answer: &Answer) -> Vec<Repair> {
    let Answer::Status(status) = answer else {
        return Vec::new();
    };
    let put_back = status["repaired"].as_array().into_iter().flatten();
    let repair = |each: &Value| Repair {
        node: node.name.to_string(),
        object: each["object"].as_str().unwrap_or_default().to_owned(),
        count: each["count"].as_u64().unwrap_or(1),
        seconds: each["seconds"].as_u64().unwrap_or(0),
    };
    put_back.map(repair).collect()
}

fn mood(status: &Status, word: &str) -> Mood {
    const BAD: &[&str] = &[
        "BackOff",
        "Error",
        "OOMKilled",
        "CannotRun",
        "Unknown",
        "Killed",
    ];
    let is_bad = BAD.iter().any(|bad| word.contains(bad));
    match status.phase {
        _ if is_bad => Mood::Bad,
        Phase::Failed => Mood::Bad,
        Phase::Running if status.is(ConditionType::Ready) => Mood::Good,
        Phase::Running | Phase::Pending | Phase::Succeeded => Mood::Waiting,
    }
}

/// What a pod's status has to say to whoever should look.
fn trouble(row: &PodRow, status: &Status) -> Option<Problem> {
    if row.mood != Mood::Bad {
        return None;
    }
    let messages = status.containers().filter_map(message);
    let message = status.message.as_deref().or(messages.into_iter().next());
    let containers = || {
        let words = row.containers.iter();
        let words: Vec<String> = words
            .map(|each| format!("{} {}", each.name, each.state))
            .collect();
        words.join(", ")
    };
    let what = match message {
        Some(message) => format!("{}: {message}", row.status),
        None => format!("{}: {}", row.status, containers()),
    };
    Some(Problem {
        of: row.name.clone(),
        what,
        mood: Mood::Bad,
    })
}

fn message(container: &ContainerStatus) -> Option<&str> {
    match &container.state {
        ContainerState::Waiting(waiting) => waiting.message.as_deref(),
        ContainerState::Terminated(end) => end.message.as_deref(),
        ContainerState::Running(_) => None,
    }
}

fn described(container: &ContainerStatus) -> Container {
    let state = match &container.state {
        ContainerState::Waiting(waiting) => waiting.reason.clone(),
        ContainerState::Running(_) if container.ready => "ready".to_owned(),
        ContainerState::Running(_) => "not ready".to_owned(),
        ContainerState::Terminated(end) => format!("{} ({})", end.reason.as_str(), end.exit_code),
    };
    Container {
        name: container.name.clone(),
        state,
    }
}

//! Snapshots that tests look at.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::view::View;
use crate::watch::{
    Container, Lease, Mood, Netd, NodeRow, PodCount, PodRow, Problem, Rate, Repair, Snapshot,
};

/// Presses these keys: `\n` is Enter, `\t` Tab, `\u{8}` Backspace, `\u{1b}` Esc.
pub(super) fn press(view: &mut View, snapshot: &Snapshot, keys: &str) {
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\u{8}' => KeyCode::Backspace,
            '\u{1b}' => KeyCode::Esc,
            other => KeyCode::Char(other),
        };
        view.press(KeyEvent::from(code), snapshot);
    }
}

fn node(number: u8, netd: Netd, pods: usize, lease: Lease) -> NodeRow {
    let answers = lease != Lease::Unknown;
    let traffic = |received, sent| Some(Rate { received, sent });
    NodeRow {
        name: format!("n{number}"),
        underlay: "network".to_owned(),
        impairment: None,
        addresses: vec![[192, 168, 50, number].into()],
        subnets: format!("10.244.{number}.0/24")
            .parse()
            .into_iter()
            .collect(),
        netd,
        pods: PodCount {
            running: pods,
            all: pods,
        },
        lease,
        peers_known: answers.then_some(2),
        peers_served: answers.then_some(2),
        repairs: answers.then_some(u64::from(number)),
        cable: traffic(2_000_000.0, 30_000.0),
        tunnel: traffic(1_900_000.0, 28_000.0),
    }
}

/// Word and figures of a pod: node, ready, status, restarts, processors, MiB, and bytes per second.
type Facts = (&'static str, &'static str, &'static str, u32, f64, u64, f64);

fn pod(name: &str, address: &str, mood: Mood, facts: Facts) -> PodRow {
    let (node, ready, status, restarts, cpu, mebibytes, traffic) = facts;
    let runs = status != "Completed";
    PodRow {
        name: name.to_owned(),
        node: node.to_owned(),
        ready: ready.to_owned(),
        is_ready: mood == Mood::Good,
        status: status.to_owned(),
        mood,
        restarts,
        addresses: address.parse().into_iter().collect(),
        cpu_cores: runs.then_some(cpu),
        memory_bytes: runs.then_some(mebibytes << 20),
        memory_limit_bytes: Some(64 << 20),
        traffic: runs.then_some(Rate {
            received: traffic,
            sent: traffic / 100.0,
        }),
        containers: vec![Container {
            name: "main".to_owned(),
            state: status.to_owned(),
        }],
    }
}

/// Three nodes, one of them stopped, five pods, one of them in trouble.
pub(super) fn busy() -> Snapshot {
    Snapshot {
        lab: "lab".to_owned(),
        backend: "vxlan".to_owned(),
        store: "dir".to_owned(),
        nodes: vec![
            node(1, Netd::Ready, 1, Lease::EndsIn(86_000)),
            node(2, Netd::Degraded, 2, Lease::Reserved),
            node(3, Netd::Stopped, 2, Lease::Unknown),
        ],
        pods: busy_pods(),
        problems: problems(),
        repairs: vec![Repair {
            node: "n2".to_owned(),
            object: "route 10.244.1.0/24 via 10.244.1.0 dev flannel.1".to_owned(),
            count: 3,
            seconds: 12,
        }],
        ..Snapshot::default()
    }
}

fn busy_pods() -> Vec<PodRow> {
    let (good, waiting, bad) = (Mood::Good, Mood::Waiting, Mood::Bad);
    [
        (
            "cache-0",
            "10.244.2.2",
            good,
            ("n2", "1/1", "Running", 2, 0.1, 60, 1e3),
        ),
        (
            "client",
            "10.244.3.2",
            good,
            ("n3", "1/1", "Running", 1, 1.5, 10, 2e6),
        ),
        (
            "job",
            "10.244.3.3",
            waiting,
            ("n3", "0/1", "Completed", 0, 0.0, 0, 0.0),
        ),
        (
            "web-0",
            "10.244.1.2",
            good,
            ("n1", "2/2", "Running", 0, 0.25, 20, 3e4),
        ),
        (
            "web-1",
            "10.244.2.3",
            bad,
            ("n2", "1/2", "CrashLoopBackOff", 14, 0.0, 5, 0.0),
        ),
    ]
    .map(|(name, address, mood, rest)| pod(name, address, mood, rest))
    .into()
}

fn problems() -> Vec<Problem> {
    vec![
        Problem {
            of: "n3".to_owned(),
            what: "netd does not run: `lab node start n3`".to_owned(),
            mood: Mood::Bad,
        },
        Problem {
            of: "web-1".to_owned(),
            what: "CrashLoopBackOff: back-off 5m0s restarting container".to_owned(),
            mood: Mood::Bad,
        },
    ]
}

/// As many nodes as there can be, and hundreds of pods with long names.
pub(super) fn crowded() -> Snapshot {
    let mut snapshot = busy();
    let nodes = 1..=64;
    snapshot.nodes = nodes
        .map(|number| node(number, Netd::NotReady, 5, Lease::EndsIn(5)))
        .collect();
    let pods = 0..300;
    snapshot.pods = pods
        .map(|number| {
            let name = format!("a-name-as-long-as-a-name-can-be-in-a-lab-of-this-kind-{number:03}");
            let facts = (
                "n64",
                "10/12",
                "Init:CrashLoopBackOff",
                999,
                63.99,
                9_999,
                9e11,
            );
            pod(
                &name,
                "fd00:1234:5678:9abc:def0:1234:5678:9abc",
                Mood::Bad,
                facts,
            )
        })
        .collect();
    let problem = snapshot.problems.remove(1);
    snapshot.problems = vec![problem; 50];
    snapshot
}

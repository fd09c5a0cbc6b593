//! How a pod is doing, as the columns READY, STATUS and RESTARTS say it.
//!
//! The rules are those of Kubernetes (`printPod` in k8s.io/kubernetes/pkg/printers/internalversion).

use std::collections::BTreeSet;

use manifest::PodSpec;

use super::age;
use crate::pod::{ConditionType, ContainerState, ContainerStatus, Status};

/// The three columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Containers and sidecars that are ready, and how many there are: `1/2`.
    pub(crate) ready: String,
    /// In one word: `Running`, `Init:0/2`, `CrashLoopBackOff`.
    pub(crate) status: String,
    /// `0`, or `3 (10s ago)`.
    pub(crate) restarts: String,
}

/// How a pod is doing; `is_deleted` once its end was asked for.
pub(crate) fn of(spec: &PodSpec, status: &Status, is_deleted: bool) -> Word {
    let mut init = InitContainers::of(spec, status);
    let is_initializing = init.word.is_some() && !status.is(ConditionType::Initialized);
    let mut word = init.word.take().unwrap_or_else(|| phase(status));
    let mut counted = init.all;
    let mut ready = init.ready;
    if !is_initializing {
        let main = MainContainers::of(status);
        word = main.word(status).unwrap_or(word);
        counted = [init.sidecars, status.container_statuses.iter().collect()].concat();
        ready += main.ready;
    }
    if is_deleted && !status.has_ended() {
        word = "Terminating".to_owned();
    }
    let sidecars = spec.init_containers.iter().filter(|each| each.is_sidecar());
    Word {
        ready: format!("{ready}/{}", spec.containers.len() + sidecars.count()),
        status: word,
        restarts: restarts(&counted),
    }
}

fn phase(status: &Status) -> String {
    status
        .reason
        .clone()
        .unwrap_or_else(|| status.phase.as_str().to_owned())
}

/// What init containers and sidecars have to say.
struct InitContainers<'a> {
    all: Vec<&'a ContainerStatus>,
    sidecars: Vec<&'a ContainerStatus>,
    ready: usize,
    /// Of the first one that the others wait for.
    word: Option<String>,
}

impl<'a> InitContainers<'a> {
    fn of(spec: &PodSpec, status: &'a Status) -> Self {
        let sidecars: BTreeSet<&str> = spec
            .init_containers
            .iter()
            .filter(|each| each.is_sidecar())
            .map(|each| each.name.as_str())
            .collect();
        let is_sidecar = |each: &ContainerStatus| sidecars.contains(each.name.as_str());
        let mut found = Self {
            all: status.init_container_statuses.iter().collect(),
            sidecars: Vec::new(),
            ready: 0,
            word: None,
        };
        found.sidecars = found
            .all
            .iter()
            .copied()
            .filter(|each| is_sidecar(each))
            .collect();
        for (number, each) in found.all.iter().enumerate() {
            if is_sidecar(each) && each.started {
                found.ready += usize::from(each.ready);
                continue;
            }
            found.word = match &each.state {
                ContainerState::Terminated(end) if end.exit_code == 0 => continue,
                ContainerState::Terminated(end) => Some(format!("Init:{}", end.reason.as_str())),
                ContainerState::Waiting(waiting) if waiting.reason != "PodInitializing" => {
                    Some(format!("Init:{}", waiting.reason))
                }
                _ => Some(format!("Init:{number}/{}", found.all.len())),
            };
            break;
        }
        found
    }
}

/// What the other containers have to say.
struct MainContainers {
    /// Of the first one that does not run.
    word: Option<String>,
    ready: usize,
}

impl MainContainers {
    fn of(status: &Status) -> Self {
        let mut found = Self {
            word: None,
            ready: 0,
        };
        for each in status.container_statuses.iter().rev() {
            match &each.state {
                ContainerState::Waiting(waiting) => found.word = Some(waiting.reason.clone()),
                ContainerState::Terminated(end) => {
                    found.word = Some(end.reason.as_str().to_owned())
                }
                ContainerState::Running(_) => found.ready += usize::from(each.ready),
            }
        }
        found
    }

    fn word(&self, status: &Status) -> Option<String> {
        let some_are_done = self.word.as_deref() == Some("Completed") && self.ready > 0;
        match (some_are_done, status.is(ConditionType::Ready)) {
            (true, true) => Some("Running".to_owned()),
            (true, false) => Some("NotReady".to_owned()),
            (false, _) => self.word.clone(),
        }
    }
}

fn restarts(counted: &[&ContainerStatus]) -> String {
    let number: u32 = counted.iter().map(|each| each.restart_count).sum();
    let ends = counted
        .iter()
        .filter_map(|each| each.last_state.as_ref()?.terminated());
    match ends.map(|end| end.finished_at).max() {
        Some(last) if number > 0 => format!("{number} ({} ago)", age::human(last.age())),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn container(name: &str, state: Value) -> Value {
        let ready = state.get("running").is_some();
        json!({
            "name": name, "state": state, "ready": ready, "started": ready, "restartCount": 0,
            "image": "", "imageID": "",
        })
    }

    fn ended(reason: &str, code: i32) -> Value {
        let time = "2026-01-01T00:00:00Z";
        json!({ "terminated": { "exitCode": code, "reason": reason, "startedAt": time, "finishedAt": time } })
    }

    fn waiting(reason: &str) -> Value {
        json!({ "waiting": { "reason": reason } })
    }

    fn running() -> Value {
        let process = json!({ "pid": 1, "start_time": 1 });
        json!({ "running": { "startedAt": "2026-01-01T00:00:00Z", "process": process } })
    }

    /// The columns of a pod whose containers are so: `init` before the others, `side...` being sidecars.
    fn columns(
        phase: &str,
        init: &[(&str, Value)],
        main: &[Value],
        initialized: bool,
        deleted: bool,
    ) -> [String; 2] {
        let time = "2026-01-01T00:00:00Z";
        let word = |truth: bool| if truth { "True" } else { "False" };
        let all_run = main.iter().all(|state| state.get("running").is_some());
        let main: Vec<Value> = main
            .iter()
            .map(|state| container("main", state.clone()))
            .collect();
        let status: Status = serde_json::from_value(json!({
            "phase": phase, "startTime": time,
            "conditions": [
                { "type": "Initialized", "status": word(initialized), "lastTransitionTime": time },
                { "type": "Ready", "status": word(all_run), "lastTransitionTime": time },
            ],
            "initContainerStatuses":
                init.iter().map(|(name, state)| container(name, state.clone())).collect::<Vec<_>>(),
            "containerStatuses": main,
        }))
        .unwrap();
        let init = init.iter().map(|(name, _)| match name.starts_with("side") {
            true => json!({ "name": name, "restartPolicy": "Always" }),
            false => json!({ "name": name }),
        });
        let main = main.iter().map(|_| json!({ "name": "main" }));
        let spec: PodSpec = serde_json::from_value(json!({
            "initContainers": init.collect::<Vec<_>>(), "containers": main.collect::<Vec<_>>(),
        }))
        .unwrap();
        let word = of(&spec, &status, deleted);
        [word.ready, word.status]
    }

    #[test]
    fn statuses_are_kubectls() {
        let initializing = || waiting("PodInitializing");
        let done = || ended("Completed", 0);
        for (phase, init, main, [ready, status]) in [
            (
                "Pending",
                vec![],
                vec![waiting("ContainerCreating")],
                ["0/1", "ContainerCreating"],
            ),
            (
                "Running",
                vec![],
                vec![running(), running()],
                ["2/2", "Running"],
            ),
            (
                "Running",
                vec![],
                vec![running(), waiting("CrashLoopBackOff")],
                ["1/2", "CrashLoopBackOff"],
            ),
            (
                "Running",
                vec![],
                vec![ended("Error", 1), running()],
                ["1/2", "Error"],
            ),
            (
                "Running",
                vec![],
                vec![done(), running()],
                ["1/2", "NotReady"],
            ),
            ("Succeeded", vec![], vec![done()], ["0/1", "Completed"]),
            (
                "Failed",
                vec![],
                vec![ended("OOMKilled", 137)],
                ["0/1", "OOMKilled"],
            ),
            (
                "Pending",
                vec![("a", running()), ("b", initializing())],
                vec![initializing()],
                ["0/1", "Init:0/2"],
            ),
            (
                "Pending",
                vec![("a", done()), ("b", initializing())],
                vec![initializing()],
                ["0/1", "Init:1/2"],
            ),
            (
                "Pending",
                vec![("a", ended("Error", 1))],
                vec![initializing()],
                ["0/1", "Init:Error"],
            ),
            (
                "Pending",
                vec![("a", waiting("CrashLoopBackOff"))],
                vec![initializing()],
                ["0/1", "Init:CrashLoopBackOff"],
            ),
            (
                "Running",
                vec![("a", done()), ("side", running())],
                vec![running()],
                ["2/2", "Running"],
            ),
        ] {
            let told = format!("{phase} {init:?} {main:?}");
            let initialized = phase != "Pending" || init.is_empty();
            assert_eq!(
                columns(phase, &init, &main, initialized, false),
                [ready, status],
                "{told}"
            );
        }
        let created = [("a", done())];
        let columns_then = columns("Pending", &created, &[initializing()], true, false);
        assert_eq!(columns_then, ["0/1", "PodInitializing"]);
        assert_eq!(
            columns("Running", &[], &[running()], true, true),
            ["1/1", "Terminating"]
        );
        assert_eq!(
            columns("Succeeded", &[], &[done()], true, true),
            ["0/1", "Completed"]
        );
    }

    #[test]
    fn restarts_say_when_the_last_one_was() {
        let mut status: ContainerStatus =
            serde_json::from_value(container("a", running())).unwrap();
        assert_eq!(restarts(&[&status]), "0");
        status.restart_count = 3;
        status.last_state = Some(serde_json::from_value(ended("Error", 1)).unwrap());
        let text = restarts(&[&status, &status]);
        assert!(text.starts_with("6 (") && text.ends_with(" ago)"), "{text}");
    }
}

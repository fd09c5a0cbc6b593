//! A pod's phase, from how its containers are doing (Kubernetes documentation, "Pod Lifecycle").

use manifest::{Container, PodSpec, RestartPolicy};
use serde::{Deserialize, Serialize};

use super::{ContainerState, ContainerStatus, Status};

/// A pod's life in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Not all of its containers have been started.
    Pending,
    /// They have, and at least one runs or will run again.
    Running,
    /// All have ended well and none is started again.
    Succeeded,
    /// All have ended, not all of them well, and none is started again.
    Failed,
}

impl Phase {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The phase; `ended` says that no container is started any more. A pod whose sidecars run has not ended.
pub(super) fn of(spec: &PodSpec, status: &Status, ended: bool) -> Phase {
    let phase = of_containers(spec, status, ended);
    match phase {
        Phase::Succeeded | Phase::Failed if status.containers().any(runs) => {
            match is_initialized(spec, status) {
                true => Phase::Running,
                false => Phase::Pending,
            }
        }
        phase => phase,
    }
}

fn runs(status: &ContainerStatus) -> bool {
    status.state.running().is_some()
}

fn of_containers(spec: &PodSpec, status: &Status, ended: bool) -> Phase {
    if init_has_failed(spec, status, ended) {
        return Phase::Failed;
    }
    let containers = &status.container_statuses;
    let well = |each: &ContainerStatus| each.last_end().is_some_and(|end| end.exit_code == 0);
    if ended {
        return match containers.iter().all(well) {
            true => Phase::Succeeded,
            false => Phase::Failed,
        };
    }
    let never_started = |each: &ContainerStatus| {
        matches!(each.state, ContainerState::Waiting(_)) && each.last_state.is_none()
    };
    if !is_initialized(spec, status) || containers.iter().any(never_started) {
        return Phase::Pending;
    }
    if containers.iter().any(runs) || spec.restart_policy == RestartPolicy::Always {
        return Phase::Running;
    }
    if containers.iter().all(well) {
        return Phase::Succeeded;
    }
    match spec.restart_policy {
        RestartPolicy::Never => Phase::Failed,
        _ => Phase::Running,
    }
}

fn init_has_failed(spec: &PodSpec, status: &Status, ended: bool) -> bool {
    let badly = |(container, status): (&Container, &ContainerStatus)| {
        !container.is_sidecar() && status.last_end().is_some_and(|end| end.exit_code != 0)
    };
    let for_good = ended || spec.restart_policy == RestartPolicy::Never;
    for_good && init_containers(spec, status).any(badly)
}

fn init_containers<'a>(
    spec: &'a PodSpec,
    status: &'a Status,
) -> impl Iterator<Item = (&'a Container, &'a ContainerStatus)> {
    spec.init_containers
        .iter()
        .zip(&status.init_container_statuses)
}

/// Whether init containers have ended well and sidecars have started. A sidecar that has started once has: what
/// happens to it later does not make the pod pending.
pub(super) fn is_initialized(spec: &PodSpec, status: &Status) -> bool {
    init_containers(spec, status).all(|(container, status)| match container.is_sidecar() {
        true => status.started || status.last_end().is_some(),
        false => status
            .state
            .terminated()
            .is_some_and(|end| end.exit_code == 0),
    })
}

/// Whether all containers and sidecars are ready.
pub(super) fn are_ready(spec: &PodSpec, status: &Status) -> bool {
    let mut sidecars = init_containers(spec, status).filter(|(each, _)| each.is_sidecar());
    sidecars.all(|(_, status)| status.ready)
        && status.container_statuses.iter().all(|each| each.ready)
}

#[cfg(test)]
mod tests {
    use super::super::{ConditionType, EndReason, Running, Terminated, Timestamp};
    use super::*;

    fn ended(code: i32) -> ContainerState {
        ContainerState::Terminated(Terminated {
            exit_code: code,
            signal: None,
            reason: EndReason::Error,
            message: None,
            started_at: Timestamp::now(),
            finished_at: Timestamp::now(),
        })
    }

    fn running() -> ContainerState {
        ContainerState::Running(Running {
            started_at: Timestamp::now(),
            process: sandbox::Process {
                pid: 1,
                start_time: 1,
            },
        })
    }

    fn spec(policy: RestartPolicy, init: &[&str], main: &[&str]) -> PodSpec {
        let container = |name: &&str| Container {
            name: (*name).to_owned(),
            restart_policy: name
                .starts_with("side")
                .then_some(manifest::SidecarPolicy::Always),
            ..Container::default()
        };
        PodSpec {
            restart_policy: policy,
            init_containers: init.iter().map(container).collect(),
            containers: main.iter().map(container).collect(),
            ..PodSpec::default()
        }
    }

    #[test]
    fn phases_of_containers() {
        use RestartPolicy::{Always, Never, OnFailure};
        let waiting = || ContainerState::waiting("ContainerCreating");
        for (policy, states, phase) in [
            (Always, [waiting(), waiting()], Phase::Pending),
            (Always, [running(), waiting()], Phase::Pending),
            (Always, [running(), running()], Phase::Running),
            (Always, [ended(0), ended(0)], Phase::Running),
            (OnFailure, [ended(0), ended(0)], Phase::Succeeded),
            (OnFailure, [ended(0), ended(1)], Phase::Running),
            (Never, [ended(0), ended(1)], Phase::Failed),
            (Never, [ended(0), running()], Phase::Running),
            (Never, [ended(0), ended(0)], Phase::Succeeded),
        ] {
            let spec = spec(policy, &[], &["a", "b"]);
            let mut status = Status::new(&spec, Timestamp::now(), |_| String::new());
            let told = format!("{policy:?} {states:?}");
            for (status, state) in status.container_statuses.iter_mut().zip(states) {
                status.state = state;
            }
            assert_eq!(of(&spec, &status, false), phase, "{told}");
        }
    }

    #[test]
    fn nothing_is_started_any_more() {
        let spec = spec(RestartPolicy::Always, &[], &["a"]);
        let mut status = Status::new(&spec, Timestamp::now(), |_| String::new());
        for (code, phase) in [(0, Phase::Succeeded), (143, Phase::Failed)] {
            status.container_statuses[0].state = ended(code);
            assert_eq!(of(&spec, &status, true), phase);
        }
    }

    #[test]
    fn init_containers_come_first() {
        let mut spec = spec(RestartPolicy::Always, &["first", "side"], &["a"]);
        let mut status = Status::new(&spec, Timestamp::now(), |_| String::new());
        let mut settle = |spec: &PodSpec, change: &dyn Fn(&mut Status)| {
            change(&mut status);
            status.settle(spec, Timestamp::now(), false);
            (status.phase, status.is(ConditionType::Initialized))
        };
        let failed = settle(&spec, &|s| s.init_container_statuses[0].state = ended(1));
        assert_eq!(failed, (Phase::Pending, false));
        spec.restart_policy = RestartPolicy::Never;
        assert_eq!(settle(&spec, &|_| {}), (Phase::Failed, false));
        spec.restart_policy = RestartPolicy::Always;
        let sidecar = settle(&spec, &|s| {
            s.init_container_statuses[0].state = ended(0);
            s.init_container_statuses[1].state = running();
            s.container_statuses[0].state = running();
        });
        assert_eq!(sidecar, (Phase::Pending, false));
        let started = settle(&spec, &|s| s.init_container_statuses[1].started = true);
        assert_eq!(started, (Phase::Running, true));
        // It has not ended before the sidecar has.
        spec.restart_policy = RestartPolicy::Never;
        let main_ended = settle(&spec, &|s| s.container_statuses[0].state = ended(0));
        assert_eq!(main_ended, (Phase::Running, true));
        let all_ended = settle(&spec, &|s| s.init_container_statuses[1].state = ended(0));
        assert_eq!(all_ended, (Phase::Succeeded, true));
        // Not ready before the sidecar is.
        status.container_statuses[0].ready = true;
        status.settle(&spec, Timestamp::now(), false);
        assert!(!status.is(ConditionType::Ready));
        status.init_container_statuses[1].ready = true;
        status.settle(&spec, Timestamp::now(), false);
        assert!(status.is(ConditionType::Ready));
    }
}

//! How a pod is doing, in Kubernetes' words: `PodStatus` and `ContainerStatus` (core/v1), and the pod's events.
//!
//! The supervisor writes it; [`Status::settle`] is the one place where a pod's phase and conditions come from
//! those of its containers.

mod event;
mod phase;
mod time;

use std::net::IpAddr;

use manifest::{Container, PodSpec};
use sandbox::Process;
use serde::{Deserialize, Serialize};

pub use event::{Event, Severity};
pub use phase::Phase;
pub use time::Timestamp;

/// How a pod is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// In one word.
    pub phase: Phase,
    /// What is true of it, each in one word.
    pub conditions: Vec<Condition>,
    /// Why it is in its phase, where that says more than its containers do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The node's address.
    #[serde(default, rename = "hostIP", skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// The first of its addresses.
    #[serde(default, rename = "podIP", skip_serializing_if = "Option::is_none")]
    pub pod_ip: Option<IpAddr>,
    /// Its addresses.
    #[serde(default, rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pub pod_ips: Vec<PodIp>,
    /// When its node took it on.
    pub start_time: Timestamp,
    /// In the order of the manifest; sidecars are among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub init_container_statuses: Vec<ContainerStatus>,
    /// In the order of the manifest.
    #[serde(default)]
    pub container_statuses: Vec<ContainerStatus>,
    /// Beside those, made by `lab debug`; the supervisor knows nothing of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ephemeral_container_statuses: Vec<ContainerStatus>,
    /// What happened to it, oldest first; the lab's own, where Kubernetes has objects of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
}

/// An address of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodIp {
    /// The address.
    pub ip: IpAddr,
}

/// What can be true of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionType {
    /// It has a node.
    PodScheduled,
    /// Its init containers have ended well, its sidecars have started.
    Initialized,
    /// All its containers are ready.
    ContainersReady,
    /// It can be sent requests.
    Ready,
}

/// Whether something is true of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What.
    pub r#type: ConditionType,
    /// Whether.
    #[serde(with = "word")]
    pub status: bool,
    /// Since when.
    pub last_transition_time: Timestamp,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A truth as Kubernetes writes it: `"True"`.
mod word {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(truth: &bool, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(if *truth { "True" } else { "False" })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
        String::deserialize(from).map(|word| word == "True")
    }
}

/// How a container is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// Now.
    pub state: ContainerState,
    /// How it ended the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_state: Option<ContainerState>,
    /// Whether it can be sent requests; of an init container, whether it ended well.
    pub ready: bool,
    /// Whether it runs and has passed its startup probe.
    pub started: bool,
    /// How often it was started again.
    pub restart_count: u32,
    /// As the manifest names it.
    pub image: String,
    /// Digest of the image, or the directory that it is.
    #[serde(rename = "imageID")]
    pub image_id: String,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContainerState {
    /// It is not started yet, or not yet again.
    Waiting(Waiting),
    /// It runs.
    Running(Running),
    /// It has ended.
    Terminated(Terminated),
}

/// Why a container does not run yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// `PodInitializing`, `ContainerCreating`, `CrashLoopBackOff`.
    pub reason: String,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A container that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Since when.
    pub started_at: Timestamp,
    /// Its first process, numbered as the machine numbers it; the lab's own.
    pub process: Process,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terminated {
    /// Its exit status; 128 and the number for a signal.
    pub exit_code: i32,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Why.
    pub reason: EndReason,
    /// What the lab has to say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When its program was started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// Why a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndReason {
    /// With status 0.
    Completed,
    /// With another.
    Error,
    /// The kernel killed a process of it at its memory limit.
    #[serde(rename = "OOMKilled")]
    OomKilled,
    /// Its program could not be started.
    ContainerCannotRun,
    /// Nobody was there to see it end.
    ContainerStatusUnknown,
}

impl EndReason {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::Error => "Error",
            Self::OomKilled => "OOMKilled",
            Self::ContainerCannotRun => "ContainerCannotRun",
            Self::ContainerStatusUnknown => "ContainerStatusUnknown",
        }
    }
}

impl ContainerState {
    /// Not started yet.
    pub fn waiting(reason: &str) -> Self {
        Self::Waiting(Waiting {
            reason: reason.to_owned(),
            message: None,
        })
    }

    /// Ended, as nobody saw.
    pub(super) fn unknown(started_at: Timestamp, finished_at: Timestamp) -> Self {
        Self::Terminated(Terminated {
            exit_code: 137,
            signal: None,
            reason: EndReason::ContainerStatusUnknown,
            message: None,
            started_at,
            finished_at,
        })
    }

    /// How it ended, if it did.
    pub fn terminated(&self) -> Option<&Terminated> {
        match self {
            Self::Terminated(terminated) => Some(terminated),
            _ => None,
        }
    }

    /// What runs, if it does.
    pub fn running(&self) -> Option<&Running> {
        match self {
            Self::Running(running) => Some(running),
            _ => None,
        }
    }
}

impl ContainerStatus {
    pub(super) fn of(container: &Container, waits_for: &str, image_id: &str) -> Self {
        Self {
            name: container.name.clone(),
            state: ContainerState::waiting(waits_for),
            last_state: None,
            ready: false,
            started: false,
            restart_count: 0,
            image: container.image.clone().unwrap_or_default(),
            image_id: image_id.to_owned(),
        }
    }

    /// How it ended, now or the last time.
    pub fn last_end(&self) -> Option<&Terminated> {
        let ended = self.state.terminated();
        ended.or_else(|| self.last_state.as_ref()?.terminated())
    }
}

impl Status {
    /// Of a pod whose node has taken it on at `now`; `image_id` says which image a container has.
    pub fn new(spec: &PodSpec, now: Timestamp, image_id: impl Fn(&Container) -> String) -> Self {
        let waits_for = match spec.init_containers.is_empty() {
            true => "ContainerCreating",
            false => "PodInitializing",
        };
        let of = |containers: &[Container]| {
            let status = |each: &Container| ContainerStatus::of(each, waits_for, &image_id(each));
            containers.iter().map(status).collect()
        };
        let mut status = Self {
            phase: Phase::Pending,
            conditions: Vec::new(),
            reason: None,
            message: None,
            host_ip: None,
            pod_ip: None,
            pod_ips: Vec::new(),
            start_time: now,
            init_container_statuses: of(&spec.init_containers),
            container_statuses: of(&spec.containers),
            ephemeral_container_statuses: Vec::new(),
            events: Vec::new(),
        };
        status.settle(spec, now, false);
        status
    }

    /// All containers of the pod's own: init containers first.
    pub fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.init_container_statuses
            .iter()
            .chain(&self.container_statuses)
    }

    /// One container, also one beside the pod's own.
    pub fn container(&self, name: &str) -> Option<&ContainerStatus> {
        let mut all = self.containers().chain(&self.ephemeral_container_statuses);
        all.find(|each| each.name == name)
    }

    /// One container, to be changed.
    pub(super) fn container_mut(&mut self, name: &str) -> Option<&mut ContainerStatus> {
        self.init_container_statuses
            .iter_mut()
            .chain(&mut self.container_statuses)
            .find(|each| each.name == name)
    }

    /// Whether this is true of the pod.
    pub fn is(&self, what: ConditionType) -> bool {
        self.conditions
            .iter()
            .any(|each| each.r#type == what && each.status)
    }

    /// Phase and conditions, from how the containers are doing. `ended` says that no container is started
    /// any more.
    pub(super) fn settle(&mut self, spec: &PodSpec, now: Timestamp, ended: bool) {
        self.phase = phase::of(spec, self, ended);
        let initialized = phase::is_initialized(spec, self);
        let ready = initialized && phase::are_ready(spec, self);
        let not_ready = match self.phase {
            Phase::Succeeded => "PodCompleted",
            Phase::Failed => "PodFailed",
            _ => "ContainersNotReady",
        };
        self.note(ConditionType::PodScheduled, true, "", now);
        let why = "ContainersNotInitialized";
        self.note(ConditionType::Initialized, initialized, why, now);
        self.note(ConditionType::ContainersReady, ready, not_ready, now);
        self.note(ConditionType::Ready, ready, not_ready, now);
    }

    fn note(&mut self, what: ConditionType, status: bool, why_not: &str, now: Timestamp) {
        let reason = (!status).then(|| why_not.to_owned());
        match self.conditions.iter_mut().find(|each| each.r#type == what) {
            Some(condition) => {
                if condition.status != status {
                    condition.last_transition_time = now;
                }
                condition.status = status;
                condition.reason = reason;
            }
            None => self.conditions.push(Condition {
                r#type: what,
                status,
                last_transition_time: now,
                reason,
            }),
        }
    }

    /// As it is when the command that made it was killed before its life had begun: it waits for nothing any more.
    pub(super) fn cut_short(mut self) -> Self {
        let ours = self.init_container_statuses.iter_mut();
        for each in ours.chain(&mut self.container_statuses) {
            each.state = ContainerState::waiting(CUT_SHORT);
        }
        self.reason = Some(CUT_SHORT.to_owned());
        let message = "the command that made the pod was killed: the same again makes it anew, \
                       `lab delete` removes what there is";
        self.message = Some(message.to_owned());
        self
    }

    /// As it is when its supervisor has ended without having seen the end of the pod: nobody knows what its
    /// containers did since `now`, when it last wrote the status.
    pub(super) fn lost(mut self, now: Timestamp) -> Self {
        let lose = |each: &mut ContainerStatus| {
            each.ready = false;
            each.started = false;
            let started_at = match &each.state {
                ContainerState::Running(running) => running.started_at,
                ContainerState::Waiting(_) => now,
                ContainerState::Terminated(_) => return,
            };
            each.state = ContainerState::unknown(started_at, now);
        };
        self.init_container_statuses.iter_mut().for_each(lose);
        self.container_statuses.iter_mut().for_each(lose);
        self.phase = Phase::Failed;
        self.reason = Some(LOST.to_owned());
        let message = "the pod's first process, its supervisor, ended before the pod did";
        self.message = Some(message.to_owned());
        self.event(Severity::Warning, LOST, message.to_owned(), now);
        for what in [ConditionType::ContainersReady, ConditionType::Ready] {
            self.note(what, false, "PodFailed", now);
        }
        self
    }

    /// Whether nothing of the pod runs any more.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Whether the command that made it was killed before its life had begun.
    pub fn is_cut_short(&self) -> bool {
        self.reason.as_deref() == Some(CUT_SHORT)
    }

    /// Whether its supervisor was killed before the pod had ended.
    pub fn is_lost(&self) -> bool {
        self.reason.as_deref() == Some(LOST)
    }
}

/// Why a pod is pending whose making was killed.
const CUT_SHORT: &str = "CreationKilled";
/// Why a pod failed whose supervisor was killed.
const LOST: &str = "SupervisorKilled";

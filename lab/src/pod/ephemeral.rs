//! Containers that were made beside a pod's own, as core/v1 has them ("EphemeralContainer"):
//! `pods/POD/ephemeral/NAME.json`.
//!
//! The command that makes one writes it, since the pod's supervisor knows nothing of them.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use anyhow::{Context, Result};
use manifest::Container;
use sandbox::Process;
use serde::{Deserialize, Serialize};

use super::status::{ContainerState, ContainerStatus, EndReason, Event, Running, Severity};
use super::{Base, Pod, Status, Terminated, Timestamp};
use crate::program;
use crate::state::{self as files, LabDir};

/// Of a pod, so many are remembered.
const MOST: usize = 16;

/// A container beside a pod's own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ephemeral {
    /// What it is.
    pub container: Container,
    /// The container whose processes it sees.
    pub target: Option<String>,
    /// What its root is made of, lowest first; none for the machine's.
    #[serde(default)]
    layers: Vec<PathBuf>,
    /// What makes it, waits for its program and removes it.
    leader: Process,
    /// How it is doing; its first process is said to be the leader.
    status: ContainerStatus,
    /// What happened to it.
    events: Vec<Event>,
    /// When it was asked for.
    asked: Timestamp,
    /// A later one has a higher number.
    number: u32,
}

impl Ephemeral {
    /// One that is asked for, and led by `leader`.
    pub(super) fn new(
        container: Container,
        target: Option<&str>,
        base: &Base,
        leader: Process,
    ) -> Self {
        Self {
            layers: base.layers.clone(),
            leader,
            status: ContainerStatus::of(&container, "ContainerCreating", &base.id),
            container,
            target: target.map(str::to_owned),
            events: Vec::new(),
            asked: Timestamp::now(),
            number: 0,
        }
    }

    /// Notes it, and forgets old ones. For who keeps the pod from being removed.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn begin(&mut self, dir: &LabDir, pod: &Pod) -> Result<()> {
        let directory = directory(dir, pod);
        match fs::create_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.with_context(|| format!("create {}", directory.display()))?,
        }
        let there = pod.ephemeral(dir)?;
        self.number = there.last().map_or(0, |last| last.number + 1);
        for old in &there[..(there.len() + 1).saturating_sub(MOST)] {
            let _ = fs::remove_file(old.path(dir, pod));
        }
        files::write(&self.path(dir, pod), self)
    }

    /// Notes that its program is started.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn runs(&mut self, dir: &LabDir, pod: &Pod) -> Result<()> {
        let now = Timestamp::now();
        self.status.state = ContainerState::Running(Running {
            started_at: now,
            process: self.leader,
        });
        self.status.started = true;
        let message = format!("Started container {}", self.container.name);
        self.event(Severity::Normal, "Started", message, now);
        self.note(dir, pod)
    }

    /// Notes how it ended.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn ended(
        &mut self,
        dir: &LabDir,
        pod: &Pod,
        outcome: Result<ExitStatus, String>,
    ) -> Result<()> {
        let now = Timestamp::now();
        let mut end = Terminated {
            exit_code: 128,
            signal: None,
            reason: EndReason::ContainerCannotRun,
            message: None,
            started_at: self.status.state.running().map_or(now, |it| it.started_at),
            finished_at: now,
        };
        match outcome {
            Ok(status) => {
                end.exit_code = program::exit_status(status).into();
                end.signal = std::os::unix::process::ExitStatusExt::signal(&status);
                end.reason = match status.success() {
                    true => EndReason::Completed,
                    false => EndReason::Error,
                };
            }
            Err(why) => {
                self.event(Severity::Warning, "Failed", format!("Error: {why}"), now);
                end.message = Some(why);
            }
        }
        self.status.started = false;
        self.status.state = ContainerState::Terminated(end);
        self.note(dir, pod)
    }

    fn event(&mut self, severity: Severity, reason: &str, message: String, now: Timestamp) {
        self.events
            .push(Event::once(severity, reason, message, now));
    }

    /// A pod that is removed meanwhile needs none.
    fn note(&self, dir: &LabDir, pod: &Pod) -> Result<()> {
        match directory(dir, pod).is_dir() {
            true => files::write(&self.path(dir, pod), self),
            false => Ok(()),
        }
    }

    /// The layers of its root, as long as it has one.
    pub fn layers_in_use(&self) -> &[PathBuf] {
        match self.status.state.terminated() {
            Some(_) => &[],
            None => &self.layers,
        }
    }

    fn path(&self, dir: &LabDir, pod: &Pod) -> PathBuf {
        directory(dir, pod).join(format!("{}.json", self.container.name))
    }

    /// As it is when what led it was killed: nobody saw its end.
    fn settled(mut self) -> Self {
        let state = &self.status.state;
        if state.terminated().is_none() && !self.leader.is_alive() {
            let started_at = state.running().map_or(self.asked, |it| it.started_at);
            self.status.started = false;
            self.status.state = ContainerState::unknown(started_at, Timestamp::now());
        }
        self
    }
}

fn directory(dir: &LabDir, pod: &Pod) -> PathBuf {
    dir.pod(&pod.name).join("ephemeral")
}

impl Pod {
    /// The containers that were made beside its own, oldest first.
    ///
    /// # Errors
    /// A state file cannot be read.
    pub fn ephemeral(&self, dir: &LabDir) -> Result<Vec<Ephemeral>> {
        let directory = directory(dir, self);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(error).with_context(|| format!("read {}", directory.display()));
            }
        };
        let mut all: Vec<Ephemeral> = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|end| end == "json") {
                all.extend(files::read(&path)?);
            }
        }
        all.sort_by_key(|each| each.number);
        Ok(all.into_iter().map(Ephemeral::settled).collect())
    }
}

impl Status {
    /// With containers beside the pod's own, and what happened to them.
    pub(super) fn with_ephemeral(mut self, all: Vec<Ephemeral>) -> Self {
        for each in all {
            self.ephemeral_container_statuses.push(each.status);
            self.events.extend(each.events);
        }
        self.events.sort_by_key(|event| event.last_timestamp);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_killed_runs_no_more_and_events_are_in_order() {
        let container = Container {
            name: "debug.1".to_owned(),
            ..Container::default()
        };
        let at = |second: u64| {
            Timestamp::from(
                std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second),
            )
        };
        let gone = Process {
            pid: u32::MAX >> 1,
            start_time: 1,
        };
        let base = Base {
            layers: vec!["/store/app".into()],
            ..Base::default()
        };
        let mut one = Ephemeral::new(container, Some("main"), &base, gone);
        one.event(Severity::Normal, "Started", "two".to_owned(), at(2));
        one.status.state = ContainerState::Running(Running {
            started_at: at(2),
            process: gone,
        });
        assert_eq!(one.layers_in_use(), base.layers);
        let settled = one.settled();
        assert!(settled.layers_in_use().is_empty());
        let end = settled.status.state.terminated().unwrap();
        assert_eq!(
            (end.exit_code, end.reason),
            (137, EndReason::ContainerStatusUnknown)
        );
        let mut status = Status::new(&manifest::PodSpec::default(), at(0), |_| String::new());
        for second in [1, 3] {
            status.event(Severity::Normal, "Pulled", second.to_string(), at(second));
        }
        let status = status.with_ephemeral(vec![settled]);
        let messages: Vec<&str> = status.events.iter().map(|each| &*each.message).collect();
        assert_eq!(messages, ["1", "two", "3"]);
        assert_eq!(status.container("debug.1").unwrap().name, "debug.1");
        assert_eq!(status.containers().count(), 0);
    }
}

//! The life of one container: started, watched, ended, started again.

use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use manifest::{Container, Handler, RestartPolicy};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Supervisor;
use super::backoff::Backoff;
use super::ending::{Deadline, Stop};
use super::probes::Probed;
use super::start::Started;
use crate::pod::status::{ContainerState, Running, Severity, Timestamp, Waiting};

/// How far a container has come in its present run, for who waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    /// Not started yet.
    #[default]
    None,
    /// Its program runs.
    Runs,
    /// Its first start was tried, its `postStart` is done.
    Tried,
    /// It has started, as its startup probe sees it.
    Started,
}

/// One container of a pod.
pub(super) struct Life {
    pub supervisor: Rc<Supervisor>,
    pub container: Container,
    /// When it is started again.
    pub policy: RestartPolicy,
    /// Asks it to end for good.
    pub stop: Stop,
    pub progress: watch::Sender<Progress>,
}

impl Life {
    /// Leads it to its last end; whether that was a good one.
    pub(super) async fn live(mut self) -> bool {
        let mut backoff = Backoff::default();
        let mut number = 0;
        loop {
            let begin = Instant::now();
            let success = self.run(number).await;
            self.come_to(Progress::Tried);
            if self.stop.is_asked_for() || !self.is_started_again(success) {
                return success;
            }
            if !self.back_off(backoff.after(begin.elapsed())).await {
                return success;
            }
            number += 1;
        }
    }

    fn is_started_again(&self, success: bool) -> bool {
        match self.policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => !success,
            RestartPolicy::Never => false,
        }
    }

    fn come_to(&self, progress: Progress) {
        self.progress.send_if_modified(|now| {
            let further = progress > *now;
            *now = progress.max(*now);
            further
        });
    }

    /// Waits; whether the container is to be started then.
    async fn back_off(&mut self, wait: Duration) -> bool {
        let name = self.container.name.clone();
        let board = &self.supervisor.board;
        if !wait.is_zero() {
            let message = format!(
                "back-off {} s restarting failed container {name}",
                wait.as_secs()
            );
            board.event(Severity::Warning, "BackOff", message.clone());
            board.change_container(&name, |status, _| {
                let ended = ContainerState::Waiting(Waiting {
                    reason: "CrashLoopBackOff".to_owned(),
                    message: Some(message),
                });
                status.last_state = Some(std::mem::replace(&mut status.state, ended));
            });
        }
        let go_on = tokio::select! {
            () = tokio::time::sleep(wait) => true,
            _ = self.stop.asked_for() => false,
        };
        self.supervisor.board.change_container(&name, |status, _| {
            if !go_on {
                // As it ended: nothing is waited for any more.
                if let Some(ended) = status.last_state.take() {
                    status.state = ended;
                }
            } else if let ContainerState::Terminated(_) = status.state {
                status.last_state = Some(status.state.clone());
            }
        });
        go_on
    }

    /// One run, from its start to its end; whether that was a good one.
    async fn run(&mut self, number: u32) -> bool {
        let supervisor = self.supervisor.clone();
        let name = self.container.name.clone();
        supervisor.board.change_container(&name, |status, _| {
            status.restart_count = number;
        });
        let asked = Timestamp::now();
        let kills = supervisor.out_of_memory_kills(&name);
        match supervisor.start(&self.container, number).await {
            Ok(mut started) => {
                let status = self.lead(&mut started, number).await;
                supervisor
                    .clear_up(&self.container, started.mounts.as_ref())
                    .await;
                if let Some(looker) = started.recording.finish().await {
                    supervisor.looker.replace(Some(looker));
                }
                let killed = supervisor.out_of_memory_kills(&name) > kills;
                supervisor.note_end(&name, status, killed)
            }
            Err(failure) => {
                supervisor.note_not_started(&name, asked, &failure);
                false
            }
        }
    }

    /// From the program's start to its end.
    async fn lead(&mut self, started: &mut Started, number: u32) -> std::io::Result<ExitStatus> {
        let began = Instant::now();
        self.note_start(started, number);
        self.come_to(Progress::Runs);
        if let Some(status) = self.greet(started).await {
            return status;
        }
        self.come_to(Progress::Tried);
        let supervisor = self.supervisor.clone();
        let container = self.container.clone();
        let probed = Probed {
            supervisor: &supervisor,
            container: &container,
            process: started.process,
            began,
            started: &|| self.come_to(Progress::Started),
        };
        let mut stop = self.stop.clone();
        let why = tokio::select! {
            status = started.child.wait() => return status,
            unhealthy = probed.watch() => {
                let grace = unhealthy.grace.unwrap_or(supervisor.pod.grace());
                Deadline::of_probe(unhealthy.probe, self.is_started_again(false), grace)
            }
            deadline = stop.asked_for() => deadline,
        };
        supervisor.end(&container, started, why, &mut stop).await
    }

    /// Runs `postStart`; how the container ended, if it did over that.
    async fn greet(&mut self, started: &mut Started) -> Option<std::io::Result<ExitStatus>> {
        let hook: Handler = self.container.lifecycle.as_ref()?.post_start.clone()?;
        let supervisor = self.supervisor.clone();
        let mut stop = self.stop.clone();
        let hooked = supervisor.handle(&self.container, &started.process, &hook);
        let why = tokio::select! {
            outcome = hooked => match outcome {
                Ok(()) => return None,
                Err(error) => {
                    let message = format!("PostStartHook failed: {error:#}");
                    supervisor.board.event(Severity::Warning, "FailedPostStartHook", message);
                    Deadline::of_hook(supervisor.pod.grace())
                }
            },
            status = started.child.wait() => return Some(status),
            deadline = stop.asked_for() => deadline,
        };
        Some(
            supervisor
                .end(&self.container, started, why, &mut stop)
                .await,
        )
    }

    fn note_start(&self, started: &Started, number: u32) {
        let name = &self.container.name;
        let board = &self.supervisor.board;
        let process = started.process;
        board.change(|status, now| {
            let message = match number {
                0 => format!("Started container {name}"),
                _ => format!("Started container {name} again"),
            };
            status.event(Severity::Normal, "Started", message, now);
            if let Some(container) = status.container_mut(name) {
                container.state = ContainerState::Running(Running {
                    started_at: now,
                    process,
                });
            }
        });
    }
}

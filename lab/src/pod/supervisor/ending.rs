//! How containers end: asked to, killed, or of their own accord.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use manifest::Container;
use sandbox::{HeldNamespace, Process, Signal, pause_after};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::Supervisor;
use super::start::Started;
use crate::output::complain;
use crate::pod::groups;
use crate::pod::status::{ContainerState, EndReason, Severity, Terminated, Timestamp};
use crate::pod::talk::Failure;

/// What a container has between the signal that it stops by and SIGKILL, also when `preStop` or the containers
/// before it used up the grace period (kubelet, "minimumGracePeriodInSeconds").
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// When a container is killed that was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadline {
    at: Instant,
    /// Without a word before, when there is no grace.
    at_once: bool,
    why: Why,
}

/// Why a container is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Its pod is.
    Deletion,
    /// A probe failed, of this kind.
    Probe {
        kind: &'static str,
        is_started_again: bool,
    },
    /// Its `postStart` failed.
    Hook,
}

impl Why {
    /// As `kubectl describe` has it.
    fn of(self, container: &str) -> String {
        match self {
            Self::Deletion => format!("Stopping container {container}"),
            Self::Probe {
                kind,
                is_started_again,
            } => {
                let then = if is_started_again {
                    "restarted"
                } else {
                    "ended"
                };
                format!("Container {container} failed {kind} probe, will be {then}")
            }
            Self::Hook => format!("Container {container} failed its postStart hook, will be ended"),
        }
    }
}

impl Deadline {
    /// The earlier one.
    pub(super) fn or_earlier(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }

    /// Not sooner than in `least`; at once stays at once.
    fn at_least(self, least: Duration) -> Self {
        let at = self.at.max(Instant::now() + least);
        match self.at_once {
            true => self,
            false => Self { at, ..self },
        }
    }

    /// Of a pod that is deleted.
    pub(super) fn of_pod(grace: Duration) -> Self {
        Self::new(grace, Why::Deletion)
    }

    /// Of a container whose probe failed.
    pub(super) fn of_probe(kind: &'static str, is_started_again: bool, grace: Duration) -> Self {
        let why = Why::Probe {
            kind,
            is_started_again,
        };
        Self::new(grace, why)
    }

    /// Of a container whose `postStart` failed.
    pub(super) fn of_hook(grace: Duration) -> Self {
        Self::new(grace, Why::Hook)
    }

    fn new(grace: Duration, why: Why) -> Self {
        Self {
            at: Instant::now() + grace,
            at_once: grace.is_zero(),
            why,
        }
    }
}

/// The wish that containers end for good; it may become more pressing.
#[derive(Clone, Debug)]
pub(super) struct Stop(watch::Receiver<Option<Deadline>>);

impl Stop {
    /// A wish, and how to have it.
    pub(super) fn new() -> (watch::Sender<Option<Deadline>>, Self) {
        let (sender, receiver) = watch::channel(None);
        (sender, Self(receiver))
    }

    /// Whether it is there.
    pub(super) fn is_asked_for(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits for it.
    pub(super) async fn asked_for(&mut self) -> Deadline {
        loop {
            if let Some(deadline) = *self.0.borrow_and_update() {
                return deadline;
            }
            if self.0.changed().await.is_err() {
                // Nobody can ask any more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until it becomes another one.
    pub(super) async fn changes(&mut self) -> Deadline {
        match self.0.changed().await {
            Ok(()) => self.asked_for().await,
            // Nobody can ask any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until `deadline`, which becomes an earlier one that comes meanwhile.
    async fn passes(&mut self, deadline: &mut Deadline) {
        loop {
            tokio::select! {
                () = sleep_until(deadline.at) => return,
                asked = self.changes() => *deadline = deadline.or_earlier(asked),
            }
        }
    }
}

impl Supervisor {
    /// Ends a container that runs: `preStop`, the signal it stops by, and at the deadline SIGKILL.
    pub(super) async fn end(
        &self,
        container: &Container,
        started: &mut Started,
        mut deadline: Deadline,
        stop: &mut Stop,
    ) -> std::io::Result<ExitStatus> {
        let message = deadline.why.of(&container.name);
        self.board.event(Severity::Normal, "Killing", message);
        self.board
            .change_container(&container.name, |status, _| status.ready = false);
        if !deadline.at_once {
            self.say_good_bye(container, started, &mut deadline, stop)
                .await;
            deadline = deadline.at_least(LEAST_GRACE);
            if let Err(error) = started.process.signal(self.stop_signal(container)) {
                complain(format_args!("{error:#}"));
            }
            tokio::select! {
                status = started.child.wait() => return status,
                () = stop.passes(&mut deadline) => {}
            }
        }
        // Its PID namespace ends with its first process; where it has none of its own, `clear_up` ends the others.
        started.child.start_kill()?;
        started.child.wait().await
    }

    /// Runs `preStop` until the deadline.
    async fn say_good_bye(
        &self,
        container: &Container,
        started: &Started,
        deadline: &mut Deadline,
        stop: &mut Stop,
    ) {
        let lifecycle = container.lifecycle.as_ref();
        let Some(hook) = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref()) else {
            return;
        };
        let hooked = self.handle(container, &started.process, hook);
        let problem = tokio::select! {
            biased;
            outcome = hooked => match outcome {
                Ok(()) => return,
                Err(error) => format!("PreStopHook failed: {error:#}"),
            },
            () = stop.passes(deadline) => "PreStopHook took longer than the grace period".to_owned(),
        };
        self.board
            .event(Severity::Warning, "FailedPreStopHook", problem);
    }

    fn stop_signal(&self, container: &Container) -> Signal {
        let base = self.pod.bases.get(&container.name);
        let named = base.and_then(|base| base.stop_signal.as_deref());
        named
            .map_or(Ok(Signal::Terminate), str::parse)
            .unwrap_or(Signal::Terminate)
    }

    /// Ends what a container left behind in a PID namespace that it shares, and waits until it is gone: its next
    /// start finds ports and files free. A namespace of its own ends with its first process.
    pub(super) async fn clear_up(&self, container: &Container, mounts: Option<&HeldNamespace>) {
        if self.reaper.is_none() && !self.pod.spec().host_pid {
            return;
        }
        let group = groups::of_container(
            &self.hierarchies,
            &self.dir,
            &self.pod.name,
            &container.name,
        );
        let left = || match mounts {
            Some(mounts) => mounts.processes(),
            None => group.all_processes(),
        };
        let kill = |left: &[Process]| match mounts {
            Some(_) => left.iter().try_for_each(|each| each.signal(Signal::Kill)),
            None => group.kill(),
        };
        if let Err(error) = end_all(left, kill).await {
            complain(format_args!("{error:#}"));
        }
    }

    /// How often the kernel killed a process of a container at its memory limit; never without a memory
    /// controller.
    pub(super) fn out_of_memory_kills(&self, container: &str) -> u64 {
        let group = groups::of_container(&self.hierarchies, &self.dir, &self.pod.name, container);
        group.out_of_memory_kills().unwrap_or(0)
    }

    /// Notes how a container ended; whether that was a good end.
    pub(super) fn note_end(
        &self,
        name: &str,
        status: std::io::Result<ExitStatus>,
        out_of_memory: bool,
    ) -> bool {
        let (code, signal, message) = match &status {
            Ok(status) => (code(*status), status.signal(), None),
            Err(error) => (128, None, Some(format!("wait for its end: {error}"))),
        };
        let reason = match code {
            0 => EndReason::Completed,
            _ if out_of_memory => EndReason::OomKilled,
            _ => EndReason::Error,
        };
        self.board.change_container(name, |container, now| {
            let running = container.state.running();
            let started_at = running.map_or(now, |running| running.started_at);
            container.ready = code == 0 && self.is_init(name);
            container.started = false;
            container.state = ContainerState::Terminated(Terminated {
                exit_code: code,
                signal,
                reason,
                message,
                started_at,
                finished_at: now,
            });
        });
        code == 0
    }

    /// Notes that a container's program was not started.
    pub(super) fn note_not_started(&self, name: &str, asked: Timestamp, failure: &Failure) {
        self.board.change(|status, now| {
            let message = format!("Error: {}", failure.message);
            status.event(Severity::Warning, "Failed", message, now);
            if let Some(container) = status.container_mut(name) {
                container.state = ContainerState::Terminated(Terminated {
                    exit_code: failure.code,
                    signal: None,
                    reason: EndReason::ContainerCannotRun,
                    message: Some(failure.message.clone()),
                    started_at: asked,
                    finished_at: now,
                });
            }
        });
    }

    fn is_init(&self, name: &str) -> bool {
        let mut init = self.pod.spec().init_containers.iter();
        init.any(|each| each.name == name && !each.is_sidecar())
    }
}

/// As shells have it: 128 and the signal's number for a killed process.
fn code(status: ExitStatus) -> i32 {
    let killed = status.signal().map(|signal| 128 + signal);
    status.code().or(killed).unwrap_or(1)
}

/// Kills processes, and those that they start meanwhile, until none is left, however long the kernel takes.
async fn end_all(
    left: impl Fn() -> kernel::Result<Vec<Process>>,
    kill: impl Fn(&[Process]) -> kernel::Result<()>,
) -> kernel::Result<()> {
    let begin = Instant::now();
    loop {
        let left = left()?;
        if left.is_empty() {
            return Ok(());
        }
        kill(&left)?;
        sleep(pause_after(begin.elapsed())).await;
    }
}

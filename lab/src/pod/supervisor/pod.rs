//! The life of a pod: init containers one after the other, then containers side by side, sidecars as long as
//! these.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use manifest::{Container, RestartPolicy};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};

use super::Supervisor;
use super::ending::{Deadline, Stop};
use super::life::{Life, Progress};
use crate::pod::talk::{Answer, tell};

/// A container whose life goes on in a task of its own.
struct Lived {
    task: JoinHandle<bool>,
    progress: watch::Receiver<Progress>,
}

/// A sidecar: it goes on while the others are asked to end.
struct Sidecar {
    lived: Lived,
    stop: watch::Sender<Option<Deadline>>,
}

/// Leads the pod to its end.
///
/// # Errors
/// The kernel refused to tell of signals.
pub(super) async fn live(supervisor: Rc<Supervisor>) -> Result<()> {
    let asked = signal(SignalKind::terminate()).context("listen to SIGTERM")?;
    let (deletion, stop) = Stop::new();
    spawn_local(hear_of_deletion(supervisor.clone(), asked, deletion));
    let board = supervisor.clone();
    spawn_local(async move { board.board.catch_up().await });
    let mut pod = Living {
        supervisor,
        stop,
        sidecars: Vec::new(),
        told: false,
    };
    if pod.initialize().await {
        pod.run().await;
    }
    pod.end_sidecars().await;
    pod.supervisor.board.end();
    pod.tell_started();
    Ok(())
}

/// SIGTERM is how `lab` says that there is a wish to read.
async fn hear_of_deletion(
    supervisor: Rc<Supervisor>,
    mut asked: Signal,
    deletion: watch::Sender<Option<Deadline>>,
) {
    while asked.recv().await.is_some() {
        let wish = supervisor.pod.deletion(&supervisor.dir).ok().flatten();
        let grace = wish.map(|wish| Duration::from_secs(wish.deletion_grace_period_seconds));
        let deadline = Deadline::of_pod(grace.unwrap_or(supervisor.pod.grace()));
        deletion.send_replace(Some(deadline));
    }
}

struct Living {
    supervisor: Rc<Supervisor>,
    stop: Stop,
    sidecars: Vec<Sidecar>,
    told: bool,
}

impl Living {
    /// Runs the init containers and starts the sidecars; whether the containers may follow.
    async fn initialize(&mut self) -> bool {
        for container in self.supervisor.pod.spec().init_containers.clone() {
            let go_on = match container.is_sidecar() {
                true => self.start_sidecar(container).await,
                false => self.run_init(container).await,
            };
            if !go_on {
                return false;
            }
        }
        true
    }

    async fn run_init(&mut self, container: Container) -> bool {
        let policy = match self.supervisor.pod.spec().restart_policy {
            RestartPolicy::Never => RestartPolicy::Never,
            _ => RestartPolicy::OnFailure,
        };
        let mut lived = self.start(container, policy, self.stop.clone());
        come_to(&mut lived, Progress::Tried).await;
        self.tell_started();
        lived.task.await.unwrap_or(false) && !self.stop.is_asked_for()
    }

    async fn start_sidecar(&mut self, container: Container) -> bool {
        let (sender, stop) = Stop::new();
        let mut lived = self.start(container.clone(), RestartPolicy::Always, stop);
        self.see_tried(&container, &mut lived).await;
        self.tell_started();
        let mut deletion = self.stop.clone();
        tokio::select! {
            () = come_to(&mut lived, Progress::Started) => {}
            _ = deletion.asked_for() => {}
        }
        let stop = sender;
        self.sidecars.push(Sidecar { lived, stop });
        !self.stop.is_asked_for()
    }

    /// Starts the containers in their order and waits for the end of all.
    async fn run(&mut self) {
        let spec = self.supervisor.pod.spec().clone();
        let mut all = Vec::new();
        for container in spec.containers {
            if self.stop.is_asked_for() {
                break;
            }
            let mut lived = self.start(container.clone(), spec.restart_policy, self.stop.clone());
            self.see_tried(&container, &mut lived).await;
            all.push(lived);
        }
        self.tell_started();
        for lived in all {
            // A task that panicked has said so to the log.
            let _ = lived.task.await;
        }
    }

    /// The last one first, all by one deadline, or by an earlier one that is asked for meanwhile.
    async fn end_sidecars(&mut self) {
        let mut asked = match self.stop.is_asked_for() {
            true => self.stop.asked_for().await,
            false => Deadline::of_pod(self.supervisor.pod.grace()),
        };
        while let Some(sidecar) = self.sidecars.pop() {
            let mut task = sidecar.lived.task;
            loop {
                sidecar.stop.send_replace(Some(asked));
                tokio::select! {
                    _ = &mut task => break,
                    sooner = self.stop.changes() => asked = asked.or_earlier(sooner),
                }
            }
        }
    }

    fn start(&self, container: Container, policy: RestartPolicy, stop: Stop) -> Lived {
        let (sender, progress) = watch::channel(Progress::None);
        let life = Life {
            supervisor: self.supervisor.clone(),
            container,
            policy,
            stop,
            progress: sender,
        };
        Lived {
            task: spawn_local(life.live()),
            progress,
        }
    }

    /// Waits until a container's start was tried. Its `postStart` may take as long as it likes: `lab` does not
    /// wait for that.
    async fn see_tried(&mut self, container: &Container, lived: &mut Lived) {
        let lifecycle = container.lifecycle.as_ref();
        if lifecycle.is_some_and(|lifecycle| lifecycle.post_start.is_some()) {
            come_to(lived, Progress::Runs).await;
            self.tell_started();
        }
        come_to(lived, Progress::Tried).await;
    }

    /// Tells `lab`, once, that it need not wait any more.
    fn tell_started(&mut self) {
        if !std::mem::replace(&mut self.told, true) {
            // It may have ended.
            let _ = tell(&mut io::stdout(), &Answer::Started);
        }
    }
}

/// Waits until a container has come so far, or has ended for good.
async fn come_to(lived: &mut Lived, progress: Progress) {
    let _ = lived.progress.wait_for(|now| *now >= progress).await;
}

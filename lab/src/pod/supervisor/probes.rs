//! Startup, liveness and readiness of one container, as kubelet probes them.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Result, anyhow};
use manifest::{Container, Probe};
use sandbox::Process;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::Supervisor;
use super::counter::Counter;
use crate::pod::status::Severity;

/// A container that has to be ended, since a probe of it failed often enough.
#[derive(Debug)]
pub(super) struct Unhealthy {
    /// `liveness` or `startup`.
    pub probe: &'static str,
    /// The grace period that the probe asks for.
    pub grace: Option<Duration>,
}

/// A container whose program runs.
pub(super) struct Probed<'a> {
    pub supervisor: &'a Supervisor,
    pub container: &'a Container,
    pub process: Process,
    /// When it was started.
    pub began: Instant,
    /// Called when the container has started, as its startup probe sees it.
    pub started: &'a dyn Fn(),
}

impl Probed<'_> {
    /// Probes it until it has to be ended.
    pub(super) async fn watch(&self) -> Unhealthy {
        if let Some(probe) = &self.container.startup_probe
            && let Err(unhealthy) = self.wait_for_start(probe).await
        {
            return unhealthy;
        }
        let ready = self.container.readiness_probe.is_none();
        let board = &self.supervisor.board;
        board.change_container(&self.container.name, |status, _| {
            status.started = true;
            status.ready = ready;
        });
        (self.started)();
        tokio::select! {
            unhealthy = self.keep_alive() => unhealthy,
            never = self.keep_ready() => match never {},
        }
    }

    async fn wait_for_start(&self, probe: &Probe) -> Result<(), Unhealthy> {
        let mut counter = Counter::new(probe);
        let mut looks = Looks::new(self, "startup", probe);
        loop {
            match counter.note(looks.next().await) {
                Some(true) => return Ok(()),
                Some(false) => return Err(looks.unhealthy()),
                None => {}
            }
        }
    }

    async fn keep_alive(&self) -> Unhealthy {
        let Some(probe) = &self.container.liveness_probe else {
            return std::future::pending().await;
        };
        let mut counter = Counter::new(probe);
        let mut looks = Looks::new(self, "liveness", probe);
        while counter.note(looks.next().await) != Some(false) {}
        looks.unhealthy()
    }

    async fn keep_ready(&self) -> Infallible {
        let Some(probe) = &self.container.readiness_probe else {
            return std::future::pending().await;
        };
        let mut counter = Counter::new(probe);
        let mut looks = Looks::new(self, "readiness", probe);
        let mut known = false;
        loop {
            if let Some(ready) = counter.note(looks.next().await)
                && ready != known
            {
                known = ready;
                let board = &self.supervisor.board;
                board.change_container(&self.container.name, |status, _| status.ready = ready);
            }
        }
    }
}

/// One probe, look by look.
struct Looks<'a> {
    probed: &'a Probed<'a>,
    kind: &'static str,
    probe: &'a Probe,
    ticks: tokio::time::Interval,
}

impl<'a> Looks<'a> {
    fn new(probed: &'a Probed<'a>, kind: &'static str, probe: &'a Probe) -> Self {
        let first = Duration::from_secs(probe.initial_delay_seconds.into());
        let period = Duration::from_secs(probe.period_seconds.max(1).into());
        let mut ticks = interval_at(first_look(probed.began, first, Instant::now()), period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            probed,
            kind,
            probe,
            ticks,
        }
    }

    /// Waits until it is time, and looks.
    async fn next(&mut self) -> bool {
        self.ticks.tick().await;
        let outcome = self.look().await;
        if let Err(error) = &outcome {
            let word = match self.kind {
                "startup" => "Startup",
                "liveness" => "Liveness",
                _ => "Readiness",
            };
            let message = format!("{word} probe failed: {error:#}");
            let board = &self.probed.supervisor.board;
            board.event(Severity::Warning, "Unhealthy", message);
        }
        outcome.is_ok()
    }

    async fn look(&self) -> Result<()> {
        let Probed {
            supervisor,
            container,
            process,
            ..
        } = self.probed;
        let limit = Duration::from_secs(self.probe.timeout_seconds.max(1).into());
        let look = supervisor.handle(container, process, &self.probe.handler);
        match timeout(limit, look).await {
            Ok(outcome) => outcome,
            Err(_) => Err(anyhow!("no answer within {} s", limit.as_secs())),
        }
    }

    fn unhealthy(&self) -> Unhealthy {
        let grace = self.probe.termination_grace_period_seconds;
        Unhealthy {
            probe: self.kind,
            grace: grace.map(|seconds| Duration::from_secs(seconds.into())),
        }
    }
}

/// So long after the container's start (core/v1, "initialDelaySeconds"), or `now` if that has passed over a startup
/// probe.
fn first_look(began: Instant, delay: Duration, now: Instant) -> Instant {
    (began + delay).max(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_count_from_the_start() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        for (delay, now, expected) in [(0, 0, 0), (5, 0, 5), (5, 3, 5), (5, 5, 5), (5, 9, 9)] {
            let look = first_look(began, Duration::from_secs(delay), after(now));
            assert_eq!(look, after(expected), "{delay} {now}");
        }
    }
}

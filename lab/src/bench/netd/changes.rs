//! Leases that come and go: what they cost netd, and how long the kernel waits for them.

use std::{
    collections::{HashMap, VecDeque},
    fs,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use kernel::{Event, Monitor, Route};

use super::{Backend, etcd::Gateway, lease};
use crate::bench::at_least_one;
use crate::bench::measure::{median, milliseconds, quantile};
use crate::size::parse_length;

pub(in crate::bench) const PER_SECOND: u32 = 100;
/// So many new leases stand at a time; each change adds one, or removes the oldest.
const STANDING: usize = 50;
/// Goes with the last change, and is no measurement's.
const LATE: Duration = Duration::from_secs(2);
/// Milliseconds of a clock tick of proc(5), on every Linux of these years (`getconf CLK_TCK` is 100).
const TICK: u64 = 10;

/// How many changes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(in crate::bench) struct Pace {
    /// For how long leases change beside those that stay; 0s leaves it out
    #[arg(long, default_value = "30s", value_parser = parse_length)]
    pub(in crate::bench) change_time: Duration,
    /// How many of them change in a second
    #[arg(long, default_value_t = PER_SECOND, value_parser = at_least_one::<u32>)]
    pub(in crate::bench) changes_per_second: u32,
}

/// What the changes cost.
pub(in crate::bench) struct Cost {
    /// Percent of one processor, netd's alone.
    pub(in crate::bench) processor: f64,
    /// None where the kernel announces nothing.
    pub(in crate::bench) lag: Option<Lag>,
}

/// Milliseconds from etcd's answer to the kernel's announcement.
pub(in crate::bench) struct Lag {
    pub(in crate::bench) median: f64,
    /// 99 of 100 are not above it.
    pub(in crate::bench) worst: f64,
}

/// When a route came (`false`), or went.
type Heard = Arc<Mutex<HashMap<(IpAddr, bool), Instant>>>;

/// Makes changes beside the `leases` that stay.
pub(super) fn make(backend: Backend, netd: u32, leases: u32, pace: Pace) -> Result<Cost> {
    let time = pace.change_time;
    let heard = listen()?;
    let mut gateway = Gateway::connect()?;
    let interval = Duration::from_secs(1) / pace.changes_per_second;
    let count = u32::try_from(time.as_nanos() / interval.as_nanos().max(1))?;
    let before = Spent::of(netd)?;
    let start = Instant::now();
    let (mut next, mut standing, mut answered) = (leases, VecDeque::new(), Vec::new());
    for change in 0..count {
        thread::sleep((start + interval * change).saturating_duration_since(Instant::now()));
        let removed = standing.len() > STANDING;
        let n = match removed {
            true => standing.pop_front().context("none stands")?,
            false => next,
        };
        if removed {
            gateway.delete(&super::key(n))?;
        } else {
            gateway.put(&super::key(n), &lease(backend, n))?;
            standing.push_back(n);
            next += 1;
        }
        answered.push(((super::subnet(n).into(), removed), Instant::now()));
    }
    let took = start.elapsed();
    let spent = Spent::of(netd)?.total().saturating_sub(before.total());
    ensure!(
        took < time.mul_f64(1.1),
        "{count} changes took {took:?} in place of {time:?}: the machine is too busy, or --changes-per-second too much"
    );
    thread::sleep(LATE);
    let lag = backend.has_routes().then(|| Lag::of(&heard, &answered));
    Ok(Cost {
        processor: spent.as_secs_f64() / took.as_secs_f64() * 100.0,
        lag: lag.transpose()?,
    })
}

impl Lag {
    fn of(heard: &Heard, answered: &[((IpAddr, bool), Instant)]) -> Result<Self> {
        let mut lags = lags(heard, answered)?;
        Ok(Self {
            median: median(&mut lags),
            worst: quantile(&mut lags, 990),
        })
    }
}

/// From each answer to what the kernel said of it.
fn lags(heard: &Heard, answered: &[((IpAddr, bool), Instant)]) -> Result<Vec<f64>> {
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    let lag = |(change, answered): &((IpAddr, bool), Instant)| {
        let at = heard.get(change);
        let at = at.with_context(|| format!("the kernel heard nothing of {change:?}"))?;
        Ok(milliseconds(at.saturating_duration_since(*answered)))
    };
    answered.iter().map(lag).collect()
}

/// Notes when routes of netd's come and go, in a thread of its own, from now on.
fn listen() -> Result<Heard> {
    let heard = Heard::default();
    let notes = Arc::clone(&heard);
    let (opened, is_open) = std::sync::mpsc::channel();
    thread::spawn(move || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut monitor = Monitor::open()?;
            opened.send(())?;
            loop {
                let event = monitor.next().await?;
                let now = Instant::now();
                let Event::Route { route, removed } = event else {
                    continue;
                };
                if route.protocol == Route::PROTOCOL_PODWIRE {
                    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
                    notes.entry((route.dst.ip(), removed)).or_insert(now);
                }
            }
        })
    });
    is_open.recv().context("listen to the kernel")?;
    Ok(heard)
}

/// How long a process and its threads have run: in its own code, and in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) struct Spent {
    pub(in crate::bench) user: Duration,
    pub(in crate::bench) system: Duration,
}

impl Spent {
    pub(super) fn of(process: u32) -> Result<Self> {
        Self::read(&fs::read_to_string(format!("/proc/{process}/stat"))?)
    }

    /// From `/proc/PID/stat` of proc(5).
    fn read(stat: &str) -> Result<Self> {
        let (_, fields) = stat.rsplit_once(')').context("no program's name")?;
        let mut fields = fields.split_whitespace().skip(11);
        let mut ticks = || -> Result<Duration> {
            let ticks: u64 = fields.next().context("no figure")?.parse()?;
            Ok(Duration::from_millis(ticks * TICK))
        };
        let [user, system] = [ticks()?, ticks()?];
        Ok(Self { user, system })
    }

    fn total(self) -> Duration {
        self.user + self.system
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_ran_stands_behind_its_name_whatever_that_is() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 52 0 3 0 12 345 0 0 20 0 1 0 9";
        let spent = Spent::read(stat).expect("figures");
        let [user, system] = [120, 3450].map(Duration::from_millis);
        assert_eq!(spent, Spent { user, system });
        assert!(Spent::read("7 (a) S 1 7").is_err());
    }
}

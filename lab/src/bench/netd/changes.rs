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
use crate::bench::measure::{median, milliseconds, quantile};

pub(super) const PER_SECOND: u32 = 100;
/// So many new leases stand at a time; each change adds one, or removes the oldest.
const STANDING: usize = 50;
/// Goes with the last change, and is no measurement's.
const LATE: Duration = Duration::from_secs(2);
/// Clock ticks of proc(5), on every Linux of these years (`getconf CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;

/// What the changes cost.
pub(in crate::bench) struct Cost {
    /// Percent of one processor, netd's alone.
    pub(in crate::bench) processor: f64,
    /// Milliseconds from etcd's answer to the kernel's announcement; median and 99th percentile.
    pub(in crate::bench) lag: f64,
    pub(in crate::bench) worst: f64,
}

/// When a route came (`false`), or went.
type Heard = Arc<Mutex<HashMap<(IpAddr, bool), Instant>>>;

/// Makes changes for `time`, beside the `leases` that stay.
pub(super) fn make(backend: Backend, netd: u32, leases: u32, time: Duration) -> Result<Cost> {
    let heard = listen()?;
    let mut gateway = Gateway::connect()?;
    let interval = Duration::from_secs(1) / PER_SECOND;
    let count = u32::try_from(time.as_millis() / interval.as_millis())?;
    let before = processor_time(netd)?;
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
    let processor = (processor_time(netd)? - before) / took.as_secs_f64() * 100.0;
    ensure!(
        took < time.mul_f64(1.1),
        "the changes took {took:?}: the machine is too busy"
    );
    thread::sleep(LATE);
    let mut lags = lags(&heard, &answered)?;
    Ok(Cost {
        processor,
        lag: median(&mut lags),
        worst: quantile(&mut lags, 990),
    })
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

/// Seconds that a process and its threads have run, in both modes.
fn processor_time(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no program's name")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || -> Result<f64> { Ok(fields.next().context("no figure")?.parse()?) };
    Ok((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

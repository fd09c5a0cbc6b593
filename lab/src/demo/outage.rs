//! One node stops: the others withdraw it when its lease ends. It starts again: it gets its old
//! subnet back.

use std::time::Duration;

use anyhow::{Context, Result};

use super::matrix::{address, fetch, round_trip};
use super::{Demo, LEASE_TTL};
use crate::netd::{Peers, wait_for_subnets};
use crate::node::{self, Node};
use crate::pod::Pod;
use crate::up::LEASE_PATIENCE;

/// How long after its end a lease may be seen: stores look at their clocks now and then, and a
/// lease just renewed lives its whole time.
const WITHDRAWAL_PATIENCE: Duration = Duration::from_secs(LEASE_TTL + 5);

pub(super) fn show(demo: &mut Demo<'_>, pods: &[Pod]) -> Result<()> {
    let nodes = Node::all(&demo.dir)?;
    let (stopped, others) = nodes.split_last().context("there are no nodes")?;
    let subnets = wait_for_subnets(&demo.dir, stopped, LEASE_PATIENCE, demo.interrupt)?;
    let subnet = *subnets.first().context("a node has no subnet")?;
    let peers = Peers {
        programs: demo.programs,
        backend: demo.lab.backend,
    };
    let from = pods.first().context("there are no pods")?;
    let to = pods.last().context("there are no pods")?;

    demo.screen.step(format_args!(
        "stop node {}: its netd is killed, its cable pulled",
        stopped.name
    ));
    node::stop(&demo.dir, stopped)?;
    demo.screen.live(format_args!(
        "waiting for the end of its lease ({LEASE_TTL} s)"
    ));
    let mut waited = Duration::ZERO;
    for other in others {
        waited += peers.wait(other, subnet, false, WITHDRAWAL_PATIENCE, demo.interrupt)?;
        let seconds = waited.as_secs_f64();
        demo.screen.good(format_args!(
            "{}: withdrew {subnet} after {seconds:.1} s",
            other.name
        ));
    }
    match round_trip(&demo.dir, from, address(to)?, demo.interrupt) {
        Ok(_) => demo
            .screen
            .failed(format_args!("{} still answers", to.name)),
        Err(_) => demo.screen.good(format_args!(
            "{} cannot reach {} any more",
            from.name, to.name
        )),
    }
    demo.screen.done();

    demo.screen
        .step(format_args!("start node {} again", stopped.name));
    node::start(&demo.dir, demo.programs, &demo.lab, stopped)?;
    let mut waited = Duration::ZERO;
    for other in others {
        waited += peers
            .wait(other, subnet, true, LEASE_PATIENCE, demo.interrupt)
            .with_context(|| format!("{} did not get {subnet} back", stopped.name))?;
        let seconds = waited.as_secs_f64();
        demo.screen.good(format_args!(
            "{}: has {subnet} back after {seconds:.2} s",
            other.name
        ));
    }
    let again = wait_for_subnets(&demo.dir, stopped, LEASE_PATIENCE, demo.interrupt)?;
    if again != subnets {
        demo.screen.failed(format_args!(
            "{} leased {again:?}, not {subnet}",
            stopped.name
        ));
    }
    let page = fetch(&demo.dir, from, to, demo.interrupt)?;
    demo.screen.good(format_args!(
        "{}: fetched the page of {page} again",
        from.name
    ));
    demo.screen.done();
    Ok(())
}

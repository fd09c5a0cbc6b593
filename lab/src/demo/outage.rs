//! One node stops: the others withdraw it when its lease ends. It starts again: it gets its old
//! subnet back.

use std::time::Duration;

use anyhow::{Context, Result};
use ipnetwork::IpNetwork;

use super::matrix::{address, fetch, round_trip};
use super::{Demo, LEASE_TTL};
use crate::netd::{Peers, wait_for_subnets};
use crate::node::{self, Node};
use crate::pod::Pod;
use crate::up::LEASE_PATIENCE;

/// How long after its end a lease may be seen: stores look at their clocks now and then, and a
/// lease just renewed lives its whole time.
const WITHDRAWAL_PATIENCE: Duration = Duration::from_secs(LEASE_TTL + 5);

/// Whom it is about.
struct Outage<'a> {
    stopped: &'a Node,
    others: &'a [Node],
    /// The stopped node's.
    subnets: Vec<IpNetwork>,
    subnet: IpNetwork,
    from: &'a Pod,
    /// On the stopped node.
    to: &'a Pod,
}

pub(super) fn show(demo: &mut Demo<'_>, pods: &[Pod]) -> Result<()> {
    let nodes = Node::all(&demo.dir)?;
    let (stopped, others) = nodes.split_last().context("there are no nodes")?;
    let subnets = wait_for_subnets(&demo.dir, stopped, LEASE_PATIENCE, demo.interrupt)?;
    let outage = Outage {
        stopped,
        others,
        subnet: *subnets.first().context("a node has no subnet")?,
        subnets,
        from: pods.first().context("there are no pods")?,
        to: pods.last().context("there are no pods")?,
    };
    outage.stop(demo)?;
    outage.start_again(demo)
}

fn peers<'a>(demo: &Demo<'a>) -> Peers<'a> {
    Peers {
        programs: demo.programs,
        backend: demo.lab.backend,
    }
}

impl Outage<'_> {
    fn stop(&self, demo: &mut Demo<'_>) -> Result<()> {
        demo.screen.step(format_args!(
            "stop node {}: its netd is killed, its cable pulled",
            self.stopped.name
        ));
        node::stop(&demo.dir, self.stopped)?;
        demo.screen.live(format_args!(
            "waiting for the end of its lease ({LEASE_TTL} s)"
        ));
        self.others_withdraw_it(demo)?;
        let (from, to) = (self.from, self.to);
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
        Ok(())
    }

    fn others_withdraw_it(&self, demo: &mut Demo<'_>) -> Result<()> {
        let (peers, subnet) = (peers(demo), self.subnet);
        let mut waited = Duration::ZERO;
        for other in self.others {
            waited += peers.wait(other, subnet, false, WITHDRAWAL_PATIENCE, demo.interrupt)?;
            let seconds = waited.as_secs_f64();
            demo.screen.good(format_args!(
                "{}: withdrew {subnet} after {seconds:.1} s",
                other.name
            ));
        }
        Ok(())
    }

    fn start_again(&self, demo: &mut Demo<'_>) -> Result<()> {
        let stopped = self.stopped;
        demo.screen
            .step(format_args!("start node {} again", stopped.name));
        node::start(&demo.dir, demo.programs, &demo.lab, stopped)?;
        self.others_have_it_back(demo)?;
        let again = wait_for_subnets(&demo.dir, stopped, LEASE_PATIENCE, demo.interrupt)?;
        if again != self.subnets {
            demo.screen.failed(format_args!(
                "{} leased {again:?}, not {}",
                stopped.name, self.subnet
            ));
        }
        let page = fetch(&demo.dir, self.from, self.to, demo.interrupt)?;
        demo.screen.good(format_args!(
            "{}: fetched the page of {page} again",
            self.from.name
        ));
        demo.screen.done();
        Ok(())
    }

    fn others_have_it_back(&self, demo: &mut Demo<'_>) -> Result<()> {
        let (peers, subnet) = (peers(demo), self.subnet);
        let mut waited = Duration::ZERO;
        for other in self.others {
            waited += peers
                .wait(other, subnet, true, LEASE_PATIENCE, demo.interrupt)
                .with_context(|| format!("{} did not get {subnet} back", self.stopped.name))?;
            let seconds = waited.as_secs_f64();
            demo.screen.good(format_args!(
                "{}: has {subnet} back after {seconds:.2} s",
                other.name
            ));
        }
        Ok(())
    }
}

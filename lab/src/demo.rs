//! `lab demo`: build a lab, use it, break it, mend it, measure it, take it down, and prove that
//! nothing is left. Every step is shown as it happens; what fails is shown, counted, and makes the
//! exit status 1. Ctrl-C takes everything down.

mod capture;
mod matrix;
mod outage;
mod proof;
mod screen;
mod snapshot;
pub(crate) mod throughput;

use std::process::ExitCode;

use anyhow::{Context, Result};
use ipnetwork::IpNetwork;
use sandbox::Interrupt;

use crate::cli::DemoArgs;
use crate::cluster_file::{ClusterFile, LeaseTtl, Nodes};
use crate::down;
use crate::interrupt::Interrupted;
use crate::node::Node;
use crate::output::Table;
use crate::pod::{self, OneContainer, Pod};
use crate::program::{self, Programs, require};
use crate::state::{Lab, LabDir, Name, Store};
use crate::up::{self, Event, Running};

use proof::Before;
use screen::Screen;

/// Pods on each node.
const PODS_PER_NODE: usize = 2;
/// Short, so that nobody waits long for the end of a lease. In seconds.
const LEASE_TTL: u64 = 5;

/// What the steps need.
struct Demo<'a> {
    lab: Lab,
    dir: LabDir,
    programs: &'a Programs,
    interrupt: Interrupt,
    screen: Screen,
}

/// Runs the demo. The exit status is 1 when something failed that did not keep it from going on.
///
/// # Errors
/// A step could not be made, or Ctrl-C came; what was built is taken down.
pub fn run(name: &Name, args: &DemoArgs, interrupt: Interrupt) -> Result<ExitCode> {
    let mut tools = vec![
        program::IP,
        program::PING,
        program::CURL,
        program::BUSYBOX,
        program::IPERF3,
    ];
    if args.store == Store::Etcd {
        tools.push(program::ETCD);
    }
    require(&tools)?;
    let programs = Programs::find(args.bin_dir.as_deref())?;
    let cluster = ClusterFile {
        name: Some(name.clone()),
        nodes: Some(Nodes::Number(args.nodes)),
        backend: Some(args.backend),
        store: Some(args.store),
        lease_ttl: Some(LeaseTtl(LEASE_TTL)),
        ..ClusterFile::default()
    };
    let lab = cluster.lab(&programs)?;
    let screen = Screen::new();
    let dir = LabDir::of(name);
    let mut demo = Demo {
        lab,
        dir,
        programs: &programs,
        interrupt,
        screen,
    };
    let outcome = demo.run();
    if let Err(error) = &outcome
        && error.downcast_ref::<Interrupted>().is_none()
    {
        demo.screen.failed(format_args!("{error:#}"));
    }
    demo.screen.summary();
    outcome?;
    Ok(if demo.screen.failures() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Demo<'_> {
    fn run(&mut self) -> Result<()> {
        self.screen.title(format_args!(
            "podwire: {} nodes, {} pods, {}, store {}",
            self.lab.topology.nodes.len(),
            self.lab.topology.nodes.len() * PODS_PER_NODE,
            self.lab.backend.as_str(),
            self.lab.store.as_str(),
        ));
        let before = Before::look(self.lab.name.clone())?;
        let running = self.build()?;
        let shown = self.show();
        // However that went, everything goes.
        let during = before.and_during();
        self.take_down(running)?;
        let proven = during.and_then(|during| proof::prove(&mut self.screen, &during));
        shown.and(proven)
    }

    fn build(&mut self) -> Result<Running> {
        self.screen.step("start the nodes, and netd on each");
        let screen = &mut self.screen;
        let lab = &self.lab;
        let running = up::up(
            lab,
            self.programs,
            self.interrupt,
            &mut |event| match event {
                Event::Underlays => {
                    let subnets = lab.topology.underlays.iter().flat_map(|each| &each.subnets);
                    screen.note(format_args!(
                        "underlay {}, in a namespace of its own",
                        list(subnets)
                    ));
                }
                Event::Store => screen.note(format_args!(
                    "store {}: pods get addresses of {}, leases live {LEASE_TTL} s",
                    lab.store.as_str(),
                    list(lab.pod_networks.iter().map(|pods| &pods.network))
                )),
                Event::Node { node, subnets } => {
                    screen.note(format_args!("{node}: netd leased {}", list(&subnets)));
                }
                Event::Joined => screen.good("every node has a route to every other node's pods"),
            },
        )?;
        self.screen.done();
        Ok(running)
    }

    fn show(&mut self) -> Result<()> {
        let pods = self.start_pods()?;
        matrix::show(self, &pods)?;
        if self.lab.topology.nodes.len() > 1 {
            outage::show(self, &pods)?;
            throughput::show(self, &pods)?;
        }
        Ok(())
    }

    fn start_pods(&mut self) -> Result<Vec<Pod>> {
        self.screen
            .step(format_args!("start {PODS_PER_NODE} pods on each node"));
        let mut pods = Vec::new();
        for node in Node::all(&self.dir)? {
            for _ in 0..PODS_PER_NODE {
                let name = format!("web-{}", pods.len() + 1).parse()?;
                let workload = server(name).workload()?;
                let pod = pod::run(&self.dir, &node.name, &workload, self.interrupt)?;
                self.screen
                    .live(format_args!("{} on {}", pod.name, node.name));
                pods.push(pod);
            }
        }
        let mut table = Table::new(&["POD", "NODE", "ADDRESS", "ATTACHED IN"]);
        for pod in &pods {
            let network = pod.network.as_ref().context("a pod has no network")?;
            let addresses: Vec<String> = network
                .addresses
                .iter()
                .map(|address| address.to_string())
                .collect();
            table.row([
                pod.name.to_string(),
                pod.node.to_string(),
                addresses.join(", "),
                format!("{:.1} ms", network.attach_ms),
            ]);
        }
        self.screen.table(&table);
        self.screen.done();
        Ok(pods)
    }

    fn take_down(&mut self, running: Running) -> Result<()> {
        self.screen.step("take everything down");
        let problems = down::down(&running.dir)?;
        for problem in &problems {
            self.screen.failed(problem);
        }
        if problems.is_empty() {
            self.screen
                .good("pods detached, processes ended, control groups and files removed");
        }
        self.screen.done();
        Ok(())
    }
}

fn list<'a>(networks: impl IntoIterator<Item = &'a IpNetwork>) -> String {
    let all: Vec<String> = networks.into_iter().map(ToString::to_string).collect();
    all.join(", ")
}

/// A pod that serves a page with its host name on it.
fn server(name: Name) -> OneContainer {
    let script = "mkdir -p /srv/www && hostname >/srv/www/index.html && \
                  exec busybox httpd -f -p 80 -h /srv/www";
    OneContainer::new(name, ["sh", "-c", script].map(str::to_owned).into())
}

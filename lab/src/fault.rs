//! `lab fault`: what goes wrong in clusters, done to a lab on purpose.
//!
//! What lasts is noted in the lab's directory, so that `lab fault ls` can tell it and `lab fault heal`
//! can end it; all of it lives in the lab's own namespaces, so that `lab down` needs to know of none.

mod args;
mod note;
mod partition;
mod processes;
mod route;
mod subnet;

use anyhow::{Context, Result, bail};
use sandbox::Interrupt;

pub use self::args::{FaultAction, FaultCommand, HealArgs};
pub use self::note::{Fault, InForce};

use self::note::Notes;
use crate::impairment::{Ends, Impairment};
use crate::keeper;
use crate::netd;
use crate::node::Node;
use crate::output::{Table, counted};
use crate::progress::notice;
use crate::state::{LabDir, Name};
use crate::store::{self, Etcd};
use crate::underlay;

/// Has something go wrong, or mends it. Returns what there is to say about it.
///
/// # Errors
/// There is no such lab, node or fault; the kernel refused, or lacks what is needed; Ctrl-C.
pub fn run(dir: &LabDir, action: &FaultAction, interrupt: Interrupt) -> Result<String> {
    let _lock = dir.lock()?;
    keeper::require(dir)?;
    match action {
        FaultAction::Partition { one, other } => partition(dir, one, other),
        FaultAction::Heal(args) => heal(dir, args),
        FaultAction::KillNode { node } => kill_node(dir, &Node::find_alive(dir, node)?),
        FaultAction::PauseNode { node } => pause_node(dir, &Node::find_alive(dir, node)?),
        FaultAction::ResumeNode { node } => resume_node(dir, &Node::find_alive(dir, node)?),
        FaultAction::FillSubnet { node } => {
            fill_subnet(dir, &Node::find_alive(dir, node)?, interrupt)
        }
        FaultAction::DeleteRoute { node, prefix } => {
            let deleted = route::delete(&Node::find_alive(dir, node)?, *prefix)?;
            let deleted: Vec<String> = deleted.iter().map(ToString::to_string).collect();
            Ok(format!("node {node}: no route to {}", deleted.join(", ")))
        }
        FaultAction::Delay { node, milliseconds } => {
            degrade(dir, node, |link| link.delay_ms = Some(*milliseconds))
        }
        FaultAction::Loss { node, percent } => {
            degrade(dir, node, |link| link.loss_percent = Some(*percent))
        }
        FaultAction::Rate { node, bits } => degrade(dir, node, |link| link.rate_bits = Some(*bits)),
        FaultAction::Restart { .. } => {
            let _notice = notice(|| "starting etcd again".to_owned());
            let etcd = store::restart_etcd(dir, interrupt)?;
            Ok(format!("etcd answers again, as process {}", etcd.pid))
        }
    }
}

/// The faults that are in force, nodes without a netd and those that have ended among them.
///
/// # Errors
/// There is no such lab; a state file cannot be read.
pub fn list(dir: &LabDir) -> Result<Vec<Fault>> {
    let _lock = dir.lock_shared()?;
    in_force(dir)
}

/// The same without waiting for who changes the lab.
///
/// # Errors
/// As [`list`].
pub fn in_force(dir: &LabDir) -> Result<Vec<Fault>> {
    let mut faults = Notes::read(dir)?.0;
    faults.extend(stopped(dir)?);
    Ok(faults)
}

/// Whether the processes of a node stand still.
///
/// # Errors
/// The state file cannot be read.
pub fn is_paused(dir: &LabDir, node: &Name) -> Result<bool> {
    let paused = Fault::Paused { node: node.clone() };
    Ok(Notes::read(dir)?.0.contains(&paused))
}

/// The table of `lab fault ls`.
pub fn table(faults: &[Fault]) -> Table {
    let mut table = Table::new(&["FAULT", "WHERE", "WHAT"]);
    for fault in faults {
        let InForce {
            fault,
            places,
            what,
        } = fault.into();
        table.row([fault.to_owned(), places.join(", "), what]);
    }
    table
}

fn partition(dir: &LabDir, one: &Name, other: &Name) -> Result<String> {
    if one == other {
        bail!("{one} and {other} are the same: give two");
    }
    let [first, second] = [underlay(dir, one)?, underlay(dir, other)?];
    if first != second {
        bail!(
            "{one} is on underlay {first} and {other} on {second}: only those on one underlay are parted, \
             since what goes through a router has its port; stop a node with `lab node stop`"
        );
    }
    let mut notes = Notes::read(dir)?;
    notes.add(Fault::partition(one, other));
    notes.write(dir)?;
    partition::apply(&keeper::require(dir)?, &notes)?;
    Ok(format!("no packet between {one} and {other}"))
}

/// Which underlay a node, or the etcd server, has its port on.
fn underlay(dir: &LabDir, name: &Name) -> Result<Name> {
    let topology = dir.lab()?.topology;
    let cable = if name.as_str() == store::ETCD_PORT && Etcd::find(dir)?.is_some() {
        topology.etcd_cable()
    } else {
        topology.node_cable(&Node::find_alive(dir, name)?.name)
    };
    let cable = cable.with_context(|| format!("{name} has no cable"))?;
    Ok(cable.underlay)
}

fn pause_node(dir: &LabDir, node: &Node) -> Result<String> {
    let mut notes = Notes::read(dir)?;
    notes.add(Fault::Paused {
        node: node.name.clone(),
    });
    notes.write(dir)?;
    let paused = processes::pause(node)?;
    let paused = counted(paused, "process");
    Ok(format!("node {} stands still: {paused}", node.name))
}

fn resume_node(dir: &LabDir, node: &Node) -> Result<String> {
    let fault = Fault::Paused {
        node: node.name.clone(),
    };
    let mut notes = Notes::read(dir)?;
    if !notes.0.contains(&fault) {
        bail!("node {} is not paused", node.name);
    }
    end(dir, &mut notes, &fault)?;
    Ok(format!("{} healed", named(&fault)))
}

/// As a power cut: nothing of the node's has time to say good-bye.
fn kill_node(dir: &LabDir, node: &Node) -> Result<String> {
    underlay::set_cable(&keeper::require(dir)?, node.name.as_str(), false)?;
    let killed = processes::kill(node)?;
    let mut notes = Notes::read(dir)?;
    notes.remove(&Fault::Paused {
        node: node.name.clone(),
    });
    notes.write(dir)?;
    Ok(format!(
        "node {name}: {} killed, and the cable is out; `lab node start {name}` brings it back",
        counted(killed, "process"),
        name = node.name
    ))
}

fn fill_subnet(dir: &LabDir, node: &Node, interrupt: Interrupt) -> Result<String> {
    let mut notes = Notes::read(dir)?;
    let noted = notes.filled(&node.name).unwrap_or(0);
    let _notice = notice({
        let text = format!("taking the free addresses of node {}", node.name);
        move || text
    });
    let filler = subnet::Filler::new(dir, node)?;
    let taken = filler.fill(noted, interrupt, &mut |upper_bound| {
        notes.fill(&node.name, upper_bound);
        notes.write(dir)
    })?;
    notes.fill(&node.name, noted + taken);
    notes.write(dir)?;
    Ok(format!(
        "node {}: the last {taken} addresses of its pods are taken",
        node.name
    ))
}

fn degrade(dir: &LabDir, node: &Name, change: impl FnOnce(&mut Impairment)) -> Result<String> {
    let node = Node::find_alive(dir, node)?;
    let mut notes = Notes::read(dir)?;
    let mut fault = notes.link(&node.name);
    change(&mut fault);
    let (ends, usual) = cable(dir, &node)?;
    ends.require_support(&fault)?;
    notes.set_link(&node.name, fault);
    notes.write(dir)?;
    ends.apply(&fault.or(usual))?;
    Ok(format!("node {}: {fault}, in both directions", node.name))
}

/// A node's cable, and what is wrong with it without a fault.
fn cable(dir: &LabDir, node: &Node) -> Result<(Ends, Impairment)> {
    let cable = dir.lab()?.topology.node_cable(&node.name);
    let cable = cable.with_context(|| format!("node {} has no cable", node.name))?;
    let ends = Ends::of(&keeper::require(dir)?, &node.holder, &cable)?;
    Ok((ends, cable.impairment))
}

fn heal(dir: &LabDir, args: &HealArgs) -> Result<String> {
    let mut notes = Notes::read(dir)?;
    let all: Vec<Fault> = notes.0.clone();
    let meant: Vec<&Fault> = all.iter().filter(|fault| args.concerns(fault)).collect();
    let stopped = stopped(dir)?;
    let stopped: Vec<&Fault> = stopped
        .iter()
        .filter(|fault| args.concerns(fault))
        .collect();
    // That there is none is fine; that there is no such node is not.
    for name in args.places() {
        underlay(dir, name)?;
    }
    // One that stays does not keep the others.
    let mut lines = Vec::new();
    let mut failures = Vec::new();
    for fault in meant {
        match end(dir, &mut notes, fault) {
            Ok(()) => lines.push(format!("{} healed", named(fault))),
            Err(error) => failures.push(format!("{} stays: {error:#}", named(fault))),
        }
    }
    if !failures.is_empty() {
        lines.extend(failures);
        bail!(lines.join("\n"));
    }
    // What was stopped is started, not healed.
    lines.extend(
        stopped
            .iter()
            .map(|fault| format!("{} stays: {fault}", named(fault))),
    );
    if lines.is_empty() {
        lines.push(match &args.places()[..] {
            [] => "there are no faults".to_owned(),
            [one] => format!("{one} has no faults"),
            [one, other, ..] => format!("{one} and {other} are not parted"),
        });
    }
    Ok(lines.join("\n"))
}

/// Nodes without a netd, and those that have ended, as faults.
fn stopped(dir: &LabDir) -> Result<Vec<Fault>> {
    let mut stopped = Vec::new();
    for node in Node::all(dir)? {
        if !node.holder.is_alive() {
            stopped.push(Fault::Ended { node: node.name });
        } else if netd::running(dir, &node)?.is_none() {
            stopped.push(Fault::Stopped { node: node.name });
        }
    }
    Ok(stopped)
}

/// Its kind and whom it concerns.
pub(crate) fn named(fault: &Fault) -> String {
    let places: Vec<&str> = fault.places().into_iter().map(Name::as_str).collect();
    format!("fault {} of {}", fault.kind(), places.join(" and "))
}

/// Ends a fault, then forgets it.
fn end(dir: &LabDir, notes: &mut Notes, fault: &Fault) -> Result<()> {
    let keeper = keeper::require(dir)?;
    let mut without = notes.clone();
    without.remove(fault);
    match fault {
        Fault::Partition { .. } => partition::apply(&keeper, &without)?,
        Fault::Paused { node } => processes::resume(&Node::find_alive(dir, node)?)?,
        Fault::FullSubnet { node, addresses } => {
            let node = Node::find_alive(dir, node)?;
            subnet::Filler::new(dir, &node)?.release(*addresses)?;
        }
        Fault::Link { node, .. } => {
            let (ends, usual) = cable(dir, &Node::find_alive(dir, node)?)?;
            ends.apply(&usual)?;
        }
        Fault::Stopped { .. } | Fault::Ended { .. } => {}
    }
    without.write(dir)?;
    *notes = without;
    Ok(())
}

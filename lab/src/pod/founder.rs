//! The process that makes those namespaces of a pod which only a process with one thread can make: its users', with
//! what belongs to them, and its clocks'. The hidden subcommand `found`. It ends with who started it; who needs the
//! namespaces has opened them by then.
//!
//! 1. It makes the user namespace and says so; the lab says who its users are.
//! 2. It makes the others, which belong to these users then, and says so.

use std::fs;
use std::io::{self, BufReader, Read};
use std::process::{ChildStdin, Stdio};

use anyhow::{Context, Result, bail};
use manifest::{Annotations, ClockOffsets, Complaint, Path, Processors};
use sandbox::cgroup::Hierarchies;
use sandbox::{IdRange, Namespace, Process, join_at_start, leave_terminal, unshare, why_no_users};

use super::talk::{Answer, hear, tell};
use super::{Pod, groups};
use crate::keeper::LAB_VARIABLE;
use crate::node::Node;
use crate::program::{command, own_executable};
use crate::state::{self, LabDir, Name};

impl Pod {
    /// Its clocks, where they are not the machine's.
    pub(super) fn clocks(&self) -> Option<ClockOffsets> {
        annotations(&self.workload.pod).clocks
    }

    /// The namespaces that one thread alone can make and enter.
    pub(super) fn lone_namespaces(&self) -> Vec<Namespace> {
        let time = self.clocks().map(|_| Namespace::Time);
        // The users last: nothing else could be entered by them.
        time.into_iter()
            .chain(self.users.map(|_| Namespace::User))
            .collect()
    }
}

/// The processors of the machine (Documentation/ABI/stable/sysfs-devices-system-cpu).
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// What a pod asks of the lab.
pub(crate) fn annotations(pod: &manifest::Pod) -> Annotations {
    // What is wrong with them was refused when they were read.
    Annotations::of(&pod.metadata.annotations).unwrap_or_default()
}

/// What a pod wants of the kernel that this one has not got: the field, and why.
pub fn missing_in_kernel(pod: &manifest::Pod) -> Option<Complaint> {
    let users = || {
        let why = pod.spec.has_own_users().then(why_no_users).flatten()?;
        Some((
            "spec",
            "hostUsers",
            format!("it cannot be false here: {why}"),
        ))
    };
    let clocks = || {
        let is_missing = annotations(pod).clocks.is_some() && !Namespace::Time.is_known();
        let why = "no clocks of its own here: this kernel has no time namespaces";
        is_missing.then(|| ("metadata", "annotations", why.to_owned()))
    };
    let processors = || {
        let wanted = annotations(pod).processors?;
        let online = fs::read_to_string(ONLINE).ok()?;
        let there: Processors = online.trim().parse().ok()?;
        let is_there = |number: &&u16| there.numbers().contains(number);
        let missing = wanted.numbers().iter().find(|number| !is_there(number))?;
        let why = format!(
            "there is no processor {missing} here: this machine has {}",
            online.trim()
        );
        Some(("metadata", "annotations", why))
    };
    let (object, field, message) = users().or_else(clocks).or_else(processors)?;
    Some(Complaint {
        field: Path::default().field(object).field(field),
        message,
    })
}

/// Users that no other pod of any lab of this `/run` has.
///
/// # Errors
/// There are none; a lab's state cannot be read.
pub(super) fn allot_users(dir: &LabDir, pod: &mut Pod) -> Result<()> {
    if !pod.spec().has_own_users() {
        return Ok(());
    }
    let _lock = state::lock_labs()?;
    let mut taken = Vec::new();
    for lab in state::labs()? {
        taken.extend(Pod::users_of_all(&LabDir::of(&lab))?);
    }
    let free = IdRange::free(&taken);
    pod.users = Some(free.with_context(|| format!("find users for pod {}", pod.name))?);
    pod.note(dir)
}

/// One that has made what it is for.
#[derive(Debug)]
pub(super) struct Founder {
    pub process: Process,
    _life: ChildStdin,
}

/// Starts it for a pod that needs one.
///
/// # Errors
/// The kernel refused.
pub(super) fn start(
    hierarchies: &Hierarchies,
    dir: &LabDir,
    node: &Node,
    pod: &Pod,
) -> Result<Option<Founder>> {
    if pod.lone_namespaces().is_empty() {
        return Ok(None);
    }
    let mut founder = command(own_executable()?);
    founder
        .args(["found", dir.name().as_str(), pod.name.as_str()])
        .env(LAB_VARIABLE, dir.name().as_str())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    join_at_start(&mut founder, &groups::infra(hierarchies, dir, &pod.name))?;
    let namespaces = node.namespaces_for_processes(dir)?;
    let started = namespaces.run(|| Process::start_orphan(founder))?;
    let (process, (life, from)) = started.context("start the maker of the pod's namespaces")?;
    let streams = life.zip(from);
    let (mut life, from) = streams.context("the maker of namespaces has no standard streams")?;
    let mut from = BufReader::new(from);
    if let Some(users) = pod.users {
        expect(&mut from, |answer| matches!(answer, Answer::Born(_)))?;
        users.give(&process)?;
        tell(&mut life, &Answer::Started)?;
    }
    expect(&mut from, |answer| matches!(answer, Answer::Started))?;
    Ok(Some(Founder {
        process,
        _life: life,
    }))
}

fn expect(
    from: &mut BufReader<std::process::ChildStdout>,
    right: impl Fn(&Answer) -> bool,
) -> Result<()> {
    match hear(from)? {
        Some(Answer::Failed(why)) => bail!(why),
        Some(answer) if right(&answer) => Ok(()),
        _ => bail!("the maker of the pod's namespaces ended without a word"),
    }
}

/// The life of that process.
///
/// # Errors
/// The kernel refused something; standard output says so too.
pub fn found(dir: &LabDir, name: &Name) -> Result<()> {
    leave_terminal();
    make(dir, name).inspect_err(|error| {
        let failure = super::talk::Failure::before(error);
        // A lab that has ended does not want to know.
        let _ = tell(&mut io::stdout(), &Answer::Failed(failure));
    })?;
    tell(&mut io::stdout(), &Answer::Started)?;
    // Until the other side is closed.
    let ended = io::stdin().read(&mut [0; 1]);
    ended.map(drop).context("wait for the end of the lab")
}

fn make(dir: &LabDir, name: &Name) -> Result<()> {
    let pod = Pod::find(dir, name)?;
    if pod.users.is_some() {
        let process = Process::current()?;
        unshare(&[Namespace::User])?;
        tell(&mut io::stdout(), &Answer::Born(process))?;
        hear::<Answer>(&mut io::stdin().lock())?.context("the lab ended")?;
        unshare(&[Namespace::Network, Namespace::Ipc, Namespace::Uts])?;
    }
    if let Some(ClockOffsets {
        boottime,
        monotonic,
    }) = pod.clocks()
    {
        unshare(&[Namespace::Time])?;
        let offsets = format!("monotonic {monotonic} 0\nboottime {boottime} 0\n");
        let limit = match boottime.min(monotonic) {
            ..0 => ": they may not be before the start",
            0.. => "",
        };
        fs::write("/proc/self/timens_offsets", offsets).with_context(|| {
            format!("set the clocks of pod {name} by {boottime} s and {monotonic} s{limit}")
        })?;
    }
    Ok(())
}

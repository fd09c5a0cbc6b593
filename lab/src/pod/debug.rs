//! A container beside those of a pod, for as long as somebody looks at the pod from it: `lab debug`.
//!
//! The command makes it, not the pod's supervisor, and notes how it is doing ([`Ephemeral`]). Its stage is `lab join`,
//! which makes a root as those of the pod's containers are made. Where another container's processes are to be seen,
//! the root has a copy of that one's `/proc`: the stage, which has all rights while it makes it, is never among them
//! itself.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kernel::mount::Reach;
use manifest::Container;
use sandbox::cgroup::Limits;
use sandbox::mount::Detached;
use sandbox::{Interrupt, Namespace, Namespaces, Process, Signal, Users, unshare};

use super::container;
use super::join::JoinArgs;
use super::{Base, Ephemeral, Guest, Pod, groups, images, process};
use crate::home;
use crate::keeper;
use crate::output::complain;
use crate::state::{LabDir, PodLock};

/// What somebody wants to look at a pod with.
#[derive(Clone, Copy, Debug)]
pub struct DebugWish<'a> {
    /// What the container's root is made of; a view of the machine's when absent.
    pub image: Option<&'a str>,
    /// The container whose processes it sees.
    pub target: Option<&'a str>,
    /// Whether the program has a terminal of its own, and is to be started by [`at_terminal`](super::at_terminal).
    pub terminal: bool,
    /// Program and arguments.
    pub command: &'a [String],
}

/// Makes a container beside a pod's, has `operate` start its program and wait for that, and removes it, with all that
/// runs in it. When `caller` ends, it and this process end.
///
/// Without control groups, what the program leaves running among processes of another container goes with the pod.
///
/// # Errors
/// The pod has ended or is being removed; Ctrl-C while another command has it; its target does not run; there is no
/// such image; `operate` failed.
pub fn debug(
    dir: &LabDir,
    pod: &Pod,
    wish: DebugWish<'_>,
    (caller, interrupt): (Process, Interrupt),
    operate: impl FnOnce(Guest) -> Result<ExitStatus>,
) -> Result<ExitStatus> {
    let name = name(std::process::id());
    let made = with_container(pod.clone(), &name, wish.image)?;
    let mut noted = noted(&made, &name, wish)?;
    make_group(dir, pod, &mut noted, interrupt)?;
    end_with(caller, dir, pod, &noted);
    let outcome = guest(dir, pod, &made, &name, wish).and_then(|guest| {
        noted.runs(dir, pod)?;
        operate(guest)
    });
    let cleared = clear(dir, pod, &name);
    let end = outcome.as_ref().copied();
    let written = noted.ended(dir, pod, end.map_err(|error| format!("{error:#}")));
    let status = outcome?;
    cleared.and(written)?;
    Ok(status)
}

fn noted(made: &Pod, name: &str, wish: DebugWish<'_>) -> Result<Ephemeral> {
    let mut container = made.container(Some(name))?.clone();
    container.command = wish.command.to_vec();
    let base = made.bases.get(name).cloned().unwrap_or_default();
    let leader = Process::current()?;
    Ok(Ephemeral::new(container, wish.target, &base, leader))
}

/// While nobody removes the pod, whose group would be made again else.
fn make_group(dir: &LabDir, pod: &Pod, noted: &mut Ephemeral, interrupt: Interrupt) -> Result<()> {
    dir.wait_for_pod(&pod.name, Some(interrupt), || {
        let _lab = dir.lock_shared()?;
        keeper::require(dir)?;
        match dir.try_lock_pod(&pod.name)? {
            PodLock::Held(_lock) => make_group_of_held(dir, pod, noted).map(Some),
            PodLock::Taken => Ok(None),
            PodLock::Gone => bail!("pod {} has been removed", pod.name),
        }
    })
}

fn make_group_of_held(dir: &LabDir, pod: &Pod, noted: &mut Ephemeral) -> Result<()> {
    if !pod.is_supervised() {
        bail!("pod {} has ended", pod.name);
    }
    noted.begin(dir, pod)?;
    let hierarchies = home::control_groups()?;
    let group = groups::of_container(&hierarchies, dir, &pod.name, &noted.container.name);
    Ok(group.create(&Limits::default())?)
}

/// Once the process that called [`debug()`] was killed: what was left to it to clear.
///
/// # Errors
/// The kernel does not let go of the container's control group.
pub fn clear_after(dir: &LabDir, pod: &Pod, debugger: u32) -> Result<()> {
    clear(dir, pod, &name(debugger))
}

/// It is no label, as the names of the others are (core/v1, "Container").
fn name(debugger: u32) -> String {
    format!("debug.{debugger}")
}

fn clear(dir: &LabDir, pod: &Pod, name: &str) -> Result<()> {
    let hierarchies = home::control_groups()?;
    groups::clear(&groups::of_container(&hierarchies, dir, &pod.name, name))
        .with_context(|| format!("end what is left of the container beside pod {}", pod.name))
}

/// Whoever has the caller killed did not have it clear up.
fn end_with(caller: Process, dir: &LabDir, pod: &Pod, noted: &Ephemeral) {
    const PAUSE: Duration = Duration::from_millis(50);
    const KILLED: i32 = 137;
    let (dir, pod, mut noted) = (dir.clone(), pod.clone(), noted.clone());
    thread::spawn(move || {
        while caller.is_alive() {
            thread::sleep(PAUSE);
        }
        let cleared = clear(&dir, &pod, &noted.container.name);
        // As wait(2) has it of what SIGKILL ended.
        let killed = ExitStatus::from_raw(Signal::Kill.number());
        let written = noted.ended(&dir, &pod, Ok(killed));
        if let Err(error) = cleared.and(written) {
            complain(format_args!("{error:#}"));
        }
        std::process::exit(KILLED)
    });
}

fn guest(dir: &LabDir, pod: &Pod, made: &Pod, name: &str, wish: DebugWish<'_>) -> Result<Guest> {
    let spec = pod.spec();
    let supervisor = pod.supervisor.context("the pod has no first process")?;
    let sees_others = wish.target.is_some() || spec.share_process_namespace || spec.host_pid;
    let first = match sees_others || !pod.lone_namespaces().is_empty() {
        true => pod.first_process(dir, pod.container(wish.target)?)?,
        // Everything else is the supervisor's.
        false => supervisor,
    };
    images::share(&supervisor, made)?;
    let words = JoinArgs::words_of_debugger(dir, made, name, &first, wish, sees_others);
    Guest::of_debugger(
        dir,
        made,
        made.container(Some(name))?,
        words,
        wish.command,
        sees_others,
    )
}

/// The pod as it would be with a further container, of which nothing is said but what it is made of.
///
/// # Errors
/// There is no such image.
pub(super) fn with_container(mut pod: Pod, name: &str, image: Option<&str>) -> Result<Pod> {
    let container = Container {
        name: name.to_owned(),
        image: image.map(str::to_owned),
        // Another one is given to what `Program` this makes.
        command: vec!["sh".to_owned()],
        ..Container::default()
    };
    pod.bases.insert(name.to_owned(), Base::find(image)?);
    pod.workload.pod.spec.containers.push(container);
    Ok(pod)
}

/// For the stage: makes the container, of which this process is no part as far as processes are concerned, where
/// `first`'s are to be seen.
///
/// # Errors
/// The pod, or `first`, has ended; the kernel refused.
pub(super) fn enter(
    pod: &Pod,
    made: &Container,
    first: &Process,
    among: bool,
    working_dir: &Path,
) -> Result<()> {
    let supervisor = pod.supervisor.context("the pod has no first process")?;
    let of_pod = [
        Namespace::Network,
        Namespace::Ipc,
        Namespace::Uts,
        Namespace::Mount,
    ];
    let of_pod = Namespaces::of(&supervisor, &of_pod)?;
    let mut clocks = pod.lone_namespaces();
    clocks.retain(|kind| *kind == Namespace::Time);
    let clocks = Namespaces::of(first, &clocks)?;
    let mut root = process::root(pod, made, users(pod, first))?;
    // Its own mount there is out of this one's sight, and the other way round: no directory more is made.
    let there = pod
        .spec()
        .containers
        .first()
        .context("the pod has no container")?;
    root.scratch.set_file_name(&there.name);
    let processes = among.then(|| others(first)).transpose()?;
    of_pod.join()?;
    clocks.join()?;
    unshare(&[Namespace::Mount, Namespace::Cgroup])?;
    container::enter(&root, processes.as_ref(), working_dir)
}

fn users(pod: &Pod, first: &Process) -> Option<Users> {
    pod.users.map(|ids| Users {
        namespace: format!("/proc/{}/ns/user", first.pid).into(),
        ids,
    })
}

/// What this process starts is among those of a container from now on; what that shows of them.
fn others(first: &Process) -> Result<Detached> {
    let processes = Namespaces::of(first, &[Namespace::Pid])?;
    Namespaces::of(first, &[Namespace::Mount])?.join()?;
    // What is mounted there hides things, and the kernel lets nobody take it off.
    let shown = Detached::copy(Path::new("/proc"), Reach::Below)?;
    processes.join()?;
    Ok(shown)
}

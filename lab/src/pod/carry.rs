//! Files on their way into a container and out of it: the hidden subcommand `carry`. It enters the container, gives up
//! what that must not have, and reads or writes there as the container's user, in the container's control group.
//! Nothing of the container is executed for it.

use std::io::{self, BufReader, BufWriter};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use manifest::Container;
use sandbox::tree::{self, Descriptors, Target};
use sandbox::{Namespace, Namespaces, Signal, set_umask};

use super::beside::Beside;
use super::talk::{hear, tell};
use super::{Pod, groups, process};
use crate::keeper::LAB_VARIABLE;
use crate::output::mebibytes;
use crate::program::{command, own_executable};
use crate::state::LabDir;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// From the container to standard output.
    Out,
    /// From standard input into the container.
    In,
}

/// `lab carry`
#[derive(Debug, Args)]
pub struct CarryArgs {
    /// The container
    #[command(flatten)]
    beside: Beside,
    /// Which way
    direction: Direction,
    /// A path in the container
    path: PathBuf,
    /// What the file is called in a directory
    name: std::ffi::OsString,
}

/// What the process says at the end of its way in.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum Outcome {
    /// All is there, but this.
    Done { left: Vec<String> },
    /// It is not.
    Failed { why: String },
}

/// Starts it for a container that runs; the first one unless it is named.
///
/// # Errors
/// There is no such container, or it does not run.
pub(crate) fn start(
    dir: &LabDir,
    pod: &Pod,
    container: Option<&str>,
    direction: Direction,
    (path, name): (&Path, &std::ffi::OsStr),
) -> Result<Child> {
    let container = pod.container(container)?;
    let first = pod.first_process(dir, container)?;
    let mut carrier = command(own_executable()?);
    carrier
        .arg("carry")
        .args(Beside::new(dir, pod, &container.name, &first).words())
        .arg(match direction {
            Direction::Out => "out",
            Direction::In => "in",
        })
        .arg("--")
        .args([path.as_os_str(), name])
        .env(LAB_VARIABLE, dir.name().as_str())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    groups::join_container_at_start(&mut carrier, dir, &pod.name, &container.name)?;
    carrier
        .spawn()
        .context("start what copies in the container")
}

/// The end of the way into a container.
///
/// # Errors
/// The process ended without a word.
pub(crate) fn outcome(child: &mut Child, container: &Container) -> Result<Outcome> {
    let from = child.stdout.take().context("it has no standard output")?;
    if let Some(outcome) = hear(&mut BufReader::new(from))? {
        return Ok(outcome);
    }
    let status = child.wait().context("wait for what copies")?;
    match container.resources.limits.get("memory") {
        Some(limit) if status.signal() == Some(Signal::Kill.number()) => bail!(
            "what copies in the container was killed: files there count to its memory, which is limited to {}",
            mebibytes(limit.whole())
        ),
        _ => bail!("what copies in the container ended before it was done: {status}"),
    }
}

/// The life of that process: who started it is told what fails.
///
/// # Errors
/// Nobody listens any more.
pub fn carry(args: &CarryArgs) -> Result<()> {
    let descriptors = Descriptors::open();
    let path = enter(args);
    let check = &mut |_| Ok(());
    match args.direction {
        Direction::Out => {
            let mut to = BufWriter::new(io::stdout().lock());
            match path {
                // It has told that, too.
                Ok(path) => {
                    let _told = tree::give(&path, &mut to, check);
                    Ok(())
                }
                Err(error) => tree::refuse(&mut to, format!("{error:#}")).context("tell why"),
            }
        }
        Direction::In => {
            let taken = path.and_then(|path| {
                let target = Target::find(&path, &args.name, descriptors?)?;
                Ok(tree::take(&mut io::stdin().lock(), &target, check)?)
            });
            let outcome = match taken {
                Ok(left) => Outcome::Done { left },
                Err(error) => Outcome::Failed {
                    why: format!("{error:#}"),
                },
            };
            tell(&mut io::stdout(), &outcome)
        }
    }
}

/// Becomes the container's user in its root. Returns the path there.
fn enter(args: &CarryArgs) -> Result<PathBuf> {
    let (dir, first) = (args.beside.dir(), args.beside.first());
    let pod = Pod::find(&dir, &args.beside.pod)?;
    let container = pod.container(Some(&args.beside.container))?;
    let program = process::program(&dir, &pod, container)?;
    let mut kinds = vec![Namespace::Mount];
    kinds.extend(pod.lone_namespaces());
    Namespaces::of(&first, &kinds)?.join()?;
    let _account = program.become_user()?;
    set_umask();
    Ok(program.working_dir.join(&args.path))
}

//! Starting processes of the pod: a container's first one, and PID 1 of a PID namespace that they share.

use std::io::{BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use kernel::handover;
use manifest::Container;
use sandbox::{HeldNamespace, Namespace, Namespaces, Process, join_at_start, run_in_new};
use tokio::io::AsyncBufReadExt;
use tokio::process::Child;
use tokio::runtime::Handle;

use super::Supervisor;
use super::attachment::Attaching;
use super::recording::{Recording, Streams};
use crate::pod::container::Setup;
use crate::pod::logs::LogWriter;
use crate::pod::talk::{Answer, Failure, hear, line, understand};
use crate::pod::{Pod, groups, process};
use crate::state::LabDir;

/// A container whose program runs.
#[derive(Debug)]
pub(super) struct Started {
    /// The program's process, a child of this one.
    pub child: Child,
    /// The same, numbered as the machine numbers it.
    pub process: Process,
    /// What it prints.
    pub recording: Recording,
    /// What everything has that it starts, as long as there are no control groups to tell.
    pub mounts: Option<HeldNamespace>,
}

/// The process that becomes the program.
#[derive(Debug)]
struct Stage {
    child: Child,
    /// The other end of its standard input.
    socket: UnixStream,
    recording: Recording,
    attaching: Option<Attaching>,
}

impl Supervisor {
    /// Starts a container for the `number`th time; from 0.
    ///
    /// # Errors
    /// Says why its program does not run.
    pub(super) async fn start(
        &self,
        container: &Container,
        number: u32,
    ) -> Result<Started, Failure> {
        let stage = self.start_stage(container, number);
        let mut stage = stage.map_err(|error| Failure::before(&error))?;
        let led = self.lead(container, &mut stage).await;
        let Stage {
            mut child,
            socket,
            mut recording,
            attaching,
        } = stage;
        let led = led.and_then(|led| {
            let detour = attaching.map(|attaching| attaching.begin(&socket));
            let detour = detour.transpose();
            let detour = detour.map_err(|error| Failure::before(&error))?;
            detour
                .into_iter()
                .for_each(|detour| recording.passes_by(detour));
            Ok(led)
        });
        match led {
            Ok((process, mounts)) => Ok(Started {
                mounts,
                child,
                process,
                recording,
            }),
            Err(failure) => {
                let _ = child.start_kill();
                let _ = child.wait().await;
                Err(failure)
            }
        }
    }

    #[allow(clippy::disallowed_methods, reason = "the lab starts programs")]
    fn start_stage(&self, container: &Container, number: u32) -> Result<Stage> {
        let log = LogWriter::create(&self.dir, &self.pod, &container.name, number)?;
        let root = self.pod.users.map(|users| users.first);
        let (printed, printers) = Streams::pipes(root)?;
        let recording = Recording::begin(printed, log)?;
        let attachment = self.attachment.borrow_mut().take();
        let (attaching, printers) = match attachment {
            Some(attachment) => {
                let (attaching, printers) = attachment.prepare(printers, root)?;
                (Some(attaching), printers)
            }
            None => (None, printers),
        };
        let (socket, other) = UnixStream::pair().context("make a socket")?;
        // Its standard output says how far it is.
        handover::send(&socket, &[printers.output.as_fd()]).context("hand over a pipe")?;
        let mut stage = std::process::Command::new("/proc/self/exe");
        stage
            .args([
                "container",
                self.dir.name().as_str(),
                self.pod.name.as_str(),
            ])
            .arg(&container.name)
            .stdin(OwnedFd::from(other))
            .stdout(Stdio::piped())
            .stderr(printers.error);
        let group = groups::of_container(
            &self.hierarchies,
            &self.dir,
            &self.pod.name,
            &container.name,
        );
        join_at_start(&mut stage, &group)?;
        let runtime = Handle::current();
        let spawn = || {
            // The thread is a fresh one, which the event loop does not know.
            let _inside = runtime.enter();
            tokio::process::Command::from(stage).spawn()
        };
        let spawned = match &self.reaper {
            Some(reaper) => Namespaces::of(reaper, &[Namespace::Pid])?.run(spawn)?,
            None if self.pod.spec().host_pid => spawn(),
            None => run_in_new(&[Namespace::Pid], spawn)?,
        };
        let child = spawned.context("start the container's first process")?;
        Ok(Stage {
            child,
            socket,
            recording,
            attaching,
        })
    }

    fn hold_mounts(&self, process: &Process) -> Result<Option<HeldNamespace>> {
        let needed = self.hierarchies.are_none();
        let held = needed.then(|| HeldNamespace::of(process, Namespace::Mount));
        Ok(held.transpose()?)
    }

    /// Tells the stage what to become, and waits until it has.
    async fn lead(
        &self,
        container: &Container,
        stage: &mut Stage,
    ) -> Result<(Process, Option<HeldNamespace>), Failure> {
        let led = self.talk(container, stage).await;
        led.map_err(|error| match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(error) => Failure::before(&error),
        })
    }

    async fn talk(
        &self,
        container: &Container,
        stage: &mut Stage,
    ) -> Result<(Process, Option<HeldNamespace>)> {
        let setup = Setup {
            attach: stage.attaching.as_ref().map(Attaching::kind),
            ..process::setup(&self.dir, &self.pod, container, &self.held)?
        };
        let from = stage.child.stdout.take();
        let from = from.context("the container's first process has no standard output")?;
        let mut from = tokio::io::BufReader::new(from);
        let mut heard = String::new();
        from.read_line(&mut heard).await?;
        let Some(Answer::Born(process)) = understand(&heard)? else {
            bail!("the container's first process ended without a word");
        };
        let mounts = self.hold_mounts(&process)?;
        // One that has ended says why; the others read it at once.
        let _ = (&stage.socket).write_all(&line(&setup)?);
        heard.clear();
        from.read_line(&mut heard).await?;
        match understand(&heard)? {
            // Its standard output has become the program's.
            None => Ok((process, mounts)),
            Some(Answer::Failed(failure)) => bail!(failure),
            Some(_) => bail!("the container's first process speaks out of turn"),
        }
    }
}

/// Starts PID 1 of a PID namespace that the containers share.
///
/// # Errors
/// The kernel refused.
#[allow(clippy::disallowed_methods, reason = "the lab starts programs")]
pub(super) fn reaper(dir: &LabDir, pod: &Pod) -> Result<Process> {
    let mut init = std::process::Command::new("/proc/self/exe");
    init.args(["pod-init", dir.name().as_str(), pod.name.as_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    // It ends with the pod's last process, and is this one's child until then.
    let child = run_in_new(&[Namespace::Pid], || init.spawn())?;
    let mut child = child.context("start PID 1 of the pod")?;
    let from = child.stdout.take().context("PID 1 has no output")?;
    match hear(&mut BufReader::new(from))? {
        Some(Answer::Born(process)) => Ok(process),
        _ => bail!("PID 1 of the pod ended without a word"),
    }
}

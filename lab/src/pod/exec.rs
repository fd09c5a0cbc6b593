//! Running a program in a container.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kernel::process::{Noted, end_with_this_process};
use manifest::Container;
use sandbox::{
    Interrupt, Namespace, Namespaces, Process, Signal, set_umask, signal_group, unshare,
};
use tokio::signal::unix::SignalKind;

use super::join::JoinArgs;
use super::process::{self, Program};
use super::{ContainerState, Pod, groups};
use crate::called::called;
use crate::home;
use crate::keeper::{self, LAB_VARIABLE};
use crate::output::complain;
use crate::state::LabDir;

/// Waits for a program's end. A signal that asks this process to end is passed on to the program: SIGINT to the group
/// that it leads, as a terminal does for Ctrl-C. One in this process's own group has that from the terminal itself.
///
/// # Errors
/// The kernel refused.
pub fn wait_for(mut child: Child, interrupt: Interrupt) -> Result<ExitStatus> {
    let program = Process::of(child.id())?;
    let (ended, is_over) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || pass_on(&program, interrupt, &is_over));
        let status = child.wait().context("wait for the program");
        drop(ended);
        status
    })
}

/// Passes on the signals that come before `is_over` hangs up: the program may go on after the first.
fn pass_on(program: &Process, interrupt: Interrupt, is_over: &mpsc::Receiver<()>) {
    const PAUSE: Duration = Duration::from_millis(50);
    while is_over.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
        while let Some(noted) = interrupt.take() {
            if let Err(error) = pass_one_on(program, noted) {
                complain(format_args!("pass on signal {}: {error:#}", noted.signal));
            }
        }
    }
}

fn pass_one_on(program: &Process, Noted { signal, of_kernel }: Noted) -> kernel::Result<()> {
    let is_interrupt = signal == SignalKind::interrupt().as_raw_value();
    let signal = Signal::Number(signal);
    let is_passed = is_interrupt && (signal_group(program.pid, signal)? || of_kernel);
    match is_passed {
        true => Ok(()),
        false => program.signal(signal),
    }
}

/// A program that is to run in a container, beside the container's own: in its namespaces and control group, as
/// its user, with its rights and its environment.
#[derive(Debug)]
pub struct Guest {
    /// The command; its standard streams are the caller's to choose.
    pub command: Command,
    /// Which pipes of this process are among those: the program can open them by name, as `/dev/stdout`, too.
    pub pipes: Vec<OwnedFd>,
    /// What the command is before it is started; the stage's own matter where one goes before.
    program: Program,
    is_staged: bool,
    place: Place,
    pod: String,
}

/// Where the process begins its life.
#[derive(Debug)]
enum Place {
    /// In these.
    Within(Namespaces),
    /// Where its parent is: the stage enters all itself.
    Here,
    /// The same as the first process of a PID namespace.
    First,
}

/// What a program has as its terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Terminal {
    /// None, or what its standard streams are.
    None,
    /// One of the container's, which is its controlling terminal. Whoever starts it receives the other end by its
    /// standard input.
    Own,
}

/// The variable that says what the user's terminal can do.
pub const TERMINAL: &str = "TERM";

/// What the process has of its container that starts a program there, or the stage.
const KINDS: [Namespace; 4] = [
    Namespace::Ipc,
    Namespace::Uts,
    Namespace::Cgroup,
    Namespace::Network,
];

impl Pod {
    /// The first process of a container that runs.
    ///
    /// # Errors
    /// It does not run, and why.
    pub(super) fn first_process(&self, dir: &LabDir, container: &Container) -> Result<Process> {
        let status = self.status(dir)?;
        match status.container(&container.name).map(|each| &each.state) {
            Some(ContainerState::Running(running)) => Ok(running.process),
            other => {
                // Where all has ended, that is why.
                keeper::require(dir)?;
                bail!(
                    "container {} of pod {} does not run: {}",
                    container.name,
                    self.name,
                    other.map_or_else(|| "it is not known".to_owned(), why_not)
                )
            }
        }
    }
}

impl Guest {
    /// For a container that runs; the first one unless it is named.
    ///
    /// # Errors
    /// There is no such container, it does not run, or there are no `arguments`.
    pub fn new(
        dir: &LabDir,
        pod: &Pod,
        container: Option<&str>,
        arguments: &[String],
    ) -> Result<Self> {
        Self::of_running(dir, pod, container, (arguments, Terminal::None))
    }

    /// The same with a terminal of the container's, which is to be started by [`at_terminal`](super::at_terminal).
    ///
    /// # Errors
    /// As [`Guest::new`].
    pub fn with_terminal(
        dir: &LabDir,
        pod: &Pod,
        container: Option<&str>,
        arguments: &[String],
    ) -> Result<Self> {
        Self::of_running(dir, pod, container, (arguments, Terminal::Own))
    }

    fn of_running(
        dir: &LabDir,
        pod: &Pod,
        container: Option<&str>,
        program: (&[String], Terminal),
    ) -> Result<Self> {
        let container = pod.container(container)?;
        let first = pod.first_process(dir, container)?;
        Self::of(dir, pod, container, &first, program)
    }

    /// For a container whose first process is known.
    ///
    /// # Errors
    /// The process has ended, or there are no `arguments`.
    pub(super) fn beside(
        dir: &LabDir,
        pod: &Pod,
        container: &Container,
        first: &Process,
        arguments: &[String],
    ) -> Result<Self> {
        Self::of(dir, pod, container, first, (arguments, Terminal::None))
    }

    fn of(
        dir: &LabDir,
        pod: &Pod,
        container: &Container,
        first: &Process,
        (arguments, terminal): (&[String], Terminal),
    ) -> Result<Self> {
        let program = process::program(dir, pod, container)?.with_command(arguments);
        let mut command = program.command().context("give a program after `--`")?;
        // A terminal is the container's own, opened and taken on there. A debugger would get at what this process has
        // open, before the program is executed.
        let is_staged =
            terminal == Terminal::Own || !pod.lone_namespaces().is_empty() || program.may_debug();
        let mut kinds = KINDS.to_vec();
        if is_staged {
            let words = JoinArgs::words(dir, pod, &container.name, first, (arguments, terminal));
            command = stage(dir, words);
        } else {
            kinds.extend([Namespace::Pid, Namespace::Mount]);
        }
        groups::join_container_at_start(&mut command, dir, &pod.name, &container.name)?;
        Ok(Self {
            command,
            pipes: Vec::new(),
            place: Place::Within(Namespaces::of(first, &kinds)?),
            pod: pod.name.to_string(),
            is_staged,
            program,
        })
    }

    /// In a container of its own, which its stage makes: it ends with this process, whose first thread has to start it.
    ///
    /// # Errors
    /// There are no arguments; the container's control group does not exist.
    pub(super) fn of_debugger(
        dir: &LabDir,
        pod: &Pod,
        container: &Container,
        words: Vec<String>,
        arguments: &[String],
        sees_others: bool,
    ) -> Result<Self> {
        let program = process::program(dir, pod, container)?.with_command(arguments);
        let mut command = stage(dir, words);
        groups::join_container_at_start(&mut command, dir, &pod.name, &container.name)?;
        end_with_this_process(&mut command).context("bind the container to this process")?;
        Ok(Self {
            command,
            pipes: Vec::new(),
            place: if sees_others {
                Place::Here
            } else {
                Place::First
            },
            pod: pod.name.to_string(),
            is_staged: true,
            program,
        })
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`NotStarted`]; the kernel refused what has to be before.
    pub fn start(self) -> Result<Child> {
        self.start_by(|mut command| command.spawn())
    }

    /// Starts it by `spawn`, which runs on a thread of its own.
    ///
    /// # Errors
    /// As [`Guest::start`].
    pub(super) fn start_by<T: Send + 'static>(
        self,
        spawn: impl FnOnce(Command) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let Self {
            mut command,
            pipes,
            program,
            is_staged,
            place,
            pod,
        } = self;
        let name = program.command.first().cloned().unwrap_or_default();
        let start = move || -> Result<io::Result<T>> {
            // The stage does it itself.
            if !is_staged {
                program.own(pipes.iter().map(AsFd::as_fd))?;
                program.take_on(&mut command)?;
                set_umask();
            }
            Ok(spawn(command))
        };
        let started = match place {
            Place::Within(namespaces) => namespaces.run(start)?,
            Place::Here => start(),
            Place::First => start_first(start),
        }?;
        Ok(started.map_err(|source| NotStarted {
            program: name,
            pod,
            source,
        })?)
    }
}

/// What `start` starts is the first process of a PID namespace. It does so on a thread that lasts as long as this
/// process: from there only the machine's root could go back, and what ends with its thread would end.
fn start_first<T: Send + 'static>(start: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (sender, started) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(
            unshare(&[Namespace::Pid])
                .map_err(Into::into)
                .and_then(|()| start()),
        );
        loop {
            std::thread::park();
        }
    });
    started
        .recv()
        .context("the thread that starts it panicked")?
}

/// The lab itself, which starts the program: of the caller's environment it has what leads to labs and images, which
/// the container may see.
#[allow(clippy::disallowed_methods, reason = "the lab starts programs")]
fn stage(dir: &LabDir, words: Vec<String>) -> Command {
    let mut stage = Command::new("/proc/self/exe");
    stage
        .arg0(called())
        .args(words)
        .env_clear()
        .envs(home::variables())
        .env(LAB_VARIABLE, dir.name().as_str());
    stage
}

/// Why a container does not run, for who wants something of it.
fn why_not(state: &ContainerState) -> String {
    let with = |message: &Option<String>| match message {
        Some(message) => format!(", {message}"),
        None => String::new(),
    };
    match state {
        ContainerState::Running(_) => "it does".to_owned(),
        ContainerState::Waiting(waiting) => {
            format!("it waits: {}{}", waiting.reason, with(&waiting.message))
        }
        ContainerState::Terminated(end) => format!(
            "it has ended: {}, exit status {}{}",
            end.reason.as_str(),
            end.exit_code,
            with(&end.message)
        ),
    }
}

/// A program that could not be started in a pod.
#[derive(Debug, thiserror::Error)]
#[error("start {program:?} in pod {pod}")]
pub struct NotStarted {
    /// As it was given.
    pub program: String,
    /// The pod's name.
    pub pod: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl NotStarted {
    /// As shells have it: 127 when there is no such program, 126 when it cannot be executed.
    pub fn code(&self) -> u8 {
        if self.source.kind() == io::ErrorKind::NotFound {
            127
        } else {
            126
        }
    }
}

//! The pod's side of its making: the hidden subcommands `sandbox` and `pod-init`.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use sandbox::{
    Confinement, ContainerRoot, Identity, Init, Namespace, Process, Rights, leave_terminal,
    replace_file, set_hostname, unshare,
};

use super::setup::{Answer, Setup, Start, hear, tell};
use crate::keeper::LAB_VARIABLE;
use crate::program::own_executable;

/// The environment of a pod's command.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes the pod's namespaces and starts PID 1 in them.
///
/// # Errors
/// The kernel refused; standard output says so too.
pub fn sandbox(lab: &str, pod: &str) -> Result<()> {
    report(|| {
        let kinds = [
            Namespace::Mount,
            Namespace::Ipc,
            Namespace::Uts,
            Namespace::Pid,
            Namespace::Cgroup,
        ];
        unshare(&kinds)?;
        start_init(lab, pod)
    })
}

#[allow(clippy::disallowed_methods, reason = "the lab starts programs")]
fn start_init(lab: &str, pod: &str) -> Result<()> {
    let mut init = Command::new(own_executable()?);
    init.args(["pod-init", lab, pod])
        .spawn()
        .context("start the pod's first process")?;
    Ok(())
}

/// The life of a pod's PID 1. Returns how the command ended, as an exit status.
///
/// # Errors
/// The pod could not be made; standard output says so too.
pub fn pod_init() -> Result<i32> {
    leave_terminal();
    let (init, main, exit) = report(begin)?;
    let ended = init.wait(main)?;
    write!(&exit, "{}", ended.code()).context("note how the command ended")?;
    Ok(ended.code())
}

fn begin() -> Result<(Init, u32, File)> {
    let init = Init::new()?;
    // While /proc is the machine's.
    tell(&mut io::stdout(), &Answer::Born(Process::current()?))?;
    let mut stdin = io::stdin().lock();
    let setup: Setup = hear(&mut stdin)?.context("the lab ended")?;
    let exit =
        File::create(&setup.exit).with_context(|| format!("create {}", setup.exit.display()))?;
    make_root(&setup)?;
    tell(&mut io::stdout(), &Answer::Ready)?;
    let start: Start = hear(&mut stdin)?.context("the lab ended")?;
    write_names(&setup, &start)?;
    // PID 1 needs no more for what is left to do, and the command inherits it.
    Confinement::new(rights(setup.privileged))?.apply(&Identity::default())?;
    let main = init.start(&mut command(&setup, &start)?)?;
    tell(&mut io::stdout(), &Answer::Started)?;
    Ok((init, main, exit))
}

/// What a pod's processes may do.
pub(super) fn rights(privileged: bool) -> Rights {
    if privileged {
        Rights::privileged()
    } else {
        Rights::default()
    }
}

fn make_root(setup: &Setup) -> Result<()> {
    sandbox::mount::make_directory(&setup.scratch)?;
    let root = ContainerRoot {
        lower: vec![setup.lower.clone()],
        scratch: setup.scratch.clone(),
        own_runtime_directories: setup.machine_root,
        read_only: false,
        privileged: setup.privileged,
        mounts: Vec::new(),
    };
    root.enter()?;
    Ok(set_hostname(&setup.hostname)?)
}

fn write_names(setup: &Setup, start: &Start) -> Result<()> {
    replace_file(Path::new("/etc/hostname"), &format!("{}\n", setup.hostname))?;
    replace_file(Path::new("/etc/hosts"), &start.hosts)?;
    Ok(replace_file(
        Path::new("/etc/resolv.conf"),
        &start.resolv_conf,
    )?)
}

fn command(setup: &Setup, start: &Start) -> Result<Command> {
    let (program, arguments) = start.command.split_first().context("no command")?;
    let log = io::stderr()
        .as_fd()
        .try_clone_to_owned()
        .context("open the log")?;
    let mut command = crate::program::command(program);
    command
        .args(arguments)
        .current_dir("/")
        .stdout(log.try_clone()?)
        .stderr(log);
    set_environment(&mut command, &setup.hostname);
    Ok(command)
}

/// Gives a pod's program the environment it expects, and nothing of the lab's.
pub fn set_environment(command: &mut Command, hostname: &str) {
    let lab = std::env::var_os(LAB_VARIABLE);
    let terminal = std::env::var_os("TERM");
    command
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .env("HOSTNAME", hostname);
    command.envs(lab.map(|lab| (LAB_VARIABLE, lab)));
    command.envs(terminal.map(|terminal| ("TERM", terminal)));
}

/// Tells the lab of a failure, too.
fn report<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    work().inspect_err(|error| {
        // A lab that has ended does not want to know.
        let _ = tell(&mut io::stdout(), &Answer::Failed(format!("{error:#}")));
    })
}

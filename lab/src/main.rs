//! The command `lab`: reads the command line, calls the library, prints.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::CommandFactory;
use clap::error::ErrorKind;
use lab::called::as_called;
use lab::cli::{Cli, Command, ExplainArgs, ImageCommand, ListArgs, NodeCommand, UpArgs};
use lab::cluster_file::{self, ClusterFile};
use lab::cni_tool::{self, CniCommand};
use lab::fault::{self, FaultCommand};
use lab::figures::server::{self, MetricsArgs};
use lab::figures::stats;
use lab::interrupt::Interrupted;
use lab::kubectl::args::KubectlCommand;
use lab::kubectl::{self, NotACommandLine};
use lab::node::Node;
use lab::output::{self, Paint, ReaderGone, Table};
use lab::pod::{self, NoWorkingDirectory, NotStarted};
use lab::program::{self, Programs};
use lab::progress::notice;
use lab::state::{LabDir, Name};
use lab::up::{self, Event};
use lab::{
    bench, completion, demo, down, explain, foreign, home, image, keeper, list, network, node,
    report, top, ui,
};
use sandbox::{Interrupt, hold};
use serde::Serialize;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let cli = foreign::read(&words).unwrap_or_else(|error| error.exit());
    require_one_name(&cli);
    match run(&cli) {
        Ok(code) => code,
        Err(error) if error.is::<ReaderGone>() => ExitCode::from(ReaderGone::EXIT_STATUS),
        Err(error) => {
            // Some of it may be in the words of a container.
            let text = output::escaped_lines(&format!("{error:#}"));
            output::complain(text);
            exit_code(&error)
        }
    }
}

/// Ends with a usage error when `--lab` and `--name` of `lab up` say different things.
fn require_one_name(cli: &Cli) {
    if let (
        Some(lab),
        Command::Up(UpArgs {
            name: Some(name), ..
        }),
    ) = (&cli.lab, &cli.command)
        && lab != name
    {
        let text = format!("--lab {lab} and --name {name} are both the lab's name: give one");
        let mut command = Cli::command();
        // With the usage of this command rather than that of the whole.
        command.build();
        let up = command.find_subcommand("up").unwrap_or(&command);
        up.clone().error(ErrorKind::ArgumentConflict, text).exit();
    }
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        return ExitCode::from(u8::try_from(interrupted.status()).unwrap_or(1));
    }
    if error.is::<NotACommandLine>() {
        return ExitCode::from(2);
    }
    if error.is::<NoWorkingDirectory>() {
        return ExitCode::from(NoWorkingDirectory::CODE);
    }
    match error.downcast_ref::<NotStarted>() {
        Some(not_started) => ExitCode::from(not_started.code()),
        None => ExitCode::FAILURE,
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let Some(name) = prepare(cli)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let dir = LabDir::of(&name);
    match &cli.command {
        Command::Up(args) => start(cli.lab.as_ref(), args)?,
        Command::Kubectl(command) => return kubectl::run(&dir, command),
        Command::Image(command) => of_images(command)?,
        Command::Node(command) => of_nodes(&dir, command)?,
        Command::Fault(FaultCommand::Ls(args)) => {
            let faults = fault::list(&dir)?;
            print(args, &faults, || fault::table(&faults))?;
            keeper::warn_if_stopped(&dir)?;
        }
        Command::Fault(FaultCommand::Action(action)) => {
            let done = fault::run(&dir, action, Interrupt::install()?)?;
            say(format_args!("{}", as_called(&done)))?;
        }
        Command::Network(command) => network::run(&dir, command)?,
        Command::Cni(command) => return run_plugins(&dir, command),
        Command::Stats(args) => stats::stats(&dir, args, Interrupt::install()?)?,
        Command::Metrics(args) => metrics(&dir, args)?,
        Command::Ps(args) => processes(&dir, args)?,
        Command::Explain(args) => return follow_packet(&dir, args),
        Command::Schema => say(format_args!(
            "{}",
            serde_json::to_string_pretty(&cluster_file::schema())?
        ))?,
        Command::Names(args) => {
            for name in completion::names(&dir, args)? {
                say(format_args!("{name}"))?;
            }
        }
        Command::Top(args) => top::run(&dir, args, Interrupt::install()?)?,
        Command::Ui(args) => ui::serve(&dir, args, |address| {
            say(format_args!("serving http://{address}/ until Ctrl-C"))
        })?,
        Command::Down => stop(&dir)?,
        Command::Demo(args) => return demo::run(&name, args, Interrupt::install()?),
        Command::Bench(args) => return bench::run(args),
        Command::Report(args) => report::run(args)?,
        Command::Load(command) => bench::load::run(command.clone())?,
        Command::Keeper { .. } => keeper::keep()?,
        Command::Hold { .. } => hold(),
        Command::Supervise { lab, pod } => pod::supervisor::supervise(&LabDir::of(lab), pod)?,
        Command::Container { .. } => pod::container::container()?,
        Command::PodInit { lab, pod } => pod::reaper::pod_init(&LabDir::of(lab), pod)?,
        Command::Found { lab, pod } => pod::founder::found(&LabDir::of(lab), pod)?,
        Command::Carry(args) => pod::carry::carry(args)?,
        Command::Debugger(args) => {
            return kubectl::debugger(&dir, args, Interrupt::install()?);
        }
        Command::Join(args) => return pod::join::join(args),
        Command::MapUsers { process } => home::map_users(*process)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The lab that a command is about.
fn lab_of(cli: &Cli) -> Result<Name> {
    let own = match &cli.command {
        Command::Up(args) => args.name.clone(),
        Command::Names(args) => args.lab(),
        _ => None,
    };
    Ok(match (cli.lab.clone().or(own), &cli.command) {
        (Some(name), _) => name,
        (None, Command::Demo(_)) => "demo".parse()?,
        (None, _) => "lab".parse()?,
    })
}

/// Whether it is about labs or images: others read files alone, or are started by the lab.
fn needs_root(command: &Command) -> bool {
    !matches!(
        command,
        Command::Schema
            | Command::Report(_)
            | Command::Load(_)
            | Command::Keeper { .. }
            | Command::Hold { .. }
            | Command::Supervise { .. }
            | Command::Container { .. }
            | Command::PodInit { .. }
            | Command::Found { .. }
            | Command::Debugger(_)
            | Command::Join(_)
            | Command::Carry(_)
            | Command::MapUsers { .. }
    )
}

/// What is done before any command is carried out; the lab's name. `None` where nothing is to be done: a shell that
/// completes a word makes no namespaces for it.
fn prepare(cli: &Cli) -> Result<Option<Name>> {
    // First: what a caller has open, a directory of the machine's say, would be a pod's way out.
    let left_open = match reads_files(&cli.command) {
        true => kernel::process::inherited_descriptors()?,
        false => {
            kernel::process::close_inherited_descriptors()?;
            Vec::new()
        }
    };
    let name = lab_of(cli)?;
    if matches!(cli.command, Command::Names(_)) && !home::is_there(&name)? {
        return Ok(None);
    }
    if needs_root(&cli.command) {
        home::go(&name)?;
    }
    program::close_at_first_start(left_open)?;
    if enters_containers(&cli.command) {
        program::run_from_read_only_mount()?;
    }
    Ok(Some(name))
}

/// Whether it reads files that the user names, by `/dev/fd/63` as well. None of these enters a container.
fn reads_files(command: &Command) -> bool {
    matches!(
        command,
        Command::Up(_)
            | Command::Kubectl(KubectlCommand::Apply(_) | KubectlCommand::Delete(_))
            | Command::Network(_)
            | Command::Image(_)
            | Command::Report(_)
    )
}

/// Whether it starts programs in containers, where those find this executable.
fn enters_containers(command: &Command) -> bool {
    matches!(
        command,
        Command::Supervise { .. }
            | Command::Kubectl(KubectlCommand::Exec(_) | KubectlCommand::Debug(_))
            | Command::Debugger(_)
    )
}

fn start(name: Option<&Name>, args: &UpArgs) -> Result<()> {
    let cluster = ClusterFile::asked(args, name)?;
    let programs = Programs::find(args.bin_dir.as_deref())?;
    let lab = cluster.lab(&programs)?;
    home::tell_of_missing_users();
    let _notice = notice({
        let (name, nodes) = (lab.name.clone(), lab.topology.nodes.len());
        move || format!("building lab {name} of {nodes} nodes")
    });
    // A list of the user's may have other addresses than netd.
    let whose = match lab.network.list {
        None => "pods in",
        Some(_) => "netd has",
    };
    // A lab is built to its end, whether or not somebody reads of it.
    let mut said = Ok(());
    let running = up::up(&lab, &programs, Interrupt::install()?, &mut |event| {
        if let (Event::Node { node, subnets }, Ok(())) = (event, &said) {
            let subnets: Vec<String> = subnets.iter().map(ToString::to_string).collect();
            said = say(format_args!("node {node}: {whose} {}", subnets.join(", ")));
        }
    })?;
    running.keeper.release()?;
    said?;
    let nodes = lab.topology.nodes.len();
    say(format_args!(
        "lab {} is up: {}",
        lab.name,
        output::counted(nodes, "node")
    ))
}

fn follow_packet(dir: &LabDir, args: &ExplainArgs) -> Result<ExitCode> {
    let found = explain::explain(dir, args)?;
    let table = || {
        let table = explain::table(&found, &args.pod.to_string(), found.to, Paint::for_stdout());
        format!("{}\n", as_called(table.trim_end()))
    };
    output::print(&args.output.text(&found.hops, table)?)?;
    Ok(match found.broken() {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    })
}

fn stop(dir: &LabDir) -> Result<()> {
    // A second Ctrl-C must not leave half of it.
    let _ignored = Interrupt::install()?;
    let _notice = notice({
        let name = dir.name().clone();
        move || format!("taking down lab {name}")
    });
    let problems = down::down(dir)?;
    if !problems.is_empty() {
        bail!("lab {} is down, but: {}", dir.name(), problems.join("; "));
    }
    say(format_args!("lab {} is down", dir.name()))
}

fn of_images(command: &ImageCommand) -> Result<()> {
    match command {
        ImageCommand::Load(args) => {
            let image = image::load(args, Interrupt::install()?)?;
            say(format_args!("loaded {}", image::describe(&image)))?;
        }
        ImageCommand::Ls(args) => {
            let images = image::list()?;
            print(args, &images, || image::table(&images))?;
            image::require_all_listed()?;
        }
        ImageCommand::Rm { names, force } => {
            let _completed_first = Interrupt::install()?;
            for name in image::remove(names, *force)? {
                say(format_args!("removed {name}"))?;
            }
        }
    }
    Ok(())
}

fn of_nodes(dir: &LabDir, command: &NodeCommand) -> Result<()> {
    let _lock = dir.lock()?;
    let lab = dir.lab()?;
    match command {
        NodeCommand::Stop { name } => {
            node::stop(dir, &Node::find(dir, name)?)?;
            say(format_args!(
                "node {name} stopped: no netd, its cable is out"
            ))
        }
        NodeCommand::Start { name, bin_dir } => {
            let programs = Programs::find(bin_dir.as_deref())?;
            node::start(dir, &programs, &lab, &Node::find(dir, name)?)?;
            say(format_args!("node {name} started"))
        }
    }
}

fn run_plugins(dir: &LabDir, command: &CniCommand) -> Result<ExitCode> {
    let answer = cni_tool::run(dir, command)?;
    if !answer.document.is_empty() {
        say(format_args!("{}", answer.document))?;
    }
    Ok(match answer.failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            output::complain(failure);
            ExitCode::FAILURE
        }
    })
}

fn metrics(dir: &LabDir, args: &MetricsArgs) -> Result<()> {
    let Some(address) = args.listen else {
        output::print(&server::page_of_all(dir)?)?;
        return keeper::warn_if_stopped(dir);
    };
    server::serve(dir, address, |address| {
        say(format_args!(
            "serving http://{address}/metrics until Ctrl-C"
        ))
    })
}

fn processes(dir: &LabDir, args: &ListArgs) -> Result<()> {
    // As for every other command: no such lab is an error.
    drop(dir.lock_shared()?);
    let view = list::processes(dir.name())?;
    print(args, &view, || list::process_table(&view))?;
    keeper::warn_if_stopped(dir)
}

fn print<T: Serialize>(args: &ListArgs, value: &T, table: impl FnOnce() -> Table) -> Result<()> {
    output::print(&args.output.text(value, || table().to_string())?)
}

/// Prints a line.
fn say(what: std::fmt::Arguments<'_>) -> Result<()> {
    output::print(&format!("{what}\n"))
}

//! The command line: one struct of arguments per command.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::builder::{Resettable, StyledStr};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::bench::{BenchArgs, load::LoadCommand};
use crate::called::{called, help_as_called};
use crate::cni_tool::CniCommand;
use crate::completion::NamesArgs;
use crate::explain::Destination;
use crate::fault::FaultCommand;
use crate::figures::server::MetricsArgs;
use crate::figures::stats::StatsArgs;
use crate::kubectl::PodOrPath;
use crate::kubectl::args::{DebuggerArgs, KubectlCommand};
use crate::network::NetworkCommand;
use crate::output::yaml;
use crate::pod::carry::CarryArgs;
use crate::pod::join::JoinArgs;
use crate::report::ReportArgs;
use crate::size::{parse_bytes, parse_lease_ttl, parse_nodes, parse_probe_interval};
use crate::state::{Backend, Name, Store};
use crate::top::TopArgs;
use crate::ui::UiArgs;

/// Nodes, pods and a pod network on one machine, from namespaces and control groups.
#[derive(Debug, Parser)]
#[command(name = "lab", version, arg_required_else_help = true, after_help = EXIT_STATUS, max_term_width = MOST_COLUMNS)]
pub struct Cli {
    /// Which lab, by the name that `lab up --name` gave it [default: lab; demo for the demo]
    #[arg(long, global = true, value_name = "NAME")]
    pub lab: Option<Name>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Help is as wide as the terminal, but no wider than what reads well.
const MOST_COLUMNS: usize = 120;

/// The command line, with help in which the program has the name that it was called by.
pub fn command() -> clap::Command {
    command_of(called())
}

/// The same with any name of a lab.
pub fn command_of(name: &str) -> clap::Command {
    renamed(Cli::command(), name)
}

fn renamed(command: clap::Command, name: &str) -> clap::Command {
    let text = |text: Option<&StyledStr>| {
        text.map(|text| StyledStr::from(help_as_called(&text.to_string(), name).into_owned()))
    };
    let (about, long) = (text(command.get_about()), text(command.get_long_about()));
    let after = text(command.get_after_help());
    command
        .about(Resettable::from(about))
        .long_about(Resettable::from(long))
        .after_help(Resettable::from(after))
        .mut_args(|argument| match text(argument.get_help()) {
            Some(help) => argument.help(help),
            None => argument,
        })
        .mut_subcommands(|command| renamed(command, name))
}

const EXIT_STATUS: &str = "\
Exit status: 0 done; 1 failed, the reason is on standard error; 2 the command line is wrong; 128 and the signal's \
number (130 for Ctrl-C) interrupted, and what was built is taken down. `lab explain` ends with 1 when a hop breaks. \
`lab exec` and `lab debug` end with the status of the program that they ran; 126 when that cannot be executed, 127 \
when it does not exist.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start nodes on an underlay, with a netd on each
    Up(UpArgs),
    /// As kubectl's
    #[command(flatten)]
    Kubectl(KubectlCommand),
    /// Images of containers, which all labs share: load, ls, rm
    #[command(subcommand)]
    Image(ImageCommand),
    /// Nodes: stop one as a power cut does, start it again
    #[command(subcommand)]
    Node(NodeCommand),
    /// Faults: have a part of the lab fail, mend it, list what is in force
    #[command(subcommand)]
    Fault(FaultCommand),
    /// Networks that pods can have: ls, create, add, inspect, rm
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Run a network's plugins on a node, as cnitool does: add, del, check, gc, status, version
    #[command(subcommand)]
    Cni(CniCommand),
    /// What pods, containers and nodes use: processors, memory, processes, network
    Stats(StatsArgs),
    /// The same as a page of Prometheus, printed or served
    Metrics(MetricsArgs),
    /// Everything that runs for a lab
    #[command(after_help = "Example: lab ps -o yaml")]
    Ps(ListArgs),
    /// Watch nodes and pods: what they use and carry, leases, problems, what netd put back
    Top(TopArgs),
    /// Draw nodes, pods, tunnels, traffic and latency on a page for a browser, and follow them
    #[command(after_help = "Example: lab ui")]
    Ui(UiArgs),
    /// Follow one packet from a pod to an address, hop by hop, and name the first hop that breaks
    Explain(ExplainArgs),
    /// Print the JSON Schema of the cluster files that `lab up -f` reads
    #[command(after_help = "Example: lab schema >cluster.schema.json")]
    Schema,
    /// Take a lab down: it leaves nothing, whatever state it is in
    #[command(after_help = "Example: lab down --lab two")]
    Down,
    /// Show the whole thing: build, use, break, mend, measure, take down, prove
    Demo(DemoArgs),
    /// Compare with the reference plugins, netd with thousands of leases, and what the network's paths carry
    Bench(BenchArgs),
    /// Make a page or a text of what `lab bench net`, `attach` or `scale` measured
    #[command(after_help = "Example: lab report net.json --output net.html")]
    Report(ReportArgs),
    /// Print the names that the last word of a command line may be, for shells
    #[command(hide = true)]
    Names(NamesArgs),
    /// One end of a benchmark's connections
    #[command(hide = true, subcommand)]
    Load(LoadCommand),
    /// The first process of a lab
    #[command(hide = true)]
    Keeper {
        /// The lab, for who lists processes
        lab: Name,
    },
    /// Holds a node's namespaces
    #[command(hide = true)]
    Hold {
        /// The lab, for who lists processes
        lab: Name,
        /// The node
        node: Name,
    },
    /// The first process of a pod
    #[command(hide = true)]
    Supervise {
        /// The lab
        lab: Name,
        /// The pod
        pod: Name,
    },
    /// Becomes the first process of a container
    #[command(hide = true)]
    Container {
        /// The lab, for who lists processes
        lab: Name,
        /// The pod
        pod: Name,
        /// The container
        container: String,
    },
    /// Makes a pod's namespaces of users and clocks
    #[command(hide = true)]
    Found {
        /// The lab
        lab: Name,
        /// The pod
        pod: Name,
    },
    /// Makes a container beside a pod's, and removes it
    #[command(hide = true)]
    Debugger(DebuggerArgs),
    /// Starts a program beside a container's own
    #[command(hide = true)]
    Join(JoinArgs),
    /// Reads or writes in a container
    #[command(hide = true)]
    Carry(CarryArgs),
    /// Gives a process's new user namespace its users
    #[command(hide = true)]
    MapUsers {
        /// The process
        process: u32,
    },
    /// PID 1 of a PID namespace that a pod's containers share
    #[command(hide = true)]
    PodInit {
        /// The lab
        lab: Name,
        /// The pod
        pod: Name,
    },
}

/// `lab up`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples: lab up --nodes 2 --backend vxlan, lab up -f examples/clusters/two-racks.yaml"
)]
pub struct UpArgs {
    /// A cluster file, of which `lab schema` has the fields; - is the standard input
    #[arg(long, short = 'f', value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Number of nodes, 64 at most [default: 3]
    #[arg(long, value_parser = parse_nodes)]
    pub nodes: Option<u8>,
    /// How packets travel between nodes [default: vxlan]
    #[arg(long, value_enum)]
    pub backend: Option<Backend>,
    /// Where the nodes' leases live [default: dir]
    #[arg(long, value_enum)]
    pub store: Option<Store>,
    /// How long a lease lives without its netd (5s, 10m, 24h) [default: netd's]
    #[arg(long, value_parser = parse_lease_ttl)]
    pub lease_ttl: Option<Duration>,
    /// Have netds probe the ways to each other over the overlay, from probe to probe so long (500ms, 5s)
    #[arg(long, value_parser = parse_probe_interval)]
    pub probe_interval: Option<Duration>,
    /// Attach pods by this CNI configuration list in the place of netd's own network; all its plugins are in it
    #[arg(long, value_name = "FILE")]
    pub conflist: Option<PathBuf>,
    /// A directory of CNI plugins, taken before podwire's of the same names; of several the first counts
    #[arg(long, value_name = "DIR")]
    pub plugin_dir: Vec<PathBuf>,
    /// The lab's name; the same as --lab
    #[arg(long, value_name = "NAME")]
    pub name: Option<Name>,
    /// Directory with the netd and podwire executables [default: where lab lies]
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,
}

/// `lab image ...`
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Load an image from a file: an OCI image layout, an archive of one, or one of `docker save`
    Load(ImageLoadArgs),
    /// List the images
    #[command(after_help = "Example: lab image ls -o json")]
    Ls(ListArgs),
    /// Remove images
    #[command(after_help = "Example: lab image rm busybox:1.36")]
    Rm {
        /// Their names; busybox stands for docker.io/library/busybox:latest
        #[arg(required = true)]
        names: Vec<String>,
        /// Also from under pods that run: what they have not opened yet is gone then
        #[arg(long)]
        force: bool,
    },
}

/// `lab image load`
#[derive(Debug, Args)]
#[command(
    after_help = "Example: skopeo copy docker://busybox:1.36 oci-archive:busybox.tar && lab image load busybox.tar --name busybox:1.36"
)]
pub struct ImageLoadArgs {
    /// A directory or an archive, which may be compressed by gzip or zstd; - is the standard input
    pub file: PathBuf,
    /// The image's name here (busybox:1.36) [default: its own]; of several in the file, the one to load
    #[arg(long)]
    pub name: Option<String>,
    /// Refuse an image that unpacks to more (512M, 16G)
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "16G")]
    pub max_size: u64,
}

/// `lab explain`
#[derive(Debug, Args)]
#[command(after_help = "Examples: lab explain client web, lab explain web 10.244.2.2")]
pub struct ExplainArgs {
    /// A pod of the lab, or the path of any pod's network namespace on this machine (/run/netns/NAME)
    #[arg(value_name = "POD|PATH")]
    pub pod: PodOrPath,
    /// Where the packet goes: another pod, or an address
    #[arg(value_name = "POD|ADDRESS")]
    pub to: Destination,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// `lab node ...`
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Kill the node's netd and pull its cable
    #[command(after_help = "Example: lab node stop n1")]
    Stop {
        /// The node
        name: Name,
    },
    /// Plug the cable in and start netd
    #[command(after_help = "Example: lab node start n1")]
    Start {
        /// The node
        name: Name,
        /// Directory with the netd and podwire executables [default: where lab lies]
        #[arg(long, value_name = "DIR")]
        bin_dir: Option<PathBuf>,
    },
}

/// Commands that list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[value(alias = "wide")]
    Table,
    /// For programs.
    Json,
    /// For programs, and for people who want to see all.
    Yaml,
}

impl Output {
    /// An answer as it is printed.
    ///
    /// # Errors
    /// It has no such form.
    pub fn text<T: Serialize>(self, answer: &T, table: impl FnOnce() -> String) -> Result<String> {
        Ok(match self {
            Self::Table => table(),
            Self::Json => serde_json::to_string_pretty(answer)? + "\n",
            Self::Yaml => yaml(answer)?,
        })
    }

    /// The same of one of several that come one after the other: JSON is a line then, YAML a document.
    ///
    /// # Errors
    /// As [`Output::text`].
    pub fn text_of_next<T: Serialize>(
        self,
        answer: &T,
        table: impl FnOnce() -> String,
    ) -> Result<String> {
        Ok(match self {
            Self::Table => table(),
            Self::Json => serde_json::to_string(answer)? + "\n",
            Self::Yaml => format!("---\n{}", yaml(answer)?),
        })
    }
}

/// `lab demo`
#[derive(Debug, Args)]
#[command(after_help = "Example: lab demo --nodes 3 --backend host-gw")]
pub struct DemoArgs {
    /// Number of nodes, 64 at most
    #[arg(long, default_value_t = 3, value_parser = parse_nodes)]
    pub nodes: u8,
    /// How packets travel between nodes
    #[arg(long, value_enum, default_value_t = Backend::Vxlan)]
    pub backend: Backend,
    /// Where the nodes' leases live
    #[arg(long, value_enum, default_value_t = Store::Dir)]
    pub store: Store,
    /// Directory with the netd and podwire executables [default: where lab lies]
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,
}

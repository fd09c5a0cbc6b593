//! The command line of `lab cni`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::kubectl::PodOrPath;
use crate::state::Name;

/// `lab cni ...`
#[derive(Debug, Subcommand)]
pub enum CniCommand {
    /// Attach a network namespace, or a pod once more, to a network, and print the result
    Add(AttachmentArgs),
    /// Detach what `add` attached
    Del(AttachmentArgs),
    /// Find out whether an attachment is as `add` left it
    Check(AttachmentArgs),
    /// Detach what no pod of the lab needs, and have the plugins give back what they find
    Gc(GcArgs),
    /// Ask the plugins of a network whether they could attach
    #[command(after_help = "Example: lab cni status cbr0 --node n2")]
    Status(NetworkArgs),
    /// Print the versions of the specification that the plugins of a network speak
    #[command(after_help = "Example: lab cni version cbr0")]
    Version(NetworkArgs),
}

/// `lab cni add`, `del` and `check`
#[derive(Debug, Args)]
#[command(after_help = ENVIRONMENT)]
pub struct AttachmentArgs {
    /// Which network, on which node
    #[command(flatten)]
    pub network: NetworkArgs,
    /// A pod, or the path of a network namespace, as the node sees it (/run/netns/NAME)
    #[arg(value_name = "POD|PATH")]
    pub namespace: PodOrPath,
    /// The interface in the namespace [default: CNI_IFNAME, or that of the pod on the network, or eth0]
    #[arg(long, short, value_name = "INTERFACE")]
    pub ifname: Option<String>,
}

/// `lab cni status` and `version`
#[derive(Debug, Args)]
pub struct NetworkArgs {
    /// The network's name
    #[arg(value_name = "NETWORK")]
    pub network: String,
    /// The node [default: the pod's, or the lab's first]
    #[arg(long)]
    pub node: Option<Name>,
    /// Where its configuration is, as the node sees it [default: NETCONFPATH, or /etc/cni/net.d]
    #[arg(long, value_name = "DIR")]
    pub conf_dir: Option<PathBuf>,
}

/// `lab cni gc`
#[derive(Debug, Args)]
#[command(after_help = GARBAGE)]
pub struct GcArgs {
    /// Which network, on which node
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Detach everything, the pods too, as cnitool does
    #[arg(long)]
    pub all: bool,
}

const GARBAGE: &str = "\
What is kept are the attachments of the lab's pods on that node, as their names and interfaces are; every other one of the
network is detached, as those are that `lab cni add` made for a path. A network with \"disableGC\": true is left alone.

Examples:
  lab cni gc cbr0              # on the first node
  lab cni gc cbr0 --node n2
  lab cni gc cbr0 --all        # the pods' attachments as well: they lose their network";

const ENVIRONMENT: &str = "\
Environment, as cnitool has it: CNI_ARGS (K=V;K=V), CAP_ARGS (a JSON object of capability arguments), CNI_IFNAME, \
NETCONFPATH, CNI_PATH (where plugins are, as the node sees it; /opt/cni/bin).
A failure is the specification's error object on standard output, its cause on standard error.

Examples: lab cni add cbr0 web --ifname net1, lab cni check cbr0 web, lab cni del cbr0 web --ifname net1";

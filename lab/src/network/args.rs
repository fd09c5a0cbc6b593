//! The command line of `lab network`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ipnetwork::IpNetwork;

use super::Driver;
use crate::cli::ListArgs;

/// `lab network ...`
#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// List the networks that pods can have
    #[command(after_help = "Example: lab network ls -o json")]
    Ls(ListArgs),
    /// Make a network, by a driver; a cluster file has `networks` for those of a new lab
    #[command(
        after_help = "Examples: lab network create back, lab network create wire --driver macvlan --subnet 10.78.0.0/24"
    )]
    Create(NetworkCreateArgs),
    /// Add a network by a CNI configuration list of yours; all its plugins are in it
    #[command(after_help = "Example: lab network add mine.conflist")]
    Add {
        /// The list, as `lab up --conflist` takes it
        file: PathBuf,
    },
    /// Print networks as JSON: their lists, and the pods on them
    #[command(after_help = "Example: lab network inspect back")]
    Inspect {
        /// Their names
        #[arg(required = true, value_name = "NETWORK")]
        names: Vec<String>,
    },
    /// Remove networks that `create` and `add` made; refused while something is attached to one
    #[command(after_help = "Example: lab network rm back")]
    Rm {
        /// Their names
        #[arg(required = true, value_name = "NETWORK")]
        names: Vec<String>,
    },
}

/// `lab network create`
#[derive(Debug, Args)]
pub struct NetworkCreateArgs {
    /// The network's name
    #[arg(value_name = "NETWORK")]
    pub name: String,
    /// How pods on it reach each other
    #[arg(long, short, value_enum, default_value_t = Driver::Bridge)]
    pub driver: Driver,
    /// Its addresses, once for each family [default of bridge: 172.17.0.0/16 or the next one that is free]
    #[arg(long, value_name = "SUBNET")]
    pub subnet: Vec<IpNetwork>,
}

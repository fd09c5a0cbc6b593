//! The commands of the command line, a file each: what it takes, its help, and how it ends.

pub(crate) mod help;
pub(crate) mod install;
pub(crate) mod list;
pub(crate) mod version;

use std::ffi::OsStr;

use cni::Outcome;
use lexopt::Parser;

use crate::cli::{Stop, UsageError};

/// One command.
#[derive(Debug)]
pub(crate) struct Command {
    /// What it is called by.
    pub(crate) name: &'static str,
    /// What it does, in a line.
    pub(crate) summary: &'static str,
    /// What `podwire help NAME` prints.
    pub(crate) help: &'static str,
    /// Reads the arguments that are left, and does it.
    pub(crate) run: fn(Parser) -> Result<Outcome, Stop>,
}

/// Every command, in the order of `podwire help`.
pub(crate) static COMMANDS: &[&Command] = &[
    &install::COMMAND,
    &list::COMMAND,
    &version::COMMAND,
    &help::COMMAND,
];

/// The command of a name.
///
/// # Errors
/// There is none.
pub(crate) fn named(name: &OsStr) -> Result<&'static Command, UsageError> {
    let mut commands = COMMANDS.iter();
    match commands.find(|command| command.name == name) {
        Some(command) => Ok(command),
        None => Err(UsageError::Command(name.to_owned())),
    }
}

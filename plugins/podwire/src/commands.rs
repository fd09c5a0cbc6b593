//! The commands of the command line, a file each: what it takes, what it does, and how it ends.

pub(crate) mod gc;
pub(crate) mod help;
pub(crate) mod install;
pub(crate) mod list;
pub(crate) mod ls;
pub(crate) mod repair;
pub(crate) mod schema;
pub(crate) mod uninstall;
pub(crate) mod validate;
pub(crate) mod version;

use std::ffi::OsStr;

use cni::Outcome;
use lexopt::Parser;

use crate::cli::{Stop, UsageError};

/// One command. Help, manual pages and completion are made of this (see
/// [`describe`](crate::describe)).
#[derive(Debug)]
pub(crate) struct Command {
    /// What it is called by.
    pub(crate) name: &'static str,
    /// What it does, in a line: a small letter first, no full stop.
    pub(crate) summary: &'static str,
    /// What it does, in sentences; lines are broken where it is shown.
    pub(crate) about: &'static str,
    /// How it is called, behind its name: `--bin-dir DIR [--copies]`.
    pub(crate) usage: &'static [&'static str],
    /// What stands behind the options.
    pub(crate) operands: &'static [Operand],
    /// Its options, but for `--help`, which every command has.
    pub(crate) options: &'static [Opt],
    /// Reads the arguments that are left, and does it.
    pub(crate) run: fn(Parser) -> Result<Outcome, Stop>,
}

/// An option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opt {
    /// `--bin-dir`.
    pub(crate) name: &'static str,
    /// Its value.
    pub(crate) takes: Takes,
    /// What it does: a small letter first, no full stop.
    pub(crate) about: &'static str,
}

/// An argument that is no option.
#[derive(Debug)]
pub(crate) struct Operand {
    /// What it is.
    pub(crate) takes: Takes,
    /// Whether there may be several.
    pub(crate) many: bool,
    /// What is done with it: a small letter first, no full stop.
    pub(crate) about: &'static str,
}

/// What an option or an operand can be.
#[allow(dead_code, reason = "commands to come take all of them")]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Takes {
    /// An option without a value.
    Nothing,
    /// Any text, called by this name.
    Text(&'static str),
    /// A directory's path.
    Directory,
    /// A file's path.
    File,
    /// One of these words.
    Words(&'static [&'static str]),
    /// The name of a plugin of this executable.
    Plugin,
    /// The name of a command.
    Command,
    /// Either.
    CommandOrPlugin,
}

/// Every command, in the order of `podwire help`.
pub(crate) static COMMANDS: &[&Command] = &[
    &install::COMMAND,
    &uninstall::COMMAND,
    &list::COMMAND,
    &ls::COMMAND,
    &schema::COMMAND,
    &repair::COMMAND,
    &gc::COMMAND,
    &validate::COMMAND,
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

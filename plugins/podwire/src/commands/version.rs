//! `podwire version`.
use cni::Outcome;
use lexopt::Parser;

use super::Command;
use crate::{
    OWN_NAME,
    cli::{Stop, no_arguments, success},
};

pub(crate) static COMMAND: Command = Command {
    name: "version",
    summary: "name and version of this executable",
    about: "Prints name and version of this executable.",
    usage: &[],
    operands: &[],
    options: &[],
    run,
};

fn run(parser: Parser) -> Result<Outcome, Stop> {
    no_arguments(parser)?;
    Ok(success(format!(
        "{OWN_NAME} {}\n",
        env!("CARGO_PKG_VERSION")
    )))
}

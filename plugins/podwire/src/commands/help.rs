//! `podwire help`.
use std::ffi::OsStr;

use cni::Outcome;
use lexopt::{
    Arg::{Long, Value},
    Parser,
};

use super::{Command, Operand, Opt, Takes, named};
use crate::{
    cli::{Stop, UsageError, no_arguments, output_is_json, success, unexpected},
    describe, explain, plugin,
};

pub(crate) static COMMAND: Command = Command {
    name: "help",
    summary: "this text, or that of a command or a plugin",
    about: "Prints what podwire, or one of its commands, can do; or what the configuration of one \
            of its plugins may hold.",
    usage: &["[COMMAND|PLUGIN]", "--output json"],
    operands: &[Operand {
        takes: Takes::CommandOrPlugin,
        many: false,
        about: "tell of this command or plugin",
    }],
    options: &[Opt {
        name: "--output",
        takes: Takes::Words(&["json"]),
        about: "all commands with their options and all plugins, for programs",
    }],
    run,
};

fn run(mut parser: Parser) -> Result<Outcome, Stop> {
    let text = match parser.next()? {
        None => describe::overview(),
        Some(Long("output")) => {
            output_is_json(&mut parser)?;
            describe::json()
        }
        Some(Value(name)) => of(&name)?,
        Some(other) => return Err(unexpected(other)),
    };
    no_arguments(parser)?;
    Ok(success(text))
}

fn of(name: &OsStr) -> Result<String, UsageError> {
    match (plugin(name), named(name)) {
        (Some(plugin), _) => Ok(explain::plugin(plugin)),
        (None, Ok(command)) => Ok(describe::command(command)),
        (None, Err(_)) => Err(UsageError::Topic(name.to_owned())),
    }
}

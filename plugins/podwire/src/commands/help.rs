//! `podwire help`.
use std::fmt::Write as _;

use cni::Outcome;
use lexopt::{Arg::Value, Parser};

use super::{COMMANDS, Command, named};
use crate::{
    cli::{Stop, no_arguments, success, unexpected},
    name_width,
};

pub(crate) static COMMAND: Command = Command {
    name: "help",
    summary: "this text, or that of a command",
    help: "\
Prints what podwire, or one of its commands, can do.

Usage: podwire help [COMMAND]
",
    run,
};

const HEAD: &str = "\
CNI plugins in one executable. The name it is called by selects the plugin.

Usage: podwire <COMMAND>

Commands:
";

const TAIL: &str = "
Options:
  -h, --help      this text; after a command, that of the command
  -V, --version   name and version

Environment:
  PODWIRE_LOG     what plugins write to standard error:
                  off, error, warn (default), info, debug, trace

Exit status: 0 done, 1 it failed, 2 the command line is wrong.
";

fn run(mut parser: Parser) -> Result<Outcome, Stop> {
    let text = match parser.next()? {
        None => overview(),
        Some(Value(name)) => named(&name)?.help.to_owned(),
        Some(other) => return Err(unexpected(other)),
    };
    no_arguments(parser)?;
    Ok(success(text))
}

fn overview() -> String {
    let mut text = HEAD.to_owned();
    let width = name_width(COMMANDS.iter().map(|command| command.name));
    for command in COMMANDS {
        // Writing into a text cannot fail.
        let _ = writeln!(text, "  {:width$}   {}", command.name, command.summary);
    }
    text + TAIL
}

//! The command line `podwire`: which command is asked for, and what is wrong with its arguments.
//! Each command is a file of [`commands`](crate::commands).
use std::ffi::{OsStr, OsString};

use cni::Outcome;
use lexopt::{
    Arg::{self, Long, Short, Value},
    Parser,
};

use crate::{
    OWN_NAME,
    commands::{COMMANDS, help, named, version},
    describe, failure,
    likely::likely,
    names, not_a_plugin,
};

/// Why a command does not run.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Its help is asked for.
    Help,
    /// The arguments cannot be understood.
    Usage(UsageError),
}

impl<E: Into<UsageError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Usage(error.into())
    }
}

/// Why the arguments cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    /// There are none.
    #[error("no command given")]
    Nothing,
    /// There is no such command.
    #[error("unknown command {:?}{}", .0, meant(.0, command_names()))]
    Command(OsString),
    /// There is nothing of this name that help could tell of.
    #[error(
        "{:?} is neither a command nor a plugin{}", .0,
        meant(.0, command_names().chain(names()))
    )]
    Topic(OsString),
    /// There is no such plugin.
    #[error("{}", not_a_plugin(&.0.to_string_lossy()))]
    Plugin(OsString),
    /// An option that must be given is not.
    #[error("{command} needs {option}")]
    Lacking {
        /// The command's name.
        command: &'static str,
        /// The option with its value's name.
        option: &'static str,
    },
    /// Options that exclude each other, in a sentence.
    #[error("{0}")]
    Contradiction(&'static str),
    /// An option has a value that is not among those it can have.
    #[error("{option} can be {can_be}, not {value:?}")]
    Value {
        /// The option.
        option: &'static str,
        /// What it can be.
        can_be: &'static str,
        /// What it was.
        value: OsString,
    },
    /// An option's value is the empty text.
    #[error("{option} needs a value")]
    Empty {
        /// The option.
        option: &'static str,
    },
    /// Everything else.
    #[error(transparent)]
    Argument(#[from] lexopt::Error),
}

/// ` (is "bridge" meant?)`, or nothing.
fn meant<'k>(word: &OsStr, known: impl Iterator<Item = &'k str>) -> String {
    likely(&word.to_string_lossy(), known)
        .map(|likely| format!(" (is {likely:?} meant?)"))
        .unwrap_or_default()
}

fn command_names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|command| command.name)
}

/// Exit status of a command line that cannot be understood.
const USAGE: i32 = 2;

/// Runs the command line.
pub(crate) fn run(arguments: &[OsString]) -> Outcome {
    dispatch(Parser::from_args(arguments)).unwrap_or_else(|error| Outcome {
        code: USAGE,
        ..failure(format_args!("{error}; see `{OWN_NAME} help`"))
    })
}

fn dispatch(mut parser: Parser) -> Result<Outcome, UsageError> {
    let (command, parser) = match parser.next()? {
        None => return Err(UsageError::Nothing),
        Some(Short('h') | Long("help")) => (&help::COMMAND, nothing_more(parser)?),
        Some(Short('V') | Long("version")) => (&version::COMMAND, nothing_more(parser)?),
        Some(Value(name)) => (named(&name)?, parser),
        Some(other) => return Err(other.unexpected().into()),
    };
    match (command.run)(parser) {
        Ok(outcome) => Ok(outcome),
        Err(Stop::Help) => Ok(success(describe::command(command))),
        Err(Stop::Usage(error)) => Err(error),
    }
}

/// A command that did its work and says this.
pub(crate) fn success(stdout: String) -> Outcome {
    Outcome {
        stdout,
        ..Outcome::default()
    }
}

/// What a command says of an argument that it does not know by itself.
pub(crate) fn unexpected(argument: Arg<'_>) -> Stop {
    match argument {
        Short('h') | Long("help") => Stop::Help,
        other => other.unexpected().into(),
    }
}

/// A command that takes no arguments.
pub(crate) fn no_arguments(mut parser: Parser) -> Result<(), Stop> {
    match parser.next()? {
        None => Ok(()),
        Some(other) => Err(unexpected(other)),
    }
}

fn nothing_more(mut parser: Parser) -> Result<Parser, UsageError> {
    match parser.next()? {
        None => Ok(parser),
        Some(other) => Err(other.unexpected().into()),
    }
}

/// The value of `option`, which must not be empty.
pub(crate) fn value_of(parser: &mut Parser, option: &'static str) -> Result<OsString, UsageError> {
    let value = parser.value()?;
    if value.is_empty() {
        return Err(UsageError::Empty { option });
    }
    Ok(value)
}

/// The value of `--output`, which can be `json` alone.
pub(crate) fn output_is_json(parser: &mut Parser) -> Result<(), UsageError> {
    let option = "--output";
    match value_of(parser, option)? {
        value if value == "json" => Ok(()),
        value => Err(UsageError::Value {
            option,
            can_be: "json",
            value,
        }),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// The arguments of a command, from a line.
    pub(crate) fn parser(line: &str) -> Parser {
        Parser::from_args(line.split_whitespace().map(OsString::from))
    }

    /// What a command's parsing says, as text.
    pub(crate) fn said(stop: Stop) -> String {
        match stop {
            Stop::Help => "help".to_owned(),
            Stop::Usage(error) => error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::parser, *};
    use crate::commands::COMMANDS;

    fn ran(line: &str) -> Result<String, String> {
        let outcome = dispatch(parser(line));
        outcome
            .map(|outcome| outcome.stdout)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_can_be_asked_for() {
        let (help, version) = (ran("help").unwrap(), ran("version").unwrap());
        for (line, text) in [
            ("--help", &help),
            ("-h", &help),
            ("--version", &version),
            ("-V", &version),
        ] {
            assert_eq!(ran(line).as_ref(), Ok(text), "{line}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (line, text) in [
            ("", "no command given"),
            (
                "instal",
                "unknown command \"instal\" (is \"install\" meant?)",
            ),
            ("frobnicate", "unknown command \"frobnicate\""),
            ("--instal", "invalid option '--instal'"),
            ("version now", "unexpected argument \"now\""),
            ("--help me", "unexpected argument \"me\""),
            ("help me", "\"me\" is neither a command nor a plugin"),
            (
                "help bridgee",
                "\"bridgee\" is neither a command nor a plugin (is \"bridge\" meant?)",
            ),
            (
                "help instal",
                "\"instal\" is neither a command nor a plugin (is \"install\" meant?)",
            ),
        ] {
            assert_eq!(ran(line), Err(text.to_owned()), "{line}");
        }
    }

    #[test]
    fn every_command_has_a_help_that_shows_how_to_call_it() {
        let all = ran("help").unwrap();
        for command in COMMANDS {
            let name = command.name;
            let text = describe::command(command);
            assert!(
                text.contains(&format!("Usage: {OWN_NAME} {name}")),
                "{name}"
            );
            assert_eq!(ran(&format!("help {name}")), Ok(text.clone()), "{name}");
            assert_eq!(ran(&format!("{name} --help")), Ok(text.clone()), "{name}");
            assert_eq!(ran(&format!("{name} -h")), Ok(text), "{name}");
            assert!(all.contains(&format!("\n  {name} ")), "{name}");
        }
    }
}

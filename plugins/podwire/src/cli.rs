//! The command line `podwire`.
use std::{ffi::OsString, fmt::Write as _, path::PathBuf};

use cni::Outcome;
use lexopt::{
    Arg::{Long, Short, Value},
    Parser, ValueExt as _,
};

use crate::{
    OWN_NAME, PLUGINS, failure,
    install::{self, Method},
    verify,
};

const HELP: &str = "\
CNI plugins in one executable. The name it is called by selects the plugin.

Usage: podwire <COMMAND>

Commands:
  install     put the executable and its plugins' names into a directory, or look at what is there
  list        the plugins, and the versions of the CNI specification they speak
  version     name and version of this executable
  help        this text, or that of a command

Options:
  -h, --help      this text; after a command, that of the command
  -V, --version   name and version

Environment:
  PODWIRE_LOG     what plugins write to standard error:
                  off, error, warn (default), info, debug, trace

Exit status: 0 done, 1 it failed, 2 the command line is wrong.
";

const INSTALL_HELP: &str = "\
Puts this executable and a name for every plugin into a directory, each by an atomic rename, and
prints what it did. Files of other names stay.

Usage: podwire install --bin-dir DIR [--copies]
       podwire install --bin-dir DIR --verify

Options:
  --bin-dir DIR   the directory, usually /opt/cni/bin; it is made when missing
  --copies        a file of its own for every name. Without it the names are hard links to one
                  file, but for flannel, which flannel's installer overwrites in place
  --verify        change nothing: tell of each name whether it is this build, another build of
                  podwire, another program, or missing; exit status 1 unless all are this build
  -h, --help      this text
";

const LIST_HELP: &str = "\
Lists the plugins, and the versions of the CNI specification they speak.

Usage: podwire list [--output json]

Options:
  --output json   [{\"name\": ..., \"versions\": [...]}]
  -h, --help      this text
";

const VERSION_HELP: &str = "\
Prints name and version of this executable.

Usage: podwire version
";

const HELP_HELP: &str = "\
Prints what podwire, or one of its commands, can do.

Usage: podwire help [COMMAND]
";

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Install { bin_dir: PathBuf, method: Method },
    Verify { bin_dir: PathBuf },
    List { json: bool },
    Version,
    Help(&'static str),
}

/// Why the arguments cannot be understood.
#[derive(Debug, thiserror::Error)]
enum UsageError {
    #[error("no command given")]
    Nothing,
    #[error("unknown command {0:?}")]
    Command(OsString),
    #[error("install needs --bin-dir DIR")]
    BinDir,
    #[error("--verify changes nothing, and --copies does: one of them")]
    CopiesAndVerify,
    #[error("--output can be json, not {0:?}")]
    Output(OsString),
    #[error("{option} needs a value")]
    Empty { option: &'static str },
    #[error(transparent)]
    Argument(#[from] lexopt::Error),
}

/// Exit status of a command line that cannot be understood.
const USAGE: i32 = 2;

/// Runs the command line.
pub(crate) fn run(arguments: &[OsString]) -> Outcome {
    match parse(arguments) {
        Ok(Command::Install { bin_dir, method }) => {
            match install::install(&bin_dir, &names(), method) {
                Ok(stdout) => success(stdout),
                Err(error) => failure(error.text()),
            }
        }
        Ok(Command::Verify { bin_dir }) => verification(&verify::verify(&bin_dir, &names())),
        Ok(Command::List { json: false }) => success(list()),
        Ok(Command::List { json: true }) => success(list_json()),
        Ok(Command::Version) => success(format!("{OWN_NAME} {}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Command::Help(text)) => success(text.to_owned()),
        Err(error) => Outcome {
            code: USAGE,
            ..failure(format_args!("{error}; see `{OWN_NAME} help`"))
        },
    }
}

fn success(stdout: String) -> Outcome {
    Outcome {
        stdout,
        ..Outcome::default()
    }
}

/// Every name is told on standard output; that one is not right, on standard error.
fn verification(found: &verify::Verification) -> Outcome {
    let verdict = match found.strangers {
        0 => Outcome::default(),
        count => failure(format_args!(
            "{count} of {} names are not this build; `{OWN_NAME} install` puts it there",
            found.names
        )),
    };
    Outcome {
        stdout: found.report.clone(),
        ..verdict
    }
}

fn names() -> Vec<&'static str> {
    PLUGINS.iter().map(|plugin| plugin.name()).collect()
}

fn list() -> String {
    let width = names()
        .iter()
        .map(|name| name.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for plugin in PLUGINS {
        let versions: Vec<&str> = plugin.versions().iter().map(|one| one.as_str()).collect();
        // Writing into a text cannot fail.
        let _ = writeln!(text, "{:width$}  {}", plugin.name(), versions.join(" "));
    }
    text
}

/// `[{"name": ..., "versions": [...]}]`; neither names nor versions need escapes.
fn list_json() -> String {
    let plugins: Vec<String> = PLUGINS
        .iter()
        .map(|plugin| {
            let versions: Vec<String> = plugin
                .versions()
                .iter()
                .map(|one| format!("\"{one}\""))
                .collect();
            format!(
                "{{\"name\":\"{}\",\"versions\":[{}]}}",
                plugin.name(),
                versions.join(",")
            )
        })
        .collect();
    format!("[{}]\n", plugins.join(","))
}

fn parse(arguments: &[OsString]) -> Result<Command, UsageError> {
    let mut parser = Parser::from_args(arguments);
    match parser.next()? {
        None => Err(UsageError::Nothing),
        Some(Short('h') | Long("help")) => finished(parser, Command::Help(HELP)),
        Some(Short('V') | Long("version")) => finished(parser, Command::Version),
        Some(Value(command)) => match command.to_str() {
            Some("install") => install_arguments(parser),
            Some("list") => list_arguments(parser),
            Some("version") => finished_or_help(parser, Command::Version, VERSION_HELP),
            Some("help") => help_arguments(parser),
            _ => Err(UsageError::Command(command)),
        },
        Some(other) => Err(other.unexpected().into()),
    }
}

fn install_arguments(mut parser: Parser) -> Result<Command, UsageError> {
    let (mut bin_dir, mut method, mut verify) = (None, Method::Links, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("bin-dir") => bin_dir = Some(value_of(&mut parser, "--bin-dir")?),
            Long("copies") => method = Method::Copies,
            Long("verify") => verify = true,
            Short('h') | Long("help") => return finished(parser, Command::Help(INSTALL_HELP)),
            other => return Err(other.unexpected().into()),
        }
    }
    let bin_dir = PathBuf::from(bin_dir.ok_or(UsageError::BinDir)?);
    match (verify, method) {
        (true, Method::Copies) => Err(UsageError::CopiesAndVerify),
        (true, Method::Links) => Ok(Command::Verify { bin_dir }),
        (false, method) => Ok(Command::Install { bin_dir, method }),
    }
}

fn list_arguments(mut parser: Parser) -> Result<Command, UsageError> {
    let mut json = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("output") => {
                let format = value_of(&mut parser, "--output")?;
                json = format == "json";
                if !json {
                    return Err(UsageError::Output(format));
                }
            }
            Short('h') | Long("help") => return finished(parser, Command::Help(LIST_HELP)),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::List { json })
}

fn help_arguments(mut parser: Parser) -> Result<Command, UsageError> {
    let text = match parser.next()? {
        None => HELP,
        Some(Short('h') | Long("help")) => HELP_HELP,
        Some(Value(command)) => match command.string()?.as_str() {
            "install" => INSTALL_HELP,
            "list" => LIST_HELP,
            "version" => VERSION_HELP,
            "help" => HELP_HELP,
            other => return Err(UsageError::Command(other.into())),
        },
        Some(other) => return Err(other.unexpected().into()),
    };
    finished(parser, Command::Help(text))
}

/// A command that takes nothing but `--help`.
fn finished_or_help(
    mut parser: Parser,
    command: Command,
    help: &'static str,
) -> Result<Command, UsageError> {
    match parser.next()? {
        None => Ok(command),
        Some(Short('h') | Long("help")) => finished(parser, Command::Help(help)),
        Some(other) => Err(other.unexpected().into()),
    }
}

/// Nothing may follow.
fn finished(mut parser: Parser, command: Command) -> Result<Command, UsageError> {
    match parser.next()? {
        None => Ok(command),
        Some(other) => Err(other.unexpected().into()),
    }
}

fn value_of(parser: &mut Parser, option: &'static str) -> Result<OsString, UsageError> {
    let value = parser.value()?;
    if value.is_empty() {
        return Err(UsageError::Empty { option });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse(&arguments).map_err(|error| error.to_string())
    }

    fn install(method: Method) -> Command {
        Command::Install {
            bin_dir: "/opt/cni/bin".into(),
            method,
        }
    }

    #[test]
    fn what_can_be_asked_for() {
        let verify = Command::Verify {
            bin_dir: "/opt/cni/bin".into(),
        };
        for (line, command) in [
            ("install --bin-dir /opt/cni/bin", install(Method::Links)),
            ("install --bin-dir=/opt/cni/bin", install(Method::Links)),
            (
                "install --copies --bin-dir /opt/cni/bin",
                install(Method::Copies),
            ),
            ("install --verify --bin-dir /opt/cni/bin", verify),
            ("install --help", Command::Help(INSTALL_HELP)),
            ("install --bin-dir x -h", Command::Help(INSTALL_HELP)),
            ("list", Command::List { json: false }),
            ("list --output json", Command::List { json: true }),
            ("list --output=json", Command::List { json: true }),
            ("list --help", Command::Help(LIST_HELP)),
            ("version", Command::Version),
            ("--version", Command::Version),
            ("-V", Command::Version),
            ("version --help", Command::Help(VERSION_HELP)),
            ("--help", Command::Help(HELP)),
            ("-h", Command::Help(HELP)),
            ("help", Command::Help(HELP)),
            ("help install", Command::Help(INSTALL_HELP)),
            ("help --help", Command::Help(HELP_HELP)),
        ] {
            assert_eq!(parsed(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (line, text) in [
            ("", "no command given"),
            ("instal", "unknown command \"instal\""),
            ("--instal", "invalid option '--instal'"),
            ("install", "install needs --bin-dir DIR"),
            (
                "install --bin-dir",
                "missing argument for option '--bin-dir'",
            ),
            ("install --bin-dir=", "--bin-dir needs a value"),
            (
                "install /opt/cni/bin",
                "unexpected argument \"/opt/cni/bin\"",
            ),
            ("install --bin-dir a b", "unexpected argument \"b\""),
            (
                "install --bin-dir a --copies --verify",
                "--verify changes nothing, and --copies does: one of them",
            ),
            (
                "install --bin-dir a --copies=yes",
                "unexpected argument for option '--copies': \"yes\"",
            ),
            ("list --output yaml", "--output can be json, not \"yaml\""),
            ("version now", "unexpected argument \"now\""),
            ("--help me", "unexpected argument \"me\""),
            ("help me", "unknown command \"me\""),
        ] {
            assert_eq!(parsed(line), Err(text.to_owned()), "{line}");
        }
    }

    #[test]
    fn every_command_has_a_help_that_names_its_options() {
        for (command, words) in [
            ("install", &["--bin-dir", "--copies", "--verify"][..]),
            ("list", &["--output json"]),
            ("version", &["podwire version"]),
            ("help", &["podwire help"]),
        ] {
            let Ok(Command::Help(text)) = parsed(&format!("{command} --help")) else {
                panic!("{command} --help is refused");
            };
            assert_eq!(
                parsed(&format!("help {command}")),
                Ok(Command::Help(text)),
                "{command}"
            );
            assert!(HELP.contains(&format!("\n  {command} ")), "{command}");
            for word in words {
                assert!(text.contains(word), "{command}: {word}");
            }
        }
    }
}

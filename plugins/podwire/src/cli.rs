//! The command line `podwire`.
use std::{ffi::OsString, fmt::Write as _, path::PathBuf};

use cni::Outcome;

use crate::{OWN_NAME, PLUGINS, failure, install};

const HELP: &str = "\
CNI plugins in one executable. The name it is called by selects the plugin.

Usage: podwire <COMMAND>

Commands:
  install --bin-dir DIR   put the executable and a link for every plugin into DIR
  list [--output json]    the plugins, and the versions of the CNI specification they speak
  version                 the version of this executable
  help                    this text

Environment:
  PODWIRE_LOG             what plugins write to standard error:
                          off, error, warn (default), info, debug, trace
";

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Install { bin_dir: PathBuf },
    List { json: bool },
    Version,
    Help,
}

/// Why the arguments cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum UsageError {
    #[error("no command given")]
    Nothing,
    #[error("unknown command {0:?}")]
    Command(OsString),
    #[error("unknown argument {0:?}")]
    Argument(OsString),
    #[error("{0} needs a value")]
    Value(&'static str),
    #[error("install needs --bin-dir DIR")]
    BinDir,
    #[error("--output can be json, not {0:?}")]
    Output(OsString),
}

/// Runs the command line.
pub(crate) fn run(arguments: &[OsString]) -> Outcome {
    match parse(arguments) {
        Ok(Command::Install { bin_dir }) => match install::install(&bin_dir, &names()) {
            Ok(stdout) => success(stdout),
            Err(error) => failure(error.text()),
        },
        Ok(Command::List { json: false }) => success(list()),
        Ok(Command::List { json: true }) => success(list_json()),
        Ok(Command::Version) => success(format!("{OWN_NAME} {}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Command::Help) => success(HELP.to_owned()),
        Err(error) => failure(format_args!("{error}; see `{OWN_NAME} help`")),
    }
}

fn success(stdout: String) -> Outcome {
    Outcome {
        stdout,
        ..Outcome::default()
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
    let (command, rest) = arguments.split_first().ok_or(UsageError::Nothing)?;
    match command.to_str() {
        Some("install") => {
            let bin_dir = option("--bin-dir", rest)?.ok_or(UsageError::BinDir)?;
            Ok(Command::Install {
                bin_dir: bin_dir.into(),
            })
        }
        Some("list") => match option("--output", rest)? {
            None => Ok(Command::List { json: false }),
            Some(format) if format == "json" => Ok(Command::List { json: true }),
            Some(format) => Err(UsageError::Output(format)),
        },
        Some("version" | "--version" | "-V") => none(rest).map(|()| Command::Version),
        Some("help" | "--help" | "-h") => none(rest).map(|()| Command::Help),
        _ => Err(UsageError::Command(command.clone())),
    }
}

fn none(arguments: &[OsString]) -> Result<(), UsageError> {
    arguments
        .first()
        .map_or(Ok(()), |one| Err(UsageError::Argument(one.clone())))
}

/// The value of the one option that a command knows: `--name VALUE` or `--name=VALUE`.
fn option(name: &'static str, arguments: &[OsString]) -> Result<Option<OsString>, UsageError> {
    let Some((first, rest)) = arguments.split_first() else {
        return Ok(None);
    };
    let joined = first
        .to_str()
        .and_then(|text| text.strip_prefix(name)?.strip_prefix('='));
    let (value, rest) = match joined {
        Some(value) => (OsString::from(value), rest),
        None if first == name => {
            let (value, rest) = rest.split_first().ok_or(UsageError::Value(name))?;
            (value.clone(), rest)
        }
        None => return Err(UsageError::Argument(first.clone())),
    };
    none(rest)?;
    if value.is_empty() {
        Err(UsageError::Value(name))
    } else {
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse(&arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn what_can_be_asked_for() {
        let install = || Command::Install {
            bin_dir: "/opt/cni/bin".into(),
        };
        assert_eq!(parsed("install --bin-dir /opt/cni/bin"), Ok(install()));
        assert_eq!(parsed("install --bin-dir=/opt/cni/bin"), Ok(install()));
        assert_eq!(parsed("list"), Ok(Command::List { json: false }));
        assert_eq!(
            parsed("list --output json"),
            Ok(Command::List { json: true })
        );
        assert_eq!(parsed("version"), Ok(Command::Version));
        assert_eq!(parsed("--help"), Ok(Command::Help));
    }

    #[test]
    fn what_is_refused() {
        let cases = [
            ("", "no command given"),
            ("instal", "unknown command \"instal\""),
            ("install", "install needs --bin-dir DIR"),
            ("install --bin-dir", "--bin-dir needs a value"),
            ("install --bin-dir=", "--bin-dir needs a value"),
            ("install /opt/cni/bin", "unknown argument \"/opt/cni/bin\""),
            ("install --bin-dir a b", "unknown argument \"b\""),
            ("list --output yaml", "--output can be json, not \"yaml\""),
            ("version now", "unknown argument \"now\""),
        ];
        for (line, text) in cases {
            assert_eq!(parsed(line), Err(text.to_owned()), "{line}");
        }
    }
}

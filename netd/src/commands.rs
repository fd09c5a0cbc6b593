//! The commands beside the daemon itself, and their flags: one dash or two, as the daemon's.

use std::path::PathBuf;
use std::slice;

use crate::options::{Command, Given, OptionsError, STATUS_SOCKET};

/// `netd status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The daemon's socket.
    pub socket: PathBuf,
    /// JSON instead of text.
    pub json: bool,
    /// Again and again.
    pub watch: bool,
    /// Every peer, not the first ones alone.
    pub all_peers: bool,
}

const STATUS: &str = "\
Usage: netd status [FLAG]...      what the netd of this node says of itself

  -status-socket PATH
        where it answers (default /run/podwire/netd.sock)
  -output text|json
        for people or for programs; -o for short (default text)
  -watch
        again and again until Ctrl-C: each second on a terminal, else whenever it changes
  -peers
        all peers, not the first 20
  -help
        print this text and exit

Exit status: 0; 1 when no netd answers.
";

/// `netd check-config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckConfig {
    /// The file; `-` is the standard input.
    pub file: PathBuf,
}

const CHECK_CONFIG: &str = "\
Usage: netd check-config FILE     what is wrong with a network configuration

FILE holds what is to be put at <prefix>/config in etcd, or into the file config of the
store dir; - is the standard input. Every error is told in one reading, each with its key,
its value and what would be right; then warnings: keys that nobody reads, what is not as
it seems, what this node's kernel lacks.

Exit status: 0 when nodes can use it, also with warnings; 1 when they cannot, or when FILE
cannot be read.
";

/// Reads the flags of a command, if `arguments` begin with one.
pub fn parse(arguments: &[String]) -> Option<Result<Command, OptionsError>> {
    let (name, rest) = arguments.split_first()?;
    let rest = Arguments(rest.iter());
    match name.as_str() {
        "status" => Some(status(rest)),
        "check-config" => Some(check_config(rest)),
        _ => None,
    }
}

fn status(mut arguments: Arguments<'_>) -> Result<Command, OptionsError> {
    let mut status = Status {
        socket: STATUS_SOCKET.into(),
        json: false,
        watch: false,
        all_peers: false,
    };
    while let Some(argument) = arguments.next()? {
        match argument.name {
            "help" | "h" => return Ok(Command::HelpOf(STATUS)),
            "status-socket" => status.socket = arguments.value(argument)?.into(),
            "output" | "o" => status.json = arguments.is_json(argument)?,
            "watch" | "w" => status.watch = argument.switch()?,
            "peers" => status.all_peers = argument.switch()?,
            _ => return Err(argument.unknown()),
        }
    }
    Ok(Command::Status(status))
}

fn check_config(mut arguments: Arguments<'_>) -> Result<Command, OptionsError> {
    let mut file = None;
    while let Some(text) = arguments.0.next() {
        match text.as_str() {
            "-help" | "--help" | "-h" => return Ok(Command::HelpOf(CHECK_CONFIG)),
            text if text.starts_with('-') && text != "-" => {
                return Err(OptionsError::Unknown(
                    text.trim_start_matches('-').to_owned(),
                ));
            }
            text if file.is_none() => file = Some(text.into()),
            text => return Err(OptionsError::Argument(text.to_owned())),
        }
    }
    let file = file.ok_or(OptionsError::MissingFile)?;
    Ok(Command::CheckConfig(CheckConfig { file }))
}

/// What is left of a command line.
struct Arguments<'a>(slice::Iter<'a, String>);

/// A flag, and its value where that came with it.
#[derive(Clone, Copy)]
struct Argument<'a> {
    name: &'a str,
    inline: Option<&'a str>,
}

impl<'a> Arguments<'a> {
    /// The next flag.
    fn next(&mut self) -> Result<Option<Argument<'a>>, OptionsError> {
        let Some(text) = self.0.next() else {
            return Ok(None);
        };
        let flag = text.strip_prefix("--").or_else(|| text.strip_prefix('-'));
        let flag = flag.ok_or_else(|| OptionsError::Argument(text.clone()))?;
        Ok(Some(match flag.split_once('=') {
            Some((name, value)) => Argument {
                name,
                inline: Some(value),
            },
            None => Argument {
                name: flag,
                inline: None,
            },
        }))
    }

    /// The value of a flag that has one.
    fn value(&mut self, of: Argument<'a>) -> Result<&'a str, OptionsError> {
        let value = of.inline.or_else(|| self.0.next().map(String::as_str));
        value.ok_or_else(|| OptionsError::MissingValue(of.name.to_owned()))
    }

    fn is_json(&mut self, of: Argument<'a>) -> Result<bool, OptionsError> {
        Given::new("-output", self.value(of)?).is_json()
    }
}

impl Argument<'_> {
    /// The value of a flag that is on or off.
    fn switch(self) -> Result<bool, OptionsError> {
        let origin = format!("-{}", self.name);
        Given::new(&origin, self.inline.unwrap_or("true")).bool()
    }

    fn unknown(self) -> OptionsError {
        OptionsError::Unknown(self.name.to_owned())
    }
}

//! A plugin of the suite's own: it records how it was called and answers as told.
//!
//! It is a file whose first line names this executable as its interpreter, so that whatever
//! the judged plugin passes as the program's name, the script's own path arrives here. Beside
//! it lie `NAME.json`, the answers, and `NAME.calls`, what was heard.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    bench::command,
    steps::quote,
    steps::{self, Kind},
};

/// The hidden subcommand that the script runs.
pub(crate) const SUBCOMMAND: &str = "answer";

/// What one command is answered with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    /// A shell line first, for example to note what the kernel shows at this moment.
    pub shell: String,
    /// Standard output, verbatim.
    pub stdout: String,
    /// Prints the prevResult that it is given in place of `stdout`, as a plugin in a chain does.
    pub passes_on: bool,
    /// Standard error, verbatim.
    pub stderr: String,
    /// Exit status.
    pub status: u8,
}

impl Answer {
    /// This document, and success.
    #[must_use]
    pub(crate) fn with(document: &Value) -> Self {
        Self::text(&document.to_string(), 0)
    }

    /// The prevResult that it is given, and success.
    #[must_use]
    pub(crate) fn passing_on() -> Self {
        Self {
            passes_on: true,
            ..Self::default()
        }
    }

    /// An error object with this code and message, and failure.
    #[must_use]
    pub(crate) fn error(code: u32, msg: &str) -> Self {
        Self::text(
            &serde_json::json!({ "code": code, "msg": msg }).to_string(),
            1,
        )
    }

    /// This text on stdout and this exit status.
    #[must_use]
    pub(crate) fn text(stdout: &str, status: u8) -> Self {
        Self {
            stdout: stdout.to_owned(),
            status,
            ..Self::default()
        }
    }

    /// This text on stderr as well.
    #[must_use]
    pub(crate) fn complaining(mut self, stderr: &str) -> Self {
        stderr.clone_into(&mut self.stderr);
        self
    }

    /// This shell line before the answer.
    #[must_use]
    pub(crate) fn after(mut self, shell: &str) -> Self {
        shell.clone_into(&mut self.shell);
        self
    }
}

/// One call as the actor heard it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Heard {
    /// The whole environment.
    pub environment: BTreeMap<String, String>,
    /// Standard input, verbatim.
    pub stdin: String,
}

impl Heard {
    /// A variable; empty when unset.
    #[must_use]
    pub(crate) fn variable(&self, key: &str) -> &str {
        self.environment.get(key).map_or("", String::as_str)
    }

    /// The configuration it was given; null when that is no JSON.
    #[must_use]
    pub(crate) fn config(&self) -> Value {
        serde_json::from_str(&self.stdin).unwrap_or_default()
    }
}

/// An actor in a directory of the world.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    script: PathBuf,
}

impl Actor {
    /// The actor whose script is here.
    #[must_use]
    pub(crate) fn at(script: PathBuf) -> Self {
        Self { script }
    }

    /// The script's text.
    ///
    /// # Errors
    /// When this executable's path is unknown.
    pub(crate) fn script() -> Result<String> {
        let suite = std::env::current_exe()?;
        // Not named in the first line: the kernel would split a path with a blank.
        Ok(format!(
            "#!/bin/sh\nexec {} {SUBCOMMAND} \"$0\"\n",
            quote(&suite.display().to_string())
        ))
    }

    /// Where its answers lie.
    #[must_use]
    pub(crate) fn answers(&self) -> PathBuf {
        self.script.with_extension("json")
    }

    /// Every call so far, the first one first.
    ///
    /// # Errors
    /// When the record is unreadable.
    pub(crate) fn calls(&self) -> Result<Vec<Heard>> {
        let record = self.script.with_extension("calls");
        steps::did(Kind::Look, format!("cat {}", record.display()));
        let text = match fs::read_to_string(&record) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.with_context(|| format!("read {}", record.display()))?,
        };
        text.lines()
            .map(|line| Ok(serde_json::from_str(line)?))
            .collect()
    }

    /// The calls of one command.
    ///
    /// # Errors
    /// When the record is unreadable.
    pub(crate) fn heard(&self, command: &str) -> Result<Vec<Heard>> {
        let mut calls = self.calls()?;
        calls.retain(|call| call.variable("CNI_COMMAND") == command);
        Ok(calls)
    }

    /// The commands it heard, in order.
    ///
    /// # Errors
    /// When the record is unreadable.
    pub(crate) fn commands(&self) -> Result<Vec<String>> {
        let commands = self.calls()?;
        Ok(commands
            .iter()
            .map(|call| call.variable("CNI_COMMAND").to_owned())
            .collect())
    }
}

/// Records the call and answers: the actor's own process.
///
/// # Errors
/// When the record or the answers cannot be reached.
pub(crate) fn main(script: &Path) -> Result<ExitCode> {
    let actor = Actor::at(script.to_owned());
    let mut stdin = Vec::new();
    std::io::stdin().read_to_end(&mut stdin)?;
    let heard = Heard {
        environment: std::env::vars_os()
            .map(|(key, value)| (text(&key), text(&value)))
            .collect(),
        stdin: String::from_utf8_lossy(&stdin).into_owned(),
    };
    let mut record = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(script.with_extension("calls"))?;
    record.write_all((serde_json::to_string(&heard)? + "\n").as_bytes())?;
    let answers = fs::read(actor.answers()).context("the actor's answers")?;
    let answers: BTreeMap<String, Answer> = serde_json::from_slice(&answers)?;
    let answer = answers
        .get(heard.variable("CNI_COMMAND"))
        .cloned()
        .unwrap_or_default();
    if !answer.shell.is_empty() {
        command(Path::new("/bin/sh"))
            .args(["-c", &answer.shell])
            .status()?;
    }
    std::io::stderr().write_all(answer.stderr.as_bytes())?;
    let stdout = if answer.passes_on {
        heard.config()["prevResult"].to_string()
    } else {
        answer.stdout
    };
    std::io::stdout().write_all(stdout.as_bytes())?;
    Ok(ExitCode::from(answer.status))
}

fn text(bytes: &std::ffi::OsStr) -> String {
    bytes.to_string_lossy().into_owned()
}

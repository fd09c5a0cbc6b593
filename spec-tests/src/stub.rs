//! Broken plugins: a real one with one fault laid over it.
//!
//! A stub directory holds a link from the judged plugin's name to this executable, links to
//! the real plugins under the other names, and a file that says which fault of which case.

use std::{
    io::{Read, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{bench::command, case};

/// One way for a plugin to be wrong. Texts that begin with `/` are JSON pointers (RFC 6901);
/// an empty value removes what the pointer names, one that begins with `=` is JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// This fault, but only in this command.
    On(&'static str, &'static Fault),
    /// This command fails without doing anything.
    Fail(&'static str),
    /// This command does its work twice and answers with the second.
    Twice(&'static str),
    /// Exit status 0, whatever happened.
    ExitZero,
    /// Exit status 1, whatever happened.
    ExitOne,
    /// Every error has this code.
    Code(u32),
    /// Errors are plain text.
    PlainError,
    /// Text behind whatever is printed on success.
    Garbage,
    /// This command does nothing and succeeds.
    Skip(&'static str),
    /// This command fails from the second time on.
    Once(&'static str),
    /// The plugin sees this variable with this value, whatever the caller set.
    Env(&'static str, &'static str),
    /// The plugin sees its configuration with this changed.
    Config(&'static str, &'static str),
    /// The result is printed with this changed.
    Result(&'static str, &'static str),
    /// The error is printed with this changed.
    Error(&'static str, &'static str),
    /// A shell command before the work of this command.
    Before(&'static str, &'static str),
    /// A shell command after the work of this command.
    After(&'static str, &'static str),
}

const DESCRIPTION: &str = ".stub.json";

/// Which fault a stub directory stands for.
#[derive(Serialize, Deserialize)]
struct Description {
    case: String,
    fault: usize,
    real: PathBuf,
}

/// Fills `dir` so that `plugin` there is the one in `real` with fault number `fault` of `case`.
///
/// # Errors
/// When a link or the description cannot be written.
pub(crate) fn make(dir: &Path, plugin: &str, case: &str, fault: usize, real: &Path) -> Result<()> {
    for entry in std::fs::read_dir(real)? {
        let name = entry?.file_name();
        if name != plugin {
            symlink(real.join(&name), dir.join(&name))?;
        }
    }
    symlink(std::env::current_exe()?, dir.join(plugin))?;
    let description = Description {
        case: case.to_owned(),
        fault,
        real: real.to_owned(),
    };
    std::fs::write(dir.join(DESCRIPTION), serde_json::to_vec(&description)?)?;
    Ok(())
}

/// Acts as the stub when this process was started as one.
#[must_use]
pub(crate) fn main() -> Option<ExitCode> {
    let started_as = PathBuf::from(std::env::args_os().next()?);
    let text = std::fs::read(started_as.with_file_name(DESCRIPTION)).ok()?;
    Some(act(&started_as, &text).unwrap_or_else(|error| {
        eprintln!("stub: {error:#}");
        ExitCode::from(3)
    }))
}

/// What one call of the real plugin is given and answers; faults change it.
struct Play {
    command: String,
    stdin: String,
    stdout: String,
    succeeded: bool,
}

fn act(started_as: &Path, description: &[u8]) -> Result<ExitCode> {
    let description: Description = serde_json::from_slice(description)?;
    let case = case::all()
        .into_iter()
        .find(|case| case.id == description.case);
    let fault = *case
        .context("no such case")?
        .faults
        .get(description.fault)
        .context("no fault")?;
    let mut play = Play {
        command: std::env::var("CNI_COMMAND").unwrap_or_default(),
        stdin: String::new(),
        stdout: String::new(),
        succeeded: true,
    };
    std::io::stdin().read_to_string(&mut play.stdin)?;
    let real = description
        .real
        .join(started_as.file_name().context("no name")?);
    play.perform(fault, &real)?;
    std::io::stdout().write_all(play.stdout.as_bytes())?;
    Ok(ExitCode::from(u8::from(!play.succeeded)))
}

impl Play {
    fn perform(&mut self, fault: Fault, real: &Path) -> Result<()> {
        let fault = match fault {
            Fault::On(command, inner) if command == self.command => *inner,
            fault => fault,
        };
        match fault {
            Fault::Fail(command) if command == self.command => {
                self.succeeded = false;
                r#"{"code": 999, "msg": "failed"}"#.clone_into(&mut self.stdout);
                return Ok(());
            }
            Fault::Twice(command) if command == self.command => self.run_real(fault, real)?,
            Fault::Skip(command) if command == self.command => return Ok(()),
            Fault::Once(command) if command == self.command && !first_time()? => {
                self.succeeded = false;
                "{\"code\": 999, \"msg\": \"again\"}".clone_into(&mut self.stdout);
                return Ok(());
            }
            Fault::Before(command, shell) if command == self.command => run_shell(shell)?,
            Fault::Config(pointer, value) => self.stdin = changed(&self.stdin, pointer, value),
            _ => {}
        }
        self.run_real(fault, real)?;
        self.lie_about_it(fault)
    }

    fn run_real(&mut self, fault: Fault, real: &Path) -> Result<()> {
        let mut real = command(real);
        if let Fault::Env(key, value) = fault {
            if value.is_empty() {
                real.env_remove(key)
            } else {
                real.env(key, value)
            };
        }
        real.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = real.spawn().context("run the real plugin")?;
        // The real plugin may end without reading: that is no fault of the stub's.
        let _ = child
            .stdin
            .take()
            .context("no stdin")?
            .write_all(self.stdin.as_bytes());
        let output = child.wait_with_output()?;
        self.stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        self.succeeded = output.status.success();
        Ok(())
    }

    fn lie_about_it(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::ExitZero => self.succeeded = true,
            Fault::ExitOne => self.succeeded = false,
            Fault::Garbage if self.succeeded => self.stdout.push_str("garbage"),
            Fault::Code(code) if !self.succeeded => {
                let mut error: Value = serde_json::from_str(&self.stdout)?;
                error["code"] = code.into();
                self.stdout = error.to_string();
            }
            Fault::PlainError if !self.succeeded => "it failed".clone_into(&mut self.stdout),
            Fault::Result(pointer, value) if self.succeeded => {
                self.stdout = changed(&self.stdout, pointer, value);
            }
            Fault::Error(pointer, value) if !self.succeeded => {
                self.stdout = changed(&self.stdout, pointer, value);
            }
            Fault::After(command, shell) if command == self.command => run_shell(shell)?,
            _ => {}
        }
        Ok(())
    }
}

/// The document with one place changed; text that is no JSON stays as it is.
fn changed(text: &str, pointer: &str, value: &str) -> String {
    let Ok(mut document) = serde_json::from_str::<Value>(text) else {
        return text.to_owned();
    };
    let Some((parent, key)) = pointer.rsplit_once('/') else {
        return text.to_owned();
    };
    let key = &key.replace("~1", "/").replace("~0", "~");
    let new: Value = match value.strip_prefix('=').map(serde_json::from_str) {
        Some(Ok(new)) => new,
        _ => value.into(),
    };
    match document.pointer_mut(parent) {
        Some(Value::Object(object)) if value.is_empty() => drop(object.remove(key)),
        Some(Value::Object(object)) => drop(object.insert(key.to_owned(), new)),
        Some(Value::Array(array)) if key == "-" => array.push(new),
        Some(Value::Array(array)) if value.is_empty() => {
            if let Some(at) = key.parse().ok().filter(|at| *at < array.len()) {
                array.remove(at);
            }
        }
        _ => {}
    }
    document.to_string()
}

/// Whether this is the first call in this world.
fn first_time() -> Result<bool> {
    let marker = Path::new("/run/stub-was-here");
    let first = !marker.exists();
    std::fs::write(marker, "")?;
    Ok(first)
}

fn run_shell(line: &str) -> Result<()> {
    command(Path::new("sh"))
        .args(["-c", line])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::changed;

    #[test]
    fn changes_one_place() {
        for (text, pointer, value, expected) in [
            (r#"{"a":{"b":1}}"#, "/a/b", "x", r#"{"a":{"b":"x"}}"#),
            (r#"{"a":{"b":1}}"#, "/a/b", "", r#"{"a":{}}"#),
            (r#"{"a":[1,2]}"#, "/a/1", "", r#"{"a":[1]}"#),
            (r#"{"a":[1,2]}"#, "/a/7", "", r#"{"a":[1,2]}"#),
            (r#"{"a":[1]}"#, "/a/-", "={\"b\":2}", r#"{"a":[1,{"b":2}]}"#),
            (r#"{"a/b":1}"#, "/a~1b", "", "{}"),
            (r#"{"a":1}"#, "/x/y", "z", r#"{"a":1}"#),
            ("no json", "/a", "x", "no json"),
        ] {
            assert_eq!(changed(text, pointer, value), expected);
        }
    }
}

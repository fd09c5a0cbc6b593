//! Stub plugins: a real one with the repairs of a case, one of its faults, or both laid over it.
//!
//! A stub directory holds a link from the judged plugin's name to this executable, links to
//! the real plugins under the other names, and a file that says what of which case.

use std::{
    ffi::OsString,
    io::{Read, Write},
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use crate::fault::Fault;
use crate::{
    bench::command,
    case::{self, Case},
};

const FAILED: &str = r#"{"code": 999, "msg": "failed"}"#;
const DESCRIPTION: &str = ".stub.json";

/// What is laid over a real plugin.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Overlay {
    /// All repairs of the case.
    pub repaired: bool,
    /// The case's fault of this number, over the repairs.
    pub fault: Option<usize>,
}

impl Overlay {
    /// Nothing: the plugin as it is.
    pub(crate) const NONE: Self = Self {
        repaired: false,
        fault: None,
    };

    /// Whether the plugin stays as it is.
    #[must_use]
    pub(crate) fn is_none(self) -> bool {
        !self.repaired && self.fault.is_none()
    }

    /// The changes, the innermost first.
    fn layers(self, case: &Case) -> Result<Vec<Fault>> {
        let mut layers = Vec::new();
        if self.repaired {
            layers.extend(case.repairs);
        }
        if let Some(number) = self.fault {
            layers.push(*case.faults.get(number).context("no such fault")?);
        }
        Ok(layers)
    }
}

/// What a stub directory stands for.
#[derive(Serialize, Deserialize)]
struct Description {
    case: String,
    overlay: Overlay,
    real: PathBuf,
}

/// Fills `dir` so that `plugin` there is the one in `real` with this laid over it.
///
/// # Errors
/// When a link or the description cannot be written.
pub(crate) fn make(
    dir: &Path,
    plugin: &str,
    case: &Case,
    overlay: Overlay,
    real: &Path,
) -> Result<()> {
    for entry in std::fs::read_dir(real)? {
        let name = entry?.file_name();
        if name != plugin {
            symlink(real.join(&name), dir.join(&name))?;
        }
    }
    symlink(std::env::current_exe()?, dir.join(plugin))?;
    let description = Description {
        case: case.id.to_owned(),
        overlay,
        real: real.to_owned(),
    };
    std::fs::write(dir.join(DESCRIPTION), serde_json::to_vec(&description)?)?;
    Ok(())
}

/// Acts as the stub when this process was started as one.
#[must_use]
pub(crate) fn main() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let started_as = PathBuf::from(arguments.next()?);
    let text = std::fs::read(started_as.with_file_name(DESCRIPTION)).ok()?;
    let arguments: Vec<_> = arguments.collect();
    let done = if arguments.is_empty() {
        act(&started_as, &text)
    } else {
        become_real(&started_as, &text, &arguments)
    };
    Some(done.unwrap_or_else(|error| {
        eprintln!("stub: {error:#}");
        ExitCode::from(3)
    }))
}

/// Started with arguments it is no call of a runtime's, but a daemon, which no fault changes.
fn become_real(started_as: &Path, description: &[u8], arguments: &[OsString]) -> Result<ExitCode> {
    let description: Description = serde_json::from_slice(description)?;
    let name = started_as.file_name().context("no name")?;
    let real = description.real.join(name);
    Err(command(&real).args(arguments).exec()).context("become the real plugin")
}

/// What one call of the real plugin is given and answers; the layers change it.
struct Play {
    real: PathBuf,
    command: String,
    /// Variables that the layers set, or remove when empty.
    variables: Vec<(&'static str, &'static str)>,
    stdin: String,
    stdout: String,
    succeeded: bool,
}

fn act(started_as: &Path, description: &[u8]) -> Result<ExitCode> {
    let description: Description = serde_json::from_slice(description)?;
    let case = case::find(&description.case).context("no such case")?;
    let name = started_as.file_name().context("no name")?;
    let mut play = Play {
        real: description.real.join(name),
        command: std::env::var("CNI_COMMAND").unwrap_or_default(),
        variables: Vec::new(),
        stdin: String::new(),
        stdout: String::new(),
        succeeded: true,
    };
    std::io::stdin().read_to_string(&mut play.stdin)?;
    play.perform(&description.overlay.layers(case)?)?;
    std::io::stdout().write_all(play.stdout.as_bytes())?;
    Ok(ExitCode::from(u8::from(!play.succeeded)))
}

impl Play {
    /// The call as the outermost layer, the last one, has it; without layers the real plugin.
    fn perform(&mut self, layers: &[Fault]) -> Result<()> {
        let Some((fault, inner)) = layers.split_last() else {
            return self.run(&mut command(&self.real.clone()));
        };
        let fault = self.meant(*fault);
        match fault {
            Fault::Fail(command) if command == self.command => {
                self.fail_with(FAILED);
                return Ok(());
            }
            Fault::Twice(command) if command == self.command => self.perform(inner)?,
            Fault::Skip(command) if command == self.command => return Ok(()),
            Fault::Once(command) if command == self.command && !first_time()? => {
                self.fail_with(r#"{"code": 999, "msg": "again"}"#);
                return Ok(());
            }
            Fault::Instead(command, script) if command == self.command => {
                return self.run_script(script);
            }
            Fault::Before(command, shell) if command == self.command => run_shell(shell)?,
            Fault::Config(pointer, value) => self.stdin = changed(&self.stdin, pointer, value),
            Fault::Env(key, value) => self.variables.push((key, value)),
            _ => {}
        }
        self.perform(inner)?;
        self.lie_about_it(fault)
    }

    /// The change itself, where it stands under a condition that holds.
    fn meant(&self, fault: Fault) -> Fault {
        match fault {
            Fault::On(command, inner) if command == self.command => self.meant(*inner),
            Fault::Where(pointer, inner) if has(&self.stdin, pointer) => self.meant(*inner),
            fault => fault,
        }
    }

    fn fail_with(&mut self, error: &str) {
        self.succeeded = false;
        error.clone_into(&mut self.stdout);
    }

    fn run_script(&mut self, script: &str) -> Result<()> {
        let mut shell = command(Path::new("sh"));
        shell.args(["-c", script]).env("REAL", &self.real);
        self.run(&mut shell)?;
        if !self.succeeded && self.stdout.is_empty() {
            self.fail_with(FAILED);
        }
        Ok(())
    }

    /// Runs the program with the input and the variables as the layers left them.
    fn run(&mut self, program: &mut Command) -> Result<()> {
        for &(key, value) in &self.variables {
            if value.is_empty() {
                program.env_remove(key);
            } else {
                program.env(key, value);
            }
        }
        program.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = program.spawn().context("run the real plugin")?;
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

/// Whether the document has something at this place.
fn has(text: &str, pointer: &str) -> bool {
    let document: Result<Value, _> = serde_json::from_str(text);
    document.is_ok_and(|document| document.pointer(pointer).is_some())
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
    use super::{changed, has};

    #[test]
    fn finds_a_place() {
        for (text, pointer, expected) in [
            (r#"{"a":{"b.c":1}}"#, "/a/b.c", true),
            (r#"{"a":{"b.c":1}}"#, "/a/b", false),
            ("no json", "/a", false),
        ] {
            assert_eq!(has(text, pointer), expected, "{text} {pointer}");
        }
    }

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

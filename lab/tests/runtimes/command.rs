//! Programs that are run to their end.

use std::process::{Command, Output, Stdio};

#[allow(
    clippy::disallowed_methods,
    reason = "runtimes, and what looks at them"
)]
pub(crate) fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null());
    command
}

/// What it printed; it must have succeeded.
pub(crate) fn ok(output: &Output, what: &str) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{what}: {}\n{text}{errors}",
        output.status
    );
    text
}

/// Runs words that are separated by single blanks.
pub(crate) fn run(words: &str) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    let output = program(words[0]).args(&words[1..]).output().unwrap();
    ok(&output, &words.join(" "))
}

//! Completion for the shells that people use.
use clap::Command;
use clap_complete::{Shell, generate};

use crate::Page;

/// Where each shell looks for the completion of a program, by file name: what stands before and
/// behind its name.
const SHELLS: [(Shell, &str, &str); 3] = [
    (Shell::Bash, "bash/", ""),
    (Shell::Zsh, "zsh/_", ""),
    (Shell::Fish, "fish/", ".fish"),
];

/// A file for each shell.
pub(crate) fn pages(command_line: &Command) -> impl Iterator<Item = Page> {
    SHELLS.into_iter().map(|(shell, before, behind)| {
        let mut text = Vec::new();
        let mut command = command_line.clone();
        let name = command.get_name().to_owned();
        generate(shell, &mut command, name.clone(), &mut text);
        Page {
            path: format!("completion/{before}{name}{behind}"),
            text,
        }
    })
}

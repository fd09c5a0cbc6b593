//! Completion for the shells that people use.
use clap::Command;
use clap_complete::{Shell, generate};

use crate::Page;

/// Where each shell looks for the completion of `podwire`, by file name.
const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash/podwire"),
    (Shell::Zsh, "zsh/_podwire"),
    (Shell::Fish, "fish/podwire.fish"),
];

/// A file for each shell.
pub(crate) fn pages(command_line: &Command) -> impl Iterator<Item = Page> {
    SHELLS.into_iter().map(|(shell, path)| {
        let mut text = Vec::new();
        let mut command = command_line.clone();
        let name = command.get_name().to_owned();
        generate(shell, &mut command, name, &mut text);
        Page {
            path: format!("completion/{path}"),
            text,
        }
    })
}

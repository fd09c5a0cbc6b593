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
        let name = command_line.get_name().to_owned();
        let text = match shell {
            Shell::Bash => for_bash(command_line, &name),
            shell => completion(shell, command_line, &name),
        };
        Page {
            path: format!("completion/{before}{name}{behind}"),
            text,
        }
    })
}

fn completion(shell: Shell, command_line: &Command, name: &str) -> Vec<u8> {
    let mut text = Vec::new();
    let mut command = command_line.clone().name(name.to_owned());
    generate(shell, &mut command, name, &mut text);
    text
}

/// In what clap_complete makes for bash, a program with a dash in its name completes no options of its commands: it
/// writes that dash in two ways. So it is made for a name without, and registered for the right one.
fn for_bash(command_line: &Command, name: &str) -> Vec<u8> {
    let plain = name.replace('-', "_");
    let text = completion(Shell::Bash, command_line, &plain);
    let registered = |name: &str| format!("-o default {name}\n");
    let text = String::from_utf8_lossy(&text);
    text.replace(&registered(&plain), &registered(name))
        .into_bytes()
}

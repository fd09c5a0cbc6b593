//! The pages of the lab, whose command line clap has already: a manual page for each command and each command of
//! those, and completion.
//!
//! It is installed as `podwire-lab`, since Debian has another `lab`; its own texts call it `lab`.
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::{Page, completion};

const NAME: &str = "podwire-lab";

const CALLED: &str = "In its own texts, and where it was built, the program is called lab.";

pub(crate) fn pages() -> anyhow::Result<Vec<Page>> {
    let command_line = command_line();
    let mut built = command_line.clone();
    // Commands get their full names, and the options that all have.
    built.build();
    let mut pages = Vec::new();
    manuals(&built, &mut pages)?;
    pages.extend(completion::pages(&command_line));
    Ok(pages)
}

/// Without the commands that the lab calls itself by: shells would offer them.
fn command_line() -> Command {
    let whole = lab::cli::Cli::command();
    let visible = whole.get_subcommands().filter(|each| !each.is_hide_set());
    let about = whole.get_about().cloned().unwrap_or_default();
    Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .long_about(format!("{about}\n\n{CALLED}"))
        .about(about)
        .after_help(whole.get_after_help().cloned().unwrap_or_default())
        .disable_help_subcommand(true)
        .args(whole.get_arguments().cloned())
        .subcommands(visible.cloned())
}

/// Of a command and of those that it has.
fn manuals(command: &Command, pages: &mut Vec<Page>) -> anyhow::Result<()> {
    for each in command.get_subcommands() {
        manuals(each, pages)?;
    }
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let man = Man::new(command.clone())
        .title(name)
        .source(format!("{NAME} {}", env!("CARGO_PKG_VERSION")))
        .manual("podwire");
    let mut text = Vec::new();
    man.render(&mut text)?;
    pages.push(Page {
        path: format!("man/man1/{name}.1"),
        text,
    });
    Ok(())
}

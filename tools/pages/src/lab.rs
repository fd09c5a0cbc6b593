//! The pages of the lab, whose command line clap has already: a manual page for each command and each command of
//! those, and completion.
//!
//! It is installed as `podwire-lab`, since Debian has another `lab`, and that is what all pages call it.
use clap::Command;
use clap_mangen::Man;
use roff::{Roff, roman};

use crate::{Page, completion, man};

const NAME: &str = "podwire-lab";

pub(crate) fn pages() -> anyhow::Result<Vec<Page>> {
    let command_line = command_line();
    let mut built = command_line.clone();
    // Commands get their full names, and the options that all have.
    built.build();
    let mut pages = Vec::new();
    manuals(&built, None, &mut pages)?;
    pages.extend(completion::pages_with_names(&with_words(command_line)));
    Ok(pages)
}

/// Without the commands that the lab calls itself by: shells would offer them.
fn command_line() -> Command {
    let whole = lab::cli::command_of(NAME);
    let visible = whole.get_subcommands().filter(|each| !each.is_hide_set());
    let about = whole.get_about().cloned().unwrap_or_default();
    Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .after_help(whole.get_after_help().cloned().unwrap_or_default())
        .disable_help_subcommand(true)
        .args(whole.get_arguments().cloned())
        .subcommands(visible.cloned())
}

/// As help has it: clap_mangen leaves out options' values, and the -- before words.
fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([roman(usage.trim_start_matches("Usage: "))]);
    roff
}

/// What shells offer where more may be said than clap has a list of.
fn with_words(mut command_line: Command) -> Command {
    const KINDS: [&str; 2] = ["pods", "nodes"];
    for (command, argument, words) in [
        ("get", "what", &["pods", "nodes", "events"][..]),
        (
            "get",
            "output",
            &["wide", "json", "yaml", "name", "jsonpath="],
        ),
        ("describe", "what", &KINDS),
        ("delete", "what", &["pods"]),
        ("wait", "what", &KINDS),
        ("run", "network", &["bridge", "macvlan", "host", "none"]),
    ] {
        command_line = command_line.mut_subcommand(command, |command| {
            command.mut_arg(argument, |argument| argument.value_parser(words.to_vec()))
        });
    }
    command_line
}

/// The command that this is one of, and those that it has.
fn see_also(command: &Command, above: Option<&str>) -> Roff {
    let below = command
        .get_subcommands()
        .filter_map(Command::get_display_name);
    let pages: Vec<String> = above
        .into_iter()
        .chain(below)
        .map(|page| format!("{page}(1)"))
        .collect();
    let mut roff = Roff::new();
    man::see_also(&mut roff, &pages.join(", "));
    roff
}

/// Of a command and of those that it has.
fn manuals(command: &Command, above: Option<&str>, pages: &mut Vec<Page>) -> anyhow::Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    for each in command.get_subcommands() {
        manuals(each, Some(name), pages)?;
    }
    let man = Man::new(command.clone())
        .title(name)
        .date(man::date()?)
        .source(format!("{NAME} {}", env!("CARGO_PKG_VERSION")))
        .manual("podwire");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    synopsis(command).to_writer(&mut text)?;
    man.render_description_section(&mut text)?;
    man::options(&man, &mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    if command.get_after_help().is_some() {
        man.render_extra_section(&mut text)?;
    }
    if command.get_version().is_some() {
        man.render_version_section(&mut text)?;
    }
    see_also(command, above).to_writer(&mut text)?;
    pages.push(Page {
        path: format!("man/man1/{name}.1"),
        text,
    });
    Ok(())
}

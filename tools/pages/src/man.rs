//! Manual pages of a program's command line: section 1, or 8 of what administrators run.
use anyhow::Context as _;
use clap::Command;
use clap_mangen::Man;
use roff::{Inline, Roff, bold, italic, roman};

use crate::{
    Page,
    told::{CommandTold, Told},
};

/// `podwire(1)`, `netd(8)`
pub(crate) fn program(told: &Told, command_line: &Command) -> anyhow::Result<Page> {
    let man = manual(command_line, &told.name, told);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    if told.summary.is_some() {
        roff.text([bold(told.name.clone()), roman(" "), italic("[FLAG]...")]);
        roff.control("br", []);
    }
    roff.text([bold(told.name.clone()), roman(" "), italic("COMMAND")]);
    roff.to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for command in &told.commands {
        roff.control("TP", []);
        let page = format!("{}-{}({})", told.name, command.name, told.section);
        roff.text([bold(page)]);
        roff.text([roman(command.summary.clone())]);
    }
    if !told.plugins.is_empty() {
        roff.control("SH", ["PLUGINS"]);
    }
    for plugin in &told.plugins {
        roff.control("TP", []);
        roff.text([bold(format!("{}-{}(7)", told.name, plugin.name))]);
        roff.text([roman(plugin.about.clone())]);
    }
    environment(&mut roff, told, &told.exit_status);
    roff.to_writer(&mut page)?;
    Ok(Page {
        path: path(told, &told.name),
        text: page,
    })
}

/// `podwire-COMMAND(1)`, `netd-COMMAND(8)`
pub(crate) fn command(
    told: &Told,
    command_line: &Command,
    command: &CommandTold,
) -> anyhow::Result<Page> {
    let clap = command_line.find_subcommand(&command.name);
    let clap = clap.with_context(|| format!("no command {}", command.name))?;
    let name = format!("{}-{}", told.name, command.name);
    let man = manual(&clap.clone().name(name.clone()), &name, told);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    synopsis(told.name.as_str(), command).to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut roff = Roff::new();
    let exit_status = command.exit_status.as_ref();
    environment(&mut roff, told, exit_status.unwrap_or(&told.exit_status));
    see_also(&mut roff, &format!("{}({})", told.name, told.section));
    roff.to_writer(&mut page)?;
    Ok(Page {
        path: path(told, &name),
        text: page,
    })
}

fn path(told: &Told, name: &str) -> String {
    let section = &told.section;
    format!("man/man{section}/{name}.{section}")
}

fn manual(command: &Command, title: &str, told: &Told) -> Man {
    let source = format!("{} {}", told.name, told.version);
    Man::new(command.clone())
        .title(title)
        .section(told.section.clone())
        .source(source)
        .manual("podwire")
}

/// How the command is called, as `podwire help` has it.
fn synopsis(program: &str, command: &CommandTold) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    let none = [String::new()];
    let usages = match command.usage.as_slice() {
        [] => &none[..],
        usages => usages,
    };
    for (index, usage) in usages.iter().enumerate() {
        if index > 0 {
            roff.control("br", []);
        }
        let called = bold(format!("{program} {}", command.name));
        roff.text([called, roman(" "), italic(usage.clone())]);
    }
    roff
}

fn environment(roff: &mut Roff, told: &Told, exit_status: &str) {
    roff.control("SH", ["ENVIRONMENT"]);
    for variable in &told.environment {
        roff.control("TP", []);
        roff.text([bold(variable.name.clone())]);
        roff.text([roman(variable.about.clone())]);
    }
    roff.control("SH", ["EXIT STATUS"]);
    roff.text([roman(exit_status)]);
}

/// Other pages.
pub(crate) fn see_also(roff: &mut Roff, pages: &str) {
    roff.control("SH", ["SEE ALSO"]);
    let text: Inline = roman(pages);
    roff.text([text]);
}

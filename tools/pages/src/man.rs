//! Manual pages of a program's command line: section 1, or 8 of what administrators run.
use std::{
    env,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use clap::Command;
use clap_mangen::Man;
use roff::{Inline, Roff, bold, italic, roman};

use crate::{
    Page,
    told::{CommandTold, Told},
};

/// The day that pages are of: that of `SOURCE_DATE_EPOCH`, by which a build can be repeated, or today. mandoc warns of
/// pages without one, and groff takes what stands behind it for it.
///
/// # Errors
/// `SOURCE_DATE_EPOCH` is no number of seconds.
pub(crate) fn date() -> anyhow::Result<String> {
    const EPOCH: &str = "SOURCE_DATE_EPOCH";
    let time = match env::var(EPOCH).ok().filter(|text| !text.is_empty()) {
        None => SystemTime::now(),
        Some(text) => {
            let seconds: u32 = text
                .parse()
                .with_context(|| format!("{EPOCH} is {text:?}, and no number of seconds"))?;
            UNIX_EPOCH + Duration::from_secs(seconds.into())
        }
    };
    let time = humantime::format_rfc3339_seconds(time).to_string();
    let (date, _) = time.split_once('T').context("a time has a date")?;
    Ok(date.to_owned())
}

/// `podwire(1)`, `netd(8)`
pub(crate) fn program(told: &Told, command_line: &Command) -> anyhow::Result<Page> {
    let man = manual(command_line, &told.name, told)?;
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
    options(&man, &mut page)?;
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
    let man = manual(&clap.clone().name(name.clone()), &name, told)?;
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    synopsis(told.name.as_str(), command).to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    options(&man, &mut page)?;
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

fn manual(command: &Command, title: &str, told: &Told) -> anyhow::Result<Man> {
    let source = format!("{} {}", told.name, told.version);
    Ok(Man::new(command.clone())
        .title(title)
        .section(told.section.clone())
        .date(date()?)
        .source(source)
        .manual("podwire"))
}

/// As clap_mangen has them, but for the breaks around empty lines, of which mandoc warns.
pub(crate) fn options(man: &Man, page: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut text = Vec::new();
    man.render_options_section(&mut text)?;
    let text = String::from_utf8(text).context("read the options")?;
    page.extend(text.replace(".br\n\n.br\n", ".sp\n").into_bytes());
    Ok(())
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

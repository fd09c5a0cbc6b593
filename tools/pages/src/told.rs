//! What the executable tells of itself.
#![allow(clippy::disallowed_methods, reason = "the executable is asked")]

use std::{path::Path, process::Command as Program};

use anyhow::{Context as _, ensure};
use clap::{Arg, ArgAction, Command, ValueHint, builder::PossibleValuesParser};
use serde::Deserialize;

/// `podwire help --output json`, `netd help --output json`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The manual's section of what is told here.
    #[serde(default = "section_1")]
    pub(crate) section: String,
    pub(crate) about: String,
    /// In a few words, of a program that needs no command.
    pub(crate) summary: Option<String>,
    /// What such a program takes without a command.
    #[serde(default)]
    flags: Vec<Argument>,
    pub(crate) environment: Vec<Pair>,
    pub(crate) exit_status: String,
    pub(crate) commands: Vec<CommandTold>,
    pub(crate) plugins: Vec<Plugin>,
}

fn section_1() -> String {
    "1".to_owned()
}

/// A word and what it is for.
#[derive(Debug, Deserialize)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) about: String,
}

/// A command.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommandTold {
    pub(crate) name: String,
    pub(crate) summary: String,
    pub(crate) about: String,
    pub(crate) usage: Vec<String>,
    operands: Vec<Argument>,
    options: Vec<Argument>,
    /// Where it is not the program's.
    pub(crate) exit_status: Option<String>,
}

/// An option, whose name begins with dashes, or an operand.
#[derive(Debug, Deserialize)]
struct Argument {
    name: String,
    #[serde(default)]
    short: Option<char>,
    #[serde(default)]
    value: String,
    takes: String,
    values: Vec<String>,
    #[serde(default)]
    many: bool,
    about: String,
}

/// A plugin.
#[derive(Debug, Deserialize)]
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) versions: Vec<String>,
    pub(crate) keys: Vec<Key>,
    pub(crate) example: String,
}

/// A key of a plugin's configuration.
#[derive(Debug, Deserialize)]
pub(crate) struct Key {
    pub(crate) path: String,
    pub(crate) facts: String,
    pub(crate) about: String,
    pub(crate) common: bool,
}

impl Told {
    /// Asks the executable.
    ///
    /// # Errors
    /// It cannot be run, fails, or tells something else.
    pub(crate) fn ask(program: &Path) -> anyhow::Result<Self> {
        let help = output(program, &["help", "--output", "json"])?;
        Ok(serde_json::from_slice(&help)?)
    }

    /// The command line as clap has it.
    pub(crate) fn command(&self) -> Command {
        let has_version = self.flags.iter().any(|flag| flag.name == "--version");
        Command::new(self.name.clone())
            .version(self.version.clone())
            .about(self.summary.clone().unwrap_or_else(|| self.about.clone()))
            .long_about(self.about.clone())
            .disable_help_subcommand(true)
            .disable_version_flag(has_version)
            .disable_help_flag(true)
            .args(self.flags.iter().map(Argument::option))
            .arg(help())
            .subcommand_required(self.flags.is_empty())
            .subcommands(self.commands.iter().map(CommandTold::command))
    }
}

fn help() -> Arg {
    let arg = Arg::new("help").short('h').long("help");
    arg.action(ArgAction::Help).help("help for the command")
}

fn output(podwire: &Path, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let program = podwire.canonicalize();
    let program = program.with_context(|| format!("find {}", podwire.display()))?;
    let output = Program::new(&program).args(arguments).output();
    let output = output.with_context(|| format!("run {}", program.display()))?;
    ensure!(
        output.status.success(),
        "{} {} failed: {}",
        program.display(),
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

impl CommandTold {
    fn command(&self) -> Command {
        let operands = self.operands.iter().map(Argument::operand);
        let options = self.options.iter().map(Argument::option);
        Command::new(self.name.clone())
            .about(self.summary.clone())
            .long_about(self.about.clone())
            .args(operands)
            .args(options)
            .disable_help_flag(true)
            .arg(help())
    }
}

impl Argument {
    fn operand(&self) -> Arg {
        let arg = Arg::new(self.name.clone()).value_name(self.name.clone());
        let most = if self.many { usize::MAX } else { 1 };
        self.valued(arg.num_args(1..=most))
    }

    fn option(&self) -> Arg {
        let arg = Arg::new(self.name.clone()).long(self.name.trim_start_matches('-').to_owned());
        let arg = match self.short {
            Some(letter) => arg.short(letter),
            None => arg,
        };
        match self.takes.as_str() {
            "nothing" => arg.action(ArgAction::SetTrue).help(self.about.clone()),
            _ => self.valued(arg.value_name(self.value.clone())),
        }
    }

    fn valued(&self, arg: Arg) -> Arg {
        let arg = arg.help(self.about.clone());
        match self.takes.as_str() {
            "directory" => arg.value_hint(ValueHint::DirPath),
            "file" => arg.value_hint(ValueHint::FilePath),
            "word" => arg.value_parser(PossibleValuesParser::new(self.values.clone())),
            _ => arg,
        }
    }
}

//! The command line told: as text for people, and as JSON, of which manual pages and completion
//! are made.
use std::fmt::Write as _;

use cni::Plugin;
use serde_json::{Value, json};

use crate::{
    OWN_NAME, PLUGINS,
    commands::{COMMANDS, Command, Takes},
    explain, name_width,
};

/// Columns of a line of help.
const WIDTH: usize = 100;

const ABOUT: &str = "CNI plugins in one executable. The name it is called by selects the plugin.";

/// Options that stand before a command.
const OPTIONS: &[(&str, &str)] = &[
    (
        "-h, --help",
        "this text; after a command, that of the command",
    ),
    ("-V, --version", "name and version"),
];

const ENVIRONMENT: &[(&str, &str)] = &[(
    "PODWIRE_LOG",
    "what plugins write to standard error: off, error, warn (default), info, debug, trace",
)];

const EXIT_STATUS: &str = "0 done, 1 it failed, 2 the command line is wrong.";

/// What `podwire help` prints.
pub(crate) fn overview() -> String {
    let commands: Vec<(String, &str)> = COMMANDS
        .iter()
        .map(|command| (command.name.to_owned(), command.summary))
        .collect();
    let owned = |pairs: &[(&'static str, &'static str)]| -> Vec<(String, &'static str)> {
        pairs
            .iter()
            .map(|(name, about)| ((*name).to_owned(), *about))
            .collect()
    };
    format!(
        "{ABOUT}\n\nUsage: {OWN_NAME} <COMMAND>\n{}{}{}\nExit status: {EXIT_STATUS}\n",
        section("Commands", &commands),
        section("Options", &owned(OPTIONS)),
        section("Environment", &owned(ENVIRONMENT)),
    )
}

/// What `podwire help COMMAND` prints.
pub(crate) fn command(command: &Command) -> String {
    let mut text = wrapped(command.about, 0) + "\n\n";
    let none = [""];
    let usages = match command.usage {
        [] => &none,
        usages => usages,
    };
    for (index, usage) in usages.iter().enumerate() {
        let head = if index == 0 { "Usage:" } else { "      " };
        let line = format!("{head} {OWN_NAME} {} {usage}", command.name);
        // Writing into a text cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let operands: Vec<(String, &str)> = command
        .operands
        .iter()
        .map(|operand| (word(operand.takes), operand.about))
        .collect();
    let options = command.options.iter();
    let mut options: Vec<(String, &str)> = options
        .map(|option| {
            let name = format!("{} {}", option.name, word(option.takes));
            (name.trim_end().to_owned(), option.about)
        })
        .collect();
    options.push(("-h, --help".to_owned(), "this text"));
    text + &section("Arguments", &operands) + &section("Options", &options)
}

/// The same of everything, for programs.
pub(crate) fn json() -> String {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<Value> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, about)| json!({"name": name, "about": about}))
            .collect()
    };
    let plugins: Vec<Value> = PLUGINS
        .iter()
        .map(|plugin| json_of_plugin(*plugin))
        .collect();
    let document = json!({
        "name": OWN_NAME,
        "version": env!("CARGO_PKG_VERSION"),
        "about": ABOUT,
        "options": pairs(OPTIONS),
        "environment": pairs(ENVIRONMENT),
        "exitStatus": EXIT_STATUS,
        "commands": COMMANDS.iter().map(|command| json_of(command)).collect::<Vec<_>>(),
        "plugins": plugins,
    });
    cni::json::to_string_pretty(&document) + "\n"
}

fn json_of_plugin(plugin: &dyn Plugin) -> Value {
    let schema = plugin.schema();
    let versions = plugin.versions().iter().map(|version| version.as_str());
    let keys = explain::keys(plugin).into_iter().map(|key| {
        json!({"path": key.path, "facts": key.facts, "about": key.about, "common": key.is_common})
    });
    json!({
        "name": plugin.name(),
        "about": schema.about(),
        "versions": versions.collect::<Vec<_>>(),
        "keys": keys.collect::<Vec<_>>(),
        "example": schema.example(),
    })
}

fn json_of(command: &Command) -> Value {
    let operands = command.operands.iter().map(|operand| {
        json!({"name": word(operand.takes), "takes": kind(operand.takes),
            "values": values(operand.takes), "many": operand.many, "about": operand.about})
    });
    let options = command.options.iter().map(|option| {
        json!({"name": option.name, "value": word(option.takes), "takes": kind(option.takes),
            "values": values(option.takes), "about": option.about})
    });
    json!({
        "name": command.name,
        "summary": command.summary,
        "about": command.about,
        "usage": command.usage,
        "operands": operands.collect::<Vec<_>>(),
        "options": options.collect::<Vec<_>>(),
    })
}

/// What stands for the value in a text.
fn word(takes: Takes) -> String {
    match takes {
        Takes::Nothing => String::new(),
        Takes::Text(name) => name.to_owned(),
        Takes::Directory => "DIR".to_owned(),
        Takes::File => "FILE".to_owned(),
        Takes::Words(words) => words.join("|"),
        Takes::Plugin => "PLUGIN".to_owned(),
        Takes::Command => "COMMAND".to_owned(),
        Takes::CommandOrPlugin => "COMMAND|PLUGIN".to_owned(),
    }
}

fn kind(takes: Takes) -> &'static str {
    match takes {
        Takes::Nothing => "nothing",
        Takes::Text(_) => "text",
        Takes::Directory => "directory",
        Takes::File => "file",
        Takes::Words(_) | Takes::Plugin | Takes::Command | Takes::CommandOrPlugin => "word",
    }
}

/// The words that it can be.
fn values(takes: Takes) -> Vec<&'static str> {
    let commands = || COMMANDS.iter().map(|command| command.name);
    match takes {
        Takes::Words(words) => words.to_vec(),
        Takes::Plugin => crate::names(),
        Takes::Command => commands().collect(),
        Takes::CommandOrPlugin => commands().chain(crate::names()).collect(),
        Takes::Nothing | Takes::Text(_) | Takes::Directory | Takes::File => Vec::new(),
    }
}

/// A heading and two columns below it; nothing when there is nothing.
fn section(heading: &str, lines: &[(String, &str)]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let width = name_width(lines.iter().map(|(name, _)| name.as_str()));
    let mut text = format!("\n{heading}:\n");
    for (name, about) in lines {
        // Writing into a text cannot fail.
        let _ = writeln!(text, "  {name:width$}   {}", wrapped(about, width + 5));
    }
    text
}

/// `text` in lines of [`WIDTH`] columns; all but the first begin with `indent` blanks.
pub(crate) fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut column = indent;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > indent && column + 1 + width > WIDTH {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column > indent {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += width;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        let text = wrapped(&"word ".repeat(30), 4);
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert!(
            text.lines()
                .skip(1)
                .all(|line| line.starts_with("    word"))
        );
        assert_eq!(text.split_whitespace().count(), 30);
        assert_eq!(wrapped("", 3), "");
    }

    #[test]
    fn every_option_stands_in_the_usage_of_its_command() {
        for command in COMMANDS {
            let usage = command.usage.join(" ");
            for option in command.options {
                assert!(
                    usage.contains(option.name),
                    "{}: {}",
                    command.name,
                    option.name
                );
            }
        }
    }

    #[test]
    fn programs_are_told_what_people_are() {
        let told: Value = serde_json::from_str(&json()).unwrap();
        assert_eq!(
            told["commands"].as_array().map(Vec::len),
            Some(COMMANDS.len())
        );
        assert_eq!(
            told["plugins"].as_array().map(Vec::len),
            Some(PLUGINS.len())
        );
        let help = &told["commands"].as_array().unwrap().last().unwrap()["operands"][0];
        let values = help["values"].as_array().unwrap();
        assert!(values.contains(&json!("bridge")) && values.contains(&json!("install")));
    }
}

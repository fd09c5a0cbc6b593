//! `podwire list`.
use std::fmt::Write as _;

use cni::Outcome;
use lexopt::{Arg::Long, Parser};

use super::{Command, Opt, Takes};
use crate::{
    PLUGINS,
    cli::{Stop, output_is_json, success, unexpected},
    name_width, names,
};

pub(crate) static COMMAND: Command = Command {
    name: "list",
    summary: "the plugins, and the versions of the CNI specification they speak",
    about: "Lists the plugins by name, and the versions of the CNI specification they speak.",
    usage: &["[--output json]"],
    operands: &[],
    options: &[Opt {
        name: "--output",
        takes: Takes::Words(&["json"]),
        about: "for programs: [{\"name\": ..., \"versions\": [...]}]",
    }],
    run,
};

fn run(parser: Parser) -> Result<Outcome, Stop> {
    Ok(success(match is_json(parser)? {
        true => json(),
        false => table(),
    }))
}

/// Whether a program shall read it.
fn is_json(mut parser: Parser) -> Result<bool, Stop> {
    let mut json = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("output") => {
                output_is_json(&mut parser)?;
                json = true;
            }
            other => return Err(unexpected(other)),
        }
    }
    Ok(json)
}

fn table() -> String {
    let width = name_width(names().into_iter());
    let mut text = String::new();
    for plugin in PLUGINS {
        let versions: Vec<&str> = plugin.versions().iter().map(|one| one.as_str()).collect();
        // Writing into a text cannot fail.
        let _ = writeln!(text, "{:width$}  {}", plugin.name(), versions.join(" "));
    }
    text
}

/// `[{"name": ..., "versions": [...]}]`; neither names nor versions need escapes.
fn json() -> String {
    let plugins: Vec<String> = PLUGINS
        .iter()
        .map(|plugin| {
            let versions: Vec<String> = plugin
                .versions()
                .iter()
                .map(|one| format!("\"{one}\""))
                .collect();
            format!(
                "{{\"name\":\"{}\",\"versions\":[{}]}}",
                plugin.name(),
                versions.join(",")
            )
        })
        .collect();
    format!("[{}]\n", plugins.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{parser, said};

    #[test]
    fn plugins_are_listed_by_name() {
        assert!(names().is_sorted(), "{:?}", names());
    }

    #[test]
    fn arguments() {
        for (line, expected) in [
            ("", Ok(false)),
            ("--output json", Ok(true)),
            ("--output=json", Ok(true)),
            ("--output yaml", Err("--output can be json, not \"yaml\"")),
            ("--output=", Err("--output needs a value")),
            ("all", Err("unexpected argument \"all\"")),
            ("--help", Err("help")),
        ] {
            let seen = is_json(parser(line)).map_err(said);
            assert_eq!(seen, expected.map_err(str::to_owned), "{line}");
        }
    }
}

//! `podwire schema`.
use std::ffi::OsString;

use cni::{Outcome, json::to_string_pretty};
use lexopt::{Arg::Value, Parser};

use super::{Command, Operand, Takes};
use crate::{
    cli::{Stop, UsageError, no_arguments, success, unexpected},
    plugin,
};

pub(crate) static COMMAND: Command = Command {
    name: "schema",
    summary: "what a plugin's configuration may hold, as JSON Schema",
    about: "Prints the JSON Schema (draft 2020-12) of a plugin's configuration. Beside the words of \
            JSON Schema a key may have x-unit, the unit of a number; x-since, the release of the \
            reference plugins that brought it; and x-common, where every plugin's configuration \
            may hold it.",
    usage: &["PLUGIN"],
    operands: &[Operand {
        takes: Takes::Plugin,
        many: false,
        about: "the plugin, as `podwire list` calls it",
    }],
    options: &[],
    run,
};

fn run(parser: Parser) -> Result<Outcome, Stop> {
    let name = wanted(parser)?;
    let plugin = plugin(&name).ok_or_else(|| UsageError::Plugin(name))?;
    let document = plugin.schema().document(plugin.name());
    Ok(success(to_string_pretty(document.as_value()) + "\n"))
}

fn wanted(mut parser: Parser) -> Result<OsString, Stop> {
    let name = match parser.next()? {
        Some(Value(name)) => name,
        Some(other) => return Err(unexpected(other)),
        None => {
            return Err(Stop::Usage(UsageError::Lacking {
                command: COMMAND.name,
                option: "PLUGIN",
            }));
        }
    };
    no_arguments(parser)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{parser, said};

    #[test]
    fn a_plugin_is_asked_for() {
        for (line, expected) in [
            ("bridge", Ok("bridge")),
            ("", Err("schema needs PLUGIN")),
            ("bridge ptp", Err("unexpected argument \"ptp\"")),
            ("--help", Err("help")),
        ] {
            let seen = wanted(parser(line)).map_err(said);
            assert_eq!(seen, expected.map(OsString::from).map_err(str::to_owned));
        }
        let unknown = run(parser("calico")).map_err(said).unwrap_err();
        assert!(
            unknown.starts_with("\"calico\" is no plugin of podwire; "),
            "{unknown}"
        );
    }

    #[test]
    fn the_document_is_json_schema_of_the_plugin() {
        let text = run(parser("bridge")).map_err(said).unwrap().stdout;
        let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        assert_eq!(schema["properties"]["bridge"]["default"], "cni0");
        assert_eq!(
            schema["properties"]["runtimeConfig"]["properties"]["mac"]["type"],
            "string"
        );
    }
}

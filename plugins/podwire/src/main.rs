//! Every plugin in one executable: the name it is called by selects the plugin. Called as
//! `podwire` it is the command line that installs it.
//!
//! Exit status: 0 success, 1 failure, 2 a command line that cannot be understood.

mod cli;
mod commands;
mod describe;
mod explain;
mod install;
mod likely;
mod log;
mod node;
mod remove;
mod runtime;
mod table;
mod uninstall;
mod validate;
mod verify;

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    io::{self, Read, Write},
    path::Path,
    process::ExitCode,
};

use cni::{Error, Invocation, Outcome, Plugin, Role, code};
use kernel::link::tap as tap_device;
use kernel::stdio::{Output, Stream, was_closed};
use logline::Format;
use podwire_plugins::PLUGINS;
use tracing::level_filters::LevelFilter;

/// musl's allocator gives each few pages back as soon as they are free and asks for them again: a fifth of an ADD's
/// system calls, and a third of its page faults.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// The command line's name.
const OWN_NAME: &str = "podwire";

/// The names of the plugins.
fn names() -> Vec<&'static str> {
    PLUGINS.iter().map(|plugin| plugin.name()).collect()
}

/// The plugin of this name.
fn plugin(name: &OsStr) -> Option<&'static dyn Plugin> {
    let mut plugins = PLUGINS.iter();
    plugins.find(|plugin| plugin.name() == name).copied()
}

/// How many columns the longest of `names` takes.
fn name_width<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names.map(str::len).max().unwrap_or_default()
}

fn main() -> ExitCode {
    let mut args = env::args_os();
    let name = args.next().as_deref().map(base_name).unwrap_or_default();
    let arguments: Vec<OsString> = args.collect();
    if let Some(daemon) = daemon(&name, &arguments) {
        // What a daemon does is worth a line.
        let start_log = |format| log::start(LevelFilter::INFO, format);
        return finish(&dhcp::daemon::run(daemon, start_log));
    }
    log::start(LevelFilter::WARN, Format::Text);
    let outcome = match PLUGINS.iter().find(|plugin| plugin.name() == name) {
        Some(plugin) => return call(*plugin),
        None if name == tap_device::HELPER => make_tap(&arguments),
        None if is_called_by_runtime() => Error::msg(not_a_plugin(&name)).into(),
        None if name == OWN_NAME => cli::run(&arguments),
        None => failure(not_a_plugin(&name)),
    };
    finish(&outcome)
}

/// The arguments of `dhcp daemon`; `None` for anything else.
fn daemon<'a>(name: &str, arguments: &'a [OsString]) -> Option<&'a [OsString]> {
    match arguments {
        [first, rest @ ..] if name == dhcp::DHCP.name() && first == "daemon" => Some(rest),
        _ => None,
    }
}

/// What the plugin tap starts this executable for, where the device needs a SELinux context.
fn make_tap(arguments: &[OsString]) -> Outcome {
    let text = |argument: &OsString| argument.to_string_lossy().into_owned();
    let arguments: Vec<String> = arguments.iter().map(text).collect();
    match tap_device::help(&arguments) {
        Ok(()) => Outcome::default(),
        Err(error) => failure(cni::error::one_line(&error)),
    }
}

/// The last component of the path that the executable was called by.
fn base_name(argument: &OsStr) -> String {
    let name = Path::new(argument).file_name();
    name.map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// A runtime reads an error object from standard output, a person text from standard error.
fn is_called_by_runtime() -> bool {
    env::var_os("CNI_COMMAND").is_some_and(|command| !command.is_empty())
}

fn not_a_plugin(name: &str) -> String {
    format!(
        "{name:?} is no plugin of podwire; it can be called as {}",
        names().join(", ")
    )
}

fn failure(text: impl std::fmt::Display) -> Outcome {
    let text = table::printable(&text.to_string());
    Outcome {
        stderr: format!("{OWN_NAME}: {text}\n"),
        code: 1,
        ..Outcome::default()
    }
}

/// A runtime's call: the front end writes the result itself, because one that nobody can read
/// must be taken back.
fn call(plugin: &dyn Plugin) -> ExitCode {
    let env = match environment() {
        Ok(env) => env,
        Err(error) => return finish(&error.into()),
    };
    let is_gc = env
        .get("CNI_COMMAND")
        .is_some_and(|command| command == "GC");
    let (mut stdin, mut stdout) = (io::stdin().lock(), Output);
    let invocation = Invocation {
        env,
        stdin: match was_closed(Stream::Input) {
            true => &mut NoInput,
            false => &mut stdin,
        },
    };
    let stdout: Option<&mut dyn Write> = match was_closed(Stream::Output) {
        true => None,
        false => Some(&mut stdout),
    };
    let ended = cni::invocation::serve(plugin, PLUGINS, invocation, stdout);
    // Nothing is left to be told where standard error is closed as well.
    let _ = print(&mut io::stderr().lock(), &ended.stderr);
    if is_gc && matches!(plugin.role(), Role::Interface | Role::Meta) {
        restore();
    }
    // Without a child the end of this process waits: slower, and nothing else.
    let _ = kernel::nft::leave_closing_to_child();
    exit_code(ended.code)
}

/// GC of any network brings back every kind of rules, whichever plugins the network has, also where something could not
/// be removed. One that makes the interface, itself or by another plugin, is in each; those behind it bring back their
/// own kind, as they may be behind another suite's.
fn restore() {
    for restorer in node::RESTORERS {
        (restorer.restore_and_log)();
    }
}

/// Standard input of a process that was started without one.
struct NoInput;

impl Read for NoInput {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("it is closed"))
    }
}

/// The process's environment. A variable of the protocol must be text; others are not ours to
/// judge, and are left out where they are not.
fn environment() -> Result<BTreeMap<String, String>, Error> {
    let mut env = BTreeMap::new();
    for (key, value) in env::vars_os() {
        match (key.into_string(), value.into_string()) {
            (Ok(key), Ok(value)) => _ = env.insert(key, value),
            (Ok(key), Err(value)) if key.starts_with("CNI_") => {
                let msg = format!("environment variable {key} is not valid UTF-8");
                let error = Error::new(code::INVALID_ENVIRONMENT, msg);
                return Err(error.with_details(format!("{value:?}")));
            }
            _ => {}
        }
    }
    Ok(env)
}

/// Prints the outcome. A result that nobody could read is a failure.
fn finish(outcome: &Outcome) -> ExitCode {
    let printed = match was_closed(Stream::Output) && !outcome.stdout.is_empty() {
        true => Err(io::Error::other("it is closed")),
        false => print(&mut io::stdout().lock(), &outcome.stdout),
    };
    // Nothing is left to be told where standard error is closed as well.
    let _ = print(&mut io::stderr().lock(), &outcome.stderr);
    if let Err(error) = printed {
        let _ = writeln!(
            io::stderr(),
            "{OWN_NAME}: could not write to standard output: {error}"
        );
        return ExitCode::FAILURE;
    }
    exit_code(outcome.code)
}

fn exit_code(code: i32) -> ExitCode {
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn print(to: &mut dyn Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// People read of every key what it means; a field without a comment tells them nothing.
    #[test]
    fn every_key_of_every_plugin_is_told() {
        for plugin in PLUGINS {
            let schema = plugin.schema();
            let document = schema.document(plugin.name());
            untold(plugin.name(), document.as_value());
            assert!(!schema.about().is_empty(), "{}", plugin.name());
        }
    }

    fn untold(path: &str, schema: &serde_json::Value) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{key}");
            assert!(property["description"].is_string(), "{path}: {property}");
            untold(&path, property);
            let mut items = &property["items"];
            while !items["items"].is_null() {
                items = &items["items"];
            }
            untold(&path, items);
        }
    }

    #[test]
    fn every_example_is_a_list_with_the_plugin() {
        for plugin in PLUGINS {
            let document = plugin.schema().document(plugin.name());
            let examples = document.get("examples").and_then(|list| list.as_array());
            assert_eq!(examples.map(Vec::len), Some(1), "{}", plugin.name());
        }
    }
}

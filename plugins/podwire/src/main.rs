//! Every plugin in one executable: the name it is called by selects the plugin. Called as
//! `podwire` it is the command line that installs it.
//!
//! Exit status: 0 success, 1 failure, 2 a command line that cannot be understood.

mod cli;
mod install;
mod log;
mod verify;

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use cni::{Error, Invocation, Outcome, Plugin, code};

/// The command line's name.
const OWN_NAME: &str = "podwire";

/// Every plugin of this executable.
static PLUGINS: &[&dyn Plugin] = &[
    &bridge::BRIDGE,
    &flannel::FLANNEL,
    &host_gw::HOST_GW,
    &ipam::HOST_LOCAL,
    &loopback::LOOPBACK,
    &vxlan::VXLAN,
];

fn main() -> ExitCode {
    let mut args = env::args_os();
    let name = args.next().as_deref().map(base_name).unwrap_or_default();
    let arguments: Vec<OsString> = args.collect();
    log::start();
    let outcome = match PLUGINS.iter().find(|plugin| plugin.name() == name) {
        Some(plugin) => call(*plugin),
        None if is_called_by_runtime() => Error::msg(not_a_plugin(&name)).into(),
        None if name == OWN_NAME => cli::run(&arguments),
        None => failure(not_a_plugin(&name)),
    };
    finish(&outcome)
}

/// The last component of the path that the executable was called by.
fn base_name(argument: &std::ffi::OsStr) -> String {
    let name = Path::new(argument).file_name();
    name.map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// A runtime reads an error object from standard output, a person text from standard error.
fn is_called_by_runtime() -> bool {
    env::var_os("CNI_COMMAND").is_some_and(|command| !command.is_empty())
}

fn not_a_plugin(name: &str) -> String {
    let names: Vec<&str> = PLUGINS.iter().map(|plugin| plugin.name()).collect();
    format!(
        "{name:?} is no plugin of podwire; it can be called as {}",
        names.join(", ")
    )
}

fn failure(text: impl std::fmt::Display) -> Outcome {
    Outcome {
        stderr: format!("{OWN_NAME}: {text}\n"),
        code: 1,
        ..Outcome::default()
    }
}

fn call(plugin: &dyn Plugin) -> Outcome {
    match environment() {
        Ok(env) => {
            let invocation = Invocation {
                env,
                stdin: &mut io::stdin().lock(),
            };
            cni::invocation::run(plugin, PLUGINS, invocation)
        }
        Err(error) => error.into(),
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
    let printed = print(&mut io::stdout().lock(), &outcome.stdout);
    // Nothing is left to be told where standard error is closed as well.
    let _ = print(&mut io::stderr().lock(), &outcome.stderr);
    if let Err(error) = printed {
        let _ = writeln!(
            io::stderr(),
            "{OWN_NAME}: could not write to standard output: {error}"
        );
        return ExitCode::FAILURE;
    }
    u8::try_from(outcome.code).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn print(to: &mut dyn Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}

//! The plugin edge as values that tests can fill: what a plugin is called with, what the process
//! prints and exits with, and the front end between them.

mod environment;
mod gate;
mod stdout;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Deserialize;

pub(crate) use environment::Command;
use stdout::{Stdout, Undelivered};

use crate::json::{self, JsonError, Node};
use crate::version::joined;
use crate::{AddResult, Attachment, Call, Error, NetworkName, Plugin, SpecVersion, code};

/// Environment of one call. Only `main` reads the process's own.
pub type Env = BTreeMap<String, String>;

/// The process's environment, without variables that are not UTF-8.
pub fn process_env() -> Env {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// What a plugin was called with.
pub struct Invocation<'a> {
    /// Its environment.
    pub env: Env,
    /// Its standard input; read only when the command needs it (VERSION must not).
    pub stdin: &'a mut dyn Read,
}

/// What the process prints and exits with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// The result or the error object.
    pub stdout: String,
    /// Text for people.
    pub stderr: String,
    /// Exit status: 0 or 1 of a plugin; a command line's own may be another.
    pub code: i32,
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self {
            stdout: error.to_json(),
            stderr: String::new(),
            code: 1,
        }
    }
}

/// What is left of a call when standard output is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ended {
    /// Text for people.
    pub stderr: String,
    /// Exit status: 0 or 1.
    pub code: i32,
}

/// [`serve`] with a standard output in memory.
pub fn run(plugin: &dyn Plugin, registry: &[&dyn Plugin], invocation: Invocation<'_>) -> Outcome {
    let mut stdout = Vec::new();
    let Ended { stderr, code } = serve(plugin, registry, invocation, Some(&mut stdout));
    Outcome {
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr,
        code,
    }
}

/// The whole front end: environment, version gates, own-namespace check before the work, handler,
/// printing. Nothing but one document is printed: a success never follows or precedes an error.
///
/// `registry`: every plugin of this executable, for in-process delegation. `stdout`: `None` where
/// the process has none. A result that cannot be written takes the ADD back, and a panic ends as
/// an error like any other.
pub fn serve(
    plugin: &dyn Plugin,
    registry: &[&dyn Plugin],
    invocation: Invocation<'_>,
    stdout: Option<&mut dyn Write>,
) -> Ended {
    if invocation
        .env
        .get("CNI_COMMAND")
        .is_none_or(String::is_empty)
    {
        return Ended {
            stderr: about(plugin),
            code: 0,
        };
    }
    let mut stdout = Stdout(stdout);
    match unwinding(|| answer(plugin, registry, invocation, &mut stdout)) {
        Ok(()) => Ended::default(),
        Err(error) => Ended {
            stderr: tell(&error, &mut stdout),
            code: 1,
        },
    }
}

/// Prints an error; gives the text for people where nobody can read it otherwise.
fn tell(error: &Error, stdout: &mut Stdout<'_>) -> String {
    let undelivered = error.source.as_ref();
    let printed = match undelivered.is_some_and(|cause| cause.is::<Undelivered>()) {
        // Part of a result may be there already.
        true => None,
        false => stdout.print(&error.to_json()).ok(),
    };
    match printed {
        Some(()) => String::new(),
        None => format!("podwire: {error}\n"),
    }
}

/// What `work` gives; a panic in it is an error. What it did is taken back as it unwinds.
///
/// # Errors
/// Those of `work`; code 999 for a panic.
fn unwinding<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("without a message");
        let details = "a fault of podwire; standard error says where";
        Err(Error::msg(format!("the plugin panicked: {text}")).with_details(details))
    })
}

/// What a person sees who starts the plugin by hand.
fn about(plugin: &dyn Plugin) -> String {
    format!(
        "CNI {} plugin podwire {}\nCNI protocol versions supported: {}\n",
        plugin.name(),
        env!("CARGO_PKG_VERSION"),
        joined(plugin.versions(), ", ")
    )
}

/// A successful call, printed, or its error.
fn answer(
    plugin: &dyn Plugin,
    registry: &[&dyn Plugin],
    mut invocation: Invocation<'_>,
    stdout: &mut Stdout<'_>,
) -> Result<(), Error> {
    let mut command = Command::read(&invocation.env)?;
    if matches!(command, Command::Add(_) | Command::Version) {
        stdout.require()?;
    }
    if matches!(command, Command::Version) {
        return stdout.deliver(&version_answer(plugin));
    }
    let stdin = read_all(invocation.stdin)?;
    let document = Node::parse(&stdin).map_err(not_a_configuration)?;
    let network = network_name(&document)?;
    if let Command::Unknown(name) = &command {
        return Err(unknown_command(name));
    }
    let version = gate::admit(plugin.versions(), &command, &stated_version(&document)?)?;
    gate::keep_out_of_own_netns(&mut invocation.env, &mut command)?;
    let call = Call {
        network,
        version,
        stdin: &stdin,
        env: &invocation.env,
        registry,
    };
    handle(plugin, &call, &command, stdout)
}

fn handle(
    plugin: &dyn Plugin,
    call: &Call<'_>,
    command: &Command,
    stdout: &mut Stdout<'_>,
) -> Result<(), Error> {
    match command {
        Command::Add(attachment) => {
            let result = plugin.add(call, attachment)?;
            let deliver = || stdout.deliver(&result.print(call.version)?);
            take_back_unless(deliver, plugin, call, attachment)
        }
        Command::Del(attachment) => plugin.del(call, attachment),
        Command::Check(attachment) => plugin.check(call, attachment),
        Command::Gc => collect_garbage(plugin, call),
        Command::Status => plugin.status(call),
        Command::Version => stdout.deliver(&version_answer(plugin)),
        Command::Unknown(name) => Err(unknown_command(name)),
    }
}

/// GC, unless the configuration forbids it: a network that several runtimes share may say so,
/// because each of them knows its own attachments only.
pub(crate) fn collect_garbage(plugin: &dyn Plugin, call: &Call<'_>) -> Result<(), Error> {
    if call.is_gc_disabled()? {
        return Ok(());
    }
    plugin.gc(call, call.valid_attachments()?.as_deref())
}

fn unknown_command(name: &str) -> Error {
    let msg = format!("unknown CNI_COMMAND: {name}");
    Error::new(code::INVALID_ENVIRONMENT, msg)
}

/// ADD in-process, with exactly what a caller would read from an executed plugin.
pub(crate) fn add_as_caller(
    plugin: &dyn Plugin,
    call: &Call<'_>,
    attachment: &Attachment,
) -> Result<AddResult, Error> {
    let result = plugin.add(call, attachment)?;
    let convert = || result.seen_by_caller(call.version);
    take_back_unless(convert, plugin, call, attachment)
}

/// The version gates, for a call in-process.
pub(crate) fn admit(
    plugin: &dyn Plugin,
    command: &Command,
    version: SpecVersion,
) -> Result<(), Error> {
    gate::admit(plugin.versions(), command, version.as_str()).map(|_| ())
}

/// A result that the configuration's version cannot express, or that cannot be written, fails an
/// ADD that has done its work: the work is taken back, so that the caller's error means "nothing
/// is there".
fn take_back_unless<T>(
    deliver: impl FnOnce() -> Result<T, Error>,
    plugin: &dyn Plugin,
    call: &Call<'_>,
    attachment: &Attachment,
) -> Result<T, Error> {
    unwinding(deliver).map_err(
        |error| match unwinding(|| plugin.del(call, &attachment.into())) {
            Ok(()) => error,
            Err(undo) => {
                let details = format!("taking back what ADD did failed as well: {}", undo);
                error.with_details(details)
            }
        },
    )
}

/// The answer to VERSION: one line, always the newest version as `cniVersion`.
fn version_answer(plugin: &dyn Plugin) -> String {
    let versions = plugin
        .versions()
        .iter()
        .map(|version| Node::from(version.as_str()))
        .collect();
    let document = Node::Object(vec![
        (
            "cniVersion".to_owned(),
            Node::from(SpecVersion::LATEST.as_str()),
        ),
        ("supportedVersions".to_owned(), Node::Array(versions)),
    ]);
    json::print::compact(&document) + "\n"
}

fn read_all(stdin: &mut dyn Read) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(1024);
    match stdin.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(cause) => {
            let msg = format!("error reading from stdin: {cause}");
            Err(Error {
                source: Some(Box::new(cause)),
                ..Error::new(code::IO_FAILURE, msg)
            })
        }
    }
}

/// `name` of the configuration, which must be a JSON object.
fn network_name(document: &Node) -> Result<NetworkName, Error> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Name {
        name: String,
    }
    json::from_node::<Name>(document)
        .map_err(not_a_configuration)?
        .name
        .parse()
}

/// `cniVersion` of the configuration as it stands there; 0.1.0 had none yet.
fn stated_version(document: &Node) -> Result<String, Error> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Version {
        #[serde(rename = "cniVersion")]
        version: String,
    }
    let Version { version } = json::from_node(document)
        .map_err(|cause| undecodable("decoding version from network config", &cause))?;
    Ok(if version.is_empty() {
        SpecVersion::V0_1_0.to_string()
    } else {
        version
    })
}

fn not_a_configuration(cause: JsonError) -> Error {
    undecodable("error unmarshall network config", &cause)
}

fn undecodable(context: &str, cause: &JsonError) -> Error {
    Error::new(code::DECODING_FAILURE, format!("{context}: {cause}"))
}

#[cfg(test)]
mod tests;

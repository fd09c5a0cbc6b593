//! The plugin edge as values that tests can fill: what a plugin is called with, what the process
//! prints and exits with, and the front end between them.

mod environment;
mod gate;

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;

pub(crate) use environment::Command;

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

impl Outcome {
    fn success(stdout: String) -> Self {
        Self {
            stdout,
            ..Self::default()
        }
    }
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

/// The whole front end: environment, version gates, own-namespace check before the work, handler,
/// printing. Nothing but the outcome is printed: a success never follows or precedes an error.
/// `registry`: every plugin of this executable, for in-process delegation.
pub fn run(plugin: &dyn Plugin, registry: &[&dyn Plugin], invocation: Invocation<'_>) -> Outcome {
    if invocation
        .env
        .get("CNI_COMMAND")
        .is_none_or(String::is_empty)
    {
        return Outcome {
            stderr: about(plugin),
            ..Outcome::default()
        };
    }
    match answer(plugin, registry, invocation) {
        Ok(stdout) => Outcome::success(stdout),
        Err(error) => error.into(),
    }
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

/// Standard output of a successful call, or its error.
fn answer(
    plugin: &dyn Plugin,
    registry: &[&dyn Plugin],
    mut invocation: Invocation<'_>,
) -> Result<String, Error> {
    let mut command = Command::read(&invocation.env)?;
    if matches!(command, Command::Version) {
        return Ok(version_answer(plugin));
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
    handle(plugin, &call, &command)
}

fn handle(plugin: &dyn Plugin, call: &Call<'_>, command: &Command) -> Result<String, Error> {
    let silent = |()| String::new();
    match command {
        Command::Add(attachment) => {
            let result = plugin.add(call, attachment)?;
            take_back_unless(result.print(call.version), plugin, call, attachment)
        }
        Command::Del(attachment) => plugin.del(call, attachment).map(silent),
        Command::Check(attachment) => plugin.check(call, attachment).map(silent),
        Command::Gc => collect_garbage(plugin, call).map(silent),
        Command::Status => plugin.status(call).map(silent),
        Command::Version => Ok(version_answer(plugin)),
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
    take_back_unless(
        result.seen_by_caller(call.version),
        plugin,
        call,
        attachment,
    )
}

/// The version gates, for a call in-process.
pub(crate) fn admit(
    plugin: &dyn Plugin,
    command: &Command,
    version: SpecVersion,
) -> Result<(), Error> {
    gate::admit(plugin.versions(), command, version.as_str()).map(|_| ())
}

/// A result that the configuration's version cannot express fails an ADD that has done its work:
/// the work is taken back, so that the caller's error means "nothing is there".
fn take_back_unless<T>(
    converted: Result<T, Error>,
    plugin: &dyn Plugin,
    call: &Call<'_>,
    attachment: &Attachment,
) -> Result<T, Error> {
    converted.map_err(|error| match plugin.del(call, attachment) {
        Ok(()) => error,
        Err(undo) => {
            let details = format!("taking back what ADD did failed as well: {}", undo);
            error.with_details(details)
        }
    })
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

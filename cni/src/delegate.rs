//! Running another plugin, in-process where the executable is our own build. A caller cannot tell
//! the two apart but by their cost: the same version gates, the same result, the same errors.

mod build_id;
mod lookup;
mod role;

use std::path::PathBuf;

pub use build_id::is_own_build;
pub(crate) use lookup::find;

use crate::invocation::{self, Command, Env};
use crate::json::Node;
use crate::{AddResult, Attachment, Call, Detachment, Error, Plugin, Role, exec};

/// The plugin behind a name.
#[derive(Clone)]
pub enum Delegate<'a> {
    /// One of this executable's own.
    InProcess(&'a dyn Plugin),
    /// A file to execute.
    Executable(PathBuf),
}

/// The plugin that `path` resolves `plugin_type` to, unless it is known to have another role.
pub(crate) fn resolve<'a>(
    plugin_type: &str,
    wanted: Role,
    path: &[PathBuf],
    registry: &'a [&'a dyn Plugin],
) -> Result<Delegate<'a>, Error> {
    role::require(plugin_type, wanted, registry)?;
    let file = find(plugin_type, path)?;
    match registry.iter().find(|plugin| plugin.name() == plugin_type) {
        Some(plugin) if build_id::is_own_build(&file) => Ok(Delegate::InProcess(*plugin)),
        _ => Ok(Delegate::Executable(file)),
    }
}

impl Delegate<'_> {
    /// The delegate's ADD.
    ///
    /// # Errors
    /// The delegate's own error, unchanged; code 999 for output that is no result.
    pub fn add(&self, call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, Error> {
        let command = Command::Add(attachment.clone());
        match self {
            Self::InProcess(plugin) => {
                invocation::admit(*plugin, &command, call.version)?;
                invocation::add_as_caller(*plugin, call, attachment)
            }
            Self::Executable(file) => {
                let stdout = exec::run(file, &environment(call, &command), call.stdin)?;
                let not_a_result = |cause: Error| {
                    cause.context(format!("plugin {} printed no valid result", file.display()))
                };
                let node = Node::parse(&stdout)
                    .map_err(Error::from)
                    .map_err(not_a_result)?;
                AddResult::parse_any(&node, call.version).map_err(not_a_result)
            }
        }
    }

    /// The delegate's DEL.
    ///
    /// # Errors
    /// The delegate's own error, unchanged.
    pub fn del(&self, call: &Call<'_>, attachment: &Detachment) -> Result<(), Error> {
        self.run(call, &Command::Del(attachment.clone()), |plugin| {
            plugin.del(call, attachment)
        })
    }

    /// The delegate's CHECK.
    ///
    /// # Errors
    /// The delegate's own error, unchanged.
    pub fn check(&self, call: &Call<'_>, attachment: &Attachment) -> Result<(), Error> {
        self.run(call, &Command::Check(attachment.clone()), |plugin| {
            plugin.check(call, attachment)
        })
    }

    /// The delegate's GC, with the list of valid attachments of the configuration, unless that
    /// says `disableGC`.
    ///
    /// # Errors
    /// The delegate's own error, unchanged.
    pub fn gc(&self, call: &Call<'_>) -> Result<(), Error> {
        if call.is_gc_disabled()? {
            return Ok(());
        }
        self.run(call, &Command::Gc, |plugin| {
            invocation::collect_garbage(plugin, call)
        })
    }

    /// The delegate's STATUS.
    ///
    /// # Errors
    /// The delegate's own error, unchanged.
    pub fn status(&self, call: &Call<'_>) -> Result<(), Error> {
        self.run(call, &Command::Status, |plugin| plugin.status(call))
    }

    fn run(
        &self,
        call: &Call<'_>,
        command: &Command,
        in_process: impl FnOnce(&dyn Plugin) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self {
            Self::InProcess(plugin) => {
                invocation::admit(*plugin, command, call.version)?;
                in_process(*plugin)
            }
            Self::Executable(file) => {
                exec::run(file, &environment(call, command), call.stdin).map(|_| ())
            }
        }
    }
}

/// The call's environment for another command. A caller may have changed the attachment too.
fn environment(call: &Call<'_>, command: &Command) -> Env {
    let mut env = call.env.clone();
    let mut set = |key: &str, value: &str| env.insert(key.to_owned(), value.to_owned());
    set("CNI_COMMAND", command.name());
    match command {
        Command::Add(attachment) | Command::Check(attachment) => {
            set_attachment(set, attachment, &attachment.netns);
        }
        // Empty as libcni has it where there is none; never what the caller was called with.
        Command::Del(attachment) => {
            let netns = attachment.netns.as_deref().unwrap_or_default();
            set_attachment(set, attachment, netns);
        }
        _ => {}
    }
    env
}

fn set_attachment<N>(
    mut set: impl FnMut(&str, &str) -> Option<String>,
    attachment: &Attachment<N>,
    netns: &str,
) {
    set("CNI_CONTAINERID", attachment.container_id.as_str());
    set("CNI_IFNAME", attachment.ifname.as_str());
    set("CNI_NETNS", netns);
}

#[cfg(test)]
mod tests;

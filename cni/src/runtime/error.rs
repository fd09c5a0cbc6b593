//! Why an operation on a chain failed.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::ConfigError;
use crate::error::one_line;

/// Why an operation on a chain failed. The cause is in `source()`, not in the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A container ID, network name or interface name is invalid, or STATUS said no; the error
    /// keeps its code.
    #[error(transparent)]
    Protocol(#[from] crate::Error),
    /// A plugin of the chain failed or could not be found.
    #[error("plugin {plugin} failed ({operation})")]
    Plugin {
        /// Which one.
        plugin: Box<PluginName>,
        /// `add`, `check`, `delete`, `gc`, `version`.
        operation: &'static str,
        /// What it said.
        source: crate::Error,
    },
    /// A plugin does not know the configuration's version.
    #[error("plugin {plugin} does not support config version \"{version}\"")]
    Unsupported {
        /// Which one.
        plugin: String,
        /// The configuration's version.
        version: String,
    },
    /// CHECK exists from 0.4.0 on.
    #[error("configuration version \"{version}\" does not support the CHECK command")]
    CheckUnsupported {
        /// The configuration's version.
        version: String,
    },
    /// A file of the result cache could not be read or written.
    #[error("{operation} cached result {}", path.display())]
    Cache {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file of the result cache holds no result.
    #[error("cached result {} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: crate::Error,
    },
    /// ADD failed, and so did taking back what it had done: something may be left.
    #[error("add failed, and so did undoing it ({})", texts(undo))]
    UndoFailed {
        /// The first failure.
        #[source]
        add: Box<Error>,
        /// What could not be undone.
        undo: Vec<Error>,
    },
    /// Several steps failed that do not depend on each other.
    #[error("{}", texts(.0))]
    Several(Vec<Error>),
}

impl Error {
    /// Success when there is no error, one error as it is, several together.
    pub(super) fn all(mut errors: Vec<Error>) -> Result<(), Error> {
        match (errors.pop(), errors.is_empty()) {
            (None, _) => Ok(()),
            (Some(only), true) => Err(only),
            (Some(last), false) => {
                errors.push(last);
                Err(Error::Several(errors))
            }
        }
    }
}

/// Each error with its causes, for errors that have no place among the causes themselves.
fn texts(errors: &[Error]) -> String {
    let texts: Vec<String> = errors.iter().map(|error| one_line(error)).collect();
    texts.join("; ")
}

/// A plugin of a chain as errors name it: its type, and its own `name` where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginName {
    /// `type` of the plugin object.
    pub plugin_type: String,
    /// `name` of the plugin object; list entries normally have none.
    pub name: Option<String>,
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "type=\"{}\"", self.plugin_type)?;
        match &self.name {
            Some(name) => write!(f, " name=\"{name}\""),
            None => Ok(()),
        }
    }
}

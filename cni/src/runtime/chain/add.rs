//! ADD of a chain, all or nothing.

use std::path::{Path, PathBuf};

use super::{Chain, failed};
use crate::json::Node;
use crate::runtime::request::attachment_env;
use crate::runtime::{Error, PluginConfig, RuntimeConf, cache};
use crate::{AddResult, SpecVersion};

impl Chain {
    /// Attaches: the plugins in order, each with the result of the one before; the last result is
    /// cached. When one fails, or the result cannot be kept, DEL runs for it and those before, in
    /// reverse order.
    ///
    /// # Errors
    /// The failing plugin's error; [`Error::UndoFailed`] when undoing failed as well.
    pub fn add(&self, conf: &RuntimeConf) -> Result<AddResult, Error> {
        self.check_names(conf)?;
        let plugins = self.found(conf, "add")?;
        let mut result = None;
        for (index, (plugin, file)) in plugins.iter().enumerate() {
            match self.add_one(plugin, file, result.as_ref(), conf) {
                Ok(next) => result = Some(next),
                Err(error) => {
                    return Err(self.undo(&plugins[..=index], result.as_ref(), conf, error));
                }
            }
        }
        let result = result.unwrap_or_default();
        match self
            .node(&result)
            .and_then(|node| cache::write(&self.network, conf, node))
        {
            Ok(()) => Ok(result),
            Err(error) => Err(self.undo(&plugins, Some(&result), conf, error)),
        }
    }

    fn add_one(
        &self,
        plugin: &PluginConfig,
        file: &Path,
        prev: Option<&AddResult>,
        conf: &RuntimeConf,
    ) -> Result<AddResult, Error> {
        let prev = prev.map(|result| self.node(result)).transpose()?;
        let request = self.request(plugin, prev.as_ref(), &conf.capability_args);
        let failed = failed(plugin, "add");
        let stdout = self
            .runner
            .run(file, &attachment_env("ADD", conf), &request)
            .map_err(&failed)?;
        let node = Node::parse(&stdout).map_err(|e| failed(e.into()))?;
        let version = self.network.version.parse().unwrap_or(SpecVersion::LATEST);
        AddResult::parse_any(&node, version).map_err(failed)
    }

    /// Takes back a failed ADD. A plugin that refuses DEL with the very error with which it
    /// refused ADD was never at work.
    fn undo(
        &self,
        plugins: &[(&PluginConfig, PathBuf)],
        result: Option<&AddResult>,
        conf: &RuntimeConf,
        add: Error,
    ) -> Error {
        let prev = result
            .filter(|_| self.has_prev_result_on_del())
            .map(|result| self.node(result));
        let prev = prev.and_then(Result::ok);
        let undo: Vec<Error> = plugins
            .iter()
            .rev()
            .filter_map(|(plugin, file)| self.del_one(plugin, file, prev.as_ref(), conf).err())
            .filter(|undo| !same_refusal(&add, undo))
            .collect();
        if undo.is_empty() {
            add
        } else {
            Error::UndoFailed {
                add: Box::new(add),
                undo,
            }
        }
    }
}

fn same_refusal(add: &Error, del: &Error) -> bool {
    match (add, del) {
        (
            Error::Plugin {
                plugin: a,
                source: e,
                ..
            },
            Error::Plugin {
                plugin: b,
                source: f,
                ..
            },
        ) => (a, e.code, &e.msg, &e.details) == (b, f.code, &f.msg, &f.details),
        _ => false,
    }
}

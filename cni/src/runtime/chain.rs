//! The operations on a network: each plugin of the chain in its order.

mod add;
mod gc;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::request::{Request, attachment_env, network_env};
use super::{Error, Exec, NetworkConfig, PluginConfig, Runner, RuntimeConf, cache, versions};
use crate::invocation::Env;
use crate::json::Node;
use crate::version::Dotted;
use crate::{AddResult, ContainerId, IfName, NetworkName, SpecVersion, delegate};

/// A network and the means to run its plugins.
pub struct Chain {
    network: NetworkConfig,
    runner: Box<dyn Runner + Send + Sync>,
}

impl Chain {
    /// A chain whose plugins are executed with this process's environment, in the namespaces of
    /// the calling thread.
    pub fn new(network: NetworkConfig) -> Self {
        Self::with_runner(network, Box::new(Exec::default()))
    }

    /// A chain whose plugins are run by `runner`.
    pub fn with_runner(network: NetworkConfig, runner: Box<dyn Runner + Send + Sync>) -> Self {
        Self { network, runner }
    }

    /// The network.
    pub fn network(&self) -> &NetworkConfig {
        &self.network
    }

    /// Finds out whether an attachment is as ADD left it: the plugins in order, with the cached
    /// result.
    ///
    /// # Errors
    /// The first failure; a version before 0.4.0; a damaged cache file.
    pub fn check(&self, conf: &RuntimeConf) -> Result<(), Error> {
        if !self.is_at_least(SpecVersion::V0_4_0)? {
            return Err(Error::CheckUnsupported {
                version: self.network.version.clone(),
            });
        }
        if self.network.disable_check {
            return Ok(());
        }
        let prev = cache::read(&self.network, conf)?;
        let prev = prev.map(|result| self.node(&result)).transpose()?;
        for (plugin, file) in self.found(conf, "check")? {
            let request = self.request(plugin, prev.as_ref(), &conf.capability_args);
            self.runner
                .run(&file, &attachment_env("CHECK", conf), &request)
                .map_err(failed(plugin, "check"))?;
        }
        Ok(())
    }

    /// Detaches: the plugins in reverse order, from 0.4.0 on with the cached result (a damaged one
    /// is done without). Forgets the attachment when all have succeeded.
    ///
    /// # Errors
    /// The first failure; the plugins before it in the chain have not run, and the cached result
    /// is kept for the next try.
    pub fn del(&self, conf: &RuntimeConf) -> Result<(), Error> {
        self.check_names(conf)?;
        let prev = self.cached_for_del(conf)?;
        for plugin in self.network.plugins.iter().rev() {
            let file = find(plugin, conf, "delete")?;
            self.del_one(plugin, &file, prev.as_ref(), conf)?;
        }
        cache::remove(&self.network, conf)
    }

    fn cached_for_del(&self, conf: &RuntimeConf) -> Result<Option<Node>, Error> {
        if !self.is_at_least(SpecVersion::V0_4_0)? {
            return Ok(None);
        }
        let cached = cache::read(&self.network, conf);
        Ok(cached
            .ok()
            .flatten()
            .and_then(|result| self.node(&result).ok()))
    }

    fn del_one(
        &self,
        plugin: &PluginConfig,
        file: &Path,
        prev: Option<&Node>,
        conf: &RuntimeConf,
    ) -> Result<(), Error> {
        let request = self.request(plugin, prev, &conf.capability_args);
        self.runner
            .run(file, &attachment_env("DEL", conf), &request)
            .map(|_| ())
            .map_err(failed(plugin, "delete"))
    }

    /// Asks every plugin whether it can service ADD; a network before 1.1.0 cannot be asked and is
    /// taken for ready. `conf` gives the paths only.
    ///
    /// # Errors
    /// The first plugin's own error, so that its code is seen.
    pub fn status(&self, conf: &RuntimeConf) -> Result<(), Error> {
        if !self.is_at_least(SpecVersion::V1_1_0)? {
            return Ok(());
        }
        for plugin in &self.network.plugins {
            let file = delegate::find(&plugin.plugin.plugin_type, &conf.cni_path)?;
            let request = Request::new(&self.network, plugin).into_bytes();
            self.runner
                .run(&file, &network_env("STATUS", conf), &request)?;
        }
        Ok(())
    }

    /// Finds out whether the network can be used: every plugin is there and supports the
    /// network's version. Returns the capabilities that any plugin takes.
    ///
    /// # Errors
    /// Every plugin that is not there or too old.
    pub fn validate(&self, conf: &RuntimeConf) -> Result<BTreeSet<String>, Error> {
        let errors = self
            .network
            .plugins
            .iter()
            .filter_map(|p| self.validate_one(p, conf).err());
        Error::all(errors.collect())?;
        let capabilities = self
            .network
            .plugins
            .iter()
            .flat_map(|plugin| &plugin.capabilities);
        Ok(capabilities
            .filter(|(_, taken)| **taken)
            .map(|(name, _)| name.clone())
            .collect())
    }

    /// Every plugin's type and the versions of the specification that it says it supports, in the
    /// order of ADD.
    ///
    /// # Errors
    /// The first plugin that is not there, or does not say.
    pub fn versions(&self, conf: &RuntimeConf) -> Result<Vec<(String, Vec<String>)>, Error> {
        let plugins = self.network.plugins.iter();
        plugins
            .map(|plugin| {
                let supported = self.supported(plugin, conf)?;
                Ok((plugin.plugin.plugin_type.clone(), supported))
            })
            .collect()
    }

    fn supported(&self, plugin: &PluginConfig, conf: &RuntimeConf) -> Result<Vec<String>, Error> {
        let file = find(plugin, conf, "version")?;
        versions::supported(&*self.runner, &file).map_err(failed(plugin, "version"))
    }

    fn validate_one(&self, plugin: &PluginConfig, conf: &RuntimeConf) -> Result<(), Error> {
        let supported = self.supported(plugin, conf)?;
        let wanted = match self.network.version.as_str() {
            "" => SpecVersion::V0_1_0.as_str(),
            version => version,
        };
        if supported.iter().any(|version| version == wanted) {
            return Ok(());
        }
        Err(Error::Unsupported {
            plugin: plugin.plugin.plugin_type.clone(),
            version: wanted.to_owned(),
        })
    }

    fn run_one(
        &self,
        plugin: &PluginConfig,
        conf: &RuntimeConf,
        env: &Env,
        request: Request,
        operation: &'static str,
    ) -> Result<Vec<u8>, Error> {
        let file = find(plugin, conf, operation)?;
        self.runner
            .run(&file, env, &request.into_bytes())
            .map_err(failed(plugin, operation))
    }

    fn request(
        &self,
        plugin: &PluginConfig,
        prev: Option<&Node>,
        capability_args: &BTreeMap<String, Value>,
    ) -> Vec<u8> {
        Request::new(&self.network, plugin)
            .with_prev_result(prev)
            .with_capabilities(plugin, capability_args)
            .into_bytes()
    }

    /// Every plugin with its file, so that a missing one is known before any work is done.
    fn found(
        &self,
        conf: &RuntimeConf,
        operation: &'static str,
    ) -> Result<Vec<(&PluginConfig, PathBuf)>, Error> {
        let plugins = self.network.plugins.iter();
        plugins
            .map(|plugin| Ok((plugin, find(plugin, conf, operation)?)))
            .collect()
    }

    fn check_names(&self, conf: &RuntimeConf) -> Result<(), Error> {
        conf.container_id.parse::<ContainerId>()?;
        self.network.name.parse::<NetworkName>()?;
        conf.ifname.parse::<IfName>()?;
        Ok(())
    }

    /// The result in the network's version.
    fn node(&self, result: &AddResult) -> Result<Node, Error> {
        Ok(result.to_node(self.network.version.parse()?)?)
    }

    fn has_prev_result_on_del(&self) -> bool {
        self.is_at_least(SpecVersion::V0_4_0).unwrap_or(false)
    }

    fn is_at_least(&self, version: SpecVersion) -> Result<bool, Error> {
        if self.network.version.is_empty() {
            return Ok(version == SpecVersion::V0_1_0);
        }
        Ok(self.network.version.parse::<Dotted>()? >= version.into())
    }
}

fn find(
    plugin: &PluginConfig,
    conf: &RuntimeConf,
    operation: &'static str,
) -> Result<PathBuf, Error> {
    delegate::find(&plugin.plugin.plugin_type, &conf.cni_path).map_err(failed(plugin, operation))
}

fn failed(plugin: &PluginConfig, operation: &'static str) -> impl Fn(crate::Error) -> Error {
    move |source| Error::Plugin {
        plugin: Box::new(plugin.plugin.clone()),
        operation,
        source,
    }
}

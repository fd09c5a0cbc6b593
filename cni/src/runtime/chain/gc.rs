//! GC of a network: stale attachments, then whatever plugins find themselves.

use std::collections::BTreeSet;

use super::Chain;
use crate::runtime::request::{Request, network_env};
use crate::runtime::{Error, RuntimeConf, cached_attachments};
use crate::{SpecVersion, ValidAttachment};

impl Chain {
    /// Removes what no valid attachment needs: DEL for every cached attachment of the network that
    /// is not in `valid`, then, from 1.1.0 on, GC for every plugin. Without a list every cached
    /// attachment goes, and the plugins are not told one. `conf` gives the paths only.
    ///
    /// # Errors
    /// Every failure; all is tried.
    pub fn gc(&self, conf: &RuntimeConf, valid: Option<&[ValidAttachment]>) -> Result<(), Error> {
        if self.network.disable_gc {
            return Ok(());
        }
        let mut errors = Vec::new();
        for stale in self.stale(conf, valid)? {
            errors.extend(self.del(&stale).err());
        }
        if self.is_at_least(SpecVersion::V1_1_0)? {
            for plugin in &self.network.plugins {
                let request = Request::new(&self.network, plugin).with_valid_attachments(valid);
                let env = network_env("GC", conf);
                errors.extend(self.run_one(plugin, conf, &env, request, "gc").err());
            }
        }
        Error::all(errors)
    }

    /// The cached attachments of this network that are not valid.
    fn stale(
        &self,
        conf: &RuntimeConf,
        valid: Option<&[ValidAttachment]>,
    ) -> Result<Vec<RuntimeConf>, Error> {
        let valid: BTreeSet<(&str, &str)> = valid
            .unwrap_or_default()
            .iter()
            .map(|attachment| (attachment.container_id.as_str(), attachment.ifname.as_str()))
            .collect();
        let cached = cached_attachments(&conf.cache_dir)?;
        let stale = cached.into_iter().filter(|attachment| {
            attachment.network == self.network.name
                && !valid.contains(&(attachment.container_id.as_str(), attachment.ifname.as_str()))
        });
        Ok(stale
            .map(|attachment| RuntimeConf {
                container_id: attachment.container_id,
                netns: attachment.netns,
                ifname: attachment.ifname,
                args: attachment.args,
                capability_args: attachment.capability_args,
                cni_path: conf.cni_path.clone(),
                cache_dir: conf.cache_dir.clone(),
            })
            .collect())
    }
}

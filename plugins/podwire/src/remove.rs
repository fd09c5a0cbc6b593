//! Removing what is left of attachments: DEL of the network's plugins for each.

use std::{fmt, path::PathBuf};

use attach::owner::Owner;
use cni::{
    ContainerId, IfName, NetworkName,
    error::one_line,
    runtime::{CachedAttachment, Chain, ConfigError, NetworkConfig, RuntimeConf},
};
use serde_json::{Value, json};

use crate::{
    node::{Attachment, Node, Places},
    runtime::{conf_of, without_namespace},
};

/// Old reservations do not say which interface they are for; host-local's DEL takes any then.
const USUAL_INTERFACE: &str = "eth0";
/// Chained plugins that remove by the attachment's name what they made.
const BY_NAME: [&str; 4] = ["bandwidth", "firewall", "portmap", "tuning"];
/// What stands in for the end of a part of an alias that is too long for it.
const SHORTENED: char = '~';

/// The means to remove.
pub(crate) struct Removal<'a> {
    /// What there is.
    pub(crate) node: &'a Node,
    /// Where it is.
    pub(crate) places: &'a Places,
    /// Where plugins are.
    pub(crate) bin_dirs: Vec<PathBuf>,
}

/// What became of an attachment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    /// Nothing of it is left.
    Yes,
    /// Its network says that nothing collects its garbage.
    DisableGc,
    /// Only a short form of its container's or network's name is known.
    Shortened,
    /// No plugin can be told its name, or nobody knows it: these files hold its addresses.
    Nameless(Vec<PathBuf>),
    /// Plugins failed.
    Failed(String),
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.write_str("yes"),
            Self::DisableGc => f.write_str("no: the network's configuration says disableGC"),
            Self::Shortened => f.write_str("no: the whole of its name is not known"),
            Self::Nameless(files) => {
                let files = files.iter().map(|file| file.display().to_string());
                let files: Vec<String> = files.collect();
                f.write_str("no: no plugin can be told whose it is")?;
                match files.is_empty() {
                    true => Ok(()),
                    false => write!(f, "; remove {} by hand", files.join(" and ")),
                }
            }
            Self::Failed(why) => write!(f, "no: {why}"),
        }
    }
}

/// Whether a runtime could have attached it.
fn is_name(owner: &Owner) -> bool {
    let Owner {
        network,
        container_id,
        ifname,
    } = owner;
    network.parse::<NetworkName>().is_ok()
        && container_id.parse::<ContainerId>().is_ok()
        && (ifname.is_empty() || ifname.parse::<IfName>().is_ok())
}

impl Removal<'_> {
    /// Removes one attachment; where a runtime has cached it, with the configuration, the arguments
    /// and the result of its ADD.
    pub(crate) fn remove(&self, owner: &Owner, attachment: &Attachment) -> Removed {
        let is_shortened = |text: &str| text.contains(SHORTENED);
        if is_shortened(&owner.network) || is_shortened(&owner.container_id) {
            return Removed::Shortened;
        }
        if !is_name(owner) {
            return Removed::Nameless(attachment.reservations.clone());
        }
        let calls = match attachment.cached.is_empty() {
            true => self.by_name(owner),
            false => attachment
                .cached
                .iter()
                .map(|one| self.by_result(one))
                .collect(),
        };
        for call in calls {
            match call {
                Ok((network, _)) if self.disables_gc(&network) => return Removed::DisableGc,
                Ok((network, conf)) => {
                    if let Err(error) = Chain::new(network).del(&conf) {
                        return Removed::Failed(one_line(&error));
                    }
                }
                Err(error) => return Removed::Failed(one_line(&error)),
            }
        }
        Removed::Yes
    }

    /// By what it was made with, or by what is configured today.
    fn disables_gc(&self, network: &NetworkConfig) -> bool {
        let mut today = self.node.networks.iter();
        network.disable_gc || today.any(|one| one.name == network.name && one.disable_gc)
    }

    fn by_result(
        &self,
        cached: &CachedAttachment,
    ) -> Result<(NetworkConfig, RuntimeConf), ConfigError> {
        let conf = conf_of(cached, &self.bin_dirs);
        Ok((NetworkConfig::parse(&cached.config)?, conf))
    }

    /// By today's configuration, and before it whatever else podwire's chained plugins may have made: the
    /// configuration may have had them when the pod was attached.
    fn by_name(&self, owner: &Owner) -> Vec<Result<(NetworkConfig, RuntimeConf), ConfigError>> {
        let ifname = match owner.ifname.as_str() {
            "" => USUAL_INTERFACE,
            ifname => ifname,
        };
        let conf = RuntimeConf {
            container_id: owner.container_id.clone(),
            ifname: ifname.to_owned(),
            ..without_namespace(&self.bin_dirs)
        };
        let networks = self.chained(&owner.network).into_iter();
        let networks = networks.chain([self.network(&owner.network)]);
        networks
            .map(|network| Ok((network?, conf.clone())))
            .collect()
    }

    fn configured(&self, name: &str) -> Option<&NetworkConfig> {
        let mut networks = self.node.networks.iter();
        networks.find(|network| network.name == name)
    }

    /// The chained plugins that are there and not configured; `None`: there is none.
    fn chained(&self, name: &str) -> Option<Result<NetworkConfig, ConfigError>> {
        let configured = self.configured(name).map(|network| &network.plugins);
        let is_missing = |name: &&str| {
            let mut known = configured.into_iter().flatten();
            known.all(|known| known.plugin.plugin_type != **name)
        };
        let is_there = |name: &&str| self.bin_dirs.iter().any(|dir| dir.join(name).is_file());
        let plugins = BY_NAME.into_iter().filter(is_missing).filter(is_there);
        let plugins: Vec<_> = plugins.map(|name| json!({ "type": name })).collect();
        (!plugins.is_empty()).then(|| list(name, &plugins))
    }

    /// The network's configuration. Of one that is not configured any more, the plugin that removes by
    /// name whatever podwire's interface plugins make.
    fn network(&self, name: &str) -> Result<NetworkConfig, ConfigError> {
        if let Some(network) = self.configured(name) {
            return Ok(network.clone());
        }
        let mut data_dirs = self.places.data_dirs.iter();
        let data_dir = data_dirs.find(|dir| dir.join(name).is_dir());
        let mut ipam = json!({ "type": "host-local" });
        if let Some(dir) = data_dir {
            ipam["dataDir"] = json!(dir);
        }
        let plugin = json!({ "type": "bridge", "ipMasq": true, "macspoofchk": true, "ipam": ipam });
        list(name, &[plugin])
    }
}

fn list(name: &str, plugins: &[Value]) -> Result<NetworkConfig, ConfigError> {
    let list = json!({ "cniVersion": "1.0.0", "name": name, "plugins": plugins });
    NetworkConfig::parse(list.to_string().as_bytes())
}

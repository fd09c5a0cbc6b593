//! The runtime's side of the protocol, as libcni does it: network configurations from a
//! directory, chains of plugins, cached results, GC and STATUS. One thing is done better: a chain
//! that fails in the middle of ADD is undone.
//!
//! ```no_run
//! use cni::runtime::{Chain, NetworkConfig, RuntimeConf};
//! let network = NetworkConfig::load("/etc/cni/net.d".as_ref(), "podnet")?;
//! let chain = Chain::new(network);
//! let conf = RuntimeConf {
//!     container_id: "web".to_owned(),
//!     netns: "/run/netns/web".to_owned(),
//!     ..RuntimeConf::default()
//! };
//! let result = chain.add(&conf)?;
//! println!("{}", result.ips[0].address);
//! chain.del(&conf)?;
//! # Ok::<(), cni::runtime::Error>(())
//! ```
//!
//! Everything blocks. Plugins run in the calling thread's namespaces.

mod cache;
mod chain;
mod conflist;
mod error;
mod request;
mod versions;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub use cache::{CachedAttachment, cached_attachments};
pub use chain::Chain;
pub use conflist::{ConfigError, NetworkConfig, PluginConfig};
pub use error::{Error, PluginName};

use crate::exec;
use crate::invocation::{Env, process_env};

/// What a runtime knows of one attachment, and where things lie.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeConf {
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_NETNS`: path of the container's network namespace. Empty when it is gone (DEL).
    pub netns: String,
    /// `CNI_IFNAME`.
    pub ifname: String,
    /// `CNI_ARGS`, in this order.
    pub args: Vec<(String, String)>,
    /// Values by capability, such as `portMappings`; a plugin gets those that it says it takes.
    pub capability_args: BTreeMap<String, Value>,
    /// `CNI_PATH`: where plugins are looked for.
    pub cni_path: Vec<PathBuf>,
    /// Directory that holds `results/`.
    pub cache_dir: PathBuf,
}

impl Default for RuntimeConf {
    /// No container; interface `eth0`, plugins in `/opt/cni/bin`, cache in `/var/lib/cni`.
    fn default() -> Self {
        Self {
            container_id: String::new(),
            netns: String::new(),
            ifname: "eth0".to_owned(),
            args: Vec::new(),
            capability_args: BTreeMap::new(),
            cni_path: vec![PathBuf::from("/opt/cni/bin")],
            cache_dir: PathBuf::from("/var/lib/cni"),
        }
    }
}

/// Runs one plugin.
pub trait Runner {
    /// Runs the file `plugin` with the variables `env` (those of the protocol only) and `stdin`,
    /// and returns what it printed.
    ///
    /// # Errors
    /// The plugin's error object, or one that says how it failed without one.
    fn run(&self, plugin: &Path, env: &Env, stdin: &[u8]) -> Result<Vec<u8>, crate::Error>;
}

/// Executes plugins with the protocol's variables added to an environment.
#[derive(Clone, Debug)]
pub struct Exec {
    /// What every plugin inherits.
    pub env: Env,
}

impl Default for Exec {
    /// Plugins inherit this process's environment.
    fn default() -> Self {
        Self { env: process_env() }
    }
}

impl Runner for Exec {
    fn run(&self, plugin: &Path, env: &Env, stdin: &[u8]) -> Result<Vec<u8>, crate::Error> {
        let mut all = self.env.clone();
        all.extend(env.iter().map(|(key, value)| (key.clone(), value.clone())));
        exec::run(plugin, &all, stdin)
    }
}

#[cfg(test)]
mod tests;

//! What a lab is to be, as `lab up` is told it: by a file (`-f`, YAML or JSON), by flags, or by both. Both make a
//! [`ClusterFile`], which becomes a [`Lab`].

mod check;
mod flags;
mod plan;
mod values;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use manifest::Source;
use schemars::{JsonSchema, Schema};
use serde::Deserialize;

pub use values::{Delay, LeaseTtl, Loss, Nodes, ProbeInterval, Rate};

use crate::cli::UpArgs;
use crate::network::Driver;
use crate::program::Programs;
use crate::state::{Backend, Lab, Name, Store};

/// A cluster on one machine: nodes, the underlays that join them, and what netd is to do on each node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(title = "Cluster file of lab up -f")]
pub struct ClusterFile {
    /// The lab's name.
    #[schemars(extend("default" = "lab"))]
    pub name: Option<Name>,
    /// How many nodes, which are named n1, n2 and so on, or a list of them.
    #[schemars(extend("default" = 3))]
    pub nodes: Option<Nodes>,
    /// The networks that the nodes are on. Without any it is one, 192.168.50.0/24.
    pub underlays: Vec<UnderlayEntry>,
    /// What forwards packets between underlays.
    pub routers: Vec<RouterEntry>,
    /// How packets travel between nodes.
    #[schemars(extend("default" = "vxlan"))]
    pub backend: Option<Backend>,
    /// With vxlan: nodes on one underlay send each other packets without a tunnel.
    pub direct_routing: bool,
    /// Where the nodes' leases live.
    #[schemars(extend("default" = "dir"))]
    pub store: Option<Store>,
    /// How long a lease lives without its netd: 5s, 10m, 24h. netd's own default without it.
    #[serde(rename = "leaseTTL")]
    pub lease_ttl: Option<LeaseTtl>,
    /// From probe to probe that netds send each other over the overlay: 500ms, 5s. None without it.
    pub probe_interval: Option<ProbeInterval>,
    /// Where pods' addresses come from: of IPv4, of IPv6, or of both. Without it 10.244.0.0/16.
    pub pod_network: Option<PodNetworkEntry>,
    /// Networks that pods can ask for, beside those that every lab has.
    pub networks: Vec<NetworkEntry>,
    /// A CNI configuration list that attaches pods in the place of netd's own network. Its path is relative to this file.
    pub conflist: Option<PathBuf>,
    /// Directories of CNI plugins, taken before podwire's of the same names. Paths are relative to this file.
    pub plugin_dirs: Vec<PathBuf>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeEntry {
    /// Its name.
    pub name: Name,
    /// The underlay that it is on; needed where there are several.
    #[serde(default)]
    pub underlay: Option<Name>,
    /// For who looks for it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How long packets wait on its cable, in each direction.
    #[serde(default)]
    pub delay: Option<Delay>,
    /// How many of a hundred packets are lost on its cable, in each direction.
    #[serde(default)]
    pub loss: Option<Loss>,
    /// How many bits per second its cable carries, in each direction.
    #[serde(default)]
    pub rate: Option<Rate>,
}

/// A network that joins nodes, as a switch does.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnderlayEntry {
    /// Its name.
    pub name: Name,
    /// Its IPv4 subnet.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("examples" = ["192.168.10.0/24"]))]
    pub ipv4: Option<Ipv4Network>,
    /// Its IPv6 subnet.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("examples" = ["fd00:10::/64"]))]
    pub ipv6: Option<Ipv6Network>,
    /// The largest packet on it, in bytes.
    #[serde(default)]
    #[schemars(extend("default" = 1500))]
    pub mtu: Option<u16>,
    /// How long packets wait on each cable, in each direction.
    #[serde(default)]
    pub delay: Option<Delay>,
    /// How many of a hundred packets are lost on each cable, in each direction.
    #[serde(default)]
    pub loss: Option<Loss>,
    /// How many bits per second each cable carries, in each direction.
    #[serde(default)]
    pub rate: Option<Rate>,
}

/// What forwards packets between underlays.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouterEntry {
    /// Its name.
    pub name: Name,
    /// Which it joins: two or more.
    pub underlays: Vec<Name>,
}

/// Where pods' addresses come from, of which families.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PodNetworkEntry {
    /// Pods' IPv4 addresses.
    pub ipv4: Option<Ipv4Pods>,
    /// Pods' IPv6 addresses.
    pub ipv6: Option<Ipv6Pods>,
}

/// Pods' IPv4 addresses.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ipv4Pods {
    /// All of them.
    #[schemars(with = "String", extend("examples" = ["10.244.0.0/16"]))]
    pub network: Ipv4Network,
    /// The length of each node's subnet, in bits.
    #[serde(default)]
    #[schemars(extend("default" = 24))]
    pub subnet_len: Option<u8>,
}

/// Pods' IPv6 addresses.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ipv6Pods {
    /// All of them.
    #[schemars(with = "String", extend("examples" = ["fd00:244::/48"]))]
    pub network: Ipv6Network,
    /// The length of each node's subnet, in bits.
    #[serde(default)]
    #[schemars(extend("default" = 64))]
    pub subnet_len: Option<u8>,
}

/// A network that pods can ask for: by a driver, as `lab network create` makes one, or by a list, as `lab network add`
/// takes it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NetworkEntry {
    /// Its name; that of a list stands in the list.
    pub name: Option<String>,
    /// How pods on it reach each other.
    #[schemars(extend("default" = "bridge"))]
    pub driver: Option<Driver>,
    /// Its IPv4 subnet. A bridge without any subnet gets one that is free.
    #[schemars(with = "Option<String>", extend("examples" = ["10.77.0.0/24"]))]
    pub ipv4: Option<Ipv4Network>,
    /// Its IPv6 subnet.
    #[schemars(with = "Option<String>", extend("examples" = ["fd77::/64"]))]
    pub ipv6: Option<Ipv6Network>,
    /// A CNI configuration list with all its plugins in it, instead of all that. Its path is relative to this file.
    pub conflist: Option<PathBuf>,
}

impl NetworkEntry {
    /// IPv4's first.
    fn subnets(&self) -> Vec<IpNetwork> {
        let ipv4 = self.ipv4.map(IpNetwork::V4);
        let ipv6 = self.ipv6.map(IpNetwork::V6);
        ipv4.into_iter().chain(ipv6).collect()
    }
}

impl ClusterFile {
    /// What a command line asks for, with the file that it names.
    ///
    /// # Errors
    /// The file cannot be read, or is not obeyed: all that is wrong with it, with its places. A flag says
    /// something else than the file.
    pub fn asked(args: &UpArgs, lab: Option<&Name>) -> Result<Self> {
        let flags = flags::read(args, lab);
        let Some(path) = &args.file else {
            return Ok(flags);
        };
        let source = source(path)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let whole = |file: &Self| flags::joined(file.clone().within(directory), &flags);
        let file = manifest::read_document(&source, |file: &Self| match whole(file) {
            Ok(whole) => check::all(&whole),
            Err(complaints) => complaints,
        })?;
        match whole(&file) {
            Ok(whole) => Ok(whole),
            // Checked above.
            Err(complaints) => bail!("{complaints:?}"),
        }
    }

    /// With paths as seen from here.
    fn within(mut self, directory: &Path) -> Self {
        let lists = self.networks.iter_mut();
        let lists = lists.filter_map(|entry| entry.conflist.as_mut());
        let paths = self.conflist.iter_mut().chain(&mut self.plugin_dirs);
        let paths = paths.chain(lists);
        paths.for_each(|path| *path = directory.join(&path));
        self
    }

    /// The lab that this describes.
    ///
    /// # Errors
    /// A path cannot be read, or what it leads to is no network: which.
    pub fn lab(&self, programs: &Programs) -> Result<Lab> {
        plan::lab(self, programs)
    }
}

/// `-` is the standard input.
fn source(path: &Path) -> Result<Source> {
    let mut text = String::new();
    let name = if path == Path::new("-") {
        let mut input = std::io::stdin();
        input
            .read_to_string(&mut text)
            .context("read the cluster file from standard input")?;
        "standard input".to_owned()
    } else {
        text = fs::read_to_string(path)
            .with_context(|| format!("read the cluster file {}", path.display()))?;
        path.display().to_string()
    };
    Ok(Source { name, text })
}

/// The JSON Schema of a cluster file.
pub fn schema() -> Schema {
    schemars::schema_for!(ClusterFile)
}

//! A subnet without free addresses: the node's IPAM plugin is asked for one after the other, as by pods
//! that nobody sees.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cni::runtime::{Exec, Runner};
use kernel::NetNs;
use sandbox::Interrupt;
use serde_json::{Value, json};

use crate::interrupt;
use crate::netd;
use crate::network;
use crate::node::{CNI_BIN, NET_D, Node};
use crate::state::LabDir;

/// The only IPAM plugin that has a fixed number of addresses.
const IPAM: &str = "host-local";
/// Types that take the subnet that netd leases.
const OF_NETD: [&str; 3] = ["flannel", "vxlan", "host-gw"];
/// More addresses than any node leases; to take one costs a few milliseconds.
const MOST: u32 = 4096;
/// How many addresses are asked for between two notes.
const BATCH: u32 = 64;
/// A namespace that has to be there, and stays as it is; no pod's, whose names have no dot.
const NETNS: &str = "/run/netns/.lab-fill";

/// Who takes a node's addresses, and gives them back.
pub(super) struct Filler<'a> {
    node: &'a Node,
    config: Value,
}

impl<'a> Filler<'a> {
    /// # Errors
    /// The network's addresses do not come from host-local.
    pub(super) fn new(dir: &LabDir, node: &'a Node) -> Result<Self> {
        let network = dir.lab()?.network.name;
        let load = || network::load(Path::new(NET_D), &network);
        let list = node.namespaces()?.run(load)??;
        let ipam = list
            .plugins
            .iter()
            .find_map(|plugin| ipam(&plugin.to_value(), node));
        let Some(ipam) = ipam else {
            bail!(
                "the addresses of network {network} do not come from {IPAM}: it cannot be filled"
            );
        };
        let config = json!({
            "cniVersion": list.version, "name": network, "type": IPAM, "ipam": ipam?,
        });
        Ok(Self { node, config })
    }

    /// Takes all free addresses, as number `from` and on; how many there were. Before a number is used,
    /// `note` hears of one that is above it.
    ///
    /// # Errors
    /// The plugin fails for another reason than that it has no more, or never does; Ctrl-C. What was
    /// taken is noted.
    pub(super) fn fill(
        &self,
        from: u32,
        interrupt: Interrupt,
        note: &mut (dyn FnMut(u32) -> Result<()> + Send),
    ) -> Result<u32> {
        self.with_namespace(|| {
            for taken in 0..MOST {
                if taken % BATCH == 0 {
                    note(from + taken + BATCH)?;
                }
                interrupt::check(interrupt)?;
                match self.call("ADD", from + taken) {
                    Ok(()) => {}
                    Err(error) if error.msg.contains("no IP addresses available") => {
                        return Ok(taken);
                    }
                    Err(error) => return Err(error).context("take an address from the node"),
                }
            }
            bail!(
                "node {} has more than {MOST} addresses: it is not filled; `lab fault heal {}` gives \
                 back what was taken",
                self.node.name,
                self.node.name
            )
        })
    }

    /// Gives back those with a number below `number`.
    ///
    /// # Errors
    /// The plugin fails.
    pub(super) fn release(&self, number: u32) -> Result<()> {
        self.with_namespace(|| {
            for each in 0..number {
                self.call("DEL", each)
                    .context("give an address back to the node")?;
            }
            Ok(())
        })
    }

    /// Runs `work` on the node, with a namespace for the plugin to look at.
    fn with_namespace<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let inside = || {
            // One that a killed command left is removed first; none is fine.
            NetNs::remove(NETNS)?;
            NetNs::create(NETNS)?;
            let done = work();
            NetNs::remove(NETNS)?;
            done
        };
        self.node.namespaces()?.run(inside)?
    }

    fn call(&self, command: &str, number: u32) -> Result<(), cni::Error> {
        let container = format!("lab-fill-{number}");
        let variables = [
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", &container),
            ("CNI_NETNS", NETNS),
            ("CNI_IFNAME", "eth0"),
            ("CNI_ARGS", ""),
            ("CNI_PATH", CNI_BIN),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let plugin = PathBuf::from(CNI_BIN).join(IPAM);
        let config = self.config.to_string();
        let answer = Exec::default().run(&plugin, &variables.into(), config.as_bytes());
        answer.map(drop)
    }
}

/// What the IPAM plugin is told for a plugin of the network; `None` when that calls none, or another.
fn ipam(plugin: &Value, node: &Node) -> Option<Result<Value>> {
    let own = plugin["ipam"].as_object().cloned().unwrap_or_default();
    let of_netd = OF_NETD.iter().any(|kind| plugin["type"] == *kind);
    let calls = own.get("type").and_then(Value::as_str);
    if calls.or(of_netd.then_some(IPAM)) != Some(IPAM) {
        return None;
    }
    let mut ipam = own;
    ipam.insert("type".to_owned(), IPAM.into());
    if of_netd {
        let subnets = netd::subnets(node);
        if subnets.is_empty() {
            return Some(Err(anyhow::anyhow!(
                "netd on node {} has no subnet yet",
                node.name
            )));
        }
        let ranges = subnets.iter().map(|subnet| json!([{ "subnet": subnet }]));
        ipam.insert("ranges".to_owned(), ranges.collect());
    }
    Some(Ok(Value::Object(ipam)))
}

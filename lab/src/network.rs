//! A pod's network: the node's configurations, run through the cni crate's runtime on the node, as a
//! container runtime does.

mod choice;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use cni::runtime::{Chain, NetworkConfig, RuntimeConf};
use cni::{AddResult, Dns};
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::choice::{Network, PLUGIN_DIRS};

use crate::node::{CNI_BIN, NET_D, Node};
use crate::pod::Pod;
use crate::state::{Backend, Lab, LabDir, Name};

/// The network that gives a pod its loopback interface.
const LOOPBACK: &str = "loopback";

/// A pod's attachments, in order of ADD: network and interface.
fn attachments(network: &str) -> [(&str, &str); 2] {
    [(LOOPBACK, "lo"), (network, "eth0")]
}

/// What the network gave a pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attached {
    /// Of `eth0`.
    pub addresses: Vec<IpNetwork>,
    /// How long the ADD of `eth0` took, in milliseconds: the whole chain, from the runtime's side.
    pub attach_ms: f64,
    /// Content of `/etc/resolv.conf`.
    pub resolv_conf: String,
}

/// Writes the configurations that all nodes see as `/etc/cni/net.d`.
///
/// # Errors
/// The directory cannot be written.
pub fn configure(dir: &LabDir, lab: &Lab) -> Result<()> {
    let Network { name, list, .. } = &lab.network;
    let list = match list {
        Some(text) => text.clone(),
        None => format!("{:#}", own_list(&lab.network, lab.backend)),
    };
    for (file, list) in [
        (format!("10-{name}.conflist"), list),
        (
            "90-loopback.conflist".to_owned(),
            format!("{:#}", loopback_list()),
        ),
    ] {
        let path = dir.path("net.d").join(file);
        fs::write(&path, list).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn own_list(network: &Network, backend: Backend) -> Value {
    let only_podwire = network.plugin_dirs.is_empty();
    json!({
        // Delegates of others may not speak the latest version.
        "cniVersion": if only_podwire { "1.1.0" } else { "1.0.0" },
        "name": network.name,
        "plugins": [{
            "type": backend.plugin(),
            // Nothing is outside the lab: pods see each other's own addresses.
            "delegate": { "isDefaultGateway": true, "hairpinMode": true, "ipMasq": false },
        }],
    })
}

fn loopback_list() -> Value {
    // Whoever's plugin it is, it speaks this version.
    json!({ "cniVersion": "0.4.0", "name": LOOPBACK, "plugins": [{ "type": "loopback" }] })
}

/// Attaches a pod to its networks.
///
/// # Errors
/// A plugin refused; what it had made is undone.
pub fn attach(dir: &LabDir, node: &Node, pod: &Name) -> Result<Attached> {
    let pods = dir.lab()?.network.name;
    let attach = || -> Result<(AddResult, f64)> {
        let mut last = (AddResult::default(), 0.0);
        for (network, interface) in attachments(&pods) {
            let chain = chain(network)?;
            let start = Instant::now();
            let result = chain
                .add(&attachment(dir, pod, interface))
                .with_context(|| format!("attach pod {pod} to network {network}"))?;
            last = (result, start.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(last)
    };
    let (result, attach_ms) = node.namespaces()?.run(attach)??;
    Ok(Attached {
        addresses: result.ips.iter().map(|ip| ip.address).collect(),
        attach_ms,
        resolv_conf: resolv_conf(&result.dns),
    })
}

/// Detaches a pod; one that is not attached is fine.
///
/// # Errors
/// A plugin refused.
pub fn detach(dir: &LabDir, node: &Node, pod: &Name) -> Result<()> {
    let pods = dir.lab()?.network.name;
    let detach = || -> Result<()> {
        for (network, interface) in attachments(&pods).into_iter().rev() {
            chain(network)?
                .del(&attachment(dir, pod, interface))
                .with_context(|| format!("detach pod {pod} from network {network}"))?;
        }
        Ok(())
    };
    node.namespaces()?.run(detach)?
}

fn chain(network: &str) -> Result<Chain> {
    Ok(Chain::new(NetworkConfig::load(Path::new(NET_D), network)?))
}

/// By what ID the plugins know a pod.
pub fn container_id(dir: &LabDir, pod: &Name) -> String {
    format!("{}-{pod}", dir.name())
}

fn attachment(dir: &LabDir, pod: &Name, interface: &str) -> RuntimeConf {
    RuntimeConf {
        container_id: container_id(dir, pod),
        netns: Pod::netns(pod).to_string_lossy().into_owned(),
        ifname: interface.to_owned(),
        cni_path: vec![PathBuf::from(CNI_BIN)],
        ..RuntimeConf::default()
    }
}

/// resolv.conf(5).
fn resolv_conf(dns: &Dns) -> String {
    let mut text = String::new();
    if !dns.domain.is_empty() {
        text.push_str(&format!("domain {}\n", dns.domain));
    }
    for (keyword, values) in [("search", &dns.search), ("options", &dns.options)] {
        if !values.is_empty() {
            text.push_str(&format!("{keyword} {}\n", values.join(" ")));
        }
    }
    for server in &dns.nameservers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_has_what_the_plugins_said() {
        assert_eq!(resolv_conf(&Dns::default()), "");
        let dns = Dns {
            nameservers: vec!["192.0.2.1".to_owned(), "2001:db8::1".to_owned()],
            domain: "example.org".to_owned(),
            search: vec!["a".to_owned(), "b".to_owned()],
            options: vec!["ndots:5".to_owned()],
        };
        let text = "domain example.org\nsearch a b\noptions ndots:5\n\
                    nameserver 192.0.2.1\nnameserver 2001:db8::1\n";
        assert_eq!(resolv_conf(&dns), text);
    }
}

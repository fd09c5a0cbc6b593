//! Networks: what a lab has of them, and which of them a pod is attached to, by running the node's configurations
//! through the cni crate's runtime on the node, as a container runtime does.

mod args;
mod attachment;
mod catalog;
mod choice;
mod command;
mod driver;
mod mode;
mod plan;
mod result;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use cni::runtime::{CachedAttachment, Chain, NetworkConfig, RuntimeConf, cached_attachments};
use serde_json::{Value, json};

pub use self::args::{NetworkCommand, NetworkCreateArgs};
pub use self::attachment::{Attachment, check, complaint};
pub use self::catalog::{READY_MADE, load, subnets_in};
pub use self::choice::{Network, PLUGIN_DIRS, pod_network, read_list};
pub use self::command::{check_subnet, names, run};
pub use self::driver::Driver;
pub use self::mode::ask;
pub use self::plan::NetworkPlan;
pub use self::result::{Attached, NetworkStatus};

use crate::failures::all_or_failures;
use crate::node::{CNI_BIN, NET_D, Node};
use crate::output::complain;
use crate::pod::Pod;
use crate::state::{Lab, LabDir, Name};

/// The network that gives a pod its loopback interface.
const LOOPBACK: &str = "loopback";
/// Where configurations are, in the lab's directory.
const NET_D_INSIDE: &str = "net.d";

/// Writes the configurations that all nodes see as `/etc/cni/net.d`.
///
/// # Errors
/// The directory cannot be written; no subnet is free for a network.
pub fn configure(dir: &LabDir, lab: &Lab) -> Result<()> {
    let Network { name, list, .. } = &lab.network;
    let own = match list {
        Some(text) => text.clone(),
        None => format!("{:#}", own_list(lab)),
    };
    let mut lists = vec![
        (format!("10-{name}.conflist"), own),
        (
            "90-loopback.conflist".to_owned(),
            format!("{:#}", loopback_list()),
        ),
    ];
    for (name, list) in catalog::ready_made(dir, lab) {
        // Who asks for one that cannot be is told why.
        lists.extend(
            list.ok()
                .map(|list| (format!("20-{name}.conflist"), format!("{list:#}"))),
        );
    }
    for (file, list) in lists {
        let path = catalog::directory(dir).join(file);
        fs::write(&path, list).with_context(|| format!("write {}", path.display()))?;
    }
    let mut plans = lab.networks.iter();
    plans.try_for_each(|plan| plan.make(dir, lab))
}

fn own_list(lab: &Lab) -> Value {
    let plugin = json!({
        "type": lab.backend.plugin(),
        // Nothing is outside the lab: pods see each other's own addresses.
        "delegate": { "isDefaultGateway": true, "hairpinMode": true, "ipMasq": false },
    });
    driver::marked(lab, &lab.network.name, choice::OVERLAY, &plugin)
}

fn loopback_list() -> Value {
    // Whoever's plugin it is, it speaks this version.
    json!({ "cniVersion": "0.4.0", "name": LOOPBACK, "plugins": [{ "type": "loopback" }] })
}

/// Attaches a pod to its networks, one after the other.
///
/// # Errors
/// A network is not there, or a plugin refused; what that network had made is undone, what those before it made is
/// [`detach`]'s.
pub fn attach(dir: &LabDir, node: &Node, pod: &Pod) -> Result<Attached> {
    let attachments = Attachment::all(&dir.lab()?, &pod.workload.pod)?;
    let attach = || -> Result<Attached> {
        let mut attached = Attached::default();
        for attachment in &attachments {
            let what = || format!("attach pod {} to network {}", pod.name, attachment.network);
            let chain = Chain::new(attachment.list(Path::new(NET_D)).with_context(what)?);
            let start = Instant::now();
            let conf = conf(dir, &pod.name, attachment);
            let result = chain.add(&conf).with_context(what)?;
            attached.add(attachment, &result, start.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(attached)
    };
    node.namespaces()?.run(attach)?
}

/// Detaches a pod from all its networks, the last one first, and before them from those that `lab cni add` added;
/// one to which it is not attached is fine, be its list there or not.
///
/// # Errors
/// A plugin refused; all others were asked all the same.
pub fn detach(dir: &LabDir, node: &Node, pod: &Pod) -> Result<()> {
    let attachments = Attachment::all(&dir.lab()?, &pod.workload.pod)?;
    let container_id = container_id(dir, &pod.name);
    let mut cached = cached_on(node)?;
    cached.retain(|each| each.container_id == container_id);
    let detach = || -> Result<()> {
        let mut failures = Vec::new();
        let mut note = |network: &str, outcome: Result<()>| {
            let outcome =
                outcome.with_context(|| format!("detach pod {} from network {network}", pod.name));
            failures.extend(outcome.err());
        };
        let is_own = |added: &CachedAttachment| attachments.iter().any(|own| own.made(added));
        for added in cached.iter().filter(|added| !is_own(added)).rev() {
            note(&added.network, detach_added(added));
        }
        for attachment in attachments.iter().rev() {
            let detached = match cached.iter().find(|added| attachment.made(added)) {
                Some(added) => detach_added(added),
                None => detach_unadded(dir, pod, attachment),
            };
            note(&attachment.network, detached);
        }
        all_or_failures(failures, "; ")
    };
    node.namespaces()?.run(detach)?
}

/// What the runtime on a node keeps of its attachments.
///
/// # Errors
/// The node's files cannot be read.
pub fn cached_on(node: &Node) -> Result<Vec<CachedAttachment>> {
    let cache = RuntimeConf::default().cache_dir;
    Ok(cached_attachments(&node.path(&cache.to_string_lossy()))?)
}

/// From a network to which it was not added, or not to the end. Without its list that cannot be undone: what is in the
/// pod goes with the pod, what is noted of addresses with the network.
fn detach_unadded(dir: &LabDir, pod: &Pod, attachment: &Attachment) -> Result<()> {
    match attachment.list(Path::new(NET_D)) {
        Ok(list) => Ok(Chain::new(list).del(&conf(dir, &pod.name, attachment))?),
        Err(error) => {
            let Attachment { network, .. } = attachment;
            complain(format_args!(
                "pod {}: what an attachment to network {network} that did not end may have left is not undone: \
                 {error:#}",
                pod.name
            ));
            Ok(())
        }
    }
}

/// By the list with which it was added, wherever that came from.
fn detach_added(added: &CachedAttachment) -> Result<()> {
    let list = NetworkConfig::parse(&added.config)
        .or_else(|_| catalog::load(Path::new(NET_D), &added.network))?;
    let conf = RuntimeConf {
        container_id: added.container_id.clone(),
        netns: added.netns.clone(),
        ifname: added.ifname.clone(),
        args: added.args.clone(),
        capability_args: added.capability_args.clone(),
        cni_path: vec![PathBuf::from(CNI_BIN)],
        ..RuntimeConf::default()
    };
    Ok(Chain::new(list).del(&conf)?)
}

/// By what ID the plugins know a pod.
pub fn container_id(dir: &LabDir, pod: &Name) -> String {
    format!("{}-{pod}", dir.name())
}

fn conf(dir: &LabDir, pod: &Name, attachment: &Attachment) -> RuntimeConf {
    RuntimeConf {
        container_id: container_id(dir, pod),
        netns: Pod::netns(pod).to_string_lossy().into_owned(),
        ifname: attachment.interface.clone(),
        capability_args: attachment.capability_args(),
        cni_path: vec![PathBuf::from(CNI_BIN)],
        ..RuntimeConf::default()
    }
}

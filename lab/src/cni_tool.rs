//! `lab cni`: what cnitool does, on a node of the lab. The node's configurations and plugins, or others
//! that the node sees; a network namespace of the node, or a pod.

mod args;
mod environment;

use std::path::Path;

use anyhow::{Context, Result, bail};
use cni::runtime::{Chain, Error, RuntimeConf};
use cni::{SpecVersion, ValidAttachment, code};
use manifest::FIRST_INTERFACE;
use serde_json::json;
use sha2::{Digest, Sha512};

pub use self::args::{AttachmentArgs, CniCommand, GcArgs, NetworkArgs};

use self::environment::Environment;
use crate::kubectl::PodOrPath;
use crate::network::{self, Attachment};
use crate::node::Node;
use crate::pod::Pod;
use crate::state::LabDir;

/// What a command has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// A result, or the specification's error object; empty where there is none.
    pub document: String,
    /// Why it failed, with all that led to it.
    pub failure: Option<String>,
}

/// Runs a command on its node.
///
/// # Errors
/// There is no such lab, node or pod. What plugins and configurations say is an [`Answer`].
pub fn run(dir: &LabDir, command: &CniCommand) -> Result<Answer> {
    let environment = Environment::of_process();
    let outcome = match command {
        CniCommand::Add(args) => on_attachment(dir, args, &environment, |chain, conf| {
            let result = chain.add(conf)?;
            Ok(result.print(version(chain))?)
        }),
        CniCommand::Del(args) => on_attachment(dir, args, &environment, |chain, conf| {
            Ok(chain.del(conf).map(nothing)?)
        }),
        CniCommand::Check(args) => on_attachment(dir, args, &environment, |chain, conf| {
            Ok(chain.check(conf).map(nothing)?)
        }),
        CniCommand::Status(args) => on_network(dir, args, &environment, |chain, conf| {
            Ok(chain.status(conf).map(nothing)?)
        }),
        CniCommand::Version(args) => on_network(dir, args, &environment, versions),
        CniCommand::Gc(args) => collect_garbage(dir, args, &environment),
    }?;
    Ok(outcome.unwrap_or_else(|refusal| Answer {
        document: refusal.document.to_json(),
        failure: Some(refusal.text),
    }))
}

/// A failure that has an error object.
struct Refusal {
    document: cni::Error,
    text: String,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let text = cni::error::one_line(&error);
        let of_the_runtime = match &error {
            Error::Config(_) => Some(code::INVALID_CONFIG),
            Error::Unsupported { .. } | Error::CheckUnsupported { .. } => {
                Some(code::INCOMPATIBLE_VERSION)
            }
            Error::Cache { .. } => Some(code::IO_FAILURE),
            Error::Damaged { .. } => Some(code::DECODING_FAILURE),
            _ => None,
        };
        let document = match of_the_runtime {
            Some(code) => cni::Error::new(code, text.clone()),
            None => cni::Error::internal(error),
        };
        Self { document, text }
    }
}

impl From<cni::Error> for Refusal {
    fn from(error: cni::Error) -> Self {
        let text = error.to_string();
        Self {
            document: error,
            text,
        }
    }
}

type Outcome = Result<Answer, Refusal>;

fn nothing((): ()) -> String {
    String::new()
}

fn on_attachment(
    dir: &LabDir,
    args: &AttachmentArgs,
    environment: &Environment,
    work: impl FnOnce(&Chain, &RuntimeConf) -> Result<String, Refusal> + Send,
) -> Result<Outcome> {
    let _lock = dir.lock_shared()?;
    let (node, target) = target(dir, args)?;
    let asked = args.ifname.clone().or_else(|| environment.ifname.clone());
    let conf = environment.conf().map(|conf| RuntimeConf {
        container_id: target.container_id,
        netns: target.netns,
        ifname: asked
            .or(target.ifname)
            .unwrap_or_else(|| FIRST_INTERFACE.to_owned()),
        ..conf
    });
    let directory = environment.conf_dir(args.network.conf_dir.as_deref());
    let conf = match conf {
        Ok(conf) => conf,
        Err(error) => return Ok(Err(error.into())),
    };
    on_node(&node, &directory, &args.network.network, conf, work)
}

fn on_network(
    dir: &LabDir,
    args: &NetworkArgs,
    environment: &Environment,
    work: impl FnOnce(&Chain, &RuntimeConf) -> Result<String, Refusal> + Send,
) -> Result<Outcome> {
    let _lock = dir.lock_shared()?;
    let node = node(dir, args)?;
    let directory = environment.conf_dir(args.conf_dir.as_deref());
    let conf = environment.paths();
    on_node(&node, &directory, &args.network, conf, work)
}

fn on_node(
    node: &Node,
    directory: &Path,
    network: &str,
    conf: RuntimeConf,
    work: impl FnOnce(&Chain, &RuntimeConf) -> Result<String, Refusal> + Send,
) -> Result<Outcome> {
    let inside = || {
        let network = network::load(directory, network).map_err(Error::from)?;
        let document = work(&Chain::new(network), &conf)?;
        Ok(Answer {
            document,
            failure: None,
        })
    };
    Ok(node.namespaces()?.run(inside)?)
}

/// What is attached.
struct Target {
    container_id: String,
    netns: String,
    /// The first interface that a pod has on the network of its own accord.
    ifname: Option<String>,
}

/// A pod of the lab is known by the ID that it has there; any other namespace by the one that cnitool
/// would give it.
fn target(dir: &LabDir, args: &AttachmentArgs) -> Result<(Node, Target)> {
    let name = match &args.namespace {
        PodOrPath::Pod(name) => name,
        PodOrPath::Path(path) => {
            let node = node(dir, &args.network)?;
            let netns = path.display().to_string();
            if !path.is_absolute() {
                bail!("{netns:?}: give a path of the node, from its root, or the name of a pod");
            }
            let target = Target {
                container_id: cnitools_id(&netns),
                netns,
                ifname: None,
            };
            return Ok((node, target));
        }
    };
    let pod = Pod::find(dir, name)?;
    let node = &pod.node;
    if args
        .network
        .node
        .as_ref()
        .is_some_and(|given| given != node)
    {
        bail!("pod {name} is on node {node}: leave out --node, or give that one");
    }
    let target = Target {
        container_id: network::container_id(dir, name),
        netns: Pod::netns(name).display().to_string(),
        ifname: own_interfaces(dir, &pod, &args.network.network)?
            .into_iter()
            .next(),
    };
    Ok((Node::find(dir, node)?, target))
}

/// The interfaces that a pod has on a network by its manifest.
fn own_interfaces(dir: &LabDir, pod: &Pod, network: &str) -> Result<Vec<String>> {
    if pod.spec().host_network {
        return Ok(Vec::new());
    }
    let attachments = Attachment::all(&dir.lab()?, &pod.workload.pod)?.into_iter();
    let on_it = attachments.filter(|each| each.network == network);
    Ok(on_it.map(|each| each.interface).collect())
}

/// The node that was asked for, or the lab's first.
fn node(dir: &LabDir, args: &NetworkArgs) -> Result<Node> {
    if let Some(name) = &args.node {
        return Node::find(dir, name);
    }
    let first = Node::all(dir)?.into_iter().next();
    first.with_context(|| format!("lab {} has no nodes", dir.name()))
}

/// The first ten bytes of the path's SHA-512, as cnitool has it.
fn cnitools_id(netns: &str) -> String {
    let digest = Sha512::digest(netns.as_bytes());
    let hexadecimal: String = digest
        .iter()
        .take(10)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("cnitool-{hexadecimal}")
}

/// Results are printed in the network's version; the runtime has made sure that there is one.
fn version(chain: &Chain) -> SpecVersion {
    let version = chain.network().version.parse();
    version.unwrap_or(SpecVersion::V0_1_0)
}

fn versions(chain: &Chain, conf: &RuntimeConf) -> Result<String, Refusal> {
    let plugins: Vec<_> = chain
        .versions(conf)?
        .into_iter()
        .map(|(plugin, versions)| json!({ "type": plugin, "supportedVersions": versions }))
        .collect();
    Ok(format!("{:#}", json!(plugins)))
}

/// Keeps what the lab's pods have, unless all shall go. A network may be one for all nodes: what pods of other nodes
/// have on it stays in any case.
fn collect_garbage(dir: &LabDir, args: &GcArgs, environment: &Environment) -> Result<Outcome> {
    let _lock = dir.lock()?;
    let node = node(dir, &args.network)?;
    let network = &args.network.network;
    let kept = |pod: &Pod| !args.all || pod.node != node.name;
    let mut valid = Vec::new();
    for pod in Pod::all(dir)?.iter().filter(|pod| kept(pod)) {
        valid.extend(valid_attachments(dir, pod, network)?);
    }
    valid.sort();
    valid.dedup();
    let directory = environment.conf_dir(args.network.conf_dir.as_deref());
    let conf = environment.paths();
    on_node(&node, &directory, network, conf, |chain, conf| {
        // cnitool names no attachment then.
        let valid = Some(valid).filter(|valid| !args.all || !valid.is_empty());
        Ok(chain.gc(conf, valid.as_deref()).map(nothing)?)
    })
}

/// Those of a pod on a network: what its manifest asks for, and what its node's cache has.
fn valid_attachments(dir: &LabDir, pod: &Pod, network: &str) -> Result<Vec<ValidAttachment>> {
    let container_id = network::container_id(dir, &pod.name);
    let mut interfaces = own_interfaces(dir, pod, network)?;
    let node = Node::find(dir, &pod.node)?;
    if node.holder.is_alive() {
        let cached = network::cached_on(&node)?.into_iter();
        let of_it =
            cached.filter(|each| each.network == network && each.container_id == container_id);
        interfaces.extend(of_it.map(|each| each.ifname));
    }
    let valid = interfaces.into_iter().map(|ifname| ValidAttachment {
        container_id: container_id.clone(),
        ifname,
    });
    Ok(valid.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_the_id_that_cnitool_gives_it() {
        // printf /var/run/netns/testing | sha512sum | cut -c 1-20
        assert_eq!(
            cnitools_id("/var/run/netns/testing"),
            "cnitool-77383ca0a0715733ca6f"
        );
    }
}

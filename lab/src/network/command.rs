//! `lab network`: list, make, look at and remove networks.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use ipnetwork::IpNetwork;
use kernel::{IfName, Netlink};
use manifest::NO_NETWORK;
use serde::Serialize;
use serde_json::Value;

use super::args::{NetworkCommand, NetworkCreateArgs};
use super::attachment::Attachment;
use super::choice::{own_plugins_in, pod_network};
use super::driver::{self, Driver};
use super::{catalog, result::NetworkStatus};
use crate::failures::all_or_failures;
use crate::node::Node;
use crate::output::{Table, print};
use crate::pod::Pod;
use crate::state::{self, Lab, LabDir, Name};
use crate::topology::require_no_host_bits;

/// Runs a command.
///
/// # Errors
/// There is no such lab or network; a network is there already, cannot be, or is used; the kernel refused.
pub fn run(dir: &LabDir, command: &NetworkCommand) -> Result<()> {
    match command {
        NetworkCommand::Ls(args) => {
            let networks = list(dir)?;
            let text = args.output.text(&networks, || table(&networks).to_string());
            print(&text?)?;
            require_all_listed(dir)
        }
        NetworkCommand::Create(args) => create(dir, args),
        NetworkCommand::Add { file } => add(dir, file),
        NetworkCommand::Inspect { names } => inspect(dir, names),
        NetworkCommand::Rm { names } => {
            let mut seen = BTreeSet::new();
            let mut names = names.iter().filter(|name| seen.insert(*name));
            names.try_for_each(|name| remove(dir, name))
        }
    }
}

/// # Errors
/// Some networks are not listed, since their lists cannot be read: which.
fn require_all_listed(dir: &LabDir) -> Result<()> {
    let unreadable = catalog::unreadable(dir)?.into_iter();
    all_or_failures(unreadable.map(Into::into).collect(), "; ")
}

/// A network, as `lab network ls` shows it.
#[derive(Debug, Serialize)]
struct NetworkView {
    name: String,
    driver: String,
    subnets: Vec<IpNetwork>,
    pods: usize,
}

/// A network, as `lab network inspect` shows it.
#[derive(Debug, Serialize)]
struct NetworkDetails {
    name: String,
    driver: String,
    subnets: Vec<IpNetwork>,
    /// The configuration list.
    list: Value,
    pods: Vec<Member>,
}

/// A pod on a network.
#[derive(Debug, Serialize)]
struct Member {
    pod: Name,
    node: Name,
    interface: String,
    /// What the network gave it; absent while the pod is made.
    status: Option<NetworkStatus>,
}

/// The names of all that pods can have.
///
/// # Errors
/// There is no such lab; its networks cannot be read.
pub fn names(dir: &LabDir) -> Result<Vec<String>> {
    Ok(list(dir)?.into_iter().map(|each| each.name).collect())
}

fn list(dir: &LabDir) -> Result<Vec<NetworkView>> {
    let lab = dir.lab()?;
    let pods = Pod::all(dir)?;
    let mut views = Vec::new();
    for network in catalog::all(dir)? {
        views.push(NetworkView {
            driver: catalog::driver(&network),
            subnets: catalog::subnets(&lab, &network),
            pods: members(&lab, &pods, &network.name)?.len(),
            name: network.name,
        });
    }
    // What else `--network` takes, as Docker lists it.
    let is_on_node = |pod: &&Pod| pod.spec().host_network;
    let on_nodes = pods.iter().filter(is_on_node).count();
    let mut alone = 0;
    for pod in pods.iter().filter(|pod| !is_on_node(pod)) {
        let attachments = Attachment::all(&lab, &pod.workload.pod)?;
        alone += usize::from(attachments.iter().all(Attachment::is_loopback));
    }
    for (name, driver, pods) in [("host", "host", on_nodes), (NO_NETWORK, "null", alone)] {
        views.push(NetworkView {
            name: name.to_owned(),
            driver: driver.to_owned(),
            subnets: Vec::new(),
            pods,
        });
    }
    Ok(views)
}

fn table(networks: &[NetworkView]) -> Table {
    let mut table = Table::new(&["NAME", "DRIVER", "SUBNET", "PODS"]);
    for network in networks {
        let subnets: Vec<String> = network.subnets.iter().map(ToString::to_string).collect();
        let subnets = match subnets.is_empty() {
            true => "-".to_owned(),
            false => subnets.join(","),
        };
        table.row([
            network.name.clone(),
            network.driver.clone(),
            subnets,
            network.pods.to_string(),
        ]);
    }
    table
}

/// The pods that are on a network, once for each interface.
fn members(lab: &Lab, pods: &[Pod], network: &str) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for pod in pods.iter().filter(|pod| !pod.spec().host_network) {
        let attachments = Attachment::all(lab, &pod.workload.pod)?.into_iter();
        members.extend(
            attachments
                .filter(|each| each.network == network)
                .map(|each| {
                    let mut given = pod.network.iter().flat_map(|attached| &attached.networks);
                    Member {
                        pod: pod.name.clone(),
                        node: pod.node.clone(),
                        status: given
                            .find(|given| given.interface == each.interface)
                            .cloned(),
                        interface: each.interface,
                    }
                }),
        );
    }
    Ok(members)
}

fn inspect(dir: &LabDir, names: &[String]) -> Result<()> {
    let lab = dir.lab()?;
    let pods = Pod::all(dir)?;
    let details = |name: &String| -> Result<NetworkDetails> {
        let network = catalog::find(dir, &lab, &lab.network.named(name))?;
        Ok(NetworkDetails {
            driver: catalog::driver(&network),
            subnets: catalog::subnets(&lab, &network),
            list: serde_json::from_slice(&network.bytes).context("read the list")?,
            pods: members(&lab, &pods, &network.name)?,
            name: network.name,
        })
    };
    let details: Vec<NetworkDetails> = names.iter().map(details).collect::<Result<_>>()?;
    print(&format!("{}\n", serde_json::to_string_pretty(&details)?))
}

fn create(dir: &LabDir, args: &NetworkCreateArgs) -> Result<()> {
    let _lock = dir.lock()?;
    let lab = dir.lab()?;
    let name = pod_network(&args.name)?;
    require_free_name(dir, &name)?;
    args.driver.check_name(&name)?;
    check_subnets(&args.subnet)?;
    let list = catalog::new_list(dir, &lab, &name, args.driver, &args.subnet)?;
    save(dir, &name, &format!("{list:#}"))
}

/// One for each family.
fn check_subnets(subnets: &[IpNetwork]) -> Result<()> {
    for (number, subnet) in subnets.iter().enumerate() {
        check_subnet(*subnet)?;
        let is_like = |other: &IpNetwork| other.is_ipv4() == subnet.is_ipv4();
        if subnets[..number].iter().any(is_like) {
            bail!("subnet {subnet} is the second of its family: give one for each");
        }
    }
    Ok(())
}

/// Whether it can be that of a network.
///
/// # Errors
/// It has host bits, or no room for pods: what would be right.
pub fn check_subnet(subnet: IpNetwork) -> Result<()> {
    require_no_host_bits(subnet)?;
    let most = if subnet.is_ipv4() { 30 } else { 126 };
    if subnet.prefix() > most {
        bail!("{subnet} has no room for pods: give a prefix length of {most} at most");
    }
    Ok(())
}

fn add(dir: &LabDir, file: &Path) -> Result<()> {
    let _lock = dir.lock()?;
    let lab = dir.lab()?;
    let what = || format!("network {}", file.display());
    let own = || own_plugins_in(&dir.path("bin"));
    let (name, text) = lab.network.bring(file, own).with_context(what)?;
    require_free_name(dir, &name).with_context(what)?;
    save(dir, &name, &text)
}

fn require_free_name(dir: &LabDir, name: &str) -> Result<()> {
    if !catalog::has(dir, name)? {
        return Ok(());
    }
    let remedy = match catalog::is_added(dir, name)? {
        true => format!("`lab network rm {name}` first, or choose another name"),
        false => "choose another name, since it stays".to_owned(),
    };
    bail!("network {name} is there already: {remedy}")
}

fn save(dir: &LabDir, name: &str, text: &str) -> Result<()> {
    state::write_text(&catalog::file_of_added(dir, name), text.as_bytes())?;
    print(&format!("network/{name} created\n"))
}

/// Removes the list, which need not be readable, the network's bridges, and what is noted of its addresses.
fn remove(dir: &LabDir, name: &str) -> Result<()> {
    let _lock = dir.lock()?;
    let lab = dir.lab()?;
    let name = &lab.network.named(name);
    let file = catalog::require_added(dir, &lab, name)?;
    require_unused(dir, &lab, name)?;
    let list = catalog::load(&catalog::directory(dir), name).ok();
    // One that cannot be read may have had a bridge of the lab's.
    let has_bridge = list.is_none_or(|list| {
        driver::driver_of(&list).is_some_and(|driver| driver == Driver::Bridge.as_str())
    });
    for node in Node::all(dir)?.iter().filter(|node| node.holder.is_alive()) {
        if has_bridge && Driver::Bridge.check_name(name).is_ok() {
            node.namespaces()?.run(|| remove_bridge(name))??;
        }
        remove_directory(&node.path(ADDRESSES).join(name))?;
    }
    remove_directory(&dir.shared_addresses().join(name))?;
    fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
    print(&format!("network/{name} removed\n"))
}

/// Where `host-local` notes a node's addresses, by network.
const ADDRESSES: &str = "/var/lib/cni/networks";

fn require_unused(dir: &LabDir, lab: &Lab, name: &str) -> Result<()> {
    let members = members(lab, &Pod::all(dir)?, name)?;
    let mut users: BTreeSet<String> = members
        .iter()
        .map(|each| format!("pod {}", each.pod))
        .collect();
    for node in Node::all(dir)?.iter().filter(|node| node.holder.is_alive()) {
        let cached = super::cached_on(node)?.into_iter();
        let cached = cached.filter(|each| each.network == name);
        users.extend(
            cached
                .filter(|each| {
                    members
                        .iter()
                        .all(|member| super::container_id(dir, &member.pod) != each.container_id)
                })
                .map(|each| format!("{} on {}", each.container_id, node.name)),
        );
    }
    if !users.is_empty() {
        let users: Vec<String> = users.into_iter().collect();
        bail!(
            "network {name} is used by {}: delete that first, or detach it with `lab cni del` or `lab cni gc`",
            users.join(", ")
        );
    }
    Ok(())
}

fn remove_bridge(network: &str) -> Result<()> {
    let name: IfName = driver::bridge(network).parse()?;
    let netlink = Netlink::open()?;
    match netlink.link(&name)? {
        Some(link) => Ok(netlink.delete_link(link.index)?),
        None => Ok(()),
    }
}

fn remove_directory(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn subnets_have_room_and_a_family_each() {
        let check = |texts: &[&str]| {
            let subnets: Vec<IpNetwork> = texts.iter().map(|text| text.parse().unwrap()).collect();
            check_subnets(&subnets).map_err(|error| error.to_string())
        };
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&["10.1.0.0/30", "fd00::/126"]), Ok(()));
        for (texts, words) in [
            (&["10.1.0.1/16"][..], "give 10.1.0.0/16"),
            (&["10.1.0.0/31"], "30 at most"),
            (&["fd00::/127"], "126 at most"),
            (
                &["10.1.0.0/24", "10.2.0.0/24"],
                "10.2.0.0/24 is the second of its family",
            ),
        ] {
            let error = check(texts).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}

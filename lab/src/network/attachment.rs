//! Which networks a pod is attached to, and by which interfaces: what its manifest asks for, of the networks that
//! the lab has.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use cni::runtime::{CachedAttachment, NetworkConfig, PluginConfig};
use manifest::{
    Complaint, FIRST_INTERFACE, FIRST_NETWORK, NETWORKS, NO_NETWORK, NetworkSelection, Networks,
};
use serde_json::{Value, json};

use super::LOOPBACK;
use super::catalog;
use super::driver;
use crate::state::{Lab, LabDir};

/// One network of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The network's name.
    pub network: String,
    /// The interface in the pod.
    pub interface: String,
    /// Which of the pod's networks it is.
    place: Place,
    /// Addresses that are asked for.
    ips: Vec<String>,
    /// The hardware address that is asked for.
    mac: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Loopback,
    /// It gives the pod its addresses, its default route and its name servers.
    First,
    Further,
}

impl Attachment {
    /// Whether what the runtime's cache tells of a container is this attachment.
    pub fn made(&self, cached: &CachedAttachment) -> bool {
        self.network == cached.network && self.interface == cached.ifname
    }

    /// All of a pod that has a network namespace of its own, in the order of ADD.
    ///
    /// # Errors
    /// The pod's annotations cannot be read.
    pub fn all(lab: &Lab, pod: &manifest::Pod) -> Result<Vec<Self>> {
        let asked = Networks::asked(&pod.metadata)?;
        let mut all = vec![Self::plain(LOOPBACK.to_owned(), "lo", Place::Loopback)];
        match asked.first.as_deref() {
            Some(NO_NETWORK) => {}
            first => {
                let name =
                    first.map_or_else(|| lab.network.name.clone(), |name| lab.network.named(name));
                all.push(Self::plain(name, FIRST_INTERFACE, Place::First));
            }
        }
        let further = asked.further.iter().enumerate();
        all.extend(further.map(|(number, selection)| Self::further(lab, number, selection)));
        Ok(all)
    }

    fn plain(network: String, interface: &str, place: Place) -> Self {
        Self {
            network,
            interface: interface.to_owned(),
            place,
            ips: Vec::new(),
            mac: None,
        }
    }

    fn further(lab: &Lab, number: usize, selection: &NetworkSelection) -> Self {
        Self {
            ips: selection.ips.clone(),
            mac: selection.mac.clone(),
            ..Self::plain(
                lab.network.named(&selection.name),
                &selection.interface(number),
                Place::Further,
            )
        }
    }

    /// Whether it is the pod's first network.
    pub fn is_first(&self) -> bool {
        self.place == Place::First
    }

    /// Whether it is the pod's loopback interface.
    pub fn is_loopback(&self) -> bool {
        self.place == Place::Loopback
    }

    /// What the plugins are told by capability.
    pub fn capability_args(&self) -> BTreeMap<String, Value> {
        let ips = (!self.ips.is_empty()).then(|| ("ips".to_owned(), json!(self.ips)));
        let mac = self.mac.as_ref().map(|mac| ("mac".to_owned(), json!(mac)));
        ips.into_iter().chain(mac).collect()
    }

    /// Its network as it attaches this pod: one that the lab made gives its default route to the pods alone whose
    /// first network it is.
    ///
    /// # Errors
    /// There is no such network in `directory`, or its list cannot be read.
    pub fn list(&self, directory: &Path) -> Result<NetworkConfig> {
        let list = catalog::load(directory, &self.network)?;
        match self.place {
            Place::Further => driver::without_default_route(list),
            Place::Loopback | Place::First => Ok(list),
        }
    }

    fn check(&self, dir: &LabDir, lab: &Lab) -> Result<()> {
        let list = catalog::find(dir, lab, &self.network)?;
        for capability in self.capability_args().keys() {
            let takes = |plugin: &PluginConfig| plugin.capabilities.get(capability) == Some(&true);
            if !list.plugins.iter().any(takes) {
                bail!(
                    "network {} takes no `{capability}`: none of its plugins has the capability; leave it out",
                    self.network
                );
            }
        }
        Ok(())
    }
}

/// Whether a pod's networks are there, and give what the pod asks of them.
///
/// # Errors
/// One is not, or does not: says which.
pub fn check(dir: &LabDir, pod: &manifest::Pod) -> Result<()> {
    if pod.spec.host_network {
        return Ok(());
    }
    let lab = dir.lab()?;
    let mut all = Attachment::all(&lab, pod)?.into_iter();
    all.try_for_each(|attachment| attachment.check(dir, &lab))
}

/// What is wrong with the networks that a manifest asks for, if anything.
pub fn complaint(dir: &LabDir, pod: &manifest::Pod) -> Option<Complaint> {
    // What cannot be read is told without this.
    let asked = Networks::asked(&pod.metadata).ok()?;
    if pod.spec.host_network || asked.is_usual() {
        return None;
    }
    let lab = dir.lab().ok()?;
    let wrong = Attachment::all(&lab, pod)
        .ok()?
        .into_iter()
        .find_map(|attachment| {
            let error = attachment.check(dir, &lab).err()?;
            Some((attachment, error))
        });
    wrong.map(|(attachment, error)| {
        let annotation = match attachment.place {
            Place::First => FIRST_NETWORK,
            Place::Loopback | Place::Further => NETWORKS,
        };
        let metadata = manifest::Path::default().field("metadata");
        Complaint {
            field: metadata.field("annotations").field(annotation),
            message: format!("{error:#}"),
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_pod_has_the_networks_that_it_asks_for_in_their_order() {
        let lab = Lab::of_a_test();
        let all = |annotations: &[(&str, &str)]| {
            let mut pod = manifest::Pod::default();
            for (name, text) in annotations {
                pod.metadata
                    .annotations
                    .insert((*name).to_owned(), (*text).to_owned());
            }
            let all = Attachment::all(&lab, &pod).unwrap();
            let texts = all
                .iter()
                .map(|each| format!("{}@{}", each.network, each.interface));
            texts.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(all(&[]), "loopback@lo cbr0@eth0");
        assert_eq!(all(&[(FIRST_NETWORK, "none")]), "loopback@lo");
        assert_eq!(
            all(&[(FIRST_NETWORK, "bridge"), (NETWORKS, "overlay,a@b")]),
            "loopback@lo bridge@eth0 cbr0@net1 a@b"
        );
    }
}

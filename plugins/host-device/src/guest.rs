//! Whose a link in a pod is: what tells the attachment's device from others'.
//!
//! In the pod the device has its name on the host as alias. That alone proves little: a path may lead
//! to another pod by now, and anybody may write an alias. So it must agree with what the configuration
//! says of the device, and another link that has the MAC address of the result, or the place on a bus,
//! counts for more. A pod may also take the alias away or write another one: then MAC address or bus
//! tell, unless a link of the host's answers to the same. What a pod made on a link of its own came
//! from no host.

use attach::identity;
use cni::{AddResult, Detachment};
use kernel::{IfName, Link, LinkIndex, LinkKind, MacAddr, Netlink};

use crate::{bus, config::NetConf};

/// How many names are tried for a device whose own is another link's by now.
const SPARE_NAMES: u32 = 16;

/// The name on the host of a link that ADD moved into a pod.
pub(crate) fn name_on_host(link: &Link) -> Option<IfName> {
    link.alias.as_deref()?.parse().ok()
}

/// What is known of an attachment's device.
#[derive(Debug, Default)]
pub(crate) struct Device {
    /// Its name on the host, or another name of the link's.
    name: Option<IfName>,
    macs: Vec<MacAddr>,
    /// What the kernel calls its device on a bus.
    bus: Vec<String>,
}

/// A device in a pod, or back from one.
#[derive(Debug)]
pub(crate) struct Guest {
    pub link: Link,
    /// Its name on the host.
    pub home: IfName,
}

impl Guest {
    fn new(link: &Link, home: &IfName) -> Self {
        Self {
            link: link.clone(),
            home: home.clone(),
        }
    }

    /// Names for a device that cannot have its own: as the kernel names what a namespace leaves
    /// behind.
    pub(crate) fn spare_names(&self) -> impl Iterator<Item = IfName> {
        let indices = (self.link.index.0..=u32::MAX).take(SPARE_NAMES as usize);
        indices.filter_map(|index| spare_name(LinkIndex(index)))
    }
}

fn spare_name(index: LinkIndex) -> Option<IfName> {
    format!("dev{index}").parse().ok()
}

impl Device {
    /// What the configuration says; in DEL no error keeps anything, so what cannot be understood is
    /// not known.
    pub(crate) fn of(conf: &NetConf) -> Self {
        if !conf.device.is_empty() {
            return Self {
                name: conf.device.parse().ok(),
                ..Self::default()
            };
        }
        if !conf.hwaddr.is_empty() {
            return Self {
                macs: conf.hwaddr.parse().into_iter().collect(),
                ..Self::default()
            };
        }
        let bus = match bus::kernel_path(&conf.kernelpath) {
            Ok(path) => {
                let name = path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned());
                name.into_iter().collect()
            }
            Err(_) => {
                let place = conf.place().ok().flatten();
                place.map(|place| place.devices()).unwrap_or_default()
            }
        };
        Self {
            bus,
            ..Self::default()
        }
    }

    /// And what the result of ADD says, if there is one.
    pub(crate) fn recorded(mut self, added: Option<&AddResult>, attachment: &Detachment) -> Self {
        let interfaces = added.iter().flat_map(|added| &added.interfaces);
        let own = interfaces.filter(|interface| {
            interface.sandbox.is_some() && interface.name == attachment.ifname.as_str()
        });
        self.macs
            .extend(own.filter_map(|interface| interface.mac.as_ref()?.parse::<MacAddr>().ok()));
        self
    }

    /// The device in the pod: the link that the alias tells, unless its MAC address contradicts; else
    /// the one that its hardware tells, because the container took the alias away; else what the alias
    /// tells, because the container changed the MAC address. Of several that of the interface's name.
    ///
    /// # Errors
    /// The links of pod or host cannot be read.
    pub(crate) fn in_pod(
        &self,
        pod: &Netlink,
        host: &Netlink,
        interface: &IfName,
    ) -> Result<Option<Guest>, kernel::Error> {
        let mut links = own_links(pod)?;
        links.sort_by_key(|link| link.name != *interface);
        let mut told = Vec::new();
        for link in &links {
            if let Some(home) = self.told_by_alias(pod, link, interface)? {
                told.push((link, home));
            }
        }
        let agrees = told
            .iter()
            .find(|(link, _)| self.is_this_hardware(link) != Some(false));
        if let Some((link, home)) = agrees {
            return Ok(Some(Guest::new(link, home)));
        }
        if self.is_at_home(host)? {
            return Ok(None);
        }
        if let Some(link) = self.told_by_hardware(&links, interface) {
            tracing::warn!(link = %link.name, "the device has lost its alias, it is known by its hardware");
            let home = self.name.clone().or_else(|| spare_name(link.index));
            return Ok(home.map(|home| Guest::new(link, &home)));
        }
        let told = told.first();
        Ok(told.map(|(link, home)| Guest::new(link, home)))
    }

    /// The name on the host in the alias, where the link is the device by what the configuration says:
    /// this name, or another one of the link's; without a name its hardware, or, where nothing is known
    /// of that, the interface's name.
    fn told_by_alias(
        &self,
        pod: &Netlink,
        link: &Link,
        interface: &IfName,
    ) -> Result<Option<IfName>, kernel::Error> {
        let Some(home) = name_on_host(link) else {
            return Ok(None);
        };
        let is_it = match &self.name {
            Some(name) => *name == home || is_called(pod, link, name)?,
            None => self
                .is_this_hardware(link)
                .unwrap_or(link.name == *interface),
        };
        Ok(is_it.then_some(home))
    }

    /// The link that has the device's MAC address or place on a bus, whatever alias it has: that of the
    /// interface's name, else one without an alias, else the only one.
    fn told_by_hardware<'a>(&self, links: &'a [Link], interface: &IfName) -> Option<&'a Link> {
        let known = links
            .iter()
            .filter(|link| self.is_this_hardware(link) == Some(true));
        let known: Vec<&Link> = known.collect();
        let mut each = known.iter();
        let first = each
            .clone()
            .find(|link| link.name == *interface)
            .or_else(|| each.find(|link| name_on_host(link).is_none()));
        match (first, known.as_slice()) {
            (Some(link), _) | (None, [link]) => Some(link),
            _ => None,
        }
    }

    /// Whether a link of the host's answers to the device's hardware. A bridge keeps the address of a
    /// port that went, and cannot have been in a pod.
    fn is_at_home(&self, host: &Netlink) -> Result<bool, kernel::Error> {
        let is_it = |link: &Link| {
            self.is_this_hardware(link) == Some(true)
                && !matches!(link.kind, LinkKind::Bridge { .. })
        };
        Ok(host.links()?.iter().any(is_it))
    }

    /// Names of the pod's links that may be the device, where nothing tells which is it and the host has
    /// it not. That is no proof, since the pod may be another one by now.
    ///
    /// # Errors
    /// The links of pod or host cannot be read.
    pub(crate) fn untold(
        &self,
        pod: &Netlink,
        host: &Netlink,
    ) -> Result<Vec<IfName>, kernel::Error> {
        let has_its_name = match &self.name {
            Some(name) => host.link(name)?.is_some(),
            None => false,
        };
        if has_its_name || self.is_at_home(host)? {
            return Ok(Vec::new());
        }
        let links = own_links(pod)?.into_iter();
        Ok(links.map(|link| link.name).collect())
    }

    /// The device on the host, back from a pod whose namespace ended with it inside: the kernel keeps
    /// its alias, and its name of the pod where that is free, else makes one of its index.
    ///
    /// # Errors
    /// The host's links cannot be read.
    pub(crate) fn stranded(
        &self,
        host: &Netlink,
        interface: Option<&str>,
    ) -> Result<Option<Guest>, kernel::Error> {
        for link in host.links()? {
            let name = link.name.as_str();
            let fell_back = Some(name) == interface || name == format!("dev{}", link.index);
            let is_candidate = match (&self.name, name_on_host(&link)) {
                (Some(device), Some(home)) => fell_back || (*device == home && link.name != home),
                (None, Some(_)) => fell_back,
                (_, None) => false,
            };
            if is_candidate
                && let Some(home) = name_on_host(&link)
                && self.agrees(host, &link, &home)?
            {
                return Ok(Some(Guest { link, home }));
            }
        }
        Ok(None)
    }

    /// Whether name and hardware are the device's, as far as they are known.
    fn agrees(&self, host: &Netlink, link: &Link, home: &IfName) -> Result<bool, kernel::Error> {
        let hardware = self.is_this_hardware(link);
        match &self.name {
            None => Ok(hardware == Some(true)),
            Some(_) if hardware == Some(false) => Ok(false),
            Some(name) => Ok(name == home || is_called(host, link, name)?),
        }
    }

    /// Whether bus or MAC address are the device's; `None` when neither is known.
    fn is_this_hardware(&self, link: &Link) -> Option<bool> {
        if let (Some(device), false) = (&link.bus_device, self.bus.is_empty()) {
            return Some(self.bus.contains(device));
        }
        let macs = [link.mac, link.permanent_mac];
        let known = macs.iter().flatten().any(|mac| self.macs.contains(mac));
        (!self.macs.is_empty()).then_some(known)
    }
}

/// The pod's links that may have come from the host: neither `lo`, nor another attachment's, nor made on
/// another link of the pod's, which is what a veth between two links of the pod is, too.
fn own_links(pod: &Netlink) -> Result<Vec<Link>, kernel::Error> {
    let links = pod.links()?;
    let is_own = |link: &&Link| {
        !link.loopback && !identity::is_marked(link) && !rests_on_another(link, &links)
    };
    Ok(links.iter().filter(is_own).cloned().collect())
}

/// Whether another link of its namespace carries it, or is a port of it. What has no kind is hardware.
fn rests_on_another(link: &Link, links: &[Link]) -> bool {
    let has_lower = link.peer.is_some() && !link.peer_elsewhere && link.kind != LinkKind::None;
    has_lower || links.iter().any(|port| port.master == Some(link.index))
}

/// Whether it is the link's name, or one of its alternative names.
fn is_called(place: &Netlink, link: &Link, name: &IfName) -> Result<bool, kernel::Error> {
    let found = place.link(name)?;
    Ok(found.is_some_and(|found| found.index == link.index))
}

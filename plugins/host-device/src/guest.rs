//! Whose a link in a pod is: what tells the attachment's device from others'.
//!
//! In the pod the device has its name on the host as alias. That alone proves little: a path may lead
//! to another pod by now, and anybody may write an alias. So it must not contradict what
//! configuration and result say of the device, and where the link has another name than ADD gave it,
//! it must agree with that. A pod may also take the alias away or write another one: then MAC address
//! or bus tell, unless a link of the host's answers to the same.

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

    /// The device in the pod: the link of that name, unless it is known to be another; else the one
    /// that is known to be it, because the container renamed it; else the one that must be it,
    /// because the container took its alias away.
    ///
    /// # Errors
    /// The links of pod or host cannot be read.
    pub(crate) fn in_pod(
        &self,
        pod: &Netlink,
        host: &Netlink,
        interface: &IfName,
    ) -> Result<Option<Guest>, kernel::Error> {
        if let Some(link) = pod.link(interface)?
            && let Some(guest) = self.judge(pod, link, |agrees| agrees != Some(false))?
        {
            return Ok(Some(guest));
        }
        for link in pod.links()? {
            if let Some(guest) = self.judge(pod, link, |agrees| agrees == Some(true))? {
                return Ok(Some(guest));
            }
        }
        self.without_its_alias(pod, host, interface)
    }

    /// The link that has the device's MAC address or place on a bus, whatever alias the one of the
    /// pod's name has. What rests on a link may have its MAC address, as a VLAN does: so it must rest
    /// on none of the pod's, and a link of the host's that answers to the same leaves nothing to tell
    /// it by.
    fn without_its_alias(
        &self,
        pod: &Netlink,
        host: &Netlink,
        interface: &IfName,
    ) -> Result<Option<Guest>, kernel::Error> {
        let is_known = |link: &Link| self.is_this_hardware(link) == Some(true);
        let links = pod.links()?;
        let mut candidates = links.iter().filter(|link| {
            is_known(link) && !identity::is_marked(link) && !rests_on_another(link, &links)
        });
        let named = candidates.clone().find(|link| link.name == *interface);
        let Some(link) = named.or_else(|| candidates.find(|link| name_on_host(link).is_none()))
        else {
            return Ok(None);
        };
        // A bridge keeps the address of a port that went, and cannot be in a pod.
        let is_at_home =
            |link: &Link| is_known(link) && !matches!(link.kind, LinkKind::Bridge { .. });
        if host.links()?.iter().any(is_at_home) {
            return Ok(None);
        }
        tracing::warn!(link = %link.name, "the device has lost its alias, it is known by its hardware");
        let home = self.name.clone().or_else(|| spare_name(link.index));
        Ok(home.map(|home| Guest {
            link: link.clone(),
            home,
        }))
    }

    /// The pod's link of that name, where it may be the device and nothing says so: it has not the
    /// device's alias, and there is no result of ADD. That the host lacks the device is no proof, since
    /// the pod may be another one by now.
    ///
    /// # Errors
    /// The links of pod or host cannot be read.
    pub(crate) fn untold(
        &self,
        pod: &Netlink,
        host: &Netlink,
        interface: &IfName,
    ) -> Result<Option<Link>, kernel::Error> {
        if let Some(name) = &self.name
            && host.link(name)?.is_some()
        {
            return Ok(None);
        }
        let may_be_it =
            |link: &Link| !identity::is_marked(link) && self.is_this_hardware(link) != Some(false);
        Ok(pod.link(interface)?.filter(may_be_it))
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
                && let Some(guest) = self.judge(host, link, |agrees| agrees == Some(true))?
            {
                return Ok(Some(guest));
            }
        }
        Ok(None)
    }

    fn judge(
        &self,
        place: &Netlink,
        link: Link,
        is_it: impl FnOnce(Option<bool>) -> bool,
    ) -> Result<Option<Guest>, kernel::Error> {
        let Some(home) = name_on_host(&link) else {
            return Ok(None);
        };
        let agrees = self.agrees(place, &link, &home)?;
        Ok(is_it(agrees).then_some(Guest { link, home }))
    }

    /// Whether the link is the device; `None` when nothing says so or otherwise.
    fn agrees(
        &self,
        place: &Netlink,
        link: &Link,
        home: &IfName,
    ) -> Result<Option<bool>, kernel::Error> {
        if let Some(name) = &self.name {
            // The configuration may name it by one of its alternative names.
            let is_other_name = || {
                let found = place.link(name)?;
                Ok(found.is_some_and(|found| found.index == link.index))
            };
            return Ok(Some(name == home || is_other_name()?));
        }
        Ok(self.is_this_hardware(link))
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

/// Whether another link of its namespace carries it, or is a port of it.
fn rests_on_another(link: &Link, links: &[Link]) -> bool {
    let has_lower = link.peer.is_some() && !link.peer_elsewhere;
    has_lower || links.iter().any(|port| port.master == Some(link.index))
}

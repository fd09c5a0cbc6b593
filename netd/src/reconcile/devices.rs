//! The backend's devices: created, adopted, or made anew.

use std::fmt::Display;

use backend::{Device, DeviceKind, VxlanDevice, WantedDevice};
use kernel::{IfName, Link, LinkChange, LinkIndex, LinkKind, MacAddr, Netlink, NewVxlan};

/// What has to be done about one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is none.
    Create,
    /// The existing one cannot carry the cluster's traffic, for this reason.
    Recreate(String),
    /// The existing one is good, or will be after this change.
    Adopt(Option<Adjustment>),
}

/// What an adopted device lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adjustment {
    /// Set it up.
    pub up: bool,
    /// Give it this MTU, bytes.
    pub mtu: Option<u32>,
    /// Give it the MAC that is published.
    pub mac: Option<MacAddr>,
}

/// A device that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// The VNI and port are another device's.
    #[error("cannot create {name}: {holder} has VNI {vni} on the same port already")]
    VniTaken {
        /// The device to be.
        name: IfName,
        /// Its VNI.
        vni: u32,
        /// Who has it.
        holder: String,
    },
    /// It vanished between two requests.
    #[error("{0} vanished while it was being set up")]
    Vanished(IfName),
}

/// Decides. `mac` is the MAC that this process has published for the device; a device that it
/// meets for the first time keeps its own.
pub fn step(wanted: &WantedDevice, existing: Option<&Link>, mac: Option<MacAddr>) -> Step {
    let Some(link) = existing else {
        return Step::Create;
    };
    let DeviceKind::Vxlan(vxlan) = &wanted.kind;
    if let Some(difference) = incompatibility(vxlan, link) {
        return Step::Recreate(difference);
    }
    let adjustment = Adjustment {
        up: !link.up,
        mtu: Some(wanted.mtu).filter(|mtu| *mtu != link.mtu),
        mac: mac.filter(|mac| Some(*mac) != link.mac),
    };
    Step::Adopt((adjustment != Adjustment::default()).then_some(adjustment))
}

/// The attributes that flannel compares; what either side leaves open fits anything.
fn incompatibility(wanted: &VxlanDevice, link: &Link) -> Option<String> {
    let LinkKind::Vxlan(seen) = &link.kind else {
        return Some("it is no VXLAN device".to_owned());
    };
    let want = &wanted.tunnel;
    let port = |port: u16| (port != 0).then_some(port);
    let index = |link: Option<LinkIndex>| link.map(|link| link.0);
    let local = seen
        .local
        .filter(|local| wanted.other_local != Some(*local));
    difference("VNI", Some(want.vni), Some(seen.vni))
        .or_else(|| difference("lower device", index(want.lower), index(seen.lower)))
        .or_else(|| difference("local address", want.local, local))
        .or_else(|| difference("group", want.group, seen.group))
        .or_else(|| difference("port", port(want.port), port(seen.port)))
        .or_else(|| difference("l2miss", Some(want.l2miss), Some(seen.l2miss)))
        .or_else(|| difference("GBP", Some(want.gbp), Some(seen.gbp)))
}

fn difference<T: PartialEq + Display>(
    what: &str,
    want: Option<T>,
    seen: Option<T>,
) -> Option<String> {
    match (want, seen) {
        (Some(want), Some(seen)) if want != seen => {
            Some(format!("its {what} is {seen} and should be {want}"))
        }
        _ => None,
    }
}

/// Makes one device as wanted. Returns it, and whether anything had to be changed.
pub fn ensure(
    netlink: &Netlink,
    wanted: &WantedDevice,
    mac: Option<MacAddr>,
) -> Result<(Device, bool), DeviceError> {
    let name = &wanted.name;
    let existing = netlink.link(name)?;
    let (link, changed) = match (step(wanted, existing.as_ref(), mac), existing) {
        (Step::Adopt(None), Some(link)) => (link, false),
        (Step::Adopt(Some(adjustment)), Some(link)) => {
            tracing::info!("{name}: setting {adjustment}");
            netlink.set_link(link.index, &adjustment.change())?;
            (found(netlink, name)?, true)
        }
        (step, existing) => {
            if let (Step::Recreate(why), Some(link)) = (&step, &existing) {
                tracing::warn!(device = %name, reason = why, "making the device anew");
                netlink.delete_link(link.index)?;
            }
            (create(netlink, wanted, mac)?, true)
        }
    };
    let device = Device {
        families: wanted.families.clone(),
        name: name.clone(),
        link: link.index,
        mac: link.mac.filter(|_| wanted.kind.has_mac()),
        mtu: link.mtu,
    };
    Ok((device, changed))
}

/// `up, mtu 1450, MAC 02:00:00:00:00:01`
impl Display for Adjustment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let up = self.up.then(|| "up".to_owned());
        let mtu = self.mtu.map(|mtu| format!("mtu {mtu}"));
        let mac = self.mac.map(|mac| format!("MAC {mac}"));
        let parts: Vec<String> = [up, mtu, mac].into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

impl Adjustment {
    fn change(&self) -> LinkChange {
        LinkChange {
            up: self.up.then_some(true),
            mtu: self.mtu,
            mac: self.mac,
            ..LinkChange::default()
        }
    }
}

fn create(
    netlink: &Netlink,
    wanted: &WantedDevice,
    mac: Option<MacAddr>,
) -> Result<Link, DeviceError> {
    let name = &wanted.name;
    match &wanted.kind {
        DeviceKind::Vxlan(vxlan) => create_vxlan(netlink, wanted, vxlan, mac)?,
    }
    refuse_router_advertisements(name);
    let link = found(netlink, name)?;
    tracing::info!(device = %name, index = link.index.0, "created");
    netlink.set_link(
        link.index,
        &LinkChange {
            up: Some(true),
            ..LinkChange::default()
        },
    )?;
    found(netlink, name)
}

fn create_vxlan(
    netlink: &Netlink,
    wanted: &WantedDevice,
    vxlan: &VxlanDevice,
    mac: Option<MacAddr>,
) -> Result<(), DeviceError> {
    let new = NewVxlan {
        name: wanted.name.clone(),
        mac: mac.unwrap_or_else(MacAddr::random),
        mtu: Some(wanted.mtu),
        vxlan: vxlan.tunnel.clone(),
        alias: None,
    };
    let created = netlink.add_vxlan(&new);
    created.map_err(|error| explain(netlink, &new, error))
}

fn found(netlink: &Netlink, name: &IfName) -> Result<Link, DeviceError> {
    netlink
        .link(name)?
        .ok_or_else(|| DeviceError::Vanished(name.clone()))
}

/// A node's overlay addresses come from its lease alone. Without IPv6 there is no such key.
fn refuse_router_advertisements(device: &IfName) {
    let key = format!("net/ipv6/conf/{device}/accept_ra");
    if let Err(error) = kernel::sysctl::set(&key, "0") {
        tracing::debug!(key, error = %crate::chain(&error), "sysctl not set");
    }
}

/// "File exists" is said of the VNI, not of the name: finds out whose it is.
fn explain(netlink: &Netlink, new: &NewVxlan, error: kernel::Error) -> DeviceError {
    if !error.is_exists() {
        return error.into();
    }
    let vni = new.vxlan.vni;
    let has_vni = |link: &Link| matches!(&link.kind, LinkKind::Vxlan(seen) if seen.vni == vni);
    let holder = match netlink.links() {
        Ok(links) => links
            .into_iter()
            .find(has_vni)
            .map(|link| link.name.to_string()),
        Err(_) => None,
    };
    match holder {
        Some(holder) => DeviceError::VniTaken {
            name: new.name.clone(),
            vni,
            holder,
        },
        None => error.into(),
    }
}

/// Index of every link that is called as flannel's devices are.
pub fn flannels(links: &[Link]) -> impl Iterator<Item = LinkIndex> + '_ {
    links
        .iter()
        .filter(|link| cluster::is_vxlan_device(link.name.as_str()))
        .map(|link| link.index)
}

#[cfg(test)]
#[path = "devices_tests.rs"]
mod tests;

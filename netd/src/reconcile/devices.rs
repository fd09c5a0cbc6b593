//! The backend's devices: created, adopted, or made anew.

use std::fmt::Display;

use backend::{Device, DeviceKind, Family, VxlanDevice, WantedDevice};
use kernel::{
    IfName, Link, LinkChange, LinkIndex, LinkKind, MacAddr, Netlink, NewKind, NewLink, Wireguard,
    WireguardSettings,
};

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
    /// A WireGuard device cannot listen.
    #[error(
        "{name} cannot listen on UDP port {port}: another program or device has it (ss -lnup shows \
         programs, wg devices); free it, or give another ListenPort in the network config \
         (ListenPortV6 for flannel-wg-v6)"
    )]
    PortTaken {
        /// The device.
        name: IfName,
        /// The port.
        port: u16,
    },
    /// It vanished between two requests.
    #[error("{0} vanished while it was being set up")]
    Vanished(IfName),
    /// It is there no more, and was so often lately that somebody else must be at it.
    #[error("another program removes {0} again and again; find that program")]
    Fought(IfName),
}

/// Decides. `mac` is the MAC that this process has published for the device; a device that it
/// meets for the first time keeps its own.
pub fn step(wanted: &WantedDevice, existing: Option<&Link>, mac: Option<MacAddr>) -> Step {
    let Some(link) = existing else {
        return Step::Create;
    };
    let difference = match &wanted.kind {
        DeviceKind::Vxlan(vxlan) => incompatibility(vxlan, link),
        DeviceKind::Wireguard(_) => other_kind(link),
    };
    if let Some(difference) = difference {
        return Step::Recreate(difference);
    }
    let adjustment = Adjustment {
        up: !link.up,
        mtu: Some(wanted.mtu).filter(|mtu| *mtu != link.mtu),
        mac: mac.filter(|mac| Some(*mac) != link.mac),
    };
    Step::Adopt((adjustment != Adjustment::default()).then_some(adjustment))
}

/// Key, port and peers of a WireGuard device can be changed while it carries traffic: any will do.
fn other_kind(link: &Link) -> Option<String> {
    (link.kind != LinkKind::Wireguard).then(|| "it is no WireGuard device".to_owned())
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

/// A device that is as wanted, or as near to that as is allowed now.
#[derive(Debug)]
pub struct Ensured {
    /// The device.
    pub device: Device,
    /// What route netlink does not tell of it, if it is of WireGuard.
    pub wireguard: Option<Wireguard>,
    /// Something had to be changed.
    pub changed: bool,
}

/// Makes one device as wanted, unless it must not touch it now.
///
/// # Errors
/// See [`DeviceError`].
pub fn ensure(
    netlink: &Netlink,
    wanted: &WantedDevice,
    mac: Option<MacAddr>,
    may_change: bool,
) -> Result<Ensured, DeviceError> {
    let name = &wanted.name;
    let existing = netlink.link(name)?;
    let renamed = match existing {
        None if may_change => take_back(netlink, wanted, mac)?,
        _ => None,
    };
    let was_renamed = renamed.is_some();
    let existing = existing.or(renamed);
    let (link, changed) = match (step(wanted, existing.as_ref(), mac), existing) {
        (Step::Adopt(None), Some(link)) => (link, was_renamed),
        (Step::Adopt(Some(_)), Some(link)) if !may_change => (link, false),
        (Step::Adopt(Some(adjustment)), Some(link)) => {
            tracing::info!("{name}: setting {adjustment}");
            netlink.set_link(link.index, &adjustment.change())?;
            (found(netlink, name)?, true)
        }
        (_, _) if !may_change => return Err(DeviceError::Fought(name.clone())),
        (step, existing) => {
            if let (Step::Recreate(why), Some(link)) = (&step, &existing) {
                tracing::warn!(device = %name, reason = why, "making the device anew");
                netlink.delete_link(link.index)?;
            }
            (create(netlink, wanted, mac)?, true)
        }
    };
    let enabled = may_change && enable_ipv6(wanted)?;
    let (wireguard, configured) = match &wanted.kind {
        DeviceKind::Vxlan(_) => (None, false),
        DeviceKind::Wireguard(settings) => {
            let (seen, configured) = configure(netlink, name, link.index, settings, may_change)?;
            (Some(seen), configured)
        }
    };
    let device = Device {
        families: wanted.families.clone(),
        name: name.clone(),
        link: link.index,
        mac: link.mac.filter(|_| wanted.kind.has_mac()),
        public_key: wireguard.as_ref().and_then(|seen| seen.public_key),
        mtu: link.mtu,
    };
    Ok(Ensured {
        device,
        wireguard,
        changed: changed || enabled || configured,
    })
}

/// Gives a WireGuard device its key and port, if it has others. Returns it, and whether it had.
fn configure(
    netlink: &Netlink,
    name: &IfName,
    link: LinkIndex,
    settings: &WireguardSettings,
    may_change: bool,
) -> Result<(Wireguard, bool), DeviceError> {
    let seen = netlink.wireguard(link)?;
    if has_settings(&seen, settings) || !may_change {
        return Ok((seen, false));
    }
    tracing::info!(device = %name, port = settings.listen_port, "setting key and port");
    let set = netlink.set_wireguard(link, settings);
    set.map_err(|error| explain_port(name, settings, error))?;
    Ok((netlink.wireguard(link)?, true))
}

fn has_settings(seen: &Wireguard, settings: &WireguardSettings) -> bool {
    seen.private_key.as_ref() == Some(&settings.private_key)
        && seen.listen_port == settings.listen_port
}

/// Sockets are opened when a device goes up, or gets another port while it is.
fn explain_port(name: &IfName, settings: &WireguardSettings, error: kernel::Error) -> DeviceError {
    match error.is_address_in_use() {
        true => DeviceError::PortTaken {
            name: name.clone(),
            port: settings.listen_port,
        },
        false => error.into(),
    }
}

/// A device of ours under a strange name: it has what we have published, so peers send to it, and
/// its VNI or port cannot be had twice. It gets its name back.
fn take_back(
    netlink: &Netlink,
    wanted: &WantedDevice,
    mac: Option<MacAddr>,
) -> Result<Option<Link>, DeviceError> {
    let Some(strange) = strange(netlink, wanted, mac)? else {
        return Ok(None);
    };
    let name = &wanted.name;
    tracing::warn!(
        "{} is {name} under another name; it gets its name back",
        strange.name
    );
    let renamed = LinkChange {
        name: Some(name.clone()),
        ..LinkChange::default()
    };
    if let Err(error) = netlink.set_link(strange.index, &renamed) {
        if !error.is_busy() {
            return Err(error.into());
        }
        // Before Linux 6.2 a link has to be down for that.
        let down = LinkChange {
            up: Some(false),
            ..LinkChange::default()
        };
        netlink.set_link(strange.index, &down)?;
        netlink.set_link(strange.index, &renamed)?;
        netlink.set_link(strange.index, &up())?;
    }
    found(netlink, name).map(Some)
}

/// The link of any name that is the device which this node has published.
fn strange(
    netlink: &Netlink,
    wanted: &WantedDevice,
    mac: Option<MacAddr>,
) -> kernel::Result<Option<Link>> {
    match (&wanted.kind, mac) {
        (DeviceKind::Vxlan(_), None) => Ok(None),
        (DeviceKind::Vxlan(vxlan), Some(mac)) => {
            let mut links = netlink.links()?.into_iter();
            Ok(links.find(|link| is_ours(vxlan, link, mac)))
        }
        (DeviceKind::Wireguard(settings), _) => {
            for link in netlink.links()? {
                if link.kind == LinkKind::Wireguard
                    && has_settings(&netlink.wireguard(link.index)?, settings)
                {
                    return Ok(Some(link));
                }
            }
            Ok(None)
        }
    }
}

fn is_ours(wanted: &VxlanDevice, link: &Link, mac: MacAddr) -> bool {
    let same_tunnel = matches!(&link.kind, LinkKind::Vxlan(seen) if seen.vni == wanted.tunnel.vni);
    same_tunnel && link.mac == Some(mac)
}

/// Somebody who switches IPv6 off on a device takes its addresses and routes as well. Returns
/// whether it had to be switched on.
fn enable_ipv6(wanted: &WantedDevice) -> Result<bool, DeviceError> {
    if !wanted.families.contains(&Family::V6) {
        return Ok(false);
    }
    let key = format!("net/ipv6/conf/{}/disable_ipv6", wanted.name);
    match kernel::sysctl::set(&key, "0") {
        Ok(false) => Ok(false),
        Ok(true) => {
            tracing::info!("{}: IPv6 was disabled, enabled again", wanted.name);
            Ok(true)
        }
        // Without IPv6 there is no such key; then the kernel refuses the address, and says so.
        Err(error) if error.is_gone() => Ok(false),
        Err(error) => Err(error.into()),
    }
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
        DeviceKind::Wireguard(settings) => create_wireguard(netlink, wanted, settings)?,
    }
    refuse_router_advertisements(name);
    let link = found(netlink, name)?;
    tracing::info!(device = %name, index = link.index.0, "created");
    if let Err(error) = netlink.set_link(link.index, &up()) {
        return Err(match &wanted.kind {
            DeviceKind::Vxlan(_) => error.into(),
            DeviceKind::Wireguard(settings) => {
                // What says nothing to anybody goes again; the failure is the one to report.
                let _ = netlink.delete_link(link.index);
                explain_port(name, settings, error)
            }
        });
    }
    found(netlink, name)
}

fn up() -> LinkChange {
    LinkChange {
        up: Some(true),
        ..LinkChange::default()
    }
}

/// With its key and port before it goes up: packets that arrive first are not lost on it.
fn create_wireguard(
    netlink: &Netlink,
    wanted: &WantedDevice,
    settings: &WireguardSettings,
) -> Result<(), DeviceError> {
    let new = NewLink {
        mtu: Some(wanted.mtu),
        // As flannel leaves it.
        tx_queue_len: Some(0),
        ..NewLink::new(&wanted.name, NewKind::Wireguard)
    };
    let made = netlink.add_link(&new)?;
    netlink.set_wireguard(made.index, settings)?;
    Ok(())
}

fn create_vxlan(
    netlink: &Netlink,
    wanted: &WantedDevice,
    vxlan: &VxlanDevice,
    mac: Option<MacAddr>,
) -> Result<(), DeviceError> {
    let mac = match mac {
        Some(mac) => mac,
        None => MacAddr::random()?,
    };
    let new = NewLink {
        mac: Some(mac),
        mtu: Some(wanted.mtu),
        // As flannel leaves it.
        tx_queue_len: Some(0),
        ..NewLink::new(&wanted.name, NewKind::Vxlan(vxlan.tunnel.clone()))
    };
    let created = netlink.add_link(&new).map(drop);
    created.map_err(|error| explain(netlink, &wanted.name, vxlan.tunnel.vni, error))
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
fn explain(netlink: &Netlink, name: &IfName, vni: u32, error: kernel::Error) -> DeviceError {
    if !error.is_exists() {
        return error.into();
    }
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
            name: name.clone(),
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
        .filter(|link| cluster::is_backend_device(link.name.as_str()))
        .map(|link| link.index)
}

#[cfg(test)]
#[path = "devices_tests.rs"]
mod tests;

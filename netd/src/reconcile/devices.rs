//! The backend's devices: created, adopted, or made anew.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};

use backend::{Device, DeviceKind, Family, VxlanDevice, WantedDevice};
use kernel::{
    IfName, Link, LinkChange, LinkIndex, LinkKind, MacAddr, Netlink, NewKind, NewLink, Tap,
    TunQueue, Tunnel, TunnelProtocol, Wireguard, WireguardSettings, if_there,
};

/// What has to be done about one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is none.
    Create,
    /// The existing one cannot carry the cluster's traffic, for this reason.
    Recreate(String),
    /// There is one that somebody made for another purpose: it stays, as flannel leaves it.
    Refuse,
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
    /// Another device has the tunnels from the same address.
    #[error(
        "cannot create {name}: the device {holder} is of kind ipip too, with the local address \
         {local} and no remote, so that the kernel cannot tell them apart; remove it (ip link \
         delete {holder}) or give it a remote"
    )]
    TunnelTaken {
        /// The device to be.
        name: IfName,
        /// The outer source address.
        local: Ipv4Addr,
        /// Who has it.
        holder: IfName,
    },
    /// The name is another device's.
    #[error(
        "{name} is there, of kind {seen} and not {kind}: if nobody needs it, remove it (ip link \
         delete {name}), and netd makes its own"
    )]
    OtherKind {
        /// The device.
        name: IfName,
        /// The kind that it should be.
        kind: &'static str,
        /// The kind that it is.
        seen: String,
    },
    /// The kernel has no such devices.
    #[error(
        "cannot create {name}: this kernel has no devices of kind {kind}; load its module (modprobe \
         {kind}), run a kernel that has it, as Debian's have, or use the backend host-gw, which needs none"
    )]
    NoKind {
        /// The device to be.
        name: IfName,
        /// Its kind, which is the module's name.
        kind: &'static str,
    },
    /// Tun devices are made through a file, and that cannot be opened.
    #[error(
        "cannot create {name}: /dev/net/tun cannot be opened; load the module tun (modprobe tun), let \
         netd have the file (in a container: mount it and allow character device 10:200), or use the \
         backend vxlan"
    )]
    NoTun {
        /// The device to be.
        name: IfName,
        /// Why not.
        #[source]
        source: kernel::Error,
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
        DeviceKind::Ipip(local) => match ipip(link) {
            Some(seen) => other_tunnels(*local, seen),
            None => return Step::Refuse,
        },
        DeviceKind::Tun => match tun(link) {
            Some(seen) => other_queues(seen),
            None => return Step::Refuse,
        },
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

fn ipip(link: &Link) -> Option<&Tunnel> {
    match &link.kind {
        LinkKind::Tunnel(tunnel) if tunnel.protocol == TunnelProtocol::Ipip => Some(tunnel),
        _ => None,
    }
}

/// As flannel compares: an existing device keeps its hop limit and its discovery of the path's MTU.
fn other_tunnels(local: Ipv4Addr, seen: &Tunnel) -> Option<String> {
    let any = || "any".to_owned();
    let shown = |address: Option<IpAddr>| address.map_or_else(any, |address| address.to_string());
    let differs = |what, want, seen| difference(what, Some(shown(want)), Some(shown(seen)));
    differs("local address", Some(local.into()), seen.local)
        .or_else(|| differs("remote address", None, seen.remote))
}

fn tun(link: &Link) -> Option<&Tap> {
    match &link.kind {
        LinkKind::Tap(seen) if seen.is_tun => Some(seen),
        _ => None,
    }
}

/// What flanneld makes has one queue, which is its own. A temporary one was made by a program that came to
/// use it in the moment in which there was none.
fn other_queues(seen: &Tap) -> Option<String> {
    if seen.is_temporary {
        return Some("it goes with the program that has it open".to_owned());
    }
    let want = TunQueue::DEVICE;
    let fits = seen.multi_queue == want.multi_queue
        && seen.vnet_header == want.vnet_header
        && seen.packet_information == want.packet_information;
    (!fits).then(|| "it takes packets one by one, by one queue, as flanneld's".to_owned())
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

/// What this process knows of a device that it has, or has published.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// The MAC that it has published for it.
    pub mac: Option<MacAddr>,
    /// The link that it was when it was last looked at.
    pub link: Option<LinkIndex>,
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
    known: Known,
    may_change: bool,
) -> Result<Ensured, DeviceError> {
    let name = &wanted.name;
    let mac = known.mac;
    let existing = netlink.link(name)?;
    let renamed = match existing {
        None if may_change => take_back(netlink, wanted, known)?,
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
        (Step::Refuse, Some(link)) => {
            return Err(DeviceError::OtherKind {
                name: name.clone(),
                kind: kind_name(&wanted.kind),
                seen: link.kind.name().to_owned(),
            });
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
    let (offload, offloaded) = checksum_offload(netlink, wanted, may_change)?;
    let (wireguard, configured) = match &wanted.kind {
        DeviceKind::Vxlan(_) | DeviceKind::Ipip(_) | DeviceKind::Tun => (None, false),
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
        checksum_offload: offload,
    };
    Ok(Ensured {
        device,
        wireguard,
        changed: changed || enabled || offloaded || configured,
    })
}

/// Who computes checksums, where it matters, and whether that had to be changed.
fn checksum_offload(
    netlink: &Netlink,
    wanted: &WantedDevice,
    may_change: bool,
) -> Result<(Option<bool>, bool), DeviceError> {
    let DeviceKind::Vxlan(vxlan) = &wanted.kind else {
        return Ok((None, false));
    };
    let name = &wanted.name;
    let Some(seen) = if_there(netlink.offloads_checksums(name))? else {
        // It went just now: that is told, and met by the next look.
        return Ok((None, false));
    };
    match vxlan.checksum_offload {
        Some(on) if on != seen && may_change => {
            let who = if on { "the link below" } else { "the kernel" };
            tracing::info!(device = %name, "{who} computes the checksums of packets");
            netlink.set_checksum_offload(name, on)?;
            Ok((Some(on), true))
        }
        _ => Ok((Some(seen), false)),
    }
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
/// its VNI, port or tunnels cannot be had twice. It gets its name back.
fn take_back(
    netlink: &Netlink,
    wanted: &WantedDevice,
    known: Known,
) -> Result<Option<Link>, DeviceError> {
    let Some(strange) = strange(netlink, wanted, known)? else {
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

/// The link of any name that is the device which this node has published, or that
/// this process had.
fn strange(netlink: &Netlink, wanted: &WantedDevice, known: Known) -> kernel::Result<Option<Link>> {
    match (&wanted.kind, known.mac) {
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
        (DeviceKind::Ipip(local), _) => {
            let mut links = netlink.links()?.into_iter();
            let had = |link: &Link| Some(link.index) == known.link;
            Ok(links.find(|link| had(link) && has_tunnels(*local, link)))
        }
        (DeviceKind::Tun, _) => {
            let mut links = netlink.links()?.into_iter();
            let had = |link: &Link| Some(link.index) == known.link;
            Ok(links.find(|link| had(link) && tun(link).is_some()))
        }
    }
}

fn is_ours(wanted: &VxlanDevice, link: &Link, mac: MacAddr) -> bool {
    let same_tunnel = matches!(&link.kind, LinkKind::Vxlan(seen) if seen.vni == wanted.tunnel.vni);
    same_tunnel && link.mac == Some(mac)
}

/// Whether a link has the tunnels from an address to everywhere.
fn has_tunnels(local: Ipv4Addr, link: &Link) -> bool {
    ipip(link).is_some_and(|seen| other_tunnels(local, seen).is_none())
}

/// Somebody who switches IPv6 off on a device takes its addresses and routes as well. Returns
/// whether it had to be switched on.
fn enable_ipv6(wanted: &WantedDevice) -> Result<bool, DeviceError> {
    if !wanted.families.contains(&Family::V6) {
        return Ok(false);
    }
    let key = format!("net/ipv6/conf/{}/disable_ipv6", wanted.name);
    // Without IPv6 there is no such key; then the kernel refuses the address, and says so.
    let enabled = if_there(kernel::sysctl::set(&key, "0"))?.unwrap_or(false);
    if enabled {
        tracing::info!("{}: IPv6 was disabled, enabled again", wanted.name);
    }
    Ok(enabled)
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
        DeviceKind::Ipip(local) => create_ipip(netlink, wanted, *local)?,
        DeviceKind::Tun => create_tun(netlink, wanted)?,
    }
    refuse_router_advertisements(name);
    let link = found(netlink, name)?;
    tracing::info!(device = %name, index = link.index.0, "created");
    if let Err(error) = netlink.set_link(link.index, &up()) {
        return Err(match &wanted.kind {
            DeviceKind::Vxlan(_) | DeviceKind::Ipip(_) | DeviceKind::Tun => error.into(),
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
    let made = netlink.add_link(&new);
    let made = made.map_err(|error| explain_kind(wanted, error))?;
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
    created.map_err(|error| explain(netlink, wanted, vxlan.tunnel.vni, error))
}

/// Made as flannel makes it. Another device with the same tunnels is looked for first: on a link of
/// its own it would be no obstacle to the kernel, which hands it all packets that come in there.
fn create_ipip(
    netlink: &Netlink,
    wanted: &WantedDevice,
    local: Ipv4Addr,
) -> Result<(), DeviceError> {
    let mut links = netlink.links()?.into_iter();
    if let Some(holder) = links.find(|link| has_tunnels(local, link)) {
        return Err(DeviceError::TunnelTaken {
            name: wanted.name.clone(),
            local,
            holder: holder.name,
        });
    }
    let tunnel = Tunnel {
        local: Some(local.into()),
        pmtudisc: false,
        ..Tunnel::IPIP
    };
    let new = NewLink {
        mtu: Some(wanted.mtu),
        tx_queue_len: Some(0),
        ..NewLink::new(&wanted.name, NewKind::Tunnel(tunnel))
    };
    let created = netlink.add_link(&new).map(drop);
    created.map_err(|error| explain_kind(wanted, error))
}

/// It stays when whoever carries its packets ends: the pods' routes and connections wait for the next.
fn create_tun(netlink: &Netlink, wanted: &WantedDevice) -> Result<(), DeviceError> {
    kernel::link::tap::can_make().map_err(|source| DeviceError::NoTun {
        name: wanted.name.clone(),
        source,
    })?;
    let new = NewLink {
        mtu: Some(wanted.mtu),
        ..NewLink::new(&wanted.name, NewKind::Tap(TunQueue::DEVICE))
    };
    netlink.add_link(&new)?;
    Ok(())
}

fn explain_kind(wanted: &WantedDevice, error: kernel::Error) -> DeviceError {
    match error.is_unsupported() {
        true => DeviceError::NoKind {
            name: wanted.name.clone(),
            kind: kind_name(&wanted.kind),
        },
        false => error.into(),
    }
}

/// The kernel's word, also for the module.
fn kind_name(kind: &DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Vxlan(_) => "vxlan",
        DeviceKind::Wireguard(_) => "wireguard",
        DeviceKind::Ipip(_) => "ipip",
        DeviceKind::Tun => "tun",
    }
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
fn explain(
    netlink: &Netlink,
    wanted: &WantedDevice,
    vni: u32,
    error: kernel::Error,
) -> DeviceError {
    if !error.is_exists() {
        return explain_kind(wanted, error);
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
            name: wanted.name.clone(),
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

//! The gateway of a VLAN: `BRIDGE.VLAN` on the host, one end of a pair whose other end is a port of
//! the bridge and a member of that VLAN. All pods of the VLAN share it, and nobody removes it.

use std::collections::BTreeSet;

use attach::{Refusal, forwarding, identity};
use kernel::{
    IfName, Link, LinkChange, LinkIndex, Netlink, NewKind, NewLink, Peer, Undo, if_there,
    link::{Place, delete_link},
    sysctl::Sysctls,
};

use crate::{
    error::{Error, Result},
    lock::HostLock,
    sharing::{Own, Sharing},
    vlan::Vlans,
};

/// Which one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VlanGateway {
    pub name: IfName,
    pub vid: u16,
}

/// That of the pod's VLAN on the bridge, if it has one.
///
/// # Errors
/// Its name is too long for a link.
pub(crate) fn of(bridge: &IfName, vlans: &Vlans) -> Result<Option<VlanGateway>> {
    let Some(vid) = vlans.access else {
        return Ok(None);
    };
    let name = format!("{bridge}.{vid}");
    match name.parse() {
        Ok(name) => Ok(Some(VlanGateway { name, vid })),
        Err(_) => Err(Error::VlanGatewayName(name)),
    }
}

/// The VLANs of its port.
pub(crate) fn port_vlans(vid: u16, preserve_default: bool) -> Vlans {
    Vlans {
        access: Some(vid),
        trunk: BTreeSet::new(),
        preserve_default,
    }
}

/// What it shall be on the host.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub gateway: &'a VlanGateway,
    pub bridge: LinkIndex,
    /// In bytes.
    pub mtu: u32,
    /// Its port keeps the VLAN that it gets when it joins the bridge.
    pub preserve_default: bool,
    /// The pod's port, which is in the VLAN already.
    pub own: Own<'a>,
}

impl<'a> Wanted<'a> {
    /// The link, up, made if missing. One that is there is taken as it is, whoever made it. What was
    /// changed goes onto `undo`; it is taken back only while no other pod is in the VLAN.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn ensure(
        &self,
        host: &'a Netlink,
        sysctls: &Sysctls,
        undo: &mut Undo<'a>,
    ) -> Result<Link> {
        // Whoever takes it back holds the lock while he looks whether others need it.
        let _lock = HostLock::take()?;
        match host.link(&self.gateway.name)? {
            Some(link) => self.set_up(host, link, undo),
            None => self.make(host, sysctls, undo),
        }
    }

    fn make(&self, host: &'a Netlink, sysctls: &Sysctls, undo: &mut Undo<'a>) -> Result<Link> {
        let port = self.make_pair(host)?;
        let (port_index, gateway) = (port.index, port.peer);
        let sharing = self.sharing(Some(port_index));
        undo.push("VLAN gateway", move || {
            let _lock = HostLock::take()?;
            if sharing.has_others(host, &[])? {
                return Ok(());
            }
            let place = |index| Place { ns: None, index };
            if_there(delete_link(place(port_index), gateway.map(place)))?;
            Ok(())
        })?;
        // Advice only, as in the reference plugin: a kernel without IPv6 has no such file.
        let _ = sysctls.write(&format!("net/ipv6/conf/{}/accept_ra", port.name), "0");
        forwarding::at_once(sysctls, &self.gateway.name);
        port_vlans(self.gateway.vid, self.preserve_default).join(host, &port)?;
        let link = host.link(&self.gateway.name)?;
        let link = link.ok_or_else(|| Error::Vanished(self.gateway.name.to_string()))?;
        host.set_link(link.index, &up(true))
            .map_err(|source| self.refused(source.into()))?;
        Ok(link)
    }

    /// The port, with the gateway as its peer.
    fn make_pair(&self, host: &Netlink) -> Result<Link> {
        for name in &identity::veth_names(self.gateway.name.as_str()) {
            let gateway = Peer {
                name: &self.gateway.name,
                ns: None,
                mac: None,
            };
            let port = NewLink {
                master: Some(self.bridge),
                mtu: Some(self.mtu),
                tx_queue_len: Some(0),
                up: true,
                ..NewLink::new(name, NewKind::Veth(gateway))
            };
            match host.add_link(&port) {
                Ok(port) => return Ok(port),
                // Whoever has the gateway's name does not know the lock, or the name is the port's.
                Err(source) if source.is_exists() && host.link(&self.gateway.name)?.is_none() => {}
                Err(source) => return Err(self.refused(source.into())),
            }
        }
        Err(Error::NoVlanGatewayPort(self.gateway.name.to_string()))
    }

    fn set_up(&self, host: &'a Netlink, link: Link, undo: &mut Undo<'a>) -> Result<Link> {
        if link.up {
            return Ok(link);
        }
        let (index, sharing) = (link.index, self.sharing(link.peer));
        host.set_link(index, &up(true))
            .map_err(|source| self.refused(source.into()))?;
        undo.push("VLAN gateway up", move || {
            let _lock = HostLock::take()?;
            match sharing.has_others(host, &[])? {
                true => Ok(()),
                false => Ok(host.set_link(index, &up(false))?),
            }
        })?;
        Ok(link)
    }

    /// Who relies on it. `port`: its own port of the bridge.
    pub(crate) fn sharing(&self, port: Option<LinkIndex>) -> Sharing<'a> {
        Sharing {
            bridge: self.bridge,
            own: self.own,
            vlan: Some((self.gateway.vid, port)),
        }
    }

    fn refused(&self, source: Refusal) -> Error {
        Error::VlanGateway {
            name: self.gateway.name.to_string(),
            source,
        }
    }
}

fn up(up: bool) -> LinkChange {
    LinkChange {
        up: Some(up),
        ..LinkChange::default()
    }
}

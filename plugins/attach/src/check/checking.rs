//! One CHECK: what every interface plugin compares.

use cni::{AddResult, Attachment, Call, Interface};
use ipnetwork::IpNetwork;
use kernel::{IfName, Link, LinkIndex, LinkKind, MacAddr, Netlink, Route, route::RouteFilter};

use super::{Mismatch, addresses, moved, routes};
use crate::{
    Error, Identity, chained, conf::IpamConf, flowtable::Uplinks, forwarding, ipam::Ipam,
    masquerade::Masquerading, netns,
};

/// The attachment as ADD reported it, and the two namespaces as they are.
pub struct Checking<'a> {
    attachment: &'a Attachment,
    /// Whose what is looked for is.
    pub identity: Identity<'a>,
    /// The result of ADD.
    pub added: AddResult,
    /// Socket in the host's namespace.
    pub host: Netlink,
    pub(super) container: Netlink,
}

impl<'a> Checking<'a> {
    /// Asks IPAM, then reads what there is to compare.
    ///
    /// # Errors
    /// No such namespace; what IPAM finds; no result of ADD.
    pub fn start(
        call: &'a Call<'a>,
        attachment: &'a Attachment,
        ipam: &IpamConf,
    ) -> Result<Self, cni::Error> {
        let ns = netns::open(&attachment.netns)?;
        if let Some(ipam) = Ipam::find(call, &ipam.plugin_type)? {
            ipam.check(attachment)?;
        }
        Ok(Self {
            attachment,
            identity: Identity::new(call, attachment),
            added: chained::previous(call)?,
            host: Netlink::open().map_err(Error::from)?,
            container: netns::socket(&ns)?,
        })
    }

    /// The pod's interface in the result of ADD.
    ///
    /// # Errors
    /// It is not there with this name and this sandbox.
    pub fn recorded(&self) -> Result<&Interface, Mismatch> {
        let Attachment { ifname, netns, .. } = self.attachment;
        let ours = |interface: &&Interface| {
            interface.name == ifname.as_str() && interface.sandbox.as_ref() == Some(netns)
        };
        let recorded = self.added.interfaces.iter().find(ours);
        recorded.ok_or_else(|| Mismatch::Sandbox {
            sandbox: String::new(),
            netns: netns.clone(),
        })
    }

    /// The pod's interface, with the recorded MAC address and of the kind that `is_of_kind` says;
    /// `kind` is that in words.
    ///
    /// # Errors
    /// It is gone or another.
    pub fn pod_link(
        &self,
        kind: &'static str,
        is_of_kind: impl FnOnce(&LinkKind) -> bool,
    ) -> Result<Link, cni::Error> {
        let recorded = self.recorded()?;
        let name = &recorded.name;
        let link = by_name(&self.container, name)?;
        if !is_of_kind(&link.kind) {
            let (name, wanted) = (name.clone(), kind);
            return Err(Mismatch::Kind { name, wanted }.into());
        }
        if let Some(wanted) = differing_mac(recorded, &link) {
            return Err(Mismatch::ContainerMac {
                name: name.clone(),
                wanted: wanted.to_owned(),
                seen: link.mac.map(|mac| mac.to_string()).unwrap_or_default(),
            }
            .into());
        }
        Ok(link)
    }

    /// The pod's end of a pair.
    ///
    /// # Errors
    /// As [`pod_link`](Self::pod_link).
    pub fn pod_end(&self) -> Result<Link, cni::Error> {
        let link = self.pod_link("veth", |kind| *kind == LinkKind::Veth)?;
        match link.peer {
            Some(_) => Ok(link),
            None => Err(Mismatch::NoPeer(link.name.to_string()).into()),
        }
    }

    /// The recorded link of the host that is the other end of the pod's pair, a port of `master`
    /// if there is one, up, and with at least the configured MTU; `None` if there is none.
    ///
    /// # Errors
    /// A recorded link is gone; the other end is not as it should be.
    pub fn host_end(
        &self,
        end: &Link,
        master: Option<LinkIndex>,
        mtu: Option<u32>,
    ) -> Result<Option<Link>, cni::Error> {
        let pods = self.recorded()?;
        for recorded in self
            .added
            .interfaces
            .iter()
            .filter(|other| other.name != pods.name)
        {
            let link = self.on_host(recorded)?;
            let is_peer = link.kind == LinkKind::Veth
                && end.peer == Some(link.index)
                && link.peer == Some(end.index);
            if is_peer && (master.is_none() || link.master == master) {
                is_intact(recorded, &link, mtu)?;
                return Ok(Some(link));
            }
        }
        Ok(None)
    }

    /// A recorded interface's link on the host.
    ///
    /// # Errors
    /// It is gone; the record says that it is in a sandbox.
    pub fn on_host(&self, recorded: &Interface) -> Result<Link, cni::Error> {
        let link = by_name(&self.host, &recorded.name)?;
        match recorded.sandbox.as_deref() {
            None | Some("") => Ok(link),
            Some(_) => Err(Mismatch::InSandbox(recorded.name.clone()).into()),
        }
    }

    /// The recorded addresses and routes are in the pod, in their tables or where a later plugin of
    /// the chain moved them.
    ///
    /// # Errors
    /// The first that is not.
    pub fn addresses_and_routes(&self, link: &Link) -> Result<(), cni::Error> {
        let seen = self.container.addresses(Some(link.index));
        let seen = seen.map_err(Error::from)?;
        let there = self.container.routes_by_next_hop(&RouteFilter::default());
        let mut there = there.map_err(Error::from)?;
        let compare = |there: &[Route]| {
            addresses(link.name.as_str(), &self.added, &seen, there)?;
            routes(&self.added, there)
        };
        if compare(&there).is_ok() {
            return Ok(());
        }
        let moved = moved::tables(&self.container, link, &self.added).map_err(Error::from)?;
        moved::count_as_main(&mut there, &moved);
        Ok(compare(&there)?)
    }

    /// The host's link has these addresses, and the host forwards the packets of their families.
    ///
    /// # Errors
    /// The first address that is missing; a family that is not forwarded.
    pub fn gateways(&self, link: &Link, wanted: &[IpNetwork]) -> Result<(), cni::Error> {
        let present = self.host.addresses(Some(link.index));
        let present = present.map_err(Error::from)?;
        let is_there = |wanted: &IpNetwork| present.iter().any(|seen| seen.address == *wanted);
        if let Some(address) = wanted.iter().find(|wanted| !is_there(wanted)) {
            return Err(Mismatch::NoGateway {
                interface: link.name.to_string(),
                address: *address,
            }
            .into());
        }
        let ipv4 = wanted.iter().any(IpNetwork::is_ipv4);
        let ipv6 = wanted.iter().any(IpNetwork::is_ipv6);
        match forwarding::disabled(ipv4, ipv6)? {
            Some(key) => Err(Mismatch::NotForwarding(key).into()),
            None => Ok(()),
        }
    }

    /// The recorded addresses are masqueraded where that is wanted.
    ///
    /// # Errors
    /// The first that is not.
    pub fn masquerading(&self, wanted: Option<Masquerading>) -> Result<(), cni::Error> {
        let Some(wanted) = wanted else { return Ok(()) };
        let checked = wanted.check(self.identity, &self.added);
        checked.map_err(cni::Error::internal)
    }

    /// Long connections between `link`, which the pod is behind, and the uplinks bypass the rules where that is wanted.
    ///
    /// # Errors
    /// What that takes and is not there.
    pub fn flowtable(&self, wanted: Option<&Uplinks>, link: &IfName) -> Result<(), cni::Error> {
        match wanted {
            Some(uplinks) => Ok(uplinks.check(&self.host, link)?),
            None => Ok(()),
        }
    }
}

fn is_intact(recorded: &Interface, link: &Link, mtu: Option<u32>) -> Result<(), Mismatch> {
    let name = link.name.to_string();
    if let Some(mac) = differing_mac(recorded, link) {
        let mac = mac.to_owned();
        return Err(Mismatch::HostMac { name, mac });
    }
    if !link.up {
        return Err(Mismatch::HostDown(name));
    }
    match mtu {
        Some(wanted) if link.mtu < wanted => Err(Mismatch::Mtu {
            name,
            wanted,
            seen: link.mtu,
        }),
        _ => Ok(()),
    }
}

fn by_name(netlink: &Netlink, name: &str) -> Result<Link, cni::Error> {
    let missing = || Mismatch::NotFound(name.to_owned());
    let valid: IfName = name.parse().map_err(|_| missing())?;
    let link = netlink.link(&valid).map_err(Error::from)?;
    Ok(link.ok_or_else(missing)?)
}

/// The recorded MAC address, if it is not the link's. Compared as addresses, not as text; nothing
/// recorded, nothing compared.
pub fn differing_mac<'a>(recorded: &'a Interface, link: &Link) -> Option<&'a str> {
    let text = recorded.mac.as_deref().filter(|mac| !mac.is_empty())?;
    let mac: Option<MacAddr> = text.parse().ok();
    (mac.is_none() || mac != link.mac).then_some(text)
}

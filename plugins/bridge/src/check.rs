//! CHECK: whether the attachment is as ADD left it, whether podwire or the reference plugin made
//! it. What later plugins of a chain add is no failure.

use attach::{Identity, check as helpers, forwarding, ipam::Ipam, masquerade, netns};
use cni::{AddResult, Attachment, Interface, call::Call};
use ipnetwork::IpNetwork;
use kernel::{BridgePort, IfName, Link, LinkKind, MacAddr, NetNs, Netlink, route::RouteFilter};

use crate::{
    add::owner,
    config::{Config, Masquerading},
    error::Error,
    gateway, spoof_check,
};

/// A difference, in the words of the reference plugins where those look at it.
#[derive(Debug, thiserror::Error)]
enum Mismatch {
    #[error("Required prevResult missing")]
    NoPrevResult,
    #[error("Interface name missing ")]
    NoName,
    #[error("Interface name {0} not found")]
    NotFound(String),
    #[error("Interface {0} should not be in sandbox")]
    InSandbox(String),
    #[error("Interface {0} does not have link type of bridge")]
    NotABridge(String),
    #[error("Bridge interface {name} Mac doesn't match: {mac}")]
    BridgeMac { name: String, mac: String },
    #[error(
        "Bridge interface {name} configured Promisc Mode {wanted} doesn't match current state: \
         {seen} "
    )]
    Promisc {
        name: String,
        wanted: bool,
        seen: bool,
    },
    #[error("Sandbox in prevResult {sandbox} doesn't match configured netns: {netns}")]
    Sandbox { sandbox: String, netns: String },
    #[error("Error: Container interface {0} not of type veth")]
    NotAVeth(String),
    #[error("Unable to obtain veth peer index for veth {0}")]
    NoPeer(String),
    #[error("Interface {name} Mac {wanted} doesn't match container Mac: {seen}")]
    ContainerMac {
        name: String,
        wanted: String,
        seen: String,
    },
    #[error("Interface {name} Mac doesn't match: {mac} not found")]
    HostMac { name: String, mac: String },
    #[error("CNI veth created for bridge {0} was not found")]
    NoHostVeth(String),
    #[error("Host interface {0} is down")]
    HostDown(String),
    #[error("Bridge interface {0} is down")]
    BridgeDown(String),
    #[error("Bridge interface {name} does not have the gateway's address {address}")]
    NoGateway { name: String, address: IpNetwork },
    #[error("{0} is 0: packets of the pods are not forwarded")]
    NotForwarding(&'static str),
    #[error("Host interface {name} has MTU {seen}, less than the configured {wanted}")]
    Mtu {
        name: String,
        wanted: u32,
        seen: u32,
    },
    #[error(
        "Port {name} of bridge {bridge}: configured {flag} {wanted} doesn't match current state: {seen}"
    )]
    PortFlag {
        name: String,
        bridge: String,
        flag: &'static str,
        wanted: bool,
        seen: bool,
    },
}

impl From<Mismatch> for cni::Error {
    fn from(mismatch: Mismatch) -> Self {
        Self::internal(mismatch)
    }
}

/// Checks the attachment.
///
/// # Errors
/// The first difference from the result of ADD (`prevResult`) or from the configuration.
pub(crate) fn check(call: &Call<'_>, attachment: &Attachment) -> Result<(), cni::Error> {
    let config = Config::for_check(call)?;
    let netns = attachment.netns.as_deref().unwrap_or_default();
    let ns = netns::open(netns).map_err(Error::from)?;
    if let Some(ipam) = Ipam::find(call, &config.ipam_type)? {
        ipam.check(attachment)?;
    }
    let added = call.prev_result()?.ok_or(Mismatch::NoPrevResult)?;
    let checking = Checking {
        config: &config,
        attachment,
        netns,
        added: &added,
    };
    checking.run(&ns, Identity::new(call, attachment))
}

/// One CHECK.
struct Checking<'a> {
    config: &'a Config,
    attachment: &'a Attachment,
    netns: &'a str,
    added: &'a AddResult,
}

impl Checking<'_> {
    fn run(&self, ns: &NetNs, identity: Identity<'_>) -> Result<(), cni::Error> {
        let host = Netlink::open().map_err(Error::from)?;
        let container = netns::socket(ns).map_err(Error::from)?;
        let bridge = self.bridge(&host)?;
        let end = self.container_end(&container)?;
        let port = self.host_end(&host, &bridge, &end)?;
        self.port(&bridge, &port)?;
        self.gateway(&host, &bridge)?;
        self.addresses_and_routes(&container, &end)?;
        self.packet_filters(&port, &end, identity)
    }

    fn bridge(&self, host: &Netlink) -> Result<Link, cni::Error> {
        let name = self.config.bridge.as_str();
        let recorded = self
            .added
            .interfaces
            .iter()
            .find(|interface| interface.name == name);
        let recorded = recorded.ok_or(Mismatch::NoName)?;
        let link = on_host(host, recorded)?;
        if !matches!(link.kind, LinkKind::Bridge { .. }) {
            return Err(Mismatch::NotABridge(name.to_owned()).into());
        }
        if !link.up {
            return Err(Mismatch::BridgeDown(name.to_owned()).into());
        }
        if let Some(mac) = differing_mac(recorded, &link) {
            return Err(Mismatch::BridgeMac {
                name: name.to_owned(),
                mac: mac.to_owned(),
            }
            .into());
        }
        if link.promisc != self.config.promisc {
            return Err(Mismatch::Promisc {
                name: name.to_owned(),
                wanted: self.config.promisc,
                seen: link.promisc,
            }
            .into());
        }
        Ok(link)
    }

    fn recorded_container(&self) -> Result<&Interface, Mismatch> {
        let ifname = self.attachment.ifname.as_str();
        let ours = |interface: &&Interface| {
            interface.name == ifname && interface.sandbox.as_deref() == Some(self.netns)
        };
        self.added
            .interfaces
            .iter()
            .find(ours)
            .ok_or_else(|| Mismatch::Sandbox {
                sandbox: String::new(),
                netns: self.netns.to_owned(),
            })
    }

    fn container_end(&self, container: &Netlink) -> Result<Link, cni::Error> {
        let recorded = self.recorded_container()?;
        let link = by_name(container, &recorded.name)?;
        if link.kind != LinkKind::Veth {
            return Err(Mismatch::NotAVeth(recorded.name.clone()).into());
        }
        if link.peer.is_none() {
            return Err(Mismatch::NoPeer(recorded.name.clone()).into());
        }
        if let Some(wanted) = differing_mac(recorded, &link) {
            return Err(Mismatch::ContainerMac {
                name: recorded.name.clone(),
                wanted: wanted.to_owned(),
                seen: link.mac.map(|mac| mac.to_string()).unwrap_or_default(),
            }
            .into());
        }
        Ok(link)
    }

    /// The recorded interface that is the other end of the container's pair and a port of the
    /// bridge.
    fn host_end(&self, host: &Netlink, bridge: &Link, end: &Link) -> Result<Link, cni::Error> {
        let known = [self.config.bridge.as_str(), self.attachment.ifname.as_str()];
        let others = self.added.interfaces.iter();
        for recorded in others.filter(|interface| !known.contains(&interface.name.as_str())) {
            let link = on_host(host, recorded)?;
            let is_peer = link.kind == LinkKind::Veth
                && end.peer == Some(link.index)
                && link.peer == Some(end.index);
            if !is_peer || link.master != Some(bridge.index) {
                continue;
            }
            if let Some(mac) = differing_mac(recorded, &link) {
                let (name, mac) = (recorded.name.clone(), mac.to_owned());
                return Err(Mismatch::HostMac { name, mac }.into());
            }
            return Ok(link);
        }
        Err(Mismatch::NoHostVeth(bridge.name.to_string()).into())
    }

    fn port(&self, bridge: &Link, port: &Link) -> Result<(), Mismatch> {
        if !port.up {
            return Err(Mismatch::HostDown(port.name.to_string()));
        }
        if let Some(wanted) = self.config.mtu.filter(|wanted| port.mtu < *wanted) {
            return Err(Mismatch::Mtu {
                name: port.name.to_string(),
                wanted,
                seen: port.mtu,
            });
        }
        let seen = port.port.unwrap_or(BridgePort {
            hairpin: false,
            isolated: false,
        });
        for (flag, wanted, seen) in [
            ("hairpin mode", self.config.hairpin, seen.hairpin),
            ("isolation", self.config.isolated, seen.isolated),
        ] {
            if wanted != seen {
                let (name, bridge) = (port.name.to_string(), bridge.name.to_string());
                return Err(Mismatch::PortFlag {
                    name,
                    bridge,
                    flag,
                    wanted,
                    seen,
                });
            }
        }
        Ok(())
    }

    /// With `isGateway`: the bridge has the gateways' addresses, and the host forwards.
    fn gateway(&self, host: &Netlink, bridge: &Link) -> Result<(), cni::Error> {
        if !self.config.is_gateway {
            return Ok(());
        }
        let wanted = gateway::addresses(&self.added.ips);
        let present = host.addresses(Some(bridge.index)).map_err(Error::from)?;
        let lacking = wanted
            .iter()
            .find(|wanted| !present.iter().any(|seen| seen.address == **wanted));
        if let Some(address) = lacking {
            return Err(Mismatch::NoGateway {
                name: bridge.name.to_string(),
                address: *address,
            }
            .into());
        }
        let ipv4 = wanted.iter().any(IpNetwork::is_ipv4);
        let ipv6 = wanted.iter().any(IpNetwork::is_ipv6);
        match forwarding::disabled(ipv4, ipv6).map_err(Error::from)? {
            Some(key) => Err(Mismatch::NotForwarding(key).into()),
            None => Ok(()),
        }
    }

    fn addresses_and_routes(&self, container: &Netlink, end: &Link) -> Result<(), cni::Error> {
        let addresses = container.addresses(Some(end.index)).map_err(Error::from)?;
        let routes = container
            .routes_by_next_hop(&RouteFilter::default())
            .map_err(Error::from)?;
        helpers::addresses(end.name.as_str(), self.added, &addresses, &routes)
            .and_then(|()| helpers::routes(self.added, &routes))
            .map_err(cni::Error::internal)
    }

    fn packet_filters(
        &self,
        port: &Link,
        end: &Link,
        identity: Identity<'_>,
    ) -> Result<(), cni::Error> {
        if let Some(Masquerading { backend }) = self.config.masquerading {
            let ips = helpers::own_addresses(end.name.as_str(), self.added);
            let addresses: Vec<IpNetwork> = ips.map(|ip| ip.address).collect();
            masquerade::check(backend, &owner(identity), &addresses)
                .map_err(cni::Error::internal)?;
        }
        if self.config.spoof_check {
            let (id, ifname) = (identity.container_id.as_str(), identity.ifname.as_str());
            let recorded = self
                .recorded_container()?
                .mac
                .as_deref()
                .and_then(|mac| mac.parse().ok());
            if let Some(mac) = recorded.or(end.mac) {
                spoof_check::check(port.name.as_str(), mac, id, ifname)
                    .map_err(cni::Error::internal)?;
            }
        }
        Ok(())
    }
}

/// A recorded host interface's link.
fn on_host(host: &Netlink, recorded: &Interface) -> Result<Link, cni::Error> {
    let link = by_name(host, &recorded.name)?;
    if recorded
        .sandbox
        .as_deref()
        .is_some_and(|sandbox| !sandbox.is_empty())
    {
        return Err(Mismatch::InSandbox(recorded.name.clone()).into());
    }
    Ok(link)
}

fn by_name(netlink: &Netlink, name: &str) -> Result<Link, cni::Error> {
    let missing = || Mismatch::NotFound(name.to_owned());
    let valid: IfName = name.parse().map_err(|_| missing())?;
    let link = netlink.link(&valid).map_err(Error::from)?;
    Ok(link.ok_or_else(missing)?)
}

/// The recorded MAC address, if it is not the link's. Compared as addresses, not as text; nothing
/// recorded, nothing compared.
fn differing_mac<'a>(recorded: &'a Interface, link: &Link) -> Option<&'a str> {
    let text = recorded.mac.as_deref().filter(|mac| !mac.is_empty())?;
    let mac: Option<MacAddr> = text.parse().ok();
    (mac.is_none() || mac != link.mac).then_some(text)
}

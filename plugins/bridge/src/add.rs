//! ADD: a list of steps, each of which leaves its inverse on the undo stack.

use std::time::Duration;

use attach::{
    Identity, apply,
    apply::{Configured, DuplicateDetection},
    forwarding,
    ipam::Ipam,
    masquerade, netns, settle,
    veth::{self, Namespaces, Pair, Wanted},
};
use cni::{AddResult, Attachment, Interface, call::Call};
use ipnetwork::IpNetwork;
use kernel::{BridgePort, Link, Netlink, Undo};

use crate::{
    config::{Config, Masquerading},
    device::{self, Bridge},
    error::{Error, Result},
    gateway::{self, Gateway},
    lock::HostLock,
    spoof_check,
};

/// How long the port may take to become operational, as in the reference plugins (they look after
/// 0, 50, 500, 1000 and 1000 ms).
const PORT_LIMIT: Duration = Duration::from_millis(2550);
/// EXFULL: what the kernel says of a bridge that has all its ports.
const NO_FREE_PORT: i32 = 54;
/// Where the container interface stands in the result.
const CONTAINER: usize = 2;

/// Attaches the container. A failure leaves the machine as it was.
///
/// # Errors
/// The configuration cannot work, or a step failed.
pub(crate) fn add(call: &Call<'_>, attachment: &Attachment) -> Result<AddResult, cni::Error> {
    let config = Config::for_add(call)?;
    // Looked at before anything is changed.
    let path = attachment.netns.as_deref().unwrap_or_default();
    let container_ns = netns::open(path).map_err(Error::from)?;
    let host = Netlink::open().map_err(Error::from)?;
    let ipam = Ipam::find(call, &config.ipam_type)?;
    let attaching = Attaching {
        attachment,
        config: &config,
        identity: Identity::new(call, attachment),
        namespaces: Namespaces {
            host: &host,
            container: &container_ns,
        },
        ipam: ipam.as_ref(),
    };
    Ok(attaching.run()?)
}

/// One ADD.
#[derive(Clone, Copy)]
struct Attaching<'a> {
    attachment: &'a Attachment,
    config: &'a Config,
    identity: Identity<'a>,
    namespaces: Namespaces<'a>,
    ipam: Option<&'a Ipam<'a>>,
}

impl<'a> Attaching<'a> {
    fn run(self) -> Result<AddResult> {
        let mut undo = Undo::new();
        let result = self.steps(&mut undo)?;
        undo.commit();
        Ok(result)
    }

    fn steps(self, undo: &mut Undo<'a>) -> Result<AddResult> {
        let (bridge, pair) = self.make_bridge_and_pair(undo)?;
        self.check_spoofing(&pair, undo)?;
        let mut result = self.get_addresses(undo)?;
        result.interfaces = self.interfaces(&bridge.link, &pair);
        let mut configured = None;
        if self.ipam.is_some() {
            configured = Some(self.configure_container(&pair, &result)?);
            self.configure_gateway(&bridge, &pair, &result, undo)?;
            self.masquerade(&result, undo)?;
        } else if !self.config.disable_container_interface {
            apply::set_up(self.namespaces.container, &pair.container)?;
        }
        self.settle(&bridge.link, &pair, &mut result)?;
        if let Some(configured) = configured {
            // The port forwards only now.
            configured.announce()?;
        }
        Ok(result)
    }

    /// The pair's host end is a port of the bridge from the start.
    fn make_bridge_and_pair(self, undo: &mut Undo<'a>) -> Result<(Bridge, Pair)> {
        // Whoever takes a bridge back holds the lock while he looks whether it has ports.
        let _lock = HostLock::take()?;
        let bridge = device::ensure(self.namespaces.host, self.config, undo)?;
        let pair = self.make_pair(&bridge.link, undo)?;
        Ok((bridge, pair))
    }

    fn make_pair(self, bridge: &Link, undo: &mut Undo<'a>) -> Result<Pair> {
        let port = BridgePort {
            hairpin: self.config.hairpin,
            isolated: self.config.isolated,
        };
        let wanted = Wanted {
            master: Some(bridge.index),
            port: (port.hairpin || port.isolated).then_some(port),
            mtu: self.config.mtu,
            mac: self.config.mac,
        };
        let made = veth::add(self.namespaces, self.identity, &wanted, undo);
        made.map_err(|error| match error {
            attach::Error::MakeVeth { source } if source.0.errno() == Some(NO_FREE_PORT) => {
                let full = device::has_room(self.namespaces.host, bridge).err();
                full.unwrap_or_else(|| attach::Error::MakeVeth { source }.into())
            }
            other => other.into(),
        })
    }

    fn check_spoofing(self, pair: &Pair, undo: &mut Undo<'a>) -> Result<()> {
        if !self.config.spoof_check {
            return Ok(());
        }
        let (container, ifname) = (
            self.identity.container_id.as_str(),
            self.identity.ifname.as_str(),
        );
        undo.push("spoof check", move || {
            Ok(spoof_check::remove(container, ifname)?)
        })?;
        let host = pair.host.name.as_str();
        Ok(spoof_check::add(
            host,
            pair.container.mac,
            container,
            ifname,
        )?)
    }

    /// What IPAM gives, completed with what the bridge adds as gateway.
    fn get_addresses(self, undo: &mut Undo<'a>) -> Result<AddResult> {
        let Some(ipam) = self.ipam else {
            let dns = self.config.dns.clone();
            return Ok(AddResult {
                dns,
                ..AddResult::default()
            });
        };
        let mut result = ipam.add(self.attachment, undo)?;
        for ip in &mut result.ips {
            ip.interface = Some(CONTAINER);
        }
        if self.config.is_gateway {
            gateway::complete(&mut result, self.config.is_default_gateway);
        }
        if !self.config.dns.is_empty() {
            result.dns = self.config.dns.clone();
        }
        Ok(result)
    }

    fn interfaces(self, bridge: &Link, pair: &Pair) -> Vec<Interface> {
        let host = |link: &Link| Interface {
            name: link.name.to_string(),
            mac: link.mac.map(|mac| mac.to_string()),
            ..Interface::default()
        };
        let container = Interface {
            name: pair.container.name.to_string(),
            mac: Some(pair.container.mac.to_string()),
            sandbox: self.attachment.netns.clone(),
            ..Interface::default()
        };
        vec![host(bridge), host(&pair.host), container]
    }

    fn configure_container<'p>(self, pair: &'p Pair, result: &AddResult) -> Result<Configured<'p>> {
        let detection = if self.config.detect_duplicate_addresses {
            DuplicateDetection::On
        } else {
            DuplicateDetection::Off
        };
        let ns = self.namespaces.container;
        Ok(apply::apply(ns, &pair.container, result, detection)?)
    }

    fn configure_gateway(
        self,
        bridge: &Bridge,
        pair: &Pair,
        result: &AddResult,
        undo: &mut Undo<'a>,
    ) -> Result<()> {
        if !self.config.is_gateway {
            return Ok(());
        }
        let addresses = gateway::addresses(&result.ips);
        let host = self.namespaces.host;
        let gateway = Gateway {
            host,
            bridge,
            port: &pair.host,
        };
        gateway.ensure(&addresses, self.config.force_address, undo)?;
        let ipv4 = addresses.iter().any(|address| address.is_ipv4());
        let ipv6 = addresses.iter().any(|address| address.is_ipv6());
        Ok(forwarding::enable(ipv4, ipv6)?)
    }

    fn masquerade(self, result: &AddResult, undo: &mut Undo<'a>) -> Result<()> {
        let Some(Masquerading { backend }) = self.config.masquerading else {
            return Ok(());
        };
        let owner = owner(self.identity);
        let addresses: Vec<IpNetwork> = result.ips.iter().map(|ip| ip.address).collect();
        let to_remove = addresses.clone();
        undo.push("masquerade", move || {
            Ok(masquerade::remove(&owner, &to_remove)?)
        })?;
        Ok(masquerade::add(backend, &owner, &addresses)?)
    }

    /// Waits for the port, then reads what the kernel has decided meanwhile: a bridge without a
    /// pinned MAC address has taken one of its ports'.
    fn settle(self, bridge: &Link, pair: &Pair, result: &mut AddResult) -> Result<()> {
        let host = self.namespaces.host;
        if !self.config.disable_container_interface {
            let port = settle::until_up(host, pair.host.index, PORT_LIMIT)?;
            let port = port.ok_or_else(|| Error::Vanished(pair.host.name.to_string()))?;
            if !port.oper_up {
                return Err(Error::PortState(port.operstate.to_string()));
            }
        }
        let bridge = host.link_by_index(bridge.index)?;
        if let (Some(bridge), Some(interface)) = (bridge, result.interfaces.first_mut()) {
            interface.mac = bridge.mac.map(|mac| mac.to_string());
        }
        Ok(())
    }
}

/// Whose packets are masqueraded.
pub(crate) fn owner(identity: Identity<'_>) -> masquerade::Owner<'_> {
    masquerade::Owner {
        network: identity.network.as_str(),
        container_id: identity.container_id.as_str(),
        ifname: identity.ifname.as_str(),
    }
}

//! ADD: a list of steps, each of which leaves its inverse on the undo stack.

use std::time::Duration;

use attach::{
    Attaching,
    apply::{self, Configured, DuplicateDetection, Manner, Subnet},
    attaching::host_interface,
    flowtable::Behind,
    forwarding, settle,
    veth::{Pair, Wanted},
};
use cni::{AddResult, Attachment, Call};
use kernel::{BridgePort, Link, LinkChange, Undo};

use crate::{
    config::Config,
    device::{self, Bridge},
    error::{Error, Result},
    flood_suppression::{self, Known},
    gateway::{self, Gateway},
    lock::HostLock,
    sharing::Own,
    spoof_check, vlan_gateway,
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
    let base = Attaching::start(call, attachment, &config.ipam)?;
    if let Some(uplinks) = &config.uplinks {
        uplinks.are_there(&base.host)?;
    }
    let plugged = Plugging {
        base: &base,
        config: &config,
    };
    Ok(base.run(|undo| plugged.steps(undo))?)
}

/// One ADD.
#[derive(Clone, Copy)]
struct Plugging<'a> {
    base: &'a Attaching<'a>,
    config: &'a Config,
}

impl<'a> Plugging<'a> {
    fn steps(self, undo: &mut Undo<'a>) -> Result<AddResult> {
        let (bridge, pair) = self.make_bridge_and_pair(undo)?;
        self.check_spoofing(&pair, undo)?;
        let mut result = self.base.addresses(CONTAINER, &self.config.dns, undo)?;
        if self.config.is_gateway {
            gateway::complete(&mut result, self.config.is_default_gateway);
        }
        result.interfaces = vec![
            host_interface(&bridge.link),
            host_interface(&pair.host),
            self.base.pod_interface(&pair.container),
        ];
        let mut configured = None;
        if !self.config.ipam.is_none() {
            configured = Some(self.configure_container(&pair, &result)?);
            self.configure_gateway(&bridge, &pair, &mut result, undo)?;
            self.suppress_flooding(&bridge, &pair, &result, undo)?;
            self.masquerade(&result, undo)?;
        } else if !self.config.disable_container_interface {
            apply::set_up(&self.base.container, &pair.container)?;
        }
        self.read_bridge_mac(&bridge.link, &mut result)?;
        match configured {
            Some(configured) if self.opens_early() => configured.announce(|| Ok::<_, Error>(()))?,
            Some(configured) => configured.announce(|| self.open_port(&pair))?,
            None => self.open_port(&pair)?,
        }
        self.settle_bridge(&bridge)?;
        self.fill_flowtable(&result, undo)?;
        Ok(result)
    }

    /// The pair's host end is a port of the bridge from the start.
    fn make_bridge_and_pair(self, undo: &mut Undo<'a>) -> Result<(Bridge, Pair)> {
        // Whoever takes a bridge back holds the lock while he looks whether it has ports.
        let _lock = HostLock::take()?;
        let bridge = device::ensure(&self.base.host, self.base.sysctls(), self.config, undo)?;
        let pair = self.make_pair(&bridge.link, undo)?;
        if let Some(vlans) = &self.config.vlans {
            vlans.join(&self.base.host, &pair.host)?;
        }
        Ok((bridge, pair))
    }

    fn make_pair(self, bridge: &Link, undo: &mut Undo<'a>) -> Result<Pair> {
        let port = self.config.port();
        let wanted = Wanted {
            master: Some(bridge.index),
            port: (port != BridgePort::default()).then_some(port),
            mtu: self.config.mtu,
            gso_max_size: self.config.gso_max_size,
            mac: self.config.mac_of(self.base.identity),
            host_down: !self.config.ipam.may_use_link(),
        };
        let made = self.base.make_pair(&wanted, undo);
        made.map_err(|error| match error {
            attach::Error::MakeVeth { source } if source.0.errno() == Some(NO_FREE_PORT) => {
                let full = device::has_room(&self.base.host, bridge).err();
                full.unwrap_or_else(|| attach::Error::MakeVeth { source }.into())
            }
            other => other.into(),
        })
    }

    fn check_spoofing(self, pair: &Pair, undo: &mut Undo<'a>) -> Result<()> {
        if !self.config.spoof_check {
            return Ok(());
        }
        match pair.container.mac {
            Some(mac) => spoof_check::set_up(self.base.pod(), pair.host.name.as_str(), mac, undo),
            None => Ok(()),
        }
    }

    fn configure_container<'p>(self, pair: &'p Pair, result: &AddResult) -> Result<Configured<'p>> {
        let detection = if self.config.detect_duplicate_addresses {
            DuplicateDetection::On
        } else {
            DuplicateDetection::Off
        };
        let subnet = match self.config.suppress_flooding {
            true => Subnet::BehindGateway,
            false => Subnet::OnLink,
        };
        let manner = Manner { detection, subnet };
        let prepared = apply::prepare(&self.base.container, &pair.container, result, manner)?;
        if self.opens_early() {
            // The question that comes before the port forwards reaches nobody, and a route from an
            // address has to wait for the answer, for which a namespace can ask on its own
            // (`conf/all/accept_dad`).
            prepared.set_up()?;
            self.open_port(pair)?;
        }
        Ok(prepared.apply()?)
    }

    fn opens_early(self) -> bool {
        self.config.detect_duplicate_addresses || self.config.suppress_flooding
    }

    fn own(self, pair: &Pair) -> Own<'a> {
        Own {
            port: pair.host.index,
            network: self.base.identity.network,
            up_early: self.opens_early() || self.config.ipam.may_use_link(),
        }
    }

    /// Sets the pair's host end up, by which the pod's link gets a carrier, and waits until the port
    /// forwards; not for a pod whose own end stays down.
    fn open_port(self, pair: &Pair) -> Result<()> {
        let up = LinkChange {
            up: Some(true),
            ..LinkChange::default()
        };
        let port = self.base.host.set_and_read_link(pair.host.index, &up)?;
        let port = match self.config.disable_container_interface || port.oper_up {
            true => port,
            false => self.wait_for_port(pair)?,
        };
        match self.config.suppress_flooding {
            true => flood_suppression::is_kept(&port.name, port.port, self.config.port()),
            false => Ok(()),
        }
    }

    fn wait_for_port(self, pair: &Pair) -> Result<Link> {
        let port = settle::until_up(&self.base.host, pair.host.index, PORT_LIMIT)?;
        let port = port.ok_or_else(|| Error::Vanished(pair.host.name.to_string()))?;
        match port.oper_up {
            true => Ok(port),
            false => Err(Error::PortState(port.operstate.to_string())),
        }
    }

    fn configure_gateway(
        self,
        bridge: &Bridge,
        pair: &Pair,
        result: &mut AddResult,
        undo: &mut Undo<'a>,
    ) -> Result<()> {
        if !self.config.is_gateway {
            return Ok(());
        }
        let addresses = gateway::addresses(&result.ips);
        let host = &self.base.host;
        let own = self.own(pair);
        let gateway = match &self.config.vlan_gateway {
            None => Gateway::bridge(host, bridge, &pair.host, own),
            Some(gateway) => {
                let wanted = vlan_gateway::Wanted {
                    gateway,
                    bridge: bridge.link.index,
                    mtu: bridge.link.mtu,
                    preserve_default: self.config.preserves_default_vlan(),
                    own,
                };
                let link = wanted.ensure(host, self.base.sysctls(), undo)?;
                result.interfaces.push(host_interface(&link));
                Gateway::of_vlan(host, link, wanted)
            }
        };
        gateway.ensure(&addresses, self.config.force_address, undo)?;
        let ipv4 = addresses.iter().any(|address| address.is_ipv4());
        let ipv6 = addresses.iter().any(|address| address.is_ipv6());
        Ok(forwarding::enable(self.base.sysctls(), ipv4, ipv6)?)
    }

    /// Once the bridge has the MAC address that it keeps: with another it forgets its neighbours.
    fn suppress_flooding(
        self,
        bridge: &Bridge,
        pair: &Pair,
        result: &AddResult,
        undo: &mut Undo<'a>,
    ) -> Result<()> {
        match pair.container.mac {
            Some(mac) if self.config.suppress_flooding => {
                let known = Known {
                    bridge: &bridge.link,
                    port: &pair.host,
                    mac,
                    ips: &result.ips,
                };
                known.make_known(&self.base.host, undo)
            }
            _ => Ok(()),
        }
    }

    fn masquerade(self, result: &AddResult, undo: &mut Undo<'a>) -> Result<()> {
        match self.config.masquerading {
            Some(masquerading) => Ok(masquerading.set_up(self.base, result, undo)?),
            None => Ok(()),
        }
    }

    /// Last: what it makes is the bridge's, and stays like that.
    fn fill_flowtable(self, result: &AddResult, undo: &mut Undo<'a>) -> Result<()> {
        match &self.config.uplinks {
            Some(uplinks) => {
                let behind = Behind::Shared(self.config.pods_side());
                Ok(uplinks.set_up(self.base, result, behind, undo)?)
            }
            None => Ok(()),
        }
    }

    /// Reads what the kernel has decided meanwhile: a bridge without a pinned MAC address has taken
    /// one of its ports'.
    fn read_bridge_mac(self, bridge: &Link, result: &mut AddResult) -> Result<()> {
        let bridge = self.base.host.link_by_index(bridge.index)?;
        if let (Some(bridge), Some(interface)) = (bridge, result.interfaces.first_mut()) {
            interface.mac = bridge.mac.map(|mac| mac.to_string());
        }
        Ok(())
    }

    /// A bridge is in operation with its first port. From Linux 6.8 on the kernel makes up for what
    /// is due by then before it shows the link; the link-local address of one that is new follows.
    fn settle_bridge(self, bridge: &Bridge) -> Result<()> {
        let (host, link) = (&self.base.host, &bridge.link);
        if !link.oper_up {
            host.link_by_index(link.index)?;
        }
        if bridge.made && self.config.is_gateway {
            settle::within(host, &link.name, link.index, settle::DEFERRED)?;
        }
        Ok(())
    }
}

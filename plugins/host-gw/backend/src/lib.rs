//! The backend `host-gw`. From leases to routes: each peer's subnet through the peer's public address, over the
//! external interface. No device, no encapsulation; all nodes must share a link.

use backend::{Backend, Device, Ends, Family, PeerSubnet, Peers, Reason, Underlay, Unfit, Wanted};
use cluster::{NetworkConfig, Subnets};

/// The backend; it has no options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostGw;

impl HostGw {
    fn add_peer(
        wanted: &mut Wanted,
        peer: PeerSubnet<'_>,
        underlay: &Underlay,
    ) -> Result<(), Reason> {
        let PeerSubnet {
            subnet, public_ip, ..
        } = peer;
        if !underlay.routes.on_link(public_ip, underlay.link) {
            return Err(Reason::NotOnLink(public_ip));
        }
        wanted.add_route(Wanted::route(subnet, public_ip, underlay.link, false));
        Ok(())
    }
}

impl Backend for HostGw {
    fn name(&self) -> &'static str {
        "host-gw"
    }

    fn ends(&self) -> Ends {
        Ends::Nodes
    }

    fn fits(&self, _config: &NetworkConfig, underlay: &Underlay) -> Result<(), Unfit> {
        match (underlay.public(Family::V4), underlay.local(Family::V4)) {
            (Some(public), Some(local)) if public != local => Err(Unfit::Nat { public, local }),
            _ => Ok(()),
        }
    }

    fn wanted(
        &self,
        config: &NetworkConfig,
        own: &Subnets,
        peers: &Peers,
        underlay: &Underlay,
        _devices: &[Device],
    ) -> Wanted {
        let mut wanted = Wanted::default();
        for family in Family::enabled_in(config) {
            let vetting = self.vetting(family, config, own, underlay);
            wanted.serve(&vetting, peers, |wanted, peer| {
                Self::add_peer(wanted, peer, underlay)
            });
        }
        wanted
    }
}

#[cfg(test)]
mod tests;

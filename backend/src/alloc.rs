//! The backend `alloc`: the cluster's subnets are leased, and whatever carries the pods' traffic is
//! somebody else's.

use cluster::{NetworkConfig, Subnets};

use crate::{Backend, Device, Ends, Family, Peers, Underlay, Wanted};

/// The backend; it has no options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alloc;

impl Backend for Alloc {
    fn name(&self) -> &'static str {
        "alloc"
    }

    fn ends(&self) -> Ends {
        Ends::Unknown
    }

    /// As flannel's.
    fn lease_type(&self) -> &'static str {
        ""
    }

    /// Nothing, but leases that cannot be right are told.
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
            wanted.serve(&vetting, peers, |_, _| Ok(()));
        }
        wanted
    }
}

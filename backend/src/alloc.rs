//! The backend `alloc`: the cluster's subnets are leased, and whatever carries the pods' traffic is
//! somebody else's.

use cluster::{NetworkConfig, RawJson, Subnets};

use crate::{Backend, Device, Family, Peers, Underlay, Unfit, Vetting, Wanted, WantedDevice};

/// The backend; it has no options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alloc;

impl Backend for Alloc {
    fn name(&self) -> &'static str {
        "alloc"
    }

    /// As flannel's.
    fn lease_type(&self) -> &'static str {
        ""
    }

    fn fits(&self, _config: &NetworkConfig, _underlay: &Underlay) -> Result<(), Unfit> {
        Ok(())
    }

    fn devices(&self, _config: &NetworkConfig, _underlay: &Underlay) -> Vec<WantedDevice> {
        Vec::new()
    }

    fn mtu(&self, _config: &NetworkConfig, underlay: &Underlay) -> u32 {
        underlay.mtu
    }

    fn lease_data(&self, _family: Family, _devices: &[Device]) -> Option<RawJson> {
        None
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
        for family in Family::ALL
            .into_iter()
            .filter(|family| family.enabled(config))
        {
            let vetting = Vetting {
                family,
                config,
                lease_type: self.lease_type(),
                own,
                underlay,
            };
            wanted.serve(&vetting, peers, |_, _| Ok(()));
        }
        wanted
    }
}

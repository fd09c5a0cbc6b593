//! The backend ipip: its options, and its device's name. It publishes no data.

use crate::backend::BackendError;
use crate::config::NetworkConfig;

/// The device of the ipip backend.
pub const IPIP_DEVICE: &str = "flannel.ipip";

/// Whether a device is called as the ipip backend calls its own.
pub fn is_ipip_device(name: &str) -> bool {
    name == IPIP_DEVICE
}

/// Options of the ipip backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpipOptions {
    /// Routes directly to nodes on the same link.
    pub direct_routing: bool,
}

impl IpipOptions {
    /// Reads the options of the network config. Flannel's knows no `MTU` with this backend, and nor
    /// does this: such a key is ignored, as any that is unknown.
    ///
    /// # Errors
    /// Wrong types, or a cluster with IPv6. (Flannel publishes leases for both families then, of
    /// which nothing carries the second, and which stop other nodes.)
    pub fn parse(config: &NetworkConfig) -> Result<Self, BackendError> {
        if config.v6.is_some() {
            return Err(BackendError::Ipv4Only("ipip"));
        }
        let direct_routing = config.backend.object().bool("DirectRouting")?;
        Ok(Self {
            direct_routing: direct_routing.unwrap_or(false),
        })
    }
}

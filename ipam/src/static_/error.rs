//! What can go wrong. The texts are the reference plugin's, because operators search their logs
//! for them.
use cni::IpConfig;
use ipnetwork::IpNetwork;

/// Why addresses cannot be given or are not what was given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be decoded.
    #[error(transparent)]
    Json(#[from] cni::json::JsonError),
    /// `CNI_ARGS` or `prevResult` cannot be decoded.
    #[error(transparent)]
    Protocol(cni::Error),
    /// A route of the configuration can be made nowhere.
    #[error(transparent)]
    Route(#[from] crate::RouteError),
    /// There is no `ipam` object.
    #[error("IPAM config missing 'ipam' key")]
    NoIpam,
    /// An address of the configuration without a prefix length.
    #[error("the 'address' field is expected to be in CIDR notation, got: '{0}'")]
    Address(String),
    /// An address of `CNI_ARGS` without a prefix length.
    #[error("the 'ip' field is expected to be in CIDR notation, got: '{0}'")]
    ArgsAddress(String),
    /// A gateway of `CNI_ARGS` that is no address.
    #[error("invalid gateway address: {0}")]
    ArgsGateway(String),
    /// An address of `args.cni.ips` or `runtimeConfig.ips` without a prefix length.
    #[error("an entry in the 'ips' field is NOT in CIDR notation, got: '{0}'")]
    RequestedAddress(String),
    /// Results before 0.3.0 hold one address per family.
    #[error("CNI version {0} does not support more than 1 address per family")]
    TwoPerFamily(cni::SpecVersion),
    /// CHECK has nothing to compare with.
    #[error("Required prevResult missing")]
    NoPreviousResult,
    /// CHECK: an address that ADD would give is not there.
    #[error(
        "static: Failed to match addr {} on interface {ifname}: prevResult does not hold {address}",
        address.ip()
    )]
    Missing {
        /// What ADD would give.
        address: IpNetwork,
        /// The attachment's interface.
        ifname: String,
    },
    /// CHECK: an address is there with another prefix length or gateway.
    #[error(
        "static: Failed to match addr {} on interface {ifname}: prevResult has {}, expected {}",
        wanted.address.ip(), described(found), described(wanted)
    )]
    Mismatch {
        /// What ADD would give.
        wanted: Box<IpConfig>,
        /// What there is.
        found: Box<IpConfig>,
        /// The attachment's interface.
        ifname: String,
    },
}

fn described(ip: &IpConfig) -> String {
    match ip.gateway {
        Some(gateway) => format!("{} with gateway {gateway}", ip.address),
        None => format!("{} without a gateway", ip.address),
    }
}

impl From<Error> for cni::Error {
    /// The suite's catch-all code 999, as users of the reference match it.
    fn from(error: Error) -> Self {
        match error {
            Error::Protocol(error) => error,
            error => {
                let printed = Self::msg(error.to_string());
                Self {
                    source: Some(Box::new(error)),
                    ..printed
                }
            }
        }
    }
}

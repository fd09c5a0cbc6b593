//! Errors of the plugin, in the words of the reference plugin where it has some.

use std::net::IpAddr;

use attach::{Refusal, chained};
use cni::code;
use ipnetwork::IpNetwork;
use kernel::Change;

/// A configuration that cannot work or a step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "This plugin must be called as chained plugin: prevResult is missing; {}",
        chained::REMEDY
    )]
    NotChained,
    #[error("No IP addresses supplied on interface: {0}")]
    NoAddresses(String),
    #[error("Cannot find network interface {0}: Link not found")]
    NoInterface(String),
    #[error("invalid table {0} (must be between 1 and 4294967295)")]
    Table(i64),
    #[error("gateways list cannot contain more than 2 entries (one IPv4, one IPv6)")]
    TooManyGateways,
    #[error("invalid static gateway IP address: {0}")]
    Gateway(String),
    #[error("gateways list contains multiple {family} addresses: {first} and {second}")]
    TwoGateways {
        family: &'static str,
        first: IpAddr,
        second: IpAddr,
    },
    #[error("cannot lock {path}")]
    Lock {
        path: String,
        #[source]
        source: files::LockError,
    },
    #[error("Failed to add rule: {rule}")]
    AddRule {
        rule: String,
        #[source]
        source: Refusal,
    },
    #[error("Failed to delete rule {rule}")]
    DeleteRule {
        rule: String,
        #[source]
        source: Refusal,
    },
    #[error("Failed to add default route to {gateway}")]
    AddDefault {
        gateway: IpAddr,
        #[source]
        source: Refusal,
    },
    #[error("Failed to readd route {route}")]
    AddRoute {
        route: String,
        #[source]
        source: Refusal,
    },
    #[error("Failed to delete route {route}")]
    DeleteRoute {
        route: String,
        #[source]
        source: Refusal,
    },
    #[error("no rule routes what comes from {0} by a table of its own")]
    NoRule(IpAddr),
    #[error("no rule routes what comes from {address} by table {table}")]
    NoRuleTo { address: IpAddr, table: u32 },
    #[error("table {table} of {address} has no default route by {interface} and gateway {gateway}")]
    NoDefault {
        table: u32,
        address: IpAddr,
        interface: String,
        gateway: IpAddr,
    },
    #[error("table {table} has no route to the subnet {subnet} by {interface}")]
    NoSubnet {
        table: u32,
        subnet: IpNetwork,
        interface: String,
    },
    #[error("table main has no route to the subnet of {address} by {interface} with this source")]
    NoHint {
        address: IpNetwork,
        interface: String,
    },
    #[error(transparent)]
    Attach(#[from] attach::Error),
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
}

impl Error {
    /// A change to a route that the kernel refused.
    pub(crate) fn refused(change: &Change, source: kernel::Error) -> Self {
        let source = source.into();
        match change {
            Change::DeleteRoute(route) => Self::DeleteRoute {
                route: route.to_string(),
                source,
            },
            Change::AddRoute(route) | Change::ReplaceRoute(route) => match route.gateway {
                Some(gateway) if route.dst.prefix() == 0 => Self::AddDefault { gateway, source },
                _ => Self::AddRoute {
                    route: route.to_string(),
                    source,
                },
            },
            _ => Self::Kernel(*source.0),
        }
    }
}

impl From<Error> for cni::Error {
    fn from(error: Error) -> Self {
        let held = matches!(
            error,
            Error::Lock {
                source: files::LockError::Held(_),
                ..
            }
        );
        let error = Self::internal(error);
        match held {
            true => Self {
                code: code::TRY_AGAIN_LATER,
                ..error
            },
            false => error,
        }
    }
}

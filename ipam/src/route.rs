//! Routes that are handed on as they are written: which of them no kernel takes.
use std::net::IpAddr;

use cni::Route;
use ipnetwork::IpNetwork;

/// Why a route can be made nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// IPv4 refuses what IPv6 cuts off.
    #[error("invalid route {0}: it has host bits set, the network of this length is {1}")]
    HostBits(IpNetwork, IpNetwork),
    /// The gateway is of the other family.
    #[error("invalid route {0}: the gateway {1} is not of its family")]
    GatewayFamily(IpNetwork, IpAddr),
}

/// Checks all of them.
pub(crate) fn check(routes: &[Route]) -> Result<(), RouteError> {
    routes.iter().try_for_each(check_one)
}

fn check_one(route: &Route) -> Result<(), RouteError> {
    let dst = route.dst;
    if let IpNetwork::V4(written) = dst
        && written.ip() != written.network()
        && let Ok(network) = IpNetwork::new(dst.network(), dst.prefix())
    {
        return Err(RouteError::HostBits(dst, network));
    }
    match route.gw {
        Some(gateway) if gateway.is_ipv4() != dst.is_ipv4() => {
            Err(RouteError::GatewayFamily(dst, gateway))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_that_no_kernel_takes_are_refused() {
        for (dst, gateway, expected) in [
            ("10.0.0.0/8", None, ""),
            ("0.0.0.0/0", Some("10.0.0.1"), ""),
            ("fd00::1/64", Some("fe80::1"), ""),
            (
                "10.0.0.1/8",
                None,
                "invalid route 10.0.0.1/8: it has host bits set, the network of this length is 10.0.0.0/8",
            ),
            (
                "10.0.0.0/8",
                Some("fd00::1"),
                "invalid route 10.0.0.0/8: the gateway fd00::1 is not of its family",
            ),
            (
                "::/0",
                Some("10.0.0.1"),
                "invalid route ::/0: the gateway 10.0.0.1 is not of its family",
            ),
        ] {
            let gateway = gateway.map(|text| text.parse().unwrap());
            let route = Route::new(dst.parse().unwrap(), gateway);
            let refused =
                check(&[route]).map_or_else(|error| error.to_string(), |()| String::new());
            assert_eq!(refused, expected);
        }
    }
}

//! By which of its addresses a peer is reached, where one device carries both families.

use std::net::IpAddr;

use backend::{Family, Underlay};
use cluster::{LeaseAttrs, WireguardMode};

/// The address; `None` when the peer has none that the mode takes.
pub(super) fn choose(
    mode: WireguardMode,
    attrs: &LeaseAttrs,
    underlay: &Underlay,
) -> Option<IpAddr> {
    let v4 = Family::V4.public_ip(attrs);
    let v6 = Family::V6.public_ip(attrs);
    match mode {
        WireguardMode::Ipv4 => v4,
        WireguardMode::Ipv6 => v6,
        WireguardMode::Auto | WireguardMode::Separate => likely(v4, v6, underlay),
    }
}

/// The one that most likely works, as flannel judges it: a public IPv4 address, then IPv6 if both
/// sides are more than local in it, then whatever there is, IPv4 first.
fn likely(v4: Option<IpAddr>, v6: Option<IpAddr>, underlay: &Underlay) -> Option<IpAddr> {
    let (Some(IpAddr::V4(there)), Some(IpAddr::V6(there_v6))) = (v4, v6) else {
        return v4.or(v6);
    };
    let by_v4 = !there.is_private() && underlay.public_ip.is_some();
    let here_v6 = underlay.public_ipv6;
    let by_v6 = !there_v6.is_unique_local() && here_v6.is_some_and(|here| !here.is_unique_local());
    Some(match by_v6 && !by_v4 {
        true => there_v6.into(),
        false => there.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
    const PRIVATE: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 2);
    const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
    const LOCAL_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, 2);
    const GLOBAL_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

    fn underlay(v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) -> Underlay {
        Underlay {
            public_ip: v4,
            public_ipv6: v6,
            ..backend::testing::underlay()
        }
    }

    #[test]
    fn addresses_by_mode() {
        use WireguardMode::{Auto, Ipv4, Ipv6};
        let both = |v6| underlay(Some(PRIVATE), Some(v6));
        /// Mode, the peer's addresses, this node, the choice.
        type Row = (
            WireguardMode,
            Ipv4Addr,
            Option<Ipv6Addr>,
            Underlay,
            Option<IpAddr>,
        );
        let table: &[Row] = &[
            (
                Ipv4,
                PRIVATE,
                Some(GLOBAL_V6),
                both(GLOBAL_V6),
                Some(PRIVATE.into()),
            ),
            (Ipv4, NONE, Some(GLOBAL_V6), both(GLOBAL_V6), None),
            (
                Ipv6,
                PUBLIC,
                Some(LOCAL_V6),
                both(GLOBAL_V6),
                Some(LOCAL_V6.into()),
            ),
            (Ipv6, PUBLIC, None, both(GLOBAL_V6), None),
            (Auto, PRIVATE, None, both(GLOBAL_V6), Some(PRIVATE.into())),
            (
                Auto,
                NONE,
                Some(LOCAL_V6),
                both(LOCAL_V6),
                Some(LOCAL_V6.into()),
            ),
            (
                Auto,
                PUBLIC,
                Some(GLOBAL_V6),
                both(GLOBAL_V6),
                Some(PUBLIC.into()),
            ),
            (
                Auto,
                PUBLIC,
                Some(GLOBAL_V6),
                underlay(None, Some(GLOBAL_V6)),
                Some(GLOBAL_V6.into()),
            ),
            (
                Auto,
                PRIVATE,
                Some(GLOBAL_V6),
                both(GLOBAL_V6),
                Some(GLOBAL_V6.into()),
            ),
            (
                Auto,
                PRIVATE,
                Some(GLOBAL_V6),
                both(LOCAL_V6),
                Some(PRIVATE.into()),
            ),
            (
                Auto,
                PRIVATE,
                Some(LOCAL_V6),
                both(GLOBAL_V6),
                Some(PRIVATE.into()),
            ),
            (
                Auto,
                PRIVATE,
                Some(GLOBAL_V6),
                underlay(Some(PRIVATE), None),
                Some(PRIVATE.into()),
            ),
            (Auto, NONE, None, both(GLOBAL_V6), None),
        ];
        for (mode, v4, v6, here, choice) in table {
            let attrs = LeaseAttrs::new(*v4, *v6);
            assert_eq!(
                choose(*mode, &attrs, here),
                *choice,
                "{mode:?} {v4} {v6:?} {here:?}"
            );
        }
    }
}

//! What this node lacks for a configuration.

use cluster::NetworkConfig;
use kernel::route::RouteFilter;
use kernel::{Netlink, NewKind, Tunnel, Vxlan};

use crate::facts::TABLE_MAIN;

/// Sentences; nothing where the kernel may not be asked.
pub(super) fn lacks(config: &NetworkConfig) -> Vec<String> {
    let Ok(netlink) = Netlink::open() else {
        return Vec::new();
    };
    let mut warnings = Vec::new();
    warnings.extend(device(config, &netlink));
    warnings.extend(ipv6(config));
    warnings.extend(mtu(config, &netlink));
    warnings
}

const ANY: Vxlan = Vxlan {
    vni: 1,
    port: 0,
    lower: None,
    local: None,
    learning: false,
    gbp: false,
    l2miss: false,
    group: None,
};

/// Asking needs CAP_NET_ADMIN; without it nothing is said.
fn device(config: &NetworkConfig, netlink: &Netlink) -> Option<String> {
    let (kind, module) = match config.backend.kind.as_str() {
        "vxlan" => (NewKind::Vxlan(ANY), "vxlan"),
        "ipip" => (NewKind::Tunnel(Tunnel::IPIP), "ipip"),
        "wireguard" => (NewKind::Wireguard, "wireguard"),
        _ => return None,
    };
    let missing = netlink.has_link_kind(&kind).ok() == Some(false);
    missing.then(|| {
        format!(
            "Backend.Type: {:?}: this node's kernel has no such devices (modprobe {module}, or \
             another kernel)",
            config.backend.kind
        )
    })
}

fn ipv6(config: &NetworkConfig) -> Option<String> {
    let off = kernel::sysctl::get("net/ipv6/conf/all/disable_ipv6");
    let missing = match off {
        Ok(value) => value.trim() == "1",
        Err(_) => true,
    };
    (config.v6.is_some() && missing).then(|| {
        "EnableIPv6: true: this node's kernel has IPv6 off (sysctl net.ipv6.conf.all.disable_ipv6)"
            .to_owned()
    })
}

/// An MTU that the link of the default route does not carry.
fn mtu(config: &NetworkConfig, netlink: &Netlink) -> Option<String> {
    let asked = config.backend.object().integer("MTU").ok().flatten()?;
    let filter = RouteFilter {
        ipv6: Some(config.v4.is_none()),
        table: Some(TABLE_MAIN),
        ..RouteFilter::default()
    };
    let routes = netlink.routes(&filter).ok()?;
    let route = routes.into_iter().find(|route| route.dst.prefix() == 0)?;
    let link = netlink.link_by_index(route.link?).ok()??;
    (i64::from(link.mtu) < asked).then(|| {
        format!(
            "Backend.MTU: {asked}: {} of this node carries {} bytes; netd uses the smaller, \
             flannel tells pods the larger, and their packets vanish",
            link.name, link.mtu
        )
    })
}

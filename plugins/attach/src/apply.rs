//! An IPAM plugin's addresses and routes on the container interface.

use std::{net::IpAddr, time::Duration};

use cni::{AddResult, IpConfig};
use ipnetwork::IpNetwork;
use kernel::{Change, IfName, LinkChange, NetNs, Netlink, Route, sysctl::Sysctls};

use crate::{
    Error, PodLink, Result,
    check::is_single,
    netns,
    route::{self, Gateways, SCOPE_LINK},
    settle,
};

/// Whether the container looks for duplicates of its IPv6 addresses (RFC 4862).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DuplicateDetection {
    /// As the container's namespace is set.
    #[default]
    Inherited,
    /// `accept_dad` 1, `enhanced_dad` 1: an address can be used after a second or two.
    On,
    /// `accept_dad` 0: an address can be used at once.
    Off,
}

/// How long the link may take to be in operation after its other end is (before Linux 6.8 the
/// kernel does that later).
const LINK_LIMIT: Duration = Duration::from_secs(1);

/// The smallest MTU of a link with IPv6, in bytes (RFC 8200, section 5).
pub const IPV6_MIN_MTU: u32 = 1280;

/// Where the other addresses of the pod's subnet are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subnet {
    /// On the pod's link.
    #[default]
    OnLink,
    /// Behind the gateway, which alone is on the link.
    BehindGateway,
}

/// What a plugin decides about the pod's link, beyond what IPAM says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    pub detection: DuplicateDetection,
    pub subnet: Subnet,
}

/// A pod's link whose settings are made, and which has no address yet.
pub struct Prepared<'link, 'result> {
    container: Netlink,
    interface: &'link PodLink,
    manner: Manner,
    gateways: Gateways,
    ips: Vec<&'result IpConfig>,
    routes: Vec<Step<'result>>,
}

/// A pod's link that is as the result says.
pub struct Configured<'a> {
    container: Netlink,
    interface: &'a PodLink,
    /// Its IPv6 addresses were not waited for, and need no duplicate address detection.
    unsettled: bool,
}

/// Configures the pod's link as `result` says; see [`prepare`] and [`Prepared::apply`].
///
/// # Errors
/// In the words of the reference plugins: the address, sysctl or route that was refused. Nothing
/// is taken back; all of it vanishes with the link.
pub fn apply<'link>(
    ns: &NetNs,
    interface: &'link PodLink,
    result: &AddResult,
    manner: Manner,
) -> Result<Configured<'link>> {
    prepare(ns, interface, result, manner)?.apply()
}

/// Makes the settings of the pod's link, which the kernel looks at when the carrier or an address comes: where it has a
/// carrier first, it would look for duplicates of the link-local address, whatever is set a moment later.
///
/// # Errors
/// The result has no sense for this link; a sysctl is refused.
pub fn prepare<'link, 'result>(
    ns: &NetNs,
    interface: &'link PodLink,
    result: &'result AddResult,
    manner: Manner,
) -> Result<Prepared<'link, 'result>> {
    let name = &interface.name;
    let ips = own_ips(name, result)?;
    let gateways = Gateways::of(result);
    let mut routes = routes_of(result, interface, &gateways)?;
    if manner.subnet == Subnet::BehindGateway {
        routes = behind_gateways(&ips, interface, routes)?;
    }
    let ipv6 = ips.iter().any(|ip| ip.address.is_ipv6());
    // Stepping in costs more than what is done there, so it is done once.
    let container = netns::in_container(ns, || {
        let pod = Sysctls::open();
        advise(&pod, name, manner);
        let container = Netlink::open()?;
        if ipv6 {
            let enabled = enable_ipv6(&pod, name);
            enabled.map_err(|error| too_short_for_ipv6(&container, interface, error))?;
        }
        Ok(container)
    })?;
    Ok(Prepared {
        container,
        interface,
        manner,
        gateways,
        ips,
        routes,
    })
}

impl<'link> Prepared<'link, '_> {
    /// Sets the link up before it has addresses: where those need a carrier.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn set_up(&self) -> Result<()> {
        set_up_by(&self.container, self.interface)
    }

    /// Addresses, up, then routes. Routes that are there already are done. It is one send, or two where the kernel must
    /// have found out first that IPv6 addresses have no duplicate. The kernel announces the addresses of both families
    /// when the link comes up, IPv6 ones after duplicate address detection.
    ///
    /// # Errors
    /// The address or route that was refused.
    pub fn apply(self) -> Result<Configured<'link>> {
        let (container, interface) = (&self.container, self.interface);
        let steps = addresses_and_up(&self.ips, interface);
        // The kernel takes no route from an address that it does not use yet. Otherwise, where nobody
        // looks for duplicates, the announcement waits for the addresses, if it must at all.
        let behind = self.manner.subnet == Subnet::BehindGateway;
        let detected = self.manner.detection != DuplicateDetection::Off;
        let wait_now = self.gateways.ipv6.is_some() && (behind || detected);
        if wait_now && behind {
            send(container, interface, &steps)?;
            settle::settle(container, &interface.name, interface.index)?;
            send(container, interface, &self.routes)?;
        } else {
            send(container, interface, &[steps, self.routes].concat())?;
            if wait_now {
                settle::settle(container, &interface.name, interface.index)?;
            }
        }
        let ipv6 = self.ips.iter().any(|ip| ip.address.is_ipv6());
        Ok(Configured {
            container: self.container,
            interface,
            unsettled: ipv6 && !detected,
        })
    }
}

impl Configured<'_> {
    /// Announces the addresses, for an interface whose way to others is opened only now, by `open`:
    /// a bridge drops what comes in before its port forwards. Who knows a former MAC address of
    /// theirs would keep it for up to a minute.
    ///
    /// What the kernel itself sends once there is a carrier goes to every port of the bridge, and it
    /// holds the lock of all links meanwhile. So all that needs this lock comes before `open`, and
    /// the announcement directly after (decision 0013).
    ///
    /// # Errors
    /// Those of `open`; the addresses cannot be read; the kernel refuses.
    pub fn announce<E: From<Error>>(&self, open: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let settled = !self.unsettled || self.is_settled()?;
        open()?;
        if !settled {
            self.settle()?;
        }
        self.announce_now()?;
        if self.unsettled {
            // The link-local address, which came with the carrier.
            self.settle()?;
        }
        Ok(())
    }

    fn is_settled(&self) -> Result<bool> {
        settle::within(
            &self.container,
            &self.interface.name,
            self.interface.index,
            settle::DEFERRED,
        )
    }

    fn settle(&self) -> Result<()> {
        settle::settle(&self.container, &self.interface.name, self.interface.index)
    }

    /// The kernel announces whenever the MAC address is set, also to what it is. A link without
    /// one has nobody to announce to.
    fn announce_now(&self) -> Result<()> {
        let (name, index) = (&self.interface.name, self.interface.index);
        let same = LinkChange {
            mac: self.interface.mac,
            ..LinkChange::default()
        };
        let refused = |source: kernel::Error| Error::Announce {
            interface: name.to_string(),
            source: source.into(),
        };
        let before = self.container.read_and_set_link(index, &same);
        if before.map_err(refused)?.oper_up {
            return Ok(());
        }
        // A link that was not in operation has sent nothing.
        settle::until_up(&self.container, index, LINK_LIMIT)?;
        self.container.set_link(index, &same).map_err(refused)
    }
}

/// Sets the container interface up: `ip link set up`.
///
/// # Errors
/// The namespace cannot be entered; the kernel refuses.
pub fn set_up(ns: &NetNs, interface: &PodLink) -> Result<()> {
    set_up_by(&netns::socket(ns)?, interface)
}

fn set_up_by(container: &Netlink, interface: &PodLink) -> Result<()> {
    let up = LinkChange {
        up: Some(true),
        ..LinkChange::default()
    };
    container
        .set_link(interface.index, &up)
        .map_err(|source| not_up(interface, source))
}

fn not_up(interface: &PodLink, source: kernel::Error) -> Error {
    Error::SetUp {
        interface: interface.name.to_string(),
        source: source.into(),
    }
}

/// What the result gives to the interface.
fn own_ips<'a>(name: &IfName, result: &'a AddResult) -> Result<Vec<&'a IpConfig>> {
    if result.interfaces.is_empty() {
        return Err(Error::NoInterfaces);
    }
    let owned = result
        .ips
        .iter()
        .filter_map(|ip| ip.interface.map(|index| (ip, index)));
    owned
        .map(|(ip, index)| match result.interfaces.get(index) {
            Some(interface) if interface.name == name.as_str() => Ok(ip),
            _ => Err(Error::InvalidInterfaceIndex {
                address: ip.address,
                interface: name.to_string(),
            }),
        })
        .collect()
}

/// What is set before the interface comes up, in the container's namespace (kernel: ip-sysctl).
/// Advice, as in the reference plugins: a kernel that has no such key is fine.
fn advise(pod: &Sysctls, name: &IfName, manner: Manner) {
    let announce = [("ipv4", "arp_notify", "1"), ("ipv6", "ndisc_notify", "1")];
    let detect: &[_] = match manner.detection {
        DuplicateDetection::Inherited => &[],
        DuplicateDetection::On => &[("ipv6", "enhanced_dad", "1"), ("ipv6", "accept_dad", "1")],
        DuplicateDetection::Off => &[("ipv6", "accept_dad", "0")],
    };
    for (family, key, value) in announce.iter().chain(detect) {
        // Not read before: of a new interface it differs.
        let _ = pod.write(&format!("net/{family}/conf/{name}/{key}"), value);
    }
    if manner.subnet == Subnet::BehindGateway {
        ignore_redirects(pod, name);
    }
}

/// A gateway whose link to both is the same tells a pod (ICMP redirect) to send to its neighbour
/// directly. That would end what the subnet is behind the gateway for. Where the pod forwards nothing the
/// kernel obeys if the interface or `all` says so; other interfaces keep their own say. IPv6 needs nothing:
/// a redirect comes from a link-local address (RFC 4861, 8.1), which is not the gateway of the route.
fn ignore_redirects(pod: &Sysctls, name: &IfName) {
    for interface in ["all", name.as_str()] {
        let _ = pod.set(&format!("net/ipv4/conf/{interface}/accept_redirects"), "0");
    }
}

/// A container may have been made without IPv6; an IPv6 address from IPAM says that it is wanted.
/// Addresses stay when the link goes down, as IPv4 ones do.
fn enable_ipv6(pod: &Sysctls, name: &IfName) -> Result<()> {
    let refused = |interface: &str, key, value| {
        let interface = interface.to_owned();
        move |source: kernel::Error| Error::EnableIpv6 {
            interface,
            key,
            value,
            source: source.into(),
        }
    };
    for interface in ["lo", name.as_str()] {
        let key = format!("net/ipv6/conf/{interface}/disable_ipv6");
        match pod.get(&key) {
            Ok(value) if value == "0" => {}
            Ok(_) => {
                pod.write(&key, "0")
                    .map_err(refused(interface, "disable_ipv6", "0"))?;
            }
            // Without IPv6 on the link, which the next step tells.
            Err(error) if error.is_gone() => {}
            Err(error) => tracing::warn!(%error, key, "cannot tell whether IPv6 is disabled"),
        }
    }
    let keep = format!("net/ipv6/conf/{name}/keep_addr_on_down");
    let kept = pod.set(&keep, "1");
    kept.map_err(refused(name.as_str(), "keep_addr_on_down", "1"))?;
    Ok(())
}

/// On a link with a smaller MTU the kernel has no IPv6, and no sysctls of it: the MTU is what is wrong.
fn too_short_for_ipv6(container: &Netlink, interface: &PodLink, error: Error) -> Error {
    match container.link_by_index(interface.index) {
        Ok(Some(link)) if link.mtu < IPV6_MIN_MTU => Error::MtuTooSmallForIpv6 {
            interface: interface.name.to_string(),
            mtu: link.mtu,
        },
        _ => error,
    }
}

/// One change to the pod's link, and what it is for the user.
#[derive(Clone)]
struct Step<'a> {
    change: Change,
    what: What<'a>,
}

#[derive(Clone, Copy)]
enum What<'a> {
    Address(IpNetwork),
    Up,
    /// One of the result's.
    Route(&'a cni::Route, Option<IpAddr>),
    /// To the gateway, or to the subnet by it.
    GatewayRoute(IpNetwork),
    /// The kernel's own, which goes.
    SubnetRoute(IpNetwork),
}

fn addresses_and_up<'a>(ips: &[&IpConfig], interface: &PodLink) -> Vec<Step<'a>> {
    let address = |ip: &&IpConfig| Step {
        change: Change::AddAddress(interface.index, ip.address),
        what: What::Address(ip.address),
    };
    let up = Step {
        change: Change::SetUp(interface.index),
        what: What::Up,
    };
    ips.iter().map(address).chain([up]).collect()
}

/// The result's routes, in order: of two IPv4 routes to one destination the later one comes first
/// in the table.
fn routes_of<'a>(
    result: &'a AddResult,
    interface: &PodLink,
    gateways: &Gateways,
) -> Result<Vec<Step<'a>>> {
    let step = |route| {
        let resolved = route::resolve(route, interface.index, gateways);
        let wanted = resolved.map_err(|why| route::invalid(route, why, &interface.name))?;
        Ok(Step {
            what: What::Route(route, wanted.gateway),
            change: Change::AddRoute(wanted),
        })
    };
    result.routes.iter().map(step).collect()
}

/// The gateways become neighbours, then come the result's `routes`, whose next hops may be others
/// of the subnet, and then the subnet goes behind its gateway.
fn behind_gateways<'a>(
    ips: &[&IpConfig],
    interface: &PodLink,
    routes: Vec<Step<'a>>,
) -> Result<Vec<Step<'a>>> {
    let (mut neighbours, mut kernels, mut subnets) = (Vec::new(), Vec::new(), Vec::new());
    for ip in ips {
        let no_gateway = || Error::NoGateway {
            address: ip.address,
        };
        let gateway = ip.gateway.filter(|gateway| !gateway.is_unspecified());
        let gateway = gateway.ok_or_else(no_gateway)?;
        let mut neighbour = Route::to(gateway.into());
        neighbour.link = Some(interface.index);
        neighbour.source = Some(ip.address.ip());
        neighbour.scope = if gateway.is_ipv4() { SCOPE_LINK } else { 0 };
        neighbours.push(neighbour.clone());
        if is_single(&ip.address) {
            continue;
        }
        let subnet = route::network(ip.address);
        let mut on_link = Route::to(subnet);
        on_link.link = Some(interface.index);
        on_link.protocol = Route::PROTOCOL_KERNEL;
        on_link.scope = neighbour.scope;
        kernels.push(Step {
            change: Change::DeleteRoute(on_link),
            what: What::SubnetRoute(subnet),
        });
        let mut by_gateway = Route::to(subnet);
        by_gateway.gateway = Some(gateway);
        by_gateway.link = Some(interface.index);
        by_gateway.source = Some(ip.address.ip());
        subnets.push(by_gateway);
    }
    let add = |route: Route| Step {
        what: What::GatewayRoute(route.dst),
        change: Change::AddRoute(route),
    };
    let first = neighbours.into_iter().map(add).chain(routes);
    Ok(first
        .chain(kernels)
        .chain(subnets.into_iter().map(add))
        .collect())
}

fn send(container: &Netlink, interface: &PodLink, steps: &[Step<'_>]) -> Result<()> {
    let changes: Vec<Change> = steps.iter().map(|step| step.change.clone()).collect();
    for (step, outcome) in steps.iter().zip(container.apply(&changes)?) {
        match (step.what, outcome) {
            (_, Ok(())) => {}
            (What::Route(..) | What::GatewayRoute(_), Err(source)) if source.is_exists() => {}
            (what, Err(source)) => return Err(what.refused(interface, source)),
        }
    }
    Ok(())
}

impl What<'_> {
    fn refused(self, link: &PodLink, source: kernel::Error) -> Error {
        let interface = link.name.to_string();
        match self {
            Self::Address(address) => Error::AddAddress {
                address,
                interface,
                source: source.into(),
            },
            Self::Up => not_up(link, source),
            Self::Route(route, gateway) => route::refused(route, gateway, &link.name, source),
            Self::GatewayRoute(dst) => Error::GatewayRoute {
                route: dst.to_string(),
                interface,
                source: source.into(),
            },
            Self::SubnetRoute(subnet) => Error::DeleteSubnetRoute {
                subnet,
                interface,
                source: source.into(),
            },
        }
    }
}

//! What a plugin is to do with the addresses that it is given. Each of two plugins takes its own keys, and ADD
//! finds out in the kernel that they do not go together.
use std::net::IpAddr;

use attach::apply::IPV6_MIN_MTU;
use ipnetwork::IpNetwork;
use jsonc_parser::ast::{Object, Value};

use super::{
    chain::Chain,
    document::{find, string},
    finding::Findings,
};

/// Keys whose values are paths on the node.
const PATHS: [&str; 4] = ["dataDir", "resolvConf", "daemonSocketPath", "subnetFile"];

/// A plugin and its IPAM plugin.
pub(super) struct Given<'o, 't> {
    pub(super) plugin: &'o str,
    pub(super) object: &'o Object<'t>,
    pub(super) ipam: Option<&'o str>,
}

/// A subnet and what is its gateway.
struct Subnet {
    place: usize,
    network: IpNetwork,
    gateway: Option<(usize, IpAddr)>,
}

/// Judges them. `has_ipv6`: whether the pod has an IPv6 address by then.
pub(super) fn judge(
    given: &Given<'_, '_>,
    chain: &Chain<'_>,
    has_ipv6: &mut bool,
    findings: &mut Findings<'_>,
) {
    let ipam = find(given.object, "ipam").and_then(|found| found.value.as_object());
    judge_paths(given.object, findings);
    if let Some(ipam) = ipam {
        judge_paths(ipam, findings);
        let mut subnets = Vec::new();
        match given.ipam {
            Some("host-local") => {
                subnets.extend(subnet(ipam));
                in_lists(ipam, "ranges", &mut subnets);
                judge_resolv_conf(ipam, chain, findings);
            }
            Some("static") => {
                in_lists(ipam, "addresses", &mut subnets);
                if subnets.is_empty() {
                    judge_static(given.object, ipam, findings);
                }
            }
            _ => {}
        }
        *has_ipv6 |= subnets.iter().any(|one| one.network.is_ipv6());
        given.judge_gateways(&subnets, findings);
        subnets.iter().for_each(|one| judge_use(one, findings));
    }
    if *has_ipv6 {
        judge_mtu(given.object, findings);
    }
}

impl Given<'_, '_> {
    fn is_set(&self, key: &str) -> bool {
        let value = find(self.object, key).and_then(|found| found.value.as_boolean_lit());
        value.is_some_and(|flag| flag.value)
    }

    fn judge_gateways(&self, subnets: &[Subnet], findings: &mut Findings<'_>) {
        let is_default = self.is_set("isDefaultGateway");
        for subnet in subnets.iter().filter(|_| self.plugin != "ptp") {
            let Some((place, gateway)) = subnet.gateway else {
                continue;
            };
            if gateway.is_ipv4() != subnet.network.is_ipv4() {
                // host-local refuses it.
                if self.ipam == Some("static") {
                    let network = subnet.network;
                    let text = format!("the gateway {gateway} is not of the family of {network}");
                    findings.warning(place, text);
                }
            } else if !subnet.network.contains(gateway) {
                let text = format!(
                    "the gateway {gateway} is not in {}; of podwire's plugins only ptp reaches \
                     such a one",
                    subnet.network
                );
                match self.plugin == "bridge" && is_default {
                    true => findings.error(place, text),
                    false => findings.warning(place, text),
                }
            }
        }
        if self.plugin == "bridge" && (is_default || self.is_set("isGateway")) {
            self.judge_bridge(subnets, findings);
        }
    }

    /// A bridge has one IPv4 address.
    fn judge_bridge(&self, subnets: &[Subnet], findings: &mut Findings<'_>) {
        let mut of_ipv4 = subnets.iter().filter(|one| one.network.is_ipv4());
        let Some(first) = of_ipv4.next() else { return };
        for other in of_ipv4 {
            let text = format!(
                "the bridge is the gateway of {} already, and can be that of one IPv4 subnet",
                first.network
            );
            match self.is_set("forceAddress") {
                true => findings.warning(other.place, text),
                false => findings.error(other.place, text),
            }
        }
    }
}

/// Sets of ranges give an address each; the ranges of one set are one subnet's, as far as a gateway goes.
fn in_lists(ipam: &Object<'_>, key: &str, found: &mut Vec<Subnet>) {
    let list = find(ipam, key).and_then(|found| found.value.as_array());
    for element in list.map(|list| &list.elements).into_iter().flatten() {
        let first = match element {
            Value::Array(set) => set.elements.first(),
            single => Some(single),
        };
        found.extend(first.and_then(Value::as_object).and_then(subnet));
    }
}

fn subnet(object: &Object<'_>) -> Option<Subnet> {
    let (place, text) = string(object, "subnet").or_else(|| string(object, "address"))?;
    let gateway = string(object, "gateway");
    Some(Subnet {
        place,
        network: cni::json::parse_cidr(text).ok()?,
        gateway: gateway.and_then(|(place, text)| Some((place, text.parse().ok()?))),
    })
}

/// Addresses that a link takes, and that nobody sends to.
fn judge_use(subnet: &Subnet, findings: &mut Findings<'_>) {
    let is_useless = match subnet.network.ip() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.octets()[0] >= 240 || ip.octets()[0] == 0,
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified(),
    };
    if is_useless {
        let text = format!("nobody sends packets to {}", subnet.network);
        findings.warning(subnet.place, text);
    }
}

fn judge_mtu(object: &Object<'_>, findings: &mut Findings<'_>) {
    let Some(number) = find(object, "mtu").and_then(|found| found.value.as_number_lit()) else {
        return;
    };
    let mtu = number.value.parse::<i64>().unwrap_or_default();
    if (1..i64::from(IPV6_MIN_MTU)).contains(&mtu) {
        let text = format!("an MTU of {mtu} leaves no IPv6: that needs {IPV6_MIN_MTU} bytes");
        findings.error(number.range.start, text);
    }
}

/// `CNI_ARGS` may still bring some.
fn judge_static(object: &Object<'_>, ipam: &Object<'_>, findings: &mut Findings<'_>) {
    let capabilities = find(object, "capabilities").and_then(|found| found.value.as_object());
    let ips = capabilities.and_then(|all| find(all, "ips"));
    let is_on = |flag: &jsonc_parser::ast::BooleanLit| flag.value;
    if !ips
        .and_then(|ips| ips.value.as_boolean_lit())
        .is_some_and(is_on)
    {
        let text = "static has no \"addresses\" to give, and the runtime brings none: \
                    \"capabilities\": {\"ips\": true} is missing";
        findings.warning(ipam.range.start, text);
    }
}

fn judge_paths(object: &Object<'_>, findings: &mut Findings<'_>) {
    for key in PATHS {
        let path = string(object, key).filter(|(_, path)| !path.is_empty());
        if let Some((place, path)) = path.filter(|(_, path)| !path.starts_with('/')) {
            let text = format!(
                "{key:?} is relative: {path:?} leads from wherever the runtime works to another place"
            );
            findings.warning(place, text);
        }
    }
}

fn judge_resolv_conf(ipam: &Object<'_>, chain: &Chain<'_>, findings: &mut Findings<'_>) {
    let Some((place, path)) = string(ipam, "resolvConf").filter(|(_, path)| !path.is_empty())
    else {
        return;
    };
    let is_of_node = chain.node.is_some();
    if let Err(error) = files::read(path.as_ref(), files::Links::Follow)
        && is_of_node
    {
        findings.warning(
            place,
            format!("{path} cannot be read on this node: {error}"),
        );
    }
}

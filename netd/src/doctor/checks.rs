//! From facts to findings. Pure.

use backend::Family;
use serde::Serialize;

use super::facts::{BadChecksums, Facts, Link, PortHolder};
use crate::status::SourcePorts;

/// What a check says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check.
    pub check: &'static str,
    /// Nothing is wrong.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What it means; empty when nothing is wrong.
    pub means: String,
    /// The command that mends it, or what to do.
    pub mend: String,
}

type Check = fn(&Facts) -> Vec<Finding>;

/// All checks of a node, in the order in which a packet meets what they are about.
pub const CHECKS: &[(&str, Check)] = &[
    ("daemon", daemon),
    ("store", store),
    ("subnet-env", subnet_env),
    ("forwarding", forwarding),
    ("br-netfilter", bridge_netfilter),
    ("forward-policy", forward_policy),
    ("conntrack", conntrack),
    ("source-ports", source_ports),
    ("mtu", mtu),
    ("bridge-address", bridge_address),
    ("udp-port", udp_port),
    ("device", device),
    ("peers", peers),
    ("routes", routes),
    ("rp-filter", rp_filter),
    ("checksum", checksum),
    ("other-cni", other_cni),
];

/// Every check's findings; a check without any says that all is well.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let each = CHECKS.iter().flat_map(|(name, check)| {
        let found = check(facts);
        match found.is_empty() {
            true => vec![well(name)],
            false => found,
        }
    });
    each.collect()
}

fn well(check: &'static str) -> Finding {
    right(check, summary(check))
}

fn summary(check: &str) -> &'static str {
    match check {
        "daemon" => "netd runs, and nothing is wrong with it",
        "store" => "the store answers",
        "subnet-env" => "subnet.env is there and right",
        "forwarding" => "packets are forwarded",
        "br-netfilter" => "iptables sees what bridges forward",
        "forward-policy" => "no packet filter drops what pods send",
        "conntrack" => "there is room for connections",
        "source-ports" => "masqueraded connections get source ports at random, if there are any",
        "mtu" => "MTUs fit each other",
        "bridge-address" => "the bridge has an address of this node's subnet",
        "udp-port" => "the tunnel's port is its own",
        "device" => "the tunnel devices are up",
        "peers" => "the kernel has what each peer needs",
        "routes" => "packets to each peer leave by the right device",
        "rp-filter" => "the reverse path filter takes no packet of a peer",
        "checksum" => "no packet comes with a wrong checksum",
        _ => "nothing of another CNI plugin is in the way",
    }
}

fn right(check: &'static str, found: &str) -> Finding {
    Finding {
        check,
        ok: true,
        found: found.to_owned(),
        means: String::new(),
        mend: String::new(),
    }
}

fn wrong(
    check: &'static str,
    found: impl Into<String>,
    means: impl Into<String>,
    mend: impl Into<String>,
) -> Finding {
    Finding {
        check,
        ok: false,
        found: found.into(),
        means: means.into(),
        mend: mend.into(),
    }
}

fn daemon(facts: &Facts) -> Vec<Finding> {
    let Some(daemon) = &facts.daemon else {
        return vec![wrong(
            "daemon",
            facts.no_daemon.clone(),
            "what is removed is not put back, new nodes are not reached, and the lease ends within \
             a day",
            "systemctl restart netd; journalctl -u netd says why it ended",
        )];
    };
    let problem = |(what, remedy, command): &(String, String, String)| {
        let mend = match command.as_str() {
            "" => remedy,
            command => command,
        };
        let means = "the pod network of this node is not whole; netd status says more";
        wrong("daemon", what.clone(), means, mend)
    };
    daemon.problems.iter().map(problem).collect()
}

/// A store that takes so long makes leases late.
const SLOW_MS: u128 = 500;

fn store(facts: &Facts) -> Vec<Finding> {
    match &facts.store {
        Some(Err(why)) => vec![wrong(
            "store",
            format!("the store does not answer: {why}"),
            "changes of other nodes are not seen; what is programmed stays until the lease ends",
            "bring the store back, or give -etcd-endpoints, -etcd-cafile, -etcd-certfile and \
             -etcd-keyfile as netd has them",
        )],
        Some(Ok(time)) if time.as_millis() >= SLOW_MS => vec![wrong(
            "store",
            format!("the store took {} ms to answer", time.as_millis()),
            "changes of other nodes are seen late",
            "look at etcd's disk: etcdctl endpoint status, and its metric \
             etcd_disk_wal_fsync_duration_seconds",
        )],
        _ => Vec::new(),
    }
}

fn subnet_env(facts: &Facts) -> Vec<Finding> {
    let path = &facts.subnet_file;
    let unusable = "no pod can be attached: the plugin flannel reads this file";
    let again = "restart netd: it writes the file at its start";
    let env = match &facts.subnet_env {
        None => {
            return vec![wrong(
                "subnet-env",
                format!("{path} is missing"),
                unusable,
                again,
            )];
        }
        Some(Err(why)) => {
            return vec![wrong(
                "subnet-env",
                format!("{path}: {why}"),
                unusable,
                again,
            )];
        }
        Some(Ok(env)) => env,
    };
    let mut found = Vec::new();
    let Some(daemon) = &facts.daemon else {
        return found;
    };
    let told = env.subnets().to_string();
    if !daemon.subnets.is_empty() && told != daemon.subnets {
        found.push(wrong(
            "subnet-env",
            format!(
                "{path} says {told}, and this node's lease is {}",
                daemon.subnets
            ),
            "pods get addresses that no other node sends here",
            again,
        ));
    }
    if daemon.mtu != 0 && env.mtu != daemon.mtu {
        let means = match env.mtu > daemon.mtu {
            true => "large packets of pods vanish",
            false => "pods send smaller packets than they could",
        };
        found.push(wrong(
            "subnet-env",
            format!(
                "{path} says FLANNEL_MTU={}, and {} is right",
                env.mtu, daemon.mtu
            ),
            means,
            again,
        ));
    }
    found
}

fn forwarding(facts: &Facts) -> Vec<Finding> {
    let off = facts
        .families
        .iter()
        .filter(|family| !facts.forwarding.contains(family));
    off.map(|family| {
        let (name, key) = match family {
            Family::V4 => ("IPv4", "net.ipv4.ip_forward"),
            Family::V6 => ("IPv6", "net.ipv6.conf.all.forwarding"),
        };
        wrong(
            "forwarding",
            format!("{name} packets are not forwarded ({key} is 0)"),
            "pods of this node reach nobody outside it",
            format!("sysctl -w {key}=1"),
        )
    })
    .collect()
}

fn bridge_netfilter(facts: &Facts) -> Vec<Finding> {
    let means = "a pod that calls a Service which leads to a pod on the same node gets answers \
                 from the wrong address";
    match facts.bridge_netfilter {
        None => vec![wrong(
            "br-netfilter",
            "the kernel module br_netfilter is not loaded",
            means,
            "modprobe br_netfilter",
        )],
        Some(false) => vec![wrong(
            "br-netfilter",
            "iptables does not see what bridges forward (net.bridge.bridge-nf-call-iptables is 0)",
            means,
            "sysctl -w net.bridge.bridge-nf-call-iptables=1",
        )],
        Some(true) => Vec::new(),
    }
}

fn forward_policy(facts: &Facts) -> Vec<Finding> {
    let unpassed = facts.dropping.iter().filter(|chain| !chain.accepts_pods);
    unpassed
        .map(|chain| {
            let or = match chain.is_netds {
                true => "; or have netd keep such rules: -iptables-forward-rules",
                false => "; for good, the same where that table is configured",
            };
            wrong(
                "forward-policy",
                format!(
                    "{} drops what no rule accepts, and none accepts what pods of {} send each \
                     other",
                    chain.name, chain.network
                ),
                "packets between pods of two nodes, and from pods to the world, are dropped here",
                format!("{}{or}", chain.command),
            )
        })
        .collect()
}

fn conntrack(facts: &Facts) -> Vec<Finding> {
    let Some((count, max)) = facts.conntrack.filter(|(_, max)| *max > 0) else {
        return Vec::new();
    };
    if count.saturating_mul(10) < max.saturating_mul(9) {
        return Vec::new();
    }
    vec![wrong(
        "conntrack",
        format!("{count} of at most {max} connections are tracked"),
        "when there is no room, new connections are dropped, now and then and without a trace but \
         'nf_conntrack: table full' in dmesg",
        format!(
            "sysctl -w net.netfilter.nf_conntrack_max={}",
            max.saturating_mul(2)
        ),
    )]
}

fn source_ports(facts: &Facts) -> Vec<Finding> {
    let daemon = facts.daemon.as_ref();
    let found = match daemon.and_then(|daemon| daemon.source_ports) {
        Some(SourcePorts::Disabled) => right(
            "source-ports",
            "masqueraded connections do not get source ports at random, as \
             -ip-masq-fully-random-disable says",
        ),
        Some(SourcePorts::Refused) => wrong(
            "source-ports",
            "masqueraded connections do not get source ports at random: iptables or the kernel refuses \
             (netd status says why)",
            "of two connections of pods that begin at once, to one address outside, one may lose its \
             first packet, and wait a second or, with DNS, five",
            "install iptables 1.6.2 or newer (with EnableNFTables run a newer kernel); where it does \
             no harm, start netd with -ip-masq-fully-random-disable",
        ),
        Some(SourcePorts::Random) | None => return Vec::new(),
    };
    vec![found]
}

fn mtu(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    let vanish = "large packets between pods of two nodes vanish, small ones arrive";
    for (tunnel, overhead, below) in facts.tunnels() {
        let Some(below) = below else { continue };
        let room = below.mtu.saturating_sub(overhead);
        if tunnel.mtu > room {
            found.push(wrong(
                "mtu",
                format!(
                    "{} has MTU {}, and {} carries {room} beside the tunnel's {overhead} bytes",
                    tunnel.name, tunnel.mtu, below.name
                ),
                vanish,
                format!("ip link set {} mtu {room}", tunnel.name),
            ));
        }
    }
    let Some(Ok(env)) = &facts.subnet_env else {
        return found;
    };
    let external = facts.link(&facts.external);
    let tunnels = facts.tunnels().map(|(link, ..)| link);
    let carriers: Vec<&Link> = match facts.tunnels().next() {
        Some(_) => tunnels.collect(),
        None => external.into_iter().collect(),
    };
    for link in carriers.iter().filter(|link| env.mtu > link.mtu) {
        found.push(wrong(
            "mtu",
            format!(
                "pods have MTU {} (FLANNEL_MTU), and {} carries {}",
                env.mtu, link.name, link.mtu
            ),
            vanish,
            format!(
                "restart netd, which writes FLANNEL_MTU={}, then attach the pods anew",
                link.mtu
            ),
        ));
    }
    for bridge in facts.pod_bridges().filter(|bridge| bridge.mtu > env.mtu) {
        found.push(wrong(
            "mtu",
            format!(
                "{} has MTU {}, and pods should have {}",
                bridge.name, bridge.mtu, env.mtu
            ),
            "pods that were attached with the larger MTU send packets that vanish",
            format!(
                "ip link set {} mtu {}; attach the pods anew",
                bridge.name, env.mtu
            ),
        ));
    }
    found
}

fn bridge_address(facts: &Facts) -> Vec<Finding> {
    let own = facts.own_subnets();
    let Some(bridge) = facts.link("cni0").filter(|link| link.bridge) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for address in &bridge.addresses {
        let same = own.iter().filter(|own| own.is_ipv4() == address.is_ipv4());
        let local = matches!(address.ip(), std::net::IpAddr::V6(v6) if v6.is_unicast_link_local());
        let mut same = same.peekable();
        if local || same.peek().is_none() || same.any(|own| own.contains(address.ip())) {
            continue;
        }
        let first = own.iter().find(|own| own.is_ipv4() == address.is_ipv4());
        let first = first.map(ToString::to_string).unwrap_or_default();
        let mend = match bridge.has_ports {
            true => "drain the node, then: ip link del cni0 (the next pod makes it anew)",
            false => "ip link del cni0 (the next pod makes it anew)",
        };
        found.push(wrong(
            "bridge-address",
            format!("cni0 has {address}, and this node's subnet is {first}"),
            "no pod can be attached ('cni0 already has an IP address different from'), and those \
             that are get no packets from other nodes",
            mend,
        ));
    }
    found
}

fn udp_port(facts: &Facts) -> Vec<Finding> {
    let Some(port) = facts.port else {
        return Vec::new();
    };
    let holder = |holder: &PortHolder| {
        let (means, mend) = match holder.is_silent_netd {
            true => (
                "it may carry the packets as it should, but what it says of itself is not known here",
                "give netd doctor the -status-socket with which that netd was started",
            ),
            false => (
                "the tunnel device cannot be brought up, or packets of other nodes go to that program",
                "stop that program, or give all nodes another Port in the network config",
            ),
        };
        let who = &holder.who;
        let what = format!("UDP port {port}, which the tunnel needs, is held by {who}");
        wrong("udp-port", what, means, mend)
    };
    facts.port_holders.iter().map(holder).collect()
}

fn device(facts: &Facts) -> Vec<Finding> {
    let down = facts.tunnels().filter(|(link, ..)| !link.up);
    down.map(|(link, ..)| {
        wrong(
            "device",
            format!("{} is down", link.name),
            "no packet goes to or comes from other nodes' pods",
            format!(
                "ip link set {} up, with netd running: it puts the routes back",
                link.name
            ),
        )
    })
    .collect()
}

fn peers(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for peer in &facts.peers {
        let Some(mac) = peer.mac else { continue };
        let (device, gateway) = (&peer.device, peer.subnet.network());
        if peer.neighbour != Some(mac) {
            let has = peer
                .neighbour
                .map_or("none".to_owned(), |mac| mac.to_string());
            found.push(wrong(
                "peers",
                format!(
                    "the neighbour {gateway} of {} is {has}, not {mac}",
                    peer.subnet
                ),
                "packets to that node's pods vanish",
                format!("ip neigh replace {gateway} lladdr {mac} dev {device} nud permanent"),
            ));
        }
        if peer.endpoint != Some(peer.public) {
            let has = peer
                .endpoint
                .map_or("nobody".to_owned(), |there| there.to_string());
            found.push(wrong(
                "peers",
                format!(
                    "the FDB says that {mac} is behind {has}, not {}",
                    peer.public
                ),
                "packets to that node's pods vanish",
                format!(
                    "bridge fdb replace {mac} dev {device} dst {} self permanent",
                    peer.public
                ),
            ));
        }
    }
    found
}

fn routes(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for peer in &facts.peers {
        let subnet = peer.subnet;
        let say = |found: String| {
            wrong(
                "routes",
                found,
                "packets to that node's pods go astray",
                format!(
                    "see which route or rule it is, and delete it: ip route get {}; ip rule; ip \
                     route show table all match {subnet}",
                    subnet.network()
                ),
            )
        };
        match &peer.leaves_by {
            Some(link) if *link == peer.device => {}
            Some(link) => found.push(say(format!(
                "packets to {subnet} leave by {link}, and {} is right",
                peer.device
            ))),
            None => found.push(say(format!("there is no way to {subnet}"))),
        }
    }
    found
}

/// Packets of a peer come in by the external interface. Where the way back leads elsewhere, the
/// strict filter drops them.
fn rp_filter(facts: &Facts) -> Vec<Finding> {
    let external = facts.link(&facts.external);
    let Some(external) = external.filter(|link| link.rp_filter == 1) else {
        return Vec::new();
    };
    let astray = facts.peers.iter().filter(|peer| {
        let elsewhere = |link: &String| *link != external.name;
        peer.public.is_ipv4() && peer.reached_by.as_ref().is_some_and(elsewhere)
    });
    astray
        .map(|peer| {
            let name = &external.name;
            wrong(
                "rp-filter",
                format!(
                    "rp_filter of {name} is strict, and the way back to {} does not lead by it but \
                     by {}",
                    peer.public,
                    peer.reached_by.as_deref().unwrap_or("-")
                ),
                "packets that this node sends into the pod network arrive, and no answer does",
                format!(
                    "sysctl -w net.ipv4.conf.{name}.rp_filter=2, or mend the route to {}",
                    peer.public
                ),
            )
        })
        .collect()
}

fn checksum(facts: &Facts) -> Vec<Finding> {
    let BadChecksums { udp, tcp } = facts.bad_checksums;
    if udp == 0 && tcp == 0 {
        return Vec::new();
    }
    let tunnels = facts.tunnels().map(|(link, ..)| link.name.as_str());
    let mut vxlan: Vec<&str> = tunnels
        .filter(|name| cluster::is_vxlan_device(name))
        .collect();
    let keeps = match vxlan.is_empty() {
        true => "",
        false => " (netd keeps it so with -vxlan-checksum-offload=off)",
    };
    if vxlan.is_empty() {
        vxlan.push(&facts.external);
    }
    let off: Vec<String> = vxlan
        .iter()
        .map(|link| format!("ethtool -K {link} tx off"))
        .collect();
    vec![wrong(
        "checksum",
        format!(
            "{udp} UDP and {tcp} TCP packets came with a wrong checksum while this was looked at"
        ),
        "a network card, a virtual switch or a NAT breaks the checksum of what is in a tunnel: \
         connections to pods hang for seconds or for ever, pings arrive",
        format!("on the nodes that send them: {}{keeps}", off.join("; ")),
    )]
}

/// Beginnings of names that other network plugins give their links.
const OTHERS: &[(&str, &str)] = &[
    ("cali", "Calico"),
    ("vxlan.calico", "Calico"),
    ("tunl0", "Calico"),
    ("cilium_", "Cilium"),
    ("lxc_health", "Cilium"),
    ("weave", "Weave Net"),
    ("kube-bridge", "kube-router"),
    ("antrea-", "Antrea"),
    ("ovn-", "OVN-Kubernetes"),
];

fn other_cni(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut told: Vec<&str> = Vec::new();
    for link in facts
        .links
        .iter()
        .filter(|link| link.up || link.name != "tunl0")
    {
        let other = OTHERS
            .iter()
            .find(|(prefix, _)| link.name.starts_with(prefix));
        let Some((_, other)) = other.filter(|(_, other)| !told.contains(other)) else {
            continue;
        };
        told.push(other);
        found.push(wrong(
            "other-cni",
            format!("the link {} is of {other}", link.name),
            "its routes and packet filter may take pods' packets",
            format!("uninstall {other}, or restart the node after it was uninstalled"),
        ));
    }
    let ours = |config: &&super::facts::CniConfig| {
        ["flannel", "bridge", "vxlan", "host-gw", "ptp"].contains(&config.plugin.as_str())
    };
    if let Some(first) = facts.cni_configs.first().filter(|first| !ours(first)) {
        found.push(wrong(
            "other-cni",
            format!(
                "/etc/cni/net.d/{} is the first configuration, and its plugin is {:?}",
                first.file, first.plugin
            ),
            "runtimes attach pods by the first configuration: unless it delegates to flannel (as \
             multus does), they get no address of this node's subnet",
            format!(
                "see whether {0} shall attach pods; if not, take it out of /etc/cni/net.d",
                first.file
            ),
        ));
    }
    found
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;

//! The way of one packet.

use std::net::IpAddr;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Cluster;
use super::hops::Hop;
use super::place::Place;
use super::trace::{self, Verdict};
use crate::program::in_path;

/// A packet that is handed on more often goes in a circle.
const MOST_NODES: usize = 4;
/// Of a ping that every path carries, bytes.
const SMALL: u32 = 56;

/// Why a walk ends before its end.
enum Stop {
    /// It is told: a hop breaks, or nobody can be looked at from there on.
    Told,
    /// Looking fails.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Goes on, or does not.
type Go<T> = std::result::Result<T, Stop>;

/// A packet on its way.
pub(super) struct Walk<'a> {
    cluster: &'a Cluster,
    hops: Vec<Hop>,
    /// What would mend the last of them, where that breaks.
    mend: Option<String>,
    pod: usize,
    source: IpAddr,
    to: IpAddr,
    /// The largest packet that the pod sends, bytes.
    mtu: u32,
}

/// The largest packet that the way to an address carries, as far as routers there have said so.
fn learned_mtu(from: &Place, to: IpAddr) -> Result<Option<u32>> {
    let route = from.one(&format!("ip route get {to}"))?.unwrap_or_default();
    let mtu = route["metrics"][0]["mtu"].as_u64();
    Ok(mtu.and_then(|mtu| u32::try_from(mtu).ok()))
}

/// Where a packet goes next.
struct Out {
    dev: String,
    /// Who gets it on that link.
    next: IpAddr,
    source: Option<IpAddr>,
    is_local: bool,
}

impl<'a> Walk<'a> {
    /// Follows a packet from a pod, and asks for an answer where nothing was found. Returns what it meets and, where the
    /// last of that breaks, what would mend it.
    pub(super) fn from_pod(
        cluster: &'a Cluster,
        pod: usize,
        to: IpAddr,
    ) -> Result<(Vec<Hop>, Option<String>)> {
        let mut walk = Self {
            cluster,
            hops: Vec::new(),
            mend: None,
            pod,
            source: to,
            to,
            mtu: 0,
        };
        match walk.go() {
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Told) => {}
            Ok(()) => walk.answer(
                "every hop on the way there looks right: explain the way back, from that pod to this \
                 one's address; or whoever has the address drops pings",
            )?,
        }
        Ok((walk.hops, walk.mend))
    }

    fn go(&mut self) -> Go<()> {
        let (node, pod) = self.here();
        let Some(out) = self.leave(pod)? else {
            return Ok(());
        };
        let host = self.pair(node, pod, &out.dev)?;
        // From here on neighbours are known, where somebody answers.
        pod.ping(self.to, SMALL)?;
        let mac = self.neighbour(pod, &out)?;
        match text(&host, "master") {
            Some(bridge) if out.next == self.to => self.on_bridge(node, &bridge, mac.as_deref()),
            Some(bridge) => self.through(node, &bridge, mac.as_deref(), 0),
            None => self.through(
                node,
                &text(&host, "ifname").unwrap_or_default(),
                mac.as_deref(),
                0,
            ),
        }
    }

    fn here(&self) -> (&'a Place, &'a Place) {
        let (node, pod) = &self.cluster.pods[self.pod];
        (&self.cluster.nodes[*node], pod)
    }

    /// The pod's route and link; nothing for an address of its own.
    fn leave(&mut self, pod: &Place) -> Go<Option<Out>> {
        let out = self.route(pod, "")?;
        if out.is_local {
            return Ok(None);
        }
        let link = self.link(pod, &out.dev)?;
        self.mtu = number(&link, "mtu").unwrap_or(1500);
        self.source = out
            .source
            .with_context(|| format!("{}: no source address to {}", pod.name, self.to))?;
        Ok(Some(out))
    }

    /// The node's end of the pod's link.
    fn pair(&mut self, node: &Place, pod: &Place, dev: &str) -> Go<Value> {
        let inside = pod.one(&format!("ip -d link show dev {dev}"))?;
        let inside = inside.with_context(|| format!("{} has no {dev}", pod.name))?;
        let kind = inside["linkinfo"]["info_kind"]
            .as_str()
            .unwrap_or("device")
            .to_owned();
        if kind != "veth" {
            let what = format!(
                "{dev} is a {kind}: it leaves by the node's own network card, past the node's routes and filters"
            );
            return self.unknown(pod, what);
        }
        let (index, peer) = (number(&inside, "ifindex"), number(&inside, "link_index"));
        let links = node.json("ip -d link show")?;
        let ours = links.into_iter().find(|link| {
            number(link, "ifindex") == peer
                && number(link, "link_index") == index
                && link["linkinfo"]["info_kind"] == "veth"
        });
        let Some(ours) = ours else {
            let what = format!("the other end of {dev} of {} is not here", pod.name);
            return self.broken(node, what, "attach the pod anew: its plugin makes the pair");
        };
        let name = text(&ours, "ifname").unwrap_or_default();
        self.up(node, &ours, format!("{name}, the pod's other end"))?;
        if let Some(bridge) = text(&ours, "master") {
            self.link(node, &bridge)?;
            let port = node.one(&format!("bridge link show dev {name}"))?;
            let state = port.as_ref().and_then(|port| text(port, "state"));
            if let Some(state) = state.filter(|state| state != "forwarding") {
                let what = format!("{name} is a port of {bridge}, which is {state}");
                return self.broken(node, what, "wait for the spanning tree, or set the port's state: bridge link set dev PORT state 3");
            }
        }
        Ok(ours)
    }

    /// A node that routes the packet, which came in by `iif` for the hardware address `mac`.
    fn through(&mut self, node: &Place, iif: &str, mac: Option<&str>, before: usize) -> Go<()> {
        self.is_ours(node, iif, mac)?;
        // What is for the node itself it does not hand on.
        if !node.has(self.to)? {
            self.forwards(node, self.to)?;
        }
        self.filter(node)?;
        let from = self.source;
        let out = self.route(node, &format!(" from {from} iif {iif}"))?;
        if out.is_local {
            return Ok(());
        }
        let link = self.link(node, &out.dev)?;
        let kind = link["linkinfo"]["info_kind"].as_str().unwrap_or_default();
        match kind {
            "bridge" => {
                let mac = self.neighbour(node, &out)?;
                self.on_bridge(node, &out.dev, mac.as_deref())
            }
            "vxlan" => {
                let mac = self.neighbour(node, &out)?;
                let end = self.tunnel(node, &out.dev, mac.as_deref())?;
                self.underlay(node, end)?;
                self.arrive(node, end, &out.dev, before)
            }
            "veth" if self.pod_behind(node, &link)?.is_some() => {
                self.neighbour(node, &out)?;
                self.last(node)
            }
            "wireguard" | "ipip" | "tun" => self.unknown(
                node,
                format!("{} carries it through a {kind} tunnel: `netd status` on the node names its other end", out.dev),
            ),
            _ => {
                self.neighbour(node, &out)?;
                self.arrive(node, out.next, "", before)
            }
        }
    }

    /// Whether the packet is for this node's own link, and not for somebody else on it.
    fn is_ours(&mut self, node: &Place, iif: &str, mac: Option<&str>) -> Go<()> {
        let Some(mac) = mac else { return Ok(()) };
        let links = node.json("ip link show")?;
        if links.iter().any(|link| link["address"] == mac) {
            return Ok(());
        }
        let what = format!(
            "no link here has {mac}, where the packet is sent: a router on a port of {iif}, or a gateway that was made anew"
        );
        self.unknown(node, what)
    }

    fn forwards(&mut self, node: &Place, to: IpAddr) -> Go<()> {
        let key = match to {
            IpAddr::V4(_) => "net/ipv4/ip_forward",
            IpAddr::V6(_) => "net/ipv6/conf/all/forwarding",
        };
        let value = node.sysctl(key)?;
        // As sysctl(8) spells it.
        let key = key.replace('/', ".");
        match value.trim() {
            "0" => self.broken(node, format!("{key} is 0"), &format!("sysctl -w {key}=1")),
            value => {
                self.good(node, format!("{key} is {value}"));
                Ok(())
            }
        }
    }

    fn filter(&mut self, node: &Place) -> Go<()> {
        if in_path("nft").is_none() {
            self.good(
                node,
                "packet filter not looked at: install nft (package nftables)".to_owned(),
            );
            return Ok(());
        }
        let (_, pod) = self.here();
        let send = || pod.ping(self.to, SMALL).map(drop);
        match trace::of_packet(node, self.source, self.to, send)? {
            Verdict::Passed => self.good(node, "no rule of the packet filter drops it".to_owned()),
            Verdict::Absent if pod.ping(self.to, SMALL)? => {
                let what = format!(
                    "no packet from {} comes to its packet filter, and yet they are answered: a node before masquerades them",
                    self.source
                );
                self.good(node, what);
            }
            Verdict::Absent => {
                let what = "it does not come to the node's packet filter".to_owned();
                return self.broken(node, what, "look for what drops it before: tc filter show, a filter of the bridge (nft list ruleset), bridge -d link");
            }
            Verdict::Dropped(rule) => {
                let what = format!("the packet filter drops it: {rule}");
                return self.broken(
                    node,
                    what,
                    "accept it before that rule, or in the chain of that policy",
                );
            }
        }
        Ok(())
    }

    /// The VTEP that has the hardware address.
    fn tunnel(&mut self, node: &Place, dev: &str, mac: Option<&str>) -> Go<IpAddr> {
        let entries = node.json(&format!("bridge fdb show dev {dev}"))?;
        let mac = mac.unwrap_or_default();
        let entry = entries.iter().find(|entry| entry["mac"] == mac);
        let end = entry.and_then(|entry| entry["dst"].as_str()?.parse().ok());
        match end {
            Some(end) => {
                self.good(node, format!("FDB of {dev}: {mac} is behind {end}"));
                Ok(end)
            }
            None => {
                let what = format!("FDB of {dev} has no {mac}");
                self.broken(node, what, "netd puts it there: netd status")
            }
        }
    }

    /// How the tunnel's packets leave, and how the routers on their way hand them on.
    fn underlay(&mut self, node: &Place, end: IpAddr) -> Go<()> {
        let (cluster, mut at) = (self.cluster, node);
        for _ in 0..=cluster.routers.len() {
            let out = self.route_to(at, end, "")?;
            self.link(at, &out.dev)?;
            self.neighbour(at, &out)?;
            match router_with(cluster, out.next)? {
                None => return Ok(()),
                Some(router) => at = router,
            }
            self.forwards(at, end)?;
        }
        self.circle(at)
    }

    fn circle(&mut self, at: &Place) -> Go<()> {
        let what = "the packet goes in a circle".to_owned();
        self.broken(at, what, "mend the routes above")
    }

    /// The node that has this address of the underlay.
    fn arrive(&mut self, from: &Place, address: IpAddr, iif: &str, before: usize) -> Go<()> {
        for node in &self.cluster.nodes {
            if std::ptr::eq(node, from) || !node.has(address)? {
                continue;
            }
            if before == MOST_NODES {
                return self.circle(node);
            }
            let iif = match iif {
                "" => self.link_of(node, address)?,
                tunnel => tunnel.to_owned(),
            };
            return self.through(node, &iif, None, before + 1);
        }
        self.unknown(
            from,
            format!(
                "it goes to {address}, which cannot be looked at from here (to another node's pods \
                 netd has routes: netd status)"
            ),
        )
    }

    fn link_of(&self, node: &Place, address: IpAddr) -> Go<String> {
        let found = node.one(&format!("ip addr show to {address}"))?;
        let name = found.and_then(|link| text(&link, "ifname"));
        Ok(name.with_context(|| format!("{} has no {address}", node.name))?)
    }

    /// The pod that is the port of the bridge with this hardware address.
    fn on_bridge(&mut self, node: &Place, bridge: &str, mac: Option<&str>) -> Go<()> {
        if node.has(self.to)? {
            self.good(node, format!("{} is an address of its own", self.to));
            return Ok(());
        }
        let mac = mac.unwrap_or_default();
        let entries = node.json(&format!("bridge fdb show br {bridge}"))?;
        let known = |entry: &&Value| entry["mac"] == mac && entry["state"] != "permanent";
        let port = entries
            .iter()
            .find(known)
            .and_then(|entry| text(entry, "ifname"));
        match port {
            Some(port) => {
                self.good(node, format!("{bridge} has {mac} behind {port}"));
                self.link(node, &port)?;
            }
            None => self.good(
                node,
                format!("{bridge} does not know {mac} and sends it to every port"),
            ),
        }
        self.last(node)
    }

    /// The pod that has the address.
    fn last(&mut self, node: &Place) -> Go<()> {
        for (at, pod) in &self.cluster.pods {
            if std::ptr::eq(&raw const self.cluster.nodes[*at], node) && pod.has(self.to)? {
                let dev = self.link_of(pod, self.to)?;
                self.link(pod, &dev)?;
                self.good(pod, format!("{dev} has {}", self.to));
                return Ok(());
            }
        }
        // It may be a machine on a link that is a port of the bridge, or a pod whose namespace nobody named.
        let what = format!(
            "no pod that is known here has {} (lab get pods, podwire ls)",
            self.to
        );
        self.unknown(node, what)
    }

    /// Whether a pod is the other end of the node's link.
    fn pod_behind(&self, node: &Place, link: &Value) -> Go<Option<usize>> {
        let (index, peer) = (number(link, "ifindex"), number(link, "link_index"));
        for (n, (at, pod)) in self.cluster.pods.iter().enumerate() {
            if !std::ptr::eq(&raw const self.cluster.nodes[*at], node) {
                continue;
            }
            let links = pod.json("ip link show")?;
            if links.iter().any(|inside| {
                number(inside, "ifindex") == peer && number(inside, "link_index") == index
            }) {
                return Ok(Some(n));
            }
        }
        Ok(None)
    }

    /// Where the packet goes from here.
    fn route(&mut self, place: &Place, how: &str) -> Go<Out> {
        self.route_to(place, self.to, how)
    }

    fn route_to(&mut self, place: &Place, to: IpAddr, how: &str) -> Go<Out> {
        let found = match place.one(&format!("ip route get {to}{how}")) {
            Ok(found) => found.unwrap_or_default(),
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.rsplit(": ").next().unwrap_or_default();
                let what = format!("no route to {to}{how}: {reason}");
                return self.broken(
                    place,
                    what,
                    "ip route show; for another node's pods netd puts it there: netd status",
                );
            }
        };
        let address = |key| found[key].as_str().and_then(|text: &str| text.parse().ok());
        let via = address("gateway").or_else(|| found["via"]["host"].as_str()?.parse().ok());
        let dev = text(&found, "dev").unwrap_or_default();
        let is_local = found["type"] == "local";
        let words = match (is_local, via) {
            (true, _) => format!("{to} is an address of its own"),
            (false, None) => format!("route to {to}: on {dev}"),
            (false, Some(via)) => format!("route to {to}: via {via} on {dev}"),
        };
        self.good(place, words);
        Ok(Out {
            dev,
            next: via.unwrap_or(to),
            source: address("prefsrc"),
            is_local,
        })
    }

    /// A link that is up.
    fn link(&mut self, place: &Place, dev: &str) -> Go<Value> {
        let link = place.one(&format!("ip -d link show dev {dev}"))?;
        let link = link.with_context(|| format!("{} has no {dev}", place.name))?;
        self.up(place, &link, dev.to_owned())?;
        Ok(link)
    }

    fn up(&mut self, place: &Place, link: &Value, words: String) -> Go<()> {
        let name = text(link, "ifname").unwrap_or_default();
        let has = |flag: &str| {
            link["flags"]
                .as_array()
                .is_some_and(|flags| flags.iter().any(|each| each == flag))
        };
        if !has("UP") {
            return self.broken(
                place,
                format!("{words} is down"),
                &format!("ip link set {name} up"),
            );
        }
        if has("NO-CARRIER") || !has("LOWER_UP") {
            let mend = match link["linkinfo"]["info_kind"].as_str() {
                Some("bridge") => "none of its ports is up: ip link show master, and bring one up",
                _ => "bring its other end up, or what it lies on",
            };
            return self.broken(place, format!("{words} has no carrier"), mend);
        }
        let mtu = number(link, "mtu").unwrap_or_default();
        self.good(place, format!("{words} is up, MTU {mtu}"));
        Ok(())
    }

    /// The hardware address of the next hop; none on a link without such.
    fn neighbour(&mut self, place: &Place, out: &Out) -> Go<Option<String>> {
        let link = place
            .one(&format!("ip link show dev {}", out.dev))?
            .unwrap_or_default();
        let has_none = link["flags"]
            .as_array()
            .is_some_and(|flags| flags.iter().any(|flag| flag == "NOARP"));
        if has_none {
            return Ok(None);
        }
        let known = place.one(&format!("ip neigh show to {} dev {}", out.next, out.dev))?;
        let known = known.unwrap_or_default();
        let (mac, state) = (
            text(&known, "lladdr"),
            known["state"][0].as_str().unwrap_or("NONE"),
        );
        match mac.filter(|_| !["FAILED", "INCOMPLETE"].contains(&state)) {
            Some(mac) => {
                self.good(
                    place,
                    format!("neighbour {} on {}: {mac} ({state})", out.next, out.dev),
                );
                Ok(Some(mac))
            }
            None => {
                let what = format!(
                    "neighbour {} on {}: nobody answers ({state})",
                    out.next, out.dev
                );
                self.broken(place, what, "whoever has the address is down or on another link; an end of a tunnel netd puts there: netd status")
            }
        }
    }

    /// Whether an answer comes, to small packets and large ones.
    fn answer(&mut self, mend: &str) -> Result<()> {
        let (_, pod) = self.here();
        let headers = if self.to.is_ipv6() { 48 } else { 28 };
        let to = self.to;
        if !pod.ping(to, SMALL)? {
            let what = format!("{to} does not answer pings");
            let _ = self.broken::<()>(pod, what, mend);
            return Ok(());
        }
        if self.mtu > SMALL + headers && !pod.ping(to, self.mtu - headers)? {
            // Whoever is told what the way carries sends no more (RFC 1191, RFC 8201).
            if let Some(mtu) = learned_mtu(pod, to)?.filter(|mtu| (headers..self.mtu).contains(mtu))
                && pod.ping(to, mtu - headers)?
            {
                let what = format!(
                    "{to} answers, in packets of {mtu} bytes: a link on the way carries no more, and says so"
                );
                self.good(pod, what);
                return Ok(());
            }
            let what = format!("packets of {} bytes get lost, small ones do not", self.mtu);
            let mend = "a link on the way carries less than the pod's MTU: compare the MTUs above, and netd doctor --peer";
            let _ = self.broken::<()>(pod, what, mend);
            return Ok(());
        }
        let sizes = match self.mtu {
            0 => String::new(),
            mtu => format!(", also in packets of {mtu} bytes"),
        };
        self.good(pod, format!("{to} answers{sizes}"));
        Ok(())
    }

    fn good(&mut self, place: &Place, what: String) {
        self.hops.push(Hop {
            at: place.name.clone(),
            what,
            fault: None,
        });
    }

    fn broken<T>(&mut self, place: &Place, what: String, mend: &str) -> Go<T> {
        self.hops.push(Hop {
            at: place.name.clone(),
            what,
            fault: None,
        });
        self.mend = Some(mend.to_owned());
        Err(Stop::Told)
    }

    /// Nobody can look further; whether an answer comes can be seen all the same.
    fn unknown<T>(&mut self, place: &Place, what: String) -> Go<T> {
        let mend = format!("nobody can look further than {}: {what}", place.name);
        self.good(place, what);
        self.answer(&mend)?;
        Err(Stop::Told)
    }
}

/// The router that has this address.
fn router_with(cluster: &Cluster, address: IpAddr) -> Result<Option<&Place>> {
    for router in &cluster.routers {
        if router.has(address)? {
            return Ok(Some(router));
        }
    }
    Ok(None)
}

fn text(of: &Value, key: &str) -> Option<String> {
    of[key].as_str().map(str::to_owned)
}

fn number(of: &Value, key: &str) -> Option<u32> {
    of[key].as_u64().and_then(|number| number.try_into().ok())
}

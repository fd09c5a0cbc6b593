//! Makes a path: nodes on a wire, pods on them by a suite's plugins, netd between them.

use std::net::IpAddr;

use anyhow::{Context, Result};
use ipnetwork::IpNetwork;
use kernel::{NetNs, Netlink, congestion};
use serde_json::{Value, json};

use super::family::Family;
use super::overlay;
use super::paths::Path;
use super::traffic::PORT;
use super::variants::Variant;
use super::wire::{Wire, address_link, ip};
use crate::bench::netd::Process;
use crate::bench::suite::{Call, Suite};
use crate::bench::world;

/// Where a load's two ends are.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    /// The client's namespace.
    pub(super) client: String,
    /// The server's.
    pub(super) server: String,
    /// The server's address, as the client sees it.
    pub(super) address: IpAddr,
}

impl Ends {
    /// Has streams begin with a congestion control that paces none: the timer of one that does, as bbr, stays with a
    /// stream that takes another one when it is connected, which is when iperf3 and `lab load` choose.
    ///
    /// # Errors
    /// A namespace cannot be entered, or the kernel refused.
    pub(super) fn begin_unpaced(&self) -> Result<()> {
        for end in [&self.client, &self.server] {
            NetNs::open(format!("/run/netns/{end}"))?.run(congestion::begin_unpaced)??;
        }
        Ok(())
    }
}

/// A path that was made.
pub(super) struct Course {
    pub(super) path: Path,
    pub(super) family: Family,
    /// The variant's name.
    pub(super) variant: String,
    /// Pods beside those that are measured, on each of its nodes.
    pub(super) other_pods: usize,
    pub(super) ends: Ends,
    /// They end with it.
    _daemons: Vec<Process>,
}

/// What the paths of a variant are made with.
pub(super) struct Maker<'a> {
    pub(super) bin_dir: &'a std::path::Path,
    pub(super) suite: Suite,
    pub(super) variant: &'a Variant,
    /// Of the variant.
    pub(super) number: usize,
}

/// A path that is being made.
pub(super) struct Site<'a> {
    pub(super) maker: &'a Maker<'a>,
    pub(super) path: Path,
    pub(super) family: Family,
    pub(super) other_pods: usize,
}

impl Maker<'_> {
    /// Why this path cannot be had here, if it cannot.
    ///
    /// # Errors
    /// The kernel cannot be asked.
    pub(super) fn missing(&self, path: Path, family: Family) -> Result<Option<String>> {
        if !path.has(family) {
            return Ok(Some(format!("netd's backend {path} carries IPv4 alone")));
        }
        let absent = path.plugins().iter().find(|plugin| !self.suite.has(plugin));
        if let Some(plugin) = absent {
            return Ok(Some(format!("there is no plugin {plugin:?}")));
        }
        if path == Path::Udp && !std::path::Path::new("/dev/net/tun").exists() {
            return Ok(Some("there is no /dev/net/tun".to_owned()));
        }
        let Some(kind) = path.kind() else {
            return Ok(None);
        };
        let has = Netlink::open()?.has_link_kind(&kind)?;
        Ok((!has).then(|| "this kernel has no such links".to_owned()))
    }

    /// Makes it.
    ///
    /// # Errors
    /// A program fails, or the ends do not reach each other.
    pub(super) fn make(&self, path: Path, family: Family, other_pods: usize) -> Result<Course> {
        let site = Site {
            maker: self,
            path,
            family,
            other_pods,
        };
        let (ends, daemons) = site
            .make()
            .with_context(|| format!("make the path {path} ({family}, {})", self.variant.name))?;
        Ok(Course {
            path,
            family,
            variant: self.variant.name.clone(),
            other_pods,
            ends,
            _daemons: daemons,
        })
    }
}

impl Site<'_> {
    fn make(&self) -> Result<(Ends, Vec<Process>)> {
        let ends = match self.path {
            Path::Loopback => self.loopback(),
            Path::Veth => self.veth(),
            Path::Node => self.nodes(),
            Path::Bridge | Path::Ptp | Path::Macvlan | Path::Ipvlan => self.one_node(),
            Path::Masquerade => self.masquerade(),
            Path::Portmap | Path::Hairpin => self.mapped(),
            Path::HostGw
            | Path::Vxlan
            | Path::VxlanByHand
            | Path::Ipip
            | Path::Wireguard
            | Path::Udp => return overlay::make(self),
        };
        Ok((ends?, Vec::new()))
    }

    /// The name of something that it alone has.
    pub(super) fn name(&self, what: &str) -> String {
        let (path, family) = (self.path, self.family);
        let (number, pods) = (self.maker.number, self.other_pods);
        format!("{path}-{family}-{number}-{pods}-{what}")
    }

    fn loopback(&self) -> Result<Ends> {
        let node = self.name("node");
        world::add_pod(&node)?;
        Ok(ends(&node, &node, self.family.loopback()))
    }

    /// Without plugin, bridge and filter: what the kernel takes from one namespace to another.
    fn veth(&self) -> Result<Ends> {
        let (client, server) = (self.name("a"), self.name("b"));
        world::add_pod(&client)?;
        world::add_pod(&server)?;
        ip(&format!(
            "-n {client} link add eth0 type veth peer name eth0 netns {server}"
        ))?;
        address_link(&client, self.family.on_wire(1), self.family)?;
        let address = self.family.on_wire(2);
        address_link(&server, address, self.family)?;
        Ok(ends(&client, &server, address))
    }

    /// A wire that the path has for itself.
    pub(super) fn wire(&self) -> Result<Wire> {
        Wire::new(self.name("wire"), self.family)
    }

    fn nodes(&self) -> Result<Ends> {
        let mut wire = self.wire()?;
        let (client, server) = (self.name("a"), self.name("b"));
        wire.add_node(&client)?;
        let address = wire.add_node(&server)?;
        Ok(ends(&client, &server, address))
    }

    /// Pods that a plugin attaches; macvlan and ipvlan to a link of the node's own.
    fn one_node(&self) -> Result<Ends> {
        let node = self.name("node");
        world::add_pod(&node)?;
        for words in [
            "link add uplink type veth peer name far",
            "link set uplink up",
            "link set far up",
        ] {
            ip(&format!("-n {node} {words}"))?;
        }
        let config = self.network(match self.path {
            Path::Ptp => json!({ "type": "ptp" }),
            Path::Macvlan => json!({ "type": "macvlan", "master": "uplink" }),
            Path::Ipvlan => json!({ "type": "ipvlan", "master": "uplink" }),
            _ => json!({ "type": "bridge", "bridge": "cni0", "isGateway": true }),
        });
        let (client, server) = (self.name("client"), self.name("server"));
        self.attach(&node, &client, &config)?;
        let result = self.attach(&node, &server, &config)?;
        self.attach_others(&node, &config)?;
        Ok(ends(&client, &server, address(&result)?))
    }

    fn masquerade(&self) -> Result<Ends> {
        let mut wire = self.wire()?;
        let (node, outside, pod) = (self.name("node"), self.name("outside"), self.name("pod"));
        wire.add_node(&node)?;
        let address = wire.add_node(&outside)?;
        let config =
            json!({ "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true });
        let config = self.network(config);
        self.attach(&node, &pod, &config)?;
        self.attach_others(&node, &config)?;
        Ok(ends(&pod, &outside, address))
    }

    /// The client is outside, or, by a hairpin, the pod itself.
    fn mapped(&self) -> Result<Ends> {
        let mut wire = self.wire()?;
        let (node, outside, pod) = (self.name("node"), self.name("outside"), self.name("pod"));
        let address = wire.add_node(&node)?;
        wire.add_node(&outside)?;
        let config = self.network(
            json!({ "type": "bridge", "bridge": "cni0", "isGateway": true,
            "hairpinMode": self.path == Path::Hairpin }),
        );
        let result = self.attach(&node, &pod, &config)?;
        let mappings = ["tcp", "udp"].map(
            |protocol| json!({ "hostPort": PORT, "containerPort": PORT, "protocol": protocol }),
        );
        let portmap = self.maker.variant.plugin(json!({ "type": "portmap" }));
        let portmap = self.with_common(
            portmap,
            json!({ "prevResult": result,
            "runtimeConfig": { "portMappings": mappings } }),
        );
        self.call(&node, &pod, &portmap)?;
        self.attach_others(&node, &config)?;
        let client = if self.path == Path::Hairpin {
            &pod
        } else {
            &outside
        };
        Ok(ends(client, &pod, address))
    }

    /// A network that the path has for itself, with what the variant changes.
    pub(super) fn network(&self, config: Value) -> Value {
        self.network_of(config, self.family.pods())
    }

    /// The same of this subnet.
    pub(super) fn network_of(&self, config: Value, subnet: &str) -> Value {
        let ipam = json!({ "type": "host-local", "subnet": subnet,
            "dataDir": format!("/run/bench/{}", self.name("leases")),
            "routes": [{ "dst": self.family.everywhere() }] });
        let config = self.with_common(config, json!({ "ipam": ipam }));
        self.maker.variant.plugin(config)
    }

    fn with_common(&self, mut config: Value, members: Value) -> Value {
        config["cniVersion"] = "1.0.0".into();
        config["name"] = self.name("net").into();
        for (key, value) in members.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        config
    }

    /// A new pod; the plugin's result.
    pub(super) fn attach(&self, node: &str, pod: &str, config: &Value) -> Result<Value> {
        world::add_pod(pod)?;
        let result = self.call(node, pod, config)?;
        serde_json::from_slice(&result).with_context(|| format!("the result for {pod}"))
    }

    /// The pods that are there and do nothing.
    pub(super) fn attach_others(&self, node: &str, config: &Value) -> Result<()> {
        for n in 1..=self.other_pods {
            self.attach(node, &format!("{node}-other-{n}"), config)?;
        }
        Ok(())
    }

    fn call(&self, node: &str, pod: &str, config: &Value) -> Result<Vec<u8>> {
        let answer = self.maker.suite.answer(&Call {
            plugin: config["type"].as_str().context("no type")?,
            command: "ADD",
            container: pod,
            netns: &format!("/run/netns/{pod}"),
            config,
            host: Some(node),
        });
        Ok(answer?.1)
    }
}

fn ends(client: &str, server: &str, address: IpAddr) -> Ends {
    Ends {
        client: client.to_owned(),
        server: server.to_owned(),
        address,
    }
}

/// The address in a plugin's result, without the prefix length.
///
/// # Errors
/// It has none.
pub(super) fn address(result: &Value) -> Result<IpAddr> {
    let address = result["ips"][0]["address"].as_str();
    let address: Option<IpNetwork> = address.and_then(|address| address.parse().ok());
    let address = address.with_context(|| format!("the plugin's result has no address: {result}"));
    Ok(address?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::testing::World;

    #[test]
    fn both_ends_begin_unpaced() {
        let Some(_world) = World::new() else { return };
        let names = ["client", "server"];
        let namespaces = names.map(|name| NetNs::create(format!("/run/netns/{name}")).unwrap());
        ends(names[0], names[1], "127.0.0.1".parse().unwrap())
            .begin_unpaced()
            .unwrap();
        for namespace in namespaces {
            let chosen = namespace.run(congestion::default).unwrap().unwrap();
            assert_eq!(chosen, "reno");
        }
    }

    #[test]
    fn the_address_is_that_of_the_first_ip() {
        for (first, second) in [("10.0.0.2", "fd00::2"), ("fd00::2", "10.0.0.2")] {
            let [one, other] =
                [first, second].map(|address| json!({ "address": format!("{address}/24") }));
            let found = address(&json!({ "ips": [one, other] })).unwrap();
            assert_eq!(found.to_string(), first);
        }
        for result in [
            json!({}),
            json!({ "ips": [] }),
            json!({ "ips": [{ "address": "" }] }),
        ] {
            assert!(address(&result).is_err(), "{result}");
        }
    }
}

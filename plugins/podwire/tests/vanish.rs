//! DEL and GC while what they work on goes: the pod's links, their ends on the host, a bridge or a parent, the
//! pod's namespace. strace stops the plugin behind a system call, and before it goes on the thing is gone, as
//! behind a DEL that was killed and still deletes its link, or when the container ends. Whatever goes when, the
//! call succeeds, and nothing stays.
//!
//! All of them take an hour (`make faults`); `VANISH_ONLY=vrf,vlan` is these networks alone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use kernel::{Link, NetNs, Netlink};
use serde_json::{Value, json};
use support::{
    Answer, Call, Node, answer,
    chain::{Chain, Pod, more, state},
    every, sh,
};

/// Behind these a plugin is stopped: it has looked for something, or changed it.
const STOPS: &[&str] = &["statfs", "openat", "setns", "sendto", "sendmsg"];

const NETNS: &str = "/run/netns/pod";
/// On the host, for plugins that want one.
const PARENT: &str = "ip link show parent0 || {
        ip link delete cable0 || true
        ip link add parent0 type veth peer name cable0
        ip link set parent0 up
        ip link set cable0 up
    }";
/// As the reference plugins leave a link.
const UNMARK: &str = "ip -n pod link set eth0 alias ''";

/// A network, and what becomes of its pod behind ADD.
struct Network {
    chain: Chain,
    is_unmarked: bool,
    is_result_lost: bool,
}

/// What goes.
#[derive(Clone, Debug)]
enum Thing {
    /// All that the pod has, and the other ends with it.
    PodLinks,
    Namespace,
    HostLink(String),
}

impl Thing {
    fn go(&self) {
        match self {
            Self::PodLinks => {
                let pod = NetNs::open(NETNS).unwrap();
                delete(&Netlink::open_in(&pod).unwrap(), |link| !link.loopback);
            }
            Self::Namespace => NetNs::remove(NETNS).unwrap(),
            Self::HostLink(name) => {
                delete(&Netlink::open().unwrap(), |link| link.name.as_str() == name);
            }
        }
    }
}

fn delete(netlink: &Netlink, is_meant: impl Fn(&Link) -> bool) {
    let links = netlink.links().unwrap().into_iter().filter(is_meant);
    for link in links {
        // The other end of one before it is gone.
        kernel::if_there(netlink.delete_link(link.index)).unwrap();
    }
}

/// The plugin at a position of the network's chain, and what it is called for.
#[derive(Clone, Copy, Debug)]
struct Called {
    position: usize,
    command: &'static str,
}

/// The `nth` call of that name in a process, and what goes behind it.
#[derive(Clone, Copy, Debug)]
struct Stop<'a> {
    thing: &'a Thing,
    system_call: &'a str,
    nth: usize,
}

struct Vanishing<'a> {
    node: &'a Node,
    network: &'a Network,
    pod: &'a Pod,
    /// The node with nobody attached.
    empty: BTreeSet<String>,
    problems: Vec<String>,
    tried: usize,
}

impl Vanishing<'_> {
    fn all(&mut self) {
        let things = self.things();
        for position in 0..self.network.chain.plugins.len() {
            for command in ["DEL", "GC"] {
                let called = Called { position, command };
                let trace = self.one(called, None);
                for thing in &things {
                    for &system_call in STOPS {
                        self.at_each(called, thing, system_call, &trace);
                    }
                }
            }
        }
    }

    /// What there is to go while a pod is attached.
    fn things(&mut self) -> Vec<Thing> {
        let result = self.attach();
        let links = Netlink::open().unwrap().links().unwrap();
        let failed = self.network.chain.del(self.node, self.pod, Some(&result));
        assert!(failed.is_empty(), "{failed:?}");
        self.empty = state().into_iter().collect();
        let links = links.into_iter().filter(|link| !link.loopback);
        let links = links.map(|link| Thing::HostLink(link.name.to_string()));
        [Thing::PodLinks, Thing::Namespace]
            .into_iter()
            .chain(links)
            .collect()
    }

    fn at_each(&mut self, called: Called, thing: &Thing, system_call: &str, trace: &[String]) {
        let call = format!("{system_call}(");
        let calls = trace.iter().filter(|line| line.contains(&call)).count();
        for nth in 1..=calls {
            self.tried += 1;
            if self.tried.is_multiple_of(every()) {
                let stop = Stop {
                    thing,
                    system_call,
                    nth,
                };
                self.one(called, Some(stop));
            }
        }
    }

    /// The result of ADD of all plugins.
    fn attach(&self) -> Value {
        prepare();
        let result = self.network.chain.add(self.node, self.pod);
        let result = result.unwrap_or_else(|answer| panic!("{answer:?}"));
        if self.network.is_unmarked {
            sh(UNMARK);
        }
        result
    }

    /// One call, with a stop or without; what strace writes of it.
    fn one(&mut self, called: Called, stop: Option<Stop<'_>>) -> Vec<String> {
        let Network {
            chain,
            is_unmarked,
            is_result_lost,
        } = self.network;
        let result = self.attach();
        let result = Some(&result).filter(|_| !is_result_lost);
        for plugin in chain.plugins[called.position + 1..].iter().rev() {
            self.del(plugin, result).success();
        }
        let (answer, trace) = self.stopped(called, result, stop);
        let rest = match called.command {
            "DEL" => &chain.plugins[..called.position],
            _ => &chain.plugins,
        };
        let rest = rest.iter().rev().map(|plugin| self.del(plugin, result));
        let failed: Vec<Answer> = [answer]
            .into_iter()
            .chain(rest)
            .filter(|one| one.exit != Some(0))
            .collect();
        let mut left = more(&state(), &self.empty);
        // A record of what is gone: whoever reads it next removes it.
        left.retain(|line| !line.contains("/run/podwire/attachments/"));
        // It was there before, and goes with the parent in a pod's namespace when the kernel has time.
        left.retain(|line| !line.contains("cable0"));
        if !failed.is_empty() || !left.is_empty() {
            let plugin = &chain.plugins[called.position]["type"];
            self.problems.push(format!(
                "{plugin} of {}, {called:?}, {stop:?}, unmarked {is_unmarked}, result lost {is_result_lost}: \
                 {failed:?}, left {left:#?}",
                chain.name
            ));
            // The next one shall not be blamed for it.
            self.empty.extend(left);
        }
        trace
    }

    fn del(&self, plugin: &Value, result: Option<&Value>) -> Answer {
        let config = self.network.chain.config(plugin, self.pod, result);
        self.pod.call(self.node, "DEL", plugin, &config)
    }

    fn stopped(
        &self,
        called: Called,
        result: Option<&Value>,
        stop: Option<Stop<'_>>,
    ) -> (Answer, Vec<String>) {
        let plugin = &self.network.chain.plugins[called.position];
        let config = self.network.chain.config(plugin, self.pod, result);
        let mut config: Value = serde_json::from_str(&config).unwrap();
        if called.command == "GC" {
            config["cniVersion"] = "1.1.0".into();
            config["cni.dev/valid-attachments"] = json!([]);
        }
        let trace = trace_of(self.node);
        let calls = stop.map_or(STOPS.join(","), |stop| stop.system_call.to_owned());
        let inject = stop.map(
            |Stop {
                 system_call, nth, ..
             }| { format!("-e inject={system_call}:signal=SIGSTOP:when={nth}") },
        );
        let inject = inject.unwrap_or_default();
        let strace = format!(
            "strace -f -qq -o {} -e trace={calls} {inject}",
            trace.display()
        );
        let call = Call {
            executable: &self
                .node
                .plugin_by(&strace, plugin["type"].as_str().unwrap()),
            command: called.command,
            container: &self.pod.container,
            config: &config.to_string(),
            env: &[("CNI_PATH", self.node.bin_dir.as_os_str())],
        };
        let child = call.start();
        let trace = follow(&trace, || {
            if let Some(stop) = stop {
                stop.thing.go();
            }
        });
        (answer(child), trace)
    }
}

/// What ADD needs, and went before.
fn prepare() {
    if !Path::new(NETNS).exists() {
        NetNs::create(NETNS).unwrap();
    }
    sh(PARENT);
}

/// Where strace writes, line by line.
fn trace_of(node: &Node) -> PathBuf {
    node.world.dir().join("trace")
}

/// Reads to the end; where a process has stopped, does its work the first time and has the process go on.
fn follow(trace: &Path, mut work: impl FnMut()) -> Vec<String> {
    let mut lines = Vec::new();
    let mut is_done = false;
    for line in BufReader::new(File::open(trace).unwrap()).lines() {
        let line = line.unwrap();
        if line.contains("stopped by SIGSTOP") {
            if !is_done {
                work();
            }
            is_done = true;
            sh(&format!("kill -CONT {}", line.split(' ').next().unwrap()));
        }
        lines.push(line);
    }
    lines
}

fn chains() -> Vec<Chain> {
    let ipam = json!({ "type": "host-local", "ranges": [[{ "subnet": "10.22.0.0/24" }]] });
    let both = json!({ "type": "host-local", "ranges": [[{ "subnet": "10.22.0.0/24" }], [{ "subnet": "fd22::/64" }]] });
    let tuning = json!({ "type": "tuning", "mtu": 1400, "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1" } });
    let list = |name, plugins: &[&Value]| Chain {
        name,
        plugins: plugins.iter().map(|&plugin| plugin.clone()).collect(),
    };
    let on_parent = |kind| json!({ "type": kind, "master": "parent0", "vlanId": 5, "ipam": ipam });
    let still = json!({
        "type": "bridge", "bridge": "still0", "isDefaultGateway": true, "suppressFlooding": true,
        "macspoofchk": true, "ipam": both,
    });
    vec![
        Chain::of_a_node(),
        list("still", &[&still, &json!({ "type": "sbr" })]),
        list(
            "point",
            &[
                &json!({ "type": "ptp", "ipMasq": true, "ipam": ipam }),
                &tuning,
            ],
        ),
        list(
            "vrf",
            &[
                &json!({ "type": "ptp", "ipam": ipam }),
                &json!({ "type": "vrf", "vrfname": "red" }),
            ],
        ),
        list("macvlan", &[&on_parent("macvlan"), &tuning]),
        list("ipvlan", &[&on_parent("ipvlan"), &tuning]),
        list("vlan", &[&on_parent("vlan"), &tuning]),
        list(
            "device",
            &[&json!({ "type": "host-device", "device": "parent0", "ipam": ipam })],
        ),
        list(
            "dummy",
            &[
                &json!({ "type": "dummy", "ipam": ipam }),
                &json!({ "type": "loopback" }),
            ],
        ),
        list("tap", &[&json!({ "type": "tap", "ipam": ipam })]),
    ]
}

/// Whether the network is asked for.
fn is_wanted(chain: &Chain) -> bool {
    let only = std::env::var("VANISH_ONLY");
    only.map_or(true, |only| only.split(',').any(|name| name == chain.name))
}

/// Whether this kernel has all kinds of links of the chain.
#[allow(
    clippy::print_stdout,
    reason = "who waits an hour wants to know what was not tried"
)]
fn is_possible(node: &Node, chain: &Chain, pod: &Pod) -> bool {
    prepare();
    let added = chain.add(node, pod);
    chain.del(node, pod, None);
    match added {
        Err(answer)
            if answer.stdout.contains("no such kind")
                || answer.stdout.contains("not supported") =>
        {
            assert!(
                std::env::var_os("REQUIRE_KINDS").is_none_or(|value| value != "1"),
                "{answer:?}"
            );
            println!("skipped: {} needs links that this kernel lacks", chain.name);
            false
        }
        Err(answer) => panic!("{answer:?}"),
        Ok(_) => true,
    }
}

#[test]
#[ignore = "takes an hour: make faults"]
fn what_goes_meanwhile_is_gone_and_nothing_stays() {
    let Some(node) = Node::new() else { return };
    let pod = Pod {
        container: "pod".to_owned(),
        netns: NETNS.to_owned(),
        port: 8080,
    };
    sh(&format!("mkfifo {}", trace_of(&node).display()));
    let mut problems = Vec::new();
    let mut tried = 0;
    for (is_unmarked, is_result_lost) in
        [(false, false), (true, false), (false, true), (true, true)]
    {
        for chain in chains() {
            // Nothing tells any more which of the pod's links was the host's.
            let is_untold = chain.name == "device" && is_unmarked && is_result_lost;
            if is_untold || !is_wanted(&chain) || !is_possible(&node, &chain, &pod) {
                continue;
            }
            let network = Network {
                chain,
                is_unmarked,
                is_result_lost,
            };
            let mut vanishing = Vanishing {
                node: &node,
                network: &network,
                pod: &pod,
                empty: BTreeSet::new(),
                problems: Vec::new(),
                tried,
            };
            vanishing.all();
            tried = vanishing.tried;
            println!(
                "up to {}: {tried} stops, {:#?}",
                network.chain.name, vanishing.problems
            );
            problems.extend(vanishing.problems);
        }
    }
    assert!(tried > 10, "only {tried} stops");
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems.join("\n")
    );
}

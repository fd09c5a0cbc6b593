//! New TCP connections per second through a port mapping and through masquerading, on a node with
//! few and with many pods that have both. Each suite has a node of its own; the pod that is
//! measured is attached last, where rules that are walked one by one are longest.

use std::{
    fmt::{self, Write as _},
    io::{BufRead, BufReader, Write as _},
    path::Path as FilePath,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{
    ReferenceArgs, at_least_one,
    measure::Table,
    record::Better,
    suite::{Call, Suite},
    world,
};

/// What a node's addresses and ports suffice for.
const MOST_PODS: usize = 50_000;
/// The node's and the outside host's addresses on the link between them.
const NODE: &str = "198.51.100.1";
const OUTSIDE: &str = "198.51.100.2";
const SUBNET: &str = "172.30.0.0/16";
const HOST_PORT: u16 = 8080;
const SERVER_PORT: u16 = 80;
const FIRST_FILL_PORT: usize = 10_000;
const PATHS: [Path; 2] = [Path::Portmap, Path::Masquerade];

/// How many pods and how often.
#[derive(Debug, clap::Args)]
pub(super) struct ConnectionArgs {
    /// Pods with a mapped port on the node, a row for each number
    #[arg(long, value_delimiter = ',', default_values_t = [10, 1_000, 5_000], value_parser = mapped_pods)]
    mapped_pods: Vec<usize>,
    /// Samples of connections, 0.2 s each; figures are medians over them
    #[arg(long, default_value_t = 25, value_parser = at_least_one::<usize>)]
    samples: usize,
    #[command(flatten)]
    reference: ReferenceArgs,
}

pub(super) fn mapped_pods(text: &str) -> Result<usize> {
    match text.parse() {
        Ok(number @ 1..=MOST_PODS) => Ok(number),
        _ => bail!("{text:?} mapped pods: give 1 to {MOST_PODS}"),
    }
}

/// Measures, and prints the table: for each number of mapped pods the median of so many samples.
///
/// # Errors
/// A program is missing, a plugin fails, or a connection does.
pub(super) fn run(bin_dir: &FilePath, args: &ConnectionArgs) -> Result<()> {
    let suites = args.reference.suites(bin_dir)?;
    compare(suites.each_ref(), &args.mapped_pods, args.samples)
}

fn compare(suites: [&Suite; 2], pods: &[usize], samples: usize) -> Result<()> {
    let mut table = Table::new("new TCP connections per second", "/s", Better::More);
    for Rates { path, pods, rates } in rates(suites, pods, samples, |_| ())? {
        table.medians(&format!("through {path}, {pods} mapped pods"), rates);
    }
    table.print()
}

/// Connections per second through one path with so many mapped pods, of either suite.
pub(super) struct Rates {
    pub(super) path: Path,
    pub(super) pods: usize,
    pub(super) rates: [Vec<f64>; 2],
}

/// Makes a node of either suite for each number of pods and measures through them, so many samples after one
/// that does not count; `tell` hears of each node that is there and of each round over all nodes of a path.
///
/// # Errors
/// A plugin fails, or a connection does.
pub(super) fn rates(
    suites: [&Suite; 2],
    pods: &[usize],
    samples: usize,
    mut tell: impl FnMut(&str),
) -> Result<Vec<Rates>> {
    let mut pairs = Vec::new();
    for &pods in pods {
        let pair = [Node::start(suites[0], pods)?, Node::start(suites[1], pods)?];
        tell(&format!("nodes with {pods} mapped pods are there"));
        pairs.push(pair);
    }
    let mut all = Vec::new();
    for path in PATHS {
        let of_path = rates_through(path, &pairs, samples, &mut tell)?;
        let of_path = pods.iter().zip(of_path);
        all.extend(of_path.map(|(&pods, rates)| Rates { path, pods, rates }));
    }
    Ok(all)
}

/// How often [`rates`] tells.
pub(super) fn steps(pods: &[usize], samples: usize) -> usize {
    pods.len() + PATHS.len() * (samples + 1)
}

/// All samples of all nodes. The nodes take turns, first forwards and then backwards, so that none
/// has the quieter machine, whatever their number of pods.
fn rates_through(
    path: Path,
    pairs: &[[Node<'_>; 2]],
    samples: usize,
    tell: &mut impl FnMut(&str),
) -> Result<Vec<[Vec<f64>; 2]>> {
    let mut rates = vec![[Vec::new(), Vec::new()]; pairs.len()];
    let mut turns: Vec<_> = (0..pairs.len())
        .flat_map(|pair| [(pair, 0), (pair, 1)])
        .collect();
    for sample in 0..=samples {
        for &(pair, which) in &turns {
            let rate = pairs[pair][which].connections_through(path)?;
            if sample > 0 {
                rates[pair][which].push(rate);
            }
        }
        turns.reverse();
        tell(&format!("through {path}, {}", round(sample)));
    }
    Ok(rates)
}

/// As lines of progress name it.
pub(super) fn round(number: usize) -> String {
    match number {
        0 => "warm-up".to_owned(),
        number => format!("round {number}"),
    }
}

#[derive(Clone, Copy)]
pub(super) enum Path {
    Portmap,
    Masquerade,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portmap => "portmap",
            Self::Masquerade => "masquerade",
        })
    }
}

/// A node with a pod and a host outside, each a namespace.
struct Node<'a> {
    suite: &'a Suite,
    host: String,
    outside: String,
    pod: String,
    pods: usize,
    servers: Vec<Child>,
}

impl<'a> Node<'a> {
    fn start(suite: &'a Suite, pods: usize) -> Result<Self> {
        let name = |what: &str| format!("{what}-{}-{pods}", suite.name);
        let mut node = Self {
            suite,
            host: name("node"),
            outside: name("out"),
            pod: name("pod"),
            pods,
            servers: Vec::new(),
        };
        node.connect_outside()?;
        if suite.is_reference() {
            node.fill_as_the_reference()?;
        }
        let result = node.attach()?;
        if !suite.is_reference() {
            node.fill(&result)?;
        }
        node.map(&Mapped {
            container: "measured",
            port: HOST_PORT.into(),
            result: &result,
        })?;
        node.servers = vec![serve(&node.pod)?, serve(&node.outside)?];
        Ok(node)
    }

    fn connect_outside(&self) -> Result<()> {
        let (host, outside) = (self.host.as_str(), self.outside.as_str());
        for name in [host, outside, &self.pod] {
            world::add_pod(name)?;
        }
        let ip = |words: &str| world::run("ip", &words.split(' ').collect::<Vec<_>>());
        ip(&format!(
            "-n {host} link add out0 type veth peer name eth0 netns {outside}"
        ))?;
        ip(&format!("-n {host} address add {NODE}/24 dev out0"))?;
        ip(&format!("-n {outside} address add {OUTSIDE}/24 dev eth0"))?;
        ip(&format!("-n {host} link set out0 up"))?;
        ip(&format!("-n {outside} link set eth0 up"))
    }

    /// ADD of bridge; the result.
    fn attach(&self) -> Result<Value> {
        let printed = self.add("bridge", "measured", &json!({
            "cniVersion": "1.0.0", "name": self.network(), "type": "bridge", "isDefaultGateway": true,
            "ipMasq": true,
            // The reference is measured in its own default, wherever it would choose another.
            "ipMasqBackend": if self.suite.is_reference() { "iptables" } else { "nftables" },
            "ipam": { "type": "host-local", "subnet": SUBNET, "dataDir": format!("/run/bench/{}", self.host) },
        }))?;
        serde_json::from_slice(&printed).context("the result of bridge")
    }

    fn network(&self) -> String {
        format!("net-{}", self.host)
    }

    fn add(&self, plugin: &str, container: &str, config: &Value) -> Result<Vec<u8>> {
        let answer = self.suite.answer(&Call {
            plugin,
            command: "ADD",
            container,
            netns: &format!("/run/netns/{}", self.pod),
            config,
            host: Some(&self.host),
        });
        Ok(answer?.1)
    }

    fn map(&self, mapped: &Mapped<'_>) -> Result<()> {
        let mapping =
            json!([{ "hostPort": mapped.port, "containerPort": SERVER_PORT, "protocol": "tcp" }]);
        self.add(
            "portmap",
            mapped.container,
            &json!({
                "cniVersion": "1.0.0", "name": self.network(), "type": "portmap",
                "runtimeConfig": { "portMappings": mapping },
                "prevResult": mapped.result,
            }),
        )?;
        Ok(())
    }

    /// The other pods, by ADD of portmap; their masquerading as bridge leaves it, an element each.
    fn fill(&self, result: &Value) -> Result<()> {
        for number in 1..self.pods {
            let mut other = result.clone();
            other["ips"][0]["address"] = format!("{}/16", address(number)).into();
            self.map(&Mapped {
                container: &format!("fill{number}"),
                port: FIRST_FILL_PORT + number,
                result: &other,
            })?;
        }
        let addresses: Vec<String> = (1..self.pods).map(address).collect();
        let elements = format!(
            "add element inet podwire_masquerade pods-{SUBNET} {{ {} }}\n",
            addresses.join(", ")
        );
        self.feed("nft", &["-f", "-"], &elements)
    }

    /// The other pods' rules as the reference plugins write them (chain names are hashes), in one
    /// call of iptables-restore: its ADD takes minutes for so many.
    fn fill_as_the_reference(&self) -> Result<()> {
        let mut chains = String::new();
        let mut rules = String::from(
            "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n\
             -A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n",
        );
        for number in 1..self.pods {
            let (ip, port) = (address(number), FIRST_FILL_PORT + number);
            let comment = format!(r#"-m comment --comment "dnat name: net id: fill{number}""#);
            let (dnat, masq) = (
                format!("CNI-DN-{number:021x}"),
                format!("CNI-{number:024x}"),
            );
            // Writing into a text cannot fail.
            let _ = write!(chains, ":{dnat} - [0:0]\n:{masq} - [0:0]\n");
            let _ = write!(
                rules,
                "-A CNI-HOSTPORT-DNAT {comment} -p tcp -m multiport --dports {port} -j {dnat}\n\
                 -A {dnat} -s {SUBNET} -p tcp -m tcp --dport {port} -j CNI-HOSTPORT-SETMARK\n\
                 -A {dnat} -s 127.0.0.1/32 -p tcp -m tcp --dport {port} -j CNI-HOSTPORT-SETMARK\n\
                 -A {dnat} -p tcp -m tcp --dport {port} -j DNAT --to-destination {ip}:{SERVER_PORT}\n\
                 -A POSTROUTING -s {ip}/32 {comment} -j {masq}\n\
                 -A {masq} -d {SUBNET} {comment} -j ACCEPT\n\
                 -A {masq} ! -d 224.0.0.0/4 {comment} -j MASQUERADE\n"
            );
        }
        let text = format!(
            "*nat\n:CNI-HOSTPORT-DNAT - [0:0]\n:CNI-HOSTPORT-SETMARK - [0:0]\n{chains}{rules}COMMIT\n"
        );
        self.feed("iptables-restore", &["--noflush"], &text)
    }

    fn feed(&self, program: &str, arguments: &[&str], text: &str) -> Result<()> {
        let mut command = world::command_in(&self.host, program);
        let mut child = command.args(arguments).stdin(Stdio::piped()).spawn()?;
        child
            .stdin
            .take()
            .context("no standard input")?
            .write_all(text.as_bytes())?;
        match child.wait()? {
            status if status.success() => Ok(()),
            status => bail!("{program}: {status}"),
        }
    }

    fn connections_through(&self, path: Path) -> Result<f64> {
        match path {
            Path::Portmap => rate(&self.outside, NODE, HOST_PORT),
            Path::Masquerade => rate(&self.pod, OUTSIDE, SERVER_PORT),
        }
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        for server in &mut self.servers {
            drop(server.stdin.take());
            // One that has ended already is as good.
            let _ = server.wait();
        }
    }
}

/// A pod and its port on the host.
struct Mapped<'a> {
    container: &'a str,
    port: usize,
    result: &'a Value,
}

/// The address of the pod of that number; host-local gives the first ones to the measured pod.
fn address(number: usize) -> String {
    format!("172.30.{}.{}", 1 + number / 250, 1 + number % 250)
}

fn load(host: &str) -> Result<Command> {
    let mut command = world::command_in(host, crate::program::own_executable()?);
    command.arg("load");
    Ok(command)
}

fn serve(host: &str) -> Result<Child> {
    let mut command = load(host)?;
    command.args(["serve", &SERVER_PORT.to_string()]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().context("no standard output")?;
    BufReader::new(stdout).read_line(&mut String::new())?;
    Ok(child)
}

fn rate(from: &str, address: &str, port: u16) -> Result<f64> {
    let output = load(from)?
        .args(["connect", &format!("{address}:{port}")])
        .output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

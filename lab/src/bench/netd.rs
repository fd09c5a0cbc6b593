//! netd with thousands of leases in etcd: time until all is programmed after its start, memory, and what
//! changes cost.

pub(super) mod changes;
mod etcd;

use std::{
    fs,
    io::ErrorKind,
    net::Ipv4Addr,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use kernel::{LinkIndex, Netlink, NewKind, Route, Tunnel, route::RouteFilter};
use serde_json::{Value, json};

use super::{
    at_least_one,
    measure::milliseconds,
    net::{name_of, selected},
    refuse, require_distinct, world,
};
use crate::output;
use changes::{Lag, Pace, Spent};
use etcd::Gateway;

/// Also of a kernel whose processor is emulated.
const GIVE_UP: Duration = Duration::from_secs(600);

/// A process that ends with its owner.
pub(super) struct Process(pub(super) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is fine: there is nothing else to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A backend whose datapath is the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Backend {
    HostGw,
    Vxlan,
    Ipip,
    Wireguard,
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        name_of(self, f)
    }
}

impl Backend {
    /// As the network config names it.
    fn name(self) -> &'static str {
        match self {
            Self::HostGw => "host-gw",
            Self::Vxlan => "vxlan",
            Self::Ipip => "ipip",
            Self::Wireguard => "wireguard",
        }
    }

    fn device(self) -> Option<&'static str> {
        match self {
            Self::HostGw => None,
            Self::Vxlan => Some("flannel.1"),
            Self::Ipip => Some("flannel.ipip"),
            Self::Wireguard => Some("flannel-wg"),
        }
    }

    /// The kind of its device, where kernels are found without it.
    pub(super) fn kind(self) -> Option<NewKind<'static>> {
        match self {
            Self::HostGw | Self::Vxlan => None,
            Self::Ipip => Some(NewKind::Tunnel(Tunnel::IPIP)),
            Self::Wireguard => Some(NewKind::Wireguard),
        }
    }

    /// Whether each peer has a route of its own, which the kernel announces.
    pub(super) fn has_routes(self) -> bool {
        self != Self::Wireguard
    }
}

/// Which backends, how many leases and changes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct NetdArgs {
    /// Backends, measured one after the other [default: all; one that this kernel has no links for is left out]
    #[arg(long, value_enum, value_delimiter = ',')]
    backends: Vec<Backend>,
    /// Leases that netd finds in etcd
    #[arg(long, default_value_t = 5000, value_parser = at_least_one::<u32>)]
    leases: u32,
    #[command(flatten)]
    pace: Pace,
}

impl NetdArgs {
    /// Ends with a usage error where a backend is named twice.
    pub(super) fn require_sense(&self) {
        if let Err(problem) = require_distinct("--backends", &self.backends) {
            refuse("netd", &problem);
        }
    }
}

/// Measures every backend that this kernel has, and prints what each costs.
pub(super) fn run(bin_dir: &Path, args: &NetdArgs) -> Result<()> {
    let NetdArgs { leases, pace, .. } = *args;
    make_underlay()?;
    output::print(&format!("\nnetd with {leases} leases in etcd\n"))?;
    let netlink = Netlink::open()?;
    for &backend in selected(&args.backends) {
        let name = backend.name();
        if let Some(kind) = backend.kind()
            && !netlink.has_link_kind(&kind)?
        {
            output::print(&format!(
                "{name:9}  left out: this kernel has no such links\n"
            ))?;
            continue;
        }
        let figures = measure(bin_dir, backend, leases, pace)?;
        output::print(&format!(
            "{name:9}  all programmed {:6.1} ms after its start (goal 500), {:.0} ms of a core in netd and {:.0} ms in the \
             kernel  resident {:5.1} MB (goal 15)  peak {:5.1} MB\n",
            milliseconds(figures.programmed),
            milliseconds(figures.spent.user),
            milliseconds(figures.spent.system),
            figures.resident,
            figures.peak
        ))?;
        if let Some((cost, peak)) = figures.changes {
            output::print(&format!(
                "{:9}  {} changes a second: {:5.1} % of a core (goal 5)  {}  peak {peak:5.1} MB\n",
                "",
                pace.changes_per_second,
                cost.processor,
                told_lag(cost.lag.as_ref())
            ))?;
        }
    }
    Ok(())
}

fn told_lag(lag: Option<&Lag>) -> String {
    match lag {
        Some(Lag { median, worst }) => {
            format!("lag {median:5.1} ms (goal 20), 99 % within {worst:5.1} ms")
        }
        None => "lag unknown: the kernel announces no peers".to_owned(),
    }
}

/// What a netd costs.
pub(super) struct Figures {
    /// How long after its start the kernel had all.
    pub(super) programmed: Duration,
    /// What it had run until then.
    pub(super) spent: Spent,
    /// Megabytes that it has then, and that it had at most.
    pub(super) resident: f64,
    pub(super) peak: f64,
    /// What changes cost, and the memory that it had at most when they were made; none where there were none.
    pub(super) changes: Option<(changes::Cost, f64)>,
}

/// A new etcd with so many leases, a netd that finds them, and changes for a time.
///
/// # Errors
/// A program fails, netd does not program all of them, or the machine is too busy for the changes.
pub(super) fn measure(
    bin_dir: &Path,
    backend: Backend,
    leases: u32,
    pace: Pace,
) -> Result<Figures> {
    let etcd = etcd::start(backend.name())?;
    fill(backend, leases)?;
    let mut netd = start_netd(bin_dir, backend)?;
    let (programmed, spent) = netd.programmed(leases as usize)?;
    let [resident, peak] = netd.memory()?;
    let mut changes = None;
    if !pace.change_time.is_zero() {
        let cost = changes::make(backend, netd.process.0.id(), leases, pace)
            .with_context(|| netd.last_lines())?;
        let [_, peak] = netd.memory()?;
        changes = Some((cost, peak));
    }
    drop((netd, etcd));
    clean_up(backend)?;
    Ok(Figures {
        programmed,
        spent,
        resident,
        peak,
        changes,
    })
}

/// `eth0` with a /16 in which every peer is a neighbour.
pub(super) fn make_underlay() -> Result<()> {
    for args in [
        "link add eth0 type veth peer name wire",
        "link set wire up",
        "link set eth0 up",
        "address add 172.20.0.1/16 dev eth0",
        "route add default via 172.20.255.254",
    ] {
        world::run("ip", &args.split(' ').collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Writes the network config and `leases` peers.
fn fill(backend: Backend, leases: u32) -> Result<()> {
    let config = json!({ "Network": "10.0.0.0/8", "SubnetLen": 24, "SubnetMin": "10.0.0.0",
        "SubnetMax": "10.0.255.0", "Backend": { "Type": backend.name() } });
    let mut values = vec![("config".to_owned(), config)];
    values.extend((0..leases).map(|n| (key(n), lease(backend, n))));
    Gateway::connect()?.fill(&values)
}

fn key(n: u32) -> String {
    format!("subnets/{}-24", subnet(n))
}

/// The first address of the `n`th peer's subnet: above those of which netd takes one.
fn subnet(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from_be_bytes([10, 1, 0, 0]) + (n << 8))
}

fn lease(backend: Backend, n: u32) -> Value {
    let public_ip = Ipv4Addr::from(u32::from_be_bytes([172, 20, 1, 0]) + n);
    let mut lease =
        json!({ "PublicIP": public_ip, "PublicIPv6": null, "BackendType": backend.name() });
    match backend {
        Backend::Vxlan => {
            let [_, a, b, c] = n.to_be_bytes();
            let mac = format!("02:00:00:{a:02x}:{b:02x}:{c:02x}");
            lease["BackendData"] = json!({ "VNI": 1, "VtepMAC": mac });
        }
        Backend::Wireguard => {
            let mut key = [1; 32];
            key[..4].copy_from_slice(&n.to_be_bytes());
            lease["BackendData"] = json!({ "PublicKey": BASE64.encode(key), "Port": 51820 });
        }
        Backend::HostGw | Backend::Ipip => {}
    }
    lease
}

/// netd at work.
struct Netd {
    process: Process,
    backend: Backend,
    started: Instant,
    log: String,
}

fn start_netd(bin_dir: &Path, backend: Backend) -> Result<Netd> {
    let name = backend.name();
    let log = format!("/run/bench/netd-{name}.log");
    let file = fs::File::create(&log)?;
    let started = Instant::now();
    let netd = world::command(bin_dir.join("netd"))
        .args(["-etcd-endpoints", &format!("http://{}", etcd::ADDRESS)])
        .args(["-iface", "eth0", "-iptables-forward-rules=false"])
        .args(["-subnet-file", &format!("/run/bench/{name}.env")])
        .env("WIREGUARD_KEY_FILE", "/run/bench/wgkey")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .context("run netd")?;
    Ok(Netd {
        process: Process(netd),
        backend,
        started,
        log,
    })
}

impl Netd {
    /// How long after its start the kernel had all, and what it had run by then.
    fn programmed(&mut self, leases: usize) -> Result<(Duration, Spent)> {
        let netlink = Netlink::open()?;
        loop {
            let asked = Instant::now();
            let count = count(&netlink, self.backend, leases)?;
            let look = asked.elapsed();
            let elapsed = self.started.elapsed();
            if count >= leases {
                return Ok((elapsed, Spent::of(self.process.0.id())?));
            }
            let ended = self.process.0.try_wait()?;
            if elapsed > GIVE_UP || ended.is_some() {
                let said = self.last_lines();
                bail!("netd programmed {count} of {leases} peers in {elapsed:.1?}; {said}");
            }
            // The kernel shows what it has under the locks that netd's requests need.
            std::thread::sleep(Duration::from_millis(10).max(3 * look));
        }
    }

    /// Megabytes that it has, and that it had at most: `VmRSS` and `VmHWM` of proc(5). Settled, and not
    /// at the moment of its start.
    fn memory(&self) -> Result<[f64; 2]> {
        std::thread::sleep(Duration::from_secs(1));
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.0.id()))?;
        Ok([megabytes(&status, "VmRSS")?, megabytes(&status, "VmHWM")?])
    }

    fn last_lines(&self) -> String {
        last_lines(&self.log)
    }
}

/// What a netd said last: the benchmark's world is gone when its failure is read.
pub(super) fn last_lines(log: impl AsRef<Path>) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(10).collect();
    lines
        .into_iter()
        .rev()
        .fold("netd said:".to_owned(), |text, line| text + "\n" + line)
}

/// netd leaves its datapath in place when it ends; the next backend starts from nothing.
fn clean_up(backend: Backend) -> Result<()> {
    let protocol = Route::PROTOCOL_PODWIRE.to_string();
    match backend.device() {
        Some(device) => world::run("ip", &["link", "delete", device]),
        None => world::run("ip", &["route", "flush", "proto", &protocol]),
    }
}

/// Peers that are complete, up to `leases`: with a tunnel the scarcest of what each needs. The rest is looked
/// at only when all routes are there: the kernel shows FDB entries under the lock that netd's requests need.
fn count(netlink: &Netlink, backend: Backend, leases: usize) -> Result<usize> {
    let filter = RouteFilter {
        ipv6: Some(false),
        protocol: Some(Route::PROTOCOL_PODWIRE),
        ..RouteFilter::default()
    };
    let routes = netlink.routes(&filter)?.len();
    let Some(device) = backend.device() else {
        return Ok(routes);
    };
    let Some(device) = netlink.link(&device.parse()?)? else {
        return Ok(0);
    };
    Ok(match backend {
        Backend::Wireguard => wireguard_peers(netlink, device.index)?,
        _ if routes < leases => routes,
        Backend::Vxlan => {
            let neighbours = netlink.neighbours(device.index)?.len();
            routes.min(neighbours).min(netlink.fdb(device.index)?.len())
        }
        Backend::HostGw | Backend::Ipip => routes,
    })
}

/// A device that changes faster than it can be read has not all of them yet.
fn wireguard_peers(netlink: &Netlink, device: LinkIndex) -> Result<usize> {
    match netlink.wireguard(device) {
        Err(error) if error.source.kind() == ErrorKind::Interrupted => Ok(0),
        device => Ok(device?.peers.len()),
    }
}

fn megabytes(status: &str, field: &str) -> Result<f64> {
    let line = status
        .lines()
        .find(|line| line.starts_with(field))
        .with_context(|| format!("no {field}"))?;
    let kilobytes: f64 = line
        .split_whitespace()
        .nth(1)
        .context("no figure")?
        .parse()?;
    Ok(kilobytes / 1024.0)
}

pub(super) fn wait_for(what: &str, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !ready()? {
        if start.elapsed() > GIVE_UP {
            bail!("waited {GIVE_UP:?} for {what}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

//! netd's start with thousands of leases in etcd: time until all is programmed, and memory.

use std::{
    fs,
    net::Ipv4Addr,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use kernel::{LinkIndex, Netlink, Route, route::RouteFilter};
use serde_json::{Value, json};

use super::{measure::milliseconds, world};

const ETCD: &str = "http://127.0.0.1:2379";
const PREFIX: &str = "/coreos.com/network";
/// etcd's default limit for one transaction.
const PUTS_PER_REQUEST: usize = 128;
const GIVE_UP: Duration = Duration::from_secs(60);

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is fine: there is nothing else to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures both backends and prints a line for each.
#[allow(clippy::print_stdout, reason = "the figures are the command's result")]
pub(super) fn run(bin_dir: &Path, leases: u32) -> Result<()> {
    make_underlay()?;
    println!("\nnetd with {leases} leases in etcd, from its start");
    for backend in ["host-gw", "vxlan"] {
        let _etcd = start_etcd(backend)?;
        fill(backend, leases)?;
        let seen = start_netd(bin_dir, backend, leases as usize)?;
        println!(
            "{backend:8}  all programmed after {:7.1} ms (budget 1000)  resident {:5.1} MB (budget 15)  peak {:5.1} MB",
            milliseconds(seen.programmed),
            seen.resident,
            seen.peak
        );
    }
    Ok(())
}

/// `eth0` with a /16 in which every peer is a neighbour.
fn make_underlay() -> Result<()> {
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

fn start_etcd(name: &str) -> Result<Process> {
    let log = fs::File::create(format!("/run/bench/etcd-{name}.log"))?;
    let etcd = Process(
        world::command("etcd")
            .args(["--data-dir", &format!("/run/bench/etcd-{name}")])
            .args([
                "--listen-client-urls",
                ETCD,
                "--advertise-client-urls",
                ETCD,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("run etcd (package etcd-server)")?,
    );
    wait_for("etcd to answer", || {
        Ok(world::run(
            "curl",
            &["-sf", "-o", "/dev/null", &format!("{ETCD}/health")],
        )
        .is_ok())
    })?;
    Ok(etcd)
}

/// Writes the network config and `leases` peers through etcd's JSON gateway.
fn fill(backend: &str, leases: u32) -> Result<()> {
    let config =
        json!({ "Network": "10.0.0.0/8", "SubnetLen": 24, "Backend": { "Type": backend } });
    let mut puts = vec![put("config", &config)];
    puts.extend((0..leases).map(|n| put(&key(n), &lease(backend, n))));
    for chunk in puts.chunks(PUTS_PER_REQUEST) {
        let body = "/run/bench/request.json";
        fs::write(body, json!({ "success": chunk }).to_string())?;
        world::run(
            "curl",
            &[
                "-sf",
                "-o",
                "/dev/null",
                "-d",
                &format!("@{body}"),
                &format!("{ETCD}/v3/kv/txn"),
            ],
        )?;
    }
    Ok(())
}

fn put(name: &str, value: &Value) -> Value {
    let key = BASE64.encode(format!("{PREFIX}/{name}"));
    json!({ "requestPut": { "key": key, "value": BASE64.encode(value.to_string()) } })
}

fn key(n: u32) -> String {
    let subnet = Ipv4Addr::from(u32::from_be_bytes([10, 1, 0, 0]) + (n << 8));
    format!("subnets/{subnet}-24")
}

fn lease(backend: &str, n: u32) -> Value {
    let public_ip = Ipv4Addr::from(u32::from_be_bytes([172, 20, 1, 0]) + n);
    let mut lease = json!({ "PublicIP": public_ip, "PublicIPv6": null, "BackendType": backend });
    if backend == "vxlan" {
        let [_, a, b, c] = n.to_be_bytes();
        lease["BackendData"] =
            json!({ "VNI": 1, "VtepMAC": format!("02:00:00:{a:02x}:{b:02x}:{c:02x}") });
    }
    lease
}

/// What one start of netd cost.
struct Seen {
    programmed: Duration,
    /// Megabytes, `VmRSS` and `VmHWM` of proc(5).
    resident: f64,
    peak: f64,
}

fn start_netd(bin_dir: &Path, backend: &str, leases: usize) -> Result<Seen> {
    let log_path = format!("/run/bench/netd-{backend}.log");
    let log = fs::File::create(&log_path)?;
    let start = Instant::now();
    let netd = Process(
        world::command(bin_dir.join("netd"))
            .args([
                "-etcd-endpoints",
                ETCD,
                "-iface",
                "eth0",
                "-iptables-forward-rules=false",
            ])
            .args(["-subnet-file", &format!("/run/bench/{backend}.env")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("run netd")?,
    );
    let programmed = programmed(start, backend, leases).with_context(|| last_lines(&log_path))?;
    // Settled memory, not the moment of the start.
    std::thread::sleep(Duration::from_secs(1));
    let status = fs::read_to_string(format!("/proc/{}/status", netd.0.id()))?;
    let seen = Seen {
        programmed,
        resident: megabytes(&status, "VmRSS")?,
        peak: megabytes(&status, "VmHWM")?,
    };
    drop(netd);
    clean_up(backend)?;
    Ok(seen)
}

/// netd leaves its datapath in place when it ends; the next backend starts from nothing.
fn clean_up(backend: &str) -> Result<()> {
    match backend {
        "vxlan" => world::run("ip", &["link", "delete", "flannel.1"]),
        _ => world::run(
            "ip",
            &[
                "route",
                "flush",
                "proto",
                &Route::PROTOCOL_PODWIRE.to_string(),
            ],
        ),
    }
}

fn programmed(start: Instant, backend: &str, leases: usize) -> Result<Duration> {
    let netlink = Netlink::open()?;
    loop {
        if count(&netlink, backend)? >= leases {
            return Ok(start.elapsed());
        }
        if start.elapsed() > GIVE_UP {
            bail!(
                "netd programmed {} of {leases} peers in {GIVE_UP:?}",
                count(&netlink, backend)?
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Peers that are complete: with vxlan the scarcest of routes, neighbours and FDB entries.
fn count(netlink: &Netlink, backend: &str) -> Result<usize> {
    let filter = RouteFilter {
        ipv6: Some(false),
        protocol: Some(Route::PROTOCOL_PODWIRE),
        ..RouteFilter::default()
    };
    let routes = netlink.routes(&filter)?.len();
    if backend != "vxlan" || routes == 0 {
        return Ok(routes);
    }
    let Some(device) = netlink.link(&"flannel.1".parse()?)? else {
        return Ok(0);
    };
    let link: LinkIndex = device.index;
    let neighbours = netlink.neighbours(link)?.len();
    Ok(routes.min(neighbours).min(netlink.fdb(link)?.len()))
}

/// What netd said last: the benchmark's world is gone when its failure is read.
fn last_lines(log: &str) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(10).collect();
    lines
        .into_iter()
        .rev()
        .fold("netd said:".to_owned(), |text, line| text + "\n" + line)
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

fn wait_for(what: &str, ready: impl Fn() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !ready()? {
        if start.elapsed() > GIVE_UP {
            bail!("waited {GIVE_UP:?} for {what}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

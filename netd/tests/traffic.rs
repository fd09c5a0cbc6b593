//! What pods send arrives, whatever netd goes through: a ping of 1 kHz and a TCP connection between two
//! nodes, over a datapath that flanneld made and netd takes over (vxlan, host-gw), or that netd made itself.
//!
//! A kernel without WireGuard or ipip skips these, unless `REQUIRE_KINDS=1` (see `make vm-netd` and
//! `make netd-kernel`).
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test may panic, and tells its figures"
)]

mod common;
mod nodes;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::Etcd;
use kernel::{NetNs, NewKind};
use nodes::{
    Cluster, IPIP_DEVICE, Netd, Running, etcdctl, interruptible, relay_etcd, sh, wait_for,
    wait_long,
};

/// How long etcd is away, seconds; `OUTAGE_SECONDS` says otherwise.
const OUTAGE: u32 = 5;
/// From ping to ping and from block to block, milliseconds. `PING_MILLISECONDS` and `PACE_MILLISECONDS` say
/// otherwise, where the processor is emulated and cannot do that much.
const PACE: u32 = 1;

/// One backend after the other: a ping that sends more often than every 10 ms does not sleep in between (iputils), and
/// several leave two processors nothing for anybody else.
static TURN: Mutex<()> = Mutex::new(());

fn from_environment(name: &str, usual: u32) -> u32 {
    let given = std::env::var(name).ok();
    given.map_or(usual, |text| text.parse().expect(name))
}

fn pace() -> u32 {
    from_environment("PACE_MILLISECONDS", PACE)
}

/// Between a pod on `n1` and one on `n2`.
struct Traffic {
    ping: Running,
    answers: std::path::PathBuf,
    started: Instant,
    stop: Arc<AtomicBool>,
    sent: JoinHandle<u64>,
    receiver: JoinHandle<()>,
    /// Bytes.
    received: Arc<AtomicU64>,
}

impl Traffic {
    fn start(cluster: &Cluster) -> Self {
        let answers = cluster.dir().join("ping");
        let interval = f64::from(from_environment("PING_MILLISECONDS", PACE)) / 1000.0;
        let interval = format!("{interval:.3}");
        let ping = interruptible("ip")
            .args([
                "netns",
                "exec",
                "p1",
                "stdbuf",
                "-oL",
                "ping",
                "-n",
                "-i",
                &interval,
                "10.100.2.2",
            ])
            .stdout(File::create(&answers).expect("file"))
            .stderr(Stdio::null())
            .spawn()
            .expect("ping");
        let listener = inside("p2", || TcpListener::bind("10.100.2.2:5000"));
        let received = Arc::new(AtomicU64::new(0));
        let total = Arc::clone(&received);
        let receiver = std::thread::spawn(move || {
            let (mut from, _) = listener.accept().expect("connection");
            let mut buffer = vec![0; 1 << 16];
            while let length @ 1.. = from.read(&mut buffer).expect("receive") {
                total.fetch_add(length as u64, Ordering::Relaxed);
            }
        });
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut to = inside("p1", || TcpStream::connect("10.100.2.2:5000"));
        let sent = std::thread::spawn(move || {
            let (mut total, block) = (0, vec![1; 1 << 15]);
            while !stopped.load(Ordering::Relaxed) {
                to.write_all(&block).expect("send");
                total += block.len() as u64;
                std::thread::sleep(Duration::from_millis(pace().into()));
            }
            total
        });
        Self {
            ping: Running(ping),
            answers,
            started: Instant::now(),
            stop,
            sent,
            receiver,
            received,
        }
    }

    /// The numbers of the pings that were answered, in the order of their answers.
    fn answered(&self) -> Vec<u16> {
        let answers = std::fs::read_to_string(&self.answers).expect("answers");
        let number = |line: &str| -> Option<u16> {
            let (_, rest) = line.split_once("icmp_seq=")?;
            rest.split(' ').next()?.parse().ok()
        };
        answers.lines().filter_map(number).collect()
    }

    /// Waits until pings are answered and bytes arrive as things are now.
    fn goes_on(&self) {
        let so_far = || (self.answered().len(), self.received.load(Ordering::Relaxed));
        let (pings, bytes) = so_far();
        wait_long("more answers and bytes", || {
            let now = so_far();
            now.0 > pings && now.1 > bytes
        });
    }

    /// Every ping but those on their way was answered once, and every byte arrived. Packets may overtake each
    /// other: two processes carry them (backend udp), several processors encrypt them, and with every backend each
    /// processor has a queue for what was sent on it, so that one that stands still, as emulated ones do, is behind
    /// the one that ping has moved to.
    fn finish(mut self) {
        sh(&format!("kill -INT {}", self.ping.0.id()));
        self.ping.0.wait().expect("ping");
        let mut positions = unwrapped(&self.answered());
        let (count, lasted) = (positions.len(), self.started.elapsed().as_secs_f64());
        eprintln!("{count} pings answered in {lasted:.0} s");
        positions.sort_unstable();
        let gaps: Vec<_> = positions
            .windows(2)
            .filter(|pair| pair[1] != pair[0] + 1)
            .collect();
        assert!(gaps.is_empty(), "lost, or answered twice: {gaps:?}");
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sent.join().expect("sender");
        self.receiver.join().expect("receiver");
        assert_eq!(self.received.load(Ordering::Relaxed), sent);
    }
}

/// Numbers of pings, which start again after 65535.
fn unwrapped(numbers: &[u16]) -> Vec<i64> {
    let mut position = 0;
    let mut before = numbers.first().copied().unwrap_or_default();
    let step = |number: &u16| {
        position += i64::from(number.wrapping_sub(before).cast_signed());
        before = *number;
        position
    };
    numbers.iter().map(step).collect()
}

fn inside<T: Send>(name: &str, f: impl FnOnce() -> std::io::Result<T> + Send) -> T {
    let there = NetNs::open(format!("/run/netns/{name}")).expect("namespace");
    there.run(f).expect("namespace").expect(name)
}

/// A pod on each of two nodes, the bridges, the nodes' leases in etcd, and what flanneld of 0.20 and later
/// leaves in the kernel for vxlan and host-gw. (Its device for udp ends with it.)
fn as_flanneld_left_it(backend: &str) {
    for n in [1, 2] {
        let other = 3 - n;
        sh(&format!(
            "ip -n n{n} link add cni0 up type bridge; ip -n n{n} addr add 10.100.{n}.1/24 dev cni0
             ip netns add p{n}; ip -n n{n} link add v{n} type veth peer name eth0 netns p{n}
             ip -n n{n} link set v{n} master cni0 up; ip -n p{n} link set eth0 up
             ip -n p{n} addr add 10.100.{n}.2/24 dev eth0; ip -n p{n} route add default via 10.100.{n}.1"
        ));
        let data = match backend {
            "vxlan" => {
                sh(&format!(
                    "ip -n n{n} link add flannel.1 address 02:aa:00:00:00:0{n} type vxlan id 1 dev eth0 \
                         local 192.168.50.{n} dstport 8472 nolearning
                     ip -n n{n} addr add 10.100.{n}.0/32 dev flannel.1
                     ip -n n{n} link set flannel.1 up
                     ip -n n{n} neigh add 10.100.{other}.0 lladdr 02:aa:00:00:00:0{other} nud permanent dev flannel.1
                     bridge -n n{n} fdb add 02:aa:00:00:00:0{other} dst 192.168.50.{other} self permanent dev flannel.1
                     ip -n n{n} route add 10.100.{other}.0/24 via 10.100.{other}.0 dev flannel.1 onlink"
                ));
                format!(r#","BackendData":{{"VNI":1,"VtepMAC":"02:aa:00:00:00:0{n}"}}"#)
            }
            "host-gw" => {
                sh(&format!(
                    "ip -n n{n} route add 10.100.{other}.0/24 via 192.168.50.{other} dev eth0"
                ));
                String::new()
            }
            _ => String::new(),
        };
        etcdctl(&format!(
            r#"put /coreos.com/network/subnets/10.100.{n}.0-24 '{{"PublicIP":"192.168.50.{n}","PublicIPv6":null,"BackendType":"{backend}"{data}}}'"#
        ));
    }
}

fn start(cluster: &Cluster, n: u8) -> Netd {
    let running = cluster.spawn(n, &["-etcd-endpoints", "http://192.168.50.254:2379"]);
    cluster.wait_ready(&running);
    assert_eq!(cluster.subnet(n), format!("10.100.{n}.0/24"));
    running
}

fn nothing_is_lost(backend: &str, kind: Option<&NewKind<'_>>) {
    let config = format!(r#"{{"Network":"10.100.0.0/16","Backend":{{"Type":"{backend}"}}}}"#);
    let cluster = match kind {
        Some(kind) => Cluster::with_kind(&config, 2, kind),
        None => Cluster::new(&config, 2),
    };
    let Some(cluster) = cluster else { return };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut etcd = Etcd::start(cluster.dir());
    relay_etcd();
    etcdctl(&format!("put /coreos.com/network/config '{config}'"));
    as_flanneld_left_it(backend);
    let is_taken_over = ["vxlan", "host-gw"].contains(&backend);
    let traffic = is_taken_over.then(|| Traffic::start(&cluster));
    let mut running = [start(&cluster, 1), start(&cluster, 2)];
    let traffic = traffic.unwrap_or_else(|| {
        let ping = "ip netns exec p1 ping -n -c 1 -W 1 10.100.2.2";
        wait_for("the pods to reach each other", || {
            sh(&format!("{ping} || true")).contains("bytes from")
        });
        Traffic::start(&cluster)
    });
    traffic.goes_on();

    for signal in ["TERM", "KILL"] {
        running = running.map(|netd| {
            let n = netd.node;
            netd.stop(signal);
            traffic.goes_on();
            let netd = start(&cluster, n);
            traffic.goes_on();
            netd
        });
    }
    etcd.kill();
    let outage = from_environment("OUTAGE_SECONDS", OUTAGE);
    std::thread::sleep(Duration::from_secs(outage.into()));
    traffic.goes_on();
    etcd.start_again();
    let up = |n| cluster.status(n).expect("status")["store"]["up"] == true;
    wait_long("the store", || up(1) && up(2));
    for n in [1, 2] {
        wait_for("the route", || cluster.routes(n).len() == 1);
    }
    traffic.goes_on();
    traffic.finish();
    for netd in running {
        assert_eq!(netd.stop("TERM").code(), Some(0));
    }
}

#[test]
fn nothing_is_lost_over_vxlan() {
    nothing_is_lost("vxlan", None);
}

#[test]
fn nothing_is_lost_over_host_gw() {
    nothing_is_lost("host-gw", None);
}

#[test]
fn nothing_is_lost_over_udp() {
    nothing_is_lost("udp", None);
}

#[test]
fn nothing_is_lost_over_wireguard() {
    nothing_is_lost("wireguard", Some(&NewKind::Wireguard));
}

#[test]
fn nothing_is_lost_over_ipip() {
    nothing_is_lost("ipip", Some(&IPIP_DEVICE));
}

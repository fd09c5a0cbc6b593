//! Nodes for tests: network namespaces on one Ethernet bridge, each with the real netd, looked
//! at with `ip` and `bridge`, so that one fault of ours cannot hide itself.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests; each file uses a part of this"
)]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use kernel::testing::World;
use kernel::{Netlink, NewKind, Tunnel};
use serde_json::Value;

pub const VXLAN: &str = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"vxlan"}}"#;
pub const HOST_GW: &str = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"host-gw"}}"#;
pub const DUAL_VXLAN: &str = r#"{"Network":"10.100.0.0/16","EnableIPv6":true,
    "IPv6Network":"fd00:100::/48","Backend":{"Type":"vxlan"}}"#;
pub const DUAL_HOST_GW: &str = r#"{"Network":"10.100.0.0/16","EnableIPv6":true,
    "IPv6Network":"fd00:100::/48","Backend":{"Type":"host-gw"}}"#;

/// Generous, since other tests share the machine; nothing should come near it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes on a bridge, and a store in a directory.
pub struct Cluster {
    _world: World,
    dir: PathBuf,
}

/// Subnets are drawn by chance: what nodes take is from 10.100.100.0 to 10.100.199.0, so that it
/// never meets the leases and routes that a test writes itself.
pub fn with_bounds(config: &str) -> String {
    let network = r#""Network":"10.100.0.0/16""#;
    let bounds = r#""SubnetMin":"10.100.100.0","SubnetMax":"10.100.199.0""#;
    config.replacen(network, &format!("{bounds},{network}"), 1)
}

/// A running netd, killed when dropped.
pub struct Netd {
    pub child: Child,
    pub node: u8,
}

impl Cluster {
    /// `None` where namespaces cannot be made.
    pub fn new(config: &str, nodes: u8) -> Option<Self> {
        let world = World::new()?;
        let dir = world.dir().to_owned();
        std::fs::create_dir_all(dir.join("store")).expect("store");
        let cluster = Self { _world: world, dir };
        cluster.put_config(config);
        sh("ip link add br0 type bridge && ip link set br0 up");
        for node in 1..=nodes {
            cluster.add_node(node);
        }
        Some(cluster)
    }

    /// The same where the kernel has such devices. One that lacks them is told of, and fails the test with
    /// `REQUIRE_KINDS=1`.
    pub fn with_kind(config: &str, nodes: u8, kind: &NewKind<'_>) -> Option<Self> {
        let cluster = Self::new(config, nodes)?;
        if has_kind(kind) {
            return Some(cluster);
        }
        let required = std::env::var_os("REQUIRE_KINDS").is_some_and(|value| value == "1");
        assert!(!required, "REQUIRE_KINDS=1, but nothing for {config}");
        eprintln!("skipped: this kernel has no devices for {config}");
        None
    }

    pub fn put_config(&self, config: &str) {
        std::fs::write(self.dir.join("store/config"), with_bounds(config)).expect("config");
    }

    pub fn add_node(&self, n: u8) {
        sh(&format!(
            "ip netns add n{n}
             ip -n n{n} link set lo up
             ip link add v{n} type veth peer name eth0 netns n{n}
             ip link set v{n} master br0 up
             ip -n n{n} addr add 192.168.50.{n}/24 dev eth0
             ip -n n{n} addr add fd00:50::{n}/64 dev eth0 nodad
             ip -n n{n} link set eth0 up
             ip -n n{n} route add default via 192.168.50.254
             ip -n n{n} -6 route add default via fd00:50::fe
             ip netns exec n{n} sysctl -qw net.ipv4.ip_forward=1"
        ));
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn lease_file(&self, key: &str) -> PathBuf {
        self.dir.join("store/subnets").join(key)
    }

    pub fn subnet_file(&self, n: u8) -> PathBuf {
        self.dir.join(format!("n{n}.env"))
    }

    /// Where the node keeps its WireGuard key.
    pub fn key_file(&self, n: u8) -> PathBuf {
        self.dir.join(format!("n{n}-flannel/wgkey"))
    }

    pub fn log(&self, n: u8) -> String {
        std::fs::read_to_string(self.dir.join(format!("n{n}.log"))).unwrap_or_default()
    }

    pub fn command(&self, n: u8, arguments: &[&str]) -> Command {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join(format!("n{n}.log")))
            .expect("log");
        let mut command = program("ip");
        command
            .args([
                "netns",
                "exec",
                &format!("n{n}"),
                env!("CARGO_BIN_EXE_netd"),
            ])
            .args([
                "-iface",
                "eth0",
                "-iptables-forward-rules=false",
                "-store-dir",
            ])
            .arg(self.dir.join("store"))
            .arg("-subnet-file")
            .arg(self.subnet_file(n))
            .arg("-status-socket")
            .arg(self.dir.join(format!("n{n}.sock")))
            .args(arguments)
            .env("WIREGUARD_KEY_FILE", self.key_file(n))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        command
    }

    /// Starts netd and does not wait for it.
    pub fn spawn(&self, n: u8, arguments: &[&str]) -> Netd {
        Netd {
            child: self.command(n, arguments).spawn().expect("start netd"),
            node: n,
        }
    }

    /// Starts netd with the directory store and waits until it is ready.
    pub fn start(&self, n: u8, arguments: &[&str]) -> Netd {
        let netd = self.spawn(n, &[&["-store", "dir"], arguments].concat());
        self.wait_ready(&netd);
        netd
    }

    pub fn wait_ready(&self, netd: &Netd) {
        let n = netd.node;
        wait_long(&format!("n{n} to be ready: {}", self.log(n)), || {
            self.status(n).is_some_and(|status| status["ready"] == true)
        });
    }

    /// What `netd status --output json` says.
    pub fn status(&self, n: u8) -> Option<Value> {
        let output = program(env!("CARGO_BIN_EXE_netd"))
            .args(["status", "--output", "json", "-status-socket"])
            .arg(self.dir.join(format!("n{n}.sock")))
            .output()
            .expect("netd status");
        output
            .status
            .success()
            .then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    /// The value of a key of subnet.env.
    pub fn env(&self, n: u8, key: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.subnet_file(n)).ok()?;
        let value = |line: &str| line.strip_prefix(&format!("{key}=")).map(str::to_owned);
        text.lines().find_map(value)
    }

    /// The node's subnet, `10.100.7.0/24`.
    pub fn subnet(&self, n: u8) -> String {
        let first = self.env(n, "FLANNEL_SUBNET").expect("FLANNEL_SUBNET");
        first.replace(".1/24", ".0/24")
    }

    pub fn v6_subnet(&self, n: u8) -> String {
        let first = self
            .env(n, "FLANNEL_IPV6_SUBNET")
            .expect("FLANNEL_IPV6_SUBNET");
        first.replace("::1/64", "::/64")
    }

    /// Routes that netd made, as `ip` prints them, sorted.
    pub fn routes(&self, n: u8) -> Vec<String> {
        let print = |family: &str| sh(&format!("ip -n n{n} {family} route show proto 112"));
        let both = print("-4") + &print("-6");
        let mut lines: Vec<String> = both.lines().map(|line| line.trim().to_owned()).collect();
        lines.sort();
        lines
    }
}

impl Netd {
    pub fn signal(&self, signal: &str) {
        sh(&format!("kill -{signal} {}", self.child.id()));
    }

    pub fn stop(mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        self.child.wait().expect("wait for netd")
    }
}

impl Drop for Netd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running program, killed when dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Cluster {
    /// What carries packets of the backend udp goes on when its netd ends; it ends with its device.
    fn drop(&mut self) {
        let script = "for n in $(ip netns list | cut -d ' ' -f 1); do
            ip -n $n link delete flannel0 2>/dev/null || true; done";
        let _ = program("sh").args(["-c", script]).status();
    }
}

/// A device of the backend ipip.
pub const IPIP_DEVICE: NewKind<'static> = NewKind::Tunnel(Tunnel::IPIP);

/// Whether the kernel has such devices.
pub fn has_kind(kind: &NewKind<'_>) -> bool {
    let netlink = Netlink::open().expect("netlink");
    netlink.has_link_kind(kind).expect("an answer")
}

/// A bridge with the subnet's first address, as the first pod's attachment makes it.
pub fn add_bridge(cluster: &Cluster, n: u8, dual: bool) {
    let first = cluster.env(n, "FLANNEL_SUBNET").expect("subnet");
    sh(&format!(
        "ip -n n{n} link add cni0 up type bridge; ip -n n{n} addr add {first} dev cni0"
    ));
    if dual {
        let first = cluster.env(n, "FLANNEL_IPV6_SUBNET").expect("subnet");
        sh(&format!("ip -n n{n} addr add {first} dev cni0 nodad"));
    }
}

/// Waits until the bridge of one node reaches that of another, in the family of `key`.
pub fn ping(cluster: &Cluster, from: u8, to: u8, key: &str) {
    let address = |n| {
        let cidr = cluster.env(n, key).expect("subnet");
        cidr.split('/').next().expect("address").to_owned()
    };
    let (source, target) = (address(from), address(to));
    wait_for(
        &format!("n{from} to reach n{to} from {source} at {target}"),
        || {
            let mut ping = program("ip");
            ping.args([
                "netns",
                "exec",
                &format!("n{from}"),
                "ping",
                "-c1",
                "-W1",
                "-I",
            ]);
            ping.args([&source, &target])
                .output()
                .expect("ping")
                .status
                .success()
        },
    );
}

/// etcd in the bridge's namespace; nodes reach it at 192.168.50.254.
pub fn relay_etcd() {
    sh("ip addr add 192.168.50.254/24 dev br0");
    thread::spawn(|| {
        let listener = TcpListener::bind("192.168.50.254:2379").expect("bind");
        for client in listener.incoming() {
            let Ok(client) = client else { return };
            thread::spawn(move || {
                let Ok(server) = TcpStream::connect("127.0.0.1:2379") else {
                    return;
                };
                let forward = |mut from: TcpStream, mut to: TcpStream| {
                    let mut buffer = [0; 16 * 1024];
                    while let Ok(length @ 1..) = from.read(&mut buffer) {
                        if to.write_all(&buffer[..length]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Both);
                };
                let (a, b) = (client.try_clone(), server.try_clone());
                let (Ok(a), Ok(b)) = (a, b) else { return };
                thread::spawn(move || forward(a, b));
                forward(server, client);
            });
        }
    });
}

/// What etcdctl prints.
pub fn etcdctl(arguments: &str) -> String {
    sh(&format!(
        "ETCDCTL_API=3 etcdctl --endpoints http://127.0.0.1:2379 {arguments}"
    ))
}

/// The sentences of the problems in a status.
pub fn problems(status: &Value) -> Vec<String> {
    let problems = status["problems"].as_array().expect("problems");
    let what = |problem: &Value| problem["what"].as_str().expect("what").to_owned();
    problems.iter().map(what).collect()
}

#[allow(
    clippy::disallowed_methods,
    reason = "tests look at the kernel with other programs"
)]
pub fn program(name: &str) -> Command {
    Command::new(name)
}

/// A program that SIGINT ends: a shell starts what it leaves in the background with the signal ignored, these
/// tests perhaps, and whoever they start inherits that. The process is the program's own.
pub fn interruptible(name: &str) -> Command {
    let mut command = program("env");
    command.args(["--default-signal=INT", name]);
    command
}

/// Runs a shell command, which must succeed; its output.
pub fn sh(script: &str) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = program("sh").args(["-ec", script]).output().expect("sh");
    assert!(
        status.success(),
        "{script}: {status}: {}",
        String::from_utf8_lossy(&stderr)
    );
    String::from_utf8(stdout).expect("UTF-8")
}

/// Whether a process has ended, also one that nobody has waited for: an orphan is the first process's, and
/// in a container that may be one that never waits.
pub fn has_ended(pid: impl std::fmt::Display) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After its name, which may have anything in it.
    let state = stat.rsplit(") ").next().unwrap_or_default();
    stat.is_empty() || state.starts_with(['Z', 'X'])
}

/// How long it took until `condition` was true.
pub fn wait_for(what: &str, condition: impl FnMut() -> bool) -> Duration {
    wait_within(PATIENCE, what, condition)
}

/// The same for what netd does not do at once.
pub fn wait_long(what: &str, condition: impl FnMut() -> bool) -> Duration {
    wait_within(PATIENCE * 4, what, condition)
}

fn wait_within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < limit, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    started.elapsed()
}

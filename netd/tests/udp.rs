//! The backend udp on real nodes: what it leaves in their kernels and on the wire is what the recordings of
//! flanneld show, and the process that carries the packets can end as it likes.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod nodes;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use forwarder::{Answer, Kit, KitError, Order, Routes, Subnet, line, receive};
use kernel::testing::skipped;
use kernel::{IfName, NetNs, Netlink, NewKind, NewLink, TunQueue, handover};
use nodes::{
    Cluster, Netd, PATIENCE, Running, add_bridge, has_ended, ping, problems, program, sh, wait_for,
    wait_long,
};
use serde_json::{Value, json};

const UDP: &str = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"udp"}}"#;

/// The nodes of a test.
struct Nodes(Cluster);

impl Nodes {
    fn new(config: &str, nodes: u8) -> Option<Self> {
        Cluster::new(config, nodes).map(Self)
    }

    /// Two nodes whose pods reach each other, with their netds.
    fn joined() -> Option<(Self, [Netd; 2])> {
        Self::joined_with(UDP, &[])
    }

    fn joined_with(config: &str, flags: &[&str]) -> Option<(Self, [Netd; 2])> {
        let nodes = Self::new(config, 2)?;
        let running = [1, 2].map(|n| nodes.start_with(n, flags));
        for n in [1, 2] {
            add_bridge(&nodes.0, n, false);
        }
        ping(&nodes.0, 1, 2, "FLANNEL_SUBNET");
        Some((nodes, running))
    }

    /// Starts netd, and waits until packets are carried.
    fn start(&self, n: u8) -> Netd {
        self.start_with(n, &[])
    }

    fn start_with(&self, n: u8, flags: &[&str]) -> Netd {
        let netd = self.0.start(n, flags);
        wait_for(&format!("n{n} to carry packets: {}", self.0.log(n)), || {
            self.forwarder(n)["running"] == true
        });
        netd
    }

    fn forwarder(&self, n: u8) -> Value {
        let status = self.0.status(n).unwrap_or_default();
        status["forwarder"].clone()
    }

    fn pid(&self, n: u8) -> u64 {
        self.forwarder(n)["pid"].as_u64().expect("pid")
    }

    /// netd is killed: the descriptors and the number of the process that goes on.
    fn killed(&self, n: u8, netd: Netd) -> (Vec<OwnedFd>, u64) {
        let left = (self.descriptors(n), self.pid(n));
        netd.stop("KILL");
        left
    }

    /// What the process that carries packets hands to whoever comes: the descriptor of its socket, and as
    /// many of queues as of sockets.
    fn descriptors(&self, n: u8) -> Vec<OwnedFd> {
        let stream = UnixStream::connect(self.file(n, "udp")).expect("connect");
        handover::receive(&stream).expect("descriptors")
    }

    fn dropped(&self, n: u8, reason: &str) -> u64 {
        let counts = &self.forwarder(n)["dropped"];
        counts[reason].as_u64().unwrap_or_default()
    }

    /// What `netd cleanup` says.
    fn cleanup(&self, n: u8) -> String {
        let netd = env!("CARGO_BIN_EXE_netd");
        let (subnet, socket) = (self.0.subnet_file(n), self.file(n, "sock"));
        let (subnet, socket) = (subnet.display(), socket.display());
        sh(&format!(
            "ip netns exec n{n} {netd} cleanup -subnet-file {subnet} -status-socket {socket}"
        ))
    }

    /// What `netd doctor` says.
    fn doctor(&self, n: u8, flags: &str) -> String {
        let netd = env!("CARGO_BIN_EXE_netd");
        let (subnet, socket) = (self.0.subnet_file(n), self.file(n, "sock"));
        let (subnet, socket) = (subnet.display(), socket.display());
        let store = self.0.dir().join("store");
        sh(&format!(
            "ip netns exec n{n} {netd} doctor {flags} -store dir -store-dir {} -subnet-file {subnet} \
             -status-socket {socket} || true",
            store.display()
        ))
    }

    fn file(&self, n: u8, extension: &str) -> PathBuf {
        self.0.dir().join(format!("n{n}.{extension}"))
    }

    /// A node that is not ours, with the subnet 10.100.N.0/24.
    fn put_peer(&self, n: u8) {
        let file = self.0.lease_file(&format!("10.100.{n}.0-24"));
        std::fs::create_dir_all(file.parent().expect("directory")).expect("directory");
        let lease = format!(r#"{{"PublicIP":"192.168.50.{n}","PublicIPv6":null}}"#);
        std::fs::write(file, lease).expect("lease");
        let known = std::fs::read_dir(self.0.dir().join("store/subnets")).expect("leases");
        let others = known.count() - 1;
        wait_for("the peer to be told to the process", || {
            self.forwarder(1)["peers"] == others
        });
    }

    /// The first address of a node's pods.
    fn first(&self, n: u8) -> Ipv4Addr {
        let first = self.0.env(n, "FLANNEL_SUBNET").expect("subnet");
        first.trim_end_matches("/24").parse().expect("address")
    }
}

fn link(n: u8, name: &str) -> Value {
    let text = sh(&format!("ip -n n{n} -d -j link show dev {name}"));
    let links: Value = serde_json::from_str(&text).expect("JSON");
    links[0].clone()
}

#[test]
fn nodes_reach_each_other_through_flannels_device() {
    let Some(nodes) = Nodes::new(UDP, 2) else {
        return;
    };
    let cluster = &nodes.0;
    let _running = [nodes.start(1), nodes.start(2)];
    for n in [1, 2] {
        add_bridge(cluster, n, false);
        assert_eq!(cluster.routes(n), ["10.100.0.0/16 dev flannel0"]);
        let device = link(n, "flannel0");
        let info = &device["linkinfo"];
        assert_eq!(info["info_kind"], "tun");
        for (key, value) in [
            ("type", json!("tun")),
            ("pi", json!(false)),
            ("vnet_hdr", json!(true)),
            ("multi_queue", json!(true)),
            ("persist", json!(true)),
        ] {
            assert_eq!(info["info_data"][key], value, "{key}");
        }
        let flags = json!(["POINTOPOINT", "MULTICAST", "NOARP", "UP", "LOWER_UP"]);
        assert_eq!(device["flags"], flags);
        assert_eq!(
            (&device["mtu"], &device["txqlen"]),
            (&json!(1472), &json!(500))
        );
        let own = cluster.subnet(n).replace("/24", "/32");
        let addresses = sh(&format!("ip -n n{n} -4 -o addr show dev flannel0"));
        assert!(addresses.contains(&own), "{addresses}");
        let lease = cluster.lease_file(&cluster.subnet(n).replace('/', "-"));
        let lease = std::fs::read_to_string(lease).expect("lease");
        let expected = format!(r#"{{"PublicIP":"192.168.50.{n}","PublicIPv6":null}}"#);
        assert_eq!(lease.trim(), expected);
        assert_eq!(cluster.env(n, "FLANNEL_MTU").as_deref(), Some("1472"));
    }
    ping(cluster, 1, 2, "FLANNEL_SUBNET");
    ping(cluster, 2, 1, "FLANNEL_SUBNET");
    sh("ip -n n1 link set cni0 mtu 1472");
    // Nothing of the tunnel's goes there.
    let _other = bound(1, ([127, 0, 0, 1], 8285));
    let said = nodes.doctor(1, "-peer 192.168.50.2");
    assert!(said.contains("nothing was found"), "{said}");
    let status = cluster.status(1).expect("status");
    assert_eq!(problems(&status), Vec::<String>::new());
}

/// In a node's namespace.
fn on<T: Send>(n: u8, run: impl FnOnce() -> T + Send) -> T {
    let ns = NetNs::open(format!("/run/netns/n{n}")).expect("namespace");
    ns.run(run).expect("run")
}

fn bound(n: u8, address: impl Into<SocketAddr>) -> UdpSocket {
    let address = address.into();
    let socket = on(n, || UdpSocket::bind(address).expect("bind"));
    socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    socket
}

fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer).expect("a datagram");
    buffer.truncate(length);
    buffer
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let word = |pair: &[u8]| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// A UDP datagram without checksum to port 6000 in an IPv4 packet.
fn packet(source: Ipv4Addr, destination: Ipv4Addr, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let length = (28 + payload.len()) as u16;
    let mut packet = vec![0x45, 0, 0, 0, 0, 7, 0, 0, ttl, 17, 0, 0];
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet.extend(source.octets());
    packet.extend(destination.octets());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum);
    packet.extend([0x13, 0x88, 0x17, 0x70]);
    packet.extend((length - 20).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}

/// Sends this much from one node's pods to another's, and compares what came.
fn transfer(nodes: &Nodes, from: u8, to: (u8, Ipv4Addr), bytes: usize) {
    let source = SocketAddr::from((nodes.first(from), 0));
    let listener = on(to.0, || TcpListener::bind((to.1, 0)).expect("listen"));
    let target = listener.local_addr().expect("address");
    let data: Vec<u8> = (0..bytes)
        .map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8)
        .collect();
    let receiver = std::thread::spawn(move || {
        let (mut stream, peer) = listener.accept().expect("accept");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("read");
        (all, peer)
    });
    sh(&format!(
        "ip -n n{from} route replace {target} dev flannel0 src {source}",
        target = target.ip(),
        source = source.ip()
    ));
    let mut stream = on(from, || {
        TcpStream::connect_timeout(&target, PATIENCE).expect("connect")
    });
    stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
    stream.write_all(&data).expect("write");
    drop(stream);
    let (all, peer) = receiver.join().expect("receiver");
    assert_eq!(peer.ip(), source.ip());
    assert!(all == data, "{} of {bytes} bytes came", all.len());
}

#[test]
fn what_pods_send_arrives_unchanged() {
    let config = UDP.replacen('{', r#"{"EnableNFTables":true,"#, 1);
    let flags = ["-ip-masq", "-probe-interval", "200ms"];
    let Some((nodes, _running)) = Nodes::joined_with(&config, &flags) else {
        return;
    };
    let rules = sh("ip netns exec n1 nft list table ip flannel-ipv4");
    assert!(rules.contains("masquerade"), "{rules}");
    wait_long("the path to be probed", || {
        let status = nodes.0.status(1).expect("status");
        status["peers"]["nodes"][0]["reach"][0]["state"] == "yes"
    });
    transfer(&nodes, 1, (2, nodes.first(2)), 32 << 20);
    transfer(&nodes, 2, (1, nodes.first(1)), 32 << 20);
    let count = |direction: &str| {
        let carried = &nodes.forwarder(1)[direction];
        let [packets, bytes] =
            ["packets", "bytes"].map(|key| carried[key].as_u64().expect("count"));
        (packets, bytes)
    };
    wait_for("the packets to be counted", || {
        let counts = [count("sent"), count("received")];
        // Each way at least the data and their headers, in packets as the wire has them.
        counts
            .iter()
            .all(|(packets, bytes)| *bytes > 32 << 20 && bytes / packets <= 1472)
    });
    let target = nodes.first(2);
    for (size, way) in [(1444, "do"), (5000, "dont")] {
        sh(&format!(
            "ip netns exec n1 ping -c1 -W5 -M {way} -s {size} {target}"
        ));
    }
    assert_eq!(
        problems(&nodes.0.status(1).expect("status")),
        Vec::<String>::new()
    );
}

/// A program that does with packets what flanneld does: one at a time.
const PLAIN: &str = r#"
use Socket;
open(my $tun, "+<", "/dev/net/tun") or die "tun: $!";
my $request = pack("a16s", "flannel0", 0x1001) . "\0" x 22;
ioctl($tun, 0x400454ca, $request) or die "TUNSETIFF: $!";
socket(my $udp, PF_INET, SOCK_DGRAM, 0) or die "socket: $!";
bind($udp, sockaddr_in(8285, inet_aton($ARGV[0]))) or die "bind: $!";
my $to = sockaddr_in(8285, inet_aton($ARGV[1]));
$| = 1;
print "ready\n";
while (1) {
    my $both = "";
    vec($both, fileno($tun), 1) = 1;
    vec($both, fileno($udp), 1) = 1;
    select($both, undef, undef, undef);
    if (vec($both, fileno($tun), 1)) {
        sysread($tun, my $packet, 2000);
        send($udp, $packet, 0, $to) if (unpack("C", $packet) >> 4) == 4;
    }
    if (vec($both, fileno($udp), 1)) {
        recv($udp, my $packet, 1473, 0);
        die "too long" if length($packet) > 1472;
        syswrite($tun, $packet);
    }
}
"#;

/// Starts a program on a node and waits for a line of its standard output that has `ready` in it.
fn started(
    n: u8,
    command: &[&str],
    ready: &str,
) -> (Running, BufReader<std::process::ChildStdout>) {
    let child = program("ip")
        .args(["netns", "exec", &format!("n{n}")])
        .args(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut running = Running(child);
    let mut output = BufReader::new(running.0.stdout.take().expect("output"));
    let mut line = String::new();
    while !line.contains(ready) {
        line.clear();
        assert_ne!(
            output.read_line(&mut line).expect("line"),
            0,
            "{command:?} ended"
        );
    }
    (running, output)
}

#[test]
fn a_node_that_sends_packet_by_packet_is_a_peer_like_any() {
    let Some(nodes) = Nodes::new(UDP, 2) else {
        return;
    };
    let _netd = nodes.start(1);
    add_bridge(&nodes.0, 1, false);
    let command = ["perl", "-e", PLAIN, "192.168.50.2", "192.168.50.1"];
    let _plain = started(2, &command, "ready");
    sh("ip -n n2 addr add 10.100.2.1/32 dev flannel0
        ip -n n2 link set flannel0 mtu 1472 up
        ip -n n2 route add 10.100.0.0/16 dev flannel0 src 10.100.2.1");
    nodes.put_peer(2);
    let target = Ipv4Addr::new(10, 100, 2, 1);
    transfer(&nodes, 1, (2, target), 4 << 20);
    let first = nodes.first(1);
    sh(&format!("ip netns exec n2 ping -c3 -i0.01 -W5 {first}"));
    let listener = on(1, || TcpListener::bind((first, 0)).expect("listen"));
    let at = listener.local_addr().expect("address");
    let sender = std::thread::spawn(move || {
        let mut stream = on(2, || {
            TcpStream::connect_timeout(&at, PATIENCE).expect("connect")
        });
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        stream.write_all(&vec![0x5a; 4 << 20]).expect("write");
    });
    let mut all = Vec::new();
    let (mut stream, _) = listener.accept().expect("accept");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream.read_to_end(&mut all).expect("read");
    sender.join().expect("sender");
    assert!(all.len() == 4 << 20 && all.iter().all(|byte| *byte == 0x5a));
}

#[test]
fn packets_are_on_the_wire_as_flannel_s() {
    let Some(nodes) = Nodes::new(UDP, 2) else {
        return;
    };
    let _netd = nodes.start(1);
    let own: Ipv4Addr = {
        let subnet = nodes.0.subnet(1);
        subnet.trim_end_matches("/24").parse().expect("address")
    };
    let pod = Ipv4Addr::new(10, 100, 2, 7);
    let peer = bound(2, ([192, 168, 50, 2], 8285));
    nodes.put_peer(2);
    let tcpdump = [
        "tcpdump",
        "-lnvc1",
        "--immediate-mode",
        "-ieth0",
        "udp",
        "and",
        "src",
        "192.168.50.1",
    ];
    let script = format!("exec {} 2>&1", tcpdump.join(" "));
    let (_tcpdump, mut seen) = started(2, &["sh", "-c", &script], "listening on");
    let client = bound(1, (own, 5000));
    client.send_to(b"hello", (pod, 6000)).expect("send");
    let packet = received(&peer);
    assert_eq!(packet.len(), 33);
    assert_eq!(
        (packet[0], packet[8], packet[9]),
        (0x45, 63, 17),
        "{packet:02x?}"
    );
    assert_eq!(packet[12..16], own.octets());
    assert_eq!(packet[16..20], pod.octets());
    assert_eq!(packet[20..24], [0x13, 0x88, 0x17, 0x70]);
    assert_eq!(&packet[28..], b"hello");
    assert_eq!(checksum(&packet[..20]), [0, 0]);
    let mut sum = [&packet[12..20], &[0, 17, 0, 13]].concat();
    sum.extend(&packet[20..]);
    assert_eq!(
        checksum(&sum),
        [0, 0],
        "the datagram's checksum is finished"
    );
    let mut outer = String::new();
    for _ in 0..2 {
        seen.read_line(&mut outer).expect("line");
    }
    for part in [
        "ttl 64",
        "flags [DF]",
        "192.168.50.1.8285 > 192.168.50.2.8285: ",
    ] {
        assert!(outer.contains(part), "{part}: {outer}");
    }
}

#[test]
fn only_packets_of_a_node_s_pods_to_ours_come_in() {
    let Some(nodes) = Nodes::new(UDP, 3) else {
        return;
    };
    let _netd = nodes.start(1);
    add_bridge(&nodes.0, 1, false);
    for n in [2, 4] {
        nodes.put_peer(n);
    }
    let first = nodes.first(1);
    let server = bound(1, (first, 6000));
    let pod = |n| Ipv4Addr::new(10, 100, n, 7);
    let peer = bound(2, ([192, 168, 50, 2], 8285));
    // Another port, and a source of no node's, are flannel's, too.
    let elsewhere = bound(2, ([192, 168, 50, 2], 0));
    let stranger = bound(3, ([192, 168, 50, 3], 8285));
    let send = |socket: &UdpSocket, bytes: &[u8]| {
        socket.send_to(bytes, "192.168.50.1:8285").expect("send");
    };
    let good = packet(pod(2), first, 63, b"good");
    send(&peer, &good);
    assert_eq!(received(&server), b"good");
    send(
        &elsewhere,
        &packet(Ipv4Addr::new(203, 0, 113, 9), first, 2, b"outside"),
    );
    assert_eq!(received(&server), b"outside");
    let longer = [&good[..], b"more"].concat();
    send(&peer, &longer);
    assert_eq!(received(&server), b"good");

    let changed = |at: usize, to: u8| {
        let mut packet = good.clone();
        packet[at] = to;
        packet
    };
    let bad = packet(pod(2), first, 63, b"bad");
    for (from, bytes, reason) in [
        (&peer, vec![], "malformed"),
        (&peer, bad[..19].to_vec(), "malformed"),
        (&peer, vec![0xa5; 20], "malformed"),
        (&peer, changed(0, 0x65), "malformed"),
        (&peer, changed(3, 100), "malformed"),
        (&peer, changed(10, 0), "malformed"),
        (&peer, packet(pod(2), first, 1, b"bad"), "expired"),
        (&peer, packet(pod(2), pod(4), 63, b"bad"), "not-ours"),
        (
            &peer,
            packet(pod(2), Ipv4Addr::new(192, 168, 50, 1), 63, b"bad"),
            "not-ours",
        ),
        (&peer, packet(pod(4), first, 63, b"bad"), "spoofed"),
        (&peer, packet(first, first, 63, b"bad"), "spoofed"),
        (&stranger, bad, "stranger"),
    ] {
        let before = nodes.dropped(1, reason);
        send(from, &bytes);
        wait_for(&format!("{reason} to be counted"), || {
            nodes.dropped(1, reason) == before + 1
        });
    }
    send(&peer, &good);
    assert_eq!(
        received(&server),
        b"good",
        "and nothing else came in between"
    );
    wait_for("the stranger to be told", || {
        let problems = problems(&nodes.0.status(1).expect("status"));
        problems
            .iter()
            .any(|problem| problem.contains("192.168.50.3"))
    });
    assert_eq!(nodes.forwarder(1)["starts"], 1);
    assert_eq!(nodes.0.status(1).expect("status")["level"], "ready");
}

#[test]
fn what_leads_to_no_node_is_answered() {
    let Some(nodes) = Nodes::new(UDP, 1) else {
        return;
    };
    let _netd = nodes.start(1);
    let tcpdump = "exec tcpdump -lnvc1 --immediate-mode -iflannel0 icmp 2>&1";
    let (_tcpdump, mut seen) = started(1, &["sh", "-c", tcpdump], "listening on");
    let nowhere = SocketAddr::from(([10, 100, 250, 1], 9));
    let client = bound(1, ([0, 0, 0, 0], 0));
    client.connect(nowhere).expect("connect");
    client.send(b"x").expect("send");
    let mut answer = String::new();
    for _ in 0..2 {
        seen.read_line(&mut answer).expect("line");
    }
    let own = nodes.0.subnet(1);
    let own = own.trim_end_matches("/24");
    let said = format!("{own} > {own}: ICMP net 10.100.250.1 unreachable, length 36");
    assert!(
        answer.contains("ttl 8, id 0") && answer.contains(&said),
        "{answer}"
    );
    wait_for("it to be counted", || nodes.dropped(1, "no-route") == 1);
}

fn status_of(pid: u64, key: &str) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("threads");
    let value = |thread: std::io::Result<std::fs::DirEntry>| {
        let file = thread.expect("thread").path().join("status");
        let text = std::fs::read_to_string(file).expect("status");
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.expect("key").trim().to_owned()
    };
    threads.map(value).collect()
}

#[test]
fn the_process_has_no_rights_and_is_started_again_when_it_dies() {
    let Some((nodes, _running)) = Nodes::joined() else {
        return;
    };
    let pid = nodes.pid(1);
    for key in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:", "CapBnd:"] {
        let seen = status_of(pid, key);
        assert!(seen.len() >= 4, "{seen:?}");
        assert!(
            seen.iter().all(|set| set == "0000000000000000"),
            "{key} {seen:?}"
        );
    }
    assert!(status_of(pid, "NoNewPrivs:").iter().all(|set| set == "1"));
    let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("environment");
    assert_eq!(environment, b"");
    let device = link(1, "flannel0")["ifindex"].clone();
    for round in 1..=2 {
        let pid = nodes.pid(1);
        sh(&format!("kill -KILL {pid}"));
        wait_for("another one", || {
            let forwarder = nodes.forwarder(1);
            forwarder["running"] == true && forwarder["pid"] != pid
        });
        ping(&nodes.0, 1, 2, "FLANNEL_SUBNET");
        let forwarder = nodes.forwarder(1);
        assert_eq!(forwarder["starts"], round + 1);
        let why = forwarder["last_failure"].as_str().expect("failure");
        assert_eq!(why, "it ended: signal: 9 (SIGKILL)");
    }
    assert_eq!(link(1, "flannel0")["ifindex"], device);
    assert_eq!(
        problems(&nodes.0.status(1).expect("status")),
        Vec::<String>::new()
    );
    let log = nodes.0.log(1);
    assert!(
        log.contains("the process that carries the pods' packets does not work"),
        "{log}"
    );
}

#[test]
fn no_packet_is_lost_while_netd_is_killed_and_started_again() {
    let Some((nodes, [netd, _other])) = Nodes::joined() else {
        return;
    };
    let (source, target) = (nodes.first(1), nodes.first(2));
    let (source, target) = (source.to_string(), target.to_string());
    let command = [
        "stdbuf", "-oL", "ping", "-i", "0.002", "-I", &source, &target,
    ];
    let (mut pinging, output) = started(1, &command, "icmp_seq=100 ");
    let device = link(1, "flannel0")["ifindex"].clone();
    let mut netd = netd;
    for signal in ["KILL", "TERM", "INT"] {
        let pid = nodes.pid(1);
        netd.stop(signal);
        assert!(!has_ended(pid), "it goes on");
        netd = nodes.start(1);
        assert_ne!(nodes.pid(1), pid);
        wait_for("the former one to end", || has_ended(pid));
    }
    assert_eq!(link(1, "flannel0")["ifindex"], device);
    assert_eq!(nodes.0.routes(1), ["10.100.0.0/16 dev flannel0"]);
    sh(&format!("kill -INT {}", pinging.0.id()));
    let said: Vec<String> = output.lines().map(|line| line.expect("line")).collect();
    pinging.0.wait().expect("ping");
    let summary = said
        .iter()
        .find(|line| line.contains("packets transmitted"));
    let summary = summary.expect("summary");
    let words: Vec<&str> = summary.split(' ').collect();
    let [sent, came] = [words[0], words[3]].map(|word| word.parse::<u64>().expect("count"));
    // One may be under way when ping is told to end.
    assert!(sent - came <= 1, "{summary}");
}

fn hand_over(to: &UnixStream, descriptors: &[OwnedFd]) {
    let all: Vec<_> = descriptors.iter().map(|each| each.as_fd()).collect();
    handover::send(to, &all).expect("descriptors");
}

/// A process that carries packets to nobody, and that no netd knows of: what a netd leaves that ends in the
/// midst of a take-over.
fn left_over(descriptors: &[OwnedFd]) -> Running {
    begun(program(env!("CARGO_BIN_EXE_netd")), descriptors).0
}

/// The same as `command` starts it, and what it is told by.
fn begun(mut command: Command, descriptors: &[OwnedFd]) -> (Running, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    ours.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let child = command
        .arg("forward-packets")
        .stdin(OwnedFd::from(theirs))
        .spawn()
        .expect("start");
    let running = Running(child);
    hand_over(&ours, descriptors);
    let nothing = Subnet(Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED);
    let routes = Routes {
        own: nothing,
        peers: Vec::new(),
    };
    let answer = answer(&ours, &Order::Routes(routes));
    assert_eq!(answer, Answer::Ready(0));
    (running, ours)
}

fn answer(mut control: &UnixStream, order: &Order) -> Answer {
    control
        .write_all(&line(order).expect("order"))
        .expect("order");
    let answer = receive(&mut BufReader::new(control)).expect("answer");
    answer.expect("an answer")
}

impl Running {
    fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("wait").is_some()
    }
}

#[test]
fn all_that_former_netds_left_ends_when_one_takes_over() {
    let Some((nodes, [netd, _other])) = Nodes::joined() else {
        return;
    };
    let (descriptors, known) = nodes.killed(1, netd);
    let mut left: Vec<_> = (0..3).map(|_| left_over(&descriptors)).collect();
    drop(descriptors);
    let _netd = nodes.start(1);
    wait_for("all to end", || {
        has_ended(known) && left.iter_mut().all(Running::has_ended)
    });
    ping(&nodes.0, 1, 2, "FLANNEL_SUBNET");
    let own = nodes.pid(1);
    wait_for("the own one to be asked for what it did", || {
        nodes.forwarder(1)["sent"]["packets"].as_u64() > Some(0)
    });
    assert_eq!(
        (nodes.pid(1), &nodes.forwarder(1)["starts"]),
        (own, &json!(1))
    );
    let status = nodes.0.status(1).expect("status");
    assert_eq!(problems(&status), Vec::<String>::new());
}

#[test]
fn processes_of_one_number_in_several_namespaces_are_told_from_each_other() {
    let Some(nodes) = Nodes::new(UDP, 1) else {
        return;
    };
    let (descriptors, _) = nodes.killed(1, nodes.start(1));
    // Each is the first of its namespace.
    let begun = || {
        let mut command = program("unshare");
        command.args(["--pid", "--fork", "--kill-child"]);
        command.arg(env!("CARGO_BIN_EXE_netd"));
        begun(command, &descriptors)
    };
    let both = [begun(), begun()];
    let [one, other] = both
        .each_ref()
        .map(|(_, control)| answer(control, &Order::Who));
    assert_ne!(one, other);
    assert_eq!(answer(&both[0].1, &Order::Who), one);
}

#[test]
fn a_take_over_that_fails_is_tried_again_and_the_former_process_goes_on_until_then() {
    let Some(nodes) = Nodes::new(UDP, 1) else {
        return;
    };
    let (descriptors, pid) = nodes.killed(1, nodes.start(1));
    // With so many of each a process needs more descriptors than the next netd's may have at first.
    const MANY: usize = 20;
    let [queue, socket] = [&descriptors[1], &descriptors[descriptors.len() - 1]];
    let again = |descriptor: &OwnedFd| descriptor.try_clone().expect("descriptor");
    let mut many = vec![again(&descriptors[0])];
    many.extend((0..MANY).map(|_| again(queue)));
    many.extend((0..MANY).map(|_| again(socket)));
    drop(descriptors);
    let mut left = left_over(&many);
    drop(many);
    sh(&format!("kill -KILL {pid}"));
    std::fs::remove_file(nodes.0.dir().join("store/config")).expect("config");
    let netd = nodes.0.spawn(1, &["-store", "dir"]);
    wait_for("netd to begin", || nodes.0.status(1).is_some());
    let limit = |count| {
        sh(&format!(
            "prlimit --pid {} --nofile={count}:4096",
            netd.child.id()
        ))
    };
    limit(100);
    nodes.0.put_config(UDP);
    wait_for("a process to fail", || {
        let why = nodes.forwarder(1)["last_failure"].clone();
        why == "it ended: cannot begin: Too many open files (os error 24)"
    });
    assert!(!left.has_ended(), "it goes on while nobody else works");
    wait_for("the node to be degraded", || {
        let status = nodes.0.status(1).expect("status");
        let told = "the pods' packets are carried by what a former netd left";
        status["level"] == "degraded" && problems(&status).iter().any(|what| what.contains(told))
    });
    limit(4096);
    wait_long("another to work, and it to end", || {
        nodes.forwarder(1)["running"] == true && left.has_ended()
    });
    let status = nodes.0.status(1).expect("status");
    assert_eq!(problems(&status), Vec::<String>::new());
}

#[test]
fn a_former_process_goes_on_while_the_kernel_does_not_say_what_its_device_is() {
    let Some(nodes) = Nodes::new(UDP, 1) else {
        return;
    };
    let (descriptors, pid) = nodes.killed(1, nodes.start(1));
    sh(&format!("kill -KILL {pid}"));
    let again = |descriptor: &OwnedFd| descriptor.try_clone().expect("descriptor");
    let listener = UnixListener::from(again(&descriptors[0]));
    let count = (descriptors.len() - 1) / 2;
    let mut unknown: Vec<_> = descriptors.iter().map(again).collect();
    unknown[1..=count].fill_with(|| std::fs::File::open("/dev/null").expect("file").into());
    let former = std::thread::spawn(move || {
        [&unknown, &descriptors].map(|all| {
            let (stream, _) = listener.accept().expect("netd");
            stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
            hand_over(&stream, all);
            let order: Option<Order> = receive(&mut BufReader::new(stream)).expect("order");
            order
        })
    });
    let _netd = nodes.start(1);
    let orders = former.join().expect("former process");
    assert_eq!(orders, [None, Some(Order::End)]);
    let why = nodes.forwarder(1)["last_failure"].clone();
    let said = "its device or socket cannot be had: get device of a queue: Inappropriate ioctl";
    assert!(why.as_str().expect("failure").starts_with(said), "{why}");
    let degraded = "the pods' packets are carried by what a former netd left";
    assert!(nodes.0.log(1).contains(degraded), "{}", nodes.0.log(1));
}

#[test]
fn a_former_process_that_does_not_end_is_told_again_and_named() {
    let Some(nodes) = Nodes::new(UDP, 1) else {
        return;
    };
    let (descriptors, pid) = nodes.killed(1, nodes.start(1));
    sh(&format!("kill -KILL {pid}"));
    let listener = descriptors[0].try_clone().expect("descriptor");
    let listener = UnixListener::from(listener);
    let former = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("netd");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        hand_over(&stream, &descriptors);
        stream
    });
    let _netd = nodes.start(1);
    let mut orders = BufReader::new(former.join().expect("former process"));
    let end = |orders: &mut _| {
        let order: Option<Order> = receive(orders).expect("order");
        assert_eq!(order, Some(Order::End));
    };
    end(&mut orders);
    let told = || problems(&nodes.0.status(1).expect("status"));
    let all_told = "what carried packets for a former netd does not end: ";
    wait_for("it to be told", || {
        told().iter().any(|problem| problem.contains(all_told))
    });
    assert_eq!(nodes.0.status(1).expect("status")["level"], "degraded");
    end(&mut orders);
    drop(orders);
    wait_for("all to be well", || told().is_empty());
    assert_eq!(nodes.forwarder(1)["starts"], 1);
}

/// What the next program ends with where it may not do that (EPERM).
const NO_RIGHT: i32 = 77;
/// Says something to netd in the place of the process that carries packets.
const FORGED: &str = r#"
my ($pidfd_open, $pidfd_getfd) = (434, 438);
my $process = syscall($pidfd_open, $ARGV[0] + 0, 0);
my $copy = syscall($pidfd_getfd, $process, 0, 0);
exit 77 if $copy < 0 && $! == 1;
open(my $control, ">&=", $copy) or die "pidfd_getfd: $!";
syswrite($control, "nonsense\n") == 9 or die "write: $!";
"#;

#[test]
fn a_process_that_is_not_understood_or_does_not_answer_is_killed() {
    let Some(nodes) = Nodes::new(UDP, 1) else {
        return;
    };
    let _netd = nodes.start(1);
    // Whether that may be done.
    let forge = |pid: u64| {
        let forged = program("perl")
            .args(["-e", FORGED, &pid.to_string()])
            .status();
        let code = forged.expect("perl").code();
        assert!(matches!(code, Some(0 | NO_RIGHT)), "{code:?}");
        code == Some(0)
    };
    let halt = |pid: u64| sh(&format!("kill -STOP {pid}")).is_empty();
    let ways: [(&dyn Fn(u64) -> bool, &str); 2] = [
        (
            &forge,
            "it cannot be understood: expected value at line 1 column 1",
        ),
        (&halt, "it does not answer for 10 s"),
    ];
    for (spoil, why) in ways {
        let pid = nodes.pid(1);
        if !spoil(pid) {
            skipped("needs the right to take another process's descriptors (CAP_SYS_PTRACE)");
            continue;
        }
        wait_long(&format!("another one: {why}"), || {
            let forwarder = nodes.forwarder(1);
            forwarder["running"] == true && forwarder["pid"] != pid
        });
        assert_eq!(nodes.forwarder(1)["last_failure"], why);
        assert!(has_ended(pid), "{why}");
    }
}

#[test]
fn what_is_removed_or_changed_by_hand_comes_back() {
    let Some((nodes, [netd, _other])) = Nodes::joined() else {
        return;
    };
    let shape = || {
        let link =
            sh("ip -n n1 -d link show dev flannel0 | sed 's/^[0-9]*: //; s/numtxqueues.*//'");
        let addresses = sh("ip -n n1 -4 -br addr show dev flannel0 || true");
        (link, addresses, nodes.0.routes(1))
    };
    let before = shape();
    for commands in [
        "ip route del 10.100.0.0/16",
        "ip -4 addr flush dev flannel0",
        "ip link set flannel0 mtu 1300",
        "ip link set flannel0 down",
        "ip link set flannel0 down; ip link set flannel0 name strange0 up",
        "ip link del flannel0",
    ] {
        netd.signal("STOP");
        sh(&format!("ip netns exec n1 sh -ec '{commands}'"));
        netd.signal("CONT");
        wait_long(&format!("all to be as before {commands}"), || {
            shape() == before
        });
        ping(&nodes.0, 1, 2, "FLANNEL_SUBNET");
    }
    wait_for("all to be well", || {
        problems(&nodes.0.status(1).expect("status")).is_empty()
    });
}

#[test]
fn flanneld_s_device_is_made_anew_and_anybody_else_s_stays() {
    let Some(nodes) = Nodes::new(UDP, 1) else {
        return;
    };
    sh("ip -n n1 link add flannel0 type veth peer name other0");
    let ended = nodes
        .0
        .command(1, &["-store", "dir"])
        .status()
        .expect("netd");
    assert_eq!(ended.code(), Some(1));
    let told = "flannel0 is there, of kind veth and not tun: if nobody needs it, remove it";
    assert!(nodes.0.log(1).contains(told), "{}", nodes.0.log(1));
    sh("ip -n n1 link del flannel0
        ip -n n1 tuntap add flannel0 mode tun");
    let device = || link(1, "flannel0");
    let before = device();
    let netd = nodes.start(1);
    assert_ne!(device()["ifindex"], before["ifindex"]);
    assert_eq!(device()["linkinfo"]["info_data"]["multi_queue"], true);
    netd.stop("TERM");
    sh("ip -n n1 link del flannel0");
    let script = PLAIN.replace("0x1001", "0x5101");
    let command = ["perl", "-e", &script, "127.0.0.1", "127.0.0.1"];
    let _temporary = started(1, &command, "ready");
    let before = device();
    assert_eq!(before["linkinfo"]["info_data"]["persist"], false);
    let _netd = nodes.start(1);
    assert_ne!(device()["ifindex"], before["ifindex"]);
    assert_eq!(device()["linkinfo"]["info_data"]["persist"], true);
}

#[test]
fn no_other_device_is_taken_for_one_that_was_removed() {
    let Some(nodes) = Nodes::new(UDP, 1) else {
        return;
    };
    let name: IfName = "flannel0".parse().expect("name");
    let path = nodes.file(1, "udp");
    let local = SocketAddrV4::new([192, 168, 50, 1].into(), 8285);
    on(1, || {
        let netlink = Netlink::open().expect("netlink");
        // A program that another test starts may have a port for a moment: each has its own.
        let ports = std::cell::Cell::new(local.port());
        let open = |link| {
            let port = ports.replace(ports.get() + 1);
            Kit::open(&name, link, SocketAddrV4::new(*local.ip(), port), 2, &path)
        };
        let make = || {
            let new = NewLink::new(&name, NewKind::Tap(TunQueue::DEVICE));
            netlink.add_link(&new).expect("device").index
        };
        let removed = make();
        let kit = open(removed).expect("kit");
        assert!(kit.fits(&name, removed, local).expect("an answer"));
        netlink.delete_link(removed).expect("delete");
        assert!(!kit.fits(&name, removed, local).expect("an answer"));
        let refused = open(removed).expect_err("the device is gone");
        let expected = KitError::OtherDevice {
            device: name.clone(),
            link: removed,
        };
        assert_eq!(refused.to_string(), expected.to_string());
        // A program that another test starts may have its descriptors for a moment.
        wait_for("no device to be left", || {
            netlink.link(&name).expect("link").is_none()
        });
        let second = make();
        assert!(open(second).is_ok() && open(removed).is_err());
    });
}

#[test]
fn a_port_that_is_taken_is_told_until_it_is_free() {
    let Some(nodes) = Nodes::new(UDP, 1) else {
        return;
    };
    let holder = bound(1, ([0, 0, 0, 0], 8285));
    let netd = nodes.0.spawn(1, &["-store", "dir"]);
    wait_for("the port to be told", || {
        let problems = problems(&nodes.0.status(1).unwrap_or(json!({ "problems": [] })));
        problems.iter().any(|problem| {
            problem.contains("open UDP socket 192.168.50.1:8285: Address already in use")
        })
    });
    assert_eq!(nodes.0.status(1).expect("status")["ready"], false);
    drop(holder);
    nodes.0.wait_ready(&netd);
    wait_for("packets to be carried", || {
        nodes.forwarder(1)["running"] == true
    });
}

#[test]
fn a_former_process_that_cannot_be_reached_is_named_and_none_works_beside_it() {
    let Some(nodes) = Nodes::new(UDP, 1) else {
        return;
    };
    let netd = nodes.start(1);
    let pid = nodes.pid(1);
    netd.stop("KILL");
    std::fs::remove_file(nodes.file(1, "udp")).expect("remove");
    let _netd = nodes.0.spawn(1, &["-store", "dir"]);
    wait_for("it to be named", || {
        let status = nodes.0.status(1).unwrap_or(json!({ "problems": [] }));
        let problems = status["problems"].as_array().expect("problems");
        let remedies = problems
            .iter()
            .map(|problem| problem["remedy"].as_str().expect("remedy"));
        let held = format!("UDP port 8285 is held by netd-udp (process {pid})");
        let mut told = remedies.filter(|remedy| remedy.contains(&held));
        told.any(|remedy| remedy.ends_with(&format!("end it (kill {pid})")))
    });
    let status = nodes.0.status(1).expect("status");
    assert_eq!(
        (&status["level"], &status["forwarder"]["starts"]),
        (&json!("not-ready"), &json!(0))
    );
    sh(&format!("kill {pid}"));
    wait_for("packets to be carried", || {
        nodes.forwarder(1)["running"] == true
    });
}

#[test]
fn nothing_is_left_after_cleanup() {
    let Some(nodes) = Nodes::new(UDP, 1) else {
        return;
    };
    let netd = nodes.start(1);
    let pid = nodes.pid(1);
    assert_eq!(netd.stop("TERM").code(), Some(0));
    assert!(nodes.file(1, "udp").exists());
    let said = nodes.cleanup(1);
    for part in ["route 10.100.0.0/16", "link flannel0", "n1.udp", "n1.env"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    wait_for("the process to end", || has_ended(pid));
    assert_eq!(
        sh("ip -n n1 -br link | grep -c flannel || true").trim(),
        "0"
    );
    assert!(nodes.0.routes(1).is_empty());
    assert!(!nodes.file(1, "udp").exists());
    let said = nodes.cleanup(1);
    assert_eq!(said, "nothing is left of netd or flanneld on this node\n");
}

#[test]
fn a_stranger_does_not_start_the_process() {
    let netd = program(env!("CARGO_BIN_EXE_netd"))
        .arg("forward-packets")
        .stdin(Stdio::null())
        .output()
        .expect("netd");
    assert_eq!(netd.status.code(), Some(1));
    let said = String::from_utf8_lossy(&netd.stderr);
    assert!(said.starts_with("netd: netd alone starts this"), "{said}");
}

//! `netd doctor` finds real faults of a real node, and its commands mend them.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod nodes;

use std::io::Read as _;
use std::net::UdpSocket;
use std::process::Stdio;

use kernel::NetNs;
use nodes::{Cluster, VXLAN, program, sh, wait_for};
use serde_json::Value;

fn doctor(cluster: &Cluster, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = program("ip")
        .args(["netns", "exec", "n1", env!("CARGO_BIN_EXE_netd")])
        .args(["doctor", "-o", "json", "-store", "dir", "-store-dir"])
        .arg(cluster.dir().join("store"))
        .arg("-subnet-file")
        .arg(cluster.subnet_file(1))
        .arg("-status-socket")
        .arg(cluster.dir().join("n1.sock"))
        .args(arguments)
        .output()
        .expect("netd doctor");
    let errors = String::from_utf8_lossy(&output.stderr);
    let told = serde_json::from_slice(&output.stdout);
    (
        output.status.code(),
        told.unwrap_or_else(|_| panic!("{errors}")),
    )
}

/// The findings other than "no netd runs": check, what was found, what mends it.
fn found(told: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let findings = told["findings"].as_array().expect("findings").iter();
    let wrong = findings.filter(|finding| finding["ok"] == false);
    wrong
        .map(|finding| {
            assert_ne!(finding["means"], "", "{finding}");
            (
                text(&finding["check"]),
                text(&finding["found"]),
                text(&finding["mend"]),
            )
        })
        .filter(|(check, ..)| check != "daemon")
        .collect()
}

fn n1(line: &str) -> String {
    sh(&format!("ip netns exec n1 {line}"))
}

/// Two nodes; the netd of the first is gone, so that faults stay.
fn node_with_peer() -> Option<(Cluster, nodes::Netd)> {
    let cluster = Cluster::new(VXLAN, 2)?;
    let (one, two) = (cluster.start(1, &[]), cluster.start(2, &[]));
    wait_for("the route", || cluster.routes(1).len() == 1);
    let (code, told) = doctor(&cluster, &[]);
    assert_eq!((code, found(&told)), (Some(0), Vec::new()), "{told}");
    one.stop("KILL");
    Some((cluster, two))
}

#[test]
fn faults_are_found_and_their_commands_mend_them() {
    let Some((cluster, _two)) = node_with_peer() else {
        return;
    };
    let (code, told) = doctor(&cluster, &[]);
    assert_eq!((code, found(&told)), (Some(1), Vec::new()), "{told}");
    let peer = cluster.subnet(2);
    let own = cluster.env(1, "FLANNEL_SUBNET").expect("FLANNEL_SUBNET");
    let mac = n1("bridge fdb show dev flannel.1");
    let mac = mac.split(' ').next().expect("a MAC").to_owned();
    let fault = |check: &str, fault: &str| {
        for line in fault.lines().map(str::trim).filter(|line| !line.is_empty()) {
            n1(line);
        }
        let (code, told) = doctor(&cluster, &[]);
        assert_eq!(code, Some(1));
        let found = found(&told);
        let checks: Vec<&str> = found.iter().map(|(check, ..)| check.as_str()).collect();
        assert_eq!(checks, [check], "{found:#?}");
        found.into_iter().next().expect("one")
    };
    let well = |what: &str| {
        let (_, told) = doctor(&cluster, &[]);
        assert_eq!(found(&told), Vec::new(), "after {what}");
    };
    // The command of the finding mends it.
    for (check, line) in [
        ("forwarding", "sysctl -qw net.ipv4.ip_forward=0"),
        ("peers", "ip neigh flush dev flannel.1 nud permanent"),
        ("peers", &format!("bridge fdb del {mac} dev flannel.1")),
        (
            "rp-filter",
            "ip link add eth1 type veth peer name eth1p
             ip link set eth1 up
             ip route add 192.168.50.2/32 dev eth1
             sysctl -qw net.ipv4.conf.eth0.rp_filter=1",
        ),
    ] {
        let (_, _, mend) = fault(check, line);
        let command = mend.split(", or").next().expect("a command");
        n1(command);
        well(command);
    }
    n1("ip link del eth1");
    // The next ones are undone by hand, as their texts say.
    for (check, line, undo) in [
        (
            "mtu",
            "ip link set eth0 mtu 1400",
            "ip link set eth0 mtu 1500",
        ),
        (
            "mtu",
            &format!(
                "ip link add cni0 type bridge
                 ip addr add {own} dev cni0
                 ip link set cni0 mtu 1500"
            ),
            "ip link del cni0",
        ),
        (
            "bridge-address",
            "ip link add cni0 mtu 1450 type bridge
             ip addr add 10.99.0.1/24 dev cni0",
            "ip link del cni0",
        ),
        (
            "routes",
            &format!(
                "ip route add {peer} via 192.168.50.254 table 100
                 ip rule add to {peer} table 100"
            ),
            "ip rule del table 100",
        ),
        (
            "other-cni",
            "ip link add cilium_host type veth peer name cilium_net",
            "ip link del cilium_host",
        ),
    ] {
        fault(check, line);
        n1(undo);
        well(undo);
    }
    n1("iptables -F FORWARD");
    // A rule that accepts something else, and a chain that is jumped to, are no help; the commands are.
    for (line, chain, undo) in [
        (
            "iptables -P FORWARD DROP
             iptables -A FORWARD -s 10.99.0.0/16 -j ACCEPT
             iptables -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT",
            "the chain FORWARD of iptables drops",
            "iptables -P FORWARD ACCEPT; iptables -F FORWARD",
        ),
        (
            "nft add table inet fw
             nft add chain inet fw forwarded '{ type filter hook forward priority 10; policy drop; }'
             nft add chain inet fw more
             nft add rule inet fw forwarded ct state established accept
             nft add rule inet fw forwarded jump more
             nft add rule inet fw more ip saddr 10.99.0.0/16 accept
             nft add rule inet fw more ip6 saddr ::/0 accept",
            "the chain forwarded of the nftables table inet fw drops",
            "nft delete table inet fw",
        ),
    ] {
        let (_, told, mend) = fault("forward-policy", line);
        assert!(told.starts_with(chain), "{told}");
        assert!(told.contains("pods of 10.100.0.0/16"), "{told}");
        let commands = mend.split("; or").next().expect("commands");
        let commands = commands.split("; for good").next().expect("commands");
        n1(&format!("sh -ec '{commands}'"));
        well(commands);
        n1(&format!("sh -ec '{undo}'"));
        // An operator's own rule.
        let own = match line.starts_with("iptables") {
            true => "iptables -P FORWARD DROP; iptables -A FORWARD -s 10.100.0.0/16 -j ACCEPT",
            false => {
                "nft add table inet fw; nft add set inet fw ours { type ipv4_addr \\; flags interval \\; }
                 nft add element inet fw ours { 10.100.0.0/15 }
                 nft add chain inet fw forwarded { type filter hook forward priority 10 \\; policy drop \\; }
                 nft add rule inet fw forwarded ip daddr @ours accept"
            }
        };
        n1(&format!("sh -ec '{own}'"));
        well(own);
        n1(&format!("sh -ec '{undo}'"));
    }
    if std::fs::exists("/proc/sys/net/bridge").expect("proc") {
        let (_, _, mend) = fault(
            "br-netfilter",
            "sysctl -qw net.bridge.bridge-nf-call-iptables=0",
        );
        n1(&mend);
        well(&mend);
    }
}

#[test]
fn files_store_and_device_are_looked_at() {
    let Some((cluster, _two)) = node_with_peer() else {
        return;
    };
    let checks = |arguments: &[&str]| {
        let (code, told) = doctor(&cluster, arguments);
        assert_eq!(code, Some(1));
        let found = found(&told);
        found
            .into_iter()
            .map(|(check, what, _)| format!("{check}: {what}"))
            .collect::<Vec<_>>()
    };
    let unreachable = ["-store", "etcd", "-etcd-endpoints", "http://127.0.0.1:1"];
    let told = checks(&unreachable);
    assert!(
        told.len() == 1 && told[0].starts_with("store: the store does not answer"),
        "{told:?}"
    );
    std::fs::create_dir_all("/etc/cni/net.d").expect("directory");
    let other = r#"{"plugins":[{"type":"calico"}]}"#;
    std::fs::write("/etc/cni/net.d/05-calico.conflist", other).expect("write");
    let told = checks(&[]);
    assert!(
        told.len() == 1 && told[0].contains("05-calico.conflist"),
        "{told:?}"
    );
    std::fs::remove_file("/etc/cni/net.d/05-calico.conflist").expect("remove");
    n1("ip link set flannel.1 down");
    let told = checks(&[]);
    assert!(
        told.iter().any(|told| told == "device: flannel.1 is down"),
        "{told:?}"
    );
    n1("ip link del flannel.1");
    let ns = NetNs::open("/run/netns/n1").expect("namespace");
    let socket = ns
        .run(|| UdpSocket::bind("0.0.0.0:8472"))
        .expect("run")
        .expect("bind");
    let told = checks(&[]);
    let holder = format!("(process {})", std::process::id());
    assert!(
        told.iter()
            .any(|told| told.starts_with("udp-port") && told.contains(&holder)),
        "{told:?}"
    );
    drop(socket);
    std::fs::remove_file(cluster.subnet_file(1)).expect("remove");
    let told = checks(&[]);
    assert!(
        told.iter().any(|told| told.ends_with("n1.env is missing")),
        "{told:?}"
    );
}

/// Names say nothing: the port of the tunnel is netd's and its forwarder's, and no other program's that is called so.
#[test]
fn another_daemon_of_the_name_is_told_of_and_netds_own_processes_are_not() {
    let udp = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"udp"}}"#;
    let Some(cluster) = Cluster::new(udp, 1) else {
        return;
    };
    let running = cluster.start(1, &[]);
    let forwarder = || cluster.status(1).expect("status")["forwarder"]["pid"].clone();
    wait_for("the forwarder", || forwarder().is_u64());
    let holders_by = |arguments: &[&str]| {
        let (_, told) = doctor(&cluster, arguments);
        let mut holders = found(&told);
        holders.retain(|(check, ..)| check == "udp-port");
        holders
    };
    let holders = || holders_by(&[]);
    assert_eq!(holders(), []);
    let told = holders_by(&["-status-socket", "/nowhere.sock"]);
    let who = ", which does not answer on /nowhere.sock";
    assert!(told.len() == 1 && told[0].1.ends_with(who), "{told:?}");
    assert!(told[0].1.contains("is held by netd (process "), "{told:?}");
    assert!(!told[0].2.contains("stop"), "{told:?}");

    for name in ["netd", "netd-udp"] {
        let path = cluster.dir().join(name);
        sh(&format!("cp $(command -v perl) {}", path.display()));
        let mut other = program("ip")
            .args(["netns", "exec", "n1"])
            .arg(&path)
            .args(["-MSocket", "-e", SHARES_THE_PORT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the other one");
        let mut ready = [0];
        let stdout = other.stdout.as_mut().expect("stdout");
        stdout.read_exact(&mut ready).expect("bound");
        let told = holders();
        let who = format!("is held by {name} (process {})", other.id());
        assert!(told.len() == 1 && told[0].1.contains(&who), "{told:?}");
        drop(other.stdin.take());
        other.wait().expect("its end");
    }
    assert_eq!(holders(), []);

    // What carries packets goes on without its netd, and the next one takes over from it.
    let pid = forwarder();
    running.stop("KILL");
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(holders(), []);
}

/// Binds the port of the backend udp beside netd, and has it until standard input ends.
const SHARES_THE_PORT: &str = "socket(S, PF_INET, SOCK_DGRAM, 17) or die; \
    setsockopt(S, SOL_SOCKET, SO_REUSEPORT, 1) or die; \
    bind(S, sockaddr_in(8285, INADDR_ANY)) or die; $| = 1; print 'x'; <STDIN>";

/// A UDP packet with a wrong checksum, to this node.
const BAD_PACKET: &str = "socket(S, PF_INET, SOCK_RAW, 17) or die; \
    sub bad { send(S, pack('nnnn', 9, 9, 8, 1), 0, sockaddr_in(9, inet_aton('127.0.0.1'))) or die }";

#[test]
fn wrong_checksums_count_while_they_come() {
    let Some((cluster, _two)) = node_with_peer() else {
        return;
    };
    let send = |what: &str| {
        let mut perl = program("ip");
        perl.args(["netns", "exec", "n1", "perl", "-MSocket", "-e"]);
        perl.arg(format!("{BAD_PACKET} {what}"));
        perl
    };
    n1("ip link set lo up");
    assert!(send("bad();").status().expect("perl").success());
    let (_, told) = doctor(&cluster, &[]);
    assert_eq!(found(&told), Vec::new(), "from before");
    let mut sending = send("while (1) { bad(); select(undef, undef, undef, 0.05) }")
        .spawn()
        .expect("perl");
    let (_, told) = doctor(&cluster, &[]);
    sending.kill().expect("kill");
    sending.wait().expect("wait");
    let [(check, _, mend)] = &found(&told)[..] else {
        panic!("{told}");
    };
    assert_eq!(check, "checksum");
    assert!(mend.contains("ethtool -K flannel.1 tx off"), "{mend}");
}

#[test]
fn the_path_to_a_peer_is_probed() {
    let Some(cluster) = Cluster::new(VXLAN, 2) else {
        return;
    };
    let (_one, _two) = (cluster.start(1, &[]), cluster.start(2, &[]));
    wait_for("the routes", || {
        cluster.routes(1).len() + cluster.routes(2).len() == 2
    });
    let subnet = cluster.subnet(2);
    for name in ["192.168.50.2", &subnet, subnet.trim_end_matches("/24")] {
        let (code, told) = doctor(&cluster, &["-peer", name]);
        assert_eq!((code, found(&told)), (Some(0), Vec::new()), "{told}");
    }
    // The switch drops large frames on their way to the peer, and says nothing.
    sh("ip link set v2 mtu 1300");
    let (code, told) = doctor(&cluster, &["-peer", "192.168.50.2"]);
    assert_eq!(code, Some(1));
    let told = found(&told);
    let [path, overlay] = &told[..] else {
        panic!("{told:#?}");
    };
    assert!(
        path.1
            .starts_with("the path to 192.168.50.2 carries packets of 1300 bytes"),
        "{path:?}"
    );
    assert!(
        overlay.1.contains("those of 1450 bytes do not"),
        "{overlay:?}"
    );
    sh("ip link set v2 mtu 1500");
    // A firewall on the peer that knows nothing of the tunnel.
    sh("ip netns exec n2 iptables -A INPUT -p udp --dport 8472 -j DROP");
    let (_, told) = doctor(&cluster, &["-peer", "192.168.50.2"]);
    let told = found(&told);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].2.starts_with("let UDP port 8472 pass"), "{told:#?}");
}

//! The backend wireguard on real nodes: what it leaves in their kernels is what the recordings of
//! flanneld show, and stays through restarts.
//!
//! A kernel without WireGuard skips these, unless `REQUIRE_KINDS=1` (see `make vm-netd`).
#![allow(clippy::expect_used, reason = "a test may panic")]

mod nodes;

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use kernel::NewKind;
use nodes::{Cluster, Netd, add_bridge, has_kind, interruptible, ping, program, sh, wait_long};
use serde_json::Value;

/// In files of the nodes, and in the network config.
const PSK: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";
const OTHER_PSK: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

fn config(families: &str, options: &str) -> String {
    let families = match families {
        "v4" => r#""Network":"10.100.0.0/16""#,
        "v6" => r#""EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00:100::/48""#,
        _ => r#""Network":"10.100.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:100::/48""#,
    };
    format!(r#"{{{families},"Backend":{{"Type":"wireguard"{options}}}}}"#)
}

/// `None`, with the reason, where namespaces or such devices are not to be had.
fn cluster(config: &str, nodes: u8) -> Option<Cluster> {
    Cluster::with_kind(config, nodes, &NewKind::Wireguard)
}

/// Lines of `wg show all dump` in a node, fields separated by blanks, without its private key.
fn dump(n: u8) -> Vec<String> {
    let text = sh(&format!("ip netns exec n{n} wg show all dump"));
    let key = |line: &str| line.split('\t').nth(1).map(str::to_owned);
    let shown = |line: &str| match line.split('\t').count() {
        5 => line.replace(&key(line).unwrap_or_default(), "PRIVATE"),
        _ => line.to_owned(),
    };
    text.lines()
        .map(|line| shown(line).replace('\t', " "))
        .collect()
}

fn public_key(n: u8, device: &str) -> String {
    sh(&format!("ip netns exec n{n} wg show {device} public-key"))
        .trim()
        .to_owned()
}

fn index(n: u8, device: &str) -> Value {
    let link: Value =
        serde_json::from_str(&sh(&format!("ip -n n{n} -j link show dev {device}"))).expect("JSON");
    link[0]["ifindex"].clone()
}

/// The peer of `n` for one other node: device, key, shared key, endpoint, networks.
fn peer_line(n: u8, device: &str, key: &str) -> Option<String> {
    let fields: Vec<String> = dump(n)
        .iter()
        .find(|line| line.starts_with(&format!("{device} {key} ")))
        .map(|line| line.split(' ').take(5).map(str::to_owned).collect())?;
    Some(fields.join(" "))
}

fn wait_peer(n: u8, line: &str) {
    let mut fields = line.split(' ');
    let (device, key) = (fields.next().expect("device"), fields.next().expect("key"));
    let mut seen = None;
    wait_long(&format!("n{n} to have {line}"), || {
        seen = peer_line(n, device, key);
        seen.as_deref() == Some(line)
    });
}

fn wait_gone(n: u8, key: &str) {
    wait_long(&format!("n{n} to forget {key}"), || {
        !dump(n).iter().any(|line| line.contains(key))
    });
}

/// A pod with the second address of its node's subnet, on a bridge with the first.
fn add_pod(cluster: &Cluster, n: u8) -> String {
    add_bridge(cluster, n, false);
    let first = cluster.env(n, "FLANNEL_SUBNET").expect("subnet");
    let gateway = first.strip_suffix("/24").expect("length");
    let address = gateway.strip_suffix(".1").expect("first").to_owned() + ".2";
    let mtu = cluster.env(n, "FLANNEL_MTU").expect("MTU");
    sh(&format!(
        "ip netns add p{n}
         ip -n n{n} link add vp type veth peer name eth0 netns p{n}
         ip -n n{n} link set vp master cni0 up mtu {mtu}
         ip -n p{n} addr add {address}/24 dev eth0
         ip -n p{n} link set eth0 up mtu {mtu}
         ip -n p{n} route add default via {gateway}"
    ));
    address
}

fn pod_reaches(n: u8, address: &str, arguments: &str) {
    wait_long(&format!("p{n} to reach {address} {arguments}"), || {
        let mut ping = program("ip");
        ping.args(["netns", "exec", &format!("p{n}"), "ping", "-c1", "-W2"]);
        ping.args(arguments.split_whitespace()).arg(address);
        ping.output().expect("ping").status.success()
    });
}

#[test]
fn a_cluster_is_as_flanneld_leaves_it() {
    let psk = format!(r#","PSK":"{OTHER_PSK}","PersistentKeepaliveInterval":25"#);
    let Some(cluster) = cluster(&config("v4", &psk), 2) else {
        return;
    };
    let file = cluster.dir().join("psk");
    std::fs::write(&file, format!("{PSK}\n")).expect("file");
    let file = ["-wireguard-psk-file", file.to_str().expect("path")];
    let running: Vec<Netd> = (1..=2).map(|n| cluster.start(n, &file)).collect();
    let (one, two) = (public_key(1, "flannel-wg"), public_key(2, "flannel-wg"));
    let subnet = cluster.subnet(2);
    wait_peer(
        1,
        &format!("flannel-wg {two} {PSK} 192.168.50.2:51820 {subnet}"),
    );
    assert!(dump(1).contains(&format!("flannel-wg PRIVATE {one} 51820 off")));
    assert!(
        dump(1).iter().any(|line| line.ends_with(" 25")),
        "{:?}",
        dump(1)
    );

    check_link(&cluster);
    let route = sh("ip -n n1 -d route show 10.100.0.0/16");
    assert_eq!(
        route.trim(),
        "unicast 10.100.0.0/16 dev flannel-wg proto 112 scope link"
    );
    let sockets = sh("ip netns exec n1 ss -lnu");
    assert!(
        sockets.contains("0.0.0.0:51820") && sockets.contains("[::]:51820"),
        "{sockets}"
    );
    check_lease(&cluster, &one);
    check_key(&cluster);

    let there = add_pod(&cluster, 2);
    add_pod(&cluster, 1);
    pod_reaches(1, &there, "");
    pod_reaches(1, &there, "-M do -s 1392");
    check_status(&cluster, &two, &subnet);

    let leaves = cluster.lease_file(&subnet.replace('/', "-"));
    drop(running);
    std::fs::remove_file(leaves).expect("lease");
    let _alone = cluster.start(1, &file);
    wait_gone(1, &two);
    no_secret_is_told(&cluster);
}

/// Attributes that `ip -d -j link` and `ip addr` show, as in the recording `wireguard-kernel61-two-nodes`.
fn check_link(cluster: &Cluster) {
    let link: Value =
        serde_json::from_str(&sh("ip -n n1 -d -j link show dev flannel-wg")).expect("JSON");
    let mut link = link[0].clone();
    let fields = link.as_object_mut().expect("object");
    fields.remove("ifindex");
    let recorded = r#"{"ifname":"flannel-wg","flags":["POINTOPOINT","NOARP","UP","LOWER_UP"],
        "mtu":1420,"qdisc":"noqueue","operstate":"UNKNOWN","linkmode":"DEFAULT","group":"default",
        "link_type":"none","promiscuity":0,"allmulti":0,"min_mtu":0,"max_mtu":2147483552,
        "linkinfo":{"info_kind":"wireguard"},"inet6_addr_gen_mode":"none","num_tx_queues":1,
        "num_rx_queues":1,"gso_max_size":65536,"gso_max_segs":65535,"tso_max_size":65536,
        "tso_max_segs":65535,"gro_max_size":65536}"#;
    let recorded: Value = serde_json::from_str(recorded).expect("JSON");
    for (key, value) in recorded.as_object().expect("object") {
        assert_eq!(link.get(key), Some(value), "{key}: {link}");
    }
    assert_eq!(link.get("txqlen"), None, "{link}");
    let addresses = sh("ip -n n1 -o addr show dev flannel-wg");
    let own = cluster.subnet(1).replace("/24", "/32");
    assert_eq!(addresses.lines().count(), 1, "{addresses}");
    assert!(
        addresses.contains(&format!("inet {own} scope global flannel-wg")),
        "{addresses}"
    );
    assert_eq!(cluster.env(1, "FLANNEL_MTU").as_deref(), Some("1420"));
}

fn check_lease(cluster: &Cluster, key: &str) {
    let lease = cluster.lease_file(&cluster.subnet(1).replace('/', "-"));
    let lease = std::fs::read_to_string(lease).expect("lease");
    let recorded = format!(
        r#"{{"PublicIP":"192.168.50.1","PublicIPv6":null,"BackendType":"wireguard","BackendData":{{"PublicKey":"{key}","Port":51820}}}}"#
    );
    assert_eq!(lease, recorded);
}

fn check_key(cluster: &Cluster) {
    let path = cluster.key_file(1);
    let mode = std::fs::metadata(&path).expect("key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).expect("key");
    assert_eq!(text.len(), 44);
    assert_eq!(
        text,
        sh("ip netns exec n1 wg show flannel-wg private-key").trim()
    );
}

fn check_status(cluster: &Cluster, key: &str, subnet: &str) {
    let status = cluster.status(1).expect("status");
    let peer = &status["tunnels"][0];
    assert_eq!(peer["public_key"], key, "{status}");
    assert_eq!(peer["allowed_ips"], serde_json::json!([subnet]), "{status}");
    assert_eq!(peer["endpoint"], "192.168.50.2:51820", "{status}");
    assert!(
        peer["last_handshake"].is_u64() && peer["received"].as_u64() > Some(0),
        "{status}"
    );
    assert_eq!(status["level"], "ready", "{status}");
    assert_eq!(status["datapath"]["wireguard_peers"], 1, "{status}");
}

/// Whatever netd tells: no private key, no shared one.
fn no_secret_is_told(cluster: &Cluster) {
    let mut secrets = vec![PSK.to_owned(), OTHER_PSK.to_owned()];
    secrets.extend((1..=2).filter_map(|n| std::fs::read_to_string(cluster.key_file(n)).ok()));
    assert_eq!(secrets.len(), 4);
    let socket = cluster.dir().join("n1.sock");
    let text = program(env!("CARGO_BIN_EXE_netd"))
        .args(["status", "-status-socket"])
        .arg(socket)
        .output()
        .expect("netd status");
    let status = cluster.status(1).expect("status").to_string();
    for told in [
        cluster.log(1),
        cluster.log(2),
        status,
        String::from_utf8(text.stdout).expect("UTF-8"),
    ] {
        assert!(!told.is_empty());
        for secret in &secrets {
            assert!(!told.contains(secret.trim_end_matches('=')), "{told}");
        }
    }
}

#[test]
fn both_families_in_every_mode() {
    for (families, options, devices) in [
        ("dual", "", &["flannel-wg", "flannel-wg-v6"][..]),
        ("dual", r#","Mode":"auto""#, &["flannel-wg"]),
        ("dual", r#","Mode":"ipv6""#, &["flannel-wg"]),
        ("v6", "", &["flannel-wg-v6"]),
    ] {
        std::thread::spawn(move || mode(families, options, devices))
            .join()
            .expect(options);
    }
}

fn mode(families: &str, options: &str, devices: &[&str]) {
    let Some(cluster) = cluster(&config(families, options), 2) else {
        return;
    };
    let _running: Vec<Netd> = (1..=2).map(|n| cluster.start(n, &["-v", "2"])).collect();
    let links = sh("ip -n n1 -o link show type wireguard");
    let names: Vec<&str> = links
        .lines()
        .filter_map(|line| line.split(": ").nth(1))
        .collect();
    assert_eq!(names, devices);
    let route = sh("ip -n n1 -d -6 route show fd00:100::/48");
    let last = devices.last().expect("device");
    let recorded = format!("unicast fd00:100::/48 dev {last} proto 112 scope global metric 1024");
    assert!(route.starts_with(&recorded), "{route}");
    let dual = families == "dual";
    for n in [1, 2] {
        match dual {
            true => add_bridge(&cluster, n, true),
            false => {
                let first = cluster.env(n, "FLANNEL_IPV6_SUBNET").expect("subnet");
                sh(&format!(
                    "ip -n n{n} link add cni0 up type bridge; ip -n n{n} addr add {first} dev cni0 nodad"
                ));
            }
        }
    }
    if dual {
        ping(&cluster, 1, 2, "FLANNEL_SUBNET");
        ping(&cluster, 2, 1, "FLANNEL_SUBNET");
    }
    ping(&cluster, 1, 2, "FLANNEL_IPV6_SUBNET");
    ping(&cluster, 2, 1, "FLANNEL_IPV6_SUBNET");
    assert_eq!(cluster.env(1, "FLANNEL_MTU").as_deref(), Some("1420"));
}

#[test]
fn a_restart_loses_no_packet() {
    let Some(cluster) = cluster(&config("v4", ""), 2) else {
        return;
    };
    let first = cluster.start(1, &[]);
    let _second = cluster.start(2, &[]);
    let there = add_pod(&cluster, 2);
    add_pod(&cluster, 1);
    pod_reaches(1, &there, "");
    let (device, key) = (index(1, "flannel-wg"), public_key(1, "flannel-wg"));
    let mut ping = interruptible("ip");
    ping.args([
        "netns", "exec", "p1", "ping", "-i", "0.2", "-W", "10", &there,
    ]);
    let ping = ping.stdout(Stdio::piped()).spawn().expect("ping");
    assert_eq!(first.stop("TERM").code(), Some(0));
    let again = cluster.start(1, &[]);
    again.stop("KILL");
    // What a reboot of /run takes.
    std::fs::remove_file(cluster.key_file(1)).expect("key");
    let _again = cluster.start(1, &[]);
    sh(&format!("kill -INT {}", ping.id()));
    let output = ping.wait_with_output().expect("ping");
    let output = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.contains(", 0% packet loss"), "{output}");
    assert_eq!(index(1, "flannel-wg"), device, "adopted");
    assert_eq!(public_key(1, "flannel-wg"), key, "its key too");
    assert!(cluster.key_file(1).exists());
    let log = cluster.log(1);
    assert!(log.contains("taken from the device"), "{log}");
}

#[test]
fn what_is_removed_by_hand_comes_back() {
    let Some(cluster) = cluster(&config("v4", ""), 2) else {
        return;
    };
    let running: Vec<Netd> = (1..=2).map(|n| cluster.start(n, &[])).collect();
    let key = public_key(2, "flannel-wg");
    let line = format!(
        "flannel-wg {key} (none) 192.168.50.2:51820 {}",
        cluster.subnet(2)
    );
    wait_peer(1, &line);
    let own = public_key(1, "flannel-wg");
    let address = cluster.subnet(1).replace("/24", "/32");
    let has = |command: &str, text: &str| {
        wait_long(&format!("{command}: {text}"), || sh(command).contains(text));
    };
    let whole = |what: &str| {
        has("ip -n n1 -o addr show dev flannel-wg || true", &address);
        has(
            "ip -n n1 route show proto 112",
            "10.100.0.0/16 dev flannel-wg",
        );
        wait_peer(1, &line);
        assert_eq!(public_key(1, "flannel-wg"), own, "{what}");
    };
    for what in [
        "ip -n n1 route del 10.100.0.0/16".to_owned(),
        format!("ip -n n1 addr del {address} dev flannel-wg"),
        "ip -n n1 link set flannel-wg down".to_owned(),
        "ip -n n1 link set flannel-wg down; ip -n n1 link set flannel-wg name strange0".to_owned(),
        // The kernel does not announce this: what follows wakes netd.
        format!(
            "ip netns exec n1 wg set flannel-wg peer {key} remove; ip -n n1 link set flannel-wg down"
        ),
        "ip netns exec n1 wg set flannel-wg listen-port 1111; ip -n n1 link set flannel-wg down"
            .to_owned(),
        "ip -n n1 link del flannel-wg".to_owned(),
    ] {
        // It sees the whole of it, and not its first half.
        running[0].signal("STOP");
        sh(&what);
        running[0].signal("CONT");
        whole(&what);
    }
    assert!(dump(1).contains(&format!("flannel-wg PRIVATE {own} 51820 off")));
    add_bridge(&cluster, 1, false);
    add_bridge(&cluster, 2, false);
    ping(&cluster, 1, 2, "FLANNEL_SUBNET");
}

/// A third node made with `ip` and `wg` alone: its lease is all that netd knows of it.
#[test]
fn a_peer_made_by_hand_is_joined_and_follows_its_lease() {
    let Some(cluster) = cluster(&config("v4", ""), 2) else {
        return;
    };
    let _running = cluster.start(1, &[]);
    add_bridge(&cluster, 1, false);
    let own = public_key(1, "flannel-wg");
    let subnet = cluster.subnet(1);
    let key = cluster.dir().join("by-hand").display().to_string();
    let by_hand = |port: u16| -> String {
        sh(&format!(
            "ip -n n2 link del wg9 2>/dev/null || true
             ip -n n2 link add wg9 type wireguard
             wg genkey >{key}; ip netns exec n2 wg set wg9 private-key {key} listen-port {port} \
                 peer {own} endpoint 192.168.50.1:51820 allowed-ips {subnet}
             ip -n n2 addr add 10.100.200.1/24 dev wg9
             ip -n n2 link set wg9 up mtu 1420
             ip -n n2 route add {subnet} dev wg9
             ip netns exec n2 wg show wg9 public-key"
        ))
        .trim()
        .to_owned()
    };
    let publish = |key: &str, address: &str, port: u16| {
        let lease = format!(
            r#"{{"PublicIP":"{address}","PublicIPv6":null,"BackendType":"wireguard","BackendData":{{"PublicKey":"{key}","Port":{port}}}}}"#
        );
        let place = cluster.lease_file("10.100.200.0-24");
        std::fs::write(place.with_extension("new"), lease).expect("lease");
        std::fs::rename(place.with_extension("new"), place).expect("lease");
    };
    let reaches = || {
        let first = cluster.env(1, "FLANNEL_SUBNET").expect("subnet");
        let first = first.trim_end_matches("/24");
        wait_long("n1 to reach 10.100.200.1", || {
            let mut ping = program("ip");
            ping.args([
                "netns",
                "exec",
                "n1",
                "ping",
                "-c1",
                "-W2",
                "-I",
                first,
                "10.100.200.1",
            ]);
            ping.output().expect("ping").status.success()
        });
    };
    let old = by_hand(51999);
    publish(&old, "192.168.50.2", 51999);
    wait_peer(
        1,
        &format!("flannel-wg {old} (none) 192.168.50.2:51999 10.100.200.0/24"),
    );
    reaches();

    let new = by_hand(52000);
    publish(&new, "192.168.50.2", 52000);
    wait_peer(
        1,
        &format!("flannel-wg {new} (none) 192.168.50.2:52000 10.100.200.0/24"),
    );
    wait_gone(1, &old);
    reaches();

    // It sends from another port than it published: it is believed, as it has the key.
    sh("ip netns exec n2 wg set wg9 listen-port 53000");
    wait_long("n1 to see it move", || {
        sh("ip netns exec n2 ping -c1 -W2 -I 10.100.200.1 192.168.50.1 >/dev/null 2>&1 || true");
        let first = cluster.env(1, "FLANNEL_SUBNET").expect("subnet");
        let target = first.trim_end_matches("/24");
        sh(&format!(
            "ip netns exec n2 ping -c1 -W2 -I 10.100.200.1 {target} >/dev/null 2>&1 || true"
        ));
        peer_line(1, "flannel-wg", &new).is_some_and(|line| line.contains("192.168.50.2:53000"))
    });
    let passes =
        |cluster: &Cluster| cluster.status(1).expect("status")["datapath"]["passes"].as_u64();
    let before = passes(&cluster);
    sh("ip -n n1 route del 10.100.0.0/16");
    wait_long("a pass", || passes(&cluster) > before);
    let line = peer_line(1, "flannel-wg", &new).expect("peer");
    assert!(line.contains("192.168.50.2:53000"), "{line}");

    // Another published address is followed at once.
    sh("ip -n n2 addr add 192.168.50.22/24 dev eth0");
    publish(&new, "192.168.50.22", 53000);
    wait_peer(
        1,
        &format!("flannel-wg {new} (none) 192.168.50.22:53000 10.100.200.0/24"),
    );
    std::fs::remove_file(cluster.lease_file("10.100.200.0-24")).expect("lease");
    wait_gone(1, &new);
}

#[test]
fn what_flanneld_left_is_adopted() {
    let Some(cluster) = cluster(&config("v4", ""), 1) else {
        return;
    };
    let file = cluster.dir().join("flannels-key").display().to_string();
    let stale = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let empty = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
    let foreign = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=";
    sh(&format!(
        "ip -n n1 link add flannel-wg type wireguard
         wg genkey >{file}; ip netns exec n1 wg set flannel-wg private-key {file} listen-port 51820
         ip netns exec n1 wg set flannel-wg peer {stale} endpoint 192.168.50.9:51820 allowed-ips 10.100.9.0/24
         ip netns exec n1 wg set flannel-wg peer {empty} endpoint 192.168.50.8:51820
         ip netns exec n1 wg set flannel-wg peer {foreign} allowed-ips 172.20.0.9/32
         ip -n n1 link set flannel-wg mtu 1300 up
         ip -n n1 addr add 10.100.9.0/32 dev flannel-wg
         ip -n n1 route add 10.100.0.0/16 dev flannel-wg
         ip -n n1 route add 172.20.0.9/32 dev flannel-wg"
    ));
    let (device, key) = (index(1, "flannel-wg"), public_key(1, "flannel-wg"));
    let _running = cluster.start(1, &[]);
    assert_eq!(index(1, "flannel-wg"), device);
    assert_eq!(public_key(1, "flannel-wg"), key);
    let lines = dump(1);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[1].starts_with(&format!("flannel-wg {foreign} ")),
        "{lines:?}"
    );
    let routes = sh("ip -n n1 route show dev flannel-wg");
    assert!(
        routes.contains("10.100.0.0/16 proto 112 scope link"),
        "{routes}"
    );
    assert!(routes.contains("172.20.0.9"), "{routes}");
    let link = sh("ip -n n1 link show dev flannel-wg");
    assert!(link.contains("mtu 1420"), "{link}");
    let addresses = sh("ip -n n1 -o addr show dev flannel-wg");
    assert!(!addresses.contains("10.100.9.0/32"), "{addresses}");
}

#[test]
fn a_taken_port_and_another_kind_of_device() {
    let Some(cluster) = cluster(&config("v4", ""), 1) else {
        return;
    };
    sh("ip -n n1 link add other type wireguard
        ip netns exec n1 wg set other listen-port 51820
        ip -n n1 link set other up");
    let mut running = cluster.spawn(1, &["-store", "dir"]);
    assert_eq!(running.child.wait().expect("netd").code(), Some(1));
    let log = cluster.log(1);
    assert!(
        log.contains("flannel-wg cannot listen on UDP port 51820"),
        "{log}"
    );
    let links = sh("ip -n n1 -br link");
    assert!(!links.contains("flannel-wg"), "{links}");

    sh("ip -n n1 link del other
        ip -n n1 link add flannel-wg type bridge");
    let _running = cluster.start(1, &[]);
    let link = sh("ip -n n1 -d link show dev flannel-wg");
    assert!(link.contains("wireguard"), "{link}");
}

#[test]
fn without_wireguard_the_start_says_what_is_missing() {
    let Some(cluster) = Cluster::new(&config("v4", ""), 1) else {
        return;
    };
    if has_kind(&NewKind::Wireguard) {
        eprintln!("skipped: this kernel has wireguard");
        return;
    }
    let mut running = cluster.spawn(1, &["-store", "dir"]);
    assert_eq!(running.child.wait().expect("netd").code(), Some(1));
    let log = cluster.log(1);
    for part in [
        "module wireguard",
        "modprobe wireguard",
        "linux-image-amd64",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    let leases = std::fs::read_dir(cluster.dir().join("store/subnets"));
    assert_eq!(leases.map_or(0, Iterator::count), 0);
    assert!(!cluster.key_file(1).exists());
}

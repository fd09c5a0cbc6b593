//! nftables flowtables: the key `flowtableUplinks` of bridge and ptp.
//!
//! A kernel without flowtables has a part of it refused, and skips the rest unless `REQUIRE_KINDS=1` (see
//! `make vm-flowtables`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use kernel::NetNs;
use serde_json::{Value, json};
use support::{
    Node, call,
    chain::{Chain, Pod, state},
    sh,
};

const KINDS: [&str; 2] = ["bridge", "ptp"];
const TABLE: &str = "inet podwire_flowtable";
/// Those of the reader's network namespace, with what has become of them.
const CONNECTIONS: &str = "/proc/net/nf_conntrack";
/// Nothing takes as long, on an emulated processor either.
const LIMIT: Duration = Duration::from_secs(60);
/// What a connection carries that shall be taken, in bytes.
const LONG: usize = 1 << 20;
/// More than a packet of those that count as large, in bytes; goes in fragments.
const LARGE_DATAGRAM: usize = 8000;

/// One family's addresses: of the pod, of the node's uplink, and of whoever is outside.
struct Addresses {
    pod: &'static str,
    node: &'static str,
    out: &'static str,
}

const FAMILIES: [Addresses; 2] = [
    Addresses {
        pod: "10.22.0.5",
        node: "192.0.2.1",
        out: "192.0.2.2",
    },
    Addresses {
        pod: "fd22::5",
        node: "2001:db8:1::1",
        out: "2001:db8:1::2",
    },
];

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

/// Somebody outside, by the node's link `up0`.
fn outside(node: &Node) -> NetNs {
    let out = node.world.pod("out");
    sh("ip link add up0 type veth peer name out0 netns out
        ip addr add 192.0.2.1/24 dev up0
        ip addr add 2001:db8:1::1/64 dev up0 nodad
        ip link set up0 up
        ip -n out addr add 192.0.2.2/24 dev out0
        ip -n out addr add 2001:db8:1::2/64 dev out0 nodad
        ip -n out link set out0 up");
    out
}

/// A network of one kind. Pods get the addresses of a range, which `one` address of each family may be.
fn network(kind: &str, one: bool) -> Chain {
    let range = |subnet: &str, address: &str| match one {
        true => json!([{ "subnet": subnet, "rangeStart": address, "rangeEnd": address }]),
        false => json!([{ "subnet": subnet }]),
    };
    let mappings = json!([
        { "hostPort": 8080, "containerPort": 80, "protocol": "tcp" },
        { "hostPort": 8080, "containerPort": 80, "protocol": "udp" },
    ]);
    let mut plugins = vec![json!({
        "type": kind, "ipMasq": true, "flowtableUplinks": ["up0"],
        "ipam": { "type": "host-local", "dataDir": "/run/d", "ranges": [
            range("10.22.0.0/24", "10.22.0.5"), range("fd22::/64", "fd22::5"),
        ] },
    })];
    match kind {
        "bridge" => plugins[0]["isDefaultGateway"] = true.into(),
        _ => plugins[0]["ipam"]["routes"] = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]),
    }
    if one {
        plugins.push(json!({ "type": "portmap", "runtimeConfig": { "portMappings": mappings } }));
    }
    Chain {
        name: "net",
        plugins,
    }
}

/// The chain sets a mapping of its own for `Pod::port`; this test's are in the configuration.
fn add(node: &Node, chain: &Chain, pod: &Pod) -> Value {
    let mut result = Value::Null;
    for plugin in &chain.plugins {
        result = pod
            .call(node, "ADD", plugin, &config(chain, plugin, &result))
            .success()
            .json();
    }
    result
}

fn del(node: &Node, chain: &Chain, pod: &Pod, result: &Value) {
    for plugin in chain.plugins.iter().rev() {
        pod.call(node, "DEL", plugin, &config(chain, plugin, result))
            .success();
    }
}

fn config(chain: &Chain, plugin: &Value, result: &Value) -> String {
    let mut config = plugin.clone();
    config["cniVersion"] = "1.0.0".into();
    config["name"] = chain.name.into();
    if !result.is_null() {
        config["prevResult"] = result.clone();
    }
    config.to_string()
}

fn pod(name: &str) -> Pod {
    Pod {
        container: name.to_owned(),
        netns: format!("/run/netns/{name}"),
        port: 0,
    }
}

/// Whether this kernel can do it at all, by nft(8); leaves nothing.
#[allow(
    clippy::disallowed_methods,
    reason = "the judge must not be the code under test"
)]
fn kernel_has_flowtables() -> bool {
    let probe = "add table inet probe; add flowtable inet probe f { hook ingress priority 0; devices = { lo }; }; \
                 add chain inet probe c { type filter hook forward priority 0; }; \
                 add rule inet probe c ct state established flow add @f; delete table inet probe";
    let tried = std::process::Command::new("nft").arg(probe).output();
    tried.unwrap().status.success()
}

/// A world whose kernel has flowtables, and tells what is in them.
fn able() -> Option<Node> {
    let node = Node::new()?;
    if kernel_has_flowtables() && Path::new(CONNECTIONS).exists() {
        return Some(node);
    }
    let is_required = std::env::var_os("REQUIRE_KINDS").is_some_and(|value| value == "1");
    assert!(
        !is_required,
        "REQUIRE_KINDS=1, but no flowtables, or no {CONNECTIONS}"
    );
    eprintln!("skipped: this kernel has no flowtables, or no {CONNECTIONS}");
    None
}

/// A connection, as both ends have it.
struct Connection {
    client: TcpStream,
    server: TcpStream,
}

impl Connection {
    /// From one namespace to another, where somebody listens on `listen` and is reached by `to`.
    fn open(from: &NetNs, there: &NetNs, listen: SocketAddr, to: SocketAddr) -> Self {
        let listener = there.run(|| TcpListener::bind(listen)).unwrap().unwrap();
        let client = from
            .run(|| TcpStream::connect_timeout(&to, LIMIT))
            .unwrap()
            .unwrap();
        let (server, _) = listener.accept().unwrap();
        for end in [&client, &server] {
            end.set_read_timeout(Some(LIMIT)).unwrap();
            end.set_write_timeout(Some(LIMIT)).unwrap();
        }
        Self { client, server }
    }

    /// Carries so many bytes to the server, and one back.
    fn carry(&mut self, bytes: usize) {
        let (client, server) = (&mut self.client, &mut self.server);
        thread::scope(|scope| {
            scope.spawn(move || client.write_all(&vec![7; bytes]).unwrap());
            let mut received = vec![0; bytes];
            server.read_exact(&mut received).unwrap();
        });
        self.server.write_all(&[7]).unwrap();
        self.client.read_exact(&mut [0]).unwrap();
    }

    fn is_offloaded(&self) -> bool {
        is_offloaded("tcp", self.client.local_addr().unwrap().port())
    }
}

/// Whether the kernel's table of connections says so of the one that `port` began.
fn is_offloaded(protocol: &str, port: u16) -> bool {
    let all = sh(&format!("cat {CONNECTIONS}"));
    let of_port = |line: &&str| {
        // The first of two is that of the first packet.
        let sport = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix("sport="));
        line.contains(protocol) && sport.is_some_and(|sport| sport == port.to_string())
    };
    let line = all.lines().find(of_port);
    line.unwrap_or_else(|| panic!("{protocol} {port}: {all}"))
        .contains("[OFFLOAD]")
}

/// Carries more until all of these connections are offloaded. The kernel ends an entry whose route may be another by
/// now, and makes it anew with the next large packet.
fn until_offloaded(protocol: &str, ports: &[u16], mut carry: impl FnMut()) {
    let limit = Instant::now() + LIMIT;
    loop {
        carry();
        if ports.iter().all(|port| is_offloaded(protocol, *port)) {
            return;
        }
        let all = sh(&format!("cat {CONNECTIONS}"));
        assert!(Instant::now() < limit, "{protocol} {ports:?}: {all}");
    }
}

fn udp(namespace: &NetNs, bind: SocketAddr) -> UdpSocket {
    let socket = namespace.run(|| UdpSocket::bind(bind)).unwrap().unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

/// A datagram there and one back; gives the address that the first came from.
fn exchange(from: &UdpSocket, to: SocketAddr, there: &UdpSocket, bytes: usize) -> SocketAddr {
    let mut buffer = vec![0; bytes + 1];
    from.send_to(&vec![7; bytes], to).unwrap();
    let (length, sender) = there.recv_from(&mut buffer).unwrap();
    assert_eq!(length, bytes);
    there.send_to(&[7], sender).unwrap();
    let (length, answerer) = from.recv_from(&mut buffer).unwrap();
    assert_eq!((length, answerer), (1, to));
    sender
}

#[test]
fn uplinks_that_cannot_be_meant_are_refused_before_anything_is_made() {
    let Some(node) = Node::new() else { return };
    let _pod = node.world.pod("pod");
    sh(
        "ip link add br9 type bridge; ip link add port9 master br9 type veth peer name end9
        ip link property add dev end9 altname enp9s0",
    );
    let before = state();
    let twice = "invalid flowtableUplinks: \"end9\" is there twice";
    let no_link = "invalid flowtableUplinks: this host has no link \"eth7\"";
    let loopback = "invalid flowtableUplinks: no packet leaves the node by \"lo\"; name links by which packets do";
    let port = "invalid flowtableUplinks: \"port9\" is a port; name the bridge, bond or VRF that it is one of";
    let alternative = "invalid flowtableUplinks: \"enp9s0\" is another name of \"end9\"; name that";
    let name = "invalid flowtableUplinks: \"eth0/\" is no name of a link";
    for kind in KINDS {
        for (uplinks, expected) in [
            (json!(["end9", "end9"]), twice),
            (json!(["end9", "eth7"]), no_link),
            (json!(["lo"]), loopback),
            (json!(["port9"]), port),
            (json!(["end9", "enp9s0"]), alternative),
            (json!(["eth0/"]), name),
        ] {
            let mut plugin = network(kind, false).plugins.remove(0);
            plugin["flowtableUplinks"] = uplinks;
            let config = config(&network(kind, false), &plugin, &Value::Null);
            let answer = call(&node.plugin(kind), "ADD", "c", &config).error();
            assert_eq!(answer, (7, expected.to_owned()), "{kind}");
            let status = call(
                &node.plugin(kind),
                "STATUS",
                "c",
                &config.replace("1.0.0", "1.1.0"),
            );
            // Values are ADD's to judge.
            if [no_link, port, alternative].contains(&expected) {
                assert_eq!(status.error(), (50, expected.to_owned()), "{kind}");
            }
        }
    }
    for (more, expected) in [
        (
            json!({ "bridge": "end9" }),
            "invalid flowtableUplinks: pods are behind \"end9\"; name links by which packets leave the node",
        ),
        (
            json!({ "isDefaultGateway": false }),
            "flowtableUplinks needs isGateway and ipam: packets of pods are forwarded by their gateway",
        ),
        (
            json!({ "ipam": {} }),
            "flowtableUplinks needs isGateway and ipam: packets of pods are forwarded by their gateway",
        ),
    ] {
        let chain = network("bridge", false);
        let mut plugin = chain.plugins[0].clone();
        plugin["flowtableUplinks"] = json!(["end9"]);
        for (key, value) in more.as_object().unwrap() {
            plugin[key] = value.clone();
        }
        let config = config(&chain, &plugin, &Value::Null);
        let answer = call(&node.plugin("bridge"), "ADD", "c", &config).error();
        assert_eq!(answer, (7, expected.to_owned()), "{more}");
    }
    let below_flannel = json!({
        "cniVersion": "1.0.0", "name": "net", "type": "flannel", "dataDir": "/run/state",
        "delegate": { "FlowtableUplinks": ["eth7"] },
    });
    sh(
        "mkdir -p /run/flannel; printf 'FLANNEL_NETWORK=10.5.0.0/16\\nFLANNEL_SUBNET=10.5.72.1/24\\n\
        FLANNEL_MTU=1450\\nFLANNEL_IPMASQ=true\\n' >/run/flannel/subnet.env",
    );
    let answer = call(
        &node.plugin("flannel"),
        "ADD",
        "c",
        &below_flannel.to_string(),
    );
    assert_eq!(answer.error(), (7, no_link.to_owned()));
    assert_eq!(state(), before);
}

#[test]
fn a_kernel_without_flowtables_refuses_and_nothing_is_left() {
    let Some(node) = Node::new() else { return };
    if kernel_has_flowtables() {
        return;
    }
    let _pod = node.world.pod("pod");
    sh("ip link add up0 type bridge");
    let before = sh("ip -br link; nft list ruleset");
    for kind in KINDS {
        let chain = network(kind, false);
        // Masquerading leaves its table, as without the key.
        let mut plugin = chain.plugins[0].clone();
        plugin["ipMasq"] = false.into();
        let config = config(&chain, &plugin, &Value::Null);
        let expected = "flowtableUplinks: this kernel has no flowtables, or no rules that fill them \
                        (nf_flow_table_inet, nft_flow_offload); leave the key out: ";
        for (command, code) in [("ADD", 999), ("STATUS", 50)] {
            let config = config.replace("1.0.0", "1.1.0");
            let (seen, message) = call(&node.plugin(kind), command, "c", &config).error();
            assert_eq!(seen, code, "{kind} {command}: {message}");
            assert!(message.starts_with(expected), "{kind} {command}: {message}");
        }
        assert_eq!(sh("ip -br link; nft list ruleset"), before, "{kind}");
        assert!(!sh("ls /run/d/net").contains("10.22"), "{kind}");
    }
}

#[test]
fn streams_pass_by_the_rules_and_short_connections_do_not() {
    let Some(node) = able() else { return };
    let out = outside(&node);
    let inside = node.world.pod("a");
    for kind in KINDS {
        let chain = network(kind, true);
        let pod = pod("a");
        let result = add(&node, &chain, &pod);
        for family in FAMILIES {
            let masqueraded =
                || Connection::open(&inside, &out, at(family.out, 5000), at(family.out, 5000));
            let mapped =
                || Connection::open(&out, &inside, at(family.pod, 80), at(family.node, 8080));
            for (what, open) in [
                ("masqueraded", &masqueraded as &dyn Fn() -> Connection),
                ("mapped", &mapped),
            ] {
                let mut connection = open();
                connection.carry(100);
                assert!(!connection.is_offloaded(), "{kind} {what} {}", family.pod);
                let port = connection.client.local_addr().unwrap().port();
                until_offloaded("tcp", &[port], || connection.carry(LONG));
                // By the flowtable now.
                connection.carry(LONG);
            }
        }
        del(&node, &chain, &pod, &result);
    }
}

/// The one who has it next speaks with the same ports, while the flowtable still has the entries of the one before.
#[test]
fn an_address_that_is_given_again_gets_what_is_for_it() {
    let Some(node) = able() else { return };
    let out = outside(&node);
    let mut own_ports = 0..;
    for kind in KINDS {
        let chain = network(kind, true);
        for family in FAMILIES {
            let own = own_ports.next().unwrap();
            let (client_port, pod_port) = (4000 + own, 6000 + own);
            let client = udp(&out, at(family.out, client_port));
            let server = udp(&out, at(family.out, 5000));
            let attach = |name: &str| {
                let inside = node.world.pod(name);
                let result = add(&node, &chain, &pod(name));
                let mapped = udp(&inside, at(family.pod, 80));
                let masqueraded = udp(&inside, at(family.pod, pod_port));
                let mut exchange = |bytes| {
                    exchange(&client, at(family.node, 8080), &mapped, bytes);
                    exchange(&masqueraded, at(family.out, 5000), &server, bytes);
                };
                [100, 100].into_iter().for_each(&mut exchange);
                until_offloaded("udp", &[client_port, pod_port], || exchange(LARGE_DATAGRAM));
                [100, 100].into_iter().for_each(&mut exchange);
                result
            };
            let detach = |name: &str, result: &Value| {
                del(&node, &chain, &pod(name), result);
                NetNs::remove(format!("/run/netns/{name}")).unwrap();
            };
            let first = attach("first");
            detach("first", &first);
            let second = attach("second");
            assert_eq!(first["ips"], second["ips"]);
            detach("second", &second);
        }
    }
}

#[test]
fn what_is_missing_is_told_and_comes_back() {
    let Some(node) = able() else { return };
    let _out = outside(&node);
    let _pods = ["a", "b"].map(|name| node.world.pod(name));
    for kind in KINDS {
        let chain = network(kind, false);
        let a = pod("a");
        let result = add(&node, &chain, &a);
        let link = match kind {
            "bridge" => "cni0".to_owned(),
            _ => result["interfaces"][0]["name"].as_str().unwrap().to_owned(),
        };
        let check = || {
            let config = config(&chain, &chain.plugins[0], &result);
            a.call(&node, "CHECK", &chain.plugins[0], &config)
        };
        check().success();
        let made = sh(&format!("nft list table {TABLE}"));
        for (spoil, what) in [
            (
                format!("delete flowtable {TABLE} streams {{ devices = {{ {link} }}; }}"),
                format!("flowtable {TABLE} streams has no device {link}"),
            ),
            (
                format!("delete flowtable {TABLE} streams {{ devices = {{ up0 }}; }}"),
                format!("flowtable {TABLE} streams has no device up0"),
            ),
            (
                format!("delete element {TABLE} between {{ \"up0\" . \"{link}\" }}"),
                format!("set {TABLE} between has no up0 . {link}"),
            ),
            (
                format!("flush chain {TABLE} forward"),
                format!(
                    "chain {TABLE} forward has no rule \"meta length > 4096 iifname . oifname @between \
                     ct state established flow add @streams\""
                ),
            ),
            (
                format!("add table {TABLE} {{ flags dormant; }}"),
                format!("table {TABLE} is dormant"),
            ),
            (
                format!("delete table {TABLE}"),
                format!(
                    "chain {TABLE} forward is not \"type filter hook forward priority 300; policy accept\""
                ),
            ),
        ] {
            sh(&format!("nft '{spoil}'"));
            let expected = format!("connections by {link:?} do not bypass the rules: {what}");
            assert_eq!(check().error(), (999, expected), "{kind}");
            let repaired = node.podwire(&["repair"]).success().stdout;
            let line = "flowtable of 10.22.0.";
            assert!(
                repaired.starts_with(line) && repaired.ends_with(": restored\n"),
                "{repaired}"
            );
            check().success();
            assert_eq!(sh(&format!("nft list table {TABLE}")), made, "{kind}");
        }
        // An ADD that finds no rule makes all of it for all.
        sh(&format!("nft delete table {TABLE}"));
        let b = pod("b");
        let other = add(&node, &chain, &b);
        check().success();
        del(&node, &chain, &b, &other);
        assert_eq!(sh(&format!("nft list table {TABLE}")), made, "{kind}");
        del(&node, &chain, &a, &result);
        let repaired = node.podwire(&["repair"]).success();
        assert_eq!(repaired.stdout, "", "{kind}");
        sh(&format!("nft delete table {TABLE}"));
    }
}

/// All of them begin with a table that is not there.
#[test]
fn pods_that_come_at_once_all_join_and_those_that_go_leave_nothing() {
    let Some(node) = able() else { return };
    let _out = outside(&node);
    let names: Vec<String> = (0..6).map(|number| format!("pod{number}")).collect();
    let _pods: Vec<NetNs> = names.iter().map(|name| node.world.pod(name)).collect();
    for kind in KINDS {
        let chain = network(kind, false);
        let (node, chain) = (&node, &chain);
        let results: Vec<Value> = thread::scope(|scope| {
            let names = names.iter();
            let adding: Vec<_> = names
                .map(|name| scope.spawn(move || add(node, chain, &pod(name))))
                .collect();
            adding.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for (name, result) in names.iter().zip(&results) {
            let config = config(chain, &chain.plugins[0], result);
            let pod = pod(name);
            pod.call(node, "CHECK", &chain.plugins[0], &config)
                .success();
        }
        // The key may be left out since.
        let mut without = network(kind, false);
        let keys = without.plugins[0].as_object_mut().unwrap();
        keys.remove("flowtableUplinks").unwrap();
        for ((name, result), chain) in names
            .iter()
            .zip(&results)
            .zip([chain, &without].iter().cycle())
        {
            del(node, chain, &pod(name), result);
        }
        assert_eq!(sh("ls /run/podwire/attachments/flowtable"), "", "{kind}");
        let left = sh(&format!("nft list table {TABLE}"));
        assert!(!left.contains("veth"), "{kind}: {left}");
        sh("ip link del cni0 2>/dev/null || true");
        let mut gc: Value =
            serde_json::from_str(&config(chain, &chain.plugins[0], &Value::Null)).unwrap();
        gc["cniVersion"] = "1.1.0".into();
        gc["cni.dev/valid-attachments"] = json!([]);
        call(&node.plugin(kind), "GC", "c", &gc.to_string()).success();
        let tables = sh("nft list tables");
        assert!(!tables.contains("podwire_flowtable"), "{kind}: {tables}");
    }
}

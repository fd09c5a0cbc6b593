//! The targets, each with what is usual.

use std::fs;

use cluster::SubnetEnv;
use cni::{Plugin, invocation::Env};
use podwire_plugins::PLUGINS;
use serde_json::{Value, json};

use crate::{Node, leases};

/// What is fed.
pub struct Target {
    /// Its name, also of its program for cargo-fuzz.
    pub name: &'static str,
    /// Usual inputs, to be changed.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Takes any bytes.
    pub feed: fn(&Node, &[u8]),
}

/// All of them.
pub static TARGETS: &[Target] = &[
    Target {
        name: "configuration",
        seeds: configurations,
        feed: configuration,
    },
    Target {
        name: "prev_result",
        seeds: results,
        feed: prev_result,
    },
    Target {
        name: "arguments",
        seeds: environments,
        feed: arguments,
    },
    Target {
        name: "subnet_env",
        seeds: subnet_envs,
        feed: subnet_env,
    },
    Target {
        name: "network_config",
        seeds: leases::configs,
        feed: |_, data| leases::config(data),
    },
    Target {
        name: "lease",
        seeds: leases::seeds,
        feed: |_, data| leases::lease(data),
    },
    Target {
        name: "dhcp_packet",
        seeds: packets,
        feed: |_, data| dhcp::fuzzing::packet(data),
    },
    Target {
        name: "dhcp_stream",
        seeds: streams,
        feed: |_, data| dhcp::fuzzing::stream(data),
    },
    Target {
        name: "udp_datagrams",
        seeds: datagrams,
        feed: |_, data| forwarder::fuzzing::datagrams(data),
    },
    Target {
        name: "tun_packet",
        seeds: tun_packets,
        feed: |_, data| forwarder::fuzzing::outgoing(data),
    },
    Target {
        name: "reservation",
        seeds: reservations,
        feed: reservation,
    },
];

const COMMANDS: [&str; 6] = ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"];

/// Plugin and command by the first byte; the rest.
fn chosen(data: &[u8]) -> Option<(&'static dyn Plugin, &'static str, &[u8])> {
    let (&first, rest) = data.split_first()?;
    let (first, plugins) = (usize::from(first), PLUGINS.len());
    let command = COMMANDS[first / plugins % COMMANDS.len()];
    Some((PLUGINS[first % plugins], command, rest))
}

/// The first byte that chooses this.
fn choice(plugin: &str, command: &str) -> u8 {
    let plugin = PLUGINS.iter().position(|other| other.name() == plugin);
    let command = COMMANDS.iter().position(|other| *other == command);
    let chosen = plugin.unwrap() + command.unwrap() * PLUGINS.len();
    u8::try_from(chosen).unwrap()
}

fn ipam() -> Value {
    json!({ "type": "host-local", "ranges": [
        [{ "subnet": "10.22.0.0/24", "rangeStart": "10.22.0.9", "gateway": "10.22.0.1" }],
        [{ "subnet": "fd22::/64" }]
    ], "routes": [{ "dst": "0.0.0.0/0", "mtu": 1400 }, { "dst": "::/0", "gw": "fd22::1" }] })
}

/// A full configuration of each plugin.
fn config_of(plugin: &str) -> Value {
    let mut config = match plugin {
        "bridge" => json!({
            "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true, "ipMasqBackend": "nftables",
            "hairpinMode": true, "promiscMode": false, "mtu": 1400, "macspoofchk": true,
            "portIsolation": false, "enabledad": false, "disableContainerInterface": false,
        }),
        "macvlan" => json!({ "master": "parent0", "mode": "bridge", "mtu": 1400, "bcqueuelen": 5 }),
        "ipvlan" => json!({ "master": "parent0", "mode": "l3", "mtu": 1400 }),
        "vlan" => json!({ "master": "parent0", "vlanId": 5, "mtu": 1400 }),
        "dhcp" => json!({}),
        "host-device" => json!({ "device": "device0" }),
        "tuning" => json!({
            "mtu": 1400, "mac": "02:11:22:33:44:55", "promisc": true, "txQLen": 100, "allmulti": true,
            "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1" }, "dataDir": "/run/tuning",
        }),
        "bandwidth" => json!({
            "ingressRate": 100_000_000, "ingressBurst": 1_000_000, "egressRate": 100_000_000,
            "egressBurst": 1_000_000,
        }),
        "dummy" | "portmap" => {
            json!({ "snat": true, "conditionsV4": ["ip", "saddr", "10.0.0.0/8"] })
        }
        "firewall" => json!({ "ingressPolicy": "same-bridge", "iptablesAdminChainName": "A" }),
        "tap" => {
            json!({ "multiQueue": true, "owner": 0, "group": 0, "mtu": 1400, "bridge": "cni0" })
        }
        "vrf" => json!({ "vrfname": "blue", "table": 7 }),
        "sbr" => json!({ "table": 100, "addSourceHints": true, "gateways": ["10.22.0.1"] }),
        "flannel" | "vxlan" | "host-gw" => json!({
            "subnetFile": "/run/subnet.env", "dataDir": "/run/flannel-data",
            "delegate": { "isDefaultGateway": true, "type": "bridge" },
        }),
        _ => json!({}),
    };
    config["cniVersion"] = "1.1.0".into();
    config["name"] = "net".into();
    config["type"] = plugin.into();
    config["args"] = json!({ "cni": { "ips": ["10.22.0.7"], "mac": "02:11:22:33:44:56" } });
    config["runtimeConfig"] = json!({ "mac": "02:11:22:33:44:57", "ips": ["10.22.0.8/24"],
        "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] });
    config["cni.dev/valid-attachments"] = json!([{ "containerID": "ctr1", "ifname": "eth0" }]);
    config["ipam"] = match plugin {
        "static" => json!({ "type": "static", "addresses": [{ "address": "10.22.0.5/24",
            "gateway": "10.22.0.1" }], "routes": [{ "dst": "10.0.0.0/8" }],
            "dns": { "nameservers": ["10.22.0.1"] } }),
        "dhcp" => json!({ "type": "dhcp", "daemonSocketPath": "/run/none.sock", "priority": 5,
            "request": [{ "option": "routers" }], "provide": [{ "option": "host-name", "value": "a" }] }),
        "host-device" | "tuning" | "sbr" | "bandwidth" | "loopback" | "portmap" | "firewall"
        | "vrf" => Value::Null,
        _ => ipam(),
    };
    config["prevResult"] = result();
    config
}

fn result() -> Value {
    json!({
        "cniVersion": "1.1.0",
        "interfaces": [
            { "name": "cni0", "mac": "02:00:00:00:00:01" },
            { "name": "veth1", "mac": "02:00:00:00:00:02" },
            { "name": "eth0", "mac": "02:00:00:00:00:03", "sandbox": "/run/netns/pod", "mtu": 1500 }
        ],
        "ips": [
            { "interface": 2, "address": "10.22.0.9/24", "gateway": "10.22.0.1" },
            { "interface": 2, "address": "fd22::9/64", "gateway": "fd22::1" }
        ],
        "routes": [{ "dst": "0.0.0.0/0", "gw": "10.22.0.1", "priority": 5, "table": 100 }],
        "dns": { "nameservers": ["10.22.0.1"], "search": ["a.b"] }
    })
}

fn configurations() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for plugin in PLUGINS.iter().map(|plugin| plugin.name()) {
        for command in COMMANDS {
            let text = config_of(plugin).to_string();
            seeds.push([&[choice(plugin, command)], text.as_bytes()].concat());
        }
    }
    seeds
}

/// Standard input of any plugin, any command. What ADD made is deleted with the same bytes, and
/// with the usual ones.
fn configuration(node: &Node, data: &[u8]) {
    let Some((plugin, command, stdin)) = chosen(data) else {
        return;
    };
    prepare_flannel();
    node.call(plugin, node.env(command), stdin);
    if command == "ADD" {
        node.release(plugin, stdin);
        node.release(plugin, config_of(plugin.name()).to_string().as_bytes());
    }
}

/// What netd leaves for its plugins.
fn prepare_flannel() {
    let text = subnet_envs().remove(0);
    fs::write("/run/subnet.env", text).unwrap();
}

fn results() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for plugin in PLUGINS.iter().map(|plugin| plugin.name()) {
        for command in ["ADD", "DEL", "CHECK"] {
            let text = result().to_string();
            seeds.push([&[choice(plugin, command)], text.as_bytes()].concat());
        }
    }
    seeds
}

/// The result of the plugins before, or of ADD.
fn prev_result(node: &Node, data: &[u8]) {
    let Some((plugin, command, result)) = chosen(data) else {
        return;
    };
    prepare_flannel();
    let mut config = config_of(plugin.name());
    config["prevResult"] = Value::Null;
    let text = config.to_string();
    let (before, behind) = text.split_once("\"prevResult\":null").unwrap();
    let parts = [
        before.as_bytes(),
        b"\"prevResult\":",
        result,
        behind.as_bytes(),
    ];
    node.call(plugin, node.env(command), &parts.concat());
    if command == "ADD" {
        node.release(plugin, text.as_bytes());
    }
}

fn environments() -> Vec<Vec<u8>> {
    let usual = "CNI_COMMAND=ADD\nCNI_CONTAINERID=ctr1\nCNI_IFNAME=eth0\nCNI_NETNS=/run/netns/pod\n\
                 CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAME=a;IP=10.22.0.9;GATEWAY=10.22.0.1;MAC=02:11:22:33:44:55";
    let lines = |plugin: &str| [&[choice(plugin, "ADD")], usual.as_bytes()].concat();
    PLUGINS.iter().map(|plugin| lines(plugin.name())).collect()
}

/// The environment, a variable a line.
fn arguments(node: &Node, data: &[u8]) {
    let Some((plugin, _, lines)) = chosen(data) else {
        return;
    };
    prepare_flannel();
    let text = String::from_utf8_lossy(lines);
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let mut env: Env = pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let path = node.env("ADD").remove("CNI_PATH").unwrap();
    env.insert("CNI_PATH".to_owned(), path);
    let config = config_of(plugin.name()).to_string();
    node.call(plugin, env.clone(), config.as_bytes());
    env.insert("CNI_COMMAND".to_owned(), "DEL".to_owned());
    node.call(plugin, env, config.as_bytes());
}

fn subnet_envs() -> Vec<Vec<u8>> {
    vec![
        b"FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_IPV6_NETWORK=fd44::/48\n\
          FLANNEL_IPV6_SUBNET=fd44:0:0:3::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
            .to_vec(),
        b"FLANNEL_NETWORK=10.244.0.0/16,10.245.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\n".to_vec(),
    ]
}

/// The file that flannel's plugin reads, by itself and through the plugin.
fn subnet_env(node: &Node, data: &[u8]) {
    // The plugin waits a while for a file that may be half-written.
    if SubnetEnv::parse(&String::from_utf8_lossy(data)).is_err() {
        return;
    }
    fs::write("/run/subnet.env", data).unwrap();
    let config = config_of("flannel").to_string();
    node.call(&flannel::FLANNEL, node.env("ADD"), config.as_bytes());
    node.release(&flannel::FLANNEL, config.as_bytes());
}

/// An ACK as a server sends it: IPv4, UDP, BOOTP (RFC 2131 figure 1), options (RFC 2132, 3442).
fn packets() -> Vec<Vec<u8>> {
    let mut bootp = vec![2, 1, 6, 0, 1, 2, 3, 4, 0, 0, 0, 0];
    bootp.extend([
        0, 0, 0, 0, 10, 0, 0, 5, 10, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1,
    ]);
    bootp.resize(236, 0);
    bootp.extend([
        99, 130, 83, 99, 53, 1, 5, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 14, 16, 1, 4,
    ]);
    bootp.extend([
        255, 255, 255, 0, 3, 4, 10, 0, 0, 1, 6, 8, 8, 8, 8, 8, 9, 9, 9, 9, 15, 3, 97,
    ]);
    bootp.extend([
        46, 98, 121, 8, 24, 10, 1, 2, 10, 0, 0, 9, 33, 8, 10, 9, 0, 0, 10, 0, 0, 1, 58,
    ]);
    bootp.extend([4, 0, 0, 7, 8, 59, 4, 0, 0, 12, 16, 52, 1, 3, 255]);
    let total = u16::try_from(bootp.len() + 28).unwrap().to_be_bytes();
    let datagram = u16::try_from(bootp.len() + 8).unwrap().to_be_bytes();
    let mut packet = vec![0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend([
        10,
        0,
        0,
        1,
        255,
        255,
        255,
        255,
        0,
        67,
        0,
        68,
        datagram[0],
        datagram[1],
        0,
        0,
    ]);
    packet.extend(&bootp);
    vec![packet, bootp]
}

/// The example of Go's package encoding/gob, and one that ends early.
fn streams() -> Vec<Vec<u8>> {
    let example = vec![
        0x1f, 0xff, 0x81, 0x03, 0x01, 0x01, 0x05, 0x50, 0x6f, 0x69, 0x6e, 0x74, 0x01, 0xff, 0x82,
        0x00, 0x01, 0x02, 0x01, 0x01, 0x58, 0x01, 0x04, 0x00, 0x01, 0x01, 0x59, 0x01, 0x04, 0x00,
        0x00, 0x00, 0x07, 0xff, 0x82, 0x01, 0x2c, 0x01, 0x42, 0x00,
    ];
    vec![example[..20].to_vec(), example]
}

fn reservations() -> Vec<Vec<u8>> {
    vec![
        b"10.22.0.9\0ctr1\r\neth0".to_vec(),
        b"10.22.0.9\0ctr1".to_vec(),
        b"fd22::9\0ctr2\r\neth0".to_vec(),
        b"last_reserved_ip.0\x0010.22.0.20".to_vec(),
    ]
}

/// A file in host-local's directory: its name, a zero, what it says.
fn reservation(node: &Node, data: &[u8]) {
    let (name, content) = match data.iter().position(|&byte| byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &data[..0]),
    };
    let name = String::from_utf8_lossy(name).replace(['/', '\0'], "_");
    let directory = std::path::Path::new("/var/lib/cni/networks/net");
    fs::create_dir_all(directory).unwrap();
    // Names that no directory can hold are no input.
    if fs::write(directory.join(name), content).is_err() {
        return;
    }
    let config = config_of("host-local").to_string();
    for command in ["ADD", "CHECK", "STATUS", "GC", "DEL"] {
        node.call(&ipam::HOST_LOCAL, node.env(command), config.as_bytes());
    }
    fs::remove_dir_all(directory).unwrap();
}

/// An IPv4 packet with what follows its header, whose checksum a target puts right.
fn ipv4(source: u8, destination: u8, protocol: u8, rest: &[u8]) -> Vec<u8> {
    let length = (20 + rest.len()) as u16;
    let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, protocol, 0, 0];
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet.extend([10, source, 0, 1, 10, destination, 0, 1]);
    let words = packet.chunks(2);
    let mut sum: u32 = words
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    sum = (sum & 0xffff) + (sum >> 16);
    packet[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    packet.extend(rest);
    packet
}

fn segment(sequence: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut segment = vec![0x13, 0x88, 0x17, 0x70];
    segment.extend(sequence.to_be_bytes());
    segment.extend([0, 0, 0, 7, 0x50, flags, 1, 0, 0, 0, 0, 0]);
    segment.extend(data);
    segment
}

fn datagram(data: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0x13, 0x88, 0x17, 0x70, 0, 8 + data.len() as u8, 0, 0];
    datagram.extend(data);
    datagram
}

/// The length of the first, and datagrams as they come from another node.
fn datagrams() -> Vec<Vec<u8>> {
    let together = |packets: &[Vec<u8>]| {
        let size = packets[0].len() as u16;
        [&size.to_be_bytes()[..], &packets.concat()].concat()
    };
    let tcp = |n: u32| ipv4(2, 1, 6, &segment(100 * n, 0x10, &[7; 100]));
    let udp = |length| ipv4(2, 1, 17, &datagram(&vec![7; length]));
    vec![
        together(&[tcp(0), tcp(1), ipv4(2, 1, 6, &segment(200, 0x18, b"end"))]),
        together(&[udp(60), udp(60), udp(7)]),
        together(&[ipv4(2, 1, 1, &[8, 0, 0, 0, 0, 1, 0, 1]), udp(0)]),
        together(&[ipv4(2, 3, 17, &datagram(b"not ours"))]),
    ]
}

/// The kernel's header, and a packet as it comes from a tun device: one, one with an unfinished checksum,
/// several segments, several datagrams.
fn tun_packets() -> Vec<Vec<u8>> {
    let vnet = |flags: u8, kind: u8, size: u16, at: u16| {
        let fields = [40, size, 20, at].map(u16::to_ne_bytes);
        [&[flags, kind][..], &fields.concat()].concat()
    };
    let tcp = ipv4(1, 2, 6, &segment(7, 0x18, &[7; 250]));
    let udp = ipv4(1, 2, 17, &datagram(&[7; 200]));
    vec![
        [vnet(0, 0, 0, 0), udp.clone()].concat(),
        [vnet(1, 0, 0, 6), udp.clone()].concat(),
        [vnet(1, 1, 100, 16), tcp].concat(),
        [vnet(1, 5, 100, 6), udp].concat(),
        [vnet(0, 0, 0, 0), ipv4(1, 9, 17, &datagram(b"nowhere"))].concat(),
    ]
}

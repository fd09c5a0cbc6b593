//! Two pods on one bridge, one on another, and a machine outside.

use harness::{sh, succeeds, with_prev_result};
use serde_json::{Value, json};

pub type Host = harness::Host<firewall::Firewall>;

/// Where a test's pods are.
pub const POD: Place = Place {
    name: "pod",
    bridge: "br0",
    net: 88,
};
pub const NEAR: Place = Place {
    name: "near",
    bridge: "br0",
    net: 98,
};
pub const FAR: Place = Place {
    name: "far",
    bridge: "br1",
    net: 99,
};
pub const OUTSIDE: [&str; 2] = ["192.0.2.2", "2001:db8:ffff::2"];

/// A pod in a subnet of its own: 10.NET.0.5 and 2001:db8:NET::5.
#[derive(Clone, Copy)]
pub struct Place {
    pub name: &'static str,
    pub bridge: &'static str,
    pub net: u8,
}

impl Place {
    pub fn addresses(self) -> [String; 2] {
        [
            format!("10.{}.0.5", self.net),
            format!("2001:db8:{}::5", self.net),
        ]
    }

    /// What the runtime sets for it.
    pub fn env(self) -> [(&'static str, &'static str); 2] {
        let netns: &'static str = Box::leak(format!("/run/netns/{}", self.name).into());
        [("CNI_CONTAINERID", self.name), ("CNI_NETNS", netns)]
    }

    /// The configuration behind a bridge plugin.
    pub fn config(self, more: &Value) -> String {
        let mut config = json!({ "cniVersion": "1.1.0", "name": "dbnet", "type": "firewall" });
        let object = config.as_object_mut().unwrap();
        object.extend(more.as_object().unwrap().clone());
        let [four, six] = self.addresses();
        let result = json!({
            "cniVersion": "1.1.0",
            "interfaces": [
                { "name": self.bridge },
                { "name": format!("v{}", self.name) },
                { "name": "eth0", "sandbox": format!("/run/netns/{}", self.name) },
            ],
            "ips": [
                { "address": format!("{four}/24"), "interface": 2 },
                { "address": format!("{six}/64"), "interface": 2 },
            ],
        });
        with_prev_result(&config.to_string(), &result)
    }

    fn wire(self, host: &Host) {
        let Self { name, bridge, net } = self;
        if name != "pod" {
            host.world.pod(name);
        }
        sh(&format!(
            "ip netns exec {name} sysctl -qw net.ipv6.conf.default.accept_dad=0
            ip link show {bridge} >/dev/null 2>&1 || ip link add {bridge} type bridge
            ip link set {bridge} up
            ip link add v{name} type veth peer name eth0 netns {name}
            ip link set v{name} master {bridge} up
            ip address add 10.{net}.0.1/24 dev {bridge}
            ip address add 2001:db8:{net}::1/64 dev {bridge} nodad
            ip -n {name} link set eth0 up
            ip -n {name} address add 10.{net}.0.5/24 dev eth0
            ip -n {name} address add 2001:db8:{net}::5/64 dev eth0 nodad
            ip -n {name} route add default via 10.{net}.0.1
            ip -n {name} -6 route add default via 2001:db8:{net}::1"
        ));
    }

    pub fn reaches(self, address: &str) -> bool {
        reaches(self.name, address)
    }

    pub fn is_cut_off_from(self, address: &str) -> bool {
        is_silent(self.name, address)
    }
}

/// Waits for the first answer, however long the neighbours take to know each other.
pub fn reaches(from: &str, address: &str) -> bool {
    succeeds(&format!(
        "ip netns exec {from} ping -c 1 -i 0.2 -w 60 {address}"
    ))
}

pub fn is_silent(from: &str, address: &str) -> bool {
    !succeeds(&format!(
        "ip netns exec {from} ping -c 1 -i 0.2 -w 1 {address}"
    ))
}

/// The pods and the machine outside, with a packet filter that drops what nothing lets through, also
/// between ports of a bridge.
pub fn populate(host: &Host) {
    sh(
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
        net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1",
    );
    for place in [POD, NEAR, FAR] {
        place.wire(host);
    }
    host.world.pod("outside");
    sh("ip link add out0 type veth peer name eth0 netns outside
        ip link set out0 up
        ip address add 192.0.2.1/24 dev out0
        ip address add 2001:db8:ffff::1/64 dev out0 nodad
        ip -n outside link set eth0 up
        ip -n outside address add 192.0.2.2/24 dev eth0
        ip -n outside address add 2001:db8:ffff::2/64 dev eth0 nodad
        ip -n outside route add 10.0.0.0/8 via 192.0.2.1
        ip -n outside -6 route add 2001:db8::/32 via 2001:db8:ffff::1");
}

/// The same, with FORWARD's policy DROP in both families.
pub fn populate_closed(host: &Host) {
    populate(host);
    sh("iptables -P FORWARD DROP; ip6tables -P FORWARD DROP");
}

/// Runs the test on a thread of its own, in a world of its own; not at all without privileges.
pub fn in_own_world(test: impl FnOnce(&Host) + Send) {
    harness::in_own_world(Host::new, test)
}

/// ADD of a pod that is there.
pub fn add(host: &Host, place: Place, more: &Value) {
    host.add_with(&place.config(more), &place.env());
}

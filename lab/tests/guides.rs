//! The commands of docs/migrate-from-flannel.md and of deploy/README.md, run as they stand there: on a node
//! that looks as flanneld leaves one (its files, device, routes, rules and lease, and a pod of the reference
//! plugins'), and on two machines that have nothing yet.
//!
//! A node is a PID, mount and network namespace: what is written is in memory, what is started ends with it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/readme.rs"]
mod readme;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use kernel::testing::World;
use readme::blocks_of;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// systemd in the test: flanneld is a process that does nothing; netd and etcd start with their units'
/// environments.
const SYSTEMCTL: &str = r#"#!/bin/sh
set -eu
for service; do :; done
pid=/run/systemctl.$service.pid log=/run/$service.log
alive() { # nobody waits for what has ended here
    grep -q '^State:.[^Z]' "/proc/$(cat "$pid")/status" 2>/dev/null
}
stop() {
    kill "$(cat "$pid")"
    while alive; do sleep 0.01; done
    rm "$pid"
}
start() { # ENVIRONMENT READY COMMAND...
    environment=$1 ready=$2
    shift 2
    set -a; . "$environment"; set +a
    setsid "$@" >>"$log" 2>&1 &
    echo $! >"$pid"
    until sh -c "$ready" >/dev/null 2>&1; do
        alive || { cat "$log" >&2; exit 1; }
        sleep 0.02
    done
}
case "$*" in
    "disable --now "*) stop ;;
    "enable --now flanneld") start /dev/null true sleep infinity ;;
    "enable --now netd") start /etc/podwire/netd.env "netd status | head -n 1 | grep ready" netd ;;
    "restart etcd")
        start /etc/default/etcd "etcdctl --endpoints http://192.0.2.10:2379 endpoint health" \
            etcd --data-dir /run/etcd ;;
    daemon-reload) ;;
    *) exit 2 ;;
esac
"#;

/// What becomes the first process of a node: the machine's files, with what is written in memory.
const BOOT: &str = r#"
    mount --make-rprivate /
    mount -t tmpfs tmpfs /mnt
    for place in /etc /opt /usr /var; do
        mkdir -p /mnt/upper$place /mnt/work$place
        mount -t overlay -o lowerdir=$place,upperdir=/mnt/upper$place,workdir=/mnt/work$place none $place
    done
    rm -rf /opt/cni /etc/cni /etc/podwire /etc/default/etcd /var/lib/cni /var/lib/podwire /usr/local/sbin/*
    mkdir -p /opt/cni/bin /etc/cni/net.d /etc/default /var/lib /mnt/home
    mount -t tmpfs tmpfs /run
    mount -t sysfs sysfs /sys
    mkdir /run/netns
    ip link set lo up
    for family in ipv4 ipv6; do echo 1 >/proc/sys/net/$family/conf/all/forwarding; done
    touch /run/booted
    exec sleep infinity
"#;

/// A machine, with nothing of podwire's but the executables in its administrator's directory, /mnt/home.
struct Node {
    holder: Child,
    first: String,
}

#[allow(clippy::disallowed_methods, reason = "the administrator's shell")]
fn shell(script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-euc", script]).stdin(Stdio::null());
    shell
}

#[track_caller]
fn succeeded(output: &Output, script: &str) -> String {
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{script}\n{stdout}{stderr}");
    stdout.into_owned()
}

impl Node {
    /// On the world's bridge `lan`, with `192.0.2.<n>` on `eth0`.
    fn boot(n: u8) -> Self {
        let boot =
            "exec unshare --mount --net --pid --fork --kill-child --mount-proc sh -euc \"$1\"";
        let mut holder = shell(boot);
        holder.args(["sh", BOOT]).stdout(Stdio::null());
        let mut node = Self {
            holder: holder.spawn().unwrap(),
            first: String::new(),
        };
        let parent = node.holder.id();
        let deadline = Instant::now() + Duration::from_secs(60);
        while node.first.is_empty() || !node.run("test -e /run/booted").status.success() {
            assert!(Instant::now() < deadline, "node {n} does not boot");
            let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
            children.unwrap().trim().clone_into(&mut node.first);
            std::thread::sleep(Duration::from_millis(20));
        }
        let wire = format!(
            "ip link add node{n} type veth peer name eth0 netns {}
             ip link set node{n} master lan up",
            node.first
        );
        succeeded(&shell(&wire).output().unwrap(), &wire);
        node.ok(&format!(
            "ip address add 192.0.2.{n}/24 dev eth0 && ip link set eth0 up"
        ));
        for name in ["podwire", "netd"] {
            let built = Path::new(env!("CARGO_BIN_EXE_lab")).with_file_name(name);
            node.ok(&format!("ln -s {} {name}", built.display()));
        }
        node.ok(&format!("ln -s {ROOT}/deploy deploy"));
        node.write("/usr/local/sbin/systemctl", SYSTEMCTL);
        node.ok("chmod 755 /usr/local/sbin/systemctl");
        node
    }

    fn run(&self, script: &str) -> Output {
        let mut enter = shell("exec nsenter --target \"$1\" --all --wdns=/mnt/home sh -euc \"$2\"");
        enter.args(["sh", &self.first, script]).output().unwrap()
    }

    /// Runs what must succeed; its standard output.
    #[track_caller]
    fn ok(&self, script: &str) -> String {
        succeeded(&self.run(script), script)
    }

    fn write(&self, path: &str, text: &str) {
        self.ok(&format!("cat >{path} <<'END OF FILE'\n{text}\nEND OF FILE"));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A world with a network that nodes can be on.
fn lan() -> Option<World> {
    let world = World::new()?;
    let make = "ip link add lan type bridge && ip link set lan up";
    succeeded(&shell(make).output().unwrap(), make);
    Some(world)
}

/// As in recordings of flanneld with vxlan: `ip -d link`, `ip route`, `ip neigh`, `bridge fdb`, `iptables -S`.
const FLANNELD_LEFT: &str = r#"
    ip link add flannel.1 address 8a:55:71:00:00:10 type vxlan id 1 local 192.0.2.10 dev eth0 dstport 8472 nolearning
    ip link set flannel.1 mtu 1450 up
    ip address add 10.244.25.0/32 dev flannel.1
    ip route add 10.244.60.0/24 via 10.244.60.0 dev flannel.1 onlink
    ip neigh add 10.244.60.0 lladdr 8a:55:71:00:00:20 dev flannel.1 nud permanent
    bridge fdb add 8a:55:71:00:00:20 dev flannel.1 dst 192.0.2.20 self permanent
    mkdir -p /run/flannel
    printf 'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.25.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n' \
        >/run/flannel/subnet.env
    masq='-m comment --comment "flanneld masq"' forward='-m comment --comment "flanneld forward"'
    iptables-restore --noflush <<END
*nat
:FLANNEL-POSTRTG - [0:0]
-A POSTROUTING $masq -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 $masq -j RETURN
-A FLANNEL-POSTRTG -s 10.244.25.0/24 -d 10.244.0.0/16 $masq -j RETURN
-A FLANNEL-POSTRTG -s 10.244.0.0/16 -d 10.244.25.0/24 $masq -j RETURN
-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.25.0/24 $masq -j RETURN
-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 $masq -j MASQUERADE --random-fully
-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.0.0/16 $masq -j MASQUERADE --random-fully
COMMIT
*filter
:FLANNEL-FWD - [0:0]
-A FORWARD $forward -j FLANNEL-FWD
-A FLANNEL-FWD -s 10.244.0.0/16 $forward -j ACCEPT
-A FLANNEL-FWD -d 10.244.0.0/16 $forward -j ACCEPT
COMMIT
END
    prefix=/coreos.com/network
    put() { etcdctl --endpoints http://192.0.2.10:2379 put --lease "$lease" "$prefix/subnets/$1" "$2" >/dev/null; }
    etcdctl --endpoints http://192.0.2.10:2379 put $prefix/config \
        '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}' >/dev/null
    lease=$(etcdctl --endpoints http://192.0.2.10:2379 lease grant 86400 | cut -d ' ' -f 2)
    value='{"PublicIP":"%s","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"%s"}}'
    put 10.244.25.0-24 "$(printf "$value" 192.0.2.10 8a:55:71:00:00:10)"
    put 10.244.60.0-24 "$(printf "$value" 192.0.2.20 8a:55:71:00:00:20)"
"#;

/// What flannel's plugin passes to bridge, and keeps for the pod's end.
const DELEGATE: &str = r#"{"cniVersion":"0.3.1","hairpinMode":true,"ipMasq":false,"ipam":{"ranges":[[{"subnet":"10.244.25.0/24"}]],"routes":[{"dst":"10.244.0.0/16"}],"type":"host-local"},"isDefaultGateway":true,"isGateway":true,"mtu":1450,"name":"cbr0","type":"bridge"}"#;
/// What the node's runtime has for its pods.
const CONFLIST: &str = r#"{"name":"cbr0","cniVersion":"0.3.1","plugins":[
    {"type":"flannel","delegate":{"hairpinMode":true,"isDefaultGateway":true}},
    {"type":"portmap","capabilities":{"portMappings":true}}]}"#;

fn flannels_node(node: &Node) {
    assert!(
        Path::new("/usr/lib/cni/bridge").exists(),
        "package containernetworking-plugins is missing"
    );
    node.ok("install -t /opt/cni/bin /usr/lib/cni/*
        install /bin/false /opt/cni/bin/flannel   # no package has flannel's own
        printf 'ETCD_%s_CLIENT_URLS=http://192.0.2.10:2379\n' LISTEN ADVERTISE >/etc/default/etcd
        systemctl restart etcd");
    node.write("/etc/cni/net.d/10-flannel.conflist", CONFLIST);
    node.ok(FLANNELD_LEFT);
    node.ok(
        "systemctl enable --now flanneld && ip netns add before && mkdir -p /var/lib/cni/flannel",
    );
    node.write("/var/lib/cni/flannel/before", DELEGATE);
    node.ok(&cni(
        "ADD",
        "bridge",
        "before",
        "/var/lib/cni/flannel/before",
    ));
}

fn cni(command: &str, plugin: &str, pod: &str, config: &str) -> String {
    format!(
        "CNI_COMMAND={command} CNI_CONTAINERID={pod} CNI_NETNS=/run/netns/{pod} CNI_IFNAME=eth0 \
         CNI_PATH=/opt/cni/bin /opt/cni/bin/{plugin} <{config}"
    )
}

/// Everything of the datapath that the other nodes and this one's pods live on. Who made a route is left out.
fn datapath(node: &Node) -> String {
    node.ok("ip -o link show flannel.1 | sed 's/ qdisc.*link/ link/'
        ip -o -4 address show dev flannel.1
        ip route show | sed 's/ proto [^ ]*//' | sort
        ip neigh show dev flannel.1 nud permanent; bridge fdb show dev flannel.1 | sort
        iptables -t nat -S FLANNEL-POSTRTG; iptables -S FLANNEL-FWD
        iptables -t nat -S POSTROUTING | grep FLANNEL; iptables -S FORWARD | grep FLANNEL
        cat /run/flannel/subnet.env
        etcdctl --endpoints http://192.0.2.10:2379 get --prefix /coreos.com/network")
}

/// The configuration of the conflist's first plugin, as a runtime passes it.
fn first_plugin(node: &Node, conflist: &str) {
    node.ok(&format!(
        "jq -c '{{cniVersion, name}} + .plugins[0]' {conflist} >first.json"
    ));
}

#[test]
fn the_commands_take_a_node_from_flannel_to_podwire_and_back() {
    let Some(_world) = lan() else { return };
    let node = Node::boot(10);
    flannels_node(&node);
    let before = datapath(&node);

    let page = blocks_of("docs/migrate-from-flannel.md");
    let blocks: Vec<&str> = page.iter().map(|block| block.text.as_str()).collect();
    // No cluster is here for the last one.
    let [look, plugins, netd, compare, back, _kubernetes] = blocks[..] else {
        panic!("the page has other blocks: {blocks:?}");
    };
    // Other people's plugins: from before, and installed while podwire is there.
    node.ok("echo first >/opt/cni/bin/calico");
    for block in [look, plugins, netd] {
        node.ok(block);
    }
    node.ok("echo new >/opt/cni/bin/calico; echo thick >/opt/cni/bin/multus");
    // A second time would keep podwire's plugins as those from before.
    let again = node.run(plugins);
    assert!(!again.status.success());
    let told = String::from_utf8_lossy(&again.stderr);
    assert!(told.contains("bin.before"), "{told}");
    node.ok("cmp /opt/cni/bin.before/bridge /usr/lib/cni/bridge");
    let status = node.ok(compare);
    assert!(
        status.lines().next().unwrap().contains(" ready"),
        "{status}"
    );
    assert_eq!(datapath(&node), before);

    // The pod from before goes on, a new one is attached, and podwire detaches the old one.
    first_plugin(&node, "/etc/cni/net.d/10-flannel.conflist");
    node.ok("ip netns add after");
    let added = node.ok(&cni("ADD", "flannel", "after", "first.json"));
    assert!(added.contains("10.244.25.3/24"), "{added}");
    node.ok("ip netns exec after ping -c 1 -W 10 10.244.25.2
        ip netns exec before ping -c 1 -W 10 192.0.2.10");
    node.ok(&cni("DEL", "flannel", "before", "first.json"));
    assert_eq!(node.ok("ls /sys/class/net/cni0/brif | wc -l"), "1\n");

    node.ok(back);
    assert_eq!(datapath(&node), before, "as flanneld left it");
    assert_eq!(
        node.ok("cat /opt/cni/bin/calico /opt/cni/bin/multus"),
        "new\nthick\n"
    );
    node.ok("for name in /usr/lib/cni/*; do cmp \"/opt/cni/bin/${name##*/}\" \"$name\"; done
        [ ! -e /opt/cni/bin/vxlan ] && [ ! -e /opt/cni/bin/host-gw ]
        [ ! -e /opt/cni/bin/podwire ] && [ ! -e /opt/cni/bin.before ] && [ ! -e /etc/podwire/netd.env ]");
    node.ok(&cni("DEL", "bridge", "after", "/var/lib/cni/flannel/after"));
    assert_eq!(node.ok("ls /sys/class/net/cni0/brif | wc -l"), "0\n");
}

#[test]
fn two_nodes_talk_by_the_newcomers_commands() {
    let Some(_world) = lan() else { return };
    let page = blocks_of("deploy/README.md");
    let blocks: Vec<&str> = page.iter().map(|block| block.text.as_str()).collect();
    let [packages, store, netd] = blocks[..] else {
        panic!("the page has other blocks: {blocks:?}");
    };
    // Packages are made and installed by a test of their own; here is what they bring.
    assert_eq!(
        packages,
        "dpkg -i podwire-cni-plugins_*.deb podwire-netd_*.deb\n"
    );
    let nodes = [10, 20].map(Node::boot);
    for node in &nodes {
        node.ok("./podwire install --bin-dir /usr/lib/cni
            ln -s /usr/lib/cni/* /opt/cni/bin/ && ln -s /usr/lib/cni/podwire /usr/local/sbin/podwire
            install -D netd /usr/local/sbin/netd && install -D -m 0644 deploy/netd.env /etc/podwire/netd.env");
    }
    nodes[0].ok(store);
    let [first, second] = nodes.each_ref().map(|node| {
        let said = node.ok(netd);
        assert!(said.contains(" ready"), "{said}");
        first_plugin(node, "/etc/cni/net.d/10-podwire.conflist");
        node.ok("ip netns add pod");
        let result = node.ok(&cni("ADD", "vxlan", "pod", "first.json"));
        let result: serde_json::Value = serde_json::from_str(&result).unwrap();
        let address = result["ips"][0]["address"].as_str().unwrap();
        address.split('/').next().unwrap().to_owned()
    });
    for (node, other) in [(&nodes[0], &second), (&nodes[1], &first)] {
        // The first packets may come before the other's lease.
        node.ok(&format!("ip netns exec pod ping -c 1 -i 0.2 -w 15 {other}"));
    }
}

use std::net::IpAddr;
use std::time::Duration;

use cluster::SubnetEnv;
use kernel::MacAddr;

use super::super::facts::{CniConfig, Daemon, Dropping, Link, Peer, PortHolder};
use super::*;

fn env(text: &str) -> Option<Result<SubnetEnv, String>> {
    Some(SubnetEnv::parse(text).map_err(|error| error.to_string()))
}

const ENV: &str = "FLANNEL_NETWORK=10.100.0.0/16\nFLANNEL_SUBNET=10.100.3.1/24\nFLANNEL_MTU=1450\n\
                   FLANNEL_IPMASQ=true\n";

fn link(name: &str, index: u32, mtu: u32) -> Link {
    Link {
        name: name.to_owned(),
        index,
        mtu,
        up: true,
        ..Link::default()
    }
}

fn peer() -> Peer {
    let mac = Some(MacAddr([2, 0, 0, 0, 0, 7]));
    let public: IpAddr = "192.0.2.7".parse().expect("address");
    Peer {
        subnet: "10.100.7.0/24".parse().expect("subnet"),
        public,
        device: "flannel.1".to_owned(),
        leaves_by: Some("flannel.1".to_owned()),
        reached_by: Some("eth0".to_owned()),
        mac,
        neighbour: mac,
        endpoint: Some(public),
    }
}

fn holder(who: &str, is_silent_netd: bool) -> PortHolder {
    PortHolder {
        who: who.to_owned(),
        is_silent_netd,
    }
}

fn dropping(is_netds: bool) -> Dropping {
    Dropping {
        name: "the chain FORWARD of iptables".to_owned(),
        network: "10.100.0.0/16".parse().expect("network"),
        accepts_pods: false,
        command: "iptables -I FORWARD -s 10.100.0.0/16 -j ACCEPT".to_owned(),
        is_netds,
    }
}

/// A node on which nothing is wrong.
fn healthy() -> Facts {
    let tunnel = Link {
        tunnel: Some((50, Some(2))),
        ..link("flannel.1", 3, 1450)
    };
    let bridge = Link {
        bridge: true,
        addresses: vec!["10.100.3.1/24".parse().expect("address")],
        ..link("cni0", 4, 1450)
    };
    Facts {
        daemon: Some(Daemon {
            mtu: 1450,
            subnets: "10.100.3.0/24".to_owned(),
            ..Daemon::default()
        }),
        subnet_file: "/run/flannel/subnet.env".to_owned(),
        subnet_env: env(ENV),
        external: "eth0".to_owned(),
        families: vec![Family::V4],
        forwarding: vec![Family::V4],
        bridge_netfilter: Some(true),
        links: vec![link("eth0", 2, 1500), tunnel, bridge],
        conntrack: Some((100, 262_144)),
        port: Some(8472),
        store: Some(Ok(Duration::from_millis(2))),
        peers: vec![peer()],
        ..Facts::default()
    }
}

#[test]
fn a_healthy_node_has_a_line_for_each_check_and_no_finding() {
    let told = judge(&healthy());
    assert!(told.iter().all(|finding| finding.ok), "{told:#?}");
    let checks: Vec<&str> = told.iter().map(|finding| finding.check).collect();
    let names: Vec<&str> = CHECKS.iter().map(|(name, _)| *name).collect();
    assert_eq!(checks, names);
}

type Break = fn(&mut Facts);

fn set_ports(facts: &mut Facts, ports: SourcePorts) {
    if let Some(daemon) = &mut facts.daemon {
        daemon.source_ports = Some(ports);
    }
}

#[test]
fn what_the_operator_decided_of_source_ports_is_said_and_not_wrong() {
    for (ports, said) in [
        (
            SourcePorts::Random,
            "masqueraded connections get source ports at random",
        ),
        (
            SourcePorts::Disabled,
            "masqueraded connections do not get source ports at random, as",
        ),
    ] {
        let mut facts = healthy();
        set_ports(&mut facts, ports);
        let told = judge(&facts);
        let told: Vec<_> = told
            .iter()
            .filter(|found| found.check == "source-ports")
            .collect();
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].ok && told[0].found.starts_with(said), "{told:#?}");
    }
}

#[test]
fn each_fault_is_found_by_its_check_and_mended_by_its_command() {
    let faults: &[(&str, Break, &str, &str)] = &[
        ("daemon", |f| f.daemon = None, "", "systemctl restart netd"),
        (
            "store",
            |f| f.store = Some(Err("refused".to_owned())),
            "the store does not answer: refused",
            "bring the store back",
        ),
        (
            "store",
            |f| f.store = Some(Ok(Duration::from_millis(900))),
            "the store took 900 ms",
            "look at etcd's disk",
        ),
        (
            "subnet-env",
            |f| f.subnet_env = None,
            "/run/flannel/subnet.env is missing",
            "restart",
        ),
        (
            "subnet-env",
            |f| f.subnet_env = env("x"),
            "/run/flannel/subnet.env: ",
            "restart",
        ),
        (
            "subnet-env",
            |f| {
                if let Some(daemon) = &mut f.daemon {
                    daemon.mtu = 1460;
                }
            },
            "/run/flannel/subnet.env says FLANNEL_MTU=1450, and 1460 is right",
            "restart",
        ),
        (
            "forwarding",
            |f| f.forwarding.clear(),
            "IPv4 packets are not forwarded",
            "sysctl -w net.ipv4.ip_forward=1",
        ),
        (
            "br-netfilter",
            |f| f.bridge_netfilter = None,
            "the kernel module br_netfilter is not loaded",
            "modprobe br_netfilter",
        ),
        (
            "br-netfilter",
            |f| f.bridge_netfilter = Some(false),
            "iptables does not see",
            "sysctl -w net.bridge.bridge-nf-call-iptables=1",
        ),
        (
            "forward-policy",
            |f| f.dropping.push(dropping(true)),
            "the chain FORWARD of iptables drops what no rule accepts, and none accepts what pods \
             of 10.100.0.0/16 send each other",
            "iptables -I FORWARD -s 10.100.0.0/16 -j ACCEPT; or have netd keep such rules",
        ),
        (
            "forward-policy",
            |f| f.dropping.push(dropping(false)),
            "the chain FORWARD of iptables drops",
            "iptables -I FORWARD -s 10.100.0.0/16 -j ACCEPT; for good, ",
        ),
        (
            "conntrack",
            |f| f.conntrack = Some((90, 100)),
            "90 of at most 100 connections are tracked",
            "sysctl -w net.netfilter.nf_conntrack_max=200",
        ),
        (
            "source-ports",
            |f| set_ports(f, SourcePorts::Refused),
            "masqueraded connections do not get source ports at random: iptables or the kernel",
            "install iptables 1.6.2 or newer",
        ),
        (
            "mtu",
            |f| f.links[1].mtu = 1500,
            "flannel.1 has MTU 1500, and eth0 carries 1450",
            "ip link set flannel.1 mtu 1450",
        ),
        (
            "mtu",
            |f| f.links[2].mtu = 1500,
            "cni0 has MTU 1500, and pods should have 1450",
            "ip link set cni0 mtu 1450",
        ),
        (
            "bridge-address",
            |f| f.links[2].addresses = vec!["10.100.9.1/24".parse().expect("address")],
            "cni0 has 10.100.9.1/24, and this node's subnet is 10.100.3.0/24",
            "ip link del cni0",
        ),
        (
            "udp-port",
            |f| f.port_holders.push(holder("dnsmasq (process 7)", false)),
            "UDP port 8472, which the tunnel needs, is held by dnsmasq (process 7)",
            "stop that program",
        ),
        (
            "udp-port",
            |f| {
                f.port_holders
                    .push(holder("netd (process 7), which is silent", true))
            },
            "UDP port 8472, which the tunnel needs, is held by netd (process 7), which is silent",
            "give netd doctor the -status-socket",
        ),
        (
            "device",
            |f| f.links[1].up = false,
            "flannel.1 is down",
            "ip link set flannel.1 up",
        ),
        (
            "peers",
            |f| f.peers[0].neighbour = None,
            "the neighbour 10.100.7.0 of 10.100.7.0/24 is none, not 02:00:00:00:00:07",
            "ip neigh replace 10.100.7.0 lladdr 02:00:00:00:00:07 dev flannel.1 nud permanent",
        ),
        (
            "peers",
            |f| f.peers[0].endpoint = "192.0.2.9".parse().ok(),
            "the FDB says that 02:00:00:00:00:07 is behind 192.0.2.9, not 192.0.2.7",
            "bridge fdb replace 02:00:00:00:00:07 dev flannel.1 dst 192.0.2.7 self permanent",
        ),
        (
            "routes",
            |f| f.peers[0].leaves_by = Some("eth1".to_owned()),
            "packets to 10.100.7.0/24 leave by eth1, and flannel.1 is right",
            "see which route",
        ),
        (
            "routes",
            |f| f.peers[0].leaves_by = None,
            "there is no way to 10.100.7.0/24",
            "see which route",
        ),
        (
            "rp-filter",
            |f| {
                f.links[0].rp_filter = 1;
                f.peers[0].reached_by = Some("eth1".to_owned());
            },
            "rp_filter of eth0 is strict, and the way back to 192.0.2.7",
            "sysctl -w net.ipv4.conf.eth0.rp_filter=2",
        ),
        (
            "checksum",
            |f| {
                f.bad_checksums.udp = 3;
                f.links[1].name = "flannel.7".to_owned();
                f.peers.clear();
            },
            "3 UDP and 0 TCP packets came with a wrong checksum while this was looked at",
            "on the nodes that send them: ethtool -K flannel.7 tx off (netd keeps it so",
        ),
        (
            "checksum",
            |f| {
                f.bad_checksums.tcp = 1;
                f.links.remove(1);
                f.peers.clear();
            },
            "0 UDP and 1 TCP packets",
            "on the nodes that send them: ethtool -K eth0 tx off",
        ),
        (
            "other-cni",
            |f| f.links.push(link("cilium_host", 9, 1500)),
            "the link cilium_host is of Cilium",
            "uninstall Cilium",
        ),
        (
            "other-cni",
            |f| {
                f.cni_configs.push(CniConfig {
                    file: "05-x.conflist".to_owned(),
                    plugin: "calico".to_owned(),
                });
            },
            "/etc/cni/net.d/05-x.conflist is the first configuration",
            "see whether 05-x.conflist shall attach pods",
        ),
    ];
    for (check, fault, found, mend) in faults {
        let mut facts = healthy();
        fault(&mut facts);
        let told = judge(&facts);
        let wrong: Vec<&Finding> = told.iter().filter(|finding| !finding.ok).collect();
        assert_eq!(wrong.len(), 1, "{check}: {wrong:#?}");
        assert_eq!(wrong[0].check, *check);
        assert!(wrong[0].found.starts_with(found), "{found}: {wrong:#?}");
        assert!(wrong[0].mend.starts_with(mend), "{mend}: {wrong:#?}");
        assert!(!wrong[0].means.is_empty(), "{wrong:#?}");
    }
    let named: Vec<&str> = faults.iter().map(|(check, ..)| *check).collect();
    for (check, _) in CHECKS {
        assert!(named.contains(check), "{check} has no fault here");
    }
}

#[test]
fn what_netd_says_of_itself_is_a_finding() {
    let mut facts = healthy();
    if let Some(daemon) = &mut facts.daemon {
        daemon
            .problems
            .push(("bad".to_owned(), "do this".to_owned(), String::new()));
        daemon
            .problems
            .push(("worse".to_owned(), "do that".to_owned(), "that".to_owned()));
    }
    let told = judge(&facts);
    let told: Vec<_> = told.iter().filter(|finding| !finding.ok).collect();
    assert_eq!(told.len(), 2);
    assert_eq!(
        (told[0].found.as_str(), told[0].mend.as_str()),
        ("bad", "do this")
    );
    assert_eq!(
        (told[1].found.as_str(), told[1].mend.as_str()),
        ("worse", "that")
    );
}

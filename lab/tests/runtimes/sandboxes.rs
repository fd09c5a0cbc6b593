//! Pods as the kubelet has them made: sandboxes by containerd's CRI socket, with both families, a
//! mapped port and a limited rate, through a chain of all plugins that a Kubernetes node has.

use std::{collections::HashMap, fs};

use kernel::testing::World;
use serde_json::{Value, json};

use crate::{
    command::run,
    cri::{Cri, Linux, Metadata, PortMapping, Sandbox},
    daemon::Containerd,
    image::image,
    install,
};

const NETWORK: &str = "pods";
/// An address of the node that is not loopback's, and the host outside that uses it.
const NODE: [&str; 2] = ["198.51.100.1", "2001:db8::1"];
const OUTSIDE: [&str; 2] = ["198.51.100.2", "2001:db8::2"];

fn conflist() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": NETWORK,
        "plugins": [
            {
                "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": "10.85.0.0/16" }], [{ "subnet": "fd00:85::/64" }]],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
            { "type": "bandwidth", "capabilities": { "bandwidth": true } },
            { "type": "firewall" },
            { "type": "tuning", "sysctl": { "net.ipv4.conf.IFNAME.arp_filter": "1" } },
        ],
    })
}

fn sandbox(containerd: &Containerd, name: &str, host_port: i32) -> Sandbox {
    let annotations = [
        ("kubernetes.io/ingress-bandwidth", "100M"),
        ("kubernetes.io/egress-bandwidth", "50M"),
    ];
    Sandbox {
        metadata: Some(Metadata {
            name: name.to_owned(),
            uid: format!("uid-of-{name}"),
            namespace: "default".to_owned(),
        }),
        port_mappings: vec![PortMapping {
            protocol: 0,
            container_port: 80,
            host_port,
            host_ip: String::new(),
        }],
        annotations: HashMap::from(annotations.map(|(key, value)| (key.into(), value.into()))),
        linux: Some(Linux {
            cgroup_parent: format!("/{}", containerd.group()),
        }),
    }
}

/// A host beside the node.
fn connect_outside(world: &World) {
    world.pod("outside");
    run("ip link add out0 type veth peer name eth0 netns outside");
    for (node, outside, length) in [(NODE[0], OUTSIDE[0], 24), (NODE[1], OUTSIDE[1], 64)] {
        let duplicates = if length == 64 { " nodad" } else { "" };
        run(&format!(
            "ip address add {node}/{length} dev out0{duplicates}"
        ));
        run(&format!(
            "ip -n outside address add {outside}/{length} dev eth0{duplicates}"
        ));
    }
    run("ip link set out0 up");
    run("ip -n outside link set eth0 up");
    // Pods answer to whom they see: without masquerading on this side the way back is needed.
    run(&format!("ip -n outside route add default via {}", NODE[0]));
    run(&format!(
        "ip -n outside -6 route add default via {}",
        NODE[1]
    ));
}

/// The kernel's and the disk's state that pods change.
fn state() -> Vec<String> {
    let mut state: Vec<String> = Vec::new();
    for command in [
        "ip -o link",
        "ip route",
        "nft list ruleset",
        "tc qdisc",
        "ip rule",
    ] {
        let text = run(command);
        let lines = text
            .lines()
            .map(|line| format!("{command}: {}", line.trim_end()));
        state.extend(lines);
    }
    for directory in [
        "/var/lib/cni/networks/pods",
        "/var/lib/cni/results",
        "/run/cni",
        "/run/podwire",
    ] {
        state.extend(files(directory.as_ref()));
    }
    state
}

fn files(directory: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found.sort();
    found
}

/// Lines that name an address or the port of a pod, or a link made for one.
fn traces(addresses: &[String], host_port: i32) -> Vec<String> {
    let port = host_port.to_string();
    let is_trace = |line: &String| {
        line.contains("veth")
            || line.contains("bwp")
            || line.contains(&port)
            || addresses
                .iter()
                .any(|address| line.contains(address.as_str()))
    };
    state().into_iter().filter(is_trace).collect()
}

#[test]
fn sandboxes_of_the_kubelet_are_attached_reached_and_gone() {
    let Some(world) = World::new() else { return };
    install(NETWORK, &conflist().to_string());
    connect_outside(&world);
    let containerd = Containerd::start(&world);
    let archive = world.dir().join("image.tar");
    fs::write(&archive, image()).unwrap();
    containerd.import(&archive);
    let cri = Cri::connect(&containerd.socket());

    let pods: Vec<(String, i32)> = [("web-1", 8080), ("web-2", 8081)]
        .map(|(name, port)| (cri.run(sandbox(&containerd, name, port)).unwrap(), port))
        .to_vec();
    for (id, port) in &pods {
        let addresses = cri.addresses(id);
        assert_eq!(addresses.len(), 2, "{addresses:?}");
        for node in NODE {
            let host = if node.contains(':') {
                format!("[{node}]")
            } else {
                node.to_owned()
            };
            let url = format!("http://{host}:{port}/");
            let page = run(&format!(
                "ip netns exec outside curl -sS --max-time 20 --retry 9 --retry-connrefused {url}"
            ));
            assert_eq!(page, "a page\n", "{url}");
        }
        let page = run(&format!(
            "curl -sS --max-time 20 --retry 9 --retry-connrefused http://127.0.0.1:{port}/"
        ));
        assert_eq!(page, "a page\n");
    }
    let shaped = run("tc qdisc");
    assert_eq!(shaped.matches("rate 100Mbit").count(), 2, "{shaped}");
    assert_eq!(shaped.matches("rate 50Mbit").count(), 2, "{shaped}");

    // One host port cannot lead to two pods: the kubelet learns who has it.
    let taken = cri.run(sandbox(&containerd, "web-3", 8080)).unwrap_err();
    assert!(taken.message().contains("8080"), "{taken}");

    for (id, port) in &pods {
        let addresses = cri.addresses(id);
        assert!(!traces(&addresses, *port).is_empty());
        // The kubelet stops a sandbox as often as it likes.
        cri.stop(id).unwrap();
        cri.stop(id).unwrap();
        cri.remove(id).unwrap();
        for address in &addresses {
            let left = traces(std::slice::from_ref(address), *port);
            let left: Vec<&String> = left
                .iter()
                .filter(|line| line.contains(address) || line.contains(&port.to_string()))
                .collect();
            assert!(left.is_empty(), "{left:#?}");
        }
    }
    let left = traces(&[], 8080);
    assert!(left.is_empty(), "{left:#?}");
}

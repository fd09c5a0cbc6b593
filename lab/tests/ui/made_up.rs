//! Snapshots of clusters that nobody has built: as large, and as much in trouble, as they may be.

use serde_json::{Value, json};

fn rate(received: u64, sent: u64) -> Value {
    json!({ "received_bytes_per_second": received, "sent_bytes_per_second": sent })
}

fn node(number: usize, underlay: &str, netd: &str, pods: usize) -> Value {
    json!({
        "name": format!("n{number}"), "underlay": underlay, "addresses": [format!("192.168.50.{number}")],
        "subnets": [format!("10.244.{number}.0/24")], "netd": netd, "impairment": null, "pods": { "running": pods, "all": pods },
        "lease": { "state": "ends-in", "seconds": 86_000 }, "peers_known": 2, "peers_served": 2, "repairs": 1,
        "cable": rate(2_000_000, 30_000 * number as u64), "tunnel": rate(1_900_000, 28_000),
    })
}

fn pod(name: &str, node: usize, mood: &str, status: &str) -> Value {
    json!({
        "name": name, "node": format!("n{node}"), "ready": "1/1", "is_ready": mood == "good", "status": status,
        "mood": mood, "restarts": 2, "addresses": [format!("10.244.{node}.2")], "cpu_cores": 0.25,
        "memory_bytes": 20_000_000, "memory_limit_bytes": 64 << 20, "traffic": rate(1_000, 20),
        "containers": [{ "name": "main", "state": status }],
    })
}

fn path(from: usize, to: usize, reach: &str) -> Value {
    let lost = if reach == "yes" { 0 } else { 4 };
    json!({
        "from": format!("n{from}"), "to": format!("n{to}"), "state": "programmed", "reason": "",
        "probes": [{ "subnet": format!("10.244.{to}.0/24"), "state": reach, "round_trip_us": 180 + 40 * to,
            "sent": 20, "lost": lost, "full_sent": 20, "full_lost": lost }],
    })
}

fn cluster(
    underlays: &[(&str, &str)],
    nodes: Vec<Value>,
    pods: Vec<Value>,
    paths: Vec<Value>,
) -> Value {
    let underlay =
        |(name, subnet): &(&str, &str)| json!({ "name": name, "subnets": [subnet], "mtu": null });
    json!({
        "lab": "lab", "backend": "vxlan", "store": "dir", "pod_networks": ["10.244.0.0/16"],
        "underlays": underlays.iter().map(underlay).collect::<Vec<_>>(), "routers": [], "nodes": nodes, "pods": pods,
        "paths": paths, "problems": [], "repairs": [], "faults": [],
    })
}

fn mesh(nodes: usize, reach: impl Fn(usize, usize) -> &'static str) -> Vec<Value> {
    let pairs = (1..=nodes).flat_map(|from| (1..=nodes).map(move |to| (from, to)));
    let apart = pairs.filter(|(from, to)| from != to);
    apart
        .map(|(from, to)| path(from, to, reach(from, to)))
        .collect()
}

/// A node that has stopped, a pod in trouble, one that is done, a partition.
pub(crate) fn three_nodes() -> Value {
    let nodes = vec![
        node(1, "underlay", "ready", 1),
        node(2, "underlay", "degraded", 2),
        node(3, "underlay", "stopped", 2),
    ];
    let pods = vec![
        pod("cache-0", 2, "good", "Running"),
        pod("client", 3, "good", "Running"),
        pod("job", 3, "waiting", "Completed"),
        pod("web-0", 1, "good", "Running"),
        pod("web-1", 2, "bad", "CrashLoopBackOff"),
    ];
    let mut cluster = cluster(
        &[("underlay", "192.168.50.0/24")],
        nodes,
        pods,
        mesh(2, |_, _| "yes"),
    );
    cluster["problems"] = json!([
        { "of": "n3", "what": "netd does not run: `lab node start n3`", "mood": "bad" },
        { "of": "web-1", "what": "CrashLoopBackOff: back-off 5m0s restarting failed container main", "mood": "bad" },
    ]);
    cluster["faults"] = json!([
        { "fault": "partition", "places": ["n1", "n3"], "what": "no packet goes between them" },
        { "fault": "link", "places": ["n2"], "what": "20 ms later, 5 % lost" },
        { "fault": "stopped", "places": ["n3"], "what": "no netd; `lab node start n3`" },
    ]);
    cluster["repairs"] = json!([
        { "node": "n2", "object": "route 10.244.1.0/24 via 10.244.1.0 dev flannel.1", "count": 3, "seconds": 12 },
    ]);
    cluster
}

/// Two underlays with a router between them; one way loses packets.
pub(crate) fn two_racks() -> Value {
    let rack = |number| if number < 3 { "rack-a" } else { "rack-b" };
    let nodes = (1..=4)
        .map(|number| node(number, rack(number), "ready", 1))
        .collect();
    let pods = (1..=4).map(|number| pod(&format!("web-{number}"), number, "good", "Running"));
    let lossy = |from, to| if (from, to) == (2, 3) { "lossy" } else { "yes" };
    let underlays = [("rack-a", "192.168.10.0/24"), ("rack-b", "192.168.20.0/24")];
    let mut cluster = cluster(&underlays, nodes, pods.collect(), mesh(4, lossy));
    cluster["nodes"][3]["impairment"] = json!("20 ms later, 0.1 % lost, at most 10000000 bit/s");
    cluster["routers"] = json!([{ "name": "core", "underlays": ["rack-a", "rack-b"] }]);
    cluster
}

/// Ten nodes, a hundred pods with long names, IPv6, all that can be said of each.
pub(crate) fn crowd() -> Value {
    let nodes = (1..=10).map(|number| {
        let mut node = node(number, "underlay", "ready", 10);
        node["addresses"] = json!([
            format!("192.168.50.{number}"),
            format!("fd00:1234:5678:9abc:def0:1234:5678:{number:x}")
        ]);
        node["subnets"] = json!([
            format!("10.244.{number}.0/24"),
            format!("fd00:244:0:{number:x}::/64")
        ]);
        node
    });
    let pods = (0..100).map(|number| {
        let bad = number % 17 == 0;
        let (mood, status) = if bad {
            ("bad", "Init:CrashLoopBackOff")
        } else {
            ("good", "Running")
        };
        let name = match number % 10 {
            0 => format!("a-name-as-long-as-a-name-can-be-in-a-lab-of-this-kind-{number:03}"),
            _ => format!("web-{number}"),
        };
        pod(&name, 1 + number / 10, mood, status)
    });
    cluster(
        &[("underlay", "192.168.50.0/24")],
        nodes.collect(),
        pods.collect(),
        mesh(10, |_, _| "yes"),
    )
}

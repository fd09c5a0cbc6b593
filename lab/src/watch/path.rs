//! The ways between nodes, as their netds see them.

use serde_json::Value;

use super::snapshot::{Path, Probe};
use crate::node::Node;

/// The ways from a node to its peers among these nodes.
pub(super) fn paths(from: &Node, status: &Value, nodes: &[Node]) -> Vec<Path> {
    let peers = status["peers"]["nodes"].as_array().into_iter().flatten();
    let path = |peer: &Value| {
        let to = nodes.iter().find(|node| is_of(node, peer))?;
        let probes = peer["reach"].as_array().into_iter().flatten();
        Some(Path {
            from: from.name.to_string(),
            to: to.name.to_string(),
            state: word(peer, "state"),
            reason: word(peer, "reason"),
            probes: probes.map(probe).collect(),
        })
    };
    peers.filter_map(path).collect()
}

/// Whether the peer's public address is the node's.
fn is_of(node: &Node, peer: &Value) -> bool {
    let public = peer["public"].as_array().into_iter().flatten();
    let mut public = public.filter_map(|address| address.as_str()?.parse().ok());
    public.any(|address| node.addresses.contains(&address))
}

fn probe(reach: &Value) -> Probe {
    let count = |field: &str| reach[field].as_u64().unwrap_or(0);
    Probe {
        subnet: word(reach, "subnet"),
        state: word(reach, "state"),
        round_trip_us: reach["round_trip_us"].as_u64(),
        sent: count("sent"),
        lost: count("lost"),
        full_sent: count("full_sent"),
        full_lost: count("full_lost"),
    }
}

fn word(of: &Value, field: &str) -> String {
    of[field].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    fn node(name: &str, address: &str) -> Node {
        Node {
            name: name.parse().unwrap(),
            addresses: vec![address.parse().unwrap()],
            labels: Default::default(),
            holder: sandbox::Process::of(std::process::id()).unwrap(),
        }
    }

    #[test]
    fn a_way_leads_to_who_has_the_public_address() {
        let nodes = [node("n1", "192.0.2.1"), node("n2", "2001:db8::2")];
        let reach = json!({
            "subnet": "10.244.2.0/24", "state": "lossy", "round_trip_us": null,
            "sent": 20, "lost": 3, "full_sent": 19, "full_lost": 4,
        });
        let status = json!({ "peers": { "nodes": [
            { "public": ["192.0.2.9", "2001:db8:0::2"], "state": "programmed", "reason": "", "reach": [reach] },
            { "public": ["192.0.2.7"], "state": "held", "reason": "of nobody here" },
        ] } });
        let [way] = &paths(&nodes[0], &status, &nodes)[..] else {
            panic!("a way to each node that is a peer");
        };
        assert_eq!(
            (&*way.from, &*way.to, &*way.state),
            ("n1", "n2", "programmed")
        );
        let probe = Probe {
            subnet: "10.244.2.0/24".to_owned(),
            state: "lossy".to_owned(),
            round_trip_us: None,
            sent: 20,
            lost: 3,
            full_sent: 19,
            full_lost: 4,
        };
        assert_eq!(way.probes, [probe]);
        assert_eq!(paths(&nodes[0], &Value::Null, &nodes), []);
    }
}

//! What the status pages say: JSON, Prometheus' text format, and text for people.

mod metrics;
mod text;

pub use metrics::metrics;
pub(crate) use text::line;
pub use text::{Look, text};

use crate::status::State;

/// `/status`: every field of [`State`].
pub fn json(state: &State) -> String {
    match serde_json::to_string_pretty(state) {
        Ok(text) => text + "\n",
        Err(error) => serde_json::json!({ "error": error.to_string() }).to_string() + "\n",
    }
}

/// The same in one line.
pub fn json_line(state: &State) -> String {
    match serde_json::to_string(state) {
        Ok(text) => text + "\n",
        Err(error) => serde_json::json!({ "error": error.to_string() }).to_string() + "\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Finding, Level, Part, Problem, Severity};
    use forwarder::{Carried, Counts};

    use crate::status::{
        DeviceState, Forwarder, PeerState, Reach, Reachable, Repair, Served, SourcePorts, Status,
        TunnelPeer,
    };

    /// A state in which every field has a value.
    pub(super) fn state() -> State {
        let status = Status::new();
        status.started();
        let reason = "10.5.9.0/24 is not served: not on-link: next hop 192.0.2.9";
        let finding = Finding::new(Severity::Degraded, "10.5.9.0/24", reason);
        let finding = finding
            .remedy("join the nodes by one link")
            .command("ip link show");
        status.report(Part::Peers, vec![finding]);
        let mut state = status.snapshot();
        state.version = "0.1.0".to_owned();
        state.backend = "vxlan".to_owned();
        state.uptime = 7384;
        state.interface.addresses = vec!["192.0.2.1".to_owned()];
        state.interface.public = vec!["192.0.2.1".to_owned()];
        state.lease.subnets = "10.5.72.0/24".to_owned();
        state.lease.expires_in = Some(86_000);
        state.lease.expires_at = Some("2026-11-29T03:28:33Z".to_owned());
        let device = |name: &str, mac: &str, public_key: &str, mtu| DeviceState {
            name: name.to_owned(),
            index: 7,
            mac: mac.to_owned(),
            public_key: public_key.to_owned(),
            mtu,
            checksum_offload: public_key.is_empty().then_some(false),
        };
        let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        state.devices = vec![
            device("flannel.1", "02:00:00:00:00:01", "", 1450),
            device("flannel-wg", "", key, 1420),
        ];
        state.tunnels = vec![TunnelPeer {
            device: "flannel-wg".to_owned(),
            public_key: key.to_owned(),
            endpoint: "192.0.2.7:51820".to_owned(),
            allowed_ips: vec!["10.5.7.0/24".to_owned()],
            last_handshake: Some(12),
            received: 1_572_864,
            sent: 92,
        }];
        let carried = |packets| Carried {
            packets,
            bytes: 1000 * packets,
        };
        state.forwarder = Some(Forwarder {
            running: true,
            pid: Some(4711),
            peers: 1,
            starts: 2,
            last_failure: "it ended: signal: 9 (SIGKILL)".to_owned(),
            counts: Counts {
                sent: carried(3000),
                received: carried(5),
                dropped: [("spoofed".to_owned(), 7), ("no-route".to_owned(), 0)].into(),
                stranger: "192.0.2.66".parse().ok(),
            },
        });
        state.firewall.source_ports = Some(SourcePorts::Random);
        state.peers.known = 2;
        state.peers.unserved = 1;
        let by_reason = [("not-on-link".to_owned(), 1)];
        state.peers.unserved_by_reason = by_reason.into_iter().collect();
        state.peers.nodes = vec![peer(7, Served::Programmed), peer(9, Served::Unserved)];
        state.repaired = vec![Repair {
            object: "route 10.5.7.0/24 via 10.5.7.0 dev flannel.1".to_owned(),
            count: 3,
            last: "2026-11-28T03:28:33Z".to_owned(),
            seconds: 5,
        }];
        state
    }

    fn peer(n: u8, state: Served) -> PeerState {
        let data = serde_json::json!({"VNI": 1, "VtepMAC": format!("02:00:00:00:00:0{n}")});
        let reason = match state {
            Served::Programmed => String::new(),
            _ => "not on-link: next hop 192.0.2.9".to_owned(),
        };
        PeerState {
            subnets: vec![format!("10.5.{n}.0/24")],
            public: vec![format!("192.0.2.{n}")],
            backend: "vxlan".to_owned(),
            backend_data: Some(data.clone()),
            backend_v6_data: Some(data),
            state,
            reason,
            changed: "2026-11-28T03:28:33Z".to_owned(),
            seconds: 3700,
            reach: vec![Reach {
                subnet: format!("10.5.{n}.0/24"),
                state: Reachable::SmallOnly,
                round_trip_us: Some(212),
                sent: 20,
                lost: 1,
                full_sent: 20,
                full_lost: 5,
            }],
        }
    }

    /// `peers.nodes[].state` of a JSON document, for each value in it.
    fn paths(value: &serde_json::Value, path: &str, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) => {
                for (key, value) in map {
                    let dot = if path.is_empty() { "" } else { "." };
                    paths(value, &format!("{path}{dot}{key}"), found);
                }
            }
            serde_json::Value::Array(list) => {
                let first = list.first().expect("a list has an entry");
                paths(first, &format!("{path}[]"), found);
            }
            _ => found.push(path.to_owned()),
        }
    }

    #[test]
    fn the_documentation_names_every_field_and_no_other() {
        let value: serde_json::Value = serde_json::from_str(&json(&state())).expect("JSON");
        let mut fields = Vec::new();
        paths(&value, "", &mut fields);
        // What others publish and the counts by reason are told of as a whole.
        let whole = [
            "peers.nodes[].backend_data",
            "peers.nodes[].backend_v6_data",
        ];
        let whole = [
            &whole[..],
            &["peers.unserved_by_reason", "forwarder.dropped"],
        ]
        .concat();
        for field in &mut fields {
            if let Some(whole) = whole.iter().find(|whole| field.starts_with(**whole)) {
                *field = (*whole).to_owned();
            }
        }
        fields.sort();
        fields.dedup();
        let page = std::fs::read_to_string("../docs/netd.md").expect("docs/netd.md");
        let (_, table) = page
            .split_once("<!-- fields of the status -->")
            .expect("begin");
        let (table, _) = table.split_once("<!-- end -->").expect("end");
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let mut told: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
        told.sort_unstable();
        assert_eq!(told, fields);
    }

    #[test]
    fn programs_read_what_was_written() {
        let read: State = serde_json::from_str(&json(&state())).expect("JSON");
        assert_eq!(read, state(), "nothing is lost on the way");
    }

    #[test]
    fn words_of_the_json_are_stable() {
        let word = |value: serde_json::Value| value.as_str().expect("a word").to_owned();
        let states = [
            Served::Programmed,
            Served::Held,
            Served::Conflict,
            Served::Refused,
            Served::Unserved,
        ];
        let states = states.map(|state| word(serde_json::json!(state)));
        assert_eq!(
            states,
            ["programmed", "held", "conflict", "refused", "unserved"]
        );
        let levels = [Level::NotReady, Level::Degraded, Level::Ready];
        let levels = levels.map(|level| word(serde_json::json!(level)));
        assert_eq!(levels, ["not-ready", "degraded", "ready"]);
        let ports = [
            SourcePorts::Random,
            SourcePorts::Disabled,
            SourcePorts::Refused,
        ];
        let ports = ports.map(|ports| word(serde_json::json!(ports)));
        assert_eq!(ports, ["random", "disabled", "refused"]);
        let problem: Problem = state().problems.remove(0);
        assert_eq!(word(serde_json::json!(problem.severity)), "degraded");
        assert_eq!(word(serde_json::json!(problem.part)), "peers");
    }
}

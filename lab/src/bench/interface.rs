//! ADD and DEL of interface plugins with host-local: bridge without and with masquerading, and those that
//! need nothing of the kernel that the machines of most users lack.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    at_once,
    measure::Table,
    suite::{Call, Suite},
    world,
};

/// Adds the rows for each number of pods at a time; every pod is attached before the first is detached, as on
/// a full node.
pub(super) fn measure(
    table: &mut Table,
    suites: [&Suite; 2],
    pods: usize,
    at_once: &[usize],
) -> Result<()> {
    let pods: Vec<String> = (0..pods)
        .map(|n| world::add_pod(&format!("pod{n}")))
        .collect::<Result<_>>()?;
    let pair = ["type", "veth", "peer", "name", "bench-peer"];
    world::run("ip", &[&["link", "add", MASTER], &pair[..]].concat())?;
    for kind in Kind::ALL {
        at_once::measure_all(
            table,
            suites,
            &format!("{} + host-local", kind.label()),
            at_once,
            &|suite, command, number| {
                let pod = pods.get(number)?;
                Some(attach_or_detach(suite, command, kind, pod, number))
            },
        )?;
    }
    Ok(())
}

/// The parent of macvlan's links.
const MASTER: &str = "bench-master";

#[derive(Clone, Copy)]
enum Kind {
    Bridge,
    MasqueradedBridge,
    Ptp,
    Macvlan,
}

/// How many kinds of interfaces are measured.
pub(super) const KINDS: usize = Kind::ALL.len();

impl Kind {
    const ALL: [Self; 4] = [
        Self::Bridge,
        Self::MasqueradedBridge,
        Self::Ptp,
        Self::Macvlan,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::MasqueradedBridge => "bridge with ipMasq",
            Self::Ptp => "ptp",
            Self::Macvlan => "macvlan",
        }
    }

    fn plugin(self) -> &'static str {
        match self {
            Self::Bridge | Self::MasqueradedBridge => "bridge",
            Self::Ptp => "ptp",
            Self::Macvlan => "macvlan",
        }
    }

    fn config(self, suite: &Suite) -> Value {
        match self {
            Self::Bridge => suite.bridge_config(false),
            Self::MasqueradedBridge => suite.bridge_config(true),
            Self::Ptp | Self::Macvlan => json!({
                "cniVersion": "1.0.0", "name": format!("{}-{}", suite.name, self.plugin()),
                "type": self.plugin(), "master": MASTER,
                // Both suites are on one host, which has each pod's address once.
                "ipam": { "type": "host-local", "subnet": match suite.is_reference() {
                    true => "172.30.0.0/24",
                    false => "172.30.1.0/24",
                } },
            }),
        }
    }
}

fn attach_or_detach(
    suite: &Suite,
    command: &str,
    kind: Kind,
    pod: &str,
    number: usize,
) -> Result<Duration> {
    suite.time(&Call {
        plugin: kind.plugin(),
        command,
        container: &format!("bench{number}"),
        netns: pod,
        config: &kind.config(suite),
        host: None,
    })
}

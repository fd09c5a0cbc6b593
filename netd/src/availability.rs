//! Whether a cluster is to hear that this node's network fails. Asked for by
//! `-kube-network-unavailable-after` alone: new pods stay away from the node then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::status::Status;
use crate::store::NodeNetwork;

/// From look to look at the status.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps `told` as the status has it, for ever. The network fails once the node was not ready for `after`
/// without a break, and works with the first look that finds it ready; without `after` it always works.
pub async fn follow(
    status: &Arc<Status>,
    after: Option<Duration>,
    told: watch::Sender<NodeNetwork>,
) {
    let Some(after) = after else {
        return std::future::pending().await;
    };
    let mut judge = Judge::new(after);
    loop {
        let network = judge.judge(status.why_not_ready(), Instant::now());
        // Another reason for the same is no news.
        told.send_if_modified(|told| {
            let turned = told.works() != network.works();
            if turned {
                *told = network;
            }
            turned
        });
        tokio::time::sleep(LOOK).await;
    }
}

/// Condemns slowly.
#[derive(Debug)]
struct Judge {
    after: Duration,
    /// Since when it is not ready.
    since: Option<Instant>,
}

impl Judge {
    fn new(after: Duration) -> Self {
        Self { after, since: None }
    }

    fn judge(&mut self, trouble: Option<String>, now: Instant) -> NodeNetwork {
        let Some(trouble) = trouble else {
            self.since = None;
            return NodeNetwork::Works;
        };
        let since = *self.since.get_or_insert(now);
        match now.saturating_duration_since(since) >= self.after {
            true => NodeNetwork::Fails(trouble),
            false => NodeNetwork::Works,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lasts_is_a_failure() {
        let start = Instant::now();
        let mut judge = Judge::new(Duration::from_secs(60));
        for (second, trouble, fails) in [
            (0, None, None),
            (10, Some("a"), None),
            (69, Some("a"), None),
            (70, Some("b"), Some("b")),
            (90, Some("b"), Some("b")),
            (91, None, None),
            // From the beginning again.
            (92, Some("c"), None),
            (151, Some("c"), None),
            (152, Some("c"), Some("c")),
        ] {
            let now = start + Duration::from_secs(second);
            let network = judge.judge(trouble.map(str::to_owned), now);
            let expected = fails.map_or(NodeNetwork::Works, |what: &str| {
                NodeNetwork::Fails(what.to_owned())
            });
            assert_eq!(network, expected, "after {second} s");
        }
    }
}

//! Many pods of a whole chain come and go at once, and some of the calls are killed half-way. No
//! address is given twice, nothing stays, and no call fails that was not killed.
//!
//! `make soak` runs 200 pods by 16 runtimes in 20 rounds; `make test` fewer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{collections::BTreeSet, ffi::OsStr, sync::Mutex, thread, time::Duration};

use kernel::NetNs;
use serde_json::Value;
use support::{
    Call, Node,
    chain::{Chain, Pod, state},
};

const RUNTIMES: usize = 16;

/// A number of the environment.
fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

/// Knuth's linear congruential generator: what is killed when, again for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

struct Churn<'a> {
    node: &'a Node,
    chain: &'a Chain,
    /// Who has an address now.
    held: Mutex<BTreeSet<String>>,
}

impl Churn<'_> {
    fn come_and_go(&self, number: usize, random: &mut Random) {
        let pod = Pod {
            container: format!("pod{number}"),
            netns: format!("/run/netns/pod{number}"),
            port: u16::try_from(20_000 + number).unwrap(),
        };
        NetNs::create(&pod.netns).unwrap();
        let result = match random.below(4) {
            0 => self.killed(&pod, random),
            _ => {
                let added = self.chain.add(self.node, &pod);
                let result = added.unwrap_or_else(|answer| panic!("{}: {answer:?}", pod.container));
                let addresses = addresses(&result);
                for address in &addresses {
                    let new = self.held.lock().unwrap().insert(address.clone());
                    assert!(new, "{address} is given to two pods");
                }
                thread::sleep(Duration::from_micros(random.below(5_000)));
                // Whoever gets one from now on gets it from this pod's DEL.
                for address in &addresses {
                    self.held.lock().unwrap().remove(address);
                }
                Some(result)
            }
        };
        let failed = self.chain.del(self.node, &pod, result.as_ref());
        assert!(failed.is_empty(), "{}: {failed:?}", pod.container);
        NetNs::remove(&pod.netns).unwrap();
    }

    /// ADD up to some plugin, whose call is killed after a while; the result before it.
    fn killed(&self, pod: &Pod, random: &mut Random) -> Option<Value> {
        let last = usize::try_from(random.below(self.chain.plugins.len() as u64)).unwrap();
        let before = self.chain.add_up_to(self.node, pod, last);
        let before = before.unwrap_or_else(|answer| panic!("{}: {answer:?}", pod.container));
        let before = Some(before).filter(|result| !result.is_null());
        let plugin = &self.chain.plugins[last];
        let call = Call {
            executable: &self.node.plugin(plugin["type"].as_str().unwrap()),
            command: "ADD",
            container: &pod.container,
            config: &self.chain.config(plugin, pod, before.as_ref()),
            env: &[("CNI_NETNS", OsStr::new(&pod.netns))],
        };
        let mut child = call.start();
        thread::sleep(Duration::from_micros(random.below(8_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        before
    }
}

fn addresses(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().unwrap().iter();
    ips.map(|ip| ip["address"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn pods_of_a_chain_with_calls_that_are_killed() {
    let Some(node) = Node::new() else { return };
    let (pods, rounds) = (setting("CHURN_PODS", 48), setting("CHURN_ROUNDS", 2));
    let seed = setting("CHURN_SEED", std::process::id() as usize);
    println!("CHURN_SEED={seed}");
    let chain = Chain::of_a_node();
    let churn = Churn {
        node: &node,
        chain: &chain,
        held: Mutex::default(),
    };
    // What the first pod leaves for all others stays.
    churn.come_and_go(0, &mut Random(1));
    let before: BTreeSet<String> = state().into_iter().collect();
    thread::scope(|scope| {
        for runtime in 0..RUNTIMES {
            let churn = &churn;
            scope.spawn(move || {
                let mut random = Random((seed * RUNTIMES + runtime) as u64);
                for _ in 0..rounds {
                    for number in (runtime..pods).step_by(RUNTIMES) {
                        churn.come_and_go(number, &mut random);
                    }
                }
            });
        }
    });
    let left: Vec<String> = state()
        .into_iter()
        .filter(|line| !before.contains(line))
        .collect();
    assert!(left.is_empty(), "{left:#?}");
}

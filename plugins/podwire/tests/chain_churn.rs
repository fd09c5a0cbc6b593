//! Many pods of a whole chain come and go at once, and some of the calls are killed half-way. No
//! address is given twice, nothing stays, and no call fails that was not killed.
//!
//! `make soak` runs 200 pods by 16 runtimes in 20 rounds; `make test` fewer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

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

/// A pod with what ADD said, as far as it came.
struct Attached {
    pod: Pod,
    result: Option<Value>,
}

/// One of the runtimes.
struct Runtime<'a> {
    churn: &'a Churn<'a>,
    random: Random,
    /// How long a call takes, so that calls are killed anywhere from their start to their end.
    usual: Duration,
}

impl<'a> Runtime<'a> {
    fn new(churn: &'a Churn<'a>, seed: u64) -> Self {
        Self {
            churn,
            random: Random(seed),
            usual: Duration::from_millis(8),
        }
    }

    /// All these pods come; then all of them go.
    fn round(&mut self, numbers: impl Iterator<Item = usize>) {
        let attached: Vec<Attached> = numbers.map(|number| self.come(number)).collect();
        for attached in attached {
            self.go(attached);
        }
    }

    fn come(&mut self, number: usize) -> Attached {
        let pod = Pod {
            container: format!("pod{number}"),
            netns: format!("/run/netns/pod{number}"),
            port: u16::try_from(20_000 + number).unwrap(),
        };
        NetNs::create(&pod.netns).unwrap();
        let result = match self.random.below(4) {
            0 => self.killed_add(&pod),
            _ => Some(self.add(&pod)),
        };
        Attached { pod, result }
    }

    fn add(&mut self, pod: &Pod) -> Value {
        let Churn { node, chain, held } = self.churn;
        let start = Instant::now();
        let added = chain.add(node, pod);
        self.usual = start.elapsed() / u32::try_from(chain.plugins.len()).unwrap();
        let result = added.unwrap_or_else(|answer| panic!("{}: {answer:?}", pod.container));
        for address in addresses(&result) {
            let new = held.lock().unwrap().insert(address.clone());
            assert!(new, "{address} is given to two pods");
        }
        if self.random.below(4) == 0 {
            let failed = chain.check(node, pod, &result);
            assert!(failed.is_empty(), "{}: CHECK: {failed:?}", pod.container);
        }
        result
    }

    /// ADD up to some plugin, whose call is killed after a while; the result before it.
    fn killed_add(&mut self, pod: &Pod) -> Option<Value> {
        let Churn { node, chain, .. } = self.churn;
        let last = self.some_plugin();
        let before = chain.add_up_to(node, pod, last);
        let before = before.unwrap_or_else(|answer| panic!("{}: {answer:?}", pod.container));
        let before = Some(before).filter(|result| !result.is_null());
        self.kill(pod, "ADD", last, before.as_ref());
        before
    }

    /// DEL, sometimes after one that is killed half-way.
    fn go(&mut self, Attached { pod, result }: Attached) {
        let Churn { node, chain, held } = self.churn;
        // Whoever gets one from now on gets it from this pod's DEL.
        for address in result.iter().flat_map(addresses) {
            held.lock().unwrap().remove(&address);
        }
        if self.random.below(4) == 0 {
            let last = self.some_plugin();
            for plugin in chain.plugins[last + 1..].iter().rev() {
                let config = chain.config(plugin, &pod, result.as_ref());
                pod.call(node, "DEL", plugin, &config).success();
            }
            self.kill(&pod, "DEL", last, result.as_ref());
        }
        let failed = chain.del(node, &pod, result.as_ref());
        assert!(failed.is_empty(), "{}: {failed:?}", pod.container);
        NetNs::remove(&pod.netns).unwrap();
    }

    fn some_plugin(&mut self) -> usize {
        usize::try_from(self.random.below(self.churn.chain.plugins.len() as u64)).unwrap()
    }

    /// A call that is killed after some part of the usual time.
    fn kill(&mut self, pod: &Pod, command: &str, position: usize, result: Option<&Value>) {
        let Churn { node, chain, .. } = self.churn;
        let plugin = &chain.plugins[position];
        let call = Call {
            executable: &node.plugin(plugin["type"].as_str().unwrap()),
            command,
            container: &pod.container,
            config: &chain.config(plugin, pod, result),
            env: &[("CNI_NETNS", OsStr::new(&pod.netns))],
        };
        let mut child = call.start();
        let usual = u64::try_from(self.usual.as_micros()).unwrap();
        thread::sleep(Duration::from_micros(self.random.below(usual)));
        child.kill().unwrap();
        child.wait().unwrap();
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
    Runtime::new(&churn, 1).round(0..1);
    let before: BTreeSet<String> = state().into_iter().collect();
    thread::scope(|scope| {
        for number in 0..RUNTIMES {
            let churn = &churn;
            scope.spawn(move || {
                let mut runtime = Runtime::new(churn, (seed * RUNTIMES + number) as u64);
                for _ in 0..rounds {
                    runtime.round((number..pods).step_by(RUNTIMES));
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

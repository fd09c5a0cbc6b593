//! Packet-filter rules that somebody flushed come back for every pod that runs: by the next ADD, by
//! GC, by `podwire repair`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use kernel::NetNs;
use support::{Answer, Call, Node};

const RECORDS: &str = "/run/podwire/attachments/masquerade";

/// A pod, its network and its plugin.
#[derive(Clone, Copy)]
struct Pod {
    name: &'static str,
    plugin: &'static str,
    network: &'static str,
    subnet: &'static str,
}

const ONE: Pod = Pod {
    name: "one",
    plugin: "bridge",
    network: "first",
    subnet: "10.21.0.0/24",
};
const TWO: Pod = Pod {
    name: "two",
    plugin: "ptp",
    network: "second",
    subnet: "10.22.0.0/24",
};
const THREE: Pod = Pod {
    name: "three",
    plugin: "ptp",
    network: "third",
    subnet: "10.23.0.0/24",
};

impl Pod {
    fn netns(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    fn config(&self, backend: &str, more: &str) -> String {
        let Self {
            plugin,
            network,
            subnet,
            ..
        } = self;
        format!(
            r#"{{"cniVersion": "1.1.0", "name": "{network}", "type": "{plugin}",
            "isDefaultGateway": true, "ipMasq": true, "ipMasqBackend": "{backend}", {more}
            "ipam": {{"type": "host-local", "ranges": [[{{"subnet": "{subnet}"}}]],
            "routes": [{{"dst": "0.0.0.0/0"}}]}}}}"#
        )
    }

    fn call(&self, node: &Node, command: &str, backend: &str, more: &str) -> Answer {
        Call {
            executable: &node.plugin(self.plugin),
            command,
            container: self.name,
            config: &self.config(backend, more),
            env: &[("CNI_NETNS", OsStr::new(&self.netns()))],
        }
        .run()
    }

    /// Makes the namespace too.
    fn add(&self, node: &Node, backend: &str) -> serde_json::Value {
        node.world.pod(self.name);
        self.call(node, "ADD", backend, "").success().json()
    }

    fn del(&self, node: &Node, backend: &str) {
        self.call(node, "DEL", backend, "").success();
    }

    /// CHECK with this result of ADD; its message if it fails.
    fn check(&self, node: &Node, backend: &str, added: &serde_json::Value) -> Result<(), String> {
        let more = format!("\"prevResult\": {added},");
        let answer = self.call(node, "CHECK", backend, &more);
        match answer.exit {
            Some(0) => Ok(()),
            _ => Err(answer.error().1),
        }
    }

    fn gc(&self, node: &Node, backend: &str, valid: &str) {
        let more = format!(r#""cni.dev/valid-attachments": [{valid}],"#);
        self.call(node, "GC", backend, &more).success();
    }

    /// A machine that knows no way back to pods answers only the host.
    fn is_masqueraded(&self) -> bool {
        self.is_answered_within(5)
    }

    /// One answer is enough; a machine that is busy, or a link that has just come up, takes a second for the first.
    fn is_answered_within(&self, seconds: u32) -> bool {
        let until_one = format!("ping -c 1 -w {seconds} 192.0.2.2");
        succeeds(&format!("ip netns exec {} {until_one}", self.name))
    }

    fn record(&self) -> PathBuf {
        let named = |path: &PathBuf| {
            let content = fs::read_to_string(path).unwrap();
            content.contains(&format!(r#""containerID":"{}""#, self.name))
        };
        let mut found = records().into_iter().filter(named);
        found.next().unwrap()
    }
}

fn records() -> Vec<PathBuf> {
    let entries = fs::read_dir(RECORDS).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn outside(node: &Node) {
    node.world.pod("outside");
    sh(
        "ip link add up0 type veth peer name out0 netns outside; ip addr add 192.0.2.1/24 dev up0; \
        ip link set up0 up; ip -n outside addr add 192.0.2.2/24 dev out0; ip -n outside link set out0 up",
    );
}

fn sh(script: &str) {
    assert!(succeeds(script), "{script}");
}

fn succeeds(script: &str) -> bool {
    let mut command = support::command(Path::new("/bin/sh"));
    let output = command.args(["-ec", script]).output().unwrap();
    output.status.success()
}

fn line(pod: Pod, address: &str, what: &str) -> String {
    format!(
        "masquerade of {address} for network {:?}, container {:?}, interface \"eth0\": {what}\n",
        pod.network, pod.name
    )
}

/// Two pods of two networks, of two plugins.
fn two_pods(node: &Node, backend: &str) {
    outside(node);
    for pod in [ONE, TWO] {
        pod.add(node, backend);
        assert!(pod.is_masqueraded());
    }
}

const FLUSHES: [&str; 3] = [
    "nft flush ruleset",
    "nft delete table inet podwire_masquerade",
    "nft flush chain inet podwire_masquerade postrouting",
];

#[test]
fn the_next_add_restores_all_pods() {
    let Some(node) = Node::new() else { return };
    two_pods(&node, "nftables");
    for flush in FLUSHES {
        sh(flush);
        assert!(
            !ONE.is_answered_within(1) && !TWO.is_answered_within(1),
            "{flush}"
        );
        THREE.add(&node, "nftables");
        for pod in [ONE, TWO, THREE] {
            assert!(pod.is_masqueraded(), "{flush}: {}", pod.name);
        }
        THREE.del(&node, "nftables");
        NetNs::remove(THREE.netns()).unwrap();
    }
    assert_eq!(records().len(), 2);
}

#[test]
fn the_next_add_restores_all_pods_of_iptables() {
    let Some(node) = Node::new() else { return };
    two_pods(&node, "iptables");
    sh("nft flush ruleset");
    assert!(!ONE.is_answered_within(1) && !TWO.is_answered_within(1));
    THREE.add(&node, "iptables");
    for pod in [ONE, TWO, THREE] {
        assert!(pod.is_masqueraded(), "{}", pod.name);
    }
}

#[test]
fn an_add_restores_the_pods_of_either_backend() {
    let Some(node) = Node::new() else { return };
    outside(&node);
    ONE.add(&node, "iptables");
    TWO.add(&node, "nftables");
    sh("nft flush ruleset");
    THREE.add(&node, "nftables");
    for pod in [ONE, TWO, THREE] {
        assert!(pod.is_masqueraded(), "{}", pod.name);
    }
}

#[test]
fn gc_restores_all_pods_that_live() {
    let Some(node) = Node::new() else { return };
    for backend in ["nftables", "iptables"] {
        two_pods_of_a_world_of_their_own(backend);
    }
    drop(node);
}

fn two_pods_of_a_world_of_their_own(backend: &str) {
    std::thread::scope(|scope| {
        let ran = scope.spawn(|| {
            let Some(node) = Node::new() else { return };
            two_pods(&node, backend);
            sh("nft flush ruleset");
            ONE.gc(
                &node,
                backend,
                r#"{"containerID": "one", "ifname": "eth0"}"#,
            );
            assert!(ONE.is_masqueraded() && TWO.is_masqueraded(), "{backend}");
            ONE.gc(&node, backend, "");
            assert!(TWO.is_masqueraded(), "{backend}");
            assert_eq!(records(), [TWO.record()]);
        });
        if let Err(panic) = ran.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn check_tells_and_repair_restores() {
    let Some(node) = Node::new() else { return };
    outside(&node);
    let added = [ONE, TWO].map(|pod| (pod, pod.add(&node, "nftables")));
    let whole = Answer {
        exit: Some(0),
        stdout: String::new(),
        stderr: String::new(),
    };
    assert_eq!(node.podwire(&["repair", "--dry-run"]), whole);
    assert_eq!(node.podwire(&["repair"]), whole);
    sh("nft flush ruleset");
    for (pod, added) in &added {
        let told = pod.check(&node, "nftables", added).unwrap_err();
        assert!(told.starts_with("no masquerade of 10.2"), "{told}");
    }
    let lines = |what: &str| line(ONE, "10.21.0.2/24", what) + &line(TWO, "10.22.0.2/24", what);
    let missing = Answer {
        exit: Some(1),
        stdout: lines("missing"),
        stderr: "podwire: rules are missing\n".to_owned(),
    };
    assert_eq!(node.podwire(&["repair", "--dry-run"]), missing);
    assert!(!ONE.is_answered_within(1) && !TWO.is_answered_within(1));
    let restored = Answer {
        stdout: lines("restored"),
        ..whole.clone()
    };
    assert_eq!(node.podwire(&["repair"]), restored);
    assert_eq!(node.podwire(&["repair"]), whole);
    for (pod, added) in &added {
        pod.check(&node, "nftables", added).unwrap();
        assert!(pod.is_masqueraded());
    }
}

/// A single element, which no ADD would look for.
#[test]
fn repair_finds_what_one_pod_lacks() {
    let Some(node) = Node::new() else { return };
    two_pods(&node, "nftables");
    sh("nft flush set inet podwire_masquerade pods-10.21.0.0/24");
    let repaired = node.podwire(&["repair"]).success();
    assert_eq!(repaired.stdout, line(ONE, "10.21.0.2/24", "restored"));
    assert!(ONE.is_masqueraded());
}

/// Other plugins' DEL does not know the record, and a namespace can be destroyed without any DEL.
#[test]
fn a_pod_that_is_gone_gets_no_rules() {
    for end in [
        "ip -n one link del eth0",
        "ip -n one addr flush dev eth0",
        "ip netns del one",
        "ip netns del one; touch /run/netns/one",
        "ip netns del one; ip netns add one",
        "ip netns del one; ip netns add one; ip -n one link add eth0 type veth peer name other",
    ] {
        std::thread::scope(|scope| {
            let ran = scope.spawn(|| {
                let Some(node) = Node::new() else { return };
                two_pods(&node, "nftables");
                sh("nft flush ruleset");
                sh(end);
                node.podwire(&["repair", "--dry-run"]);
                assert_eq!(records().len(), 2, "{end}");
                let repaired = node.podwire(&["repair"]).success();
                assert_eq!(repaired.stdout, line(TWO, "10.22.0.2/24", "restored"));
                assert_eq!(records(), [TWO.record()], "{end}");
                assert!(!succeeds("nft list ruleset | grep -q 10.21.0"), "{end}");
            });
            if let Err(panic) = ran.join() {
                std::panic::resume_unwind(panic);
            }
        });
    }
}

/// Two network namespaces may share `/run`: the rules of one are none of the other's business.
#[test]
fn rules_come_back_only_where_they_were() {
    let Some(node) = Node::new() else { return };
    ONE.add(&node, "nftables");
    let elsewhere = node.world.pod("elsewhere");
    elsewhere
        .run(|| {
            assert_eq!(node.podwire(&["repair"]).success().stdout, "");
            assert!(!succeeds("nft list ruleset | grep -q podwire"));
        })
        .unwrap();
    assert_eq!(records(), [ONE.record()]);
}

#[test]
fn a_record_comes_before_the_rules_and_goes_with_the_attachment() {
    let Some(node) = Node::new() else { return };
    let plain = ONE
        .config("nftables", "")
        .replace("true, \"ipMasqB", "false, \"ipMasqB");
    node.world.pod("one");
    let call = |command: &str, config: &str| {
        Call {
            executable: &node.plugin("bridge"),
            command,
            container: "one",
            config,
            env: &[("CNI_NETNS", OsStr::new("/run/netns/one"))],
        }
        .run()
    };
    call("ADD", &plain).success();
    assert!(!Path::new("/run/podwire/attachments").exists());
    call("DEL", &plain).success();

    let config = ONE.config("nftables", "");
    call("ADD", &config).success();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(Path::new("/run/podwire")), 0o755);
    assert_eq!(mode(Path::new("/run/podwire/attachments")), 0o700);
    assert_eq!(mode(&ONE.record()), 0o600);
    call("DEL", &config).success();
    call("DEL", &config).success();
    assert_eq!(records(), [] as [PathBuf; 0]);

    // Failed: the address is given, the gateway's is not to be had.
    sh("ip link add mybr0 type dummy 2>/dev/null || ip link add mybr0 type veth peer name mybr1");
    let failing = config.replace("\"isDef", "\"bridge\": \"mybr0\", \"isDef");
    assert_ne!(call("ADD", &failing).exit, Some(0));
    assert_eq!(records(), [] as [PathBuf; 0]);
}

/// Nothing but the way back is lost with it.
#[test]
fn an_add_that_cannot_remember_says_so_and_goes_on() {
    let Some(node) = Node::new() else { return };
    outside(&node);
    sh("mkdir -p /run/podwire; mount -t tmpfs -o ro none /run/podwire");
    node.world.pod("one");
    let answer = ONE.call(&node, "ADD", "nftables", "").success();
    assert_eq!(
        answer.stderr.matches("will not come back").count(),
        1,
        "{}",
        answer.stderr
    );
    assert!(ONE.is_masqueraded());
    ONE.del(&node, "nftables");
    sh("umount /run/podwire");
}

/// What is in the directory and is no record is passed over and named; who may not look is told.
#[test]
fn what_is_no_record_stops_nothing() {
    let Some(node) = Node::new() else { return };
    two_pods(&node, "nftables");
    fs::write(Path::new(RECORDS).join("0000-0000"), "{").unwrap();
    sh(&format!("mkfifo {RECORDS}/0000-0001"));
    sh("nft flush ruleset");
    let repaired = node.podwire(&["repair"]).success();
    assert_eq!(repaired.stdout.lines().count(), 2);
    for name in ["0000-0000", "0000-0001"] {
        let told = format!("{RECORDS}/{name} is no record of an attachment");
        assert!(repaired.stderr.contains(&told), "{}", repaired.stderr);
    }
    fs::remove_dir_all(RECORDS).unwrap();
    fs::write(RECORDS, "").unwrap();
    let refused = node.podwire(&["repair"]);
    assert_eq!(refused.exit, Some(1));
    assert!(
        refused
            .stderr
            .contains("cannot read the records of masquerade")
    );
    assert!(ONE.is_masqueraded());
}

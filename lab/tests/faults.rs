//! Faults: what they do, to whom, and that all is as before when they are mended.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::{TestLab, inside, wait_until};
use kernel::Netlink;
use kernel::qdisc::{Netem, QdiscKind};
use serde_json::{Value, json};

fn run(lab: &TestLab, node: &str, name: &str) {
    let run = ["run", name, "--node", node];
    lab.ok(&[&run[..], &["--", "sleep", "1000"]].concat());
}

fn reaches(lab: &TestLab, from: &str, to: &str) -> bool {
    let ping = ["ping", "-q", "-c", "1", "-W"];
    // An answer that comes takes no second.
    let (exec, address) = (["exec", from, "--"], lab.address(to));
    let output = lab.run(&[&exec[..], &ping, &["1", &address]].concat());
    output.status.success()
}

fn faults(lab: &TestLab) -> Value {
    lab.json(&["fault", "ls"])
}

/// The processes of `lab ps` with this kind.
fn process(lab: &TestLab, kind: &str, place: &str) -> u64 {
    let all = lab.json(&["ps"]);
    let mut found = all["processes"].as_array().unwrap().iter();
    let found =
        found.find(|each| each["kind"] == kind && (each["name"] == place || each["node"] == place));
    found.unwrap_or_else(|| panic!("no {kind} {place} in {all}"))["pid"]
        .as_u64()
        .unwrap_or_else(|| panic!("{kind} {place} has no process: {all}"))
}

/// How a process is doing, in a letter (proc_pid_stat(5)); none of one that has ended.
fn state(pid: u64) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.rsplit_once(") ").unwrap().1.chars().next().unwrap();
    (state != 'Z').then_some(state)
}

/// Whether a signal has it stand still.
fn stands_still(pid: u64) -> bool {
    state(pid) == Some('T')
}

/// The routes of netd on a node.
fn routes(lab: &TestLab, node: &str) -> usize {
    let routes = lab.on_node(node, &["ip", "route", "show", "proto", "112"]);
    routes.lines().count()
}

#[test]
fn the_network_between_nodes_breaks_and_mends() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "3", "--backend", "host-gw"]);
    for number in ["1", "2", "3"] {
        run(&lab, &format!("n{number}"), &format!("p{number}"));
    }
    assert!(reaches(&lab, "p1", "p2"));
    a_partition_parts_two_nodes_and_no_others(&lab);
    a_paused_node_does_not_mend_its_routes_but_then(&lab);
    a_link_has_a_rate_and_where_the_kernel_can_a_delay(&lab);
    a_fault_that_stays_does_not_keep_the_others(&lab);
    lab.ok(&["fault", "partition", "n1", "n2"]);
    lab.ok(&["fault", "pause-node", "n2"]);
    // What is broken does not keep it from going.
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

fn a_fault_that_stays_does_not_keep_the_others(lab: &TestLab) {
    let notes = lab.dir().join("faults.json");
    let stays = json!([{ "fault": "paused", "node": "gone" }]);
    fs::write(&notes, stays.to_string()).unwrap();
    lab.ok(&["fault", "partition", "n1", "n2"]);
    let said = lab.fails(1, &["fault", "heal"]);
    assert!(said.contains("fault paused of gone stays: "), "{said}");
    assert_eq!(faults(lab), stays);
    wait_until("n1 and n2 are together", || reaches(lab, "p1", "p2"));
    fs::remove_file(&notes).unwrap();
}

fn a_partition_parts_two_nodes_and_no_others(lab: &TestLab) {
    lab.ok(&["fault", "partition", "n2", "n1"]);
    let parted = json!({ "fault": "partition", "nodes": ["n1", "n2"] });
    assert_eq!(faults(lab), json!([parted]));
    assert!(!reaches(lab, "p1", "p2") && !reaches(lab, "p2", "p1"));
    assert!(reaches(lab, "p1", "p3") && reaches(lab, "p2", "p3"));
    // A ping needs both directions, so it does not tell whether both are cut.
    let keeper = process(lab, "keeper", &lab.name).try_into().unwrap();
    let rules = inside(
        keeper,
        &["nft", "list", "table", "bridge", "lab_partitions"],
    );
    for rule in [
        r#"iifname "n1" oifname "n2" drop"#,
        r#"iifname "n2" oifname "n1" drop"#,
    ] {
        assert!(rules.contains(rule), "{rules}");
    }
    lab.ok(&["fault", "partition", "n2", "n3"]);
    let healed = lab.ok(&["fault", "heal", "n1", "n2"]);
    assert_eq!(healed, "fault partition of n1 and n2 healed\n");
    // Once more is fine.
    let well = lab.ok(&["fault", "heal", "n1", "n2"]);
    assert_eq!(well, "n1 and n2 are not parted\n");
    wait_until("n1 and n2 are together again", || reaches(lab, "p1", "p2"));
    assert!(!reaches(lab, "p2", "p3"));
    lab.ok(&["fault", "heal"]);
    wait_until("n2 and n3 are together again", || reaches(lab, "p2", "p3"));
    assert_eq!(faults(lab), json!([]));
    for (arguments, words) in [
        (&["heal", "n9"][..], "there is no node \"n9\""),
        (&["partition", "n1", "n1"], "n1 and n1 are the same"),
        (&["partition", "n1", "n9"], "there is no node \"n9\""),
        // Not in this lab.
        (&["partition", "n1", "etcd"], "there is no node \"etcd\""),
        (
            &["restart", "etcd"],
            "has no etcd: its store is a directory",
        ),
    ] {
        let error = lab.fails(1, &[&["fault"], arguments].concat());
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
}

fn a_paused_node_does_not_mend_its_routes_but_then(lab: &TestLab) {
    let pids = [process(lab, "netd", "n1"), process(lab, "pod", "p1")];
    let elsewhere = process(lab, "pod", "p2");
    lab.ok(&["fault", "pause-node", "n1"]);
    let late = ["run", "late", "--node", "n1", "--", "true"];
    let refused = lab.fails(1, &late);
    assert!(
        refused.contains("node n1 takes no pods, it is paused: `lab fault resume-node n1`"),
        "{refused}"
    );
    wait_until("all of n1 stands still", || {
        pids.iter().all(|&pid| stands_still(pid))
    });
    assert!(!stands_still(elsewhere));
    let error = lab.fails(1, &["fault", "delete-route", "n1", "192.0.2.0/24"]);
    assert!(
        error.contains("no route to 192.0.2.0/24: it has 10.244."),
        "{error}"
    );
    assert_eq!(routes(lab, "n1"), 2);
    lab.ok(&["fault", "delete-route", "n1"]);
    assert_eq!(routes(lab, "n1"), 0);
    assert!(!reaches(lab, "p2", "p1"), "without a way back");
    lab.ok(&["fault", "resume-node", "n1"]);
    wait_until("netd has mended its routes", || routes(lab, "n1") == 2);
    assert!(!pids.iter().any(|&pid| stands_still(pid)));
    assert!(reaches(lab, "p2", "p1"));
    let error = lab.fails(1, &["fault", "resume-node", "n1"]);
    assert!(error.contains("node n1 is not paused"), "{error}");
}

fn a_link_has_a_rate_and_where_the_kernel_can_a_delay(lab: &TestLab) {
    let keeper = process(lab, "keeper", &lab.name).try_into().unwrap();
    let ends = || {
        let show = ["tc", "qdisc", "show", "dev"];
        let inner = lab.on_node("n1", &[&show[..], &["eth0"]].concat());
        [inner, inside(keeper, &[&show[..], &["n1"]].concat())]
    };
    lab.ok(&["fault", "rate", "n1", "10M"]);
    for end in ends() {
        assert!(
            end.contains("tbf 1: root") && end.contains("rate 10Mbit"),
            "{end}"
        );
    }
    let emulator = QdiscKind::Netem(Netem::new(Duration::ZERO, 0.0));
    if Netlink::open().unwrap().has_qdisc_kind(&emulator).unwrap() {
        lab.ok(&["fault", "delay", "n1", "20"]);
        lab.ok(&["fault", "loss", "n1", "0.1"]);
        for end in ends() {
            for words in ["netem 1: root", "delay 20ms loss 0.1%", "tbf 2: parent 1:1"] {
                assert!(end.contains(words), "{words}: {end}");
            }
        }
    } else {
        for fault in [["delay", "n1", "20"], ["loss", "n1", "0.1"]] {
            let error = lab.fails(1, &[&["fault"], &fault[..]].concat());
            assert!(
                error.contains("this kernel has no qdisc netem (CONFIG_"),
                "{error}"
            );
        }
    }
    let noted = faults(lab);
    assert_eq!(
        (&noted[0]["node"], &noted[0]["rate_bits"]),
        (&json!("n1"), &json!(10_000_000))
    );
    assert!(reaches(lab, "p1", "p2"));
    lab.ok(&["fault", "heal", "n1"]);
    assert!(
        ends()
            .iter()
            .all(|end| !end.contains("tbf") && !end.contains("netem"))
    );
    assert_eq!(faults(lab), json!([]));
}

#[test]
fn a_node_fills_up_and_dies_and_etcd_starts_again() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "2", "--store", "etcd"]);
    run(&lab, "n1", "here");
    // A name that the lab itself might have used.
    run(&lab, "n1", "lab-fill");
    run(&lab, "n2", "there");
    a_full_subnet_takes_no_pod_until_it_is_mended(&lab);
    etcd_starts_again_on_what_it_had(&lab);
    a_killed_node_is_gone_at_once_and_comes_back(&lab);
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

fn a_full_subnet_takes_no_pod_until_it_is_mended(lab: &TestLab) {
    lab.ok(&["fault", "fill-subnet", "n1"]);
    let late = ["run", "late", "--node", "n1", "--", "sleep", "1000"];
    let error = lab.fails(1, &late);
    assert!(error.contains("no IP addresses available"), "{error}");
    run(lab, "n2", "elsewhere");
    // The address that a pod gives back is taken, too.
    let first = lab.address("here");
    lab.ok(&["delete", "pod", "here"]);
    lab.ok(&["fault", "fill-subnet", "n1"]);
    lab.fails(1, &late);
    lab.ok(&["fault", "heal", "n1"]);
    lab.ok(&late);
    run(lab, "n1", "here");
    assert_eq!(prefix(&lab.address("here")), prefix(&first));
    let reservations = lab.on_node("n1", &["ls", "/var/lib/cni/networks/cbr0"]);
    let reservations = reservations.lines().filter(|name| name.starts_with("10."));
    assert_eq!(reservations.count(), 3, "those of the pods");
    let namespaces = lab.on_node("n1", &["ls", "-A", "/run/netns"]);
    assert_eq!(namespaces, "here\nlab-fill\nlate\n");
}

fn prefix(address: &str) -> &str {
    address.rsplit_once('.').unwrap().0
}

fn etcd_starts_again_on_what_it_had(lab: &TestLab) {
    let before = process(lab, "etcd", "etcd");
    lab.ok(&["fault", "restart", "etcd"]);
    assert_ne!(process(lab, "etcd", "etcd"), before);
    assert_eq!(state(before), None);
    // A new netd finds its configuration and its lease there.
    let subnet = lab.address("there");
    lab.ok(&["node", "stop", "n2"]);
    assert_eq!(faults(lab), json!([{ "fault": "stopped", "node": "n2" }]));
    who_waits_is_told_for_whom(lab);
    wait_until("netd of n2 has its lease", || {
        let log = fs::read_to_string(lab.dir().join("nodes/n2/netd.log")).unwrap();
        log.matches(prefix(&subnet)).count() > 1 && status(lab, "n2")["ready"] == true
    });
    assert!(reaches(lab, "here", "there"));
}

/// Starts n2, which needs the lab for itself, while this process has it.
fn who_waits_is_told_for_whom(lab: &TestLab) {
    let held = fs::File::open(lab.dir()).unwrap();
    held.lock().unwrap();
    let mut waiting = lab.command(&["node", "start", "n2"]);
    let piped = waiting.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut waiting = piped.spawn().unwrap();
    let mut said = BufReader::new(waiting.stderr.take().unwrap()).lines();
    let told = said.next().unwrap().unwrap();
    assert!(told.starts_with("waiting for `faults-"), "{told}");
    let own = format!("(process {})...", std::process::id());
    assert!(told.ends_with(&own), "{told}");
    drop(held);
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"node n2 started\n");
}

/// What netd says of itself; nothing while it does not answer.
#[allow(clippy::disallowed_methods, reason = "a look from outside")]
fn status(lab: &TestLab, node: &str) -> Value {
    let netd = Path::new(env!("CARGO_BIN_EXE_lab")).with_file_name("netd");
    let socket = format!("/proc/{}/root/run/podwire/netd.sock", lab.holder(node));
    let asked = ["status", "-output", "json", "-status-socket", &socket];
    let output = std::process::Command::new(netd)
        .args(asked)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn a_killed_node_is_gone_at_once_and_comes_back(lab: &TestLab) {
    let pids = [process(lab, "netd", "n2"), process(lab, "pod", "there")];
    lab.ok(&["fault", "pause-node", "n2"]);
    lab.ok(&["fault", "kill-node", "n2"]);
    assert_eq!(pids.map(state), [None, None]);
    assert_eq!(lab.pod("there")["state"], "killed");
    assert_eq!(lab.pod("here")["state"], "running");
    assert_eq!(faults(lab), json!([{ "fault": "stopped", "node": "n2" }]));
    let late = ["run", "late", "--node", "n2", "--", "true"];
    let refused = lab.fails(1, &late);
    assert!(
        refused.contains("node n2 takes no pods, its netd does not run: `lab node start n2`"),
        "{refused}"
    );
    let stays = lab.ok(&["fault", "heal", "n2"]);
    assert_eq!(
        stays,
        "fault stopped of n2 stays: no netd; `lab node start n2`\n"
    );
    let carrier = || lab.on_node("n2", &["cat", "/sys/class/net/eth0/carrier"]);
    assert_eq!(carrier(), "0\n");
    lab.ok(&["node", "start", "n2"]);
    assert_eq!(carrier(), "1\n");
    assert_eq!(faults(lab), json!([]));
    lab.ok(&["delete", "pod", "there", "elsewhere"]);
    run(lab, "n2", "there");
    wait_until("n2 is back", || reaches(lab, "here", "there"));
}

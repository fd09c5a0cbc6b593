//! However a lab ends, nothing is left: kill -9 at any moment of `up`, Ctrl-C at any moment, the
//! death of any of its processes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use common::{TestLab, signal, signal_pid, wait_until};
use serde_json::{Value, json};

/// A manifest of a pod that sleeps; that does not hear SIGTERM when it is `deaf`.
fn manifest(lab: &TestLab, name: &str, is_deaf: bool) -> String {
    let script = match is_deaf {
        true => "trap '' TERM; sleep 1000",
        false => "exec sleep 1000",
    };
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": {
            "terminationGracePeriodSeconds": if is_deaf { 1000 } else { 2 },
            "containers": [{ "name": "main", "command": ["sh", "-c", script] }],
        },
    });
    let file = lab.dir().join(format!("{name}.json"));
    fs::write(&file, pod.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Runs a command twice at the same time; what both printed, in order.
fn twice(lab: &TestLab, arguments: &[&str]) -> [String; 2] {
    let output = || lab.ok(arguments);
    let mut both = std::thread::scope(|scope| {
        let other = scope.spawn(output);
        [output(), other.join().unwrap()]
    });
    both.sort();
    both
}

#[test]
fn what_a_killed_command_left_of_a_pod_does_not_keep_its_name() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "1"]);
    let pods = lab.dir().join("pods");
    // Before its file was written; and while it was removed, by a lab that did not rename it.
    fs::create_dir(pods.join("early")).unwrap();
    fs::create_dir(pods.join("late")).unwrap();
    fs::write(pods.join("late/deletion.json"), "{").unwrap();
    for name in ["early", "late"] {
        lab.fails(1, &["delete", "pod", name]);
        lab.ok(&["run", name, "--", "sleep", "1000"]);
        lab.ok(&["exec", name, "--", "true"]);
    }
    // Before its supervisor was there.
    let file = manifest(&lab, "web", false);
    lab.ok(&["apply", "-f", &file]);
    let noted = pods.join("web/pod.json");
    let mut pod: Value = serde_json::from_slice(&fs::read(&noted).unwrap()).unwrap();
    lab.ok(&["delete", "pod", "web"]);
    assert!(!pods.join("web").exists() && !pods.join(".web.gone").exists());
    pod["supervisor"] = Value::Null;
    pod["network"] = Value::Null;
    fs::create_dir(pods.join("web")).unwrap();
    fs::write(&noted, pod.to_string()).unwrap();
    assert_eq!(lab.pod("web")["state"], "incomplete");
    let get = ["get", "pod", "web", "--no-headers"];
    assert!(lab.ok(&get).contains(" CreationKilled "));
    let described = lab.ok(&["describe", "pod", "web"]);
    assert!(
        described.contains("was killed: the same again"),
        "{described}"
    );
    // As long as who makes it lives, it is made.
    pod["maker"] = json!(sandbox::Process::current().unwrap());
    fs::write(&noted, pod.to_string()).unwrap();
    assert!(lab.ok(&get).contains(" ContainerCreating "));
    assert_eq!(lab.pod("web")["state"], "pending");
    assert_eq!(lab.ok(&["apply", "-f", &file]), "pod/web created\n");
    assert_eq!(lab.ok(&["apply", "-f", &file]), "pod/web unchanged\n");
    lab.ok(&["exec", "web", "--", "true"]);
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

/// As when one is deleted and made again between two looks.
fn who_waits_for_the_end_of_a_pod_does_not_wait_for_its_successor(lab: &TestLab, file: &str) {
    lab.ok(&["apply", "-f", file]);
    let waits = ["wait", "pod/web", "--for=delete", "--timeout=60s"];
    let mut waiting = lab.command(&waits).stderr(Stdio::piped()).spawn().unwrap();
    // It says so when it has looked.
    let mut said = BufReader::new(waiting.stderr.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "waiting for pod/web...");
    let path = lab.dir().join("pods/web/pod.json");
    let mut pod: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    pod["uid"] = json!("of-another-pod");
    fs::write(&path, pod.to_string()).unwrap();
    assert!(waiting.wait().unwrap().success());
    lab.ok(&["delete", "pod", "web"]);
}

#[test]
fn commands_for_one_pod_at_the_same_time() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "1"]);
    let file = manifest(&lab, "web", false);
    who_waits_for_the_end_of_a_pod_does_not_wait_for_its_successor(&lab, &file);
    for _ in 0..3 {
        let applied = twice(&lab, &["apply", "-f", &file]);
        assert_eq!(applied, ["pod/web created\n", "pod/web unchanged\n"]);
        twice(&lab, &["delete", "pod", "web", "--ignore-not-found"]);
        assert_eq!(lab.pods(), [""; 0]);
    }
    // While it is started.
    for moment in MOMENTS.into_iter().skip(1).step_by(2) {
        let mut apply = lab.start(&["apply", "-f", &file]);
        std::thread::sleep(Duration::from_millis(moment));
        lab.ok(&["delete", "-f", &file, "--ignore-not-found"]);
        // It has failed when it was quicker than the deletion, and not so far.
        apply.wait().unwrap();
        lab.ok(&["delete", "-f", &file, "--ignore-not-found"]);
    }
    assert_eq!(fs::read_dir(lab.dir().join("pods")).unwrap().count(), 0);
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn ctrl_c_ends_the_waiting_for_a_pod_and_nobody_else_waits_for_it() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "1"]);
    lab.ok(&["apply", "-f", &manifest(&lab, "deaf", true)]);
    let mut deletion = lab.start(&["delete", "pod", "deaf"]);
    let wish = lab.dir().join("pods/deaf/deletion.json");
    wait_until("it was asked to end", || wish.exists());
    // It wants the lab for itself.
    let refused = lab.fails(1, &["node", "start", "n1"]);
    assert!(refused.contains("netd runs already"), "{refused}");
    signal(&deletion, "INT");
    assert_eq!(deletion.wait().unwrap().code(), Some(130));
    lab.ok(&["delete", "pod", "deaf", "--now"]);
    assert_eq!(lab.pods(), [""; 0]);
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn a_program_beside_a_container_ends_with_its_command() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "1"]);
    lab.ok(&["run", "web", "--", "sleep", "1000"]);
    let script = "touch /tmp/ready; exec sleep 1000";
    let mut exec = lab.start(&["exec", "web", "--", "sh", "-c", script]);
    let is_ready = ["exec", "web", "--", "rm", "/tmp/ready"];
    wait_until("it runs", || lab.run(&is_ready).status.success());
    signal(&exec, "TERM");
    assert_eq!(exec.wait().unwrap().code(), Some(143));
    let left = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o '[s]leep 1000' | wc -l";
    let left = lab.ok(&["exec", "web", "--", "sh", "-c", left]);
    // The pod's own.
    assert_eq!(left.trim(), "1");
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

/// Moments of an `up`, from its first steps to after its end; in milliseconds.
const MOMENTS: [u64; 12] = [0, 2, 4, 6, 9, 13, 18, 25, 40, 70, 130, 400];

#[test]
fn kill_9_at_any_moment_of_up() {
    let Some(lab) = TestLab::new() else { return };
    for moment in MOMENTS {
        let mut up = lab.start(&["up", "--nodes", "2"]);
        std::thread::sleep(Duration::from_millis(moment));
        up.kill().unwrap();
        up.wait().unwrap();
        // Before the directory is there, nothing else is.
        let there = lab.dir().exists();
        let down = lab.run(&["down"]);
        assert_eq!(down.status.success(), there, "after {moment} ms: {down:?}");
        lab.assert_nothing_left();
    }
}

#[test]
fn kill_9_of_up_alone_ends_the_processes() {
    let Some(lab) = TestLab::new() else { return };
    let mut up = lab.start(&["up", "--nodes", "2", "--store", "etcd"]);
    while !lab.dir().join("nodes/n1/node.json").exists() {
        assert!(
            up.try_wait().unwrap().is_none(),
            "`up` was too fast for the test"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    up.kill().unwrap();
    up.wait().unwrap();
    wait_until("the end of its processes", || lab.processes().is_empty());
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn ctrl_c_at_any_moment_of_up_takes_down_what_was_built() {
    let Some(lab) = TestLab::new() else { return };
    for (moment, name, code) in [
        (3, "INT", 130),
        (10, "TERM", 143),
        (20, "INT", 130),
        (60, "TERM", 143),
    ] {
        let mut up = lab.start(&["up", "--nodes", "8", "--store", "etcd"]);
        std::thread::sleep(Duration::from_millis(moment));
        signal(&up, name);
        let status = up.wait().unwrap();
        // In its very first moments no handler is there yet.
        let ended = status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal));
        assert_eq!(ended, Some(code), "after {moment} ms");
        lab.assert_nothing_left();
    }
}

#[test]
fn the_end_of_the_keeper_is_the_end_of_the_lab() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "2"]);
    lab.ok(&["run", "web", "--memory", "64M", "--", "sleep", "1000"]);
    let keeper: Value =
        serde_json::from_slice(&fs::read(lab.dir().join("keeper.json")).unwrap()).unwrap();
    signal_pid(
        u32::try_from(keeper["pid"].as_u64().unwrap()).unwrap(),
        "KILL",
    );
    wait_until("the end of its processes", || lab.processes().is_empty());
    lab.wait_for_state("web", "killed");
    // At once, though the kernel has not done with the keeper yet; and every command says it.
    let list = lab.run(&["ps"]);
    assert!(list.status.success());
    let (table, words) = (
        String::from_utf8(list.stdout).unwrap(),
        String::from_utf8(list.stderr).unwrap(),
    );
    assert!(!table.contains("running"), "{table}");
    let advice = format!("`lab down --lab {}`", lab.name);
    let tells = |words: &str| words.contains("has stopped") && words.contains(&advice);
    assert!(tells(&words), "{words}");
    assert_eq!(lab.json(&["ps"])["running"], false);
    for arguments in [
        &["run", "late", "--", "true"][..],
        &["node", "stop", "n1"],
        &["node", "start", "n1"],
    ] {
        let error = lab.fails(1, arguments);
        assert!(tells(&error), "{arguments:?}: {error}");
    }
    for arguments in [
        &["stats"][..],
        &["events"],
        &["metrics"],
        &["fault", "ls"],
        &["get", "pods"],
    ] {
        let output = lab.run(arguments);
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.success() && tells(&words),
            "{arguments:?}: {words}"
        );
    }
    let manifest = manifest(&lab, "later", false);
    for arguments in [
        &["exec", "web", "--", "true"][..],
        &["apply", "-f", &manifest],
    ] {
        let error = lab.fails(1, arguments);
        assert!(tells(&error), "{arguments:?}: {error}");
    }
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn a_killed_pod_can_be_removed_and_started_again() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "1"]);
    let run = ["run", "web", "--", "sleep", "1000"];
    lab.ok(&run);
    signal_pid(
        u32::try_from(lab.pod("web")["pid"].as_u64().unwrap()).unwrap(),
        "KILL",
    );
    lab.wait_for_state("web", "killed");
    lab.ok(&["delete", "pod", "web"]);
    lab.ok(&run);
    lab.ok(&["exec", "web", "--", "true"]);
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn kill_9_at_any_moment_of_pod_run() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "1"]);
    for moment in MOMENTS {
        let mut run = lab.start(&["run", "web", "--", "sleep", "1000"]);
        std::thread::sleep(Duration::from_millis(moment));
        run.kill().unwrap();
        run.wait().unwrap();
        if lab.dir().join("pods/web/pod.json").exists() {
            lab.ok(&["delete", "pod", "web"]);
        }
        assert!(
            !lab.dir().join("pods/web/pod.json").exists(),
            "after {moment} ms"
        );
    }
    lab.ok(&["run", "last", "--", "sleep", "1000"]);
    lab.ok(&["exec", "last", "--", "true"]);
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn a_killed_netd_leaves_the_datapath_and_starts_again() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "2"]);
    lab.ok(&["run", "here", "--node", "n1", "--", "sleep", "1000"]);
    lab.ok(&["run", "there", "--node", "n2", "--", "sleep", "1000"]);
    let subnets = |lab: &TestLab| {
        let view = lab.json(&["ps"]);
        let processes = view["processes"].as_array().unwrap().clone();
        processes
            .into_iter()
            .filter(|each| each["kind"] == "netd")
            .collect::<Vec<Value>>()
    };
    let before = subnets(&lab);
    signal_pid(
        u32::try_from(before[1]["pid"].as_u64().unwrap()).unwrap(),
        "KILL",
    );
    let address = lab.address("there");
    lab.ok(&["exec", "here", "--", "ping", "-c", "1", "-W", "5", &address]);
    lab.ok(&["node", "start", "n2"]);
    let after = subnets(&lab);
    assert_eq!(before[1]["subnet"], after[1]["subnet"]);
    assert_ne!(before[1]["pid"], after[1]["pid"]);
    lab.ok(&["exec", "here", "--", "ping", "-c", "1", "-W", "5", &address]);
    a_node_that_has_ended_is_refused(&lab);
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

/// Of `n2`, whose namespaces others are in still.
fn a_node_that_has_ended_is_refused(lab: &TestLab) {
    let node: Value =
        serde_json::from_slice(&fs::read(lab.dir().join("nodes/n2/node.json")).unwrap()).unwrap();
    let holder = node["holder"]["pid"].as_u64().unwrap();
    signal_pid(u32::try_from(holder).unwrap(), "KILL");
    wait_until("the end of n2", || {
        lab.ok(&["get", "nodes"]).contains("n2    NotReady,Ended")
    });
    for words in [
        &["run", "z", "--node", "n2", "--", "true"][..],
        &["node", "stop", "n2"],
        &["node", "start", "n2"],
        &["fault", "pause-node", "n2"],
        &["fault", "kill-node", "n2"],
        &["fault", "delay", "n2", "20"],
    ] {
        let said = lab.fails(1, words);
        assert!(said.contains("node n2 has ended"), "{words:?}: {said}");
    }
    let faults = lab.json(&["fault", "ls"]);
    assert_eq!(faults[0]["fault"], "ended", "{faults}");
    assert!(
        lab.ok(&["fault", "heal"])
            .contains("fault ended of n2 stays: ")
    );
}

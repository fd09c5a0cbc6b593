//! Pods on nodes: network, limits, roots, exit status; and that `down` leaves nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use common::{TestLab, signal_pid, wait_until};
use serde_json::json;

const SERVER: &str = "mkdir -p /srv/www/cgi-bin && hostname >/srv/www/index.html && \
                      printf '#!/bin/sh\necho\necho $REMOTE_ADDR\n' >/srv/www/cgi-bin/peer && \
                      chmod 755 /srv/www/cgi-bin/peer && \
                      exec busybox httpd -f -p 80 -h /srv/www";

fn pods_reach_each_other(lab: &TestLab, up: &[&str]) {
    lab.ok(&[&["up", "--nodes", "2"], up].concat());
    let created = lab.ok(&["run", "here", "--node", "n1", "--", "sh", "-c", SERVER]);
    let place = format!(
        "pod/here created on n1: {} (attached in ",
        lab.address("here")
    );
    assert!(created.starts_with(&place), "{created}");
    lab.ok(&["run", "there", "--node", "n2", "--", "sh", "-c", SERVER]);
    for (from, to) in [("here", "there"), ("there", "here"), ("here", "here")] {
        let address = lab.address(to);
        lab.ok(&["exec", from, "--", "ping", "-c", "1", "-W", "5", &address]);
        let curl = [
            "curl",
            "-sS",
            "--retry",
            "20",
            "--retry-connrefused",
            "--retry-delay",
            "1",
        ];
        let page = lab.ok(&[&["exec", from, "--"], &curl[..], &[&address]].concat());
        assert_eq!(page, format!("{to}\n"));
        let seen = format!("http://{address}/cgi-bin/peer");
        let seen = lab.ok(&[&["exec", from, "--"], &curl[..], &[&seen]].concat());
        let seen = seen.trim().trim_matches(['[', ']']);
        assert_eq!(seen.trim_start_matches("::ffff:"), lab.address(from));
    }
    let here = lab.pod("here");
    assert_eq!(
        (&here["node"], &here["state"]),
        (&json!("n1"), &json!("running"))
    );
    let processes = lab.json(&["ps"]);
    assert_eq!(processes["running"], true);
    let kinds: Vec<&str> = processes["processes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| each["kind"].as_str().unwrap())
        .collect();
    for kind in ["keeper", "node", "netd", "pod"] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
    lab.ok(&["delete", "pod", "here", "there"]);
    assert_eq!(lab.pods(), [""; 0]);
    // Nothing of the pods is left on the nodes.
    for node in ["n1", "n2"] {
        let state: serde_json::Value = serde_json::from_slice(
            &fs::read(lab.dir().join("nodes").join(node).join("node.json")).unwrap(),
        )
        .unwrap();
        let root = format!("/proc/{}/root", state["holder"]["pid"]);
        for empty in [
            "/run/netns",
            "/run/podwire-pods",
            "/var/lib/cni/results",
            "/var/lib/cni/flannel",
        ] {
            // Not made by every backend.
            let left: Vec<_> = fs::read_dir(format!("{root}{empty}"))
                .into_iter()
                .flatten()
                .flatten()
                .collect();
            assert!(left.is_empty(), "{empty} on {node}: {left:?}");
        }
    }
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn pods_reach_each_other_over_vxlan_with_a_directory() {
    let Some(lab) = TestLab::new() else { return };
    pods_reach_each_other(&lab, &["--backend", "vxlan", "--store", "dir"]);
}

#[test]
fn pods_reach_each_other_over_host_gw_with_etcd() {
    let Some(lab) = TestLab::new() else { return };
    pods_reach_each_other(&lab, &["--backend", "host-gw", "--store", "etcd"]);
}

#[test]
fn pods_reach_each_other_over_udp_with_a_directory() {
    let Some(lab) = TestLab::new() else { return };
    pods_reach_each_other(&lab, &["--backend", "udp", "--store", "dir"]);
}

#[test]
fn limits_are_enforced_and_the_state_says_so() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "1"]);
    let eater = "head -c 200M /dev/zero | tail";
    lab.ok(&["run", "eater", "--memory", "64M", "--", "sh", "-c", eater]);
    lab.wait_for_state("eater", "out of memory");

    // A fork bomb that is no longer one.
    let forks = "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; wait";
    let run = ["run", "forks", "--pids", "6", "--cpus", "0.5"];
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    let controllers = controllers.unwrap_or_default();
    let has_controller = |version_1: &str, version_2: &str| {
        Path::new("/sys/fs/cgroup").join(version_1).exists()
            || controllers.split_whitespace().any(|each| each == version_2)
    };
    let has_disk = ["vda", "sda", "nvme0n1"]
        .iter()
        .any(|disk| Path::new("/sys/block").join(disk).exists());
    let limits_disks = has_controller("blkio", "io") && has_disk;
    let limits_processors = has_controller("cpuset", "cpuset");
    let mut further = Vec::new();
    further.extend(limits_disks.then_some(["--io-read", "16M"]));
    further.extend(limits_processors.then_some(["--cpuset", "0"]));
    lab.ok(&[&run[..], further.as_flattened(), &["--", "sh", "-c", forks]].concat());
    lab.wait_for_state("forks", "exited (2)");
    assert!(lab.ok(&["logs", "forks"]).contains("fork"));

    let hierarchies = sandbox::cgroup::Hierarchies::detect().unwrap();
    let group = format!("podwire-lab/{}/forks/c-forks", lab.name);
    let files: Vec<_> = hierarchies
        .roots()
        .iter()
        .map(|root| root.join(&group))
        .collect();
    let read = |file: &str| {
        files
            .iter()
            .find_map(|each| fs::read_to_string(each.join(file)).ok())
    };
    let cpu = read("cpu.max")
        .or_else(|| read("cpu.cfs_quota_us"))
        .unwrap();
    assert!(cpu.starts_with("50000"), "{cpu}");
    assert_eq!(read("pids.max").unwrap(), "6\n");
    if limits_disks {
        let read_limit = read("io.max").or_else(|| read("blkio.throttle.read_bps_device"));
        let read_limit = read_limit.unwrap();
        assert!(read_limit.contains("16777216"), "{read_limit}");
    }
    if limits_processors {
        assert_eq!(read("cpuset.cpus").unwrap(), "0\n");
    }
    let too_many = ["run", "far", "--cpuset", "8191", "--", "true"];
    let told = lab.fails(1, &too_many);
    assert!(told.contains("there is no processor 8191 here"), "{told}");
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn a_root_is_copy_on_write_and_the_machines_processes_are_out_of_sight() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "1"]);
    let marker = format!("/etc/podwire-{}", lab.name);
    lab.ok(&["run", "writer", "--", "sleep", "1000"]);
    lab.ok(&[
        "exec",
        "writer",
        "--",
        "sh",
        "-c",
        &format!("echo changed >{marker}"),
    ]);
    assert_eq!(
        lab.ok(&["exec", "writer", "--", "cat", &marker]),
        "changed\n"
    );
    assert!(
        !fs::exists(&marker).unwrap(),
        "the machine's root was written to"
    );
    assert_eq!(lab.ok(&["exec", "writer", "--", "hostname"]), "writer\n");
    let hosts = lab.ok(&["exec", "writer", "--", "cat", "/etc/hosts"]);
    assert!(
        hosts.contains(&format!("{} writer\n", lab.address("writer"))),
        "{hosts}"
    );
    let processes = lab.ok(&["exec", "writer", "--", "sh", "-c", "echo /proc/[0-9]*"]);
    assert!(processes.split_whitespace().count() <= 4, "{processes}");
    let write = [
        "exec",
        "writer",
        "--",
        "sh",
        "-c",
        "echo 1 >/sys/kernel/profiling",
    ];
    let error = lab.fails(2, &write);
    assert!(error.contains("Read-only file system"), "{error}");
    // Another pod sees nothing of it.
    lab.ok(&["run", "other", "--", "sleep", "1000"]);
    lab.fails(1, &["exec", "other", "--", "cat", &marker]);

    // A root of the pod's own: one static program.
    let image = tempfile::tempdir().unwrap();
    fs::create_dir(image.path().join("bin")).unwrap();
    fs::copy("/usr/bin/busybox", image.path().join("bin/busybox")).unwrap();
    let rootfs = image.path().to_str().unwrap();
    let busybox = "/bin/busybox";
    let run = [
        "run", "image", "--rootfs", rootfs, "--", busybox, "sleep", "1000",
    ];
    lab.ok(&run);
    let listed = lab.ok(&["exec", "image", "--", busybox, "ls", "/"]);
    assert_eq!(
        listed.split_whitespace().collect::<Vec<_>>(),
        ["bin", "dev", "etc", "proc", "sys"]
    );
    lab.ok(&["exec", "image", "--", busybox, "touch", "/bin/new"]);
    assert!(!image.path().join("bin/new").exists());
    lab.ok(&["down"]);
    lab.assert_nothing_left();
    assert_eq!(
        fs::read_dir(image.path()).unwrap().count(),
        1,
        "the image was written to"
    );
}

/// A process of this name that loses its parent, says that it ends, and does.
const ORPHAN: &str = "(sh -c 'echo orphan >/proc/self/comm; sleep 0.2; touch /tmp/ends' &)";

#[track_caller]
fn wait_until_succeeds(lab: &TestLab, arguments: &[&str]) {
    let what = format!("the success of {arguments:?}");
    wait_until(&what, || lab.run(arguments).status.success());
}

#[track_caller]
fn end_of(command: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(status) = command.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "the program does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The signal is one process's, as from `kill -INT`: no terminal gives it to those that this one has started.
fn a_signal_ends_what_looks_from_beside(lab: &TestLab) {
    let looks = [
        "debug",
        "polite",
        "--",
        "sh",
        "-c",
        "echo looks; sleep 904711; true",
    ];
    let mut debug = lab.command(&looks);
    let mut debug = debug.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let output = debug.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    assert_eq!(line, "looks\n");
    signal_pid(debug.id(), "INT");
    assert_eq!(end_of(&mut debug).code(), Some(130));
    let left = fs::read_dir("/proc").unwrap().flatten().find(|process| {
        let line = fs::read_to_string(process.path().join("cmdline"));
        line.is_ok_and(|line| line.contains("904711"))
    });
    assert!(left.is_none(), "{left:?}");
}

#[test]
fn pid_1_passes_signals_on_and_reaps() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "1"]);
    let polite = "trap 'echo good-bye >&2; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    lab.ok(&["run", "polite", "--", "sh", "-c", polite]);
    // The shell under exec ends first; its child is left to PID 1.
    lab.ok(&["exec", "polite", "--", "sh", "-c", ORPHAN]);
    // A zombie keeps its name.
    let gone = "test -e /tmp/ends && ! grep -q '^Name:.orphan$' /proc/[0-9]*/status";
    wait_until_succeeds(&lab, &["exec", "polite", "--", "sh", "-c", gone]);
    // Ctrl-C reaches a program that has no terminal by way of the lab.
    let asked = "trap 'touch /tmp/asked' INT; trap 'exit 7' TERM; touch /tmp/asks; while :; do sleep 0.05; done";
    let mut exec = lab.command(&["exec", "polite", "--", "sh", "-c", asked]);
    let mut exec = exec.spawn().unwrap();
    let asks = ["exec", "polite", "--", "test", "-e", "/tmp/asks"];
    wait_until_succeeds(&lab, &asks);
    // Each of them.
    for _ in 0..2 {
        signal_pid(exec.id(), "INT");
        wait_until_succeeds(&lab, &["exec", "polite", "--", "rm", "/tmp/asked"]);
    }
    signal_pid(exec.id(), "TERM");
    assert_eq!(end_of(&mut exec).code(), Some(7));
    a_signal_ends_what_looks_from_beside(&lab);
    wait_until("its word that it is ready", || {
        lab.ok(&["logs", "polite"]).contains("ready")
    });
    signal_pid(
        u32::try_from(lab.pod("polite")["pid"].as_u64().unwrap()).unwrap(),
        "TERM",
    );
    lab.wait_for_state("polite", "exited (3)");
    assert_eq!(lab.ok(&["logs", "polite"]), "ready\ngood-bye\n");
    let log = fs::read_to_string(lab.dir().join("pods/polite/logs/polite/0.0.log")).unwrap();
    let entries: Vec<&str> = log.lines().map(|line| &line[31..]).collect();
    assert_eq!(entries, ["stdout F ready", "stderr F good-bye"]);
    lab.fails(1, &["exec", "polite", "--", "true"]);
    lab.ok(&["delete", "pod", "polite"]);
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn run_makes_the_pod_that_a_manifest_makes() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "2"]);
    let run = [
        "run",
        "one",
        "--env",
        "WORD=$(HOSTNAME) $$",
        "--labels",
        "app=a,tier=b",
    ];
    let script = "echo \"$WORD\"; exit 3";
    lab.ok(&[
        &run[..],
        &["--restart", "OnFailure", "--", "sh", "-c", script],
    ]
    .concat());
    lab.ok(&["run", "two", "--", "true"]);
    let get = |pod: &str| -> serde_json::Value {
        serde_json::from_str(&lab.ok(&["get", "pod", pod, "-o", "json"])).unwrap()
    };
    let one = get("one");
    assert_eq!(
        one["metadata"]["labels"],
        json!({ "app": "a", "tier": "b" })
    );
    assert_eq!(one["spec"]["restartPolicy"], "OnFailure");
    let container = &one["spec"]["containers"][0];
    assert_eq!(
        container["args"],
        json!(["sh", "-c", "echo \"$$WORD\"; exit 3"])
    );
    let two = get("two");
    assert_eq!(two["metadata"]["labels"], json!({ "run": "two" }));
    assert_eq!(two["spec"]["restartPolicy"], "Never");
    // Each to the node that has fewest.
    assert_ne!(one["spec"]["nodeName"], two["spec"]["nodeName"]);
    assert_eq!(lab.ok(&["logs", "one"]), "$(HOSTNAME) $$\n");
    lab.wait_for_state("two", "exited (0)");
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn exec_ends_as_the_program_does() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "1"]);
    lab.ok(&["run", "web", "--", "sleep", "1000"]);
    lab.fails(7, &["exec", "web", "--", "sh", "-c", "exit 7"]);
    lab.fails(143, &["exec", "web", "--", "sh", "-c", "kill $$"]);
    let error = lab.fails(127, &["exec", "web", "--", "no-such-program"]);
    assert!(
        error.contains("start \"no-such-program\" in pod web"),
        "{error}"
    );
    lab.fails(126, &["exec", "web", "--", "/etc/hosts"]);
    lab.ok(&["delete", "pod", "web", "web"]);
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

#[test]
fn what_cannot_be_done_is_said_and_leaves_nothing() {
    let Some(lab) = TestLab::new() else { return };
    let says = |code: i32, arguments: &[&str], words: &str| {
        let error = lab.fails(code, arguments);
        assert!(error.contains(words), "lab {arguments:?} said {error}");
    };
    says(1, &["down"], "there is no lab");
    says(1, &["get", "pods"], "there is no lab");
    says(2, &["up", "--nodes", "many"], "invalid value");
    says(2, &["up", "--nodes", "0"], "give 1 to 64");
    says(2, &["up", "--backend", "carrier-pigeon"], "vxlan");
    says(
        1,
        &["up", "--bin-dir", "/nowhere"],
        "there is no executable \"netd\" in /nowhere",
    );
    lab.assert_nothing_left();

    lab.ok(&["up", "--nodes", "1"]);
    says(1, &["up"], "exists already");
    let run = |extra: &[&'static str]| [&["run", "web"], extra].concat();
    says(
        1,
        &run(&["--node", "n9", "--", "true"]),
        "there is no node \"n9\"",
    );
    says(
        2,
        &run(&["--memory", "lots", "--", "true"]),
        "is not a number of bytes",
    );
    says(
        2,
        &run(&["--memory", "1", "--", "true"]),
        "give at least 6291456, which is 6M",
    );
    says(2, &run(&["--pids", "1", "--", "true"]), "give 2 or more");
    says(
        2,
        &run(&["--cpus=-1", "--", "true"]),
        "out of range for a number of processors",
    );
    says(2, &["run", "Web", "--", "true"], "is not a name");
    says(
        1,
        &run(&["--rootfs", "/etc/passwd", "--", "true"]),
        "not a directory",
    );
    says(1, &run(&["--", "no-such-program"]), "start no-such-program");
    assert_eq!(
        lab.pods(),
        [""; 0],
        "a pod that could not be started is listed"
    );
    lab.ok(&run(&["--", "sleep", "1000"]));
    says(1, &run(&["--", "sleep", "1000"]), "exists already");
    says(1, &["delete", "pod", "web-2"], "there is no pod \"web-2\"");
    says(1, &["node", "start", "n1"], "netd runs already");
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

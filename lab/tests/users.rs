//! Pods whose users are nobody on the machine, and pods with clocks of their own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{TestLab, root_can_be_of_others};
use kernel::testing::skipped;
use nix::libc;
use serde_json::{Value, json};

/// Starts pods on n1, by name, annotations and spec.
fn apply(lab: &TestLab, pods: &[(&str, Value, Value)]) {
    let file = file_of(lab, pods);
    lab.ok(&["apply", "--node", "n1", "-f", &file]);
}

fn file_of(lab: &TestLab, pods: &[(&str, Value, Value)]) -> String {
    let items: Vec<Value> = pods
        .iter()
        .map(|(name, annotations, spec)| {
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": name, "annotations": annotations }, "spec": spec,
            })
        })
        .chain([json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "page" },
            "data": { "index.html": "hello" },
        })])
        .collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
    let file = lab.dir().join("pods.json");
    fs::write(&file, list.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

/// What a shell in a container prints; it must succeed.
#[track_caller]
fn sh(lab: &TestLab, pod: &str, container: &str, script: &str) -> String {
    lab.ok(&["exec", pod, "-c", container, "--", "sh", "-euc", script])
}

fn container(name: &str, script: &str, further: Value) -> Value {
    let mut container = json!({ "name": name, "command": ["sh", "-c", script] });
    let fields = further.as_object().unwrap().clone();
    container.as_object_mut().unwrap().extend(fields);
    container
}

/// Where the users of a pod begin on the machine, as the kernel has it.
fn first_user(lab: &TestLab, pod: &str, container: &str) -> u32 {
    let map = sh(
        lab,
        pod,
        container,
        "cat /proc/self/uid_map /proc/self/gid_map",
    );
    let words: Vec<&str> = map.split_whitespace().collect();
    assert_eq!(words[..3], words[3..], "{map}");
    assert_eq!((words[0], words[2]), ("0", "65536"), "{map}");
    words[1].parse().unwrap()
}

#[test]
fn a_pods_root_is_nobody_on_the_machine_and_root_over_its_own() {
    if !root_can_be_of_others() {
        skipped("needs a root file system that can be mounted with other owners");
        return;
    }
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "1"]);
    // Not in memory, which can be mounted with other owners since Linux 6.3.
    let host = tempfile::tempdir_in("/var/tmp").unwrap();
    let host = host.path();
    fs::write(host.join("of-root"), "").unwrap();
    let mounts = json!([
        { "name": "data", "mountPath": "/new/data" }, { "name": "page", "mountPath": "/new/page" },
        { "name": "host", "mountPath": "/new/host" },
    ]);
    let idle = "exec sleep 1000";
    let admin = json!({
        "volumeMounts": mounts, "securityContext": { "capabilities": { "add": ["NET_ADMIN"] } },
        "readinessProbe": { "exec": { "command": ["sh", "-c", "test -O /new/data && echo >/dev/stdout"] }, "periodSeconds": 1 },
    });
    let user = json!({ "volumeMounts": mounts, "securityContext": { "runAsUser": 1000, "runAsGroup": 1001 } });
    let restarts = "test -e /new/data/again && exec sleep 1000; touch /new/data/again; exit 1";
    let debugging = json!({ "securityContext": { "capabilities": { "add": ["SYS_PTRACE"] } } });
    let privileged = json!({ "securityContext": { "privileged": true } });
    // Pods of another lab count by their users alone, whatever else its version notes.
    let other = lab.dir().with_file_name("other");
    fs::create_dir_all(other.join("pods/x")).unwrap();
    fs::write(other.join("pods/x/pod.json"), "{}").unwrap();
    apply(
        &lab,
        &[
            (
                "own",
                json!({ "lab.podwire/boottime-offset": "2000000", "lab.podwire/monotonic-offset": "1000000" }),
                json!({
                    "hostUsers": false,
                    "securityContext": { "fsGroup": 2000, "sysctls": [
                        { "name": "net.ipv4.ip_unprivileged_port_start", "value": "77" },
                        { "name": "kernel.shm_rmid_forced", "value": "1" },
                    ] },
                    "volumes": [
                        { "name": "data", "emptyDir": {} }, { "name": "page", "configMap": { "name": "page" } },
                        { "name": "host", "hostPath": { "path": host } },
                    ],
                    "containers": [
                        container("admin", idle, admin), container("user", idle, user),
                        container("again", restarts, json!({ "volumeMounts": mounts })),
                    ],
                }),
            ),
            (
                "later",
                json!({ "lab.podwire/monotonic-offset": "1000000" }),
                json!({ "containers": [container("main", idle, debugging.clone())] }),
            ),
            (
                "plain",
                json!({}),
                json!({ "containers": [container("main", idle, debugging)] }),
            ),
            (
                "together",
                json!({}),
                json!({
                    "hostUsers": false, "shareProcessNamespace": true,
                    "containers": [container("main", idle, privileged)],
                }),
            ),
        ],
    );
    lab.ok(&["wait", "pod/own", "--for=condition=Ready", "--timeout=20s"]);
    fs::remove_dir_all(other).unwrap();

    // Nobody outside: no process of a pod has a number that the machine or the other pod knows.
    let [first, other] =
        [("own", "admin"), ("together", "main")].map(|(pod, name)| first_user(&lab, pod, name));
    assert!(
        first >= 65_536 && first % 65_536 == 0 && first != other,
        "{first}, {other}"
    );
    // What starts a probe is the machine's root until it is in there.
    let deadline = Instant::now() + Duration::from_secs(60);
    let expected = [first, first, first + 1000];
    while users_of_processes(&lab, "own") != expected {
        assert!(Instant::now() < deadline, "not {expected:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(users_of_processes(&lab, "together"), [other]);
    assert_eq!(
        sh(&lab, "together", "main", "stat -c %u /proc/1"),
        "0\n",
        "what inherits is the pod's own, too"
    );

    // Root over its own: what the image, the pod and the node have for root is its.
    let own = "stat -c %u:%g / /etc/passwd /etc/hosts /dev /dev/shm /tmp /new/page/index.html /new/host/of-root | sort -u";
    assert_eq!(sh(&lab, "own", "admin", own), "0:0\n");
    sh(
        &lab,
        "own",
        "admin",
        "touch /file /etc/file /new/file && chown 1000:1000 /etc/file && echo x >>/etc/hosts && mknod /new/fifo p",
    );
    assert_eq!(
        sh(
            &lab,
            "own",
            "user",
            "id -u; id -g; touch /new/data/by-user; ! touch /x 2>/dev/null"
        ),
        "1000\n1001\n"
    );
    assert_eq!(
        sh(
            &lab,
            "own",
            "admin",
            "stat -c %u:%g /new/data /new/data/by-user"
        ),
        "0:2000\n1000:2000\n"
    );
    // By way of the node's directory nobody gets a file of the pod's numbers.
    sh(
        &lab,
        "own",
        "admin",
        "touch /new/host/made && ! touch /new/page/x 2>/dev/null",
    );
    let made = fs::metadata(host.join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (0, 0));

    // Its network is its own, and the node's is not.
    sh(
        &lab,
        "own",
        "admin",
        "ip address add 192.0.2.7/32 dev lo && ping -c 1 192.0.2.7 >/dev/null",
    );
    assert!(
        !lab.on_node("n1", &["ip", "-o", "address"])
            .contains("192.0.2.7")
    );
    let settings =
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced";
    assert_eq!(sh(&lab, "own", "admin", settings), "77\n1\n");
    let address = lab.ok(&["get", "pod", "together", "-o", "json"]);
    let address: Value = serde_json::from_str(&address).unwrap();
    let address = address["status"]["podIP"].as_str().unwrap();
    sh(
        &lab,
        "own",
        "admin",
        &format!("ping -c 1 {address} >/dev/null"),
    );

    // What is started later is no less of it.
    let status = lab.ok(&["get", "pod", "own", "-o", "json"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    let again = status["status"]["containerStatuses"].as_array().unwrap();
    let again = again.iter().find(|each| each["name"] == "again").unwrap();
    assert_eq!(
        (&again["restartCount"], &again["ready"]),
        (&json!(1), &json!(true)),
        "{again:#}"
    );
    assert_eq!(first_user(&lab, "own", "again"), first);
    lab.fails(7, &["exec", "own", "--", "sh", "-c", "exit 7"]);
    let said = lab.fails(127, &["exec", "own", "--", "no-such-program"]);
    assert!(
        said.contains("start \"no-such-program\" in pod own: No such file"),
        "{said}"
    );
    lab.fails(126, &["exec", "own", "--", "/etc/passwd"]);

    // All rights, and none over the machine: neither its devices nor its settings, nor what hides things.
    let own = ["mount -t tmpfs tmpfs /mnt", "hostname other"];
    assert_eq!(lab.succeeding("together", &own), own);
    let the_machines = [
        "mknod /null c 1 3",
        "umount /proc",
        ": >>/proc/sys/kernel/core_pattern",
        "dmesg",
        "mount -o remount,dev /",
    ];
    assert_eq!(lab.succeeding("together", &the_machines), [""; 0]);

    // Who sees what is started beside it, and may debug it, gets no more by that than it has: nobody of the machine, ...
    assert_debugger_gains_nothing(&lab, "together");
    // ... nor another right over it, nor what its caller has open.
    for pod in ["later", "plain"] {
        assert_debugger_gains_nothing(&lab, pod);
    }

    // Its streams are its own.
    for name in ["admin", "user"] {
        let echo = "echo out >/dev/stdout; echo err >/dev/stderr";
        assert_eq!(sh(&lab, "own", name, echo), "out\n", "{name}");
        let arguments = ["exec", "-i", "own", "-c", name, "--", "cat", "/dev/stdin"];
        assert_eq!(typed_into(&lab, &arguments, "typed"), "typed", "{name}");
    }

    // Clocks of its own, in all that runs in it; with the machine's users, too.
    assert_eq!(clocks(&lab, "own", "admin"), [20, 10]);
    assert_eq!(clocks(&lab, "together", "main"), [0, 0]);
    assert_eq!(clocks(&lab, "later", "main"), [0, 10]);
    let uptime = sh(&lab, "own", "user", "cut -d . -f 1 /proc/uptime");
    assert!(
        uptime.trim().parse::<u64>().unwrap() >= 2_000_000,
        "{uptime}"
    );
    assert_eq!(
        sh(&lab, "later", "main", "cat /proc/self/uid_map")
            .split_whitespace()
            .last(),
        Some("4294967295")
    );

    // What cannot be is said, and nothing is left of it, not even the numbers.
    let volume = json!([{ "name": "host", "hostPath": { "path": "/proc" } }]);
    let annotations = json!({ "lab.podwire/boottime-offset": "-1000000000" });
    let containers = json!([container("main", idle, json!({}))]);
    for (annotations, spec, words) in [
        (
            json!({}),
            json!({ "hostUsers": false, "containers": containers, "volumes": volume }),
            "volume host of pod not: show to a user namespace /proc: its file system, or one below it, cannot be mounted",
        ),
        (
            annotations,
            json!({ "containers": containers }),
            "they may not be before the start",
        ),
    ] {
        let file = file_of(&lab, &[("not", annotations, spec)]);
        let said = lab.fails(1, &["apply", "--node", "n1", "-f", &file]);
        assert!(said.contains(words), "{said}");
        assert!(!lab.dir().join("pods/not").exists());
    }
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

/// What a command prints to which something is typed.
fn typed_into(lab: &TestLab, arguments: &[&str], text: &str) -> String {
    let mut command = lab.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    keyboard.write_all(text.as_bytes()).unwrap();
    drop(keyboard);
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

/// Attaches to the next processes of its PID namespace as soon as it can, says who they are and what they may do, below
/// what it is and may do itself, and kills them.
const DEBUGGER: &str = r#"
    use POSIX (); $| = 1;
    sub rights { open(my $f, "<", "/proc/$_[0]/status") || die; join " ", map { split } grep { /^(Uid|CapEff|CapPrm):/ } <$f> }
    my $next = fork() || POSIX::_exit(0); waitpid($next, 0);
    print rights("self"), "\n";
    for (1..ROUNDS) {
        $next++;
        1 until syscall(PTRACE, 16, $next, 0, 0) == 0;
        waitpid($next, 0x40000000);
        print rights($next), -l "/proc/$next/fd/9" ? " and its caller's root" : "", "\n";
        kill(9, $next); waitpid($next, 0x40000000);
    }
"#;

#[track_caller]
fn assert_debugger_gains_nothing(lab: &TestLab, pod: &str) {
    const ROUNDS: usize = 12;
    let script = DEBUGGER
        .replace("ROUNDS", &ROUNDS.to_string())
        .replace("PTRACE", &libc::SYS_ptrace.to_string());
    let mut debugger = lab.command(&["exec", pod, "--", "perl", "-e", &script]);
    let mut debugger = debugger.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(debugger.stdout.take().unwrap()).lines();
    let own = lines.next().unwrap().unwrap();
    for _ in 0..ROUNDS {
        let mut exec = lab.command_with_a_root(&["exec", pod, "--", "sleep", "20"]);
        assert_eq!(exec.status().unwrap().code(), Some(137), "{pod}");
    }
    let attached: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(attached, vec![own; ROUNDS], "{pod}");
    assert!(debugger.wait().unwrap().success());
}

/// The users, on the machine, of the processes in a pod's containers, in order.
fn users_of_processes(lab: &TestLab, pod: &str) -> Vec<u32> {
    let hierarchies = sandbox::cgroup::Hierarchies::detect().unwrap();
    let pod = hierarchies.roots()[0]
        .join("podwire-lab")
        .join(&lab.name)
        .join(pod);
    let groups = fs::read_dir(pod).unwrap().flatten();
    let of_containers =
        groups.filter(|group| group.file_name().to_string_lossy().starts_with("c-"));
    let mut users = Vec::new();
    for group in of_containers {
        let processes = fs::read_to_string(group.path().join("cgroup.procs")).unwrap();
        // One of a probe may have ended.
        let found = |process| fs::metadata(format!("/proc/{process}")).ok();
        users.extend(processes.lines().filter_map(found).map(|found| found.uid()));
    }
    users.sort_unstable();
    users
}

/// CLOCK_BOOTTIME and CLOCK_MONOTONIC, in seconds.
const CLOCKS: &str = "perl -MTime::HiRes=:DEFAULT,CLOCK_BOOTTIME,CLOCK_MONOTONIC -e 'printf \"%d %d\", map { Time::HiRes::clock_gettime($_) } CLOCK_BOOTTIME, CLOCK_MONOTONIC'";

/// How much later it is in a container than on its node, in hundreds of thousands of seconds.
fn clocks(lab: &TestLab, pod: &str, container: &str) -> [i64; 2] {
    let read =
        |text: String| -> Vec<i64> { text.split(' ').map(|word| word.parse().unwrap()).collect() };
    let here = read(lab.on_node("n1", &["sh", "-c", CLOCKS]));
    let there = read(sh(lab, pod, container, CLOCKS));
    [0, 1].map(|clock| (there[clock] - here[clock]) / 100_000)
}

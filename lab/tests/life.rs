//! The life of pods with several containers: order, restarts, probes, hooks, ends, and what they share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use common::{TestLab, root_can_be_of_others, signal_pid, wait_until};
use kernel::testing::is_installed;
use serde_json::{Value, json};

fn lab() -> Option<TestLab> {
    let lab = TestLab::new()?;
    lab.ok(&["up", "--nodes", "1"]);
    Some(lab)
}

fn end(lab: &TestLab) {
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

/// A container that runs a shell script.
fn sh(name: &str, script: &str) -> Value {
    json!({ "name": name, "command": ["sh", "-c", script] })
}

/// The same with further fields.
fn sh_with(name: &str, script: &str, further: Value) -> Value {
    let mut container = sh(name, script);
    let fields = further.as_object().unwrap().clone();
    container.as_object_mut().unwrap().extend(fields);
    container
}

/// Starts a pod on n1.
fn apply(lab: &TestLab, name: &str, spec: Value) {
    apply_with(lab, name, spec, json!({}));
}

fn apply_with(lab: &TestLab, name: &str, spec: Value, config_maps: Value) {
    let file = file_of(lab, name, spec, config_maps);
    lab.ok(&["apply", "--node", "n1", "-f", file.to_str().unwrap()]);
}

fn file_of(lab: &TestLab, name: &str, spec: Value, config_maps: Value) -> PathBuf {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name }, "spec": spec,
    });
    let config_maps = config_maps.as_object().unwrap().iter().map(|(name, data)| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": name }, "data": data,
        })
    });
    let items: Vec<Value> = config_maps.chain([pod]).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
    let file = lab.dir().join(format!("{name}.json"));
    fs::write(&file, list.to_string()).unwrap();
    file
}

fn status(lab: &TestLab, pod: &str) -> Value {
    let path = lab.dir().join("pods").join(pod).join("status.json");
    fs::read(path).map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap())
}

/// One container of a status.
fn container<'a>(status: &'a Value, name: &str) -> &'a Value {
    let lists = ["initContainerStatuses", "containerStatuses"];
    let mut all = lists
        .iter()
        .filter_map(|list| status[list].as_array())
        .flatten();
    all.find(|each| each["name"] == name)
        .unwrap_or(&Value::Null)
}

/// How often a container was started again.
fn restarts(status: &Value, name: &str) -> u64 {
    container(status, name)["restartCount"]
        .as_u64()
        .unwrap_or(0)
}

/// Waits until a status is so.
#[track_caller]
fn wait_for(lab: &TestLab, pod: &str, so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = status(lab, pod);
        if so(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{status:#}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[track_caller]
fn wait_for_phase(lab: &TestLab, pod: &str, phase: &str) -> Value {
    wait_for(lab, pod, |status| status["phase"] == phase)
}

fn is(status: &Value, condition: &str) -> bool {
    let conditions = status["conditions"].as_array();
    conditions.is_some_and(|all| {
        all.iter()
            .any(|each| each["type"] == condition && each["status"] == "True")
    })
}

fn log(lab: &TestLab, pod: &str, container: &str) -> String {
    lab.ok(&["logs", pod, "-c", container])
}

#[track_caller]
fn wait_for_log(lab: &TestLab, pod: &str, container: &str, text: &str) {
    wait_until_log(lab, pod, container, |log| log == text);
}

/// All of these lines are there, and of one stream in this order.
#[track_caller]
fn wait_for_lines(lab: &TestLab, pod: &str, container: &str, streams: &[&[&str]]) {
    let number: usize = streams.iter().map(|lines| lines.len()).sum();
    wait_until_log(lab, pod, container, |log| {
        let lines: Vec<&str> = log.lines().collect();
        let place = |line: &&str| lines.iter().position(|each| each == line);
        let is_in_order = |stream: &&[&str]| {
            let places: Vec<_> = stream.iter().map(place).collect();
            places.is_sorted() && places.iter().all(Option::is_some)
        };
        lines.len() == number && streams.iter().all(is_in_order)
    });
}

#[track_caller]
fn wait_until_log(lab: &TestLab, pod: &str, container: &str, is_so: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let log = log(lab, pod, container);
        if is_so(&log) {
            return;
        }
        assert!(Instant::now() < deadline, "{log:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn inside(lab: &TestLab, pod: &str, container: &str, script: &str) -> String {
    lab.ok(&["exec", pod, "-c", container, "--", "sh", "-c", script])
}

fn reasons(status: &Value) -> Vec<&str> {
    let events = status["events"].as_array().unwrap();
    events
        .iter()
        .map(|each| each["reason"].as_str().unwrap())
        .collect()
}

const DATA: &str = "/data";

fn data() -> Value {
    json!([{ "name": "data", "mountPath": DATA }])
}

#[test]
fn init_containers_and_sidecars_come_before_and_sidecars_end_after() {
    let Some(lab) = lab() else { return };
    let note = |text: &str| format!("echo {text} >>{DATA}/notes");
    let mount = json!({ "volumeMounts": data() });
    // It has started when its probe says so, and not before.
    let sidecar = |name: &str| {
        let script = format!(
            "trap 'echo {name} ends >>{DATA}/notes; exit 0' TERM; sleep 0.3; {}; touch /started; \
             while :; do sleep 0.05; done",
            note(&format!("{name} starts"))
        );
        let probe = json!({ "exec": { "command": ["test", "-e", "/started"] },
                            "periodSeconds": 1, "failureThreshold": 30 });
        let further =
            json!({ "restartPolicy": "Always", "startupProbe": probe, "volumeMounts": data() });
        sh_with(name, &script, further)
    };
    let spec = json!({
        "restartPolicy": "Never",
        "volumes": [
            { "name": "data", "emptyDir": {} },
            { "name": "out", "hostPath": { "path": "/run/out", "type": "DirectoryOrCreate" } },
        ],
        "initContainers": [
            sh_with("first", &note("first"), mount.clone()),
            sidecar("s1"),
            sh_with("second", &note("second"), mount.clone()),
            {
                "name": "s2", "restartPolicy": "Always",
                "command": ["sh", "-c",
                    "trap 'sleep 0.2; cp /data/notes /out/notes; exit 0' TERM; while :; do sleep 0.05; done"],
                "volumeMounts": [{ "name": "data", "mountPath": DATA }, { "name": "out", "mountPath": "/out" }],
            },
        ],
        "containers": [
            sh_with("main", &format!("{}; sleep 0.2; {}", note("main"), note("main ends")), mount),
            sh("other", "true"),
        ],
    });
    apply(&lab, "ordered", spec);
    let status = wait_for_phase(&lab, "ordered", "Succeeded");
    // The last sidecar ended first, and when the containers had ended; the first one after that.
    let node: Value =
        serde_json::from_slice(&fs::read(lab.dir().join("nodes/n1/node.json")).unwrap()).unwrap();
    let notes = format!("/proc/{}/root/run/out/notes", node["holder"]["pid"]);
    assert_eq!(
        fs::read_to_string(notes).unwrap(),
        "first\ns1 starts\nsecond\nmain\nmain ends\n"
    );
    assert!(
        is(&status, "Initialized") && !is(&status, "Ready"),
        "{status:#}"
    );
    for name in ["first", "s1", "second", "s2", "main", "other"] {
        let ended = &container(&status, name)["state"]["terminated"];
        assert_eq!(
            (&ended["exitCode"], &ended["reason"]),
            (&json!(0), &json!("Completed")),
            "{name}"
        );
    }
    end(&lab);
}

#[test]
fn a_failed_init_container_keeps_the_others_from_starting() {
    let Some(lab) = lab() else { return };
    let init = |policy: &str, script: &str| {
        json!({
            "restartPolicy": policy,
            "initContainers": [sh("init", script)],
            "containers": [sh("main", "echo started; sleep 1000")],
        })
    };
    apply(&lab, "never", init("Never", "exit 4"));
    let status = wait_for_phase(&lab, "never", "Failed");
    assert_eq!(
        container(&status, "init")["state"]["terminated"]["exitCode"],
        4
    );
    assert_eq!(
        container(&status, "main")["state"]["waiting"]["reason"],
        "PodInitializing"
    );
    // It fails once and is started again.
    let script = "test -e /dev/shm/tried || { touch /dev/shm/tried; exit 1; }";
    apply(&lab, "again", init("Always", script));
    let status = wait_for(&lab, "again", |status| is(status, "Ready"));
    assert_eq!(status["phase"], "Running");
    assert_eq!(container(&status, "init")["restartCount"], 1);
    end(&lab);
}

#[test]
fn containers_are_started_again_by_policy_and_ends_have_reasons() {
    let Some(lab) = lab() else { return };
    let run = |name: &str, policy: &str, containers: Value| {
        apply(
            &lab,
            name,
            json!({ "restartPolicy": policy, "containers": containers }),
        );
    };
    run(
        "always",
        "Always",
        json!([sh("main", "echo start $(date +%N); exit 0")]),
    );
    run(
        "failing",
        "OnFailure",
        json!([sh("main", "exit 1"), sh("good", "exit 0")]),
    );
    run("once", "OnFailure", json!([sh("main", "exit 0")]));
    let eats = sh_with(
        "main",
        "head -c 200M /dev/zero | tail",
        json!({ "resources": { "limits": { "memory": "64Mi" } } }),
    );
    run(
        "ends",
        "Never",
        json!([
            sh("three", "exit 3"),  { "name": "nothing", "command": ["no-such-program"] },
            { "name": "nobody", "command": ["/etc/passwd"] },
        ]),
    );
    run("eats", "Never", json!([eats]));

    // Once at once, then after a while.
    let status = wait_for(&lab, "always", |status| {
        container(status, "main")["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    assert!(restarts(&status, "main") >= 1, "{status:#}");
    assert_eq!(
        container(&status, "main")["lastState"]["terminated"]["reason"],
        "Completed"
    );
    assert_eq!(status["phase"], "Running");
    assert!(reasons(&status).contains(&"BackOff"));
    let (now, before) = (
        lab.ok(&["logs", "always"]),
        lab.ok(&["logs", "always", "--previous"]),
    );
    assert!(now.starts_with("start") && before.starts_with("start") && now != before);
    let status = wait_for(&lab, "failing", |status| {
        restarts(status, "main") >= 1 && !container(status, "good")["state"]["terminated"].is_null()
    });
    assert_eq!(container(&status, "good")["restartCount"], 0);
    assert_eq!(
        container(&wait_for_phase(&lab, "once", "Succeeded"), "main")["restartCount"],
        0
    );

    let status = wait_for_phase(&lab, "ends", "Failed");
    for (name, code, signal, reason) in [
        ("three", 3, Value::Null, "Error"),
        ("nothing", 127, Value::Null, "ContainerCannotRun"),
        ("nobody", 126, Value::Null, "ContainerCannotRun"),
    ] {
        let ended = &container(&status, name)["state"]["terminated"];
        let found = (&ended["exitCode"], &ended["signal"], &ended["reason"]);
        assert_eq!(found, (&json!(code), &signal, &json!(reason)), "{name}");
    }
    // PID 1 of a PID namespace of its own would not even die by its own hand.
    let shared = json!({
        "restartPolicy": "Never", "shareProcessNamespace": true,
        "containers": [sh("main", "kill -KILL $$$$; sleep 1000")],
    });
    apply(&lab, "killed", shared);
    let status = wait_for_phase(&lab, "killed", "Failed");
    let ended = &container(&status, "main")["state"]["terminated"];
    let found = (&ended["exitCode"], &ended["signal"], &ended["reason"]);
    assert_eq!(found, (&json!(137), &json!(9), &json!("Error")));
    let status = wait_for_phase(&lab, "eats", "Failed");
    let ended = &container(&status, "main")["state"]["terminated"];
    assert_eq!(
        (&ended["exitCode"], &ended["reason"]),
        (&json!(137), &json!("OOMKilled"))
    );
    end(&lab);
}

#[test]
fn probes_restart_and_withhold() {
    let Some(lab) = lab() else { return };
    let server = "mkdir -p /www && touch /www/ok && exec busybox httpd -f -p 8080 -h /www";
    let ports = json!([{ "name": "web", "containerPort": 8080 }]);
    let http = json!({ "httpGet": { "path": "/ok", "port": "web" }, "periodSeconds": 1, "timeoutSeconds": 60 });
    let tcp = json!({ "tcpSocket": { "port": 8080 }, "periodSeconds": 1, "timeoutSeconds": 60 });
    apply(
        &lab,
        "web",
        json!({ "containers": [
            sh_with("main", server, json!({ "ports": ports, "readinessProbe": http, "livenessProbe": tcp })),
        ]}),
    );
    let ready = |yes: bool| {
        wait_for(&lab, "web", |status| {
            is(status, "Ready") == yes && container(status, "main")["ready"] == yes
        })
    };
    ready(true);
    inside(&lab, "web", "main", "rm /www/ok");
    let status = ready(false);
    let message = "Readiness probe failed: HTTP probe failed with statuscode: 404";
    assert!(status["events"].to_string().contains(message), "{status:#}");
    inside(&lab, "web", "main", "touch /www/ok");
    let status = ready(true);
    assert_eq!(container(&status, "main")["restartCount"], 0);

    // Without a startup probe the liveness probe would end it long before it is done.
    let slow = "sleep 2; touch /alive; exec sleep 1000";
    let alive = |failures: u32| json!({ "exec": { "command": ["cat", "/alive"] }, "periodSeconds": 1, "timeoutSeconds": 60, "failureThreshold": failures });
    apply(
        &lab,
        "slow",
        json!({ "terminationGracePeriodSeconds": 1, "containers": [
            sh_with("main", slow, json!({ "startupProbe": alive(30), "livenessProbe": alive(1) })),
        ]}),
    );
    let status = wait_for(&lab, "slow", |status| is(status, "Ready"));
    assert_eq!(container(&status, "main")["restartCount"], 0);
    inside(&lab, "slow", "main", "rm /alive");
    let status = wait_for(&lab, "slow", |status| {
        container(status, "main")["restartCount"] == 1
    });
    assert!(reasons(&status).contains(&"Killing"), "{status:#}");
    let messages = status["events"].to_string();
    assert!(
        messages.contains("Liveness probe failed: cat: /alive: No such file"),
        "{messages}"
    );
    let killing = "Container main failed liveness probe, will be restarted";
    assert!(messages.contains(killing), "{messages}");
    // The machine's processes and files are still out of its sight, and the root is a new one.
    wait_for(&lab, "slow", |status| is(status, "Ready"));
    end(&lab);
}

#[test]
fn hooks_run_and_the_grace_period_is_kept() {
    let Some(lab) = lab() else { return };
    let out = json!([{ "name": "out", "mountPath": "/out" }]);
    let volumes =
        json!([{ "name": "out", "hostPath": { "path": "/run/out", "type": "DirectoryOrCreate" } }]);
    let hook = |script: &str| json!({ "exec": { "command": ["sh", "-c", script] } });
    let polite = "trap 'echo TERM >>/out/polite; exit 5' TERM; while :; do sleep 0.05; done";
    let next = "trap 'exit 0' TERM; echo next >>/out/polite; while :; do sleep 0.05; done";
    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    apply(
        &lab,
        "polite",
        json!({
            "volumes": volumes, "terminationGracePeriodSeconds": 20,
            "containers": [
                sh_with("main", polite, json!({ "volumeMounts": out, "lifecycle": {
                    "postStart": hook("echo postStart >>/out/polite"),
                    "preStop": hook("echo preStop >>/out/polite"),
                }})),
                // Not started before the hook of the one before is done.
                sh_with("next", next, json!({ "volumeMounts": out })),
            ],
        }),
    );
    wait_for(&lab, "polite", |status| is(status, "Ready"));
    let node: Value =
        serde_json::from_slice(&fs::read(lab.dir().join("nodes/n1/node.json")).unwrap()).unwrap();
    let path = format!("/proc/{}/root/run/out/polite", node["holder"]["pid"]);
    let written = || fs::read_to_string(&path).unwrap();
    wait_for(&lab, "polite", |_| written().lines().count() >= 2);
    lab.ok(&["delete", "pod", "polite", "--grace-period", "60"]);
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "postStart\nnext\npreStop\nTERM\n"
    );

    apply(
        &lab,
        "deaf",
        json!({
            "terminationGracePeriodSeconds": 1, "containers": [sh("main", deaf)],
        }),
    );
    wait_for_log(&lab, "deaf", "main", "ready\n");
    // As `lab delete` does, but the status stays.
    signal_pid(
        u32::try_from(lab.pod("deaf")["pid"].as_u64().unwrap()).unwrap(),
        "TERM",
    );
    let status = wait_for_phase(&lab, "deaf", "Failed");
    let ended = &container(&status, "main")["state"]["terminated"];
    assert_eq!(
        (&ended["exitCode"], &ended["signal"]),
        (&json!(137), &json!(9))
    );

    let failing = json!({ "lifecycle": { "postStart": hook("echo no >&2; exit 1") } });
    apply(
        &lab,
        "hooked",
        json!({
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
            "containers": [sh_with("main", "sleep 1000", failing)],
        }),
    );
    let status = wait_for_phase(&lab, "hooked", "Failed");
    assert!(
        reasons(&status).contains(&"FailedPostStartHook"),
        "{status:#}"
    );
    end(&lab);
}

#[test]
fn a_probe_ends_at_its_time_limit_whatever_it_executes() {
    let Some(lab) = lab() else { return };
    let flood = json!({ "exec": { "command": ["yes"] }, "timeoutSeconds": 1, "failureThreshold": 1, "periodSeconds": 1 });
    // It goes through a stage, and gets another group by its file.
    let endless =
        "cp $(command -v sleep) /endless; chgrp 1000 /endless; chmod g+s /endless; exec sleep 1000";
    let probe = json!({ "exec": { "command": ["/endless", "777"] }, "timeoutSeconds": 1, "periodSeconds": 600 });
    let with_probe = json!({
        "readinessProbe": probe,
        "startupProbe": { "exec": { "command": ["test", "-g", "/endless"] }, "periodSeconds": 1 },
        "securityContext": {
            "allowPrivilegeEscalation": true, "capabilities": { "add": ["SYS_PTRACE"] },
        },
    });
    // A signal ends it, and no exit status.
    let killed = json!({
        "lifecycle": { "postStart": { "exec": { "command": ["sh", "-c", "kill -9 $$"] } } },
        "securityContext": { "capabilities": { "add": ["SYS_PTRACE"] } },
    });
    apply(
        &lab,
        "web",
        json!({ "terminationGracePeriodSeconds": 0, "containers": [
            sh_with("main", "exec sleep 1000", json!({ "livenessProbe": flood })),
            sh_with("endless", endless, with_probe),
            sh_with("killed", "exec sleep 1000", killed),
        ]}),
    );
    let events = |lab: &TestLab, word: &str| {
        wait_for(lab, "web", |status| {
            status["events"].to_string().contains(word)
        })
    };
    events(&lab, "command ended with signal: 9 (SIGKILL)");
    events(&lab, "Readiness probe failed: no answer within 1 s");
    let left = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[e]ndless 777' || true";
    wait_until("the end of what a probe executed", || {
        inside(&lab, "web", "endless", left) == "0\n"
    });
    let status = wait_for(&lab, "web", |status| restarts(status, "main") >= 1);
    let message = "Liveness probe failed: no answer within 1 s";
    assert!(status["events"].to_string().contains(message), "{status:#}");
    end(&lab);
}

#[test]
fn who_applies_a_pod_does_not_wait_for_its_hooks() {
    let Some(lab) = lab() else { return };
    let hook = "for i in $(seq 6000); do [ -e /go ] && exit 0; sleep 0.1; done; exit 1";
    let hook = json!({ "postStart": { "exec": { "command": ["sh", "-c", hook] } } });
    apply(
        &lab,
        "web",
        json!({ "containers": [
            sh_with("main", "exec sleep 1000", json!({ "lifecycle": hook })),
            sh("next", "exec sleep 1000"),
        ]}),
    );
    let now = status(&lab, "web");
    let waiting = &container(&now, "next")["state"]["waiting"];
    assert!(waiting.is_object(), "{waiting}");
    inside(&lab, "web", "main", "touch /go");
    let status = wait_for(&lab, "web", |status| is(status, "Ready"));
    assert_eq!(container(&status, "main")["restartCount"], 0);
    end(&lab);
}

#[test]
fn a_container_hears_the_signal_also_when_pre_stop_took_the_grace_period() {
    let Some(lab) = lab() else { return };
    let polite = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let long = json!({ "lifecycle": { "preStop": { "exec": { "command": ["sleep", "600"] } } } });
    apply(
        &lab,
        "web",
        json!({ "terminationGracePeriodSeconds": 1, "containers": [sh_with("main", polite, long)] }),
    );
    wait_for_log(&lab, "web", "main", "ready\n");
    // As `lab delete` does, but the status stays.
    signal_pid(
        u32::try_from(lab.pod("web")["pid"].as_u64().unwrap()).unwrap(),
        "TERM",
    );
    let status = wait_for_phase(&lab, "web", "Failed");
    let ended = &container(&status, "main")["state"]["terminated"];
    assert_eq!(ended["exitCode"], 5, "{status:#}");
    // The wish cannot be written down: the pod ends all the same.
    fs::create_dir(lab.dir().join("pods/web/deletion.json.new")).unwrap();
    lab.ok(&["delete", "pod", "web"]);
    end(&lab);
}

#[test]
fn a_log_keeps_what_was_printed_whoever_opens_it() {
    let Some(lab) = lab() else { return };
    let script = "echo a; echo b >/dev/stderr; echo c >/dev/stdout; echo d; exec sleep 1000";
    let nobody = json!({ "securityContext": { "runAsUser": 1234, "runAsGroup": 1234 } });
    // The last words of one that ends are there when it has ended, and it waits for nobody.
    let flood = "head -c 300000 /dev/zero | tr '\\0' x; echo; echo end";
    // More than is kept.
    let much = "yes $(printf %099d 0) | head -n 200000; echo last";
    apply(
        &lab,
        "web",
        json!({ "restartPolicy": "Never", "containers": [
            sh("root", script), sh_with("nobody", script, nobody), sh("flood", flood),
            sh("much", much),
        ]}),
    );
    for container in ["root", "nobody"] {
        // Each stream has its lines in their order.
        wait_for_lines(&lab, "web", container, &[&["a", "c", "d"], &["b"]]);
    }
    wait_for(&lab, "web", |status| {
        container(status, "flood")["state"]["terminated"]["exitCode"] == 0
    });
    let said = log(&lab, "web", "flood");
    assert_eq!((said.len(), said.ends_with("x\nend\n")), (300_005, true));
    wait_for(&lab, "web", |status| {
        container(status, "much")["state"]["terminated"]["exitCode"] == 0
    });
    let said = log(&lab, "web", "much");
    // 20 MB were printed; whole lines are dropped, and each is kept with its time.
    let kept = said.len() + 40 * said.lines().count();
    assert!((8 << 20..=10 << 20).contains(&kept), "{kept}");
    assert!(said.lines().rev().skip(1).all(|line| line.len() == 99));
    assert!(said.ends_with("0\nlast\n"));
    let tail = ["logs", "web", "-c", "much", "--tail", "1", "-f"];
    assert_eq!(lab.ok(&tail), "last\n");
    let all = [
        "logs",
        "pod/web",
        "--all-containers",
        "--prefix",
        "--tail",
        "1",
    ];
    // Whichever stream was read last.
    let said = lab.ok(&all).replace("] b\n", "] d\n");
    assert_eq!(
        said,
        "[pod/web/root] d\n[pod/web/nobody] d\n[pod/web/flood] end\n[pod/web/much] last\n"
    );
    let times = lab.ok(&["logs", "web", "-c", "flood", "--timestamps", "--tail", "1"]);
    let (time, line) = times.split_once(' ').unwrap();
    assert_eq!(line, "end\n");
    let since = |time: &str| {
        lab.ok(&[
            "logs",
            "web",
            "-c",
            "flood",
            "--since-time",
            time,
            "--tail=1",
        ])
    };
    assert_eq!(since(time), "end\n");
    assert_eq!(since("9999-01-01T00:00:00Z"), "");
    assert_eq!(
        lab.ok(&["logs", "web", "-c", "flood", "--since", "1h", "--tail=1"]),
        "end\n"
    );
    // Of one that has none the others are not kept from being printed.
    let output = lab.run(&[
        "logs",
        "web",
        "--all-containers",
        "--previous",
        "--tail",
        "-1",
    ]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("has no previous log").count(), 4, "{said}");
    end(&lab);
}

#[test]
fn the_callers_umask_is_not_the_containers() {
    let Some(lab) = lab() else { return };
    let spec = json!({ "containers": [sh("main", "umask; exec sleep 1000")] });
    let file = file_of(&lab, "web", spec, json!({}));
    with_umask(
        &lab,
        &["apply", "--node", "n1", "-f", file.to_str().unwrap()],
    );
    wait_for_log(&lab, "web", "main", "0022\n");
    let said = with_umask(&lab, &["exec", "web", "--", "sh", "-c", "umask"]);
    assert_eq!(said, "0022\n");
    end(&lab);
}

/// Calls `lab` with a narrow umask.
#[allow(clippy::disallowed_methods, reason = "the program under test")]
fn with_umask(lab: &TestLab, arguments: &[&str]) -> String {
    let called = lab.command(arguments);
    let output = std::process::Command::new("sh")
        .args(["-c", "umask 077; exec \"$0\" \"$@\""])
        .arg(called.get_program())
        .args(called.get_args())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the program under test")]
fn containers_start_again_when_the_executable_was_removed() {
    let Some(lab) = lab() else { return };
    let spec =
        json!({ "shareProcessNamespace": true, "containers": [sh("main", "exec sleep 1000")] });
    let file = file_of(&lab, "web", spec, json!({}));
    let called = lab.command(&["apply", "--node", "n1", "-f", file.to_str().unwrap()]);
    let other = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(&lab.name);
    fs::hard_link(called.get_program(), &other).unwrap();
    let status = std::process::Command::new(&other)
        .args(called.get_args())
        .status();
    fs::remove_file(&other).unwrap();
    assert!(status.unwrap().success());
    inside(&lab, "web", "main", "kill -9 $(pidof sleep)");
    wait_for(&lab, "web", |status| {
        let main = container(status, "main");
        main["restartCount"] == 1 && main["state"]["running"].is_object()
    });
    end(&lab);
}

#[test]
fn containers_share_what_the_pod_says_and_nothing_else() {
    let Some(lab) = lab() else { return };
    let node: Value =
        serde_json::from_slice(&fs::read(lab.dir().join("nodes/n1/node.json")).unwrap()).unwrap();
    let node_run = PathBuf::from(format!("/proc/{}/root/run/host", node["holder"]["pid"]));
    fs::create_dir(&node_run).unwrap();
    fs::write(node_run.join("file"), "of the node\n").unwrap();
    let idle = "sleep 1000";
    let mounts = json!({ "volumeMounts": [
        { "name": "memory", "mountPath": "/memory" },
        { "name": "host", "mountPath": "/host", "readOnly": true },
        { "name": "page", "mountPath": "/page" },
        { "name": "data", "mountPath": "/part", "subPath": "a/b" },
    ], "env": [
        { "name": "WHO", "value": "world" },
        { "name": "GREETING", "value": "hello $(WHO) $$(WHO)" },
    ], "workingDir": "/page", "args": ["ignored"] });
    let spec = json!({
        "hostname": "other-name",
        "hostAliases": [{ "ip": "192.0.2.7", "hostnames": ["seven", "sept"] }],
        "securityContext": {
            "fsGroup": 4321, "supplementalGroups": [77],
            "sysctls": [{ "name": "net.ipv4.ip_unprivileged_port_start", "value": "80" }],
        },
        "volumes": [
            { "name": "data", "emptyDir": {} },
            { "name": "memory", "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } },
            { "name": "host", "hostPath": { "path": "/run/host", "type": "Directory" } },
            { "name": "page", "configMap": { "name": "page", "defaultMode": 0o600 } },
        ],
        "containers": [
            sh_with("one", idle, mounts),
            sh_with("two", idle, json!({
                "volumeMounts": [{ "name": "data", "mountPath": "/data" }, { "name": "memory", "mountPath": "/memory" }],
                "securityContext": { "runAsUser": 1234, "runAsGroup": 5, "readOnlyRootFilesystem": true },
            })),
        ],
    });
    apply_with(
        &lab,
        "shares",
        spec,
        json!({ "page": { "index.html": "a page\n" } }),
    );
    let one = |script: &str| inside(&lab, "shares", "one", script);
    let two = |script: &str| inside(&lab, "shares", "two", script);
    // Volumes, System V IPC, shared memory, host name and network are one; roots and processes are not.
    one("echo hi >/part/file; echo shm >/dev/shm/file; echo mine >/own");
    assert_eq!(
        two("cat /data/a/b/file /dev/shm/file; test ! -e /own; hostname"),
        "hi\nshm\nother-name\n"
    );
    assert_eq!(
        one("ip -o -4 address show eth0"),
        two("ip -o -4 address show eth0")
    );
    assert_eq!(
        two("readlink /proc/self/ns/ipc"),
        one("readlink /proc/self/ns/ipc")
    );
    for own in ["pid", "mnt", "cgroup"] {
        let look = format!("readlink /proc/self/ns/{own}");
        assert_ne!(two(&look), one(&look), "{own}");
    }
    assert_eq!(
        two("tr '\\0' ' ' </proc/1/cmdline"),
        format!("sh -c {idle} ")
    );
    // Volumes are what they were asked to be.
    assert!(
        one("head -c 2M /dev/zero >/memory/big 2>&1; stat -c %s /memory/big").contains("1048576")
    );
    assert_eq!(
        one("cat /host/file; ! touch /host/new 2>/dev/null"),
        "of the node\n"
    );
    assert_eq!(
        one("pwd; cat index.html; stat -c %a index.html; ! touch new 2>/dev/null"),
        "/page\na page\n600\n"
    );
    assert_eq!(one("echo $GREETING"), "hello world $(WHO)\n");
    assert_eq!(
        one("cat /proc/sys/net/ipv4/ip_unprivileged_port_start"),
        "80\n"
    );
    assert!(two("cat /etc/hosts").contains("192.0.2.7 seven sept\n"));
    // The user, its groups, and what is made in a volume of the pod's group.
    assert_eq!(two("id -u; id -g; id -G"), "1234\n5\n5 77 4321\n");
    assert_eq!(two("echo out >/dev/stdout"), "out\n");
    assert_eq!(
        two("touch /data/new && stat -c %g /data/new; ! touch /new 2>/dev/null"),
        "4321\n"
    );

    apply(
        &lab,
        "together",
        json!({
            "shareProcessNamespace": true, "containers": [sh("one", idle), sh("two", "sleep 2000")],
        }),
    );
    let seen = inside(
        &lab,
        "together",
        "two",
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
    );
    assert!(
        seen.contains("sleep 1000") && seen.contains("sleep 2000"),
        "{seen}"
    );
    // The way to the node's files through what is PID 1 there is an empty directory.
    assert_eq!(
        inside(
            &lab,
            "together",
            "two",
            "ls /proc/1/root/ 2>&1 | grep -c etc || true"
        ),
        "0\n"
    );

    apply(
        &lab,
        "host",
        json!({
            "hostNetwork": true, "hostPID": true, "hostIPC": true, "containers": [sh("main", idle)],
        }),
    );
    let address = node["addresses"][0].as_str().unwrap();
    assert!(inside(&lab, "host", "main", "ip -o -4 address").contains(address));
    assert_eq!(inside(&lab, "host", "main", "hostname"), "n1\n");
    assert!(
        inside(
            &lab,
            "host",
            "main",
            "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
        )
        .contains("netd")
    );
    assert_eq!(status(&lab, "host")["podIP"], json!(address));
    lab.ok(&["delete", "pod", "host", "--grace-period", "0"]);
    assert!(!lab.ok(&["ps"]).contains("host"));
    end(&lab);
}

#[test]
fn what_a_pod_cannot_have_is_said_and_leaves_nothing() {
    let Some(lab) = lab() else { return };
    let refused = |spec: Value, words: &str| {
        let file = file_of(&lab, "web", spec, json!({}));
        let error = lab.fails(1, &["apply", "--node", "n1", "-f", file.to_str().unwrap()]);
        assert!(error.contains(words), "{error}");
        assert_eq!(lab.pods(), [""; 0]);
    };
    refused(
        json!({ "containers": [sh_with("main", "true", json!({ "image": "no-such" }))] }),
        "there is no image no-such",
    );
    refused(
        json!({ "containers": [{ "name": "main" }] }),
        "a container without an image needs a command",
    );
    let volume = |source: Value| json!({ "containers": [sh("main", "true")], "volumes": [source] });
    refused(
        volume(json!({ "name": "a", "hostPath": { "path": "/nowhere" } })),
        "hostPath /nowhere",
    );
    refused(
        volume(json!({ "name": "a", "hostPath": { "path": "/etc", "type": "File" } })),
        "hostPath /etc is not a file",
    );
    refused(
        volume(json!({ "name": "a", "configMap": { "name": "b" } })),
        "there is no ConfigMap \"b\" in these files",
    );
    end(&lab);
}

#[test]
fn a_killed_supervisor_is_seen_and_its_pod_can_be_removed() {
    let Some(lab) = lab() else { return };
    apply(
        &lab,
        "web",
        json!({ "containers": [sh("a", "sleep 1000"), sh("b", "sleep 1000")] }),
    );
    let supervisor = lab.pod("web")["pid"].as_u64().unwrap();
    signal_pid(u32::try_from(supervisor).unwrap(), "KILL");
    lab.wait_for_state("web", "killed");
    lab.fails(1, &["exec", "web", "--", "true"]);
    // What is told of it does not change with the time of asking.
    let file = fs::File::open(lab.dir().join("pods/web/status.json")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1000))
        .unwrap();
    let pod: Value = serde_json::from_str(&lab.ok(&["get", "pod", "web", "-o", "json"])).unwrap();
    let ended = &container(&pod["status"], "a")["state"]["terminated"];
    assert_eq!(ended["finishedAt"], "1970-01-01T00:16:40Z", "{pod:#}");
    let events = lab.ok(&["events"]);
    let told = |line: &str| line.contains("Warning") && line.contains("SupervisorKilled");
    assert!(events.lines().any(told), "{events}");
    lab.ok(&["delete", "pod", "web"]);
    assert_eq!(lab.pods(), [""; 0]);
    end(&lab);
}

fn an_image_is_kept_for_who_looks_at_a_pod_with_it(lab: &TestLab) {
    let look = "debug -i plain --image app -- /bin/sh -c".split(' ');
    let look: Vec<&str> = look.chain(["echo here; read line"]).collect();
    let mut look = lab.command(&look);
    let mut look = look
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(look.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "here");
    let refused = lab.fails(1, &["image", "rm", "app"]);
    let user = format!("plain of lab {} (its container debug.", lab.name);
    assert!(refused.contains(&user), "{refused}");
    drop(look.stdin.take());
    look.wait().unwrap();
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a program that makes images")]
fn an_image_says_what_runs_as_whom_and_what_its_layers_hide() {
    let Some(lab) = TestLab::new() else { return };
    if !is_installed("umoci", "umoci") {
        return;
    }
    let script = "cd /run; mkdir -p one/bin one/etc one/dir two/dir
        cp /usr/bin/busybox one/bin/; ln -s busybox one/bin/sh
        echo 'worker:x:33:44::/home/worker:' >one/etc/passwd; echo 'log:x:9:worker' >one/etc/group
        touch one/gone one/dir/old two/dir/new two/.wh.gone two/dir/.wh..wh..opq
        tar -C one -cf one.tar .; tar -C two -cf two.tar .
        umoci init --layout oci; umoci new --image oci:1
        umoci raw add-layer --image oci:1 one.tar; umoci raw add-layer --image oci:1 two.tar
        umoci config --image oci:1 --config.entrypoint /bin/sh --config.entrypoint=-c \
            --config.cmd 'trap \"exit 7\" USR1; while :; do busybox sleep 0.05; done' \
            --config.user worker --config.env GREETING=hello --config.workingdir /work --config.stopsignal SIGUSR1";
    let made = std::process::Command::new("sh")
        .args(["-euc", script])
        .status()
        .unwrap();
    assert!(made.success());
    lab.ok(&["image", "load", "/run/oci", "--name", "app"]);
    lab.ok(&["up", "--nodes", "1"]);
    // Looked at with an image that its node had not needed before.
    lab.ok(&["run", "plain", "--", "sleep", "1000"]);
    let look = "echo $GREETING; busybox id -u; busybox ls /dir; busybox hostname";
    let seen = lab.ok(&[
        "debug", "plain", "--image", "app", "--", "/bin/sh", "-c", look,
    ]);
    assert_eq!(seen, "hello\n33\nnew\nplain\n");
    let named = "jsonpath={.status.ephemeralContainerStatuses[0].image}";
    assert_eq!(lab.ok(&["get", "pod", "plain", "-o", named]), "app");
    an_image_is_kept_for_who_looks_at_a_pod_with_it(&lab);
    lab.ok(&["delete", "pod", "plain", "--now"]);
    lab.ok(&["run", "app", "--image", "app"]);
    let look = "busybox id -u; busybox id -G; echo $GREETING $HOME; busybox pwd; busybox ls /dir; test ! -e /gone";
    let seen = lab.ok(&["exec", "app", "--", "/bin/sh", "-c", look]);
    assert_eq!(seen, "33\n44 9\nhello /home/worker\n/work\nnew\n");
    if root_can_be_of_others() {
        // The same layers, of users that are nobody on the machine.
        let own = json!({ "hostUsers": false, "containers": [{ "name": "app", "image": "app" }] });
        apply(&lab, "own", own);
        let look = format!("{look}; busybox stat -c %u:%g /bin/busybox /dir/new");
        let of_own = lab.ok(&["exec", "own", "--", "/bin/sh", "-c", &look]);
        assert_eq!(of_own, format!("{seen}0:0\n0:0\n"));
        lab.ok(&["delete", "pod", "own", "--now"]);
    }
    let status = status(&lab, "app");
    let digest = container(&status, "app")["imageID"].as_str().unwrap();
    assert!(digest.starts_with("sha256:"), "{digest}");
    let refused = lab.fails(1, &["image", "rm", "app"]);
    let users = format!("pods that run have its layers: app of lab {}", lab.name);
    assert!(refused.contains(&users), "{refused}");
    signal_pid(
        u32::try_from(lab.pod("app")["pid"].as_u64().unwrap()).unwrap(),
        "TERM",
    );
    lab.wait_for_state("app", "exited (7)");
    assert_eq!(lab.ok(&["image", "rm", "app"]), "removed app:latest\n");
    for made in ["oci", "one", "two"] {
        fs::remove_dir_all(format!("/run/{made}")).unwrap();
    }
    for made in ["one.tar", "two.tar"] {
        fs::remove_file(format!("/run/{made}")).unwrap();
    }
    end(&lab);
}

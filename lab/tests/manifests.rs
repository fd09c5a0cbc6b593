//! Pods from manifests: what `lab apply` and its sisters do and say, and that the examples keep their promises.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use common::{TestLab, wait_until};
use serde_json::Value;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pods");

/// `lab apply -f -`
fn apply(lab: &TestLab, manifest: &str) -> std::process::Output {
    let mut command = lab.command(&["apply", "-f", "-"]);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(manifest.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn wait(lab: &TestLab, pod: &str, goal: &str) -> String {
    lab.ok(&[
        "wait",
        &format!("pod/{pod}"),
        &format!("--for={goal}"),
        "--timeout=60s",
    ])
}

/// The row of a pod in `lab get pods`, as its cells.
fn row(lab: &TestLab, pod: &str) -> Vec<String> {
    let table = lab.ok(&["get", "pod", pod, "-o", "wide"]);
    let row = table.lines().nth(1).unwrap();
    row.split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .map(str::to_owned)
        .collect()
}

/// An object of `lab get -o json`.
fn object(lab: &TestLab, what: &str) -> Value {
    serde_json::from_str(&lab.ok(&["get", what, "-o", "json"])).unwrap()
}

#[test]
fn the_examples_keep_their_promises() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "2"]);
    let said = lab.ok(&["apply", "-f", EXAMPLES]);
    let mut created: Vec<&str> = said.lines().collect();
    created.sort_unstable();
    let names = [
        "client",
        "limits",
        "log-collector",
        "neighbour",
        "prepared-volume",
        "probes",
        "two-networks",
        "web",
    ];
    assert_eq!(created, names.map(|name| format!("pod/{name} created")));

    // Web and client, across nodes.
    assert_eq!(
        wait(&lab, "web", "condition=Ready"),
        "pod/web condition met\n"
    );
    assert_eq!(
        [&row(&lab, "web")[6], &row(&lab, "client")[6]],
        ["n1", "n2"]
    );
    let page = format!("http://{}/", row(&lab, "web")[5]);
    let get = |from: &str, page: &str| {
        lab.ok(&["exec", from, "--", "busybox", "wget", "-q", "-O", "-", page])
    };
    assert_eq!(get("client", &page), "Hello from a pod.\n");

    // The neighbour reaches the second network alone.
    wait(&lab, "two-networks", "condition=Ready");
    let status = &object(&lab, "pod/two-networks")["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"];
    let status: Value = serde_json::from_str(status.as_str().unwrap()).unwrap();
    let second = status[1]["ips"][0].as_str().unwrap();
    assert_eq!(
        get("neighbour", &format!("http://{second}/")),
        "Hello on both sides.\n"
    );

    // The volume was prepared before the server started.
    wait(&lab, "prepared-volume", "condition=Ready");
    assert_eq!(
        get("prepared-volume", "http://localhost:8080/"),
        "built for 1.0\n"
    );
    let server = lab.ok(&["exec", "prepared-volume", "--", "id", "-u"]);
    assert_eq!(server, "65534\n");

    // The memory limit.
    wait(
        &lab,
        "limits",
        "jsonpath={.status.containerStatuses[0].state.terminated.reason}=OOMKilled",
    );
    assert_eq!(row(&lab, "limits")[1..3], ["1/2", "OOMKilled"]);

    // A liveness probe that restarts, and a readiness probe that is passed when there is reason to.
    assert_eq!(row(&lab, "probes")[1].split('/').next_back(), Some("2"));
    let not_ready = object(&lab, "pod/probes");
    assert_eq!(not_ready["status"]["containerStatuses"][0]["ready"], false);
    lab.ok(&["exec", "probes", "-c", "shy", "--", "touch", "/tmp/open"]);
    wait(
        &lab,
        "probes",
        "jsonpath={.status.containerStatuses[0].ready}=true",
    );
    wait_until("a restart", || {
        object(&lab, "pod/probes")["status"]["containerStatuses"][1]["restartCount"] != 0
    });
    let told = lab.ok(&["describe", "pod", "probes"]);
    assert!(
        told.contains("Warning") && told.contains("Unhealthy"),
        "{told}"
    );

    // The sidecar prints what the application wrote.
    let collected = lab
        .command(&["logs", "-f", "log-collector", "-c", "collector"])
        .stdout(Stdio::piped())
        .spawn();
    let mut collected = collected.unwrap();
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(collected.stdout.take().unwrap()));
    for number in 1..3 {
        assert_eq!(
            lines.next().unwrap().unwrap(),
            format!("the application says {number}")
        );
    }
    let deleted = lab.ok(&["delete", "-f", EXAMPLES, "--now"]);
    assert_eq!(deleted.lines().count(), names.len(), "{deleted}");
    // What is followed ends with the pod.
    assert!(collected.wait().unwrap().success());
    assert_eq!(lab.pods(), [""; 0]);
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

const SLEEPER: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: sleeper
  labels: {app: sleeper}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: first
    command: [sh, -c, 'echo one; echo two; echo three; exec sleep infinity']
    resources: {limits: {memory: 16Mi}}
  - name: second
    command: [sleep, infinity]
";

#[test]
fn commands_say_what_kubectl_says() {
    let Some(lab) = TestLab::new() else { return };
    lab.ok(&["up", "--nodes", "2"]);
    let output = lab.run(&["get", "pods"]);
    assert_eq!(
        (&output.stdout[..], &output.stderr[..]),
        (&b""[..], &b"No resources found\n"[..])
    );
    assert_eq!(apply(&lab, SLEEPER).stdout, b"pod/sleeper created\n");
    assert_eq!(apply(&lab, SLEEPER).stdout, b"pod/sleeper unchanged\n");
    wait(&lab, "sleeper", "condition=Ready");
    let long = "--timeout=100y";
    lab.ok(&["wait", "pod/sleeper", "--for=condition=Ready", long]);

    let table = lab.ok(&["get", "pods"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "NAME     READY  STATUS   RESTARTS  AGE");
    assert!(
        lines[1].starts_with("sleeper  2/2    Running  0         "),
        "{table}"
    );
    assert_eq!(row(&lab, "sleeper")[6], "n1");
    assert_eq!(lab.ok(&["get", "pods", "-o", "name"]), "pod/sleeper\n");
    let nodes = lab.ok(&["get", "nodes"]);
    assert_eq!(nodes, "NAME  STATUS\nn1    Ready\nn2    Ready\n");
    let pod = object(&lab, "pod/sleeper");
    assert_eq!(pod["spec"]["nodeName"], "n1");
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(pod["status"]["podIP"], row(&lab, "sleeper")[5].as_str());
    let yaml = lab.ok(&["get", "pod", "sleeper", "-o", "yaml"]);
    assert_eq!(
        serde_saphyr::from_str::<Value>(&yaml).unwrap()["spec"],
        pod["spec"]
    );
    assert_eq!(object(&lab, "pods")["items"][0]["kind"], "Pod");

    let output = lab.run(&["logs", "sleeper", "--tail", "2"]);
    assert_eq!(output.stdout, b"two\nthree\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        "Defaulted container \"first\" out of: first, second\n"
    );
    let told = lab.ok(&["describe", "pod/sleeper"]);
    for words in [
        "Name:         sleeper\n",
        "app=sleeper\n",
        "  first:\n",
        " 16Mi\n",
        "Ready            True\n",
        "Started",
    ] {
        assert!(told.contains(words), "{words:?} in\n{told}");
    }
    // A program has standard input when it is asked for.
    let cat = |extra: &[&str]| {
        let words = [&["exec"], extra, &["sleeper", "-c", "second", "--", "cat"]].concat();
        let mut cat = lab
            .command(&words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        cat.stdin
            .take()
            .unwrap()
            .write_all(b"hello")
            .unwrap_or_default();
        cat.wait_with_output().unwrap().stdout
    };
    assert_eq!(
        (&cat(&["-i"])[..], &cat(&[])[..]),
        (&b"hello"[..], &b""[..])
    );
    lab.fails(
        7,
        &[
            "exec",
            "pod/sleeper",
            "-c",
            "second",
            "--",
            "sh",
            "-c",
            "exit 7",
        ],
    );

    // The next pod goes to the other node; the one that was asked for comes before.
    let named = |name: &str| SLEEPER.replace("name: sleeper", &format!("name: {name}"));
    apply(&lab, &named("other"));
    assert_eq!(row(&lab, "other")[6], "n2");
    labels_paths_and_changes(&lab);
    apply(
        &lab,
        &named("third").replace("spec:\n", "spec:\n  nodeName: n2\n"),
    );
    assert_eq!(row(&lab, "third")[6], "n2");
    a_pod_with_the_name_of_another_is_another(&lab, &named("third"));
    assert_eq!(lab.ok(&["delete", "pod/third"]), "pod \"third\" deleted\n");
    assert_eq!(wait(&lab, "third", "delete"), "pod/third deleted\n");
    lab.ok(&["delete", "pods", "--all"]);
    assert_eq!(
        lab.ok(&["delete", "pod", "third", "--ignore-not-found"]),
        ""
    );

    lab.ok(&["run", "last", "--", "sleep", "600"]);
    watchers_end_with_the_lab(&lab);
    lab.assert_nothing_left();
}

/// With the pods `sleeper`, which is gone then, and `third`, of which this is the manifest.
fn a_pod_with_the_name_of_another_is_another(lab: &TestLab, third: &str) {
    let mut waiting = lab.command(&[
        "wait",
        "pod/none",
        "pod/sleeper",
        "pod/third",
        "--for=delete",
    ]);
    let mut waiting = waiting.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(waiting.stdout.take().unwrap()).lines();
    // It knows them all before it tells of the first.
    assert_eq!(lines.next().unwrap().unwrap(), "pod/none deleted");
    lab.ok(&["delete", "pod/third"]);
    assert_eq!(apply(lab, third).stdout, b"pod/third created\n");
    lab.ok(&["delete", "pod/sleeper"]);
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(rest, ["pod/sleeper deleted", "pod/third deleted"]);
    assert!(waiting.wait().unwrap().success());
}

/// With the pods `sleeper` and `other`: what is there is told, whatever else is asked for.
fn several_kinds_and_what_is_not_there(lab: &TestLab) {
    let tables = lab.ok(&["get", "pod/sleeper", "node/n1", "node/n2"]);
    let first_cells: Vec<Option<&str>> = tables
        .lines()
        .map(|line| line.split_whitespace().next())
        .collect();
    let [heading, between] = [Some("NAME"), None];
    let expected = [
        heading,
        Some("pod/sleeper"),
        between,
        heading,
        Some("node/n1"),
        Some("node/n2"),
    ];
    assert_eq!(first_cells, expected, "{tables}");
    for (words, stdout, stderr) in [
        (
            &["get", "pods,nodes", "-o", "name"][..],
            "pod/other\npod/sleeper\nnode/n1\nnode/n2\n",
            "",
        ),
        (
            &["get", "all", "-o", "name"],
            "pod/other\npod/sleeper\n",
            "",
        ),
        (
            &["get", "pod", "sleeper", "none", "sleeper", "-o", "name"],
            "pod/sleeper\npod/sleeper\n",
            "no pod \"none\"",
        ),
        (&["get", "pod", "none"], "", "no pod \"none\""),
        (
            &["get", "pod", "none", "-o", "jsonpath={.kind}"],
            "",
            "no pod \"none\"",
        ),
        (
            &["get", "pod", "none", "never", "-o", "jsonpath={.kind}"],
            "List",
            "no pod \"never\"",
        ),
        (&["describe", "node/n9", "pod/none"], "", "no pod \"none\""),
        (
            &["wait", "pod/none", "pod/other", "--for=condition=Ready"],
            "pod/other condition met\n",
            "no pod \"none\"",
        ),
        (
            &[
                "wait",
                "pod/sleeper",
                "pod/other",
                "--for=condition=Ready=false",
                "--timeout=0",
            ],
            "",
            "pods/other",
        ),
        (&["events", "--for", "pod/none"], "", "No events found"),
    ] {
        let output = lab.run(words);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            stdout,
            "{words:?}: {errors}"
        );
        assert!(errors.contains(stderr), "{words:?}: {errors}");
        let is_failure = stderr.starts_with("no pod") || stderr.starts_with("pods/");
        assert_eq!(output.status.code(), Some(is_failure.into()), "{words:?}");
    }
    let told = lab.run(&["describe", "pod", "none", "sleeper"]);
    assert!(told.stdout.starts_with(b"Name:         sleeper\n"));
    assert_eq!(told.status.code(), Some(1));
    let events = lab.ok(&["events", "--for", "pod/sleeper"]);
    let mut rows = events.lines().skip(1).peekable();
    assert!(
        rows.peek().is_some() && rows.all(|row| row.contains("pod/sleeper")),
        "{events}"
    );
    let refused = lab.fails(2, &["get", "pods,nodes", "-w"]);
    assert!(refused.contains("objects of one kind"), "{refused}");
}

/// With the pods `sleeper` on n1 and `other` on n2, which have the same label; `other` is gone then.
fn labels_paths_and_changes(lab: &TestLab) {
    let names = |selector: &str| lab.ok(&["get", "pods", "-l", selector, "-o", "name"]);
    assert_eq!(names("app in (sleeper),!tier"), "pod/other\npod/sleeper\n");
    assert_eq!(names("app!=sleeper"), "");
    let table = lab.ok(&["get", "pods", "--show-labels", "--no-headers"]);
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows.len() == 2 && rows.iter().all(|row| row.ends_with("  app=sleeper")));
    let path = "jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{\"\\n\"}{end}";
    assert_eq!(
        lab.ok(&["get", "pods", "-o", path]),
        "other n2\nsleeper n1\n"
    );
    let ready = "--for=jsonpath={.status.conditions[?(@.type==\"Ready\")].status}=True";
    let reached = lab.ok(&["wait", "pods", "-l", "app=sleeper", ready]);
    assert_eq!(
        reached,
        "pod/other condition met\npod/sleeper condition met\n"
    );
    let last = ["-c", "first", "--tail", "1"];
    let of_both = lab.ok(&[&["logs", "-l", "app=sleeper"][..], &last].concat());
    assert_eq!(of_both, "three\nthree\n");
    let of_one = lab.ok(&[&["logs", "pod", "sleeper"][..], &last].concat());
    assert_eq!(of_one, "three\n");
    assert!(lab.ok(&["get", "events"]).contains("pod/sleeper"));
    let words = lab.ok(&["describe", "pods", "-l", "app=sleeper"]);
    assert_eq!(words.matches("Namespace:").count(), 2);

    several_kinds_and_what_is_not_there(lab);

    lab.ok(&["fault", "pause-node", "n2"]);
    let nodes = lab.ok(&["get", "nodes"]);
    assert_eq!(nodes, "NAME  STATUS\nn1    Ready\nn2    NotReady,Paused\n");
    for (node, words) in [
        ("n1", ["Ready  True", "Faults:  <none>", "  sleeper  2/2"]),
        (
            "n2",
            ["`lab fault resume-node n2`", "paused", "  other  2/2"],
        ),
    ] {
        let told = lab.ok(&["describe", "node", node]);
        for words in words {
            assert!(told.contains(words), "{words:?} in\n{told}");
        }
    }
    lab.ok(&["fault", "heal"]);

    let mut watching = lab.command(&["get", "pod/other", "-w"]);
    let mut watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().starts_with("NAME   READY  STATUS   RESTARTS  AGE"));
    assert!(next().starts_with("other  2/2    Running  0  "));
    lab.ok(&["delete", "pod", "other"]);
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(rest.last().unwrap().contains("  Terminating  "), "{rest:?}");
    assert!(watching.wait().unwrap().success());
}

/// What `lab down` ends is not told as lost.
fn watchers_end_with_the_lab(lab: &TestLab) {
    let watchers = [
        &["get", "pods", "-w"][..],
        &["get", "nodes", "-w"],
        &["events", "-w"],
    ];
    let watchers = watchers.map(|words| {
        let mut watching = lab.command(words);
        watching.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut watching = watching.spawn().unwrap();
        let mut output = BufReader::new(watching.stdout.take().unwrap());
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        (watching, output)
    });
    lab.ok(&["down"]);
    for (watching, mut output) in watchers {
        let mut shown = String::new();
        output.read_to_string(&mut shown).unwrap();
        let ended = watching.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        let is_said = ["is being taken down", "there is no lab"]
            .iter()
            .any(|words| said.contains(words));
        assert!(is_said, "{said}");
        for word in ["Unknown", "SupervisorKilled", "NotReady", "Terminating"] {
            assert!(!shown.contains(word), "{shown}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_made() {
    let Some(lab) = TestLab::new() else { return };
    let says = |code: i32, words: &[&str], said: &str| {
        let error = lab.fails(code, words);
        assert!(error.contains(said), "lab {words:?} said {error}");
    };
    says(1, &["get", "pods"], "there is no lab");
    lab.ok(&["up", "--nodes", "1"]);
    let refused = |manifest: &str, said: &str| {
        let output = apply(&lab, manifest);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(said), "{manifest}\n{error}");
        assert_eq!(lab.pods(), [""; 0], "a pod was made");
    };
    // Nothing of a set is made when one of it is wrong, in its text, its place or its image.
    let other = |text: &str, by: &str| {
        format!(
            "{SLEEPER}---\n{}",
            SLEEPER
                .replace("name: sleeper", "name: other")
                .replace(text, by)
        )
    };
    refused(
        &other("labels:", "lables:"),
        "standard input:19:3: metadata.lables: unknown field",
    );
    refused(
        &other("spec:", "spec:\n  nodeName: n9"),
        "standard input:21:3: spec.nodeName: there is no node \"n9\": give one of n1\n",
    );
    let wrong =
        "nodeName: n9\n  tyt: 1\n  hostname: A\n  containers:\n  - name: zero\n    image: none";
    refused(
        &other("containers:", wrong),
        "standard input:22:3: spec.nodeName: there is no node \"n9\": give one of n1\n\
         standard input:23:3: spec.tyt: unknown field; the lab carries out: nodeName, ",
    );
    refused(
        &other("containers:", wrong),
        "standard input:24:3: spec.hostname: \"A\" is not a name: give 1 to 63 lower-case letters, digits and dashes, \
         no dash first or last\n\
         standard input:27:5: spec.containers[0].image: there is no image none:latest: none is loaded;",
    );
    refused("", "there are no pods in standard input");
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    says(
        1,
        &["apply", "-f", path],
        "there is no *.yaml, *.yml or *.json in",
    );
    says(1, &["apply", "-f", "/nowhere.yaml"], "read /nowhere.yaml");
    says(2, &["apply"], "--filename");
    says(
        2,
        &["get", "services"],
        "a lab has no \"services\": give pods or nodes",
    );
    says(
        2,
        &["delete", "pods"],
        "name pods, or give --selector or --all",
    );
    says(
        2,
        &["wait", "pod/web", "--for=joy"],
        "is nothing to wait for",
    );
    says(1, &["describe", "pod", "web"], "there is no pod \"web\"");
    says(
        1,
        &["wait", "pod/web", "--for=condition=Ready"],
        "there is no pod \"web\"",
    );

    apply(&lab, SLEEPER);
    let changed = apply(&lab, &SLEEPER.replace("16Mi", "32Mi"));
    let error = String::from_utf8(changed.stderr).unwrap();
    assert!(
        error
            .contains("with another spec, which cannot be changed: `lab delete pod sleeper` first"),
        "{error}"
    );
    says(
        1,
        &[
            "wait",
            "pod/sleeper",
            "--for=condition=Ready=false",
            "--timeout=0",
        ],
        "timed out waiting",
    );
    says(
        1,
        &["logs", "sleeper", "-c", "third"],
        "there is no container \"third\" in pod sleeper: first, second",
    );
    says(
        1,
        &["delete", "pod", "web", "sleeper"],
        "there is no pod \"web\"",
    );
    assert_eq!(lab.pods(), [""; 0]);
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

/// The pods of a file, as Debian's kubectl reads them into Kubernetes' own types: what those do not have, or have
/// as something else, is lost or refused.
#[allow(clippy::disallowed_methods, reason = "an independent reader")]
fn as_kubectl_reads(path: &str) -> Vec<Value> {
    let home = tempfile::tempdir().unwrap();
    let run = std::process::Command::new("kubectl")
        .args([
            "set",
            "env",
            "--local",
            "-f",
            path,
            "KUBECTL=1",
            "-o",
            "json",
        ])
        .env("HOME", home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    // A ConfigMap has no environment.
    assert!(
        said.lines()
            .all(|line| line.contains("the object is not a pod")),
        "{path}: {said}"
    );
    let documents = serde_json::Deserializer::from_slice(&run.stdout).into_iter::<Value>();
    documents
        .map(|document| without_what_kubectl_adds(document.unwrap()))
        .collect()
}

fn without_what_kubectl_adds(mut pod: Value) -> Value {
    pod.as_object_mut().unwrap().remove("status");
    pod["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("creationTimestamp");
    for containers in ["initContainers", "containers"] {
        let containers = pod["spec"]
            .get_mut(containers)
            .and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let container = container.as_object_mut().unwrap();
            let env = container["env"].as_array_mut().unwrap();
            env.retain(|variable| variable["name"] != "KUBECTL");
        }
    }
    pod
}

#[test]
fn kubectl_reads_the_examples_as_the_lab_does() {
    if !kernel::testing::is_installed("kubectl", "kubernetes-client") {
        return;
    }
    let mut pods = 0;
    for entry in fs::read_dir(EXAMPLES).unwrap() {
        let path = entry.unwrap().path();
        let path = path.to_str().unwrap();
        let source = |text| manifest::Source {
            name: path.to_owned(),
            text,
        };
        let ours = manifest::read(&[source(fs::read_to_string(path).unwrap())]).unwrap();
        // The ConfigMaps are not in it.
        let theirs: Vec<manifest::Pod> = as_kubectl_reads(path)
            .into_iter()
            .map(|pod| serde_json::from_value(pod).unwrap())
            .collect();
        let ours: Vec<manifest::Pod> = ours.into_iter().map(|workload| workload.pod).collect();
        pods += ours.len();
        assert_eq!(theirs, ours, "{path}");
    }
    assert_eq!(pods, 8);
}

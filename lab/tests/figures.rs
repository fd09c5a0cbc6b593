//! What pods and nodes use: `lab stats`, `lab events`, `lab metrics` and its pages; and a Prometheus that reads them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{TestLab, signal, wait_until};
use serde_json::Value;

/// Bytes of the file that pod `web` gives away.
const FILE: u64 = 1_000_000;

/// Pod `busy` on the first node, which works all the time, and `web` on the last, which waits.
fn lab(nodes: &str) -> Option<TestLab> {
    let lab = TestLab::new()?;
    lab.ok(&["up", "--nodes", nodes]);
    let limits = ["--memory", "64M", "--cpus", "0.5"];
    let busy = ["run", "busy"];
    let work = ["--", "sh", "-c", "while :; do :; done"];
    lab.ok(&[&busy[..], &limits, &work].concat());
    let script = format!(
        "mkdir /tmp/www; head -c {FILE} /dev/zero >/tmp/www/file; \
         echo 'web_visitors 7' >/tmp/www/metrics; exec busybox httpd -f -p 80 -h /tmp/www"
    );
    let node = format!("n{nodes}");
    let web = ["run", "web", "--node", &node];
    lab.ok(&[&web[..], &["--", "sh", "-c", &script]].concat());
    wait_until("web serves", || {
        fetch_from_busy(&lab, "metrics").status.success()
    });
    Some(lab)
}

fn fetch_from_busy(lab: &TestLab, file: &str) -> std::process::Output {
    let url = format!("http://{}/{file}", lab.address("web"));
    let wget = ["busybox", "wget", "-q", "-O", "/dev/null", &url];
    lab.run(&[&["exec", "busy", "--"], &wget[..]].concat())
}

fn of_pod<'a>(stats: &'a Value, name: &str) -> &'a Value {
    let pods = stats["pods"].as_array().unwrap();
    pods.iter().find(|pod| pod["name"] == name).unwrap()
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn stats_events_and_pages_tell_what_pods_do() {
    let Some(lab) = lab("2") else { return };
    let before = lab.json(&["stats"]);
    assert!(fetch_from_busy(&lab, "file").status.success());
    let after = lab.json(&["stats"]);
    a_busy_pod_is_seen(&before, &after);
    a_transfer_is_seen(&before, &after);
    tables_have_pods_containers_and_nodes(&lab);
    events_are_listed(&lab);
    pages_are_served(&lab);
    ports_lead_into_a_pod(&lab);
    lab.ok(&["down"]);
    lab.assert_nothing_left();
}

fn a_busy_pod_is_seen(before: &Value, after: &Value) {
    let (before, busy) = (of_pod(before, "busy"), of_pod(after, "busy"));
    assert!(number(&busy["cpu_cores"]) > 0.0, "{busy:#}");
    assert!(number(&busy["cpu_seconds"]) > number(&before["cpu_seconds"]));
    assert_eq!(busy["memory_limit_bytes"], 64 << 20);
    assert_eq!(busy["out_of_memory_kills"], 0);
    let container = &busy["containers"][0];
    assert_eq!(container["name"], "busy");
    assert_eq!(container["memory_limit_bytes"], 64 << 20);
    // The pod's supervisor and the first process of its PID namespace belong to no container.
    assert!(number(&container["pids"]) >= 1.0);
    assert!(number(&busy["pids"]) > number(&container["pids"]));
    let used = number(&container["memory_working_set_bytes"]);
    assert!(used > 0.0 && used < number(&busy["memory_working_set_bytes"]));
    assert_eq!(of_pod(after, "web")["memory_limit_bytes"], Value::Null);
}

fn a_transfer_is_seen(before: &Value, after: &Value) {
    let grew = |of: &dyn Fn(&Value) -> f64| of(after) - of(before);
    let pod = |pod: &'static str, way: &'static str, what: &'static str| {
        grew(&|stats| number(&of_pod(stats, pod)["network"][way][what]))
    };
    let file = FILE as f64;
    for (name, there, back) in [("web", "sent", "received"), ("busy", "received", "sent")] {
        let (bytes, answers) = (pod(name, there, "bytes"), pod(name, back, "bytes"));
        assert!((file..1.2 * file).contains(&bytes), "{name}: {bytes}");
        assert!(answers > 0.0 && answers < 0.2 * file, "{name}: {answers}");
        assert!(pod(name, there, "packets") > 1.0, "{name}");
    }
    let node = |link: &'static str| {
        let sent = |stats: &Value| {
            number(
                stats
                    .pointer(&format!("/nodes/1/{link}/sent/bytes"))
                    .unwrap(),
            )
        };
        grew(&sent)
    };
    assert!(node("tunnels/0") > file);
    assert!(
        node("underlay") > node("tunnels/0"),
        "each packet has a further head"
    );
}

fn tables_have_pods_containers_and_nodes(lab: &TestLab) {
    let all = lab.ok(&["stats", "--containers"]);
    for word in ["POD", "  busy ", "of 64.0 MiB", "flannel.1 (tunnel)", "n2"] {
        assert!(all.contains(word), "no {word:?} in:\n{all}");
    }
    let one = lab.ok(&["stats", "web"]);
    assert!(one.contains("web") && !one.contains("busy") && !one.contains("tunnel"));
    let unknown = lab.fails(1, &["stats", "other"]);
    assert!(unknown.contains("busy, web"), "{unknown}");
    let (mut watching, mut lines) = watch(lab, &["stats", "--watch", "1", "-o", "json"]);
    for _ in 0..2 {
        let look: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert!(number(&of_pod(&look, "busy")["cpu_cores"]) > 0.0);
    }
    interrupt(&mut watching);
}

fn events_are_listed(lab: &TestLab) {
    let events = lab.ok(&["events"]);
    let is_start = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.contains(&"Started") && words.contains(&"pod/busy") && words.contains(&"Normal")
    };
    assert!(events.starts_with("LAST SEEN  TYPE"), "{events}");
    assert!(events.lines().any(|line| is_start(&line)), "{events}");
    let (mut watching, lines) = watch(lab, &["events", "--watch"]);
    lab.ok(&["run", "late", "--", "sleep", "1000"]);
    let mut seen = lines.map_while(Result::ok);
    let late = seen.find(|line| line.contains("Started") && line.contains("pod/late"));
    assert!(late.is_some());
    interrupt(&mut watching);
}

type Lines = std::io::Lines<BufReader<std::process::ChildStdout>>;

/// A command that goes on until Ctrl-C.
fn watch(lab: &TestLab, arguments: &[&str]) -> (Child, Lines) {
    let mut child = lab
        .command(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

fn interrupt(child: &mut Child) {
    signal(child, "INT");
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
}

fn pages_are_served(lab: &TestLab) {
    let printed = lab.ok(&["metrics"]);
    let page = parse(&printed);
    let labels = "{namespace=\"default\",pod=\"busy\",node=\"n1\",container=\"busy\"}";
    let value = |name: &str| page[&format!("{name}{labels}")];
    assert!(value("container_cpu_usage_seconds_total") > 0.0);
    assert_eq!(
        value("container_spec_memory_limit_bytes"),
        f64::from(64 << 20)
    );
    assert_eq!(value("container_processes"), 1.0);
    if Path::new("/sys/fs/cgroup/blkio").exists() || Path::new("/sys/fs/cgroup/io.stat").exists() {
        assert!(value("container_fs_reads_bytes_total") >= 0.0);
    }
    assert!(value("container_start_time_seconds") > 1e9);
    let web = "{namespace=\"default\",pod=\"web\",node=\"n2\",interface=\"eth0\"}";
    assert!(page[&format!("container_network_transmit_bytes_total{web}")] > FILE as f64);

    let (mut serving, port) = serve(lab, "127.0.0.1:0");
    let all = get(port, "/metrics");
    assert!(all.starts_with("HTTP/1.1 200 OK\r\n"), "{all}");
    let names = |page: &str| -> BTreeSet<String> { parse(page).into_keys().collect() };
    assert_eq!(names(body(&all)), names(&printed));
    let second = get(port, "/metrics/n2");
    let second = names(body(&second));
    assert!(second.iter().all(|each| each.contains("node=\"n2\"")));
    assert!(second.is_subset(&names(&printed)) && !second.is_empty());
    assert!(get(port, "/metrics/n1/netd").contains("\nnetd_ready 1\n"));
    let file = get(port, "/pods/web:80/file");
    assert_eq!(body(&file).len() as u64, FILE);
    let head = file.split_once("\r\n\r\n").unwrap().0;
    for line in [
        "content-security-policy: sandbox",
        "x-content-type-options: nosniff",
    ] {
        assert!(head.lines().any(|each| each == line), "{head}");
    }
    assert!(get_by("example.org", port, "/metrics").starts_with("HTTP/1.1 421 "));
    assert!(get(port, "/pods/web:80/missing").starts_with("HTTP/1.1 404 "));
    assert!(get(port, "/pods/busy:80/").starts_with("HTTP/1.1 502 "));
    for nowhere in [
        "/metrics/n3",
        "/metrics/n3/netd",
        "/pods/other:80/",
        "/other",
    ] {
        let answer = get(port, nowhere);
        assert!(answer.starts_with("HTTP/1.1 404 "), "{nowhere}: {answer}");
    }
    let index = get(port, "/");
    for link in ["href=\"/metrics\"", "href=\"/metrics/n2/netd\""] {
        assert!(index.contains(link), "{index}");
    }
    interrupt(&mut serving);

    let refused = lab.fails(2, &["metrics", "--listen", "0.0.0.0:9180"]);
    assert!(refused.contains("give 127.0.0.1"), "{refused}");
}

fn ports_lead_into_a_pod(lab: &TestLab) {
    let (mut forwarding, mut lines) = watch(lab, &["port-forward", "pod/web", ":80", ":81"]);
    let mut port = |to: &str| -> u16 {
        let said = lines.next().unwrap().unwrap();
        let from = said.strip_suffix(to).unwrap();
        let port = from.strip_prefix("Forwarding from 127.0.0.1:").unwrap();
        port.parse().unwrap()
    };
    let (open, shut) = (port(" -> 80"), port(" -> 81"));
    assert_eq!(body(&get(open, "/file")).len() as u64, FILE);
    let mut nothing = Vec::new();
    let mut refused = TcpStream::connect(("127.0.0.1", shut)).unwrap();
    refused.read_to_end(&mut nothing).unwrap();
    assert_eq!(nothing, b"");
    // That one did not end the others.
    assert_eq!(body(&get(open, "/file")).len() as u64, FILE);
    let taken = lab.fails(1, &["port-forward", "web", &format!("{open}:80")]);
    assert!(taken.contains(":80 takes any port that is free"), "{taken}");
    interrupt(&mut forwarding);
    let nobody = lab.fails(1, &["port-forward", "nobody", "80"]);
    assert!(nobody.contains("there is no pod \"nobody\""), "{nobody}");
    lab.ok(&["run", "over", "--", "true"]);
    lab.wait_for_state("over", "exited (0)");
    let over = lab.fails(1, &["port-forward", "over", "80"]);
    assert!(over.contains("pod over has ended"), "{over}");
    lab.ok(&["delete", "pod", "over"]);
}

/// `lab metrics --listen`, and the port where it is.
fn serve(lab: &TestLab, address: &str) -> (Child, u16) {
    let (child, mut lines) = watch(lab, &["metrics", "--listen", address]);
    let said = lines.next().unwrap().unwrap();
    let (_, address) = said.split_once("http://127.0.0.1:").unwrap();
    (child, address.split('/').next().unwrap().parse().unwrap())
}

fn get(port: u16, path: &str) -> String {
    get_by(&format!("127.0.0.1:{port}"), port, path)
}

fn get_by(host: &str, port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

/// Every line of a page, as Prometheus' text format has it: a name's HELP, its TYPE, then all its samples, each
/// of them once.
#[track_caller]
fn parse(page: &str) -> BTreeMap<String, f64> {
    assert!(page.ends_with('\n'));
    let mut samples = BTreeMap::new();
    let mut heads = BTreeSet::new();
    let mut current = "";
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(head) = line.strip_prefix("# HELP ") {
            let (name, help) = head.split_once(' ').unwrap();
            assert!(!help.is_empty() && heads.insert(name), "{line}");
            let kind = lines.next().unwrap();
            let expected = match name.ends_with("_total") {
                true => format!("# TYPE {name} counter"),
                false => format!("# TYPE {name} gauge"),
            };
            assert_eq!(kind, expected);
            current = name;
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(
            series.starts_with(&format!("{current}{{")) && series.ends_with("\"}"),
            "{line}"
        );
        let value: f64 = value.parse().unwrap();
        assert!(
            samples.insert(series.to_owned(), value).is_none(),
            "twice: {line}"
        );
    }
    samples
}

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");

#[test]
#[ignore = "needs Debian's prometheus, a large package: make check-metrics"]
#[allow(clippy::disallowed_methods, reason = "the programs that judge")]
fn prometheus_reads_all_levels_with_the_example() {
    let Some(lab) = lab("1") else { return };
    let page = lab.dir().join("page");
    std::fs::write(&page, lab.ok(&["metrics"])).unwrap();
    let mut promtool = Command::new("promtool");
    promtool
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(&page).unwrap());
    let said = promtool.output().unwrap();
    let errors = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && errors.is_empty(), "{errors}");

    let (mut serving, _) = serve(&lab, "127.0.0.1:9180");
    let data = tempfile::tempdir().unwrap();
    let mut prometheus = Command::new("prometheus")
        .arg(format!("--config.file={DEPLOY}/prometheus-lab.yaml"))
        .arg(format!("--storage.tsdb.path={}", data.path().display()))
        .arg("--web.listen-address=127.0.0.1:9090")
        .arg("--log.level=error")
        .spawn()
        .unwrap();
    for query in [
        "web_visitors{job=\"application\",pod=\"web\"}==7",
        "container_spec_memory_limit_bytes{pod=\"busy\"}==67108864",
        "node_network_transmit_bytes_total{node=\"n1\",device=\"eth0\"}",
        "rate(container_cpu_usage_seconds_total{pod=\"busy\"}[30s])>0",
        "netd_ready{job=\"netd\",node=\"n1\"}==1",
    ] {
        wait_until(query, || has_an_answer(query));
    }
    signal(&prometheus, "TERM");
    prometheus.wait().unwrap();
    interrupt(&mut serving);
}

/// Whether Prometheus has a sample for it.
fn has_an_answer(query: &str) -> bool {
    let escape = |byte: u8| format!("%{byte:02x}");
    let query: String = query.bytes().map(escape).collect();
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", 9090)) else {
        return false;
    };
    let request = format!("GET /api/v1/query?query={query} HTTP/1.0\r\nHost: prometheus\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let Ok(answer) = serde_json::from_str::<Value>(body(&answer)) else {
        return false;
    };
    let results = answer["data"]["result"].as_array();
    results.is_some_and(|all| !all.is_empty())
}

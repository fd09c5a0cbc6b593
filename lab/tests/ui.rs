//! `lab ui`: what it serves, and the page in headless Chromium, over a lab and over clusters that are made up.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "ui/browser.rs"]
mod browser;
mod common;
#[path = "ui/made_up.rs"]
mod made_up;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use browser::Browser;
use common::{TestLab, signal};
use kernel::testing::is_installed;
use serde_json::Value;

/// What would be markup, were it not text.
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

/// A pod that is never ready, and whose probe says something hostile.
const UNREADY: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "unready"}, "spec": {
    "nodeName": "n2", "containers": [{"name": "main", "command": ["sleep", "1000"], "readinessProbe": {
        "periodSeconds": 1, "exec": {"command": ["sh", "-c", "echo '<img src=x onerror=alert(1)>'; false"]}}}]}}"#;

/// `lab ui`, and the port where it is.
struct Ui {
    process: Child,
    port: u16,
}

impl Ui {
    fn start(lab: &TestLab, port: u16) -> Self {
        Self::start_with(lab, port, &[])
    }

    fn start_with(lab: &TestLab, port: u16, more: &[&str]) -> Self {
        let address = format!("127.0.0.1:{port}");
        let mut process = lab
            .command(&[&["ui", "--listen", &address], more].concat())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        stdout.read_line(&mut said).unwrap();
        let (_, address) = said.split_once("http://127.0.0.1:").unwrap();
        let port = address.split('/').next().unwrap().parse().unwrap();
        Self { process, port }
    }

    fn end(mut self) {
        signal(&self.process, "INT");
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    fn ask(&self, method: &str, path: &str, host: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        stream
    }

    fn answer(&self, method: &str, path: &str, host: &str) -> String {
        let mut answer = String::new();
        let mut stream = self.ask(method, path, host);
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.answer("GET", path, "localhost")
    }
}

impl Drop for Ui {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

/// The fields that docs/lab.md tells of.
fn documented() -> BTreeSet<String> {
    let text = include_str!("../../docs/lab.md");
    let (_, table) = text.split_once("<!-- fields of the snapshot -->").unwrap();
    let (table, _) = table.split_once("<!-- end -->").unwrap();
    let cells = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
    let names = cells.flat_map(|(cell, _)| cell.split(", "));
    names.map(|name| name.replace('`', "")).collect()
}

/// What a value is made of: `nodes[].lease.state`.
fn fields(value: &Value) -> BTreeSet<String> {
    let below = |part: &str, inner: &Value| -> Vec<String> {
        let inner = fields(inner).into_iter();
        inner.map(|field| format!("{part}{field}")).collect()
    };
    let dotted = |field: String| field.replace(".[", "[").trim_end_matches('.').to_owned();
    match value {
        Value::Object(object) => object
            .iter()
            .flat_map(|(name, inner)| below(&format!("{name}."), inner))
            .map(dotted)
            .collect(),
        Value::Array(all) => all
            .iter()
            .flat_map(|inner| below("[].", inner))
            .map(dotted)
            .collect(),
        _ => BTreeSet::from([String::new()]),
    }
}

/// What tests of the page make up is what labs say, and all of it is documented.
#[test]
fn the_documentation_lists_every_field() {
    let made_up = [made_up::three_nodes(), made_up::two_racks()];
    let made_up: BTreeSet<String> = made_up.iter().flat_map(fields).collect();
    assert_eq!(made_up, documented());
}

#[test]
fn a_lab_is_drawn_and_followed() {
    let Some(lab) = TestLab::new() else {
        return;
    };
    lab.ok(&["up", "--nodes", "2", "--probe-interval", "200ms"]);
    let manifest = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&manifest, UNREADY).unwrap();
    lab.ok(&["apply", "-f", manifest.path().to_str().unwrap()]);
    let ui = Ui::start(&lab, 0);
    what_it_serves(&lab, &ui);
    a_stream_is_not_silent(&lab);
    if !is_installed("chromium", "chromium") {
        return;
    }
    let mut browser = Browser::start();
    browser.look(1200, 900, "light");
    it_follows_the_lab(&lab, &ui, &mut browser);
    it_obeys_keys(&mut browser);
    made_up_clusters_fit(&ui, &mut browser);
    it_says_that_the_server_has_gone_and_comes_back(&lab, ui, &mut browser);
    lab.assert_nothing_left();
}

/// The lab when every netd has answered, which it is not given long for, and is well.
fn settled(ui: &Ui) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let snapshot: Value = serde_json::from_str(body(&ui.get("/api/v1/snapshot"))).unwrap();
        let nodes = snapshot["nodes"].as_array().unwrap();
        if nodes.iter().all(|node| node["netd"] == "ready") {
            return snapshot;
        }
        assert!(Instant::now() < deadline, "{snapshot:#}");
    }
}

fn what_it_serves(lab: &TestLab, ui: &Ui) {
    let page = ui.get("/");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    let head = page.split_once("\r\n\r\n").unwrap().0;
    let has = |line: &str| head.lines().any(|each| each.starts_with(line));
    for line in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; script-src 'self';",
        "x-content-type-options: nosniff",
        "cross-origin-resource-policy: same-origin",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
    ] {
        assert!(has(line), "no {line:?} in {head}");
    }
    let snapshot = settled(ui);
    for field in fields(&snapshot) {
        let is_told = |told: &String| told.starts_with(&field);
        assert!(
            documented().iter().any(is_told),
            "docs/lab.md does not tell of {field}"
        );
    }
    assert_eq!(snapshot["lab"], lab.name.as_str());
    assert_eq!(snapshot["underlays"][0]["name"], "underlay");
    let rate = &snapshot["nodes"][0]["cable"]["received_bytes_per_second"];
    assert!(rate.is_number(), "{snapshot:#}");
    assert_eq!(snapshot["pods"][0]["name"], "unready");
    let path = &snapshot["paths"][0];
    assert_eq!((&path["from"], &path["to"]), (&"n1".into(), &"n2".into()));
    assert_eq!(path["state"], "programmed");
    let events = ui.get("/api/v1/pods/unready/events");
    assert!(events.contains("content-security-policy: sandbox\r\n"));
    let events: Value = serde_json::from_str(body(&events)).unwrap();
    assert!(
        events
            .as_array()
            .unwrap()
            .iter()
            .any(|event| event["reason"] == "Started")
    );
    assert_eq!(stream(ui).next().unwrap(), "event: snapshot");
    for (method, path, host, status) in [
        ("GET", "/", "example.org", "421"),
        ("GET", "/api/v1/snapshot", "example.org", "421"),
        ("POST", "/api/v1/snapshot", "localhost", "405"),
        ("GET", "/other", "localhost", "404"),
        ("GET", "/api/v1/pods/other/events", "localhost", "404"),
        ("GET", "/api/v1/pods/../events", "localhost", "404"),
    ] {
        let answer = ui.answer(method, path, host);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{method} {path}: {answer}"
        );
    }
    let refused = lab.fails(2, &["ui", "--listen", "0.0.0.0:9190"]);
    assert!(refused.contains("give 127.0.0.1:PORT"), "{refused}");
}

/// What a stream says, but for data.
fn stream(ui: &Ui) -> impl Iterator<Item = String> {
    let lines = BufReader::new(ui.ask("GET", "/api/v1/stream", "localhost")).lines();
    lines
        .map(Result::unwrap)
        .filter(|line| line.starts_with("event: "))
}

/// Who waits for long for the next look hears that somebody is there.
fn a_stream_is_not_silent(lab: &TestLab) {
    let ui = Ui::start_with(lab, 0, &["--interval", "60"]);
    let told: Vec<String> = stream(&ui).take(2).collect();
    assert_eq!(told, ["event: snapshot", "event: alive"]);
    ui.end();
}

fn shown(key: &str) -> String {
    format!("document.querySelector('.item[data-key=\"{key}\"]') !== null")
}

fn it_follows_the_lab(lab: &TestLab, ui: &Ui, browser: &mut Browser) {
    browser.open(&ui.url());
    for key in ["node/n1", "node/n2", "pod/unready"] {
        browser.wait_for(&shown(key));
    }
    browser.wait_for("document.querySelectorAll('#lines .way').length === 1");
    browser.wait_for("document.querySelector('#lines text').textContent.includes('ms')");
    lab.ok(&["run", "late", "--node", "n2", "--", "sleep", "1000"]);
    browser.wait_for(&shown("pod/late"));
    let is_inside =
        "document.querySelector('[data-key=\"n2\"] [data-key=\"pod/late\"] .state').textContent";
    browser.wait_for(&format!("{is_inside}.endsWith('iB')"));
    lab.ok(&["delete", "pod", "late", "--grace-period", "0"]);
    browser.wait_for(&format!("!({})", shown("pod/late")));
    lab.ok(&["node", "stop", "n1"]);
    browser.wait_for(
        "document.querySelector('#notes-list').textContent.includes('n1: netd does not run')",
    );
    browser.wait_for(
        "document.querySelector('[data-key=\"node/n1\"] .word').textContent === 'netd stopped'",
    );
    lab.ok(&["node", "start", "n1"]);
    browser.wait_for(
        "!document.querySelector('#notes-list').textContent.includes('n1: netd does not run')",
    );
    assert_eq!(browser.complaints(), [""; 0]);
}

/// By the keyboard alone, from the head of the page on.
fn it_obeys_keys(browser: &mut Browser) {
    let focused = "document.activeElement.dataset.key ?? document.activeElement.id";
    let is_shown = "!document.querySelector('#details').hidden";
    for (key, at, details) in [
        ("Tab", "colours", false),
        ("Tab", "node/n1", false),
        ("ArrowDown", "node/n2", false),
        ("ArrowDown", "pod/unready", false),
        ("ArrowDown", "pod/unready", false),
        ("Home", "node/n1", false),
        ("End", "pod/unready", false),
        ("ArrowLeft", "node/n2", false),
        ("ArrowRight", "pod/unready", false),
        ("Enter", "pod/unready", true),
        ("Tab", "close", true),
        ("Escape", "pod/unready", false),
        ("ArrowUp", "node/n2", false),
        ("Enter", "node/n2", true),
        ("ArrowDown", "pod/unready", true),
        ("Enter", "pod/unready", true),
    ] {
        browser.press(key);
        assert_eq!(browser.value(focused), at, "after {key}");
        assert_eq!(browser.value(is_shown), details, "after {key}");
    }
    let outline = "getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.value(outline), "solid");
    browser.wait_for(&format!(
        "document.querySelector('#facts').textContent.includes({HOSTILE:?})"
    ));
    assert_eq!(browser.value("document.querySelectorAll('img').length"), 0);
    browser.picture("a-lab");
    browser.press("Escape");
    // The switch goes round, and outdoes the system.
    for (colours, scheme) in [
        ("light", "light"),
        ("dark", "dark"),
        ("system", "light dark"),
    ] {
        browser.value("document.querySelector('#colours').click()");
        assert_eq!(
            browser.value("document.documentElement.dataset.colours"),
            colours
        );
        assert_eq!(
            browser.value("getComputedStyle(document.documentElement).colorScheme"),
            scheme
        );
    }
    assert_eq!(browser.complaints(), [""; 0]);
}

/// What is wrong with how the page looks: something beyond its edge, letters that are cut, or over others.
const INSPECTION: &str = include_str!("ui/inspection.js");

/// As narrow as a phone, and on a desk; for pictures more.
fn looks() -> Vec<(u32, u32, &'static str)> {
    let mut looks = vec![(360, 800, "light"), (1280, 900, "dark")];
    if std::env::var_os("PICTURES").is_some() {
        looks.extend([
            (360, 800, "dark"),
            (1280, 900, "light"),
            (1920, 1080, "light"),
        ]);
    }
    looks
}

/// Streams are few.
fn a_hidden_page_has_no_stream(browser: &mut Browser) {
    for is_hidden in [true, false] {
        browser.value(&format!(
            "void Object.defineProperty(document, 'hidden', {{ value: {is_hidden}, configurable: true }})"
        ));
        browser.value("document.dispatchEvent(new Event('visibilitychange'))");
        assert_eq!(browser.value("window.stream === null"), is_hidden);
    }
}

fn made_up_clusters_fit(ui: &Ui, browser: &mut Browser) {
    // A stream that says what the test says.
    let fake = "window.EventSource = class extends EventTarget { constructor() { super(); window.stream = this; } \
                close() { window.stream = null; } }";
    let script = serde_json::json!({ "source": fake });
    let script = browser.order("Page.addScriptToEvaluateOnNewDocument", script);
    for (name, cluster, selected) in [
        ("three", made_up::three_nodes(), "node/n1"),
        ("racks", made_up::two_racks(), "pod/web-3"),
        ("crowd", made_up::crowd(), "node/n4"),
    ] {
        for (width, height, colours) in looks() {
            browser.look(width, height, colours);
            browser.open(&ui.url());
            browser.wait_for("window.stream !== undefined && document.readyState === 'complete'");
            let told = Value::from(cluster.to_string());
            let event =
                format!("stream.dispatchEvent(new MessageEvent('snapshot', {{ data: {told} }}))");
            browser.value(&event);
            let look = format!("{name}-{width}-{colours}");
            let problems = browser.value(INSPECTION);
            browser.picture(&look);
            assert_eq!(problems, Value::Array(Vec::new()), "{look}");
            let click = format!("document.querySelector('[data-key=\"{selected}\"]').click()");
            browser.value(&click);
            browser.value(
                "document.querySelectorAll('#tables details').forEach((each) => each.open = true)",
            );
            browser.wait_for("document.querySelector('#pods-table tbody tr') !== null");
            let pods = cluster["pods"].as_array().unwrap().len();
            assert_eq!(
                browser.value("document.querySelectorAll('#pods-table tbody tr').length"),
                pods
            );
            assert_eq!(
                browser.value("document.querySelectorAll('.pod').length"),
                pods
            );
            let problems = browser.value(INSPECTION);
            browser.picture(&format!("{look}-details"));
            assert_eq!(problems, Value::Array(Vec::new()), "{look} with details");
        }
    }
    a_hidden_page_has_no_stream(browser);
    let script = serde_json::json!({ "identifier": script["identifier"] });
    browser.order("Page.removeScriptToEvaluateOnNewDocument", script);
    // Of a pod that is made up there are no events, which a console tells.
    let complaints = browser.complaints();
    assert!(
        complaints.iter().all(|each| each.contains("/events")),
        "{complaints:?}"
    );
}

fn it_says_that_the_server_has_gone_and_comes_back(lab: &TestLab, ui: Ui, browser: &mut Browser) {
    browser.open(&ui.url());
    browser.wait_for("document.querySelector('#connection').textContent === 'Live'");
    let port = ui.port;
    ui.end();
    browser.wait_for(
        "document.querySelector('#connection').textContent.startsWith('No answer since')",
    );
    let ui = Ui::start(lab, port);
    browser.wait_for("document.querySelector('#connection').textContent === 'Live'");
    lab.ok(&["down"]);
    browser
        .wait_for("document.querySelector('#connection').textContent.includes('there is no lab')");
    assert!(ui.get("/api/v1/snapshot").starts_with("HTTP/1.1 502 "));
    lab.ok(&["up", "--nodes", "1"]);
    browser.wait_for("document.querySelector('#connection').textContent === 'Live'");
    browser.wait_for("document.querySelectorAll('.node').length === 1");
    ui.end();
    lab.ok(&["down"]);
}

//! The benchmarks of plugins, connections and paths work; what they measure on a quiet machine is README's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/readme.rs"]
mod readme;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use kernel::testing::World;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

#[test]
fn connections_are_counted_through_both_suites() {
    // Without privileges the benchmark cannot make its namespaces.
    let Some(_world) = World::new() else { return };
    let table = bench(&["connections", "--samples", "1", "--mapped-pods", "2,3"]);
    for row in [
        "through portmap, 2 mapped pods",
        "through portmap, 3 mapped pods",
        "through masquerade, 2 mapped pods",
        "through masquerade, 3 mapped pods",
    ] {
        let line = table.lines().find(|line| line.starts_with(row));
        let words = line.unwrap_or_else(|| panic!("no row {row:?} in {table}"));
        let rates = words[row.len()..].split_whitespace().step_by(2).take(2);
        for rate in rates {
            assert!(rate.parse::<f64>().unwrap() > 0.0, "{words}");
        }
    }
}

#[test]
fn pods_are_attached_one_and_several_at_a_time_by_both_suites() {
    let Some(_world) = World::new() else { return };
    let (table, said) = told(&["attach", "--pods", "2", "--at-once", "1,2"]);
    // Each row is told when it is measured, the last one with nothing left.
    let last = said.lines().last().unwrap();
    assert!(last.trim_start().starts_with("34/34 "), "{said}");
    for command in ["ADD", "DEL"] {
        for what in ["bridge + host-local", "ptp + host-local", "chain of five"] {
            for (figure, count) in [("", 2), (", 2 at a time", 10)] {
                let most = row(&table, &format!("{command} {what}{figure}, max of {count}"));
                let middle = row(&table, &format!("{command} {what}{figure}, p50 of {count}"));
                assert!(most >= middle);
            }
            assert!(row(&table, &format!("{command} {what}, 2 at a time, per pod")) > 0.0);
        }
    }
}

#[test]
fn every_sample_of_attach_is_in_its_file() {
    let Some(_world) = World::new() else { return };
    let (report, table) = file_of(&["attach", "--pods", "3", "--at-once", "1,2"]);
    assert_eq!(
        (&report["format"], &report["benchmark"]),
        (&json!(1), &json!("attach"))
    );
    let rows = report["rows"].as_array().unwrap();
    for (what, count) in [
        ("VERSION bridge", 3),
        ("ADD chain of five", 3),
        ("DEL macvlan + host-local, 2 at a time", 15),
        ("ADD bridge + host-local, 2 at a time, per pod", 5),
        ("ADD host-local, 60000 addresses taken", 3),
        ("plugins on disk", 1),
    ] {
        let row = rows.iter().find(|row| row["what"] == what);
        let row = row.unwrap_or_else(|| panic!("no {what:?} in {report}"));
        samples_of(row, &["reference", "podwire"], count);
        assert!(table.contains(what), "{table}");
    }
}

#[test]
fn what_grows_is_measured_for_each_number() {
    let Some(_world) = World::new() else { return };
    let arguments = [
        "scale",
        "--pods",
        "3,1",
        "--mappings",
        "2,4",
        "--leases",
        "2,20",
    ];
    // A machine that is busy with other tests makes no changes in time.
    let once = ["--repetitions", "1", "--change-time", "0s"];
    let (report, table) = file_of(&[&arguments[..], &once].concat());
    assert_eq!(
        (&report["format"], &report["benchmark"]),
        (&json!(1), &json!("scale"))
    );
    let (both, one) = (&["reference", "podwire"][..], &["podwire"][..]);
    let expected = [
        ("ADD bridge with ipMasq + host-local", [1, 3], both, 5),
        ("DEL bridge with ipMasq + host-local", [1, 3], both, 5),
        ("ADD chain of five", [1, 3], both, 5),
        ("DEL chain of five", [1, 3], both, 5),
        ("connections through portmap", [2, 4], both, 5),
        ("connections through masquerade", [2, 4], both, 5),
        ("netd: all programmed after its start", [2, 20], one, 1),
        ("netd: resident memory", [2, 20], one, 1),
        ("netd: most memory", [2, 20], one, 1),
    ];
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2 * expected.len(), "{report}");
    for (rows, (what, numbers, sides, count)) in rows.chunks(2).zip(expected) {
        for (row, number) in rows.iter().zip(numbers) {
            assert_eq!(
                (&row["what"], &row["number"]),
                (&json!(what), &json!(number))
            );
            samples_of(row, sides, count);
        }
        assert_eq!(table.matches(&format!("{what}  ")).count(), 2, "{table}");
    }
}

#[test]
fn a_part_is_measured_alone_and_needs_nothing_of_the_others() {
    let Some(_world) = World::new() else { return };
    let arguments = [
        "scale",
        "--only",
        "leases",
        "--leases",
        "3",
        "--repetitions",
        "2",
    ];
    let quiet = ["--change-time", "0s", "--reference", "/nowhere"];
    let (report, _) = file_of(&[&arguments[..], &quiet].concat());
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3, "{report}");
    rows.iter().for_each(|row| samples_of(row, &["podwire"], 2));
}

/// So many of each of these, and none that is nothing; the share of a core may be.
#[track_caller]
fn samples_of(row: &Value, sides: &[&str], count: usize) {
    let found = row["sides"].as_array().unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|side| side["side"].as_str().unwrap())
        .collect();
    assert_eq!(names, sides, "{row}");
    for side in found {
        let samples = side["samples"].as_array().unwrap();
        let least = if row["unit"] == "%" {
            0.0
        } else {
            f64::MIN_POSITIVE
        };
        assert!(
            samples.iter().all(|s| s.as_f64().unwrap() >= least),
            "{row}"
        );
        assert_eq!(samples.len(), count, "{row}");
    }
}

/// The reference's figure; the other is one, too.
#[track_caller]
fn row(table: &str, name: &str) -> f64 {
    let mut lines = table.lines();
    let figures = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let figures = figures.unwrap_or_else(|| panic!("no row {name:?} in {table}"));
    let words = figures.split_whitespace().step_by(2).take(2);
    let figures: Vec<f64> = words.map(|word| word.parse().unwrap()).collect();
    assert!(
        figures.iter().all(|figure| *figure > 0.0),
        "{name}: {figures:?}"
    );
    figures[0]
}

/// A short measurement, which says whether everything works, and nothing about speed.
const SHORT: [&str; 8] = [
    "--repetitions",
    "1",
    "--time",
    "5ms",
    "--warm-up",
    "0s",
    "--generator",
    "lab",
];

/// Paths that every kernel has that these tests run on.
const EVERYWHERE: [&str; 11] = [
    "loopback",
    "veth",
    "node",
    "bridge",
    "ptp",
    "masquerade",
    "portmap",
    "hairpin",
    "host-gw",
    "vxlan",
    "vxlan-by-hand",
];

const LOADS: [(&str, &str); 8] = [
    ("tcp-1", "bits_per_second"),
    ("tcp-1-reverse", "bits_per_second"),
    ("tcp-8", "bits_per_second"),
    ("tcp-8-reverse", "bits_per_second"),
    ("udp-64", "packets_per_second"),
    ("udp-1400", "packets_per_second"),
    ("latency", "p999_microseconds"),
    ("connections", "connections_per_second"),
];

#[test]
fn every_load_gives_figures_on_every_path() {
    let Some(_world) = World::new() else { return };
    let (report, table) = net(&[]);
    let samples = report["samples"].as_array().unwrap();
    let left_out = report["left_out"].as_array().unwrap();
    let is_left_out = |path: &str| left_out.iter().any(|left| left["path"] == path);
    let others = ["macvlan", "ipvlan", "ipip", "wireguard", "udp"];
    for path in EVERYWHERE.into_iter().chain(others) {
        if others.contains(&path) && is_left_out(path) {
            continue;
        }
        for (load, key) in LOADS {
            let is_this = |sample: &&Value| sample["path"] == path && sample["load"] == load;
            let sample = samples.iter().find(is_this);
            let sample = sample.unwrap_or_else(|| panic!("no {load} over {path}"));
            assert!(sample["figures"][key].as_f64().unwrap() > 0.0, "{sample}");
            assert!(sample["seconds"].as_f64().unwrap() > 0.0, "{sample}");
            let rows = table.lines().map(|line| line.split_whitespace().take(2));
            assert!(rows.into_iter().any(|row| row.eq([load, path])), "{table}");
        }
    }
}

#[test]
fn the_same_paths_are_measured_over_ipv6() {
    let Some(_world) = World::new() else { return };
    let wanted = ["--family", "ipv4,ipv6", "--loads", "udp-64"];
    let (report, table) = net(&[&wanted[..], &["--congestion-control", "reno"]].concat());
    assert_eq!(report["congestion_control"], "reno");
    assert!(table.contains("streams by lab with reno\n"), "{table}");
    let samples = report["samples"].as_array().unwrap();
    for (path, family) in EVERYWHERE.iter().flat_map(|p| [(p, "ipv4"), (p, "ipv6")]) {
        let is_this = |sample: &&Value| sample["path"] == *path && sample["family"] == family;
        assert_eq!(samples.iter().filter(is_this).count(), 1, "{path} {family}");
        let rows = table.lines().map(|line| line.split_whitespace().take(3));
        let row = ["udp-64", path, family];
        assert!(rows.into_iter().any(|cells| cells.eq(row)), "{table}");
    }
    for path in ["ipip", "udp"] {
        let mut left_out = report["left_out"].as_array().unwrap().iter();
        let left = left_out.find(|left| left["path"] == path && left["family"] == "ipv6");
        let reason = left.unwrap()["reason"].as_str().unwrap();
        assert!(reason.contains("IPv4 alone"), "{reason}");
    }
}

#[test]
fn a_report_says_what_was_measured_how_and_where() {
    let Some(_world) = World::new() else { return };
    let (report, said) = net(&[
        "--paths",
        "bridge",
        "--loads",
        "latency",
        "--other-pods",
        "0,2",
    ]);
    assert_eq!(report["format"], 2);
    assert_eq!(report["repetitions"], 1);
    assert_eq!(report["variants"][0]["name"], "podwire");
    assert!(report["machine"]["kernel"].is_string());
    for program in ["lab", "netd", "podwire"] {
        let version = report["versions"][program].as_str().unwrap();
        assert!(version.ends_with(env!("CARGO_PKG_VERSION")), "{version}");
    }
    let kernel = report["machine"]["kernel"].as_str().unwrap();
    for words in [
        kernel,
        "netd ",
        "podwire ",
        "streams by lab",
        "1 round, no warm-up",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let command = report["commands"]["latency"].as_str().unwrap();
    assert!(command.contains("load ask"), "{command}");
    let samples = report["samples"].as_array().unwrap();
    let pods: Vec<_> = samples.iter().map(|sample| &sample["other_pods"]).collect();
    assert_eq!(pods, [0, 2]);
    for sample in samples {
        let times = sample["latencies_microseconds"].as_array().unwrap();
        assert!((1..=1000).contains(&times.len()), "{}", times.len());
    }
}

#[test]
fn variants_are_measured_by_turns_where_they_differ() {
    let Some(_world) = World::new() else { return };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let plugins = directory.path().join("bin");
    installed(&plugins);
    let against = directory.path().join("against.json");
    fs::write(&against, r#"{"plugins": {"ptp": {"mtu": 1400}}}"#).unwrap();
    let (plugins, against) = (plugins.to_str().unwrap(), against.to_str().unwrap());
    let (report, _) = net(&[
        "--paths",
        "node,bridge,ptp",
        "--loads",
        "connections",
        "--plugin-dir",
        plugins,
        "--against",
        against,
    ]);
    let samples = report["samples"].as_array().unwrap().iter();
    let order: Vec<_> = samples
        .map(|sample| [&sample["path"], &sample["variant"]].map(|text| text.as_str().unwrap()))
        .collect();
    let expected = [
        ["node", "podwire"],
        ["bridge", "podwire"],
        ["bridge", plugins],
        ["ptp", "podwire"],
        ["ptp", plugins],
        ["ptp", against],
    ];
    assert_eq!(order, expected);
    assert_eq!(
        report["variants"][2]["changes"]["plugins"]["ptp"]["mtu"],
        1400
    );
    // A suite need not have every plugin.
    fs::remove_file(Path::new(plugins).join("bridge")).unwrap();
    let of_ptp = ["--paths", "ptp", "--loads", "connections"];
    let (report, table) = net(&[&of_ptp[..], &["--plugin-dir", plugins]].concat());
    let against: Vec<&str> = table
        .lines()
        .filter_map(|line| line.rsplit("  ").next())
        .collect();
    let [.., "AGAINST PODWIRE", "–", other] = against[..] else {
        panic!("{table}")
    };
    assert!(
        other.ends_with(" %, apart") || other.ends_with(" %, overlaps"),
        "{table}"
    );
    assert_eq!(report["samples"].as_array().unwrap().len(), 2);
    let about = report["variants"][1]["about"].as_str().unwrap();
    assert!(about.contains("CNI ptp plugin"), "{about}");
}

/// Processes that netd leaves behind on purpose end, too.
#[test]
fn however_it_ends_no_process_and_no_namespace_is_left() {
    let Some(_world) = World::new() else { return };
    for (signal, status) in [
        (Signal::SIGINT, Some(130)),
        (Signal::SIGTERM, Some(143)),
        (Signal::SIGKILL, None),
    ] {
        let (mut child, _said, below) = measuring();
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        kill(pid, signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), status);
        // Of its own accord it ends last; the kernel ends the others after it.
        let deadline = Instant::now() + Duration::from_secs(60);
        let is_left = || below.iter().any(Started::is_alive);
        while status.is_none() && is_left() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!is_left(), "after {signal}: {below:?}");
        assert_eq!(fs::read_dir("/run/netns").map_or(0, Iterator::count), 0);
    }
}

/// A benchmark that measures, what it goes on to say, and all processes below it.
fn measuring() -> (Child, Lines<BufReader<ChildStderr>>, Vec<Started>) {
    let mut lab = lab(&[
        "net",
        "--generator",
        "lab",
        "--time",
        "10s",
        "--warm-up",
        "0s",
    ]);
    lab.args(["--paths", "node,bridge,vxlan", "--loads", "latency,tcp-8"]);
    if Path::new("/dev/net/tun").exists() {
        lab.args(["--paths", "udp"]);
    }
    let mut child = lab.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let is_ready = |line: &str| line.trim_start().starts_with("DONE");
    assert!(
        said.any(|line| is_ready(&line.unwrap())),
        "nothing measured"
    );
    let below = descendants(child.id());
    // Its first process, a netd on either node.
    assert!(below.len() > 2, "{below:?}");
    (child, said, below)
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is_made() {
    let Some(_world) = World::new() else { return };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let against = directory.path().join("against.json");
    fs::write(&against, r#"{"plugins": {"vlan": {}}}"#).unwrap();
    let against = against.to_str().unwrap();
    let netd = directory.path().join("netd.json");
    fs::write(&netd, r#"{"netd": ["-nosuch"]}"#).unwrap();
    let netd = netd.to_str().unwrap();
    for (arguments, words) in [
        (
            &["--plugin-dir", "/nowhere"][..],
            "/nowhere: none of the paths can be made with these plugins: bridge, for one, needs bridge, host-local",
        ),
        (&["--against", "/nowhere"], "read /nowhere"),
        (&["--against", against], "no path has the plugin \"vlan\""),
        (
            &["--plugin-dir", "/nowhere", "--paths", "node"],
            "none of the paths is another with /nowhere",
        ),
        (
            &["--against", netd, "--paths", "host-gw"],
            "-n1 has ended: ",
        ),
        (
            &["--paths", "udp", "--family", "ipv6"],
            "the path udp cannot be had (ipv6, podwire): netd's backend udp carries IPv4 alone",
        ),
    ] {
        let output = lab(&[&["net"], arguments].concat()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    // One that cannot start, as with a library that is not there.
    let broken = directory.path().join("iperf3");
    fs::write(&broken, "#!/bin/sh\nexit 3\n").unwrap();
    fs::set_permissions(&broken, Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", directory.path().display());
    let mut with_broken = lab(&["net", "--paths", "loopback", "--loads", "tcp-1"]);
    let output = with_broken.env("PATH", path).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("iperf3 --server has ended: exit status: 3"),
        "{said}"
    );
    let mut without_iperf3 = lab(&["net", "--generator", "iperf3"]);
    let output = without_iperf3.env("PATH", "/nowhere").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("needs none: not installed: iperf3"), "{said}");
}

/// The page's commands, each of them short.
#[test]
#[allow(clippy::disallowed_methods, reason = "the reader's shell")]
fn the_commands_of_the_page_run() {
    let Some(_world) = World::new() else { return };
    let blocks = readme::blocks_of("docs/lab.md");
    let block = blocks
        .iter()
        .find(|block| block.text.contains("lab bench net"));
    let block = &block.unwrap().text;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let lab = env!("CARGO_BIN_EXE_lab");
    let short = format!("lab() {{ {lab} \"$@\" {}; }}\n", SHORT.join(" "));
    let mut shell = Command::new("sh");
    shell.args(["-euxc", &(short + block)]);
    let output = shell.current_dir(&directory).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(block.matches("lab bench net").count(), 7, "{block}");
    assert!(directory.path().join("net.json").exists());
}

/// A pipe gets one document, at the end.
#[test]
fn samples_go_to_a_pipe_and_through_a_link() {
    let Some(_world) = World::new() else { return };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let [file, link] = ["net.json", "link.json"].map(|name| directory.path().join(name));
    fs::write(&file, "old").unwrap();
    std::os::unix::fs::symlink("net.json", &link).unwrap();
    let once = ["net", "--paths", "node", "--loads", "connections"];
    let twice = ["--time", "5ms", "--warm-up", "0s", "--repetitions", "2"];
    let of =
        |file: &str| bench(&[&once[..], &twice, &["--generator", "lab", "--json", file]].concat());
    let samples = |text: &str| {
        let report: Value = serde_json::from_str(text).unwrap();
        report["samples"].as_array().unwrap().len()
    };
    let said = of("/dev/stdout");
    assert_eq!(samples(said.lines().next().unwrap()), 2);
    of(link.to_str().unwrap());
    assert!(link.is_symlink());
    assert_eq!(samples(&fs::read_to_string(&file).unwrap()), 2);
    // The table goes to who is full, or has gone, as `head` has.
    let (reader, gone) = std::io::pipe().unwrap();
    drop(reader);
    let full = fs::File::create("/dev/full").unwrap();
    for (to, status, words) in [
        (Stdio::from(full), 1, "lab: print: No space left on device"),
        (Stdio::from(gone), 141, ""),
    ] {
        let mut lab = lab(&[&once[..], &twice, &["--generator", "lab"]].concat());
        let output = lab.stdout(to).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.contains(words) && !said.contains("panicked"), "{said}");
    }
}

/// What a short `lab bench net` writes, and its table.
fn net(arguments: &[&str]) -> (Value, String) {
    file_of(&[&["net"], &SHORT[..], arguments].concat())
}

/// What a benchmark writes, and its table.
fn file_of(arguments: &[&str]) -> (Value, String) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = directory.path().join("samples.json");
    let json = ["--json", file.to_str().unwrap()];
    let table = bench(&[arguments, &json].concat());
    let report = fs::read(&file).unwrap();
    (serde_json::from_slice(&report).unwrap(), table)
}

/// Podwire's plugins in a directory, as another suite.
#[allow(clippy::disallowed_methods, reason = "the program installs itself")]
fn installed(plugins: &Path) {
    let podwire = Path::new(env!("CARGO_BIN_EXE_lab")).with_file_name("podwire");
    let mut install = Command::new(podwire);
    install.args(["install", "--bin-dir"]).arg(plugins);
    assert!(install.output().unwrap().status.success());
}

/// A process that no later one of its number is taken for.
#[derive(Debug)]
struct Started {
    pid: u32,
    parent: u32,
    at: String,
}

impl Started {
    /// None when it has ended; one whose parent has not yet looked has.
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name, which may hold anything: state, parent, ... start time (proc(5)).
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        (fields[0] != "Z").then(|| Self {
            pid,
            parent: fields[1].parse().unwrap(),
            at: fields[19].to_owned(),
        })
    }

    fn is_alive(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| now.at == self.at)
    }
}

/// All processes below this one.
fn descendants(of: u32) -> Vec<Started> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut rest: Vec<Started> = pids.filter_map(Started::of).collect();
    let mut found: Vec<Started> = Vec::new();
    loop {
        let is_below = |process: &Started| {
            process.parent == of || found.iter().any(|above| above.pid == process.parent)
        };
        let (below, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_below);
        if below.is_empty() {
            return found;
        }
        found.extend(below);
        rest = others;
    }
}

#[allow(clippy::disallowed_methods, reason = "the program under test")]
fn lab(arguments: &[&str]) -> Command {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
    lab.arg("bench").args(arguments);
    lab
}

fn bench(arguments: &[&str]) -> String {
    told(arguments).0
}

/// The table, and what was said meanwhile.
fn told(arguments: &[&str]) -> (String, String) {
    let output = lab(arguments).output().unwrap();
    let [table, said] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{said}");
    (table, said)
}

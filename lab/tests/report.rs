//! `lab report` over tests/report/sample.json, which `lab bench net` wrote in a short run: two rounds, a few paths; and
//! over what `lab bench attach` and `lab bench scale` wrote in as short ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "report/browser.rs"]
mod browser;
#[path = "common/readme.rs"]
mod readme;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use roxmltree::{Document, Node};
use serde_json::{Value, json};

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/report");
/// Text that would be markup, and a bar, and what steers a terminal.
const HOSTILE: &str = "<script>alert(\"1\")</script>&amp;'|`*_[x](y)\u{1b}[31m\n# z";

/// In the directory of the sample, so that its name has no machine's path.
#[allow(clippy::disallowed_methods, reason = "the program under test")]
fn report(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab"))
        .arg("report")
        .args(arguments)
        .current_dir(DIRECTORY)
        .output()
        .unwrap()
}

/// What it writes.
fn written(arguments: &[&str]) -> String {
    let output = report(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    assert_eq!(said, "", "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn markdown(arguments: &[&str]) -> String {
    written(&[&["--format", "markdown"], arguments].concat())
}

fn sample() -> Value {
    let text = fs::read(format!("{DIRECTORY}/sample.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The sample after a change, as a file.
fn changed(dir: &Path, name: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut value = sample();
    change(&mut value);
    let file = dir.join(name);
    fs::write(&file, value.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Load and path (with the other pods) of every sample.
fn rows(sample: &Value) -> BTreeSet<(String, String)> {
    let samples = sample["samples"].as_array().unwrap().iter();
    let row = |sample: &Value| {
        let path = sample["path"].as_str().unwrap();
        let family = if sample["family"] == "ipv6" {
            " IPv6"
        } else {
            ""
        };
        let place = match sample["other_pods"].as_u64().unwrap() {
            0 => format!("{path}{family}"),
            pods => format!("{path}{family} +{pods}"),
        };
        (sample["load"].as_str().unwrap().to_owned(), place)
    };
    samples.map(row).collect()
}

/// The page's body, which is XML too: all is closed, quoted and escaped.
fn body(page: &str) -> &str {
    let (_, body) = page.split_once("<body>").unwrap();
    let (body, rest) = body.split_once("</body>").unwrap();
    assert_eq!(rest, "</html>\n");
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\"><head>"));
    body
}

fn parsed<T>(page: &str, look: impl FnOnce(&Document<'_>) -> T) -> T {
    let body = format!("<body>{}</body>", body(page));
    look(&Document::parse(&body).unwrap())
}

/// All text below it, a blank between elements.
fn text_of(node: Node<'_, '_>) -> String {
    let texts = node
        .descendants()
        .filter_map(|node| node.text().filter(|_| node.is_text()));
    texts.collect::<Vec<_>>().join(" ")
}

fn cells<'a>(node: Node<'a, '_>) -> Vec<String> {
    let cells = node.children().filter(|node| node.has_tag_name("td"));
    cells.map(text_of).collect()
}

#[test]
fn the_page_is_whole_and_fetches_nothing() {
    let page = written(&["sample.json"]);
    let plots = parsed(&page, |document| {
        for element in document.descendants().filter(Node::is_element) {
            let name = element.tag_name().name();
            assert!(
                !["script", "link", "img", "iframe", "object"].contains(&name),
                "{name}"
            );
            for attribute in element.attributes() {
                let value = attribute.value();
                assert!(!value.contains("//"), "{name} {}={value}", attribute.name());
                let fetches = ["src", "href", "srcset", "style"].contains(&attribute.name());
                assert!(!fetches || value.starts_with('#'), "{name} {value}");
                assert!(!attribute.name().starts_with("on"), "{name}");
            }
        }
        let plots = document.descendants();
        plots
            .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "svg")))
            .count()
    });
    let loads: BTreeSet<String> = rows(&sample()).into_iter().map(|(load, _)| load).collect();
    assert!(plots > loads.len(), "{plots} plots of {loads:?}");
    let head = page.split("<body>").next().unwrap();
    for fetched in ["http", "url(", "@import", "<script", "<link"] {
        assert!(!head.contains(fetched), "{fetched}");
    }
    let namespaces = page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count();
    assert_eq!(page.matches("http").count(), namespaces);
}

#[test]
fn every_load_on_every_path_is_in_both() {
    let rows = rows(&sample());
    let text = markdown(&["sample.json"]);
    parsed(&written(&["sample.json"]), |document| {
        for (load, place) in &rows {
            let section = document
                .descendants()
                .find(|node| node.attribute("id") == Some(load));
            let section = section.unwrap();
            let in_table = section
                .descendants()
                .any(|node| cells(node).first() == Some(place));
            assert!(in_table, "{load} over {place} has no row");
            let mut labels = section
                .descendants()
                .filter(|node| node.tag_name().name() == "text");
            let in_plot = labels.any(|node| text_of(node).trim() == place);
            assert!(in_plot, "{load} over {place} is in no plot");
            let (_, rest) = text.split_once(&format!("\n## {load}:")).unwrap();
            let section = rest.split("\n## ").next().unwrap();
            assert!(
                section.contains(&format!("\n| {place} |")),
                "{load} over {place}"
            );
        }
    });
}

/// The sample, which is of the first form and has IPv4 alone, beside the same of the second with both.
fn of_both_families(value: &mut Value) {
    value["format"] = json!(2);
    let samples = value["samples"].as_array_mut().unwrap();
    let mut more = samples.clone();
    for (family, samples) in [("ipv4", &mut *samples), ("ipv6", &mut more)] {
        for sample in samples {
            sample["family"] = json!(family);
        }
    }
    samples.extend(more);
    value["left_out"] = json!([{ "path": "ipip", "family": "ipv6", "variant": "podwire", "reason": "it is not there" }]);
}

#[test]
fn families_are_rows_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let both = changed(dir.path(), "both.json", of_both_families);
    let value = serde_json::from_slice(&fs::read(&both).unwrap()).unwrap();
    let (all, ipv4) = (rows(&value), rows(&sample()));
    assert_eq!(all.len(), 2 * ipv4.len());
    let text = markdown(&["sample.json", &both]);
    for (load, place) in &all {
        let (_, rest) = text.split_once(&format!("\n## {load}:")).unwrap();
        let section = rest.split("\n## ").next().unwrap();
        let count = section.matches(&format!("\n| {place} |")).count();
        let in_both = ipv4.contains(&(load.clone(), place.clone()));
        assert_eq!(count, 1 + usize::from(in_both), "{load} over {place}");
    }
    for words in [
        "\n| bridge IPv6 +1 | Pods on one node, by the plugin bridge, over IPv6, with 1 other pod",
        "\n| ipip IPv6 | left out of B: it is not there |",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
}

#[test]
fn each_sample_is_a_dot() {
    let sample = sample();
    let samples = sample["samples"].as_array().unwrap();
    parsed(&written(&["sample.json"]), |document| {
        for load in rows(&sample).into_iter().map(|(load, _)| load) {
            let of_load = samples.iter().filter(|sample| sample["load"] == *load);
            let with_cost = of_load
                .clone()
                .filter(|s| s["cpu_seconds_per_gigabit"].is_number());
            let figures = if load == "latency" { 3 } else { 1 };
            let expected = of_load.count() * figures + with_cost.count();
            let section = document
                .descendants()
                .find(|node| node.attribute("id") == Some(&load));
            let dots = section.unwrap().descendants();
            let dots = dots
                .filter(|node| node.tag_name().name() == "circle")
                .count();
            assert_eq!(dots, expected, "{load}");
        }
    });
}

#[test]
fn the_markdown_is_as_it_was_looked_at() {
    let expected = fs::read_to_string(format!("{DIRECTORY}/sample.md")).unwrap();
    let text = markdown(&["sample.json"]);
    for (line, (is, should)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(is, should, "line {}", line + 1);
    }
    assert_eq!(text, expected);
}

#[test]
fn text_of_the_file_is_never_markup() {
    let dir = tempfile::tempdir().unwrap();
    let file = changed(dir.path(), "hostile.json", |value| {
        value["started"] = json!(HOSTILE);
        value["command"] = json!([HOSTILE, HOSTILE]);
        value["commands"] = json!({ HOSTILE: HOSTILE });
        value["machine"]["processor"] = json!(HOSTILE);
        value["machine"]["kernel"] = json!(HOSTILE);
        for program in ["lab", "netd", "podwire", "iperf3"] {
            value["versions"][program] = json!(HOSTILE);
        }
        let hostile = json!({ "name": HOSTILE, "about": HOSTILE, "plugin_dir": HOSTILE, "changes": { "netd": [HOSTILE] } });
        let other = json!({ "name": "other", "about": null, "plugin_dir": null, "changes": null });
        value["variants"] = json!([hostile, other]);
        value["left_out"] = json!([{ "path": "ipip", "variant": HOSTILE, "reason": HOSTILE }]);
        for sample in value["samples"].as_array_mut().unwrap() {
            sample["variant"] = json!(HOSTILE);
        }
    });
    let shown = HOSTILE.replace('\n', " ").replace('\u{1b}', "\u{fffd}");
    let times = parsed(&written(&[&file, "sample.json"]), |document| {
        let mut elements = document.descendants();
        assert!(!elements.any(|node| node.has_tag_name("script")));
        text_of(document.root()).matches(&shown).count()
    });
    // Nine facts, two commands, and the variant's name at the head and in the legend of each load.
    assert!(times > 12, "{times}");

    let text = markdown(&[&file, "sample.json"]);
    assert!(!text.contains('\u{1b}') && !text.contains("\n# z"));
    let prose = text.lines().filter(|line| !line.contains("| `"));
    for line in prose {
        for (at, _) in line.match_indices(['<', '`', '*', '[']) {
            assert!(line[..at].ends_with('\\'), "{line}");
        }
    }
    for table in text.split("\n\n").filter(|block| block.starts_with('|')) {
        let bars = |line: &str| line.matches('|').count() - line.matches(r"\|").count();
        let columns: BTreeSet<usize> = table.lines().map(bars).collect();
        assert_eq!(columns.len(), 1, "{table}");
    }
}

#[test]
fn a_file_that_is_none_is_refused_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let of_sample =
        |key: &'static str, wrong: Value| move |value: &mut Value| value["samples"][1][key] = wrong;
    type Change = Box<dyn FnOnce(&mut Value)>;
    let cases: Vec<(Change, &[&str])> = vec![
        (
            Box::new(|v| *v = json!([])),
            &["line 1", "lab bench net --json"],
        ),
        (
            Box::new(|v| v["format"] = json!(3)),
            &["\"format\" is 3", "reads 1 to 2"],
        ),
        (
            Box::new(|v| drop(v.as_object_mut().unwrap().remove("format"))),
            &["missing field `format`"],
        ),
        (
            Box::new(|v| drop(v.as_object_mut().unwrap().remove("samples"))),
            &["missing field `samples`"],
        ),
        (
            Box::new(|v| v["samples"] = json!([])),
            &["\"samples\" is empty"],
        ),
        (
            Box::new(|v| v["repetitions"] = json!("5")),
            &["invalid type: string \"5\"", "line 1 column"],
        ),
        (
            Box::new(|v| v["left_out"] = json!([{ "path": "node", "variant": "x", "reason": "" }])),
            &["left_out[0]", "\"variant\" is \"x\""],
        ),
        (
            Box::new(|v| {
                let first = v["variants"][0].clone();
                v["variants"].as_array_mut().unwrap().push(first);
            }),
            &["\"variants\" has", "twice"],
        ),
        (
            Box::new(of_sample("path", json!("tunnel"))),
            &["unknown variant `tunnel`", "host-gw"],
        ),
        (
            Box::new(of_sample("load", json!("tcp-9"))),
            &["unknown variant `tcp-9`", "tcp-8"],
        ),
        (
            Box::new(of_sample("variant", json!("other"))),
            &["samples[1]", "\"variant\" is \"other\""],
        ),
        (
            Box::new(of_sample("figures", json!({}))),
            &["samples[1]", "\"figures\" has no"],
        ),
        (
            Box::new(of_sample("cpu_seconds_per_gigabit", json!(-1))),
            &[
                "samples[1]",
                "\"cpu_seconds_per_gigabit\" is -1",
                "between 0",
            ],
        ),
        (
            Box::new(of_sample("latencies_microseconds", json!([1e300]))),
            &["samples[1]", "\"latencies_microseconds\" is 1", "between 0"],
        ),
    ];
    for (at, (change, words)) in cases.into_iter().enumerate() {
        let file = changed(dir.path(), &format!("{at}.json"), change);
        refused(&[&file], &[words, &[&file]].concat());
    }
}

/// With each of these words.
fn refused(arguments: &[&str], words: &[&str]) {
    let output = report(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    for word in words {
        assert!(
            said.contains(word),
            "{arguments:?}: {said:?} lacks {word:?}"
        );
    }
}

#[test]
fn what_is_no_json_or_no_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, contents, words) in [
        ("cut.json", &b"{\"format\": 1,\n \"started\":"[..], "line 2"),
        ("empty.json", b"", "line 1"),
        ("binary.json", b"\xff\xfe{", "line 1"),
    ] {
        let file = dir.path().join(name);
        fs::write(&file, contents).unwrap();
        refused(
            &[file.to_str().unwrap()],
            &[name, words, "lab bench net --json"],
        );
    }
    refused(&["absent.json"], &["read absent.json", "No such file"]);
    let endless = ["/dev/zero"];
    refused(&endless, &["read /dev/zero", "more than 256 MiB"]);
    let nowhere = ["sample.json", "--output", "/nowhere/report.html"];
    refused(&nowhere, &["write /nowhere/report.html", "No such file"]);
}

#[test]
fn files_are_compared_with_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let other = changed(dir.path(), "other.json", |value| {
        value["machine"]["kernel"] = json!("9.9.9");
        for sample in value["samples"].as_array_mut().unwrap() {
            for figure in sample["figures"].as_object_mut().unwrap().values_mut() {
                *figure = json!(figure.as_f64().unwrap() * 100.0);
            }
        }
    });
    let text = markdown(&["sample.json", &other]);
    let rows = rows(&sample()).len();
    assert_eq!(text.matches(", apart |").count(), rows, "{text}");
    assert!(
        text.contains(&format!("Of {rows} compared rows {rows} are;")),
        "{text}"
    );
    assert!(
        text.contains("The sides also differ in this: kernel."),
        "{text}"
    );
    let same = markdown(&["sample.json", "sample.json"]);
    assert_eq!(same.matches("| +0.0 %, overlaps |").count(), rows, "{same}");
    assert!(!same.contains("also differ"), "{same}");
    let page = written(&["sample.json", &other]);
    let legend = |page: &str| page.matches("side-1\"").count();
    assert!(legend(&page) > 0 && legend(&written(&["sample.json"])) == 0);
    let nine = ["sample.json"; 9];
    refused(&nine, &["9 variants", "8 at most"]);
}

/// All figures become 1 in the first round and this in the second.
fn second_round_at(figure: f64) -> impl FnOnce(&mut Value) {
    move |value| {
        for sample in value["samples"].as_array_mut().unwrap() {
            let figure = if sample["round"] == 1 { 1.0 } else { figure };
            for each in sample["figures"].as_object_mut().unwrap().values_mut() {
                *each = json!(figure);
            }
        }
    }
}

#[test]
fn noise_is_what_the_samples_say() {
    let dir = tempfile::tempdir().unwrap();
    let rows = rows(&sample()).len();
    let steady = changed(dir.path(), "steady.json", second_round_at(1.0));
    let drifting = changed(dir.path(), "drifting.json", second_round_at(1.5));
    let single = changed(dir.path(), "single.json", |value| {
        let samples = value["samples"].as_array_mut().unwrap();
        samples.retain(|sample| sample["round"] == 1);
    });
    for (file, words) in [
        (&steady, "None spreads by more than 10 %.".to_owned()),
        (
            &steady,
            format!("half of the {rows} rows (a load on a path) spread by 0.0 % of"),
        ),
        (
            &steady,
            format!("changed by +0.0 % in the median; 0 of {rows} rows rose."),
        ),
        (
            &steady,
            format!("{rows} of the rows have fewer than 5 samples"),
        ),
        (
            &drifting,
            format!("{rows} spread by more than 10 %, the widest: "),
        ),
        (&drifting, "nine of ten by 40 % or less.".to_owned()),
        (
            &drifting,
            format!("changed by +50 % in the median; {rows} of {rows} rows rose."),
        ),
        (
            &single,
            "Each row has one sample: what chance does to it is not known".to_owned(),
        ),
    ] {
        let text = markdown(&[file]).replace('\\', "");
        assert!(text.contains(&words), "{words}: {text}");
    }
}

#[test]
fn a_report_is_written_where_it_is_asked_for_and_never_over_samples() {
    let dir = tempfile::tempdir().unwrap();
    let samples = changed(dir.path(), "samples.json", |_| {});
    let before = fs::read(&samples).unwrap();
    refused(
        &[&samples, "--output", &samples],
        &["is the file of samples"],
    );
    assert_eq!(fs::read(&samples).unwrap(), before);
    let page = dir.path().join("page.html");
    assert_eq!(written(&[&samples, "--output", page.to_str().unwrap()]), "");
    assert_eq!(fs::read_to_string(page).unwrap(), written(&[&samples]));
}

/// The page's commands, over the sample.
#[test]
#[allow(clippy::disallowed_methods, reason = "the reader's shell")]
fn the_commands_of_the_page_run() {
    let blocks = readme::blocks_of("docs/lab.md");
    let mut blocks = blocks.iter().map(|block| block.text.as_str());
    let block = blocks.find(|text| text.contains("lab report")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for name in ["net.json", "before.json"] {
        changed(dir.path(), name, |_| {});
    }
    rows_changed(dir.path(), "scale.json", "scale.json", |_| {});
    let lab = env!("CARGO_BIN_EXE_lab");
    let mut shell = Command::new("sh");
    shell.args(["-euxc", &format!("lab() {{ {lab} \"$@\"; }}\n{block}")]);
    let output = shell.current_dir(&dir).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for name in ["net.html", "net.md", "scale.html"] {
        assert!(
            dir.path().join(name).metadata().unwrap().len() > 1000,
            "{name}"
        );
    }
}

/// What `lab bench attach` and `lab bench scale` wrote in short runs.
const OF_ROWS: [&str; 2] = ["attach.json", "scale.json"];

fn json_of(name: &str) -> Value {
    serde_json::from_slice(&fs::read(format!("{DIRECTORY}/{name}")).unwrap()).unwrap()
}

/// One of those files after a change.
fn rows_changed(dir: &Path, from: &str, name: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut value = json_of(from);
    change(&mut value);
    let file = dir.join(name);
    fs::write(&file, value.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

/// So many there are of each side, in a table.
fn samples_in_rows(value: &Value) -> usize {
    let rows = value["rows"].as_array().unwrap().iter();
    rows.map(|row| row["sides"].as_array().unwrap().len()).sum()
}

#[test]
fn every_row_of_attach_and_scale_is_in_both() {
    for name in OF_ROWS {
        let value = json_of(name);
        let text = markdown(&[name]);
        let page = written(&[name]);
        for row in value["rows"].as_array().unwrap() {
            let what = row["what"].as_str().unwrap();
            assert!(text.contains(&format!("\n| {what} |")), "{what}: {text}");
            let in_table = parsed(&page, |document| {
                let mut nodes = document.descendants();
                nodes.any(|node| cells(node).first().is_some_and(|cell| cell == what))
            });
            assert!(in_table, "{what}");
        }
        let rows = parsed(&page, |document| {
            let tables = document.descendants();
            let tables = tables.filter(|node| node.attribute("class") == Some("rows"));
            let rows = tables.flat_map(|table| table.descendants());
            rows.filter(|node| !cells(*node).is_empty()).count()
        });
        assert_eq!(rows, samples_in_rows(&value), "{name}");
        for words in ["AMD EPYC", "6.18", "Each call is a program", "by turns"] {
            assert!(text.contains(words) && page.contains(words), "{words}");
        }
    }
}

#[test]
fn what_grows_has_a_plot_with_every_sample() {
    let value = json_of("scale.json");
    let sides = value["rows"].as_array().unwrap().iter();
    let sides = sides.flat_map(|row| row["sides"].as_array().unwrap());
    let samples: usize = sides
        .map(|side| side["samples"].as_array().unwrap().len())
        .sum();
    let rows = value["rows"].as_array().unwrap().iter();
    let things: BTreeSet<&str> = rows.map(|row| row["what"].as_str().unwrap()).collect();
    let count = |page: &str, name: &str| {
        parsed(page, |document| {
            let nodes = document.descendants();
            nodes.filter(|node| node.tag_name().name() == name).count()
        })
    };
    let page = written(&["scale.json"]);
    assert_eq!(count(&page, "svg"), things.len());
    assert_eq!(count(&page, "circle"), samples);
    assert_eq!(count(&written(&["attach.json"]), "svg"), 0);
}

#[test]
fn the_suites_of_several_files_are_compared_with_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let times = |factor: f64| {
        move |value: &mut Value| {
            for row in value["rows"].as_array_mut().unwrap() {
                for side in row["sides"].as_array_mut().unwrap() {
                    let samples = if side["side"] == "reference" {
                        [1.0, 2.0]
                    } else {
                        [factor, 2.0 * factor]
                    };
                    side["samples"] = json!(samples);
                }
            }
        }
    };
    let same = rows_changed(dir.path(), "attach.json", "same.json", times(1.0));
    let slow = rows_changed(dir.path(), "attach.json", "slow.json", times(4.0));
    let rows = json_of("attach.json")["rows"].as_array().unwrap().len();
    let text = markdown(&[&same, &slow]);
    assert_eq!(
        text.matches("| +0.0 %, overlaps |").count(),
        2 * rows,
        "{text}"
    );
    assert_eq!(text.matches("| +300 %, apart |").count(), rows, "{text}");
    let counted = format!("Of {} compared rows {rows} are.", 3 * rows);
    assert!(text.contains(&counted), "{text}");
    for (side, letter) in [
        ("reference", 'A'),
        ("podwire", 'B'),
        ("reference", 'C'),
        ("podwire", 'D'),
    ] {
        assert!(text.contains(&format!("\n| {letter} | {side}, ")), "{text}");
    }
    refused(&["attach.json"; 5], &["10 sides", "8 at most"]);
    for files in [
        ["attach.json", "scale.json"],
        ["sample.json", "attach.json"],
    ] {
        refused(&files, &["attach", "give files of one benchmark"]);
    }
}

#[test]
fn a_file_of_rows_that_is_wrong_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    type Change = fn(&mut Value);
    let cases: [(Change, &[&str]); 5] = [
        (
            |v| v["format"] = json!(2),
            &["\"format\" is 2", "reads 1 to 1"],
        ),
        (
            |v| v["benchmark"] = json!("x"),
            &["unknown variant `x`", "`scale`"],
        ),
        (|v| v["rows"] = json!([]), &["\"rows\" is empty"]),
        (
            |v| v["rows"][1]["sides"][1]["samples"] = json!([]),
            &["rows[1]", "\"podwire\" has no samples"],
        ),
        (
            |v| v["rows"][2]["sides"][0]["samples"][0] = json!(-1),
            &["rows[2]", "\"reference\" is -1", "between 0"],
        ),
    ];
    for (at, (change, words)) in cases.into_iter().enumerate() {
        let file = rows_changed(dir.path(), "scale.json", &format!("{at}.json"), change);
        refused(&[&file], &[words, &[&file]].concat());
    }
}

#[test]
fn text_of_a_file_of_rows_is_never_markup() {
    let dir = tempfile::tempdir().unwrap();
    let file = rows_changed(dir.path(), "scale.json", "hostile.json", |value| {
        for key in ["started", "method", "reference"] {
            value[key] = json!(HOSTILE);
        }
        value["command"] = json!([HOSTILE]);
        for row in value["rows"].as_array_mut().unwrap() {
            for key in ["section", "what", "unit"] {
                row[key] = json!(HOSTILE);
            }
            row["sides"][0]["side"] = json!(HOSTILE);
        }
    });
    let shown = HOSTILE.replace('\n', " ").replace('\u{1b}', "\u{fffd}");
    let times = parsed(&written(&[&file]), |document| {
        let mut elements = document.descendants();
        assert!(!elements.any(|node| node.has_tag_name("script")));
        text_of(document.root()).matches(&shown).count()
    });
    assert!(times > 12, "{times}");
    let text = markdown(&[&file]);
    assert!(!text.contains('\u{1b}') && !text.contains("\n# z"));
    for line in text.lines().filter(|line| !line.contains("| `")) {
        for (at, _) in line.match_indices(['<', '`', '*', '[']) {
            assert!(line[..at].ends_with('\\'), "{line}");
        }
    }
}

#[test]
#[ignore = "needs Chromium, a large package: make report-picture"]
fn nothing_overlaps_or_is_cut_in_a_browser() {
    let dir = tempfile::tempdir().unwrap();
    let other = changed(dir.path(), "other.json", |_| {});
    let both = changed(dir.path(), "both.json", of_both_families);
    for (name, files) in [
        ("one", &["sample.json"][..]),
        ("families", &[&both]),
        ("two", &["sample.json", &other]),
        ("attach", &["attach.json"]),
        ("scale", &["scale.json"]),
        ("scales", &["scale.json", "scale.json"]),
    ] {
        let page = written(files);
        for (screen, width) in [("phone", 390), ("desktop", 1280)] {
            for dark in [false, true] {
                let look = browser::Look { width, dark };
                let problems =
                    browser::look_at(dir.path(), &page, look, &format!("{name}-{screen}"));
                assert_eq!(problems, [""; 0], "{name} {screen}");
            }
        }
    }
}

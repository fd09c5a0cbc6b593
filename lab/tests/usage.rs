//! The command line: help, version, and what is wrong with it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use clap::{CommandFactory, Parser};
use lab::cli::Cli;

#[allow(clippy::disallowed_methods, reason = "the program under test")]
fn lab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(arguments)
        .output()
        .unwrap()
}

/// What a command is good for is seen in an example.
#[test]
fn every_command_has_an_example_in_its_help() {
    fn without(command: &clap::Command, words: &str, found: &mut Vec<String>) {
        let visible = command.get_subcommands().filter(|each| !each.is_hide_set());
        for each in visible {
            let words = format!("{words} {}", each.get_name());
            without(each, &words, found);
            let help = each.get_after_help().map(ToString::to_string);
            let has_example = help.is_some_and(|help| help.contains("Example"));
            if !has_example && !each.has_subcommands() {
                found.push(words);
            }
        }
    }
    let mut found = Vec::new();
    without(&Cli::command(), "lab", &mut found);
    assert_eq!(found, [""; 0]);
}

/// Every subcommand, as its words, with what it says about itself.
fn subcommands(command: &clap::Command, words: &[String]) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    for each in command.get_subcommands() {
        let mut words = words.to_vec();
        words.push(each.get_name().to_owned());
        found.extend(subcommands(each, &words));
        found.push((words, each.get_about().unwrap().to_string()));
    }
    found
}

#[test]
fn every_subcommand_has_help() {
    // Where it is wrapped is the terminal's matter.
    let unwrapped = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let all = subcommands(&Cli::command(), &[]);
    assert!(all.iter().any(|(words, _)| words == &["run"]));
    for (words, about) in all {
        let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        arguments.push("--help");
        let output = lab(&arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && unwrapped(&text).starts_with(&unwrapped(&about)),
            "{words:?}: {text}"
        );
        assert_eq!(output.stderr, b"", "{words:?}");
    }
}

/// Words are not broken where the terminal ends.
#[test]
#[allow(clippy::disallowed_methods, reason = "the program under test")]
fn help_is_as_wide_as_the_terminal() {
    let mut help = Command::new(env!("CARGO_BIN_EXE_lab"));
    let output = help.args(["run", "--help"]).env("COLUMNS", "60").output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let widest = text.lines().map(str::len).max().unwrap();
    assert!((50..=60).contains(&widest), "{widest}:\n{text}");
}

#[test]
fn version_is_name_and_version() {
    let expected = format!("lab {}\n", env!("CARGO_PKG_VERSION"));
    for flag in ["--version", "-V"] {
        let output = lab(&[flag]);
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_would_be_right() {
    for (arguments, words) in [
        (&[][..], "Usage: lab"),
        (&["frobnicate"], "unrecognized subcommand"),
        (&["pod", "run"], "unrecognized subcommand"),
        (&["create", "-f", "web.yaml"], "tip: `lab apply -f FILE`"),
        (&["get", "pods", "-n", "x"], "a lab has one namespace"),
        (&["run", "a"], "<WORD>"),
        (
            &["run", "a", "--env", "=1", "--", "true"],
            "is not NAME=VALUE",
        ),
        (
            &["run", "a", "--restart", "never", "--", "true"],
            "[possible values: Always, OnFailure, Never]",
        ),
        (&["up", "--nodes", "0"], "give 1 to 64"),
        (&["up", "--nodes", "65"], "give 1 to 64"),
        (&["demo", "--nodes", "0"], "give 1 to 64"),
        (&["up", "--lease-ttl", "0s"], "give whole seconds"),
        (&["up", "--lease-ttl", "1500ms"], "give whole seconds"),
        (&["--lab", "a", "up", "--name", "b"], "give one"),
        (&["--lab", "../a", "ps"], "is not a name"),
        (&["bench"], "Usage: lab bench"),
        (&["bench", "attach", "--pods", "0"], "give a number from 1"),
        (
            &["bench", "attach", "--at-once", "2,2"],
            "2 is twice in --at-once",
        ),
        (
            &["bench", "attach", "--pods", "9", "--at-once", "10"],
            "give --pods 10 or more",
        ),
        (&["bench", "scale", "--pods", "10,1001"], "give 1 to 1000"),
        (&["bench", "scale", "--mappings", "0"], "give 1 to 50000"),
        (&["bench", "scale", "--leases", "0"], "give a number from 1"),
        (
            &["bench", "scale", "--leases", "7,7"],
            "7 is twice in --leases",
        ),
        (&["bench", "scale", "--only", "x"], "pods, mappings, leases"),
        (
            &["bench", "scale", "--json", "/run/scale.json"],
            "choose another",
        ),
        (
            &["bench", "attach", "--json", "/run/attach.json"],
            "choose another",
        ),
        (&["bench", "netd", "--leases", "0"], "give a number from 1"),
        (
            &["bench", "netd", "--backends", "vxlan,vxlan"],
            "vxlan is twice in --backends",
        ),
        (
            &["bench", "net", "--repetitions", "0"],
            "give a number from 1",
        ),
        (&["bench", "net", "--other-pods", "251"], "give 0 to 250"),
        (&["bench", "net", "--paths", "x"], "loopback, veth, node"),
        (&["bench", "net", "--family", "ip"], "ipv4, ipv6"),
        (
            &["bench", "net", "--family", "ipv6,ipv6"],
            "ipv6 is twice in --family",
        ),
        (&["bench", "net", "--loads", "x"], "tcp-1, tcp-1-reverse"),
        (
            &["bench", "net", "--congestion-control", "x"],
            "no congestion control \"x\", but ",
        ),
        (
            &["bench", "net", "--paths", "udp,node,udp"],
            "udp is twice in --paths",
        ),
        (
            &["bench", "net", "--loads", "latency", "--loads", "latency"],
            "latency is twice in --loads",
        ),
        (
            &["bench", "net", "--other-pods", "1,1"],
            "1 is twice in --other-pods",
        ),
        (&["bench", "net", "--time", "0s"], "give a longer --time"),
        (
            &[
                "bench",
                "net",
                "--generator",
                "iperf3",
                "--warm-up",
                "500ms",
            ],
            "give whole ones, or --generator lab",
        ),
        (
            &["bench", "net", "--json", "/run/net.json"],
            "choose another",
        ),
        (
            &["bench", "net", "--plugin-dir", "/run/cni"],
            "Usage: lab bench net",
        ),
        (
            &["bench", "--bin-dir", "/", "net", "--time", "0s"],
            "give a longer --time",
        ),
        (
            &["bench", "net", "--bin-dir", "/", "--time", "0s"],
            "give a longer --time",
        ),
        (
            &["bench", "connections", "--mapped-pods", "10,0"],
            "give 1 to 50000",
        ),
        (&["run", "a", "--memory", "1", "--", "true"], "6M"),
        (&["run", "a", "--pids", "1", "--", "true"], "give 2 or more"),
        (&["run", "a", "--cpus", "0", "--", "true"], "give 0.01 to"),
    ] {
        let output = lab(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
    }
}

/// Every `lab bench …` in backquotes; blocks are run elsewhere.
fn benchmarks_of(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
    let text = fs::read_to_string(path).unwrap();
    let prose: String = text.split("```").step_by(2).collect();
    let quoted = prose.split('`').skip(1).step_by(2);
    let words = quoted.map(|code| code.split_whitespace().collect::<Vec<_>>().join(" "));
    let commands = words.filter_map(|code| Some(code[code.find("lab bench")?..].to_owned()));
    commands.collect()
}

#[test]
fn the_benchmarks_that_pages_name_are_commands() {
    let mut checked = 0;
    for page in ["README.md", "docs/lab.md", "docs/netd.md"] {
        for command in benchmarks_of(page) {
            let parsed = Cli::try_parse_from(command.split(' '));
            assert!(parsed.is_ok(), "{page}: {command}: {parsed:?}");
            checked += 1;
        }
    }
    assert!(checked > 5, "{checked}");
}

/// Who prints into `head` ends with it, silently; who cannot print says so.
#[test]
#[allow(clippy::disallowed_methods, reason = "the program under test")]
fn a_reader_that_has_gone_is_worth_no_word_and_a_full_disk_is() {
    let (reader, gone) = std::io::pipe().unwrap();
    drop(reader);
    let full = std::fs::File::options().write(true).open("/dev/full");
    for (stdout, status, words) in [
        (Stdio::from(gone), 141, ""),
        (Stdio::from(full.unwrap()), 1, "print"),
    ] {
        let mut schema = Command::new(env!("CARGO_BIN_EXE_lab"));
        let output = schema.arg("schema").stdout(stdout).stderr(Stdio::piped());
        let output = output.spawn().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert_eq!(said.is_empty(), words.is_empty(), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

/// As a shell gives them.
#[test]
#[allow(clippy::disallowed_methods, reason = "the program under test")]
fn files_are_read_by_the_names_of_descriptors() {
    let mut shell = Command::new("bash");
    shell.args(["-c", "\"$0\" report <(cat \"$1\")"]);
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/report/sample.json");
    let output = shell.arg(env!("CARGO_BIN_EXE_lab")).arg(sample).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// As at a terminal that was closed.
#[test]
#[allow(clippy::disallowed_methods, reason = "the program under test")]
fn the_exit_status_is_its_own_where_standard_error_cannot_be_written() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let (_, nobody_reads) = std::io::pipe().unwrap();
    for error in [Stdio::from(full), Stdio::from(nobody_reads)] {
        let mut report = Command::new(env!("CARGO_BIN_EXE_lab"));
        let report = report.args(["report", "/none"]).stderr(error);
        assert_eq!(report.status().unwrap().code(), Some(1));
    }
}

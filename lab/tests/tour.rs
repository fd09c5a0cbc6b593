//! docs/tour.md, from its first to its last line: all commands in one shell, as a reader types them, and each
//! step prints what the page says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/readme.rs"]
mod readme;

use std::path::Path;
use std::process::{Command, Stdio};

use kernel::testing::World;
use readme::{Block, blocks_of};

/// What the test does itself: it is root, in namespaces of its own, with executables that are built.
const OPENING: [&str; 3] = ["make build", "sudo unshare ", "PATH="];
/// A lab that a failed command leaves goes with the shell.
const CLOSING: &str = "trap 'lab down >/dev/null 2>&1 || true' EXIT\n";
/// Between the outputs of two blocks.
const MARK: &str = "== the next block ==";
const NEXT: &str = "echo '== the next block =='";

/// The page's commands with what each block is to print.
fn steps() -> Vec<(String, Option<String>)> {
    let mut steps: Vec<(String, Option<String>)> = Vec::new();
    for Block { language, text } in blocks_of("docs/tour.md") {
        match (language.as_str(), steps.last_mut()) {
            ("sh", _) => steps.push((text, None)),
            ("text", Some((_, printed @ None))) => *printed = Some(text),
            _ => panic!("a block {language:?} where none belongs: {text}"),
        }
    }
    steps
}

/// Whether `line` is `pattern`, in which `…` stands for anything.
fn is(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    // split gives one part at least.
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    let mut open_end = false;
    for part in parts {
        open_end = part.is_empty();
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    open_end || rest.is_empty()
}

/// Every line that the page shows is printed, in that order; more lines may be between them.
fn shown(printed: &str, pattern: &str) -> Result<(), String> {
    let mut lines = printed.lines();
    for wanted in pattern.lines() {
        if !lines.any(|line| is(line, wanted)) {
            return Err(format!("{wanted:?} is missing in:\n{printed}"));
        }
    }
    Ok(())
}

#[test]
fn dots_stand_for_anything() {
    for (line, pattern, same) in [
        ("a b", "a b", true),
        ("a b c", "a … c", true),
        ("a b c", "a …", true),
        ("a b c", "… b", false),
        ("a b c", "…b…", true),
        ("a b", "a", false),
        ("b", "a…", false),
    ] {
        assert_eq!(is(line, pattern), same, "{line:?} {pattern:?}");
    }
    shown("a\nb\nc\n", "a\nc\n").unwrap();
    shown("a\nb\n", "b\na\n").unwrap_err();
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the reader's shell")]
fn a_reader_follows_it_from_the_first_to_the_last_line() {
    let Some(_world) = World::new() else { return };
    let steps = steps();
    assert_eq!(steps.len(), 11, "the opening and ten steps");
    let script: String = steps
        .iter()
        .flat_map(|(commands, _)| commands.lines().chain([NEXT]))
        .filter(|line| !OPENING.iter().any(|opening| line.starts_with(opening)))
        .map(|line| format!("{line}\n"))
        .collect();
    let executables = Path::new(env!("CARGO_BIN_EXE_lab")).parent().unwrap();
    let path = format!(
        "{}:{}",
        executables.display(),
        std::env::var("PATH").unwrap()
    );
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .args(["sh", "-euc", &format!("{CLOSING}{script}")])
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let [printed, said] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{printed}{said}");
    let printed: Vec<&str> = printed.split(MARK).collect();
    for ((commands, pattern), printed) in steps.iter().zip(printed) {
        let outcome = shown(printed, pattern.as_deref().unwrap_or_default());
        assert_eq!(outcome, Ok(()), "{commands}\n{said}");
    }
}

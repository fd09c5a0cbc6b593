//! `lab top` in a terminal: what it shows, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use common::{TestLab, at_a_terminal, signal_pid};

const LAB: &str = env!("CARGO_BIN_EXE_lab");
/// What gives the terminal its own content back, and what shows its cursor (xterm's ctlseqs, DECSET 1049 and 25).
const OWN_CONTENT: &str = "\u{1b}[?1049l";
const CURSOR: &str = "\u{1b}[?25h";

/// `lab top` in a terminal of script(1), 80 by 24, between two looks at the terminal's settings.
struct Terminal {
    script: Child,
    directory: tempfile::TempDir,
}

impl Terminal {
    fn new(lab: &TestLab) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let commands = format!(
            "stty cols 80 rows 24; stty -g >{before}; {LAB} --lab {name} top; echo $? >{status}; stty -g >{after}",
            before = at("before"),
            after = at("after"),
            status = at("status"),
            name = lab.name,
        );
        let script = at_a_terminal(&commands, &at("typescript"))
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .spawn()
            .unwrap();
        Self { script, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self, name: &str) -> String {
        let content = fs::read(self.path(name)).unwrap_or_default();
        String::from_utf8_lossy(&content).into_owned()
    }

    #[track_caller]
    fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.file("typescript").contains(text) {
            let shown = self.file("typescript");
            assert!(Instant::now() < deadline, "no {text:?} in {shown:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn type_keys(&mut self, keys: &str) {
        let keyboard = self.script.stdin.as_mut().unwrap();
        keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Its exit status, and what it said last. The terminal is as it was.
    #[track_caller]
    fn ended(&mut self) -> (String, String) {
        let deadline = Instant::now() + Duration::from_secs(60);
        // The file `after` may be there before all that was shown is in the typescript.
        while self.script.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(
            self.file("before"),
            self.file("after"),
            "settings of the terminal"
        );
        let shown = self.file("typescript");
        let (_, rest) = shown.rsplit_once(OWN_CONTENT).unwrap();
        assert!(
            shown.rfind(CURSOR) > shown.rfind("\u{1b}[?25l"),
            "its cursor"
        );
        (self.file("status").trim().to_owned(), rest.to_owned())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
fn it_shows_a_lab_and_leaves_the_terminal_as_it_was() {
    let Some(lab) = TestLab::new() else {
        return;
    };
    lab.ok(&["up", "--nodes", "1"]);
    let pod = ["run", "a-pod-to-be-seen", "--", "sleep", "1000"];
    lab.ok(&pod);

    let mut terminal = Terminal::new(&lab);
    terminal.wait_for("a-pod-to-be-seen");
    terminal.wait_for("Running");
    terminal.type_keys("q");
    assert_eq!(terminal.ended().0, "0");

    for (name, number) in [("TERM", "143"), ("HUP", "129")] {
        let mut terminal = Terminal::new(&lab);
        terminal.wait_for("a-pod-to-be-seen");
        signal_pid(top_of(&lab), name);
        let (status, said) = terminal.ended();
        assert_eq!(status, number);
        assert!(said.contains("interrupted by signal"), "{said:?}");
    }

    let mut closed = Terminal::new(&lab);
    closed.wait_for("a-pod-to-be-seen");
    let top = top_of(&lab);
    closed.script.kill().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while PathBuf::from(format!("/proc/{top}")).exists() {
        assert!(
            Instant::now() < deadline,
            "it does not end with its terminal"
        );
        std::thread::sleep(Duration::from_millis(20));
    }

    let mut terminal = Terminal::new(&lab);
    terminal.wait_for("a-pod-to-be-seen");
    lab.ok(&["down"]);
    let (status, said) = terminal.ended();
    assert_eq!(status, "1");
    assert!(said.contains("it has been taken down"), "{said:?}");
    lab.assert_nothing_left();
}

/// The process `lab top`.
fn top_of(lab: &TestLab) -> u32 {
    let wanted = [LAB, "--lab", &lab.name, "top", ""].join("\0");
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_top = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline")).ok() == Some(wanted.clone().into_bytes())
    };
    pids.into_iter().find(is_top).unwrap()
}

#[test]
fn without_a_terminal_it_names_who_prints() {
    let Some(lab) = TestLab::new() else {
        return;
    };
    let said = lab.fails(1, &["top"]);
    assert!(said.contains("`lab stats`"), "{said}");
}

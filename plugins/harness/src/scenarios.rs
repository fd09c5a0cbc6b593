//! Golden scenarios: a configuration, what the plugin prints, and what it leaves in the kernel.
//!
//! A file in `scenarios/` starts with its inputs (`config:`, and optionally `setup:` and `env:`
//! lines) and goes on with the outputs. `UPDATE_SCENARIOS=1` writes the outputs anew; the
//! difference is what a review looks at.

use std::{env, fs, path::Path, thread};

use cni::Plugin;

use crate::{
    Host,
    portrait::{self, Sysctls},
    sh, with_prev_result,
};

/// What a scenario file says.
struct Scenario {
    /// The lines up to the first output.
    head: String,
    config: String,
    setup: Vec<String>,
    env: Vec<(String, String)>,
    outputs: String,
}

impl Scenario {
    fn read(text: &str) -> Self {
        let (head, outputs) = match text.find("## ADD") {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let values = |key: &str| -> Vec<String> {
            head.lines()
                .filter_map(|line| line.strip_prefix(key))
                .map(|value| value.trim().to_owned())
                .collect()
        };
        let variables = values("env:");
        let env = variables.iter().filter_map(|line| line.split_once('='));
        Self {
            head: head.to_owned(),
            config: values("config:").remove(0),
            setup: values("setup:"),
            env: env
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            outputs: outputs.to_owned(),
        }
    }

    /// ADD, CHECK, DEL, DEL: what each prints and what is there then.
    fn play<P: Plugin + Default + 'static>(&self, host: &Host<P>) -> String {
        self.setup.iter().for_each(|script| drop(sh(script)));
        let before = Before {
            host: portrait::sysctls(None),
            pod: portrait::sysctls(Some("pod")),
        };
        let changed: Vec<(&str, &str)> = self
            .env
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let mut text = String::new();
        let mut section = |title: String, body: &str| {
            text.push_str(&format!(
                "## {title}\n{}",
                if body.is_empty() { "(none)\n" } else { body }
            ));
            if !body.is_empty() && !body.ends_with('\n') {
                text.push('\n');
            }
        };
        let added = host.call_with("ADD", &self.config, &changed);
        section(format!("ADD stdout (exit {})", added.code), &added.stdout);
        for (title, body) in before.state() {
            section(format!("{title} after ADD"), &body);
        }
        let mut config = self.config.clone();
        // Earlier versions have neither CHECK nor a result to hand on.
        let has_check = !["\"0.1", "\"0.2", "\"0.3"]
            .iter()
            .any(|old| config.contains(old));
        if added.code == 0 && has_check {
            let result = serde_json::from_str(&added.stdout).unwrap();
            config = with_prev_result(&self.config, &result);
            let checked = host.call_with("CHECK", &config, &changed);
            section(
                format!("CHECK stdout (exit {})", checked.code),
                &checked.stdout,
            );
        }
        let deleted = host.call_with("DEL", &config, &changed);
        section(
            format!("DEL stdout (exit {})", deleted.code),
            &deleted.stdout,
        );
        for (title, body) in before.state() {
            section(format!("{title} after DEL"), &body);
        }
        let again = host.call_with("DEL", &config, &changed);
        section(
            format!("DEL again stdout (exit {})", again.code),
            &again.stdout,
        );
        portrait::normalise(&text)
    }
}

struct Before {
    host: Sysctls,
    pod: Sysctls,
}

impl Before {
    fn state(&self) -> [(&'static str, String); 5] {
        [
            ("host", portrait::network(None)),
            (
                "host sysctls changed",
                portrait::changes(&self.host, &portrait::sysctls(None)),
            ),
            ("pod", portrait::network(Some("pod"))),
            (
                "pod sysctls changed",
                portrait::changes(&self.pod, &portrait::sysctls(Some("pod"))),
            ),
            ("files", portrait::files()),
        ]
    }
}

/// Plays the scenarios of a directory, each in a world of its own; fails with all that differ, and
/// when there are fewer than `at_least`.
pub fn play_all<P: Plugin + Default + 'static>(directory: &Path, at_least: usize) {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(
        files.len() >= at_least,
        "scenarios are missing: {}",
        files.len()
    );
    let only = env::var("SCENARIO").ok();
    let mut different = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        let scenario = Scenario::read(&fs::read_to_string(&file).unwrap());
        let played = thread::scope(|scope| {
            scope
                .spawn(|| Host::<P>::new().map(|host| scenario.play(&host)))
                .join()
                .unwrap()
        });
        let Some(played) = played else { return };
        if env::var_os("UPDATE_SCENARIOS").is_some() {
            fs::write(&file, format!("{}{played}", scenario.head)).unwrap();
        } else if played != scenario.outputs {
            different.push(format!(
                "{name}:\n{}",
                first_difference(&scenario.outputs, &played)
            ));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

fn first_difference(expected: &str, seen: &str) -> String {
    let mut section = "";
    for (wanted, got) in expected.lines().zip(seen.lines()) {
        if wanted.starts_with("## ") {
            section = wanted;
        }
        if wanted != got {
            return format!("  in {section}\n  expected: {wanted}\n  but got:  {got}");
        }
    }
    "  one has more lines than the other".to_owned()
}

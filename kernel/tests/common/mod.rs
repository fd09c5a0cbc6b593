//! What the tests of this crate share: asking `ip` and `bridge`, and failing with the cause.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::error::Error;
use std::process::Command;

use kernel::{IfName, NetNs};
use serde_json::Value;

/// A name that is known to be good.
pub fn name(name: &str) -> IfName {
    name.parse().unwrap()
}

/// Fails a test with the error and its cause.
pub trait Step<T> {
    /// The value, or a panic that says why there is none.
    fn step(self) -> T;
}

impl<T, E: Error> Step<T> for Result<T, E> {
    #[track_caller]
    fn step(self) -> T {
        match self {
            Ok(value) => value,
            Err(error) => panic!("{error}: {:?}", error.source().map(ToString::to_string)),
        }
    }
}

/// Runs programs in a namespace.
pub struct Ip<'a> {
    ns: Option<&'a NetNs>,
}

/// In the calling thread's namespace.
pub fn here() -> Ip<'static> {
    Ip { ns: None }
}

impl<'a> Ip<'a> {
    /// In `ns`.
    pub fn inside(ns: &'a NetNs) -> Self {
        Self { ns: Some(ns) }
    }

    /// Runs `line`, whose words are separated by spaces, and returns what it prints.
    #[track_caller]
    pub fn run(&self, line: &str) -> String {
        let (ok, out) = self.try_run(line);
        assert!(ok, "{line}: {out}");
        out
    }

    /// Runs `line` and returns whether it succeeded, and what it printed.
    pub fn try_run(&self, line: &str) -> (bool, String) {
        let run = || {
            let mut words = line.split(' ');
            #[allow(clippy::disallowed_methods, reason = "tests compare with what ip says")]
            let output = Command::new(words.next().unwrap())
                .args(words)
                .output()
                .unwrap();
            let text = if output.status.success() {
                output.stdout
            } else {
                output.stderr
            };
            (output.status.success(), String::from_utf8(text).unwrap())
        };
        match self.ns {
            Some(ns) => ns.run(run).step(),
            None => run(),
        }
    }

    /// Runs an `ip` or `bridge` line with `-j` and returns what it prints.
    #[track_caller]
    pub fn json(&self, line: &str) -> Value {
        let out = self.run(&line.replacen(' ', " -j ", 1));
        if out.trim().is_empty() {
            Value::Array(Vec::new())
        } else {
            serde_json::from_str(&out).unwrap()
        }
    }

    /// The names of all links, sorted.
    pub fn names(&self) -> Vec<String> {
        let links = self.json("ip link");
        let mut names: Vec<String> = links
            .as_array()
            .unwrap()
            .iter()
            .map(|link| link["ifname"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }
}

//! Every system call by which a plugin changes something, or learns what it must know, fails once.
//! No failure is told as success, and after one DEL the machine is as before.
//!
//! strace injects the failures. All of them take minutes (`make faults`); `make test` tries every
//! one in `FAULTS_EVERY` (37 if it is not set), beginning with another one for each kind.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, iter,
    path::{Path, PathBuf},
};

use kernel::NetNs;
use serde_json::Value;
use support::{
    Answer, Call, Node,
    chain::{Chain, Pod, state},
};

/// What fails, and how: kernels give these, short of memory, disk, descriptors or permission.
const FAULTS: &[(&str, &str)] = &[
    ("sendto", "ENOBUFS"),
    ("sendmsg", "ENOBUFS"),
    ("recvfrom", "ENOBUFS"),
    ("recvmsg", "ENOBUFS"),
    ("openat", "EMFILE"),
    ("write", "ENOSPC"),
    ("rename", "EIO"),
    ("renameat2", "EIO"),
    ("linkat", "ENOSPC"),
    ("unlink", "EIO"),
    ("unlinkat", "EIO"),
    ("mkdir", "ENOSPC"),
    ("setns", "EPERM"),
    ("socket", "EMFILE"),
    ("execve", "ENOMEM"),
    ("clone3", "EAGAIN"),
    ("flock", "ENOLCK"),
];

/// The wanted share of faults: one in so many.
fn every() -> usize {
    std::env::var("FAULTS_EVERY").map_or(37, |every| every.parse().unwrap())
}

/// One call under strace, with the `nth` call of that name failing.
struct Injected<'a> {
    node: &'a Node,
    pod: &'a Pod,
    system_call: &'a str,
    error: &'a str,
}

impl Injected<'_> {
    /// The answer, and whether there was such a call to fail.
    fn run(&self, nth: usize, command: &str, plugin: &Value, config: &str) -> (Answer, bool) {
        let trace = self.node.world.dir().join("trace");
        let program = self.node.plugin(plugin["type"].as_str().unwrap());
        let inject = format!(
            "inject={}:error={}:when={nth}",
            self.system_call, self.error
        );
        let script = self.node.world.dir().join("traced");
        // The plugin's own name must stay: it says which plugin it is.
        let text = format!(
            "#!/bin/sh\nexec strace -f -qq -o {} -e trace={} -e {inject} {}\n",
            trace.display(),
            self.system_call,
            program.display()
        );
        write_script(&script, &text);
        let answer = Call {
            executable: &script,
            command,
            container: &self.pod.container,
            config,
            env: &[
                ("CNI_NETNS", OsStr::new(&self.pod.netns)),
                ("CNI_PATH", self.node.bin_dir.as_os_str()),
            ],
        }
        .run();
        let traced = fs::read_to_string(&trace).unwrap_or_default();
        (answer, traced.contains("(INJECTED)"))
    }
}

fn write_script(path: &PathBuf, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Lines of `now` that were not there.
fn more(now: &[String], before: &BTreeSet<String>) -> Vec<String> {
    now.iter()
        .filter(|line| !before.contains(*line))
        .cloned()
        .collect()
}

struct Faults<'a> {
    node: &'a Node,
    chain: &'a Chain,
    pod: &'a Pod,
    /// The node with nobody attached, after the first pod has come and gone.
    empty: BTreeSet<String>,
    problems: Vec<String>,
    tried: usize,
}

impl Faults<'_> {
    /// All wanted faults of one call of one plugin.
    fn of(&mut self, position: usize, command: &str) {
        for (kind, (system_call, error)) in FAULTS.iter().enumerate() {
            let first = 1 + (kind * 7 + position * 5) % every();
            // Beyond the last call nothing is injected.
            for nth in iter::successors(Some(first), |nth| Some(nth + every())) {
                if !self.one(position, command, (system_call, error), nth) {
                    break;
                }
                self.tried += 1;
            }
        }
    }

    /// One fault; whether there was such a call.
    fn one(&mut self, position: usize, command: &str, fault: (&str, &str), nth: usize) -> bool {
        let plugin = &self.chain.plugins[position];
        let what = format!(
            "{} {command}, {} {} {nth}",
            plugin["type"], fault.0, fault.1
        );
        let injected = Injected {
            node: self.node,
            pod: self.pod,
            system_call: fault.0,
            error: fault.1,
        };
        let (happened, result) = match command {
            "ADD" => self.add(position, &injected, nth, &what),
            _ => self.del(position, &injected, nth, &what),
        };
        // One DEL more, without faults.
        for failed in self.chain.del(self.node, self.pod, result.as_ref()) {
            self.problems
                .push(format!("{what}: the DEL after it fails: {failed:?}"));
        }
        let left = more(&state(), &self.empty);
        if !left.is_empty() {
            self.problems
                .push(format!("{what}: one DEL later there is still {left:#?}"));
            // The next fault shall not be blamed for it.
            self.empty.extend(left);
        }
        happened
    }

    fn add(
        &mut self,
        position: usize,
        injected: &Injected<'_>,
        nth: usize,
        what: &str,
    ) -> (bool, Option<Value>) {
        let plugin = &self.chain.plugins[position];
        let before = self.chain.add_up_to(self.node, self.pod, position).unwrap();
        let previous = Some(&before).filter(|result| !result.is_null());
        let there: BTreeSet<String> = state().into_iter().collect();
        let config = self.chain.config(plugin, self.pod, previous);
        let (answer, happened) = injected.run(nth, "ADD", plugin, &config);
        if answer.exit == Some(0) {
            let result = answer.json();
            let config = self.chain.config(plugin, self.pod, Some(&result));
            let check = self.pod.call(self.node, "CHECK", plugin, &config);
            if check.exit != Some(0) {
                self.problems
                    .push(format!("{what}: told as success, but CHECK: {check:?}"));
            }
            return (happened, Some(result));
        }
        let unwritable = answer.stderr.contains("nobody can read the result");
        if serde_json::from_str::<Value>(&answer.stdout).is_err()
            && !unwritable
            && !is_start(injected)
        {
            self.problems
                .push(format!("{what}: no error document: {answer:?}"));
        }
        let left = more(&state(), &there);
        if !left.is_empty() && !is_shared(&left) {
            self.problems
                .push(format!("{what}: the failed ADD left {left:#?}"));
        }
        (happened, previous.cloned())
    }

    fn del(
        &mut self,
        position: usize,
        injected: &Injected<'_>,
        nth: usize,
        what: &str,
    ) -> (bool, Option<Value>) {
        let result = self.chain.add(self.node, self.pod).unwrap();
        for plugin in self.chain.plugins[position + 1..].iter().rev() {
            let config = self.chain.config(plugin, self.pod, Some(&result));
            self.pod.call(self.node, "DEL", plugin, &config).success();
        }
        let plugin = &self.chain.plugins[position];
        let config = self.chain.config(plugin, self.pod, Some(&result));
        let (answer, happened) = injected.run(nth, "DEL", plugin, &config);
        if answer.exit == Some(0) {
            // What it should have removed, another DEL of it would find.
            let there = state();
            self.pod.call(self.node, "DEL", plugin, &config).success();
            let now: BTreeSet<String> = state().into_iter().collect();
            let mut left = more(&there, &now);
            // A record of what is gone: whoever reads it next removes it.
            left.retain(|line| !line.contains("/run/podwire/attachments/"));
            if !left.is_empty() {
                self.problems
                    .push(format!("{what}: told as success, but it left {left:#?}"));
            }
        }
        (happened, Some(result))
    }
}

/// The program itself may not have been started.
fn is_start(injected: &Injected<'_>) -> bool {
    injected.system_call == "execve"
}

/// What later pods use too, and stays with the last of them.
fn is_shared(left: &[String]) -> bool {
    left.iter()
        .all(|line| line.contains("cni0") || line.starts_with("nft "))
}

#[test]
fn no_failure_is_told_as_success_and_one_del_cleans_up() {
    let Some(node) = Node::new() else { return };
    let netns = "/run/netns/pod";
    NetNs::create(netns).unwrap();
    let pod = Pod {
        container: "pod".to_owned(),
        netns: netns.to_owned(),
        port: 8080,
    };
    let chain = Chain::of_a_node();
    let result = chain.add(&node, &pod).unwrap();
    let failed = chain.del(&node, &pod, Some(&result));
    assert!(failed.is_empty(), "{failed:?}");
    let mut faults = Faults {
        node: &node,
        chain: &chain,
        pod: &pod,
        empty: state().into_iter().collect(),
        problems: Vec::new(),
        tried: 0,
    };
    for position in 0..chain.plugins.len() {
        for command in ["ADD", "DEL"] {
            faults.of(position, command);
        }
    }
    println!("{} faults", faults.tried);
    assert!(
        faults.tried > 10,
        "only {} faults were injected",
        faults.tried
    );
    let problems = faults.problems;
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems.join("\n")
    );
    NetNs::remove(Path::new(netns)).unwrap();
}

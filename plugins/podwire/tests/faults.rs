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
    fmt, fs,
    path::{Path, PathBuf},
};

use kernel::NetNs;
use serde_json::Value;
use support::{
    Answer, Call, Node,
    chain::{Chain, Pod, more, state},
    every,
};

/// What fails, and how: kernels give these, short of memory, disk, descriptors or permission, or when
/// a signal comes.
const FAULTS: &[(&str, &str)] = &[
    ("sendto", "ENOBUFS"),
    ("sendto", "EINTR"),
    ("sendmsg", "ENOBUFS"),
    ("recvfrom", "ENOBUFS"),
    ("recvfrom", "EINTR"),
    ("recvmsg", "ENOBUFS"),
    ("openat", "EMFILE"),
    ("openat", "EACCES"),
    ("read", "EIO"),
    ("read", "EINTR"),
    ("pread64", "EIO"),
    ("write", "ENOSPC"),
    ("write", "EINTR"),
    ("pwrite64", "ENOSPC"),
    ("fsync", "EIO"),
    ("fchmod", "EPERM"),
    ("statx", "EACCES"),
    ("newfstatat", "EACCES"),
    ("statfs", "EIO"),
    ("readlink", "EACCES"),
    ("getdents64", "EIO"),
    ("rename", "EIO"),
    ("renameat2", "EIO"),
    ("linkat", "ENOSPC"),
    ("unlink", "EIO"),
    ("unlinkat", "EIO"),
    ("mkdir", "ENOSPC"),
    ("flock", "ENOLCK"),
    ("flock", "EINTR"),
    ("fcntl", "EMFILE"),
    ("ioctl", "EPERM"),
    ("setns", "EPERM"),
    ("socket", "EMFILE"),
    ("bind", "ENOMEM"),
    ("connect", "EAGAIN"),
    ("setsockopt", "ENOMEM"),
    ("poll", "ENOMEM"),
    ("poll", "EINTR"),
    ("pipe2", "EMFILE"),
    ("close", "EIO"),
    ("execve", "ENOMEM"),
    ("clone", "EAGAIN"),
    ("clone3", "EAGAIN"),
];

/// What once was told as success, or left something: every call of these fails, also where only a
/// share of all does.
const FOUND: &[(&str, &str, (&str, &str))] = &[
    // host-local passed over a reservation that it could not read.
    ("bridge", "DEL", ("read", "EIO")),
    // What was kept stayed when its directory could not be synced.
    ("tuning", "ADD", ("fsync", "EIO")),
];

/// One call under strace, with one system call of it failing, if any.
struct Injected<'a> {
    node: &'a Node,
    pod: &'a Pod,
    fault: Option<Fault<'a>>,
}

/// The `nth` call of that name, and what it answers.
#[derive(Clone, Copy)]
struct Fault<'a> {
    system_call: &'a str,
    error: &'a str,
    nth: usize,
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.system_call, self.error, self.nth)
    }
}

impl Injected<'_> {
    /// The answer. Which system calls there were stands in [`trace_of`] the node.
    fn run(&self, command: &str, plugin: &Value, config: &str) -> Answer {
        let inject = self.fault.map(|fault| {
            let Fault {
                system_call,
                error,
                nth,
            } = fault;
            format!("-e trace={system_call} -e inject={system_call}:error={error}:when={nth}")
        });
        let strace = format!(
            "strace -f -qq -o {} {}",
            trace_of(self.node).display(),
            inject.unwrap_or_default()
        );
        let plugin = plugin["type"].as_str().unwrap();
        let script = self.node.plugin_by(&strace, plugin);
        Call {
            executable: &script,
            command,
            container: &self.pod.container,
            config,
            env: &[
                ("CNI_NETNS", OsStr::new(&self.pod.netns)),
                ("CNI_PATH", self.node.bin_dir.as_os_str()),
            ],
        }
        .run()
    }
}

/// What strace writes: a process and a system call a line.
fn trace_of(node: &Node) -> PathBuf {
    node.world.dir().join("trace")
}

/// How many calls of this name there are.
fn count(trace: &str, system_call: &str) -> usize {
    let call = format!("{system_call}(");
    let calls = trace.lines().filter_map(|line| line.split_once(' '));
    calls
        .filter(|(_process, what)| what.trim_start().starts_with(&call))
        .count()
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
        self.one(position, command, None);
        let trace = fs::read_to_string(trace_of(self.node)).unwrap();
        for (kind, &(system_call, error)) in FAULTS.iter().enumerate() {
            let plugin = self.chain.plugins[position]["type"].as_str().unwrap();
            let step = match FOUND.contains(&(plugin, command, (system_call, error))) {
                true => 1,
                false => every(),
            };
            let first = 1 + (kind * 7 + position * 5) % step;
            for nth in (first..=count(&trace, system_call)).step_by(step) {
                let fault = Fault {
                    system_call,
                    error,
                    nth,
                };
                self.one(position, command, Some(fault));
                let trace = fs::read_to_string(trace_of(self.node)).unwrap_or_default();
                self.tried += usize::from(trace.contains("(INJECTED)"));
            }
        }
    }

    /// How far it is: all faults take an hour.
    #[allow(clippy::print_stdout, reason = "whoever waits an hour wants to know")]
    fn report(&self, position: usize, command: &str) {
        let (tried, problems) = (self.tried, &self.problems);
        let plugin = &self.chain.plugins[position]["type"];
        println!("up to {plugin} {command}: {tried} faults, {problems:#?}");
    }

    /// One fault, or none.
    fn one(&mut self, position: usize, command: &str, fault: Option<Fault<'_>>) {
        let plugin = &self.chain.plugins[position];
        let failing = fault.map_or("nothing".to_owned(), |fault| fault.to_string());
        let what = format!("{} {command}, {failing}", plugin["type"]);
        let injected = Injected {
            node: self.node,
            pod: self.pod,
            fault,
        };
        let result = match command {
            "ADD" => self.add(position, &injected, &what),
            _ => self.del(position, &injected, &what),
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
    }

    fn add(&mut self, position: usize, injected: &Injected<'_>, what: &str) -> Option<Value> {
        let plugin = &self.chain.plugins[position];
        let before = self.chain.add_up_to(self.node, self.pod, position).unwrap();
        let previous = Some(&before).filter(|result| !result.is_null());
        let there: BTreeSet<String> = state().into_iter().collect();
        let config = self.chain.config(plugin, self.pod, previous);
        let answer = injected.run("ADD", plugin, &config);
        if answer.exit == Some(0) {
            let result = answer.json();
            let config = self.chain.config(plugin, self.pod, Some(&result));
            let check = self.pod.call(self.node, "CHECK", plugin, &config);
            if check.exit != Some(0) {
                self.problems
                    .push(format!("{what}: told as success, but CHECK: {check:?}"));
            }
            return Some(result);
        }
        if is_unstarted(&answer) {
            return previous.cloned();
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
        previous.cloned()
    }

    fn del(&mut self, position: usize, injected: &Injected<'_>, what: &str) -> Option<Value> {
        let result = self.chain.add(self.node, self.pod).unwrap();
        for plugin in self.chain.plugins[position + 1..].iter().rev() {
            let config = self.chain.config(plugin, self.pod, Some(&result));
            self.pod.call(self.node, "DEL", plugin, &config).success();
        }
        let plugin = &self.chain.plugins[position];
        let config = self.chain.config(plugin, self.pod, Some(&result));
        let answer = injected.run("DEL", plugin, &config);
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
        Some(result)
    }
}

/// The dynamic linker gave up before the program began.
fn is_unstarted(answer: &Answer) -> bool {
    answer
        .stderr
        .contains("error while loading shared libraries")
}

/// The program itself may not have been started.
fn is_start(injected: &Injected<'_>) -> bool {
    injected
        .fault
        .is_some_and(|fault| fault.system_call == "execve")
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
            faults.report(position, command);
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

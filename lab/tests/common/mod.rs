//! A lab in a world of the test's own: `/run` is private, so labs of other tests are out of sight;
//! control groups are the machine's, so every lab has a name of its own.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kernel::testing::World;
use serde_json::Value;

/// A lab that is taken down when the test ends, however it ends.
pub(crate) struct TestLab {
    pub(crate) name: String,
    before: BTreeSet<String>,
    _world: World,
}

const LAB: &str = env!("CARGO_BIN_EXE_lab");
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Shell commands at a terminal of script(1), which notes in `typescript` what it shows: its standard input types.
#[allow(
    clippy::disallowed_methods,
    reason = "a terminal for the program under test"
)]
pub(crate) fn at_a_terminal(commands: &str, typescript: &str) -> Command {
    // What runs beside the last command ends with it, and with the terminal; that ends with the test, however this does.
    let commands = format!("trap 'trap \"\" HUP; kill -HUP 0' EXIT; trap exit HUP\n{commands}");
    let mut script = Command::new("setpriv");
    script
        .args(["--pdeathsig", "HUP", "script"])
        .args(["--quiet", "--flush", "--command", &commands, typescript])
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    script
}

impl TestLab {
    /// A world and a name; nothing is started. `None` where privileges are missing.
    pub(crate) fn new() -> Option<Self> {
        let world = World::new()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}-{number}", std::process::id());
        let mut lab = Self {
            name,
            before: BTreeSet::new(),
            _world: world,
        };
        lab.before = lab.surroundings();
        Some(lab)
    }

    /// A command `lab ...` of this lab.
    #[allow(clippy::disallowed_methods, reason = "the program under test")]
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.called(Command::new(LAB), arguments)
    }

    /// The same of a caller that leaves descriptor 9 open, the machine's root.
    #[allow(clippy::disallowed_methods, reason = "the program under test")]
    pub(crate) fn command_with_a_root(&self, arguments: &[&str]) -> Command {
        let command = self.command(arguments);
        let mut caller = Command::new("sh");
        caller
            .args(["-c", "exec 9</; exec \"$0\" \"$@\""])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null());
        caller
    }

    fn called(&self, mut command: Command, arguments: &[&str]) -> Command {
        command
            .args(["--lab", &self.name])
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed; what it printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "lab {arguments:?}: {}\n{text}{errors}",
            output.status
        );
        text
    }

    /// Runs a command that must fail with this exit status; what it said.
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(code),
            "lab {arguments:?}: {errors}"
        );
        errors
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--output", "json"]].concat())).unwrap()
    }

    /// Those of the commands that succeed in a pod; it is asked once for all. A shell's `-e` would not tell: it passes over
    /// what `!` stands before.
    pub(crate) fn succeeding<S: AsRef<str>>(&self, pod: &str, commands: &[S]) -> Vec<String> {
        let script: String = commands
            .iter()
            .enumerate()
            .map(|(number, command)| {
                format!("({}) >/dev/null 2>&1 && echo {number}; ", command.as_ref())
            })
            .collect();
        let numbers = self.ok(&["exec", pod, "--", "sh", "-c", &format!("{script} :")]);
        let command = |number: &str| {
            commands[number.parse::<usize>().unwrap()]
                .as_ref()
                .to_owned()
        };
        numbers.lines().map(command).collect()
    }

    /// The names of all pods.
    pub(crate) fn pods(&self) -> Vec<String> {
        let names = self.ok(&["get", "pods", "-o", "name"]);
        let names = names.lines().map(|line| line.strip_prefix("pod/").unwrap());
        names.map(str::to_owned).collect()
    }

    /// One pod of `lab ps`.
    pub(crate) fn pod(&self, name: &str) -> Value {
        let all = self.json(&["ps"]);
        let mut found = all["processes"].as_array().unwrap().iter();
        let found = found.find(|each| each["kind"] == "pod" && each["name"] == name);
        found
            .unwrap_or_else(|| panic!("no pod {name} in {all}"))
            .clone()
    }

    /// A pod's address.
    pub(crate) fn address(&self, pod: &str) -> String {
        self.pod(pod)["addresses"][0].as_str().unwrap().to_owned()
    }

    /// Waits until a pod has this state.
    pub(crate) fn wait_for_state(&self, pod: &str, state: &str) {
        let what = format!("state {state} of pod {pod}");
        wait_until(&what, || self.pod(pod)["state"] == state);
    }

    /// SIGINT ends it from its first moment: a shell starts what it leaves in the background with the signal
    /// ignored, these tests perhaps, and whoever they start inherits that.
    #[allow(clippy::disallowed_methods, reason = "the program under test")]
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut env = Command::new("env");
        env.args(["--default-signal=INT", LAB]);
        let mut command = self.called(env, arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        // The process is the lab's own, when env has done its part.
        let executable = format!("/proc/{}/exe", child.id());
        let lab = fs::canonicalize(LAB).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Some(now) = fs::read_link(&executable).ok().filter(|now| *now != lab) {
            let now = now.display();
            assert!(
                Instant::now() < deadline,
                "process {} executes {now} instead of {}",
                child.id(),
                lab.display()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        child
    }

    /// The lab's directory.
    pub(crate) fn dir(&self) -> PathBuf {
        Path::new("/run/podwire-lab").join(&self.name)
    }

    /// The process that holds a node.
    pub(crate) fn holder(&self, node: &str) -> u32 {
        let path = self.dir().join("nodes").join(node).join("node.json");
        let node: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        node["holder"]["pid"].as_u64().unwrap().try_into().unwrap()
    }

    /// What a program prints that runs on a node.
    pub(crate) fn on_node(&self, node: &str, command: &[&str]) -> String {
        inside(self.holder(node), command)
    }

    /// The processes that carry the lab's name in their environment.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mark = format!("PODWIRE_LAB={}", self.name);
        let is_own = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|&byte| byte == 0)
                .any(|each| each == mark.as_bytes())
        };
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(is_own).collect()
    }

    /// Links of the machine (here: of the world), mounts, named namespaces: what a lab may not touch.
    fn surroundings(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for link in fs::read_dir("/sys/class/net").unwrap().flatten() {
            found.insert(format!("link {}", link.file_name().display()));
        }
        let mounts = sandbox::mount::mount_points().unwrap();
        found.extend(
            mounts
                .iter()
                .map(|mount| format!("mount {}", mount.path.display())),
        );
        for entry in fs::read_dir("/run").unwrap().flatten() {
            found.insert(format!("file {}", entry.path().display()));
        }
        found
    }

    /// The lab's control groups.
    fn groups(&self) -> Vec<PathBuf> {
        let hierarchies = sandbox::cgroup::Hierarchies::detect().unwrap();
        let own = Path::new("podwire-lab").join(&self.name);
        hierarchies
            .roots()
            .iter()
            .map(|root| root.join(&own))
            .filter(|path| path.exists())
            .collect()
    }

    /// Nothing of the lab is left. A process that was killed a moment ago may need a moment to go.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.processes().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(self.processes(), [] as [u32; 0], "processes are left");
        assert_eq!(self.groups(), [] as [PathBuf; 0], "control groups are left");
        assert_eq!(
            self.surroundings(),
            self.before,
            "the machine is not as before"
        );
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        if self.dir().exists() {
            let output = self.run(&["down"]);
            eprintln!(
                "taken down by the test's end: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

/// Whether the machine's root can be that of a pod whose users are nobody on the machine.
pub(crate) fn root_can_be_of_others() -> bool {
    use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};
    let of_root = statfs("/").unwrap().filesystem_type();
    of_root != OVERLAYFS_SUPER_MAGIC
}

/// What a program prints in the network and with the files of a process.
#[allow(clippy::disallowed_methods, reason = "a look from outside")]
pub(crate) fn inside(pid: u32, command: &[&str]) -> String {
    let mut inside = Command::new("nsenter");
    inside.args(["-t", &pid.to_string(), "-n", "-m"]);
    let output = inside.args(command).output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Sends a signal to a child of the test.
pub(crate) fn signal(child: &Child, name: &str) {
    signal_pid(child.id(), name);
}

/// Looks again and again, for a minute: other tests share the machine.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[allow(clippy::disallowed_methods, reason = "a look from outside")]
pub(crate) fn signal_pid(pid: u32, name: &str) {
    // It may have ended: then there is nothing to signal.
    let _ = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .unwrap();
}

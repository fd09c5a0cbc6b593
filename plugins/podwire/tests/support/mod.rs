//! Runs the executable as a runtime does, in a world of the test's own.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod chain;
pub(crate) mod lan;

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use kernel::{NetNs, Netlink, testing::World};
use serde_json::Value;

/// A world with podwire installed in it.
pub(crate) struct Node {
    pub(crate) world: World,
    pub(crate) bin_dir: PathBuf,
}

/// What a call gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error object's code and message.
    pub(crate) fn error(&self) -> (u64, String) {
        assert_eq!(self.exit, Some(1), "{self:?}");
        let error = self.json();
        (
            error["code"].as_u64().unwrap(),
            error["msg"].as_str().unwrap().to_owned(),
        )
    }

    pub(crate) fn success(self) -> Self {
        assert_eq!(self.exit, Some(0), "{self:?}");
        self
    }
}

impl Node {
    /// `None`: the test is skipped, and says so.
    pub(crate) fn new() -> Option<Self> {
        let world = World::new()?;
        let bin_dir = world.dir().join("bin");
        let node = Self { world, bin_dir };
        let installed = node.podwire(&["install", "--bin-dir", node.bin_dir.to_str().unwrap()]);
        installed.success();
        Some(node)
    }

    pub(crate) fn plugin(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// The plugin, run by a command.
    pub(crate) fn plugin_by(&self, command: &str, plugin: &str) -> PathBuf {
        let path = self.world.dir().join("script");
        // The plugin's own name must stay: it says which plugin it is.
        let text = format!(
            "#!/bin/sh\nexec {command} {}\n",
            self.plugin(plugin).display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// The command line.
    pub(crate) fn podwire(&self, arguments: &[&str]) -> Answer {
        podwire(arguments)
    }
}

#[allow(clippy::disallowed_methods, reason = "the test is the runtime")]
pub(crate) fn command(executable: &Path) -> Command {
    let mut command = Command::new(executable);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The same where no process of another test is to be seen, for `podwire gc`: to it a pod lives whose address any
/// namespace of the machine has, and the tests beside this one give the same ones. It has a mount namespace of its own.
pub(crate) fn alone(executable: &Path) -> Command {
    let mut command = command(Path::new("unshare"));
    command
        .args(["--pid", "--fork", "--mount-proc", "--"])
        .arg(executable);
    command
}

pub(crate) fn podwire(arguments: &[&str]) -> Answer {
    let mut command = command(Path::new(env!("CARGO_BIN_EXE_podwire")));
    answer(start(command.args(arguments), ""))
}

/// One call of a runtime. Variables that are given replace the usual ones.
pub(crate) struct Call<'a> {
    pub(crate) executable: &'a Path,
    pub(crate) command: &'a str,
    pub(crate) container: &'a str,
    pub(crate) config: &'a str,
    pub(crate) env: &'a [(&'a str, &'a OsStr)],
}

impl Call<'_> {
    pub(crate) fn start(&self) -> Child {
        let mut command = command(self.executable);
        command
            .env("CNI_COMMAND", self.command)
            .env("CNI_CONTAINERID", self.container)
            .env("CNI_NETNS", "/run/netns/pod")
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", self.executable.parent().unwrap())
            .envs(self.env.iter().copied());
        start(&mut command, self.config)
    }

    pub(crate) fn run(&self) -> Answer {
        answer(self.start())
    }
}

pub(crate) fn call(executable: &Path, command: &str, container: &str, config: &str) -> Answer {
    Call {
        executable,
        command,
        container,
        config,
        env: &[],
    }
    .run()
}

/// What the script prints; it must succeed.
pub(crate) fn sh(script: &str) -> String {
    let mut command = command(Path::new("/bin/sh"));
    let output = command.args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The wanted share of faults: one in so many.
pub(crate) fn every() -> usize {
    std::env::var("FAULTS_EVERY").map_or(37, |every| every.parse().unwrap())
}

/// The pod ends without a DEL.
pub(crate) fn end(container: &str, link: &str) {
    NetNs::remove(format!("/run/netns/{container}")).unwrap();
    until_gone(link);
}

/// The kernel takes a namespace down when it has time, and its links with it.
pub(crate) fn until_gone(link: &str) {
    let netlink = Netlink::open().unwrap();
    let limit = Instant::now() + Duration::from_secs(60);
    while netlink.link(&link.parse().unwrap()).unwrap().is_some() {
        assert!(Instant::now() < limit, "{link} is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn start(command: &mut Command, stdin: &str) -> Child {
    let mut child = command.spawn().unwrap();
    // A call that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child
}

pub(crate) fn answer(child: Child) -> Answer {
    let output = child.wait_with_output().unwrap();
    Answer {
        exit: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

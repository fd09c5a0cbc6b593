//! containerd and its client.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use kernel::testing::World;
use sandbox::{Namespace, Namespaces, Process, run_in_new};

use crate::image::IMAGE;

#[allow(clippy::disallowed_methods, reason = "the runtime and its client")]
pub(crate) fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null());
    command
}

pub(crate) fn ok(output: &Output, what: &str) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{what}: {}\n{text}{errors}",
        output.status
    );
    text
}

/// A containerd of the test's own.
pub(crate) struct Containerd {
    daemon: Child,
    /// `ctr`s that stay as long as their container.
    pub(crate) serving: Vec<Child>,
    /// `ctr`'s namespace, which names the control groups too.
    namespace: String,
    directory: PathBuf,
}

impl Containerd {
    pub(crate) fn start(world: &World) -> Self {
        let directory = world.dir().join("containerd");
        fs::create_dir(&directory).unwrap();
        let config = directory.join("config.toml");
        let text = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n",
            directory.join("root"),
            directory.join("state"),
            directory.join("socket"),
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(directory.join("log")).unwrap();
        // runc looks for its children in /proc by the numbers of its own PID namespace.
        let mut daemon = program("sh");
        daemon.args([
            "-c",
            "mount -t proc proc /proc && exec containerd --config \"$1\"",
            "sh",
        ]);
        daemon
            .arg(&config)
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let daemon = run_in_new(&[Namespace::Pid, Namespace::Mount], || daemon.spawn());
        let namespace = format!("podwire-test-{}", std::process::id());
        let containerd = Self {
            daemon: daemon.unwrap().unwrap(),
            serving: Vec::new(),
            namespace,
            directory,
        };
        containerd.wait_until_it_answers();
        containerd
    }

    fn wait_until_it_answers(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self
            .ctr(&["version"])
            .output()
            .is_ok_and(|output| output.status.success())
        {
            let log = fs::read_to_string(self.directory.join("log")).unwrap();
            assert!(
                Instant::now() < deadline,
                "containerd does not answer:\n{log}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A `ctr` command; to be started with [`Self::spawn`] where it looks at processes.
    fn ctr(&self, arguments: &[&str]) -> Command {
        let mut command = program("ctr");
        command.arg("--address").arg(self.directory.join("socket"));
        command
            .args(["--namespace", &self.namespace])
            .args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts `ctr` where containerd is: `/proc/PID/ns/net` means the same to both.
    fn spawn(&self, arguments: &[&str]) -> Child {
        let daemon = Process::of(self.daemon.id()).unwrap();
        let inside = format!("/proc/{}/ns/pid_for_children", self.daemon.id());
        let namespaces = Namespaces::of(&daemon, &[Namespace::Mount, Namespace::Network]).unwrap();
        let namespaces = namespaces.with(Namespace::Pid, inside).unwrap();
        let mut command = self.ctr(arguments);
        namespaces.run(|| command.spawn()).unwrap().unwrap()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.spawn(arguments).wait_with_output().unwrap();
        ok(&output, &format!("ctr {arguments:?}"))
    }

    /// Runs a container that serves its name; `ctr` stays, and detaches it at its end.
    pub(crate) fn serve(&mut self, name: &str) {
        let script = format!("echo {name} >/www/index.html && exec busybox httpd -f -p 80 -h /www");
        let run = [
            "run",
            "--rm",
            "--cni",
            IMAGE,
            name,
            "/bin/busybox",
            "sh",
            "-c",
            &script,
        ];
        let ctr = self.spawn(&run);
        self.serving.push(ctr);
    }

    pub(crate) fn exec(&self, container: &str, id: &str, arguments: &[&str]) -> Output {
        let exec = [
            &["task", "exec", "--exec-id", id, container, "/bin/busybox"],
            arguments,
        ];
        self.spawn(&exec.concat()).wait_with_output().unwrap()
    }

    /// The address of a container's `eth0`, once it is attached.
    pub(crate) fn address(&self, container: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let output = self.exec(
                container,
                "look",
                &["ip", "-4", "-o", "addr", "show", "eth0"],
            );
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let words: Vec<&str> = text.split_whitespace().collect();
            if let Some(at) = words.iter().position(|&word| word == "inet") {
                return words[at + 1].split('/').next().unwrap().to_owned();
            }
            assert!(
                Instant::now() < deadline,
                "{container} is not attached: {output:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The control groups that containers were put below.
    pub(crate) fn groups(&self) -> Vec<PathBuf> {
        let root = Path::new("/sys/fs/cgroup");
        let mut groups = vec![root.join(&self.namespace)];
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            groups.push(entry.path().join(&self.namespace));
        }
        groups.retain(|group| group.is_dir());
        groups
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        // The kernel keeps PID 1 until all others of its namespace are waited for.
        for ctr in &mut self.serving {
            let _ = ctr.wait();
        }
        let _ = self.daemon.wait();
        // containerd leaves the group of its namespace.
        for group in self.groups() {
            remove_groups(&group);
        }
    }
}

fn remove_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

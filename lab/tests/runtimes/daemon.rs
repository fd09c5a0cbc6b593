//! containerd and its client.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use kernel::testing::World;

use crate::command::{ok, program};
use crate::image::IMAGE;
use crate::isolated::Isolated;

/// A containerd of the test's own.
pub(crate) struct Containerd {
    daemon: Isolated,
    /// `ctr`s that stay as long as their container.
    pub(crate) serving: Vec<Child>,
    directory: PathBuf,
}

impl Containerd {
    pub(crate) fn start(world: &World) -> Self {
        let directory = world.dir().join("containerd");
        fs::create_dir(&directory).unwrap();
        let config = directory.join("config.toml");
        // The sandboxes' first process is the image that the tests make: no registry is asked.
        let text = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n[grpc]\naddress = {:?}\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = {IMAGE:?}\n\
             disable_apparmor = true\nrestrict_oom_score_adj = true\n",
            directory.join("root"),
            directory.join("state"),
            directory.join("socket"),
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(directory.join("log")).unwrap();
        let daemon = Isolated::start("exec containerd --config \"$1\"", |daemon| {
            daemon
                .arg(&config)
                .stdout(log.try_clone().unwrap())
                .stderr(log);
        });
        let containerd = Self {
            daemon,
            serving: Vec::new(),
            directory,
        };
        containerd.wait_until_it_answers();
        containerd
    }

    fn wait_until_it_answers(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
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
        self.ctr_in(self.group(), arguments)
    }

    fn ctr_in(&self, namespace: &str, arguments: &[&str]) -> Command {
        let mut command = program("ctr");
        command.arg("--address").arg(self.socket());
        command.args(["--namespace", namespace]).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// Imports an image for sandboxes, which are all in one of containerd's namespaces.
    pub(crate) fn import(&self, archive: &Path) {
        let archive = archive.to_str().unwrap();
        let mut import = self.ctr_in("k8s.io", &["image", "import", archive]);
        ok(&import.output().unwrap(), "ctr image import");
    }

    /// The control group of its containers, which is `ctr`'s namespace too.
    pub(crate) fn group(&self) -> &str {
        &self.daemon.group
    }

    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        self.daemon.spawn(&mut self.ctr(arguments))
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
        let deadline = Instant::now() + Duration::from_secs(60);
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
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.daemon.end(&mut self.serving);
    }
}

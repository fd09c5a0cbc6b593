//! A real runtime: containerd starts containers of an image made here, `ctr run --cni` attaches them
//! with podwire's plugins, two of them talk, and when they end nothing of them is left.
//!
//! containerd runs in a world of the test's own, as PID 1 of a PID namespace: its end takes every
//! shim and container along.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use kernel::cgroup::Hierarchies;
use kernel::sandbox::{Namespace, Namespaces, Process, run_in_new};
use kernel::testing::World;
use serde_json::json;
use sha2::{Digest, Sha256};

const IMAGE: &str = "docker.io/podwire/busybox:test";
const NETWORK: &str = "podnet";

#[allow(clippy::disallowed_methods, reason = "the runtime and its client")]
fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null());
    command
}

fn ok(output: &Output, what: &str) -> String {
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
struct Containerd {
    daemon: Child,
    /// `ctr`s that stay as long as their container.
    serving: Vec<Child>,
    /// `ctr`'s namespace, which names the control groups too.
    namespace: String,
    directory: PathBuf,
}

impl Containerd {
    fn start(world: &World) -> Self {
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

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.spawn(arguments).wait_with_output().unwrap();
        ok(&output, &format!("ctr {arguments:?}"))
    }

    /// Runs a container that serves its name; `ctr` stays, and detaches it at its end.
    fn serve(&mut self, name: &str) {
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

    fn exec(&self, container: &str, id: &str, arguments: &[&str]) -> Output {
        let exec = [
            &["task", "exec", "--exec-id", id, container, "/bin/busybox"],
            arguments,
        ];
        self.spawn(&exec.concat()).wait_with_output().unwrap()
    }

    /// The address of a container's `eth0`, once it is attached.
    fn address(&self, container: &str) -> String {
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
    fn groups(&self) -> Vec<PathBuf> {
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
        if let Ok(hierarchies) = Hierarchies::detect() {
            let _ = hierarchies
                .group(&self.namespace)
                .remove(Duration::from_secs(5));
        }
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

/// An image of one static program, as `docker save` writes it.
fn image() -> Vec<u8> {
    let layer = layer();
    let diff_id = format!("sha256:{}", hex(&Sha256::digest(&layer)));
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Env": ["PATH=/bin"], "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    let manifest =
        json!([{ "Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"] }]);
    let mut archive = tar::Builder::new(Vec::new());
    add_file(
        &mut archive,
        "config.json",
        0o644,
        config.to_string().as_bytes(),
    );
    add_file(&mut archive, "layer.tar", 0o644, &layer);
    add_file(
        &mut archive,
        "manifest.json",
        0o644,
        manifest.to_string().as_bytes(),
    );
    archive.into_inner().unwrap()
}

fn layer() -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    for directory in ["bin/", "dev/", "etc/", "proc/", "sys/", "tmp/", "www/"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        layer
            .append_data(&mut header, directory, std::io::empty())
            .unwrap();
    }
    let busybox = fs::read("/usr/bin/busybox")
        .or_else(|_| fs::read("/bin/busybox"))
        .unwrap();
    add_file(&mut layer, "bin/busybox", 0o755, &busybox);
    layer.into_inner().unwrap()
}

fn add_file(archive: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content).unwrap();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// podwire where `ctr` looks for plugins, and a network for them.
fn install() {
    kernel::mount::tmpfs(Path::new("/opt"), "mode=0755").unwrap();
    let podwire = Path::new(env!("CARGO_BIN_EXE_lab")).with_file_name("podwire");
    let install = program(&podwire)
        .args(["install", "--bin-dir", "/opt/cni/bin"])
        .output();
    ok(&install.unwrap(), "podwire install");
    let list = json!({
        "cniVersion": "1.0.0",
        "name": NETWORK,
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isDefaultGateway": true,
            "ipMasq": true,
            "ipMasqBackend": "nftables",
            "hairpinMode": true,
            "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.22.0.0/16" }]] },
        }],
    });
    fs::create_dir_all("/etc/cni/net.d").unwrap();
    fs::write("/etc/cni/net.d/10-podwire.conflist", list.to_string()).unwrap();
}

/// Addresses that host-local holds.
fn reservations() -> Vec<String> {
    let entries = fs::read_dir(Path::new("/var/lib/cni/networks").join(NETWORK));
    let names = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name());
    let mut names: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.retain(|name| name.parse::<std::net::IpAddr>().is_ok());
    names.sort();
    names
}

fn ports_of_the_bridge() -> usize {
    fs::read_dir("/sys/class/net/cni0/brif").map_or(0, Iterator::count)
}

fn rules() -> String {
    ok(
        &program("nft").args(["list", "ruleset"]).output().unwrap(),
        "nft",
    )
}

#[test]
fn containers_of_a_real_runtime_talk_and_leave_nothing() {
    let Some(world) = World::new() else { return };
    install();
    let mut containerd = Containerd::start(&world);
    let archive = world.dir().join("image.tar");
    fs::File::create(&archive)
        .unwrap()
        .write_all(&image())
        .unwrap();
    containerd.run(&["image", "import", archive.to_str().unwrap()]);

    for name in ["web-1", "web-2"] {
        containerd.serve(name);
    }
    let addresses = ["web-1", "web-2"].map(|name| containerd.address(name));
    let mut reserved = addresses.to_vec();
    reserved.sort();
    assert_eq!(reservations(), reserved);
    assert_eq!(ports_of_the_bridge(), 2);
    for address in &addresses {
        assert!(
            rules().contains(address.as_str()),
            "{address} is not masqueraded"
        );
    }
    for (from, to, address) in [
        ("web-1", "web-2", &addresses[1]),
        ("web-2", "web-1", &addresses[0]),
    ] {
        let url = format!("http://{address}/");
        let output = containerd.exec(from, "fetch", &["wget", "-q", "-O", "-", &url]);
        assert_eq!(ok(&output, "wget"), format!("{to}\n"));
    }

    for name in ["web-1", "web-2"] {
        containerd.run(&["task", "kill", "--signal", "SIGKILL", name]);
    }
    for ctr in std::mem::take(&mut containerd.serving) {
        let output = ctr.wait_with_output().unwrap();
        // The container's own status: 128 and SIGKILL.
        assert_eq!(output.status.code(), Some(137), "{output:?}");
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "",
            "what DEL had to say"
        );
    }
    assert_eq!(reservations(), [] as [String; 0]);
    assert_eq!(ports_of_the_bridge(), 0);
    for address in &addresses {
        assert!(
            !rules().contains(address.as_str()),
            "{address} is still masqueraded"
        );
    }
    assert_eq!(containerd.run(&["container", "ls", "--quiet"]), "");
    let cached: Vec<_> = fs::read_dir("/var/lib/cni/results")
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    assert!(cached.is_empty(), "{cached:?}");
    for group in containerd.groups() {
        let left = fs::read_dir(&group).unwrap().flatten();
        assert!(
            !left.map(|entry| entry.path()).any(|path| path.is_dir()),
            "{}",
            group.display()
        );
    }
}

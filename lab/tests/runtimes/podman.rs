//! podman with its CNI backend: networks that it makes itself, containers with published ports.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, Output, Stdio},
};

use kernel::testing::World;
use serde_json::Value;

use crate::{
    command::{ok, program, run},
    image::{IMAGE, image},
    install,
    isolated::Isolated,
};

/// Where podman's own network configuration lies.
const NETWORKS: &str = "/etc/cni/net.d";

/// The first process waits for whatever loses its parent, as an init does. podman's cache of blobs
/// has no option: what it writes below `/var/lib` goes to memory, but for what the plugins write.
const FIRST: &str = "set -e; cd \"$1\"; mkdir upper work cni
    mount --bind /var/lib/cni cni
    mount -t overlay -o lowerdir=/var/lib,upperdir=upper,workdir=work overlay /var/lib
    mount --bind cni /var/lib/cni
    sleep infinity & wait";

/// podman with all of its state in a directory of the test's own.
struct Podman {
    processes: Isolated,
    directory: PathBuf,
}

impl Podman {
    fn start(world: &World) -> Self {
        let directory = world.dir().join("podman");
        fs::create_dir(&directory).unwrap();
        // Without systemd and journald; runc, because crun is another package.
        let config = format!(
            "[network]\nnetwork_backend = \"cni\"\ncni_plugin_dirs = [\"/opt/cni/bin\"]\n\
             network_config_dir = {NETWORKS:?}\n\
             [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"runc\"\n"
        );
        fs::write(directory.join("containers.conf"), config).unwrap();
        let processes = Isolated::start(FIRST, |first| {
            first.arg(&directory);
        });
        let podman = Self {
            processes,
            directory,
        };
        let archive = world.dir().join("image.tar");
        fs::write(&archive, image()).unwrap();
        podman.ok(&["load", "--input", archive.to_str().unwrap()]);
        podman
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        let mut podman = program("podman");
        podman
            .env("CONTAINERS_CONF", self.directory.join("containers.conf"))
            .args(["--storage-driver", "vfs"]);
        for (option, place) in [
            ("--root", "root"),
            ("--runroot", "runroot"),
            ("--tmpdir", "tmp"),
        ] {
            podman.arg(option).arg(self.directory.join(place));
        }
        podman.args(arguments);
        podman.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.processes.spawn(&mut podman)
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.spawn(arguments).wait_with_output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let printed = ok(&self.output(arguments), &format!("podman {arguments:?}"));
        printed.trim_end().to_owned()
    }

    /// Starts a container that serves a page.
    fn serve(&self, name: &str, network: &str, more: &[&str]) {
        let group = self.processes.group.clone();
        let run = ["run", "--detach", "--name", name, "--network", network];
        let run = [&run[..], &["--cgroup-parent", &group], more, &[IMAGE]].concat();
        self.ok(&run);
    }

    fn address(&self, container: &str, network: &str) -> String {
        let inspected: Value = serde_json::from_str(&self.ok(&["inspect", container])).unwrap();
        let network = &inspected[0]["NetworkSettings"]["Networks"][network];
        network["IPAddress"].as_str().unwrap().to_owned()
    }

    /// What a container gets, once somebody serves it; by curl, because the image's own program resolves no names.
    fn fetch(&self, from: &str, address: &str) -> String {
        let pid = self.ok(&["inspect", "--format", "{{.State.Pid}}", from]);
        let mut curl = program("nsenter");
        curl.args([
            "--target",
            &pid,
            "--net",
            "curl",
            "-sS",
            "--max-time",
            "20",
            "--retry",
            "9",
            "--retry-connrefused",
        ]);
        curl.arg(format!("http://{address}/"));
        curl.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = self.processes.spawn(&mut curl).wait_with_output().unwrap();
        ok(&output, &format!("{from} fetches from {address}"))
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.processes.end(&mut []);
    }
}

/// The plugins that a conflist names.
fn types(network: &str) -> Vec<String> {
    let path = Path::new(NETWORKS).join(format!("{network}.conflist"));
    let conflist: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let plugins = conflist["plugins"].as_array().unwrap().iter();
    plugins
        .map(|plugin| plugin["type"].as_str().unwrap().to_owned())
        .collect()
}

/// What the host gets, once somebody serves it.
fn fetch(address: &str) -> String {
    run(&format!(
        "curl -sS --max-time 20 --retry 9 --retry-connrefused http://{address}/"
    ))
}

/// The addresses of a network that somebody has.
fn reserved(network: &str) -> Vec<IpAddr> {
    let entries = fs::read_dir(Path::new("/var/lib/cni/networks").join(network)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect()
}

/// What pods leave in links and rules.
fn traces(of: &[&str]) -> Vec<String> {
    let state = ["ip -o link", "nft list ruleset", "iptables-save"]
        .map(run)
        .concat();
    let lines = state
        .lines()
        .filter(|line| of.iter().any(|text| line.contains(text)));
    lines.map(str::to_owned).collect()
}

#[test]
fn containers_on_a_network_that_podman_made_are_reached_and_gone() {
    let Some(world) = World::new() else { return };
    install(
        "unused",
        "{\"cniVersion\": \"1.0.0\", \"name\": \"unused\", \"plugins\": [{\"type\": \"loopback\"}]}",
    );
    let podman = Podman::start(&world);
    for (network, subnet) in [("web", "10.77.0.0/24"), ("side", "10.79.0.0/24")] {
        podman.ok(&["network", "create", "--subnet", subnet, network]);
        let expected = ["bridge", "portmap", "firewall", "tuning"];
        assert_eq!(types(network), expected, "{network}");
    }

    podman.serve("one", "web", &["--publish", "8080:80"]);
    podman.serve("two", "web", &["--ip", "10.77.0.77"]);
    let addresses = ["one", "two"].map(|name| podman.address(name, "web"));
    assert_eq!(addresses[1], "10.77.0.77");
    assert_eq!(podman.fetch("two", &addresses[0]), "a page\n");
    assert_eq!(podman.fetch("one", &addresses[1]), "a page\n");
    // By the host's port: from the host, from the pod itself, from its neighbour.
    assert_eq!(fetch("127.0.0.1:8080"), "a page\n");
    for name in ["one", "two"] {
        assert_eq!(podman.fetch(name, "10.77.0.1:8080"), "a page\n");
    }

    // A container that is killed is detached too.
    podman.ok(&["kill", "one"]);
    podman.ok(&["wait", "one"]);
    podman.ok(&["start", "one"]);
    assert_eq!(fetch("127.0.0.1:8080"), "a page\n");
    let of_both = is_on_two_networks(&podman);
    podman.ok(&["rm", "--force", "--time", "0", "one", "two", "both"]);
    let gone = addresses.iter().chain(&of_both).map(String::as_str);
    let gone: Vec<&str> = gone.chain(["veth", "8080", "8081"]).collect();
    let left = traces(&gone);
    assert!(left.is_empty(), "{left:#?}");
    for network in ["web", "side"] {
        assert!(reserved(network).is_empty(), "{:?}", reserved(network));
        podman.ok(&["network", "rm", network]);
    }
}

/// A container that is reached in each of its networks, and by its port as long as it has one of them; the addresses
/// that it had.
fn is_on_two_networks(podman: &Podman) -> Vec<String> {
    podman.serve("both", "web,side", &["--publish", "8081:80"]);
    let mut had = ["web", "side"]
        .map(|network| podman.address("both", network))
        .to_vec();
    for address in &had {
        assert_eq!(fetch(address), "a page\n", "{address}");
        assert_eq!(podman.fetch("both", address), "a page\n", "{address}");
    }
    assert_eq!(podman.fetch("two", &had[0]), "a page\n");
    assert_eq!(fetch("127.0.0.1:8081"), "a page\n");
    for (change, network) in [
        ("disconnect", "web"),
        ("connect", "web"),
        ("disconnect", "side"),
    ] {
        podman.ok(&["network", change, network, "both"]);
        let page = fetch("127.0.0.1:8081");
        assert_eq!(page, "a page\n", "{change} {network}");
    }
    assert_eq!(reserved("side"), [] as [IpAddr; 0]);
    had.push(podman.address("both", "web"));
    assert_eq!(podman.fetch("two", &had[2]), "a page\n");
    had
}

#[test]
fn containers_on_a_macvlan_network_of_podman() {
    let Some(world) = World::new() else { return };
    install(
        "unused",
        "{\"cniVersion\": \"1.0.0\", \"name\": \"unused\", \"plugins\": [{\"type\": \"loopback\"}]}",
    );
    world.pod("outside");
    run("ip link add parent0 type veth peer name eth0 netns outside");
    run("ip link set parent0 up");
    run("ip -n outside address add 10.78.0.1/24 dev eth0");
    run("ip -n outside link set eth0 up");
    let podman = Podman::start(&world);
    let create = [
        "network",
        "create",
        "--driver",
        "macvlan",
        "--opt",
        "parent=parent0",
    ];
    podman.ok(&[&create, &["--subnet", "10.78.0.0/24", "lan"][..]].concat());
    assert!(
        types("lan").contains(&"macvlan".to_owned()),
        "{:?}",
        types("lan")
    );
    podman.serve("one", "lan", &[]);
    let address = podman.address("one", "lan");
    let url = format!("http://{address}/");
    let page = run(&format!(
        "ip netns exec outside curl -sS --max-time 20 --retry 9 --retry-connrefused {url}"
    ));
    assert_eq!(page, "a page\n");
    podman.ok(&["rm", "--force", "--time", "0", "one"]);
    let reserved = Path::new("/var/lib/cni/networks/lan").join(address);
    assert!(!reserved.exists(), "{}", reserved.display());
}

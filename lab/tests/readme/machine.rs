//! The machine that README's commands are run on: a world of the test's own, and what there is in it
//! that could be left behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use kernel::testing::World;

/// Directories that README's commands write to; each is the world's own.
const DIRECTORIES: [&str; 5] = [
    "/opt",
    "/run",
    "/etc/cni",
    "/var/lib/cni",
    "/usr/local/sbin",
];

/// A world with podwire's executables where README expects them.
pub(crate) struct Machine {
    world: World,
}

impl Machine {
    /// `None` where privileges are missing. `eth0` has the address that README's examples use;
    /// forwarding, which README says stays on, is on before.
    pub(crate) fn new() -> Option<Self> {
        let world = World::new()?;
        for directory in ["/opt", "/usr/local/sbin"] {
            sandbox::mount::tmpfs(Path::new(directory), "mode=0755").unwrap();
        }
        let machine = Self { world };
        machine.ok("ip link add eth0 type veth peer name uplink
             for link in eth0 uplink; do ip link set $link addrgenmode none up; done
             ip address add 192.0.2.10/24 dev eth0
             ip address add 2001:db8::10/64 dev eth0 nodad
             for family in ipv4 ipv6; do echo 1 >/proc/sys/net/$family/conf/all/forwarding; done
             mkdir -p /run/netns /etc/cni/net.d /opt/cni/bin
             ip netns add first; ip netns del first");
        Some(machine)
    }

    /// A file of the machine's that no package and no plugin owns.
    pub(crate) fn dir(&self) -> &Path {
        self.world.dir()
    }

    /// One of the executables that were built with this test.
    pub(crate) fn built(&self, name: &str) -> PathBuf {
        Path::new(env!("CARGO_BIN_EXE_lab")).with_file_name(name)
    }

    /// A shell that runs `script`, and stops at its first failure.
    #[allow(clippy::disallowed_methods, reason = "the administrator's shell")]
    pub(crate) fn shell(&self, script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", script])
            .current_dir(self.dir())
            .stdin(Stdio::null());
        shell
    }

    pub(crate) fn run(&self, script: &str) -> Output {
        self.shell(script).output().unwrap()
    }

    /// Runs what must succeed; its standard output.
    #[track_caller]
    pub(crate) fn ok(&self, script: &str) -> String {
        let output = self.run(script);
        let (stdout, stderr) = (&output.stdout, &output.stderr);
        let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8_lossy(text));
        assert!(output.status.success(), "{script}\n{stdout}{stderr}");
        stdout.into_owned()
    }

    /// `make install` without the building.
    pub(crate) fn install(&self) {
        let [podwire, netd] = ["podwire", "netd"].map(|name| self.built(name));
        self.ok(&format!(
            "{} install --bin-dir /opt/cni/bin
             install -D -m 0755 {} /usr/local/sbin/netd",
            podwire.display(),
            netd.display()
        ));
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::write(path, text).unwrap();
    }

    /// Everything that an installation could leave, by name. iptables makes its tables and built-in
    /// chains when it first looks, so of these only what was put into them counts.
    pub(crate) fn inventory(&self) -> BTreeMap<&'static str, String> {
        let rules = "grep -vE '^(#|\\*|COMMIT|:[A-Z]+ (ACCEPT|DROP) )' || true";
        let world = self.dir().display();
        let files = format!(
            "find {} -path {world} -prune -o -path /run/xtables.lock -o -path /run/.world -prune -o -print | sort",
            DIRECTORIES.join(" ")
        );
        [
            ("links", "ip -br link | awk '{ print $1 }'".to_owned()),
            (
                "addresses",
                "ip -o address | sed 's/ valid_lft.*//'".to_owned(),
            ),
            (
                "IPv4 routes",
                "ip -4 route show table all | sort".to_owned(),
            ),
            (
                "IPv6 routes",
                "ip -6 route show table all | sort".to_owned(),
            ),
            ("iptables", format!("iptables-save | {rules}")),
            ("ip6tables", format!("ip6tables-save | {rules}")),
            (
                "nft",
                "nft list tables | grep -vE '^table ip6? (nat|filter)$' || true".to_owned(),
            ),
            ("files", files),
        ]
        .into_iter()
        .map(|(what, script)| (what, self.ok(&script)))
        .collect()
    }

    /// The machine is as it was.
    #[track_caller]
    pub(crate) fn assert_as(&self, before: &BTreeMap<&'static str, String>) {
        for (what, now) in self.inventory() {
            assert_eq!(now, before[what], "{what} are not as before");
        }
    }

    /// Waits until a shell's condition holds.
    #[track_caller]
    pub(crate) fn wait_for(&self, condition: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.run(condition).status.success() {
            assert!(Instant::now() < deadline, "never: {condition}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts what stays, with what it prints in a file of that name.
    pub(crate) fn start(&self, name: &str, script: &str) -> Service {
        let log = self.dir().join(format!("{name}.log"));
        let file = fs::File::create(&log).unwrap();
        let mut shell = self.shell(script);
        shell.stdout(file.try_clone().unwrap()).stderr(file);
        Service {
            child: shell.spawn().unwrap(),
        }
    }

    /// etcd, at README's address.
    pub(crate) fn etcd(&self) -> Service {
        let service = self.start(
            "etcd",
            "exec etcd --data-dir etcd --listen-client-urls http://192.0.2.10:2379 \
             --advertise-client-urls http://192.0.2.10:2379 \
             --listen-peer-urls http://127.0.0.1:2380 \
             --initial-advertise-peer-urls http://127.0.0.1:2380 \
             --initial-cluster default=http://127.0.0.1:2380",
        );
        self.wait_for("etcdctl --endpoints http://192.0.2.10:2379 endpoint health");
        service
    }
}

/// A program that stays; it ends with the test.
pub(crate) struct Service {
    child: Child,
}

impl Service {
    /// Ends it as an administrator does.
    #[allow(clippy::disallowed_methods, reason = "the administrator's kill")]
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(killed.unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

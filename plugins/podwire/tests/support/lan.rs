//! A LAN with DHCP servers, pods on it, and the daemon.

use std::{
    ffi::OsStr,
    fs,
    net::Ipv4Addr,
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Answer, Call, Node, answer, command};

pub(crate) const SOCKET: &str = "/run/cni/dhcp.sock";
/// Where the daemon keeps leases.
pub(crate) const RECORDS: &str = "/run/podwire/dhcp/run-cni-dhcp.sock";
/// Longer than anything that is waited for may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A bridge with 10.88.0.1/24 on a host of its own.
pub(crate) struct Lan {
    pub(crate) node: Node,
    children: Vec<Child>,
}

/// Ends what was started, also when the test fails.
impl Drop for Lan {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Lan {
    /// `None`: the test is skipped, and says so.
    pub(crate) fn new() -> Option<Self> {
        let node = Node::new()?;
        // With a MAC address of its own: else ports that come change it, and Kea, which looks at it
        // once, would not be reached by it.
        sh("ip link add lan0 address 02:00:00:00:00:01 type bridge
            ip addr add 10.88.0.1/24 dev lan0; ip link set lan0 up");
        Some(Self {
            node,
            children: Vec::new(),
        })
    }

    /// Pod `name`, whose `eth0` is a port of the bridge.
    pub(crate) fn pod(&self, name: &str) {
        self.node.world.pod(name);
        sh(&format!(
            "ip link add p-{name} type veth peer name eth0 netns {name}
             ip link set p-{name} master lan0 up; ip -n {name} link set eth0 up"
        ));
    }

    /// Starts a program that stays; its place among them.
    pub(crate) fn start(&mut self, script: &str) -> usize {
        let mut command = command(Path::new("/bin/sh"));
        let log = fs::File::create(format!("/run/log-{}", self.children.len())).unwrap();
        command.args(["-c", &format!("exec {script}")]);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap());
        let child = command.stderr(log).spawn().unwrap();
        self.children.push(child);
        self.children.len() - 1
    }

    pub(crate) fn id(&self, place: usize) -> u32 {
        self.children[place].id()
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self, place: usize) {
        self.children[place].kill().unwrap();
        self.children[place].wait().unwrap();
    }

    /// As `kill`; the exit status.
    pub(crate) fn terminate(&mut self, place: usize) -> Option<i32> {
        sh(&format!("kill -TERM {}", self.id(place)));
        self.ended(place)
    }

    /// Its exit status, when it has ended by itself.
    pub(crate) fn ended(&mut self, place: usize) -> Option<i32> {
        self.children[place].wait().unwrap().code()
    }

    pub(crate) fn log(&self, place: usize) -> String {
        text(&format!("/run/log-{place}"))
    }

    /// busybox's server, whose leases may last seconds, with these options.
    pub(crate) fn udhcpd(&mut self, options: &str) -> usize {
        let number = self.children.len();
        let config = format!("/run/udhcpd-{number}.conf");
        let leases = format!("/run/udhcpd-{number}.leases");
        let usual = "interface lan0\nstart 10.88.0.50\nend 10.88.0.50\nmin_lease 1\n\
             opt subnet 255.255.255.0\nopt router 10.88.0.1";
        let files = format!("lease_file {leases}\npidfile /run/udhcpd-{number}.pid");
        fs::write(&config, format!("{usual}\n{files}\n{options}\n")).unwrap();
        fs::write(leases, "").unwrap();
        let place = self.start(&format!("busybox udhcpd -f -a 1 {config}"));
        serves();
        place
    }

    /// dnsmasq for addresses from 10.88.0.FIRST to LAST, which are to be renewed after 3 s; it
    /// writes its leases to /run/dnsmasq.leases.
    pub(crate) fn dnsmasq(&mut self, first_and_last: &str) -> usize {
        fs::write("/run/dnsmasq.leases", "").unwrap();
        let place = self.start(&format!(
            "dnsmasq --no-daemon --conf-file=/dev/null --user=root --pid-file= --port=0 --no-ping \
             --interface=lan0 --bind-interfaces --dhcp-authoritative \
             --dhcp-range=10.88.0.{first_and_last},255.255.255.0,2m --dhcp-option=option:T1,3 \
             --dhcp-option=option:T2,20 \
             --dhcp-option=6,192.0.2.53 \
             --domain=lan.test --dhcp-leasefile=/run/dnsmasq.leases",
        ));
        serves();
        place
    }

    /// Kea for the same addresses and times; it appends what becomes of a lease to
    /// /run/kea/leases. After the pods: it looks at the bridge's MAC address once, which ports that
    /// come change.
    pub(crate) fn kea(&mut self, first_and_last: &str) -> usize {
        let (first, last) = first_and_last.split_once(',').unwrap();
        let option = |name: &str, data: &str| json!({ "name": name, "data": data });
        let config = json!({ "Dhcp4": {
            "interfaces-config": { "interfaces": ["lan0"], "re-detect": false },
            "lease-database": { "type": "memfile", "name": "/run/kea/leases", "lfc-interval": 0 },
            "valid-lifetime": 120,
            "renew-timer": 3,
            "rebind-timer": 20,
            "subnet4": [{
                "subnet": "10.88.0.0/24",
                "pools": [{ "pool": format!("10.88.0.{first} - {last}") }],
                "option-data": [
                    option("routers", "10.88.0.1"),
                    option("domain-name-servers", "192.0.2.53"),
                    option("domain-name", "lan.test"),
                ],
            }],
        } });
        fs::create_dir("/run/kea").unwrap();
        fs::write("/run/kea.json", config.to_string()).unwrap();
        let place = self
            .start("env KEA_PIDFILE_DIR=/run/kea KEA_LOCKFILE_DIR=none kea-dhcp4 -c /run/kea.json");
        serves();
        place
    }

    /// podwire's daemon.
    pub(crate) fn daemon(&mut self, flags: &str) -> usize {
        let program = self.node.plugin("dhcp");
        let place = self.start(&format!("{} daemon {flags}", program.display()));
        listens(SOCKET);
        place
    }

    /// A call for the pod of this name, whose container has it as well.
    pub(crate) fn start_call(
        &self,
        plugin: &Path,
        order: &str,
        pod: &str,
        config: &Value,
    ) -> Child {
        let netns = format!("/run/netns/{pod}");
        Call {
            executable: plugin,
            command: order,
            container: pod,
            config: &config.to_string(),
            env: &[("CNI_NETNS", OsStr::new(&netns))],
        }
        .start()
    }

    pub(crate) fn call(&self, order: &str, pod: &str, config: &Value) -> Answer {
        answer(self.start_call(&self.node.plugin("dhcp"), order, pod, config))
    }

    /// ADD that must succeed; its result.
    pub(crate) fn add(&self, pod: &str) -> Value {
        self.call("ADD", pod, &config()).success().json()
    }

    pub(crate) fn del(&self, pod: &str) {
        let silent = self.call("DEL", pod, &config()).success();
        assert_eq!(silent.stdout, "");
    }
}

/// The plugin by itself.
pub(crate) fn config() -> Value {
    json!({ "cniVersion": "1.1.0", "name": "lan", "type": "dhcp", "ipam": { "type": "dhcp" } })
}

/// The address of a result, without its prefix length.
pub(crate) fn address(result: &Value) -> Ipv4Addr {
    let text = result["ips"][0]["address"].as_str().unwrap();
    text.strip_suffix("/24").unwrap().parse().unwrap()
}

/// What the daemon keeps in files.
pub(crate) fn records() -> Vec<Value> {
    let entries = fs::read_dir(RECORDS).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| fs::read(entry.path()).ok());
    files
        .filter_map(|file| serde_json::from_slice(&file).ok())
        .collect()
}

/// Waits for what must come.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < end, "it does not come to pass that {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until somebody takes connections at a socket.
pub(crate) fn listens(socket: &str) {
    until(&format!("{socket} is served"), || {
        UnixStream::connect(socket).is_ok()
    });
}

/// Waits until somebody has port 67, 43 in hexadecimal.
fn serves() {
    until("a server listens", || {
        text("/proc/thread-self/net/udp").contains(":0043 ")
    });
}

pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A script that must succeed; its output.
pub(crate) fn sh(script: &str) -> String {
    let child = command(Path::new("/bin/sh"))
        .args(["-ec", script])
        .spawn()
        .unwrap();
    answer(child).success().stdout
}

/// Whether a pod's interface is administratively up.
pub(crate) fn is_up(pod: &str) -> bool {
    sh(&format!("ip -n {pod} link show eth0")).contains(",UP")
}

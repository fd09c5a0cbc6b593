//! `deploy/netd.service` under systemd itself, which runs as the first process of a PID namespace:
//! what `make install` gives it starts, works with nothing but what the unit allows, and is started
//! again when it hangs.
#![allow(
    clippy::expect_used,
    reason = "a test may panic and tell what it measured"
)]

mod nodes;

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use kernel::testing::is_installed;
use nodes::{Cluster, DUAL_VXLAN, program, sh, wait_for, wait_long};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const SYSTEMD: &str = "/lib/systemd/systemd";

/// The highest exposure that `systemd-analyze security` may find, in tenths.
const EXPOSURE: &str = "25";

/// A systemd that knows netd's unit and nothing else of this machine's, killed when dropped.
struct Systemd {
    child: Child,
    cgroup: PathBuf,
    first: String,
}

impl Systemd {
    /// Boots in the namespace of node 1. What it and its services write goes to memory, but for the
    /// store and the log of netd.
    fn boot(cluster: &Cluster) -> Self {
        let dir = cluster.dir();
        let script = dir.join("boot");
        std::fs::write(&script, boot(dir)).expect("script");
        // A hierarchy that has no limits, and that machines with either version of cgroups have.
        let cgroup = dir.join("cgroup");
        std::fs::create_dir_all(&cgroup).expect("directory");
        sh(&format!("mount -t cgroup2 none {}", cgroup.display()));
        let cgroup = cgroup.join(format!("podwire-test-{}", std::process::id()));
        std::fs::create_dir_all(&cgroup).expect("cgroup");
        let mut command = program("sh");
        command
            .args([
                "-ec",
                "echo $$ >$0/cgroup.procs; exec ip netns exec n1 \
                unshare --mount --pid --ipc --uts --cgroup --fork --kill-child --mount-proc sh -e $1",
            ])
            .args([&cgroup, &script])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut systemd = Self {
            child: command.spawn().expect("unshare"),
            cgroup,
            first: String::new(),
        };
        let parent = systemd.child.id();
        let children = format!("/proc/{parent}/task/{parent}/children");
        wait_for("systemd to start", || {
            let child = std::fs::read_to_string(&children).unwrap_or_default();
            systemd.first = child.trim().to_owned();
            let name = std::fs::read_to_string(format!("/proc/{}/comm", systemd.first));
            name.is_ok_and(|name| name == "systemd\n")
        });
        wait_for("systemd to answer", || {
            systemd.run("systemctl is-system-running").0 != "offline"
                && systemd.run("systemctl show").1
        });
        systemd
    }

    /// Runs a shell command beside systemd; what it says, and whether it succeeded.
    fn run(&self, line: &str) -> (String, bool) {
        let output = program("nsenter")
            .args(["--target", &self.first, "--all", "sh", "-c", line])
            .output()
            .expect("nsenter");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        (said, output.status.success())
    }

    /// Runs a shell command that must succeed.
    fn must(&self, line: &str) -> String {
        let (said, success) = self.run(line);
        assert!(success, "{line}: {said}");
        said
    }

    /// A property of netd's unit.
    fn property(&self, name: &str) -> String {
        self.must(&format!("systemctl show --value --property {name} netd"))
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The kernel takes the killed processes out of their groups when it has the time.
        let remove = "for i in $(seq 500); do \
            find $0 -depth -type d -exec rmdir {} + 2>/dev/null; [ -e $0 ] || exit 0; sleep 0.01; done";
        let _ = program("sh")
            .args(["-c", remove])
            .arg(&self.cgroup)
            .status();
    }
}

/// Installs netd as `make install` does and becomes systemd.
fn boot(dir: &Path) -> String {
    let dir = dir.display();
    let netd = env!("CARGO_BIN_EXE_netd");
    format!(
        "mount --make-rprivate /
        mount --make-rshared / # as machines have it; systemd leaves that alone here
        mount -t tmpfs tmpfs /mnt
        for place in /etc /usr/local /var/lib; do
            mkdir -p /mnt/upper$place /mnt/work$place
            mount -t overlay -o lowerdir=$place,upperdir=/mnt/upper$place,workdir=/mnt/work$place none $place
        done
        make -s -C {ROOT} install-units
        install -D {netd} /usr/local/sbin/netd
        cat {dir}/netd.env >>/etc/podwire/netd.env
        mkdir -p /var/lib/podwire/store /mnt/units/netd.service.d
        mount --bind {dir}/store /var/lib/podwire/store
        printf '[Service]\\nWatchdogSec=5\\nRestartSec=0\\nStandardError=append:{dir}/n1.log\\n%s' \
            'LoadCredential=client.key:/mnt/client.key' \
            >/mnt/units/netd.service.d/test.conf
        install -m 0600 -o 54321 /dev/null /mnt/client.key
        for unit in sysinit.target basic.target shutdown.target; do
            printf '[Unit]\\nDefaultDependencies=no\\n' >/mnt/units/$unit
        done
        cp /usr/local/lib/systemd/system/netd.service /mnt/units
        systemd-tmpfiles --create /usr/local/lib/tmpfiles.d/podwire.conf
        mount -t cgroup2 none /sys/fs/cgroup
        export container=podwire-test SYSTEMD_UNIT_PATH=/mnt/units
        exec {SYSTEMD} --system --unit=basic.target --log-target=null --show-status=no"
    )
}

#[test]
fn systemd_finds_little_that_netd_could_do_beyond_its_work() {
    if !is_installed("systemd-analyze", "systemd") {
        return;
    }
    let unit = format!("{ROOT}/deploy/netd.service");
    let output = program("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .args([&format!("--threshold={EXPOSURE}"), &unit])
        .output()
        .expect("systemd-analyze");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}

#[test]
fn under_systemd_netd_works_with_what_the_unit_allows() {
    if !is_installed(SYSTEMD, "systemd") {
        return;
    }
    let Some(cluster) = Cluster::new(DUAL_VXLAN, 2) else {
        return;
    };
    // A router's advertisements give the node its IPv6 route: netd must write a sysctl.
    sh("ip netns exec n1 sysctl -qw net.ipv6.conf.eth0.accept_ra=1");
    let env = "FLANNELD_STORE=dir\nFLANNELD_IFACE=eth0\nFLANNELD_IP_MASQ=true\n";
    std::fs::write(cluster.dir().join("netd.env"), env).expect("environment");
    let systemd = Systemd::boot(&cluster);

    // Type=notify: the start returns when netd has said that it is ready.
    let (said, started) = systemd.run("systemctl start netd");
    assert!(started, "{said}: {}", cluster.log(1));
    let subnet_env = systemd.must("cat /run/flannel/subnet.env");
    assert!(subnet_env.contains("FLANNEL_IPMASQ=true"), "{subnet_env}");
    assert_eq!(systemd.must("stat -c %a /run/flannel/subnet.env"), "644");
    let _other = cluster.start(2, &[]);
    let far = cluster.subnet(2).replace("/24", "");
    wait_for("a ping over the overlay", || {
        let ping = format!("ip netns exec n1 ping -c 1 -W 1 {far}");
        program("sh")
            .args(["-c", &ping])
            .output()
            .expect("ping")
            .status
            .success()
    });
    let status = systemd.must("netd status");
    assert!(
        status
            .lines()
            .next()
            .is_some_and(|line| line.contains(" ready")),
        "{status}"
    );
    let rules = systemd.must("iptables -t nat -S; iptables -S; ip6tables -S");
    for chain in ["FLANNEL-POSTRTG", "FLANNEL-FWD"] {
        assert!(rules.contains(&format!("-N {chain}")), "{rules}");
    }
    assert_eq!(
        sh("ip netns exec n1 sysctl -n net.ipv6.conf.eth0.accept_ra").trim(),
        "2"
    );

    // CAP_NET_ADMIN and CAP_NET_RAW are 12 and 13.
    let main = systemd.property("MainPID");
    let confined = systemd.must(&format!("cat /proc/{main}/status"));
    for line in [
        "CapEff:\t0000000000003000",
        "CapBnd:\t0000000000003000",
        "Seccomp:\t2",
        "NoNewPrivs:\t1",
    ] {
        assert!(confined.contains(line), "{line}: {confined}");
    }
    let inside = format!("nsenter --target {main} --mount");
    // What another user keeps to itself systemd hands over as root's.
    let key = format!("{inside} stat -c '%U %a' /run/credentials/netd.service/client.key");
    assert_eq!(systemd.must(&key), "root 400");
    for path in [
        "/etc/new",
        "/usr/local/sbin/new",
        "/var/lib/new",
        "/run/new",
        "/proc/sys/kernel/hostname",
    ] {
        let (said, written) = systemd.run(&format!("{inside} sh -c 'echo x >{path}'"));
        assert!(
            !written && said.contains("Read-only file system"),
            "{path}: {said}"
        );
    }

    a_hanging_netd_is_started_again(&systemd, &cluster, &main);
    systemd.must("systemctl stop netd");
    assert_eq!(
        systemd.must("cat /run/flannel/subnet.env"),
        subnet_env,
        "it stays"
    );
    assert_eq!(systemd.property("Result"), "success");
}

/// The datapath stays as it is meanwhile.
fn a_hanging_netd_is_started_again(systemd: &Systemd, cluster: &Cluster, main: &str) {
    let datapath = || sh("ip -n n1 -br link; ip -n n1 route; ip -n n1 -6 route show proto 112");
    let before = datapath();
    systemd.must(&format!("kill -STOP {main}"));
    wait_long("systemd to start netd again", || {
        systemd.property("NRestarts") != "0" && systemd.property("ActiveState") == "active"
    });
    assert_ne!(systemd.property("MainPID"), main, "{}", cluster.log(1));
    assert_eq!(datapath(), before);
}

/// The process that carries packets gives up what the unit leaves it, and outlives a restart.
#[test]
fn under_systemd_the_backend_udp_goes_on_while_netd_is_restarted() {
    if !is_installed(SYSTEMD, "systemd") {
        return;
    }
    let config = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"udp"}}"#;
    let Some(cluster) = Cluster::new(config, 1) else {
        return;
    };
    let env = "FLANNELD_STORE=dir\nFLANNELD_IFACE=eth0\n";
    std::fs::write(cluster.dir().join("netd.env"), env).expect("environment");
    let systemd = Systemd::boot(&cluster);
    let (said, started) = systemd.run("systemctl start netd");
    assert!(started, "{said}: {}", cluster.log(1));
    let running = || {
        let mut found = None;
        wait_for("packets to be carried", || {
            let (status, _) = systemd.run("netd status --output json");
            let status = serde_json::from_str::<serde_json::Value>(&status).unwrap_or_default();
            let forwarder = &status["forwarder"];
            found = forwarder["pid"].as_u64();
            status["ready"] == true && forwarder["running"] == true
        });
        found.expect("pid")
    };
    let first = running();
    let confined = systemd.must(&format!("cat /proc/{first}/status"));
    for line in [
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "Seccomp:\t2",
        "NoNewPrivs:\t1",
    ] {
        assert!(confined.contains(line), "{line}: {confined}");
    }
    systemd.must("systemctl stop netd");
    systemd.must(&format!("kill -0 {first}"));
    systemd.must("systemctl start netd");
    let second = running();
    assert_ne!(first, second);
    wait_for("the former one to end", || {
        !systemd.run(&format!("kill -0 {first}")).1
    });
    assert!(
        cluster.log(1).contains("is taken over"),
        "{}",
        cluster.log(1)
    );
    systemd.must("systemctl stop netd");
    systemd.must("netd cleanup");
    wait_for("it to end", || !systemd.run(&format!("kill -0 {second}")).1);
}

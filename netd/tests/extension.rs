//! The backend `extension`: what commands are told, and what becomes of those that fail.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod nodes;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use nodes::{Cluster, Netd, has_ended, problems, program, sh, wait_for};

/// Each writes what it is told and what it was started with, and node 1's what it has open.
struct Scripts {
    cluster: Cluster,
}

impl Scripts {
    fn new(nodes: u8) -> Option<Self> {
        let cluster = Cluster::new("{}", nodes)?;
        let scripts = Self { cluster };
        scripts.write("pre", "echo '  two  '; echo words >&2");
        for name in ["post", "add", "remove"] {
            scripts.write(
                name,
                &format!(
                    r#"test ! -e "$0.fails" || {{ echo "$1 fails"; exit 3; }}
                    {{
                        echo "$@"; env | grep -E '^(NETWORK|SUBNET|IPV6SUBNET|PUBLIC_IP|FLANNELD_)' | sort; cat
                    }} >>{0}/{name}.$N
                    ls -l /proc/$$/fd >{0}/open.$N"#,
                    scripts.cluster.dir().display()
                ),
            );
        }
        scripts.configure("@pre", "@post post");
        Some(scripts)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.cluster.dir().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode");
    }

    fn configure(&self, pre: &str, post: &str) {
        let at = |line: &str| line.replace('@', &format!("{}/", self.cluster.dir().display()));
        let config = serde_json::json!({
            "Network": "10.100.0.0/16",
            "Backend": {
                "Type": "extension",
                "PreStartupCommand": at(pre),
                "PostStartupCommand": at(post),
                "SubnetAddCommand": at("@add $SUBNET via ${PUBLIC_IP}"),
                "SubnetRemoveCommand": at("@remove $SUBNET"),
            },
        });
        self.cluster.put_config(&config.to_string());
    }

    fn spawn(&self, n: u8) -> Netd {
        let mut command = self.cluster.command(n, &["-store", "dir"]);
        command
            .env("N", n.to_string())
            .env("FLANNELD_ETCD_PASSWORD", "secret");
        Netd {
            child: command.spawn().expect("netd"),
            node: n,
        }
    }

    fn start(&self, n: u8) -> Netd {
        let netd = self.spawn(n);
        self.cluster.wait_ready(&netd);
        netd
    }

    fn told(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn wait_told(&self, name: &str, text: &str) {
        wait_for(name, || self.told(name).len() >= text.len());
        assert_eq!(self.told(name), text, "{name}");
    }

    fn put(&self, subnet: &str, lease: &str) {
        fs::write(self.cluster.lease_file(subnet), lease).expect("lease");
    }
}

#[test]
fn commands_are_told_what_flannels_are() {
    let Some(scripts) = Scripts::new(2) else {
        return;
    };
    let cluster = &scripts.cluster;
    let _first = scripts.start(1);
    let own = cluster.subnet(1);
    assert_eq!(
        scripts.told("post.1"),
        format!("post\nNETWORK=10.100.0.0/16\nPUBLIC_IP=192.168.50.1\nSUBNET={own}\n")
    );
    let lease = fs::read_to_string(cluster.lease_file(&own.replace('/', "-"))).expect("lease");
    assert_eq!(
        lease.trim(),
        r#"{"PublicIP":"192.168.50.1","PublicIPv6":null,"BackendType":"extension","BackendData":"two  \nwords"}"#
    );
    assert_eq!(cluster.env(1, "FLANNEL_MTU").as_deref(), Some("1500"));

    let second = scripts.start(2);
    let subnet = cluster.subnet(2);
    let mut told = format!(
        "{subnet} via 192.168.50.2\nPUBLIC_IP=192.168.50.2\nSUBNET={subnet}\ntwo  \nwords\n"
    );
    scripts.wait_told("add.1", &told);
    // netd has sockets of the kernel's and of its pages open, and what tokio waits with.
    wait_for("what is open", || scripts.told("open.1").contains("pipe:"));
    let open = scripts.told("open.1");
    let is_netds = |line: &str| line.contains("socket:") || line.contains("anon_inode:");
    assert!(!open.lines().any(is_netds), "{open}");
    assert_eq!(second.stop("TERM").code(), Some(0));

    let other = "10.100.210.0-24";
    let lease = |address, data| {
        format!(
            r#"{{"PublicIP":"192.168.50.{address}","PublicIPv6":null,"BackendType":"extension"{data}}}"#
        )
    };
    for (address, data, text) in [
        (11, r#","BackendData":"some text""#, "some text"),
        (12, "", ""),
    ] {
        scripts.put(other, &lease(address, data));
        told += &format!(
            "10.100.210.0/24 via 192.168.50.{address}\nPUBLIC_IP=192.168.50.{address}\nSUBNET=10.100.210.0/24\n{text}\n"
        );
        scripts.wait_told("add.1", &told);
    }
    fs::remove_file(cluster.lease_file(other)).expect("remove");
    let gone = "10.100.210.0/24\nPUBLIC_IP=192.168.50.12\nSUBNET=10.100.210.0/24\n\n";
    scripts.wait_told("remove.1", gone);

    scripts.put("10.100.211.0-24", &lease(13, r#","BackendData":{"a":1}"#));
    wait_for("a peer without text", || {
        let status = cluster.status(1).expect("status");
        problems(&status)
            .iter()
            .any(|what| what.contains("its backend data are unusable"))
    });
    assert_eq!(scripts.told("add.1"), told);
}

#[test]
fn a_command_that_fails_is_told_and_tried_again() {
    let Some(scripts) = Scripts::new(1) else {
        return;
    };
    let cluster = &scripts.cluster;
    let _running = scripts.start(1);
    fs::write(scripts.path("add.fails"), "").expect("file");
    let lease = r#"{"PublicIP":"192.168.50.11","PublicIPv6":null,"BackendType":"extension"}"#;
    scripts.put("10.100.210.0-24", lease);
    wait_for("the failure in the status", || {
        let status = cluster.status(1).expect("status");
        let fails = "exit status: 3: 10.100.210.0/24 fails";
        problems(&status).iter().any(|what| what.contains(fails))
    });
    fs::remove_file(scripts.path("add.fails")).expect("remove");
    wait_for("the next try", || {
        scripts.told("add.1").contains("10.100.210.0/24 via")
    });
    let is_well = || problems(&cluster.status(1).expect("status")).is_empty();
    wait_for("the problem to go", is_well);

    // One that failed may have done half of it: what takes that back is called all the same.
    fs::write(scripts.path("add.fails"), "").expect("file");
    scripts.put("10.100.211.0-24", lease);
    wait_for("the next failure", || !is_well());
    fs::remove_file(cluster.lease_file("10.100.211.0-24")).expect("remove");
    let gone = "10.100.211.0/24\nPUBLIC_IP=192.168.50.11\nSUBNET=10.100.211.0/24\n\n";
    scripts.wait_told("remove.1", gone);
    wait_for("the problem to go", is_well);
}

#[test]
fn a_start_that_fails_ends_netd() {
    let Some(scripts) = Scripts::new(1) else {
        return;
    };
    for (pre, post, says) in [
        (
            "@missing",
            "",
            "PreStartupCommand [DIR/missing] cannot be run: No such file",
        ),
        (
            "sh @pre",
            "@post post",
            "PostStartupCommand [DIR/post post]: exit status: 3: post fails",
        ),
    ] {
        fs::write(scripts.path("post.fails"), "").expect("file");
        scripts.configure(pre, post);
        let mut netd = scripts.spawn(1);
        assert_eq!(netd.child.wait().expect("netd").code(), Some(1));
        let says = says.replace("DIR", &scripts.cluster.dir().display().to_string());
        let log = scripts.cluster.log(1);
        assert!(log.contains(&says), "{says}: {log}");
    }
}

#[test]
fn a_service_does_not_outlive_a_netd_that_is_killed() {
    let Some(scripts) = Scripts::new(1) else {
        return;
    };
    scripts.write(
        "service",
        &format!(
            "echo $$ >{}; exec sleep 1000",
            scripts.path("service.pid").display()
        ),
    );
    scripts.configure("", "@service");
    let netd = scripts.spawn(1);
    wait_for("the process", || {
        scripts.told("service.pid").ends_with('\n')
    });
    let pid = scripts.told("service.pid").trim().to_owned();
    netd.stop("KILL");
    wait_for("its end", || has_ended(&pid));
}

#[test]
fn a_command_that_tells_of_a_node_is_not_ended_half_way() {
    let Some(scripts) = Scripts::new(1) else {
        return;
    };
    let fifo = scripts.path("fifo");
    sh(&format!("mkfifo {}", fifo.display()));
    let mut go = fs::File::options()
        .read(true)
        .write(true)
        .open(&fifo)
        .expect("pipe");
    let told = scripts.path("add.1");
    scripts.write(
        "add",
        &format!(
            "echo begins >>{0}; read go <{1}; test $go = quiet || echo $go; echo ends >>{0}",
            told.display(),
            fifo.display()
        ),
    );
    let lease = r#"{"PublicIP":"192.168.50.11","PublicIPv6":null,"BackendType":"extension"}"#;
    let mut text = String::new();
    for signal in ["TERM", "INT"] {
        let mut netd = scripts.start(1);
        scripts.put("10.100.210.0-24", lease);
        text += "begins\n";
        scripts.wait_told("add.1", &text);
        netd.signal(signal);
        let waited = format!("SIG{signal}: stopping");
        wait_for("netd to wait", || {
            let log = scripts.cluster.log(1);
            let after = log.split(&waited).nth(1).unwrap_or_default();
            after.contains("is waited for")
        });
        go.write_all(b"loud\n").expect("go");
        assert_eq!(netd.child.wait().expect("netd").code(), Some(0));
        text += "ends\n";
        assert_eq!(scripts.told("add.1"), text, "{signal}");
    }
    let netd = scripts.start(1);
    text += "begins\n";
    scripts.wait_told("add.1", &text);
    // Nobody takes what it prints now.
    netd.stop("KILL");
    go.write_all(b"quiet\n").expect("go");
    wait_for("it to end", || scripts.told("add.1").len() > text.len());
}

#[test]
fn a_command_that_stays_is_started_again_and_ends_with_netd() {
    let Some(scripts) = Scripts::new(1) else {
        return;
    };
    let pid_file = scripts.path("service.pid");
    // Its child has the outputs open as well, and outlives it.
    let children = scripts.path("children");
    let (pid_path, children) = (pid_file.display(), children.display());
    scripts.write(
        "service",
        &format!("sleep 1000 & echo $! >>{children}; echo $$ >{pid_path}; exec sleep 1000"),
    );
    scripts.configure("", "@service");
    let netd = scripts.start(1);
    let pid = || scripts.told("service.pid").trim().to_owned();
    let first = pid();
    let kill = program("kill").arg(&first).status().expect("kill");
    assert!(kill.success());
    wait_for("another process", || {
        let now = pid();
        !now.is_empty() && now != first
    });
    let second = pid();
    assert_eq!(netd.stop("TERM").code(), Some(0));
    wait_for("the end of the process", || has_ended(&second));
    sh(&format!("kill $(cat {children})"));
}

//! netd as its users meet it: start, pages, firewall, refusals, exit codes, and etcd.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic and tell what it measured"
)]

mod common;
mod nodes;

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixDatagram;
use std::process::Output;
use std::time::Duration;

use common::Etcd;
use nodes::{Cluster, HOST_GW, VXLAN, etcdctl, problems, program, relay_etcd, sh, wait_for};

/// Runs netd to its end.
fn netd(arguments: &[&str]) -> Output {
    program(env!("CARGO_BIN_EXE_netd"))
        .args(arguments)
        .output()
        .expect("netd")
}

/// As root is under netd.service.
#[test]
fn files_that_another_user_keeps_to_itself_are_named_with_their_owner() {
    let Some(cluster) = Cluster::new(VXLAN, 1) else {
        return;
    };
    let closed = cluster.dir().join("pki");
    let [key, inside] = ["client.key", "pki/client.key"].map(|name| cluster.dir().join(name));
    std::fs::create_dir(&closed).expect("directory");
    for path in [&key, &inside] {
        std::fs::write(path, "-----BEGIN PRIVATE KEY-----").expect("write");
    }
    sh(&format!(
        "chmod 755 {0}; chmod 600 {1}; chown 54321 {1}; chmod 700 {2}; chown 54321 {2}",
        cluster.dir().display(),
        key.display(),
        closed.display()
    ));
    for (path, told, mend) in [
        (
            &key,
            "it belongs to user 54321, mode 0600".to_owned(),
            format!("setfacl -m u:root:r {}", key.display()),
        ),
        (
            &inside,
            format!(
                "the directory {} belongs to user 54321, mode 0700",
                closed.display()
            ),
            format!("setfacl -m u:root:x {}", closed.display()),
        ),
    ] {
        let path = path.to_str().expect("UTF-8");
        let mut command = program("ip");
        command
            .args(["netns", "exec", "n1", "setpriv", "--inh-caps=-all"])
            .args([
                "--bounding-set=-dac_override,-dac_read_search",
                env!("CARGO_BIN_EXE_netd"),
            ])
            .args(["-iface", "eth0", "-status-socket", "", "-etcd-cafile", path]);
        let output = command.output().expect("netd");
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{log}");
        for expected in [&format!("cannot read {path}"), &told, &mend] {
            assert!(log.contains(expected), "{expected}\n{log}");
        }
    }
}

#[test]
fn the_command_line_answers_without_touching_anything() {
    let help = netd(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&help.stdout).contains("-etcd-endpoints"));
    let version = netd(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&version.stderr).trim(),
        format!("netd {}", env!("CARGO_PKG_VERSION"))
    );
    assert!(version.stdout.is_empty());
    for (arguments, code, text) in [
        (&["-nosuch"][..], 2, "see `netd --help`"),
        (
            &["-ip-masq=maybe"],
            2,
            "netd: invalid value \"maybe\" for -ip-masq: give true or false; see `netd --help`",
        ),
        (
            &["-subnet-lease-renew-margin", "1440"],
            2,
            "1 to 1439 minutes",
        ),
        (
            &["-vmodule", "store=4"],
            3,
            "not supported yet: -vmodule=store=4",
        ),
        (
            &["status", "-status-socket", "/nonexistent"],
            1,
            "no netd answers on /nonexistent",
        ),
    ] {
        let output = netd(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(text), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_start_that_cannot_succeed_says_why_and_leaves_nothing() {
    let Some(cluster) = Cluster::new(VXLAN, 1) else {
        return;
    };
    let dual = r#"{"Network":"10.100.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:100::/48",
        "Backend":{"Type":"vxlan","VNI":10000}}"#;
    let backend = |object: &str| format!(r#"{{"Network":"10.100.0.0/16","Backend":{object}}}"#);
    for (config, arguments, code, text) in [
        (
            VXLAN.to_owned(),
            &["-iface", "nosuch"][..],
            1,
            "there is no interface nosuch",
        ),
        (
            VXLAN.to_owned(),
            &["-iface", "lo"],
            1,
            "interface lo has no usable IPv4 address",
        ),
        (
            HOST_GW.to_owned(),
            &["-iface", "eth0", "-public-ip", "192.0.2.77"],
            1,
            "host-gw does not work through NAT",
        ),
        (
            backend(r#"{"Type":"udp","Port":65536}"#),
            &[],
            1,
            "Port 65536 is out of range: give 1 to 65535, or leave it out",
        ),
        (backend("{}"), &[], 1, "unknown backend type"),
        (
            dual.to_owned(),
            &[],
            1,
            "VNI 10000 is too long for the name of the device flannel-v6.N: give 0 to 9999",
        ),
        (
            dual.replace(r#""vxlan","VNI":10000"#, r#""ipip""#),
            &[],
            1,
            "the backend ipip carries IPv4 only, and EnableIPv6 is true: leave IPv6 out",
        ),
        (
            backend(r#"{"Type":"vxlan","Port":70000}"#),
            &[],
            1,
            "Port 70000 is out of range",
        ),
        (
            backend(r#"{"Type":"vxlan","VNI":16777216}"#),
            &[],
            1,
            "VNI 16777216 is out of range: give 0 to 16777215",
        ),
        (
            backend(r#"{"Type":"wireguard","Mode":"Both"}"#),
            &[],
            1,
            "Mode \"Both\" is unknown: give separate, auto, ipv4 or ipv6",
        ),
        (
            backend(r#"{"Type":"wireguard","ListenPort":70000}"#),
            &[],
            1,
            "ListenPort 70000 is out of range",
        ),
        (
            backend(r#"{"Type":"wireguard","PSK":"secret"}"#),
            &[],
            1,
            "PSK is not 32 bytes in base64",
        ),
        (
            backend(r#"{"Type":"wireguard"}"#),
            &["-wireguard-psk-file", "/nowhere/psk"],
            1,
            "the key file /nowhere/psk cannot be read",
        ),
        (
            backend(r#"{"Type":"vxlan","MTU":-1}"#),
            &[],
            1,
            "MTU -1 is out of range",
        ),
    ] {
        cluster.put_config(&config);
        let before = sh("ip -n n1 -br link; ip -n n1 route; ip -n n1 -br addr");
        let mut command = program("ip");
        command.args([
            "netns",
            "exec",
            "n1",
            env!("CARGO_BIN_EXE_netd"),
            "-store",
            "dir",
        ]);
        command.arg("-store-dir").arg(cluster.dir().join("store"));
        command.arg("-subnet-file").arg(cluster.subnet_file(1));
        command
            .arg("-status-socket")
            .arg(cluster.dir().join("s.sock"));
        let output = command.args(arguments).output().expect("netd");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{config}: {stderr}");
        assert!(stderr.contains(text), "{config} {arguments:?}: {stderr}");
        assert!(output.stdout.is_empty());
        assert_eq!(
            sh("ip -n n1 -br link; ip -n n1 route; ip -n n1 -br addr"),
            before,
            "{config}"
        );
        assert!(!cluster.subnet_file(1).exists(), "{config}");
        let leases = std::fs::read_dir(cluster.dir().join("store/subnets"));
        assert_eq!(leases.map_or(0, Iterator::count), 0, "{config}");
    }
}

#[test]
fn another_device_with_the_vni_is_named() {
    let Some(cluster) = Cluster::new(VXLAN, 1) else {
        return;
    };
    sh("ip -n n1 link add other type vxlan id 1 dev eth0 local 192.168.50.1 dstport 8472");
    let mut running = cluster.spawn(1, &["-store", "dir"]);
    assert_eq!(running.child.wait().expect("netd").code(), Some(1));
    let log = cluster.log(1);
    assert!(
        log.contains("other has VNI 1 on the same port already"),
        "{log}"
    );
}

#[test]
fn a_missing_config_is_waited_for() {
    let Some(cluster) = Cluster::new("{", 1) else {
        return;
    };
    let running = cluster.spawn(1, &["-store", "dir"]);
    wait_for("the reason in the status", || {
        cluster.status(1).is_some_and(|status| {
            let problems = nodes::problems(&status);
            problems.len() == 1 && problems[0].starts_with("waiting for the network config: ")
        })
    });
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(cluster.status(1).expect("status")["ready"], false);
    assert!(!cluster.subnet_file(1).exists());
    cluster.put_config(VXLAN);
    cluster.wait_ready(&running);
    assert!(cluster.subnet_file(1).exists());
    assert_eq!(running.stop("TERM").code(), Some(0));
}

#[test]
fn netd_that_was_told_nothing_says_what_it_needs() {
    let Some(cluster) = Cluster::new(VXLAN, 1) else {
        return;
    };
    let _running = cluster.spawn(1, &[]);
    wait_for("the hint", || {
        cluster
            .log(1)
            .contains("no etcd answers at the default addresses")
    });
    let hints = cluster.log(1).matches("-store dir").count();
    assert_eq!(hints, 1, "{}", cluster.log(1));
    let told = cluster.spawn(1, &["-etcd-endpoints", "http://127.0.0.1:2399"]);
    drop(told);
}

#[test]
fn a_change_of_the_config_is_told_and_not_followed() {
    let Some(cluster) = Cluster::new(VXLAN, 1) else {
        return;
    };
    let _running = cluster.start(1, &[]);
    let changed = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"vxlan","VNI":2}}"#;
    cluster.put_config(changed);
    // netd looks every ten seconds; the machine may be busy.
    nodes::wait_long("the change", || {
        cluster.status(1).expect("status")["store"]["config_changed"] == true
    });
    let status = cluster.status(1).expect("status");
    assert_eq!(status["level"], "ready", "{status}");
    let told = nodes::problems(&status);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].ends_with("(changed: backend options)"), "{told:?}");
    let remedy = &status["problems"][0]["remedy"];
    assert!(
        remedy
            .as_str()
            .is_some_and(|text| text.starts_with("restart netd")),
        "{remedy}"
    );
    assert_eq!(
        cluster.log(1).matches("restart netd on every node").count(),
        1
    );
    let metrics = sh(&format!(
        "curl -s --unix-socket {} http://netd/metrics",
        cluster.dir().join("n1.sock").display()
    ));
    assert!(metrics.contains("netd_config_changed 1\n"), "{metrics}");
    assert!(
        sh("ip -n n1 link").contains("flannel.1"),
        "nothing else changes"
    );
}

#[test]
fn something_else_in_the_pods_network_is_told() {
    let Some(cluster) = Cluster::new(VXLAN, 1) else {
        return;
    };
    sh("ip -n n1 link add docker0 up type bridge; ip -n n1 addr add 10.100.0.1/24 dev docker0");
    let _running = cluster.start(1, &[]);
    wait_for("the overlap in the status", || {
        let told = nodes::problems(&cluster.status(1).expect("status"));
        told.iter().any(|what| {
            what.contains("10.100.0.0/16 overlaps the address 10.100.0.1/24 dev docker0")
        })
    });
    assert_eq!(cluster.status(1).expect("status")["level"], "ready");
}

#[test]
fn a_signal_while_waiting_ends_the_process_with_success() {
    let Some(cluster) = Cluster::new("{", 1) else {
        return;
    };
    let running = cluster.spawn(1, &["-store", "dir"]);
    wait_for("the status socket", || cluster.status(1).is_some());
    assert_eq!(running.stop("TERM").code(), Some(0));
}

#[test]
fn the_service_manager_and_the_health_port_learn_of_it() {
    let Some(cluster) = Cluster::new(HOST_GW, 1) else {
        return;
    };
    let manager = cluster.dir().join("notify");
    let manager_socket = UnixDatagram::bind(&manager).expect("bind");
    manager_socket
        .set_read_timeout(Some(nodes::PATIENCE))
        .expect("timeout");
    let mut command = cluster.command(
        1,
        &[
            "-store",
            "dir",
            "-healthz-port",
            "8081",
            "-healthz-ip",
            "127.0.0.1",
        ],
    );
    let child = command
        .env("NOTIFY_SOCKET", &manager)
        .env("WATCHDOG_USEC", "20000")
        .spawn()
        .expect("netd");
    let _running = nodes::Netd { child, node: 1 };
    let heard = || {
        let mut buffer = [0; 64];
        let length = manager_socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    assert_eq!(heard(), "READY=1");
    assert!(
        cluster.subnet_file(1).exists(),
        "subnet.env comes before readiness"
    );
    assert_eq!([heard(), heard()], ["WATCHDOG=1", "WATCHDOG=1"]);

    let get = |path: &str| {
        sh(&format!(
            "ip netns exec n1 curl -s -o - -w ' %{{http_code}}' http://127.0.0.1:8081{path}"
        ))
    };
    assert_eq!(get("/healthz"), "flanneld is running 200");
    assert_eq!(get("/readyz"), "flanneld is ready 200");
    assert!(get("/").ends_with(" 404"));
    assert!(get("/metrics").contains("netd_ready 1\n"));
    assert!(get("/status").contains("\"backend\": \"host-gw\""));
}

#[test]
fn strangers_see_the_health_pages_alone() {
    let Some(cluster) = Cluster::new(HOST_GW, 1) else {
        return;
    };
    let code = |path: &str| {
        sh(&format!(
            "ip netns exec n1 curl -s -o /dev/null -w '%{{http_code}}' \
             http://192.168.50.1:8081{path}"
        ))
    };
    for (arguments, expected) in [
        (&["-healthz-port", "8081"][..], "403"),
        (&["-healthz-port", "8081", "-status-tcp"], "200"),
    ] {
        let running = cluster.start(1, arguments);
        assert_eq!(code("/healthz"), "200");
        assert_eq!(code("/readyz"), "200");
        assert_eq!(code("/status"), expected, "{arguments:?}");
        assert_eq!(code("/metrics"), expected, "{arguments:?}");
        assert_eq!(running.stop("TERM").code(), Some(0));
    }
}

#[test]
fn a_large_vni_works_where_only_ipv4_is_made() {
    let config = r#"{"Network":"10.100.0.0/16","Backend":{"Type":"vxlan","VNI":70000}}"#;
    let Some(cluster) = Cluster::new(config, 1) else {
        return;
    };
    let _running = cluster.start(1, &[]);
    assert!(sh("ip -n n1 -d link show flannel.70000").contains("vxlan id 70000"));
}

#[test]
fn a_file_with_the_sockets_name_is_left_alone() {
    let Some(cluster) = Cluster::new(HOST_GW, 1) else {
        return;
    };
    let socket = cluster.dir().join("n1.sock");
    std::fs::write(cluster.dir().join("precious"), "precious").expect("file");
    std::os::unix::fs::symlink(cluster.dir().join("precious"), &socket).expect("link");
    let mut running = cluster.spawn(1, &["-store", "dir"]);
    assert_eq!(running.child.wait().expect("netd").code(), Some(1));
    let log = cluster.log(1);
    assert!(log.contains("it is a symbolic link, not a socket"), "{log}");
    assert!(socket.is_symlink());
    let text = std::fs::read_to_string(cluster.dir().join("precious"));
    assert_eq!(text.expect("file"), "precious");
}

fn iptables(cluster: &Cluster, table: &str) -> String {
    let _ = cluster;
    sh(&format!(
        "ip netns exec n1 iptables-save -t {table} | grep FLANNEL || true"
    ))
}

#[test]
fn firewall_rules_are_flannels_and_come_back() {
    let Some(cluster) = Cluster::new(VXLAN, 1) else {
        return;
    };
    sh(
        "ip netns exec n1 iptables -t nat -A POSTROUTING -s 198.51.100.0/24 -j RETURN
        ip netns exec n1 iptables -A FORWARD -s 198.51.100.0/24 -j DROP",
    );
    let arguments = [
        "-ip-masq",
        "-iptables-forward-rules=true",
        "-iptables-resync",
        "1",
    ];
    let running = cluster.start(1, &arguments);
    assert_eq!(cluster.env(1, "FLANNEL_IPMASQ").as_deref(), Some("true"));
    let own = cluster.subnet(1);
    let comment = r#"-m comment --comment "flanneld masq""#;
    let nat = format!(
        ":FLANNEL-POSTRTG - [0:0]
-A POSTROUTING {comment} -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 {comment} -j RETURN
-A FLANNEL-POSTRTG -s {own} -d 10.100.0.0/16 {comment} -j RETURN
-A FLANNEL-POSTRTG -s 10.100.0.0/16 -d {own} {comment} -j RETURN
-A FLANNEL-POSTRTG ! -s 10.100.0.0/16 -d {own} {comment} -j RETURN
-A FLANNEL-POSTRTG -s 10.100.0.0/16 ! -d 224.0.0.0/4 {comment} -j MASQUERADE --random-fully
-A FLANNEL-POSTRTG ! -s 10.100.0.0/16 -d 10.100.0.0/16 {comment} -j MASQUERADE --random-fully
"
    );
    assert_eq!(iptables(&cluster, "nat"), nat);
    let comment = r#"-m comment --comment "flanneld forward""#;
    let filter = format!(
        ":FLANNEL-FWD - [0:0]
-A FORWARD {comment} -j FLANNEL-FWD
-A FLANNEL-FWD -s 10.100.0.0/16 {comment} -j ACCEPT
-A FLANNEL-FWD -d 10.100.0.0/16 {comment} -j ACCEPT
"
    );
    assert_eq!(iptables(&cluster, "filter"), filter);
    for damage in [
        "iptables -t nat -F FLANNEL-POSTRTG",
        "iptables -t nat -F POSTROUTING",
        "iptables -t nat -I FLANNEL-POSTRTG -j ACCEPT",
        "iptables -D FLANNEL-FWD 1",
    ] {
        sh(&format!("ip netns exec n1 {damage}"));
        wait_for(damage, || {
            iptables(&cluster, "nat") == nat && iptables(&cluster, "filter") == filter
        });
    }
    let forward = sh("ip netns exec n1 iptables -S FORWARD");
    assert!(forward.contains("-P FORWARD ACCEPT"), "{forward}");
    assert!(
        forward.contains("-A FORWARD -s 198.51.100.0/24 -j DROP"),
        "{forward}"
    );
    // The rules are there a moment before netd counts them.
    wait_for("four repairs", || {
        cluster.status(1).expect("status")["firewall"]["repairs"] == 4
    });
    assert_eq!(running.stop("TERM").code(), Some(0));
    assert_eq!(iptables(&cluster, "nat"), nat, "rules stay");
}

#[test]
fn without_iptables_masquerading_fails_and_what_an_old_one_lacks_is_left_out() {
    let Some(cluster) = Cluster::new(HOST_GW, 1) else {
        return;
    };
    let programs = cluster.dir().join("programs");
    std::fs::create_dir(&programs).expect("directory");
    let start = |arguments: &[&str]| {
        // `ip` is found before PATH changes for netd.
        let mut command = program("ip");
        command.args(["netns", "exec", "n1", "/usr/bin/env"]);
        command.arg(format!("PATH={}", programs.display()));
        command.args([
            env!("CARGO_BIN_EXE_netd"),
            "-store",
            "dir",
            "-iface",
            "eth0",
        ]);
        command.arg("-store-dir").arg(cluster.dir().join("store"));
        command.arg("-subnet-file").arg(cluster.subnet_file(1));
        command
            .arg("-status-socket")
            .arg(cluster.dir().join("n1.sock"));
        let log = std::fs::File::create(cluster.dir().join("n1.log")).expect("log");
        command.args(arguments).stderr(log).spawn().expect("netd")
    };
    let mut refused = nodes::Netd {
        child: start(&["-ip-masq"]),
        node: 1,
    };
    assert_eq!(refused.child.wait().expect("netd").code(), Some(1));
    let log = cluster.log(1);
    assert!(
        log.contains("the masquerade rules cannot be installed"),
        "{log}"
    );
    let running = nodes::Netd {
        child: start(&["-iptables-resync", "1"]),
        node: 1,
    };
    cluster.wait_ready(&running);
    let log = cluster.log(1);
    assert_eq!(
        log.matches("not all firewall rules can be installed")
            .count(),
        1,
        "{log}"
    );
    assert_eq!(
        cluster.status(1).expect("status")["firewall"]["forward"],
        false
    );
    let real = |name: &str| sh(&format!("command -v {name}")).trim().to_owned();
    symlink(real("iptables"), programs.join("iptables")).expect("link");
    let (old, restore) = (programs.join("iptables-restore"), real("iptables-restore"));
    symlink(&restore, &old).expect("link");
    wait_for("the forward rules, now that there is iptables", || {
        let status = cluster.status(1).expect("status");
        status["firewall"]["forward"] == true && problems(&status).is_empty()
    });
    assert_eq!(running.stop("TERM").code(), Some(0));

    // Iptables as it was before 1.6.2.
    std::fs::remove_file(&old).expect("the link");
    let script = format!(
        r#"#!/bin/sh
rules=$(/bin/cat)
case $rules in *--random-fully*) echo 'unknown option "--random-fully"' >&2; exit 2;; esac
printf '%s\n' "$rules" | {restore} "$@"
"#
    );
    std::fs::write(&old, script).expect("script");
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).expect("mode");
    let masq = [
        "-ip-masq",
        "-iptables-forward-rules=false",
        "-iptables-resync=1",
    ];
    let running = nodes::Netd {
        child: start(&masq),
        node: 1,
    };
    cluster.wait_ready(&running);
    let status = cluster.status(1).expect("status");
    assert_eq!(status["firewall"]["source_ports"], "refused");
    let problem = &status["problems"][0];
    assert_eq!(problem["severity"], "notice", "{problem}");
    let told = |key: &str| problem[key].as_str().expect("a text");
    assert!(told("what").contains("unknown option"), "{problem}");
    assert!(told("remedy").contains("iptables 1.6.2"), "{problem}");
    assert!(told("since").starts_with("20"), "{problem}");
    let nat = iptables(&cluster, "nat");
    assert!(nat.contains("-j MASQUERADE\n"), "{nat}");
    let aside = programs.join("old");
    std::fs::rename(&old, &aside).expect("old iptables");
    symlink(&restore, &old).expect("link");
    wait_for("random source ports, now that iptables can", || {
        let status = cluster.status(1).expect("status");
        status["firewall"]["source_ports"] == "random" && problems(&status).is_empty()
    });
    let nat = iptables(&cluster, "nat");
    assert!(nat.contains("-j MASQUERADE --random-fully\n"), "{nat}");
    assert!(!nat.contains("-j MASQUERADE\n"), "{nat}");
    assert_eq!(running.stop("TERM").code(), Some(0));
    std::fs::rename(&aside, &old).expect("old iptables");

    let running = nodes::Netd {
        child: start(&[&masq[..], &["-ip-masq-fully-random-disable"]].concat()),
        node: 1,
    };
    cluster.wait_ready(&running);
    let status = cluster.status(1).expect("status");
    assert_eq!(status["firewall"]["source_ports"], "disabled");
    assert_eq!(problems(&status), [""; 0]);
}

#[test]
fn two_daemons_on_one_socket_are_refused() {
    let Some(cluster) = Cluster::new(HOST_GW, 1) else {
        return;
    };
    let _running = cluster.start(1, &[]);
    let mut second = cluster.spawn(1, &["-store", "dir"]);
    assert_eq!(second.child.wait().expect("netd").code(), Some(1));
    assert!(cluster.log(1).contains("another netd answers"));
}

#[test]
fn a_start_amid_many_changes_succeeds() {
    // The peers are behind SubnetMax, where this node takes nothing.
    let config = r#"{"Network":"10.96.0.0/12","SubnetMax":"10.100.255.0",
        "Backend":{"Type":"vxlan"}}"#;
    let Some(cluster) = Cluster::new(config, 1) else {
        return;
    };
    let directory = cluster.dir().join("store/subnets");
    std::fs::create_dir_all(&directory).expect("directory");
    let peer = |n: u32| {
        let (high, low) = (n / 250, n % 250);
        let value = format!(
            r#"{{"PublicIP":"192.168.{}.{}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{{"VNI":1,"VtepMAC":"02:00:00:00:{high:02x}:{low:02x}"}}}}"#,
            100 + high,
            low + 1
        );
        std::fs::write(
            directory.join(format!("10.{}.{low}.0-24", 101 + high)),
            value,
        )
        .expect("lease");
    };
    (0..1000).for_each(peer);
    let running = cluster.spawn(1, &["-store", "dir"]);
    for n in 1000..1500 {
        peer(n);
        std::thread::sleep(Duration::from_millis(1));
    }
    cluster.wait_ready(&running);
    wait_for("all routes", || cluster.routes(1).len() == 1500);
    assert_eq!(running.stop("TERM").code(), Some(0));
}

#[test]
fn etcd_joins_nodes_and_its_death_changes_nothing() {
    let Some(cluster) = Cluster::new(VXLAN, 2) else {
        return;
    };
    let mut etcd = Etcd::start(cluster.dir());
    relay_etcd();
    let endpoint = ["-etcd-endpoints", "http://192.168.50.254:2379"];
    let first = cluster.spawn(1, &endpoint);
    etcdctl(&format!(
        "put /coreos.com/network/config '{}'",
        nodes::with_bounds(VXLAN)
    ));
    cluster.wait_ready(&first);
    let second = cluster.spawn(2, &endpoint);
    cluster.wait_ready(&second);
    wait_for("routes", || {
        cluster.routes(1).len() == 1 && cluster.routes(2).len() == 1
    });

    let key = format!(
        "/coreos.com/network/subnets/{}",
        cluster.subnet(1).replace('/', "-")
    );
    let mac = sh("ip -n n1 -br link show dev flannel.1");
    let mac = mac.split_whitespace().nth(2).expect("MAC").to_owned();
    let value = format!(
        r#"{{"PublicIP":"192.168.50.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{{"VNI":1,"VtepMAC":"{mac}"}}}}"#
    );
    assert_eq!(
        etcdctl(&format!("get --print-value-only {key}")).trim_end(),
        value
    );

    let peer = r#"{"PublicIP":"192.168.50.9","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:09"}}"#;
    etcdctl(&format!(
        "put /coreos.com/network/subnets/10.100.254.0-24 '{peer}'"
    ));
    wait_for("the peer's route", || cluster.routes(1).len() == 2);
    etcd.kill();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(cluster.routes(1).len(), 2, "routes stay while etcd is away");
    sh("ip -n n1 route del 10.100.254.0/24");
    wait_for("a repair while etcd is away", || {
        cluster.routes(1).len() == 2
    });
    etcd.start_again();
    etcdctl("del /coreos.com/network/subnets/10.100.254.0-24");
    wait_for("the peer's end after etcd is back", || {
        cluster.routes(1).len() == 1
    });

    etcdctl(&format!("del {key}"));
    wait_for("the lease to be taken again", || {
        etcdctl(&format!("get --print-value-only {key}")).trim_end() == value
    });
    assert_eq!(first.stop("TERM").code(), Some(0));
    assert_eq!(
        etcdctl(&format!("get --print-value-only {key}")).trim_end(),
        value
    );
}

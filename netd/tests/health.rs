//! Readiness falls when something is missing, and comes back; each problem says since when.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod common;
mod nodes;

use std::os::unix::fs::symlink;

use common::Etcd;
use nodes::{
    Cluster, HOST_GW, Netd, VXLAN, problems, program, relay_etcd, sh, wait_for, wait_long,
};

fn readyz(cluster: &Cluster) -> String {
    sh(&format!(
        "curl -s -o /dev/null -w '%{{http_code}}' --unix-socket {} http://netd/readyz",
        cluster.dir().join("n1.sock").display()
    ))
}

fn wait_level(cluster: &Cluster, level: &str, what: &str) {
    wait_long(&format!("{level} with a problem {what:?}"), || {
        let status = cluster.status(1).expect("status");
        let told = problems(&status);
        let said = match what {
            "" => told.is_empty(),
            what => told.iter().any(|text| text.contains(what)),
        };
        status["level"] == level && said
    });
    let code = if level == "not-ready" { "503" } else { "200" };
    assert_eq!(readyz(cluster), code, "{level}");
}

#[test]
fn without_its_external_interface_a_node_is_not_ready() {
    for config in [VXLAN, HOST_GW] {
        let Some(cluster) = Cluster::new(config, 1) else {
            return;
        };
        let _running = cluster.start(1, &[]);
        wait_level(&cluster, "ready", "");
        sh("ip -n n1 link del eth0");
        wait_level(&cluster, "not-ready", "eth0");
        let problem = cluster.status(1).expect("status")["problems"][0].clone();
        let since = problem["since"].as_str().expect("since").to_owned();
        assert!(since.starts_with("20") && since.ends_with('Z'), "{since}");
        wait_for("a second", || {
            let again = cluster.status(1).expect("status")["problems"][0].clone();
            assert_eq!(again["since"], since.as_str(), "it goes on");
            again["seconds"].as_u64() > problem["seconds"].as_u64()
        });
        sh("ip link add v1 type veth peer name eth0 netns n1
            ip link set v1 master br0 up
            ip -n n1 addr add 192.168.50.1/24 dev eth0
            ip -n n1 link set eth0 up");
        wait_level(&cluster, "ready", "");
    }
}

#[test]
fn without_its_firewall_rules_a_node_is_not_ready() {
    let Some(cluster) = Cluster::new(HOST_GW, 1) else {
        return;
    };
    let (programs, away) = (cluster.dir().join("programs"), cluster.dir().join("away"));
    std::fs::create_dir(&programs).expect("directory");
    for name in ["iptables", "iptables-save", "iptables-restore"] {
        let found = sh(&format!("command -v {name}"));
        symlink(found.trim(), programs.join(name)).expect("link");
    }
    let path = format!("PATH={}", programs.display());
    // `ip` is found before PATH changes for netd.
    let mut command = program("ip");
    command.args(["netns", "exec", "n1", "/usr/bin/env", &path]);
    command.arg(env!("CARGO_BIN_EXE_netd"));
    command.args([
        "-store",
        "dir",
        "-iface",
        "eth0",
        "-ip-masq",
        "-iptables-resync",
        "1",
    ]);
    command.arg("-store-dir").arg(cluster.dir().join("store"));
    command.arg("-subnet-file").arg(cluster.subnet_file(1));
    command
        .arg("-status-socket")
        .arg(cluster.dir().join("n1.sock"));
    let log = std::fs::File::create(cluster.dir().join("n1.log")).expect("log");
    let child = command.stderr(log).spawn().expect("netd");
    let running = Netd { child, node: 1 };
    cluster.wait_ready(&running);
    wait_level(&cluster, "ready", "");
    std::fs::rename(&programs, &away).expect("rename");
    wait_level(&cluster, "not-ready", "firewall rules cannot be kept");
    std::fs::rename(&away, &programs).expect("rename");
    wait_level(&cluster, "ready", "");
}

/// The lease has a time to live, and the store is gone for longer.
#[test]
fn a_lease_that_ended_makes_a_node_not_ready() {
    let Some(cluster) = Cluster::new(HOST_GW, 1) else {
        return;
    };
    let _running = cluster.start(1, &["-lease-ttl", "3s"]);
    wait_level(&cluster, "ready", "");
    let (here, away) = (cluster.dir().join("store"), cluster.dir().join("away"));
    std::fs::rename(&here, &away).expect("rename");
    wait_level(&cluster, "not-ready", "cannot be kept");
    std::fs::rename(&away, &here).expect("rename");
    wait_level(&cluster, "ready", "");
}

#[test]
fn tls_files_that_etcd_does_not_take_are_told_while_the_connection_lives() {
    let Some(cluster) = Cluster::new(HOST_GW, 1) else {
        return;
    };
    let dir = cluster.dir();
    common::make_certificates(dir);
    let _etcd = Etcd::start_with_tls(dir);
    relay_etcd();
    let put = |name: &str| {
        sh(&format!(
            "cd {} && cp {name}.key now.key && cp {name}.pem now.pem",
            dir.display()
        ))
    };
    put("client");
    sh(&format!(
        "cd {} && etcdctl --endpoints https://127.0.0.1:2379 --cacert ca.pem --cert client.pem \
             --key client.key put /coreos.com/network/config '{HOST_GW}'",
        dir.display()
    ));
    let file = |name: &str| dir.join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("now.pem"), file("now.key"));
    let running = cluster.spawn(
        1,
        &[
            "-etcd-endpoints",
            "https://192.168.50.254:2379",
            "-etcd-cafile",
            &ca,
            "-etcd-certfile",
            &cert,
            "-etcd-keyfile",
            &key,
        ],
    );
    cluster.wait_ready(&running);
    let told = || {
        let status = cluster.status(1).expect("status");
        assert_eq!(status["store"]["up"], true);
        let found = problems(&status);
        found
            .iter()
            .any(|what| what.contains("the TLS files of etcd have changed and cannot be used"))
    };
    put("stranger");
    wait_long("the finding", told);
    assert!(
        cluster
            .log(1)
            .contains("the TLS files of etcd have changed and cannot be used")
    );
    put("client");
    wait_long("its end", || !told());
    assert!(cluster.log(1).contains("are used from now on"));
}

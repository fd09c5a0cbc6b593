//! What `netd status` tells of peers, repairs and problems, once and with `--watch`.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod clock;
mod nodes;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use clock::Clock;
use nodes::{Cluster, Netd, VXLAN, program, sh, wait_for};
use serde_json::Value;

fn node(cluster: &Cluster, subnet: &str) -> Value {
    let status = cluster.status(1).expect("status");
    let nodes = status["peers"]["nodes"].as_array().expect("nodes").clone();
    let found = nodes.into_iter().find(|node| node["subnets"][0] == subnet);
    found.unwrap_or_default()
}

fn text(cluster: &Cluster) -> String {
    let socket = cluster.dir().join("n1.sock");
    sh(&format!(
        "{} status -status-socket {}",
        env!("CARGO_BIN_EXE_netd"),
        socket.display()
    ))
}

fn put(cluster: &Cluster, key: &str, backend: &str, n: u8) {
    let value = format!(
        r#"{{"PublicIP":"192.168.50.{n}","BackendType":"{backend}","BackendData":{{"VNI":1,
            "VtepMAC":"02:00:00:00:00:{n:02x}"}}}}"#
    );
    let new = cluster.dir().join("new");
    std::fs::write(&new, value).expect("write");
    std::fs::rename(new, cluster.lease_file(key)).expect("rename");
}

#[test]
fn each_peer_is_told_of() {
    let Some(cluster) = Cluster::new(VXLAN, 1) else {
        return;
    };
    let Some(clock) = Clock::new(cluster.dir()) else {
        return;
    };
    let mut netd = cluster.command(1, &["-store", "dir"]);
    let child = netd.envs(clock.environment()).spawn().expect("netd");
    let running = Netd { child, node: 1 };
    cluster.wait_ready(&running);
    put(&cluster, "10.100.241.0-24", "vxlan", 241);
    put(&cluster, "10.100.242.0-24", "host-gw", 242);
    // A route of somebody else's, before the lease comes.
    sh("ip -n n1 route add 10.100.243.0/24 via 192.168.50.254 proto static");
    put(&cluster, "10.100.243.0-24", "vxlan", 243);
    wait_for("three peers", || {
        cluster.status(1).expect("status")["peers"]["known"] == 3
    });
    let served = node(&cluster, "10.100.241.0/24");
    assert_eq!(served["state"], "programmed", "{served}");
    assert_eq!(served["public"][0], "192.168.50.241");
    assert_eq!(served["backend"], "vxlan");
    assert_eq!(served["backend_data"]["VtepMAC"], "02:00:00:00:00:f1");
    let unserved = node(&cluster, "10.100.242.0/24");
    assert_eq!(unserved["state"], "unserved", "{unserved}");
    assert_eq!(unserved["reason"], "its backend is \"host-gw\"");
    let conflict = node(&cluster, "10.100.243.0/24");
    assert_eq!(conflict["state"], "conflict", "{conflict}");
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let told: Vec<String> = text(&cluster).lines().map(squeezed).collect();
    let told = told.join("\n");
    for line in [
        "10.100.242.0/24 192.168.50.242 host-gw 02:00:00:00:00:f2 not served",
        "10.100.243.0/24 192.168.50.243 vxlan 02:00:00:00:00:f3 conflict",
        "10.100.241.0/24 192.168.50.241 vxlan 02:00:00:00:00:f1 ok",
    ] {
        assert!(told.contains(line), "{line}\nin\n{told}");
    }

    // The command that the status gives makes the way free.
    let status = cluster.status(1).expect("status");
    let problems = status["problems"].as_array().expect("problems");
    let conflict = problems
        .iter()
        .find(|problem| problem["part"] == "datapath");
    let conflict = conflict.expect("a conflict");
    let command = conflict["command"].as_str().expect("text");
    sh(&format!("ip netns exec n1 {command}"));
    wait_for("the conflict to end", || {
        node(&cluster, "10.100.243.0/24")["state"] == "programmed"
    });

    sh("ip -n n1 route del 10.100.241.0/24");
    wait_for("a repair", || {
        let status = cluster.status(1).expect("status");
        let object = &status["repaired"][0]["object"];
        object == "route 10.100.241.0/24 via 10.100.241.0 dev flannel.1"
    });
    assert!(text(&cluster).contains("\nput back lately\n"));
    the_clock_is_set(&cluster, &clock);
    sh("ip -n n1 link del flannel.1");
    wait_for("the device to be told of", || {
        let status = cluster.status(1).expect("status");
        let repaired = status["repaired"].as_array().expect("repaired").clone();
        repaired
            .iter()
            .any(|repair| repair["object"] == "device flannel.1")
    });
}

/// How long things are there is told by the clock that nobody sets, and when they began by the one that is.
fn the_clock_is_set(cluster: &Cluster, clock: &Clock) {
    let status = || cluster.status(1).expect("status");
    let (before, routes) = (status(), cluster.routes(1));
    let hour = |text: &Value| text.as_str().expect("RFC 3339")[..13].to_owned();
    for hours in [30, -30, 0] {
        clock.set(hours);
        put(
            cluster,
            "10.100.241.0-24",
            "vxlan",
            200 + u8::try_from(hours.unsigned_abs()).expect("u8"),
        );
        wait_for("the lease to be followed", || {
            status()["peers"]["nodes"][0]["seconds"] == 0
        });
        let now = status();
        let lasts = [
            &now["uptime"],
            &now["problems"][0]["seconds"],
            &now["repaired"][0]["seconds"],
        ];
        for seconds in lasts {
            assert!(
                seconds.as_u64().expect("seconds") < 3600,
                "{hours} h: {now}"
            );
        }
        assert!(
            now["lease"]["expires_in"].as_u64().expect("seconds") > 23 * 3600,
            "{now}"
        );
        assert_eq!(
            hour(&now["started"]) == hour(&before["started"]),
            hours == 0,
            "{now}"
        );
        assert_eq!(now["lease"]["reclaims"], 0, "{now}");
        assert_eq!(cluster.routes(1).len(), routes.len(), "{hours} h");
    }
}

#[test]
fn a_watch_tells_what_changes_and_ends_when_asked_to() {
    let Some(cluster) = Cluster::new(VXLAN, 1) else {
        return;
    };
    let running = cluster.start(1, &[]);
    let mut watch = program(env!("CARGO_BIN_EXE_netd"))
        .args(["status", "--watch", "-o", "json", "-status-socket"])
        .arg(cluster.dir().join("n1.sock"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("netd status");
    let out = watch.stdout.take().expect("stdout");
    let mut lines = BufReader::new(out)
        .lines()
        .map(|line| line.expect("a line"));
    let mut next = |condition: &dyn Fn(&Value) -> bool| loop {
        let line = lines.next().expect("it goes on");
        let value: Value = serde_json::from_str(&line).expect("JSON");
        if condition(&value) {
            return value;
        }
    };
    next(&|state| state["level"] == "ready");
    put(&cluster, "10.100.241.0-24", "vxlan", 241);
    let state = next(&|state| state["peers"]["known"] == 1);
    assert_eq!(state["peers"]["nodes"][0]["state"], "programmed");
    running.stop("TERM");
    next(&|state| state["error"].is_string());
    let _again = cluster.start(1, &[]);
    next(&|state| state["level"] == "ready");
    sh(&format!("kill -INT {}", watch.id()));
    assert!(watch.wait().expect("wait").success());
}

#[test]
fn a_watch_for_people_has_no_control_characters_in_a_pipe() {
    let Some(cluster) = Cluster::new(VXLAN, 1) else {
        return;
    };
    let _running = cluster.start(1, &[]);
    let mut watch = program(env!("CARGO_BIN_EXE_netd"))
        .args(["status", "--watch", "-status-socket"])
        .arg(cluster.dir().join("n1.sock"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("netd status");
    let mut out = BufReader::new(watch.stdout.take().expect("stdout"));
    let mut first = String::new();
    out.read_line(&mut first).expect("a line");
    assert!(first.starts_with("netd       "), "{first}");
    sh(&format!("kill -TERM {}", watch.id()));
    assert!(watch.wait().expect("wait").success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("the rest");
    assert!(
        rest.chars().all(|c| c == '\n' || !c.is_control()),
        "{rest:?}"
    );
}

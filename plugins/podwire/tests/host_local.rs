//! The plugin `host-local` as a process: beside the reference plugin, killed, and on full nodes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{collections::HashSet, fs, path::Path, sync::Mutex, thread, time::Duration};

use kernel::testing::is_installed;
use serde_json::json;
use support::{Call, Node, call};

/// Of package containernetworking-plugins.
const REFERENCE: &str = "/usr/lib/cni/host-local";
const DIR: &str = "/var/lib/cni/networks/net";

fn config() -> String {
    json!({"cniVersion": "1.0.0", "name": "net", "type": "host-local", "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.22.0.0/16"}], [{"subnet": "2001:db8::/64"}]],
    }})
    .to_string()
}

fn names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(DIR)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

const NO_RESERVATION: [&str; 3] = ["last_reserved_ip.0", "last_reserved_ip.1", "lock"];

#[test]
fn beside_the_reference_no_address_is_given_twice() {
    let Some(node) = Node::new() else { return };
    if !is_installed(REFERENCE, "containernetworking-plugins") {
        return;
    }
    let ours = node.plugin("host-local");
    let plugins = [ours.as_path(), Path::new(REFERENCE)];
    let given = Mutex::new(HashSet::new());
    let attach = |worker: usize| {
        for round in 0..30 {
            let container = format!("c{worker}-{round}");
            let plugin = plugins[(worker + round) % 2];
            let result = call(plugin, "ADD", &container, &config()).success().json();
            for ip in result["ips"].as_array().unwrap() {
                let address = ip["address"].as_str().unwrap().to_owned();
                assert!(
                    given.lock().unwrap().insert(address.clone()),
                    "{address} given twice"
                );
            }
            // Each sees what the other did.
            let other = plugins[(worker + round + 1) % 2];
            call(other, "CHECK", &container, &config()).success();
            let (_, refused) = call(other, "ADD", &container, &config()).error();
            assert!(
                refused.contains("duplicate allocation is not allowed"),
                "{refused}"
            );
        }
    };
    let detach = |worker: usize| {
        for round in 0..30 {
            let plugin = plugins[(worker + round + 1) % 2];
            call(plugin, "DEL", &format!("c{worker}-{round}"), &config()).success();
        }
    };
    thread::scope(|scope| (0..4).for_each(|worker| _ = scope.spawn(move || attach(worker))));
    assert_eq!(given.lock().unwrap().len(), 4 * 30 * 2);
    assert_eq!(names().len(), 4 * 30 * 2 + 3);
    thread::scope(|scope| (0..4).for_each(|worker| _ = scope.spawn(move || detach(worker))));
    assert_eq!(names(), NO_RESERVATION);
}

#[test]
fn a_killed_add_leaves_nothing_that_del_does_not_remove() {
    let Some(node) = Node::new() else { return };
    let executable = node.plugin("host-local");
    let config = config();
    call(&executable, "ADD", "first", &config).success();
    for round in 0..200 {
        let add = Call {
            executable: &executable,
            command: "ADD",
            container: "victim",
            config: &config,
            env: &[],
        };
        let mut child = add.start();
        thread::sleep(Duration::from_micros(10 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        for name in names() {
            let content = fs::read(Path::new(DIR).join(&name)).unwrap();
            let reservation = name.parse::<std::net::IpAddr>().is_ok();
            assert!(
                !reservation || !content.is_empty(),
                "round {round}: {name} has no owner"
            );
        }
        call(&executable, "DEL", "victim", &config).success();
        assert!(names().len() == 5, "round {round}: {:?}", names());
    }
    call(&executable, "CHECK", "first", &config).success();
}

/// Reading every reservation is what makes the reference plugin slow on a full node. A record
/// changed in place, which nothing but reading it can show, tells whether ADD reads them.
#[test]
fn add_on_a_full_node_does_not_read_the_reservations() {
    let Some(node) = Node::new() else { return };
    let executable = node.plugin("host-local");
    let config = config();
    fs::create_dir_all(DIR).unwrap();
    for number in 0..60_000u32 {
        let address = std::net::Ipv4Addr::from(u32::from_be_bytes([10, 22, 4, 0]) + number);
        let record = format!("{number:064x}\r\neth0");
        fs::write(Path::new(DIR).join(address.to_string()), record).unwrap();
    }
    // Reads everything once: nobody has told us of these.
    call(&executable, "ADD", "reader", &config).success();
    fs::write(Path::new(DIR).join("10.22.4.7"), "unread\r\neth0").unwrap();
    call(&executable, "ADD", "unread", &config).success();
    let (_, refused) = call(&executable, "ADD", &format!("{:064x}", 59_999), &config).error();
    let held = "10.22.238.95 has been allocated to";
    assert!(refused.contains(held), "{refused}");
}

#[test]
fn del_and_check_need_no_ranges_and_gc_removes_what_is_not_listed() {
    let Some(node) = Node::new() else { return };
    let executable = node.plugin("host-local");
    let net = |ipam: serde_json::Value, extra: serde_json::Value| {
        let mut config =
            json!({"cniVersion": "1.1.0", "name": "net", "type": "bridge", "ipam": ipam});
        config
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        config.to_string()
    };
    let ranges = json!({"runtimeConfig": {"ipRanges": [[{"subnet": "10.44.0.0/24"}]]}});
    let full = net(json!({"type": "host-local"}), ranges);
    let bare = net(json!({"type": "host-local"}), json!({}));
    let broken = net(
        json!({"type": "host-local", "subnet": 5, "ranges": "x"}),
        json!({}),
    );
    for container in ["a", "b", "c"] {
        call(&executable, "ADD", container, &full).success();
    }
    call(&executable, "CHECK", "a", &bare).success();
    call(&executable, "DEL", "a", &broken).success();
    let (_, text) = call(&executable, "CHECK", "a", &broken).error();
    assert_eq!(
        text,
        "host-local: Failed to find address added by container a"
    );
    call(&executable, "GC", "", &bare).success();
    assert_eq!(
        names(),
        ["10.44.0.3", "10.44.0.4", "last_reserved_ip.0", "lock"],
        "no list removes nothing"
    );
    let valid = json!({"cni.dev/valid-attachments": [{"containerID": "c", "ifname": "eth0"}, {"containerID": "b", "ifname": "net1"}]});
    call(&executable, "GC", "", &net(json!({}), valid)).success();
    assert_eq!(names(), ["10.44.0.4", "last_reserved_ip.0", "lock"]);
    call(
        &executable,
        "DEL",
        "c",
        r#"{"cniVersion": "1.1.0", "name": "net", "type": "bridge"}"#,
    )
    .success();
    assert_eq!(names(), ["last_reserved_ip.0", "lock"]);
}

#[test]
fn status_says_when_add_cannot_work() {
    let Some(node) = Node::new() else { return };
    let executable = node.plugin("host-local");
    let net = |ipam: serde_json::Value| {
        json!({"cniVersion": "1.1.0", "name": "net", "type": "bridge", "ipam": ipam}).to_string()
    };
    let small = net(json!({"subnet": "10.44.0.0/30"}));
    let status = |config: &str| call(&executable, "STATUS", "", config);
    status(&small).success();
    assert!(
        !Path::new("/var/lib/cni/networks").exists(),
        "asking leaves nothing"
    );
    call(&executable, "ADD", "a", &small).success();
    let details = |config: &str| {
        let answer = status(config);
        assert_eq!(
            answer.error(),
            (50, "host-local cannot allocate addresses".to_owned())
        );
        answer.json()["details"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        details(&small),
        "no IP addresses available in range set: 10.44.0.1-10.44.0.2"
    );
    call(&executable, "DEL", "a", &small).success();
    status(&small).success();
    status(&net(json!({}))).success();
    let gateway_only =
        json!({"subnet": "10.45.0.0/24", "rangeEnd": "10.45.0.1", "dataDir": "/run/none"});
    assert_eq!(
        details(&net(gateway_only)),
        "no IP addresses available in range set: 10.45.0.1-10.45.0.1"
    );
    let text = "invalid range set 0: Network 10.0.0.0/31 too small to allocate from";
    assert_eq!(details(&net(json!({"subnet": "10.0.0.0/31"}))), text);
    let file = node.world.dir().join("file");
    fs::write(&file, "").unwrap();
    let text = format!("mkdir {}: not a directory", file.display());
    assert_eq!(
        details(&net(json!({"subnet": "10.0.0.0/24", "dataDir": file}))),
        text
    );
}

/// A file system that went read-only, as after an I/O error.
#[test]
fn what_removes_nothing_succeeds_on_a_read_only_file_system() {
    let Some(node) = Node::new() else { return };
    let executable = node.plugin("host-local");
    let net = |directory: &str| {
        let ipam = json!({"subnet": "10.46.0.0/24", "dataDir": directory});
        let valid = json!([{"containerID": "kept", "ifname": "eth0"}]);
        json!({"cniVersion": "1.1.0", "name": "net", "type": "bridge", "ipam": ipam, "cni.dev/valid-attachments": valid})
            .to_string()
    };
    let disk = node.world.dir().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |options: &str| {
        let mut mount = support::command(Path::new("/bin/mount"));
        mount.args(["-t", "tmpfs", "-o", options, "t"]).arg(&disk);
        assert!(mount.status().unwrap().success());
    };
    mount("rw");
    let (used, lockless, unused) = ("used", "lockless", "unused/deep");
    let at = |name: &str| net(disk.join(name).to_str().unwrap());
    call(&executable, "ADD", "kept", &at(used)).success();
    fs::create_dir_all(disk.join("lockless/net")).unwrap();
    mount("remount,ro");
    for name in [used, lockless, unused] {
        call(&executable, "DEL", "other", &at(name)).success();
        call(&executable, "GC", "", &at(name)).success();
        let absent = call(&executable, "CHECK", "other", &at(name)).error().1;
        assert!(absent.contains("Failed to find address"), "{absent}");
    }
    call(&executable, "CHECK", "kept", &at(used)).success();
    let (code, message) = call(&executable, "DEL", "kept", &at(used)).error();
    let text = format!(
        "remove {}/used/net/10.46.0.2: read-only file system",
        disk.display()
    );
    assert_eq!((code, message), (999, text));
    let (code, _) = call(&executable, "STATUS", "", &at(used)).error();
    assert_eq!(code, 50);
}

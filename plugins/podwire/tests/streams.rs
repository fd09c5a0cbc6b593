//! Standard streams that are closed, full or broken: an answer that nobody can read leaves nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    fs::{self, File},
    process::{Command, Output, Stdio},
};

use kernel::Netlink;
use support::{Node, command};

const BRIDGE: &str = r#"{"cniVersion": "1.0.0", "name": "n", "type": "bridge", "bridge": "b0", "ipMasq": true, "isDefaultGateway": true, "ipam": {"type": "host-local", "dataDir": "/run/d", "ranges": [[{"subnet": "10.9.0.0/24"}]]}}"#;
const HOST_LOCAL: &str = r#"{"cniVersion": "1.0.0", "name": "n", "type": "host-local", "ipam": {"type": "host-local", "dataDir": "/run/d", "ranges": [[{"subnet": "10.9.0.0/24"}]]}}"#;

/// A call by a shell, which can close descriptors; `redirections` as the shell writes them.
fn call(node: &Node, plugin: &str, verb: &str, config: &str, redirections: &str) -> Output {
    let input = node.world.dir().join("config");
    fs::write(&input, config).unwrap();
    let executable = node.plugin(plugin);
    let script = format!(
        "exec {} <{} {redirections}",
        executable.display(),
        input.display()
    );
    shell(node, verb, &script).output().unwrap()
}

fn shell(node: &Node, verb: &str, script: &str) -> Command {
    let mut shell = command(std::path::Path::new("/bin/sh"));
    shell
        .args(["-c", script])
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", "c")
        .env("CNI_NETNS", "/run/netns/pod")
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", &node.bin_dir)
        .stdin(Stdio::null());
    shell
}

fn assert_nothing_is_left(what: &str) {
    let links = Netlink::open().unwrap().links().unwrap();
    let pairs = links
        .iter()
        .filter(|link| link.name.as_str().starts_with("veth"));
    assert_eq!(pairs.count(), 0, "{what}");
    let files = fs::read_dir("/run/d/n").into_iter().flatten().flatten();
    let names: Vec<_> = files.map(|file| file.file_name()).collect();
    let reserved = names
        .iter()
        .filter(|name| name.to_string_lossy().starts_with("10."));
    assert_eq!(reserved.count(), 0, "{what}");
}

#[test]
fn a_result_that_nobody_can_read_takes_the_attachment_back() {
    let Some(node) = Node::new() else { return };
    let _pod = node.world.pod("pod");
    for (plugin, config) in [("bridge", BRIDGE), ("host-local", HOST_LOCAL)] {
        for redirections in [">/dev/full", ">&-", ">&- 2>&-", "1>/dev/full 2>/dev/full"] {
            let output = call(&node, plugin, "ADD", config, redirections);
            assert_eq!(output.status.code(), Some(1), "{plugin} {redirections}");
            if !redirections.contains('2') {
                let stderr = String::from_utf8(output.stderr).unwrap();
                assert!(
                    stderr.contains("cannot write to standard output"),
                    "{stderr}"
                );
            }
            assert_nothing_is_left(redirections);
        }
    }
}

#[test]
fn nothing_is_begun_without_standard_output() {
    let Some(node) = Node::new() else { return };
    let _pod = node.world.pod("pod");
    call(&node, "bridge", "ADD", BRIDGE, ">&-");
    let links = Netlink::open().unwrap().links().unwrap();
    assert!(links.iter().all(|link| link.name.as_str() != "b0"));
    assert!(!fs::exists("/run/d").unwrap());
}

#[test]
fn a_reader_that_is_gone_takes_the_attachment_back() {
    let Some(node) = Node::new() else { return };
    let _pod = node.world.pod("pod");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let input = node.world.dir().join("config");
    fs::write(&input, BRIDGE).unwrap();
    let script = format!("exec {}", node.plugin("bridge").display());
    let output = shell(&node, "ADD", &script)
        .stdin(File::open(input).unwrap())
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_nothing_is_left("broken pipe");
}

#[test]
fn closed_descriptors_are_not_filled_with_files_of_the_plugin() {
    let Some(node) = Node::new() else { return };
    let _pod = node.world.pod("pod");
    let output = call(&node, "bridge", "ADD", BRIDGE, "2>&-");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["ips"][0]["address"], "10.9.0.2/24");
    let output = call(&node, "bridge", "DEL", BRIDGE, ">&- 2>&-");
    assert_eq!(output.status.code(), Some(0));
    assert_nothing_is_left("DEL without streams");
}

#[test]
fn a_closed_standard_input_is_named() {
    let Some(node) = Node::new() else { return };
    let executable = node.plugin("bridge");
    let script = format!("exec {} <&-", executable.display());
    for (verb, code) in [("ADD", 1), ("DEL", 1), ("VERSION", 0)] {
        let output = shell(&node, verb, &script).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{verb}");
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        if code == 1 {
            assert_eq!(document["code"], 5, "{document}");
            assert_eq!(document["msg"], "error reading from stdin: it is closed");
        }
    }
}

#[test]
fn a_list_that_nobody_can_read_is_a_failure() {
    let mut shell = support::command(std::path::Path::new("/bin/sh"));
    let script = format!("exec {} --version >&-", env!("CARGO_BIN_EXE_podwire"));
    let output = shell.args(["-c", &script]).output().unwrap();
    let told = "podwire: could not write to standard output: it is closed\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), told);
    assert_eq!(output.status.code(), Some(1));
}

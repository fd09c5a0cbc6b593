use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cni::invocation::{Env, Invocation, run};
use serde_json::json;
use tempfile::TempDir;

use super::*;

const SUBNET_ENV: &str = "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\n\
    FLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n";
const DUAL_ENV: &str = "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\n\
    FLANNEL_IPV6_NETWORK=fd00:10:5::/48\nFLANNEL_IPV6_SUBNET=fd00:10:5:48::1/64\n\
    FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";

/// A delegate that remembers its calls and fails on demand.
#[derive(Default)]
struct Recorder {
    calls: Mutex<Vec<(&'static str, String)>>,
    fails: Mutex<bool>,
}

impl Recorder {
    fn record(&self, command: &'static str, call: &Call<'_>) -> Result<(), Error> {
        let text = String::from_utf8(call.stdin.to_vec()).expect("UTF-8");
        self.calls.lock().expect("lock").push((command, text));
        match *self.fails.lock().expect("lock") {
            true => Err(Error::new(42, "the delegate fails")),
            false => Ok(()),
        }
    }
}

impl Plugin for Recorder {
    fn name(&self) -> &'static str {
        "bridge"
    }

    fn role(&self) -> cni::Role {
        cni::Role::Interface
    }
    fn schema(&self) -> cni::PluginSchema {
        cni::PluginSchema::of::<()>("a stub", "{}")
    }
    fn add(&self, call: &Call<'_>, _: &Attachment) -> Result<AddResult, Error> {
        self.record("ADD", call).map(|()| AddResult::default())
    }
    fn del(&self, call: &Call<'_>, _: &Detachment) -> Result<(), Error> {
        self.record("DEL", call)
    }
    fn check(&self, call: &Call<'_>, _: &Attachment) -> Result<(), Error> {
        self.record("CHECK", call)
    }
    fn gc(&self, call: &Call<'_>, _: Option<&[ValidAttachment]>) -> Result<(), Error> {
        self.record("GC", call)
    }
    fn status(&self, call: &Call<'_>) -> Result<(), Error> {
        self.record("STATUS", call)
    }
}

/// A node's files, and a delegate that CNI_PATH resolves to.
struct Node {
    root: TempDir,
    delegate: Recorder,
    plugin: SubnetPlugin,
}

impl Node {
    fn new(subnet_env: Option<&str>) -> Self {
        let root = tempfile::tempdir().expect("directory");
        let bin = root.path().join("bin");
        fs::create_dir(&bin).expect("bin");
        let own = std::env::current_exe().expect("own executable");
        std::os::unix::fs::symlink(own, bin.join("bridge")).expect("link");
        if let Some(text) = subnet_env {
            fs::write(root.path().join("subnet.env"), text).expect("subnet.env");
        }
        let plugin = SubnetPlugin::new("flannel", Needs::SubnetFile, "{}");
        Self {
            root,
            delegate: Recorder::default(),
            plugin,
        }
    }

    fn state(&self, name: &str) -> PathBuf {
        self.root.path().join("state").join(name)
    }

    fn state_files(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.path().join("state")) else {
            return Vec::new();
        };
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("entry").file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    /// Runs one command; the configuration is completed with the node's paths.
    fn call(&self, command: &str, ifname: &str, config: Value) -> Result<(), Value> {
        self.call_in(None, command, ifname, config)
    }

    fn call_in(
        &self,
        netns: Option<&str>,
        command: &str,
        ifname: &str,
        config: Value,
    ) -> Result<(), Value> {
        let mut config = config;
        let defaults = json!({
            "subnetFile": self.root.path().join("subnet.env"),
            "dataDir": self.root.path().join("state"),
        });
        for (key, value) in defaults.as_object().expect("object") {
            config
                .as_object_mut()
                .expect("object")
                .insert(key.clone(), value.clone());
        }
        let path = self.root.path().join("bin").to_string_lossy().into_owned();
        let env: Env = [
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", "c1"),
            ("CNI_NETNS", netns.unwrap_or("/nonexistent/ns")),
            ("CNI_NETNS_OVERRIDE", "true"),
            ("CNI_IFNAME", ifname),
            ("CNI_PATH", &path),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
        let text = config.to_string();
        let registry: [&dyn Plugin; 2] = [&self.delegate, &self.plugin];
        let invocation = Invocation {
            env,
            stdin: &mut text.as_bytes(),
        };
        let outcome = run(&self.plugin, &registry, invocation);
        match outcome.code {
            0 => Ok(()),
            _ => Err(serde_json::from_str(&outcome.stdout).expect("error object")),
        }
    }

    fn calls(&self) -> Vec<(&'static str, Value)> {
        let calls = self.delegate.calls.lock().expect("lock");
        let parse = |text: &String| serde_json::from_str(text).expect("JSON");
        calls
            .iter()
            .map(|(command, text)| (*command, parse(text)))
            .collect()
    }

    fn fail(&self, fails: bool) {
        *self.delegate.fails.lock().expect("lock") = fails;
    }
}

fn plain() -> Value {
    json!({ "name": "n", "type": "flannel", "cniVersion": "1.1.0" })
}

fn with(extra: Value) -> Value {
    let mut config = plain();
    let config_map = config.as_object_mut().expect("object");
    config_map.extend(extra.as_object().expect("object").clone());
    config
}

#[test]
fn the_delegate_gets_flannels_configuration() {
    let table = [
        (
            SUBNET_ENV,
            plain(),
            json!({
                "name": "n", "type": "bridge", "cniVersion": "1.1.0",
                "ipMasq": true, "mtu": 1450, "isGateway": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": "10.5.72.0/24" }]],
                    "routes": [{ "dst": "10.5.0.0/16" }],
                },
            }),
        ),
        (
            DUAL_ENV,
            with(json!({
                "delegate": { "hairpinMode": true, "isDefaultGateway": true, "mtu": 1300,
                    "isGateway": false, "bridge": "br9" },
                "ipam": { "dataDir": "/x", "routes": [{ "dst": "0.0.0.0/0", "color": "red" }],
                    "ranges": [[{ "subnet": "192.0.2.0/24" }]] },
                "runtimeConfig": { "mac": "02:00:00:00:00:01" },
            })),
            json!({
                "name": "n", "type": "bridge", "cniVersion": "1.1.0",
                "ipMasq": false, "mtu": 1300, "isGateway": false, "bridge": "br9",
                "hairpinMode": true, "isDefaultGateway": true,
                "runtimeConfig": { "mac": "02:00:00:00:00:01" },
                "ipam": {
                    "type": "host-local", "dataDir": "/x",
                    "ranges": [
                        [{ "subnet": "10.5.72.0/24" }],
                        [{ "subnet": "fd00:10:5:48::/64" }],
                    ],
                    "routes": [
                        { "dst": "0.0.0.0/0" },
                        { "dst": "10.5.0.0/16" },
                        { "dst": "fd00:10:5::/48" },
                    ],
                },
            }),
        ),
    ];
    for (subnet_env, config, expected) in table {
        let node = Node::new(Some(subnet_env));
        node.call("ADD", "eth0", config).expect("ADD");
        assert_eq!(node.calls(), [("ADD", expected)]);
    }
}

#[test]
fn the_state_file_is_what_the_delegate_got_and_serves_del_without_subnet_env() {
    let node = Node::new(Some(SUBNET_ENV));
    node.call("ADD", "eth0", plain()).expect("ADD");
    let text = fs::read_to_string(node.state("c1")).expect("state");
    assert_eq!(node.delegate.calls.lock().expect("lock")[0].1, text);
    assert_eq!(
        text,
        r#"{"cniVersion":"1.1.0","ipMasq":true,"ipam":{"ranges":[[{"subnet":"10.5.72.0/24"}]],"routes":[{"dst":"10.5.0.0/16"}],"type":"host-local"},"isGateway":true,"mtu":1450,"name":"n","type":"bridge"}"#
    );
    let mode = |path: PathBuf| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(node.state("c1")), 0o600);
    assert_eq!(mode(node.root.path().join("state")), 0o700);

    fs::remove_file(node.root.path().join("subnet.env")).expect("subnet.env");
    node.fail(true);
    node.call("DEL", "eth0", plain())
        .expect_err("the delegate fails");
    assert_eq!(node.state_files(), ["c1"], "kept for the next DEL");
    node.fail(false);
    node.call("DEL", "eth0", plain()).expect("DEL");
    assert_eq!(node.delegate.calls.lock().expect("lock")[2].1, text);
    assert!(node.state_files().is_empty());
    node.call("DEL", "eth0", plain()).expect("DEL twice");
    assert_eq!(node.calls().len(), 3, "nobody is asked about nothing");
}

#[test]
fn a_failed_add_keeps_its_state_for_del() {
    let node = Node::new(Some(SUBNET_ENV));
    node.fail(true);
    let error = node
        .call("ADD", "eth0", plain())
        .expect_err("the delegate fails");
    assert_eq!(
        (&error["code"], &error["msg"]),
        (&json!(42), &json!("the delegate fails"))
    );
    assert_eq!(node.state_files(), ["c1"]);
}

#[test]
fn a_failed_repeat_of_add_leaves_the_state_of_the_first() {
    let node = Node::new(Some(SUBNET_ENV));
    node.call("ADD", "eth0", plain()).expect("added");
    let before = std::fs::read(node.state("c1")).expect("state");
    node.fail(true);
    let changed = with(json!({ "delegate": { "mtu": 1400 } }));
    node.call("ADD", "eth0", changed)
        .expect_err("the delegate fails");
    assert_eq!(std::fs::read(node.state("c1")).expect("state"), before);
}

#[test]
fn two_networks_of_one_container_do_not_overwrite_each_other() {
    let node = Node::new(Some(SUBNET_ENV));
    let other = || with(json!({ "name": "m" }));
    node.call("ADD", "eth0", plain()).expect("first");
    node.call("ADD", "net1", other()).expect("second");
    assert_eq!(node.state_files(), ["c1", "c1-net1"]);
    node.call("DEL", "eth0", plain()).expect("first");
    assert_eq!(node.state_files(), ["c1-net1"]);
    node.call("DEL", "net1", other()).expect("second");
    assert!(node.state_files().is_empty());
    let names: Vec<Value> = node
        .calls()
        .iter()
        .map(|(_, conf)| conf["name"].clone())
        .collect();
    assert_eq!(names, ["n", "m", "n", "m"]);
}

#[test]
fn two_interfaces_on_one_network_do_not_overwrite_each_other() {
    for (first, second) in [("eth0", "net1"), ("net1", "eth0")] {
        let node = Node::new(Some(SUBNET_ENV));
        for ifname in ["eth0", "net1"] {
            node.call("ADD", ifname, plain()).expect("ADD");
        }
        assert_eq!(node.state_files(), ["c1", "c1-net1"]);
        fs::remove_file(node.root.path().join("subnet.env")).expect("subnet.env");
        node.call("DEL", first, plain()).expect("first");
        assert_eq!(node.state_files().len(), 1);
        node.call("DEL", second, plain()).expect("second");
        assert!(node.state_files().is_empty());
        let commands: Vec<_> = node.calls().iter().map(|(command, _)| *command).collect();
        assert_eq!(commands, ["ADD", "ADD", "DEL", "DEL"]);
    }
}

#[test]
fn a_second_interface_that_fails_does_not_cost_the_first_its_state() {
    let node = Node::new(Some(SUBNET_ENV));
    node.call("ADD", "eth0", plain()).expect("ADD");
    node.fail(true);
    node.call("ADD", "net1", plain()).expect_err("fails");
    node.fail(false);
    node.call("DEL", "net1", plain()).expect("DEL");
    assert_eq!(node.state_files(), ["c1"]);
}

#[test]
fn a_repeated_add_of_a_living_interface_uses_its_own_file() {
    let Some(world) = kernel::testing::World::new() else {
        return;
    };
    let pod = world.pod("pod");
    let netns = Some(pod.path().to_str().expect("UTF-8"));
    let node = Node::new(Some(SUBNET_ENV));
    // Every namespace has this one.
    node.call_in(netns, "ADD", "lo", plain()).expect("ADD");
    let before = fs::read(node.state("c1")).expect("state");
    node.fail(true);
    let changed = with(json!({ "delegate": { "mtu": 1400 } }));
    node.call_in(netns, "ADD", "lo", changed)
        .expect_err("the delegate fails");
    assert_eq!(node.state_files(), ["c1"]);
    assert_eq!(fs::read(node.state("c1")).expect("state"), before);
}

#[test]
fn a_lost_state_file_does_not_lose_the_attachment() {
    let node = Node::new(Some(SUBNET_ENV));
    node.call("ADD", "eth0", plain()).expect("ADD");
    fs::remove_file(node.state("c1")).expect("state");
    node.call("DEL", "eth0", plain()).expect("DEL");
    let calls = node.calls();
    assert_eq!(calls[1].0, "DEL");
    assert_eq!(calls[0].1, calls[1].1);
}

/// What a crash, a full disk or somebody else leaves in place of a state file.
fn broken_states() -> [fn(&Path); 5] {
    [
        |path| fs::write(path, "").expect("state"),
        |path| fs::write(path, r#"{"name":"cbr0","ty"#).expect("state"),
        |path| fs::write(path, "[]").expect("state"),
        |path| fs::write(path, "{}").expect("state"),
        |path| std::os::unix::fs::symlink("/dev/zero", path).expect("link"),
    ]
}

#[test]
fn del_with_a_state_file_that_tells_nothing_releases_by_name_and_removes_it() {
    for (number, broken) in broken_states().iter().enumerate() {
        for subnet_env in [None, Some(SUBNET_ENV)] {
            let node = Node::new(subnet_env);
            fs::create_dir(node.root.path().join("state")).expect("directory");
            broken(&node.state("c1"));
            node.fail(true);
            node.call("DEL", "eth0", plain()).expect_err("it fails");
            assert_eq!(node.state_files(), ["c1"], "for the next DEL, {number}");
            node.fail(false);
            node.call("DEL", "eth0", plain()).expect("DEL");
            assert!(node.state_files().is_empty(), "{number}");
            let (command, netconf) = &node.calls()[1];
            assert_eq!(*command, "DEL");
            assert_eq!(netconf["name"], "n");
            assert_eq!(netconf["type"], "bridge");
            assert_eq!(netconf["ipMasq"], true);
            assert_eq!(netconf["ipam"]["type"], "host-local");
        }
    }
}

#[test]
fn a_state_file_that_tells_nothing_is_named_by_check_and_replaced_by_add() {
    let node = Node::new(Some(SUBNET_ENV));
    fs::create_dir(node.root.path().join("state")).expect("directory");
    fs::write(node.state("c1"), "{").expect("state");
    let error = node.call("CHECK", "eth0", plain()).expect_err("broken");
    let path = node.state("c1").display().to_string();
    assert!(
        error["msg"].as_str().expect("text").contains(&path),
        "{error}"
    );
    node.call("ADD", "eth0", plain()).expect("ADD");
    assert_eq!(node.state_files(), ["c1"]);
    node.call("CHECK", "eth0", plain()).expect("CHECK");
}

#[test]
fn gc_removes_state_files_that_tell_nothing_unless_they_are_of_a_valid_attachment() {
    for subnet_env in [None, Some(SUBNET_ENV)] {
        let node = Node::new(subnet_env);
        fs::create_dir(node.root.path().join("state")).expect("directory");
        for name in ["c1", "c2", "c3-eth0"] {
            fs::write(node.state(name), "").expect("state");
        }
        let valid = json!([{ "containerID": "c1", "ifname": "eth0" }]);
        let config = with(json!({ "cni.dev/valid-attachments": valid.clone() }));
        node.call("GC", "", config).expect("GC");
        assert_eq!(node.state_files(), ["c1"]);
        let calls = node.calls();
        assert_eq!(calls[0].0, "GC");
        assert_eq!(calls[0].1["cni.dev/valid-attachments"], valid);
    }
}

#[test]
fn gc_of_no_attachments_is_told_to_the_delegate_as_a_list() {
    let node = Node::new(Some(SUBNET_ENV));
    node.call("ADD", "eth0", plain()).expect("ADD");
    let null = with(json!({ "cni.dev/valid-attachments": null }));
    node.call("GC", "", null).expect("GC");
    for key in VALID_ATTACHMENTS {
        assert_eq!(node.calls()[1].1[key], json!([]));
    }
    assert!(node.state_files().is_empty());
}

#[test]
fn a_subnet_env_that_is_no_file_is_named_and_not_waited_for_ever() {
    let node = Node::new(None);
    let path = node.root.path().join("subnet.env");
    std::os::unix::fs::symlink("/dev/zero", &path).expect("link");
    let error = node.call("STATUS", "", plain()).expect_err("a device");
    let text = format!("{}: it is a device, not a regular file", path.display());
    assert!(
        error["msg"].as_str().expect("text").ends_with(&text),
        "{error}"
    );
}

#[test]
fn check_and_gc_reach_the_delegate() {
    let node = Node::new(Some(SUBNET_ENV));
    let previous = json!({ "cniVersion": "1.1.0", "ips": [] });
    node.call("ADD", "eth0", plain()).expect("ADD");
    let config = with(json!({ "prevResult": previous.clone() }));
    node.call("CHECK", "eth0", config.clone()).expect("CHECK");
    assert_eq!(node.calls()[1].1["prevResult"], previous);
    let keep = json!([{ "containerID": "c1", "ifname": "eth0" }]);
    node.call(
        "GC",
        "",
        with(json!({ "cni.dev/valid-attachments": keep.clone() })),
    )
    .expect("GC");
    assert_eq!(node.calls()[2].0, "GC");
    assert_eq!(node.calls()[2].1["cni.dev/valid-attachments"], keep);
    assert_eq!(node.state_files(), ["c1"]);
    node.call("GC", "", with(json!({ "cni.dev/valid-attachments": [] })))
        .expect("GC");
    assert!(node.state_files().is_empty());
    node.call("CHECK", "eth0", config)
        .expect_err("no attachment is left");
}

#[test]
fn status_is_unavailable_until_subnet_env_is_complete() {
    let node = Node::new(None);
    let error = node.call("STATUS", "", plain()).expect_err("no file");
    assert_eq!(error["code"], 50);
    assert!(
        error["msg"].as_str().expect("text").contains("subnet.env"),
        "{error}"
    );
    let path = node.root.path().join("subnet.env");
    fs::write(&path, "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_MTU=1450\n").expect("write");
    let error = node.call("STATUS", "", plain()).expect_err("half a file");
    assert_eq!(error["code"], 50);
    let text = error["msg"].as_str().expect("text");
    assert!(
        text.contains("FLANNEL_SUBNET") && text.contains("FLANNEL_IPMASQ"),
        "{text}"
    );
    fs::write(&path, SUBNET_ENV).expect("write");
    node.call("STATUS", "", plain()).expect("complete");
    assert_eq!(node.calls()[0].0, "STATUS");
    let nope = with(json!({ "delegate": { "type": "nope" } }));
    let error = node.call("STATUS", "", nope).expect_err("not installed");
    assert_eq!(error["code"], 50, "{error}");
    let wrong = || with(json!({ "delegate": { "type": "host-local" } }));
    for command in ["ADD", "STATUS"] {
        let error = node.call(command, "eth0", wrong());
        let error = error.expect_err("no interface plugin");
        assert_eq!(error["code"], 7, "{command}: {error}");
    }
    node.fail(true);
    let error = node
        .call("STATUS", "", plain())
        .expect_err("the delegate is not available");
    assert_eq!(error["code"], 42);
}

#[test]
fn status_of_vxlan_asks_for_the_device() {
    let Some(_world) = kernel::testing::World::new() else {
        return;
    };
    let mut node = Node::new(Some(SUBNET_ENV));
    node.plugin = SubnetPlugin::new("vxlan", Needs::VxlanDevice, "{}");
    let config = || with(json!({ "type": "vxlan" }));
    let error = node.call("STATUS", "", config()).expect_err("no device");
    assert_eq!(error["code"], 51);
    assert!(
        error["msg"]
            .as_str()
            .expect("text")
            .contains("flannel.<VNI>"),
        "{error}"
    );

    let name = "flannel.1".parse().expect("name");
    let vxlan = kernel::NewKind::Vxlan(kernel::Vxlan {
        vni: 1,
        port: 0,
        lower: None,
        local: None,
        learning: false,
        gbp: false,
        l2miss: false,
        group: None,
    });
    let vxlan = kernel::NewLink::new(&name, vxlan);
    let set = |up: bool| {
        let netlink = kernel::Netlink::open().expect("socket");
        if !up {
            return drop(netlink.add_link(&vxlan).expect("device"));
        }
        let link = netlink.link(&name).expect("look").expect("device");
        let change = kernel::LinkChange {
            up: Some(true),
            ..kernel::LinkChange::default()
        };
        netlink.set_link(link.index, &change).expect("device up");
    };
    set(false);
    let error = node
        .call("STATUS", "", config())
        .expect_err("device is down");
    assert!(
        error["msg"]
            .as_str()
            .expect("text")
            .contains("flannel.1 is down"),
        "{error}"
    );
    set(true);
    node.call("STATUS", "", config()).expect("device is up");
}

#[test]
fn bad_configurations_name_what_is_wrong() {
    let node = Node::new(Some(SUBNET_ENV));
    for (extra, text) in [
        (json!({ "delegate": { "type": 5 } }), "'type' field"),
        (
            json!({ "delegate": { "name": "x" } }),
            "must not have 'name'",
        ),
        (
            json!({ "delegate": { "ipam": {} } }),
            "must not have 'ipam'",
        ),
        (
            json!({ "ipam": { "routes": [{ "dst": "x" }] } }),
            "'ipam.routes'",
        ),
    ] {
        let error = node.call("ADD", "eth0", with(extra)).expect_err(text);
        assert_eq!(error["code"], 7, "{error}");
        assert!(
            error["msg"].as_str().expect("text").contains(text),
            "{error}"
        );
    }
    let error = node.call(
        "ADD",
        "eth0",
        with(json!({ "delegate": { "type": "nosuch" } })),
    );
    assert!(
        error.expect_err("no such plugin")["msg"]
            .as_str()
            .expect("text")
            .contains("nosuch")
    );
    assert!(node.state_files().is_empty(), "nothing is left behind");
    assert!(node.calls().is_empty());
}

#[test]
fn add_waits_for_a_starting_netd_and_not_for_ever() {
    let node = Node::new(None);
    let path = node.root.path().join("subnet.env");
    let writer = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(150));
        fs::write(path, SUBNET_ENV).expect("write");
    });
    node.call("ADD", "eth0", plain())
        .expect("the file comes in time");
    writer.join().expect("writer");

    let never = Node::new(None);
    let error = never
        .call("ADD", "eth0", plain())
        .expect_err("the file never comes");
    assert_eq!(error["code"], 11);
    assert!(
        error["msg"].as_str().expect("text").contains("subnet.env"),
        "{error}"
    );
    assert!(never.state_files().is_empty());
}

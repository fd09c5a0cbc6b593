//! What is remembered of attachments that have packet-filter rules: until the rules are gone, and as long
//! as nobody knows that the pod is.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{ffi::OsStr, fs, path::Path};

use serde_json::{Value, json};
use support::{
    Answer, Call, Node,
    chain::{Chain, Pod, state},
};

const RECORDS: &str = "/run/podwire/attachments";

/// Plugins with rules, by this backend.
fn chain(backend: &str) -> Chain {
    let ranges = json!([[{ "subnet": "10.22.0.0/24" }], [{ "subnet": "fd22::/64" }]]);
    Chain {
        name: "net",
        plugins: vec![
            json!({ "type": "bridge", "isDefaultGateway": true, "ipMasq": true,
                "ipMasqBackend": backend, "ipam": { "type": "host-local", "ranges": ranges } }),
            json!({ "type": "portmap", "backend": backend }),
            json!({ "type": "firewall", "backend": backend }),
        ],
    }
}

fn pod(node: &Node, name: &str, port: u16) -> Pod {
    node.world.pod(name);
    Pod {
        container: name.to_owned(),
        netns: format!("/run/netns/{name}"),
        port,
    }
}

fn sh(script: &str) -> Answer {
    let mut command = support::command(Path::new("/bin/sh"));
    support::answer(command.args(["-ec", script]).spawn().unwrap())
}

/// Runs a plugin in a process that may not change the network.
const POWERLESS: &str = "setpriv --bounding-set=-net_admin --inh-caps=-net_admin";

/// DEL of a plugin that a command runs.
fn del_by(node: &Node, by: &str, pod: &Pod, plugin: &Value, config: &str) -> Answer {
    Call {
        executable: &node.plugin_by(by, plugin["type"].as_str().unwrap()),
        command: "DEL",
        container: &pod.container,
        config,
        env: &[
            ("CNI_NETNS", OsStr::new(&pod.netns)),
            ("CNI_PATH", node.bin_dir.as_os_str()),
        ],
    }
    .run()
}

/// A configuration as it stands in a file.
fn bare(plugin: &Value) -> String {
    let mut config = plugin.clone();
    config["cniVersion"] = "1.0.0".into();
    config["name"] = "net".into();
    config.to_string()
}

/// The runtime that calls it again has lost the result and the ports.
#[test]
fn a_del_that_fails_forgets_nothing() {
    for backend in ["nftables", "iptables"] {
        let Some(node) = Node::new() else { return };
        let chain = chain(backend);
        let other = pod(&node, "other", 8081);
        chain.add(&node, &other).unwrap();
        let mine = pod(&node, "mine", 8080);
        let before = state();
        let result = chain.add(&node, &mine).unwrap();
        for plugin in chain.plugins.iter().rev() {
            let config = chain.config(plugin, &mine, Some(&result));
            let failed = del_by(&node, POWERLESS, &mine, plugin, &config);
            assert_eq!(failed.exit, Some(1), "{plugin}: {failed:?}");
        }
        for plugin in chain.plugins.iter().rev() {
            mine.call(&node, "DEL", plugin, &bare(plugin)).success();
        }
        assert_eq!(state(), before, "{backend}");
    }
}

/// `podwire repair` in another mount namespace, after this.
fn elsewhere(node: &Node, before: &str, command: &str) -> Answer {
    let podwire = node.plugin("podwire");
    let inner = format!("set -e; {before}; exec {} {command}", podwire.display());
    sh(&format!("unshare -m --propagation private sh -c '{inner}'"))
}

#[test]
fn a_pod_that_cannot_be_seen_may_live() {
    let Some(node) = Node::new() else { return };
    let mut chain = chain("nftables");
    chain.plugins[0]["macspoofchk"] = true.into();
    let one = pod(&node, "one", 8080);
    let result = chain.add(&node, &one).unwrap();
    let check = || chain.check(&node, &one, &result).len();
    for hidden in ["mount -t tmpfs none /run/netns", "umount /run/netns/one"] {
        let seen = elsewhere(&node, hidden, "repair");
        assert_eq!(
            (seen.exit, seen.stdout.as_str()),
            (Some(0), ""),
            "nothing is missing: {seen:?}"
        );
        sh("nft flush ruleset").success();
        assert_eq!(check(), 3);
        let seen = elsewhere(&node, hidden, "repair");
        assert_eq!((seen.exit, seen.stdout.as_str()), (Some(1), ""), "{seen:?}");
        let said = "cannot tell whether the pod at /run/netns/one lives";
        assert_eq!(seen.stderr.matches(said).count(), 4, "{seen:?}");
        let seen = elsewhere(&node, hidden, "gc --yes");
        assert_eq!(seen.stdout, "", "it may live: {seen:?}");
        assert_eq!(check(), 3);
        node.podwire(&["repair"]).success();
        assert_eq!(check(), 0, "{hidden}");
    }
    // GC of any network brings back what every plugin had made, also where it fails.
    for (plugin, ipam, exit) in [
        ("bridge", "", Some(0)),
        ("flannel", "", Some(0)),
        ("bridge", "missing", Some(1)),
    ] {
        sh("nft flush ruleset").success();
        let another = json!({ "cniVersion": "1.1.0", "name": "another", "type": plugin,
            "ipam": { "type": ipam }, "cni.dev/valid-attachments": [] });
        let gc = Call {
            executable: &node.plugin(plugin),
            command: "GC",
            container: "",
            config: &another.to_string(),
            env: &[("CNI_PATH", node.bin_dir.as_os_str())],
        };
        let answer = gc.run();
        assert_eq!(answer.exit, exit, "{plugin} {ipam}: {answer:?}");
        assert_eq!(check(), 0, "{plugin} {ipam}");
    }
}

/// The path was removed from the directory that it was in, whoever looks.
#[test]
fn a_pod_that_is_gone_is_so_in_every_mount_namespace() {
    let Some(node) = Node::new() else { return };
    let chain = chain("nftables");
    for from in ["here", "elsewhere"] {
        let one = pod(&node, "one", 8080);
        chain.add(&node, &one).unwrap();
        kernel::NetNs::remove(&one.netns).unwrap();
        match from {
            "here" => node.podwire(&["repair"]),
            _ => elsewhere(&node, "true", "repair"),
        }
        .success();
        let records = sh(&format!("find {RECORDS} -type f")).success();
        assert_eq!(records.stdout, "", "{from}");
        chain.del(&node, &one, None);
    }
}

/// Those of firewall are named by nothing but the record.
#[test]
fn rules_of_a_pod_that_is_gone_go_before_its_record() {
    let Some(node) = Node::new() else { return };
    let chain = chain("iptables");
    let rules = || sh("iptables-save; ip6tables-save").success().stdout;
    for cleaning in ["repair", "DEL"] {
        let one = pod(&node, "one", 8080);
        let result = chain.add(&node, &one).unwrap();
        let address = result["ips"][0]["address"].as_str().unwrap();
        let address = address.replace("/24", "/32");
        assert!(rules().contains(&address));
        kernel::NetNs::remove(&one.netns).unwrap();
        node.podwire(&["repair", "--dry-run"]).success();
        // Whoever restores what was flushed looks at all records.
        let other = pod(&node, "other", 8081);
        sh("nft delete table inet podwire_masquerade 2>/dev/null || true");
        chain.add(&node, &other).unwrap();
        match cleaning {
            "repair" => drop(node.podwire(&["repair"]).success()),
            _ => {
                for plugin in chain.plugins.iter().rev() {
                    one.call(&node, "DEL", plugin, &bare(plugin)).success();
                }
            }
        }
        assert!(!rules().contains(&address), "{cleaning}: {}", rules());
        chain.del(&node, &other, None);
        chain.del(&node, &one, None);
        kernel::NetNs::remove(&other.netns).unwrap();
    }
}

/// The first one's address is named by nothing but its record.
#[test]
fn a_bare_del_after_two_adds_removes_the_rules_of_both() {
    let Some(node) = Node::new() else { return };
    let chain = chain("iptables");
    let firewall = json!({ "type": "firewall", "backend": "iptables" });
    let one = pod(&node, "one", 8080);
    for address in ["10.22.0.5/24", "10.22.0.6/24"] {
        let result = json!({ "cniVersion": "1.0.0", "ips": [{ "address": address }] });
        let config = chain.config(&firewall, &one, Some(&result));
        one.call(&node, "ADD", &firewall, &config).success();
    }
    let rules = || sh("iptables-save").success().stdout;
    assert!(rules().contains("10.22.0.5/32") && rules().contains("10.22.0.6/32"));
    one.call(&node, "DEL", &firewall, &bare(&firewall))
        .success();
    assert!(!rules().contains("10.22.0."), "{}", rules());
}

/// It has the address of a former one, whose DEL comes late and from where no pod can be seen.
#[test]
fn a_pod_that_cannot_be_seen_keeps_its_address() {
    let Some(node) = Node::new() else { return };
    let firewall = json!({ "type": "firewall", "backend": "iptables" });
    let result = json!({ "cniVersion": "1.0.0", "ips": [{ "address": "10.22.0.5/24" }] });
    let chain = chain("iptables");
    let [former, now] = ["former", "now"].map(|name| {
        let pod = pod(&node, name, 8080);
        let config = chain.config(&firewall, &pod, Some(&result));
        pod.call(&node, "ADD", &firewall, &config).success();
        pod
    });
    let hidden = "unshare -m --propagation private /bin/sh -c \
                  'mount -t tmpfs none /run/netns; exec \"$0\"'";
    del_by(&node, hidden, &former, &firewall, &bare(&firewall)).success();
    let is_let_through = || sh("iptables-save").success().stdout.contains("10.22.0.5");
    assert!(is_let_through());
    now.call(&node, "DEL", &firewall, &bare(&firewall))
        .success();
    assert!(!is_let_through());
}

/// One call of portmap, for a port on one address, under strace; the messages that it reads.
fn reads(node: &Node, command: &str) -> usize {
    let config = json!({
        "cniVersion": "1.0.0", "name": "net", "type": "portmap",
        "runtimeConfig": { "portMappings": [
            { "hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "192.0.2.1" }
        ] },
        "prevResult": { "cniVersion": "1.0.0", "ips": [{ "address": "10.22.0.5/24" }] },
    });
    let trace = node.world.dir().join("trace");
    let traced = format!(
        "strace -f -qq -o {} -e trace=recvfrom,recvmsg -e signal=none",
        trace.display()
    );
    Call {
        executable: &node.plugin_by(&traced, "portmap"),
        command,
        container: "one",
        config: &config.to_string(),
        env: &[("CNI_NETNS", OsStr::new("/run/netns/one"))],
    }
    .run()
    .success();
    fs::read_to_string(&trace).unwrap().lines().count()
}

#[test]
fn a_mapping_on_one_address_costs_the_same_whatever_other_pods_have() {
    let Some(node) = Node::new() else { return };
    node.world.pod("one");
    let cost = || [reads(&node, "ADD"), reads(&node, "DEL")];
    cost();
    let alone = cost();
    let of_others: Vec<String> = (10_000..10_500)
        .map(|port| format!("192.0.2.1 . tcp . {port} comment \"another\" : 10.22.0.6 . 80"))
        .collect();
    let elements = of_others.join(", ");
    let set = "inet podwire_portmap addresses-v4";
    let file = node.world.dir().join("elements");
    fs::write(&file, format!("add element {set} {{ {elements} }}\n")).unwrap();
    sh(&format!("nft -f {}", file.display())).success();
    assert_eq!(cost(), alone);
}

//! `podwire gc`: what is left of pods that are gone goes, and nothing of any other.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{fs, path::Path};

use cni::runtime::{Chain, NetworkConfig, RuntimeConf};
use kernel::{NetNs, testing::is_installed};
use support::{Answer, Node, end, sh};

const CONFLIST: &str = r#"{"cniVersion": "1.0.0", "name": "podnet", "plugins": [{"type": "bridge",
    "isDefaultGateway": true, "ipMasq": true, "ipam": {"type": "host-local",
    "ranges": [[{"subnet": "10.22.0.0/24"}]]}}]}"#;

/// A runtime attaches a pod; its host link.
fn attach(node: &Node, conflist: &str, container: &str) -> String {
    node.world.pod(container);
    let conf = RuntimeConf {
        container_id: container.to_owned(),
        netns: format!("/run/netns/{container}"),
        cni_path: vec![node.bin_dir.clone()],
        ..RuntimeConf::default()
    };
    let chain = Chain::new(NetworkConfig::parse(conflist.as_bytes()).unwrap());
    chain.add(&conf).unwrap().interfaces[1].name.clone()
}

fn gc(node: &Node, arguments: &[&str]) -> Answer {
    let bin_dir = node.bin_dir.to_str().unwrap();
    let mut podwire = support::alone(Path::new(env!("CARGO_BIN_EXE_podwire")));
    podwire.args(["gc", "--bin-dir", bin_dir]).args(arguments);
    support::answer(podwire.spawn().unwrap())
}

/// Everything that a pod leaves: reservations, rules, links, cached results, records.
/// Not the state of links: a bridge notices by and by that its last port is gone.
fn traces() -> String {
    sh(
        "ls /var/lib/cni/networks/* /var/lib/cni/results /run/podwire/attachments/* 2>/dev/null || true; \
        grep -r . /var/lib/cni/networks || true; nft list ruleset; ip -br link | cut -d ' ' -f 1",
    )
}

#[test]
fn what_is_left_is_shown_and_goes_only_when_asked() {
    let Some(node) = Node::new() else { return };
    attach(&node, CONFLIST, "living");
    let before = traces();
    assert_eq!(gc(&node, &["--yes"]).success().stdout, "");
    let link = attach(&node, CONFLIST, "gone");
    end("gone", &link);
    let left = traces();
    assert!(
        left.contains("10.22.0.3") && left.contains("podnet-gone-eth0"),
        "{left}"
    );
    let shown = gc(&node, &[]).success();
    let line = "NETWORK  CONTAINER  INTERFACE  LEFT\n\
         podnet   gone       eth0       address 10.22.0.3, rules of masquerade, cached result\n";
    assert_eq!((shown.stdout.as_str(), shown.stderr.as_str()), (line, ""));
    assert_eq!(traces(), left);
    let removed = gc(&node, &["--yes"]).success();
    assert!(
        removed.stdout.ends_with("cached result  yes\n"),
        "{}",
        removed.stdout
    );
    let after = traces();
    assert!(
        !after.contains("gone") && !after.contains("10.22.0.3 comment"),
        "{after}"
    );
    // But for the address that was given last.
    let same = |text: &str| text.replace("reserved_ip.0:10.22.0.3", "reserved_ip.0:10.22.0.2");
    assert_eq!(same(&after), before);
    assert_eq!(gc(&node, &["--yes"]).success().stdout, "");
}

/// Nothing of a pod that lives goes, whatever else is lost of it.
#[test]
fn a_pod_that_lives_keeps_what_it_has() {
    for lost in [
        "rm -r /var/lib/cni/results",
        "rm -r /var/lib/cni/results /run/podwire/attachments",
        "rm -r /run/podwire/attachments; umount -l /run/netns/living; sed -i 's,netns/living,netns/none,' /var/lib/cni/results/*; \
         ip link | grep -q veth",
        "rm -r /var/lib/cni/results /run/podwire/attachments; ip link set $(ls /sys/class/net | grep veth) alias ''",
    ] {
        std::thread::scope(|scope| {
            let ran = scope.spawn(|| {
                let Some(node) = Node::new() else { return };
                attach(&node, CONFLIST, "living");
                // What holds the namespace when its path is gone.
                let _open = NetNs::open("/run/netns/living").unwrap();
                sh(lost);
                let before = traces();
                assert_eq!(gc(&node, &["--yes"]).success().stdout, "", "{lost}");
                assert_eq!(traces(), before, "{lost}");
            });
            if let Err(panic) = ran.join() {
                std::panic::resume_unwind(panic);
            }
        });
    }
}

/// Also what plugins made that today's configuration does not have.
#[test]
fn what_is_not_configured_any_more_goes_by_name() {
    let Some(node) = Node::new() else { return };
    let then = CONFLIST.replace(
        "}]}",
        r#"}, {"type": "bandwidth", "egressRate": 8000000, "egressBurst": 800000},
            {"type": "tuning", "sysctl": {"net.core.somaxconn": "100"}}]}"#,
    );
    for today in [None, Some(CONFLIST)] {
        let link = attach(&node, &then, "gone");
        end("gone", &link);
        sh("rm -r /var/lib/cni/results");
        if let Some(today) = today {
            fs::create_dir_all("/etc/cni/net.d").unwrap();
            fs::write("/etc/cni/net.d/10-podnet.conflist", today).unwrap();
        }
        let before = traces();
        for made in ["comment", "bwp"] {
            assert!(before.contains(made), "{made}: {before}");
        }
        gc(&node, &["--yes"]).success();
        let after = traces();
        for left in ["gone", "elements", "bwp"] {
            assert!(!after.contains(left), "{left}: {after}");
        }
        assert_eq!(sh("ls /run/cni/tuning"), "");
    }
}

#[test]
fn what_must_stay_or_cannot_go_is_told() {
    let Some(node) = Node::new() else { return };
    let keeping = CONFLIST.replace("\"podnet\",", "\"kept\", \"disableGC\": true,");
    let link = attach(&node, &keeping, "kept");
    end("kept", &link);
    let failing = CONFLIST
        .replace("podnet", "failing")
        .replace("10.22", "10.23")
        .replace("\"isDef", "\"bridge\": \"cni1\", \"isDef");
    let link = attach(&node, &failing, "failing");
    end("failing", &link);
    fs::remove_file(node.plugin("bridge")).unwrap();
    // A copy of its own, so that the plugins beside it are not found.
    let own = node.world.dir().join("podwire");
    fs::copy(env!("CARGO_BIN_EXE_podwire"), &own).unwrap();
    let before = traces();
    let mut command = support::alone(&own);
    let output = command
        .args(["gc", "--yes", "--bin-dir", node.bin_dir.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(
        lines[1].contains("failed to find plugin \"bridge\""),
        "{stdout}"
    );
    assert!(
        lines[2].ends_with("no: the network's configuration says disableGC"),
        "{stdout}"
    );
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "podwire: 2 of 2 attachments stay\n"
    );
    assert_eq!(traces(), before);
}

/// Debian's plugins made the pod; podwire's are there now.
#[test]
fn pods_of_the_reference_plugins_go_as_well() {
    let reference = "/usr/lib/cni";
    if !is_installed(format!("{reference}/bridge"), "containernetworking-plugins") {
        return;
    }
    let Some(node) = Node::new() else { return };
    node.world.pod("gone");
    let chain = Chain::new(NetworkConfig::parse(CONFLIST.as_bytes()).unwrap());
    let conf = RuntimeConf {
        container_id: "gone".to_owned(),
        netns: "/run/netns/gone".to_owned(),
        cni_path: vec![reference.into()],
        ..RuntimeConf::default()
    };
    let link = chain.add(&conf).unwrap().interfaces[1].name.clone();
    assert_eq!(gc(&node, &["--yes"]).success().stdout, "");
    end("gone", &link);
    gc(&node, &["--yes"]).success();
    let after = traces();
    assert!(
        !after.contains("gone") && !after.contains("CNI-"),
        "{after}"
    );
}

//! BIG TCP: the key `gsoMaxSize` of bridge and ptp, alone and below flannel.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use kernel::Netlink;
use serde_json::{Value, json};
use support::{Node, call, sh};

const SIZE: u32 = 196_608;

fn config(kind: &str, size: i64) -> String {
    json!({
        "cniVersion": "1.0.0", "name": "n", "type": kind, "gsoMaxSize": size,
        "ipam": {"type": "host-local", "dataDir": "/run/d", "ranges": [[{"subnet": "10.9.0.0/24"}]]},
    })
    .to_string()
}

fn with_prev_result(config: &str, added: &Value) -> String {
    let mut config: Value = serde_json::from_str(config).unwrap();
    config["prevResult"] = added.clone();
    config.to_string()
}

/// The sizes of both ends of the pod's pair, in the host and in the pod.
fn sizes() -> [Option<u32>; 2] {
    let pod = kernel::NetNs::open("/run/netns/pod").unwrap();
    [Netlink::open().unwrap(), Netlink::open_in(&pod).unwrap()].map(|netlink| {
        let links = netlink.links().unwrap();
        let end = links
            .iter()
            .find(|link| link.kind == kernel::LinkKind::Veth);
        end.unwrap().gso_max_size
    })
}

#[test]
fn both_ends_take_what_is_configured_and_check_finds_an_end_that_does_not() {
    let Some(node) = Node::new() else { return };
    let _pod = node.world.pod("pod");
    for kind in ["bridge", "ptp"] {
        let (plugin, large, plain) = (
            node.plugin(kind),
            config(kind, SIZE.into()),
            config(kind, 0),
        );
        call(&plugin, "ADD", "c", &plain).success();
        let [default, _] = sizes();
        assert!(default.unwrap() <= 65_536, "{default:?}");
        assert_eq!(sizes(), [default; 2], "{kind}");
        call(&plugin, "DEL", "c", &plain).success();

        let added = call(&plugin, "ADD", "c", &large).success().json();
        assert_eq!(sizes(), [Some(SIZE); 2], "{kind}");
        let check = with_prev_result(&large, &added);
        call(&plugin, "CHECK", "c", &check).success();
        sh("ip -n pod link set eth0 gso_max_size 65536");
        let (code, message) = call(&plugin, "CHECK", "c", &check).error();
        let expected = "Interface eth0 has a gso_max_size of 65536, not the configured 196608";
        assert_eq!((code, message.as_str()), (999, expected), "{kind}");
        call(&plugin, "DEL", "c", &large).success();
    }
}

#[test]
fn a_size_that_the_kernel_would_refuse_is_refused_before_anything_is_made() {
    let Some(node) = Node::new() else { return };
    let _pod = node.world.pod("pod");
    let links = || sh("ip -o link");
    let before = links();
    for kind in ["bridge", "ptp"] {
        for size in [-1, 1, 65_535, 524_281, 1 << 40] {
            let (code, message) = call(&node.plugin(kind), "ADD", "c", &config(kind, size)).error();
            assert_eq!(code, 7, "{kind} {size}: {message}");
            assert_eq!(
                message,
                format!("invalid gsoMaxSize {size} (must be 0 or from 65536 to 524280 bytes)")
            );
        }
    }
    assert_eq!(links(), before);
}

/// What comes by a tunnel is smaller, and what goes there is cut up by the processor.
#[test]
fn flannel_refuses_it_where_the_pod_network_has_a_tunnel() {
    let Some(node) = Node::new() else { return };
    let _pod = node.world.pod("pod");
    sh(
        "mkdir -p /run/flannel; printf 'FLANNEL_NETWORK=10.5.0.0/16\\nFLANNEL_SUBNET=10.5.72.1/24\\n\
        FLANNEL_MTU=1450\\nFLANNEL_IPMASQ=true\\n' >/run/flannel/subnet.env",
    );
    let config = |size: u32| {
        json!({
            "cniVersion": "1.1.0", "name": "n", "type": "flannel", "dataDir": "/run/state",
            "delegate": {"GsoMaxSize": size}, "ipam": {"dataDir": "/run/d"},
        })
        .to_string()
    };
    let plugin = node.plugin("flannel");
    call(&plugin, "STATUS", "c", &config(SIZE)).success();
    call(&plugin, "ADD", "c", &config(SIZE)).success();
    assert_eq!(sizes(), [Some(SIZE); 2]);
    call(&plugin, "DEL", "c", &config(SIZE)).success();

    sh("ip link add flannel.1 up type vxlan id 1 dstport 8472");
    let expected = "delegate.gsoMaxSize 196608 needs a pod network without a tunnel, such as host-gw's: \
                    flannel.1 takes 65536 bytes at once; leave the key out";
    for (verb, code) in [("ADD", 7), ("STATUS", 50)] {
        let answer = call(&plugin, verb, "c", &config(SIZE)).error();
        assert_eq!(answer, (code, expected.to_owned()), "{verb}");
    }
    call(&plugin, "ADD", "c", &config(65_536)).success();
    call(&plugin, "DEL", "c", &config(SIZE)).success();
}

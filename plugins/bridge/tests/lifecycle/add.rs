//! ADD that cannot work, and ADDs that meet.

use super::*;

#[test]
fn a_second_add_fails_and_leaves_the_first_alone() {
    let Some(host) = Host::new() else { return };
    let result = host.add(FULL);
    let before = state();
    let (code, message) = host.fail("ADD", FULL);
    assert_eq!(code, 999);
    let veth = result["interfaces"][1]["name"].as_str().unwrap();
    let expected =
        format!("container veth name (\"eth0\") peer provided (\"{veth}\") already exists");
    assert_eq!(message, expected);
    assert_eq!(state(), before);
    host.succeed("CHECK", &with_prev_result(FULL, &result));
}

#[test]
fn an_add_to_another_namespace_leaves_the_first_alone() {
    let Some(host) = Host::new() else { return };
    host.world.pod("other");
    host.add(FULL);
    let before = state();
    let (_, message) = host.fail_with("ADD", FULL, &[("CNI_NETNS", "/run/netns/other")]);
    assert!(
        message.contains("of this attachment already exists"),
        "{message}"
    );
    assert_eq!(state(), before);
}

#[test]
fn an_interface_that_the_pod_has_already_stays() {
    let Some(host) = Host::new() else { return };
    sh("ip -n pod link add eth0 type veth peer name eth0p");
    let before = state();
    let (_, message) = host.fail("ADD", PLAIN);
    assert!(
        message.starts_with("container veth name (\"eth0\") peer provided (\"veth"),
        "{message}"
    );
    assert_eq!(state(), before);
}

/// As dhcp does: it asks over the pod's link.
#[test]
fn an_ipam_plugin_from_elsewhere_finds_a_link_that_carries() {
    let Some(host) = Host::new() else { return };
    let elsewhere = host.world.dir().join("elsewhere");
    let elsewhere = elsewhere.to_str().unwrap();
    sh(&format!(
        "mkdir {elsewhere}; cat >{elsewhere}/asks-around <<'EOF'
#!/bin/sh
ip -o link show master cni0 >{elsewhere}/ports
echo '{{\"cniVersion\": \"1.1.0\", \"ips\": [{{\"address\": \"10.22.0.9/24\"}}]}}'
EOF
        chmod +x {elsewhere}/asks-around"
    ));
    let config = PLAIN.replace("host-local", "asks-around");
    host.add_with(&config, &[("CNI_PATH", elsewhere)]);
    let ports = sh(&format!("cat {elsewhere}/ports"));
    assert!(ports.contains(",UP"), "{ports}");
}

#[test]
fn a_failed_add_leaves_everything_as_it_was() {
    let full_range = PLAIN.replace("10.22.0.0/24", "10.22.0.0/30");
    for (config, changed, setup, message) in [
        (
            PLAIN,
            ("CNI_NETNS", "/run/netns/nope"),
            "true",
            "failed to open netns \"/run/netns/nope\": failed to Statfs \"/run/netns/nope\": no such file or directory",
        ),
        (
            PLAIN,
            ("CNI_NETNS", "/run/netns/plain"),
            "touch /run/netns/plain",
            "failed to open netns \"/run/netns/plain\": unknown FS magic on \"/run/netns/plain\": 1021994",
        ),
        (
            PLAIN,
            ("CNI_NETNS", "/proc/self/ns/ipc"),
            "true",
            "CNI_NETNS /proc/self/ns/ipc is an ipc namespace, not a network namespace",
        ),
        (
            PLAIN,
            ("CNI_ARGS", "FOO=bar"),
            "true",
            "ARGS: unknown args [\"FOO=bar\"]",
        ),
        (
            &PLAIN.replace("\"ipam\"", "\"mtu\": 20, \"ipam\""),
            ("X", ""),
            "true",
            "invalid mtu 20 (a veth pair takes from 68 to 65535 bytes)",
        ),
        (
            PLAIN,
            ("X", ""),
            "ip link add cni0 type veth peer name cni0p",
            "failed to create bridge \"cni0\": \"cni0\" already exists but is not a bridge",
        ),
        (
            PLAIN,
            ("X", ""),
            "ip link add cni0 address c2:11:22:00:00:01 type bridge; ip addr add 10.99.0.1/24 dev cni0; mkdir -p /var/lib/cni/networks/dbnet; touch /var/lib/cni/networks/dbnet/lock",
            "failed to set bridge addr: \"cni0\" already has an IP address different from 10.22.0.1/24",
        ),
        (
            &full_range,
            ("X", ""),
            "mkdir -p /var/lib/cni/networks/dbnet; printf other > /var/lib/cni/networks/dbnet/10.22.0.2; touch /var/lib/cni/networks/dbnet/lock",
            "failed to allocate for range 0: no IP addresses available in range set: 10.22.0.1-10.22.0.2",
        ),
        (
            &PLAIN.replace("host-local", "nope"),
            ("X", ""),
            "true",
            "failed to find plugin \"nope\" in path [",
        ),
        (
            &PLAIN.replace("host-local", "../x"),
            ("X", ""),
            "true",
            "invalid plugin name: ../x",
        ),
        (
            &PLAIN.replace("host-local", "static"),
            ("X", ""),
            "true",
            "IPAM plugin returned missing IP config",
        ),
        (
            &FULL.replace(
                "]]",
                "]], \"routes\": [{\"dst\": \"192.168.9.0/24\", \"gw\": \"172.31.0.1\"}]",
            ),
            ("X", ""),
            "mkdir -p /var/lib/cni/networks/dbnet; touch /var/lib/cni/networks/dbnet/lock",
            "failed to add route '{192.168.9.0 ffffff00} via 172.31.0.1 dev eth0 metric 0 (Scope: universe, Table: 0)': network is unreachable",
        ),
    ] {
        in_own_world(|host| {
            sh(setup);
            let before = state();
            let (code, seen) = host.fail_with("ADD", config, &[changed]);
            assert!(
                code == 999 && seen.starts_with(message),
                "{seen}\nexpected: {message}"
            );
            assert_eq!(without_empty_tables(&state()), before, "{message}");
        });
    }
}

/// Tables and base chains are shared and stay.
fn without_empty_tables(state: &str) -> String {
    let rules = state.find("table ").map_or(state.len(), |at| at);
    let files = state[rules..]
        .find("/var/lib")
        .map_or(state.len(), |at| rules + at);
    for trace in ["10.22.0", "2001:db8:22", "ctr1", "veth"] {
        assert!(
            !state[rules..files].contains(trace),
            "{}",
            &state[rules..files]
        );
    }
    format!("{}{}", &state[..rules], &state[files..])
}

#[test]
fn a_bridge_that_lost_its_ports_can_become_a_gateway() {
    let Some(host) = Host::new() else { return };
    sh("ip link add cni0 type bridge; ip link set cni0 up");
    host.add(LAYER_2);
    host.succeed("DEL", LAYER_2);
    assert!(portrait::network(None).contains("mac=00:00:00:00:00:00"));
    host.world.pod("two");
    let added = with_prev_result(PLAIN, &host.add(PLAIN));
    host.succeed("CHECK", &added);
    // It keeps its address when the port goes.
    let second = [("CNI_CONTAINERID", "ctr2"), ("CNI_NETNS", "/run/netns/two")];
    let result = host.add_with(PLAIN, &second);
    host.succeed("DEL", &added);
    host.succeed_with("CHECK", &with_prev_result(PLAIN, &result), &second);
}

/// Whatever the addresses of the ports are, and whoever has an address on the bridge.
#[test]
fn a_bridge_of_ours_keeps_its_mac_while_ports_come_and_go() {
    let Some(host) = Host::new() else { return };
    let first = host.add(LAYER_2)["interfaces"][0]["mac"].clone();
    for pod in ["two", "three", "four", "five", "six"] {
        host.world.pod(pod);
        let netns = format!("/run/netns/{pod}");
        let changed = [("CNI_CONTAINERID", pod), ("CNI_NETNS", netns.as_str())];
        let result = host.add_with(LAYER_2, &changed);
        assert_eq!(result["interfaces"][0]["mac"], first, "{pod} came");
    }
    sh(
        "ip link add low address 00:00:5e:00:00:01 type veth peer name lowp; ip link set low master cni0",
    );
    assert_eq!(ip("link show cni0")[0]["address"], first);
    host.succeed("DEL", LAYER_2);
    assert_eq!(ip("link show cni0")[0]["address"], first);
}

#[test]
fn a_bridge_without_a_free_port_is_said_to_be_one() {
    let Some(host) = Host::new() else { return };
    host.succeed("STATUS", PLAIN);
    sh("ip link add cni0 type bridge
        for i in $(seq 1023); do
            echo link add p$i type veth peer name q$i
            echo link set p$i master cni0
        done | ip -batch -");
    let before = names("veth");
    let full = "bridge cni0 has no free port (1023 in use)";
    assert_eq!(host.fail("ADD", PLAIN), (999, full.to_owned()));
    assert!(names("veth") == before && reserved().is_empty());
    assert_eq!(host.fail("STATUS", PLAIN), (50, full.to_owned()));
    sh("ip link del p7");
    host.succeed("STATUS", PLAIN);
    host.add(PLAIN);
}

/// Pods that come at once, some of which cannot be attached: those take back what they did while
/// the others go on.
#[test]
fn adds_at_the_same_time_do_not_disturb_each_other() {
    let bad = PLAIN.replace(
        "0/24\"",
        "0/24\", \"routes\": [{\"dst\": \"192.168.9.0/24\", \"gw\": \"172.31.0.1\"}]",
    );
    for _ in 0..5 {
        in_own_world(|host| {
            let pods: Vec<String> = (0..8).map(|pod| format!("pod{pod}")).collect();
            pods.iter().for_each(|pod| drop(host.world.pod(pod)));
            let added: Vec<(&String, Option<serde_json::Value>)> = std::thread::scope(|scope| {
                let running: Vec<_> = pods
                    .iter()
                    .enumerate()
                    .map(|(number, pod)| {
                        let config = if number % 3 == 0 { &bad } else { PLAIN };
                        let netns = format!("/run/netns/{pod}");
                        scope.spawn(move || {
                            let changed =
                                [("CNI_CONTAINERID", pod.as_str()), ("CNI_NETNS", &netns)];
                            let outcome = host.call_with("ADD", config, &changed);
                            assert_eq!(outcome.code != 0, number % 3 == 0, "{}", outcome.stdout);
                            let result = serde_json::from_str(&outcome.stdout).unwrap();
                            (pod, (outcome.code == 0).then_some(result))
                        })
                    })
                    .collect();
                running
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect()
            });
            for (pod, result) in &added {
                let Some(result) = result else { continue };
                let netns = format!("/run/netns/{pod}");
                let changed = [
                    ("CNI_CONTAINERID", pod.as_str()),
                    ("CNI_NETNS", netns.as_str()),
                ];
                host.succeed_with("CHECK", &with_prev_result(PLAIN, result), &changed);
                assert!(
                    succeeds(&format!("ip netns exec {pod} ping -c 1 -w 5 10.22.0.1")),
                    "{pod}"
                );
            }
            assert_eq!((names("veth").len(), reserved().len()), (5, 5));
        });
    }
}

#[test]
fn a_duplicate_address_is_detected_and_taken_back() {
    let Some(host) = Host::new() else { return };
    host.world.pod("two");
    let config = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "bridge", "enabledad": true, "ipam": {"type": "static", "addresses": [{"address": "2001:db8:22::5/64", "gateway": "2001:db8:22::1"}]}}"#;
    host.add(config);
    let before = state();
    let second = [("CNI_CONTAINERID", "ctr2"), ("CNI_NETNS", "/run/netns/two")];
    let (_, message) = host.fail_with("ADD", config, &second);
    assert_eq!(
        message,
        "link eth0 has address 2001:db8:22::5 in DADFAILED state"
    );
    assert_eq!(state(), before);
}

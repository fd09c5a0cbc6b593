//! What goes wrong, and what must be as before then; what others made.

#[allow(unreachable_pub, reason = "one module for several test programs")]
mod support;

use support::{Host, ip, portrait, run, sh, succeeds, with_prev_result};

const PLAIN: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "bridge", "isGateway": true, "ipam": {"type": "host-local", "subnet": "10.22.0.0/24"}}"#;
/// Everything that leaves traces on the host.
const FULL: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "bridge", "isDefaultGateway": true, "ipMasq": true, "macspoofchk": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "2001:db8:22::/64"}]]}}"#;
const LAYER_2: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "bridge"}"#;

/// Links, addresses, routes of host and pod, rules, reservations.
fn state() -> String {
    let reservations: String = portrait::files()
        .lines()
        .filter(|line| !line.contains("last_reserved_ip"))
        .map(|line| format!("{line}\n"))
        .collect();
    portrait::network(None) + &portrait::network(Some("pod")) + &portrait::rules() + &reservations
}

fn names(kind: &str) -> Vec<String> {
    let links = ip(&format!("link show type {kind}"));
    let name = |link: &serde_json::Value| link["ifname"].as_str().unwrap().to_owned();
    links.as_array().unwrap().iter().map(name).collect()
}

/// Addresses that are reserved.
fn reserved() -> Vec<String> {
    let files = portrait::files();
    let reservations = files.lines().filter(|line| line.contains("\\r\\n"));
    reservations
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

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
            ("CNI_ARGS", "FOO=bar"),
            "true",
            "ARGS: unknown args [\"FOO=bar\"]",
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

fn in_own_world(test: impl FnOnce(&Host) + Send) {
    std::thread::scope(|scope| {
        let ran = scope.spawn(|| Host::new().map(|host| test(&host))).join();
        if let Err(panic) = ran {
            std::panic::resume_unwind(panic);
        }
    });
}

/// How DEL is called after a good ADD, and what was done before.
const DEL_VARIANTS: &[(&str, &[(&str, &str)], bool)] = &[
    ("true", &[], true),
    ("true", &[], false),
    ("ip netns del pod", &[], true),
    ("ip netns del pod", &[], false),
    ("true", &[("CNI_NETNS", "")], true),
    ("true", &[("CNI_NETNS", "")], false),
    ("ip netns del pod; touch /run/netns/pod", &[], false),
    ("ip -n pod link del eth0", &[], true),
    ("ip -n pod link del eth0", &[], false),
    ("ip -n pod link set eth0 name renamed", &[], false),
    (
        "ip link set $(ip -br link show type veth | cut -d@ -f1) nomaster",
        &[],
        false,
    ),
    ("true", &[("CNI_ARGS", "FOO=bar")], false),
];

#[test]
fn del_leaves_nothing_however_it_is_called_and_can_be_repeated() {
    for backend in ["", r#""ipMasqBackend": "iptables", "#] {
        let config = FULL.replace(
            r#""ipMasq": true, "#,
            &format!(r#""ipMasq": true, {backend}"#),
        );
        for (setup, changed, with_result) in DEL_VARIANTS {
            in_own_world(|host| {
                let result = host.add(&config);
                sh(setup);
                let config = if *with_result {
                    with_prev_result(&config, &result)
                } else {
                    config.clone()
                };
                host.succeed_with("DEL", &config, changed);
                assert_eq!(names("veth"), Vec::<String>::new(), "{setup} {changed:?}");
                assert_eq!(reserved(), Vec::<String>::new(), "{setup} {changed:?}");
                assert_released(&format!("{setup} {changed:?}"));
                host.succeed_with("DEL", &config, changed);
            });
        }
    }
}

/// No rule of any packet filter names the attachment.
fn assert_released(what: &str) {
    let rules = portrait::rules();
    for trace in ["10.22.0.2", "2001:db8:22::2", "ctr1"] {
        assert!(!rules.contains(trace), "{what}: {trace} in\n{rules}");
    }
}

#[test]
fn del_without_add_makes_nothing_but_the_reservations_directory() {
    let Some(host) = Host::new() else { return };
    let before = portrait::network(None) + &portrait::rules();
    host.succeed("DEL", FULL);
    host.succeed("DEL", LAYER_2);
    assert_eq!(portrait::network(None) + &portrait::rules(), before);
}

#[test]
fn del_succeeds_with_a_configuration_that_add_refuses() {
    let Some(host) = Host::new() else { return };
    host.add(PLAIN);
    host.succeed(
        "DEL",
        &PLAIN.replace(r#""isGateway""#, r#""vlan": 9999, "mtu": "x", "isGateway""#),
    );
    assert_eq!((names("veth"), reserved()), (vec![], vec![]));
}

#[test]
fn del_reports_what_failed_and_releases_the_rest() {
    let Some(host) = Host::new() else { return };
    host.add(PLAIN);
    let (_, message) = host.fail("DEL", &PLAIN.replace("host-local", "nope"));
    assert!(
        message.starts_with("failed to find plugin \"nope\""),
        "{message}"
    );
    assert_eq!(names("veth"), Vec::<String>::new());
}

#[test]
fn a_foreign_link_with_the_computed_name_stays() {
    let Some(host) = Host::new() else { return };
    let usual = host.add(PLAIN)["interfaces"][1]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    host.succeed("DEL", PLAIN);
    sh(&format!("ip link add {usual} type veth peer name foreign"));
    let result = host.add(PLAIN);
    let other = result["interfaces"][1]["name"].as_str().unwrap();
    assert_ne!(other, usual);
    host.succeed("CHECK", &with_prev_result(PLAIN, &result));
    host.succeed("DEL", PLAIN);
    assert_eq!(names("veth").len(), 2, "{:?}", names("veth"));
    // The foreign link can go first as well.
    host.add(PLAIN);
    sh("ip link del foreign");
    host.succeed_with("DEL", PLAIN, &[("CNI_NETNS", "")]);
    assert_eq!(names("veth"), Vec::<String>::new());
}

#[test]
fn del_of_another_network_leaves_the_interface_alone() {
    let Some(host) = Host::new() else { return };
    host.add(PLAIN);
    host.succeed("DEL", &PLAIN.replace("dbnet", "other"));
    assert_eq!(names("veth").len(), 1);
}

#[test]
fn gc_removes_what_is_not_listed() {
    let Some(host) = Host::new() else { return };
    for pod in ["two", "three"] {
        host.world.pod(pod);
    }
    host.add(FULL);
    host.add_with(
        FULL,
        &[("CNI_CONTAINERID", "ctr2"), ("CNI_NETNS", "/run/netns/two")],
    );
    let another = FULL
        .replace("dbnet", "another")
        .replace("isDefaultGateway", "x");
    host.add_with(
        &another,
        &[
            ("CNI_CONTAINERID", "ctr3"),
            ("CNI_NETNS", "/run/netns/three"),
        ],
    );
    let before = state();
    host.succeed("GC", FULL);
    assert_eq!(state(), before, "a missing list says nothing");
    let listed =
        r#""cni.dev/valid-attachments": [{"containerID": "ctr2", "ifname": "eth0"}], "name""#;
    host.succeed("GC", &FULL.replace(r#""name""#, listed));
    let aliases = sh("ip -d link show type veth | grep alias | sort");
    let aliases: Vec<&str> = aliases.lines().map(str::trim).collect();
    assert_eq!(
        aliases,
        [
            "alias podwire:another/ctr3/eth0",
            "alias podwire:dbnet/ctr2/eth0"
        ]
    );
    assert_eq!(reserved().len(), 4, "{:?}", reserved());
    let rules = portrait::rules();
    assert!(
        !rules.contains("ctr1") && rules.contains("ctr2") && rules.contains("ctr3"),
        "{rules}"
    );
    host.succeed(
        "GC",
        &FULL.replace(r#""name""#, r#""cni.dev/valid-attachments": [], "name""#),
    );
    assert_eq!(names("veth").len(), 1);
}

#[test]
fn status_says_what_add_would_run_into() {
    let Some(host) = Host::new() else { return };
    host.succeed("STATUS", FULL);
    host.succeed("STATUS", LAYER_2);
    // Wrong values are ADD's business, as in the reference plugin.
    host.succeed(
        "STATUS",
        &LAYER_2.replace("\"type\"", "\"vlan\": 9999, \"type\""),
    );
    let code = |config: &str| host.fail("STATUS", config).0;
    assert_eq!(
        code(&LAYER_2.replace("\"type\"", "\"vlan\": 100, \"type\"")),
        50
    );
    assert_eq!(
        code(&FULL.replace(
            "ipMasq\": true",
            "ipMasq\": true, \"ipMasqBackend\": \"pf\""
        )),
        50
    );
    assert_eq!(code(&PLAIN.replace("host-local", "nope")), 999);
    sh("ip link add cni0 type veth peer name cni0p");
    let (code, message) = host.fail("STATUS", PLAIN);
    assert_eq!(code, 50);
    assert!(
        message.contains("\"cni0\" already exists but is not a bridge"),
        "{message}"
    );
}

/// What is broken, and what CHECK says.
#[test]
fn check_finds_what_is_different() {
    let veth = "$(ip -br link show type veth | cut -d@ -f1)";
    for (broken, message) in [
        ("true".to_owned(), ""),
        (
            "ip -n pod addr del 10.22.0.2/24 dev eth0".into(),
            "Failed to match addr 10.22.0.2/24 on interface eth0",
        ),
        (
            "ip -n pod route del default".into(),
            "Expected Route {Dst:{IP:0.0.0.0 Mask:00000000} GW:10.22.0.1 MTU:0 AdvMSS:0 Priority:0 Table:<nil> Scope:<nil>} not found in routing table",
        ),
        ("ip -n pod route replace default via 10.22.0.77".into(), ""),
        (
            "ip -n pod route del 10.22.0.0/24".into(),
            "Failed to find Gateway 10.22.0.1 for interface eth0",
        ),
        (
            "ip -n pod link set eth0 down".into(),
            "Failed to find Gateway 10.22.0.1 for interface eth0",
        ),
        (
            "ip -n pod link del eth0".into(),
            "Interface name eth0 not found",
        ),
        (
            "ip -n pod link set eth0 name ethx".into(),
            "Interface name eth0 not found",
        ),
        ("ip link del cni0".into(), "Interface name cni0 not found"),
        (
            "ip link set cni0 address c2:11:22:00:00:98".into(),
            "Bridge interface cni0 Mac doesn't match: ",
        ),
        (
            "ip link set cni0 promisc on".into(),
            "Bridge interface cni0 configured Promisc Mode false doesn't match current state: true ",
        ),
        (
            format!("ip link set {veth} nomaster"),
            "CNI veth created for bridge cni0 was not found",
        ),
        (format!("ip link set {veth} down"), "Host interface veth"),
        (
            format!("bridge link set dev {veth} hairpin on"),
            "Port veth",
        ),
        (
            format!("bridge link set dev {veth} isolated on"),
            "Port veth",
        ),
        ("nft flush ruleset".into(), "no masquerade of 10.22.0.2/24"),
        (
            "rm /var/lib/cni/networks/dbnet/10.22.0.2 /var/lib/cni/networks/dbnet/2001:*".into(),
            "host-local: Failed to find address added by container ctr1",
        ),
        (
            "ip -n pod link set eth0 address c2:11:22:00:00:99".into(),
            "Interface eth0 Mac ",
        ),
        ("nft flush table bridge nat".into(), "spoof"),
    ] {
        in_own_world(|host| {
            let config = with_prev_result(FULL, &host.add(FULL));
            sh(&broken);
            if message.is_empty() {
                return host.succeed("CHECK", &config);
            }
            let (code, seen) = host.fail("CHECK", &config);
            assert!(code == 999 && seen.contains(message), "{broken}: {seen}");
        });
    }
}

#[test]
fn check_judges_the_result_it_is_given() {
    in_own_world(|host| {
        let result = host.add(PLAIN);
        let changed = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut result = result.clone();
            change(&mut result);
            host.call("CHECK", &with_prev_result(PLAIN, &result)).stdout
        };
        let cases: [(&dyn Fn(&mut serde_json::Value), &str); 7] = [
            (
                &|result| drop(result["interfaces"].as_array_mut().unwrap().remove(0)),
                "Interface name missing ",
            ),
            (
                &|result| drop(result["interfaces"].as_array_mut().unwrap().remove(1)),
                "CNI veth created for bridge cni0 was not found",
            ),
            (
                &|result| drop(result["interfaces"].as_array_mut().unwrap().remove(2)),
                "Sandbox in prevResult  doesn't match configured netns: /run/netns/pod",
            ),
            (
                &|result| result["interfaces"][0]["sandbox"] = "/x".into(),
                "Interface cni0 should not be in sandbox",
            ),
            (
                &|result| result["ips"][0]["address"] = "10.22.0.9/24".into(),
                "Failed to match addr 10.22.0.9/24 on interface eth0",
            ),
            (&|result| result["interfaces"][2]["mac"] = "".into(), ""),
            (&|result| result["ips"][0]["interface"] = 0.into(), ""),
        ];
        for (change, message) in cases {
            let stdout = changed(change);
            assert!(
                stdout.contains(message) && stdout.is_empty() == message.is_empty(),
                "{stdout}"
            );
        }
        let (_, message) = host.fail("CHECK", PLAIN);
        assert_eq!(message, "Required prevResult missing");
    });
}

#[test]
fn a_layer_2_attachment_can_be_checked() {
    let Some(host) = Host::new() else { return };
    let config = LAYER_2.replace(
        "\"type\"",
        "\"hairpinMode\": true, \"macspoofchk\": true, \"type\"",
    );
    let result = host.add(&config);
    host.succeed("CHECK", &with_prev_result(&config, &result));
    sh("bridge link set dev $(ip -br link show type veth | cut -d@ -f1) hairpin off");
    host.fail("CHECK", &with_prev_result(&config, &result));
    host.succeed("DEL", &config);
}

#[test]
fn a_bridge_that_lost_its_ports_can_become_a_gateway() {
    let Some(host) = Host::new() else { return };
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
fn pods_reach_each_other_and_the_gateway() {
    let dual = FULL;
    let ipv4 = PLAIN;
    let ipv6 = PLAIN.replace("10.22.0.0/24", "2001:db8:22::/64");
    for (config, addresses) in [
        (ipv4, vec!["10.22.0.1", "10.22.0.3"]),
        (&ipv6, vec!["2001:db8:22::1", "2001:db8:22::3"]),
        (
            dual,
            vec!["10.22.0.1", "10.22.0.3", "2001:db8:22::1", "2001:db8:22::3"],
        ),
    ] {
        in_own_world(|host| {
            host.world.pod("two");
            host.add(config);
            host.add_with(
                config,
                &[("CNI_CONTAINERID", "ctr2"), ("CNI_NETNS", "/run/netns/two")],
            );
            for address in addresses {
                let ping = format!("ip netns exec pod ping -c 1 -i 0.2 -w 5 {address}");
                assert!(succeeds(&ping), "{address} does not answer");
            }
        });
    }
}

#[test]
fn isolated_ports_reach_the_gateway_only() {
    let Some(host) = Host::new() else { return };
    host.world.pod("two");
    let config = PLAIN.replace("isGateway", "portIsolation\": true, \"isGateway");
    host.add(&config);
    host.add_with(
        &config,
        &[("CNI_CONTAINERID", "ctr2"), ("CNI_NETNS", "/run/netns/two")],
    );
    assert!(succeeds("ip netns exec pod ping -c 1 -w 5 10.22.0.1"));
    assert!(!succeeds("ip netns exec pod ping -c 1 -w 1 10.22.0.3"));
}

#[test]
fn a_spoofed_mac_address_gets_nowhere() {
    let Some(host) = Host::new() else { return };
    host.add(FULL);
    assert!(succeeds("ip netns exec pod ping -c 1 -w 5 10.22.0.1"));
    sh("ip -n pod link set eth0 address c2:11:22:00:00:99");
    assert!(!succeeds("ip netns exec pod ping -c 1 -w 1 10.22.0.1"));
}

#[test]
fn masqueraded_packets_leave_with_the_hosts_address() {
    for backend in ["nftables", "iptables"] {
        in_own_world(|host| {
            host.world.pod("outside");
            // The outside knows the host's address only.
            sh(
                "ip link add up0 type veth peer name out0 netns outside; ip addr add 192.0.2.1/24 dev up0; ip link set up0 up; ip -n outside addr add 192.0.2.2/24 dev out0; ip -n outside link set out0 up",
            );
            let config = FULL.replace(
                "\"ipMasq\"",
                &format!("\"ipMasqBackend\": \"{backend}\", \"ipMasq\""),
            );
            let without = config.replace("\"ipMasq\": true", "\"ipMasq\": false");
            host.add(&without);
            assert!(!succeeds("ip netns exec pod ping -c 1 -w 1 192.0.2.2"));
            host.succeed("DEL", &without);
            host.add(&config);
            assert!(
                succeeds("ip netns exec pod ping -c 1 -w 5 192.0.2.2"),
                "{backend}"
            );
        });
    }
}

/// The reference plugins as Debian packages them.
const REFERENCE: &str = "/usr/lib/cni/bridge";

/// Before 1.1.0: the packaged reference knows nothing newer.
fn reference_config(backend: &str) -> String {
    FULL.replace("1.1.0", "1.0.0").replace(
        "\"ipMasq\"",
        &format!("\"ipMasqBackend\": \"{backend}\", \"ipMasq\""),
    )
}

#[test]
fn pods_of_the_reference_plugin_are_checked_and_removed() {
    if !std::path::Path::new(REFERENCE).exists() {
        return eprintln!("skipped: no {REFERENCE}");
    }
    for (setup, changed, with_result) in DEL_VARIANTS {
        in_own_world(|host| {
            let config = reference_config("iptables");
            let (added, stdout) = host.execute(REFERENCE.as_ref(), "ADD", &config);
            assert!(added, "{stdout}");
            let result = serde_json::from_str(&stdout).unwrap();
            host.succeed("CHECK", &with_prev_result(&config, &result));
            sh(setup);
            let config = if *with_result {
                with_prev_result(&config, &result)
            } else {
                config
            };
            host.succeed_with("DEL", &config, changed);
            let renamed = setup.contains("renamed");
            let unknown = changed.contains(&("CNI_NETNS", "")) && !with_result;
            // The kernel removes a deleted namespace's links in its own time.
            for _ in 0..100 {
                if !setup.contains("netns del") || names("veth").is_empty() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            // Random name, no alias, no namespace, no result: nothing says whose it is.
            assert_eq!(
                names("veth").is_empty(),
                !renamed && !unknown,
                "{setup} {changed:?}"
            );
            assert_eq!(reserved(), Vec::<String>::new(), "{setup} {changed:?}");
            assert_released(&format!("{setup} {changed:?}"));
        });
    }
}

#[test]
fn the_reference_plugin_checks_and_removes_ours() {
    if !std::path::Path::new(REFERENCE).exists() {
        return eprintln!("skipped: no {REFERENCE}");
    }
    let Some(host) = Host::new() else { return };
    // Its packaged version masquerades with iptables only.
    let config = reference_config("iptables");
    let config = with_prev_result(&config, &host.add(&config));
    for command in ["CHECK", "DEL", "DEL"] {
        let (succeeded, stdout) = host.execute(REFERENCE.as_ref(), command, &config);
        assert!(succeeded, "{command}: {stdout}");
    }
    assert_eq!((names("veth"), reserved()), (vec![], vec![]));
    assert_released("DEL of the reference");
    host.succeed("DEL", &config);
    drop(run("true", &[]));
}

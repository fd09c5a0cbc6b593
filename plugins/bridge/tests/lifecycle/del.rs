//! DEL, however it is called.

use super::*;

/// What is done first, variables of DEL that are changed, whether it gets `prevResult`.
type Variant = (&'static str, &'static [(&'static str, &'static str)], bool);

/// How DEL is called after a good ADD, and what was done before.
pub(crate) const DEL_VARIANTS: &[Variant] = &[
    ("true", &[], true),
    ("true", &[], false),
    ("ip netns del pod", &[], true),
    ("ip netns del pod", &[], false),
    ("true", &[("CNI_NETNS", "")], true),
    ("true", &[("CNI_NETNS", "")], false),
    ("true", &[("CNI_NETNS", "/proc/self/ns/ipc")], true),
    ("true", &[("CNI_NETNS", "/proc/self/ns/ipc")], false),
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

/// As after a reboot, when `/proc/PID/ns/net` has come to be the host's own.
#[test]
fn del_with_the_own_namespace_releases_by_name_and_touches_no_link_of_the_host() {
    let own = [("CNI_NETNS", "/proc/thread-self/ns/net")];
    for with_result in [false, true] {
        in_own_world(|host| {
            let result = host.add(FULL);
            sh("ip link add eth0 type veth peer name uplink; ip netns del pod");
            let config = match with_result {
                true => with_prev_result(FULL, &result),
                false => FULL.to_owned(),
            };
            for command in ["ADD", "CHECK"] {
                assert_eq!(host.fail_with(command, &config, &own).0, 8, "{command}");
            }
            host.succeed_with("DEL", &config, &own);
            assert_eq!(names("veth").len(), 2, "eth0 and its other end");
            assert_eq!(reserved(), Vec::<String>::new());
            assert_released("the own namespace");
        });
    }
}

#[test]
fn an_interface_plugin_in_place_of_ipam_is_refused_by_every_command() {
    let Some(host) = Host::new() else { return };
    let before = portrait::network(None) + &portrait::rules();
    let config = FULL.replace("host-local", "bridge");
    for command in ["ADD", "CHECK", "DEL", "GC", "STATUS"] {
        let (code, message) = host.fail(command, &config);
        assert_eq!(code, 7, "{command}: {message}");
        let text = "plugin \"bridge\" is an interface plugin: an IPAM plugin is wanted";
        assert!(message.contains(text), "{command}: {message}");
    }
    assert_eq!(before, portrait::network(None) + &portrait::rules());
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
fn del_with_an_unreadable_switch_takes_it_for_on() {
    let Some(host) = Host::new() else { return };
    host.add(FULL);
    let wrong = FULL.replace(r#""macspoofchk": true"#, r#""macspoofchk": "x""#);
    assert_ne!(wrong, FULL);
    host.succeed("DEL", &wrong);
    assert_released("macspoofchk is no boolean");
}

/// A key that is wrong hides no other.
#[test]
fn del_with_an_unreadable_ip_masq_names_it_and_releases_everything() {
    let Some(host) = Host::new() else { return };
    host.add(FULL);
    let wrong = FULL.replace(r#""ipMasq": true"#, r#""ipMasq": "yes""#);
    assert_ne!(wrong, FULL);
    let (_, message) = host.fail("DEL", &wrong);
    assert!(message.contains("ipMasq"), "{message}");
    assert_eq!((names("veth"), reserved()), (vec![], vec![]));
    assert_released("ipMasq is no boolean");
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
fn a_pair_that_was_cut_off_before_it_got_its_alias_goes() {
    let Some(host) = Host::new() else { return };
    host.add(PLAIN);
    let left = names("veth").remove(0);
    sh(&format!("ip link set {left} alias ''"));
    host.succeed_with("DEL", PLAIN, &[("CNI_NETNS", "")]);
    assert_eq!((names("veth"), reserved()), (vec![], vec![]));
}

#[test]
fn del_of_another_network_leaves_the_interface_alone() {
    let Some(host) = Host::new() else { return };
    host.add(PLAIN);
    host.succeed("DEL", &PLAIN.replace("dbnet", "other"));
    assert_eq!(names("veth").len(), 1);
}

#[test]
fn one_of_two_interfaces_goes_and_the_other_works_on() {
    for backend in ["nftables", "iptables"] {
        in_own_world(|host| {
            let config = FULL.replace(
                r#""ipMasq""#,
                &format!(r#""ipMasqBackend": "{backend}", "ipMasq""#),
            );
            let first = host.add(&config);
            let second = [("CNI_IFNAME", "net1")];
            let plain = config.replace("isDefaultGateway", "isGateway");
            let result = host.add_with(&plain, &second);
            host.succeed_with("DEL", &with_prev_result(&plain, &result), &second);
            host.succeed("CHECK", &with_prev_result(&config, &first));
            host.succeed("DEL", &with_prev_result(&config, &first));
            assert_eq!((names("veth"), reserved()), (vec![], vec![]), "{backend}");
            assert_released(backend);
        });
    }
}

/// Pairs of the reference plugin have random names and no alias: only the result tells them apart.
#[test]
fn a_recycled_path_takes_no_pair_but_the_one_of_the_result() {
    let Some(host) = Host::new() else { return };
    sh("ip netns add before");
    for (name, ns) in [("vethbefore", "before"), ("vethnow", "pod")] {
        sh(&format!(
            "ip link add {name} type veth peer name eth0 netns {ns}"
        ));
    }
    let result_with = |name: &str| {
        let mac = &ip(&format!("link show {name}"))[0]["address"];
        let interfaces = serde_json::json!([{"name": "cni0"}, {"name": name, "mac": mac}]);
        let result = serde_json::json!({"cniVersion": "1.0.0", "interfaces": interfaces});
        with_prev_result(PLAIN, &result)
    };
    let (before, now) = (result_with("vethbefore"), result_with("vethnow"));
    host.succeed("DEL", &before);
    assert_eq!(names("veth"), ["vethnow"]);
    host.succeed("DEL", &before);
    assert_eq!(names("veth"), ["vethnow"]);
    host.succeed("DEL", &now);
    assert_eq!(names("veth"), Vec::<String>::new());
}

//! What goes wrong, and what must be as before then; what others do to the device.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use harness::{portrait, sh, steps, with_prev_result};
use kernel::{
    NetNs, Netlink,
    link::{Arrival, move_link},
};

type Host = harness::Host<host_device::HostDevice>;

const PLAIN: &str =
    r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "host-device", "device": "m0"}"#;
const FULL: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "host-device", "device": "m0", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "2001:db8:22::/64"}]], "routes": [{"dst": "0.0.0.0/0"}]}}"#;
const MAC: &str = "c2:11:22:00:00:0a";
/// The device, and what an ADD that fails must give back to it.
const DEVICE: &str = "ip link add m0 address c2:11:22:00:00:0a type veth peer name m1; \
    ip link set m1 up; ip link set m0 up alias uplink; \
    ip addr add 10.50.0.2/24 broadcast + dev m0; ip addr add 2001:db8:50::2/64 dev m0 nodad; \
    ip route add 10.51.0.0/16 via 10.50.0.1; ip route add 10.52.0.0/16 dev m0 table 77";

fn with_device() -> Option<Host> {
    let host = Host::new()?;
    sh("sysctl -qw net.ipv6.conf.default.accept_dad=0; ip link add br0 type bridge");
    sh(DEVICE);
    Some(host)
}

fn in_own_world(test: impl FnOnce(&Host) + Send) {
    harness::in_own_world(with_device, test)
}

/// Links, addresses, routes of host and pod. The kernel tells a carrier later than its cause.
fn network() -> String {
    let look = || portrait::network(None) + &portrait::network(Some("pod"));
    // A pair's other end that is down (M-DOWN) is down for good.
    let waits = |line: &str| line.contains("LOWERLAYERDOWN") && !line.contains("M-DOWN");
    let settled = |seen: &String| !seen.lines().any(waits);
    let mut seen = look();
    for _ in 0..6000 {
        if settled(&seen) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        seen = look();
    }
    seen
}

fn reservations() -> usize {
    portrait::files().matches("\\r\\n").count()
}

/// With other words in place of `"device": "m0"`.
fn selected(config: &str, by: &str) -> String {
    config.replace(r#""device": "m0""#, by)
}

/// What DEL leaves on the host.
fn assert_back(what: &str) {
    let seen = portrait::network(None);
    let line = seen.lines().find(|line| line.starts_with("m0:"));
    let line = line.unwrap_or_else(|| panic!("{what}: no m0 in\n{seen}"));
    assert!(
        line.contains(MAC) && line.contains("flags=- ") && !line.contains("alias="),
        "{what}: {line}"
    );
    assert_eq!(portrait::network(Some("pod")), "", "{what}");
    assert_eq!(reservations(), 0, "{what}");
}

#[test]
fn a_device_comes_and_goes() {
    for config in [PLAIN, FULL] {
        in_own_world(|host| {
            let added = with_prev_result(config, &host.add(config));
            host.succeed("CHECK", &added);
            assert!(portrait::network(Some("pod")).contains("alias=m0"));
            host.succeed("DEL", &added);
            assert_back(config);
            host.succeed("DEL", &added);
            assert_back(config);
        });
    }
}

#[test]
fn a_failed_add_leaves_the_device_as_it_was() {
    for (config, setup, message) in [
        (
            PLAIN.replace("m0", "m7"),
            "true",
            "failed to find host device: Link not found",
        ),
        (
            PLAIN.to_owned(),
            "ip -n pod link add eth0 type veth peer name eth0p",
            "failed to move link failed to move \"eth0\" (host: \"m0\") to container NS: file exists",
        ),
        (
            FULL.replace(
                "{\"dst\": \"0.0.0.0/0\"}",
                "{\"dst\": \"192.168.9.0/24\", \"gw\": \"172.31.0.1\"}",
            ),
            "true",
            "failed to add route '{192.168.9.0 ffffff00} via 172.31.0.1 dev eth0",
        ),
        (
            FULL.replace("10.22.0.0/24", "10.22.0.0/31"),
            "ip link set m0 master br0",
            "invalid range set 0: Network 10.22.0.0/31 too small",
        ),
        (
            selected(PLAIN, r#""x": 0"#),
            "true",
            "specify either \"device\"",
        ),
        (
            selected(PLAIN, r#""hwaddr": "zz""#),
            "true",
            "failed to find host device: failed to parse MAC address \"zz\": address zz: invalid MAC address",
        ),
        (
            selected(PLAIN, r#""hwaddr": "02:00:00:00:00:ee""#),
            "true",
            "failed to find host device: failed to find physical interface",
        ),
        (
            selected(PLAIN, r#""kernelpath": "/sys/devices/virtual/net/m0""#),
            "true",
            "failed to find host device: failed to read directory /sys/devices/virtual/net/m0/net: no such file or directory",
        ),
        (
            selected(PLAIN, r#""pciBusID": "0000:99:00.0""#),
            "true",
            "error with host device: lstat /sys/bus/pci/devices/0000:99:00.0: no such file or directory",
        ),
        (
            selected(PLAIN, r#""runtimeConfig": {"deviceID": "../x"}"#),
            "true",
            "runtime config DeviceID ../x not found or unsupported",
        ),
    ] {
        in_own_world(|host| {
            sh(setup);
            let before = network();
            let (code, seen) = host.fail("ADD", &config);
            assert!(
                code == 999 && seen.starts_with(message),
                "{seen}\nexpected: {message}"
            );
            assert_eq!(network(), before, "{message}");
            assert_eq!(reservations(), 0, "{message}");
            host.succeed("DEL", &PLAIN.replace("m0", "m7"));
            assert_eq!(network(), before, "{message}");
        });
    }
}

#[test]
fn check_finds_what_is_damaged() {
    for (damage, message) in [
        (
            "ip -n pod addr flush dev eth0",
            "Failed to match addr 10.22.0.2/24",
        ),
        (
            "ip -n pod link set eth0 down",
            "Failed to find Gateway 10.22.0.1",
        ),
        (
            "ip -n pod link set eth0 address c2:11:22:00:00:99",
            "Interface eth0 Mac ",
        ),
        (
            "ip -n pod link set eth0 alias ''",
            "Interface eth0 has the alias \"\"",
        ),
        (
            "ip -n pod link set eth0 down; ip -n pod link set eth0 name lan",
            "Interface name eth0 not found",
        ),
    ] {
        in_own_world(|host| host.notices(FULL, damage, message));
    }
    in_own_world(|host| {
        let added = with_prev_result(PLAIN, &host.add(PLAIN));
        sh("ip -n pod link set eth0 down");
        assert_eq!(host.fail("CHECK", &added).1, "Interface eth0 is down");
    });
}

/// What the kernel does with hardware when its namespace ends: it comes to the host with its name of
/// the pod, or one made of its index, and keeps its alias.
fn fall_back(numbered: bool) {
    let (host, pod) = (
        NetNs::current().unwrap(),
        NetNs::open("/run/netns/pod").unwrap(),
    );
    let eth0 = "eth0".parse().unwrap();
    let link = Netlink::open_in(&pod)
        .unwrap()
        .link(&eth0)
        .unwrap()
        .unwrap();
    let there = |name| Arrival {
        ns: &host,
        name,
        alias: link.alias.as_deref().unwrap(),
        up: false,
    };
    let back = move_link(&pod, &link, there(&eth0)).unwrap();
    if numbered {
        sh(&format!("ip link set eth0 name dev{}", back.index));
    }
}

const GONE: [(&str, &str); 1] = [("CNI_NETNS", "/run/netns/gone")];

/// However the device is named in the configuration, and whatever became of it.
#[test]
fn del_finds_the_device_wherever_it_is() {
    // What else the pod and the host have is nobody's: an alias that is no name, and one that is.
    let others = "ip -n pod link add a0 type veth peer name a1; ip -n pod link set a0 alias 'x y'; \
        ip link add b0 type veth peer name b1; ip link set b0 alias b7; ip link set br0 alias m7";
    for by in [
        r#""device": "m0""#,
        r#""device": "uplink0""#,
        r#""hwaddr": "C2:11:22:00:00:0A""#,
    ] {
        for change in ["", "renamed", "fell back", "numbered"] {
            in_own_world(|host| {
                sh("ip link property add dev m0 altname uplink0");
                let config = selected(FULL, by);
                let added = with_prev_result(&config, &host.add(&config));
                sh(others);
                match change {
                    "" => host.succeed("DEL", &added),
                    "renamed" => {
                        sh("ip -n pod link set eth0 down; ip -n pod link set eth0 name lan");
                        host.succeed("DEL", &added);
                    }
                    _ => {
                        fall_back(change == "numbered");
                        host.succeed_with("DEL", &added, &GONE);
                    }
                }
                sh("ip -n pod link del a0");
                let seen = portrait::network(None);
                for kept in ["b0:", "alias=b7", "br0:", "alias=m7"] {
                    assert!(seen.contains(kept), "{by} {change}: {kept} in\n{seen}");
                }
                assert_back(&format!("{by} {change}"));
            });
        }
    }
}

/// A key that is wrong hides no other, and the device is known by its alias.
#[test]
fn del_with_an_unreadable_key_names_it_and_releases_everything() {
    in_own_world(|host| {
        host.add(FULL);
        assert_ne!(reservations(), 0);
        let wrong = selected(FULL, r#""device": 5"#);
        let (_, message) = host.fail("DEL", &wrong);
        assert!(message.contains("device"), "{message}");
        assert_eq!(reservations(), 0);
        assert_back("device is no string");
    });
}

#[test]
fn del_leaves_what_is_not_the_attachments() {
    for (config, there) in [
        // Another device of the same name in the pod.
        (
            PLAIN.to_owned(),
            "ip -n pod link add eth0 address 02:00:00:00:00:99 type veth peer name p1; ip -n pod link set eth0 alias m9",
        ),
        // An interface of another plugin.
        (
            selected(PLAIN, r#""hwaddr": "02:00:00:00:00:99""#),
            "ip -n pod link add eth0 address 02:00:00:00:00:99 type veth peer name p1; ip -n pod link set eth0 alias podwire:dbnet/ctr1/eth0",
        ),
        // Another card's link, by its MAC address.
        (
            selected(PLAIN, r#""hwaddr": "02:00:00:00:00:98""#),
            "ip -n pod link add eth0 address 02:00:00:00:00:99 type veth peer name p1; ip -n pod link set eth0 alias m9",
        ),
        // The administrator's alias of the host's own links.
        (
            selected(PLAIN, r#""hwaddr": "C2:11:22:00:00:0A""#),
            "ip link set m0 alias lan",
        ),
        (PLAIN.to_owned(), "ip link set m0 alias m0"),
    ] {
        in_own_world(|host| {
            sh(there);
            let before = network();
            for _ in 0..2 {
                host.succeed("DEL", &config);
                assert_eq!(network(), before, "{there}");
            }
        });
    }
}

/// The link of the host that has the device's MAC address; it must be as DEL leaves it.
fn name_of_what_is_back(what: &str) -> String {
    let seen = portrait::network(None);
    let mut back = seen.lines().filter(|line| line.contains(MAC));
    let (Some(line), None) = (back.next(), back.next()) else {
        panic!("{what}: not one link {MAC} in\n{seen}");
    };
    let is_settled = line.contains("flags=- ") && !line.contains("alias=");
    assert!(is_settled, "{what}: {line}");
    line.split(':').next().unwrap().to_owned()
}

/// The device's name on the host has another link by now: the pod goes all the same, and the device
/// has a name that is free.
#[test]
fn a_name_that_is_taken_on_the_host_keeps_no_device() {
    for change in ["", "fell back", "numbered"] {
        in_own_world(|host| {
            let added = with_prev_result(FULL, &host.add(FULL));
            sh("ip link add m0 type veth peer name m9");
            let other = portrait::network(None);
            let other = other.lines().find(|line| line.starts_with("m0:")).unwrap();
            let env = match change {
                "" => &[][..],
                _ => {
                    fall_back(change == "numbered");
                    &GONE
                }
            };
            for _ in 0..2 {
                host.succeed_with("DEL", &added, env);
                let name = name_of_what_is_back(change);
                assert!(name.starts_with("dev"), "{change}: {name}");
                assert!(portrait::network(None).contains(other), "{change}: {other}");
                assert_eq!(reservations(), 0, "{change}");
            }
            // An ADD by another name of the device's finds it.
            let config = selected(FULL, r#""hwaddr": "C2:11:22:00:00:0A""#);
            host.add(&config);
            host.succeed("DEL", &config);
        });
    }
}

/// The first names that would be tried have other links.
#[test]
fn a_spare_name_may_be_taken_too() {
    let Some(host) = with_device() else { return };
    let added = with_prev_result(FULL, &host.add(FULL));
    let index = {
        let pod = NetNs::open("/run/netns/pod").unwrap();
        let pod = Netlink::open_in(&pod).unwrap();
        pod.link(&"eth0".parse().unwrap()).unwrap().unwrap().index.0
    };
    sh("ip link add m0 type veth peer name m9");
    for taken in index..index + 15 {
        sh(&format!("ip link add dev{taken} type bridge"));
    }
    let taken = format!("dev{}", index + 15);
    sh(&format!("ip link add {taken} type bridge"));
    let (_, message) = host.fail("DEL", &added);
    assert_eq!(
        message,
        "failed to move \"eth0\" back to the host as \"m0\": file exists"
    );
    assert_eq!(reservations(), 2);
    host.succeed("CHECK", &added);
    sh(&format!("ip link del {taken}"));
    host.succeed("DEL", &added);
    assert_eq!(name_of_what_is_back("the last of the names"), taken);
}

/// Programs in the pod write aliases as they like; MAC address and result tell whose the link is.
#[test]
fn del_gives_back_a_device_whose_alias_the_pod_changed() {
    let with_a_bridge_on_it = "ip -n pod link add b0 address c2:11:22:00:00:0a type bridge; \
        ip -n pod link set eth0 master b0; ip -n pod link set eth0 alias ''";
    for (by, damage, is_named) in [
        (
            r#""device": "m0""#,
            "ip -n pod link set eth0 alias ''",
            true,
        ),
        (
            r#""device": "m0""#,
            "ip -n pod link set eth0 alias 'to the lan'",
            true,
        ),
        (
            r#""device": "m0""#,
            "ip -n pod link set eth0 alias lan",
            true,
        ),
        (r#""device": "m0""#, with_a_bridge_on_it, true),
        (
            r#""device": "m0""#,
            "ip -n pod link set eth0 down; ip -n pod link set eth0 name lan alias ''",
            true,
        ),
        (
            r#""device": "m0""#,
            "ip -n pod link set eth0 down; ip -n pod link set eth0 name lan alias xxx",
            true,
        ),
        (
            r#""device": "m0""#,
            &replaced_by("evil type veth peer name e2"),
            true,
        ),
        (
            r#""device": "m0""#,
            &replaced_by("evil address c2:11:22:00:00:0a type veth peer name e2"),
            true,
        ),
        (
            r#""device": "m0""#,
            &format!(
                "ip netns add nested; {}",
                replaced_by("evil type veth peer name e2 netns nested")
            ),
            true,
        ),
        // Nothing tells what it was called.
        (
            r#""hwaddr": "C2:11:22:00:00:0A""#,
            "ip -n pod link set eth0 alias ''",
            false,
        ),
    ] {
        in_own_world(|host| {
            let config = selected(FULL, by);
            let added = with_prev_result(&config, &host.add(&config));
            // A bridge may have the address of a port that went.
            sh("ip link set br0 address c2:11:22:00:00:0a");
            sh(damage);
            for _ in 0..2 {
                host.succeed("DEL", &added);
                sh("ip link set br0 address 02:00:00:00:00:b0");
                let name = name_of_what_is_back(damage);
                assert!(
                    if is_named {
                        name == "m0"
                    } else {
                        name.starts_with("dev")
                    },
                    "{damage}: {name}"
                );
                assert_eq!(reservations(), 0, "{damage}");
            }
        });
    }
}

/// Gives a link of the pod's own the interface's name and the device's alias; the device has neither.
fn replaced_by(link: &str) -> String {
    format!(
        "ip -n pod link set eth0 down; ip -n pod link set eth0 name foo alias ''; \
         ip -n pod link add {link}; ip -n pod link set evil name eth0 alias m0"
    )
}

#[test]
fn del_gives_back_a_device_whose_mac_address_the_pod_changed() {
    let Some(host) = with_device() else { return };
    let added = with_prev_result(FULL, &host.add(FULL));
    sh("ip -n pod link set eth0 address 02:00:00:00:00:99");
    host.succeed("DEL", &added);
    let back = sh("ip -br link show m0");
    assert!(back.contains("02:00:00:00:00:99"), "{back}");
    assert_eq!(
        (portrait::network(Some("pod")), reservations()),
        (String::new(), 0)
    );
}

/// Another pod ended with its device inside, and had written this one's name as alias.
#[test]
fn del_takes_no_other_device_of_the_hosts_for_its_own() {
    let Some(host) = with_device() else { return };
    let added = with_prev_result(PLAIN, &host.add(PLAIN));
    sh(
        "ip link add eth0 address 02:00:00:00:00:99 type veth peer name p1; ip link set eth0 alias m0",
    );
    let before = network();
    host.succeed_with("DEL", &added, &GONE);
    assert_eq!(network(), before);
}

/// What is on the host with that MAC address is the device, or the link that another one in the pod
/// rests on.
#[test]
fn del_takes_nothing_for_a_device_that_is_at_home() {
    for there in [
        "ip -n pod link add eth0 address c2:11:22:00:00:0a type veth peer name p1",
        "ip -n pod link add eth0 address c2:11:22:00:00:0a type veth peer name p1; \
         ip -n pod link set eth0 alias podwire:dbnet/ctr1/eth0; ip link del m0",
        "ip -n pod link add lan address c2:11:22:00:00:0a type veth peer name p1; \
         ip -n pod link set lan alias m9; ip link del m0",
    ] {
        in_own_world(|host| {
            let added = with_prev_result(PLAIN, &host.add(PLAIN));
            host.succeed("DEL", &added);
            sh(there);
            let before = network();
            host.succeed("DEL", &added);
            assert_eq!(network(), before, "{there}");
        });
    }
}

/// A bus and a card of the world's own. A veth has no device, so nothing contradicts.
#[test]
fn devices_are_found_by_their_place() {
    const CARD: &str = "d=/sys/bus/pci/devices/0000:00:05.0; mount -t tmpfs tmpfs /sys/bus; \
        mkdir -p $d/virtio0/net/m0 $d/net /sys/bus/pci/drivers/virtio-pci /sys/bus/auxiliary/devices/mlx5_core.sf.2/net/m0; \
        ln -s /sys/bus/pci/drivers/virtio-pci $d/driver";
    for by in [
        r#""pciBusID": "0000:00:05.0""#,
        r#""DPDKMode": true, "pciBusID": "0000:00:05.0""#,
        r#""pciBusID": "0000:99:00.0", "runtimeConfig": {"deviceID": "0000:00:05.0"}"#,
        r#""pciBusID": "0000:99:00.0", "runtimeConfig": {"deviceID": "mlx5_core.sf.2"}"#,
    ] {
        in_own_world(|host| {
            sh(CARD);
            let config = selected(FULL, by);
            host.succeed("STATUS", &config);
            let added = with_prev_result(&config, &host.add(&config));
            host.succeed("CHECK", &added);
            // The card is gone by now.
            sh("umount /sys/bus");
            host.succeed("DEL", &added);
            assert_back(by);
        });
    }
}

#[test]
fn without_the_kernel_there_are_addresses_and_no_link() {
    let Some(host) = with_device() else { return };
    let before = network();
    let config = selected(FULL, r#""device": "m0", "DPDKMode": true"#);
    let result = host.add(&config);
    assert_eq!(
        result["interfaces"],
        serde_json::json!([{ "name": "eth0", "sandbox": "/run/netns/pod" }])
    );
    assert_eq!((network(), reservations()), (before.clone(), 2));
    let added = with_prev_result(&config, &result);
    host.succeed("CHECK", &added);
    host.succeed("DEL", &added);
    assert_eq!((network(), reservations()), (before, 0));
}

#[test]
fn gc_and_status() {
    let Some(host) = with_device() else { return };
    host.add(FULL);
    // A pod that has the device is no reason to refuse others the network.
    host.succeed("STATUS", FULL);
    for (by, message) in [
        (r#""x": 0"#, "specify either"),
        (r#""hwaddr": "zz""#, "failed to parse MAC address"),
        (r#""kernelpath": "/sys/class/net/m0""#, "kernel device path"),
        (r#""pciBusID": "0000:99:00.0""#, "error with host device"),
    ] {
        let (code, seen) = host.fail("STATUS", &selected(FULL, by));
        assert!(code == 50 && seen.starts_with(message), "{code} {seen}");
    }
    // The pod ended, nobody called DEL, and the kernel put the device here.
    fall_back(false);
    host.succeed("GC", FULL);
    assert!(
        portrait::network(None).contains("eth0: "),
        "nothing is known to be stale"
    );
    host.succeed(
        "GC",
        &FULL.replace(r#""name""#, r#""cni.dev/valid-attachments": [], "name""#),
    );
    assert_back("GC");
}

/// Not a test: what the test below starts as a process of its own, because failing after a step
/// counts the steps of a process.
#[test]
#[ignore = "started by the other tests"]
fn add_in_a_process_of_its_own() {
    steps::child(&host_device::HOST_DEVICE);
}

#[test]
fn every_prefix_of_add_is_taken_back() {
    for variable in [steps::FAIL, steps::PANIC] {
        let Some(host) = with_device() else { return };
        let before = network();
        let mut step = 1;
        loop {
            let (_, stdout) = steps::add(&host, FULL, variable, step);
            if stdout.contains("interfaces") {
                break;
            }
            assert!(stdout.contains(variable), "{stdout}");
            assert_eq!(
                (network(), reservations()),
                (before.clone(), 0),
                "after step {step}"
            );
            step += 1;
        }
        assert!(step > 2, "{step}");
        host.succeed("DEL", FULL);
        drop(host);
    }
}

#[test]
fn a_kill_after_any_step_leaves_what_del_removes() {
    let Some(host) = with_device() else { return };
    let mut step = 1;
    loop {
        let (status, stdout) = steps::add(&host, FULL, steps::ABORT, step);
        assert_eq!(status.success(), stdout.contains("interfaces"), "{stdout}");
        host.succeed("DEL", FULL);
        assert_back(&format!("after step {step}"));
        if status.success() {
            break;
        }
        step += 1;
    }
    assert!(step > 2, "{step}");
}

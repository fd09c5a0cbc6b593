//! What is found in configurations, line by line.
use std::{fs, path::Path};

use super::*;

fn source(name: &str, text: &str) -> Source {
    Source {
        name: name.to_owned(),
        path: None,
        text: text.to_owned(),
    }
}

/// The findings of one file, without its name.
fn found(text: &str) -> Vec<String> {
    let findings = super::text(&validate(&[source("f", text)], None));
    findings
        .lines()
        .map(|line| line.trim_start_matches("f:").to_owned())
        .collect()
}

/// A list with one plugin on lines of its own, from line 2 on.
fn list(plugins: &str) -> String {
    format!("{{\"cniVersion\": \"1.0.0\", \"name\": \"net\", \"plugins\": [\n{plugins}\n]}}")
}

#[test]
fn every_example_of_every_plugin_is_without_fault() {
    for plugin in crate::PLUGINS {
        let none: Vec<String> = Vec::new();
        assert_eq!(found(plugin.schema().example()), none, "{}", plugin.name());
    }
}

#[test]
fn what_is_no_json_is_told_with_its_place() {
    for (text, expected) in [
        ("", "1:1: error: this is no JSON: EOF while parsing a value"),
        (
            "{\n  \"name\": \"x\",\n}",
            "3:1: error: this is no JSON: key must be a string",
        ),
        ("{} {}", "1:4: error: this is no JSON: trailing characters"),
        (
            "[]",
            "1:1: error: a network configuration is an object, not an array",
        ),
    ] {
        assert_eq!(found(text), [expected], "{text}");
    }
}

#[test]
fn lists() {
    for (text, expected) in [
        (
            r#"{"plugins": []}"#,
            &[
                "1:1: error: the network has no \"name\"",
                "1:1: warning: without \"cniVersion\" the network is of version 0.1.0, whose results hold one address of a family and no interfaces",
                "1:13: error: there are no plugins in the list",
            ][..],
        ),
        (
            r#"{"cniVersion": "1.0.0", "name": "a b", "Plugins": {}, "plugins": [{"type": "loopback"}]}"#,
            &[
                "1:25: error: invalid characters found in network name; a b; letters, digits, '_', '.' and '-' are valid",
                "1:40: warning: a list has no key \"Plugins\"; is \"plugins\" meant?",
            ],
        ),
        (
            r#"{"cniVersion": "3.0.0", "name": "n", "disableGC": 1, "plugins": [{"type": "loopback"}, 5]}"#,
            &[
                "1:16: error: unknown CNI version \"3.0.0\": known are 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0",
                "1:51: error: \"disableGC\" must be true or false",
                "1:88: error: \"plugins\" must be an object, not a number",
            ],
        ),
        (
            r#"{"cniVersion": "1.0.0", "name": "n", "type": "loopback", "mtu": 1}"#,
            &["1:58: warning: loopback has no key \"mtu\", and passes over it"],
        ),
    ] {
        assert_eq!(found(text), expected, "{text}");
    }
}

#[test]
fn keys_and_values_of_plugins() {
    for (plugin, expected) in [
        (
            r#"{"type": "bridge", "isGatway": true}"#,
            &["2:20: warning: bridge has no key \"isGatway\"; is \"isGateway\" meant?"][..],
        ),
        (
            r#"{"type": "bridge", "isgateway": true, "_why": "a comment"}"#,
            &["2:20: warning: \"isgateway\" is read as \"isGateway\"; that is how it is written"],
        ),
        (
            r#"{"type": "bridge", "mtu": 1400, "mtu": 1500}"#,
            &["2:20: warning: \"mtu\" stands here again below, and the last one is read"],
        ),
        (
            r#"{"type": "bridge", "mtu": "1400", "vlan": 5000, "hairpinMode": 1, "ipMasqBackend": "nft"}"#,
            &[
                "2:27: error: \"mtu\" must be an integer, not a string",
                "2:43: error: \"vlan\" must be from 0 to 4094, not 5000",
                "2:64: error: \"hairpinMode\" must be a boolean, not a number",
                "2:84: error: \"ipMasqBackend\" must be \"nftables\" or \"iptables\", not \"nft\"",
            ],
        ),
        (
            r#"{"type": "bridge", "hairpinMode": true, "promiscMode": true}"#,
            &[
                "2:10: error: bridge refuses this: cannot set hairpin mode and promiscuous mode at the same time",
            ],
        ),
        (
            r#"{"type": "ptp", "ipam": {"type": "host-local", "subnett": "10.0.0.0/24",
  "ranges": [[{"subnet": "10.1.0.0/16", "gateway": "10.1.0"}]]}}"#,
            &[
                "2:48: warning: ptp has no key \"subnett\"; is \"subnet\" meant?",
                "3:52: error: \"gateway\" must be an IP address, not \"10.1.0\"",
            ],
        ),
        (
            r#"{"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.0.0.0/31"}}"#,
            &[
                "2:58: error: host-local refuses this: invalid range set 0: Network 10.0.0.0/31 too small to allocate from",
            ],
        ),
        (
            r#"{"type": "flannel", "delegate": {"isgateway": true, "hairpin": true}}"#,
            &[
                "2:34: warning: \"isgateway\" is read as \"isGateway\"; that is how it is written",
                "2:53: warning: bridge has no key \"hairpin\", and passes over it",
            ],
        ),
        (
            r#"{"type": "calico", "anything": 1, "dns": {"search": "x"}, "ipam": {"type": "calico-ipam", "x": 1}}"#,
            &["2:53: error: \"search\" must be an array, not a string"],
        ),
    ] {
        assert_eq!(found(&list(plugin)), expected, "{plugin}");
    }
}

#[test]
fn plugins_in_their_chain() {
    for (plugins, expected) in [
        (r#"{}"#, &["2:1: error: the plugin has no \"type\""][..]),
        (
            r#"{"type": "tuning", "sysctl": {"net.core.somaxconn": 500}}"#,
            &[
                "2:10: error: tuning works on what an earlier plugin made, and there is none: it cannot be the first",
                "2:53: error: \"net.core.somaxconn\" must be a string, not a number",
            ],
        ),
        (
            r#"{"type": "host-local"}"#,
            &[
                "2:10: warning: host-local hands out addresses; it belongs into the \"ipam\" of another plugin",
                "2:10: error: host-local refuses this: IPAM config missing 'ipam' key",
            ],
        ),
        (
            r#"{"type": "bridge", "ipam": {"type": "loopback"}}"#,
            &["2:37: error: loopback is no IPAM plugin"],
        ),
        (
            "{\"type\": \"bridge\"},\n{\"type\": \"bridge\", \"bridge\": \"b\"}",
            &[
                "3:10: warning: bridge makes an interface of its own; the result of the plugins before it is lost",
            ],
        ),
        (
            r#"{"type": "bridge", "capabilities": {"portMappings": true, "mac": true, "x": false}}"#,
            &["2:37: warning: bridge does not use the capability \"portMappings\""],
        ),
        (
            r#"{"type": "bridge", "runtimeConfig": {"mac": ""}, "cniVersion": "1.0.0"}"#,
            &[
                "2:20: warning: \"runtimeConfig\" is the runtime's to write",
                "2:50: warning: the runtime writes the list's \"cniVersion\" in place of this one",
            ],
        ),
        (
            "{\"type\": \"bridge\"},\n{\"type\": \"bandwidth\"}",
            &[
                "3:10: warning: bandwidth is given no \"bandwidth\" by the runtime: \"capabilities\": {\"bandwidth\": true} is missing",
            ],
        ),
        (
            "{\"type\": \"bridge\"},\n{\"type\": \"bandwidth\", \"ingressRate\": 8000000, \"ingressBurst\": 800000}",
            &[],
        ),
        (
            "{\"type\": \"bridge\"},\n{\"type\": \"portmap\", \"markMasqBit\": 99}",
            &[
                "3:10: warning: portmap is given no \"portMappings\" by the runtime: \"capabilities\": {\"portMappings\": true} is missing",
                "3:36: error: \"markMasqBit\" must be from 0 to 31, not 99",
            ],
        ),
        (
            r#"{"type": "bridge", "capabilities": {"ipRanges": true}, "ipam": {"type": "host-local"}}"#,
            &[],
        ),
    ] {
        assert_eq!(found(&list(plugins)), expected, "{plugins}");
    }
}

/// A gateway with these ranges.
fn gateway(keys: &str, ipam: &str) -> String {
    format!(
        r#"{{"type": "bridge", "isDefaultGateway": true{keys},
"ipam": {{"type": "host-local", {ipam}}}}}"#
    )
}

#[test]
fn what_no_add_can_serve() {
    for (plugin, expected) in [
        (
            gateway(
                "",
                r#""ranges": [[{"subnet": "10.9.0.0/24", "gateway": "10.8.0.1"}]]"#,
            ),
            "3:81: error: the gateway 10.8.0.1 is not in 10.9.0.0/24; of podwire's plugins only ptp reaches such a one",
        ),
        (
            gateway(
                "",
                r#""ranges": [[{"subnet": "10.9.0.0/24", "gateway": "fd00::1"}]]"#,
            ),
            "3:81: error: host-local refuses this: invalid range set 0: Gateway fd00::1 is not of the family of network 10.9.0.0/24",
        ),
        (
            gateway(
                "",
                r#""ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "10.10.0.0/24"}]]"#,
            ),
            "3:84: error: the bridge is the gateway of 10.9.0.0/24 already, and can be that of one IPv4 subnet",
        ),
        (
            gateway(
                "",
                r#""ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00::/64"}]]"#,
            ),
            "",
        ),
        (
            gateway("", r#""subnet": "224.0.0.0/4""#),
            "3:42: error: host-local refuses this: invalid range set 0: Network 224.0.0.0/4 is multicast: no interface can have an address of it",
        ),
        (
            gateway("", r#""subnet": "127.0.0.0/8""#),
            "3:42: warning: nobody sends packets to 127.0.0.0/8",
        ),
        (
            gateway(
                "",
                r#""subnet": "10.9.0.0/24", "routes": [{"dst": "10.0.0.1/8"}, {"dst": "0.0.0.0/0"}]"#,
            ),
            "3:76: error: host-local refuses this: invalid route 10.0.0.1/8: it has host bits set, the network of this length is 10.0.0.0/8",
        ),
        (
            gateway(r#", "mtu": 60"#, r#""subnet": "10.9.0.0/24""#),
            "2:53: error: bridge refuses this: invalid mtu 60 (a veth pair takes from 68 to 65535 bytes)",
        ),
        (
            gateway(r#", "mtu": 1000"#, r#""subnet": "fd00::/64""#),
            "2:53: error: an MTU of 1000 leaves no IPv6: that needs 1280 bytes",
        ),
        (
            gateway("", r#""subnet": "fd00::/64""#) + r#", {"type": "tuning", "mtu": 1200}"#,
            "3:83: error: an MTU of 1200 leaves no IPv6: that needs 1280 bytes",
        ),
        (
            gateway("", r#""subnet": "10.9.0.0/24", "dataDir": "rel/dir""#),
            "3:68: warning: \"dataDir\" is relative: \"rel/dir\" leads from wherever the runtime works to another place",
        ),
        (
            r#"{"type": "macvlan", "ipam": {"type": "static", "addresses": []}}"#.to_owned(),
            "2:29: warning: static has no \"addresses\" to give, and the runtime brings none: \"capabilities\": {\"ips\": true} is missing",
        ),
        (
            r#"{"type": "macvlan", "ipam": {"type": "static", "addresses": [{"address": "10.9.0.5/24", "gateway": "fd00::1"}]}}"#.to_owned(),
            "2:100: warning: the gateway fd00::1 is not of the family of 10.9.0.5/24",
        ),
        (
            r#"{"type": "macvlan", "ipam": {"type": "dhcp", "provide": [{"option": "zzz"}]}}"#
                .to_owned(),
            "2:69: error: dhcp refuses this: Can not parse option \"zzz\": Can not parse option: strconv.ParseUint: parsing \"zzz\": invalid syntax",
        ),
        (
            r#"{"type": "bridge"}, {"type": "vrf", "vrfname": "1234567890123456"}"#.to_owned(),
            "2:48: error: vrf refuses this: cmdAdd failed: could not add VRF \"1234567890123456\": interface name \"1234567890123456\" has 16 bytes, more than 15",
        ),
    ] {
        let expected: Vec<&str> = expected.lines().collect();
        assert_eq!(found(&list(&plugin)), expected, "{plugin}");
    }
}

#[test]
fn what_does_nothing_or_more_than_it_says() {
    for (plugins, expected) in [
        (
            r#"{"type": "bridge"}, {"type": "sbr", "table": 200, "gateways": ["10.0.0.1"], "addSourceHints": false}"#,
            "2:51: warning: sbr has \"table\", and does not look at \"gateways\"",
        ),
        (
            r#"{"type": "host-device", "device": "eth1", "hwaddr": "02:00:00:00:00:01", "kernelpath": ""}"#,
            "2:43: warning: host-device has \"device\", and does not look at \"hwaddr\"",
        ),
        (
            r#"{"type": "host-device", "device": "", "hwaddr": "02:00:00:00:00:01"}"#,
            "",
        ),
        (
            r#"{"type": "host-device", "kernelpath": "/sys/class/net/eth1"}"#,
            "2:39: error: host-device refuses this: failed to find host device: kernel device path \"/sys/class/net/eth1\" must be absolute and begin with /sys/devices/",
        ),
        (
            r#"{"type": "tap"}, {"type": "tuning"}, {"type": "bandwidth", "ingressRate": 1000000, "ingressBurst": 100000}"#,
            "2:47: error: bandwidth limits a veth pair, and tap makes none",
        ),
        (
            r#"{"type": "ptp", "ipam": {"type": "x"}}, {"type": "bandwidth", "egressRate": 1000000, "egressBurst": 12000}"#,
            "2:101: warning: \"egressBurst\" is in bits: packets of 1500 bytes are longer than these, and none of them passes; give 12112 at least",
        ),
        (
            r#"{"type": "other"}, {"type": "bandwidth", "egressRate": 1000000, "egressBurst": 12112}"#,
            "",
        ),
    ] {
        let expected: Vec<&str> = expected.lines().collect();
        assert_eq!(found(&list(plugins)), expected, "{plugins}");
    }
}

/// A plugin stops at the first thing that it refuses.
#[test]
fn everything_is_told_in_one_reading() {
    for (plugins, expected) in [
        (
            gateway(
                r#", "vlan": 5000, "mtu": 99999999, "ipMasqBackend": "nft", "bridge": "a/b""#,
                r#""ranges": [[{"subnet": "10.9.0.0/24", "rangeStart": "10.8.0.1"}], [{"subnet": "10.9.0.0/31"}]],
"routes": [{"dst": "10.0.0.1/8"}, {"dst": "fd00::/8", "gw": "10.9.0.1"}, {"dst": "0.0.0.0/0"}]"#,
            ),
            &[
                "2:54: error: \"vlan\" must be from 0 to 4094, not 5000",
                "2:67: error: bridge refuses this: invalid mtu 99999999 (a veth pair takes from 68 to 65535 bytes)",
                "2:94: error: \"ipMasqBackend\" must be \"nftables\" or \"iptables\", not \"nft\"",
                "2:111: error: bridge refuses this: failed to create bridge \"a/b\": could not add \"a/b\": invalid argument",
                "3:84: error: host-local refuses this: invalid range set 0: RangeStart 10.8.0.1 not in network 10.9.0.0/24",
                "3:110: error: host-local refuses this: invalid range set 1: Network 10.9.0.0/31 too small to allocate from",
                "3:110: error: the bridge is the gateway of 10.9.0.0/24 already, and can be that of one IPv4 subnet",
                "4:20: error: host-local refuses this: invalid route 10.0.0.1/8: it has host bits set, the network of this length is 10.0.0.0/8",
                "4:61: error: host-local refuses this: invalid route fd00::/8: the gateway 10.9.0.1 is not of its family",
            ][..],
        ),
        (
            r#"{"type": "bridge"}, {"type": "tuning", "sysctl": {"kernel.x": "1"}, "mac": "zz"}"#
                .to_owned(),
            &[
                "2:40: error: tuning refuses this: invalid net sysctl key: \"kernel/x\"",
                "2:76: error: tuning refuses this: invalid args zz for MAC addr: address zz: invalid MAC address",
            ],
        ),
    ] {
        assert_eq!(found(&list(&plugins)), expected, "{plugins}");
    }
}

fn network(name: &str, subnet: &str) -> String {
    format!(
        r#"{{"cniVersion": "1.0.0", "name": "{name}", "plugins": [{{"type": "bridge",
"ipam": {{"type": "host-local", "subnet": "{subnet}"}}}}]}}"#
    )
}

#[test]
fn networks_that_give_the_same_addresses() {
    let (one, two, three) = (
        source("one", &network("a", "10.1.0.0/16")),
        source("two", &network("b", "10.1.2.0/24")),
        source("three", &network("a", "10.9.0.0/16")),
    );
    let text = super::text(&validate(&[one, two, three], None));
    let expected = "\
two:2:42: warning: 10.1.2.0/24 overlaps 10.1.0.0/16 of the network \"a\" in one: both give the same addresses
three:1:33: warning: a network \"a\" is in one too; a runtime takes the first of them by file name
";
    assert_eq!(text, expected);
}

#[test]
fn plugins_that_are_not_installed_and_networks_that_are_configured() {
    let dir = tempfile::tempdir().unwrap();
    let conf_dir = dir.path().join("net.d");
    fs::create_dir(&conf_dir).unwrap();
    fs::write(dir.path().join("bridge"), "").unwrap();
    fs::write(
        conf_dir.join("10-a.conflist"),
        network("a", "198.18.0.0/24"),
    )
    .unwrap();
    let node = Node::look(
        vec![dir.path().to_owned(), "/nonexistent".into()],
        &conf_dir,
    );
    let text = super::text(&validate(
        &[source("f", &network("b", "198.18.0.0/16"))],
        Some(&node),
    ));
    let (dir, file) = (dir.path().display(), conf_dir.join("10-a.conflist"));
    let expected = format!(
        "f:2:18: warning: there is no plugin \"host-local\" in {dir}
f:2:42: warning: 198.18.0.0/16 overlaps 198.18.0.0/24 of the network \"a\" in {}: both give the same addresses\n",
        file.display()
    );
    let about_plugins_and_networks: String = text
        .split_inclusive('\n')
        .filter(|line| !line.contains("on this node knows"))
        .collect();
    assert_eq!(about_plugins_and_networks, expected);
    // The same file, and another one that is to take its place, are no others.
    for path in [Some(file.as_path()), None] {
        let own = Source {
            name: "own".to_owned(),
            path: path.map(Path::to_owned),
            text: network("a", "198.18.0.0/24"),
        };
        let text = super::text(&validate(&[own], Some(&node)));
        assert!(
            !text.contains("overlaps") && !text.contains("is in"),
            "{text}"
        );
    }
}

#[test]
fn a_subnet_that_the_node_is_in() {
    let Some(_world) = kernel::testing::World::new() else {
        return;
    };
    let host = kernel::Netlink::open().unwrap();
    for (name, address) in [("office", "10.8.1.2/16"), ("cni0", "10.1.0.1/16")] {
        let kind = kernel::NewKind::Bridge {
            vlan_filtering: false,
        };
        let name = name.parse().unwrap();
        let link = host.add_link(&kernel::NewLink::new(&name, kind)).unwrap();
        host.add_address(link.index, address.parse().unwrap())
            .unwrap();
    }
    let node = Node::look(Vec::new(), Path::new("/etc/cni/net.d"));
    for (subnet, expected) in [
        (
            "10.8.0.0/24",
            "f:2:42: warning: 10.8.0.0/24 overlaps 10.8.0.0/16 of this node on office\n",
        ),
        // The bridge is the network's own.
        ("10.1.0.0/16", ""),
        ("10.2.0.0/16", ""),
    ] {
        let source = source("f", &network("a", subnet).replace("\"1.0.0\"", "\"0.4.0\""));
        assert_eq!(
            super::text(&validate(&[source], Some(&node))),
            expected,
            "{subnet}"
        );
    }
}

#[test]
fn programs_are_told_the_same() {
    let findings = validate(&[source("f", "{")], None);
    let told: serde_json::Value = serde_json::from_str(&json(&findings)).unwrap();
    assert_eq!(told[0]["file"], "f");
    assert_eq!(
        (&told[0]["line"], &told[0]["column"]),
        (&1.into(), &1.into())
    );
    assert_eq!(told[0]["severity"], "error");
}

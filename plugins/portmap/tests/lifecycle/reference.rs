//! What the reference plugin left: 1.9.1's rules in nftables, laid by hand as they were recorded, and
//! what Debian's 1.1.1 does on this host.

use std::path::Path;

use harness::{sh, succeeds, with_prev_result};
use kernel::testing::is_installed;
use serde_json::json;

use crate::support::{CTR2, config, config_of, elements_of, in_own_world, mapping, web};

const DEBIAN: &str = "/usr/lib/cni/portmap";

/// The recorded tables of a mapping of 8080 and one of UDP 53 for one container.
const RECORDED: &str = r#"
table ip cni_hostport {
  comment "CNI portmap plugin"
  chain hostports {
    tcp dport 8080 dnat to 10.22.0.5:80 comment "ctr1"
    ip daddr 192.0.2.1 udp dport 53 dnat to 10.22.0.5:53 comment "ctr1"
    tcp dport 9090 dnat to 10.22.0.9:90 comment "ctr9"
  }
  chain hostip_hostports {
    ip daddr 192.0.2.1 tcp dport 8443 dnat to 10.22.0.5:443 comment "ctr1"
  }
  chain hostports_all {
    jump hostip_hostports
    jump hostports
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump hostports_all
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump hostports_all
  }
  chain masquerading {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 10.22.0.5 ip daddr 10.22.0.5 masquerade comment "ctr1"
    ip saddr 127.0.0.1 ip daddr 10.22.0.5 masquerade comment "ctr1"
  }
}
table ip6 cni_hostport {
  comment "CNI portmap plugin"
  chain hostports {
    tcp dport 8080 dnat to [2001:db8:22::5]:80 comment "ctr1"
  }
  chain hostip_hostports {
  }
  chain hostports_all {
    jump hostip_hostports
    jump hostports
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump hostports_all
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump hostports_all
  }
  chain masquerading {
    type nat hook postrouting priority srcnat; policy accept;
    ip6 saddr 2001:db8:22::5 ip6 daddr 2001:db8:22::5 masquerade comment "ctr1"
  }
}
"#;

fn lay() {
    sh(&format!("nft -f - <<'END'\n{RECORDED}\nEND"));
    sh("echo 1 > /proc/sys/net/ipv4/conf/br0/route_localnet");
}

fn mappings() -> serde_json::Value {
    json!([
        mapping(8080, 80, "tcp", ""),
        mapping(53, 53, "udp", "192.0.2.1")
    ])
}

#[test]
fn rules_of_1_9_1_are_checked_and_deleted_by_their_container() {
    for changes in [
        json!({}),
        json!({ "backend": "nftables" }),
        json!({ "backend": "iptables" }),
        json!({ "name": "renamed", "runtimeConfig": {} }),
        json!({ "prevResult": { "ips": [{ "address": "bad" }] } }),
    ] {
        in_own_world(|host| {
            lay();
            let config = config(mappings(), changes.clone());
            if changes.get("prevResult").is_none() {
                host.succeed("CHECK", &config);
            }
            host.succeed("DEL", &config);
            let left = sh("nft list ruleset");
            assert!(
                !left.contains("ctr1") && left.contains("ctr9"),
                "{changes}: {left}"
            );
            // No rules of iptables and no table of ours have come to be.
            assert_eq!(
                sh("nft list tables"),
                "table ip cni_hostport\ntable ip6 cni_hostport\n"
            );
        });
    }
}

#[test]
fn check_finds_rules_of_1_9_1_gone_and_unreached() {
    for (damage, chain) in [
        ("flush chain ip6 cni_hostport hostports", "hostports"),
        ("flush chain ip cni_hostport masquerading", "masquerading"),
        ("flush chain ip cni_hostport output", "output"),
        ("flush chain ip6 cni_hostport prerouting", "prerouting"),
    ] {
        in_own_world(|host| {
            lay();
            let config = config(mappings(), json!({}));
            sh(&format!("nft {damage}"));
            let (_, message) = host.fail("CHECK", &config);
            assert_eq!(
                message,
                format!("missing hostport rules in \"{chain}\" chain")
            );
        });
    }
}

#[test]
fn a_port_that_1_9_1_has_mapped_is_taken() {
    in_own_world(|host| {
        lay();
        for (mapping, told) in [
            (
                mapping(9090, 1, "tcp", "192.0.2.1"),
                "tcp 192.0.2.1:9090 (IPv4)",
            ),
            (mapping(8080, 1, "tcp", "::"), "tcp 8080 (IPv6)"),
            (mapping(53, 1, "udp", ""), "udp 53 (IPv4)"),
        ] {
            let container = if told.contains("9090") {
                "ctr9"
            } else {
                "ctr1"
            };
            let config = config_of(6, json!([mapping]), json!({}));
            let (_, message) = host.fail_with("ADD", &config, &CTR2);
            let text = format!("host port {told} is taken already, by container {container:?}");
            assert_eq!(message, text);
        }
        let free = config_of(6, json!([mapping(53, 1, "udp", "192.0.2.9")]), json!({}));
        host.add_with(&free, &CTR2);
        // The container's own may be there: it moves over.
        host.add(&config(mappings(), json!({})));
        assert_eq!(elements_of("ctr1"), 5);
    });
}

#[test]
fn debians_rules_are_deleted_and_it_deletes_ours() {
    if !is_installed(DEBIAN, "containernetworking-plugins") {
        return;
    }
    for changes in [
        json!({}),
        json!({ "backend": "nftables" }),
        json!({ "name": "renamed" }),
    ] {
        in_own_world(|host| {
            let plain = config(mappings(), json!({})).replace("1.1.0", "1.0.0");
            let (added, said) = host.execute(Path::new(DEBIAN), "ADD", &plain);
            assert!(added, "{said}");
            assert!(succeeds("iptables-save -t nat | grep -q ctr1"));
            host.succeed("CHECK", &config(mappings(), json!({})));
            let (_, message) = host.fail_with("ADD", &config_of(6, web(), json!({})), &CTR2);
            let told = "taken already, by network \"dbnet\", container \"ctr1\"";
            assert!(message.contains(told), "{message}");
            host.succeed("DEL", &config(mappings(), changes.clone()));
            let left = sh("iptables-save -t nat; ip6tables-save -t nat");
            assert!(
                !left.contains("ctr1") && !left.contains("CNI-DN-"),
                "{left}"
            );
            assert!(
                left.contains("CNI-HOSTPORT-DNAT"),
                "shared chains stay: {left}"
            );
        });
    }
    in_own_world(|host| {
        let ours = config(mappings(), json!({ "backend": "iptables" })).replace("1.1.0", "1.0.0");
        let result = host.add(&ours);
        let (deleted, said) =
            host.execute(Path::new(DEBIAN), "DEL", &with_prev_result(&ours, &result));
        assert!(deleted, "{said}");
        let left = sh("iptables-save -t nat; ip6tables-save -t nat");
        assert!(
            !left.contains("ctr1") && !left.contains("CNI-DN-"),
            "{left}"
        );
    });
}

//! CHECK of what is different.

use super::*;

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

/// The kernel makes one multipath route of IPv6 routes to one destination.
#[test]
fn check_finds_each_next_hop_of_a_multipath_route() {
    let route =
        |gateway| format!(r#"{{"dst": "2001:db8:9::/64", "gw": "2001:db8:22::{gateway}"}}"#);
    let routes = format!(r#"]], "routes": [{}, {}]"#, route(8), route(9));
    let config = FULL.replace("]]", &routes);
    let to = "ip -n pod -6 route";
    let hops = |first, second| {
        format!(
            "{to} replace 2001:db8:9::/64 nexthop via 2001:db8:22::{first} \
             nexthop via 2001:db8:22::{second}"
        )
    };
    for (broken, missing) in [
        (String::from("true"), None),
        (hops(9, 8), None),
        (hops(7, 9), Some("2001:db8:22::8")),
        (hops(8, 7), Some("2001:db8:22::9")),
        (
            format!("{to} del 2001:db8:9::/64 via 2001:db8:22::9"),
            Some("2001:db8:22::9"),
        ),
    ] {
        in_own_world(|host| {
            let added = with_prev_result(&config, &host.add(&config));
            assert!(sh(&format!("{to} show 2001:db8:9::/64")).contains("nexthop"));
            sh(&broken);
            let Some(gateway) = missing else {
                return host.succeed("CHECK", &added);
            };
            let (_, seen) = host.fail("CHECK", &added);
            assert!(
                seen.contains("Expected Route") && seen.contains(&format!("GW:{gateway} ")),
                "{broken}: {seen}"
            );
        });
    }
}

/// What is done to a result before CHECK gets it.
type Change<'a> = &'a dyn Fn(&mut Value);

#[test]
fn check_judges_the_result_it_is_given() {
    in_own_world(|host| {
        let result = host.add(PLAIN);
        let changed = |change: Change<'_>| {
            let mut result = result.clone();
            change(&mut result);
            host.call("CHECK", &with_prev_result(PLAIN, &result)).stdout
        };
        let cases: [(Change<'_>, &str); 7] = [
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

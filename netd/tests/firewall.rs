//! The firewall rules in nftables (`EnableNFTables`), as nft(8) prints them.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod nodes;

use nodes::{Cluster, Netd, sh, wait_for};

const NFTABLES: &str = r#"{"Network":"10.100.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:100::/48",
    "EnableNFTables":true,"Backend":{"Type":"host-gw"}}"#;
const IPTABLES: &str = r#"{"Network":"10.100.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:100::/48",
    "Backend":{"Type":"host-gw"}}"#;
const ALL: [&str; 2] = ["-ip-masq", "-iptables-forward-rules=true"];

/// Without empty lines, in which versions differ.
fn tables() -> String {
    let table = |family, name| {
        sh(&format!(
            "ip netns exec n1 nft list table {family} {name} 2>/dev/null | grep . || true"
        ))
    };
    table("ip", "flannel-ipv4") + &table("ip6", "flannel-ipv6")
}

fn flannels_of_iptables() -> String {
    sh(
        "for program in iptables ip6tables iptables-legacy ip6tables-legacy; do
            ip netns exec n1 $program-save 2>/dev/null | grep FLANNEL
        done || true",
    )
}

fn table(family: &str, name: &str, address: &str, [network, own, multicast]: [&str; 3]) -> String {
    format!(
        r#"table {family} {name} {{
	comment "rules for {name}"
	chain postrtg {{
		comment "chain to manage traffic masquerading by flannel"
		type nat hook postrouting priority srcnat; policy accept;
		meta mark & 0x00004000 == 0x00004000 return
		{address} saddr {own} {address} daddr {network} return
		{address} saddr {network} {address} daddr {own} return
		{address} saddr != {network} {address} daddr {own} return
		{address} saddr {network} {address} daddr != {multicast} masquerade fully-random
		{address} saddr != {network} {address} daddr {network} masquerade fully-random
	}}
	chain forward {{
		comment "chain to accept flannel traffic"
		type filter hook forward priority filter; policy accept;
		{address} saddr {network} accept
		{address} daddr {network} accept
	}}
}}
"#
    )
}

fn wanted(cluster: &Cluster) -> String {
    let (v4, v6) = (cluster.subnet(1), cluster.v6_subnet(1));
    table(
        "ip",
        "flannel-ipv4",
        "ip",
        ["10.100.0.0/16", &v4, "224.0.0.0/4"],
    ) + &table(
        "ip6",
        "flannel-ipv6",
        "ip6",
        ["fd00:100::/48", &v6, "ff00::/8"],
    )
}

fn repairs(cluster: &Cluster) -> u64 {
    let status = cluster.status(1).expect("status");
    status["firewall"]["repairs"].as_u64().expect("number")
}

#[test]
fn rules_are_flannels_and_come_back_when_the_kernel_tells() {
    let Some(cluster) = Cluster::new(NFTABLES, 1) else {
        return;
    };
    sh("ip netns exec n1 nft add table ip mine");
    // No program is needed, but the one that starts netd.
    let ip = sh("command -v ip");
    std::os::unix::fs::symlink(ip.trim(), cluster.dir().join("ip")).expect("link");
    let mut command = cluster.command(1, &[&["-store", "dir"], &ALL[..]].concat());
    let child = command.env("PATH", cluster.dir()).spawn().expect("netd");
    let running = Netd { child, node: 1 };
    cluster.wait_ready(&running);
    let wanted = wanted(&cluster);
    assert_eq!(tables(), wanted);
    for (count, damage) in [
        "flush chain ip flannel-ipv4 postrtg",
        "insert rule ip6 flannel-ipv6 forward drop",
        "delete table ip flannel-ipv4",
        "add table ip flannel-ipv4 { flags dormant; }",
        "delete table ip6 flannel-ipv6; add table ip6 flannel-ipv6; add chain ip6 flannel-ipv6 forward",
        "flush ruleset",
    ]
    .iter()
    .enumerate()
    {
        sh(&format!("ip netns exec n1 nft '{damage}'"));
        wait_for(damage, || repairs(&cluster) > count as u64);
        let (ours, wanted) = (tables(), wanted.clone());
        // A table made by hand has no comment, and keeps none; chains may stand in another order.
        let sorted = |text: &str| {
            let lines = text.lines().filter(|line| !line.contains("rules for"));
            let mut lines: Vec<_> = lines.collect();
            lines.sort_unstable();
            lines.join("\n")
        };
        assert_eq!(sorted(&ours), sorted(&wanted), "{damage}");
    }
    assert_eq!(running.stop("TERM").code(), Some(0));
    assert!(tables().contains("masquerade fully-random"), "rules stay");
}

#[test]
fn rules_of_the_other_flavour_go() {
    let Some(cluster) = Cluster::new(IPTABLES, 1) else {
        return;
    };
    let stop = |running: Netd| assert_eq!(running.stop("TERM").code(), Some(0));
    let others = "ip netns exec n1 iptables -t nat -A POSTROUTING -s 198.51.100.0/24 -j RETURN";
    sh(others);
    stop(cluster.start(1, &ALL));
    assert!(flannels_of_iptables().contains("-A POSTROUTING"));
    assert!(!tables().contains("postrtg"));

    cluster.put_config(NFTABLES);
    stop(cluster.start(1, &ALL));
    assert_eq!(flannels_of_iptables(), "");
    assert_eq!(tables(), wanted(&cluster));
    let nat = sh("ip netns exec n1 iptables -t nat -S POSTROUTING");
    assert!(nat.contains("-s 198.51.100.0/24 -j RETURN"), "{nat}");

    cluster.put_config(IPTABLES);
    stop(cluster.start(1, &ALL));
    assert!(flannels_of_iptables().contains("-A FORWARD"));
    assert!(!tables().contains("chain"), "{}", tables());
}

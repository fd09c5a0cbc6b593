//! `netd cleanup` takes away what netd and flanneld left, and nothing of anybody else's.
#![allow(clippy::expect_used, reason = "a test may panic")]

mod nodes;

use std::process::Output;

use nodes::{Cluster, DUAL_HOST_GW, DUAL_VXLAN, program, sh};

/// Calls cleanup on a node, with the flags that its netd had.
fn cleanup(cluster: &Cluster, n: u8, arguments: &[&str]) -> Output {
    program("ip")
        .args([
            "netns",
            "exec",
            &format!("n{n}"),
            env!("CARGO_BIN_EXE_netd"),
        ])
        .args(["cleanup", "-store", "dir", "-store-dir"])
        .arg(cluster.dir().join("store"))
        .arg("-subnet-file")
        .arg(cluster.subnet_file(n))
        .arg("-status-socket")
        .arg(cluster.dir().join(format!("n{n}.sock")))
        .args(arguments)
        .output()
        .expect("netd cleanup")
}

fn told(output: &Output) -> String {
    let out = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    out + &String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Everything that the kernel has in node 1, and the files.
fn everything(cluster: &Cluster) -> String {
    let kernel = sh("for look in 'ip -o link' 'ip -4 route show table all' \
           'ip -6 route show table all' 'ip rule' 'iptables-save' 'ip6tables-save' 'iptables-legacy-save' \
           'nft list ruleset'; do
         echo \"== $look\"
         ip netns exec n1 $look | sed -e 's/\\[[0-9]*:[0-9]*\\]//' -e 's/ expires [0-9]*sec//' \
             -e '/^#/d' -e '/fe80::/d' -e 's/packets [0-9]* bytes [0-9]*//'
         done");
    let files = sh(&format!("ls {}", cluster.dir().display()));
    kernel + &files
}

/// What other people have beside netd, some of it much like netd's own.
const OTHERS: &str = "
    ip link add vxlan7 type vxlan id 7 dstport 8473 dev eth0
    ip link add flannel.x type veth peer name flannel.9
    ip route add 10.9.0.0/24 via 192.168.50.254
    ip route add 10.100.250.0/24 via 192.168.50.254 proto static
    ip route add 10.100.251.0/24 via 192.168.50.254
    ip route add 10.8.0.0/24 via 192.168.50.254 table 100
    ip rule add to 10.8.0.0/24 table 100
    iptables -N OTHERS
    iptables -A FORWARD -s 198.51.100.0/24 -j OTHERS
    iptables -t nat -A POSTROUTING -s 198.51.100.0/24 -j MASQUERADE
    ip6tables -A FORWARD -s 2001:db8::/64 -j ACCEPT
    nft add table ip others
    nft add chain ip others forward '{ type filter hook forward priority 0; }'
    nft add rule ip others forward ip saddr 198.51.100.7 drop";

#[test]
fn what_netd_leaves_goes_and_what_others_have_stays() {
    let with_nftables =
        |config: &str| config.replacen("\"Network\"", "\"EnableNFTables\":true,\"Network\"", 1);
    for config in [
        DUAL_VXLAN.to_owned(),
        DUAL_HOST_GW.to_owned(),
        with_nftables(DUAL_VXLAN),
        with_nftables(DUAL_HOST_GW),
    ] {
        let Some(cluster) = Cluster::new(&config, 2) else {
            return;
        };
        for line in OTHERS.trim().lines() {
            sh(&format!("ip netns exec n1 {}", line.trim()));
        }
        let before = everything(&cluster);
        let tables = || sh("ip netns exec n1 nft list tables | sort");
        let tables_before = tables();
        let arguments = ["-ip-masq", "-iptables-forward-rules=true"];
        let (one, _two) = (cluster.start(1, &arguments), cluster.start(2, &arguments));
        nodes::wait_for("both routes", || cluster.routes(1).len() == 2);
        // The kernel adds routes of its own to an address once it knows that no one else has it.
        nodes::wait_for("addresses that are settled", || {
            sh("ip -n n1 -6 -o address show tentative").is_empty()
        });

        let running = everything(&cluster);
        let rules = ["FLANNEL-POSTRTG", "flannel-ipv4"];
        let rules = rules[usize::from(config.contains("EnableNFTables"))];
        assert!(running.contains(rules), "{running}");
        let refused = cleanup(&cluster, 1, &[]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            told(&refused).contains("stop it first"),
            "{}",
            told(&refused)
        );
        assert_same(&running, &everything(&cluster));

        one.stop("KILL");
        let left = everything(&cluster);
        let dry = cleanup(&cluster, 1, &["--dry-run"]);
        assert!(dry.status.success(), "{}", told(&dry));
        assert_same(&left, &everything(&cluster));
        let would: Vec<String> = told(&dry).lines().map(str::to_owned).collect();
        assert!(
            would.iter().all(|line| line.starts_with("would remove ")),
            "{would:?}"
        );

        let done = cleanup(&cluster, 1, &[]);
        assert!(done.status.success(), "{}", told(&done));
        let removed: Vec<String> = would
            .iter()
            .map(|line| line.replace("would remove", "removed"))
            .collect();
        assert_eq!(told(&done).lines().collect::<Vec<_>>(), removed);
        let after = everything(&cluster);
        assert_same(&before_with_log(&before), &after);
        assert_eq!(tables(), tables_before, "what iptables needed goes as well");
        let again = cleanup(&cluster, 1, &[]);
        assert!(again.status.success());
        assert_eq!(
            told(&again),
            "nothing is left of netd or flanneld on this node\n"
        );
        // The lease is the store's.
        assert_eq!(
            std::fs::read_dir(cluster.dir().join("store/subnets"))
                .expect("dir")
                .count(),
            2
        );
    }
}

/// Shows what differs, and no more.
fn assert_same(before: &str, after: &str) {
    let (before, after) = (without_empty_tables(before), without_empty_tables(after));
    let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert_eq!((gone, new), (Vec::new(), Vec::new()), "gone, and new");
    assert_eq!(before.len(), after.len());
}

/// The log and the other node's files came after the first look.
fn before_with_log(before: &str) -> String {
    before.replace("store\n", "n1.log\nn2.env\nn2.log\nn2.sock\nstore\n")
}

/// Without tables and chains of iptables' own that hold no rule, and in any order.
fn without_empty_tables(text: &str) -> Vec<String> {
    let empty = [":", "*", "COMMIT", "table ", "chain ", "type ", "}", "== "];
    let lines = text.lines().map(|line| line.trim().to_owned());
    let mut lines: Vec<String> = lines
        .filter(|line| !line.is_empty() && !empty.iter().any(|empty| line.starts_with(empty)))
        .collect();
    lines.sort();
    lines
}

#[test]
fn what_flanneld_left_goes_too() {
    let Some(cluster) = Cluster::new(DUAL_VXLAN, 1) else {
        return;
    };
    let n1 = |line: &str| sh(&format!("ip netns exec n1 {line}"));
    for line in OTHERS.trim().lines() {
        n1(line.trim());
    }
    let before = everything(&cluster);
    for line in [
        "ip link add flannel.1 type vxlan id 1 dstport 8472 dev eth0",
        "ip addr add 10.100.3.0/32 dev flannel.1",
        "ip link set flannel.1 up",
        "ip route add 10.100.7.0/24 via 10.100.7.0 dev flannel.1 onlink",
        // Of 0.20 and later, of before, and of EnableNFTables.
        "iptables -t nat -N FLANNEL-POSTRTG",
        "iptables -t nat -A FLANNEL-POSTRTG -j RETURN",
        "iptables -t nat -I POSTROUTING -m comment --comment 'flanneld masq' -j FLANNEL-POSTRTG",
        "iptables-legacy -t nat -N FLANNEL-POSTRTG",
        "iptables-legacy -t nat -I POSTROUTING -j FLANNEL-POSTRTG",
        "iptables -t nat -A POSTROUTING -s 10.100.0.0/16 -m comment --comment 'flanneld masq' -j RETURN",
        "ip6tables -N FLANNEL-FWD",
        "ip6tables -A FORWARD -j FLANNEL-FWD",
        "nft add table ip flannel-ipv4",
        "nft add chain ip flannel-ipv4 postrtg '{ type nat hook postrouting priority srcnat; }'",
        "nft add table ip6 flannel-ipv6",
    ] {
        n1(line);
    }
    std::fs::write(cluster.subnet_file(1), "FLANNEL_NETWORK=10.100.0.0/16\n").expect("write");
    let done = cleanup(&cluster, 1, &[]);
    assert!(done.status.success(), "{}", told(&done));
    for line in [
        "removed link flannel.1 with 1 routes of flanneld's",
        "removed 1 rules \"flanneld masq\" in POSTROUTING of the nat table of iptables",
        "removed nftables table ip6 flannel-ipv6",
    ] {
        assert!(told(&done).contains(line), "{line}\n{}", told(&done));
    }
    let after = everything(&cluster);
    assert_same(&before, &after);
}

/// They bear no mark: what the leases say tells them from an administrator's.
#[test]
fn what_flanneld_made_without_a_tunnel_goes_when_asked_for() {
    let Some(cluster) = Cluster::new(DUAL_HOST_GW, 2) else {
        return;
    };
    let n1 = |line: &str| sh(&format!("ip netns exec n1 {line}"));
    cluster.start(2, &[]).stop("TERM");
    for line in OTHERS.trim().lines() {
        n1(line.trim());
    }
    let key = cluster.dir().join("wgkey");
    let (subnet, v6_subnet) = (cluster.subnet(2), cluster.v6_subnet(2));
    // Much like flanneld's, and the administrator's all the same.
    n1(&format!(
        "ip route add {subnet} via 192.168.50.254 metric 7"
    ));
    n1(&format!("ip route add {subnet} via 192.168.50.2 table 100"));
    n1(&format!(
        "ip route add {subnet} via 192.168.50.2 proto static metric 8"
    ));
    n1(&format!("ip route add {subnet} via 192.168.50.2 metric 9"));
    n1("ip route add 10.100.252.0/24 via 192.168.50.2");
    let before = everything(&cluster);
    let v6_node = sh("ip -n n2 -6 -o addr show dev eth0 scope global");
    let v6_node = v6_node.split_whitespace().nth(3).expect("an address");
    let v6_node = v6_node.split('/').next().expect("an address");
    n1(&format!("ip route add {subnet} via 192.168.50.2"));
    n1(&format!("ip -6 route add {v6_subnet} via {v6_node}"));
    std::fs::write(&key, "key").expect("write");
    let arguments = ["-wireguard-key-file", key.to_str().expect("UTF-8")];
    let left = everything(&cluster);
    let done = cleanup(&cluster, 1, &arguments);
    assert!(done.status.success(), "{}", told(&done));
    assert_same(&left, &everything(&cluster));

    let arguments = [&arguments[..], &["--flanneld-routes", "--wireguard-key"]].concat();
    let expected = [
        format!("route {subnet} via 192.168.50.2 of flanneld's"),
        format!("route {v6_subnet} via {v6_node} of flanneld's"),
        key.display().to_string(),
    ];
    let dry = cleanup(&cluster, 1, &[&arguments[..], &["--dry-run"]].concat());
    let would: Vec<String> = expected
        .iter()
        .map(|it| format!("would remove {it}"))
        .collect();
    assert_eq!(told(&dry).lines().collect::<Vec<_>>(), would);
    assert_same(&left, &everything(&cluster));
    let done = cleanup(&cluster, 1, &arguments);
    assert!(done.status.success(), "{}", told(&done));
    let removed: Vec<String> = expected.iter().map(|it| format!("removed {it}")).collect();
    assert_eq!(told(&done).lines().collect::<Vec<_>>(), removed);
    assert_same(&before, &everything(&cluster));
}

#[test]
fn the_lease_goes_when_asked_for_and_only_this_nodes() {
    let Some(cluster) = Cluster::new(DUAL_VXLAN, 2) else {
        return;
    };
    let leases = || {
        let found = sh(&format!("ls {}/store/subnets", cluster.dir().display()));
        found.lines().count()
    };
    cluster.start(1, &[]).stop("TERM");
    let two = cluster.start(2, &[]);
    assert_eq!(leases(), 2);
    // As if the other node's file had been copied here.
    let own = std::fs::read(cluster.subnet_file(1)).expect("read");
    std::fs::copy(cluster.subnet_file(2), cluster.subnet_file(1)).expect("copy");
    let refused = cleanup(&cluster, 1, &["--lease"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        told(&refused).contains("is no address of this node"),
        "{}",
        told(&refused)
    );
    assert_eq!(leases(), 2);
    std::fs::write(cluster.subnet_file(1), own).expect("write");
    let done = cleanup(&cluster, 1, &["--lease"]);
    assert!(done.status.success(), "{}", told(&done));
    assert!(
        told(&done).contains("removed lease 10.100."),
        "{}",
        told(&done)
    );
    assert_eq!(leases(), 1);
    nodes::wait_for("no route", || cluster.routes(2).is_empty());
    drop(two);
}

/// A netd that serves no status, as with `-status-socket ""`.
#[test]
fn a_daemon_that_serves_no_socket_is_found_too() {
    let Some(cluster) = Cluster::new(DUAL_VXLAN, 1) else {
        return;
    };
    let running = cluster.spawn(1, &["-store", "dir", "-status-socket", ""]);
    nodes::wait_for("subnet.env", || cluster.subnet_file(1).exists());
    let refused = cleanup(&cluster, 1, &[]);
    assert_eq!(refused.status.code(), Some(1));
    let process = format!("netd (process {})", running.child.id());
    assert!(told(&refused).contains(&process), "{}", told(&refused));
    let forced = cleanup(&cluster, 1, &["--force"]);
    assert!(forced.status.success(), "{}", told(&forced));
}

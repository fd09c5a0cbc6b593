//! Masquerading as nft(8), iptables(8) and real packets see it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use attach::Identity;
use attach::masquerade::{self, Backend};
use ipnetwork::IpNetwork;
use kernel::{
    NetNs,
    testing::{World, is_installed},
};

const CTR1: Identity<'_> = Identity {
    network: "dbnet",
    container_id: "ctr1",
    ifname: "eth0",
};
const CTR1_COMMENT: &str = "77fa157b4f32b23b-7883a6f9ce71eedb, net: dbnet, if: eth0, id: ctr1";
const CTR1_CHAIN: &str = "CNI-a4fa0b217749fd390b69a8a5";
const DUAL: [&str; 2] = ["10.22.0.2/24", "2001:db8:22::2/64"];

fn owner(container_id: &str) -> Identity<'_> {
    Identity {
        container_id,
        ..CTR1
    }
}

fn networks(texts: &[&str]) -> Vec<IpNetwork> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn add(backend: Option<Backend>, owner: &Identity<'_>, addresses: &[&str]) {
    masquerade::add(backend, owner, &networks(addresses)).unwrap();
}

fn remove(owner: &Identity<'_>, addresses: &[&str]) {
    masquerade::remove(owner, &networks(addresses)).unwrap();
}

fn check(owner: &Identity<'_>, addresses: &[&str]) -> Result<(), masquerade::Error> {
    masquerade::check(None, owner, &networks(addresses))
}

/// Runs a shell command in the world of the calling thread.
#[allow(
    clippy::disallowed_methods,
    reason = "the judge must not be the code under test"
)]
fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-ec", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn ruleset() -> String {
    sh("nft list ruleset")
}

/// What `iptables-save` says of the nat table, without counters, comments and policies.
fn saved(program: &str) -> Vec<String> {
    let text = sh(&format!("{program} -t nat"));
    let is_kept = |line: &&str| line.starts_with("-A") || line.starts_with(":CNI");
    text.lines()
        .filter(is_kept)
        .map(|line| line.trim_end_matches(" [0:0]").to_owned())
        .collect()
}

fn dual_table() -> String {
    format!(
        r#"table inet podwire_masquerade {{
	comment "podwire: packets that pods send beyond their subnet"
	set pods-10.22.0.0/24 {{
		type ipv4_addr
		elements = {{ 10.22.0.2 comment "{CTR1_COMMENT}" }}
	}}

	set pods-2001-db8-22--/64 {{
		type ipv6_addr
		elements = {{ 2001:db8:22::2 comment "{CTR1_COMMENT}" }}
	}}

	chain postrouting {{
		type nat hook postrouting priority srcnat; policy accept;
		ip daddr 224.0.0.0/4 return
		ip6 daddr ff00::/8 return
		ip saddr @pods-10.22.0.0/24 ip daddr != 10.22.0.0/24 masquerade
		ip6 saddr @pods-2001-db8-22--/64 ip6 daddr != 2001:db8:22::/64 masquerade
	}}
}}
"#
    )
}

#[test]
fn pods_are_elements_of_their_subnets_sets() {
    let Some(_world) = World::new() else { return };
    remove(&CTR1, &DUAL);
    assert_eq!(ruleset(), "");
    add(None, &CTR1, &DUAL);
    assert_eq!(ruleset(), dual_table());
    check(&CTR1, &DUAL).unwrap();
    check(&owner("ctr2"), &DUAL).unwrap_err();
    check(&CTR1, &["10.22.0.3/24"]).unwrap_err();

    // A second pod of the subnets brings elements, not rules.
    add(None, &owner("ctr2"), &["10.22.0.3/24", "2001:db8:22::3/64"]);
    let rules = |text: &str| text.matches("masquerade\n").count();
    assert_eq!(rules(&ruleset()), rules(&dual_table()));
    remove(&owner("ctr2"), &["10.22.0.3/24", "2001:db8:22::3/64"]);
    assert_eq!(ruleset(), dual_table());

    remove(&CTR1, &DUAL);
    assert!(!ruleset().contains("elements"), "{}", ruleset());
    remove(&CTR1, &DUAL);
    // No empty table of iptables-nft has come to be.
    assert_eq!(sh("nft list tables"), "table inet podwire_masquerade\n");
}

#[test]
fn removal_without_addresses_finds_the_owner() {
    let Some(_world) = World::new() else { return };
    add(None, &CTR1, &DUAL);
    add(None, &owner("ctr2"), &["10.22.0.3/24"]);
    remove(&owner("ctr2"), &[]);
    assert_eq!(ruleset(), dual_table());
    // An address with a wrong prefix length leads nowhere; the comment does.
    remove(&CTR1, &["10.22.0.2/32"]);
    assert!(!ruleset().contains("elements"));
}

#[test]
fn second_add_replaces_the_first() {
    let Some(_world) = World::new() else { return };
    add(
        None,
        &CTR1,
        &["10.22.0.2/24", "10.22.0.9/24", "10.99.0.9/16"],
    );
    add(None, &CTR1, &DUAL);
    let text = ruleset();
    assert!(
        !text.contains("10.22.0.9") && !text.contains("10.99.0.9"),
        "{text}"
    );
    check(&CTR1, &DUAL).unwrap();
}

#[test]
fn address_with_a_new_owner_stays_with_it() {
    let Some(_world) = World::new() else { return };
    add(None, &owner("old"), &DUAL);
    add(None, &CTR1, &DUAL);
    assert_eq!(ruleset(), dual_table());
    remove(&owner("old"), &DUAL);
    assert_eq!(ruleset(), dual_table());
}

#[test]
fn lost_rules_come_back() {
    let Some(_world) = World::new() else { return };
    add(None, &CTR1, &DUAL);
    sh("nft flush chain inet podwire_masquerade postrouting");
    check(&CTR1, &DUAL).unwrap_err();
    add(None, &owner("ctr2"), &["10.22.0.3/24"]);
    check(&CTR1, &DUAL).unwrap();
    remove(&owner("ctr2"), &["10.22.0.3/24"]);
    assert_eq!(ruleset(), dual_table());
    sh("nft flush ruleset");
    remove(&CTR1, &DUAL);
    add(None, &CTR1, &DUAL);
    assert_eq!(ruleset(), dual_table());
}

/// A dormant table, and a chain without its hook, with another, or with another policy, masquerade
/// nothing: CHECK says so, ADD mends it.
#[test]
fn rules_that_see_no_packets_are_told_and_mended() {
    let Some(_world) = World::new() else { return };
    let chain = |kind: &str| {
        let rules = "ip daddr 224.0.0.0/4 return; ip6 daddr ff00::/8 return; \
            ip saddr @pods-10.22.0.0/24 ip daddr != 10.22.0.0/24 masquerade; \
            ip6 saddr @pods-2001-db8-22--/64 ip6 daddr != 2001:db8:22::/64 masquerade;";
        format!(
            "nft -f - <<'END'\n\
             delete chain inet podwire_masquerade postrouting\n\
             table inet podwire_masquerade {{ chain postrouting {{ {kind} {rules} }}; }}\nEND"
        )
    };
    let unhooked = "nothing is masqueraded: nftables chain inet podwire_masquerade postrouting is not \
                    \"type nat hook postrouting priority srcnat; policy accept\"";
    for (damage, told) in [
        (
            "nft 'add table inet podwire_masquerade { flags dormant; }'".to_owned(),
            "nothing is masqueraded: nftables table inet podwire_masquerade is dormant",
        ),
        (chain("type nat hook postrouting priority 50;"), unhooked),
        (
            chain("type nat hook postrouting priority srcnat; policy drop;"),
            unhooked,
        ),
    ] {
        add(None, &CTR1, &DUAL);
        assert_eq!(ruleset(), dual_table());
        sh(&damage);
        assert_ne!(ruleset(), dual_table(), "{damage}");
        let error = check(&CTR1, &DUAL).unwrap_err();
        assert_eq!(error.to_string(), told, "{damage}");
        add(None, &owner("ctr2"), &["10.22.0.3/24"]);
        check(&CTR1, &DUAL).unwrap();
        remove(&owner("ctr2"), &["10.22.0.3/24"]);
        assert_eq!(ruleset(), dual_table(), "{damage}");
    }
}

/// The kernel takes no masquerading into a chain without a hook of the kind `nat`.
#[test]
fn chain_without_a_hook_is_made_anew() {
    let Some(_world) = World::new() else { return };
    add(None, &CTR1, &DUAL);
    sh("nft delete chain inet podwire_masquerade postrouting");
    sh("nft add chain inet podwire_masquerade postrouting");
    check(&CTR1, &DUAL).unwrap_err();
    sh("nft 'add chain inet podwire_masquerade other; \
        add rule inet podwire_masquerade other jump postrouting'");
    let addresses = networks(&["10.22.0.3/24"]);
    let error = masquerade::add(None, &owner("ctr2"), &addresses).unwrap_err();
    let refused = "delete chain inet podwire_masquerade postrouting";
    assert_eq!(error.to_string(), refused);
    sh("nft 'flush chain inet podwire_masquerade other; \
        delete chain inet podwire_masquerade other'");
    add(None, &owner("ctr2"), &["10.22.0.3/24"]);
    check(&CTR1, &DUAL).unwrap();
    remove(&owner("ctr2"), &["10.22.0.3/24"]);
    assert_eq!(ruleset(), dual_table());
}

#[test]
fn pods_without_neighbours_share_a_rule() {
    let Some(_world) = World::new() else { return };
    for number in 1..=3 {
        let (id, v4, v6) = (
            format!("c{number}"),
            format!("10.9.0.{number}/32"),
            format!("fd00::{number}/128"),
        );
        add(None, &owner(&id), &[&v4, &v6]);
        check(&owner(&id), &[&v4, &v6]).unwrap();
    }
    assert_eq!(ruleset().matches("masquerade\n").count(), 2);
}

#[test]
fn many_adds_at_once_do_not_double_rules() {
    let Some(_world) = World::new() else { return };
    let namespace = NetNs::current().unwrap();
    thread::scope(|scope| {
        for worker in 0..8 {
            let namespace = &namespace;
            scope.spawn(move || {
                let work = || {
                    for number in 0..20 {
                        let id = format!("c{worker}-{number}");
                        let address = format!("10.{number}.0.{worker}/16");
                        add(None, &owner(&id), &[&address]);
                        check(&owner(&id), &[&address]).unwrap();
                        if number % 2 == 0 {
                            remove(&owner(&id), &[&address]);
                        }
                    }
                };
                namespace.run(work).unwrap();
            });
        }
    });
    let text = ruleset();
    assert_eq!(text.matches("masquerade\n").count(), 20, "{text}");
    assert_eq!(
        text.matches("comment \"77fa157b4f32b23b-").count(),
        80,
        "{text}"
    );
}

#[test]
fn gc_keeps_valid_attachments_and_other_networks() {
    let Some(_world) = World::new() else { return };
    let other = Identity {
        network: "other",
        ..CTR1
    };
    let long = "e".repeat(200);
    add(None, &CTR1, &DUAL);
    add(None, &owner(&long), &["10.22.0.3/24"]);
    add(None, &owner("gone"), &["10.22.0.4/24", "10.50.0.4/24"]);
    add(None, &other, &["10.60.0.2/24"]);
    add(
        Some(Backend::Iptables),
        &owner("old"),
        &["10.22.0.5/24", "2001:db8:22::5/64"],
    );
    add(Some(Backend::Iptables), &CTR1, &DUAL);
    let valid = [("ctr1", "eth0"), (long.as_str(), "eth0"), ("gone", "eth1")];
    masquerade::gc("dbnet", &valid).unwrap();
    let text = ruleset();
    for kept in [
        "10.22.0.2 comment",
        "10.22.0.3 comment",
        "10.60.0.2 comment",
        CTR1_CHAIN,
    ] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
    for gone in ["10.22.0.4", "10.50.0", "10.22.0.5", "2001:db8:22::5"] {
        assert!(!text.contains(gone), "{gone} in {text}");
    }
    assert_eq!(saved("iptables-save").len(), 4);
    masquerade::gc("dbnet", &[]).unwrap();
    masquerade::gc("other", &[]).unwrap();
    assert_eq!(ruleset().matches("masquerade\n").count(), 0);
    assert_eq!(saved("iptables-save"), Vec::<String>::new());
    assert_eq!(saved("ip6tables-save"), Vec::<String>::new());
}

/// The recordings' rules; with two IPv4 addresses, both exceptions before the masquerading.
#[test]
fn iptables_rules_are_the_references() {
    let Some(_world) = World::new() else { return };
    let comment = r#"-m comment --comment "name: \"dbnet\" id: \"ctr1\"""#;
    add(
        Some(Backend::Iptables),
        &CTR1,
        &["10.22.0.2/24", "10.23.0.2/24", "2001:db8:22::2/64"],
    );
    let v4 = [
        format!(":{CTR1_CHAIN} -"),
        format!("-A POSTROUTING -s 10.22.0.2/32 {comment} -j {CTR1_CHAIN}"),
        format!("-A POSTROUTING -s 10.23.0.2/32 {comment} -j {CTR1_CHAIN}"),
        format!("-A {CTR1_CHAIN} -d 10.22.0.0/24 {comment} -j ACCEPT"),
        format!("-A {CTR1_CHAIN} -d 10.23.0.0/24 {comment} -j ACCEPT"),
        format!("-A {CTR1_CHAIN} ! -d 224.0.0.0/4 {comment} -j MASQUERADE"),
    ];
    let v6 = [
        format!(":{CTR1_CHAIN} -"),
        format!("-A POSTROUTING -s 2001:db8:22::2/128 {comment} -j {CTR1_CHAIN}"),
        format!("-A {CTR1_CHAIN} -d 2001:db8:22::/64 {comment} -j ACCEPT"),
        format!("-A {CTR1_CHAIN} ! -d ff00::/8 {comment} -j MASQUERADE"),
    ];
    assert_eq!(saved("iptables-save"), v4);
    assert_eq!(saved("ip6tables-save"), v6);
    add(
        Some(Backend::Iptables),
        &CTR1,
        &["10.22.0.2/24", "10.23.0.2/24", "2001:db8:22::2/64"],
    );
    assert_eq!(saved("iptables-save"), v4);
    check(
        &CTR1,
        &["10.22.0.2/24", "10.23.0.2/24", "2001:db8:22::2/64"],
    )
    .unwrap();
    check(&CTR1, &["10.22.0.3/24"]).unwrap_err();
    remove(
        &CTR1,
        &["10.22.0.2/24", "10.23.0.2/24", "2001:db8:22::2/64"],
    );
    assert_eq!(saved("iptables-save"), Vec::<String>::new());
    assert_eq!(saved("ip6tables-save"), Vec::<String>::new());
    remove(&CTR1, &DUAL);
}

#[test]
fn two_interfaces_share_an_iptables_chain() {
    let Some(_world) = World::new() else { return };
    let second = Identity {
        ifname: "eth1",
        ..CTR1
    };
    add(Some(Backend::Iptables), &CTR1, &["10.22.0.2/24"]);
    add(Some(Backend::Iptables), &second, &["10.23.0.3/24"]);
    assert_eq!(saved("iptables-save").len(), 6);
    check(&CTR1, &["10.22.0.2/24"]).unwrap();
    remove(&CTR1, &["10.22.0.2/24"]);
    check(&CTR1, &["10.22.0.2/24"]).unwrap_err();
    check(&second, &["10.23.0.3/24"]).unwrap();
    remove(&second, &["10.23.0.3/24"]);
    assert_eq!(saved("iptables-save"), Vec::<String>::new());
}

#[test]
fn iptables_adds_at_once_all_succeed() {
    let Some(_world) = World::new() else { return };
    let namespace = NetNs::current().unwrap();
    thread::scope(|scope| {
        for worker in 0..4 {
            let namespace = &namespace;
            scope.spawn(move || {
                let work = || {
                    for number in 0..5 {
                        let id = format!("c{worker}-{number}");
                        let address = format!("10.22.{number}.{worker}/16");
                        add(Some(Backend::Iptables), &owner(&id), &[&address]);
                    }
                };
                namespace.run(work).unwrap();
            });
        }
    });
    assert_eq!(saved("iptables-save").len(), 20 * 4);
}

/// Rules of the reference plugins' nftables backend, as recorded.
#[test]
fn reference_nftables_rules_are_accepted_and_removed() {
    let Some(_world) = World::new() else { return };
    let rules = |address: &str, id: &str| {
        format!(
            r#"add rule inet cni_plugins_masquerade masq_checks ip saddr {address} ip daddr != 10.22.0.0/24 masquerade comment "{id}""#
        )
    };
    sh(&format!(
        "nft -f - <<'END'\n\
         add table inet cni_plugins_masquerade\n\
         add chain inet cni_plugins_masquerade masq_checks\n\
         {}\n{}\nEND",
        rules("10.22.0.2", CTR1_COMMENT),
        rules(
            "10.22.0.3",
            "77fa157b4f32b23b-0000000000000000, net: dbnet, if: eth0, id: ctr2"
        ),
    ));
    check(&CTR1, &["10.22.0.2/24"]).unwrap();
    check(&CTR1, &["10.22.0.3/24"]).unwrap_err();
    remove(&CTR1, &[]);
    let text = ruleset();
    assert!(
        !text.contains("10.22.0.2") && text.contains("10.22.0.3"),
        "{text}"
    );
    masquerade::gc("dbnet", &[]).unwrap();
    assert!(!ruleset().contains("saddr"));
}

/// The reference bridge plugin adds, we delete: with iptables-nft and with iptables-legacy.
#[test]
fn reference_iptables_rules_are_accepted_and_removed() {
    const PLUGINS: &str = "/usr/lib/cni";
    if !is_installed(format!("{PLUGINS}/bridge"), "containernetworking-plugins") {
        return;
    }
    let Some(world) = World::new() else { return };
    let _pod = world.pod("pod");
    sh("mkdir /run/legacy; \
        for name in iptables ip6tables; do ln -s /usr/sbin/$name-legacy /run/legacy/$name; done");
    let config = r#"{"cniVersion": "1.0.0", "name": "dbnet", "type": "bridge", "isGateway": true,
        "ipMasq": true, "ipam": {"type": "host-local",
        "ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "2001:db8:22::/64"}]]}}"#;
    for (path, save) in [("", "-save"), ("/run/legacy:", "-legacy-save")] {
        sh(&format!(
            "CNI_COMMAND=ADD CNI_CONTAINERID=ctr1 CNI_IFNAME=eth0 CNI_NETNS=/run/netns/pod \
             CNI_PATH={PLUGINS} PATH={path}$PATH {PLUGINS}/bridge <<'END'\n{config}\nEND"
        ));
        for program in ["iptables", "ip6tables"] {
            assert_eq!(saved(&format!("{program}{save}")).len(), 4);
        }
        check(&CTR1, &DUAL).unwrap();
        check(&owner("ctr2"), &DUAL).unwrap_err();
        remove(&CTR1, &DUAL);
        check(&CTR1, &DUAL).unwrap_err();
        for program in ["iptables", "ip6tables"] {
            assert_eq!(saved(&format!("{program}{save}")), Vec::<String>::new());
        }
        sh("ip -n pod link del eth0; rm -r /var/lib/cni/networks");
    }
}

/// A pod, the host that forwards for it, and a machine outside that is reached through the host,
/// also under an address of the pod's own subnet.
fn topology(world: &World) -> (NetNs, NetNs) {
    let (pod, outside) = (world.pod("pod"), world.pod("outside"));
    sh("
        ip link add p type veth peer name eth0 netns pod
        ip link add o type veth peer name eth0 netns outside
        for link in p o; do ip link set $link up; done
        for ns in pod outside; do ip -n $ns link set lo up; ip -n $ns link set eth0 up; done
        echo 1 > /proc/sys/net/ipv4/ip_forward
        echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
        ip addr add 10.22.0.1/24 dev p; ip addr add 192.0.2.1/24 dev o
        ip addr add 2001:db8:22::1/64 dev p nodad; ip addr add 2001:db8:2::1/64 dev o nodad
        ip -n pod addr add 10.22.0.2/24 dev eth0; ip -n pod addr add 2001:db8:22::2/64 dev eth0 nodad
        ip -n outside addr add 192.0.2.2/24 dev eth0; ip -n outside addr add 10.22.0.77/32 dev eth0
        ip -n outside addr add 2001:db8:2::2/64 dev eth0 nodad
        ip -n outside addr add 2001:db8:22::77/128 dev eth0 nodad
        ip route add 10.22.0.77/32 dev o; ip route add 2001:db8:22::77/128 via 2001:db8:2::2
        ip -n pod route add default via 10.22.0.1; ip -n pod route add 10.22.0.77/32 via 10.22.0.1
        ip -n pod route add default via 2001:db8:22::1
        ip -n pod route add 2001:db8:22::77/128 via 2001:db8:22::1
        ip -n outside route add default via 192.0.2.1
        ip -n outside route add default via 2001:db8:2::1
    ");
    (pod, outside)
}

/// The source address that a listener outside sees when the pod connects to `destination`.
fn seen_source(pod: &NetNs, outside: &NetNs, destination: &str) -> IpAddr {
    let target = SocketAddr::new(destination.parse().unwrap(), 8080);
    let listener = outside.run(|| TcpListener::bind(target)).unwrap().unwrap();
    let stream = pod
        .run(|| TcpStream::connect_timeout(&target, Duration::from_secs(60)))
        .unwrap()
        .unwrap();
    let (_, peer) = listener.accept().unwrap();
    drop(stream);
    peer.ip()
}

#[test]
fn packets_leave_with_the_hosts_address_and_stay_plain_inside() {
    let Some(world) = World::new() else { return };
    let (pod, outside) = topology(&world);
    let seen = |destination| seen_source(&pod, &outside, destination).to_string();
    let outward = ["192.0.2.2", "2001:db8:2::2"];
    let inward = ["10.22.0.77", "2001:db8:22::77"];
    let plain = ["10.22.0.2", "2001:db8:22::2"];
    assert_eq!(outward.map(seen), plain);
    for backend in [None, Some(Backend::Nftables), Some(Backend::Iptables)] {
        add(backend, &CTR1, &DUAL);
        assert_eq!(
            outward.map(seen),
            ["192.0.2.1", "2001:db8:2::1"],
            "{backend:?}"
        );
        assert_eq!(inward.map(seen), plain, "{backend:?}");
        remove(&CTR1, &DUAL);
        assert_eq!(outward.map(seen), plain, "{backend:?}");
    }
}

/// Neither ADD nor DEL of the native backend runs a program: they work with an empty PATH.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "a PATH of its own needs a process of its own"
)]
fn native_path_runs_no_program() {
    const MARK: &str = "MASQUERADE_TEST_EMPTY_PATH";
    if std::env::var_os(MARK).is_some() {
        let Some(_world) = World::new() else { return };
        add(None, &CTR1, &DUAL);
        check(&CTR1, &DUAL).unwrap();
        remove(&CTR1, &DUAL);
        let addresses = networks(&DUAL);
        let asked = masquerade::add(Some(Backend::Iptables), &CTR1, &addresses);
        let error = asked.unwrap_err().to_string();
        assert_eq!(error, r#"iptables: not found in PATH """#);
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "native_path_runs_no_program"])
        .env("PATH", "")
        .env(MARK, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{output:?}"
    );
}

#[test]
fn unknown_backend_is_named() {
    let error = "firewalld".parse::<Backend>().unwrap_err();
    assert_eq!(error.to_string(), r#"unknown ipmasq backend "firewalld""#);
}

//! Qdiscs and filters, compared with what `tc` says.

mod common;

use std::slice::from_ref;
use std::time::Duration;

use common::{Step, here, name};
use kernel::qdisc::{Handle, Netem, Qdisc, QdiscKind, Tbf};
use kernel::testing::World;
use kernel::{LinkIndex, Netlink, Redirect};

const LATENCY: Duration = Duration::from_millis(25);

/// A veth and an ifb, up.
fn prepared() -> (Netlink, LinkIndex, LinkIndex) {
    let ip = here();
    ip.run("ip link add left type veth peer name right");
    ip.run("ip link add mid type ifb");
    for link in ["left", "right", "mid"] {
        ip.run(&format!("ip link set {link} up"));
    }
    let netlink = Netlink::open().step();
    let index = |link| netlink.link(&name(link)).step().map(|link| link.index);
    let (left, mid) = (index("left"), index("mid"));
    let none = LinkIndex(0);
    (netlink, left.unwrap_or(none), mid.unwrap_or(none))
}

/// Whether the kernel knows a qdisc, and a reason on standard error when not.
fn knows(kind: &str) -> bool {
    let (known, why) = here().try_run(&format!("tc qdisc add dev left root handle 1: {kind}"));
    match known {
        true => _ = here().run("tc qdisc del dev left root"),
        false => eprintln!("skipped: this kernel has no {kind}: {}", why.trim()),
    }
    known
}

/// Words of a qdisc that `tc` prints in the same form.
fn words(qdisc: &Qdisc) -> Vec<String> {
    let tbf = match &qdisc.kind {
        QdiscKind::Tbf(tbf) => tbf.to_string(),
        _ => String::new(),
    };
    let words: Vec<&str> = tbf.split(' ').collect();
    words.chunks(2).map(|pair| pair.join(" ")).collect()
}

#[test]
fn token_buckets() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, _) = prepared();
    for (rate, burst) in [
        (1_000_000, 100_000),
        (187_500, 3_000),
        (10_000_000_000, 8_000_000),
    ] {
        let qdisc = Qdisc::root(left, QdiscKind::Tbf(Tbf::new(rate, burst, LATENCY)));
        netlink.add_qdisc(&qdisc).step();
        let again = netlink.add_qdisc(&qdisc).unwrap_err();
        assert!(again.is_exists(), "{again}: {}", again.source);
        let seen = here().json("tc qdisc show dev left");
        assert_eq!(seen[0]["kind"], "tbf");
        assert_eq!(seen[0]["handle"], "1:");
        assert_eq!(seen[0]["options"]["rate"], rate);
        let seen = here().run("tc qdisc show dev left");
        for word in words(&qdisc) {
            assert!(seen.contains(&word), "{word}: {seen}");
        }
        assert_eq!(netlink.qdiscs(left).step(), from_ref(&qdisc));
        netlink.delete_qdisc(&qdisc).step();
        // The kernel's own qdisc stands there again, which has another number.
        let again = netlink.delete_qdisc(&qdisc).unwrap_err();
        assert_eq!(again.errno(), Some(22), "{again}: {}", again.source);
    }
}

#[test]
fn a_token_bucket_that_tc_made_reads_alike() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, _) = prepared();
    here().run("tc qdisc add dev left root handle 1: tbf rate 8mbit burst 100000b latency 25ms");
    let expected = Qdisc::root(left, QdiscKind::Tbf(Tbf::new(1_000_000, 100_000, LATENCY)));
    assert_eq!(netlink.qdiscs(left).step(), [expected]);
}

/// Both at once: what waits and is lost, and behind that what leaves at a rate.
#[test]
fn an_emulated_network() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, _) = prepared();
    let emulator = QdiscKind::Netem(Netem::new(Duration::from_millis(50), 0.05));
    let known = knows("netem delay 1ms");
    assert_eq!(netlink.has_qdisc_kind(&emulator).step(), known);
    if !known {
        return;
    }
    let emulator = Qdisc::root(left, emulator);
    let rate = QdiscKind::Tbf(Tbf::new(1_000_000, 100_000, LATENCY));
    let rate = Qdisc::behind_root(left, rate);
    netlink.add_qdisc(&emulator).step();
    netlink.add_qdisc(&rate).step();
    let seen = here().run("tc qdisc show dev left");
    for words in [
        "netem 1: root",
        "limit 10000 delay 50ms loss 5%",
        "tbf 2: parent 1:1",
    ] {
        assert!(seen.contains(words), "{words}: {seen}");
    }
    assert_eq!(netlink.qdiscs(left).step(), [emulator.clone(), rate]);
    netlink.delete_qdisc(&emulator).step();
    assert!(!here().run("tc qdisc show dev left").contains("netem"));
}

#[test]
fn an_empty_bucket_is_refused() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, _) = prepared();
    for (rate, burst) in [(0, 100), (100, 0)] {
        let qdisc = Qdisc::root(left, QdiscKind::Tbf(Tbf::new(rate, burst, LATENCY)));
        let error = netlink.add_qdisc(&qdisc).unwrap_err();
        assert_eq!(error.errno(), Some(22), "{error}: {}", error.source);
    }
}

#[test]
fn places_for_filters() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, _) = prepared();
    for (qdisc, kind) in [
        (Qdisc::ingress(left), "ingress"),
        (Qdisc::clsact(left), "clsact"),
    ] {
        netlink.add_qdisc(&qdisc).step();
        assert!(netlink.add_qdisc(&qdisc).unwrap_err().is_exists());
        let seen = here().run("tc qdisc show dev left");
        let line = qdisc.to_string().replace(&format!("dev {left} "), "");
        assert!(seen.contains(&format!("qdisc {line}")), "{line}: {seen}");
        assert!(line.starts_with(&format!("{kind} ffff: parent ffff:fff1")));
        assert!(netlink.qdiscs(left).step().contains(&qdisc));
        netlink.delete_qdisc(&qdisc).step();
        assert!(!netlink.qdiscs(left).step().contains(&qdisc));
    }
}

#[test]
fn fair_queueing_and_qdiscs_that_others_made() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, mid) = prepared();
    if knows("fq_codel") {
        let qdisc = Qdisc::root(left, QdiscKind::FqCodel);
        netlink.add_qdisc(&qdisc).step();
        assert!(here().run("tc qdisc show dev left").contains("fq_codel 1:"));
        assert_eq!(netlink.qdiscs(left).step(), from_ref(&qdisc));
        netlink.delete_qdisc(&qdisc).step();
    }
    if knows("htb") {
        here().run("tc qdisc add dev left root handle 1: htb");
        let other = Qdisc::root(left, QdiscKind::Other("htb".to_owned()));
        assert_eq!(netlink.qdiscs(left).step(), from_ref(&other));
        netlink.delete_qdisc(&other).step();
    }
    assert!(netlink.qdiscs(LinkIndex(4242)).step().is_empty());
    let nobody = Qdisc::ingress(LinkIndex(4242));
    assert!(netlink.add_qdisc(&nobody).unwrap_err().is_gone());
    assert_eq!(netlink.qdiscs(mid).step()[0].handle, Handle::NONE);
}

#[test]
fn all_packets_are_redirected() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, mid) = prepared();
    netlink.add_qdisc(&Qdisc::ingress(left)).step();
    let redirect = Redirect::new(left, mid);
    netlink.add_redirect(&redirect).step();
    assert_eq!(netlink.redirects(left).step(), from_ref(&redirect));
    let seen = here().run("tc filter show dev left parent ffff:");
    for words in [
        "filter protocol all pref 1 u32",
        "flowid 1:1",
        "match 00000000/00000000 at 0",
        "mirred (Egress Redirect to device mid) stolen",
    ] {
        assert!(seen.contains(words), "{words}: {seen}");
    }
    netlink.delete_redirect(&redirect).step();
    assert!(netlink.redirects(left).step().is_empty());
    assert!(netlink.delete_redirect(&redirect).unwrap_err().is_gone());
}

#[test]
fn redirected_packets_leave_by_the_other_link() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, mid) = prepared();
    netlink.add_qdisc(&Qdisc::ingress(left)).step();
    netlink.add_redirect(&Redirect::new(left, mid)).step();
    here().run("ip address add 10.9.0.1/24 dev right");
    here().run("ip neighbour add 10.9.0.2 lladdr 02:00:00:00:00:02 dev right nud permanent");
    let socket = std::net::UdpSocket::bind("10.9.0.1:0").unwrap();
    let packets = || here().json("ip -s link show dev mid")[0]["stats64"]["tx"]["packets"].as_u64();
    let before = packets().unwrap();
    for _ in 0..100 {
        socket.send_to(b"through", "10.9.0.2:9").unwrap();
    }
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while packets().unwrap() < before + 100 {
        assert!(std::time::Instant::now() < deadline, "{:?}", packets());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_redirect_whose_target_went_is_seen() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, mid) = prepared();
    netlink.add_qdisc(&Qdisc::ingress(left)).step();
    netlink.add_redirect(&Redirect::new(left, mid)).step();
    here().run("ip link del mid");
    let gone = Redirect::new(left, LinkIndex(0));
    assert_eq!(netlink.redirects(left).step(), from_ref(&gone));
    assert!(gone.to_string().ends_with("(Egress Redirect to device *)"));
}

#[test]
fn filters_of_others_read_as_what_they_are() {
    let Some(_world) = World::new() else { return };
    let (netlink, left, mid) = prepared();
    let error = netlink.add_redirect(&Redirect::new(left, mid)).unwrap_err();
    assert_eq!(error.errno(), Some(22), "{error}: {}", error.source);
    netlink.add_qdisc(&Qdisc::ingress(left)).step();
    let filter = "tc filter add dev left parent ffff: prio";
    let everything = "protocol all u32 match u32 0 0 flowid 1:1 action mirred egress";
    here().run(&format!("{filter} 1 {everything} redirect dev mid"));
    assert_eq!(netlink.redirects(left).step(), [Redirect::new(left, mid)]);
    here().run("tc filter del dev left parent ffff:");
    here().run(&format!("{filter} 2 {everything} mirror dev mid"));
    here().run(&format!(
        "{filter} 3 protocol all u32 match u8 1 0xff at 0 action mirred egress redirect dev mid"
    ));
    here().run(&format!(
        "{filter} 4 protocol ip u32 match u32 0 0 action mirred egress redirect dev mid"
    ));
    assert_eq!(netlink.redirects(left).step(), []);
}

#[test]
fn a_qdisc_is_found_by_its_place_and_replaced_there() {
    let Some(_world) = World::new() else { return };
    here().run("ip link add left type veth peer name right");
    let netlink = Netlink::open().step();
    let left = netlink.link(&name("left")).step().unwrap().index;
    let at = |place| netlink.qdisc(left, place).step();
    let below = Handle { major: 1, minor: 1 };
    assert_eq!(
        [at(Handle::ROOT), at(Handle::INGRESS), at(below)],
        [None, None, None]
    );
    let ingress = Qdisc::ingress(left);
    netlink.add_qdisc(&ingress).step();
    assert_eq!(at(Handle::INGRESS), Some(ingress));
    for rate in [1_000_000, 2_000_000] {
        let root = Qdisc::root(left, QdiscKind::Tbf(Tbf::new(rate, 100_000, LATENCY)));
        netlink.replace_qdisc(&root).step();
        assert_eq!(at(Handle::ROOT), Some(root));
    }
    let inner = Qdisc {
        link: left,
        parent: below,
        handle: Handle { major: 2, minor: 0 },
        kind: QdiscKind::Tbf(Tbf::new(3_000_000, 100_000, LATENCY)),
    };
    netlink.replace_qdisc(&inner).step();
    assert_eq!(at(below), Some(inner));
    let gone = netlink.qdisc(LinkIndex(4242), Handle::ROOT).unwrap_err();
    assert!(gone.is_gone(), "{gone}");
}

#[test]
fn the_kernel_tells_which_qdiscs_it_has_and_makes_none() {
    let Some(_world) = World::new() else { return };
    let (netlink, ..) = prepared();
    let before = netlink.qdiscs(LinkIndex(1)).step();
    let tbf = QdiscKind::Tbf(Tbf::new(1, 1, LATENCY));
    for (kind, there) in [
        (tbf, true),
        (QdiscKind::FqCodel, knows("fq_codel")),
        (QdiscKind::Other("nonesuch".to_owned()), false),
    ] {
        assert_eq!(netlink.has_qdisc_kind(&kind).step(), there, "{kind:?}");
    }
    assert_eq!(netlink.qdiscs(LinkIndex(1)).step(), before);
}

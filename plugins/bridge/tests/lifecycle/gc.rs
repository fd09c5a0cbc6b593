//! GC and STATUS.

use super::*;

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

/// Anyone can write an alias.
#[test]
fn gc_leaves_links_that_only_their_alias_gives_to_an_attachment() {
    let Some(host) = Host::new() else { return };
    host.add(PLAIN);
    sh("ip link add uplink type veth peer name uplinkp
        ip link add veth0123abcd type bridge
        ip link add vethABCDEF01 type veth peer name vethp
        ip link add veth0123abc type veth peer name vethq
        for link in uplink veth0123abcd vethABCDEF01 veth0123abc; do
            ip link set $link alias podwire:dbnet/gone/eth0
        done");
    let none_valid = r#""cni.dev/valid-attachments": [], "name""#;
    host.succeed("GC", &PLAIN.replace(r#""name""#, none_valid));
    let mut left = names("veth");
    left.sort();
    assert_eq!(
        left,
        [
            "uplink",
            "uplinkp",
            "veth0123abc",
            "vethABCDEF01",
            "vethp",
            "vethq"
        ]
    );
    assert_eq!(names("bridge").len(), 2);
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
    assert_eq!(code(&PLAIN.replace("host-local", "nope")), 50);
    for name in ["", "a/b", "sixteen-letters-", ".."] {
        let named = format!("\"bridge\": {name:?}, \"type\"");
        assert_eq!(code(&PLAIN.replace("\"type\"", &named)), 50, "{name:?}");
    }
    sh("ip link add cni0 type veth peer name cni0p");
    let (code, message) = host.fail("STATUS", PLAIN);
    assert_eq!(code, 50);
    assert!(
        message.contains("\"cni0\" already exists but is not a bridge"),
        "{message}"
    );
}

/// A pod whose check somebody flushed may send under any address until it is back.
#[test]
fn flushed_spoof_checks_come_back_for_every_pod() {
    let Some(host) = Host::new() else { return };
    host.world.pod("two");
    let one = with_prev_result(FULL, &host.add(FULL));
    let of_two = [("CNI_CONTAINERID", "ctr2"), ("CNI_NETNS", "/run/netns/two")];

    sh("nft delete table bridge nat");
    let (_, message) = host.fail("CHECK", &one);
    assert!(message.contains("no MAC spoof check"), "{message}");
    let two = with_prev_result(FULL, &host.add_with(FULL, &of_two));
    host.succeed("CHECK", &one);

    let valid =
        r#""cni.dev/valid-attachments": [{"containerID": "ctr1", "ifname": "eth0"}], "name""#;
    host.succeed("GC", &FULL.replace(r#""name""#, valid));
    host.succeed("CHECK", &one);
    assert!(!portrait::rules().contains("ctr2"), "{}", portrait::rules());
    host.succeed_with("DEL", &two, &of_two);
    host.succeed("CHECK", &one);

    // Also where the key is gone from the configuration by now.
    host.succeed("DEL", &one.replace(r#""macspoofchk":true,"#, ""));
    assert_released("DEL");
    assert_eq!(sh("ls /run/podwire/attachments/macspoofchk"), "");
}

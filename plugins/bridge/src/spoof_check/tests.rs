//! The rules as nft(8) prints them, against what the reference plugin leaves.

use super::*;

fn of<'a>(container_id: &'a str, ifname: &'a str) -> Identity<'a> {
    Identity {
        network: "dbnet",
        container_id,
        ifname,
    }
}
use kernel::testing::World;
use std::process::Command;

const MAC: MacAddr = MacAddr([0xc2, 0x11, 0x22, 0, 0, 1]);

#[allow(
    clippy::disallowed_methods,
    reason = "the judge must not be the code under test"
)]
fn ruleset() -> String {
    let output = Command::new("nft")
        .args(["list", "ruleset"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What the reference plugin leaves after ADD, as nft(8) prints it.
fn expected(host_if: &str, mac: &str) -> String {
    format!(
        r#"table bridge nat {{
	chain PREROUTING {{
		type filter hook prerouting priority dstnat; policy accept;
		iifname "{host_if}" jump cni-br-iface-ctr1-eth0 comment "macspoofchk-ctr1-eth0"
	}}

	chain cni-br-iface-ctr1-eth0 {{
		jump cni-br-iface-ctr1-eth0-mac comment "macspoofchk-ctr1-eth0"
	}}

	chain cni-br-iface-ctr1-eth0-mac {{
		ether saddr {mac} return comment "macspoofchk-ctr1-eth0"
		drop comment "macspoofchk-ctr1-eth0"
	}}
}}
"#
    )
}

const EMPTY: &str = "table bridge nat {
	chain PREROUTING {
		type filter hook prerouting priority dstnat; policy accept;
	}
}
";

#[test]
fn leaves_what_the_reference_leaves() {
    let Some(_world) = World::new() else { return };
    remove(of("ctr1", "eth0")).unwrap();
    assert_eq!(ruleset(), "");
    add("veth1", MAC, of("ctr1", "eth0")).unwrap();
    assert_eq!(ruleset(), expected("veth1", "c2:11:22:00:00:01"));
    remove(of("ctr1", "eth0")).unwrap();
    assert_eq!(ruleset(), EMPTY);
    remove(of("ctr1", "eth0")).unwrap();
    assert_eq!(ruleset(), EMPTY);
}

#[test]
fn second_add_replaces_the_first() {
    let Some(_world) = World::new() else { return };
    add("veth1", MAC, of("ctr1", "eth0")).unwrap();
    add("veth2", MacAddr([2; 6]), of("ctr1", "eth0")).unwrap();
    assert_eq!(ruleset(), expected("veth2", "02:02:02:02:02:02"));
}

#[test]
fn others_stay() {
    let Some(_world) = World::new() else { return };
    add("veth1", MAC, of("ctr1", "eth0")).unwrap();
    add("veth2", MAC, of("ctr1", "eth1")).unwrap();
    add("veth3", MAC, of("ctr1-eth0", "net1")).unwrap();
    remove(of("ctr1", "eth1")).unwrap();
    remove(of("ctr1-eth0", "net1")).unwrap();
    assert_eq!(ruleset(), expected("veth1", "c2:11:22:00:00:01"));
}

/// Names that the reference plugin composes can meet: `-mac` is a suffix of both.
#[test]
fn chain_of_another_owner_is_not_overwritten() {
    let Some(_world) = World::new() else { return };
    add("veth1", MAC, of("ctr1", "eth0")).unwrap();
    let error = add("veth2", MAC, of("ctr1", "eth0-mac")).unwrap_err();
    assert!(matches!(error, Error::Taken { .. }), "{error}");
    assert_eq!(ruleset(), expected("veth1", "c2:11:22:00:00:01"));
}

#[test]
fn check_sees_every_damage() {
    let Some(_world) = World::new() else { return };
    add("veth1", MAC, of("ctr1", "eth0")).unwrap();
    check("veth1", MAC, of("ctr1", "eth0")).unwrap();
    check("veth2", MAC, of("ctr1", "eth0")).unwrap_err();
    check("veth1", MacAddr([2; 6]), of("ctr1", "eth0")).unwrap_err();
    for chain in [
        PREROUTING,
        "cni-br-iface-ctr1-eth0",
        "cni-br-iface-ctr1-eth0-mac",
    ] {
        add("veth1", MAC, of("ctr1", "eth0")).unwrap();
        let flush = Transaction::new().flush_chain(TABLE, chain);
        Nft::open().unwrap().commit(flush).unwrap();
        let error = check("veth1", MAC, of("ctr1", "eth0"))
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("chain {chain:?}")), "{error}");
    }
    remove(of("ctr1", "eth0")).unwrap();
    check("veth1", MAC, of("ctr1", "eth0")).unwrap_err();
}

#[test]
fn gc_removes_what_has_no_link() {
    let Some(_world) = World::new() else { return };
    add("veth1", MAC, of("ctr1", "eth0")).unwrap();
    add("veth2", MAC, of("ctr2", "eth0")).unwrap();
    gc(&|link| link == "veth1").unwrap();
    assert_eq!(ruleset(), expected("veth1", "c2:11:22:00:00:01"));
    gc(&|_| false).unwrap();
    assert_eq!(ruleset(), EMPTY);
}

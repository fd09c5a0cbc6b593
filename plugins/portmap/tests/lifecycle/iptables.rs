//! The iptables backend: the reference plugin's rules, with as few programs as can be.

use harness::{sh, succeeds, turn};
use serde_json::json;

use crate::support::{CTR2, config, config_of, in_own_world, mapping, web};

fn saved(program: &str) -> Vec<String> {
    let text = sh(&format!("{program} -t nat"));
    let is_kept = |line: &&str| line.starts_with("-A") || line.starts_with(":CNI");
    text.lines()
        .filter(is_kept)
        .map(|line| line.trim_end_matches(" [0:0]").to_owned())
        .collect()
}

/// As recorded of the reference plugin.
fn recorded() -> Vec<String> {
    let chain = "CNI-DN-a4fa0b217749fd390b69a";
    let comment = r#"-m comment --comment "dnat name: \"dbnet\" id: \"ctr1\"""#;
    [
        ":CNI-DN-a4fa0b217749fd390b69a -",
        ":CNI-HOSTPORT-DNAT -",
        ":CNI-HOSTPORT-MASQ -",
        ":CNI-HOSTPORT-SETMARK -",
        "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
        "-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
        r#"-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ"#,
        &format!("-A {chain} -s 10.22.0.0/24 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK"),
        &format!("-A {chain} -s 127.0.0.1/32 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK"),
        &format!("-A {chain} -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.22.0.5:80"),
        &format!("-A {chain} -s 10.22.0.0/24 -d 192.0.2.7/32 -p udp -m udp --dport 53 -j CNI-HOSTPORT-SETMARK"),
        &format!("-A {chain} -s 127.0.0.1/32 -d 192.0.2.7/32 -p udp -m udp --dport 53 -j CNI-HOSTPORT-SETMARK"),
        &format!("-A {chain} -d 192.0.2.7/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.22.0.5:5353"),
        &format!("-A CNI-HOSTPORT-DNAT -p tcp {comment} -m multiport --dports 8080 -j {chain}"),
        &format!("-A CNI-HOSTPORT-DNAT -p udp {comment} -m multiport --dports 53 -j {chain}"),
        "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE",
        r#"-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000"#,
    ]
    .map(str::to_owned)
    .to_vec()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn rules_are_the_references_once_and_twice() {
    in_own_world(|host| {
        let mappings = json!([
            mapping(8080, 80, "tcp", ""),
            mapping(53, 5353, "udp", "192.0.2.7")
        ]);
        let config = config(mappings, json!({ "backend": "iptables" }));
        for _ in 0..2 {
            host.add(&config);
            assert_eq!(sorted(saved("iptables-save")), sorted(recorded()));
            host.succeed("CHECK", &config);
        }
        // Another pod adds its own rules only.
        let second = config_of(
            6,
            json!([mapping(81, 80, "tcp", "")]),
            json!({ "backend": "iptables" }),
        );
        host.add_with(&second, &CTR2);
        assert_eq!(saved("iptables-save").len(), recorded().len() + 5);
        host.succeed_with("DEL", &second, &CTR2);
        assert_eq!(sorted(saved("iptables-save")), sorted(recorded()));
        host.succeed("DEL", &config);
        for program in ["iptables-save", "ip6tables-save"] {
            let left = saved(program);
            assert!(
                !left.iter().any(|line| line.contains("CNI-DN-")),
                "{left:?}"
            );
        }
    });
}

#[test]
fn an_add_waits_for_whoever_changes_iptables() {
    in_own_world(|host| {
        let config = config(web(), json!({ "backend": "iptables" }));
        turn::is_waited_for(
            || drop(host.add(&config)),
            || saved("iptables-save").join("\n"),
        );
        host.succeed("CHECK", &config);
    });
}

#[test]
fn marks_of_several_networks_live_together() {
    in_own_world(|host| {
        let by = |bit: u8| json!({ "markMasqBit": bit });
        host.add(&config(web(), by(13)));
        let second = config_of(6, json!([mapping(81, 80, "tcp", "")]), by(5));
        host.add_with(&second, &CTR2);
        let marks = |rules: Vec<String>| {
            rules
                .iter()
                .filter(|rule| rule.contains("--set-xmark"))
                .count()
        };
        assert_eq!(marks(saved("iptables-save")), 2);
        host.add_with(
            &config_of(7, json!([mapping(82, 80, "tcp", "")]), by(5)),
            &[("CNI_CONTAINERID", "ctr3")],
        );
        assert_eq!(marks(saved("iptables-save")), 2, "each once");
        host.succeed("CHECK", &config(web(), by(13)));
        host.succeed_with("CHECK", &second, &CTR2);
    });
}

#[test]
fn a_missing_chain_is_made_and_a_refused_family_leaves_nothing() {
    in_own_world(|host| {
        let config = config(web(), json!({ "backend": "iptables" }));
        host.add(&config);
        sh("iptables -t nat -F OUTPUT; iptables -t nat -F CNI-HOSTPORT-MASQ");
        let (_, message) = host.fail("CHECK", &config);
        assert!(
            message.starts_with("could not check ipv4 dnat: rule"),
            "{message}"
        );
        let second = config_of(
            6,
            json!([mapping(81, 80, "tcp", "")]),
            json!({ "backend": "iptables" }),
        );
        host.add_with(&second, &CTR2);
        host.succeed("CHECK", &config);
        host.succeed("DEL", &config);
        host.succeed_with("DEL", &second, &CTR2);
        let before = (saved("iptables-save"), saved("ip6tables-save"));
        // The second family refuses what it cannot understand.
        let broken = crate::support::config(web(), json!({ "conditionsV6": ["-d", "192.0.2.1"] }));
        let (_, message) = host.fail("ADD", &broken);
        assert!(
            message.starts_with("unable to setup DNAT: running ["),
            "{message}"
        );
        assert_eq!((saved("iptables-save"), saved("ip6tables-save")), before);
    });
}

#[test]
fn legacy_rules_are_written_checked_and_deleted() {
    if !succeeds("iptables-legacy -t nat -S && ip6tables-legacy -t nat -S") {
        eprintln!("skipped: this kernel or machine has no iptables-legacy");
        return;
    }
    in_own_world(|host| {
        sh(
            "mkdir /run/legacy; for p in iptables ip6tables; do for s in '' -restore -save; do
            ln -s $(command -v $p-legacy$s) /run/legacy/$p$s; done; done",
        );
        let comment = r#"-m comment --comment "dnat name: \"dbnet\" id: \"ctr1\"""#;
        sh(&format!(
            r#"iptables-legacy -t nat -N CNI-HOSTPORT-DNAT; iptables-legacy -t nat -N CNI-DN-a4fa0b217749fd390b69a
            iptables-legacy -t nat -A CNI-DN-a4fa0b217749fd390b69a -p tcp --dport 8080 -j DNAT --to-destination 10.22.0.5:80
            iptables-legacy -t nat -A CNI-HOSTPORT-DNAT -p tcp {comment} -m multiport --dports 8080 -j CNI-DN-a4fa0b217749fd390b69a"#
        ));
        let (_, message) = host.fail("CHECK", &config(web(), json!({})));
        assert!(message.contains("could not check ipv4 dnat"), "{message}");
        host.succeed("DEL", &config(web(), json!({})));
        let left = sh("iptables-legacy -t nat -S");
        assert!(
            !left.contains("CNI-DN-") && left.contains("CNI-HOSTPORT-DNAT"),
            "{left}"
        );
    });
}

#[test]
fn another_containers_rule_before_the_own_one_is_found() {
    in_own_world(|host| {
        let config = config(web(), json!({ "backend": "iptables" }));
        host.add(&config);
        host.succeed("CHECK", &config);
        sh(r#"iptables -t nat -N CNI-DN-other
            iptables -t nat -A CNI-DN-other -p tcp --dport 8080 -j DNAT --to-destination 10.22.0.9:80
            iptables -t nat -I CNI-HOSTPORT-DNAT -p tcp -m comment --comment 'dnat name: "net" id: "ctr9"' \
                -m multiport --dports 8080 -j CNI-DN-other"#);
        let (_, message) = host.fail("CHECK", &config);
        let text = r#"host port tcp 8080 (IPv4) is not mapped: its connections go to network "net", container "ctr9", whose rule is before"#;
        assert_eq!(message, text);
    });
}

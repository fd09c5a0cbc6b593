//! The firewalld backend with the real daemon on a bus of its own, both in the test's namespaces.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(
    dead_code,
    unreachable_pub,
    reason = "one module for several test programs"
)]
mod support;

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use harness::{sh, succeeds};
use kernel::testing::is_installed;
use serde_json::{Value, json};
use support::{FAR, Host, NEAR, OUTSIDE, POD, add, in_own_world, is_silent, populate};

const BUS: &str = r#"<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/> <allow own="*"/>
    <allow send_destination="*"/> <allow receive_sender="*"/>
    <allow send_type="method_call"/> <allow send_type="signal"/>
  </policy>
</busconfig>
"#;
/// The daemons, which end with the test.
struct Daemons(Vec<Child>);

impl Daemons {
    /// A bus, with nobody on it.
    fn bus() -> Self {
        fs::create_dir_all("/run/dbus").unwrap();
        fs::write("/run/bus.conf", BUS).unwrap();
        let bus = start(&[
            "dbus-daemon",
            "--config-file=/run/bus.conf",
            "--nofork",
            "--nopidfile",
        ]);
        let daemons = Self(vec![bus]);
        wait_for("test -S /run/dbus/system_bus_socket");
        daemons
    }

    /// firewalld with Debian's configuration: what no zone lets through is rejected.
    fn firewalld() -> Self {
        let mut daemons = Self::bus();
        let log = "/run/firewalld.log";
        daemons.0.push(start(&[
            "firewalld",
            "--nofork",
            "--nopid",
            "--log-file",
            log,
        ]));
        wait_for("firewall-cmd --state");
        daemons
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for daemon in self.0.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the daemon that the plugin speaks to"
)]
fn start(words: &[&str]) -> Child {
    Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn wait_for(condition: &str) {
    for _ in 0..1200 {
        if succeeds(condition) {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("never: {condition}");
}

fn with_firewalld(test: impl FnOnce(&Host) + Send) {
    with_daemons(|host, _| test(host));
}

fn with_daemons(test: impl FnOnce(&Host, &Daemons) + Send) {
    if !["firewalld", "dbus-daemon"]
        .iter()
        .all(|package| is_installed(package, package))
    {
        return;
    }
    in_own_world(|host| {
        populate(host);
        let daemons = Daemons::firewalld();
        test(host, &daemons);
    });
}

fn sources() -> String {
    sh("firewall-cmd --zone=trusted --list-sources")
}

#[test]
fn a_running_firewalld_is_the_default_and_lets_packets_through() {
    with_firewalld(|host| {
        assert!(POD.is_cut_off_from(OUTSIDE[0]), "firewalld rejects");
        add(host, POD, &json!({}));
        assert_eq!(sources(), "10.88.0.5/32 2001:db8:88::5/128\n");
        OUTSIDE
            .iter()
            .for_each(|address| assert!(POD.reaches(address)));
        assert!(is_silent("outside", "10.88.0.5") && NEAR.is_cut_off_from(OUTSIDE[0]));
        add(host, POD, &json!({}));
        host.succeed_with("CHECK", &POD.config(&json!({})), &POD.env());
        host.succeed("STATUS", &POD.config(&json!({})));
        host.succeed_with("DEL", &POD.config(&json!({})), &POD.env());
        host.succeed_with("DEL", &POD.config(&json!({})), &POD.env());
        assert_eq!(sources(), "\n");
        let (_, text) = host.fail_with("CHECK", &POD.config(&json!({})), &POD.env());
        assert_eq!(text, "failed to find the address 10.88.0.5 in trusted zone");
        assert!(POD.is_cut_off_from(OUTSIDE[0]));
    });
}

#[test]
fn a_firewalld_that_hangs_is_named_and_forgets_what_it_was_asked() {
    with_daemons(|host, daemons| {
        let [bus, firewalld] = [0, 1].map(|daemon| daemons.0[daemon].id());
        let (config, there) = (POD.config(&json!({})), NEAR.config(&json!({})));
        add(host, NEAR, &json!({}));
        sh(&format!("kill -STOP {firewalld}"));
        let (code, text) = host.fail_with("ADD", &config, &POD.env());
        let expected = "failed to add the address 10.88.0.5 to trusted zone: firewalld has not answered for 8 s";
        assert!(code == 11 && text.starts_with(expected), "{code} {text}");
        let (code, text) = host.fail("STATUS", &config);
        assert!(
            code == 50 && text.contains("firewalld has not answered for 1 s"),
            "{code} {text}"
        );
        for command in ["CHECK", "DEL"] {
            let (code, text) = host.fail_with(command, &there, &NEAR.env());
            let expected = "firewalld has not answered for 1 s";
            assert!(code == 11 && text.contains(expected), "{code} {text}");
        }
        sh(&format!("kill -STOP {bus}"));
        let (code, text) = host.fail_with("DEL", &there, &NEAR.env());
        let expected =
            "failed to connect to the system bus: the system bus has not answered for 1 s";
        assert!(code == 11 && text.starts_with(expected), "{code} {text}");
        sh(&format!("kill -CONT {bus} {firewalld}"));
        assert!(!sources().contains("10.88.0.5"));
        host.succeed_with("DEL", &there, &NEAR.env());
        assert_eq!(sources(), "\n");
    });
}

#[test]
fn a_reload_is_told_of_and_its_pods_come_back() {
    for mend in ["ADD", "GC"] {
        with_firewalld(|host| {
            let more = json!({ "backend": "firewalld", "ingressPolicy": "isolated" });
            add(host, POD, &more);
            add(host, NEAR, &more);
            sh("firewall-cmd --reload");
            let (_, text) = host.fail_with("CHECK", &POD.config(&more), &POD.env());
            assert_eq!(text, "failed to find the address 10.88.0.5 in trusted zone");
            match mend {
                "ADD" => add(host, FAR, &more),
                _ => host.succeed(
                    "GC",
                    r#"{"cniVersion": "1.1.0", "name": "other", "type": "firewall"}"#,
                ),
            }
            for place in [POD, NEAR] {
                host.succeed_with("CHECK", &place.config(&more), &place.env());
                assert!(place.reaches(OUTSIDE[0]));
            }
            assert!(NEAR.is_cut_off_from("10.88.0.5"));
        });
    }
}

#[test]
fn zones_and_owners_are_told_apart() {
    with_firewalld(|host| {
        let home = json!({ "firewalldZone": "home" });
        add(host, POD, &home);
        assert_eq!(
            sh("firewall-cmd --zone=home --list-sources"),
            "10.88.0.5/32 2001:db8:88::5/128\n"
        );
        let (_, text) = host.fail_with("ADD", &POD.config(&json!({})), &POD.env());
        let message = "failed to add the address 10.88.0.5 to trusted zone: \
                       org.fedoraproject.FirewallD1.Exception: ZONE_CONFLICT";
        assert!(text.starts_with(message), "{text}");
        let nowhere: Value = json!({ "firewalldZone": "nowhere" });
        let (code, text) = host.fail("STATUS", &POD.config(&nowhere));
        assert!(code == 50 && text.contains("INVALID_ZONE"), "{code} {text}");
        let bare = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "firewall"}"#;
        host.succeed_with("DEL", bare, &POD.env());
        assert_eq!(
            sh("firewall-cmd --zone=home --list-sources"),
            "\n",
            "it is remembered"
        );
        add(host, POD, &home);
        host.succeed(
            "GC",
            &bare.replace('}', r#", "cni.dev/valid-attachments": []}"#),
        );
        assert_eq!(sh("firewall-cmd --zone=home --list-sources"), "\n");
        // Pods whose result nobody has any more: the zone is the configuration's.
        sh("firewall-cmd --zone=trusted --add-source=10.88.0.5/32");
        host.succeed_with("DEL", &POD.config(&json!({})), &POD.env());
        assert_eq!(sources(), "\n");
    });
}

/// The configuration's zone has the address then, as far as anybody knows.
#[test]
fn a_pod_whose_record_cannot_be_read_leaves_its_zone() {
    with_firewalld(|host| {
        let home = json!({ "firewalldZone": "home" });
        add(host, POD, &home);
        sh("for record in /run/podwire/attachments/firewall/*; do echo '{' > $record; done");
        host.succeed_with("DEL", &POD.config(&home), &POD.env());
        assert_eq!(sh("firewall-cmd --zone=home --list-sources"), "\n");
    });
}

/// What its chain drops stays dropped, although firewalld lets it through.
#[test]
fn the_administrators_chain_is_honoured() {
    with_firewalld(|host| {
        add(host, NEAR, &json!({}));
        assert!(
            !sh("nft list tables").contains("table ip filter"),
            "no chain, no table"
        );
        sh("iptables -N CNI-ADMIN; iptables -A CNI-ADMIN -s 10.88.0.5 -d 192.0.2.2 -j DROP");
        add(host, POD, &json!({}));
        assert!(POD.is_cut_off_from(OUTSIDE[0]) && POD.reaches(OUTSIDE[1]));
        assert!(NEAR.reaches(OUTSIDE[0]));
    });
}

#[test]
fn a_bus_without_firewalld_means_nftables() {
    in_own_world(|host| {
        if !succeeds("command -v dbus-daemon") {
            return;
        }
        populate(host);
        let _bus = Daemons::bus();
        add(host, POD, &json!({}));
        assert!(sh("nft list ruleset").contains("podwire-pods"));
        host.succeed_with("DEL", &POD.config(&json!({})), &POD.env());
        let asked = json!({ "backend": "firewalld" });
        let (code, text) = host.fail("STATUS", &POD.config(&asked));
        assert!(code == 50 && text.contains("ServiceUnknown"), "{text}");
        let (_, text) = host.fail_with("ADD", &POD.config(&asked), &POD.env());
        assert!(
            text.starts_with("failed to add the address 10.88.0.5 to trusted zone"),
            "{text}"
        );
        host.succeed_with("DEL", &POD.config(&asked), &POD.env());
    });
}

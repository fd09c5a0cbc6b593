//! ADD that fails or panics after each of its steps.

use std::{env, fs, process::Command};

use harness::sh;
use serde_json::json;

use crate::support::{CTR2, Host, config, config_of, in_own_world, mapping};

/// Not a test: what the test below starts as a process of its own, because failing after a step counts
/// the steps of a process.
#[test]
#[ignore = "started by the other test"]
fn add_in_a_process_of_its_own() {
    let Ok(config) = env::var("CHILD_CONFIG") else {
        return;
    };
    let call = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "ctr1"),
        ("CNI_NETNS", "/run/netns/pod"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/opt/cni/bin"),
    ];
    let env = call
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let mut stdin = config.as_bytes();
    let invocation = cni::Invocation {
        env,
        stdin: &mut stdin,
    };
    let outcome = cni::invocation::run(
        &portmap::PORTMAP,
        &harness::registry(&portmap::PORTMAP),
        invocation,
    );
    fs::write(env::var("CHILD_STDOUT").unwrap(), &outcome.stdout).unwrap();
}

fn add(host: &Host, config: &str, variable: &str, step: u32) -> String {
    let stdout = host.world.dir().join("stdout");
    let _ = fs::remove_file(&stdout);
    #[allow(clippy::disallowed_methods, reason = "steps are counted by process")]
    let output = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "every_prefix::add_in_a_process_of_its_own",
            "--ignored",
        ])
        .env("CHILD_CONFIG", config)
        .env("CHILD_STDOUT", &stdout)
        .env(variable, step.to_string())
        .output()
        .unwrap();
    fs::read_to_string(stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// What an attachment could have left.
fn traces() -> String {
    sh(
        "nft list ruleset | grep -E 'ctr1|CNI-DN-|10.22.0.5|elements' || true
        cat /proc/sys/net/ipv4/conf/br0/route_localnet; ls /run/podwire/attachments/portmap",
    )
}

#[test]
fn a_failure_after_any_step_leaves_everything_as_it_was() {
    for variable in ["PODWIRE_FAIL_AFTER_STEP", "PODWIRE_PANIC_AFTER_STEP"] {
        for backend in ["nftables", "iptables"] {
            in_own_world(|host| {
                let by = json!({ "backend": backend });
                // Another pod is there, whose rules stay.
                let other = config_of(6, json!([mapping(81, 80, "tcp", "")]), by.clone());
                host.add_with(&other, &CTR2);
                sh("echo 0 > /proc/sys/net/ipv4/conf/br0/route_localnet");
                let before = traces();
                let mappings = json!([
                    mapping(8080, 80, "tcp", ""),
                    mapping(53, 53, "udp", "192.0.2.1")
                ]);
                let config = config(mappings, by);
                let mut step = 1;
                loop {
                    let said = add(host, &config, variable, step);
                    if said.contains("interfaces") {
                        break;
                    }
                    assert!(
                        said.contains(variable) || said.contains("after step"),
                        "{said}"
                    );
                    // A port on one address stays noted until it is looked for: none here.
                    assert_eq!(traces(), before, "{backend}, after step {step}: {said}");
                    step += 1;
                }
                assert!(step > 3, "{step}");
                host.succeed("CHECK", &config);
            });
        }
    }
}

//! ADD that fails or panics after each of its steps.

use harness::{sh, steps};
use serde_json::json;

use crate::support::{CTR2, config, config_of, in_own_world, mapping};

/// What an attachment could have left.
fn traces() -> String {
    sh(
        "nft list ruleset | grep -E 'ctr1|CNI-DN-|10.22.0.5|elements' || true
        cat /proc/sys/net/ipv4/conf/br0/route_localnet; ls /run/podwire/attachments/portmap",
    )
}

#[test]
fn a_failure_after_any_step_leaves_everything_as_it_was() {
    for variable in [steps::FAIL, steps::PANIC] {
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
                    let (_, said) = steps::add(host, &config, variable, step);
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

/// What an earlier ADD made, and what is remembered of it, is as it was.
#[test]
fn a_failure_of_a_second_add_after_any_step_leaves_what_the_first_made() {
    for backend in ["nftables", "iptables"] {
        in_own_world(|host| {
            let by = json!({ "backend": backend });
            let first = config(json!([mapping(8080, 80, "tcp", "192.0.2.1")]), by.clone());
            let second = config(json!([mapping(8081, 81, "tcp", "")]), by);
            host.add(&first);
            let before = traces() + &sh("cat /run/podwire/attachments/portmap/*");
            let mut step = 1;
            loop {
                let (_, said) = steps::add(host, &second, steps::FAIL, step);
                if said.contains("interfaces") {
                    break;
                }
                assert!(said.contains("after step"), "{said}");
                let after = traces() + &sh("cat /run/podwire/attachments/portmap/*");
                assert_eq!(after, before, "{backend}, after step {step}: {said}");
                host.succeed("CHECK", &first);
                step += 1;
            }
            assert!(step > 2, "{step}");
            host.succeed("CHECK", &second);
        });
    }
}

//! Pods of the reference plugin, and ours in its hands.

use kernel::testing::is_installed;

use super::{del::DEL_VARIANTS, *};

/// The reference plugins as Debian packages them.
const REFERENCE: &str = "/usr/lib/cni/bridge";

/// Before 1.1.0: the packaged reference knows nothing newer.
fn reference_config(backend: &str) -> String {
    FULL.replace("1.1.0", "1.0.0").replace(
        "\"ipMasq\"",
        &format!("\"ipMasqBackend\": \"{backend}\", \"ipMasq\""),
    )
}

#[test]
fn pods_of_the_reference_plugin_are_checked_and_removed() {
    if !is_installed(REFERENCE, "containernetworking-plugins") {
        return;
    }
    for (setup, changed, with_result) in DEL_VARIANTS {
        in_own_world(|host| {
            let config = reference_config("iptables");
            let (added, stdout) = host.execute(REFERENCE.as_ref(), "ADD", &config);
            assert!(added, "{stdout}");
            let result = serde_json::from_str(&stdout).unwrap();
            host.succeed("CHECK", &with_prev_result(&config, &result));
            sh(setup);
            let config = if *with_result {
                with_prev_result(&config, &result)
            } else {
                config
            };
            host.succeed_with("DEL", &config, changed);
            let renamed = setup.contains("renamed");
            let elsewhere = changed.iter().any(|(key, _)| *key == "CNI_NETNS");
            let unknown = elsewhere && !with_result;
            // The kernel removes a deleted namespace's links in its own time.
            for _ in 0..3000 {
                if !setup.contains("netns del") || names("veth").is_empty() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            // Random name, no alias, no namespace, no result: nothing says whose it is.
            assert_eq!(
                names("veth").is_empty(),
                !renamed && !unknown,
                "{setup} {changed:?}"
            );
            assert_eq!(reserved(), Vec::<String>::new(), "{setup} {changed:?}");
            assert_released(&format!("{setup} {changed:?}"));
        });
    }
}

#[test]
fn the_reference_plugin_checks_and_removes_ours() {
    if !is_installed(REFERENCE, "containernetworking-plugins") {
        return;
    }
    let Some(host) = Host::new() else { return };
    // Its packaged version masquerades with iptables only.
    let config = reference_config("iptables");
    let config = with_prev_result(&config, &host.add(&config));
    for command in ["CHECK", "DEL", "DEL"] {
        let (succeeded, stdout) = host.execute(REFERENCE.as_ref(), command, &config);
        assert!(succeeded, "{command}: {stdout}");
    }
    assert_eq!((names("veth"), reserved()), (vec![], vec![]));
    assert_released("DEL of the reference");
    host.succeed("DEL", &config);
}

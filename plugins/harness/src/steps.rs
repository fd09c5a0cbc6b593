//! ADD that fails, panics or is killed after one of its steps. Steps are counted by process, so
//! each such ADD is a process of its own: the test program itself, told to run one test alone.
//!
//! A test program has, for its plugin:
//!
//! ```ignore
//! #[test]
//! #[ignore = "started by the other tests"]
//! fn add_in_a_process_of_its_own() {
//!     harness::steps::child(&tuning::TUNING);
//! }
//! ```

use std::{
    env, fs,
    process::{Command, ExitStatus},
};

use cni::{Invocation, Plugin};

use crate::{Host, registry};

/// What ends ADD after a step.
pub const FAIL: &str = "PODWIRE_FAIL_AFTER_STEP";
/// Likewise.
pub const PANIC: &str = "PODWIRE_PANIC_AFTER_STEP";
/// Likewise, at once: nothing is taken back.
pub const ABORT: &str = "PODWIRE_ABORT_AFTER_STEP";

/// The name that [`child`]'s test must have.
const TEST: &str = "add_in_a_process_of_its_own";

/// The default ADD of `plugin`, in the process that [`add`] starts; nothing in any other.
pub fn child(plugin: &'static dyn Plugin) {
    let Ok(directory) = env::var("CHILD_BIN") else {
        return;
    };
    let config = env::var("CHILD_CONFIG").unwrap();
    let call = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "ctr1"),
        ("CNI_NETNS", "/run/netns/pod"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", &directory),
    ];
    let env = call
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()));
    let mut stdin = config.as_bytes();
    let invocation = Invocation {
        env: env.collect(),
        stdin: &mut stdin,
    };
    let outcome = cni::invocation::run(plugin, &registry(plugin), invocation);
    fs::write(env::var("CHILD_STDOUT").unwrap(), &outcome.stdout).unwrap();
}

/// ADD that ends after a step; its status and standard output.
pub fn add<P: Plugin + Default + 'static>(
    host: &Host<P>,
    config: &str,
    ending: &str,
    step: u32,
) -> (ExitStatus, String) {
    let stdout = host.world.dir().join("stdout");
    let _ = fs::remove_file(&stdout);
    #[allow(
        clippy::disallowed_methods,
        reason = "ADD must be a process that can be killed"
    )]
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", TEST, "--ignored", "--quiet"])
        .env("CHILD_BIN", &host.bin)
        .env("CHILD_CONFIG", config)
        .env("CHILD_STDOUT", &stdout)
        .env(ending, step.to_string())
        .output()
        .unwrap()
        .status;
    (status, fs::read_to_string(stdout).unwrap_or_default())
}

/// Has ADD fail, and panic, after each of its steps until there are none left, and looks with
/// `portrait` whether all is as before. ADD has at least `fewest` steps.
pub fn every_failure_is_taken_back<P: Plugin + Default + 'static>(
    host: &Host<P>,
    config: &str,
    fewest: u32,
    portrait: impl Fn() -> String,
) {
    for (ending, message) in [(FAIL, "fail after step"), (PANIC, "the plugin panicked")] {
        let before = portrait();
        let mut step = 1;
        loop {
            let (_, stdout) = add(host, config, ending, step);
            let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
            if document["code"].is_null() {
                assert!(stdout.contains("interfaces"), "{stdout}");
                break;
            }
            let text = document["msg"].as_str().unwrap();
            assert_eq!(document["code"], 999, "{ending}={step}: {text}");
            assert!(text.contains("after step"), "{ending}={step}: {text}");
            assert!(text.contains(message), "{ending}={step}: {text}");
            assert_eq!(portrait(), before, "{ending}={step}");
            step += 1;
        }
        assert!(step > fewest, "{ending}: only {step} steps");
        host.succeed("DEL", config);
        assert_eq!(portrait(), before, "{ending}: DEL after ADD");
    }
}

//! ADD that fails, panics or is killed, after each of its steps. Steps are counted by process, so
//! each such ADD is one: the test program itself, with an ignored test that calls [`child`].

use std::{
    env, fs,
    process::{Command, ExitStatus},
};

use cni::{Invocation, Plugin};

use crate::{Host, portrait, registry, with_prev_result};

/// The name of that ignored test.
pub const CHILD: &str = "add_in_a_process_of_its_own";

/// ADD as the process was told; nothing where it was not.
pub fn child<P: Plugin + Default + 'static>() {
    let Ok(directory) = env::var("CHILD_BIN") else {
        return;
    };
    let plugin: &'static P = Box::leak(Box::default());
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
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let mut stdin = config.as_bytes();
    let invocation = Invocation {
        env,
        stdin: &mut stdin,
    };
    let outcome = cni::invocation::run(plugin, &registry(plugin), invocation);
    fs::write(env::var("CHILD_STDOUT").unwrap(), &outcome.stdout).unwrap();
}

/// ADD in a process, with a variable set; its status and standard output.
pub fn add<P: Plugin + Default + 'static>(
    host: &Host<P>,
    config: &str,
    variable: &str,
    step: u32,
) -> (ExitStatus, String) {
    let stdout = host.world.dir().join("stdout");
    let _ = fs::remove_file(&stdout);
    #[allow(
        clippy::disallowed_methods,
        reason = "ADD must be a process that can be killed"
    )]
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", CHILD, "--ignored", "--quiet"])
        .env("CHILD_BIN", &host.bin)
        .env("CHILD_CONFIG", config)
        .env("CHILD_STDOUT", &stdout)
        .env(variable, step.to_string())
        .output()
        .unwrap()
        .status;
    (status, fs::read_to_string(stdout).unwrap_or_default())
}

/// ADD fails, and panics, after each of its steps, of which there are more than `fewest`: host, pod
/// and reservations are as before each time.
pub fn leaves_everything_as_it_was<P: Plugin + Default + 'static>(
    host: &Host<P>,
    config: &str,
    fewest: u32,
) {
    let before = state();
    for (variable, message) in [
        ("PODWIRE_FAIL_AFTER_STEP", "fail after step"),
        ("PODWIRE_PANIC_AFTER_STEP", "the plugin panicked"),
    ] {
        let mut step = 1;
        loop {
            let (_, stdout) = add(host, config, variable, step);
            let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
            if document["code"] != 999 || !stdout.contains(message) {
                assert!(stdout.contains("interfaces"), "{stdout}");
                break;
            }
            assert_eq!(state(), before, "{variable}={step}");
            step += 1;
        }
        assert!(step > fewest, "{variable}: {step} steps");
        host.succeed("DEL", config);
    }
}

/// ADD is killed after each of its steps: DEL makes it as before, and the next ADD works.
pub fn leaves_what_del_removes<P: Plugin + Default + 'static>(host: &Host<P>, config: &str) {
    let before = state();
    let mut step = 1;
    loop {
        let (status, stdout) = add(host, config, "PODWIRE_ABORT_AFTER_STEP", step);
        let finished = status.success();
        assert_eq!(finished, stdout.contains("interfaces"), "{stdout}");
        host.succeed("DEL", config);
        assert_eq!(state(), before, "killed after step {step}");
        let added = with_prev_result(config, &host.add(config));
        host.succeed("CHECK", &added);
        host.succeed("DEL", &added);
        if finished {
            return;
        }
        step += 1;
    }
}

/// Links, addresses and routes of host and pod, and reservations.
pub fn state() -> String {
    portrait::network(None) + &portrait::network(Some("pod")) + &reservations()
}

/// Who holds which address.
pub fn reservations() -> String {
    let files = portrait::files();
    files
        .lines()
        .filter(|line| line.contains("\\r\\n"))
        .map(|line| format!("{line}\n"))
        .collect()
}

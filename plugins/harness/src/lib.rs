//! What the tests of interface plugins share, and nothing else uses: a host of its own for a test,
//! the plugin called in-process, the kernel looked at with iproute2.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

pub mod on_master;
pub mod portrait;
pub mod scenarios;
pub mod static_ipam;
pub mod steps;
pub mod stepwise;
pub mod turn;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cni::{Invocation, Outcome, Plugin, invocation::Env};
use kernel::testing::World;

use static_ipam::STATIC;

/// Runs the test on a host in a thread of its own, whose world ends with it. Without privileges there is no
/// host, and no test.
pub fn in_own_world<H>(host: impl FnOnce() -> Option<H> + Send, test: impl FnOnce(&H) + Send) {
    std::thread::scope(|scope| {
        let ran = scope.spawn(|| host().map(|host| test(&host))).join();
        if let Err(panic) = ran {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Every plugin that a test program of `plugin` is.
pub fn registry(plugin: &'static dyn Plugin) -> Vec<&'static dyn Plugin> {
    vec![plugin, &ipam::HOST_LOCAL, &STATIC]
}

/// The calling thread's world with the plugins in a directory and one pod.
pub struct Host<P: 'static> {
    /// Its namespaces.
    pub world: World,
    /// Where its plugins are.
    pub bin: PathBuf,
    plugin: &'static P,
}

impl<P: Plugin + Default + 'static> Host<P> {
    /// `None` where privileges are missing.
    pub fn new() -> Option<Self> {
        let world = World::new()?;
        let bin = world.dir().join("bin");
        fs::create_dir(&bin).unwrap();
        let plugin: &'static P = Box::leak(Box::default());
        for plugin in registry(plugin) {
            symlink("/proc/self/exe", bin.join(plugin.name())).unwrap();
        }
        world.pod("pod");
        Some(Self { world, bin, plugin })
    }

    /// The default call: container `ctr1`, interface `eth0`, namespace `/run/netns/pod`.
    pub fn env(&self, command: &str) -> Env {
        [
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", "ctr1"),
            ("CNI_NETNS", "/run/netns/pod"),
            ("CNI_IFNAME", "eth0"),
            ("CNI_PATH", self.bin.to_str().unwrap()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
    }

    /// A call as [`env`](Self::env) has it.
    pub fn call(&self, command: &str, config: &str) -> Outcome {
        self.call_with(command, config, &[])
    }

    /// With variables changed; an empty one is unset.
    pub fn call_with(&self, command: &str, config: &str, changed: &[(&str, &str)]) -> Outcome {
        let mut env = self.env(command);
        for (key, value) in changed {
            env.insert((*key).to_owned(), (*value).to_owned());
        }
        let mut stdin = config.as_bytes();
        cni::invocation::run(
            self.plugin,
            &registry(self.plugin),
            Invocation {
                env,
                stdin: &mut stdin,
            },
        )
    }

    /// ADD that must succeed; its result.
    pub fn add(&self, config: &str) -> serde_json::Value {
        self.add_with(config, &[])
    }

    /// The same with variables changed.
    pub fn add_with(&self, config: &str, changed: &[(&str, &str)]) -> serde_json::Value {
        let outcome = self.call_with("ADD", config, changed);
        assert_eq!(outcome.code, 0, "ADD: {}", outcome.stdout);
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    /// A command that must succeed silently.
    pub fn succeed(&self, command: &str, config: &str) {
        self.succeed_with(command, config, &[]);
    }

    /// The same with variables changed.
    pub fn succeed_with(&self, command: &str, config: &str, changed: &[(&str, &str)]) {
        let outcome = self.call_with(command, config, changed);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (0, ""),
            "{command} {config}"
        );
    }

    /// A command that must fail; code and message.
    pub fn fail(&self, command: &str, config: &str) -> (u64, String) {
        self.fail_with(command, config, &[])
    }

    /// The same with variables changed.
    pub fn fail_with(
        &self,
        command: &str,
        config: &str,
        changed: &[(&str, &str)],
    ) -> (u64, String) {
        let outcome = self.call_with(command, config, changed);
        assert_eq!(outcome.code, 1, "{command}: {}", outcome.stdout);
        let error: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
        (
            error["code"].as_u64().unwrap(),
            error["msg"].as_str().unwrap().to_owned(),
        )
    }

    /// CHECK passes after ADD, and says something that begins with `message` after `damage`, a script.
    pub fn notices(&self, config: &str, damage: &str, message: &str) {
        let added = with_prev_result(config, &self.add(config));
        self.succeed("CHECK", &added);
        sh(damage);
        let (_, seen) = self.fail("CHECK", &added);
        assert!(seen.starts_with(message), "{damage}: {seen}");
    }

    /// An executable plugin of another suite, as a runtime calls it; its standard output.
    pub fn execute(&self, plugin: &Path, command: &str, config: &str) -> (bool, String) {
        self.execute_with(plugin, command, config, &[])
    }

    /// The same with variables changed.
    pub fn execute_with(
        &self,
        plugin: &Path,
        command: &str,
        config: &str,
        changed: &[(&str, &str)],
    ) -> (bool, String) {
        let mut env = self.env(command);
        for (key, value) in changed {
            env.insert((*key).to_owned(), (*value).to_owned());
        }
        env.insert(
            "CNI_PATH".into(),
            plugin.parent().unwrap().to_str().unwrap().into(),
        );
        env.insert("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into());
        #[allow(
            clippy::disallowed_methods,
            reason = "runs the plugin under comparison"
        )]
        let mut child = Command::new(plugin)
            .env_clear()
            .envs(&env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), config.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
        )
    }
}

/// The configuration with `prevResult`.
pub fn with_prev_result(config: &str, result: &serde_json::Value) -> String {
    let mut config: serde_json::Value = serde_json::from_str(config).unwrap();
    config["prevResult"] = result.clone();
    config.to_string()
}

/// A program's standard output; it must succeed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    #[allow(
        clippy::disallowed_methods,
        reason = "looks at the kernel with other eyes"
    )]
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// A shell script that must succeed.
pub fn sh(script: &str) -> String {
    run("sh", &["-ec", script])
}

/// Whether the script succeeds.
pub fn succeeds(script: &str) -> bool {
    #[allow(clippy::disallowed_methods, reason = "runs the workload")]
    let status = Command::new("sh")
        .args(["-ec", script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    status.success()
}

/// What `ip -j` prints.
pub fn ip(arguments: &str) -> serde_json::Value {
    let text = sh(&format!("ip -j {arguments}"));
    serde_json::from_str(if text.trim().is_empty() { "[]" } else { &text }).unwrap()
}

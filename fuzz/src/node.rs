//! Where plugins are let loose.

use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Command, Stdio},
};

use cni::{Invocation, Outcome, Plugin, invocation::Env};
use kernel::testing::World;
use podwire_plugins::PLUGINS;

/// The calling thread's world, with one pod and the links that configurations name.
pub struct Node {
    world: World,
    bin: PathBuf,
}

impl Node {
    /// `None` where privileges are missing.
    #[must_use]
    pub fn new() -> Option<Self> {
        let world = World::new()?;
        let bin = world.dir().join("bin");
        fs::create_dir(&bin).unwrap();
        for plugin in PLUGINS {
            symlink("/proc/self/exe", bin.join(plugin.name())).unwrap();
        }
        world.pod("pod");
        run("ip link add parent0 type veth peer name device0");
        run("ip link set parent0 up");
        // Where a fuzzer keeps what it finds stays writable.
        if let Ok(kept) = std::env::var("FUZZ_DIR") {
            run(&format!("mount --bind {kept} {kept}"));
        }
        // A configuration may name any path.
        run("mount -t tmpfs tmpfs /tmp");
        run("mount -o remount,bind,ro /");
        Some(Self { world, bin })
    }

    /// A directory that may be written.
    #[must_use]
    pub fn dir(&self) -> &std::path::Path {
        self.world.dir()
    }

    /// The usual variables of a call.
    #[must_use]
    pub fn env(&self, command: &str) -> Env {
        let bin = self.bin.display().to_string();
        let variables = [
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", "ctr1"),
            ("CNI_NETNS", "/run/netns/pod"),
            ("CNI_IFNAME", "eth0"),
            ("CNI_PATH", &bin),
        ];
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        variables.into_iter().map(own).collect()
    }

    /// One call. A panic that the front end took for an error is a panic all the same.
    ///
    /// # Panics
    /// The plugin panicked, or printed no JSON.
    pub fn call(&self, plugin: &dyn Plugin, env: Env, mut stdin: &[u8]) -> Outcome {
        let invocation = Invocation {
            env,
            stdin: &mut stdin,
        };
        let outcome = cni::invocation::run(plugin, PLUGINS, invocation);
        let text = &outcome.stdout;
        assert!(
            !text.contains("the plugin panicked: "),
            "{}: {text}",
            plugin.name()
        );
        if !text.trim().is_empty() {
            let printed = serde_json::from_str::<serde_json::Value>(text);
            assert!(printed.is_ok(), "{}: no JSON: {text}", plugin.name());
        }
        outcome
    }

    /// Ends whatever a call may have left.
    pub fn release(&self, plugin: &dyn Plugin, config: &[u8]) {
        self.call(plugin, self.env("DEL"), config);
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the world is prepared from outside"
)]
fn run(words: &str) {
    let words: Vec<&str> = words.split(' ').collect();
    let status = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "{words:?}");
}

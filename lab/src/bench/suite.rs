//! A directory of plugins, and running one call of one of them.

use std::{
    collections::BTreeSet,
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use kernel::NetNs;
use serde_json::{Value, json};

use super::{measure, world};

/// The name of the suite that podwire is compared with.
pub(super) const REFERENCE: &str = "reference";

/// Its own.
pub(super) const PODWIRE: &str = "podwire";

/// One of the two things compared.
pub(super) struct Suite {
    pub(super) name: &'static str,
    dir: PathBuf,
}

/// One call of a plugin.
pub(super) struct Call<'a> {
    pub(super) plugin: &'a str,
    pub(super) command: &'a str,
    pub(super) container: &'a str,
    pub(super) netns: &'a str,
    pub(super) config: &'a Value,
    /// The host's network namespace; the benchmark's own if none.
    pub(super) host: Option<&'a str>,
}

impl Suite {
    /// A directory that has plugins already.
    pub(super) fn open(name: &'static str, dir: &Path) -> Result<Self> {
        if !dir.join("bridge").is_file() {
            bail!(
                "no plugin 'bridge' in {} (package containernetworking-plugins)",
                dir.display()
            );
        }
        Ok(Self::at(name, dir))
    }

    /// A directory that may have some plugins alone.
    pub(super) fn at(name: &'static str, dir: &Path) -> Self {
        Self {
            name,
            dir: dir.to_owned(),
        }
    }

    /// Ours, installed as on a node.
    pub(super) fn install(name: &'static str, podwire: &Path) -> Result<Self> {
        let dir = PathBuf::from("/run/bench/bin");
        let podwire = podwire
            .to_str()
            .context("the path of podwire is not UTF-8")?;
        world::run(podwire, &["install", "--bin-dir", "/run/bench/bin"])?;
        Ok(Self { name, dir })
    }

    /// Whether it has this plugin.
    pub(super) fn has(&self, plugin: &str) -> bool {
        self.dir.join(plugin).is_file()
    }

    /// Runs the call and returns its wall time.
    ///
    /// # Errors
    /// When the plugin fails.
    pub(super) fn time(&self, call: &Call<'_>) -> Result<Duration> {
        Ok(self.answer(call)?.0)
    }

    /// Runs the call and returns its wall time and what it printed.
    ///
    /// # Errors
    /// When the plugin fails.
    pub(super) fn answer(&self, call: &Call<'_>) -> Result<(Duration, Vec<u8>)> {
        let stdin = call.config.to_string();
        let mut command = self.command(&self.dir.join(call.plugin), call);
        let mut timed = || -> Result<_> {
            let start = Instant::now();
            let output = run_with(&mut command, &stdin)?;
            Ok((start.elapsed(), output))
        };
        let (time, output) = match call.host {
            // Not nsenter(1), whose own start would count.
            Some(host) => NetNs::open(format!("/run/netns/{host}"))?.run(timed)??,
            None => timed()?,
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout);
            bail!(
                "{} {} {}: {}",
                self.name,
                call.plugin,
                call.command,
                said.trim()
            );
        }
        Ok((time, output.stdout))
    }

    fn command(&self, program: &Path, call: &Call<'_>) -> Command {
        let mut command = world::command(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", call.command)
            .env("CNI_CONTAINERID", call.container)
            .env("CNI_NETNS", call.netns)
            .env("CNI_IFNAME", self.ifname())
            .env("CNI_PATH", &self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        command
    }

    pub(super) fn is_reference(&self) -> bool {
        self.name == REFERENCE
    }

    /// Both suites attach to the same pods, each under an interface name of its own.
    pub(super) fn ifname(&self) -> &'static str {
        if self.is_reference() { "eth0" } else { "eth1" }
    }

    /// A bridge network of this suite's own, with room for thousands of pods.
    pub(super) fn bridge_config(&self, masquerade: bool) -> Value {
        let (octet, bridge) = if self.is_reference() {
            (0, "bench-ref")
        } else {
            (32, "bench-pw")
        };
        let number = u8::from(masquerade);
        json!({
            "cniVersion": "1.0.0", "name": format!("{}-{masquerade}", self.name),
            "type": "bridge", "bridge": format!("{bridge}{number}"),
            "isGateway": true, "ipMasq": masquerade,
            "ipam": { "type": "host-local", "subnet": format!("172.31.{}.0/20", octet + 16 * number) },
        })
    }

    /// Megabytes of resident memory at the peak of one ADD, as wait4(2) counts it.
    pub(super) fn peak_memory_of_add(&self) -> Result<f64> {
        let pod = world::add_pod(&format!("peak-{}", self.name))?;
        let config = self.bridge_config(false);
        let call = Call {
            plugin: "bridge",
            command: "ADD",
            container: "peak",
            netns: &pod,
            config: &config,
            host: None,
        };
        let report = "/run/bench/peak";
        let mut command = self.command(Path::new("/usr/bin/time"), &call);
        command
            .args(["-f", "%M", "-o", report])
            .arg(self.dir.join("bridge"));
        let output = run_with(&mut command, &config.to_string()).context("package time")?;
        if !output.status.success() {
            bail!(
                "{} bridge ADD: {}",
                self.name,
                String::from_utf8_lossy(&output.stdout).trim()
            );
        }
        self.time(&Call {
            command: "DEL",
            ..call
        })?;
        let kilobytes: f64 = fs::read_to_string(report)?.trim().parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// Megabytes of all files, each inode once.
    pub(super) fn size_on_disk(&self) -> Result<f64> {
        let mut seen = BTreeSet::new();
        let mut bytes = 0;
        for entry in fs::read_dir(&self.dir)? {
            let file = fs::metadata(entry?.path())?;
            if file.is_file() && seen.insert(file.ino()) {
                bytes += file.len();
            }
        }
        Ok(bytes as f64 / 1e6)
    }
}

fn run_with(command: &mut Command, stdin: &str) -> Result<std::process::Output> {
    let mut child = command
        .spawn()
        .with_context(|| format!("run {:?}", command.get_program()))?;
    let mut pipe = child.stdin.take().context("the child has no stdin")?;
    match pipe.write_all(stdin.as_bytes()) {
        // VERSION need not read it; whether the call succeeded, its status says.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written?,
    }
    drop(pipe);
    Ok(child.wait_with_output()?)
}

/// The kernel goes on taking a link down after it has announced the end; the next call, which may
/// be the other suite's, shall not pay for that.
pub(super) fn let_the_kernel_finish() {
    std::thread::sleep(Duration::from_millis(30));
}

/// Runs `call` for both suites by turns with each number from 0, so that neither has the quieter machine, until
/// there is none for a number; what each took in milliseconds.
pub(super) fn compare(
    suites: [&Suite; 2],
    call: impl Fn(&Suite, usize) -> Option<Result<Duration>>,
) -> Result<[Vec<f64>; 2]> {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0.. {
        for turn in 0..2 {
            let which = (round + turn) % 2;
            let Some(time) = call(suites[which], round) else {
                return Ok(times);
            };
            times[which].push(measure::milliseconds(time?));
            let_the_kernel_finish();
        }
    }
    Ok(times)
}

//! Which cases run for which plugin and version, side by side, each with a time limit.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::Child,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use cni::SpecVersion;
use serde::{Deserialize, Serialize};

use crate::{
    bench::{Bench, command},
    case::{Case, Failure, Judges},
    plugins::{self, Known},
    world,
};

/// Longer than any plugin may take; a case that reaches it failed.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A case for one plugin and one version.
#[derive(Clone, Copy)]
pub struct Instance {
    /// The rule.
    pub case: &'static Case,
    /// Who is judged.
    pub plugin: &'static Known,
    /// The version in the configuration.
    pub version: SpecVersion,
}

/// How an instance ended.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// The rule holds.
    Pass,
    /// It does not.
    Fail(Failure),
    /// It could not be tried here.
    Skip {
        /// Why.
        reason: String,
    },
}

/// An instance's outcome and how to see it again.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `case[plugin@version]`.
    pub id: String,
    /// The rule in one sentence.
    pub rule: &'static str,
    /// Binding force.
    pub level: crate::case::Level,
    /// Where the rule comes from.
    pub source: &'static str,
    /// Pass, fail or skip.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What to run to see it by hand, inside `unshare -n -m`.
    pub commands: Vec<String>,
    /// Seconds.
    pub seconds: f64,
}

/// What the child prints on its stdout.
#[derive(Serialize, Deserialize)]
struct Verdict {
    skipped: Option<String>,
    failure: Option<Failure>,
    commands: Vec<String>,
}

impl Verdict {
    fn outcome(self) -> (Outcome, Vec<String>) {
        let outcome = match (self.skipped, self.failure) {
            (Some(reason), _) => Outcome::Skip { reason },
            (None, Some(failure)) => Outcome::Fail(failure),
            (None, None) => Outcome::Pass,
        };
        (outcome, self.commands)
    }
}

impl Instance {
    /// Its lasting name.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}[{}@{}]", self.case.id, self.plugin.name, self.version)
    }
}

/// Every instance for the executables in `dir`.
#[must_use]
pub fn instances(
    cases: &[&'static Case],
    dir: &Path,
    only: &[String],
    versions: &[SpecVersion],
) -> Vec<Instance> {
    let present: Vec<&'static Known> = plugins::KNOWN
        .iter()
        .filter(|known| dir.join(known.name).is_file())
        .filter(|known| only.is_empty() || only.iter().any(|name| name == known.name))
        .collect();
    let mut all = Vec::new();
    for &case in cases {
        for &plugin in &present {
            let judged = match case.judges {
                Judges::Every => true,
                Judges::Only(names) => names.contains(&plugin.name),
            };
            let [first, last] = case.versions;
            let applies = |version: &SpecVersion| {
                judged && (first.max(plugin.since)..=last).contains(version)
            };
            let chosen = versions.iter().copied().filter(applies);
            all.extend(chosen.map(|version| Instance {
                case,
                plugin,
                version,
            }));
        }
    }
    all
}

/// One instance of each case that applies in `dir`, under 1.0.0 where the case allows it:
/// the version that every plugin of today lists.
#[must_use]
pub fn one_each(cases: &[&'static Case], dir: &Path) -> Vec<Instance> {
    let usual = instances(cases, dir, &[], &[SpecVersion::V1_0_0]);
    let all = instances(cases, dir, &[], SpecVersion::ALL);
    let of = |case: &Case| {
        let same = |instance: &&Instance| instance.case.id == case.id;
        usual
            .iter()
            .find(same)
            .or_else(|| all.iter().find(same))
            .copied()
    };
    cases.iter().filter_map(|case| of(case)).collect()
}

/// Runs them, `jobs` at a time, and reports in the order given; `seen` hears each as it ends.
pub fn run(
    instances: &[Instance],
    dir: &Path,
    jobs: usize,
    seen: impl Fn(&Report) + Sync,
) -> Vec<Report> {
    in_parallel(instances, jobs, |instance| {
        let report = judge(instance, dir);
        seen(&report);
        report
    })
}

/// `work` on every instance, `jobs` at a time; results in the order given.
pub fn in_parallel<T: Send>(
    instances: &[Instance],
    jobs: usize,
    work: impl Fn(&Instance) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(instances.len()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let at = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(instance) = instances.get(at)
                {
                    let result = work(instance);
                    results
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Tries one instance in a world of its own.
pub fn judge(instance: &Instance, dir: &Path) -> Report {
    let start = Instant::now();
    let (outcome, commands) = match missing(instance.case.needs) {
        Some(program) => (
            Outcome::Skip {
                reason: format!("needs {program}"),
            },
            Vec::new(),
        ),
        None => match in_world(instance, dir) {
            Ok(verdict) => verdict.outcome(),
            Err(error) => (Outcome::Fail(error.into()), Vec::new()),
        },
    };
    Report {
        id: instance.id(),
        rule: instance.case.rule,
        level: instance.case.level,
        source: instance.case.source,
        outcome,
        commands,
        seconds: start.elapsed().as_secs_f64(),
    }
}

fn missing(needs: &[&'static str]) -> Option<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<PathBuf> = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .collect();
    needs
        .iter()
        .copied()
        .find(|program| !dirs.iter().any(|dir| dir.join(program).is_file()))
}

fn in_world(instance: &Instance, dir: &Path) -> Result<Verdict> {
    let args = [
        instance.case.id.to_owned(),
        instance.plugin.name.to_owned(),
        instance.version.to_string(),
        dir.display().to_string(),
    ];
    let mut child = world::spawn(&args)?;
    let ended = wait(&mut child, TIME_LIMIT)?;
    let (mut said, mut complained) = (String::new(), String::new());
    child
        .stdout
        .take()
        .context("no stdout")?
        .read_to_string(&mut said)?;
    child
        .stderr
        .take()
        .context("no stderr")?
        .read_to_string(&mut complained)?;
    let verdict = said.lines().last().unwrap_or_default();
    serde_json::from_str(verdict)
        .with_context(|| format!("the case gave no verdict ({ended}): {said}{complained}"))
}

/// Waits for the child; ends it, and with it its process namespace, at the limit.
fn wait(child: &mut Child, limit: Duration) -> Result<String> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.to_string());
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(format!("ended after {limit:?}"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The child's side: runs one case in this process's world and prints the verdict.
///
/// # Errors
/// When the world cannot be furnished or the words name no case.
#[allow(clippy::print_stdout, reason = "the verdict is read by the parent")]
pub fn run_here(id: &str, plugin: &str, version: &str, dir: &Path) -> Result<()> {
    let case = *crate::case::all()
        .iter()
        .find(|case| case.id == id)
        .context("no such case")?;
    let plugin = plugins::find(plugin).context("no such plugin")?;
    let version = version
        .parse()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    world::furnish()?;
    let bench = Bench {
        plugin_dir: dir.to_owned(),
        plugin,
        version,
        commands: Vec::new(),
    };
    let verdict = try_case(case, bench);
    println!("{}", serde_json::to_string(&verdict)?);
    Ok(())
}

fn try_case(case: &Case, mut bench: Bench) -> Verdict {
    let listed = case.even_unlisted || bench.version_is_listed().unwrap_or(true);
    let skipped =
        (!listed).then(|| format!("{} does not list {}", bench.plugin.name, bench.version));
    let failure = if listed {
        (case.run)(&mut bench).err()
    } else {
        None
    };
    Verdict {
        skipped,
        failure,
        commands: bench.commands,
    }
}

/// Programs without which nothing can run, and why.
///
/// # Errors
/// Names what is missing and how to get it.
pub fn check_machine(dir: &Path) -> Result<()> {
    anyhow::ensure!(
        dir.is_dir(),
        "--plugin-dir {}: no such directory",
        dir.display()
    );
    anyhow::ensure!(
        plugins::KNOWN
            .iter()
            .any(|known| dir.join(known.name).is_file()),
        "--plugin-dir {}: holds none of the plugins that the suite knows ({})",
        dir.display(),
        plugins::KNOWN
            .iter()
            .map(|known| known.name)
            .collect::<Vec<_>>()
            .join(", ")
    );
    if let Some(program) = missing(&["ip", "unshare"]) {
        anyhow::bail!("{program} not found: install iproute2 and util-linux");
    }
    let entered = command(Path::new("unshare"))
        .args(["--net", "--mount", "--pid", "--fork", "true"])
        .output()
        .context("run unshare")?;
    anyhow::ensure!(
        entered.status.success(),
        "cannot make namespaces ({}): run as root",
        String::from_utf8_lossy(&entered.stderr).trim()
    );
    Ok(())
}

//! Which cases run for which plugin and version, side by side, each with a time limit.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::Child,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use cni::SpecVersion;
use serde::{Deserialize, Serialize};

use crate::{
    bench::Bench,
    case::{Case, Failure, Judges},
    keeper::Keepers,
    machine,
    plugins::{self, Known},
    steps::{self, Step},
    stub::{self, Overlay},
    world,
};

/// How cases are run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// A case that takes longer failed.
    pub time_limit: Duration,
    /// Who keeps the worlds of failed cases.
    pub keepers: Option<Arc<Keepers>>,
    /// Directories whose plugins may be called as well, behind the one that is judged.
    pub further_dirs: Vec<PathBuf>,
    /// The directory from which a takeover case takes over.
    pub other_dir: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            time_limit: Duration::from_secs(60),
            keepers: None,
            further_dirs: Vec::new(),
            other_dir: None,
        }
    }
}

/// A case for one plugin and one version.
#[derive(Clone, Copy)]
pub(crate) struct Instance {
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
pub(crate) enum Outcome {
    /// The rule holds.
    Pass,
    /// It does not.
    Fail(Failure),
    /// It does not, as the list of known deviations says.
    Deviation {
        /// What the plugin does instead, and why that is known.
        why: String,
        /// Both sides.
        #[serde(flatten)]
        failure: Failure,
    },
    /// It could not be tried here.
    Skip {
        /// Why.
        reason: String,
    },
}

/// An instance's outcome and how to see it again.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
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
    /// What was done, for seeing it by hand inside `unshare -n -m`.
    pub steps: Vec<Step>,
    /// The process that keeps the world of a failed case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<u32>,
    /// Seconds.
    pub seconds: f64,
}

/// What the child prints on its stdout.
#[derive(Serialize, Deserialize)]
struct Verdict {
    skipped: Option<String>,
    failure: Option<Failure>,
    steps: Vec<Step>,
}

impl Verdict {
    /// The failure of a case that did not come to its end.
    fn none(why: &str) -> Self {
        Self {
            skipped: None,
            failure: Some(Failure::new("the case itself", "a verdict", why)),
            steps: Vec::new(),
        }
    }

    fn outcome(self) -> (Outcome, Vec<Step>) {
        let outcome = match (self.skipped, self.failure) {
            (Some(reason), _) => Outcome::Skip { reason },
            (None, Some(failure)) => Outcome::Fail(failure),
            (None, None) => Outcome::Pass,
        };
        (outcome, self.steps)
    }
}

impl Instance {
    /// Its lasting name.
    #[must_use]
    pub(crate) fn id(&self) -> String {
        format!("{}[{}@{}]", self.case.id, self.plugin.name, self.version)
    }
}

impl Settings {
    /// The further directories without the judged one.
    fn besides(&self, judged: &Path) -> Vec<PathBuf> {
        let others = self.further_dirs.iter().filter(|dir| *dir != judged);
        others.cloned().collect()
    }

    /// The name of the cases' set when it is not the usual one.
    fn from(&self) -> String {
        self.other_dir
            .as_ref()
            .map_or_else(String::new, |dir| format!(" after {}", dir.display()))
    }
}

/// Every instance for the executables in `dir`.
#[must_use]
pub(crate) fn instances(
    cases: &[&'static Case],
    dir: &Path,
    only: &[String],
    versions: &[SpecVersion],
) -> Vec<Instance> {
    let present: Vec<&'static Known> = plugins::all()
        .filter(|known| machine::has(dir, known.name))
        .filter(|known| only.is_empty() || only.iter().any(|name| name == known.name))
        .collect();
    let mut all = Vec::new();
    for &case in cases {
        for &plugin in &present {
            let judged = match case.judges {
                Judges::Every => plugin.on_its_own,
                Judges::All => true,
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

/// `work` on every item, `jobs` at a time; results in the order given.
pub(crate) fn in_parallel<I: Sync, T: Send>(
    items: &[I],
    jobs: usize,
    work: impl Fn(&I) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(items.len()) {
            scope.spawn(|| {
                while let at = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(item) = items.get(at)
                {
                    let result = work(item);
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
pub(crate) fn judge(instance: &Instance, dir: &Path, settings: &Settings) -> Report {
    judge_overlaid(instance, dir, Overlay::NONE, settings)
}

/// Tries one instance on the plugin in `dir` with this laid over it.
pub(crate) fn judge_overlaid(
    instance: &Instance,
    dir: &Path,
    overlay: Overlay,
    settings: &Settings,
) -> Report {
    let start = Instant::now();
    let lacking = machine::missing(instance.case.needs);
    let mut kept = None;
    let (outcome, steps) = match lacking {
        Some(program) => (
            Outcome::Skip {
                reason: format!("needs {program}{}", machine::package(program)),
            },
            Vec::new(),
        ),
        None => match in_world(instance, dir, overlay, settings) {
            Ok((verdict, keeper)) => {
                kept = keeper;
                verdict.outcome()
            }
            Err(error) => (Outcome::Fail(error.into()), Vec::new()),
        },
    };
    Report {
        id: instance.id() + &settings.from(),
        rule: instance.case.rule,
        level: instance.case.level,
        source: instance.case.source,
        outcome,
        steps,
        kept,
        seconds: start.elapsed().as_secs_f64(),
    }
}

fn in_world(
    instance: &Instance,
    dir: &Path,
    overlay: Overlay,
    settings: &Settings,
) -> Result<(Verdict, Option<u32>)> {
    let task = Task::new(instance, dir, overlay, settings);
    let mut child = world::spawn(&[serde_json::to_string(&task)?])?;
    let told = first_line(
        child.stdout.take().context("no stdout")?,
        settings.time_limit,
    );
    let verdict: Option<Verdict> = told
        .as_ref()
        .and_then(|line| serde_json::from_str(line).ok());
    let hangs = told.is_none() && child.try_wait()?.is_none();
    let failed = verdict
        .as_ref()
        .map_or(hangs, |verdict| verdict.failure.is_some());
    let keepers = settings.keepers.as_ref().filter(|_| failed);
    let kept = keepers
        .map(|keepers| keepers.keep(child.id()))
        .transpose()?;
    // The case waits for the end of its standard input before its world goes.
    drop(child.stdin.take());
    let verdict = match verdict {
        Some(verdict) => {
            child.wait()?;
            verdict
        }
        None => {
            let (status, complaint) = end(&mut child)?;
            let how = if hangs {
                format!("ended after {:?}", settings.time_limit)
            } else {
                status
            };
            let said = told.unwrap_or_default();
            Verdict::none(&format!("no verdict ({how}): {said}{complaint}"))
        }
    };
    Ok((verdict, kept))
}

/// Ends a case that crashed or hangs, and with it its world; returns its status and its stderr.
fn end(child: &mut Child) -> Result<(String, String)> {
    // It may have ended by itself.
    let _ = child.kill();
    let status = child.wait()?.to_string();
    let mut complaint = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut complaint);
    }
    Ok((status, complaint))
}

/// The first line that comes within the limit.
fn first_line(pipe: impl Read + Send + 'static, limit: Duration) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    // Not joined: a process that hangs may hold the pipe open until its world has gone.
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = BufReader::new(pipe).read_line(&mut line);
        sender.send(line)
    });
    receiver.recv_timeout(limit).ok()
}

/// What the child is to do.
#[derive(Serialize, Deserialize)]
struct Task {
    case: String,
    plugin: String,
    #[serde(default)]
    config: Option<serde_json::Value>,
    version: String,
    plugin_dir: PathBuf,
    overlay: Overlay,
    further_dirs: Vec<PathBuf>,
    other_dir: Option<PathBuf>,
    seconds: u64,
}

impl Task {
    fn new(instance: &Instance, dir: &Path, overlay: Overlay, settings: &Settings) -> Self {
        Self {
            case: instance.case.id.to_owned(),
            plugin: instance.plugin.name.to_owned(),
            config: instance.plugin.given().cloned(),
            version: instance.version.to_string(),
            plugin_dir: dir.to_owned(),
            overlay,
            further_dirs: settings.besides(dir),
            other_dir: settings.other_dir.clone(),
            seconds: settings.time_limit.as_secs(),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
const PATIENCE_WITH_STUBS: Duration = Duration::from_secs(3);

/// Where a world keeps its stub plugins.
const STUBS: &str = "/run/stubs";

/// The child's side: runs one case in this process's world and prints the verdict.
///
/// # Errors
/// When the world cannot be furnished or the task names no case.
#[allow(clippy::print_stdout, reason = "the verdict is read by the parent")]
pub(crate) fn run_here(task: &str) -> Result<()> {
    let task: Task = serde_json::from_str(task)?;
    let case = crate::case::find(&task.case).context("no such case")?;
    if let Some(config) = task.config {
        plugins::give_again(&task.plugin, config)?;
    }
    let plugin = plugins::find(&task.plugin).context("no such plugin")?;
    let end = end_world_with_the_suite();
    world::furnish()?;
    end_world_after(Duration::from_secs(task.seconds + 5));
    let mut bench = Bench {
        plugin_dir: task.plugin_dir,
        other_dir: task.other_dir,
        plugin,
        version: task
            .version
            .parse()
            .map_err(|error| anyhow::anyhow!("{error}"))?,
        first_in_path: Vec::new(),
        last_in_path: task.further_dirs,
        patience: if task.overlay.fault.is_none() {
            PATIENCE
        } else {
            PATIENCE_WITH_STUBS
        },
    };
    if !task.overlay.is_none() {
        std::fs::create_dir(STUBS)?;
        let stubs = Path::new(STUBS);
        stub::make(stubs, plugin.name, case, task.overlay, &bench.plugin_dir)?;
        bench.plugin_dir = STUBS.into();
    }
    let verdict = try_case(case, bench);
    println!("{}", serde_json::to_string(&verdict)?);
    let _ = end.join();
    Ok(())
}

/// Ends this process, the first of its world, with its standard input, whose other end the suite has: one that was killed
/// between the fork of unshare(1) and what `--kill-child` does in the child is told of to nobody.
fn end_world_with_the_suite() -> JoinHandle<()> {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    })
}

/// Ends this process, the first of its world, should nobody be left to end it.
fn end_world_after(limit: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        std::process::exit(1);
    });
}

fn try_case(case: &Case, mut bench: Bench) -> Verdict {
    let mut verdict = Verdict {
        skipped: None,
        failure: None,
        steps: Vec::new(),
    };
    if let Some(lacking) = world::lacking(case.needs) {
        verdict.skipped = Some(format!("needs {lacking}"));
        return verdict;
    }
    if let Some(plugin) = bench.lacks(case.needs) {
        verdict.skipped = Some(format!("needs the plugin {plugin}"));
        return verdict;
    }
    if !case.even_unlisted && !bench.version_is_listed().unwrap_or(true) {
        verdict.skipped = Some(format!(
            "{} does not list {}",
            bench.plugin.name, bench.version
        ));
        return verdict;
    }
    verdict.failure = (case.run)(&mut bench).err();
    verdict.steps = steps::take();
    verdict
}

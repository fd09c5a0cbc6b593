//! `spec-tests`: judges any directory of CNI plugins from outside.
//!
//! It runs executables with environment and stdin and looks at what they leave through `ip`,
//! `bridge` and `nft`, never through podwire's own crates (only the protocol's types), so that
//! a fault of podwire cannot hide itself.

mod actor;
mod bench;
mod case;
mod cases;
mod compare;
mod deviations;
mod fault;
mod keeper;
mod listing;
mod machine;
mod options;
mod plugins;
mod progress;
mod prove;
mod report;
mod runner;
mod steps;
mod stub;
mod world;

use std::{
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use cni::SpecVersion;

use case::Set;
use deviations::Deviations;
use keeper::Keepers;
use options::{CasesArgs, Command, Options, ProveArgs, RunArgs};
use progress::Progress;
use runner::{Report, Settings};

/// What a command prints and its exit status.
type Answer = (String, ExitCode);

fn main() -> ExitCode {
    if let Some(code) = stub::main() {
        return code;
    }
    let answered = act(Options::parse().command);
    match answered.and_then(|(text, code)| said(&text).map(|()| code)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("spec-tests: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Prints it; a reader that wants no more (`| head`) is no error.
fn said(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("write to standard output"),
    }
}

fn act(command: Command) -> Result<Answer> {
    let done = |text| Ok((text, ExitCode::SUCCESS));
    match command {
        Command::Run(args) => run(&args),
        Command::List { case, output } => done(listing::list(&choose(&case)?, output)?),
        Command::Show { case, plugin_dir } => done(listing::show(&case, plugin_dir.as_deref())?),
        Command::Compare { before, after } => {
            let (text, different) = compare::compare(&before, &after)?;
            Ok((text, ExitCode::from(u8::from(different))))
        }
        Command::Prove(args) => prove(&args),
        Command::Answer { script } => Ok((String::new(), actor::main(&script)?)),
        Command::Case { task } => {
            runner::run_here(&task)?;
            done(String::new())
        }
    }
}

fn run(args: &RunArgs) -> Result<Answer> {
    plugins::give(&args.config)?;
    let release = args.release.as_deref();
    let deviations = known_by(&args.cases, release)?;
    let dir = machine::plugins_in(&args.plugin_dir, "--plugin-dir")?;
    let other = args.takeover.as_deref();
    let other = other
        .map(|other| machine::plugins_in(other, "--takeover"))
        .transpose()?;
    let dirs = [Some(&dir), other.as_ref()];
    are_there("--plugin", args.plugin.iter().map(String::as_str), &dirs)?;
    are_there("--config", plugins::given_names(), &dirs)?;
    machine::makes_worlds()?;
    let keepers = args.keep.then(Arc::<Keepers>::default);
    let mut reports = run_in(args, &dir, other.as_deref(), keepers.as_ref())?;
    if let Some(other) = other {
        reports.extend(run_in(args, &other, Some(&dir), keepers.as_ref())?);
    }
    if let Some(deviations) = deviations {
        for remark in deviations.apply(&mut reports) {
            eprintln!("spec-tests: {remark}");
        }
    }
    let text = report::render(&reports, args.output);
    let status = if !report::judged(&reports) {
        eprintln!("spec-tests: every case was skipped: nothing was judged");
        2
    } else {
        u8::from(!report::conforms(&reports))
    };
    if let Some(keepers) = keepers {
        keepers.stay();
    }
    Ok((text, ExitCode::from(status)))
}

/// Judges the plugins in `dir`, or how they take over what those in `other` made.
fn run_in(
    args: &RunArgs,
    dir: &Path,
    other: Option<&Path>,
    keepers: Option<&Arc<Keepers>>,
) -> Result<Vec<Report>> {
    let wanted = |set| match set {
        Set::Usual => other.is_none(),
        Set::Takeover => other.is_some(),
        Set::Runtime => other.is_none() && args.runtime_cases,
    };
    let mut cases = choose(&args.cases.case)?;
    let unwanted = cases.first().map(|case| case.set);
    cases.retain(|case| wanted(case.set));
    if let (true, Some(set)) = (cases.is_empty(), unwanted) {
        bail!("the chosen cases run {}", when(set));
    }
    let mut instances = runner::instances(&cases, dir, &args.plugin, &versions(&args.version)?);
    if let Some(other) = other {
        instances.retain(|instance| machine::has(other, instance.plugin.name));
    }
    if instances.is_empty() {
        bail!(
            "none of the chosen cases judges a plugin in {}{} under the chosen versions; \
             'spec-tests show CASE' says whom a case judges, and under which versions",
            dir.display(),
            other.map_or_else(String::new, |other| format!(" and {}", other.display()))
        );
    }
    let settings = Settings {
        time_limit: Duration::from_secs(args.cases.time_limit),
        keepers: keepers.cloned(),
        further_dirs: Vec::new(),
        other_dir: other.map(Path::to_owned),
    };
    let progress = args.progress.then(|| Progress::of(instances.len()));
    Ok(runner::in_parallel(
        &instances,
        args.cases.jobs,
        |instance| {
            let report = runner::judge(instance, dir, &settings);
            if let Some(progress) = &progress {
                progress.tell(&report);
            }
            report
        },
    ))
}

/// The known failures of `--deviations`.
fn known_by(args: &CasesArgs, release: Option<&str>) -> Result<Option<Deviations>> {
    let file = args.deviations.as_deref();
    file.map(|file| Deviations::read(file, release)).transpose()
}

/// When cases of this set run.
fn when(set: Set) -> &'static str {
    match set {
        Set::Usual => "without --takeover",
        Set::Takeover => "only with --takeover OTHER_DIR",
        Set::Runtime => "only with --runtime-cases, and without --takeover",
    }
}

/// The plugins that an option asks for are known, and each of the directories has them.
fn are_there<'a>(
    option: &str,
    asked: impl Iterator<Item = &'a str>,
    dirs: &[Option<&PathBuf>],
) -> Result<()> {
    for name in asked {
        if plugins::find(name).is_none() {
            bail!("{option} {name}: the suite knows {}", plugins::names());
        }
        let mut dirs = dirs.iter().flatten();
        if let Some(dir) = dirs.find(|dir| !machine::has(dir, name)) {
            bail!("{option} {name}: {} has none", dir.display());
        }
    }
    Ok(())
}

fn prove(args: &ProveArgs) -> Result<Answer> {
    let dirs = args.plugin_dir.iter();
    let dirs = dirs
        .map(|dir| machine::plugins_in(dir, "--plugin-dir"))
        .collect::<Result<Vec<_>>>()?;
    machine::makes_worlds()?;
    let known = known_by(&args.cases, None)?;
    let cases = choose(&args.cases.case)?;
    let proofs = runner::in_parallel(&cases, args.cases.jobs, |case| {
        // A plugin takes over from itself: what the case looks at is the same.
        let takeover = (case.set == Set::Takeover).then(|| dirs[0].clone());
        prove::prove(
            case,
            &dirs,
            known.as_ref(),
            &Settings {
                other_dir: takeover,
                time_limit: Duration::from_secs(args.cases.time_limit),
                further_dirs: dirs.clone(),
                ..Settings::default()
            },
        )
    });
    let mut table: String = proofs.iter().map(prove::line).collect();
    let unproven = proofs
        .iter()
        .filter(|proof| !proof.doubts.is_empty())
        .count();
    let untried = proofs
        .iter()
        .filter(|proof| proof.untried.is_some())
        .count();
    let proven = proofs.len() - unproven - untried;
    table.push_str(&format!(
        "{proven} proven, {unproven} not proven, {untried} not tried\n"
    ));
    Ok((table, ExitCode::from(u8::from(unproven > 0))))
}

/// The cases that match any of the patterns; all without a pattern.
fn choose(patterns: &[String]) -> Result<Vec<&'static case::Case>> {
    let all = case::all();
    for pattern in patterns {
        if !all.iter().any(|case| case::matches(pattern, case.id)) {
            bail!("--case {pattern}: matches no case; 'spec-tests list' names them");
        }
    }
    let wanted = |id| patterns.is_empty() || patterns.iter().any(|p| case::matches(p, id));
    Ok(all.into_iter().filter(|case| wanted(case.id)).collect())
}

fn versions(asked: &[String]) -> Result<Vec<SpecVersion>> {
    if asked.is_empty() {
        return Ok(SpecVersion::ALL.to_vec());
    }
    let parse = |text: &String| {
        text.parse()
            .map_err(|error| anyhow::anyhow!("--version {text}: {error}"))
    };
    asked.iter().map(parse).collect()
}

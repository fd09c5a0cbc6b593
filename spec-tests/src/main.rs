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
mod listing;
mod plugins;
mod prove;
mod report;
mod runner;
mod stub;
mod world;

use std::{
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use cni::SpecVersion;

use case::Set;
use deviations::Deviations;
use report::Format;
use runner::{Report, Settings};

/// A conformance suite for CNI plugins.
///
/// Exit status: 0 all MUST and COMPAT cases pass, 1 some failed, 2 it could not run.
#[derive(Parser)]
#[command(name = "spec-tests", version)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge the plugins in a directory
    Run(RunArgs),
    /// List the cases
    List {
        /// Only cases whose id matches; `*` stands for any text; may be repeated
        #[arg(long, value_name = "GLOB")]
        case: Vec<String>,
        /// Form of the list
        #[arg(long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
    /// Print one case: the rule, its source, and the commands that repeat it by hand
    Show {
        /// The case's id, as `list` prints it
        case: String,
        /// Directory with a plugin to try it on [default: /opt/cni/bin, else /usr/lib/cni]
        #[arg(long, value_name = "DIR")]
        plugin_dir: Option<PathBuf>,
    },
    /// Show what is different between two reports of `run --output json`; exit 1 when anything is
    Compare {
        /// The report to compare with
        before: PathBuf,
        /// The new report
        after: PathBuf,
    },
    /// Show for every case which broken stubs fail it; exit 1 when a case is not proven
    Prove(ProveArgs),
    /// Run one case in the current world (used by `run`)
    #[command(hide = true)]
    Case { task: String },
    /// Act as a plugin of the suite's own (the first line of its script names this)
    #[command(hide = true, name = actor::SUBCOMMAND)]
    Answer { script: PathBuf },
}

#[derive(clap::Args)]
struct RunArgs {
    /// Directory with the plugins' executables
    #[arg(long, value_name = "DIR")]
    plugin_dir: PathBuf,
    /// Judge only this plugin; may be repeated
    #[arg(long, value_name = "NAME")]
    plugin: Vec<String>,
    /// Run only cases whose id matches; `*` stands for any text; may be repeated
    #[arg(long, value_name = "GLOB")]
    case: Vec<String>,
    /// Only this version of the specification; may be repeated
    #[arg(long, value_name = "V")]
    version: Vec<String>,
    /// Cases at a time
    #[arg(long, value_name = "N", default_value_t = 4)]
    jobs: usize,
    /// Form of the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// Keep the worlds of failed cases, and say how to enter them
    #[arg(long)]
    keep: bool,
    /// A case that takes longer has failed
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    time_limit: u64,
    /// Instead: what one of the two directories' plugins added, the other checks and deletes
    #[arg(long, value_name = "OTHER_DIR")]
    takeover: Option<PathBuf>,
    /// Also the cases that run plugins in a chain, as a runtime does
    #[arg(long)]
    runtime_cases: bool,
    /// TOML file with failures that are known, each with its reason
    #[arg(long, value_name = "FILE")]
    deviations: Option<PathBuf>,
    /// Release that the plugins are of, for a file about several [default: its first]
    #[arg(long, value_name = "RELEASE", requires = "deviations")]
    release: Option<String>,
}

#[derive(clap::Args)]
struct ProveArgs {
    /// Directory with real plugins; a case is proven on the first that passes it; may be repeated
    #[arg(long, value_name = "DIR", required = true)]
    plugin_dir: Vec<PathBuf>,
    /// TOML file with failures that are known, each with its reason
    #[arg(long, value_name = "FILE")]
    deviations: Option<PathBuf>,
    /// Only cases whose id matches; may be repeated
    #[arg(long, value_name = "GLOB")]
    case: Vec<String>,
    /// Cases at a time
    #[arg(long, value_name = "N", default_value_t = 4)]
    jobs: usize,
}

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
    let release = args.release.as_deref();
    let deviations = args
        .deviations
        .as_deref()
        .map(|file| Deviations::read(file, release))
        .transpose()?;
    runner::check_machine(&args.plugin_dir)?;
    let dir = args.plugin_dir.canonicalize()?;
    let mut reports = match &args.takeover {
        None => run_in(args, &dir, None)?,
        Some(other) => {
            runner::check_machine(other)?;
            let other = other.canonicalize()?;
            let mut reports = run_in(args, &dir, Some(&other))?;
            reports.extend(run_in(args, &other, Some(&dir))?);
            reports
        }
    };
    if let Some(deviations) = deviations {
        for remark in deviations.apply(&mut reports) {
            eprintln!("spec-tests: {remark}");
        }
    }
    let failed = !report::conforms(&reports);
    let text = report::render(&reports, args.output);
    Ok((text, ExitCode::from(u8::from(failed))))
}

/// Judges the plugins in `dir`, or how they take over what those in `other` made.
fn run_in(args: &RunArgs, dir: &Path, other: Option<&Path>) -> Result<Vec<Report>> {
    let wanted = |set| match set {
        Set::Usual => other.is_none(),
        Set::Takeover => other.is_some(),
        Set::Runtime => other.is_none() && args.runtime_cases,
    };
    let mut cases = choose(&args.case)?;
    cases.retain(|case| wanted(case.set));
    let mut instances = runner::instances(&cases, dir, &args.plugin, &versions(&args.version)?);
    if let Some(other) = other {
        instances.retain(|instance| other.join(instance.plugin.name).is_file());
    }
    if instances.is_empty() {
        bail!(
            "no case applies: see 'spec-tests list' and the executables in {}{}",
            dir.display(),
            other.map_or_else(String::new, |other| format!(" and {}", other.display()))
        );
    }
    let settings = Settings {
        time_limit: Duration::from_secs(args.time_limit),
        keep: args.keep,
        further_dirs: Vec::new(),
        other_dir: other.map(Path::to_owned),
    };
    Ok(runner::in_parallel(&instances, args.jobs, |instance| {
        runner::judge(instance, dir, &settings)
    }))
}

fn prove(args: &ProveArgs) -> Result<Answer> {
    let dirs = prove::absolute(&args.plugin_dir)?;
    let known = args
        .deviations
        .as_deref()
        .map(|file| Deviations::read(file, None))
        .transpose()?;
    let cases = choose(&args.case)?;
    let proofs = runner::in_parallel(&cases, args.jobs, |case| {
        // A plugin takes over from itself: what the case looks at is the same.
        let takeover = (case.set == Set::Takeover).then(|| dirs[0].clone());
        prove::prove(
            case,
            &dirs,
            known.as_ref(),
            &Settings {
                other_dir: takeover,
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

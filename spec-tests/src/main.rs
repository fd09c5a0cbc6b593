//! `spec-tests`: judges any directory of CNI plugins from outside.
//!
//! It runs executables with environment and stdin and looks at what they leave through `ip`,
//! `bridge` and `nft`, never through podwire's own crates (only the protocol's types), so that
//! a fault of podwire cannot hide itself.

mod bench;
mod case;
mod cases;
mod plugins;
mod prove;
mod report;
mod runner;
mod stub;
mod world;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use cni::SpecVersion;

use report::Format;

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
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print one case: the rule, its source, whom it judges
    Show {
        /// The case's id, as `list` prints it
        case: String,
    },
    /// Show for every case which broken stubs fail it; exit 1 when a case is not proven
    Prove(ProveArgs),
    /// Run one case in the current world (used by `run`)
    #[command(hide = true)]
    Case {
        id: String,
        plugin: String,
        version: String,
        plugin_dir: PathBuf,
    },
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
}

#[derive(clap::Args)]
struct ProveArgs {
    /// Directory with real plugins that pass
    #[arg(long, value_name = "DIR")]
    plugin_dir: PathBuf,
    /// Only cases whose id matches; may be repeated
    #[arg(long, value_name = "GLOB")]
    case: Vec<String>,
    /// Cases at a time
    #[arg(long, value_name = "N", default_value_t = 4)]
    jobs: usize,
}

fn main() -> ExitCode {
    if let Some(code) = stub::main() {
        return code;
    }
    match act(Options::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("spec-tests: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn act(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(args) => run(&args),
        Command::List { json } => list(json),
        Command::Show { case } => show(&case),
        Command::Prove(args) => prove(&args),
        Command::Case {
            id,
            plugin,
            version,
            plugin_dir,
        } => runner::run_here(&id, &plugin, &version, &plugin_dir).map(|()| ExitCode::SUCCESS),
    }
}

#[allow(clippy::print_stdout, reason = "the report is the command's result")]
fn run(args: &RunArgs) -> Result<ExitCode> {
    runner::check_machine(&args.plugin_dir)?;
    let dir = args.plugin_dir.canonicalize()?;
    let cases = choose(&args.case)?;
    let instances = runner::instances(&cases, &dir, &args.plugin, &versions(&args.version)?);
    if instances.is_empty() {
        bail!(
            "no case applies: see 'spec-tests list' and the executables in {}",
            dir.display()
        );
    }
    let reports = runner::run(&instances, &dir, args.jobs, |report| {
        if let runner::Outcome::Fail(failure) = &report.outcome {
            eprintln!("failed: {}: {}", report.id, failure.what);
        }
    });
    print!("{}", report::render(&reports, args.output));
    Ok(ExitCode::from(u8::from(!report::conforms(&reports))))
}

#[allow(clippy::print_stdout, reason = "the table is the command's result")]
fn prove(args: &ProveArgs) -> Result<ExitCode> {
    runner::check_machine(&args.plugin_dir)?;
    let dir = args.plugin_dir.canonicalize()?;
    let instances = runner::one_each(&choose(&args.case)?, &dir);
    let proofs = runner::in_parallel(&instances, args.jobs, |instance| {
        prove::prove(instance, &dir)
    });
    let mut unproven = 0;
    for proof in proofs {
        let proof = proof?;
        println!("{:32} {}", proof.case, proof.failed_by.join(", "));
        for doubt in &proof.doubts {
            println!("    NOT PROVEN: {doubt}");
        }
        unproven += usize::from(!proof.doubts.is_empty());
    }
    println!("{} passed, {unproven} failed", instances.len() - unproven);
    Ok(ExitCode::from(u8::from(unproven > 0)))
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

#[allow(clippy::print_stdout, reason = "the list is the command's result")]
fn list(json: bool) -> Result<ExitCode> {
    let cases = case::all();
    if json {
        let rows: Vec<_> = cases.iter().map(|case| describe(case)).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(ExitCode::SUCCESS);
    }
    for case in &cases {
        println!(
            "{:32} {:6} {}",
            case.id,
            format!("{:?}", case.level).to_uppercase(),
            case.rule
        );
    }
    println!("{} cases", cases.len());
    Ok(ExitCode::SUCCESS)
}

fn describe(case: &case::Case) -> serde_json::Value {
    let judges = match case.judges {
        case::Judges::Every => vec!["every plugin"],
        case::Judges::Only(names) => names.to_vec(),
    };
    serde_json::json!({
        "id": case.id, "rule": case.rule, "level": case.level, "source": case.source,
        "plugins": judges, "since": case.versions[0].as_str(), "until": case.versions[1].as_str(),
        "needs": case.needs,
    })
}

#[allow(clippy::print_stdout, reason = "the case is the command's result")]
fn show(id: &str) -> Result<ExitCode> {
    let Some(case) = case::all().into_iter().find(|case| case.id == id) else {
        bail!("no case {id:?}; 'spec-tests list' names them");
    };
    println!("{}", serde_json::to_string_pretty(&describe(case))?);
    Ok(ExitCode::SUCCESS)
}

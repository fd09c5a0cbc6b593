//! `lab bench net`: what paths carry, in rounds that go over all of them by turns.

pub(crate) mod cores;
mod cpu;
pub(crate) mod loads;
mod maker;
mod overlay;
pub(crate) mod paths;
pub(crate) mod report;
mod rounds;
mod table;
mod traffic;
pub(crate) mod variants;
mod wire;

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;

use super::suite::Suite;
use super::{at_least_one, refuse, require_distinct, world};
use cores::Cores;
use loads::{Generator, Load};
use maker::{Course, Maker};
use paths::Path;
use report::{LeftOut, Report};
use rounds::Rounds;
use variants::Variant;

/// A node's subnet of 254 addresses has room for so many beside the gateway and those that are measured.
const MOST_OTHER_PODS: usize = 250;

/// What to measure, and how often.
#[derive(Debug, clap::Args)]
pub(super) struct NetArgs {
    /// Ways from a client to a server [default: all that this kernel has]
    #[arg(long, value_enum, value_delimiter = ',')]
    paths: Vec<Path>,
    /// What is sent over them [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    loads: Vec<Load>,
    /// Rounds over all paths; figures are medians over them
    #[arg(long, default_value_t = 5, value_parser = at_least_one::<usize>)]
    repetitions: usize,
    /// Of each measurement
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// Of each measurement in a first round that does not count; 0s leaves it out
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    warm_up: Duration,
    /// Pods beside those that are measured on each node; every path with pods once for each number
    #[arg(long, value_delimiter = ',', default_values_t = [1], value_parser = other_pods)]
    other_pods: Vec<usize>,
    /// What sends TCP streams [default: iperf3 where it is installed]
    #[arg(long, value_enum)]
    generator: Option<Generator>,
    /// Directory with another suite of plugins, which is compared on the same paths
    #[arg(long, value_name = "DIR")]
    plugin_dir: Option<PathBuf>,
    /// JSON file with another configuration, which is compared on the same paths: members of plugins'
    /// configurations, of netd's backends, and further arguments of netd, as
    /// `{"plugins": {"bridge": {"mtu": 9000}}, "backends": {"vxlan": {"DirectRouting": true}}, "netd": ["-v=1"]}`
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Where to write every sample, with the machine and the versions
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn other_pods(text: &str) -> Result<usize> {
    match text.parse() {
        Ok(number @ 0..=MOST_OTHER_PODS) => Ok(number),
        _ => bail!("{text:?} other pods: give 0 to {MOST_OTHER_PODS}"),
    }
}

/// A value's name on the command line.
fn name_of<T: ValueEnum>(value: &T, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value.to_possible_value() {
        Some(value) => f.write_str(value.get_name()),
        None => Ok(()),
    }
}

impl NetArgs {
    /// Ends with a usage error when the arguments together have no sense.
    pub(super) fn require_sense(&self) {
        if let Err(problem) = self.check() {
            refuse("net", &problem);
        }
    }

    fn check(&self) -> Result<()> {
        require_distinct(
            "--paths",
            &self.paths.iter().map(Path::to_string).collect::<Vec<_>>(),
        )?;
        require_distinct(
            "--loads",
            &self.loads.iter().map(Load::to_string).collect::<Vec<_>>(),
        )?;
        require_distinct("--other-pods", &self.other_pods)?;
        ensure!(
            !self.time.is_zero(),
            "nothing is measured in 0 s: give a longer --time"
        );
        for time in [self.time, self.warm_up] {
            ensure!(
                self.generator() == Generator::Lab || time.subsec_nanos() == 0,
                "iperf3 measures whole seconds, not {time:?}: give whole ones, or --generator lab"
            );
        }
        for input in [&self.plugin_dir, &self.against].into_iter().flatten() {
            require_seen(input)?;
        }
        check_file(self.json.as_deref())
    }

    fn generator(&self) -> Generator {
        self.generator.unwrap_or_else(|| {
            match crate::program::in_path(crate::program::IPERF3.program) {
                Some(_) => Generator::Iperf3,
                None => Generator::Lab,
            }
        })
    }

    /// Podwire as it comes, and what it is compared with.
    fn variants(&self) -> Result<Vec<Variant>> {
        let mut variants = vec![Variant::base()];
        variants.extend(self.plugin_dir.as_deref().map(Variant::suite));
        if let Some(file) = &self.against {
            variants.push(Variant::configuration(file)?);
        }
        Ok(variants)
    }
}

fn require_seen(path: &FilePath) -> Result<()> {
    ensure!(
        !world::is_own(&std::path::absolute(path)?),
        "{} is in a directory that the benchmark has for itself and that ends with it: choose another",
        path.display()
    );
    Ok(())
}

/// Before an hour of measuring rather than after it.
fn check_file(file: Option<&FilePath>) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    require_seen(file)?;
    let absolute = std::path::absolute(file)?;
    let directory = absolute.parent().unwrap_or(FilePath::new("/"));
    ensure!(
        directory.is_dir(),
        "there is no directory {} for the file of samples",
        directory.display()
    );
    Ok(())
}

/// Measures, and prints the table.
///
/// # Errors
/// A path that was asked for cannot be had, a program fails, or the file cannot be written.
#[allow(clippy::print_stdout, reason = "the table is the command's result")]
pub(super) fn run(bin_dir: &FilePath, args: &NetArgs) -> Result<()> {
    let mut variants = args.variants()?;
    require_difference(&variants, selected(&args.paths))?;
    let suites = suites(bin_dir, &mut variants)?;
    let makers = makers(bin_dir, &variants, suites);
    let (courses, left_out) = courses(args, &makers)?;
    let (generator, cores) = (args.generator(), Cores::halves()?);
    let mut report = Report::new(bin_dir, args, generator, cores.clone(), variants.clone())?;
    report.left_out = left_out;
    let rounds = Rounds {
        args,
        loads: selected(&args.loads),
        courses: &courses,
        cores: cores.as_ref(),
        generator,
    };
    rounds.run(&mut report)?;
    if let Some(file) = &args.json {
        report.write(file)?;
    }
    print!("{}", table::medians(&report));
    Ok(())
}

/// A comparison with the same would look like one of equals.
fn require_difference(variants: &[Variant], paths: &[Path]) -> Result<()> {
    for variant in variants {
        ensure!(
            paths.iter().any(|path| variant.concerns(*path)),
            "none of the paths is another with {}: choose other --paths",
            variant.name
        );
    }
    Ok(())
}

/// The plugins of each variant, and what they say they are.
fn suites(bin_dir: &FilePath, variants: &mut [Variant]) -> Result<Vec<Suite>> {
    let suite = |variant: &mut Variant| match &variant.plugin_dir {
        Some(dir) => {
            variant.about = report::about_plugin(&dir.join("bridge"));
            Suite::open("plugins", dir)
        }
        None => Suite::install("podwire", &bin_dir.join("podwire")),
    };
    variants.iter_mut().map(suite).collect()
}

fn makers<'a>(
    bin_dir: &'a FilePath,
    variants: &'a [Variant],
    suites: Vec<Suite>,
) -> Vec<Maker<'a>> {
    let each = variants.iter().zip(suites).enumerate();
    each.map(|(number, (variant, suite))| Maker {
        bin_dir,
        suite,
        variant,
        number,
    })
    .collect()
}

/// The paths asked for, or all that can be had, each with every number of pods and every variant that
/// concerns it: what is compared is measured one right after the other.
fn courses(args: &NetArgs, makers: &[Maker<'_>]) -> Result<(Vec<Course>, Vec<LeftOut>)> {
    let (mut made, mut left_out) = (Vec::new(), Vec::new());
    for &path in selected(&args.paths) {
        let numbers = if path.has_pods() {
            args.other_pods.as_slice()
        } else {
            &[0]
        };
        for maker in makers.iter().filter(|maker| maker.variant.concerns(path)) {
            left_out.extend(missing(args, maker, path)?);
        }
        for &number in numbers {
            for maker in makers.iter().filter(|maker| maker.variant.concerns(path)) {
                let variant = &maker.variant.name;
                let is_left_out = |left: &LeftOut| left.path == path && left.variant == *variant;
                if !left_out.iter().any(is_left_out) {
                    tell(&format!(
                        "{path}: making it, {number} other pods, {variant}"
                    ));
                    made.push(maker.make(path, number)?);
                }
            }
        }
    }
    ensure!(!made.is_empty(), "no path is left to measure");
    Ok((made, left_out))
}

/// What is wrong with a path that was asked for is an error.
fn missing(args: &NetArgs, maker: &Maker<'_>, path: Path) -> Result<Option<LeftOut>> {
    let Some(reason) = maker.missing(path)? else {
        return Ok(None);
    };
    let variant = maker.variant.name.clone();
    if !args.paths.is_empty() {
        bail!("the path {path} cannot be had ({variant}): {reason}");
    }
    tell(&format!("{path}: left out, {variant}: {reason}"));
    Ok(Some(LeftOut {
        path,
        variant,
        reason,
    }))
}

#[allow(clippy::print_stderr, reason = "progress")]
fn tell(what: &str) {
    eprintln!("{what}");
}

fn selected<T: ValueEnum>(asked: &[T]) -> &[T] {
    if asked.is_empty() {
        T::value_variants()
    } else {
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_selected_where_nothing_is_named() {
        assert_eq!(selected::<Load>(&[]), Load::value_variants());
        assert_eq!(selected(&[Path::Udp, Path::Node]), [Path::Udp, Path::Node]);
    }

    #[test]
    fn a_variant_that_is_the_same_on_all_paths_is_refused() {
        let variants = [Variant::base(), Variant::suite(FilePath::new("/x"))];
        assert!(require_difference(&variants, &[Path::Node, Path::Ptp]).is_ok());
        let error = require_difference(&variants, &[Path::Node]).unwrap_err();
        assert!(error.to_string().contains("another with /x"), "{error}");
    }

    #[test]
    fn a_file_that_would_be_lost_is_refused() {
        for file in [
            "/run/x.json",
            "/proc/x.json",
            "/var/lib/x.json",
            "/nowhere/x.json",
        ] {
            assert!(check_file(Some(FilePath::new(file))).is_err(), "{file}");
        }
        assert!(check_file(Some(FilePath::new("x.json"))).is_ok());
        assert!(check_file(None).is_ok());
    }
}

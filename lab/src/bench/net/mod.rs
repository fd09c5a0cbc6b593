//! `lab bench net`: what paths carry, in rounds that go over all of them by turns.

mod args;
mod by_hand;
pub(crate) mod cores;
mod cpu;
pub(crate) mod family;
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
use std::path::Path as FilePath;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use super::file;
use super::progress::tell;
use super::suite::Suite;
use crate::output;
pub(super) use args::NetArgs;
use cores::Cores;
use family::Family;
use maker::{Course, Maker};
use paths::Path;
use report::{LeftOut, Report};
use rounds::Rounds;
use variants::Variant;
pub(super) use wire::said;

/// A value's name on the command line.
pub(super) fn name_of<T: ValueEnum>(value: &T, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value.to_possible_value() {
        Some(value) => f.write_str(value.get_name()),
        None => Ok(()),
    }
}

/// Measures, and prints the table.
///
/// # Errors
/// A path that was asked for cannot be had, a program fails, or the file cannot be written.
pub(super) fn run(bin_dir: &FilePath, args: &NetArgs) -> Result<()> {
    let mut variants = args.variants()?;
    require_difference(&variants, selected(&args.paths))?;
    let suites = suites(bin_dir, &mut variants, selected(&args.paths))?;
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
    let (heading, medians) = (table::heading(&report), table::medians(&report));
    output::print(&format!("{heading}\n{medians}"))
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
fn suites(bin_dir: &FilePath, variants: &mut [Variant], paths: &[Path]) -> Result<Vec<Suite>> {
    let suite = |variant: &mut Variant| match &variant.plugin_dir {
        Some(dir) => {
            let suite = Suite::at("plugins", dir);
            let first = first_plugin(&suite, paths).with_context(|| dir.display().to_string())?;
            variant.about = file::about_plugin(&dir.join(first));
            Ok(suite)
        }
        None => Suite::install("podwire", &bin_dir.join("podwire")),
    };
    variants.iter_mut().map(suite).collect()
}

/// Of the first path that the suite has all plugins of. Another suite need not have every plugin.
fn first_plugin(suite: &Suite, paths: &[Path]) -> Result<&'static str> {
    let has = |path: &Path| path.plugins().iter().all(|plugin| suite.has(plugin));
    let mut with_pods = paths.iter().filter(|path| path.has_pods());
    let Some(path) = with_pods.clone().find(|path| has(path)) else {
        let (path, needed) = match with_pods.next() {
            Some(path) => (path.to_string(), path.plugins().join(", ")),
            None => bail!("no path with pods is measured"),
        };
        bail!("none of the paths can be made with these plugins: {path}, for one, needs {needed}");
    };
    path.plugins()
        .first()
        .copied()
        .context("a path without plugins")
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

/// The paths asked for, or all that can be had, each with every family, number of pods and every variant that
/// concerns it: what is compared is measured one right after the other.
fn courses(args: &NetArgs, makers: &[Maker<'_>]) -> Result<(Vec<Course>, Vec<LeftOut>)> {
    let (mut made, mut left_out) = (Vec::new(), Vec::new());
    for &path in selected(&args.paths) {
        for &family in &args.family {
            let mut able = Vec::new();
            for maker in makers.iter().filter(|maker| maker.variant.concerns(path)) {
                match missing(args, maker, path, family)? {
                    Some(left) => left_out.push(left),
                    None => able.push(maker),
                }
            }
            for &number in args.other_pods_of(path) {
                for maker in &able {
                    let variant = &maker.variant.name;
                    tell(&format!(
                        "{path}: making it, {family}, {number} other pods, {variant}"
                    ));
                    let course = maker.make(path, family, number)?;
                    if args.congestion_control.is_some() {
                        course.ends.begin_unpaced()?;
                    }
                    made.push(course);
                }
            }
        }
    }
    ensure!(!made.is_empty(), "no path is left to measure");
    Ok((made, left_out))
}

/// What is wrong with a path that was asked for is an error.
fn missing(
    args: &NetArgs,
    maker: &Maker<'_>,
    path: Path,
    family: Family,
) -> Result<Option<LeftOut>> {
    let Some(reason) = maker.missing(path, family)? else {
        return Ok(None);
    };
    let variant = maker.variant.name.clone();
    if !args.paths.is_empty() {
        bail!("the path {path} cannot be had ({family}, {variant}): {reason}");
    }
    tell(&format!("{path}: left out, {family}, {variant}: {reason}"));
    Ok(Some(LeftOut {
        path,
        family,
        variant,
        reason,
    }))
}

pub(super) fn selected<T: ValueEnum>(asked: &[T]) -> &[T] {
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
        assert_eq!(selected::<Path>(&[]), Path::value_variants());
        assert_eq!(selected(&[Path::Udp, Path::Node]), [Path::Udp, Path::Node]);
    }

    #[test]
    fn a_variant_that_is_the_same_on_all_paths_is_refused() {
        let variants = [Variant::base(), Variant::suite(FilePath::new("/x"))];
        assert!(require_difference(&variants, &[Path::Node, Path::Ptp]).is_ok());
        let error = require_difference(&variants, &[Path::Node]).unwrap_err();
        assert!(error.to_string().contains("another with /x"), "{error}");
    }
}

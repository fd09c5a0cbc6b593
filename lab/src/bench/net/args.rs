//! What `lab bench net` is asked to do.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kernel::congestion;

use super::family::Family;
use super::loads::{Generator, Load};
use super::paths::Path;
use super::variants::{self, BASE, Variant};
use crate::bench::{at_least_one, file, refuse, require_distinct};
use crate::program::{IPERF3, in_path, require};
use crate::size::parse_length;

/// A node's subnet of 254 addresses has room for so many beside the gateway and those that are measured.
const MOST_OTHER_PODS: usize = 250;

/// What to measure, and how often.
#[derive(Debug, clap::Args)]
pub(in crate::bench) struct NetArgs {
    /// Ways from a client to a server [default: all that this kernel has]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(super) paths: Vec<Path>,
    /// Of addresses: the same paths over IPv4, IPv6, or both
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Family::default()])]
    pub(super) family: Vec<Family>,
    /// What is sent over them [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(super) loads: Vec<Load>,
    /// Rounds over all paths; figures are medians over them
    #[arg(long, default_value_t = 5, value_parser = at_least_one::<usize>)]
    pub(super) repetitions: usize,
    /// Of each measurement
    #[arg(long, default_value = "3s", value_parser = parse_length)]
    pub(super) time: Duration,
    /// Of each measurement in a first round that does not count; 0s leaves it out
    #[arg(long, default_value = "1s", value_parser = parse_length)]
    pub(super) warm_up: Duration,
    /// Pods beside those that are measured on each node; every path with pods once for each number
    #[arg(long, value_delimiter = ',', default_values_t = [1], value_parser = other_pods)]
    other_pods: Vec<usize>,
    /// What sends TCP streams [default: iperf3 where it is installed]
    #[arg(long, value_enum)]
    generator: Option<Generator>,
    /// Congestion control of TCP streams, as cubic, bbr or reno [default: the machine's]
    #[arg(long, value_name = "NAME")]
    pub(super) congestion_control: Option<String>,
    /// Directory with another suite of plugins, which is compared on the same paths
    #[arg(long, value_name = "DIR")]
    plugin_dir: Option<PathBuf>,
    /// JSON file with another configuration, which is compared on the same paths: members of plugins'
    /// configurations, of netd's backends, and further arguments of netd, as
    /// `{"plugins": {"bridge": {"mtu": 9000}}, "backends": {"vxlan": {"DirectRouting": true}}, "netd": ["-v=1"]}`
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Where to write every sample, with the machine and the versions; after each round
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
}

fn other_pods(text: &str) -> Result<usize> {
    match text.parse() {
        Ok(number @ 0..=MOST_OTHER_PODS) => Ok(number),
        _ => bail!("{text:?} other pods: give 0 to {MOST_OTHER_PODS}"),
    }
}

impl NetArgs {
    /// Ends with a usage error when the arguments together have no sense.
    pub(in crate::bench) fn require_sense(&self) {
        if let Err(problem) = self.check() {
            refuse("net", &problem);
        }
    }

    fn check(&self) -> Result<()> {
        require_distinct("--paths", &self.paths)?;
        require_distinct("--family", &self.family)?;
        require_distinct("--loads", &self.loads)?;
        require_distinct("--other-pods", &self.other_pods)?;
        self.check_times()?;
        if let Some(name) = &self.congestion_control {
            let here = congestion::available()?;
            ensure!(
                here.contains(name),
                "this kernel has no congestion control {name:?}, but {}",
                here.join(", ")
            );
        }
        for input in [&self.plugin_dir, &self.against].into_iter().flatten() {
            file::require_seen(input)?;
        }
        self.check_names()?;
        file::check(self.json.as_deref())
    }

    /// Samples are told apart by these alone.
    fn check_names(&self) -> Result<()> {
        let inputs = [&self.plugin_dir, &self.against].into_iter().flatten();
        let mut names = vec![BASE.to_owned()];
        for input in inputs {
            let name = variants::name(input);
            ensure!(
                !names.contains(&name),
                "two of what is compared would be called {name:?}, as its samples are: give one path in another \
                 way, as ./x for x"
            );
            names.push(name);
        }
        Ok(())
    }

    fn check_times(&self) -> Result<()> {
        ensure!(
            !self.time.is_zero(),
            "nothing is measured in 0 s: give a longer --time"
        );
        if self.generator() == Generator::Lab {
            return Ok(());
        }
        require(&[IPERF3]).context("--generator lab needs none")?;
        for time in [self.time, self.warm_up] {
            ensure!(
                time.subsec_nanos() == 0,
                "iperf3 measures whole seconds, not {time:?}: give whole ones, or --generator lab"
            );
        }
        Ok(())
    }

    /// How many other pods the path has, one after the other.
    pub(super) fn other_pods_of(&self, path: Path) -> &[usize] {
        if path.has_pods() {
            &self.other_pods
        } else {
            &[0]
        }
    }

    /// What sends streams: what was asked for, or iperf3 where it is.
    pub(super) fn generator(&self) -> Generator {
        self.generator
            .unwrap_or_else(|| match in_path(IPERF3.program) {
                Some(_) => Generator::Iperf3,
                None => Generator::Lab,
            })
    }

    /// Of TCP streams: what was asked for, or the machine's.
    ///
    /// # Errors
    /// The machine's cannot be read.
    pub(super) fn congestion_control(&self) -> Result<String> {
        match &self.congestion_control {
            Some(name) => Ok(name.clone()),
            None => Ok(congestion::default()?),
        }
    }

    /// Podwire as it comes, and what it is compared with.
    ///
    /// # Errors
    /// The file of the other configuration is none.
    pub(super) fn variants(&self) -> Result<Vec<Variant>> {
        let mut variants = vec![Variant::base()];
        variants.extend(self.plugin_dir.as_deref().map(Variant::suite));
        if let Some(file) = &self.against {
            variants.push(Variant::configuration(file)?);
        }
        Ok(variants)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        net: NetArgs,
    }

    #[test]
    fn what_is_compared_has_names_of_its_own() {
        for (arguments, is_right) in [
            (&["--plugin-dir", "podwire"][..], false),
            (&["--against", "podwire"], false),
            (&["--plugin-dir", "x", "--against", "x"], false),
            (&["--plugin-dir", "./podwire", "--against", "x"], true),
            (&[], true),
        ] {
            let cli = Cli::parse_from([&["lab"], arguments].concat());
            let checked = cli.net.check_names();
            assert_eq!(checked.is_ok(), is_right, "{arguments:?}: {checked:?}");
        }
    }
}

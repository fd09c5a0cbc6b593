//! Rounds over all paths by turns, so that what else the machine does meets all.

use anyhow::{Context, Result};

use super::NetArgs;
use super::cores::Cores;
use super::loads::{Generator, Load};
use super::maker::Course;
use super::report::{Report, Sample};
use super::table::line;
use super::traffic::Traffic;
use crate::bench::file;
use crate::bench::progress::Progress;

/// How every measurement is made.
pub(super) struct Rounds<'a> {
    pub(super) args: &'a NetArgs,
    pub(super) loads: &'a [Load],
    pub(super) courses: &'a [Course],
    pub(super) cores: Option<&'a Cores>,
    pub(super) generator: Generator,
}

impl Rounds<'_> {
    /// Measures; the warm-up is round 0, which the report does not keep. Each other round is in the file at its
    /// end, so that who stops has those that are done.
    ///
    /// # Errors
    /// A load fails, or the file cannot be written.
    pub(super) fn run(&self, report: &mut Report) -> Result<()> {
        let first = usize::from(self.args.warm_up.is_zero());
        let rounds = self.args.repetitions + 1 - first;
        let mut progress =
            Progress::start(rounds * self.loads.len() * self.courses.len(), &line(None));
        for round in first..=self.args.repetitions {
            let samples = self.round(round, report, &mut progress)?;
            if round > 0 {
                report.samples.extend(samples);
                self.write(round, report)?;
            }
        }
        Ok(())
    }

    fn round(
        &self,
        round: usize,
        report: &mut Report,
        progress: &mut Progress,
    ) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for &load in self.loads {
            for course in self.courses {
                let sample = self.measure(round, load, course, report)?;
                progress.tell(&line(Some(&sample)));
                samples.push(sample);
            }
        }
        Ok(samples)
    }

    /// To what is no file (a pipe, a terminal) at the end alone.
    fn write(&self, round: usize, report: &Report) -> Result<()> {
        match &self.args.json {
            Some(to) if round == self.args.repetitions || !file::is_special(to) => {
                file::write(report, to)
            }
            _ => Ok(()),
        }
    }

    fn measure(
        &self,
        round: usize,
        load: Load,
        course: &Course,
        report: &mut Report,
    ) -> Result<Sample> {
        let time = if round == 0 {
            self.args.warm_up
        } else {
            self.args.time
        };
        let at = file::now();
        let traffic = Traffic {
            load,
            ends: &course.ends,
            family: course.family,
            cores: self.cores,
            time,
            generator: self.generator,
            congestion_control: self.args.congestion_control.as_deref(),
        };
        let outcome = traffic
            .run()
            .with_context(|| format!("measure {load} over {} ({})", course.path, course.family))?;
        if round > 0 {
            let commands = &mut report.commands;
            commands.entry(load.to_string()).or_insert(outcome.command);
        }
        Ok(Sample {
            round,
            path: course.path,
            family: course.family,
            variant: course.variant.clone(),
            other_pods: course.other_pods,
            load,
            at,
            seconds: outcome.seconds,
            figures: outcome.figures,
            cpu_seconds: outcome.cpu_seconds,
            cpu_seconds_per_gigabit: outcome.bits.map(|bits| outcome.cpu_seconds / (bits / 1e9)),
            latencies_microseconds: outcome.latencies,
        })
    }
}

//! The table of medians, and the line that says what was just measured.

use super::cores::list;
use super::family::Family;
use super::loads::{Column, Load};
use super::paths::Path;
use super::report::{Report, Sample};
use super::variants::BASE;
use crate::bench::measure::median;
use crate::output::Table;
use crate::report::numbers::{Summary, digits};

/// What the figures are of: machine, kernel, versions, and how often.
pub(super) fn heading(report: &Report) -> String {
    let Report {
        machine, versions, ..
    } = report;
    let pinned = match &machine.cores {
        Some(cores) => format!(
            "client on {}, server on {}",
            list(&cores.client, cores.client.len()),
            list(&cores.server, cores.server.len())
        ),
        None => "not pinned".to_owned(),
    };
    let processor = machine.processor.as_deref().unwrap_or("unknown processor");
    let programs = [&versions.netd, &versions.podwire, &versions.iperf3];
    let programs: Vec<&str> = programs.into_iter().flatten().map(String::as_str).collect();
    let congestion_control = match &report.congestion_control {
        Some(name) => format!(" with {name}"),
        None => String::new(),
    };
    let warm_up = match report.warm_up_seconds {
        0.0 => "no warm-up".to_owned(),
        seconds => format!("after a warm-up of {seconds} s"),
    };
    format!(
        "{processor}, {} processors ({pinned}), Linux {}\nlab {}, {}; streams by {}{}\n\
         {} {}, {}, began {}\n",
        machine.processors,
        machine.kernel,
        versions.lab,
        programs.join(", "),
        report.generator,
        congestion_control,
        report.repetitions,
        if report.repetitions == 1 {
            "round"
        } else {
            "rounds"
        },
        warm_up,
        report.started
    )
}

/// What a row of the table is about.
type Row<'a> = (Load, Path, Family, &'a str, usize);

fn row_of(sample: &Sample) -> Row<'_> {
    (
        sample.load,
        sample.path,
        sample.family,
        &sample.variant,
        sample.other_pods,
    )
}

/// Median, least and most of each figure, the paths of a load below each other.
pub(super) fn medians(report: &Report) -> Table {
    let compares = report.variants.len() > 1;
    let mut headings = vec![
        "LOAD",
        "PATH",
        "FAMILY",
        "OTHER PODS",
        "VARIANT",
        "MEDIAN",
        "MIN",
        "MAX",
        "UNIT",
        "CPU S/GBIT",
    ];
    headings.extend(compares.then_some("AGAINST PODWIRE"));
    let mut table = Table::new(&headings);
    let mut seen: Vec<Row<'_>> = Vec::new();
    for row in report.samples.iter().map(row_of) {
        if seen.contains(&row) {
            continue;
        }
        seen.push(row);
        let samples = report.samples.iter().filter(|sample| row_of(sample) == row);
        let samples: Vec<&Sample> = samples.collect();
        for column in row.0.columns() {
            let against = compares.then(|| against(row, column, report));
            table.row(cells(row, column, &samples).into_iter().chain(against));
        }
    }
    table
}

fn cells(
    (load, path, family, variant, pods): Row<'_>,
    column: &Column,
    samples: &[&Sample],
) -> [String; 10] {
    let figures = samples.iter().filter_map(|sample| figure(sample, column));
    let mut figures: Vec<f64> = figures.collect();
    let middle = median(&mut figures);
    let [least, most] =
        [figures.first(), figures.last()].map(|end| end.copied().unwrap_or_default());
    [
        load.to_string(),
        path.to_string(),
        family.to_string(),
        pods.to_string(),
        variant.to_owned(),
        digits(middle),
        digits(least),
        digits(most),
        column.unit.to_owned(),
        cpu(samples),
    ]
}

/// How much the row's figure differs from that of podwire as it comes, and whether the samples tell.
fn against(row: Row<'_>, column: &Column, report: &Report) -> String {
    let of = |row: Row<'_>| {
        let samples = report.samples.iter().filter(|sample| row_of(sample) == row);
        let figures: Vec<f64> = samples
            .filter_map(|sample| figure(sample, column))
            .collect();
        Summary::of(&figures)
    };
    let (load, path, family, variant, pods) = row;
    if variant == BASE {
        return "–".to_owned();
    }
    let base = of((load, path, family, BASE, pods));
    let known = base.zip(of(row));
    let told = known.and_then(|(base, own)| own.against(&base));
    told.unwrap_or_else(|| "unknown".to_owned())
}

/// In the column's unit.
fn figure(sample: &Sample, column: &Column) -> Option<f64> {
    let figure = sample.figures.get(column.key)?;
    Some(figure * column.scale)
}

fn cpu(samples: &[&Sample]) -> String {
    let costs = samples
        .iter()
        .filter_map(|sample| sample.cpu_seconds_per_gigabit);
    let mut costs: Vec<f64> = costs.collect();
    if costs.is_empty() {
        return String::new();
    }
    digits(median(&mut costs))
}

/// A measurement for who waits; the headings, if none.
pub(super) fn line(sample: Option<&Sample>) -> String {
    let cells = match sample {
        None => [
            "ROUND", "LOAD", "PATH", "FAMILY", "PODS", "FIGURE", "UNIT", "VARIANT",
        ]
        .map(str::to_owned),
        Some(sample) => {
            let column = &sample.load.columns()[0];
            [
                match sample.round {
                    0 => "warm-up".to_owned(),
                    round => round.to_string(),
                },
                sample.load.to_string(),
                sample.path.to_string(),
                sample.family.to_string(),
                sample.other_pods.to_string(),
                digits(figure(sample, column).unwrap_or_default()),
                column.unit.to_owned(),
                sample.variant.clone(),
            ]
        }
    };
    let [round, load, path, family, pods, figure, unit, variant] = cells;
    format!(
        "{round:7}  {load:13}  {path:13}  {family:6}  {pods:>4}  {figure:>9}  {unit:13}  {variant}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn sample(round: usize, variant: &str, gigabits: f64) -> Sample {
        Sample {
            round,
            path: Path::Bridge,
            family: Family::Ipv6,
            variant: variant.to_owned(),
            other_pods: 1,
            load: Load::Tcp1,
            at: String::new(),
            seconds: 1.0,
            figures: BTreeMap::from([("bits_per_second".to_owned(), gigabits * 1e9)]),
            cpu_seconds: 2.0,
            cpu_seconds_per_gigabit: Some(2.0 / gigabits),
            latencies_microseconds: Vec::new(),
        }
    }

    #[test]
    fn a_row_is_the_median_of_its_own_samples() {
        let samples = [
            sample(1, "a", 10.0),
            sample(2, "a", 20.0),
            sample(3, "a", 40.0),
        ];
        let samples: Vec<&Sample> = samples.iter().collect();
        let row = row_of(samples[0]);
        let cells = cells(row, &Load::Tcp1.columns()[0], &samples);
        let expected = [
            "tcp-1", "bridge", "ipv6", "1", "a", "20.0", "10.0", "40.0", "Gbit/s", "0.100",
        ];
        assert_eq!(cells, expected);
        assert_ne!(row, row_of(&sample(1, "b", 10.0)));
    }

    #[test]
    fn the_line_is_below_its_headings() {
        let (heading, line) = (line(None), line(Some(&sample(0, "a", 10.0))));
        for (head, cell) in [
            ("LOAD", "tcp-1"),
            ("PATH", "bridge"),
            ("FAMILY", "ipv6"),
            ("UNIT", "Gbit/s"),
        ] {
            assert_eq!(heading.find(head), line.find(cell), "{heading}\n{line}");
        }
        assert!(line.starts_with("warm-up"), "{line}");
    }
}

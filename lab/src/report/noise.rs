//! What the samples' own spread says about their worth.

use super::comparison::{Comparison, Measured, OnPath, Series, Side};
use super::numbers::{Summary, change, percent};
use super::tables::FACTS;
use crate::bench::measure::quantile_of_sorted;

/// Samples of fewer rounds hardly show how far they spread.
const FEW: usize = 5;
/// A spread that is told of.
const WIDE: f64 = 0.1;
/// So many of the widest are named.
const NAMED: usize = 3;

/// One load on one path of one side.
struct Row<'a> {
    measured: &'a Measured,
    on: &'a OnPath,
    side: &'a Side<'a>,
    series: &'a Series,
    main: Summary,
}

/// Paragraphs of sentences.
pub(super) fn paragraphs(comparison: &Comparison<'_>) -> Vec<String> {
    let rows = rows(comparison);
    let mut paragraphs = vec![spread(comparison, &rows)];
    paragraphs.extend(drift(&rows));
    if comparison.compares() {
        paragraphs.push(clear(comparison, &rows));
        paragraphs.extend(differences(comparison));
    }
    paragraphs
}

fn rows<'a>(comparison: &'a Comparison<'a>) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for measured in &comparison.loads {
        for on in &measured.paths {
            for (side, series) in comparison.sides.iter().zip(&on.sides) {
                let Some(series) = series else { continue };
                let Some(main) = series.main() else { continue };
                rows.push(Row {
                    measured,
                    on,
                    side,
                    series,
                    main,
                });
            }
        }
    }
    rows
}

fn spread(comparison: &Comparison<'_>, rows: &[Row<'_>]) -> String {
    let mut spreads: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row.main.spread()?, row)))
        .collect();
    spreads.sort_by(|a, b| a.0.total_cmp(&b.0));
    let values: Vec<f64> = spreads.iter().map(|(spread, _)| *spread).collect();
    let (Some(half), Some(most)) = (
        quantile_of_sorted(&values, 0.5),
        quantile_of_sorted(&values, 0.9),
    ) else {
        return "Each row has one sample: what chance does to it is not known, and no difference \
                between two of these figures means anything by itself."
            .to_owned();
    };
    let mut text = format!(
        "From the least to the most of its samples, half of the {} rows (a load on a path) spread by {} of \
         their median or less, nine of ten by {} or less. ",
        counted(rows.len()),
        percent(half),
        percent(most)
    );
    let wide = spreads.iter().rev().filter(|(spread, _)| *spread > WIDE);
    match wide.clone().count() {
        0 => text += &format!("None spreads by more than {}. ", percent(WIDE)),
        count => {
            let named = wide.take(NAMED);
            let named: Vec<_> = named
                .map(|(spread, row)| format!("{} ({})", row.name(comparison), percent(*spread)))
                .collect();
            text += &format!(
                "{count} {} by more than {}, the widest: {}. ",
                if count == 1 { "spreads" } else { "spread" },
                percent(WIDE),
                named.join(", ")
            );
        }
    }
    text +=
        "Two figures that differ by less than their rows spread are not told apart by this run.";
    let few = rows.iter().filter(|row| row.main.count < FEW).count();
    if few > 0 {
        text += &format!(
            " {few} of the rows have fewer than {FEW} samples, which show less than the whole of their spread."
        );
    }
    text
}

impl Row<'_> {
    fn name(&self, comparison: &Comparison<'_>) -> String {
        let name = format!("{} over {}", self.measured.load, self.on.place);
        if comparison.compares() {
            format!("{name} in {}", self.side.letter)
        } else {
            name
        }
    }

    /// From the first half of the rounds to the second.
    fn drift(&self) -> Option<f64> {
        let samples = self.series.figures.first()?;
        let half = samples.len() / 2;
        let [early, late] = [&samples[..half], &samples[samples.len() - half..]];
        Summary::of(late)?.change_from(&Summary::of(early)?)
    }
}

fn counted(count: usize) -> String {
    super::numbers::grouped(&count.to_string())
}

/// Whether the machine changed while it measured.
fn drift(rows: &[Row<'_>]) -> Option<String> {
    let drifts: Vec<f64> = rows.iter().filter_map(Row::drift).collect();
    let middle = Summary::of(&drifts)?.median;
    let up = drifts.iter().filter(|drift| **drift > 0.0).count();
    Some(format!(
        "From the first half of the rounds to the second the figures changed by {} in the median; {up} of {} rows \
         rose. Where the machine does not change meanwhile, about half of them rise.",
        change(middle),
        drifts.len()
    ))
}

/// How many differences are more than chance.
fn clear(comparison: &Comparison<'_>, rows: &[Row<'_>]) -> String {
    let (mut compared, mut apart, mut by_chance) = (0, 0, 0.0);
    for row in rows.iter().filter(|row| row.side.letter != 'A') {
        let first = row.on.sides.first().and_then(Option::as_ref);
        let Some(first) = first.and_then(Series::main) else {
            continue;
        };
        compared += 1;
        apart += usize::from(!row.main.overlaps(&first));
        by_chance += row.main.chance_to_part(&first);
    }
    let method = if comparison.by_turns() {
        "All sides were measured by turns, so that what else the machine did met all of them."
    } else {
        "The files were measured one after the other: what else the machine did met one of them alone."
    };
    format!(
        "{method} A difference is called apart where every sample is above, or every one below, all of A's. Of \
         {compared} compared rows {apart} are; if nothing differed and each sample were independent of the others, \
         chance alone would part {by_chance:.1} of them."
    )
}

/// In what else the files differ.
fn differences(comparison: &Comparison<'_>) -> Option<String> {
    let facts = FACTS.iter().filter(|fact| fact.matters);
    let names: Vec<_> = facts
        .filter(|fact| fact.differs(&comparison.sides))
        .map(|fact| fact.name)
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "The sides also differ in this: {}. What differs in the figures may come of that.",
            names.join(", ")
        )
    })
}

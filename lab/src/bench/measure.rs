//! Medians, quantiles and the table they are printed in.

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use super::progress::Progress;
use super::record::{Better, Measured, Row};
use super::suite::{PODWIRE, REFERENCE};
use crate::output;

/// The middle value; the mean of the two middle ones where their number is even.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// The smallest value that so many thousandths of all do not exceed; of none, 0.
pub(super) fn quantile(values: &mut [f64], thousandths: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile_of_sorted(values, thousandths as f64 / 1000.0).unwrap_or_default()
}

/// The value that the part `share` (0 to 1) of all do not exceed; of none, none.
pub(crate) fn quantile_of_sorted(sorted: &[f64], share: f64) -> Option<f64> {
    // Products of fractions are a little more or less than whole.
    let rank = (sorted.len() as f64 * share - 1e-9).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// Milliseconds.
pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Better {
    /// How many times better podwire is.
    pub(super) fn ratio(self, [reference, ours]: [f64; 2]) -> f64 {
        match self {
            Self::Less => reference / ours,
            Self::More => ours / reference,
        }
    }
}

/// Rows of (reference, podwire, ratio), and all samples they are of.
pub(super) struct Table {
    title: String,
    unit: &'static str,
    better: Better,
    rows: Vec<(String, [f64; 2])>,
    samples: Vec<Row>,
    progress: Option<Progress>,
}

impl Table {
    pub(super) fn new(title: &str, unit: &'static str, better: Better) -> Self {
        Self {
            title: title.to_owned(),
            unit,
            better,
            rows: Vec::new(),
            samples: Vec::new(),
            progress: None,
        }
    }

    /// Says each row as it comes, with what is left of so many.
    pub(super) fn told(mut self, rows: usize) -> Self {
        let headings = format!("{REFERENCE:>9}  {PODWIRE:>9}  OF");
        self.progress = Some(Progress::start(rows, &headings));
        self
    }

    /// Adds a row of medians: the reference's samples, then ours.
    pub(super) fn medians(&mut self, name: &str, mut values: [Vec<f64>; 2]) {
        self.keep(name, &values);
        let medians = values.each_mut().map(|values| median(values));
        self.rows.push((name.to_owned(), medians));
    }

    /// Adds a row for what half of the values do not exceed, and one for 99 % of them, or for the greatest of
    /// so few that this is the same.
    pub(super) fn quantiles(&mut self, name: &str, mut values: [Vec<f64>; 2]) {
        self.keep(name, &values);
        let count = values.iter().map(Vec::len).min().unwrap_or_default();
        for (label, thousandths) in [("p50", 500), high(count)] {
            let quantiles = values
                .each_mut()
                .map(|values| quantile(values, thousandths));
            self.rows
                .push((format!("{name}, {label} of {count}"), quantiles));
        }
    }

    /// As they were measured: the rows' figures are of sorted ones.
    fn keep(&mut self, name: &str, values: &[Vec<f64>; 2]) {
        if let Some(progress) = &mut self.progress {
            let [reference, ours] = values.clone().map(|mut values| median(&mut values));
            progress.tell(&format!(
                "{reference:>9.2}  {ours:>9.2}  {} {name}",
                self.unit
            ));
        }
        self.samples.push(Row {
            section: self.title.clone(),
            what: name.to_owned(),
            number: None,
            unit: self.unit.to_owned(),
            better: self.better,
            sides: sides(values),
        });
    }

    /// All samples of the rows.
    pub(super) fn into_samples(self) -> Vec<Row> {
        self.samples
    }

    /// # Errors
    /// As of [`output::print`].
    pub(super) fn print(&self) -> Result<()> {
        output::print(&self.to_string())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .rows
            .iter()
            .map(|(name, _)| name.len())
            .chain([self.title.len()])
            .max();
        let width = width.unwrap_or_default();
        writeln!(
            f,
            "\n{:width$}  {:>12}  {:>12}  {:>8}",
            self.title, "reference", "podwire", "ratio"
        )?;
        for (name, values) in &self.rows {
            let ([reference, ours], unit) = (values, self.unit);
            let ratio = self.better.ratio(*values);
            writeln!(
                f,
                "{name:width$}  {reference:>9.2} {unit}  {ours:>9.2} {unit}  {ratio:>7.1}x"
            )?;
        }
        Ok(())
    }
}

/// The reference's samples, then ours.
pub(super) fn sides(values: &[Vec<f64>; 2]) -> Vec<Measured> {
    let sides = [REFERENCE, PODWIRE].into_iter().zip(values);
    sides
        .map(|(side, samples)| Measured {
            side: side.to_owned(),
            samples: samples.clone(),
        })
        .collect()
}

/// The name and the thousandths of the highest quantile that so many values tell.
fn high(count: usize) -> (&'static str, usize) {
    match count {
        0..100 => ("max", 1000),
        _ => ("p99", 990),
    }
}

#[cfg(test)]
mod tests {
    use super::{Better, high, median, quantile, quantile_of_sorted};

    #[test]
    fn a_quantile_is_one_of_the_values() {
        for (thousandths, expected) in [(0, 1.0), (500, 2.0), (501, 3.0), (999, 4.0), (1000, 4.0)] {
            let found = quantile(&mut [4.0, 2.0, 1.0, 3.0], thousandths);
            assert_eq!(found, expected, "{thousandths}");
        }
        assert_eq!(quantile(&mut [], 500), 0.0);
    }

    #[test]
    fn the_99th_percentile_of_few_is_called_what_it_is() {
        assert_eq!(high(99), ("max", 1000));
        assert_eq!(high(100), ("p99", 990));
    }

    #[test]
    fn a_ratio_above_one_is_podwires_favour() {
        assert_eq!(Better::Less.ratio([4.0, 2.0]), 2.0);
        assert_eq!(Better::More.ratio([2.0, 4.0]), 2.0);
    }

    #[test]
    fn median_of_odd_and_even_counts() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn a_quantile_of_what_is_sorted_is_one_of_the_values() {
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        for (share, expected) in [(0.0, 1.0), (0.5, 500.0), (0.999, 999.0), (1.0, 1000.0)] {
            assert_eq!(quantile_of_sorted(&values, share), Some(expected));
        }
        assert_eq!(quantile_of_sorted(&values[..100], 0.07), Some(7.0));
        assert_eq!(quantile_of_sorted(&[], 0.5), None);
    }
}

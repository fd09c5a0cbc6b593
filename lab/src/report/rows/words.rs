//! What such a report says in words.

use super::Comparison;
use crate::bench::measure::quantile_of_sorted;
use crate::report::numbers::{grouped, percent};

pub(super) use crate::report::words::{MEASURED_ON, NOISE};

/// How plots are read.
pub(super) const PLOTS: &str = "In the plots each dot is a sample, and a line joins the medians: up, what it costs, or \
    how much is done; across, how many there are. Both axes are logarithmic. Letters name the sides.";

pub(super) fn title(comparison: &Comparison<'_>) -> String {
    let title = format!("lab bench {}", comparison.benchmark);
    match comparison.sides.len() {
        1 => title,
        sides => format!("{title}: {sides} sides compared"),
    }
}

/// What the samples' own spread says about their worth.
pub(super) fn noise(comparison: &Comparison<'_>) -> Vec<String> {
    let mut paragraphs = vec![spread(comparison)];
    if comparison.sides.len() > 1 {
        paragraphs.push(clear(comparison));
    }
    paragraphs
}

fn spread(comparison: &Comparison<'_>) -> String {
    let summaries = comparison
        .places()
        .flat_map(|place| place.summaries().flatten());
    let mut spreads: Vec<f64> = summaries.filter_map(|all| all.spread()).collect();
    spreads.sort_by(f64::total_cmp);
    let (Some(half), Some(most)) = (
        quantile_of_sorted(&spreads, 0.5),
        quantile_of_sorted(&spreads, 0.9),
    ) else {
        return "Each row has one sample: what chance does to it is not known, and no difference between two of \
                these figures means anything by itself."
            .to_owned();
    };
    format!(
        "From the least to the most of its samples, half of the {} rows with several samples spread by {} of their \
         median or less, nine of ten by {} or less: a single call that the machine holds up makes a row wide. Two \
         medians that differ by little more than chance are not told apart by this run.",
        grouped(&spreads.len().to_string()),
        percent(half),
        percent(most)
    )
}

/// How many differences are more than chance.
fn clear(comparison: &Comparison<'_>) -> String {
    let (mut compared, mut apart) = (0, 0);
    for place in comparison.places() {
        let Some(first) = place.first() else { continue };
        for other in place.summaries().skip(1).flatten() {
            compared += 1;
            apart += usize::from(!other.overlaps(&first));
        }
    }
    let method = if comparison.by_turns() {
        "The sides were measured by turns, so that what else the machine did met all of them."
    } else {
        "The files were measured one after the other: what else the machine did met one of them alone."
    };
    format!(
        "{method} A difference is called apart where every sample is above, or every one below, all of A's. Of \
         {compared} compared rows {apart} are."
    )
}

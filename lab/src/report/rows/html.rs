//! Such a report as one page of HTML.

use anyhow::Result;
use maud::{Markup, PreEscaped, html};

use super::{Comparison, Section, Thing, tables, words};
use crate::report::html::{document, prose, table};
use crate::report::plot::{Growth, growth};
use crate::report::words::on_one_line;

/// The whole page.
///
/// # Errors
/// As [`growth`].
pub(in crate::report) fn page(comparison: &Comparison<'_>) -> Result<String> {
    let sections: Vec<Markup> = comparison
        .sections
        .iter()
        .enumerate()
        .map(|(at, part)| section(comparison, at, part))
        .collect::<Result<_>>()?;
    let plotted = comparison
        .sections
        .iter()
        .flat_map(|part| &part.things)
        .any(Thing::grows);
    let header = html! {
        @if plotted { p { (words::PLOTS) } }
        nav {
            @for (at, part) in comparison.sections.iter().enumerate() {
                a href={ "#part-" (at) } { (on_one_line(&part.name)) } " "
            }
        }
    };
    let main = html! {
        section {
            h2 { (words::MEASURED_ON) }
            (table(&tables::facts(comparison), "facts"))
        }
        section {
            h2 { (words::NOISE) }
            @for paragraph in words::noise(comparison) { p { (prose(&paragraph)) } }
        }
        @for section in &sections { (section) }
    };
    Ok(document(&words::title(comparison), &header, &main))
}

fn section(comparison: &Comparison<'_>, at: usize, part: &Section) -> Result<Markup> {
    let plots = part.things.iter().filter(|thing| thing.grows());
    let plots: Vec<Markup> = plots
        .map(|thing| plot(comparison, thing))
        .collect::<Result<_>>()?;
    Ok(html! {
        section id={ "part-" (at) } {
            h2 { (on_one_line(&part.name)) }
            (legend(comparison))
            @if !plots.is_empty() { div class="figures" { @for plot in &plots { (plot) } } }
            (table(&tables::figures(comparison, part), "rows"))
        }
    })
}

fn legend(comparison: &Comparison<'_>) -> Markup {
    html! {
        ul class="legend" {
            @for (at, side) in comparison.sides.iter().enumerate() {
                li { span class={ "swatch side-" (at) } {} b { (side.letter) } " " (on_one_line(&side.title())) }
            }
        }
    }
}

fn plot(comparison: &Comparison<'_>, thing: &Thing) -> Result<Markup> {
    let sides = comparison.sides.iter().enumerate();
    let sides: Vec<Growth<'_>> = sides
        .map(|(at, side)| Growth {
            letter: side.letter,
            side: at,
            points: points(thing, at),
        })
        .collect();
    let svg = growth(&sides)?;
    let what = on_one_line(&thing.what);
    let label = format!("{what}, in {}, against the number", thing.unit);
    Ok(html! {
        figure {
            figcaption { b { (what) } ", " (on_one_line(&thing.unit)) }
            div role="img" aria-label=(on_one_line(&label)) { (PreEscaped(svg)) }
        }
    })
}

fn points(thing: &Thing, side: usize) -> Vec<(f64, &[f64])> {
    let places = thing.places.iter();
    let points = places.filter_map(|place| {
        let samples = place.sides.get(side)?.as_deref()?;
        Some((place.number? as f64, samples))
    });
    points.collect()
}

//! The report as one page of HTML: style and plots are in it, and nothing is fetched.
//!
//! maud escapes whatever stands between parentheses; only plots and our own style go in as they are.

use anyhow::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::comparison::{Comparison, Measured, OnPath, Series};
use super::palette::{self, CONTEXT, SERIES};
use super::plot::{Curve, Group, Lane, Scale, dots, tail};
use super::tables::{self, Cell, Table};
use super::words::{self, on_one_line};
use crate::bench::net::loads::{Column, Load};

/// Of all but the plots.
const STYLE: &str = include_str!("style.css");

/// The whole page.
///
/// # Errors
/// As [`dots`].
pub(super) fn page(comparison: &Comparison<'_>) -> Result<String> {
    let title = words::title(comparison);
    let sections: Vec<Markup> = comparison
        .loads
        .iter()
        .map(|measured| section(comparison, measured))
        .collect::<Result<_>>()?;
    let header = html! {
        p { (words::PLOTS) }
        (contents(comparison))
    };
    let main = html! {
        section {
            h2 { (words::MEASURED_ON) }
            (table(&tables::facts(comparison), "facts"))
            details {
                summary { (words::COMMANDS) }
                (table(&tables::commands(comparison), "facts"))
            }
        }
        section {
            h2 { (words::NOISE) }
            @for paragraph in words::noise(comparison) { p { (prose(&paragraph)) } }
        }
        @for section in &sections { (section) }
        section { h2 { (words::PATHS) } (table(&tables::paths(comparison), "paths")) }
    };
    Ok(document(&title, &header, &main))
}

/// What every page has around its own.
pub(super) fn document(title: &str, header: &Markup, main: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(palette::style())) }
            }
            body {
                header { h1 { (title) } (header) }
                main { (main) }
            }
        }
    };
    page.into_string() + "\n"
}

/// A number stays with its unit.
pub(super) fn prose(text: &str) -> String {
    on_one_line(text).replace(" %", "\u{a0}%")
}

fn contents(comparison: &Comparison<'_>) -> Markup {
    html! {
        nav {
            @for measured in &comparison.loads {
                a href={ "#" (measured.load) } { (measured.load) } " "
            }
        }
    }
}

fn section(comparison: &Comparison<'_>, measured: &Measured) -> Result<Markup> {
    let figures = figures(comparison, measured)?;
    let tails = tails(measured)?;
    Ok(html! {
        section id=(measured.load) {
            h2 { (words::load_heading(measured.load)) }
            p { (words::about(measured.load)) }
            @if comparison.compares() { (legend(comparison)) }
            div class="figures" { @for figure in &figures { (figure) } }
            @if !tails.is_empty() {
                p { (tails_about(measured)) }
                div class="tails" { @for figure in &tails { (figure) } }
            }
            (table(&tables::figures(comparison, measured), "samples"))
        }
    })
}

fn legend(comparison: &Comparison<'_>) -> Markup {
    html! {
        ul class="legend" {
            @for (at, side) in comparison.sides.iter().enumerate() {
                li { span class={ "swatch side-" (at) } {} b { (side.letter) } " " (on_one_line(&side.name())) }
            }
        }
    }
}

/// The load's figures, with what they cost beside them.
fn figures(comparison: &Comparison<'_>, measured: &Measured) -> Result<Vec<Markup>> {
    let mut figures = Vec::new();
    let scale = match measured.load {
        Load::Latency => Scale::Logarithmic,
        _ => Scale::Linear,
    };
    for (at, column) in plotted(measured.load).iter().enumerate() {
        let samples = |series: &Series| series.figures.get(at).cloned().unwrap_or_default();
        let groups = groups(comparison, measured, samples);
        figures.extend(figure(measured, column.unit, &groups, scale)?);
    }
    let costs = groups(comparison, measured, |series| series.cpu.clone());
    figures.extend(figure(measured, "CPU s/Gbit", &costs, Scale::Logarithmic)?);
    Ok(figures)
}

/// Of packets, the lost are in the table alone.
fn plotted(load: Load) -> &'static [Column] {
    match load {
        Load::Udp64 | Load::Udp1400 => &load.columns()[..1],
        _ => load.columns(),
    }
}

/// Sides that a path was not measured with have no lane.
fn groups(
    comparison: &Comparison<'_>,
    measured: &Measured,
    samples: impl Fn(&Series) -> Vec<f64>,
) -> Vec<Group> {
    let lanes = |on: &OnPath| {
        let sides = comparison.sides.iter().zip(&on.sides).enumerate();
        let lanes = sides.filter_map(|(at, (side, series))| {
            Some(Lane {
                letter: comparison.compares().then_some(side.letter),
                side: at,
                samples: samples(series.as_ref()?),
            })
        });
        lanes.collect()
    };
    let group = |on: &OnPath| Group {
        name: on.place.to_string(),
        lanes: lanes(on),
    };
    measured.paths.iter().map(group).collect()
}

/// None without samples.
fn figure(
    measured: &Measured,
    unit: &str,
    groups: &[Group],
    scale: Scale,
) -> Result<Option<Markup>> {
    let svg = dots(groups, scale)?;
    let axis = match scale {
        Scale::Linear => "",
        Scale::Logarithmic => ", logarithmic",
    };
    let label = format!(
        "{} by path, in {unit}: every sample, and the median",
        measured.load
    );
    let figure = html! {
        figure {
            figcaption { b { (unit) } (axis) }
            div role="img" aria-label=(label) { (PreEscaped(&svg)) }
        }
    };
    Ok((!svg.is_empty()).then_some(figure))
}

fn tails_about(measured: &Measured) -> String {
    let context = match ceiling(measured) {
        Some(on) => format!(" Grey: {}.", on.place),
        None => String::new(),
    };
    format!(
        "A sample of the answers, at most 1,000 of each round at even distances (the figures above are of all \
         answers): how many (up) came within how many µs (across). The last per cent has as much room as the nine \
         before it.{context}"
    )
}

/// What other paths are seen against.
fn ceiling(measured: &Measured) -> Option<&OnPath> {
    let first = measured.paths.first();
    first.filter(|_| measured.paths.len() > 1)
}

fn tails(measured: &Measured) -> Result<Vec<Markup>> {
    let mut figures = Vec::new();
    for on in &measured.paths {
        if on
            .sides
            .iter()
            .flatten()
            .all(|series| series.latencies.is_empty())
        {
            continue;
        }
        let all = measured.series().map(|series| series.latencies.as_slice());
        let svg = tail(&curves(measured, on), all)?;
        let label = format!("distribution of latencies over {}, in µs", on.place);
        figures.push(html! {
            figure {
                figcaption { b { (on.place) } }
                div role="img" aria-label=(label) { (PreEscaped(svg)) }
            }
        });
    }
    Ok(figures)
}

fn curves<'a>(measured: &'a Measured, on: &'a OnPath) -> Vec<Curve<'a>> {
    let context = ceiling(measured).filter(|ceiling| ceiling.place != on.place);
    let context = context.and_then(|ceiling| ceiling.sides.iter().flatten().next());
    let context = context.map(|series| Curve {
        values: &series.latencies,
        colour: CONTEXT.light,
    });
    let sides = on.sides.iter().zip(SERIES);
    let sides = sides.filter_map(|(series, colour)| {
        Some(Curve {
            values: &series.as_ref()?.latencies,
            colour: colour.light,
        })
    });
    context.into_iter().chain(sides).collect()
}

/// It scrolls by itself where it is wider than the screen.
pub(super) fn table(table: &Table, class: &str) -> Markup {
    html! {
        div class="scroll" {
            table class=(class) {
                thead { tr {
                    @for heading in &table.headings {
                        th class=(align(heading.numbers)) scope="col" { (on_one_line(&heading.text)) }
                    }
                } }
                tbody {
                    @for row in &table.rows { tr {
                        @for (cell, heading) in row.iter().zip(&table.headings) {
                            td class=(align(heading.numbers)) { (content(cell)) }
                        }
                    } }
                }
            }
        }
    }
}

fn align(numbers: bool) -> &'static str {
    if numbers { "number" } else { "text" }
}

fn content(cell: &Cell) -> Markup {
    html! {
        @match cell {
            Cell::Text(text) => (on_one_line(text)),
            Cell::Code(text) => code { (on_one_line(text)) },
        }
    }
}
